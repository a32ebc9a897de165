//! The reference against tables, and against itself.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::play::failed_attempt;
use super::*;
use crate::event::{Finished, Stop};
use crate::task::TaskId;

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_wrong_with_what_the_reference_does(
        case in cases(),
        choices in prop::collection::vec(any::<usize>(), 1..50),
    ) {
        let mut choices = choices.iter().cycle();
        let events = simulate(&case, |count| choices.next().unwrap() % count);
        prop_assert_eq!(check(&case, &events), [""; 0]);
        prop_assert_eq!(Expected::of_events(&case, &events), expected(&case));
    }
}

/// Tasks named by their letters from `a` on, each with its dependencies and options: `b<a:w1` is in wave 1.
fn case(words: &str, workers: usize) -> Case {
    let letters = |text: &str| text.bytes().map(|c| usize::from(c - b'a')).collect();
    let spec = |(index, word): (usize, &str)| {
        let mut words = word.split(':');
        let (name, after) = words
            .next()
            .map(|w| w.split_once('<').unwrap_or((w, "")))
            .unwrap();
        assert_eq!(letters(name), [index], "letters in order");
        let mut spec = Spec {
            after: letters(after),
            ..Spec::default()
        };
        for option in words {
            let (kind, value) = option.split_at(1);
            match kind {
                "w" => spec.wave = value.parse().unwrap(),
                "p" => spec.priority = value.parse().unwrap(),
                "r" => spec.retries = value.parse().unwrap(),
                "l" => spec.locks.push(Lock::parse(option)),
                "n" => spec.condition = Condition::NoFailures,
                "z" => spec.condition = Condition::Always,
                "x" => spec.exclusive = true,
                "+" => spec.planned = false,
                ">" => spec.runs = letters(value),
                "=" => spec.ends = value.chars().map(outcome).collect(),
                _ => panic!("no option {option}"),
            }
            // A shared lock ends in `r`, as `:` separates options.
            for lock in &mut spec.locks {
                lock.shared = lock.name.ends_with('r');
                lock.name = lock.name.trim_end_matches('r').into();
            }
        }
        spec
    };
    Case {
        tasks: words.split_whitespace().enumerate().map(spec).collect(),
        workers,
        skip_deps: true,
        max_fail: 0,
    }
}

fn outcome(letter: char) -> Outcome {
    match letter {
        'P' => Outcome::Passed,
        'F' => Outcome::Failed,
        'S' => Outcome::Skipped,
        'C' => Outcome::Cancelled,
        'N' => Outcome::NotRun,
        _ => panic!("no outcome {letter}"),
    }
}

/// `a2` is the second attempt; `S<a` skipped for its dependency a, `S!a` for a failure.
fn shown(expected: &Expected) -> (String, String) {
    let letter = |task: usize| char::from(b'a' + u8::try_from(task).unwrap());
    let starts = expected
        .starts
        .iter()
        .flatten()
        .map(|(task, attempt)| match attempt {
            1 => letter(*task).to_string(),
            _ => format!("{}{attempt}", letter(*task)),
        });
    let ends = expected
        .ends
        .iter()
        .flatten()
        .map(|(task, (outcome, why))| {
            let outcome = match outcome {
                Outcome::Passed => 'P',
                Outcome::Failed => 'F',
                Outcome::Skipped => 'S',
                _ => 'N',
            };
            match why {
                Why::Itself | Why::Stopped => format!("{}={outcome}", letter(*task)),
                Why::Blocked(by) => format!("{}={outcome}<{}", letter(*task), letter(*by)),
                Why::Failures(by) => format!("{}={outcome}!{}", letter(*task), letter(*by)),
            }
        });
    let join = |words: Vec<String>| words.join(" ");
    (join(starts.collect()), join(ends.collect()))
}

