//! Tasks in processes of their own: they mean what they mean in threads, and whatever one does, it is only that one.

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use common::mark::Mark;
use common::tool::{Tdrun, done, tdrun};

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
__attribute__((unused)) static int parent_of(int process) {
    char path[64];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "r");
    if (fscanf(file, "%*d %*s %*c %d", &parent) != 1) parent = 0;
    fclose(file);
    return parent;
}
"#;

/// A library of these tasks, and `tdrun` with these arguments.
fn with(args: &str, source: &str) -> Tdrun {
    let source = format!("{WORDS}#line 1\n{source}\nTD_LIBRARY(tasks)\n");
    // Some of them never return.
    let flags = ["-Wno-return-type"];
    tdrun("libx.so")
        .args(args)
        .library_with("x", &source, &flags)
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

/// As [`with`], and its mark.
fn marked(name: &str, args: &str, source: &str) -> (Tdrun, Mark) {
    let mark = Mark::new(name);
    (with(args, source).env(Mark::NAME, mark.value()), mark)
}

/// The number that a task has written to a file.
fn number(tdrun: &Tdrun, file: &str) -> i32 {
    tdrun.read(file).trim().parse().expect("a number")
}

/// The first child of a process.
fn child(process: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.expect("it is there");
    let first = children.split_whitespace().next().expect("a child");
    first.parse().expect("a number")
}

fn signal(process: i32, name: &str) {
    let mut kill = Command::new("sh");
    let process = process.to_string();
    let sent = kill
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
        .status();
    assert!(sent.expect("a shell").success());
}

#[track_caller]
fn expect_line(stderr: &str, line: &str) {
    assert!(
        stderr
            .lines()
            .any(|told| told.trim_start().starts_with(line)),
        "`{line}` is not in:\n{stderr}"
    );
}

/// What stands in the failures for a task.
#[track_caller]
fn failure(stderr: &str, task: &str) -> String {
    let failures = stderr
        .split_once("\nfailures:\n")
        .expect("there are some")
        .1;
    let mut parts = failures.split("\n\n");
    let mine = parts.find(|part| part.trim_start().starts_with(&format!("{task} ")));
    mine.unwrap_or_else(|| panic!("{task} is not in:\n{failures}"))
        .to_owned()
}

#[test]
fn whatever_ends_a_process_crashes_that_task_alone() {
    let source = r#"
TASK(segv) { raise(SIGSEGV); return TD_OK; }
TASK(writes_null) { *(volatile int *)(size_t)(ctx & 0) = 1; return TD_OK; }
TASK(aborts) { abort(); }
TASK(killed) { raise(SIGKILL); return TD_OK; }
TASK(real_time) { kill(getpid(), 37); return TD_OK; }
static int deep(volatile int *x) { volatile char room[4096]; room[0] = (char)*x; return *x ? deep((volatile int *)&room) + deep(x) : 0; }
TASK(overflows) { volatile int one = 1; for (;;) if (deep(&one) == 0x7fffffff) return TD_OK; }
TASK(exits_0) { exit(0); }
TASK(exits_3) { exit(3); }
TASK(leaves_0) { _exit(0); }
TASK(quick) { quick_exit(0); }
TASK(becomes) { execl("/bin/true", "true", (char *)0); return TD_OK; }
TASK(thread_ends) { pthread_exit(0); }
TASK(no_memory) {
    struct rlimit limit = {64 << 20, 64 << 20};
    setrlimit(RLIMIT_AS, &limit);
    for (;;) { char *more = malloc(1 << 20); if (!more) abort(); *more = 1; }
}
PASS(fine)
PASS(also_fine)
static const td_task tasks[] = {
    TD_TASK(segv), TD_TASK(writes_null), TD_TASK(aborts), TD_TASK(killed), TD_TASK(real_time), TD_TASK(overflows), TD_TASK(exits_0),
    TD_TASK(exits_3), TD_TASK(leaves_0), TD_TASK(quick), TD_TASK(becomes), TD_TASK(thread_ends), TD_TASK(no_memory),
    TD_TASK(fine), TD_TASK(also_fine, TD_AFTER(TD_STR("fine"))),
};
"#;
    let (tdrun, mark) = marked("crash", "--isolate", source);
    let outcome = tdrun.run();
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "==== 2 passed, 0 failed, 0 skipped, 13 crashed in N.NNs ====\n"
    );
    for (task, why) in [
        ("segv", "killed by SIGSEGV"),
        ("writes_null", "killed by SIGSEGV"),
        ("aborts", "killed by SIGABRT"),
        ("killed", "killed by SIGKILL"),
        ("real_time", "killed by signal 37"),
        ("overflows", "killed by SIGSEGV"),
        ("exits_0", "exited with status 0 before finishing"),
        ("exits_3", "exited with status 3 before finishing"),
        ("leaves_0", "exited with status 0 before finishing"),
        ("quick", "exited with status 0 before finishing"),
        ("becomes", "exited with status 0 before finishing"),
        ("thread_ends", "killed by SIGABRT"),
        ("no_memory", "killed by SIGABRT"),
    ] {
        let told = failure(&outcome.stderr, task);
        assert!(
            told.contains(&format!("CRASHED\n    {why}")),
            "{task}: {told}"
        );
    }
    mark.expect_nobody();
}

