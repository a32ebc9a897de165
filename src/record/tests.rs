use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::event::{Counts, Hook, Stop, Summary};
use crate::task::{Channel, Failure, Left, Level, Observed, Output, Place, Record, Written};

fn task(index: usize) -> TaskId {
    TaskId::new(index)
}

fn library(name: &str, sha256: &str) -> Library {
    Library {
        name: name.into(),
        path: format!("/{name}.so").into(),
        dev: 1,
        ino: 2,
        size: 3,
        mtime: (4, 5),
        sha256: Some(sha256.into()),
    }
}

fn ended(outcome: Outcome) -> Ended {
    let failure = Failure {
        message: "line \"one\"\nline two é".into(),
        place: Some(Place {
            file: "x.c".into(),
            line: 7,
        }),
    };
    let cause = match outcome {
        Outcome::Passed => None,
        Outcome::Skipped => Some(Cause::Skip("no network".into())),
        Outcome::TimedOut => Some(Cause::TimedOut {
            limit: Duration::from_millis(5),
            still_running: true,
            failure: Some(failure),
        }),
        _ => Some(Cause::Failure(failure)),
    };
    Ended {
        outcome,
        worker: Some(1),
        at: 30,
        took: 20,
        result: (outcome == Outcome::Passed).then(|| "{\"a\":[1.0,null]}".into()),
        cause,
    }
}

fn begin(journal: &Journal, names: &[&str], sha256: &str) {
    let opening = Opening {
        started: UNIX_EPOCH + Duration::from_secs(9),
        argv: &["tdrun".into(), "x.so".into()],
        planned: names.len(),
        libraries: &[library("x", sha256)],
        is_named: true,
    };
    journal.open(&opening, planned(names, 1).into_iter());
}

fn planned<'a>(names: &[&'a str], definition: u64) -> Vec<Planned<'a>> {
    let planned = names.iter().enumerate().map(|(index, name)| Planned {
        task: task(index),
        library: LibraryId(0),
        name,
        definition,
    });
    planned.collect()
}

fn json(text: &str) -> Json {
    text.into()
}

/// A journal with one of everything.
fn full() -> Journal {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b", "c", "d", "e", "f"], "s");
    journal.hook(Hook::Setup, "x", &Ok(()));
    journal.ran(0, [(task(0), 5, 9), (task(1), 9, 20)]);
    journal.start(Begun {
        task: task(2),
        attempt: 1,
        worker: 1,
        at: 6,
    });
    let by = By::Task(task(2), 1);
    journal.state(by, "n", Some(&json("1")), Some(&json("2")));
    journal.state(by, "gone", None, None);
    journal.state(By::Hook(Hook::Setup), "n", None, Some(&json("9")));
    journal.end(task(2), 1, &ended(Outcome::Failed), false);
    journal.observed(task(2), 2, &Observed::Left(Box::default()));
    journal.end(task(2), 2, &ended(Outcome::Passed), true);
    journal.again();
    journal.settled(task(3), Outcome::NotRun, 9);
    journal.added([(task(6), "x", "p::1")].into_iter());
    journal.end(task(6), 1, &ended(Outcome::TimedOut), true);
    journal.stop(Stop::Signal(2));
    journal.crash(&Crash {
        signal: Some(11),
        task: Some(task(4)),
        suspects: vec![task(5)],
        worker: Some(0),
        ..Crash::default()
    });
    let summary = Summary {
        planned: 2,
        counts: Counts::default(),
        blocked: 0,
        leaky: 0,
        flaky: 0,
        flaky_fails: false,
        took: Duration::ZERO,
        stopped: None,
        errors: Vec::new(),
        abandoned: 0,
    };
    journal.fin(&summary, 1);
    journal
}

fn restart(recorded: &Recorded) -> Kept {
    recorded.restart(|_, name| (name == "p::1").then(|| task(8)))
}

