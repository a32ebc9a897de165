//! What a task is declared with: the methods that a `#[register]` function calls, and the attributes as well.
//!
//! Knows nothing of the ABI's table, which is made of this later, nor of what a good name is: the host says so.

use std::any::TypeId;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::context::Context;
use super::failure::Failure;
use super::parameter::check;
use super::register::Site;
use super::returned::Returned;
use super::value;

/// The tasks that a [`#[register]`](macro@crate::register) function adds.
///
/// ```
/// use task_abi::{Context, Tasks, register};
///
/// #[register]
/// fn shards(tasks: &mut Tasks) {
///     for shard in 0..3 {
///         tasks
///             .add(format!("load_{shard}"), move |_: &Context| shard * 10)
///             .tags(["load"])
///             .retries(2);
///     }
///     tasks.shell("pack", "ls | wc -l").after((0..3).map(|shard| format!("load_{shard}")));
/// }
/// ```
///
/// The library is not loaded where a name is not valid or taken twice; tdrun says which.
pub struct Tasks {
    declared: Vec<Declared>,
    /// For a task of an attribute; those of code are where the code is that adds them.
    site: Option<&'static Site>,
}

/// A task that has just been added: its methods say how and when it runs. Each adds to what was said before, or replaces it
/// where there can only be one.
pub struct NewTask<'a, Kind = Function> {
    task: &'a mut Declared,
    kind: PhantomData<Kind>,
}

/// The [`Kind`](NewTask) of a task that is a closure.
#[derive(Debug)]
pub enum Function {}

/// The [`Kind`](NewTask) of a task that is a command.
#[derive(Debug)]
pub enum Process {}

/// What a task does, with its parameters found and its return value understood.
pub(crate) type Body = Box<dyn Fn(&Context) -> Result<Option<String>, Failure> + Send + Sync>;

/// All that was said of a task.
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) doc: String,
    pub(crate) after: Vec<Reference>,
    pub(crate) before: Vec<Reference>,
    pub(crate) then: Vec<Reference>,
    pub(crate) tags: Vec<String>,
    pub(crate) locks: Vec<String>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) condition: Condition,
    pub(crate) wave: u32,
    pub(crate) priority: i32,
    pub(crate) exclusive: bool,
    pub(crate) retries: u32,
    pub(crate) retry_delay: Duration,
    pub(crate) retry_timeouts: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) isolate: bool,
}

pub(crate) enum Action {
    Call(Body),
    Run(Command),
}

#[derive(Default)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) shell: String,
    pub(crate) cwd: String,
    /// `NAME=value`, or `NAME` to be taken out.
    pub(crate) env: Vec<String>,
    pub(crate) unchecked: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Condition {
    AfterPassed,
    NoFailures,
    Always,
}

/// Another task, as the author wrote it.
pub(crate) enum Reference {
    Name(String),
    /// The type of a function, and the last segment of its path for the message where that is no task.
    Function(TypeId, &'static str),
}

/// What is known of a `[parameter]`.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) choices: Choices,
    pub(crate) check: Option<Check>,
    pub(crate) type_name: String,
}

/// Says why a text is no value of a type.
pub(crate) type Check = fn(&str) -> Result<(), String>;

pub(crate) enum Choices {
    Any,
    These(Vec<String>),
    /// Found when the library is loaded.
    Found(Box<dyn Fn() -> Result<Vec<String>, Failure> + Send + Sync>),
}

/// Which of the three lists a path stands in.
#[derive(Clone, Copy)]
pub enum List {
    /// `after = […]`
    After,
    /// `before = […]`
    Before,
    /// `then = […]`
    Then,
}

impl Tasks {
    pub(crate) fn new(site: Option<&'static Site>) -> Self {
        let declared = Vec::new();
        Self { declared, site }
    }

    pub(crate) fn into_declared(self) -> Vec<Declared> {
        self.declared
    }

    /// Adds a task that calls a closure. It may return what the function of a `#[task]` may, with these limits: values
    /// of your own types are returned as `Ok(value)` or as [`Json(value)`](crate::Json), and an error has to be
    /// [`Failure`], a [`std::error::Error`], a box of one (`anyhow::Error` too), or a string.
    #[track_caller]
    pub fn add<R, M>(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(&Context) -> R + Send + Sync + 'static,
    ) -> NewTask<'_>
    where
        R: Returned<M>,
    {
        let body = move |context: &Context| body(context).into_result();
        self.push(name.into(), Action::Call(Box::new(body)))
    }

