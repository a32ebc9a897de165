//! A parent with one thread and no handlers: it hears signals one after the other, and sees what becomes of its children.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::poll::Poll;

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Which.
    pub number: i32,
    /// No process has sent it: a key of the terminal, for example, which means the whole group.
    pub is_from_system: bool,
}

/// Signals that wait until somebody asks for them.
pub struct Ear {
    signals: SignalFd,
    /// The mask as it was before.
    before: SigSet,
}

impl Ear {
    /// Holds these signals back from now on, without those that are ignored: who started us with `nohup` wants it so.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let heeded = signals
            .iter()
            .copied()
            .filter(|signal| !is_ignored(*signal));
        let heard: SigSet = heeded.collect();
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&heard), Some(&mut before))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&heard, flags)?;
        Ok(Self { signals, before })
    }

    /// Signals come again as they came before. For a child, in which nobody asks.
    pub fn let_through(&self) {
        let _ = self.before.thread_set_mask();
    }

    /// The next one that has come.
    pub fn next(&self) -> Option<Heard> {
        let signal = self.signals.read_signal().ok().flatten()?;
        Some(Heard {
            number: i32::try_from(signal.ssi_signo).ok()?,
            is_from_system: signal.ssi_code == libc::SI_KERNEL,
        })
    }

    /// Waits until a signal has come, or one of the others has something to read or its end, or for so long. Which of the
    /// others has.
    pub fn wait<const N: usize>(
        &self,
        others: [Option<BorrowedFd<'_>>; N],
        most: Option<Duration>,
    ) -> [bool; N] {
        let mut poll = Poll::default();
        poll.add(&self.signals);
        let places = others.map(|other| poll.add_if(other));
        let _ = poll.wait(most);
        places.map(|place| poll.is_ready(place))
    }
}

fn is_ignored(signal: Signal) -> bool {
    // SAFETY: asks only; zero is a valid value for all fields.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as i32, std::ptr::null(), &raw mut now);
        now.sa_sigaction == libc::SIG_IGN
    }
}

/// What has become of a child: it has ended, was stopped, or goes on. None where nothing has happened.
pub fn take_change() -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    loop {
        // SAFETY: writes the status, and nothing else.
        match unsafe { libc::waitpid(-1, &raw mut status, options) } {
            -1 if Errno::last() == Errno::EINTR => {}
            0 | -1 => return None,
            pid => return Some((Pid::from_raw(pid), ExitStatus::from_raw(status))),
        }
    }
}

/// Children are waited for, whatever the parent of this process has ordered.
pub fn mind_children() {
    // SAFETY: sets the default.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}
