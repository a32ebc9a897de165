//! Checks the table of a library, every field of it, and makes tasks and templates of it.
//!
//! Reads no more than the library says it has, and follows no pointer that leads out of this process's memory. Knows
//! nothing of other libraries, nor whether the names in `after` exist.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use task_abi::raw;

use super::call;
use super::fault::{Checked, Fault};
use super::memory::Memory;
use crate::error::{Error, Result};
use crate::task::{
    Action, Declared, LibraryId, Names, Place, TaskRef, Tasks, TasksBuilder, Template, name,
};

mod command;
mod params;
mod reader;
mod source;
mod task;

use reader::{Array, Reader, STRUCT_MAX, check_flags, check_size, copy};
use source::Rows;
use task::Read;

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
    /// A panic in it ends the process.
    pub(super) aborts: bool,
    pub(super) tasks: Tasks,
    /// What the user should know although it is no error.
    pub(super) warnings: Vec<String>,
}

/// Checks and reads. What stays in the table is read again when it is asked for. Functions of the library that find choices are called.
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
        aborts: header.flags & raw::TABLE_PANIC_ABORT != 0,
        warnings: source.warnings(&tasks),
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

    fn tasks(&self, table: &raw::Table) -> Result<Tasks> {
        let count = table.task_count;
        // SAFETY: `check_table` has checked the array, and all that its elements point to is checked below.
        let rows = unsafe { Rows::new(array(table)) };
        let mut tasks = TasksBuilder::new(self.library, Some(Arc::new(rows)), count);
        let mut files = Files::default();
        let mut raw = raw::Task::EMPTY;
        for index in 0..count {
            self.read_task(table, index, &mut raw)?;
            let fault = |fault: Fault| fault.of(&self.subject(&raw, index));
            let read = task::read(self.reader, &raw, self.library, &mut files).map_err(fault)?;
            check_total(
                tasks
                    .len()
                    .saturating_add(count_tasks(&read).map_err(fault)?),
            )
            .map_err(fault)?;
            match read {
                #[expect(clippy::cast_possible_truncation, reason = "at most `TASKS_MAX`")]
                Read::Function(name, options) => tasks.add_at(index as u32, name, options),
                Read::Declared(declared) => tasks.add(*declared),
            }
        }
        let tasks = tasks.build();
        check_unique(&tasks, self.shown)?;
        Ok(tasks)
    }

    fn read_task(&self, table: &raw::Table, index: usize, to: &mut raw::Task) -> Result<()> {
        // SAFETY: `check_table` has checked the array, whose elements are such structs.
        let read = unsafe { array(table).read(index, raw::TASK_SIZE_MIN, "`size`", to) };
        read.map_err(|fault| fault.hint("in C, TD_TASK sets it: `.size = sizeof(td_task)`"))
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

    fn warnings(&self, tasks: &Tasks) -> Vec<String> {
        let shown = self.shown;
        let empty = tasks.templates().iter().filter_map(|template| {
            let mut parameters = template.parameters.iter();
            let parameter =
                parameters.find(|p| p.choices.as_ref().is_some_and(|c| c.is_empty()))?;
            let (name, parameter) = (&template.task.name, &parameter.name);
            Some(format!(
                "`{shown}`: no choices were found for `{parameter}`, so there are no tasks `{name}`"
            ))
        });
        empty.collect()
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

/// How many tasks it is from the start.
fn count_tasks(read: &Read<'_>) -> Checked<usize> {
    match read {
        Read::Function(..) => Ok(1),
        Read::Declared(declared) => match &**declared {
            Declared::Task(_) => Ok(1),
            Declared::Template(template) => params::count_instances(template),
        },
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
fn check_unique(tasks: &Tasks, shown: &str) -> Result<()> {
    let refuse = |name: &str, places: [Option<Place>; 2]| {
        let words = |place: Option<Place>| {
            place.map_or_else(|| "an unknown place".to_owned(), |place| place.to_string())
        };
        let [one, other] = places.map(words);
        let message = format!("two tasks of `{shown}` are called `{name}`: {one} and {other}");
        Err(Error::new("graph.duplicate", message))
    };
    if let Some((one, other)) = tasks.duplicate() {
        return refuse(one.name(), [one, other].map(TaskRef::place));
    }
    let mut known: HashMap<&str, &Template> = HashMap::new();
    for template in tasks.templates() {
        let task = &template.task;
        if let Some(first) = known.insert(&task.name, template) {
            return refuse(
                &task.name,
                [&first.task, task].map(|task| task.place.clone()),
            );
        }
    }
    Ok(())
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
