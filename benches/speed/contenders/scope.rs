//! A scope of rayon, with a job for each task. Records nothing.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use rayon::{Scope, ThreadPoolBuilder};

use super::{Edges, call};

/// Runs all tasks; how long that took.
pub(crate) fn run(edges: &Edges, workers: usize) -> Duration {
    let waiting = edges.waiting();
    let begin = Instant::now();
    let pool = ThreadPoolBuilder::new().num_threads(workers).build();
    pool.expect("threads can be had").scope(|scope| {
        for root in edges.roots() {
            let waiting = &waiting;
            scope.spawn(move |scope| follow(scope, edges, waiting, root));
        }
    });
    begin.elapsed()
}

fn follow<'a>(scope: &Scope<'a>, edges: &'a Edges, waiting: &'a [AtomicU32], root: u32) {
    let mut task = Some(root);
    while let Some(current) = task {
        call(current);
        task = edges.release(waiting, current, |more| {
            scope.spawn(move |scope| follow(scope, edges, waiting, more));
        });
    }
}
