//! Files that cannot be loaded: each is refused in words that say what it is and what to do.
//!
//! Knows nothing of tables.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tdrun::error::Error;
use tdrun::library;

use super::common::{c_library, c_output, scratch};
use super::ends::{Child, is_root};
use super::{assert_error, load, refusal};

const EMPTY_LIBRARY: &str = r#"
#include "tdrun.h"
static const td_task tasks[] = {{.size = 0}};
TD_LIBRARY(tasks, .task_count = 0)
"#;

fn empty_library() -> PathBuf {
    // gcc warns of the second initialiser, which is meant.
    c_library("empty", EMPTY_LIBRARY, &["-Wno-override-init"])
}

/// A file in a directory of its own.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = scratch("file").join(name);
    fs::write(&path, content).expect("written");
    path
}

fn patched(bytes: &[(usize, u8)]) -> PathBuf {
    let mut content = fs::read(empty_library()).expect("readable");
    for &(at, byte) in bytes {
        content[at] = byte;
    }
    file("libpatched.so", content)
}

#[test]
fn a_library_is_loaded_and_named_after_its_file() {
    let path = empty_library();
    let loaded = load(&path).expect("fine");
    assert_eq!(loaded.library.name, "empty");
    assert_eq!(Some(loaded.file.id()), library::identity(&path));
}

#[test]
fn what_is_no_library_is_named_by_its_kind() {
    for (name, content, words) in [
        ("a.so", &b""[..], "an empty file"),
        ("b.so", b"hello\n", "a text file"),
        (
            "c.so",
            b"/* GNU ld script */\nINPUT ( libreal.so )",
            "a linker script",
        ),
        ("d.py", b"print('x')\n", "a Python program"),
        ("e.sh", b"#!/bin/sh\n", "a script"),
        ("f.rs", b"fn main() {}\n", "source code"),
        ("g.a", b"!<arch>\n", "a static library"),
        (
            "g.rlib",
            b"!<arch>\n/               0           0",
            "a Rust rlib",
        ),
        ("h.dll", b"MZ\x90\0", "a Windows DLL"),
        (
            "i.dylib",
            b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03\0\0\0\x06\0\0\0\0\0\0\0",
            "a macOS dylib",
        ),
        ("j.wasm", b"\0asm\x01\0\0\0", "a WebAssembly module"),
        ("k.bin", &[0; 4096], "a file of an unknown kind"),
        ("l.bin", &[0xff; 20], "a file of an unknown kind"),
    ] {
        let error = refusal(&file(name, content));
        assert_error(
            &error,
            "load.format",
            &[name, words, "not a shared library"],
            name,
        );
    }
}

#[test]
fn objects_and_programs_are_told_from_libraries() {
    let object = c_output("x.o", "x", "int x;", &["-c"]);
    assert_error(
        &refusal(&object),
        "load.format",
        &["an object file", "-shared"],
        "object",
    );
    let program = "int main(void) { return 0; }";
    for (flags, case) in [(&["-fPIE", "-pie"][..], "pie"), (&["-no-pie"], "no pie")] {
        let program = c_output("program", "program", program, flags);
        assert_error(
            &refusal(&program),
            "load.format",
            &["a program", "cdylib"],
            case,
        );
    }
}

#[test]
fn what_cannot_be_read_is_refused_without_waiting() {
    let directory = scratch("kinds");
    let fifo = directory.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .expect("mkfifo")
            .success()
    );
    for (path, words) in [
        (&*directory, "a directory"),
        (&*fifo, "a FIFO"),
        (Path::new("/dev/null"), "a device"),
    ] {
        assert_error(&refusal(path), "load.format", &[words], words);
    }
}

#[test]
fn another_machine_is_named_with_this_one() {
    let here = std::env::consts::ARCH;
    for (patch, words) in [
        (&[(18, 0xb7), (19, 0)][..], "built for aarch64"),
        (&[(18, 3), (19, 0)], "built for x86 (32-bit)"),
        (&[(4, 1)], "(32-bit)"),
        (&[(5, 2), (18, 0), (19, 22)], "big-endian"),
        (&[(7, 9)], "FreeBSD"),
    ] {
        if cfg!(target_arch = "x86_64") {
            assert_error(
                &refusal(&patched(patch)),
                "load.arch",
                &[words, here],
                words,
            );
        }
    }
}

