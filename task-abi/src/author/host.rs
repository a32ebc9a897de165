//! Calls into the host, made safe: strings in, strings and [`Error`]s out, from any thread, also after the task's end.
//!
//! Knows the ABI and nothing of types, tasks or panics.

#![allow(
    unsafe_code,
    reason = "the functions of the host are reached through C pointers"
)]

use std::ffi::c_void;

use super::error::Error;
use crate::raw;

/// The host and the handle of one task: all that [`Context`](crate::Context) and [`State`](crate::State) are.
#[derive(Clone, Copy)]
pub(crate) struct Handle {
    host: &'static raw::Host,
    ctx: raw::Ctx,
}

impl Handle {
    pub(crate) fn new(host: &'static raw::Host, ctx: raw::Ctx) -> Self {
        Self { host, ctx }
    }

    pub(crate) fn log_level(self) -> u32 {
        // SAFETY: a function of the host, callable from any thread.
        unsafe { (self.host.log_level)() }
    }

    pub(crate) fn log(self, level: u32, target: &str, message: &str, file: &str, line: u32) {
        let [target, message, file] = [target, message, file].map(raw::Str::new);
        // SAFETY: the strings are borrowed for the call; the host copies them. There is nobody to tell of an error.
        let _ = unsafe { (self.host.log)(self.ctx, level, target, message, file, line) };
    }

    pub(crate) fn fail(self, message: &str, file: &str, line: u32) {
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let _ = unsafe {
            (self.host.fail)(self.ctx, raw::Str::new(message), raw::Str::new(file), line)
        };
    }

    pub(crate) fn skip(self, reason: &str) {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let _ = unsafe { (self.host.skip)(self.ctx, raw::Str::new(reason)) };
    }

    /// Also true where the task has ended: whoever still asks should stop.
    pub(crate) fn cancelled(self) -> bool {
        // SAFETY: a function of the host, callable from any thread, with any handle.
        unsafe { (self.host.cancelled)(self.ctx) != 0 }
    }

    pub(crate) fn set_result(self, json: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.result_set)(self.ctx, raw::JSON, raw::Str::new(json)) };
        Error::check(status, || "the result".to_owned())
    }

    /// The result of a task as JSON; `None` where there is none.
    pub(crate) fn result(self, task: &str) -> Result<Option<String>, Error> {
        visit(
            |visit, user| {
                // SAFETY: the string is borrowed for the call; `visit` and `user` fit each other and live as long.
                unsafe {
                    (self.host.result_get)(self.ctx, raw::Str::new(task), raw::JSON, visit, user)
                }
            },
            || format!("the result of `{task}`"),
        )
    }

    /// The value of a state key as JSON; `None` where there is none.
    pub(crate) fn state(self, key: &str) -> Result<Option<String>, Error> {
        visit(
            |visit, user| {
                // SAFETY: the string is borrowed for the call; `visit` and `user` fit each other and live as long.
                unsafe {
                    (self.host.state_get)(self.ctx, raw::Str::new(key), raw::JSON, visit, user)
                }
            },
            || format!("the state key `{key}`"),
        )
    }

    pub(crate) fn set_state(self, key: &str, json: &str) -> Result<(), Error> {
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let status = unsafe {
            (self.host.state_set)(self.ctx, raw::Str::new(key), raw::JSON, raw::Str::new(json))
        };
        Error::check(status, || format!("the state key `{key}`"))
    }

    /// Compare-and-set, in JSON; `None` is "no such key". False where the key holds something else.
    pub(crate) fn swap_state(
        self,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
    ) -> Result<bool, Error> {
        let [expected, value] = [expected, value].map(|v| v.map_or(raw::Str::EMPTY, raw::Str::new));
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let status =
            unsafe { (self.host.state_swap)(self.ctx, raw::Str::new(key), expected, value) };
        if status == raw::E_CHANGED {
            return Ok(false);
        }
        Error::check(status, || format!("the state key `{key}`")).map(|()| true)
    }

    pub(crate) fn lock(self, name: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.lock)(self.ctx, raw::Str::new(name)) };
        Error::check(status, || format!("the lock `{name}`"))
    }

    pub(crate) fn unlock(self, name: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.unlock)(self.ctx, raw::Str::new(name)) };
        Error::check(status, || format!("the lock `{name}`"))
    }
}

/// Asks the host for a value and takes the text that it shows to the visitor.
fn visit(
    ask: impl FnOnce(raw::VisitFn, *mut c_void) -> i32,
    what: impl Fn() -> String,
) -> Result<Option<String>, Error> {
    let mut value: Option<String> = None;
    match ask(take, (&raw mut value).cast()) {
        raw::E_NOTFOUND => Ok(None),
        status => Error::check(status, what).map(|()| value),
    }
}

/// The visitor: copies the value, since it is only lent.
unsafe extern "C" fn take(user: *mut c_void, value: raw::Str) {
    // SAFETY: `user` is the `Option<String>` of `visit`, which waits for this call and does not touch it meanwhile.
    let slot = unsafe { &mut *user.cast::<Option<String>>() };
    let bytes = if value.len == 0 {
        &[][..]
    } else {
        // SAFETY: the host lends `len` bytes at `ptr` until this function returns.
        unsafe { std::slice::from_raw_parts(value.ptr, value.len) }
    };
    *slot = Some(String::from_utf8_lossy(bytes).into_owned());
}
