//! What a file is that is no ELF file, from its first bytes and its name.
//!
//! Knows nothing of ELF, and needs not be right about everything: it only words an error.

use std::path::Path;

use object::read::{FileKind, ReadRef};

/// Bytes looked at to tell text from other data.
const HEAD: u64 = 512;

/// Names the kind, with its article; then, where there is one, what to do about it.
pub(super) fn of<'a, R: ReadRef<'a>>(data: R, path: &Path) -> (String, Option<&'static str>) {
    let head = head(data);
    let (kind, hint) = match FileKind::parse(data) {
        _ if head.is_empty() => (
            "an empty file",
            Some("did the build run out of disk space?"),
        ),
        Ok(FileKind::Archive) => (archive(path), Some(ARCHIVE)),
        Ok(FileKind::Pe32 | FileKind::Pe64) => ("a Windows DLL or program", Some(ELSEWHERE)),
        Ok(kind) if is_macho(kind) => ("a macOS dylib or program", Some(ELSEWHERE)),
        _ => by_magic(head, path),
    };
    (kind.to_owned(), hint)
}

const ARCHIVE: &str =
    "build a shared library; Rust: crate-type = [\"cdylib\"]; C: cc -shared -fPIC";
const ELSEWHERE: &str = "build it for Linux";

fn head<'a, R: ReadRef<'a>>(data: R) -> &'a [u8] {
    let size = data.len().unwrap_or(0).min(HEAD);
    data.read_bytes_at(0, size).unwrap_or(&[])
}

fn archive(path: &Path) -> &'static str {
    match path.extension() {
        Some(ending) if ending == "rlib" => "a Rust rlib, a static library",
        _ => "a static library",
    }
}

fn is_macho(kind: FileKind) -> bool {
    matches!(
        kind,
        FileKind::MachO32 | FileKind::MachO64 | FileKind::MachOFat32 | FileKind::MachOFat64
    )
}

fn by_magic(head: &[u8], path: &Path) -> (&'static str, Option<&'static str>) {
    match head {
        [b'!', b'<', b'a' | b't', ..]
            if head.starts_with(b"!<arch>") || head.starts_with(b"!<thin>") =>
        {
            (archive(path), Some(ARCHIVE))
        }
        [b'M', b'Z', ..] => ("a Windows DLL or program", Some(ELSEWHERE)),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => ("a macOS dylib or program", Some(ELSEWHERE)),
        [0, b'a', b's', b'm', ..] => ("a WebAssembly module", None),
        [b'B', b'C', 0xc0, 0xde, ..] => ("LLVM bitcode", None),
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] => ("a compressed file", Some("unpack it first")),
        _ => text(head, path).unwrap_or(("a file of an unknown kind", None)),
    }
}

fn text(head: &[u8], path: &Path) -> Option<(&'static str, Option<&'static str>)> {
    // The last character may have been cut.
    let whole = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => {
            std::str::from_utf8(&head[..cut.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if whole.contains(|c: char| c.is_control() && !c.is_whitespace() && c != '\x1b') {
        return None;
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    Some(match ending {
        _ if is_linker_script(whole) => (
            "a linker script (text)",
            Some("name the library that it leads to"),
        ),
        Some("py") => ("a Python program (text)", None),
        Some("rs" | "c" | "cc" | "cpp" | "zig" | "h") => {
            ("source code (text)", Some("build it first"))
        }
        _ if whole.starts_with("#!") => ("a script (text)", None),
        _ => ("a text file", None),
    })
}

fn is_linker_script(text: &str) -> bool {
    [
        "GNU ld script",
        "OUTPUT_FORMAT",
        "INPUT(",
        "INPUT (",
        "GROUP(",
        "GROUP (",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}
