//! How this process lives with others: whom it outlives, and when it stops for a while.

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
