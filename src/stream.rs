//! Checked streams: standard output and error that report what std hides, and outlive a task that closes descriptors.
//!
//! Knows descriptors, terminals and the environment's word on colour; nothing of tdrun.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// Where our descriptors start: out of the way of those that a library guesses at or closes in a loop. The first of these
/// that the limit on open files allows.
const FIRST_DESCRIPTORS: [i32; 4] = [4096, 512, 200, 3];
/// What is written without a flush stays in memory up to this many bytes.
const BUFFER: usize = 1 << 15;
/// Widths beyond this are somebody's joke.
const WIDEST: usize = 1000;

/// A buffered stream whose write errors are seen. A reader who left is no error: the stream turns silent.
///
/// A handle: clones write to the same stream. Nothing is flushed but by [`Stream::flush`] and a full buffer.
#[derive(Clone, Debug)]
pub struct Stream(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    sink: Sink,
    pending: Vec<u8>,
}

#[derive(Debug)]
enum Sink {
    Open(Held),
    /// Nobody reads: what is written is dropped.
    Closed,
    /// The descriptor could not be had.
    Unusable(Errno),
}

impl Stream {
    /// Standard output, on a descriptor of its own.
    pub fn stdout() -> Self {
        Self::duplicate(rustix::stdio::stdout())
    }

    /// Standard error, on a descriptor of its own.
    pub fn stderr() -> Self {
        Self::duplicate(rustix::stdio::stderr())
    }

    /// A stream to an open file, pipe or device.
    pub fn to(file: File) -> Self {
        Self::new(Sink::Open(Held::new(file, None)))
    }

    /// A descriptor that was closed at start is `/dev/null` by now (std sees to it), and one closed since is nobody's to read.
    fn duplicate(descriptor: BorrowedFd<'_>) -> Self {
        Self::new(match copy_high(descriptor) {
            Ok(copy) => Sink::Open(Held::of(copy.into(), Some(descriptor.as_raw_fd()))),
            Err(Errno::BADF) => Sink::Closed,
            Err(errno) => Sink::Unusable(errno),
        })
    }

    fn new(sink: Sink) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            sink,
            pending: Vec::new(),
        })))
    }

    /// Writes text, sooner or later.
    pub fn print(&self, text: &str) -> io::Result<()> {
        self.lock().write(text.as_bytes())
    }

    /// Writes text now.
    pub fn print_now(&self, text: &str) -> io::Result<()> {
        self.lock().write_now(text.as_bytes())
    }

    /// Writes all that is pending. What could not be written is dropped, so that it is reported once.
    pub fn flush(&self) -> io::Result<()> {
        self.lock().flush()
    }

    /// Nobody reads any more, or ever did.
    pub fn is_closed(&self) -> bool {
        matches!(self.lock().sink, Sink::Closed)
    }

    /// A person may be looking.
    pub fn is_terminal(&self) -> bool {
        match &self.lock().sink {
            Sink::Open(file) => file.is_terminal(),
            _ => false,
        }
    }

    /// A terminal that can move its cursor, and so can show a live display.
    pub fn is_live_terminal(&self) -> bool {
        self.is_terminal() && term_can_move(std::env::var_os("TERM").as_ref())
    }

    /// Whether to write colours.
    pub fn is_colored(&self, choice: ColorChoice) -> bool {
        choice.decide(self.is_terminal(), |name| std::env::var_os(name))
    }

    /// Columns of the terminal; never 0.
    pub fn width(&self) -> usize {
        let columns = std::env::var("COLUMNS").ok();
        width(self.size().map(|(columns, _)| columns), columns.as_deref())
    }

    /// Lines of the terminal; never 0.
    pub fn height(&self) -> usize {
        match self.size() {
            Some((_, rows)) if rows > 0 => usize::from(rows),
            _ => 24,
        }
    }

    fn size(&self) -> Option<(u16, u16)> {
        match &self.lock().sink {
            Sink::Open(file) => rustix::termios::tcgetwinsize(&**file)
                .ok()
                .map(|size| (size.ws_col, size.ws_row)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if matches!(self.sink, Sink::Closed) {
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < BUFFER {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        let written = self.put(&pending);
        pending.clear();
        self.pending = pending;
        written
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.pending.is_empty() {
            return self.put(bytes);
        }
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match &mut self.sink {
            Sink::Closed => Ok(()),
            Sink::Unusable(errno) => Err((*errno).into()),
            Sink::Open(file) => match file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.sink = Sink::Closed;
                    Ok(())
                }
                other => other,
            },
        }
    }
}

/// Lines on their way to a stream, gathered by one owner and so without a lock for each. They are written together, when there
/// are many or by [`Batch::flush`]; none is ever torn apart.
#[derive(Debug)]
pub struct Batch {
    stream: Stream,
    lines: String,
}

impl Batch {
    /// Nothing yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            lines: String::new(),
        }
    }

    /// Where they go.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Lets whole lines be added.
    pub fn add(&mut self, tell: impl FnOnce(&mut String)) -> io::Result<()> {
        tell(&mut self.lines);
        if self.lines.len() < BUFFER {
            return Ok(());
        }
        self.flush()
    }

    /// Writes all there are. What could not be written is dropped, so that it is reported once.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.stream.print_now(&self.lines);
        self.lines.clear();
        written
    }
}

