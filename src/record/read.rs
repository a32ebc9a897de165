//! From records to what is known of each task.
//!
//! A file may hold several runs, each with ids of its own; what they have in common are names. A private journal holds one,
//! and has no names but those of tasks that were added.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use serde_json::value::RawValue;

use super::entry::{self, Entry, FORMAT};
use super::kept::{Change, Plain, Seen};
use super::{Crash, Ended, Library};
use crate::event::{Cause, Hook};
use crate::task::{
    Channel, Failure, Json, Left, Level, Observed, Outcome, Output, Place, Record, TaskId, Written,
};

/// Places by id: there may be millions.
type Ids = HashMap<u32, usize, FixedState>;

/// What a journal says.
#[derive(Default)]
pub struct Recorded {
    /// What people should know of the file.
    pub warnings: Vec<String>,
    /// The exit status of the last run, where that came to its end.
    pub exit: Option<i32>,
    /// Why the last run started nothing any more.
    pub stopped: Option<String>,
    /// How the processes of the last run ended that did so before their time.
    pub crashes: Vec<Crash>,
    /// How many tasks the last run has planned.
    pub planned: usize,
    /// Each run, with its libraries.
    pub(super) runs: Vec<Vec<Library>>,
    pub(super) tasks: Vec<Known>,
    /// By library and name: places in `tasks`.
    pub(super) by_name: HashMap<Box<str>, HashMap<Box<str>, usize>>,
    /// By id in the last run.
    pub(super) by_id: Ids,
    /// Tasks that were added: library, name, place.
    pub(super) added: Vec<(Box<str>, Box<str>, usize)>,
    /// In the order in which they were made.
    pub(super) changes: Vec<Made>,
    /// By task, what was heard and seen of attempts that have ended.
    pub(super) seen: HashMap<usize, Vec<(u32, Seen)>, FixedState>,
    /// Tasks that got an outcome without running.
    pub(super) idle: HashMap<usize, Outcome, FixedState>,
    /// Hooks of the last run that did not pass: which, of which library, and why.
    pub(super) hooks: Vec<(Hook, String, Failure)>,
}

/// What is known of a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The run that the rest is of.
    pub(super) run: usize,
    /// See [`super::definition`]; 0 where that is not known.
    pub(super) definition: u64,
    /// It passed at once and returned nothing.
    pub(super) plain: Option<Plain>,
    /// Otherwise: its attempts that have ended.
    pub(super) attempts: Vec<Ended>,
    /// The last of these is not followed by another one.
    pub(super) is_done: bool,
    /// An attempt has begun and not ended.
    pub(super) is_started: bool,
    /// Counted up when it begins anew.
    pub(super) life: u32,
}

/// A change of a state key.
pub(super) struct Made {
    pub(super) task: usize,
    pub(super) life: u32,
    pub(super) change: Change,
    /// The attempt has ended.
    pub(super) counts: bool,
}

/// Takes records one by one.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) recorded: Recorded,
    /// The journal is of a newer format.
    pub(super) newer: Option<u32>,
    /// By task and attempt: changes that count when that ends.
    pending: HashMap<(usize, u32), Vec<usize>, FixedState>,
    /// By task and attempt: what was heard and seen of those that have not ended.
    seen: HashMap<(usize, u32), Vec<Seen>, FixedState>,
    /// Attempts that run.
    running: HashMap<usize, entry::Start, FixedState>,
    /// Planned in this run, with their definitions.
    planned: Vec<(usize, u64)>,
    /// Those of `recorded.added`.
    added: HashSet<usize>,
    is_open: bool,
}

impl Recorded {
    /// There is nothing: as good as no journal.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The tasks that were added while the last run went on: library and name, in their order.
    pub fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        self.added
            .iter()
            .map(|(library, name, _)| (&**library, &**name))
    }

    /// The library and name of a task that was added, by its id.
    pub fn added_as(&self, task: TaskId) -> Option<(&str, &str)> {
        let id = u32::try_from(task.index()).ok()?;
        let place = self.by_id.get(&id)?;
        let mut added = self.added.iter();
        let (library, name, _) = added.find(|(.., added)| added == place)?;
        Some((library, name))
    }

    /// The libraries of the last run.
    pub fn libraries(&self) -> &[Library] {
        self.runs.last().map_or(&[], Vec::as_slice)
    }

    fn named(&mut self, library: &str, name: &str) -> usize {
        let known = self.by_name.get(library).and_then(|names| names.get(name));
        if let Some(task) = known {
            return *task;
        }
        let task = self.new_task();
        let names = self.by_name.entry(library.into()).or_default();
        names.insert(name.into(), task);
        task
    }

    fn new_task(&mut self) -> usize {
        let run = self.runs.len().saturating_sub(1);
        self.tasks.push(Known {
            run,
            ..Known::default()
        });
        self.tasks.len() - 1
    }

    fn task(&mut self, id: u32) -> usize {
        if let Some(task) = self.by_id.get(&id) {
            return *task;
        }
        let task = self.new_task();
        self.by_id.insert(id, task);
        task
    }
}

