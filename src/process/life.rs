//! How this process lives with others: whom it outlives, and when it stops for a while.

use std::sync::OnceLock;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask, raise};
use nix::unistd::{self, Pid};

use super::tree;

/// Ends this process at once, without a word.
pub fn vanish() -> ! {
    let _ = kill(unistd::getpid(), Signal::SIGKILL);
    // It takes a moment.
    loop {
        std::thread::park();
    }
}

/// From here on has `note` called in each process that is forked from this one by the C library, before anything else there.
/// It runs between fork and whatever comes: no locks, no memory.
pub fn on_fork(note: fn()) {
    static NOTE: OnceLock<fn()> = OnceLock::new();
    extern "C" fn in_child() {
        if let Some(note) = NOTE.get() {
            note();
        }
    }
    if NOTE.set(note).is_ok() {
        // SAFETY: a function of this program, which is never unloaded.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// A while for which this process stops, with all that it has started.
#[derive(Default)]
pub struct Pause {
    /// Those that did not stand still already.
    stopped: Vec<Pid>,
}

impl Pause {
    /// Stops them, and this process. Comes back when somebody lets it go on.
    pub fn begin(&mut self) {
        let all = tree::descendants(unistd::getpid());
        let running = all.into_iter().filter(|pid| !tree::is_stopped(*pid));
        for pid in running {
            if kill(pid, Signal::SIGSTOP).is_ok() {
                self.stopped.push(pid);
            }
        }
        let _ = kill(unistd::getpid(), Signal::SIGSTOP);
    }

    /// Lets the others go on.
    pub fn end(&mut self) {
        for pid in self.stopped.drain(..) {
            let _ = kill(pid, Signal::SIGCONT);
        }
    }
}

/// This thread, and those that it makes, may write to a terminal that listens to another group.
pub fn write_from_background() {
    let mut writes = SigSet::empty();
    writes.add(Signal::SIGTTOU);
    let _ = writes.thread_block();
}

/// Calls something that the terminal would stop this process for, as it listens to another group.
pub fn without_stop<T>(act: impl FnOnce() -> T) -> T {
    let mut writes = SigSet::empty();
    writes.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    let _ = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&writes), Some(&mut before));
    let result = act();
    let _ = before.thread_set_mask();
    result
}

/// Calls something that starts a program, which is to be stopped where it writes from the background, as any program is:
/// what [`write_from_background`] has changed would be handed on to it.
pub fn for_a_program<T>(start: impl FnOnce() -> T) -> T {
    let mut writes = SigSet::empty();
    writes.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&writes), Some(&mut before));
    let result = start();
    let _ = before.thread_set_mask();
    result
}

/// Stops this process as Ctrl-Z does, until somebody lets it go on. Where there is nobody who could, it does not stop.
pub fn stop_here() {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    let _ = raise(Signal::SIGTSTP);
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

/// Lets those children of the calling thread go that have ended: what it has forked itself, and where it is the first thread
/// of a process that adopts orphans, those. Those of other threads stay, for whoever waits for them.
pub fn reap_of_this_thread() {
    #[cfg(target_os = "linux")]
    {
        let options = libc::WNOHANG | libc::__WNOTHREAD;
        // SAFETY: writes nothing.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), options) } > 0 {}
    }
}

/// Waits for half a millisecond. May be called in the handler of a signal.
pub fn doze() {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 500_000,
    };
    // SAFETY: reads the time, and writes nothing.
    unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
}
