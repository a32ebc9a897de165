//! What a library is called that does not say so itself.
//!
//! Knows nothing of tables, nor of which names are taken.

use std::path::Path;

use crate::task::name;

/// The name of a library that does not give one: its file name without `lib` and the ending.
pub(super) fn from_path(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.strip_prefix("lib").unwrap_or(&file);
    let name: String = without_ending(stem)
        .chars()
        .map(|c| if name::is_refused(c) { '_' } else { c })
        .collect();
    let name = name.replace("::", "__");
    match name.trim_start_matches(['-', '!', ' ']).trim_end() {
        "" => "library".to_owned(),
        name => name.to_owned(),
    }
}

/// `x.so`, `x.so.1.2` and `x.dylib` are all `x`.
fn without_ending(file: &str) -> &str {
    let versioned = file.rfind(".so").filter(|&at| {
        let rest = &file[at + 3..];
        rest.is_empty() || rest.starts_with('.')
    });
    match versioned.or_else(|| file.rfind('.')) {
        Some(at) => &file[..at],
        None => file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_called_after_its_file() {
        for (path, name) in [
            ("/x/libsurgery.so", "surgery"),
            ("/x/surgery.so", "surgery"),
            ("/x/libz.so.1.2.3", "z"),
            ("/x/libmac.dylib", "mac"),
            ("/x/plain", "plain"),
            ("/x/lib.so", "library"),
            ("/x/.so", "library"),
            ("/x/lib-a=b.so", "a_b"),
            ("/x/lib.social.so", ".social"),
        ] {
            assert_eq!(from_path(Path::new(path)), name, "{path}");
        }
    }
}
