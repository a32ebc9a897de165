//! The end of a run with which nobody can go on, as its libraries are not to be had: what is recorded of it is told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::recording::attempt_of;
use crate::blackbox;
use crate::error::Error;
use crate::event::{Briefing, Counts, Event, Finished, Source, Summary};
use crate::process;
use crate::record::{Concluded, Ended, Journal, Seen};
use crate::report::Reporter;
use crate::task::{
    Arguments, Catalog, Ending, Library, LibraryId, Observed, Outcome, Task, TaskId,
};

/// Tells what has come of a run, and why it does not go on; false where nobody knows.
pub fn conclude(journal: &Journal, reporters: &mut dyn Reporter, error: &Error) -> bool {
    let Ok(recorded) = journal.read() else {
        return false;
    };
    let mut concluded = recorded.conclude();
    let took = Duration::from_nanos(elapsed());
    let catalog = catalog(&mut concluded);
    let briefing = Briefing {
        planned: catalog.ids().collect(),
        catalog: Arc::new(catalog),
        workers: 0,
        started: SystemTime::now() - took,
        already: took,
        state_arguments: Vec::new(),
    };
    let mut summary = Summary {
        planned: concluded.planned.max(briefing.planned.len()),
        counts: Counts::default(),
        blocked: 0,
        flaky: 0,
        leaky: 0,
        flaky_fails: false,
        took,
        stopped: None,
        errors: vec![error.clone()],
        abandoned: 0,
    };
    let nameless = concluded.nameless.iter();
    nameless.for_each(|outcome| summary.counts.add(*outcome));
    let _ = reporters.begin(&briefing);
    for &task in &briefing.planned {
        let left = tell_attempts(&briefing, reporters, &concluded, task);
        let finished = finished(&concluded, task, &mut summary);
        summary.flaky += usize::from(finished.is_flaky());
        summary.leaky += usize::from(left);
        let _ = reporters.event(&briefing, &Event::Finished(finished));
    }
    let others = summary.planned.saturating_sub(summary.counts.total());
    summary.counts.add_many(Outcome::NotRun, others);
    let _ = reporters.finish(&briefing, &summary);
    journal.fin(&summary, summary.exit().code());
    true
}

/// Nanoseconds since the start of the run.
fn elapsed() -> u64 {
    blackbox::get().map_or(0, |black_box| {
        let now = process::monotonic();
        (now - black_box.paused(now)).saturating_sub(black_box.start())
    })
}

/// The tasks of which the names are known. Nobody calls them.
fn catalog(concluded: &mut Concluded) -> Catalog {
    let mut catalog = Catalog::default();
    let libraries = std::mem::take(&mut concluded.libraries);
    for (index, (name, path, tasks)) in libraries.into_iter().enumerate() {
        let library = Library {
            name,
            path: path.to_string_lossy().into_owned(),
            setup: None,
            teardown: None,
            aborts: false,
        };
        let tasks = tasks.into_iter().map(|name| Task {
            name: name.into(),
            library: LibraryId::new(index),
            after: Box::default(),
            tags: Box::default(),
            doc: Box::default(),
            place: None,
            action: Arc::new(|_| Ending::Passed(None)),
            options: None,
            arguments: Arguments::default(),
            is_program: false,
        });
        catalog.add(library, tasks);
    }
    catalog
}

fn attempts(concluded: &Concluded, task: TaskId) -> &[Ended] {
    let stood = concluded.kept.stood(task);
    stood.map_or(&[], |stood| &stood.attempts)
}

/// What was seen of the attempts, and how those ended that others followed; whether one has left processes running.
fn tell_attempts(
    briefing: &Briefing,
    reporters: &mut dyn Reporter,
    concluded: &Concluded,
    task: TaskId,
) -> bool {
    let mut tell = |event| {
        let _ = reporters.event(briefing, &Event::Known(Box::new(event)));
    };
    let all = attempts(concluded, task);
    let mut has_left = false;
    for (number, at) in (1..).zip(0..all.len().max(1)) {
        let source = Source::Task(task, 0);
        for seen in concluded.kept.seen(task, number).cloned() {
            has_left |= matches!(seen, Seen::Observed(Observed::Left(_)));
            tell(match seen {
                Seen::Said(record) => Event::Logged { source, record },
                Seen::Observed(observed) => Event::Observed { source, observed },
            });
        }
        if let Some(ended) = all.get(at).filter(|_| at + 1 < all.len()) {
            tell(Event::Retrying {
                task,
                worker: ended.worker.unwrap_or(0),
                number,
                attempt: attempt_of(ended),
                at: Duration::from_nanos(ended.at),
            });
        }
    }
    has_left
}

/// How a task ended: nobody tries it again. Counts it.
fn finished(concluded: &Concluded, task: TaskId, summary: &mut Summary) -> Finished {
    let (plain, all) = (concluded.kept.plain(task), attempts(concluded, task));
    let (ended, earlier) = match all.split_last() {
        Some((ended, earlier)) => (Some(ended), earlier),
        None => (None, &[][..]),
    };
    let idle = concluded.idle.get(task.index()).copied().flatten();
    let outcome = match (plain, ended) {
        (Some(_), _) => Outcome::Passed,
        (None, Some(ended)) => ended.outcome,
        (None, None) => idle.unwrap_or(Outcome::NotRun),
    };
    summary.counts.add(outcome);
    summary.blocked += usize::from(ended.is_none() && outcome == Outcome::Skipped);
    let before = concluded.before.get(task.index());
    let is_told = |task| blackbox::get().is_some_and(|black_box| black_box.is_told(task));
    let took = plain.map(|plain| plain.took);
    let took = took.or(ended.map(|ended| ended.took)).unwrap_or(0);
    Finished {
        task,
        outcome,
        worker: match plain {
            Some(plain) => Some(plain.worker as usize),
            None => ended.and_then(|ended| ended.worker),
        },
        at: ended.map_or(summary.took, |ended| Duration::from_nanos(ended.at)),
        took: Duration::from_nanos(took),
        done: summary.counts.total(),
        planned: summary.planned,
        cause: ended.and_then(|ended| ended.cause.clone()).map(Box::new),
        result: ended.and_then(|ended| ended.result.clone()),
        attempts: earlier.iter().map(attempt_of).collect(),
        kept: before.is_some_and(|before| is_told(*before)),
    }
}
