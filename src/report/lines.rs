//! Human lines: each event in a line or none, the failures again at the end, and the summary line.
//!
//! Knows two streams; the live displays put their lines above themselves, so the text is made apart from the writing.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::io;

use super::{Interest, Reporter, ShowOutput};
use crate::error::escape;
use crate::event::{Briefing, Event, Finished, Source, Summary};
use crate::report::cause::{
    ATTEMPTS, attempt_line, ended_line, failure_line, signal_name, stopping_line,
};
use crate::report::recap::{Group, Recap};
use crate::report::text::{
    DoneLine, Paint, elapsed, hook_name, name, push_base, push_retry, record_line, summary_line,
};
use crate::report::wrote::{Ends, Pending, Seen, left_line, push_line, push_output, push_source};
use crate::stream::{Batch, Stream};
use crate::task::{Failure, Level, Observed, Outcome, Record, TaskId};

/// So many bytes of what tasks wrote are kept for the end.
const KEPT: usize = 64 << 20;

/// How much is told. More is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// What did not pass.
    Quiet,
    /// Also what tdrun has to say; the live displays show the rest themselves.
    Live,
    /// Also each task that ends, and what tasks say.
    Normal,
    /// Everything.
    Verbose,
}

/// Where people read.
pub(super) struct Console {
    /// For what happens.
    pub(super) err: Batch,
    pub(super) err_paint: Paint,
    /// For the summary line, where a report does not need it for itself.
    pub(super) out: Option<Stream>,
    pub(super) out_paint: Paint,
}

/// Makes the text for each event, and remembers what the end needs.
pub(super) struct Teller {
    detail: Detail,
    output: ShowOutput,
    paint: Paint,
    done_line: DoneLine,
    running: BTreeSet<TaskId>,
    /// Tasks that have ended.
    done: usize,
    /// Tasks that were planned at the start, and those that came since.
    added: usize,
    /// What was seen of attempts that have not ended yet.
    pending: Pending,
    /// What the hook wrote that runs.
    hook_wrote: Option<Ends>,
    /// What the attempts wrote that did not pass, of tasks that will be tried again.
    earlier: HashMap<TaskId, Vec<String>>,
    /// How much of that, and of the same in the recap, is kept.
    kept: usize,
    recap: Recap,
}

impl Teller {
    pub(super) fn new(detail: Detail, output: ShowOutput, paint: Paint) -> Self {
        Self {
            detail,
            output,
            paint,
            done_line: DoneLine::new(paint),
            running: BTreeSet::new(),
            done: 0,
            added: 0,
            pending: Pending::default(),
            hook_wrote: None,
            earlier: HashMap::new(),
            kept: 0,
            recap: Recap::default(),
        }
    }

    pub(super) fn wants(&self) -> Interest {
        match self.detail {
            // What a task wrote that passed is shown below its name.
            Detail::Quiet | Detail::Live if self.output == ShowOutput::All => Interest::Finished,
            Detail::Quiet | Detail::Live => Interest::Failures,
            Detail::Normal => Interest::Finished,
            Detail::Verbose => Interest::All,
        }
    }

