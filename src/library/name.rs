//! The rules for names: of tasks, of tags, of libraries.
//!
//! Knows nothing of tables, nor of which names are taken.

use std::path::Path;

pub(super) use crate::task::NAME_MAX;

/// Characters with a meaning in selectors and lists.
const TAKEN: [char; 7] = [',', '=', '*', '?', '{', '}', '\\'];
/// Those around a parameter.
const BRACKETS: [char; 2] = ['[', ']'];

/// Says which rule of the header the name of a library or a tag breaks; its length is checked elsewhere.
pub(super) fn broken_rule(name: &str) -> Option<String> {
    broken_text(name)
        .or_else(|| bracket(name))
        .or_else(|| colons(name))
        .or_else(|| broken_ends(name))
}

/// The same for the name of a task, which may have parts; brackets are left to `Pattern::parse`.
pub(super) fn broken_task_rule(name: &str) -> Option<String> {
    let empty_part = || name.split("::").any(str::is_empty);
    broken_text(name)
        .or_else(|| empty_part().then(|| "has an empty part beside a `::`".into()))
        .or_else(|| broken_ends(name))
}

/// The same for the value of a parameter, wherever in a name it stands.
pub(super) fn broken_value_rule(value: &str) -> Option<String> {
    let ends = |c| value.starts_with(c) || value.ends_with(c);
    broken_text(value)
        .or_else(|| bracket(value))
        .or_else(|| colons(value))
        .or_else(|| ends(':').then(|| "has a `:` at its end".into()))
        .or_else(|| ends(' ').then(|| "has a space at its end".into()))
}

fn broken_text(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("is empty".into())
    } else if let Some(c) = text.chars().find(|c| c.is_control()) {
        Some(format!("has a control character, `{}`", c.escape_default()))
    } else {
        has_one_of(text, &TAKEN)
    }
}

fn bracket(text: &str) -> Option<String> {
    has_one_of(text, &BRACKETS)
}

fn has_one_of(text: &str, characters: &[char]) -> Option<String> {
    let found = text.chars().find(|c| characters.contains(c))?;
    Some(format!("has a `{found}`"))
}

fn colons(text: &str) -> Option<String> {
    text.contains("::").then(|| "has a `::`".into())
}

fn broken_ends(name: &str) -> Option<String> {
    if name.starts_with(['-', '!']) {
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
            if c.is_control() || TAKEN.contains(&c) || BRACKETS.contains(&c) {
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
    fn the_name_of_a_task_may_have_parts() {
        for fine in ["a::b", "build::[env]", "test_[n]", "a:b::c"] {
            assert_eq!(broken_task_rule(fine), None, "{fine}");
        }
        for (broken, rule) in [
            ("", "is empty"),
            ("::a", "has an empty part beside a `::`"),
            ("a::", "has an empty part beside a `::`"),
            ("a::::b", "has an empty part beside a `::`"),
            ("a::*", "has a `*`"),
            ("-a::b", "begins with `-`"),
        ] {
            assert_eq!(broken_task_rule(broken).as_deref(), Some(rule), "{broken}");
        }
    }

    #[test]
    fn a_value_fits_anywhere_in_a_name() {
        for fine in ["dev", "-1", "!x", "a:b", "größe"] {
            assert_eq!(broken_value_rule(fine), None, "{fine}");
        }
        for broken in ["", "a::b", "a:", ":a", "[x]", "a,b", " a", "a\n"] {
            assert!(broken_value_rule(broken).is_some(), "{broken:?}");
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
