//! The graph in motion: which tasks wait, are ready, run or have ended, and how they ended.
//!
//! Pure: no thread, no clock, no file, no printing. Whoever holds it asks for the next task and tells how it ended.
//!
//! ```text
//!                        ┌──── retry ────┐
//!                        ▼               │
//!         waiting ──▶ ready ──────▶ running ──▶ finished
//!            │          │            │   ▲         ▲
//!            │          │            ▼   │         │
//!            │          │            paused ───────┤
//!            └──────────┴──────────────────────────┘  skipped, not run
//! ```

mod edges;
mod holding;
mod lane;
mod locks;
#[cfg(all(model, test))]
mod model;
mod rank;
mod ready;
mod settle;
mod stages;
mod waits;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use edges::Edges;
pub use lane::{Lane, Next};
pub use locks::{Asked, Owner, Ticket};
use locks::{Freed, Locks};
use rank::Rank;
use stages::Stages;
use waits::Waits;

use crate::event::{Cause, Counts, Stop};
use crate::graph::{Added, Graph, Stage};
use crate::task::{Catalog, Condition, Options, Outcome, Refused, TaskId};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is no part of the run.
    Unplanned,
    /// Some of its dependencies have not ended, or its wave has not come, or the time until its retry.
    Waiting,
    /// It may be taken as soon as its locks are free.
    Ready,
    /// It has been taken.
    Running,
    /// It has been taken, and waits for other tasks.
    Paused,
    /// It has its outcome, for good.
    Finished(Outcome),
}

/// What decides besides the graph and what tasks declare.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Skip what comes after a task that did not pass.
    pub skip_deps: bool,
    /// After so many failures nothing is started any more.
    pub max_fail: Option<NonZeroUsize>,
    /// How often each task is tried again, whatever it declares.
    pub retries: Option<u32>,
    /// Except this one, which is not: somebody looks into it.
    pub once: Option<TaskId>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            skip_deps: true,
            max_fail: None,
            retries: None,
            once: None,
        }
    }
}

/// What the end of an attempt comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The task had been given up before: it comes too late.
    Nothing,
    /// It is tried again: at once, or, where it is `delayed`, when [`Plan::again`] says so.
    Retry {
        /// It declares a delay.
        delayed: bool,
        /// What follows besides.
        changes: Vec<Change>,
    },
    /// It has its outcome, and this follows.
    Ended(Vec<Change>),
}

/// What follows from the end of a task, or from a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A task got its outcome without running.
    Settled(TaskId, Outcome, Cause),
    /// A task that was to be tried again is not: the outcome of its last attempt stands.
    Stands(TaskId, Outcome),
    /// Nothing is started from here on, but what cleans up.
    Stopped(Stop),
    /// A wait for a lock has come to its end: the lock is taken.
    Granted(Ticket),
    /// A wait for a lock has come to its end without the lock.
    Refused(Ticket, Refused),
}

/// The phases of all planned tasks.
pub struct Plan {
    edges: Edges,
    rules: Rules,
    /// Of the tasks that declare any.
    options: HashMap<TaskId, Arc<Options>>,
    /// By task, of those that were there at first: how many tasks the longest chain of dependents has that starts there.
    remaining: Vec<u32>,
    /// The phases of those tasks, what they wait for, and which of them are ready.
    lane: Arc<Lane>,
    /// Tasks that run on the lane.
    aside: Vec<TaskId>,
    /// Tasks that were added since.
    added: HashMap<TaskId, Addition>,
    /// Those of them that are ready.
    added_ready: BinaryHeap<Reverse<(Rank, TaskId)>>,
    /// The dependency that kept a task from running, and the failure at the bottom of it all.
    blocked: HashMap<TaskId, Blocked>,
    /// Attempts that did not pass, of tasks that are tried again, and the outcome of the last one.
    attempts: HashMap<TaskId, (u32, Outcome)>,
    stages: Stages,
    locks: Locks,
    /// Tasks that asked for locks while they ran.
    lockers: HashSet<TaskId>,
    waits: Waits,
    /// Tasks that others wait for, or have waited for.
    awaited: HashSet<TaskId>,
    /// Running tasks that have been asked to stop.
    interrupted: HashSet<TaskId>,
    /// Given up while they ran; what they hold is never given back.
    stuck: HashSet<TaskId>,
    /// How many tasks run, besides those on the lane.
    running: usize,
    paused: usize,
    /// The task that runs alone.
    alone: Option<TaskId>,
    /// The next task is to run alone, and waits for those that run.
    clears: bool,
    abandoned: usize,
    counts: Counts,
    stopped: Option<Stop>,
    /// What a stop leaves alone.
    spared: Option<Spared>,
}

