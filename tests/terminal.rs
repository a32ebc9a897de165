//! tdrun at a terminal: its keys, and who may read from it. A small program in C plays the terminal.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::c_output;
use common::tool::{Tdrun, tdrun};

/// Runs a command at a terminal of its own. Its first argument is a script of lines: `wait TEXT` until that is seen behind what
/// was waited for before, `send TEXT`, where `^X` is that key and `$` the end of a line. Prints all that came, and ends as the
/// command did: with its status, or 128 and the signal.
const TERMINAL: &str = r#"
#define _GNU_SOURCE
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char seen[1 << 20];
static size_t length, behind;

static int more(int terminal) {
    ssize_t got = read(terminal, seen + length, sizeof seen - length - 1);
    if (got > 0) length += got;
    seen[length] = 0;
    return got > 0;
}

static void leave(const char *why, const char *what) {
    fwrite(seen, 1, length, stdout);
    fprintf(stderr, "%s: %s\n", why, what);
    exit(99);
}

static void key(int terminal, char key) {
    if (write(terminal, &key, 1) != 1) leave("cannot send", "a key");
}

static void keys(int terminal, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c == '^') key(terminal, *++c & 0x1f);
        else key(terminal, *c == '$' ? '\r' : *c);
    }
}

int main(int count, char **words) {
    int terminal, status;
    char *line, *rest = words[1];
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == 0) {
        execvp(words[2], words + 2);
        _exit(98);
    }
    alarm(60);
    while ((line = strsep(&rest, "\n")) != NULL && count > 2) {
        if (strncmp(line, "wait ", 5) == 0) {
            char *found;
            while ((found = strstr(seen + behind, line + 5)) == NULL)
                if (!more(terminal)) leave("did not come", line + 5);
            behind = found - seen + strlen(line + 5);
        } else if (strncmp(line, "send ", 5) == 0) {
            keys(terminal, line + 5);
        }
    }
    while (more(terminal));
    waitpid(child, &status, 0);
    fwrite(seen, 1, length, stdout);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
"#;

/// The status, and all that was on the screen.
fn at_terminal(tdrun: &Tdrun, script: &str, command: &[&str]) -> (i32, String) {
    let terminal = c_output("terminal", "terminal", TERMINAL, &["-lutil"]);
    let mut play = Command::new(terminal);
    play.current_dir(&tdrun.dir).arg(script).args(command);
    let output = play.stdin(Stdio::null()).output().expect("it starts");
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.is_empty(), "{told}{screen}");
    (output.status.code().expect("a status"), screen)
}

const TDRUN: &str = env!("CARGO_BIN_EXE_tdrun");

const WAITS: &str = r#"
TASK(waits) {
    TD_INFO(host, ctx, "waits runs");
    while (access("go", F_OK) != 0) { if (host->cancelled(ctx) != 0) return TD_FAILED(host, ctx, "stopped"); usleep(1000); }
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(waits) };
TD_LIBRARY(tasks)
"#;

#[test]
fn a_key_asks_what_runs_and_is_not_shown() {
    let tdrun = tdrun("").library("x", WAITS);
    let script = "wait waits runs\nsend t\nwait 0 of 1 tasks done\nwait [thread_0] waits for\nsend ^C\nwait CANCELLED";
    let (status, screen) = at_terminal(&tdrun, script, &[TDRUN, "libx.so"]);
    assert_eq!(status, 130, "{screen}");
    assert!(
        !screen
            .lines()
            .any(|line| line.starts_with('t') && line.trim() == "t"),
        "{screen}"
    );
}

