//! Named locks, re-entrant by owner, that tasks take while they run.
//!
//! Knows owners only as numbers. A wait that would close a circle is refused, so no set of owners can wait for good.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::task::Refused;

/// Who holds and who waits. Fair: a lock goes to those who wait for it in the order in which they came.
#[derive(Default)]
pub struct Locks {
    table: Mutex<Table>,
    released: Condvar,
}

#[derive(Default)]
struct Table {
    held: HashMap<Box<str>, Held>,
    /// Which lock an owner waits for. An owner with several threads may wait for several.
    waiting: Vec<Waiting>,
    next_ticket: u64,
    closed: bool,
}

struct Held {
    owner: u64,
    depth: usize,
}

struct Waiting {
    ticket: u64,
    owner: u64,
    name: Box<str>,
}

impl Locks {
    /// Waits for the lock and takes it for `owner`.
    ///
    /// Refused with [`Refused::Deadlock`] where the holder waits, itself or over others, for a lock of `owner`, and with
    /// [`Refused::Cancelled`] once [`Locks::close`] was called.
    pub fn lock(&self, owner: u64, name: &str) -> Result<(), Refused> {
        let mut table = self.locked();
        if table.try_take(owner, name, u64::MAX) {
            return Ok(());
        }
        if table.would_deadlock(owner, name) {
            return Err(Refused::Deadlock);
        }
        let ticket = table.enqueue(owner, name);
        loop {
            if table.closed {
                table.dequeue(ticket);
                return Err(Refused::Cancelled);
            }
            if table.try_take(owner, name, ticket) {
                table.dequeue(ticket);
                // Another thread of this owner may wait behind somebody else: it may come in now.
                self.released.notify_all();
                return Ok(());
            }
            table = self
                .released
                .wait(table)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Releases the lock once.
    pub fn unlock(&self, owner: u64, name: &str) -> Result<(), Refused> {
        let mut table = self.locked();
        match table.held.get_mut(name) {
            Some(held) if held.owner == owner => held.depth -= 1,
            _ => return Err(Refused::NotFound),
        }
        if table.held[name].depth == 0 {
            table.held.remove(name);
            self.released.notify_all();
        }
        Ok(())
    }

    /// Releases all that `owner` still holds, however often it took it.
    pub fn release(&self, owner: u64) {
        let mut table = self.locked();
        let before = table.held.len();
        table.held.retain(|_, held| held.owner != owner);
        if table.held.len() < before {
            self.released.notify_all();
        }
    }

    /// Ends all waiting, for good: the run is being left.
    pub fn close(&self) {
        self.locked().closed = true;
        self.released.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes the lock if `owner` holds it already, or if it is free and nobody waits who came before `ticket`.
    fn try_take(&mut self, owner: u64, name: &str, ticket: u64) -> bool {
        if let Some(held) = self.held.get_mut(name) {
            let mine = held.owner == owner;
            held.depth += usize::from(mine);
            return mine;
        }
        let first_in_line = !self
            .waiting
            .iter()
            .any(|w| *w.name == *name && w.ticket < ticket);
        if first_in_line {
            self.held.insert(name.into(), Held { owner, depth: 1 });
        }
        first_in_line
    }

    fn enqueue(&mut self, owner: u64, name: &str) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let name = name.into();
        self.waiting.push(Waiting {
            ticket,
            owner,
            name,
        });
        ticket
    }

    fn dequeue(&mut self, ticket: u64) {
        self.waiting.retain(|waiting| waiting.ticket != ticket);
    }

    /// Follows holder → what it waits for → its holder …; meeting `owner` again means that nobody would ever move.
    fn would_deadlock(&self, owner: u64, name: &str) -> bool {
        let mut seen = vec![name];
        let mut next = 0;
        while let Some(&name) = seen.get(next) {
            next += 1;
            let Some(held) = self.held.get(name) else {
                continue;
            };
            if held.owner == owner {
                return true;
            }
            for waiting in self.waiting.iter().filter(|w| w.owner == held.owner) {
                if !seen.contains(&&*waiting.name) {
                    seen.push(&waiting.name);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn a_lock_is_taken_again_by_its_owner_and_released_as_often() {
        let locks = Locks::default();
        locks.lock(1, "db").unwrap();
        locks.lock(1, "db").unwrap();
        locks.unlock(1, "db").unwrap();
        assert_eq!(locks.unlock(2, "db"), Err(Refused::NotFound));
        locks.unlock(1, "db").unwrap();
        assert_eq!(locks.unlock(1, "db"), Err(Refused::NotFound));
        locks.lock(2, "db").unwrap();
    }

    #[test]
    fn what_an_owner_still_holds_at_its_end_goes_to_the_next() {
        let locks = Locks::default();
        locks.lock(1, "a").unwrap();
        locks.lock(1, "a").unwrap();
        locks.lock(1, "b").unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| locks.lock(2, "a"));
            locks.release(1);
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
        locks.lock(3, "b").unwrap();
    }

    #[test]
    fn the_wait_that_closes_a_circle_is_refused() {
        let locks = Locks::default();
        locks.lock(1, "a").unwrap();
        locks.lock(2, "b").unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| locks.lock(1, "b"));
            while locks.locked().waiting.is_empty() {
                std::thread::yield_now();
            }
            assert_eq!(locks.lock(2, "a"), Err(Refused::Deadlock));
            locks.release(2);
            assert_eq!(first.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn a_free_lock_goes_to_who_came_first() {
        let mut table = Table::default();
        let (first, second) = (table.enqueue(1, "a"), table.enqueue(2, "a"));
        assert!(!table.try_take(3, "a", u64::MAX), "it does not wait at all");
        assert!(!table.try_take(2, "a", second));
        assert!(table.try_take(1, "a", first));
    }

    #[test]
    fn both_threads_of_an_owner_come_in_although_another_waits_between_them() {
        let locks = Locks::default();
        let waits = |count| {
            while locks.locked().waiting.len() < count {
                std::thread::yield_now();
            }
        };
        locks.lock(1, "a").unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| locks.lock(2, "a"));
            waits(1);
            let between = scope.spawn(|| locks.lock(3, "a"));
            waits(2);
            let second = scope.spawn(|| locks.lock(2, "a"));
            waits(3);
            locks.release(1);
            assert_eq!(first.join().unwrap(), Ok(()));
            assert_eq!(second.join().unwrap(), Ok(()));
            locks.release(2);
            assert_eq!(between.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn closing_ends_every_wait() {
        let locks = Locks::default();
        locks.lock(1, "a").unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| locks.lock(2, "a"));
            locks.close();
            assert_eq!(waiter.join().unwrap(), Err(Refused::Cancelled));
        });
    }

    #[test]
    fn only_one_owner_at_a_time_is_inside() {
        let locks = Locks::default();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (done, all) = mpsc::channel();
        std::thread::scope(|scope| {
            for owner in 0..8 {
                let done = done.clone();
                let (locks, inside, most) = (&locks, &inside, &most);
                scope.spawn(move || {
                    for _ in 0..100 {
                        locks.lock(owner, "x").unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        locks.unlock(owner, "x").unwrap();
                    }
                    done.send(()).unwrap();
                });
            }
        });
        assert_eq!(all.try_iter().count(), 8);
        assert_eq!(most.into_inner(), 1);
    }
}
