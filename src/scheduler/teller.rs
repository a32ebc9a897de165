//! The callbacks of an embedding program, as a reporter of the run.
//!
//! Knows how events become calls; nothing of how they come about.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::summary::{Summary, TaskDone};
use crate::event::{self, Briefing, Event, Moment};
use crate::interrupt::Abort;
use crate::report::{Interest, Reporter};
use crate::state::State;

/// What is known when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerStart {
    /// How many tasks are planned. Running tasks may add more.
    pub tasks: usize,
    /// How many run at the same time.
    pub workers: usize,
}

/// Closures of one kind, in the order in which they were registered.
type Calls<F> = Vec<Box<F>>;

/// Hears the name of a task and the number of its worker.
type OnRun = dyn FnMut(&str, usize) + Send;

/// Everything that wants to hear of a run.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) scheduler_start: Calls<dyn FnMut(SchedulerStart) + Send>,
    pub(super) task_start: Calls<dyn FnMut(&str) + Send>,
    pub(super) task_run: Calls<OnRun>,
    pub(super) task_done: Calls<dyn FnMut(&TaskDone) + Send>,
    pub(super) scheduler_done: Calls<dyn FnMut(&Summary) + Send>,
    pub(super) reporters: Calls<dyn Reporter + Send>,
}

/// Calls the listeners, and gathers the summary.
pub(super) struct Teller {
    listeners: Listeners,
    abort: Abort,
    /// What a listener panicked with: nobody hears anything any more.
    pub(super) panic: Option<Box<dyn Any + Send>>,
    tasks: Vec<TaskDone>,
    state: Arc<State>,
    pub(super) summary: Option<Summary>,
}

impl Teller {
    pub(super) fn new(listeners: Listeners, abort: Abort, state: Arc<State>) -> Self {
        Self {
            listeners,
            abort,
            panic: None,
            tasks: Vec::new(),
            state,
            summary: None,
        }
    }

    /// Lets listeners hear. A panic of theirs must not leave the tasks to themselves: it stops the run in order.
    fn tell(&mut self, call: impl FnOnce(&mut Listeners)) {
        if self.panic.is_some() {
            return;
        }
        let listeners = &mut self.listeners;
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| call(listeners))) {
            self.panic = Some(panic);
            self.abort.ask();
        }
    }

    /// Lets the reporters hear; one that cannot write is dropped.
    fn report(&mut self, call: impl Fn(&mut dyn Reporter) -> io::Result<()>) {
        self.tell(|listeners| {
            let reporters = &mut listeners.reporters;
            reporters.retain_mut(|reporter| call(&mut **reporter).is_ok());
        });
    }
}

impl Reporter for Teller {
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let start = SchedulerStart {
            tasks: briefing.planned.len(),
            workers: briefing.workers,
        };
        self.report(|reporter| reporter.begin(briefing));
        self.tell(|to| to.scheduler_start.iter_mut().for_each(|call| call(start)));
        Ok(())
    }

    fn wants(&self) -> Interest {
        let listeners = &self.listeners;
        let reporters = listeners.reporters.iter();
        let wanted = reporters.map(|reporter| reporter.wants());
        if listeners.task_start.is_empty() && listeners.task_run.is_empty() {
            // The summary needs every end.
            wanted.fold(Interest::Finished, Interest::max)
        } else {
            Interest::All
        }
    }

    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()> {
        self.report(|reporter| reporter.event(briefing, event));
        match event {
            Event::Started {
                task,
                worker,
                attempt,
                ..
            } => {
                let name = &*briefing.catalog.name(*task);
                if *attempt == 1 {
                    self.tell(|to| to.task_start.iter_mut().for_each(|call| call(name)));
                }
                self.tell(|to| to.task_run.iter_mut().for_each(|call| call(name, *worker)));
            }
            Event::Finished(finished) => {
                let done = TaskDone::new(briefing, finished);
                self.tell(|to| to.task_done.iter_mut().for_each(|call| call(&done)));
                self.tasks.push(done);
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.report(|reporter| reporter.flush());
        Ok(())
    }

    fn tick(&mut self, briefing: &Briefing, now: &Moment) -> io::Result<()> {
        self.report(|reporter| reporter.tick(briefing, now));
        Ok(())
    }

    fn tick_every(&self) -> Option<Duration> {
        let reporters = self.listeners.reporters.iter();
        reporters.filter_map(|reporter| reporter.tick_every()).min()
    }

    fn finish(&mut self, briefing: &Briefing, totals: &event::Summary) -> io::Result<()> {
        let tasks = std::mem::take(&mut self.tasks);
        let summary = Summary::new(totals, tasks, Arc::clone(&self.state));
        self.report(|reporter| reporter.finish(briefing, totals));
        self.tell(|to| {
            to.scheduler_done.iter_mut().for_each(|call| call(&summary));
        });
        self.summary = Some(summary);
        Ok(())
    }
}
