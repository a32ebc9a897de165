//! A task while it is described, and what becomes of it when the run is prepared.
//!
//! Knows the rules for one task; not which names others have.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::command::{self, Command};
use crate::error::{Error, Result};
use crate::task::{
    Action, Arguments, Condition, Declared, LibraryId, Lock, Malformed, Options, Parameter,
    Pattern, Place, Task, Template, name,
};

/// Tasks that one template may make.
const MADE_MAX: usize = 1_000_000;

/// What a task runs.
pub(super) enum Body {
    Closure(Action),
    Command(Command),
}

/// All that is known of a task so far.
pub(super) struct Draft {
    pub(super) name: Box<str>,
    pub(super) place: Place,
    body: Body,
    after: Vec<Box<str>>,
    tags: Vec<Box<str>>,
    doc: Box<str>,
    locks: Vec<Lock>,
    options: Options,
    choices: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// Describes a task further; the task is registered already.
///
/// Lists take anything that can be walked: `["a", "b"]`, a `Vec<String>`. Names in them may be declared later, may have `[x]`
/// for a parameter of this task, and may be globs: `build::*`.
///
/// `K` tells closures from commands.
pub struct TaskBuilder<'a, K = Closure> {
    draft: &'a mut Draft,
    kind: PhantomData<K>,
}

/// A task that is a closure.
#[derive(Clone, Copy, Debug)]
pub enum Closure {}

/// A task that is an external program.
#[derive(Clone, Copy, Debug)]
pub enum External {}

#[expect(
    clippy::return_self_not_must_use,
    reason = "the task is registered, whether or not the chain goes on"
)]
impl<'a, K> TaskBuilder<'a, K> {
    pub(super) fn new(draft: &'a mut Draft) -> Self {
        let kind = PhantomData;
        Self { draft, kind }
    }

    /// It starts when these have passed. A name that is given twice counts once.
    pub fn after<S: Into<Box<str>>>(self, tasks: impl IntoIterator<Item = S>) -> Self {
        self.draft.after.extend(boxed(tasks));
        self
    }

    /// Labels, to select it by.
    pub fn tags<S: Into<Box<str>>>(self, tags: impl IntoIterator<Item = S>) -> Self {
        self.draft.tags.extend(boxed(tags));
        self
    }

    /// It comes before these: who selects one of them gets this task, too. A `[x]` that is no parameter of this task matches any
    /// text.
    pub fn before<S: Into<Box<str>>>(self, tasks: impl IntoIterator<Item = S>) -> Self {
        let before = boxed(tasks);
        let options = &mut self.draft.options;
        options.before = options.before.iter().cloned().chain(before).collect();
        self
    }

    /// These come after it, and are selected where it is.
    pub fn then<S: Into<Box<str>>>(self, tasks: impl IntoIterator<Item = S>) -> Self {
        let then = boxed(tasks);
        let options = &mut self.draft.options;
        options.then = options.then.iter().cloned().chain(then).collect();
        self
    }

    /// It starts when all tasks of lower waves have ended; 0 where nothing is said.
    pub fn wave(self, wave: u32) -> Self {
        self.draft.options.wave = wave;
        self
    }

    /// Locks that it holds while it runs, taken all or none; `db:r` is shared with others who take it so.
    pub fn locks<S: Into<Box<str>>>(self, locks: impl IntoIterator<Item = S>) -> Self {
        let locks = boxed(locks).map(|lock| Lock::parse(&lock));
        self.draft.locks.extend(locks);
        self
    }

    /// It starts when all tasks have ended that do not say this, and runs only if none of them failed.
    pub fn no_failures(self) -> Self {
        self.draft.options.condition = Condition::NoFailures;
        self
    }

    /// It runs when what it comes after has ended, however that ended: it cleans up.
    pub fn always(self) -> Self {
        self.draft.options.condition = Condition::Always;
        self
    }

    /// Among ready tasks the greater goes first; 0 where nothing is said.
    pub fn priority(self, priority: i32) -> Self {
        self.draft.options.priority = priority;
        self
    }

    /// Nothing else runs at the same time.
    pub fn exclusive(self) -> Self {
        self.draft.options.exclusive = true;
        self
    }

    /// How often it is tried again where it does not pass.
    pub fn retries(self, retries: u32) -> Self {
        self.draft.options.retries = retries;
        self
    }

    /// How long to wait before the first retry; twice as long before each further one.
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.draft.options.retry_delay = delay;
        self
    }

    /// It is tried again after a timeout, too.
    pub fn retry_timeouts(self) -> Self {
        self.draft.options.retry_timeouts = true;
        self
    }

    /// After so long it is asked to stop, see [`TaskContext::cancelled`](super::TaskContext::cancelled); what does not end within
    /// the grace is not waited for any more.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.draft.options.timeout = Some(timeout);
        self
    }

    /// What it does, in words.
    pub fn doc(self, doc: impl Into<Box<str>>) -> Self {
        self.draft.doc = doc.into();
        self
    }

    /// The values that a parameter of its name may have: of `build::[env]` with `dev` and `prod`, two tasks are made. Of several
    /// parameters, all combinations. A parameter without choices makes a task when somebody names it.
    pub fn choices<S: Into<Box<str>>>(
        self,
        parameter: impl Into<Box<str>>,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        let values = boxed(values).collect();
        self.draft.choices.push((parameter.into(), values));
        self
    }
}

