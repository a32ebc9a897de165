//! A few numbers that several processes share.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU32;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::ftruncate;

/// Numbers in memory that stays shared with all processes that are forked from this one, or that map the same file. It is
/// never unmapped.
pub struct Words {
    words: &'static [AtomicU32],
    file: OwnedFd,
}

impl Words {
    /// So many, all zero.
    pub fn new(count: NonZeroUsize) -> io::Result<Self> {
        let file = memfd_create(c"words", MFdFlags::MFD_CLOEXEC)?;
        let bytes = count.get() * size_of::<AtomicU32>();
        ftruncate(&file, i64::try_from(bytes).map_err(io::Error::other)?)?;
        Self::of(file)
    }

    /// Those of a file that another process has made.
    pub fn of(file: OwnedFd) -> io::Result<Self> {
        let bytes = nix::sys::stat::fstat(&file)?.st_size;
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, where the system wants it.
        let start = unsafe { mmap(None, length, rights, MapFlags::MAP_SHARED, &file, 0) }?;
        let start: NonNull<AtomicU32> = start.cast();
        let count = bytes / size_of::<AtomicU32>();
        // SAFETY: so much is mapped, for good, at the beginning of a page; all bits are a number, and who else writes there
        // does so with atomics. A file that somebody makes shorter ends the process, as much else would.
        let words = unsafe { slice::from_raw_parts(start.as_ptr(), count) };
        Ok(Self { words, file })
    }

    /// One of them.
    pub fn get(&self, place: usize) -> Option<&'static AtomicU32> {
        self.words.get(place)
    }

    /// The same, where the file has another number now. The one that it had is somebody else's, and is not closed.
    #[must_use]
    pub fn moved_to(self, file: OwnedFd) -> Self {
        std::mem::forget(self.file);
        let words = self.words;
        Self { words, file }
    }

    /// The file, for processes that are started and not forked.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
