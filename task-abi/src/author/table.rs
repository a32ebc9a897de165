//! The entry function of the library, and the table that it makes of what was declared.
//!
//! Knows the ABI's table and what the host calls back; knows nothing of what happens when a task runs.

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
use std::time::Duration;

use super::context::Context;
use super::declare::{self, Action, Choices, Condition, Declared, Reference, Tasks};
use super::failure::Failure;
use super::host::{self, Handle};
use super::register::{HookSpec, SETUPS, Site, Spec, TASKS, TEARDOWNS};
use super::{logger, panics, run};
use crate::raw;

#[expect(clippy::cast_possible_truncation, reason = "some hundred bytes")]
const fn size<T>() -> u32 {
    size_of::<T>() as u32
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
    if host.is_null() {
        return ptr::null();
    }
    // SAFETY: promised by the caller.
    let Some(host) = (unsafe { host::complete(host) }) else {
        return ptr::null();
    };
    let table = catch_unwind(|| {
        TABLE.get_or_init(|| {
            let host = Box::leak(Box::new(host));
            logger::install(Handle::new(host, 0));
            panics::install();
            Shared(table(host))
        })
    });
    table.map_or(ptr::null(), |table| &raw const table.0)
}

fn table(host: &'static raw::Host) -> raw::Table {
    let tasks = tasks(host);
    let hook = |hooks: &[HookSpec], run: raw::RunFn| (!hooks.is_empty()).then_some(run);
    raw::Table {
        magic: raw::MAGIC,
        major: raw::MAJOR,
        minor: raw::MINOR,
        size: size::<raw::Table>(),
        task_stride: size::<raw::Task>(),
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
        user: ptr::from_ref(host).cast_mut().cast(),
        needs: ptr::null(),
        need_count: 0,
    }
}

