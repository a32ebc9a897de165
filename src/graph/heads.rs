//! A name to the few patterns that may match it, without asking all of them.
//!
//! Knows the shapes of patterns, not what they mean.

use std::collections::HashMap;

/// What is known of all names that a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    /// There is only this one.
    Name(&'a str),
    /// Their first part.
    First(&'a str),
    /// Nothing.
    Any,
}

/// Indices of patterns, by their shape.
#[derive(Default)]
pub(super) struct Heads {
    names: HashMap<Box<str>, Vec<usize>>,
    firsts: HashMap<Box<str>, Vec<usize>>,
    others: Vec<usize>,
}

impl Heads {
    pub(super) fn add(&mut self, shape: Shape<'_>, index: usize) {
        let list = match shape {
            Shape::Name(name) => self.names.entry(name.into()).or_default(),
            Shape::First(first) => self.firsts.entry(first.into()).or_default(),
            Shape::Any => &mut self.others,
        };
        list.push(index);
    }

    /// Those whose shape allows `name`, in the order in which they were added.
    pub(super) fn of(&self, name: &str) -> Vec<usize> {
        let first = name.split("::").next().unwrap_or_default();
        let of = |map: &HashMap<Box<str>, Vec<usize>>, key| map.get(key).cloned();
        let mut all = of(&self.names, name).unwrap_or_default();
        all.extend(of(&self.firsts, first).unwrap_or_default());
        all.extend(&self.others);
        all.sort_unstable();
        all
    }

    /// Forgets the indices from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        let maps = [&mut self.names, &mut self.firsts];
        let lists = maps.into_iter().flat_map(HashMap::values_mut);
        for list in lists.chain([&mut self.others]) {
            list.retain(|index| *index < len);
        }
    }
}