#[test]
fn what_is_written_to_the_control_socket_is_no_word_of_the_task() {
    let source = r#"
TASK(closes) { close(3); exit(0); }
TASK(closes_all) { for (int fd = 3; fd < 100; fd++) close(fd); return TD_OK; }
TASK(closes_and_returns) { close(3); host->result_set(ctx, TD_JSON, S("1")); return TD_OK; }
TASK(closes_and_stays) { close(3); for (;;) pause(); }
TASK(closes_late_and_stays) { usleep(200000); close(3); setsid(); signal(SIGTERM, SIG_IGN); if (fork() == 0) for (;;) pause(); for (;;) pause(); }
TASK(closes_and_ends_late) { close(3); usleep(300000); return TD_OK; }
TASK(becomes_another) { execlp("sleep", "sleep", "1000", (char *)0); return TD_OK; }
TASK(garbage) { if (write(3, "garbage that is no frame", 24) != 24) abort(); return TD_OK; }
TASK(flood) {
    static char block[1 << 20];
    for (int i = 0; i < 1024; i++) if (write(3, block, sizeof block) < 0) break;
    for (;;) pause();
}
PASS(fine)
static const td_task tasks[] = {
    TD_TASK(closes), TD_TASK(closes_all), TD_TASK(closes_and_returns), TD_TASK(closes_and_stays), TD_TASK(closes_late_and_stays),
    TD_TASK(closes_and_ends_late), TD_TASK(becomes_another), TD_TASK(garbage), TD_TASK(flood), TD_TASK(fine),
};
"#;
    let (tdrun, mark) = marked("control", "--isolate -j4", source);
    // A runner that kept a gigabyte would end by this.
    let outcome = tdrun.shell("ulimit -v 800000; $TDRUN");
    assert_eq!(
        outcome.stdout, "==== 1 passed, 0 failed, 0 skipped, 9 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    let closed = "control channel (descriptor 3) closed by the task";
    let garbage = "garbage in the control channel (descriptor 3) of the task";
    for (task, why) in [
        ("closes", "exited with status 0 before finishing"),
        ("closes_all", closed),
        ("closes_and_returns", closed),
        ("closes_and_stays", closed),
        ("closes_late_and_stays", closed),
        ("closes_and_ends_late", closed),
        (
            "becomes_another",
            "became another program before finishing: /",
        ),
        ("garbage", garbage),
        ("flood", garbage),
    ] {
        let told = failure(&outcome.stderr, task);
        assert!(
            told.contains(&format!("CRASHED\n    {why}")),
            "{task}: {told}"
        );
    }
    mark.expect_nobody();
}

#[test]
fn what_a_forked_process_says_does_not_stand_in_what_the_task_says() {
    let source = r#"
static char much[400000];
TASK(both) {
    memset(much, 'x', sizeof much - 1);
    pid_t child = fork();
    for (int i = 0; i < 50; i++) {
        TD_INFO(host, ctx, much);
        host->progress(ctx, 1, 2, S("half"));
    }
    if (child == 0) return host->state_set(ctx, S("key"), TD_JSON, S("1"));
    waitpid(child, 0, 0);
    return host->state_get(ctx, S("key"), TD_JSON, see, 0) == TD_E_NOTFOUND ? TD_OK : TD_FAILED(host, ctx, "heard");
}
static const td_task tasks[] = { TD_TASK(both) };
"#;
    let outcome = with("--isolate -q", source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

#[test]
fn a_timeout_ends_the_whole_tree_whatever_it_does() {
    let source = r#"
static void child(void (*act)(void)) { if (fork() == 0) { act(); for (;;) pause(); } }
static void nothing(void) {}
static void escape(void) { setsid(); signal(SIGTERM, SIG_IGN); }
static void daemon_like(void) { setsid(); if (fork() > 0) _exit(0); signal(SIGTERM, SIG_IGN); }
TASK(terminates) { child(nothing); for (;;) pause(); }
TASK(ignores) { signal(SIGTERM, SIG_IGN); child(nothing); child(escape); child(daemon_like); for (;;) pause(); }
TASK(stops) { child(escape); raise(SIGSTOP); for (;;) pause(); }
TASK(spins) { signal(SIGTERM, SIG_IGN); for (volatile long i = 0;; i++) {} }
TASK(cleans) {
    while (host->cancelled(ctx) == 0) usleep(1000);
    usleep(20000);
    fclose(fopen("cleaned", "w"));
    return TD_OK;
}
PASS(dependent)
static const td_task tasks[] = {
    TD_TASK(terminates), TD_TASK(ignores), TD_TASK(stops), TD_TASK(spins), TD_TASK(cleans),
    TD_TASK(dependent, TD_AFTER(TD_STR("ignores"))),
};
"#;
    let (tdrun, mark) = marked(
        "timeout",
        "--isolate --timeout=200ms --grace=400ms -j5",
        source,
    );
    let start = Instant::now();
    let outcome = tdrun.run();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        start.elapsed()
    );
    mark.expect_nobody();
    assert_eq!(
        outcome.stdout, "==== 0 passed, 0 failed, 1 skipped, 5 timed out in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stderr.contains("still running"),
        "{}",
        outcome.stderr
    );
    assert!(
        tdrun.dir.join("cleaned").exists(),
        "who asks has the time to end in order"
    );
    for (task, how) in [
        ("terminates", "SIGTERM"),
        ("ignores", "SIGKILL"),
        ("stops", "SIGTERM"),
        ("spins", "SIGKILL"),
    ] {
        let told = failure(&outcome.stderr, task);
        assert!(told.contains(&format!("killed by {how}")), "{task}: {told}");
    }
}

#[test]
fn who_is_started_when_the_time_is_over_ends_with_the_task() {
    let source = r#"
static void tell_and_stay(void) {
    setsid();
    signal(SIGTERM, SIG_IGN);
    FILE *file = fopen("part", "w");
    fprintf(file, "%d", (int)getpid());
    fclose(file);
    rename("part", "escapee");
    for (;;) pause();
}
static void escape(int signal) {
    (void)signal;
    if (fork() == 0) tell_and_stay();
    while (access("escapee", F_OK)) usleep(1000);
    _exit(0);
}
TASK(late) { signal(SIGTERM, escape); for (;;) pause(); }
TASK(looks) {
    int escapee = 0;
    for (int i = 0; i < 10000 && !escapee; i++) {
        usleep(1000);
        FILE *file = fopen("escapee", "r");
        if (file && fscanf(file, "%d", &escapee) != 1) abort();
        if (file) fclose(file);
    }
    for (int i = 0; i < 10000 && kill(escapee, 0) == 0; i++) usleep(1000);
    return kill(escapee, 0) == 0 ? TD_FAILED(host, ctx, "still there") : TD_OK;
}
static const td_task tasks[] = {TD_TASK(late, .timeout_ms = 100), TD_TASK(looks)};
"#;
    let (tdrun, mark) = marked("late", "--isolate -j2", source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout, "==== 1 passed, 0 failed, 0 skipped, 1 timed out in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    mark.expect_nobody();
}

#[test]
fn a_task_that_is_killed_from_outside_has_crashed_and_its_lock_is_free() {
    let source = r#"
static const td_str locks[] = {TD_STR("own")};
TASK(holds) {
    host->lock(ctx, S("db"));
    host->state_set(ctx, S("key"), TD_JSON, S("1"));
    FILE *file = fopen("pid.part", "w");
    fprintf(file, "%d", (int)getpid());
    fclose(file);
    rename("pid.part", "pid");
    TD_INFO(host, ctx, "holds it");
    for (;;) pause();
}
TASK(wants) {
    while (host->state_get(ctx, S("key"), TD_JSON, see, 0) != TD_OK) usleep(1000);
    return host->lock(ctx, S("db")) == TD_OK ? TD_OK : TD_FAILED(host, ctx, "no lock");
}
PASS(wants_declared)
static const td_task tasks[] = {
    TD_TASK(holds, .locks = locks, .lock_count = 1), TD_TASK(wants),
    TD_TASK(wants_declared, .locks = locks, .lock_count = 1),
};
"#;
    let (tdrun, mark) = marked("outside", "--isolate -j2", source);
    let mut running = tdrun.start();
    running.wait_for("holds it");
    signal(number(&tdrun, "pid"), "KILL");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout, "==== 2 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    expect_line(&outcome.stderr, "killed by SIGKILL");
    mark.expect_nobody();
}

#[test]
fn who_dies_while_it_waits_is_told_of_at_once() {
    let source = r#"
TASK(holds) {
    host->lock(ctx, S("db"));
    host->state_set(ctx, S("key"), TD_JSON, S("1"));
    wait_for("gate");
    return TD_OK;
}
TASK(dies) {
    while (host->state_get(ctx, S("key"), TD_JSON, see, 0) != TD_OK) usleep(1000);
    alarm(1);
    host->lock(ctx, S("db"));
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(holds, .timeout_ms = 20000), TD_TASK(dies) };
"#;
    let tdrun = with("--isolate -j2", source).fifo("gate");
    let mut running = tdrun.start();
    running.wait_for("killed by SIGALRM");
    running.open("gate");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout, "==== 1 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
}

/// A task with a family that does not want to end.
const FAMILY: &str = r#"
static void family(void) {
    if (fork() == 0) { signal(SIGTERM, SIG_IGN); for (;;) pause(); }
    if (fork() == 0) { setsid(); signal(SIGHUP, SIG_IGN); if (fork() == 0) for (;;) pause(); for (;;) pause(); }
}
static void tell(const char *name, int number) {
    FILE *file = fopen("part", "w");
    fprintf(file, "%d", number);
    fclose(file);
    rename("part", name);
}
TASK(first) {
    family();
    tell("forker", (int)getppid());
    tell("server", parent_of(getppid()));
    TD_INFO(host, ctx, "runs");
    for (;;) pause();
}
TASK(second) { family(); TD_INFO(host, ctx, "runs"); for (;;) pause(); }
static const td_task tasks[] = { TD_TASK(first), TD_TASK(second) };
"#;

/// The supervisor, the runner, the server, two forkers, and two tasks with three relatives each.
const ALL: usize = 5 + 2 * 4;

#[test]
fn nobody_survives_a_kill_of_tdrun_or_the_second_ctrl_c() {
    for victim in ["kill", "ctrl-c"] {
        let (tdrun, mark) = marked(victim, "--isolate -j2", FAMILY);
        let mut running = tdrun.start();
        running.wait_for("runs");
        running.wait_for("runs");
        mark.wait_for(ALL);
        if victim == "kill" {
            running.signal("KILL");
        } else {
            running.signal("INT");
            running.wait_for("stopping");
            running.signal("INT");
        }
        mark.expect_nobody();
        assert_ne!(running.end().status, 0);
    }
}

#[test]
fn where_the_server_or_a_forker_is_killed_others_go_on() {
    let (tdrun, mark) = marked("server", "--isolate -j2", FAMILY);
    let mut running = tdrun.start();
    for who in ["server", "forker", "server"] {
        running.wait_for("runs");
        running.wait_for("runs");
        // Those of the one before are gone.
        mark.wait_for(ALL);
        signal(number(&tdrun, who), "KILL");
    }
    running.wait_for("runs");
    running.signal("KILL");
    mark.expect_nobody();
}

/// No task is to blame then, and the run goes on.
#[test]
fn a_runner_that_is_killed_again_and_again_costs_no_task() {
    let source = r#"
TASK(waits) { TD_INFO(host, ctx, "waits"); wait_for("gate"); return TD_OK; }
static const td_task tasks[] = { TD_TASK(waits) };
"#;
    let tdrun = with("--isolate", source).fifo("gate");
    let mut running = tdrun.start();
    for _ in 0..3 {
        running.wait_for("waits: INFO waits");
        signal(child(running.pid().cast_signed()), "KILL");
    }
    running.wait_for("waits: INFO waits");
    running.open("gate");
    let outcome = running.end();
    let summary = "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!(outcome.stdout, summary, "{}", outcome.stderr);
}

#[test]
fn who_is_left_behind_is_not_waited_for_and_ends_with_the_run() {
    let source = r#"
TASK(leaves) {
    if (fork() == 0) { for (;;) pause(); }
    if (fork() == 0) { setsid(); signal(SIGTERM, SIG_IGN); for (;;) { usleep(1000); if (write(1, "x", 1) < 0) pause(); } }
    return TD_OK;
}
TASK(looks) { return kill(-1, 0) == 0 ? TD_OK : TD_FAILED(host, ctx, "nobody"); }
static const td_task tasks[] = { TD_TASK(leaves), TD_TASK(looks, TD_AFTER(TD_STR("leaves"))) };
"#;
    let (tdrun, mark) = marked("left", "--isolate", source);
    let start = Instant::now();
    let outcome = tdrun.run();
    let two = "==== 2 passed, 0 failed, 0 skipped; 1 leaky in N.NNs ====\n";
    assert_eq!(outcome.stdout, two, "{}", outcome.stderr);
    assert_eq!(outcome.status, 0);
    let expected = format!(
        "{}    leaky: left running: ",
        done("[thread_0] leaves", "PASSED", 50)
    );
    assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
    assert!(start.elapsed() < Duration::from_secs(3));
    mark.expect_nobody();
}

/// All but the words of a few processes, which say what is asked of each of them.
#[test]
fn what_a_task_writes_to_shared_memory_does_not_reach_the_run() {
    let source = r#"
TASK(overwrites) {
    char line[512];
    unsigned long from, to;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, " rw-s ") && sscanf(line, "%lx-%lx", &from, &to) == 2 && to - from > 65536)
            memset((void *)from, 0xff, 65536);
    return TD_OK;
}
PASS(next)
static const td_task tasks[] = { TD_TASK(overwrites), TD_TASK(next, TD_AFTER(TD_STR("overwrites"))) };
"#;
    let outcome = with("--isolate", source).run();
    let summary = "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (0, summary),
        "{}",
        outcome.stderr
    );
}

