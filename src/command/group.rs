//! A process group from the start of its leader to its end, and who may signal it meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::stream::lift;
use crate::task::Cancel;

/// The processes of a command. Usable from any thread.
pub(super) struct Group {
    members: Mutex<Members>,
    /// Wakes the thread that watches the group.
    wake: OwnedFd,
}

#[derive(Default)]
struct Members {
    /// Known from its start until it is reaped: before and after, its number may be somebody else's.
    leader: Option<Pid>,
    asked: Option<Cancel>,
}

impl Group {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            members: Mutex::default(),
            wake: lift(wake),
        })
    }

    /// Starts the leader, unless the group has been asked to stop. Meanwhile nobody asks: there is no moment in which the
    /// leader runs and cannot be signalled.
    pub(super) fn spawn(&self, command: &mut Command) -> Option<io::Result<Child>> {
        let mut members = self.locked();
        if members.asked.is_some() {
            return None;
        }
        let child = command.spawn();
        members.leader = child.as_ref().ok().map(Pid::from_child);
        Some(child)
    }

    /// Asks all processes to stop, or ends them at once.
    pub(super) fn cancel(&self, cancel: Cancel) {
        let mut members = self.locked();
        match cancel {
            // Who is stopped cannot act upon the one without the other.
            Cancel::Asked => members.signal(&[Signal::TERM, Signal::CONT]),
            Cancel::GivenUp => members.signal(&[Signal::KILL]),
        }
        members.asked = members.asked.max(Some(cancel));
        drop(members);
        // Cannot fail before 2^64 wake-ups are due, unless somebody has closed it.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Option<Cancel> {
        self.locked().asked
    }

    /// Becomes readable when something is asked.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes [`Group::wake`] not readable.
    pub(super) fn woken(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    /// Ends all processes.
    pub(super) fn kill(&self) {
        self.locked().signal(&[Signal::KILL]);
    }

    /// Takes the exit status of the leader, which has ended or is about to. Of a group that was asked to stop nobody outlives
    /// it.
    pub(super) fn reap(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut members = self.locked();
        if members.asked.is_some() {
            members.signal(&[Signal::KILL]);
        }
        let status = child.wait();
        members.leader = None;
        status
    }

    fn locked(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn signal(&self, signals: &[Signal]) {
        let Some(leader) = self.leader else { return };
        for signal in signals {
            // All that can go wrong is that nobody may be signalled, as after a change of user.
            let _ = kill_process_group(leader, *signal);
        }
    }
}
