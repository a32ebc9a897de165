//! Calls into the host, made safe: strings in, strings and [`Error`]s out, from any thread, also after the task's end.
//!
//! Knows the ABI and nothing of types, tasks or panics.

#![allow(
    unsafe_code,
    reason = "the functions of the host are reached through C pointers"
)]

use std::borrow::Cow;
use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};
use std::ptr;

use super::error::{Error, UNSUPPORTED};
use crate::raw::{self, Ctx, Str, VisitFn};

/// The host and the handle of one task: all that [`Context`](crate::Context) and [`State`](crate::State) are.
#[derive(Clone, Copy)]
pub(crate) struct Handle {
    host: &'static raw::Host,
    ctx: Ctx,
}

/// The functions of the host, with ours in place of those that it is too old for; none where it has less than the first
/// version had.
///
/// # Safety
/// `host` points to a host of major version 1, of as many bytes as its size says.
pub(crate) unsafe fn complete(host: *const raw::Host) -> Option<raw::Host> {
    let mut full = MaybeUninit::<raw::Host>::uninit();
    let fields = full.as_mut_ptr();
    // SAFETY: the fields are ours to write, and what is copied over them is promised by the caller: whole functions, of the
    // types in the header, since a size ends where a field does. All that is not copied has been written before.
    unsafe {
        let known = ((*host).size as usize).min(size_of::<raw::Host>());
        if known < offset_of!(raw::Host, task_name) {
            return None;
        }
        (&raw mut (*fields).task_name).write(no_name);
        (&raw mut (*fields).param).write(no_parameter);
        (&raw mut (*fields).attempt).write(first_attempt);
        (&raw mut (*fields).progress).write(no_progress);
        (&raw mut (*fields).start).write(no_tasks);
        (&raw mut (*fields).wait).write(no_tasks);
        ptr::copy_nonoverlapping(host.cast::<u8>(), fields.cast(), known);
        Some(full.assume_init())
    }
}

unsafe extern "C" fn no_name(_: Ctx, _: VisitFn, _: *mut c_void) -> i32 {
    UNSUPPORTED
}

unsafe extern "C" fn no_parameter(_: Ctx, _: Str, _: VisitFn, _: *mut c_void) -> i32 {
    UNSUPPORTED
}

/// A host without attempts makes one.
unsafe extern "C" fn first_attempt(_: Ctx) -> i32 {
    1
}

/// Nobody looks.
unsafe extern "C" fn no_progress(_: Ctx, _: u64, _: u64, _: Str) -> i32 {
    raw::OK
}

unsafe extern "C" fn no_tasks(_: Ctx, _: Str, _: Option<VisitFn>, _: *mut c_void) -> i32 {
    UNSUPPORTED
}

impl Handle {
    pub(crate) fn new(host: &'static raw::Host, ctx: Ctx) -> Self {
        Self { host, ctx }
    }

    pub(crate) fn log_level(self) -> u32 {
        // SAFETY: a function of the host, callable from any thread.
        unsafe { (self.host.log_level)() }
    }

    pub(crate) fn log(self, level: u32, target: &str, message: &str, file: &str, line: u32) {
        let [target, message, file] = [target, message, file].map(Str::new);
        // SAFETY: the strings are borrowed for the call; the host copies them. There is nobody to tell of an error.
        let _ = unsafe { (self.host.log)(self.ctx, level, target, message, file, line) };
    }

    pub(crate) fn fail(self, message: &str, file: &str, line: u32) {
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let _ = unsafe { (self.host.fail)(self.ctx, Str::new(message), Str::new(file), line) };
    }

    pub(crate) fn skip(self, reason: &str) {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let _ = unsafe { (self.host.skip)(self.ctx, Str::new(reason)) };
    }

    /// Also true where the task has ended: whoever still asks should stop.
    pub(crate) fn cancelled(self) -> bool {
        // SAFETY: a function of the host, callable from any thread, with any handle.
        unsafe { (self.host.cancelled)(self.ctx) != 0 }
    }

