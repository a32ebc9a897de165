//! `--graph=json`, for programs: one object, versioned, tasks in declaration order.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use super::list::{Entry, TemplateEntry, template_entries};
use super::{Graph, Via};
use crate::task::Catalog;

#[derive(Serialize)]
struct Sheet<'a> {
    v: u32,
    tasks: Vec<Entry<'a>>,
    /// Dependency, dependent.
    edges: Vec<Edge<'a>>,
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
    let edges = |wanted: Option<Via>| -> Vec<Edge<'_>> {
        let edges = graph.planned().iter().flat_map(|&task| {
            let dependents = graph.dependents(task).iter();
            dependents.map(move |&dependent| (task, dependent))
        });
        let wanted = edges.filter(|(task, dependent)| {
            wanted.is_none_or(|via| graph.via(*task, *dependent) == via)
        });
        let named = wanted.map(|(task, dependent)| [task, dependent].map(|id| catalog.name(id)));
        named.collect()
    };
    let tasks = graph.planned().iter();
    let sheet = Sheet {
        v: 1,
        tasks: tasks.map(|&task| Entry::new(catalog, task)).collect(),
        edges: edges(None),
        before: edges(Some(Via::Before)),
        then: edges(Some(Via::Then)),
        templates: template_entries(catalog, graph.planned()),
    };
    serde_json::to_writer_pretty(&mut *out, &sheet)?;
    writeln!(out)
}
