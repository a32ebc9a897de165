//! Tasks that start others and wait for them, through the binary.

mod common;

use common::tool::{Outcome, done, tdrun};

/// `ask` waits for what the state key `what` names, and logs what that came to.
const ASKS: &str = r#"
static void keep(void *user, td_str why) { snprintf(user, 256, "%.*s", (int)why.len, why.ptr); }
TASK(ask) {
    char what[64], why[256] = "", line[400];
    TD_CHECK(host, ctx, td_state_copy(host, ctx, "what", what, sizeof what) == TD_OK);
    int32_t status = host->wait(ctx, td_s(what), keep, why);
    snprintf(line, sizeof line, "%d %s", (int)status, why);
    TD_INFO(host, ctx, line);
    return TD_OK;
}
TASK(ask_locked) {
    TD_CHECK(host, ctx, host->lock(ctx, td_s("db")) == TD_OK);
    return ask(host, ctx, user);
}
TASK(setup) {
    char why[256], line[400];
    int32_t started = host->start(ctx, td_s("fine"), keep, why);
    int32_t waited = host->wait(ctx, td_s("fine"), NULL, NULL);
    snprintf(line, sizeof line, "%d %d %s", (int)started, (int)waited, why);
    TD_INFO(host, ctx, line);
    return TD_OK;
}
PASS(fine) FAIL(bad, "no route") TASK(skips) { return TD_SKIPPED(host, ctx, "not today"); }
#define T(...) TD_TASK_NAMED(fine, __VA_ARGS__)
#define S TD_STR
static const td_task tasks[] = {
    TD_TASK(ask), TD_TASK(ask_locked), TD_TASK_NAMED(ask, "ask_alone", .flags = TD_TASK_EXCLUSIVE),
    TD_TASK(fine), TD_TASK(bad), TD_TASK(skips),
    T("blocked", TD_AFTER(S("bad"))),
    T("clean", TD_AFTER(S("bad")), .condition = TD_ALWAYS),
    T("env::[env]", TD_PARAMS(TD_PARAM("env", TD_CHOICES(S("dev"), S("prod"))))),
    T("port::[n]", TD_PARAMS(TD_PARAM("n", .kind = TD_PARAM_INT))),
    T("one::[a]"), T("one::[b]"),
    T("loop::[n]", TD_AFTER(S("pool::[n]"))), T("pool::[n]", TD_AFTER(S("loop::[n]"))),
    T("after_ask", TD_AFTER(S("ask"))),
    T("wave", .wave = 1),
    T("last", .condition = TD_NO_FAILURES),
    T("locked", TD_LOCKS(S("db"))), T("reads", TD_LOCKS(S("db:r"))),
    T("alone", .flags = TD_TASK_EXCLUSIVE),
};
TD_LIBRARY(tasks, .setup = setup)
"#;

fn asks(args: &str, what: &str) -> Outcome {
    let tdrun = tdrun(args).arg("-j1").arg(format!("--what={what}"));
    tdrun.library("x", ASKS).run()
}

