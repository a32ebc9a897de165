//! What the workers of a run do with a task: call it, keep its result, tell the reporters.
//!
//! Knows nothing of which task comes next.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::messages::Message;
use super::services::{Caller, Services};
use crate::event::{Attempt, Cause, Event, Finished, Source, Stop};
use crate::plan::Change;
use crate::pool::{self, Control};
use crate::task::{Ending, Failure, Json, Outcome, TaskId, TaskRef};

/// The link between pool and reporters.
pub(super) struct Crew {
    pub(super) services: Arc<Services>,
    pub(super) ledger: Mutex<Ledger>,
}

/// What has to be known of all tasks together.
pub(super) struct Ledger {
    running: HashMap<TaskId, Running>,
    /// Attempts that did not pass, of tasks that are tried again, each with its worker.
    attempts: HashMap<TaskId, Vec<(Attempt, usize)>>,
    /// How many have ended.
    done: usize,
    /// Of how many.
    planned: usize,
}

impl Ledger {
    pub(super) fn new(planned: usize) -> Self {
        Self {
            running: HashMap::new(),
            attempts: HashMap::new(),
            done: 0,
            planned,
        }
    }
}

/// On which worker, and since when.
struct Running {
    worker: usize,
    began: Duration,
}

/// What is told about a task besides its outcome.
pub(super) struct Report {
    cause: Option<Cause>,
    result: Option<Json>,
}

impl Report {
    pub(super) fn of(cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            result: None,
        }
    }
}

impl Crew {
    fn send(&self, event: Event) {
        self.services.outbox.send(Message::Event(event));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, task: TaskId, outcome: Outcome, report: Report) {
        let now = self.services.now();
        let ran = self.ledger().running.remove(&task);
        let ran = ran.map(|ran| (Some(ran.worker), now.saturating_sub(ran.began)));
        self.tell_end(task, outcome, report, ran.unwrap_or_default());
    }

    fn tell_end(
        &self,
        task: TaskId,
        outcome: Outcome,
        report: Report,
        (worker, took): (Option<usize>, Duration),
    ) {
        let at = self.services.now();
        let mut ledger = self.ledger();
        ledger.done += 1;
        let attempts = ledger.attempts.remove(&task).unwrap_or_default();
        self.send(Event::Finished(Finished {
            task,
            outcome,
            worker,
            at,
            took,
            done: ledger.done,
            planned: ledger.planned,
            cause: report.cause.map(Box::new),
            result: report.result,
            attempts: attempts.into_iter().map(|(attempt, _)| attempt).collect(),
        }));
    }

    /// A task is not tried again, as the run was stopped: its last attempt is all there is.
    fn last_attempt_stands(&self, task: TaskId, outcome: Outcome) {
        let mut ledger = self.ledger();
        let last = ledger.attempts.get_mut(&task).and_then(Vec::pop);
        drop(ledger);
        if let Some((last, worker)) = last {
            let report = Report::of(last.cause);
            self.tell_end(task, outcome, report, (Some(worker), last.took));
        }
    }

    /// How long a task waits before it is tried again: what it declares, doubled for each further attempt.
    fn delay(&self, task: TaskId, attempts: usize) -> Duration {
        let declared = self.services.catalog.task(task).options().retry_delay;
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        declared.saturating_mul(factor)
    }
}

impl pool::Crew for Crew {
    type Report = Report;

    fn started(&self, worker: usize, task: TaskId, attempt: u32) {
        let began = self.services.now();
        if attempt > 1 {
            self.services.forget_move(task);
        }
        self.ledger()
            .running
            .insert(task, Running { worker, began });
        self.send(Event::Started {
            task,
            worker,
            attempt,
            at: began,
        });
    }

    fn perform(
        &self,
        control: &Control<Self>,
        worker: usize,
        task: TaskId,
        attempt: u32,
    ) -> (Outcome, Report) {
        let services = &self.services;
        let definition = services.catalog.task(task);
        let limit = definition.options().timeout.or(services.limits.timeout);
        services.results.clear(task);
        // By the clock that asks it to stop: who heeds that is too late by this one too.
        let began = limit.and_then(|_| self.ledger().running.get(&task).map(|ran| ran.began));
        let deadline = began
            .zip(limit)
            .map(|(began, limit)| began.saturating_add(limit));
        let caller = Caller {
            control,
            source: Source::Task(task, worker),
            library: definition.library(),
            attempt,
            deadline,
        };
        let end = services.call(&|host| definition.call(host), &caller);
        let too_late = deadline.is_some_and(|deadline| services.now() >= deadline);
        let limit = limit.filter(|_| too_late);
        judge(definition, end.ending, end.stopped, limit)
    }

