//! `--log`: a log file for each worker, `tdrun_thread_0.log` …, and `tdrun_main.log` for all that belongs to none.
//!
//! Knows the names and the format of the lines; the files stand in the directory in which tdrun was started.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Reporter;
use crate::error::{Result, escape};
use crate::event::{Briefing, Event, Finished, Hook, Source, Summary};
use crate::report::cause::{attempt_line, cause_line, failure_line, signal_name, stopping_line};
use crate::report::output::cannot_open;
use crate::report::recap::Group;
use crate::report::text::{elapsed, hook_name, plural, push_base, said, speaker, summary_line};
use crate::report::wrote::{left_line, push_line, push_source, push_whole};
use crate::stream::{Batch, Stream};
use crate::task::{Failure, Level, LibraryId, Observed, Outcome, TaskId};

/// The reporter.
pub(super) struct Log {
    directory: PathBuf,
    first: bool,
    main: Batch,
    threads: Vec<Batch>,
    clock: Instant,
    running: BTreeSet<TaskId>,
}

/// What an event leaves in a file.
struct Entry {
    /// Whose file; the main one by default.
    worker: Option<usize>,
    /// When, where the event says so.
    at: Option<Duration>,
    level: Level,
    text: String,
}

impl Entry {
    fn main(level: Level, text: impl Into<String>) -> Self {
        Self {
            worker: None,
            at: None,
            level,
            text: text.into(),
        }
    }

    /// In the file of a task's worker.
    fn task(
        briefing: &Briefing,
        (task, worker): (TaskId, usize),
        at: Option<Duration>,
        level: Level,
        what: impl Display,
    ) -> Self {
        let mut text = String::new();
        push_base(&mut text, briefing, task, Some(worker));
        let _ = write!(text, ": {what}");
        Self {
            worker: Some(worker),
            at,
            level,
            text,
        }
    }
}

impl Log {
    /// Opens `tdrun_main.log` in the current directory; the other files follow when their number is known.
    /// Unless this is the `first` process of a run, it goes on with what others have written.
    pub(super) fn open(first: bool) -> Result<Self> {
        let directory = std::env::current_dir();
        let directory =
            directory.map_err(|error| cannot_open(Path::new("tdrun_main.log"), &error))?;
        Self::open_in(directory, first)
    }

    fn open_in(directory: PathBuf, first: bool) -> Result<Self> {
        let path = directory.join("tdrun_main.log");
        let main = open_file(&path, first).map_err(|error| cannot_open(&path, &error))?;
        Ok(Self {
            directory,
            first,
            main: Batch::new(Stream::to(main)),
            threads: Vec::new(),
            clock: Instant::now(),
            running: BTreeSet::new(),
        })
    }