#[test]
fn a_library_cut_short_is_refused_before_it_kills() {
    let whole = fs::read(empty_library()).expect("readable");
    for length in [4, 5, 63, 64, 65, 500, 4096, whole.len() / 2] {
        let error = refusal(&file("libcut.so", &whole[..length]));
        assert_error(
            &error,
            "load.truncated",
            &["libcut.so", &format!("{length} bytes")],
            "cut",
        );
    }
}

#[test]
fn section_headers_may_be_stripped() {
    let mut content = fs::read(empty_library()).expect("readable");
    content[0x28..0x30].fill(0);
    content[0x3a..0x40].fill(0);
    assert!(load(&file("libstripped.so", content)).is_ok());
}

#[test]
fn a_missing_file_comes_with_what_was_probably_meant() {
    let directory = scratch("missing");
    for name in ["libfetch_user.so", "plain.so", "libshop.rlib"] {
        fs::write(directory.join(name), "").expect("written");
    }
    for (name, hint) in [
        ("fetch_user", "did you mean `libfetch_user.so`?"),
        ("fetch-user.so", "did you mean `libfetch_user.so`?"),
        ("libfetch_usr.so", "did you mean `libfetch_user.so`?"),
        ("plain", "did you mean `plain.so`?"),
        ("plain.so:task", "did you mean `plain.so::task`?"),
        (
            "libshop.so",
            "`libshop.rlib` is there: does its Cargo.toml say `crate-type = [\"cdylib\"]` under `[lib]`?",
        ),
        ("quite_different.so", "did you build"),
    ] {
        let error = refusal(&directory.join(name));
        assert_error(
            &error,
            "load.notfound",
            &[name, "does not exist", hint],
            name,
        );
    }
    let error = library::load(
        &directory.join("smoke"),
        "smoke",
        tdrun::task::LibraryId(0),
        None,
    );
    let error = error.err().expect("refused").to_string();
    assert_eq!(
        error,
        "error[load.notfound]: `smoke` does not exist\n  a task is named behind its library: `lib.so::smoke`"
    );
    let error = library::load(
        &directory.join("no/libx.so"),
        "no/libx.so",
        tdrun::task::LibraryId(0),
        None,
    );
    let error = error.err().expect("refused");
    assert_error(&error, "load.notfound", &["no directory `no`"], "directory");
    let error = refusal(&directory.join("plain.so/libx.so"));
    assert_error(&error, "load.notfound", &["libx.so"], "a file on the way");
}

#[test]
fn links_that_lead_nowhere_say_where_they_lead() {
    let directory = scratch("links");
    let (dangling, looping) = (directory.join("dangling.so"), directory.join("loop.so"));
    symlink("gone.so", &dangling).expect("linked");
    symlink("loop.so", &looping).expect("linked");
    assert_error(
        &refusal(&dangling),
        "load.notfound",
        &["link to `gone.so`"],
        "dangling",
    );
    assert_error(
        &refusal(&looping),
        "load.notfound",
        &["leads back to itself"],
        "loop",
    );
}

#[test]
fn links_to_a_file_have_its_identity_and_copies_do_not() {
    let directory = scratch("identity");
    let path = directory.join("libx.so");
    let [soft, hard, copy] = ["soft.so", "hard.so", "copy.so"].map(|name| directory.join(name));
    fs::write(&path, "x").expect("written");
    symlink(&path, &soft).expect("linked");
    fs::hard_link(&path, &hard).expect("linked");
    fs::copy(&path, &copy).expect("copied");
    assert_eq!(library::identity(&path), library::identity(&soft));
    assert_eq!(library::identity(&path), library::identity(&hard));
    assert_ne!(library::identity(&path), library::identity(&copy));
    assert_eq!(library::identity(&directory.join("gone.so")), None);
}

