//! `--list`: the selected tasks, in declaration order, as text or JSON.

use std::io;

use serde::Serialize;

use crate::error::escape;
use crate::task::{Catalog, TaskId};

/// How `--list` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A line a task: name, tags, first line of its doc.
    Text,
    /// One object with all that is known.
    Json,
}

/// Writes the list.
pub fn list(
    out: &mut dyn io::Write,
    catalog: &Catalog,
    tasks: &[TaskId],
    format: ListFormat,
) -> io::Result<()> {
    match format {
        ListFormat::Text => text(out, catalog, tasks),
        ListFormat::Json => json(out, catalog, tasks),
    }
}

/// Names longer than this do not push the other columns aside.
const WIDTH: usize = 40;

fn text(out: &mut dyn io::Write, catalog: &Catalog, tasks: &[TaskId]) -> io::Result<()> {
    let widths = tasks.iter().map(|&task| catalog.name(task).chars().count());
    let width = widths.max().unwrap_or(0).min(WIDTH);
    for &id in tasks {
        let task = catalog.task(id);
        let mut line = format!("{:width$}", catalog.name(id));
        if !task.tags.is_empty() {
            line.push_str("  [");
            line.push_str(&task.tags.join(", "));
            line.push(']');
        }
        if let Some(doc) = task.doc.lines().next() {
            line.push_str("  ");
            line.push_str(&escape(doc));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn json(out: &mut dyn io::Write, catalog: &Catalog, tasks: &[TaskId]) -> io::Result<()> {
    #[derive(Serialize)]
    struct List<'a> {
        v: u32,
        tasks: Vec<Entry<'a>>,
    }
    let tasks = tasks.iter().map(|&task| Entry::new(catalog, task));
    let list = List {
        v: 1,
        tasks: tasks.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &list)?;
    writeln!(out)
}

/// A task as programs read it.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    name: std::borrow::Cow<'a, str>,
    /// To be typed again: `path::task`.
    target: String,
    library: &'a str,
    after: &'a [Box<str>],
    tags: &'a [Box<str>],
    doc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(catalog: &'a Catalog, id: TaskId) -> Self {
        let (task, library) = (catalog.task(id), catalog.library(id));
        let place = task.place.as_ref();
        Self {
            name: catalog.name(id),
            target: format!("{}::{}", library.path, task.name),
            library: &library.name,
            after: &task.after,
            tags: &task.tags,
            doc: &task.doc,
            file: place.map(|place| &*place.file),
            line: place.map(|place| place.line).filter(|&line| line > 0),
        }
    }
}
