//! The checked graph: who comes after whom, and that nobody waits for itself. Also its views.
//!
//! Values in, values out. Knows nothing of how tasks run or end. Only this room knows petgraph.

mod adjacency;
mod cycle;
mod dot;
mod json;
mod links;
mod list;
mod mermaid;
#[cfg(test)]
pub(crate) mod sketch;
mod text;

use std::io;

use adjacency::Adjacency;
pub use links::Links;
pub use list::{ListFormat, list};

use crate::error::Result;
use crate::task::{Catalog, TaskId};

/// The dependencies among the planned tasks: a directed graph without cycles.
pub struct Graph {
    planned: Vec<TaskId>,
    dependencies: Adjacency,
    dependents: Adjacency,
    /// Every task after its dependencies.
    order: Vec<TaskId>,
}

impl Graph {
    /// The graph of the selected tasks, which stand in declaration order. Dependencies on others are dropped.
    ///
    /// Errors: `graph.cycle`, with the whole cycle.
    pub fn new(catalog: &Catalog, links: &Links, planned: Vec<TaskId>) -> Result<Self> {
        let dependencies = links.among(&planned);
        let dependents = dependencies.reversed();
        let order = cycle::topological_order(&planned, &dependencies, &dependents)
            .map_err(|cycle| cycle::error(catalog, &cycle))?;
        Ok(Self {
            planned,
            dependencies,
            dependents,
            order,
        })
    }

    /// The planned tasks, in declaration order.
    pub fn planned(&self) -> &[TaskId] {
        &self.planned
    }

    /// The planned tasks, every one after its dependencies.
    pub fn topological(&self) -> &[TaskId] {
        &self.order
    }

    /// Those that come before a task, in declaration order.
    pub fn dependencies(&self, task: TaskId) -> &[TaskId] {
        self.dependencies.of(task)
    }

    /// Those that come after a task, in declaration order.
    pub fn dependents(&self, task: TaskId) -> &[TaskId] {
        self.dependents.of(task)
    }

    /// How many dependencies there are in all.
    pub fn edge_count(&self) -> usize {
        self.dependencies.edge_count()
    }

    /// The number of ids, planned or not: the length of dense arrays.
    pub fn ids(&self) -> usize {
        self.dependencies.ids()
    }
}

/// How `--graph` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    /// For people: nodes, edges and figures.
    Text,
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// For programs.
    Json,
}

/// Writes the graph.
pub fn draw(
    out: &mut dyn io::Write,
    catalog: &Catalog,
    graph: &Graph,
    format: GraphFormat,
) -> io::Result<()> {
    match format {
        GraphFormat::Text => text::write(out, catalog, graph),
        GraphFormat::Dot => dot::write(out, catalog, graph),
        GraphFormat::Mermaid => mermaid::write(out, catalog, graph),
        GraphFormat::Json => json::write(out, catalog, graph),
    }
}
