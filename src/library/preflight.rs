//! Looks at a file before the dynamic linker does, and says in plain words why it cannot be loaded.
//!
//! Pure reading, by small reads at known offsets: no mapping (a file cut short under it would kill the process), no
//! loading, no code of the file runs. Must not panic, whatever the file holds.

use std::fs::File;
use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{FileKind, ReadCache, ReadRef};

use super::arch::{self, HERE};
use super::symbols::Dynamic;
use super::{Stamp, file, kind};
use crate::error::{Error, Result};

/// What was learnt about a file that looks loadable.
#[derive(Debug)]
pub(super) struct Report {
    /// The file that was looked at.
    pub(super) stamp: Stamp,
    /// The libraries that it needs, as they are named in it.
    pub(super) needed: Vec<String>,
    /// Where it wants them to be looked for.
    pub(super) runpath: Vec<String>,
}

/// Checks the file at an absolute path.
pub(super) fn check(path: &Path, shown: &str) -> Result<Report> {
    let (file, metadata) = file::open(path, shown)?;
    let cache = ReadCache::<File>::new(file);
    let elf = Elf::check(&cache, path, shown)?;
    Ok(Report {
        stamp: Stamp::of(path, &metadata),
        needed: elf.dynamic.strings(elf::DT_NEEDED),
        runpath: elf.runpath(),
    })
}

/// An ELF file that this tdrun could load.
struct Elf<'a, R> {
    dynamic: Dynamic<'a, R>,
}

impl<'a, R: ReadRef<'a>> Elf<'a, R> {
    fn check(data: R, path: &Path, shown: &str) -> Result<Self> {
        check_architecture(data, path, shown)?;
        let header = header(data, shown)?;
        let endian = header.endian().map_err(|_| damaged(shown))?;
        check_type(header.e_type(endian), shown)?;
        let segments = segments(data, header, endian, shown)?;
        let dynamic = Dynamic::find(data, endian, segments).ok_or_else(|| {
            let message = format!("`{shown}` has no dynamic section");
            Error::new("load.format", message).hint("is it a separate file of debug information?")
        })?;
        let elf = Self { dynamic };
        elf.check_program(shown)?;
        elf.check_sanitizer(shown)?;
        elf.check_entry(shown)?;
        Ok(elf)
    }

    fn check_program(&self, shown: &str) -> Result<()> {
        let flags = self.dynamic.value(elf::DT_FLAGS_1).unwrap_or(0);
        if flags & elf::DF_1_PIE.0 != 0 {
            return Err(program(shown));
        }
        Ok(())
    }

    /// A sanitizer's runtime that comes too late ends the process without a chance to say so.
    fn check_sanitizer(&self, shown: &str) -> Result<()> {
        let late = self
            .dynamic
            .strings(elf::DT_NEEDED)
            .into_iter()
            .find(|name| is_sanitizer(name) && !is_loaded(name));
        match late {
            Some(runtime) => Err(sanitizer(shown, &runtime)),
            None => Ok(()),
        }
    }

    fn check_entry(&self, shown: &str) -> Result<()> {
        if self.dynamic.defines(task_abi::raw::ENTRY) != Some(false) {
            return Ok(());
        }
        let major = task_abi::raw::MAJOR;
        let others = (0..64).filter(|&other| other != major);
        let other = others
            .into_iter()
            .find(|other| self.dynamic.defines(&format!("tdrun_entry_v{other}")) == Some(true));
        Err(match other {
            Some(other) => other_entry(shown, other),
            None => no_entry(shown),
        })
    }

    fn runpath(&self) -> Vec<String> {
        let runpath = self.dynamic.strings(elf::DT_RUNPATH);
        if runpath.is_empty() {
            return self.dynamic.strings(elf::DT_RPATH);
        }
        runpath
    }
}

/// A library without the entry function.
pub(super) fn no_entry(shown: &str) -> Error {
    let message = format!(
        "`{shown}` is not a tdrun task library: it has no `{}`",
        task_abi::raw::ENTRY
    );
    Error::new("load.noentry", message)
        .hint("Rust: crate-type = [\"cdylib\"], the crate task-abi and a #[task]")
        .hint("C: #include \"tdrun.h\" and TD_LIBRARY(tasks)")
}

fn other_entry(shown: &str, other: u16) -> Error {
    let major = task_abi::raw::MAJOR;
    let needs = if other > major { "newer" } else { "older" };
    let message = format!(
        "`{shown}` needs a {needs} tdrun: it has `tdrun_entry_v{other}`, this tdrun calls `{}`",
        task_abi::raw::ENTRY
    );
    Error::new("load.noentry", message).hint(format!(
        "or build the library against version {major} of the ABI"
    ))
}

