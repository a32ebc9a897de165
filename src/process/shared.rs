//! Memory that a process shares with those that it forks, and that outlives each of them.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

/// So many words, all zero. They are never given back. Memory is taken only for what is written to.
///
/// # Panics
/// Where `count` is 0, or more than there are addresses.
pub fn words(count: usize) -> io::Result<&'static [AtomicU64]> {
    let bytes = NonZeroUsize::new(count * size_of::<AtomicU64>()).expect("some words");
    let (readable, shared) = (
        ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE,
    );
    // SAFETY: a new mapping at a place of the system's choice is nobody else's.
    let start = unsafe { mmap_anonymous(None, bytes, readable, shared) }?;
    // SAFETY: so many bytes are mapped there, page-aligned and zero, for as long as the process lives; and they are only
    // touched as atomics.
    Ok(unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), count) })
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
}
