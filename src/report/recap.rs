//! What a run says at its end: failures once more, what they blocked, what did not run. Keeps only what that needs.
//!
//! Knows neither streams nor terminals; passed tasks leave at most a short result behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::error::escape;
use crate::event::{Briefing, Cause, Finished, Stop, Summary};
use crate::report::cause::{cause_line, earlier_lines, shortened, stop_reason, time_out_line};
use crate::report::rerun::{Reruns, Results};
use crate::report::text::{Paint, indented, name, plural, status};
use crate::task::{Failure, Outcome, TaskId};

/// How many tasks of a group are named.
const NAMED: usize = 10;

/// What happened so far, as far as the end will tell it.
#[derive(Default)]
pub(super) struct Recap {
    failures: Vec<Ended>,
    flaky: Vec<Ended>,
    blocked: BTreeMap<TaskId, Group>,
    not_run: Vec<(Option<Cause>, Group)>,
    leaky: Leaky,
    results: Results,
}

/// A task that did not pass, or not at once.
struct Ended {
    task: TaskId,
    outcome: Outcome,
    cause: Option<Cause>,
    /// How often it was tried.
    attempts: usize,
    /// What is told of the attempts before the last one.
    earlier: Vec<String>,
    /// What they wrote, ready to be shown.
    wrote: Vec<String>,
}

/// Tasks that left processes running: all of them, and of the first ones what.
#[derive(Default)]
struct Leaky {
    tasks: BTreeSet<TaskId>,
    first: BTreeMap<TaskId, String>,
}

impl Recap {
    /// A task left processes running, in words.
    pub(super) fn leaky(&mut self, task: TaskId, left: String) {
        let Leaky { tasks, first } = &mut self.leaky;
        tasks.insert(task);
        first.insert(task, left);
        if first.len() > NAMED {
            first.pop_last();
        }
    }

    /// A task has its outcome; with what its attempts wrote that did not pass, ready to be shown.
    pub(super) fn add(&mut self, briefing: &Briefing, finished: &Finished, wrote: Vec<String>) {
        if let Some(result) = &finished.result {
            self.results.keep(finished.task, result);
        }
        let cause = finished.cause.as_deref();
        let ended = || Ended {
            task: finished.task,
            outcome: finished.outcome,
            cause: cause.map(shortened),
            attempts: finished.attempts.len() + 1,
            earlier: earlier_lines(briefing, &finished.attempts),
            wrote,
        };
        match (finished.outcome, cause) {
            (Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled, _) => {
                self.failures.push(ended());
            }
            (Outcome::Passed, _) if finished.is_flaky() => self.flaky.push(ended()),
            (Outcome::Skipped, Some(Cause::Failures(root))) => {
                self.blocked.entry(*root).or_default().add(finished.task);
            }
            (Outcome::Skipped, Some(Cause::Blocked(chain))) => {
                let root = chain.last().copied().unwrap_or(finished.task);
                self.blocked.entry(root).or_default().add(finished.task);
            }
            (Outcome::NotRun, cause) => self.add_not_run(finished.task, cause),
            (Outcome::Passed | Outcome::Skipped, _) => {}
        }
    }

    fn add_not_run(&mut self, task: TaskId, cause: Option<&Cause>) {
        let mut known = self.not_run.iter();
        let known = known.position(|(known, _)| known.as_ref() == cause);
        let index = known.unwrap_or_else(|| {
            self.not_run.push((cause.cloned(), Group::default()));
            self.not_run.len() - 1
        });
        self.not_run[index].1.add(task);
    }

    /// The whole section, in declaration order; empty where all went well.
    pub(super) fn text(&mut self, briefing: &Briefing, summary: &Summary, paint: Paint) -> String {
        if summary.flaky_fails {
            self.failures.append(&mut self.flaky);
        }
        let mut text = String::new();
        self.write_failures(&mut text, briefing, paint);
        let mut rest = String::new();
        for (root, group) in &self.blocked {
            let names = group.names(briefing);
            let _ = writeln!(
                rest,
                "skipped because of `{}`: {names}",
                name(briefing, *root)
            );
        }
        for (cause, group) in &self.not_run {
            let reason = match cause {
                Some(cause) => cause_line(briefing, cause),
                None => "the run ended".to_owned(),
            };
            let _ = writeln!(rest, "not run, {reason}: {}", group.names(briefing));
        }
        if !self.flaky.is_empty() {
            let _ = writeln!(rest, "flaky: {}", self.flaky_names(briefing));
        }
        if !self.leaky.tasks.is_empty() {
            let _ = writeln!(rest, "leaky: {}", self.leaky_names(briefing));
        }
        // Whoever called `exit` is told of already.
        if summary.abandoned > 0 {
            let tasks = plural(summary.abandoned, "task");
            let _ = writeln!(rest, "{tasks} did not come back and may still be running");
        }
        if let Some(hint) = one_worker_hint(briefing, summary) {
            let _ = writeln!(rest, "{hint}");
        }
        for error in &summary.errors {
            let _ = writeln!(rest, "tdrun: {error}");
        }
        if !rest.is_empty() {
            text.push('\n');
        }
        text + &rest
    }

