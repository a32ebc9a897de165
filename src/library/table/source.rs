//! Rows of a checked table, asked for what stands in them: all that tdrun has not copied.
//!
//! Knows nothing of names that tasks may have.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, offset_of};

use task_abi::raw;

use super::super::call;
use super::reader::Array;
use crate::task::{Caller, Ending, Place, Source};

/// The rows of a table.
pub(super) struct Rows(Array);

// SAFETY: by the header, the table may be read on any thread, and does not change.
unsafe impl Send for Rows {}
// SAFETY: the same.
unsafe impl Sync for Rows {}

impl Rows {
    /// # Safety
    /// The array must have rows of a table of tasks. Each row that is asked for must have been checked, with all that it
    /// points to, and stay so, unchanged, until the process ends.
    pub(super) unsafe fn new(array: Array) -> Self {
        Self(array)
    }

    /// The field at `offset` of a row; zero in the row of an older library that does not have it.
    ///
    /// # Safety
    /// There must be a field of that type; zeros must be a value of it.
    unsafe fn field<T>(&self, index: u32, offset: usize) -> T {
        debug_assert!((index as usize) < self.0.count);
        let row = self.0.first.wrapping_add(index as usize * self.0.stride);
        // SAFETY: a row begins with its size.
        let size = unsafe { row.cast::<u32>().read_unaligned() } as usize;
        if size < offset + size_of::<T>() {
            // SAFETY: the caller's promise.
            return unsafe { MaybeUninit::zeroed().assume_init() };
        }
        // SAFETY: the row goes so far; the type by the caller's promise.
        unsafe { row.wrapping_add(offset).cast::<T>().read_unaligned() }
    }

    /// # Safety
    /// As of [`Rows::field`].
    unsafe fn text(&self, index: u32, offset: usize) -> &str {
        // SAFETY: the caller's promise.
        text(unsafe { self.field(index, offset) })
    }

    /// Visits the texts of a list, by the offsets of its first one and of their count.
    ///
    /// # Safety
    /// As of [`Rows::field`].
    unsafe fn list<'a>(
        &'a self,
        index: u32,
        (first, count): (usize, usize),
        visit: &mut dyn FnMut(&'a str),
    ) {
        // SAFETY: the caller's promise.
        let (first, count) = unsafe {
            let first: *const raw::Str = self.field(index, first);
            (first, self.field(index, count))
        };
        for place in 0..count {
            // SAFETY: the list has been checked.
            visit(text(unsafe { first.wrapping_add(place).read_unaligned() }));
        }
    }
}

impl Source for Rows {
    fn call(&self, index: u32, caller: &Caller<'_>) -> Option<Box<Ending>> {
        // SAFETY: those are the types of the fields.
        let (run, user) = unsafe {
            let run: Option<raw::RunFn> = self.field(index, offset_of!(raw::Task, run));
            (run, self.field(index, offset_of!(raw::Task, user)))
        };
        let Some(run) = run else {
            let ending = Ending::failed("its library has taken its function away");
            return Some(Box::new(ending));
        };
        // SAFETY: the function has been checked.
        unsafe { call::call(run, user, caller) }
    }

    fn after<'a>(&'a self, index: u32, visit: &mut dyn FnMut(&'a str)) {
        let (first, count) = (
            offset_of!(raw::Task, after),
            offset_of!(raw::Task, after_count),
        );
        // SAFETY: those are the fields of a list.
        unsafe { self.list(index, (first, count), visit) }
    }

    fn tags<'a>(&'a self, index: u32, visit: &mut dyn FnMut(&'a str)) {
        let (first, count) = (
            offset_of!(raw::Task, tags),
            offset_of!(raw::Task, tag_count),
        );
        // SAFETY: those are the fields of a list.
        unsafe { self.list(index, (first, count), visit) }
    }

    fn name(&self, index: u32) -> &str {
        // SAFETY: that is the type of the field.
        unsafe { self.text(index, offset_of!(raw::Task, name)) }
    }

    fn doc(&self, index: u32) -> &str {
        // SAFETY: that is the type of the field.
        unsafe { self.text(index, offset_of!(raw::Task, doc)) }
    }

    fn place(&self, index: u32) -> Option<Place> {
        // SAFETY: those are the types of the fields.
        let (file, line) = unsafe {
            let file = self.text(index, offset_of!(raw::Task, file));
            (file, self.field(index, offset_of!(raw::Task, line)))
        };
        let file = (!file.is_empty()).then(|| file.into());
        file.map(|file| Place { file, line })
    }
}

/// Text that has been checked: what is no UTF-8 by now, because the library has broken its word, matches nothing.
fn text<'a>(text: raw::Str) -> &'a str {
    if text.len == 0 {
        return "";
    }
    // SAFETY: it has been checked.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
    std::str::from_utf8(bytes).unwrap_or("\u{fffd}")
}
