//! Reporters: who listens to a run. One small file each; all are called on one thread, in the order of the events.
//!
//! Knows which of them the user asked for, and what became of their outputs; not how a run comes about.

mod board;
mod cause;
mod events;
#[cfg(test)]
mod fixture;
mod junit;
mod lines;
mod live;
mod log;
mod output;
mod progress;
mod recap;
mod rerun;
mod text;
mod viewer;
mod wrote;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use cause::{cause_line, signal_name};
pub use text::summary_line;

use crate::error::{Error, Result};
use crate::event::{Briefing, Event, Moment, Summary};
use crate::report::lines::{Console, Detail, Lines, Teller};
use crate::report::live::{Live, Picture};
use crate::report::output::Target;
use crate::report::text::Paint;
use crate::stream::{Batch, ColorChoice, Stream};
use crate::task::Level;

/// What a reporter has to hear of the tasks of a run. More is greater. Whatever else happens is always told.
///
/// Who does not hear starts is told, right before [`Event::Stopping`], which tasks run then: each as [`Event::Started`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// The ends that leave something to say: all but those of tasks that passed at once and returned nothing.
    Failures,
    /// Every end.
    Finished,
    /// Every start and every end.
    All,
}

/// Listens to a run. An error means that its output could not be written; it is then not called again, and the run goes on.
pub trait Reporter {
    /// The run is about to begin; nothing has happened yet.
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let _ = briefing;
        Ok(())
    }

    /// What it has to hear; asked once, before the run. It may be told more.
    fn wants(&self) -> Interest {
        Interest::All
    }

    /// What tasks say, and what their processes write, goes into what it writes at the end, whatever they come to.
    fn keeps(&self) -> bool {
        false
    }

    /// Something happened.
    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()>;

    /// What people or programs are to read has to be written now. Called when nothing more has happened, and every so often while
    /// much does; in between, lines may be gathered and written together.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called every so often, whatever happens, for displays; see [`Reporter::tick_every`]. The moment knows more than was
    /// told: all tasks that run and all that have passed, whoever wants to hear of them.
    fn tick(&mut self, briefing: &Briefing, now: &Moment) -> io::Result<()> {
        let _ = (briefing, now);
        Ok(())
    }

    /// tdrun has to tell people something while the run goes on: whole lines, escaped. Heard by the display only.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }

    /// How often [`Reporter::tick`] wants to be called; never by default, so that an idle run sleeps.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// The run is over. What is written now is all that will ever be written.
    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()>;
}

/// What the user wants to see of a run.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What people watch.
    pub display: Display,
    /// Lines for everything; the live displays leave no room for that.
    pub verbose: bool,
    /// Lines for what did not pass only.
    pub quiet: bool,
    /// Whether to write colours.
    pub color: ColorChoice,
    /// Whose output to show, of the tasks that run in processes of their own.
    pub output: ShowOutput,
    /// Log files in the current directory.
    pub log: bool,
    /// A `JUnit` report in this file.
    pub junit: Option<PathBuf>,
    /// The events as JSON Lines in this file; `-` is standard output, and the summary line then goes to standard error.
    pub events: Option<PathBuf>,
}

impl View {
    /// The most verbose level of log records that anybody will see; none where nobody sees any.
    pub fn level(&self) -> Option<Level> {
        if self.verbose || self.log || self.events.is_some() {
            Some(Level::Trace)
        } else if self.quiet && self.junit.is_none() {
            None
        } else {
            Some(Level::Info)
        }
    }
}

/// Whose output people are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowOutput {
    /// That of tasks that did not pass, when they have ended.
    #[default]
    Failed,
    /// Everybody's, when they have ended.
    All,
    /// Nobody's.
    Never,
    /// Everybody's as it comes, a line at a time, with the name of the task before it.
    Live,
}

/// What people watch while a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Display {
    /// A line for each thing that happens.
    #[default]
    Lines,
    /// A progress bar. Where there is no terminal to draw on: lines.
    Progress,
    /// A line for each worker, drawn again and again. Where there is no terminal to draw on: lines.
    Viewer,
}

/// All who listen to a run. One whose output cannot be written is dropped, and people are told; the run goes on.
pub struct Reporters {
    /// Reports for machines; called first, so that the display can tell what became of them.
    reports: Vec<Named>,
    display: Option<Named>,
    err: Stream,
    errors: Vec<Error>,
}

/// A reporter and what it writes, for messages.
struct Named {
    what: String,
    reporter: Box<dyn Reporter + Send>,
}

