//! Opens a library, checks it whole, and turns its table into tasks that can be called.
//!
//! The only room that knows the ABI and the dynamic linker. Knows nothing of selections, graphs or runs.
//!
//! Loading a library runs its code in this process: its constructors, its entry function, later its tasks. The checks
//! here turn every honest mistake into an error that says what to do; they are no defence against a hostile library.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::task::{Level, Library, LibraryId, Tasks};

mod arch;
mod ask;
mod call;
mod context;
mod coverage;
mod fault;
mod file;
mod host;
mod kind;
mod memory;
mod name;
mod open;
mod preflight;
mod shelf;
mod sink;
mod symbols;
mod table;
mod text;
mod value;

pub use call::warm_up;
pub use coverage::{coverage, write_coverage};
pub use shelf::{Files, Shelf, load_all, load_one};
pub use sink::{Sink, listen};

/// A library that has been opened and checked. It stays in memory until the process ends.
pub struct Loaded {
    /// Its name and its hooks.
    pub library: Library,
    /// Its tasks and templates, in the order of its table.
    pub tasks: Tasks,
    /// What the user should know although it is no error.
    pub warnings: Vec<String>,
    /// The file as it was when it was opened.
    pub file: Stamp,
}

/// What makes two paths one file, be it by a symbolic or by a hard link: the device and the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// The device and the inode.
    pub fn numbers(self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// A file at one moment: enough to notice that it was replaced or written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    id: FileId,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path, metadata: &fs::Metadata) -> Self {
        Self {
            path: path.to_owned(),
            id: FileId::of(metadata),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When it was written last: seconds and nanoseconds.
    pub fn modified(&self) -> (i64, i64) {
        self.modified
    }

    /// Whether the path still leads to that file, unchanged.
    pub fn is_current(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|now| Self::of(&self.path, &now) == *self)
    }
}

/// Tells which file a path leads to, so that the caller can avoid to load it twice; none where there is no such file.
pub fn identity(path: &Path) -> Option<FileId> {
    fs::metadata(path)
        .ok()
        .map(|metadata| FileId::of(&metadata))
}

/// Opens the library at `path`, runs its constructors, its entry function and those that find choices, checks its table
/// and reads it.
///
/// `shown` is the path as the user typed it, for messages. `level` is the most verbose level that anybody listens to; it
/// holds for all libraries of the process. A file must not be loaded twice: see [`identity`].
pub fn load(path: &Path, shown: &str, id: LibraryId, level: Option<Level>) -> Result<Loaded> {
    let path = open::absolute(path, shown)?;
    let report = preflight::check(&path, shown)?;
    host::set_log_level(level);
    let entry = open::open(&path, shown, &report)?;
    let table = entry.table(shown, id)?;
    let library = Library {
        name: table
            .name
            .map_or_else(|| name::from_path(&path), Into::into),
        path: shown.to_owned(),
        setup: table.setup,
        teardown: table.teardown,
        aborts: table.aborts,
    };
    Ok(Loaded {
        library,
        tasks: table.tasks,
        warnings: table.warnings,
        file: report.stamp,
    })
}
