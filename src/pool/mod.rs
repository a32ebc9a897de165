//! The worker threads: each takes the next ready task of the plan, has it performed, and counts its dependents down.
//!
//! Knows nothing of what performing means, of events or of time. The plan is behind one lock, the desk's. A worker that
//! has run a plain task goes straight to the next one on the [`Lane`], without the desk; everything else is done at the
//! desk. Workers with nothing to do sleep until a task becomes ready, and are woken one per task. Nothing polls.
//!
//! A task runs in one of as many places as there are workers. One that waits for others gives its place up, so that they
//! can run, and needs a place to go on; its thread stays where it is, and another thread is made where there is none to
//! spare. So there may be more threads than workers, but never more than that many tasks that run.

mod desk;
#[cfg(all(model, test))]
mod model;
mod place;
mod sleep;
mod work;

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use desk::{Desk, Held};
use place::Place;
use sleep::Sleeper;

use crate::event::Stop;
use crate::graph::Added;
use crate::plan::{Asked, Change, Lane, Owner, Phase, Plan};
use crate::sync::atomic::AtomicUsize;
use crate::task::{Catalog, Lock, Outcome, Refused, TaskId};

/// The address space a task may use for its stack: as much as a main thread has by default.
pub const STACK: usize = 8 << 20;

/// What the pool needs of a run. All but `seat`, `perform`, `passed` and `goes_on` are called with the desk held, so they come
/// in one order; they and the last two must not block.
pub trait Crew: Sized + Send + Sync + 'static {
    /// What performing yields besides the outcome.
    type Report: Default;
    /// What a thread of the pool keeps from one task to the next.
    type Seat;

    /// For a new thread, which calls this.
    fn seat(&self, control: &Control<Self>) -> Self::Seat;

    /// A worker has taken a task; `on_lane` where more may follow by [`Crew::goes_on`].
    fn started(&self, worker: usize, task: TaskId, attempt: u32, on_lane: bool);
    /// Runs an attempt to its end, on the calling thread; none where it passed, and there is nothing to say about that.
    fn perform(
        &self,
        seat: &mut Self::Seat,
        worker: usize,
        task: TaskId,
        attempt: u32,
    ) -> Option<(Outcome, Self::Report)>;
    /// A task on the lane has come to such an end. Told by its worker, before anybody takes a task that comes after it.
    fn passed(&self, worker: usize, task: TaskId);
    /// The worker has taken another task on the lane; `at_once` where it did not wait for that.
    fn goes_on(&self, worker: usize, task: TaskId, at_once: bool);
    /// An attempt has ended, and there will be another one: where it is `delayed`, when [`Control::again`] is called.
    fn retrying(&self, task: TaskId, delayed: bool, end: (Outcome, Self::Report));
    /// A task that was running has its outcome.
    fn finished(&self, task: TaskId, end: (Outcome, Self::Report));
    /// Something followed from that, or from a stop.
    fn changed(&self, change: Change);
    /// Tasks have been added; in declaration order.
    fn added(&self, tasks: &[TaskId]);
    /// A task waits for others and has given up its place.
    fn paused(&self, worker: usize, task: TaskId);
    /// It has a place again.
    fn resumed(&self, worker: usize, task: TaskId);
    /// Every task has its outcome; called once.
    fn over(&self);
}

/// A plan and the threads that work on it.
pub struct Pool<C: Crew> {
    control: Control<C>,
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
    lane: Arc<Lane>,
    desk: Mutex<Desk>,
    /// One for each worker there may be.
    places: OnceLock<Box<[Place]>>,
    /// How many workers sleep, or can be made, and could be of use; not more than that many.
    helpers: AtomicUsize,
    /// How many workers run tasks of the lane, and may make others ready; not fewer than that many.
    busy: AtomicUsize,
    wake: Condvar,
}

thread_local! {
    /// The task that this thread performs, and the pool that this is for: a task may run a pool of its own.
    static CURRENT: Cell<Option<(usize, TaskId)>> = const { Cell::new(None) };
}

/// The task that the calling thread is performing.
pub fn current() -> Option<TaskId> {
    CURRENT.get().map(|(_, task)| task)
}