/// A task that was added, as the lane knows those that were there at first.
struct Addition {
    phase: Phase,
    left: u32,
    rank: Rank,
}

#[derive(Clone, Copy)]
struct Blocked {
    by: TaskId,
    root: TaskId,
}

/// Tells whether a task is one of some.
pub type Spared = Box<dyn Fn(TaskId) -> bool + Send>;

impl Plan {
    /// All tasks of the graph, none started.
    pub fn new(catalog: &Catalog, graph: &Arc<Graph>, rules: Rules) -> Self {
        let remaining = rank::remaining_chains(graph);
        let options = declared(catalog, graph.planned());
        let priority = |task| options.get(&task).map_or(0, |options| options.priority);
        let by_rank = rank::order(graph, &remaining, priority);
        let mut plan = Self {
            rules,
            remaining,
            lane: Arc::new(Lane::new(graph, by_rank)),
            options,
            aside: Vec::new(),
            added: HashMap::new(),
            added_ready: BinaryHeap::new(),
            blocked: HashMap::new(),
            attempts: HashMap::new(),
            stages: Stages::new(graph),
            locks: Locks::default(),
            lockers: HashSet::new(),
            waits: Waits::default(),
            awaited: HashSet::new(),
            interrupted: HashSet::new(),
            stuck: HashSet::new(),
            running: 0,
            paused: 0,
            alone: None,
            clears: false,
            abandoned: 0,
            counts: Counts::default(),
            stopped: None,
            spared: None,
            edges: Edges::new(graph),
        };
        let special = plan
            .options
            .iter()
            .filter(|(_, options)| is_special(options));
        let staged = plan.stages.higher();
        for task in special.map(|(task, _)| *task).chain(staged) {
            plan.lane.set_phase(task, Phase::Waiting);
        }
        let free = |task: &&TaskId| graph.dependencies(**task).is_empty();
        let changes = &mut Vec::new();
        for &task in graph.planned().iter().filter(free) {
            plan.admit(task, &mut Vec::new(), changes);
        }
        debug_assert!(changes.is_empty(), "nothing has ended yet");
        plan
    }

    /// What workers may do with plain tasks without asking.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// What the lane has come to since the last time: those tasks run on it now, and so many more have passed. To be told
    /// before anything else is asked or told.
    pub fn heed(&mut self, running: impl Iterator<Item = TaskId>, passed: usize) -> Vec<Change> {
        self.aside.clear();
        self.aside.extend(running);
        let mut changes = Vec::new();
        if passed > 0 {
            self.counts.add_many(Outcome::Passed, passed);
            self.stages.ended_first(passed);
            self.follow(Vec::new(), &mut changes);
        }
        changes
    }

    /// Tasks that are not on the lane, and wait for nothing any more that is.
    pub fn arrived(&mut self, tasks: &[TaskId]) -> Vec<Change> {
        let (mut ended, mut changes) = (Vec::new(), Vec::new());
        for &task in tasks {
            if self.phase(task) == Phase::Waiting {
                self.admit(task, &mut ended, &mut changes);
            }
        }
        self.follow(ended, &mut changes);
        changes
    }

