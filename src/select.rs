//! Selectors and tags → the set of tasks to run.
//!
//! Values in, values out. Knows nothing of what is done with the selection.

use crate::error::{Error, Result};
use crate::glob::Glob;
use crate::graph::Links;
use crate::task::{Catalog, LibraryId, TaskId};

/// What the user asked for.
#[derive(Default)]
pub struct Request {
    /// Libraries, each with a name or glob over names; none means all of its tasks.
    pub targets: Vec<(LibraryId, Option<String>)>,
    /// Only tasks that carry all of these.
    pub tags: Vec<String>,
    /// Not the tasks that match one of these names or globs.
    pub exclude: Vec<String>,
    /// Also all that the selected tasks come after, directly or not, unless it is excluded.
    pub with_deps: bool,
}

/// The selected tasks, in declaration order.
///
/// Errors: `select.syntax` for a malformed glob; `select.empty` for a selector or an `exclude` that matches nothing, for
/// tags that no task carries together, and where there are no tasks or none is left.
pub fn select(catalog: &Catalog, links: &Links, request: &Request) -> Result<Vec<TaskId>> {
    if catalog.is_empty() {
        let paths: Vec<_> = catalog
            .libraries
            .iter()
            .map(|l| format!("`{}`", l.path))
            .collect();
        let message = format!("no tasks in {}", paths.join(", "));
        return Err(Error::new("select.empty", message));
    }
    let tagged = tagged(catalog, request)?;
    let mut chosen = vec![false; catalog.len()];
    for (library, selector) in &request.targets {
        let target = (*library, selector.as_deref());
        choose(catalog, links, &tagged, target, &mut chosen)?;
    }
    let excluded = excluded(catalog, &request.exclude)?;
    exclude(&mut chosen, &excluded);
    if request.with_deps {
        add_dependencies(links, &mut chosen);
        exclude(&mut chosen, &excluded);
    }
    let selection: Vec<_> = catalog.ids().filter(|id| chosen[id.index()]).collect();
    if selection.is_empty() {
        return Err(Error::new(
            "select.empty",
            "`--exclude` leaves no task to run",
        ));
    }
    Ok(selection)
}

/// Which tasks carry all of the tags.
fn tagged(catalog: &Catalog, request: &Request) -> Result<Vec<bool>> {
    let carries = |id: TaskId, tag: &String| catalog.task(id).tags.iter().any(|t| **t == **tag);
    let all = |id: &TaskId| request.tags.iter().all(|tag| carries(*id, tag));
    let tagged: Vec<bool> = catalog.ids().map(|id| all(&id)).collect();
    if tagged.contains(&true) {
        return Ok(tagged);
    }
    let unknown = request
        .tags
        .iter()
        .find(|tag| !catalog.ids().any(|id| carries(id, tag)));
    let known = tags_of(catalog, &catalog.ids().collect::<Vec<_>>());
    let Some(unknown) = unknown else {
        let tags: Vec<_> = request.tags.iter().map(|tag| format!("`{tag}`")).collect();
        let message = format!("no task carries all of the tags {}", tags.join(", "));
        return Err(Error::new("select.empty", message).list(&known, "the tags are"));
    };
    let error = Error::new(
        "select.empty",
        format!("no task carries the tag `{unknown}`"),
    );
    Err(error.suggest_or_list(unknown, &known, "the tags are"))
}

/// The tags that some of the tasks carry.
fn tags_of<'a>(catalog: &'a Catalog, tasks: &[TaskId]) -> Vec<&'a str> {
    let mut tags: Vec<_> = tasks
        .iter()
        .flat_map(|id| &catalog.task(*id).tags)
        .map(|tag| &**tag)
        .collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Marks what one target names.
fn choose(
    catalog: &Catalog,
    links: &Links,
    tagged: &[bool],
    (library, selector): (LibraryId, Option<&str>),
    chosen: &mut [bool],
) -> Result<()> {
    let named = named(catalog, links, library, selector)?;
    let mut some_tagged = false;
    for id in &named {
        some_tagged |= tagged[id.index()];
        chosen[id.index()] |= tagged[id.index()];
    }
    match selector {
        Some(selector) if named.is_empty() => Err(no_match(catalog, library, selector)),
        Some(selector) if !some_tagged => {
            let message = format!("`{selector}` is there, but does not carry the tags asked for");
            let error = Error::new("select.empty", message);
            Err(error.list(&tags_of(catalog, &named), "it carries"))
        }
        _ => Ok(()),
    }
}

