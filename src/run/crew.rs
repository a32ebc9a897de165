//! What the workers of a run do with a task: call it, keep its result, tell the reporters.
//!
//! Knows nothing of which task comes next.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::messages::Message;
use super::recording::{Found, Stands};
use super::seat::{Callee, Seat};
use super::services::Services;
use super::track::Track;
use crate::event::{Attempt, Cause, Event, Finished, Source, Stop};
use crate::plan::Change;
use crate::pool::{self, Control};
use crate::record::Seen;
use crate::task::{Ending, Failure, Json, Observed, Outcome, Place, TaskId};

/// The link between pool and reporters.
pub(super) struct Crew {
    pub(super) services: Arc<Services>,
    pub(super) ledger: Mutex<Ledger>,
}

/// What has to be known of tasks that are not on the lane.
#[derive(Default)]
pub(super) struct Ledger {
    running: HashMap<TaskId, Running>,
    /// Attempts that did not pass, of tasks that are tried again, each with its worker.
    attempts: HashMap<TaskId, Vec<(Attempt, usize)>>,
}

/// On which worker, and since when.
struct Running {
    worker: usize,
    began: Duration,
}

/// What is told about a task besides its outcome.
#[derive(Default)]
pub(super) struct Report {
    cause: Option<Box<Cause>>,
    result: Option<Json>,
    /// It ended in an earlier process.
    stands: Option<Box<Stands>>,
}

impl Report {
    pub(super) fn of(cause: Cause) -> Self {
        Self {
            cause: Some(Box::new(cause)),
            ..Self::default()
        }
    }
}

