//! Real signals to real processes: stopped in order, every task accounted for, the right status.

mod common;

use std::time::{Duration, Instant};

use common::c_output;
use common::mark::Mark;
use common::tool::{Tdrun, done, tdrun};

/// Two tasks that run until they are asked to stop or the gate opens, one that waits for a worker, one that depends.
const SLOW: &str = r#"
TASK(obeys) {
    TD_INFO(host, ctx, "obeys runs");
    while (host->cancelled(ctx) == 0) usleep(1000);
    return TD_FAILED(host, ctx, "stopped early");
}
TASK(finishes) { TD_INFO(host, ctx, "finishes runs"); wait_for("gate"); return TD_OK; }
PASS(queued)
PASS(dependent)
TASK(teardown) { fclose(fopen("torn_down", "w")); return host->cancelled(ctx); }
static const td_task tasks[] = {
    TD_TASK(obeys), TD_TASK(finishes), TD_TASK(queued), TD_TASK(dependent, TD_AFTER(TD_STR("finishes"))),
};
TD_LIBRARY(tasks, .teardown = teardown)
"#;

fn slow() -> Tdrun {
    tdrun("libx.so -j2 --junit=out.xml")
        .library("x", SLOW)
        .fifo("gate")
}

#[test]
fn the_first_signal_stops_in_order_and_accounts_for_every_task() {
    for (signal, name, status) in [
        ("INT", "SIGINT", 130),
        ("TERM", "SIGTERM", 143),
        ("HUP", "SIGHUP", 129),
        ("QUIT", "SIGQUIT", 131),
    ] {
        let tdrun = slow();
        let mut running = tdrun.start();
        running.wait_for("runs");
        running.wait_for("runs");
        running.signal(signal);
        running.wait_for("stopping");
        running.open("gate");
        let outcome = running.end();
        assert_eq!(outcome.status, status, "{}", outcome.stderr);
        assert_eq!(
            outcome.signal,
            Some(status - 128),
            "it dies by the signal, so that shell loops stop"
        );
        assert_eq!(
            outcome.stdout,
            "==== 1 passed, 0 failed, 0 skipped, 1 cancelled, 2 not run in N.NNs ====\n"
        );
        let stopping = format!(
            "stopping: {name}; waiting for `obeys`, `finishes`, press Ctrl-C again to leave\n"
        );
        assert!(outcome.stderr.contains(&stopping), "{}", outcome.stderr);
        assert!(
            outcome.stderr.ends_with(&format!(
                "\nnot run, stopped by {name}: queued, dependent\n"
            )),
            "{}",
            outcome.stderr
        );
        assert!(
            tdrun.dir.join("torn_down").exists(),
            "teardown runs all the same"
        );
        assert!(tdrun.read("out.xml").contains("tests=\"4\""));
    }
}

#[test]
fn the_second_signal_leaves_what_does_not_end() {
    let tdrun = slow();
    let mut running = tdrun.start();
    running.wait_for("runs");
    running.wait_for("runs");
    running.signal("INT");
    running.wait_for("obeys ..");
    running.signal("INT");
    let outcome = running.end();
    assert_eq!(outcome.status, 130);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 2 cancelled, 2 not run in N.NNs ====\n"
    );
    assert!(
        outcome
            .stderr
            .contains("finishes CANCELLED\n    stopped by SIGINT\n"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stderr
            .contains("\n1 task did not come back and may still be running\n"),
        "{}",
        outcome.stderr
    );
    assert!(!tdrun.dir.join("torn_down").exists());
}

/// A task stops the process that runs it, which so hears nothing.
#[test]
fn the_third_signal_ends_a_process_that_hears_nothing() {
    let source = r#"
TASK(deaf) { TD_INFO(host, ctx, "deaf runs"); usleep(100000); kill(getpid(), SIGSTOP); return TD_OK; }
static const td_task tasks[] = { TD_TASK(deaf) };
TD_LIBRARY(tasks)
"#;
    let mut running = tdrun("libx.so").library("x", source).start();
    running.wait_for("deaf runs");
    running.wait_until_stopped();
    let began = Instant::now();
    // The system makes one of signals that come faster than they are taken.
    while !running.is_over() {
        running.signal("INT");
        assert!(began.elapsed() < Duration::from_secs(5), "it goes on");
    }
    let outcome = running.end();
    assert_eq!(outcome.status, 130, "{}", outcome.stderr);
}

