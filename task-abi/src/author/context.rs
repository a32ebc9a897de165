//! What a task gets in its hands: [`Context`], [`State`], the guard of a lock and the tasks that it has started.
//!
//! Knows how to ask the host; knows nothing of how a task is called or ends.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::current::{Current, Entered};
use super::error::{Error, ErrorKind};
use super::host::Handle;
use super::value;

/// The running task, and what it may ask of tdrun. A task gets it as a parameter of type `&Context`.
///
/// It is a small value that can be copied into threads which the task makes; every method may be called from any of
/// them. Once the task has ended, calls are safe and return an error of kind [`ErrorKind::Stale`].
///
/// ```
/// use std::thread;
/// use task_abi::{Context, Result, task};
///
/// #[task]
/// fn poll(ctx: &Context) -> Result {
///     let ctx = *ctx;
///     let worker = thread::spawn(move || {
///         let _here = ctx.enter(); // what this thread logs belongs to the task
///         while !ctx.cancelled() {
///             log::info!("still there");
///             # break;
///         }
///     });
///     worker.join().expect("the poller lives");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Context {
    handle: Handle,
    name: &'static str,
}

impl Context {
    pub(crate) fn new(handle: Handle, name: &'static str) -> Self {
        Self { handle, name }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    /// The name of the task, with its parameters filled in: `build::dev`; of a hook, the name of its function.
    pub fn name(&self) -> String {
        let template = self.name.contains('[');
        let filled = template.then(|| self.handle.task_name().ok().flatten());
        filled.flatten().unwrap_or_else(|| self.name.to_owned())
    }

    /// A parameter of the task's name: of `build::dev`, made of `build::[env]`, `env` is `dev`. It is read as a value of the
    /// command line is: the text itself where it fits the type, else the JSON inside it.
    ///
    /// Better, take it as a parameter of the function: then tdrun tells of a value that does not fit before anything runs.
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.typed_param(name, None)
    }

