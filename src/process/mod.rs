//! Processes as the system has them: forks, groups and trees, signals, sockets, and memory that two of them share.
//!
//! Knows nothing of tdrun.
#![allow(unsafe_code)]

pub mod end;
mod fault;
mod life;
pub mod poll;
mod power;
mod shared;
pub mod signals;
pub mod socket;
pub mod tree;
mod wait;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{self, ForkResult, Pid};

pub use fault::on_fatal_signal;
pub use life::{
    Pause, doze, for_a_program, on_fork, reap_of_this_thread, stop_here, vanish, without_stop,
    write_from_background,
};
pub use nix::unistd::Pid as ProcessId;
pub use shared::{Words, disown, file_of_words, words, words_of};
pub use wait::{Change, Status, has_children, next_change, reap};

/// Which side of a fork this is.
pub enum Side {
    /// The one that was there before; and the number of the other.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Splits this process in two.
///
/// # Panics
/// Where this process has more than one thread: a lock that another one holds would be held for ever in the child.
pub fn fork() -> io::Result<Side> {
    let single = Single::check();
    single
        .expect("only a process with one thread may fork")
        .fork()
}

/// Nanoseconds since some moment, on the clock that never goes back and that all processes share. A task may take no longer
/// than reading it does, so this is all that is done: no `Instant`, no `Duration`.
///
/// # Panics
/// Where there is no such clock, which no system is known for.
#[expect(clippy::cast_sign_loss, reason = "the time since boot")]
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// How many threads this process has; 1 where the system does not tell.
pub fn threads() -> usize {
    // A folder has as many links as folders in it, and two of its own.
    let tasks = std::fs::metadata("/proc/self/task");
    tasks.map_or(1, |tasks| {
        usize::try_from(tasks.nlink()).map_or(1, |links| links.saturating_sub(2).max(1))
    })
}

/// This process has one thread. Who keeps this starts none, nor calls what might: so that not every fork has to look.
pub struct Single(());

impl Single {
    /// None where there are more.
    pub fn check() -> Option<Self> {
        (threads() == 1).then_some(Self(()))
    }

    /// Splits this process in two.
    pub fn fork(&self) -> io::Result<Side> {
        // SAFETY: there is no other thread, so memory is as this one left it.
        match unsafe { unistd::fork() }? {
            ForkResult::Parent { child } => Ok(Side::Parent(child)),
            ForkResult::Child => Ok(Side::Child),
        }
    }
}

/// How many processes the system has ended so far for lack of memory: of the control group of this process, where that is
/// counted, or of all. None where it does not tell.
pub fn ended_for_memory() -> Option<u64> {
    let count = |path: &str| {
        let counts = std::fs::read_to_string(path).ok()?;
        let mut lines = counts.lines();
        lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let of_group = group.and_then(|group| count(&format!("/sys/fs/cgroup{group}/memory.events")));
    of_group.or_else(|| count("/proc/vmstat"))
}

/// The number of this process.
pub fn id() -> Pid {
    unistd::getpid()
}

/// The number of its parent.
pub fn parent() -> Pid {
    unistd::getppid()
}

/// Copies of standard input, output and error, which nobody else has.
pub fn standard_streams() -> io::Result<[OwnedFd; 3]> {
    let [input, output, error] = [
        copy_from(io::stdin(), 3),
        copy_from(io::stdout(), 3),
        copy_from(io::stderr(), 3),
    ];
    Ok([input?, output?, error?])
}

/// The calling thread is the one that the process began with.
pub fn is_first_thread() -> bool {
    unistd::gettid() == unistd::getpid()
}

/// Becomes the leader of a new group, which is in the background of its terminal.
pub fn lead_group() {
    // Fails only for who leads a session.
    let _ = unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
}

/// Orphans among the descendants become children of this process.
pub fn adopt_orphans() {
    let _ = prctl::set_child_subreaper(true);
}

/// Gives this process, and all that it starts from here on, a number by which they are known: see [`tree::tag`]. False where
/// it cannot have one.
///
/// It is the limit of file locks, which the system hands on through forks and programs, shows, and heeds no more since Linux
/// 2.4.25. Nothing else that is handed on is left alone by programs: they make groups and sessions of their own, clear their
/// environment and close what is open.
pub fn set_tag(tag: u64) -> bool {
    let limit = libc::rlimit {
        rlim_cur: tag,
        rlim_max: libc::RLIM_INFINITY,
    };
    // By `syscall`, for the reason that `place` tells.
    // SAFETY: reads the limit, and writes nothing.
    let set = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            libc::RLIMIT_LOCKS,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit>(),
        )
    };
    set == 0
}

