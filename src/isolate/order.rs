//! What the runner and the server tell each other: orders one way, reports the other. Each is a message of its own, and
//! names the process that it is about by its nonce.
//!
//! Values in, values out: knows no socket.

use std::time::Duration;

use super::wire::{Reader, Writer};
use crate::process::Status;
use crate::task::{Left, LibraryId, TaskId};

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A task that was loaded.
    Task(TaskId),
    /// One by its name; a template may make it.
    Named(LibraryId, Box<str>),
    /// What a library does before its first task.
    Setup(LibraryId),
    /// And after its last.
    Teardown(LibraryId),
}

/// A process to start. The descriptors come along: its socket, standard output and standard error; and standard input, where
/// it is to have one. Where none come it has those of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Its number in all that is said about it, and the first number of its frames.
    pub(super) nonce: u32,
    /// Where it finds whether it is cancelled.
    pub(super) word: u32,
    pub(super) attempt: u32,
    pub(super) grace: Duration,
    pub(super) what: What,
}

/// What the runner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Start it.
    Start(Order),
    /// Ask it to end.
    Ask(u32),
    /// End it with all that it has started.
    Kill(u32),
    /// The same, as it cannot be talked to: tell also whether it has become another program.
    Break(u32),
    /// Keep none of its descriptors, so that it is seen when nobody has them any more.
    LetGo(u32),
    /// Who of those that it has started is still there.
    WhoIsLeft(u32),
    /// Nothing more will come.
    Leave,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It has ended.
    Ended {
        nonce: u32,
        status: Status,
        /// The system has killed something for lack of memory.
        out_of_memory: bool,
        /// Nobody has its descriptors any more, but for one who keeps them for the next.
        can_go_on: bool,
    },
    /// It cannot be started.
    NotStarted(u32, Box<str>),
    /// A signal has stopped it.
    Stopped(u32, i32),
    /// It goes on.
    Continued(u32),
    /// It runs this program now.
    Became(u32, Box<str>),
    /// These are left.
    Left(u32, Vec<Left>),
}

impl Order {
    pub(super) fn write(&self, out: &mut Writer) {
        out.number(self.nonce)
            .number(self.word)
            .number(self.attempt);
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX);
        out.long(grace);
        match &self.what {
            What::Task(task) => out.byte(0).long(task.index() as u64),
            What::Named(library, name) => out.byte(1).number(library.0).text(name),
            What::Setup(library) => out.byte(2).number(library.0),
            What::Teardown(library) => out.byte(3).number(library.0),
        };
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            nonce: from.number()?,
            word: from.number()?,
            attempt: from.number()?,
            grace: Duration::from_millis(from.long()?),
            what: match from.byte()? {
                0 => What::Task(TaskId::new(usize::try_from(from.long()?).ok()?)),
                1 => What::Named(LibraryId(from.number()?), from.text()?.into()),
                2 => What::Setup(LibraryId(from.number()?)),
                3 => What::Teardown(LibraryId(from.number()?)),
                _ => return None,
            },
        })
    }
}

impl Command {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Start(order) => order.write(out.byte(0)),
            Self::Ask(nonce) => {
                out.byte(1).number(*nonce);
            }
            Self::Kill(nonce) => {
                out.byte(2).number(*nonce);
            }
            Self::WhoIsLeft(nonce) => {
                out.byte(3).number(*nonce);
            }
            Self::Leave => {
                out.byte(4);
            }
            Self::Break(nonce) => {
                out.byte(5).number(*nonce);
            }
            Self::LetGo(nonce) => {
                out.byte(6).number(*nonce);
            }
        }
        out.0
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        Some(match from.byte()? {
            0 => Self::Start(Order::read(&mut from)?),
            1 => Self::Ask(from.number()?),
            2 => Self::Kill(from.number()?),
            3 => Self::WhoIsLeft(from.number()?),
            4 => Self::Leave,
            5 => Self::Break(from.number()?),
            6 => Self::LetGo(from.number()?),
            _ => return None,
        })
    }
}

