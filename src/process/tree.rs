//! What a process has started, and what that has started.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, getpid};

/// Those that cannot be ended, as they wait for a disk for example, are not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// The children of a process, of all its threads.
pub fn children(of: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{of}/task"))
        .into_iter()
        .flatten();
    let mut children = Vec::new();
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = text.split_ascii_whitespace();
        children.extend(pids.filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
    }
    children
}

/// All that descend from a process, each parent before its children.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = children(of);
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let more = children(*pid);
        found.extend(more);
        at += 1;
    }
    found
}

/// Whether a process stands still, as a signal has stopped it.
pub(super) fn is_stopped(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may have anything in it.
    let state = status
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't'))
}

/// Ends all that descend from this process, also what those start meanwhile. To be called where this process adopts orphans,
/// so that nobody gets away; and where nobody else waits for children of it.
pub fn end_descendants() {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = descendants(getpid());
        if all.is_empty() || Instant::now() >= deadline {
            return;
        }
        for pid in all {
            let _ = kill(pid, Signal::SIGKILL);
        }
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
