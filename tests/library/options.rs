//! What a task may declare beyond its function: read right, and refused where it makes no sense.
//!
//! Knows nothing of what a run makes of it.

use std::path::PathBuf;
use std::time::Duration;

use tdrun::task::{Condition, Lock, Options};

use super::common::c_library;
use super::{load, plain, refusal};

/// A library with the task `first`, changed, and one without anything.
fn library_that(change: &str) -> PathBuf {
    let source = r#"
#include "tdrun.h"

static int32_t run(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx, (void)user;
    return TD_OK;
}

static td_str list[] = {TD_STR("x"), TD_STR("y::*"), TD_STR("z::[env]")};
static td_command command = {.size = sizeof(td_command)};
#line 3
static td_task tasks[] = {TD_TASK_NAMED(run, "first"), TD_TASK_NAMED(run, "second")};
static td_task *task = tasks;
static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .minor = TD_MINOR, .size = sizeof(td_table),
                         .task_stride = sizeof(td_task), .task_count = 2, .tasks = tasks};
static char large[2 << 20];

static td_str s(const char *text) { return td_s(text); }
static td_str bytes(size_t len) { memset(large, 'x', sizeof large); return (td_str){large, len}; }

/* Makes the first task one that runs the command. */
static void as_command(void) {
    task->kind = TD_KIND_COMMAND;
    task->run = NULL;
    task->command = &command;
}

TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    (void)host, (void)list, (void)s, (void)bytes, (void)as_command;
    CHANGE
    return &table;
}
"#;
    let source = source.replace("CHANGE", change);
    c_library("options", &source, &[])
}

fn options(change: &str) -> Options {
    let loaded = load(&library_that(change)).unwrap_or_else(|error| panic!("{change}: {error}"));
    let tasks = plain(&loaded);
    assert!(tasks[1].declared().is_none(), "nothing declared is nothing");
    tasks[0].options().clone()
}

fn names(names: &[&str]) -> Box<[Box<str>]> {
    names.iter().map(|&name| name.into()).collect()
}

#[test]
fn each_field_is_read_as_it_is_meant() {
    let nothing = Options::default;
    for (change, expected) in [
        (
            "task->wave = 7;",
            Options {
                wave: 7,
                ..nothing()
            },
        ),
        (
            "task->before = list; task->before_count = 3;",
            Options {
                before: names(&["x", "y::*", "z::[env]"]),
                ..nothing()
            },
        ),
        (
            "task->then = list; task->then_count = 2;",
            Options {
                then: names(&["x", "y::*"]),
                ..nothing()
            },
        ),
        (
            "task->condition = TD_NO_FAILURES;",
            Options {
                condition: Condition::NoFailures,
                ..nothing()
            },
        ),
        (
            "task->condition = TD_ALWAYS;",
            Options {
                condition: Condition::Always,
                ..nothing()
            },
        ),
        (
            "task->priority = -5;",
            Options {
                priority: -5,
                ..nothing()
            },
        ),
        (
            "task->flags = TD_TASK_EXCLUSIVE;",
            Options {
                exclusive: true,
                ..nothing()
            },
        ),
        (
            "task->flags = TD_TASK_ISOLATE;",
            Options {
                isolate: true,
                ..nothing()
            },
        ),
        (
            "task->retries = 2; task->retry_delay_ms = 1500; task->flags = TD_TASK_RETRY_TIMEOUT;",
            Options {
                retries: 2,
                retry_delay: Duration::from_millis(1500),
                retry_timeouts: true,
                ..nothing()
            },
        ),
        (
            "task->timeout_ms = 30000;",
            Options {
                timeout: Some(Duration::from_secs(30)),
                ..nothing()
            },
        ),
        (
            "task->timeout_ms = UINT64_MAX; task->retry_delay_ms = UINT64_MAX; task->retries = INT32_MAX;",
            Options {
                timeout: Some(Duration::from_millis(u64::MAX)),
                retry_delay: Duration::from_millis(u64::MAX),
                retries: i32::MAX.cast_unsigned(),
                ..nothing()
            },
        ),
    ] {
        assert_eq!(options(change), expected, "{change}");
    }
}

