//! The words that runner, server and task processes exchange, as bytes; and frames, in which they stand on a stream.
//!
//! Values in, values out: knows no socket.

#![allow(
    clippy::option_option,
    reason = "none: it cannot be read; some none: there is no value"
)]

use crate::task::{Declined, Ending, Failure, Json, Level, Place, Progress, Record, Refused};

/// Bytes that a frame may have: the largest value that a task may hand over, twice, and what stands around it.
const FRAME_MAX: usize = (2 * 64 + 1) << 20;
/// The nonce, the length and the sum of what follows.
pub(super) const HEADER: usize = 12;

/// Bytes in the making.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// A frame, whose header is filled in by [`Writer::frame`].
    pub(super) fn framed() -> Self {
        Self(vec![0; HEADER])
    }

    /// The frame, complete.
    pub(super) fn frame(mut self, nonce: u32) -> Vec<u8> {
        let body = &self.0[HEADER..];
        // What is longer than a frame may be is longer than u32 says, or not; the other side refuses both.
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let sum = sum(body);
        let header = [nonce, length, sum].map(u32::to_le_bytes);
        self.0[..HEADER].copy_from_slice(header.as_flattened());
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(super) fn number(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn long(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.long(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn maybe<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T),
    ) -> &mut Self {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    pub(super) fn json(&mut self, value: Option<&Json>) -> &mut Self {
        self.maybe(value, |out, value| {
            out.text(value);
        })
    }

    fn place(&mut self, place: Option<&Place>) -> &mut Self {
        self.maybe(place, |out, place| {
            out.text(&place.file).number(place.line);
        })
    }

    fn failure(&mut self, failure: &Failure) -> &mut Self {
        self.text(&failure.message).place(failure.place.as_ref())
    }

    pub(super) fn record(&mut self, record: &Record) -> &mut Self {
        self.byte(record.level as u8)
            .text(&record.target)
            .text(&record.message);
        self.place(record.place.as_ref())
    }

    pub(super) fn progress(&mut self, progress: &Progress) -> &mut Self {
        self.long(progress.done)
            .long(progress.total)
            .text(&progress.what)
    }

    pub(super) fn ending(&mut self, ending: &Ending) -> &mut Self {
        match ending {
            Ending::Passed(result) => self.byte(0).json(result.as_ref()),
            Ending::Failed(failure) => self.byte(1).failure(failure),
            Ending::Skipped(why) => self.byte(2).text(why),
            Ending::Exited {
                crashed,
                failure,
                result,
            } => self
                .byte(3)
                .byte(u8::from(*crashed))
                .failure(failure)
                .json(result.as_ref()),
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> &mut Self {
        match answer {
            Answer::Value(value) => self.byte(0).json(value.as_ref()),
            Answer::Done => self.byte(1),
            Answer::Declined(declined) => self
                .byte(2)
                .byte(place_of(declined.refused))
                .text(&declined.why),
        }
    }
}

/// What the runner says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A value, or that there is none.
    Value(Option<Json>),
    /// It is done.
    Done,
    /// It is not.
    Declined(Declined),
}

const REFUSALS: [Refused; 9] = [
    Refused::NotFound,
    Refused::Denied,
    Refused::Changed,
    Refused::Deadlock,
    Refused::Cancelled,
    Refused::Stale,
    Refused::Argument,
    Refused::Failed,
    Refused::Limit,
];

fn place_of(refused: Refused) -> u8 {
    let place = REFUSALS.iter().position(|other| *other == refused);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(u8::MAX)
}

impl From<Result<(), Refused>> for Answer {
    fn from(result: Result<(), Refused>) -> Self {
        // Without the words that a conversion would add.
        result
            .map_err(|refused| Declined {
                refused,
                why: String::new(),
            })
            .into()
    }
}

impl From<Result<(), Declined>> for Answer {
    fn from(result: Result<(), Declined>) -> Self {
        result.map_or_else(Self::Declined, |()| Self::Done)
    }
}

/// Reads what a [`Writer`] has written; none where it is something else.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn signed(&mut self) -> Option<i32> {
        self.number().map(u32::cast_signed)
    }

    pub(super) fn long(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    pub(super) fn json(&mut self) -> Option<Option<Json>> {
        self.maybe(|from| from.text().map(Into::into))
    }

    fn place(&mut self) -> Option<Option<Place>> {
        self.maybe(|from| {
            let file = from.text()?.into();
            let line = from.number()?;
            Some(Place { file, line })
        })
    }

    fn failure(&mut self) -> Option<Failure> {
        let message = self.text()?.into();
        let place = self.place()?;
        Some(Failure { message, place })
    }

    pub(super) fn record(&mut self) -> Option<Record> {
        Some(Record {
            level: *Level::ALL.get(usize::from(self.byte()?))?,
            target: self.text()?.into(),
            message: self.text()?.into(),
            place: self.place()?,
        })
    }

    pub(super) fn progress(&mut self) -> Option<Progress> {
        Some(Progress {
            done: self.long()?,
            total: self.long()?,
            what: self.text()?.into(),
        })
    }

    pub(super) fn ending(&mut self) -> Option<Ending> {
        Some(match self.byte()? {
            0 => Ending::Passed(self.json()?),
            1 => Ending::Failed(self.failure()?),
            2 => Ending::Skipped(self.text()?.into()),
            3 => Ending::Exited {
                crashed: self.byte()? != 0,
                failure: self.failure()?,
                result: self.json()?,
            },
            _ => return None,
        })
    }

    pub(super) fn answer(&mut self) -> Option<Answer> {
        Some(match self.byte()? {
            0 => Answer::Value(self.json()?),
            1 => Answer::Done,
            2 => Answer::Declined(Declined {
                refused: *REFUSALS.get(usize::from(self.byte()?))?,
                why: self.text()?.into(),
            }),
            _ => return None,
        })
    }
}

/// A header: how long what follows is, and its sum.
pub(super) struct Header {
    pub(super) length: usize,
    sum: u32,
}

impl Header {
    /// None where it is none, or not of this nonce, or announces too much.
    pub(super) fn read(bytes: &[u8; HEADER], nonce: u32) -> Option<Self> {
        let mut from = Reader(bytes);
        let right = from.number()? == nonce;
        let length = usize::try_from(from.number()?).ok()?;
        let sum = from.number()?;
        (right && length <= FRAME_MAX).then_some(Self { length, sum })
    }

    /// This is what was announced.
    pub(super) fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.length && sum(body) == self.sum
    }
}

/// Takes frames off the beginning of bytes that come in pieces.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    start: usize,
}

