//! Sorts the words of the command line: options for clap, and `--KEY=VALUE` for the state, which clap cannot collect.
//!
//! Knows the names of the options only as a list.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result, nearest};
use crate::state::is_reserved;

/// What is no option of tdrun.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assignments {
    /// State keys with their values, in the order of the command line.
    pub(super) state: Vec<(String, String)>,
    /// Tasks with the results given for them.
    pub(super) results: Vec<(String, String)>,
    /// The state keys and results as typed.
    pub(super) typed: Vec<String>,
    /// Keys that look like misspelt options.
    pub(super) warnings: Vec<String>,
}

/// Takes the assignments out of the words; the rest is clap's. Behind a `--` nothing is an option.
pub(super) fn sort(
    words: impl IntoIterator<Item = OsString>,
    options: &[String],
) -> Result<(Vec<OsString>, Assignments)> {
    let mut rest = Vec::new();
    let mut assignments = Assignments::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word);
            rest.extend(words);
            break;
        }
        match long_option(&word) {
            Some(name) if !options.iter().any(|option| option.as_bytes() == name) => {
                assignments.take(&word, options)?;
            }
            _ => rest.push(word),
        }
    }
    Ok((rest, assignments))
}

/// The name in `--name` or `--name=value`.
fn long_option(word: &OsStr) -> Option<&[u8]> {
    let word = word.as_bytes().strip_prefix(b"--")?;
    word.split(|byte| *byte == b'=').next()
}

impl Assignments {
    fn take(&mut self, word: &OsStr, options: &[String]) -> Result<()> {
        let Some(text) = word.to_str() else {
            let message = format!("`{}` is not UTF-8", word.to_string_lossy());
            return Err(Error::new("usage.utf8", message));
        };
        let Some((key, value)) = text[2..].split_once('=') else {
            return Err(unknown_option(&text[2..], options));
        };
        self.typed.push(text.to_owned());
        if let Some(task) = key.strip_prefix("result-") {
            if task.is_empty() {
                return Err(
                    Error::new("usage.result", format!("`{text}` names no task"))
                        .hint("write `--result-NAME=VALUE`"),
                );
            }
            self.results.push((task.to_owned(), value.to_owned()));
            return Ok(());
        }
        self.set(key, value)?;
        let near = options
            .iter()
            .find(|option| strsim::osa_distance(key, option) == 1);
        if let Some(option) = near {
            let warning =
                format!("`--{key}=…` sets a state key; did you mean the option `--{option}`?");
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// `KEY=VALUE` of `--set`.
    pub(super) fn take_set(&mut self, word: &OsStr) -> Result<()> {
        let Some(text) = word.to_str() else {
            let message = format!("`--set {}` is not UTF-8", word.to_string_lossy());
            return Err(Error::new("usage.utf8", message));
        };
        let Some((key, value)) = text.split_once('=') else {
            let message = format!("`--set {text}` has no value");
            return Err(Error::new("usage.set", message).hint("write `--set KEY=VALUE`"));
        };
        self.typed.push(format!("--set={text}"));
        self.set(key, value)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if key.is_empty() {
            return Err(Error::new("usage.set", format!("`={value}` has no key")));
        }
        if is_reserved(key) {
            let error = Error::new(
                "state.reserved",
                format!("the state key `{key}` is reserved"),
            );
            return Err(error.hint(reserved(key)));
        }
        self.state.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

fn unknown_option(name: &str, options: &[String]) -> Error {
    let error = Error::new("usage.option", format!("there is no option `--{name}`"));
    let error = match nearest(name, options.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `--{near}`?")),
        None => error,
    };
    error.hint(match name.strip_prefix("result-") {
        Some("") => "to give the result of a task write `--result-NAME=VALUE`".to_owned(),
        Some(task) => format!("to give the result of `{task}` write `--{name}=VALUE`"),
        None if is_reserved(name) => reserved(name).to_owned(),
        None => format!("to set the state key `{name}` write `--{name}=VALUE`"),
    })
}

/// What to say to somebody who wants to set a key that is reserved.
fn reserved(key: &str) -> &'static str {
    if key == "results" {
        "to give the result of one task write `--result-NAME=VALUE`"
    } else {
        "keys that begin with `_`, and `results`, belong to tdrun"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(words: &[&str]) -> Result<(String, Assignments)> {
        let options = ["workers", "tags", "graph", "set"].map(String::from);
        let (rest, assignments) = sort(words.iter().map(OsString::from), &options)?;
        let rest: Vec<_> = rest.iter().map(|word| word.to_str().unwrap()).collect();
        Ok((rest.join(" "), assignments))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn what_is_no_option_is_state() {
        let words = [
            "--db=pg",
            "liba.so::t1",
            "-j2",
            "--tags=a,b",
            "--result-t1={\"x\":1}",
            "--graph",
            "--url=a=b",
            "--e=",
        ];
        let (rest, assignments) = sorted(&words).unwrap();
        assert_eq!(rest, "liba.so::t1 -j2 --tags=a,b --graph");
        assert_eq!(
            assignments.state,
            pairs(&[("db", "pg"), ("url", "a=b"), ("e", "")])
        );
        assert_eq!(assignments.results, pairs(&[("t1", "{\"x\":1}")]));
        assert_eq!(assignments.warnings, [] as [&str; 0]);
    }

    #[test]
    fn behind_two_dashes_nothing_is_state() {
        assert_eq!(sorted(&["--a=1", "--", "--b=2"]).unwrap().0, "-- --b=2");
    }

    #[test]
    fn a_key_one_edit_from_an_option_is_state_with_a_warning() {
        let (_, assignments) = sorted(&["--tag=x", "--worker=3"]).unwrap();
        assert_eq!(assignments.state, pairs(&[("tag", "x"), ("worker", "3")]));
        let warning = "`--tag=…` sets a state key; did you mean the option `--tags`?";
        assert_eq!(assignments.warnings[0], warning);
        assert_eq!(assignments.warnings.len(), 2);
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for (word, expected) in [
            (
                "--wokers",
                "error[usage.option]: there is no option `--wokers`\n  did you mean `--workers`?\n  to set the state key `wokers` write `--wokers=VALUE`",
            ),
            (
                "--env",
                "error[usage.option]: there is no option `--env`\n  to set the state key `env` write `--env=VALUE`",
            ),
            (
                "--results",
                "error[usage.option]: there is no option `--results`\n  to give the result of one task write `--result-NAME=VALUE`",
            ),
            (
                "--_x",
                "error[usage.option]: there is no option `--_x`\n  keys that begin with `_`, and `results`, belong to tdrun",
            ),
            (
                "--result-a",
                "error[usage.option]: there is no option `--result-a`\n  to give the result of `a` write `--result-a=VALUE`",
            ),
            (
                "--_x=1",
                "error[state.reserved]: the state key `_x` is reserved\n  keys that begin with `_`, and `results`, belong to tdrun",
            ),
            (
                "--results=1",
                "error[state.reserved]: the state key `results` is reserved\n  to give the result of one task write `--result-NAME=VALUE`",
            ),
            (
                "--result-=1",
                "error[usage.result]: `--result-=1` names no task\n  write `--result-NAME=VALUE`",
            ),
            ("--=1", "error[usage.set]: `=1` has no key"),
        ] {
            let error = sorted(&[word]).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.exit().code(), 2);
        }
    }
}
