//! Words that processes share, and that outlive each of them.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

/// Never given back.
pub type Words = &'static [AtomicU64];

const RIGHTS: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// So many words, all zero, that this process shares with those that it forks. Memory is taken only for what is written to.
///
/// # Panics
/// Where `count` is 0, or more than there are addresses.
pub fn words(count: usize) -> io::Result<Words> {
    let bytes = NonZeroUsize::new(count * size_of::<AtomicU64>()).expect("some words");
    let shared = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
    // SAFETY: a new mapping at a place of the system's choice is nobody else's.
    let start = unsafe { mmap_anonymous(None, bytes, RIGHTS, shared) }?;
    // SAFETY: so many are mapped there, just now.
    Ok(unsafe { mapped(start.cast(), count) })
}

/// From here on these are words of this process alone, all zero.
pub fn disown(words: Words) -> io::Result<()> {
    let bytes = NonZeroUsize::new(size_of_val(words)).ok_or(io::ErrorKind::InvalidInput)?;
    let start = NonZeroUsize::new(words.as_ptr().addr());
    let private = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED;
    // SAFETY: takes the place of what `words` or `words_of` has mapped there for good; all bits are still numbers.
    unsafe { mmap_anonymous(start, bytes, RIGHTS, private) }?;
    Ok(())
}

/// A file for so many words, for processes that are started and not forked. The limit on the size of files is one here, too.
pub fn file_of_words(count: usize) -> io::Result<OwnedFd> {
    let file = memfd_create(c"words", MFdFlags::MFD_CLOEXEC)?;
    let bytes = count * size_of::<AtomicU64>();
    ftruncate(&file, i64::try_from(bytes).map_err(io::Error::other)?)?;
    Ok(file)
}

/// The words of such a file.
pub fn words_of(file: impl AsFd) -> io::Result<Words> {
    let bytes = usize::try_from(fstat(&file)?.st_size).map_err(io::Error::other)?;
    let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
    // SAFETY: as above. A file that somebody makes shorter ends the process, as much else would.
    let start = unsafe { mmap(None, length, RIGHTS, MapFlags::MAP_SHARED, file, 0) }?;
    // SAFETY: as above.
    Ok(unsafe { mapped(start.cast(), bytes / size_of::<AtomicU64>()) })
}

/// # Safety
/// So many are mapped there for good, and are only touched as atomics. They are aligned, as each mapping begins with a page.
unsafe fn mapped(start: NonNull<AtomicU64>, count: usize) -> Words {
    // SAFETY: by the caller's word; all bits are a number.
    unsafe { std::slice::from_raw_parts(start.as_ptr(), count) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_begin_as_zero_and_can_be_many() {
        let words = words(1 << 27).unwrap();
        assert_eq!(words[(1 << 27) - 1].swap(7, Ordering::Relaxed), 0);
        assert_eq!(words[(1 << 27) - 1].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn words_that_are_disowned_are_nobody_elses() {
        let file = file_of_words(512).unwrap();
        let (one, other) = (words_of(&file).unwrap(), words_of(&file).unwrap());
        one[0].store(7, Ordering::Relaxed);
        disown(one).unwrap();
        assert_eq!(one[0].swap(8, Ordering::Relaxed), 0);
        assert_eq!(other[0].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn words_of_a_file_are_the_same_for_all_who_have_it() {
        let file = file_of_words(512).unwrap();
        let (one, other) = (words_of(&file).unwrap(), words_of(&file).unwrap());
        one[511].store(7, Ordering::Relaxed);
        assert_eq!((other.len(), other[511].load(Ordering::Relaxed)), (512, 7));
    }
}
