//! The one way from workers to the reporting thread, besides the tracks: messages, and the bell.
//!
//! What happens to tasks is bounded by their number and is sent without waiting, also with the desk held. What tasks log is
//! not bounded: a task that logs faster than reporters can write has to wait; so has one that writes faster to its output.
//!
//! The reporting thread is woken by the first that has something for it. After that it comes by itself after a moment, for
//! as long as it finds something each time, so that nobody has to wake it while a lot happens.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};

use super::time::Start;
use crate::event::Event;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::task::{Failure, Observed, TaskId, Written};

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

impl Message {
    /// The reporting thread waits for nothing else.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::HookDone(_) | Self::Over)
    }
}

/// Whether the reporting thread has to be woken.
struct Bell {
    state: AtomicU8,
    rope: Sender<()>,
}

/// It will look before it sleeps.
const AWAKE: u8 = 0;
/// It will look in a moment.
const DOZES: u8 = 1;
/// It has to be woken.
const SLEEPS: u8 = 2;

impl Bell {
    /// Wakes the reporting thread where it does not come by itself.
    fn ring(&self) {
        if self.state.load(Ordering::Relaxed) == SLEEPS {
            self.ring_now();
        }
    }

    /// Wakes it in any case.
    fn ring_now(&self) {
        if self.state.swap(AWAKE, Ordering::Relaxed) != AWAKE {
            let _ = self.rope.try_send(());
        }
    }
}

/// As many log records may be under way.
const LOGS: usize = 10_000;
/// So many bytes that a process wrote count as one.
const WROTE: usize = 8 << 10;

/// As how many records it counts.
pub(super) fn weight(event: &Event) -> usize {
    let length = |written: &Written| written.head.len() + written.tail.len();
    let bytes = match event {
        Event::Observed { observed, .. } => match observed {
            Observed::Output(output) => length(&output.stdout) + length(&output.stderr),
            Observed::Line(_, line) => line.len(),
            _ => 0,
        },
        _ => 0,
    };
    1 + bytes / WROTE
}

