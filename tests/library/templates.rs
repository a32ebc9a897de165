//! Templates in a table: parameters, choices, checks; which tasks they make, and what is refused.
//!
//! Knows nothing of who asks for tasks of templates that have no choices.

use std::path::PathBuf;

use tdrun::library::Loaded;
use tdrun::task::{Arguments, Catalog, Misfit, Parameter};

use super::common::c_library;
use super::{load, plain, refusal, templates_of};

/// A library with the template `build::[env]::[n]`, changed, and the task `second`.
fn library_that(change: &str) -> PathBuf {
    let source = r#"
#include "tdrun.h"

static int32_t run(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx, (void)user;
    return TD_OK;
}

/* Adds what `user` is, split at spaces; a leading `!` is a reason not to. */
static int32_t choose(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    const char *text = user;
    if (*text == '!') {
        if (text[1]) fail(list, td_s(text + 1));
        return TD_FAIL;
    }
    while (*text) {
        size_t len = strcspn(text, " ");
        add(list, (td_str){text, len});
        text += len + (text[len] == ' ');
    }
    return TD_OK;
}

static int32_t count_to(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    char text[32];
    (void)fail;
    for (size_t i = 0; i < (size_t)user; i++) {
        snprintf(text, sizeof text, "%zu", i);
        add(list, td_s(text));
    }
    return TD_OK;
}

static int32_t even(void *user, td_str text, td_visit_fn fail, void *reason) {
    if ((text.ptr[text.len - 1] - '0') % 2 == 0) return TD_OK;
    if (user) fail(reason, td_s(user));
    return TD_FAIL;
}

static td_str two[] = {TD_STR("dev"), TD_STR("prod")};
static td_str one[] = {TD_STR("1")};
static td_param params[] = {
    {.size = sizeof(td_param), .name = TD_STR("env"), .choices = two, .choice_count = 2},
    {.size = sizeof(td_param), .name = TD_STR("n"), .choices = one, .choice_count = 1},
};
static td_param *env = params, *n = params + 1;
#line 2
static td_task tasks[] = {
    TD_TASK_NAMED(run, "build::[env]::[n]", .params = params, .param_count = 2, .param_stride = sizeof(td_param)),
    TD_TASK_NAMED(run, "second"),
};
static td_task *task = tasks;
static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .minor = TD_MINOR, .size = sizeof(td_table),
                         .task_stride = sizeof(td_task), .task_count = 2, .tasks = tasks};
static char large[400];

static td_str s(const char *text) { return td_s(text); }

/* Takes the choices away that the table has, and has them found. */
static void found(td_param *param, const char *text) {
    param->choice_count = 0;
    param->choose = choose;
    param->user = (void *)text;
}

TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    (void)host, (void)env, (void)n, (void)task, (void)s, (void)found, (void)count_to, (void)even, (void)large;
    CHANGE
    return &table;
}
"#;
    c_library("templates", &source.replace("CHANGE", change), &[])
}

fn fine(change: &str) -> Loaded {
    load(&library_that(change)).unwrap_or_else(|error| panic!("{change}: {error}"))
}

/// The names of all tasks that are there from the start.
fn names(loaded: Loaded) -> Vec<String> {
    let mut catalog = Catalog::default();
    catalog.add_tasks(loaded.library, loaded.tasks);
    catalog.tasks().map(|task| task.name().to_owned()).collect()
}

#[test]
fn the_tasks_of_all_choices_stand_where_the_template_does() {
    for (change, expected) in [
        ("", &["build::dev::1", "build::prod::1", "second"][..]),
        (
            "found(env, \"a b\"); n->choose = count_to; n->choice_count = 0; n->user = (void *)2;",
            &[
                "build::a::0",
                "build::a::1",
                "build::b::0",
                "build::b::1",
                "second",
            ],
        ),
        (
            "env->choose = choose; env->user = \"test\";",
            &[
                "build::dev::1",
                "build::prod::1",
                "build::test::1",
                "second",
            ],
        ),
        ("env->choice_count = 0;", &["second"]),
        ("task->param_count = 1;", &["second"]),
        ("task->param_count = 0; task->params = NULL;", &["second"]),
        (
            "task->name = s(\"lint_[env]\"); task->param_count = 1;",
            &["lint_dev", "lint_prod", "second"],
        ),
        (
            "task->name = s(\"[env]::a\"); two[0] = s(\"a:b\"); two[1] = s(\"größe\"); task->param_count = 1;",
            &["a:b::a", "größe::a", "second"],
        ),
        (
            "task->name = s(\"at::[n]::[env]\"); one[0] = s(\"-1\"); n->kind = TD_PARAM_INT;",
            &["at::-1::dev", "at::-1::prod", "second"],
        ),
    ] {
        assert_eq!(names(fine(change)), expected, "{change}");
    }
}

