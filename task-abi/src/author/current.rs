//! Which task the current thread works for, so that log records and panics find their way without a parameter.
//!
//! Knows the thread and the context; knows nothing of the log or of panics themselves.

use std::cell::Cell;
use std::marker::PhantomData;

use super::context::Context;

thread_local! {
    /// Needs no destructor, so it also works while the thread ends.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// The task of a thread.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    pub(crate) context: Context,
    /// The thread runs the task itself, so a panic is the failure of the task; else it is one that the task has made.
    pub(crate) caught: bool,
}

impl Current {
    pub(crate) fn get() -> Option<Self> {
        CURRENT.get()
    }

    pub(crate) fn enter(context: Context, caught: bool) -> Entered {
        let current = Self { context, caught };
        Entered {
            outer: CURRENT.replace(Some(current)),
            thread: PhantomData,
        }
    }
}

/// A thread that works for a task, see [`Context::enter`]; dropping it ends that.
#[must_use = "the thread leaves the task when the guard is dropped"]
pub struct Entered {
    outer: Option<Current>,
    /// It has to be dropped on its own thread.
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