/// Any ELF file of another machine, word size, byte order or system; and what is no ELF file.
fn check_architecture<'a, R: ReadRef<'a>>(data: R, path: &Path, shown: &str) -> Result<()> {
    let magic = data.read_bytes_at(0, 4).unwrap_or(&[]);
    if magic != elf::ELFMAG {
        let (kind, hint) = kind::of(data, path);
        let message = format!("`{shown}` is {kind}, not a shared library");
        let error = Error::new("load.format", message);
        return Err(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    let built_for = match FileKind::parse(data) {
        Ok(FileKind::Elf64) => arch::target::<FileHeader64<Endianness>, _>(data),
        Ok(FileKind::Elf32) => arch::target::<FileHeader32<Endianness>, _>(data),
        _ if data.len().unwrap_or(0) < 64 => return Err(truncated(shown, 64, data)),
        _ => return Err(damaged(shown)),
    };
    let built_for = built_for.ok_or_else(|| damaged_or_truncated(shown, data))?;
    if built_for == HERE {
        return Ok(());
    }
    let message = format!("`{shown}` is built for {built_for}, this tdrun is {HERE}");
    let hint = "build the library for this machine, or run a tdrun that is built for the library's";
    Err(Error::new("load.arch", message).hint(hint))
}

fn header<'a, R: ReadRef<'a>>(data: R, shown: &str) -> Result<&'a FileHeader64<Endianness>> {
    FileHeader64::parse(data).map_err(|_| damaged_or_truncated(shown, data))
}

fn check_type(kind: elf::FileType, shown: &str) -> Result<()> {
    let (what, hint) = match kind {
        elf::ET_DYN => return Ok(()),
        elf::ET_REL => ("an object file", "link it with -shared"),
        elf::ET_EXEC => return Err(program(shown)),
        elf::ET_CORE => ("a core dump", "name the library, not the dump"),
        _ => return Err(damaged(shown)),
    };
    let message = format!("`{shown}` is {what}, not a shared library");
    Err(Error::new("load.format", message).hint(hint))
}

/// The program headers; every segment they describe lies inside the file.
fn segments<'a, R: ReadRef<'a>>(
    data: R,
    header: &'a FileHeader64<Endianness>,
    endian: Endianness,
    shown: &str,
) -> Result<&'a [ProgramHeader64<Endianness>]> {
    let count = u64::from(header.e_phnum(endian));
    let end_of_headers = header.e_phoff(endian).saturating_add(count * 56);
    check_length(end_of_headers, data, shown)?;
    let segments = header
        .program_headers(endian, data)
        .map_err(|_| damaged(shown))?;
    for segment in segments {
        let (start, size) = segment.file_range(endian);
        check_length(start.saturating_add(size), data, shown)?;
    }
    Ok(segments)
}

fn check_length<'a, R: ReadRef<'a>>(needed: u64, data: R, shown: &str) -> Result<()> {
    if needed > data.len().unwrap_or(0) {
        return Err(truncated(shown, needed, data));
    }
    Ok(())
}

fn truncated<'a, R: ReadRef<'a>>(shown: &str, needed: u64, data: R) -> Error {
    let have = data.len().unwrap_or(0);
    let message = format!("`{shown}` is cut short: it has {have} bytes of at least {needed}");
    Error::new("load.truncated", message)
        .hint("is it still being written or copied? build it again")
}

fn damaged(shown: &str) -> Error {
    let message = format!("`{shown}` is a damaged ELF file");
    Error::new("load.format", message).hint("build it again")
}

fn damaged_or_truncated<'a, R: ReadRef<'a>>(shown: &str, data: R) -> Error {
    check_length(64, data, shown)
        .err()
        .unwrap_or_else(|| damaged(shown))
}

fn program(shown: &str) -> Error {
    let message = format!("`{shown}` is a program, not a shared library");
    Error::new("load.format", message)
        .hint("Rust: crate-type = [\"cdylib\"]; C: link with -shared -fPIC")
}

/// Runtimes that must be in the process before any other library.
const SANITIZERS: [&str; 5] = ["libasan.", "libtsan.", "libmsan.", "libhwasan.", "liblsan."];

fn is_sanitizer(library: &str) -> bool {
    let by_gcc = SANITIZERS.iter().any(|prefix| library.starts_with(prefix));
    let by_clang = library.starts_with("libclang_rt.") && library.contains("san");
    (by_gcc || by_clang) && !library.contains("ubsan")
}

