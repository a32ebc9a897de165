use std::time::Duration;

use super::*;
use crate::graph::sketch;
use crate::task::{Catalog, Lock};

struct Bench {
    catalog: Catalog,
    plan: Plan,
}

fn bench(words: &str, skip_deps: bool, max_fail: usize) -> Bench {
    let rules = Rules {
        skip_deps,
        max_fail: NonZeroUsize::new(max_fail),
        retries: None,
        once: None,
    };
    bench_of(sketch::catalog(words), rules)
}

/// The same, where tasks declare more: `name: options` each.
fn bench_with<const N: usize>(words: &str, options: [(&str, Options); N]) -> Bench {
    let mut catalog = sketch::catalog(words);
    for (name, options) in options {
        let id = catalog.ids().find(|id| catalog.name(*id) == name).unwrap();
        catalog.task_mut(id).options = Some(Arc::new(options));
    }
    bench_of(catalog, Rules::default())
}

fn bench_of(catalog: Catalog, rules: Rules) -> Bench {
    let graph = Arc::new(sketch::graph(&catalog).unwrap());
    let plan = Plan::new(&catalog, &graph, rules);
    Bench { catalog, plan }
}

impl Bench {
    fn id(&self, name: &str) -> TaskId {
        self.catalog
            .ids()
            .find(|id| self.catalog.name(*id) == name)
            .unwrap()
    }

    fn ids(&self, names: &str) -> Vec<TaskId> {
        names.split_whitespace().map(|name| self.id(name)).collect()
    }

    /// Whether a task may wait for others.
    fn wait(&mut self, name: &str, on: &str) -> Result<(), Refused> {
        let (task, on) = (self.id(name), self.ids(on));
        self.plan.wait(task, &on)
    }

    /// What can be taken now.
    fn take_all(&mut self) -> String {
        let taken: Vec<_> = std::iter::from_fn(|| self.plan.take()).collect();
        let names: Vec<_> = taken.iter().map(|task| self.name(*task)).collect();
        names.join(" ")
    }

    fn name(&self, task: TaskId) -> &str {
        self.catalog.task(task).name()
    }

    fn take(&mut self) -> String {
        let task = self.plan.take();
        task.map_or("-".into(), |task| self.name(task).into())
    }

    /// `b skipped <a` and the like, for each change.
    fn finish(&mut self, name: &str, outcome: Outcome) -> String {
        let task = self.id(name);
        match self.plan.finish(task, outcome) {
            After::Nothing => "late".into(),
            After::Retry { changes, .. } => format!("again {}", self.words(&changes)),
            After::Ended(changes) => self.words(&changes),
        }
    }