/// How often a file is opened again for one write.
pub const REOPENED_MOST: usize = 1000;

/// A file of ours whose descriptor a library may close, which has not opened it. It is opened again where it can be found, and
/// what is somebody else's by then is not closed.
#[derive(Debug)]
pub struct Held {
    /// None only when it is dropped.
    file: Option<File>,
    /// Which file that is.
    id: Option<(u64, u64)>,
    /// Where it may be found again.
    paths: [Option<PathBuf>; 2],
}

impl Held {
    /// Out of the way of libraries. `shared` is the number that the file has in the process that this one was forked from,
    /// where that has it too.
    pub fn new(file: File, shared: Option<i32>) -> Self {
        Self::of(lift(file), shared)
    }

    fn of(file: File, shared: Option<i32>) -> Self {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let shared = shared.map(|number| format!("/proc/{}/fd/{number}", parent_id()).into());
        Self {
            id: id(&file),
            file: Some(file),
            paths: [path.ok(), shared],
        }
    }

    /// It is still there.
    pub fn is_there(&self) -> bool {
        self.id.is_some() && self.file.as_ref().and_then(id) == self.id
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Who closes one number after the other may come by the new one too, and soon.
        for _ in 0..REOPENED_MOST {
            let file = self.file.as_mut().ok_or(Errno::BADF)?;
            match write_whole(file, bytes) {
                Err(error) if is_bad(&error) && !self.is_there() && self.reopen() => {
                    thread::yield_now();
                }
                wrote => return wrote,
            }
        }
        Err(Errno::BADF.into())
    }

    fn reopen(&mut self) -> bool {
        let open = |path: &PathBuf| File::options().append(true).open(path).ok();
        let mut found = self.paths.iter().flatten().filter_map(open);
        let Some(file) = found.find(|file| id(file) == self.id) else {
            return false;
        };
        // Its number may be somebody else's by now.
        std::mem::forget(self.file.replace(lift_anew(file)));
        true
    }
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_there() {
            std::mem::forget(self.file.take());
        }
    }
}

/// Which file that is; none where the descriptor is none.
fn id(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_bad(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADF.raw_os_error())
}

/// Moves a descriptor out of the way of libraries that close what they have not opened.
pub fn lift<T: AsFd + From<OwnedFd>>(owner: T) -> T {
    copy_high(owner.as_fd()).map_or(owner, T::from)
}

/// The same, in place of one that somebody has closed, and others of ours with it: it gets a number that none of those had.
pub fn lift_anew<T: AsFd + From<OwnedFd>>(owner: T) -> T {
    let first = HIGHEST.load(Ordering::Relaxed) + 1;
    match fcntl_dupfd_cloexec(owner.as_fd(), first) {
        Ok(copy) => {
            HIGHEST.fetch_max(copy.as_raw_fd(), Ordering::Relaxed);
            T::from(copy)
        }
        Err(_) => lift(owner),
    }
}

/// The highest number that was given.
static HIGHEST: AtomicI32 = AtomicI32::new(0);

fn copy_high(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut copy = Err(Errno::INVAL);
    for first in FIRST_DESCRIPTORS {
        copy = fcntl_dupfd_cloexec(descriptor, first);
        if let Ok(copy) = &copy {
            HIGHEST.fetch_max(copy.as_raw_fd(), Ordering::Relaxed);
        }
        // Above the limit, or none left up there.
        if !matches!(copy, Err(Errno::INVAL | Errno::MFILE)) {
            break;
        }
    }
    copy
}