impl Known {
    fn begin_anew(&mut self) {
        *self = Self {
            run: self.run,
            definition: self.definition,
            life: self.life + 1,
            ..Self::default()
        };
    }
}

impl Reader {
    /// Takes a record; false where it is none.
    pub(super) fn take(&mut self, record: &str) -> bool {
        let Ok(entry) = serde_json::from_str(record) else {
            // Of a newer format all may be otherwise but this.
            self.newer = self.newer.or_else(|| newer(record));
            return false;
        };
        if !self.is_open && !matches!(entry, Entry::Open(_)) {
            return false;
        }
        match entry {
            Entry::Open(open) if open.format > FORMAT => {
                self.newer = Some(open.format);
                return false;
            }
            Entry::Open(open) => self.open(open),
            Entry::Plan(plan) => self.plan(&plan),
            Entry::Kept(kept) => self.keep(&kept),
            Entry::Start(start) => {
                let task = self.recorded.task(start.task);
                self.recorded.tasks[task].is_started = true;
                self.running.insert(task, start);
            }
            Entry::State(state) => self.state(&state),
            Entry::Ran(ran) => self.ran(&ran),
            Entry::End(end) => self.end(&end),
            Entry::Said(said) => self.said(&said),
            Entry::Wrote(wrote) => self.wrote(wrote),
            Entry::Left(left) => self.left(left),
            Entry::Added(added) => self.added(added),
            Entry::Hook(hook) => self.hook(&hook),
            Entry::Stop(stop) => self.recorded.stopped = Some(stop.why.into_owned()),
            Entry::Crash(crash) => self.crash(crash.into()),
            Entry::Again(_) => self.drop_running(),
            Entry::Fin(fin) => self.recorded.exit = Some(fin.exit),
        }
        true
    }

    fn open(&mut self, open: entry::Open<'_>) {
        let recorded = &mut self.recorded;
        let libraries = open.libraries.into_iter().map(Library::from);
        recorded.runs.push(libraries.collect());
        recorded.by_id.clear();
        recorded.added.clear();
        recorded.crashes.clear();
        recorded.hooks.clear();
        recorded.idle.clear();
        recorded.planned = open.planned;
        (recorded.exit, recorded.stopped) = (None, None);
        self.pending.clear();
        self.seen.clear();
        self.running.clear();
        self.planned.clear();
        self.added.clear();
        self.is_open = true;
    }

    fn plan(&mut self, plan: &entry::Plan<'_>) {
        for (id, library, name, hash) in &plan.tasks {
            let library = self.recorded.libraries().get(*library as usize);
            let library = library.map_or_else(String::new, |library| library.name.clone());
            let task = self.recorded.named(&library, name);
            let definition = u64::from_str_radix(hash, 16).unwrap_or(0);
            self.recorded.by_id.insert(*id, task);
            self.planned.push((task, definition));
            let known = &mut self.recorded.tasks[task];
            if known.definition == 0 {
                known.definition = definition;
            }
        }
    }

    fn keep(&mut self, kept: &entry::Kept) {
        let kept = kept.tasks.iter().map(|id| self.recorded.task(*id));
        let kept: HashSet<_> = kept.collect();
        let run = self.recorded.runs.len() - 1;
        for (task, definition) in std::mem::take(&mut self.planned) {
            if !kept.contains(&task) {
                let known = &mut self.recorded.tasks[task];
                known.begin_anew();
                (known.run, known.definition) = (run, definition);
                self.recorded.seen.remove(&task);
            }
        }
    }

