//! The result of a command, as a task takes it.

use serde::{Deserialize, Serialize};

/// What became of a command: the result of a task of [`command!`](crate::command!), for the task that takes it.
///
/// ```
/// use task_abi::{CommandResult, command, task};
///
/// command! { name = "count", shell = "ls | wc -l" }
///
/// #[task]
/// fn many(count: CommandResult) {
///     assert_ne!(count.stdout.trim(), "0");
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// What was run: the program and its arguments as a shell would want them, or the line of the shell.
    pub command: String,
    /// Whether a shell ran it.
    pub shell: bool,
    /// Its exit status; where a signal ended it, minus the number of that.
    pub returncode: i32,
    /// What it wrote, up to 16 MiB; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// As `stdout`.
    pub stderr: String,
    /// Where it ran.
    pub cwd: String,
}
