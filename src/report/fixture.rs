//! A made-up run for the tests of reporters: a small catalog, and events as short as they can be written.
//!
//! Knows nothing of real libraries: its actions are never called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{Interest, Reporter};
use crate::event::{
    Attempt, Briefing, Cause, Counts, Event, Finished, Moment, Running, Source, Stop, Summary,
};
use crate::stream::Stream;
use crate::task::{
    Arguments, Catalog, Ending, Failure, Left, Level, Library, LibraryId, Observed, Outcome,
    Output, Place, Progress, Record, Task, TaskId, Written,
};

/// A task that is declared on a line of its own; `name < x y` comes after `x` and `y`.
fn task(declaration: &str, library: u32, line: u32) -> Task {
    let (name, after) = declaration.split_once(" < ").unwrap_or((declaration, ""));
    Task {
        name: name.into(),
        library: LibraryId(library),
        after: after.split_whitespace().map(Box::from).collect(),
        tags: Box::default(),
        doc: Box::default(),
        place: Some(place(("lib.rs", line))),
        action: Arc::new(|_| Ending::Passed(None)),
        options: None,
        arguments: Arguments::default(),
        is_program: false,
    }
}

fn place((file, line): (&str, u32)) -> Place {
    Place {
        file: file.into(),
        line,
    }
}

/// A run of all tasks of one library, `lib.so`.
pub(super) fn briefing(tasks: &[&str]) -> Briefing {
    briefing_of(&[("lib", tasks)])
}

/// A run of all tasks of several libraries.
pub(super) fn briefing_of(libraries: &[(&str, &[&str])]) -> Briefing {
    let mut catalog = Catalog::default();
    for (index, (name, tasks)) in (0..).zip(libraries) {
        let library = Library {
            name: (*name).to_owned(),
            path: format!("{name}.so"),
            setup: None,
            teardown: None,
            aborts: false,
        };
        let declared = (1..)
            .zip(*tasks)
            .map(|(line, name)| task(name, index, line));
        catalog.add(library, declared);
    }
    Briefing {
        planned: catalog.ids().collect(),
        catalog: Arc::new(catalog),
        workers: 2,
        already: Duration::ZERO,
        started: UNIX_EPOCH + Duration::from_millis(1_795_251_661_123),
        state_arguments: Vec::new(),
    }
}

pub(super) fn failure(message: &str, at: Option<(&str, u32)>) -> Failure {
    Failure {
        message: message.into(),
        place: at.map(place),
    }
}

pub(super) fn started(task: usize, worker: usize) -> Event {
    tried(task, worker, 1)
}

/// A task begins, maybe not for the first time.
pub(super) fn tried(task: usize, worker: usize, attempt: u32) -> Event {
    Event::Started {
        task: TaskId::new(task),
        attempt,
        worker,
        at: Duration::from_millis(10),
    }
}

/// A task on the first worker will be tried again.
pub(super) fn retrying(task: usize, number: u32, attempt: Attempt) -> Event {
    Event::Retrying {
        task: TaskId::new(task),
        worker: 0,
        number,
        attempt,
        at: Duration::from_millis(20),
    }
}

/// An attempt that failed.
pub(super) fn attempt(message: &str) -> Attempt {
    Attempt {
        outcome: Outcome::Failed,
        cause: Cause::Failure(failure(message, None)),
        took: Duration::from_millis(5),
    }
}

/// An attempt that took longer than it may.
pub(super) fn late() -> Attempt {
    Attempt {
        outcome: Outcome::TimedOut,
        cause: time_out(false),
        took: Duration::from_millis(200),
    }
}

pub(super) fn time_out(still_running: bool) -> Cause {
    Cause::TimedOut {
        limit: Duration::from_millis(200),
        still_running,
        failure: None,
    }
}

pub(super) fn paused(task: usize, worker: usize) -> Event {
    Event::Paused {
        task: TaskId::new(task),
        worker,
        at: Duration::from_millis(20),
    }
}

pub(super) fn resumed(task: usize, worker: usize) -> Event {
    Event::Resumed {
        task: TaskId::new(task),
        worker,
        at: Duration::from_millis(25),
    }
}

/// A task on the first worker tells how far it is.
pub(super) fn progress(task: usize, done: u64, total: u64, what: &str) -> Event {
    Event::Progress {
        task: TaskId::new(task),
        worker: 0,
        progress: Progress {
            done,
            total,
            what: what.into(),
        },
    }
}

