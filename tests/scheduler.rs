//! The embedding API, from outside.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tdrun::event::{Briefing, Event};
use tdrun::report::Reporter;
use tdrun::{
    Declined, Exit, Level, Outcome, Refused, Scheduler, SchedulerError, Skip, Stop, Summary,
    TaskContext, skip,
};

/// Blocks a task until the test lets it go, or it is told to stop.
struct Gate {
    go: Mutex<Receiver<()>>,
    arrived: Sender<()>,
}

fn gate() -> (Arc<Gate>, Sender<()>, Receiver<()>) {
    let (open, go) = mpsc::channel();
    let (arrived, has_arrived) = mpsc::channel();
    let go = Mutex::new(go);
    (Arc::new(Gate { go, arrived }), open, has_arrived)
}

impl Gate {
    fn wait(&self) {
        self.arrived.send(()).unwrap();
        let _ = self.go.lock().unwrap().recv();
    }

    fn until_cancelled(&self, ctx: &TaskContext) {
        self.arrived.send(()).unwrap();
        while !ctx.cancelled() {
            thread::yield_now();
        }
    }
}

fn outcomes(summary: &Summary) -> Vec<String> {
    let tasks = summary.tasks().iter();
    let mut all: Vec<_> = tasks
        .map(|t| format!("{} {}", t.name(), t.outcome()))
        .collect();
    all.sort();
    all
}

fn why<'a>(summary: &'a Summary, task: &str) -> &'a str {
    summary.task(task).unwrap().why().unwrap()
}

#[test]
fn a_dependency_may_be_registered_after_its_dependent() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut scheduler = Scheduler::new();
    for (name, after) in [("c", vec!["b", "a", "b"]), ("b", vec!["a"]), ("a", vec![])] {
        let order = Arc::clone(&order);
        let note = move |ctx: &TaskContext| order.lock().unwrap().push(ctx.name().to_owned());
        scheduler.task(name, note).after(after);
    }
    let summary = scheduler.run().unwrap();
    assert!(summary.passed());
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c"]);
}

#[test]
fn what_comes_after_a_skipped_task_is_not_lost() {
    let mut scheduler = Scheduler::new();
    scheduler.task("a", |_| Err::<(), _>("boom"));
    scheduler.task("d", |_| ()).after(["c"]);
    scheduler.task("c", |_| ()).after(["a"]);
    let summary = scheduler.run().unwrap();
    assert_eq!(outcomes(&summary), ["a failed", "c skipped", "d skipped"]);
    assert_eq!(why(&summary, "a"), "boom");
    assert_eq!(why(&summary, "c"), "skipped: `a` did not pass");
    assert_eq!(
        why(&summary, "d"),
        "skipped: `c` did not pass, because of `a`"
    );
    assert_eq!(summary.exit(), Exit::Failed);
    assert_eq!(summary.planned(), summary.tasks().len());
}

#[test]
fn a_run_without_tasks_has_an_empty_summary() {
    let told = Arc::new(AtomicUsize::new(0));
    let mut scheduler = Scheduler::new();
    let (start, done) = (Arc::clone(&told), Arc::clone(&told));
    scheduler.on_scheduler_start(move |run| {
        assert_eq!((run.tasks, run.workers), (0, 0));
        start.fetch_add(1, Ordering::Relaxed);
    });
    scheduler.on_scheduler_done(move |_| {
        done.fetch_add(1, Ordering::Relaxed);
    });
    let summary = scheduler.run().unwrap();
    assert!(summary.passed());
    assert!(summary.tasks().is_empty());
    assert_eq!(told.load(Ordering::Relaxed), 2);
    assert!(Scheduler::new().start().unwrap().wait().passed());
}

