//! Turns a function of a library into an action: opens a context, calls, and words how the call ended.
//!
//! Knows the statuses of the ABI, not the services of the host.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;

use task_abi::raw;

use super::context::{Call, Said};
use super::host;
use crate::task::{Action, Caller, Ending};

/// A function of a library and what it wants to be called with.
struct Function {
    run: raw::RunFn,
    user: *mut c_void,
}

// SAFETY: by the header, tasks are called on any thread of the host, with the same `user`.
unsafe impl Send for Function {}
// SAFETY: tdrun never touches what `user` points to.
unsafe impl Sync for Function {}

impl Function {
    fn call(&self, caller: &Caller<'_>) -> Ending {
        // SAFETY: whoever built this action promised that `run` is such a function.
        let ending = unsafe { call(self.run, self.user, caller) };
        ending.map_or(Ending::Passed(None), |ending| *ending)
    }
}

/// An action that calls a function of a library.
///
/// # Safety
/// As of [`call`].
pub(super) unsafe fn action(run: raw::RunFn, user: *mut c_void) -> Action {
    let function = Function { run, user };
    Arc::new(move |caller| function.call(caller))
}

/// Does all that a call does, but for the function: what is made ready by that need not be made again.
pub fn warm_up(caller: &Caller<'_>) {
    if let Some(call) = Call::begin(caller) {
        drop(call.end());
    }
}

/// Calls a function of a library; none where it passed and returned nothing.
///
/// # Safety
/// `run` must be a function as the header describes, in a library that is never unloaded.
pub(super) unsafe fn call(
    run: raw::RunFn,
    user: *mut c_void,
    caller: &Caller<'_>,
) -> Option<Box<Ending>> {
    let Some(call) = Call::begin(caller) else {
        let ending = Ending::failed("too many tasks run at the same time");
        return Some(Box::new(ending));
    };
    // SAFETY: the caller's promise; the context is live until the call ends.
    let status = unsafe { run(host::table(), call.handle(), user) };
    match call.end() {
        None if status == raw::OK => None,
        said => Some(Box::new(ending(status, said.unwrap_or_default()))),
    }
}

/// What a call comes to, by its status and by what it said on the way.
fn ending(status: i32, said: Said) -> Ending {
    if let Some(bug) = said.bug {
        return Ending::failed(bug);
    }
    match (status, said.failure) {
        (raw::OK, _) => Ending::Passed(said.result),
        (raw::SKIP, _) => Ending::Skipped(said.skip.unwrap_or_default()),
        (_, Some(failure)) => Ending::Failed(failure),
        (raw::FAIL, None) => Ending::failed("returned TD_FAIL without saying why"),
        (status, None) => Ending::failed(match status_name(status) {
            Some(name) => format!("returned {status} ({name})"),
            None => format!("returned {status}"),
        }),
    }
}

fn status_name(status: i32) -> Option<&'static str> {
    Some(match status {
        raw::E_STALE => "TD_E_STALE",
        raw::E_ARG => "TD_E_ARG",
        raw::E_NOTFOUND => "TD_E_NOTFOUND",
        raw::E_JSON => "TD_E_JSON",
        raw::E_TOOBIG => "TD_E_TOOBIG",
        raw::E_DENIED => "TD_E_DENIED",
        raw::E_CHANGED => "TD_E_CHANGED",
        raw::E_DEADLOCK => "TD_E_DEADLOCK",
        raw::E_SPACE => "TD_E_SPACE",
        raw::E_CANCELLED => "TD_E_CANCELLED",
        raw::E_FAILED => "TD_E_FAILED",
        raw::E_LIMIT => "TD_E_LIMIT",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Failure;

    fn said(failure: Option<&str>, skip: Option<&str>, result: Option<&str>) -> Said {
        Said {
            failure: failure.map(|message| Failure {
                message: message.into(),
                place: None,
            }),
            skip: skip.map(Into::into),
            result: result.map(Into::into),
            bug: None,
        }
    }

    #[test]
    fn the_status_decides_and_words_explain() {
        for (status, said, expected) in [
            (0, said(None, None, None), Ending::Passed(None)),
            (
                0,
                said(Some("no"), Some("no"), Some("1")),
                Ending::Passed(Some("1".into())),
            ),
            (77, said(None, None, Some("1")), Ending::Skipped("".into())),
            (
                77,
                said(Some("no"), Some("rain"), None),
                Ending::Skipped("rain".into()),
            ),
            (
                1,
                said(Some("why"), Some("rain"), Some("1")),
                Ending::failed("why"),
            ),
            (
                1,
                said(None, None, None),
                Ending::failed("returned TD_FAIL without saying why"),
            ),
            (17, said(None, None, None), Ending::failed("returned 17")),
            (17, said(Some("why"), None, None), Ending::failed("why")),
            (
                -3,
                said(None, None, None),
                Ending::failed("returned -3 (TD_E_NOTFOUND)"),
            ),
            (-99, said(None, None, None), Ending::failed("returned -99")),
            (
                i32::MIN,
                said(None, None, None),
                Ending::failed("returned -2147483648"),
            ),
        ] {
            assert_eq!(ending(status, said), expected, "{status}");
        }
    }
}