impl Reporters {
    /// Opens all that was asked for, before anything runs. `out` and `err` are the standard streams. Unless this is the `first`
    /// process of a run, what others have written as it happened stays, and is gone on with.
    pub fn open(view: &View, out: &Stream, err: &Stream, first: bool) -> Result<Self> {
        let find = |path: &Option<PathBuf>| path.as_deref().map(Target::find).transpose();
        let (junit, events) = (find(&view.junit)?, find(&view.events)?);
        refuse_clash(junit.as_ref(), events.as_ref())?;
        let is_taken = [&junit, &events]
            .into_iter()
            .flatten()
            .any(Target::is_stdout);

        let mut reporters = Self {
            reports: Vec::new(),
            display: None,
            err: err.clone(),
            errors: Vec::new(),
        };
        if let Some(target) = junit {
            let output = target.open_whole(out, err)?;
            reporters.add(target.name(), Box::new(junit::Junit::new(output)));
        }
        if let Some(target) = events {
            let stream = target.open_live(out, err, first)?;
            reporters.add(target.name(), Box::new(events::Events::new(stream, first)));
        }
        if view.log {
            reporters.add("the log files".to_owned(), Box::new(log::Log::open(first)?));
        }
        let console = Console {
            err: Batch::new(err.clone()),
            err_paint: Paint(err.is_colored(view.color)),
            out: (!is_taken).then(|| out.clone()),
            out_paint: Paint(out.is_colored(view.color)),
        };
        reporters.display = Some(Named {
            what: "standard output".to_owned(),
            reporter: display(view, console, first),
        });
        Ok(reporters)
    }

    /// What could not be written so far. Each has been told to people already; the exit status is 74 when all else passed.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    fn add(&mut self, what: String, reporter: Box<dyn Reporter + Send>) {
        self.reports.push(Named { what, reporter });
    }

    /// Calls all reports, then the display, and drops those that fail.
    fn each(&mut self, mut call: impl FnMut(&mut dyn Reporter) -> io::Result<()>) {
        let mut index = 0;
        while let Some(report) = self.reports.get_mut(index) {
            match call(&mut *report.reporter) {
                Ok(()) => index += 1,
                Err(error) => {
                    let report = self.reports.remove(index);
                    self.tell(unwritten(&report.what, &error));
                }
            }
        }
        if let Some(display) = &mut self.display
            && let Err(error) = call(&mut *display.reporter)
        {
            let error = unwritten(&display.what, &error);
            self.display = None;
            self.tell(error);
        }
    }

    fn tell(&mut self, error: Error) {
        let text = format!("tdrun: {error}\n");
        match &mut self.display {
            Some(display) => display.reporter.notice(&text),
            // Where people cannot be told, there is nobody left to tell that.
            None => drop(self.err.print_now(&text)),
        }
        self.errors.push(error);
    }
}

impl Reporter for Reporters {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        self.each(|reporter| reporter.begin(briefing));
        Ok(())
    }

    fn wants(&self) -> Interest {
        let all = self.reports.iter().chain(&self.display);
        let all = all.map(|named| named.reporter.wants());
        all.max().unwrap_or(Interest::Failures)
    }

    fn keeps(&self) -> bool {
        let mut all = self.reports.iter().chain(&self.display);
        all.any(|named| named.reporter.keeps())
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        self.each(|reporter| reporter.event(briefing, event));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.each(|reporter| reporter.flush());
        Ok(())
    }

    fn tick(&mut self, briefing: &Briefing, now: &Moment) -> io::Result<()> {
        self.each(|reporter| reporter.tick(briefing, now));
        Ok(())
    }

    fn notice(&mut self, text: &str) {
        if let Some(display) = &mut self.display {
            display.reporter.notice(text);
        }
    }

    fn tick_every(&self) -> Option<Duration> {
        let all = self.reports.iter().chain(&self.display);
        all.filter_map(|named| named.reporter.tick_every()).min()
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        self.each(|reporter| reporter.finish(briefing, summary));
        Ok(())
    }
}

fn display(view: &View, console: Console, first: bool) -> Box<dyn Reporter + Send> {
    let is_live = view.display != Display::Lines && console.err.stream().is_live_terminal();
    let detail = match (view.quiet, view.verbose, is_live) {
        (true, ..) => Detail::Quiet,
        (false, _, true) => Detail::Live,
        (false, true, false) => Detail::Verbose,
        (false, false, false) => Detail::Normal,
    };
    match view.display {
        Display::Progress if is_live => {
            live((progress::Progress, first), detail, view.output, console)
        }
        Display::Viewer if is_live => live((viewer::Viewer, first), detail, view.output, console),
        _ => Box::new(Lines::new(detail, view.output, console)),
    }
}

