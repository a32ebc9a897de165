//! `--events=FILE|-`: a run as JSON Lines, for programs: one object a line, each written whole as it happens.
//!
//! Knows the format below; not who reads it. A file is replaced by an empty one when the run begins, and grows line by line.
//!
//! Every line has `"v":1`, `"event"` and `"at_ms"`, the time since the start of the run in whole milliseconds. Within version 1
//! members and events are only added; readers ignore what they do not know. A `task` is named as people see it: `name`, or
//! `library::name` where two libraries have one of that name. Members in brackets are left out where there is nothing to say.
//!
//! | event | members |
//! |---|---|
//! | `run_started` | `started` (RFC 3339), `workers`, `planned`, `libraries` (list of `{name, path}`), `tasks` (the planned ones, in declaration order) |
//! | `hook_started` | `hook` (`setup`, `teardown`), `library` |
//! | `hook_finished` | as before, `outcome` (`passed`, `failed`, `cancelled`), \[`message`, `file`, `line`\] |
//! | `planned` | `tasks` (those that a running task has added, in declaration order) |
//! | `task_started` | `task`, `worker`, `attempt` (from 1) |
//! | `task_retrying` | `task`, `worker`, `attempt` (the one that ended), `outcome` (its own), `took_ms`, `cause` |
//! | `task_paused` | `task`, `worker` (which is free from now on); the task waits for others |
//! | `task_resumed` | `task`, `worker` (maybe another one) |
//! | `task_progress` | `task`, `worker`, `done`, `total` (0 where not known), `what` |
//! | `task_slow` | `task`, `worker`, `running_ms` |
//! | `task_finished` | `task`, `library`, `outcome`, `worker` (null where it never started), `took_ms`, `done` (how many have ended), `planned` (of how many so far), `attempts` (how many began), `flaky` (it passed, but not at once), \[`cause`\], \[`result`: what it returned\] |
//! | `log` | \[`task`, `worker`\] or \[`hook`, `library`\], `level`, `target`, `message`, \[`file`, `line`\] |
//! | `task_output` | \[`task`, `worker`\] or \[`hook`, `library`\], \[`stdout`\], \[`stderr`\]: all that an attempt wrote; right before it is retried or finished |
//! | `task_line` | the same who, `channel` (`stdout`, `stderr`), `text`: a line as it comes, with `--no-capture` instead of `task_output` |
//! | `task_left` | the same who, `processes` (list of `{pid, name}`, the `pid` null where it is only known that somebody holds the output open) |
//! | `task_stopped` | the same who, `signal` (number), `name`: the task's process was stopped |
//! | `task_continued` | the same who |
//! | `stopping` | `reason` (`signal`, `max_fail`, `timeout`, `setup`, `exit`, `threads`), \[`signal`: number\], \[`failures`: count\], \[`limit_ms`\] |
//! | `warning` | `message` |
//! | `run_finished` | `planned`, a count for each outcome, `blocked` (part of the skipped), `flaky` (part of the passed), `leaky` (tasks that left processes running, however they ended), `took_ms`, `exit` (status, outputs apart), `errors` (list of `{id, message}`) |
//!
//! An `outcome` is `passed`, `failed`, `skipped`, `timed_out`, `crashed`, `cancelled` or `not_run`. A `cause` is an object with
//! a `kind`: `failure` (`message`, \[`file`, `line`\]), `skip` (`reason`), `blocked` (`by`: the direct dependency, `root`: the
//! task that broke the chain), `failures` (it runs only if nothing failed; `task`: the first that did not pass), `timed_out`
//! (`limit_ms`, `still_running`, \[`message`, `file`, `line`: what it said at its end\]), `locked` (`lock`, and its `holder`,
//! which timed out and is still running), or `stopped` (as the event `stopping`).
//!
//! Of too much output `stdout` is the beginning, `stdout_tail` the end, and `stdout_cut` says how many bytes between them were
//! not kept; so with `stderr`. What is no UTF-8 is there lossily, and its bytes in a member with `_base64` behind the name:
//! `stdout_base64`, `text_base64`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::Reporter;
use crate::error::is_plain;
use crate::event::{Attempt, Briefing, Cause, Event, Finished, Source, Stop, Summary};
use crate::report::cause::signal_name;
use crate::report::log::timestamp;
use crate::report::wrote::base64;
use crate::stream::{Batch, Stream};
use crate::task::{Channel, Failure, LibraryId, Observed, Outcome, Place, Record, TaskId, Written};