    /// A task that has been taken runs on the lane, if nothing about it is special.
    pub fn put_on_lane(&mut self, task: TaskId) -> bool {
        let options = self.options.get(&task);
        let is_plain = self.lane.knows(task)
            && options.is_none_or(|options| !is_special(options))
            && self.stages.of(task) == Stage::default()
            && !self.attempts.contains_key(&task)
            && !self.awaited.contains(&task)
            && !self.edges.has_added_dependents(task);
        if is_plain {
            self.running -= 1;
            self.aside.push(task);
            self.lane.put_on(task);
        }
        is_plain
    }

    /// From here on until the plan is asked again, workers take tasks from the lane, unless that is `closed`, or the plan
    /// has to be asked for each.
    pub fn leave_lane(&mut self, closed: bool) {
        let asks = self.stopped.is_some() || self.alone.is_some() || self.clears;
        let closed = closed || asks || !self.added_ready.is_empty();
        self.lane.set_closed(closed);
    }

    /// Adds tasks, in topological order, whose dependencies are planned or added before them. Refused where the plan is
    /// stopped.
    pub fn add(&mut self, catalog: &Catalog, added: &[Added]) -> Result<Vec<Change>, Refused> {
        if self.stopped.is_some() {
            return Err(Refused::Cancelled);
        }
        for Added {
            task, dependencies, ..
        } in added
        {
            self.edges.add(*task, dependencies);
            for dependency in dependencies {
                self.take_off_lane(*dependency);
            }
        }
        let remaining = self.edges.remaining_chains(added);
        for (added, remaining) in added.iter().zip(remaining) {
            let unfinished = added.dependencies.iter();
            let unfinished = unfinished.filter(|task| !self.is_finished(**task)).count();
            let options = catalog.declared(added.task);
            let priority = options.as_ref().map_or(0, |options| options.priority);
            let addition = Addition {
                phase: Phase::Waiting,
                left: u32::try_from(unfinished).unwrap_or(u32::MAX),
                rank: Rank::new(priority, remaining),
            };
            self.added.insert(added.task, addition);
            if let Some(options) = options {
                self.options.insert(added.task, Arc::clone(options));
            }
        }
        // Where these come into a lower stage than is open, `take` lets ready tasks of higher ones wait again.
        for Added { task, stage, .. } in added {
            self.stages.add(*task, *stage);
        }
        let (mut ended, mut changes) = (Vec::new(), Vec::new());
        for Added { task, .. } in added {
            if self.left(*task) == 0 && self.phase(*task) == Phase::Waiting {
                self.admit(*task, &mut ended, &mut changes);
            }
        }
        self.follow(ended, &mut changes);
        Ok(changes)
    }

    /// The ready task of the lowest rank whose locks are free; they are taken with it. None where nothing may start now.
    pub fn take(&mut self) -> Option<TaskId> {
        if self.alone.is_some() {
            return None;
        }
        self.clears = false;
        while let Some(task) = self.pop_ready() {
            let options = self.options.get(&task).cloned();
            let options = options.as_deref();
            let locks = options.map_or(&[][..], |options| &options.locks);
            let mut freed = Freed::default();
            if self.phase(task) == Phase::Ready && !self.stages.is_open(task) {
                self.set(task, Phase::Waiting); // tasks of a lower stage have come since
                self.stages.hold(task);
            }
            if self.phase(task) != Phase::Ready {
                self.locks.drop_called(task, locks, &mut freed);
                self.call(freed);
                continue;
            }
            let exclusive = options.is_some_and(|options| options.exclusive);
            if exclusive && self.running() > 0 && self.locks.are_free(task, locks) {
                self.push_ready(task);
                self.clears = true;
                return None; // nothing is started ahead of it
            }
            let rank = self.rank(task);
            let taken = locks.is_empty() || self.locks.take_all(task, rank, locks, &mut freed);
            self.call(freed);
            if taken {
                self.set(task, Phase::Running);
                self.alone = exclusive.then_some(task);
                return Some(task);
            }
        }
        None
    }

