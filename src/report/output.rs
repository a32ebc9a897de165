//! Files that reports go to: opened before anything runs, and replaced whole or written live.
//!
//! Knows paths, links, pipes and devices; nothing of what is written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, OFlags};
use tempfile::TempPath;

use crate::error::{Error, Result};
use crate::stream::{Held, Stream};

/// How long a pipe may stay without a reader: both are often started by the same line of a script.
const READER_TIMEOUT: Duration = Duration::from_secs(2);
/// As shells.
const MOST_LINKS: usize = 40;

/// A file that the user named, found: absolute, links followed, so that a later change of directory does not matter.
#[derive(Clone, Debug)]
pub(super) struct Target {
    typed: PathBuf,
    real: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Stdout,
    Stderr,
    /// A device, a pipe: written as it is.
    Direct,
    /// A file, or nothing yet: replaced.
    File,
}

impl Target {
    /// Finds what `path` means.
    pub(super) fn find(path: &Path) -> Result<Self> {
        let target = |real, kind| Self {
            typed: path.to_owned(),
            real,
            kind,
        };
        match path.to_str() {
            Some("-" | "/dev/stdout") => return Ok(target(path.into(), Kind::Stdout)),
            Some("/dev/stderr") => return Ok(target(path.into(), Kind::Stderr)),
            _ => {}
        }
        if path.starts_with("/dev") || path.starts_with("/proc") {
            return Ok(target(path.into(), Kind::Direct));
        }
        let real = follow(path).map_err(|error| cannot_open(path, &error))?;
        let kind = match fs::metadata(&real) {
            Ok(found) if found.is_dir() => {
                let message = format!("`{}` is a directory, not a file to write", path.display());
                return Err(Error::new("usage.output", message));
            }
            Ok(found) if !found.is_file() => Kind::Direct,
            _ => Kind::File,
        };
        Ok(target(real, kind))
    }

    /// Standard output is spoken for.
    pub(super) fn is_stdout(&self) -> bool {
        self.kind == Kind::Stdout
    }

    /// Two reports would overwrite each other. (A device takes any number.)
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        match self.kind {
            Kind::Stdout => other.is_stdout(),
            Kind::File => self.real == other.real,
            Kind::Stderr | Kind::Direct => false,
        }
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Stdout => "standard output".to_owned(),
            Kind::Stderr => "standard error".to_owned(),
            Kind::Direct | Kind::File => format!("`{}`", self.typed.display()),
        }
    }

    /// For a report that is written at the end: until then the old file stays, and after it the new one is whole.
    pub(super) fn open_whole(&self, out: &Stream, err: &Stream) -> Result<Output> {
        if self.kind != Kind::File {
            return self.open_live(out, err, true).map(Output::Live);
        }
        let fresh = match self.nameless() {
            Some(file) => Ok((file, None)),
            None => self.beside().map(|(file, path)| (file, Some(path))),
        };
        let (file, path) = fresh.map_err(|error| cannot_open(&self.typed, &error))?;
        Ok(Output::Whole(Fresh {
            file: Held::new(file, None),
            path,
            target: self.clone(),
        }))
    }

    /// For a report that is read while it grows. A file is replaced by an empty one at once, so that whoever still reads the
    /// old one keeps it whole, and a second run writes to a file of its own. Where this is not the `first` process of a run, it
    /// is gone on with.
    pub(super) fn open_live(&self, out: &Stream, err: &Stream, first: bool) -> Result<Stream> {
        let file = match self.kind {
            Kind::Stdout => return Ok(out.clone()),
            Kind::Stderr => return Ok(err.clone()),
            Kind::Direct => open_direct(&self.real),
            Kind::File if !first => File::options().append(true).open(&self.real),
            Kind::File => self.beside().and_then(|(file, path)| {
                let moved = replace(path, &self.real)?;
                Ok(moved.unwrap_or(file))
            }),
        };
        file.map(Stream::to)
            .map_err(|error| cannot_open(&self.typed, &error))
    }

    /// A new file in the target's directory that has no name yet, so that nothing is left of it should the process be killed.
    /// Not every file system has that.
    fn nameless(&self) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let file = rustix::fs::open(directory(&self.real), flags, mode).ok()?;
        let file = File::from(file);
        self.take_mode(&file).ok()?;
        // Its way into the directory.
        fs::metadata(by_descriptor(&file)).ok()?;
        Some(file)
    }

    /// A new file beside the target.
    fn beside(&self) -> io::Result<(File, TempPath)> {
        let file = beside()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory(&self.real))
            .map_err(without_path)?;
        self.take_mode(file.as_file())?;
        Ok(file.into_parts())
    }

    /// Gives a new file the mode that the target has.
    fn take_mode(&self, file: &File) -> io::Result<()> {
        match fs::metadata(&self.real) {
            Ok(found) => file.set_permissions(found.permissions()),
            Err(_) => Ok(()),
        }
    }
}

