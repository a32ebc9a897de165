//! Values between tasks: JSON text in the one form that makes equal values equal texts.
//!
//! Knows nothing of who sets or reads them.

use std::borrow::Cow;

use serde_json::Value;

use crate::task::Json;

/// Bytes that a value may have.
const SIZE_MAX: usize = 64 << 20;
/// Levels that a value may be nested; less than what makes recursive readers overflow their stack.
const DEPTH_MAX: usize = 100;

/// Why a value is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Not JSON, or nested too deep.
    Json,
    /// Too large.
    Size,
}

/// Checks JSON text and rewrites it compact, with sorted members. Integers of 64 bits and floats keep their exact value.
pub(super) fn canonical(text: &str) -> Result<Json, Unfit> {
    check_size(text.len())?;
    if depth(text) > DEPTH_MAX {
        return Err(Unfit::Json);
    }
    let value: Value = serde_json::from_str(text).map_err(|_| Unfit::Json)?;
    Ok(value.to_string().into())
}

/// A string as a JSON value.
pub(super) fn from_text(text: &str) -> Result<Json, Unfit> {
    check_size(text.len())?;
    Ok(Value::from(text).to_string().into())
}

/// The string itself, where the value is one, else its JSON text.
pub(super) fn to_text(json: &str) -> Cow<'_, str> {
    let Some(inner) = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return json.into();
    };
    if !inner.contains('\\') {
        return inner.into();
    }
    serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Refuses a length before anything of it is read.
pub(super) fn check_size(bytes: usize) -> Result<(), Unfit> {
    if bytes > SIZE_MAX {
        Err(Unfit::Size)
    } else {
        Ok(())
    }
}

/// How deep arrays and objects are nested, in any text.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_equal_texts() {
        for (text, canonical_text) in [
            (r#" { "b" : [1, 2],"a": null } "#, r#"{"a":null,"b":[1,2]}"#),
            ("\"\\u0061\\/\"", "\"a/\""),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e1", "10.0"),
            ("0.1", "0.1"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("122.416294033786585", "122.41629403378658"),
            ("true", "true"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(canonical_text), "{text}");
        }
    }

    #[test]
    fn every_float_keeps_its_bits() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let float = f64::from_bits(seed);
            if float.is_finite() {
                let text = canonical(&format!("{float:e}")).expect("a float is JSON");
                let back: f64 = text.parse().expect("a number");
                assert_eq!(back.to_bits(), float.to_bits(), "{float:e} became {text}");
            }
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "nul",
            "'a'",
            "[1,]",
            "1 2",
            "NaN",
            "1e999",
            "\"\\ud800\"",
            "\u{feff}1",
        ] {
            assert_eq!(canonical(text), Err(Unfit::Json), "{text}");
        }
    }

    #[test]
    fn a_hundred_levels_are_deep_enough() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(canonical(&nested(100)).is_ok());
        assert_eq!(canonical(&nested(101)), Err(Unfit::Json));
        assert_eq!(canonical(&nested(1_000_000)), Err(Unfit::Json));
        let brackets_in_a_string = format!("\"\\\"{}\"", "[".repeat(200));
        assert!(canonical(&brackets_in_a_string).is_ok());
    }

    #[test]
    fn sixty_four_mebibytes_are_large_enough() {
        let text = "x".repeat(SIZE_MAX);
        assert!(from_text(&text).is_ok());
        assert_eq!(from_text(&(text + "x")), Err(Unfit::Size));
    }

    #[test]
    fn text_survives_the_way_there_and_back() {
        for text in [
            "",
            "plain",
            "with \"quotes\"",
            "line\nbreak \\ \u{1}",
            "é日本",
            "\"",
            "{}",
        ] {
            let json = from_text(text).expect("small enough");
            assert_eq!(to_text(&json), text);
        }
        for json in ["1", "{\"a\":\"b\"}", "null", "[\"x\"]"] {
            assert_eq!(to_text(json), json);
        }
    }
}