/// The runner has adopted them then, and sees to their end.
#[test]
fn who_kills_the_server_while_it_leaves_ends_with_the_run() {
    let source = r"
static pid_t server;
static void kills(int signal) { kill(server, SIGKILL); (void)signal; }
TASK(leaves) {
    int ready[2];
    char c;
    server = parent_of(getppid());
    if (pipe(ready) != 0) return 5;
    if (fork() == 0) { setsid(); signal(SIGTERM, kills); close(ready[1]); close(ready[0]); for (;;) pause(); }
    close(ready[1]);
    return read(ready[0], &c, 1) == 0 ? TD_OK : 6;
}
static const td_task tasks[] = { TD_TASK(leaves) };
";
    let (tdrun, mark) = marked("leaving", "--isolate", source);
    let outcome = tdrun.run();
    let holders = mark.holders();
    assert!(holders.is_empty(), "left behind: {holders:?}");
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

#[test]
fn who_left_what_is_known_and_a_service_outlives_others_that_are_killed() {
    let source = r#"
static int daemon_of(int closes) {
    int ends[2], pid = 0;
    if (pipe(ends)) abort();
    pid_t first = fork();
    if (first == 0) {
        setsid();
        if (fork() == 0) {
            pid = (int)getpid();
            if (write(ends[1], &pid, sizeof pid) < 0) abort();
            for (int fd = 0; closes && fd < 100; fd++) close(fd);
            for (;;) pause();
        }
        _exit(0);
    }
    waitpid(first, 0, 0);
    if (read(ends[0], &pid, sizeof pid) < 0) abort();
    close(ends[0]);
    close(ends[1]);
    return pid;
}
static int32_t tell(const td_host *host, td_ctx ctx, int pid) {
    char text[16];
    return host->result_set(ctx, TD_JSON, (td_str){text, (size_t)snprintf(text, sizeof text, "%d", pid)});
}
TASK(starts) { return tell(host, ctx, daemon_of(1)); }
TASK(hangs) { daemon_of(0); for (;;) pause(); }
TASK(looks) {
    host->result_get(ctx, S("starts"), TD_JSON, see, 0);
    return kill(atoi(seen), 0) ? TD_FAILED(host, ctx, "the service is gone") : TD_OK;
}
static int32_t leaves(const td_host *host, td_ctx ctx, td_str mine, td_str other) {
    host->state_set(ctx, mine, TD_JSON, S("1"));
    while (host->state_get(ctx, other, TD_JSON, see, 0) != TD_OK) usleep(1000);
    return tell(host, ctx, daemon_of(0));
}
TASK(one) { return leaves(host, ctx, S("one"), S("other")); }
TASK(other) { return leaves(host, ctx, S("other"), S("one")); }
static const td_task tasks[] = {
    TD_TASK(starts), TD_TASK(one), TD_TASK(other), TD_TASK(hangs, TD_AFTER(TD_STR("starts")), .timeout_ms = 100),
    TD_TASK_NAMED(hangs, "on_the_other_worker", TD_AFTER(TD_STR("starts")), .timeout_ms = 100),
    TD_TASK(looks, TD_AFTER(TD_STR("starts")), .priority = -1),
};
"#;
    let (tdrun, mark) = marked("daemon", "--isolate -j2 --events=e.jsonl", source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout, "==== 4 passed, 0 failed, 0 skipped, 2 timed out; 2 leaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    mark.expect_nobody();
    let events = tdrun.read("e.jsonl");
    let lines = events
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<serde_json::Value> = lines.collect();
    let of = |event: &str, task: &str| {
        let mut found = lines
            .iter()
            .filter(|line| line["event"] == event && line["task"] == task);
        found.next().cloned().expect("it is there")
    };
    for task in ["one", "other"] {
        let left = &of("task_left", task)["processes"];
        assert_eq!(left[0]["pid"], of("task_finished", task)["result"]);
        assert_eq!(left.as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn each_task_begins_clean() {
    let source = r#"
#include <dirent.h>
static void handler(int number) { (void)number; }
static int variable;
TASK(spoils) {
    if (chdir("/") || setenv("SPOILT", "1", 1)) return TD_FAILED(host, ctx, "cannot");
    umask(0777);
    signal(SIGUSR2, handler);
    signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, 0);
    struct rlimit limit = {4, 4};
    setrlimit(RLIMIT_NOFILE, &limit);
    variable = 1;
    return TD_OK;
}
TASK(looks) {
    char folder[4096];
    if (access("libx.so", F_OK) || !getcwd(folder, sizeof folder)) return TD_FAILED(host, ctx, "another folder");
    if (getenv("SPOILT")) return TD_FAILED(host, ctx, "another environment");
    if (umask(022) == 0777) return TD_FAILED(host, ctx, "another umask");
    if (variable) return TD_FAILED(host, ctx, "another variable");
    for (int number = 1; number < 65; number++) {
        struct sigaction now;
        if (sigaction(number, 0, &now) == 0 && now.sa_handler != SIG_DFL) return TD_FAILED(host, ctx, "a handler");
    }
    sigset_t mask;
    sigprocmask(SIG_SETMASK, 0, &mask);
    for (int number = 1; number < 65; number++)
        if (sigismember(&mask, number) == 1) return TD_FAILED(host, ctx, "a mask");
    DIR *all = opendir("/proc/self/fd");
    struct dirent *one;
    while ((one = readdir(all)))
        if (atoi(one->d_name) > 3 && atoi(one->d_name) != dirfd(all)) return TD_FAILED(host, ctx, one->d_name);
    closedir(all);
    char c;
    if (read(0, &c, 1) != 0) return TD_FAILED(host, ctx, "standard input has something");
    if (getpgrp() != getpid()) return TD_FAILED(host, ctx, "no group of its own");
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(spoils), TD_TASK(looks, TD_AFTER(TD_STR("spoils"))) };
"#;
    let tdrun = with("--isolate -q", source);
    let fine = "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n";
    tdrun.expect(0, fine, "");
    // What the user ignores, and has open, is the user's.
    let outcome = tdrun.shell("trap '' INT HUP USR1; exec 7<libx.so; $TDRUN");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        (fine, "")
    );
}

#[test]
fn what_a_task_does_to_its_descriptors_is_nothing_to_the_next() {
    let source = r#"
#include <fcntl.h>
#include <sys/socket.h>
TASK(never_waits) { for (int fd = 1; fd < 4; fd++) fcntl(fd, F_SETFL, O_NONBLOCK); return TD_OK; }
TASK(writes_much) {
    char line[100];
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 5000; i++) if (write(1, line, sizeof line) != sizeof line) return TD_FAILED(host, ctx, "short");
    return TD_FAILED(host, ctx, "shows it");
}
TASK(hears_nothing) { shutdown(3, SHUT_RD); return TD_OK; }
TASK(asks) { return host->state_set(ctx, S("key"), TD_JSON, S("1")) == TD_OK ? TD_OK : TD_FAILED(host, ctx, "stale"); }
TASK(says_nothing) { shutdown(3, SHUT_WR); host->state_set(ctx, S("key"), TD_JSON, S("2")); return TD_OK; }
TASK(asks_again) { return host->state_set(ctx, S("key"), TD_JSON, S("3")) == TD_OK ? TD_OK : TD_FAILED(host, ctx, "stale"); }
TASK(leaves) {
    if (fork() == 0) { for (;;) { if (write(1, "others\n", 7) < 0) _exit(0); usleep(100); } }
    return TD_OK;
}
TASK(is_alone) { usleep(20000); if (write(1, "alone\n", 6) != 6) abort(); return TD_FAILED(host, ctx, "shows it"); }
TASK(small_pipe) { fcntl(1, F_SETPIPE_SZ, 4096); return TD_OK; }
TASK(ends_badly) { if (write(2, "bad\n", 4) != 4) abort(); return TD_FAILED(host, ctx, "bad"); }
static const td_task tasks[] = {
    TD_TASK(never_waits), TD_TASK(writes_much), TD_TASK(hears_nothing), TD_TASK(asks), TD_TASK(says_nothing), TD_TASK(asks_again),
    TD_TASK(leaves), TD_TASK(is_alone), TD_TASK(small_pipe), TD_TASK(ends_badly),
};
"#;
    let (tdrun, mark) = marked("ends", "--isolate -j1 --junit=report.xml", source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout, "==== 6 passed, 3 failed, 0 skipped, 1 crashed; 1 leaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    let said = failure(&outcome.stderr, "says_nothing");
    assert!(said.contains("control channel"), "{said}");
    let report = tdrun.read("report.xml");
    assert_eq!(report.matches(&"x".repeat(500_000)).count(), 1);
    // Each stands with its own task, and nothing else does.
    assert_eq!(
        report.matches("<system-out>alone\n</system-out>").count(),
        1
    );
    assert_eq!(report.matches("<system-err>bad\n</system-err>").count(), 1);
    mark.expect_nobody();
}

#[test]
fn orphans_of_a_task_do_not_stay_as_zombies() {
    let source = r#"
#include <dirent.h>
TASK(has_many) {
    int ended[2];
    if (pipe(ended)) abort();
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) { if (fork() == 0) _exit(0); _exit(0); }
        waitpid(child, 0, 0);
    }
    close(ended[1]);
    /* The last of the orphans has closed its end when this comes to its end. */
    char byte;
    if (read(ended[0], &byte, 1) != 0) abort();
    for (;;) {
        int zombies = 0;
        DIR *folder = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[300], state = 0;
            int parent = 0;
            snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
            FILE *file = fopen(path, "r");
            if (!file) continue;
            if (fscanf(file, "%*d %*s %c %d", &state, &parent) == 2)
                zombies += state == 'Z' && (parent == getpid() || parent == getppid());
            fclose(file);
        }
        closedir(folder);
        if (zombies == 0) return TD_OK;
    }
}
static const td_task tasks[] = { TD_TASK(has_many) };
"#;
    let outcome = with("--isolate --timeout=20s", source).run();
    let one = "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!(outcome.stdout, one, "{}", outcome.stderr);
}

