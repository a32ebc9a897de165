//! A run in the background.

use std::fmt;
use std::panic;
use std::thread::{self, JoinHandle};

use super::summary::Summary;
use crate::interrupt::Abort;

/// A run that goes on in the background, made by [`Scheduler::start`](super::Scheduler::start).
///
/// Dropping it aborts the run and waits for its end, so that no task outlives its owner unnoticed. Who does not want to wait
/// for tasks that do not heed [`TaskContext::cancelled`](super::TaskContext::cancelled) aborts twice before.
///
/// ```
/// use std::time::Duration;
/// use tdrun::{Outcome, Scheduler};
///
/// let mut scheduler = Scheduler::new();
/// scheduler.task("poll", |ctx| {
///     while !ctx.cancelled() {
///         std::thread::sleep(Duration::from_millis(1));
///     }
///     Err::<(), _>("stopped")
/// });
/// scheduler.task("mail", |_| ()).after(["poll"]);
/// let run = scheduler.start()?;
/// assert!(run.is_running());
/// run.abort();
/// let summary = run.wait();
/// assert!(!summary.passed());
/// assert_eq!(summary.task("mail").unwrap().outcome(), Outcome::NotRun);
/// # Ok::<_, tdrun::SchedulerError>(())
/// ```
#[must_use = "dropping the handle aborts the run"]
pub struct Handle {
    thread: Option<JoinHandle<Summary>>,
    abort: Abort,
}

impl Handle {
    pub(super) fn new(thread: JoinHandle<Summary>, abort: Abort) -> Self {
        let thread = Some(thread);
        Self { thread, abort }
    }

    /// False once the summary is there: [`wait`](Self::wait) does not block then.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|run| !run.is_finished())
    }

    /// Stops the run, without waiting for its end. The first call stops in order: nothing is started any more but what cleans up,
    /// running tasks are asked to stop and waited for. The second gives up those that still run: their outcome is *cancelled*,
    /// their threads are left to themselves.
    pub fn abort(&self) {
        self.abort.ask();
    }

    /// Waits for the end of the run.
    ///
    /// # Panics
    /// Where a callback panicked: with what it panicked.
    pub fn wait(mut self) -> Summary {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(summary)) => summary,
            Some(Err(panic)) => panic::resume_unwind(panic),
            None => unreachable!("only `wait` and `drop` take the thread"),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.abort.ask();
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            panic::resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}