#[test]
fn one_worker_takes_the_tasks_in_the_order_of_the_rules() {
    for (words, starts, ends) in [
        ("a b c", "a b c", "a=P b=P c=P"),
        // The longest chain, then the declaration; before both the priority.
        ("a b c<b", "b a c", "a=P b=P c=P"),
        ("a b<a c:p1 d:p-1", "c a b d", "a=P b=P c=P d=P"),
        ("a<b b", "b a", "a=P b=P"),
        // What did not pass blocks; who skips itself does not.
        ("a:=F b<a c<b d", "a d", "a=F b=S<a c=S<b d=P"),
        ("a:=S b<a", "a b", "a=S b=P"),
        // Retries keep their rank.
        ("a:r1:=FP b", "a a2 b", "a=P b=P"),
        ("a:r2:=F b<a", "a a2 a3", "a=F b=S<a"),
        ("a:=FP", "a", "a=F"),
        ("a:r1:=FS b<a", "a a2 b", "a=S b=P"),
        ("a:r1:=SF", "a", "a=S"),
        // A wave starts when the lower ones have ended.
        ("a:w1 b<a:w1 c", "c a b", "a=P b=P c=P"),
        ("a:=F b:w1 c<a:w2", "a b", "a=F b=P c=S<a"),
        // No failures: after all others, in waves of their own.
        ("a:n b<a c", "c a b", "a=P b=P c=P"),
        ("a:n b:w3 c:w1", "c b a", "a=P b=P c=P"),
        ("a:n b c:=F", "b c", "a=S!c b=P c=F"),
        ("a<b b:=F c:n d<c", "b", "a=S<b b=F c=S!a d=S<c"),
        ("a:n:=F b<a c:n d<c:n", "a c d", "a=F b=S<a c=P d=P"),
        ("a:n:=F b<a:n c", "c a", "a=F b=S<a c=P"),
        ("a:=S b:n", "a b", "a=S b=P"),
        // Always: also after a failure, and also after a task that is skipped for one.
        ("a:=F b<a c<b:z d<c", "a c d", "a=F b=S<a c=P d=P"),
        ("a:n b:=F c<a:z", "b c", "a=S!b b=F c=P"),
        // A task of the run waits for others that are not planned.
        ("a:>b b:+", "a b", "a=P b=P"),
        ("a:>b b<c:+ c:+ d:+", "a c b", "a=P b=P c=P"),
        ("a:>c b c:+", "a b c", "a=P b=P c=P"),
        ("a:>c b c:+:p1", "a c b", "a=P b=P c=P"),
        ("a:>bc b:+:=F c<b:+", "a b", "a=P b=F c=S<b"),
        ("a:>c b:>c c:+", "a b c", "a=P b=P c=P"),
        ("a:>b:r1:=FP b:+", "a b a2", "a=P b=P"),
        ("a:w1:>b b:+ c:w1:p1", "c a b", "a=P b=P c=P"),
        ("a:w1:>c b:w1 c:+", "a c b", "a=P b=P c=P"),
        ("a:x:>b:lr b:+:x:lr", "a b", "a=P b=P"),
    ] {
        let told = shown(&expected(&case(words, 1)));
        assert_eq!((&*told.0, &*told.1), (starts, ends), "{words}");
    }
}

#[test]
fn enough_failures_stop_a_run() {
    for (words, max_fail, starts, ends) in [
        ("a:=F b c:=F d", 2, "a b c", "a=F b=P c=F d=N"),
        ("a:=F", 1, "a", "a=F"),
        ("a:r1:=FP b", 1, "a a2 b", "a=P b=P"),
        // Who is blocked at that moment is skipped.
        ("a:=F b<a c<ad d", 1, "a", "a=F b=S<a c=N d=N"),
        // Always: where one of its dependencies was started.
        (
            "a:=F b c<a:z d<b:z e<c:z f<c",
            1,
            "a c e",
            "a=F b=N c=P d=N e=P f=N",
        ),
        // Who waits goes on before another one starts; afterwards nothing is added, or tried again.
        ("a:=F:>c b c:+:p1", 1, "a c", "a=F b=N c=P"),
        ("a:r1:=FP:>bc b:+:=F c:+", 1, "a b", "a=F b=F"),
    ] {
        let case = Case {
            max_fail,
            ..case(words, 1)
        };
        let told = shown(&expected(&case));
        assert_eq!((&*told.0, &*told.1), (starts, ends), "{words}");
    }
}

#[test]
fn dependents_may_run_in_spite_of_failures() {
    let case = Case {
        skip_deps: false,
        ..case("a:=F b<a c:n", 1)
    };
    let told = shown(&expected(&case));
    assert_eq!((&*told.0, &*told.1), ("a b", "a=F b=P c=S!a"));
}