#[test]
fn setup_runs_in_a_process_and_only_state_stays_of_it() {
    let source = r#"
static int variable;
TASK(set_up) {
    variable = 1;
    TD_INFO(host, ctx, "in setup");
    return host->state_set(ctx, S("key"), TD_JSON, S("\"from setup\""));
}
TASK(tear_down) { return host->state_get(ctx, S("key"), TD_JSON, see, 0) || variable; }
TASK(looks) {
    if (variable) return TD_FAILED(host, ctx, "the variable is here");
    return host->state_get(ctx, S("key"), TD_TEXT, see, 0) || strcmp(seen, "from setup");
}
static const td_task tasks[] = { TD_TASK(looks) };
"#;
    let source =
        format!("{WORDS}{source}\nTD_LIBRARY(tasks, .setup = set_up, .teardown = tear_down)\n");
    let outcome = tdrun("libx.so --isolate").library("x", &source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.starts_with("setup: INFO in setup\n"),
        "{}",
        outcome.stderr
    );
    let crashing = source.replace("variable = 1;", "raise(SIGSEGV);");
    let outcome = tdrun("libx.so --isolate").library("x", &crashing).run();
    assert_eq!(outcome.status, 1);
    let error = "tdrun: error[setup.failed]: setup of `libx.so` failed: killed by SIGSEGV";
    expect_line(&outcome.stderr, error);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 1 not run in N.NNs ====\n"
    );
}

