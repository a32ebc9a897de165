//! Plays a run through, one step after the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Case, Why};
use crate::event::{Attempt, Cause, Event, Finished, Stop};
use crate::task::{Condition, Failure, Outcome, TaskId};

/// An attempt under way.
#[derive(Clone, Debug)]
struct Under {
    task: usize,
    worker: usize,
    /// How many of its runs are behind it.
    next: usize,
}

/// A run that is played through.
struct World<'a> {
    case: &'a Case,
    /// The tasks of the run so far, and the longest chain of tasks that each has behind it.
    present: BTreeMap<usize, usize>,
    ended: BTreeMap<usize, (Outcome, Why)>,
    /// The last attempt of each task that was started.
    attempts: BTreeMap<usize, u32>,
    active: Vec<Under>,
    /// In the order in which they began to wait.
    paused: Vec<Under>,
    stopped: bool,
    events: Vec<Event>,
}

/// Plays a run through. `choose` says which of so many active tasks goes on next: until it waits, or to its end.
pub(in crate::run) fn simulate(case: &Case, mut choose: impl FnMut(usize) -> usize) -> Vec<Event> {
    let mut world = World {
        case,
        present: BTreeMap::new(),
        ended: BTreeMap::new(),
        attempts: BTreeMap::new(),
        active: Vec::new(),
        paused: Vec::new(),
        stopped: false,
        events: Vec::new(),
    };
    world.add(&case.initial());
    loop {
        world.settle();
        while world.resume_one() || world.start_one() {}
        if world.active.is_empty() {
            assert!(world.paused.is_empty(), "{case:?} waits for ever");
            assert_eq!(world.ended.len(), world.present.len(), "{case:?} is stuck");
            return world.events;
        }
        let index = choose(world.active.len());
        world.go_on(index);
    }
}

