//! Templates: one declaration, many tasks.
//!
//! Knows how a task is made of a template, not which ones are wanted.

use std::sync::Arc;

use super::{Arguments, Lock, Options, Pattern, Task};

/// A task with parameters in its name.
pub struct Template {
    /// What its tasks have in common; `[x]` in names still stands for the parameter.
    pub task: Task,
    /// In the order in which they stand in the name.
    pub parameters: Box<[Parameter]>,
    pattern: Pattern,
}

/// A parameter of a template.
pub struct Parameter {
    /// As it stands in the brackets.
    pub name: Box<str>,
    /// The values it may have; none: any that `check` lets pass.
    pub choices: Option<Box<[Box<str>]>>,
    /// What its values have to be, in words: `u16`. Empty: any text.
    pub wants: Box<str>,
    /// Tells why a text is no value.
    pub check: Option<Check>,
}

/// Checks the value of a parameter; the error says what is wrong with it.
pub type Check = Arc<dyn Fn(&str) -> Result<(), Box<str>> + Send + Sync>;

/// Why a template makes no task of some arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The value is not among the choices of that parameter.
    NoChoice {
        /// Its index.
        parameter: usize,
        /// The text.
        value: Box<str>,
    },
    /// The value does not pass the check of that parameter, which says why.
    Unfit {
        /// Its index.
        parameter: usize,
        /// The text.
        value: Box<str>,
        /// In the words of the check.
        why: Box<str>,
    },
}

impl Parameter {
    /// One that takes any text.
    pub fn text(name: &str) -> Self {
        Self {
            name: name.into(),
            choices: None,
            wants: "".into(),
            check: None,
        }
    }
}

impl Template {
    /// `parameters` are those of the pattern, in its order. A choice must pass its check, and be neither empty nor have a
    /// `::`.
    pub fn new(task: Task, pattern: Pattern, parameters: Box<[Parameter]>) -> Self {
        debug_assert!(pattern.parameters().eq(parameters.iter().map(|p| &*p.name)));
        Self {
            task,
            parameters,
            pattern,
        }
    }

    /// The shape of its names.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Some parameter has no choices: its tasks are there when they are named.
    pub fn is_open(&self) -> bool {
        self.parameters.iter().any(|p| p.choices.is_none())
    }

    /// The arguments of all tasks that its choices can make, the last parameter changing fastest; none where a parameter has
    /// no choices.
    pub fn expand(&self) -> Option<Vec<Arguments>> {
        let mut rows: Vec<Vec<(Box<str>, Box<str>)>> = vec![Vec::new()];
        for parameter in &self.parameters {
            let choices = parameter.choices.as_ref()?;
            let longer = rows.iter().flat_map(|row| {
                choices.iter().map(move |choice| {
                    let mut row = row.clone();
                    row.push((parameter.name.clone(), choice.clone()));
                    row
                })
            });
            rows = longer.collect();
        }
        Some(rows.into_iter().map(Arguments::new).collect())
    }

    /// The task for these arguments, which are those of [`Pattern::matches`] or of [`Template::expand`].
    pub fn instance(&self, arguments: Arguments) -> Result<Task, Misfit> {
        for (index, (_, value)) in arguments.iter().enumerate() {
            self.check(index, value)?;
        }
        let fill = |names: &[Box<str>]| -> Box<[Box<str>]> {
            let filled = names.iter().map(|name| arguments.fill(name).into());
            filled.collect()
        };
        let task = &self.task;
        Ok(Task {
            name: arguments.fill(&task.name).into(),
            library: task.library,
            after: fill(&task.after),
            tags: fill(&task.tags),
            doc: task.doc.clone(),
            place: task.place.clone(),
            action: Arc::clone(&task.action),
            options: task.options.as_ref().map(|options| {
                let mut options = Options::clone(options);
                options.before = fill(&options.before);
                options.then = fill(&options.then);
                let locks = options.locks.into_iter().map(|lock| Lock {
                    name: arguments.fill(&lock.name).into(),
                    ..lock
                });
                options.locks = Lock::set(locks.collect());
                Arc::new(options)
            }),
            arguments,
            is_program: task.is_program,
        })
    }

    fn check(&self, parameter: usize, value: &str) -> Result<(), Misfit> {
        let definition = &self.parameters[parameter];
        if let Some(choices) = &definition.choices {
            return if choices.iter().any(|choice| **choice == *value) {
                Ok(())
            } else {
                let value = value.into();
                Err(Misfit::NoChoice { parameter, value })
            };
        }
        let check = definition.check.as_ref();
        check.map_or(Ok(()), |check| check(value)).map_err(|why| {
            let value = value.into();
            Misfit::Unfit {
                parameter,
                value,
                why,
            }
        })
    }
}