    fn retrying(&self, task: TaskId, delayed: bool, (outcome, report): (Outcome, Report)) {
        let at = self.services.now();
        let mut ledger = self.ledger();
        let ran = ledger.running.remove(&task);
        let (worker, began) = ran.map_or((0, at), |ran| (ran.worker, ran.began));
        let attempt = Attempt {
            outcome,
            cause: report.cause.unwrap_or_else(|| Cause::Skip("".into())),
            took: at.saturating_sub(began),
        };
        let attempts = ledger.attempts.entry(task).or_default();
        attempts.push((attempt.clone(), worker));
        let number = attempts.len();
        let delay = self.delay(task, number);
        drop(ledger);
        self.send(Event::Retrying {
            task,
            worker,
            number: u32::try_from(number).unwrap_or(u32::MAX),
            attempt,
            at,
        });
        if delayed {
            let then = at.saturating_add(delay);
            self.services.outbox.send(Message::Retry(task, then));
        }
    }

    /// The result is there for others when the outcome is, and not before.
    fn finished(&self, task: TaskId, (outcome, report): (Outcome, Report)) {
        if let Some(result) = &report.result {
            self.services.results.set(task, Arc::clone(result));
        }
        self.ended(task, outcome, report);
    }

    fn changed(&self, change: Change) {
        match change {
            Change::Stopped(why) => {
                if matches!(why, Stop::Signal(_) | Stop::Aborted | Stop::Timeout(_)) {
                    // Before a wait ends by this: who fails for that must be known as stopped.
                    self.services.cancelled.store(true, Ordering::Release);
                }
                self.send(Event::Stopping(why));
            }
            Change::Settled(task, outcome, cause) => self.ended(task, outcome, Report::of(cause)),
            Change::Stands(task, outcome) => self.last_attempt_stands(task, outcome),
            Change::Granted(_) | Change::Refused(..) => {}
        }
    }

    fn added(&self, tasks: &[TaskId]) {
        self.ledger().planned += tasks.len();
        self.send(Event::Planned(tasks.to_vec()));
    }

    fn paused(&self, worker: usize, task: TaskId) {
        let at = self.services.now();
        self.send(Event::Paused { task, worker, at });
    }

    fn resumed(&self, worker: usize, task: TaskId) {
        let at = self.services.now();
        if let Some(running) = self.ledger().running.get_mut(&task) {
            running.worker = worker;
        }
        self.services.note_move(task, worker);
        self.send(Event::Resumed { task, worker, at });
    }

    fn over(&self) {
        self.services.outbox.send(Message::Over);
    }
}

/// The outcome of an attempt: by what it came to, whether it was asked to stop, and the time it had, where that was over.
fn judge(
    task: TaskRef<'_>,
    ending: Ending,
    stopped: bool,
    too_late: Option<Duration>,
) -> (Outcome, Report) {
    let placed = |mut failure: Failure| {
        failure.place = failure.place.or_else(|| task.place());
        failure
    };
    let (outcome, failure, result) = match ending {
        Ending::Passed(result) => (Outcome::Passed, None, result),
        Ending::Skipped(why) if too_late.is_none() => {
            return (Outcome::Skipped, Report::of(Cause::Skip(why)));
        }
        Ending::Skipped(_) => (Outcome::Skipped, None, None),
        Ending::Failed(failure) => (Outcome::Failed, Some(placed(failure)), None),
        Ending::Exited {
            crashed,
            failure,
            result,
        } => {
            let outcome = if crashed {
                Outcome::Crashed
            } else {
                Outcome::Failed
            };
            (outcome, Some(placed(failure)), Some(result))
        }
    };
    if let Some(limit) = too_late {
        let cause = Some(Cause::TimedOut {
            limit,
            still_running: false,
            failure,
        });
        let result = result.filter(|_| outcome != Outcome::Passed);
        return (Outcome::TimedOut, Report { cause, result });
    }
    let outcome = if stopped && outcome != Outcome::Passed {
        Outcome::Cancelled
    } else {
        outcome
    };
    let cause = failure.map(Cause::Failure);
    (outcome, Report { cause, result })
}