#[test]
fn what_was_recorded_is_read_again() {
    let recorded = full().read().unwrap();
    assert_eq!((recorded.exit, recorded.crashes.len()), (Some(1), 1));
    assert_eq!(recorded.stopped.as_deref(), Some("Signal(2)"));
    assert_eq!(recorded.added().collect::<Vec<_>>(), [("x", "p::1")]);
    let kept = restart(&recorded);
    let plain = |worker, start, took| {
        Some(Plain {
            worker,
            start,
            took,
        })
    };
    assert_eq!(kept.plain(task(0)), plain(0, 5, 4));
    assert_eq!(kept.plain(task(1)), plain(0, 9, 11));
    let stood = |attempts: &[Ended], is_done| Stood {
        attempts: attempts.to_vec(),
        is_done,
    };
    let tried = [ended(Outcome::Failed), ended(Outcome::Passed)];
    assert_eq!(kept.stood(task(2)), Some(&stood(&tried, true)));
    assert_eq!(kept.stood(task(3)), None, "it follows from the rest");
    assert_eq!(
        kept.stood(task(8)),
        Some(&stood(&[ended(Outcome::TimedOut)], true))
    );
    let crashed = kept.stood(task(4)).unwrap();
    assert_eq!(crashed.attempts[0].outcome, Outcome::Crashed);
    assert!(!crashed.is_done && kept.has(task(4), 1) && !kept.has(task(4), 2));
    assert_eq!(kept.added(), [task(8)]);
    let change = |key: &str, value: Option<&str>, was| Change {
        key: key.into(),
        value: value.map(json),
        was,
    };
    assert_eq!(
        kept.changes(),
        [change("n", Some("2"), Some(1)), change("gone", None, None)]
    );
}

#[test]
fn what_people_have_been_told_is_known_of_what_stays() {
    let mut kept = restart(&full().read().unwrap());
    let told = |kept: &Kept| {
        (0..9)
            .filter(|at| kept.is_told(task(*at)))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&kept), [0; 0]);
    kept.told([0, 1, 2].map(task), [], []);
    assert_eq!(told(&kept), [0, 1, 2]);
    kept.told((0..9).map(task), [], []);
    assert_eq!(told(&kept), [0, 1, 2, 8]);
}

#[test]
fn an_attempt_without_an_end_leaves_nothing_behind() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b"], "s");
    let set = |by, value: &str| journal.state(by, "n", None, Some(&json(value)));
    set(By::Task(task(0), 1), "1");
    set(By::Task(task(1), 1), "2");
    journal.crash(&Crash::default());
    set(By::Task(task(0), 1), "3");
    journal.ran(0, [(task(0), 0, 1)]);
    // By a thread that it has left behind.
    set(By::Task(task(0), 1), "4");
    let kept = restart(&journal.read().unwrap());
    let values: Vec<_> = kept
        .changes()
        .iter()
        .filter_map(|change| change.value.clone())
        .collect();
    assert_eq!(values, [json("3"), json("4")]);
    assert!(!kept.has(task(1), 1));
}

#[test]
fn what_was_seen_of_an_attempt_stays_with_its_end() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b", "c"], "s");
    let said = |text: &str| Record {
        level: Level::Warn,
        target: "t".into(),
        message: text.into(),
        place: None,
    };
    let written = |head: &[u8], cut, tail: &[u8]| Written {
        head: head.to_vec(),
        cut,
        tail: tail.to_vec(),
    };
    let output = |stdout, stderr| Observed::Output(Box::new(Output { stdout, stderr }));
    let pid = Some(7);
    let name = "sleep".into();
    let left = Observed::Left([Left { pid, name }].into());
    let line = Observed::Line(Channel::Stderr, b"\xffline".as_slice().into());
    let some = output(
        written(b"text \xc3\xa9\n", 0, b""),
        written(b"\xff\0", 5, b"x"),
    );
    // Lost with the process, and seen again.
    journal.observed(task(0), 1, &some);
    journal.said(task(0), 1, &said("lost"));
    journal.again();
    journal.said(task(0), 1, &said("one"));
    journal.observed(task(0), 1, &some);
    journal.observed(task(0), 1, &left);
    journal.observed(task(0), 1, &line);
    journal.observed(task(0), 1, &Observed::Continued);
    journal.ran(0, [(task(0), 5, 9)]);
    let long = vec![b'x'; 3 << 20];
    let long = output(written(&long, 0, b""), written(&long, 1, b"end"));
    journal.observed(task(1), 1, &long);
    journal.end(task(1), 1, &ended(Outcome::Failed), true);
    journal.observed(task(2), 1, &some);
    let kept = restart(&journal.read().unwrap());
    let seen = |at, attempt| kept.seen(task(at), attempt).cloned().collect::<Vec<_>>();
    let observed = [some, left, line].map(Seen::Observed);
    assert_eq!(seen(0, 1)[0], Seen::Said(said("one")));
    assert_eq!(seen(0, 1)[1..], observed);
    assert_eq!(seen(2, 1), [], "it did not end");
    let half = vec![b'x'; 1 << 19];
    let cut = output(
        written(&half, 2 << 20, &half),
        written(&half, (5 << 19) + 1, b"end"),
    );
    assert!(seen(1, 1) == [Seen::Observed(cut)]);
}

