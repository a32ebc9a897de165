//! `--graph=json`, for programs: one object, versioned, tasks in declaration order.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use super::list::{Each, Entry, TemplateEntry, template_entries};
use super::{Graph, Via};
use crate::task::{Catalog, TaskId};

#[derive(Serialize)]
struct Sheet<'a, T: Serialize, E: Serialize> {
    v: u32,
    tasks: T,
    /// Dependency, dependent.
    edges: E,
    /// Those of them that the dependency declares, which the dependent does not run without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    before: Vec<Edge<'a>>,
    /// Those of them that the dependency declares, which takes the dependent along.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    then: Vec<Edge<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    templates: Vec<TemplateEntry<'a>>,
}

type Edge<'a> = [Cow<'a, str>; 2];

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    let edges = || {
        graph.planned().iter().flat_map(|&task| {
            let dependents = graph.dependents(task).iter();
            dependents.map(move |&dependent| [task, dependent])
        })
    };
    let named = |edge: [TaskId; 2]| edge.map(|id| catalog.name(id));
    let joined = |wanted: Via| -> Vec<Edge<'_>> {
        let wanted = edges().filter(|[task, dependent]| graph.via(*task, *dependent) == wanted);
        wanted.map(named).collect()
    };
    let sheet = Sheet {
        v: 1,
        tasks: Each(|| {
            let tasks = graph.planned().iter();
            tasks.map(|&task| Entry::new(catalog, task))
        }),
        edges: Each(|| edges().map(named)),
        before: joined(Via::Before),
        then: joined(Via::Then),
        templates: template_entries(catalog, graph.planned()),
    };
    serde_json::to_writer_pretty(&mut *out, &sheet)?;
    writeln!(out)
}
