//! What tasks can declare and ask for, one by one, with closures for tasks: timeouts, retries, waiting for other tasks.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::sync::{Barrier, Mutex};

use proptest::prelude::*;

use super::reference;
use super::tests::{Case, Recorder, execute_with, run_of};
use super::*;
use crate::event::{Cause, Finished};
use crate::exit::Exit;
use crate::graph::sketch;
use crate::task::{
    Caller, Cancel, Condition, Declined, Ending, Lock, Options, Outcome, Refused, Task, TaskId,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Waves, locks, conditions, retries and tasks that are started at run time, in any combination.
    #[test]
    fn a_run_agrees_with_the_reference_of_the_whole_language(case in reference::cases()) {
        let events = play(&case);
        let complaints = reference::check(&case, &events);
        prop_assert_eq!(complaints, Vec::<String>::new());
        let told = reference::Expected::of_events(&case, &events);
        prop_assert_eq!(told, reference::expected(&case));
    }
}

/// The run of a case: each body does what its spec says.
fn play(case: &reference::Case) -> Vec<Event> {
    let mut catalog = Catalog::default();
    let tasks = case.tasks.iter().enumerate().map(|(index, spec)| {
        let after: Vec<_> = spec.after.iter().map(|task| format!("t{task}")).collect();
        let after: Vec<_> = after.iter().map(String::as_str).collect();
        let options = Options {
            wave: spec.wave,
            locks: spec.locks.clone().into(),
            condition: spec.condition,
            priority: spec.priority,
            exclusive: spec.exclusive,
            retries: spec.retries,
            ..Options::default()
        };
        let spec = spec.clone();
        let body = move |host: &Caller<'_>| {
            if spec.asks {
                host.lock(host.name()).unwrap();
            }
            for task in &spec.runs {
                let _ = host.wait(&format!("t{task}"));
            }
            match spec.end(host.attempt()) {
                Outcome::Passed => Ending::Passed(None),
                Outcome::Skipped => Ending::Skipped("".into()),
                _ => Ending::failed("on purpose"),
            }
        };
        Task {
            action: Arc::new(body),
            options: Some(Arc::new(options)),
            ..sketch::task(0, &format!("t{index}"), &after)
        }
    });
    catalog.add(sketch::library("x"), tasks);
    let bench = Bench {
        catalog,
        workers: case.workers,
        limits: Limits {
            slow: None,
            ..Limits::default()
        },
        selected: None,
        given: None,
    };
    let planned = (0..case.tasks.len()).filter(|task| case.tasks[*task].planned);
    let rules = Rules {
        skip_deps: case.skip_deps,
        max_fail: NonZeroUsize::new(case.max_fail),
        retries: None,
        once: None,
    };
    bench
        .run_with(Some(planned.map(TaskId::new).collect()), rules)
        .0
}