#[test]
fn a_ctrl_c_reaches_what_tasks_have_started_and_once() {
    let source = r#"
TASK(starts) { return system("echo begun; exec sleep 1000") == 0 ? TD_OK : TD_FAILED(host, ctx, "the program was stopped"); }
static const td_task tasks[] = { TD_TASK(starts) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("").library("x", source);
    let script = "wait begun\nsend ^C\nwait stopping: SIGINT\nwait the program was stopped";
    let (status, screen) = at_terminal(&tdrun, script, &[TDRUN, "libx.so"]);
    assert_eq!(status, 130, "{screen}");
    assert!(screen.contains("1 cancelled"), "{screen}");
}

/// It does only where tdrun dies by the signal: a status of 130 is one like any other.
#[test]
fn one_ctrl_c_ends_a_loop_of_a_shell() {
    for mode in ["never", "all"] {
        let tdrun = tdrun("").library("x", WAITS);
        let script = "wait waits runs\nsend ^C\nwait CANCELLED";
        let round =
            format!("for i in 1 2 3; do {TDRUN} libx.so --isolate={mode}; echo went on; done");
        let (status, screen) = at_terminal(&tdrun, script, &["bash", "-c", &round]);
        assert_eq!(status, 130, "{screen}");
        assert!(!screen.contains("went on"), "{screen}");
    }
}

#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    let tdrun = tdrun("").library("x", WAITS);
    fs::write(tdrun.dir.join("rc"), "PS1='ready> '\n").expect("written");
    let script = format!(
        "wait ready>\nsend {TDRUN} libx.so$\nwait waits runs\nsend ^Z\nwait ready>\nsend stty -a$\nwait  icanon\nwait ready>\nsend fg$\nwait libx.so\nsend t\nwait 0 of 1 tasks done\nsend ^C\nwait CANCELLED\nwait ready>\nsend exit$"
    );
    let (_, screen) = at_terminal(&tdrun, &script, &["sh", "-c", "ENV=rc exec sh -i"]);
    assert!(screen.contains("Stopped"), "{screen}");
}

#[test]
fn a_task_that_reads_from_the_terminal_is_lent_it() {
    let source = r#"
static char answer[64];
static void *reads(void *terminal) { return fgets(answer, sizeof answer, terminal); }
TASK(asks) {
    pthread_t thread;
    void *got;
    FILE *terminal = fopen("/dev/tty", "r");
    pthread_create(&thread, NULL, reads, terminal);
    /* What is typed before that is a key of tdrun. */
    while (tcgetpgrp(fileno(terminal)) != getpgrp()) usleep(1000);
    TD_INFO(host, ctx, "your name?");
    pthread_join(thread, &got);
    if (got == NULL) return TD_FAILED(host, ctx, "nobody answers");
    answer[strcspn(answer, "\n")] = 0;
    return host->result_set(ctx, TD_TEXT, td_s(answer));
}
TASK(later) { TD_INFO(host, ctx, "later runs"); return TD_OK; }
static const td_task tasks[] = { TD_TASK(asks), TD_TASK(later, TD_AFTER(TD_STR("asks"))) };
TD_LIBRARY(tasks)
"#;
    let source = format!("#include <string.h>\n{source}");
    let tdrun = tdrun("").library("x", &source);
    let script = "wait your name?\nsend Ada$\nwait later runs\nwait 2 passed";
    let (status, screen) = at_terminal(&tdrun, script, &[TDRUN, "libx.so", "--events=out.jsonl"]);
    assert_eq!(status, 0, "{screen}");
    let events = tdrun.read("out.jsonl");
    assert!(events.contains("\"result\":\"Ada\""), "{events}");
}

#[test]
fn an_isolated_task_that_uses_the_terminal_is_stopped_and_ends_at_its_timeout() {
    let source = r#"
#include <termios.h>
TASK(reads) {
    char c;
    int terminal = open("/dev/tty", O_RDWR);
    return terminal >= 0 && read(terminal, &c, 1) == 1 ? TD_OK : TD_FAILED(host, ctx, "nothing came");
}
TASK(changes) {
    struct termios mode;
    int terminal = open("/dev/tty", O_RDWR);
    if (terminal < 0 || tcgetattr(terminal, &mode)) return TD_FAILED(host, ctx, "no terminal");
    cfmakeraw(&mode);
    return tcsetattr(terminal, TCSANOW, &mode) ? TD_FAILED(host, ctx, "refused") : TD_OK;
}
static const td_task tasks[] = { TD_TASK(reads, .timeout_ms = 300), TD_TASK(changes, .timeout_ms = 300) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("").library("x", source);
    fs::write(tdrun.dir.join("rc"), "PS1='ready> '\n").expect("written");
    // The words that the shell is to say do not stand in the line that is typed.
    let script = format!(
        "wait ready>\nsend {TDRUN} libx.so --isolate -j1$\nwait [thread_0] reads is stopped by SIGTTIN\nwait TIMED OUT\nwait [thread_0] changes is stopped by SIGTTOU\nwait TIMED OUT\nwait ready>\nsend stty -a$\nwait  icanon\nwait  echo \nwait ready>\nsend echo go''es on$\nwait goes on\nwait ready>\nsend exit$"
    );
    let (_, screen) = at_terminal(&tdrun, &script, &["sh", "-c", "ENV=rc exec sh -i"]);
    assert_eq!(screen.matches("killed by SIGTERM").count(), 4, "{screen}");
    assert!(screen.contains("2 timed out"), "{screen}");
}