    fn entry(&mut self, briefing: &Briefing, event: &Event) -> Entry {
        match event {
            Event::Planned(tasks) => {
                let added: Group = tasks.iter().copied().collect();
                Entry::main(Level::Info, format!("added: {}", added.names(briefing)))
            }
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                self.running.insert(*task);
                let what = match attempt {
                    1 => "started".to_owned(),
                    _ => format!("started, attempt {attempt}"),
                };
                Entry::task(briefing, (*task, *worker), Some(*at), Level::Info, what)
            }
            Event::Retrying {
                task,
                worker,
                number,
                attempt,
                at,
            } => {
                self.running.remove(task);
                let seconds = attempt.took.as_secs_f64();
                let (outcome, cause) = (attempt.outcome, &attempt.cause);
                let attempt = attempt_line(briefing, *number as usize, outcome, cause);
                let what = format!("{attempt} ({seconds:.3}s), will be tried again");
                Entry::task(briefing, (*task, *worker), Some(*at), Level::Warn, what)
            }
            Event::Paused { task, worker, at } => {
                let what = "waits for other tasks";
                Entry::task(briefing, (*task, *worker), Some(*at), Level::Debug, what)
            }
            Event::Resumed { task, worker, at } => Entry::task(
                briefing,
                (*task, *worker),
                Some(*at),
                Level::Debug,
                "goes on",
            ),
            Event::Progress {
                task,
                worker,
                progress,
            } => {
                let progress = progress.to_string();
                let what = escape(&progress);
                Entry::task(briefing, (*task, *worker), None, Level::Debug, what)
            }
            Event::Slow {
                task,
                worker,
                running,
            } => {
                let what = format!("still running after {}", elapsed(*running));
                Entry::task(briefing, (*task, *worker), None, Level::Warn, what)
            }
            Event::Finished(finished) => {
                self.running.remove(&finished.task);
                finished_entry(briefing, finished)
            }
            Event::Logged { source, record } => Entry {
                worker: worker(*source),
                at: None,
                level: record.level,
                text: speaker(briefing, *source) + &said(record, true),
            },
            Event::HookStarted(hook, library) => {
                let name = hook_name(briefing, *hook, *library);
                Entry::main(Level::Info, name + ": started")
            }
            Event::HookFinished(hook, library, ending) => {
                hook_entry(briefing, *hook, *library, ending)
            }
            Event::HookCancelled(hook, library, failure) => {
                let name = hook_name(briefing, *hook, *library);
                let text = format!("{name}: cancelled, {}", failure_line(failure));
                Entry::main(Level::Warn, text)
            }
            Event::Observed { source, observed } => observed_entry(briefing, *source, observed),
            Event::Stopping(stop) => {
                Entry::main(Level::Warn, stopping_line(briefing, *stop, &self.running))
            }
            Event::Warning(message) => Entry::main(Level::Warn, escape(message)),
            Event::Known(event) => self.entry(briefing, event),
        }
    }

    /// Makes the files of so many workers, where they are not there yet.
    fn open_threads(&mut self, workers: usize) -> io::Result<()> {
        for worker in self.threads.len()..workers {
            let path = self.directory.join(format!("tdrun_thread_{worker}.log"));
            let file = Stream::to(open_file(&path, self.first)?);
            self.threads.push(Batch::new(file));
        }
        Ok(())
    }

    fn write(&mut self, briefing: &Briefing, entry: &Entry) -> io::Result<()> {
        let at = entry.at.unwrap_or_else(|| self.clock.elapsed());
        let time = timestamp(briefing.started.checked_add(at).unwrap_or(UNIX_EPOCH));
        let thread = entry.worker.and_then(|worker| self.threads.get_mut(worker));
        let file = thread.unwrap_or(&mut self.main);
        file.add(|text| {
            let _ = writeln!(text, "{time} {} {}", entry.level.as_str(), entry.text);
        })
    }
}

fn worker(source: Source) -> Option<usize> {
    match source {
        Source::Task(_, worker) => Some(worker),
        Source::Hook(..) | Source::Library => None,
    }
}

fn observed_entry(briefing: &Briefing, source: Source, observed: &Observed) -> Entry {
    let mut text = String::new();
    if let Observed::Line(channel, line) = observed {
        push_line(&mut text, briefing, source, *channel, line);
    } else {
        push_source(&mut text, briefing, source);
    }
    let level = match observed {
        Observed::Line(..) => Level::Info,
        Observed::Output(output) => {
            text.push_str(": wrote\n");
            push_whole(&mut text, output);
            Level::Info
        }
        Observed::Left(left) => {
            let _ = write!(text, ": leaky, {}", left_line(left));
            Level::Warn
        }
        Observed::Stopped(signal) => {
            let _ = write!(text, ": is stopped by {}", signal_name(*signal));
            Level::Warn
        }
        Observed::Continued => {
            text.push_str(": goes on");
            Level::Info
        }
    };
    Entry {
        worker: worker(source),
        at: None,
        level,
        text,
    }
}

fn finished_entry(briefing: &Briefing, finished: &Finished) -> Entry {
    let mut text = String::new();
    push_base(&mut text, briefing, finished.task, finished.worker);
    let cause = finished.cause.as_deref();
    let cause = cause.map(|cause| cause_line(briefing, cause));
    let attempt = match finished.attempts.len() {
        0 => String::new(),
        earlier => format!(" on attempt {}", earlier + 1),
    };
    let _ = match (&cause, finished.outcome) {
        (Some(cause), Outcome::Skipped) => write!(text, ": {cause}"),
        (Some(cause), outcome) => write!(text, ": {outcome}{attempt}, {cause}"),
        (None, outcome) => write!(text, ": {outcome}{attempt}"),
    };
    if finished.worker.is_some() {
        let _ = write!(text, " ({:.3}s)", finished.took.as_secs_f64());
    }
    let level = match finished.outcome {
        Outcome::Passed | Outcome::Skipped | Outcome::NotRun => Level::Info,
        Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled => Level::Error,
    };
    Entry {
        // In an earlier process there may have been more of them.
        worker: finished.worker.filter(|_| !finished.kept),
        at: Some(finished.at),
        level,
        text,
    }
}

