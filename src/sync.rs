//! What threads share without further ado: atomics and locks, those of the standard library. In a model (`make model`) they
//! are those of loom, which tries in which order threads may meet, and what the memory model lets each of them see.

#[cfg(not(model))]
pub(crate) use {
    crossbeam::utils::Backoff,
    std::sync::{Condvar, Mutex, MutexGuard, atomic},
};

#[cfg(model)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Stands between two accesses that are sequentially consistent. For loom those only acquire and release, so there it takes a
/// fence to say the same; what is between a write and a read that both say so themselves needs none.
pub(crate) fn order_accesses() {
    #[cfg(model)]
    atomic::fence(atomic::Ordering::SeqCst);
}

/// Time plays no part in a model: who waits lets others go first.
#[cfg(model)]
pub(crate) struct Backoff;

#[cfg(model)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as the real one has it")]
    pub(crate) fn snooze(&self) {
        loom::thread::yield_now();
    }

    #[expect(clippy::unused_self, reason = "as the real one has it")]
    pub(crate) fn is_completed(&self) -> bool {
        false
    }
}