/// A task on the first worker runs for a minute.
pub(super) fn slow(task: usize) -> Event {
    Event::Slow {
        task: TaskId::new(task),
        worker: 0,
        running: Duration::from_millis(60_012),
    }
}

/// Adds a task of the first library while the run goes on; what its reporters hear.
pub(super) fn added(briefing: &Briefing, declaration: &str) -> Event {
    let line = u32::try_from(briefing.catalog.len()).unwrap() + 1;
    let id = briefing.catalog.push(task(declaration, 0, line));
    Event::Planned(vec![id])
}

/// Something is seen of the process of a task.
pub(super) fn observed(task: usize, worker: usize, observed: Observed) -> Event {
    Event::Observed {
        source: Source::Task(TaskId::new(task), worker),
        observed,
    }
}

/// A task on the first worker has written this.
pub(super) fn wrote(task: usize, stdout: &str, stderr: &str) -> Event {
    observed(task, 0, Observed::Output(output(stdout, stderr).into()))
}

pub(super) fn output(stdout: &str, stderr: &str) -> Output {
    let (stdout, stderr) = (written(stdout), written(stderr));
    Output { stdout, stderr }
}

pub(super) fn written(text: &str) -> Written {
    Written {
        head: text.into(),
        ..Written::default()
    }
}

/// A task on the first worker has ended, and left this running.
pub(super) fn left(task: usize, pid: i32, name: &str) -> Event {
    let (pid, name) = (Some(pid), name.into());
    observed(task, 0, Observed::Left([Left { pid, name }].into()))
}

/// A task that ends its process.
pub(super) fn crash(message: &str) -> Attempt {
    Attempt {
        outcome: Outcome::Crashed,
        ..attempt(message)
    }
}

pub(super) fn logged(task: usize, worker: usize, level: Level, message: &str) -> Event {
    Event::Logged {
        source: Source::Task(TaskId::new(task), worker),
        record: Record {
            level,
            target: "lib::part".into(),
            message: message.into(),
            place: Some(place(("part.rs", 3))),
        },
    }
}

/// How a task ends, to be completed.
pub(super) struct End {
    pub(super) task: usize,
    pub(super) outcome: Outcome,
    pub(super) worker: Option<usize>,
    pub(super) done: usize,
    pub(super) planned: usize,
    pub(super) cause: Option<Cause>,
    pub(super) result: Option<&'static str>,
    pub(super) attempts: Vec<Attempt>,
}

impl End {
    /// A task that passes.
    pub(super) fn passed(task: usize, done: usize) -> Self {
        Self {
            task,
            outcome: Outcome::Passed,
            worker: Some(0),
            done,
            planned: 5,
            cause: None,
            result: None,
            attempts: Vec::new(),
        }
    }

    /// A task that passes after some attempts.
    pub(super) fn flaky(task: usize, done: usize, attempts: Vec<Attempt>) -> Event {
        Self {
            attempts,
            ..Self::passed(task, done)
        }
        .event()
    }

    /// A task that takes longer than it may.
    pub(super) fn timed_out(task: usize, done: usize, still_running: bool) -> Event {
        Self {
            outcome: Outcome::TimedOut,
            cause: Some(time_out(still_running)),
            ..Self::passed(task, done)
        }
        .event()
    }

    /// A task that returns this.
    pub(super) fn with(task: usize, done: usize, result: &'static str) -> Event {
        Self {
            result: Some(result),
            ..Self::passed(task, done)
        }
        .event()
    }

    pub(super) fn failed(task: usize, done: usize, failure: Failure) -> Event {
        Self {
            outcome: Outcome::Failed,
            cause: Some(Cause::Failure(failure)),
            ..Self::passed(task, done)
        }
        .event()
    }

    /// A task that a chain of others blocks.
    pub(super) fn blocked(task: usize, done: usize, chain: &[usize]) -> Event {
        let chain = chain.iter().copied().map(TaskId::new).collect();
        Self {
            outcome: Outcome::Skipped,
            worker: None,
            cause: Some(Cause::Blocked(chain)),
            ..Self::passed(task, done)
        }
        .event()
    }

    pub(super) fn not_run(task: usize, done: usize, stop: Stop) -> Event {
        Self {
            outcome: Outcome::NotRun,
            worker: None,
            cause: Some(Cause::Stopped(stop)),
            ..Self::passed(task, done)
        }
        .event()
    }

