//! What the closure of a task gets: the context, the state, the guard of a lock.
//!
//! Knows how to ask the host; nothing of how tasks are run.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::value::{absent, read, write};
use crate::task::{Declined, Host, Json, Level, Place, Progress, Record, Refused};

/// The running task, and what it may ask for.
///
/// Clones are cheap and may be taken into threads that the task makes. Once the task has ended, or was given up, calls do
/// nothing and return an error of kind [`Refused::Stale`].
///
/// ```
/// use tdrun::{Scheduler, TaskContext};
///
/// fn total(ctx: &TaskContext) -> Result<u32, tdrun::Declined> {
///     let (a, b): (u32, u32) = (ctx.result("a")?, ctx.result("b")?);
///     Ok(a + b)
/// }
///
/// let mut scheduler = Scheduler::new();
/// scheduler.task("total", total).after(["a", "b"]);
/// scheduler.task("a", |_| 2);
/// scheduler.task("b", |_| 3);
/// let summary = scheduler.run()?;
/// assert_eq!(summary.result::<u32>("total")?, 5);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TaskContext {
    host: Arc<dyn Host>,
}

impl TaskContext {
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        Self { host }
    }

    fn host(&self) -> Result<&dyn Host, Declined> {
        live(&*self.host)
    }

    /// The name of the task, its parameters filled in: `build::dev`.
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// A parameter of the task's name: of `build::dev`, made of `build::[env]`, `env` is `dev`. Where the text itself does not
    /// fit the type, the JSON inside it may: `8080` is read as a `u16` as well as a `String`.
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<T, Declined> {
        let Some(text) = self.host.arguments().get(name) else {
            return Err(Declined {
                refused: Refused::NotFound,
                why: format!("`{}` has no parameter `{name}`", self.name()),
            });
        };
        let quoted = serde_json::Value::from(text).to_string();
        serde_json::from_str(&quoted).or_else(|_| read(&format!("the parameter `{name}`"), text))
    }

    /// Which attempt this is: 1, and one more each time that the task is tried again.
    pub fn attempt(&self) -> u32 {
        self.host.attempt()
    }

    /// True where the task should stop soon: the run was stopped, its time is over, or it has ended. A task that takes long asks
    /// now and then.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// Says something to the reporters of the run, from the line that calls this.
    #[track_caller]
    pub fn log(&self, level: Level, message: impl fmt::Display) {
        let caller = Location::caller();
        if let Ok(host) = self.host() {
            host.log(Record {
                level,
                target: "".into(),
                message: message.to_string().into(),
                place: Some(Place {
                    file: caller.file().into(),
                    line: caller.line(),
                }),
            });
        }
    }

    /// Tells how far the task is: `done` of `total`, where 0 is a total that is not known; `what` it does may be empty. May be
    /// called as often as there is something new.
    pub fn progress(&self, done: u64, total: u64, what: &str) {
        if let Ok(host) = self.host() {
            let what = what.into();
            host.progress(Progress { done, total, what });
        }
    }

    /// The result of another task, by its name. Only tasks that run before this one are sure to be there: name them in `after`.
    /// Where there is no result, types that can be made from `null` get that, such as [`Option`]; else it is an error of kind
    /// [`Refused::NotFound`].
    pub fn result<T: DeserializeOwned>(&self, task: &str) -> Result<T, Declined> {
        if let Some(json) = self.host()?.result(task) {
            return read(&format!("the result of `{task}`"), &json);
        }
        absent().ok_or_else(|| Declined {
            refused: Refused::NotFound,
            why: format!(
                "no result of `{task}`: it did not run, did not pass, or returned nothing"
            ),
        })
    }

    /// The state that all tasks share.
    pub fn state(&self) -> State<'_> {
        State { host: &*self.host }
    }

    /// Waits for a named lock and takes it until the guard is dropped; `db:r` is shared with all others who take it so. The locks
    /// that a task declares are the same ones. It belongs to the task, not to the thread: the task may take it again.
    ///
    /// Where waiting would never end, because the holder waits for this task, it is an error of kind [`Refused::Deadlock`].
    pub fn lock(&self, name: &str) -> Result<LockGuard, Declined> {
        let host = Arc::clone(&self.host);
        host.lock(name).map_err(|refused| {
            let why = match refused {
                Refused::Deadlock => "is held by a task that waits for this one",
                Refused::Cancelled => "was not waited for: the run has been stopped",
                Refused::Stale => "cannot be taken: the task has ended",
                _ => "cannot be taken",
            };
            let why = format!("the lock `{name}` {why}");
            Declined { refused, why }
        })?;
        let name = name.into();
        Ok(LockGuard { host, name })
    }

    /// Starts a task: it, and all that it needs, become part of the run where they are not there yet. Does not wait. The name is
    /// that of a task, filled in where it is a template's; `build::*` starts all that match.
    pub fn start(&self, task: &str) -> Result<(), Declined> {
        self.host()?.start(task)
    }

    /// Starts a task, if need be, and waits until it has ended. Meanwhile this task gives its place on the pool to another one.
    ///
    /// An error of kind [`Refused::Failed`] where it did not pass, nor skip itself; [`Refused::Deadlock`] where it waits for this
    /// task, itself or over others.
    pub fn wait(&self, task: &str) -> Result<(), Declined> {
        self.host()?.wait(task)
    }

    /// Starts a task, waits until it has ended, and gives its result. One that has ended already is not run again.
    pub fn run<T: DeserializeOwned>(&self, task: &str) -> Result<T, Declined> {
        self.wait(task)?;
        self.result(task)
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

fn live(host: &dyn Host) -> Result<&dyn Host, Declined> {
    if host.is_over() {
        return Err(Refused::Stale.into());
    }
    Ok(host)
}

/// The values that all tasks of a run share, by key. Keys that begin with `_`, and `results`, are reserved.
///
/// ```
/// use tdrun::Scheduler;
///
/// let mut scheduler = Scheduler::new();
/// scheduler.state("visits", 1);
/// for name in ["a", "b", "c"] {
///     scheduler.task(name, |ctx| {
///         ctx.state().update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)
///     });
/// }
/// let summary = scheduler.run()?;
/// assert_eq!(summary.state::<u32>("visits")?, Some(4));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct State<'a> {
    host: &'a dyn Host,
}

