//! Checks the table of a library, every field of it, then copies it into tasks.
//!
//! Reads no more than the library says it has, and follows no pointer that leads out of this process's memory. Knows
//! nothing of other libraries, nor whether the names in `after` exist.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

use task_abi::raw;

use super::call;
use super::fault::{Checked, Fault};
use super::memory::Memory;
use super::name;
use crate::error::{Error, Result};
use crate::task::{Action, Arguments, LibraryId, Place, Task};

/// Tasks that a table may have.
const TASKS_MAX: usize = 1 << 26;
/// Entries that a list of a task may have.
const LIST_MAX: usize = 65_536;
/// Bytes that a doc text may have.
const DOC_MAX: usize = 64 << 10;
/// Bytes that the name of a source file may have.
const FILE_MAX: usize = 4096;
/// Bytes that a struct of any future version will not have.
const STRUCT_MAX: usize = 64 << 10;
/// Bytes of `library::task`.
const QUALIFIED_MAX: usize = 2 * name::NAME_MAX + 2;

/// A checked table, in tdrun's own words.
pub(super) struct Table {
    /// The library's name, where it gives one.
    pub(super) name: Option<Box<str>>,
    pub(super) setup: Option<Action>,
    pub(super) teardown: Option<Action>,
    pub(super) tasks: Vec<Task>,
    panic_abort: bool,
}

impl Table {
    /// What the user should know although it is no error.
    pub(super) fn warnings(&self, shown: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.panic_abort {
            warnings.push(format!(
                "`{shown}` was built with panic=abort: a panic in it ends tdrun"
            ));
        }
        warnings
    }
}

/// Checks and copies.
///
/// # Safety
/// What `memory` calls readable at `table`, and at the pointers in it, must stay so, unchanged, until the process ends;
/// what it calls executable must be functions of the types in the header.
pub(super) unsafe fn read(
    table: *const raw::Table,
    memory: &Memory,
    shown: &str,
    library: LibraryId,
) -> Result<Table> {
    let reader = Reader {
        memory,
        shown,
        library,
    };
    // SAFETY: the caller's promise.
    let header =
        unsafe { reader.header(table) }.map_err(|fault| fault.of(&format!("`{shown}`")))?;
    let whole = || format!("the table of `{shown}`");
    reader
        .check_table(&header)
        .map_err(|fault| fault.of(&whole()))?;
    let name = reader
        .library_name(&header)
        .map_err(|fault| fault.of(&whole()))?;
    let hook = |run, field| {
        reader
            .hook(run, header.user, field)
            .map_err(|fault| fault.of(&whole()))
    };
    Ok(Table {
        name,
        setup: hook(header.setup, "setup")?,
        teardown: hook(header.teardown, "teardown")?,
        tasks: reader.tasks(&header)?,
        panic_abort: header.flags & raw::TABLE_PANIC_ABORT != 0,
    })
}

/// The names in a list of a task.
type Names = Box<[Box<str>]>;

struct Reader<'a> {
    memory: &'a Memory,
    shown: &'a str,
    library: LibraryId,
}

impl<'a> Reader<'a> {
    /// The fixed start of the table decides how much of the rest there is; what is missing reads as zero.
    unsafe fn header(&self, table: *const raw::Table) -> Checked<raw::Table> {
        if table.is_null() {
            let fault = Fault::new(
                "abi.null",
                "`tdrun_entry_v1` returned null: the library refuses to be loaded",
            );
            return Err(fault);
        }
        let start = std::mem::offset_of!(raw::Table, task_stride);
        self.check_readable(table.addr(), start, format_args!("the table"))?;
        // SAFETY: so many bytes are readable.
        let first: raw::Table = unsafe { copy(table.cast(), start) };
        check_version(&first)?;
        let size = first.size as usize;
        check_size(size, raw::TABLE_SIZE_MIN, STRUCT_MAX, "the table")?;
        let known = size.min(size_of::<raw::Table>());
        self.check_readable(table.addr(), known, format_args!("the table"))?;
        // SAFETY: so many bytes are readable.
        Ok(unsafe { copy(table.cast(), known) })
    }

