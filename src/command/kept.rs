//! What is kept of an output of any length: its beginning and its end.
//!
//! Bytes in, text out.

use std::collections::VecDeque;

/// So many bytes of the beginning, and as many of the end.
const HALF: usize = 8 << 20;

/// An output as far as it is kept.
#[derive(Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Kept {
    /// Adds what comes next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let surplus = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..surplus);
        self.left_out += surplus;
    }

    /// The text; what is not UTF-8 is replaced, and a line says where something is left out.
    pub(super) fn into_text(self) -> String {
        let Self {
            mut head,
            mut tail,
            mut left_out,
        } = self;
        if left_out == 0 {
            head.extend(tail);
            return text(head);
        }
        // A character that the cuts have split is left out whole.
        let split = head.len() - split_character(&head);
        left_out += head.len() - split;
        head.truncate(split);
        let rest = tail.iter().take(3).take_while(|byte| **byte >> 6 == 0b10);
        let rest = rest.count();
        tail.drain(..rest);
        left_out += rest;
        text(head) + &format!("\n[{left_out} bytes left out]\n") + &text(tail.into())
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// How many bytes at the end are the beginning of a character.
fn split_character(bytes: &[u8]) -> usize {
    let end = &bytes[bytes.len().saturating_sub(4)..];
    // From the first byte of the last character on.
    let Some(first) = end.iter().rposition(|byte| byte >> 6 != 0b10) else {
        return 0;
    };
    let last = &end[first..];
    match str::from_utf8(last) {
        Err(error) if error.error_len().is_none() => last.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(parts: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        for part in parts {
            kept.push(part);
        }
        kept.into_text()
    }

    #[test]
    fn all_is_kept_up_to_the_limit() {
        let full = vec![b'a'; 2 * HALF - 1];
        let text = kept(&[&full, b"b"]);
        assert!(text.len() == 2 * HALF && text.ends_with("ab"));
    }

    #[test]
    fn beyond_the_limit_the_beginning_and_the_end_are_kept() {
        let middle = vec![b'x'; 2 * HALF];
        let text = kept(&[b"first", &middle, b"last"]);
        assert!(text.starts_with("firstx") && text.ends_with("xlast"));
        assert!(text.contains("x\n[9 bytes left out]\nx"));
        assert_eq!(text.len(), 2 * HALF + "\n[9 bytes left out]\n".len());
    }

    #[test]
    fn no_character_is_cut_in_two() {
        // Three bytes each: 8 MiB end after the second of one.
        let text = kept(&["日".repeat(3 * HALF / 3 + 1).as_bytes()]);
        assert!(!text.contains('\u{fffd}'));
        assert_eq!(text.chars().filter(|c| *c == '日').count(), 2 * (HALF / 3));
    }

    #[test]
    fn what_is_no_text_is_replaced_and_a_character_may_come_in_parts() {
        assert_eq!(kept(&[b"a\xff\0", b"\xc3", b"\xa9"]), "a\u{fffd}\0é");
    }
}
