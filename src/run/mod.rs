//! A run: setup, then plan and pool until every task has its outcome, then teardown. Tells reporters all of it, in one
//! order, on the calling thread.
//!
//! Knows nothing of libraries or of what an action is; only that it can be called.

mod clock;
#[cfg(not(model))]
mod conclude;
mod crew;
mod ear;
mod hooks;
mod merge;
mod messages;
#[cfg(all(model, test))]
mod model;
mod now;
mod pump;
mod recording;
#[cfg(test)]
mod reference;
mod seat;
mod services;
mod time;
mod track;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, SystemTime};

#[cfg(not(model))]
pub use conclude::conclude;
use crew::Crew;
pub use ear::Ear;
use pump::Pump;
use recording::Recording;
use services::Services;
use time::Start;
use track::Track;

#[cfg(not(model))]
use crate::blackbox;
use crate::error::{Error, escape};
use crate::event::{Briefing, Event, Stop, Summary};
use crate::graph::{Graph, Links};
use crate::interrupt::Requests;
use crate::plan::{Plan, Rules};
use crate::pool::Pool;
use crate::record::{Crash, Journal, Kept};
use crate::report::Reporter;
use crate::state::{Results, State, Unread};
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::task::{Catalog, Json, TaskId};

/// Everything that a run needs.
pub struct Run {
    /// All tasks.
    pub catalog: Arc<Catalog>,
    /// Their names.
    pub links: Links,
    /// The selected ones.
    pub graph: Arc<Graph>,
    /// The values that tasks share.
    pub state: Arc<State>,
    /// Results that were given in place of tasks; and, as the run goes on, those of tasks.
    pub results: Arc<Results>,
    /// When to skip and when to stop.
    pub rules: Rules,
    /// How many threads; none means as many as are useful.
    pub workers: Option<NonZeroUsize>,
    /// How long things may take, and how often they are tried.
    pub limits: Limits,
    /// The state arguments as typed, for the briefing.
    pub state_arguments: Vec<String>,
    /// Where it is recorded.
    pub journal: Option<Arc<Journal>>,
    /// How earlier processes ended that have run some of it.
    pub lost: Vec<Crash>,
    /// What stays as an earlier run left it.
    pub kept: Kept,
    /// Asked when nothing of a library is called any more: what people should know besides.
    pub last_words: Box<dyn FnOnce() -> Vec<String>>,
}

/// How long things may take, and what late success is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A task that passed only after a retry makes the run fail.
    pub flaky_fails: bool,
    /// After so long a task that declares no timeout is asked to stop.
    pub timeout: Option<Duration>,
    /// After so long the run is stopped.
    pub run_timeout: Option<Duration>,
    /// How long a task has to end after it was asked to.
    pub grace: Duration,
    /// A task that runs for so long is named, and again after each further such time.
    pub slow: Option<Duration>,
    /// This one has all the time that it wants: somebody looks into it.
    pub untimed: Option<TaskId>,
}

impl Limits {
    /// How long a task may take.
    fn of(&self, catalog: &Catalog, task: TaskId) -> Option<Duration> {
        let declared = || catalog.declared(task).and_then(|options| options.timeout);
        (self.untimed != Some(task)).then(|| declared().or(self.timeout))?
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flaky_fails: false,
            timeout: None,
            run_timeout: None,
            grace: Duration::from_secs(10),
            slow: Some(Duration::from_secs(60)),
            untimed: None,
        }
    }
}

/// More threads than this are not started unless asked for.
const WORKERS_MAX: usize = 8;

/// How many tasks run at the same time at most, where the user wants so many; none means as many as are useful.
pub fn most_workers(wanted: Option<NonZeroUsize>) -> usize {
    // Asked once: it takes the system several files to say.
    static CPUS: OnceLock<usize> = OnceLock::new();
    let cpus = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let wanted = wanted.map(NonZeroUsize::get);
    wanted.unwrap_or_else(|| *CPUS.get_or_init(|| cpus().min(WORKERS_MAX)))
}