    fn state(&mut self, state: &entry::State<'_>) {
        // What a setup sets the next one sets again, as it is then.
        let Some(task) = state.task else {
            return;
        };
        let task = self.recorded.task(task);
        let known = &self.recorded.tasks[task];
        let has_ended = known.attempts.len() >= state.attempt as usize || known.plain.is_some();
        let at = self.recorded.changes.len();
        self.recorded.changes.push(Made {
            task,
            life: known.life,
            change: Change {
                key: state.key.as_ref().into(),
                value: state.value.map(json),
                was: state.was,
            },
            // A thread that a task has left behind.
            counts: has_ended,
        });
        if !has_ended {
            let changes = self.pending.entry((task, state.attempt)).or_default();
            changes.push(at);
        }
    }

    /// The attempt has ended: what it did counts.
    fn commit(&mut self, task: usize, attempt: u32) {
        for at in self.pending.remove(&(task, attempt)).unwrap_or_default() {
            self.recorded.changes[at].counts = true;
        }
        if let Some(seen) = self.seen.remove(&(task, attempt)) {
            let known = self.recorded.seen.entry(task).or_default();
            known.extend(seen.into_iter().map(|seen| (attempt, seen)));
        }
        self.running.remove(&task);
        self.recorded.tasks[task].is_started = false;
    }

    fn ran(&mut self, ran: &entry::Ran) {
        let mut last = ran.at;
        for &(id, after, took) in &ran.tasks {
            let start = last.saturating_add(after);
            last = start.saturating_add(took);
            let task = self.recorded.task(id);
            let known = &mut self.recorded.tasks[task];
            if known.plain.is_some() && !known.is_started {
                continue; // written once more by who did not know
            }
            known.attempts.clear();
            self.recorded.seen.remove(&task);
            known.plain = Some(Plain {
                worker: ran.worker,
                start,
                took,
            });
            known.is_done = true;
            self.commit(task, 1);
        }
    }

    fn end(&mut self, end: &entry::End<'_>) {
        let outcome = Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == end.outcome);
        // What a lock has kept from running might find it free by now; all else follows from the rest.
        let Some(outcome) = outcome else { return };
        if end.idle && end.lock.is_none() {
            let task = self.recorded.task(end.task);
            self.recorded.idle.insert(task, outcome);
            return;
        }
        let ended = Ended {
            outcome,
            worker: end.worker.map(|worker| worker as usize),
            at: end.at,
            took: end.took,
            result: end.result.map(json),
            cause: cause(outcome, end),
        };
        let task = self.recorded.task(end.task);
        self.push(task, end.attempt, ended);
        self.recorded.tasks[task].is_done = end.last;
    }

    fn push(&mut self, task: usize, attempt: u32, ended: Ended) {
        let known = &mut self.recorded.tasks[task];
        known.plain = None;
        known.attempts.truncate(attempt.saturating_sub(1) as usize);
        known.attempts.push(ended);
        if let Some(seen) = self.recorded.seen.get_mut(&task) {
            seen.retain(|(number, _)| *number < attempt);
        }
        self.commit(task, attempt);
    }

    fn see(&mut self, (task, attempt): (u32, u32), seen: Seen) {
        let task = self.recorded.task(task);
        self.seen.entry((task, attempt)).or_default().push(seen);
    }

    fn said(&mut self, said: &entry::Said<'_>) {
        let level = Level::ALL
            .into_iter()
            .find(|level| level.as_str() == said.level);
        let record = Record {
            level: level.unwrap_or(Level::Info),
            target: said.target.as_ref().into(),
            message: said.message.as_ref().into(),
            place: place(said.file.as_deref(), said.line),
        };
        self.see((said.task, said.attempt), Seen::Said(record));
    }

    fn wrote(&mut self, wrote: entry::Wrote<'_>) {
        let attempt = (wrote.task, wrote.attempt);
        let [stdout, stderr] = [wrote.stdout, wrote.stderr].map(|it| it.map(written));
        if wrote.live {
            let channels = [(Channel::Stdout, stdout), (Channel::Stderr, stderr)];
            for (channel, line) in channels {
                if let Some(line) = line {
                    let line = Observed::Line(channel, line.head.into());
                    self.see(attempt, Seen::Observed(line));
                }
            }
            return;
        }
        let output = Output {
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        };
        self.see(attempt, Seen::Observed(Observed::Output(output.into())));
    }

    fn left(&mut self, left: entry::Left<'_>) {
        let processes = left.processes.into_iter();
        let processes = processes.map(|(pid, name)| Left {
            pid,
            name: name.as_ref().into(),
        });
        let observed = Observed::Left(processes.collect());
        self.see((left.task, left.attempt), Seen::Observed(observed));
    }

    fn hook(&mut self, hook: &entry::Hook<'_>) {
        let which = [Hook::Setup, Hook::Teardown]
            .into_iter()
            .find(|which| which.as_str() == hook.which);
        if let (Some(which), Some(message)) = (which, &hook.message) {
            let failure = Failure {
                message: message.as_ref().into(),
                place: place(hook.file.as_deref(), hook.line),
            };
            let library = hook.library.as_ref().into();
            self.recorded.hooks.push((which, library, failure));
        }
    }

    fn added(&mut self, added: entry::Added<'_>) {
        for (id, library, name) in added.tasks {
            let task = self.recorded.named(&library, &name);
            self.recorded.by_id.insert(id, task);
            if self.added.insert(task) {
                let (library, name) = (library.as_ref().into(), name.as_ref().into());
                self.recorded.added.push((library, name, task));
            }
        }
    }

    fn crash(&mut self, crash: Crash) {
        if let Some(guilty) = crash.task {
            let guilty = u32::try_from(guilty.index()).unwrap_or(u32::MAX);
            let task = self.recorded.task(guilty);
            let known = &self.recorded.tasks[task];
            let tried = u32::try_from(known.attempts.len()).unwrap_or(u32::MAX);
            let began = self.running.get(&task);
            let attempt = began.map_or(tried + 1, |began| began.attempt);
            let mut crash = crash.clone();
            if let (Some(began), None) = (began, crash.worker) {
                crash.worker = Some(began.worker as usize);
                crash.took = crash.at.saturating_sub(began.at);
            }
            if !known.is_done {
                self.pending.remove(&(task, attempt));
                self.push(task, attempt, crashed(&crash));
            }
        }
        self.drop_running();
        self.recorded.crashes.push(crash);
    }

    /// What ran is run again, from before what it did.
    fn drop_running(&mut self) {
        self.pending.clear();
        self.seen.clear();
        for (task, _) in self.running.drain() {
            self.recorded.tasks[task].is_started = false;
        }
    }
}