    /// The task of the lowest rank that is ready, or was when it came there.
    fn pop_ready(&mut self) -> Option<TaskId> {
        let first = self.lane.first().map(|task| (self.rank(task), task));
        let added = self.added_ready.peek().map(|Reverse(added)| *added);
        match (first, added) {
            (Some(first), Some(added)) if added < first => self.added_ready.pop(),
            (None, Some(_)) => self.added_ready.pop(),
            (Some((_, task)), _) => {
                self.take_off_lane(task);
                self.lane.remove(task);
                return Some(task);
            }
            (None, None) => None,
        }
        .map(|Reverse((_, task))| task)
    }

    fn push_ready(&mut self, task: TaskId) {
        if self.lane.knows(task) {
            self.lane.insert(task);
        } else {
            self.added_ready.push(Reverse((self.rank(task), task)));
        }
    }

    /// Tasks that waited for a lock may try again.
    fn call(&mut self, mut freed: Freed) {
        debug_assert!(freed.granted.is_empty(), "nothing was released");
        while let Some(task) = freed.called.pop() {
            if self.phase(task) == Phase::Ready {
                self.push_ready(task);
            } else if let Some(options) = self.options.get(&task).cloned() {
                self.locks.drop_called(task, &options.locks, &mut freed);
            }
        }
    }

    /// An attempt of a running task has ended. It is tried again, or it has its outcome; then its dependents become ready or
    /// get theirs.
    pub fn finish(&mut self, task: TaskId, outcome: Outcome) -> After {
        if !self.is_under_way(task) {
            return After::Nothing;
        }
        let mut changes = Vec::new();
        self.waits.clear(task);
        self.interrupted.remove(&task);
        self.release_locks(task, &mut changes);
        if let Some(delayed) = self.retries(task, outcome) {
            let attempts = self.attempts.entry(task).or_insert((0, outcome));
            *attempts = (attempts.0 + 1, outcome);
            self.set(task, Phase::Waiting);
            if !delayed {
                changes.extend(self.again(task));
            }
            return After::Retry { delayed, changes };
        }
        self.set(task, Phase::Finished(outcome));
        self.follow(vec![task], &mut changes);
        self.stop_if_enough(&mut changes);
        After::Ended(changes)
    }

    /// The time until the retry of a task is over.
    pub fn again(&mut self, task: TaskId) -> Vec<Change> {
        let (mut ended, mut changes) = (Vec::new(), Vec::new());
        if self.phase(task) == Phase::Waiting {
            self.admit(task, &mut ended, &mut changes);
            self.follow(ended, &mut changes);
        }
        changes
    }

    /// Whether the task is tried again, and if so, whether that is delayed.
    fn retries(&self, task: TaskId, outcome: Outcome) -> Option<bool> {
        let options = self.options.get(&task).map(|options| &**options);
        let declared = options.map_or(0, |options| options.retries);
        let counts = match outcome {
            Outcome::Failed | Outcome::Crashed => true,
            Outcome::TimedOut => options.is_some_and(|options| options.retry_timeouts),
            _ => false,
        };
        let tried = self.attempts.get(&task).map_or(0, |(count, _)| *count);
        let counts = counts && self.rules.once != Some(task) && self.stopped.is_none();
        let again = counts && tried < self.rules.retries.unwrap_or(declared);
        again.then(|| options.is_some_and(|options| !options.retry_delay.is_zero()))
    }

    fn stop_if_enough(&mut self, changes: &mut Vec<Change>) {
        let failures = [Outcome::Failed, Outcome::TimedOut, Outcome::Crashed];
        let failures: usize = failures.iter().map(|o| self.counts.get(*o)).sum();
        if let Some(limit) = self.rules.max_fail.filter(|limit| failures >= limit.get()) {
            changes.extend(self.stop(Stop::MaxFail(limit.get())));
        }
    }

