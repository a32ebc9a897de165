//! Globs over names.
//!
//! Values in, values out. Only this room knows globset.

use globset::{ErrorKind, GlobBuilder, GlobMatcher};

use crate::error::{Error, escape};

/// A glob; `*` also matches `/` and `::`, as names are not paths.
pub struct Glob(GlobMatcher);

/// What makes a text a glob.
const META: [char; 5] = ['*', '?', '[', '{', '\\'];

impl Glob {
    /// Reads a glob. A text without any of `*?[{\\` matches itself.
    pub fn new(word: &str) -> Result<Self, Malformed> {
        let glob = GlobBuilder::new(word)
            .literal_separator(false)
            .backslash_escape(true)
            .build();
        match glob {
            Ok(glob) => Ok(Self(glob.compile_matcher())),
            Err(error) => Err(Malformed::new(word, error.kind())),
        }
    }

    /// The text is a glob, not a name.
    pub fn is_glob(word: &str) -> bool {
        word.contains(META)
    }

    /// The whole name is one that the glob stands for.
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// A text that is no glob although it looks like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    word: Box<str>,
    what: &'static str,
    at: Option<usize>,
}

impl Malformed {
    fn new(word: &str, kind: &ErrorKind) -> Self {
        let (what, at) = match kind {
            ErrorKind::UnclosedClass => ("a `[` without its `]`", unclosed_class(word)),
            ErrorKind::UnclosedAlternates => ("a `{` without its `}`", unmatched(word, '{', '}')),
            ErrorKind::UnopenedAlternates => ("a `}` without its `{`", unmatched_back(word)),
            ErrorKind::DanglingEscape => ("a `\\` with nothing behind it", word.rfind('\\')),
            ErrorKind::InvalidRange(from, _) => {
                let range = word.find(&format!("{from}-"));
                ("a range that runs backwards", range)
            }
            _ => ("it cannot be read", None),
        };
        let word = word.into();
        Self { word, what, at }
    }

    /// In words, with a mark under what is wrong.
    pub fn error(&self, id: &'static str) -> Error {
        let (word, what) = (&*self.word, self.what);
        let error = Error::new(id, format!("malformed glob `{word}`: {what}"));
        let Some(at) = self.at else {
            return error.hint("quote a character with `\\` to mean itself");
        };
        let (before, marked) = (escape(&word[..at]), escape(word));
        error
            .hint(marked)
            .hint(format!("{}^", " ".repeat(before.chars().count())))
    }
}

/// Where the first `[` stands behind the last `]`; that of `[]` is no end.
fn unclosed_class(word: &str) -> Option<usize> {
    let behind = word.rfind(']').map_or(0, |at| at + 1);
    let first = word[behind..].find('[').map(|at| behind + at);
    first.or_else(|| word.rfind('['))
}

/// Where the last `open` stands that no `close` follows for.
fn unmatched(word: &str, open: char, close: char) -> Option<usize> {
    let mut opened = Vec::new();
    for (at, c) in word.char_indices() {
        if c == open {
            opened.push(at);
        } else if c == close {
            opened.pop();
        }
    }
    opened.pop()
}

/// Where the first `}` stands that no `{` came before.
fn unmatched_back(word: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in word.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
