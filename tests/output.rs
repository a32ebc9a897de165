//! What people and reports see of tasks in processes of their own.

mod common;

use common::tool::tdrun;

/// A library that aborts on a panic, with one task that asks for a process of its own.
const ABORTS: &str = r"
PASS(a) PASS(b)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, .flags = TD_TASK_ISOLATE) };
TD_LIBRARY(tasks, .flags = TD_TABLE_PANIC_ABORT)
";

#[test]
fn panics_that_abort_are_noted_once_where_tasks_run_in_threads() {
    let note = "tdrun: note: `libx.so` was built with panic=abort: a panic in it ends the process; --isolate=auto runs its tasks in processes of their own\n";
    for (args, noted) in [
        ("libx.so -q", 1),
        ("libx.so::a -q", 1),
        ("libx.so::b -q", 0),
        ("libx.so::b -q --isolate=never", 1),
        ("libx.so -q --isolate", 0),
        ("libx.so -q --isolate=auto", 0),
        ("libx.so --list", 0),
        ("libx.so liby.so -q", 1),
        ("liby.so -q", 0),
    ] {
        let tdrun = tdrun(args).library("x", ABORTS).library(
            "y",
            "PASS(c) static const td_task tasks[] = { TD_TASK(c) }; TD_LIBRARY(tasks)",
        );
        let outcome = tdrun.run();
        assert_eq!(outcome.status, 0, "{args}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.matches(note).count(),
            noted,
            "{args}: {}",
            outcome.stderr
        );
    }
}

/// Each outcome that a run on threads may have, some twice.
const MIXED: &str = r#"
PASS(passes) FAIL(fails, "no")
TASK(skips) { return TD_SKIPPED(host, ctx, "why"); }
TASK(late) { while (host->cancelled(ctx) == 0) usleep(1000); return TD_OK; }
TASK(settles) { return host->attempt(ctx) > 1 ? TD_OK : TD_FAIL; }
static const td_task tasks[] = {
    TD_TASK(passes), TD_TASK(skips), TD_TASK(late, .timeout_ms = 20), TD_TASK(settles, .retries = 1),
    TD_COMMAND("crashes", TD_SHELL("kill -9 $$")),
    TD_TASK(fails), TD_TASK_NAMED(passes, "blocked", TD_AFTER(TD_STR("fails"))),
    TD_TASK_NAMED(passes, "never", .priority = -1),
};
TD_LIBRARY(tasks)
"#;

#[test]
fn every_report_counts_the_same() {
    let tdrun = tdrun("libx.so -j1 -q --max-fail=3 --junit=r.xml --events=e.jsonl --log");
    let tdrun = tdrun.library("x", MIXED);
    let outcome = tdrun.run();
    let counts =
        "2 passed, 1 failed, 2 skipped, 1 timed out, 1 crashed, 1 not run; 1 of the passed flaky";
    let line = format!("==== {counts} in N.NNs ====\n");
    assert_eq!(outcome.stdout, line, "{}", outcome.stderr);
    let last = tdrun.read("tdrun_main.log");
    assert!(last.contains(&format!("INFO ==== {counts} in ")), "{last}");

    let events = tdrun.read("e.jsonl");
    let lines = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = lines.collect();
    let of = |event: &'static str| events.iter().filter(move |line| line["event"] == event);
    let end = of("run_finished").next_back().expect("it ended");
    assert_eq!(end["planned"], 8);
    for (outcome, count) in [
        ("passed", 2),
        ("failed", 1),
        ("skipped", 2),
        ("timed_out", 1),
        ("crashed", 1),
        ("cancelled", 0),
        ("not_run", 1),
    ] {
        assert_eq!(end[outcome], count, "{outcome}");
        let finished = of("task_finished").filter(|line| line["outcome"] == outcome);
        assert_eq!(finished.count(), count, "{outcome}");
    }
    let xml = tdrun.read("r.xml");
    let totals = "<testsuites name=\"tdrun\" tests=\"8\" skipped=\"3\" failures=\"1\" errors=\"2\"";
    assert!(xml.contains(totals), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 8);
}
