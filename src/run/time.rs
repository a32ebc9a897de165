//! The clock of a run: one for all threads, and it never goes back. It stands still while the process is stopped.

use std::time::{Duration, Instant};

use crate::blackbox::{self, BlackBox};
use crate::process::monotonic;

/// The start of a run.
#[derive(Clone, Copy)]
pub(super) struct Start {
    nanos: u64,
    /// Knows for how long the process was stopped.
    black_box: Option<&'static BlackBox>,
}

impl Start {
    /// It is now; or where this process goes on with the run of another one, it was then.
    pub(super) fn now() -> Self {
        let black_box = blackbox::get();
        Self {
            nanos: black_box.map_or_else(monotonic, BlackBox::start),
            black_box,
        }
    }

    /// How many nanoseconds ago that was; they last for centuries.
    pub(super) fn nanos(self) -> u64 {
        let now = monotonic();
        let since = now.saturating_sub(self.nanos);
        match self.black_box {
            None => since,
            Some(black_box) => since.saturating_sub(black_box.paused(now)),
        }
    }

    /// How long ago that was.
    pub(super) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// The moment so long after it, for timers, as far as can be known now: where the process is stopped meanwhile, it comes
    /// later. None where that is too far away.
    pub(super) fn after(self, time: Duration) -> Option<Instant> {
        let left = time.saturating_sub(self.elapsed());
        Instant::now().checked_add(left)
    }
}

/// The other way round.
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}
