//! How long things may take and how often they are tried, from the words that were typed.
//!
//! Knows how people write times (humantime reads them).

use std::time::Duration;

use super::args::{Args, Flaky};
use crate::error::{Error, Result};
use crate::run::Limits;

/// Longer times are taken for a slip; clocks can add them without a thought.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Errors: `usage.retries` and `usage.duration`.
pub(super) fn limits(args: &Args) -> Result<Limits> {
    let default = Limits::default();
    let at_least_some = |option, word: &Option<String>| -> Result<Option<Duration>> {
        match word {
            Some(word) => above_zero(option, word).map(Some),
            None => Ok(None),
        }
    };
    Ok(Limits {
        flaky_fails: args.flaky == Flaky::Fail,
        timeout: at_least_some("--timeout", &args.timeout)?,
        run_timeout: at_least_some("--run-timeout", &args.run_timeout)?,
        grace: match &args.grace {
            Some(word) => duration("--grace", word)?,
            None => default.grace,
        },
        slow: match &args.slow {
            Some(word) => Some(duration("--slow", word)?).filter(|slow| !slow.is_zero()),
            None => default.slow,
        },
        untimed: None,
    })
}

pub(super) fn retries(word: &str) -> Result<u32> {
    word.parse().map_err(|_| {
        let message = format!("`--retries` takes a number from 0 on, not `{word}`");
        Error::new("usage.retries", message)
    })
}

fn above_zero(option: &str, word: &str) -> Result<Duration> {
    let time = duration(option, word)?;
    if time.is_zero() {
        let message = format!("`{option}` takes a time above zero, not `{word}`");
        return Err(Error::new("usage.duration", message).hint("without it there is no limit"));
    }
    Ok(time)
}

/// `30s`, `1h30m`. A zero needs no unit.
fn duration(option: &str, word: &str) -> Result<Duration> {
    let error = |what: &str| {
        let message = format!("`{option}` takes {what}, not `{word}`");
        Error::new("usage.duration", message)
    };
    if word == "0" {
        return Ok(Duration::ZERO);
    }
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
        let hint = format!("write `{option}={word}s`");
        return Err(error("a time with a unit").hint(hint));
    }
    // Sums beyond what a Duration holds make humantime panic. Nobody writes times like that.
    let mut numbers = word.split(|c: char| !c.is_ascii_digit());
    let is_sane = word.len() <= 40 && numbers.all(|number| number.len() <= 9);
    let time = is_sane.then(|| humantime::parse_duration(word).ok());
    match time.flatten() {
        Some(time) if time <= LONGEST => Ok(time),
        Some(_) => Err(error("at most 365 days")),
        None => Err(error("a time such as `200ms`, `30s` or `1h30m`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (word, millis) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5s", 1_500),
            ("365d", 31_536_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(duration("--grace", word), Ok(expected), "{word}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_right_form() {
        let form = "a time such as `200ms`, `30s` or `1h30m`";
        for (word, wanted) in [
            ("30", "a time with a unit"),
            ("366d", "at most 365 days"),
            ("999999999y", "at most 365 days"),
            ("", form),
            ("s", form),
            ("soon", form),
            ("-5s", form),
            ("30x", form),
            // Those that overflow in the crate.
            ("18446744073709551615s1000ms", form),
            (&"999999999y".repeat(600), form),
        ] {
            let error = duration("--slow", word).unwrap_err();
            assert_eq!(error.id(), "usage.duration");
            let expected = format!("`--slow` takes {wanted}, not `{word}`");
            assert_eq!(error.message(), expected);
        }
        let error = duration("--slow", "30").unwrap_err();
        assert_eq!(error.hints(), ["write `--slow=30s`"]);
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        for word in ["0", "0s", "0ms"] {
            let error = above_zero("--timeout", word).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "error[usage.duration]: `--timeout` takes a time above zero, not `{word}`\n  without it there is no limit"
                )
            );
        }
    }
}