/// The version of the format.
const VERSION: u32 = 1;

/// The reporter.
pub(super) struct Events {
    lines: Batch,
    started: Instant,
    first: bool,
}

impl Events {
    /// The `first` process of a run tells its beginning, and what it has taken over from other runs.
    pub(super) fn new(stream: Stream, first: bool) -> Self {
        Self {
            lines: Batch::new(stream),
            started: Instant::now(),
            first,
        }
    }
}

impl Reporter for Events {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let now = Instant::now();
        self.started = now.checked_sub(briefing.already).unwrap_or(now);
        if !self.first {
            return Ok(());
        }
        self.lines.add(|text| first_line(text, briefing))?;
        // Nobody else tells it, should this process be lost.
        self.lines.flush()
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        if let Event::Finished(Finished { kept: true, .. }) | Event::Known(_) = event
            && !self.first
        {
            return Ok(());
        }
        let started = self.started;
        self.lines
            .add(|text| line(text, briefing, event, || started.elapsed()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }

    fn finish(&mut self, _: &Briefing, summary: &Summary) -> io::Result<()> {
        self.lines.add(|text| last_line(text, summary))?;
        self.lines.flush()
    }
}

fn first_line(text: &mut String, briefing: &Briefing) {
    let libraries = briefing.catalog.libraries.iter();
    let libraries: Value = libraries
        .map(|library| json!({"name": library.name, "path": library.path}))
        .collect();
    Line::new(text, "run_started", Duration::ZERO)
        .with("started", timestamp(briefing.started))
        .with("workers", briefing.workers)
        .with("planned", briefing.planned.len())
        .with("libraries", libraries)
        .with("tasks", names(briefing, &briefing.planned))
        .end();
}

/// The line for an event; `now` is for those that do not say when.
fn line(text: &mut String, briefing: &Briefing, event: &Event, now: impl FnOnce() -> Duration) {
    let on_worker = |text, event, at, task: &TaskId, worker: &usize| {
        Line::new(text, event, at)
            .with("task", briefing.catalog.name(*task))
            .with("worker", worker)
    };
    let line = match event {
        Event::Planned(tasks) => {
            Line::new(text, "planned", now()).with("tasks", names(briefing, tasks))
        }
        Event::Started {
            task,
            worker,
            attempt,
            at,
        } => on_worker(text, "task_started", *at, task, worker).with("attempt", *attempt),
        Event::Retrying {
            task,
            worker,
            number,
            attempt,
            at,
        } => {
            let Attempt {
                outcome,
                cause,
                took,
            } = attempt;
            on_worker(text, "task_retrying", *at, task, worker)
                .with("attempt", *number)
                .with("outcome", key(*outcome))
                .with("took_ms", millis(*took))
                .cause(briefing, cause)
        }
        Event::Paused { task, worker, at } => on_worker(text, "task_paused", *at, task, worker),
        Event::Resumed { task, worker, at } => on_worker(text, "task_resumed", *at, task, worker),
        Event::Progress {
            task,
            worker,
            progress,
        } => on_worker(text, "task_progress", now(), task, worker)
            .with("done", progress.done)
            .with("total", progress.total)
            .with("what", &*progress.what),
        Event::Slow {
            task,
            worker,
            running,
        } => on_worker(text, "task_slow", now(), task, worker).with("running_ms", millis(*running)),
        Event::Finished(finished) => finished_line(text, briefing, finished),
        Event::Logged { source, record } => {
            log_line(Line::new(text, "log", now()), briefing, *source, record)
        }
        Event::HookStarted(hook, id) => Line::new(text, "hook_started", now())
            .with("hook", hook.as_str())
            .with("library", library(briefing, *id)),
        Event::HookFinished(hook, id, ending) => {
            let line = Line::new(text, "hook_finished", now())
                .with("hook", hook.as_str())
                .with("library", library(briefing, *id));
            match ending {
                Ok(()) => line.with("outcome", "passed"),
                Err(failure) => line.with("outcome", "failed").failure(failure),
            }
        }
        Event::HookCancelled(hook, id, failure) => Line::new(text, "hook_finished", now())
            .with("hook", hook.as_str())
            .with("library", library(briefing, *id))
            .with("outcome", "cancelled")
            .failure(failure),
        Event::Observed { source, observed } => {
            return observed_line(text, briefing, *source, observed, now());
        }
        Event::Stopping(stop) => Line::new(text, "stopping", now()).stop(*stop),
        Event::Warning(message) => Line::new(text, "warning", now()).with("message", message),
        Event::Known(event) => return line(text, briefing, event, now),
    };
    line.end();
}

fn finished_line<'a>(text: &'a mut String, briefing: &Briefing, finished: &Finished) -> Line<'a> {
    let task = finished.task;
    let attempts = finished.attempts.len() + usize::from(finished.worker.is_some());
    let mut line = Line::new(text, "task_finished", finished.at)
        .with("task", briefing.catalog.name(task))
        .with("library", &*briefing.catalog.library(task).name)
        .with("outcome", key(finished.outcome))
        .with("worker", finished.worker)
        .with("took_ms", millis(finished.took))
        .with("done", finished.done)
        .with("planned", finished.planned)
        .with("attempts", attempts)
        .with("flaky", finished.is_flaky());
    if let Some(cause) = &finished.cause {
        line = line.cause(briefing, cause);
    }
    if let Some(result) = &finished.result {
        line = line.raw("result", result);
    }
    if finished.kept {
        line = line.with("kept", true);
    }
    line
}

