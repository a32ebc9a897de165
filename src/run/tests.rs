//! Plan and pool against a plain single-threaded reference: random graphs, endings, workers and moments to stop.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crossbeam::channel::{self, Receiver};
use proptest::prelude::*;

use super::*;
use crate::event::{Cause, Finished, Source};
use crate::exit::Exit;
use crate::graph::sketch;
use crate::report::Reporter;
use crate::task::{
    Action, Caller, Ending, Host, Left, Level, Library, Observed, Outcome, Record, Task, TaskId,
};

/// A library as it is made up for a test.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// By task: the tasks it comes after, and what it comes to.
    pub(super) tasks: Vec<(Vec<usize>, Outcome)>,
    workers: usize,
    skip_deps: bool,
    max_fail: usize,
    /// The task that sends SIGINT while it runs.
    interrupt: Option<usize>,
}

impl Case {
    /// These tasks, on one worker.
    pub(super) fn of(tasks: Vec<(Vec<usize>, Outcome)>) -> Self {
        Self {
            tasks,
            ..Self::with_workers(1)
        }
    }

    /// The same, run to its end.
    pub(super) fn without_stops(self) -> Self {
        Self {
            max_fail: 0,
            interrupt: None,
            ..self
        }
    }

    /// For tests that make their own tasks.
    pub(super) fn with_workers(workers: usize) -> Self {
        Self {
            tasks: Vec::new(),
            workers,
            skip_deps: true,
            max_fail: 0,
            interrupt: None,
        }
    }
}

prop_compose! {
    pub(super) fn cases()(count in 1_usize..24)(
        edges in prop::collection::vec((0..count, 0..count), 0..count * 2),
        endings in prop::collection::vec(prop_oneof![
            6 => Just(Outcome::Passed), 1 => Just(Outcome::Failed), 1 => Just(Outcome::Skipped)], count),
        // Declared in any order: a dependency may stand behind its dependent.
        order in Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
        workers in prop_oneof![Just(1_usize), Just(2), Just(3), Just(8)],
        skip_deps in prop::bool::weighted(0.8),
        max_fail in prop_oneof![4 => Just(0_usize), 1 => 1_usize..3],
        interrupt in prop::option::weighted(0.3, 0..count),
    ) -> Case {
        let mut tasks: Vec<_> = endings.into_iter().map(|ending| (Vec::new(), ending)).collect();
        for (a, b) in edges {
            if a != b {
                let (first, then) = if order[a] < order[b] { (a, b) } else { (b, a) };
                tasks[then].0.push(first);
            }
        }
        Case { tasks, workers, skip_deps, max_fail, interrupt }
    }
}

/// What a run told, and what its tasks noticed.
struct Told {
    events: Vec<Event>,
    summary: Summary,
    complaints: Vec<String>,
}

pub(super) struct Recorder(pub(super) Arc<Mutex<Vec<Event>>>);

