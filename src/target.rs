//! Targets: what the user names, `path[::selector]`.
//!
//! Text in, values out; knows nothing of files or of what a selector will match.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::error::{Error, Result, escape};

/// A library and, perhaps, which of its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As typed, so possibly relative.
    pub path: PathBuf,
    /// What stands behind the first `::`: a name or a glob over names.
    pub selector: Option<String>,
}

impl Target {
    /// Splits at the first `::`. The path may be any bytes, a selector has to be UTF-8.
    pub fn parse(word: &OsStr) -> Result<Self> {
        let bytes = word.as_bytes();
        let split = bytes.windows(2).position(|pair| pair == b"::");
        let (path, selector) = match split {
            None => (bytes, None),
            Some(at) => (&bytes[..at], Some(&bytes[at + 2..])),
        };
        let shown = word.to_string_lossy();
        if path.is_empty() {
            let what = if word.is_empty() {
                "an empty target"
            } else {
                "a target without a library"
            };
            return Err(Error::new("usage.target", format!("{what}: `{shown}`"))
                .hint("name a library: `tdrun libname.so` or `tdrun libname.so::task`"));
        }
        let selector = selector
            .map(|bytes| std::str::from_utf8(bytes).map(str::to_owned))
            .transpose()
            .map_err(|_| {
                let message = format!("the selector of `{}` is not UTF-8", escape(&shown));
                Error::new("usage.utf8", message)
            })?;
        if selector.as_deref() == Some("") {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            return Err(
                Error::new("usage.target", format!("an empty selector: `{shown}`"))
                    .hint(format!("`{}` alone runs all of its tasks", path.display())),
            );
        }
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        Ok(Self { path, selector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> Result<(String, Option<String>), &'static str> {
        Target::parse(OsStr::new(word))
            .map(|target| (target.path.display().to_string(), target.selector))
            .map_err(|error| error.id())
    }

    #[test]
    fn a_target_is_split_at_the_first_double_colon() {
        let ok = |path: &str, selector: Option<&str>| Ok((path.into(), selector.map(Into::into)));
        for (word, expected) in [
            ("lib.so", ok("lib.so", None)),
            ("./a b/lib.so::fn_b", ok("./a b/lib.so", Some("fn_b"))),
            ("lib.so::build::dev", ok("lib.so", Some("build::dev"))),
            ("lib.so::test_*", ok("lib.so", Some("test_*"))),
            ("a:b.so", ok("a:b.so", None)),
            ("", Err("usage.target")),
            ("::task", Err("usage.target")),
            ("lib.so::", Err("usage.target")),
        ] {
            assert_eq!(parsed(word), expected, "{word}");
        }
    }

    #[test]
    fn a_path_may_be_any_bytes_but_a_selector_has_to_be_text() {
        let target = Target::parse(OsStr::from_bytes(b"\xff.so::x")).unwrap();
        assert_eq!(target.path.as_os_str().as_bytes(), b"\xff.so");
        let error = Target::parse(OsStr::from_bytes(b"a.so::\xff")).unwrap_err();
        assert_eq!(error.id(), "usage.utf8");
    }
}