/// A task: its name with what it comes after, as `sketch` has it; what it declares; what it does.
type Body = Box<dyn Fn(&Caller<'_>) -> Ending + Send + Sync>;

struct Bench {
    catalog: Catalog,
    workers: usize,
    limits: Limits,
    selected: Option<&'static str>,
    /// A task whose result was given.
    given: Option<&'static str>,
}

impl Bench {
    fn new(words: &str) -> Self {
        Self {
            catalog: sketch::catalog(words),
            workers: 2,
            limits: Limits {
                grace: Duration::from_millis(20),
                slow: None,
                ..Limits::default()
            },
            selected: None,
            given: None,
        }
    }

    fn task(&mut self, name: &str, options: Options, body: Body) -> &mut Self {
        let ids = self.catalog.ids();
        let id = ids.into_iter().find(|id| self.catalog.name(*id) == name);
        let task = self.catalog.task_mut(id.expect("a task of that name"));
        task.options = Some(Arc::new(options));
        task.action = Arc::from(body);
        self
    }

    fn run(self) -> (Vec<Event>, Summary) {
        let chosen = self.selected.map(|selected| {
            let chosen = self.catalog.ids().filter(|id| {
                let mut names = selected.split_whitespace();
                names.any(|name| self.catalog.name(*id) == name)
            });
            chosen.collect()
        });
        self.run_with(chosen, Rules::default())
    }

    fn run_with(self, chosen: Option<Vec<TaskId>>, rules: Rules) -> (Vec<Event>, Summary) {
        let case = Case::with_workers(self.workers);
        let limits = self.limits;
        let mut run = run_of(self.catalog, &case);
        (run.limits, run.rules) = (limits, rules);
        if let Some(chosen) = chosen {
            let graph = Graph::new(&run.catalog, &run.links, chosen);
            run.graph = Arc::new(graph.expect("no cycle"));
        }
        if let Some(name) = self.given {
            let mut ids = run.catalog.ids();
            let id = ids.find(|id| run.catalog.name(*id) == name);
            run.results
                .set(id.expect("a task of that name"), "1".into());
        }
        let events = Arc::default();
        let mut recorder = Recorder(Arc::clone(&events));
        let never = crossbeam::channel::never();
        let summary = execute_with(run, &mut recorder, &never, |_| ());
        let events = std::mem::take(&mut *events.lock().unwrap());
        (events, summary)
    }
}

fn finished(events: &[Event], task: usize) -> &Finished {
    let mut finished = events.iter().filter_map(|event| match event {
        Event::Finished(finished) if finished.task == TaskId::new(task) => Some(finished),
        _ => None,
    });
    let first = finished.next().expect("it has ended");
    assert!(finished.next().is_none(), "once");
    first
}

fn outcome(events: &[Event], task: usize) -> Outcome {
    finished(events, task).outcome
}

/// Says what went wrong, in a task of its own.
fn expect(fine: bool, what: &str) -> Ending {
    if fine {
        Ending::Passed(None)
    } else {
        Ending::failed(what)
    }
}

fn timeout(milliseconds: u64) -> Options {
    Options {
        timeout: Some(Duration::from_millis(milliseconds)),
        ..Options::default()
    }
}

/// Returns when the task is asked to stop.
fn until_cancelled(host: &Caller<'_>) {
    let (cancelled, wait) = mpsc::channel();
    host.when_cancelled(Box::new(move |cancel| {
        let _ = cancelled.send(cancel);
    }));
    assert_eq!(wait.recv(), Ok(Cancel::Asked));
    assert!(host.cancelled());
}

#[test]
fn a_task_that_heeds_its_timeout_has_timed_out_whatever_it_says() {
    let mut bench = Bench::new("a b<a c");
    let body = |host: &Caller<'_>| {
        until_cancelled(host);
        Ending::Passed(Some("1".into()))
    };
    bench.task("a", timeout(10), Box::new(body));
    bench.limits.grace = Duration::from_secs(3600);
    let (events, summary) = bench.run();
    assert_eq!(outcome(&events, 0), Outcome::TimedOut);
    let cause = finished(&events, 0).cause.as_deref();
    let expected = Cause::TimedOut {
        limit: Duration::from_millis(10),
        still_running: false,
        failure: None,
    };
    assert_eq!(cause, Some(&expected));
    assert_eq!(finished(&events, 0).result, None);
    assert_eq!(outcome(&events, 1), Outcome::Skipped);
    assert_eq!(outcome(&events, 2), Outcome::Passed);
    assert_eq!((summary.abandoned, summary.exit()), (0, Exit::Failed));
}

