//! Processes of tasks that are no copies of one that has loaded the libraries: each is this program again, started in a way
//! that no help tells of. It finds on its socket which library to load and what to run.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use super::child::{Desk, kind};
use super::forker::{SOCKET_OF_TASK, WORDS_OF_TASK};
use super::order::{Order, What};
use super::server::{self, How};
use super::session::Judge;
use super::wire::{HEADER, Header, Reader, Writer};
use crate::error::{Error, Result};
use crate::process::socket::{self, Patience};
use crate::process::{ProcessId, signals};
use crate::task::{Catalog, Ending, Hosts, Level, LibraryId};

/// The first word of such a command line.
const WORD: &str = "@tdrun-process";
/// The nonce of the first frame, when a process knows no other.
const GREETING: u32 = 0x7464_7275;
/// Where descriptors are put that are handed on.
const ASIDE: i32 = 20;

/// What such processes need to know.
pub(super) struct Fresh {
    /// By library: where it is, and how the user calls it.
    pub(super) libraries: Vec<(PathBuf, String)>,
    /// What is logged.
    pub(super) level: Option<Level>,
    /// The records decide where something else stands between.
    pub(super) judge: Judge,
    /// What stands between; may be empty.
    pub(super) command: Box<str>,
    /// Standard input, output and error of a process that is looked into.
    pub(super) terminal: Option<[OwnedFd; 3]>,
}

impl Fresh {
    /// Puts on the socket what the process will look for.
    pub(super) fn greet(&self, socket: &OwnedFd, order: &Order) -> io::Result<()> {
        let library = match &order.what {
            What::Named(library, _) | What::Setup(library) | What::Teardown(library) => *library,
            What::Task(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let (path, shown) = &self.libraries[library.index()];
        // It loads that one alone.
        let library = LibraryId(0);
        let what = match &order.what {
            What::Named(_, name) => What::Named(library, name.clone()),
            What::Setup(_) => What::Setup(library),
            _ => What::Teardown(library),
        };
        let order = Order {
            what,
            ..order.clone()
        };
        let mut out = Writer::framed();
        out.bytes(path.as_os_str().as_bytes()).text(shown);
        out.byte(self.level.map_or(0, |level| level as u8 + 1));
        order.write(&mut out);
        socket::send_all(socket.as_fd(), &out.frame(GREETING))
    }
}

/// Starts the server as a program, which starts each process with these words.
pub(super) fn start_server(
    control: &OwnedFd,
    words: &OwnedFd,
    mut prefix: Vec<String>,
) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or(io::ErrorKind::InvalidInput)
    };
    prefix.extend([text(&program)?, WORD.to_owned()]);
    let control = crate::process::hand_on(control, ASIDE)?;
    let words = crate::process::hand_on(words, ASIDE)?;
    let mut command = process::Command::new("/proc/self/exe");
    command.arg0("tdrun-server").arg(WORD);
    let numbers = [
        control.as_raw_fd(),
        words.as_raw_fd(),
        process::id().cast_signed(),
    ];
    command
        .args(numbers.map(|number| number.to_string()))
        .args(prefix);
    command.spawn().map(drop)
}

/// What the command line of such a process asks for; nothing where it is one of a user.
pub struct Hidden(Vec<OsString>);

impl Hidden {
    /// Looks at the command line, program name first.
    pub fn find(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut words = words.into_iter().skip(1);
        (words.next()? == WORD).then(|| Self(words.collect()))
    }

    /// Does it, and ends the process. `load` loads one library: its path, how the user calls it, and what is logged; after
    /// that `at_end` tells what is to be called when the task has ended. Comes back where this was not started by tdrun.
    pub fn run(
        self,
        load: impl FnOnce(&Path, &str, Option<Level>) -> Result<Catalog>,
        at_end: fn() -> Option<fn()>,
    ) -> Error {
        let texts: Option<Vec<String>> = self
            .0
            .into_iter()
            .map(|word| word.into_string().ok())
            .collect();
        let ran = match texts.as_deref() {
            Some([]) => task(load, at_end),
            Some([control, words, parent, prefix @ ..]) if !prefix.is_empty() => {
                serve([control, words, parent], prefix)
            }
            _ => None,
        };
        debug_assert!(ran.is_none());
        Error::new("usage.internal", format!("`{WORD}` is for tdrun itself"))
            .hint("`tdrun -h` shows what is for people")
    }
}

/// Never some.
fn serve(numbers: [&String; 3], prefix: &[String]) -> Option<()> {
    let [control, words, parent] = numbers.map(|number| number.parse::<i32>().ok());
    let control = socket::inherited(control?).ok()?;
    let words = socket::inherited(words?).ok()?;
    let parent = ProcessId::from_raw(parent?);
    server::serve(How::Start(prefix.to_vec(), words), control, parent)
}

/// Never some.
fn task(
    load: impl FnOnce(&Path, &str, Option<Level>) -> Result<Catalog>,
    at_end: fn() -> Option<fn()>,
) -> Option<()> {
    let socket = socket::inherited(SOCKET_OF_TASK).ok()?;
    let words = crate::process::words_of(socket::inherited(WORDS_OF_TASK).ok()?).ok()?;
    let mut header = [0; HEADER];
    fill(&socket, &mut header)?;
    let header = Header::read(&header, GREETING)?;
    let mut body = vec![0; header.length];
    fill(&socket, &mut body)?;
    if !header.fits(&body) {
        return None;
    }
    let mut from = Reader(&body);
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(from.bytes()?));
    let shown = from.text()?;
    let level = match from.byte()? {
        0 => None,
        level => Some(*Level::ALL.get(usize::from(level) - 1)?),
    };
    let order = Order::read(&mut from)?;
    let say = |kind: u8, ending: Option<&Ending>| {
        let mut out = Writer::framed();
        out.byte(kind);
        if let Some(ending) = ending {
            out.ending(ending);
        }
        // Who does not listen any more ends this process.
        let _ = socket::send_all(socket.as_fd(), &out.frame(order.nonce));
    };
    // What tdrun has set up for itself so far is not for a task.
    signals::reset();
    signals::let_through();
    say(kind::BEGUN, None);
    match load(&path, shown, level) {
        Ok(catalog) => {
            std::mem::forget(socket); // from here on it goes by its number
            let desk = Desk::new(Box::leak(Box::new(catalog)), words, at_end());
            let hosts: Arc<dyn Hosts> = Arc::clone(&desk) as _;
            desk.run(&hosts, &order)
        }
        Err(error) => {
            say(kind::ENDED, Some(&Ending::failed(error.to_string())));
            crate::process::end(0)
        }
    }
}

fn fill(socket: &OwnedFd, mut buffer: &mut [u8]) -> Option<()> {
    while !buffer.is_empty() {
        match socket::receive(socket.as_fd(), buffer, Patience::Wait) {
            Ok(bytes @ 1..) => buffer = &mut buffer[bytes..],
            Ok(0) | Err(_) => return None,
        }
    }
    Some(())
}