    fn words(&self, changes: &[Change]) -> String {
        let words = changes.iter().map(|change| match change {
            Change::Stopped(why) => format!("{why:?}"),
            Change::Settled(task, outcome, Cause::Blocked(chain)) => {
                let chain: Vec<_> = chain.iter().map(|t| self.name(*t)).collect();
                format!("{} {outcome} <{}", self.name(*task), chain.join("<"))
            }
            Change::Settled(task, outcome, _) => format!("{} {outcome}", self.name(*task)),
            Change::Stands(task, outcome) => format!("{} stays {outcome}", self.name(*task)),
            Change::Granted(ticket) => format!("granted {ticket}"),
            Change::Refused(ticket, why) => format!("refused {ticket}: {why:?}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// The order with one worker, all passing.
    fn order(&mut self) -> String {
        let mut order = Vec::new();
        while let Some(task) = self.plan.take() {
            order.push(self.name(task).to_owned());
            assert_eq!(
                self.plan.finish(task, Outcome::Passed),
                After::Ended(vec![])
            );
        }
        assert!(self.plan.is_over());
        order.join(" ")
    }
}

#[test]
fn the_longest_chain_goes_first_then_the_order_of_declaration() {
    for (tasks, order) in [
        ("a b c", "a b c"),
        ("a b c<b", "b a c"),
        ("z<y y<x x", "x y z"),
        ("a b<a c d<c e<d", "c a d b e"),
        ("d<c,b c<a b<a a", "a c b d"),
    ] {
        assert_eq!(bench(tasks, true, 0).order(), order, "{tasks}");
    }
}

#[test]
fn a_task_is_ready_when_its_last_dependency_has_ended() {
    let mut bench = bench("a b c<a,b", true, 0);
    assert_eq!(
        (bench.take(), bench.take(), bench.take()),
        ("a".into(), "b".into(), "-".into())
    );
    assert_eq!(bench.finish("a", Outcome::Passed), "");
    assert_eq!(bench.take(), "-");
    bench.finish("b", Outcome::Passed);
    assert_eq!(bench.take(), "c");
}

#[test]
fn dependents_of_a_failure_are_skipped_with_the_chain_of_causes() {
    let mut bench = bench("a b<a c<b d<c other", true, 0);
    bench.take();
    let skipped = "b skipped <a, c skipped <b<a, d skipped <c<b<a";
    assert_eq!(bench.finish("a", Outcome::Failed), skipped);
    assert_eq!(bench.plan.blocked(), 3);
    assert_eq!(bench.take(), "other");
}

#[test]
fn the_cause_is_the_first_declared_dependency_whichever_failed_first() {
    let mut bench = bench("a b c<b,a", true, 0);
    bench.take();
    bench.take();
    assert_eq!(bench.finish("b", Outcome::Failed), "");
    assert_eq!(bench.finish("a", Outcome::Failed), "c skipped <a");
}

#[test]
fn a_long_chain_of_causes_keeps_its_ends() {
    let mut bench = bench(
        "t0 t1<t0 t2<t1 t3<t2 t4<t3 t5<t4 t6<t5 t7<t6 t8<t7 t9<t8",
        true,
        0,
    );
    bench.take();
    let words = bench.finish("t0", Outcome::Failed);
    assert!(
        words.ends_with("t9 skipped <t8<t7<t6<t5<t4<t3<t2<t0"),
        "{words}"
    );
    assert!(
        words.contains("t8 skipped <t7<t6<t5<t4<t3<t2<t1<t0"),
        "{words}"
    );
}

#[test]
fn a_task_that_skips_itself_lets_its_dependents_run() {
    let mut bench = bench("a b<a", true, 0);
    bench.take();
    assert_eq!(bench.finish("a", Outcome::Skipped), "");
    assert_eq!(bench.take(), "b");
}

#[test]
fn without_skip_deps_a_failure_lets_its_dependents_run() {
    let mut bench = bench("a b<a", false, 0);
    bench.take();
    assert_eq!(bench.finish("a", Outcome::Failed), "");
    assert_eq!(bench.take(), "b");
}

#[test]
fn enough_failures_stop_the_rest() {
    let mut bench = bench("a b c d<a", true, 2);
    bench.take();
    bench.take();
    assert_eq!(bench.finish("a", Outcome::Failed), "d skipped <a");
    assert_eq!(bench.finish("b", Outcome::Failed), "MaxFail(2), c not run");
    assert_eq!(bench.take(), "-");
    assert!(bench.plan.is_over());
}

#[test]
fn a_stop_leaves_the_running_ones_alone_and_abandon_does_not() {
    let mut bench = bench("a b c<a d", true, 0);
    bench.take();
    bench.take();
    let changes = bench.plan.stop(Stop::Signal(2));
    assert_eq!(bench.words(&changes), "Signal(2), c not run, d not run");
    assert_eq!(bench.plan.running(), 2);
    assert_eq!(bench.finish("a", Outcome::Passed), "");
    let changes = bench.plan.abandon(Stop::Signal(2));
    assert_eq!(bench.words(&changes), "b cancelled");
    assert!(bench.plan.is_over());
    assert_eq!(bench.finish("b", Outcome::Passed), "late");
    assert_eq!(bench.plan.counts().get(Outcome::Cancelled), 1);
}

#[test]
fn a_plan_that_is_over_cannot_be_stopped() {
    let mut bench = bench("a", true, 0);
    bench.take();
    bench.finish("a", Outcome::Passed);
    assert_eq!(bench.plan.stop(Stop::Signal(2)), []);
    assert_eq!(bench.plan.stopped(), None);
}

fn locks(names: &[&str]) -> Options {
    Options {
        locks: names.iter().map(|name| Lock::parse(name)).collect(),
        ..Options::default()
    }
}

#[test]
fn priority_goes_before_the_chain() {
    let high = Options {
        priority: 1,
        ..Options::default()
    };
    let low = Options {
        priority: -1,
        ..Options::default()
    };
    let mut bench = bench_with(
        "a b<a c d<a e",
        [("d", high.clone()), ("e", high), ("a", low)],
    );
    assert_eq!(bench.order(), "e c a d b");
}

#[test]
fn a_lock_has_one_holder_or_several_that_share_it() {
    let options = [
        ("a", locks(&["db"])),
        ("b", locks(&["db:r"])),
        ("c", locks(&["db:r"])),
        ("d", locks(&["db"])),
    ];
    let mut bench = bench_with("a b c d", options);
    assert_eq!(bench.take_all(), "a");
    bench.finish("a", Outcome::Failed);
    assert_eq!(bench.take_all(), "b c");
    bench.finish("b", Outcome::Passed);
    assert_eq!(bench.take_all(), "");
    bench.finish("c", Outcome::Passed);
    assert_eq!(bench.take_all(), "d");
}

#[test]
fn locks_are_taken_all_or_none() {
    let options = [
        ("a", locks(&["x"])),
        ("b", locks(&["x", "y"])),
        ("c", locks(&["y"])),
        ("d", locks(&["x"])),
    ];
    let mut bench = bench_with("a b c d", options);
    assert_eq!(bench.take_all(), "a c", "b holds nothing while it waits");
    bench.finish("a", Outcome::Passed);
    assert_eq!(
        bench.take_all(),
        "d",
        "b was called for x and waits for y now"
    );
    bench.finish("c", Outcome::Passed);
    assert_eq!(bench.take_all(), "");
    bench.finish("d", Outcome::Passed);
    assert_eq!(bench.take_all(), "b");
}

#[test]
fn a_lock_goes_to_who_runs_and_waits_before_who_could_start() {
    let options = [("a", locks(&["x"])), ("c", locks(&["x"]))];
    let mut bench = bench_with("a b c", options);
    assert_eq!(bench.take_all(), "a b");
    let b = Owner::Task(bench.id("b"));
    let lock = Lock::parse("x");
    let asked = bench.plan.lock(b, &lock);
    assert_eq!(asked, Ok(Asked::Queued(0)));
    assert_eq!(bench.finish("a", Outcome::Passed), "granted 0");
    assert_eq!(bench.take_all(), "");
    assert_eq!(bench.plan.lock(b, &lock), Ok(Asked::Taken), "again");
    assert_eq!(bench.plan.unlock(b, "x"), Ok(vec![]));
    assert_eq!(bench.take_all(), "");
    assert_eq!(bench.plan.unlock(b, "x"), Ok(vec![]));
    assert_eq!(bench.take_all(), "c");
    assert_eq!(bench.plan.unlock(b, "x"), Err(Refused::NotFound));
}

#[test]
fn readers_come_in_together_and_a_writer_alone() {
    let mut bench = bench("a b c d", true, 0);
    assert_eq!(bench.take_all(), "a b c d");
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Owner::Task(bench.id(name)));
    let (shared, alone) = (Lock::parse("x:r"), Lock::parse("x"));
    assert_eq!(bench.plan.lock(a, &alone), Ok(Asked::Taken));
    for (ticket, (owner, lock)) in (0..).zip([(b, &shared), (c, &shared), (d, &alone)]) {
        assert_eq!(bench.plan.lock(owner, lock), Ok(Asked::Queued(ticket)));
    }
    assert_eq!(bench.finish("a", Outcome::Passed), "granted 0, granted 1");
    assert_eq!(bench.finish("b", Outcome::Passed), "");
    assert_eq!(bench.finish("c", Outcome::Passed), "granted 2");
}

#[test]
fn the_wait_for_a_lock_that_closes_a_circle_is_refused() {
    let mut bench = bench("a b c", true, 0);
    bench.take_all();
    for (owner, lock) in [("a", "x"), ("b", "y"), ("c", "z")] {
        assert_eq!(bench.ask(owner, lock), Ok(Asked::Taken));
    }
    assert_eq!(bench.ask("a", "y"), Ok(Asked::Queued(0)));
    assert_eq!(bench.ask("b", "z"), Ok(Asked::Queued(1)));
    assert_eq!(bench.ask("c", "x"), Err(Refused::Deadlock));
    assert_eq!(bench.finish("c", Outcome::Passed), "granted 1");
    assert_eq!(bench.finish("b", Outcome::Passed), "granted 0");
}

#[test]
fn ten_thousand_tasks_on_one_lock_take_turns_in_their_order() {
    let words: Vec<_> = (0..10_000).map(|i| format!("t{i}")).collect();
    let mut catalog = sketch::catalog(&words.join(" "));
    let options = Arc::new(locks(&["x"]));
    for id in catalog.ids() {
        catalog.task_mut(id).options = Some(Arc::clone(&options));
    }
    let mut bench = bench_of(catalog, Rules::default());
    for id in bench.catalog.ids() {
        assert_eq!(bench.plan.take(), Some(id));
        assert_eq!(bench.plan.take(), None);
        bench.plan.finish(id, Outcome::Passed);
    }
    assert!(bench.plan.is_over());
}

#[test]
fn an_exclusive_task_is_alone_and_nothing_overtakes_it() {
    let exclusive = Options {
        exclusive: true,
        ..Options::default()
    };
    let mut bench = bench_with("a b c", [("b", exclusive)]);
    assert_eq!(bench.take_all(), "a");
    bench.finish("a", Outcome::Passed);
    assert_eq!(bench.take_all(), "b");
    let b = bench.id("b");
    bench.plan.pause(b);
    assert_eq!(bench.take_all(), "c", "who waits does not run");
    assert!(!bench.plan.resume(b));
    bench.finish("c", Outcome::Passed);
    assert!(bench.plan.resume(b));
    bench.finish("b", Outcome::Passed);
    assert!(bench.plan.is_over());
}

#[test]
fn an_exclusive_task_does_not_wait_for_one_that_was_given_up() {
    let exclusive = Options {
        exclusive: true,
        ..Options::default()
    };
    let mut bench = bench_with("a b", [("b", exclusive)]);
    assert_eq!(bench.take_all(), "a");
    let a = bench.id("a");
    bench.plan.give_up(a, Outcome::TimedOut);
    assert_eq!(bench.take_all(), "b");
}

fn always() -> Options {
    Options {
        condition: Condition::Always,
        ..Options::default()
    }
}

#[test]
fn what_always_runs_does_not_mind_failures_or_a_stop() {
    let mut bench = bench_with("a b<a c<b d<c", [("c", always()), ("d", always())]);
    bench.take();
    assert_eq!(bench.finish("a", Outcome::Failed), "b skipped <a");
    assert_eq!(bench.take(), "c");

    let mut bench = bench_with(
        "a b<a c<b d<c e f<e",
        [("c", always()), ("d", always()), ("f", always())],
    );
    assert_eq!(bench.take(), "a");
    let changes = bench.plan.stop(Stop::Signal(2));
    let words = "Signal(2), b not run, c not run, d not run, e not run, f not run";
    assert_eq!(
        bench.words(&changes),
        words,
        "nothing that c cleans up after was started"
    );

    let mut bench = bench_with("a b<a c<b,a", [("b", always()), ("c", always())]);
    assert_eq!(bench.take(), "a");
    let changes = bench.plan.stop(Stop::Signal(2));
    assert_eq!(bench.words(&changes), "Signal(2)");
    bench.finish("a", Outcome::Cancelled);
    assert_eq!(bench.take(), "b");
    bench.finish("b", Outcome::Passed);
    assert_eq!(bench.take(), "c");
    let changes = bench.plan.abandon(Stop::Signal(2));
    assert_eq!(bench.words(&changes), "c cancelled");
    assert!(bench.plan.is_over());
}

#[test]
fn a_task_is_tried_again_as_often_as_it_declares() {
    let retries = |retries, delay| Options {
        retries,
        retry_delay: Duration::from_secs(delay),
        ..Options::default()
    };
    let mut bench = bench_with("a b<a c", [("a", retries(2, 0)), ("c", retries(1, 1))]);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.finish("a", Outcome::Failed), "again ");
    assert_eq!(bench.plan.attempt(bench.id("a")), 2);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.finish("a", Outcome::Crashed), "again ");
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.finish("a", Outcome::Failed), "b skipped <a");

