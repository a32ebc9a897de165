use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::sketch;
use super::*;
use crate::task::{Arguments, LibraryId};

/// Every task with what it comes after: `b<a,c`, with `>` where `a` says so by `before`, `+` by `then`.
fn drawn(catalog: &Catalog, links: &Links) -> String {
    let task = |id: TaskId| {
        let name = catalog.name(id);
        let dependencies = links.dependencies(id).into_iter().map(|dependency| {
            let mark = match links.via(dependency, id) {
                Via::After => "",
                Via::Before => ">",
                Via::Then => "+",
            };
            format!("{}{mark}", catalog.name(dependency))
        });
        let dependencies: Vec<_> = dependencies.collect();
        if dependencies.is_empty() {
            return name.into_owned();
        }
        format!("{name}<{}", dependencies.join(","))
    };
    let tasks: Vec<_> = catalog.ids().map(task).collect();
    tasks.join(" ")
}

fn resolved(words: &str) -> String {
    let catalog = sketch::catalog(words);
    match Links::resolve(&catalog) {
        Ok(links) => drawn(&catalog, &links),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_lead_to_tasks_and_make_those_of_templates() {
    for (words, expected) in [
        // Forward, and a double counts once.
        ("b<a,a,c a c", "b<a,c a c"),
        // Expanded at its place, the last parameter fastest.
        ("a t[x=1|2]::[y=p|q] b", "a t1::p t1::q t2::p t2::q b"),
        // A dependency on a literal, and on one's own parameter.
        (
            "build[env=dev|prod]<get[env],lint::all lint::[x] get[env=dev|prod]",
            "builddev<getdev,lint::all buildprod<getprod,lint::all getdev getprod lint::all",
        ),
        // Instances of instances.
        (
            "a<p::1 p::[n]<q::[n] q::[n]<r::[n]::z r::[n]::[m]",
            "a<p::1 p::1<q::1 q::1<r::1::z r::1::z",
        ),
        // Nobody names it.
        ("a p::[n]", "a"),
        // A task wins over a template that matches too.
        ("a<p::1 p::[n] p::1", "a<p::1 p::1"),
        // So does a template that the name fits.
        (
            "a<p::5,p::x p::[n:u8] p::[s=x|y]",
            "a<p::x,p::5 p::x p::y p::5",
        ),
        // Globs, also over tasks that are made later, but not the task itself.
        ("x1<x* x2 x3", "x1<x2,x3 x2 x3"),
        (
            "all<p::* p::a b<p::2 p::[n]",
            "all<p::a,p::2 p::a b<p::2 p::2",
        ),
        ("all<? a b cd", "all<a,b a b cd"),
        // Globs over choices; the rest of the parameters stand in the glob.
        (
            "all<b::*::arm b::[os=mac|linux]::[arch]",
            "all<b::mac::arm,b::linux::arm b::mac::arm b::linux::arm",
        ),
        (
            "all<b::m?c::x1 b::[os=mac|mic|linux]::x[n:u8]",
            "all<b::mac::x1,b::mic::x1 b::mac::x1 b::mic::x1",
        ),
        // With text around parameters.
        ("a<test_7.c test_[n].c", "a<test_7.c test_7.c"),
    ] {
        assert_eq!(resolved(words), expected, "{words}");
    }
}

#[test]
fn before_and_then_are_edges() {
    for (words, expected) in [
        ("a>b b", "a b<a>"),
        ("a+b b", "a b<a+"),
        // What both say is plain.
        ("a>b b<a", "a b<a"),
        ("a+b>b b", "a b<a>"),
        // A parameter that is not its own stands for any text.
        ("m>d::[x] d::1 d::2 d", "m d::1<m> d::2<m> d"),
        ("m>d* d1 x d2", "m d1<m> x d2<m>"),
        ("m>d::[x]::* d::1::2 d::1", "m d::1::2<m> d::1"),
        ("m+d::[x] d::1 d::2", "m d::1<m+> d::2<m+>"),
        // One that is its own is filled in.
        (
            "m::[e=p|q]>d::[e] d::[e=p|q|r]",
            "m::p m::q d::p<m::p> d::q<m::q> d::r",
        ),
        // A template without choices comes before what exists, with the parameters of that.
        (
            "m::[e]>d::[e] d::[e=p|q]",
            "d::p<m::p> d::q<m::q> m::p m::q",
        ),
        ("a<d::1 d::[e] m::[e]>d::[e]", "a<d::1 d::1<m::1> m::1"),
        // Those that have choices take all of them.
        (
            "m::[e]::[n=1|2]>d::[e] d::p",
            "d::p<m::p::1>,m::p::2> m::p::1 m::p::2",
        ),
        // It comes before those that it fits.
        ("m::[n:u8]>d::[n] d::1 d::x", "d::1<m::1> d::x m::1"),
        // Who is before makes nothing; who takes along does.
        ("a>d::1 d::[e]", "a"),
        ("a+d::1 d::[e]", "a d::1<a+"),
        ("a>d::1 d::[e] b<d::1", "a b<d::1 d::1<a>"),
        ("a+d::*::z d::[e=1|2]::[f]", "a d::1::z<a+> d::2::z<a+>"),
    ] {
        let expected = expected.replace("+>", "+");
        assert_eq!(resolved(words), expected, "{words}");
    }
}

#[test]
fn other_libraries_are_reached_by_their_name() {
    let drawn = |libraries: &[(&str, &str)]| {
        let catalog = sketch::catalog_of(libraries);
        let links = Links::resolve(&catalog).unwrap();
        drawn(&catalog, &links)
    };
    for (libraries, expected) in [
        ([("x", "a"), ("y", "a<x::a b<a")], "x::a y::a<x::a b<y::a"),
        // The whole name in the own library comes first.
        (
            [("x", "a b"), ("y", "x::a c<x::a,x::b")],
            "a b x::a c<b,x::a",
        ),
        // Own templates too, but not where the value is wrong.
        (
            [("x", "a b"), ("y", "x::[n=a] c<x::a,x::b")],
            "a b x::a c<b,x::a",
        ),
        ([("x", "p::[n]"), ("y", "c<x::p::1")], "c<p::1 p::1"),
        (
            [("x", "a b"), ("y", "c<x::* d>x::[n] e+x::b")],
            "a<d> b<d>,e+ c<a,b d e",
        ),
        (
            [("x", "p::[n]"), ("y", "m::[n]>x::p::[n] z<x::p::1")],
            "z<p::1 p::1<m::1> m::1",
        ),
    ] {
        assert_eq!(drawn(&libraries), expected, "{libraries:?}");
    }
    // A library that is called as some of its tasks are: they are meant, not all of them.
    let own = drawn(&[("d", "d::[e=p|q] a c<d::* m>d::[e]")]);
    assert_eq!(own, "d::p<m> d::q<m> a c<d::p,d::q m");
    assert_eq!(drawn(&[("d", "a b c<d::*")]), "a b c<a,b");
}

#[test]
fn names_that_lead_nowhere_are_told_with_the_nearest() {
    for (words, expected) in [
        (
            "fetch mail<fetsh",
            "error[graph.unknown]: `mail` comes after `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
        ),
        (
            "fetch mail<deploy",
            "error[graph.unknown]: `mail` comes after `deploy`, which is no task of `libx.so`
  its tasks are `fetch`, `mail`",
        ),
        (
            "fetch mail>fetsh",
            "error[graph.unknown]: `mail` comes before `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
        ),
        (
            "fetch mail+fetsh",
            "error[graph.unknown]: `mail` is followed by `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
        ),
        (
            "fetch m::[e]>fetsh",
            "error[graph.unknown]: `m::[e]` comes before `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
        ),
        (
            "a<build build::[env=dev|prod]",
            "error[graph.unknown]: `a` comes after `build`, which is no task of `libx.so`
  did you mean `build::*`?",
        ),
        (
            "a<load::dev load::[env]::[n]",
            "error[graph.unknown]: `a` comes after `load::dev`, which is no task of `libx.so`
  `load::[env]::[n]` is a template: write values in its brackets' places",
        ),
        (
            "a<other::b b",
            "error[graph.unknown]: `a` comes after `other::b`, which is no task of `libx.so`
  its tasks are `a`, `b`
  nor is there a library `other` in this run",
        ),
        (
            "a m::[e]+fetsh fetch",
            "error[graph.unknown]: `m::[e]` is followed by `fetsh`, which is no task of `libx.so`
  did you mean `fetch`?",
        ),
        (
            "a b<bild::*",
            "error[graph.unknown]: `b` comes after `bild::*`, which matches no task of `libx.so`
  its tasks are `a`, `b`",
        ),
        (
            "a<a* b",
            "error[graph.unknown]: `a` comes after `a*`, which matches no task of `libx.so`
  its tasks are `a`, `b`",
        ),
        (
            "a b>bild::[x] build::[y]",
            "error[graph.unknown]: `b` comes before `bild::[x]`, which matches no task of `libx.so`
  did you mean `build::[y]`?",
        ),
    ] {
        assert_eq!(resolved(words), expected, "{words}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let long = "y".repeat(250);
    for (words, expected) in [
        (
            "a mail<mail",
            "error[graph.self]: `mail` comes after itself",
        ),
        ("a mail>mail", "error[graph.self]: `mail` comes before itself"),
        ("a mail+mail", "error[graph.self]: `mail` is followed by itself"),
        (
            "a b<build::[env] build::[env=p|q]",
            "error[graph.param]: `b` comes after `build::[env]`, but `env` cannot be derived: `b` has no such parameter",
        ),
        (
            "a t::[n=1]<build::[n]::[env] build::[n]::[env]",
            "error[graph.param]: `t::1` comes after `build::1::[env]`, but `env` cannot be derived: `t::1` has no such parameter",
        ),
        // A template that nobody names yet.
        (
            "a p::[n]<q::[n]::[m] q::[x]::[y]",
            "error[graph.param]: `p::[n]` comes after `q::[n]::[m]`, but `m` cannot be derived: `p::[n]` has no such parameter",
        ),
        (
            "abc p::[n]<abd",
            "error[graph.unknown]: `p::[n]` comes after `abd`, which is no task of `libx.so`
  did you mean `abc`?",
        ),
        (
            "a]<b] b",
            "error[graph.syntax]: `a]` comes after `b]`, which has a bracket without its other one",
        ),
        (
            "m::[e]::[n]>d::[e] d::p",
            "error[graph.param]: `m::[e]::[n]` comes before `d::[e]`, but `n` cannot be derived from `d::p`
  give it choices, or name it in the pattern",
        ),
        (
            "b<build::stagin build::[env=dev|staging]",
            "error[graph.choice]: `b` comes after `build::stagin`, but `env` of `build::[env]` cannot be `stagin`
  did you mean `staging`?",
        ),
        (
            "b+build::x build::[env=dev|staging]",
            "error[graph.choice]: `b` is followed by `build::x`, but `env` of `build::[env]` cannot be `x`
  its choices are `dev`, `staging`",
        ),
        (
            "b>serve::x serve::[port:u8]",
            "error[graph.value]: `b` comes before `serve::x`, but `port` of `serve::[port]` wants u8, not `x`: invalid digit found in string",
        ),
        (
            "b<serve::1 serve::[port] serve::[name]",
            "error[graph.ambiguous]: `b` comes after `serve::1`, but two templates match: `serve::[port]` and `serve::[name]`",
        ),
        (
            "b<serve::* serve::[port]",
            "error[graph.param]: `b` comes after `serve::*`, but `port` of `serve::[port]` has no choices for a glob to match
  write a value in the place of `[port]`",
        ),
        (
            "b<{a a",
            "error[graph.syntax]: malformed glob `{a`: a `{` without its `}`
  {a
  ^
  `b` comes after `{a`",
        ),
        (
            "b>[a a",
            "error[graph.syntax]: `b` comes before `[a`, which has a bracket without its other one",
        ),
        (
            "a b::1 b::[n=1|2]",
            "error[graph.duplicate]: two tasks of `libx.so` are called `b::1`: an unknown place and an unknown place",
        ),
        (
            "b::[n=1|2] b::[m=2|3]",
            "error[graph.duplicate]: two tasks of `libx.so` are called `b::2`: an unknown place and an unknown place",
        ),
    ] {
        assert_eq!(resolved(words), expected, "{words}");
    }
    let grown = format!("{long}aaaaa");
    let expected = format!(
        "error[graph.limit]: `{grown}` comes after `{grown}a`, but a name has at most 255 bytes"
    );
    assert_eq!(resolved(&format!("s<{long} [x]<[x]a")), expected);
}

#[test]
fn templates_that_make_ever_more_tasks_are_stopped() {
    let catalog = sketch::catalog("s<a [x]<[x]a,[x]b");
    let error = Links::resolve_within(&catalog, 10).err().unwrap();
    assert_eq!(
        error.to_string(),
        "error[graph.limit]: `aab` comes after `aabb`, but that makes more than 10 tasks of templates"
    );
}

#[test]
fn a_cycle_tells_what_closes_it() {
    for (words, expected) in [
        ("b a<b>b", "`b` → `a` –before→ `b`"),
        ("a+b b+a", "`a` –then→ `b` –then→ `a`"),
        (
            "b<p::1 p::[n]<q::[n] q::[n]<b",
            "`b` → `q::1` → `p::1` → `b`",
        ),
        ("b>p::[x]<q p::1 q<p::*", "`b` –before→ `p::1` → `q` → `b`"),
        (
            "m::[n]>d::[n]<z d::1 z<d::1",
            "`d::1` → `z` → `m::1` –before→ `d::1`",
        ),
    ] {
        let error = sketch::graph(&sketch::catalog(words)).err().unwrap();
        let error = error.to_string();
        let expected =
            format!("error[graph.cycle]: the tasks wait for each other in a circle: {expected}");
        assert_eq!(error, expected);
    }
}

fn stages(words: &str) -> String {
    let catalog = sketch::catalog(words);
    let graph = match sketch::graph(&catalog) {
        Ok(graph) => graph,
        Err(error) => return error.to_string(),
    };
    assert_eq!(
        graph.has_stages(),
        catalog.ids().any(|id| graph.stage(id) != Stage::default())
    );
    let stage = |id: TaskId| {
        let Stage { last, wave } = graph.stage(id);
        format!("{}{}{wave}", catalog.name(id), if last { "!" } else { ":" })
    };
    let stages: Vec<_> = catalog.ids().map(stage).collect();
    stages.join(" ")
}

#[test]
fn stages_are_waves_and_then_those_that_want_no_failures() {
    for (words, expected) in [
        ("a b<a", "a:0 b:0"),
        ("a b<a@1 c@1", "a:0 b:1 c:1"),
        ("a n!n b<n c", "a:0 n!0 b!0 c:0"),
        ("a@2 n!n<a b<n c<b@3", "a:2 n!0 b!0 c!3"),
        ("n!n>d d", "n!0 d!0"),
        ("n!n+d d", "n!0 d!0"),
        (
            "a<b b@1",
            "error[graph.wave]: `a` (wave 0) comes after `b` (wave 1), but a wave starts when all lower ones have ended
  give `a` wave 1, or `b` wave 0",
        ),
        (
            "a b@1>a",
            "error[graph.wave]: `b` (wave 1) comes before `a` (wave 0), but a wave starts when all lower ones have ended
  give `a` wave 1, or `b` wave 0",
        ),
        (
            "a b@1+a",
            "error[graph.wave]: `b` (wave 1) is followed by `a` (wave 0), but a wave starts when all lower ones have ended
  give `a` wave 1, or `b` wave 0",
        ),
        (
            "n!n@1 a<n",
            "error[graph.wave]: `a` (wave 0) comes after `n` (wave 1), but a wave starts when all lower ones have ended
  give `a` wave 1, or `n` wave 0
  both belong to what `no_failures` puts last, which has its own waves",
        ),
    ] {
        assert_eq!(stages(words), expected, "{words}");
    }
}

/// What a running task gets for a word, or what joins the run for it: `task<dependencies:wave`.
fn asked(words: &str, planned: &[&str], given: &[&str], asks: &str) -> (String, String) {
    let catalog = sketch::catalog(words);
    let mut links = Links::resolve(&catalog).unwrap();
    let from = Arguments::new(vec![("e".into(), "p".into())]);
    let wanted = match links.ask(&catalog, LibraryId(0), &from, asks) {
        Ok(wanted) => wanted,
        Err(error) => return (error.to_string(), String::new()),
    };
    let names = |ids: &[TaskId]| {
        let names: Vec<_> = ids.iter().map(|id| catalog.name(*id)).collect();
        names.join(",")
    };
    let known = |id: TaskId| {
        let name = &*catalog.name(id);
        match (planned.contains(&name), given.contains(&name)) {
            (true, _) => Known::Planned,
            (_, true) => Known::Given,
            _ => Known::New,
        }
    };
    let added = match links.addition(&catalog, &wanted, known) {
        Ok(added) => added,
        Err(error) => return (names(&wanted), error.to_string()),
    };
    let one = |added: &Added| {
        let Stage { last, wave } = added.stage;
        let mark = if last { "!" } else { ":" };
        let (name, after) = (names(&[added.task]), names(&added.dependencies));
        format!("{name}<{after}{mark}{wave}")
    };
    let added: Vec<_> = added.iter().map(one).collect();
    (names(&wanted), added.join(" "))
}

#[test]
fn what_a_running_task_starts_comes_with_all_that_it_needs() {
    for (words, planned, given, asks, wanted, added) in [
        (
            "a b<a c<b",
            &["a"] as &[_],
            &[] as &[_],
            "c",
            "c",
            "b<a:0 c<b:0",
        ),
        ("a b<a c<b", &[], &["a"], "c", "c", "b<:0 c<b:0"),
        ("a b<a c<b", &["c"], &[], "c", "c", ""),
        ("a b<a", &[], &["b"], "b", "b", ""),
        // Made on demand, with what it needs.
        (
            "s p::[n]<q::[n] q::[n]",
            &["s"],
            &[],
            "p::1",
            "p::1",
            "q::1<:0 p::1<q::1:0",
        ),
        ("s p::[n]", &["s"], &[], "p::[e]", "p::p", "p::p<:0"),
        ("s p::[n]", &["s"], &[], "x::p::1", "p::1", "p::1<:0"),
        (
            "s p::[n=1|2] p::3",
            &["s", "p::1"],
            &[],
            "p::*",
            "p::1,p::2,p::3",
            "p::2<:0 p::3<:0",
        ),
        (
            "s p::[n=1|2]::[m]",
            &["s"],
            &[],
            "p::*::9",
            "p::1::9,p::2::9",
            "p::1::9<:0 p::2::9<:0",
        ),
        // What comes before it, and what it takes along; what is planned gets nothing new.
        (
            "b>a a+t t<u u",
            &[],
            &[],
            "a",
            "a",
            "b<:0 u<:0 a<b:0 t<a,u:0",
        ),
        ("a+t t", &["t"], &[], "a", "a", "a<:0"),
        (
            "m::[n]>d::[n] d::[n]",
            &[],
            &[],
            "d::1",
            "d::1",
            "m::1<:0 d::1<m::1:0",
        ),
        (
            "all<p::* p::1 p::[n]",
            &["all", "p::1"],
            &[],
            "p::2",
            "p::2",
            "p::2<:0",
        ),
        ("t a+t", &[], &[], "t", "t", "t<:0"),
        // Stages.
        ("a@1 b<a@2", &["a"], &[], "b", "b", "b<a:2"),
        ("n!n b<n c<b", &["n", "b"], &[], "c", "c", "c<b!0"),
        ("n!n b<n c<b", &[], &[], "c", "c", "n<!0 b<n!0 c<b!0"),
        (
            "a@1 b<a",
            &["a"],
            &[],
            "b",
            "b",
            "error[graph.wave]: `b` (wave 0) comes after `a` (wave 1), but a wave starts when all lower ones have ended
  give `b` wave 1, or `a` wave 0",
        ),
    ] {
        let got = asked(words, planned, given, asks);
        let got = (&*got.0, &*got.1);
        assert_eq!(got, (wanted, added), "{words}: {asks}");
    }
}

#[test]
fn what_a_running_task_asks_for_wrong_is_told() {
    for (words, asks, expected) in [
        (
            "abc",
            "abd",
            "error[graph.unknown]: no task of `libx.so` matches `abd`\n  did you mean `abc`?",
        ),
        (
            "a",
            "z*",
            "error[graph.unknown]: no task of `libx.so` matches `z*`\n  its tasks are `a`",
        ),
        (
            "a p::[n]",
            "p::[x]",
            "error[graph.param]: `p::[x]`: `x` cannot be derived: the task has no such parameter",
        ),
        (
            "a p::[n]",
            "p::*",
            "error[graph.param]: `p::*`: `n` of `p::[n]` has no choices for a glob to match\n  write a value in the place of `[n]`",
        ),
        (
            "a p::[n=1|2]",
            "p::3",
            "error[graph.choice]: `p::3`: `n` of `p::[n]` cannot be `3`\n  its choices are `1`, `2`",
        ),
        (
            "a p::[n:u8]",
            "p::x",
            "error[graph.value]: `p::x`: `n` of `p::[n]` wants u8, not `x`: invalid digit found in string",
        ),
        (
            "a p::[n] p::[m]",
            "p::x",
            "error[graph.ambiguous]: `p::x`: two templates match: `p::[n]` and `p::[m]`",
        ),
        (
            "a p::[n]<z[n]",
            "p::x",
            "error[graph.unknown]: `p::x` comes after `zx`, which is no task of `libx.so`\n  its tasks are `a`, `p::x`, `p::[n]`",
        ),
        (
            "a",
            "{a",
            "error[graph.syntax]: malformed glob `{a`: a `{` without its `}`\n  {a\n  ^",
        ),
    ] {
        assert_eq!(asked(words, &[], &[], asks).0, expected, "{words}: {asks}");
    }
    let circle = asked("p::[n]<q::[n] q::[n]<p::[n]", &[], &[], "p::1").1;
    assert_eq!(
        circle,
        "error[graph.cycle]: the tasks wait for each other in a circle: `p::1` → `q::1` → `p::1`"
    );
}

#[test]
fn a_mistake_leaves_nothing_behind() {
    let catalog = sketch::catalog("all<p::* p::0 g::[n]<p::[n],z[n] p::[n]+x x+y y h::[n]<p::*");
    let mut links = Links::resolve(&catalog).unwrap();
    let before = drawn(&catalog, &links);
    let mut ask = |word| links.ask(&catalog, LibraryId(0), &Arguments::default(), word);
    let first = ask("g::1").unwrap_err();
    assert_eq!(ask("g::1").unwrap_err().message(), first.message());
    let made = ask("p::1").unwrap()[0];
    assert_eq!(catalog.task(made).name(), "p::1");
    assert_eq!(ask("p::*").unwrap(), [TaskId::new(1), made]);
    assert_eq!(ask("p::1").unwrap(), [made]);
    ask("h::1").unwrap();
    let after = drawn(&catalog, &links);
    assert_eq!(before, "all<p::0 p::0 x y<x+");
    // Nothing leads to the tasks that were made in vain.
    assert_eq!(
        after,
        "all<p::0,p::1 p::0 x<p::1+ y<x+ g::1 p::1 g::1 p::1 p::1 h::1<p::0,p::1"
    );
}

fn shown(words: &str, format: GraphFormat) -> String {
    let catalog = sketch::catalog(words);
    let graph = sketch::graph(&catalog).unwrap();
    let mut out = Vec::new();
    draw(&mut out, &catalog, &graph, format).unwrap();
    String::from_utf8(out).unwrap()
}

/// One of each.
const ALL: &str = "a%db,c:r b>a+n n!n%db<a@1#io z!a p::[os=mac|linux]::[n:u8]<a@2 q::[any]";

#[test]
fn the_text_tells_in_sections_of_its_own_what_is_not_as_usual() {
    let text = shown(ALL, GraphFormat::Text);
    let (_, sections) = text.split_once("\nWaves:").unwrap();
    let expected = "
  0: [0], [1], [3]
  1: [2]

Locks:
  c:r: [0]
  db: [0], [2]

Conditions:
  [2] no_failures
  [3] always

Templates:
  p::[os]::[n]  (wave 2)
    os: mac, linux
    n: u8
  q::[any]
    any: any text
";
    assert_eq!(sections, expected);
}

#[test]
fn drawings_tell_edges_that_the_dependency_declares() {
    let mermaid = "graph TD
    t0[\"a<br/>wave 1<br/>locks x\"]
    t1[\"b\"]
    t2[\"c<br/>wave 1<br/>always\"]
    t0 -. then .-> t2
    t1 -. before .-> t0
    t1 --> t2
";
    let words = "a+c@1%x b>a c<b!a@1";
    let drawn = shown(words, GraphFormat::Mermaid);
    assert_eq!(drawn, mermaid);
    let dot = "digraph {
    0 [ label = \"a\" xlabel = \"wave 1; locks x\" ]
    1 [ label = \"b\" ]
    2 [ label = \"c\" xlabel = \"wave 1; always\" ]
    0 -> 2 [ label = \"then\" style = dashed ]
    1 -> 0 [ label = \"before\" style = dashed ]
    1 -> 2 [ ]
}
";
    assert_eq!(shown(words, GraphFormat::Dot), dot);
    let json: serde_json::Value = serde_json::from_str(&shown(words, GraphFormat::Json)).unwrap();
    assert_eq!(
        [&json["edges"], &json["before"], &json["then"]].map(ToString::to_string),
        [
            r#"[["a","c"],["b","a"],["b","c"]]"#,
            r#"[["b","a"]]"#,
            r#"[["a","c"]]"#
        ]
    );
}

#[test]
fn the_list_tells_what_is_not_as_usual_and_which_templates_want_values() {
    let mut catalog = sketch::catalog(ALL);
    let options = crate::task::Options {
        retries: 2,
        retry_timeouts: true,
        retry_delay: std::time::Duration::from_millis(1500),
        timeout: Some(std::time::Duration::from_secs(30)),
        priority: -1,
        exclusive: true,
        isolate: true,
        ..crate::task::Options::default()
    };
    let tasks: Vec<_> = catalog.ids().collect();
    catalog.task_mut(tasks[3]).options = Some(options.into());
    let listed = |format| {
        let mut out = Vec::new();
        list(&mut out, &catalog, &tasks, format).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = "\
a  (locks c:r, db)
b
n  [io]  (wave 1; no_failures; locks db)
z  (exclusive; priority -1; retries 2; timeout 30s; isolate)

Templates:
  p::[os]::[n]  (wave 2)
    os: mac, linux
    n: u8
  q::[any]
    any: any text
";
    assert_eq!(listed(ListFormat::Text), text);
    let json: serde_json::Value = serde_json::from_str(&listed(ListFormat::Json)).unwrap();
    let tasks: Vec<_> = json["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        r#"{"after":[],"doc":"","library":"x","locks":["c:r","db"],"name":"a","tags":[],"target":"libx.so::a"}"#,
        r#"{"after":[],"before":["a"],"doc":"","library":"x","name":"b","tags":[],"target":"libx.so::b","then":["n"]}"#,
    ];
    assert_eq!(tasks[0], expected[0]);
    assert_eq!(
        tasks[3],
        r#"{"after":[],"doc":"","exclusive":true,"isolate":true,"library":"x","name":"z","priority":-1,"retries":2,"retry_delay_ms":1500,"retry_timeouts":true,"tags":[],"target":"libx.so::z","timeout_ms":30000}"#
    );
    assert_eq!(
        json["templates"][0].to_string(),
        r#"{"after":["a"],"doc":"","library":"x","name":"p::[os]::[n]","parameters":[{"choices":["mac","linux"],"name":"os"},{"name":"n","wants":"u8"}],"tags":[],"wave":2}"#
    );
}

/// Words of which catalogs are made at random, besides those of [`BASE`], which they name.
const POOL: [&str; 12] = [
    "a<p::1",
    "b>p::[x]",
    "c+q::2,d",
    "e<r::*::9",
    "f>r::1::9+g",
    "p::4>d",
    "q::3+d",
    "m::[n]>s::[n],q::[n]",
    "h::[k=1|2]>q::[k]+p::[k]",
    "i<g,p*>s::[x]",
    "j<q*,t",
    "k>t+s::8",
];
const BASE: [&str; 7] = [
    "d",
    "g<p::5,q::5",
    "p::[n]<q::[n]",
    "q::[n]+t",
    "r::[m=1|2]::[n]<s::[n]",
    "s::[n]",
    "t",
];

/// What [`drawn`] draws, in the order of names.
fn sorted(drawn: &str) -> Vec<String> {
    let task = |task: &str| {
        let (name, row) = task.split_once('<').unwrap_or((task, ""));
        let mut row: Vec<_> = row.split(',').collect();
        row.sort_unstable();
        format!("{name}<{}", row.join(","))
    };
    let mut tasks: Vec<_> = drawn.split(' ').map(task).collect();
    tasks.sort_unstable();
    tasks
}

/// All edges of a catalog.
fn edges_of(words: &[&str]) -> Vec<String> {
    let catalog = sketch::catalog(&words.join(" "));
    let links = Links::resolve(&catalog).unwrap();
    sorted(&drawn(&catalog, &links))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_declarations_does_not_matter(
        words in subsequence(&POOL[..], 0..=POOL.len()),
        order in Just((0..BASE.len() + POOL.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let words = [&BASE[..], &words].concat();
        let shuffled = order.iter().filter_map(|place| words.get(*place).copied());
        let shuffled: Vec<_> = shuffled.collect();
        prop_assert_eq!(edges_of(&words), edges_of(&shuffled));
    }

    #[test]
    fn a_task_that_is_made_late_has_the_links_of_one_that_was_declared(
        words in subsequence(&POOL[..], 0..=POOL.len()),
        asked in select(&["p::7", "q::1", "r::2::9", "r::*::9"][..]),
    ) {
        let words = [&BASE[..], &words].concat();
        let catalog = sketch::catalog(&words.join(" "));
        let mut links = Links::resolve(&catalog).unwrap();
        links.ask(&catalog, LibraryId(0), &Arguments::default(), asked).unwrap();
        let late = sorted(&drawn(&catalog, &links));

        let by = format!("z<{asked}");
        let mut declared = edges_of(&[&words[..], &[&by]].concat());
        declared.retain(|task| !task.starts_with("z<"));
        prop_assert_eq!(late, declared);
    }
}
