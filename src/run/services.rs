//! What running tasks may ask for: the host, behind every library's calls.
//!
//! Knows nothing of the C ABI: a call belongs to a task or hook, and that is all that matters here.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use super::Limits;
use super::crew::Crew;
use super::messages::Outbox;
use super::recording::Recording;
use super::seat::{Callee, Window};
use super::time::Start;
use super::track::Track;
use crate::error::Error;
use crate::event::{Event, Hook, Source};
use crate::graph::{Known, Links};
use crate::plan::{Owner, Phase, Plan};
use crate::pool::Control;
use crate::record::{By, Crash};
use crate::state::{Results, State};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::{
    Arguments, Cancel, Catalog, Condition, Declined, Host, Json, LibraryId, Lock, Observed,
    Outcome, Progress, Record, Refused, TaskId,
};

/// A task that says how far it is more often than this is not heard each time.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// Once a task has said so many bytes, what else it says is not recorded: no report holds that much of it.
const SAID_MOST: usize = 64 << 10;

/// Shared by all calls of a run.
pub(super) struct Services {
    pub(super) catalog: Arc<Catalog>,
    pub(super) links: RwLock<Links>,
    pub(super) state: Arc<State>,
    pub(super) results: Arc<Results>,
    pub(super) limits: Limits,
    pub(super) outbox: Outbox,
    /// One for each worker there may be.
    pub(super) tracks: Box<[Track]>,
    /// What is recorded, and what was.
    pub(super) recording: Recording,
    /// How earlier processes of this run ended.
    pub(super) lost: Vec<Crash>,
    /// More has to be known of tasks that passed than how many they are.
    pub(super) wants_passed: AtomicBool,
    /// What runs is asked to stop. Tasks that clean up, and hooks, are not where they begin later.
    pub(super) cancelled: AtomicBool,
    /// What runs is not waited for any more. Hooks that begin later are.
    pub(super) given_up: AtomicBool,
    pub(super) start: Start,
    pub(super) hooks: AtomicUsize,
    /// Calls that have a timeout, or that want to hear that they are cancelled.
    pub(super) calls: Mutex<HashMap<Owner, Arc<Call>>>,
    /// Libraries whose setup has been called.
    pub(super) prepared: Mutex<Vec<LibraryId>>,
    /// Tasks that went on elsewhere after they had waited.
    pub(super) moved: Mutex<HashMap<TaskId, usize>>,
}

impl Services {
    /// How long ago the run began.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The same in nanoseconds, which last for centuries.
    pub(super) fn nanos(&self) -> u64 {
        self.start.nanos()
    }

    /// A task begins again, wherever it was before.
    pub(super) fn forget_move(&self, task: TaskId) {
        locked(&self.moved).remove(&task);
    }

    /// What is about to be called is to be asked to stop when the run is: all but what begins after that, and cleans up.
    pub(super) fn heeds_stop(&self, source: Source) -> bool {
        !self.cancelled.load(Ordering::Acquire)
            || match source {
                // It may have been taken before the stop, and come here only now; so may a setup.
                Source::Task(task, _) => {
                    self.catalog.task(task).options().condition != Condition::Always
                }
                Source::Hook(hook, _) => hook != Hook::Teardown,
                Source::Library => true,
            }
    }

    /// A task goes on elsewhere.
    pub(super) fn note_move(&self, task: TaskId, worker: usize) {
        locked(&self.moved).insert(task, worker);
    }

    /// The setup of these has been called.
    pub(super) fn prepared(&self, libraries: &[LibraryId]) {
        locked(&self.prepared).extend(libraries);
    }

    /// The setup that a task needs has run, or there is none.
    fn is_prepared(&self, task: TaskId) -> bool {
        let library = self.catalog.library(task);
        library.setup.is_none()
            || locked(&self.prepared).contains(&self.catalog.task(task).library())
    }

