//! One queue behind a mutex. Records nothing.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Edges, call};

struct Queue {
    ready: VecDeque<u32>,
    sleeping: usize,
    left: usize,
}

/// Runs all tasks; how long that took.
pub(crate) fn run(edges: &Edges, workers: usize) -> Duration {
    let waiting = edges.waiting();
    let queue = Mutex::new(Queue {
        ready: edges.roots().collect(),
        sleeping: 0,
        left: edges.tasks(),
    });
    let bell = Condvar::new();
    let begin = Instant::now();
    let work = || {
        let (mut done, mut ready) = (0, Vec::new());
        loop {
            let mut held = queue.lock().expect("no task panics");
            held.left -= done;
            done = 0;
            let mut task = loop {
                if held.left == 0 {
                    bell.notify_all();
                    return;
                }
                if let Some(task) = held.ready.pop_front() {
                    break Some(task);
                }
                held.sleeping += 1;
                held = bell.wait(held).expect("no task panics");
                held.sleeping -= 1;
            };
            drop(held);
            while let Some(current) = task {
                call(current);
                done += 1;
                task = edges.release(&waiting, current, |more| ready.push(more));
                if !ready.is_empty() {
                    let mut held = queue.lock().expect("no task panics");
                    held.ready.extend(ready.drain(..));
                    if held.sleeping > 0 {
                        bell.notify_all();
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    begin.elapsed()
}
