//! The end of the process, each case in a process of its own: this test program, started again.
//!
//! Knows nothing of tables or host functions.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tdrun::exit::Exit;
use tdrun::library::exit;
use tdrun::task::Ending;

use super::common::c_library;
use super::load;

const CASE: &str = "TDRUN_TEST_CASE";
const LIBRARY: &str = "TDRUN_TEST_LIBRARY";

/// This test program, started again to do one thing with a library.
pub(crate) struct Child(Command);

impl Child {
    pub(crate) fn new(case: &str, library: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("known"));
        command
            .args([
                "--exact",
                "ends::child",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CASE, case)
            .env(LIBRARY, library);
        Self(command)
    }

    /// As a user who owns nothing; needs root.
    pub(crate) fn by_nobody(mut self) -> Self {
        self.0.uid(65534).gid(65534);
        self
    }

    pub(crate) fn with(mut self, variable: &str, value: &Path) -> Self {
        self.0.env(variable, value);
        self
    }

    /// None where it cannot be started.
    pub(crate) fn run(mut self) -> Option<Output> {
        self.0.output().ok()
    }
}

/// Says something that only who reads the test's output cares about.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

#[test]
#[ignore = "the child process of the other tests"]
fn child() {
    let (Ok(case), Ok(library)) = (std::env::var(CASE), std::env::var(LIBRARY)) else {
        return;
    };
    let library = PathBuf::from(library);
    match &*case {
        "load" => say_refusal(&library),
        "load-without-descriptors" => without_descriptors(&library),
        "guarded" => guarded(&library, || {
            note("reported");
            exit::leave(Exit::Failed, true)
        }),
        "panics-in-callback" => guarded(&library, || panic!("on purpose")),
        "twice" => {
            let end = |exit| move || exit::leave(exit, false);
            run_first(&library);
            // The destructor of the library waits, so the first of them is not through when the second comes.
            let first = std::thread::spawn(end(Exit::Output));
            while !std::fs::exists(library.with_extension("waits")).expect("readable") {
                std::thread::yield_now();
            }
            std::thread::spawn(end(Exit::Signal(2)));
            let _ = first.join();
        }
        "exits-in-callback" => guarded(&library, || std::process::exit(0)),
        "disarmed" => {
            exit::guard(|_| note("reported"));
            exit::disarm();
            run_first(&library);
        }
        "passed" => leave_after(&library, Exit::Passed, false),
        "output" => leave_after(&library, Exit::Output, false),
        "abandoned" => leave_after(&library, Exit::Failed, true),
        "terminated" => leave_after(&library, Exit::Signal(15), false),
        other => panic!("unknown case {other}"),
    }
}

fn say_refusal(library: &Path) {
    match load(library) {
        Ok(_) => note("loaded"),
        Err(error) => note(&error.to_string()),
    }
}

fn without_descriptors(library: &Path) {
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < 1 << 20, "no limit");
    }
    say_refusal(library);
}

fn guarded(library: &Path, report: impl FnOnce() + Send + 'static) {
    exit::guard(|_| report());
    run_first(library);
    note("came back");
}

fn leave_after(library: &Path, exit: Exit, abandoned: bool) {
    exit::guard(|_| note("reported"));
    run_first(library);
    exit::leave(exit, abandoned)
}

fn run_first(library: &Path) {
    let loaded = load(library).unwrap_or_else(|error| panic!("{error}"));
    let host: std::sync::Arc<dyn tdrun::task::Host> =
        std::sync::Arc::new(super::mock::Mock::default());
    let ending = super::mock::run(&host, super::plain(&loaded)[0]);
    assert_eq!(ending, Ending::Passed(None));
}

/// A library with one task and some code around it.
fn library(before: &str, body: &str) -> PathBuf {
    let source = format!(
        r#"
#include "tdrun.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
{before}
static int32_t task(const td_host *host, td_ctx ctx, void *user) {{
    (void)host, (void)ctx, (void)user;
    {body}
    return TD_OK;
}}
static const td_task tasks[] = {{TD_TASK(task)}};
TD_LIBRARY(tasks)
"#
    );
    c_library("ends", &source, &[])
}

