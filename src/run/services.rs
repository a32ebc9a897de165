//! What running tasks may ask for: the host, behind every library's calls.
//!
//! Knows nothing of the C ABI, or of the plan: a call belongs to a task or hook, and that is all that matters here.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::messages::Outbox;
use crate::event::{Event, Source};
use crate::graph::Links;
use crate::state::{Locks, Results, State};
use crate::task::{
    Action, Arguments, Cancel, Catalog, Declined, Ending, Host, Json, LibraryId, Progress, Record,
    Refused,
};

/// Shared by all calls of a run.
pub(super) struct Services {
    pub(super) catalog: Arc<Catalog>,
    pub(super) links: Arc<Links>,
    pub(super) state: Arc<State>,
    pub(super) results: Arc<Results>,
    pub(super) locks: Locks,
    pub(super) outbox: Outbox,
    /// What runs is asked to stop.
    pub(super) cancelled: AtomicBool,
    /// A hook is being called.
    pub(super) hook_runs: AtomicBool,
    /// Something called `exit`; the process cannot go on for long.
    pub(super) exiting: AtomicBool,
    pub(super) start: Instant,
    pub(super) calls: AtomicU64,
}

impl Services {
    /// How long ago the run began.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Calls an action to its end; what it held is released then.
    pub(super) fn call(
        self: &Arc<Self>,
        action: &Action,
        source: Source,
        library: LibraryId,
    ) -> Ending {
        let call = Arc::new(Call {
            services: Arc::clone(self),
            source,
            library,
            owner: self.calls.fetch_add(1, Ordering::Relaxed),
            has_locked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let host: Arc<dyn Host> = Arc::clone(&call) as _;
        let ending = panic::catch_unwind(AssertUnwindSafe(|| action(&host)));
        call.ended.store(true, Ordering::SeqCst);
        if call.has_locked.load(Ordering::SeqCst) {
            self.locks.release(call.owner);
        }
        ending.unwrap_or_else(|panic| Ending::failed(panic_message(&*panic)))
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.map_or_else(|| "panicked".into(), |text| format!("panicked: {text}"))
}

/// One call of an action, as the host that it sees.
struct Call {
    services: Arc<Services>,
    source: Source,
    library: LibraryId,
    /// Unlike all other calls: who holds a lock.
    owner: u64,
    has_locked: AtomicBool,
    /// A thread that the task has left behind gets no lock any more: nobody would release it.
    ended: AtomicBool,
}

impl Host for Call {
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        match self.source {
            Source::Task(task, _) => &self.services.catalog.task(task).name,
            Source::Hook(hook, _) => hook.as_str(),
            Source::Library => "",
        }
    }

    fn arguments(&self) -> &Arguments {
        static NONE: LazyLock<Arguments> = LazyLock::new(Arguments::default);
        match self.source {
            Source::Task(task, _) => &self.services.catalog.task(task).arguments,
            _ => &NONE,
        }
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn progress(&self, _: Progress) {}

    fn when_cancelled(&self, _: Box<dyn Fn(Cancel) + Send + Sync>) {}

    fn grace(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn start(&self, _: &str) -> Result<(), Declined> {
        let (refused, why) = (Refused::NotFound, String::new());
        Err(Declined { refused, why })
    }

    fn wait(&self, task: &str) -> Result<(), Declined> {
        self.start(task)
    }

    fn log(&self, record: Record) {
        let source = self.source;
        self.services
            .outbox
            .send_log(Event::Logged { source, record });
    }

    fn cancelled(&self) -> bool {
        self.services.cancelled.load(Ordering::Acquire)
    }

    fn result(&self, task: &str) -> Option<Json> {
        let Services {
            catalog,
            links,
            results,
            ..
        } = &*self.services;
        results.get(links.find(catalog, self.library, task)?)
    }

    fn state(&self, key: &str) -> Option<Json> {
        self.services.state.get(key)
    }

    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        self.services.state.set(key, value)
    }

    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        self.services.state.swap(key, expected.as_ref(), value)
    }

    fn lock(&self, name: &str) -> Result<(), Refused> {
        self.has_locked.store(true, Ordering::SeqCst);
        self.services.locks.lock(self.owner, name)?;
        if self.ended.load(Ordering::SeqCst) {
            self.services.locks.release(self.owner);
            return Err(Refused::Cancelled);
        }
        Ok(())
    }

    fn unlock(&self, name: &str) -> Result<(), Refused> {
        self.services.locks.unlock(self.owner, name)
    }
}
