//! What becomes of children.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::errno::Errno;
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
    let changes = libc::WSTOPPED | libc::WCONTINUED;
    let peek = libc::WNOHANG | libc::WNOWAIT;
    let (pid, code, status) = wait(libc::P_ALL, 0, peek | changes | libc::WEXITED).ok()??;
    let change = match code {
        libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => return Some(Change::Ended(pid)),
        libc::CLD_CONTINUED => Change::Continued(pid),
        _ => Change::Stopped(pid, status),
    };
    // Told once.
    let _ = wait(
        libc::P_PID,
        pid.as_raw().cast_unsigned(),
        libc::WNOHANG | changes,
    );
    Some(change)
}

/// Takes the status of a child that has ended; none where there is no such child.
pub fn reap(child: Pid) -> Option<Status> {
    let (_, status) = take(child.as_raw())?;
    Some(match status.code() {
        Some(code) => Status::Exited(code),
        None => Status::Killed(status.signal()?, status.core_dumped()),
    })
}

/// Takes the status of any child that has ended; false where none has.
pub(super) fn reap_any() -> bool {
    take(-1).is_some()
}

/// There are children, be it such as have ended. Unlike a list of them this is never wrong for a moment.
pub fn has_children() -> bool {
    let peek = libc::WNOHANG | libc::WNOWAIT | libc::WEXITED;
    wait(libc::P_ALL, 0, peek) != Err(Errno::ECHILD)
}

/// The system's own call and numbers: signals without a name, such as those of real time, are signals too.
fn wait(
    which: libc::idtype_t,
    number: libc::id_t,
    options: libc::c_int,
) -> Result<Option<(Pid, libc::c_int, libc::c_int)>, Errno> {
    loop {
        // SAFETY: zero is a valid value for all fields, and stays there where nothing has happened. The call writes nothing
        // else, and has filled in what the fields of a child are read from.
        let (waited, told) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let waited = libc::waitid(which, number, &raw mut info, options);
            (waited, (info.si_pid(), info.si_code, info.si_status()))
        };
        return match (waited, told) {
            (0, (0, ..)) => Ok(None),
            (0, (pid, code, status)) => Ok(Some((Pid::from_raw(pid), code, status))),
            _ if Errno::last() == Errno::EINTR => continue,
            _ => Err(Errno::last()),
        };
    }
}

/// Takes the status of a child that has ended, where one has.
fn take(child: libc::pid_t) -> Option<(Pid, ExitStatus)> {
    let mut status = 0;
    loop {
        // SAFETY: writes the status, and nothing else.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            -1 if Errno::last() == Errno::EINTR => {}
            0 | -1 => return None,
            pid => return Some((Pid::from_raw(pid), ExitStatus::from_raw(status))),
        }
    }
}