#[test]
fn a_parameter_has_what_the_table_says() {
    let loaded = fine(
        "n->choice_count = 0; n->kind = TD_PARAM_INT; n->check = even; n->user = \"it is odd\";
         n->type_name = s(\"an even number\"); params[0] = params[1]; params[1].name = s(\"env\");
         params[1].kind = TD_PARAM_BOOL; params[1].check = NULL; params[1].type_name.len = 0;",
    );
    let template = templates_of(&loaded)[0];
    let [env, n] = &*template.parameters else {
        panic!("two parameters, in the order of the name");
    };
    let words = |parameter: &Parameter| (parameter.name.to_string(), parameter.wants.to_string());
    assert_eq!(words(env), ("env".into(), "`true` or `false`".into()));
    assert_eq!(words(n), ("n".into(), "an even number".into()));
    assert!(env.choices.is_none() && n.choices.is_none());
    let make = |name: &str| {
        let arguments = template.pattern().matches(name).expect("of its shape");
        template.instance(arguments).map(|task| task.name)
    };
    let unfit = |parameter, value: &str, why: &str| {
        Err(Misfit::Unfit {
            parameter,
            value: value.into(),
            why: why.into(),
        })
    };
    assert_eq!(make("build::true::4"), Ok("build::true::4".into()));
    assert_eq!(
        make("build::yes::4"),
        unfit(0, "yes", "it is neither `true` nor `false`")
    );
    assert_eq!(
        make("build::true::x"),
        unfit(1, "x", "it is no whole number")
    );
    assert_eq!(make("build::true::5"), unfit(1, "5", "it is odd"));
}

#[test]
fn a_check_without_words_says_so() {
    let loaded = fine("n->choice_count = 0; n->check = even;");
    let template = templates_of(&loaded)[0];
    let check = template.parameters[1].check.as_ref().expect("there");
    let said = check("7").unwrap_err();
    assert_eq!(&*said, "it returned TD_FAIL without saying why");
}

#[test]
fn parameters_stand_wherever_names_do() {
    let loaded = fine(
        "static const td_str names[] = {TD_STR(\"lint::[env]\"), TD_STR(\"all::*\")};
         static const td_str tags[] = {TD_STR(\"on_[env]\")};
         static const td_str locks[] = {TD_STR(\"[env]:r\"), TD_STR(\"dev\"), TD_STR(\"[n]\")};
         task->after = task->before = task->then = names;
         task->after_count = task->before_count = task->then_count = 2;
         task->tags = tags, task->tag_count = 1;
         task->locks = locks, task->lock_count = 3;",
    );
    let arguments = Arguments::new(vec![("env".into(), "dev".into()), ("n".into(), "1".into())]);
    let task = templates_of(&loaded)[0].instance(arguments).expect("fits");
    let names = ["lint::dev", "all::*"].map(Box::from);
    assert_eq!(*task.after, names);
    assert_eq!(*task.options().before, names);
    assert_eq!(*task.options().then, names);
    assert_eq!(*task.tags, ["on_dev".into()]);
    let locks: Vec<String> = task
        .options()
        .locks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(locks, ["1", "dev"]);
}

#[test]
fn parameters_of_a_newer_and_of_an_older_library_are_read() {
    let newer = "
        static struct { td_param param; uint64_t future; } longer[2];
        for (int i = 0; i < 2; i++) {
            longer[i].param = params[i];
            longer[i].param.size = sizeof longer[i];
            longer[i].future = ~UINT64_C(0);
        }
        task->params = &longer[0].param;
        task->param_stride = sizeof longer[0];";
    let expected = ["build::dev::1", "build::prod::1", "second"];
    assert_eq!(names(fine(newer)), expected);
    let older = "
        static char shorter[2 * 24];
        env->size = n->size = 24;
        memcpy(shorter, env, 24);
        memcpy(shorter + 24, n, 24);
        task->params = (td_param *)(void *)shorter;
        task->param_stride = 24;";
    let loaded = fine(older);
    let parameters = &templates_of(&loaded)[0].parameters;
    assert!(parameters.iter().all(|p| p.choices.is_none()));
}

#[test]
fn a_name_that_breaks_the_rules_is_not_made() {
    let loaded = fine("env->choice_count = 0; task->param_count = 1;");
    let template = templates_of(&loaded)[0];
    let make = |env: &str, n: &str| {
        let values = vec![("env".into(), env.into()), ("n".into(), n.into())];
        template
            .instance(Arguments::new(values))
            .map(|task| task.name)
    };
    assert_eq!(make("a b", "-1"), Ok("build::a b::-1".into()));
    for (env, n, why) in [
        ("a\x1b", "1", "it has a control character, `\\u{1b}`"),
        ("a,b", "1", "it has a `,`"),
        ("a", "[x]", "it has a `[`"),
        ("a", &*"x".repeat(256), "it has 256 bytes, the limit is 255"),
    ] {
        let Err(Misfit::Unfit { why: said, .. }) = make(env, n) else {
            panic!("`{env}` and `{n}` make a task");
        };
        assert_eq!(&*said, why);
    }
}

#[test]
fn a_template_without_any_choice_to_make_is_told_of() {
    let loaded = fine("found(env, \"\");");
    assert_eq!(
        loaded.warnings,
        [
            "`libtemplates.so`: no choices were found for `env`, so there are no tasks `build::[env]::[n]`"
        ]
    );
    assert_eq!(plain(&loaded).len(), 1);
    assert_eq!(names(loaded), ["second"]);
    assert!(fine("").warnings.is_empty());
}

#[test]
fn a_template_that_makes_no_sense_is_an_error() {
    for &(change, error) in WRONG {
        let first = "task 0 of `libtemplates.so` (`build::[env]::[n]`, templates.c:3)";
        let error = format!("error[{error}")
            .replace("FIRST", first)
            .replace("XXX", &"x".repeat(260));
        assert_eq!(
            refusal(&library_that(change)).to_string(),
            error,
            "{change}"
        );
    }
}

/// What the library does to its template, and the error.
const WRONG: &[(&str, &str)] = &[
    (
        "task->name = s(\"build::[env][n]\");",
        "abi.name]: task 0 of `libtemplates.so` (`build::[env][n]`, templates.c:3): `name` has two parameters in one part; `::` separates parts",
    ),
    (
        "task->name = s(\"[n]::[n]\");",
        "abi.name]: task 0 of `libtemplates.so` (`[n]::[n]`, templates.c:3): `name` has a parameter twice",
    ),
    (
        "env->name = s(\"emv\");",
        "abi.param]: FIRST: `params[0]` is `emv`, which is no parameter of the name",
    ),
    (
        "n->name = s(\"env\");",
        "abi.param]: FIRST: `params` has `env` twice",
    ),
    (
        "tasks[1].params = params; tasks[1].param_count = 1; tasks[1].param_stride = sizeof(td_param);",
        "abi.param]: task 1 of `libtemplates.so` (`second`, templates.c:4): `params[0]` is `env`, which is no parameter of the name",
    ),
    (
        "task->param_stride = 0;",
        "abi.size]: FIRST: `param_stride` is 0 bytes, between 24 and 65536 are possible",
    ),
    (
        "n->size = sizeof(td_param) + 8;",
        "abi.size]: FIRST: the `size` of `params[1]` is 88 bytes, between 24 and 80 are possible",
    ),
    (
        "task->params = (td_param *)8;",
        "abi.pointer]: FIRST: `params` points to memory that cannot be read (160 bytes at 0x8)",
    ),
    (
        "task->param_count = 70000;",
        "abi.limit]: FIRST: `params` has 70000 entries, the limit is 65536",
    ),
    (
        "n->kind = 4;",
        "abi.kind]: FIRST: `params[1]` is of kind 4, which this tdrun does not know\n  a newer tdrun may know it",
    ),
    (
        "env->name.ptr = NULL;",
        "abi.pointer]: FIRST: `params[0].name` is null",
    ),
    (
        "env->type_name = s(\"\\xff\");",
        "abi.utf8]: FIRST: `params[0].type_name` is not UTF-8: `\\xff`",
    ),
    (
        "env->check = (td_check_fn)16;",
        "abi.pointer]: FIRST: `params[0].check` points to 0x10, where there is no code",
    ),
    (
        "env->choose = (td_choose_fn)8;",
        "abi.pointer]: FIRST: `params[0].choose` points to 0x8, where there is no code",
    ),
    (
        "env->choices = NULL;",
        "abi.pointer]: FIRST: `params[0].choices` is null",
    ),
    (
        "two[1].ptr = (char *)8;",
        "abi.pointer]: FIRST: `params[0].choices[1]` points to memory that cannot be read (4 bytes at 0x8)",
    ),
    (
        "env->choice_count = 70000;",
        "abi.limit]: FIRST: `params[0].choices` has 70000 entries, the limit is 65536",
    ),
    (
        "two[1].len = 0;",
        "load.choices]: FIRST: `env` has an empty choice",
    ),
    (
        "two[1] = two[0];",
        "load.choices]: FIRST: `env` has the choice `dev` twice",
    ),
    (
        "env->choose = choose; env->user = \"dev\";",
        "load.choices]: FIRST: `env` has the choice `dev` twice",
    ),
    (
        "two[1] = s(\"a::b\");",
        "load.choices]: FIRST: the choice `a::b` of `env` does not fit: it has a `::`",
    ),
    (
        "two[1] = s(\"a,b\");",
        "load.choices]: FIRST: the choice `a,b` of `env` does not fit: it has a `,`",
    ),
    (
        "two[1] = s(\"[n]\");",
        "load.choices]: FIRST: the choice `[n]` of `env` does not fit: it has a `[`",
    ),
    (
        "two[1] = s(\"a:\");",
        "load.choices]: FIRST: the choice `a:` of `env` does not fit: it has a `:` at its end",
    ),
    (
        "two[1] = s(\"a\\n\");",
        "load.choices]: FIRST: the choice `a\\n` of `env` does not fit: it has a control character, `\\n`",
    ),
    (
        "task->name = s(\"[env]::[n]\"); two[1] = s(\"-x\");",
        "load.choices]: task 0 of `libtemplates.so` (`[env]::[n]`, templates.c:3): the choice `-x` of `env` makes a name that begins with `-`",
    ),
    (
        "env->kind = TD_PARAM_BOOL;",
        "load.choices]: FIRST: the choice `dev` of `env` does not fit: it is neither `true` nor `false`",
    ),
    (
        "n->check = even; n->user = \"it is odd\";",
        "load.choices]: FIRST: the choice `1` of `n` does not fit: it is odd",
    ),
    (
        "found(env, \"!the disk is gone\");",
        "load.choices]: FIRST: cannot find the choices of `env`: the disk is gone",
    ),
    (
        "found(env, \"!\");",
        "load.choices]: FIRST: cannot find the choices of `env`: it returned TD_FAIL without saying why",
    ),
    (
        "found(env, \"a \\xff b\");",
        "load.choices]: FIRST: cannot find the choices of `env`: one of them is null or not UTF-8",
    ),
    (
        "env->choice_count = 0; env->choose = count_to; env->user = (void *)65537;",
        "load.choices]: FIRST: cannot find the choices of `env`: there are more than 65536",
    ),
    (
        "memset(large, 'x', 260); found(env, large);",
        "load.choices]: FIRST: the choice `XXX` of `env` does not fit: it has 260 bytes, the limit is 255",
    ),
    (
        "memset(large, 'x', 250); found(env, large);",
        "abi.limit]: FIRST: its choices make a name of 260 bytes, the limit is 255",
    ),
    (
        "for (int i = 0; i < 2; i++) {
             params[i].choice_count = 0, params[i].choose = count_to, params[i].user = (void *)65536;
         }",
        "abi.limit]: FIRST: its choices make it 4294967296 tasks or more, the limit is 67108864",
    ),
    (
        "tasks[1].name = s(\"build::prod::1\");",
        "graph.duplicate]: two tasks of `libtemplates.so` are called `build::prod::1`: templates.c:3 and templates.c:4",
    ),
    (
        "tasks[1] = tasks[0]; tasks[1].name = s(\"build::[n]::[env]\"); one[0] = s(\"dev\"); two[1] = s(\"x\");",
        "graph.duplicate]: two tasks of `libtemplates.so` are called `build::dev::dev`: templates.c:3 and templates.c:3",
    ),
    (
        "env->choice_count = 0; tasks[1] = tasks[0];",
        "graph.duplicate]: two tasks of `libtemplates.so` are called `build::[env]::[n]`: templates.c:3 and templates.c:3",
    ),
];

#[test]
fn the_example_of_a_deployment_has_the_tasks_that_it_tells_of() {
    let source = include_str!("../../examples/c/deploy.c");
    let loaded = load(&c_library("deploy", source, &["-std=c99", "-pedantic"])).expect("fine");
    assert!(loaded.warnings.is_empty());
    assert_eq!(
        names(loaded),
        [
            "lint",
            "check::dev",
            "check::prod",
            "build::dev",
            "build::prod",
            "migrate::dev",
            "migrate::prod",
            "deploy::dev",
            "deploy::prod",
            "clean_up",
            "announce",
        ]
    );
}
