//! All the libraries of a run: each file once, each with a name of its own.
//!
//! Knows nothing of what stands in a library.

use std::collections::HashMap;
use std::path::Path;

use super::{FileId, Loaded, Stamp, identity, load};
use crate::error::Result;
use crate::target::Target;
use crate::task::{Catalog, Level, LibraryId};

/// What the targets of a command line come to.
#[derive(Default)]
pub struct Shelf {
    /// All libraries and tasks.
    pub catalog: Catalog,
    /// By target: its library.
    pub targets: Vec<LibraryId>,
    /// What the user should know although it is no error.
    pub warnings: Vec<String>,
    /// The files as they were loaded.
    pub files: Files,
    loaded: HashMap<FileId, LibraryId>,
}

/// Loads the libraries of all targets, in their order. Two targets that lead to one file share it.
///
/// `level` is the most verbose level that anybody listens to; `begin` is called before each target. Errors: those of
/// [`load`].
pub fn load_all(targets: &[Target], level: Option<Level>, begin: &dyn Fn(usize)) -> Result<Shelf> {
    let mut shelf = Shelf::default();
    for (number, target) in targets.iter().enumerate() {
        begin(number);
        let library = shelf.library_of(target, level)?;
        shelf.targets.push(library);
    }
    Ok(shelf)
}

/// Loads one library by itself, which the user calls `shown`.
///
/// Errors: those of [`load`].
pub fn load_one(path: &Path, shown: &str, level: Option<Level>) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    let loaded = load(path, shown, LibraryId::new(0), level)?;
    catalog.add_tasks(loaded.library, loaded.tasks);
    Ok(catalog)
}

/// The files of libraries as they were when they were loaded.
#[derive(Default)]
pub struct Files(Vec<(String, Stamp)>);

impl Files {
    /// The files, by library.
    pub fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.0.iter().map(|(_, stamp)| stamp)
    }

    /// A warning for each file that is another one by now, or has other content.
    pub fn changed(&self) -> Vec<String> {
        let changed = self.0.iter().filter(|(_, stamp)| !stamp.is_current());
        let warning = |(shown, _): &(String, Stamp)| {
            format!(
                "`{shown}` has changed since it was loaded; what ran is as it was then (load.changed)"
            )
        };
        changed.map(warning).collect()
    }
}

impl Shelf {
    fn library_of(&mut self, target: &Target, level: Option<Level>) -> Result<LibraryId> {
        let shown = target.path.to_string_lossy();
        let known = identity(&target.path).and_then(|file| self.loaded.get(&file).copied());
        if let Some(known) = known {
            self.warn_of_second(known, &shown, target.selector.is_none());
            return Ok(known);
        }
        let id = LibraryId::new(self.catalog.libraries.len());
        let mut loaded = load(&target.path, &shown, id, level)?;
        self.make_unique(&mut loaded);
        self.loaded.insert(loaded.file.id(), id);
        self.files.0.push((shown.into_owned(), loaded.file));
        self.warnings.extend(loaded.warnings);
        self.catalog.add_tasks(loaded.library, loaded.tasks);
        Ok(id)
    }

    /// One library with two selectors is as it should be; two paths, or one that is named twice as a whole, may be a slip.
    fn warn_of_second(&mut self, library: LibraryId, shown: &str, whole: bool) {
        let first = &self.catalog.libraries[library.index()].path;
        if first != shown {
            let warning = format!("`{first}` and `{shown}` are one library; it is loaded once");
            self.warnings.push(warning);
        } else if whole {
            self.warnings
                .push(format!("`{shown}` is named twice; it is loaded once"));
        }
    }

    /// A second library of a name becomes `name-2`, so that `library::task` is clear.
    fn make_unique(&self, loaded: &mut Loaded) {
        let taken = |name: &str| {
            self.catalog
                .libraries
                .iter()
                .any(|other| other.name == name)
        };
        let plain = loaded.library.name.clone();
        let mut number = 2;
        while taken(&loaded.library.name) {
            loaded.library.name = format!("{plain}-{number}");
            number += 1;
        }
    }
}
