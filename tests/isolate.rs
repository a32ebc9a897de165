//! Tasks in processes of their own: they mean what they mean in threads, and whatever one does, it is only that one.

mod common;

use common::tool::{Tdrun, tdrun};

/// Behind the prelude: texts as values, and a visitor that keeps the last one.
const WORDS: &str = r#"
#include <string.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#define S(text) ((td_str)TD_STR(text))
__attribute__((unused)) static char seen[256];
__attribute__((unused)) static void see(void *user, td_str text) {
    (void)user;
    snprintf(seen, sizeof seen, "%.*s", (int)text.len, text.ptr);
}
"#;

/// A library of these tasks, and `tdrun` with these arguments.
fn with(args: &str, source: &str) -> Tdrun {
    let source = format!("{WORDS}#line 1\n{source}\nTD_LIBRARY(tasks)\n");
    tdrun("libx.so").args(args).library("x", &source)
}

/// Stderr without what stands in brackets, sorted: workers and percentages may differ.
fn told(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().map(|line| {
        let line = line.split(" [").next().unwrap_or_default();
        let line = line.rsplit("] ").next().unwrap_or_default();
        line.trim_end_matches('.')
            .replace(" ..", " .")
            .replace("..", "")
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn a_task_means_the_same_in_a_process_of_its_own() {
    let source = r#"
TASK(first) {
    TD_INFO(host, ctx, "hello");
    host->progress(ctx, 1, 2, S("half"));
    host->state_set(ctx, S("key"), TD_JSON, S("{\"a\": 1}"));
    host->result_set(ctx, TD_JSON, S("[1, 2]"));
    return TD_OK;
}
TASK(second) {
    if (host->result_get(ctx, S("first"), TD_JSON, see, 0) != TD_OK || strcmp(seen, "[1,2]"))
        return TD_FAILED(host, ctx, "no result");
    if (host->state_get(ctx, S("key"), TD_JSON, see, 0) != TD_OK || strcmp(seen, "{\"a\":1}"))
        return TD_FAILED(host, ctx, "no state");
    if (host->state_get(ctx, S("none"), TD_JSON, see, 0) != TD_E_NOTFOUND)
        return TD_FAILED(host, ctx, "state out of nothing");
    if (host->state_swap(ctx, S("key"), S("1"), S("2")) != TD_E_CHANGED)
        return TD_FAILED(host, ctx, "swapped");
    if (host->state_swap(ctx, S("key"), S("{\"a\":1}"), S("2")) != TD_OK)
        return TD_FAILED(host, ctx, "not swapped");
    if (host->state_set(ctx, S("_x"), TD_JSON, S("2")) != TD_E_DENIED)
        return TD_FAILED(host, ctx, "a reserved key");
    if (host->task_name(ctx, see, 0) != TD_OK || strcmp(seen, "second"))
        return TD_FAILED(host, ctx, "no name");
    if (host->attempt(ctx) != 1 || host->cancelled(ctx) != 0) return TD_FAILED(host, ctx, "which attempt");
    return TD_OK;
}
TASK(locks) {
    if (host->lock(ctx, S("db")) != TD_OK || host->lock(ctx, S("db")) != TD_OK)
        return TD_FAILED(host, ctx, "no lock");
    if (host->unlock(ctx, S("db")) != TD_OK || host->unlock(ctx, S("db")) != TD_OK)
        return TD_FAILED(host, ctx, "not held twice");
    return host->unlock(ctx, S("db")) == TD_E_NOTFOUND ? TD_OK : TD_FAILED(host, ctx, "held still");
}
TASK(starts) {
    if (host->start(ctx, S("made::7"), see, 0) != TD_OK) return TD_FAILED(host, ctx, seen);
    if (host->wait(ctx, S("made::8"), see, 0) != TD_OK) return TD_FAILED(host, ctx, seen);
    if (host->wait(ctx, S("starts"), see, 0) != TD_E_DEADLOCK) return TD_FAILED(host, ctx, "waits for itself");
    return host->wait(ctx, S("nobody"), see, 0) == TD_E_NOTFOUND ? TD_OK : TD_FAILED(host, ctx, "found nobody");
}
TASK(made) {
    host->param(ctx, S("n"), see, 0);
    host->result_set(ctx, TD_JSON, (td_str){seen, strlen(seen)});
    return TD_OK;
}
TASK(fails) { return TD_FAILED(host, ctx, "the disk\nis full"); }
TASK(skips) { return TD_SKIPPED(host, ctx, "rain"); }
PASS(behind)
static const td_task tasks[] = {
    TD_TASK(first), TD_TASK(second, TD_AFTER(TD_STR("first"))), TD_TASK(locks), TD_TASK(starts),
    TD_TASK(fails), TD_TASK(skips), TD_TASK(behind, TD_AFTER(TD_STR("fails"))),
    {.size = sizeof(td_task), .name = TD_STR("made::[n]"), .run = made},
};
"#;
    for workers in ["-j1", "-j4"] {
        let [threads, processes, programs] = ["", "--isolate", "--run-under=env"]
            .map(|isolate| with(&format!("{workers} {isolate}"), source).run());
        assert_eq!(threads.status, 1);
        assert!(
            threads.stdout.contains("6 passed, 1 failed, 2 skipped"),
            "{}",
            threads.stderr
        );
        for other in [processes, programs] {
            assert_eq!(told(&threads.stderr), told(&other.stderr));
            assert_eq!(threads.stdout, other.stdout);
            assert_eq!(threads.status, other.status);
        }
    }
}
