//! The journal of a run: what happened, as it happened, so that a run that did not come to its end can be taken up again,
//! by the supervisor or with `--resume`.
//!
//! Knows what a record says and which tasks stay as recorded; nothing of how tasks run, or of processes.
//!
//! # The format
//!
//! JSON Lines. Each line is an object of two members: the record under its kind, and a checksum of all bytes before
//! `,"crc"` (CRC-32C, eight hexadecimal digits):
//!
//! ```text
//! {"end":{"task":3,"attempt":1,"outcome":"passed","worker":0,"at":8125,"took":977,"result":7,"last":true},"crc":"0a1b2c3d"}
//! ```
//!
//! Tasks are numbers, good until the next `open`. Times are nanoseconds since the start of the run.
//!
//! | kind | says |
//! |---|---|
//! | `open` | a run begins: `format` (1), `tdrun`, `run`, `pid`, `started` (milliseconds since 1970), `argv`, `cwd`, `planned`, `libraries` (`name`, `path`, `dev`, `ino`, `size`, `mtime`, `sha256`) |
//! | `plan` | planned tasks: `[task, place of the library, name, hash of what it declares]` |
//! | `kept` | these tasks stay as earlier runs of the file left them; all other planned ones begin anew |
//! | `start` | a task begins: `task`, `attempt`, `worker`, `at`. Plain tasks begin without a word |
//! | `state` | a state key was changed by an attempt of a task or by a `hook`: `key`, `value` (not there where it was removed), `was` (the number that it was compared with) |
//! | `ran` | plain tasks passed on a `worker`: `[task, began so long after the one before, took]`; the first so long after `at` |
//! | `end` | an attempt ended: `outcome`, `worker`, `at`, `took`; `result`; why it did not pass: `message`, `file`, `line`, `reason`, `limit`, `running`, `lock`, `holder`; `last` where it is not tried again; `idle` where it did not come to run |
//! | `said` | an attempt said something, where a report holds that: `level`, `target`, `message`, `file`, `line` |
//! | `wrote` | what the process of an attempt wrote: `stdout`, `stderr`, each as its beginning, how many bytes are left out, and its end; what is no UTF-8 as a list of numbers. `live` where it is a line as it came |
//! | `left` | the `processes` that the process of an attempt left running: `[pid, name]` |
//! | `added` | running tasks have added these: `[task, library, name]` |
//! | `hook` | setup or teardown of a `library` ended; `message`, `file`, `line` where it did not pass |
//! | `stop` | nothing is started any more |
//! | `crash` | the process that ran the tasks ended before its time: `signal` or `status`, `task` or `hook` where it is known who did it, `words`, `suspects` |
//! | `again` | the process that ran the tasks was replaced by another one, which runs again what ran then |
//! | `fin` | the run has come to its end: `planned`, `counts`, `exit` |
//!
//! A record is one write, so who is killed leaves at most one that is not whole, at the end: it is cut. What is not whole and
//! has good records behind it is damage, and refused.

mod entry;
mod file;
mod journal;
mod kept;
mod line;
mod read;
mod resume;

use std::fmt::Write as _;
use std::fs::File;
use std::hash::{Hash as _, Hasher};
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

pub use journal::{Begun, By, Journal, News, Reading};
pub use kept::{Change, Concluded, Kept, Plain, Seen, Stood};
pub use read::Recorded;
pub use resume::{Now, Resumed};

use crate::event::Cause;
use crate::task::{Json, LibraryId, Outcome, TaskId, TaskRef};

/// What is known of a run before it begins.
pub struct Opening<'a> {
    /// When it began, by the wall clock.
    pub started: SystemTime,
    /// The command line.
    pub argv: &'a [String],
    /// How many tasks are planned.
    pub planned: usize,
    /// In the order of their ids.
    pub libraries: &'a [Library],
    /// Who takes this one up may have other ids, and knows tasks by their names.
    pub is_named: bool,
}

/// A library as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Unique in the run.
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Of the content; none where nobody wants to know, or it could not be read.
    pub sha256: Option<String>,
}

impl Library {
    /// Reads the content for its hash.
    pub fn hash(&mut self) {
        self.sha256 = sha256(&self.path).ok();
    }

