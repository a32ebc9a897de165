//! Selectors and tags → the set of tasks to run.
//!
//! Knows nothing of what is done with the selection. Makes the tasks that it names.

use crate::error::{Error, Result};
use crate::glob::Glob;
use crate::graph::{Links, meant, names_of};
use crate::task::{Catalog, LibraryId, TaskId, TaskRef};

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

/// The selected tasks, in declaration order: those that the targets name and that carry the tags, all that says that it comes
/// before one of them, and all that they take along; with `with_deps` also what they come after. Makes the tasks of
/// templates that are named.
///
/// Errors: `select.syntax` for a malformed glob; `select.choice`, `select.value`, `select.param` and `select.ambiguous` where
/// a selector does not fit a template; `select.empty` for a selector or an `exclude` that matches nothing, for tags that no
/// task carries together, and where there are no tasks or none is left.
pub fn select(catalog: &Catalog, links: &mut Links, request: &Request) -> Result<Vec<TaskId>> {
    // All tasks are made before the first glob counts, so that the order of the targets does not matter. What is wrong is
    // told below.
    for (library, selector) in &request.targets {
        if let Some(selector) = selector {
            drop(links.select(catalog, *library, selector));
        }
    }
    if catalog.is_empty() {
        return Err(no_tasks(catalog, links, request));
    }
    let tagged = tagged(catalog, request)?;
    let mut chosen = vec![false; catalog.len()];
    for (library, selector) in &request.targets {
        let target = (*library, selector.as_deref());
        choose(catalog, links, &tagged, target, &mut chosen)?;
    }
    let excluded = excluded(catalog, &request.exclude)?;
    for (chosen, excluded) in chosen.iter_mut().zip(&excluded) {
        *chosen &= !excluded;
    }
    pull(links, request.with_deps, &excluded, &mut chosen);
    let selection: Vec<_> = catalog.ids().filter(|id| chosen[id.index()]).collect();
    if selection.is_empty() {
        return Err(Error::new(
            "select.empty",
            "`--exclude` leaves no task to run",
        ));
    }
    Ok(selection)
}

fn no_tasks(catalog: &Catalog, links: &mut Links, request: &Request) -> Error {
    for (library, selector) in &request.targets {
        if let Some(selector) = selector {
            let selected = links.select(catalog, *library, selector);
            return match selected {
                Ok(_) => no_match(catalog, *library, selector),
                Err(error) => error,
            };
        }
    }
    let libraries = catalog.libraries.iter();
    let paths: Vec<_> = libraries.map(|l| format!("`{}`", l.path)).collect();
    let message = format!("no tasks in {}", paths.join(", "));
    let templates: Vec<_> = catalog.templates.iter().map(|t| &*t.task.name).collect();
    let intro = "name tasks of its templates:";
    Error::new("select.empty", message).list(&templates, intro)
}

/// Which tasks carry all of the tags.
fn tagged(catalog: &Catalog, request: &Request) -> Result<Vec<bool>> {
    let carries = |id: TaskId, tag: &String| catalog.task(id).tags().contains(&&**tag);
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
        .flat_map(|id| catalog.task(*id).tags())
        .collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Marks what one target names.
fn choose(
    catalog: &Catalog,
    links: &mut Links,
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

/// The tasks of a library that a selector names; all of them where there is none.
fn named(
    catalog: &Catalog,
    links: &mut Links,
    library: LibraryId,
    selector: Option<&str>,
) -> Result<Vec<TaskId>> {
    if let Some(selector) = selector {
        return links.select(catalog, library, selector);
    }
    Ok(catalog.all_of(library).collect())
}

fn no_match(catalog: &Catalog, library: LibraryId, selector: &str) -> Error {
    let path = &catalog.libraries[library.index()].path;
    let error = Error::new(
        "select.empty",
        format!("no task of `{path}` matches `{selector}`"),
    );
    let names = names_of(catalog, library);
    match meant(catalog, library, selector, &names) {
        Some(meant) => error.hint(meant),
        None => error.list(&names, "its tasks are"),
    }
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
            let names: Vec<_> = catalog.tasks().map(TaskRef::name).collect();
            let error = Error::new("select.empty", message);
            return Err(error.suggest_or_list(word, &names, "the tasks are"));
        }
    }
    Ok(excluded)
}

