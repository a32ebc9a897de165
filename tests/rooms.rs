//! The rooms of the house: who may know whom, and which outside crate lives where. Held against the source itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Floor by floor: a room, and the rooms that it may know. Those must stand above it here, so there are no circles.
const ROOMS: &[(&str, &[&str])] = &[
    ("exit", &[]),
    ("process", &[]),
    ("stream", &[]),
    ("sync", &[]),
    ("task", &[]),
    ("error", &["exit"]),
    ("blackbox", &["exit", "process", "task"]),
    ("interrupt", &["blackbox", "error", "process", "stream"]),
    ("target", &["error"]),
    ("event", &["error", "exit", "task"]),
    ("state", &["error", "task"]),
    ("glob", &["error"]),
    ("graph", &["error", "glob", "task"]),
    ("command", &["process", "stream", "task"]),
    (
        "isolate",
        &["error", "exit", "graph", "process", "stream", "task"],
    ),
    ("record", &["error", "event", "exit", "stream", "task"]),
    (
        "supervise",
        &["blackbox", "error", "exit", "process", "record", "task"],
    ),
    ("plan", &["event", "graph", "sync", "task"]),
    ("select", &["error", "glob", "graph", "task"]),
    ("library", &["command", "error", "target", "task"]),
    ("report", &["error", "event", "exit", "stream", "task"]),
    ("pool", &["event", "graph", "plan", "sync", "task"]),
    (
        "run",
        &[
            "blackbox",
            "error",
            "event",
            "exit",
            "graph",
            "interrupt",
            "plan",
            "pool",
            "process",
            "record",
            "report",
            "state",
            "sync",
            "task",
        ],
    ),
    (
        "scheduler",
        &[
            "command",
            "error",
            "event",
            "exit",
            "graph",
            "interrupt",
            "plan",
            "record",
            "report",
            "run",
            "select",
            "state",
            "task",
        ],
    ),
    (
        "cli",
        &[
            "error", "graph", "isolate", "plan", "report", "run", "state", "stream", "target",
        ],
    ),
    (
        "start",
        &[
            "blackbox", "cli", "error", "graph", "isolate", "library", "record", "run", "select",
            "state", "task",
        ],
    ),
    ("look", &["cli", "error", "graph", "plan", "task"]),
];

/// Outside crates, and the rooms that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("anstyle", &["report"]),
    ("anyhow", &["main"]),
    ("boxcar", &["task"]),
    ("clap", &["cli"]),
    ("crc32c", &["record"]),
    ("crossbeam", &["interrupt", "run", "sync"]),
    ("ctrlc", &["interrupt"]),
    ("foldhash", &["graph", "record", "task"]),
    ("globset", &["glob"]),
    ("humantime", &["cli", "report"]),
    ("indicatif", &["report"]),
    ("itoa", &["record", "report"]),
    ("libc", &["library", "process"]),
    ("libloading", &["library"]),
    ("libm", &["process"]),
    ("loom", &["sync"]),
    ("nix", &["isolate", "process", "supervise"]),
    ("object", &["library"]),
    ("petgraph", &["graph"]),
    ("quick_junit", &["report"]),
    (
        "rustix",
        &[
            "command",
            "library",
            "record",
            "report",
            "state",
            "stream",
            "supervise",
        ],
    ),
    ("sha2", &["record"]),
    ("shlex", &["cli", "command", "report"]),
    (
        "signal_hook",
        &["command", "interrupt", "process", "report"],
    ),
    ("strsim", &["cli", "error"]),
    ("task_abi", &["library"]),
    ("tempfile", &["report"]),
    ("unicode_width", &["report"]),
];

/// Rooms where `unsafe` is allowed.
const UNSAFE: &[&str] = &["library", "process"];

#[test]
fn the_floors_go_only_down() {
    let mut below = BTreeSet::new();
    for (room, knows) in ROOMS {
        for known in *knows {
            assert!(
                below.contains(known),
                "{room} knows {known}, which does not stand before it"
            );
        }
        below.insert(*room);
    }
}

#[test]
fn no_room_knows_more_than_it_may() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    for (room, text) in sources() {
        let Some(allowed) = allowed.get(room.as_str()) else {
            assert!(
                matches!(room.as_str(), "lib" | "main"),
                "src/{room} stands in no floor"
            );
            continue;
        };
        for known in known_rooms(&text) {
            assert!(
                known == room || allowed.contains(&known.as_str()),
                "{room} must not know {known}"
            );
        }
    }
}

/// Whether code names a crate: `std::os::unix::fs` does not name `nix`.
fn names(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let mut uses = code.match_indices(&path);
    uses.any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn every_outside_crate_has_its_room() {
    for (room, text) in sources() {
        for (name, rooms) in CRATES {
            let named = text.lines().any(|line| {
                let code = line.trim_start();
                !code.starts_with("//") && names(code, name)
            });
            assert!(
                !named || rooms.contains(&room.as_str()),
                "{room} must not name {name}"
            );
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    for (room, text) in sources() {
        let allowed = text.contains("allow(unsafe_code)");
        assert!(
            !allowed || UNSAFE.contains(&room.as_str()),
            "{room} must not be unsafe"
        );
    }
}

/// The room of each source file, and its text without tests.
fn sources() -> Vec<(String, String)> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&base, &mut files);
    let read = |path: &PathBuf| {
        let inside = path.strip_prefix(&base).unwrap();
        let first = inside.components().next().unwrap().as_os_str();
        let room = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(path).unwrap();
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .to_owned();
        (room, code)
    };
    let is_code = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !matches!(name, "tests.rs" | "model.rs" | "fixture.rs" | "sketch.rs")
    };
    let sources: Vec<_> = files.iter().filter(is_code).map(read).collect();
    assert!(sources.len() > 20, "the source was not found");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// The rooms behind `crate::`, also in `use crate::{a, b::c}`.
fn known_rooms(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with('$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        };
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(word(rest))),
            Some(list) => {
                let list = list.split("};").next().unwrap();
                rooms.extend(list.split(',').map(word).filter(|room| !room.is_empty()));
            }
        }
    }
    rooms
}
