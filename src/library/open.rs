//! Asks the dynamic linker to load a library, for good, and puts its refusals into words that help.
//!
//! Knows nothing of what the entry function returns.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::StatVfsMountFlags;
use task_abi::raw;

use super::memory::Memory;
use super::preflight::{self, Report};
use super::table::{self, Table};
use super::{coverage, file, host};
use crate::error::{Error, Result};
use crate::task::LibraryId;

/// The entry function of a library that stays loaded.
pub(super) struct Entry(raw::EntryFn);

impl Entry {
    /// Calls the entry function, and checks the table that it returns.
    pub(super) fn table(&self, shown: &str, id: LibraryId) -> Result<Table> {
        // SAFETY: the symbol is the library's entry function, whose type the header fixes, and the library is never
        // unloaded. The host table is static.
        let table = unsafe { (self.0)(host::table()) };
        let memory = Memory::now();
        // SAFETY: by the contract the table and all that it points to stay valid and unchanged until the process ends;
        // pointers that lead nowhere are found by asking `memory` first.
        unsafe { table::read(table, &memory, shown, id) }
    }
}

/// The path from the root on: the dynamic linker would look for a bare name elsewhere.
pub(super) fn absolute(path: &Path, shown: &str) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        let error = Error::new("usage.target", "the path of the library is empty");
        return Err(error);
    }
    std::path::absolute(path).map_err(|error| file::refused(path, shown, &error))
}

/// Loads the library, never to be unloaded, and finds its entry function. Its constructors run here.
pub(super) fn open(path: &Path, shown: &str, report: &Report) -> Result<Entry> {
    if is_noexec(path) {
        let message = format!("`{shown}` is on a file system that is mounted noexec");
        let hint = "copy it to one that allows programs to run";
        return Err(Error::new("load.denied", message).hint(hint));
    }
    let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: the library's constructors run, which is what loading a library means; see the module's page.
    let library = unsafe { Library::open(Some(path), flags) };
    let library = library.map_err(|error| {
        let refusal = Refusal {
            path,
            shown,
            report,
        };
        refusal.into_error(&reason(&error))
    })?;
    // Code and data of the library are used until the very end, also by threads that it has left behind.
    let library = ManuallyDrop::new(library);
    // SAFETY: the header fixes the type of the symbol of that name.
    let entry = unsafe { library.get::<raw::EntryFn>(raw::ENTRY) };
    let entry = *entry.map_err(|_| preflight::no_entry(shown))?;
    coverage::note(&library, &report.stamp, entry);
    Ok(Entry(entry))
}

/// What the dynamic linker says.
fn reason(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { source } => source.to_string(),
        other => other.to_string(),
    }
}

fn is_noexec(path: &Path) -> bool {
    let system = rustix::fs::statvfs(path);
    system.is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// A library that the dynamic linker does not load.
struct Refusal<'a> {
    path: &'a Path,
    shown: &'a str,
    report: &'a Report,
}

