//! The end of the process: what a library does to it too early, and what it must not do to it any more.
//!
//! Knows nothing of runs or reports: it calls back, and ends the process with the status that it is told.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use crate::exit::Exit;

/// How long destructors and exit handlers of libraries may take.
const PATIENCE: Duration = Duration::from_millis(1500);

thread_local! {
    /// Whether this is the thread that reports: it must not wait for itself.
    static REPORTS: Cell<bool> = const { Cell::new(false) };
}

/// How many threads may call `exit()` at the same time: each takes one registration off the list, and whoever finds none
/// ends the process.
const GUARDS: usize = 16;

/// The call by which a library ends the process: `exit(0)`, or without its status, where the system does not tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    /// `exit`
    Exit(Option<i32>),
    /// `quick_exit`
    Quick,
}

impl fmt::Display for EarlyExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(Some(status)) => write!(f, "exit({status})"),
            Self::Exit(None) => f.write_str("exit"),
            Self::Quick => f.write_str("quick_exit"),
        }
    }
}

/// What is to be done when a library ends the process: report, then [`leave`].
pub type OnEarlyExit = Box<dyn FnOnce(EarlyExit) + Send>;

/// The process that armed the guard; one that a library has forked off may end as it likes.
static GUARDED: AtomicU32 = AtomicU32::new(0);
static ON_EARLY_EXIT: Mutex<Option<OnEarlyExit>> = Mutex::new(None);
/// Set once the status is decided.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// Set once a thread reports an early exit.
static REPORTING: AtomicBool = AtomicBool::new(false);
static STATUS: AtomicI32 = AtomicI32::new(0);
/// The signal to end by, or zero.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Arms the guard: when a task or a constructor calls `exit()`, `on_early_exit` runs, once, on the thread that called.
/// To be called before libraries are loaded, for their constructors; and again after, since what was registered last runs
/// first: so that a task's `exit` is noticed before destructors of libraries run under the feet of other tasks.
///
/// Whoever arms it ends the process by [`leave`], or calls [`disarm`] before it ends in another way. `_exit` and signals
/// do not pass here.
pub fn guard(on_early_exit: impl FnOnce(EarlyExit) + Send + 'static) {
    *callback() = Some(Box::new(on_early_exit));
    GUARDED.store(std::process::id(), Ordering::Release);
    for _ in 0..GUARDS {
        register();
        register_quick();
    }
}

/// Disarms the guard: from here on `exit()` ends the process as usual.
pub fn disarm() {
    callback().take();
}

/// Ends the process with this status, whatever destructors and exit handlers of libraries do: they have a second and a
/// half, and may crash.
///
/// The first caller decides. A later one waits for the end, or, with a signal, brings it about at once.
///
/// What cannot be stopped is a library that calls `_exit` in a destructor.
///
/// `abandoned` says that a thread of a task may still run: then no destructor does, since it would pull the ground from
/// under that thread; only the buffers of C streams are written.
pub fn leave(exit: Exit, abandoned: bool) -> ! {
    // Not dropped: to give back what it holds, such as all tasks, takes time, and the memory goes with the process.
    std::mem::forget(callback().take());
    if !decide(exit) {
        yield_to_first(exit);
    }
    start_watchdog();
    catch_crashes();
    if abandoned || matches!(exit, Exit::Signal(_)) {
        flush_c_streams();
        finish();
    }
    // SAFETY: runs exit handlers and destructors; no lock of tdrun is held, and the watchdog waits.
    unsafe { libc::exit(exit.code()) }
}

fn callback() -> std::sync::MutexGuard<'static, Option<OnEarlyExit>> {
    ON_EARLY_EXIT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fixes the status; false where it has been fixed before.
fn decide(exit: Exit) -> bool {
    static DECISION: Once = Once::new();
    let mut first = false;
    DECISION.call_once(|| {
        if let Exit::Signal(signal) = exit {
            SIGNAL.store(signal, Ordering::Relaxed);
        }
        STATUS.store(exit.code(), Ordering::Relaxed);
        LEAVING.store(true, Ordering::Release);
        first = true;
    });
    first
}

/// What a thread does that leaves while another one is already at it.
fn yield_to_first(exit: Exit) -> ! {
    if matches!(exit, Exit::Signal(_)) {
        finish();
    }
    loop {
        std::thread::park();
    }
}