#[test]
fn callbacks_come_in_order_on_one_thread() {
    let told: Arc<Mutex<Vec<(ThreadId, String)>>> = Arc::default();
    let mut scheduler = Scheduler::new();
    let tell = || {
        let told = Arc::clone(&told);
        move |text: String| {
            let here = thread::current().id();
            told.lock().unwrap().push((here, text));
        }
    };
    scheduler.workers(1);
    let say = tell();
    scheduler.on_scheduler_start(move |run| say(format!("start {} {}", run.tasks, run.workers)));
    let say = tell();
    scheduler.on_task_start(move |name| say(format!("{name} start")));
    let say = tell();
    scheduler.on_task_run(move |name, worker| say(format!("{name} run {worker}")));
    for nth in ["first", "second"] {
        let say = tell();
        scheduler.on_task_done(move |done| {
            let (count, total, why) = (done.count(), done.total(), done.why());
            let (name, outcome) = (done.name(), done.outcome());
            say(format!("{nth} {name} {outcome} {count}/{total} {why:?}"));
        });
    }
    let say = tell();
    scheduler.on_scheduler_done(move |summary| say(format!("done {}", summary.planned())));
    scheduler.task("a", |ctx| match ctx.attempt() {
        1 => Err("not yet"),
        _ => Ok(()),
    });
    for task in ["b", "c"] {
        scheduler.task(task, |_| Err::<(), _>("no")).after(["a"]);
    }
    scheduler.task("d", |_| ()).after(["b", "c"]);
    scheduler.retries(0);
    scheduler.task("e", |_| ()).after(["d"]).always();
    let _ = scheduler.run().unwrap();
    let told = told.lock().unwrap();
    let here = thread::current().id();
    assert!(told.iter().all(|(thread, _)| *thread == here));
    let expected = [
        "start 5 1",
        "a start",
        "a run 0",
        "first a failed 1/5 Some(\"not yet\")",
        "second a failed 1/5 Some(\"not yet\")",
    ];
    let texts: Vec<_> = told.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[..5], expected);
    assert_eq!(texts.last(), Some(&"done 5"));
    let starts = texts.iter().filter(|text| text.ends_with(" start"));
    assert_eq!(starts.collect::<Vec<_>>(), [&"a start", &"e start"]);
}

#[test]
fn a_retried_task_starts_once_and_runs_for_each_attempt() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut scheduler = Scheduler::new();
    let note = Arc::clone(&told);
    scheduler.on_task_start(move |name| note.lock().unwrap().push(format!("{name} start")));
    let note = Arc::clone(&told);
    scheduler.on_task_run(move |name, _| note.lock().unwrap().push(format!("{name} run")));
    let third = |ctx: &TaskContext| match ctx.attempt() {
        3 => Ok(7),
        n => Err(format!("attempt {n}")),
    };
    scheduler.task("a", third).retries(5);
    let summary = scheduler.run().unwrap();
    assert_eq!(
        *told.lock().unwrap(),
        ["a start", "a run", "a run", "a run"]
    );
    let a = summary.task("a").unwrap();
    assert!(a.is_flaky());
    assert_eq!(a.attempts(), 3);
    assert_eq!(a.earlier().collect::<Vec<_>>(), ["attempt 1", "attempt 2"]);
    assert_eq!(a.result::<u8>().unwrap(), 7);
    assert_eq!(summary.flaky(), 1);
    assert!(summary.passed());
}

#[test]
fn a_panic_in_a_callback_comes_out_where_the_run_is_waited_for() {
    let panicking = || {
        let mut scheduler = Scheduler::new();
        scheduler.workers(1);
        scheduler.on_task_done(|_| panic!("in a callback"));
        scheduler.on_scheduler_done(|_| unreachable!("nobody is called any more"));
        scheduler.task("a", |_| ());
        scheduler
            .task("b", |ctx| while !ctx.cancelled() {})
            .after(["a"]);
        scheduler.task("c", |_| ()).after(["b"]);
        scheduler
    };
    let text = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<&str>().unwrap();
    let run = thread::spawn(move || panicking().run().map(drop));
    assert_eq!(text(run.join().unwrap_err()), "in a callback");
    let waited = thread::spawn(move || drop(panicking().start().unwrap().wait()));
    assert_eq!(text(waited.join().unwrap_err()), "in a callback");
}

#[test]
fn a_panic_fails_its_task_and_only_that() {
    let mut scheduler = Scheduler::new();
    scheduler.task("text", |_| panic!("with {}", "words"));
    scheduler.task("number", |_| std::panic::panic_any(7));
    scheduler.task("fine", |_| ());
    let summary = scheduler.run().unwrap();
    assert_eq!(
        outcomes(&summary),
        ["fine passed", "number failed", "text failed"]
    );
    assert_eq!(why(&summary, "text"), "panicked: with words");
    assert_eq!(why(&summary, "number"), "panicked");
    let place = summary.task("number").unwrap().place().unwrap().to_string();
    assert!(place.starts_with("tests/scheduler.rs:"), "{place}");
}

