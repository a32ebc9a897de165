//! What the attributes leave behind for the entry function to find, which the linker collects.
//!
//! Knows the linker's arrays; knows nothing of the ABI's table, nor of what happens when a task runs.

use std::any::TypeId;

use linkme::distributed_slice;

use super::context::Context;
use super::declare::Tasks;
use super::failure::Failure;

/// The author's function with its parameters found and its return value understood.
pub(crate) type Body = fn(&Context) -> Result<Option<String>, Failure>;

/// Where something is declared.
pub struct Site {
    /// As the compiler wrote it.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 0; orders what stands on one line.
    pub column: u32,
}

/// A task, as `#[task]` and `command!` write it; or a function that adds some.
pub struct Spec {
    /// Of the task; of a `#[register]` function, its own.
    pub name: &'static str,
    /// The type of the task's function, which no other function has: so paths in `after` find their task.
    pub id: Option<fn() -> TypeId>,
    /// True for `#[register]`.
    pub by_code: bool,
    /// Where it is declared.
    pub site: Site,
    /// Adds what it stands for.
    pub declare: fn(&mut Tasks) -> Result<(), Failure>,
}

/// A hook, as `#[setup]` or `#[teardown]` writes it.
pub struct HookSpec {
    /// Of the function.
    pub name: &'static str,
    /// Where it is declared.
    pub site: Site,
    /// What it does.
    pub body: Body,
}

/// All tasks of the library, and functions that add some, in no order.
#[distributed_slice]
pub static TASKS: [Spec];

/// All `#[setup]` functions, in no order.
#[distributed_slice]
pub static SETUPS: [HookSpec];

/// All `#[teardown]` functions, in no order.
#[distributed_slice]
pub static TEARDOWNS: [HookSpec];

/// The type of a function.
pub fn type_id<F: 'static>(_: &F) -> TypeId {
    TypeId::of::<F>()
}

impl Site {
    pub(crate) fn key(&self) -> (&str, u32, u32) {
        (self.file, self.line, self.column)
    }
}
