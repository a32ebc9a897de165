//! Runs that are taken up from a journal, wherever that breaks off: they come to the same end, and nothing that is recorded
//! runs again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use crossbeam::channel;
use proptest::prelude::*;

use crate::event::{Cause, Finished};
use crate::graph::sketch;
use crate::record::{Crash, Library, Opening, Planned};
use crate::run::tests::{Case, Recorder, cases, execute_with, run_of};
use crate::run::*;
use crate::task::{Caller, Ending, Options, Outcome, Task, TaskId};

/// What a run came to.
struct Told {
    events: Vec<Event>,
    summary: Summary,
    /// Which attempts of which tasks were called.
    called: Vec<(usize, u32)>,
    /// How often tasks have counted.
    counter: Option<Json>,
}

impl Told {
    fn finished(&self) -> BTreeMap<usize, &Finished> {
        let finished = self.events.iter().filter_map(|event| match event {
            Event::Finished(finished) => Some((finished.task.index(), finished)),
            _ => None,
        });
        finished.collect()
    }

    fn outcomes(&self) -> BTreeMap<usize, (Outcome, Option<Json>)> {
        let finished = self.finished().into_iter();
        finished
            .map(|(task, it)| (task, (it.outcome, it.result.clone())))
            .collect()
    }
}

/// The tasks of a case: every other one counts, every third one returns something, every fourth one is tried again.
fn catalog(case: &Case, called: &Arc<Mutex<Vec<(usize, u32)>>>) -> Catalog {
    let tasks = case
        .tasks
        .iter()
        .enumerate()
        .map(|(index, (after, outcome))| {
            let after: Vec<_> = after.iter().map(|other| format!("t{other}")).collect();
            let after: Vec<_> = after.iter().map(String::as_str).collect();
            let (called, outcome) = (Arc::clone(called), *outcome);
            let action = move |host: &Caller<'_>| {
                called
                    .lock()
                    .unwrap()
                    .push((index, if index % 4 == 0 { host.attempt() } else { 1 }));
                if index % 2 == 0 {
                    count(host);
                }
                match outcome {
                    Outcome::Passed => {
                        Ending::Passed((index % 3 == 0).then(|| index.to_string().into()))
                    }
                    Outcome::Skipped => Ending::Skipped("no".into()),
                    _ => Ending::failed("on purpose"),
                }
            };
            let options = Options {
                retries: 1,
                ..Options::default()
            };
            Task {
                action: Arc::new(action),
                options: (index % 4 == 0).then(|| options.into()),
                ..sketch::task(0, &format!("t{index}"), &after)
            }
        });
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), tasks);
    catalog
}

fn count(host: &Caller<'_>) {
    loop {
        let old = host.state("n");
        let number: u32 = old.as_ref().map_or(0, |json| json.parse().unwrap());
        let new = (number + 1).to_string().into();
        if host.swap_state("n", old, Some(new)).is_ok() {
            return;
        }
    }
}

fn execute(case: &Case, journal: Option<Journal>, kept: Kept) -> Told {
    let called = Arc::default();
    let run = Run {
        journal: journal.map(Arc::new),
        kept,
        ..run_of(catalog(case, &called), case)
    };
    let state = Arc::clone(&run.state);
    let events = Arc::default();
    let mut recorder = Recorder(Arc::clone(&events));
    let summary = execute_with(run, &mut recorder, &channel::never(), |_| ());
    let events = std::mem::take(&mut *events.lock().unwrap());
    let called = std::mem::take(&mut *called.lock().unwrap());
    Told {
        events,
        summary,
        called,
        counter: state.get("n"),
    }
}

