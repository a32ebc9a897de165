//! `--graph`, for people: nodes, edges, the longest chains and the crowded places.
//!
//! The text is that of the Python tools, to the letter; scripts read it. What those do not know follows in sections of its
//! own, where there is any.

use std::collections::BTreeMap;
use std::io;

use super::Graph;
use super::list::templates;
use super::traits::{condition, limits};
use crate::error::escape;
use crate::task::{Catalog, Options, TaskId};

/// How many of the longest chains are shown.
const CHAINS: usize = 3;

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    let sheet = Sheet::new(catalog, graph);
    sheet.head(out)?;
    sheet.nodes(out)?;
    sheet.edges(out)?;
    sheet.stats(out)?;
    sheet.waves(out)?;
    sheet.locks(out)?;
    sheet.notes(out, "Conditions", |options| {
        condition(options.condition)
            .into_iter()
            .map(Into::into)
            .collect()
    })?;
    sheet.notes(out, "Limits", limits)?;
    templates(out, catalog, graph.planned())
}

/// The graph with its tasks numbered by name.
struct Sheet<'a> {
    catalog: &'a Catalog,
    graph: &'a Graph,
    names: Vec<std::borrow::Cow<'a, str>>,
    /// By name.
    sorted: Vec<TaskId>,
    /// By task: its place in `sorted`.
    number: Vec<usize>,
    /// By task: how long the longest chain of dependencies is that ends there; also its level.
    depth: Vec<usize>,
}

impl<'a> Sheet<'a> {
    fn new(catalog: &'a Catalog, graph: &'a Graph) -> Self {
        let names: Vec<_> = catalog.ids().map(|id| catalog.name(id)).collect();
        let mut sorted = graph.planned().to_vec();
        sorted.sort_by(|a, b| names[a.index()].cmp(&names[b.index()]));
        let mut number = vec![0; graph.ids()];
        for (place, task) in sorted.iter().enumerate() {
            number[task.index()] = place;
        }
        let mut depth = vec![0; graph.ids()];
        for &task in graph.topological() {
            let deepest = graph
                .dependencies(task)
                .iter()
                .map(|d| depth[d.index()] + 1)
                .max();
            depth[task.index()] = deepest.unwrap_or(0);
        }
        Self {
            catalog,
            graph,
            names,
            sorted,
            number,
            depth,
        }
    }

    fn head(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let (nodes, edges) = (self.sorted.len(), self.graph.edge_count());
        writeln!(out, "Graph: {nodes} nodes, {edges} edges")?;
        let roots = self
            .sorted
            .iter()
            .filter(|t| self.graph.dependencies(**t).is_empty());
        writeln!(out, "Roots: {}", self.numbers(roots))?;
        let leaves = self
            .sorted
            .iter()
            .filter(|t| self.graph.dependents(**t).is_empty());
        writeln!(out, "Leaves: {}", self.numbers(leaves))?;
        writeln!(out, "Levels: {}", self.longest() + 1)
    }

