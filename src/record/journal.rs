//! The writer: each record is one write, from any thread. What cannot be written never changes what a run comes to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::value::RawValue;

use super::entry::{self, Entry, FORMAT};
use super::file::{Refused, Store, Wrote};
use super::line::{self, Tail};
use super::read::Reader;
use super::{Crash, Ended, Library, Opening, Planned, Recorded};
use crate::error::{Error, Result};
use crate::event::{Cause, Hook, Stop, Summary};
use crate::task::{Channel, Failure, Json, Observed, Outcome, Record, TaskId, Written};

/// A journal that is open for writing.
pub struct Journal {
    /// As the user named it; none of a private one.
    shown: Option<String>,
    /// Called when it cannot be written any more; of a private one.
    when_off: Option<fn()>,
    /// The process that has it locked.
    pid: u32,
    inner: Mutex<Inner>,
    has_news: AtomicBool,
}

pub(super) struct Inner {
    pub(super) store: Store,
    /// Records that say nothing new; written together with the next one.
    later: Vec<u8>,
    /// So many bytes say what processes wrote.
    wrote: usize,
    /// Nothing is written any more.
    off: bool,
    news: Vec<News>,
    trouble: Option<Error>,
}

/// What people should know of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is not written any more. Told once.
    Off(Error),
    /// Something is odd.
    Warning(String),
}

/// Who changed a state key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An attempt of a task.
    Task(TaskId, u32),
    /// A hook.
    Hook(Hook),
    /// The library outside of both.
    Library,
}

/// Where a task is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Which.
    pub task: TaskId,
    /// From 1.
    pub attempt: u32,
    /// Its worker.
    pub worker: usize,
    /// Nanoseconds since the start of the run.
    pub at: u64,
}

/// What a journal says, as far as it has been read.
#[derive(Default)]
pub struct Reading {
    reader: Reader,
    upto: u64,
}

impl Reading {
    /// So far.
    pub fn recorded(&self) -> &Recorded {
        &self.reader.recorded
    }

    /// All of it.
    pub fn finish(self) -> Recorded {
        self.reader.recorded
    }
}

/// As many planned tasks stand in one record.
const PLANNED: usize = 1000;
/// So many bytes of a channel are recorded, half of them of the beginning: as many as stand in reports.
const WHOLE: usize = 1 << 20;
/// So many bytes of records say what processes wrote. Beyond that they say how much it was.
const WROTE_MOST: usize = 64 << 20;
/// What waits for the next record is written at this size.
const LATER: usize = 1 << 15;

impl Journal {
    /// One that is kept in a new file. Errors: `resume.locked`, `journal.exists`, `io.journal`.
    pub fn create(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let store = Store::open(path, true).map_err(|refused| match refused {
            Refused::Locked(store) => locked(&shown, &store),
            Refused::Kind(kind) => {
                let message = format!("cannot keep a journal in `{shown}`: it is {kind}");
                Error::new("io.journal", message)
            }
            Refused::Io(error) => {
                let message = format!("cannot keep a journal in `{shown}`: {error}");
                Error::new("io.journal", message)
            }
        })?;
        match store.head(1) {
            Ok(head) if head.is_empty() => Ok(Self::new(store, Some(shown))),
            _ => {
                let error = Error::new("journal.exists", format!("`{shown}` is not empty"));
                Err(error
                    .hint(format!("take its run up again: --resume={shown}"))
                    .hint("or name another file, or remove this one"))
            }
        }
    }

    /// One in memory, which forked processes share. People do not know of it: where it cannot be written any more, they are not
    /// told, and `when_off` is called at once, on the thread that sees that.
    pub fn private(when_off: fn()) -> Result<Self> {
        let store = Store::private();
        let store = store
            .map_err(|error| Error::new("io.journal", format!("cannot make a journal: {error}")))?;
        Ok(Self {
            when_off: Some(when_off),
            ..Self::new(store, None)
        })
    }