#[derive(Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    /// Lets in what counts as so many; only what comes after it has to wait where that is too much.
    fn enter(&self, weight: usize) {
        let mut inside = locked(&self.inside);
        while *inside >= LOGS {
            inside = self
                .left
                .wait(inside)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *inside += weight;
    }

    fn leave(&self, weight: usize) {
        let mut inside = locked(&self.inside);
        *inside -= weight;
        if *inside < LOGS {
            self.left.notify_one();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sending end.
pub(super) struct Outbox(Arc<Post>);

/// The receiving end.
pub(super) struct Inbox {
    post: Arc<Post>,
    /// Something has come.
    pub(super) bell: Receiver<()>,
}

struct Post {
    start: Start,
    /// Each with the time when it was sent; in the order of these.
    messages: Mutex<VecDeque<(Duration, Message)>>,
    gate: Gate,
    bell: Bell,
}

/// The two ends; times are measured from `start`.
pub(super) fn channel(start: Start) -> (Outbox, Inbox) {
    let (rope, bell) = channel::bounded(1);
    let post = Arc::new(Post {
        start,
        messages: Mutex::default(),
        gate: Gate::default(),
        bell: Bell {
            state: AtomicU8::new(AWAKE),
            rope,
        },
    });
    let outbox = Outbox(Arc::clone(&post));
    (outbox, Inbox { post, bell })
}

impl Outbox {
    /// Sends without waiting. A run that is over hears nothing any more.
    pub(super) fn send(&self, message: Message) {
        let is_urgent = message.is_urgent();
        let mut messages = locked(&self.0.messages);
        messages.push_back((self.0.start.elapsed(), message));
        if is_urgent {
            self.0.bell.ring_now();
        } else {
            self.0.bell.ring();
        }
    }

    /// Sends a log record, and waits where too many are under way.
    pub(super) fn send_log(&self, event: Event) {
        self.0.gate.enter(weight(&event));
        self.send(Message::Log(event));
    }

    /// Something has happened on a track. From inside the gate of a place, or with the desk held.
    pub(super) fn ring(&self) {
        self.0.bell.ring();
    }
}

impl Inbox {
    /// All that has come, each with the time when it was sent; in the order of these.
    pub(super) fn take(&self) -> VecDeque<(Duration, Message)> {
        std::mem::take(&mut locked(&self.post.messages))
    }

    /// A log record that counts as so many has been dealt with.
    pub(super) fn log_done(&self, weight: usize) {
        self.post.gate.leave(weight);
    }

    /// From here on who has something that is not urgent leaves the reporting thread alone: it comes by itself in a moment.
    /// False where something urgent is there.
    pub(super) fn doze(&self) -> bool {
        let messages = locked(&self.post.messages);
        let is_urgent = |(_, message): &(Duration, Message)| message.is_urgent();
        let may_doze = !messages.iter().any(is_urgent);
        if may_doze {
            self.post.bell.state.store(DOZES, Ordering::Relaxed);
        }
        may_doze
    }

    /// From here on who has something rings the bell; false where there is something already. With the desk held: then
    /// nobody is about to leave something on a track.
    pub(super) fn sleep(&self) -> bool {
        let messages = locked(&self.post.messages);
        if messages.is_empty() {
            self.post.bell.state.store(SLEEPS, Ordering::Relaxed);
        }
        messages.is_empty()
    }

    /// It looks, and nobody need ring.
    pub(super) fn wake(&self) {
        self.post.bell.state.store(AWAKE, Ordering::Relaxed);
        let _ = self.bell.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Source, Stop};
    use crate::task::Output;

    fn log() -> Event {
        Event::Stopping(Stop::Threads)
    }

    #[test]
    fn who_logs_faster_than_reporters_write_has_to_wait() {
        let (outbox, inbox) = channel(Start::now());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..=LOGS).for_each(|_| outbox.send_log(log())));
            let mut come = 0;
            while come < LOGS {
                come += inbox.take().len();
            }
            assert!(inbox.take().is_empty(), "one too many is under way");
            outbox.send(Message::Over);
            assert!(
                matches!(inbox.take().pop_front(), Some((_, Message::Over))),
                "only logs wait"
            );
            inbox.log_done(1);
            while inbox.take().is_empty() {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn what_a_process_wrote_counts_by_its_length() {
        let head = vec![b'x'; WROTE * LOGS];
        let written = Written {
            head,
            ..Written::default()
        };
        let output = Output {
            stdout: written,
            stderr: Written::default(),
        };
        let long = || Event::Observed {
            source: Source::Library,
            observed: Observed::Output(output.clone().into()),
        };
        assert_eq!(weight(&log()), 1);
        assert_eq!(weight(&long()), 1 + LOGS);
        let (outbox, inbox) = channel(Start::now());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..2).for_each(|_| outbox.send_log(long())));
            while inbox.take().is_empty() {
                std::thread::yield_now();
            }
            assert!(inbox.take().is_empty(), "the second one waits");
            inbox.log_done(1 + LOGS);
            while inbox.take().is_empty() {
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn the_bell_is_rung_once_for_who_sleeps_and_by_what_is_urgent_for_who_dozes() {
        let (outbox, inbox) = channel(Start::now());
        let rang = || inbox.bell.try_recv().is_ok();
        outbox.send(Message::Event(log()));
        assert!(!rang(), "it was awake");
        assert!(!inbox.sleep(), "there is something");
        inbox.take();
        assert!(inbox.sleep());
        outbox.send(Message::Event(log()));
        outbox.ring();
        assert!(rang() && !rang());
        inbox.wake();
        inbox.take();
        inbox.doze();
        outbox.send(Message::Event(log()));
        outbox.ring();
        assert!(!rang());
        outbox.send(Message::Over);
        assert!(rang());
        inbox.doze();
        outbox.ring();
        assert!(!rang());
    }
}
