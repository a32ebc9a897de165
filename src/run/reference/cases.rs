//! Runs that are made up.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Case, Spec};
use crate::task::{Condition, Lock, Outcome};

prop_compose! {
    fn specs()(
        planned in prop::bool::weighted(0.7),
        locks in prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((0..2, any::<bool>()), 1..3)],
        condition in prop_oneof![
            8 => Just(Condition::AfterPassed), 1 => Just(Condition::NoFailures), 2 => Just(Condition::Always)],
        priority in prop_oneof![3 => Just(0), 1 => -1..2],
        exclusive in prop::bool::weighted(0.1),
        retries in prop_oneof![2 => Just(0_u32), 1 => 1_u32..3],
        ends in prop::collection::vec(prop_oneof![
            5 => Just(Outcome::Passed), 2 => Just(Outcome::Failed), 1 => Just(Outcome::Skipped)], 1..4),
        asks in prop::bool::weighted(0.2),
    ) -> Spec {
        let mut locks: Vec<_> = locks
            .into_iter()
            .map(|(name, shared)| Lock { name: format!("lock{name}").into(), shared })
            .collect();
        locks.sort();
        locks.dedup_by(|a, b| a.name == b.name);
        Spec { planned, locks, condition, priority, exclusive, retries, ends, asks, ..Spec::default() }
    }
}

prop_compose! {
    /// Tasks that declare nothing, or only a priority, and most of which pass.
    fn plain_specs()(
        priority in prop_oneof![6 => Just(0), 1 => -1..2],
        end in prop_oneof![12 => Just(Outcome::Passed), 1 => Just(Outcome::Failed), 1 => Just(Outcome::Skipped)],
        asks in prop::bool::weighted(0.05),
    ) -> Spec {
        Spec { priority, ends: vec![end], asks, ..Spec::default() }
    }
}

/// Plain tasks, and so many of a hundred that are not.
fn mixed_specs(special: u32, count: usize) -> impl Strategy<Value = Vec<Spec>> {
    let spec = prop_oneof![100 - special => plain_specs().boxed(), special => specs().boxed()];
    prop::collection::vec(spec, count)
}

prop_compose! {
    /// Runs in which nobody waits in a circle.
    pub(in crate::run) fn cases()(
        count in 1_usize..14,
        special in prop_oneof![Just(99), Just(50), Just(15)],
    )(
        tasks in mixed_specs(special, count),
        edges in prop::collection::vec((0..count, 0..count), 0..count * 2),
        runs in prop::collection::vec((0..count, 0..count), 0..count * 3),
        // Declared in any order: a dependency may stand behind its dependent.
        order in Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
        waves in prop_oneof![
            1 => Just(Vec::new()), u32::from(special > 50) => prop::collection::vec(0..count, 1..3)],
        with_locks in any::<bool>(),
        workers in prop_oneof![
            4 => Just(1_usize), 4 => Just(2), 4 => Just(3), 2 => Just(8), 2 => Just(64), 1 => Just(1000)],
        skip_deps in prop::bool::weighted(0.8),
        max_fail in prop_oneof![4 => Just(0_usize), 1 => 1_usize..3],
    ) -> Case {
        let mut case = Case { tasks, workers, skip_deps, max_fail };
        for (task, spec) in case.tasks.iter_mut().enumerate() {
            let wave = waves.iter().filter(|first| **first <= order[task]).count();
            spec.wave = u32::try_from(wave).unwrap();
            if !with_locks {
                spec.locks.clear();
            }
        }
        for (a, b) in edges {
            let (first, then) = if order[a] < order[b] { (a, b) } else { (b, a) };
            if a != b && (case.tasks[first].planned || !case.tasks[then].planned) {
                case.tasks[then].after.push(first);
            }
        }
        for spec in &mut case.tasks {
            spec.after.sort_unstable();
            spec.after.dedup();
        }
        add_runs(&mut case, &order, runs);
        case
    }
}

/// A task runs only others that cannot wait for it: neither as dependencies nor for their stage, nor for a lock.
fn add_runs(case: &mut Case, order: &[usize], mut runs: Vec<(usize, usize)>) {
    runs.retain(|(task, target)| order[*target] < order[*task] && !case.tasks[*target].planned);
    let has_locks = case.tasks.iter().any(|spec| !spec.locks.is_empty());
    runs.retain(|(task, target)| {
        let (last, wave) = case.stage(*task);
        let added = case.with_dependencies(*target).into_iter();
        let mut added = added.filter(|other| !case.tasks[*other].planned);
        added.all(|other| {
            let (other_last, other_wave) = case.stage(other);
            // A part that has been judged does not get more tasks.
            other_last == last && (other_wave == wave || (other_wave < wave && !has_locks))
        })
    });
    for (task, target) in runs {
        if !case.tasks[task].runs.contains(&target) {
            case.tasks[task].runs.push(target);
        }
    }
    // Who waits holds no lock that anybody needs who is waited for.
    let count = case.tasks.len();
    let waiters: Vec<_> = (0..count)
        .filter(|task| !case.tasks[*task].runs.is_empty())
        .collect();
    let awaited: BTreeSet<_> = waiters
        .iter()
        .flat_map(|waiter| case.tasks[*waiter].runs.clone())
        .flat_map(|target| case.needed(target))
        .collect();
    for waiter in waiters {
        if awaited
            .iter()
            .any(|task| *task != waiter && case.conflict(*task, waiter))
        {
            case.tasks[waiter].locks.clear();
        }
    }
}