    assert_eq!(bench.take(), "c");
    assert_eq!(bench.finish("c", Outcome::Failed), "again ");
    assert_eq!(bench.take(), "-", "it waits for its time");
    let c = bench.id("c");
    assert_eq!(bench.plan.again(c), []);
    assert_eq!(bench.take(), "c");
    assert_eq!(bench.finish("c", Outcome::TimedOut), "");
    assert!(bench.plan.is_over());
}

#[test]
fn a_timeout_is_tried_again_only_where_that_is_asked_for() {
    let options = |retry_timeouts| Options {
        retries: 1,
        retry_timeouts,
        ..Options::default()
    };
    let mut bench = bench_with("a b", [("a", options(true)), ("b", options(false))]);
    bench.take_all();
    assert_eq!(bench.finish("a", Outcome::TimedOut), "again ");
    assert_eq!(bench.finish("b", Outcome::TimedOut), "");
}

#[test]
fn a_stop_between_two_attempts_leaves_the_outcome_of_the_last() {
    let options = Options {
        retries: 5,
        ..Options::default()
    };
    let mut bench = bench_with("a b<a", [("a", options)]);
    bench.take();
    bench.finish("a", Outcome::Crashed);
    let changes = bench.plan.stop(Stop::Signal(2));
    assert_eq!(
        bench.words(&changes),
        "Signal(2), a stays crashed, b not run"
    );
    assert!(bench.plan.is_over());
}