impl Reporter for Recorder {
    fn event(&mut self, _: &Briefing, event: &Event) -> io::Result<()> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }

    fn finish(&mut self, _: &Briefing, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// What all tasks of a test watch together.
#[derive(Default)]
struct Watch {
    running: AtomicIsize,
    inside_lock: AtomicIsize,
    complaints: Mutex<Vec<String>>,
}

impl Watch {
    fn check(&self, fine: bool, complaint: impl FnOnce() -> String) {
        if !fine {
            self.complaints.lock().unwrap().push(complaint());
        }
    }

    /// The body of every task: it must see what its dependencies wrote, and be alone under the lock.
    fn body(&self, case: &Case, task: usize, host: &dyn Host) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.check(running <= case.workers.cast_signed(), || {
            format!("{running} tasks run")
        });
        for dependency in &case.tasks[task].0 {
            let expected = case.tasks[*dependency].1 == Outcome::Passed;
            let name = format!("t{dependency}");
            let ran = !case.skip_deps || expected;
            self.check(!ran || host.state(&name).is_some(), || {
                format!("t{task}: no state of {name}")
            });
            self.check(!expected || !ran || host.result(&name).is_some(), || {
                format!("t{task}: no result of {name}")
            });
        }
        host.lock("lock").unwrap();
        host.lock("lock").unwrap();
        let inside = self.inside_lock.fetch_add(1, Ordering::SeqCst);
        self.check(inside == 0, || {
            format!("t{task} is not alone under the lock")
        });
        self.inside_lock.fetch_sub(1, Ordering::SeqCst);
        host.unlock("lock").unwrap(); // the other one is released at the end of the task
        host.set_state(&format!("t{task}"), Some("1".into()))
            .unwrap();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn run(case: &Case) -> Told {
    let watch = Arc::new(Watch::default());
    let (interrupt, signals) = channel::unbounded();
    let tasks = (0..case.tasks.len()).map(|index| {
        let (after, ending) = &case.tasks[index];
        let after: Vec<_> = after
            .iter()
            .map(|dependency| format!("t{dependency}"))
            .collect();
        let after: Vec<_> = after.iter().map(String::as_str).collect();
        let (watch, case, ending) = (Arc::clone(&watch), case.clone(), *ending);
        let interrupt = interrupt.clone();
        let action = move |host: &Caller<'_>| {
            watch.body(&case, index, &**host);
            if case.interrupt == Some(index) {
                interrupt.send(2).unwrap();
            }
            match ending {
                Outcome::Passed => Ending::Passed(Some("1".into())),
                Outcome::Skipped => Ending::Skipped("".into()),
                _ => Ending::failed("on purpose"),
            }
        };
        Task {
            action: Arc::new(action),
            ..sketch::task(0, &format!("t{index}"), &after)
        }
    });
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), tasks);
    let (events, summary) = execute(catalog, case, &signals);
    let complaints = std::mem::take(&mut *watch.complaints.lock().unwrap());
    Told {
        events,
        summary,
        complaints,
    }
}

fn execute(catalog: Catalog, case: &Case, signals: &Receiver<i32>) -> (Vec<Event>, Summary) {
    let events = Arc::default();
    let mut recorder = Recorder(Arc::clone(&events));
    let summary = execute_with(run_of(catalog, case), &mut recorder, signals, |_| ());
    let events = std::mem::take(&mut *events.lock().unwrap());
    (events, summary)
}

pub(super) fn execute_with(
    run: Run,
    reporter: &mut dyn Reporter,
    stop: &Receiver<i32>,
    connect: impl FnOnce(Ear),
) -> Summary {
    let (abort, tell) = (channel::never(), channel::never());
    let stop = stop.clone();
    let requests = Requests {
        before: None,
        stop,
        abort,
        tell,
    };
    run.execute(reporter, &requests, connect)
}

pub(super) fn run_of(catalog: Catalog, case: &Case) -> Run {
    let links = Links::resolve(&catalog).unwrap();
    let graph = Graph::new(&catalog, &links, catalog.ids().collect()).unwrap();
    Run {
        journal: None,
        kept: Kept::default(),
        lost: Vec::new(),
        last_words: Box::new(Vec::new),
        catalog: Arc::new(catalog),
        links,
        graph: Arc::new(graph),
        state: Arc::default(),
        results: Arc::default(),
        rules: Rules {
            skip_deps: case.skip_deps,
            max_fail: NonZeroUsize::new(case.max_fail),
            retries: None,
            once: None,
        },
        workers: NonZeroUsize::new(case.workers),
        limits: Limits::default(),
        state_arguments: Vec::new(),
    }
}