    fn nodes(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "\nNodes:")?;
        for (number, task) in self.sorted.iter().enumerate() {
            writeln!(out, "  [{number}] {}", self.name(*task))?;
        }
        Ok(())
    }

    fn edges(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "\nEdges:")?;
        for (number, task) in self.sorted.iter().enumerate() {
            let mut dependents = self.graph.dependents(*task).to_vec();
            dependents.sort_by_key(|task| self.number[task.index()]);
            let ends = if dependents.is_empty() {
                "(none)".to_owned()
            } else {
                self.numbers(&dependents)
            };
            writeln!(out, "  [{number}] -> {ends}")?;
        }
        Ok(())
    }

    fn stats(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let longest = self.longest();
        writeln!(out, "\nStats:")?;
        writeln!(out, "  Longest chain length (edges): {longest}")?;
        writeln!(out, "  Longest chains:")?;
        let ends = self
            .sorted
            .iter()
            .filter(|task| self.depth[task.index()] == longest);
        for &end in ends.take(if longest == 0 { 1 } else { CHAINS }) {
            writeln!(out, "    {}", self.chain(end))?;
        }
        self.crowded(
            out,
            "High fan-in nodes (many dependencies)",
            "indegree",
            |task| self.graph.dependencies(task).len(),
        )?;
        self.crowded(
            out,
            "High fan-out nodes (many dependents)",
            "children",
            |task| self.graph.dependents(task).len(),
        )
    }

    /// The tasks with two or more of something; nothing where there are none.
    fn crowded(
        &self,
        out: &mut dyn io::Write,
        title: &str,
        unit: &str,
        count: impl Fn(TaskId) -> usize,
    ) -> io::Result<()> {
        let mut crowded = self
            .sorted
            .iter()
            .filter(|task| count(**task) >= 2)
            .peekable();
        if crowded.peek().is_some() {
            writeln!(out, "  {title}:")?;
        }
        for &task in crowded {
            writeln!(out, "    {} ({unit}={})", self.name(task), count(task))?;
        }
        Ok(())
    }

    /// The tasks of each wave, where there is more than the first.
    fn waves(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut waves: BTreeMap<u32, Vec<TaskId>> = BTreeMap::new();
        for &task in &self.sorted {
            let wave = self.catalog.task(task).options().wave;
            waves.entry(wave).or_default().push(task);
        }
        if waves.keys().all(|wave| *wave == 0) {
            return Ok(());
        }
        writeln!(out, "\nWaves:")?;
        for (wave, tasks) in &waves {
            writeln!(out, "  {wave}: {}", self.numbers(tasks))?;
        }
        Ok(())
    }

    /// The tasks that declare each lock.
    fn locks(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut locks: BTreeMap<String, Vec<TaskId>> = BTreeMap::new();
        for &task in &self.sorted {
            for lock in &self.catalog.task(task).options().locks {
                locks.entry(lock.to_string()).or_default().push(task);
            }
        }
        if !locks.is_empty() {
            writeln!(out, "\nLocks:")?;
        }
        for (lock, tasks) in &locks {
            writeln!(out, "  {}: {}", escape(lock), self.numbers(tasks))?;
        }
        Ok(())
    }

    /// The tasks that declare something, with what it is.
    fn notes(
        &self,
        out: &mut dyn io::Write,
        title: &str,
        of: impl Fn(&Options) -> Vec<String>,
    ) -> io::Result<()> {
        let notes = self
            .sorted
            .iter()
            .map(|&task| (task, of(self.catalog.task(task).options())));
        let mut notes = notes.filter(|(_, notes)| !notes.is_empty()).peekable();
        if notes.peek().is_some() {
            writeln!(out, "\n{title}:")?;
        }
        for (task, notes) in notes {
            writeln!(out, "  {} {}", self.numbers([&task]), notes.join("; "))?;
        }
        Ok(())
    }

    /// The longest chain that ends in `end`; among equals the predecessor first by name.
    fn chain(&self, end: TaskId) -> String {
        let mut chain = vec![self.name(end)];
        let mut task = end;
        while self.depth[task.index()] > 0 {
            let before = self.depth[task.index()] - 1;
            let dependencies = self.graph.dependencies(task).iter();
            task = *dependencies
                .filter(|d| self.depth[d.index()] == before)
                .min_by_key(|d| self.number[d.index()])
                .expect("a task of some depth has a dependency of one less");
            chain.push(self.name(task));
        }
        chain.reverse();
        chain.join(" -> ")
    }

    fn longest(&self) -> usize {
        self.sorted
            .iter()
            .map(|task| self.depth[task.index()])
            .max()
            .unwrap_or(0)
    }

    fn numbers<'t>(&self, tasks: impl IntoIterator<Item = &'t TaskId>) -> String {
        let numbers = tasks
            .into_iter()
            .map(|task| format!("[{}]", self.number[task.index()]));
        numbers.collect::<Vec<_>>().join(", ")
    }

    fn name(&self, task: TaskId) -> &str {
        &self.names[task.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::sketch;
    use super::*;

    fn drawn(tasks: &str) -> String {
        let catalog = sketch::catalog(tasks);
        let mut out = Vec::new();
        write(&mut out, &catalog, &sketch::graph(&catalog).unwrap()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_single_task_is_root_leaf_and_longest_chain() {
        let expected = "\
Graph: 1 nodes, 0 edges
Roots: [0]
Leaves: [0]
Levels: 1

Nodes:
  [0] only

Edges:
  [0] -> (none)

Stats:
  Longest chain length (edges): 0
  Longest chains:
    only
";
        assert_eq!(drawn("only"), expected);
    }

    #[test]
    fn a_diamond_lists_one_chain_and_both_crowds() {
        let text = drawn("d<c,b c<a b<a a");
        let expected = "\
Graph: 4 nodes, 4 edges
Roots: [0]
Leaves: [3]
Levels: 3

Nodes:
  [0] a
  [1] b
  [2] c
  [3] d

Edges:
  [0] -> [1], [2]
  [1] -> [3]
  [2] -> [3]
  [3] -> (none)

Stats:
  Longest chain length (edges): 2
  Longest chains:
    a -> b -> d
  High fan-in nodes (many dependencies):
    d (indegree=2)
  High fan-out nodes (many dependents):
    a (children=2)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn at_most_three_chains_are_shown() {
        let text = drawn("r a<r b<r c<r d<r");
        let chains: Vec<_> = text.lines().filter(|line| line.contains("r -> ")).collect();
        assert_eq!(chains, ["    r -> a", "    r -> b", "    r -> c"]);
    }
}
