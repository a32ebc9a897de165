//! The one way from workers to the reporting thread.
//!
//! What happens to tasks is bounded by their number and is sent without waiting, also under the lock of the plan. What
//! tasks log is not bounded: a task that logs faster than reporters can write has to wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};

use crate::event::Event;
use crate::task::{Failure, TaskId};

/// What the reporting thread waits for.
pub(super) enum Message {
    /// For the reporters.
    Event(Event),
    /// For the reporters; the sender's place in the gate is free again afterwards.
    Log(Event),
    /// The hook that was called has come back.
    HookDone(Result<(), Failure>),
    /// A task is to be tried again at that time since the start of the run.
    Retry(TaskId, Duration),
    /// Every task has its outcome.
    Over,
}

/// As many log records may be under way.
const LOGS: usize = 10_000;

#[derive(Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn enter(&self) {
        let mut inside = self.locked();
        while *inside >= LOGS {
            inside = self
                .left
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *inside += 1;
    }

    fn leave(&self) {
        let mut inside = self.locked();
        *inside -= 1;
        if *inside < LOGS {
            self.left.notify_one();
        }
    }

    fn locked(&self) -> MutexGuard<'_, usize> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end.
pub(super) struct Outbox {
    sender: Sender<Message>,
    gate: Arc<Gate>,
}

/// The receiving end.
pub(super) struct Inbox {
    pub(super) receiver: Receiver<Message>,
    gate: Arc<Gate>,
}

pub(super) fn channel() -> (Outbox, Inbox) {
    let (sender, receiver) = channel::unbounded();
    let gate = Arc::new(Gate::default());
    let outbox = Outbox {
        sender,
        gate: Arc::clone(&gate),
    };
    (outbox, Inbox { receiver, gate })
}

impl Outbox {
    /// Sends without waiting. A run that is over hears nothing any more.
    pub(super) fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    /// Sends a log record, and waits where too many are under way.
    pub(super) fn send_log(&self, event: Event) {
        self.gate.enter();
        self.send(Message::Log(event));
    }
}

impl Inbox {
    /// A log record has been dealt with.
    pub(super) fn log_done(&self) {
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stop;

    #[test]
    fn who_logs_faster_than_reporters_write_has_to_wait() {
        let (outbox, inbox) = channel();
        let log = || Event::Stopping(Stop::Threads);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..=LOGS).for_each(|_| outbox.send_log(log())));
            for _ in 0..LOGS {
                inbox.receiver.recv().unwrap();
            }
            assert!(
                inbox.receiver.try_recv().is_err(),
                "one too many is under way"
            );
            outbox.send(Message::Over);
            assert!(
                matches!(inbox.receiver.recv(), Ok(Message::Over)),
                "only logs wait"
            );
            inbox.log_done();
            assert!(matches!(inbox.receiver.recv(), Ok(Message::Log(_))));
        });
    }
}