impl Crew {
    fn send(&self, event: Event) {
        self.services.outbox.send(Message::Event(event));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The track of a worker.
    fn track(&self, worker: usize) -> &Track {
        &self.services.tracks[worker]
    }

    /// Takes a task off the lane, if it runs there: from here on it stands in the ledger. What was not said when it began is
    /// said now. Gives what stands there by that.
    fn take_off_lane(&self, task: TaskId) -> Option<(usize, Duration)> {
        let mut tracks = self.services.tracks.iter().enumerate();
        let found = tracks.find_map(|(worker, track)| {
            let (_, since) = track.running().filter(|(running, _)| *running == task)?;
            track.clear();
            Some((worker, Duration::from_nanos(since)))
        });
        if let Some((worker, began)) = found {
            let running = Running { worker, began };
            self.ledger().running.insert(task, running);
            self.send(Event::Started {
                task,
                worker,
                attempt: 1,
                at: began,
            });
        }
        found
    }

    /// Records what has passed on the lane: what comes after it must not stand before it in the journal.
    fn record_lane(&self) {
        if self.services.recording.journal().is_some() {
            self.services.tracks.iter().for_each(Track::record);
        }
    }

    /// The end of an attempt that an earlier process has seen.
    #[cold]
    fn replay(
        &self,
        (worker, task, attempt): (usize, TaskId, u32),
        found: Found,
    ) -> Option<(Outcome, Report)> {
        self.services.results.clear(task);
        let Found::End(ended, stands) = found else {
            self.tell_seen(worker, task, attempt);
            return None;
        };
        let mut number = attempt;
        for earlier in &stands.earlier {
            self.tell_seen(worker, task, number);
            self.tell_retry(task, number, (worker, earlier.clone()));
            number += 1;
        }
        self.tell_seen(worker, task, number);
        let mut cause = ended.cause;
        if let Some(Cause::Failure(failure)) = &mut cause {
            let place = || self.services.catalog.task(task).place();
            failure.place = failure.place.take().or_else(place);
        }
        let report = Report {
            cause: cause.map(Box::new),
            result: ended.result,
            stands: Some(Box::new(stands)),
        };
        Some((ended.outcome, report))
    }

    /// What an earlier process has heard and seen of an attempt.
    fn tell_seen(&self, worker: usize, task: TaskId, attempt: u32) {
        let recording = &self.services.recording;
        let is_told = recording.is_attempt_told(task, attempt);
        let source = Source::Task(task, worker);
        for seen in recording.seen(task, attempt) {
            // What comes line by line was told as it came.
            let (is_told, event) = match seen.clone() {
                Seen::Said(record) => (true, Event::Logged { source, record }),
                Seen::Observed(observed) => {
                    let is_line = matches!(observed, Observed::Line(..));
                    (is_told || is_line, Event::Observed { source, observed })
                }
            };
            self.send_known(is_told, event);
        }
    }

    fn tell_retry(&self, task: TaskId, number: u32, (worker, attempt): (usize, Attempt)) {
        let is_told = self.services.recording.is_attempt_told(task, number);
        let at = self.services.now();
        let retrying = Event::Retrying {
            task,
            worker,
            number,
            attempt,
            at,
        };
        self.send_known(is_told, retrying);
    }

    fn send_known(&self, is_known: bool, event: Event) {
        self.send(if is_known {
            Event::Known(Box::new(event))
        } else {
            event
        });
    }

    fn ended(&self, task: TaskId, outcome: Outcome, report: Report) {
        let now = self.services.now();
        let ran = self.ledger().running.remove(&task);
        let ran = ran.map(|ran| (Some(ran.worker), now.saturating_sub(ran.began)));
        let recording = &self.services.recording;
        let ran = match &report.stands {
            Some(stands) => Some((stands.worker, stands.took)),
            None if outcome == Outcome::Passed => {
                let plain = recording
                    .plain(task)
                    .map(|(worker, took)| (Some(worker), took));
                plain.or(ran)
            }
            None => ran,
        };
        self.tell_end(task, outcome, report, ran.unwrap_or_default());
    }

    fn tell_end(
        &self,
        task: TaskId,
        outcome: Outcome,
        report: Report,
        (worker, took): (Option<usize>, Duration),
    ) {
        let attempts = self.ledger().attempts.remove(&task).unwrap_or_default();
        let (at, recording) = (self.services.now(), &self.services.recording);
        self.record_lane();
        let attempt = u32::try_from(attempts.len() + 1).unwrap_or(u32::MAX);
        let end = (outcome, report.cause.as_deref(), report.result.as_ref());
        recording.end((task, attempt), end, (worker, at, took), true);
        let attempts = attempts.into_iter().map(|(attempt, _)| attempt);
        let earlier = report.stands.map(|stands| stands.earlier);
        self.send(Event::Finished(Finished {
            task,
            outcome,
            worker,
            at,
            took,
            // Counted when it is reported, in the order of that.
            done: 0,
            planned: 0,
            cause: report.cause,
            result: report.result,
            attempts: earlier.into_iter().flatten().chain(attempts).collect(),
            kept: match worker {
                Some(_) => recording.is_told(task),
                None => recording.was_told(task) || recording.is_told(task),
            },
        }));
    }

    /// A task is not tried again, as the run was stopped: its last attempt is all there is.
    fn last_attempt_stands(&self, task: TaskId, outcome: Outcome) {
        let mut ledger = self.ledger();
        let last = ledger.attempts.get_mut(&task).and_then(Vec::pop);
        drop(ledger);
        if let Some((last, worker)) = last {
            let report = Report::of(last.cause);
            self.tell_end(task, outcome, report, (Some(worker), last.took));
        }
    }

    /// When a running task began, on the clock that asks it to stop: who heeds that is too late by this one too.
    fn began(&self, worker: usize, task: TaskId) -> Duration {
        let on_lane = self.track(worker).running();
        let on_lane = on_lane.filter(|(running, _)| *running == task);
        if let Some((_, since)) = on_lane {
            return Duration::from_nanos(since);
        }
        let ran = self.ledger().running.get(&task).map(|ran| ran.began);
        ran.unwrap_or_else(|| self.services.now())
    }

    /// How long a task may take.
    fn limit(&self, task: TaskId) -> Option<Duration> {
        let Services {
            catalog, limits, ..
        } = &*self.services;
        limits.of(catalog, task)
    }

    /// How long a task waits before it is tried again: what it declares, doubled for each further attempt.
    fn delay(&self, task: TaskId, attempts: usize) -> Duration {
        let declared = self.services.catalog.task(task).options().retry_delay;
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        declared.saturating_mul(factor)
    }
}

impl pool::Crew for Crew {
    type Report = Report;
    type Seat = Seat;

