//! `--junit=FILE`: the run as `JUnit` XML, in the dialect that Jenkins, GitLab and GitHub read; written whole at the end.
//!
//! Knows the dialect (quick-junit writes it). A suite is a library, its cases stand in declaration order. Failed tasks are
//! failures; timed out, crashed and cancelled ones are errors; skipped, blocked and not-run ones are skipped, with the cause. The
//! attempts before the last one are `flakyFailure` or `flakyError` elements of a task that passed after all, and `rerunFailure`
//! or `rerunError` ones of a task that did not. Where flaky tasks fail the run, they are failures. A hook that did not pass is an
//! error of a case of its own. What a task logged stands in `system-out`, what its process wrote below it and in `system-err`;
//! that of earlier attempts with those. A task that left processes running has a property `leaky` that names them. Control
//! characters, which XML cannot hold, are escaped as on a terminal.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use quick_junit::{
    FlakyOrRerun, NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::{Interest, Reporter};
use crate::error::{escape, escape_lines};
use crate::event::{Attempt, Briefing, Cause, Event, Finished, Hook, Source, Summary};
use crate::report::cause::{cause_line, chain_text, first_line, shortened, stop_reason};
use crate::report::log::timestamp;
use crate::report::output::Output;
use crate::report::text::{clip, name};
use crate::report::wrote::{left_line, whole};
use crate::task::{self, Channel, Failure, LibraryId, Observed, Outcome, Record, TaskId};

/// What a task says beyond this many bytes is left out, and that is said.
const SAID_LIMIT: usize = 64 << 10;

/// So many bytes of what processes wrote are kept until the end.
const KEPT: usize = 64 << 20;
/// Stands for what is not.
const NOT_KEPT: &str = "[… not kept …]";

/// The reporter.
pub(super) struct Junit {
    output: Option<Output>,
    ended: Vec<Ended>,
    said: HashMap<TaskId, String>,
    wrote: HashMap<TaskId, Wrote>,
    /// How much of that is kept.
    kept: usize,
    hooks: Vec<(Hook, LibraryId, Failure, Texts)>,
    /// What the hook wrote that runs.
    hook_wrote: Texts,
}

/// What is kept of a task: a run of a million of them must fit in memory.
struct Ended {
    task: TaskId,
    outcome: Outcome,
    began: Duration,
    took: Duration,
    cause: Option<Cause>,
    /// Those before the last one.
    attempts: Vec<Attempt>,
}

/// What was seen of the processes of a task.
#[derive(Default)]
struct Wrote {
    /// On standard output and standard error, by the attempt that has no outcome yet, or has the last one.
    last: Texts,
    /// By the attempts before.
    earlier: Vec<Texts>,
    left: Option<String>,
}

/// Standard output and standard error, as XML can hold them.
type Texts = [String; 2];