    /// Gives a running task an outcome although it has not come back. What it holds is never given back: those who need it
    /// are not run.
    pub fn give_up(&mut self, task: TaskId, outcome: Outcome) -> Vec<Change> {
        if !self.is_under_way(task) {
            return Vec::new();
        }
        self.stuck.insert(task);
        self.abandoned += 1;
        self.set(task, Phase::Finished(outcome));
        let mut changes = Vec::new();
        let owner = Owner::Task(task);
        self.refuse(
            &self.locks.tickets(|other| other == owner),
            Refused::Cancelled,
            &mut changes,
        );
        let behind = self.locks.tickets_behind(owner);
        self.refuse(&behind, Refused::Deadlock, &mut changes);
        let mut ended = vec![task];
        let mut locked: Vec<TaskId> = self.options.keys().copied().collect();
        locked.sort_unstable();
        for task in locked {
            if matches!(self.phase(task), Phase::Waiting | Phase::Ready)
                && let Some(cause) = self.stuck_lock(task)
            {
                self.settle(task, Outcome::NotRun, cause, &mut changes);
                ended.push(task);
            }
        }
        self.follow(ended, &mut changes);
        self.stop_if_enough(&mut changes);
        changes
    }

    /// Starts nothing any more but what cleans up after tasks that have been started: what waits or is ready is not run.
    /// Running tasks go on. A second stop changes nothing.
    pub fn stop(&mut self, why: Stop) -> Vec<Change> {
        if self.stopped.is_some() || self.is_over() {
            return Vec::new();
        }
        self.stopped = Some(why);
        let mut changes = vec![Change::Stopped(why)];
        let cleaners = self.cleaners();
        let ended = self.settle_all(
            |plan, task| {
                matches!(plan.phase(task), Phase::Waiting | Phase::Ready)
                    && !cleaners.contains(&task)
                    && !plan.is_spared(task)
            },
            (Outcome::NotRun, why),
            &mut changes,
        );
        self.follow(ended, &mut changes);
        changes
    }

    /// These go on after a stop: how they end is known, and that they do is only said once more.
    pub fn spare(&mut self, spared: Spared) {
        self.spared = Some(spared);
    }

    fn is_spared(&self, task: TaskId) -> bool {
        self.spared.as_ref().is_some_and(|spared| spared(task))
    }

    /// Tasks that run even after a stop: those which run always, and come after something that has been started, or after
    /// another one of these.
    fn cleaners(&self) -> HashSet<TaskId> {
        let mut cleaners = HashSet::new();
        if self.options.is_empty() {
            return cleaners;
        }
        for task in self.edges.topological() {
            let waits = matches!(self.phase(task), Phase::Waiting | Phase::Ready);
            if !waits || self.condition(task) != Condition::Always {
                continue;
            }
            let mut dependencies = self.edges.dependencies(task).iter();
            let has_started = |task| self.has_started(task) || self.is_spared(task);
            let cleans = |task: &TaskId| has_started(*task) || cleaners.contains(task);
            if dependencies.any(cleans) {
                cleaners.insert(task);
            }
        }
        cleaners
    }

    /// Starts nothing any more, not even what cleans up. Running tasks go on.
    pub fn close(&mut self, why: Stop) -> Vec<Change> {
        let mut changes = self.stop(why);
        self.settle_all(
            |plan, task| {
                let waits = matches!(plan.phase(task), Phase::Waiting | Phase::Ready);
                waits && !plan.is_spared(task)
            },
            (Outcome::NotRun, why),
            &mut changes,
        );
        changes
    }

    /// Gives up the running tasks too: they are cancelled, and whatever they still come to is ignored. Nothing is left to
    /// start.
    pub fn abandon(&mut self, why: Stop) -> Vec<Change> {
        let mut changes = self.close(why);
        self.abandoned += self.running() + self.paused;
        let under_way = self.edges.planned().iter().copied();
        let under_way: Vec<_> = under_way.filter(|task| self.is_under_way(*task)).collect();
        self.stuck.extend(under_way);
        self.settle_all(Self::is_under_way, (Outcome::Cancelled, why), &mut changes);
        let tickets = self.locks.tickets(|_| true);
        self.refuse(&tickets, Refused::Cancelled, &mut changes);
        changes
    }

