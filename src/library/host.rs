//! The functions that tdrun offers to libraries: the host table of the ABI, over the `Host` of the running call.
//!
//! Checks what comes in, copies it, and lets no panic out. Knows nothing of how state, locks or logs work.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use task_abi::raw::{self, Ctx, Str, VisitFn};

use super::context::{self, Said, Stale};
use super::sink;
use super::text::{self, Malformed};
use super::value::{self, Unfit};
use crate::task::{Declined, Failure, Host, Json, Level, Place, Progress, Record, Refused};

/// Bytes of a log record's text.
const LOG_MAX: usize = 64 << 10;
/// Bytes of the text that tells why a task fails or skips itself.
const REASON_MAX: usize = 1 << 20;
/// Bytes of the text that tells what a task does just now.
const PROGRESS_MAX: usize = 1 << 10;
/// Bytes of the name of a source file.
const FILE_MAX: usize = 4096;

static TABLE: raw::Host = raw::Host {
    #[expect(clippy::cast_possible_truncation, reason = "asserted to be 152")]
    size: size_of::<raw::Host>() as u32,
    major: raw::MAJOR,
    minor: raw::MINOR,
    log_level,
    log,
    fail,
    skip,
    cancelled,
    result_set,
    result_get: strict(result_get),
    state_get: strict(state_get),
    state_set,
    state_swap,
    lock,
    unlock,
    task_name: strict_name(task_name),
    param: strict_param(param),
    attempt,
    progress,
    start,
    wait,
};

static LOG_LEVEL: AtomicU32 = AtomicU32::new(raw::LOG_OFF);

/// The one host table of this process.
pub(super) fn table() -> *const raw::Host {
    &raw const TABLE
}

/// Sets what `log_level` says from now on.
pub(super) fn set_log_level(level: Option<Level>) {
    let level = match level {
        None => raw::LOG_OFF,
        Some(Level::Error) => raw::LOG_ERROR,
        Some(Level::Warn) => raw::LOG_WARN,
        Some(Level::Info) => raw::LOG_INFO,
        Some(Level::Debug) => raw::LOG_DEBUG,
        Some(Level::Trace) => raw::LOG_TRACE,
    };
    LOG_LEVEL.store(level, Ordering::Relaxed);
}

type Getter<V> = unsafe extern "C" fn(Ctx, Str, u32, V, *mut c_void) -> i32;
type ParamFn<V> = unsafe extern "C" fn(Ctx, Str, V, *mut c_void) -> i32;
type NameFn<V> = unsafe extern "C" fn(Ctx, V, *mut c_void) -> i32;

// A library written in C may pass a null visitor, so the functions here take an optional one.

const fn strict(getter: Getter<Option<VisitFn>>) -> Getter<VisitFn> {
    // SAFETY: an optional function pointer is passed as the pointer itself, null for none.
    unsafe { std::mem::transmute::<Getter<Option<VisitFn>>, Getter<VisitFn>>(getter) }
}

const fn strict_param(param: ParamFn<Option<VisitFn>>) -> ParamFn<VisitFn> {
    // SAFETY: as in `strict`.
    unsafe { std::mem::transmute::<ParamFn<Option<VisitFn>>, ParamFn<VisitFn>>(param) }
}

const fn strict_name(name: NameFn<Option<VisitFn>>) -> NameFn<VisitFn> {
    // SAFETY: as in `strict`.
    unsafe { std::mem::transmute::<NameFn<Option<VisitFn>>, NameFn<VisitFn>>(name) }
}

/// A number for the library other than `TD_OK`.
struct Code(i32);

impl From<Stale> for Code {
    fn from(_: Stale) -> Self {
        Self(raw::E_STALE)
    }
}

impl From<Malformed> for Code {
    fn from(_: Malformed) -> Self {
        BAD_ARGUMENT
    }
}

impl From<Unfit> for Code {
    fn from(unfit: Unfit) -> Self {
        Self(match unfit {
            Unfit::Json => raw::E_JSON,
            Unfit::Size => raw::E_TOOBIG,
        })
    }
}