fn directory(real: &Path) -> &Path {
    real.parent().unwrap_or(Path::new("/"))
}

fn beside() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tdrun-").suffix(".tmp");
    builder
}

fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// An open report.
pub(super) enum Output {
    /// A new file, to take the target's place.
    Whole(Fresh),
    /// The target itself.
    Live(Stream),
}

/// A file that is being written, and then takes the place of another.
pub(super) struct Fresh {
    file: Held,
    /// None as long as it has no name.
    path: Option<TempPath>,
    target: Target,
}

impl Fresh {
    fn write(mut self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if !self.file.is_there() {
            // Somebody has closed it.
            let (file, path) = self.target.beside()?;
            (self.file, self.path) = (Held::new(file, None), Some(path));
        }
        let real = &self.target.real;
        let mut writer = BufWriter::new(&*self.file);
        content(&mut writer)?;
        writer.flush()?;
        let path = match self.path {
            Some(path) => path,
            None => link(&self.file, real)?,
        };
        replace(path, real).map(drop)
    }
}

/// Gives a file a name beside the one that it is to have.
fn link(file: &File, real: &Path) -> io::Result<TempPath> {
    let link = |path: &Path| {
        let flags = AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(CWD, by_descriptor(file), CWD, path, flags).map_err(io::Error::from)
    };
    let named = beside()
        .make_in(directory(real), link)
        .map_err(without_path)?;
    Ok(named.into_temp_path())
}

impl Output {
    /// Writes the report, all of it, and puts it in its place.
    pub(super) fn write(
        self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Whole(fresh) => fresh.write(content),
            Self::Live(mut stream) => {
                content(&mut stream)?;
                stream.flush()
            }
        }
    }
}

/// The error without the temporary file's own name, which would only confuse.
fn without_path(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source());
    let code = inner
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    code.map_or(error, io::Error::from_raw_os_error)
}

/// Puts a file in the place of another. Where that one is a mount point, its content is replaced instead, and the file to
/// go on with is that one.
fn replace(path: TempPath, real: &Path) -> io::Result<Option<File>> {
    match path.persist(real) {
        Ok(()) => Ok(None),
        Err(failed) if failed.error.kind() == io::ErrorKind::ResourceBusy => {
            fs::copy(&failed.path, real)?;
            OpenOptions::new().append(true).open(real).map(Some)
        }
        Err(failed) => Err(failed.error),
    }
}

