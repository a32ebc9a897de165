//! Named locks: those that tasks declare, taken all or none when a task starts, and those that they ask for while they run.
//! One table for both, so that what one way holds the other respects.
//!
//! Pure: nobody sleeps here. Who has to wait gets a ticket, and hears of it when its turn has come.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::rank::Rank;
use crate::task::{Lock, Refused, TaskId};

/// Who holds locks: a task, or a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A planned task.
    Task(TaskId),
    /// A hook, by its number.
    Hook(usize),
}

/// One wait for one lock.
pub type Ticket = u64;

/// What asking for a lock comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is taken.
    Taken,
    /// It will be, in turn: see [`super::Change::Granted`].
    Queued(Ticket),
}

#[derive(Default)]
pub(super) struct Locks {
    table: HashMap<Box<str>, Entry>,
    next_ticket: Ticket,
    /// How many waits there are, so that nothing is searched where there are none.
    queued: usize,
}

#[derive(Default)]
struct Entry {
    /// Those who hold it: one, or several that share it.
    holders: Vec<Holder>,
    /// Running tasks that wait for it, in the order in which they came.
    queue: Vec<Queued>,
    /// Tasks that could start but for this lock, best rank first: those that want it alone,
    parked: BinaryHeap<Reverse<(Rank, TaskId)>>,
    /// and those that share it.
    parked_shared: BinaryHeap<Reverse<(Rank, TaskId)>>,
    /// The parked task that has been let go to try again.
    called: Option<TaskId>,
}

struct Holder {
    owner: Owner,
    shared: bool,
    depth: usize,
}

struct Queued {
    ticket: Ticket,
    owner: Owner,
    shared: bool,
}

impl Entry {
    /// Whether `owner` could have it besides those who hold it.
    fn is_open(&self, owner: Owner, shared: bool) -> bool {
        let mut others = self.holders.iter().filter(|holder| holder.owner != owner);
        others.all(|holder| shared && holder.shared)
    }

    fn hold(&mut self, owner: Owner, shared: bool) {
        match self.holders.iter_mut().find(|holder| holder.owner == owner) {
            Some(holder) => {
                holder.depth += 1;
                holder.shared &= shared;
            }
            None => self.holders.push(Holder {
                owner,
                shared,
                depth: 1,
            }),
        }
    }

    fn is_unused(&self) -> bool {
        let parked = self.parked.len() + self.parked_shared.len();
        self.holders.is_empty() && self.queue.is_empty() && parked == 0
    }

    /// The parked task of the best rank that could have it now; none where nobody could.
    fn best(&self) -> Option<(Rank, TaskId, bool)> {
        let head = |heap: &BinaryHeap<Reverse<(Rank, TaskId)>>, shared| {
            let head = heap.peek();
            head.map(|&Reverse((rank, task))| (rank, task, shared))
        };
        let shared = head(&self.parked_shared, true);
        let alone = head(&self.parked, false);
        if self.holders.is_empty() {
            shared.into_iter().chain(alone).min()
        } else if self.holders.iter().all(|holder| holder.shared) {
            shared
        } else {
            None
        }
    }
}

/// What follows when locks become free.
#[derive(Default)]
pub(super) struct Freed {
    /// Waits that have come to their end.
    pub(super) granted: Vec<Ticket>,
    /// Parked tasks that may try again.
    pub(super) called: Vec<TaskId>,
}

impl Locks {
    /// A task could take all of them now.
    pub(super) fn are_free(&self, task: TaskId, wanted: &[Lock]) -> bool {
        self.obstacle(task, wanted).is_none()
    }