/// What `ask` logs: the status that it gets, and why.
#[test]
fn a_wait_tells_how_it_came_out() {
    for (asker, what, answer) in [
        ("ask", "fine", "0"),
        ("ask", "x::fine", "0"),
        ("ask", "skips", "0"),
        ("ask", "bad", "-11 `bad` failed"),
        ("ask", "blocked", "-11 `blocked` was skipped"),
        ("ask", "clean", "0"),
        ("ask", "env::dev", "0"),
        ("ask", "env::*", "0"),
        ("ask", "port::-1", "0"),
        ("ask", "{fine,bad}", "-11 `bad` failed"),
        (
            "ask",
            "fin",
            "-3 no task of `libx.so` matches `fin`; did you mean `fine`?",
        ),
        (
            "ask",
            "env::prd",
            "-2 `env::prd`: `env` of `env::[env]` cannot be `prd`; did you mean `prod`?",
        ),
        (
            "ask",
            "env::x",
            "-2 `env::x`: `env` of `env::[env]` cannot be `x`; its choices are `dev`, `prod`",
        ),
        (
            "ask",
            "port::x",
            "-2 `port::x`: `n` of `port::[n]` wants a whole number, not `x`: it is no whole number",
        ),
        (
            "ask",
            "port::*",
            "-2 `port::*`: `n` of `port::[n]` has no choices for a glob to match; write a value in the place of `[n]`",
        ),
        (
            "ask",
            "port::[n]",
            "-2 `port::[n]`: `n` cannot be derived: the task has no such parameter",
        ),
        (
            "ask",
            "one::1",
            "-2 `one::1`: two templates match: `one::[a]` (x.c:33) and `one::[b]` (x.c:33)",
        ),
        (
            "ask",
            "{fine",
            "-2 malformed glob `{fine`: a `{` without its `}`",
        ),
        ("ask", "ask", "-8 `ask` cannot wait for itself"),
        (
            "ask",
            "after_ask",
            "-8 waiting for `after_ask` would never end: that waits for `ask`",
        ),
        (
            "ask",
            "loop::1",
            "-8 the tasks wait for each other in a circle: `loop::1` → `pool::1` → `loop::1`",
        ),
        // Neither starts before `ask` has ended.
        (
            "ask",
            "wave",
            "-8 waiting for `wave` would never end: wave 1 starts when `ask` has ended",
        ),
        (
            "ask",
            "last",
            "-8 waiting for `last` would never end: that waits for `ask`",
        ),
        (
            "ask_locked",
            "locked",
            "-8 waiting for `locked` would never end: that waits for `ask_locked`",
        ),
        (
            "ask_locked",
            "reads",
            "-8 waiting for `reads` would never end: that waits for `ask_locked`",
        ),
        ("ask_locked", "fine", "0"),
        ("ask_alone", "fine", "0"),
        ("ask_alone", "alone", "0"),
    ] {
        let outcome = asks(&format!("libx.so::{asker}"), what);
        let told = format!("[thread_0] {asker}: INFO {answer}\n");
        assert!(outcome.stderr.contains(&told), "{what}: {}", outcome.stderr);
        let fails = ["bad", "blocked", "clean", "{fine,bad}"].contains(&what);
        assert_eq!(outcome.status, i32::from(fails), "{what}");
    }
}

#[test]
fn hooks_start_no_tasks() {
    let outcome = asks("libx.so::ask", "fine");
    let told = "setup: INFO -6 -6 only tasks can start other tasks\n";
    assert!(outcome.stderr.starts_with(told), "{}", outcome.stderr);
}