fn push_cause(text: &mut String, briefing: &Briefing, cause: &Cause) {
    let object = match cause {
        Cause::Failure(failure) => kind(text, "failure").failure(failure),
        Cause::Skip(reason) => kind(text, "skip").with("reason", &**reason),
        Cause::Blocked(chain) => {
            let name = |task: Option<&TaskId>| task.map(|&task| briefing.catalog.name(task));
            kind(text, "blocked")
                .with("by", name(chain.first()))
                .with("root", name(chain.last()))
        }
        Cause::Failures(task) => kind(text, "failures").with("task", briefing.catalog.name(*task)),
        Cause::TimedOut {
            limit,
            still_running,
            failure,
        } => {
            let line = kind(text, "timed_out")
                .with("limit_ms", millis(*limit))
                .with("still_running", *still_running);
            match failure {
                Some(failure) => line.failure(failure),
                None => line,
            }
        }
        Cause::Locked { lock, holder } => kind(text, "locked")
            .with("lock", &**lock)
            .with("holder", briefing.catalog.name(*holder)),
        Cause::Stopped(stop) => kind(text, "stopped").stop(*stop),
    };
    object.close();
}

fn kind<'a>(text: &'a mut String, kind: &str) -> Line<'a> {
    Line::object(text, "kind", kind)
}

fn observed_line(
    text: &mut String,
    briefing: &Briefing,
    source: Source,
    observed: &Observed,
    at: Duration,
) {
    let event = match observed {
        Observed::Output(_) => "task_output",
        Observed::Line(..) => "task_line",
        Observed::Left(_) => "task_left",
        Observed::Stopped(_) => "task_stopped",
        Observed::Continued => "task_continued",
    };
    let line = Line::new(text, event, at).source(briefing, source);
    let line = match observed {
        Observed::Output(output) => line
            .written(["stdout", "stdout_cut", "stdout_tail"], &output.stdout)
            .written(["stderr", "stderr_cut", "stderr_tail"], &output.stderr),
        Observed::Line(channel, bytes) => {
            let channel = match channel {
                Channel::Stdout => "stdout",
                Channel::Stderr => "stderr",
            };
            line.with("channel", channel).bytes("text", bytes)
        }
        Observed::Left(left) => {
            let processes = left.iter();
            let processes: Value = processes
                .map(|left| json!({"pid": left.pid, "name": left.name}))
                .collect();
            line.with("processes", processes)
        }
        Observed::Stopped(signal) => line
            .with("signal", *signal)
            .with("name", signal_name(*signal)),
        Observed::Continued => line,
    };
    line.end();
}