    /// Adds the lines for an event, often none.
    pub(super) fn tell(&mut self, text: &mut String, briefing: &Briefing, event: &Event) {
        match event {
            Event::Started {
                task,
                worker,
                attempt,
                ..
            } => {
                self.running.insert(*task);
                let started = (*task, *worker);
                if *attempt == 1 {
                    self.note(text, briefing, started, format_args!(" started"));
                } else {
                    let what = format_args!(" started, attempt {attempt}");
                    self.note(text, briefing, started, what);
                }
            }
            Event::Retrying {
                task,
                worker,
                number,
                attempt,
                ..
            } => {
                self.running.remove(task);
                if self.tells(Detail::Normal) {
                    let base = push_base(text, briefing, *task, Some(*worker));
                    let planned = briefing.planned.len() + self.added;
                    push_retry(text, base, (self.done, planned), self.paint);
                    let (outcome, cause) = (attempt.outcome, &attempt.cause);
                    let attempt = attempt_line(briefing, *number as usize, outcome, cause);
                    let _ = write!(text, "\n    {attempt}\n");
                }
                self.tried(text, briefing, *task, *number as usize);
            }
            Event::Paused { task, worker, .. } => {
                let what = format_args!(" waits for other tasks");
                self.note(text, briefing, (*task, *worker), what);
            }
            Event::Resumed { task, worker, .. } => {
                self.note(text, briefing, (*task, *worker), format_args!(" goes on"));
            }
            Event::Slow {
                task,
                worker,
                running,
            } => {
                if self.tells(Detail::Normal) {
                    push_base(text, briefing, *task, Some(*worker));
                    let _ = writeln!(text, ": still running after {}", elapsed(*running));
                }
            }
            Event::Planned(tasks) => {
                self.added += tasks.len();
                if self.tells(Detail::Verbose) {
                    let added: Group = tasks.iter().copied().collect();
                    let _ = writeln!(text, "added: {}", added.names(briefing));
                }
            }
            Event::Progress { .. } => {}
            Event::Observed { source, observed } => {
                self.observed(text, briefing, *source, observed);
            }
            Event::Finished(finished) => self.finished(text, briefing, finished),
            Event::Logged { source, record } => self.logged(text, briefing, *source, record),
            Event::HookStarted(hook, library) => {
                if self.tells(Detail::Verbose) {
                    let name = hook_name(briefing, *hook, *library);
                    let _ = writeln!(text, "{name} started");
                }
            }
            Event::HookFinished(hook, library, ending) => {
                let name = hook_name(briefing, *hook, *library);
                self.hook_finished(text, &name, ending);
            }
            Event::HookCancelled(hook, library, failure) => {
                let name = hook_name(briefing, *hook, *library);
                let word = self.paint.outcome(Outcome::Cancelled, "CANCELLED");
                let _ = write!(text, "{name} {word}\n    {}\n", failure_line(failure));
                if let Some(wrote) = self.hook_wrote.take() {
                    push_output(text, &name, None, &wrote);
                }
            }
            Event::Stopping(stop) => {
                if self.tells(Detail::Live) {
                    text.push_str(&stopping_line(briefing, *stop, &self.running));
                    text.push('\n');
                }
            }
            Event::Warning(warning) => {
                if self.tells(Detail::Live) {
                    let _ = writeln!(text, "tdrun: warning: {}", escape(warning));
                }
            }
            Event::Known(event) => self.recall(briefing, event),
        }
    }

    /// Takes in what an earlier process has told.
    fn recall(&mut self, briefing: &Briefing, event: &Event) {
        let mut told = String::new();
        self.tell(&mut told, briefing, event);
    }

    /// The section at the end.
    pub(super) fn end(&mut self, briefing: &Briefing, summary: &Summary) -> String {
        self.recap.text(briefing, summary, self.paint)
    }

    fn tells(&self, detail: Detail) -> bool {
        self.detail >= detail
    }

    /// A line about a task on a worker, for those who want to know everything.
    fn note(
        &self,
        text: &mut String,
        briefing: &Briefing,
        (task, worker): (TaskId, usize),
        what: fmt::Arguments<'_>,
    ) {
        if self.tells(Detail::Verbose) {
            push_base(text, briefing, task, Some(worker));
            let _ = writeln!(text, "{what}");
        }
    }

    fn observed(
        &mut self,
        text: &mut String,
        briefing: &Briefing,
        source: Source,
        observed: &Observed,
    ) {
        match observed {
            Observed::Line(channel, line) => {
                push_line(text, briefing, source, *channel, line);
                text.push('\n');
                return;
            }
            Observed::Stopped(_) | Observed::Continued if !self.tells(Detail::Live) => return,
            Observed::Stopped(signal) => {
                push_source(text, briefing, source);
                let _ = writeln!(text, " is stopped by {}", signal_name(*signal));
                return;
            }
            Observed::Continued => {
                push_source(text, briefing, source);
                text.push_str(" goes on\n");
                return;
            }
            Observed::Output(_) if matches!(self.output, ShowOutput::Never | ShowOutput::Live) => {
                return;
            }
            Observed::Output(_) | Observed::Left(_) => {}
        }
        match (source, observed) {
            (Source::Task(task, worker), _) => {
                if let Observed::Left(left) = observed {
                    self.recap.leaky(task, left_line(left));
                }
                self.pending.note(task, worker, observed);
            }
            (Source::Hook(..), Observed::Output(output)) => {
                self.hook_wrote = Some(Ends::of(output));
            }
            (Source::Hook(..), Observed::Left(left)) if self.tells(Detail::Live) => {
                push_source(text, briefing, source);
                let _ = writeln!(text, " {}", left_line(left));
            }
            _ => {}
        }
    }