    fn write_failures(&mut self, text: &mut String, briefing: &Briefing, paint: Paint) {
        if self.failures.is_empty() {
            return;
        }
        self.failures.sort_by_key(|ended| ended.task);
        let reruns = Reruns::new(briefing, &self.results);
        text.push_str("\nfailures:\n");
        for ended in &self.failures {
            let word = paint.outcome(ended.outcome, status(ended.outcome));
            let _ = write!(text, "\n{} {word}", name(briefing, ended.task));
            if ended.attempts > 1 {
                let _ = write!(text, " on attempt {}", ended.attempts);
            }
            if ended.outcome == Outcome::Passed {
                text.push_str(", which fails the run (--flaky=fail)");
            }
            text.push('\n');
            write_cause(text, ended.cause.as_ref());
            for line in &ended.earlier {
                let _ = writeln!(text, "    {line}");
            }
            ended.wrote.iter().for_each(|wrote| text.push_str(wrote));
            let _ = writeln!(text, "    rerun: {}", reruns.command(ended.task));
        }
    }

    /// `a (passed on attempt 2), b (passed on attempt 3)`.
    fn flaky_names(&mut self, briefing: &Briefing) -> String {
        self.flaky.sort_by_key(|ended| ended.task);
        let named = self.flaky.iter().take(NAMED).map(|ended| {
            let name = name(briefing, ended.task);
            format!("{name} (passed on attempt {})", ended.attempts)
        });
        let named: Vec<_> = named.collect();
        and_more(&named.join(", "), self.flaky.len() - named.len())
    }

    /// `a (left running: 123 sleep)`.
    fn leaky_names(&self, briefing: &Briefing) -> String {
        let Leaky { tasks, first } = &self.leaky;
        let named = first.iter();
        let named = named.map(|(&task, left)| format!("{} ({left})", name(briefing, task)));
        let named: Vec<_> = named.collect();
        and_more(&named.join(", "), tasks.len() - named.len())
    }
}

/// `a, b`, or `a, b … and 97 more`.
fn and_more(named: &str, more: usize) -> String {
    match more {
        0 => named.to_owned(),
        more => format!("{named} … and {more} more"),
    }
}

/// A lone worker that had to be interrupted may have waited for a task that only it could run.
fn one_worker_hint(briefing: &Briefing, summary: &Summary) -> Option<&'static str> {
    let interrupted =
        summary.counts.get(Outcome::Cancelled) + summary.counts.get(Outcome::TimedOut);
    let waited = matches!(summary.stopped, Some(Stop::Signal(_) | Stop::Timeout(_)))
        && briefing.workers == 1
        && interrupted > 0
        && summary.counts.get(Outcome::NotRun) > 0;
    waited.then_some(
        "there was 1 worker: where a task waits for one that runs later, try --workers=2",
    )
}

/// Why it did not pass, in full; with what it said.
fn write_cause(text: &mut String, cause: Option<&Cause>) {
    match cause {
        Some(Cause::Failure(failure)) => write_failure(text, failure),
        Some(Cause::Stopped(stop)) => {
            let _ = writeln!(text, "    {}", stop_reason(*stop));
        }
        Some(Cause::TimedOut {
            limit,
            still_running,
            failure,
        }) => {
            let time = time_out_line(*limit, *still_running);
            let end = match failure {
                Some(_) if !still_running => "; it ended with:",
                _ => "",
            };
            let _ = writeln!(text, "    {time}{end}");
            if let Some(failure) = failure {
                write_failure(text, failure);
            }
        }
        _ => {}
    }
}

fn write_failure(text: &mut String, failure: &Failure) {
    let message = match failure.message.trim() {
        "" => "no message",
        message => message,
    };
    let _ = writeln!(text, "    {}", indented(message));
    if let Some(place) = &failure.place {
        let _ = writeln!(text, "    at {}", escape(&place.to_string()));
    }
}

/// Some tasks: how many, and the first ones in declaration order.
#[derive(Default)]
pub(super) struct Group {
    count: usize,
    first: BTreeSet<TaskId>,
}

impl FromIterator<TaskId> for Group {
    fn from_iter<T: IntoIterator<Item = TaskId>>(tasks: T) -> Self {
        let mut group = Self::default();
        tasks.into_iter().for_each(|task| group.add(task));
        group
    }
}

