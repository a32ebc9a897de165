//! The shared state of a run: JSON values by key, and the results of tasks.
//!
//! Knows nothing of who reads and writes, or of the order of tasks. Safe from any thread.

mod file;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use file::read_file;

use crate::error::nearest;
use crate::task::{Json, Refused, TaskId};

/// The values that all tasks share.
#[derive(Default)]
pub struct State {
    values: Mutex<Values>,
}

#[derive(Default)]
struct Values {
    by_key: HashMap<Box<str>, Json>,
    /// Keys that the user gave and that nobody has asked for yet: most likely typing errors.
    unread: BTreeSet<Box<str>>,
    /// Keys that somebody asked for and that were not there: most likely what was meant. Not kept beyond
    /// [`MISSED_MAX`], nor where all given keys have been read.
    missed: BTreeSet<Box<str>>,
}

/// A task that asks for keys by number is no help with typing errors.
const MISSED_MAX: usize = 1000;

/// A key that was given and that nobody asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Unread {
    /// As given.
    pub key: Box<str>,
    /// A key that was asked for in vain and is spelt almost like it.
    pub meant: Option<Box<str>>,
}

impl State {
    /// Sets a key from the command line; it is reported by [`State::unread`] until somebody asks for it.
    pub fn give(&self, key: &str, value: Json) {
        let mut values = self.locked();
        values.by_key.insert(key.into(), value);
        values.unread.insert(key.into());
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Json> {
        let mut values = self.locked();
        if !values.unread.is_empty() {
            values.note_read(key);
        }
        values.by_key.get(key).cloned()
    }

    /// Sets a key; `None` removes it.
    pub fn set(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        self.set_and(key, value, |_| ())
    }

    /// The same, and `tell` is called with the value before anybody changes another one.
    pub fn set_and(
        &self,
        key: &str,
        value: Option<Json>,
        tell: impl FnOnce(Option<&Json>),
    ) -> Result<(), Refused> {
        check_key(key)?;
        let mut values = self.locked();
        tell(value.as_ref());
        values.put(key, value);
        Ok(())
    }

    /// Sets a key if it holds `expected`; both are canonical JSON, so that equal values are equal texts.
    pub fn swap(
        &self,
        key: &str,
        expected: Option<&Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        self.swap_and(key, expected, value, |_| ())
    }

    /// The same, with a `tell` as in [`State::set_and`] where it is set.
    pub fn swap_and(
        &self,
        key: &str,
        expected: Option<&Json>,
        value: Option<Json>,
        tell: impl FnOnce(Option<&Json>),
    ) -> Result<(), Refused> {
        check_key(key)?;
        let mut values = self.locked();
        values.unread.remove(key);
        if values.by_key.get(key) != expected {
            return Err(Refused::Changed);
        }
        tell(value.as_ref());
        values.put(key, value);
        Ok(())
    }

    /// Sets a key to what follows from its value; nobody has asked for it by that.
    pub fn replay(&self, key: &str, next: impl FnOnce(Option<&Json>) -> Option<Json>) {
        let mut values = self.locked();
        let value = next(values.by_key.get(key));
        values.put(key, value);
    }

    /// Keys that were given and that nobody has asked for.
    pub fn unread(&self) -> Vec<Unread> {
        let values = self.locked();
        let meant = |key: &str| nearest(key, values.missed.iter().map(|missed| &**missed));
        let unread = values.unread.iter().map(|key| Unread {
            key: key.clone(),
            meant: meant(key).map(Into::into),
        });
        unread.collect()
    }

    fn locked(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn note_read(&mut self, key: &str) {
        self.unread.remove(key);
        if !self.by_key.contains_key(key) && self.missed.len() < MISSED_MAX {
            self.missed.insert(key.into());
        }
    }

    fn put(&mut self, key: &str, value: Option<Json>) {
        match value {
            None => drop(self.by_key.remove(key)),
            Some(value) => match self.by_key.get_mut(key) {
                Some(old) => *old = value,
                None => drop(self.by_key.insert(key.into(), value)),
            },
        }
    }
}

/// Keys that tdrun keeps for itself.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with('_') || key == "results"
}

fn check_key(key: &str) -> Result<(), Refused> {
    if is_reserved(key) {
        return Err(Refused::Denied);
    }
    Ok(())
}

/// What tasks have returned, and what the command line gave in their place.
#[derive(Default)]
pub struct Results {
    by_task: Mutex<HashMap<TaskId, Json>>,
    /// There has been one, so that nobody looks for any where there are none.
    any: AtomicBool,
}

impl Results {
    /// Stores the result of a task that passed, or a seeded one.
    pub fn set(&self, task: TaskId, result: Json) {
        self.locked().insert(task, result);
        self.any.store(true, Ordering::Release);
    }

    /// Forgets a seeded result, as the task itself is about to run.
    pub fn clear(&self, task: TaskId) {
        if self.any.load(Ordering::Acquire) {
            self.locked().remove(&task);
        }
    }

    /// What the task returned.
    pub fn get(&self, task: TaskId) -> Option<Json> {
        self.locked().get(&task).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<TaskId, Json>> {
        self.by_task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        text.into()
    }

    #[test]
    fn a_value_is_there_until_it_is_removed() {
        let state = State::default();
        assert_eq!(state.get("env"), None);
        state.set("env", Some(json("\"dev\""))).unwrap();
        assert_eq!(state.get("env"), Some(json("\"dev\"")));
        state.set("env", None).unwrap();
        assert_eq!(state.get("env"), None);
    }

    #[test]
    fn swap_stores_only_over_the_expected_value() {
        let state = State::default();
        let (one, two) = (json("1"), json("2"));
        assert_eq!(
            state.swap("n", Some(&one), Some(two.clone())),
            Err(Refused::Changed)
        );
        assert_eq!(state.swap("n", None, Some(one.clone())), Ok(()));
        assert_eq!(
            state.swap("n", None, Some(two.clone())),
            Err(Refused::Changed)
        );
        assert_eq!(state.swap("n", Some(&one), Some(two.clone())), Ok(()));
        assert_eq!(state.swap("n", Some(&two), None), Ok(()));
        assert_eq!(state.get("n"), None);
    }

    #[test]
    fn reserved_keys_are_denied() {
        let state = State::default();
        for key in ["_x", "results"] {
            assert_eq!(state.set(key, Some(json("1"))), Err(Refused::Denied));
            assert_eq!(state.swap(key, None, Some(json("1"))), Err(Refused::Denied));
        }
    }

    #[test]
    fn what_was_given_and_never_asked_for_is_known() {
        let state = State::default();
        state.give("env", json("\"dev\""));
        state.give("evn", json("\"dev\""));
        state.give("speed", json("\"9\""));
        state.give("swapped", json("1"));
        state.set("file", Some(json("1"))).unwrap();
        state.get("env");
        let _ = state.swap("swapped", None, None);
        state.get("sped");
        let unread = |key: &str, meant: Option<&str>| Unread {
            key: key.into(),
            meant: meant.map(Into::into),
        };
        let expected = [unread("evn", None), unread("speed", Some("sped"))];
        assert_eq!(state.unread(), expected);
    }

    #[test]
    fn a_counter_by_swap_counts_right_from_many_threads() {
        let state = State::default();
        state.set("n", Some(json("0"))).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        loop {
                            let old = state.get("n").unwrap();
                            let new = json(&(old.parse::<u32>().unwrap() + 1).to_string());
                            if state.swap("n", Some(&old), Some(new)).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(state.get("n"), Some(json("1000")));
    }
}