/// The reference: one task at a time, by the rules as they are written, with maps and loops over everything.
fn reference(case: &Case) -> (Vec<usize>, BTreeMap<usize, Outcome>) {
    let count = case.tasks.len();
    let mut chain = vec![1; count];
    for _ in 0..count {
        for (task, (after, _)) in case.tasks.iter().enumerate() {
            for &dependency in after {
                chain[dependency] = chain[dependency].max(chain[task] + 1);
            }
        }
    }
    let (mut order, mut ended, mut blocked) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut failures = 0;
    loop {
        let mut skipped = true;
        while std::mem::take(&mut skipped) {
            for (task, (after, _)) in case.tasks.iter().enumerate() {
                let all_ended = after.iter().all(|d| ended.contains_key(d));
                let stands_in_the_way =
                    |d: &usize| ended.get(d) == Some(&Outcome::Failed) || blocked.contains(d);
                if !ended.contains_key(&task)
                    && all_ended
                    && case.skip_deps
                    && after.iter().any(stands_in_the_way)
                {
                    ended.insert(task, Outcome::Skipped);
                    blocked.push(task);
                    skipped = true;
                }
            }
        }
        let stop = case.max_fail > 0 && failures >= case.max_fail;
        let ready = (0..count).filter(|task| {
            !ended.contains_key(task) && case.tasks[*task].0.iter().all(|d| ended.contains_key(d))
        });
        let next = ready.min_by_key(|task| (std::cmp::Reverse(chain[*task]), *task));
        let Some(next) = next.filter(|_| !stop) else {
            break;
        };
        order.push(next);
        ended.insert(next, case.tasks[next].1);
        failures += usize::from(case.tasks[next].1 == Outcome::Failed);
    }
    for task in 0..count {
        ended.entry(task).or_insert(Outcome::NotRun);
    }
    (order, ended)
}

fn finished(events: &[Event]) -> BTreeMap<usize, &Finished> {
    let finished = events.iter().filter_map(|event| match event {
        Event::Finished(finished) => Some((finished.task.index(), finished)),
        _ => None,
    });
    finished.collect()
}

fn started(events: &[Event]) -> Vec<usize> {
    let started = events.iter().filter_map(|event| match event {
        Event::Started { task, .. } => Some(task.index()),
        _ => None,
    });
    started.collect()
}