#[test]
fn what_a_stream_holds_back_is_written_once() {
    let source = r#"
__attribute__((constructor)) static void loaded(void) { printf("loaded; "); }
PASS(a) PASS(b) PASS(c)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b), TD_TASK(c) };
"#;
    let outcome = with("--isolate -q", source).run();
    assert_eq!(
        outcome.stdout,
        "loaded; ==== 3 passed, 0 failed, 0 skipped in N.NNs ====\n"
    );
}

#[test]
fn ten_thousand_tasks_leave_nothing_behind() {
    let source = r#"
#include <dirent.h>
enum { COUNT = 10000 };
static int entries(const char *format, int process) {
    char path[64];
    snprintf(path, sizeof path, format, process);
    DIR *all = opendir(path);
    int count = 0;
    while (all && readdir(all)) count++;
    if (all) closedir(all);
    return count;
}
static int children_of(int process) {
    char path[64];
    int count = 0, child;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", process, process);
    FILE *file = fopen(path, "r");
    while (fscanf(file, "%d", &child) == 1) count++;
    fclose(file);
    return count;
}
static int pages_of(int process) {
    char path[64];
    int pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", process);
    FILE *file = fopen(path, "r");
    if (fscanf(file, "%*d %d", &pages) != 1) pages = 0;
    fclose(file);
    return pages;
}
PASS(pass)
TASK(counts) {
    char text[512];
    int forker = getppid(), runner = parent_of(parent_of(forker));
    int now[4] = {entries("/proc/%d/fd", runner), entries("/proc/%d/fd", forker), children_of(forker), pages_of(forker)};
    int before[4];
    snprintf(text, sizeof text, "\"%d %d %d %d\"", now[0], now[1], now[2], now[3]);
    td_str value = {text, strlen(text)};
    if (host->state_swap(ctx, S("count"), (td_str){0, 0}, value) == TD_OK) return TD_OK;
    host->state_get(ctx, S("count"), TD_JSON, see, 0);
    sscanf(seen, "\"%d %d %d %d", &before[0], &before[1], &before[2], &before[3]);
    /* The few of a task that is just being started come and go; of pages the system does not count all at once. */
    for (int i = 0; i < 4; i++)
        if (now[i] > before[i] + (i < 3 ? 8 : 64)) return TD_FAILED(host, ctx, strcat(strcat(text, " now, and before "), seen));
    return TD_OK;
}
static td_task tasks[COUNT + 1];
static char names[COUNT + 1][8];
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table,
                             .task_stride = sizeof(td_task), .task_count = COUNT + 1, .tasks = tasks};
    (void)host;
    for (int i = 0; i <= COUNT; i++) {
        tasks[i].size = sizeof(td_task);
        tasks[i].name = (td_str){names[i], (size_t)sprintf(names[i], "t%d", i)};
        tasks[i].run = i % COUNT == 100 % COUNT || i == COUNT ? counts : pass;
    }
    return &table;
}
"#;
    let source = format!("{WORDS}{source}");
    let outcome = tdrun("libx.so --isolate -q -j1")
        .library("x", &source)
        .run();
    assert_eq!(
        outcome.stdout, "==== 10001 passed, 0 failed, 0 skipped in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
}