impl From<Refused> for Code {
    fn from(refused: Refused) -> Self {
        Self(match refused {
            Refused::NotFound => raw::E_NOTFOUND,
            Refused::Denied => raw::E_DENIED,
            Refused::Changed => raw::E_CHANGED,
            Refused::Deadlock => raw::E_DEADLOCK,
            Refused::Cancelled => raw::E_CANCELLED,
            Refused::Stale => raw::E_STALE,
            Refused::Argument => raw::E_ARG,
            Refused::Failed => raw::E_FAILED,
            Refused::Limit => raw::E_LIMIT,
        })
    }
}

type Answer<T = ()> = Result<T, Code>;

const BAD_ARGUMENT: Code = Code(raw::E_ARG);

/// The edge to foreign code: a panic on this side becomes a failure of the task that names it.
fn edge(ctx: Ctx, act: impl FnOnce() -> Answer) -> i32 {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(())) => raw::OK,
        Ok(Err(Code(code))) => code,
        Err(payload) => {
            let bug = format!("a bug in tdrun: {}", panic_text(&*payload)).into();
            // Dropping a payload can panic again.
            std::mem::forget(payload);
            context::note_bug(ctx, bug);
            raw::E_STALE
        }
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

unsafe extern "C" fn log_level() -> u32 {
    LOG_LEVEL.load(Ordering::Relaxed)
}

unsafe extern "C" fn log(
    ctx: Ctx,
    level: u32,
    target: Str,
    message: Str,
    file: Str,
    line: u32,
) -> i32 {
    edge(ctx, || {
        let host = match ctx {
            0 => None,
            _ => Some(context::host(ctx)?),
        };
        let level = level.clamp(raw::LOG_ERROR, raw::LOG_TRACE);
        if level > LOG_LEVEL.load(Ordering::Relaxed) {
            return Ok(());
        }
        // SAFETY: by the contract the texts are readable during the call.
        let record = unsafe { record(level, target, message, file, line)? };
        match host {
            Some(host) => host.log(record),
            None => sink::send(record),
        }
        Ok(())
    })
}

unsafe fn record(level: u32, target: Str, message: Str, file: Str, line: u32) -> Answer<Record> {
    let level = match level {
        raw::LOG_ERROR => Level::Error,
        raw::LOG_WARN => Level::Warn,
        raw::LOG_INFO => Level::Info,
        raw::LOG_DEBUG => Level::Debug,
        _ => Level::Trace,
    };
    // SAFETY: the caller's promise.
    let (target, message) = unsafe {
        (
            text::lossy(target, LOG_MAX)?,
            text::lossy(message, LOG_MAX)?,
        )
    };
    Ok(Record {
        level,
        target: target.into(),
        message: message.into(),
        // SAFETY: the caller's promise.
        place: unsafe { place(file, line)? },
    })
}

unsafe extern "C" fn fail(ctx: Ctx, message: Str, file: Str, line: u32) -> i32 {
    edge(ctx, || {
        // SAFETY: by the contract the texts are readable during the call.
        let (message, place) = unsafe { (text::lossy(message, REASON_MAX)?, place(file, line)?) };
        let message = message.into();
        let failure = Failure { message, place };
        Ok(context::say(ctx, |said| said.failure = Some(failure))?)
    })
}

unsafe extern "C" fn skip(ctx: Ctx, reason: Str) -> i32 {
    edge(ctx, || {
        // SAFETY: by the contract the text is readable during the call.
        let reason = unsafe { text::lossy(reason, REASON_MAX)? }.into();
        Ok(context::say(ctx, |said| said.skip = Some(reason))?)
    })
}

unsafe extern "C" fn cancelled(ctx: Ctx) -> i32 {
    edge(ctx, || {
        if context::host(ctx)?.cancelled() {
            return Err(Code(1));
        }
        Ok(())
    })
}

unsafe extern "C" fn result_set(ctx: Ctx, form: u32, value: Str) -> i32 {
    edge(ctx, || {
        // A large value is not worth reading for a task that has ended.
        context::host(ctx)?;
        // SAFETY: by the contract the text is readable during the call.
        let result = unsafe { json(form, value)? };
        Ok(context::say(ctx, |said: &mut Said| {
            said.result = Some(result);
        })?)
    })
}