/// Events from words: `a+0` starts on worker 0, `a|` waits, `a>0` goes on, `a~` is tried again, `a=P` has passed, `a=S<b`
/// is blocked, `+ab` are added, `!` stops.
fn events(case: &Case, words: &str) -> Vec<Event> {
    let id = |letter: &str| TaskId::new(usize::from(letter.as_bytes()[0] - b'a'));
    let (at, took) = (Duration::ZERO, Duration::ZERO);
    let (mut workers, mut attempts) = (BTreeMap::new(), BTreeMap::<_, u32>::new());
    let (mut done, mut planned) = (0, case.initial().len());
    let mut event = |word: &str| {
        if word == "!" {
            return Event::Stopping(Stop::MaxFail(1));
        }
        if let Some(added) = word.strip_prefix('+') {
            planned += added.len();
            return Event::Planned(added.split("").filter(|l| !l.is_empty()).map(id).collect());
        }
        let (task, what) = (id(&word[..1]), &word[1..2]);
        let number = || word[2..].parse().unwrap();
        let left = if what == "+" || what == ">" {
            None
        } else {
            workers.remove(&task)
        };
        let worker = left.unwrap_or_default();
        match what {
            "+" => {
                let attempt = attempts.entry(task).or_default();
                *attempt += 1;
                workers.insert(task, number());
                Event::Started {
                    task,
                    worker: number(),
                    attempt: *attempt,
                    at,
                }
            }
            ">" => {
                workers.insert(task, number());
                Event::Resumed {
                    task,
                    worker: number(),
                    at,
                }
            }
            "|" => Event::Paused { task, worker, at },
            "~" => Event::Retrying {
                task,
                worker,
                number: 1,
                attempt: failed_attempt(),
                at,
            },
            _ => {
                done += 1;
                let by = || id(&word[4..]);
                let before = attempts.get(&task).map_or(0, |count| *count as usize - 1);
                let reason = match word.as_bytes().get(3) {
                    Some(b'<') => Some(Cause::Blocked([by()].into())),
                    Some(b'!') => Some(Cause::Failures(by())),
                    _ if word.ends_with('N') => Some(Cause::Stopped(Stop::MaxFail(1))),
                    _ => None,
                };
                Event::Finished(Finished {
                    task,
                    outcome: outcome(char::from(word.as_bytes()[2])),
                    worker: left,
                    at,
                    took,
                    done,
                    planned,
                    cause: reason.map(Box::new),
                    result: None,
                    attempts: vec![failed_attempt(); before],
                    kept: false,
                })
            }
        }
    };
    words.split_whitespace().map(&mut event).collect()
}

/// Tasks, events, and the first complaint about them.
fn complain(table: &[(&str, &str, &str)]) {
    for (words, told, complaint) in table {
        let case = case(words, 2);
        let complaints = check(&case, &events(&case, told));
        let first = complaints.first().map_or("", String::as_str);
        assert_eq!(first, *complaint, "{words}: {told}");
    }
}

#[test]
fn a_run_that_breaks_a_rule_is_complained_about() {
    complain(&[
        ("a b", "a+0 b+1 b=P a=P", ""),
        ("a", "", "t0 has no outcome"),
        ("a", "a+0 a=P a=P", "t0 ends twice"),
        ("a", "a+0 a=P a+0 a=P", "t0 starts after its end"),
        ("a", "a+0 a=F", "t0 is failed: Itself"),
        ("a", "a=P", "t0 is passed: Itself"),
        ("a", "a=N", "t0 is not run: Stopped"),
        ("a", "a+2 a=P", "t0 runs on worker 2"),
        (
            "a b c",
            "a+0 b+1 c+1",
            "t2 is one too many: [0, 1] are active",
        ),
        ("a b", "a+0 b+0 a=P b=P", "t1 and t0 share worker 0"),
        ("a b<a", "a+0 b+1 a=P b=P", "t1 starts before t0 ends"),
        (
            "a:=F b<a",
            "a+0 a=F b+0 b=P",
            "t1 starts, and t0 did not pass",
        ),
        ("a b<a", "a+0 a=P b=S<a", "t1 is skipped: Blocked(0)"),
        ("a:=F b<a:z", "a+0 a=F b=S<a", "t1 is skipped: Blocked(0)"),
        (
            "a b:w1",
            "a+0 b+1 a=P b=P",
            "t1 starts before the lower stage of t0 ends",
        ),
        (
            "a b:n",
            "a+0 b+1 a=P b=P",
            "t1 starts before the lower stage of t0 ends",
        ),
        (
            "a:=F b:n",
            "a+0 a=F b+0 b=P",
            "t1 starts in spite of the failure of t0",
        ),
        ("a b:n", "a+0 a=P b=S!a", "t1 is skipped: Failures(0)"),
        (
            "a:=F b:=F c:n",
            "a+0 a=F b+0 b=F c=S!b",
            "t2 is skipped: Failures(1)",
        ),
        (
            "a:l b:lr",
            "a+0 b+1 a=P b=P",
            "t1 starts while t0 holds a lock of it",
        ),
        ("a:lr b:lr", "a+0 b+1 a=P b=P", ""),
        (
            "a:l:>b b:+:l",
            "a+0 +b a| b+0 b=P a>0 a=P",
            "t1 starts while t0 holds a lock of it",
        ),
        ("a:x b", "a+0 b+1 a=P b=P", "t1 is not alone with t0"),
        ("a b:x", "a+0 b+1 a=P b=P", "t1 is not alone with t0"),
        ("a:x:>b b:+:x", "a+0 +b a| b+0 b=P a>0 a=P", ""),
    ]);
}

