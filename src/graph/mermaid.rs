//! `--graph=mermaid`, for Markdown pages that draw such blocks.

use std::io;

use super::Graph;
use crate::task::Catalog;

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    writeln!(out, "graph TD")?;
    for &task in graph.planned() {
        writeln!(
            out,
            "    t{}[\"{}\"]",
            task.index(),
            label(&catalog.name(task))
        )?;
    }
    for &task in graph.planned() {
        for dependent in graph.dependents(task) {
            writeln!(out, "    t{} --> t{}", task.index(), dependent.index())?;
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
