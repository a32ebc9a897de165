//! A process group and all that has left it, from the start of its leader to its end, and who may signal it meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::process::{self, ProcessId, tree};
use crate::stream::lift;
use crate::task::Cancel;

/// By this variable of their environment those are known that have left the group, and whose parents have ended.
const MARK: &str = "TDRUN_COMMAND";
/// How long is looked for more of them, and
const PATIENCE: Duration = Duration::from_millis(100);
/// how often.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The processes of a command. Usable from any thread.
pub(super) struct Group {
    members: Mutex<Members>,
    /// The value of [`MARK`].
    mark: String,
    /// Wakes the thread that watches the group.
    wake: OwnedFd,
}

#[derive(Default)]
struct Members {
    /// Known from its start until it is reaped: before and after, its number may be somebody else's.
    leader: Option<ProcessId>,
    /// Those that are to end and are not of the group.
    others: Vec<Other>,
    asked: Option<Cancel>,
}

/// A process, and what tells it from a later one of that number.
type Other = (ProcessId, OwnedFd);

impl Group {
    pub(super) fn new() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            members: Mutex::default(),
            mark: format!("{}.{count}", process::id()),
            wake: lift(wake),
        })
    }

    /// A variable that all of them are to have in their environment, and nobody else.
    pub(super) fn mark(&self) -> (&'static str, &str) {
        (MARK, &self.mark)
    }

    /// Starts the leader, unless the group has been asked to stop. Meanwhile nobody asks: there is no moment in which the
    /// leader runs and cannot be signalled.
    pub(super) fn spawn(&self, command: &mut Command) -> Option<io::Result<Child>> {
        let mut members = self.locked();
        if members.asked.is_some() {
            return None;
        }
        let child = process::for_a_program(|| command.spawn());
        let leader = child.as_ref().ok();
        members.leader = leader.map(|child| ProcessId::from_raw(child.id().cast_signed()));
        Some(child)
    }

    /// Asks all processes to stop, or ends them at once.
    pub(super) fn cancel(&self, cancel: Cancel) {
        let mut members = self.locked();
        match cancel {
            Cancel::Asked => self.ask(&mut members),
            Cancel::GivenUp => self.end(&mut members),
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
        self.end(&mut self.locked());
    }

    /// Takes the exit status of the leader, which has ended or is about to. Of a group that was asked to stop nobody outlives
    /// it.
    pub(super) fn reap(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let mut members = self.locked();
        if members.asked.is_some() {
            self.end(&mut members);
        }
        let status = child.wait();
        members.leader = None;
        status
    }

    fn ask(&self, members: &mut Members) {
        let Some(leader) = members.leader else { return };
        self.find_others(leader, &mut members.others);
        // Who is stopped cannot act upon the one without the other.
        for signal in [Signal::TERM, Signal::CONT] {
            send(leader, &members.others, signal);
        }
    }

    /// Also those that are started while others end.
    fn end(&self, members: &mut Members) {
        let Some(leader) = members.leader else { return };
        let start = Instant::now();
        loop {
            self.find_others(leader, &mut members.others);
            send(leader, &members.others, Signal::KILL);
            if members.others.is_empty() || start.elapsed() >= PATIENCE {
                return;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Brings up to date who lives and has left the group: into a session of its own, or as a daemon, whose parent has ended.
    /// One that has done both, and has cleared its environment, is found only if it was before.
    fn find_others(&self, leader: ProcessId, others: &mut Vec<Other>) {
        others.retain(|(_, handle)| lives(handle));
        let mut roots = tree::with_variable(&format!("{MARK}={}", self.mark));
        roots.extend(others.iter().map(|(process, _)| *process));
        let below = roots.iter().chain([&leader]);
        let below: Vec<_> = below.flat_map(|root| tree::descendants(*root)).collect();
        for process in roots.into_iter().chain(below) {
            let is_known = others.iter().any(|(other, _)| *other == process);
            if is_known || tree::group(process) == Some(leader) || tree::has_ended(process) {
                continue;
            }
            let handle = Pid::from_raw(process.as_raw());
            let handle = handle.map(|pid| pidfd_open(pid, PidfdFlags::empty()));
            if let Some(Ok(handle)) = handle {
                others.push((process, lift(handle)));
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the process of a handle has not ended.
fn lives(handle: &OwnedFd) -> bool {
    let mut ended = [PollFd::new(handle, PollFlags::IN)];
    poll(&mut ended, Some(&Timespec::default())) == Ok(0)
}

/// All that can go wrong is that somebody may not be signalled, as after a change of user, or has ended.
fn send(leader: ProcessId, others: &[Other], signal: Signal) {
    for (_, other) in others {
        let _ = pidfd_send_signal(other, signal);
    }
    if let Some(leader) = Pid::from_raw(leader.as_raw()) {
        let _ = kill_process_group(leader, signal);
    }
}
