//! The worker threads: each takes the next ready task of the plan, has it performed, and counts its dependents down.
//!
//! Knows nothing of what performing means, of events or of time. The plan is behind one lock; workers with nothing to do
//! sleep until a task becomes ready, and are woken one per task. Nothing polls.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::event::Stop;
use crate::plan::{Change, Phase, Plan};
use crate::task::{Outcome, TaskId};

/// The address space a task may use for its stack: as much as a main thread has by default.
pub const STACK: usize = 8 << 20;

/// What the pool needs of a run. All but `perform` are called under the lock of the plan, so they come in one order, and
/// must not block.
pub trait Crew: Send + Sync + 'static {
    /// What performing yields besides the outcome.
    type Report;

    /// A worker has taken a task.
    fn started(&self, worker: usize, task: TaskId);
    /// Runs the task to its end, on the calling thread.
    fn perform(&self, worker: usize, task: TaskId) -> (Outcome, Self::Report);
    /// A task that was running has its outcome.
    fn finished(&self, task: TaskId, end: (Outcome, Self::Report));
    /// Something followed from that, or from a stop.
    fn changed(&self, change: Change);
    /// Every task has its outcome; called once.
    fn over(&self);
}

/// A plan and the threads that work on it.
pub struct Pool<C: Crew> {
    control: Control<C>,
    threads: Vec<JoinHandle<()>>,
}

/// Acts on a pool from any thread.
pub struct Control<C> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for Control<C> {
    fn clone(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared }
    }
}

struct Shared<C> {
    crew: Arc<C>,
    desk: Mutex<Desk>,
    wake: Condvar,
}

struct Desk {
    plan: Plan,
    /// Workers that sleep.
    idle: usize,
    over: bool,
}

thread_local! {
    static CURRENT: Cell<Option<TaskId>> = const { Cell::new(None) };
}

/// The task that the calling thread is performing.
pub fn current() -> Option<TaskId> {
    CURRENT.get()
}

impl<C: Crew> Pool<C> {
    /// A pool without threads: nothing runs yet, but it can be stopped.
    pub fn new(plan: Plan, crew: Arc<C>) -> Self {
        let desk = Desk {
            plan,
            idle: 0,
            over: false,
        };
        let shared = Shared {
            crew,
            desk: Mutex::new(desk),
            wake: Condvar::new(),
        };
        let control = Control {
            shared: Arc::new(shared),
        };
        Self {
            control,
            threads: Vec::new(),
        }
    }

    /// The way to act on it.
    pub fn control(&self) -> &Control<C> {
        &self.control
    }

    /// Starts up to `workers` threads, named `thread_0` and so on; how many there are then. Fewer where the system gives no
    /// more; an error where it gives none.
    pub fn start(&mut self, workers: usize) -> io::Result<usize> {
        for worker in 0..workers {
            let shared = Arc::clone(&self.control.shared);
            let thread = thread::Builder::new()
                .name(format!("thread_{worker}"))
                .stack_size(STACK)
                .spawn(move || shared.work(worker));
            match thread {
                Ok(thread) => self.threads.push(thread),
                Err(error) if self.threads.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.threads.len())
    }

    /// Waits for the threads, which end when the plan is over. Not after [`Control::abandon`].
    pub fn join(self) {
        for thread in self.threads {
            // A worker catches what tasks do; its own panic has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl<C: Crew> Control<C> {
    /// Starts no further task.
    pub fn stop(&self, why: Stop) {
        self.change(|plan| plan.stop(why));
    }

    /// Gives up the running tasks too. Their threads are left to themselves.
    pub fn abandon(&self, why: Stop) {
        self.change(|plan| plan.abandon(why));
    }

    /// Gives a running task an outcome although it has not come back and will not.
    pub fn lose(&self, task: TaskId, end: (Outcome, C::Report)) {
        let mut desk = self.shared.locked();
        self.shared.finish(&mut desk, task, end);
    }

    /// Looks at the plan.
    pub fn look<T>(&self, look: impl FnOnce(&Plan) -> T) -> T {
        look(&self.shared.locked().plan)
    }

    fn change(&self, change: impl FnOnce(&mut Plan) -> Vec<Change>) {
        let mut desk = self.shared.locked();
        let changes = change(&mut desk.plan);
        self.shared.tell(&mut desk, changes);
    }
}

impl<C: Crew> Shared<C> {
    /// A worker's life.
    fn work(&self, worker: usize) {
        let mut desk = self.locked();
        while !desk.over {
            let Some(task) = desk.plan.take() else {
                desk = self.sleep(desk);
                continue;
            };
            self.crew.started(worker, task);
            self.wake(&desk);
            drop(desk);
            CURRENT.set(Some(task));
            let end = self.crew.perform(worker, task);
            CURRENT.set(None);
            desk = self.locked();
            self.finish(&mut desk, task, end);
        }
    }

    fn sleep<'a>(&self, mut desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        desk.idle += 1;
        let mut desk = self.wake.wait(desk).unwrap_or_else(PoisonError::into_inner);
        desk.idle -= 1;
        desk
    }

    /// Whoever takes a task wakes the next worker if there is more to take, so that a crowd of ready tasks wakes the
    /// workers one by one and a chain wakes nobody.
    fn wake(&self, desk: &Desk) {
        if desk.idle > 0 && desk.plan.ready() > 0 {
            self.wake.notify_one();
        }
    }

    fn finish(&self, desk: &mut Desk, task: TaskId, end: (Outcome, C::Report)) {
        if desk.plan.phase(task) != Phase::Running {
            return; // given up before: it comes too late
        }
        let changes = desk.plan.finish(task, end.0);
        self.crew.finished(task, end);
        self.tell(desk, changes);
    }

    fn tell(&self, desk: &mut Desk, changes: Vec<Change>) {
        for change in changes {
            self.crew.changed(change);
        }
        if desk.plan.is_over() && !desk.over {
            desk.over = true;
            self.crew.over();
            self.wake.notify_all();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{self, Receiver, Sender};

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

        fn started(&self, _: usize, _: TaskId) {}

        fn perform(&self, _: usize, task: TaskId) -> (Outcome, ()) {
            (self.perform)(task);
            (Outcome::Passed, ())
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
        let graph = sketch::graph(&sketch::catalog(tasks)).unwrap();
        let rules = Rules {
            skip_deps: true,
            max_fail: None,
        };
        let (over, is_over) = mpsc::channel();
        let told = Mutex::default();
        let notes = Arc::new(Notes {
            told,
            over,
            perform,
        });
        let plan = Plan::new(&Arc::new(graph), rules);
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
        assert_eq!(pool.start(4).unwrap(), 4);
        while pool.control.shared.locked().idle < 3 {
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
        pool.start(1).unwrap();
        has_started.recv().unwrap();
        pool.control().abandon(Stop::Signal(2));
        is_over.recv().unwrap();
        drop(go);
        pool.join();
        assert_eq!(*notes.told.lock().unwrap(), ["0 cancelled"]);
    }
}
