use super::*;
use crate::graph::sketch;
use crate::task::Catalog;

struct Bench {
    catalog: Catalog,
    plan: Plan,
}

fn bench(words: &str, skip_deps: bool, max_fail: usize) -> Bench {
    let catalog = sketch::catalog(words);
    let graph = Arc::new(sketch::graph(&catalog).unwrap());
    let max_fail = NonZeroUsize::new(max_fail);
    let plan = Plan::new(
        &graph,
        Rules {
            skip_deps,
            max_fail,
        },
    );
    Bench { catalog, plan }
}

impl Bench {
    fn id(&self, name: &str) -> TaskId {
        self.catalog
            .ids()
            .find(|id| self.catalog.name(*id) == name)
            .unwrap()
    }

    fn name(&self, task: TaskId) -> &str {
        &self.catalog.task(task).name
    }

    fn take(&mut self) -> String {
        let task = self.plan.take();
        task.map_or("-".into(), |task| self.name(task).into())
    }

    /// `b skipped <a` and the like, for each change.
    fn finish(&mut self, name: &str, outcome: Outcome) -> String {
        let task = self.id(name);
        let changes = self.plan.finish(task, outcome);
        self.words(&changes)
    }

    fn words(&self, changes: &[Change]) -> String {
        let words = changes.iter().map(|change| match change {
            Change::Stopped(why) => format!("{why:?}"),
            Change::Settled(task, outcome, Cause::Blocked(chain)) => {
                let chain: Vec<_> = chain.iter().map(|t| self.name(*t)).collect();
                format!("{} {outcome} <{}", self.name(*task), chain.join("<"))
            }
            Change::Settled(task, outcome, _) => format!("{} {outcome}", self.name(*task)),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// The order with one worker, all passing.
    fn order(&mut self) -> String {
        let mut order = Vec::new();
        while let Some(task) = self.plan.take() {
            order.push(self.name(task).to_owned());
            assert_eq!(self.plan.finish(task, Outcome::Passed), []);
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
    assert_eq!(bench.finish("b", Outcome::Passed), "", "too late");
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
