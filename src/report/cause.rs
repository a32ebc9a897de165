//! Causes in words: why a task did not pass, and why a run stops.
//!
//! Knows neither streams nor terminals; everything foreign leaves here escaped.

use std::collections::BTreeSet;
use std::time::Duration;

use signal_hook::low_level;

use crate::error::escape;
use crate::event::{Attempt, Briefing, Cause, Finished, Stop};
use crate::report::text::{MESSAGE_LIMIT, clip, limit, name, plural};
use crate::task::{Failure, Outcome, TaskId};

/// How many links of a long chain of causes are named between its ends. Fewer than are kept, so that what was left out
/// shows as such.
const CHAIN_SHOWN: usize = Cause::CHAIN - 4;

/// Why a task did not pass, in one line.
pub fn cause_line(briefing: &Briefing, cause: &Cause) -> String {
    match cause {
        Cause::Failure(failure) => failure_line(failure),
        Cause::Skip(reason) if reason.trim().is_empty() => "skipped itself".to_owned(),
        Cause::Skip(reason) => format!("skipped: {}", first_line(reason)),
        Cause::Blocked(chain) => format!("skipped: {}", chain_text(briefing, chain)),
        Cause::Failures(task) => {
            let task = name(briefing, *task);
            format!("skipped: it runs only if nothing failed, and `{task}` did not pass")
        }
        Cause::TimedOut {
            limit,
            still_running,
            failure,
        } => {
            let time = time_out_line(*limit, *still_running);
            match failure {
                Some(failure) => {
                    let line = failure_line(failure);
                    format!("{time}; {}{line}", how_it_ended(*still_running))
                }
                None => time,
            }
        }
        Cause::Locked { lock, holder } => {
            let (lock, holder) = (escape(lock), name(briefing, *holder));
            format!("the lock `{lock}` is held by `{holder}`, which timed out and is still running")
        }
        Cause::Stopped(stop) => stop_reason(*stop),
    }
}

/// `took longer than 200ms`, and whether it still goes on.
pub(super) fn time_out_line(time: Duration, still_running: bool) -> String {
    let still_running = if still_running {
        " and is still running"
    } else {
        ""
    };
    format!("took longer than {}{still_running}", limit(time))
}

/// What stands between that and what is known of its end; one that has not ended has none.
pub(super) fn how_it_ended(still_running: bool) -> &'static str {
    if still_running { "" } else { "it ended with: " }
}

/// What is said of a task below its done line: why it did not pass, and on which attempt if there were several.
pub(super) fn ended_line(briefing: &Briefing, finished: &Finished) -> Option<String> {
    let number = finished.attempts.len() + 1;
    if finished.is_flaky() {
        return Some(format!("flaky: passed on attempt {number}"));
    }
    let cause = finished.cause.as_deref()?;
    match finished.outcome {
        Outcome::Failed | Outcome::TimedOut | Outcome::Crashed | Outcome::Cancelled
            if number > 1 =>
        {
            Some(attempt_line(briefing, number, finished.outcome, cause))
        }
        _ => Some(cause_line(briefing, cause)),
    }
}

/// `attempt 1 failed: boom (a.rs:4)`.
pub(super) fn attempt_line(
    briefing: &Briefing,
    number: usize,
    outcome: Outcome,
    cause: &Cause,
) -> String {
    format!(
        "attempt {number} {outcome}: {}",
        cause_line(briefing, cause)
    )
}

/// Attempts that are told of at the end.
pub(super) const ATTEMPTS: usize = 5;

/// The attempts before the last one, a line each.
pub(super) fn earlier_lines(briefing: &Briefing, attempts: &[Attempt]) -> Vec<String> {
    let first = (1..).zip(attempts).take(ATTEMPTS);
    let line = |(number, a): (usize, &Attempt)| attempt_line(briefing, number, a.outcome, &a.cause);
    let mut lines: Vec<_> = first.map(line).collect();
    if let Some(more @ 1..) = attempts.len().checked_sub(ATTEMPTS) {
        lines.push(format!("… and {}", plural(more, "more attempt")));
    }
    lines
}

/// The first line of a failure, and where it happened.
pub(super) fn failure_line(failure: &Failure) -> String {
    let message = first_line(&failure.message);
    match &failure.place {
        Some(place) => format!("{message} ({})", escape(&place.to_string())),
        None => message,
    }
}

