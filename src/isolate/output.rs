//! What a task writes: kept up to a limit, or handed on line by line.

use std::collections::VecDeque;

use crate::task::Written;

/// So many bytes of the beginning are kept, and as many of the end.
const HALF: usize = 8 << 20;
/// Bytes of a line; what is longer becomes several.
const LINE_MAX: usize = 64 << 10;

/// A channel as far as it is kept.
#[derive(Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Kept {
    /// Adds what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..surplus);
        self.cut += surplus as u64;
    }

    /// All that was written.
    pub(super) fn take(&mut self) -> Written {
        let Self {
            mut head,
            tail,
            cut,
        } = std::mem::take(self);
        let mut tail = Vec::from(tail);
        if cut == 0 {
            head.append(&mut tail);
        }
        Written { head, cut, tail }
    }
}

/// Lines of a channel.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Tells the lines that are complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.fill(&bytes[..at], &mut tell);
            bytes = &bytes[at + 1..];
            tell(&std::mem::take(&mut self.0));
        }
        self.fill(bytes, &mut tell);
    }

    fn fill(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(&[u8])) {
        while self.0.len() + bytes.len() > LINE_MAX {
            let (first, rest) = bytes.split_at(LINE_MAX - self.0.len());
            self.0.extend_from_slice(first);
            tell(&std::mem::take(&mut self.0));
            bytes = rest;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Tells the last one, which had no end.
    pub(super) fn end(&mut self, tell: impl FnOnce(&[u8])) {
        let line = std::mem::take(&mut self.0);
        if !line.is_empty() {
            tell(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_kept_up_to_the_limit_and_beyond_it_the_beginning_and_the_end() {
        let mut kept = Kept::default();
        let block = vec![b'a'; 1 << 20];
        for _ in 0..16 {
            kept.push(&block);
        }
        let written = kept.take();
        assert_eq!(
            (written.head.len(), written.cut, written.tail.len()),
            (2 * HALF, 0, 0)
        );
        for _ in 0..17 {
            kept.push(&block);
        }
        kept.push(b"end");
        let written = kept.take();
        assert_eq!((written.head.len(), written.tail.len()), (HALF, HALF));
        assert_eq!(written.cut, (1 << 20) + 3);
        assert!(written.tail.ends_with(b"aend"));
    }

    #[test]
    fn lines_are_told_whole_and_those_without_an_end_too() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        for piece in ["a", "b\n\nc", "\r\nd"] {
            lines.push(piece.as_bytes(), |line| told.push(line.to_vec()));
        }
        lines.end(|line| told.push(line.to_vec()));
        assert_eq!(told, [&b"ab"[..], b"", b"c\r", b"d"]);
        told.clear();
        lines.push(&vec![b'x'; 2 * LINE_MAX + 1], |line| {
            told.push(line.to_vec());
        });
        lines.push(b"\n", |line| told.push(line.to_vec()));
        assert_eq!(
            told.iter().map(Vec::len).collect::<Vec<_>>(),
            [LINE_MAX, LINE_MAX, 1]
        );
    }
}
