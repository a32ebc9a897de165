//! What tasks do to the process that runs them: the answer is true, it costs one task, and nothing is left behind.

mod common;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use common::mark::Mark;
use common::tool::{Tdrun, done, tdrun};

/// Tasks that write down that they ran, and one between them that does what it is told.
fn ruins(what: &str) -> String {
    ruins_on(what, "")
}

/// The same, where it may also use a thread of its own, which does something else.
fn ruins_on(what: &str, thread: &str) -> String {
    format!(
        r#"
#define RAN(name) {{ int fd = open(name ".ran", O_WRONLY | O_CREAT | O_APPEND, 0666); if (write(fd, "x", 1) != 1) return 9; close(fd); }}
static void *on_thread(void *);
TASK(setup) {{ RAN("setup"); return host->state_set(ctx, td_s("from"), TD_TEXT, td_s("setup")); }}
TASK(first) {{ RAN("first"); return host->result_set(ctx, TD_TEXT, td_s("one")); }}
TASK(second) {{ RAN("second"); return host->state_set(ctx, td_s("from"), TD_TEXT, td_s("second")); }}
TASK(ruins) {{ RAN("ruins"); {what} return TD_OK; }}
PASS(dependent)
static void is(void *right, td_str value) {{ *(int *)right += value.len == 3 && memcmp(value.ptr, "one", 3) == 0; }}
static void was(void *right, td_str value) {{ *(int *)right += value.len == 6 && memcmp(value.ptr, "second", 6) == 0; }}
TASK(last) {{
    int right = 0;
    RAN("last");
    host->result_get(ctx, td_s("first"), TD_TEXT, is, &right);
    host->state_get(ctx, td_s("from"), TD_TEXT, was, &right);
    return right == 2 ? TD_OK : TD_FAILED(host, ctx, "results or state are gone");
}}
TASK(teardown) {{ RAN("teardown"); return TD_OK; }}
__attribute__((unused)) static void *on_thread(void *unused) {{ {thread} return unused; }}
static const td_task tasks[] = {{
    TD_TASK(first),
    TD_TASK(second, TD_AFTER(TD_STR("first"))),
    TD_TASK(ruins, TD_AFTER(TD_STR("second"))),
    TD_TASK(dependent, TD_AFTER(TD_STR("ruins"))),
    TD_TASK(last, TD_AFTER(TD_STR("second"))),
}};
TD_LIBRARY(tasks, .setup = setup, .teardown = teardown)
"#
    )
}

const INCLUDES: &str = "#include <setjmp.h>\n#include <string.h>\n";

fn ran(tdrun: &Tdrun, task: &str) -> usize {
    fs::read(tdrun.dir.join(format!("{task}.ran"))).map_or(0, |bytes| bytes.len())
}

#[test]
fn a_task_that_ends_the_process_costs_one_task() {
    let overflow = "volatile char frame[1024]; frame[0] = 0; return ((td_run_fn)ruins)(host, ctx, user) + frame[0];";
    let on_thread =
        "pthread_t id; pthread_create(&id, NULL, on_thread, NULL); pthread_join(id, NULL);";
    let cases = [
        ("*(volatile int *)8 = 1;", "", "killed by SIGSEGV"),
        ("raise(SIGBUS);", "", "killed by SIGBUS"),
        ("raise(SIGFPE);", "", "killed by SIGFPE"),
        ("__builtin_trap();", "", "killed by SIGILL"),
        ("abort();", "", "killed by SIGABRT"),
        (
            "raise(SIGKILL);",
            "",
            "killed by SIGKILL, by itself or from outside",
        ),
        ("raise(SIGSYS);", "", "killed by SIGSYS"),
        ("kill(getpid(), SIGRTMIN + 3);", "", "killed by signal 37"),
        (overflow, "", "killed by SIGABRT"),
        ("exit(0);", "", "called `exit(0)`"),
        ("exit(3);", "", "called `exit(3)`"),
        ("quick_exit(0);", "", "called `quick_exit`"),
        ("_exit(0);", "", "ended its process with status 0"),
        ("_exit(7);", "", "ended its process with status 7"),
        ("pthread_exit(NULL);", "", "killed by SIGABRT"),
        // Whether it is seen before it ends is left to chance.
        ("execl(\"/bin/true\", \"true\", NULL);", "", ""),
        (
            "execl(\"/bin/sleep\", \"sleep\", \"1000\", NULL);",
            "",
            "replaced its process by another program",
        ),
        (on_thread, "abort();", "killed by SIGABRT"),
        (on_thread, "_exit(0);", "ended its process with status 0"),
    ];
    for (what, thread, words) in cases {
        let tdrun = tdrun("libx.so -j1 --junit=out.xml")
            .library("x", &(INCLUDES.to_owned() + &ruins_on(what, thread)));
        let outcome = tdrun.run();
        assert_eq!(
            outcome.stdout, "==== 3 passed, 0 failed, 1 skipped, 1 crashed in N.NNs ====\n",
            "{what}: {}",
            outcome.stderr
        );
        assert_eq!((outcome.status, outcome.signal), (1, None), "{what}");
        let told = format!("\nruins CRASHED\n    {words}");
        assert!(outcome.stderr.contains(&told), "{what}: {}", outcome.stderr);
        for task in ["first", "second", "ruins", "last", "teardown"] {
            let count = ran(&tdrun, task);
            let is_deep = task == "ruins" && what == overflow;
            assert!(count == 1 || is_deep, "{what}: {task} ran {count} times");
        }
        assert_eq!(ran(&tdrun, "setup"), 2, "{what}: each process is prepared");
        let report = tdrun.read("out.xml");
        assert!(
            report.contains("tests=\"5\"") && report.ends_with("</testsuites>\n"),
            "{what}: {report}"
        );
        let lines = outcome.stderr.matches("] first ..").count();
        assert_eq!(lines, 1, "{what}: told once: {}", outcome.stderr);
    }
}

