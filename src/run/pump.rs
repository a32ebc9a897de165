//! The reporting thread: hands events to the reporters as they come, minds signals, and knows when to go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{self, select};

use super::clock::{Clock, Due};
use super::crew::{Crew, Report};
use super::merge::{Item, Merge};
use super::messages::{Inbox, Message, weight};
use super::now::Now;
use super::services::Services;
use super::time::nanos;
use super::track::{Passed, Track};
use crate::blackbox::{self, BlackBox};
use crate::error::Error;
use crate::event::{Briefing, Cause, Event, Finished, Moment, Source, Stop, Summary};
use crate::graph::Graph;
use crate::interrupt::Requests;
use crate::pool::Control;
use crate::process;
use crate::record::{Journal, Kept, News};
use crate::report::{Interest, Reporter};
use crate::sync::atomic::{Ordering, fence};
use crate::task::{Failure, Observed, Outcome, TaskId};

/// Where events, signals and reporters meet.
pub(super) struct Pump<'a> {
    pub(super) briefing: &'a Briefing,
    reporters: &'a mut dyn Reporter,
    wants: Interest,
    inbox: Inbox,
    merge: Merge,
    requests: &'a Requests,
    now: Now,
    clock: Clock,
    pub(super) control: Control<Crew>,
    pub(super) services: Arc<Services>,
    /// What was told, and may not be written yet.
    untold: Vec<Told>,
    black_box: Option<&'static BlackBox>,
    /// Tasks that ran on the lane when it was last looked at: their workers, and since when.
    on_lane: Vec<(usize, TaskId, u64)>,
    /// What stopped the run early.
    pub(super) stopped: Option<Stop>,
    /// Every task has its outcome.
    over: bool,
    /// A second signal came: nothing is waited for any more.
    pub(super) left: bool,
    /// A hook is being called.
    pub(super) hook_runs: bool,
    /// Hooks that were not waited for.
    abandoned: usize,
    /// What went wrong besides the tasks.
    pub(super) errors: Vec<Error>,
    /// Tasks that passed late.
    flaky: usize,
    /// Tasks that left processes running.
    leaky: BTreeSet<TaskId>,
    /// Of how many tasks people know the end, whose turn has not come here: they count as done.
    known: usize,
}

/// What people are told of a task.
#[derive(Clone, Copy)]
enum Told {
    /// An attempt begins.
    Start(TaskId),
    /// That attempt has ended, and another one follows; 0 where it was added.
    Try(TaskId, u32),
    /// It has its outcome.
    End(TaskId),
}

/// How often is looked whether orphans have ended. Nothing else tells.
const REAP_EVERY: Duration = Duration::from_millis(250);

/// What is said of a process that the system does not end, as one that waits for a disk.
const UNKILLABLE: &str = "unkillable: its process was killed, and has not ended within 10s";

/// So long the reporting thread leaves those alone who have something for it, once it has heard that a lot happens. Too short
/// for people to notice.
const DOZE: Duration = Duration::from_millis(1);

impl<'a> Pump<'a> {
    pub(super) fn new(
        briefing: &'a Briefing,
        reporters: &'a mut dyn Reporter,
        inbox: Inbox,
        requests: &'a Requests,
        control: Control<Crew>,
        (services, graph): (Arc<Services>, Arc<Graph>),
    ) -> Self {
        let wants = reporters.wants();
        let graph = (wants == Interest::All).then_some(graph);
        // Otherwise tasks are counted that are never told here.
        let known = match wants {
            Interest::Failures => 0,
            _ => services.recording.told(),
        };
        Self {
            known,
            briefing,
            reporters,
            wants,
            inbox,
            merge: Merge::new(services.tracks.len(), graph),
            requests,
            now: Now::new(briefing.planned.len()),
            clock: Clock::new(services.limits),
            control,
            services,
            untold: Vec::new(),
            black_box: blackbox::get(),
            on_lane: Vec::new(),
            stopped: None,
            over: false,
            left: false,
            hook_runs: false,
            abandoned: 0,
            errors: Vec::new(),
            flaky: 0,
            leaky: BTreeSet::new(),
        }
    }

    /// The totals, once nothing more is waited for.
    pub(super) fn summary(self) -> Summary {
        self.control.look(|plan| Summary {
            planned: plan.planned(),
            counts: plan.counts(),
            blocked: plan.blocked(),
            flaky: self.flaky,
            leaky: self.leaky.len(),
            flaky_fails: self.services.limits.flaky_fails,
            took: self.services.now(),
            stopped: self.stopped,
            errors: self.errors,
            abandoned: plan.abandoned() + self.abandoned,
        })
    }

