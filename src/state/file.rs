//! Reads `--state-file`: one JSON object.
//!
//! Knows nothing of what the values mean. Nothing is run before this has succeeded.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::is_reserved;
use crate::error::{Error, Result, escape};
use crate::task::Json;

/// How long a pipe may stay without a writer: both are often started by the same line of a script.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);
/// More than this is taken for a mistake.
const LIMIT: u64 = 64 << 20;

/// The members of the object in the file, in their order.
///
/// Errors: `state.file` where it cannot be read or holds something else than an object, `state.json` with line and column
/// where it is not JSON or names a key twice, and `state.file` for keys that tdrun keeps for itself.
pub fn read_file(path: &Path) -> Result<Vec<(String, Json)>> {
    let shown = path.display();
    let text = read_text(path).map_err(|why| {
        Error::new(
            "state.file",
            format!("cannot read the state file `{shown}`: {why}"),
        )
    })?;
    let start = text.trim_start().chars().next();
    if start != Some('{') && serde_json::from_str::<Value>(&text).is_ok() {
        let kind = if start == Some('[') {
            "an array"
        } else {
            "a plain value"
        };
        let message = format!("the state file `{shown}` holds {kind}, not an object");
        return Err(Error::new("state.file", message).hint("write `{\"key\": value, …}`"));
    }
    let Members(members) = serde_json::from_str(&text)
        .map_err(|why| Error::new("state.json", format!("in the state file `{shown}`: {why}")))?;
    if let Some((key, _)) = members.iter().find(|(key, _)| is_reserved(key)) {
        let key = escape(key);
        let message = format!("the key `{key}` in the state file `{shown}` is reserved");
        let hint = "`results` and keys that begin with `_` belong to tdrun";
        return Err(Error::new("state.file", message).hint(hint));
    }
    Ok(members)
}

/// Reads all of a file; a pipe that nobody writes to is not waited for for ever. Not by a thread that waits: this process is
/// about to fork, for which it has to be the only one.
fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if !is_pipe {
        File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let at_once = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut pipe = File::from(open(path, at_once, Mode::empty())?);
    let timeout = Timespec::try_from(WRITER_TIMEOUT).ok();
    let come = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], timeout.as_ref())?;
    let mut first = [0];
    // Nothing to read, and no end: somebody is about to write.
    let read = match pipe.read(&mut first) {
        Ok(0) if come == 0 => return Err(io::Error::other("nobody writes to this pipe")),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        read => read.unwrap_or(0),
    };
    bytes.extend_from_slice(&first[..read]);
    fcntl_setfl(&pipe, OFlags::empty())?;
    pipe.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_all(path).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LIMIT {
        return Err("it is larger than 64 MiB".into());
    }
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("it begins with a byte order mark; save it as plain UTF-8".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is not UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        )
    })
}

/// The members of an object; serde's own map types take a key that stands twice without a word.
struct Members(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut keys = std::collections::HashSet::new();
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if !keys.insert(key.clone()) {
                        return Err(de::Error::custom(format_args!(
                            "the key `{key}` stands twice"
                        )));
                    }
                    members.push((key, value.to_string().into()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
