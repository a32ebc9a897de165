//! What comes into a run from outside of its tasks and hooks: a library speaks, or something in it calls `exit`.
//!
//! Knows nothing of how that is noticed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::crew::{Crew, Report};
use super::messages::Message;
use super::services::Services;
use crate::event::{Cause, Event, Source, Stop};
use crate::pool::{self, Control};
use crate::task::{Failure, Outcome, Record};

/// A way into the run, from any thread.
pub struct Alarm {
    pub(super) control: Control<Crew>,
    pub(super) services: Arc<Services>,
}

impl Alarm {
    /// Tells the reporters what a library says outside of tasks and hooks. Waits where that is more than they can write.
    pub fn hear(&self, record: Record) {
        let source = Source::Library;
        let outbox = &self.services.outbox;
        outbox.send_log(Event::Logged { source, record });
    }

    /// The process must not end as if all were well. Called on the thread that called `exit`, with that call. The task that
    /// it runs has crashed, the other running ones are given up, nothing else is started; the reporting thread then writes
    /// the reports and ends the process. Does not return.
    pub fn ring(&self, call: &str) -> ! {
        let failure = Failure {
            message: format!("called `{call}`, which ends the whole process").into(),
            place: None,
        };
        // First of all: what follows may be the last thing that the reporting thread waits for.
        self.services.exiting.store(true, Ordering::Release);
        if let Some(task) = pool::current() {
            let report = Report::of(Cause::Failure(failure));
            self.control.give_up(task, None, (Outcome::Crashed, report));
        } else if self.services.hook_runs.swap(false, Ordering::AcqRel) {
            self.services.outbox.send(Message::HookDone(Err(failure)));
        }
        self.control.abandon(Stop::Exit);
        self.services.give_up_all();
        loop {
            std::thread::park();
        }
    }
}