    /// What has stopped the run in an earlier process, or was heard by now, stops it before anything is started.
    pub(super) fn stop_as_before(&mut self) {
        let recording = &self.services.recording;
        match recording.kept().and_then(Kept::stopped) {
            Some(("MaxFail", Some(most))) => self.control.stop(Stop::MaxFail(most)),
            Some(("Timeout", _)) if let Some(limit) = self.services.limits.run_timeout => {
                self.on_run_timeout(limit);
            }
            _ => {}
        }
        let before = self.requests.before;
        if let Some(signal) = before.or_else(|| self.requests.stop.try_recv().ok()) {
            self.on_stop(Stop::Signal(signal));
        }
    }

    /// What runs was asked to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.services.cancelled.load(Ordering::Acquire)
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

    /// Tells the reporters. The event stays where it was made: a million copies of it would be seen.
    pub(super) fn report(&mut self, event: &mut Event) {
        if let Event::Started { task, .. } = event
            && self.now.has_begun(*task)
        {
            return; // told when it was seen on the lane
        }
        if let Event::Known(event) = event {
            self.note(event);
        } else {
            self.note(event);
        }
        let recording = &self.services.recording;
        if let Event::Started { task, attempt, .. } = &*event
            && recording.is_start_told(*task, *attempt)
        {
            return; // by an earlier process
        }
        match event {
            Event::Finished(finished) => {
                self.known -= usize::from(finished.kept && self.known > 0);
                let (done, planned) = self.now.done();
                (finished.done, finished.planned) = ((done + self.known).min(planned), planned);
                self.flaky += usize::from(finished.is_flaky());
                self.will_be_told(Told::End(finished.task));
            }
            Event::Started { task, .. } => self.will_be_told(Told::Start(*task)),
            Event::Retrying { task, number, .. } => {
                self.will_be_told(Told::Try(*task, *number));
            }
            Event::Stopping(why) => {
                let why = *why;
                self.stopped.get_or_insert(why);
                if self.services.recording.is_stop_told(why) {
                    *event = Event::Known(Box::new(Event::Stopping(why)));
                }
            }
            Event::Planned(tasks) if self.black_box.is_some() => {
                let added = tasks.iter().map(|task| Told::Try(*task, 0));
                self.untold.extend(added);
            }
            _ => {}
        }
        self.leaky.extend(left_by(event));
        // What cannot be written is the reporter's to remember, and never changes an outcome.
        let _ = self.reporters.event(self.briefing, event);
    }

    fn will_be_told(&mut self, told: Told) {
        if self.black_box.is_some() {
            self.untold.push(told);
        }
    }

    fn note(&mut self, event: &Event) {
        self.now.note(event, || self.services.now());
        self.clock.note(event, &self.services.catalog);
    }

    /// Has all written that was told, and notes whose ends that were: whoever goes on after a crash tells the others.
    fn flush(&mut self) {
        let Some(black_box) = self.black_box else {
            let _ = self.reporters.flush();
            return;
        };
        black_box.writes(true);
        let _ = self.reporters.flush();
        for told in self.untold.drain(..) {
            match told {
                Told::Start(task) => black_box.tell_start(task),
                Told::Try(task, number) => black_box.tell_try(task, number),
                Told::End(task) => black_box.tell(task),
            }
        }
        black_box.writes(false);
    }

    /// Orphans that this process has adopted, and that have ended, are let go: a task may wait until one is gone. They are
    /// children of this thread, and no others are.
    fn reap(&self) {
        if self.black_box.is_some() {
            process::reap_of_this_thread();
        }
    }

    /// Tells that those on the lane have begun that run for so long; of the others there will be more to tell soon.
    fn tell_running(&mut self, least: Duration) {
        let now = self.services.nanos();
        let runs_long = |since| now.saturating_sub(since) >= nanos(least);
        self.on_lane.retain(|(.., since)| runs_long(*since));
        if self.on_lane.is_empty() {
            return;
        }
        // Before it is seen whether they still run: from there on their ends are wanted.
        self.want_passed();
        for (worker, task, since) in std::mem::take(&mut self.on_lane) {
            if self.services.tracks[worker].running() == Some((task, since)) {
                let since = self.merge.put_right(task, since);
                self.on_lane_start(worker, task, since);
            }
        }
    }