#[test]
fn a_task_whose_result_was_given_is_not_run() {
    for (given, what, answer, summary) in [
        ("fine", "fine", "0", "1 passed, 0 failed, 0 skipped"),
        ("bad", "blocked", "0", "2 passed, 0 failed, 0 skipped"),
        // The other one runs, and counts.
        (
            "fine",
            "{fine,bad}",
            "-11 `bad` failed",
            "1 passed, 1 failed, 0 skipped",
        ),
    ] {
        let outcome = asks(&format!("libx.so::ask --result-{given}=1"), what);
        let told = format!("[thread_0] ask: INFO {answer}\n");
        assert!(outcome.stderr.contains(&told), "{what}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, format!("==== {summary} in N.NNs ====\n"));
    }
}

const FAMILY: &str = r#"
TASK(leaf) {
    TD_CHECK(host, ctx, host->progress(ctx, 1, 3, td_s("copying")) == TD_OK);
    return td_result_text(host, ctx, "from the leaf");
}
TASK(child) {
    char text[32], param[8];
    TD_REQUIRE_PARAM(host, ctx, "n", param, sizeof param);
    TD_REQUIRE_RUN(host, ctx, "leaf");
    TD_REQUIRE_RESULT(host, ctx, "leaf", text, sizeof text);
    return td_result_text(host, ctx, text);
}
TASK(parent) {
    char text[32] = "?";
    TD_CHECK(host, ctx, td_run(host, ctx, "child::2", text, 4) == TD_E_SPACE);
    TD_CHECK(host, ctx, td_run(host, ctx, "child::2", text, sizeof text) == TD_OK);
    TD_INFO(host, ctx, text);
    TD_CHECK(host, ctx, td_run(host, ctx, "skips", text, sizeof text) == TD_OK && !*text);
    TD_CHECK(host, ctx, td_run(host, ctx, "leaf", NULL, 0) == TD_OK);
    return TD_OK;
}
TASK(skips) { return TD_SKIPPED(host, ctx, "not today"); }
FAIL(bad, "no route")
TASK(trusting) { TD_REQUIRE_RUN(host, ctx, "bad"); return TD_OK; }
TASK(to) { TD_REQUIRE_RUN(host, ctx, "fro"); return TD_OK; }
TASK(fro) { TD_REQUIRE_RUN(host, ctx, "to"); return TD_OK; }
PASS(tidy)
static const td_task tasks[] = {
    TD_TASK(parent), TD_TASK_NAMED(child, "child::[n]", TD_PARAMS(TD_PARAM("n", .kind = TD_PARAM_INT))),
    TD_TASK(leaf, TD_AFTER(TD_STR("dust"))), TD_TASK_NAMED(tidy, "dust"), TD_TASK(tidy, TD_BEFORE(TD_STR("leaf"))),
    TD_TASK(skips), TD_TASK(bad), TD_TASK(trusting), TD_TASK(to), TD_TASK(fro),
};
TD_LIBRARY(tasks)
"#;

/// Nested, with all that is needed, and with one worker: who waits is in nobody's way.
#[test]
fn what_a_task_starts_is_part_of_the_run_with_all_that_it_needs() {
    let lines = [
        &done("[thread_0] dust", "PASSED", 20),
        &done("[thread_0] tidy", "PASSED", 40),
        &done("[thread_0] leaf", "PASSED", 60),
        &done("[thread_0] child::2", "PASSED", 80),
        "[thread_0] parent: INFO from the leaf\n",
        &done("[thread_0] skips", "SKIPPED", 83),
        "    skipped: not today\n",
        &done("[thread_0] parent", "PASSED", 100),
    ];
    let summary = "==== 5 passed, 0 failed, 1 skipped in N.NNs ====\n";
    let family = tdrun("libx.so::parent -j1 --events=events.jsonl --junit=junit.xml");
    let family = family.library("x", FAMILY);
    family.expect(0, summary, &lines.concat());

    let events = family.read("events.jsonl");
    let told = events.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match &*word("event") {
            "planned" => format!("planned {}", event["tasks"]),
            "task_progress" => format!(
                "task_progress {} {} {}",
                event["done"],
                event["total"],
                word("what")
            ),
            "run_started" | "run_finished" => format!("{} {}", word("event"), event["planned"]),
            other => format!("{other} {}", word("task")),
        }
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, EVENTS);

    let junit = family.read("junit.xml");
    assert!(
        junit.contains(r#"<testsuites name="tdrun" tests="6" skipped="1" failures="0" errors="0""#),
        "{junit}"
    );
    let names = junit.split("<testcase name=\"").skip(1);
    let names: Vec<_> = names.filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names, NAMES);
}

const EVENTS: &[&str] = &[
    "run_started 1",
    "task_started parent",
    r#"planned ["child::2"]"#,
    "task_paused parent",
    "task_started child::2",
    r#"planned ["leaf","dust","tidy"]"#,
    "task_paused child::2",
    "task_started dust",
    "task_finished dust",
    "task_started tidy",
    "task_finished tidy",
    "task_started leaf",
    "task_progress 1 3 copying",
    "task_finished leaf",
    "task_resumed child::2",
    "task_finished child::2",
    "task_resumed parent",
    "log parent",
    r#"planned ["skips"]"#,
    "task_paused parent",
    "task_started skips",
    "task_finished skips",
    "task_resumed parent",
    "task_finished parent",
    "run_finished 6",
];
const NAMES: &[&str] = &["parent", "leaf", "dust", "tidy", "skips", "child::2"];

#[test]
fn who_requires_a_run_fails_with_it() {
    let stderr = [
        &done("[thread_0] bad", "FAILED", 50),
        "    no route (x.c:23)\n",
        &done("[thread_0] trusting", "FAILED", 100),
        "    `bad` failed (x.c:24)\n",
        "\nfailures:\n\nbad FAILED\n    no route\n    at x.c:23\n    rerun: tdrun libx.so::bad\n",
        "\ntrusting FAILED\n    `bad` failed\n    at x.c:24\n    rerun: tdrun libx.so::trusting\n",
    ];
    let summary = "==== 0 passed, 2 failed, 0 skipped in N.NNs ====\n";
    let tdrun = tdrun("libx.so::trusting -j1").library("x", FAMILY);
    tdrun.expect(1, summary, &stderr.concat());
}

