//! A host for tests: loads a task library, runs what the test names and keeps all that it is told.
//!
//! Follows tdrun.h to the letter where a library could notice; has no graph, no threads and no checks of the table. A task
//! that is waited for runs there and then, on the thread that waits.

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
    build_with(name, &[])
}

/// The same for one that needs features.
pub(crate) fn build_with(name: &str, features: &[&str]) -> PathBuf {
    let binary = std::env::current_exe().expect("the test has a path");
    let profile = binary.parent().and_then(Path::parent).expect("deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--example", name]);
    for feature in features {
        cargo.args(["--features", feature]);
    }
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
    /// The tasks that run: one, and those that it waits for.
    live: BTreeMap<Ctx, Frame>,
    last: Ctx,
    /// What can be started, and what has ended.
    tasks: Vec<Runnable>,
    ended: BTreeMap<String, Ended>,
    started: Vec<String>,
    progress: Vec<(u64, u64, String)>,
    attempt: i32,
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

/// A task that runs.
#[derive(Default)]
struct Frame {
    name: String,
    arguments: Arguments,
    told: Told,
}

/// The values of a template's parameters.
type Arguments = Vec<(String, String)>;

/// A task of the table, by its function and the address that it is handed.
#[derive(Clone)]
struct Runnable {
    name: String,
    run: raw::RunFn,
    user: usize,
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
    pub(crate) before: Vec<String>,
    pub(crate) then: Vec<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) command: Option<Program>,
    /// As it is, for the fields that are numbers.
    pub(crate) raw: raw::Task,
    run: Option<raw::RunFn>,
    user: *mut c_void,
}

/// A parameter of a template, copied.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) type_name: String,
    /// The choices, or why they cannot be found; none where any value will do.
    pub(crate) choices: Option<Result<Vec<String>, String>>,
    check: Option<raw::CheckFn>,
    user: *mut c_void,
}

impl Parameter {
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        let mut reasons: Vec<String> = Vec::new();
        let check = self.check.expect("the parameter has a check");
        // SAFETY: all of it comes from the table; `collect` takes a list of strings.
        let status = unsafe {
            check(
                self.user,
                Str::new(text),
                collect,
                (&raw mut reasons).cast(),
            )
        };
        match (status, reasons.pop()) {
            (raw::OK, None) => Ok(()),
            (raw::FAIL, Some(reason)) => Err(reason),
            odd => panic!("{odd:?}"),
        }
    }
}

/// A command, copied.
#[derive(Debug, PartialEq)]
pub(crate) struct Program {
    pub(crate) argv: Vec<String>,
    pub(crate) shell: String,
    pub(crate) cwd: String,
    pub(crate) env: Vec<String>,
    pub(crate) flags: u64,
}

