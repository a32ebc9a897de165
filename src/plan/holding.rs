//! The locks of a plan: what running tasks ask for, and what becomes free when they end.

use super::locks::Freed;
use super::{Asked, Change, Owner, Plan, Ticket};
use crate::task::{Lock, Refused, TaskId};

impl Plan {
    /// A task or a hook asks for a lock. Where it has to wait, [`Change::Granted`] or [`Change::Refused`] will tell.
    pub fn lock(&mut self, owner: Owner, lock: &Lock) -> Result<Asked, Refused> {
        if let Owner::Task(task) = owner {
            if !self.is_under_way(task) {
                return Err(Refused::Stale);
            }
            self.take_off_lane(task);
            self.lockers.insert(task);
        }
        let asked = self.locks.ask(owner, lock);
        if let Asked::Queued(ticket) = asked {
            let why = if self.is_interrupted(owner) {
                Refused::Cancelled
            } else if self.is_hopeless(self.locks.awaited_by(owner), Some(owner)) {
                Refused::Deadlock
            } else {
                return Ok(asked);
            };
            let freed = self.locks.forget(ticket);
            self.call(freed);
            return Err(why);
        }
        Ok(asked)
    }

    /// Gives a lock back once.
    pub fn unlock(&mut self, owner: Owner, name: &str) -> Result<Vec<Change>, Refused> {
        let freed = self.locks.release(owner, name)?;
        let mut changes = Vec::new();
        self.freed(freed, &mut changes);
        Ok(changes)
    }

    /// Nobody waits for this lock any more.
    pub fn forget(&mut self, ticket: Ticket) -> Vec<Change> {
        let freed = self.locks.forget(ticket);
        let mut changes = Vec::new();
        self.freed(freed, &mut changes);
        changes
    }

    /// A hook has ended: what it holds is free, and its threads wait no longer.
    pub fn release(&mut self, owner: Owner) -> Vec<Change> {
        let mut changes = Vec::new();
        self.release_owner(owner, &mut changes);
        changes
    }

    /// Ends the waits for locks of a task that is asked to stop. It does not wait for anything from here on.
    pub fn interrupt(&mut self, task: TaskId) -> Vec<Change> {
        if self.is_under_way(task) {
            self.take_off_lane(task);
            self.interrupted.insert(task);
        }
        let tickets = self.locks.tickets(|owner| owner == Owner::Task(task));
        let mut changes = Vec::new();
        self.refuse(&tickets, Refused::Cancelled, &mut changes);
        changes
    }

    pub(super) fn release_locks(&mut self, task: TaskId, changes: &mut Vec<Change>) {
        if self.lockers.remove(&task) {
            self.release_owner(Owner::Task(task), changes);
        } else if let Some(options) = self.options.get(&task).cloned()
            && !options.locks.is_empty()
        {
            let mut freed = Freed::default();
            let owner = Owner::Task(task);
            self.locks
                .release_declared(owner, &options.locks, &mut freed);
            self.freed(freed, changes);
        }
    }

    pub(super) fn release_owner(&mut self, owner: Owner, changes: &mut Vec<Change>) {
        let tickets = self.locks.tickets(|other| other == owner);
        self.refuse(&tickets, Refused::Stale, changes);
        let mut freed = Freed::default();
        self.locks.release_all(owner, &mut freed);
        self.freed(freed, changes);
    }

    pub(super) fn refuse(&mut self, tickets: &[Ticket], why: Refused, changes: &mut Vec<Change>) {
        for &ticket in tickets {
            changes.push(Change::Refused(ticket, why));
            let freed = self.locks.forget(ticket);
            self.freed(freed, changes);
        }
    }

    pub(super) fn freed(&mut self, mut freed: Freed, changes: &mut Vec<Change>) {
        let granted = std::mem::take(&mut freed.granted);
        changes.extend(granted.into_iter().map(Change::Granted));
        self.call(freed);
    }
}