#[test]
fn attempts_keep_what_was_seen_of_each() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a"], "s");
    let pid = None;
    let left = |name: &str| {
        let name = name.into();
        Observed::Left([Left { pid, name }].into())
    };
    journal.observed(task(0), 1, &left("one"));
    journal.end(task(0), 1, &ended(Outcome::Failed), false);
    journal.observed(task(0), 2, &left("lost"));
    journal.crash(&Crash::default());
    journal.observed(task(0), 2, &left("two"));
    journal.end(task(0), 2, &ended(Outcome::Passed), true);
    let kept = restart(&journal.read().unwrap());
    for (attempt, name) in [(1, "one"), (2, "two")] {
        let seen: Vec<_> = kept.seen(task(0), attempt).collect();
        assert_eq!(seen, [&Seen::Observed(left(name))]);
    }
}

#[test]
fn numbers_change_by_as_much_as_they_did() {
    let change = |was, value: &str| Change {
        key: "n".into(),
        value: Some(json(value)),
        was,
    };
    for (was, value, now, over) in [
        (Some(1), "2", Some("1"), "2"),
        (Some(1), "2", Some("0"), "1"),
        (Some(1), "\"x\"", Some("0"), "\"x\""),
        (Some(1), "2", Some("null"), "2"),
        (Some(4), "6", None, "2"),
        (None, "2", Some("7"), "2"),
        (
            Some(-1),
            "9223372036854775807",
            Some("5"),
            "9223372036854775807",
        ),
    ] {
        let now = now.map(json);
        assert_eq!(
            change(was, value).over(now.as_ref()),
            Some(json(over)),
            "{value}"
        );
    }
    assert_eq!(
        Change {
            value: None,
            ..change(None, "1")
        }
        .over(Some(&json("1"))),
        None
    );
}

/// Puts bytes where a journal is expected.
fn take_up(directory: &Path, bytes: &[u8]) -> Result<Recorded, Error> {
    let path = directory.join("j");
    fs::write(&path, bytes).unwrap();
    Journal::take_up(&path).map(|(_, recorded)| recorded)
}

fn bytes_of(journal: &Journal) -> Vec<u8> {
    journal.inner().store.peek().unwrap()
}

#[test]
fn a_journal_that_is_cut_anywhere_says_what_stands_before() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = bytes_of(&full());
    let mut ends: Vec<_> = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .collect();
    ends.retain(|(at, _)| *at > 0);
    for length in 0..bytes.len() {
        let recorded = take_up(directory.path(), &bytes[..length]).unwrap();
        let whole = ends
            .iter()
            .map(|(at, _)| at + 1)
            .take_while(|end| *end <= length)
            .last();
        let whole = whole.unwrap_or(0);
        let dropped = length - whole;
        assert_eq!(
            recorded.warnings.len(),
            usize::from(dropped > 0),
            "{length}"
        );
        assert_eq!(recorded.is_empty(), whole == 0);
        let kept = fs::read(directory.path().join("j")).unwrap();
        assert_eq!(kept, &bytes[..whole]);
    }
    let recorded = take_up(directory.path(), &bytes[..bytes.len() - 1]).unwrap();
    let warning = &recorded.warnings[0];
    assert!(
        warning.starts_with("dropped ") && warning.contains(" bytes at the end of"),
        "{warning}"
    );
}

