//! Puts tasks in topological order, or finds the cycle that forbids it.
//!
//! Nothing recurses, so depth is no limit.

use std::fmt::Write as _;

use super::naming::at;
use super::{Adjacency, Links, Via};
use crate::error::Error;
use crate::task::{Catalog, TaskId};

/// Every task after its dependencies; or a cycle, each task before its dependent, starting at the one declared first.
///
/// Takes away tasks whose dependencies are gone until none is left to take (Kahn's algorithm).
pub(super) fn topological_order(
    planned: &[TaskId],
    dependencies: &Adjacency,
    dependents: &Adjacency,
) -> Result<Vec<TaskId>, Vec<TaskId>> {
    let mut left: Vec<u32> = dependencies.lens().collect();
    let mut order = Vec::with_capacity(planned.len());
    order.extend(planned.iter().filter(|task| left[task.index()] == 0));
    let mut taken = 0;
    while let Some(&task) = order.get(taken) {
        taken += 1;
        for &dependent in dependents.of(task) {
            let left = &mut left[dependent.index()];
            *left -= 1;
            if *left == 0 {
                order.push(dependent);
            }
        }
    }
    if order.len() == planned.len() {
        return Ok(order);
    }
    Err(find_cycle(planned, dependencies, |task| {
        left[task.index()] > 0
    }))
}

/// From any task that cannot be taken, walking to a dependency that cannot either must come round.
fn find_cycle(
    planned: &[TaskId],
    dependencies: &Adjacency,
    is_stuck: impl Fn(&TaskId) -> bool,
) -> Vec<TaskId> {
    let mut position = vec![usize::MAX; dependencies.ids()];
    let mut walk = Vec::new();
    let first = planned.iter().copied().find(&is_stuck);
    let mut task = first.expect("a cycle");
    while position[task.index()] == usize::MAX {
        position[task.index()] = walk.len();
        walk.push(task);
        let mut dependencies = dependencies.of(task).iter().copied();
        task = dependencies.find(&is_stuck).expect("a stuck dependency");
    }
    let mut cycle = walk.split_off(position[task.index()]);
    cycle.reverse();
    let first = (0..cycle.len()).min_by_key(|&i| cycle[i]).unwrap_or(0);
    cycle.rotate_left(first);
    cycle
}

/// How many tasks of a long cycle are written out.
const SHOWN: usize = 12;

/// `a` → `b` → `a`, and where they are declared. The arrow says so where `a` declares that it comes before `b`.
pub(super) fn error(catalog: &Catalog, links: &Links, cycle: &[TaskId]) -> Error {
    let name = |task: &TaskId| format!("`{}`", catalog.name(*task));
    let mut path = String::new();
    for (place, task) in cycle.iter().enumerate() {
        if place == SHOWN {
            let _ = write!(path, "… {} more … → ", cycle.len() - SHOWN);
            break;
        }
        let dependent = cycle[(place + 1) % cycle.len()];
        let arrow = match links.via(*task, dependent) {
            Via::After => "→",
            Via::Before => "–before→",
            Via::Then => "–then→",
        };
        let _ = write!(path, "{} {arrow} ", name(task));
    }
    let message = format!(
        "the tasks wait for each other in a circle: {path}{}",
        name(&cycle[0])
    );
    let places = cycle
        .iter()
        .take(SHOWN)
        .filter(|task| catalog.task(**task).place().is_some());
    places.fold(Error::new("graph.cycle", message), |error, task| {
        let place = at(catalog, *task);
        error.hint(format!("{}{place}", name(task)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::sketch;

    fn error_of(tasks: &str) -> String {
        sketch::graph(&sketch::catalog(tasks))
            .err()
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_cycle_is_printed_whole_from_its_first_task_on() {
        for (tasks, cycle) in [
            ("a<b b<a", "`a` → `b` → `a`"),
            ("x c<b a<c,x b<a", "`c` → `a` → `b` → `c`"),
            ("end<b b<a a<b", "`b` → `a` → `b`"),
        ] {
            let expected =
                format!("error[graph.cycle]: the tasks wait for each other in a circle: {cycle}");
            assert_eq!(error_of(tasks), expected);
        }
    }

    #[test]
    fn a_long_cycle_is_cut_in_the_middle() {
        let tasks: Vec<_> = (0..20)
            .map(|i| format!("t{i:02}<t{:02}", (i + 19) % 20))
            .collect();
        let message = error_of(&tasks.join(" "));
        assert!(message.ends_with("`t11` → … 8 more … → `t00`"), "{message}");
    }

    #[test]
    fn every_task_stands_after_its_dependencies() {
        let catalog = sketch::catalog("d<c,b c<a b<a a");
        let graph = sketch::graph(&catalog).unwrap();
        let place = |task| graph.topological().iter().position(|t| *t == task).unwrap();
        for &task in graph.planned() {
            for &dependency in graph.dependencies(task) {
                assert!(place(dependency) < place(task));
            }
        }
    }

    #[test]
    fn a_chain_of_200_000_needs_no_stack() {
        let chain: Vec<_> = (1..=200_000).map(|i| format!("t{i}<t{}", i - 1)).collect();
        let chain = chain.join(" ");
        assert!(sketch::graph(&sketch::catalog(&format!("t0 {chain}"))).is_ok());
        let message = error_of(&format!("t0<t200000 {chain}"));
        assert!(message.contains("… 199989 more …"), "{message}");
    }
}
