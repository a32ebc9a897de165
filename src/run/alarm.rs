//! Rings when something in a library calls `exit` in the middle of a run: the process must not end as if all were well.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::crew::{Crew, Report};
use super::messages::Message;
use super::services::Services;
use crate::event::{Cause, Stop};
use crate::pool::{self, Control};
use crate::task::{Failure, Outcome};

/// A way into the run for who learns that the process is about to end.
pub struct Alarm {
    pub(super) control: Control<Crew>,
    pub(super) services: Arc<Services>,
}

impl Alarm {
    /// Called on the thread that called `exit`, with that call. The task that it runs has crashed, the other running ones
    /// are given up, nothing else is started; the reporting thread then writes the reports and ends the process. Does not return.
    pub fn ring(&self, call: &str) -> ! {
        let failure = Failure {
            message: format!("called `{call}`, which ends the whole process").into(),
            place: None,
        };
        // First of all: what follows may be the last thing that the reporting thread waits for.
        self.services.exiting.store(true, Ordering::Release);
        if let Some(task) = pool::current() {
            let report = Report::of(Cause::Failure(failure));
            self.control.lose(task, (Outcome::Crashed, report));
        } else if self.services.hook_runs.swap(false, Ordering::AcqRel) {
            self.services.outbox.send(Message::HookDone(Err(failure)));
        }
        self.control.abandon(Stop::Exit);
        self.services.locks.close();
        loop {
            std::thread::park();
        }
    }
}