#[test]
fn a_storm_of_signals_ends_it_by_that_signal() {
    let tdrun = slow();
    let mut running = tdrun.start();
    running.wait_for("runs");
    // The system makes one of signals that come faster than they are taken, so the storm goes on until it is over.
    while !running.is_over() {
        running.signal("INT");
    }
    assert_eq!(running.end().signal, Some(2));
}

#[test]
fn a_signal_that_asks_what_runs_is_answered_and_changes_nothing() {
    let source = r#"
TASK(setup) { TD_INFO(host, ctx, "setup runs"); wait_for("setup gate"); return TD_OK; }
TASK(a) { TD_INFO(host, ctx, "a runs"); wait_for("gate of a"); return TD_OK; }
PASS(b)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b) };
TD_LIBRARY(tasks, .setup = setup)
"#;
    let mut running = tdrun("libx.so -j1 --events=out.jsonl")
        .library("x", source)
        .fifo("setup gate")
        .fifo("gate of a")
        .start();
    for (who, line, gate) in [
        ("setup runs", "    setup of `libx.so` for ", "setup gate"),
        ("a runs", "    [thread_0] a for ", "gate of a"),
    ] {
        running.wait_for(who);
        running.signal("USR1");
        running.wait_for("tdrun: 0 of 2 tasks done after ");
        running.wait_for(line);
        running.open(gate);
    }
    let outcome = running.end();
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (0, "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n")
    );
}

#[test]
fn a_task_that_waits_for_a_later_one_on_one_worker_can_be_interrupted_with_a_hint() {
    let source = r#"
TASK(waits) {
    TD_INFO(host, ctx, "waits runs");
    while (host->state_swap(ctx, td_s("ready"), td_s("true"), td_s("true")) != TD_OK) {
        if (host->cancelled(ctx) != 0) return TD_FAIL;
        usleep(1000);
    }
    return TD_OK;
}
TASK(later) { return host->state_set(ctx, td_s("ready"), TD_JSON, td_s("true")); }
static const td_task tasks[] = { TD_TASK(waits), TD_TASK(later) };
TD_LIBRARY(tasks)
"#;
    let mut running = tdrun("libx.so -j1").library("x", source).start();
    running.wait_for("waits runs");
    running.signal("INT");
    let outcome = running.end();
    assert_eq!(outcome.status, 130);
    let hint =
        "\nthere was 1 worker: where a task waits for one that runs later, try --workers=2\n";
    assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
    assert_eq!(tdrun("libx.so -j2 -q").library("x", source).run().status, 0);
}

#[test]
fn a_signal_during_setup_runs_no_task() {
    let source = r#"
TASK(setup) { TD_INFO(host, ctx, "setup runs"); while (host->cancelled(ctx) == 0) usleep(1000); return TD_OK; }
TASK(teardown) { fclose(fopen("torn_down", "w")); return TD_OK; }
PASS(a)
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks, .setup = setup, .teardown = teardown)
"#;
    let tdrun = tdrun("libx.so").library("x", source);
    let mut running = tdrun.start();
    running.wait_for("setup runs");
    running.signal("INT");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 1 not run in N.NNs ====\n"
    );
    assert_eq!(outcome.status, 130);
    assert!(tdrun.dir.join("torn_down").exists());
}

#[test]
fn a_signal_during_teardown_counts() {
    let source = r#"
PASS(a)
TASK(teardown) { TD_INFO(host, ctx, "teardown runs"); while (host->cancelled(ctx) == 0) usleep(1000); return TD_OK; }
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks, .teardown = teardown)
"#;
    let mut running = tdrun("libx.so").library("x", source).start();
    running.wait_for("teardown runs");
    running.signal("TERM");
    let outcome = running.end();
    assert_eq!(
        outcome.stdout,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n"
    );
    assert_eq!(outcome.status, 143);
}

#[test]
fn a_signal_while_a_library_is_being_loaded_ends_it_at_once() {
    let source = "__attribute__((constructor)) static void hang(void) { fputs(\"constructor\\n\", stderr); for (;;) pause(); }
        PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let mut running = tdrun("libx.so").library("x", source).start();
    running.wait_for("constructor");
    running.signal("INT");
    assert_eq!(running.end().status, 130);
}