/// Whether the runtime is in this process, as it is after `LD_PRELOAD`.
fn is_loaded(library: &str) -> bool {
    std::fs::read("/proc/self/maps")
        .is_ok_and(|maps| String::from_utf8_lossy(&maps).contains(library))
}

fn sanitizer(shown: &str, runtime: &str) -> Error {
    let message = format!(
        "`{shown}` is built with a sanitizer, whose `{runtime}` must be loaded before tdrun itself"
    );
    Error::new("load.sanitizer", message).hint(format!(
        "LD_PRELOAD={runtime} tdrun {}",
        file::for_shell(shown)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real shared library: the one that holds the C library's math, or the C library itself.
    fn real_library() -> Vec<u8> {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        let path = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .find(|path| path.contains("libgcc_s") || path.contains("libc.so"))
            .expect("a library is loaded");
        std::fs::read(path).expect("readable")
    }

    fn id_of(bytes: &[u8]) -> &'static str {
        match Elf::check(bytes, Path::new("/x.so"), "x.so") {
            Ok(_) => "fine",
            Err(error) => error.id(),
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_and_never_panics() {
        let whole = real_library();
        assert_eq!(id_of(&whole), "load.noentry");
        let dense = 0..4096.min(whole.len());
        for length in dense.chain((4096..whole.len()).step_by(997)) {
            let id = id_of(&whole[..length]);
            match length {
                0..4 => assert_eq!(id, "load.format", "{length}"),
                4..4096 => assert_eq!(id, "load.truncated", "{length}"),
                _ => assert!(
                    matches!(id, "load.truncated" | "load.noentry"),
                    "{length}: {id}"
                ),
            }
        }
    }

    #[test]
    fn corrupt_headers_never_panic() {
        let whole = real_library();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed >> 16).expect("64 bits") % below
        };
        let mut bytes = whole.clone();
        for _ in 0..8000 {
            let places: Vec<usize> = (0..3).map(|_| random(1024.min(whole.len()))).collect();
            for &place in &places {
                bytes[place] = u8::try_from(random(256)).expect("a byte");
            }
            id_of(&bytes);
            for &place in &places {
                bytes[place] = whole[place];
            }
        }
    }

    #[test]
    fn corrupt_tables_never_panic() {
        let whole = real_library();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..2000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let place =
                    1024 + usize::try_from(seed >> 33).expect("64 bits") % (whole.len() - 1024);
                bytes[place] = (seed >> 24).to_le_bytes()[0];
            }
            id_of(&bytes);
        }
    }

    #[test]
    fn patched_headers_are_named_by_what_they_say() {
        let whole = real_library();
        let message = |patches: &[(usize, u8)]| {
            let mut bytes = whole.clone();
            for &(place, value) in patches {
                bytes[place] = value;
            }
            let error = Elf::check(&bytes[..], Path::new("/x.so"), "x.so")
                .err()
                .expect("refused");
            (error.id(), error.message().to_owned())
        };
        for (patches, id, words) in [
            (
                &[(18, 0xb7), (19, 0)][..],
                "load.arch",
                "built for aarch64, this tdrun is x86_64",
            ),
            (
                &[(18, 3), (19, 0), (4, 1)],
                "load.arch",
                "built for x86 (32-bit)",
            ),
            (&[(4, 1)], "load.arch", "built for x86_64 (32-bit)"),
            (
                &[(5, 2), (18, 0), (19, 22)],
                "load.arch",
                "built for s390x (big-endian)",
            ),
            (&[(7, 9)], "load.arch", "built for x86_64 FreeBSD"),
            (&[(16, 1)], "load.format", "an object file"),
            (&[(16, 2)], "load.format", "a program"),
            (&[(16, 4)], "load.format", "a core dump"),
            (&[(6, 7)], "load.format", "damaged"),
        ] {
            let (got, text) = message(patches);
            assert_eq!(got, id, "{text}");
            if cfg!(target_arch = "x86_64") {
                assert!(text.contains(words), "{text}");
            }
        }
    }

    #[test]
    fn sanitizer_runtimes_are_known_by_name() {
        for name in [
            "libasan.so.8",
            "libtsan.so.2",
            "libclang_rt.asan-x86_64.so",
            "libhwasan.so.0",
        ] {
            assert!(is_sanitizer(name), "{name}");
        }
        for name in [
            "libubsan.so.1",
            "libc.so.6",
            "libasn1.so",
            "libclang_rt.ubsan_standalone-x86_64.so",
        ] {
            assert!(!is_sanitizer(name), "{name}");
        }
    }
}