#[test]
fn a_task_that_never_ends_is_given_up_with_its_locks_and_replaced() {
    let mut bench = Bench::new("stuck<root needs<root reads<root other<root after<needs root");
    bench.workers = 1;
    let (leave, left) = mpsc::channel::<()>();
    let (late, told) = mpsc::channel();
    let left = Mutex::new(left);
    let stuck = move |host: &Caller<'_>| {
        assert_eq!(host.lock("z"), Ok(()));
        let _ = left.lock().unwrap().recv(); // until the run is over
        let refused = host.set_state("x", None).err();
        let _ = late.send((host.is_over(), host.cancelled(), host.lock("y"), refused));
        Ending::Passed(None)
    };
    let locks = |names: &[&str], timeout: Option<u64>| Options {
        locks: names.iter().map(|name| Lock::parse(name)).collect(),
        timeout: timeout.map(Duration::from_millis),
        ..Options::default()
    };
    let first = Options {
        priority: 1,
        ..locks(&["db"], Some(10))
    };
    bench.task("stuck", first, Box::new(stuck));
    let pass = |_: &Caller<'_>| Ending::Passed(None);
    bench.task("needs", locks(&["db:r"], None), Box::new(pass));
    let reads = |host: &Caller<'_>| {
        let refused = host.lock("z") == Err(Refused::Deadlock);
        expect(refused, "z is held by a task that never ends")
    };
    bench.task("reads", locks(&[], None), Box::new(reads));
    let (events, summary) = bench.run();
    assert_eq!(outcome(&events, 0), Outcome::TimedOut);
    let cause = finished(&events, 1).cause.as_deref();
    let expected = Cause::Locked {
        lock: "db".into(),
        holder: TaskId::new(0),
    };
    assert_eq!(outcome(&events, 1), Outcome::NotRun);
    assert_eq!(cause, Some(&expected));
    assert_eq!(outcome(&events, 2), Outcome::Passed);
    assert_eq!(
        outcome(&events, 3),
        Outcome::Passed,
        "on a thread of its own"
    );
    assert_eq!(outcome(&events, 4), Outcome::Skipped);
    assert_eq!((summary.abandoned, summary.exit()), (1, Exit::Failed));
    drop(leave);
    let (over, cancelled, lock, _) = told.recv().unwrap();
    assert_eq!((over, cancelled, lock), (true, true, Err(Refused::Stale)));
}

#[test]
fn attempts_are_counted_and_kept() {
    let mut bench = Bench::new("a b<a");
    let options = Options {
        retries: 3,
        retry_delay: Duration::from_millis(1),
        ..Options::default()
    };
    let body = |host: &Caller<'_>| match host.attempt() {
        3 => Ending::Passed(None),
        attempt => Ending::failed(format!("no {attempt}")),
    };
    bench.task("a", options, Box::new(body));
    let (events, summary) = bench.run();
    let finished = finished(&events, 0);
    assert!(finished.is_flaky());
    let causes: Vec<_> = finished.attempts.iter().map(|a| &a.cause).collect();
    let no = |message: &str| {
        let mut causes = causes.iter();
        causes.any(|cause| matches!(cause, Cause::Failure(f) if *f.message == *message))
    };
    assert!(no("no 1") && no("no 2") && causes.len() == 2);
    assert_eq!((summary.flaky, summary.exit()), (1, Exit::Passed));
    assert_eq!(outcome(&events, 1), Outcome::Passed);
}

#[test]
fn one_worker_is_enough_to_wait_for_other_tasks() {
    let mut bench = Bench::new("a b<c c d<b");
    bench.workers = 1;
    bench.selected = Some("a");
    let body = |host: &Caller<'_>| {
        host.start("c").unwrap();
        host.wait("d").unwrap();
        expect(host.result("d").is_some(), "no result")
    };
    bench.task("a", Options::default(), Box::new(body));
    let result = |_: &Caller<'_>| Ending::Passed(Some("1".into()));
    bench.task("d", Options::default(), Box::new(result));
    let (events, summary) = bench.run();
    assert_eq!((summary.planned, summary.exit()), (4, Exit::Passed));
    assert_eq!(finished(&events, 0).planned, 4);
    let words = events.iter().filter_map(|event| match event {
        Event::Started { task, worker, .. } => Some(format!("+{}@{worker}", task.index())),
        Event::Finished(finished) => Some(format!("-{}", finished.task.index())),
        Event::Paused { task, .. } => Some(format!("..{}", task.index())),
        Event::Resumed { task, worker, .. } => Some(format!("!{}@{worker}", task.index())),
        Event::Planned(tasks) => Some(format!("*{}", tasks.len())),
        _ => None,
    });
    let words: Vec<_> = words.collect();
    let expected = "+0@0 *1 *2 ..0 +2@0 -2 +1@0 -1 +3@0 -3 !0@0 -0";
    assert_eq!(words.join(" "), expected);
}

