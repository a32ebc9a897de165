//! What runner and task share in memory, a word for each process: so that to ask whether one is cancelled costs nothing.

/// The task asks from time to time whether it is cancelled. Such a one is told by the word, and is left the time to end in
/// order; the others get a signal.
pub(super) const ASKS: u64 = 1;
/// The task is cancelled.
pub(super) const CANCELLED: u64 = 2;
/// The task has passed and returned nothing, as most do: that needs no frame, and wakes nobody before the process has ended.
pub(super) const PASSED: u64 = 4;
/// The task has closed its socket, and could not say how it ended.
pub(super) const CLOSED: u64 = 8;
