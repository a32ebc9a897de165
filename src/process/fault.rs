//! The last words of a process that a fatal signal ends.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{sigaction, siginfo_t};

/// What faulty code ends by.
const FATAL: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

static NOTE: OnceLock<fn(i32)> = OnceLock::new();
/// What was there before, in the order of [`FATAL`]: the standard library has words of its own for a stack that overflows.
static BEFORE: [OnceLock<sigaction>; FATAL.len()] = [const { OnceLock::new() }; FATAL.len()];
/// The process that this is about; not one that a task has forked.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Has `note` called with the number of a signal that is about to end this process, on the thread to blame where there is
/// one. It runs in the handler of the signal: no locks, no memory. Then the signal takes its course.
///
/// Whatever ends the process otherwise, such as a stack that overflows on a thread of a library's own making, or SIGKILL, is
/// not noted.
pub fn on_fatal_signal(note: fn(i32)) {
    if NOTE.set(note).is_err() {
        return;
    }
    PROCESS.store(std::process::id(), Ordering::Release);
    for (signal, before) in FATAL.iter().zip(&BEFORE) {
        // SAFETY: zero is a valid value for all fields; the handler calls only what a handler may call.
        let old = unsafe {
            let mut action: sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(_, _, _) as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            let mut old: sigaction = std::mem::zeroed();
            sigaction(*signal, &raw const action, &raw mut old);
            old
        };
        let _ = before.set(old);
    }
}

extern "C" fn handler(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: what is called here may be called in a handler, and `info` is what the system gave.
    unsafe {
        if PROCESS.load(Ordering::Acquire) == libc::getpid().cast_unsigned()
            && let Some(note) = NOTE.get()
        {
            note(signal);
        }
        let at = FATAL.iter().position(|fatal| *fatal == signal);
        let before = at.and_then(|at| BEFORE[at].get());
        let default: sigaction = std::mem::zeroed();
        // A fault comes again by itself when the instruction is tried again. What somebody has sent does not, and is none.
        if (*info).si_code <= 0 {
            sigaction(signal, &raw const default, ptr::null_mut());
            libc::raise(signal);
        } else {
            sigaction(signal, before.unwrap_or(&default), ptr::null_mut());
        }
    }
}
