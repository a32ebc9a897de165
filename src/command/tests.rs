//! Real processes, and a host that can only cancel. What a test waits for is a line in a fifo or the end of a process.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, set_child_subreaper,
    test_kill_process, waitid, waitpid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::task::{Arguments, Caller, Cancel, Declined, Hosts, Progress, Record, Refused};

type Act = Box<dyn Fn(Cancel) + Send + Sync>;

/// A host that can ask its task to stop.
#[derive(Default)]
struct Asker {
    arguments: Arguments,
    grace: Duration,
    asked: Mutex<(Vec<Cancel>, Vec<Act>)>,
}

impl Asker {
    fn ask(&self, cancel: Cancel) {
        let mut asked = self.asked.lock().unwrap();
        asked.0.push(cancel);
        asked.1.iter().for_each(|act| act(cancel));
    }
}

impl Host for Asker {
    fn is_over(&self) -> bool {
        false
    }
    fn name(&self) -> &'static str {
        "command"
    }
    fn arguments(&self) -> &Arguments {
        &self.arguments
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn log(&self, _: Record) {
        unreachable!("a command logs nothing")
    }
    fn progress(&self, _: Progress) {
        unreachable!("a command does not know its progress")
    }
    fn observed(&self, _: crate::task::Observed) {
        unreachable!("nothing runs in a process of its own here")
    }
    fn cancelled(&self) -> bool {
        !self.asked.lock().unwrap().0.is_empty()
    }
    fn when_cancelled(&self, act: Act) {
        let mut asked = self.asked.lock().unwrap();
        asked.0.iter().for_each(|cancel| act(*cancel));
        asked.1.push(act);
    }
    fn grace(&self) -> Duration {
        self.grace
    }
    fn result(&self, _: &str) -> Option<Json> {
        unreachable!("a command asks for no result")
    }
    fn state(&self, _: &str) -> Option<Json> {
        unreachable!("a command asks for no state")
    }
    fn set_state(&self, _: &str, _: Option<Json>) -> Result<(), Refused> {
        unreachable!("a command sets no state")
    }
    fn swap_state(&self, _: &str, _: Option<Json>, _: Option<Json>) -> Result<(), Refused> {
        unreachable!("a command sets no state")
    }
    fn lock(&self, _: &str) -> Result<(), Refused> {
        unreachable!("a command takes no lock")
    }
    fn unlock(&self, _: &str) -> Result<(), Refused> {
        unreachable!("a command takes no lock")
    }
    fn start(&self, _: &str) -> Result<(), Declined> {
        unreachable!("a command starts no task")
    }
    fn wait(&self, _: &str) -> Result<(), Declined> {
        unreachable!("a command waits for no task")
    }
}

fn exec(words: &[&str]) -> Command {
    Command {
        program: Program::Exec(words.iter().map(|&word| word.into()).collect()),
        cwd: None,
        env: Vec::new(),
        check: true,
    }
}

fn shell(text: &str) -> Command {
    Command {
        program: Program::Shell(text.into()),
        ..exec(&[])
    }
}

/// Makes one host.
struct One(Arc<dyn Host>);

impl Hosts for One {
    fn host(&self, _: u32) -> Option<Arc<dyn Host>> {
        Some(Arc::clone(&self.0))
    }
}

fn call(action: &Action, host: &Arc<dyn Host>) -> Ending {
    let hosts: Arc<dyn Hosts> = Arc::new(One(Arc::clone(host)));
    action(&Caller::new(&hosts, 1))
}

fn end(command: Command) -> Ending {
    let host: Arc<dyn Host> = Arc::new(Asker::default());
    call(&action(command), &host)
}