/// Tasks of which the second looks whether the counts of the first are written.
const COVERED: &str = r#"
#include <dirent.h>
PASS(covered)
TASK(looks) {
    DIR *folder = opendir("counts");
    for (struct dirent *file; folder && (file = readdir(folder));)
        if (strstr(file->d_name, "gcda")) return TD_OK;
    return TD_FAILED(host, ctx, "nothing is written");
}
TASK(stays) { TD_INFO(host, ctx, "stays"); for (;;) pause(); }
static const td_task tasks[] = {
    TD_TASK(covered), TD_TASK(looks, TD_AFTER(TD_STR("covered"))), TD_TASK(stays, .priority = -1),
};
"#;

/// What LLVM adds for its counts, as far as it is looked for: hidden, and its own files.
const LLVM: &str = r#"
__attribute__((used, section("__llvm_prf_cnts"))) static long counts[1];
__attribute__((used)) static int __llvm_profile_write_file(void) {
    mkdir("counts", 0777);
    fclose(fopen("counts/gcda", "w"));
    return 0;
}
"#;

fn has_coverage() -> bool {
    // It leaves notes where it is started.
    let aside = tdrun("libx.so");
    let probe = Command::new("cc")
        .args(["-shared", "-fPIC", "-x", "c", "/dev/null", "-o", "probe.so"])
        .arg("--coverage")
        .current_dir(&aside.dir)
        .status();
    probe.is_ok_and(|status| status.success())
}

