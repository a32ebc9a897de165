//! The checked graph: who comes after whom, and that nobody waits for itself. Also its views.
//!
//! Values in, values out. Knows nothing of how tasks run or end. Only this room knows petgraph.

mod adjacency;
mod cycle;
mod dot;
mod heads;
mod json;
mod late;
mod links;
mod list;
mod mermaid;
mod names;
mod naming;
mod rules;
#[cfg(test)]
pub(crate) mod sketch;
mod stage;
#[cfg(test)]
mod tests;
mod text;
mod traits;
mod word;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use adjacency::Adjacency;
pub use late::{Added, Known};
pub use links::Links;
pub use list::{ListFormat, list};
pub use naming::{Via, meant, names_of};
pub use stage::Stage;
pub use traits::traits;

use crate::error::Result;
use crate::task::{Catalog, TaskId};

/// The dependencies among the planned tasks: a directed graph without cycles.
pub struct Graph {
    planned: Vec<TaskId>,
    dependencies: Arc<Adjacency>,
    dependents: Adjacency,
    /// Every task after its dependencies.
    order: Vec<TaskId>,
    /// Dependency and dependent, where the dependent does not name the dependency.
    vias: HashMap<(TaskId, TaskId), Via>,
    /// By task; nothing where all are of the first one.
    stages: Vec<Stage>,
}

impl Graph {
    /// The graph of the selected tasks, which stand in declaration order. Dependencies on others are dropped.
    ///
    /// Errors: `graph.cycle`, with the whole cycle; `graph.wave` for a dependency on a task of a higher stage.
    pub fn new(catalog: &Catalog, links: &Links, planned: Vec<TaskId>) -> Result<Self> {
        let dependencies = links.among(&planned);
        let dependents = dependencies.reversed();
        let order = cycle::topological_order(&planned, &dependencies, &dependents)
            .map_err(|cycle| cycle::error(catalog, links, &cycle))?;
        let stages = stage::stages(catalog, links, &order, &dependencies)?;
        let mut vias = HashMap::new();
        if !links.is_plain() {
            for &task in &planned {
                for &dependency in dependencies.of(task) {
                    let via = links.via(dependency, task);
                    if via != Via::After {
                        vias.insert((dependency, task), via);
                    }
                }
            }
        }
        Ok(Self {
            planned,
            dependencies,
            dependents,
            order,
            vias,
            stages,
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

    /// How a dependency came to be one.
    pub fn via(&self, dependency: TaskId, dependent: TaskId) -> Via {
        let via = self.vias.get(&(dependency, dependent));
        via.copied().unwrap_or(Via::After)
    }

    /// Not all tasks are of one stage.
    pub fn has_stages(&self) -> bool {
        !self.stages.is_empty()
    }

    /// The stage of a planned task: none of a higher stage starts before all of the lower ones have ended.
    pub fn stage(&self, task: TaskId) -> Stage {
        self.stages.get(task.index()).copied().unwrap_or_default()
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