impl Junit {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output: Some(output),
            ended: Vec::new(),
            said: HashMap::new(),
            wrote: HashMap::new(),
            kept: 0,
            hooks: Vec::new(),
            hook_wrote: Texts::default(),
        }
    }

    fn note(&mut self, finished: &Finished) {
        self.ended.push(Ended {
            task: finished.task,
            outcome: finished.outcome,
            began: finished.at.saturating_sub(finished.took),
            took: finished.took,
            cause: finished.cause.as_deref().map(shortened),
            attempts: finished.attempts.iter().map(kept).collect(),
        });
    }

    fn hear(&mut self, task: TaskId, record: &Record) {
        let said = self.said.entry(task).or_default();
        if said.len() > SAID_LIMIT {
            return;
        }
        let message = clip(record.message.trim_end(), SAID_LIMIT);
        let _ = writeln!(said, "{} {message}", record.level.as_str());
        if said.len() > SAID_LIMIT {
            *said = clip(said, SAID_LIMIT).into_owned();
            said.push_str(" or more\n");
        }
    }

    fn see(&mut self, task: TaskId, observed: &Observed) {
        match observed {
            Observed::Output(output) => {
                let last = self.texts(output);
                self.wrote.entry(task).or_default().last = last;
            }
            Observed::Line(channel, line) => {
                let line = self.keep(&String::from_utf8_lossy(line));
                let Wrote { last, .. } = self.wrote.entry(task).or_default();
                let text = match channel {
                    Channel::Stdout => &mut last[0],
                    Channel::Stderr => &mut last[1],
                };
                if line != NOT_KEPT || !text.ends_with("…]\n") {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            Observed::Left(left) => {
                self.wrote.entry(task).or_default().left = Some(left_line(left));
            }
            Observed::Stopped(_) | Observed::Continued => {}
        }
    }

    fn texts(&mut self, output: &task::Output) -> Texts {
        [&output.stdout, &output.stderr].map(|written| self.keep(&whole(written)))
    }

    /// The text as it is kept, or that it is not.
    fn keep(&mut self, wrote: &str) -> String {
        if self.kept >= KEPT && !wrote.is_empty() {
            return NOT_KEPT.to_owned();
        }
        let text = text(wrote);
        self.kept += text.len();
        text
    }

    /// The attempt has ended, and there will be another one.
    fn tried(&mut self, task: TaskId, number: u32) {
        let Some(wrote) = self.wrote.get_mut(&task) else {
            return;
        };
        let last = std::mem::take(&mut wrote.last);
        // Those before may have written nothing.
        wrote.earlier.resize(number as usize - 1, Texts::default());
        wrote.earlier.push(last);
    }

    fn report(&mut self, briefing: &Briefing, summary: &Summary) -> Report {
        let library = |task: TaskId| briefing.catalog.task(task).library().index();
        self.ended
            .sort_by_key(|ended| (library(ended.task), ended.task));
        let mut report = Report::new("tdrun");
        report.timestamp = timestamp(briefing.started).parse().ok();
        report.set_time(summary.took);
        let mut ended = self.ended.iter().peekable();
        for (index, library) in (0..).zip(&briefing.catalog.libraries) {
            let id = LibraryId(index);
            let mut suite = TestSuite::new(text(&library.name));
            let mut names = Names::default();
            let mut took = Duration::ZERO;
            while let Some(ended) =
                ended.next_if(|ended| briefing.catalog.task(ended.task).library() == id)
            {
                took += ended.took;
                let status = case_status(briefing, ended, summary.flaky_fails);
                suite.add_test_case(self.case(briefing, ended, status, &mut names));
            }
            let failed = self.hooks.iter().filter(|(_, library, ..)| *library == id);
            suite.add_test_cases(failed.map(|(hook, _, failure, wrote)| {
                hook_case(
                    &names.distinct(hook.as_str()),
                    &library.name,
                    failure,
                    wrote,
                )
            }));
            if !suite.test_cases.is_empty() {
                suite.timestamp = report.timestamp;
                suite.set_time(took);
                report.add_test_suite(suite);
            }
        }
        report
    }

    fn case(
        &self,
        briefing: &Briefing,
        ended: &Ended,
        mut status: TestCaseStatus,
        names: &mut Names,
    ) -> TestCase {
        let task = briefing.catalog.task(ended.task);
        let nothing = Wrote::default();
        let wrote = self.wrote.get(&ended.task).unwrap_or(&nothing);
        let attempts = ended.attempts.iter().enumerate();
        status.add_reruns(
            attempts.map(|(index, attempt)| rerun(briefing, attempt, wrote.earlier.get(index))),
        );
        let mut case = TestCase::new(names.distinct(task.name()), status);
        case.set_classname(text(&briefing.catalog.library(ended.task).name));
        case.set_time(ended.took);
        let began = briefing.started.checked_add(ended.began);
        case.timestamp = began.and_then(|began| timestamp(began).parse().ok());
        if let Some(place) = task.place() {
            case.extra.insert("file".into(), text(&place.file).into());
            if place.line > 0 {
                case.extra
                    .insert("line".into(), place.line.to_string().into());
            }
        }
        let said = self.said.get(&ended.task).map(|said| text(said));
        let [stdout, stderr] = &wrote.last;
        if said.is_some() || !stdout.is_empty() {
            case.set_system_out(said.unwrap_or_default() + stdout);
        }
        if !stderr.is_empty() {
            case.set_system_err(stderr.as_str());
        }
        if let Some(left) = &wrote.left {
            case.add_property(Property::new("leaky", text(left)));
        }
        case
    }
}

impl Reporter for Junit {
    fn wants(&self) -> Interest {
        Interest::Finished
    }

    fn keeps(&self) -> bool {
        true
    }

    fn event(&mut self, _: &Briefing, event: &Event) -> io::Result<()> {
        let event = match event {
            Event::Known(event) => event,
            event => event,
        };
        match event {
            Event::Finished(finished) => self.note(finished),
            Event::Logged {
                source: Source::Task(task, _),
                record,
            } => self.hear(*task, record),
            Event::Observed {
                source: Source::Task(task, _),
                observed,
            } => self.see(*task, observed),
            Event::Retrying { task, number, .. } => self.tried(*task, *number),
            Event::Observed {
                source: Source::Hook(..),
                observed: Observed::Output(output),
            } => self.hook_wrote = self.texts(output),
            Event::HookCancelled(..) => self.hook_wrote = Texts::default(),
            Event::HookFinished(hook, library, ending) => {
                let wrote = std::mem::take(&mut self.hook_wrote);
                if let Err(failure) = ending {
                    self.hooks.push((*hook, *library, failure.clone(), wrote));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()> {
        let report = self.report(briefing, summary);
        match self.output.take() {
            Some(output) => output.write(|out| report.serialize(out).map_err(io::Error::other)),
            None => Ok(()),
        }
    }
}

fn case_status(briefing: &Briefing, ended: &Ended, flaky_fails: bool) -> TestCaseStatus {
    let kind = match ended.outcome {
        Outcome::Passed if flaky_fails && !ended.attempts.is_empty() => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let number = ended.attempts.len() + 1;
            status.set_type("flaky");
            status.set_message(format!("passed on attempt {number}, which fails the run"));
            status.set_rerun_kind(FlakyOrRerun::Flaky);
            return status;
        }
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Skipped | Outcome::NotRun => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text(&skip_message(briefing, ended)));
            return status;
        }
        outcome => kind(outcome),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(ended.outcome.as_str());
    let (message, description) = match &ended.cause {
        Some(cause) => words(briefing, cause),
        None => (String::new(), None),
    };
    status.set_message(message);
    if let Some(description) = description {
        status.set_description(description);
    }
    status
}

fn kind(outcome: Outcome) -> NonSuccessKind {
    match outcome {
        Outcome::Failed => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    }
}

/// An attempt as it is kept to the end.
fn kept(attempt: &Attempt) -> Attempt {
    Attempt {
        outcome: attempt.outcome,
        cause: shortened(&attempt.cause),
        took: attempt.took,
    }
}

fn rerun(briefing: &Briefing, attempt: &Attempt, wrote: Option<&Texts>) -> TestRerun {
    let mut rerun = TestRerun::new(kind(attempt.outcome));
    let (message, description) = words(briefing, &attempt.cause);
    rerun.set_type(attempt.outcome.as_str());
    rerun.set_time(attempt.took);
    rerun.set_message(message);
    if let Some(description) = description {
        rerun.set_description(description);
    }
    if let Some([stdout, stderr]) = wrote {
        if !stdout.is_empty() {
            rerun.set_system_out(stdout.as_str());
        }
        if !stderr.is_empty() {
            rerun.set_system_err(stderr.as_str());
        }
    }
    rerun
}

/// A cause in a line, and what the task said in full.
fn words(briefing: &Briefing, cause: &Cause) -> (String, Option<String>) {
    match cause {
        Cause::Failure(failure) => (text(&first_line(&failure.message)), Some(full(failure))),
        Cause::TimedOut {
            failure: Some(failure),
            ..
        } => (text(&cause_line(briefing, cause)), Some(full(failure))),
        cause => (text(&cause_line(briefing, cause)), None),
    }
}

/// All that a failure says, and where.
fn full(failure: &Failure) -> String {
    let mut full = text(&failure.message);
    if let Some(place) = &failure.place {
        let _ = write!(full, "\nat {}", text(&place.to_string()));
    }
    full
}

fn skip_message(briefing: &Briefing, ended: &Ended) -> String {
    match &ended.cause {
        Some(Cause::Skip(reason)) if reason.trim().is_empty() => "skipped itself".to_owned(),
        Some(Cause::Skip(reason)) => first_line(reason),
        Some(Cause::Blocked(chain)) => {
            let root = chain.last().map(|&root| name(briefing, root));
            let chain = chain_text(briefing, chain);
            format!("blocked by `{}`: {chain}", root.unwrap_or_default())
        }
        Some(Cause::Stopped(stop)) => format!("not run: {}", stop_reason(*stop)),
        Some(Cause::Failure(failure)) => first_line(&failure.message),
        Some(cause @ Cause::Locked { .. }) => format!("not run: {}", cause_line(briefing, cause)),
        Some(Cause::Failures(task)) => {
            let task = name(briefing, *task);
            format!("runs only if nothing failed, and `{task}` did not pass")
        }
        Some(cause) => cause_line(briefing, cause),
        None => ended.outcome.to_string(),
    }
}

fn hook_case(name: &str, library: &str, failure: &Failure, [out, err]: &Texts) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("failed");
    status.set_message(text(&first_line(&failure.message)));
    status.set_description(full(failure));
    let mut case = TestCase::new(name, status);
    case.set_classname(text(library));
    if !out.is_empty() {
        case.set_system_out(out.as_str());
    }
    if !err.is_empty() {
        case.set_system_err(err.as_str());
    }
    case
}

/// Text as XML can hold it. Tabs become spaces because quick-junit would drop them.
fn text(text: &str) -> String {
    let escaped = escape_lines(text);
    escaped
        .replace('\t', "    ")
        .replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// The names of the cases of a suite so far, as they are shown: distinct as long as the tasks' names are.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn distinct(&mut self, name: &str) -> String {
        let shown = text(&escape(name));
        let mut distinct = shown.clone();
        let mut count = 1;
        while !self.0.insert(distinct.clone()) {
            count += 1;
            distinct = format!("{shown} ({count})");
        }
        distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stop;
    use crate::report::fixture::{
        End, Finish, added, attempt, briefing, briefing_of, crash, failure, late, left, logged,
        observed, output, retrying, wrote,
    };
    use crate::report::output::Target;
    use crate::stream::Stream;
    use crate::task::Level;
    use quick_xml::events::Event as Xml;

    fn open(path: &std::path::Path) -> Output {
        let (out, err) = (Stream::stdout(), Stream::stderr());
        Target::find(path).unwrap().open_whole(&out, &err).unwrap()
    }

    fn xml(briefing: &Briefing, events: &[Event]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.xml");
        let output = open(&path);
        crate::report::fixture::play(&mut Junit::new(output), briefing, events);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_run_is_a_suite_for_each_library_with_cases_in_declaration_order() {
        let briefing = briefing_of(&[("one", &["a", "b < a", "c < b"]), ("two", &["d", "e", "f"])]);
        let cancelled = End {
            outcome: Outcome::Cancelled,
            cause: Some(Cause::Stopped(Stop::Signal(2))),
            ..End::passed(3, 1)
        };
        let skipped = End {
            outcome: Outcome::Skipped,
            cause: Some(Cause::Skip("no net".into())),
            ..End::passed(4, 1)
        };
        let events = [
            cancelled.event(),
            logged(0, 0, Level::Info, "hello <world>"),
            End::blocked(2, 3, &[1]),
            End::failed(1, 2, failure("boom & \"bust\"\nmore", Some(("b.rs", 7)))),
            End::passed(0, 1).event(),
            skipped.event(),
            End::not_run(5, 6, Stop::Signal(2)),
            Event::HookFinished(Hook::Teardown, LibraryId(0), Err(failure("left", None))),
        ];
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="tdrun" tests="7" skipped="3" failures="1" errors="2" timestamp="2026-11-21T09:01:01.123+00:00" time="2.314">
    <testsuite name="one" tests="4" skipped="1" errors="1" failures="1" timestamp="2026-11-21T09:01:01.123+00:00" time="0.040">
        <testcase name="a" classname="one" timestamp="2026-11-21T09:01:01.133+00:00" time="0.020" file="lib.rs" line="1">
            <system-out>INFO hello &lt;world&gt;
</system-out>
        </testcase>
        <testcase name="b" classname="one" timestamp="2026-11-21T09:01:01.133+00:00" time="0.020" file="lib.rs" line="2">
            <failure message="boom &amp; &quot;bust&quot;" type="failed">boom &amp; &quot;bust&quot;
more
at b.rs:7</failure>
        </testcase>
        <testcase name="c" classname="one" timestamp="2026-11-21T09:01:01.153+00:00" time="0.000" file="lib.rs" line="3">
            <skipped message="blocked by `b`: `b` did not pass"/>
        </testcase>
        <testcase name="teardown" classname="one">
            <error message="left" type="failed">left</error>
        </testcase>
    </testsuite>
    <testsuite name="two" tests="3" skipped="2" errors="1" failures="0" timestamp="2026-11-21T09:01:01.123+00:00" time="0.040">
        <testcase name="d" classname="two" timestamp="2026-11-21T09:01:01.133+00:00" time="0.020" file="lib.rs" line="1">
            <error message="stopped by SIGINT" type="cancelled"/>
        </testcase>
        <testcase name="e" classname="two" timestamp="2026-11-21T09:01:01.133+00:00" time="0.020" file="lib.rs" line="2">
            <skipped message="no net"/>
        </testcase>
        <testcase name="f" classname="two" timestamp="2026-11-21T09:01:01.153+00:00" time="0.000" file="lib.rs" line="3">
            <skipped message="not run: stopped by SIGINT"/>
        </testcase>
    </testsuite>
</testsuites>
"#;
        assert_eq!(xml(&briefing, &events), expected);
    }

    #[test]
    fn attempts_timeouts_and_added_tasks_are_cases() {
        let briefing = briefing_of(&[("one", &["a", "b"]), ("two", &["c"])]);
        let fails_late = End {
            attempts: vec![attempt("one\ntwo"), late()],
            outcome: Outcome::Failed,
            cause: Some(Cause::Failure(failure("boom", Some(("b.rs", 7))))),
            ..End::passed(1, 2)
        };
        let timed_out = End {
            outcome: Outcome::TimedOut,
            cause: Some(Cause::TimedOut {
                limit: Duration::from_secs(1),
                still_running: false,
                failure: Some(failure("asked\nto stop", None)),
            }),
            ..End::passed(2, 3)
        };
        added(&briefing, "z");
        let locked = End {
            outcome: Outcome::NotRun,
            worker: None,
            cause: Some(Cause::Locked {
                lock: "db".into(),
                holder: TaskId::new(2),
            }),
            ..End::passed(3, 4)
        };
        let events = [
            End::flaky(0, 1, vec![late(), attempt("no route")]),
            fails_late.event(),
            timed_out.event(),
            locked.event(),
        ];
        let xml = xml(&briefing, &events);
        let cases: Vec<&str> = xml.split_inclusive("</testcase>\n").collect();
        let without_head = |case: &str| case[case.find("<testcase").unwrap()..].to_owned();
        let head = |name: &str, library: &str, line: u32| {
            format!(
                "<testcase name=\"{name}\" classname=\"{library}\" timestamp=\"2026-11-21T09:01:01.133+00:00\" time=\"0.020\" file=\"lib.rs\" line=\"{line}\">"
            )
        };
        assert_eq!(
            without_head(cases[0]),
            head("a", "one", 1)
                + r#"
            <flakyError time="0.200" message="took longer than 200ms" type="timed out">
            </flakyError>
            <flakyFailure time="0.005" message="no route" type="failed">no route</flakyFailure>
        </testcase>
"#
        );
        assert_eq!(
            without_head(cases[1]),
            head("b", "one", 2)
                + r#"
            <failure message="boom" type="failed">boom
at b.rs:7</failure>
            <rerunFailure time="0.005" message="one" type="failed">one
two</rerunFailure>
            <rerunError time="0.200" message="took longer than 200ms" type="timed out">
            </rerunError>
        </testcase>
"#
        );
        assert_eq!(
            without_head(cases[2]),
            r#"<testcase name="z" classname="one" timestamp="2026-11-21T09:01:01.153+00:00" time="0.000" file="lib.rs" line="4">
            <skipped message="not run: the lock `db` is held by `c`, which timed out and is still running"/>
        </testcase>
"#
        );
        assert_eq!(
            without_head(cases[3]),
            head("c", "two", 1)
                + r#"
            <error message="took longer than 1s; it ended with: asked" type="timed out">asked
to stop</error>
        </testcase>
"#
        );
    }

    #[test]
    fn what_processes_wrote_stands_with_its_attempt() {
        let briefing = briefing(&["a", "b", "c"]);
        let line =
            |channel, line: &str| observed(2, 1, Observed::Line(channel, line.as_bytes().into()));
        let crashed = End {
            outcome: Outcome::Crashed,
            cause: Some(Cause::Failure(failure("killed by SIGSEGV", None))),
            attempts: vec![
                attempt("no"),
                crash("exited with status 0 before finishing"),
            ],
            ..End::passed(0, 1)
        };
        let events = [
            retrying(0, 1, attempt("no")),
            wrote(0, "second <out>\n", "second\terr\x1b"),
            retrying(0, 2, crash("exited with status 0 before finishing")),
            logged(0, 0, Level::Info, "hello"),
            wrote(0, "last\n", ""),
            crashed.event(),
            wrote(1, "", "warned"),
            left(1, 7, "sleep"),
            End::passed(1, 2).event(),
            line(Channel::Stdout, "one"),
            line(Channel::Stdout, "two"),
            End::passed(2, 3).event(),
            Event::Observed {
                source: Source::Hook(Hook::Teardown, LibraryId(0)),
                observed: Observed::Output(output("tidied", "not all").into()),
            },
            Event::HookFinished(Hook::Teardown, LibraryId(0), Err(failure("no", None))),
        ];
        let xml = xml(&briefing, &events);
        let cases: Vec<&str> = xml.split("<testcase ").skip(1).collect();
        let below = |case: &str| {
            let (_, below) = case.split_once(">\n").unwrap();
            below[..below.find("</testcase>").unwrap()]
                .trim_end()
                .to_owned()
        };
        assert_eq!(
            below(cases[0]),
            r#"            <error message="killed by SIGSEGV" type="crashed">killed by SIGSEGV</error>
            <rerunFailure time="0.005" message="no" type="failed">no</rerunFailure>
            <rerunError time="0.005" message="exited with status 0 before finishing" type="crashed">exited with status 0 before finishing
                <system-out>second &lt;out&gt;
</system-out>
                <system-err>second    err\u{1b}</system-err>
            </rerunError>
            <system-out>INFO hello
last
</system-out>"#
        );
        assert_eq!(
            below(cases[1]),
            r#"            <properties>
                <property name="leaky" value="left running: 7 sleep"/>
            </properties>
            <system-err>warned</system-err>"#
        );
        assert_eq!(
            below(cases[2]),
            "            <system-out>one\ntwo\n</system-out>"
        );
        assert_eq!(
            below(cases[3]),
            r#"            <error message="no" type="failed">no</error>
            <system-out>tidied</system-out>
            <system-err>not all</system-err>"#
        );
    }

    #[test]
    fn where_flaky_tasks_fail_the_run_they_are_failures() {
        let briefing = briefing(&["a", "b"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.xml");
        let mut junit = Junit::new(open(&path));
        let events = [
            End::flaky(0, 1, vec![attempt("no")]),
            End::passed(1, 2).event(),
        ];
        for event in &events {
            junit.event(&briefing, event).unwrap();
        }
        let finish = Finish {
            flaky_fails: true,
            ..Finish::after(&events)
        };
        junit.finish(&briefing, &finish.summary()).unwrap();
        let xml = std::fs::read_to_string(path).unwrap();
        let expected = r#"
            <failure message="passed on attempt 2, which fails the run" type="flaky"/>
            <flakyFailure time="0.005" message="no" type="failed">no</flakyFailure>
"#;
        assert!(xml.contains(expected), "{xml}");
        assert_eq!(xml.matches("<failure").count(), 1);
    }

    /// All texts of a document, unescaped; fails where it is no XML.
    fn texts(xml: &str) -> Vec<String> {
        let forbidden = |c| matches!(c, '\0'..='\x08' | '\x0b'..='\x1f' | '\u{fffe}' | '\u{ffff}');
        assert_eq!(xml.find(forbidden), None);
        let mut reader = quick_xml::Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let mut found = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Xml::Start(tag) | Xml::Empty(tag) => {
                    for attribute in tag.attributes().with_checks(true) {
                        let value = attribute.unwrap().value;
                        let value = std::str::from_utf8(&value).unwrap().to_owned();
                        found.push(quick_xml::escape::unescape(&value).unwrap().into_owned());
                    }
                }
                Xml::Eof => return found,
                _ => {}
            }
        }
    }

    #[test]
    fn every_character_is_valid_xml() {
        let all: String = (0..=0xffff).filter_map(char::from_u32).collect();
        let briefing = briefing(&[&all]);
        let events = [
            logged(0, 0, Level::Info, &all),
            End::failed(0, 1, failure(&all, Some((&all, 1)))),
        ];
        let xml = xml(&briefing, &events);
        let texts = texts(&xml);
        assert!(texts.iter().any(|text| text.starts_with("\\u{0}\\u{1}")));
        assert!(xml.contains("\\u{1b}"));
    }

    #[test]
    fn names_that_look_alike_stay_distinct() {
        let briefing = briefing(&["a\u{1}", "a\\u{1}", "setup"]);
        let mut events: Vec<_> = (0..3).map(|task| End::passed(task, 1).event()).collect();
        let hook = Event::HookFinished(Hook::Setup, LibraryId(0), Err(failure("x", None)));
        events.push(hook);
        let texts = texts(&xml(&briefing, &events));
        for name in ["a\\u{1}", "a\\u{1} (2)", "setup", "setup (2)"] {
            assert_eq!(
                texts.iter().filter(|text| *text == name).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn endless_text_is_bounded() {
        let briefing = briefing(&["a"]);
        let long = "x".repeat(1 << 20);
        let mut events: Vec<_> = (0..9).map(|_| logged(0, 0, Level::Info, &long)).collect();
        events.push(End::failed(0, 1, failure(&long, None)));
        let length = xml(&briefing, &events).len();
        assert!(length < 4 * SAID_LIMIT, "{length}");
    }

    #[test]
    fn a_report_that_cannot_be_written_is_an_error() {
        let output = open("/dev/full".as_ref());
        let summary = Finish::default().summary();
        Junit::new(output)
            .finish(&briefing(&[]), &summary)
            .unwrap_err();
    }
}