proptest! {
    /// Whatever stands in the file: nothing is made up, and nobody panics.
    #[test]
    fn damage_is_seen(at in 0_usize..4000, byte: u8, cut in 0_usize..4000) {
        let directory = tempfile::tempdir().unwrap();
        let good = bytes_of(&full());
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let is_damaged = bytes.get(at).is_some_and(|there| *there != good[at]);
        let line = good[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let behind = bytes.iter().skip(at).filter(|byte| **byte == b'\n').count();
        match take_up(directory.path(), &bytes) {
            Ok(_) => {
                let left = fs::read(directory.path().join("j")).unwrap();
                let whole = if is_damaged { line.min(left.len()) } else { left.len() };
                prop_assert_eq!(&left[..], &good[..whole]);
            }
            Err(error) => {
                prop_assert!(is_damaged);
                let expected = format!("is damaged at byte {line}, with");
                prop_assert!(
                    error.id() == "resume.format" && line == 0
                        || error.id() == "resume.corrupt" && error.message().contains(&expected) && behind > 0,
                    "{}", error
                );
            }
        }
    }

    #[test]
    fn any_bytes_are_a_journal_or_refused(bytes: Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        if let Ok(recorded) = take_up(directory.path(), &bytes) {
            prop_assert!(recorded.is_empty());
        }
    }
}

#[test]
fn what_is_no_journal_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let newer = {
        let mut text = br#"{"open":{"format":2,"else":[]}"#.to_vec();
        line::seal(&mut text, 0);
        text
    };
    for (bytes, id, message) in [
        (
            &b"hello\n"[..],
            "resume.format",
            "is not a journal of tdrun",
        ),
        (b"{\"a\":1}\n", "resume.format", "is not a journal of tdrun"),
        (b"\0\0", "resume.format", "is not a journal of tdrun"),
        (
            b"{\"open\":{\"format\":1}}\n",
            "resume.format",
            "is not a journal of tdrun",
        ),
        (
            &newer,
            "resume.format",
            "was written by a newer tdrun, in format 2",
        ),
    ] {
        let error = take_up(directory.path(), bytes).err().unwrap();
        assert_eq!(error.id(), id, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert_eq!(fs::read(directory.path().join("j")).unwrap(), bytes);
    }
    assert!(take_up(directory.path(), b"").unwrap().is_empty());
    let error = |path: &Path| Journal::take_up(path).err().unwrap();
    assert_eq!(
        error(&directory.path().join("none")).id(),
        "resume.notfound"
    );
    let error = error(directory.path());
    assert!(
        error.message().ends_with("is a directory, not a journal"),
        "{error}"
    );
}

#[test]
fn a_journal_is_made_where_nothing_is_and_used_by_one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("j");
    let create = || Journal::create(&path);
    let journal = create().unwrap();
    begin(&journal, &["a"], "s");
    let me = format!("is in use by process {}", std::process::id());
    for error in [create().err(), Journal::take_up(&path).err()] {
        let error = error.unwrap();
        assert_eq!(error.id(), "resume.locked");
        assert!(error.message().ends_with(&me), "{error}");
    }
    drop(journal);
    assert_eq!(create().err().unwrap().id(), "journal.exists");
    drop(Journal::take_up(&path).unwrap());
    for (path, kind) in [
        (directory.path(), "a directory"),
        (Path::new("/dev/full"), "a device"),
    ] {
        let error = Journal::create(path).err().unwrap();
        assert_eq!(error.id(), "io.journal");
        assert!(error.message().ends_with(kind), "{error}");
    }
}

/// The tasks a, b, c, …, where each pair says that the second comes after the first.
struct World {
    names: Vec<&'static str>,
    edges: Vec<Vec<TaskId>>,
    sha256: &'static str,
    definition: u64,
    changed: bool,
}