    /// Adds tasks that an earlier process had added.
    pub(super) fn add_again(
        &self,
        control: &Control<Crew>,
        tasks: &[TaskId],
    ) -> Result<(), Declined> {
        if tasks.is_empty() {
            return Ok(());
        }
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        control.add(&self.catalog, |plan| {
            let known = |task| self.known(plan, task);
            let added = links.addition(&self.catalog, tasks, known);
            added.map_err(|error| declined(&error))
        })
    }

    /// What a plan knows of a task.
    fn known(&self, plan: &Plan, task: TaskId) -> Known {
        match plan.phase(task) {
            Phase::Unplanned if self.results.get(task).is_some() => Known::Given,
            Phase::Unplanned => Known::New,
            _ => Known::Planned,
        }
    }

    /// Asks all that run to stop.
    pub(super) fn cancel_all(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.tell_all(Cancel::Asked);
    }

    /// Tells all that run that nobody waits for them any more.
    pub(super) fn give_up_all(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.tell_all(Cancel::GivenUp);
    }

    fn tell_all(&self, cancel: Cancel) {
        let calls: Vec<_> = locked(&self.calls).values().cloned().collect();
        for call in calls {
            if cancel == Cancel::GivenUp || call.heeds_stop {
                call.tell(cancel);
            }
        }
    }

    /// Tells one attempt of a task that its time is over. One that has not begun yet sees that for itself.
    pub(super) fn cancel(&self, task: TaskId, attempt: u32) {
        if let Some(call) = self.find(task, attempt) {
            call.tell(Cancel::Asked);
        }
    }

    /// Ends an attempt of a task that can be ended. Its call comes back, and tells how it ended.
    pub(super) fn kill(&self, task: TaskId, attempt: u32) {
        if let Some(call) = self.find(task, attempt) {
            call.tell(Cancel::GivenUp);
        }
    }

    /// From here on nothing that this attempt asks for counts.
    pub(super) fn give_up(&self, task: TaskId, attempt: u32) {
        if let Some(call) = self.find(task, attempt) {
            call.over.store(true, Ordering::SeqCst);
            call.tell(Cancel::GivenUp);
        }
    }

    fn find(&self, task: TaskId, attempt: u32) -> Option<Arc<Call>> {
        let calls = locked(&self.calls);
        let call = calls.get(&Owner::Task(task));
        call.filter(|call| call.attempt == attempt).cloned()
    }
}

pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.map_or_else(|| "panicked".into(), |text| format!("panicked: {text}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What to call when the task is cancelled, and how much it has been told.
type Act = (Box<dyn Fn(Cancel) + Send + Sync>, Option<Cancel>);

/// One call of an action, as the host that it sees.
pub(super) struct Call {
    me: Weak<Self>,
    services: Arc<Services>,
    control: Control<Crew>,
    source: Source,
    library: LibraryId,
    attempt: u32,
    /// When its own time is over.
    deadline: Option<Duration>,
    /// Who holds its locks.
    owner: Owner,
    /// It stops when the run is stopped.
    heeds_stop: bool,
    /// A hook that has begun when all else was given up.
    is_last: bool,
    /// It has ended, or was given up.
    over: AtomicBool,
    /// Where it is called, and as which call there.
    window: (Arc<Window>, u32),
    has_waited: AtomicBool,
    acts: Mutex<Vec<Act>>,
    last_progress: Mutex<Option<Instant>>,
    /// So many bytes has it said.
    said: AtomicUsize,
}

impl Call {
    pub(super) fn new(
        services: Arc<Services>,
        control: Control<Crew>,
        callee: &Callee,
        window: (Arc<Window>, u32),
    ) -> Arc<Self> {
        let owner = match callee.source {
            Source::Task(task, _) => Owner::Task(task),
            _ => Owner::Hook(services.hooks.fetch_add(1, Ordering::Relaxed)),
        };
        let is_hook = matches!(owner, Owner::Hook(_));
        let library = match callee.source {
            Source::Hook(_, library) => Some(library),
            Source::Task(task, _) => Some(services.catalog.task(task).library()),
            Source::Library => None,
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            is_last: is_hook && services.given_up.load(Ordering::SeqCst),
            services,
            control,
            source: callee.source,
            library: library.unwrap_or(LibraryId::new(0)),
            attempt: callee.attempt,
            deadline: callee.deadline,
            owner,
            heeds_stop: callee.heeds_stop,
            over: AtomicBool::new(false),
            window,
            has_waited: AtomicBool::new(false),
            acts: Mutex::default(),
            last_progress: Mutex::default(),
            said: AtomicUsize::new(0),
        })
    }

    /// Its number where it is called.
    pub(super) fn number(&self) -> u32 {
        self.window.1
    }

    /// It was asked to stop, as the whole run was.
    fn is_stopped(&self) -> bool {
        self.heeds_stop && self.services.cancelled.load(Ordering::Acquire)
    }

    /// Its own time is over.
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| self.services.now() >= deadline)
    }

    /// From here on it can be found, until it is over: then there may be another one in its place.
    pub(super) fn enlist(&self) {
        if let Some(me) = self.me.upgrade() {
            let mut calls = locked(&self.services.calls);
            if !self.over.load(Ordering::SeqCst) {
                calls.insert(self.owner, me);
            }
        }
    }

    /// The task may have been given up before this could be found.
    pub(super) fn end_if_given_up(&self) {
        if let Owner::Task(task) = self.owner
            && !self.control.look(|plan| plan.is_under_way(task))
        {
            self.over.store(true, Ordering::SeqCst);
        }
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        let mut calls = locked(&self.services.calls);
        if calls
            .get(&self.owner)
            .is_some_and(|call| std::ptr::eq(&raw const **call, self))
        {
            calls.remove(&self.owner);
        }
        drop(calls);
        drop(std::mem::take(&mut *locked(&self.acts)));
        if let Owner::Hook(_) = self.owner {
            self.control.release(self.owner);
        }
    }

    fn tell(&self, cancel: Cancel) {
        for (act, told) in &mut *locked(&self.acts) {
            if *told < Some(cancel) {
                *told = Some(cancel);
                act(cancel);
            }
        }
    }

    fn record_state(&self, key: &str, expected: Option<&Json>, value: Option<&Json>) {
        if let Some(journal) = self.services.recording.journal() {
            let by = match self.source {
                Source::Task(task, _) => By::Task(task, self.attempt),
                Source::Hook(hook, _) => By::Hook(hook),
                Source::Library => By::Library,
            };
            journal.state(by, key, expected, value);
        }
    }

    /// Where it runs now, after it has waited.
    fn source(&self) -> Source {
        match self.source {
            Source::Task(task, _) if self.has_waited.load(Ordering::Relaxed) => {
                let moved = locked(&self.services.moved).get(&task).copied();
                moved.map_or(self.source, |worker| Source::Task(task, worker))
            }
            source => source,
        }
    }

    fn task(&self) -> Result<TaskId, Declined> {
        match self.owner {
            _ if self.is_over() => Err(Refused::Stale.into()),
            Owner::Task(task) => Ok(task),
            Owner::Hook(_) => Err(Declined {
                refused: Refused::Denied,
                why: "only tasks can start other tasks".into(),
            }),
        }
    }

    /// Adds what a word stands for, and all that needs.
    fn add(&self, word: &str) -> Result<Vec<TaskId>, Declined> {
        self.task()?;
        let Services { catalog, links, .. } = &*self.services;
        let mut links = links.write().unwrap_or_else(PoisonError::into_inner);
        let tasks = links.ask(catalog, self.library, self.arguments(), word);
        let tasks = tasks.map_err(|error| declined(&error))?;
        self.control.add(catalog, |plan| {
            let known = |task| self.services.known(plan, task);
            let added = links.addition(catalog, &tasks, known);
            let added = added.map_err(|error| declined(&error))?;
            match added
                .iter()
                .find(|added| !self.services.is_prepared(added.task))
            {
                Some(added) => Err(self.unprepared(added.task)),
                None => Ok(added),
            }
        })?;
        Ok(tasks)
    }

    fn unprepared(&self, task: TaskId) -> Declined {
        let catalog = &self.services.catalog;
        let (name, library) = (catalog.name(task), &catalog.library(task).path);
        Declined {
            refused: Refused::Denied,
            why: format!(
                "`{name}` needs the setup of `{library}`, which runs only where tasks of it are selected"
            ),
        }
    }

    /// Who can see that its time is over waits for nothing any more, also where the clock comes a little later to say so.
    fn heed_deadline(&self) {
        if let Owner::Task(task) = self.owner
            && self.is_late()
        {
            self.control.interrupt(task, self.attempt);
        }
    }

    fn wait_for(&self, tasks: &[TaskId]) -> Result<(), Declined> {
        let task = self.task()?;
        self.heed_deadline();
        let catalog = &self.services.catalog;
        self.has_waited.store(true, Ordering::Relaxed);
        self.control
            .wait(task, self.attempt, tasks)
            .map_err(|refused| {
                let others = names(catalog, tasks);
                let me = catalog.name(task);
                let why = match refused {
                    Refused::Deadlock if tasks == [task] => {
                        format!("`{me}` cannot wait for itself")
                    }
                    Refused::Deadlock => {
                        let never = tasks.iter().find_map(|other| never(catalog, task, *other));
                        let never = never.unwrap_or_else(|| format!("that waits for `{me}`"));
                        format!("waiting for {others} would never end: {never}")
                    }
                    Refused::Limit => format!("the system gives no thread to run {others} on"),
                    Refused::Cancelled => format!("stopped while it waited for {others}"),
                    _ => String::new(),
                };
                Declined { refused, why }
            })?;
        let bad = self.control.look(|plan| {
            tasks.iter().find_map(|task| match plan.phase(*task) {
                Phase::Finished(outcome) if !plan.is_fine(*task) => Some((*task, outcome)),
                _ => None,
            })
        });
        let Some((task, outcome)) = bad else {
            return Ok(());
        };
        let name = catalog.name(task);
        let why = match outcome {
            Outcome::NotRun => format!("`{name}` was not run"),
            Outcome::Skipped => format!("`{name}` was skipped"),
            outcome => format!("`{name}` {outcome}"),
        };
        let refused = Refused::Failed;
        Err(Declined { refused, why })
    }
}

