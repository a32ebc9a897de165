//! Checks the table of a library, every field of it, then copies it into tasks and templates.
//!
//! Reads no more than the library says it has, and follows no pointer that leads out of this process's memory. Knows
//! nothing of other libraries, nor whether the names in `after` exist.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use task_abi::raw;

use super::call;
use super::fault::{Checked, Fault};
use super::memory::Memory;
use crate::error::{Error, Result};
use crate::task::{Action, Declared, LibraryId, Names, Place, Template, name};

mod command;
mod params;
mod reader;
mod task;

use reader::{Array, Reader, STRUCT_MAX, check_flags, check_size, copy};

/// Tasks that a table may have, those that choices make included.
const TASKS_MAX: usize = 1 << 26;
/// Bytes that a doc text may have.
const DOC_MAX: usize = 64 << 10;
/// Bytes that the name of a source file, or of a directory, may have.
const FILE_MAX: usize = 4096;

/// A checked table, in tdrun's own words.
pub(super) struct Table {
    /// The library's name, where it gives one.
    pub(super) name: Option<Box<str>>,
    pub(super) setup: Option<Action>,
    pub(super) teardown: Option<Action>,
    pub(super) tasks: Vec<Declared>,
    /// What the user should know although it is no error.
    pub(super) warnings: Vec<String>,
}

/// Checks and copies. Functions of the library that find choices are called.
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
    let source = Source {
        reader: Reader { memory },
        shown,
        library,
    };
    // SAFETY: the caller's promise.
    let header =
        unsafe { source.header(table) }.map_err(|fault| fault.of(&format!("`{shown}`")))?;
    let whole = || format!("the table of `{shown}`");
    source
        .check_table(&header)
        .map_err(|fault| fault.of(&whole()))?;
    let name = source
        .library_name(&header)
        .map_err(|fault| fault.of(&whole()))?;
    let hook = |run, field| {
        source
            .hook(run, header.user, field)
            .map_err(|fault| fault.of(&whole()))
    };
    let (setup, teardown) = (
        hook(header.setup, "setup")?,
        hook(header.teardown, "teardown")?,
    );
    let tasks = source.tasks(&header)?;
    Ok(Table {
        name,
        setup,
        teardown,
        warnings: source.warnings(&header, &tasks),
        tasks,
    })
}

/// A table, and how to call it in an error.
struct Source<'a> {
    reader: Reader<'a>,
    shown: &'a str,
    library: LibraryId,
}

