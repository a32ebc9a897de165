//! What joins a run that goes on: a task that another one starts, and all that it needs.
//!
//! Pure: the run tells what is part of it already.

use std::collections::{HashMap, HashSet};

use super::{Adjacency, Links, Stage, cycle, stage};
use crate::error::Result;
use crate::task::{Catalog, Condition, TaskId};

/// What a run knows of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is part of the run.
    Planned,
    /// Its result was given, so it need not run.
    Given,
    /// Neither.
    New,
}

/// A task to be added to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The task.
    pub task: TaskId,
    /// Those that it comes after, planned already or added before it.
    pub dependencies: Vec<TaskId>,
    /// When it may start.
    pub stage: Stage,
}

impl Links {
    /// The wanted tasks, all that they need, and all that these take along, as far as they are new to the run; each after
    /// its dependencies. What is planned already gets no new dependency.
    ///
    /// Errors: `graph.cycle`; `graph.wave` where one of them depends on a task of a higher stage.
    pub fn addition(
        &self,
        catalog: &Catalog,
        wanted: &[TaskId],
        known: impl Fn(TaskId) -> Known,
    ) -> Result<Vec<Added>> {
        let new = self.needed(wanted, &known);
        let places: HashMap<TaskId, usize> = new.iter().copied().zip(0..).collect();
        let is_part = |id: &TaskId| places.contains_key(id) || known(*id) == Known::Planned;
        let rows = new.iter().map(|task| {
            let mut row = self.dependencies(*task);
            row.retain(is_part);
            row
        });
        let rows: Vec<_> = rows.collect();
        let order = self.order(catalog, &new, &rows, &places)?;

        let mut stages: HashMap<TaskId, Stage> = HashMap::new();
        let mut first = HashSet::new();
        let mut added = Vec::with_capacity(new.len());
        for place in order {
            let (task, row) = (new[place], &rows[place]);
            for dependency in row {
                stages.entry(*dependency).or_insert_with(|| Stage {
                    last: self.is_last(catalog, *dependency, &known, &mut first),
                    ..stage::declared(catalog, *dependency)
                });
            }
            let before = row
                .iter()
                .map(|dependency| (*dependency, stages[dependency]));
            let stage = stage::of(catalog, self, task, before)?;
            stages.insert(task, stage);
            added.push(Added {
                task,
                dependencies: row.clone(),
                stage,
            });
        }
        Ok(added)
    }

    /// The new ones among the wanted and all that they lead to, in declaration order.
    fn needed(&self, wanted: &[TaskId], known: &impl Fn(TaskId) -> Known) -> Vec<TaskId> {
        let mut new = HashSet::new();
        let mut left = wanted.to_vec();
        while let Some(task) = left.pop() {
            if known(task) == Known::New && new.insert(task) {
                let others = [self.after(task), self.befores(task), self.thens(task)];
                left.extend(others.into_iter().flatten());
            }
        }
        let mut new: Vec<_> = new.into_iter().collect();
        new.sort_unstable();
        new
    }

    /// The places of new tasks, each behind those of its dependencies.
    fn order(
        &self,
        catalog: &Catalog,
        new: &[TaskId],
        rows: &[Vec<TaskId>],
        places: &HashMap<TaskId, usize>,
    ) -> Result<Vec<usize>> {
        let local = rows.iter().map(|row| {
            let new = row.iter().filter_map(|task| places.get(task));
            new.map(|place| TaskId::new(*place))
        });
        let dependencies = Adjacency::from_rows(local);
        let ids: Vec<_> = (0..new.len()).map(TaskId::new).collect();
        let order = cycle::topological_order(&ids, &dependencies, &dependencies.reversed());
        match order {
            Ok(mut order) => {
                // Among those that wait equally long, in declaration order.
                let mut depth = vec![0; new.len()];
                for &place in &order {
                    let before = dependencies.of(place).iter();
                    let deepest = before.map(|other| depth[other.index()] + 1).max();
                    depth[place.index()] = deepest.unwrap_or(0);
                }
                order.sort_by_key(|place| (depth[place.index()], *place));
                Ok(order.into_iter().map(TaskId::index).collect())
            }
            Err(cycle) => {
                let cycle: Vec<_> = cycle.into_iter().map(|place| new[place.index()]).collect();
                Err(cycle::error(catalog, self, &cycle))
            }
        }
    }

    /// Whether a planned task starts only where there are no failures. `first` remembers those that do not.
    fn is_last(
        &self,
        catalog: &Catalog,
        task: TaskId,
        known: &impl Fn(TaskId) -> Known,
        first: &mut HashSet<TaskId>,
    ) -> bool {
        if !self.has_last() {
            return false;
        }
        let mut seen = HashSet::from([task]);
        let mut left = vec![task];
        while let Some(task) = left.pop() {
            if catalog.task(task).options().condition == Condition::NoFailures {
                return true;
            }
            let planned = self.dependencies(task).into_iter();
            let planned = planned.filter(|id| known(*id) == Known::Planned && !first.contains(id));
            left.extend(planned.filter(|id| seen.insert(*id)));
        }
        first.extend(seen);
        false
    }
}
