//! The frame of a record: one line that carries its own checksum.
//!
//! Knows nothing of what a record says.

use std::ops::Range;

/// What stands between a record and its checksum.
const CRC: &[u8] = b",\"crc\":\"";
/// What stands behind it.
const END: &[u8] = b"\"}\n";
/// All of the frame: the checksum has eight digits.
const FRAME: usize = CRC.len() + 8 + END.len();

/// Closes the record that begins at `from`: `{"end":{…}` without its last brace.
pub(super) fn seal(text: &mut Vec<u8>, from: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let crc = crc32c::crc32c(&text[from..]);
    text.extend_from_slice(CRC);
    let digit = |place: u32| DIGITS[(crc >> (28 - 4 * place)) as usize & 15];
    text.extend((0..8).map(digit));
    text.extend_from_slice(END);
}

/// The record of a line, with its last brace, where the line is whole.
fn unseal(line: &[u8]) -> Option<String> {
    let record = line.get(..line.len().checked_sub(FRAME)?)?;
    let frame = &line[record.len()..];
    let digits = frame.strip_prefix(CRC)?.strip_suffix(END)?;
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !digits.iter().all(is_digit) {
        return None;
    }
    let crc = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    if crc != crc32c::crc32c(record) {
        return None;
    }
    let mut text = str::from_utf8(record).ok()?.to_owned();
    text.push('}');
    Some(text)
}

/// What became of reading a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// All of it is good.
    Whole,
    /// What begins here is no record, and nothing behind it is.
    Torn(usize),
    /// What stands here is no record, but something behind it is.
    Corrupt(usize),
}

/// Visits the records up to the first that is none: a line that is not whole, or that `visit` does not know.
pub(super) fn each(bytes: &[u8], mut visit: impl FnMut(&str) -> bool) -> Tail {
    let mut lines = lines(bytes);
    for Range { start, end } in &mut lines {
        let record = unseal(&bytes[start..end]);
        if !record.is_some_and(|record| visit(&record)) {
            let is_record = |line: Range<usize>| unseal(&bytes[line]).is_some();
            return if ends_whole(&bytes[start..end]) || lines.any(is_record) {
                Tail::Corrupt(start)
            } else {
                Tail::Torn(start)
            };
        }
    }
    Tail::Whole
}

/// A record stands at the end of a bad line: the end of the one before it was lost. Not looked for in all of a long one.
fn ends_whole(line: &[u8]) -> bool {
    const LOOKED_AT: usize = 16;
    let heads = (1..line.len())
        .rev()
        .filter(|at| line[*at..].starts_with(b"{\""));
    heads
        .take(LOOKED_AT)
        .any(|at| unseal(&line[at..]).is_some())
}

/// The lines with their ends; the last may have none.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n');
        let end = start + length.map_or(rest.len(), |length| length + 1);
        Some(std::mem::replace(&mut start, end)..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(record: &str) -> Vec<u8> {
        let mut text = record.strip_suffix('}').unwrap().as_bytes().to_vec();
        seal(&mut text, 0);
        text
    }

    fn read(bytes: &[u8]) -> (Vec<String>, Tail) {
        let mut records = Vec::new();
        let tail = each(bytes, |record| {
            records.push(record.to_owned());
            true
        });
        (records, tail)
    }

    #[test]
    fn a_record_is_a_line_of_json_that_carries_its_checksum() {
        let line = sealed("{\"a\":1}");
        assert_eq!(line, b"{\"a\":1,\"crc\":\"149cdbb2\"}\n");
        assert_eq!(read(&line), (vec!["{\"a\":1}".into()], Tail::Whole));
        assert_eq!(read(b""), (vec![], Tail::Whole));
    }

    #[test]
    fn what_is_not_whole_ends_the_reading() {
        let (a, b) = (sealed("{\"a\":1}"), sealed("{\"b\":2}"));
        let both = [&a[..], &b].concat();
        for cut in 1..b.len() {
            let (records, tail) = read(&both[..both.len() - cut]);
            assert_eq!(records, ["{\"a\":1}"]);
            assert_eq!(tail, Tail::Torn(a.len()), "{cut}");
        }
        for at in 0..a.len() {
            let mut spoilt = both.clone();
            spoilt[at] ^= 1;
            assert_eq!(read(&spoilt), (vec![], Tail::Corrupt(0)), "{at}");
        }
        let unknown = each(&both, |record| record.contains('b'));
        assert_eq!(unknown, Tail::Corrupt(0));
    }
}
