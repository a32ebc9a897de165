//! For tests: catalogs and graphs from a few words.

use super::{Graph, Links};
use crate::error::Result;
use std::sync::Arc;

use crate::task::{Arguments, Catalog, Ending, Library, LibraryId, Task};

pub(crate) fn library(name: &str) -> Library {
    Library {
        name: name.into(),
        path: format!("lib{name}.so"),
        setup: None,
        teardown: None,
    }
}

pub(crate) fn task(library: u32, name: &str, after: &[&str]) -> Task {
    Task {
        name: name.into(),
        library: LibraryId(library),
        after: after.iter().map(|&name| name.into()).collect(),
        tags: [].into(),
        doc: "".into(),
        place: None,
        action: Arc::new(|_| Ending::Passed(None)),
        options: None,
        arguments: Arguments::default(),
    }
}

/// A catalog of one library `x` from words like `b<a,c`: `b` after `a` and `c`.
pub(crate) fn catalog(words: &str) -> Catalog {
    let tasks = words.split_whitespace().map(|word| {
        let (name, after) = word.split_once('<').unwrap_or((word, ""));
        let after: Vec<_> = after.split(',').filter(|name| !name.is_empty()).collect();
        task(0, name, &after)
    });
    let mut catalog = Catalog::default();
    catalog.add(library("x"), tasks);
    catalog
}

pub(crate) fn graph(catalog: &Catalog) -> Result<Graph> {
    Graph::new(catalog, &Links::resolve(catalog)?, catalog.ids().collect())
}