impl World {
    fn new(names: &[&'static str], edges: &[(usize, usize)]) -> Self {
        let mut rows = vec![Vec::new(); names.len()];
        for (before, after) in edges {
            rows[*after].push(task(*before));
        }
        Self {
            names: names.to_vec(),
            edges: rows,
            sha256: "s",
            definition: 1,
            changed: false,
        }
    }

    fn resume(&self, recorded: &Recorded) -> Result<Resumed, Error> {
        let libraries = [library("x", self.sha256)];
        let order: Vec<_> = (0..self.names.len()).map(task).collect();
        let now = Now {
            shown: "j",
            libraries: &libraries,
            order: &order,
            changed: self.changed,
        };
        let planned = |id: TaskId| Planned {
            task: id,
            library: LibraryId(0),
            name: self.names[id.index()],
            definition: self.definition,
        };
        let before = |id: TaskId| &*self.edges[id.index()];
        let find = |_, name: &str| self.names.iter().position(|other| *other == name).map(task);
        recorded.resume(&now, planned, before, find)
    }

    fn stays(&self, recorded: &Recorded) -> Vec<&'static str> {
        let resumed = self.resume(recorded).unwrap();
        resumed
            .stays
            .iter()
            .map(|task| self.names[task.index()])
            .collect()
    }
}

#[test]
fn passed_stays_under_whatever_number_and_all_else_runs() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b", "c", "d", "e", "f"], "s");
    journal.ran(0, [(task(0), 0, 1), (task(5), 0, 1)]);
    journal.end(task(1), 1, &ended(Outcome::Skipped), true);
    journal.end(task(2), 1, &ended(Outcome::Failed), true);
    journal.end(task(3), 1, &ended(Outcome::Failed), false);
    let recorded = journal.read().unwrap();
    let world = World::new(&["f", "e", "d", "c", "b", "a", "new"], &[]);
    assert_eq!(world.stays(&recorded), ["f", "b", "a"]);
    let resumed = world.resume(&recorded).unwrap();
    assert!(resumed.kept.is_told(task(0)) && !resumed.kept.is_idle());
    // What comes after a task that did not pass runs too: it saw what that one left.
    let world = World::new(&["c", "a", "d", "b", "e", "f"], &[(0, 1), (1, 3), (4, 5)]);
    assert_eq!(world.stays(&recorded), ["f"]);
    let world = World::new(&["c", "e", "a"], &[(0, 1), (1, 2)]);
    assert_eq!(
        world.stays(&recorded),
        [""; 0],
        "also over one that never ran"
    );
    let world = World::new(&["a", "b"], &[(0, 1)]);
    assert!(world.resume(&recorded).unwrap().kept.is_idle());
}

#[test]
fn what_has_changed_is_refused_or_runs_with_all_that_comes_after_it() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b", "gone"], "s");
    journal.ran(0, (0..3).map(|at| (task(at), 0, 1)));
    let recorded = journal.read().unwrap();
    let mut world = World::new(&["a", "b"], &[(0, 1)]);
    world.definition = 2;
    let error = world.resume(&recorded).err().unwrap();
    assert_eq!(
        error.to_string(),
        "error[resume.changed]: `a`, `b` are declared otherwise since the run of `j`\n  \
         to run what has changed again, and all that comes after it: --resume-changed\n  \
         to run everything: without --resume=j"
    );
    world.sha256 = "t";
    let error = world.resume(&recorded).err().unwrap();
    assert_eq!(error.message(), "`/x.so` has changed since the run of `j`");
    world.changed = true;
    let resumed = world.resume(&recorded).unwrap();
    assert_eq!(resumed.stays, []);
    assert_eq!(resumed.warnings, ["`gone` of `x` is no longer there"]);
}

#[test]
fn a_second_resume_sees_the_first() {
    let journal = Journal::private(|| ()).unwrap();
    begin(&journal, &["a", "b", "c"], "s");
    journal.ran(0, (0..3).map(|at| (task(at), 0, 1)));
    // Taken up with other numbers, and with b and what comes after it to be run again: killed before that.
    begin(&journal, &["c", "b", "a"], "s");
    journal.keep([task(2)].into_iter());
    let world = World::new(&["a", "b", "c"], &[]);
    assert_eq!(world.stays(&journal.read().unwrap()), ["a"]);
    // Another selection knows what it did not select.
    begin(&journal, &["b"], "s");
    journal.keep([].into_iter());
    journal.ran(0, [(task(0), 0, 1)]);
    assert_eq!(world.stays(&journal.read().unwrap()), ["a", "b"]);
}