fn names(catalog: &Catalog, tasks: &[TaskId]) -> String {
    match tasks {
        [] => "nothing".into(),
        [task] => format!("`{}`", catalog.name(*task)),
        [task, others @ ..] => format!("`{}` and {} more", catalog.name(*task), others.len()),
    }
}

/// Why a task cannot start before another one has ended that does not stand in its `after`.
fn never(catalog: &Catalog, waiting: TaskId, other: TaskId) -> Option<String> {
    let [mine, wanted] = [waiting, other].map(|task| catalog.task(task).options());
    let me = catalog.name(waiting);
    if wanted.wave > mine.wave {
        let wave = wanted.wave;
        return Some(format!("wave {wave} starts when `{me}` has ended"));
    }
    let excludes = |own: &Lock, lock: &Lock| own.name == lock.name && !(own.shared && lock.shared);
    let is_held = |lock: &&Lock| mine.locks.iter().any(|own| excludes(own, lock));
    let lock = wanted.locks.iter().find(is_held)?;
    Some(format!(
        "it needs the lock `{}`, which `{me}` holds",
        lock.name
    ))
}

fn declined(error: &Error) -> Declined {
    let refused = match error.id() {
        "graph.unknown" | "select.empty" => Refused::NotFound,
        "graph.cycle" => Refused::Deadlock,
        _ => Refused::Argument,
    };
    // What to type instead belongs to it, on the same line; the places of a cycle do not.
    let to_type = ["graph.unknown", "graph.choice", "graph.param", "graph.wave"];
    let hint = error.hints().first();
    let why = match hint.filter(|_| to_type.contains(&error.id())) {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_owned(),
    };
    Declined { refused, why }
}

impl Host for Call {
    fn is_over(&self) -> bool {
        let (window, number) = &self.window;
        self.over.load(Ordering::SeqCst)
            || !window.is_at(*number)
            || !self.is_last && self.services.given_up.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        match self.source {
            Source::Task(task, _) => self.services.catalog.task(task).name(),
            Source::Hook(hook, _) => hook.as_str(),
            Source::Library => "",
        }
    }

