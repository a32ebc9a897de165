//! What becomes of children.

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// Something has happened to a child.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It has ended, and keeps its number until it is reaped.
    Ended(Pid),
    /// A signal has stopped it.
    Stopped(Pid, i32),
    /// It goes on.
    Continued(Pid),
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself.
    Exited(i32),
    /// By this signal; and whether there is a core file.
    Killed(i32, bool),
}

/// What has happened to a child and has not been told. One that has ended is told again until it is reaped.
pub fn next_change() -> Option<Change> {
    let peek = WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let changes = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED;
    let change = match waitid(Id::All, peek | changes | WaitPidFlag::WEXITED).ok()? {
        WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
            return Some(Change::Ended(pid));
        }
        WaitStatus::Stopped(pid, signal) => Change::Stopped(pid, signal as i32),
        WaitStatus::Continued(pid) => Change::Continued(pid),
        _ => return None,
    };
    let (Change::Stopped(pid, _) | Change::Continued(pid) | Change::Ended(pid)) = change;
    // Told once.
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WNOHANG | changes);
    Some(change)
}

/// Takes the status of a child that has ended; none where there is no such child.
pub fn reap(child: Pid) -> Option<Status> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)).ok()? {
        WaitStatus::Exited(_, status) => Some(Status::Exited(status)),
        WaitStatus::Signaled(_, signal, core) => Some(Status::Killed(signal as i32, core)),
        _ => None,
    }
}

/// There are children, be it such as have ended. Unlike a list of them this is never wrong for a moment.
pub fn has_children() -> bool {
    let peek = WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT | WaitPidFlag::WEXITED;
    waitid(Id::All, peek) != Err(Errno::ECHILD)
}