/// What holds for every run, however it went.
fn check_promises(case: &Case, told: &Told) {
    assert_eq!(told.complaints, [] as [&str; 0]);
    let outcomes = finished(&told.events);
    let ends = told
        .events
        .iter()
        .filter(|event| matches!(event, Event::Finished(_)))
        .count();
    assert_eq!(
        (ends, outcomes.len()),
        (case.tasks.len(), case.tasks.len()),
        "one outcome each"
    );
    assert_eq!(told.summary.planned, case.tasks.len());
    assert_eq!(
        told.summary.counts.total(),
        told.summary.planned,
        "planned is the sum of all outcomes"
    );
    let (mut ended, mut done, mut running) = (Vec::new(), 0, 0);
    let mut stopped = false;
    for event in &told.events {
        match event {
            Event::Stopping(_) => stopped = true,
            Event::Started { task, .. } => {
                assert!(!stopped, "started after the stop");
                running += 1;
                assert!(running <= case.workers);
                let after = &case.tasks[task.index()].0;
                assert!(
                    after.iter().all(|d| ended.contains(d)),
                    "started before its dependencies ended"
                );
            }
            Event::Finished(finished) => {
                done += 1;
                assert_eq!(finished.done, done);
                assert!(
                    stopped || !matches!(finished.outcome, Outcome::Cancelled | Outcome::NotRun),
                    "{} before the stop",
                    finished.outcome
                );
                running -= usize::from(finished.worker.is_some());
                ended.push(finished.task.index());
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_agrees_with_the_plain_reference(case in cases()) {
        let case = Case { interrupt: None, ..case };
        let told = run(&case);
        check_promises(&case, &told);
        let (order, expected) = reference(&case);
        if case.workers == 1 || case.max_fail == 0 {
            let outcomes: BTreeMap<_, _> =
                finished(&told.events).into_iter().map(|(task, f)| (task, f.outcome)).collect();
            prop_assert_eq!(&outcomes, &expected);
            let fine = expected.values().all(|o| *o == Outcome::Passed)
                || (told.summary.blocked == 0
                    && expected.values().all(|o| matches!(o, Outcome::Passed | Outcome::Skipped)));
            prop_assert_eq!(told.summary.exit(), if fine { Exit::Passed } else { Exit::Failed });
        }
        if case.workers == 1 {
            prop_assert_eq!(started(&told.events), order);
        }
    }

    #[test]
    fn an_interrupted_run_accounts_for_every_task(case in cases()) {
        let told = run(&case);
        check_promises(&case, &told);
        let ran = started(&told.events);
        for (task, finished) in finished(&told.events) {
            let own = case.tasks[task].1;
            let expected: &[Outcome] = match (ran.contains(&task), own) {
                (true, Outcome::Failed) => &[Outcome::Failed, Outcome::Cancelled],
                (true, own) => &[own],
                (false, _) => &[Outcome::Skipped, Outcome::NotRun],
            };
            prop_assert!(expected.contains(&finished.outcome));
        }
        let interrupted = case.interrupt.is_some_and(|task| ran.contains(&task));
        let signal = told.summary.stopped == Some(Stop::Signal(2));
        // The last task may send the signal when there is nothing left to stop.
        prop_assert!(!signal || interrupted);
        prop_assert_eq!(told.summary.exit() == Exit::Signal(2), signal);
    }

    #[test]
    fn two_runs_tell_the_same_of_every_task(case in cases()) {
        let case = Case { interrupt: None, max_fail: 0, ..case };
        let (first, second) = (run(&case), run(&case));
        let told = |told: &Told| -> Vec<(usize, Outcome, Option<Cause>)> {
            let finished = finished(&told.events).into_iter();
            finished.map(|(task, f)| (task, f.outcome, f.cause.as_deref().cloned())).collect()
        };
        prop_assert_eq!(told(&first), told(&second));
    }
}

#[test]
fn a_panic_of_a_closure_is_a_failure() {
    let mut catalog = Catalog::default();
    let task = Task {
        action: Arc::new(|_| panic!("oh no")),
        ..sketch::task(0, "a", &[])
    };
    catalog.add(sketch::library("x"), [task]);
    let case = Case::with_workers(1);
    let (events, summary) = execute(catalog, &case, &channel::never());
    let finished = finished(&events)[&0].clone();
    assert_eq!(finished.outcome, Outcome::Failed);
    let Some(Cause::Failure(failure)) = finished.cause.as_deref() else {
        panic!("no cause")
    };
    assert_eq!(&*failure.message, "panicked: oh no");
    assert_eq!(summary.exit(), Exit::Failed);
}

/// A library with hooks that note that they were called, and one task.
fn hooked(setup: Ending, calls: &Arc<Mutex<Vec<&'static str>>>) -> Catalog {
    let note = |name: &'static str, ending: Ending| {
        let calls = Arc::clone(calls);
        move |_: &Caller<'_>| {
            calls.lock().unwrap().push(name);
            ending.clone()
        }
    };
    let library = Library {
        setup: Some(Arc::new(note("setup", setup))),
        teardown: Some(Arc::new(note("teardown", Ending::Passed(None)))),
        aborts: false,
        ..sketch::library("x")
    };
    let action = Arc::new(note("task", Ending::failed("no")));
    let mut catalog = Catalog::default();
    catalog.add(
        library,
        [Task {
            action,
            ..sketch::task(0, "a", &[])
        }],
    );
    catalog
}

#[test]
fn hooks_run_before_the_first_and_after_the_last_task() {
    let case = Case::with_workers(1);
    for (setup, expected) in [
        (Ending::Passed(None), &["setup", "task", "teardown"] as &[_]),
        (Ending::failed("no"), &["setup", "teardown"]),
    ] {
        let calls = Arc::default();
        let failed = matches!(setup, Ending::Failed(_));
        let (_, summary) = execute(hooked(setup, &calls), &case, &channel::never());
        assert_eq!(*calls.lock().unwrap(), expected);
        let outcome = if failed {
            Outcome::NotRun
        } else {
            Outcome::Failed
        };
        assert_eq!(summary.counts.get(outcome), 1);
        assert_eq!(summary.errors.len(), usize::from(failed));
        assert_eq!(summary.exit(), Exit::Failed);
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_task_that_does_not_end() {
    let (interrupt, signals) = channel::unbounded();
    let action = move |_: &Caller<'_>| {
        interrupt.send(15).unwrap();
        interrupt.send(15).unwrap();
        loop {
            std::thread::park();
        }
    };
    let mut catalog = Catalog::default();
    let stuck = Task {
        action: Arc::new(action),
        ..sketch::task(0, "stuck", &[])
    };
    catalog.add(
        sketch::library("x"),
        [stuck, sketch::task(0, "next", &["stuck"])],
    );
    let case = Case::with_workers(1);
    let (events, summary) = execute(catalog, &case, &signals);
    let ended = finished(&events);
    let told = [0, 1].map(|task| (ended[&task].outcome, ended[&task].worker));
    assert_eq!(
        told,
        [(Outcome::Cancelled, Some(0)), (Outcome::NotRun, None)]
    );
    assert!(ended[&0].took > Duration::ZERO, "it did run");
    assert_eq!((summary.abandoned, summary.exit()), (1, Exit::Signal(15)));
}

#[test]
fn a_task_that_does_not_come_back_counts_once_whatever_ran_in_its_place_before() {
    let (interrupt, signals) = channel::unbounded();
    let stuck = move |_: &Caller<'_>| {
        interrupt.send(15).unwrap();
        interrupt.send(15).unwrap();
        loop {
            std::thread::park();
        }
    };
    let fails = Task {
        action: Arc::new(|_| Ending::failed("no")),
        ..sketch::task(0, "fails", &[])
    };
    let stuck = Task {
        action: Arc::new(stuck),
        ..sketch::task(0, "stuck", &[])
    };
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), [fails, stuck]);
    let (_, summary) = execute(catalog, &Case::with_workers(1), &signals);
    assert_eq!(summary.counts.get(Outcome::Failed), 1);
    assert_eq!(summary.abandoned, 1);
}

