//! What the function of a task returned → the task's result or failure, for every type that makes sense.
//!
//! The attribute does not know types, only tokens, and `Result` may hide behind an alias. So it asks the value: each
//! question is a method that exists on several levels of references, and the compiler takes the nearest level that fits
//! (known as autoref specialisation). `(&out).__td_shape()` finds `Result` before anything else;
//! `(&&&&&Wrap(&error)).__td_kind()` finds the best way to put an error into words.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::ops::Deref;

use serde::Serialize;

use super::failure::Failure;
use super::value;

/// A `Result`.
pub struct IsResult;
/// Anything else, which cannot fail.
pub struct IsValue;

/// Nearest level of the shape.
pub trait ResultShape {
    /// Says so.
    fn __td_shape(&self) -> IsResult {
        IsResult
    }
}

impl<T, E> ResultShape for Result<T, E> {}

/// Farthest level of the shape.
pub trait ValueShape {
    /// Says so.
    fn __td_shape(&self) -> IsValue {
        IsValue
    }
}

impl<T> ValueShape for &T {}

impl IsResult {
    /// Nothing to do.
    pub fn split<T, E>(self, out: Result<T, E>) -> Result<T, E> {
        out
    }
}

impl IsValue {
    /// It is fine.
    pub fn split<T>(self, out: T) -> Result<T, Infallible> {
        Ok(out)
    }
}

/// `()`, which is no result.
pub struct IsUnit;
/// A result.
pub struct IsSome;

/// Nearest level of the value.
pub trait UnitValue {
    /// Says so.
    fn __td_value(&self) -> IsUnit {
        IsUnit
    }
}

impl UnitValue for () {}

/// Farthest level of the value.
pub trait SomeValue {
    /// Says so.
    fn __td_value(&self) -> IsSome {
        IsSome
    }
}

impl<T> SomeValue for &T {}

impl IsUnit {
    /// No result.
    pub fn store(self, (): ()) -> Result<Option<String>, Failure> {
        Ok(None)
    }
}

impl IsSome {
    /// The result as JSON.
    pub fn store<T: Serialize>(self, result: T) -> Result<Option<String>, Failure> {
        value::write(&result).map(Some).map_err(|reason| {
            Failure::without_place(value::unwritable("the result", &reason).to_string())
        })
    }
}

/// Keeps an error from being taken for a reference to one: references to errors are errors, too.
pub struct Wrap<'a, E>(pub &'a E);

/// [`Failure`] itself.
pub struct IsFailure;
/// A [`std::error::Error`].
pub struct IsError;
/// A box of one: `Box<dyn Error>`, `anyhow::Error`.
pub struct IsBoxed;
/// Something with words for users.
pub struct IsDisplay;
/// Something with words for programmers.
pub struct IsDebug;

/// First level of the error.
pub trait FailureKind {
    /// Says so.
    fn __td_kind(&self) -> IsFailure {
        IsFailure
    }
}

impl FailureKind for &&&&Wrap<'_, Failure> {}

/// Second level of the error.
pub trait ErrorKind {
    /// Says so.
    fn __td_kind(&self) -> IsError {
        IsError
    }
}

impl<E: StdError + 'static> ErrorKind for &&&Wrap<'_, E> {}

/// Third level of the error.
pub trait BoxedKind {
    /// Says so.
    fn __td_kind(&self) -> IsBoxed {
        IsBoxed
    }
}

impl<E: Deref<Target: AsError>> BoxedKind for &&Wrap<'_, E> {}

/// Fourth level of the error.
pub trait DisplayKind {
    /// Says so.
    fn __td_kind(&self) -> IsDisplay {
        IsDisplay
    }
}

impl<E: Display> DisplayKind for &Wrap<'_, E> {}

/// Last level of the error, for all that are left.
pub trait DebugKind {
    /// Says so.
    fn __td_kind(&self) -> IsDebug {
        IsDebug
    }
}

impl<E> DebugKind for Wrap<'_, E> {}

/// An error that can be put into words in one way at least; only here to say what to do where there is none.
#[diagnostic::on_unimplemented(
    message = "`{Self}` says nothing, and the error of a task has to say why the task failed",
    label = "the error `{Self}` has no words",
    note = "add `#[derive(Debug)]` to `{Self}`, or implement `Display` or `std::error::Error` for it"
)]
pub trait Words {
    /// All that it says.
    fn words(self) -> String;
}

#[diagnostic::do_not_recommend]
impl<E: Debug> Words for E {
    fn words(self) -> String {
        format!("{self:?}")
    }
}

/// The three ways to write an error in a box.
pub trait AsError {
    /// Forgets that it may be sent.
    fn as_error(&self) -> &(dyn StdError + 'static);
}

impl AsError for dyn StdError + 'static {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl AsError for dyn StdError + Send + 'static {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl AsError for dyn StdError + Send + Sync + 'static {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl IsFailure {
    /// As it is.
    pub fn failure(self, failure: Failure) -> Failure {
        failure
    }
}

impl IsError {
    /// With its sources.
    pub fn failure<E: StdError + 'static>(self, error: E) -> Failure {
        Failure::from_chain(&error)
    }
}

impl IsBoxed {
    /// With its sources.
    pub fn failure<E: Deref<Target: AsError>>(self, error: E) -> Failure {
        Failure::from_chain(error.as_error())
    }
}

impl IsDisplay {
    /// In its words.
    pub fn failure<E: Display>(self, error: E) -> Failure {
        Failure::without_place(error.to_string())
    }
}

impl IsDebug {
    /// As a programmer sees it.
    pub fn failure<E: Words>(self, error: E) -> Failure {
        Failure::without_place(error.words())
    }
}