fn covered(args: &str, source: &str, flags: &[&str]) -> Tdrun {
    let source = format!("{WORDS}{source}{COVERED}\nTD_LIBRARY(tasks)\n");
    let flags = [&["-Wno-return-type"], flags].concat();
    let tdrun = tdrun("libx.so")
        .args(args)
        .library_with("x", &source, &flags);
    let counts = tdrun.dir.join("counts");
    let counts = counts.to_str().expect("a plain path");
    tdrun
        .env("GCOV_PREFIX", counts)
        .env("GCOV_PREFIX_STRIP", "99")
}

#[test]
fn what_is_covered_is_written_before_a_task_process_ends() {
    let hidden = ["--coverage", "-fvisibility=hidden"];
    // Where nothing else tells of it, it is asked for.
    let asked = ["--coverage", "-s", "-Wl,-u,__gcov_dump"];
    let gcc = [("", &["--coverage"][..]), ("", &hidden), ("", &asked)];
    let gcc = if has_coverage() { &gcc[..] } else { &[] };
    for (source, flags) in gcc.iter().chain(&[(LLVM, &[][..])]) {
        for isolate in ["--isolate", "--run-under=env"] {
            let outcome = covered(&format!("--exclude=stays {isolate}"), source, flags).run();
            assert_eq!(
                outcome.stdout, "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n",
                "{flags:?} {}",
                outcome.stderr
            );
        }
    }
}

#[test]
fn what_is_covered_is_written_where_threads_are_left() {
    let gcc: &[_] = if has_coverage() {
        &[("", &["--coverage"][..])]
    } else {
        &[]
    };
    for (source, flags) in gcc.iter().chain(&[(LLVM, &[][..])]) {
        let tdrun = covered("--exclude=looks", source, flags);
        let mut running = tdrun.start();
        running.wait_for("stays");
        running.signal("INT");
        running.wait_for("stopping");
        running.signal("INT");
        assert_eq!(running.end().status, 130);
        let mut counts = fs::read_dir(tdrun.dir.join("counts")).expect("it is there");
        assert!(counts.next().is_some());
    }
}

#[test]
fn random_numbers_of_two_tasks_differ() {
    let source = r#"
#include <sys/random.h>
static int32_t draw(const td_host *host, td_ctx ctx) {
    unsigned long number = 0;
    char text[32];
    if (getrandom(&number, sizeof number, 0) < 0) return TD_FAIL;
    snprintf(text, sizeof text, "\"%lx\"", number);
    return host->result_set(ctx, TD_JSON, (td_str){text, strlen(text)});
}
TASK(one) { return draw(host, ctx); }
TASK(two) { return draw(host, ctx); }
TASK(compares) {
    char first[256];
    host->result_get(ctx, S("one"), TD_TEXT, see, 0);
    memcpy(first, seen, sizeof first);
    host->result_get(ctx, S("two"), TD_TEXT, see, 0);
    return !strcmp(first, seen);
}
static const td_task tasks[] = {
    TD_TASK(one), TD_TASK(two), TD_TASK(compares, TD_AFTER(TD_STR("one"), TD_STR("two"))),
};
"#;
    assert_eq!(with("--isolate -q", source).run().status, 0);
}

/// Each task tells whether it is in a process of its own.
const WHERE: &str = r#"
static int home;
__attribute__((constructor)) static void loaded(void) { home = (int)getpid(); }
static int32_t where(const td_host *host, td_ctx ctx) {
    TD_INFO(host, ctx, getpid() == home ? "at home" : "apart");
    return TD_OK;
}
TASK(plain) { return where(host, ctx); }
TASK(asks) { return where(host, ctx); }
TASK(timed) { return where(host, ctx); }
static const td_task tasks[] = {
    TD_TASK(plain), TD_TASK(asks, .flags = TD_TASK_ISOLATE), TD_TASK(timed, .timeout_ms = 60000),
    TD_COMMAND(program, "true"),
};
"#;

#[test]
fn who_asks_or_may_hang_is_isolated_as_the_user_wants_it() {
    let source = WHERE.replace("TD_COMMAND(program, \"true\"),", "");
    for (option, apart) in [
        ("", &["asks"][..]),
        ("--isolate", &["plain", "asks", "timed"]),
        ("--isolate=all", &["plain", "asks", "timed"]),
        ("--isolate=auto", &["asks", "timed"]),
        ("--isolate=auto --timeout=60s", &["plain", "asks", "timed"]),
        ("--isolate=never", &[]),
    ] {
        let outcome = with(option, &source).run();
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        for task in ["plain", "asks", "timed"] {
            let place = if apart.contains(&task) {
                "apart"
            } else {
                "at home"
            };
            let line = format!("{task}: INFO {place}\n");
            assert!(
                outcome.stderr.contains(&line),
                "{option}: {}",
                outcome.stderr
            );
        }
    }
}

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
    if Command::new("strace").arg("-V").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no strace");
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