/// The visitor of `choose` and `check`.
unsafe extern "C" fn collect(list: *mut c_void, value: Str) {
    // SAFETY: it is the list of strings that was handed over with this function.
    unsafe { &mut *list.cast::<Vec<String>>() }.push(text(value));
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
        Self::load_under(path, &HOST)
    }

    /// Loads it under a host of an older version, which has less to offer.
    pub(crate) fn load_under(path: &Path, host: &'static raw::Host) -> Self {
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
            entry(host).as_ref().expect("the library has a table")
        };
        assert_eq!(
            (table.magic, table.major, table.minor),
            (raw::MAGIC, raw::MAJOR, raw::MINOR)
        );
        // SAFETY: the table says so; its library is built with the same `raw`, or sized by it.
        let tasks = unsafe { slice::from_raw_parts(table.tasks, table.task_count) };
        let runnable = tasks.iter().filter_map(|task| {
            Some(Runnable {
                name: text(task.name),
                run: task.run?,
                user: task.user.expose_provenance(),
            })
        });
        world(|world| world.tasks = runnable.collect());
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
    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn run(&self, name: &str) -> Ended {
        run(name).unwrap_or_else(|| panic!("no task {name}"))
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
        let setup = self.table.setup.expect("there is a setup");
        call(setup, self.table.user, Frame::default())
    }

    pub(crate) fn teardown(&self) -> Ended {
        let teardown = self.table.teardown.expect("there is a teardown");
        call(teardown, self.table.user, Frame::default())
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

    /// The attempt that the next tasks are told.
    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn attempt(&self, attempt: i32) {
        world(|world| world.attempt = attempt);
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn started(&self) -> Vec<String> {
        world(|world| world.started.clone())
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn progress(&self) -> Vec<(u64, u64, String)> {
        world(|world| world.progress.clone())
    }

    #[expect(clippy::unused_self, reason = "there is one host")]
    pub(crate) fn lock_calls(&self) -> Vec<String> {
        world(|world| world.lock_calls.clone())
    }
}

/// Runs the task of that name, also where a template makes it; its result is there for the next ones.
fn run(name: &str) -> Option<Ended> {
    let tasks = world(|world| world.tasks.clone());
    let (task, arguments) = tasks
        .into_iter()
        .find_map(|task| arguments(&task.name, name).map(|arguments| (task, arguments)))?;
    let frame = Frame {
        name: name.to_owned(),
        arguments,
        told: Told::default(),
    };
    let ended = call(
        task.run,
        std::ptr::with_exposed_provenance_mut(task.user),
        frame,
    );
    world(|world| {
        if let Ended::Passed(Some(result)) = &ended {
            world.results.insert(name.to_owned(), result.clone());
        }
        world.ended.insert(name.to_owned(), ended.clone());
    });
    Some(ended)
}

/// The values that make `name` of a pattern, part by part.
fn arguments(pattern: &str, name: &str) -> Option<Arguments> {
    let (mut parts, mut arguments) = (name.split("::"), Vec::new());
    for part in pattern.split("::") {
        let text = parts.next()?;
        match part.split_once('[') {
            None if part == text => {}
            None => return None,
            Some((before, rest)) => {
                let (parameter, behind) = rest.split_once(']')?;
                let value = text.strip_prefix(before)?.strip_suffix(behind)?;
                arguments.push((parameter.to_owned(), value.to_owned()));
            }
        }
    }
    parts.next().is_none().then_some(arguments)
}

fn call(run: raw::RunFn, user: *mut c_void, frame: Frame) -> Ended {
    let ctx = world(|world| {
        world.last += 1;
        world.live.insert(world.last, frame);
        world.last
    });
    // SAFETY: both come from the table; the host lives as long as the process.
    let status = unsafe { run(&raw const HOST, ctx, user) };
    let told = world(|world| {
        world.locks.clear();
        world.live.remove(&ctx).expect("it was live").told
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

fn strings(ptr: *const Str, count: usize) -> Vec<String> {
    (0..count)
        // SAFETY: the table has `count` strings there.
        .map(|index| text(unsafe { *ptr.add(index) }))
        .collect()
}

fn task(raw: &raw::Task) -> Task {
    // SAFETY: the table has a command there, or none.
    let command = unsafe { raw.command.as_ref() };
    let parameters = (0..raw.param_count)
        // SAFETY: the table has so many parameters there, and our own libraries have no other stride.
        .map(|index| parameter(unsafe { &*raw.params.add(index) }));
    Task {
        name: text(raw.name),
        after: strings(raw.after, raw.after_count),
        tags: strings(raw.tags, raw.tag_count),
        doc: text(raw.doc),
        file: text(raw.file),
        line: raw.line,
        before: strings(raw.before, raw.before_count),
        then: strings(raw.then, raw.then_count),
        locks: strings(raw.locks, raw.lock_count),
        parameters: parameters.collect(),
        command: command.map(|command| Program {
            argv: strings(command.argv, command.argc),
            shell: text(command.shell),
            cwd: text(command.cwd),
            env: strings(command.env, command.env_count),
            flags: command.flags,
        }),
        raw: *raw,
        run: raw.run,
        user: raw.user,
    }
}

fn parameter(raw: &raw::Param) -> Parameter {
    let given = strings(raw.choices, raw.choice_count);
    let found = raw.choose.map(|choose| {
        let mut told: Vec<String> = Vec::new();
        // SAFETY: all of it comes from the table; `collect` takes a list of strings.
        match unsafe { choose(raw.user, collect, collect, (&raw mut told).cast()) } {
            raw::OK => Ok(told),
            _ => Err(told.concat()),
        }
    });
    Parameter {
        name: text(raw.name),
        type_name: text(raw.type_name),
        choices: found.or((!given.is_empty()).then_some(Ok(given))),
        check: raw.check,
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

const HOST_TABLE: raw::Host = raw::Host {
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
    start,
    wait,
};

static HOST: raw::Host = HOST_TABLE;

/// The same, as version 1.0 had it: what is behind its size must not be read.
pub(crate) static FIRST_HOST: raw::Host = raw::Host {
    size: std::mem::offset_of!(raw::Host, task_name) as u32,
    minor: 0,
    task_name: too_far,
    param: too_far_named,
    attempt: too_far_alone,
    ..HOST_TABLE
};

unsafe extern "C" fn too_far(_: Ctx, _: raw::VisitFn, _: *mut c_void) -> i32 {
    unreachable!("it lies behind the size")
}

unsafe extern "C" fn too_far_named(_: Ctx, _: Str, _: raw::VisitFn, _: *mut c_void) -> i32 {
    unreachable!("it lies behind the size")
}

unsafe extern "C" fn too_far_alone(_: Ctx) -> i32 {
    unreachable!("it lies behind the size")
}

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
            of_task: world.live.contains_key(&ctx),
            level,
            target,
            message,
        });
    });
    raw::OK
}

/// Everything else but the log needs a live context.
fn live(ctx: Ctx, f: impl FnOnce(&mut World) -> i32) -> i32 {
    world(|world| {
        if world.live.contains_key(&ctx) {
            f(world)
        } else {
            raw::E_STALE
        }
    })
}

/// What a live task has told.
fn told(ctx: Ctx, f: impl FnOnce(&mut Told)) -> i32 {
    live(ctx, |world| {
        f(&mut world.live.get_mut(&ctx).expect("it is live").told);
        raw::OK
    })
}

unsafe extern "C" fn fail(ctx: Ctx, message: Str, file: Str, line: u32) -> i32 {
    let failure = (text(message), text(file), line);
    told(ctx, |told| told.failure = Some(failure))
}

unsafe extern "C" fn skip(ctx: Ctx, reason: Str) -> i32 {
    let reason = text(reason);
    told(ctx, |told| told.skip = Some(reason))
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
                let frame = world.live.get_mut(&ctx).expect("it is live");
                frame.told.result = Some(value);
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

unsafe extern "C" fn task_name(ctx: Ctx, visit: raw::VisitFn, user: *mut c_void) -> i32 {
    let name = |world: &World| Some(Value::from(&*world.live[&ctx].name));
    show(ctx, raw::TEXT, name, visit, user)
}

unsafe extern "C" fn param(ctx: Ctx, name: Str, visit: raw::VisitFn, user: *mut c_void) -> i32 {
    let name = text(name);
    let value = |world: &World| {
        let mut arguments = world.live[&ctx].arguments.iter();
        let (_, value) = arguments.find(|(parameter, _)| *parameter == name)?;
        Some(Value::from(&**value))
    };
    show(ctx, raw::TEXT, value, visit, user)
}

unsafe extern "C" fn attempt(ctx: Ctx) -> i32 {
    live(ctx, |world| world.attempt.max(1))
}

unsafe extern "C" fn progress(ctx: Ctx, done: u64, total: u64, what: Str) -> i32 {
    let what = text(what);
    live(ctx, |world| {
        world.progress.push((done, total, what));
        raw::OK
    })
}

/// Says why, without the lock: the visitor may call back.
fn say(why: Option<raw::VisitFn>, user: *mut c_void, words: &str) {
    if let Some(why) = why {
        // SAFETY: they belong together, and the text lives until the visitor returns.
        unsafe { why(user, Str::new(words)) };
    }
}

unsafe extern "C" fn start(
    ctx: Ctx,
    task: Str,
    why: Option<raw::VisitFn>,
    user: *mut c_void,
) -> i32 {
    let name = text(task);
    let status = live(ctx, |world| {
        let mut tasks = world.tasks.iter();
        if tasks.any(|task| arguments(&task.name, &name).is_some()) {
            raw::OK
        } else {
            raw::E_NOTFOUND
        }
    });
    if status == raw::E_NOTFOUND {
        say(why, user, &format!("no task `{name}`"));
    } else if status == raw::OK {
        world(|world| world.started.push(name));
    }
    status
}

unsafe extern "C" fn wait(
    ctx: Ctx,
    task: Str,
    why: Option<raw::VisitFn>,
    user: *mut c_void,
) -> i32 {
    // SAFETY: as we were called.
    let status = unsafe { start(ctx, task, why, user) };
    if status != raw::OK {
        return status;
    }
    let name = text(task);
    if world(|world| world.live.values().any(|frame| frame.name == name)) {
        return raw::E_DEADLOCK;
    }
    let ended = world(|world| world.ended.get(&name).cloned());
    match ended.or_else(|| run(&name)) {
        Some(Ended::Failed { message, .. }) => {
            say(why, user, &format!("`{name}` failed: {message}"));
            raw::E_FAILED
        }
        _ => raw::OK,
    }
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
