//! The embedding face: a graph of closures, run from a Rust program.
//!
//! Knows neither command line nor libraries, touches no signal and no global state: any number of schedulers may run at the
//! same time, also inside of each other's tasks.

mod body;
mod builder;
mod context;
mod error;
mod handle;
mod summary;
mod teller;
mod value;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{self, Location};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

pub use body::{Json, Skip, TaskReturn, skip};
use builder::{Body, Draft};
pub use builder::{Closure, External, TaskBuilder};
pub use context::{LockGuard, State, TaskContext};
pub use error::SchedulerError;
pub use handle::Handle;
pub use summary::{Summary, TaskDone};
pub use teller::SchedulerStart;
use teller::{Listeners, Teller};

use crate::command::{Command, Program};
use crate::error::Error;
use crate::graph::{Graph, Links};
use crate::interrupt::{Abort, Requests};
use crate::plan::Rules;
use crate::record::Kept;
use crate::report::Reporter;
use crate::run::{Limits, Run};
use crate::select::{self, Request};
use crate::state::{self, Results};
use crate::task::{Action, Catalog, Library, LibraryId, Place, TaskId, TaskRef};

/// In messages and in `library::task`.
const NAME: &str = "scheduler";

/// Tasks and settings, to be run once.
///
/// Tasks are registered in any order; what is wrong with them, or with a setting, is an error of [`run`](Self::run) or
/// [`start`](Self::start), before any of them runs. Those take the scheduler: it cannot be run twice.
///
/// ```
/// use tdrun::Scheduler;
///
/// let mut scheduler = Scheduler::new();
/// scheduler.workers(3);
/// scheduler.task("a", |_| ());
/// scheduler.task("b", |_| ()).after(["a"]);
/// scheduler.task("c", |_| ()).after(["a"]);
/// scheduler.task("d", |_| Err::<(), _>("no more paper")).after(["c"]);
/// scheduler.task("e", |_| ()).after(["c"]);
/// scheduler.task("f", |_| ()).after(["b", "d", "e"]);
/// let summary = scheduler.run()?;
/// assert!(!summary.passed());
/// assert_eq!(summary.task("d").unwrap().why(), Some("no more paper"));
/// let line = summary.to_string();
/// assert!(line.starts_with("==== 4 passed, 1 failed, 1 skipped in "), "{line}");
/// # Ok::<_, tdrun::SchedulerError>(())
/// ```
#[derive(Default)]
#[must_use = "nothing runs before `run` or `start`"]
pub struct Scheduler {
    drafts: Vec<Draft>,
    state: Vec<Given>,
    seeds: Vec<Given>,
    only: Vec<String>,
    with_deps: bool,
    workers: Option<usize>,
    max_fail: Option<usize>,
    rules: Rules,
    limits: Limits,
    listeners: Listeners,
}

/// A name and a value, or why that cannot be written as JSON.
type Given = (Box<str>, Result<crate::task::Json, String>);

