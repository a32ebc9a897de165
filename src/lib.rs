//! tdrun runs the tasks of a native shared library as a dependency graph, in parallel.
//!
//! The rooms, from the ground up; each may use what stands before it, and `tests/rooms.rs` holds them to it:
//!
//! - [`exit`], [`stream`], [`task`]: the exit statuses, checked streams, the nouns
//! - [`error`], [`interrupt`], [`target`], [`event`]: what goes wrong, signals, what the user names, what a run tells
//! - [`state`], [`glob`], [`graph`], [`command`]: the shared values; globs; the checked dependencies and their views; programs
//! - [`plan`], [`select`], [`library`], [`report`]: the graph in motion; the choice; shared objects; who listens
//! - [`pool`], [`run`]: worker threads; a run from setup to summary
//! - [`cli`], [`start`], [`look`]: the command line, and what it leads to

pub mod cli;
pub mod command;
pub mod error;
pub mod event;
pub mod exit;
pub mod glob;
pub mod graph;
pub mod interrupt;
pub mod library;
pub mod look;
pub mod plan;
pub mod pool;
pub mod report;
pub mod run;
pub mod select;
pub mod start;
pub mod state;
pub mod stream;
pub mod target;
pub mod task;