#[cfg(target_env = "gnu")]
fn register() {
    unsafe extern "C" {
        fn on_exit(
            handler: extern "C" fn(c_int, *mut std::ffi::c_void),
            argument: *mut std::ffi::c_void,
        ) -> c_int;
    }
    extern "C" fn handler(status: c_int, _: *mut std::ffi::c_void) {
        at_exit(EarlyExit::Exit(Some(status)));
    }
    // SAFETY: the handler is a function of this program, which is never unloaded.
    unsafe { on_exit(handler, std::ptr::null_mut()) };
}

#[cfg(not(target_env = "gnu"))]
fn register() {
    extern "C" fn handler() {
        at_exit(EarlyExit::Exit(None));
    }
    // SAFETY: the handler is a function of this program, which is never unloaded.
    unsafe { libc::atexit(handler) };
}

#[cfg(target_os = "linux")]
fn register_quick() {
    unsafe extern "C" {
        fn at_quick_exit(handler: extern "C" fn()) -> c_int;
    }
    extern "C" fn handler() {
        at_exit(EarlyExit::Quick);
    }
    // SAFETY: the handler is a function of this program, which is never unloaded.
    unsafe { at_quick_exit(handler) };
}

/// Not every system has `quick_exit`.
#[cfg(not(target_os = "linux"))]
fn register_quick() {}

/// A destructor of the program itself. The loader calls it before those of libraries, when all handlers have run: so it
/// puts one more in the list, for a destructor of a library that calls `exit()` with a status of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[used]
#[unsafe(link_section = ".fini_array")]
static BEFORE_DESTRUCTORS: extern "C" fn() = {
    extern "C" fn stay() {
        if LEAVING.load(Ordering::Acquire) {
            register();
        }
    }
    stay
};

/// Runs inside `exit()` and `quick_exit()`.
fn at_exit(call: EarlyExit) {
    if GUARDED.load(Ordering::Acquire) != std::process::id() {
        return;
    }
    if LEAVING.load(Ordering::Acquire) {
        // A handler of a library has called `exit()` again, with a status of its own.
        if call != EarlyExit::Exit(None)
            && call != EarlyExit::Exit(Some(STATUS.load(Ordering::Relaxed)))
        {
            flush_c_streams();
            finish();
        }
        return;
    }
    if let Some(callback) = take_callback() {
        let _ = catch_unwind(AssertUnwindSafe(|| callback(call)));
        leave(Exit::Failed, true);
    }
    if REPORTS.get() {
        leave(Exit::Failed, true);
    }
    // Another thread reports, and then ends the process.
    while REPORTING.load(Ordering::Acquire) {
        std::thread::park();
    }
}

fn take_callback() -> Option<OnEarlyExit> {
    let mut callback = callback();
    if callback.is_some() {
        REPORTING.store(true, Ordering::Release);
        REPORTS.set(true);
    }
    callback.take()
}

fn flush_c_streams() {
    // SAFETY: null means all output streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Ends the process when destructors hang. Where not even a thread can be started, nothing is risked.
fn start_watchdog() {
    let watch = || {
        std::thread::sleep(PATIENCE);
        finish();
    };
    let watchdog = std::thread::Builder::new().name("exit".into()).spawn(watch);
    if watchdog.is_err() {
        finish();
    }
}

/// From here on a crash does not change the status.
fn catch_crashes() {
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
    ] {
        set_action(
            signal,
            on_crash as extern "C" fn(c_int) as libc::sighandler_t,
        );
    }
}

/// Only calls what may be called in a signal handler.
extern "C" fn on_crash(_: c_int) {
    const WARNING: &[u8] = b"tdrun: warning: a library crashed while the process ended\n";
    // SAFETY: the buffer is static. Nothing can be done where it cannot be written.
    unsafe { libc::write(libc::STDERR_FILENO, WARNING.as_ptr().cast(), WARNING.len()) };
    finish();
}

/// Ends the process at once: by the signal, where it ends by one, else with the status. Safe in a signal handler.
fn finish() -> ! {
    let signal = SIGNAL.load(Ordering::Relaxed);
    if signal != 0 {
        set_action(signal, libc::SIG_DFL);
        raise_unblocked(signal);
    }
    // SAFETY: ends the process, without running anything else.
    unsafe { libc::_exit(STATUS.load(Ordering::Relaxed)) }
}

fn set_action(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: zero is a valid value for all fields; the handler is one of this file, or the default.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

fn raise_unblocked(signal: c_int) {
    // SAFETY: the set is initialised before it is used; all three calls are allowed in a signal handler.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}