#[test]
fn a_wait_tells_how_it_ended() {
    let mut bench = Bench::new("a fails blocked<fails ok locked late@1");
    bench.selected = Some("a");
    let body = |host: &Caller<'_>| {
        let why = |task: &str| match host.wait(task) {
            Ok(()) => "ok".to_owned(),
            Err(Declined { refused, why }) => format!("{refused:?}: {why}"),
        };
        let told = ["ok", "fails", "blocked", "fials", "a", "locked", "late"].map(why);
        let expected = [
            "ok",
            "Failed: `fails` failed",
            "Failed: `blocked` was skipped",
            "NotFound: no task of `libx.so` matches `fials`; did you mean `fails`?",
            "Deadlock: `a` cannot wait for itself",
            "Deadlock: waiting for `locked` would never end: it needs the lock `db`, which `a` holds",
            "Deadlock: waiting for `late` would never end: wave 1 starts when `a` has ended",
        ];
        expect(told == expected, &told.join("; "))
    };
    let locked = || Options {
        locks: [Lock::parse("db")].into(),
        ..Options::default()
    };
    bench.task("a", locked(), Box::new(body));
    bench.task("locked", locked(), Box::new(|_| Ending::Passed(None)));
    bench.task(
        "fails",
        Options::default(),
        Box::new(|_| Ending::failed("no")),
    );
    let (events, summary) = bench.run();
    let cause = finished(&events, 0).cause.clone();
    assert_eq!(cause, None);
    assert_eq!((summary.planned, summary.exit()), (6, Exit::Failed));
}

#[test]
fn a_tree_of_waiting_tasks_needs_no_more_than_its_workers() {
    for workers in [1, 3] {
        let names: Vec<_> = (1..64).map(|i| format!("t{i}")).collect();
        let mut bench = Bench::new(&names.join(" "));
        bench.workers = workers;
        bench.selected = Some("t1");
        let running = Arc::new(AtomicUsize::new(0));
        for i in 1..64_usize {
            let running = Arc::clone(&running);
            let body = move |host: &Caller<'_>| {
                let inside = |by: isize| {
                    let order = std::sync::atomic::Ordering::SeqCst;
                    running
                        .fetch_add(by.cast_unsigned(), order)
                        .wrapping_add_signed(by)
                };
                if inside(1) > workers {
                    return Ending::failed("too many run");
                }
                let children = [2 * i, 2 * i + 1].map(|child| format!("t{child}"));
                if 2 * i < 64 {
                    for child in &children {
                        host.start(child).unwrap();
                    }
                    inside(-1);
                    for child in &children {
                        host.wait(child).unwrap();
                    }
                    inside(1);
                }
                inside(-1);
                Ending::Passed(None)
            };
            bench.task(&format!("t{i}"), Options::default(), Box::new(body));
        }
        let (_, summary) = bench.run();
        assert_eq!(summary.planned, 63);
        assert_eq!(summary.counts.get(Outcome::Passed), 63);
    }
}

#[test]
fn a_worker_that_waits_for_a_lock_of_a_waiting_task_makes_room() {
    let mut bench = Bench::new("a b c");
    bench.workers = 1;
    bench.selected = Some("a b");
    let a = |host: &Caller<'_>| {
        host.lock("x").unwrap();
        host.wait("c").unwrap(); // b is taken first, and waits for the lock
        Ending::Passed(None)
    };
    bench.task("a", Options::default(), Box::new(a));
    let b = |host: &Caller<'_>| expect(host.lock("x").is_ok(), "no lock");
    bench.task("b", Options::default(), Box::new(b));
    let (_, summary) = bench.run();
    assert_eq!(summary.counts.get(Outcome::Passed), 3);
}

