//! Which addresses of this process can be read, and which hold code: asked before a pointer of a table is followed.
//!
//! Knows nothing of tables. Where `/proc` is missing, every address is taken for good.
#![allow(unsafe_code)]

use std::cell::{Cell, OnceCell};
use std::fs;

/// The memory of this process.
pub(super) struct Memory {
    /// The segments of the libraries that are loaded, where most tables lie: the loader knows them.
    segments: Regions,
    /// All that is mapped: to ask the system takes longer, so only when the segments do not answer. None where it does not
    /// tell.
    mappings: OnceCell<Option<Regions>>,
}

impl Memory {
    /// Looks at the process as it is now.
    pub(super) fn now() -> Self {
        Self {
            segments: segments(),
            mappings: OnceCell::new(),
        }
    }

    /// Whether `size` bytes from `address` on can be read.
    pub(super) fn is_readable(&self, address: usize, size: usize) -> bool {
        self.any(|regions| regions.readable.contain(address, size))
    }

    /// Whether there is code at `address`.
    pub(super) fn is_executable(&self, address: usize) -> bool {
        self.any(|regions| regions.executable.contain(address, 1))
    }

    fn any(&self, contain: impl Fn(&Regions) -> bool) -> bool {
        // Who was led beyond the segments once will be so again.
        if self.mappings.get().is_none() && contain(&self.segments) {
            return true;
        }
        let mappings = self.mappings.get_or_init(mappings).as_ref();
        mappings.is_none_or(contain)
    }
}

#[derive(Default)]
struct Regions {
    readable: Spans,
    executable: Spans,
}

impl Regions {
    /// Takes the lines of `/proc/self/maps`; bytes, since paths may be any.
    fn parse(maps: &[u8]) -> Self {
        let mut regions = Self::default();
        for (span, permissions) in maps.split(|byte| *byte == b'\n').filter_map(mapping) {
            if permissions.starts_with(b"r") {
                regions.readable.push(span);
            }
            if permissions.get(2) == Some(&b'x') {
                regions.executable.push(span);
            }
        }
        regions
    }
}

fn mappings() -> Option<Regions> {
    let maps = fs::read("/proc/self/maps").ok()?;
    Some(Regions::parse(&maps))
}

#[cfg(target_os = "linux")]
fn segments() -> Regions {
    use std::ffi::{c_int, c_void};

    type Segments = Vec<(Span, u32)>;

    unsafe extern "C" fn collect(
        object: *mut libc::dl_phdr_info,
        _: usize,
        all: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader hands over a valid description, and what it was given below; the headers are those of a
        // library that it has loaded.
        let (object, all, headers) = unsafe {
            let object = &*object;
            let count = usize::from(object.dlpi_phnum);
            let headers = std::slice::from_raw_parts(object.dlpi_phdr, count);
            (object, &mut *all.cast::<Segments>(), headers)
        };
        for header in headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD)
        {
            let start = object.dlpi_addr.wrapping_add(header.p_vaddr);
            let end = start.wrapping_add(header.p_memsz);
            if let (Ok(start), Ok(end)) = (start.try_into(), end.try_into()) {
                all.push(((start, end), header.p_flags));
            }
        }
        0
    }

    let mut all = Segments::new();
    // SAFETY: `collect` takes what it is given here, and keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut all).cast()) };
    all.sort_unstable();
    let mut regions = Regions::default();
    for (span, flags) in all {
        if flags & libc::PF_R != 0 {
            regions.readable.push(span);
        }
        if flags & libc::PF_X != 0 {
            regions.executable.push(span);
        }
    }
    regions
}

#[cfg(not(target_os = "linux"))]
fn segments() -> Regions {
    Regions::default()
}

/// First address, and the one behind the last.
type Span = (usize, usize);

/// Ranges of addresses, in order, neighbours joined.
#[derive(Default)]
struct Spans {
    spans: Vec<Span>,
    /// Where the last question was answered: the next is likely to be about the same range.
    last: Cell<usize>,
}

impl Spans {
    /// Adds one behind all others.
    fn push(&mut self, (start, end): Span) {
        match self.spans.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.spans.push((start, end)),
        }
    }

    fn contain(&self, address: usize, size: usize) -> bool {
        let Some(end) = address.checked_add(size) else {
            return false;
        };
        let inside = |&(first, behind): &Span| first <= address && end <= behind;
        if self.spans.get(self.last.get()).is_some_and(inside) {
            return true;
        }
        let behind = self.spans.partition_point(|&(first, _)| first <= address);
        let Some(index) = behind.checked_sub(1) else {
            return false;
        };
        self.last.set(index);
        inside(&self.spans[index])
    }
}

/// `7f0000001000-7f0000002000 r-xp …` as two addresses and the permissions.
fn mapping(line: &[u8]) -> Option<(Span, &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let (start, end) = str::from_utf8(words.next()?).ok()?.split_once('-')?;
    let parse = |text| usize::from_str_radix(text, 16).ok();
    Some(((parse(start)?, parse(end)?), words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
1000-2000 r--p 00000000 fe:00 1 /a
2000-3000 r-xp 00001000 fe:00 1 /a
3000-4000 ---p 00000000 00:00 0
5000-6000 rw-p 00000000 00:00 0 [heap]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
";

    fn mapped(mappings: Option<Regions>) -> Memory {
        Memory {
            segments: Regions::default(),
            mappings: mappings.into(),
        }
    }

    #[test]
    fn a_range_is_readable_across_neighbours_but_not_across_gaps() {
        let memory = mapped(Some(Regions::parse(MAPS)));
        for (address, size, readable) in [
            (0x1000, 0x2000, true),
            (0x1fff, 2, true),
            (0x1000, 0x2001, false),
            (0x0fff, 1, false),
            (0x3000, 1, false),
            (0x5000, 0x1000, true),
            (0x5fff, 1, true),
            (0x5fff, 2, false),
            (0x6000, 1, false),
            (0, 0x7000, false),
            (usize::MAX, 1, false),
            (usize::MAX, 2, false),
        ] {
            assert_eq!(
                memory.is_readable(address, size),
                readable,
                "{address:#x} {size:#x}"
            );
        }
    }

    #[test]
    fn code_is_where_it_can_be_executed() {
        let memory = mapped(Some(Regions::parse(MAPS)));
        assert!(memory.is_executable(0x2abc));
        assert!(!memory.is_executable(0x1abc));
        assert!(!memory.is_executable(0x5000));
    }

    #[test]
    fn this_process_can_read_itself() {
        let memory = Memory::now();
        let text = "in the data of this program";
        assert!(memory.is_readable(text.as_ptr().addr(), text.len()));
        assert!(memory.is_executable((Memory::now as fn() -> Memory) as usize));
        assert!(cfg!(not(target_os = "linux")) || memory.mappings.get().is_none());
        let on_the_heap = Box::new(1_u64);
        assert!(memory.is_readable((&raw const *on_the_heap).addr(), 8));
        assert!(!memory.is_readable(8, 1));
    }

    #[test]
    fn without_proc_every_address_is_taken_for_good() {
        let memory = mapped(None);
        assert!(memory.is_readable(8, 1) && memory.is_executable(8));
    }
}