#[test]
fn ten_thousand_tasks_in_a_chain_run_in_order() {
    let names: Vec<_> = (0..10_000).map(|i| format!("t{i}")).collect();
    let tasks = (0..10_000).map(|i| match i {
        0 => sketch::task(0, &names[0], &[]),
        _ => sketch::task(0, &names[i], &[&names[i - 1]]),
    });
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), tasks);
    let case = Case::with_workers(3);
    let (events, summary) = execute(catalog, &case, &channel::never());
    assert!(started(&events).is_sorted());
    assert_eq!(summary.counts.get(Outcome::Passed), 10_000);
    assert_eq!(TaskId::new(9_999).index(), started(&events)[9_999]);
}

/// A task of one library that does `action`.
fn acting(
    name: &str,
    after: &[&str],
    action: impl Fn(&Caller<'_>) -> Ending + Send + Sync + 'static,
) -> Task {
    Task {
        action: Arc::new(action),
        ..sketch::task(0, name, after)
    }
}

fn record() -> Record {
    Record {
        level: Level::Info,
        target: "".into(),
        message: "again".into(),
        place: None,
    }
}

#[test]
fn a_setup_that_fails_is_the_last_one_called() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let hook = |name: &'static str, ending: Ending| -> Option<Action> {
        let calls = Arc::clone(&calls);
        Some(Arc::new(move |_| {
            calls.lock().unwrap().push(name);
            ending.clone()
        }))
    };
    let mut catalog = Catalog::default();
    for (index, name, setup, teardown, ending) in [
        (0, "x", "setup x", "teardown x", Ending::failed("no")),
        (1, "y", "setup y", "teardown y", Ending::Passed(None)),
    ] {
        let library = Library {
            setup: hook(setup, ending),
            teardown: hook(teardown, Ending::Passed(None)),
            aborts: false,
            ..sketch::library(name)
        };
        catalog.add(library, [sketch::task(index, name, &[])]);
    }
    let (_, summary) = execute(catalog, &Case::with_workers(1), &channel::never());
    assert_eq!(*calls.lock().unwrap(), ["setup x", "teardown x"]);
    assert_eq!(summary.counts.get(Outcome::NotRun), 2);
}

#[test]
fn a_task_may_log_more_than_can_be_under_way() {
    let chatter = |host: &Caller<'_>| {
        (0..30_000).for_each(|_| host.log(record()));
        Ending::Passed(None)
    };
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), [acting("chatter", &[], chatter)]);
    let (events, _) = execute(catalog, &Case::with_workers(1), &channel::never());
    assert_eq!(events.len(), 30_002);
}

