//! Tasks in processes of their own: they mean what they mean in threads, and begin clean.

mod common;

use std::fs;
use std::process::Command;

use common::apart::*;
use common::tool::{Tdrun, tdrun};

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
