//! Which addresses of this process can be read, and which hold code: asked before a pointer of a table is followed.
//!
//! Knows nothing of tables. Where `/proc` is missing, every address is taken for good.

use std::cell::Cell;
use std::fs;

/// The memory of this process at one moment.
pub(super) struct Memory {
    readable: Option<Spans>,
    executable: Option<Spans>,
}

impl Memory {
    /// Looks at the process as it is now.
    pub(super) fn now() -> Self {
        match fs::read("/proc/self/maps") {
            Ok(maps) => Self::parse(&maps),
            Err(_) => Self {
                readable: None,
                executable: None,
            },
        }
    }

    /// Takes bytes, since paths may be any.
    fn parse(maps: &[u8]) -> Self {
        let (mut readable, mut executable) = (Spans::default(), Spans::default());
        for (range, permissions) in maps.split(|byte| *byte == b'\n').filter_map(mapping) {
            if permissions.starts_with(b"r") {
                readable.push(range);
            }
            if permissions.get(2) == Some(&b'x') {
                executable.push(range);
            }
        }
        Self {
            readable: Some(readable),
            executable: Some(executable),
        }
    }

    /// Whether `size` bytes from `address` on can be read.
    pub(super) fn is_readable(&self, address: usize, size: usize) -> bool {
        let spans = self.readable.as_ref();
        spans.is_none_or(|spans| spans.contain(address, size))
    }

    /// Whether there is code at `address`.
    pub(super) fn is_executable(&self, address: usize) -> bool {
        let spans = self.executable.as_ref();
        spans.is_none_or(|spans| spans.contain(address, 1))
    }
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

    #[test]
    fn a_range_is_readable_across_neighbours_but_not_across_gaps() {
        let memory = Memory::parse(MAPS);
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
        let memory = Memory::parse(MAPS);
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
        assert!(!memory.is_readable(8, 1));
    }

    #[test]
    fn without_proc_every_address_is_taken_for_good() {
        let memory = Memory {
            readable: None,
            executable: None,
        };
        assert!(memory.is_readable(8, 1) && memory.is_executable(8));
    }
}
