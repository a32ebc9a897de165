//! What is due when: timeouts and their grace, retries, slow notices, the end of the whole run.
//!
//! Knows no clock: it is told what time it is. Times are measured from the start of the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::Limits;
use crate::event::Event;
use crate::task::{Catalog, Condition, TaskId};

/// Something whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// This attempt is to be asked to stop.
    Cancel(TaskId, u32),
    /// This attempt has had its grace, and can be ended.
    Kill(TaskId, u32),
    /// This attempt has had its grace and has not come back, after so long a time of its own; none where it was asked to stop
    /// because the run was.
    GiveUp(TaskId, u32, Option<Duration>),
    /// The delay before a retry is over.
    Again(TaskId),
    /// A task runs on this worker for so long.
    Slow(TaskId, usize, Duration),
    /// The run has taken so long as it may.
    Stop(Duration),
    /// And its grace is over.
    Abandon(Duration),
}

pub(super) struct Clock {
    limits: Limits,
    running: BTreeMap<TaskId, Running>,
    retries: BinaryHeap<Reverse<(Duration, TaskId)>>,
    run: Asked,
    /// When the run was stopped.
    stopped: Option<Duration>,
    /// Nothing is due before.
    next: Option<Duration>,
}

struct Running {
    worker: usize,
    attempt: u32,
    began: Duration,
    timeout: Option<Duration>,
    /// It can be ended, and comes back then.
    is_apart: bool,
    asked: Asked,
    /// When it was.
    asked_at: Duration,
    /// How often it was called slow.
    slow: u32,
    paused: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    No,
    ToStop,
    ToDie,
    GivenUp,
}

/// How long a task has to come back that was killed. One that the system keeps does not.
const LAST: Duration = Duration::from_secs(10);

impl Clock {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = Limits {
            slow: limits.slow.filter(|slow| !slow.is_zero()),
            ..limits
        };
        Self {
            limits,
            running: BTreeMap::new(),
            retries: BinaryHeap::new(),
            run: Asked::No,
            stopped: None,
            next: limits.run_timeout,
        }
    }

    pub(super) fn note(&mut self, event: &Event, catalog: &Catalog) {
        match event {
            Event::Started {
                task,
                worker,
                attempt,
                at,
            } => {
                let mut running = Running {
                    worker: *worker,
                    attempt: *attempt,
                    began: *at,
                    timeout: self.limits.of(catalog, *task),
                    is_apart: catalog.is_apart(*task),
                    asked: Asked::No,
                    asked_at: Duration::ZERO,
                    slow: 0,
                    paused: false,
                };
                if let Some(stopped) = self.stopped
                    // It cleans up, and has the time for that.
                    && (*at <= stopped || catalog.task(*task).options().condition != Condition::Always)
                {
                    running.stop(stopped.max(*at));
                }
                self.look_out_for(running.next(&self.limits));
                self.running.insert(*task, running);
            }
            Event::Finished(finished) => drop(self.running.remove(&finished.task)),
            Event::Retrying { task, .. } => drop(self.running.remove(task)),
            Event::Paused { task, .. } => {
                if let Some(running) = self.running.get_mut(task) {
                    running.paused = true;
                }
            }
            Event::Resumed { task, worker, .. } => {
                if let Some(running) = self.running.get_mut(task) {
                    (running.paused, running.worker) = (false, *worker);
                    let next = running.next(&self.limits);
                    self.look_out_for(next);
                }
            }
            _ => {}
        }
    }

    /// A task is to be tried again at that time.
    pub(super) fn retry(&mut self, task: TaskId, at: Duration) {
        self.retries.push(Reverse((at, task)));
        self.look_out_for(Some(at));
    }

    /// The run is stopped, and what runs was asked to end. Who can be ended is after its grace; threads cannot.
    pub(super) fn stop(&mut self, now: Duration) {
        self.stopped = Some(now);
        for running in self.running.values_mut() {
            running.stop(now);
        }
        self.next = self.earliest();
    }

    /// When to ask again; nothing is due before.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// What is due by now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(&Reverse((at, task))) = self.retries.peek()
            && at <= now
        {
            self.retries.pop();
            due.push(Due::Again(task));
        }
        for (task, running) in &mut self.running {
            running.due(*task, now, &self.limits, &mut due);
        }
        self.run_due(now, &mut due);
        self.next = self.earliest();
        due
    }

    fn run_due(&mut self, now: Duration, due: &mut Vec<Due>) {
        let Some(limit) = self.limits.run_timeout else {
            return;
        };
        if self.run == Asked::No && now >= limit {
            self.run = Asked::ToStop;
            due.push(Due::Stop(limit));
        }
        if self.run == Asked::ToStop && now >= limit.saturating_add(self.limits.grace) {
            self.run = Asked::GivenUp;
            due.push(Due::Abandon(limit));
        }
    }

    fn earliest(&self) -> Option<Duration> {
        let retry = self.retries.peek().map(|Reverse((at, _))| *at);
        let tasks = self.running.values();
        let tasks = tasks.filter_map(|running| running.next(&self.limits)).min();
        let limit = self.limits.run_timeout;
        let run = match self.run {
            Asked::No => limit,
            Asked::ToStop => limit.map(|limit| limit.saturating_add(self.limits.grace)),
            Asked::ToDie | Asked::GivenUp => None,
        };
        [retry, tasks, run].into_iter().flatten().min()
    }

    fn look_out_for(&mut self, at: Option<Duration>) {
        self.next = [self.next, at].into_iter().flatten().min();
    }
}

