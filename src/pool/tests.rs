use std::sync::Barrier;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::*;
use crate::graph::sketch;
use crate::plan::Rules;

/// Notes what it is told; `perform` is up to the test.
struct Notes<F> {
    told: Mutex<Vec<String>>,
    over: Sender<()>,
    perform: F,
}

impl<F: Fn(TaskId) + Send + Sync + 'static> Crew for Notes<F> {
    type Report = ();
    type Seat = ();

    fn seat(&self, _: &Control<Self>) {}

    fn started(&self, _: usize, _: TaskId, _: u32, _: bool) {}

    fn goes_on(&self, _: usize, _: TaskId, _: bool) {}

    fn passed(&self, _: usize, task: TaskId) {
        self.finished(task, (Outcome::Passed, ()));
    }

    fn retrying(&self, _: TaskId, _: bool, _: (Outcome, ())) {}

    fn added(&self, _: &[TaskId]) {}

    fn paused(&self, _: usize, _: TaskId) {}

    fn resumed(&self, _: usize, _: TaskId) {}

    fn perform(&self, (): &mut (), _: usize, task: TaskId, _: u32) -> Option<(Outcome, ())> {
        (self.perform)(task);
        None
    }

    fn finished(&self, task: TaskId, (outcome, ()): (Outcome, ())) {
        let told = format!("{} {outcome}", task.index());
        self.told.lock().unwrap().push(told);
    }

    fn changed(&self, change: Change) {
        if let Change::Settled(task, outcome, _) = change {
            let told = format!("{} {outcome}", task.index());
            self.told.lock().unwrap().push(told);
        }
    }

    fn over(&self) {
        self.over.send(()).unwrap();
    }
}

type Bench<F> = (Pool<Notes<F>>, Arc<Notes<F>>, Receiver<()>);

fn bench<F: Fn(TaskId) + Send + Sync + 'static>(tasks: &str, perform: F) -> Bench<F> {
    let catalog = sketch::catalog(tasks);
    let graph = sketch::graph(&catalog).unwrap();
    let (over, is_over) = mpsc::channel();
    let told = Mutex::default();
    let notes = Arc::new(Notes {
        told,
        over,
        perform,
    });
    let plan = Plan::new(&catalog, &Arc::new(graph), Rules::default());
    (Pool::new(plan, Arc::clone(&notes)), notes, is_over)
}

#[test]
fn every_worker_is_woken_for_a_crowd_of_ready_tasks() {
    let all = Barrier::new(4);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let meet = move |task: TaskId| {
        if task.index() == 0 {
            let _ = gate.lock().unwrap().recv();
        } else {
            all.wait();
        }
    };
    let (mut pool, notes, is_over) = bench("root a<root b<root c<root d<root", meet);
    assert_eq!(pool.start(4, 4).unwrap(), 4);
    while pool.control.shared.held().spare < 3 {
        thread::yield_now();
    }
    drop(go);
    is_over.recv().unwrap();
    pool.join();
    assert_eq!(notes.told.lock().unwrap().len(), 5);
}

#[test]
fn a_task_that_comes_back_after_it_was_given_up_is_not_told_again() {
    let (go, gate) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let gate = Mutex::new(gate);
    let wait = move |_| {
        started.send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    };
    let (mut pool, notes, is_over) = bench("a", wait);
    pool.start(1, 1).unwrap();
    has_started.recv().unwrap();
    pool.control().abandon(Stop::Signal(2));
    is_over.recv().unwrap();
    drop(go);
    pool.join();
    assert_eq!(*notes.told.lock().unwrap(), ["0 cancelled"]);
}
