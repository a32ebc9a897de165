//! JSON text to Rust values and back, with messages that say what did not fit and what to type.
//!
//! Knows serde; knows nothing of the host.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, ErrorKind};

/// How much of a value a message shows.
const SHOWN: usize = 80;

/// Why a value does not fit, and the value as it was understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit {
    reason: String,
    shown: String,
}

/// Reads a value as a `T`. What comes from the command line is a string: where the string itself does not fit, the JSON
/// inside it may.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Misfit> {
    let outer = match serde_json::from_str(json) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let Ok(inside) = serde_json::from_str::<String>(json) else {
        return Err(Misfit::new(reason(&outer), json));
    };
    serde_json::from_str(&inside).map_err(|inner| {
        if inner.is_data() {
            Misfit::new(reason(&inner), &inside)
        } else if meant_as_json(&inside) && wants_no_string(&outer) {
            Misfit::new(format!("it is not JSON: {inner}"), &inside)
        } else {
            Misfit::new(reason(&outer), json)
        }
    })
}

/// Reads text as a `T` in the same way.
pub(crate) fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    read(&serde_json::Value::from(text).to_string())
}

/// Text that is no JSON at all was meant as the string that it is, unless it begins as an object or a list does.
fn meant_as_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Whether a string was refused for being one. Types that are written as strings refuse one for what is in it, and are
/// then right about it: `[::1` is a mistaken address.
fn wants_no_string(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("invalid type: string")
}

impl Misfit {
    fn new(reason: String, value: &str) -> Self {
        let shown = shorten(value);
        Self { reason, shown }
    }

    /// Why, without the value.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The error of a value `what` that does not fit `wanted`.
    pub(crate) fn of(&self, what: &str, wanted: &str) -> Error {
        let Self { reason, shown } = self;
        let message = format!("{what} does not fit `{wanted}`: {reason}; the value is {shown}");
        Error::new(ErrorKind::Value, message)
    }
}

/// Reads a value that may be missing: `()`, `Option` and whatever else can be made from `null` can be.
pub(crate) fn absent<T: DeserializeOwned>() -> Option<T> {
    serde_json::from_str("null").ok()
}

pub(crate) fn write<T: Serialize + ?Sized>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
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

fn shorten(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", on_a_line(&value[..end]), value.len()),
        None => on_a_line(value),
    }
}

/// Line breaks and other control characters as escapes.
fn on_a_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
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
    fn the_reason_is_that_of_the_closest_reading_and_the_value_is_quoted_as_that() {
        assert_eq!(
            misfit::<u32>(r#""five""#),
            "x does not fit `T`: invalid type: string \"five\", expected u32; the value is \"five\""
        );
        assert_eq!(
            misfit::<u8>(r#""300""#),
            "x does not fit `T`: invalid value: integer `300`, expected u8; the value is 300"
        );
        assert_eq!(
            misfit::<Vec<u8>>(r#""7""#),
            "x does not fit `T`: invalid type: integer `7`, expected a sequence; the value is 7"
        );
        assert_eq!(
            misfit::<u32>("[]"),
            "x does not fit `T`: invalid type: sequence, expected u32; the value is []"
        );
    }

    #[test]
    fn what_begins_as_json_and_is_none_says_where_it_goes_wrong() {
        assert_eq!(
            misfit::<std::collections::BTreeMap<String, u8>>(r#""{id:7}""#),
            "x does not fit `T`: it is not JSON: key must be a string at line 1 column 2; \
             the value is {id:7}"
        );
        assert_eq!(
            misfit::<Vec<u8>>(r#"" [1,\n2""#),
            "x does not fit `T`: it is not JSON: EOF while parsing a list at line 2 column 1; \
             the value is  [1,\\n2"
        );
    }

    #[test]
    fn a_string_that_only_looks_like_json_is_judged_by_the_type_it_is_for() {
        let error = misfit::<std::net::SocketAddr>(r#""[::1""#);
        assert!(!error.contains("JSON"), "{error}");
        assert_eq!(read::<String>(r#""{id:7}""#), Ok("{id:7}".to_owned()));
    }

    fn misfit<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        read::<T>(json).unwrap_err().of("x", "T").to_string()
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