    /// From here on workers keep what has passed.
    fn want_passed(&self) {
        self.services.wants_passed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The run was stopped at that time: what ran then is told before. All of it has left something by now, or still runs.
    fn before_stop(&mut self, at: u64) {
        self.want_passed();
        self.look_at_lane();
        self.fetch();
        let mut running = std::mem::take(&mut self.on_lane);
        running.extend(self.merge.running_at(at));
        running.sort_unstable_by_key(|(_, task, since)| (*since, *task));
        for (worker, task, since) in running {
            let since = self.merge.put_right(task, since);
            self.on_lane_start(worker, task, since);
        }
    }

    /// Whether something urgent has come.
    fn fetch(&mut self) -> bool {
        let mut is_urgent = false;
        for (at, message) in self.inbox.take() {
            is_urgent |= message.is_urgent();
            self.merge.send(nanos(at), message);
        }
        for (worker, track) in self.services.tracks.iter().enumerate() {
            self.merge.fetch(worker, track);
        }
        is_urgent
    }

    /// Reports what has come and was not waited for. Not more than that: a task that was given up may go on logging.
    pub(super) fn drain(&mut self) {
        self.take(&mut |_| None::<()>);
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
            ..
        } = self.requests.clone();
        let (mut armed, mut timer) = (None, channel::never());
        let mut is_busy = true;
        loop {
            match self.take(&mut done) {
                Taken::Found(found) => return Some(found),
                Taken::Some => is_busy = true,
                Taken::Nothing => {}
            }
            let patience = if is_busy {
                self.tell_running(DOZE);
                self.inbox.doze().then_some(DOZE)
            } else {
                self.reap();
                let most = self.black_box.map_or(Duration::MAX, |_| REAP_EVERY);
                self.go_to_sleep().then_some(most)
            };
            let Some(patience) = patience else {
                continue;
            };
            is_busy = false;
            if self.clock.next() != armed {
                armed = self.clock.next();
                let at = armed.and_then(|at| self.services.start.after(at));
                timer = at.map_or_else(channel::never, channel::at);
            }
            self.flush();
            select! {
                recv(self.inbox.bell) -> _ => {}
                recv(tick) -> _ => {
                    let moment = self.moment();
                    let _ = self.reporters.tick(self.briefing, &moment);
                }
                recv(timer) -> _ => {
                    armed = None;
                    self.on_time();
                }
                recv(tell) -> request => {
                    if request.is_err() {
                        tell = channel::never();
                        continue;
                    }
                    // First what led to that which runs.
                    if let Taken::Found(found) = self.take(&mut done) {
                        return Some(found);
                    }
                    let moment = self.moment();
                    self.reporters.notice(&self.now.text(self.briefing, &moment));
                }
                recv(stop) -> signal => match signal {
                    Ok(signal) => self.on_stop(Stop::Signal(signal)),
                    Err(_) => stop = channel::never(),
                },
                recv(abort) -> asked => match asked {
                    Ok(()) => self.on_stop(Stop::Aborted),
                    Err(_) => abort = channel::never(),
                },
                default(patience) => {}
            }
            if self.left {
                return None;
            }
        }
    }

    /// Tells what has happened by now.
    fn take<T>(&mut self, done: &mut impl FnMut(&mut Message) -> Option<T>) -> Taken<T> {
        self.tell_of_journal();
        self.inbox.wake();
        self.look_at_lane();
        // First the clock, then all else: see `merge`.
        let now = self.services.nanos();
        let tracks = self.services.tracks.iter();
        let only_counts = !self.wants_passed() && self.merge.is_empty();
        let count = if only_counts {
            Track::count_off
        } else {
            Track::take_counted
        };
        let passed: usize = tracks.map(count).sum();
        self.now.passed(passed);
        let mut came = passed > 0;
        self.services
            .wants_passed
            .store(self.wants_passed(), Ordering::Relaxed);
        // What led to something urgent is all there.
        let upto = if self.fetch() { u64::MAX } else { now };
        let mut end = plain_end();
        while let Some(item) = self.merge.next(upto) {
            came = true;
            match item {
                Item::Started(worker, Passed { task, start, .. }) => {
                    self.on_lane_start(worker, task, start);
                }
                Item::Passed(worker, passed) => self.on_lane_end(worker, passed, &mut end),
                Item::Message(at, mut message) => {
                    if matches!(message, Message::Event(Event::Stopping(_))) {
                        self.before_stop(at);
                    }
                    if let Some(found) = done(&mut message) {
                        return Taken::Found(found);
                    }
                    self.handle(message);
                }
            }
        }
        if came { Taken::Some } else { Taken::Nothing }
    }

    /// What is wrong with the journal is told at once; it changes nothing else.
    fn tell_of_journal(&mut self) {
        let services = Arc::clone(&self.services);
        let journal = services.recording.journal();
        for news in journal.map(Journal::news).unwrap_or_default() {
            match news {
                News::Off(error) => self.reporters.notice(&format!("tdrun: {error}\n")),
                News::Warning(warning) => self.report(&mut Event::Warning(warning)),
            }
        }
    }

    /// Starts and ends of tasks on the lane have to be told; all of them, or of those whose start has been told.
    fn wants_passed(&self) -> bool {
        self.wants > Interest::Failures || self.now.has_any_begun()
    }

