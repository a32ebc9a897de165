//! What users and running tasks name: looks it up, and makes it of templates where need be.

use std::borrow::Cow;

use super::super::naming::{By, Missing, Naming};
use super::super::word::{Wild, is_glob};
use super::Links;
use super::resolve::no_parameter;
use crate::error::Result;
use crate::glob::Glob;
use crate::task::{Arguments, Catalog, LibraryId, TaskId};

impl Links {
    /// The tasks of a library that a selector names, by a name or a glob over names and over the choices of its templates.
    /// None where there are none.
    ///
    /// Errors: `select.syntax`; `select.choice`, `select.value` and `select.param` for what does not fit a template,
    /// `select.ambiguous` for what fits two; and those of [`Links::resolve`] for what is made.
    pub fn select(
        &mut self,
        catalog: &Catalog,
        library: LibraryId,
        word: &str,
    ) -> Result<Vec<TaskId>> {
        let naming = Naming {
            catalog,
            by: By::Selector,
            library,
            word,
        };
        let scopes = self.names.scopes(catalog, library, word);
        let scopes: Vec<_> = scopes.filter(|(other, _)| *other == library).collect();
        self.attempt(catalog, |links| {
            if !Glob::is_glob(word) {
                for &(library, name) in &scopes {
                    let found = links.names.look_into(catalog, library, name);
                    if let Some(task) = links.take(catalog, found, &naming)? {
                        return Ok(vec![task]);
                    }
                }
                return Ok(Vec::new());
            }
            links.glob(&naming, &scopes, |text| {
                Wild::new(text).map_err(|malformed| malformed.error("select.syntax"))
            })
        })
    }

    /// The task that a `--result-NAME` names in a library: one that is there, or that a template makes.
    ///
    /// Errors: `usage.result` where it does not fit a template, or fits two; and those of [`Links::resolve`].
    pub fn given(
        &mut self,
        catalog: &Catalog,
        library: LibraryId,
        name: &str,
    ) -> Result<Option<TaskId>> {
        let naming = Naming {
            catalog,
            by: By::Given,
            library,
            word: name,
        };
        self.attempt(catalog, |links| {
            let found = links.names.look_into(catalog, library, name);
            links.take(catalog, found, &naming)
        })
    }

    /// What the word of a running task stands for, in its library or as `library::…`: a task, one that a template makes, or
    /// all that match a glob, over choices too. `[x]` stands for the argument of that name in `from`. At least one task, in
    /// declaration order.
    ///
    /// Errors: `graph.unknown` where there is no such task; others where the word does not fit, as in [`Links::resolve`].
    pub fn ask(
        &mut self,
        catalog: &Catalog,
        library: LibraryId,
        from: &Arguments,
        word: &str,
    ) -> Result<Vec<TaskId>> {
        let word = &from.fill(word);
        if let Some(task) = self.find(catalog, library, word) {
            return Ok(vec![task]);
        }
        let naming = Naming {
            catalog,
            by: By::Asked,
            library,
            word,
        };
        no_parameter(&naming, &[])?;
        self.attempt(catalog, |links| {
            let tasks = if is_glob(word) {
                let scopes: Vec<_> = links.names.scopes(catalog, library, word).collect();
                links.glob(&naming, &scopes, |text| {
                    Wild::new(text).map_err(|malformed| malformed.error("graph.syntax"))
                })?
            } else {
                let found = links.names.look_up(catalog, library, word);
                links.take(catalog, found, &naming)?.into_iter().collect()
            };
            if tasks.is_empty() {
                return Err(naming.unknown(Missing::Match));
            }
            Ok(tasks)
        })
    }

    /// Does something that may make tasks, and resolves their names; or leaves everything as it was, but for tasks in the
    /// catalog that nothing leads to.
    fn attempt<T>(
        &mut self,
        catalog: &Catalog,
        act: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let (tasks, rules) = (catalog.len(), self.rules.len());
        let done = act(self).and_then(|done| {
            self.settle(catalog, tasks)?;
            Ok(done)
        });
        if done.is_err() {
            self.forget(catalog, TaskId::new(tasks), rules);
        }
        done
    }

    /// Forgets the tasks from `first` on, and the rules from `rules` on.
    fn forget(&mut self, catalog: &Catalog, first: TaskId, rules: usize) {
        self.open.clear();
        self.rules.truncate(rules, first);
        for id in (first.index()..catalog.len()).map(TaskId::new) {
            self.names.remove(catalog.task(id));
        }
        self.settled = catalog.len();
        let edges = [
            &mut self.after,
            &mut self.befores,
            &mut self.thens,
            &mut self.leaders,
        ];
        for edges in edges {
            edges.retain(|task, row| {
                row.retain(|id| *id < first);
                *task < first && !row.is_empty()
            });
        }
    }

    /// All tasks that a glob stands for in some libraries, those of choices made where need be.
    fn glob(
        &mut self,
        naming: &Naming<'_>,
        scopes: &[(LibraryId, &str)],
        parse: impl Fn(&str) -> Result<Wild>,
    ) -> Result<Vec<TaskId>> {
        let catalog = naming.catalog;
        let (mut matched, mut problem) = (Vec::new(), None);
        for (library, text) in scopes {
            let wild = parse(text)?;
            let not_made = self.make_choices(naming, *library, &wild)?;
            problem = problem.or(not_made);
            matched.extend(catalog.ids().filter(|id| {
                catalog.task(*id).library() == *library
                    && matches(&wild, catalog, *id)
                    && self.names.has(catalog, *id)
            }));
        }
        match problem {
            Some(problem) if matched.is_empty() => Err(problem),
            _ => {
                matched.sort_unstable();
                matched.dedup();
                Ok(matched)
            }
        }
    }
}

/// A glob matches the name, or the one that is shown.
fn matches(wild: &Wild, catalog: &Catalog, id: TaskId) -> bool {
    let shown = || catalog.name(id);
    wild.is_match(catalog.task(id).name())
        || matches!(shown(), Cow::Owned(shown) if wild.is_match(&shown))
}
