//! What a name may be, and the parameters in it: the rules of tdrun.h, so that a mistake is found at the author's token.

/// What a text is the name of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A task that is declared here.
    Task,
    /// Another task: of this library or of another one, or a glob over several.
    Reference,
    Tag,
    Lock,
}

impl Kind {
    fn what(self) -> &'static str {
        match self {
            Self::Task | Self::Reference => "the name of a task",
            Self::Tag => "a tag",
            Self::Lock => "the name of a lock",
        }
    }
}

/// Checks a name and returns the parameters in it, in their order.
pub(crate) fn check(text: &str, kind: Kind) -> Result<Vec<String>, String> {
    const FORBIDDEN: &[char] = &[',', '=', '{', '}', '\\'];
    let what = kind.what();
    let text = match kind {
        Kind::Lock => text.strip_suffix(":r").unwrap_or(text),
        _ => text,
    };
    if text.is_empty() {
        return Err(format!("{what} cannot be empty"));
    }
    if text.len() > 255 {
        return Err(format!("{what} has at most 255 bytes"));
    }
    let is_glob = |c| matches!(c, '*' | '?') && kind != Kind::Reference;
    let forbidden = |c: &char| c.is_control() || FORBIDDEN.contains(c) || is_glob(*c);
    if let Some(character) = text.chars().find(forbidden) {
        return Err(format!("{what} cannot contain {character:?}"));
    }
    if text.starts_with(['-', '!']) {
        return Err(format!("{what} cannot begin with `{}`", &text[..1]));
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(format!("{what} cannot begin or end with a space"));
    }
    if kind == Kind::Tag && text.contains("::") {
        return Err("a tag cannot contain `::`, which separates the parts of names".to_owned());
    }
    let mut parameters: Vec<String> = Vec::new();
    for part in text.split("::") {
        if part.is_empty() {
            return Err(format!("{what} has an empty part beside a `::`"));
        }
        let Some(parameter) = parameter(part)? else {
            continue;
        };
        if kind == Kind::Task && parameters.iter().any(|known| known == parameter) {
            return Err(format!("`[{parameter}]` stands twice in the name"));
        }
        parameters.push(parameter.to_owned());
    }
    Ok(parameters)
}

/// The parameter in one part of a name.
fn parameter(part: &str) -> Result<Option<&str>, String> {
    let unpaired = || Err("a bracket is missing: a parameter is written `[env]`".to_owned());
    let Some((before, rest)) = part.split_once('[') else {
        return if part.contains(']') {
            unpaired()
        } else {
            Ok(None)
        };
    };
    let Some((name, behind)) = rest.split_once(']') else {
        return unpaired();
    };
    if before.contains(']') || name.contains('[') {
        return unpaired();
    }
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(format!(
            "`[{name}]` is no parameter: its name has letters, digits and `_`"
        ));
    }
    if behind.contains('[') {
        return Err(format!(
            "two parameters in one part, `{part}`: put `::` between them"
        ));
    }
    if behind.contains(']') {
        return unpaired();
    }
    Ok(Some(name))
}

/// `` `[env]` and `[arch]` `` for messages.
pub(crate) fn list(parameters: &[String]) -> String {
    let quoted: Vec<String> = parameters
        .iter()
        .map(|name| format!("`[{name}]`"))
        .collect();
    match &*quoted {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_name_are_found_and_mistakes_told() {
        for (text, expected) in [
            ("build", Ok("")),
            ("build::[env]", Ok("env")),
            ("[a]::x_[b].c", Ok("a b")),
            ("größe::[ö]", Ok("ö")),
            (
                "a::",
                Err("the name of a task has an empty part beside a `::`"),
            ),
            (
                "a[",
                Err("a bracket is missing: a parameter is written `[env]`"),
            ),
            (
                "a]b[c]",
                Err("a bracket is missing: a parameter is written `[env]`"),
            ),
            (
                "[[a]]",
                Err("a bracket is missing: a parameter is written `[env]`"),
            ),
            (
                "[a]]",
                Err("a bracket is missing: a parameter is written `[env]`"),
            ),
            (
                "[]",
                Err("`[]` is no parameter: its name has letters, digits and `_`"),
            ),
            (
                "[a-z]",
                Err("`[a-z]` is no parameter: its name has letters, digits and `_`"),
            ),
            (
                "[a][b]",
                Err("two parameters in one part, `[a][b]`: put `::` between them"),
            ),
            ("[a]::[a]", Err("`[a]` stands twice in the name")),
            ("build::*", Err("the name of a task cannot contain '*'")),
        ] {
            let found = check(text, Kind::Task).map(|parameters| parameters.join(" "));
            assert_eq!(
                found,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn globs_are_for_references_and_shared_is_for_locks() {
        assert!(check("build::*", Kind::Reference).is_ok());
        assert!(check("[a]::[a]", Kind::Reference).is_ok());
        assert!(check("db:r", Kind::Lock).is_ok());
        assert!(check(":r", Kind::Lock).is_err());
        assert!(check("a::b", Kind::Tag).is_err());
    }
}
