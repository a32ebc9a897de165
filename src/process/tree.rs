//! Who has started whom, and the end of all of them.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid, getpid};

use super::signals::{Signal, send};
use super::wait::{has_children, reap_any};

/// How often is looked whether all have ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The children of a process, with those that have ended and are not reaped.
pub fn children(process: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return children;
    };
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let numbers = text.split_ascii_whitespace().filter_map(|n| n.parse().ok());
        children.extend(numbers.map(Pid::from_raw));
    }
    children
}

/// All that a process has started, and what those have; not itself.
pub fn descendants(process: Pid) -> Vec<Pid> {
    let (mut found, mut left) = (Vec::new(), vec![process]);
    let mut seen = HashSet::from([process]);
    while let Some(next) = left.pop() {
        for child in children(next) {
            if seen.insert(child) {
                found.push(child);
                left.push(child);
            }
        }
    }
    found
}

/// All processes that were started with this variable, `NAME=VALUE`, in their environment, as far as that may be read. So
/// are those found that descend from nobody any more.
pub fn with_variable(variable: &str) -> Vec<Pid> {
    let has_it = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|other| other == variable.as_bytes())
    };
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = processes.flatten();
    let numbers = numbers.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers.filter(has_it).map(Pid::from_raw).collect()
}

/// The name of a process; empty where there is none.
pub fn name(process: Pid) -> String {
    let name = fs::read(format!("/proc/{process}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// The number that this process was given, or one that it descends from; none where that is not known.
pub fn tag(process: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let mut limits = limits.lines();
    let now = limits.find_map(|line| line.strip_prefix("Max file locks"))?;
    now.split_ascii_whitespace().next()?.parse().ok()
}

/// The file that a process runs; none where there is no such process, or it may not be looked at.
pub fn program(process: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/exe")).ok()
}

/// It has ended, or there is no such process.
pub fn has_ended(process: Pid) -> bool {
    matches!(state(process), None | Some('Z' | 'X'))
}

fn state(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything; the state stands behind it.
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.chars().next()
}

/// A signal has stopped it for a while.
pub fn is_stopped(process: Pid) -> bool {
    matches!(state(process), Some('T' | 't'))
}

/// Kills a child that adopts orphans, and all that it has started, whatever groups and sessions those have made. Waits no
/// longer than `patience` for the others; they are then somebody's children, and can be killed again.
pub fn kill(process: Pid, patience: Duration) {
    // One that stands still starts no others, and reaps none: their numbers stay theirs.
    send(process, Signal::SIGSTOP);
    let start = Instant::now();
    loop {
        let alive: Vec<_> = descendants(process)
            .into_iter()
            .filter(|other| !has_ended(*other))
            .collect();
        if alive.is_empty() {
            break;
        }
        for other in alive {
            send(other, Signal::SIGKILL);
        }
        if start.elapsed() >= patience {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    send(process, Signal::SIGKILL);
}

/// The group of a process.
pub fn group(process: Pid) -> Option<Pid> {
    getpgid(Some(process)).ok()
}

/// Ends all that descend from this process, also what those start meanwhile. To be called where this process adopts orphans,
/// so that nobody gets away, and where nobody else waits for children of it. Those that cannot be ended, as they wait for a
/// disk for example, are not waited for longer than `patience`.
pub fn end_all(patience: Duration) {
    let start = Instant::now();
    loop {
        // Not by the list of them, which may miss some while others end.
        if !has_children() || start.elapsed() >= patience {
            return;
        }
        for process in descendants(getpid()) {
            send(process, Signal::SIGKILL);
        }
        while reap_any() {}
        thread::sleep(LOOK_EVERY);
    }
}