impl State<'_> {
    /// The value of a key; `None` where there is no such key, or where it holds a `null` that is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Declined> {
        typed(key, live(self.host)?.state(key).as_ref())
    }

    /// Sets a key. Other tasks see the new value at once.
    pub fn set(&self, key: &str, value: impl Serialize) -> Result<(), Declined> {
        let json = written(key, &value)?;
        let set = live(self.host)?.set_state(key, Some(json));
        set.map_err(|refused| denied(key, refused))
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) -> Result<(), Declined> {
        let removed = live(self.host)?.set_state(key, None);
        removed.map_err(|refused| denied(key, refused))
    }

    /// Sets a key to `value` if it holds `expected`, and says whether it did. `None` is "no such key", both ways.
    pub fn swap<T: Serialize>(
        &self,
        key: &str,
        expected: Option<&T>,
        value: Option<&T>,
    ) -> Result<bool, Declined> {
        let json = |value: Option<&T>| value.map(|value| written(key, value)).transpose();
        self.swap_json(key, json(expected)?, json(value)?)
    }

    /// Replaces the value of a key by what `change` makes of it, and gives the new one. No change of another task is lost: where
    /// one came between, `change` is called again with the newer value.
    pub fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> T,
    ) -> Result<T, Declined> {
        loop {
            let old = live(self.host)?.state(key);
            let new = change(typed(key, old.as_ref())?);
            let json = written(key, &new)?;
            if self.swap_json(key, old, Some(json))? {
                return Ok(new);
            }
        }
    }

    fn swap_json(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<bool, Declined> {
        match live(self.host)?.swap_state(key, expected, value) {
            Ok(()) => Ok(true),
            Err(Refused::Changed) => Ok(false),
            Err(refused) => Err(denied(key, refused)),
        }
    }
}

impl fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// A state value as a `T`.
pub(super) fn typed<T: DeserializeOwned>(
    key: &str,
    json: Option<&Json>,
) -> Result<Option<T>, Declined> {
    match json {
        None => Ok(None),
        Some(json) if &**json == "null" => Ok(absent()),
        Some(json) => read(&format!("the state key `{key}`"), json).map(Some),
    }
}

fn written<T: Serialize>(key: &str, value: &T) -> Result<Json, Declined> {
    write(value).map_err(|why| Declined {
        refused: Refused::Argument,
        why: format!("the state key `{key}` cannot be written as JSON: {why}"),
    })
}

fn denied(key: &str, refused: Refused) -> Declined {
    let why = match refused {
        Refused::Denied => format!("the state key `{key}` is reserved"),
        _ => format!("the state key `{key}` cannot be set"),
    };
    Declined { refused, why }
}

/// A lock that is held until this is dropped; on any thread. What is still held when the task ends is released then.
#[must_use = "the lock is released at once, unless a variable keeps the guard: `let _guard = …`"]
pub struct LockGuard {
    host: Arc<dyn Host>,
    name: Box<str>,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // After the end of the task it has been released already.
        let _ = self.host.unlock(&self.name);
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.name).finish()
    }
}
