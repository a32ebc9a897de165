//! The end of a process by `exit`: what a library does too early, and what it must not do to it any more.

use std::ffi::c_int;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

/// The call by which a library ends the process: `exit(0)`, or without its status, where the system does not tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `exit`
    Exit(Option<i32>),
    /// `quick_exit`
    Quick,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(Some(status)) => write!(f, "exit({status})"),
            Self::Exit(None) => f.write_str("exit"),
            Self::Quick => f.write_str("quick_exit"),
        }
    }
}

/// The status of a process that a library has ended.
const EARLY: c_int = 70;
/// How many threads may call `exit()` at the same time: each takes one registration off the list, and whoever finds none
/// runs destructors under the feet of the others.
const GUARDS: usize = 16;
/// So many seconds the streams of C may take to be written: somebody may hold one of them locked for ever.
const PATIENCE: u32 = 1;

static NOTE: OnceLock<fn(Call)> = OnceLock::new();
/// The process that armed the guard; one that a library has forked off may end as it likes.
static GUARDED: AtomicU32 = AtomicU32::new(0);
/// Set once the process ends as it should.
static LEAVING: AtomicBool = AtomicBool::new(false);

/// From here on, where something calls `exit` or `quick_exit`, `note` is called on that thread, and the process ends at once:
/// no destructor runs while other threads do. To be called before libraries are loaded, for their constructors; and again
/// after, since what was registered last runs first.
///
/// `_exit` and signals do not pass here.
pub fn guard(note: fn(Call)) {
    let _ = NOTE.set(note);
    GUARDED.store(std::process::id(), Ordering::Release);
    for _ in 0..GUARDS {
        register();
        register_quick();
    }
}

/// Ends the process with this status. The first caller decides, a later one waits for the end.
///
/// `at_once` says that threads of tasks may still run: then no destructor does, since it would pull the ground from under
/// them; only the buffers of C streams are written, and `last` is called, which must not take long.
pub fn leave(status: i32, at_once: bool, last: Option<fn()>) -> ! {
    static FIRST: Once = Once::new();
    let mut is_first = false;
    FIRST.call_once(|| is_first = true);
    if !is_first {
        wait_for_ever();
    }
    LEAVING.store(true, Ordering::Release);
    if at_once {
        write_and_end(status, last);
    }
    // SAFETY: runs exit handlers and destructors; no lock of ours is held.
    unsafe { libc::exit(status) }
}

/// For who waits for the end.
fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Ends this process as a signal does whose number is given; by the status that shells use where that does not end it, as
/// that of the first process of a container.
pub fn end_by(signal: i32) -> ! {
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    std::process::exit(128 + signal)
}

/// Runs inside `exit()` and `quick_exit()`.
fn at_exit(call: Call) {
    let is_guarded = GUARDED.load(Ordering::Acquire) == std::process::id();
    if !is_guarded || LEAVING.load(Ordering::Acquire) {
        return;
    }
    if let Some(note) = NOTE.get() {
        note(call);
    }
    write_and_end(EARLY, None);
}

fn write_and_end(status: c_int, last: Option<fn()>) -> ! {
    // SAFETY: the alarm ends the process where a stream is locked. Null means all output streams.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(PATIENCE);
        libc::fflush(std::ptr::null_mut());
    }
    if let Some(last) = last {
        last();
    }
    // SAFETY: it runs nothing else.
    unsafe { libc::_exit(status) }
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
        at_exit(Call::Exit(Some(status)));
    }
    // SAFETY: the handler is a function of this program, which is never unloaded.
    unsafe { on_exit(handler, std::ptr::null_mut()) };
}

#[cfg(not(target_env = "gnu"))]
fn register() {
    extern "C" fn handler() {
        at_exit(Call::Exit(None));
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
        at_exit(Call::Quick);
    }
    // SAFETY: the handler is a function of this program, which is never unloaded.
    unsafe { at_quick_exit(handler) };
}

/// Not every system has `quick_exit`.
#[cfg(not(target_os = "linux"))]
fn register_quick() {}
