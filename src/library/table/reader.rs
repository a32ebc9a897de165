//! Reads texts, lists and structs out of a table, and follows no pointer that leads out of this process's memory.
//!
//! Knows the layout of the ABI, not what the fields mean.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;

use task_abi::raw;

use super::super::fault::{Checked, Fault};
use super::super::memory::Memory;
use super::Names;

/// Entries that a list of a task may have.
pub(super) const LIST_MAX: usize = 65_536;
/// Bytes that a struct of any future version will not have.
pub(super) const STRUCT_MAX: usize = 64 << 10;

/// Reads from memory that has been looked at. What it calls readable must stay so, unchanged, until the process ends.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) memory: &'a Memory,
}

/// An array of structs as the ABI has them: each begins with its size.
#[derive(Clone, Copy)]
pub(super) struct Array {
    pub(super) first: *const u8,
    pub(super) stride: usize,
    pub(super) count: usize,
}

impl Array {
    /// One element, as far as it goes.
    ///
    /// # Safety
    /// As of [`Array::read`].
    pub(super) unsafe fn element<T>(self, index: usize, least: usize, what: &str) -> Checked<T> {
        // SAFETY: zeros are a value of such a struct.
        let mut to = unsafe { MaybeUninit::<T>::zeroed().assume_init() };
        // SAFETY: the caller's promise.
        unsafe { self.read(index, least, what, &mut to)? };
        Ok(to)
    }

    /// The same in place, for many.
    ///
    /// # Safety
    /// [`Reader::check_array`] has let the array pass, and `T` is a struct of the ABI that begins with its size.
    pub(super) unsafe fn read<T>(
        self,
        index: usize,
        least: usize,
        what: &str,
        to: &mut T,
    ) -> Checked<()> {
        let address = self.first.wrapping_add(index * self.stride);
        // SAFETY: the whole array is readable, and an element has room for the size field.
        let size = unsafe { address.cast::<u32>().read_unaligned() } as usize;
        check_size(size, least, self.stride, what)?;
        // SAFETY: `size` is at most the stride, and the whole array is readable; `T` by the caller's promise.
        unsafe { copy_to(to, address, size.min(size_of::<T>())) };
        Ok(())
    }
}

impl<'a> Reader<'a> {
    /// A list of texts that keep to a rule.
    pub(super) fn list(
        self,
        list: *const raw::Str,
        count: usize,
        field: &str,
        limit: usize,
        broken_rule: impl Fn(&str) -> Option<String>,
    ) -> Checked<Names> {
        let mut names = Vec::with_capacity(count.min(LIST_MAX));
        self.check_list(list, count, field, limit, |name| {
            names.push(name.into());
            broken_rule(name)
        })?;
        Ok(names.into())
    }

    /// Checks that all texts of a list keep to a rule.
    pub(super) fn check_list(
        self,
        list: *const raw::Str,
        count: usize,
        field: &str,
        limit: usize,
        mut broken_rule: impl FnMut(&str) -> Option<String>,
    ) -> Checked<()> {
        self.each(list, count, field, limit, |index, name| {
            if let Some(rule) = broken_rule(name) {
                let fault = Fault::new("abi.name", format!("`{field}[{index}]` {rule}"));
                // A wrong length may leave anything but a bracket that fits nothing.
                return Err(if name.contains(['[', ']']) {
                    fault
                } else {
                    fault.hint("in C, write names as TD_STR(\"…\")")
                });
            }
            Ok(())
        })
    }

    /// Goes through a list of texts.
    pub(super) fn each(
        self,
        list: *const raw::Str,
        count: usize,
        field: &str,
        limit: usize,
        mut act: impl FnMut(usize, &'a str) -> Checked<()>,
    ) -> Checked<()> {
        if count == 0 {
            return Ok(());
        }
        check_count(count, field)?;
        let size = count * size_of::<raw::Str>();
        self.check_readable(list.addr(), size, format_args!("`{field}`"))?;
        for index in 0..count {
            // SAFETY: the whole array is readable.
            let text = unsafe { list.wrapping_add(index).read_unaligned() };
            act(
                index,
                self.text(text, format_args!("{field}[{index}]"), limit)?,
            )?;
        }
        Ok(())
    }

    pub(super) fn text(
        self,
        text: raw::Str,
        field: fmt::Arguments<'_>,
        limit: usize,
    ) -> Checked<&'a str> {
        if text.len == 0 {
            return Ok("");
        }
        if text.len > limit {
            let clause = format!("`{field}` has {} bytes, the limit is {limit}", text.len);
            return Err(Fault::new("abi.limit", clause));
        }
        self.check_readable(text.ptr.addr(), text.len, format_args!("`{field}`"))?;
        // SAFETY: so many bytes are readable, and stay unchanged: see `Reader`.
        let bytes = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
        std::str::from_utf8(bytes).map_err(|_| {
            let clause = format!("`{field}` is not UTF-8: `{}`", bytes.escape_ascii());
            Fault::new("abi.utf8", clause)
        })
    }