/// Adds what the chosen tasks need or take along, and what that does; nothing that is excluded.
fn pull(links: &Links, with_deps: bool, excluded: &[bool], chosen: &mut [bool]) {
    let ids = (0..chosen.len()).map(TaskId::new);
    let mut new: Vec<TaskId> = ids.filter(|id| chosen[id.index()]).collect();
    while let Some(task) = new.pop() {
        let after = if with_deps { links.after(task) } else { &[] };
        let pulled = [after, links.befores(task), links.thens(task)];
        for &other in pulled.into_iter().flatten() {
            if !chosen[other.index()] && !excluded[other.index()] {
                chosen[other.index()] = true;
                new.push(other);
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
        let name = catalog.task(id).name();
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
        let mut links = Links::resolve(&catalog).unwrap();
        let tasks = select(&catalog, &mut links, request)?;
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
        let mut links = Links::resolve(&catalog).unwrap();
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
            let tasks = select(&catalog, &mut links, &request).ok();
            let name = tasks.map(|tasks| catalog.name(tasks[0]).into_owned());
            assert_eq!(name.as_deref(), expected, "{selector}");
        }
    }

    fn picked(words: &str, request: &Request) -> String {
        let catalog = sketch::catalog(words);
        let mut links = Links::resolve(&catalog).unwrap();
        match select(&catalog, &mut links, request) {
            Ok(tasks) => {
                let names: Vec<_> = tasks.iter().map(|&task| catalog.name(task)).collect();
                names.join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn selectors_make_tasks_of_templates() {
        for (words, selectors, expected) in [
            ("a p::[n]", &[] as &[_], "a"),
            ("a p::[n=1|2]", &[], "a p::1 p::2"),
            ("a p::[n]", &["p::1"], "p::1"),
            ("a p::[n]", &["x::p::1"], "p::1"),
            ("a p::[n] q<p::1", &["p::*"], "p::1"),
            ("p::[n=1|2]::[m=a|b]", &["p::*::b"], "p::1::b p::2::b"),
            ("p::[n=1|2]::[m=a|b]", &["p::[2-9]::*"], "p::2::a p::2::b"),
            // Choices of a template that also has a parameter without.
            (
                "b::[os=mac|linux]::[arch]",
                &["b::*::arm64"],
                "b::mac::arm64 b::linux::arm64",
            ),
            (
                "b::[os=mac|linux]::[arch]",
                &["b::[!l]*::arm64", "b::linux::x"],
                "b::mac::arm64 b::linux::x",
            ),
            // The order of the targets does not matter.
            ("a p::[n]", &["p::*", "p::1"], "p::1"),
            ("a p::[n]", &["p::1", "*"], "a p::1"),
            // What it needs is there, but not selected.
            ("a p::[n]<q::[n] q::[n]", &["p::1"], "p::1"),
            ("a p::[n]", &["a", "p::1"], "a p::1"),
        ] {
            let request = request(selectors, &[], &[], false);
            assert_eq!(picked(words, &request), expected, "{words} {selectors:?}");
        }
    }

    #[test]
    fn before_and_then_pull_in_what_is_not_excluded() {
        let words = "m>d::[x] d::p<b d::q+t b c<t t<e e x>m";
        for (selectors, exclude, with_deps, expected) in [
            (&["d::p"] as &[_], &[] as &[_], false, "m d::p x"),
            (&["d::q"], &[], false, "m d::q t x"),
            (&["t"], &[], false, "t"),
            (&["t"], &[], true, "t e"),
            (&["d::p"], &[], true, "m d::p b x"),
            (&["d::q"], &[], true, "m d::q t e x"),
            (&["d::p"], &["m"], false, "d::p"),
            (&["d::q"], &["t", "x"], true, "m d::q"),
            (&["c"], &["t"], true, "c"),
        ] {
            let request = request(selectors, &[], exclude, with_deps);
            assert_eq!(picked(words, &request), expected, "{selectors:?}");
        }
        let tagged = request(&[], &["io"], &[], false);
        assert_eq!(picked("m>d d#io+t t o", &tagged), "m d t");
        let late = request(&["d::1"], &[], &[], false);
        assert_eq!(picked("m::[n]>d::[n] d::[n]", &late), "d::1 m::1");
    }

    #[test]
    fn selectors_that_do_not_fit_a_template_are_told() {
        for (words, selector, expected) in [
            (
                "a p::[n=10|20]",
                "p::21",
                "error[select.choice]: `p::21`: `n` of `p::[n]` cannot be `21`\n  did you mean `20`?",
            ),
            (
                "a p::[env=dev|prod]",
                "p::stage",
                "error[select.choice]: `p::stage`: `env` of `p::[env]` cannot be `stage`\n  its choices are `dev`, `prod`",
            ),
            (
                "a p::[n:u8]",
                "p::x",
                "error[select.value]: `p::x`: `n` of `p::[n]` wants u8, not `x`: invalid digit found in string",
            ),
            (
                "a p::[m=1|2]::[n:u8]",
                "p::*::x",
                "error[select.value]: `p::*::x`: `n` of `p::[m]::[n]` wants u8, not `x`: invalid digit found in string",
            ),
            (
                "a p::[n]",
                "p::*",
                "error[select.param]: `p::*`: `n` of `p::[n]` has no choices for a glob to match\n  write a value in the place of `[n]`",
            ),
            (
                "p::[n]",
                "p::*",
                "error[select.param]: `p::*`: `n` of `p::[n]` has no choices for a glob to match\n  write a value in the place of `[n]`",
            ),
            (
                "a b::[os=mac|linux]::[arch]",
                "b::*",
                "error[select.param]: `b::*`: `arch` of `b::[os]::[arch]` has no choices for a glob to match\n  write a value in the place of `[arch]`",
            ),
            (
                "a b::[os=mac|linux]::[arch]",
                "b::w*::arm",
                "error[select.empty]: no task of `libx.so` matches `b::w*::arm`\n  its tasks are `a`, `b::[os]::[arch]`",
            ),
            (
                "p::[n]",
                "q",
                "error[select.empty]: no task of `libx.so` matches `q`\n  its tasks are `p::[n]`",
            ),
            (
                "up::[env=dev|prod]::[n=1|2]",
                "up::dev",
                "error[select.empty]: no task of `libx.so` matches `up::dev`\n  did you mean `up::dev::*`?",
            ),
            (
                "a load::[env]::[n]",
                "load",
                "error[select.empty]: no task of `libx.so` matches `load`\n  `load::[env]::[n]` is a template: write values in its brackets' places",
            ),
            (
                "a load::[env]::[n]",
                "laod::dev::3",
                "error[select.empty]: no task of `libx.so` matches `laod::dev::3`\n  did you mean `load::dev::3`?",
            ),
            (
                "p::[n] p::[m]",
                "p::1",
                "error[select.ambiguous]: `p::1`: two templates match: `p::[n]` and `p::[m]`",
            ),
            (
                "a p::[n]<q::[n]",
                "p::1",
                "error[graph.unknown]: `p::1` comes after `q::1`, which is no task of `libx.so`\n  its tasks are `a`, `p::1`, `p::[n]`\n  nor is there a library `q` in this run",
            ),
        ] {
            let request = request(&[selector], &[], &[], false);
            assert_eq!(picked(words, &request), expected, "{words} {selector}");
        }
        let long = format!("p::{}", "x".repeat(253));
        assert_eq!(
            picked("a p::[n]", &request(&[&long], &[], &[], false)),
            format!("error[select.limit]: `{long}`: a name has at most 255 bytes")
        );
        assert_eq!(
            picked("p::[n] q::[m]", &request(&[], &[], &[], false)),
            "error[select.empty]: no tasks in `libx.so`\n  name tasks of its templates: `p::[n]`, `q::[m]`"
        );
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
