//! Reads the events of a run, and finds what breaks a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Case, Why, why};
use crate::event::{Event, Finished};
use crate::task::{Condition, Outcome, TaskId};

/// What is wrong with what a run told, in words. It holds for any number of workers, and where failures stop the run.
pub(in crate::run) fn check(case: &Case, events: &[Event]) -> Vec<String> {
    let mut log = Log {
        case,
        present: case.initial(),
        tasks: BTreeMap::new(),
        stopped: false,
        done: 0,
        starts: BTreeMap::new(),
        ends: BTreeMap::new(),
        complaints: Vec::new(),
    };
    for event in events {
        log.read(event);
    }
    for task in log.present.clone() {
        let ended = log.outcome(task).is_some();
        log.expect(ended, || format!("t{task} has no outcome"));
    }
    log.complaints
}

/// What the events say of a task so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    attempts: u32,
    /// Its worker, while it is active.
    active: Option<usize>,
    paused: bool,
    /// How often this attempt went on after waiting.
    resumed: usize,
    retrying: usize,
    finished: Option<(Outcome, Why)>,
}

/// Events that are read one by one, and what is wrong with them.
struct Log<'a> {
    case: &'a Case,
    present: BTreeSet<usize>,
    tasks: BTreeMap<usize, Seen>,
    stopped: bool,
    done: usize,
    /// When tasks started last, and ended.
    starts: BTreeMap<usize, Duration>,
    ends: BTreeMap<usize, Duration>,
    complaints: Vec<String>,
}