#[test]
fn a_timeout_ends_what_a_task_waits_for() {
    let mut bench = Bench::new("a b");
    bench.selected = Some("a");
    let gate = Arc::new(Barrier::new(2));
    let (told, hear) = mpsc::channel();
    let (waits, release) = (Arc::clone(&gate), gate);
    let a = move |host: &Caller<'_>| {
        let declined = host.wait("b").unwrap_err();
        told.send(declined.refused).unwrap();
        release.wait();
        Ending::Passed(None)
    };
    bench.task("a", timeout(10), Box::new(a));
    let b = move |_: &Caller<'_>| {
        waits.wait();
        Ending::Passed(None)
    };
    bench.task("b", Options::default(), Box::new(b));
    bench.limits.grace = Duration::from_secs(3600);
    let (events, _) = bench.run();
    assert_eq!(hear.recv(), Ok(Refused::Cancelled));
    assert_eq!(outcome(&events, 0), Outcome::TimedOut);
    assert_eq!(outcome(&events, 1), Outcome::Passed);
}

#[test]
fn the_run_has_a_time_too() {
    let mut bench = Bench::new("a b<a clean<a");
    let body = |host: &Caller<'_>| {
        until_cancelled(host);
        Ending::failed("stopped")
    };
    bench.task("a", Options::default(), Box::new(body));
    let always = Options {
        condition: Condition::Always,
        ..Options::default()
    };
    let clean = |host: &Caller<'_>| expect(!host.cancelled(), "it may clean up");
    bench.task("clean", always, Box::new(clean));
    bench.limits.run_timeout = Some(Duration::from_millis(20));
    bench.limits.grace = Duration::from_secs(3600);
    let (events, summary) = bench.run();
    assert_eq!(outcome(&events, 0), Outcome::Cancelled);
    assert_eq!(outcome(&events, 1), Outcome::NotRun);
    assert_eq!(outcome(&events, 2), Outcome::Passed);
    assert_eq!(summary.errors[0].id(), "run.timeout");
    assert_eq!(summary.exit(), Exit::Failed);
}

#[test]
fn a_run_that_does_not_end_in_its_time_is_given_up() {
    let mut bench = Bench::new("a b<a");
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let (late, was_late) = mpsc::channel();
    let body = move |host: &Caller<'_>| {
        let _ = left.lock().unwrap().recv();
        late.send(host.is_over()).unwrap();
        Ending::Passed(None)
    };
    bench.task("a", Options::default(), Box::new(body));
    bench.limits.run_timeout = Some(Duration::from_millis(20));
    let (torn_down, teardown) = mpsc::channel();
    bench.catalog.libraries[0].teardown = Some(Arc::new(move |host: &Caller<'_>| {
        torn_down.send(host.is_over()).unwrap();
        Ending::Passed(None)
    }));
    let (events, summary) = bench.run();
    assert_eq!(outcome(&events, 0), Outcome::Cancelled);
    assert_eq!((summary.abandoned, summary.exit()), (1, Exit::Failed));
    assert_eq!(teardown.try_recv(), Ok(false), "teardown counts");
    drop(leave);
    assert_eq!(was_late.recv(), Ok(true), "what was given up does not");
}

#[test]
fn a_slow_task_is_named_while_it_runs() {
    let mut bench = Bench::new("a");
    bench.limits.slow = Some(Duration::from_millis(5));
    bench.limits.timeout = Some(Duration::from_millis(50));
    bench.limits.grace = Duration::from_secs(3600);
    let body = |host: &Caller<'_>| {
        until_cancelled(host);
        Ending::Passed(None)
    };
    bench.task("a", Options::default(), Box::new(body));
    let (events, _) = bench.run();
    let slow = events
        .iter()
        .any(|event| matches!(event, Event::Slow { .. }));
    assert!(slow);
}

