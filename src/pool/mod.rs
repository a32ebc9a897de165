//! The worker threads: each takes the next ready task of the plan, has it performed, and counts its dependents down.
//!
//! Knows nothing of what performing means, of events or of time. The plan is behind one lock; workers with nothing to do
//! sleep until a task becomes ready, and are woken one per task. Nothing polls.
//!
//! A task runs in one of as many places as there are workers. One that waits for others gives its place up, so that they
//! can run, and needs a place to go on; its thread stays where it is, and another thread is made where there is none to
//! spare. So there may be more threads than workers, but never more than that many tasks that run.

mod sleep;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use sleep::Sleeper;

use crate::event::Stop;
use crate::graph::Added;
use crate::plan::{After, Asked, Change, Owner, Phase, Plan, Ticket};
use crate::task::{Catalog, Lock, Outcome, Refused, TaskId};

/// The address space a task may use for its stack: as much as a main thread has by default.
pub const STACK: usize = 8 << 20;

/// What the pool needs of a run. All but `perform` are called under the lock of the plan, so they come in one order, and
/// must not block.
pub trait Crew: Sized + Send + Sync + 'static {
    /// What performing yields besides the outcome.
    type Report;

    /// A worker has taken a task.
    fn started(&self, worker: usize, task: TaskId, attempt: u32);
    /// Runs an attempt to its end, on the calling thread.
    fn perform(
        &self,
        control: &Control<Self>,
        worker: usize,
        task: TaskId,
        attempt: u32,
    ) -> (Outcome, Self::Report);
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
    desk: Mutex<Desk>,
    wake: Condvar,
}