/// Opens what is written as it is. A pipe without a reader is waited for, but not for ever.
pub(super) fn open_direct(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let deadline = Instant::now() + READER_TIMEOUT;
    let file = loop {
        match options.open(path) {
            Err(error) if has_no_reader(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => break other?,
        }
    };
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}

/// The file behind a path: absolute, with links followed, also one that leads to nothing yet.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let Some(name) = path.file_name() else {
            return Ok(path);
        };
        let real = directory.canonicalize()?.join(name);
        match fs::read_link(&real) {
            Ok(link) => path = real.with_file_name("").join(link),
            Err(_) => return Ok(real),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// What the operating system says, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

pub(super) fn cannot_open(path: &Path, error: &io::Error) -> Error {
    let reason = if has_no_reader(error) {
        "nobody reads from this pipe".to_owned()
    } else {
        reason(error)
    };
    Error::new(
        "io.output",
        format!("cannot write `{}`: {reason}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(target: &Target, text: &str) {
        let output = target.opened().unwrap();
        output.write(|out| out.write_all(text.as_bytes())).unwrap();
    }

    impl Target {
        fn opened(&self) -> Result<Output> {
            self.open_whole(&Stream::stdout(), &Stream::stderr())
        }

        fn live(&self) -> Result<Stream> {
            self.open_live(&Stream::stdout(), &Stream::stderr(), true)
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_report_appears_whole_and_keeps_the_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.xml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let output = Target::find(&path).unwrap().opened().unwrap();
        output
            .write(|out| {
                out.write_all(b"new")?;
                assert_eq!(fs::read_to_string(&path)?, "old");
                Ok(())
            })
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_report_that_cannot_be_written_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.xml");
        fs::write(&path, "old").unwrap();
        let output = Target::find(&path).unwrap().opened().unwrap();
        output
            .write(|_| Err(io::ErrorKind::StorageFull.into()))
            .unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_followed_also_to_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        symlink("middle", at("link")).unwrap();
        symlink("real.xml", at("middle")).unwrap();
        symlink("round", at("round")).unwrap();
        let target = Target::find(&at("link")).unwrap();
        assert!(target.is_same_as(&Target::find(&at("real.xml")).unwrap()));
        write(&target, "text");
        assert_eq!(fs::read_to_string(at("real.xml")).unwrap(), "text");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(Target::find(&at("round")).unwrap_err().id(), "io.output");
    }

    #[test]
    fn a_bad_path_is_known_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no/such/report.xml");
        let error = Target::find(&missing).unwrap_err();
        assert_eq!(error.id(), "io.output");
        assert!(
            error
                .message()
                .ends_with("/no/such/report.xml`: No such file or directory"),
            "{error}"
        );
        assert_eq!(
            Target::find(directory.path()).unwrap_err().id(),
            "usage.output"
        );
        assert_eq!(Target::find(Path::new("")).unwrap_err().id(), "io.output");
        let gone = Target::find(&directory.path().join("report.xml")).unwrap();
        directory.close().unwrap();
        let error = gone.opened().err().unwrap();
        assert!(
            error
                .message()
                .ends_with("report.xml`: No such file or directory"),
            "{error}"
        );
    }

    #[test]
    fn a_live_file_starts_empty_and_the_old_one_stays_whole_for_its_readers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        fs::write(&path, "old").unwrap();
        let old = File::open(&path).unwrap();
        let stream = Target::find(&path).unwrap().live().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        stream.print_now("line\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\n");
        assert_eq!(io::read_to_string(old).unwrap(), "old");
    }

    #[test]
    fn devices_and_pipes_are_written_and_never_replaced() {
        let full = Target::find(Path::new("/dev/full")).unwrap();
        let output = full.opened().unwrap();
        output.write(|out| out.write_all(b"x")).unwrap_err();

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let target = Target::find(&path).unwrap();
        assert_eq!(target.kind, Kind::Direct);
        let reader = std::thread::spawn({
            let path = path.clone();
            move || fs::read_to_string(path).unwrap()
        });
        write(&target, "text");
        assert_eq!(reader.join().unwrap(), "text");
        let error = target.live().unwrap_err();
        assert!(
            error.message().ends_with("nobody reads from this pipe"),
            "{error}"
        );
    }

    #[test]
    fn standard_output_has_several_names() {
        let target = |path| Target::find(Path::new(path)).unwrap();
        assert!(target("-").is_stdout());
        assert!(target("-").is_same_as(&target("/dev/stdout")));
        assert!(!target("/dev/stderr").is_same_as(&target("/dev/stdout")));
    }
}
