//! Signals: who gets them, and who does not any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{self, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

pub use nix::sys::signal::Signal;

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Which.
    pub number: i32,
    /// No process has sent it: a key of the terminal, for example, which means the whole group.
    pub is_from_system: bool,
}

/// Signals that wait until somebody asks for them.
pub struct Signals(SignalFd);

impl Signals {
    /// Holds these back from now on, without those that are ignored: who started us with `nohup` wants it so.
    pub fn hold(signals: &[Signal]) -> io::Result<Self> {
        let heeded = signals.iter().copied();
        let heeded: SigSet = heeded
            .filter(|signal| !is_ignored(*signal as i32))
            .collect();
        heeded.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&heeded, flags)?))
    }

    /// The next one that has come.
    pub fn next(&self) -> Option<Heard> {
        let signal = self.0.read_signal().ok().flatten()?;
        Some(Heard {
            number: i32::try_from(signal.ssi_signo).ok()?,
            is_from_system: signal.ssi_code == libc::SI_KERNEL,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Has these signals wait until somebody hears them.
pub fn hold_back(signals: &[Signal]) {
    let held: SigSet = signals.iter().copied().collect();
    let _ = held.thread_block();
}

/// Nobody hears of it: the parent process has set it so, or somebody here.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: asks only; zero is a valid value for all fields.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now);
        now.sa_sigaction == libc::SIG_IGN
    }
}

/// From here on no signal interrupts this process, but for those that cannot be held back.
pub fn hold_all() {
    let _ = SigSet::all().thread_set_mask();
}

/// This signal is heard, whatever the parent of this process has ordered.
pub fn mind(signal: Signal) {
    // SAFETY: sets the default.
    unsafe { libc::signal(signal as i32, libc::SIG_DFL) };
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