fn log_line<'a>(line: Line<'a>, briefing: &Briefing, source: Source, record: &Record) -> Line<'a> {
    let line = line.source(briefing, source);
    line.with("level", record.level.as_str())
        .with("target", &*record.target)
        .with("message", &*record.message)
        .place(record.place.as_ref())
}

fn last_line(text: &mut String, summary: &Summary) {
    let mut line = Line::new(text, "run_finished", summary.took).with("planned", summary.planned);
    for outcome in Outcome::ALL {
        line = line.with(key(outcome), summary.counts.get(outcome));
    }
    let errors = summary.errors.iter();
    let errors: Value = errors
        .map(|error| json!({"id": error.id(), "message": error.message()}))
        .collect();
    line.with("blocked", summary.blocked)
        .with("flaky", summary.flaky)
        .with("leaky", summary.leaky)
        .with("took_ms", millis(summary.took))
        .with("exit", summary.exit().code())
        .with("errors", errors)
        .end();
}

fn names<'a>(briefing: &'a Briefing, tasks: &[TaskId]) -> Vec<Cow<'a, str>> {
    let names = tasks.iter().map(|&task| briefing.catalog.name(task));
    names.collect()
}

fn library(briefing: &Briefing, id: LibraryId) -> Option<&str> {
    let library = briefing.catalog.libraries.get(id.index());
    library.map(|library| &*library.name)
}

fn key(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::TimedOut => "timed_out",
        Outcome::NotRun => "not_run",
        other => other.as_str(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A JSON object at the end of a text, its members in the order in which they were added.
struct Line<'a> {
    text: &'a mut String,
    /// Where it begins.
    from: usize,
}

impl<'a> Line<'a> {
    fn new(text: &'a mut String, event: &str, at: Duration) -> Self {
        Self::object(text, "v", VERSION)
            .with("event", event)
            .with("at_ms", millis(at))
    }

    fn object(text: &'a mut String, key: &str, value: impl Serialize) -> Self {
        let from = text.len();
        let line = Self { text, from };
        line.member('{', key).value(value)
    }

    fn with(self, key: &str, value: impl Serialize) -> Self {
        self.member(',', key).value(value)
    }

    /// A member whose value is JSON already.
    fn raw(self, key: &str, json: &str) -> Self {
        let line = self.member(',', key);
        line.text.push_str(json);
        line
    }

    fn member(self, before: char, key: &str) -> Self {
        self.text.push(before);
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
        self
    }

    fn value(self, value: impl Serialize) -> Self {
        // Nothing here has a key that is no text or writes to anything but memory.
        let _ = serde_json::to_writer(Text(self.text), &value);
        self
    }

    fn cause(self, briefing: &Briefing, cause: &Cause) -> Self {
        let line = self.member(',', "cause");
        push_cause(line.text, briefing, cause);
        line
    }

    fn source(self, briefing: &Briefing, source: Source) -> Self {
        match source {
            Source::Task(task, worker) => self
                .with("task", briefing.catalog.name(task))
                .with("worker", worker),
            Source::Hook(hook, id) => self
                .with("hook", hook.as_str())
                .with("library", library(briefing, id)),
            Source::Library => self,
        }
    }

    /// Bytes as text, and where they are none, also as they are.
    fn bytes(self, key: &str, bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => self.with(key, text),
            Err(_) => self
                .with(key, String::from_utf8_lossy(bytes))
                .with(&format!("{key}_base64"), base64(bytes)),
        }
    }

    fn written(self, [head, cut, tail]: [&str; 3], written: &Written) -> Self {
        if written.cut > 0 {
            let line = self.bytes(head, &written.head).with(cut, written.cut);
            line.bytes(tail, &written.tail)
        } else if written.head.is_empty() {
            self
        } else {
            self.bytes(head, &written.head)
        }
    }

    fn failure(self, failure: &Failure) -> Self {
        self.with("message", &*failure.message)
            .place(failure.place.as_ref())
    }

    fn place(self, place: Option<&Place>) -> Self {
        match place {
            Some(place) => self.with("file", &*place.file).with("line", place.line),
            None => self,
        }
    }

    fn stop(self, stop: Stop) -> Self {
        match stop {
            Stop::MaxFail(failures) => self.with("reason", "max_fail").with("failures", failures),
            Stop::Signal(signal) => self.with("reason", "signal").with("signal", signal),
            Stop::Aborted => self.with("reason", "aborted"),
            Stop::Timeout(limit) => self
                .with("reason", "timeout")
                .with("limit_ms", millis(limit)),
            Stop::Setup => self.with("reason", "setup"),
            Stop::Threads => self.with("reason", "threads"),
        }
    }

    fn close(self) {
        self.text.push('}');
    }

    /// Completes the line. What JSON allows and a terminal should not see is escaped as well.
    fn end(self) {
        let Self { text, from } = self;
        let hostile = |c: char| {
            c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if !is_plain(&text[from..]) && text[from..].contains(hostile) {
            for c in text.split_off(from).chars() {
                if hostile(c) {
                    let _ = write!(text, "\\u{:04x}", u32::from(c));
                } else {
                    text.push(c);
                }
            }
        }
        text.push_str("}\n");
    }
}

/// Text that bytes are added to.
struct Text<'a>(&'a mut String);

