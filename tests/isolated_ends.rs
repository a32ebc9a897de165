//! How tasks in processes of their own end: whatever one does, it is only that one, and nobody of its family is left.

mod common;

use std::time::{Duration, Instant};

use common::apart::*;
use common::tool::done;

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
fn where_the_server_is_killed_another_one_goes_on() {
    let (tdrun, mark) = marked("server", "--isolate -j2", FAMILY);
    let mut running = tdrun.start();
    for _ in 0..3 {
        running.wait_for("runs");
        running.wait_for("runs");
        // Those of the one before are gone.
        mark.wait_for(ALL);
        signal(number(&tdrun, "server"), "KILL");
    }
    running.wait_for("runs");
    running.signal("KILL");
    mark.expect_nobody();
}

#[test]
fn where_a_forker_is_killed_its_task_has_crashed_with_all_that_it_has_started() {
    let (tdrun, mark) = marked("forker", "--isolate -j2", FAMILY);
    let mut running = tdrun.start();
    running.wait_for("runs");
    running.wait_for("runs");
    mark.wait_for(ALL);
    signal(number(&tdrun, "forker"), "KILL");
    running.wait_for("first ");
    // The other one runs on: that and its relatives, and four of tdrun.
    mark.wait_for(ALL - 5);
    running.signal("INT");
    let outcome = running.end();
    mark.expect_nobody();
    let told = failure(&outcome.stderr, "first");
    let why = "CRASHED\n    killed with the process that it was forked from\n";
    assert!(told.contains(why), "{}", outcome.stderr);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 1 crashed, 1 cancelled in N.NNs ====\n"
    );
}

/// Whatever it does, others go on.
#[test]
fn a_task_that_kills_its_forker_costs_itself() {
    let source = r"
TASK(kills) { kill(getppid(), SIGKILL); for (;;) pause(); }
TASK(recovers) { if (host->attempt(ctx) == 1) { kill(getppid(), SIGKILL); for (;;) pause(); } return TD_OK; }
PASS(passes)
static const td_task tasks[] = { TD_TASK(kills), TD_TASK(recovers, .retries = 1), TD_TASK(passes) };
";
    let outcome = with("--isolate -j1", source).run();
    assert_eq!(
        outcome.stdout,
        "==== 2 passed, 0 failed, 0 skipped, 1 crashed; 1 of the passed flaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
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
    if !has_strace() {
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