impl Scheduler {
    /// A scheduler without tasks, which skips what comes after a task that did not pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a closure as a task. It is called on a worker, once for each attempt. What it returns decides: an error fails the
    /// task, and so does a panic; a value can be read by other tasks as its result. See [`TaskReturn`].
    #[track_caller]
    pub fn task<R: TaskReturn>(
        &mut self,
        name: impl Into<Box<str>>,
        body: impl Fn(&TaskContext) -> R + Send + Sync + 'static,
    ) -> TaskBuilder<'_> {
        let action: Action = body::action(body);
        TaskBuilder::new(self.add(name.into(), Body::Closure(action)))
    }

    /// Registers a program and its arguments as a task, run without a shell. Its result has the members `command`, `shell`,
    /// `returncode`, `stdout`, `stderr` and `cwd`. `[x]` in its texts stands for a parameter of the task.
    ///
    /// ```
    /// # use tdrun::Scheduler;
    /// let mut scheduler = Scheduler::new();
    /// scheduler.command("list", ["ls", "-l"]).cwd("/").timeout(std::time::Duration::from_secs(5));
    /// scheduler.shell("count", "ls | wc -l").after(["list"]).env("LC_ALL", "C");
    /// assert!(scheduler.run()?.passed());
    /// # Ok::<_, tdrun::SchedulerError>(())
    /// ```
    #[track_caller]
    pub fn command<S: Into<Box<str>>>(
        &mut self,
        name: impl Into<Box<str>>,
        words: impl IntoIterator<Item = S>,
    ) -> TaskBuilder<'_, External> {
        let words = words.into_iter().map(Into::into).collect();
        self.external(name.into(), Program::Exec(words))
    }

    /// Registers a text for `/bin/sh -c` as a task; else as [`command`](Self::command). The values of parameters become part of
    /// the text as they are, not quoted.
    #[track_caller]
    pub fn shell(
        &mut self,
        name: impl Into<Box<str>>,
        text: impl Into<Box<str>>,
    ) -> TaskBuilder<'_, External> {
        self.external(name.into(), Program::Shell(text.into()))
    }

    #[track_caller]
    fn external(&mut self, name: Box<str>, program: Program) -> TaskBuilder<'_, External> {
        let command = Command {
            program,
            cwd: None,
            env: Vec::new(),
            check: true,
        };
        TaskBuilder::new(self.add(name, Body::Command(command)))
    }

    #[track_caller]
    fn add(&mut self, name: Box<str>, body: Body) -> &mut Draft {
        let caller = Location::caller();
        let place = Place {
            file: caller.file().into(),
            line: caller.line(),
        };
        self.drafts.push(Draft::new(name, place, body));
        let last = self.drafts.len() - 1;
        &mut self.drafts[last]
    }

    /// How many tasks run at the same time; else the smaller of the processors and 8.
    pub fn workers(&mut self, workers: usize) -> &mut Self {
        self.workers = Some(workers);
        self
    }

    /// Sets a state key before the first task.
    pub fn state(&mut self, key: impl Into<Box<str>>, value: impl Serialize) -> &mut Self {
        self.state.push((key.into(), value::write(&value)));
        self
    }

    /// Gives the result of a task that is not selected, or until the task itself runs.
    pub fn seed(&mut self, task: impl Into<Box<str>>, result: impl Serialize) -> &mut Self {
        self.seeds.push((task.into(), value::write(&result)));
        self
    }

    /// Runs only what these names or globs stand for; dependencies on others are ignored.
    pub fn only<S: Into<String>>(&mut self, tasks: impl IntoIterator<Item = S>) -> &mut Self {
        self.only.extend(tasks.into_iter().map(Into::into));
        self
    }

    /// With [`only`](Self::only): also all that the selected tasks come after.
    pub fn with_deps(&mut self) -> &mut Self {
        self.with_deps = true;
        self
    }

    /// Whether what comes after a task that did not pass is skipped; it is, where nothing is said.
    pub fn skip_deps(&mut self, skip: bool) -> &mut Self {
        self.rules.skip_deps = skip;
        self
    }

    /// After so many failures nothing is started any more.
    pub fn max_fail(&mut self, failures: usize) -> &mut Self {
        self.max_fail = Some(failures);
        self
    }

    /// After the first failure nothing is started any more.
    pub fn fail_fast(&mut self) -> &mut Self {
        self.max_fail(1)
    }

    /// How often each task is tried again, whatever it declares.
    pub fn retries(&mut self, retries: u32) -> &mut Self {
        self.rules.retries = Some(retries);
        self
    }

    /// A task that passed only after a retry makes the run fail.
    pub fn flaky_fails(&mut self) -> &mut Self {
        self.limits.flaky_fails = true;
        self
    }

    /// The timeout of tasks that declare none.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.limits.timeout = Some(timeout);
        self
    }

    /// After so long the run is stopped, as by [`Handle::abort`]; what then does not end within the grace is given up.
    pub fn run_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.limits.run_timeout = Some(timeout);
        self
    }

    /// How long a task has to end after its time is over; 10 seconds where nothing is said.
    pub fn grace(&mut self, grace: Duration) -> &mut Self {
        self.limits.grace = grace;
        self
    }

    /// After so long reporters hear that a task is slow, and again after each further such time; a minute where nothing is said,
    /// never where it is `None`.
    pub fn slow(&mut self, slow: Option<Duration>) -> &mut Self {
        self.limits.slow = slow;
        self
    }

    /// Calls back before the first task. For the order of all callbacks see the [crate's page](crate#callbacks).
    pub fn on_scheduler_start(
        &mut self,
        call: impl FnMut(SchedulerStart) + Send + 'static,
    ) -> &mut Self {
        self.listeners.scheduler_start.push(Box::new(call));
        self
    }

    /// Calls back, with its name, when a worker has taken a task for the first time.
    pub fn on_task_start(&mut self, call: impl FnMut(&str) + Send + 'static) -> &mut Self {
        self.listeners.task_start.push(Box::new(call));
        self
    }

    /// Calls back, with the name and the number of the worker, for each attempt of a task.
    pub fn on_task_run(&mut self, call: impl FnMut(&str, usize) + Send + 'static) -> &mut Self {
        self.listeners.task_run.push(Box::new(call));
        self
    }

    /// Calls back when a task has its outcome: once for each, also where it never started.
    pub fn on_task_done(&mut self, call: impl FnMut(&TaskDone) + Send + 'static) -> &mut Self {
        self.listeners.task_done.push(Box::new(call));
        self
    }

    /// Calls back at the end.
    pub fn on_scheduler_done(&mut self, call: impl FnMut(&Summary) + Send + 'static) -> &mut Self {
        self.listeners.scheduler_done.push(Box::new(call));
        self
    }

    /// Has a reporter hear everything, such as those of tdrun's command line: [`Reporters`](crate::report::Reporters). It is
    /// called before the callbacks, and no more once its output cannot be written.
    pub fn reporter(&mut self, reporter: impl Reporter + Send + 'static) -> &mut Self {
        self.listeners.reporters.push(Box::new(reporter));
        self
    }

    /// Runs all tasks, and waits for their end. Callbacks are called on this thread. A scheduler without tasks has an empty
    /// summary.
    ///
    /// # Panics
    /// Where a callback panicked: with what it panicked, once the run has been stopped.
    pub fn run(self) -> Result<Summary, SchedulerError> {
        let (abort, requests) = Abort::new();
        Ok(self.prepare()?.execute(abort, &requests))
    }

    /// Runs all tasks in the background. Callbacks are called on a thread of its own.
    pub fn start(self) -> Result<Handle, SchedulerError> {
        let prepared = self.prepare()?;
        let (abort, requests) = Abort::new();
        let own = abort.clone();
        let thread = thread::Builder::new().name(NAME.into());
        let thread = thread
            .spawn(move || prepared.execute(own, &requests))
            .map_err(|error| {
                Error::new("run.threads", format!("cannot start a thread: {error}"))
            })?;
        Ok(Handle::new(thread, abort))
    }

    fn prepare(self) -> Result<Prepared, SchedulerError> {
        let mut rules = self.rules;
        rules.max_fail = not_zero("max_fail", self.max_fail)?;
        let workers = not_zero("workers", self.workers)?;
        for (what, time) in [
            ("timeout", self.limits.timeout),
            ("run_timeout", self.limits.run_timeout),
            ("slow", self.limits.slow),
        ] {
            if time == Some(Duration::ZERO) {
                return Err(zero(what).into());
            }
        }
        let catalog = catalog(self.drafts)?;
        let mut links = Links::resolve(&catalog)?;
        let planned = planned(&catalog, &mut links, self.only, self.with_deps)?;
        let graph = Graph::new(&catalog, &links, planned)?;
        Ok(Prepared {
            state: state(self.state)?,
            results: results(&catalog, &mut links, self.seeds)?,
            catalog,
            links,
            graph,
            rules,
            workers,
            limits: self.limits,
            listeners: self.listeners,
        })
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<_> = self.drafts.iter().map(|draft| &draft.name).collect();
        f.debug_struct("Scheduler")
            .field("tasks", &tasks)
            .finish_non_exhaustive()
    }
}

