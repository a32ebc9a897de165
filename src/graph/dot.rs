//! `--graph=dot`, for Graphviz. petgraph writes the frame, the labels are ours.

use std::io;

use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, NodeIndex};

use super::Graph;
use crate::task::Catalog;

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    let mut drawn = DiGraph::<String, &str>::new();
    let mut nodes = vec![NodeIndex::end(); graph.ids()];
    for &task in graph.planned() {
        nodes[task.index()] = drawn.add_node(catalog.name(task).into_owned());
    }
    for &task in graph.planned() {
        for &dependent in graph.dependents(task) {
            drawn.add_edge(nodes[task.index()], nodes[dependent.index()], "");
        }
    }
    write!(out, "{}", Dot::with_config(&drawn, &[Config::EdgeNoLabel]))
}