    /// The same for a parameter of the function, where the type is known as it was written.
    pub(crate) fn typed_param<T: DeserializeOwned>(
        &self,
        name: &str,
        wanted: Option<&str>,
    ) -> Result<T, Error> {
        let Some(text) = self.handle.parameter(name)? else {
            let message = format!("the name of the task has no parameter `[{name}]`");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        value::read_text(&text).map_err(|misfit| {
            let inferred = value::short_type_name::<T>();
            misfit.of(
                &format!("the parameter `{name}`"),
                wanted.unwrap_or(&inferred),
            )
        })
    }

    /// Which attempt this is: 1, and one more each time that the task is tried again.
    pub fn attempt(&self) -> u32 {
        self.handle.attempt()
    }

    /// Tells how far the task is, for the live views: `done` of `total`, where a total of 0 is one that is not known.
    /// May be called as often as there is something new.
    pub fn progress(&self, done: u64, total: u64) {
        self.progress_with(done, total, "");
    }

    /// The same, and what the task is doing.
    pub fn progress_with(&self, done: u64, total: u64, what: &str) {
        self.handle.progress(done, total, what);
    }

    /// Starts a task: it, and all that it comes after, become part of the run where they are not there yet, and run as soon as
    /// they can. Does not wait. The name is that of a task of this library, filled in where it is a template's, or
    /// `library::task`; `build::*` starts all that match.
    ///
    /// ```
    /// use task_abi::{Context, Result, task};
    ///
    /// #[task(name = "size::[file]")]
    /// fn size(file: String) -> Result<u64> {
    ///     Ok(std::fs::metadata(file)?.len())
    /// }
    ///
    /// #[task]
    /// fn total(ctx: &Context) -> Result<u64> {
    ///     let files = ["Cargo.toml", "README.md"].map(|file| ctx.start(&format!("size::{file}")));
    ///     let mut total = 0;
    ///     for file in files {
    ///         total += file?.wait::<u64>()?;
    ///     }
    ///     Ok(total)
    /// }
    /// ```
    ///
    /// Errors are of kind [`ErrorKind::NotFound`] where there is no such task, [`ErrorKind::Invalid`] where a parameter does
    /// not fit, and [`ErrorKind::Cancelled`] where the run has been stopped.
    pub fn start(&self, task: &str) -> Result<Started, Error> {
        self.handle.start(task)?;
        Ok(Started {
            context: *self,
            task: task.into(),
        })
    }

    /// Starts a task, if need be, and waits until it has ended. Meanwhile this task gives its place on the pool to another one.
    ///
    /// Where it did not pass, nor skip itself, that is an error of kind [`ErrorKind::Failed`]; where it waits for this task,
    /// itself or over others, one of kind [`ErrorKind::Deadlock`]; else errors are those of [`start`](Self::start).
    pub fn wait(&self, task: &str) -> Result<(), Error> {
        self.handle.wait(task)
    }

    /// Starts a task, waits until it has ended, and returns its result. A task that was started or has ended already is not run
    /// again. Errors are those of [`wait`](Self::wait).
    pub fn run<T: DeserializeOwned>(&self, task: &str) -> Result<T, Error> {
        self.wait(task)?;
        if let Some(json) = self.handle.result(task)? {
            return read(|| format!("the result of `{task}`"), None, &json);
        }
        value::absent().ok_or_else(|| {
            let message = format!("no result of `{task}`: it skipped itself, or returned nothing");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// True where the task should stop soon, because the run was stopped; also where the task has ended. A task that takes
    /// long asks now and then.
    pub fn cancelled(&self) -> bool {
        self.handle.cancelled()
    }

    /// The state that all tasks share.
    pub fn state(&self) -> State {
        State {
            handle: self.handle,
        }
    }

    /// The result of another task, of this library or as `library::task`.
    ///
    /// Only tasks that run before this one are sure to be there: name the task in `after`, or better, take its result
    /// as a parameter. Where there is no result, types that can be made from `null` get that, such as `Option`; else
    /// it is an error of kind [`ErrorKind::NotFound`].
    pub fn result<T: DeserializeOwned>(&self, task: &str) -> Result<T, Error> {
        self.typed_result(task, || format!("the result of `{task}`"), None)
    }

    /// The same for a parameter, where the type is known as it was written.
    pub(crate) fn typed_result<T: DeserializeOwned>(
        &self,
        task: &str,
        what: impl Fn() -> String,
        wanted: Option<&str>,
    ) -> Result<T, Error> {
        if let Some(json) = self.handle.result(task)? {
            return read(what, wanted, &json);
        }
        value::absent().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "no result of `{task}` (it did not run, did not pass, or returned nothing); \
                     give one with `--result-{task}=VALUE`, or run it too: `--with-deps`"
                ),
            )
        })
    }

    /// Waits for the named lock, shared by all tasks of the run, and takes it until the guard is dropped: keep it in a
    /// variable, `let _guard = ctx.lock("printer")?;`. `let _ = …` releases the lock at once. `"printer:r"` takes it shared
    /// with all others who do so. The locks that a task declares with `locks = […]` are the same ones.
    ///
    /// It belongs to the task, not to the thread: the task may take it again, from any of its threads. Where waiting would
    /// never end, because the holder waits for a lock of this task, it is an error of kind [`ErrorKind::Deadlock`].
    pub fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        self.handle.lock(name)?;
        Ok(LockGuard {
            handle: self.handle,
            name: name.into(),
        })
    }

    /// Makes the current thread one of the task's until the guard is dropped: `log` records then carry the name of the
    /// task, and a panic is printed with it. The thread that runs the task does not need it.
    #[must_use = "the thread leaves the task when the guard is dropped"]
    pub fn enter(&self) -> Entered {
        Current::enter(*self, false)
    }
}

/// A task that was started from inside of another one, see [`Context::start`].
#[derive(Clone, Debug)]
pub struct Started {
    context: Context,
    task: Box<str>,
}

impl Started {
    /// The name by which it was started.
    pub fn name(&self) -> &str {
        &self.task
    }

    /// Waits until it has ended, and returns its result, as [`Context::run`] does.
    pub fn wait<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.context.run(&self.task)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The JSON values that all tasks of a run share, by key. A task gets it as a parameter of type `&State`.
///
/// Values come from `--state-file`, from `--key=value`, from `#[setup]` and from tasks. Those of the command line are
/// strings; reading takes the string itself where it fits the type, else the JSON inside it: `--n=5` is read as a `u32`
/// as well as a `String`. Keys that begin with `_`, and `results`, are reserved.
///
/// As [`Context`], it can be copied into threads, used from any of them, and returns an error after the end of the task.
///
/// ```
/// use task_abi::{Result, State, task};
///
/// #[task]
/// fn count(state: &State) -> Result {
///     state.set("greeting", "hello")?;
///     state.set("limit", 10)?;
///     let visits = state.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
///     log::info!("visit {visits}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct State {
    handle: Handle,
}