#[test]
fn a_given_result_need_not_be_waited_for() {
    let mut bench = Bench::new("a b");
    bench.selected = Some("a");
    let body = |host: &Caller<'_>| {
        host.wait("b").unwrap();
        expect(host.result("b").is_some(), "no result")
    };
    bench.task("a", Options::default(), Box::new(body));
    bench.given = Some("b");
    let (_, summary) = bench.run();
    assert_eq!((summary.planned, summary.exit()), (1, Exit::Passed));
}

/// `a` holds a lock and waits for `c`, `b` keeps its place and waits for the lock, and what comes before `c` is exclusive.
#[test]
fn an_exclusive_task_makes_those_give_way_that_wait_for_a_lock() {
    let mut bench = Bench::new("a b free first<free alone<free c");
    bench.selected = Some("a b free first alone");
    bench.workers = 3;
    let priority = |priority: i32| Options {
        priority,
        ..Options::default()
    };
    let meet = Arc::new(Barrier::new(3));
    let [a_meets, b_meets] = [&meet, &meet].map(Arc::clone);
    let a = move |host: &Caller<'_>| {
        host.lock("x").unwrap();
        a_meets.wait();
        expect(host.wait("c").is_ok(), "c did not pass")
    };
    bench.task("a", priority(3), Box::new(a));
    let b = move |host: &Caller<'_>| {
        b_meets.wait();
        expect(host.lock("x").is_ok(), "no lock")
    };
    bench.task("b", priority(3), Box::new(b));
    // When this one runs, `alone` is ready, and nothing of lower rank is started any more.
    let first = move |_: &Caller<'_>| {
        meet.wait();
        // Most likely the others sleep by then; where they do not, the last of them makes way by itself.
        std::thread::sleep(Duration::from_millis(20));
        Ending::Passed(None)
    };
    bench.task("first", priority(3), Box::new(first));
    let alone = Options {
        exclusive: true,
        ..priority(1)
    };
    bench.task("alone", alone, Box::new(|_| Ending::Passed(None)));
    bench.task("c", priority(-1), Box::new(|_| Ending::Passed(None)));
    let (_, summary) = bench.run();
    assert_eq!(summary.counts.get(Outcome::Passed), 6);
}

#[test]
fn a_thread_of_an_earlier_attempt_has_no_part_in_the_next() {
    let mut bench = Bench::new("a b");
    let (told, hear) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (hear, released) = (Mutex::new(hear), Mutex::new(released));
    let first = Mutex::new(None);
    let a = move |host: &Caller<'_>| {
        if host.attempt() == 1 {
            let (stays, told) = (Arc::clone(host.host()), told.clone());
            *first.lock().unwrap() = Some(Arc::clone(host.host()));
            std::thread::spawn(move || {
                let _ = told.send(stays.wait("b").map_err(|declined| declined.refused));
            });
            std::thread::sleep(Duration::from_millis(10)); // most likely it waits by then
            return Ending::failed("again");
        }
        // Else it would wait for `b`, which ends when this task says so.
        let refused = hear.lock().unwrap().recv().unwrap();
        release.send(()).unwrap();
        host.lock("x").unwrap();
        let first = first.lock().unwrap().take().unwrap();
        let late = [first.unlock("x"), first.lock("y")];
        let unlocked = host.unlock("x");
        expect(
            refused == Err(Refused::Stale)
                && late == [Err(Refused::Stale); 2]
                && unlocked == Ok(()),
            "it counts",
        )
    };
    let options = Options {
        retries: 1,
        ..Options::default()
    };
    bench.task("a", options, Box::new(a));
    let b = move |_: &Caller<'_>| {
        let _ = released.lock().unwrap().recv();
        Ending::Passed(None)
    };
    bench.task("b", Options::default(), Box::new(b));
    let (_, summary) = bench.run();
    assert_eq!(summary.counts.get(Outcome::Passed), 2);
}

