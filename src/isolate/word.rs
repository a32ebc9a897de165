//! What runner and task share in memory, a word for each process: so that to ask whether one is cancelled costs nothing.

/// The task asks from time to time whether it is cancelled. Such a one is told by the word, and is left the time to end in
/// order; the others get a signal.
pub(super) const ASKS: u32 = 1;
/// The task is cancelled.
pub(super) const CANCELLED: u32 = 2;