#[test]
fn who_closes_a_circle_is_told_and_the_others_hear_of_it() {
    let closing = "waiting for `to` would never end: that waits for `fro`";
    let stderr = [
        &done("[thread_0] fro", "FAILED", 50),
        &format!("    {closing} (x.c:26)\n"),
        &done("[thread_0] to", "FAILED", 100),
        "    `fro` failed (x.c:25)\n",
        "\nfailures:\n\nto FAILED\n    `fro` failed\n    at x.c:25\n    rerun: tdrun libx.so::to\n",
        &format!("\nfro FAILED\n    {closing}\n    at x.c:26\n    rerun: tdrun libx.so::fro\n"),
    ];
    let summary = "==== 0 passed, 2 failed, 0 skipped in N.NNs ====\n";
    for args in ["libx.so::to -j1", "libx.so::to libx.so::fro -j1"] {
        let tdrun = tdrun(args).library("x", FAMILY);
        tdrun.expect(1, summary, &stderr.concat());
    }
}

/// No wait is left without an end, whoever closes the circle.
#[test]
fn a_circle_ends_with_two_workers_too() {
    let outcome = tdrun("libx.so::{to,fro} -j2 -q").library("x", FAMILY).run();
    let summary = "==== 0 passed, 2 failed, 0 skipped in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 1));
}

/// Nothing is started after a stop, and each attempt may ask anew.
const HURRIED: &str = r#"
static void keep(void *user, td_str why) { snprintf(user, 256, "%.*s", (int)why.len, why.ptr); }
static int32_t say(const td_host *host, td_ctx ctx, int32_t (*ask)(td_ctx, td_str, td_visit_fn, void *), const char *what) {
    char why[256] = "", line[400];
    int32_t status = ask(ctx, td_s(what), keep, why);
    snprintf(line, sizeof line, "%s: %d %s", what, (int)status, why);
    TD_INFO(host, ctx, line);
    return TD_OK;
}
PASS(fine) FAIL(bad, "no")
TASK(heeds) { while (!host->cancelled(ctx)) usleep(100); return TD_OK; }
TASK(starts) { return say(host, ctx, host->start, "bad"); }
TASK(goes_on) { return say(host, ctx, host->wait, "bad"), say(host, ctx, host->wait, "fine"); }
TASK(hears) { return heeds(host, ctx, user), say(host, ctx, host->start, "fine"); }
TASK(impatient) { return say(host, ctx, host->wait, "heeds"); }
TASK(too_late) { return heeds(host, ctx, user), say(host, ctx, host->wait, "fine"); }
TASK(again) {
    if (host->attempt(ctx) == 1) TD_REQUIRE_RUN(host, ctx, "bad");
    return say(host, ctx, host->wait, "fine");
}
static const td_task tasks[] = {
    TD_TASK(fine), TD_TASK(bad), TD_TASK(heeds, .timeout_ms = 200), TD_TASK(starts), TD_TASK(goes_on), TD_TASK(hears),
    TD_TASK(impatient, .timeout_ms = 20), TD_TASK(too_late, .timeout_ms = 20), TD_TASK(again, .retries = 1),
};
TD_LIBRARY(tasks)
"#;

#[test]
fn what_is_started_runs_also_where_nobody_waits_for_it() {
    let stderr = [
        "[thread_0] starts: INFO bad: 0\n",
        &done("[thread_0] starts", "PASSED", 50),
        &done("[thread_0] bad", "FAILED", 100),
        "    no (x.c:10)\n",
        "\nfailures:\n\nbad FAILED\n    no\n    at x.c:10\n    rerun: tdrun libx.so::bad\n",
    ];
    let summary = "==== 1 passed, 1 failed, 0 skipped in N.NNs ====\n";
    let tdrun = tdrun("libx.so::starts -j1").library("x", HURRIED);
    tdrun.expect(1, summary, &stderr.concat());
}

