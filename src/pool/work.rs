//! A worker's life.

use std::io;
use std::sync::Arc;
use std::sync::PoisonError;
use std::thread::{self, JoinHandle};

use super::desk::{Desk, Held};
use super::place::Place;
use super::{CURRENT, Control, Crew, STACK, Shared};
use crate::event::Stop;
use crate::plan::{After, Next};
use crate::sync::Backoff;
use crate::sync::atomic::Ordering;
use crate::task::{Outcome, Refused, TaskId};

/// A thread of the pool.
struct Worker<'a, C: Crew> {
    shared: &'a Arc<Shared<C>>,
    seat: C::Seat,
    /// Unlike those of all other threads of the pool.
    id: usize,
    /// Tasks for the plan that have nothing to wait for on the lane any more.
    arrived: Vec<TaskId>,
}

/// A task with its end, for the desk.
type End<C> = (TaskId, (Outcome, <C as Crew>::Report));

impl<C: Crew> Shared<C> {
    /// Makes one more thread.
    pub(super) fn add_thread(self: &Arc<Self>, desk: &mut Desk) -> io::Result<()> {
        let id = desk.announce_thread();
        desk.keep_thread(self.make_thread(id))
    }

    /// Between [`Desk::announce_thread`] and [`Desk::keep_thread`].
    pub(super) fn make_thread(self: &Arc<Self>, id: usize) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(self);
        let work = move || {
            let control = Control {
                shared: Arc::clone(&shared),
            };
            let worker = Worker {
                shared: &shared,
                seat: shared.crew.seat(&control),
                id,
                arrived: Vec::new(),
            };
            worker.live();
        };
        thread::Builder::new()
            .name(format!("thread_{id}"))
            .stack_size(STACK)
            .spawn(work)
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
    pub(super) fn wake(self: &Arc<Self>, desk: &mut Desk) {
        if let Some(first) = desk.resuming.front() {
            first.wake.notify_one();
        } else if desk.plan.has_ready() && desk.free_place().is_some() {
            if desk.asleep > 0 {
                self.wake_sleeper(desk);
            } else if desk.spare == 0
                // Where the system gives no thread, those that are there have to do.
                && self.add_thread(desk).is_err()
                && (desk.plan.running() == 0 || desk.is_stalled())
            {
                // None of them comes back: they are with tasks that were given up, or that wait for what is ready.
                let changes = desk.plan.close(Stop::Threads);
                self.tell(desk, changes);
            }
        }
    }

    fn wake_sleeper(&self, desk: &mut Desk) {
        desk.asleep -= 1;
        desk.woken += 1;
        self.wake.notify_one();
    }

    /// On the lane there is more to do than one worker has taken.
    fn wake_helper(self: &Arc<Self>) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let helpers = self.helpers.load(Ordering::Relaxed);
        if helpers > 0 && desk.asleep > 0 {
            self.set_helpers(helpers - 1);
            self.wake_sleeper(&mut desk);
        } else if helpers > 0 {
            drop(desk);
            self.wake(&mut self.held());
        }
    }

    /// Changed with the desk locked.
    pub(super) fn set_helpers(&self, helpers: usize) {
        self.helpers.store(helpers, Ordering::Relaxed);
    }

    /// The same.
    pub(super) fn set_busy(&self, busy: usize) {
        self.busy.store(busy, Ordering::Relaxed);
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
}

impl<C: Crew> Worker<'_, C> {
    fn live(mut self) {
        let shared = self.shared;
        let mut desk = shared.held();
        desk.spare -= 1;
        while !desk.over {
            let Some((task, place)) = shared.take(&mut desk) else {
                Self::sleep(&mut desk, shared);
                continue;
            };
            let attempt = desk.plan.attempt(task);
            let on_lane = desk.plan.put_on_lane(task);
            shared.crew.started(place, task, attempt, on_lane);
            if on_lane {
                shared.places()[place].hand_over(self.id, task);
                desk.on_lane.push(place);
            }
            shared.wake(&mut desk);
            drop(desk);
            let end = self.run(place, task, attempt);
            CURRENT.set(None);
            desk = shared.held();
            if let Some((task, end)) = end {
                shared.finish(&mut desk, task, end);
            } else {
                desk.spare -= 1;
                let changes = desk.plan.arrived(&self.arrived);
                self.arrived.clear();
                shared.tell(&mut desk, changes);
            }
        }
    }

    fn sleep(desk: &mut Held<'_, C>, shared: &Shared<C>) {
        desk.spare += 1;
        desk.asleep += 1;
        while desk.woken == 0 && !desk.over {
            desk.wait(&shared.wake);
        }
        desk.woken = desk.woken.saturating_sub(1);
        desk.spare -= 1;
    }

    /// Performs a task, and then those that it can take from the lane, until it has to come back to the desk: with the end
    /// of a task, or without where that has been dealt with.
    fn run(&mut self, place: usize, task: TaskId, attempt: u32) -> Option<End<C>> {
        let shared = self.shared;
        let (crew, here) = (&*shared.crew, &shared.places()[place]);
        let (mut task, mut attempt) = (task, attempt);
        loop {
            CURRENT.set(Some((shared.id(), task)));
            let end = crew.perform(&mut self.seat, place, task, attempt);
            if end.is_some() || !self.comes_in(here, task) {
                let plain = || (Outcome::Passed, C::Report::default());
                return Some((task, end.unwrap_or_else(plain)));
            }
            crew.passed(place, task);
            here.count();
            let next = shared.lane.passed(task, &mut self.arrived);
            (task, attempt) = (self.seek(here, place, next)?, 1);
        }
    }

    /// Goes inside the gate. Where that is shut, the desk is in use, which is for a moment only. Who went to the desk for that
    /// would shut the gates of others, and they would come too, and so on.
    fn comes_in(&self, here: &Place, task: TaskId) -> bool {
        let backoff = Backoff::new();
        while !here.enter(self.id) {
            if backoff.is_completed() || !self.shared.lane.is_on(task) {
                return false;
            }
            backoff.snooze();
        }
        true
    }

    /// From inside the gate: the next task of the lane, if there is one, or comes soon. A worker that would have to be woken
    /// for it would cost more than to look for it a little longer.
    fn seek(&self, here: &Place, place: usize, next: Next) -> Option<TaskId> {
        let shared = self.shared;
        let (mut next, mut at_once) = (next, true);
        let backoff = Backoff::new();
        loop {
            match next {
                Next::Task(task) => {
                    here.set_task(Some(task));
                    shared.crew.goes_on(place, task, at_once);
                    let helpers = shared.helpers.load(Ordering::Relaxed);
                    let wants_help = helpers > 0 && shared.lane.has_ready();
                    here.leave();
                    if wants_help {
                        shared.wake_helper();
                    }
                    return Some(task);
                }
                Next::Plan => {
                    here.set_task(None);
                    here.leave();
                    return None;
                }
                Next::Nothing => {
                    here.set_task(None);
                    here.leave();
                    if shared.busy.load(Ordering::Relaxed) == 1 {
                        return None; // nobody else is there to make something ready
                    }
                    at_once = false;
                    while !shared.lane.has_ready() {
                        if backoff.is_completed() {
                            return None;
                        }
                        backoff.snooze();
                    }
                    if !here.enter(self.id) {
                        return None;
                    }
                    next = shared.lane.take();
                }
            }
        }
    }
}