#[test]
fn what_the_parent_ignores_stays_ignored() {
    let source = r#"
TASK(a) {
    TD_INFO(host, ctx, "a runs");
    wait_for("gate");
    return host->cancelled(ctx) == 0 ? TD_OK : TD_FAILED(host, ctx, "asked to stop");
}
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so").library("x", source).fifo("gate");
    let outcome = tdrun.shell(
        "trap '' INT HUP; $TDRUN 2>err & \
         until grep -q 'a runs' err 2>/dev/null; do :; done; \
         kill -s INT $!; kill -s HUP $!; echo x > gate; wait $!",
    );
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert_eq!(
        tdrun.read("err").lines().last().unwrap(),
        done("[thread_0] a", "PASSED", 100).trim_end()
    );
}

#[test]
fn signals_that_mean_nothing_to_it_do_not_disturb_it() {
    let source = r#"
TASK(a) { TD_INFO(host, ctx, "a runs"); wait_for("gate"); return TD_OK; }
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks)
"#;
    let mut running = tdrun("libx.so").library("x", source).fifo("gate").start();
    running.wait_for("a runs");
    for signal in [
        "CHLD", "WINCH", "PIPE", "URG", "STOP", "CONT", "TSTP", "CONT",
    ] {
        running.signal(signal);
    }
    running.open("gate");
    assert_eq!(running.end().status, 0);
}

/// Loading, setup, tasks, teardown, reports: a few milliseconds each.
#[test]
fn whenever_a_signal_comes_the_answer_is_whole() {
    let source = r#"
PASS(setup)
PASS(a) PASS(b) PASS(c)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR("a"))), TD_TASK(c) };
TD_LIBRARY(tasks, .setup = setup, .teardown = setup)
"#;
    for mode in ["never", "all"] {
        let (mut ended, mut moment) = (false, Duration::ZERO);
        while !ended {
            let tdrun = tdrun("libx.so --junit=out.xml")
                .arg(format!("--isolate={mode}"))
                .library("x", source);
            let mut running = tdrun.start();
            let start = Instant::now();
            while start.elapsed() < moment && !running.is_over() {}
            ended = running.is_over();
            if !ended {
                running.signal("TERM");
            }
            let outcome = running.end();
            let at = format!("--isolate={mode} after {moment:?}: {outcome:?}");
            let planned: u32 = outcome
                .stdout
                .split(' ')
                .filter_map(|word| word.parse::<u32>().ok())
                .sum();
            match outcome.status {
                // Before it listens there is nothing to tell.
                143 => assert!(outcome.stdout.is_empty() || planned == 3, "{at}"),
                0 => assert_eq!(planned, 3, "{at}"),
                _ => panic!("{at}"),
            }
            assert!(outcome.stdout.lines().count() <= 1, "{at}");
            moment += Duration::from_micros(1500);
        }
    }
}

/// Somebody stops one of its processes only, and lets it go on.
#[test]
fn each_process_of_tdrun_may_be_stopped_for_a_while() {
    let source = r#"
TASK(a) { TD_INFO(host, ctx, "a runs"); wait_for("gate"); return TD_OK; }
PASS(b)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR("a"))) };
TD_LIBRARY(tasks)
"#;
    for mode in ["never", "all"] {
        let tdrun = tdrun(&format!("libx.so --isolate={mode}"))
            .library("x", source)
            .fifo("gate");
        let mut running = tdrun.start();
        running.wait_for("a runs");
        let mut processes = vec![running.pid()];
        for place in 0.. {
            let Some(process) = processes.get(place) else {
                break;
            };
            let children = format!("/proc/{process}/task/{process}/children");
            let children = std::fs::read_to_string(children).expect("it is there");
            processes.extend(
                children
                    .split_whitespace()
                    .map(|pid| pid.parse::<u32>().expect("a number")),
            );
        }
        assert_eq!(processes.len(), if mode == "all" { 5 } else { 2 });
        for process in processes {
            for (name, state) in [("STOP", ") T "), ("CONT", ") S ")] {
                let sent = std::process::Command::new("sh")
                    .args(["-c", "kill -s $0 $1", name, &process.to_string()])
                    .status();
                assert!(sent.expect("a shell").success());
                let stat = format!("/proc/{process}/stat");
                while !std::fs::read_to_string(&stat)
                    .expect("it is there")
                    .contains(state)
                {
                    std::thread::yield_now();
                }
            }
        }
        running.open("gate");
        let outcome = running.end();
        let summary = "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n";
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (0, summary),
            "{}",
            outcome.stderr
        );
    }
}

