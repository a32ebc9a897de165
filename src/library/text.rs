//! Text that a library shows to tdrun during a call: read in place, or copied for people.
//!
//! Knows nothing of what it says.
#![allow(unsafe_code)]

use task_abi::raw::Str;

/// A null pointer with a length, a length that no text has, or bytes that are no UTF-8.
pub(super) struct Malformed;

/// The text itself.
///
/// # Safety
/// So many bytes must be readable for as long as the text is used.
pub(super) unsafe fn utf8<'a>(text: Str) -> Result<&'a str, Malformed> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text, usize::MAX)? };
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// Text for people: what is no UTF-8 is replaced, what is too long is cut, with a note.
///
/// # Safety
/// So many bytes must be readable.
pub(super) unsafe fn lossy(text: Str, limit: usize) -> Result<String, Malformed> {
    // SAFETY: the caller's promise.
    let mut bytes = unsafe { bytes(text, limit)? };
    if text.len <= limit {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    // A character that the cut goes through is left out.
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let starts_one = |&byte: &u8| byte >= 0xc0;
    if let Some(at) = tail.iter().rposition(starts_one) {
        let cut = std::str::from_utf8(&tail[at..]).is_err_and(|error| error.error_len().is_none());
        if cut {
            bytes = &bytes[..bytes.len() - (tail.len() - at)];
        }
    }
    let text_len = text.len;
    let shown = String::from_utf8_lossy(bytes);
    Ok(format!("{shown}… (cut: it has {text_len} bytes)"))
}

/// At most the first `limit` bytes.
unsafe fn bytes<'a>(text: Str, limit: usize) -> Result<&'a [u8], Malformed> {
    let len = text.len.min(limit);
    if len == 0 {
        return Ok(&[]);
    }
    if text.ptr.is_null() || isize::try_from(len).is_err() {
        return Err(Malformed);
    }
    // SAFETY: the caller promises that so many bytes are readable for as long as it uses them.
    Ok(unsafe { std::slice::from_raw_parts(text.ptr, len) })
}