    /// That of an earlier run, to go on with, and what it has recorded. What was torn off at its end is cut, with a warning. An
    /// empty one is as a new one.
    ///
    /// Errors: `resume.notfound`, `resume.locked`, `resume.format`, `resume.corrupt`, `io.journal`.
    pub fn take_up(path: &Path) -> Result<(Self, Recorded)> {
        let shown = path.display().to_string();
        let store = Store::open(path, false).map_err(|refused| match refused {
            Refused::Locked(store) => locked(&shown, &store),
            Refused::Kind(kind) => Error::new(
                "resume.format",
                format!("`{shown}` is {kind}, not a journal"),
            ),
            Refused::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let error = Error::new("resume.notfound", format!("`{shown}` does not exist"));
                error.hint(format!(
                    "a run keeps its journal there with --journal={shown}"
                ))
            }
            Refused::Io(error) => {
                let message = format!("cannot take up the journal `{shown}`: {error}");
                Error::new("io.journal", message)
            }
        })?;
        let journal = Self::new(store, Some(shown));
        let recorded = journal.read()?;
        Ok((journal, recorded))
    }

    fn new(store: Store, shown: Option<String>) -> Self {
        Self {
            shown,
            when_off: None,
            pid: std::process::id(),
            inner: Mutex::new(Inner {
                store,
                later: Vec::new(),
                wrote: 0,
                off: false,
                news: Vec::new(),
                trouble: None,
            }),
            has_news: AtomicBool::new(false),
        }
    }

    /// All that has been recorded so far, by whatever process; what was torn off at the end is cut. While no other process writes.
    ///
    /// Errors: as those of [`Journal::take_up`].
    pub fn read(&self) -> Result<Recorded> {
        let mut reading = Reading::default();
        self.read_on(&mut reading)?;
        Ok(reading.finish())
    }

    /// The same, from where that was read to before.
    pub fn read_on(&self, reading: &mut Reading) -> Result<()> {
        let shown = self.shown.as_deref().unwrap_or("the journal");
        let unreadable = |error| {
            Error::new(
                "io.journal",
                format!("cannot read the journal `{shown}`: {error}"),
            )
        };
        let mut inner = self.inner();
        let head = inner.store.head(HEAD.len()).map_err(unreadable)?;
        if !head.starts_with(HEAD) && !HEAD.starts_with(&head) {
            return Err(foreign(shown));
        }
        let from = reading.upto;
        let bytes = inner.store.read_from(from).map_err(unreadable)?;
        let reader = &mut reading.reader;
        let tail = line::each(&bytes, |record| reader.take(record));
        if let Some(format) = reader.newer {
            let message = format!("`{shown}` was written by a newer tdrun, in format {format}");
            return Err(Error::new("resume.format", message));
        }
        match tail {
            Tail::Whole => {}
            Tail::Torn(0) if from == 0 && head.len() == HEAD.len() && bytes.contains(&b'\n') => {
                return Err(foreign(shown));
            }
            Tail::Torn(at) => {
                let good = from + at as u64;
                inner.store.cut(good).map_err(unreadable)?;
                let dropped = bytes.len() - at;
                let s = if dropped == 1 { "" } else { "s" };
                reader.recorded.warnings.push(format!(
                    "dropped {dropped} byte{s} at the end of `{shown}` that are no whole record"
                ));
            }
            Tail::Corrupt(at) => {
                let at = from + at as u64;
                let message =
                    format!("`{shown}` is damaged at byte {at}, with good records behind");
                let error = Error::new("resume.corrupt", message);
                return Err(error.hint(format!(
                    "what stands before can be taken up: truncate --size={at} {shown}"
                )));
            }
        }
        reading.upto = inner.store.good();
        Ok(())
    }

    /// It stays when the run is over.
    pub fn is_kept(&self) -> bool {
        self.shown.is_some()
    }

    /// As the user named it; none of a private one.
    pub fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// What people should know since the last time.
    pub fn news(&self) -> Vec<News> {
        if !self.has_news.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.has_news.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.inner().news)
    }

    /// Why it is not written any more.
    pub fn trouble(&self) -> Option<Error> {
        self.inner().trouble.clone()
    }

    /// A run begins. Before all else of it.
    pub fn open<'a>(&self, opening: &Opening<'_>, tasks: impl Iterator<Item = Planned<'a>>) {
        let libraries = opening.libraries.iter().map(Library::entry).collect();
        let cwd = std::env::current_dir().unwrap_or_default();
        let open = entry::Open {
            format: FORMAT,
            tdrun: env!("CARGO_PKG_VERSION").into(),
            run: run_id(opening.started).into(),
            pid: self.pid,
            started: millis(opening.started),
            argv: opening
                .argv
                .iter()
                .map(|word| word.as_str().into())
                .collect(),
            cwd: cwd.to_string_lossy().into_owned().into(),
            planned: opening.planned,
            libraries,
        };
        self.put(&Entry::Open(open));
        if !opening.is_named {
            return;
        }
        let mut tasks = tasks.peekable();
        while tasks.peek().is_some() {
            let some = tasks.by_ref().take(PLANNED).map(|task| {
                let hash = format!("{:016x}", task.definition).into();
                (id(task.task), task.library.0, task.name.into(), hash)
            });
            let tasks = some.collect();
            self.put(&Entry::Plan(entry::Plan { tasks }));
        }
    }

    /// These stay as they are recorded; all other planned ones begin anew. After [`Journal::open`] of a run that was taken up.
    pub fn keep(&self, tasks: impl Iterator<Item = TaskId>) {
        let tasks = tasks.map(id).collect();
        self.put(&Entry::Kept(entry::Kept { tasks }));
    }

    /// An attempt begins that is known nowhere else.
    pub fn start(&self, begun: Begun) {
        self.put(&Entry::Start(entry::Start {
            task: id(begun.task),
            attempt: begun.attempt,
            worker: worker(begun.worker),
            at: begun.at,
        }));
    }

    /// A state key was changed. In the order of the changes. `expected` is what the value was compared with.
    pub fn state(&self, by: By, key: &str, expected: Option<&Json>, value: Option<&Json>) {
        let (task, attempt, hook) = match by {
            By::Task(task, attempt) => (Some(id(task)), attempt, None),
            By::Hook(hook) => (None, 0, Some(hook.as_str().into())),
            By::Library => (None, 0, None),
        };
        self.put(&Entry::State(entry::State {
            task,
            attempt,
            hook,
            key: key.into(),
            value: value.map(raw),
            was: expected.and_then(|json| json.parse().ok()),
        }));
    }

    /// Plain tasks passed on a worker: which, from when to when. In the order of their ends.
    pub fn ran(&self, on: usize, tasks: impl IntoIterator<Item = (TaskId, u64, u64)>) {
        let mut tasks = tasks.into_iter();
        let Some(first) = tasks.next() else {
            return;
        };
        let mut text = Vec::with_capacity(1 << 14);
        let mut number = itoa::Buffer::new();
        let at = first.1;
        text.extend_from_slice(b"{\"ran\":{\"worker\":");
        text.extend_from_slice(number.format(on).as_bytes());
        text.extend_from_slice(b",\"at\":");
        text.extend_from_slice(number.format(at).as_bytes());
        text.extend_from_slice(b",\"tasks\":");
        // Most begin when the one before has ended: little to write, and the pages of a file cost more than the rest.
        let (mut before, mut last) = (b'[', at);
        for (task, start, end) in std::iter::once(first).chain(tasks) {
            text.extend_from_slice(&[before, b'[']);
            text.extend_from_slice(number.format(id(task)).as_bytes());
            text.push(b',');
            let (began, took) = (start.max(last), end.saturating_sub(start));
            text.extend_from_slice(number.format(began - last).as_bytes());
            text.push(b',');
            text.extend_from_slice(number.format(took).as_bytes());
            text.push(b']');
            (before, last) = (b',', began.saturating_add(took));
        }
        text.extend_from_slice(b"]}");
        line::seal(&mut text, 0);
        self.write(&mut self.inner(), &text);
    }

    /// An attempt has ended; where it is the `last`, the task has its outcome.
    pub fn end(&self, task: TaskId, attempt: u32, ended: &Ended, last: bool) {
        let end = end(task, attempt, ended, last, false);
        self.put(&Entry::End(Box::new(end)));
    }

    /// A task got its outcome without running, which follows from what is recorded already.
    pub fn settled(&self, task: TaskId, outcome: Outcome, at: u64) {
        let ended = Ended {
            outcome,
            worker: None,
            at,
            took: 0,
            result: None,
            cause: None,
        };
        let end = end(task, 0, &ended, true, true);
        let mut inner = self.inner();
        push(&mut inner.later, &Entry::End(Box::new(end)));
        if inner.later.len() >= LATER {
            self.write(&mut inner, &[]);
        }
    }

    /// An attempt has said something.
    pub fn said(&self, task: TaskId, attempt: u32, record: &Record) {
        let place = record.place.as_ref();
        self.put(&Entry::Said(entry::Said {
            task: id(task),
            attempt,
            level: record.level.as_str().into(),
            target: (&*record.target).into(),
            message: (&*record.message).into(),
            file: place.map(|place| (&*place.file).into()),
            line: place.map_or(0, |place| place.line),
        }));
    }

    /// Something was seen of the process of an attempt that does not go by.
    pub fn observed(&self, task: TaskId, attempt: u32, observed: &Observed) {
        let task = id(task);
        let wrote = |live, stdout, stderr| {
            Entry::Wrote(entry::Wrote {
                task,
                attempt,
                live,
                stdout,
                stderr,
            })
        };
        let entry = match observed {
            Observed::Output(output) => {
                let is_full = self.inner().wrote >= WROTE_MOST;
                let [stdout, stderr] =
                    [&output.stdout, &output.stderr].map(|it| written(it, is_full));
                wrote(false, stdout, stderr)
            }
            Observed::Line(..) if self.inner().wrote >= WROTE_MOST => return,
            Observed::Line(channel, line) => {
                let line = entry::Written(bytes(line), 0, bytes(&[]));
                match channel {
                    Channel::Stdout => wrote(true, Some(line), None),
                    Channel::Stderr => wrote(true, None, Some(line)),
                }
            }
            Observed::Left(left) => {
                let processes = left.iter().map(|left| (left.pid, (&*left.name).into()));
                Entry::Left(entry::Left {
                    task,
                    attempt,
                    processes: processes.collect(),
                })
            }
            Observed::Stopped(_) | Observed::Continued => return,
        };
        let mut text = Vec::new();
        push(&mut text, &entry);
        let mut inner = self.inner();
        inner.wrote += text.len();
        self.write(&mut inner, &text);
    }

    /// Running tasks have added these: id, name of the library, name.
    pub fn added<'a>(&self, tasks: impl Iterator<Item = (TaskId, &'a str, &'a str)>) {
        let tasks = tasks.map(|(task, library, name)| (id(task), library.into(), name.into()));
        let tasks = tasks.collect();
        self.put(&Entry::Added(entry::Added { tasks }));
    }

    /// A hook of a library has ended.
    pub fn hook(&self, hook: Hook, library: &str, ended: &Result<(), Failure>) {
        let failure = ended.as_ref().err();
        let place = failure.and_then(|failure| failure.place.as_ref());
        self.put(&Entry::Hook(entry::Hook {
            which: hook.as_str().into(),
            library: library.into(),
            message: failure.map(|failure| (&*failure.message).into()),
            file: place.map(|place| (&*place.file).into()),
            line: place.map_or(0, |place| place.line),
        }));
    }

    /// Nothing is started any more.
    pub fn stop(&self, why: Stop) {
        let why = format!("{why:?}").into();
        self.put(&Entry::Stop(entry::Stop { why }));
    }

    /// The process that ran the tasks has ended before its time. For the process that noticed it.
    pub fn crash(&self, crash: &Crash) {
        self.put(&Entry::Crash(crash.entry()));
    }

    /// This process goes on with the run of another one, whose end was nobody's fault.
    pub fn again(&self) {
        self.put(&Entry::Again(entry::Again {}));
    }

    /// The run has come to its end, with this exit status.
    pub fn fin(&self, summary: &Summary, exit: i32) {
        let counts = Outcome::ALL.map(|outcome| (outcome.to_string(), summary.counts.get(outcome)));
        self.put(&Entry::Fin(entry::Fin {
            planned: summary.planned,
            counts: BTreeMap::from(counts),
            exit,
        }));
    }

    fn put(&self, entry: &Entry<'_>) {
        let mut text = Vec::new();
        push(&mut text, entry);
        self.write(&mut self.inner(), &text);
    }

    /// Writes what has waited, then that.
    fn write(&self, inner: &mut Inner, text: &[u8]) {
        if inner.off {
            return;
        }
        let wrote = if inner.later.is_empty() {
            inner.store.append(text)
        } else {
            let mut later = std::mem::take(&mut inner.later);
            later.extend_from_slice(text);
            inner.store.append(&later)
        };
        let shown = || match &self.shown {
            Some(shown) => format!("the journal `{shown}`"),
            None => "the journal".to_owned(),
        };
        match wrote {
            Wrote::All => return,
            Wrote::Again => inner.news.push(News::Warning(format!(
                "something closed {}, which is not its own; it was opened again",
                shown()
            ))),
            Wrote::Nothing(error) => {
                let message = format!("cannot write {}: {error}", shown());
                let error = Error::new("io.journal", message).hint(
                    "the run goes on without it; what is recorded so far can be taken up again",
                );
                inner.off = true;
                if let Some(when_off) = self.when_off {
                    when_off();
                    return;
                }
                inner.trouble = Some(error.clone());
                inner.news.push(News::Off(error));
            }
        }
        self.has_news.store(true, Ordering::Relaxed);
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How every journal begins.
const HEAD: &[u8] = b"{\"open\":{\"format\":";

fn foreign(shown: &str) -> Error {
    Error::new(
        "resume.format",
        format!("`{shown}` is not a journal of tdrun"),
    )
}

/// Another process has it; which one, its last opening says.
fn locked(shown: &str, store: &Store) -> Error {
    let bytes = store.peek().unwrap_or_default();
    let mut pid = None;
    line::each(&bytes, |record| {
        if let Ok(Entry::Open(open)) = serde_json::from_str(record) {
            pid = Some(open.pid);
        }
        true
    });
    let who = match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::new("resume.locked", format!("`{shown}` is in use by {who}"))
}

fn push(text: &mut Vec<u8>, entry: &Entry<'_>) {
    let from = text.len();
    if serde_json::to_writer(&mut *text, entry).is_ok() {
        text.pop();
        line::seal(text, from);
    } else {
        debug_assert!(false, "records are JSON");
        text.truncate(from);
    }
}

fn end(task: TaskId, attempt: u32, ended: &Ended, last: bool, idle: bool) -> entry::End<'_> {
    let (failure, reason, limit, running) = match &ended.cause {
        Some(Cause::Failure(failure)) => (Some(failure), None, None, false),
        Some(Cause::Skip(why)) => (None, Some(&**why), None, false),
        Some(Cause::TimedOut {
            limit,
            still_running,
            failure,
        }) => {
            let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            (failure.as_ref(), None, Some(limit), *still_running)
        }
        _ => (None, None, None, false),
    };
    let place = failure.and_then(|failure| failure.place.as_ref());
    let (lock, holder) = match &ended.cause {
        Some(Cause::Locked { lock, holder }) => (Some((&**lock).into()), Some(id(*holder))),
        _ => (None, None),
    };
    entry::End {
        task: id(task),
        attempt,
        outcome: ended.outcome.as_str().into(),
        worker: ended.worker.map(worker),
        at: ended.at,
        took: ended.took,
        result: ended.result.as_ref().map(raw),
        message: failure.map(|failure| (&*failure.message).into()),
        file: place.map(|place| (&*place.file).into()),
        line: place.map_or(0, |place| place.line),
        reason: reason.map(Into::into),
        limit,
        running,
        idle,
        lock,
        holder,
        last,
    }
}