#[test]
fn who_needs_a_lock_of_a_task_that_never_ends_is_not_run() {
    let options = [
        ("a", locks(&["x"])),
        ("b", locks(&["x:r"])),
        ("c", locks(&["y"])),
    ];
    let mut bench = bench_with("a b c d<b e f<a", options);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.take(), "c");
    assert_eq!(bench.take(), "e");
    let (a, e) = (bench.id("a"), Owner::Task(bench.id("e")));
    let lock = Lock::parse("x");
    assert_eq!(bench.plan.lock(e, &lock), Ok(Asked::Queued(0)));
    let changes = bench.plan.give_up(a, Outcome::TimedOut);
    let words = bench.words(&changes);
    assert_eq!(
        words,
        "refused 0: Deadlock, b not run, d skipped <b, f skipped <a"
    );
    let locked = |change: &Change| {
        matches!(change, Change::Settled(_, _, Cause::Locked { lock, holder })
            if **lock == *"x" && *holder == a)
    };
    assert_eq!(changes.iter().filter(|change| locked(change)).count(), 1);
    assert_eq!(bench.finish("a", Outcome::Passed), "late");
    assert_eq!(
        bench.plan.lock(e, &lock),
        Err(Refused::Deadlock),
        "it is still held"
    );
}

#[test]
fn a_wait_in_a_circle_is_refused_to_the_one_that_closes_it() {
    let mut bench = bench_with("a b c<b d", [("d", locks(&["x"]))]);
    assert_eq!(bench.take_all(), "b a d");
    assert_eq!(bench.wait("a", "a"), Err(Refused::Deadlock), "for itself");
    assert_eq!(
        bench.wait("b", "c"),
        Err(Refused::Deadlock),
        "for a dependent"
    );
    assert_eq!(bench.wait("a", "c"), Ok(()));
    assert_eq!(bench.wait("d", "a"), Ok(()));
    assert_eq!(
        bench.wait("b", "d"),
        Err(Refused::Deadlock),
        "over two others"
    );
    let (a, c) = (bench.id("a"), bench.ids("c"));
    bench.plan.waited(a, &c);
    assert_eq!(bench.wait("b", "d"), Ok(()));
}