    /// A running task waits for others and gives up its place.
    pub fn pause(&mut self, task: TaskId) {
        if self.phase(task) == Phase::Running {
            self.set(task, Phase::Paused);
            self.alone = self.alone.filter(|alone| *alone != task);
        }
    }

    /// A paused task goes on, if it may: not beside one that runs alone.
    pub fn resume(&mut self, task: TaskId) -> bool {
        let options = self.options.get(&task);
        let exclusive = options.is_some_and(|options| options.exclusive);
        if self.alone.is_some() || exclusive && self.running() > 0 {
            return false;
        }
        self.alone = exclusive.then_some(task);
        self.set(task, Phase::Running);
        true
    }

    /// A task is about to wait until others have ended. Refused where that would never come to an end, or where the task has
    /// been asked to stop.
    pub fn wait(&mut self, task: TaskId, on: &[TaskId]) -> Result<(), Refused> {
        if self.is_interrupted(Owner::Task(task)) {
            return Err(Refused::Cancelled);
        }
        let nodes = on.iter().map(|task| Owner::Task(*task));
        let unfinished = nodes.filter(|node| !self.is_over_with(*node)).collect();
        if self.is_hopeless(unfinished, Some(Owner::Task(task))) {
            return Err(Refused::Deadlock);
        }
        self.take_off_lane(task);
        for &awaited in on {
            self.take_off_lane(awaited);
            self.awaited.insert(awaited);
        }
        self.waits.begin(task, on);
        Ok(())
    }

    /// The wait is over.
    pub fn waited(&mut self, task: TaskId, on: &[TaskId]) {
        self.waits.end(task, on);
    }

    /// Where a task stands.
    pub fn phase(&self, task: TaskId) -> Phase {
        if !self.lane.knows(task) {
            let added = self.added.get(&task);
            return added.map_or(Phase::Unplanned, |added| added.phase);
        }
        self.lane.phase(task).unwrap_or_else(|| {
            if self.aside.contains(&task) {
                Phase::Running
            } else {
                Phase::Finished(Outcome::Passed)
            }
        })
    }

    /// It was taken at least once.
    fn has_started(&self, task: TaskId) -> bool {
        match self.phase(task) {
            Phase::Unplanned | Phase::Finished(Outcome::NotRun) => false,
            Phase::Waiting | Phase::Ready => self.is_retry(task),
            Phase::Finished(Outcome::Skipped) => !self.blocked.contains_key(&task),
            Phase::Running | Phase::Paused | Phase::Finished(_) => true,
        }
    }

    /// It passed, or skipped itself.
    pub fn is_fine(&self, task: TaskId) -> bool {
        match self.phase(task) {
            Phase::Finished(Outcome::Passed) => true,
            Phase::Finished(Outcome::Skipped) => !self.blocked.contains_key(&task),
            _ => false,
        }
    }

    /// Which attempt of a task is the one that runs, or the next: from 1.
    pub fn attempt(&self, task: TaskId) -> u32 {
        let failed = self.attempts.get(&task);
        failed.map_or(1, |(failed, _)| failed + 1)
    }

    /// Every task has its outcome.
    pub fn is_over(&self) -> bool {
        self.counts.total() == self.planned()
    }

    /// How many tasks there are.
    pub fn planned(&self) -> usize {
        self.edges.planned().len()
    }

    /// Some tasks may be taken now, or could be if they got their locks.
    pub fn has_ready(&self) -> bool {
        self.lane.has_ready() || !self.added_ready.is_empty()
    }

    /// How many tasks have been taken and neither have ended nor are paused.
    pub fn running(&self) -> usize {
        self.running + self.aside.len()
    }

