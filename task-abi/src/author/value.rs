//! JSON text to Rust values and back, with messages that say what did not fit and what to type.
//!
//! Knows serde; knows nothing of the host.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, ErrorKind};

/// How much of a value a message shows.
const SHOWN: usize = 80;

/// Reads a value as a `T`. What comes from the command line is a string: where the string itself does not fit, the JSON
/// inside it may.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let outer = match serde_json::from_str(json) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Ok(inside) = serde_json::from_str::<String>(json) else {
        return Err(reason(&outer));
    };
    serde_json::from_str(&inside).map_err(|inner| {
        // Text that is no JSON at all was meant as the string that it is.
        reason(if inner.is_data() { &inner } else { &outer })
    })
}

/// Reads a value that may be missing: `()`, `Option` and whatever else can be made from `null` can be.
pub(crate) fn absent<T: DeserializeOwned>() -> Option<T> {
    serde_json::from_str("null").ok()
}

pub(crate) fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// The error of a value `what` that does not fit `wanted`.
pub(crate) fn misfit(what: &str, wanted: &str, json: &str, reason: &str) -> Error {
    let shown = shorten(json);
    Error::new(
        ErrorKind::Value,
        format!("{what} does not fit `{wanted}`: {reason}; the value is {shown}"),
    )
}

/// The error of a value `what` that cannot be written.
pub(crate) fn unwritable(what: &str, reason: &str) -> Error {
    let message = format!("{what} cannot be written as JSON: {reason}");
    Error::new(ErrorKind::Value, message)
}

/// The last part of the paths in the name of a type: `Vec<User>`, not `alloc::vec::Vec<my::User>`.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let mut short = String::new();
    for part in std::any::type_name::<T>().split_inclusive(['<', '>', ',', ' ', '(', ')', '[', '&'])
    {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}

/// serde's words without the position, which says nothing about a value on one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line 1 column ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn shorten(json: &str) -> String {
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &json[..end], json.len()),
        None => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_from_the_command_line_fits_the_type_that_asks() {
        assert_eq!(read::<String>(r#""5""#), Ok("5".to_owned()));
        assert_eq!(read::<u32>(r#""5""#), Ok(5));
        assert_eq!(read::<u32>("5"), Ok(5));
        assert_eq!(read::<bool>(r#""true""#), Ok(true));
        assert_eq!(read::<Option<u8>>(r#""7""#), Ok(Some(7)));
        assert_eq!(read::<Option<String>>(r#""""#), Ok(Some(String::new())));
        assert_eq!(read::<Vec<u8>>(r#""[1,2]""#), Ok(vec![1, 2]));
        assert_eq!(read::<(u8, String)>(r#"[1,"2"]"#), Ok((1, "2".to_owned())));
    }

    #[test]
    fn the_reason_is_that_of_the_closest_reading() {
        let error = read::<u32>(r#""five""#).unwrap_err();
        assert_eq!(error, "invalid type: string \"five\", expected u32");
        let error = read::<u8>(r#""300""#).unwrap_err();
        assert_eq!(error, "invalid value: integer `300`, expected u8");
        let error = read::<u32>("[]").unwrap_err();
        assert_eq!(error, "invalid type: sequence, expected u32");
    }

    #[test]
    fn a_missing_value_is_null() {
        assert_eq!(absent::<()>(), Some(()));
        assert_eq!(absent::<Option<u8>>(), Some(None));
        assert_eq!(absent::<u8>(), None);
        assert_eq!(absent::<String>(), None);
    }

    #[test]
    fn a_long_value_is_shortened_in_messages() {
        assert_eq!(shorten("[1]"), "[1]");
        let long = "é".repeat(200);
        assert_eq!(shorten(&long), format!("{}… (400 bytes)", "é".repeat(80)));
    }

    #[test]
    fn type_names_are_shown_without_their_paths() {
        assert_eq!(
            short_type_name::<Vec<Option<String>>>(),
            "Vec<Option<String>>"
        );
        assert_eq!(short_type_name::<(u8, &str)>(), "(u8, &str)");
    }
}