    /// The whole of an array can be read, and its elements have the fields that they must have.
    pub(super) fn check_array(self, array: Array, least: usize, field: &str) -> Checked<()> {
        // Both factors are limited: no overflow.
        let size = array.stride * array.count;
        debug_assert!((least..=STRUCT_MAX).contains(&array.stride));
        self.check_readable(array.first.addr(), size, format_args!("`{field}`"))
    }

    /// A struct behind a pointer, as far as it goes.
    ///
    /// # Safety
    /// `T` must be a struct of the ABI that begins with its size.
    pub(super) unsafe fn one<T>(self, from: *const T, least: usize, field: &str) -> Checked<T> {
        self.check_readable(from.addr(), size_of::<u32>(), format_args!("`{field}`"))?;
        // SAFETY: so many bytes are readable.
        let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
        check_size(size, least, STRUCT_MAX, &format!("the `size` of `{field}`"))?;
        let known = size.min(size_of::<T>());
        self.check_readable(from.addr(), known, format_args!("`{field}`"))?;
        // SAFETY: so many bytes are readable; `T` by the caller's promise.
        Ok(unsafe { copy(from.cast(), known) })
    }

    pub(super) fn check_readable(
        self,
        address: usize,
        size: usize,
        what: fmt::Arguments<'_>,
    ) -> Checked<()> {
        if address != 0 && self.memory.is_readable(address, size) {
            return Ok(());
        }
        let clause = match address {
            0 => format!("{what} is null"),
            _ => format!(
                "{what} points to memory that cannot be read ({size} bytes at {address:#x})"
            ),
        };
        Err(Fault::new("abi.pointer", clause))
    }

    pub(super) fn check_function(self, address: usize, field: fmt::Arguments<'_>) -> Checked<()> {
        if self.memory.is_executable(address) {
            return Ok(());
        }
        let clause = format!("`{field}` points to {address:#x}, where there is no code");
        Err(Fault::new("abi.pointer", clause))
    }
}

/// The first `size` bytes of a struct of the ABI, the rest zero.
///
/// # Safety
/// So many bytes must be readable, and `T` must be a struct of the ABI: any bytes, and zeros, are a value of it.
pub(super) unsafe fn copy<T>(from: *const u8, size: usize) -> T {
    // SAFETY: zeros are a value, by the caller's promise.
    let mut to = unsafe { MaybeUninit::<T>::zeroed().assume_init() };
    // SAFETY: the caller's promise.
    unsafe { copy_to(&mut to, from, size) };
    to
}

/// The same in place.
///
/// # Safety
/// As of [`copy`].
unsafe fn copy_to<T>(to: &mut T, from: *const u8, size: usize) {
    debug_assert!(size <= size_of::<T>());
    let to = std::ptr::from_mut(to).cast::<u8>();
    // SAFETY: the caller's promise; `to` is not smaller, and not part of the table.
    unsafe { std::ptr::copy_nonoverlapping(from, to, size) };
    // SAFETY: that is the rest of `to`.
    unsafe { to.wrapping_add(size).write_bytes(0, size_of::<T>() - size) };
}

pub(super) fn check_count(count: usize, field: &str) -> Checked<()> {
    if count <= LIST_MAX {
        return Ok(());
    }
    let clause = format!("`{field}` has {count} entries, the limit is {LIST_MAX}");
    Err(Fault::new("abi.limit", clause))
}

pub(super) fn check_size(size: usize, least: usize, most: usize, what: &str) -> Checked<()> {
    if (least..=most).contains(&size) {
        return Ok(());
    }
    let clause = format!("{what} is {size} bytes, between {least} and {most} are possible");
    Err(Fault::new("abi.size", clause))
}

/// Flags that must be understood are among those that are known.
pub(super) fn check_flags(flags: u64, known: u64) -> Checked<()> {
    let unknown = flags & raw::FLAGS_REQUIRED & !known;
    if unknown == 0 {
        return Ok(());
    }
    let bit = unknown.trailing_zeros();
    let clause = format!("flag bit {bit} must be understood, and this tdrun does not know it");
    Err(Fault::new("abi.flag", clause).hint("a newer tdrun may know it"))
}

/// A number that stands for something which a newer tdrun may know.
pub(super) fn unknown(what: fmt::Arguments<'_>) -> Fault {
    let clause = format!("{what}, which this tdrun does not know");
    Fault::new("abi.kind", clause).hint("a newer tdrun may know it")
}