/// A journal in which nothing has happened yet.
fn journal(path: &Path) -> Journal {
    let journal = Journal::create(path).unwrap();
    let opening = Opening {
        started: UNIX_EPOCH,
        argv: &[],
        planned: 0,
        libraries: &[] as &[Library],
        is_named: false,
    };
    journal.open(&opening, std::iter::empty::<Planned<'_>>());
    journal
}

/// What a new process finds in the first lines of a journal.
fn restart(path: &Path, lines: usize, crash: Option<&Crash>) -> (Journal, Kept) {
    let text = fs::read_to_string(path).unwrap();
    let text: String = text.split_inclusive('\n').take(lines).collect();
    let cut = path.with_extension("cut");
    fs::write(&cut, text).unwrap();
    let (journal, _) = Journal::take_up(&cut).unwrap();
    if let Some(crash) = crash {
        journal.crash(crash);
    }
    let kept = journal.read().unwrap().restart(|_, _| None);
    (journal, kept)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a_run_that_is_taken_up_anywhere_comes_to_the_same_end(
        case in cases(),
        lines in 1_usize..40,
    ) {
        let case = case.without_stops();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("j");
        let whole = execute(&case, Some(journal(&path)), Kept::default());
        let (journal, kept) = restart(&path, lines, None);
        let is_kept: Vec<_> = (0..case.tasks.len()).map(|at| kept.stays(TaskId::new(at))).collect();
        let had: Vec<_> = whole.called.iter().filter(|(at, attempt)| kept.has(TaskId::new(*at), *attempt)).copied().collect();
        let next = execute(&case, Some(journal), kept);
        prop_assert_eq!(next.outcomes(), whole.outcomes());
        prop_assert_eq!(next.summary.counts, whole.summary.counts);
        prop_assert_eq!(next.summary.flaky, whole.summary.flaky);
        prop_assert_eq!(&next.counter, &whole.counter);
        for call in &next.called {
            prop_assert!(!is_kept[call.0] && !had.contains(call), "{:?} ran again", call);
        }
        for (task, finished) in next.finished() {
            prop_assert!(!finished.kept, "nobody was told of {task}");
            let before = whole.finished()[&task].attempts.len();
            prop_assert_eq!(finished.attempts.len(), before);
        }
        // And what the two have written is the whole again.
        let (_, all) = restart(&path.with_extension("cut"), usize::MAX, None);
        for (task, finished) in whole.finished() {
            let ran = finished.worker.is_some();
            prop_assert_eq!(all.stays(TaskId::new(task)), ran, "{}", task);
        }
    }
}

#[test]
fn a_task_that_took_its_process_with_it_has_crashed_or_is_tried_again() {
    // t0 may be tried again, t1 not; t2 comes after t1.
    let passed = Outcome::Passed;
    let case = Case::of(vec![
        (vec![], passed),
        (vec![], passed),
        (vec![1], passed),
        (vec![], passed),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j");
    let new = journal(&path);
    new.ran(0, [(TaskId::new(3), 0, 7)]);
    drop(new);
    let crash = |task: usize| Crash {
        task: Some(TaskId::new(task)),
        signal: Some(11),
        words: Some("a fault".into()),
        worker: Some(1),
        took: 5,
        ..Crash::default()
    };
    let (journal, kept) = restart(&path, 9, Some(&crash(0)));
    let told = execute(&case, Some(journal), kept);
    let finished = told.finished();
    assert_eq!(
        (finished[&0].outcome, finished[&0].attempts.len()),
        (passed, 1)
    );
    assert_eq!(finished[&0].attempts[0].outcome, Outcome::Crashed);
    assert!(told.called.contains(&(0, 2)) && !told.called.contains(&(0, 1)));
    assert!(!told.called.contains(&(3, 1)));
    assert_eq!(finished[&3].took, Duration::from_nanos(7));

    let (journal, kept) = restart(&path, 9, Some(&crash(1)));
    let told = execute(&case, Some(journal), kept);
    let finished = told.finished();
    assert_eq!(finished[&1].outcome, Outcome::Crashed);
    assert_eq!(finished[&1].worker, Some(1));
    let why = |finished: &Finished| match finished.cause.as_deref() {
        Some(Cause::Failure(failure)) => failure.message.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(why(finished[&1]), "a fault");
    assert_eq!(finished[&2].outcome, Outcome::Skipped);
    assert!(!told.called.iter().any(|(task, _)| [1, 2, 3].contains(task)));
}

#[test]
fn what_people_have_been_told_is_not_begun_or_told_again() {
    let passed = Outcome::Passed;
    let case = Case::of(vec![(vec![], passed), (vec![0], passed), (vec![1], passed)]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j");
    execute(&case, Some(journal(&path)), Kept::default());
    let (journal, mut kept) = restart(&path, usize::MAX, None);
    kept.told([0, 1].map(TaskId::new), [], []);
    let told = execute(&case, Some(journal), kept);
    let kept: Vec<_> = told
        .finished()
        .values()
        .map(|finished| finished.kept)
        .collect();
    assert_eq!(kept, [true, true, false]);
    let started = told.events.iter().filter_map(|event| match event {
        Event::Started { task, .. } => Some(task.index()),
        _ => None,
    });
    assert_eq!(started.collect::<Vec<_>>(), [2]);
}