#[test]
fn attempts_stops_and_added_tasks_have_rules_too() {
    complain(&[
        ("a:r1:=FP", "a+0 a~ a+0 a=P", ""),
        ("a:r1:=FP", "a+0 a=F", "t0 is failed: Itself"),
        ("a:r1:=FP", "a+0 a+1 a=P", "t0 starts while it runs"),
        (
            "a:=F",
            "a+0 a~ a+0 a=F",
            "t0 is tried again after attempt 1",
        ),
        (
            "a:r1",
            "a+0 a~ a+0 a=P",
            "t0 is tried again after attempt 1",
        ),
        ("a:=F b", "a+0 a=F ! b+0 b=P", "t1 starts after the stop"),
        ("a:=F b<a:z", "a+0 a=F ! b+0 b=P", ""),
        (
            "a:=F b c<b:z",
            "a+0 a=F ! b=N c+0 c=P",
            "t2 starts after the stop",
        ),
        ("a:=F b", "a+0 b+1 b=P ! a=C", ""),
        ("a:r1:=F b:=F", "a+0 a~ b+0 b=F ! a=F", ""),
        (
            "a b:+",
            "a+0 +b b+1 b=P a=P",
            "t1 is added, and nobody asked for it",
        ),
        ("a b:+", "b+1 b=P a+0 a=P", "t1 starts, and is not planned"),
        (
            "a:>b b<c:+ c:+",
            "a+0 +b a| b+0 b=P a>0 a=P",
            "t1 is added without t2",
        ),
        (
            "a:>b b:+",
            "a+0 +b a| b+0 a>1 b=P a=P",
            "t0 goes on before the end of what it waits for",
        ),
        (
            "a:>b b:+",
            "a+0 +b b+1 a=P b=P",
            "t0 ends before t1, which it runs",
        ),
        ("a:>b b:+", "a+0 a=P", "t0 ends before t1, which it runs"),
        (
            "a:>b b:+",
            "a+0 +b a| b+0 b=P a=P",
            "t0 ends while it waits",
        ),
    ]);
}

#[test]
fn the_cases_have_all_that_the_rules_are_about() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..3000 {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let mut turn = 0;
        let events = simulate(&case, |count| {
            turn += 1;
            turn % count
        });
        let (mut stopped, mut paused) = (false, 0);
        for event in &events {
            let what = match event {
                Event::Stopping(_) if paused > 0 => Some("stopped while one waits"),
                Event::Started { .. } if stopped => Some("always after the stop"),
                Event::Started { .. } if paused > 1 => Some("two wait"),
                Event::Retrying { .. } if paused > 0 => Some("retry"),
                Event::Finished(f) if f.is_flaky() => Some("flaky"),
                Event::Finished(f) => match why(f.cause.as_deref()) {
                    Why::Failures(_) => Some("skipped for a failure"),
                    Why::Blocked(_) => Some("blocked"),
                    _ => (f.worker.is_some() && case.is_last(f.task.index()))
                        .then_some("in the second part"),
                },
                _ => None,
            };
            seen.extend(what);
            stopped |= matches!(event, Event::Stopping(_));
            paused += usize::from(matches!(event, Event::Paused { .. }));
            paused -= usize::from(matches!(event, Event::Resumed { .. }));
        }
        for (task, spec) in case.tasks.iter().enumerate() {
            let mut runs = spec.runs.iter();
            if runs.any(|target| case.stage(*target) < case.stage(task)) {
                seen.insert("added to a lower stage");
            }
            if !spec.runs.is_empty() && !spec.locks.is_empty() {
                seen.insert("waits with a lock");
            }
            if !spec.runs.is_empty() && spec.exclusive {
                seen.insert("waits, and is exclusive");
            }
            if (0..task).any(|other| case.conflict(other, task)) {
                seen.insert("two on a lock");
            }
        }
    }
    let all = [
        "added to a lower stage",
        "always after the stop",
        "blocked",
        "flaky",
        "in the second part",
        "retry",
        "skipped for a failure",
        "stopped while one waits",
        "two on a lock",
        "two wait",
        "waits with a lock",
        "waits, and is exclusive",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