fn hook_entry(
    briefing: &Briefing,
    hook: Hook,
    library: LibraryId,
    ending: &Result<(), Failure>,
) -> Entry {
    let name = hook_name(briefing, hook, library);
    match ending {
        Ok(()) => Entry::main(Level::Info, name + ": passed"),
        Err(failure) => {
            let text = format!("{name}: failed, {}", failure_line(failure));
            Entry::main(Level::Error, text)
        }
    }
}

/// A new file; or that of the `first` process, to write behind what stands there.
fn open_file(path: &Path, first: bool) -> io::Result<File> {
    if first {
        return File::create(path);
    }
    File::options().append(true).create(true).open(path)
}

impl Reporter for Log {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let now = Instant::now();
        self.clock = now.checked_sub(briefing.already).unwrap_or(now);
        self.open_threads(briefing.workers)?;
        if !self.first {
            return Ok(());
        }
        let tasks = plural(briefing.planned.len(), "task");
        let text = format!("run of {tasks} on {}", plural(briefing.workers, "worker"));
        self.write(briefing, &Entry::main(Level::Info, text))
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        match event {
            Event::Finished(Finished { kept: true, .. }) if !self.first => return Ok(()),
            Event::Known(_) => return Ok(()),
            _ => {}
        }
        let entry = self.entry(briefing, event);
        // There are more than at the start where tasks were added.
        self.open_threads(entry.worker.map_or(0, |worker| worker + 1))?;
        self.write(briefing, &entry)
    }

    fn flush(&mut self) -> io::Result<()> {
        let files = self.threads.iter_mut().chain([&mut self.main]);
        files.map(Batch::flush).fold(Ok(()), Result::and)
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        for error in &summary.errors {
            let error = error.to_string().replace('\n', "\n    ");
            self.write(briefing, &Entry::main(Level::Error, error))?;
        }
        self.write(briefing, &Entry::main(Level::Info, summary_line(summary)))?;
        self.flush()
    }
}