impl Group {
    fn add(&mut self, task: TaskId) {
        self.count += 1;
        self.first.insert(task);
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// Their names, as [`and_more`].
    pub(super) fn names(&self, briefing: &Briefing) -> String {
        let named: Vec<_> = self
            .first
            .iter()
            .map(|&task| name(briefing, task))
            .collect();
        and_more(&named.join(", "), self.count - self.first.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::event::Event;
    use crate::report::fixture::{End, Finish, attempt, briefing, failure, late};
    use std::time::Duration;

    fn recap(briefing: &Briefing, events: Vec<Event>, finish: Finish) -> String {
        let mut recap = Recap::default();
        for event in events {
            let Event::Finished(finished) = event else {
                panic!("only ends")
            };
            recap.add(briefing, &finished, Vec::new());
        }
        recap.text(briefing, &finish.summary(), Paint(false))
    }

    #[test]
    fn nothing_is_said_where_all_went_well() {
        let briefing = briefing(&["a", "b"]);
        let events = vec![End::with(0, 1, "1"), End::passed(1, 2).event()];
        assert_eq!(recap(&briefing, events, Finish::default()), "");
    }

    #[test]
    fn failures_come_in_declaration_order_with_cause_place_and_command() {
        let briefing = briefing(&["a", "b < a", "c", "d < b"]);
        let cancelled = End {
            outcome: Outcome::Cancelled,
            cause: Some(Cause::Stopped(Stop::Signal(2))),
            ..End::passed(2, 2)
        };
        let events = vec![
            End::with(0, 1, "\"x y\""),
            cancelled.event(),
            End::failed(1, 3, failure("left\nright\x1b\n", Some(("b.rs", 9)))),
            End::blocked(3, 4, &[1]),
        ];
        let expected = "
failures:

b FAILED
    left
    right\\u{1b}
    at b.rs:9
    rerun: tdrun lib.so::b '--result-a=x y'

c CANCELLED
    stopped by SIGINT
    rerun: tdrun lib.so::c

skipped because of `b`: d
";
        assert_eq!(recap(&briefing, events, Finish::default()), expected);
    }

    #[test]
    fn where_flaky_tasks_fail_the_run_they_are_failures() {
        let briefing = briefing(&["a", "b", "c"]);
        let events = || {
            vec![
                End::flaky(2, 1, vec![attempt("no route")]),
                End::passed(1, 2).event(),
                End::flaky(0, 3, vec![late(), attempt("refused\nby peer")]),
            ]
        };
        let flaky_fails = Finish {
            flaky_fails: true,
            ..Finish::default()
        };
        let expected = "
failures:

a PASSED on attempt 3, which fails the run (--flaky=fail)
    attempt 1 timed out: took longer than 200ms
    attempt 2 failed: refused
    rerun: tdrun lib.so::a

c PASSED on attempt 2, which fails the run (--flaky=fail)
    attempt 1 failed: no route
    rerun: tdrun lib.so::c
";
        assert_eq!(recap(&briefing, events(), flaky_fails), expected);
        assert_eq!(
            recap(&briefing, events(), Finish::default()),
            "\nflaky: a (passed on attempt 3), c (passed on attempt 2)\n"
        );
    }

    #[test]
    fn a_run_that_took_too_long_says_what_that_left_undone() {
        let mut briefing = briefing(&["a", "b", "c", "d"]);
        briefing.workers = 1;
        let stop = Stop::Timeout(Duration::from_secs(30));
        let ended_late = End {
            outcome: Outcome::TimedOut,
            cause: Some(Cause::TimedOut {
                limit: Duration::from_secs(90),
                still_running: false,
                failure: Some(failure("asked to stop\nat half", Some(("a.c", 7)))),
            }),
            ..End::passed(0, 1)
        };
        let only_if_all_passed = End {
            outcome: Outcome::Skipped,
            worker: None,
            cause: Some(Cause::Failures(TaskId::new(0))),
            ..End::passed(1, 2)
        };
        let events = vec![
            ended_late.event(),
            only_if_all_passed.event(),
            End::not_run(2, 3, stop),
            End::not_run(3, 4, stop),
        ];
        let finish = Finish {
            stopped: Some(stop),
            errors: vec![Error::new("run.timeout", "the run took longer than 30s")],
            ..Finish::after(&events)
        };
        let expected = "
failures:

a TIMED OUT
    took longer than 1m 30s; it ended with:
    asked to stop
    at half
    at a.c:7
    rerun: tdrun lib.so::a

skipped because of `a`: b
not run, the run took longer than 30s: c, d
there was 1 worker: where a task waits for one that runs later, try --workers=2
tdrun: error[run.timeout]: the run took longer than 30s
";
        assert_eq!(recap(&briefing, events, finish), expected);
    }

    #[test]
    fn groups_name_ten_and_count_the_rest() {
        let names: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
        let briefing = briefing(&names.iter().map(|name| &**name).collect::<Vec<_>>());
        let blocked = (1..15).rev().map(|task| End::blocked(task, 0, &[29, 0]));
        let not_run = (15..17).map(|task| End::not_run(task, 0, Stop::MaxFail(1)));
        let finish = Finish {
            errors: vec![Error::new(
                "teardown.failed",
                "teardown of `lib` did not pass: boom",
            )],
            ..Finish::default()
        };
        let expected = "
skipped because of `t0`: t1, t2, t3, t4, t5, t6, t7, t8, t9, t10 … and 4 more
not run, stopped after 1 failure: t15, t16
tdrun: error[teardown.failed]: teardown of `lib` did not pass: boom
";
        assert_eq!(
            recap(&briefing, blocked.chain(not_run).collect(), finish),
            expected
        );
    }
}
