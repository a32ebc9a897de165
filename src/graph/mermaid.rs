//! `--graph=mermaid`, for Markdown pages that draw such blocks.

use std::io;

use super::{Graph, Via, traits};
use crate::task::Catalog;

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    writeln!(out, "graph TD")?;
    for &task in graph.planned() {
        let mut text = label(&catalog.name(task));
        for what in traits(catalog.task(task).options()) {
            text.push_str("<br/>");
            text.push_str(&label(&what));
        }
        writeln!(out, "    t{}[\"{text}\"]", task.index())?;
    }
    for &task in graph.planned() {
        for &dependent in graph.dependents(task) {
            let arrow = match graph.via(task, dependent) {
                Via::After => "-->",
                Via::Before => "-. before .->",
                Via::Then => "-. then .->",
            };
            writeln!(out, "    t{} {arrow} t{}", task.index(), dependent.index())?;
        }
    }
    Ok(())
}

/// Inside a quoted label mermaid knows entities, and reads markup.
fn label(name: &str) -> String {
    let mut label = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | '`' => {
                label.push('#');
                label.push_str(&u32::from(c).to_string());
                label.push(';');
            }
            c => label.push(c),
        }
    }
    label
}
