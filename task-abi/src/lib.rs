//! What a task library for tdrun compiles against.

pub mod raw;