    fn arguments(&self) -> &Arguments {
        static NONE: LazyLock<Arguments> = LazyLock::new(Arguments::default);
        match self.source {
            Source::Task(task, _) => self.services.catalog.task(task).arguments(),
            _ => &NONE,
        }
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn log(&self, record: Record) {
        let source = self.source();
        if let Source::Task(task, _) = source {
            let length = record.message.len();
            if self.said.fetch_add(length, Ordering::Relaxed) < SAID_MOST {
                self.services.recording.said(task, self.attempt, &record);
            }
        }
        let event = Event::Logged { source, record };
        self.services.outbox.send_log(event);
    }

    fn progress(&self, progress: Progress) {
        let Source::Task(task, worker) = self.source() else {
            return;
        };
        let mut last = locked(&self.last_progress);
        let is_done = progress.total > 0 && progress.done >= progress.total;
        if !is_done && last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        self.services.outbox.send_log(Event::Progress {
            task,
            worker,
            progress,
        });
    }

    fn gone(&self) {
        if let Owner::Task(task) = self.owner {
            self.control.interrupt(task, self.attempt);
        }
    }

    fn observed(&self, observed: Observed) {
        let source = self.source();
        if let Source::Task(task, _) = source {
            let recording = &self.services.recording;
            recording.observed(task, self.attempt, &observed);
        }
        let event = Event::Observed { source, observed };
        self.services.outbox.send_log(event);
    }

    fn cancelled(&self) -> bool {
        self.is_stopped() || self.is_late() || self.is_over()
    }

    fn when_cancelled(&self, act: Box<dyn Fn(Cancel) + Send + Sync>) {
        locked(&self.acts).push((act, None));
        self.enlist();
        if self.is_over() {
            self.tell(Cancel::GivenUp);
        } else if self.cancelled() {
            self.tell(Cancel::Asked);
        }
        if self.over.load(Ordering::SeqCst) {
            locked(&self.acts).clear();
        }
    }

    fn grace(&self) -> Duration {
        self.services.limits.grace
    }

    fn result(&self, task: &str) -> Option<Json> {
        let Services {
            catalog,
            links,
            results,
            ..
        } = &*self.services;
        let filled = self.arguments().fill(task);
        let links = links.read().unwrap_or_else(PoisonError::into_inner);
        let task = links.find(catalog, self.library, &filled)?;
        results.get(task)
    }

    fn state(&self, key: &str) -> Option<Json> {
        self.services.state.get(key)
    }

    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        let tell = |value: Option<&Json>| self.record_state(key, None, value);
        self.services.state.set_and(key, value, tell)
    }

    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        let expected = expected.as_ref();
        let tell = |value: Option<&Json>| self.record_state(key, expected, value);
        self.services.state.swap_and(key, expected, value, tell)
    }

    fn lock(&self, name: &str) -> Result<(), Refused> {
        if self.is_over() {
            return Err(Refused::Stale);
        }
        let lock = Lock::parse(name);
        if lock.name.is_empty() {
            return Err(Refused::Argument);
        }
        self.has_waited.store(true, Ordering::Relaxed);
        self.heed_deadline();
        self.control.lock(self.owner, self.attempt, &lock)?;
        // A thread that a hook has left behind: nobody else would release it.
        if self.is_over() && matches!(self.owner, Owner::Hook(_)) {
            self.control.release(self.owner);
            return Err(Refused::Stale);
        }
        Ok(())
    }

    fn unlock(&self, name: &str) -> Result<(), Refused> {
        if self.is_over() {
            return Err(Refused::Stale);
        }
        let lock = Lock::parse(name);
        self.control.unlock(self.owner, self.attempt, &lock.name)
    }

    fn start(&self, task: &str) -> Result<(), Declined> {
        self.add(task).map(drop)
    }

    fn wait(&self, task: &str) -> Result<(), Declined> {
        let tasks = self.add(task)?;
        self.wait_for(&tasks)
    }
}
