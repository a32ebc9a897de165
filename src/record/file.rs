//! The file of a journal: what is appended stands there whole or not at all, whatever the system says and whatever a task
//! does to our descriptors.
//!
//! Knows bytes and files; nothing of records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, MemfdFlags, OFlags, fcntl_setfl, flock, memfd_create};
use rustix::io::{Errno, fcntl_getfd};

use crate::stream::{REOPENED_MOST, lift, lift_anew};

/// Nothing of a run outlives it for so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// A regular file, or one in memory, open for appending.
#[derive(Debug)]
pub(super) struct Store {
    /// None only when it is dropped.
    file: Option<File>,
    /// Where to find it again.
    path: PathBuf,
    /// Which file that is.
    id: (u64, u64),
    /// So far all is good.
    good: u64,
}

/// Why there is no such file.
#[derive(Debug)]
pub(super) enum Refused {
    /// The system says so.
    Io(io::Error),
    /// It is something else than a file.
    Kind(&'static str),
    /// Another process uses it.
    Locked(Store),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Wrote {
    /// It stands there.
    All,
    /// The same, in the file that was opened again: somebody had closed it.
    Again,
    /// Nothing of it does.
    Nothing(io::Error),
}

impl Store {
    /// The file of that name, locked; it is made where there is none and `make` is set.
    pub(super) fn open(path: &Path, make: bool) -> Result<Self, Refused> {
        let path = std::path::absolute(path)?;
        // Never waits for the other end of a FIFO.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(make).mode(0o644);
        let file = match options.custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) => {
                // A directory, or a FIFO, may be refused as such; better to say what it is.
                let kind = path.metadata().ok().and_then(|meta| kind(&meta));
                return Err(kind.map_or(Refused::Io(error), Refused::Kind));
            }
        };
        let metadata = file.metadata()?;
        if let Some(kind) = kind(&metadata) {
            return Err(Refused::Kind(kind));
        }
        let locked = lock(&file);
        let store = Self::of(file, path, &metadata);
        match locked {
            Err(Errno::WOULDBLOCK) => Err(Refused::Locked(store)),
            // Not every file system has locks.
            _ => Ok(store),
        }
    }

    /// A file that has no name and is gone with the last process that knows it.
    pub(super) fn private() -> io::Result<Self> {
        let file = memfd_create("tdrun-journal", MemfdFlags::CLOEXEC)?;
        fcntl_setfl(&file, OFlags::APPEND)?;
        let file = File::from(file);
        let metadata = file.metadata()?;
        let mut store = Self::of(file, PathBuf::new(), &metadata);
        // Also for a process that is forked from this one.
        let number = store.file()?.as_raw_fd();
        store.path = format!("/proc/{}/fd/{number}", std::process::id()).into();
        Ok(store)
    }

    fn of(file: File, path: PathBuf, metadata: &std::fs::Metadata) -> Self {
        Self {
            file: Some(lift(file)),
            path,
            id: (metadata.dev(), metadata.ino()),
            good: metadata.len(),
        }
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| Errno::BADF.into())
    }

    /// All that stands there behind the first so many bytes; from here on what is appended comes behind that.
    pub(super) fn read_from(&mut self, from: u64) -> io::Result<Vec<u8>> {
        let bytes = read(self.file()?, from)?;
        self.good = from + bytes.len() as u64;
        Ok(bytes)
    }

    /// All that stands there, for a look only.
    pub(super) fn peek(&self) -> io::Result<Vec<u8>> {
        read(self.file()?, 0)
    }

    /// The first bytes, at most so many.
    pub(super) fn head(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file()?.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Cuts off what stands behind the first so many bytes.
    pub(super) fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)?;
        self.good = length;
        Ok(())
    }

    /// So many bytes stand there that are good.
    pub(super) fn good(&self) -> u64 {
        self.good
    }

    /// Appends all of that, or nothing.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Wrote {
        let is_closed =
            |error: &io::Error| error.raw_os_error() == Some(Errno::BADF.raw_os_error());
        let mut error = match self.try_append(bytes) {
            Ok(()) => return Wrote::All,
            Err(error) => error,
        };
        let was_closed = is_closed(&error);
        // Who closes one number after the other may come by the new one too, and soon.
        for _ in 0..REOPENED_MOST {
            if is_closed(&error)
                && let Err(error) = self.reopen()
            {
                return Wrote::Nothing(error);
            }
            error = match self.try_append(bytes) {
                Ok(()) if was_closed => return Wrote::Again,
                Ok(()) => return Wrote::All,
                Err(error) if is_closed(&error) => error,
                Err(_) => break,
            };
            thread::yield_now();
        }
        Wrote::Nothing(error)
    }

    /// What was written of it in vain is cut off again.
    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file()?.write_all(bytes) {
            Ok(()) => {
                self.good += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let _ = self.file()?.set_len(self.good);
                Err(error)
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).open(&self.path)?;
        let metadata = file.metadata()?;
        if (metadata.dev(), metadata.ino()) != self.id {
            return Err(io::Error::other("another file stands in its place"));
        }
        let _ = flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive);
        self.good = metadata.len();
        let closed = self.file.replace(lift_anew(file));
        // Its number may be somebody else's by now.
        std::mem::forget(closed);
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // As above: a task may have closed it.
        let closed = self.file.take_if(|file| fcntl_getfd(file.as_fd()).is_err());
        std::mem::forget(closed);
    }
}

/// Locks a file. What is left of a run that was killed may have it locked for a moment, and is waited for.
fn lock(file: &File) -> Result<(), Errno> {
    let start = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            locked => return locked,
        }
    }
}

/// What a file is where it is no regular one.
fn kind(metadata: &std::fs::Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

fn read(file: &File, from: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(from);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < bytes.len() {
        // Not by the place of the file, which other processes share.
        match file.read_at(&mut bytes[read..], from + read as u64) {
            Ok(0) => bytes.truncate(read),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
