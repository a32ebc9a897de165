//! What runs at this moment, for whoever asks while the run goes on.
//!
//! Knows no clock: who asks says what time it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::error::escape;
use crate::event::{Briefing, Event, Hook};
use crate::task::{LibraryId, TaskId};

/// The run at one moment. Times are measured from its start.
#[derive(Default)]
pub(super) struct Now {
    done: usize,
    /// By worker.
    tasks: BTreeMap<usize, (TaskId, Duration)>,
    hook: Option<(Hook, LibraryId, Duration)>,
}

impl Now {
    pub(super) fn note(&mut self, event: &Event, now: impl FnOnce() -> Duration) {
        match event {
            Event::HookStarted(hook, library) => self.hook = Some((*hook, *library, now())),
            Event::HookFinished(..) => self.hook = None,
            Event::Started {
                task, worker, at, ..
            } => {
                self.tasks.insert(*worker, (*task, *at));
            }
            Event::Finished(finished) => {
                self.done += 1;
                if let Some(worker) = &finished.worker {
                    self.tasks.remove(worker);
                }
            }
            _ => {}
        }
    }

    /// Whole lines, escaped.
    pub(super) fn text(&self, briefing: &Briefing, now: Duration) -> String {
        let seconds = |since: Duration| now.saturating_sub(since).as_secs_f64();
        let (done, planned) = (self.done, briefing.planned.len());
        let all = now.as_secs_f64();
        let mut text = format!("tdrun: {done} of {planned} tasks done after {all:.1}s, running:\n");
        if let Some((hook, library, since)) = self.hook {
            let path = &briefing.catalog.libraries[library.index()].path;
            let (hook, path) = (hook.as_str(), escape(path));
            let _ = writeln!(text, "    {hook} of `{path}` for {:.1}s", seconds(since));
        }
        for (worker, (task, since)) in &self.tasks {
            let name = briefing.catalog.name(*task);
            let name = escape(&name);
            let _ = writeln!(
                text,
                "    [thread_{worker}] {name} for {:.1}s",
                seconds(*since)
            );
        }
        text
    }
}
