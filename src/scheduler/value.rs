//! Rust values to JSON text and back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::task::{Declined, Json, Refused};

/// Valid, compact, members sorted, as results and state have to be.
pub(super) fn write<T: Serialize + ?Sized>(value: &T) -> Result<Json, String> {
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    Ok(value.to_string().into())
}

/// Reads a value as a `T`; `what` names it.
pub(super) fn read<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, Declined> {
    serde_json::from_str(json).map_err(|error| {
        let wanted = std::any::type_name::<T>();
        Declined {
            refused: Refused::Argument,
            why: format!("{what} does not fit `{wanted}`: {error}; the value is {json}"),
        }
    })
}

/// The value of what is not there, for types that have one, such as [`Option`].
pub(super) fn absent<T: DeserializeOwned>() -> Option<T> {
    serde_json::from_str("null").ok()
}