impl io::Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.push_str(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hook;
    use crate::report::fixture::{
        Captured, End, Finish, added, attempt, briefing, failure, late, left, logged, observed,
        output, paused, play, progress, resumed, retrying, slow, started, tried, wrote,
    };
    use crate::task::{Left, Level, Output};

    #[test]
    fn a_run_is_a_line_for_each_event() {
        let briefing = briefing(&["a", "b < a", "c < b", "d"]);
        let events = [
            Event::HookStarted(Hook::Setup, LibraryId(0)),
            Event::HookFinished(
                Hook::Setup,
                LibraryId(0),
                Err(failure("no", Some(("s.rs", 2)))),
            ),
            started(0, 1),
            logged(0, 1, Level::Warn, "two\nlines"),
            End::with(0, 1, "{\"n\":[1,null]}"),
            End::failed(1, 2, failure("boom", None)),
            End::blocked(2, 3, &[1]),
            Event::Stopping(Stop::Signal(2)),
            End::not_run(3, 4, Stop::Signal(2)),
            Event::Warning("slow".into()),
        ];
        let expected = [
            r#"{"v":1,"event":"hook_started","at_ms":5,"hook":"setup","library":"lib"}"#,
            r#"{"v":1,"event":"hook_finished","at_ms":5,"hook":"setup","library":"lib","outcome":"failed","message":"no","file":"s.rs","line":2}"#,
            r#"{"v":1,"event":"task_started","at_ms":10,"task":"a","worker":1,"attempt":1}"#,
            r#"{"v":1,"event":"log","at_ms":5,"task":"a","worker":1,"level":"WARN","target":"lib::part","message":"two\nlines","file":"part.rs","line":3}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"a","library":"lib","outcome":"passed","worker":0,"took_ms":20,"done":1,"planned":5,"attempts":1,"flaky":false,"result":{"n":[1,null]}}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"b","library":"lib","outcome":"failed","worker":0,"took_ms":20,"done":2,"planned":5,"attempts":1,"flaky":false,"cause":{"kind":"failure","message":"boom"}}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"c","library":"lib","outcome":"skipped","worker":null,"took_ms":0,"done":3,"planned":5,"attempts":0,"flaky":false,"cause":{"kind":"blocked","by":"b","root":"b"}}"#,
            r#"{"v":1,"event":"stopping","at_ms":5,"reason":"signal","signal":2}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"d","library":"lib","outcome":"not_run","worker":null,"took_ms":0,"done":4,"planned":5,"attempts":0,"flaky":false,"cause":{"kind":"stopped","reason":"signal","signal":2}}"#,
            r#"{"v":1,"event":"warning","at_ms":5,"message":"slow"}"#,
        ];
        for (event, expected) in events.iter().zip(expected) {
            let mut text = String::new();
            line(&mut text, &briefing, event, || Duration::from_millis(5));
            assert_eq!(text, format!("{expected}\n"));
        }

        let captured = Captured::new();
        play(
            &mut Events::new(captured.stream.clone(), true),
            &briefing,
            &events,
        );
        let text = captured.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), events.len() + 2);
        assert_eq!(
            lines[0],
            r#"{"v":1,"event":"run_started","at_ms":0,"started":"2026-11-21T09:01:01.123Z","workers":2,"planned":4,"libraries":[{"name":"lib","path":"lib.so"}],"tasks":["a","b","c","d"]}"#
        );
        assert_eq!(
            lines[11],
            r#"{"v":1,"event":"run_finished","at_ms":2314,"planned":4,"passed":1,"failed":1,"skipped":1,"timed_out":0,"crashed":0,"cancelled":0,"not_run":1,"blocked":1,"flaky":0,"leaky":0,"took_ms":2314,"exit":130,"errors":[]}"#
        );
    }

    #[test]
    fn attempts_timeouts_and_added_tasks_have_lines() {
        let briefing = briefing(&["a", "b", "c"]);
        let timed_out = End {
            outcome: Outcome::TimedOut,
            cause: Some(Cause::TimedOut {
                limit: Duration::from_millis(200),
                still_running: false,
                failure: Some(failure("late", Some(("a.c", 7)))),
            }),
            ..End::passed(1, 2)
        };
        let locked = End {
            outcome: Outcome::NotRun,
            worker: None,
            cause: Some(Cause::Locked {
                lock: "db".into(),
                holder: TaskId::new(1),
            }),
            ..End::passed(2, 3)
        };
        let no_failures = End {
            outcome: Outcome::Skipped,
            worker: None,
            cause: Some(Cause::Failures(TaskId::new(1))),
            ..End::passed(3, 4)
        };
        let events = [
            retrying(0, 1, late()),
            tried(0, 0, 2),
            progress(0, 2, 5, "copying"),
            paused(0, 0),
            added(&briefing, "z"),
            resumed(0, 1),
            slow(0),
            End::flaky(0, 1, vec![attempt("no"), late()]),
            timed_out.event(),
            locked.event(),
            no_failures.event(),
            Event::Stopping(Stop::Timeout(Duration::from_secs(30))),
        ];
        let expected = [
            r#"{"v":1,"event":"task_retrying","at_ms":20,"task":"a","worker":0,"attempt":1,"outcome":"timed_out","took_ms":200,"cause":{"kind":"timed_out","limit_ms":200,"still_running":false}}"#,
            r#"{"v":1,"event":"task_started","at_ms":10,"task":"a","worker":0,"attempt":2}"#,
            r#"{"v":1,"event":"task_progress","at_ms":5,"task":"a","worker":0,"done":2,"total":5,"what":"copying"}"#,
            r#"{"v":1,"event":"task_paused","at_ms":20,"task":"a","worker":0}"#,
            r#"{"v":1,"event":"planned","at_ms":5,"tasks":["z"]}"#,
            r#"{"v":1,"event":"task_resumed","at_ms":25,"task":"a","worker":1}"#,
            r#"{"v":1,"event":"task_slow","at_ms":5,"task":"a","worker":0,"running_ms":60012}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"a","library":"lib","outcome":"passed","worker":0,"took_ms":20,"done":1,"planned":5,"attempts":3,"flaky":true}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"b","library":"lib","outcome":"timed_out","worker":0,"took_ms":20,"done":2,"planned":5,"attempts":1,"flaky":false,"cause":{"kind":"timed_out","limit_ms":200,"still_running":false,"message":"late","file":"a.c","line":7}}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"c","library":"lib","outcome":"not_run","worker":null,"took_ms":0,"done":3,"planned":5,"attempts":0,"flaky":false,"cause":{"kind":"locked","lock":"db","holder":"b"}}"#,
            r#"{"v":1,"event":"task_finished","at_ms":30,"task":"z","library":"lib","outcome":"skipped","worker":null,"took_ms":0,"done":4,"planned":5,"attempts":0,"flaky":false,"cause":{"kind":"failures","task":"b"}}"#,
            r#"{"v":1,"event":"stopping","at_ms":5,"reason":"timeout","limit_ms":30000}"#,
        ];
        for (event, expected) in events.iter().zip(expected) {
            let mut text = String::new();
            line(&mut text, &briefing, event, || Duration::from_millis(5));
            assert_eq!(text, format!("{expected}\n"));
        }
        let mut last = String::new();
        last_line(&mut last, &Finish::after(&events).summary());
        assert!(last.contains(r#""flaky":1,"#), "{last}");
    }

    #[test]
    fn what_is_seen_of_processes_has_lines() {
        let briefing = briefing(&["a"]);
        let binary = Output {
            stdout: Written {
                head: b"a\xff".to_vec(),
                cut: 70_000,
                tail: b"b".to_vec(),
            },
            stderr: Written {
                cut: 1,
                ..Written::default()
            },
        };
        let line_of = |bytes: &[u8]| Observed::Line(Channel::Stderr, bytes.into());
        let who_knows = Left {
            pid: None,
            name: "".into(),
        };
        let hook = Event::Observed {
            source: Source::Hook(Hook::Setup, LibraryId(0)),
            observed: Observed::Output(output("", "x").into()),
        };
        for (event, expected) in [
            (
                wrote(0, "one\n", ""),
                r#"task_output","at_ms":5,"task":"a","worker":0,"stdout":"one\n"}"#,
            ),
            (
                observed(0, 1, Observed::Output(binary.into())),
                "task_output\",\"at_ms\":5,\"task\":\"a\",\"worker\":1,\"stdout\":\"a\u{fffd}\",\"stdout_base64\":\"Yf8=\",\"stdout_cut\":70000,\"stdout_tail\":\"b\",\"stderr\":\"\",\"stderr_cut\":1,\"stderr_tail\":\"\"}",
            ),
            (
                hook,
                r#"task_output","at_ms":5,"hook":"setup","library":"lib","stderr":"x"}"#,
            ),
            (
                observed(0, 1, line_of(b"\x1b[1m")),
                r#"task_line","at_ms":5,"task":"a","worker":1,"channel":"stderr","text":"\u001b[1m"}"#,
            ),
            (
                observed(0, 1, line_of(b"\xff")),
                "task_line\",\"at_ms\":5,\"task\":\"a\",\"worker\":1,\"channel\":\"stderr\",\"text\":\"\u{fffd}\",\"text_base64\":\"/w==\"}",
            ),
            (
                left(0, 7, "sleep"),
                r#"task_left","at_ms":5,"task":"a","worker":0,"processes":[{"name":"sleep","pid":7}]}"#,
            ),
            (
                observed(0, 0, Observed::Left([who_knows].into())),
                r#"task_left","at_ms":5,"task":"a","worker":0,"processes":[{"name":"","pid":null}]}"#,
            ),
            (
                observed(0, 0, Observed::Stopped(21)),
                r#"task_stopped","at_ms":5,"task":"a","worker":0,"signal":21,"name":"SIGTTIN"}"#,
            ),
            (
                observed(0, 0, Observed::Continued),
                r#"task_continued","at_ms":5,"task":"a","worker":0}"#,
            ),
        ] {
            let mut text = String::new();
            line(&mut text, &briefing, &event, || Duration::from_millis(5));
            assert_eq!(text, format!("{{\"v\":1,\"event\":\"{expected}\n"));
        }
        let mut last = String::new();
        let events = [left(0, 7, "sleep"), End::passed(0, 1).event()];
        last_line(&mut last, &Finish::after(&events).summary());
        assert!(last.contains(r#""flaky":0,"leaky":1,"#), "{last}");
    }

    #[test]
    fn every_character_survives_and_none_reaches_a_terminal_raw() {
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        let briefing = briefing(&[&all]);
        let event = End::failed(0, 1, failure(&all, Some((&all, 1))));
        let mut text = String::new();
        line(&mut text, &briefing, &event, || Duration::ZERO);
        assert_eq!(text.find(char::is_control), Some(text.len() - 1));
        assert!(!text.contains('\u{202e}'));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["task"], all);
        assert_eq!(parsed["cause"]["message"], all);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut events = Events::new(Stream::to(full.unwrap()), true);
        let summary = Finish::default().summary();
        events.finish(&briefing(&[]), &summary).unwrap_err();
    }
}
