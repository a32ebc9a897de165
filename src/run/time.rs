//! The clock of a run: one for all threads, and it never goes back.

use std::time::{Duration, Instant};

use crate::process::monotonic;

/// The start of a run.
#[derive(Clone, Copy)]
pub(super) struct Start {
    nanos: u64,
    instant: Instant,
}

impl Start {
    /// It is now.
    pub(super) fn now() -> Self {
        let instant = Instant::now();
        let nanos = monotonic();
        Self { nanos, instant }
    }

    /// How many nanoseconds ago that was; they last for centuries.
    pub(super) fn nanos(self) -> u64 {
        monotonic().saturating_sub(self.nanos)
    }

    /// How long ago that was.
    pub(super) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// The moment so long after it, for timers; none where that is too far away.
    pub(super) fn after(self, time: Duration) -> Option<Instant> {
        self.instant.checked_add(time)
    }
}

/// The other way round.
pub(super) fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}
