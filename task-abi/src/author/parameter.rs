//! Where the parameters of a task come from; the attribute writes calls of these.
//!
//! Knows names and types as the author wrote them, for the messages; asks [`Context`] for the values.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::Error;
use super::failure::Failure;
use super::value;

/// A parameter that is the result of the task of its name, or of the one that `#[result("…")]` names.
pub fn result<T: DeserializeOwned>(
    context: &Context,
    parameter: &str,
    task: &str,
    wanted: &str,
) -> Result<T, Failure> {
    let value = filled(context, task).and_then(|task| {
        let what = || format!("parameter `{parameter}`: the result of `{task}`");
        context.typed_result(&task, what, Some(wanted))
    });
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

/// A parameter that stands in the brackets of the task's name.
pub fn parameter<T: DeserializeOwned>(
    context: &Context,
    parameter: &str,
    wanted: &str,
) -> Result<T, Failure> {
    let value = context.typed_param(parameter, Some(wanted));
    value.map_err(|error| Failure::without_place(error.to_string()))
}

/// Says why a text cannot be such a parameter.
pub fn check<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    match value::read_text::<T>(text) {
        Ok(_) => Ok(()),
        Err(misfit) => Err(misfit.reason().to_owned()),
    }
}

/// The name with the parameters of this task in it, all of which the attribute has found in its own name.
fn filled<'a>(context: &Context, name: &'a str) -> Result<Cow<'a, str>, Error> {
    let Some((before, rest)) = name.split_once('[') else {
        return Ok(Cow::Borrowed(name));
    };
    let (parameter, behind) = rest.split_once(']').unwrap_or((rest, ""));
    let value: String = context.handle().parameter(parameter)?.unwrap_or_default();
    let behind = filled(context, behind)?;
    Ok(Cow::Owned(format!("{before}{value}{behind}")))
}