/// Runs the case and gives exit status, signal, and all that was said.
fn run(case: &str, library: &Path) -> (Option<i32>, Option<i32>, String) {
    let output = Child::new(case, library).run().expect("runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_library_that_exits_is_reported_and_does_not_choose_the_status() {
    let constructor = "__attribute__((constructor)) static void leave(void) { exit(0); }";
    for (library, case) in [
        (library("", "exit(0);"), "task"),
        (library(constructor, ""), "constructor"),
    ] {
        let (status, _, said) = run("guarded", &library);
        assert_eq!(status, Some(1), "{case}: {said}");
        assert_eq!(said.matches("reported").count(), 1, "{case}: {said}");
        assert!(!said.contains("came back"), "{case}: {said}");
    }
}

#[test]
fn a_report_that_breaks_off_still_ends_as_failed() {
    for case in ["panics-in-callback", "exits-in-callback"] {
        let (status, _, said) = run(case, &library("", "exit(0);"));
        assert_eq!(status, Some(1), "{case}: {said}");
    }
}

#[test]
fn a_disarmed_guard_lets_go() {
    let (status, _, said) = run("disarmed", &library("", "exit(5);"));
    assert_eq!(status, Some(5), "{said}");
    assert!(!said.contains("reported"), "{said}");
}

#[test]
fn destructors_run_but_do_not_change_the_status() {
    let fine = "__attribute__((destructor)) static void end(void) { printf(\"destroyed\"); }";
    let (status, _, said) = run("output", &library(fine, ""));
    assert_eq!(status, Some(74), "{said}");
    assert!(
        said.contains("destroyed") && !said.contains("reported"),
        "{said}"
    );
    for (what, warning) in [
        ("*(volatile int *)8 = 1;", true),
        ("abort();", true),
        ("__builtin_trap();", true),
        ("for (;;) pause();", false),
    ] {
        let destructor = format!("__attribute__((destructor)) static void end(void) {{ {what} }}");
        for (case, expected) in [("passed", 0), ("output", 74)] {
            let (status, signal, said) = run(case, &library(&destructor, ""));
            assert_eq!((status, signal), (Some(expected), None), "{what}: {said}");
            assert_eq!(
                said.contains("a library crashed while the process ended"),
                warning,
                "{what}: {said}"
            );
        }
    }
}

#[test]
fn an_exit_handler_that_exits_again_does_not_change_the_status() {
    let handler = "static void again(void) { exit(3); }";
    let (status, _, said) = run("passed", &library(handler, "atexit(again);"));
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn with_a_thread_left_behind_streams_are_written_and_nothing_is_destroyed() {
    let destructor = "__attribute__((destructor)) static void end(void) { printf(\"destroyed\"); }";
    for (case, expected) in [
        ("abandoned", (Some(1), None)),
        ("terminated", (None, Some(15))),
    ] {
        let (status, signal, said) = run(case, &library(destructor, "printf(\"buffered\");"));
        assert_eq!((status, signal), expected, "{said}");
        assert!(said.contains("buffered"), "{case}: {said}");
        assert!(!said.contains("destroyed"), "{case}: {said}");
    }
}

#[test]
fn a_stream_that_is_held_forever_does_not_hold_the_end() {
    let body = "printf(\"x\"); flockfile(stdout); pthread_t thread; pthread_create(&thread, NULL, hold, NULL);
                pthread_join(thread, NULL);";
    let hold = "#include <pthread.h>
                static void *hold(void *user) { flockfile(stderr); return user; }";
    let (status, _, said) = run("abandoned", &library(hold, body));
    assert_eq!(status, Some(1), "{said}");
}

#[test]
fn threads_that_exit_at_the_same_time_wait_for_the_report() {
    let threads = "#include <pthread.h>
                   static pthread_barrier_t barrier;
                   static void *leave(void *user) { pthread_barrier_wait(&barrier); exit(0); return user; }";
    let body = "pthread_t thread; pthread_barrier_init(&barrier, NULL, 8);
                for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, leave, NULL);
                for (;;) pause();";
    let library = library(threads, body);
    for _ in 0..20 {
        let (status, _, said) = run("guarded", &library);
        assert_eq!(status, Some(1), "{said}");
        assert_eq!(said.matches("reported").count(), 1, "{said}");
    }
}

#[test]
fn a_thread_that_uses_what_is_destroyed_does_not_change_the_status() {
    let thread = "#include <pthread.h>
                  static int *volatile number;
                  static volatile long sum;
                  static void *use(void *user) { for (;;) sum += *number; return user; }
                  __attribute__((destructor)) static void end(void) { number = NULL; for (;;) pause(); }";
    let body = "pthread_t thread; number = malloc(4); *number = 1; pthread_create(&thread, NULL, use, NULL);";
    let library = library(thread, body);
    for _ in 0..10 {
        let (status, signal, said) = run("passed", &library);
        assert_eq!((status, signal), (Some(0), None), "{said}");
    }
}

#[test]
fn a_signal_while_destructors_run_keeps_the_first_status() {
    let destructor = "__attribute__((destructor)) static void end(void) {
                          char name[4096];
                          snprintf(name, sizeof name, \"%s.waits\", getenv(\"TDRUN_TEST_STEM\"));
                          fclose(fopen(name, \"w\"));
                          for (;;) pause();
                      }";
    let path = super::common::scratch("twice").join("libends.so");
    std::fs::copy(library(destructor, ""), &path).expect("copied");
    let stem = path.with_extension("");
    let output = Child::new("twice", &path)
        .with("TDRUN_TEST_STEM", &stem)
        .run();
    assert_eq!(output.expect("runs").status.code(), Some(74));
}