#[test]
fn tasks_skip_themselves_by_value_through_boxes_and_by_unwinding() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    let mut scheduler = Scheduler::new();
    scheduler.task("value", |_| Err::<(), _>(Skip::new("by value")));
    scheduler.task("boxed", |_| Err::<(), Boxed>(Skip::new("in a box").into()));
    scheduler.task("thrown", |_| skip("by unwinding"));
    scheduler
        .task("after", |_| ())
        .after(["value", "boxed", "thrown"]);
    let summary = scheduler.run().unwrap();
    assert!(summary.passed());
    assert_eq!(summary.count(Outcome::Skipped), 3);
    assert_eq!(summary.count(Outcome::Passed), 1);
    assert_eq!(why(&summary, "value"), "by value");
    assert_eq!(why(&summary, "boxed"), "in a box");
    assert_eq!(why(&summary, "thrown"), "by unwinding");
}

#[test]
fn boxed_errors_tell_their_causes() {
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no port")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let mut scheduler = Scheduler::new();
    scheduler.task("a", |_| -> Result<u16, Box<dyn std::error::Error>> {
        Ok("x".parse().map_err(Outer)?)
    });
    scheduler.task("b", |_| {
        use anyhow::Context as _;
        "x".parse::<u16>().context("no port")
    });
    let summary = scheduler.run().unwrap();
    let cause = "invalid digit found in string";
    assert_eq!(why(&summary, "a"), format!("no port\ncaused by: {cause}"));
    assert_eq!(why(&summary, "b"), format!("no port: {cause}"));
}

type Build = fn(&mut Scheduler);
type Kind = fn(&SchedulerError) -> bool;

/// How to get it wrong, of which kind that is, and what is said.
const MISUSES: &[(Build, Kind, &str)] = &[
    (
        |s| {
            s.task("mail", |_| ()).after(["fetsh"]);
        },
        |e| matches!(e, SchedulerError::Unknown(_)),
        "error[graph.unknown]: `mail` comes after `fetsh`, which is no task of `scheduler` (tests/scheduler.rs:LINE)\n  did you mean `fetch`?",
    ),
    (
        |s| {
            s.task("fetch", |_| ());
        },
        |e| matches!(e, SchedulerError::Duplicate(_)),
        "error[graph.duplicate]: two tasks are called `fetch`: tests/scheduler.rs:LINE and tests/scheduler.rs:LINE",
    ),
    (
        |s| {
            s.task("[x]", |_| ()).choices("x", ["a", "fetch"]);
        },
        |e| matches!(e, SchedulerError::Duplicate(_)),
        "error[graph.duplicate]: two tasks are called `fetch`: tests/scheduler.rs:LINE and tests/scheduler.rs:LINE",
    ),
    (
        |s| {
            s.task("a", |_| ()).after(["a"]);
        },
        |e| matches!(e, SchedulerError::Cycle(_)),
        "error[graph.self]: `a` comes after itself (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a", |_| ()).after(["b"]);
            s.task("b", |_| ()).after(["a"]);
        },
        |e| matches!(e, SchedulerError::Cycle(_)),
        "error[graph.cycle]: the tasks wait for each other in a circle: `a` → `b` → `a`\n  `a` (tests/scheduler.rs:LINE)\n  `b` (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a,b", |_| ());
        },
        |e| matches!(e, SchedulerError::Name(_)),
        "error[task.name]: the name `a,b` of a task has a `,` (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a", |_| ()).tags([""]);
        },
        |e| matches!(e, SchedulerError::Name(_)),
        "error[task.name]: the tag `` of `a` is empty (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a", |_| ()).locks([":r"]);
        },
        |e| matches!(e, SchedulerError::Name(_)),
        "error[task.name]: `a` names a lock without a name (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a::[x", |_| ());
        },
        |e| matches!(e, SchedulerError::Template(_)),
        "error[template.name]: `a::[x` has a bracket without its other one (tests/scheduler.rs:LINE)",
    ),
    (
        |s| {
            s.task("a", |_| ()).choices("x", ["y"]);
        },
        |e| matches!(e, SchedulerError::Template(_)),
        "error[template.choices]: the choices of `x` in `a` are for no parameter of the name",
    ),
    (
        |s| {
            s.task("a::[x]", |_| ()).choices("x", ["y", "y"]);
        },
        |e| matches!(e, SchedulerError::Template(_)),
        "error[template.choices]: the choices of `x` in `a::[x]` have `y` twice",
    ),
    (
        |s| {
            s.only(["fetsh"]);
        },
        |e| matches!(e, SchedulerError::Selection(_)),
        "error[select.empty]: no task of `scheduler` matches `fetsh`\n  did you mean `fetch`?",
    ),
    (
        |s| {
            s.seed("fetsh", 1);
        },
        |e| matches!(e, SchedulerError::Unknown(_)),
        "error[result.unknown]: a result is given for `fetsh`, which is no task\n  did you mean `fetch`?",
    ),
    (
        |s| {
            s.state("_x", 1);
        },
        |e| matches!(e, SchedulerError::Value(_)),
        "error[state.reserved]: the state key `_x` is reserved\n  `results` and keys that begin with `_` belong to tdrun",
    ),
    (
        |s| {
            s.state("x", std::collections::HashMap::from([((1, 2), 3)]));
        },
        |e| matches!(e, SchedulerError::Value(_)),
        "error[state.json]: the state key `x` cannot be written as JSON: key must be a string",
    ),
    (
        |s| {
            s.workers(0);
        },
        |e| matches!(e, SchedulerError::Setting(_)),
        "error[usage.zero]: `workers` must not be 0",
    ),
    (
        |s| {
            s.task("a", |_| ()).timeout(Duration::ZERO);
        },
        |e| matches!(e, SchedulerError::Setting(_)),
        "error[usage.timeout]: the timeout of `a` is 0",
    ),
];

