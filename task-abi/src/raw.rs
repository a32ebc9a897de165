//! The C ABI as `#[repr(C)]` structs: `include/tdrun.h` in Rust, field by field.
//!
//! The header is the contract and says what everything means; this file only mirrors it. It knows nothing of safe Rust
//! types. Sizes and offsets are asserted below and compared with a C compiler's in `tests/layout.rs`.

use core::ffi::c_void;

/// `TD_MAGIC`: "TDRN".
pub const MAGIC: u32 = 0x4e52_4454;
/// `TD_MAJOR`: hosts and libraries of different majors do not understand each other.
pub const MAJOR: u16 = 1;
/// `TD_MINOR`: grows with every field that is appended.
pub const MINOR: u16 = 1;
/// The name of the one function that a library exports.
pub const ENTRY: &str = "tdrun_entry_v1";

/// `TD_OK`: passed, or done.
pub const OK: i32 = 0;
/// `TD_FAIL`: the task failed.
pub const FAIL: i32 = 1;
/// `TD_SKIP`: the task skips itself.
pub const SKIP: i32 = 77;

/// `TD_E_STALE`: the context is not live.
pub const E_STALE: i32 = -1;
/// `TD_E_ARG`: a malformed argument.
pub const E_ARG: i32 = -2;
/// `TD_E_NOTFOUND`: no such key, result or held lock.
pub const E_NOTFOUND: i32 = -3;
/// `TD_E_JSON`: not JSON, or nested too deep.
pub const E_JSON: i32 = -4;
/// `TD_E_TOOBIG`: larger than 64 MiB.
pub const E_TOOBIG: i32 = -5;
/// `TD_E_DENIED`: a reserved key.
pub const E_DENIED: i32 = -6;
/// `TD_E_CHANGED`: compare-and-set met another value.
pub const E_CHANGED: i32 = -7;
/// `TD_E_DEADLOCK`: waiting would never end.
pub const E_DEADLOCK: i32 = -8;
/// `TD_E_SPACE`: the caller's buffer is too small.
pub const E_SPACE: i32 = -9;
/// `TD_E_CANCELLED`: the run was stopped by force while the call waited, or the task has timed out.
pub const E_CANCELLED: i32 = -10;
/// `TD_E_FAILED`: the task that was waited for did not pass.
pub const E_FAILED: i32 = -11;
/// `TD_E_LIMIT`: the system gives no more threads.
pub const E_LIMIT: i32 = -12;

/// `TD_LOG_OFF` to `TD_LOG_TRACE`.
pub const LOG_OFF: u32 = 0;
/// `TD_LOG_ERROR`
pub const LOG_ERROR: u32 = 1;
/// `TD_LOG_WARN`
pub const LOG_WARN: u32 = 2;
/// `TD_LOG_INFO`
pub const LOG_INFO: u32 = 3;
/// `TD_LOG_DEBUG`
pub const LOG_DEBUG: u32 = 4;
/// `TD_LOG_TRACE`
pub const LOG_TRACE: u32 = 5;

/// `TD_JSON`: a value as JSON text.
pub const JSON: u32 = 0;
/// `TD_TEXT`: a value as the string that it is.
pub const TEXT: u32 = 1;

/// `TD_KIND_FUNCTION`: `run` is called in the process of the host.
pub const KIND_FUNCTION: u32 = 0;
/// `TD_KIND_COMMAND`: `command` is run as a process.
pub const KIND_COMMAND: u32 = 1;

/// `TD_AFTER_PASSED`: runs when all that it comes after has passed.
pub const AFTER_PASSED: u32 = 0;
/// `TD_NO_FAILURES`: runs last, if none failed.
pub const NO_FAILURES: u32 = 1;
/// `TD_ALWAYS`: runs when all that it comes after has ended.
pub const ALWAYS: u32 = 2;

/// `TD_PARAM_TEXT`: any text.
pub const PARAM_TEXT: u32 = 0;
/// `TD_PARAM_INT`: fits an `i64`.
pub const PARAM_INT: u32 = 1;
/// `TD_PARAM_FLOAT`: fits an `f64`, and is finite.
pub const PARAM_FLOAT: u32 = 2;
/// `TD_PARAM_BOOL`: `true` or `false`.
pub const PARAM_BOOL: u32 = 3;