#[test]
fn a_task_that_leaves_processes_is_leaky_once_however_it_ends() {
    let leaves = |ending: Ending| {
        move |caller: &Caller<'_>| {
            let left = Left {
                pid: Some(7),
                name: "sleep".into(),
            };
            (0..2).for_each(|_| caller.observed(Observed::Left([left.clone()].into())));
            caller.observed(Observed::Continued);
            ending.clone()
        }
    };
    let mut catalog = Catalog::default();
    let tasks = [
        acting("passes", &[], leaves(Ending::Passed(None))),
        acting("fails", &[], leaves(Ending::failed("no"))),
        acting("tidy", &[], |_| Ending::Passed(None)),
    ];
    catalog.add(sketch::library("x"), tasks);
    let (events, summary) = execute(catalog, &Case::with_workers(2), &channel::never());
    assert_eq!(summary.leaky, 2);
    assert_eq!(summary.counts.get(Outcome::Passed), 2);
    let place = |wanted: &dyn Fn(&Event) -> bool| events.iter().rposition(wanted).unwrap();
    for task in [0, 1].map(TaskId::new) {
        let seen = place(
            &|event| matches!(event, Event::Observed { source: Source::Task(id, _), .. } if *id == task),
        );
        let ended = place(&|event| matches!(event, Event::Finished(end) if end.task == task));
        assert!(seen < ended, "it is told before the outcome");
    }
}

#[test]
fn a_task_that_never_stops_logging_does_not_keep_a_run_that_is_left() {
    let (interrupt, signals) = channel::unbounded();
    let chatter = move |host: &Caller<'_>| {
        interrupt.send(2).unwrap();
        interrupt.send(2).unwrap();
        loop {
            host.log(record());
        }
    };
    let mut catalog = Catalog::default();
    catalog.add(sketch::library("x"), [acting("chatter", &[], chatter)]);
    let (events, summary) = execute(catalog, &Case::with_workers(1), &signals);
    assert_eq!(summary.counts.get(Outcome::Cancelled), 1);
    let ended = |event: &Event| matches!(event, Event::Finished(_));
    let after = events.len() - events.iter().position(ended).unwrap();
    assert!(after <= 10_001, "{after} events after the last outcome");
}

#[test]
fn who_obeys_a_signal_is_cancelled_and_nothing_follows_from_it() {
    let (interrupt, signals) = channel::unbounded();
    let obeys = move |host: &Caller<'_>| {
        interrupt.send(2).unwrap();
        while !host.cancelled() {
            std::thread::yield_now();
        }
        Ending::failed("asked to stop")
    };
    let mut catalog = Catalog::default();
    let others = [sketch::task(0, "b", &["a"]), sketch::task(0, "c", &[])];
    let tasks = std::iter::once(acting("a", &[], obeys)).chain(others);
    catalog.add(sketch::library("x"), tasks);
    let (events, summary) = execute(catalog, &Case::with_workers(1), &signals);
    let outcomes: Vec<_> = finished(&events).values().map(|f| f.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Cancelled, Outcome::NotRun, Outcome::NotRun]
    );
    assert!(matches!(events[1], Event::Stopping(Stop::Signal(2))));
    assert_eq!((summary.abandoned, summary.exit()), (0, Exit::Signal(2)));
}

#[test]
fn a_given_result_is_there_until_its_task_runs() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = |name: &str, after: &[&str], ending: Ending| {
        let seen = Arc::clone(&seen);
        acting(name, after, move |host| {
            seen.lock().unwrap().push(host.result("a"));
            ending.clone()
        })
    };
    let mut catalog = Catalog::default();
    let tasks = [
        look("before", &[], Ending::Passed(None)),
        look("a", &["before"], Ending::failed("no")),
        look("behind", &["a"], Ending::Passed(None)),
    ];
    catalog.add(sketch::library("x"), tasks);
    let case = Case {
        skip_deps: false,
        ..Case::with_workers(1)
    };
    let run = run_of(catalog, &case);
    run.results.set(TaskId::new(1), "1".into());
    let mut recorder = Recorder(Arc::default());
    let _ = execute_with(run, &mut recorder, &channel::never(), |_| ());
    assert_eq!(*seen.lock().unwrap(), [Some("1".into()), None, None]);
}