impl Log<'_> {
    fn expect(&mut self, fine: bool, complaint: impl FnOnce() -> String) {
        if !fine {
            self.complaints.push(complaint());
        }
    }

    fn seen(&self, task: usize) -> Seen {
        self.tasks.get(&task).cloned().unwrap_or_default()
    }

    fn outcome(&self, task: usize) -> Option<(Outcome, Why)> {
        self.seen(task).finished
    }

    fn is_fine(&self, task: usize) -> bool {
        matches!(
            self.outcome(task),
            Some((Outcome::Passed, _) | (Outcome::Skipped, Why::Itself))
        )
    }

    fn active(&self) -> Vec<usize> {
        let all = self.tasks.iter();
        all.filter(|(_, seen)| seen.active.is_some())
            .map(|(task, _)| *task)
            .collect()
    }

    fn read(&mut self, event: &Event) {
        match event {
            Event::Planned(tasks) => self.planned(tasks),
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                self.started(task.index(), *worker, *attempt);
                self.times(task.index(), *at);
            }
            Event::Retrying { task, worker, .. } => self.retrying(task.index(), *worker),
            Event::Paused { task, worker, .. } => self.paused(task.index(), *worker),
            Event::Resumed { task, worker, .. } => self.resumed(task.index(), *worker),
            Event::Finished(finished) => {
                self.finished(finished);
                let (task, at) = (finished.task.index(), finished.at);
                self.ends.insert(task, at);
                let since = self.starts.get(&task).copied().unwrap_or_default();
                self.expect(since <= at, || format!("t{task} ends before its start"));
            }
            Event::Stopping(_) => {
                let first = !std::mem::replace(&mut self.stopped, true);
                self.expect(first, || "the run stops twice".to_owned());
            }
            _ => {}
        }
    }

    /// A task has started at that time.
    fn times(&mut self, task: usize, at: Duration) {
        self.starts.insert(task, at);
        for dependency in &self.case.tasks[task].after {
            let end = self.ends.get(dependency).copied().unwrap_or_default();
            self.expect(end <= at, || {
                format!("t{task} starts at a time before the end of t{dependency}")
            });
        }
    }

    fn planned(&mut self, tasks: &[TaskId]) {
        let stopped = self.stopped;
        self.expect(!stopped, || "tasks are added after the stop".to_owned());
        self.expect(tasks.is_sorted(), || {
            "tasks are added in another order than declared".to_owned()
        });
        for task in tasks.iter().map(|task| task.index()) {
            let new = self.present.insert(task);
            self.expect(new, || format!("t{task} is added, and was there"));
            let asked = self.active().into_iter().any(|active| {
                let mut runs = self.case.tasks[active].runs.iter();
                runs.any(|target| self.case.with_dependencies(*target).contains(&task))
            });
            self.expect(asked, || {
                format!("t{task} is added, and nobody asked for it")
            });
        }
        for task in tasks.iter().map(|task| task.index()) {
            let all = self.case.tasks[task].after.iter();
            let missing = all.clone().find(|d| !self.present.contains(d)).copied();
            self.expect(missing.is_none(), || {
                format!("t{task} is added without t{}", missing.unwrap_or_default())
            });
        }
    }

    fn started(&mut self, task: usize, worker: usize, attempt: u32) {
        let (case, seen) = (self.case, self.seen(task));
        let spec = &case.tasks[task];
        let present = self.present.contains(&task);
        self.expect(present, || format!("t{task} starts, and is not planned"));
        self.expect(seen.finished.is_none(), || {
            format!("t{task} starts after its end")
        });
        self.expect(seen.active.is_none() && !seen.paused, || {
            format!("t{task} starts while it runs")
        });
        let retrying = u32::try_from(seen.retrying).unwrap();
        self.expect(
            attempt == seen.attempts + 1
                && seen.attempts == retrying
                && attempt <= spec.retries + 1,
            || format!("t{task}: attempt {attempt} after {}", seen.attempts),
        );
        for dependency in &spec.after {
            let ended = self.outcome(*dependency).is_some();
            self.expect(ended, || {
                format!("t{task} starts before t{dependency} ends")
            });
            let blocked = case.skip_deps
                && spec.condition != Condition::Always
                && ended
                && !self.is_fine(*dependency);
            self.expect(!blocked, || {
                format!("t{task} starts, and t{dependency} did not pass")
            });
        }
        for other in self.present.clone() {
            let lower = case.stage(other) < case.stage(task);
            let ended = self.outcome(other).is_some();
            self.expect(!lower || ended, || {
                format!("t{task} starts before the lower stage of t{other} ends")
            });
            let failed = spec.condition == Condition::NoFailures
                && !case.is_last(other)
                && ended
                && !self.is_fine(other);
            self.expect(!failed, || {
                format!("t{task} starts in spite of the failure of t{other}")
            });
            let there = self.seen(other);
            let holds = other != task && (there.active.is_some() || there.paused);
            self.expect(!holds || !case.conflict(other, task), || {
                format!("t{task} starts while t{other} holds a lock of it")
            });
        }
        let touched = spec.after.iter().any(|d| self.seen(*d).attempts > 0);
        let may = !self.stopped || (spec.condition == Condition::Always && touched);
        self.expect(may, || format!("t{task} starts after the stop"));
        self.takes_place(task, worker);
        let seen = self.tasks.entry(task).or_default();
        seen.attempts = attempt;
        seen.active = Some(worker);
        seen.paused = false;
        seen.resumed = 0;
    }

    /// A task becomes active.
    fn takes_place(&mut self, task: usize, worker: usize) {
        let (case, active) = (self.case, self.active());
        self.expect(active.len() < case.workers, || {
            format!("t{task} is one too many: {active:?} are active")
        });
        self.expect(worker < case.workers, || {
            format!("t{task} runs on worker {worker}")
        });
        for other in active {
            let taken = self.seen(other).active == Some(worker);
            self.expect(!taken, || {
                format!("t{task} and t{other} share worker {worker}")
            });
            let alone = case.tasks[task].exclusive || case.tasks[other].exclusive;
            self.expect(!alone, || format!("t{task} is not alone with t{other}"));
        }
    }

    /// A task that is active, or is said to be, stops being so.
    fn leaves_place(&mut self, task: usize, worker: Option<usize>) {
        let active = self.seen(task).active;
        self.expect(active == worker, || {
            format!("t{task} leaves worker {worker:?}, and was on {active:?}")
        });
        self.tasks.entry(task).or_default().active = None;
    }

    fn paused(&mut self, task: usize, worker: usize) {
        self.leaves_place(task, Some(worker));
        let waits = !self.case.tasks[task].runs.is_empty();
        self.expect(waits, || format!("t{task} waits for nobody"));
        self.tasks.entry(task).or_default().paused = true;
    }

    fn resumed(&mut self, task: usize, worker: usize) {
        let seen = self.seen(task);
        self.expect(seen.paused, || format!("t{task} goes on, and did not wait"));
        let runs = self.case.tasks[task].runs.iter();
        // Each time it has waited for another one.
        let ended = runs.filter(|t| self.outcome(**t).is_some()).count();
        self.expect(seen.resumed < ended, || {
            format!("t{task} goes on before the end of what it waits for")
        });
        self.takes_place(task, worker);
        let seen = self.tasks.entry(task).or_default();
        seen.paused = false;
        seen.active = Some(worker);
        seen.resumed += 1;
    }

    /// An attempt ends: all that it has run has ended.
    fn attempt_ends(&mut self, task: usize) {
        for target in &self.case.tasks[task].runs {
            let ended = self.outcome(*target).is_some();
            let refused = self.stopped && !self.present.contains(target);
            self.expect(ended || refused, || {
                format!("t{task} ends before t{target}, which it runs")
            });
        }
    }

    fn retrying(&mut self, task: usize, worker: usize) {
        self.leaves_place(task, Some(worker));
        self.attempt_ends(task);
        let (spec, seen) = (&self.case.tasks[task], self.seen(task));
        let fine =
            spec.end(seen.attempts.max(1)) == Outcome::Failed && seen.attempts <= spec.retries;
        self.expect(fine, || {
            format!("t{task} is tried again after attempt {}", seen.attempts)
        });
        self.tasks.entry(task).or_default().retrying += 1;
    }

    fn finished(&mut self, finished: &Finished) {
        let task = finished.task.index();
        let (outcome, why) = (finished.outcome, why(finished.cause.as_deref()));
        let (spec, seen) = (&self.case.tasks[task], self.seen(task));
        self.done += 1;
        let counts = (self.done, self.present.len());
        self.expect((finished.done, finished.planned) == counts, || {
            format!("t{task} is {} of {}", finished.done, finished.planned)
        });
        let present = self.present.contains(&task);
        self.expect(present, || format!("t{task} ends, and is not planned"));
        self.expect(seen.finished.is_none(), || format!("t{task} ends twice"));
        self.expect(!seen.paused, || format!("t{task} ends while it waits"));
        self.leaves_place(task, finished.worker.filter(|_| seen.active.is_some()));
        let fine = if seen.active.is_some() {
            self.attempt_ends(task);
            let own = spec.end(seen.attempts);
            // A failure may be put down to the stop.
            let last = own != Outcome::Failed || seen.attempts > spec.retries || self.stopped;
            last && (outcome == own
                || (self.stopped && (own, outcome) == (Outcome::Failed, Outcome::Cancelled)))
        } else if seen.attempts > 0 {
            self.stopped && matches!(outcome, Outcome::Failed | Outcome::Cancelled)
        } else {
            self.is_rightly_left_out(task, outcome, why)
        };
        self.expect(fine, || format!("t{task} is {outcome}: {why:?}"));
        let earlier = (seen.attempts.max(1) - 1) as usize;
        self.expect(finished.attempts.len() == earlier, || {
            format!("t{task} had {} attempts before", finished.attempts.len())
        });
        self.tasks.entry(task).or_default().finished = Some((outcome, why));
    }

    /// Whether a task may end so that was never started.
    fn is_rightly_left_out(&self, task: usize, outcome: Outcome, why: Why) -> bool {
        let spec = &self.case.tasks[task];
        match (outcome, why) {
            (Outcome::NotRun, Why::Stopped) => self.stopped,
            (Outcome::Skipped, Why::Blocked(by)) => {
                let ended = self.outcome(by).is_some();
                let first = spec.after.iter().find(|d| !self.is_fine(**d));
                self.case.skip_deps
                    && spec.condition != Condition::Always
                    && ended
                    && first == Some(&by)
            }
            (Outcome::Skipped, Why::Failures(first)) => {
                let mut part = self.present.iter().filter(|t| !self.case.is_last(**t));
                spec.condition == Condition::NoFailures
                    && part.clone().all(|t| self.outcome(*t).is_some())
                    && part.find(|t| !self.is_fine(**t)) == Some(&first)
            }
            _ => false,
        }
    }
}