/// The result of a command that has to pass.
fn passed(command: Command) -> Value {
    match end(command) {
        Ending::Passed(Some(result)) => serde_json::from_str(&result).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The message of a program that has to fail, and what is in its result.
fn exited(ending: Ending) -> (bool, String, Value) {
    match ending {
        Ending::Exited {
            crashed,
            failure,
            result,
        } => {
            assert_eq!(failure.place, None);
            let result = result.expect("what a command leaves");
            let result = serde_json::from_str(&result).unwrap();
            (crashed, failure.message.into(), result)
        }
        other => panic!("{other:?}"),
    }
}

fn refused(command: Command) -> String {
    match end(command) {
        Ending::Failed(failure) => failure.message.into(),
        other => panic!("{other:?}"),
    }
}

/// A fifo to hear from processes.
struct Fifo {
    path: PathBuf,
    _folder: TempDir,
}

impl Fifo {
    fn new() -> Self {
        // Orphans become children of this process, so that it can wait for them.
        set_child_subreaper(Pid::from_raw(1)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        Self {
            path,
            _folder: folder,
        }
    }

    /// Waits for a process to write one line.
    fn line(&self) -> String {
        let mut line = String::new();
        let file = File::open(&self.path).unwrap();
        BufReader::new(file).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn pid(&self) -> Pid {
        pid(&self.line())
    }

    /// A shell command whose `$F` is the fifo.
    fn shell(&self, text: &str) -> Command {
        let path = self.path.to_str().unwrap().into();
        Command {
            env: vec![("F".into(), Some(path))],
            ..shell(text)
        }
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// The signal that ended an orphan; waits for its end, and sees to it that it is gone.
fn ended_by(orphan: Pid) -> Option<i32> {
    let (_, status) = waitpid(Some(orphan), WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_eq!(test_kill_process(orphan), Err(Errno::SRCH));
    status.terminating_signal()
}

/// Runs a command, and asks it to stop when `ready` returns.
fn cancelled<T>(
    command: Command,
    grace: Duration,
    cancel: Cancel,
    ready: impl FnOnce() -> T,
) -> (Ending, T) {
    let host = Arc::new(Asker {
        grace,
        ..Asker::default()
    });
    thread::scope(|scope| {
        let running = scope.spawn(|| call(&action(command), &(Arc::clone(&host) as Arc<dyn Host>)));
        let seen = ready();
        host.ask(cancel);
        (running.join().unwrap(), seen)
    })
}

/// Longer than any test: what it bounds has to be ended by something else.
const LONG: Duration = Duration::from_secs(1000);
const SHORT: Duration = Duration::from_millis(10);

#[test]
fn a_result_says_all_of_a_program_that_has_ended() {
    let here = std::env::current_dir().unwrap();
    let Ending::Passed(Some(result)) = end(exec(&["printf", "%s\n", "it's"])) else {
        panic!("did not pass")
    };
    let cwd = Value::from(here.to_str().unwrap());
    let expected = format!(
        "{{\"command\":{},\"cwd\":{cwd},\"returncode\":0,\"shell\":false,\"stderr\":\"\",\"stdout\":\"it's\\n\"}}",
        Value::from("printf '%s\n' \"it's\"")
    );
    assert_eq!(&*result, expected);
    let result = passed(shell("echo out; echo err >&2"));
    assert_eq!(
        result,
        json!({"command": "echo out; echo err >&2", "cwd": cwd, "returncode": 0, "shell": true,
            "stderr": "err\n", "stdout": "out\n"})
    );
    let text = "-x 2>/dev/null || echo dash";
    assert_eq!(passed(shell(text))["stdout"], "dash\n");
}

#[test]
fn a_status_other_than_0_is_a_failure_that_keeps_the_result() {
    let (crashed, message, result) = exited(end(shell("echo out; echo a >&2; echo b >&2; exit 3")));
    assert_eq!((crashed, &*message), (false, "exited with status 3\na\nb"));
    assert_eq!(
        (&result["returncode"], &result["stdout"]),
        (&json!(3), &json!("out\n"))
    );
    let (_, message, _) = exited(end(shell("echo out; echo >&2; exit 255")));
    assert_eq!(message, "exited with status 255\nout");
    let (_, message, _) = exited(end(exec(&["false"])));
    assert_eq!(message, "exited with status 1");
    let unchecked = Command {
        check: false,
        ..shell("exit 3")
    };
    assert_eq!(passed(unchecked)["returncode"], 3);
}

#[test]
fn a_signal_is_a_crash_also_where_the_status_is_not_checked() {
    for (signal, number, check) in [("SEGV", 11, true), ("KILL", 9, false), ("TERM", 15, true)] {
        let command = Command {
            check,
            ..shell(&format!("ulimit -c 0; echo last; kill -{signal} $$"))
        };
        let (crashed, message, result) = exited(end(command));
        assert_eq!(
            (crashed, message),
            (true, format!("killed by SIG{signal}\nlast"))
        );
        assert_eq!(result["returncode"], -number);
    }
}

#[test]
fn status_77_skips_with_the_first_line_that_is_said() {
    for (text, reason) in [
        ("exit 77", ""),
        ("echo; echo '  no network '; exit 77", "no network"),
        ("echo out; echo err >&2; exit 77", "err"),
    ] {
        for check in [true, false] {
            let command = Command {
                check,
                ..shell(text)
            };
            assert_eq!(end(command), Ending::Skipped(reason.into()), "{text}");
        }
    }
    let long = format!("echo {}; exit 77", "é".repeat(REASON_MAX));
    assert_eq!(
        end(shell(&long)),
        Ending::Skipped("é".repeat(REASON_MAX / 2).into())
    );
}

#[test]
fn a_failure_shows_the_last_lines() {
    let (_, message, result) = exited(end(shell("seq 10000; exit 1")));
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(lines.len(), 1 + LINES_SHOWN);
    assert_eq!((lines[1], lines[LINES_SHOWN]), ("9981", "10000"));
    assert_eq!(result["stdout"].as_str().unwrap().lines().count(), 10_000);
    for (text, shown) in [
        ("", ""),
        ("a\n\n", "a"),
        (&format!("{}\nlast\n", "x".repeat(BYTES_SHOWN)), "last"),
        (
            &format!("cut{}", "é".repeat(BYTES_SHOWN / 2)),
            &"é".repeat(BYTES_SHOWN / 2),
        ),
        (
            &format!("whole\n{}", "x".repeat(BYTES_SHOWN)),
            &"x".repeat(BYTES_SHOWN),
        ),
    ] {
        assert_eq!(last_lines(text), shown);
    }
}

#[test]
fn parameters_are_filled_in_everywhere() {
    let value = |text: &str| -> Box<str> { text.into() };
    let host: Arc<dyn Host> = Arc::new(Asker {
        arguments: Arguments::new(vec![(value("x"), value("/")), (value("y"), value("a b"))]),
        ..Asker::default()
    });
    let in_words = Command {
        cwd: Some("[x]".into()),
        env: vec![("V".into(), Some("<[y]>".into()))],
        ..exec(&["sh", "-c", "pwd; echo \"$V\" \"$1\"", "[y]", "[y].[z]"])
    };
    let in_text = Command {
        program: Program::Shell("pwd; echo \"$V\" '[y].[z]'".into()),
        ..in_words.clone()
    };
    for command in [in_words, in_text] {
        let Ending::Passed(Some(result)) = call(&action(command), &host) else {
            panic!("did not pass")
        };
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["stdout"], "/\n<a b> a b.[z]\n");
        assert_eq!(result["cwd"], "/");
    }
}

#[test]
fn variables_are_added_and_taken_out() {
    let command = Command {
        env: vec![
            ("TDRUN_ADDED".into(), Some("a=b".into())),
            ("HOME".into(), None),
        ],
        ..shell("echo \"$TDRUN_ADDED ${HOME-none} ${PATH+some}\"")
    };
    assert_eq!(passed(command)["stdout"], "a=b none some\n");
    // The program is looked for where its own PATH says.
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tdrun-tool");
    fs::write(&tool, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let command = Command {
        env: vec![("PATH".into(), Some(folder.path().to_str().unwrap().into()))],
        ..exec(&["tdrun-tool"])
    };
    assert_eq!(passed(command)["stdout"], "found\n");
}

#[test]
fn a_relative_folder_starts_where_tdrun_was_started() {
    let here = std::env::current_dir().unwrap();
    let command = Command {
        cwd: Some("./src".into()),
        ..exec(&["../src/../src/command/../../src/./x"])
    };
    let message = refused(command.clone());
    assert!(message.starts_with("task.spawn: No such file or directory: `../src/"));
    let command = Command {
        program: Program::Shell("pwd; test -f lib.rs".into()),
        ..command
    };
    let result = passed(command);
    let expected = here.join("src").to_str().unwrap().to_owned();
    assert_eq!(result["cwd"], *expected);
    assert_eq!(result["stdout"], format!("{expected}\n"));
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let script = |name: &str, mode| {
        fs::write(path(name), "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        path(name)
    };
    let (plain, orphan) = (script("plain", 0o644), script("orphan", 0o755));
    let home = path("");
    let huge = "x".repeat(8 << 20);
    let at = |cwd: &str| Command {
        cwd: Some(cwd.into()),
        ..exec(&["true"])
    };
    let with = |name: &str, value: &str| Command {
        env: vec![(name.into(), Some(value.into()))],
        ..exec(&["true"])
    };
    let missing = "No such file or directory";
    for (command, why) in [
        (exec(&[]), "no program is named".to_owned()),
        (
            exec(&["tdrun-no-such"]),
            format!("{missing}: `tdrun-no-such`"),
        ),
        (exec(&["/no/such"]), format!("{missing}: `/no/such`")),
        (exec(&[""]), format!("{missing}: ``")),
        (exec(&[&plain]), format!("Permission denied: `{plain}`")),
        (
            exec(&[&orphan]),
            format!("{missing}: interpreter of `{orphan}`"),
        ),
        (exec(&[&home]), format!("Is a directory: `{home}`")),
        (
            exec(&["true", &huge]),
            "Argument list too long: `true`".to_owned(),
        ),
        (
            exec(&["echo", "a\0b"]),
            "a NUL character in `a\0b`".to_owned(),
        ),
        (shell("echo \0"), "a NUL character in `echo \0`".to_owned()),
        (
            at("no/such"),
            format!("{missing}: working directory `no/such`"),
        ),
        (
            at(&plain),
            format!("Not a directory: working directory `{plain}`"),
        ),
        (at("\0"), "a NUL character in `\0`".to_owned()),
        (
            exec(&["no-such -l"]),
            format!(
                "{missing}: `no-such -l`\na program and its arguments are a text each; a line of words is for the shell"
            ),
        ),
        (with("a=b", "c"), "no name of a variable: `a=b`".to_owned()),
        (with("", "c"), "no name of a variable: ``".to_owned()),
        (with("a", "\0"), "a NUL character in `\0`".to_owned()),
    ] {
        assert_eq!(refused(command), format!("task.spawn: {why}"));
    }
}

#[test]
fn the_two_outputs_are_kept_apart_and_whole_however_much_there_is() {
    let text = "yes out | head -c 6000000 & yes error | head -c 5000000 >&2; wait";
    let result = passed(shell(text));
    let is = |name: &str, line: &str, length: usize| {
        let text = result[name].as_str().unwrap();
        let lines = line.repeat(length / line.len() + 1);
        assert!(*text == lines[..length], "{name}: {} bytes", text.len());
    };
    is("stdout", "out\n", 6_000_000);
    is("stderr", "error\n", 5_000_000);
}

#[test]
fn more_than_is_kept_is_read_all_the_same() {
    let result = passed(shell("head -c 20000000 /dev/zero | tr '\\0' x; echo end"));
    let text = result["stdout"].as_str().unwrap();
    let left_out = 20_000_004 - (16 << 20);
    assert!(text.contains(&format!("x\n[{left_out} bytes left out]\nx")));
    assert!(text.starts_with("xxx") && text.ends_with("xend\n"));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let result = passed(shell("printf 'a\\377\\000\\033b'"));
    assert_eq!(result["stdout"], "a\u{fffd}\0\u{1b}b");
}

#[test]
fn standard_input_is_empty_and_signals_are_as_for_any_program() {
    assert_eq!(passed(exec(&["cat"]))["stdout"], "");
    let result = passed(exec(&["sed", "-n", "s/^SigIgn:\t//p", "/proc/self/status"]));
    let ignored = result["stdout"].as_str().unwrap().trim_end();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    let pipe = 1 << (Signal::PIPE.as_raw() - 1);
    assert_eq!(ignored & pipe, 0, "std ignores SIGPIPE, a child must not");
}

#[test]
fn none_of_our_descriptors_reach_the_program() {
    let result = passed(exec(&["ls", "-l", "/proc/self/fd"]));
    let listed = result["stdout"].as_str().unwrap();
    assert!(listed.contains(" 0 -> /dev/null\n"), "{listed}");
    assert!(!listed.contains("eventfd"), "{listed}");
    assert!(!listed.contains("pidfd"), "{listed}");
}

#[test]
fn a_program_that_closes_its_outputs_lives_on() {
    let fifo = Fifo::new();
    let command =
        fifo.shell("echo before; exec >&- 2>&-; echo ready >\"$F\"; read go <\"$F\"; exit 4");
    thread::scope(|scope| {
        let running = scope.spawn(|| end(command));
        assert_eq!(fifo.line(), "ready");
        fs::write(&fifo.path, "go\n").unwrap();
        let (_, message, result) = exited(running.join().unwrap());
        assert_eq!(message, "exited with status 4\nbefore");
        assert_eq!(result["stdout"], "before\n");
    });
}

#[test]
fn what_a_program_leaves_behind_stays_and_is_not_waited_for() {
    let fifo = Fifo::new();
    let result = passed(fifo.shell("sleep 1000 & echo $!"));
    let left = pid(result["stdout"].as_str().unwrap());
    assert_eq!(test_kill_process(left), Ok(()));
    kill_process(left, Signal::KILL).unwrap();
    assert_eq!(ended_by(left), Some(9));
}

#[test]
fn who_is_asked_to_stop_ends_with_all_that_it_has_started() {
    let fifo = Fifo::new();
    let command = fifo.shell("echo said; sleep 1000 & echo $! >\"$F\"; wait");
    let (ending, grandchild) = cancelled(command, LONG, Cancel::Asked, || fifo.pid());
    let (crashed, message, result) = exited(ending);
    assert_eq!((crashed, &*message), (true, "killed by SIGTERM\nsaid"));
    assert_eq!(result["stdout"], "said\n");
    assert_eq!(ended_by(grandchild), Some(15));
}

#[test]
fn who_does_not_stop_in_time_is_killed_with_all_that_it_has_started() {
    let fifo = Fifo::new();
    let command = fifo.shell("trap '' TERM; sleep 1000 & echo $! >\"$F\"; wait");
    let (ending, grandchild) = cancelled(command, SHORT, Cancel::Asked, || fifo.pid());
    assert_eq!(exited(ending).1, "killed by SIGKILL");
    assert_eq!(ended_by(grandchild), Some(9));
}

#[test]
fn who_is_given_up_is_killed_before_the_callback_returns() {
    let fifo = Fifo::new();
    let command = fifo.shell("trap '' TERM; sleep 1000 & echo $! >\"$F\"; wait");
    let (ending, grandchild) = cancelled(command, LONG, Cancel::GivenUp, || fifo.pid());
    assert_eq!(exited(ending).1, "killed by SIGKILL");
    assert_eq!(ended_by(grandchild), Some(9));
}

#[test]
fn who_ignores_the_request_and_holds_no_output_is_killed_with_its_leader() {
    let fifo = Fifo::new();
    let command = fifo
        .shell("sh -c 'trap \"\" TERM; echo $$ >\"$F\"; exec sleep 1000' >/dev/null 2>&1 & wait");
    let (ending, grandchild) = cancelled(command, LONG, Cancel::Asked, || fifo.pid());
    assert_eq!(exited(ending).1, "killed by SIGTERM");
    assert_eq!(ended_by(grandchild), Some(9));
}

#[test]
fn who_cleans_up_has_the_grace_also_after_its_leader_has_ended() {
    let fifo = Fifo::new();
    let command = fifo.shell(
        "(trap 'echo cleaned up; exit' TERM; sh -c 'echo ready >\"$F\"; exec sleep 1000' & wait) & \
         exec sleep 1000",
    );
    let (ending, _) = cancelled(command, LONG, Cancel::Asked, || fifo.line());
    let (_, message, result) = exited(ending);
    assert_eq!(message, "killed by SIGTERM\ncleaned up");
    assert_eq!(result["stdout"], "cleaned up\n");
}

#[test]
fn a_program_may_end_in_order_when_it_is_asked_to_stop() {
    let fifo = Fifo::new();
    let command = fifo
        .shell("trap 'echo bye; exit 5' TERM; sh -c 'echo ready >\"$F\"; exec sleep 1000' & wait");
    let (ending, _) = cancelled(command, LONG, Cancel::Asked, || fifo.line());
    let (crashed, message, _) = exited(ending);
    assert_eq!((crashed, &*message), (false, "exited with status 5\nbye"));
}

#[test]
fn a_stopped_program_is_woken_to_be_told() {
    let fifo = Fifo::new();
    let command = fifo.shell("trap 'exit 6' TERM; echo $$ >\"$F\"; kill -STOP $$; wait");
    let stopped = || {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(fifo.pid()), options).unwrap();
    };
    let (ending, ()) = cancelled(command, LONG, Cancel::Asked, stopped);
    assert_eq!(exited(ending).1, "exited with status 6");
}

#[test]
fn who_is_asked_to_stop_before_it_starts_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    for cancel in [Cancel::Asked, Cancel::GivenUp] {
        let host = Asker::default();
        host.ask(cancel);
        let host: Arc<dyn Host> = Arc::new(host);
        let command = Command {
            cwd: Some(folder.path().to_str().unwrap().into()),
            ..shell("touch ran")
        };
        let expected = Ending::failed("stopped before it was started");
        assert_eq!(call(&action(command), &host), expected);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}

#[test]
fn who_has_ended_is_not_signalled_any_more() {
    let fifo = Fifo::new();
    let host = Arc::new(Asker::default());
    // Of the group a process is left: a signal to the group would end it.
    let run = action(fifo.shell("sleep 1000 >/dev/null 2>&1 & echo $!"));
    let Ending::Passed(Some(result)) = call(&run, &(Arc::clone(&host) as Arc<dyn Host>)) else {
        panic!("did not pass")
    };
    let result: Value = serde_json::from_str(&result).unwrap();
    let left = pid(result["stdout"].as_str().unwrap());
    host.ask(Cancel::GivenUp);
    kill_process(left, Signal::USR1).unwrap();
    assert_eq!(ended_by(left), Some(Signal::USR1.as_raw()));
}

#[test]
fn a_program_that_is_killed_from_outside_leaves_no_zombie() {
    let fifo = Fifo::new();
    let command = fifo.shell("ulimit -c 0; echo $$ >\"$F\"; exec sleep 1000");
    thread::scope(|scope| {
        let running = scope.spawn(|| end(command));
        let pid = fifo.pid();
        kill_process(pid, Signal::ABORT).unwrap();
        let (crashed, message, _) = exited(running.join().unwrap());
        assert_eq!((crashed, &*message), (true, "killed by SIGABRT"));
        assert_eq!(test_kill_process(pid), Err(Errno::SRCH));
    });
}

#[test]
fn an_output_that_many_write_to_is_whole() {
    let result = passed(shell("for i in 1 2 3 4; do (seq 10000) & done; wait"));
    let lines = result["stdout"].as_str().unwrap().lines().count();
    assert_eq!(lines, 40_000);
}

#[test]
fn who_writes_to_nobody_ends_without_a_word() {
    // `yes` ends by SIGPIPE; with it ignored it would report a write error.
    let result = passed(shell("yes | head -n 1"));
    assert_eq!(
        (&result["stdout"], &result["stderr"]),
        (&json!("y\n"), &json!(""))
    );
}
