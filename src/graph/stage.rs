//! The stages of a run: which tasks wait for all of which others without naming them.
//!
//! Pure: knows nothing of how tasks end.

use super::naming::at;
use super::{Adjacency, Links, Via};
use crate::error::{Error, Result};
use crate::task::{Catalog, Condition, TaskId};

/// A part of a run. No task starts before all of lower stages have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stage {
    /// It has the condition `no_failures`, or comes after a task that has it.
    pub last: bool,
    /// As declared.
    pub wave: u32,
}

/// The stages of all tasks, which stand behind their dependencies; nothing where all are of the first one.
///
/// Errors: `graph.wave`.
pub(super) fn stages(
    catalog: &Catalog,
    links: &Links,
    order: &[TaskId],
    dependencies: &Adjacency,
) -> Result<Vec<Stage>> {
    let declared = |task: &TaskId| declared(catalog, *task);
    if order.iter().all(|task| declared(task) == Stage::default()) {
        return Ok(Vec::new());
    }
    let mut stages = vec![Stage::default(); dependencies.ids()];
    for task in order {
        let before = dependencies.of(*task).iter();
        let before = before.map(|dependency| (*dependency, stages[dependency.index()]));
        stages[task.index()] = of(catalog, links, *task, before)?;
    }
    Ok(stages)
}

/// The stage of a task after dependencies of some stages.
///
/// Errors: `graph.wave` where one of them is higher.
pub(super) fn of(
    catalog: &Catalog,
    links: &Links,
    task: TaskId,
    dependencies: impl Iterator<Item = (TaskId, Stage)> + Clone,
) -> Result<Stage> {
    let mut stage = declared(catalog, task);
    stage.last |= dependencies.clone().any(|(_, stage)| stage.last);
    for (dependency, other) in dependencies {
        if other > stage {
            return Err(error(catalog, links, (dependency, other), (task, stage)));
        }
    }
    Ok(stage)
}

/// The stage of a task that comes after nothing.
pub(super) fn declared(catalog: &Catalog, task: TaskId) -> Stage {
    let declared = catalog.declared(task);
    declared.map_or_else(Stage::default, |options| Stage {
        last: options.condition == Condition::NoFailures,
        wave: options.wave,
    })
}

fn error(
    catalog: &Catalog,
    links: &Links,
    (dependency, higher): (TaskId, Stage),
    (task, lower): (TaskId, Stage),
) -> Error {
    let shown = |task, stage: Stage| format!("`{}` (wave {})", catalog.name(task), stage.wave);
    let (dependent, needed) = (shown(task, lower), shown(dependency, higher));
    let (joined, place) = match links.via(dependency, task) {
        Via::After => (
            format!("{dependent} comes after {needed}"),
            at(catalog, task),
        ),
        Via::Before => (
            format!("{needed} comes before {dependent}"),
            at(catalog, dependency),
        ),
        Via::Then => (
            format!("{needed} is followed by {dependent}"),
            at(catalog, dependency),
        ),
    };
    let message = format!("{joined}, but a wave starts when all lower ones have ended{place}");
    let (task, dependency) = (catalog.name(task), catalog.name(dependency));
    let hint = format!(
        "give `{task}` wave {}, or `{dependency}` wave {}",
        higher.wave, lower.wave
    );
    let error = Error::new("graph.wave", message).hint(hint);
    if lower.last {
        return error.hint("both belong to what `no_failures` puts last, which has its own waves");
    }
    error
}