/// So many words of the black box has each worker for what it leaves behind.
pub const TRACK: usize = track::WORDS_MOST;

/// The task that the calling thread performs. May be called in the handler of a signal.
pub fn current() -> Option<TaskId> {
    crate::pool::current()
}

impl Run {
    /// Runs to the end. Of the requests to stop the first stops in order, the second gives up what still runs. `connect` gets
    /// the ear before anything of a library is called. What the reporter cannot write is its own to remember; it never
    /// changes an outcome.
    pub fn execute(
        self,
        reporters: &mut dyn Reporter,
        requests: &Requests,
        connect: impl FnOnce(Ear),
    ) -> Summary {
        let limit = self.limit();
        let start = Start::now();
        let briefing = self.briefing(limit, start.elapsed());
        let (outbox, inbox) = messages::channel(start);
        let kept = (!self.kept.is_empty()).then(|| Arc::new(self.kept));
        let recording = Recording::new(self.journal, kept, reporters.keeps());
        let tracks = tracks(limit, briefing.planned.len(), &recording);
        let services = Arc::new(Services {
            catalog: self.catalog,
            links: RwLock::new(self.links),
            state: self.state,
            results: self.results,
            limits: self.limits,
            outbox,
            tracks,
            recording,
            lost: self.lost,
            wants_passed: AtomicBool::new(true),
            cancelled: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            start,
            hooks: AtomicUsize::new(0),
            calls: Mutex::default(),
            prepared: Mutex::default(),
            moved: Mutex::default(),
        });
        let crew = Arc::new(Crew {
            services: Arc::clone(&services),
            ledger: Mutex::default(),
        });
        let mut plan = Plan::new(&services.catalog, &self.graph, self.rules);
        if let Some(kept) = services.recording.share_kept() {
            plan.spare(Box::new(move |task| kept.knows(task)));
        }
        let mut pool = Pool::new(plan, crew);
        let control = pool.control().clone();
        connect(Ear {
            services: Arc::clone(&services),
        });

        let _ = reporters.begin(&briefing);
        let services = (services, self.graph);
        let mut pump = Pump::new(&briefing, reporters, inbox, requests, control, services);
        pump.errors.extend(lost(&pump.services));
        add_again(&mut pump);
        let prepared = hooks::set_up(&mut pump);
        pump.stop_as_before();
        replay(&pump.services);
        run_tasks(&mut pump, &mut pool, limit);
        hooks::tear_down(&mut pump, &prepared);
        pump.drain();
        warn_of_unread_keys(&mut pump);
        for warning in (self.last_words)() {
            pump.report(&mut Event::Warning(warning));
        }
        let summary = pump.summary();
        if summary.abandoned == 0 {
            pool.join();
        }
        let _ = reporters.finish(&briefing, &summary);
        summary
    }

    /// As many workers there are where there are so many tasks.
    fn limit(&self) -> usize {
        most_workers(self.workers)
    }

    fn briefing(&self, limit: usize, already: Duration) -> Briefing {
        let planned = self.graph.planned().to_vec();
        Briefing {
            catalog: Arc::clone(&self.catalog),
            workers: limit.min(planned.len()),
            planned,
            started: SystemTime::now() - already,
            already,
            state_arguments: self.state_arguments.clone(),
        }
    }
}

/// The ends of earlier processes that nobody is known to have brought about: the run is not good, whatever comes of it.
fn lost(services: &Services) -> Vec<Error> {
    let blameless = services.lost.iter();
    let blameless = blameless.filter(|crash| crash.task.is_none() && crash.hook.is_none());
    let errors = blameless.map(|crash| {
        let words = crash.words.as_deref().unwrap_or("it ended before its time");
        let suspects = crash.suspects.iter();
        let suspects = suspects.map(|task| format!("`{}`", services.catalog.name(*task)));
        let suspects: Vec<_> = suspects.collect();
        let error = Error::new(
            "run.lost",
            format!("a process that ran tasks was lost: {words}"),
        );
        match suspects.join(", ") {
            names if names.is_empty() => {
                error.hint("no task ran in it then; another process went on")
            }
            names => error.hint(format!(
                "{names} ran in it then; each of them was run again in a process of its own"
            )),
        }
    });
    errors.collect()
}