/// What stands at the beginning.
pub(super) enum Next {
    /// A frame: its body.
    Frame(Vec<u8>),
    /// The beginning of one, or nothing.
    Part,
    /// Something else.
    Garbage,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        self.bytes.shrink_to(1 << 16);
    }

    pub(super) fn next(&mut self, nonce: u32) -> Next {
        let Some((header, rest)) = self.bytes[self.start..].split_first_chunk::<HEADER>() else {
            return Next::Part;
        };
        let Some(header) = Header::read(header, nonce) else {
            return Next::Garbage;
        };
        let Some(body) = rest.get(..header.length) else {
            return Next::Part;
        };
        if !header.fits(body) {
            return Next::Garbage;
        }
        let body = body.to_vec();
        self.start += HEADER + header.length;
        Next::Frame(body)
    }
}

/// Enough to tell a frame from what was written by mistake.
fn sum(bytes: &[u8]) -> u32 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    let start = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    let sum = words.chain(rest).fold(start, |sum, word| {
        let mixed = (sum ^ word).wrapping_mul(PRIME);
        mixed ^ mixed >> 32
    });
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the half is what is wanted"
    )]
    let half = sum as u32;
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            file: "x.c".into(),
            line: 7,
        }
    }

    fn endings() -> Vec<Ending> {
        let failure = Failure {
            message: "no\nway".into(),
            place: Some(place()),
        };
        vec![
            Ending::Passed(None),
            Ending::Passed(Some("[1,2]".into())),
            Ending::failed(""),
            Ending::Failed(failure.clone()),
            Ending::Skipped("rain".into()),
            Ending::Exited {
                crashed: true,
                failure,
                result: Some("1".into()),
            },
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        for ending in endings() {
            let mut out = Writer::default();
            out.ending(&ending);
            let mut from = Reader(&out.0);
            assert_eq!((from.ending(), from.0.len()), (Some(ending), 0));
        }
        let refusals = REFUSALS.iter().map(|refused| {
            let why = format!("{refused:?}");
            Answer::Declined(Declined {
                refused: *refused,
                why,
            })
        });
        let values = [
            Answer::Value(None),
            Answer::Value(Some("\"x\"".into())),
            Answer::Done,
        ];
        for answer in refusals.chain(values) {
            let mut out = Writer::default();
            out.answer(&answer);
            assert_eq!(Reader(&out.0).answer(), Some(answer));
        }
        for level in Level::ALL {
            let record = Record {
                level,
                target: "t".into(),
                message: "é".into(),
                place: Some(place()),
            };
            let mut out = Writer::default();
            out.record(&record);
            assert_eq!(Reader(&out.0).record(), Some(record));
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        for ending in endings() {
            let mut out = Writer::default();
            out.ending(&ending);
            for length in 0..out.0.len() {
                assert_eq!(Reader(&out.0[..length]).ending(), None);
            }
        }
    }

    #[test]
    fn frames_come_in_pieces_and_garbage_is_seen() {
        let mut bytes = Vec::new();
        for text in ["", "one", "two and more"] {
            let mut out = Writer::framed();
            out.text(text);
            bytes.extend(out.frame(5));
        }
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for byte in &bytes {
            frames.push(&[*byte]);
            while let Next::Frame(body) = frames.next(5) {
                found.push(Reader(&body).text().unwrap().to_owned());
            }
        }
        assert_eq!(found, ["", "one", "two and more"]);
        // Any byte that is another one is seen, by the header or by the sum; at the latest when all has come.
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 4;
            let (mut frames, mut count) = (Frames::default(), 0);
            frames.push(&wrong);
            while let Next::Frame(_) = frames.next(5) {
                count += 1;
            }
            assert!(count < 3, "{at}");
        }
    }
}
