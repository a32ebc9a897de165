//! Setup and teardown: each on a thread of its own, one after the other, while nothing else of the libraries runs.

use std::sync::Arc;
use std::thread;

use super::messages::Message;
use super::pump::Pump;
use super::seat::{Callee, Seat};
use crate::blackbox;
use crate::error::Error;
use crate::event::{Briefing, Event, Hook, Source, Stop};
use crate::pool::STACK;
use crate::record::Crash;
use crate::task::{Action, Ending, Failure, Library, LibraryId};

/// Calls the setup of each library that has selected tasks, until one does not pass. Gives the libraries whose setup was
/// begun: theirs is the teardown.
pub(super) fn set_up(pump: &mut Pump<'_>) -> Vec<LibraryId> {
    let mut begun = Vec::new();
    if pump.services.recording.is_idle() {
        return begun;
    }
    for library in libraries(pump) {
        if pump.stopped.is_some() || pump.left {
            break;
        }
        begun.push(library);
        if !call(pump, Hook::Setup, library) {
            pump.control.stop(Stop::Setup);
            break;
        }
    }
    pump.services.prepared(&begun);
    begun
}

/// Calls the teardowns, the last library's first; all of them, whatever came before, unless the run is being left.
pub(super) fn tear_down(pump: &mut Pump<'_>, libraries: &[LibraryId]) {
    for &library in libraries.iter().rev() {
        if pump.left {
            break;
        }
        call(pump, Hook::Teardown, library);
    }
}

fn libraries(pump: &Pump<'_>) -> Vec<LibraryId> {
    let Briefing {
        catalog, planned, ..
    } = pump.briefing;
    if let ([_], Some(first)) = (&*catalog.libraries, planned.first()) {
        return vec![catalog.task(*first).library()];
    }
    let planned = planned.iter();
    let mut libraries: Vec<_> = planned.map(|task| catalog.task(*task).library()).collect();
    libraries.dedup();
    libraries
}

/// Calls a hook and waits for it; whether it passed.
fn call(pump: &mut Pump<'_>, hook: Hook, library: LibraryId) -> bool {
    let definition = &pump.briefing.catalog.libraries[library.index()];
    if action(definition, hook).is_none() {
        return true;
    }
    if let Some(failure) = pump.services.recording.hook(hook, library) {
        pump.errors.push(error(hook, &definition.path, &failure));
        let finished = Event::HookFinished(hook, library, Err(failure));
        pump.report(&mut Event::Known(Box::new(finished)));
        return false;
    }
    pump.report(&mut Event::HookStarted(hook, library));
    if let Some(failure) = crashed(pump, hook, library) {
        return over(pump, hook, library, Err(failure));
    }
    pump.hook_runs = true;
    note(Some(blackbox::Hook {
        is_setup: hook == Hook::Setup,
        library,
    }));
    let end = match start(pump, hook, library) {
        Ok(()) => pump.until_hook_done(),
        Err(error) => Some(Err(Failure {
            message: format!("cannot start a thread: {error}").into(),
            place: None,
        })),
    };
    pump.hook_runs = false;
    note(None);
    match end {
        Some(Err(failure)) if pump.is_cancelled() && hook == Hook::Setup => {
            pump.report(&mut Event::HookCancelled(hook, library, failure));
            false
        }
        Some(end) => over(pump, hook, library, end),
        None => false,
    }
}

/// How the hook ended that took an earlier process with it. It is not called again.
fn crashed(pump: &Pump<'_>, hook: Hook, library: LibraryId) -> Option<Failure> {
    let is_this = |crash: &&Crash| {
        crash.hook.as_deref() == Some(hook.as_str()) && crash.library == Some(library)
    };
    let crash = pump.services.lost.iter().find(is_this)?;
    let words = crash.words.as_deref();
    Some(Failure {
        message: words.unwrap_or("ended the whole process").into(),
        place: None,
    })
}

/// A hook has ended; whether it passed.
fn over(pump: &mut Pump<'_>, hook: Hook, library: LibraryId, end: Result<(), Failure>) -> bool {
    let definition = &pump.briefing.catalog.libraries[library.index()];
    if let Err(failure) = &end {
        pump.errors.push(error(hook, &definition.path, failure));
    }
    if let Some(journal) = pump.services.recording.journal() {
        journal.hook(hook, &definition.name, &end);
    }
    let passed = end.is_ok();
    pump.report(&mut Event::HookFinished(hook, library, end));
    passed
}

/// For who asks when this process is gone.
fn note(hook: Option<blackbox::Hook>) {
    if let Some(black_box) = blackbox::get() {
        black_box.calls(hook);
    }
}

fn start(pump: &Pump<'_>, hook: Hook, library: LibraryId) -> std::io::Result<()> {
    let (services, control) = (Arc::clone(&pump.services), pump.control.clone());
    let call = move || {
        let definition = &services.catalog.libraries[library.index()];
        let Some(action) = action(definition, hook) else {
            return;
        };
        let source = Source::Hook(hook, library);
        let callee = Callee {
            source,
            attempt: 1,
            deadline: None,
            heeds_stop: services.heeds_stop(source),
        };
        let ending =
            Seat::new(&services, &control).call(&callee, |caller| Some(Box::new(action(caller))));
        let end = match ending.map(|ending| *ending) {
            Some(Ending::Failed(failure) | Ending::Exited { failure, .. }) => Err(failure),
            _ => Ok(()),
        };
        services.outbox.send(Message::HookDone(end));
    };
    let thread = thread::Builder::new()
        .name(hook.as_str().into())
        .stack_size(STACK);
    thread.spawn(call).map(drop)
}

fn action(library: &Library, hook: Hook) -> Option<&Action> {
    match hook {
        Hook::Setup => library.setup.as_ref(),
        Hook::Teardown => library.teardown.as_ref(),
    }
}

fn error(hook: Hook, path: &str, failure: &Failure) -> Error {
    let id = match hook {
        Hook::Setup => "setup.failed",
        Hook::Teardown => "teardown.failed",
    };
    let place = failure
        .place
        .as_ref()
        .map_or_else(String::new, |place| format!(" ({place})"));
    Error::new(
        id,
        format!(
            "{} of `{path}` failed: {}{place}",
            hook.as_str(),
            failure.message
        ),
    )
}
