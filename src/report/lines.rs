//! Human lines: each event in a line or none, the failures again at the end, and the summary line.
//!
//! Knows two streams; the live displays put their lines above themselves, so the text is made apart from the writing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use super::Reporter;
use crate::error::escape;
use crate::event::{Briefing, Event, Finished, Hook, Source, Summary};
use crate::report::cause::{cause_line, failure_line, stopping_line};
use crate::report::recap::Recap;
use crate::report::text::{Paint, base, done_line, hook_name, name, record_line, summary_line};
use crate::stream::Stream;
use crate::task::{Failure, Level, LibraryId, Outcome, Record, TaskId};

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
#[derive(Clone)]
pub(super) struct Console {
    /// For what happens.
    pub(super) err: Stream,
    pub(super) err_paint: Paint,
    /// For the summary line, where a report does not need it for itself.
    pub(super) out: Option<Stream>,
    pub(super) out_paint: Paint,
}

/// Makes the text for each event, and remembers what the end needs.
pub(super) struct Teller {
    detail: Detail,
    paint: Paint,
    running: BTreeSet<TaskId>,
    recap: Recap,
}

impl Teller {
    pub(super) fn new(detail: Detail, paint: Paint) -> Self {
        Self {
            detail,
            paint,
            running: BTreeSet::new(),
            recap: Recap::default(),
        }
    }

    /// The lines for an event, often none.
    pub(super) fn tell(&mut self, briefing: &Briefing, event: &Event) -> String {
        match event {
            Event::Started { task, worker, .. } => {
                self.running.insert(*task);
                let base = base(&name(briefing, *task), Some(*worker));
                self.when(Detail::Verbose, || format!("{base} started\n"))
            }
            Event::Finished(finished) => self.finished(briefing, finished),
            Event::Logged { source, record } => self.logged(briefing, *source, record),
            Event::HookStarted(hook, library) => self.when(Detail::Verbose, || {
                format!("{} started\n", hook_name(briefing, *hook, *library))
            }),
            Event::HookFinished(hook, library, ending) => {
                self.hook_finished(briefing, *hook, *library, ending)
            }
            Event::Planned(_)
            | Event::Retrying { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Progress { .. }
            | Event::Slow { .. } => String::new(),
            Event::Stopping(stop) => self.when(Detail::Live, || {
                format!("{}\n", stopping_line(briefing, *stop, &self.running))
            }),
            Event::Warning(warning) => self.when(Detail::Live, || {
                format!("tdrun: warning: {}\n", escape(warning))
            }),
        }
    }

    /// The section at the end.
    pub(super) fn end(&mut self, briefing: &Briefing, summary: &Summary) -> String {
        self.recap.text(briefing, summary, self.paint)
    }

    fn when(&self, detail: Detail, text: impl FnOnce() -> String) -> String {
        if self.detail >= detail {
            text()
        } else {
            String::new()
        }
    }

    fn finished(&mut self, briefing: &Briefing, finished: &Finished) -> String {
        self.recap.add(finished);
        self.running.remove(&finished.task);
        match finished.outcome {
            Outcome::NotRun => String::new(),
            Outcome::Passed | Outcome::Skipped => {
                self.when(Detail::Normal, || self.done(briefing, finished))
            }
            Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled => {
                self.done(briefing, finished)
            }
        }
    }

    fn done(&self, briefing: &Briefing, finished: &Finished) -> String {
        let planned = briefing.planned.len();
        let base = base(&name(briefing, finished.task), finished.worker);
        let mut text = done_line(&base, finished.outcome, finished.done, planned, self.paint);
        if self.detail == Detail::Verbose && finished.worker.is_some() {
            let _ = write!(text, " {}", seconds(finished.took));
        }
        text.push('\n');
        if let Some(cause) = &finished.cause {
            let _ = writeln!(text, "    {}", cause_line(briefing, cause));
        }
        text
    }

    fn logged(&self, briefing: &Briefing, source: Source, record: &Record) -> String {
        let verbose = self.detail == Detail::Verbose;
        if !verbose && record.level > Level::Info {
            return String::new();
        }
        self.when(Detail::Normal, || {
            record_line(briefing, source, record, verbose, self.paint) + "\n"
        })
    }

    fn hook_finished(
        &self,
        briefing: &Briefing,
        hook: Hook,
        library: LibraryId,
        ending: &Result<(), Failure>,
    ) -> String {
        let name = hook_name(briefing, hook, library);
        match ending {
            Ok(()) => self.when(Detail::Verbose, || {
                format!("{name} {}\n", self.paint.outcome(Outcome::Passed, "PASSED"))
            }),
            Err(failure) => format!(
                "{name} {}\n    {}\n",
                self.paint.outcome(Outcome::Failed, "FAILED"),
                failure_line(failure)
            ),
        }
    }
}

/// `0.52s`.
fn seconds(took: Duration) -> String {
    format!("{:.2}s", took.as_secs_f64())
}

/// The reporter.
pub(super) struct Lines {
    teller: Teller,
    console: Console,
}

impl Lines {
    pub(super) fn new(detail: Detail, console: Console) -> Self {
        Self {
            teller: Teller::new(detail, console.err_paint),
            console,
        }
    }
}

impl Console {
    /// Writes what people read while a run goes on. Its errors never matter: nobody else is told where people are not.
    pub(super) fn say(&self, text: &str) {
        if !text.is_empty() {
            let _ = self.err.print_now(text);
        }
    }

    /// Writes the end of a run: the last line is the summary, and the only one that must arrive.
    pub(super) fn conclude(&self, end: &str, summary: &Summary) -> io::Result<()> {
        self.say(end);
        let line = summary_line(summary);
        let Some(out) = &self.out else {
            self.say(&(self.err_paint.summary(&line) + "\n"));
            return Ok(());
        };
        out.print_now(&(self.out_paint.summary(&line) + "\n"))
    }
}

impl Reporter for Lines {
    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        self.console.say(&self.teller.tell(briefing, event));
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
    use crate::event::{Cause, Stop};
    use crate::report::fixture::{Captured, End, briefing, failure, logged, play, started};

    fn transcript(detail: Detail, briefing: &Briefing, events: &[Event]) -> (String, String) {
        let (out, err) = (Captured::new(), Captured::new());
        let console = Console {
            err: err.stream.clone(),
            err_paint: Paint(false),
            out: Some(out.stream.clone()),
            out_paint: Paint(false),
        };
        play(&mut Lines::new(detail, console), briefing, events);
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
        let out = Captured::new();
        let mut console = Console {
            err: full(),
            err_paint: Paint(false),
            out: Some(out.stream.clone()),
            out_paint: Paint(false),
        };
        play(
            &mut Lines::new(Detail::Normal, console.clone()),
            &briefing(&TASKS),
            &a_run(),
        );
        assert_eq!(out.text(), SUMMARY);

        console.out = Some(full());
        let mut lines = Lines::new(Detail::Normal, console);
        let summary = crate::report::fixture::Finish::default().summary();
        lines.finish(&briefing(&TASKS), &summary).unwrap_err();
    }
}