#[test]
fn misuse_is_an_error_before_anything_runs() {
    for (build, kind, expected) in MISUSES {
        let mut scheduler = Scheduler::new();
        scheduler.task("fetch", |_| unreachable!("nothing runs"));
        scheduler.on_scheduler_start(|_| unreachable!("nothing runs"));
        build(&mut scheduler);
        let error = scheduler.run().unwrap_err();
        assert!(kind(&error), "{error:?}");
        assert_eq!(without_lines(&error.to_string()), *expected);
    }
}

/// `tests/scheduler.rs:LINE` for every line.
fn without_lines(text: &str) -> String {
    let mut out = String::new();
    for (index, piece) in text.split("scheduler.rs:").enumerate() {
        if index > 0 {
            out.push_str("scheduler.rs:LINE");
        }
        let skipped = if index > 0 {
            piece.trim_start_matches(|c: char| c.is_ascii_digit())
        } else {
            piece
        };
        out.push_str(skipped);
    }
    out
}

#[test]
fn an_aborted_run_asks_its_tasks_to_stop_and_starts_nothing_more() {
    let (gate, _open, arrived) = gate();
    let mut scheduler = Scheduler::new();
    scheduler.workers(1);
    scheduler.task("runs", move |ctx| {
        gate.until_cancelled(ctx);
        Err::<(), _>("asked to stop")
    });
    scheduler.task("waits", |_| ());
    scheduler.task("cleans", |_| ()).after(["runs"]).always();
    let run = scheduler.start().unwrap();
    arrived.recv().unwrap();
    assert!(run.is_running());
    run.abort();
    let summary = run.wait();
    let expected = ["cleans passed", "runs cancelled", "waits not run"];
    assert_eq!(outcomes(&summary), expected);
    assert_eq!(why(&summary, "waits"), "the run was aborted");
    assert_eq!(summary.stopped(), Some(Stop::Aborted));
    assert_eq!(summary.exit(), Exit::Failed);
    assert_eq!(summary.abandoned(), 0);
}

#[test]
fn a_second_abort_gives_up_what_does_not_stop() {
    let (gate, open, arrived) = gate();
    let (late, was_late) = mpsc::channel();
    let mut scheduler = Scheduler::new();
    scheduler.task("deaf", move |ctx| {
        gate.wait();
        late.send(ctx.state().set("x", 1)).unwrap();
    });
    let run = scheduler.start().unwrap();
    arrived.recv().unwrap();
    run.abort();
    run.abort();
    let summary = run.wait();
    assert_eq!(outcomes(&summary), ["deaf cancelled"]);
    assert_eq!(summary.abandoned(), 1);
    drop(open);
    let refused = was_late.recv().unwrap().unwrap_err().refused;
    assert_eq!(refused, Refused::Stale);
    assert_eq!(summary.state_json("x"), None);
}