/// `2026-11-21T08:30:01.123Z`. A clock that stands outside of 1970 to 9999 shows the nearer end.
pub(super) fn timestamp(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stop;
    use crate::report::fixture::{
        End, added, attempt, briefing, failure, late, left, logged, observed, paused, play,
        progress, resumed, retrying, slow, started, tried, wrote,
    };
    use crate::task::Channel;

    #[test]
    fn each_worker_has_a_file_that_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        std::fs::write(directory.path().join("tdrun_thread_1.log"), "old").unwrap();
        let briefing = briefing(&["a", "b < a", "c"]);
        let events = [
            Event::HookStarted(Hook::Setup, LibraryId(0)),
            started(0, 0),
            End::failed(0, 1, failure("boom", Some(("a.rs", 4)))),
            End::blocked(1, 2, &[0]),
            started(2, 1),
            Event::Stopping(Stop::Signal(2)),
            End {
                worker: Some(1),
                ..End::passed(2, 3)
            }
            .event(),
            Event::HookFinished(Hook::Setup, LibraryId(0), Err(failure("late", None))),
        ];
        play(
            &mut Log::open_in(directory.path().into(), true).unwrap(),
            &briefing,
            &events,
        );
        assert_eq!(
            read("tdrun_thread_0.log"),
            "2026-11-21T09:01:01.133Z INFO [thread_0] a: started\n\
             2026-11-21T09:01:01.153Z ERROR [thread_0] a: failed, boom (a.rs:4) (0.020s)\n"
        );
        assert_eq!(
            read("tdrun_thread_1.log"),
            "2026-11-21T09:01:01.133Z INFO [thread_1] c: started\n\
             2026-11-21T09:01:01.153Z INFO [thread_1] c: passed (0.020s)\n"
        );
        let main = read("tdrun_main.log");
        let texts: Vec<&str> = main.lines().map(|line| &line[25..]).collect();
        assert_eq!(
            texts,
            [
                "INFO run of 3 tasks on 2 workers",
                "INFO setup: started",
                "INFO b: skipped: `a` did not pass",
                "WARN stopping: SIGINT; waiting for `c`, press Ctrl-C again to leave",
                "ERROR setup: failed, late",
                "INFO ==== 1 passed, 1 failed, 1 skipped in 2.31s ====",
            ]
        );
    }

    #[test]
    fn attempts_waiting_progress_and_added_tasks_have_entries() {
        let briefing = briefing(&["a", "b"]);
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open_in(directory.path().into(), true).unwrap();
        let failed = End {
            attempts: vec![attempt("no")],
            ..End::passed(1, 2)
        };
        let failed = End {
            outcome: Outcome::Failed,
            cause: Some(crate::event::Cause::Failure(failure("boom", None))),
            ..failed
        };
        for (event, file, level, expected) in [
            (
                retrying(0, 1, late()),
                Some(0),
                Level::Warn,
                "[thread_0] a: attempt 1 timed out: took longer than 200ms (0.200s), will be tried again",
            ),
            (
                tried(0, 0, 2),
                Some(0),
                Level::Info,
                "[thread_0] a: started, attempt 2",
            ),
            (
                progress(0, 2, 5, "copy\x1bing"),
                Some(0),
                Level::Debug,
                "[thread_0] a: 40% copy\\u{1b}ing",
            ),
            (
                paused(0, 0),
                Some(0),
                Level::Debug,
                "[thread_0] a: waits for other tasks",
            ),
            (
                resumed(0, 1),
                Some(1),
                Level::Debug,
                "[thread_1] a: goes on",
            ),
            (added(&briefing, "z"), None, Level::Info, "added: z"),
            (
                slow(0),
                Some(0),
                Level::Warn,
                "[thread_0] a: still running after 1m",
            ),
            (
                End::flaky(0, 1, vec![late(), attempt("no")]),
                Some(0),
                Level::Info,
                "[thread_0] a: passed on attempt 3 (0.020s)",
            ),
            (
                failed.event(),
                Some(0),
                Level::Error,
                "[thread_0] b: failed on attempt 2, boom (0.020s)",
            ),
        ] {
            let entry = log.entry(&briefing, &event);
            assert_eq!((entry.worker, entry.level), (file, level));
            assert_eq!(entry.text, expected);
        }
    }

    #[test]
    fn what_is_seen_of_a_process_stands_in_the_file_of_its_worker() {
        let briefing = briefing(&["a"]);
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open_in(directory.path().into(), true).unwrap();
        let line = |channel| observed(0, 1, Observed::Line(channel, b"o\x1bne"[..].into()));
        for (event, file, level, expected) in [
            (
                line(Channel::Stdout),
                1,
                Level::Info,
                "[thread_1] a | o\\u{1b}ne",
            ),
            (
                line(Channel::Stderr),
                1,
                Level::Info,
                "[thread_1] a ! o\\u{1b}ne",
            ),
            (
                wrote(0, "one\ntwo\n", "\x1bthree"),
                0,
                Level::Info,
                "[thread_0] a: wrote\nstdout:\n    one\n    two\nstderr:\n    \\u{1b}three",
            ),
            (
                left(0, 7, "sleep"),
                0,
                Level::Warn,
                "[thread_0] a: leaky, left running: 7 sleep",
            ),
            (
                observed(0, 1, Observed::Stopped(21)),
                1,
                Level::Warn,
                "[thread_1] a: is stopped by SIGTTIN",
            ),
            (
                observed(0, 1, Observed::Continued),
                1,
                Level::Info,
                "[thread_1] a: goes on",
            ),
        ] {
            let entry = log.entry(&briefing, &event);
            assert_eq!((entry.worker, entry.level), (Some(file), level));
            assert_eq!(entry.text, expected);
        }
        let hook = Event::Observed {
            source: Source::Hook(Hook::Setup, LibraryId(0)),
            observed: Observed::Continued,
        };
        let entry = log.entry(&briefing, &hook);
        assert_eq!((entry.worker, &*entry.text), (None, "setup: goes on"));
    }

    #[test]
    fn records_of_all_levels_stand_in_the_file_of_their_worker() {
        let briefing = briefing(&["a"]);
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open_in(directory.path().into(), true).unwrap();
        let entry = log.entry(&briefing, &logged(0, 1, Level::Trace, "one\n\x1btwo"));
        assert_eq!((entry.worker, entry.level), (Some(1), Level::Trace));
        assert_eq!(
            entry.text,
            "[thread_1] a: lib::part: one\n    \\u{1b}two (part.rs:3)"
        );
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_before_the_run() {
        let error = Log::open_in("/no/such".into(), true).err().unwrap();
        assert_eq!(error.id(), "io.output");
    }

    #[test]
    fn no_clock_is_too_wrong() {
        let before = UNIX_EPOCH.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(timestamp(before), "1970-01-01T00:00:00.000Z");
        let beyond = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(timestamp(beyond), "9999-12-31T23:59:59.000Z");
    }
}
