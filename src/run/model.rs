//! Models of the tracks, of the call that goes on, and of the bell.

use std::collections::VecDeque;

use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::thread;

use super::messages::{self, Message};
use super::seat::{Callee, Current};
use super::time::Start;
use super::track::{Passed, Track};
use crate::event::{Event, Source, Stop};
use crate::task::TaskId;

/// A track of two slots, and whether more is wanted of those that pass than how many they are.
struct Tracked {
    track: Track,
    is_wanted: AtomicBool,
}

impl Tracked {
    fn new(is_wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            track: Track::with_slots(2),
            is_wanted: AtomicBool::new(is_wanted),
        })
    }

    /// Passes so many tasks; task `n` begins at `10 n` and ends at `10 n + 1`.
    fn pass(&self, tasks: usize) {
        for task in 0..tasks {
            let Passed { task, start, end } = passed(task);
            self.track.begin(task, start);
            self.track.pass(task, end, &self.is_wanted);
        }
    }
}

fn passed(task: usize) -> Passed {
    let start = 10 * task as u64;
    Passed {
        task: TaskId::new(task),
        start,
        end: start + 1,
    }
}

fn worker(tracked: &Arc<Tracked>, tasks: usize) -> thread::JoinHandle<()> {
    let tracked = Arc::clone(tracked);
    thread::spawn(move || tracked.pass(tasks))
}

#[test]
fn what_has_passed_is_taken_away_once_and_in_order() {
    loom::model(|| {
        let tracked = Tracked::new(true);
        let worker = worker(&tracked, 3);
        let mut taken = VecDeque::new();
        tracked.track.drain(&mut taken);
        worker.join().unwrap();
        tracked.track.drain(&mut taken);
        assert!(tracked.track.is_empty());
        assert!(taken.into_iter().eq((0..3).map(passed)));
    });
}

#[test]
fn what_has_passed_is_counted_once() {
    loom::model(|| {
        let tracked = Tracked::new(false);
        let worker = worker(&tracked, 3);
        let counted = tracked.track.take_counted() + tracked.track.count_off();
        worker.join().unwrap();
        assert_eq!(counted + tracked.track.count_off(), 3);
        assert!(tracked.track.is_empty());
    });
}

/// As the reporting thread does it: it says that it wants to know, and then sees whether a task still runs.
#[test]
fn the_end_of_a_task_that_runs_when_ends_become_wanted_is_kept() {
    loom::model(|| {
        let tracked = Tracked::new(false);
        let worker = worker(&tracked, 3);
        tracked.is_wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let running = tracked.track.running();
        worker.join().unwrap();
        let mut taken = VecDeque::new();
        tracked.track.drain(&mut taken);
        if let Some((task, since)) = running {
            let end = taken.iter().find(|passed| passed.task == task);
            assert_eq!(end.map(|passed| passed.start), Some(since));
        }
        assert_eq!(taken.len() + tracked.track.take_counted(), 3);
    });
}

#[test]
fn the_task_that_runs_and_its_start_belong_together() {
    loom::model(|| {
        let tracked = Tracked::new(true);
        let worker = worker(&tracked, 2);
        for _ in 0..2 {
            if let Some((task, since)) = tracked.track.running() {
                assert_eq!(since, passed(task.index()).start);
            }
        }
        worker.join().unwrap();
        assert_eq!(tracked.track.running(), None);
    });
}

/// Task `n` on worker `n`, at its attempt `n`.
fn callee(n: u32) -> Callee {
    Callee {
        source: Source::Task(TaskId::new(n as usize), n as usize),
        attempt: n,
        deadline: None,
        heeds_stop: n == 3,
    }
}

#[test]
fn who_asks_by_the_number_of_a_call_finds_that_call_or_none() {
    loom::model(|| {
        let current = Arc::new(Current::default());
        let ask = |current: &Current| {
            for n in [1, 3] {
                if let Some(found) = current.callee(n) {
                    let is_task = matches!(found.source, Source::Task(task, worker)
                        if (task.index(), worker) == (n as usize, n as usize));
                    assert!(is_task && found.attempt == n && found.heeds_stop == (n == 3));
                }
            }
        };
        let other = thread::spawn({
            let current = Arc::clone(&current);
            move || ask(&current)
        });
        // The calls have the numbers 1 and 3, and so have their callees.
        for n in [1, 3] {
            assert_eq!(current.begin(&callee(n)), n);
            current.end(n);
        }
        other.join().unwrap();
        assert!(current.callee(3).is_none());
    });
}

/// The reporting thread goes to sleep with the desk held. What comes afterwards rings the bell, what came before it finds.
#[test]
fn who_sleeps_is_woken_by_a_message_and_by_what_is_on_a_track() {
    loom::model(|| {
        let (outbox, inbox) = messages::channel(Start::now());
        let desk = Arc::new(Mutex::new(()));
        let outbox = Arc::new(outbox);
        let sender = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || outbox.send(Message::Event(Event::Stopping(Stop::Threads)))
        });
        // In place of the gate of the worker, which the desk shuts: one or the other.
        let track = Arc::new(Mutex::new(0));
        let worker = thread::spawn({
            let (outbox, desk, track) =
                (Arc::clone(&outbox), Arc::clone(&desk), Arc::clone(&track));
            move || {
                let _gate = desk.lock().unwrap();
                *track.lock().unwrap() = 1;
                outbox.ring();
            }
        });
        let mut found = 0;
        // It finds something each time, or sleeps.
        for _ in 0..3 {
            inbox.wake();
            found += inbox.take().len() + std::mem::take(&mut *track.lock().unwrap());
            let sleeps = {
                let _held = desk.lock().unwrap();
                *track.lock().unwrap() == 0 && inbox.sleep()
            };
            if sleeps {
                break;
            }
        }
        sender.join().unwrap();
        worker.join().unwrap();
        let is_rung = inbox.bell.try_recv().is_ok();
        assert!(found == 2 || is_rung, "it sleeps, and has found {found}");
    });
}
