//! How the processes of tasks come into being: forked, started afresh, behind a command, under a debugger.

mod common;

use common::apart::*;
use common::tool::tdrun;

#[test]
fn where_a_fork_is_not_safe_programs_are_started_and_one_line_says_so() {
    let source = r#"
static void *sleeps(void *nothing) { for (;;) pause(); return nothing; }
__attribute__((constructor)) static void loaded(void) {
    pthread_t thread;
    pthread_create(&thread, 0, sleeps, 0);
}
PASS(fine)
TASK(crashes) { raise(SIGSEGV); return TD_OK; }
TASK(made) { return host->param(ctx, S("n"), see, 0) || strcmp(seen, "7"); }
static const td_task tasks[] = {
    TD_TASK(fine), TD_TASK(crashes), TD_TASK(last, .run = made, .name = TD_STR("made::[n]")),
};
"#;
    let source = source.replace(
        "TD_TASK(last, .run = made, .name = TD_STR(\"made::[n]\"))",
        "{.size = sizeof(td_task), .name = TD_STR(\"made::[n]\"), .run = made}",
    );
    let (tdrun, mark) = marked("fresh", "--isolate libx.so::made::7", &source);
    let outcome = tdrun.run();
    let note = "tdrun: note: `libx.so` started 1 thread at load; tasks run in fresh processes\n";
    assert!(outcome.stderr.starts_with(note), "{}", outcome.stderr);
    assert_eq!(
        outcome.stdout, "==== 2 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    expect_line(&outcome.stderr, "killed by SIGSEGV");
    mark.expect_nobody();
}

#[test]
fn the_record_decides_and_not_what_the_prefix_ends_with() {
    let source = "PASS(fine) FAIL(fails, \"no\") TASK(exits) { exit(3); }
static const td_task tasks[] = { TD_TASK(fine), TD_TASK(fails), TD_TASK(exits) };";
    let prefix = r#"sh -c '"$0" "$@"; exit 1'"#;
    let outcome = with("-j1", source)
        .arg(format!("--run-under={prefix}"))
        .run();
    assert_eq!(
        outcome.stdout, "==== 1 passed, 1 failed, 0 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    let (tdrun, mark) = marked("lost", "-j1 libx.so::fine", source);
    let outcome = tdrun
        .arg(r"--run-under=sh -c 'echo x >> tries; exit 3'")
        .run();
    assert_eq!(outcome.status, 1);
    assert!(
        failure(&outcome.stderr, "fine")
            .contains("CRASHED\n    lost 3 times: `sh` exited with status 3 before it had started the task\n    a command has to run"),
        "{}",
        outcome.stderr
    );
    mark.expect_nobody();
}

#[test]
fn a_command_may_end_before_what_it_starts_and_is_told_of_by_its_name() {
    let source = r#"
TASK(late) { usleep(100000); return host->result_set(ctx, TD_JSON, S("1")); }
PASS(fine)
TASK(crashes) { usleep(20000); raise(SIGSEGV); return TD_OK; }
TASK(hangs) { for (;;) pause(); }
static const td_task tasks[] = { TD_TASK(late), TD_TASK(fine), TD_TASK(crashes), TD_TASK(hangs) };
"#;
    let (tdrun, mark) = marked("early", "-j4 --grace=1s", source);
    let outcome = tdrun.arg(r#"--run-under=sh -c '"$0" "$@" &'"#).run();
    assert_eq!(
        outcome.stdout, "==== 2 passed, 0 failed, 0 skipped, 2 crashed; 1 leaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    for (task, why) in [
        (
            "crashes",
            "`sh …` exited with status 0 before the task had finished\n",
        ),
        (
            "hangs",
            "`sh` exited with status 0, and the task was not done 1s later\n    a command has to wait for what it starts\n",
        ),
    ] {
        let told = failure(&outcome.stderr, task);
        assert!(told.contains(&format!("CRASHED\n    {why}")), "{told}");
    }
    mark.expect_nobody();
    let outcome = with("-j1 --exclude=hangs", source)
        .arg(r#"--run-under=sh -c '"$0" "$@"; exit $?'"#)
        .run();
    expect_line(
        &outcome.stderr,
        "`sh …` exited with status 139 (128 + SIGSEGV) before the task had finished",
    );
}

#[test]
fn a_debugger_that_is_left_is_not_started_again() {
    let source = r"
TASK(looked_at) { kill(getpid(), SIGKILL); return TD_OK; }
static const td_task tasks[] = { TD_TASK(looked_at, .retries = 2) };
";
    for (script, why) in [
        (
            "exit 0",
            "the debugger ended before it had started the task: `sh` exited with status 0\n    in gdb and lldb `run` starts it\n",
        ),
        (
            r#""$@"; exit 0"#,
            "the debugger ended before the task did: `sh` exited with status 0\n",
        ),
    ] {
        let (tdrun, mark) = marked("debugger", "", source);
        let tdrun = tdrun
            .arg("--debugger=sh ./debugger")
            .file("debugger", format!("echo x >> starts\n{script}\n"));
        let outcome = tdrun.run();
        assert_eq!(outcome.status, 1);
        let told = failure(&outcome.stderr, "looked_at");
        assert!(told.contains(&format!("CRASHED\n    {why}")), "{told}");
        assert_eq!(tdrun.read("starts"), "x\n");
        mark.expect_nobody();
    }
}

#[test]
fn a_lost_process_is_started_again_on_a_budget_of_its_own() {
    let source = "PASS(fine)\nstatic const td_task tasks[] = { TD_TASK(fine) };";
    let script = r#"#!/bin/sh
echo x >> tries
test $(wc -l < tries) -gt "$LOSSES" || exit 9
exec "$@"
"#;
    for (losses, summary) in [
        ("2", "1 passed, 0 failed"),
        ("3", "0 passed, 0 failed, 0 skipped, 1 crashed"),
    ] {
        let tdrun = with("--run-under=./prefix", source)
            .file("prefix", script)
            .env("LOSSES", losses);
        let outcome = tdrun.shell("chmod +x prefix; $TDRUN");
        assert!(
            outcome.stdout.contains(summary),
            "{losses}: {} {}",
            outcome.stdout,
            outcome.stderr
        );
        assert_eq!(tdrun.read("tries").lines().count(), 3);
    }
}

#[test]
fn a_debugger_gets_the_one_task_after_what_that_comes_after() {
    let source = r#"
TASK(before) { return host->result_set(ctx, TD_JSON, S("5")); }
TASK(looked_at) {
    char c = 0;
    if (read(0, &c, 1) != 1 || c != 'y') return TD_FAILED(host, ctx, "not our standard input");
    usleep(200000);
    printf("said\n");
    return host->result_get(ctx, S("before"), TD_JSON, see, 0) || strcmp(seen, "5");
}
PASS(other)
static const td_task tasks[] = { TD_TASK(before), TD_TASK(looked_at, TD_AFTER(TD_STR("before")), .timeout_ms = 100), TD_TASK(other) };
"#;
    let script = "#!/bin/sh\necho \"debugging $#\"\nexec \"$@\"\n";
    let tdrun = |target: &str| {
        tdrun("")
            .args(target)
            .arg("--debugger=sh ./debugger")
            .library("x", &format!("{WORDS}{source}\nTD_LIBRARY(tasks)\n"))
            .file("debugger", script)
    };
    let outcome = tdrun("libx.so::looked_at").shell("echo y | $TDRUN");
    assert_eq!(
        outcome.stdout, "debugging 2\nsaid\n==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 0);
    tdrun("libx.so").expect_error(2, "error[usage.debugger]: `--debugger` looks into one task, and 3 are selected\n  select it by its name: `lib.so::task`");
}

#[test]
fn the_hidden_words_are_refused_by_hand() {
    let refusal = "error[usage.internal]: `@tdrun-process` is for tdrun itself\n  `tdrun -h` shows what is for people";
    for words in [
        "@tdrun-process",
        "@tdrun-process 3 4 5",
        "@tdrun-process 1 2 3 x",
        "@tdrun-process a b c d",
    ] {
        tdrun(words).expect_error(2, refusal);
    }
}

#[test]
fn a_fork_that_the_system_refuses_is_tried_again_and_no_task_is_dropped() {
    if !has_strace() {
        return;
    }
    let source = "PASS(a) PASS(b) PASS(c)\nstatic const td_task tasks[] = { TD_TASK(a), TD_TASK(b), TD_TASK(c) };";
    let fine = "==== 3 passed, 0 failed, 0 skipped in N.NNs ====\n";
    for (error, when) in [("EAGAIN", "2..6"), ("ENOMEM", "3"), ("EAGAIN", "2..10+2")] {
        // Each process counts for itself: the first one of the runner is the server.
        let script = format!(
            "strace -f -qq -o trace -e trace=clone -e inject=clone:error={error}:when={when} $TDRUN"
        );
        let outcome = with("--isolate -q -j2", source).shell(&script);
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            (fine, ""),
            "{error} {when}"
        );
    }
    let script = "strace -f -qq -o trace -e trace=clone -e inject=clone:error=EPERM:when=2+ $TDRUN";
    let outcome = with("--isolate -q -j1", source).shell(script);
    assert_eq!(
        outcome.stdout,
        "==== 1 passed, 2 failed, 0 skipped in N.NNs ====\n"
    );
    assert!(
        failure(&outcome.stderr, "b").contains("isolate.fork: Operation not permitted"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn where_there_are_too_few_descriptors_fewer_run_at_the_same_time() {
    let source = r#"
TASK(some) { usleep(1000); printf("some\n"); return host->state_set(ctx, S("key"), TD_JSON, S("1")); }
static const td_task tasks[] = {
    TD_TASK_NAMED(some, "some::[n]::[m]", TD_PARAMS(
        TD_PARAM("n", TD_CHOICES(TD_STR("0"), TD_STR("1"), TD_STR("2"), TD_STR("3"), TD_STR("4"), TD_STR("5"))),
        TD_PARAM("m", TD_CHOICES(TD_STR("0"), TD_STR("1"), TD_STR("2"), TD_STR("3"), TD_STR("4"), TD_STR("5"))))),
};
"#;
    for isolate in ["--isolate", "--run-under=env"] {
        let tdrun = with(&format!("-j36 -q {isolate}"), source);
        let outcome = tdrun.shell("ulimit -n 40; $TDRUN");
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("==== 36 passed, 0 failed, 0 skipped in N.NNs ====\n", "")
        );
        let outcome = tdrun.shell("ulimit -n 20; $TDRUN");
        let error = "tdrun: error[isolate.limit]: cannot start processes for tasks with 20 open files\n  raise the limit with `ulimit -n 1024`\n";
        assert_eq!((outcome.status, outcome.stderr.as_str()), (1, error));
    }
}
