//! Where the parameters of a task come from; the attribute writes calls of these two.
//!
//! Knows names and types as the author wrote them, for the messages; asks [`Context`] for the values.

use serde::de::DeserializeOwned;

use super::context::Context;
use super::failure::Failure;

/// A parameter that is the result of the task of its name.
pub fn result<T: DeserializeOwned>(
    context: &Context,
    task: &str,
    wanted: &str,
) -> Result<T, Failure> {
    let what = || format!("parameter `{task}`: the result of `{task}`");
    let value = context.typed_result(task, what, Some(wanted));
    value.map_err(|error| Failure::without_place(error.to_string()))
}

/// A parameter marked `#[state]`.
pub fn state<T: DeserializeOwned>(
    context: &Context,
    parameter: &str,
    key: &str,
    wanted: &str,
) -> Result<T, Failure> {
    let what = || format!("parameter `{parameter}`: the state key `{key}`");
    let value = context.state().typed(key, what, wanted);
    value.map_err(|error| Failure::without_place(error.to_string()))
}