impl State {
    /// The value of a key as a `T`; `None` where there is no such key, or where it holds a `null` that is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        match self.handle.state(key)? {
            None => Ok(None),
            Some(json) if json == "null" => Ok(value::absent()),
            Some(json) => read(|| format!("the state key `{key}`"), None, &json).map(Some),
        }
    }

    /// For a `#[state]` parameter: a missing key is an error, unless the type can be made from `null`.
    pub(crate) fn typed<T: DeserializeOwned>(
        &self,
        key: &str,
        what: impl Fn() -> String,
        wanted: &str,
    ) -> Result<T, Error> {
        if let Some(json) = self.handle.state(key)? {
            return read(what, Some(wanted), &json);
        }
        value::absent().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("no state key `{key}`; give one with `--{key}=VALUE`"),
            )
        })
    }

    /// Sets a key, to a value or to what a reference points to. Other tasks see the new value at once; of two that set a
    /// key at the same time, one wins.
    pub fn set(&self, key: &str, value: impl Serialize) -> Result<(), Error> {
        self.handle.set_state(key, &write(key, &value)?)
    }

    /// Removes a key. False where it was not there.
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        while let Some(json) = self.handle.state(key)? {
            if self.handle.swap_state(key, Some(&json), None)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compare-and-set: sets the key to `value` if it holds `expected`, and says whether it did. `None` is "no such key",
    /// both ways. The comparison is one of JSON values, so the order of members does not matter.
    pub fn swap<T: Serialize + ?Sized>(
        &self,
        key: &str,
        expected: Option<&T>,
        value: Option<&T>,
    ) -> Result<bool, Error> {
        let expected = expected.map(|value| write(key, value)).transpose()?;
        let value = value.map(|value| write(key, value)).transpose()?;
        self.handle
            .swap_state(key, expected.as_deref(), value.as_deref())
    }

    /// Replaces the value of a key by what `change` makes of it, and returns the new one. No change of another task is
    /// lost: where one came between, `change` is called again with the newer value. It should therefore be short and do
    /// nothing else.
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<T, Error> {
        loop {
            let old = self.handle.state(key)?;
            let typed = match old.as_deref() {
                None => None,
                Some("null") => value::absent(),
                Some(json) => Some(read(|| format!("the state key `{key}`"), None, json)?),
            };
            let new = change(typed);
            let json = write(key, &new)?;
            if self.handle.swap_state(key, old.as_deref(), Some(&json))? {
                return Ok(new);
            }
        }
    }

    /// As [`Context::lock`]: for changes of several keys that belong together. Locks guard nothing by themselves; they
    /// work among those who take them.
    pub fn lock(&self, name: &str) -> Result<LockGuard, Error> {
        self.handle.lock(name)?;
        Ok(LockGuard {
            handle: self.handle,
            name: name.into(),
        })
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// A lock that is held; dropping it releases the lock. May be moved to and dropped on any thread; what is still held when
/// the task ends is released then.
#[must_use = "the lock is released at once, unless a variable keeps the guard: `let _guard = …`"]
pub struct LockGuard {
    handle: Handle,
    name: Box<str>,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // After the end of the task the host has released it already.
        let _ = self.handle.unlock(&self.name);
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.name).finish()
    }
}

fn read<T: DeserializeOwned>(
    what: impl Fn() -> String,
    wanted: Option<&str>,
    json: &str,
) -> Result<T, Error> {
    value::read(json).map_err(|misfit| {
        let inferred = value::short_type_name::<T>();
        misfit.of(&what(), wanted.unwrap_or(&inferred))
    })
}

fn write<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<String, Error> {
    value::write(value)
        .map_err(|reason| value::unwritable(&format!("the state key `{key}`"), &reason))
}

/// What the pages above promise about threads.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Context>();
    shared::<State>();
    shared::<LockGuard>();
    shared::<Started>();
    shared::<Error>();
};
