//! Asks functions of a library about a parameter: which choices there are, whether a text fits.
//!
//! Knows the two callbacks, not what becomes of their answers.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;

use task_abi::raw::{self, Str};

use super::text;
use crate::task::Check;

/// Bytes of a reason.
const REASON_MAX: usize = 4096;

/// What a `choose` has told so far.
struct Choosing {
    choices: Vec<Box<str>>,
    limit: usize,
    /// The first thing that it did wrong.
    misuse: Option<String>,
    reason: Option<String>,
}

/// Asks for the choices, at most `limit`; the error is a clause that says why there are none.
///
/// # Safety
/// `choose` must be a function as the header describes.
pub(super) unsafe fn choices(
    choose: raw::ChooseFn,
    user: *mut c_void,
    limit: usize,
) -> Result<Vec<Box<str>>, String> {
    let mut choosing = Choosing {
        choices: Vec::new(),
        limit,
        misuse: None,
        reason: None,
    };
    // SAFETY: the caller's promise; the visitors below take what they are called with, and it lives until the end.
    let status = unsafe { choose(user, add, fail, (&raw mut choosing).cast()) };
    if let Some(misuse) = choosing.misuse {
        return Err(misuse);
    }
    refusal(status, choosing.reason).map_or(Ok(choosing.choices), Err)
}

unsafe extern "C" fn add(list: *mut c_void, choice: Str) {
    // SAFETY: by the contract `list` is what `choose` was called with, on the thread of that call.
    let Some(choosing) = (unsafe { list.cast::<Choosing>().as_mut() }) else {
        return;
    };
    if choosing.misuse.is_some() {
        return;
    }
    if choosing.choices.len() == choosing.limit {
        choosing.misuse = Some(format!("there are more than {}", choosing.limit));
        return;
    }
    // SAFETY: by the contract the text is readable during the call.
    match unsafe { text::utf8(choice) } {
        Ok(choice) => choosing.choices.push(choice.into()),
        Err(_) => choosing.misuse = Some("one of them is null or not UTF-8".into()),
    }
}

unsafe extern "C" fn fail(list: *mut c_void, reason: Str) {
    // SAFETY: as in `add`.
    if let Some(choosing) = unsafe { list.cast::<Choosing>().as_mut() } {
        // SAFETY: by the contract the text is readable during the call.
        choosing.reason = unsafe { text::lossy(reason, REASON_MAX) }.ok();
    }
}

/// A `check` of a library, and what it wants to be called with.
struct Checker {
    check: raw::CheckFn,
    user: *mut c_void,
}

// SAFETY: by the header, it is called on any thread, with the same `user`.
unsafe impl Send for Checker {}
// SAFETY: tdrun never touches what `user` points to.
unsafe impl Sync for Checker {}

impl Checker {
    fn ask(&self, text: &str) -> Result<(), Box<str>> {
        let mut reason: Option<String> = None;
        let into = (&raw mut reason).cast();
        // SAFETY: whoever built it promised that it is such a function; the text and the reason live until it returns.
        let status = unsafe { (self.check)(self.user, Str::new(text), take_reason, into) };
        refusal(status, reason).map_or(Ok(()), |reason| Err(reason.into()))
    }
}

unsafe extern "C" fn take_reason(reason: *mut c_void, text: Str) {
    // SAFETY: by the contract it is what `check` was called with, on the thread of that call.
    if let Some(reason) = unsafe { reason.cast::<Option<String>>().as_mut() } {
        // SAFETY: by the contract the text is readable during the call.
        *reason = unsafe { text::lossy(text, REASON_MAX) }.ok();
    }
}

/// A check that asks the library.
///
/// # Safety
/// `check` must be a function as the header describes, in a library that is never unloaded.
pub(super) unsafe fn check(check: raw::CheckFn, user: *mut c_void) -> Check {
    let checker = Checker { check, user };
    Arc::new(move |text| checker.ask(text))
}

/// Why a function of a library says no, as a clause; none where it does not.
fn refusal(status: i32, reason: Option<String>) -> Option<String> {
    match (status, reason) {
        (raw::OK, _) => None,
        (_, Some(reason)) if !reason.is_empty() => Some(reason),
        (raw::FAIL, _) => Some("it returned TD_FAIL without saying why".into()),
        (status, _) => Some(format!("it returned {status}")),
    }
}