impl Running {
    /// It was asked to stop, as the run is.
    fn stop(&mut self, at: Duration) {
        if self.is_apart && self.asked == Asked::No {
            (self.asked, self.asked_at) = (Asked::ToStop, at);
        }
    }

    fn next(&self, limits: &Limits) -> Option<Duration> {
        let slow = limits.slow.filter(|_| !self.paused);
        let slow = slow.map(|slow| slow.saturating_mul(self.slow + 1));
        let slow = slow.map(|after| self.began.saturating_add(after));
        [slow, self.next_step(limits)].into_iter().flatten().min()
    }

    /// When it is asked to stop, or more urgently than before.
    fn next_step(&self, limits: &Limits) -> Option<Duration> {
        let over = self.asked_at.saturating_add(limits.grace);
        match self.asked {
            Asked::No => self.timeout.map(|limit| self.began.saturating_add(limit)),
            Asked::ToStop => Some(over),
            Asked::ToDie => Some(over.saturating_add(LAST)),
            Asked::GivenUp => None,
        }
    }

    fn due(&mut self, task: TaskId, now: Duration, limits: &Limits, due: &mut Vec<Due>) {
        while let Some(at) = self.next_step(limits).filter(|at| *at <= now) {
            let attempt = self.attempt;
            let (asked, step) = match self.asked {
                Asked::No => {
                    self.asked_at = at;
                    (Asked::ToStop, Due::Cancel(task, attempt))
                }
                Asked::ToStop if self.is_apart => (Asked::ToDie, Due::Kill(task, attempt)),
                _ => {
                    // Whose time was over before the run was stopped has timed out.
                    let timeout = self
                        .timeout
                        .filter(|limit| self.began + *limit <= self.asked_at);
                    (Asked::GivenUp, Due::GiveUp(task, attempt, timeout))
                }
            };
            self.asked = asked;
            due.push(step);
        }
        let ran = now.saturating_sub(self.began);
        let Some(slow) = limits.slow.filter(|_| !self.paused) else {
            return;
        };
        let times = ran.as_nanos() / slow.as_nanos();
        let times = u32::try_from(times).unwrap_or(u32::MAX - 1);
        if times > self.slow {
            self.slow = times;
            due.push(Due::Slow(task, self.worker, slow.saturating_mul(times)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Attempt, Cause};
    use crate::graph::sketch;
    use crate::task::{Caller, Ending, Failure, Launcher, Outcome, TaskRef};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn started(attempt: u32, at: u64) -> Event {
        Event::Started {
            task: TaskId::new(0),
            worker: 3,
            attempt,
            at: seconds(at),
        }
    }

    /// A clock, and a catalog of one task.
    fn clock(limits: Limits) -> (Clock, Catalog) {
        (Clock::new(limits), sketch::catalog("a"))
    }

    #[test]
    fn a_task_is_asked_to_stop_and_then_given_up() {
        let (mut clock, catalog) = clock(Limits {
            timeout: Some(seconds(5)),
            grace: seconds(2),
            slow: None,
            ..Limits::default()
        });
        assert_eq!(clock.next(), None);
        clock.note(&started(1, 10), &catalog);
        let task = TaskId::new(0);
        for (now, next, due) in [
            (14, Some(15), vec![]),
            (15, Some(17), vec![Due::Cancel(task, 1)]),
            (16, Some(17), vec![]),
            (17, None, vec![Due::GiveUp(task, 1, Some(seconds(5)))]),
            (99, None, vec![]),
        ] {
            assert_eq!(clock.due(seconds(now)), due, "{now}");
            assert_eq!(clock.next(), next.map(seconds), "{now}");
        }
    }

    /// Runs nothing, and takes all.
    struct Elsewhere;

    impl Launcher for Elsewhere {
        fn takes(&self, _: TaskRef<'_>) -> bool {
            true
        }
        fn call(&self, _: TaskId, _: TaskRef<'_>, _: &Caller<'_>) -> Option<Box<Ending>> {
            None
        }
    }

    #[test]
    fn a_task_that_can_be_killed_is_given_up_only_when_that_was_in_vain() {
        let (mut clock, catalog) = clock(Limits {
            timeout: Some(seconds(5)),
            grace: seconds(2),
            slow: None,
            ..Limits::default()
        });
        catalog.set_launcher(Arc::new(Elsewhere));
        clock.note(&started(1, 10), &catalog);
        let task = TaskId::new(0);
        for (now, next, due) in [
            (15, Some(17), vec![Due::Cancel(task, 1)]),
            (17, Some(27), vec![Due::Kill(task, 1)]),
            (26, Some(27), vec![]),
            (27, None, vec![Due::GiveUp(task, 1, Some(seconds(5)))]),
            (99, None, vec![]),
        ] {
            assert_eq!(clock.due(seconds(now)), due, "{now}");
            assert_eq!(clock.next(), next.map(seconds), "{now}");
        }
    }

    #[test]
    fn a_stop_gives_those_that_can_be_killed_a_grace_and_no_others() {
        let limits = Limits {
            grace: seconds(2),
            slow: None,
            ..Limits::default()
        };
        let task = TaskId::new(0);
        for begins in [10, 30] {
            let (mut clock, catalog) = clock(limits);
            catalog.set_launcher(Arc::new(Elsewhere));
            if begins == 10 {
                clock.note(&started(1, begins), &catalog);
                clock.stop(seconds(30));
            } else {
                // It was taken before the stop, and is told only now.
                clock.stop(seconds(30));
                clock.note(&started(1, begins), &catalog);
            }
            for (now, next, due) in [
                (31, Some(32), vec![]),
                (32, Some(42), vec![Due::Kill(task, 1)]),
                (42, None, vec![Due::GiveUp(task, 1, None)]),
            ] {
                assert_eq!(clock.due(seconds(now)), due, "{now}");
                assert_eq!(clock.next(), next.map(seconds), "{now}");
            }
        }
        let (mut clock, catalog) = clock(limits);
        clock.note(&started(1, 10), &catalog);
        clock.stop(seconds(30));
        assert_eq!(clock.next(), None);
    }

    #[test]
    fn each_attempt_has_its_own_time() {
        let (mut clock, catalog) = clock(Limits {
            timeout: Some(seconds(5)),
            slow: None,
            ..Limits::default()
        });
        clock.note(&started(1, 0), &catalog);
        let cause = Cause::Failure(Failure {
            message: "no".into(),
            place: None,
        });
        let retrying = Event::Retrying {
            task: TaskId::new(0),
            worker: 3,
            number: 1,
            attempt: Attempt {
                outcome: Outcome::Failed,
                cause,
                took: seconds(1),
            },
            at: seconds(1),
        };
        clock.note(&retrying, &catalog);
        clock.retry(TaskId::new(0), seconds(3));
        assert_eq!(clock.due(seconds(3)), [Due::Again(TaskId::new(0))]);
        clock.note(&started(2, 4), &catalog);
        assert_eq!(clock.due(seconds(8)), []);
        assert_eq!(clock.due(seconds(9)), [Due::Cancel(TaskId::new(0), 2)]);
    }

    #[test]
    fn a_slow_task_is_named_once_for_each_such_time_but_not_while_it_waits() {
        let (mut clock, catalog) = clock(Limits {
            slow: Some(seconds(60)),
            ..Limits::default()
        });
        let task = TaskId::new(0);
        clock.note(&started(1, 0), &catalog);
        assert_eq!(clock.next(), Some(seconds(60)));
        assert_eq!(clock.due(seconds(60)), [Due::Slow(task, 3, seconds(60))]);
        assert_eq!(clock.due(seconds(61)), []);
        assert_eq!(clock.due(seconds(185)), [Due::Slow(task, 3, seconds(180))]);
        let (worker, at) = (3, seconds(190));
        clock.note(&Event::Paused { task, worker, at }, &catalog);
        assert_eq!(clock.due(seconds(400)), []);
        assert_eq!(clock.next(), None);
        clock.note(
            &Event::Resumed {
                task,
                worker: 1,
                at,
            },
            &catalog,
        );
        assert_eq!(clock.due(seconds(400)), [Due::Slow(task, 1, seconds(360))]);
    }

    #[test]
    fn nobody_is_slow_after_no_time_at_all() {
        let (mut clock, catalog) = clock(Limits {
            slow: Some(Duration::ZERO),
            ..Limits::default()
        });
        clock.note(&started(1, 0), &catalog);
        assert_eq!((clock.next(), clock.due(seconds(1))), (None, vec![]));
    }

    #[test]
    fn the_run_is_stopped_and_then_abandoned() {
        let (mut clock, _) = clock(Limits {
            run_timeout: Some(seconds(30)),
            grace: seconds(10),
            ..Limits::default()
        });
        assert_eq!(clock.next(), Some(seconds(30)));
        assert_eq!(clock.due(seconds(31)), [Due::Stop(seconds(30))]);
        assert_eq!(clock.next(), Some(seconds(40)));
        assert_eq!(clock.due(seconds(40)), [Due::Abandon(seconds(30))]);
        assert_eq!(clock.next(), None);
    }
}
