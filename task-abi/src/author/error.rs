//! Why the host did not do what a task asked for: an error value with a kind, never a crash.
//!
//! Knows the numbers of the ABI; knows nothing of why a task fails, which is [`Failure`](crate::Failure).

use std::fmt;

use crate::raw;

/// Why a call of [`State`](crate::State) or [`Context`](crate::Context) did not do what it was asked for.
///
/// It is a [`std::error::Error`], so `?` turns it into the failure of the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What an [`Error`] is about, for a task that wants to handle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The task that the [`Context`](crate::Context) belongs to has ended.
    Stale,
    /// A malformed name, or a parameter in it that does not fit.
    Invalid,
    /// There is no such value, or no such task.
    NotFound,
    /// The value does not fit the type that was asked for, cannot be written as JSON, or is nested too deep.
    Value,
    /// The value is larger than 64 MiB.
    TooBig,
    /// The key is reserved: `results`, or one that begins with `_`.
    Denied,
    /// Waiting would never end.
    Deadlock,
    /// The run was stopped while the call waited, or the task has timed out.
    Cancelled,
    /// The task that was waited for did not pass.
    Failed,
    /// The system gives no more threads.
    Limit,
    /// The tdrun that runs the library is too old for it.
    Unsupported,
    /// A number that this version of the crate does not know.
    Other,
}

/// What the functions return that the host is too old for; tdrun itself never returns it.
pub(crate) const UNSUPPORTED: i32 = i32::MIN;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }

    /// What it is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same for a function that may say why.
    pub(crate) fn check_why(
        status: i32,
        why: Option<String>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if status == raw::E_DEADLOCK && why.is_none() {
            let message = format!("{} cannot be waited for: it waits for this one", what());
            return Err(Self::new(ErrorKind::Deadlock, message));
        }
        Self::check(status, what).map_err(|error| match why {
            Some(why) if !why.is_empty() => Self::new(error.kind, why),
            _ => error,
        })
    }

    /// Turns the number that a host function returned into a result; `what` names the thing that it was about.
    pub(crate) fn check(status: i32, what: impl FnOnce() -> String) -> Result<(), Self> {
        use ErrorKind as Kind;
        let (kind, why) = match status {
            raw::OK => return Ok(()),
            raw::E_STALE => (Kind::Stale, "cannot be reached: the task has ended"),
            raw::E_ARG => (Kind::Invalid, "is no valid name"),
            raw::E_NOTFOUND => (Kind::NotFound, "is not there"),
            raw::E_JSON => (Kind::Value, "is nested deeper than 100 levels, or not JSON"),
            raw::E_TOOBIG => (Kind::TooBig, "is larger than 64 MiB"),
            raw::E_DENIED => (Kind::Denied, "is reserved"),
            raw::E_DEADLOCK => (Kind::Deadlock, "is held by a task that waits for this one"),
            raw::E_CANCELLED => (
                Kind::Cancelled,
                "was not waited for: the run has been stopped, or this task has timed out",
            ),
            raw::E_FAILED => (Kind::Failed, "did not pass"),
            raw::E_LIMIT => (
                Kind::Limit,
                "cannot be waited for: the system gives no more threads",
            ),
            UNSUPPORTED => (
                Kind::Unsupported,
                "needs a newer tdrun than the one that runs this",
            ),
            other => {
                let message = format!("{} was refused by tdrun with status {other}", what());
                return Err(Self::new(Kind::Other, message));
            }
        };
        Err(Self::new(kind, format!("{} {why}", what())))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
