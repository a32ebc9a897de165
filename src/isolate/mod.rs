//! Tasks in processes of their own.
//!
//! Knows processes, and how task and run talk from one to the other; nothing of which task comes next.
//!
//! Four kinds of processes take part. The *runner* is the one that the user sees: its workers have a [`Launcher`] that has a
//! process started for a task and serves it. The *server* is forked from the runner when that has loaded the libraries and has
//! one thread, and does nothing else, so that to fork it is cheap and safe. For each worker that needs one it forks a *forker*,
//! which forks the *task processes* of that worker, one after the other. Such a process calls the task. What a task asks for goes over a socket of its own to the runner, which is the one that knows.
//!
//! [`Launcher`]: crate::task::Launcher

mod child;
mod forker;
mod fresh;
mod launcher;
mod order;
mod output;
mod server;
mod session;
mod wire;
mod word;

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

pub use fresh::Hidden;
pub use launcher::{Apart, OnGone};

use crate::error::{Error, Result};
use crate::process::{self, Side, Single, socket};
use crate::task::{Action, Caller, Catalog, Level, LibraryId, TaskId};
use fresh::Fresh;
use order::What;
use server::How;
use session::Judge;

/// Which tasks run in processes of their own, and how those are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Which.
    pub which: Which,
    /// What their processes are started with.
    pub under: Option<Under>,
}

/// Which tasks run in processes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that ask for it.
    Asking,
    /// Those, and all that have a timeout or whose library ends the process when it panics.
    Auto,
    /// All.
    All,
    /// None.
    Never,
}

/// A command that starts the process of a task: itself and its arguments, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Under {
    /// For each task.
    Prefix(Vec<String>),
    /// For the one that is looked into.
    Debugger(Vec<String>),
}

/// So many open files have to be allowed: who starts processes keeps their places free.
const FILES_MIN: u64 = 32;