impl<C: Crew> Pool<C> {
    /// A pool without threads: nothing runs yet, but it can be stopped. Where there is no task, all is over.
    pub fn new(plan: Plan, crew: Arc<C>) -> Self {
        if plan.is_over() {
            crew.over();
        }
        let shared = Shared {
            crew,
            lane: Arc::clone(plan.lane()),
            desk: Mutex::new(Desk::new(plan)),
            places: OnceLock::new(),
            helpers: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            wake: Condvar::new(),
        };
        let control = Control {
            shared: Arc::new(shared),
        };
        Self { control }
    }

    /// The way to act on it.
    pub fn control(&self) -> &Control<C> {
        &self.control
    }

    /// Starts up to `workers` threads, named `thread_0` and so on; how many there are then. Fewer where the system gives no
    /// more; an error where it gives none. Where tasks are added later, there may be more, up to `limit`.
    pub fn start(&mut self, workers: usize, limit: usize) -> io::Result<usize> {
        let shared = &self.control.shared;
        let limit = limit.max(workers);
        shared
            .places
            .get_or_init(|| (0..limit).map(|_| Place::new()).collect());
        shared.held().limit = limit;
        for worker in 0..workers {
            // Not with the desk held: the first ones begin while the others are made.
            let id = shared.held().announce_thread();
            let made = shared.make_thread(id);
            let mut desk = shared.held();
            match desk.keep_thread(made) {
                Ok(()) => {
                    // A task of the first ones may have added tasks, and places for them, by now.
                    let places = desk.places.len().max(worker + 1);
                    desk.places.resize(places, None);
                    shared.wake(&mut desk);
                }
                Err(error) if worker == 0 => return Err(error),
                Err(_) => return Ok(worker),
            }
        }
        Ok(workers)
    }