/// Both the task and a thread that it has made wait; there is one place.
#[test]
fn a_task_may_wait_on_two_threads() {
    for first in ["b", "c"] {
        let mut bench = Bench::new("a b c<b");
        bench.workers = 1;
        bench.selected = Some("a");
        let a = move |host: &Caller<'_>| {
            let other = Arc::clone(host.host());
            let (mine, others) = if first == "b" { ("b", "c") } else { ("c", "b") };
            let other = std::thread::spawn(move || other.wait(others).is_ok());
            let fine = host.wait(mine).is_ok();
            expect(other.join().unwrap() && fine, "not waited")
        };
        bench.task("a", Options::default(), Box::new(a));
        let (events, summary) = bench.run();
        assert_eq!(summary.counts.get(Outcome::Passed), 3);
        let mut running = 0;
        for event in &events {
            match event {
                Event::Started { .. } | Event::Resumed { .. } => running += 1,
                Event::Finished(_) | Event::Paused { .. } => running -= 1,
                _ => {}
            }
            assert!((0..=1).contains(&running));
        }
    }
}

/// The clock of the run may come before the call of the task can be found, however short the time is.
#[test]
fn a_task_hears_that_its_time_is_over_however_short_that_was() {
    for _ in 0..200 {
        let mut bench = Bench::new("a");
        let options = Options {
            timeout: Some(Duration::from_micros(1)),
            ..Options::default()
        };
        let body = |host: &Caller<'_>| {
            until_cancelled(host);
            Ending::failed("stopped")
        };
        bench.task("a", options, Box::new(body));
        bench.limits.grace = Duration::from_secs(3600);
        let (events, _) = bench.run();
        assert_eq!(outcome(&events, 0), Outcome::TimedOut);
    }
}

#[test]
fn an_attempt_that_stands_is_told_as_it_was() {
    let mut bench = Bench::new("a b<a");
    let (interrupt, stop) = crossbeam::channel::unbounded();
    let options = Options {
        retries: 1,
        retry_delay: Duration::from_secs(3600),
        ..Options::default()
    };
    let body = move |_: &Caller<'_>| Ending::failed("no");
    bench.task("a", options, Box::new(body));
    let mut run = run_of(bench.catalog, &Case::with_workers(1));
    run.limits = bench.limits;
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let mut recorder = OnRetry(Recorder(Arc::clone(&events)), interrupt);
    let _ = execute_with(run, &mut recorder, &stop, |_| ());
    let events = std::mem::take(&mut *events.lock().unwrap());
    let finished = finished(&events, 0);
    assert_eq!(
        (finished.outcome, finished.worker),
        (Outcome::Failed, Some(0))
    );
    assert_eq!(finished.attempts, []);
    let took = events.iter().find_map(|event| match event {
        Event::Retrying { attempt, .. } => Some(attempt.took),
        _ => None,
    });
    assert_eq!(took, Some(finished.took));
}

/// Stops the run between two attempts.
struct OnRetry(Recorder, crossbeam::channel::Sender<i32>);

impl Reporter for OnRetry {
    fn event(&mut self, briefing: &Briefing, event: &Event) -> std::io::Result<()> {
        if matches!(event, Event::Retrying { .. }) {
            self.1.send(2).unwrap();
        }
        self.0.event(briefing, event)
    }

    fn finish(&mut self, _: &Briefing, _: &Summary) -> std::io::Result<()> {
        Ok(())
    }
}