/// From here on this process gets the signal when the thread that forked it ends; false where that has happened already.
pub fn hear_of_end(parent: Pid, signal: Signal) -> bool {
    let _ = prctl::set_pdeathsig(signal);
    unistd::getppid() == parent
}

/// What lists of processes show, as far as it fits.
pub fn set_name(name: &str) {
    let name = name.bytes().take(15).take_while(|byte| *byte != 0);
    if let Ok(name) = CString::new(name.collect::<Vec<_>>()) {
        let _ = prctl::set_name(&name);
    }
}

/// Puts a copy of a descriptor in the place of a number, whatever was there. Programs that are started do not get it where
/// it is `private`.
pub fn place(descriptor: BorrowedFd<'_>, number: i32, private: bool) -> io::Result<()> {
    let flags = if private { libc::O_CLOEXEC } else { 0 };
    // By `syscall` as what else a new process does: each function of the C library stands on pages that it has to map first.
    // SAFETY: descriptors are numbers; who calls this knows that nobody relies on what was there.
    match unsafe { libc::syscall(libc::SYS_dup3, descriptor.as_raw_fd(), number, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A copy of a descriptor, of this number or more; programs that are started do not get it.
pub fn copy_from(descriptor: impl AsFd, least: i32) -> io::Result<OwnedFd> {
    let number = descriptor.as_fd().as_raw_fd();
    // SAFETY: descriptors are numbers.
    match unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, least) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: it is new.
        copy => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
    }
}

/// A copy of a descriptor, of this number or more, that programs get which are started.
pub fn hand_on(descriptor: impl AsFd, least: i32) -> io::Result<OwnedFd> {
    let copy = copy_from(descriptor, least)?;
    // SAFETY: only a flag of it is changed.
    match unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(copy),
    }
}

/// How many files this process may have open.
pub fn most_files() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: u64::MAX,
        rlim_max: u64::MAX,
    };
    // SAFETY: writes the limit, and nothing else.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur
}

/// There is no more of something that others give back: descriptors, or memory.
pub fn is_shortage(error: &io::Error) -> bool {
    let short = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|error| short.contains(&error))
}

/// Closes all descriptors from this number on. Who had some has to forget them.
pub fn close_from(number: u32) {
    // SAFETY: as in `place`.
    if unsafe { libc::syscall(libc::SYS_close_range, number, u32::MAX, 0) } == 0 {
        return;
    }
    for number in number..65536 {
        // SAFETY: as in `place`.
        unsafe { libc::close(number.cast_signed()) };
    }
}

/// The group that a terminal belongs to; none where it is no terminal of ours.
pub fn owner_of_terminal(terminal: impl AsFd) -> Option<Pid> {
    // SAFETY: descriptors are numbers.
    let group = unsafe { libc::tcgetpgrp(terminal.as_fd().as_raw_fd()) };
    (group > 0).then(|| Pid::from_raw(group))
}

/// Makes a terminal belong to a group, where it is one. To be called with signals held back.
pub fn give_terminal(terminal: impl AsFd, group: Pid) {
    // SAFETY: descriptors and groups are numbers.
    unsafe { libc::tcsetpgrp(terminal.as_fd().as_raw_fd(), group.as_raw()) };
}

/// Writes what C streams hold back.
pub fn flush_streams() {
    // SAFETY: null means all output streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Gives the system back what the allocator keeps and nobody uses, and what the first stack has held further down, where it
/// can.
pub fn give_back_memory() {
    /// So much of the stack stays for those who are called from here; and so much below that is looked at. The system maps
    /// nothing else as near to a stack that grows.
    const STAYS: usize = 16 << 10;
    const BELOW: usize = 256 << 10;
    #[cfg(target_env = "gnu")]
    // SAFETY: frees only what is free already.
    unsafe {
        libc::malloc_trim(0)
    };
    if is_first_thread() {
        let here = 0_u8;
        let end = (&raw const here).map_addr(|address| (address - STAYS) & !0xfff);
        // SAFETY: all that stands below the functions that are being called is over.
        unsafe {
            libc::madvise(
                end.wrapping_sub(BELOW).cast_mut().cast(),
                BELOW,
                libc::MADV_DONTNEED,
            )
        };
    }
}

/// Becomes another program, which is looked up in PATH where it has no slash. Comes back only where that fails.
pub fn become_program(words: &[String]) -> io::Error {
    let words: Result<Vec<_>, _> = words
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect();
    match words {
        Ok(words) if !words.is_empty() => match unistd::execvp(&words[0], &words) {
            Err(errno) => errno.into(),
            Ok(never) => match never {},
        },
        _ => io::ErrorKind::InvalidInput.into(),
    }
}

/// Ends this process, and runs nothing before that.
pub fn end(status: i32) -> ! {
    // SAFETY: it runs nothing else.
    unsafe { libc::_exit(status) }
}