/// The attempt that took its process with it.
fn crashed(crash: &Crash) -> Ended {
    let message = match (&crash.words, crash.signal, crash.status) {
        (Some(words), ..) => words.clone(),
        (None, Some(signal), _) => format!("killed by signal {signal}"),
        (None, None, Some(status)) => format!("exited with status {status} before finishing"),
        (None, None, None) => "ended the whole process".to_owned(),
    };
    Ended {
        outcome: Outcome::Crashed,
        worker: crash.worker,
        at: crash.at,
        took: crash.took,
        result: None,
        cause: Some(Cause::Failure(Failure {
            message: message.into(),
            place: None,
        })),
    }
}

fn cause(outcome: Outcome, end: &entry::End<'_>) -> Option<Cause> {
    let failure = end.message.as_ref().map(|message| Failure {
        message: message.as_ref().into(),
        place: place(end.file.as_deref(), end.line),
    });
    if let (Some(lock), Some(holder)) = (&end.lock, end.holder) {
        return Some(Cause::Locked {
            lock: lock.as_ref().into(),
            holder: id(holder),
        });
    }
    if let Some(limit) = end.limit {
        return Some(Cause::TimedOut {
            limit: Duration::from_nanos(limit),
            still_running: end.running,
            failure,
        });
    }
    match &end.reason {
        Some(reason) => Some(Cause::Skip(reason.as_ref().into())),
        None if outcome == Outcome::Skipped => Some(Cause::Skip("".into())),
        None => failure.map(Cause::Failure),
    }
}

fn place(file: Option<&str>, line: u32) -> Option<Place> {
    file.map(|file| Place {
        file: Arc::from(file),
        line,
    })
}

fn written(written: entry::Written<'_>) -> Written {
    let bytes = |bytes| match bytes {
        entry::Bytes::Text(text) => text.into_owned().into_bytes(),
        entry::Bytes::Bytes(bytes) => bytes,
    };
    let entry::Written(head, cut, tail) = written;
    Written {
        head: bytes(head),
        cut,
        tail: bytes(tail),
    }
}

fn json(raw: &RawValue) -> Json {
    raw.get().into()
}

/// The format of a record that begins a run, if it is a newer one.
fn newer(record: &str) -> Option<u32> {
    let record: serde_json::Value = serde_json::from_str(record).ok()?;
    let format = record.get("open")?.get("format")?.as_u64()?;
    u32::try_from(format).ok().filter(|format| *format > FORMAT)
}

/// The id of a task of the last run.
pub(super) fn id(id: u32) -> TaskId {
    TaskId::new(id as usize)
}