impl Refusal<'_> {
    /// Sorts the linker's texts: they say which file is at fault first, then what is wrong with it.
    fn into_error(self, text: &str) -> Error {
        let own = self.path.to_string_lossy();
        let about_ours = text
            .strip_prefix(&*own)
            .and_then(|rest| rest.strip_prefix(": "));
        let (file, what) = match about_ours {
            Some(what) => (&*own, what),
            None => text.split_once(": ").unwrap_or((&own, text)),
        };
        if let Some(symbol) = what.strip_prefix("undefined symbol: ") {
            return self.symbol(symbol, file);
        }
        match () {
            () if what.contains("static TLS block") => self.tls(file),
            () if what.contains("not found (required by") => self.version(file, what),
            () if what.contains("Too many open files") => {
                self.limit("too many open files", "ulimit -n")
            }
            () if what.contains("Cannot allocate memory") => {
                self.limit("not enough memory", "ulimit -v")
            }
            () if file != own => self.dependency(file, what),
            () => Error::new(
                "load.failed",
                format!("cannot load `{}`: {what}", self.shown),
            ),
        }
    }

    fn symbol(&self, symbol: &str, file: &str) -> Error {
        let symbol = symbol.split(", version").next().unwrap_or(symbol);
        if ["__asan_", "__tsan_", "__msan_", "__hwasan_", "__lsan_"]
            .iter()
            .any(|prefix| symbol.starts_with(prefix))
        {
            let message = format!(
                "`{}` is built with a sanitizer whose runtime is missing",
                self.shown
            );
            return Error::new("load.sanitizer", message)
                .hint("link it with the shared runtime (clang: -shared-libsan) and name that in LD_PRELOAD");
        }
        let whose = self.file(file);
        let message = format!("`{whose}` uses `{symbol}`, which no library that it needs defines");
        let error = Error::new("load.symbol", message)
            .hint("link it with the library that defines it (-Wl,-z,defs finds this when linking)");
        if symbol.starts_with("_Z") {
            return error.hint(format!("`c++filt {symbol}` shows it as it was written"));
        }
        error
    }

    fn tls(&self, file: &str) -> Error {
        let message = format!(
            "`{}` wants more thread-local memory than is left for libraries that are loaded at run time",
            self.file(file)
        );
        Error::new("load.tls", message)
            .hint("build it without -ftls-model=initial-exec")
            .hint(format!(
                "or GLIBC_TUNABLES=glibc.rtld.optional_static_tls=2097152 tdrun {}",
                file::for_shell(self.shown)
            ))
    }

    /// ``/lib/libc.so.6: version `GLIBC_9.99' not found (required by /x/liba.so)``
    fn version(&self, file: &str, what: &str) -> Error {
        let version = what.split(['`', '\'']).nth(1).unwrap_or(what);
        let by = what
            .split("(required by ")
            .nth(1)
            .map(|by| by.trim_end_matches(')'));
        let by = self.file(by.unwrap_or(file));
        let provider = file_name(file);
        let message =
            format!("`{by}` needs {version}, which `{provider}` of this system does not have");
        if version.starts_with("GLIBC") || version.starts_with("CXXABI") {
            return Error::new("load.glibc", message).hint(
                "it was built on a newer system: rebuild it on this one, or in an older container",
            );
        }
        Error::new("load.dep", message)
            .hint("rebuild it against the version that is installed here")
    }

    fn limit(&self, what: &str, command: &str) -> Error {
        let message = format!("cannot load `{}`: {what}", self.shown);
        Error::new("load.limit", message).hint(format!("raise the limit with `{command}`"))
    }

    /// A library that ours needs, itself or by another one.
    fn dependency(&self, file: &str, what: &str) -> Error {
        let needs = if self.report.needed.iter().any(|needed| needed == file) {
            "needs"
        } else {
            "needs a library that needs"
        };
        let what = if what.contains("No such file or directory") {
            "which is not found"
        } else {
            what
        };
        let message = format!("`{}` {needs} `{file}`: {what}", self.shown);
        let error = Error::new("load.dep", message).hint(self.searched());
        match self.beside(file) {
            Some(directory) => error.hint(format!(
                "it lies in `{}`: LD_LIBRARY_PATH={} tdrun {}",
                directory.display(),
                file::for_shell(&directory.to_string_lossy()),
                file::for_shell(self.shown)
            )),
            None => error.hint("install it, or name its directory in LD_LIBRARY_PATH"),
        }
    }

    fn searched(&self) -> String {
        let listed = |list: String| {
            if list.is_empty() {
                "not set".to_owned()
            } else {
                list
            }
        };
        let path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        format!(
            "searched: RUNPATH ({}), LD_LIBRARY_PATH ({}), the system's directories",
            listed(self.report.runpath.join(":")),
            listed(path.to_string_lossy().into_owned())
        )
    }

    /// Where cargo and make leave such a file: beside the library, in `deps`, one directory up.
    fn beside(&self, file: &str) -> Option<PathBuf> {
        let directory = self.path.parent()?;
        [
            directory.to_owned(),
            directory.join("deps"),
            directory.parent()?.to_owned(),
        ]
        .into_iter()
        .find(|directory| directory.join(file_name(file)).is_file())
    }

    /// The name to show for a file that the linker speaks of.
    fn file(&self, file: &str) -> String {
        if Path::new(file) == self.path {
            self.shown.to_owned()
        } else {
            file.to_owned()
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_texts_become_errors_with_both_names() {
        let report = Report {
            stamp: crate::library::Stamp::of(
                Path::new("/"),
                &std::fs::metadata("/").expect("a root"),
            ),
            needed: vec!["libdep.so".into()],
            runpath: vec!["$ORIGIN/lib".into()],
        };
        for (text, id, words) in [
            (
                "libdep.so: cannot open shared object file: No such file or directory",
                "load.dep",
                "`./x.so` needs `libdep.so`: which is not found",
            ),
            (
                "libfar.so: cannot open shared object file: No such file or directory",
                "load.dep",
                "`./x.so` needs a library that needs `libfar.so`",
            ),
            (
                "/a: b/x.so: undefined symbol: not_there",
                "load.symbol",
                "`./x.so` uses `not_there`",
            ),
            (
                "/b/y.so: undefined symbol: f, version V1",
                "load.symbol",
                "`/b/y.so` uses `f`, which",
            ),
            (
                "/a: b/x.so: undefined symbol: __asan_init",
                "load.sanitizer",
                "`./x.so`",
            ),
            (
                "/lib/libc.so.6: version `GLIBC_9.99' not found (required by /a: b/x.so)",
                "load.glibc",
                "`./x.so` needs GLIBC_9.99, which `libc.so.6`",
            ),
            (
                "/lib/libq.so: version `Q_2' not found (required by /a: b/x.so)",
                "load.dep",
                "`./x.so` needs Q_2, which `libq.so`",
            ),
            (
                "/a: b/x.so: cannot allocate memory in static TLS block",
                "load.tls",
                "`./x.so`",
            ),
            (
                "libdep.so: cannot open shared object file: Too many open files",
                "load.limit",
                "too many open files",
            ),
            (
                "/a: b/x.so: failed to map segment from shared object: Cannot allocate memory",
                "load.limit",
                "not enough memory",
            ),
            (
                "/a: b/x.so: strange new text",
                "load.failed",
                "`./x.so`: strange new text",
            ),
            ("strange", "load.failed", "`./x.so`: strange"),
        ] {
            let refusal = Refusal {
                path: Path::new("/a: b/x.so"),
                shown: "./x.so",
                report: &report,
            };
            let error = refusal.into_error(text);
            assert_eq!(error.id(), id, "{text}");
            assert!(error.message().contains(words), "{text}: {error}");
        }
    }
}
