//! What a task library for tdrun compiles against.

pub mod raw;

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::context::{Context, LockGuard, State};
#[cfg(feature = "author")]
pub use author::current::Entered;
#[cfg(feature = "author")]
pub use author::error::{Error, ErrorKind};
#[cfg(feature = "author")]
pub use author::failure::{Failure, Result, Skip, skip};
#[cfg(feature = "author")]
pub use task_abi_macros::{setup, task, teardown};

/// For what the attributes write; no part of the interface, and free to change.
#[cfg(feature = "author")]
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::author::output::{self, Wrap};
    pub use crate::author::parameter::{result, state};
    pub use crate::author::register::{
        After, Body, HookSpec, SETUPS, Site, TASKS, TEARDOWNS, TaskSpec, tdrun_entry_v1, type_id,
    };
}