#[test]
fn a_file_without_permission_is_denied() {
    let path = empty_library();
    let secret = scratch("denied").join("libsecret.so");
    fs::copy(&path, &secret).expect("copied");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("changed");
    if !is_root() {
        assert_error(
            &refusal(&secret),
            "load.denied",
            &["libsecret.so", "chmod u+r"],
            "mode",
        );
        return;
    }
    // To root nothing is denied: somebody else has to try.
    let Some(output) = Child::new("load", &secret).by_nobody().run() else {
        return super::ends::note("skipped: nobody cannot run this test program");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error[load.denied]"), "{said}");
}

#[test]
fn a_file_system_without_programs_is_named() {
    let Some(directory) = noexec_directory() else {
        return super::ends::note("skipped: no writable noexec file system here");
    };
    let path = directory.join(format!("libtdrun_test_{}.so", std::process::id()));
    fs::copy(empty_library(), &path).expect("copied");
    let error = refusal(&path);
    fs::remove_file(&path).expect("removed");
    assert_error(&error, "load.denied", &["mounted noexec"], "noexec");
}

fn noexec_directory() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (path, kind, options) = (words.nth(1)?, words.next()?, words.next()?);
            let noexec = options.split(',').any(|option| option == "noexec");
            (noexec && kind == "tmpfs").then(|| PathBuf::from(path))
        })
        .find(|path| tempfile::tempfile_in(path).is_ok())
}

#[test]
fn too_many_open_files_are_a_limit() {
    let output = Child::new("load-without-descriptors", &empty_library()).run();
    let output = output.expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error[load.limit]"), "{said}");
    assert!(said.contains("ulimit -n"), "{said}");
}

#[test]
fn a_missing_dependency_is_named_with_who_needs_it() {
    let dependency = c_library("dep", "int dep(void); int dep(void) { return 1; }", &[]);
    let directory = dependency
        .parent()
        .expect("a directory")
        .to_str()
        .expect("UTF-8");
    let source =
        format!("{EMPTY_LIBRARY}\nint dep(void); int use(void); int use(void) {{ return dep(); }}");
    let flags = [
        "-L",
        directory,
        "-ldep",
        "-Wl,-rpath,/nowhere",
        "-Wno-override-init",
    ];
    let path = c_library("needy", &source, &flags);
    let error = refusal(&path);
    let words = [
        "`libneedy.so` needs `libdep.so`",
        "RUNPATH (/nowhere)",
        "LD_LIBRARY_PATH",
    ];
    assert_error(&error, "load.dep", &words, "dep");
    let beside = scratch("beside");
    let [needy, dep] = ["libneedy.so", "libdep.so"].map(|name| beside.join(name));
    fs::copy(path, &needy).expect("copied");
    fs::copy(&dependency, dep).expect("copied");
    let hint = format!("LD_LIBRARY_PATH={} tdrun libneedy.so", beside.display());
    assert_error(&refusal(&needy), "load.dep", &[&hint], "beside");
}

#[test]
fn an_undefined_symbol_is_found_when_loading() {
    let source = format!(
        "{EMPTY_LIBRARY}\nint gone(void); int use(void); int use(void) {{ return gone(); }}"
    );
    let error = refusal(&c_library("undefined", &source, &["-Wno-override-init"]));
    assert_error(
        &error,
        "load.symbol",
        &["`libundefined.so`", "`gone`"],
        "symbol",
    );
}

#[test]
fn a_newer_c_library_is_asked_for_by_version() {
    let source = format!(
        "{EMPTY_LIBRARY}\n#include <stdlib.h>\nchar *use(void); char *use(void) {{ return getenv(\"X\"); }}"
    );
    let path = c_library("newer", &source, &["-Wno-override-init"]);
    let mut content = fs::read(path).expect("readable");
    for at in 0..content.len() - 11 {
        if content[at..].starts_with(b"GLIBC_2.") && content[at + 8].is_ascii_digit() {
            content[at + 6] = b'9';
        }
    }
    let error = refusal(&file("libnewer.so", content));
    assert_error(
        &error,
        "load.glibc",
        &["`libnewer.so` needs GLIBC_9.", "libc.so.6", "newer system"],
        "glibc",
    );
}