/// What may be handed to other threads.
const _: () = {
    const fn sent<T: Send + 'static>() {}
    const fn shared<T: Send + Sync + 'static>() {}
    sent::<Scheduler>();
    shared::<Handle>();
    shared::<LockGuard>();
    shared::<SchedulerError>();
    shared::<Summary>();
    shared::<TaskContext>();
};

/// Nothing is wrong with it.
struct Prepared {
    catalog: Catalog,
    links: Links,
    graph: Graph,
    state: state::State,
    results: Results,
    rules: Rules,
    workers: Option<NonZeroUsize>,
    limits: Limits,
    listeners: Listeners,
}

impl Prepared {
    fn execute(self, abort: Abort, requests: &Requests) -> Summary {
        let state = Arc::new(self.state);
        let mut teller = Teller::new(self.listeners, abort, Arc::clone(&state));
        let run = Run {
            journal: None,
            kept: Kept::default(),
            lost: Vec::new(),
            catalog: Arc::new(self.catalog),
            links: self.links,
            graph: Arc::new(self.graph),
            state,
            results: Arc::new(self.results),
            rules: self.rules,
            workers: self.workers,
            limits: self.limits,
            state_arguments: Vec::new(),
            last_words: Box::new(Vec::new),
        };
        let _ = run.execute(&mut teller, requests, drop);
        if let Some(panic) = teller.panic {
            panic::resume_unwind(panic);
        }
        teller.summary.expect("a run tells its end")
    }
}

