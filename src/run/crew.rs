//! What the workers of a run do with a task: call it, keep its result, tell the reporters.
//!
//! Knows nothing of which task comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::messages::Message;
use super::services::Services;
use crate::event::{Cause, Event, Finished, Source};
use crate::plan::Change;
use crate::pool;
use crate::task::{Ending, Failure, Json, Outcome, TaskId};

/// The link between pool and reporters.
pub(super) struct Crew {
    pub(super) services: Arc<Services>,
    /// How many tasks have ended; only touched under the lock of the plan.
    pub(super) done: AtomicUsize,
}

/// What is told about a task that ran, besides its outcome.
pub(super) struct Report {
    began: Duration,
    cause: Option<Box<Cause>>,
    result: Option<Json>,
}

impl Crew {
    fn send(&self, event: Event) {
        self.services.outbox.send(Message::Event(event));
    }

    fn count(&self) -> usize {
        self.done.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A report for a task that will not come back.
    pub(super) fn lost(&self, message: &str) -> Report {
        let failure = Failure {
            message: message.into(),
            place: None,
        };
        let cause = Some(Box::new(Cause::Failure(failure)));
        Report {
            began: self.services.now(),
            cause,
            result: None,
        }
    }
}

impl pool::Crew for Crew {
    type Report = Report;

    fn started(&self, worker: usize, task: TaskId) {
        let at = self.services.now();
        self.send(Event::Started { task, worker, at });
    }

    fn perform(&self, worker: usize, task: TaskId) -> (Outcome, Report) {
        let services = &self.services;
        let definition = services.catalog.task(task);
        let began = services.now();
        services.results.clear(task);
        let source = Source::Task(task, worker);
        let ending = services.call(&definition.action, source, definition.library);
        let report = |cause: Option<Cause>, result| Report {
            began,
            cause: cause.map(Box::new),
            result,
        };
        match ending {
            Ending::Passed(result) => {
                if let Some(result) = &result {
                    services.results.set(task, Arc::clone(result));
                }
                (Outcome::Passed, report(None, result))
            }
            Ending::Skipped(why) => (Outcome::Skipped, report(Some(Cause::Skip(why)), None)),
            Ending::Failed(failure) => {
                let cancelled = services.cancelled.load(Ordering::Acquire);
                let outcome = if cancelled {
                    Outcome::Cancelled
                } else {
                    Outcome::Failed
                };
                (outcome, report(Some(Cause::Failure(failure)), None))
            }
        }
    }

    fn finished(&self, worker: usize, task: TaskId, (outcome, report): (Outcome, Report)) {
        let at = self.services.now();
        self.send(Event::Finished(Finished {
            task,
            outcome,
            worker: Some(worker),
            at,
            took: at.saturating_sub(report.began),
            done: self.count(),
            cause: report.cause,
            result: report.result,
        }));
    }

    fn changed(&self, change: Change) {
        self.send(match change {
            Change::Stopped(why) => Event::Stopping(why),
            Change::Settled(task, outcome, cause) => Event::Finished(Finished {
                task,
                outcome,
                worker: None,
                at: self.services.now(),
                took: Duration::ZERO,
                done: self.count(),
                cause: Some(Box::new(cause)),
                result: None,
            }),
        });
    }

    fn over(&self) {
        self.services.outbox.send(Message::Over);
    }
}