#[test]
fn two_gigabytes_of_output_do_not_stay_in_memory() {
    let source = r#"
TASK(pours) {
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 2048; i++) if (write(1 + i % 2, block, sizeof block) < 0) return TD_FAILED(host, ctx, "nobody reads");
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(pours) };
"#;
    for option in ["", "--no-capture --quiet"] {
        let outcome = with(&format!("--isolate {option}"), source)
            .shell("ulimit -v 800000; $TDRUN >out 2>&1; tail -c 300 out");
        assert!(
            outcome
                .stdout
                .contains("==== 1 passed, 0 failed, 0 skipped in "),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn a_task_that_waits_is_served_while_it_does_and_so_are_its_threads() {
    let source = r#"
static const td_host *table;
static td_ctx own;
static volatile int told;
static void *asks(void *user) {
    td_str none = {0, 0};
    (void)none;
    for (int i = 0; i < 100; i++) {
        if (table->state_set(own, S("thread"), TD_JSON, S("1")) != TD_OK) return user;
        printf("a line that fills the pipe, if nobody reads it: %01000d\n", i);
    }
    fflush(stdout);
    /* `other` waits for this, and the task for `other`. */
    if (table->state_set(own, S("go"), TD_JSON, S("1")) != TD_OK) return user;
    table->lock(own, S("db"));
    told = 1;
    return 0;
}
TASK(waits) {
    table = host;
    own = ctx;
    pthread_t thread;
    void *failed;
    pthread_create(&thread, 0, asks, "no");
    if (host->wait(ctx, S("other"), see, 0) != TD_OK) return TD_FAILED(host, ctx, seen);
    pthread_join(thread, &failed);
    return failed || !told ? TD_FAILED(host, ctx, "the thread could not ask") : TD_OK;
}
TASK(other) {
    while (host->state_get(ctx, S("go"), TD_JSON, see, 0) != TD_OK) usleep(1000);
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(waits), TD_TASK(other) };
"#;
    for workers in ["-j1", "-j2"] {
        let outcome = with(&format!("--isolate -q {workers}"), source).run();
        assert_eq!(
            outcome.stdout, "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n",
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn a_retry_is_a_new_process_and_knows_which_attempt_it_is() {
    let source = r"
TASK(crashes_twice) { if (host->attempt(ctx) < 3) abort(); return TD_OK; }
TASK(hangs_once) { if (host->attempt(ctx) < 2) for (;;) pause(); return TD_OK; }
static const td_task tasks[] = {
    TD_TASK(crashes_twice, .retries = 2),
    TD_TASK(hangs_once, .retries = 1, .flags = TD_TASK_RETRY_TIMEOUT, .timeout_ms = 100),
};
";
    let outcome = with("--isolate", source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_eq!(
        outcome.stdout,
        "==== 2 passed, 0 failed, 0 skipped; 2 of the passed flaky in N.NNs ====\n"
    );
}

#[test]
fn who_does_not_heed_ctrl_c_is_killed_after_the_grace() {
    let source = r#"
TASK(ignores) {
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0) { setsid(); for (;;) pause(); }
    TD_INFO(host, ctx, "runs");
    for (;;) pause();
}
TASK(asks_and_stays) { while (host->cancelled(ctx) == 0) usleep(1000); TD_INFO(host, ctx, "has heard"); for (;;) pause(); }
static const td_task tasks[] = { TD_TASK(ignores), TD_TASK(asks_and_stays) };
"#;
    let (tdrun, mark) = marked("grace", "--isolate -j2 --grace=100ms", source);
    let mut running = tdrun.start();
    running.wait_for("runs");
    running.signal("INT");
    running.wait_for("has heard");
    let outcome = running.end();
    assert_eq!(outcome.status, 130, "{}", outcome.stderr);
    for task in ["ignores", "asks_and_stays"] {
        let told = failure(&outcome.stderr, task);
        assert!(told.contains("CANCELLED\n    killed by SIGKILL"), "{told}");
    }
    mark.expect_nobody();
}

#[test]
fn a_process_that_cannot_be_killed_is_given_up_and_keeps_its_lock() {
    if Command::new("strace").arg("-V").output().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: there is no strace");
        return;
    }
    let source = r#"
static const td_str locks[] = {TD_STR("db")};
TASK(stuck) { for (;;) pause(); }
PASS(other) PASS(wants)
static const td_task tasks[] = {
    TD_TASK(stuck, .locks = locks, .lock_count = 1, .timeout_ms = 100), TD_TASK(other),
    TD_TASK(wants, .locks = locks, .lock_count = 1),
};
"#;
    // Signals that do nothing are as good as a process that waits for a disk.
    let script = "strace -f -qq -o trace -e trace=kill -e inject=kill:retval=0 $TDRUN";
    let (tdrun, mark) = marked("unkillable", "--isolate -j1 --grace=100ms", source);
    let outcome = tdrun.shell(script);
    assert_eq!(
        outcome.stdout,
        "==== 1 passed, 0 failed, 0 skipped, 1 timed out, 1 not run in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 1);
    let line = "took longer than 100ms and is still running; unkillable: its process was killed, and has not ended within 10s";
    expect_line(&outcome.stderr, line);
    let line =
        "not run, the lock `db` is held by `stuck`, which timed out and is still running: wants";
    expect_line(&outcome.stderr, line);
    mark.expect_nobody();
}

#[test]
fn ctrl_c_ends_tasks_in_order_and_who_asks_cleans_up() {
    let source = r#"
TASK(asks) {
    TD_INFO(host, ctx, "runs");
    while (host->cancelled(ctx) == 0) usleep(1000);
    usleep(50000);
    fclose(fopen("cleaned", "w"));
    return TD_FAILED(host, ctx, "stopped");
}
TASK(does_not) { TD_INFO(host, ctx, "runs"); for (;;) pause(); }
static void handler(int number) { (void)number; fclose(fopen("handled", "w")); _exit(1); }
TASK(handles) { signal(SIGTERM, handler); TD_INFO(host, ctx, "runs"); for (;;) pause(); }
static const td_task tasks[] = { TD_TASK(asks), TD_TASK(does_not), TD_TASK(handles) };
"#;
    let (tdrun, mark) = marked("stop", "--isolate -j3", source);
    let mut running = tdrun.start();
    (0..3).for_each(|_| running.wait_for("runs"));
    running.signal("INT");
    let outcome = running.end();
    assert_eq!(outcome.status, 130, "{}", outcome.stderr);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 3 cancelled in N.NNs ====\n"
    );
    assert!(tdrun.dir.join("cleaned").exists() && tdrun.dir.join("handled").exists());
    mark.expect_nobody();
}