    /// The run as it is now.
    fn moment(&mut self) -> Moment {
        self.look_at_lane();
        let workers = self.services.tracks.len().min(self.now.done().1);
        let on_lane = std::mem::take(&mut self.on_lane);
        self.now.moment(self.services.now(), workers, &on_lane)
    }

    fn look_at_lane(&mut self) {
        self.on_lane.clear();
        let running = self.services.tracks.iter().enumerate();
        let running = running.filter_map(|(worker, track)| {
            let (task, since) = track.running()?;
            Some((worker, task, since))
        });
        self.on_lane.extend(running);
    }

    fn on_lane_start(&mut self, worker: usize, task: TaskId, since: u64) {
        if !self.now.has_begun(task) {
            self.report(&mut Event::Started {
                task,
                worker,
                attempt: 1,
                at: Duration::from_nanos(since),
            });
        }
    }

    /// Tells by means of an event that is used again: all such ends are alike but for these fields.
    fn on_lane_end(&mut self, worker: usize, passed: Passed, event: &mut Event) {
        let Passed { task, start, end } = passed;
        if self.wants == Interest::Failures && !self.now.has_begun(task) {
            self.now.passed(1);
            return;
        }
        let took = Duration::from_nanos(end.saturating_sub(start));
        let recording = &self.services.recording;
        let kept = recording.is_told(task);
        let (worker, took) = recording.plain(task).unwrap_or((worker, took));
        if let Event::Finished(finished) = event {
            finished.task = task;
            finished.worker = Some(worker);
            finished.at = Duration::from_nanos(end);
            finished.took = took;
            finished.kept = kept;
        }
        self.report(event);
    }

    /// From here on who has something to tell has to wake this thread; false where there is something.
    fn go_to_sleep(&mut self) -> bool {
        let control = self.control.clone();
        let can_sleep = control.look(|_| {
            let nothing_left = self.services.tracks.iter().all(Track::is_empty);
            let can_sleep = self.merge.is_empty() && nothing_left && self.inbox.sleep();
            if can_sleep {
                // Now, while all is told that led there.
                self.look_at_lane();
            }
            can_sleep
        });
        if can_sleep {
            self.tell_running(Duration::ZERO);
        }
        can_sleep
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Event(mut event) => self.report(&mut event),
            Message::Log(mut event) => {
                let weight = weight(&event);
                self.report(&mut event);
                self.inbox.log_done(weight);
            }
            Message::Retry(task, at) => self.clock.retry(task, at),
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
            self.clock.stop(self.services.now());
        }
        if let (Some(black_box), Stop::Signal(_)) = (self.black_box, why) {
            black_box.hears_stop();
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
                Due::Kill(task, attempt) => self.services.kill(task, attempt),
                Due::GiveUp(task, attempt, limit) => self.give_up(task, attempt, limit),
                Due::Again(task) => self.control.again(task),
                Due::Slow(task, worker, running) => self.report(&mut Event::Slow {
                    task,
                    worker,
                    running,
                }),
                Due::Stop(limit) => self.on_run_timeout(limit),
                Due::Abandon(limit) => {
                    self.control.abandon(Stop::Timeout(limit));
                    self.services.give_up_all();
                    // A hook that does not end either is not waited for.
                    self.left |= self.hook_runs;
                }
            }
        }
    }

    /// A task has not ended within its grace: it is not waited for any more.
    fn give_up(&mut self, task: TaskId, attempt: u32, limit: Option<Duration>) {
        let failure = Failure {
            message: UNKILLABLE.into(),
            place: None,
        };
        let (outcome, cause) = match limit {
            Some(limit) => {
                let is_apart = self.services.catalog.is_apart(task);
                let cause = Cause::TimedOut {
                    limit,
                    still_running: true,
                    failure: is_apart.then_some(failure),
                };
                (Outcome::TimedOut, cause)
            }
            // Threads are not given up for that, only processes.
            None => (Outcome::Cancelled, Cause::Failure(failure)),
        };
        let end = (outcome, Report::of(cause));
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

/// The task of which it was seen that it has left processes running.
fn left_by(event: &Event) -> Option<TaskId> {
    match event {
        Event::Known(event) => left_by(event),
        Event::Observed {
            source: Source::Task(task, _),
            observed: Observed::Left(_),
        } => Some(*task),
        _ => None,
    }
}

/// The end of a task that passed on the lane, still without what tells it from others.
fn plain_end() -> Event {
    Event::Finished(Finished {
        task: TaskId::new(0),
        outcome: Outcome::Passed,
        worker: None,
        at: Duration::ZERO,
        took: Duration::ZERO,
        done: 0,
        planned: 0,
        cause: None,
        result: None,
        attempts: Vec::new(),
        kept: false,
    })
}

/// What looking for something to tell came to.
enum Taken<T> {
    /// What was waited for.
    Found(T),
    /// Something else.
    Some,
    /// Nothing.
    Nothing,
}