    fn seat(&self, control: &Control<Self>) -> Seat {
        Seat::new(&self.services, control)
    }

    fn started(&self, worker: usize, task: TaskId, attempt: u32, on_lane: bool) {
        if on_lane {
            self.track(worker).begin(task, self.services.nanos());
            self.services.outbox.ring();
            return;
        }
        let began = self.services.now();
        if attempt > 1 {
            self.services.forget_move(task);
        }
        self.services.recording.start(task, attempt, worker, began);
        self.ledger()
            .running
            .insert(task, Running { worker, began });
        if self.services.recording.never_ran(task) {
            return; // nor does it now
        }
        self.send(Event::Started {
            task,
            worker,
            attempt,
            at: began,
        });
    }

    fn perform(
        &self,
        seat: &mut Seat,
        worker: usize,
        task: TaskId,
        attempt: u32,
    ) -> Option<(Outcome, Report)> {
        let services = &self.services;
        if let Some(found) = services.recording.find(task, attempt) {
            return self.replay((worker, task, attempt), found);
        }
        let limit = self.limit(task);
        services.results.clear(task);
        let source = Source::Task(task, worker);
        let callee = Callee {
            source,
            attempt,
            deadline: limit.map(|limit| self.began(worker, task).saturating_add(limit)),
            heeds_stop: services.heeds_stop(source),
        };
        let ending = seat.call(&callee, |caller| services.catalog.call(task, caller));
        let is_late = |deadline| services.now() >= deadline;
        let limit = limit.filter(|_| callee.deadline.is_some_and(is_late));
        if ending.is_none() && limit.is_none() {
            return None;
        }
        let ending = ending.map_or(Ending::Passed(None), |ending| *ending);
        let stopped = callee.heeds_stop && services.cancelled.load(Ordering::Acquire);
        let place = || services.catalog.task(task).place();
        Some(judge(place, ending, stopped, limit))
    }

    fn passed(&self, worker: usize, task: TaskId) {
        let services = &self.services;
        let now = services.nanos();
        self.track(worker).pass(task, now, &services.wants_passed);
        services.outbox.ring();
    }

    fn goes_on(&self, worker: usize, task: TaskId, at_once: bool) {
        let track = self.track(worker);
        let now = || self.services.nanos();
        let since = if at_once { track.last_end() } else { now() };
        track.begin(task, since);
    }

    fn retrying(&self, task: TaskId, delayed: bool, (outcome, report): (Outcome, Report)) {
        self.take_off_lane(task);
        let at = self.services.now();
        let mut ledger = self.ledger();
        let ran = ledger.running.remove(&task);
        let (worker, began) = ran.map_or((0, at), |ran| (ran.worker, ran.began));
        let attempt = Attempt {
            outcome,
            cause: report
                .cause
                .map_or_else(|| Cause::Skip("".into()), |cause| *cause),
            took: match &report.stands {
                Some(stands) => stands.took,
                None => at.saturating_sub(began),
            },
        };
        let attempts = ledger.attempts.entry(task).or_default();
        attempts.push((attempt.clone(), worker));
        let delay = self.delay(task, attempts.len());
        let number = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        drop(ledger);
        let recording = &self.services.recording;
        let end = (outcome, Some(&attempt.cause), report.result.as_ref());
        let ran = (Some(worker), at, attempt.took);
        recording.end((task, number), end, ran, false);
        // What does not run again is not waited for.
        let delay = if recording.has(task, number + 1) {
            Duration::ZERO
        } else {
            delay
        };
        self.tell_retry(task, number, (worker, attempt));
        if delayed {
            let then = at.saturating_add(delay);
            self.services.outbox.send(Message::Retry(task, then));
        }
    }

