//! What needs a process of its own: this test program, started again.
//!
//! Knows nothing of tables or host functions.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
