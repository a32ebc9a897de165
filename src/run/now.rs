//! How far the run is and what runs at this moment, for displays and for whoever asks.
//!
//! Knows no clock: who asks says what time it is, and what runs on the lane.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::error::escape;
use crate::event::{Briefing, Counts, Event, Hook, Moment, Running, Source};
use crate::report::signal_name;
use crate::task::{LibraryId, Observed, Outcome, TaskId};

/// What has been told of the run so far. Times are measured from its start.
#[derive(Default)]
pub(super) struct Now {
    planned: usize,
    /// How many have ended, and how.
    done: usize,
    counts: Counts,
    /// Those that have begun and not ended.
    tasks: BTreeMap<TaskId, (What, Running)>,
    hook: Option<(Hook, LibraryId, Duration)>,
}

/// What a task does.
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
    pub(super) fn new(planned: usize) -> Self {
        Self {
            planned,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, event: &Event, now: impl FnOnce() -> Duration) {
        match event {
            Event::HookStarted(hook, library) => self.hook = Some((*hook, *library, now())),
            Event::HookFinished(..) | Event::HookCancelled(..) => self.hook = None,
            Event::Planned(tasks) => self.planned += tasks.len(),
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                let running = Running::new(*task, *attempt, *at);
                self.tasks.insert(*task, (What::Runs(*worker), running));
            }
            Event::Retrying {
                task, number, at, ..
            } => {
                let running = Running::new(*task, number + 1, *at);
                self.tasks.insert(*task, (What::Retries, running));
            }
            Event::Paused { task, .. } => self.set(*task, |(what, _)| *what = What::Waits),
            Event::Resumed { task, worker, .. } => {
                self.set(*task, |(what, _)| *what = What::Runs(*worker));
            }
            Event::Progress { task, progress, .. } => {
                self.set(*task, |(_, running)| {
                    running.progress = Some(progress.clone());
                });
            }
            Event::Observed {
                source: Source::Task(task, _),
                observed,
            } => match observed {
                Observed::Stopped(signal) => {
                    self.set(*task, |(_, running)| running.stopped = Some(*signal));
                }
                Observed::Continued => self.set(*task, |(_, running)| running.stopped = None),
                _ => {}
            },
            Event::Finished(finished) => {
                self.done += 1;
                self.counts.add(finished.outcome);
                self.tasks.remove(&finished.task);
            }
            _ => {}
        }
    }

    fn set(&mut self, task: TaskId, change: impl FnOnce(&mut (What, Running))) {
        if let Some(doing) = self.tasks.get_mut(&task) {
            change(doing);
        }
    }

    /// So many have passed of which nothing was told.
    pub(super) fn passed(&mut self, count: usize) {
        self.done += count;
        self.counts.add_many(Outcome::Passed, count);
    }

    /// How many tasks have ended, and of how many.
    pub(super) fn done(&self) -> (usize, usize) {
        (self.done, self.planned)
    }

    /// It was told that this task has begun, and not how it ended.
    pub(super) fn has_begun(&self, task: TaskId) -> bool {
        let doing = self.tasks.get(&task);
        doing.is_some_and(|(what, _)| *what != What::Retries)
    }

    /// There are such tasks.
    pub(super) fn has_any_begun(&self) -> bool {
        let mut doing = self.tasks.values();
        doing.any(|(what, _)| *what != What::Retries)
    }

    /// The run at this moment, with so many workers, and with what runs on the lane: on which worker, and since when.
    pub(super) fn moment(
        &self,
        at: Duration,
        workers: usize,
        on_lane: &[(usize, TaskId, u64)],
    ) -> Moment {
        let mut places = vec![None; workers];
        let mut put = |worker: usize, running| {
            // A new worker may be seen before it was told that tasks have been added.
            places.resize(places.len().max(worker + 1), None);
            places[worker] = Some(running);
        };
        let mut waiting = 0;
        for (what, running) in self.tasks.values() {
            match what {
                What::Runs(worker) => put(*worker, running.clone()),
                What::Waits => waiting += 1,
                What::Retries => {}
            }
        }
        for &(worker, task, since) in on_lane {
            // What was told of a worker before may be over.
            if !self.has_begun(task) {
                put(worker, Running::new(task, 1, Duration::from_nanos(since)));
            }
        }
        Moment {
            at,
            planned: self.planned,
            counts: self.counts,
            workers: places,
            waiting,
        }
    }

    /// The same in whole lines, escaped.
    pub(super) fn text(&self, briefing: &Briefing, moment: &Moment) -> String {
        let seconds = |since: Duration| moment.at.saturating_sub(since).as_secs_f64();
        let (done, planned) = self.done();
        let all = moment.at.as_secs_f64();
        let mut text = format!("tdrun: {done} of {planned} tasks done after {all:.1}s, running:\n");
        if let Some((hook, library, since)) = self.hook {
            let path = &briefing.catalog.libraries[library.index()].path;
            let (hook, path) = (hook.as_str(), escape(path));
            let _ = writeln!(text, "    {hook} of `{path}` for {:.1}s", seconds(since));
        }
        let workers = moment.workers.iter().enumerate();
        let running =
            workers.filter_map(|(worker, running)| Some((What::Runs(worker), running.as_ref()?)));
        let others = self.tasks.values().map(|(what, running)| (*what, running));
        let mut others: Vec<_> = others
            .filter(|(what, _)| !matches!(what, What::Runs(_)))
            .collect();
        others.sort_by_key(|(what, _)| *what);
        for (what, running) in running.chain(others) {
            let name = briefing.catalog.name(running.task);
            let (name, seconds) = (escape(&name), seconds(running.since));
            let _ = match what {
                What::Runs(worker) => {
                    write!(text, "    [thread_{worker}] {name} for {seconds:.1}s")
                }
                What::Waits => write!(text, "    {name} for {seconds:.1}s, waits for other tasks"),
                What::Retries => {
                    write!(text, "    {name} waits for {seconds:.1}s to be tried again")
                }
            };
            if running.attempt > 1 {
                let _ = write!(text, ", attempt {}", running.attempt);
            }
            if let Some(progress) = &running.progress {
                let _ = write!(text, ", {}", escape(&progress.to_string()));
            }
            if let Some(signal) = running.stopped {
                let _ = write!(text, ", is stopped by {}", signal_name(signal));
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
    use crate::task::{Arguments, Catalog, Ending, Library, Outcome, Progress, Task};
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    fn briefing(names: &[&str]) -> Briefing {
        let mut catalog = Catalog::default();
        let library = Library {
            name: "lib".into(),
            path: "lib.so".into(),
            setup: None,
            teardown: None,
            aborts: false,
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
            is_program: false,
        });
        catalog.add(library, tasks);
        Briefing {
            planned: catalog.ids().take(3).collect(),
            catalog: Arc::new(catalog),
            workers: 2,
            started: UNIX_EPOCH,
            already: Duration::ZERO,
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
        let observed = |task, observed| Event::Observed {
            source: Source::Task(task, 0),
            observed,
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
        let mut now = Now::new(4);
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
            observed(d, Observed::Stopped(21)),
            observed(c, Observed::Stopped(20)),
            observed(c, Observed::Continued),
        ] {
            now.note(&event, || at);
        }
        let expected = "\
tdrun: 0 of 4 tasks done after 5.0s, running:
    [thread_0] d for 4.0s, attempt 3, 40% copy\\u{1b}ing, is stopped by SIGTTIN
    [thread_1] c for 4.0s
    a for 4.0s, waits for other tasks
    b waits for 3.0s to be tried again, attempt 2
";
        let text = |now: &Now| now.text(&briefing, &now.moment(5 * at, 8, &[]));
        assert_eq!(text(&now), expected);
        let resumed = Event::Resumed {
            task: a,
            worker: 7,
            at,
        };
        now.note(&resumed, || at);
        let text = text(&now);
        assert!(text.contains("    [thread_7] a for 4.0s\n"), "{text}");
    }

    #[test]
    fn what_runs_on_the_lane_is_seen_untold() {
        let [told, next, seen] = [0, 1, 2].map(TaskId::new);
        let at = Duration::from_secs(1);
        let mut now = Now::new(5);
        for (worker, task) in [(0, told), (1, seen)] {
            let attempt = 1;
            let started = Event::Started {
                task,
                worker,
                attempt,
                at,
            };
            now.note(&started, || at);
        }
        now.passed(2);
        let moment = now.moment(3 * at, 3, &[(0, next, 2_000_000_000), (1, seen, 9)]);
        let workers = moment.workers.iter();
        let workers = workers.map(|running| running.as_ref().map(|r| (r.task, r.since)));
        let expected = [Some((next, 2 * at)), Some((seen, at)), None];
        assert!(workers.eq(expected), "{moment:?}");
        assert_eq!(moment.counts.get(Outcome::Passed), 2);
        assert_eq!(now.done(), (2, 5));
    }
}
