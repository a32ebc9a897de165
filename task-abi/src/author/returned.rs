//! What a closure returns → the task's result or failure.
//!
//! An attribute can ask the compiler about one value, see `output`; a method has to say in its signature what it takes. The
//! markers keep the implementations apart: the compiler finds the one that fits.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error as StdError;
use std::ops::Deref;

use serde::Serialize;

use super::failure::Failure;
use super::output::{AsError, IsBoxed, IsDisplay, IsError, IsFailure, IsSome};

/// What the closure of [`Tasks::add`](crate::Tasks::add) may return: `()`, numbers, strings, lists, maps and options of anything
/// that is `Serialize`, [`Json`] of anything else that is, and a `Result` of all that with an error that says why.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}` from a closure",
    label = "returns `{Self}`",
    note = "return `Json(value)` or `Ok(value)` for a value of your own that is `Serialize`; an error is `Failure`, any \
            `std::error::Error` or a string"
)]
pub trait Returned<Marker> {
    /// The result as JSON.
    #[doc(hidden)]
    fn into_result(self) -> Result<Option<String>, Failure>;
}

/// An error that says why a task failed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say why the task failed",
    note = "the error of a closure is `task_abi::Failure`, any `std::error::Error`, a box of one, or a string"
)]
pub trait Why<Marker> {
    /// The same as a failure.
    #[doc(hidden)]
    fn into_failure(self) -> Failure;
}

/// A value of any type that is `Serialize`, as what a closure of [`Tasks::add`](crate::Tasks::add) returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T>(pub T);

/// The marker of a value.
#[doc(hidden)]
#[derive(Debug)]
pub enum IsValue {}

/// The marker of a `Result` with an error of that marker.
#[doc(hidden)]
#[derive(Debug)]
pub struct IsResult<Error>(Error);

impl<T: Serialize + 'static> Returned<IsValue> for Json<T> {
    fn into_result(self) -> Result<Option<String>, Failure> {
        if TypeId::of::<T>() == ().type_id() {
            return Ok(None);
        }
        IsSome.store(self.0)
    }
}

impl<T: Serialize + 'static, E: Why<M>, M> Returned<IsResult<M>> for Result<T, E> {
    fn into_result(self) -> Result<Option<String>, Failure> {
        self.map_err(Why::into_failure)
            .and_then(|value| Json(value).into_result())
    }
}

macro_rules! values {
    ($([$($generics:tt)*] $ty:ty),* $(,)?) => {
        $(
            impl<$($generics)*> Returned<IsValue> for $ty {
                fn into_result(self) -> Result<Option<String>, Failure> {
                    Json(self).into_result()
                }
            }
        )*
    };
}

values!(
    [] (),
    [] bool,
    [] char,
    [] i8,
    [] i16,
    [] i32,
    [] i64,
    [] i128,
    [] isize,
    [] u8,
    [] u16,
    [] u32,
    [] u64,
    [] u128,
    [] usize,
    [] f32,
    [] f64,
    [] &'static str,
    [] String,
    [] serde_json::Value,
    [T: Serialize + 'static] Option<T>,
    [T: Serialize + 'static] Vec<T>,
    [K: Serialize + 'static, V: Serialize + 'static, S: 'static] HashMap<K, V, S>,
    [K: Serialize + 'static, V: Serialize + 'static] BTreeMap<K, V>,
    [T: Serialize + 'static] BTreeSet<T>,
    [A: Serialize + 'static, B: Serialize + 'static] (A, B),
    [A: Serialize + 'static, B: Serialize + 'static, C: Serialize + 'static] (A, B, C),
);

/// The only way to write the type of `panic!()`, which is what a closure returns that never does.
#[doc(hidden)]
pub trait Output {
    /// What the function returns.
    type Type;
}

impl<T> Output for fn() -> T {
    type Type = T;
}

impl Returned<IsValue> for <fn() -> ! as Output>::Type {
    fn into_result(self) -> Result<Option<String>, Failure> {
        self
    }
}

impl Why<IsFailure> for Failure {
    fn into_failure(self) -> Failure {
        self
    }
}

impl<E: StdError + 'static> Why<IsError> for E {
    fn into_failure(self) -> Failure {
        IsError.failure(self)
    }
}

impl<E: Deref<Target: AsError>> Why<IsBoxed> for E {
    fn into_failure(self) -> Failure {
        IsBoxed.failure(self)
    }
}

impl Why<IsDisplay> for String {
    fn into_failure(self) -> Failure {
        IsDisplay.failure(self)
    }
}

impl Why<IsDisplay> for &'static str {
    fn into_failure(self) -> Failure {
        IsDisplay.failure(self)
    }
}
