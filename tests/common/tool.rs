//! Runs the tdrun binary as a user would, in a directory of its own, and compares both streams and the status exactly.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use super::{c_library, scratch};

/// What every C fixture begins with.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include "tdrun.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define TASK(name) static int32_t name(__attribute__((unused)) const td_host *host, \
    __attribute__((unused)) td_ctx ctx, __attribute__((unused)) void *user)
#define PASS(name) TASK(name) { return TD_OK; }
#define FAIL(name, why) TASK(name) { return TD_FAILED(host, ctx, why); }
/* Waits for the byte that the test writes to the FIFO. Each FIFO is for one wait: the writer of one may let the next through. */
__attribute__((unused)) static void wait_for(const char *fifo) {
    char c;
    int fd = open(fifo, O_RDONLY);
    if (read(fd, &c, 1) != 1) fprintf(stderr, "nothing came from %s\n", fifo);
    close(fd);
}
"#;

/// One call of tdrun in the making. The working directory is new and empty but for what is put there.
pub(crate) struct Tdrun {
    pub(crate) dir: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// What it came to, with the times and the directory made equal.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// As a shell has it: 128 + n for a death by signal n.
    pub(crate) status: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `tdrun` with these arguments, split at spaces.
pub(crate) fn tdrun(args: &str) -> Tdrun {
    Tdrun {
        dir: scratch("run"),
        args: Vec::new(),
        env: Vec::new(),
    }
    .args(args)
}

impl Tdrun {
    /// Puts `lib<name>.so` there, built from C source behind the prelude.
    pub(crate) fn library(self, name: &str, source: &str) -> Self {
        self.library_with(name, source, &[])
    }

    pub(crate) fn library_with(self, name: &str, source: &str, flags: &[&str]) -> Self {
        let source = format!("{PRELUDE}#line 1\n{source}");
        let built = c_library(name, &source, &[&["-pthread"], flags].concat());
        fs::copy(built, self.dir.join(format!("lib{name}.so"))).expect("the library is copied");
        self
    }

    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.join(name), content).expect("the file is written");
        self
    }

    /// Makes a FIFO for tasks to wait at.
    pub(crate) fn fifo(self, name: &str) -> Self {
        let made = Command::new("mkfifo").arg(self.dir.join(name)).status();
        assert!(made.expect("mkfifo is installed").success());
        self
    }

    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args
            .extend(args.split_whitespace().map(OsString::from));
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// The command, for tests that start it in a way of their own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tdrun"));
        command
            .current_dir(&self.dir)
            .args(&self.args)
            .stdin(Stdio::null());
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "COLUMNS"] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Through the shell, where `$TDRUN` is the command with its arguments.
    pub(crate) fn shell(&self, script: &str) -> Outcome {
        let words: Vec<_> = self
            .args
            .iter()
            .map(|arg| format!("'{}'", arg.display()))
            .collect();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script.replace(
            "$TDRUN",
            &format!("'{}' {}", env!("CARGO_BIN_EXE_tdrun"), words.join(" ")),
        ));
        shell.current_dir(&self.dir).stdin(Stdio::null());
        shell.envs(self.env.iter().map(|(key, value)| (key, value)));
        self.outcome(&mut shell)
    }

    pub(crate) fn run(&self) -> Outcome {
        self.outcome(&mut self.command())
    }

    fn outcome(&self, command: &mut Command) -> Outcome {
        let output = command.output().expect("tdrun starts");
        Outcome {
            status: code(output.status),
            signal: output.status.signal(),
            stdout: self.normal(&output.stdout),
            stderr: self.normal(&output.stderr),
        }
    }

    /// Exactly this status, stdout and stderr.
    #[track_caller]
    pub(crate) fn expect(&self, status: i32, stdout: &str, stderr: &str) {
        let outcome = self.run();
        assert_eq!(outcome.stderr, stderr, "stderr");
        assert_eq!(outcome.stdout, stdout, "stdout");
        assert_eq!(outcome.status, status, "status");
    }

    /// Nothing on stdout, and one error.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: i32, error: &str) {
        self.expect(status, "", &format!("tdrun: {error}\n"));
    }

    /// Starts it with both streams piped.
    pub(crate) fn start(&self) -> Running {
        let mut child = self.command();
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tdrun starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Running {
            child,
            stderr,
            seen: String::new(),
            dir: self.dir.clone(),
        }
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn normal(&self, text: &[u8]) -> String {
        normal(&self.dir, text)
    }
}

/// A tdrun under way.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    seen: String,
    dir: PathBuf,
}

impl Running {
    /// Reads stderr until a line holds the text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("stderr is text");
            assert!(read > 0, "`{text}` did not come; stderr:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    /// Its number: that of the process that watches the run.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let mut kill = Command::new("sh");
        let sent = kill
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits until the process that runs the tasks stands still.
    pub(crate) fn wait_until_stopped(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        let is_stopped = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(") T ")
        };
        let stopped = || {
            let children = fs::read_to_string(&children).unwrap_or_default();
            children.split_whitespace().any(is_stopped)
        };
        while !stopped() {
            std::thread::yield_now();
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }

    /// Opens a FIFO that a task waits at.
    pub(crate) fn open(&self, fifo: &str) {
        fs::write(self.dir.join(fifo), "x").expect("the task reads");
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Outcome {
        let mut stdout = Vec::new();
        let mut stderr = Vec::new();
        self.stderr.read_to_end(&mut stderr).expect("stderr ends");
        self.child
            .stdout
            .take()
            .expect("piped")
            .read_to_end(&mut stdout)
            .expect("stdout ends");
        let status = self.child.wait().expect("it ends");
        let stderr = self.seen + &String::from_utf8_lossy(&stderr);
        Outcome {
            status: code(status),
            signal: status.signal(),
            stdout: normal(&self.dir, &stdout),
            stderr: normal(&self.dir, stderr.as_bytes()),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .expect("a status")
}

/// The directory becomes `DIR`, the time of a summary `N.NNs`.
fn normal(dir: &Path, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).replace(&*dir.to_string_lossy(), "DIR");
    let line = |line: &str| match line.rsplit_once(" in ") {
        Some((head, time)) if line.contains("==== ") && time.ends_with("s ====") => {
            format!("{head} in N.NNs ====")
        }
        _ => line.to_owned(),
    };
    let mut lines: String = text.split('\n').map(line).collect::<Vec<_>>().join("\n");
    lines.shrink_to_fit();
    lines
}

/// `[thread_0] name ..... PASSED [ 20% ]`, as wide as it has to be.
pub(crate) fn done(base: &str, status: &str, percent: usize) -> String {
    let end = format!("{status} [{percent:3}% ]");
    let dots = ".".repeat(75_usize.saturating_sub(base.chars().count() + end.len()));
    format!("{base} {dots} {end}\n")
}