    /// Adds a task that runs a program with arguments, without a shell between. `[x]` in them stands for the parameter x
    /// of the task's name; so it does in the script, the directory and the environment.
    #[track_caller]
    pub fn command(
        &mut self,
        name: impl Into<String>,
        argv: impl IntoIterator<Item = impl Into<String>>,
    ) -> NewTask<'_, Process> {
        let argv = argv.into_iter().map(Into::into).collect();
        let command = Command {
            argv,
            ..Command::default()
        };
        self.push(name.into(), Action::Run(command))
    }

    /// Adds a task that runs a line of `/bin/sh`.
    #[track_caller]
    pub fn shell(
        &mut self,
        name: impl Into<String>,
        script: impl Into<String>,
    ) -> NewTask<'_, Process> {
        let command = Command {
            shell: script.into(),
            ..Command::default()
        };
        self.push(name.into(), Action::Run(command))
    }

    /// For `#[task]`, whose body has understood its return value.
    #[doc(hidden)]
    #[track_caller]
    pub fn __function(
        &mut self,
        name: &str,
        body: fn(&Context) -> Result<Option<String>, Failure>,
    ) -> NewTask<'_> {
        self.push(name.to_owned(), Action::Call(Box::new(body)))
    }

    /// A task whose parameter has no choices, for that reason: a host that looks for them does not load the library.
    pub(crate) fn refuse(&mut self, site: &'static Site, function: &str, why: String) {
        let body = |_: &Context| -> Result<Option<String>, Failure> { Ok(None) };
        self.site = Some(site);
        let name = format!("{function}::[tasks]");
        self.push::<Function>(name, Action::Call(Box::new(body)))
            .parameter("tasks")
            .choices = Choices::Found(Box::new(move || Err(Failure::without_place(why.clone()))));
    }

    #[track_caller]
    fn push<Kind>(&mut self, name: String, action: Action) -> NewTask<'_, Kind> {
        let caller = Location::caller();
        let (file, line) = match self.site {
            Some(site) => (site.file, site.line),
            None => (caller.file(), caller.line()),
        };
        self.declared.push(Declared {
            name,
            action,
            file,
            line,
            doc: String::new(),
            after: Vec::new(),
            before: Vec::new(),
            then: Vec::new(),
            tags: Vec::new(),
            locks: Vec::new(),
            parameters: Vec::new(),
            condition: Condition::AfterPassed,
            wave: 0,
            priority: 0,
            exclusive: false,
            retries: 0,
            retry_delay: Duration::ZERO,
            retry_timeouts: false,
            timeout: None,
            isolate: false,
        });
        let last = self.declared.len() - 1;
        NewTask {
            task: &mut self.declared[last],
            kind: PhantomData,
        }
    }
}

