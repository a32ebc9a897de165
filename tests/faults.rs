//! What tasks do wrong, in threads: the outcome is true, the others go on, the last lines say what broke.

mod common;

use std::fmt::Write as _;

use common::tool::{done, tdrun};

#[test]
fn a_failure_skips_its_dependents_and_is_told_again_at_the_end() {
    let source = r#"
PASS(first)
FAIL(broken, "the disk\nis full")
PASS(next)
PASS(last)
TASK(skips) { return TD_SKIPPED(host, ctx, "no network"); }
PASS(after_skip)
static const td_task tasks[] = {
    TD_TASK(first),
    TD_TASK(broken, TD_AFTER(TD_STR("first"))),
    TD_TASK(next, TD_AFTER(TD_STR("broken"))),
    TD_TASK(last, TD_AFTER(TD_STR("next"))),
    TD_TASK(skips),
    TD_TASK(after_skip, TD_AFTER(TD_STR("skips"))),
};
TD_LIBRARY(tasks)
"#;
    let stderr = [
        &done("[thread_0] first", "PASSED", 16),
        &done("[thread_0] broken", "FAILED", 33),
        "    the disk (x.c:3)\n",
        &done("next", "SKIPPED", 50),
        "    skipped: `broken` did not pass\n",
        &done("last", "SKIPPED", 66),
        "    skipped: `next` did not pass, because of `broken`\n",
        &done("[thread_0] skips", "SKIPPED", 83),
        "    skipped: no network\n",
        &done("[thread_0] after_skip", "PASSED", 100),
        "\nfailures:\n\nbroken FAILED\n    the disk\n    is full\n    at x.c:3\n    rerun: tdrun libx.so::broken --env=a\n",
        "\nskipped because of `broken`: next, last\n",
        "tdrun: warning: `--env=…` was given, but no task asked for it\n",
    ];
    let warning = stderr[12];
    let stderr = [&stderr[..10].concat(), warning, &stderr[10..12].concat()].concat();
    tdrun("libx.so -j1 --env=a").library("x", source).expect(
        1,
        "==== 2 passed, 1 failed, 3 skipped in N.NNs ====\n",
        &stderr,
    );
    let anyway = tdrun("libx.so -j1 --no-skip-deps -q")
        .library("x", source)
        .run();
    assert_eq!(
        anyway.stdout,
        "==== 4 passed, 1 failed, 1 skipped in N.NNs ====\n"
    );
}

#[test]
fn many_workers_tell_the_same_lines_as_one() {
    let mut source = String::from("FAIL(t0, \"no\") ");
    let mut table = String::from("TD_TASK(t0),");
    for i in 1..40 {
        let _ = write!(source, "PASS(t{i}) ");
        let before = i / 3 * 3 / 4 + usize::from(i > 8);
        let _ = write!(table, "TD_TASK(t{i}, TD_AFTER(TD_STR(\"t{before}\"))),");
    }
    let _ = write!(
        source,
        "static const td_task tasks[] = {{ {table} }}; TD_LIBRARY(tasks)"
    );
    let lines = |workers: &str| {
        let outcome = tdrun("libx.so").arg(workers).library("x", &source).run();
        assert_eq!(outcome.status, 1);
        let told = outcome.stderr.lines().map(|line| {
            // The worker and the percentage are the only things that may differ.
            let line = line.split(" [").next().unwrap();
            line.split("] ")
                .last()
                .unwrap()
                .trim_end_matches('.')
                .to_owned()
        });
        let mut told: Vec<_> = told.map(|line| line.replace('.', "")).collect();
        told.sort();
        (told, outcome.stdout)
    };
    assert_eq!(lines("-j1"), lines("-j8"));
}