#[test]
fn a_run_that_no_signal_can_reach_any_more_goes_on() {
    let (interrupt, signals) = channel::unbounded();
    drop(interrupt);
    let mut catalog = sketch::catalog("a b<a");
    catalog.task_mut(TaskId::new(0)).action = Arc::new(|_| {
        std::thread::yield_now();
        Ending::Passed(None)
    });
    let (_, summary) = execute(catalog, &Case::with_workers(1), &signals);
    assert_eq!(summary.counts.get(Outcome::Passed), 2);
}

#[test]
fn a_lock_that_comes_after_the_end_of_its_task_is_not_kept() {
    let (waits, holder_may_go) = mpsc::channel();
    let (late, holds) = (Mutex::new(waits), mpsc::channel());
    let (held, holder_has_it) = (Mutex::new(holds.0), Mutex::new(holds.1));
    let holder_may_go = Mutex::new(holder_may_go);
    let holder = move |host: &Caller<'_>| {
        host.lock("x").unwrap();
        held.lock().unwrap().send(()).unwrap();
        holder_may_go.lock().unwrap().recv().unwrap();
        Ending::Passed(None)
    };
    // Its thread asks for the lock when the task has ended, or waits for it beyond that end.
    let leaver = move |host: &Caller<'_>| {
        holder_has_it.lock().unwrap().recv().unwrap();
        let (host, late) = (Arc::clone(host.host()), late.lock().unwrap().clone());
        std::thread::spawn(move || {
            late.send(()).unwrap();
            let _ = host.lock("x");
        });
        Ending::Passed(None)
    };
    let next = |host: &Caller<'_>| match host.lock("x") {
        Ok(()) => Ending::Passed(None),
        Err(why) => Ending::failed(format!("{why:?}")),
    };
    let mut catalog = Catalog::default();
    let mut tasks = vec![acting("holder", &[], holder), acting("leaver", &[], leaver)];
    tasks.extend((0..50).map(|i| acting(&format!("next{i}"), &["holder", "leaver"], next)));
    catalog.add(sketch::library("x"), tasks);
    let (_, summary) = execute(catalog, &Case::with_workers(2), &channel::never());
    assert_eq!(summary.counts.get(Outcome::Passed), 52);
}

/// Tasks that nothing is special about but their priority: for each what it comes after, and that.
#[derive(Clone, Debug)]
struct Plain(Vec<(Vec<usize>, i32)>);

fn shapes() -> impl Strategy<Value = Plain> {
    let after = |shape: usize, width: usize, task: usize, random: usize| match shape {
        // All side by side, and a tree to its root: the dependencies of that one are declared behind it.
        2 | 4 => Vec::new(),
        _ if task == 0 => Vec::new(),
        0 => vec![task - 1],
        // Layers of so many tasks, each of which comes after all of a few of the layer below.
        1 => (0..3)
            .filter_map(|step| (task / width * width).checked_sub(1 + (random + step) % width))
            .collect(),
        // A tree from its root.
        3 => vec![(task - 1) / 2],
        _ => (0..random % 3)
            .map(|step| random / 3 % task / (step + 1))
            .collect(),
    };
    let randoms = prop::collection::vec(
        (any::<u16>(), prop_oneof![9 => Just(0), 1 => -2..3]),
        1..12_000,
    );
    (0..6_usize, 1..200_usize, any::<bool>(), randoms).prop_map(
        move |(shape, width, with_priorities, randoms)| {
            let count = randoms.len();
            let task = |(task, (random, priority)): (usize, (u16, i32))| {
                let mut after = after(shape, width, task, usize::from(random));
                if shape == 4 {
                    let children = [2 * task + 1, 2 * task + 2];
                    after.extend(children.into_iter().filter(|child| *child < count));
                }
                after.sort_unstable();
                after.dedup();
                (after, if with_priorities { priority } else { 0 })
            };
            Plain(randoms.into_iter().enumerate().map(task).collect())
        },
    )
}

