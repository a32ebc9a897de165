//! From a path to an open regular file, or the reason why there is none and what was probably meant.
//!
//! Knows nothing of what libraries look like inside.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Symbolic links that are followed to name them.
const LINKS_MAX: usize = 40;
/// Directory entries that are looked at for a similar name.
const ENTRIES_MAX: usize = 10_000;

/// Opens a regular file for reading; never waits for a FIFO or a device.
pub(super) fn open(path: &Path, shown: &str) -> Result<(File, fs::Metadata)> {
    let before = fs::metadata(path).map_err(|error| refused(path, shown, &error))?;
    check_regular(&before, shown)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options
        .open(path)
        .map_err(|error| refused(path, shown, &error))?;
    // The name may lead elsewhere by now: what counts is what was opened.
    let metadata = file
        .metadata()
        .map_err(|error| refused(path, shown, &error))?;
    check_regular(&metadata, shown)?;
    Ok((file, metadata))
}

fn check_regular(metadata: &fs::Metadata, shown: &str) -> Result<()> {
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    let message = format!("`{shown}` is {kind}, not a shared library");
    Err(Error::new("load.format", message))
}

/// Turns the system's refusal into an error that says what to do.
pub(super) fn refused(path: &Path, shown: &str, error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => missing(path, shown),
        Some(libc::ELOOP) => {
            let message = match fs::read_link(path) {
                Ok(target) => format!(
                    "`{shown}` is a symbolic link to `{}`, which leads back to itself",
                    target.display()
                ),
                Err(_) => format!("`{shown}` leads through symbolic links that never end"),
            };
            Error::new("load.notfound", message)
        }
        Some(libc::EACCES | libc::EPERM) => denied(path, shown),
        Some(libc::EMFILE | libc::ENFILE) => {
            let message = format!("cannot open `{shown}`: too many open files");
            Error::new("load.limit", message).hint("raise the limit with `ulimit -n`")
        }
        Some(libc::ENAMETOOLONG) => Error::new(
            "load.notfound",
            format!("`{shown}` is longer than a path can be"),
        ),
        _ => Error::new("load.failed", format!("cannot read `{shown}`: {error}")),
    }
}

fn denied(path: &Path, shown: &str) -> Error {
    let message = format!("no permission to read `{shown}`");
    // Where even looking at it is refused, it is a directory on the way that needs the permission.
    let hint = if fs::symlink_metadata(path).is_ok() {
        format!("`chmod u+r {}` if it is yours", for_shell(shown))
    } else {
        "a directory on the way to it cannot be searched".to_owned()
    };
    Error::new("load.denied", message).hint(hint)
}

fn missing(path: &Path, shown: &str) -> Error {
    let error = |text: String| Error::new("load.notfound", text);
    if let Some(links) = links(path) {
        return error(format!(
            "`{shown}` is a symbolic link to {links}, which does not exist"
        ));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        let directory = Path::new(shown).parent().unwrap_or(directory).display();
        let error = error(format!(
            "`{shown}` does not exist: no directory `{directory}`"
        ));
        return error.hint("did you build the library?");
    }
    let error = error(format!("`{shown}` does not exist"));
    if let Some((library, selector)) = single_colon(path, shown) {
        return error.hint(format!("did you mean `{library}::{selector}`?"));
    }
    if let Some(rlib) = rlib_beside(path) {
        return error.hint(format!(
            "`{rlib}` is there: does its Cargo.toml say `crate-type = [\"cdylib\"]` under `[lib]`?"
        ));
    }
    match meant(path, directory) {
        Some(file) => error.hint(format!(
            "did you mean `{}`?",
            Path::new(shown).with_file_name(file).display()
        )),
        None if !shown.contains(['/', '.']) => error.hint(format!(
            "a task is named behind its library: `lib.so::{shown}`"
        )),
        None => error.hint("did you build the library?"),
    }
}

/// `lib.so:task`, where `lib.so` exists.
fn single_colon<'a>(path: &Path, shown: &'a str) -> Option<(&'a str, &'a str)> {
    let (library, selector) = shown.rsplit_once(':')?;
    let whole = path.to_str()?;
    let file = &whole[..whole.len().checked_sub(selector.len() + 1)?];
    (!selector.is_empty() && Path::new(file).is_file()).then_some((library, selector))
}

/// What cargo builds where the crate is no cdylib.
fn rlib_beside(path: &Path) -> Option<String> {
    let rlib = path.with_extension("rlib");
    let name = rlib.file_name()?.to_str()?.to_owned();
    rlib.is_file().then_some(name)
}

/// Where a symbolic link leads, and where that does: `` `a.so` → `b.so` ``. None where it is no link.
fn links(path: &Path) -> Option<String> {
    let mut path = path.to_owned();
    let mut targets = Vec::new();
    while let Ok(target) = fs::read_link(&path)
        && targets.len() < LINKS_MAX
    {
        targets.push(format!("`{}`", target.display()));
        path = path.parent()?.join(target);
    }
    (!targets.is_empty()).then(|| targets.join(" → "))
}

/// The path as it is typed in a shell.
pub(super) fn for_shell(shown: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if shown.chars().all(plain) {
        return shown.into();
    }
    format!("'{}'", shown.replace('\'', r"'\''")).into()
}

/// The file in the directory that was probably meant: with `lib` and `.so`, or with a similar name.
fn meant(path: &Path, directory: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    if let Some(file) = completed(name).find(|file| directory.join(file).is_file()) {
        return Some(file.into());
    }
    let files: Vec<String> = fs::read_dir(directory)
        .ok()?
        .take(ENTRIES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| Path::new(file).extension() == Some(OsStr::new("so")))
        .collect();
    crate::error::nearest(name, files.iter().map(String::as_str)).map(PathBuf::from)
}

/// What a build makes out of a plain name; cargo also turns `-` into `_`.
fn completed(name: &str) -> impl Iterator<Item = String> {
    let stem = name.strip_suffix(".so").unwrap_or(name).to_owned();
    [stem.clone(), stem.replace('-', "_")]
        .into_iter()
        .flat_map(|stem| [format!("lib{stem}.so"), format!("{stem}.so")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_needs_it() {
        for (path, typed) in [
            ("./target/debug/libx.so", "./target/debug/libx.so"),
            ("/größe/x.so", "/größe/x.so"),
            ("my lib.so", "'my lib.so'"),
            ("it's.so", r"'it'\''s.so'"),
            ("$HOME.so", "'$HOME.so'"),
        ] {
            assert_eq!(for_shell(path), typed);
        }
    }
}