#[test]
fn other_numbers_than_the_three_are_failures_that_are_shown() {
    for (end, message) in [
        ("return 17;", "returned 17"),
        ("return -3;", "returned -3 (TD_E_NOTFOUND)"),
        ("return TD_FAIL;", "returned TD_FAIL without saying why"),
    ] {
        let source = format!(
            "TASK(a) {{ {end} }} static const td_task tasks[] = {{ TD_TASK(a) }}; TD_LIBRARY(tasks)"
        );
        let outcome = tdrun("libx.so -q").library("x", &source).run();
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stderr.contains(&format!("    {message} (x.c:1)\n")),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn text_of_tasks_cannot_speak_to_the_terminal() {
    let source = r#"
TASK(a) {
    TD_INFO(host, ctx, "log \x1b[2J\r\x07 end");
    return TD_FAILED(host, ctx, "fail \x1b]0;title\x07");
}
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so").library("x", source).run();
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!outcome.stderr.contains(control), "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains(r"[thread_0] a: INFO log \u{1b}[2J\r\u{7} end"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains(r"fail \u{1b}]0;title\u{7} (x.c:4)"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_exit_in_a_task_is_a_crash_and_never_status_0() {
    for end in ["exit(0);", "exit(3);"] {
        let source = format!(
            "PASS(before) TASK(quits) {{ {end} }} PASS(after)
            static const td_task tasks[] = {{ TD_TASK(before), TD_TASK(quits, TD_AFTER(TD_STR(\"before\"))), TD_TASK(after, TD_AFTER(TD_STR(\"quits\"))) }};
            TD_LIBRARY(tasks)"
        );
        let tdrun = tdrun("libx.so --junit=out.xml").library("x", &source);
        let outcome = tdrun.run();
        assert_eq!(
            outcome.stdout, "==== 1 passed, 0 failed, 1 skipped, 1 crashed in N.NNs ====\n",
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.status, 1);
        let status = &end[5..6];
        let message = format!("quits CRASHED\n    called `exit({status})`\n");
        assert!(outcome.stderr.contains(&message), "{}", outcome.stderr);
        assert!(tdrun.read("out.xml").contains("exit"));
    }
}

#[test]
fn a_quick_exit_is_noticed_wherever_it_is_called() {
    for (place, summary) in [
        ("TASK", "1 passed, 0 failed, 1 skipped, 1 crashed"),
        ("SETUP", "0 passed, 0 failed, 0 skipped, 3 not run"),
        ("TEARDOWN", "3 passed, 0 failed, 0 skipped"),
        ("THREAD", "1 passed, 0 failed, 1 skipped, 1 crashed"),
    ] {
        let source = r#"
enum { TASK, SETUP, TEARDOWN, THREAD };
static void leave(int here) { if (here == PLACE) quick_exit(0); }
static void *thread(void *unused) { leave(THREAD); return unused; }
PASS(first)
TASK(leaves) {
    pthread_t id;
    leave(TASK);
    pthread_create(&id, NULL, thread, NULL);
    return pthread_join(id, NULL);
}
PASS(dependent)
TASK(setup) { leave(SETUP); return TD_OK; }
TASK(teardown) { leave(TEARDOWN); return TD_OK; }
static const td_task tasks[] = { TD_TASK(first), TD_TASK(leaves, TD_AFTER(TD_STR("first"))), TD_TASK(dependent, TD_AFTER(TD_STR("leaves"))) };
TD_LIBRARY(tasks, .setup = setup, .teardown = teardown)
"#;
        let tdrun =
            tdrun("libx.so -j1 --junit=out.xml").library("x", &source.replace("PLACE", place));
        let outcome = tdrun.run();
        assert_eq!(
            outcome.stdout,
            format!("==== {summary} in N.NNs ====\n"),
            "{place}"
        );
        assert_eq!(outcome.status, 1, "{place}");
        assert!(tdrun.read("out.xml").ends_with("</testsuites>\n"));
    }
}

#[test]
fn a_process_that_a_task_forks_may_exit() {
    let source = r"
TASK(forks) {
    int status;
    pid_t child = fork();
    if (child == 0) exit(7);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status) == 7 ? TD_OK : TD_FAIL;
}
static const td_task tasks[] = { TD_TASK(forks) };
TD_LIBRARY(tasks)
";
    let source = format!("#include <sys/wait.h>\n{source}");
    tdrun("libx.so -q").library("x", &source).expect(
        0,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        "",
    );
}

#[test]
fn a_task_that_runs_out_of_memory_or_leaves_by_a_jump_has_crashed() {
    let source = |what: &str| {
        format!(
            "#include <setjmp.h>\n#include <sys/resource.h>
            TASK(ruins) {{ {what} return TD_OK; }} PASS(next) PASS(other)
            static const td_task tasks[] = {{ TD_TASK(ruins), TD_TASK(next, TD_AFTER(TD_STR(\"ruins\"))), TD_TASK(other) }};
            TD_LIBRARY(tasks)"
        )
    };
    let no_memory = "struct rlimit limit = {256 << 20, 256 << 20}; setrlimit(RLIMIT_AS, &limit);
        for (;;) { char *more = malloc(1 << 20); if (more == NULL) abort(); *more = 1; }";
    let jump = "static jmp_buf nowhere; longjmp(nowhere, 1);";
    for (what, why) in [(no_memory, "killed by SIGABRT"), (jump, "killed by SIG")] {
        for mode in ["never", "all"] {
            let tdrun = tdrun(&format!("libx.so -j1 --isolate={mode}")).library("x", &source(what));
            let outcome = tdrun.run();
            let summary = "==== 1 passed, 0 failed, 1 skipped, 1 crashed in N.NNs ====\n";
            assert_eq!(
                (outcome.status, outcome.stdout.as_str()),
                (1, summary),
                "{}",
                outcome.stderr
            );
            let told = format!("\nruins CRASHED\n    {why}");
            assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        }
    }
}

/// It has a copy of all that is tdrun, but is not the process that the run is in.
#[test]
fn a_process_that_a_task_forks_may_return() {
    let source = r#"
#include <sys/wait.h>
static void run(const char *name) { FILE *file = fopen(name, "a"); fputc('x', file); fclose(file); }
static int32_t forked(const td_host *host, td_ctx ctx) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) { host->state_set(ctx, td_s("of"), TD_TEXT, td_s("copy")); printf("held back"); return TD_OK; }
    waitpid(child, &status, 0);
    return status == 0 ? TD_FAILED(host, ctx, "parent") : 9;
}
TASK(setup) { return fork() == 0 ? TD_FAIL : TD_OK; }
TASK(forks) { return forked(host, ctx); }
TASK(dependent) { run("dependent"); return TD_OK; }
TASK(next) { run("next"); return TD_OK; }
static const td_task tasks[] = { TD_TASK(forks), TD_TASK(dependent, TD_AFTER(TD_STR("forks"))), TD_TASK(next) };
TD_LIBRARY(tasks, .setup = setup, .teardown = setup)
"#;
    for mode in ["-j1", "-j3", "-j1 --isolate=all --show-output=all"] {
        let tdrun = tdrun("libx.so --journal=j").args(mode).library("x", source);
        let outcome = tdrun.run();
        // There it speaks for the task, as all do that have its socket.
        let is_recorded = tdrun.read("j").contains("copy");
        assert!(mode.contains("isolate") || !is_recorded, "{mode}");
        let both = outcome.stdout + &outcome.stderr;
        let summary = "==== 1 passed, 1 failed, 1 skipped in N.NNs ====\n";
        for once in [
            summary,
            "] forks ..",
            "\n    parent",
            "] next ..",
            "held back",
        ] {
            let twice = if once == "\n    parent" { 2 } else { 1 };
            assert_eq!(
                both.matches(once).count(),
                twice,
                "{mode}: `{once}` in {both}"
            );
        }
        assert!(!both.contains("setup FAILED"), "{mode}: {both}");
        assert_eq!((outcome.status, &*tdrun.read("next")), (1, "x"), "{mode}");
        assert!(!tdrun.dir.join("dependent").exists(), "{mode}");
    }
}

#[test]
fn a_library_that_changes_under_the_run_is_told() {
    for change in ["rename(\"new\", \"libx.so\")", "unlink(\"libx.so\")"] {
        let source = format!(
            "TASK(changes) {{ return {change}; }} static const td_task tasks[] = {{ TD_TASK(changes) }}; TD_LIBRARY(tasks)"
        );
        tdrun("libx.so").library("x", &source).file("new", "").expect(
            0,
            "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
            &(done("[thread_0] changes", "PASSED", 100) + "tdrun: warning: `libx.so` has changed since it was loaded; what ran is as it was then (load.changed)\n"),
        );
    }
}

#[test]
fn limits_that_a_task_sets_do_not_end_the_run() {
    let source = |limit: &str| {
        format!(
            "#include <sys/resource.h>
            TASK(limits) {{ struct rlimit none = {{0, 0}}; return setrlimit({limit}, &none); }}
            static const td_task tasks[] = {{ TD_TASK(limits) }}; TD_LIBRARY(tasks)"
        )
    };
    let run = |limit: &str| {
        let tdrun = tdrun("libx.so -q --junit=out.xml")
            .library("x", &source(limit))
            .file("out.xml", "old");
        let outcome = tdrun.run();
        assert_eq!(
            outcome.stdout,
            "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n"
        );
        (outcome.status, outcome.stderr, tdrun.read("out.xml"))
    };
    let (status, _, report) = run("RLIMIT_NOFILE");
    assert!(
        status == 0 && report.ends_with("</testsuites>\n"),
        "{report}"
    );
    let (status, error, report) = run("RLIMIT_FSIZE");
    assert_eq!((status, report.as_str()), (74, "old"), "{error}");
    assert_eq!(
        error,
        "tdrun: error[io.output]: cannot write `out.xml`: File too large\n"
    );
}

#[test]
fn what_a_task_may_not_do_is_a_number_and_the_task_goes_on() {
    let source = r#"
static char big[(64 << 20) + 2];
static const char *deep(int levels) {
    memset(big, '[', levels);
    memset(big + levels, ']', levels);
    big[2 * levels] = 0;
    return big;
}
#define IS(call, code) TD_CHECK(host, ctx, (call) == (code))
static void seen(void *count, td_str value) { if (value.len == 1 && *value.ptr == '2') ++*(int *)count; }
TASK(sets) {
    IS(host->result_set(ctx, TD_JSON, td_s("1")), TD_OK);
    IS(host->result_set(ctx, TD_JSON, td_s("2")), TD_OK);
    IS(host->result_set(ctx, TD_JSON, td_s("{oops")), TD_E_JSON);
    IS(host->result_set(ctx, TD_JSON, td_s(deep(200))), TD_E_JSON);
    IS(host->result_set(ctx, TD_TEXT, td_s("\xff")), TD_E_ARG);
    memset(big, 'x', sizeof big);
    IS(host->result_set(ctx, TD_TEXT, (td_str){big, (64 << 20) + 1}), TD_E_TOOBIG);
    return TD_OK;
}
FAIL(fails, "no")
TASK(skips) { host->result_set(ctx, TD_JSON, td_s("1")); return TD_SKIPPED(host, ctx, "no"); }
TASK(gets) {
    int count = 0;
    IS(host->result_get(ctx, td_s("sets"), TD_JSON, seen, &count), TD_OK);
    IS(count, 1);
    IS(host->result_get(ctx, td_s("fails"), TD_JSON, seen, &count), TD_E_NOTFOUND);
    IS(host->result_get(ctx, td_s("skips"), TD_JSON, seen, &count), TD_E_NOTFOUND);
    IS(host->result_get(ctx, td_s("nobody"), TD_JSON, seen, &count), TD_E_NOTFOUND);
    IS(host->state_set(ctx, td_s("results"), TD_JSON, td_s("1")), TD_E_DENIED);
    IS(host->unlock(ctx, td_s("never taken")), TD_E_NOTFOUND);
    IS(host->lock(ctx, td_s("kept")), TD_OK);
    return TD_OK;
}
TASK(takes) { IS(host->lock(ctx, td_s("kept")), TD_OK); return TD_OK; }
static const td_task tasks[] = {
    TD_TASK(sets), TD_TASK(fails), TD_TASK(skips), TD_TASK(gets, TD_AFTER(TD_STR("sets"), TD_STR("skips"), TD_STR("fails"))),
    TD_TASK(takes, TD_AFTER(TD_STR("gets"))),
};
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so -j1 -q --no-skip-deps")
        .library("x", source)
        .run();
    assert_eq!(
        outcome.stdout, "==== 3 passed, 1 failed, 1 skipped in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_exit_in_a_constructor_is_an_error() {
    let source = "__attribute__((constructor)) static void quit(void) { exit(0); }
        PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let error = "error[load.exit]: `libx.so` called `exit(0)` while it was being loaded\n  its constructors run then, and those of the libraries that it needs";
    tdrun("libx.so").library("x", source).expect_error(1, error);
}

#[test]
fn an_exit_in_setup_runs_no_task() {
    let source = "TASK(setup) { exit(0); } PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks, .setup = setup)";
    let outcome = tdrun("libx.so").library("x", source).run();
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 1 not run in N.NNs ====\n"
    );
    let error = "tdrun: error[setup.failed]: setup of `libx.so` failed: called `exit(0)`\n";
    assert!(outcome.stderr.ends_with(error), "{}", outcome.stderr);
}

#[test]
fn a_failed_setup_runs_no_task_and_a_failed_teardown_keeps_the_results() {
    let source = |hooks: &str| {
        format!(
            "FAIL(bad, \"no database\") PASS(good) PASS(a) PASS(b)
            static const td_task tasks[] = {{ TD_TASK(a), TD_TASK(b) }};
            TD_LIBRARY(tasks, {hooks})"
        )
    };
    let setup = [
        "setup FAILED\n    no database (x.c:1)\nstopping: setup did not pass\n",
        "\nnot run, setup did not pass: a, b\n",
        "tdrun: error[setup.failed]: setup of `libx.so` failed: no database (x.c:1)\n",
    ];
    tdrun("libx.so -j1")
        .library("x", &source(".setup = bad, .teardown = good"))
        .expect(
            1,
            "==== 0 passed, 0 failed, 0 skipped, 2 not run in N.NNs ====\n",
            &setup.concat(),
        );
    let teardown = [
        &done("[thread_0] a", "PASSED", 50),
        &done("[thread_0] b", "PASSED", 100),
        "teardown FAILED\n    no database (x.c:1)\n",
        "\ntdrun: error[teardown.failed]: teardown of `libx.so` failed: no database (x.c:1)\n",
    ];
    tdrun("libx.so -j1")
        .library("x", &source(".setup = good, .teardown = bad"))
        .expect(
            1,
            "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n",
            &teardown.concat(),
        );
}

#[test]
fn enough_failures_stop_the_run_but_not_what_runs() {
    let source = r#"
TASK(slow) { wait_for("gate"); return TD_OK; }
TASK(bad) { int fd = open("gate", O_WRONLY); if (write(fd, "x", 1) != 1) return 5; close(fd); return TD_FAIL; }
PASS(later)
static const td_task tasks[] = { TD_TASK(slow), TD_TASK(bad), TD_TASK(later, TD_AFTER(TD_STR("slow"))) };
TD_LIBRARY(tasks)
"#;
    // `slow` has the longer chain and goes first; it ends only after `bad` has begun.
    let one = "FAIL(a, \"no\") PASS(b) static const td_task tasks[] = { TD_TASK(a), TD_TASK(b) }; TD_LIBRARY(tasks)";
    for option in ["-x", "--fail-fast", "--max-fail=1"] {
        let outcome = tdrun("libx.so -j1").arg(option).library("x", one).run();
        assert_eq!(
            outcome.stdout,
            "==== 0 passed, 1 failed, 0 skipped, 1 not run in N.NNs ====\n"
        );
        assert!(
            outcome
                .stderr
                .contains("\nnot run, stopped after 1 failure: b\n"),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.status, 1);
    }
    let both = tdrun("libx.so -j2 --max-fail=2 -q")
        .library("x", source)
        .fifo("gate")
        .run();
    assert_eq!(
        both.stdout, "==== 2 passed, 1 failed, 0 skipped in N.NNs ====\n",
        "{}",
        both.stderr
    );
}

#[test]
fn text_without_a_newline_appears() {
    let source = "TASK(a) { printf(\"no newline\"); return TD_OK; } static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let outcome = tdrun("libx.so -q").library("x", source).run();
    assert!(outcome.stdout.contains("no newline"), "{outcome:?}");
}

#[test]
fn a_task_may_use_most_of_eight_mebibytes_of_stack() {
    let source = "
static int depth(int left) { volatile char page[4096]; page[0] = (char)left; return left ? depth(left - 1) + page[0] * 0 : 0; }
TASK(a) { return depth(6 * 256); }
static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    assert_eq!(tdrun("libx.so").library("x", source).run().status, 0);
}

#[test]
fn a_task_that_moves_or_closes_things_does_not_reach_the_reports() {
    let source = r#"
#include <sys/stat.h>
TASK(moves) { return chdir("/") == 0 ? TD_OK : TD_FAIL; }
TASK(closes) { for (int fd = 0; fd < 500; fd++) close(fd); umask(0777); return TD_OK; }
static const td_task tasks[] = { TD_TASK(moves), TD_TASK(closes, TD_AFTER(TD_STR("moves"))) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so --junit=out.xml --events=out.jsonl --log").library("x", source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout,
        "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n"
    );
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    for file in [
        "out.xml",
        "out.jsonl",
        "tdrun_main.log",
        "tdrun_thread_0.log",
    ] {
        assert!(tdrun.dir.join(file).exists(), "{file}");
    }
}

#[test]
fn a_thread_that_a_task_leaves_behind_gets_an_error_and_the_end_is_always_the_same() {
    let source = r#"
static const td_host *the_host;
__attribute__((noreturn)) static void *late(void *ctx) {
    for (;;) if (the_host->log(*(td_ctx *)ctx, TD_LOG_INFO, td_s(""), td_s("late"), td_s(""), 0) == TD_E_STALE)
        the_host->state_set(*(td_ctx *)ctx, td_s("k"), TD_TEXT, td_s("v"));
}
TASK(leaves) {
    static td_ctx kept;
    pthread_t thread;
    kept = ctx;
    the_host = host;
    return pthread_create(&thread, NULL, late, &kept);
}
static const td_task tasks[] = { TD_TASK(leaves) };
TD_LIBRARY(tasks)
"#;
    for _ in 0..50 {
        let outcome = tdrun("libx.so -q").library("x", source).run();
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    }
}

#[test]
fn destructors_cannot_change_the_status() {
    for destructor in [
        "abort();",
        "*(volatile int *)8 = 1;",
        "for (;;) pause();",
        "sigset_t all; sigfillset(&all); pthread_sigmask(SIG_BLOCK, &all, 0); for (;;) pause();",
        "exit(7);",
    ] {
        for (end, status) in [("return TD_OK;", 0), ("return TD_FAIL;", 1)] {
            let source = format!(
                "__attribute__((destructor)) static void broken(void) {{ {destructor} }}
                TASK(a) {{ {end} }} static const td_task tasks[] = {{ TD_TASK(a) }}; TD_LIBRARY(tasks)"
            );
            let outcome = tdrun("libx.so -q").library("x", &source).run();
            assert_eq!(outcome.status, status, "{destructor} {outcome:?}");
            assert!(outcome.stdout.ends_with("in N.NNs ====\n"), "{outcome:?}");
        }
    }
}

#[test]
fn locks_that_would_wait_for_each_other_are_refused() {
    let source = r#"
static pthread_barrier_t both;
__attribute__((constructor)) static void init(void) { pthread_barrier_init(&both, NULL, 2); }
static int32_t cross(const td_host *host, td_ctx ctx, const char *first, const char *second) {
    if (host->lock(ctx, td_s(first)) != TD_OK) return 3;
    pthread_barrier_wait(&both);
    int32_t status = host->lock(ctx, td_s(second));
    return status == TD_E_DEADLOCK ? TD_FAILED(host, ctx, "deadlock") : status;
}
TASK(ab) { return cross(host, ctx, "a", "b"); }
TASK(ba) { return cross(host, ctx, "b", "a"); }
static const td_task tasks[] = { TD_TASK(ab), TD_TASK(ba) };
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so -j2 -q").library("x", source).run();
    assert_eq!(
        outcome.stdout, "==== 1 passed, 1 failed, 0 skipped in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_limit_on_files_is_an_error_of_what_is_written_and_not_the_end() {
    let source = "
TASK(crashes) { abort(); }
static const td_task tasks[] = { TD_TASK(crashes) };
TD_LIBRARY(tasks)";
    let lost =
        "killed by SIGABRT\n  no other one can go on, as what has happened could not be recorded";
    for (script, told) in [
        // Nothing that is needed for a run is a file that grows.
        ("ulimit -f 0; $TDRUN", lost),
        ("ulimit -f 0; $TDRUN --isolate", "CRASHED"),
        ("ulimit -f 0; $TDRUN 2>err", ""),
        (
            "ulimit -f 0; $TDRUN --run-under=env",
            "error[isolate.fork]: cannot start processes for tasks: File too large",
        ),
    ] {
        let outcome = tdrun("libx.so").library("x", source).shell(script);
        assert!(
            outcome.status == 1 && outcome.stderr.contains(told),
            "{script}: {outcome:?}"
        );
    }
}
