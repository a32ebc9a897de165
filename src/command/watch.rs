//! Reads what a running process writes, until it has ended.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::group::Group;
use super::kept::Kept;
use crate::stream::lift;
use crate::task::Cancel;

/// How long others may still write after the process has ended. What they write later is not waited for.
const AFTERMATH: Duration = Duration::from_millis(200);
/// At most so long before the end of the grace all processes are killed, so that the task has ended when it is over.
const HASTE: Duration = Duration::from_millis(500);
/// Bytes that are read at once: what a pipe usually holds,
const CHUNK: usize = 64 << 10;
/// and what it can be made to hold.
const PIPE_MAX: usize = 1 << 20;

/// An output of the process.
struct Pipe {
    /// None: nobody writes any more.
    open: Option<OwnedFd>,
    kept: Kept,
}

/// Returns its stdout and stderr when the process has ended; it is not reaped.
///
/// A group that is asked to stop has the grace to do so, all of it: others of the group may clean up after the leader has
/// ended, as long as they hold one of the pipes.
pub(super) fn watch(child: &mut Child, group: &Group, grace: Duration) -> io::Result<[Kept; 2]> {
    let process = lift(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?);
    let mut stdout = Pipe::new(child.stdout.take().map(OwnedFd::from))?;
    let mut stderr = Pipe::new(child.stderr.take().map(OwnedFd::from))?;
    let mut buffer = vec![0; CHUNK];
    let (mut ended, mut kill_at, mut killed) = (None::<Instant>, None::<Instant>, None);
    loop {
        let now = Instant::now();
        match group.asked() {
            Some(Cancel::Asked) if kill_at.is_none() => {
                kill_at = now.checked_add(grace.saturating_sub(HASTE.min(grace / 4)));
            }
            // They have been killed by who gave up.
            Some(Cancel::GivenUp) if killed.is_none() => killed = Some(now),
            _ => {}
        }
        if killed.is_none() && kill_at.is_some_and(|at| at <= now) {
            group.kill();
            killed = Some(now);
        }
        let leave_at = match (ended, killed) {
            (Some(ended), Some(killed)) => Some(ended.max(killed) + AFTERMATH),
            (Some(ended), None) if kill_at.is_none() => Some(ended + AFTERMATH),
            // It runs, or others have their grace.
            _ => None,
        };
        let is_silent = stdout.open.is_none() && stderr.open.is_none();
        if ended.is_some() && (is_silent || leave_at.is_some_and(|at| at <= now)) {
            return Ok([stdout.drain(&mut buffer), stderr.drain(&mut buffer)]);
        }
        let next = leave_at.or(kill_at.filter(|_| killed.is_none()));
        let [woken, exited, out, err] = ready(
            [
                Some(group.wake()),
                Some(process.as_fd()).filter(|_| ended.is_none()),
                stdout.open.as_ref().map(OwnedFd::as_fd),
                stderr.open.as_ref().map(OwnedFd::as_fd),
            ],
            next.map(|at| at.saturating_duration_since(now)),
        )?;
        if woken {
            group.woken();
        }
        if out {
            stdout.read(&mut buffer);
        }
        if err {
            stderr.read(&mut buffer);
        }
        if exited {
            ended = Some(Instant::now());
        }
    }
}

impl Pipe {
    fn new(open: Option<OwnedFd>) -> io::Result<Self> {
        let open = open.map(lift);
        if let Some(pipe) = &open {
            fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        Ok(Self {
            open,
            kept: Kept::default(),
        })
    }

    /// Takes what is there, but not more than a chunk; says whether there was something.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let Some(pipe) = &self.open else { return false };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(bytes @ 1..) => {
                self.kept.push(&buffer[..bytes]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // Its end, or somebody has closed the descriptor: nothing more comes out of it.
            Ok(0) | Err(_) => {
                self.open = None;
                false
            }
        }
    }

    /// Takes all that is there. Others may go on to write: not more than a pipe can hold.
    fn drain(mut self, buffer: &mut [u8]) -> Kept {
        let mut chunks = 0..PIPE_MAX / CHUNK;
        while chunks.next().is_some() && self.read(buffer) {}
        self.kept
    }
}

/// Waits until one of the descriptors has something, or is at its end; says which.
fn ready<const N: usize>(
    descriptors: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let there = descriptors.iter().flatten();
    let mut polled: Vec<_> = there
        .map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN))
        .collect();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut polled = polled.iter();
    Ok(descriptors.map(|descriptor| {
        descriptor.is_some()
            && polled
                .next()
                .is_some_and(|polled| !polled.revents().is_empty())
    }))
}
