//! Why a task does not pass: a failure made of any error, or a skip; with the place that it was made at.
//!
//! Knows nothing of the host, of panics or of how a task returns it.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

/// What a task that can fail returns. `Result` alone stands for `Result<()>`.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a task failed, and where.
///
/// Made from any error by `?`, which keeps the file and line of the `?`; from a message by [`Failure::new`] or
/// [`bail!`](crate::bail). It is no [`std::error::Error`] itself, as `anyhow::Error` is none: both take every error.
///
/// ```
/// use task_abi::{Failure, Result};
///
/// fn port(text: &str) -> Result<u16> {
///     let port = text.trim().parse()?;
///     if port < 1024 {
///         return Err(Failure::new(format!("port {port} is reserved")));
///     }
///     Ok(port)
/// }
///
/// assert_eq!(port("8080").unwrap(), 8080);
/// assert_eq!(port("80").unwrap_err().to_string(), "port 80 is reserved");
/// assert_eq!(port("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct Failure {
    kind: Kind,
    message: String,
    place: Option<Place>,
}

/// A line in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Skipped,
}

impl Failure {
    /// A failure with a message, and the place of this call.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            kind: Kind::Failed,
            message: message.to_string(),
            place: Some(Location::caller().into()),
        }
    }

    pub(crate) fn without_place(message: String) -> Self {
        Self {
            kind: Kind::Failed,
            message,
            place: None,
        }
    }

    pub(crate) fn skipped(reason: String) -> Self {
        Self {
            kind: Kind::Skipped,
            message: reason,
            place: None,
        }
    }

    /// The words of an error and of its sources, a line each; a skip where one of them is a [`Skip`].
    pub(crate) fn from_chain(error: &(dyn StdError + 'static)) -> Self {
        let mut message = error.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(skip) = error.downcast_ref::<Skip>() {
                return Self::skipped(skip.reason.clone());
            }
            next = error.source();
            // Many errors already say what their source says.
            if let Some(cause) = next.map(ToString::to_string)
                && !message.ends_with(&cause)
            {
                message.push_str("\ncaused by: ");
                message.push_str(&cause);
            }
        }
        Self::without_place(message)
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn is_skip(&self) -> bool {
        self.kind == Kind::Skipped
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

impl<E: StdError + 'static> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::from_chain(&error).at(Some(Location::caller().into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As [`Display`](fmt::Display), with the place: what `unwrap` shows.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(Place { file, line }) => write!(f, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}

impl From<&Location<'_>> for Place {
    fn from(location: &Location<'_>) -> Self {
        Self {
            file: location.file().to_owned(),
            line: location.line(),
        }
    }
}

/// Returns from the task as failed, with a message as for [`format!`] and the place of this line.
///
/// ```
/// # use task_abi::bail;
/// fn check(status: u16) -> task_abi::Result {
///     if status != 200 {
///         bail!("the server answered {status}");
///     }
///     Ok(())
/// }
/// # assert_eq!(check(500).unwrap_err().to_string(), "the server answered 500");
/// ```
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err(
            ::core::convert::Into::into($crate::Failure::new(::core::format_args!($($message)+))),
        )
    };
}

/// A task that skips itself, as an error value: return it, or pass it on with `?`, through any error type that keeps its
/// sources. Works in every library, also in one that is built with `panic = "abort"`.
///
/// ```
/// use task_abi::{Result, Skip, task};
///
/// #[task]
/// fn on_linux_only() -> Result {
///     if !cfg!(target_os = "linux") {
///         Err(Skip::new("needs Linux"))?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    reason: String,
}

impl Skip {
    /// A skip for that reason.
    pub fn new(reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        Self { reason }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for Skip {}

/// The payload that [`skip`] unwinds with; private, so nobody else can throw or mistake it.
pub(crate) struct SkipPayload(pub(crate) String);

/// Ends the task here and now as skipped, which counts as passed for its dependents.
///
/// It unwinds as a panic does, so destructors run; but it is no panic: no hook is called and nothing is printed. Call it on
/// the thread of the task; on a thread that the task has made it only ends that thread.
///
/// # Panics
/// A library that is built with `panic = "abort"` cannot unwind: there it is a panic that ends the process. Return [`Skip`]
/// instead.
pub fn skip(reason: impl fmt::Display) -> ! {
    #[cfg(panic = "abort")]
    panic!(
        "`skip` cannot unwind in a library that is built with panic = \"abort\", return `Skip` \
         instead; it was called because: {reason}"
    );
    #[cfg(not(panic = "abort"))]
    std::panic::resume_unwind(Box::new(SkipPayload(reason.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapped(&'static str, Option<Box<Wrapped>>);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|source| source as _)
        }
    }

    #[test]
    fn every_source_of_an_error_has_its_line_unless_it_has_been_said() {
        let root = Wrapped("disk full", None);
        let middle = Wrapped("write failed: disk full", Some(root.into()));
        let outer = Wrapped("cannot save", Some(middle.into()));
        assert_eq!(
            Failure::from(outer).to_string(),
            "cannot save\ncaused by: write failed: disk full"
        );
    }

    #[test]
    fn the_question_mark_keeps_its_place() {
        fn parse() -> Result<u8> {
            Ok("x".parse::<u8>()?)
        }
        let failure = parse().unwrap_err();
        let place = failure.place().unwrap();
        assert!(place.file.ends_with("failure.rs"), "{place:?}");
        assert_eq!(place.line, line!() - 5);
    }

    #[test]
    fn bail_formats_and_keeps_its_place() {
        fn refuse(n: u8) -> Result {
            bail!("{n} of {}", 9)
        }
        let failure = refuse(3).unwrap_err();
        assert_eq!(failure.to_string(), "3 of 9");
        assert_eq!(failure.place().unwrap().line, line!() - 4);
    }

    #[test]
    fn a_skip_is_found_behind_other_errors() {
        #[derive(Debug)]
        struct Outer(Skip);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::from(Outer(Skip::new("no network")));
        assert!(failure.is_skip());
        assert_eq!(failure.message(), "no network");
    }
}
