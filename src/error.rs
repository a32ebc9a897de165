//! Errors: tdrun could not do its job. A task that does not pass is a failure, not an error.
//!
//! Knows the ids, which are stable, and the one-line form; not who prints it.

use std::fmt;

use crate::exit::Exit;

/// What went wrong, in the one form that tdrun reports it: `error[id]: message`, then hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    id: &'static str,
    message: String,
    hints: Vec<String>,
}

/// The result of all that can go wrong before a run and around it.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a stable id (`load.arch`) and a message: lower case, no full stop, the user's words in backticks.
    pub fn new(id: &'static str, message: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a line that says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds `did you mean …?` where one of `known` is close to `word`.
    #[must_use]
    pub fn suggest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(near) => self.hint(format!("did you mean `{}`?", escape(near))),
            None => self,
        }
    }

    /// As [`Error::suggest`]; or all there are, where none is close.
    #[must_use]
    pub fn suggest_or_list(self, word: &str, known: &[&str], intro: &str) -> Self {
        match nearest(word, known.iter().copied()) {
            Some(near) => self.hint(format!("did you mean `{}`?", escape(near))),
            None => self.list(known, intro),
        }
    }

    /// Adds all there are, or the first ten.
    #[must_use]
    pub fn list(self, known: &[&str], intro: &str) -> Self {
        const SHOWN: usize = 10;
        let shown = known.iter().take(SHOWN);
        let shown: Vec<_> = shown.map(|name| format!("`{}`", escape(name))).collect();
        let shown = shown.join(", ");
        match known.len().checked_sub(SHOWN) {
            Some(more @ 1..) => self.hint(format!("{intro} {shown} … and {more} more")),
            _ if known.is_empty() => self,
            _ => self.hint(format!("{intro} {shown}")),
        }
    }

    /// The stable id.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The message without id and hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, a line each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The exit status that belongs to the id.
    pub fn exit(&self) -> Exit {
        let family = self.id.split('.').next().unwrap_or_default();
        match (family, self.id) {
            ("usage", _) | (_, "state.reserved" | "select.syntax") => Exit::Usage,
            ("io", _) => Exit::Output,
            ("internal", _) => Exit::Bug,
            _ => Exit::Failed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.id, escape(&self.message))?;
        for hint in &self.hints {
            write!(f, "\n  {}", escape(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The nearest of `known` to `word`, if it is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(word, known), known))
        // Where no character stays, it is another word.
        .filter(|&(distance, known)| {
            let longer = word.chars().count().max(known.chars().count());
            distance <= limit && distance < longer
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// Text that came from outside, safe to print on one line of a terminal: control characters become escapes.
pub fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    escape_except(text, |_| false)
}

/// As [`escape`], but line breaks and tabs stay.
pub fn escape_lines(text: &str) -> std::borrow::Cow<'_, str> {
    escape_except(text, |c| c == '\n' || c == '\t')
}

fn escape_except(text: &str, keep: impl Fn(char) -> bool) -> std::borrow::Cow<'_, str> {
    if is_plain(text) {
        return text.into();
    }
    let hostile = |c: char| (c.is_control() || is_bidi_control(c)) && !keep(c);
    if !text.contains(hostile) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Nothing but printable ASCII, as most text is: looked at eight bytes at a time, which costs far less than characters do.
pub fn is_plain(text: &str) -> bool {
    let text = text.as_bytes();
    let Some(last) = text.last_chunk() else {
        return text.iter().all(|byte| (b' '..=b'~').contains(byte));
    };
    let (words, _) = text.as_chunks();
    // The last word begins within the one before, where the length is no multiple of its own.
    words.iter().chain([last]).all(|word| {
        let word = u64::from_ne_bytes(*word);
        let every = |byte| u64::from_ne_bytes([byte; 8]);
        // The high bit of a byte shows what is below the space, above the tilde, or no ASCII. A carry into the next byte
        // comes only from a byte that is one of these.
        let odd = word | word.wrapping_sub(every(b' ')) | word.wrapping_add(every(0x7f - b'~'));
        odd & every(0x80) == 0
    })
}

/// Characters that reorder the text around them, and so could make a terminal show what was not said.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_slip_of_the_fingers_away() {
        let known = ["fetch_user", "email_user", "audit"];
        assert_eq!(nearest("fetch_usr", known), Some("fetch_user"));
        assert_eq!(nearest("aduit", known), Some("audit"));
        assert_eq!(nearest("deploy", known), None);
        assert_eq!(nearest("x", ["xy", "long"]), Some("xy"));
        assert_eq!(nearest("7", ["0", "1"]), None, "another word altogether");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escape("plain é"), "plain é");
        assert_eq!(escape("a\x1b[31mb\r\n"), "a\\u{1b}[31mb\\r\\n");
        assert_eq!(escape("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(escape_lines("a\n\tb\x07"), "a\n\tb\\u{7}");
    }

    #[test]
    fn plain_text_is_known_at_every_place() {
        for c in (0..=0x100).filter_map(char::from_u32) {
            let plain = c.is_ascii() && !c.is_control();
            for length in 0..20 {
                for place in 0..=length {
                    let mut text = "~".repeat(length);
                    text.insert(place, c);
                    assert_eq!(is_plain(&text), plain, "{text:?}");
                }
            }
        }
        assert!(is_plain(""));
    }

    #[test]
    fn the_id_decides_the_exit_status() {
        for (id, exit) in [
            ("usage.workers", Exit::Usage),
            ("state.reserved", Exit::Usage),
            ("state.file", Exit::Failed),
            ("load.arch", Exit::Failed),
            ("graph.cycle", Exit::Failed),
            ("io.output", Exit::Output),
            ("internal", Exit::Bug),
        ] {
            assert_eq!(Error::new(id, "").exit(), exit, "{id}");
        }
    }
}
