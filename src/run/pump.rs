//! The reporting thread: hands events to the reporters as they come, minds signals, and knows when to go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{self, select};

use super::clock::{Clock, Due};
use super::crew::{Crew, Report};
use super::messages::{Inbox, Message};
use super::now::Now;
use super::services::Services;
use crate::error::Error;
use crate::event::{Briefing, Cause, Event, Stop, Summary};
use crate::interrupt::Requests;
use crate::pool::Control;
use crate::report::Reporter;
use crate::task::{Failure, Outcome, TaskId};

/// Where events, signals and reporters meet.
pub(super) struct Pump<'a> {
    pub(super) briefing: &'a Briefing,
    reporters: &'a mut dyn Reporter,
    inbox: Inbox,
    requests: &'a Requests,
    now: Now,
    clock: Clock,
    pub(super) control: Control<Crew>,
    pub(super) services: Arc<Services>,
    /// What stopped the run early.
    pub(super) stopped: Option<Stop>,
    /// Every task has its outcome.
    over: bool,
    /// A second signal came: nothing is waited for any more.
    pub(super) left: bool,
    /// Hooks that were not waited for.
    abandoned: usize,
    /// What went wrong besides the tasks.
    pub(super) errors: Vec<Error>,
    /// Tasks that passed late.
    flaky: usize,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        briefing: &'a Briefing,
        reporters: &'a mut dyn Reporter,
        inbox: Inbox,
        requests: &'a Requests,
        control: Control<Crew>,
        services: Arc<Services>,
    ) -> Self {
        Self {
            briefing,
            reporters,
            inbox,
            requests,
            now: Now::default(),
            clock: Clock::new(services.limits),
            control,
            services,
            stopped: None,
            over: false,
            left: false,
            abandoned: 0,
            errors: Vec::new(),
            flaky: 0,
        }
    }

    /// The totals, once nothing more is waited for.
    pub(super) fn summary(self) -> Summary {
        let exiting = self.services.exiting.load(Ordering::Acquire);
        self.control.look(|plan| Summary {
            planned: plan.planned(),
            counts: plan.counts(),
            blocked: plan.blocked(),
            flaky: self.flaky,
            flaky_fails: self.services.limits.flaky_fails,
            took: self.services.now(),
            stopped: self.stopped.or(exiting.then_some(Stop::Exit)),
            errors: self.errors,
            abandoned: plan.abandoned() + self.abandoned + usize::from(exiting),
        })
    }

    /// Reports until every task has its outcome.
    pub(super) fn until_over(&mut self) {
        if !self.over {
            self.run(|message| matches!(message, Message::Over).then_some(()));
        }
    }

    /// Reports until the hook has come back; none where it was not waited for.
    pub(super) fn until_hook_done(&mut self) -> Option<Result<(), Failure>> {
        let done = self.run(|message| match message {
            Message::HookDone(end) => Some(std::mem::replace(end, Ok(()))),
            _ => None,
        });
        self.abandoned += usize::from(done.is_none());
        done
    }

    /// Tells the reporters.
    pub(super) fn report(&mut self, event: &Event) {
        if let Event::Stopping(why) = event {
            self.stopped.get_or_insert(*why);
        }
        if let Event::Finished(finished) = event {
            self.flaky += usize::from(finished.is_flaky());
        }
        self.now.note(event, || self.services.now());
        self.clock.note(event, &self.services.catalog);
        // What cannot be written is the reporter's to remember, and never changes an outcome.
        let _ = self.reporters.event(self.briefing, event);
    }

    /// Nothing of the libraries may be called any more.
    pub(super) fn is_leaving(&self) -> bool {
        self.left || self.services.exiting.load(Ordering::Acquire)
    }

    /// Reports what has come and was not waited for. Not more than that: a task that was given up may go on logging.
    pub(super) fn drain(&mut self) {
        for _ in 0..self.inbox.receiver.len() {
            let Ok(message) = self.inbox.receiver.try_recv() else {
                break;
            };
            self.handle(&message);
        }
    }

    /// Takes messages, signals and ticks as they come until `done` finds what it waits for. None where a second signal
    /// came and it is not waited for.
    fn run<T>(&mut self, mut done: impl FnMut(&mut Message) -> Option<T>) -> Option<T> {
        let tick = self
            .reporters
            .tick_every()
            .map_or_else(channel::never, channel::tick);
        // Where nobody can ask for anything any more, nothing is waited for on that side.
        let Requests {
            mut stop,
            mut abort,
            mut tell,
        } = self.requests.clone();
        let (mut armed, mut timer) = (None, channel::never());
        loop {
            if self.clock.next() != armed {
                armed = self.clock.next();
                let at = armed.and_then(|at| self.services.start.checked_add(at));
                timer = at.map_or_else(channel::never, channel::at);
            }
            if self.inbox.receiver.is_empty() {
                let _ = self.reporters.flush();
            }
            let mut message = select! {
                recv(self.inbox.receiver) -> message => message.ok()?,
                recv(tick) -> _ => {
                    let _ = self.reporters.tick();
                    continue;
                }
                recv(timer) -> _ => {
                    armed = None;
                    self.on_time();
                    if self.left {
                        return None;
                    }
                    continue;
                }
                recv(tell) -> request => {
                    if request.is_err() {
                        tell = channel::never();
                        continue;
                    }
                    let text = self.now.text(self.briefing, self.services.now());
                    self.reporters.notice(&text);
                    continue;
                }
                recv(stop) -> signal => {
                    let Ok(signal) = signal else {
                        stop = channel::never();
                        continue;
                    };
                    self.on_stop(Stop::Signal(signal));
                    if self.left {
                        return None;
                    }
                    continue;
                }
                recv(abort) -> asked => {
                    if asked.is_err() {
                        abort = channel::never();
                        continue;
                    }
                    self.on_stop(Stop::Aborted);
                    if self.left {
                        return None;
                    }
                    continue;
                }
            };
            if let Some(found) = done(&mut message) {
                return Some(found);
            }
            self.handle(&message);
        }
    }

    fn handle(&mut self, message: &Message) {
        match message {
            Message::Event(event) => self.report(event),
            Message::Log(event) => {
                self.report(event);
                self.inbox.log_done();
            }
            Message::Retry(task, at) => self.clock.retry(*task, *at),
            Message::Over => self.over = true,
            Message::HookDone(_) => {}
        }
    }

    /// The first signal stops in order: what runs is asked to end, and waited for. The second gives up what still runs.
    fn on_stop(&mut self, why: Stop) {
        if matches!(self.stopped, Some(Stop::Signal(_) | Stop::Aborted)) {
            self.left = true;
            self.control.abandon(why);
            self.services.give_up_all();
        } else {
            self.stopped = Some(why);
            self.control.stop(why);
            if self.control.look(|plan| plan.stopped() != Some(why)) {
                // Behind what the plan has told before: tasks may have started.
                let outbox = &self.services.outbox;
                outbox.send(Message::Event(Event::Stopping(why)));
            }
            // Only now: a task that ends by this must find the plan stopped.
            self.services.cancel_all();
        }
    }

    /// What is due now is done.
    fn on_time(&mut self) {
        for due in self.clock.due(self.services.now()) {
            match due {
                Due::Cancel(task, attempt) => {
                    self.services.cancel(task, attempt);
                    self.control.interrupt(task, attempt);
                }
                Due::GiveUp(task, attempt, limit) => self.give_up(task, attempt, limit),
                Due::Again(task) => self.control.again(task),
                Due::Slow(task, worker, running) => self.report(&Event::Slow {
                    task,
                    worker,
                    running,
                }),
                Due::Stop(limit) => self.on_run_timeout(limit),
                Due::Abandon(limit) => {
                    self.control.abandon(Stop::Timeout(limit));
                    self.services.give_up_all();
                    // A hook that does not end either is not waited for.
                    self.left |= self.services.hook_runs.load(Ordering::Acquire);
                }
            }
        }
    }

    /// A task has not ended within its grace: it is not waited for any more.
    fn give_up(&mut self, task: TaskId, attempt: u32, limit: Duration) {
        let cause = Cause::TimedOut {
            limit,
            still_running: true,
            failure: None,
        };
        let end = (Outcome::TimedOut, Report::of(cause));
        self.control.give_up(task, Some(attempt), end);
        // Only now: a call that cannot be found yet must find its task given up.
        self.services.give_up(task, attempt);
    }

    /// Stops in order, as a signal would.
    fn on_run_timeout(&mut self, limit: Duration) {
        let why = Stop::Timeout(limit);
        let message = format!("the run was not done after {limit:?}");
        self.errors.push(Error::new("run.timeout", message));
        self.control.stop(why);
        self.services.cancel_all();
    }
}