    /// What was seen of an attempt that will not be the last one.
    fn tried(&mut self, text: &mut String, briefing: &Briefing, task: TaskId, number: usize) {
        let Some(seen) = self.pending.take(task) else {
            return;
        };
        if self.tells(Detail::Normal) {
            push_left(text, &seen);
        }
        let Some(output) = &seen.output else { return };
        if self.output == ShowOutput::All {
            push_output(text, &name(briefing, task), Some(number), output);
        } else if number <= ATTEMPTS {
            let block = self.keep(briefing, task, Some(number), &seen);
            self.earlier.entry(task).or_default().extend(block);
        }
    }

    /// What an attempt wrote, for the end of the run.
    fn keep(
        &mut self,
        briefing: &Briefing,
        task: TaskId,
        attempt: Option<usize>,
        seen: &Seen,
    ) -> Option<String> {
        let output = seen.output.as_ref()?;
        let mut block = String::new();
        if self.kept < KEPT {
            push_output(&mut block, &name(briefing, task), attempt, output);
            self.kept += block.len();
        } else {
            block.push_str("    [… its output is not kept; --junit and --events have it …]\n");
        }
        Some(block)
    }

    fn finished(&mut self, text: &mut String, briefing: &Briefing, finished: &Finished) {
        let task = finished.task;
        let seen = self.pending.take(task);
        let mut wrote = Vec::new();
        if !self.earlier.is_empty() {
            wrote = self.earlier.remove(&task).unwrap_or_default();
        }
        let (attempts, has_failed) = (finished.attempts.len() + 1, has_failed(finished.outcome));
        let attempt = (attempts > 1).then_some(attempts);
        if let Some(seen) = seen.as_ref().filter(|_| has_failed) {
            wrote.extend(self.keep(briefing, task, attempt, seen));
        }
        self.recap.add(briefing, finished, wrote);
        self.running.remove(&finished.task);
        self.done = finished.done;
        let told = match finished.outcome {
            _ if finished.kept => false,
            Outcome::NotRun => false,
            Outcome::Passed | Outcome::Skipped => self.tells(Detail::Normal),
            Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled => true,
        };
        if told {
            self.done(text, briefing, finished);
        }
        let Some(seen) = seen else { return };
        if told {
            push_left(text, &seen);
        }
        let is_shown = self.output == ShowOutput::All && !has_failed && !finished.kept;
        if let (true, Some(output)) = (is_shown, &seen.output) {
            push_output(text, &name(briefing, task), attempt, output);
        }
    }

    fn done(&mut self, text: &mut String, briefing: &Briefing, finished: &Finished) {
        let base = push_base(text, briefing, finished.task, finished.worker);
        let counts = (finished.done, finished.planned);
        let line = &mut self.done_line;
        line.complete(text, base, finished.outcome, counts);
        if self.detail == Detail::Verbose && finished.worker.is_some() {
            let _ = write!(text, " {:.2}s", finished.took.as_secs_f64());
        }
        text.push('\n');
        if let Some(line) = ended_line(briefing, finished) {
            let _ = writeln!(text, "    {line}");
        }
    }

    fn logged(&self, text: &mut String, briefing: &Briefing, source: Source, record: &Record) {
        let verbose = self.detail == Detail::Verbose;
        if verbose || (self.tells(Detail::Normal) && record.level <= Level::Info) {
            text.push_str(&record_line(briefing, source, record, verbose, self.paint));
            text.push('\n');
        }
    }

    fn hook_finished(&mut self, text: &mut String, name: &str, ending: &Result<(), Failure>) {
        let wrote = self.hook_wrote.take();
        let wrote = wrote.filter(|_| ending.is_err() || self.output == ShowOutput::All);
        match ending {
            Ok(()) if !self.tells(Detail::Verbose) => {}
            Ok(()) => {
                let word = self.paint.outcome(Outcome::Passed, "PASSED");
                let _ = writeln!(text, "{name} {word}");
            }
            Err(failure) => {
                let word = self.paint.outcome(Outcome::Failed, "FAILED");
                let _ = write!(text, "{name} {word}\n    {}\n", failure_line(failure));
            }
        }
        if let Some(wrote) = wrote {
            push_output(text, name, None, &wrote);
        }
    }
}

/// Whether what it wrote is shown with the failures.
fn has_failed(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled => true,
        Outcome::Passed | Outcome::Skipped | Outcome::NotRun => false,
    }
}