/// The first line that says something.
pub(super) fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    let line = clip(line.unwrap_or("no message").trim(), 1 << 10);
    escape(&line.replace('\n', " ")).into_owned()
}

/// `` `b` did not pass, because of `a` ``: from the direct dependency down to the root.
pub(super) fn chain_text(briefing: &Briefing, chain: &[TaskId]) -> String {
    let because = |task: &TaskId| format!(", because of `{}`", name(briefing, *task));
    match chain {
        [] => "a dependency did not pass".to_owned(),
        [direct, causes @ .., root] if causes.len() > CHAIN_SHOWN => {
            let shown: String = causes[..CHAIN_SHOWN].iter().map(because).collect();
            let (direct, root) = (name(briefing, *direct), because(root));
            format!("`{direct}` did not pass{shown}, …{root}")
        }
        [direct, causes @ ..] => {
            let causes: String = causes.iter().map(because).collect();
            format!("`{}` did not pass{causes}", name(briefing, *direct))
        }
    }
}

/// Why a task was cancelled or not run.
pub(super) fn stop_reason(stop: Stop) -> String {
    match stop {
        Stop::MaxFail(failures) => format!("stopped after {}", plural(failures, "failure")),
        Stop::Signal(signal) => format!("stopped by {}", signal_name(signal)),
        Stop::Aborted => "the run was aborted".to_owned(),
        Stop::Timeout(time) => format!("the run took longer than {}", limit(time)),
        Stop::Setup => "setup did not pass".to_owned(),
        Stop::Threads => "stopped because the system gave no thread".to_owned(),
    }
}

/// Running tasks that are named when the run stops.
const NAMED: usize = 3;

/// What is said when the run stops early.
pub(super) fn stopping_line(briefing: &Briefing, stop: Stop, running: &BTreeSet<TaskId>) -> String {
    match stop {
        Stop::MaxFail(failures) => format!("stopping after {}", plural(failures, "failure")),
        Stop::Timeout(time) => {
            let mut line = format!("stopping: the run took longer than {}", limit(time));
            if !running.is_empty() {
                line = format!("{line}; waiting for {}", first_names(briefing, running));
            }
            line
        }
        Stop::Aborted => "stopping: the run was aborted".to_owned(),
        Stop::Setup => "stopping: setup did not pass".to_owned(),
        Stop::Threads => "stopping: the system gave no thread to run tasks on".to_owned(),
        Stop::Signal(signal) if running.is_empty() => format!("stopping: {}", signal_name(signal)),
        Stop::Signal(signal) => format!(
            "stopping: {}; waiting for {}, press Ctrl-C again to leave",
            signal_name(signal),
            first_names(briefing, running),
        ),
    }
}

