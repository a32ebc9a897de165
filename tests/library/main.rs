//! The library room from outside: files that cannot be loaded, tables that are wrong, calls that go both ways, the end.
//!
//! Knows nothing of runs; the host is a mock.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../task-abi/tests/host/cpp.rs"]
mod compiler;

mod calls;
mod cpp;
mod ends;
mod files;
mod mock;
mod options;
mod tables;
mod templates;

use std::path::Path;

use tdrun::error::Error;
use tdrun::library::{self, Loaded};
use tdrun::task::{Level, LibraryId, TaskRef, Template};

/// Loads a library under its file name.
fn load(path: &Path) -> Result<Loaded, Error> {
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    library::load(path, &shown, LibraryId(0), Some(Level::Info))
}

/// All tasks that are there from the start.
fn plain(loaded: &Loaded) -> Vec<TaskRef<'_>> {
    loaded.tasks.iter().collect()
}

/// The templates.
fn templates_of(loaded: &Loaded) -> Vec<&Template> {
    loaded.tasks.templates().iter().collect()
}

/// Expects a library to be refused.
fn refusal(path: &Path) -> Error {
    match load(path) {
        Ok(_) => panic!("`{}` was loaded", path.display()),
        Err(error) => error,
    }
}

/// Expects an error with this id and these words in message or hints.
fn assert_error(error: &Error, id: &str, words: &[&str], case: &str) {
    let text = error.to_string();
    assert_eq!(error.id(), id, "{case}: {text}");
    for word in words {
        assert!(text.contains(word), "{case}: no `{word}` in {text}");
    }
}