#[expect(clippy::return_self_not_must_use, reason = "as above")]
impl TaskBuilder<'_, External> {
    /// Where it runs; else where this program does.
    pub fn cwd(self, folder: impl Into<Box<str>>) -> Self {
        self.with(|command| command.cwd = Some(folder.into()))
    }

    /// Adds a variable to its environment.
    pub fn env(self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.with(|command| command.env.push((name.into(), Some(value.into()))))
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(self, name: impl Into<Box<str>>) -> Self {
        self.with(|command| command.env.push((name.into(), None)))
    }

    /// Whether an exit status other than 0 is a failure; it is, where nothing is said.
    pub fn check(self, check: bool) -> Self {
        self.with(|command| command.check = check)
    }

    fn with(self, change: impl FnOnce(&mut Command)) -> Self {
        if let Body::Command(command) = &mut self.draft.body {
            change(command);
        }
        self
    }
}

impl<K> fmt::Debug for TaskBuilder<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.draft.name)
            .finish_non_exhaustive()
    }
}

fn boxed<S: Into<Box<str>>>(texts: impl IntoIterator<Item = S>) -> impl Iterator<Item = Box<str>> {
    texts.into_iter().map(Into::into)
}

impl Draft {
    pub(super) fn new(name: Box<str>, place: Place, body: Body) -> Self {
        Self {
            name,
            place,
            body,
            after: Vec::new(),
            tags: Vec::new(),
            doc: "".into(),
            locks: Vec::new(),
            options: Options::default(),
            choices: Vec::new(),
        }
    }

    /// The task, or the template where its name has parameters.
    ///
    /// Errors: `task.name`, `template.name`, `template.choices`, `usage.timeout`.
    pub(super) fn declare(mut self) -> Result<Declared> {
        self.check_names()?;
        if self.options.timeout == Some(Duration::ZERO) {
            let message = format!("the timeout of `{}` is 0", self.name);
            return Err(Error::new("usage.timeout", message));
        }
        let pattern = Pattern::parse(&self.name).map_err(|why| self.malformed(why))?;
        let parameters = self.parameters(&pattern)?;
        let choices = parameters.iter().filter_map(|p| p.choices.as_ref());
        let made = choices.fold(1_usize, |made, choices| made.saturating_mul(choices.len()));
        if made > MADE_MAX {
            let message = format!(
                "the choices of `{}` make more than {MADE_MAX} tasks",
                self.name
            );
            return Err(Error::new("template.choices", message));
        }
        let task = self.task();
        Ok(if parameters.is_empty() {
            task.into()
        } else {
            Template::new(task, pattern, parameters).into()
        })
    }

    fn check_names(&self) -> Result<()> {
        let wrong = |what: String| {
            let message = format!("{what} ({})", self.place);
            Err(Error::new("task.name", message))
        };
        if let Some(rule) = name::broken_task_rule(&self.name) {
            return wrong(format!("the name `{}` of a task {rule}", self.name));
        }
        for tag in &self.tags {
            if let Some(rule) = name::broken_rule(tag) {
                return wrong(format!("the tag `{tag}` of `{}` {rule}", self.name));
            }
        }
        let options = &self.options;
        let mut others = self
            .after
            .iter()
            .chain(&options.before)
            .chain(&options.then);
        if others.any(|other| other.is_empty()) {
            return wrong(format!("`{}` names a task without a name", self.name));
        }
        if self.locks.iter().any(|lock| lock.name.is_empty()) {
            return wrong(format!("`{}` names a lock without a name", self.name));
        }
        Ok(())
    }

    fn malformed(&self, why: Malformed) -> Error {
        let (name, why) = (&self.name, why.as_str());
        Error::new("template.name", format!("`{name}` {why} ({})", self.place))
    }

    fn parameters(&mut self, pattern: &Pattern) -> Result<Box<[Parameter]>> {
        let mut parameters: Vec<_> = pattern.parameters().map(Parameter::text).collect();
        for (name, values) in std::mem::take(&mut self.choices) {
            let wrong = |what: &str| {
                let message = format!("the choices of `{name}` in `{}` {what}", self.name);
                Error::new("template.choices", message)
            };
            let found = parameters.iter_mut().find(|other| other.name == name);
            let parameter = found.ok_or_else(|| wrong("are for no parameter of the name"))?;
            if parameter.choices.is_some() {
                return Err(wrong("are given twice"));
            }
            if values.is_empty() {
                return Err(wrong("are none"));
            }
            let mut seen = HashSet::with_capacity(values.len());
            for value in &values {
                if let Some(rule) = name::broken_value_rule(value) {
                    return Err(wrong(&format!("have `{value}`, which {rule}")));
                }
                if !seen.insert(value) {
                    return Err(wrong(&format!("have `{value}` twice")));
                }
            }
            parameter.choices = Some(values.into());
        }
        Ok(parameters.into())
    }

    fn task(mut self) -> Task {
        // Exclusive before shared: a lock that is wanted both ways is not shared.
        self.locks.sort();
        self.locks
            .dedup_by(|second, first| second.name == first.name);
        self.options.locks = self.locks.into();
        let declares = self.options != Options::default();
        Task {
            name: self.name,
            library: LibraryId(0),
            after: self.after.into(),
            tags: self.tags.into(),
            doc: self.doc,
            place: Some(self.place),
            action: match self.body {
                Body::Closure(action) => action,
                Body::Command(command) => command::action(command),
            },
            options: declares.then(|| self.options.into()),
            arguments: Arguments::default(),
            is_program: false,
        }
    }
}