impl Source<'_> {
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
        self.reader
            .check_readable(table.addr(), start, format_args!("the table"))?;
        // SAFETY: so many bytes are readable.
        let first: raw::Table = unsafe { copy(table.cast(), start) };
        check_version(&first)?;
        let size = first.size as usize;
        check_size(size, raw::TABLE_SIZE_MIN, STRUCT_MAX, "the table")?;
        let known = size.min(size_of::<raw::Table>());
        self.reader
            .check_readable(table.addr(), known, format_args!("the table"))?;
        // SAFETY: so many bytes are readable.
        Ok(unsafe { copy(table.cast(), known) })
    }

    fn check_table(&self, table: &raw::Table) -> Checked<()> {
        check_flags(table.flags, 0)?;
        let (needs, count) = (table.needs, table.need_count);
        let needs = self
            .reader
            .list(needs, count, "needs", name::NAME_MAX, |_| None)?;
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
        self.reader
            .check_array(array(table), raw::TASK_SIZE_MIN, "tasks")
    }

    fn library_name(&self, table: &raw::Table) -> Checked<Option<Box<str>>> {
        let text = self
            .reader
            .text(table.name, format_args!("name"), name::NAME_MAX)?;
        if text.is_empty() {
            return Ok(None);
        }
        match name::broken_rule(text) {
            Some(rule) => Err(Fault::new("abi.name", format!("`name` {rule}"))),
            None => Ok(Some(text.into())),
        }
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
        self.reader
            .check_function(run as usize, format_args!("{field}"))?;
        // SAFETY: the caller of `read` promises that code at this address is a hook.
        Ok(Some(unsafe { call::action(run, user) }))
    }

    fn tasks(&self, table: &raw::Table) -> Result<Vec<Declared>> {
        let mut tasks: Vec<Declared> = Vec::with_capacity(table.task_count.min(1 << 20));
        let mut files = Files::default();
        let mut count = 0_usize;
        for index in 0..table.task_count {
            let raw = self.raw_task(table, index)?;
            let task = task::read(self.reader, &raw, self.library, &mut files)
                .and_then(|task| {
                    count = count.saturating_add(count_tasks(&task)?);
                    check_total(count)?;
                    Ok(task)
                })
                .map_err(|fault| fault.of(&self.subject(&raw, index)))?;
            tasks.push(task);
        }
        check_unique(&tasks, self.shown)?;
        Ok(tasks)
    }

    fn raw_task(&self, table: &raw::Table, index: usize) -> Result<raw::Task> {
        // SAFETY: `check_table` has checked the array, whose elements are such structs.
        let task = unsafe { array(table).element(index, raw::TASK_SIZE_MIN, "`size`") };
        task.map_err(|fault| fault.hint("in C, TD_TASK sets it: `.size = sizeof(td_task)`"))
            .map_err(|fault| fault.of(&format!("task {index} of `{}`", self.shown)))
    }

    /// Names a task in an error, with as much as can be read of it.
    fn subject(&self, raw: &raw::Task, index: usize) -> String {
        let text = |text, limit| self.reader.text(text, format_args!(""), limit).ok();
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

    fn warnings(&self, table: &raw::Table, tasks: &[Declared]) -> Vec<String> {
        let shown = self.shown;
        let aborts = table.flags & raw::TABLE_PANIC_ABORT != 0;
        let abort = aborts
            .then(|| format!("`{shown}` was built with panic=abort: a panic in it ends tdrun"));
        let empty = tasks.iter().filter_map(|task| {
            let Declared::Template(template) = task else {
                return None;
            };
            let mut parameters = template.parameters.iter();
            let parameter =
                parameters.find(|p| p.choices.as_ref().is_some_and(|c| c.is_empty()))?;
            let (name, parameter) = (&template.task.name, &parameter.name);
            Some(format!(
                "`{shown}`: no choices were found for `{parameter}`, so there are no tasks `{name}`"
            ))
        });
        abort.into_iter().chain(empty).collect()
    }
}

fn array(table: &raw::Table) -> Array {
    Array {
        first: table.tasks.cast(),
        stride: table.task_stride as usize,
        count: table.task_count,
    }
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

/// The tasks that are there from the start.
fn count_tasks(declared: &Declared) -> Checked<usize> {
    match declared {
        Declared::Task(_) => Ok(1),
        Declared::Template(template) => params::count_instances(template),
    }
}

fn check_total(count: usize) -> Checked<()> {
    if count <= TASKS_MAX {
        return Ok(());
    }
    let clause = format!("its choices make it {count} tasks or more, the limit is {TASKS_MAX}");
    Err(Fault::new("abi.limit", clause))
}

/// No two tasks of one library have the same name, nor two templates; tasks that choices make count as tasks.
fn check_unique(declared: &[Declared], shown: &str) -> Result<()> {
    let mut seen = Seen {
        shown,
        places: HashMap::with_capacity(declared.len()),
    };
    for declared in declared {
        match declared {
            Declared::Task(task) => seen.add((&*task.name).into(), task.place.as_ref())?,
            Declared::Template(template) => seen.add_template(template)?,
        }
    }
    Ok(())
}

/// Names so far, and where each is declared.
struct Seen<'a> {
    shown: &'a str,
    places: HashMap<Cow<'a, str>, Option<&'a Place>>,
}

impl<'a> Seen<'a> {
    fn add_template(&mut self, template: &'a Template) -> Result<()> {
        let task = &template.task;
        for arguments in template.expand().into_iter().flatten() {
            self.add(arguments.fill(&task.name).into(), task.place.as_ref())?;
        }
        self.add((&*task.name).into(), task.place.as_ref())
    }

    fn add(&mut self, name: Cow<'a, str>, place: Option<&'a Place>) -> Result<()> {
        let known = match self.places.entry(name) {
            Entry::Vacant(free) => {
                free.insert(place);
                return Ok(());
            }
            Entry::Occupied(known) => known,
        };
        let words = |place: Option<&Place>| {
            place.map_or_else(|| "an unknown place".to_owned(), Place::to_string)
        };
        let message = format!(
            "two tasks of `{}` are called `{}`: {} and {}",
            self.shown,
            known.key(),
            words(*known.get()),
            words(place)
        );
        Err(Error::new("graph.duplicate", message))
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