/// The tasks of a library that a selector names; all of them where there is none. A plain name is looked up, so that a
/// thousand targets do not cost a thousand walks.
fn named(
    catalog: &Catalog,
    links: &Links,
    library: LibraryId,
    selector: Option<&str>,
) -> Result<Vec<TaskId>> {
    let is_own = |id: &TaskId| catalog.task(*id).library == library;
    let own = catalog.ids().filter(is_own);
    let pattern = selector.map(Pattern::new).transpose()?;
    Ok(match pattern {
        None => own.collect(),
        Some(Pattern { word, glob: None }) => {
            let found = links.find(catalog, library, &word);
            found.filter(is_own).into_iter().collect()
        }
        Some(pattern) => own.filter(|id| pattern.matches(catalog, *id)).collect(),
    })
}

fn no_match(catalog: &Catalog, library: LibraryId, selector: &str) -> Error {
    let path = &catalog.libraries[library.index()].path;
    let error = Error::new(
        "select.empty",
        format!("no task of `{path}` matches `{selector}`"),
    );
    let own = catalog.tasks().filter(|task| task.library == library);
    let names: Vec<_> = own.map(|task| &*task.name).collect();
    error.suggest_or_list(selector, &names, "its tasks are")
}

/// Which tasks match one of the patterns, in any library.
fn excluded(catalog: &Catalog, patterns: &[String]) -> Result<Vec<bool>> {
    let mut excluded = vec![false; catalog.len()];
    for word in patterns {
        let pattern = Pattern::new(word)?;
        let mut matched = false;
        for id in catalog.ids().filter(|id| pattern.matches(catalog, *id)) {
            excluded[id.index()] = true;
            matched = true;
        }
        if !matched {
            let message = format!("`--exclude={word}` matches no task");
            let names: Vec<_> = catalog.tasks().map(|task| &*task.name).collect();
            let error = Error::new("select.empty", message);
            return Err(error.suggest_or_list(word, &names, "the tasks are"));
        }
    }
    Ok(excluded)
}

fn exclude(chosen: &mut [bool], excluded: &[bool]) {
    for (chosen, excluded) in chosen.iter_mut().zip(excluded) {
        *chosen &= !excluded;
    }
}

fn add_dependencies(links: &Links, chosen: &mut [bool]) {
    let mut new: Vec<TaskId> = (0..chosen.len())
        .filter(|&i| chosen[i])
        .map(TaskId::new)
        .collect();
    while let Some(task) = new.pop() {
        for &dependency in links.dependencies(task) {
            if !chosen[dependency.index()] {
                chosen[dependency.index()] = true;
                new.push(dependency);
            }
        }
    }
}

/// A name, or a glob over names.
struct Pattern {
    word: String,
    glob: Option<Glob>,
}

impl Pattern {
    fn new(word: &str) -> Result<Self> {
        let glob = Glob::is_glob(word).then(|| Glob::new(word));
        let glob = glob.transpose();
        Ok(Self {
            word: word.to_owned(),
            glob: glob.map_err(|malformed| malformed.error("select.syntax"))?,
        })
    }

