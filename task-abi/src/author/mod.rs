//! The safe side for authors of task libraries in Rust: registration, context, state, failures, the log.
//!
//! Knows the ABI and nothing of tdrun itself: a library may be older or newer than the tdrun that runs it.

pub(crate) mod command;
pub(crate) mod context;
pub(crate) mod current;
pub(crate) mod declare;
pub(crate) mod error;
pub(crate) mod executor;
pub(crate) mod failure;
mod host;
mod logger;
pub mod output;
mod panics;
pub(crate) mod parameter;
pub(crate) mod register;
pub(crate) mod returned;
mod run;
pub(crate) mod table;
mod value;