    fn check_table(&self, table: &raw::Table) -> Checked<()> {
        check_flags(table.flags)?;
        let (needs, count) = (table.needs, table.need_count);
        let needs = self.list(needs, count, "needs", name::NAME_MAX, |_| None)?;
        if !needs.is_empty() {
            let clause = format!(
                "needs `{}`, which this tdrun does not know",
                needs.join("`, `")
            );
            return Err(Fault::new("abi.need", clause).hint("a newer tdrun may know it"));
        }
        if table.task_count > TASKS_MAX {
            let clause = format!(
                "`task_count` is {}, the limit is {TASKS_MAX}",
                table.task_count
            );
            return Err(Fault::new("abi.limit", clause));
        }
        if table.task_count == 0 {
            return Ok(());
        }
        let stride = table.task_stride as usize;
        check_size(stride, raw::TASK_SIZE_MIN, STRUCT_MAX, "`task_stride`")?;
        // Both factors have been limited: no overflow.
        let size = stride * table.task_count;
        self.check_readable(table.tasks.addr(), size, format_args!("`tasks`"))
    }

    fn library_name(&self, table: &raw::Table) -> Checked<Option<Box<str>>> {
        let text = self.text(table.name, format_args!("name"), name::NAME_MAX)?;
        if text.is_empty() {
            return Ok(None);
        }
        check_name(text, "name")?;
        Ok(Some(text.into()))
    }

    fn hook(
        &self,
        run: Option<raw::RunFn>,
        user: *mut std::ffi::c_void,
        field: &str,
    ) -> Checked<Option<Action>> {
        let Some(run) = run else {
            return Ok(None);
        };
        self.check_function(run, field)?;
        // SAFETY: the caller of `read` promises that code at this address is a hook.
        Ok(Some(unsafe { call::action(run, user) }))
    }

    fn tasks(&self, table: &raw::Table) -> Result<Vec<Task>> {
        let mut tasks = Vec::with_capacity(table.task_count.min(1 << 20));
        let mut files = Files::default();
        for index in 0..table.task_count {
            let raw = self.raw_task(table, index)?;
            let task = self
                .task(&raw, &mut files)
                .map_err(|fault| fault.of(&self.subject(&raw, index)))?;
            tasks.push(task);
        }
        check_unique(&tasks, self.shown)?;
        Ok(tasks)
    }

    /// One element of the array, as far as it goes.
    fn raw_task(&self, table: &raw::Table, index: usize) -> Result<raw::Task> {
        let stride = table.task_stride as usize;
        let address = table.tasks.cast::<u8>().wrapping_add(index * stride);
        // SAFETY: the whole array is readable, and an element has room for the size field.
        let size = unsafe { address.cast::<u32>().read_unaligned() } as usize;
        check_size(size, raw::TASK_SIZE_MIN, stride, "`size`")
            .map_err(|fault| fault.hint("in C, TD_TASK sets it: `.size = sizeof(td_task)`"))
            .map_err(|fault| fault.of(&format!("task {index} of `{}`", self.shown)))?;
        // SAFETY: `size` is at most the stride, and the whole array is readable.
        Ok(unsafe { copy(address, size.min(size_of::<raw::Task>())) })
    }

    fn task(&self, raw: &raw::Task, files: &mut Files<'a>) -> Checked<Task> {
        let name = self.text(raw.name, format_args!("name"), name::NAME_MAX)?;
        check_name(name, "name")?;
        check_flags(raw.flags)?;
        Ok(Task {
            name: name.into(),
            library: self.library,
            after: self.after(raw)?,
            tags: self.tags(raw)?,
            doc: self.text(raw.doc, format_args!("doc"), DOC_MAX)?.into(),
            place: files.place(
                self.text(raw.file, format_args!("file"), FILE_MAX)?,
                raw.line,
            ),
            action: self.action(raw)?,
            options: None,
            arguments: Arguments::default(),
        })
    }

