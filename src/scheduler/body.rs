//! What a closure returned → how its task ended.
//!
//! Knows nothing of who called it.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::error::Error as StdError;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use serde::Serialize;

use super::context::TaskContext;
use super::value;
use crate::task::{Action, Ending};

/// What the closure of a task may return: nothing, a value that others can read as the task's result, or a [`Result`] of
/// one, whose error fails the task.
///
/// A type of your own that implements [`Serialize`] is returned in `Ok`, or in [`Json`] where nothing can fail. The error
/// may be anything with words: an error, a boxed one, `anyhow::Error`, a string. [`Skip`] as the error, or in a box, skips
/// the task.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "return a value of your own type as `Ok::<_, tdrun::Skip>(value)` or `tdrun::Json(value)`"
)]
pub trait TaskReturn {
    /// How the task has ended.
    fn into_ending(self) -> Ending;
}

/// A value of any type as the result of a task that cannot fail.
///
/// ```
/// # use tdrun::{Json, Scheduler};
/// #[derive(serde::Serialize)]
/// struct User {
///     name: String,
/// }
///
/// let mut scheduler = Scheduler::new();
/// scheduler.task("fetch_user", |_| Json(User { name: "ada".into() }));
/// # let summary = scheduler.run().unwrap();
/// # assert_eq!(summary.task("fetch_user").unwrap().json(), Some(r#"{"name":"ada"}"#));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize + 'static> TaskReturn for Json<T> {
    fn into_ending(self) -> Ending {
        passed(&self.0)
    }
}

impl<T: Serialize + 'static, E: fmt::Display + 'static> TaskReturn for Result<T, E> {
    fn into_ending(self) -> Ending {
        match self {
            Ok(value) => passed(&value),
            Err(error) => not_passed(&error),
        }
    }
}

macro_rules! returns {
    ($([$($generics:tt)*] $type:ty,)+) => {$(
        impl<$($generics)*> TaskReturn for $type {
            fn into_ending(self) -> Ending {
                passed(&self)
            }
        }
    )+};
}

returns! {
    [] (), [] bool, [] char, [] String, [] &'static str, [] Box<str>, [] serde_json::Value,
    [] i8, [] i16, [] i32, [] i64, [] isize, [] u8, [] u16, [] u32, [] u64, [] usize, [] f32, [] f64,
    [T: Serialize + 'static] Option<T>,
    [T: Serialize + 'static] Vec<T>,
    [T: Serialize + 'static] Box<T>,
    [K: Serialize + Ord + 'static, V: Serialize + 'static] BTreeMap<K, V>,
    [K: Serialize + 'static, V: Serialize + 'static, S: 'static] HashMap<K, V, S>,
    [A: Serialize + 'static, B: Serialize + 'static] (A, B),
    [A: Serialize + 'static, B: Serialize + 'static, C: Serialize + 'static] (A, B, C),
}

impl<T: 'static, const N: usize> TaskReturn for [T; N]
where
    [T; N]: Serialize,
{
    fn into_ending(self) -> Ending {
        passed(&self)
    }
}

/// The `!` of closures that only panic or skip, which has no name of its own yet.
type Never = <fn() -> ! as Returns>::Type;

/// The return type of a function.
pub trait Returns {
    /// That type.
    type Type;
}

impl<T> Returns for fn() -> T {
    type Type = T;
}

impl TaskReturn for Never {
    fn into_ending(self) -> Ending {
        match self {}
    }
}

/// `()` is no result; all else is one.
fn passed<T: Serialize + 'static>(value: &T) -> Ending {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return Ending::Passed(None);
    }
    match value::write(value) {
        Ok(json) => Ending::Passed(Some(json)),
        Err(why) => Ending::failed(format!("the result cannot be written as JSON: {why}")),
    }
}

fn not_passed<E: fmt::Display + 'static>(error: &E) -> Ending {
    let any: &dyn Any = error;
    if let Some(Skip { reason }) = any.downcast_ref() {
        return Ending::Skipped(reason.clone());
    }
    if let Some(error) = any.downcast_ref::<Box<dyn StdError + Send + Sync>>() {
        chain(&**error)
    } else if let Some(error) = any.downcast_ref::<Box<dyn StdError + Send>>() {
        chain(&**error)
    } else if let Some(error) = any.downcast_ref::<Box<dyn StdError>>() {
        chain(&**error)
    } else {
        // The long form of errors that know their causes, such as those of anyhow.
        Ending::failed(format!("{error:#}"))
    }
}

/// The words of an error and of its sources, a line each; a skip where one of them is a [`Skip`].
fn chain(error: &(dyn StdError + 'static)) -> Ending {
    let mut message = error.to_string();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Skip { reason }) = error.downcast_ref() {
            return Ending::Skipped(reason.clone());
        }
        next = error.source();
        // Many errors already say what their source says.
        if let Some(cause) = next.map(ToString::to_string)
            && !message.ends_with(&cause)
        {
            message.push_str("\ncaused by: ");
            message.push_str(&cause);
        }
    }
    Ending::failed(message)
}

/// A task that skips itself, as an error value: it counts as passed for those that come after it.
///
/// ```
/// # use tdrun::{Scheduler, Skip};
/// let mut scheduler = Scheduler::new();
/// scheduler.task("upload", |_| Err::<(), _>(Skip::new("no network")));
/// # let summary = scheduler.run().unwrap();
/// # assert_eq!(summary.task("upload").unwrap().why(), Some("no network"));
/// # assert!(summary.passed());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    reason: Box<str>,
}

impl Skip {
    /// A skip for that reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        let reason = reason.to_string().into();
        Self { reason }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for Skip {}

/// Ends the task here and now as skipped. It unwinds as a panic does, but no panic hook is called; on a thread that the task
/// has made it only ends that thread.
///
/// # Panics
/// With `panic = "abort"` nothing can unwind: there it ends the process. Return [`Skip`] instead.
pub fn skip(reason: impl fmt::Display) -> ! {
    panic::resume_unwind(Box::new(Skip::new(reason)))
}

/// A closure as an action.
pub(super) fn action<R: TaskReturn>(
    body: impl Fn(&TaskContext) -> R + Send + Sync + 'static,
) -> Action {
    Arc::new(move |caller| {
        let context = TaskContext::new(Arc::clone(caller.host()));
        let ended = panic::catch_unwind(AssertUnwindSafe(|| body(&context).into_ending()));
        ended.unwrap_or_else(|payload| match payload.downcast::<Skip>() {
            Ok(skip) => Ending::Skipped(skip.reason),
            Err(panic) => panic::resume_unwind(panic),
        })
    })
}
