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
pub const MINOR: u16 = 0;
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
/// `TD_E_CANCELLED`: the run was stopped by force while the call waited.
pub const E_CANCELLED: i32 = -10;

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
}

/// `td_task`: one task of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// `sizeof(td_task)` of the library.
    pub size: u32,
    /// [`KIND_FUNCTION`]
    pub kind: u32,
    /// None yet; see [`FLAGS_REQUIRED`].
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
/// The fields of a table that every library has: up to and including `tasks`.
pub const TABLE_SIZE_MIN: usize = core::mem::offset_of!(Table, flags);

#[cfg(target_pointer_width = "64")]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Str>() == 16);
    assert!(size_of::<Host>() == 104);
    assert!(offset_of!(Host, log_level) == 8);
    assert!(offset_of!(Host, unlock) == 96);
    assert!(size_of::<Task>() == 120);
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