/// What else there is to know.
pub struct Setting {
    /// All tasks are given a time.
    pub has_timeout: bool,
    /// Output is told line by line, and not kept.
    pub live: bool,
    /// The most verbose level that anybody listens to.
    pub level: Option<Level>,
    /// These run in processes of their own whatever the user wants, as one of them has taken a process with it. They may not
    /// be made yet.
    pub suspects: HashSet<(LibraryId, Box<str>)>,
    /// The one that is looked into under a debugger, and what it gets as standard input, output and error.
    pub looked_into: Option<(TaskId, [OwnedFd; 3])>,
    /// Gets ready what a call of a library's function needs, without one.
    pub warm_up: fn(&Caller<'_>),
    /// Called in the process of a task when that has ended.
    pub at_end: Option<fn()>,
    /// Called when no task can be run any more; should not come back.
    pub on_gone: OnGone,
}

/// What was started.
pub struct Started {
    /// Runs tasks.
    pub apart: Arc<Apart>,
    /// What people should know about it.
    pub note: Option<String>,
}

/// Starts the server, where there is a task for it, and has the catalog run such tasks in processes. To be called before the
/// first thread is started, and before descriptors are opened that nobody else should have.
///
/// Errors: `isolate.fork` where there can be no server, `isolate.limit` where it could not do its work.
pub fn start(
    catalog: &mut Catalog,
    isolation: &Isolation,
    setting: Setting,
) -> Result<Option<Started>> {
    let failed = |error: std::io::Error| {
        Error::new(
            "isolate.fork",
            format!("cannot start processes for tasks: {error}"),
        )
    };
    let (control, its_control) = socket::messages().map_err(failed)?;
    let looked_into = setting.looked_into;
    let mut apart = Apart {
        which: isolation.which,
        looked_into: looked_into.as_ref().map(|(task, _)| {
            let task = catalog.task(*task);
            (task.library(), task.name().into())
        }),
        suspects: setting.suspects,
        has_timeout: setting.has_timeout,
        aborts: catalog
            .libraries
            .iter()
            .map(|library| library.aborts)
            .collect(),
        loaded: catalog.len(),
        live: setting.live,
        fresh: None,
        control,
        words: &[],
        next: AtomicU32::new(1),
        lanes: std::sync::Mutex::default(),
        back: std::sync::Condvar::new(),
        on_gone: setting.on_gone,
    };
    let is_wanted = |task| crate::task::Launcher::takes(&apart, task);
    if apart.suspects.is_empty()
        && !catalog.tasks().any(is_wanted)
        && !catalog
            .templates
            .iter()
            .any(|t| is_wanted((&t.task).into()))
    {
        return Ok(None);
    }
    check_limit()?;
    process::flush_streams();
    let mut note = None;
    let single = Single::check();
    match (&isolation.under, single) {
        (None, Some(single)) => {
            apart.words = process::words(launcher::WORDS).map_err(failed)?;
            let me = process::id();
            match single.fork().map_err(failed)? {
                Side::Child => {
                    // Nothing here ever ends otherwise than with the process.
                    let catalog = Box::leak(Box::new(std::mem::take(catalog)));
                    catalog.keep_calls_only();
                    let how = How::Fork(catalog, apart.words, setting.warm_up, setting.at_end);
                    server::serve(how, its_control, me)
                }
                Side::Parent(_) => {}
            }
        }
        (under, _) => {
            if under.is_none() {
                let threads = process::threads() - 1;
                let s = if threads == 1 { "" } else { "s" };
                note = Some(format!(
                    "{} started {threads} thread{s} at load; tasks run in fresh processes",
                    paths(catalog)
                ));
            }
            let words = match under {
                Some(Under::Prefix(words) | Under::Debugger(words)) => words.clone(),
                None => Vec::new(),
            };
            let paths = catalog.libraries.iter().map(|library| {
                let path = std::path::absolute(&library.path).map_err(failed)?;
                Ok((path, library.path.clone()))
            });
            apart.fresh = Some(Fresh {
                libraries: paths.collect::<Result<_>>()?,
                level: setting.level,
                judge: match under {
                    Some(Under::Debugger(_)) => Judge::Person,
                    Some(Under::Prefix(_)) => Judge::Word,
                    None => Judge::Both,
                },
                command: words.first().map_or("", |word| word).into(),
                terminal: looked_into.map(|(_, terminal)| terminal),
            });
            // They know no ids.
            apart.loaded = 0;
            let file = process::file_of_words(launcher::WORDS).map_err(failed)?;
            apart.words = process::words_of(&file).map_err(failed)?;
            fresh::start_server(&its_control, &file, words).map_err(failed)?;
        }
    }
    // What the server would adopt is there for somebody where that is gone.
    process::adopt_orphans();
    let apart = Arc::new(apart);
    if isolation.which == Which::All && apart.looked_into.is_none() {
        wrap_hooks(catalog, &apart);
    }
    catalog.set_launcher(Arc::clone(&apart) as _);
    Ok(Some(Started { apart, note }))
}

fn check_limit() -> Result<()> {
    let files = process::most_files();
    if files >= FILES_MIN {
        return Ok(());
    }
    let message = format!("cannot start processes for tasks with {files} open files");
    let error = Error::new("isolate.limit", message);
    Err(error.hint("raise the limit with `ulimit -n 1024`"))
}

fn paths(catalog: &Catalog) -> String {
    let paths: Vec<_> = catalog
        .libraries
        .iter()
        .map(|l| format!("`{}`", l.path))
        .collect();
    match &*paths {
        [path] => path.clone(),
        paths => format!("one of {}", paths.join(", ")),
    }
}

/// Hooks run in processes too: what stays of them is what they tell the run.
fn wrap_hooks(catalog: &mut Catalog, apart: &Arc<Apart>) {
    let wrapped = |what: What| -> Action {
        let apart = Arc::clone(apart);
        Arc::new(move |caller| apart.hook(&what, caller))
    };
    for (index, library) in catalog.libraries.iter_mut().enumerate() {
        let id = LibraryId::new(index);
        if let Some(hook) = &mut library.setup {
            *hook = wrapped(What::Setup(id));
        }
        if let Some(hook) = &mut library.teardown {
            *hook = wrapped(What::Teardown(id));
        }
    }
}