impl World<'_> {
    fn add(&mut self, tasks: &BTreeSet<usize>) {
        let mut chains: BTreeMap<_, _> = tasks.iter().map(|task| (*task, 1)).collect();
        for _ in tasks {
            for task in tasks {
                for dependency in &self.case.tasks[*task].after {
                    let longer = chains[task] + 1;
                    if let Some(chain) = chains.get_mut(dependency) {
                        *chain = longer.max(*chain);
                    }
                }
            }
        }
        self.present.append(&mut chains);
    }

    fn is_under_way(&self, task: usize) -> bool {
        let mut all = self.active.iter().chain(&self.paused);
        all.any(|under| under.task == task)
    }

    /// Those that wait or are ready.
    fn pending(&self) -> Vec<usize> {
        let all = self.present.keys().copied();
        all.filter(|task| !self.ended.contains_key(task) && !self.is_under_way(*task))
            .collect()
    }

    fn have_ended(&self, which: impl Fn(usize) -> bool) -> bool {
        let mut all = self.present.keys();
        all.all(|task| !which(*task) || self.ended.contains_key(task))
    }

    fn is_fine(&self, task: usize) -> bool {
        matches!(
            self.ended[&task],
            (Outcome::Passed, _) | (Outcome::Skipped, Why::Itself)
        )
    }

    /// Gives tasks their outcome that will not run.
    fn settle(&mut self) {
        while let Some((task, outcome, why)) = self.pending().into_iter().find_map(|task| {
            let (outcome, why) = self.verdict(task)?;
            Some((task, outcome, why))
        }) {
            self.end(task, outcome, why, None);
        }
    }

    fn verdict(&self, task: usize) -> Option<(Outcome, Why)> {
        let spec = &self.case.tasks[task];
        if self.attempts.contains_key(&task) {
            return None;
        }
        if spec.condition == Condition::NoFailures {
            if !self.have_ended(|t| !self.case.is_last(t)) {
                return None;
            }
            let mut all = self.present.keys().copied();
            let failure = all.find(|t| !self.case.is_last(*t) && !self.is_fine(*t));
            if let Some(failure) = failure {
                return Some((Outcome::Skipped, Why::Failures(failure)));
            }
        }
        if !spec.after.iter().all(|d| self.ended.contains_key(d)) {
            return None;
        }
        if spec.condition == Condition::Always {
            let touched = spec.after.iter().any(|d| self.attempts.contains_key(d));
            return (self.stopped && !touched).then_some((Outcome::NotRun, Why::Stopped));
        }
        let blocker = spec.after.iter().find(|d| !self.is_fine(**d))?;
        self.case
            .skip_deps
            .then_some((Outcome::Skipped, Why::Blocked(*blocker)))
    }

    fn may_start(&self, task: usize) -> bool {
        let spec = &self.case.tasks[task];
        let stage = self.case.stage(task);
        spec.after.iter().all(|d| self.ended.contains_key(d))
            && self.have_ended(|other| self.case.stage(other) < stage)
            && (!self.stopped || spec.condition == Condition::Always)
    }

    fn free_worker(&self) -> Option<usize> {
        let mut workers = 0..self.case.workers;
        workers.find(|worker| self.active.iter().all(|under| under.worker != *worker))
    }

    fn is_exclusive_active(&self) -> bool {
        let mut active = self.active.iter();
        active.any(|under| self.case.tasks[under.task].exclusive)
    }

    /// Lets the first task go on that has waited long enough.
    fn resume_one(&mut self) -> bool {
        let ended = |under: &Under| {
            let target = self.case.tasks[under.task].runs[under.next];
            self.ended.contains_key(&target)
        };
        let Some(index) = self.paused.iter().position(ended) else {
            return false;
        };
        let Some(worker) = self.free_worker() else {
            return false;
        };
        let task = self.paused[index].task;
        let alone = self.case.tasks[task].exclusive;
        if self.is_exclusive_active() || (alone && !self.active.is_empty()) {
            return false;
        }
        let under = self.paused.remove(index);
        self.active.push(Under { worker, ..under });
        self.events.push(Event::Resumed {
            task: TaskId::new(task),
            worker,
            at: Duration::ZERO,
        });
        true
    }

    /// Starts the best of the ready tasks whose locks are free. An exclusive one is waited for.
    fn start_one(&mut self) -> bool {
        let Some(worker) = self.free_worker() else {
            return false;
        };
        let mut ready = self.pending();
        ready.retain(|task| self.may_start(*task));
        ready.sort_by_key(|task| {
            let priority = self.case.tasks[*task].priority;
            (Reverse(priority), Reverse(self.present[task]), *task)
        });
        let holders: Vec<_> = self.active.iter().chain(&self.paused).collect();
        let is_free = |task: &usize| !holders.iter().any(|h| self.case.conflict(h.task, *task));
        let Some(task) = ready.into_iter().find(is_free) else {
            return false;
        };
        let alone = self.case.tasks[task].exclusive;
        if self.is_exclusive_active() || (alone && !self.active.is_empty()) {
            return false;
        }
        let attempt = self.attempts.entry(task).or_default();
        *attempt += 1;
        self.events.push(Event::Started {
            task: TaskId::new(task),
            worker,
            attempt: *attempt,
            at: Duration::ZERO,
        });
        let next = 0;
        self.active.push(Under { task, worker, next });
        true
    }

    /// An active task does what it does until it waits, or to its end.
    fn go_on(&mut self, index: usize) {
        let mut under = self.active.remove(index);
        let spec = &self.case.tasks[under.task];
        while let Some(target) = spec.runs.get(under.next) {
            if !self.present.contains_key(target) && !self.stopped {
                let mut new = self.case.with_dependencies(*target);
                new.retain(|task| !self.present.contains_key(task));
                let ids = new.iter().map(|task| TaskId::new(*task));
                self.events.push(Event::Planned(ids.collect()));
                self.add(&new);
            }
            self.settle();
            if self.present.contains_key(target) && !self.ended.contains_key(target) {
                self.events.push(Event::Paused {
                    task: TaskId::new(under.task),
                    worker: under.worker,
                    at: Duration::ZERO,
                });
                self.paused.push(under);
                return;
            }
            under.next += 1;
        }
        let attempt = self.attempts[&under.task];
        let outcome = spec.end(attempt);
        if outcome == Outcome::Failed && attempt <= spec.retries && !self.stopped {
            self.events.push(Event::Retrying {
                task: TaskId::new(under.task),
                worker: under.worker,
                number: attempt,
                attempt: failed_attempt(),
                at: Duration::ZERO,
            });
            return;
        }
        self.end(under.task, outcome, Why::Itself, Some(under.worker));
        self.settle();
        let failures = self.ended.values();
        let failures = failures.filter(|(outcome, _)| *outcome == Outcome::Failed);
        let enough = self.case.max_fail > 0 && failures.count() >= self.case.max_fail;
        if enough && !self.stopped && self.ended.len() < self.present.len() {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        let why = Stop::MaxFail(self.case.max_fail);
        self.events.push(Event::Stopping(why));
        for task in self.pending() {
            if self.attempts.contains_key(&task) {
                self.end(task, Outcome::Failed, Why::Itself, None);
            } else if self.case.tasks[task].condition != Condition::Always {
                self.end(task, Outcome::NotRun, Why::Stopped, None);
            }
        }
    }

    fn end(&mut self, task: usize, outcome: Outcome, why: Why, worker: Option<usize>) {
        self.ended.insert(task, (outcome, why));
        let cause = match why {
            Why::Blocked(by) => Some(Cause::Blocked([TaskId::new(by)].into())),
            Why::Failures(first) => Some(Cause::Failures(TaskId::new(first))),
            Why::Stopped => Some(Cause::Stopped(Stop::MaxFail(self.case.max_fail))),
            Why::Itself => match outcome {
                Outcome::Passed => None,
                Outcome::Skipped => Some(Cause::Skip("".into())),
                _ => Some(failed_attempt().cause),
            },
        };
        let attempts = self.attempts.get(&task).copied().unwrap_or_default();
        let earlier = attempts.saturating_sub(1) as usize;
        self.events.push(Event::Finished(Finished {
            task: TaskId::new(task),
            outcome,
            worker,
            at: Duration::ZERO,
            took: Duration::ZERO,
            done: self.ended.len(),
            planned: self.present.len(),
            cause: cause.map(Box::new),
            result: None,
            attempts: vec![failed_attempt(); earlier],
            kept: false,
        }));
    }
}

pub(super) fn failed_attempt() -> Attempt {
    Attempt {
        outcome: Outcome::Failed,
        cause: Cause::Failure(Failure {
            message: "on purpose".into(),
            place: None,
        }),
        took: Duration::ZERO,
    }
}
