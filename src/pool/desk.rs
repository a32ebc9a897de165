//! The desk: the plan and all that is known of places and threads, behind one lock.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::sleep::Sleeper;
use super::{Crew, Shared};
use crate::plan::{Owner, Plan, Ticket};
use crate::task::TaskId;

pub(super) struct Desk {
    pub(super) plan: Plan,
    /// The tasks that run, by place. For those on the lane as it was when the desk was taken.
    pub(super) places: Vec<Option<TaskId>>,
    /// Places whose worker runs tasks of the lane.
    pub(super) on_lane: Vec<usize>,
    /// As many places there may be, where there are so many tasks.
    pub(super) limit: usize,
    /// Workers that sleep, or have been made or woken and not come yet, or are on their way from the lane.
    pub(super) spare: usize,
    /// Workers that sleep and have not been woken.
    pub(super) asleep: usize,
    /// Workers that have been woken and not come yet.
    pub(super) woken: usize,
    pub(super) threads: Vec<JoinHandle<()>>,
    /// How many have been made, or tried to.
    pub(super) made: usize,
    /// Waits for locks.
    pub(super) tickets: HashMap<Ticket, Arc<Sleeper>>,
    /// Waits for tasks, by the task that is waited for.
    pub(super) awaited: HashMap<TaskId, Vec<Arc<Sleeper>>>,
    /// Threads of tasks that wait, by task.
    pub(super) sleepers: HashMap<TaskId, Vec<Arc<Sleeper>>>,
    /// Paused tasks that have what they waited for, and want a place.
    pub(super) resuming: VecDeque<Arc<Sleeper>>,
    pub(super) over: bool,
}

impl Desk {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            over: plan.is_over(),
            plan,
            places: Vec::new(),
            on_lane: Vec::new(),
            limit: 0,
            spare: 0,
            asleep: 0,
            woken: 0,
            threads: Vec::new(),
            made: 0,
            tickets: HashMap::new(),
            awaited: HashMap::new(),
            sleepers: HashMap::new(),
            resuming: VecDeque::new(),
        }
    }

    /// A thread is about to be made, and comes as soon as it is; its id.
    pub(super) fn announce_thread(&mut self) -> usize {
        self.spare += 1;
        self.made += 1;
        self.made - 1
    }

    /// It has been made, or could not be.
    pub(super) fn keep_thread(&mut self, made: io::Result<JoinHandle<()>>) -> io::Result<()> {
        match made {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.spare -= 1;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a call counts: a task may have been given up since, or be at its next attempt.
    pub(super) fn is_current(&self, owner: Owner, attempt: u32) -> bool {
        match owner {
            Owner::Task(task) => self.plan.is_under_way(task) && self.plan.attempt(task) == attempt,
            Owner::Hook(_) => true,
        }
    }

    pub(super) fn free_place(&self) -> Option<usize> {
        self.places.iter().position(Option::is_none)
    }

    /// Empties the place where a task runs; which one that was.
    pub(super) fn leave_place(&mut self, task: TaskId) -> Option<usize> {
        let place = self.places.iter().position(|place| *place == Some(task))?;
        self.places[place] = None;
        self.on_lane.retain(|other| *other != place);
        Some(place)
    }
}

/// The desk, locked, while no worker is between two tasks of the lane.
pub(super) struct Held<'a, C: Crew> {
    shared: &'a Arc<Shared<C>>,
    /// None only while it waits.
    desk: Option<MutexGuard<'a, Desk>>,
}

impl<'a, C: Crew> Held<'a, C> {
    pub(super) fn new(shared: &'a Arc<Shared<C>>) -> Self {
        let mut desk = shared.desk.lock().unwrap_or_else(PoisonError::into_inner);
        shared.shut_gates(&mut desk);
        let desk = Some(desk);
        Self { shared, desk }
    }

    /// Gives the desk to others until it is told to go on, or for no reason at all.
    pub(super) fn wait(&mut self, wake: &Condvar) {
        if let Some(mut desk) = self.desk.take() {
            self.shared.open_gates(&mut desk);
            let mut desk = wake.wait(desk).unwrap_or_else(PoisonError::into_inner);
            self.shared.shut_gates(&mut desk);
            self.desk = Some(desk);
        }
    }
}

impl<C: Crew> Deref for Held<'_, C> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        self.desk.as_ref().expect("held, but in `wait`")
    }
}

impl<C: Crew> DerefMut for Held<'_, C> {
    fn deref_mut(&mut self) -> &mut Desk {
        self.desk.as_mut().expect("held, but in `wait`")
    }
}

impl<C: Crew> Drop for Held<'_, C> {
    fn drop(&mut self) {
        if let Some(desk) = &mut self.desk {
            self.shared.open_gates(desk);
        }
    }
}

impl<C: Crew> Shared<C> {
    /// From here on the plan knows all, and nothing happens on the lane.
    fn shut_gates(self: &Arc<Self>, desk: &mut Desk) {
        if desk.on_lane.is_empty() {
            return;
        }
        let places = self.places();
        for &place in &desk.on_lane {
            places[place].shut();
        }
        let mut passed = 0;
        for &place in &desk.on_lane {
            places[place].wait_until_left();
            passed += places[place].take_count();
            desk.places[place] = places[place].task();
        }
        // Who has left a place comes to the desk: nobody else has to be made or woken for that.
        let before = desk.on_lane.len();
        desk.on_lane.retain(|place| desk.places[*place].is_some());
        desk.spare += before - desk.on_lane.len();
        let running = desk.on_lane.iter().filter_map(|place| desk.places[*place]);
        let changes = desk.plan.heed(running, passed);
        if passed > 0 {
            self.tell(desk, changes);
        }
    }

    /// Workers go on by themselves, but for those whose task is not on the lane any more.
    fn open_gates(&self, desk: &mut Desk) {
        desk.plan.leave_lane(!desk.resuming.is_empty());
        // Before the gates: who comes through them must see who could help.
        let free = desk.places.iter().filter(|place| place.is_none()).count();
        // Where no thread is spare one can be made: those of tasks that were given up are gone.
        let could_come = desk.asleep.max(usize::from(desk.spare == 0));
        self.set_helpers(could_come.min(free));
        let mut on_lane = std::mem::take(&mut desk.on_lane);
        on_lane.retain(|place| {
            let here = &self.places()[*place];
            let goes_on = here.task().is_some_and(|task| self.lane.is_on(task));
            if goes_on {
                here.open();
            }
            goes_on
        });
        self.set_busy(on_lane.len());
        desk.on_lane = on_lane;
    }
}