    /// Waits for the threads, which end when the plan is over. Not where tasks have been given up.
    pub fn join(self) {
        let threads = std::mem::take(&mut self.control.shared.held().threads);
        for thread in threads {
            // A worker catches what tasks do; its own panic has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl<C: Crew> Control<C> {
    /// Starts no further task, but those that clean up.
    pub fn stop(&self, why: Stop) {
        self.change(|plan| plan.stop(why));
    }

    /// Gives up the running tasks too. Their threads are left to themselves.
    pub fn abandon(&self, why: Stop) {
        let mut desk = self.shared.held();
        let changes = desk.plan.abandon(why);
        for task in desk.sleepers.keys().copied().collect::<Vec<_>>() {
            desk.dismiss_sleepers(task, Refused::Cancelled);
        }
        self.shared.tell(&mut desk, changes);
    }

    /// Gives a running task an outcome although it has not come back; where `attempt` is given, only if that is the one
    /// that runs. Another thread takes its place.
    pub fn give_up(&self, task: TaskId, attempt: Option<u32>, end: (Outcome, C::Report)) {
        let mut desk = self.shared.held();
        let attempt = attempt.unwrap_or_else(|| desk.plan.attempt(task));
        if !desk.is_current(Owner::Task(task), attempt) {
            return;
        }
        let changes = desk.plan.give_up(task, end.0);
        desk.leave_place(task);
        desk.dismiss_sleepers(task, Refused::Cancelled);
        self.shared.crew.finished(task, end);
        desk.answer_waits_for(task);
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
    }

    /// Ends what a running task waits for, as it is asked to stop; where `attempt` is the one that runs.
    pub fn interrupt(&self, task: TaskId, attempt: u32) {
        let mut desk = self.shared.held();
        if !desk.is_current(Owner::Task(task), attempt) {
            return;
        }
        desk.interrupt_sleepers(task);
        let changes = desk.plan.interrupt(task);
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
    }

    /// The time until the retry of a task is over.
    pub fn again(&self, task: TaskId) {
        self.change(|plan| plan.again(task));
    }

    /// Adds what `find` comes to, which sees the plan as it is.
    pub fn add<E: From<Refused>>(
        &self,
        catalog: &Catalog,
        find: impl FnOnce(&Plan) -> Result<Vec<Added>, E>,
    ) -> Result<(), E> {
        let mut desk = self.shared.held();
        let added = find(&desk.plan)?;
        if added.is_empty() {
            return Ok(());
        }
        let changes = desk.plan.add(catalog, &added)?;
        let places = desk.limit.min(desk.plan.planned()).max(desk.places.len());
        desk.places.resize(places, None);
        let mut tasks: Vec<_> = added.iter().map(|added| added.task).collect();
        tasks.sort_unstable();
        self.shared.crew.added(&tasks);
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
        Ok(())
    }

    /// Waits until these have ended, as far as they are planned, on a thread of an attempt of `task`, which gives its place
    /// up meanwhile.
    pub fn wait(&self, task: TaskId, attempt: u32, on: &[TaskId]) -> Result<(), Refused> {
        let mut desk = self.shared.held();
        if !desk.is_current(Owner::Task(task), attempt) {
            return Err(Refused::Stale);
        }
        // What is not planned never ends: its result was given.
        let over = |task| matches!(task, Phase::Finished(_) | Phase::Unplanned);
        let is_left = |task: &&TaskId| !over(desk.plan.phase(**task));
        let left: Vec<_> = on.iter().filter(is_left).copied().collect();
        if left.is_empty() {
            return Ok(());
        }
        desk.plan.wait(task, &left)?;
        let sleeper = Sleeper::new(&self.shared, Some(task), left.len());
        for &awaited in &left {
            let sleepers = desk.awaited.entry(awaited).or_default();
            sleepers.push(Arc::clone(&sleeper));
        }
        let (mut desk, answer) = self.shared.sleep(desk, &sleeper, true);
        if desk.is_current(Owner::Task(task), attempt) {
            desk.plan.waited(task, &left);
        }
        answer
    }

    /// Takes a lock for an attempt of a task, or a hook, and waits for it where that is needed.
    pub fn lock(&self, owner: Owner, attempt: u32, lock: &Lock) -> Result<(), Refused> {
        let mut desk = self.shared.held();
        if !desk.is_current(owner, attempt) {
            return Err(Refused::Stale);
        }
        let Asked::Queued(ticket) = desk.plan.lock(owner, lock)? else {
            return Ok(());
        };
        let task = match owner {
            Owner::Task(task) => Some(task),
            Owner::Hook(_) => None,
        };
        let sleeper = Sleeper::new(&self.shared, task, 0);
        desk.tickets.insert(ticket, Arc::clone(&sleeper));
        let (mut desk, answer) = self.shared.sleep(desk, &sleeper, false);
        if desk.tickets.remove(&ticket).is_some() {
            let changes = desk.plan.forget(ticket);
            self.shared.tell(&mut desk, changes);
            self.shared.wake(&mut desk);
        }
        answer
    }

    /// Gives a lock back once.
    pub fn unlock(&self, owner: Owner, attempt: u32, name: &str) -> Result<(), Refused> {
        let mut desk = self.shared.held();
        if !desk.is_current(owner, attempt) {
            return Err(Refused::Stale);
        }
        let changes = desk.plan.unlock(owner, name)?;
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
        Ok(())
    }

    /// A hook has ended: what it holds is free.
    pub fn release(&self, owner: Owner) {
        self.change(|plan| plan.release(owner));
    }

    /// Looks at the plan.
    pub fn look<T>(&self, look: impl FnOnce(&Plan) -> T) -> T {
        look(&self.shared.held().plan)
    }

    fn change(&self, change: impl FnOnce(&mut Plan) -> Vec<Change>) {
        let mut desk = self.shared.held();
        let changes = change(&mut desk.plan);
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
    }
}

impl<C: Crew> Shared<C> {
    /// Unlike those of all other pools that are there.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The places, once workers have been started.
    fn places(&self) -> &[Place] {
        self.places.get().map_or(&[], |places| places)
    }

    fn held(self: &Arc<Self>) -> Held<'_, C> {
        Held::new(self)
    }

    fn tell(&self, desk: &mut Desk, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Granted(ticket) => {
                    if let Some(sleeper) = desk.tickets.remove(&ticket) {
                        desk.answer(&sleeper, Ok(()));
                    }
                }
                Change::Refused(ticket, why) => {
                    if let Some(sleeper) = desk.tickets.remove(&ticket) {
                        desk.answer(&sleeper, Err(why));
                    }
                }
                change => {
                    let settled = match change {
                        Change::Settled(task, ..) | Change::Stands(task, _) => Some(task),
                        _ => None,
                    };
                    self.crew.changed(change);
                    if let Some(task) = settled {
                        desk.answer_waits_for(task);
                    }
                }
            }
        }
        if desk.plan.is_over() && !desk.over {
            desk.over = true;
            self.crew.over();
            self.wake.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