#[test]
fn a_dropped_handle_aborts_and_waits() {
    let (gate, _open, arrived) = gate();
    let (ended, has_ended) = mpsc::channel();
    let mut scheduler = Scheduler::new();
    scheduler.task("a", move |ctx| {
        gate.until_cancelled(ctx);
        ended.send(()).unwrap();
    });
    let run = scheduler.start().unwrap();
    arrived.recv().unwrap();
    drop(run);
    has_ended.try_recv().expect("it has ended by now");
}

#[test]
fn a_run_that_has_ended_is_not_running() {
    let (done, is_done) = mpsc::channel();
    let mut scheduler = Scheduler::new();
    scheduler.task("a", |_| ());
    scheduler.on_scheduler_done(move |_| done.send(()).unwrap());
    let run = scheduler.start().unwrap();
    is_done.recv().unwrap();
    while run.is_running() {
        thread::yield_now();
    }
    run.abort();
    assert!(run.wait().passed());
}

#[test]
fn results_are_typed_and_missing_ones_are_told() {
    let mut scheduler = Scheduler::new();
    scheduler.task("n", |_| 5);
    scheduler.task("nothing", |_| ());
    scheduler.task("optional", |ctx| ctx.result::<Option<u8>>("nothing"));
    scheduler.task("bad", |ctx| ctx.result::<String>("n").map(drop));
    scheduler.task("none", |ctx| ctx.result::<u8>("nothing").map(drop));
    scheduler.only(["*"]).workers(1);
    let summary = scheduler.run().unwrap();
    assert_eq!(summary.result::<u8>("n").unwrap(), 5);
    assert_eq!(summary.result::<()>("nothing"), Ok(()));
    assert_eq!(summary.result::<Option<u8>>("optional"), Ok(None));
    assert_eq!(
        why(&summary, "bad"),
        "the result of `n` does not fit `alloc::string::String`: invalid type: integer `5`, expected a string at line 1 column 1; the value is 5"
    );
    assert_eq!(
        why(&summary, "none"),
        "no result of `nothing`: it did not run, did not pass, or returned nothing"
    );
    let missing = summary.result::<u8>("nothing").unwrap_err();
    assert_eq!(missing.to_string(), "`nothing` has no result: it passed");
    let unknown = summary.result::<u8>("m").unwrap_err();
    assert_eq!(unknown.to_string(), "no task `m` was part of the run");
}

#[test]
fn one_task_alone_reads_a_seeded_result() {
    let mut scheduler = Scheduler::new();
    scheduler.task("fetch", |_| unreachable!("not selected"));
    let double = |ctx: &TaskContext| Ok::<_, Declined>(ctx.result::<u32>("fetch")? * 2);
    scheduler.task("double", double).after(["fetch"]);
    scheduler.only(["dou*"]).seed("fetch", 21);
    let summary = scheduler.run().unwrap();
    assert_eq!(summary.planned(), 1);
    assert_eq!(summary.result::<u32>("double"), Ok(42));
}

#[test]
fn with_deps_runs_what_the_selected_tasks_come_after() {
    let mut scheduler = Scheduler::new();
    scheduler.task("a", |_| ());
    scheduler.task("b", |_| ()).after(["a"]);
    scheduler.task("c", |_| ());
    scheduler.only(["b"]).with_deps();
    assert_eq!(
        outcomes(&scheduler.run().unwrap()),
        ["a passed", "b passed"]
    );
}

#[test]
fn threads_of_a_task_share_its_context() {
    fn add(ctx: &TaskContext) -> Result<(), Declined> {
        for _ in 0..50 {
            let next = |n: Option<u32>| n.unwrap_or(0) + 1;
            ctx.state().update("n", next)?;
        }
        Ok(())
    }
    let mut scheduler = Scheduler::new();
    for name in ["a", "b"] {
        scheduler.task(name, |ctx| {
            let clone = ctx.clone();
            let other = thread::spawn(move || add(&clone));
            add(ctx)?;
            other.join().expect("no panic")
        });
    }
    let summary = scheduler.run().unwrap();
    assert_eq!(summary.state::<u32>("n"), Ok(Some(200)));
}