    fn obstacle<'a>(&self, task: TaskId, wanted: &'a [Lock]) -> Option<&'a Lock> {
        wanted.iter().find(|lock| {
            let entry = self.table.get(&lock.name);
            entry.is_some_and(|entry| {
                !entry.queue.is_empty() || !entry.is_open(Owner::Task(task), lock.shared)
            })
        })
    }

    /// Takes all of them for a task that starts, or none: then it is parked, and called again in time.
    pub(super) fn take_all(
        &mut self,
        task: TaskId,
        rank: Rank,
        wanted: &[Lock],
        freed: &mut Freed,
    ) -> bool {
        let owner = Owner::Task(task);
        let obstacle = self.obstacle(task, wanted);
        let is_free = obstacle.is_none();
        if let Some(lock) = obstacle {
            let entry = self.table.entry(lock.name.clone()).or_default();
            let parked = if lock.shared {
                &mut entry.parked_shared
            } else {
                &mut entry.parked
            };
            parked.push(Reverse((rank, task)));
        } else {
            for lock in wanted {
                let entry = self.table.entry(lock.name.clone()).or_default();
                entry.hold(owner, lock.shared);
            }
        }
        // Who was called for a lock and now waits for another one, or shares it, leaves room for the next.
        self.drop_called(task, wanted, freed);
        is_free
    }

    /// For a running task or a hook. Re-entrant: who holds a lock takes it again.
    pub(super) fn ask(&mut self, owner: Owner, lock: &Lock) -> Asked {
        let entry = self.table.entry(lock.name.clone()).or_default();
        let mine = entry.holders.iter().find(|holder| holder.owner == owner);
        let again = mine.is_some_and(|holder| lock.shared || !holder.shared);
        let free = entry.is_open(owner, lock.shared) && (mine.is_some() || entry.queue.is_empty());
        if again || free {
            entry.hold(owner, lock.shared);
            return Asked::Taken;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queued += 1;
        entry.queue.push(Queued {
            ticket,
            owner,
            shared: lock.shared,
        });
        Asked::Queued(ticket)
    }

    /// Gives a lock back once.
    pub(super) fn release(&mut self, owner: Owner, name: &str) -> Result<Freed, Refused> {
        let entry = self.table.get_mut(name).ok_or(Refused::NotFound)?;
        let held = entry
            .holders
            .iter()
            .position(|holder| holder.owner == owner);
        let held = held.ok_or(Refused::NotFound)?;
        let mut freed = Freed::default();
        entry.holders[held].depth -= 1;
        if entry.holders[held].depth == 0 {
            entry.holders.swap_remove(held);
            self.hand_on(name, &mut freed);
        }
        Ok(freed)
    }

    /// Gives back what `owner` still holds.
    pub(super) fn release_all(&mut self, owner: Owner, freed: &mut Freed) {
        let held_by = |entry: &Entry| entry.holders.iter().any(|holder| holder.owner == owner);
        let held = self.table.iter().filter(|(_, entry)| held_by(entry));
        let names: BTreeSet<Box<str>> = held.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.release_one(owner, &name, freed);
        }
    }

    /// Gives back these, which `owner` holds.
    pub(super) fn release_declared(&mut self, owner: Owner, locks: &[Lock], freed: &mut Freed) {
        for lock in locks {
            self.release_one(owner, &lock.name, freed);
        }
    }

    fn release_one(&mut self, owner: Owner, name: &str, freed: &mut Freed) {
        if let Some(entry) = self.table.get_mut(name) {
            entry.holders.retain(|holder| holder.owner != owner);
            self.hand_on(name, freed);
        }
    }

    /// Ends a wait without the lock.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Freed {
        let mut freed = Freed::default();
        let is_it = |queued: &Queued| queued.ticket == ticket;
        let name = self
            .table
            .iter()
            .find(|(_, entry)| entry.queue.iter().any(is_it));
        if let Some(name) = name.map(|(name, _)| name.clone())
            && let Some(entry) = self.table.get_mut(&name)
        {
            entry.queue.retain(|queued| queued.ticket != ticket);
            self.queued -= 1;
            self.hand_on(&name, &mut freed);
        }
        freed
    }

    /// A lock has become free, for some: running tasks that wait go first, in their order, then one parked task.
    fn hand_on(&mut self, name: &str, freed: &mut Freed) {
        let Some(entry) = self.table.get_mut(name) else {
            return;
        };
        let mut at = 0;
        while at < entry.queue.len() {
            let (owner, shared) = (entry.queue[at].owner, entry.queue[at].shared);
            let holds = entry.holders.iter().any(|holder| holder.owner == owner);
            // Nobody overtakes, but an owner's second thread comes in with the first.
            let turn = at == 0 || holds;
            if turn && entry.is_open(owner, shared) {
                freed.granted.push(entry.queue.remove(at).ticket);
                self.queued -= 1;
                entry.hold(owner, shared);
            } else {
                at += 1;
            }
        }
        if entry.is_unused() {
            self.table.remove(name);
        } else {
            self.call_next(name, freed);
        }
    }

    /// Lets the best parked task try again, one at a time, so that a crowd behind one lock costs no more than its number.
    fn call_next(&mut self, name: &str, freed: &mut Freed) {
        let Some(entry) = self.table.get_mut(name) else {
            return;
        };
        if entry.called.is_some() || !entry.queue.is_empty() {
            return;
        }
        if let Some((_, task, shared)) = entry.best() {
            let parked = if shared {
                &mut entry.parked_shared
            } else {
                &mut entry.parked
            };
            parked.pop();
            entry.called = Some(task);
            freed.called.push(task);
        }
    }

    /// A task that had been called has come, or does not come any more: the next one may try.
    pub(super) fn drop_called(&mut self, task: TaskId, wanted: &[Lock], freed: &mut Freed) {
        for lock in wanted {
            if let Some(entry) = self.table.get_mut(&lock.name)
                && entry.called == Some(task)
            {
                entry.called = None;
                self.call_next(&lock.name, freed);
            }
        }
    }

    /// Those who hold one of these locks in a way that keeps `owner` out, each with that lock.
    pub(super) fn in_the_way<'a>(
        &'a self,
        owner: Owner,
        wanted: &'a [Lock],
    ) -> impl Iterator<Item = (&'a Lock, Owner)> {
        wanted.iter().flat_map(move |lock| {
            let holders = self.holders_against(owner, lock);
            holders.map(move |holder| (lock, holder))
        })
    }

    /// Those who hold this lock in a way that keeps `owner` out.
    fn holders_against(&self, owner: Owner, lock: &Lock) -> impl Iterator<Item = Owner> {
        let shared = lock.shared;
        let entry = self.table.get(&lock.name).into_iter();
        let holders = entry.flat_map(|entry| &entry.holders);
        let others =
            holders.filter(move |holder| holder.owner != owner && !(shared && holder.shared));
        others.map(|holder| holder.owner)
    }

    /// Those who have to move before a task that has not started can have these locks: who holds one, and who runs and waits
    /// for one, which goes first.
    pub(super) fn before_start(&self, task: TaskId, wanted: &[Lock]) -> Vec<Owner> {
        let mut before = Vec::new();
        for lock in wanted {
            before.extend(self.holders_against(Owner::Task(task), lock));
            let entry = self.table.get(&lock.name).into_iter();
            before.extend(
                entry
                    .flat_map(|entry| &entry.queue)
                    .map(|queued| queued.owner),
            );
        }
        before
    }

    /// Those for whom the threads of `owner` wait: who holds what they want, and who came before them.
    pub(super) fn awaited_by(&self, owner: Owner) -> Vec<Owner> {
        let mut awaited = Vec::new();
        if self.queued == 0 {
            return awaited;
        }
        for entry in self.table.values() {
            let holds = entry.holders.iter().any(|holder| holder.owner == owner);
            for (place, queued) in entry.queue.iter().enumerate() {
                if queued.owner != owner {
                    continue;
                }
                let others = entry.holders.iter().filter(|holder| holder.owner != owner);
                let in_the_way = others.filter(|holder| !(queued.shared && holder.shared));
                awaited.extend(in_the_way.map(|holder| holder.owner));
                // Who holds it has its turn at once; see `hand_on`.
                let ahead = if holds { &[] } else { &entry.queue[..place] };
                let ahead = ahead.iter().map(|queued| queued.owner);
                awaited.extend(ahead.filter(|ahead| *ahead != owner));
            }
        }
        awaited
    }

    /// All waits, or those of one owner, or those for whom one owner's lock stands in the way.
    pub(super) fn tickets(&self, which: impl Fn(Owner) -> bool) -> Vec<Ticket> {
        if self.queued == 0 {
            return Vec::new();
        }
        let waits = self.table.values().flat_map(|entry| &entry.queue);
        let chosen = waits.filter(|queued| which(queued.owner));
        let mut tickets: Vec<_> = chosen.map(|queued| queued.ticket).collect();
        tickets.sort_unstable();
        tickets
    }

    /// The waits that will not end because `holder` does not.
    pub(super) fn tickets_behind(&self, holder: Owner) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        for entry in self.table.values() {
            for queued in &entry.queue {
                let kept_out = entry
                    .holders
                    .iter()
                    .any(|other| other.owner == holder && !(queued.shared && other.shared));
                if kept_out {
                    tickets.push(queued.ticket);
                }
            }
        }
        tickets.sort_unstable();
        tickets
    }
}