#[test]
fn nothing_is_started_any_more_after_a_stop() {
    let stderr = [
        &done("[thread_0] bad", "FAILED", 50),
        "    no (x.c:10)\n",
        "stopping after 1 failure\n",
        "[thread_0] goes_on: INFO bad: -11 `bad` failed\n",
        "[thread_0] goes_on: INFO fine: -10 the run has been stopped\n",
        &done("[thread_0] goes_on", "PASSED", 100),
        "\nfailures:\n\nbad FAILED\n    no\n    at x.c:10\n    rerun: tdrun libx.so::bad\n",
    ];
    let summary = "==== 1 passed, 1 failed, 0 skipped in N.NNs ====\n";
    let failing = tdrun("libx.so::goes_on -j1 -x").library("x", HURRIED);
    failing.expect(1, summary, &stderr.concat());

    let mut running = tdrun("libx.so::hears -v").library("x", HURRIED).start();
    running.wait_for("hears started");
    running.signal("INT");
    running.wait_for("hears: INFO fine: -10 the run has been stopped");
    let outcome = running.end();
    let summary = "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 130));
}

#[test]
fn a_wait_ends_with_the_time_of_the_task_that_waits() {
    let outcome = tdrun("libx.so::impatient -j2").library("x", HURRIED).run();
    let told = ": INFO heeds: -10 stopped while it waited for `heeds`\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    let summary = "==== 0 passed, 0 failed, 0 skipped, 2 timed out in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 1));
}

/// Also one that begins only then.
#[test]
fn who_has_timed_out_waits_for_nothing_any_more() {
    let lines = [
        "[thread_0] too_late: INFO fine: -10 stopped while it waited for `fine`\n",
        &done("[thread_0] too_late", "TIMED OUT", 50),
        "    took longer than 20ms\n",
        &done("[thread_0] fine", "PASSED", 100),
        "\nfailures:\n\ntoo_late TIMED OUT\n    took longer than 20ms\n    rerun: tdrun libx.so::too_late\n",
    ];
    let summary = "==== 1 passed, 0 failed, 0 skipped, 1 timed out in N.NNs ====\n";
    let tdrun = tdrun("libx.so::too_late -j1").library("x", HURRIED);
    tdrun.expect(1, summary, &lines.concat());
}

#[test]
fn another_attempt_asks_anew() {
    let lines = [
        &done("[thread_0] bad", "FAILED", 50),
        "    no (x.c:10)\n",
        &done("[thread_0] again", "RETRY", 50),
        "    attempt 1 failed: `bad` failed (x.c:18)\n",
        &done("[thread_0] fine", "PASSED", 66),
        "[thread_0] again: INFO fine: 0\n",
        &done("[thread_0] again", "PASSED", 100),
        "    flaky: passed on attempt 2\n",
        "\nfailures:\n\nbad FAILED\n    no\n    at x.c:10\n    rerun: tdrun libx.so::bad\n",
        "\nflaky: again (passed on attempt 2)\n",
    ];
    let summary = "==== 2 passed, 1 failed, 0 skipped; 1 of the passed flaky in N.NNs ====\n";
    let tdrun = tdrun("libx.so::again -j1").library("x", HURRIED);
    tdrun.expect(1, summary, &lines.concat());
}

#[test]
fn a_task_whose_setup_has_not_run_is_not_started() {
    let asks = r#"
static void note(void *user, td_str why) { snprintf(user, 200, "%.*s", (int)why.len, why.ptr); }
TASK(ask) {
    char line[250], why[200] = "";
    int32_t status = host->wait(ctx, td_s("other::there"), note, why);
    snprintf(line, sizeof line, "%d %s", (int)status, why);
    TD_INFO(host, ctx, line);
    return TD_OK;
}
static const td_task tasks[] = {TD_TASK(ask)};
TD_LIBRARY(tasks)
"#;
    let other = r"
PASS(set_up) PASS(there) PASS(too)
static const td_task tasks[] = {TD_TASK(there), TD_TASK(too)};
TD_LIBRARY(tasks, .setup = set_up)
";
    let run = |args: &str| {
        let tdrun = tdrun(args).library("x", asks).library("other", other);
        tdrun.run().stderr
    };
    let refused = "ask: INFO -6 `there` needs the setup of `libother.so`, which runs only where tasks of it are selected";
    let told = run("libx.so libother.so --exclude=there,too");
    assert!(told.contains(refused), "{told}");
    let told = run("libx.so libother.so::too");
    assert!(told.contains("ask: INFO 0\n"), "{told}");
}