#[test]
fn what_a_task_may_not_do_is_refused() {
    let mut scheduler = Scheduler::new();
    scheduler.task("a", |ctx| {
        let refused = |declined: Result<(), Declined>| declined.unwrap_err().refused;
        assert_eq!(refused(ctx.state().set("results", 1)), Refused::Denied);
        assert_eq!(refused(ctx.start("b")), Refused::NotFound);
        assert_eq!(refused(ctx.wait("a")), Refused::Deadlock);
        assert_eq!(refused(ctx.param("x")), Refused::NotFound);
        ctx.state().set("text", "five")?;
        let misfit = ctx.state().get::<u8>("text").unwrap_err();
        assert_eq!(misfit.refused, Refused::Argument);
        assert_eq!(ctx.state().swap("text", Some(&"four"), None), Ok(false));
        assert_eq!(ctx.state().swap("text", Some(&"five"), None), Ok(true));
        assert_eq!(ctx.state().get::<String>("text"), Ok(None));
        Ok::<_, Declined>(())
    });
    let summary = scheduler.run().unwrap();
    assert!(summary.passed(), "{summary:?}");
}

#[test]
fn a_context_that_outlives_its_task_is_stale() {
    let kept: Arc<Mutex<Option<TaskContext>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let mut scheduler = Scheduler::new();
    scheduler.task("a", move |ctx| {
        *keep.lock().unwrap() = Some(ctx.clone());
    });
    assert!(scheduler.run().unwrap().passed());
    let ctx = kept.lock().unwrap().take().unwrap();
    assert!(ctx.cancelled());
    assert_eq!(ctx.state().set("x", 1), Err(Refused::Stale.into()));
    assert_eq!(ctx.lock("x").unwrap_err().refused, Refused::Stale);
    assert_eq!(ctx.wait("a"), Err(Refused::Stale.into()));
}

