//! What an author wrote where names of tasks stand: a name, a glob, or a pattern whose parameters match any text.
//!
//! Values in, values out: knows nothing of which tasks there are.

use super::heads::Shape;
use crate::glob::{Glob, Malformed};
use crate::task::{Arguments, Pattern, Template};

/// A word that stands for the names of tasks.
pub(super) struct Word {
    text: Box<str>,
    kind: Kind,
}

enum Kind {
    Name,
    Pattern(Pattern),
    Glob(Wild),
}

/// Why a word cannot be read.
pub(super) enum Unreadable {
    Glob(Malformed),
    Pattern(crate::task::Malformed),
}

impl Word {
    /// Brackets stand for a parameter, in a glob too.
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        let kind = if is_glob(text) {
            Kind::Glob(Wild::declared(text).map_err(Unreadable::Glob)?)
        } else if text.contains(['[', ']']) {
            Kind::Pattern(Pattern::parse(text).map_err(Unreadable::Pattern)?)
        } else {
            Kind::Name
        };
        let text = text.into();
        Ok(Self { text, kind })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Does not stand for more than one name.
    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Name)
    }

    /// It as a glob, where it is one.
    pub(super) fn wild(&self) -> Option<&Wild> {
        match &self.kind {
            Kind::Glob(wild) => Some(wild),
            Kind::Name | Kind::Pattern(_) => None,
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Name => *self.text == *name,
            Kind::Pattern(pattern) => pattern.matches(name).is_some(),
            Kind::Glob(glob) => glob.is_match(name),
        }
    }

    /// The values that its parameters have in `name`, which it matches; a glob knows none.
    pub(super) fn arguments(&self, name: &str) -> Arguments {
        match &self.kind {
            Kind::Pattern(pattern) => pattern.matches(name).unwrap_or_default(),
            Kind::Name | Kind::Glob(_) => Arguments::default(),
        }
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        match &self.kind {
            Kind::Name => Shape::Name(&self.text),
            Kind::Pattern(pattern) => shape(pattern),
            Kind::Glob(_) => first(&self.text).map_or(Shape::Any, Shape::First),
        }
    }

    /// The template may make a name that this matches; where in doubt, yes.
    pub(super) fn may_match(&self, template: &Template) -> bool {
        match &self.kind {
            Kind::Name => template.pattern().matches(&self.text).is_some(),
            Kind::Pattern(pattern) => may_meet(pattern, template.pattern()),
            Kind::Glob(_) => match (first(&self.text), shape(template.pattern())) {
                (Some(first), Shape::First(other)) => first == other,
                _ => true,
            },
        }
    }
}

/// Outside of brackets, which stand for parameters, these make a glob.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '{', '}', '\\'])
}

/// What all names of a pattern begin with.
pub(super) fn shape(pattern: &Pattern) -> Shape<'_> {
    match pattern.parts().next() {
        Some((first, None)) => Shape::First(first),
        _ => Shape::Any,
    }
}

/// The first part of a glob, where it has one that is a name.
fn first(glob: &str) -> Option<&str> {
    let (first, _) = glob.split_once("::")?;
    (!Glob::is_glob(first)).then_some(first)
}

/// `build::[x]` as a glob: `build::?*`.
fn any_for_parameters(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('[') {
        let Some((_, behind)) = behind.split_once(']') else {
            break;
        };
        glob.push_str(before);
        glob.push_str("?*");
        rest = behind;
    }
    glob.push_str(rest);
    glob
}

/// Some name may be of both patterns.
fn may_meet(a: &Pattern, b: &Pattern) -> bool {
    let one_begins = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
    let one_ends = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
    let longer = |text: &str, before: &str, behind: &str| {
        let inside = text
            .strip_prefix(before)
            .and_then(|t| t.strip_suffix(behind));
        inside.is_some_and(|value| !value.is_empty())
    };
    a.parts().len() == b.parts().len()
        && a.parts().zip(b.parts()).all(|(a, b)| match (a, b) {
            ((a, None), (b, None)) => a == b,
            ((text, None), (before, Some((_, behind))))
            | ((before, Some((_, behind))), (text, None)) => longer(text, before, behind),
            ((a, Some((_, a_end))), (b, Some((_, b_end)))) => {
                one_begins(a, b) && one_ends(a_end, b_end)
            }
        })
}

/// What a glob comes to over the choices of a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The names that it stands for.
    Names(Vec<String>),
    /// It would have to choose for this parameter, which has no choices.
    Open(usize),
}

/// The names that a template makes of its choices and that a glob stands for. A parameter without choices takes its value from
/// the glob, where that has no wildcard in the place.
pub(super) fn over_choices(wild: &Wild, template: &Template) -> Chosen {
    let pattern = template.pattern();
    let parts: Vec<_> = wild.text.split("::").collect();
    let globs: Result<Vec<_>, _> = parts.iter().map(|part| Glob::new(part)).collect();
    let globs = globs.unwrap_or_default();
    if globs.len() != pattern.parts().len() {
        return whole(wild, template);
    }
    let mut names = vec![Vec::new()];
    let mut parameters = template.parameters.iter().enumerate();
    let mut open = None;
    for ((part, glob), (before, parameter)) in parts.into_iter().zip(globs).zip(pattern.parts()) {
        let fits = |text: &String| glob.is_match(text);
        let texts: Vec<String> = match parameter.and_then(|p| Some((p, parameters.next()?))) {
            None => vec![before.to_owned()].into_iter().filter(fits).collect(),
            Some(((_, behind), (index, parameter))) => {
                if let Some(choices) = &parameter.choices {
                    let texts = choices.iter().map(|c| format!("{before}{c}{behind}"));
                    texts.filter(fits).collect()
                } else {
                    open = open.or(wild.is_wild(part).then_some(index));
                    vec![part.to_owned()]
                }
            }
        };
        let longer = names.iter().flat_map(|name| {
            texts.iter().map(move |text| {
                let mut name: Vec<String> = name.clone();
                name.push(text.clone());
                name
            })
        });
        names = longer.collect();
    }
    match open {
        Some(parameter) if !names.is_empty() => Chosen::Open(parameter),
        _ => {
            let names = names.into_iter().map(|parts| parts.join("::"));
            Chosen::Names(
                names
                    .filter(|name| pattern.matches(name).is_some())
                    .collect(),
            )
        }
    }
}

/// A glob whose parts are not those of the template: `*` may stand for several of them.
fn whole(wild: &Wild, template: &Template) -> Chosen {
    let open = template.parameters.iter().position(|p| p.choices.is_none());
    match open {
        Some(open) if wild.glob.is_match(&template.task.name) => Chosen::Open(open),
        _ => Chosen::Names(Vec::new()),
    }
}

/// A glob, and its text.
pub(super) struct Wild {
    text: Box<str>,
    glob: Glob,
    /// Brackets in it are classes of characters, not parameters.
    classes: bool,
}

impl Wild {
    /// As a user writes it, with classes.
    pub(super) fn new(text: &str) -> Result<Self, Malformed> {
        Ok(Self {
            glob: Glob::new(text)?,
            text: text.into(),
            classes: true,
        })
    }

    fn declared(text: &str) -> Result<Self, Malformed> {
        let text = any_for_parameters(text);
        Ok(Self {
            glob: Glob::new(&text)?,
            text: text.into(),
            classes: false,
        })
    }

    pub(super) fn is_match(&self, name: &str) -> bool {
        self.glob.is_match(name)
    }

    fn is_wild(&self, part: &str) -> bool {
        is_glob(part) || (self.classes && part.contains('['))
    }
}