    /// The name in the library, or the one shown, `library::task`.
    fn matches(&self, catalog: &Catalog, id: TaskId) -> bool {
        let name = &*catalog.task(id).name;
        let shown = catalog.name(id);
        match &self.glob {
            Some(glob) => glob.is_match(name) || (shown != name && glob.is_match(&shown)),
            None => self.word == name || self.word == shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::sketch;

    /// Tasks a ← b ← c ← d, and other; b and c tagged io, c also slow.
    fn catalog() -> Catalog {
        let mut catalog = sketch::catalog("a b<a c<b d<c other");
        catalog.task_mut(TaskId::new(1)).tags = ["io".into()].into();
        catalog.task_mut(TaskId::new(2)).tags = ["io".into(), "slow".into()].into();
        catalog
    }

    fn request(selectors: &[&str], tags: &[&str], exclude: &[&str], with_deps: bool) -> Request {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let library = LibraryId(0);
        let mut targets: Vec<_> = selectors
            .iter()
            .map(|s| (library, Some((*s).to_owned())))
            .collect();
        if targets.is_empty() {
            targets.push((library, None));
        }
        Request {
            targets,
            tags: owned(tags),
            exclude: owned(exclude),
            with_deps,
        }
    }

    fn selected(request: &Request) -> Result<String> {
        let catalog = catalog();
        let links = Links::resolve(&catalog).unwrap();
        let tasks = select(&catalog, &links, request)?;
        let names: Vec<_> = tasks.iter().map(|&task| catalog.name(task)).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn selectors_tags_and_exclusions_compose() {
        for (selectors, tags, exclude, with_deps, expected) in [
            (
                &[] as &[_],
                &[] as &[_],
                &[] as &[_],
                false,
                "a b c d other",
            ),
            (&["c"], &[], &[], false, "c"),
            (&["d", "a"], &[], &[], false, "a d"),
            (&["[ab]"], &[], &[], false, "a b"),
            (&["*"], &["io"], &[], false, "b c"),
            (&[], &["io", "slow"], &[], false, "c"),
            (&["c"], &[], &[], true, "a b c"),
            (&[], &["slow"], &[], true, "a b c"),
            (&["c"], &[], &["a"], true, "b c"),
            (&[], &[], &["o*", "a"], false, "b c d"),
        ] {
            let request = request(selectors, tags, exclude, with_deps);
            assert_eq!(
                selected(&request).as_deref(),
                Ok(expected),
                "{selectors:?} {tags:?}"
            );
        }
    }

    #[test]
    fn what_matches_nothing_is_an_error_even_where_others_match() {
        for (selectors, tags, exclude, expected) in [
            (
                &["a", "othr"] as &[_],
                &[] as &[_],
                &[] as &[_],
                "error[select.empty]: no task of `libx.so` matches `othr`\n  did you mean `other`?",
            ),
            (
                &["deploy*"],
                &[],
                &[],
                "error[select.empty]: no task of `libx.so` matches `deploy*`\n  its tasks are `a`, `b`, `c`, `d`, `other`",
            ),
            (
                &["a"],
                &["io"],
                &[],
                "error[select.empty]: `a` is there, but does not carry the tags asked for",
            ),
            (
                &[],
                &["slwo"],
                &[],
                "error[select.empty]: no task carries the tag `slwo`\n  did you mean `slow`?",
            ),
            (
                &[],
                &["network"],
                &[],
                "error[select.empty]: no task carries the tag `network`\n  the tags are `io`, `slow`",
            ),
            (
                &["a"],
                &[],
                &["a"],
                "error[select.empty]: `--exclude` leaves no task to run",
            ),
            (
                &[],
                &[],
                &["othre"],
                "error[select.empty]: `--exclude=othre` matches no task\n  did you mean `other`?",
            ),
        ] {
            let error = selected(&request(selectors, tags, exclude, false)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_name_selects_in_its_own_library_only() {
        let mut catalog = sketch::catalog("a b");
        catalog.add(sketch::library("y"), [sketch::task(1, "a", &[])]);
        let links = Links::resolve(&catalog).unwrap();
        for (selector, expected) in [
            ("a", Some("y::a")),
            ("y::a", Some("y::a")),
            ("y::*", Some("y::a")),
            ("x::a", None),
            ("b", None),
        ] {
            let request = Request {
                targets: vec![(LibraryId(1), Some(selector.to_owned()))],
                ..Request::default()
            };
            let tasks = select(&catalog, &links, &request).ok();
            let name = tasks.map(|tasks| catalog.name(tasks[0]).into_owned());
            assert_eq!(name.as_deref(), expected, "{selector}");
        }
    }

    #[test]
    fn a_malformed_glob_is_a_usage_error_that_points_at_its_place() {
        for (glob, expected) in [
            ("a[b", "`a[b`: a `[` without its `]`\n  a[b\n   ^"),
            (
                "[a]x[b",
                "`[a]x[b`: a `[` without its `]`\n  [a]x[b\n      ^",
            ),
            ("[]", "`[]`: a `[` without its `]`\n  []\n  ^"),
            ("{a,{b}", "`{a,{b}`: a `{` without its `}`\n  {a,{b}\n  ^"),
            (
                "größe{a}}",
                "`größe{a}}`: a `}` without its `{`\n  größe{a}}\n          ^",
            ),
            ("a\\", "`a\\`: a `\\` with nothing behind it\n  a\\\n   ^"),
            (
                "x[z-a]",
                "`x[z-a]`: a range that runs backwards\n  x[z-a]\n    ^",
            ),
            (
                "\x1b[",
                "`\\u{1b}[`: a `[` without its `]`\n  \\u{1b}[\n        ^",
            ),
        ] {
            let error = selected(&request(&[glob], &[], &[], false)).unwrap_err();
            let expected = format!("error[select.syntax]: malformed glob {expected}");
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.exit().code(), 2);
        }
    }
}