/// `TD_TASK_EXCLUSIVE`: nothing else runs at the same time.
pub const TASK_EXCLUSIVE: u64 = 1 << 32;
/// `TD_TASK_RETRY_TIMEOUT`: a timeout is tried again too.
pub const TASK_RETRY_TIMEOUT: u64 = 1;
/// `TD_TASK_ISOLATE`: runs in a process of its own.
pub const TASK_ISOLATE: u64 = 1 << 1;
/// `TD_COMMAND_UNCHECKED`: an exit status other than 0 is no failure.
pub const COMMAND_UNCHECKED: u64 = 1;

/// `TD_TABLE_PANIC_ABORT`: a panic in the library ends the process.
pub const TABLE_PANIC_ABORT: u64 = 1;
/// Flag bits from here on must be understood by the host.
pub const FLAGS_REQUIRED: u64 = 0xffff_ffff_0000_0000;

/// `td_ctx`: the handle that a task gets.
pub type Ctx = u64;

/// `td_str`: UTF-8 text, pointer and length; frozen.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// The first byte; may be null where `len` is zero.
    pub ptr: *const u8,
    /// The length in bytes.
    pub len: usize,
}

impl Str {
    /// The empty string.
    pub const EMPTY: Self = Self {
        ptr: core::ptr::null(),
        len: 0,
    };

    /// Borrows `text`; the caller keeps it alive for as long as the other side may read it.
    pub const fn new(text: &str) -> Self {
        Self {
            ptr: text.as_ptr(),
            len: text.len(),
        }
    }
}

/// `td_visit_fn`: receives a value, valid until it returns.
pub type VisitFn = unsafe extern "C" fn(user: *mut c_void, value: Str);

/// `td_run_fn`: a task or a hook.
pub type RunFn = unsafe extern "C" fn(host: *const Host, ctx: Ctx, user: *mut c_void) -> i32;

/// The type of `td_host.start` and `td_host.wait`.
pub type NamesFn =
    unsafe extern "C" fn(ctx: Ctx, task: Str, why: Option<VisitFn>, user: *mut c_void) -> i32;

/// The type of [`ENTRY`].
pub type EntryFn = unsafe extern "C" fn(host: *const Host) -> *const Table;

/// `td_host`: all that a library may ask of tdrun.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// `sizeof(td_host)` of the running tdrun.
    pub size: u32,
    /// [`MAJOR`] of the running tdrun.
    pub major: u16,
    /// [`MINOR`] of the running tdrun.
    pub minor: u16,
    /// The most verbose level that anybody listens to.
    pub log_level: unsafe extern "C" fn() -> u32,
    /// Sends a record to the log of the run.
    pub log: unsafe extern "C" fn(
        ctx: Ctx,
        level: u32,
        target: Str,
        message: Str,
        file: Str,
        line: u32,
    ) -> i32,
    /// Tells why the task is going to fail.
    pub fail: unsafe extern "C" fn(ctx: Ctx, message: Str, file: Str, line: u32) -> i32,
    /// Tells why the task is going to skip itself.
    pub skip: unsafe extern "C" fn(ctx: Ctx, reason: Str) -> i32,
    /// 1 where the task has been asked to stop.
    pub cancelled: unsafe extern "C" fn(ctx: Ctx) -> i32,
    /// Sets what the task returns.
    pub result_set: unsafe extern "C" fn(ctx: Ctx, form: u32, value: Str) -> i32,
    /// Visits the result of another task.
    pub result_get: unsafe extern "C" fn(
        ctx: Ctx,
        task: Str,
        form: u32,
        visit: VisitFn,
        user: *mut c_void,
    ) -> i32,
    /// Visits the value of a state key.
    pub state_get: unsafe extern "C" fn(
        ctx: Ctx,
        key: Str,
        form: u32,
        visit: VisitFn,
        user: *mut c_void,
    ) -> i32,
    /// Sets a state key.
    pub state_set: unsafe extern "C" fn(ctx: Ctx, key: Str, form: u32, value: Str) -> i32,
    /// Compare-and-set on a state key.
    pub state_swap: unsafe extern "C" fn(ctx: Ctx, key: Str, expected: Str, value: Str) -> i32,
    /// Takes a named lock for the task.
    pub lock: unsafe extern "C" fn(ctx: Ctx, name: Str) -> i32,
    /// Releases a named lock.
    pub unlock: unsafe extern "C" fn(ctx: Ctx, name: Str) -> i32,
    /// Visits the name of the task.
    pub task_name: unsafe extern "C" fn(ctx: Ctx, visit: VisitFn, user: *mut c_void) -> i32,
    /// Visits the text of a parameter.
    pub param: unsafe extern "C" fn(ctx: Ctx, name: Str, visit: VisitFn, user: *mut c_void) -> i32,
    /// Which attempt this is, from 1.
    pub attempt: unsafe extern "C" fn(ctx: Ctx) -> i32,
    /// Tells how far the task is.
    pub progress: unsafe extern "C" fn(ctx: Ctx, done: u64, total: u64, what: Str) -> i32,
    /// Makes sure that a task is part of the run.
    pub start: NamesFn,
    /// Starts a task and waits until it has ended.
    pub wait: NamesFn,
}

