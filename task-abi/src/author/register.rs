//! What the attributes leave behind, and the table that the library's entry function makes of it.
//!
//! Knows the ABI's table and the linker's arrays; knows nothing of what happens when a task runs.

#![allow(
    unsafe_code,
    reason = "the entry function, and what the host calls back, are C functions"
)]

use std::any::TypeId;
use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::OnceLock;

use linkme::distributed_slice;

use super::context::Context;
use super::failure::Failure;
use super::host::Handle;
use super::{logger, panics, run};
use crate::raw;

#[expect(clippy::cast_possible_truncation, reason = "some hundred bytes")]
const TASK_SIZE: u32 = size_of::<raw::Task>() as u32;
#[expect(clippy::cast_possible_truncation, reason = "some hundred bytes")]
const TABLE_SIZE: u32 = size_of::<raw::Table>() as u32;

/// The author's function with its parameters found and its return value understood.
pub type Body = fn(&Context) -> Result<Option<String>, Failure>;

/// Where a task or a hook is declared.
pub struct Site {
    /// As the compiler wrote it.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 0; orders what stands on one line.
    pub column: u32,
}

/// A task, as `#[task]` writes it.
pub struct TaskSpec {
    /// Of the function, or what `name = "…"` said.
    pub name: &'static str,
    /// The type of the function, which no other function has: so paths in `after` find their task.
    pub id: fn() -> TypeId,
    /// Dependencies.
    pub after: &'static [After],
    /// Labels.
    pub tags: &'static [&'static str],
    /// The doc comment.
    pub doc: &'static str,
    /// Where it is declared.
    pub site: Site,
    /// What it does.
    pub body: Body,
}

/// A dependency, as the author wrote it.
pub enum After {
    /// A string, or the name of a parameter.
    Name(&'static str),
    /// A path: the type of the function, and its last segment for the message where that is no task.
    Function(fn() -> TypeId, &'static str),
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

/// All tasks of the library, in no order.
#[distributed_slice]
pub static TASKS: [TaskSpec];

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

/// A table that is valid and unchanged until the process ends.
struct Shared(raw::Table);

// SAFETY: nothing writes to a table, or to what it points to, once it is made; all of it is leaked.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

static TABLE: OnceLock<Shared> = OnceLock::new();

/// `tdrun_entry_v1`: what makes a `cdylib` with this crate in it a task library.
///
/// # Safety
/// `host` is null, or points to a host of major version 1 that is valid until the process ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tdrun_entry_v1(host: *const raw::Host) -> *const raw::Table {
    // SAFETY: promised by the caller.
    let Some(host) = (unsafe { host.as_ref() }) else {
        return ptr::null();
    };
    let table = catch_unwind(|| {
        TABLE.get_or_init(|| {
            logger::install(Handle::new(host, 0));
            panics::install();
            Shared(table())
        })
    });
    table.map_or(ptr::null(), |table| &raw const table.0)
}

fn table() -> raw::Table {
    let tasks = tasks();
    let hook = |hooks: &[HookSpec], run: raw::RunFn| (!hooks.is_empty()).then_some(run);
    raw::Table {
        magic: raw::MAGIC,
        major: raw::MAJOR,
        minor: raw::MINOR,
        size: TABLE_SIZE,
        task_stride: TASK_SIZE,
        task_count: tasks.len(),
        tasks: tasks.as_ptr(),
        flags: if cfg!(panic = "abort") {
            raw::TABLE_PANIC_ABORT
        } else {
            0
        },
        name: raw::Str::EMPTY,
        setup: hook(&SETUPS, run_setup),
        teardown: hook(&TEARDOWNS, run_teardown),
        user: ptr::null_mut(),
        needs: ptr::null(),
        need_count: 0,
    }
}

/// The tasks in the order of their declaration, which the linker does not keep.
fn tasks() -> &'static [raw::Task] {
    let names: HashMap<TypeId, &str> = TASKS.iter().map(|spec| ((spec.id)(), spec.name)).collect();
    let mut specs: Vec<&'static TaskSpec> = TASKS.iter().collect();
    specs.sort_by_key(|spec| (spec.site.key(), spec.name));
    let tasks: Vec<_> = specs.into_iter().map(|spec| task(spec, &names)).collect();
    tasks.leak()
}

fn task(spec: &'static TaskSpec, names: &HashMap<TypeId, &'static str>) -> raw::Task {
    let after = spec.after.iter().map(|after| match after {
        After::Name(name) => *name,
        // Where the function is no task, its name is none either, and the host says so.
        After::Function(id, written) => names.get(&id()).copied().unwrap_or(written),
    });
    let after = strings(after);
    let tags = strings(spec.tags.iter().copied());
    raw::Task {
        size: TASK_SIZE,
        name: raw::Str::new(spec.name),
        run: Some(run_task),
        user: ptr::from_ref(spec).cast_mut().cast(),
        after: after.as_ptr(),
        after_count: after.len(),
        tags: tags.as_ptr(),
        tag_count: tags.len(),
        doc: raw::Str::new(spec.doc),
        file: raw::Str::new(spec.site.file),
        line: spec.site.line,
        ..raw::Task::EMPTY
    }
}

fn strings(texts: impl Iterator<Item = &'static str>) -> &'static [raw::Str] {
    texts.map(raw::Str::new).collect::<Vec<_>>().leak()
}

impl Site {
    fn key(&self) -> (&str, u32, u32) {
        (self.file, self.line, self.column)
    }
}

/// `td_run_fn` of every task; `user` tells which.
unsafe extern "C" fn run_task(host: *const raw::Host, ctx: raw::Ctx, user: *mut c_void) -> i32 {
    // SAFETY: the host hands back the `user` of the table, which `task` made of a `&'static TaskSpec`, and its own
    // table of functions, which is valid until the process ends.
    let (host, spec) = unsafe { (&*host, &*user.cast_const().cast::<TaskSpec>()) };
    let context = Context::new(Handle::new(host, ctx), spec.name);
    run::task(&context, spec.body, &spec.site)
}

unsafe extern "C" fn run_setup(host: *const raw::Host, ctx: raw::Ctx, _: *mut c_void) -> i32 {
    // SAFETY: the host hands over its own table of functions, which is valid until the process ends.
    let handle = Handle::new(unsafe { &*host }, ctx);
    run::setup(hooks(&SETUPS, handle))
}

unsafe extern "C" fn run_teardown(host: *const raw::Host, ctx: raw::Ctx, _: *mut c_void) -> i32 {
    // SAFETY: the host hands over its own table of functions, which is valid until the process ends.
    let handle = Handle::new(unsafe { &*host }, ctx);
    run::teardown(hooks(&TEARDOWNS, handle).rev())
}

/// Hooks in the order of their declaration, ready to be called.
fn hooks(
    specs: &'static [HookSpec],
    handle: Handle,
) -> impl DoubleEndedIterator<Item = (Context, Body, &'static Site)> {
    let mut specs: Vec<&HookSpec> = specs.iter().collect();
    specs.sort_by_key(|spec| spec.site.key());
    let ready =
        move |spec: &'static HookSpec| (Context::new(handle, spec.name), spec.body, &spec.site);
    specs.into_iter().map(ready)
}