#[test]
fn a_wait_for_a_task_that_needs_a_lock_of_the_waiter_is_refused() {
    let options = [("a", locks(&["x"])), ("b", locks(&["x"]))];
    let mut bench = bench_with("a b c", options);
    assert_eq!(bench.take_all(), "a c");
    assert_eq!(bench.wait("a", "b"), Err(Refused::Deadlock));
    assert_eq!(bench.wait("c", "b"), Ok(()));
    let a = bench.id("a");
    bench.plan.give_up(a, Outcome::TimedOut);
    let c = Owner::Task(bench.id("c"));
    assert_eq!(
        bench.plan.lock(c, &Lock::parse("x")),
        Err(Refused::Deadlock)
    );
}

#[test]
fn tasks_can_be_added_until_the_plan_is_stopped() {
    let mut bench = bench("a b<a", true, 0);
    bench.take();
    let add = |bench: &mut Bench, name: &str, after: &str| {
        let task = bench.catalog.push(sketch::task(0, name, &[]));
        let added = Added {
            task,
            dependencies: bench.ids(after),
            stage: Stage::default(),
        };
        let changes = bench.plan.add(&bench.catalog, &[added]);
        changes.map(|changes| bench.words(&changes))
    };
    assert_eq!(add(&mut bench, "c", "a b"), Ok(String::new()));
    assert_eq!(add(&mut bench, "d", ""), Ok(String::new()));
    assert_eq!(bench.plan.planned(), 4);
    assert_eq!(bench.take(), "d");
    assert_eq!(
        bench.finish("a", Outcome::Failed),
        "b skipped <a, c skipped <a"
    );
    assert_eq!(add(&mut bench, "e", "c"), Ok("e skipped <c<a".into()));
    assert_eq!(bench.finish("d", Outcome::Passed), "");
    assert!(bench.plan.is_over());
    assert_eq!(add(&mut bench, "f", "d"), Ok(String::new()));
    bench.plan.stop(Stop::Signal(2));
    assert_eq!(add(&mut bench, "g", ""), Err(Refused::Cancelled));
}