/// The tasks in the order of their declaration, which the linker does not keep.
fn tasks(host: &'static raw::Host) -> &'static [raw::Task] {
    let function = |spec: &Spec| spec.id.map(|id| (id(), spec.name));
    let names: HashMap<TypeId, &str> = TASKS.iter().filter_map(function).collect();
    let mut specs: Vec<&'static Spec> = TASKS.iter().collect();
    specs.sort_by_key(|spec| (spec.site.key(), spec.name));
    let declared = specs.into_iter().flat_map(|spec| declared(spec, host));
    let tasks: Vec<_> = declared.map(|task| raw_task(task, &names, host)).collect();
    tasks.leak()
}

/// What an attribute or a function declares. Where the function fails, its tasks are not known, so the library must not be
/// loaded: the table has a way to say so, and why.
fn declared(spec: &'static Spec, host: &'static raw::Host) -> Vec<Declared> {
    let mut tasks = Tasks::new((!spec.by_code).then_some(&spec.site));
    let context = Context::new(Handle::new(host, 0), spec.name);
    let ended = run::quietly(context, || (spec.declare)(&mut tasks));
    if let Err(failure) = ended {
        tasks = Tasks::new(None);
        tasks.refuse(&spec.site, spec.name, in_words(&failure));
    }
    tasks.into_declared()
}

/// A failure for a line of the host's.
fn in_words(failure: &Failure) -> String {
    let words = panics::without_backtrace(failure.message());
    let skipped = if failure.is_skip() {
        "skipped itself: "
    } else {
        ""
    };
    match failure.place() {
        Some(place) => format!("{skipped}{words} ({}:{})", place.file, place.line),
        None => format!("{skipped}{words}"),
    }
}

/// What `user` of a task points to.
struct Task {
    host: &'static raw::Host,
    name: &'static str,
    body: declare::Body,
    site: Site,
}

/// What `user` of a parameter points to.
struct Parameter {
    host: &'static raw::Host,
    choices: Choices,
    check: Option<declare::Check>,
}

fn raw_task(
    task: Declared,
    names: &HashMap<TypeId, &'static str>,
    host: &'static raw::Host,
) -> raw::Task {
    let name: &'static str = task.name.leak();
    let names = |list: Vec<Reference>| {
        strings(list.into_iter().map(|reference| match reference {
            Reference::Name(name) => name.leak(),
            // Where the function is no task, its name is none either, and the host says so.
            Reference::Function(id, written) => names.get(&id).copied().unwrap_or(written),
        }))
    };
    let [after, before, then] = [task.after, task.before, task.then].map(names);
    let [tags, locks] = [task.tags, task.locks].map(owned);
    let parameters: Vec<_> = task
        .parameters
        .into_iter()
        .map(|parameter| raw_parameter(parameter, host))
        .collect();
    let parameters = parameters.leak();
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    let mut raw = raw::Task {
        size: size::<raw::Task>(),
        flags: flag(task.exclusive, raw::TASK_EXCLUSIVE)
            | flag(task.retry_timeouts, raw::TASK_RETRY_TIMEOUT)
            | flag(task.isolate, raw::TASK_ISOLATE),
        name: raw::Str::new(name),
        after: after.as_ptr(),
        after_count: after.len(),
        tags: tags.as_ptr(),
        tag_count: tags.len(),
        doc: text(task.doc),
        file: raw::Str::new(task.file),
        line: task.line,
        params: parameters.as_ptr(),
        param_count: parameters.len(),
        param_stride: size::<raw::Param>(),
        wave: task.wave,
        before: before.as_ptr(),
        before_count: before.len(),
        then: then.as_ptr(),
        then_count: then.len(),
        locks: locks.as_ptr(),
        lock_count: locks.len(),
        priority: task.priority,
        condition: match task.condition {
            Condition::AfterPassed => raw::AFTER_PASSED,
            Condition::NoFailures => raw::NO_FAILURES,
            Condition::Always => raw::ALWAYS,
        },
        retries: task.retries,
        retry_delay_ms: milliseconds(task.retry_delay),
        // 0 would be none.
        timeout_ms: task
            .timeout
            .map_or(0, |timeout| milliseconds(timeout).max(1)),
        ..raw::Task::EMPTY
    };
    match task.action {
        Action::Call(body) => {
            let site = Site {
                file: task.file,
                line: task.line,
                column: 0,
            };
            let task = Task {
                host,
                name,
                body,
                site,
            };
            raw.run = Some(run_task);
            raw.user = leak(task).cast();
        }
        Action::Run(command) => {
            raw.kind = raw::KIND_COMMAND;
            raw.command = leak(raw_command(command));
        }
    }
    raw
}

fn raw_command(command: declare::Command) -> raw::Command {
    let [argv, env] = [command.argv, command.env].map(owned);
    raw::Command {
        size: size::<raw::Command>(),
        reserved: 0,
        flags: if command.unchecked {
            raw::COMMAND_UNCHECKED
        } else {
            0
        },
        argv: argv.as_ptr(),
        argc: argv.len(),
        shell: text(command.shell),
        cwd: text(command.cwd),
        env: env.as_ptr(),
        env_count: env.len(),
    }
}

fn raw_parameter(parameter: declare::Parameter, host: &'static raw::Host) -> raw::Param {
    let declare::Parameter {
        name,
        choices,
        check,
        type_name,
    } = parameter;
    let (these, choices) = match choices {
        Choices::These(these) => (owned(these), Choices::Any),
        other => (owned(Vec::new()), other),
    };
    let found = matches!(choices, Choices::Found(_));
    raw::Param {
        size: size::<raw::Param>(),
        kind: raw::PARAM_TEXT,
        name: text(name),
        choices: these.as_ptr(),
        choice_count: these.len(),
        choose: found.then_some(choose as raw::ChooseFn),
        check: check.map(|_| check_text as raw::CheckFn),
        type_name: text(type_name),
        user: leak(Parameter {
            host,
            choices,
            check,
        })
        .cast(),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn leak<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

fn text(text: String) -> raw::Str {
    raw::Str::new(text.leak())
}

fn owned(texts: Vec<String>) -> &'static [raw::Str] {
    strings(texts.into_iter().map(|text| &*text.leak()))
}

fn strings(texts: impl Iterator<Item = &'static str>) -> &'static [raw::Str] {
    texts.map(raw::Str::new).collect::<Vec<_>>().leak()
}

/// `td_run_fn` of every task; `user` tells which.
unsafe extern "C" fn run_task(_: *const raw::Host, ctx: raw::Ctx, user: *mut c_void) -> i32 {
    // SAFETY: the host hands back the `user` of the table, which `raw_task` made of a leaked `Task`.
    let task = unsafe { &*user.cast_const().cast::<Task>() };
    let context = Context::new(Handle::new(task.host, ctx), task.name);
    run::task(&context, &task.body, &task.site)
}

unsafe extern "C" fn run_setup(_: *const raw::Host, ctx: raw::Ctx, user: *mut c_void) -> i32 {
    // SAFETY: the host hands back the `user` of the table, which is our host.
    let handle = Handle::new(unsafe { &*user.cast_const().cast() }, ctx);
    run::setup(hooks(&SETUPS, handle))
}

unsafe extern "C" fn run_teardown(_: *const raw::Host, ctx: raw::Ctx, user: *mut c_void) -> i32 {
    // SAFETY: the host hands back the `user` of the table, which is our host.
    let handle = Handle::new(unsafe { &*user.cast_const().cast() }, ctx);
    run::teardown(hooks(&TEARDOWNS, handle).rev())
}

/// Hooks in the order of their declaration, ready to be called.
fn hooks(
    specs: &'static [HookSpec],
    handle: Handle,
) -> impl DoubleEndedIterator<Item = (Context, &'static HookSpec)> {
    let mut specs: Vec<&HookSpec> = specs.iter().collect();
    specs.sort_by_key(|spec| spec.site.key());
    let ready = move |spec: &'static HookSpec| (Context::new(handle, spec.name), spec);
    specs.into_iter().map(ready)
}

/// `td_choose_fn` of every parameter with a function for its choices.
unsafe extern "C" fn choose(
    user: *mut c_void,
    add: raw::VisitFn,
    fail: raw::VisitFn,
    list: *mut c_void,
) -> i32 {
    // SAFETY: the host hands back the `user` of the parameter, which `raw_parameter` made of a leaked `Parameter`.
    let parameter = unsafe { &*user.cast_const().cast::<Parameter>() };
    let Choices::Found(find) = &parameter.choices else {
        return raw::OK;
    };
    let context = Context::new(Handle::new(parameter.host, 0), "choices");
    let (visit, texts, status) = match run::quietly(context, find) {
        Ok(choices) => (add, choices, raw::OK),
        Err(failure) => (fail, vec![in_words(&failure)], raw::FAIL),
    };
    for text in &texts {
        // SAFETY: both belong to the host, and the text lives until the visitor returns.
        unsafe { visit(list, raw::Str::new(text)) };
    }
    status
}

/// `td_check_fn` of every parameter with a type.
unsafe extern "C" fn check_text(
    user: *mut c_void,
    text: raw::Str,
    fail: raw::VisitFn,
    reason: *mut c_void,
) -> i32 {
    // SAFETY: the host hands back the `user` of the parameter, which `raw_parameter` made of a leaked `Parameter`.
    let parameter = unsafe { &*user.cast_const().cast::<Parameter>() };
    let Some(check) = parameter.check else {
        return raw::OK;
    };
    // SAFETY: the host lends the text until this function returns.
    let text = unsafe { host::borrowed(&text) };
    let context = Context::new(Handle::new(parameter.host, 0), "check");
    let checked = run::quietly(context, || check(&text).map_err(Failure::without_place));
    let Err(failure) = checked else {
        return raw::OK;
    };
    // SAFETY: both belong to the host, and the text lives until the visitor returns.
    unsafe { fail(reason, raw::Str::new(&in_words(&failure))) };
    raw::FAIL
}