/// All tasks, each name once.
fn catalog(drafts: Vec<Draft>) -> Result<Catalog, SchedulerError> {
    let mut names: HashMap<Box<str>, Place> = HashMap::with_capacity(drafts.len());
    let mut declared = Vec::with_capacity(drafts.len());
    for draft in drafts {
        if let Some(first) = names.insert(draft.name.clone(), draft.place.clone()) {
            return Err(duplicate(&draft.name, &first, &draft.place).into());
        }
        declared.push(draft.declare()?);
    }
    let mut catalog = Catalog::default();
    let library = Library {
        name: NAME.into(),
        path: NAME.into(),
        setup: None,
        teardown: None,
        aborts: false,
    };
    catalog.add(library, declared);
    // Two templates may make the same task, or one that somebody has written out.
    if let Some((one, other)) = catalog.duplicate()
        && let (Some(first), Some(second)) = (one.place(), other.place())
    {
        return Err(duplicate(one.name(), &first, &second).into());
    }
    Ok(catalog)
}

fn duplicate(name: &str, first: &Place, second: &Place) -> Error {
    let message = format!("two tasks are called `{name}`: {first} and {second}");
    Error::new("graph.duplicate", message)
}

/// The selected tasks.
fn planned(
    catalog: &Catalog,
    links: &mut Links,
    only: Vec<String>,
    with_deps: bool,
) -> Result<Vec<TaskId>, SchedulerError> {
    if only.is_empty() && catalog.is_empty() {
        return Ok(Vec::new());
    }
    let all = only.is_empty().then_some(None);
    let selectors = only.into_iter().map(Some).chain(all);
    let request = Request {
        targets: selectors.map(|word| (LibraryId(0), word)).collect(),
        with_deps,
        ..Request::default()
    };
    Ok(select::select(catalog, links, &request)?)
}

fn state(given: Vec<Given>) -> Result<state::State, SchedulerError> {
    let state = state::State::default();
    for (key, value) in given {
        let value = value.map_err(|why| {
            let message = format!("the state key `{key}` cannot be written as JSON: {why}");
            Error::new("state.json", message)
        })?;
        if state.set(&key, Some(value)).is_err() {
            let message = format!("the state key `{key}` is reserved");
            let hint = "`results` and keys that begin with `_` belong to tdrun";
            return Err(Error::new("state.reserved", message).hint(hint).into());
        }
    }
    Ok(state)
}

fn results(
    catalog: &Catalog,
    links: &mut Links,
    seeds: Vec<Given>,
) -> Result<Results, SchedulerError> {
    let results = Results::default();
    for (name, value) in seeds {
        let value = value.map_err(|why| {
            let message = format!("the result for `{name}` cannot be written as JSON: {why}");
            Error::new("result.json", message)
        })?;
        let task = links.given(catalog, LibraryId(0), &name)?.ok_or_else(|| {
            let error = Error::new(
                "result.unknown",
                format!("a result is given for `{name}`, which is no task"),
            );
            error.suggest(&name, catalog.tasks().map(TaskRef::name))
        })?;
        results.set(task, value);
    }
    Ok(results)
}

fn not_zero(what: &str, number: Option<usize>) -> Result<Option<NonZeroUsize>, Error> {
    let checked = number.map(|number| NonZeroUsize::new(number).ok_or_else(|| zero(what)));
    checked.transpose()
}

fn zero(what: &str) -> Error {
    Error::new("usage.zero", format!("`{what}` must not be 0"))
}