#[test]
fn reporters_hear_all_until_they_cannot_write() {
    struct Notes(Arc<Mutex<Vec<String>>>, bool);
    impl Reporter for Notes {
        fn event(&mut self, _: &Briefing, event: &Event) -> io::Result<()> {
            if let Event::Logged { record, .. } = event {
                self.0.lock().unwrap().push(record.message.to_string());
                if self.1 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        }

        fn finish(&mut self, _: &Briefing, summary: &tdrun::event::Summary) -> io::Result<()> {
            let text = format!("{} planned", summary.planned);
            self.0.lock().unwrap().push(text);
            Ok(())
        }
    }
    let (whole, broken) = <(Arc<Mutex<Vec<String>>>, Arc<_>)>::default();
    let mut scheduler = Scheduler::new();
    scheduler.reporter(Notes(Arc::clone(&whole), false));
    scheduler.reporter(Notes(Arc::clone(&broken), true));
    scheduler.task("a", |ctx| {
        ctx.log(Level::Info, "one");
        ctx.log(Level::Warn, format_args!("{}", "two"));
    });
    assert!(scheduler.run().unwrap().passed());
    assert_eq!(*whole.lock().unwrap(), ["one", "two", "1 planned"]);
    assert_eq!(*broken.lock().unwrap(), ["one"]);
}

#[test]
fn a_declared_lock_and_one_that_is_asked_for_are_the_same() {
    let inside = Arc::new(AtomicUsize::new(0));
    let alone = |inside: &AtomicUsize| {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    let mut scheduler = Scheduler::new();
    scheduler.workers(4);
    for n in 0..20 {
        let counter = Arc::clone(&inside);
        scheduler
            .task(format!("declares {n}"), move |_| alone(&counter))
            .locks(["db"]);
        let counter = Arc::clone(&inside);
        scheduler.task(format!("asks {n}"), move |ctx| {
            let _guard = ctx.lock("db")?;
            alone(&counter);
            Ok::<_, Declined>(())
        });
    }
    let summary = scheduler.run().unwrap();
    assert_eq!(summary.count(Outcome::Passed), 40, "{summary:?}");
}

#[test]
fn a_run_that_takes_too_long_is_stopped() {
    // Long enough for the task to begin on a busy machine.
    const LIMIT: Duration = Duration::from_millis(500);
    let mut scheduler = Scheduler::new();
    scheduler.run_timeout(LIMIT);
    scheduler.task("a", |ctx| {
        while !ctx.cancelled() {
            thread::yield_now();
        }
        Err::<(), _>("stopped")
    });
    let summary = scheduler.run().unwrap();
    assert_eq!(outcomes(&summary), ["a cancelled"]);
    assert_eq!(summary.stopped(), Some(Stop::Timeout(LIMIT)));
    assert_eq!(summary.errors()[0].id(), "run.timeout");
    assert!(!summary.passed());
}

#[test]
fn a_task_that_times_out_is_told_so() {
    let mut scheduler = Scheduler::new();
    scheduler.timeout(Duration::from_millis(1));
    scheduler.task("a", |ctx| while !ctx.cancelled() {});
    let summary = scheduler.run().unwrap();
    assert_eq!(outcomes(&summary), ["a timed out"]);
    assert_eq!(why(&summary, "a"), "took longer than 1ms");
}

#[test]
fn after_the_first_failure_nothing_is_started() {
    let mut scheduler = Scheduler::new();
    scheduler.workers(1).fail_fast();
    scheduler.task("a", |_| Err::<(), _>("no"));
    scheduler.task("b", |_| ());
    let summary = scheduler.run().unwrap();
    assert_eq!(outcomes(&summary), ["a failed", "b not run"]);
}

#[test]
fn where_nothing_is_skipped_dependents_run_after_failures() {
    let mut scheduler = Scheduler::new();
    scheduler.skip_deps(false);
    scheduler.task("a", |_| Err::<(), _>("no"));
    scheduler.task("b", |_| ()).after(["a"]);
    assert_eq!(
        outcomes(&scheduler.run().unwrap()),
        ["a failed", "b passed"]
    );
}

#[test]
fn commands_and_closures_are_one_graph() {
    let mut scheduler = Scheduler::new();
    scheduler
        .shell("say", "echo $WORD")
        .env("WORD", "hello")
        .cwd("/");
    scheduler
        .task("read", |ctx| {
            let said: serde_json::Value = ctx.result("say")?;
            Ok::<_, Declined>(
                said["stdout"]
                    .as_str()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            )
        })
        .after(["say"]);
    scheduler.command("fails", ["false"]);
    scheduler.command("may fail", ["false"]).check(false);
    let summary = scheduler.run().unwrap();
    let expected = [
        "fails failed",
        "may fail passed",
        "read passed",
        "say passed",
    ];
    assert_eq!(outcomes(&summary), expected);
    assert_eq!(summary.result::<String>("read").unwrap(), "hello");
    assert_eq!(why(&summary, "fails"), "exited with status 1");
    let json: serde_json::Value = summary.result("fails").unwrap();
    assert_eq!(json["returncode"], 1);
}

#[test]
fn templates_make_a_task_for_each_combination_of_choices() {
    let mut scheduler = Scheduler::new();
    scheduler
        .task("[os]::test_[n]", |ctx| {
            Ok::<_, Declined>((ctx.param::<String>("os")?, ctx.param::<u8>("n")? + 1))
        })
        .choices("n", ["1", "2"])
        .choices("os", ["mac", "linux"]);
    let summary = scheduler.run().unwrap();
    let names: BTreeSet<_> = summary
        .tasks()
        .iter()
        .map(|t| t.name().to_owned())
        .collect();
    let expected = [
        "linux::test_1",
        "linux::test_2",
        "mac::test_1",
        "mac::test_2",
    ];
    assert_eq!(names, expected.map(String::from).into());
    let result = summary.result::<(String, u8)>("mac::test_2").unwrap();
    assert_eq!(result, ("mac".into(), 3));
}

#[test]
fn a_task_waits_for_another_one_on_a_single_worker() {
    let mut scheduler = Scheduler::new();
    scheduler.workers(1).only(["asks"]);
    scheduler.task("asks", |ctx| ctx.run::<u8>("answers"));
    scheduler.task("answers", |_| 42);
    let summary = scheduler.run().unwrap();
    assert_eq!(outcomes(&summary), ["answers passed", "asks passed"]);
    assert_eq!(summary.result::<u8>("asks"), Ok(42));
}

#[test]
fn schedulers_run_at_the_same_time_and_inside_of_each_other() {
    let meet = Arc::new(Barrier::new(2));
    let one = |meet: &Arc<Barrier>| {
        let meet = Arc::clone(meet);
        let mut scheduler = Scheduler::new();
        scheduler.workers(1);
        scheduler.task("meet", move |ctx| {
            meet.wait();
            ctx.state().update("n", |n: Option<u8>| n.unwrap_or(0) + 1)
        });
        scheduler.start().unwrap()
    };
    let (a, b) = (one(&meet), one(&meet));
    for run in [a, b] {
        assert_eq!(run.wait().state::<u8>("n"), Ok(Some(1)));
    }

    let mut outer = Scheduler::new();
    outer.workers(1);
    outer.task("outer", |_| {
        let mut inner = Scheduler::new();
        inner.workers(1);
        inner.task("outer", |ctx| ctx.run::<u8>("inner"));
        inner.task("inner", |_| 3);
        inner
            .run()
            .map(|summary| summary.result::<u8>("outer").unwrap())
    });
    assert_eq!(outer.run().unwrap().result::<u8>("outer"), Ok(3));
}

#[test]
fn a_task_of_an_inner_run_waits_for_one_of_the_outer_run() {
    let mut outer = Scheduler::new();
    outer.workers(1);
    outer.task("outer", |ctx| {
        let outer = ctx.clone();
        let mut inner = Scheduler::new();
        inner.workers(1);
        inner.task("inner", move |_| outer.run::<u8>("other"));
        let summary = inner.run().unwrap();
        summary.result::<u8>("inner")
    });
    outer.task("other", |_| 4);
    assert_eq!(outer.run().unwrap().result::<u8>("outer"), Ok(4));
}

#[test]
fn a_run_leaves_nothing_behind() {
    let alive = Arc::new(());
    for background in [false, true] {
        for _ in 0..3 {
            let mut scheduler = Scheduler::new();
            scheduler.timeout(Duration::from_secs(60));
            let held = Arc::clone(&alive);
            scheduler.task("a", move |_| drop(Arc::clone(&held)));
            let held = Arc::clone(&alive);
            scheduler.task("b", move |ctx| {
                drop(Arc::clone(&held));
                let _guard = ctx.lock("l")?;
                ctx.run::<()>("a")
            });
            let held = Arc::clone(&alive);
            scheduler
                .task("c", move |_| {
                    drop(Arc::clone(&held));
                    Err::<(), _>("no")
                })
                .retries(1);
            let held = Arc::clone(&alive);
            scheduler.on_task_done(move |_| drop(Arc::clone(&held)));
            let summary = if background {
                scheduler.start().unwrap().wait()
            } else {
                scheduler.run().unwrap()
            };
            assert_eq!(summary.count(Outcome::Passed), 2);
        }
    }
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_template_makes_no_more_tasks_than_can_be_meant() {
    let mut scheduler = Scheduler::new();
    let mut task = scheduler.task("[a]::[b]::[c]", |_| ());
    for name in ["a", "b", "c"] {
        task = task.choices(name, (0..200).map(|n| n.to_string()));
    }
    let error = scheduler.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "error[template.choices]: the choices of `[a]::[b]::[c]` make more than 1000000 tasks"
    );
}

/// Word for word what the README shows.
#[rustfmt::skip]
#[test]
#[allow(unused_qualifications, clippy::disallowed_macros, reason = "it stands on its own there")]
fn the_program_of_the_readme_runs() -> Result<(), Box<dyn std::error::Error>> {
let mut scheduler = tdrun::Scheduler::new();
scheduler.workers(2);
scheduler.task("fetch", |_| vec![3, 4]).retries(2).timeout(Duration::from_secs(30));
scheduler.task("total", |ctx| {
    let orders: Vec<u32> = ctx.result("fetch")?;
    Ok::<_, tdrun::Declined>(orders.iter().sum::<u32>())
}).after(["fetch"]);
scheduler.on_task_done(|done| eprintln!("{}: {}", done.name(), done.outcome()));
let summary = scheduler.run()?; // or start(), for a handle with wait, abort and is_running
assert_eq!(summary.result::<u32>("total")?, 7);
    Ok(())
}