unsafe extern "C" fn result_get(
    ctx: Ctx,
    task: Str,
    form: u32,
    visit: Option<VisitFn>,
    user: *mut c_void,
) -> i32 {
    edge(ctx, || {
        // SAFETY: by the contract the text is readable during the call.
        let task = unsafe { name(task)? };
        // SAFETY: by the contract `visit` takes `user`.
        unsafe { hand_over(ctx, |host| host.result(task), form, visit, user) }
    })
}

unsafe extern "C" fn state_get(
    ctx: Ctx,
    key: Str,
    form: u32,
    visit: Option<VisitFn>,
    user: *mut c_void,
) -> i32 {
    edge(ctx, || {
        // SAFETY: by the contract the text is readable during the call.
        let key = unsafe { name(key)? };
        // SAFETY: by the contract `visit` takes `user`.
        unsafe { hand_over(ctx, |host| host.state(key), form, visit, user) }
    })
}

unsafe extern "C" fn task_name(ctx: Ctx, visit: Option<VisitFn>, user: *mut c_void) -> i32 {
    edge(ctx, || {
        let visit = visit.ok_or(BAD_ARGUMENT)?;
        let host = context::host(ctx)?;
        // SAFETY: by the contract `visit` takes `user`; the name lives until it returns.
        unsafe { visit(user, Str::new(host.name())) };
        Ok(())
    })
}

unsafe extern "C" fn param(
    ctx: Ctx,
    parameter: Str,
    visit: Option<VisitFn>,
    user: *mut c_void,
) -> i32 {
    edge(ctx, || {
        let visit = visit.ok_or(BAD_ARGUMENT)?;
        let host = context::host(ctx)?;
        // SAFETY: by the contract the text is readable during the call.
        let parameter = unsafe { name(parameter)? };
        let value = host.arguments().get(parameter);
        let value = value.ok_or(Code(raw::E_NOTFOUND))?;
        // SAFETY: by the contract `visit` takes `user`; the value lives until it returns.
        unsafe { visit(user, Str::new(value)) };
        Ok(())
    })
}

unsafe extern "C" fn attempt(ctx: Ctx) -> i32 {
    edge(ctx, || {
        let attempt = context::host(ctx)?.attempt();
        Err(Code(i32::try_from(attempt).unwrap_or(i32::MAX)))
    })
}

unsafe extern "C" fn progress(ctx: Ctx, done: u64, total: u64, what: Str) -> i32 {
    edge(ctx, || {
        let host = context::host(ctx)?;
        // SAFETY: by the contract the text is readable during the call.
        let what = unsafe { text::lossy(what, PROGRESS_MAX)? }.into();
        host.progress(Progress { done, total, what });
        Ok(())
    })
}

unsafe extern "C" fn start(ctx: Ctx, task: Str, why: Option<VisitFn>, user: *mut c_void) -> i32 {
    // SAFETY: by the contract the text is readable during the call, and `why` takes `user`.
    edge(ctx, || unsafe {
        ask(ctx, task, why, user, |host, task| host.start(task))
    })
}

unsafe extern "C" fn wait(ctx: Ctx, task: Str, why: Option<VisitFn>, user: *mut c_void) -> i32 {
    // SAFETY: by the contract the text is readable during the call, and `why` takes `user`.
    edge(ctx, || unsafe {
        ask(ctx, task, why, user, |host, task| host.wait(task))
    })
}

/// Asks for another task. Nothing is locked meanwhile, nor while the library hears why not.
unsafe fn ask(
    ctx: Ctx,
    task: Str,
    why: Option<VisitFn>,
    user: *mut c_void,
    act: impl FnOnce(&dyn Host, &str) -> Result<(), Declined>,
) -> Answer {
    let host = context::host(ctx)?;
    // SAFETY: the caller's promise.
    let answer = act(&*host, unsafe { name(task)? });
    // The task may have ended while a thread of it waited here; then what `user` points to may be gone.
    context::host(ctx)?;
    let Err(Declined {
        refused,
        why: words,
    }) = answer
    else {
        return Ok(());
    };
    if let Some(why) = why {
        // SAFETY: the caller's promise; the words live until the visitor returns.
        unsafe { why(user, Str::new(&words)) };
    }
    Err(refused.into())
}