/// The task and a thread of another one's making do their last and their first thing at the same time.
#[test]
fn a_thread_that_asks_as_its_task_ends_does_not_bring_it_back() {
    const TASKS: usize = 3000;
    let mut catalog = Catalog::default();
    let last = Arc::new(Mutex::new(None));
    let tasks = (0..TASKS).map(|index| {
        let last = Arc::clone(&last);
        let action = move |host: &Caller<'_>| {
            *last.lock().unwrap() = Some((Arc::clone(host.hosts()), host.call()));
            for _ in 0..index % 100 {
                std::hint::spin_loop();
            }
            Ending::Passed(None)
        };
        Task {
            action: Arc::new(action),
            ..sketch::task(0, &format!("t{index}"), &[])
        }
    });
    catalog.add(sketch::library("x"), tasks);
    let over = AtomicUsize::new(0);
    let (events, _) = std::thread::scope(|scope| {
        let (last, over) = (&last, &over);
        scope.spawn(move || {
            while over.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                let asked = last.lock().unwrap().take();
                if let Some((hosts, call)) = asked {
                    drop(hosts.host(call));
                }
            }
        });
        let bench = Bench {
            catalog,
            ..Bench::new("")
        };
        let told = bench.run();
        over.store(1, std::sync::atomic::Ordering::Relaxed);
        told
    });
    let mut ended = vec![false; TASKS];
    for event in &events {
        match event {
            Event::Started { task, .. } => assert!(!ended[task.index()], "it had ended"),
            Event::Finished(finished) => ended[finished.task.index()] = true,
            _ => {}
        }
    }
    assert!(ended.into_iter().all(|ended| ended));
}

/// The first tasks begin while the other threads are made.
#[test]
fn tasks_that_are_added_while_threads_are_made_get_no_more_places() {
    const WORKERS: usize = 8;
    let names: Vec<_> = (0..10 * WORKERS).map(|i| format!("t{i}")).collect();
    let mut bench = Bench::new(&names.join(" "));
    bench.workers = WORKERS;
    bench.selected = Some("t0 t1 t2 t3 t4 t5 t6 t7");
    let running = Arc::new(AtomicUsize::new(0));
    for i in 0..10 * WORKERS {
        let running = Arc::clone(&running);
        let body = move |host: &Caller<'_>| {
            let order = std::sync::atomic::Ordering::SeqCst;
            let few = running.fetch_add(1, order) < WORKERS;
            if i < WORKERS {
                for other in 1..10 {
                    host.start(&format!("t{}", i + other * WORKERS)).unwrap();
                }
            }
            std::thread::sleep(Duration::from_millis(1));
            running.fetch_sub(1, order);
            expect(few, "too many run")
        };
        bench.task(&format!("t{i}"), Options::default(), Box::new(body));
    }
    let (_, summary) = bench.run();
    assert_eq!(summary.counts.get(Outcome::Passed), 10 * WORKERS);
}

/// There is nothing to do when it is given up, but later.
#[test]
fn the_place_of_a_task_that_was_given_up_is_used_again() {
    let mut bench = Bench::new("stuck long left<long right<long");
    let (leave, left) = mpsc::channel::<()>();
    let left = Mutex::new(left);
    let stuck = move |_: &Caller<'_>| {
        let _ = left.lock().unwrap().recv();
        Ending::Passed(None)
    };
    let first = Options {
        priority: 1,
        ..timeout(1)
    };
    bench.task("stuck", first, Box::new(stuck));
    let long = |_: &Caller<'_>| {
        std::thread::sleep(Duration::from_millis(200));
        Ending::Passed(None)
    };
    bench.task("long", Options::default(), Box::new(long));
    let met = Arc::new(AtomicUsize::new(0));
    for name in ["left", "right"] {
        let met = Arc::clone(&met);
        let both_come = move |_: &Caller<'_>| {
            met.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut looks = (0..5000).inspect(|_| std::thread::sleep(Duration::from_millis(1)));
            let together = looks.any(|_| met.load(std::sync::atomic::Ordering::SeqCst) == 2);
            expect(together, "it ran alone")
        };
        bench.task(name, Options::default(), Box::new(both_come));
    }
    let (_, summary) = bench.run();
    drop(leave);
    assert_eq!(summary.counts.get(Outcome::Passed), 3);
}