fn push_left(text: &mut String, seen: &Seen) {
    if let Some(left) = &seen.left {
        let _ = writeln!(text, "    leaky: {left}");
    }
}

/// The reporter.
pub(super) struct Lines {
    teller: Teller,
    console: Console,
}

impl Lines {
    pub(super) fn new(detail: Detail, output: ShowOutput, console: Console) -> Self {
        Self {
            teller: Teller::new(detail, output, console.err_paint),
            console,
        }
    }
}

impl Console {
    /// Adds lines to those that people read while a run goes on. Errors never matter here: nobody else is told where people are
    /// not.
    fn tell(&mut self, tell: impl FnOnce(&mut String)) {
        let _ = self.err.add(tell);
    }

    pub(super) fn say(&mut self, lines: &str) {
        self.tell(|text| text.push_str(lines));
    }

    /// Writes what was said.
    pub(super) fn flush(&mut self) {
        let _ = self.err.flush();
    }

    /// Writes the end of a run: the last line is the summary, and the only one that must arrive.
    pub(super) fn conclude(&mut self, end: &str, summary: &Summary) -> io::Result<()> {
        self.say(end);
        let line = summary_line(summary);
        if self.out.is_none() {
            self.say(&(self.err_paint.summary(&line) + "\n"));
        }
        self.flush();
        match &self.out {
            Some(out) => out.print_now(&(self.out_paint.summary(&line) + "\n")),
            None => Ok(()),
        }
    }
}