#[test]
fn where_it_is_not_known_who_did_it_each_of_those_runs_again_alone() {
    let source = r#"
TASK(quits) { wait_for("a"); _exit(0); }
TASK(beside) { static int fd; fd = open("beside.ran", O_WRONLY | O_CREAT | O_APPEND, 0666); if (write(fd, "x", 1) != 1) return 9; wait_for("b"); return TD_OK; }
PASS(later)
static const td_task tasks[] = { TD_TASK(quits), TD_TASK(beside), TD_TASK(later, TD_AFTER(TD_STR("beside"))) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j2")
        .library("x", source)
        .fifo("a")
        .fifo("b");
    let running = tdrun.start();
    wait_until(|| ran(&tdrun, "beside") == 1);
    running.open("a");
    wait_until(|| ran(&tdrun, "beside") == 2);
    running.open("a");
    running.open("b");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout, "==== 2 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    let error = "tdrun: error[run.lost]: a process that ran tasks was lost: ended its process with status 0\n  `quits`, `beside` ran in it then; each of them was run again in a process of its own\n";
    assert!(outcome.stderr.ends_with(error), "{}", outcome.stderr);
    assert!(
        outcome
            .stderr
            .contains("quits CRASHED\n    exited with status 0 before finishing\n"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 1);
}

#[test]
fn who_crashes_and_is_tried_again_may_pass() {
    let source = r#"
TASK(flaky) { if (access("once", F_OK) != 0) { fclose(fopen("once", "w")); abort(); } return TD_OK; }
PASS(after)
static const td_task tasks[] = { TD_TASK(flaky, .retries = 1), TD_TASK(after, TD_AFTER(TD_STR("flaky"))) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j1 --junit=out.xml").library("x", source);
    let outcome = tdrun.run();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.status),
        (
            "==== 2 passed, 0 failed, 0 skipped; 1 of the passed flaky in N.NNs ====\n",
            0
        ),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("killed by SIGABRT"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_crash_is_a_failure_like_any_other_for_max_fail() {
    let source = r"
TASK(bad) { abort(); }
PASS(later)
static const td_task tasks[] = { TD_TASK(bad), TD_TASK(later) };
TD_LIBRARY(tasks)
";
    let outcome = tdrun("libx.so -j1 -x").library("x", source).run();
    assert_eq!(
        outcome.stdout, "==== 0 passed, 0 failed, 0 skipped, 1 crashed, 1 not run in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_hook_that_ends_the_process_is_not_called_again() {
    for (hook, summary) in [
        (
            "setup",
            "==== 0 passed, 0 failed, 0 skipped, 1 not run in N.NNs ====\n",
        ),
        (
            "teardown",
            "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        ),
    ] {
        for (what, words) in [
            ("abort();", "killed by SIGABRT"),
            ("_exit(0);", "ended its process with status 0"),
        ] {
            let source = format!(
                r#"
TASK(hook) {{ FILE *file = fopen("hook.ran", "a"); fputc('x', file); fclose(file); {what} return TD_OK; }}
PASS(a)
static const td_task tasks[] = {{ TD_TASK(a) }};
TD_LIBRARY(tasks, .{hook} = hook)
"#
            );
            let tdrun = tdrun("libx.so").library("x", &source);
            let outcome = tdrun.run();
            assert_eq!(
                (outcome.stdout.as_str(), outcome.status),
                (summary, 1),
                "{}",
                outcome.stderr
            );
            let error =
                format!("tdrun: error[{hook}.failed]: {hook} of `libx.so` failed: {words}\n");
            assert!(outcome.stderr.ends_with(&error), "{}", outcome.stderr);
            assert_eq!(ran(&tdrun, "hook"), 1);
        }
    }
}

#[test]
fn a_library_that_crashes_while_it_is_loaded_is_named() {
    for (what, error) in [
        (
            "abort();",
            "load.crash]: `libx.so` crashed while it was being loaded: killed by SIGABRT",
        ),
        (
            "_exit(0);",
            "load.crash]: `libx.so` crashed while it was being loaded: ended its process with status 0",
        ),
        (
            "exit(5);",
            "load.exit]: `libx.so` called `exit(5)` while it was being loaded",
        ),
    ] {
        let source = format!(
            "__attribute__((constructor)) static void quit(void) {{ {what} }}
            PASS(a) static const td_task tasks[] = {{ TD_TASK(a) }}; TD_LIBRARY(tasks)"
        );
        for look in ["", "--list", "--graph"] {
            let outcome = tdrun("libx.so").args(look).library("x", &source).run();
            let text = format!(
                "tdrun: error[{error}\n  its constructors run then, and those of the libraries that it needs\n"
            );
            assert_eq!((outcome.status, outcome.stderr), (1, text));
        }
    }
}

#[test]
fn what_libraries_do_at_the_end_does_not_change_the_answer() {
    for (what, warning) in [
        (
            "__attribute__((destructor)) static void end(void) { *(volatile int *)8 = 1; }",
            "",
        ),
        (
            "__attribute__((destructor)) static void end(void) { abort(); }",
            "",
        ),
        (
            "__attribute__((destructor)) static void end(void) { _exit(9); }",
            "",
        ),
        (
            "__attribute__((destructor)) static void end(void) { for (;;) pause(); }",
            "",
        ),
        (
            "static void again(void) { exit(3); } __attribute__((constructor)) static void begin(void) { atexit(again); }",
            "",
        ),
    ] {
        let source = format!(
            "{what} PASS(a) static const td_task tasks[] = {{ TD_TASK(a) }}; TD_LIBRARY(tasks)"
        );
        let start = Instant::now();
        tdrun("libx.so -q").library("x", &source).expect(
            0,
            "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
            warning,
        );
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
    }
}

#[test]
fn threads_that_exit_at_the_same_time_are_one_crash() {
    let source = r"
static pthread_barrier_t barrier;
static void *leave(void *user) { pthread_barrier_wait(&barrier); exit(0); return user; }
TASK(quits) {
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, leave, NULL);
    for (;;) pause();
    return TD_OK;
}
PASS(later)
static const td_task tasks[] = { TD_TASK(quits), TD_TASK(later) };
TD_LIBRARY(tasks)
";
    for _ in 0..5 {
        let outcome = tdrun("libx.so -j1").library("x", source).run();
        assert_eq!(
            (outcome.stdout.as_str(), outcome.status),
            (
                "==== 1 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
                1
            ),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn events_and_logs_go_on_where_the_process_before_has_stopped() {
    let tdrun = tdrun("libx.so -j1 --events=out.jsonl --log")
        .library("x", &(INCLUDES.to_owned() + &ruins("abort();")));
    assert_eq!(tdrun.run().status, 1);
    let events = tdrun.read("out.jsonl");
    let count = |what: &str| events.matches(what).count();
    assert_eq!(count("\"event\":\"run_started\""), 1, "{events}");
    assert_eq!(count("\"event\":\"run_finished\""), 1, "{events}");
    for task in ["first", "second", "ruins", "dependent", "last"] {
        let finished = events.lines().filter(|line| {
            line.contains("\"task_finished\"") && line.contains(&format!("\"task\":\"{task}\""))
        });
        assert_eq!(finished.count(), 1, "{task}: {events}");
    }
    let log = tdrun.read("tdrun_main.log");
    assert_eq!(log.matches("run of 5 tasks").count(), 1, "{log}");
}

/// A task that has started others, by fork, in a session of its own, and as daemons.
const FAMILY: &str = r#"
static void begin(const char *name) { fclose(fopen(name, "w")); for (;;) pause(); }
TASK(family) {
    if (fork() == 0) begin("child");
    if (fork() == 0) { setsid(); begin("session"); }
    if (fork() == 0) { setsid(); if (fork() == 0) begin("daemon"); _exit(0); }
    for (;;) pause();
}
static const td_task tasks[] = { TD_TASK(family) };
TD_LIBRARY(tasks)
"#;

#[test]
fn nobody_is_left_when_a_process_of_tdrun_is_killed() {
    for mode in ["", "--isolate"] {
        for victim in ["supervisor", "runner"] {
            let mark = Mark::new(&format!("{mode}{victim}"));
            let tdrun = tdrun("libx.so")
                .args(mode)
                .library("x", FAMILY)
                .env(Mark::NAME, mark.value());
            let running = tdrun.start();
            let is_there = |name: &str| tdrun.dir.join(name).exists();
            wait_until(|| ["child", "session", "daemon"].into_iter().all(is_there));
            let supervisor = running.pid();
            let runner = children(supervisor)[0];
            let victim_id = if victim == "runner" {
                runner
            } else {
                supervisor
            };
            // It would be begun anew.
            fs::remove_file(tdrun.dir.join("libx.so")).expect("there");
            kill(victim_id, "KILL");
            let outcome = running.end();
            assert_ne!(outcome.status, 0);
            let start = Instant::now();
            wait_until(|| mark.holders().is_empty());
            assert!(start.elapsed() < Duration::from_secs(10), "{mode} {victim}");
        }
    }
}

#[test]
fn a_daemon_that_a_task_has_stopped_is_gone() {
    let source = r#"
static pid_t daemon_of(void) {
    int ends[2];
    pid_t daemon;
    if (pipe(ends) != 0) return -1;
    if (fork() == 0) { setsid(); daemon = fork(); if (daemon == 0) for (;;) pause(); if (write(ends[1], &daemon, sizeof daemon) < 0) _exit(1); _exit(0); }
    wait(NULL);
    return read(ends[0], &daemon, sizeof daemon) == sizeof daemon ? daemon : -1;
}
TASK(stops) {
    pid_t daemon = daemon_of();
    int left = 3000;
    kill(daemon, SIGKILL);
    while (kill(daemon, 0) == 0) { if (left-- == 0) return TD_FAILED(host, ctx, "it is still there"); usleep(10000); }
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(stops) };
TD_LIBRARY(tasks)
"#;
    let source = format!("#include <sys/wait.h>\n{source}");
    tdrun("libx.so -q").library("x", &source).expect(
        0,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        "",
    );
}

#[test]
fn a_run_stops_with_the_user_and_its_clock_stands_still() {
    let source = r#"
TASK(takes) {
    int left = 100;
    fclose(fopen("runs", "w"));
    while (left-- > 0) { if (host->cancelled(ctx) != 0) return TD_FAILED(host, ctx, "asked to stop"); usleep(10000); }
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(takes) };
TD_LIBRARY(tasks)
"#;
    for mode in ["", "--isolate"] {
        let tdrun = tdrun("libx.so --timeout=5s")
            .args(mode)
            .library("x", source);
        // A job of a shell, so that there is somebody who could let it go on.
        let outcome = tdrun.shell(
            "set -m; $TDRUN 2>err & job=$!
            until test -e runs; do :; done
            runner=$(cat /proc/$job/task/$job/children)
            kill -s TSTP $job
            for pid in $job $runner; do until grep -q '^State:.T' /proc/$pid/status; do :; done; done
            sleep 6
            kill -s CONT $job
            wait $job; echo status $?",
        );
        assert_eq!(
            outcome.stdout,
            "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\nstatus 0\n",
            "{mode}: {}",
            tdrun.read("err")
        );
        // A task process may be seen to go on.
        let done = done("[thread_0] takes", "PASSED", 100);
        assert!(tdrun.read("err").ends_with(&done), "{}", tdrun.read("err"));
    }
}

#[test]
fn a_stop_holds_for_the_process_that_goes_on() {
    let source = r#"
TASK(crashes) { TD_INFO(host, ctx, "runs"); while (host->cancelled(ctx) == 0) usleep(1000); abort(); }
PASS(later)
static const td_task tasks[] = { TD_TASK(crashes), TD_TASK(later) };
TD_LIBRARY(tasks)
"#;
    let mut running = tdrun("libx.so -j1").library("x", source).start();
    running.wait_for("runs");
    running.signal("TERM");
    let outcome = running.end();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.signal),
        (
            "==== 0 passed, 0 failed, 0 skipped, 1 crashed, 1 not run in N.NNs ====\n",
            Some(15)
        ),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_was_told_is_told_once_however_many_processes_are_lost() {
    let source = r#"
TASK(one) { abort(); }
PASS(blocked)
TASK(two) { wait_for("a"); abort(); }
TASK(three) { wait_for("b"); abort(); }
PASS(last)
static const td_task tasks[] = { TD_TASK(one), TD_TASK(blocked, TD_AFTER(TD_STR("one"))), TD_TASK(two), TD_TASK(three), TD_TASK(last) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j1 --events=events.jsonl").library("x", source);
    let tdrun = tdrun.fifo("a").fifo("b");
    let mut running = tdrun.start();
    // Who answers has noted before what was told.
    running.wait_for("blocked ..");
    running.signal("USR1");
    running.wait_for("of 5");
    running.open("a");
    running.wait_for("two ..");
    running.signal("USR1");
    running.wait_for("of 5");
    running.open("b");
    let outcome = running.end();
    let percents = outcome.stderr.lines().filter_map(|line| {
        let (line, percent) = line.strip_suffix("% ]")?.rsplit_once('[')?;
        let name = line.trim_start_matches("[thread_0] ").split(' ').next()?;
        Some((name, percent.trim()))
    });
    assert_eq!(
        percents.collect::<Vec<_>>(),
        [
            ("one", "20"),
            ("blocked", "40"),
            ("two", "60"),
            ("three", "80"),
            ("last", "100")
        ],
        "{}",
        outcome.stderr
    );
    let events = tdrun.read("events.jsonl");
    for task in ["one", "blocked", "two", "three", "last"] {
        let end = format!("\"task\":\"{task}\",\"library\"");
        assert_eq!(events.matches(&end).count(), 1, "{task}: {events}");
    }
}

#[test]
fn who_has_a_process_of_its_own_is_not_blamed_for_the_end_of_another() {
    let source = r#"
TASK(waits) { int fd = open("waits.ran", O_WRONLY | O_CREAT | O_APPEND, 0666); if (write(fd, "x", 1) != 1) return 9; wait_for("gate"); return TD_OK; }
static const td_task tasks[] = { TD_TASK(waits) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so --isolate").library("x", source).fifo("gate");
    let running = tdrun.start();
    wait_until(|| ran(&tdrun, "waits") == 1);
    kill(children(running.pid())[0], "KILL");
    wait_until(|| ran(&tdrun, "waits") == 2);
    running.open("gate");
    let outcome = running.end();
    let error = "tdrun: error[run.lost]: a process that ran tasks was lost: killed by SIGKILL\n  no task ran in it then; another process went on\n";
    assert!(outcome.stderr.ends_with(error), "{}", outcome.stderr);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.status),
        ("==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n", 1)
    );
}

#[test]
fn a_question_while_libraries_are_loaded_does_not_end_the_run() {
    let source = r"
__attribute__((constructor)) static void ask(void) { kill(getppid(), SIGUSR1); usleep(200000); }
PASS(a)
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks)
";
    tdrun("libx.so -q").library("x", source).expect(
        0,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        "",
    );
}

#[test]
fn a_run_does_not_go_on_with_other_code() {
    let source = r#"
TASK(first) { if (rename("liby.so", "libx.so")) return 9; abort(); }
PASS(later)
static const td_task tasks[] = { TD_TASK(first), TD_TASK(later) };
TD_LIBRARY(tasks)
"#;
    let other = r"
PASS(other)
PASS(later)
static const td_task tasks[] = { TD_TASK(other), TD_TASK(later) };
TD_LIBRARY(tasks)
";
    let error = "tdrun: error[run.changed]: `DIR/libx.so` has changed while its tasks ran, so the run cannot go on\n  the process that ran them was lost: killed by SIGABRT\n";
    ends_with_all_that_is_known(source, Some(other), error);
}

#[test]
fn a_run_whose_library_is_gone_tells_what_has_come_of_it() {
    let source = r#"
TASK(first) { if (unlink("libx.so")) return 9; abort(); }
PASS(later)
static const td_task tasks[] = { TD_TASK(first), TD_TASK(later) };
TD_LIBRARY(tasks)
"#;
    let error = "tdrun: error[load.notfound]: ";
    ends_with_all_that_is_known(source, None, error);
    // Another one that cannot be loaded.
    let source = r#"
__attribute__((constructor)) static void load(void) { if (access("ran", F_OK) == 0) abort(); }
TASK(first) { fclose(fopen("ran", "w")); abort(); }
PASS(later)
static const td_task tasks[] = { TD_TASK(first), TD_TASK(later) };
TD_LIBRARY(tasks)
"#;
    let error = "tdrun: error[load.crash]: `libx.so` crashed while it was being loaded: killed by SIGABRT\n";
    ends_with_all_that_is_known(source, None, error);
}

/// Of two tasks `first` has crashed, and nobody can go on with `later`.
#[track_caller]
fn ends_with_all_that_is_known(source: &str, other: Option<&str>, error: &str) {
    for options in ["", "--journal=journal", "--isolate=never"] {
        let tdrun = tdrun("libx.so -j1 --junit=out.xml --events=events.jsonl")
            .args(options)
            .library("x", source);
        let tdrun = match other {
            Some(other) => tdrun.library("y", other),
            None => tdrun,
        };
        let outcome = tdrun.run();
        assert_eq!(
            (outcome.stdout.as_str(), outcome.status),
            (
                "==== 0 passed, 0 failed, 0 skipped, 1 crashed, 1 not run in N.NNs ====\n",
                1
            ),
            "{options}: {}",
            outcome.stderr
        );
        let told = "\nfailures:\n\nfirst CRASHED\n    killed by SIGABRT\n";
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        let not_run = "\nnot run, the run ended: later\n";
        assert!(outcome.stderr.contains(not_run), "{}", outcome.stderr);
        assert_eq!(
            outcome.stderr.matches(error).count(),
            1,
            "{}",
            outcome.stderr
        );
        let report = tdrun.read("out.xml");
        assert!(report.ends_with("</testsuites>\n"), "{report}");
        for task in ["first", "later"] {
            let case = format!("<testcase name=\"{task}\"");
            assert_eq!(report.matches(&case).count(), 1, "{report}");
        }
        let events = tdrun.read("events.jsonl");
        let last = events.lines().last().unwrap_or_default();
        assert!(last.contains("\"event\":\"run_finished\""), "{events}");
        assert_eq!(events.matches("task_finished").count(), 2, "{events}");
    }
}

#[test]
fn a_crash_is_not_forgotten_where_the_next_process_is_lost_before_it_runs() {
    let again = r#"
__attribute__((constructor)) static void load(void) {
    if (access("ruins.ran", F_OK) == 0 && access("loaded", F_OK) != 0) { fclose(fopen("loaded", "w")); abort(); }
}
"#;
    let source = INCLUDES.to_owned() + &ruins("abort();") + again;
    let tdrun = tdrun("libx.so -j1").library("x", &source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout, "==== 3 passed, 0 failed, 1 skipped, 1 crashed in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    for task in ["first", "second", "ruins", "last"] {
        assert_eq!(ran(&tdrun, task), 1, "{task}: {}", outcome.stderr);
    }
    let error = "tdrun: error[run.lost]: a process that ran tasks was lost: killed by SIGABRT\n  no task ran in it then; another process went on\n";
    assert!(outcome.stderr.ends_with(error), "{}", outcome.stderr);
    assert_eq!(outcome.status, 1);
}

/// Tasks of all kinds that leave something for the end of a run, and then one that takes its process with it, in a thread or
/// in a process of its own.
const TALKERS: &str = r#"
TASK(says) { TD_INFO(host, ctx, "about to pass"); return TD_OK; }
TASK(leaks) {
    int ends[2]; char c;
    if (pipe(ends)) return 9;
    if (fork() == 0) { close(ends[0]); close(1); close(2); if (write(ends[1], "x", 1) != 1) _exit(1); for (;;) pause(); }
    if (read(ends[0], &c, 1) != 1) return 9;
    printf("written by who leaks\n");
    return TD_OK;
}
TASK(fails) { printf("to stdout\n"); fprintf(stderr, "no text: \xff\x01\n"); TD_INFO(host, ctx, "will fail"); return TD_FAILED(host, ctx, "on purpose"); }
TASK(flaky) {
    printf("attempt %d\n", host->attempt(ctx));
    return host->attempt(ctx) < 3 ? TD_FAILED(host, ctx, "not yet") : TD_OK;
}
TASK(tries) { TD_INFO(host, ctx, "tries"); printf("tried %d\n", host->attempt(ctx)); return TD_FAILED(host, ctx, "never"); }
TASK(ruins) { TD_INFO(host, ctx, "last words"); usleep(100000); abort(); }
PASS(last)
static const td_task tasks[] = {
    TD_TASK(says),
    TD_TASK(leaks, .flags = TD_TASK_ISOLATE),
    TD_TASK(fails, .flags = TD_TASK_ISOLATE),
    TD_TASK(flaky, .flags = TD_TASK_ISOLATE, .retries = 2),
    TD_TASK(tries, .flags = TD_TASK_ISOLATE, .retries = 1),
    TD_TASK(ruins, .flags = RUINS),
    TD_TASK(last),
};
TD_LIBRARY(tasks)
"#;

/// Without what differs from run to run.
fn lines_of(report: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in report.lines() {
        let mut line = line.to_owned();
        for name in ["time=\"", "timestamp=\""] {
            while let Some(at) = line.find(&format!(" {name}")) {
                let end = line[at + name.len() + 1..].find('"').expect("a value");
                line.replace_range(at..=at + name.len() + 1 + end, "");
            }
        }
        if let Some(at) = line.find("left running: ") {
            let pid = line[at + 14..].find(' ').expect("a name follows");
            line.replace_range(at + 14..at + 14 + pid, "PID");
        }
        lines.push(line);
    }
    lines
}

#[test]
fn what_is_told_at_the_end_does_not_depend_on_which_process_has_seen_it() {
    for options in [
        "",
        "--show-output=all",
        "--no-capture",
        "-q",
        "--journal=journal",
        "--retries=0",
    ] {
        let run = |flag: &str| {
            let flags = [format!("-DRUINS={flag}")];
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            let tdrun = tdrun("libx.so -j1 --junit=out.xml --events=out.jsonl")
                .args(options)
                .library_with("x", TALKERS, &flags);
            let outcome = tdrun.run();
            (tdrun, outcome)
        };
        let (apart, expected) = run("TD_TASK_ISOLATE");
        let (together, outcome) = run("0");
        assert_eq!(outcome.stdout, expected.stdout, "{options}");
        let lines = |stderr: &str| {
            let mut lines = lines_of(stderr);
            if options == "--no-capture" {
                lines.sort(); // nobody knows which channel comes first
            }
            lines
        };
        assert_eq!(lines(&outcome.stderr), lines(&expected.stderr), "{options}");
        let report = together.read("out.xml");
        assert_eq!(lines_of(&report), lines_of(&apart.read("out.xml")));
        assert!(report.contains("last words"), "{report}");
        let events = |tdrun: &Tdrun| {
            let events = tdrun.read("out.jsonl");
            let kind = |line: &str| line.split('"').nth(5).unwrap_or_default().to_owned();
            let mut kinds: Vec<_> = events.lines().map(kind).collect();
            kinds.sort();
            kinds
        };
        assert_eq!(events(&together), events(&apart), "{options}");
    }
}

#[test]
fn an_attempt_that_was_told_is_told_once() {
    let source = r#"
TASK(tries) {
    if (host->attempt(ctx) == 1) return TD_FAILED(host, ctx, "not yet");
    if (access("quit", F_OK) != 0) for (;;) pause();
    return TD_OK;
}
TASK(quits) { wait_for("gate"); fclose(fopen("quit", "w")); abort(); }
static const td_task tasks[] = { TD_TASK(tries, .retries = 1), TD_TASK(quits) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j2 --events=events.jsonl")
        .library("x", source)
        .fifo("gate");
    let mut running = tdrun.start();
    running.wait_for("RETRY");
    // Who answers has noted before what was told.
    running.signal("USR1");
    running.wait_for("tries for");
    running.open("gate");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout,
        "==== 1 passed, 0 failed, 0 skipped, 1 crashed; 1 of the passed flaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(
        outcome.stderr.matches("RETRY").count(),
        1,
        "{}",
        outcome.stderr
    );
    let events = tdrun.read("events.jsonl");
    assert_eq!(events.matches("task_retrying").count(), 1, "{events}");
}

#[test]
fn who_was_kept_from_running_by_a_lock_does_not_run_later() {
    let source = r#"
TASK(stuck) { for (;;) pause(); return TD_OK; }
TASK(locked) { fclose(fopen("locked.ran", "w")); return TD_OK; }
PASS(behind)
TASK(quits) { wait_for("gate"); abort(); }
static const td_task tasks[] = {
    TD_TASK(stuck, TD_LOCKS(TD_STR("db")), .timeout_ms = 50, .priority = 1),
    TD_TASK(locked, TD_LOCKS(TD_STR("db"))),
    TD_TASK(behind, TD_AFTER(TD_STR("locked"))),
    TD_TASK(quits),
};
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j2 --grace=0s --events=events.jsonl")
        .library("x", source)
        .fifo("gate");
    let mut running = tdrun.start();
    running.wait_for("behind ..");
    running.open("gate");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 1 skipped, 1 timed out, 1 crashed, 1 not run in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(ran(&tdrun, "locked"), 0);
    let events = tdrun.read("events.jsonl");
    let end = "\"event\":\"task_finished\",\"at_ms\"";
    assert_eq!(events.matches(end).count(), 4, "{events}");
    assert!(
        outcome
            .stderr
            .contains("\nnot run, the lock `db` is held by `stuck`, which timed out"),
        "{}",
        outcome.stderr
    );
}

/// Tasks that a running one adds: the first passes, the second one runs when the run is stopped, the third waits for it.
const ADDS: &str = r#"
TASK(adds) {
    for (int n = 1; n <= 3; n++) { char name[8]; sprintf(name, "p::%d", n); if (host->start(ctx, td_s(name), NULL, NULL) != TD_OK) return 9; }
    return TD_OK;
}
TASK(step) {
    char name[16], file[32];
    TD_CHECK(host, ctx, td_name_copy(host, ctx, name, sizeof name) == TD_OK);
    sprintf(file, "%c.ran", name[3]);
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (write(fd, "x", 1) != 1) return 9;
    close(fd);
    if (name[3] != '2') return TD_OK;
    TD_INFO(host, ctx, "runs");
    while (host->cancelled(ctx) == 0) usleep(1000);
    return TD_FAILED(host, ctx, "asked to stop");
}
TASK(quits) {
    while (host->cancelled(ctx) == 0) usleep(1000);
    while (access("gate", F_OK) != 0) usleep(1000);
    abort();
}
static const td_task tasks[] = {
    TD_TASK(adds),
    TD_TASK(quits),
    TD_TASK_NAMED(step, "p::[n]", TD_AFTER(TD_STR("adds")), TD_LOCKS(TD_STR("one"))),
};
TD_LIBRARY(tasks)
"#;

#[test]
fn what_tasks_have_added_is_told_after_a_stop_and_a_crash() {
    let tdrun = tdrun("libx.so::adds libx.so::quits -j2 --junit=out.xml --events=events.jsonl")
        .library("x", ADDS);
    let mut running = tdrun.start();
    running.wait_for("runs");
    running.signal("TERM");
    running.wait_for("p::2 ..");
    fs::write(tdrun.dir.join("gate"), "").expect("written");
    let outcome = running.end();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.signal),
        (
            "==== 2 passed, 0 failed, 0 skipped, 1 crashed, 1 cancelled, 1 not run in N.NNs ====\n",
            Some(15)
        ),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains(": p::3\n"), "{}", outcome.stderr);
    let stops = outcome.stderr.matches("stopping: SIGTERM").count();
    assert_eq!(stops, 1, "{}", outcome.stderr);
    for (task, count) in [("1", 1), ("2", 1), ("3", 0)] {
        assert_eq!(ran(&tdrun, task), count, "{task}");
    }
    let report = tdrun.read("out.xml");
    for task in ["adds", "quits", "p::1", "p::2", "p::3"] {
        let case = format!("<testcase name=\"{task}\"");
        assert_eq!(report.matches(&case).count(), 1, "{report}");
    }
    let events = tdrun.read("events.jsonl");
    assert_eq!(
        events.matches("\"event\":\"planned\"").count(),
        3,
        "{events}"
    );
    assert_eq!(
        events.matches("\"event\":\"task_finished\"").count(),
        5,
        "{events}"
    );
}

#[test]
fn a_task_that_was_added_runs_alone_when_it_may_have_ended_the_process() {
    let source = r#"
TASK(adds) {
    if (host->start(ctx, td_s("p::1"), NULL, NULL) != TD_OK) return 9;
    return host->start(ctx, td_s("p::2"), NULL, NULL);
}
TASK(step) {
    char name[16];
    TD_CHECK(host, ctx, td_name_copy(host, ctx, name, sizeof name) == TD_OK);
    fclose(fopen(name, "w"));
    while (access("p::1", F_OK) != 0 || access("p::2", F_OK) != 0) usleep(1000);
    if (name[3] == '1') { usleep(50000); _exit(0); }
    usleep(200000);
    return TD_OK;
}
PASS(more)
static const td_task tasks[] = { TD_TASK(adds), TD_TASK(more), TD_TASK_NAMED(step, "p::[n]") };
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so::adds libx.so::more -j2")
        .library("x", source)
        .run();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.status),
        (
            "==== 3 passed, 0 failed, 0 skipped, 1 crashed in N.NNs ====\n",
            1
        ),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        outcome.stderr.matches("error[run.lost]").count(),
        1,
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("\np::1 CRASHED\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_setup_that_is_stopped_is_cancelled_as_the_run_is() {
    let source = r#"
TASK(prepares) {
    TD_INFO(host, ctx, "prepares");
    while (host->cancelled(ctx) == 0) usleep(1000);
    return TD_FAILED(host, ctx, "asked to stop");
}
PASS(a)
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks, .setup = prepares)
"#;
    for mode in ["", "--isolate"] {
        let tdrun = tdrun("libx.so --junit=out.xml --events=events.jsonl")
            .args(mode)
            .library("x", source);
        let mut running = tdrun.start();
        running.wait_for("prepares");
        running.signal("TERM");
        let outcome = running.end();
        assert_eq!(
            (outcome.stdout.as_str(), outcome.signal),
            (
                "==== 0 passed, 0 failed, 0 skipped, 1 not run in N.NNs ====\n",
                Some(15)
            )
        );
        let told = "stopping: SIGTERM\nsetup CANCELLED\n    asked to stop (x.c:5)\n\nnot run, stopped by SIGTERM: a\n";
        assert!(outcome.stderr.ends_with(told), "{mode}: {}", outcome.stderr);
        assert!(!tdrun.read("out.xml").contains("<error"));
        let cancelled = "\"hook\":\"setup\",\"library\":\"x\",\"outcome\":\"cancelled\"";
        assert!(tdrun.read("events.jsonl").contains(cancelled));
    }
}

#[test]
fn a_stop_of_an_earlier_process_does_not_stop_the_setup_of_the_next() {
    let source = r#"
TASK(prepares) {
    for (int left = 100; left-- > 0; usleep(1000)) if (host->cancelled(ctx) != 0) return TD_FAILED(host, ctx, "asked to stop");
    return TD_OK;
}
TASK(crashes) { TD_INFO(host, ctx, "runs"); while (host->cancelled(ctx) == 0) usleep(1000); abort(); }
PASS(cleans)
PASS(later)
static const td_task tasks[] = {
    TD_TASK(crashes),
    TD_TASK(cleans, TD_AFTER(TD_STR("crashes")), .condition = TD_ALWAYS),
    TD_TASK(later, TD_AFTER(TD_STR("crashes"))),
};
TD_LIBRARY(tasks, .setup = prepares, .teardown = prepares)
"#;
    for mode in ["", "--isolate=never"] {
        let tdrun = tdrun("libx.so").args(mode).library("x", source);
        let mut running = tdrun.start();
        running.wait_for("runs");
        running.signal("TERM");
        let outcome = running.end();
        assert_eq!(
            (outcome.stdout.as_str(), outcome.signal),
            (
                "==== 1 passed, 0 failed, 0 skipped, 1 crashed, 1 not run in N.NNs ====\n",
                Some(15)
            ),
            "{}",
            outcome.stderr
        );
        assert!(!outcome.stderr.contains("CANCELLED"), "{}", outcome.stderr);
    }
}

#[test]
fn a_stop_while_a_run_is_taken_up_leaves_it_a_summary() {
    let source = r#"
__attribute__((constructor)) static void load(void) {
    if (access("ran", F_OK) != 0 || access("stopped", F_OK) == 0) return;
    fclose(fopen("stopped", "w"));
    kill(getppid(), SIGTERM);
    for (;;) pause();
}
TASK(ruins) { fclose(fopen("ran", "w")); abort(); }
PASS(first)
PASS(last)
static const td_task tasks[] = { TD_TASK(first), TD_TASK(ruins, TD_AFTER(TD_STR("first"))), TD_TASK(last, TD_AFTER(TD_STR("first"))) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j1 --junit=out.xml").library("x", source);
    let outcome = tdrun.run();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.signal),
        (
            "==== 1 passed, 0 failed, 0 skipped, 1 crashed, 1 not run in N.NNs ====\n",
            Some(15)
        ),
        "{}",
        outcome.stderr
    );
    assert!(tdrun.read("out.xml").ends_with("</testsuites>\n"));
}

#[test]
fn a_task_that_closes_what_is_not_its_own_changes_no_answer() {
    let source = r#"
TASK(closes) { for (int i = FROM; i < 65536; i++) close(i); return TD_OK; }
TASK(sets) { return host->state_set(ctx, td_s("key"), TD_TEXT, td_s("value")); }
FAIL(fails, "on purpose")
TASK(crashes) { if (CRASHES) abort(); return TD_OK; }
PASS(apart)
#define AFTER TD_AFTER(TD_STR("closes"))
static const td_task tasks[] = {
    TD_TASK(closes),
    TD_TASK(sets, AFTER),
    TD_TASK(fails, AFTER),
    TD_TASK(crashes, AFTER),
    TD_TASK(apart, AFTER, .flags = TD_TASK_ISOLATE),
};
TD_LIBRARY(tasks)
"#;
    for from in ["0", "3"] {
        for crashes in ["0", "1"] {
            let flags = [format!("-DFROM={from}"), format!("-DCRASHES={crashes}")];
            for options in ["", "--isolate=never", "--isolate=never --journal=journal"] {
                let case = format!("{flags:?} {options}");
                let tdrun = tdrun("libx.so -j1 --junit=out.xml --events=events.jsonl")
                    .args(options)
                    .library_with("x", source, &[&flags[0], &flags[1]]);
                let outcome = tdrun.run();
                let summary = match crashes {
                    "0" => "==== 4 passed, 1 failed, 0 skipped in N.NNs ====\n",
                    _ => "==== 3 passed, 1 failed, 0 skipped, 1 crashed in N.NNs ====\n",
                };
                assert_eq!(outcome.stdout, summary, "{case}: {}", outcome.stderr);
                assert_eq!(outcome.status, 1, "{case}");
                assert!(
                    !outcome.stderr.contains("run.lost"),
                    "{case}: {}",
                    outcome.stderr
                );
                for task in ["closes", "sets", "fails", "crashes", "apart"] {
                    let lines = outcome.stderr.matches(&format!("] {task} ..")).count();
                    assert_eq!(lines, 1, "{case}: {task}: {}", outcome.stderr);
                }
                let report = tdrun.read("out.xml");
                assert_eq!(report.matches("<testcase").count(), 5, "{case}: {report}");
                let events = tdrun.read("events.jsonl");
                assert!(
                    events
                        .lines()
                        .last()
                        .is_some_and(|line| line.contains("run_finished")),
                    "{case}: {events}"
                );
            }
        }
    }
}

/// What is opened again is closed again, while it is written to.
#[test]
fn a_task_that_goes_on_closing_what_is_not_its_own_silences_nobody() {
    let source = r#"
TASK(closes) {
    for (int times = 0; times < 300; times++) {
        TD_INFO(host, ctx, "more");
        for (int i = 4090; i < 4400; i++) close(i);
    }
    return TD_OK;
}
PASS(other)
static const td_task tasks[] = { TD_TASK(closes), TD_TASK(other) };
TD_LIBRARY(tasks)
"#;
    for _ in 0..10 {
        let tdrun =
            tdrun("libx.so -j2 --events=events.jsonl --journal=journal").library("x", source);
        let outcome = tdrun.run();
        let summary = "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n";
        assert_eq!(outcome.stdout, summary, "{}", outcome.stderr);
        let events = tdrun.read("events.jsonl");
        let is_last = |line: &str| line.contains("run_finished");
        assert!(events.lines().last().is_some_and(is_last), "{events}");
        assert_eq!(events.matches("\"more\"").count(), 300, "{events}");
    }
}

#[test]
fn a_question_before_there_is_a_run_does_not_end_it() {
    let tdrun = tdrun("libx.so -q --state-file=state")
        .library(
            "x",
            "PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)",
        )
        .fifo("state");
    let running = tdrun.start();
    // This comes back once the other end is there.
    let mut state = fs::File::options()
        .write(true)
        .open(tdrun.dir.join("state"))
        .expect("it is read");
    running.signal("USR1");
    running.signal("USR2");
    state.write_all(b"{}").expect("it is read");
    drop(state);
    let outcome = running.end();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.status),
        ("==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n", 0)
    );
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it does not come"
        );
        std::thread::yield_now();
    }
}

fn kill(process: u32, signal: &str) {
    let process = process.to_string();
    let mut kill = std::process::Command::new("sh");
    let sent = kill
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &process])
        .status();
    assert!(sent.expect("a shell").success());
}

fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let text = text.expect("it is there");
    text.split_whitespace()
        .map(|pid| pid.parse().expect("a number"))
        .collect()
}