    pub(crate) fn set_result(self, json: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.result_set)(self.ctx, raw::JSON, Str::new(json)) };
        Error::check(status, || "the result".to_owned())
    }

    /// The result of a task as JSON; `None` where there is none.
    pub(crate) fn result(self, task: &str) -> Result<Option<String>, Error> {
        visit(
            |visit, user| {
                // SAFETY: the string is borrowed for the call; `visit` and `user` fit each other and live as long.
                unsafe { (self.host.result_get)(self.ctx, Str::new(task), raw::JSON, visit, user) }
            },
            || format!("the result of `{task}`"),
        )
    }

    /// The value of a state key as JSON; `None` where there is none.
    pub(crate) fn state(self, key: &str) -> Result<Option<String>, Error> {
        visit(
            |visit, user| {
                // SAFETY: the string is borrowed for the call; `visit` and `user` fit each other and live as long.
                unsafe { (self.host.state_get)(self.ctx, Str::new(key), raw::JSON, visit, user) }
            },
            || format!("the state key `{key}`"),
        )
    }

    pub(crate) fn set_state(self, key: &str, json: &str) -> Result<(), Error> {
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let status =
            unsafe { (self.host.state_set)(self.ctx, Str::new(key), raw::JSON, Str::new(json)) };
        Error::check(status, || format!("the state key `{key}`"))
    }

    /// Compare-and-set, in JSON; `None` is "no such key". False where the key holds something else.
    pub(crate) fn swap_state(
        self,
        key: &str,
        expected: Option<&str>,
        value: Option<&str>,
    ) -> Result<bool, Error> {
        let [expected, value] = [expected, value].map(|v| v.map_or(Str::EMPTY, Str::new));
        // SAFETY: the strings are borrowed for the call; the host copies them.
        let status = unsafe { (self.host.state_swap)(self.ctx, Str::new(key), expected, value) };
        if status == raw::E_CHANGED {
            return Ok(false);
        }
        Error::check(status, || format!("the state key `{key}`")).map(|()| true)
    }

    pub(crate) fn lock(self, name: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.lock)(self.ctx, Str::new(name)) };
        Error::check(status, || format!("the lock `{name}`"))
    }

    pub(crate) fn unlock(self, name: &str) -> Result<(), Error> {
        // SAFETY: the string is borrowed for the call; the host copies it.
        let status = unsafe { (self.host.unlock)(self.ctx, Str::new(name)) };
        Error::check(status, || format!("the lock `{name}`"))
    }

    pub(crate) fn task_name(self) -> Result<Option<String>, Error> {
        visit(
            // SAFETY: `visit` and `user` fit each other and live as long as the call.
            |visit, user| unsafe { (self.host.task_name)(self.ctx, visit, user) },
            || "the name of the task".to_owned(),
        )
    }

    /// The text of a parameter; `None` where there is none.
    pub(crate) fn parameter(self, name: &str) -> Result<Option<String>, Error> {
        visit(
            |visit, user| {
                // SAFETY: the string is borrowed for the call; `visit` and `user` fit each other and live as long.
                unsafe { (self.host.param)(self.ctx, Str::new(name), visit, user) }
            },
            || format!("the parameter `{name}`"),
        )
    }

    /// 1 where the host does not say.
    pub(crate) fn attempt(self) -> u32 {
        // SAFETY: a function of the host, callable from any thread, with any handle.
        let attempt = unsafe { (self.host.attempt)(self.ctx) };
        u32::try_from(attempt).unwrap_or(1).max(1)
    }

    pub(crate) fn progress(self, done: u64, total: u64, what: &str) {
        // SAFETY: the string is borrowed for the call; the host copies it. It is no error that nobody looks.
        let _ = unsafe { (self.host.progress)(self.ctx, done, total, Str::new(what)) };
    }

    pub(crate) fn start(self, task: &str) -> Result<(), Error> {
        self.task(self.host.start, task)
    }

    pub(crate) fn wait(self, task: &str) -> Result<(), Error> {
        self.task(self.host.wait, task)
    }

    /// Calls a function that is about a task and may say why it failed.
    fn task(self, function: raw::NamesFn, task: &str) -> Result<(), Error> {
        let mut why: Option<String> = None;
        // SAFETY: the string is borrowed for the call; `take` fits `why`, which lives as long.
        let status =
            unsafe { function(self.ctx, Str::new(task), Some(take), (&raw mut why).cast()) };
        Error::check_why(status, why, || format!("the task `{task}`"))
    }
}

/// Asks the host for a value and takes the text that it shows to the visitor.
fn visit(
    ask: impl FnOnce(VisitFn, *mut c_void) -> i32,
    what: impl Fn() -> String,
) -> Result<Option<String>, Error> {
    let mut value: Option<String> = None;
    match ask(take, (&raw mut value).cast()) {
        raw::E_NOTFOUND => Ok(None),
        status => Error::check(status, what).map(|()| value),
    }
}

/// The visitor: copies the value, since it is only lent.
unsafe extern "C" fn take(user: *mut c_void, value: Str) {
    // SAFETY: `user` is the `Option<String>` of `visit`, which waits for this call and does not touch it meanwhile.
    let slot = unsafe { &mut *user.cast::<Option<String>>() };
    // SAFETY: the host lends the value until this function returns.
    *slot = Some(unsafe { borrowed(&value) }.into_owned());
}

/// Text that the host lends; what is not UTF-8 is replaced.
///
/// # Safety
/// There are `len` bytes at `ptr`, for as long as `text` is borrowed.
pub(crate) unsafe fn borrowed(text: &Str) -> Cow<'_, str> {
    if text.len == 0 {
        return Cow::Borrowed("");
    }
    // SAFETY: promised by the caller.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.ptr, text.len) })
}
