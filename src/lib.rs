//! tdrun runs the tasks of a native shared library as a dependency graph, in parallel.

pub mod error;
pub mod event;
pub mod exit;
pub mod graph;
pub mod interrupt;
pub mod library;
pub mod plan;
pub mod pool;
pub mod report;
pub mod select;
pub mod state;
pub mod stream;
pub mod target;
pub mod task;