/// `` `a`, `b` ``, or `` `a`, `b`, `c` and 5 more ``.
fn first_names(briefing: &Briefing, tasks: &BTreeSet<TaskId>) -> String {
    let first = tasks.iter().take(NAMED);
    let names: Vec<_> = first
        .map(|&task| format!("`{}`", name(briefing, task)))
        .collect();
    match tasks.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// `SIGINT`, or the number.
pub fn signal_name(signal: i32) -> String {
    let name = low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// A cause as it is kept to the end: a run of a million failures must fit in memory.
pub(super) fn shortened(cause: &Cause) -> Cause {
    let short = |failure: &Failure| Failure {
        message: clip(&failure.message, MESSAGE_LIMIT).into(),
        place: failure.place.clone(),
    };
    match cause {
        Cause::Failure(failure) => Cause::Failure(short(failure)),
        Cause::TimedOut {
            limit,
            still_running,
            failure,
        } => Cause::TimedOut {
            limit: *limit,
            still_running: *still_running,
            failure: failure.as_ref().map(short),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{attempt, briefing, failure};

    fn ids(indices: std::ops::Range<usize>) -> Box<[TaskId]> {
        indices.map(TaskId::new).collect()
    }

    fn time_out(still_running: bool, failure: Option<Failure>) -> Cause {
        Cause::TimedOut {
            limit: Duration::from_millis(200),
            still_running,
            failure,
        }
    }

    #[test]
    fn many_attempts_are_counted_and_the_first_ones_told() {
        let briefing = briefing(&["a"]);
        let attempts = ["a", "b", "c", "d", "e", "f"].map(attempt);
        let lines = earlier_lines(&briefing, &attempts);
        assert_eq!(lines[4..], ["attempt 5 failed: e", "… and 1 more attempt"]);
        assert_eq!(earlier_lines(&briefing, &attempts[..5]), lines[..5]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(2 * MESSAGE_LIMIT);
        for cause in [
            Cause::Failure(failure(&long, None)),
            time_out(false, Some(failure(&long, None))),
        ] {
            let (Cause::Failure(kept)
            | Cause::TimedOut {
                failure: Some(kept),
                ..
            }) = shortened(&cause)
            else {
                panic!("a failure is kept")
            };
            assert!(kept.message.len() < MESSAGE_LIMIT + 100);
        }
    }

    #[test]
    fn a_cause_is_one_line() {
        let briefing = briefing(&["a", "b", "c"]);
        for (cause, expected) in [
            (Cause::Failure(failure("boom\nmore", None)), "boom"),
            (
                Cause::Failure(failure("\n  boom\x07", Some(("t.rs", 3)))),
                "boom\\u{7} (t.rs:3)",
            ),
            (Cause::Failure(failure("", None)), "no message"),
            (Cause::Skip("".into()), "skipped itself"),
            (
                Cause::Skip("no network\nhere".into()),
                "skipped: no network",
            ),
            (Cause::Blocked(ids(0..1)), "skipped: `a` did not pass"),
            (
                Cause::Blocked(ids(0..3)),
                "skipped: `a` did not pass, because of `b`, because of `c`",
            ),
            (Cause::Stopped(Stop::Signal(2)), "stopped by SIGINT"),
            (Cause::Stopped(Stop::Signal(64)), "stopped by signal 64"),
            (Cause::Stopped(Stop::MaxFail(1)), "stopped after 1 failure"),
            (Cause::Stopped(Stop::Aborted), "the run was aborted"),
            (Cause::Stopped(Stop::Setup), "setup did not pass"),
            (
                Cause::Stopped(Stop::Timeout(Duration::from_secs(90))),
                "the run took longer than 1m 30s",
            ),
            (
                Cause::Failures(TaskId::new(1)),
                "skipped: it runs only if nothing failed, and `b` did not pass",
            ),
            (time_out(false, None), "took longer than 200ms"),
            (
                time_out(false, Some(failure("late\nmore", Some(("t.rs", 3))))),
                "took longer than 200ms; it ended with: late (t.rs:3)",
            ),
            (
                time_out(true, None),
                "took longer than 200ms and is still running",
            ),
            (
                Cause::Locked {
                    lock: "d\x1bb".into(),
                    holder: TaskId::new(2),
                },
                "the lock `d\\u{1b}b` is held by `c`, which timed out and is still running",
            ),
        ] {
            assert_eq!(cause_line(&briefing, &cause), expected, "{cause:?}");
        }
    }

    #[test]
    fn a_long_chain_names_its_beginning_and_its_root() {
        let briefing = briefing(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        let beginning =
            "`a` did not pass, because of `b`, because of `c`, because of `d`, because of `e`";
        for (length, end) in [
            (6, ", because of `f`"),
            (7, ", …, because of `g`"),
            (8, ", …, because of `h`"),
        ] {
            assert_eq!(
                chain_text(&briefing, &ids(0..length)),
                format!("{beginning}{end}")
            );
        }
    }

    #[test]
    fn a_stop_says_what_is_waited_for() {
        let briefing = briefing(&["a", "b", "c", "d", "e"]);
        for (stop, running, expected) in [
            (
                Stop::Signal(2),
                5,
                "stopping: SIGINT; waiting for `a`, `b`, `c` and 2 more, press Ctrl-C again to leave",
            ),
            (
                Stop::Signal(15),
                1,
                "stopping: SIGTERM; waiting for `a`, press Ctrl-C again to leave",
            ),
            (Stop::Signal(2), 0, "stopping: SIGINT"),
            (Stop::MaxFail(1), 4, "stopping after 1 failure"),
            (Stop::MaxFail(2), 4, "stopping after 2 failures"),
            (
                Stop::Timeout(Duration::from_secs(30)),
                2,
                "stopping: the run took longer than 30s; waiting for `a`, `b`",
            ),
            (
                Stop::Timeout(Duration::from_secs(30)),
                0,
                "stopping: the run took longer than 30s",
            ),
            (Stop::Aborted, 2, "stopping: the run was aborted"),
            (Stop::Setup, 0, "stopping: setup did not pass"),
        ] {
            let running = (0..running).map(TaskId::new).collect();
            assert_eq!(stopping_line(&briefing, stop, &running), expected);
        }
    }
}
