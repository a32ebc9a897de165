//! What several test files need: C libraries built on the spot.
//!
//! Knows nothing of what is tested.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod apart;
pub(crate) mod mark;
pub(crate) mod tool;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/task-abi/include");

/// Builds `lib<name>.so` out of C source, which may include `tdrun.h`, with further compiler flags. `__FILE__` in it is
/// `<name>.c`.
///
/// The directory follows from the content: the same library is built once, and tests that run at the same time do not
/// disturb each other. Who changes the file, copies it first.
pub(crate) fn c_library(name: &str, source: &str, flags: &[&str]) -> PathBuf {
    c_output(
        &format!("lib{name}.so"),
        name,
        source,
        &[&["-shared", "-fPIC"], flags].concat(),
    )
}

/// As [`c_library`], out of C++ source, which may include `tdrun.hpp`.
pub(crate) fn cpp_library(name: &str, source: &str) -> PathBuf {
    let output = format!("lib{name}.so");
    let flags = ["-std=c++11", "-shared", "-fPIC"];
    build("c++", &output, &format!("{name}.cpp"), source, &flags)
}

/// As [`c_library`], but what is built is up to the flags.
pub(crate) fn c_output(output: &str, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    build("cc", output, &format!("{name}.c"), source, flags)
}

fn build(compiler: &str, output: &str, file: &str, source: &str, flags: &[&str]) -> PathBuf {
    let directory = directory_of(&(output, file, source, flags, header_text()));
    let built = directory.join(output);
    if built.exists() {
        return built;
    }
    let work = scratch("cc");
    fs::write(work.join(file), source).expect("the source is written");
    let ended = Command::new(compiler)
        .current_dir(&work)
        .args([
            "-O1", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, "-o", output, file,
        ])
        .args(flags)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let messages = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{compiler} refuses {file}:\n{messages}"
    );
    fs::create_dir_all(&directory).expect("a directory");
    fs::rename(work.join(output), &built).expect("the library is moved");
    let _ = fs::remove_dir_all(work);
    built
}

/// An empty directory, of this test program alone. It stays until the next run, for who wants to look.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let program = std::env::current_exe().expect("known");
    let program = program.file_stem().expect("a file").to_string_lossy();
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}-{number}-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn directory_of(content: &impl Hash) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let name = format!("c-{:016x}", hasher.finish());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn header_text() -> String {
    let text = |name| fs::read_to_string(Path::new(INCLUDE).join(name));
    ["tdrun.h", "tdrun.hpp"]
        .map(|name| text(name).expect("the headers are readable"))
        .concat()
}

/// A library that builds its table of 100,000 tasks in code: each after one some way before it, so that there are many
/// chains.
pub(crate) const BIG: &str = r#"
enum { COUNT = 100000 };
PASS(pass)
static td_task tasks[COUNT];
static char names[COUNT][8];
static td_str after[COUNT];
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table,
                             .task_stride = sizeof(td_task), .task_count = COUNT, .tasks = tasks};
    (void)host;
    for (int i = 0; i < COUNT; i++) {
        int len = sprintf(names[i], "t%d", i);
        tasks[i].size = sizeof(td_task);
        tasks[i].name.ptr = names[i];
        tasks[i].name.len = (size_t)len;
        tasks[i].run = pass;
        if (i >= 100) {
            after[i] = tasks[i - 100].name;
            tasks[i].after = &after[i];
            tasks[i].after_count = 1;
        }
    }
    return &table;
}
"#;
