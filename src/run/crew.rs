//! What the workers of a run do with a task: call it, keep its result, tell the reporters.
//!
//! Knows nothing of which task comes next.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::messages::Message;
use super::services::Services;
use crate::event::{Cause, Event, Finished, Source};
use crate::plan::Change;
use crate::pool;
use crate::task::{Ending, Json, Outcome, TaskId};

/// The link between pool and reporters.
pub(super) struct Crew {
    pub(super) services: Arc<Services>,
    /// Only touched under the lock of the plan.
    pub(super) ledger: Mutex<Ledger>,
}

/// What has to be known of all tasks together.
#[derive(Default)]
pub(super) struct Ledger {
    /// On which worker, and since when.
    running: HashMap<TaskId, (usize, Duration)>,
    /// How many have ended.
    done: usize,
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
        let at = self.services.now();
        let mut ledger = self.ledger();
        ledger.done += 1;
        let ran = ledger.running.remove(&task);
        self.send(Event::Finished(Finished {
            task,
            outcome,
            worker: ran.map(|(worker, _)| worker),
            at,
            took: ran.map_or(Duration::ZERO, |(_, began)| at.saturating_sub(began)),
            done: ledger.done,
            cause: report.cause.map(Box::new),
            result: report.result,
            planned: self.services.catalog.len(),
            attempts: Vec::new(),
        }));
    }
}

impl pool::Crew for Crew {
    type Report = Report;

    fn started(&self, worker: usize, task: TaskId) {
        let at = self.services.now();
        self.ledger().running.insert(task, (worker, at));
        self.send(Event::Started {
            task,
            worker,
            attempt: 1,
            at,
        });
    }

    fn perform(&self, worker: usize, task: TaskId) -> (Outcome, Report) {
        let services = &self.services;
        let definition = services.catalog.task(task);
        services.results.clear(task);
        let source = Source::Task(task, worker);
        match services.call(&definition.action, source, definition.library) {
            Ending::Passed(result) => {
                let report = Report {
                    cause: None,
                    result,
                };
                (Outcome::Passed, report)
            }
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
                let report = Report {
                    cause: Some(Cause::Failure(failure)),
                    result: Some(result),
                };
                (outcome, report)
            }
            Ending::Skipped(why) => (Outcome::Skipped, Report::of(Cause::Skip(why))),
            Ending::Failed(mut failure) => {
                failure.place = failure.place.or_else(|| definition.place.clone());
                let cancelled = services.cancelled.load(Ordering::Acquire);
                let outcome = if cancelled {
                    Outcome::Cancelled
                } else {
                    Outcome::Failed
                };
                (outcome, Report::of(Cause::Failure(failure)))
            }
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
            Change::Stopped(why) => self.send(Event::Stopping(why)),
            Change::Settled(task, outcome, cause) => self.ended(task, outcome, Report::of(cause)),
        }
    }

    fn over(&self) {
        self.services.outbox.send(Message::Over);
    }
}