struct Desk {
    plan: Plan,
    /// The tasks that run, by place.
    places: Vec<Option<TaskId>>,
    /// As many places there may be, where there are so many tasks.
    limit: usize,
    /// Workers that sleep, or have been made and not come yet.
    spare: usize,
    threads: Vec<JoinHandle<()>>,
    /// Waits for locks.
    tickets: HashMap<Ticket, Arc<Sleeper>>,
    /// Waits for tasks, by the task that is waited for.
    awaited: HashMap<TaskId, Vec<Arc<Sleeper>>>,
    /// Threads of tasks that wait, by task.
    sleepers: HashMap<TaskId, Vec<Arc<Sleeper>>>,
    /// Paused tasks that have what they waited for, and want a place.
    resuming: VecDeque<Arc<Sleeper>>,
    over: bool,
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
        let over = plan.is_over();
        if over {
            crew.over();
        }
        let desk = Desk {
            plan,
            places: Vec::new(),
            limit: 0,
            spare: 0,
            threads: Vec::new(),
            tickets: HashMap::new(),
            awaited: HashMap::new(),
            sleepers: HashMap::new(),
            resuming: VecDeque::new(),
            over,
        };
        let shared = Shared {
            crew,
            desk: Mutex::new(desk),
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
        let mut desk = shared.locked();
        desk.limit = limit;
        for worker in 0..workers {
            match shared.add_thread(&mut desk) {
                Ok(()) => desk.places.push(None),
                Err(error) if worker == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(desk.places.len())
    }

    /// Waits for the threads, which end when the plan is over. Not where tasks have been given up.
    pub fn join(self) {
        let threads = std::mem::take(&mut self.control.shared.locked().threads);
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
        let mut desk = self.shared.locked();
        let changes = desk.plan.abandon(why);
        for task in desk.sleepers.keys().copied().collect::<Vec<_>>() {
            desk.dismiss_sleepers(task, Refused::Cancelled);
        }
        self.shared.tell(&mut desk, changes);
    }

    /// Gives a running task an outcome although it has not come back; where `attempt` is given, only if that is the one
    /// that runs. Another thread takes its place.
    pub fn give_up(&self, task: TaskId, attempt: Option<u32>, end: (Outcome, C::Report)) {
        let mut desk = self.shared.locked();
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
        let mut desk = self.shared.locked();
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
        let mut desk = self.shared.locked();
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
        let mut desk = self.shared.locked();
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
        let mut desk = self.shared.locked();
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
        let mut desk = self.shared.locked();
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
        look(&self.shared.locked().plan)
    }

    fn change(&self, change: impl FnOnce(&mut Plan) -> Vec<Change>) {
        let mut desk = self.shared.locked();
        let changes = change(&mut desk.plan);
        self.shared.tell(&mut desk, changes);
        self.shared.wake(&mut desk);
    }
}

impl Desk {
    /// Whether a call counts: a task may have been given up since, or be at its next attempt.
    fn is_current(&self, owner: Owner, attempt: u32) -> bool {
        match owner {
            Owner::Task(task) => self.plan.is_under_way(task) && self.plan.attempt(task) == attempt,
            Owner::Hook(_) => true,
        }
    }

    fn free_place(&self) -> Option<usize> {
        self.places.iter().position(Option::is_none)
    }

    /// Empties the place where a task runs; which one that was.
    fn leave_place(&mut self, task: TaskId) -> Option<usize> {
        let place = self.places.iter().position(|place| *place == Some(task))?;
        self.places[place] = None;
        Some(place)
    }
}

impl<C: Crew> Shared<C> {
    /// Unlike those of all other pools that are there.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Makes one more thread.
    fn add_thread(self: &Arc<Self>, desk: &mut Desk) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(format!("thread_{}", desk.threads.len()))
            .stack_size(STACK)
            .spawn(move || shared.work())?;
        desk.threads.push(thread);
        desk.spare += 1;
        Ok(())
    }

    /// A worker's life.
    fn work(self: Arc<Self>) {
        let control = Control {
            shared: Arc::clone(&self),
        };
        let mut desk = self.locked();
        desk.spare -= 1;
        while !desk.over {
            let Some((task, place)) = self.take(&mut desk) else {
                desk.spare += 1;
                desk = self.wake.wait(desk).unwrap_or_else(PoisonError::into_inner);
                desk.spare -= 1;
                continue;
            };
            let attempt = desk.plan.attempt(task);
            self.crew.started(place, task, attempt);
            self.wake(&mut desk);
            drop(desk);
            CURRENT.set(Some((self.id(), task)));
            let end = self.crew.perform(&control, place, task, attempt);
            CURRENT.set(None);
            desk = self.locked();
            self.finish(&mut desk, task, end);
        }
    }

    /// The next task and a place for it. Those who have run before and want to go on come first.
    fn take(&self, desk: &mut Desk) -> Option<(TaskId, usize)> {
        if let Some(first) = desk.resuming.front() {
            first.wake.notify_one();
            return None;
        }
        let place = desk.free_place()?;
        let mut task = desk.plan.take();
        if task.is_none() && desk.plan.has_ready() && self.make_way(desk) {
            task = desk.plan.take();
        }
        let task = task?;
        desk.places[place] = Some(task);
        Some((task, place))
    }

    /// Wakes one who may go on or start something. That one wakes the next if there is more to do, so that a crowd of ready
    /// tasks wakes the workers one by one and a chain wakes nobody.
    fn wake(self: &Arc<Self>, desk: &mut Desk) {
        if let Some(first) = desk.resuming.front() {
            first.wake.notify_one();
        } else if desk.plan.has_ready() && desk.free_place().is_some() {
            // Where the system gives no thread, those that are there have to do.
            if desk.spare > 0 || self.add_thread(desk).is_ok() {
                self.wake.notify_one();
            } else if desk.plan.running() == 0 || desk.is_stalled() {
                // None of them comes back: they are with tasks that were given up, or that wait for what is ready.
                let changes = desk.plan.close(Stop::Threads);
                self.tell(desk, changes);
            }
        }
    }

    fn finish(self: &Arc<Self>, desk: &mut Desk, task: TaskId, end: (Outcome, C::Report)) {
        let changes = match desk.plan.finish(task, end.0) {
            After::Nothing => return,
            After::Retry { delayed, changes } => {
                desk.leave_place(task);
                desk.dismiss_sleepers(task, Refused::Stale);
                self.crew.retrying(task, delayed, end);
                changes
            }
            After::Ended(changes) => {
                desk.leave_place(task);
                desk.dismiss_sleepers(task, Refused::Stale);
                self.crew.finished(task, end);
                desk.answer_waits_for(task);
                changes
            }
        };
        self.tell(desk, changes);
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

    fn locked(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
