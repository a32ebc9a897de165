//! Names with parameters: `build::[env]`. Taking a name apart by a pattern, and filling a pattern in.
//!
//! Values in, values out.

use std::sync::Arc;

/// A name whose parts, between `::`, may each have one parameter with text around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    before: Box<str>,
    /// The parameter, and the text behind it.
    parameter: Option<(Box<str>, Box<str>)>,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A `[` without its `]`, or the other way round.
    Bracket,
    /// `[]`, or something in it that is no letter, digit or `_`.
    Parameter,
    /// Two parameters in one part: nobody could tell where the one ends.
    Two,
    /// One parameter twice.
    Twice,
}

impl Malformed {
    /// What is wrong, for behind the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bracket => "has a bracket without its other one",
            Self::Parameter => {
                "has something in brackets that is no name of a parameter: letters, digits and `_`"
            }
            Self::Two => "has two parameters in one part; `::` separates parts",
            Self::Twice => "has a parameter twice",
        }
    }
}

impl Pattern {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, Malformed> {
        let parts: Box<[Part]> = name.split("::").map(part).collect::<Result<_, _>>()?;
        let pattern = Self { parts };
        let mut seen = std::collections::HashSet::new();
        if pattern.parameters().all(|name| seen.insert(name)) {
            Ok(pattern)
        } else {
            Err(Malformed::Twice)
        }
    }

    /// The names of the parameters, in the order in which they stand.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter();
        parts.filter_map(|part| part.parameter.as_ref().map(|(name, _)| &**name))
    }

    /// The parts between `::`: the text before the parameter, and the parameter with the text behind it.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&str, Option<(&str, &str)>)> {
        self.parts.iter().map(|part| {
            let parameter = part.parameter.as_ref();
            let parameter = parameter.map(|(name, behind)| (&**name, &**behind));
            (&*part.before, parameter)
        })
    }

    /// The values that make `name` of this pattern; none is empty or has a `::`. None where there are no such values.
    pub fn matches(&self, name: &str) -> Option<Arguments> {
        let mut values = Vec::new();
        let mut parts = name.split("::");
        for part in &self.parts {
            let rest = parts.next()?.strip_prefix(&*part.before)?;
            match &part.parameter {
                None if rest.is_empty() => {}
                None => return None,
                Some((parameter, behind)) => {
                    let value = rest.strip_suffix(&**behind)?;
                    if value.is_empty() {
                        return None;
                    }
                    values.push((parameter.clone(), value.into()));
                }
            }
        }
        parts.next().is_none().then(|| Arguments::new(values))
    }
}

fn part(text: &str) -> Result<Part, Malformed> {
    let Some((before, rest)) = text.split_once('[') else {
        if text.contains(']') {
            return Err(Malformed::Bracket);
        }
        return Ok(Part {
            before: text.into(),
            parameter: None,
        });
    };
    let (name, behind) = rest.split_once(']').ok_or(Malformed::Bracket)?;
    if before.contains(']') || name.contains('[') {
        return Err(Malformed::Bracket);
    }
    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(Malformed::Parameter);
    }
    if behind.contains('[') {
        return Err(Malformed::Two);
    }
    if behind.contains(']') {
        return Err(Malformed::Bracket);
    }
    Ok(Part {
        before: before.into(),
        parameter: Some((name.into(), behind.into())),
    })
}

/// The values of a template's parameters, by their names; of a task that is made of no template, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Arguments(Option<Arc<[Argument]>>);

/// The name of a parameter, and its value.
type Argument = (Box<str>, Box<str>);

impl Arguments {
    /// Those of a task that is made of no template.
    pub const NONE: &Self = &Self(None);

    /// From names and values.
    pub fn new(values: Vec<(Box<str>, Box<str>)>) -> Self {
        Self((!values.is_empty()).then(|| values.into()))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of the name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.as_deref().unwrap_or_default();
        all.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The text with each `[name]` replaced that is one of these; other brackets stay.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('[') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let inside = rest[1..].split_once(']');
            let filled_in = inside.and_then(|(name, behind)| Some((self.get(name)?, behind)));
            let (value, behind) = filled_in.unwrap_or(("[", &rest[1..]));
            filled.push_str(value);
            rest = behind;
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_the_names_apart_that_it_makes() {
        for (pattern, name, expected) in [
            ("build", "build", Some("")),
            ("build", "built", None),
            ("build::[env]", "build::dev", Some("env=dev")),
            ("build::[env]", "build", None),
            ("build::[env]", "build::", None),
            ("build::[env]", "build::a::b", None),
            ("[x]::[y]", "a::b", Some("x=a y=b")),
            ("test_[n].c", "test_12.c", Some("n=12")),
            ("test_[n].c", "test_.c", None),
            ("größe::[ö]", "größe::ü", Some("ö=ü")),
        ] {
            let arguments = Pattern::parse(pattern).unwrap().matches(name);
            let words = |arguments: Arguments| {
                let words = arguments
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"));
                words.collect::<Vec<_>>().join(" ")
            };
            if let Some(arguments) = &arguments {
                assert_eq!(arguments.fill(pattern), name);
            }
            assert_eq!(
                arguments.map(words).as_deref(),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, expected) in [
            ("a[", Malformed::Bracket),
            ("a]", Malformed::Bracket),
            ("a]b[c]", Malformed::Bracket),
            ("[[a]]", Malformed::Bracket),
            ("[a]]", Malformed::Bracket),
            ("[]", Malformed::Parameter),
            ("[a b]", Malformed::Parameter),
            ("[a-z]", Malformed::Parameter),
            ("[a][b]", Malformed::Two),
            ("[a]::[a]", Malformed::Twice),
        ] {
            assert_eq!(Pattern::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn only_brackets_around_a_parameter_are_filled() {
        let arguments = Arguments::new(vec![("env".into(), "dev".into())]);
        for (text, filled) in [
            ("[env]", "dev"),
            ("a[env]b[env]", "adevbdev"),
            ("[ -f [env] ]", "[ -f dev ]"),
            ("[other] [env", "[other] [env"),
            ("[[env]]", "[dev]"),
        ] {
            assert_eq!(arguments.fill(text), filled);
        }
    }
}
