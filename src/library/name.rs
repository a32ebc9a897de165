//! The rules for names: of tasks, of tags, of libraries.
//!
//! Knows nothing of tables, nor of which names are taken.

use std::path::Path;

/// Bytes that a name may have.
pub(super) const NAME_MAX: usize = 255;

/// Characters with a meaning in selectors, lists and templates.
const TAKEN: [char; 9] = [',', '=', '*', '?', '[', ']', '{', '}', '\\'];

/// Says which rule of the header the name breaks; its length is checked elsewhere.
pub(super) fn broken_rule(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("is empty".into())
    } else if let Some(c) = name.chars().find(|c| c.is_control()) {
        Some(format!("has a control character, `{}`", c.escape_default()))
    } else if let Some(c) = name.chars().find(|c| TAKEN.contains(c)) {
        Some(format!("has a `{c}`"))
    } else if name.contains("::") {
        Some("has a `::`".into())
    } else if name.starts_with(['-', '!']) {
        Some(format!("begins with `{}`", &name[..1]))
    } else if name.starts_with(' ') || name.ends_with(' ') {
        Some("has a space at its end".into())
    } else {
        None
    }
}

/// The name of a library that does not give one: its file name without `lib` and the ending.
pub(super) fn from_path(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.strip_prefix("lib").unwrap_or(&file);
    let name: String = without_ending(stem)
        .chars()
        .map(|c| {
            if c.is_control() || TAKEN.contains(&c) {
                '_'
            } else {
                c
            }
        })
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
    fn a_name_keeps_to_the_rules_of_the_header() {
        for fine in ["a", "fetch user", "größe", "a:b", "x-y.z/1", "a!", "日本"] {
            assert_eq!(broken_rule(fine), None, "{fine}");
        }
        for broken in [
            "", "a,b", "a=b", "a*", "a?", "a[1]", "{a}", "a\\b", "a::b", "-a", "!a", " a", "a ",
            "a\nb", "a\0", "\x1b[31m",
        ] {
            assert!(broken_rule(broken).is_some(), "{broken:?}");
        }
    }

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
