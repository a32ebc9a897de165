//! A host that keeps everything in maps and answers as it is told.
//!
//! Knows nothing of the ABI.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tdrun::task::{
    Arguments, Caller, Cancel, Declined, Ending, Host, Hosts, Json, Progress, Record, Refused,
    TaskRef,
};

#[derive(Default)]
pub(crate) struct Mock {
    pub state: Mutex<BTreeMap<String, Json>>,
    pub results: Mutex<BTreeMap<String, Json>>,
    pub records: Mutex<Vec<Record>>,
    pub locks: Mutex<Vec<String>>,
    pub cancelled: AtomicBool,
    /// The call has been given up.
    pub over: AtomicBool,
    pub arguments: Arguments,
    pub progress: Mutex<Vec<Progress>>,
    /// What was started, and what was waited for.
    pub asked: Mutex<Vec<String>>,
    /// Tasks that are not started, and why.
    pub declined: BTreeMap<String, Refused>,
}

impl Mock {
    fn ask(&self, how: &str, task: &str) -> Result<(), Declined> {
        self.asked.lock().unwrap().push(format!("{how} {task}"));
        let refused = self.declined.get(task);
        refused.map_or(Ok(()), |&refused| {
            let why = format!("`{task}` is declined");
            Err(Declined { refused, why })
        })
    }
}

impl Host for Mock {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn name(&self) -> &'static str {
        "mock::größe"
    }

    fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    fn attempt(&self) -> u32 {
        3
    }

    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
    }
    fn observed(&self, _: tdrun::task::Observed) {
        unreachable!("nothing runs in a process of its own here")
    }

    fn when_cancelled(&self, _: Box<dyn Fn(Cancel) + Send + Sync>) {
        unreachable!("functions of libraries ask by themselves")
    }

    fn grace(&self) -> Duration {
        unreachable!("nobody waits for a grace here")
    }

    fn start(&self, task: &str) -> Result<(), Declined> {
        self.ask("start", task)
    }

    fn wait(&self, task: &str) -> Result<(), Declined> {
        self.ask("wait", task)
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

/// Has one host, for as long as its call lasts.
struct One {
    host: Arc<dyn Host>,
    over: AtomicBool,
}

impl Hosts for One {
    fn host(&self, call: u32) -> Option<Arc<dyn Host>> {
        let lasts = call == CALL && !self.over.load(Ordering::SeqCst);
        lasts.then(|| Arc::clone(&self.host))
    }
}

/// The number of each call.
const CALL: u32 = 1;

/// Calls an action with this host.
pub(crate) fn act(host: &Arc<dyn Host>, action: impl FnOnce(&Caller<'_>) -> Ending) -> Ending {
    let one = Arc::new(One {
        host: Arc::clone(host),
        over: AtomicBool::new(false),
    });
    let hosts: Arc<dyn Hosts> = Arc::clone(&one) as _;
    let ending = action(&Caller::new(&hosts, CALL));
    one.over.store(true, Ordering::SeqCst);
    ending
}

/// Calls a task with this host.
pub(crate) fn run(host: &Arc<dyn Host>, task: TaskRef<'_>) -> Ending {
    act(host, |caller| {
        let ending = task.call(caller);
        ending.map_or(Ending::Passed(None), |ending| *ending)
    })
}
