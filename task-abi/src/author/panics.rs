//! Panics of a task: where they happened and what they said, kept for the failure instead of printed.
//!
//! Knows the panic hook and payloads; knows nothing of how a task is called.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{PanicHookInfo, catch_unwind, set_hook, take_hook};

use super::current::Current;
use super::failure::{Failure, Place, SkipPayload};

thread_local! {
    /// The last panic on this thread, until the task's end asks for it.
    static LAST: RefCell<Option<Caught>> = const { RefCell::new(None) };
}

/// What the hook saw.
struct Caught {
    text: String,
    place: Option<Place>,
    backtrace: Option<String>,
}

/// Installs the hook. A panic on the thread of a task is kept for [`failure`] and printed by nobody; any other goes to the
/// hook that was there before, with the name of the task where the thread has one.
pub(crate) fn install() {
    let previous = take_hook();
    set_hook(Box::new(move |info| {
        let current = Current::get();
        if let Some(current) = current.filter(|current| current.caught) {
            keep(info, current);
            if survivable(info) {
                return;
            }
        }
        if let Some(current) = current {
            // Where stderr is closed, nobody reads either line.
            let _ = writeln!(std::io::stderr(), "in task `{}`:", current.context.name());
        }
        previous(info);
    }));
}

/// Forgets what an earlier task of this thread has left.
pub(crate) fn forget() {
    let _ = LAST.try_with(|last| last.borrow_mut().take());
}

/// The failure, or the skip, that a caught payload stands for.
pub(crate) fn failure(payload: Box<dyn Any + Send>) -> Failure {
    let payload = match payload.downcast::<SkipPayload>() {
        Ok(skip) => return Failure::skipped(skip.0),
        Err(payload) => payload,
    };
    let text = text(&*payload);
    let last = LAST
        .try_with(|last| last.borrow_mut().take())
        .ok()
        .flatten();
    // The payload's own destructor may panic, with a payload whose destructor may panic.
    if let Err(again) = catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    // A payload that was passed on from another thread, or kept, is not the last panic of this one.
    let caught = last.filter(|caught| caught.text == text);
    let (place, backtrace) = caught.map_or((None, None), |caught| (caught.place, caught.backtrace));
    Failure::without_place(message(&text, backtrace.as_deref())).at(place)
}

fn keep(info: &PanicHookInfo<'_>, current: Current) {
    let caught = Caught {
        text: text(info.payload()),
        place: info.location().map(Place::from),
        backtrace: backtrace(),
    };
    // Told now, in case that the process does not get any further.
    let (file, line) = match &caught.place {
        Some(place) => (&*place.file, place.line),
        None => ("", 0),
    };
    let message = message(&caught.text, caught.backtrace.as_deref());
    current.context.handle().fail(&message, file, line);
    let _ = LAST.try_with(|last| last.replace(Some(caught)));
}

/// Whether this panic can be caught. One that cannot, in a destructor during another panic, ends the process with the
/// message of the standard library.
fn survivable(info: &PanicHookInfo<'_>) -> bool {
    let doomed = text(info.payload()).starts_with("panic in a ");
    !cfg!(panic = "abort") && !doomed
}

/// Between the words of a panic and its backtrace.
const BACKTRACE: &str = "\nstack backtrace:\n";

/// The message of a failure, for where there is room for its words alone.
pub(crate) fn without_backtrace(message: &str) -> &str {
    message
        .split_once(BACKTRACE)
        .map_or(message, |(words, _)| words)
}

fn message(text: &str, backtrace: Option<&str>) -> String {
    match backtrace {
        Some(backtrace) => format!("panicked: {text}{BACKTRACE}{backtrace}"),
        None => format!("panicked: {text}"),
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with a value that is no text").to_owned()
}

/// Only where `RUST_BACKTRACE` asks for it.
fn backtrace() -> Option<String> {
    let backtrace = Backtrace::capture();
    let full = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value == "full");
    let text = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string())?;
    Some(if full { text } else { of_the_author(&text) })
}

/// The frames between our call of the task and its panic, numbered anew.
fn of_the_author(backtrace: &str) -> String {
    let frames: Vec<(&str, &str)> = frames(backtrace);
    let ours = |(name, _): &(&str, &str)| name.contains("task_abi::author::run::");
    let panicking = |(name, _): &(&str, &str)| {
        name.contains("panicking::") || name.contains("rust_begin_unwind")
    };
    let calling = |(name, _): &(&str, &str)| name.contains("core::ops::function::");
    let mut end = frames.iter().position(ours).unwrap_or(frames.len());
    while end > 0 && calling(&frames[end - 1]) {
        end -= 1;
    }
    let start = frames[..end]
        .iter()
        .rposition(panicking)
        .map_or(0, |last| last + 1);
    let mut text = String::new();
    for (number, (name, place)) in frames[start..end].iter().enumerate() {
        let _ = write!(text, "{number:4}: {name}\n{place}");
    }
    text
}

/// The name of each frame, and the lines below it.
fn frames(backtrace: &str) -> Vec<(&str, &str)> {
    let is_name = |line: &str| {
        let number = line.trim_start().split(": ").next();
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let mut starts: Vec<usize> = Vec::new();
    let mut offset = 0;
    for line in backtrace.split_inclusive('\n') {
        if is_name(line) {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([backtrace.len()]);
    let frames = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &backtrace[start..end]);
    frames
        .filter_map(|frame| frame.split_once(": ")?.1.split_once('\n'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_shows_what_lies_between_the_task_and_its_panic() {
        let text = concat!(
            "   0: task_abi::author::panics::keep\n",
            "             at ./src/author/panics.rs:76:20\n",
            "   1: core::panicking::panic_fmt\n",
            "   2: core::panicking::assert_failed\n",
            "             at /rustc/panicking.rs:80:14\n",
            "   3: mine::check\n",
            "             at ./src/lib.rs:5:9\n",
            "   4: mine::_::__tdrun_body\n",
            "   5: core::ops::function::Fn::call\n",
            "             at /rustc/function.rs:79:5\n",
            "   6: task_abi::author::run::call::{{closure}}\n",
            "   7: start_thread\n",
        );
        assert_eq!(
            of_the_author(text),
            "   0: mine::check\n             at ./src/lib.rs:5:9\n   1: mine::_::__tdrun_body\n"
        );
    }
}
