//! The terminal that the user sits at: its keys, and whom it listens to.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use crate::process;

/// See the module.
pub(super) struct Terminal {
    /// Keys are asked for, where there is a terminal.
    wants_keys: bool,
    /// How it was before each key came at once.
    before: Option<Termios>,
    /// The terminal, while it belongs to the group of the runner.
    lent: Option<File>,
}

impl Terminal {
    pub(super) fn new(wants_keys: bool) -> Self {
        let is_seen = io::stdin().is_terminal() && io::stderr().is_terminal();
        let mut terminal = Self {
            wants_keys: wants_keys && is_seen,
            before: None,
            lent: None,
        };
        terminal.take();
        terminal
    }

    /// Where keys come from, while they come.
    pub(super) fn keys(&self) -> Option<BorrowedFd<'static>> {
        self.before.is_some().then(rustix::stdio::stdin)
    }

    /// Reads the keys that were pressed; whether `t` or Ctrl-T was among them.
    pub(super) fn asks_what_runs(&mut self) -> bool {
        if !is_ours(rustix::stdio::stdin()) {
            // Put into the background, where to read would stop us.
            self.before = None;
            return false;
        }
        let mut keys = [0; 64];
        if let Ok(count @ 1..) = io::stdin().lock().read(&mut keys) {
            return keys[..count].iter().any(|key| matches!(key, b't' | 0x14));
        }
        self.give_back();
        self.wants_keys = false;
        false
    }

    /// Has keys come one by one, and not shown, where the terminal listens to us.
    pub(super) fn take(&mut self) {
        let stdin = rustix::stdio::stdin();
        if !self.wants_keys || self.before.is_some() || !is_ours(stdin) {
            return;
        }
        let Ok(before) = tcgetattr(stdin) else {
            return;
        };
        let mut now = before.clone();
        now.local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO);
        now.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        now.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        if tcsetattr(stdin, SetArg::TCSANOW, &now).is_ok() {
            self.before = Some(before);
        }
    }

    /// All as it was.
    pub(super) fn give_back(&mut self) {
        if let Some(terminal) = self.lent.take() {
            let _ = process::without_stop(|| tcsetpgrp(terminal.as_fd(), getpgrp()));
        }
        let stdin = rustix::stdio::stdin();
        if let Some(before) = self.before.take()
            && is_ours(stdin)
        {
            let _ = tcsetattr(stdin, SetArg::TCSANOW, &before);
        }
    }

    /// Gives it to another group, so that one of that may read from it; whether it was ours to give.
    pub(super) fn lend(&mut self, group: Pid) -> bool {
        let Ok(terminal) = File::open("/dev/tty") else {
            return false;
        };
        if !is_ours(terminal.as_fd()) {
            return false;
        }
        self.give_back();
        let is_lent = tcsetpgrp(terminal.as_fd(), group).is_ok();
        self.lent = is_lent.then_some(terminal);
        is_lent
    }

    pub(super) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }
}

/// It listens to our group.
fn is_ours(terminal: BorrowedFd<'_>) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
}