    /// The code is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.sha256, &other.sha256) {
            (Some(one), Some(two)) => one == two,
            (None, None) => {
                let stamp = |it: &Self| (it.dev, it.ino, it.size, it.mtime);
                stamp(self) == stamp(other)
            }
            _ => false,
        }
    }

    fn entry(&self) -> entry::Library<'_> {
        entry::Library {
            name: self.name.as_str().into(),
            path: self.path.to_string_lossy(),
            dev: self.dev,
            ino: self.ino,
            size: self.size,
            mtime: self.mtime,
            sha256: self.sha256.as_deref().map(Into::into),
        }
    }
}

impl From<entry::Library<'_>> for Library {
    fn from(entry: entry::Library<'_>) -> Self {
        Self {
            name: entry.name.into_owned(),
            path: PathBuf::from(&*entry.path),
            dev: entry.dev,
            ino: entry.ino,
            size: entry.size,
            mtime: entry.mtime,
            sha256: entry.sha256.map(Into::into),
        }
    }
}

fn sha256(path: &std::path::Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut some = vec![0; 1 << 16];
    loop {
        match file.read(&mut some)? {
            0 => break,
            read => hash.update(&some[..read]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A planned task.
pub struct Planned<'a> {
    /// Its id in this run.
    pub task: TaskId,
    /// Where it comes from.
    pub library: LibraryId,
    /// Its name there.
    pub name: &'a str,
    /// See [`definition`].
    pub definition: u64,
}

impl<'a> Planned<'a> {
    /// The task of that id.
    pub fn new(id: TaskId, task: TaskRef<'a>) -> Self {
        Self {
            task: id,
            library: task.library(),
            name: task.name(),
            definition: definition(task),
        }
    }
}

/// A hash of what a task declares: its name, what it comes after, its options and arguments.
pub fn definition(task: TaskRef<'_>) -> u64 {
    let mut hash = Fnv::default();
    task.name().hash(&mut hash);
    task.each_after(&mut |name| name.hash(&mut hash));
    if let Some(options) = task.declared() {
        options.hash(&mut hash);
    }
    for argument in task.arguments().iter() {
        argument.hash(&mut hash);
    }
    hash.finish()
}

/// FNV-1a: the same from one process to the next.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How an attempt of a task ended. Times are nanoseconds since the start of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Where it ran.
    pub worker: Option<usize>,
    /// When it ended.
    pub at: u64,
    /// How long it ran.
    pub took: u64,
    /// What it returned.
    pub result: Option<Json>,
    /// Why it did not pass.
    pub cause: Option<Cause>,
}

/// The process that ran the tasks has ended before its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// By this signal.
    pub signal: Option<i32>,
    /// Or with this status.
    pub status: Option<i32>,
    /// The task that did it.
    pub task: Option<TaskId>,
    /// Or tasks that ran then, and may have done it.
    pub suspects: Vec<TaskId>,
    /// Or the hook,
    pub hook: Option<String>,
    /// of this library.
    pub library: Option<LibraryId>,
    /// What it did.
    pub words: Option<String>,
    /// The worker of the task,
    pub worker: Option<usize>,
    /// when that was, in nanoseconds since the start of the run,
    pub at: u64,
    /// and for how long it ran.
    pub took: u64,
}

impl Crash {
    fn entry(&self) -> entry::Crash<'_> {
        let id = |task: &TaskId| u32::try_from(task.index()).unwrap_or(u32::MAX);
        entry::Crash {
            signal: self.signal,
            status: self.status,
            task: self.task.as_ref().map(id),
            suspects: self.suspects.iter().map(id).collect(),
            hook: self.hook.as_deref().map(Into::into),
            library: self.library.map(|library| library.0),
            words: self.words.as_deref().map(Into::into),
            worker: self.worker.and_then(|worker| u32::try_from(worker).ok()),
            at: self.at,
            took: self.took,
        }
    }
}

impl From<entry::Crash<'_>> for Crash {
    fn from(entry: entry::Crash<'_>) -> Self {
        let task = |id: u32| TaskId::new(id as usize);
        Self {
            signal: entry.signal,
            status: entry.status,
            task: entry.task.map(task),
            suspects: entry.suspects.into_iter().map(task).collect(),
            hook: entry.hook.map(Into::into),
            library: entry.library.map(LibraryId),
            words: entry.words.map(Into::into),
            worker: entry.worker.map(|worker| worker as usize),
            at: entry.at,
            took: entry.took,
        }
    }
}

#[cfg(test)]
mod tests;