/// `td_choose_fn`: finds the choices of a parameter.
pub type ChooseFn =
    unsafe extern "C" fn(user: *mut c_void, add: VisitFn, fail: VisitFn, list: *mut c_void) -> i32;

/// `td_check_fn`: checks the text of a parameter.
pub type CheckFn =
    unsafe extern "C" fn(user: *mut c_void, text: Str, fail: VisitFn, reason: *mut c_void) -> i32;

/// `td_param`: a parameter of a template.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// `sizeof(td_param)` of the library.
    pub size: u32,
    /// [`PARAM_TEXT`] and so on.
    pub kind: u32,
    /// As it stands in the brackets.
    pub name: Str,
    /// The values it may have.
    pub choices: *const Str,
    /// How many `choices` has.
    pub choice_count: usize,
    /// Finds the choices.
    pub choose: Option<ChooseFn>,
    /// Decides besides `kind`.
    pub check: Option<CheckFn>,
    /// What `check` wants, in words.
    pub type_name: Str,
    /// Handed to both as it is.
    pub user: *mut c_void,
}

/// `td_command`: a program to run.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// `sizeof(td_command)` of the library.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// [`COMMAND_UNCHECKED`]
    pub flags: u64,
    /// The program and its arguments.
    pub argv: *const Str,
    /// How many `argv` has.
    pub argc: usize,
    /// What a shell runs instead.
    pub shell: Str,
    /// Where it runs.
    pub cwd: Str,
    /// `NAME=value`, added to the environment.
    pub env: *const Str,
    /// How many `env` has.
    pub env_count: usize,
}

/// `td_task`: one task of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// `sizeof(td_task)` of the library.
    pub size: u32,
    /// [`KIND_FUNCTION`] or [`KIND_COMMAND`]
    pub kind: u32,
    /// [`TASK_EXCLUSIVE`] and so on; see [`FLAGS_REQUIRED`].
    pub flags: u64,
    /// Unique in the library.
    pub name: Str,
    /// What it does.
    pub run: Option<RunFn>,
    /// Handed to `run` as it is.
    pub user: *mut c_void,
    /// Names of tasks that must have passed before.
    pub after: *const Str,
    /// How many `after` has.
    pub after_count: usize,
    /// Labels to select by.
    pub tags: *const Str,
    /// How many `tags` has.
    pub tag_count: usize,
    /// What it does, in words.
    pub doc: Str,
    /// Where it is declared.
    pub file: Str,
    /// From 1; 0 where not known.
    pub line: u32,
    /// Zero.
    pub reserved: u32,
    /// The parameters of a template.
    pub params: *const Param,
    /// How many `params` has.
    pub param_count: usize,
    /// The distance from one parameter to the next.
    pub param_stride: u32,
    /// Starts after all lower ones have ended.
    pub wave: u32,
    /// Names of tasks that come after this one, and pull it in.
    pub before: *const Str,
    /// How many `before` has.
    pub before_count: usize,
    /// Names of tasks that come after this one, and that it pulls in.
    pub then: *const Str,
    /// How many `then` has.
    pub then_count: usize,
    /// Names of locks to hold.
    pub locks: *const Str,
    /// How many `locks` has.
    pub lock_count: usize,
    /// The greater goes first.
    pub priority: i32,
    /// [`AFTER_PASSED`], [`NO_FAILURES`] or [`ALWAYS`].
    pub condition: u32,
    /// How often it is tried again.
    pub retries: u32,
    /// Zero.
    pub reserved_1: u32,
    /// Before the first retry, in milliseconds.
    pub retry_delay_ms: u64,
    /// After so many milliseconds it is cancelled; 0: not said.
    pub timeout_ms: u64,
    /// What to run, for [`KIND_COMMAND`].
    pub command: *const Command,
}

