//! From options to the journal of a run: a new one, or that of a run that is taken up.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::blackbox;
use crate::cli::Options;
use crate::error::{Error, Result};
use crate::graph::{Graph, Links};
use crate::library::Files;
use crate::record::{Crash, Journal, Kept, Library, Now, Opening, Planned, Reading, Recorded};
use crate::run;
use crate::task::{Catalog, LibraryId, TaskId};

/// The journal that was asked for, locked, and what an earlier run has left there.
#[derive(Default)]
pub struct Journals {
    /// Where to write.
    pub journal: Option<Arc<Journal>>,
    /// What stands there already.
    pub recorded: Option<Recorded>,
}

/// A run that is taken up.
#[derive(Default)]
pub struct Taken {
    /// What stays.
    pub kept: Kept,
    /// In the order of `graph`, which tasks do; none where there was no earlier run.
    pub stays: Option<Vec<TaskId>>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// How many tasks stay; empty where there was no earlier run.
    pub note: String,
    /// How earlier processes of this run ended before their time.
    pub crashes: Vec<Crash>,
}

/// Opens what the options name, unless nothing is to run. Errors: those of [`Journal::create`] and [`Journal::take_up`];
/// `usage.output` where a report goes to the same file.
pub fn open(options: &Options) -> Result<Journals> {
    let mut journals = Journals::default();
    if options.look.is_some() {
        return Ok(journals);
    }
    refuse_clash(options)?;
    if let Some(resume) = &options.resume {
        let (journal, recorded) = Journal::take_up(&resume.path)?;
        journals.journal = Some(Arc::new(journal));
        journals.recorded = Some(recorded);
    } else if let Some(path) = &options.journal {
        journals.journal = Some(Arc::new(Journal::create(path)?));
    } else {
        // Nobody has asked for it: a run does without it as long as nothing crashes.
        journals.journal = Journal::private(note_unrecorded).map(Arc::new).ok();
        if journals.journal.is_none() {
            note_unrecorded();
        }
    }
    Ok(journals)
}

fn refuse_clash(options: &Options) -> Result<()> {
    let (journal, option) = match (&options.journal, &options.resume) {
        (Some(journal), _) => (journal, "--journal"),
        (None, Some(resume)) => (&resume.path, "--resume"),
        (None, None) => return Ok(()),
    };
    let view = &options.view;
    let reports = [("--junit", &view.junit), ("--events", &view.events)];
    for (other, report) in reports {
        if report
            .as_ref()
            .is_some_and(|report| is_same(report, journal))
        {
            let file = journal.display();
            let message = format!("`{option}` and `{other}` both write to `{file}`");
            return Err(Error::new("usage.output", message));
        }
    }
    Ok(())
}

/// The two lead to one file, which may not be there yet.
fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    one == other || matches!((whole(one), whole(other)), (Ok(one), Ok(other)) if one == other)
}

fn note_unrecorded() {
    if let Some(black_box) = blackbox::get() {
        black_box.note_unrecorded();
    }
}

/// The libraries as they were loaded; with the hash of their content where a journal is kept.
pub fn libraries(catalog: &Catalog, files: &Files, journals: &Journals) -> Vec<Library> {
    let is_kept = journals
        .journal
        .as_ref()
        .is_some_and(|journal| journal.is_kept());
    let all = catalog.libraries.iter().zip(files.stamps());
    let all = all.map(|(library, stamp)| {
        let (dev, ino) = stamp.id().numbers();
        let mut library = Library {
            name: library.name.clone(),
            path: stamp.path().to_owned(),
            dev,
            ino,
            size: stamp.size(),
            mtime: stamp.modified(),
            sha256: None,
        };
        // What was loaded is not what stands there where that has changed since.
        if is_kept && stamp.is_current() {
            library.hash();
        }
        library
    });
    all.collect()
}

/// Decides what stays of the run that is taken up. Errors: `resume.changed`.
pub fn resume(
    options: &Options,
    journals: &Journals,
    libraries: &[Library],
    (catalog, links, graph): (&Catalog, &mut Links, &Graph),
) -> Result<Taken> {
    let (Some(recorded), Some(resume)) = (&journals.recorded, &options.resume) else {
        return Ok(Taken::default());
    };
    let mut taken = Taken {
        warnings: recorded.warnings.clone(),
        ..Taken::default()
    };
    if recorded.is_empty() {
        return Ok(taken);
    }
    let shown = resume.path.display().to_string();
    let now = Now {
        shown: &shown,
        libraries,
        order: graph.topological(),
        changed: resume.changed,
    };
    let before = |task: TaskId| {
        if task.index() < graph.ids() {
            graph.dependencies(task)
        } else {
            &[]
        }
    };
    let find = |library: LibraryId, name: &str| {
        let there = links.get(catalog, library, name);
        there.or_else(|| links.given(catalog, library, name).ok().flatten())
    };
    let planned = |task| Planned::new(task, catalog.task(task));
    let resumed = recorded.resume(&now, planned, before, find)?;
    let of = graph.planned().len() + resumed.kept.added().len();
    let stays = resumed.stays.len();
    let (s, stay) = match (of, stays) {
        (1, 1) => ("", "stays as it is"),
        (1, _) => ("", "stay as they are"),
        (_, 1) => ("s", "stays as it is"),
        _ => ("s", "stay as they are"),
    };
    taken.note = format!("resumed {shown}: {stays} of {of} task{s} {stay}");
    taken.warnings.extend(resumed.warnings);
    (taken.kept, taken.stays) = (resumed.kept, Some(resumed.stays));
    Ok(taken)
}

