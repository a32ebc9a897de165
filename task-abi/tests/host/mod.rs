//! A host for tests: loads a task library, runs what the test names and keeps all that it is told.
//!
//! Follows tdrun.h to the letter where a library could notice; has no graph, no threads and no checks of the table.

#![allow(
    unsafe_code,
    dead_code,
    clippy::cast_possible_truncation,
    reason = "it stands on the other side of the C interface, and not every test needs all of it"
)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use task_abi::raw::{self, Ctx, Str};

/// Builds an `[[example]]` and returns its library; `cargo test --test …` does not. With the features of the whole workspace,
/// so that `cargo test --workspace` has built it already.
pub(crate) fn build_example(name: &str) -> PathBuf {
    let binary = std::env::current_exe().expect("the test has a path");
    let profile = binary.parent().and_then(Path::parent).expect("deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--example", name]);
    cargo
        .arg("--target-dir")
        .arg(profile.parent().expect("target"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success());
    let file = format!(
        "{}{name}{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    profile.join("examples").join(file)
}

/// What the host was told.
#[derive(Default)]
struct World {
    /// The task, while it runs.
    live: Option<Ctx>,
    last: Ctx,
    told: Told,
    results: BTreeMap<String, Value>,
    state: BTreeMap<String, Value>,
    locks: HashMap<String, usize>,
    /// How often locks were taken and released.
    lock_calls: Vec<String>,
    log: Vec<Record>,
    /// `file:line` of the last record.
    log_place: String,
    max_result: usize,
}

#[derive(Default)]
struct Told {
    result: Option<Value>,
    failure: Option<(String, String, u32)>,
    skip: Option<String>,
}

/// A log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Whether it came with the task.
    pub(crate) of_task: bool,
    pub(crate) level: u32,
    pub(crate) target: String,
    pub(crate) message: String,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    Passed(Option<Value>),
    Failed { message: String, place: String },
    Skipped(String),
    Odd(i32),
}

impl Ended {
    pub(crate) fn passed(result: Value) -> Self {
        Self::Passed(Some(result))
    }

    /// The message of a failure.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Failed { message, .. } => message,
            other => panic!("not failed: {other:?}"),
        }
    }

    /// The same without a backtrace, which the environment may have asked for.
    pub(crate) fn words(&self) -> &str {
        let message = self.message();
        message
            .split_once("\nstack backtrace:")
            .map_or(message, |(words, _)| words)
    }

    /// `file:line` of a failure, without the directories.
    pub(crate) fn place(&self) -> &str {
        match self {
            Self::Failed { place, .. } => place,
            other => panic!("not failed: {other:?}"),
        }
    }
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn world<T>(f: impl FnOnce(&mut World) -> T) -> T {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    f(world.get_or_insert_default())
}

/// A task of a table, copied.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) after: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) doc: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    run: raw::RunFn,
    user: *mut c_void,
}

/// A loaded library and a host of its own; one at a time.
pub(crate) struct Library {
    pub(crate) tasks: Vec<Task>,
    pub(crate) flags: u64,
    table: &'static raw::Table,
    _alone: MutexGuard<'static, ()>,
}

impl Library {
    pub(crate) fn load(path: &Path) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        world(|world| *world = World::default());
        // SAFETY: our own fixture; loading it runs nothing, and it is never unloaded.
        let table = unsafe {
            let library = libloading::Library::new(path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let entry: raw::EntryFn = *library
                .get::<raw::EntryFn>(raw::ENTRY)
                .expect("the library has an entry function");
            std::mem::forget(library);
            entry(&raw const HOST)
                .as_ref()
                .expect("the library has a table")
        };
        assert_eq!(
            (table.magic, table.major, table.minor),
            (raw::MAGIC, raw::MAJOR, raw::MINOR)
        );
        // SAFETY: the table says so; its library is built with the same `raw`, or sized by it.
        let tasks = unsafe { slice::from_raw_parts(table.tasks, table.task_count) };
        Self {
            tasks: tasks.iter().map(task).collect(),
            flags: table.flags,
            table,
            _alone: alone,
        }
    }

    pub(crate) fn task(&self, name: &str) -> &Task {
        let found = self.tasks.iter().find(|task| task.name == name);
        found.unwrap_or_else(|| panic!("no task {name}"))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.tasks.iter().map(|task| &*task.name).collect()
    }

    /// Runs a task; its result is there for the next ones.
    pub(crate) fn run(&self, name: &str) -> Ended {
        let task = self.task(name);
        let ended = call(task.run, task.user);
        if let Ended::Passed(Some(result)) = &ended {
            self.result(name, result.clone());
        }
        ended
    }