#[test]
fn too_much_thread_local_memory_is_named() {
    let source = format!(
        "{EMPTY_LIBRARY}\nstatic __thread char big[1 << 20] __attribute__((tls_model(\"initial-exec\")));
         char *use(int at); char *use(int at) {{ return &big[at]; }}"
    );
    let error = refusal(&c_library("tls", &source, &["-Wno-override-init"]));
    assert_error(&error, "load.tls", &["libtls.so", "thread-local"], "tls");
}

#[test]
fn a_library_without_an_entry_is_told_how_to_get_one() {
    let plain = "int f(void); int f(void) { return 1; }";
    for flags in [&["-Wl,--hash-style=gnu"][..], &["-Wl,--hash-style=sysv"]] {
        let error = refusal(&c_library("plain", plain, flags));
        let words = ["not a tdrun task library", "cdylib", "TD_LIBRARY(tasks)"];
        assert_error(&error, "load.noentry", &words, flags[0]);
        let newer = plain.replace("f(", "tdrun_entry_v9(");
        let error = refusal(&c_library("newer_entry", &newer, flags));
        assert_error(
            &error,
            "load.noentry",
            &["needs a newer tdrun", "tdrun_entry_v9"],
            flags[0],
        );
        let fine = c_library(
            "hashed",
            EMPTY_LIBRARY,
            &[flags, &["-Wno-override-init"]].concat(),
        );
        assert!(load(&fine).is_ok(), "{flags:?}");
    }
}

#[test]
fn the_code_of_a_library_without_an_entry_never_runs() {
    let source =
        "#include <stdlib.h>\n__attribute__((constructor)) static void leave(void) { abort(); }";
    assert_error(
        &refusal(&c_library("aborts", source, &[])),
        "load.noentry",
        &[],
        "constructor",
    );
}

#[test]
fn the_entry_of_a_dependency_is_not_taken_for_its_own() {
    let tasks = empty_library();
    let directory = tasks
        .parent()
        .expect("a directory")
        .to_str()
        .expect("UTF-8");
    let rpath = format!("-Wl,-rpath,{directory}");
    let flags = ["-Wl,--no-as-needed", "-L", directory, "-lempty", &rpath];
    let error = refusal(&c_library("around", "int around;", &flags));
    assert_error(&error, "load.noentry", &["libaround.so"], "dependency");
}

#[test]
fn a_sanitizer_comes_with_the_line_that_works() {
    let source =
        "#include <stdlib.h>\n__attribute__((constructor)) static void leave(void) { abort(); }";
    let runtime = c_library("fake", "int fake;", &["-Wl,-soname,libasan.so.8"]);
    let flags = ["-Wl,--no-as-needed", runtime.to_str().expect("UTF-8")];
    let error = refusal(&c_library("sanitized", source, &flags));
    let words = [
        "`libsanitized.so`",
        "LD_PRELOAD=libasan.so.8 tdrun libsanitized.so",
    ];
    assert_error(&error, "load.sanitizer", &words, "asan");
}

#[test]
fn an_empty_path_is_a_usage_error() {
    let error: Error = refusal(Path::new(""));
    assert_error(&error, "usage.target", &["empty"], "empty");
}

#[test]
fn libraries_with_the_same_names_inside_keep_apart() {
    let library = |name: &str, number: &str| {
        let source = r#"
#include "tdrun.h"
int helper(void);
int helper(void) { return NUMBER; }
static int32_t which(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx, (void)user;
    return helper();
}
static const td_task tasks[] = {TD_TASK(which)};
TD_LIBRARY(tasks)
"#;
        let source = source.replace("NUMBER", number);
        load(&c_library(name, &source, &["-Wl,-soname,libsame.so"])).expect("fine")
    };
    for (name, number) in [("one", "11"), ("two", "12")] {
        let loaded = library(name, number);
        let host: std::sync::Arc<dyn tdrun::task::Host> =
            std::sync::Arc::new(super::mock::Mock::default());
        let ending = super::mock::run(&host, super::plain(&loaded)[0]);
        assert_eq!(
            ending,
            tdrun::task::Ending::failed(format!("returned {number}"))
        );
    }
}