impl Bench {
    fn owner(&self, name: &str) -> Owner {
        Owner::Task(self.id(name))
    }

    fn ask(&mut self, name: &str, lock: &str) -> Result<Asked, Refused> {
        let owner = self.owner(name);
        self.plan.lock(owner, &Lock::parse(lock))
    }

    /// Adds a task of that wave.
    fn add(&mut self, name: &str, wave: u32) {
        let task = self.catalog.push(sketch::task(0, name, &[]));
        let stage = Stage { wave, last: false };
        let added = Added {
            task,
            dependencies: Vec::new(),
            stage,
        };
        self.plan.add(&self.catalog, &[added]).unwrap();
    }
}

#[test]
fn who_stands_in_a_queue_waits_for_those_ahead() {
    // c would share the lock with a, but behind b, who waits for a, who waits for c.
    let mut bench = bench("a b c", true, 0);
    bench.take_all();
    assert_eq!(bench.ask("a", "x:r"), Ok(Asked::Taken));
    assert_eq!(bench.ask("b", "x"), Ok(Asked::Queued(0)));
    assert_eq!(bench.wait("a", "c"), Ok(()));
    assert_eq!(bench.ask("c", "x:r"), Err(Refused::Deadlock));

    // The same, where c has not started.
    let mut bench = bench_with("a b c<b", [("c", locks(&["x:r"]))]);
    bench.take_all();
    assert_eq!(bench.ask("a", "x:r"), Ok(Asked::Taken));
    assert_eq!(bench.wait("a", "c"), Ok(()));
    assert_eq!(bench.ask("b", "x"), Err(Refused::Deadlock));

    let mut bench = bench_with("a b c", [("c", locks(&["x:r"])), ("a", locks(&["x:r"]))]);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.take(), "b");
    assert_eq!(bench.ask("b", "x"), Ok(Asked::Queued(0)));
    assert_eq!(bench.wait("a", "c"), Err(Refused::Deadlock));
}