    /// Runs all tasks in an order that keeps the dependencies, those of failed ones too.
    pub(crate) fn run_all(&self) -> BTreeMap<&str, Ended> {
        let mut ended = BTreeMap::new();
        while ended.len() < self.tasks.len() {
            let ready = self.tasks.iter().find(|task| {
                !ended.contains_key(&*task.name)
                    && task.after.iter().all(|name| ended.contains_key(&**name))
            });
            let name = &*ready.expect("no cycle, no unknown dependency").name;
            ended.insert(name, self.run(name));
        }
        ended
    }

    pub(crate) fn setup(&self) -> Ended {
        call(self.table.setup.expect("there is a setup"), self.table.user)
    }

    pub(crate) fn teardown(&self) -> Ended {
        let teardown = self.table.teardown.expect("there is a teardown");
        call(teardown, self.table.user)
    }

    pub(crate) fn has_hooks(&self) -> (bool, bool) {
        (self.table.setup.is_some(), self.table.teardown.is_some())
    }

    /// Gives a task a result that it has not returned.
    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn result(&self, name: &str, value: Value) {
        world(|world| world.results.insert(name.to_owned(), value));
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn set(&self, key: &str, value: Value) {
        world(|world| world.state.insert(key.to_owned(), value));
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        world(|world| world.state.get(key).cloned())
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn limit_results(&self, bytes: usize) {
        world(|world| world.max_result = bytes);
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn take_log(&self) -> Vec<Record> {
        world(|world| std::mem::take(&mut world.log))
    }

    /// `file:line` of the last record, without the directories.
    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn log_place(&self) -> String {
        world(|world| world.log_place.clone())
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn lock_calls(&self) -> Vec<String> {
        world(|world| world.lock_calls.clone())
    }
}

fn call(run: raw::RunFn, user: *mut c_void) -> Ended {
    let ctx = world(|world| {
        world.last += 1;
        world.told = Told::default();
        world.live = Some(world.last);
        world.last
    });
    // SAFETY: both come from the table; the host lives as long as the process.
    let status = unsafe { run(&raw const HOST, ctx, user) };
    let told = world(|world| {
        world.live = None;
        world.locks.clear();
        std::mem::take(&mut world.told)
    });
    match status {
        raw::OK => Ended::Passed(told.result),
        raw::FAIL => {
            let (message, file, line) = told.failure.unwrap_or_default();
            let place = place(&file, line);
            Ended::Failed { message, place }
        }
        raw::SKIP => Ended::Skipped(told.skip.unwrap_or_default()),
        other => Ended::Odd(other),
    }
}

fn task(raw: &raw::Task) -> Task {
    let strings = |ptr: *const Str, count: usize| {
        (0..count)
            // SAFETY: the table has `count` strings there.
            .map(|index| text(unsafe { *ptr.add(index) }))
            .collect()
    };
    Task {
        name: text(raw.name),
        after: strings(raw.after, raw.after_count),
        tags: strings(raw.tags, raw.tag_count),
        doc: text(raw.doc),
        file: text(raw.file),
        line: raw.line,
        run: raw.run.expect("the task has a function"),
        user: raw.user,
    }
}

/// `file:line`, without the directories.
fn place(file: &str, line: u32) -> String {
    let file = Path::new(file).file_name().unwrap_or_default().display();
    format!("{file}:{line}")
}

fn text(s: Str) -> String {
    if s.len == 0 {
        return String::new();
    }
    // SAFETY: the library says that there are so many bytes.
    let bytes = unsafe { slice::from_raw_parts(s.ptr, s.len) };
    String::from_utf8(bytes.to_vec()).expect("libraries write UTF-8")
}

static HOST: raw::Host = raw::Host {
    size: size_of::<raw::Host>() as u32,
    major: raw::MAJOR,
    minor: raw::MINOR,
    log_level,
    log,
    fail,
    skip,
    cancelled,
    result_set,
    result_get,
    state_get,
    state_set,
    state_swap,
    lock,
    unlock,
    task_name,
    param,
    attempt,
    progress,
    start: names,
    wait: names,
};

unsafe extern "C" fn log_level() -> u32 {
    raw::LOG_DEBUG
}

unsafe extern "C" fn log(
    ctx: Ctx,
    level: u32,
    target: Str,
    message: Str,
    file: Str,
    line: u32,
) -> i32 {
    let (target, message) = (text(target), text(message));
    let place = place(&text(file), line);
    world(|world| {
        world.log_place = place;
        world.log.push(Record {
            of_task: world.live == Some(ctx),
            level,
            target,
            message,
        });
    });
    raw::OK
}

/// Everything else but the log needs a live context.
fn live(ctx: Ctx, f: impl FnOnce(&mut World) -> i32) -> i32 {
    world(|world| match world.live {
        Some(live) if live == ctx => f(world),
        _ => raw::E_STALE,
    })
}

unsafe extern "C" fn fail(ctx: Ctx, message: Str, file: Str, line: u32) -> i32 {
    let failure = (text(message), text(file), line);
    live(ctx, |world| {
        world.told.failure = Some(failure);
        raw::OK
    })
}

unsafe extern "C" fn skip(ctx: Ctx, reason: Str) -> i32 {
    let reason = text(reason);
    live(ctx, |world| {
        world.told.skip = Some(reason);
        raw::OK
    })
}

unsafe extern "C" fn cancelled(ctx: Ctx) -> i32 {
    live(ctx, |_| 0)
}

fn parse(form: u32, value: Str) -> Result<Value, i32> {
    let text = text(value);
    match form {
        raw::TEXT => Ok(Value::String(text)),
        _ => serde_json::from_str(&text).map_err(|_| raw::E_JSON),
    }
}

unsafe extern "C" fn result_set(ctx: Ctx, form: u32, value: Str) -> i32 {
    live(ctx, |world| {
        if world.max_result > 0 && value.len > world.max_result {
            return raw::E_TOOBIG;
        }
        match parse(form, value) {
            Err(status) => status,
            Ok(value) => {
                world.told.result = Some(value);
                raw::OK
            }
        }
    })
}

/// Shows a value to the visitor, without the lock: it may call back.
fn show(
    ctx: Ctx,
    form: u32,
    find: impl FnOnce(&World) -> Option<Value>,
    visit: raw::VisitFn,
    user: *mut c_void,
) -> i32 {
    let mut value = None;
    let status = live(ctx, |world| {
        value = find(world);
        value.as_ref().map_or(raw::E_NOTFOUND, |_| raw::OK)
    });
    if let Some(value) = value {
        let shown = match (form, value) {
            (raw::TEXT, Value::String(text)) => text,
            (_, value) => value.to_string(),
        };
        // SAFETY: they belong together, and the text lives until the visitor returns.
        unsafe { visit(user, Str::new(&shown)) };
    }
    status
}

unsafe extern "C" fn result_get(
    ctx: Ctx,
    task: Str,
    form: u32,
    visit: raw::VisitFn,
    user: *mut c_void,
) -> i32 {
    let task = text(task);
    show(
        ctx,
        form,
        |world| world.results.get(&task).cloned(),
        visit,
        user,
    )
}

unsafe extern "C" fn state_get(
    ctx: Ctx,
    key: Str,
    form: u32,
    visit: raw::VisitFn,
    user: *mut c_void,
) -> i32 {
    let key = text(key);
    show(
        ctx,
        form,
        |world| world.state.get(&key).cloned(),
        visit,
        user,
    )
}

unsafe extern "C" fn state_set(ctx: Ctx, key: Str, form: u32, value: Str) -> i32 {
    let key = text(key);
    live(ctx, |world| match parse(form, value) {
        _ if key == "results" || key.starts_with('_') => raw::E_DENIED,
        Err(status) => status,
        Ok(value) => {
            world.state.insert(key, value);
            raw::OK
        }
    })
}

unsafe extern "C" fn state_swap(ctx: Ctx, key: Str, expected: Str, value: Str) -> i32 {
    let optional = |s: Str| (!s.ptr.is_null()).then(|| parse(raw::JSON, s).expect("JSON"));
    let (key, expected, value) = (text(key), optional(expected), optional(value));
    live(ctx, |world| {
        if world.state.get(&key) != expected.as_ref() {
            return raw::E_CHANGED;
        }
        match value {
            Some(value) => world.state.insert(key, value),
            None => world.state.remove(&key),
        };
        raw::OK
    })
}

unsafe extern "C" fn lock(ctx: Ctx, name: Str) -> i32 {
    let name = text(name);
    live(ctx, |world| {
        world.lock_calls.push(format!("lock {name}"));
        *world.locks.entry(name).or_default() += 1;
        raw::OK
    })
}

unsafe extern "C" fn task_name(_: Ctx, _: VisitFn, _: *mut c_void) -> i32 {
    raw::E_NOTFOUND
}

unsafe extern "C" fn param(_: Ctx, _: Str, _: VisitFn, _: *mut c_void) -> i32 {
    raw::E_NOTFOUND
}

unsafe extern "C" fn attempt(_: Ctx) -> i32 {
    1
}

unsafe extern "C" fn progress(_: Ctx, _: u64, _: u64, _: Str) -> i32 {
    raw::OK
}

unsafe extern "C" fn names(_: Ctx, _: Str, _: Option<VisitFn>, _: *mut c_void) -> i32 {
    raw::E_NOTFOUND
}

unsafe extern "C" fn unlock(ctx: Ctx, name: Str) -> i32 {
    let name = text(name);
    live(ctx, |world| match world.locks.get_mut(&name) {
        Some(held) if *held > 0 => {
            *held -= 1;
            world.lock_calls.push(format!("unlock {name}"));
            raw::OK
        }
        _ => raw::E_NOTFOUND,
    })
}
