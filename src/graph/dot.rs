//! `--graph=dot`, for Graphviz. petgraph writes the frame, the labels are ours.

use std::io;

use petgraph::dot::{Config, Dot};
use petgraph::graph::{DiGraph, EdgeReference, NodeIndex};

use super::{Graph, Via, traits};
use crate::task::{Catalog, TaskId};

pub(super) fn write(out: &mut dyn io::Write, catalog: &Catalog, graph: &Graph) -> io::Result<()> {
    let mut drawn = DiGraph::<Node<'_>, &str>::new();
    let mut nodes = vec![NodeIndex::end(); graph.ids()];
    for &task in graph.planned() {
        let name = catalog.name(task);
        nodes[task.index()] = drawn.add_node(Node { task, name });
    }
    for &task in graph.planned() {
        for &dependent in graph.dependents(task) {
            let label = match graph.via(task, dependent) {
                Via::After => "",
                Via::Before => "before",
                Via::Then => "then",
            };
            drawn.add_edge(nodes[task.index()], nodes[dependent.index()], label);
        }
    }
    let edge = |_: &DiGraph<_, _>, edge: EdgeReference<'_, &str>| match *edge.weight() {
        "" => String::new(),
        label => format!("label = \"{label}\" style = dashed "),
    };
    let node = |_: &DiGraph<_, _>, (_, node): (NodeIndex, &Node<'_>)| {
        let traits = traits(catalog.task(node.task).options());
        if traits.is_empty() {
            return String::new();
        }
        format!("xlabel = \"{}\" ", quoted(&traits.join("; ")))
    };
    let config = [Config::EdgeNoLabel];
    let dot = Dot::with_attr_getters(&drawn, &config, &edge, &node);
    write!(out, "{dot}")
}

/// A node shows its name; the rest are attributes.
struct Node<'a> {
    task: TaskId,
    name: std::borrow::Cow<'a, str>,
}

impl std::fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// As it stands between the quotes of an attribute.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