/// The libraries and names of tasks of a run that has begun, also of those that were added while it went on. Errors: those of
/// [`Journal::read`].
pub fn names(
    journals: &Journals,
    catalog: &Catalog,
    tasks: &[TaskId],
) -> Result<HashSet<(LibraryId, Box<str>)>> {
    let (mut names, mut recorded) = (HashSet::new(), None);
    for &task in tasks {
        if task.index() < catalog.len() {
            let task = catalog.task(task);
            names.insert((task.library(), task.name().into()));
            continue;
        }
        if recorded.is_none() {
            let journal = journals.journal.as_ref();
            recorded = journal.map(|journal| journal.read()).transpose()?;
        }
        let added = recorded.as_ref().and_then(|it| it.added_as(task));
        names.extend(added.and_then(|(library, name)| {
            let mut libraries = catalog.libraries.iter();
            let library = libraries.position(|it| it.name == library)?;
            Some((LibraryId::new(library), name.into()))
        }));
    }
    Ok(names)
}

/// What a new process keeps that goes on with the run of one that is gone. `lost` is how those before have ended that did
/// so before their time, each of them.
///
/// Errors: those of [`Journal::read`]; `run.changed` where a library is another one by now.
pub fn go_on(
    journals: &Journals,
    lost: Vec<Crash>,
    libraries: &[Library],
    (catalog, links): (&Catalog, &mut Links),
) -> Result<Taken> {
    let mut taken = Taken::default();
    let Some(journal) = &journals.journal else {
        return Ok(taken);
    };
    // Cuts off what the other one did not come to write to its end.
    let mut reading = Reading::default();
    journal.read_on(&mut reading)?;
    let known = reading.recorded().crashes.len();
    let newest = lost.last().cloned();
    record_lost(journal, known, lost);
    refuse_changed(reading.recorded().libraries(), libraries, newest.as_ref())?;
    journal.read_on(&mut reading)?;
    let mut recorded = reading.finish();
    taken.warnings = std::mem::take(&mut recorded.warnings);
    let mut find = |library: LibraryId, name: &str| {
        let there = links.get(catalog, library, name);
        there.or_else(|| links.given(catalog, library, name).ok().flatten())
    };
    taken.kept = recorded.restart(|library, name| {
        let library = catalog.libraries.iter().position(|l| l.name == library)?;
        find(LibraryId::new(library), name)
    });
    if let Some(black_box) = blackbox::get() {
        // Of tasks that have other ids by now, people are told once more.
        if let Some(first) = taken.kept.moved() {
            (first.index()..catalog.len())
                .for_each(|task| black_box.forget_told(TaskId::new(task)));
        }
        let told = catalog.ids().filter(|task| black_box.is_told(*task));
        let begun = catalog.ids().filter(|task| black_box.is_start_told(*task));
        taken.kept.told(told, black_box.tries_told(), begun);
    }
    taken.crashes = recorded.crashes;
    for crash in &mut taken.crashes {
        crash.suspects.retain(|task| task.index() < catalog.len());
    }
    Ok(taken)
}

/// Records what earlier processes have left behind, and how they were lost, where so many of that are recorded already.
fn record_lost(journal: &Arc<Journal>, known: usize, lost: Vec<Crash>) {
    let running = run::recover(journal);
    if lost.len() <= known {
        journal.again();
    }
    // One that has come to record how those before it ended has recorded all of them.
    for mut lost in lost.into_iter().skip(known) {
        let task = running.iter().find(|(task, ..)| lost.task == Some(*task));
        if let Some((_, worker, since)) = task {
            (lost.worker, lost.took) = (Some(*worker), lost.at.saturating_sub(*since));
        }
        journal.crash(&lost);
    }
}

/// Records what earlier processes have left behind with which nobody goes on. False where nothing is recorded.
pub fn record_last(journals: &Journals, lost: Vec<Crash>) -> bool {
    let Some(journal) = &journals.journal else {
        return false;
    };
    let Ok(recorded) = journal.read() else {
        return false;
    };
    record_lost(journal, recorded.crashes.len(), lost);
    true
}

/// What has ended was other code than what would run now.
fn refuse_changed(then: &[Library], now: &[Library], lost: Option<&Crash>) -> Result<()> {
    let is_new = |library: &&Library| !then.iter().any(|then| then.is_same(library));
    let Some(changed) = now.iter().find(is_new) else {
        return Ok(());
    };
    let path = changed.path.display();
    let message = format!("`{path}` has changed while its tasks ran, so the run cannot go on");
    let mut error = Error::new("run.changed", message);
    if let Some(words) = lost.and_then(|lost| lost.words.as_deref()) {
        error = error.hint(format!("the process that ran them was lost: {words}"));
    }
    Err(error)
}

/// The names of so many tasks are recorded in any case: they are told where nobody can go on.
const NAMED_MOST: usize = 1000;

/// Records that the run begins, and what stays; the names of its tasks too where a report `needs_names`. From here on trouble with the journal changes nothing but the exit status.
pub fn begin(
    journals: &Journals,
    taken: &Taken,
    libraries: &[Library],
    (catalog, graph): (&Catalog, &Graph),
    needs_names: bool,
) {
    let Some(journal) = &journals.journal else {
        return;
    };
    let argv: Vec<_> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let opening = Opening {
        started: SystemTime::now(),
        argv: &argv,
        planned: graph.planned().len(),
        libraries,
        is_named: journal.is_kept() || needs_names || graph.planned().len() <= NAMED_MOST,
    };
    let tasks = graph.planned().iter().chain(taken.kept.added());
    let planned = tasks.map(|task| Planned::new(*task, catalog.task(*task)));
    journal.open(&opening, planned);
    if let Some(stays) = &taken.stays {
        journal.keep(stays.iter().copied());
    }
}
