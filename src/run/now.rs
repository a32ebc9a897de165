//! What runs at this moment, for whoever asks while the run goes on.
//!
//! Knows no clock: who asks says what time it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::error::escape;
use crate::event::{Briefing, Event, Hook};
use crate::task::{LibraryId, Progress, TaskId};

/// The run at one moment. Times are measured from its start.
#[derive(Default)]
pub(super) struct Now {
    /// Those that have begun and not ended.
    tasks: BTreeMap<TaskId, Doing>,
    hook: Option<(Hook, LibraryId, Duration)>,
}

/// What a task does.
struct Doing {
    what: What,
    since: Duration,
    attempt: u32,
    progress: Option<Progress>,
}

/// In the order in which it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// It runs on this worker.
    Runs(usize),
    /// It waits for other tasks.
    Waits,
    /// It will be tried again.
    Retries,
}

impl Now {
    pub(super) fn note(&mut self, event: &Event, now: impl FnOnce() -> Duration) {
        match event {
            Event::HookStarted(hook, library) => self.hook = Some((*hook, *library, now())),
            Event::HookFinished(..) => self.hook = None,
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                let doing = Doing {
                    what: What::Runs(*worker),
                    since: *at,
                    attempt: *attempt,
                    progress: None,
                };
                self.tasks.insert(*task, doing);
            }
            Event::Retrying {
                task, number, at, ..
            } => {
                let doing = Doing {
                    what: What::Retries,
                    since: *at,
                    attempt: number + 1,
                    progress: None,
                };
                self.tasks.insert(*task, doing);
            }
            Event::Paused { task, .. } => self.set(*task, |doing| doing.what = What::Waits),
            Event::Resumed { task, worker, .. } => {
                self.set(*task, |doing| doing.what = What::Runs(*worker));
            }
            Event::Progress { task, progress, .. } => {
                self.set(*task, |doing| doing.progress = Some(progress.clone()));
            }
            Event::Finished(finished) => {
                self.tasks.remove(&finished.task);
            }
            _ => {}
        }
    }

    fn set(&mut self, task: TaskId, change: impl FnOnce(&mut Doing)) {
        if let Some(doing) = self.tasks.get_mut(&task) {
            change(doing);
        }
    }

    /// Whole lines, escaped.
    pub(super) fn text(
        &self,
        briefing: &Briefing,
        (done, planned): (usize, usize),
        now: Duration,
    ) -> String {
        let seconds = |since: Duration| now.saturating_sub(since).as_secs_f64();
        let all = now.as_secs_f64();
        let mut text = format!("tdrun: {done} of {planned} tasks done after {all:.1}s, running:\n");
        if let Some((hook, library, since)) = self.hook {
            let path = &briefing.catalog.libraries[library.index()].path;
            let (hook, path) = (hook.as_str(), escape(path));
            let _ = writeln!(text, "    {hook} of `{path}` for {:.1}s", seconds(since));
        }
        let mut tasks: Vec<_> = self.tasks.iter().collect();
        tasks.sort_by_key(|(_, doing)| doing.what);
        for (task, doing) in tasks {
            let name = briefing.catalog.name(*task);
            let (name, seconds) = (escape(&name), seconds(doing.since));
            let _ = match doing.what {
                What::Runs(worker) => {
                    write!(text, "    [thread_{worker}] {name} for {seconds:.1}s")
                }
                What::Waits => write!(text, "    {name} for {seconds:.1}s, waits for other tasks"),
                What::Retries => {
                    write!(text, "    {name} waits for {seconds:.1}s to be tried again")
                }
            };
            if doing.attempt > 1 {
                let _ = write!(text, ", attempt {}", doing.attempt);
            }
            if let Some(progress) = &doing.progress {
                let _ = write!(text, ", {}", escape(&progress.to_string()));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attempt, Cause};
    use crate::task::{Arguments, Catalog, Ending, Library, Outcome, Task};
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    fn briefing(names: &[&str]) -> Briefing {
        let mut catalog = Catalog::default();
        let library = Library {
            name: "lib".into(),
            path: "lib.so".into(),
            setup: None,
            teardown: None,
        };
        let tasks = names.iter().map(|name| Task {
            name: (*name).into(),
            library: LibraryId(0),
            after: Box::default(),
            tags: Box::default(),
            doc: Box::default(),
            place: None,
            action: Arc::new(|_| Ending::Passed(None)),
            options: None,
            arguments: Arguments::default(),
        });
        catalog.add(library, tasks);
        Briefing {
            planned: catalog.ids().take(3).collect(),
            catalog: Arc::new(catalog),
            workers: 2,
            started: UNIX_EPOCH,
            state_arguments: Vec::new(),
        }
    }

    #[test]
    fn what_runs_what_waits_and_what_is_tried_again() {
        let briefing = briefing(&["a", "b", "c", "d"]);
        let [a, b, c, d] = [0, 1, 2, 3].map(TaskId::new);
        let at = Duration::from_secs(1);
        let started = |task, worker, attempt| Event::Started {
            task,
            worker,
            attempt,
            at,
        };
        let progress = Progress {
            done: 2,
            total: 5,
            what: "copy\x1bing".into(),
        };
        let attempt = Attempt {
            outcome: Outcome::Failed,
            cause: Cause::Skip("".into()),
            took: at,
        };
        let (worker, number) = (1, 1);
        let mut now = Now::default();
        for event in [
            started(a, 0, 1),
            Event::Paused {
                task: a,
                worker: 0,
                at,
            },
            started(d, 0, 3),
            Event::Progress {
                task: d,
                worker: 0,
                progress,
            },
            started(b, 1, 1),
            Event::Retrying {
                task: b,
                worker,
                number,
                attempt,
                at: 2 * at,
            },
            started(c, 1, 1),
        ] {
            now.note(&event, || at);
        }
        let expected = "\
tdrun: 0 of 4 tasks done after 5.0s, running:
    [thread_0] d for 4.0s, attempt 3, 40% copy\\u{1b}ing
    [thread_1] c for 4.0s
    a for 4.0s, waits for other tasks
    b waits for 3.0s to be tried again, attempt 2
";
        assert_eq!(now.text(&briefing, (0, 4), 5 * at), expected);
        let resumed = Event::Resumed {
            task: a,
            worker: 7,
            at,
        };
        now.note(&resumed, || at);
        let text = now.text(&briefing, (0, 4), 5 * at);
        assert!(text.contains("    [thread_7] a for 4.0s\n"), "{text}");
    }
}