    /// How many tasks were given up while they ran.
    pub fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// How the ended tasks ended.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many of the skipped tasks were skipped because of another task.
    pub fn blocked(&self) -> usize {
        self.blocked.len()
    }

    /// Why nothing is started any more.
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// It has been taken, and has not ended.
    pub fn is_under_way(&self, task: TaskId) -> bool {
        matches!(self.phase(task), Phase::Running | Phase::Paused)
    }

    fn is_interrupted(&self, owner: Owner) -> bool {
        matches!(owner, Owner::Task(task) if self.interrupted.contains(&task))
    }

    fn is_finished(&self, task: TaskId) -> bool {
        matches!(self.phase(task), Phase::Finished(_))
    }

    fn condition(&self, task: TaskId) -> Condition {
        let options = self.options.get(&task);
        options.map_or(Condition::AfterPassed, |options| options.condition)
    }

    /// How many of its dependencies have not ended.
    fn left(&self, task: TaskId) -> u32 {
        let added = self.added.get(&task);
        added.map_or_else(|| self.lane.left(task), |added| added.left)
    }

    /// A dependency of a task has ended; whether that was the last one.
    fn count_down(&mut self, task: TaskId) -> bool {
        let Some(added) = self.added.get_mut(&task) else {
            return self.lane.count_down(task);
        };
        let was_last = added.left == 1;
        added.left = added.left.saturating_sub(1);
        was_last
    }

    fn rank(&self, task: TaskId) -> Rank {
        if let Some(added) = self.added.get(&task) {
            return added.rank;
        }
        let options = self.options.get(&task);
        let priority = options.map_or(0, |options| options.priority);
        Rank::new(priority, self.remaining[task.index()])
    }

    /// From here on all about a task is for the plan to say.
    fn take_off_lane(&mut self, task: TaskId) {
        if self.lane.is_on(task) {
            let phase = self.phase(task);
            if phase == Phase::Running {
                self.aside.retain(|other| *other != task);
                self.running += 1;
            }
            self.lane.set_phase(task, phase);
        }
    }

    /// The one place where a phase changes; keeps the counts.
    fn set(&mut self, task: TaskId, phase: Phase) {
        self.take_off_lane(task);
        let old = self.phase(task);
        debug_assert!(!matches!(old, Phase::Finished(_)), "an outcome is for good");
        self.running -= usize::from(old == Phase::Running);
        self.paused -= usize::from(old == Phase::Paused);
        match self.added.get_mut(&task) {
            Some(added) => added.phase = phase,
            None => self.lane.set_phase(task, phase),
        }
        match phase {
            Phase::Unplanned | Phase::Waiting => {}
            Phase::Ready => self.push_ready(task),
            Phase::Running => self.running += 1,
            Phase::Paused => self.paused += 1,
            Phase::Finished(outcome) => self.counts.add(outcome),
        }
        if phase != Phase::Running && self.alone == Some(task) {
            self.alone = None;
        }
        if matches!(phase, Phase::Finished(_)) {
            let fine = self.is_fine(task);
            self.stages.ended(task, fine);
        }
    }
}

/// It may start only when more is known than that its dependencies have passed, or ends in more than one way.
fn is_special(options: &Options) -> bool {
    let Options {
        before: _,
        then: _,
        priority: _,
        timeout: _,
        isolate: _,
        wave,
        locks,
        condition,
        exclusive,
        retries,
        retry_timeouts: _,
        retry_delay: _,
    } = options;
    let waits = *wave > 0 || !locks.is_empty() || *condition != Condition::AfterPassed;
    waits || *exclusive || *retries > 0
}

/// What tasks declare, of those that declare anything.
fn declared(catalog: &Catalog, tasks: &[TaskId]) -> HashMap<TaskId, Arc<Options>> {
    let options = |task: &TaskId| Some((*task, catalog.declared(*task).cloned()?));
    tasks.iter().filter_map(options).collect()
}

#[cfg(test)]
mod tests;