#[allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the task has been added, whatever becomes of this"
)]
impl<Kind> NewTask<'_, Kind> {
    /// What it does, in words; the first line is shown by `tdrun --list`.
    pub fn doc(self, text: impl Into<String>) -> Self {
        self.task.doc = text.into();
        self
    }

    /// Tasks that must have passed before: names, also of another library as `library::task`; `[x]` in them stands for
    /// this task's parameter x, and `build::*` for all tasks that match.
    pub fn after(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        extend(&mut self.task.after, names);
        self
    }

    /// Tasks that this one comes before: whoever selects one of them gets this one run first.
    pub fn before(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        extend(&mut self.task.before, names);
        self
    }

    /// Tasks that come after this one, and that are selected where this one is.
    pub fn then(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        extend(&mut self.task.then, names);
        self
    }

    /// Labels to select by.
    pub fn tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.task.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Locks to hold while it runs, shared with other readers where the name ends in `:r`.
    pub fn locks(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.task.locks.extend(names.into_iter().map(Into::into));
        self
    }

    /// The values that a `[parameter]` of the name may have.
    pub fn choices(self, parameter: &str, values: impl IntoIterator<Item = impl ToString>) -> Self {
        let values = values.into_iter().map(|value| value.to_string()).collect();
        let mut this = self;
        this.parameter(parameter).choices = Choices::These(values);
        this
    }

    /// The type of a `[parameter]`, as which [`Context::param`] takes it: a value that does not fit is told before anything runs.
    pub fn param<T: DeserializeOwned>(self, parameter: &str) -> Self {
        self.__typed(parameter, check::<T>, value::short_type_name::<T>())
    }

    /// It starts after all tasks of lower waves have ended, however they end. Those that say nothing are in wave 0.
    pub fn wave(self, wave: u32) -> Self {
        self.task.wave = wave;
        self
    }

    /// It starts when all other tasks have ended, and runs only if none of them failed. Replaces [`always`](Self::always).
    pub fn no_failures(self) -> Self {
        self.task.condition = Condition::NoFailures;
        self
    }

    /// It runs when all that it comes after has ended, however it ended: for cleaning up. Replaces
    /// [`no_failures`](Self::no_failures).
    pub fn always(self) -> Self {
        self.task.condition = Condition::Always;
        self
    }

    /// Of the tasks that are ready the one with the greatest goes first; 0 is usual.
    pub fn priority(self, priority: i32) -> Self {
        self.task.priority = priority;
        self
    }

    /// Nothing else runs at the same time.
    pub fn exclusive(self) -> Self {
        self.task.exclusive = true;
        self
    }

    /// How often it is tried again after a failure.
    pub fn retries(self, retries: u32) -> Self {
        self.task.retries = retries;
        self
    }

    /// How long to wait before the first retry; twice as long before each further one.
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.task.retry_delay = delay;
        self
    }

    /// It is tried again after a timeout, too.
    pub fn retry_timeouts(self) -> Self {
        self.task.retry_timeouts = true;
        self
    }

    /// How long an attempt may take: then [`Context::cancelled`] becomes true, and a grace later the task is given up.
    /// Counts in milliseconds; less than one is one.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.task.timeout = Some(timeout);
        self
    }

    /// It runs in a process of its own, where nothing is but what the library does while it is loaded: what setup or other
    /// tasks left in memory is not there, state and results are.
    pub fn isolate(self) -> Self {
        self.task.isolate = true;
        self
    }

    /// A path in one of the lists.
    #[doc(hidden)]
    pub fn __function(self, list: List, function: TypeId, written: &'static str) -> Self {
        let list = match list {
            List::After => &mut self.task.after,
            List::Before => &mut self.task.before,
            List::Then => &mut self.task.then,
        };
        list.push(Reference::Function(function, written));
        self
    }

    /// Choices that are found when the library is loaded.
    #[doc(hidden)]
    pub fn __choose(self, parameter: &str, choose: fn() -> Vec<String>) -> Self {
        let mut this = self;
        this.parameter(parameter).choices = Choices::Found(Box::new(move || Ok(choose())));
        this
    }

    /// The type of a parameter.
    #[doc(hidden)]
    pub fn __typed(
        self,
        parameter: &str,
        check: fn(&str) -> Result<(), String>,
        type_name: impl Into<String>,
    ) -> Self {
        let mut this = self;
        let parameter = this.parameter(parameter);
        (parameter.check, parameter.type_name) = (Some(check), type_name.into());
        this
    }

    fn parameter(&mut self, name: &str) -> &mut Parameter {
        let parameters = &mut self.task.parameters;
        let known = parameters.iter().position(|p| p.name == name);
        let index = known.unwrap_or_else(|| {
            parameters.push(Parameter {
                name: name.to_owned(),
                choices: Choices::Any,
                check: None,
                type_name: String::new(),
            });
            parameters.len() - 1
        });
        &mut parameters[index]
    }
}

#[allow(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the task has been added, whatever becomes of this"
)]
impl NewTask<'_, Process> {
    /// Where it runs, relative to where tdrun was started.
    pub fn cwd(self, directory: impl Into<String>) -> Self {
        self.with(|command| command.cwd = directory.into())
    }

    /// Sets a variable of its environment, which else is that of tdrun.
    pub fn env(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let variable = format!("{}={}", name.as_ref(), value.as_ref());
        self.with(|command| command.env.push(variable))
    }

    /// An exit status other than 0 is no failure: look at the result.
    pub fn unchecked(self) -> Self {
        self.with(|command| command.unchecked = true)
    }

    fn with(self, change: impl FnOnce(&mut Command)) -> Self {
        if let Action::Run(command) = &mut self.task.action {
            change(command);
        }
        self
    }
}

fn extend(list: &mut Vec<Reference>, names: impl IntoIterator<Item = impl Into<String>>) {
    let names = names.into_iter().map(|name| Reference::Name(name.into()));
    list.extend(names);
}

/// The values that a function of choices returns.
pub fn choices(values: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.declared.iter().map(|task| &task.name);
        f.debug_list().entries(names).finish()
    }
}

impl<Kind> std::fmt::Debug for NewTask<'_, Kind> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NewTask").field(&self.task.name).finish()
    }
}