#[test]
fn who_holds_a_lock_does_not_wait_for_those_ahead() {
    let mut bench = bench("a b c", true, 0);
    bench.take_all();
    assert_eq!(bench.ask("a", "x:r"), Ok(Asked::Taken));
    assert_eq!(bench.ask("b", "x:r"), Ok(Asked::Taken));
    assert_eq!(bench.ask("c", "x"), Ok(Asked::Queued(0)));
    assert_eq!(bench.ask("a", "x"), Ok(Asked::Queued(1)));
    let b = bench.owner("b");
    let changes = bench.plan.unlock(b, "x").unwrap();
    assert_eq!(bench.words(&changes), "granted 1");
}

#[test]
fn the_lock_of_an_abandoned_task_is_not_waited_for() {
    let mut bench = bench_with("a", [("a", locks(&["x"]))]);
    bench.take();
    bench.plan.abandon(Stop::Signal(2));
    let asked = bench.plan.lock(Owner::Hook(0), &Lock::parse("x"));
    assert_eq!(asked, Err(Refused::Deadlock));
}

#[test]
fn who_has_been_asked_to_stop_waits_for_nothing_any_more() {
    let options = Options {
        retries: 1,
        ..Options::default()
    };
    let mut bench = bench_with("a b", [("a", options)]);
    bench.take_all();
    assert_eq!(bench.ask("b", "x"), Ok(Asked::Taken));
    let a = bench.id("a");
    assert_eq!(bench.plan.interrupt(a), []);
    assert_eq!(bench.wait("a", "b"), Err(Refused::Cancelled));
    assert_eq!(bench.ask("a", "x"), Err(Refused::Cancelled));
    assert_eq!(bench.ask("a", "y"), Ok(Asked::Taken), "that is no wait");
    bench.finish("a", Outcome::Failed);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.ask("a", "x"), Ok(Asked::Queued(1)), "a new attempt");
}

#[test]
fn the_end_of_an_attempt_ends_its_waits() {
    let options = Options {
        retries: 1,
        ..Options::default()
    };
    let mut bench = bench_with("a b", [("a", options)]);
    bench.take_all();
    assert_eq!(
        bench.wait("a", "b"),
        Ok(()),
        "on a thread that stays behind"
    );
    bench.finish("a", Outcome::Failed);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.wait("b", "a"), Ok(()));
}