impl Plain {
    /// Their order, one at a time: the highest priority first, then the longest chain of dependents, then as declared.
    fn order(&self) -> Vec<usize> {
        let count = self.0.len();
        let mut left: Vec<_> = self.0.iter().map(|(after, _)| after.len()).collect();
        let mut dependents = vec![Vec::new(); count];
        for (task, (after, _)) in self.0.iter().enumerate() {
            for &dependency in after {
                dependents[dependency].push(task);
            }
        }
        let take = |chains: &[usize], left: &mut [usize]| {
            let key = |task: usize| {
                (
                    std::cmp::Reverse(self.0[task].1),
                    std::cmp::Reverse(chains[task]),
                    task,
                )
            };
            let mut ready: std::collections::BTreeSet<_> = (0..count)
                .filter(|task| left[*task] == 0)
                .map(key)
                .collect();
            let mut order = Vec::new();
            while let Some((.., task)) = ready.pop_first() {
                order.push(task);
                for &dependent in &dependents[task] {
                    left[dependent] -= 1;
                    if left[dependent] == 0 {
                        ready.insert(key(dependent));
                    }
                }
            }
            order
        };
        let mut chains = vec![1; count];
        for task in take(&chains, &mut left.clone()).into_iter().rev() {
            for &dependency in &self.0[task].0 {
                chains[dependency] = chains[dependency].max(chains[task] + 1);
            }
        }
        take(&chains, &mut left)
    }

    fn run(&self, workers: usize) -> (Vec<Event>, Summary) {
        let tasks = self.0.iter().enumerate().map(|(index, (after, priority))| {
            let after: Vec<_> = after.iter().map(|task| format!("t{task}")).collect();
            let after: Vec<_> = after.iter().map(String::as_str).collect();
            let options = crate::task::Options {
                priority: *priority,
                ..Default::default()
            };
            Task {
                options: (*priority != 0).then(|| Arc::new(options)),
                ..sketch::task(0, &format!("t{index}"), &after)
            }
        });
        let mut catalog = Catalog::default();
        catalog.add(sketch::library("x"), tasks);
        execute(catalog, &Case::with_workers(workers), &channel::never())
    }

    /// Each begins once, after all that it comes after, by the order of the events and by their times; and ends once.
    fn check(&self, workers: usize, events: &[Event]) {
        let mut begins = vec![None; self.0.len()];
        let mut ends = vec![None; self.0.len()];
        let mut busy = vec![false; workers];
        let mut done = 0;
        for event in events {
            match event {
                Event::Started {
                    task,
                    worker,
                    attempt: 1,
                    at,
                } => {
                    let task = task.index();
                    assert!(begins[task].replace(*at).is_none(), "t{task} begins twice");
                    assert!(!std::mem::replace(&mut busy[*worker], true));
                    for dependency in &self.0[task].0 {
                        let end = ends[*dependency];
                        assert!(
                            end.is_some_and(|end| end <= *at),
                            "t{task} before t{dependency}"
                        );
                    }
                }
                Event::Finished(finished) => {
                    let task = finished.task.index();
                    done += 1;
                    assert_eq!((finished.done, finished.planned), (done, self.0.len()));
                    assert_eq!(finished.outcome, Outcome::Passed);
                    assert!(begins[task].is_some_and(|begin| begin <= finished.at));
                    assert!(
                        ends[task].replace(finished.at).is_none(),
                        "t{task} ends twice"
                    );
                    assert!(std::mem::replace(
                        &mut busy[finished.worker.unwrap()],
                        false
                    ));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(done, self.0.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn thousands_of_plain_tasks_run_in_their_order(
        tasks in shapes(),
        workers in prop_oneof![8 => Just(1_usize), 8 => Just(2), 4 => Just(3), 2 => Just(64), 1 => Just(1000)],
    ) {
        let (events, summary) = tasks.run(workers);
        tasks.check(workers, &events);
        prop_assert_eq!(summary.counts.get(Outcome::Passed), tasks.0.len());
        if workers == 1 {
            prop_assert_eq!(started(&events), tasks.order());
        }
    }
}
