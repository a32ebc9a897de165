//! A host that keeps everything in maps and answers as it is told.
//!
//! Knows nothing of the ABI.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tdrun::task::{Host, Json, Record, Refused};

#[derive(Default)]
pub(crate) struct Mock {
    pub state: Mutex<BTreeMap<String, Json>>,
    pub results: Mutex<BTreeMap<String, Json>>,
    pub records: Mutex<Vec<Record>>,
    pub locks: Mutex<Vec<String>>,
    pub cancelled: AtomicBool,
    pub arguments: tdrun::task::Arguments,
}

impl Host for Mock {
    fn is_over(&self) -> bool {
        false
    }
    fn name(&self) -> &str {
        "mock"
    }
    fn arguments(&self) -> &tdrun::task::Arguments {
        &self.arguments
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn progress(&self, _: tdrun::task::Progress) {}
    fn when_cancelled(&self, _: Box<dyn Fn(tdrun::task::Cancel) + Send + Sync>) {}
    fn grace(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
    fn start(&self, _: &str) -> Result<(), tdrun::task::Declined> {
        unreachable!("nobody starts tasks here")
    }
    fn wait(&self, _: &str) -> Result<(), tdrun::task::Declined> {
        unreachable!("nobody waits for tasks here")
    }
    fn log(&self, record: Record) {
        self.records.lock().unwrap().push(record);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn result(&self, task: &str) -> Option<Json> {
        self.results.lock().unwrap().get(task).cloned()
    }

    fn state(&self, key: &str) -> Option<Json> {
        assert_ne!(key, "bug", "a bug on purpose");
        self.state.lock().unwrap().get(key).cloned()
    }

    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        if key.starts_with('_') {
            return Err(Refused::Denied);
        }
        let mut state = self.state.lock().unwrap();
        match value {
            Some(value) => state.insert(key.to_owned(), value),
            None => state.remove(key),
        };
        Ok(())
    }

    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        let mut state = self.state.lock().unwrap();
        if state.get(key) != expected.as_ref() {
            return Err(Refused::Changed);
        }
        match value {
            Some(value) => state.insert(key.to_owned(), value),
            None => state.remove(key),
        };
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<(), Refused> {
        match name {
            "deadlock" => Err(Refused::Deadlock),
            "cancelled" => Err(Refused::Cancelled),
            name => {
                self.locks.lock().unwrap().push(name.to_owned());
                Ok(())
            }
        }
    }

    fn unlock(&self, name: &str) -> Result<(), Refused> {
        let mut locks = self.locks.lock().unwrap();
        let held = locks.iter().position(|lock| lock == name);
        locks.swap_remove(held.ok_or(Refused::NotFound)?);
        Ok(())
    }
}