    pub(super) fn event(self) -> Event {
        let ran = self.worker.is_some();
        Event::Finished(Finished {
            task: TaskId::new(self.task),
            outcome: self.outcome,
            worker: self.worker,
            at: Duration::from_millis(30),
            took: Duration::from_millis(if ran { 20 } else { 0 }),
            done: self.done,
            planned: self.planned,
            attempts: self.attempts,
            kept: false,
            cause: self.cause.map(Box::new),
            result: self.result.map(Arc::from),
        })
    }
}

/// A summary, to be completed.
#[derive(Default)]
pub(super) struct Finish {
    pub(super) counts: Counts,
    pub(super) blocked: usize,
    pub(super) flaky: usize,
    pub(super) leaky: usize,
    pub(super) flaky_fails: bool,
    pub(super) took: Duration,
    pub(super) stopped: Option<Stop>,
    pub(super) errors: Vec<crate::error::Error>,
}

impl Finish {
    /// The summary that belongs to these events.
    pub(super) fn after(events: &[Event]) -> Self {
        let mut finish = Self {
            took: Duration::from_millis(2314),
            ..Self::default()
        };
        let mut leaky = BTreeSet::new();
        for event in events {
            match event {
                Event::Observed {
                    source: Source::Task(task, _),
                    observed: Observed::Left(_),
                } => {
                    leaky.insert(*task);
                }
                Event::Finished(finished) => {
                    finish.counts.add(finished.outcome);
                    let cause = finished.cause.as_deref();
                    let blocked = matches!(cause, Some(Cause::Blocked(_) | Cause::Failures(_)));
                    finish.blocked += usize::from(blocked);
                    finish.flaky += usize::from(finished.is_flaky());
                }
                Event::Stopping(stop) => finish.stopped = Some(*stop),
                _ => {}
            }
        }
        finish.leaky = leaky.len();
        finish
    }

    pub(super) fn summary(self) -> Summary {
        Summary {
            planned: self.counts.total(),
            counts: self.counts,
            blocked: self.blocked,
            flaky: self.flaky,
            leaky: self.leaky,
            flaky_fails: self.flaky_fails,
            took: self.took,
            stopped: self.stopped,
            errors: self.errors,
            abandoned: 0,
        }
    }
}

/// What a reporter hears of a run that wants no more than this.
pub(super) fn heard(wants: Interest, events: &[Event]) -> Vec<Event> {
    let mut running = BTreeMap::new();
    let mut heard = Vec::new();
    for event in events {
        let told = match event {
            Event::Started { task, .. } => {
                running.insert(*task, event);
                wants == Interest::All
            }
            Event::Finished(finished) => {
                running.remove(&finished.task);
                let nothing = finished.outcome == Outcome::Passed
                    && finished.attempts.is_empty()
                    && finished.result.is_none();
                wants >= Interest::Finished || !nothing
            }
            Event::Stopping(_) if wants < Interest::All => {
                heard.extend(running.values().copied().cloned());
                true
            }
            _ => true,
        };
        heard.extend(told.then(|| event.clone()));
    }
    heard
}

/// The moment at which the workers do these tasks.
pub(super) fn moment(briefing: &Briefing, tasks: &[Option<usize>]) -> Moment {
    let running = |task| Running::new(TaskId::new(task), 1, Duration::ZERO);
    let workers = tasks.iter().map(|task| task.map(running)).collect();
    Moment {
        workers,
        ..Moment::idle(briefing.planned.len(), 0)
    }
}

/// Feeds a whole run to a reporter, as slowly as it takes to see each event.
pub(super) fn play(reporter: &mut dyn Reporter, briefing: &Briefing, events: &[Event]) {
    reporter.begin(briefing).unwrap();
    reporter.flush().unwrap();
    for event in events {
        reporter.event(briefing, event).unwrap();
        reporter.flush().unwrap();
    }
    let summary = Finish::after(events).summary();
    reporter.finish(briefing, &summary).unwrap();
}

/// A stream, and what was written to it.
pub(super) struct Captured {
    pub(super) stream: Stream,
    file: File,
}

impl Captured {
    pub(super) fn new() -> Self {
        let file = tempfile::tempfile().unwrap();
        Self {
            stream: Stream::to(file.try_clone().unwrap()),
            file,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut file = &self.file;
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }
}