impl Report {
    /// The process that it is about.
    pub(super) fn nonce(&self) -> u32 {
        match self {
            Self::Ended { nonce, .. }
            | Self::NotStarted(nonce, _)
            | Self::Stopped(nonce, _)
            | Self::Continued(nonce)
            | Self::Became(nonce, _)
            | Self::Left(nonce, _) => *nonce,
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Ended {
                nonce,
                status,
                out_of_memory,
                can_go_on,
            } => {
                out.0 = Self::ended(*nonce, *status, *out_of_memory, *can_go_on).into();
            }
            Self::NotStarted(nonce, why) => {
                out.byte(1).number(*nonce).text(why);
            }
            Self::Stopped(nonce, signal) => {
                out.byte(2).number(*nonce).number(signal.cast_unsigned());
            }
            Self::Continued(nonce) => {
                out.byte(3).number(*nonce);
            }
            Self::Left(nonce, left) => {
                out.byte(4).number(*nonce).long(left.len() as u64);
                for left in left {
                    out.maybe(left.pid, |out, pid| {
                        out.number(pid.cast_unsigned());
                    });
                    out.text(&left.name);
                }
            }
            Self::Became(nonce, program) => {
                out.byte(5).number(*nonce).text(program);
            }
        }
        out.0
    }

    /// The same for the end of a process, as it comes at each of them: without memory of the heap, as who is forked from time
    /// and again pays for each page that it writes to.
    pub(super) fn ended(
        nonce: u32,
        status: Status,
        out_of_memory: bool,
        can_go_on: bool,
    ) -> [u8; 12] {
        let [n0, n1, n2, n3] = nonce.to_le_bytes();
        let (kind, number) = match status {
            Status::Exited(status) => (0, status),
            Status::Killed(signal, core) => (1 + u8::from(core), signal),
        };
        let [s0, s1, s2, s3] = number.to_le_bytes();
        let (out_of_memory, can_go_on) = (out_of_memory.into(), can_go_on.into());
        [
            0,
            n0,
            n1,
            n2,
            n3,
            out_of_memory,
            can_go_on,
            kind,
            s0,
            s1,
            s2,
            s3,
        ]
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let kind = from.byte()?;
        let nonce = from.number()?;
        Some(match kind {
            0 => Self::Ended {
                nonce,
                out_of_memory: from.byte()? != 0,
                can_go_on: from.byte()? != 0,
                status: match from.byte()? {
                    0 => Status::Exited(from.signed()?),
                    core @ 1..=2 => Status::Killed(from.signed()?, core == 2),
                    _ => return None,
                },
            },
            1 => Self::NotStarted(nonce, from.text()?.into()),
            2 => Self::Stopped(nonce, from.signed()?),
            3 => Self::Continued(nonce),
            4 => {
                let count = from.long()?;
                let mut left = Vec::new();
                for _ in 0..count {
                    left.push(Left {
                        pid: from.maybe(Reader::signed)?,
                        name: from.text()?.into(),
                    });
                }
                Self::Left(nonce, left)
            }
            5 => Self::Became(nonce, from.text()?.into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let library = LibraryId(3);
        let whats = [
            What::Task(TaskId::new(7)),
            What::Named(library, "a::b".into()),
            What::Setup(library),
            What::Teardown(library),
        ];
        let starts = whats.map(|what| {
            let grace = Duration::from_millis(1500);
            Command::Start(Order {
                nonce: 1,
                word: 2,
                attempt: 3,
                grace,
                what,
            })
        });
        let others = [
            Command::Ask(1),
            Command::Kill(2),
            Command::WhoIsLeft(3),
            Command::Leave,
            Command::Break(4),
            Command::LetGo(5),
        ];
        for command in starts.into_iter().chain(others) {
            assert_eq!(Command::read(&command.write()), Some(command));
        }
        let statuses = [
            Status::Exited(-1),
            Status::Killed(11, true),
            Status::Killed(9, false),
        ];
        let ends = statuses.map(|status| Report::Ended {
            nonce: 9,
            status,
            out_of_memory: true,
            can_go_on: status == Status::Exited(-1),
        });
        let left = [Some(5), None].map(|pid| Left {
            pid,
            name: "sleep".into(),
        });
        let others = [
            Report::NotStarted(1, "no".into()),
            Report::Stopped(1, 19),
            Report::Continued(1),
            Report::Left(1, left.into()),
            Report::Became(1, "/bin/sh".into()),
        ];
        for report in ends.into_iter().chain(others) {
            assert_eq!(Report::read(&report.write()), Some(report));
        }
    }
}