#[test]
fn a_retry_is_not_judged_again() {
    let last = Options {
        condition: Condition::NoFailures,
        retries: 1,
        ..Options::default()
    };
    let mut bench = bench_with("a", [("a", last)]);
    assert_eq!(bench.take(), "a");
    bench.add("b", 0);
    assert_eq!(bench.take(), "b");
    bench.finish("b", Outcome::Failed);
    assert_eq!(bench.finish("a", Outcome::Failed), "again ");
    assert_eq!(bench.take(), "a");
}

#[test]
fn what_is_ready_waits_again_where_a_lower_stage_gets_more_tasks() {
    let second = |locks: &[&str]| Options {
        wave: 1,
        locks: Lock::set(locks.iter().map(|name| Lock::parse(name)).collect()),
        ..Options::default()
    };
    let options = [
        ("a", second(&["x"])),
        ("b", second(&["x"])),
        ("c", second(&[])),
    ];
    let mut bench = bench_with("a b c", options);
    assert_eq!(bench.take(), "a");
    assert_eq!(bench.take(), "c", "b waits for the lock");
    bench.add("d", 0);
    assert_eq!(bench.finish("a", Outcome::Passed), "");
    assert_eq!(bench.take_all(), "d", "b waits for its stage");
    assert_eq!(bench.finish("d", Outcome::Passed), "");
    assert_eq!(bench.take_all(), "b");
}

#[test]
fn a_task_that_was_called_for_a_lock_and_is_not_run_lets_the_next_one_try() {
    let options = [
        ("z", locks(&["y"])),
        ("a", locks(&["x"])),
        ("b", locks(&["x", "y"])),
        ("c", locks(&["x"])),
    ];
    let mut bench = bench_with("z a b c", options);
    assert_eq!(bench.take_all(), "z a");
    bench.finish("a", Outcome::Passed);
    let z = bench.id("z");
    let changes = bench.plan.give_up(z, Outcome::TimedOut);
    assert_eq!(bench.words(&changes), "b not run");
    assert_eq!(bench.take_all(), "c");
}

#[test]
fn what_cleans_up_after_what_cleans_up_is_kept_too() {
    let mut bench = bench_with("a b<a c<b", [("b", always()), ("c", always())]);
    assert_eq!(bench.take(), "a");
    let changes = bench.plan.stop(Stop::Signal(2));
    assert_eq!(bench.words(&changes), "Signal(2)");
    bench.finish("a", Outcome::Cancelled);
    assert_eq!(bench.order(), "b c");
}

#[test]
fn who_has_waited_does_not_go_on_beside_an_exclusive_task() {
    let exclusive = Options {
        exclusive: true,
        ..Options::default()
    };
    let mut bench = bench_with("a b", [("b", exclusive)]);
    assert_eq!(bench.take(), "a");
    let a = bench.id("a");
    bench.plan.pause(a);
    assert_eq!(bench.take(), "b");
    assert!(!bench.plan.resume(a));
    bench.finish("b", Outcome::Passed);
    assert!(bench.plan.resume(a));
}

#[test]
fn stages_that_come_late_know_what_has_ended() {
    let mut bench = bench("a b", true, 0);
    assert_eq!(bench.take_all(), "a b");
    bench.finish("a", Outcome::Passed);
    bench.add("c", 1);
    assert_eq!(bench.take(), "-");
    bench.finish("b", Outcome::Passed);
    assert_eq!(bench.take(), "c");
}

#[test]
fn nobody_waits_for_a_lock_any_more_where_all_is_abandoned() {
    let mut bench = bench("a", true, 0);
    bench.take();
    assert_eq!(bench.ask("a", "x"), Ok(Asked::Taken));
    let hook = bench.plan.lock(Owner::Hook(0), &Lock::parse("x"));
    assert_eq!(hook, Ok(Asked::Queued(0)));
    let changes = bench.plan.abandon(Stop::Signal(2));
    let words = "Signal(2), a cancelled, refused 0: Cancelled";
    assert_eq!(bench.words(&changes), words);
}