/// Their children are killed before the tasks themselves, which so see them end.
#[test]
fn what_tasks_make_of_a_kill_of_tdrun_is_no_outcome() {
    let source = r#"
TASK(heeds_nothing) {
    return system("echo up >up; exec sleep 1000") == 0 ? TD_FAIL : TD_OK;
}
static const td_task tasks[] = {
    TD_TASK(heeds_nothing), TD_COMMAND("command", TD_SHELL("echo up >too; sleep 1000; true")),
};
TD_LIBRARY(tasks)
"#;
    for isolate in ["never", "all"] {
        let tdrun = tdrun("libx.so -j2 --journal=j")
            .arg(format!("--isolate={isolate}"))
            .library("x", source)
            .fifo("up")
            .fifo("too");
        let running = tdrun.start();
        assert_eq!(
            (tdrun.read("up"), tdrun.read("too")),
            ("up\n".into(), "up\n".into())
        );
        running.signal("KILL");
        let outcome = running.end();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
        let journal = tdrun.read("j");
        assert!(
            !["{\"ran\":", "{\"end\":", "{\"fin\":"]
                .iter()
                .any(|end| journal.contains(end)),
            "--isolate={isolate}: {journal}"
        );
    }
}

/// It takes all handlers away, also those that are ours.
#[test]
fn a_task_that_ignores_all_signals_is_stopped_and_does_not_outlive_tdrun() {
    let source = r#"
TASK(ignores) {
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
    TD_INFO(host, ctx, "ignores runs");
    while (host->cancelled(ctx) == 0) usleep(1000);
    return TD_FAIL;
}
static const td_task tasks[] = { TD_TASK(ignores) };
TD_LIBRARY(tasks)
"#;
    for name in ["TERM", "KILL"] {
        let mark = Mark::new(&format!("ignores-{name}"));
        let tdrun = tdrun("libx.so")
            .library("x", source)
            .env(Mark::NAME, mark.value());
        let mut running = tdrun.start();
        running.wait_for("ignores runs");
        running.signal(name);
        if name == "KILL" {
            mark.expect_nobody();
        }
        let outcome = running.end();
        assert_eq!(
            outcome.status,
            if name == "KILL" { 137 } else { 143 },
            "{}",
            outcome.stderr
        );
    }
}

/// Signals by which processes of tdrun hear of each other may be ignored or held back by who has started it.
#[test]
fn whatever_the_parent_does_to_signals_one_to_stop_is_heard() {
    let source = r#"
TASK(a) { TD_INFO(host, ctx, "a runs"); while (host->cancelled(ctx) == 0) usleep(1000); return TD_FAIL; }
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks)
"#;
    let holds_back = "#include <signal.h>\n#include <unistd.h>
        int main(int count, char **words) {
            sigset_t all;
            sigfillset(&all);
            sigprocmask(SIG_BLOCK, &all, 0);
            return count < 2 || execv(words[1], words + 1);
        }";
    let holds_back = c_output("holds_back", "holds_back", holds_back, &[]);
    for before in ["trap '' USR2 CHLD;", &holds_back.to_string_lossy()] {
        for isolate in ["never", "all"] {
            let tdrun = tdrun(&format!("libx.so --isolate={isolate}")).library("x", source);
            let outcome = tdrun.shell(&format!(
                "{before} $TDRUN 2>err & \
                 until grep -q 'a runs' err 2>/dev/null; do :; done; kill -s TERM $!; wait $!"
            ));
            let summary = "==== 0 passed, 0 failed, 0 skipped, 1 cancelled in N.NNs ====\n";
            assert_eq!(
                (outcome.status, outcome.stdout.as_str()),
                (143, summary),
                "{before} {outcome:?}"
            );
        }
    }
}
