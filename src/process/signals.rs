//! Signals: who gets them, and who does not any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{self, SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

pub use nix::sys::signal::Signal;

/// All signals held back, and some of them to be read.
pub struct Signals(SignalFd);

impl Signals {
    /// From here on no signal interrupts this process, but for those that cannot be held back.
    pub fn hold(read: &[Signal]) -> io::Result<Self> {
        signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
        let read: SigSet = read.iter().copied().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&read, flags)?))
    }

    /// The number of the next one that has come.
    pub fn next(&self) -> Option<i32> {
        let read = self.0.read_signal().ok().flatten()?;
        i32::try_from(read.ssi_signo).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// All signals do again what they do to a new program.
pub fn reset() {
    for signal in 1..=64 {
        // SAFETY: no handler is set. Those that cannot be changed are refused.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// No signal is held back any more.
pub fn let_through() {
    // So many bits, one for each signal of the system.
    let none = 0_u64;
    // By `syscall`, for the reason that `place` tells.
    // SAFETY: reads those bits, and nothing else.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null_mut::<u64>(),
            size_of::<u64>(),
        );
    }
}

/// Sends a signal to a process; false where there is none.
pub fn send(process: Pid, signal: Signal) -> bool {
    signal::kill(process, signal).is_ok()
}

/// Sends a signal to a group; false where there is none.
pub fn send_group(group: Pid, signal: Signal) -> bool {
    signal::killpg(group, signal).is_ok()
}

/// `SIGSEGV`, or `signal 40` for those without a name.
pub fn name(signal: i32) -> String {
    Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
}
