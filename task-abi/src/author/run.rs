//! Calls a task or a hook and tells the host how it ended. Nothing that the author wrote can unwind out of here.
//!
//! Knows the order of things at the end of a task; knows nothing of tables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::Context;
use super::current::Current;
use super::failure::{Failure, Place};
use super::register::{HookSpec, Site};
use super::{logger, panics};
use crate::raw;

/// Runs a task from beginning to end and returns its status.
pub(crate) fn task(
    context: &Context,
    body: impl Fn(&Context) -> Result<Option<String>, Failure>,
    site: &Site,
) -> i32 {
    let ended = call(context, body).and_then(|result| match result {
        Some(json) => store(context, &json),
        None => Ok(()),
    });
    report(context, ended, site)
}

/// Runs the hooks of `setup` in order, up to the first that does not pass.
pub(crate) fn setup<'a>(hooks: impl Iterator<Item = (Context, &'a HookSpec)>) -> i32 {
    for (context, hook) in hooks {
        let ended = call(&context, hook.body).map(drop);
        let status = report(&context, ended, &hook.site);
        if status != raw::OK {
            return status;
        }
    }
    raw::OK
}

/// Runs all hooks of `teardown`, whatever becomes of them. Of several failures the host gets all messages.
pub(crate) fn teardown<'a>(hooks: impl Iterator<Item = (Context, &'a HookSpec)>) -> i32 {
    let mut failed: Option<(Context, String, Place)> = None;
    for (context, hook) in hooks {
        let site = &hook.site;
        let Err(failure) = call(&context, hook.body) else {
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
fn call(
    context: &Context,
    body: impl Fn(&Context) -> Result<Option<String>, Failure>,
) -> Result<Option<String>, Failure> {
    logger::refresh(context.handle());
    let ended = quietly(*context, || body(context));
    // Nobody else will: the library has a standard output of its own, which the host's exit does not know of.
    let _ = std::io::stdout().flush();
    ended
}

/// Calls the author's code on this thread; a panic is a failure that nobody prints.
pub(crate) fn quietly<T>(
    context: Context,
    code: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    panics::forget();
    let _current = Current::enter(context, true);
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|payload| Err(panics::failure(payload)))
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
