//! What people and reports see of tasks in processes of their own.

mod common;

use common::tool::{done, tdrun};

/// A library that aborts on a panic, with one task that asks for a process of its own.
const ABORTS: &str = r#"
PASS(a) PASS(b)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, .flags = TD_TASK_ISOLATE) };
TD_LIBRARY(tasks, .flags = TD_TABLE_PANIC_ABORT)
"#;

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