/// Shows a value to the library. Nothing is locked meanwhile: the visitor may call host functions.
unsafe fn hand_over(
    ctx: Ctx,
    get: impl FnOnce(&dyn Host) -> Option<Json>,
    form: u32,
    visit: Option<VisitFn>,
    user: *mut c_void,
) -> Answer {
    let visit = visit.ok_or(BAD_ARGUMENT)?;
    let host = context::host(ctx)?;
    check_form(form)?;
    let json = get(&*host).ok_or(Code(raw::E_NOTFOUND))?;
    let text = match form {
        raw::TEXT => value::to_text(&json),
        _ => Cow::Borrowed(&*json),
    };
    // SAFETY: the caller's promise; the text lives until the visitor returns.
    unsafe { visit(user, Str::new(&text)) };
    Ok(())
}

unsafe extern "C" fn state_set(ctx: Ctx, key: Str, form: u32, value: Str) -> i32 {
    edge(ctx, || {
        let host = context::host(ctx)?;
        // SAFETY: by the contract the texts are readable during the call.
        let (key, value) = unsafe { (name(key)?, json(form, value)?) };
        Ok(host.set_state(key, Some(value))?)
    })
}

unsafe extern "C" fn state_swap(ctx: Ctx, key: Str, expected: Str, value: Str) -> i32 {
    edge(ctx, || {
        let host = context::host(ctx)?;
        // SAFETY: by the contract the texts are readable during the call.
        let (key, expected, value) = unsafe { (name(key)?, optional(expected)?, optional(value)?) };
        Ok(host.swap_state(key, expected, value)?)
    })
}

unsafe extern "C" fn lock(ctx: Ctx, name_of_lock: Str) -> i32 {
    edge(ctx, || {
        let host = context::host(ctx)?;
        // SAFETY: by the contract the text is readable during the call.
        let name = unsafe { name(name_of_lock)? };
        let granted = host.lock(name);
        // The task may have ended while a thread of it waited here; then nothing is held, whatever was granted.
        context::host(ctx)?;
        Ok(granted?)
    })
}

unsafe extern "C" fn unlock(ctx: Ctx, name_of_lock: Str) -> i32 {
    edge(ctx, || {
        let host: Arc<dyn Host> = context::host(ctx)?;
        // SAFETY: by the contract the text is readable during the call.
        let name = unsafe { name(name_of_lock)? };
        Ok(host.unlock(name)?)
    })
}

/// A value in either form, as canonical JSON.
unsafe fn json(form: u32, value: Str) -> Answer<Json> {
    check_form(form)?;
    value::check_size(value.len)?;
    // SAFETY: the caller's promise.
    let text = unsafe { text::utf8(value)? };
    Ok(match form {
        raw::TEXT => value::from_text(text)?,
        _ => value::canonical(text)?,
    })
}

fn check_form(form: u32) -> Answer {
    match form {
        raw::JSON | raw::TEXT => Ok(()),
        _ => Err(BAD_ARGUMENT),
    }
}

/// JSON text, or none where the pointer is null.
unsafe fn optional(value: Str) -> Answer<Option<Json>> {
    if value.ptr.is_null() && value.len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { json(raw::JSON, value) }.map(Some)
}

/// A text that must not be empty.
unsafe fn name<'a>(text: Str) -> Answer<&'a str> {
    // SAFETY: the caller's promise.
    let name = unsafe { text::utf8(text)? };
    if name.is_empty() {
        return Err(BAD_ARGUMENT);
    }
    Ok(name)
}

unsafe fn place(file: Str, line: u32) -> Answer<Option<Place>> {
    // SAFETY: the caller's promise.
    let file = unsafe { text::lossy(file, FILE_MAX)? };
    Ok((!file.is_empty()).then(|| Place {
        file: file.into(),
        line,
    }))
}
