//! What a run says at its end: failures once more, what they blocked, what did not run. Keeps only what that needs.
//!
//! Knows neither streams nor terminals; passed tasks leave at most a short result behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::error::escape;
use crate::event::{Briefing, Cause, Finished, Stop, Summary};
use crate::report::cause::{shortened, stop_reason};
use crate::report::rerun::{Reruns, Results};
use crate::report::text::{Paint, indented, name, plural, status};
use crate::task::{Failure, Outcome, TaskId};

/// How many tasks of a group are named.
const NAMED: usize = 10;

/// What happened so far, as far as the end will tell it.
#[derive(Default)]
pub(super) struct Recap {
    failures: Vec<(TaskId, Outcome, Option<Cause>)>,
    blocked: BTreeMap<TaskId, Group>,
    not_run: Vec<(Option<Stop>, Group)>,
    results: Results,
}

impl Recap {
    /// A task has its outcome.
    pub(super) fn add(&mut self, finished: &Finished) {
        if let Some(result) = &finished.result {
            self.results.keep(finished.task, result);
        }
        let cause = finished.cause.as_deref();
        match (finished.outcome, cause) {
            (
                Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled,
                cause,
            ) => {
                let cause = cause.map(shortened);
                self.failures.push((finished.task, finished.outcome, cause));
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
        let stop = match cause {
            Some(Cause::Stopped(stop)) => Some(*stop),
            _ => None,
        };
        let known = self.not_run.iter().position(|(known, _)| *known == stop);
        let index = known.unwrap_or_else(|| {
            self.not_run.push((stop, Group::default()));
            self.not_run.len() - 1
        });
        self.not_run[index].1.add(task);
    }

    /// The whole section, in declaration order; empty where all went well.
    pub(super) fn text(&mut self, briefing: &Briefing, summary: &Summary, paint: Paint) -> String {
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
        for (stop, group) in &self.not_run {
            let reason = stop.map_or_else(|| "the run ended".to_owned(), stop_reason);
            let _ = writeln!(rest, "not run, {reason}: {}", group.names(briefing));
        }
        // Whoever called `exit` is told of already.
        if summary.abandoned > 0 && summary.stopped != Some(Stop::Exit) {
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
        self.failures.sort_by_key(|(task, ..)| *task);
        let reruns = Reruns::new(briefing, &self.results);
        text.push_str("\nfailures:\n");
        for (task, outcome, cause) in &self.failures {
            let word = paint.outcome(*outcome, status(*outcome));
            let _ = writeln!(text, "\n{} {word}", name(briefing, *task));
            match cause {
                Some(Cause::Failure(failure)) => write_failure(text, failure),
                Some(Cause::Stopped(stop)) => {
                    let _ = writeln!(text, "    {}", stop_reason(*stop));
                }
                _ => {}
            }
            let _ = writeln!(text, "    rerun: {}", reruns.command(*task));
        }
    }
}

/// A lone worker that had to be interrupted may have waited for a task that only it could run.
fn one_worker_hint(briefing: &Briefing, summary: &Summary) -> Option<&'static str> {
    let waited = matches!(summary.stopped, Some(Stop::Signal(_)))
        && briefing.workers == 1
        && summary.counts.get(Outcome::Cancelled) > 0
        && summary.counts.get(Outcome::NotRun) > 0;
    waited.then_some(
        "there was 1 worker: where a task waits for one that runs later, try --workers=2",
    )
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
struct Group {
    count: usize,
    first: BTreeSet<TaskId>,
}

impl Group {
    fn add(&mut self, task: TaskId) {
        self.count += 1;
        self.first.insert(task);
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// `a, b`, or `a, b, … and 97 more`.
    fn names(&self, briefing: &Briefing) -> String {
        let named: Vec<_> = self
            .first
            .iter()
            .map(|&task| name(briefing, task))
            .collect();
        let named = named.join(", ");
        match self.count - self.first.len() {
            0 => named,
            more => format!("{named} … and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::event::Event;
    use crate::report::fixture::{End, Finish, briefing, failure};

    fn recap(briefing: &Briefing, events: Vec<Event>, finish: Finish) -> String {
        let mut recap = Recap::default();
        for event in events {
            let Event::Finished(finished) = event else {
                panic!("only ends")
            };
            recap.add(&finished);
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
