//! *floor-rec*: work-stealing deques, and for each task its start, its end and its outcome.

use std::hint;
use std::hint::black_box;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::deque::{Stealer, Worker};

use super::{Edges, call};

/// Looks for work before a worker gives its processor away, for some 100 µs: on a busy machine it comes back late.
const SPINS: u32 = 2_000;

/// What became of a task.
#[derive(Default)]
pub(crate) struct Record {
    start: AtomicU64,
    end: AtomicU64,
    status: AtomicI32,
}

/// Runs all tasks; how long that took.
pub(crate) fn run(edges: &Edges, workers: usize) -> Duration {
    let (waiting, left) = (edges.waiting(), AtomicUsize::new(edges.tasks()));
    let records: Vec<_> = (0..edges.tasks()).map(|_| Record::default()).collect();
    let deques: Vec<_> = (0..workers).map(|_| Worker::new_lifo()).collect();
    let stealers: Vec<_> = deques.iter().map(Worker::stealer).collect();
    for (root, deque) in edges.roots().zip(deques.iter().cycle()) {
        deque.push(root);
    }
    let begin = Instant::now();
    #[expect(clippy::cast_possible_truncation, reason = "500 years")]
    let now = || begin.elapsed().as_nanos() as u64;
    let work = |own: Worker<u32>| {
        let (mut done, mut idle) = (0, 0);
        loop {
            let mut task = own.pop().or_else(|| steal(&own, &stealers));
            if task.is_none() {
                if done > 0 {
                    left.fetch_sub(done, Ordering::AcqRel);
                    done = 0;
                }
                if left.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle += 1;
                match idle {
                    ..SPINS => hint::spin_loop(),
                    _ => thread::yield_now(),
                }
                continue;
            }
            idle = 0;
            while let Some(current) = task {
                let record = &records[current as usize];
                record.start.store(now(), Ordering::Relaxed);
                record.status.store(call(current), Ordering::Relaxed);
                record.end.store(now(), Ordering::Relaxed);
                done += 1;
                task = edges.release(&waiting, current, |more| own.push(more));
            }
        }
    };
    thread::scope(|scope| {
        for own in deques {
            scope.spawn(|| work(own));
        }
    });
    let took = begin.elapsed();
    black_box(records);
    took
}

fn steal(own: &Worker<u32>, stealers: &[Stealer<u32>]) -> Option<u32> {
    let mut stolen = stealers.iter().map(|other| other.steal_batch_and_pop(own));
    stolen.find_map(crossbeam::deque::Steal::success)
}
