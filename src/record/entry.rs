//! What a record says, as it stands in the file. The names here are those of the format.
//!
//! Times are nanoseconds since the start of the run, but for the wall clock of `open`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The format that this tdrun writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// One record. `ran` is written by hand, as there may be millions.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry<'a> {
    #[serde(borrow)]
    Open(Open<'a>),
    #[serde(borrow)]
    Plan(Plan<'a>),
    Kept(Kept),
    Start(Start),
    #[serde(borrow)]
    State(State<'a>),
    Ran(Ran),
    #[serde(borrow)]
    End(Box<End<'a>>),
    #[serde(borrow)]
    Said(Said<'a>),
    #[serde(borrow)]
    Wrote(Wrote<'a>),
    #[serde(borrow)]
    Left(Left<'a>),
    #[serde(borrow)]
    Added(Added<'a>),
    #[serde(borrow)]
    Hook(Hook<'a>),
    #[serde(borrow)]
    Stop(Stop<'a>),
    #[serde(borrow)]
    Crash(Crash<'a>),
    Again(Again),
    Fin(Fin),
}

/// Ids of tasks are those of the run that this begins, until the next one.
#[derive(Serialize, Deserialize)]
pub(super) struct Open<'a> {
    pub(super) format: u32,
    pub(super) tdrun: Cow<'a, str>,
    /// Unlike that of any other run.
    pub(super) run: Cow<'a, str>,
    pub(super) pid: u32,
    /// Milliseconds since 1970.
    pub(super) started: u64,
    pub(super) argv: Vec<Cow<'a, str>>,
    pub(super) cwd: Cow<'a, str>,
    pub(super) planned: usize,
    pub(super) libraries: Vec<Library<'a>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Library<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) path: Cow<'a, str>,
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size: u64,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, i64),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Cow<'a, str>>,
}

/// Planned tasks: id, place of the library in `open`, name, hash of what it declares. Stands in kept journals only.
#[derive(Serialize, Deserialize)]
pub(super) struct Plan<'a> {
    #[serde(borrow)]
    pub(super) tasks: Vec<(u32, u32, Cow<'a, str>, Cow<'a, str>)>,
}

/// Tasks that stay as an earlier run of the same file left them. All other planned ones begin anew.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) tasks: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) task: u32,
    pub(super) attempt: u32,
    pub(super) worker: u32,
    pub(super) at: u64,
}

/// A state key was changed: by an attempt of a task, by a hook, or by neither.
#[derive(Serialize, Deserialize)]
pub(super) struct State<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<u32>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<Cow<'a, str>>,
    pub(super) key: Cow<'a, str>,
    /// None where it was removed; that is not `null`.
    #[serde(
        borrow,
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) value: Option<&'a RawValue>,
    /// The number that was there before, where it was compared with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) was: Option<i64>,
}

/// Tasks that passed at once and returned nothing: id, how long after the end of the one before it began, after `at` for the
/// first, and how long it took.
#[derive(Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) worker: u32,
    pub(super) at: u64,
    pub(super) tasks: Vec<(u32, u64, u64)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct End<'a> {
    pub(super) task: u32,
    pub(super) attempt: u32,
    pub(super) outcome: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<u32>,
    pub(super) at: u64,
    pub(super) took: u64,
    #[serde(
        borrow,
        default,
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) result: Option<&'a RawValue>,
    /// Of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) line: u32,
    /// Of who skipped itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'a, str>>,
    /// Of a task that timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<u64>,
    /// Its thread was left behind.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) running: bool,
    /// It did not come to run: another task kept it from that, or the run was stopped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) idle: bool,
    /// The lock that kept it from that,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lock: Option<Cow<'a, str>>,
    /// which this task never gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<u32>,
    /// It is not tried again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) last: bool,
}

/// An attempt of a task has said something.
#[derive(Serialize, Deserialize)]
pub(super) struct Said<'a> {
    pub(super) task: u32,
    pub(super) attempt: u32,
    pub(super) level: Cow<'a, str>,
    pub(super) target: Cow<'a, str>,
    pub(super) message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) line: u32,
}

/// What the process of an attempt has written: all of it, or a line as it came.
#[derive(Serialize, Deserialize)]
pub(super) struct Wrote<'a> {
    pub(super) task: u32,
    pub(super) attempt: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) live: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) stdout: Option<Written<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) stderr: Option<Written<'a>>,
}

/// The beginning, how many bytes are not there, and the end.
#[derive(Serialize, Deserialize)]
pub(super) struct Written<'a>(
    #[serde(borrow)] pub(super) Bytes<'a>,
    pub(super) u64,
    #[serde(borrow)] pub(super) Bytes<'a>,
);

/// A text; where it is none, a list of numbers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bytes<'a> {
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
}

/// The process of an attempt has left these running: number and name.
#[derive(Serialize, Deserialize)]
pub(super) struct Left<'a> {
    pub(super) task: u32,
    pub(super) attempt: u32,
    #[serde(borrow)]
    pub(super) processes: Vec<(Option<i32>, Cow<'a, str>)>,
}

/// Tasks that running ones have added: id, name of the library, name.
#[derive(Serialize, Deserialize)]
pub(super) struct Added<'a> {
    #[serde(borrow)]
    pub(super) tasks: Vec<(u32, Cow<'a, str>, Cow<'a, str>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Hook<'a> {
    pub(super) which: Cow<'a, str>,
    pub(super) library: Cow<'a, str>,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) line: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stop<'a> {
    pub(super) why: Cow<'a, str>,
}

/// The process that ran the tasks has ended before its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crash<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<i32>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<u32>,
    /// Who ran then, and may have done it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) suspects: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<Cow<'a, str>>,
    /// The place of its library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) library: Option<u32>,
    /// What the guilty task did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) worker: Option<u32>,
    #[serde(default)]
    pub(super) at: u64,
    #[serde(default)]
    pub(super) took: u64,
}

/// Another process goes on, although nobody has done anything wrong: what ran is run again.
#[derive(Serialize, Deserialize)]
pub(super) struct Again {}

#[derive(Serialize, Deserialize)]
pub(super) struct Fin {
    pub(super) planned: usize,
    pub(super) counts: std::collections::BTreeMap<String, usize>,
    pub(super) exit: i32,
}

/// What is there is a value, also where that is `null`.
fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}