/// A track for each of so many workers, for so many tasks.
fn tracks(workers: usize, tasks: usize, recording: &Recording) -> Box<[Track]> {
    let recorded = |(worker, track): (usize, Track)| track.recorded(worker, recording);
    #[cfg(not(model))]
    if let Some(black_box) = blackbox::get()
        && black_box.tracks().len() >= workers
    {
        let all = black_box.tracks().take(workers);
        let tracks = all.map(|words| Track::in_black_box(words, workers, tasks));
        return tracks.enumerate().map(recorded).collect();
    }
    let tracks = (0..workers).map(|_| Track::new(workers, tasks));
    tracks.enumerate().map(recorded).collect()
}

/// Records what the workers of a process that is gone have passed and nobody has recorded. Gives the tasks that they ran then:
/// on which worker, and since when, in nanoseconds since the start of the run.
#[cfg(not(model))]
pub fn recover(journal: &Arc<Journal>) -> Vec<(TaskId, usize, u64)> {
    let Some(black_box) = blackbox::get() else {
        return Vec::new();
    };
    let recording = Recording::new(Some(Arc::clone(journal)), None, false);
    let mut running = Vec::new();
    for (worker, words) in black_box.tracks().enumerate() {
        if let Some(track) = Track::left_behind(words) {
            running.extend(track.running().map(|(task, since)| (task, worker, since)));
            track.recorded(worker, &recording).count_off();
        }
    }
    running
}

/// Tasks that were added in an earlier run are part of this one. Before anything can stop it.
fn add_again(pump: &mut Pump<'_>) {
    let services = Arc::clone(&pump.services);
    if let Some(kept) = services.recording.kept()
        && let Err(declined) = services.add_again(&pump.control, kept.added())
    {
        pump.report(&mut Event::Warning(declined.why));
    }
}

/// The state that tasks have made which stay.
fn replay(services: &Services) {
    for change in services.recording.kept().map_or(&[][..], Kept::changes) {
        let over = |now: Option<&Json>| change.over(now);
        services.state.replay(&change.key, over);
    }
}

/// The tasks, from the first to the last outcome. Where the run was stopped before, there is nothing left to start.
fn run_tasks(pump: &mut Pump<'_>, pool: &mut Pool<Crew>, limit: usize) {
    let workers = pump.briefing.workers;
    if pump.left {
        return;
    }
    if !pool.control().look(Plan::is_over) {
        match pool.start(workers, limit) {
            Ok(started) if started < workers => {
                let message = format!("the system gave {started} threads instead of {workers}");
                pump.report(&mut Event::Warning(message));
            }
            Ok(_) => {}
            Err(error) => {
                let message = format!("cannot start a thread: {error}");
                pump.errors.push(Error::new("run.threads", message));
                pool.control().stop(Stop::Threads);
            }
        }
    }
    pump.until_over();
}

/// A key that was given and that nobody asked for is most likely a slip of the fingers.
fn warn_of_unread_keys(pump: &mut Pump<'_>) {
    // Tasks that stay may have asked, in an earlier process.
    if pump.stopped.is_some() || pump.services.recording.kept().is_some() {
        return;
    }
    for Unread { key, meant } in pump.services.state.unread() {
        let mut message = format!("`--{}=…` was given, but no task asked for it", escape(&key));
        if let Some(meant) = meant {
            let _ = write!(message, "; did you mean `--{}=…`?", escape(&meant));
        }
        pump.report(&mut Event::Warning(message));
    }
}

#[cfg(test)]
mod language;
#[cfg(test)]
mod tests;
