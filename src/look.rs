//! Ways to look at a selection without running anything: no setup, no task.
//!
//! Writes to whatever it is given.

use std::io;
use std::sync::Arc;

use crate::cli::Look;
use crate::error::escape;
use crate::graph::{Graph, draw, list, traits};
use crate::plan::{Plan, Rules};
use crate::task::{Catalog, Outcome};

/// Writes what is to be looked at.
pub fn look(
    out: &mut dyn io::Write,
    catalog: &Catalog,
    graph: &Arc<Graph>,
    look: Look,
) -> io::Result<()> {
    match look {
        Look::Graph(format) => draw(out, catalog, graph, format),
        Look::List(format) => list(out, catalog, graph.planned(), format),
        Look::Order => order(out, catalog, graph),
    }
}

/// The order with one worker where everything passes, what each task waits for, and what else it declares.
fn order(out: &mut dyn io::Write, catalog: &Catalog, graph: &Arc<Graph>) -> io::Result<()> {
    let mut plan = Plan::new(catalog, graph, Rules::default());
    let digits = graph.planned().len().to_string().len();
    for number in 1.. {
        let Some(task) = plan.take() else { break };
        plan.finish(task, Outcome::Passed);
        let after: Vec<_> = graph
            .dependencies(task)
            .iter()
            .map(|d| catalog.name(*d))
            .collect();
        let after = (!after.is_empty()).then(|| format!("after {}", after.join(", ")));
        let notes: Vec<_> = after
            .into_iter()
            .chain(traits(catalog.task(task).options()))
            .collect();
        write!(out, "{number:digits$}  {}", catalog.name(task))?;
        if !notes.is_empty() {
            write!(out, "  ({})", escape(&notes.join("; ")))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sketch;

    #[test]
    fn the_order_tells_what_each_task_waits_for_and_declares() {
        let catalog = sketch::catalog("c<b@1!a b<a%db,x:r a d@1<b,c");
        let graph = Arc::new(sketch::graph(&catalog).unwrap());
        let mut out = Vec::new();
        look(&mut out, &catalog, &graph, Look::Order).unwrap();
        let expected = "\
1  a
2  b  (after a; locks db, x:r)
3  c  (after b; wave 1; always)
4  d  (after c, b; wave 1)
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
