//! `--graph=json`, for programs: one object, versioned, tasks in declaration order.

use std::io;

use serde::Serialize;

use super::Graph;
use super::list::Entry;
use crate::task::Catalog;

#[derive(Serialize)]
struct Sheet<'a> {
    v: u32,
    tasks: Vec<Entry<'a>>,
    /// Dependency, dependent.
    edges: Vec<[std::borrow::Cow<'a, str>; 2]>,
}

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    let edges = graph.planned().iter().flat_map(|&task| {
        let dependents = graph.dependents(task).iter();
        dependents.map(move |&dependent| [catalog.name(task), catalog.name(dependent)])
    });
    let sheet = Sheet {
        v: 1,
        tasks: graph
            .planned()
            .iter()
            .map(|&task| Entry::new(catalog, task))
            .collect(),
        edges: edges.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &sheet)?;
    writeln!(out)
}