/// What was written, as it is recorded; none where that is nothing.
fn written(written: &Written, is_full: bool) -> Option<entry::Written<'_>> {
    let Written { head, cut, tail } = written;
    let length = head.len() + tail.len();
    if length == 0 && *cut == 0 {
        return None;
    }
    let (first, last) = match length {
        _ if is_full => (&[][..], &[][..]),
        ..=WHOLE => (&head[..], &tail[..]),
        _ => {
            let (first, rest) = head.split_at(head.len().min(WHOLE / 2));
            let rest = if *cut > 0 { tail } else { rest };
            (first, &rest[rest.len().saturating_sub(WHOLE / 2)..])
        }
    };
    let cut = cut + (length - first.len() - last.len()) as u64;
    Some(entry::Written(bytes(first), cut, bytes(last)))
}

fn bytes(bytes: &[u8]) -> entry::Bytes<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => entry::Bytes::Text(text.into()),
        Err(_) => entry::Bytes::Bytes(bytes.to_vec()),
    }
}

/// JSON as it is; `null` where it is none, which nobody hands in.
fn raw(json: &Json) -> &RawValue {
    serde_json::from_str(json).unwrap_or(RawValue::NULL)
}

fn id(task: TaskId) -> u32 {
    u32::try_from(task.index()).unwrap_or(u32::MAX)
}

fn worker(worker: usize) -> u32 {
    u32::try_from(worker).unwrap_or(u32::MAX)
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// When, and in which process: there is no other one.
fn run_id(started: SystemTime) -> String {
    let since = started.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    format!("{nanos:x}-{:x}", std::process::id())
}