    /// The result is there for others when the outcome is, and not before.
    fn finished(&self, task: TaskId, (outcome, report): (Outcome, Report)) {
        if let Some(result) = &report.result {
            self.services.results.set(task, Arc::clone(result));
        }
        self.take_off_lane(task);
        self.ended(task, outcome, report);
    }

    fn changed(&self, change: Change) {
        match change {
            Change::Stopped(why) => {
                if matches!(why, Stop::Signal(_) | Stop::Aborted | Stop::Timeout(_)) {
                    // Before a wait ends by this: who fails for that must be known as stopped.
                    self.services.cancelled.store(true, Ordering::Release);
                }
                if let Some(journal) = self.services.recording.journal() {
                    journal.stop(why);
                }
                self.send(Event::Stopping(why));
            }
            Change::Settled(task, outcome, cause) => {
                if outcome == Outcome::Cancelled {
                    self.take_off_lane(task);
                }
                self.ended(task, outcome, Report::of(cause));
            }
            Change::Stands(task, outcome) => self.last_attempt_stands(task, outcome),
            Change::Granted(_) | Change::Refused(..) => {}
        }
    }

    fn added(&self, tasks: &[TaskId]) {
        if let Some(journal) = self.services.recording.journal() {
            let catalog = &self.services.catalog;
            journal.added(tasks.iter().map(|task| {
                let library = &catalog.library(*task).name;
                (*task, library.as_str(), catalog.task(*task).name())
            }));
        }
        let is_told = self.services.recording.is_addition_told(tasks);
        self.send_known(is_told, Event::Planned(tasks.to_vec()));
    }

    fn paused(&self, worker: usize, task: TaskId) {
        if let Some((worker, began)) = self.take_off_lane(task) {
            self.services.recording.start(task, 1, worker, began);
        }
        let at = self.services.now();
        self.send(Event::Paused { task, worker, at });
    }

    fn resumed(&self, worker: usize, task: TaskId) {
        let at = self.services.now();
        if let Some(running) = self.ledger().running.get_mut(&task) {
            running.worker = worker;
        }
        self.services.note_move(task, worker);
        self.send(Event::Resumed { task, worker, at });
    }

    fn over(&self) {
        self.services.outbox.send(Message::Over);
    }
}

/// The outcome of an attempt: by what it came to, whether it was asked to stop, and the time it had, where that was over.
fn judge(
    place: impl Fn() -> Option<Place>,
    ending: Ending,
    stopped: bool,
    too_late: Option<Duration>,
) -> (Outcome, Report) {
    let placed = |mut failure: Failure| {
        failure.place = failure.place.or_else(&place);
        failure
    };
    let (outcome, failure, result) = match ending {
        Ending::Passed(result) => (Outcome::Passed, None, result),
        Ending::Skipped(why) if too_late.is_none() => {
            return (Outcome::Skipped, Report::of(Cause::Skip(why)));
        }
        Ending::Skipped(_) => (Outcome::Skipped, None, None),
        Ending::Failed(failure) => (Outcome::Failed, Some(placed(failure)), None),
        Ending::Exited {
            crashed,
            failure,
            result,
        } => {
            let outcome = if crashed {
                Outcome::Crashed
            } else {
                Outcome::Failed
            };
            (outcome, Some(placed(failure)), result)
        }
    };
    if let Some(limit) = too_late {
        let cause = Some(Cause::TimedOut {
            limit,
            still_running: false,
            failure,
        });
        let report = Report {
            cause: cause.map(Box::new),
            result: result.filter(|_| outcome != Outcome::Passed),
            stands: None,
        };
        return (Outcome::TimedOut, report);
    }
    let outcome = if stopped && outcome != Outcome::Passed {
        Outcome::Cancelled
    } else {
        outcome
    };
    let report = Report {
        cause: failure.map(|failure| Box::new(Cause::Failure(failure))),
        result,
        stands: None,
    };
    (outcome, report)
}
