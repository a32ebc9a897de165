//! Programs as tasks: how they are started, and that nobody is left of those that are stopped.

mod common;

use common::mark::Mark;
use common::tool::{Tdrun, tdrun};

/// A program whose children do what they can to stay: all ignore SIGTERM; one is in a session of its own, one a daemon, one
/// has cleared its environment as well, one is stopped. Each says that it is there.
const STAYS: &str = r#"
static const td_task tasks[] = {
    TD_COMMAND("stays", TD_SHELL(
        "trap '' TERM; stay='echo here >&3; exec sleep 1000'; mkfifo here; exec 3<>here;"
        "sh -c \"$stay\" & setsid sh -c \"$stay\" & (setsid sh -c \"$stay\" &); env -i setsid sh -c \"echo \\$\\$ >bare; $stay\" &"
        "sh -c \"echo here >&3; kill -STOP \\$\\$\" &"
        "for i in 1 2 3 4 5; do read line <&3; done; echo up >up; wait"), LIMIT),
};
TD_LIBRARY(tasks)
"#;

/// The one that no mark tells of is gone too.
#[track_caller]
fn expect_nobody(tdrun: &Tdrun, mark: &Mark) {
    mark.expect_nobody();
    let stat = format!("/proc/{}/stat", tdrun.read("bare").trim());
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    assert!(
        stat.is_empty() || stat.contains(") Z "),
        "left behind: {stat}"
    );
}

/// What is said above, and its mark.
fn stays(name: &str, args: &str, limit: &str) -> (Tdrun, Mark) {
    let mark = Mark::new(name);
    let tdrun = tdrun(args)
        .library("x", &STAYS.replace("LIMIT", limit))
        .fifo("up")
        .env(Mark::NAME, mark.value());
    (tdrun, mark)
}

#[test]
fn a_timeout_ends_all_that_a_command_has_started() {
    let (tdrun, mark) = stays("timeout", "libx.so --grace=200ms", ".timeout_ms = 1000");
    let running = tdrun.start();
    assert_eq!(tdrun.read("up"), "up\n");
    assert_eq!(mark.holders().len(), 7, "{:?}", mark.holders());
    let outcome = running.end();
    expect_nobody(&tdrun, &mark);
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 1 timed out in N.NNs ====\n"
    );
}

#[test]
fn the_second_ctrl_c_ends_all_that_a_command_has_started() {
    let (tdrun, mark) = stays("ctrl-c", "libx.so", ".priority = 0");
    let mut running = tdrun.start();
    assert_eq!(tdrun.read("up"), "up\n");
    running.signal("INT");
    running.wait_for("stopping");
    running.signal("INT");
    assert_eq!(running.end().status, 130);
    expect_nobody(&tdrun, &mark);
}

#[test]
fn nobody_of_a_command_outlives_a_kill_of_tdrun() {
    let (tdrun, mark) = stays("killed", "libx.so", ".priority = 0");
    let running = tdrun.start();
    assert_eq!(tdrun.read("up"), "up\n");
    running.signal("KILL");
    expect_nobody(&tdrun, &mark);
}

/// Not by a shell, which may change that.
#[test]
fn a_program_is_started_with_no_signal_held_back() {
    let source = r#"
static const td_task tasks[] = {
    TD_COMMAND("mask", TD_EXEC(TD_ARGV(TD_STR("grep"), TD_STR("^SigBlk:\t0*$"), TD_STR("/proc/self/status")))),
};
TD_LIBRARY(tasks)
"#;
    for isolate in ["never", "all"] {
        let tdrun = tdrun(&format!("libx.so --isolate={isolate}")).library("x", source);
        assert_eq!(tdrun.run().status, 0, "--isolate={isolate}");
    }
}