impl Reporter for Lines {
    fn wants(&self) -> Interest {
        self.teller.wants()
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        let teller = &mut self.teller;
        self.console.tell(|text| teller.tell(text, briefing, event));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.console.flush();
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        self.console.say(text);
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        let end = self.teller.end(briefing, summary);
        self.console.conclude(&end, summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Cause, Hook, Stop};
    use crate::report::fixture::{
        Captured, End, added, attempt, briefing, crash, failure, heard, late, left, logged,
        observed, output, paused, play, progress, resumed, retrying, slow, started, time_out,
        tried, wrote,
    };
    use crate::task::{Channel, LibraryId};

    fn transcript(detail: Detail, briefing: &Briefing, events: &[Event]) -> (String, String) {
        transcript_with(detail, ShowOutput::Failed, briefing, events)
    }

    fn transcript_with(
        detail: Detail,
        output: ShowOutput,
        briefing: &Briefing,
        events: &[Event],
    ) -> (String, String) {
        let (out, err) = (Captured::new(), Captured::new());
        let console = Console {
            err: Batch::new(err.stream.clone()),
            err_paint: Paint(false),
            out: Some(out.stream.clone()),
            out_paint: Paint(false),
        };
        play(&mut Lines::new(detail, output, console), briefing, events);
        (out.text(), err.text())
    }

    fn a_run() -> Vec<Event> {
        let skips_itself = End {
            outcome: Outcome::Skipped,
            worker: Some(1),
            cause: Some(Cause::Skip("no network".into())),
            ..End::passed(3, 4)
        };
        vec![
            Event::HookStarted(Hook::Setup, LibraryId(0)),
            Event::HookFinished(Hook::Setup, LibraryId(0), Ok(())),
            started(0, 0),
            logged(0, 0, Level::Info, "hello\nworld"),
            logged(0, 0, Level::Debug, "detail"),
            End::with(0, 1, "1"),
            started(1, 0),
            End::failed(1, 2, failure("boom\nand more", Some(("b.rs", 5)))),
            Event::Warning("the \x1b disk is slow".into()),
            End::blocked(2, 3, &[1]),
            skips_itself.event(),
            Event::Stopping(Stop::MaxFail(1)),
            End::not_run(4, 5, Stop::MaxFail(1)),
            Event::HookFinished(Hook::Teardown, LibraryId(0), Err(failure("left", None))),
        ]
    }

    const TASKS: [&str; 5] = ["a", "b < a", "c < b", "d", "e"];
    const SUMMARY: &str = "==== 1 passed, 1 failed, 2 skipped, 1 not run in 2.31s ====\n";
    const END: &str = "
failures:

b FAILED
    boom
    and more
    at b.rs:5
    rerun: tdrun lib.so::b --result-a=1

skipped because of `b`: c
not run, stopped after 1 failure: e
";

    #[test]
    fn a_run_is_told_in_lines() {
        let expected = "\
[thread_0] a: INFO hello
    world
[thread_0] a ................................................. PASSED [ 20% ]
[thread_0] b ................................................. FAILED [ 40% ]
    boom (b.rs:5)
tdrun: warning: the \\u{1b} disk is slow
c ........................................................... SKIPPED [ 60% ]
    skipped: `b` did not pass
[thread_1] d ................................................ SKIPPED [ 80% ]
    skipped: no network
stopping after 1 failure
teardown FAILED
    left
";
        let (out, err) = transcript(Detail::Normal, &briefing(&TASKS), &a_run());
        assert_eq!(err, format!("{expected}{END}"));
        assert_eq!(out, SUMMARY);
    }

    #[test]
    fn quietly_only_what_did_not_pass_is_told() {
        let expected = "\
[thread_0] b ................................................. FAILED [ 40% ]
    boom (b.rs:5)
teardown FAILED
    left
";
        let (out, err) = transcript(Detail::Quiet, &briefing(&TASKS), &a_run());
        assert_eq!(err, format!("{expected}{END}"));
        assert_eq!(out, SUMMARY);
    }

    #[test]
    fn nobody_misses_what_is_not_wanted() {
        let briefing = briefing(&TASKS);
        let mut events = a_run();
        events.insert(11, started(4, 1));
        events.insert(13, Event::Stopping(Stop::Signal(2)));
        let result_of_a_dependency = End::with(0, 1, "1");
        for flaky in [result_of_a_dependency, End::flaky(0, 1, vec![late()])] {
            events[5] = flaky;
            for detail in [Detail::Quiet, Detail::Live, Detail::Normal, Detail::Verbose] {
                let wants = Teller::new(detail, ShowOutput::Failed, Paint(false)).wants();
                let heard = heard(wants, &events);
                let all = transcript(detail, &briefing, &events);
                assert_eq!(transcript(detail, &briefing, &heard).1, all.1, "{detail:?}");
                assert_eq!(heard.len() < events.len(), wants < Interest::All);
            }
        }
    }

    #[test]
    fn verbosely_starts_origins_and_durations_are_told() {
        let (_, err) = transcript(Detail::Verbose, &briefing(&TASKS), &a_run());
        let lines: Vec<&str> = err.lines().take(9).collect();
        assert_eq!(
            lines,
            [
                "setup started",
                "setup PASSED",
                "[thread_0] a started",
                "[thread_0] a: INFO lib::part: hello",
                "    world (part.rs:3)",
                "[thread_0] a: DEBUG lib::part: detail (part.rs:3)",
                "[thread_0] a ................................................. PASSED [ 20% ] 0.02s",
                "[thread_0] b started",
                "[thread_0] b ................................................. FAILED [ 40% ] 0.02s",
            ]
        );
    }

    fn a_run_of_attempts(briefing: &Briefing) -> Vec<Event> {
        let fails_late = End {
            attempts: vec![late()],
            outcome: Outcome::Failed,
            cause: Some(Cause::Failure(failure("boom", Some(("b.rs", 4))))),
            ..End::passed(1, 2)
        };
        let added = added(briefing, "z");
        let locked = End {
            outcome: Outcome::NotRun,
            worker: None,
            cause: Some(Cause::Locked {
                lock: "db".into(),
                holder: TaskId::new(2),
            }),
            ..End::passed(3, 4)
        };
        vec![
            started(0, 0),
            retrying(0, 1, attempt("no route\nto host")),
            tried(0, 0, 2),
            progress(0, 2, 5, "copying"),
            paused(0, 0),
            added,
            resumed(0, 1),
            slow(0),
            End::flaky(0, 1, vec![attempt("no route\nto host")]),
            retrying(1, 1, late()),
            fails_late.event(),
            End::timed_out(2, 3, true),
            locked.event(),
            End {
                worker: Some(1),
                ..End::passed(4, 5)
            }
            .event(),
        ]
    }

    #[test]
    fn attempts_and_timeouts_are_told_in_lines() {
        let expected = "\
[thread_0] a .................................................. RETRY [  0% ]
    attempt 1 failed: no route
[thread_0] a: still running after 1m
[thread_0] a ................................................. PASSED [ 20% ]
    flaky: passed on attempt 2
[thread_0] b .................................................. RETRY [ 20% ]
    attempt 1 timed out: took longer than 200ms
[thread_0] b ................................................. FAILED [ 40% ]
    attempt 2 failed: boom (b.rs:4)
[thread_0] c .............................................. TIMED OUT [ 60% ]
    took longer than 200ms and is still running
[thread_1] z ................................................. PASSED [100% ]

failures:

b FAILED on attempt 2
    boom
    at b.rs:4
    attempt 1 timed out: took longer than 200ms
    rerun: tdrun lib.so::b

c TIMED OUT
    took longer than 200ms and is still running
    rerun: tdrun lib.so::c

not run, the lock `db` is held by `c`, which timed out and is still running: d
flaky: a (passed on attempt 2)
";
        let briefing = briefing(&["a", "b", "c", "d"]);
        let (out, err) = transcript(Detail::Normal, &briefing, &a_run_of_attempts(&briefing));
        assert_eq!(err, expected);
        assert_eq!(
            out,
            "==== 2 passed, 1 failed, 0 skipped, 1 timed out, 1 not run; 1 of the passed flaky in 2.31s ====\n"
        );
    }

    #[test]
    fn verbosely_later_attempts_waiting_and_added_tasks_are_told() {
        let briefing = briefing(&["a", "b", "c", "d"]);
        let (_, err) = transcript(Detail::Verbose, &briefing, &a_run_of_attempts(&briefing));
        let lines: Vec<&str> = err.lines().take(10).collect();
        assert_eq!(
            lines,
            [
                "[thread_0] a started",
                "[thread_0] a .................................................. RETRY [  0% ]",
                "    attempt 1 failed: no route",
                "[thread_0] a started, attempt 2",
                "[thread_0] a waits for other tasks",
                "added: z",
                "[thread_1] a goes on",
                "[thread_0] a: still running after 1m",
                "[thread_0] a ................................................. PASSED [ 20% ] 0.02s",
                "    flaky: passed on attempt 2",
            ]
        );
    }

    /// `a` passes and writes, `b` crashes twice, `c` passes and leaves a process running.
    fn a_run_of_processes() -> Vec<Event> {
        let exited = || crash("exited with status 0 before finishing");
        let crashed = End {
            outcome: Outcome::Crashed,
            cause: Some(Cause::Failure(failure("killed by SIGSEGV", None))),
            attempts: vec![exited()],
            ..End::passed(1, 2)
        };
        vec![
            wrote(0, "fine\n", ""),
            End::passed(0, 1).event(),
            started(1, 0),
            wrote(1, "first\x1b[2J\n", ""),
            left(1, 6, "cat"),
            retrying(1, 1, exited()),
            wrote(1, "second\n", "failures:\n\nlast words"),
            crashed.event(),
            wrote(2, "", "also\n"),
            left(2, 7, "sleep"),
            End::passed(2, 3).event(),
        ]
    }

    const WROTE: &str = "
failures:

b CRASHED on attempt 2
    killed by SIGSEGV
    attempt 1 crashed: exited with status 0 before finishing
    ---- b stdout, attempt 1 ----
    first\\u{1b}[2J
    ---- b stdout, attempt 2 ----
    second
    ---- b stderr, attempt 2 ----
    failures:

    last words
    rerun: tdrun lib.so::b

leaky: b (left running: 6 cat), c (left running: 7 sleep)
";

    #[test]
    fn what_failed_tasks_wrote_stands_with_the_failures() {
        let expected = "\
[thread_0] a ................................................. PASSED [ 20% ]
[thread_0] b .................................................. RETRY [ 20% ]
    attempt 1 crashed: exited with status 0 before finishing
    leaky: left running: 6 cat
[thread_0] b ................................................ CRASHED [ 40% ]
    attempt 2 crashed: killed by SIGSEGV
[thread_0] c ................................................. PASSED [ 60% ]
    leaky: left running: 7 sleep
";
        let briefing = briefing(&TASKS);
        let (out, err) = transcript(Detail::Normal, &briefing, &a_run_of_processes());
        assert_eq!(err, format!("{expected}{WROTE}"));
        assert_eq!(
            out,
            "==== 2 passed, 0 failed, 0 skipped, 1 crashed; 2 leaky in 2.31s ====\n"
        );
        let quietly = "\
[thread_0] b ................................................ CRASHED [ 40% ]
    attempt 2 crashed: killed by SIGSEGV
";
        for detail in [Detail::Quiet, Detail::Live] {
            let heard = heard(Interest::Failures, &a_run_of_processes());
            let (_, err) = transcript(detail, &briefing, &heard);
            assert_eq!(err, format!("{quietly}{WROTE}"));
        }
    }

    #[test]
    fn everybodys_output_is_shown_once() {
        let briefing = briefing(&TASKS);
        let all =
            |detail| transcript_with(detail, ShowOutput::All, &briefing, &a_run_of_processes()).1;
        let expected = "\
[thread_0] a ................................................. PASSED [ 20% ]
    ---- a stdout ----
    fine
[thread_0] b .................................................. RETRY [ 20% ]
    attempt 1 crashed: exited with status 0 before finishing
    leaky: left running: 6 cat
    ---- b stdout, attempt 1 ----
    first\\u{1b}[2J
[thread_0] b ................................................ CRASHED [ 40% ]
    attempt 2 crashed: killed by SIGSEGV
[thread_0] c ................................................. PASSED [ 60% ]
    leaky: left running: 7 sleep
    ---- c stderr ----
    also
";
        let first = "    ---- b stdout, attempt 1 ----\n    first\\u{1b}[2J\n";
        assert_eq!(
            all(Detail::Normal),
            format!("{expected}{}", WROTE.replace(first, ""))
        );
        for detail in [Detail::Quiet, Detail::Live] {
            let teller = Teller::new(detail, ShowOutput::All, Paint(false));
            assert_eq!(teller.wants(), Interest::Finished);
            let err = all(detail);
            for text in ["fine", "first", "second", "last words", "also"] {
                assert_eq!(err.matches(&format!("    {text}")).count(), 1, "{err}");
            }
        }
    }

    #[test]
    fn nobodys_output_is_shown_where_nobody_wants_it() {
        let briefing = briefing(&["a", "b", "c"]);
        for output in [ShowOutput::Never, ShowOutput::Live] {
            for detail in [Detail::Quiet, Detail::Verbose] {
                let (_, err) = transcript_with(detail, output, &briefing, &a_run_of_processes());
                assert!(!err.contains("----"), "{err}");
                assert!(err.contains("leaky: b (left running: 6 cat)"), "{err}");
            }
        }
    }

    #[test]
    fn what_a_hook_wrote_stands_below_it_where_it_did_not_pass() {
        let briefing = briefing(&["a"]);
        let wrote = |hook, text: &str| Event::Observed {
            source: Source::Hook(hook, LibraryId(0)),
            observed: Observed::Output(output(text, "").into()),
        };
        let ended = |hook, ending| Event::HookFinished(hook, LibraryId(0), ending);
        let events = [
            wrote(Hook::Setup, "ready"),
            ended(Hook::Setup, Ok(())),
            wrote(Hook::Teardown, "once"),
            wrote(Hook::Teardown, "again"),
            ended(Hook::Teardown, Err(failure("lost", None))),
        ];
        let passed = "    ---- setup stdout ----\n    ready\n";
        let failed = "teardown FAILED\n    lost\n";
        let last = "    ---- teardown stdout ----\n    again\n";
        for (output, expected) in [
            (ShowOutput::Failed, format!("{failed}{last}")),
            (ShowOutput::All, format!("{passed}{failed}{last}")),
            (ShowOutput::Never, failed.to_owned()),
        ] {
            let (_, err) = transcript_with(Detail::Quiet, output, &briefing, &events);
            assert_eq!(err, expected);
        }
    }

    #[test]
    fn lines_are_told_as_they_come_and_so_is_who_is_stopped() {
        let briefing = briefing(&["a"]);
        let line = |channel, bytes: &[u8]| observed(0, 1, Observed::Line(channel, bytes.into()));
        let events = [
            line(Channel::Stdout, b"50%\rone\ttwo\x1b[2J"),
            line(Channel::Stderr, b""),
            line(Channel::Stderr, b"\xff\n"),
            observed(0, 1, Observed::Stopped(21)),
            observed(0, 1, Observed::Continued),
        ];
        let lines = "\
[thread_1] a | 50%\\rone\ttwo\\u{1b}[2J
[thread_1] a !
[thread_1] a ! \u{fffd}\\n
";
        let stopped = "\
[thread_1] a is stopped by SIGTTIN
[thread_1] a goes on
";
        for detail in [Detail::Live, Detail::Normal, Detail::Verbose] {
            let (_, err) = transcript_with(detail, ShowOutput::Live, &briefing, &events);
            assert_eq!(err, format!("{lines}{stopped}"));
        }
        let (_, err) = transcript_with(Detail::Quiet, ShowOutput::Live, &briefing, &events);
        assert_eq!(err, lines);
    }

    #[test]
    fn where_flaky_tasks_fail_the_run_what_they_wrote_is_shown() {
        let briefing = briefing(&["a"]);
        let mut teller = Teller::new(Detail::Normal, ShowOutput::Failed, Paint(false));
        let mut text = String::new();
        let events = [
            wrote(0, "cold", ""),
            retrying(0, 1, attempt("no")),
            wrote(0, "warm", ""),
            End::flaky(0, 1, vec![attempt("no")]),
        ];
        for event in &events {
            teller.tell(&mut text, &briefing, event);
        }
        let finish = crate::report::fixture::Finish {
            flaky_fails: true,
            ..crate::report::fixture::Finish::after(&events)
        };
        text += &teller.end(&briefing, &finish.summary());
        assert!(
            text.contains("    ---- a stdout, attempt 1 ----\n    cold\n    rerun: "),
            "{text}"
        );
        assert!(!text.contains("warm"), "{text}");
    }

    #[test]
    fn so_much_output_is_kept_and_no_more() {
        let briefing = briefing(&["a"]);
        let mut teller = Teller::new(Detail::Quiet, ShowOutput::Failed, Paint(false));
        let long = "x".repeat(64 << 10);
        let mut text = String::new();
        for task in 0..2 * KEPT / (64 << 10) {
            teller.tell(&mut text, &briefing, &wrote(0, &long, ""));
            let failed = End::failed(0, task, failure("no", None));
            teller.tell(&mut text, &briefing, &failed);
        }
        let end = teller.end(
            &briefing,
            &crate::report::fixture::Finish::default().summary(),
        );
        assert!(end.len() < KEPT * 5 / 4, "{}", end.len());
        assert!(end.contains("    [… its output is not kept; --junit and --events have it …]\n"));
    }

    #[test]
    fn a_retry_counts_the_tasks_that_were_added() {
        let briefing = briefing(&["a"]);
        let events = [
            End::passed(0, 1).event(),
            added(&briefing, "z"),
            retrying(1, 1, attempt("no")),
        ];
        let (_, err) = transcript(Detail::Normal, &briefing, &events);
        assert!(err.contains(" RETRY [ 50% ]\n"), "{err}");
    }

    #[test]
    fn quietly_and_live_an_attempt_is_told_at_the_end_only() {
        let briefing = briefing(&["a", "b"]);
        let failed = End {
            outcome: Outcome::TimedOut,
            cause: Some(time_out(false)),
            attempts: vec![attempt("boom")],
            ..End::passed(0, 1)
        };
        let events = [retrying(0, 1, attempt("boom")), slow(0), failed.event()];
        for detail in [Detail::Quiet, Detail::Live] {
            let (_, err) = transcript(detail, &briefing, &events);
            let expected = "\
[thread_0] a .............................................. TIMED OUT [ 20% ]
    attempt 2 timed out: took longer than 200ms

failures:

a TIMED OUT on attempt 2
    took longer than 200ms
    attempt 1 failed: boom
    rerun: tdrun lib.so::a
";
            assert_eq!(err, expected);
        }
    }

    #[test]
    fn ctrl_c_says_how_many_tasks_are_waited_for() {
        let events = [
            started(0, 0),
            started(1, 1),
            End::passed(0, 1).event(),
            Event::Stopping(Stop::Signal(2)),
        ];
        let (_, err) = transcript(Detail::Live, &briefing(&["a", "b"]), &events);
        assert_eq!(
            err,
            "stopping: SIGINT; waiting for `b`, press Ctrl-C again to leave\n"
        );
    }

    #[test]
    fn an_unwritable_stderr_does_not_matter_and_an_unwritable_stdout_does() {
        let full = || {
            let file = std::fs::File::options().write(true).open("/dev/full");
            Stream::to(file.unwrap())
        };
        let console = |out: &Stream| Console {
            err: Batch::new(full()),
            err_paint: Paint(false),
            out: Some(out.clone()),
            out_paint: Paint(false),
        };
        let out = Captured::new();
        let mut lines = Lines::new(Detail::Normal, ShowOutput::Failed, console(&out.stream));
        play(&mut lines, &briefing(&TASKS), &a_run());
        assert_eq!(out.text(), SUMMARY);

        let mut lines = Lines::new(Detail::Normal, ShowOutput::Failed, console(&full()));
        let summary = crate::report::fixture::Finish::default().summary();
        lines.finish(&briefing(&TASKS), &summary).unwrap_err();
    }
}
