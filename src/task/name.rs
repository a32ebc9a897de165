//! The rules for names: of tasks, of tags, of values of parameters.
//!
//! Knows nothing of who declares them, nor of which names are taken.

/// Bytes that a name may have.
pub const NAME_MAX: usize = 255;

/// Characters with a meaning in selectors and lists.
const TAKEN: [char; 7] = [',', '=', '*', '?', '{', '}', '\\'];
/// Those around a parameter.
const BRACKETS: [char; 2] = ['[', ']'];

/// Nowhere in a name; brackets are, in that of a template.
pub fn is_refused(c: char) -> bool {
    c.is_control() || TAKEN.contains(&c) || BRACKETS.contains(&c)
}

/// Says which rule the name of a library or a tag breaks.
pub fn broken_rule(name: &str) -> Option<String> {
    broken_text(name)
        .or_else(|| has_one_of(name, &BRACKETS))
        .or_else(|| colons(name))
        .or_else(|| broken_ends(name))
}

/// The same for the name of a task, which may have parts; brackets are left to [`Pattern::parse`](super::Pattern::parse).
pub fn broken_task_rule(name: &str) -> Option<String> {
    if is_plain(name) {
        return None;
    }
    let empty_part = || name.split("::").any(str::is_empty);
    broken_text(name)
        .or_else(|| empty_part().then(|| "has an empty part beside a `::`".into()))
        .or_else(|| broken_ends(name))
}

/// The same for the value of a parameter, wherever in a name it stands.
pub fn broken_value_rule(value: &str) -> Option<String> {
    let ends = |c| value.starts_with(c) || value.ends_with(c);
    broken_text(value)
        .or_else(|| has_one_of(value, &BRACKETS))
        .or_else(|| colons(value))
        .or_else(|| ends(':').then(|| "has a `:` at its end".into()))
        .or_else(|| ends(' ').then(|| "has a space at its end".into()))
}

/// Letters, digits and what nobody asks twice about: nearly all names, told in one go.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

fn broken_text(text: &str) -> Option<String> {
    if text.is_empty() {
        Some("is empty".into())
    } else if text.len() > NAME_MAX {
        Some(format!("has {} bytes, the limit is {NAME_MAX}", text.len()))
    } else if let Some(c) = text.chars().find(|c| c.is_control()) {
        Some(format!("has a control character, `{}`", c.escape_default()))
    } else {
        has_one_of(text, &TAKEN)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tasks_may_have_parts() {
        for fine in [
            "a",
            "fetch user",
            "größe",
            "a:b",
            "a::b",
            "build::[env]",
            "a!",
            "日本",
        ] {
            assert_eq!(broken_task_rule(fine), None, "{fine}");
        }
        for broken in [
            "", "a,b", "a=b", "a*", "{a}", "a\\b", "::a", "a::", "a::::b", "-a", "!a", " a", "a ",
            "a\nb",
        ] {
            assert!(broken_task_rule(broken).is_some(), "{broken:?}");
        }
        assert!(broken_task_rule(&"x".repeat(NAME_MAX + 1)).is_some());
    }

    #[test]
    fn tags_and_values_have_neither_parts_nor_parameters() {
        for broken in ["", "a::b", "[a]", "a,b"] {
            assert!(broken_rule(broken).is_some(), "{broken:?}");
            assert!(broken_value_rule(broken).is_some(), "{broken:?}");
        }
        assert_eq!(broken_value_rule("-1"), None);
        assert!(broken_rule("-1").is_some());
        assert!(broken_value_rule("a:").is_some());
    }
}