/// As `write_all`, but a descriptor that someone else made non-blocking is waited for.
fn write_whole(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_until_writable(file)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_until_writable(file: &File) -> io::Result<()> {
    let mut descriptors = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
    match poll(&mut descriptors, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What the user wants of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// Where they can be seen.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl ColorChoice {
    /// The flag decides, then `NO_COLOR`, then `CLICOLOR_FORCE`, then whether a terminal can show them.
    fn decide(self, is_terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> bool {
        let is_set = |name| env(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if env("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0") => true,
            Self::Auto => is_terminal && term_can_move(env("TERM").as_ref()),
        }
    }
}

fn term_can_move(term: Option<&OsString>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The terminal's own word, else `COLUMNS`, else 80; within bounds.
fn width(terminal: Option<u16>, columns: Option<&str>) -> usize {
    terminal
        .map(usize::from)
        .filter(|&columns| columns > 0)
        .or_else(|| columns?.parse().ok().filter(|&columns| columns > 0))
        .unwrap_or(80)
        .min(WIDEST)
}

/// Makes standard input empty: whoever reads it sees its end at once, and is not stopped for reading a terminal in the
/// background. Where there is no `/dev/null`, it stays as it is.
pub fn silence_stdin() {
    if let Ok(null) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn text_arrives_when_flushed_and_not_before() {
        let (mut reader, writer) = io::pipe().unwrap();
        let stream = Stream::to(File::from(OwnedFd::from(writer)));
        stream.print("a").unwrap();
        assert_eq!(stream.lock().pending, b"a");
        stream.print_now("b\n").unwrap();
        drop(stream);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ab\n");
    }

    #[test]
    fn a_full_device_is_an_error_each_time() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let stream = Stream::to(full);
        for _ in 0..2 {
            let error = stream.print_now("x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
        stream.flush().expect("what failed is not pending");
        assert!(!stream.is_closed());
    }

    #[test]
    fn a_read_only_descriptor_is_an_error() {
        let stream = Stream::to(File::open("/dev/null").unwrap());
        let error = stream.print_now("x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }

    #[test]
    fn a_reader_who_left_turns_the_stream_silent() {
        let (reader, writer) = io::pipe().unwrap();
        let stream = Stream::to(File::from(OwnedFd::from(writer)));
        drop(reader);
        stream.print_now("x").unwrap();
        assert!(stream.is_closed());
        stream.print_now(&"y".repeat(2 * BUFFER)).unwrap();
        assert!(stream.lock().pending.is_empty());
    }

    #[test]
    fn the_standard_streams_live_on_high_close_on_exec_descriptors() {
        use std::os::fd::AsRawFd as _;
        let inner = Stream::stderr();
        let inner = inner.lock();
        let Sink::Open(file) = &inner.sink else {
            panic!("{:?}", inner.sink)
        };
        assert!(file.as_raw_fd() >= FIRST_DESCRIPTORS[2]);
        let flags = rustix::io::fcntl_getfd(&**file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_non_blocking_pipe_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let stream = Stream::to(File::from(OwnedFd::from(writer)));
        let text = "z".repeat(1 << 20);
        let length = text.len();
        let writing = thread::spawn(move || stream.print_now(&text));
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).unwrap();
        writing.join().unwrap().unwrap();
        assert_eq!(seen.len(), length);
    }

    #[test]
    fn the_first_word_on_colours_wins() {
        use ColorChoice::{Always, Auto, Never};
        let xterm = ("TERM", "xterm");
        for (choice, terminal, env, colored) in [
            (Auto, true, &[xterm][..], true),
            (Auto, false, &[xterm], false),
            (Auto, true, &[], false),
            (Auto, true, &[("TERM", "dumb")], false),
            (Auto, true, &[xterm, ("NO_COLOR", "1")], false),
            (Auto, true, &[xterm, ("NO_COLOR", "")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (
                Auto,
                true,
                &[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")],
                true,
            ),
            (
                Auto,
                false,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
                false,
            ),
            (Always, false, &[("NO_COLOR", "1"), ("TERM", "dumb")], true),
            (Never, true, &[xterm, ("CLICOLOR_FORCE", "1")], false),
        ] {
            let lookup = |name: &str| {
                let found = env.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let decided = choice.decide(terminal, lookup);
            assert_eq!(decided, colored, "{choice:?} {terminal} {env:?}");
        }
    }

    #[test]
    fn a_width_is_never_absurd() {
        for (terminal, columns, expected) in [
            (Some(120), Some("40"), 120),
            (Some(0), Some("40"), 40),
            (None, Some("0"), 80),
            (None, Some("1"), 1),
            (None, Some("100000"), WIDEST),
            (None, Some("99999999999999999999"), 80),
            (None, Some("-3"), 80),
            (None, None, 80),
            (Some(u16::MAX), None, WIDEST),
        ] {
            assert_eq!(
                width(terminal, columns),
                expected,
                "{terminal:?} {columns:?}"
            );
        }
    }
}