    fn action(&self, raw: &raw::Task) -> Checked<Action> {
        if raw.kind != raw::KIND_FUNCTION {
            let clause = format!("is of kind {}, which this tdrun does not know", raw.kind);
            return Err(Fault::new("abi.kind", clause).hint("a newer tdrun may know it"));
        }
        let Some(run) = raw.run else {
            return Err(Fault::new("abi.pointer", "`run` is null"));
        };
        self.check_function(run, "run")?;
        // SAFETY: the caller of `read` promises that code at this address is a task.
        Ok(unsafe { call::action(run, raw.user) })
    }

    fn after(&self, raw: &raw::Task) -> Checked<Names> {
        let rule = |name: &str| name.is_empty().then(|| "is empty".to_owned());
        self.list(raw.after, raw.after_count, "after", QUALIFIED_MAX, rule)
    }

    fn tags(&self, raw: &raw::Task) -> Checked<Names> {
        let rule = name::broken_rule;
        self.list(raw.tags, raw.tag_count, "tags", name::NAME_MAX, rule)
    }

    fn list(
        &self,
        list: *const raw::Str,
        count: usize,
        field: &str,
        limit: usize,
        broken_rule: impl Fn(&str) -> Option<String>,
    ) -> Checked<Names> {
        if count == 0 {
            return Ok(Names::default());
        }
        self.check_list(list, count, field)?;
        let mut names = Vec::with_capacity(count);
        for index in 0..count {
            // SAFETY: the whole array is readable.
            let text = unsafe { list.wrapping_add(index).read_unaligned() };
            let name = self.text(text, format_args!("{field}[{index}]"), limit)?;
            if let Some(rule) = broken_rule(name) {
                let fault = Fault::new("abi.name", format!("`{field}[{index}]` {rule}"));
                return Err(fault.hint("in C, write names as TD_STR(\"…\")"));
            }
            names.push(name.into());
        }
        Ok(names.into())
    }

    fn check_list(&self, list: *const raw::Str, count: usize, field: &str) -> Checked<()> {
        if count > LIST_MAX {
            let clause = format!("`{field}` has {count} entries, the limit is {LIST_MAX}");
            return Err(Fault::new("abi.limit", clause));
        }
        let size = count * size_of::<raw::Str>();
        self.check_readable(list.addr(), size, format_args!("`{field}`"))
    }

    fn text(&self, text: raw::Str, field: fmt::Arguments<'_>, limit: usize) -> Checked<&'a str> {
        if text.len == 0 {
            return Ok("");
        }
        if text.len > limit {
            let clause = format!("`{field}` has {} bytes, the limit is {limit}", text.len);
            return Err(Fault::new("abi.limit", clause));
        }
        self.check_readable(text.ptr.addr(), text.len, format_args!("`{field}`"))?;
        // SAFETY: so many bytes are readable, and stay unchanged by the promise of the caller of `read`.
        let bytes = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
        std::str::from_utf8(bytes).map_err(|_| {
            let clause = format!("`{field}` is not UTF-8: `{}`", bytes.escape_ascii());
            Fault::new("abi.utf8", clause)
        })
    }

    fn check_readable(&self, address: usize, size: usize, what: fmt::Arguments<'_>) -> Checked<()> {
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

    fn check_function(&self, run: raw::RunFn, field: &str) -> Checked<()> {
        let address = run as usize;
        if self.memory.is_executable(address) {
            return Ok(());
        }
        let clause = format!("`{field}` points to {address:#x}, where there is no code");
        Err(Fault::new("abi.pointer", clause))
    }

    /// Names a task in an error, with as much as can be read of it.
    fn subject(&self, raw: &raw::Task, index: usize) -> String {
        let text = |text, limit| self.text(text, format_args!(""), limit).ok();
        let name = text(raw.name, name::NAME_MAX).filter(|name| !name.is_empty());
        let place =
            text(raw.file, FILE_MAX).and_then(|file| Files::default().place(file, raw.line));
        let shown = self.shown;
        match (name, place) {
            (Some(name), Some(place)) => format!("task {index} of `{shown}` (`{name}`, {place})"),
            (Some(name), None) => format!("task {index} of `{shown}` (`{name}`)"),
            (None, Some(place)) => format!("task {index} of `{shown}` ({place})"),
            (None, None) => format!("task {index} of `{shown}`"),
        }
    }
}

/// The first `size` bytes of a struct of the ABI, the rest zero.
///
/// # Safety
/// So many bytes must be readable, and `T` must be a struct of the ABI: any bytes, and zeros, are a value of it.
unsafe fn copy<T>(from: *const u8, size: usize) -> T {
    debug_assert!(size <= size_of::<T>());
    let mut to = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller's promise; `to` is new, and not smaller.
    unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr().cast(), size) };
    // SAFETY: the caller's promise.
    unsafe { to.assume_init() }
}

