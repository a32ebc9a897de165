//! Named locks, re-entrant by owner, that tasks take while they run.
//!
//! Knows owners only as numbers. A wait that would close a circle is refused, so no set of owners can wait for good.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::task::Refused;

/// Who holds and who waits. Fair: a lock is handed to those who wait for it in the order in which they came, and only who
/// gets it is woken.
#[derive(Default)]
pub struct Locks {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    held: HashMap<Box<str>, Held>,
    /// In the order in which they came. An owner with several threads may wait for several locks.
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
    turn: Arc<Condvar>,
}

impl Locks {
    /// Waits for the lock and takes it for `owner`.
    ///
    /// Refused with [`Refused::Deadlock`] where the holder waits, itself or over others, for a lock of `owner`, and with
    /// [`Refused::Cancelled`] once [`Locks::close`] was called.
    pub fn lock(&self, owner: u64, name: &str) -> Result<(), Refused> {
        let mut table = self.locked();
        if table.try_take(owner, name) {
            return Ok(());
        }
        if table.would_deadlock(owner, name) {
            return Err(Refused::Deadlock);
        }
        let (ticket, turn) = table.enqueue(owner, name);
        while table.is_waiting(ticket) {
            if table.closed {
                table.waiting.retain(|waiting| waiting.ticket != ticket);
                return Err(Refused::Cancelled);
            }
            table = turn.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Releases the lock once.
    pub fn unlock(&self, owner: u64, name: &str) -> Result<(), Refused> {
        let mut table = self.locked();
        let held = table.held.get_mut(name);
        let Some(held) = held.filter(|held| held.owner == owner) else {
            return Err(Refused::NotFound);
        };
        held.depth -= 1;
        if held.depth == 0 {
            table.held.remove(name);
            table.hand_on(name);
        }
        Ok(())
    }

    /// Releases all that `owner` still holds, however often it took it.
    pub fn release(&self, owner: u64) {
        let mut table = self.locked();
        let released = table.held.extract_if(|_, held| held.owner == owner);
        let released: Vec<_> = released.map(|(name, _)| name).collect();
        for name in released {
            table.hand_on(&name);
        }
    }

    /// Ends all waiting, for good: the run is being left.
    pub fn close(&self) {
        let mut table = self.locked();
        table.closed = true;
        for waiting in &table.waiting {
            waiting.turn.notify_one();
        }
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes the lock if it is free or `owner` holds it already. Nobody waits for a free lock: it is handed on at once.
    fn try_take(&mut self, owner: u64, name: &str) -> bool {
        if let Some(held) = self.held.get_mut(name) {
            let mine = held.owner == owner;
            held.depth += usize::from(mine);
            return mine;
        }
        self.held.insert(name.into(), Held { owner, depth: 1 });
        true
    }

    /// Gives a lock that has become free to who came first, and to all threads of that owner that wait for it.
    fn hand_on(&mut self, name: &str) {
        let first = self.waiting.iter().find(|waiting| *waiting.name == *name);
        let Some(owner) = first.map(|waiting| waiting.owner) else {
            return;
        };
        let mut depth = 0;
        self.waiting.retain(|waiting| {
            let gets_it = waiting.owner == owner && *waiting.name == *name;
            if gets_it {
                depth += 1;
                waiting.turn.notify_one();
            }
            !gets_it
        });
        self.held.insert(name.into(), Held { owner, depth });
    }

    fn enqueue(&mut self, owner: u64, name: &str) -> (u64, Arc<Condvar>) {
        let (ticket, name, turn) = (self.next_ticket, name.into(), Arc::default());
        self.next_ticket += 1;
        let waiting = Waiting {
            ticket,
            owner,
            name,
            turn: Arc::clone(&turn),
        };
        self.waiting.push(waiting);
        (ticket, turn)
    }

    fn is_waiting(&self, ticket: u64) -> bool {
        self.waiting.iter().any(|waiting| waiting.ticket == ticket)
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
    fn a_lock_is_handed_to_who_came_first() {
        let mut table = Table::default();
        assert!(table.try_take(0, "a"));
        let ((first, _), (second, _)) = (table.enqueue(1, "a"), table.enqueue(2, "a"));
        table.held.remove("a");
        table.hand_on("a");
        assert!(!table.is_waiting(first) && table.is_waiting(second));
        assert!(!table.try_take(3, "a"), "it is never free in between");
        assert!(table.try_take(1, "a"));
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