#[test]
fn locks_are_sorted_and_each_is_there_once() {
    let change = "
        static const td_str locks[] = {TD_STR(\"net:r\"), TD_STR(\"db:r\"), TD_STR(\"a\"), TD_STR(\"db\"), TD_STR(\"net:r\")};
        task->locks = locks;
        task->lock_count = 5;";
    let expected = ["a", "db", "net:r"].map(Lock::parse);
    assert_eq!(*options(change).locks, expected);
}

#[test]
fn an_option_that_makes_no_sense_is_an_error() {
    for &(change, error) in WRONG {
        let error = format!("error[{error}")
            .replace("FIRST", "task 0 of `liboptions.so` (`first`, options.c:3)");
        assert_eq!(
            refusal(&library_that(change)).to_string(),
            error,
            "{change}"
        );
    }
}

/// What the library does to its first task, and the error.
const WRONG: &[(&str, &str)] = &[
    (
        "task->condition = 3;",
        "abi.kind]: FIRST: has condition 3, which this tdrun does not know\n  a newer tdrun may know it",
    ),
    (
        "task->flags = UINT64_C(1) << 33;",
        "abi.flag]: FIRST: flag bit 33 must be understood, and this tdrun does not know it\n  a newer tdrun may know it",
    ),
    (
        "list[1].len = 0; task->before = list; task->before_count = 2;",
        "abi.name]: FIRST: `before[1]` is empty\n  in C, write names as TD_STR(\"…\")",
    ),
    (
        "list[0].len = 0; task->then = list; task->then_count = 2;",
        "abi.name]: FIRST: `then[0]` is empty\n  in C, write names as TD_STR(\"…\")",
    ),
    (
        "list[0] = s(\"\\xff\"); task->then = list; task->then_count = 2;",
        "abi.utf8]: FIRST: `then[0]` is not UTF-8: `\\xff`",
    ),
    (
        "list[0].len = 0; task->locks = list; task->lock_count = 1;",
        "abi.name]: FIRST: `locks[0]` names no lock\n  in C, write names as TD_STR(\"…\")",
    ),
    (
        "list[0] = s(\":r\"); task->locks = list; task->lock_count = 1;",
        "abi.name]: FIRST: `locks[0]` names no lock\n  in C, write names as TD_STR(\"…\")",
    ),
    (
        "list[1] = s(\"db_[evn]:r\"); task->locks = list; task->lock_count = 2;",
        "abi.name]: FIRST: `locks[1]` has `[evn]`, which is no parameter of the name",
    ),
    (
        "task->retries = (uint32_t)-1;",
        "abi.limit]: FIRST: `retries` is 4294967295, the limit is 2147483647\n  it cannot be below zero",
    ),
    (
        "task->wave = (uint32_t)-1;",
        "abi.limit]: FIRST: `wave` is 4294967295, the limit is 2147483647\n  it cannot be below zero",
    ),
    (
        "list[0] = bytes(256); task->locks = list; task->lock_count = 1;",
        "abi.limit]: FIRST: `locks[0]` has 256 bytes, the limit is 255",
    ),
    (
        "task->locks = list; task->lock_count = 70000;",
        "abi.limit]: FIRST: `locks` has 70000 entries, the limit is 65536",
    ),
    (
        "task->before = (td_str *)8; task->before_count = 1;",
        "abi.pointer]: FIRST: `before` points to memory that cannot be read (16 bytes at 0x8)",
    ),
    (
        "task->then_count = 1;",
        "abi.pointer]: FIRST: `then` is null",
    ),
    (
        "task->kind = 2;",
        "abi.kind]: FIRST: is of kind 2, which this tdrun does not know\n  a newer tdrun may know it",
    ),
    (
        "as_command(); task->run = run;",
        "abi.command]: FIRST: has a `run`, and a command has none\n  in C, TD_COMMAND writes it",
    ),
    (
        "as_command(); task->command = NULL;",
        "abi.command]: FIRST: has no `command`\n  in C, TD_COMMAND writes it",
    ),
    (
        "task->command = &command;",
        "abi.command]: FIRST: has a `command`, but is not of its kind\n  in C, TD_COMMAND writes it",
    ),
    (
        "as_command(); task->command = (td_command *)8;",
        "abi.pointer]: FIRST: `command` points to memory that cannot be read (4 bytes at 0x8)",
    ),
    (
        "as_command(); command.size = 47;",
        "abi.size]: FIRST: the `size` of `command` is 47 bytes, between 48 and 65536 are possible",
    ),
    (
        "as_command(); command.flags = UINT64_C(1) << 32;",
        "abi.flag]: FIRST: flag bit 32 must be understood, and this tdrun does not know it\n  a newer tdrun may know it",
    ),
    (
        "as_command();",
        "abi.command]: FIRST: has neither `command.argv` nor `command.shell`\n  in C, TD_COMMAND writes it",
    ),
    (
        "as_command(); command.argv = list; command.argc = 1; command.shell = s(\"ls\");",
        "abi.command]: FIRST: has both `command.argv` and `command.shell`\n  in C, TD_COMMAND writes it",
    ),
    (
        "as_command(); command.argc = 1;",
        "abi.pointer]: FIRST: `command.argv` is null",
    ),
    (
        "as_command(); list[1] = bytes((1 << 20) + 1); command.argv = list; command.argc = 2;",
        "abi.limit]: FIRST: `command.argv[1]` has 1048577 bytes, the limit is 1048576",
    ),
    (
        "as_command(); command.shell = s(\"a\\xff\");",
        "abi.utf8]: FIRST: `command.shell` is not UTF-8: `a\\xff`",
    ),
    (
        "as_command(); command.shell = s(\"ls\"); command.cwd = bytes(4097);",
        "abi.limit]: FIRST: `command.cwd` has 4097 bytes, the limit is 4096",
    ),
    (
        "as_command(); command.shell = s(\"ls\"); command.env = (td_str *)8; command.env_count = 1;",
        "abi.pointer]: FIRST: `command.env` points to memory that cannot be read (16 bytes at 0x8)",
    ),
    (
        "as_command(); command.shell = s(\"ls\"); list[1] = s(\"=x\"); command.env = list; command.env_count = 2;",
        "abi.command]: FIRST: `command.env[1]` names no variable\n  in C, TD_COMMAND writes it",
    ),
];

#[test]
fn what_only_the_run_can_judge_is_loaded() {
    for change in [
        "as_command(); command.argv = list;",
        "as_command(); command.argv = list; command.argc = 1; list[0] = (td_str){\"a\\0b\", 3};",
        "as_command(); command.shell = s(\"[env] \\n\");",
    ] {
        let loaded = load(&library_that(change));
        loaded.unwrap_or_else(|error| panic!("{change}: {error}"));
    }
}
