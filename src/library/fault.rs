//! What is wrong with a part of a table, before it is known which part of which library it is.
//!
//! Knows the ids of the ABI's errors, not the sentences around them.

use crate::error::Error;

/// An id and what is wrong, as a clause whose subject is added later.
#[derive(Debug)]
pub(super) struct Fault {
    id: &'static str,
    clause: String,
    hint: Option<&'static str>,
}

/// The result of checking a part.
pub(super) type Checked<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn new(id: &'static str, clause: impl Into<String>) -> Self {
        Self {
            id,
            clause: clause.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Completes the sentence: `subject: clause`.
    pub(super) fn of(self, subject: &str) -> Error {
        let error = Error::new(self.id, format!("{subject}: {}", self.clause));
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