fn check_version(table: &raw::Table) -> Checked<()> {
    if table.magic != raw::MAGIC {
        let clause = format!(
            "`tdrun_entry_v1` returned no table: it begins with {:#010x}, not {:#010x}",
            table.magic,
            raw::MAGIC
        );
        return Err(Fault::new("abi.magic", clause));
    }
    if table.major != raw::MAJOR {
        let (theirs, ours) = (table.major, raw::MAJOR);
        let clause =
            format!("speaks version {theirs} of the ABI, this tdrun speaks version {ours}");
        let hint = if theirs > ours {
            "use a newer tdrun"
        } else {
            "rebuild it with a newer task-abi"
        };
        return Err(Fault::new("abi.major", clause).hint(hint));
    }
    Ok(())
}

fn check_size(size: usize, least: usize, most: usize, what: &str) -> Checked<()> {
    if (least..=most).contains(&size) {
        return Ok(());
    }
    let clause = format!("{what} is {size} bytes, between {least} and {most} are possible");
    Err(Fault::new("abi.size", clause))
}

fn check_flags(flags: u64) -> Checked<()> {
    let unknown = flags & raw::FLAGS_REQUIRED;
    if unknown == 0 {
        return Ok(());
    }
    let bit = unknown.trailing_zeros();
    let clause = format!("flag bit {bit} must be understood, and this tdrun does not know it");
    Err(Fault::new("abi.flag", clause).hint("a newer tdrun may know it"))
}

fn check_name(text: &str, field: &str) -> Checked<()> {
    match name::broken_rule(text) {
        Some(rule) => Err(Fault::new("abi.name", format!("`{field}` {rule}"))),
        None => Ok(()),
    }
}

/// No two tasks of one library have the same name.
fn check_unique(tasks: &[Task], shown: &str) -> Result<()> {
    let mut seen: HashMap<&str, &Task> = HashMap::with_capacity(tasks.len());
    for task in tasks {
        if let Some(other) = seen.insert(&task.name, task) {
            let message = format!(
                "two tasks of `{shown}` are called `{}`: {} and {}",
                task.name,
                place(other),
                place(task)
            );
            return Err(Error::new("graph.duplicate", message));
        }
    }
    Ok(())
}

fn place(task: &Task) -> String {
    match &task.place {
        Some(place) => place.to_string(),
        None => "an unknown place".to_owned(),
    }
}

/// The names of source files: most tasks share a few.
#[derive(Default)]
struct Files<'a> {
    known: HashMap<&'a str, Arc<str>>,
}

impl<'a> Files<'a> {
    fn place(&mut self, file: &'a str, line: u32) -> Option<Place> {
        if file.is_empty() {
            return None;
        }
        let file = self.known.entry(file).or_insert_with(|| file.into());
        Some(Place {
            file: Arc::clone(file),
            line,
        })
    }
}
