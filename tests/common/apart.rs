//! What tests of tasks in processes of their own begin with.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use super::mark::Mark;
use super::tool::{Tdrun, tdrun};

/// Behind the prelude: texts as values, and a visitor that keeps the last one.
pub(crate) const WORDS: &str = r#"
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
pub(crate) fn with(args: &str, source: &str) -> Tdrun {
    let source = format!("{WORDS}#line 1\n{source}\nTD_LIBRARY(tasks)\n");
    // Some of them never return.
    let flags = ["-Wno-return-type"];
    tdrun("libx.so")
        .args(args)
        .library_with("x", &source, &flags)
}

/// As [`with`], and its mark.
pub(crate) fn marked(name: &str, args: &str, source: &str) -> (Tdrun, Mark) {
    let mark = Mark::new(name);
    (with(args, source).env(Mark::NAME, mark.value()), mark)
}

/// The number that a task has written to a file.
pub(crate) fn number(tdrun: &Tdrun, file: &str) -> i32 {
    tdrun.read(file).trim().parse().expect("a number")
}

/// The first child of a process.
pub(crate) fn child(process: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.expect("it is there");
    let first = children.split_whitespace().next().expect("a child");
    first.parse().expect("a number")
}

pub(crate) fn signal(process: i32, name: &str) {
    let mut kill = Command::new("sh");
    let process = process.to_string();
    let sent = kill
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process])
        .status();
    assert!(sent.expect("a shell").success());
}

#[track_caller]
pub(crate) fn expect_line(stderr: &str, line: &str) {
    assert!(
        stderr
            .lines()
            .any(|told| told.trim_start().starts_with(line)),
        "`{line}` is not in:\n{stderr}"
    );
}

/// What stands in the failures for a task.
#[track_caller]
pub(crate) fn failure(stderr: &str, task: &str) -> String {
    let failures = stderr
        .split_once("\nfailures:\n")
        .expect("there are some")
        .1;
    let mut parts = failures.split("\n\n");
    let mine = parts.find(|part| part.trim_start().starts_with(&format!("{task} ")));
    mine.unwrap_or_else(|| panic!("{task} is not in:\n{failures}"))
        .to_owned()
}

/// False where there is no strace; says so.
pub(crate) fn has_strace() -> bool {
    let is_there = Command::new("strace").arg("-V").output().is_ok();
    if !is_there {
        let _ = writeln!(std::io::stderr(), "skipped: there is no strace");
    }
    is_there
}