fn live(
    (picture, first): (impl Picture + Send + 'static, bool),
    detail: Detail,
    output: ShowOutput,
    console: Console,
) -> Box<dyn Reporter + Send> {
    let teller = Teller::new(detail, output, console.err_paint);
    Box::new(Live::new(picture, teller, console, first))
}

fn unwritten(what: &str, error: &io::Error) -> Error {
    let reason = output::reason(error);
    Error::new("io.output", format!("cannot write {what}: {reason}"))
}

fn refuse_clash(junit: Option<&Target>, events: Option<&Target>) -> Result<()> {
    match (junit, events) {
        (Some(junit), Some(events)) if junit.is_same_as(events) => {
            let file = events.name();
            let message = format!("`--junit` and `--events` both write to {file}");
            Err(Error::new("usage.output", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{Captured, End, Finish, briefing, failure, play};

    fn opened(view: &View) -> (Captured, Captured, Result<Reporters>) {
        let (out, err) = (Captured::new(), Captured::new());
        let reporters = Reporters::open(view, &out.stream, &err.stream, true);
        (out, err, reporters)
    }

    #[test]
    fn without_a_terminal_every_display_is_the_same_plain_lines() {
        let briefing = briefing(&["a"]);
        let end = End {
            planned: 1,
            ..End::passed(0, 1)
        };
        let events = [end.event()];
        for display in [Display::Lines, Display::Progress, Display::Viewer] {
            let view = View {
                display,
                ..View::default()
            };
            let (out, err, reporters) = opened(&view);
            let mut reporters = reporters.unwrap();
            assert_eq!(reporters.tick_every(), None);
            play(&mut reporters, &briefing, &events);
            assert!(err.text().ends_with(" PASSED [100% ]\n"), "{}", err.text());
            assert_eq!(
                out.text(),
                "==== 1 passed, 0 failed, 0 skipped in 2.31s ====\n"
            );
            assert!(reporters.errors().is_empty());
        }
    }

    #[test]
    fn the_most_that_anybody_wants_is_wanted() {
        let quiet = View {
            quiet: true,
            ..View::default()
        };
        let file = || Some("/dev/null".into());
        for (view, expected) in [
            (quiet.clone(), Interest::Failures),
            (View::default(), Interest::Finished),
            (
                View {
                    junit: file(),
                    ..quiet.clone()
                },
                Interest::Finished,
            ),
            (
                View {
                    events: file(),
                    ..quiet
                },
                Interest::All,
            ),
            (
                View {
                    verbose: true,
                    junit: file(),
                    ..View::default()
                },
                Interest::All,
            ),
        ] {
            assert_eq!(opened(&view).2.unwrap().wants(), expected, "{view:?}");
        }
    }

    #[test]
    fn colours_are_written_where_they_are_asked_for() {
        let view = View {
            color: ColorChoice::Always,
            ..View::default()
        };
        let (out, err, reporters) = opened(&view);
        let events = [End::passed(0, 1).event()];
        play(&mut reporters.unwrap(), &briefing(&["a"]), &events);
        assert!(err.text().contains("\x1b[32mPASSED\x1b[0m"));
        assert_eq!(
            out.text(),
            "\x1b[94m==== 1 passed, 0 failed, 0 skipped in 2.31s ====\x1b[0m\n"
        );
    }

    #[test]
    fn events_on_standard_output_have_it_for_themselves() {
        let view = View {
            events: Some("-".into()),
            ..View::default()
        };
        let (out, err, reporters) = opened(&view);
        play(&mut reporters.unwrap(), &briefing(&[]), &[]);
        assert!(out.text().lines().all(|line| line.starts_with("{\"v\":1,")));
        assert_eq!(
            err.text(),
            "==== 0 passed, 0 failed, 0 skipped in 2.31s ====\n"
        );
    }

    #[test]
    fn a_bad_output_is_refused_before_anything_runs() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(directory.path().join(name));
        for (junit, events, id) in [
            (at("no/x"), None, "io.output"),
            (None, at("no/x"), "io.output"),
            (at(""), None, "usage.output"),
            (at("x"), at("./x"), "usage.output"),
            (Some("-".into()), Some("-".into()), "usage.output"),
        ] {
            let view = View {
                junit,
                events,
                ..View::default()
            };
            assert_eq!(opened(&view).2.err().unwrap().id(), id, "{view:?}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_report_that_cannot_be_written_is_dropped_told_once_and_remembered() {
        let view = View {
            events: Some("/dev/full".into()),
            junit: Some("/dev/full".into()),
            ..View::default()
        };
        let (out, err, reporters) = opened(&view);
        let mut reporters = reporters.unwrap();
        let events = [End::passed(0, 1).event(), End::passed(1, 2).event()];
        play(&mut reporters, &briefing(&["a", "b"]), &events);
        let line = "tdrun: error[io.output]: cannot write `/dev/full`: No space left on device\n";
        assert_eq!(err.text().matches(line).count(), 2, "{}", err.text());
        assert!(err.text().starts_with(line));
        assert_eq!(reporters.errors().len(), 2);
        assert!(out.text().starts_with("==== 2 passed"));
    }

    #[test]
    fn an_unwritable_summary_is_told_on_standard_error() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let err = Captured::new();
        let out = Stream::to(full.unwrap());
        let mut reporters = Reporters::open(&View::default(), &out, &err.stream, true).unwrap();
        let summary = Finish::default().summary();
        let failed = End::failed(0, 1, failure("boom", None));
        reporters.event(&briefing(&["a"]), &failed).unwrap();
        reporters.finish(&briefing(&["a"]), &summary).unwrap();
        assert!(err.text().ends_with(
            "tdrun: error[io.output]: cannot write standard output: No space left on device\n"
        ));
        assert_eq!(reporters.errors()[0].exit(), crate::exit::Exit::Output);
    }
}
