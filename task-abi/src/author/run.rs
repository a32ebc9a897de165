//! Calls a task or a hook and tells the host how it ended. Nothing that the author wrote can unwind out of here.
//!
//! Knows the order of things at the end of a task; knows nothing of tables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::Context;
use super::current::Current;
use super::failure::{Failure, Place};
use super::register::{Body, Site};
use super::{logger, panics};
use crate::raw;

/// Runs a task from beginning to end and returns its status.
pub(crate) fn task(context: &Context, body: Body, site: &Site) -> i32 {
    let ended = call(context, body).and_then(|result| match result {
        Some(json) => store(context, &json),
        None => Ok(()),
    });
    report(context, ended, site)
}

/// Runs the hooks of `setup` in order, up to the first that does not pass.
pub(crate) fn setup<'a>(hooks: impl Iterator<Item = (Context, Body, &'a Site)>) -> i32 {
    for (context, body, site) in hooks {
        let status = report(&context, call(&context, body).map(drop), site);
        if status != raw::OK {
            return status;
        }
    }
    raw::OK
}

/// Runs all hooks of `teardown`, whatever becomes of them. Of several failures the host gets all messages.
pub(crate) fn teardown<'a>(hooks: impl Iterator<Item = (Context, Body, &'a Site)>) -> i32 {
    let mut failed: Option<(Context, String, Place)> = None;
    for (context, body, site) in hooks {
        let Err(failure) = call(&context, body) else {
            continue;
        };
        if failure.is_skip() {
            continue;
        }
        match &mut failed {
            None => failed = Some((context, failure.message().to_owned(), place(&failure, site))),
            Some((_, message, _)) => {
                let Place { file, line } = place(&failure, site);
                let _ = write!(message, "\nand {file}:{line}: {}", failure.message());
            }
        }
    }
    failed.map_or(raw::OK, |(context, message, place)| {
        context.handle().fail(&message, &place.file, place.line);
        raw::FAIL
    })
}

/// The author's code, with all that goes on around it on its thread.
fn call(context: &Context, body: Body) -> Result<Option<String>, Failure> {
    logger::refresh(context.handle());
    panics::forget();
    let _current = Current::enter(*context, true);
    let ended = catch_unwind(AssertUnwindSafe(|| body(context)))
        .unwrap_or_else(|payload| Err(panics::failure(payload)));
    // Nobody else will: the library has a standard output of its own, which the host's exit does not know of.
    let _ = std::io::stdout().flush();
    ended
}

fn store(context: &Context, json: &str) -> Result<(), Failure> {
    let stored = context.handle().set_result(json);
    stored.map_err(|error| Failure::without_place(error.to_string()))
}

fn report(context: &Context, ended: Result<(), Failure>, site: &Site) -> i32 {
    match ended {
        Ok(()) => raw::OK,
        Err(failure) if failure.is_skip() => {
            context.handle().skip(failure.message());
            raw::SKIP
        }
        Err(failure) => {
            let Place { file, line } = place(&failure, site);
            context.handle().fail(failure.message(), &file, line);
            raw::FAIL
        }
    }
}

/// Where it failed, or at least where the task is declared.
fn place(failure: &Failure, site: &Site) -> Place {
    failure.place().cloned().unwrap_or_else(|| Place {
        file: site.file.to_owned(),
        line: site.line,
    })
}