impl Task {
    /// All zero: nothing said.
    pub const EMPTY: Self = Self {
        size: 0,
        kind: KIND_FUNCTION,
        flags: 0,
        name: Str::EMPTY,
        run: None,
        user: core::ptr::null_mut(),
        after: core::ptr::null(),
        after_count: 0,
        tags: core::ptr::null(),
        tag_count: 0,
        doc: Str::EMPTY,
        file: Str::EMPTY,
        line: 0,
        reserved: 0,
        params: core::ptr::null(),
        param_count: 0,
        param_stride: 0,
        wave: 0,
        before: core::ptr::null(),
        before_count: 0,
        then: core::ptr::null(),
        then_count: 0,
        locks: core::ptr::null(),
        lock_count: 0,
        priority: 0,
        condition: AFTER_PASSED,
        retries: 0,
        reserved_1: 0,
        retry_delay_ms: 0,
        timeout_ms: 0,
        command: core::ptr::null(),
    };
}

/// `td_table`: what a library exports.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// [`MAGIC`]
    pub magic: u32,
    /// [`MAJOR`]
    pub major: u16,
    /// [`MINOR`]
    pub minor: u16,
    /// `sizeof(td_table)` of the library.
    pub size: u32,
    /// The distance from one task to the next.
    pub task_stride: u32,
    /// How many `tasks` has.
    pub task_count: usize,
    /// The tasks.
    pub tasks: *const Task,
    /// [`TABLE_PANIC_ABORT`]
    pub flags: u64,
    /// The library's name; empty: from its file name.
    pub name: Str,
    /// Runs before the first task.
    pub setup: Option<RunFn>,
    /// Runs after the last task.
    pub teardown: Option<RunFn>,
    /// Handed to both hooks as it is.
    pub user: *mut c_void,
    /// Names of extensions that the host must know.
    pub needs: *const Str,
    /// How many `needs` has.
    pub need_count: usize,
}

/// The fields of a task that every library has: up to and including `user`.
pub const TASK_SIZE_MIN: usize = core::mem::offset_of!(Task, after);
/// The fields of a parameter that every library has: up to and including `name`.
pub const PARAM_SIZE_MIN: usize = core::mem::offset_of!(Param, choices);
/// The fields of a command that every library has: up to and including `shell`.
pub const COMMAND_SIZE_MIN: usize = core::mem::offset_of!(Command, cwd);
/// The fields of a table that every library has: up to and including `tasks`.
pub const TABLE_SIZE_MIN: usize = core::mem::offset_of!(Table, flags);

#[cfg(target_pointer_width = "64")]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Str>() == 16);
    assert!(size_of::<Host>() == 152);
    assert!(offset_of!(Host, log_level) == 8);
    assert!(offset_of!(Host, unlock) == 96);
    assert!(offset_of!(Host, wait) == 144);
    assert!(size_of::<Param>() == 80);
    assert!(offset_of!(Param, choose) == 40);
    assert!(PARAM_SIZE_MIN == 24);
    assert!(size_of::<Command>() == 80);
    assert!(COMMAND_SIZE_MIN == 48);
    assert!(offset_of!(Command, shell) == 32);
    assert!(size_of::<Task>() == 232);
    assert!(offset_of!(Task, params) == 120);
    assert!(offset_of!(Task, before) == 144);
    assert!(offset_of!(Task, priority) == 192);
    assert!(offset_of!(Task, command) == 224);
    assert!(offset_of!(Task, name) == 16);
    assert!(offset_of!(Task, run) == 32);
    assert!(TASK_SIZE_MIN == 48);
    assert!(offset_of!(Task, doc) == 80);
    assert!(offset_of!(Task, line) == 112);
    assert!(size_of::<Table>() == 96);
    assert!(offset_of!(Table, task_count) == 16);
    assert!(TABLE_SIZE_MIN == 32);
    assert!(offset_of!(Table, name) == 40);
    assert!(offset_of!(Table, needs) == 80);
};
