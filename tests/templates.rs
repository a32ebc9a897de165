//! Templates: which tasks there are, who makes them, and what is refused.

mod common;

use common::tool::{Outcome, done, tdrun};

/// Tables of templates in a few words: `T(name, …)` is a task, `P(name, …)` its one parameter.
const WORDS: &str = r#"
PASS(run)
__attribute__((unused)) static int32_t choose(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    if (*(const char *)user == '!') return fail(list, td_s((const char *)user + 1)), TD_FAIL;
    if (*(const char *)user) add(list, td_s(user));
    return TD_OK;
}
__attribute__((unused)) static int32_t even(void *user, td_str text, td_visit_fn fail, void *reason) {
    (void)user;
    return (text.ptr[text.len - 1] - '0') % 2 == 0 ? TD_OK : (fail(reason, td_s("it is odd")), TD_FAIL);
}
#define T(...) TD_TASK_NAMED(run, __VA_ARGS__)
#define P(...) TD_PARAMS(TD_PARAM(__VA_ARGS__))
#define S TD_STR
#define ENV TD_CHOICES(S("dev"), S("prod"))
static const td_task tasks[] = {
#line 1
TASKS
};
TD_LIBRARY(tasks)
"#;

/// Tasks, arguments, and the status and the error that they come to.
#[track_caller]
fn refused(cases: &[(&str, &str, i32, &str)]) {
    for (tasks, args, status, error) in cases {
        let source = WORDS.replace("TASKS", tasks);
        tdrun(args)
            .library("x", &source)
            .expect_error(*status, error);
    }
}

/// Every task returns its own name and what its parameters are.
const SHOP: &str = r#"
TASK(say) {
    char name[64], text[96], env[16] = "-";
    TD_CHECK(host, ctx, td_name_copy(host, ctx, name, sizeof name) == TD_OK);
    if (td_param_copy(host, ctx, "env", env, sizeof env) == TD_OK) TD_CHECK(host, ctx, *env);
    snprintf(text, sizeof text, "%s on %s", name, env);
    return td_result_text(host, ctx, text);
}
TASK(hear) {
    char text[96];
    TD_REQUIRE_RESULT(host, ctx, "build::[env]", text, sizeof text);
    TD_INFO(host, ctx, text);
    return TD_OK;
}
static int32_t regions(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    (void)user, (void)fail;
    return add(list, td_s("eu")), add(list, td_s("us")), TD_OK;
}
static int32_t port(void *user, td_str text, td_visit_fn fail, void *reason) {
    (void)user;
    return text.len == 4 ? TD_OK : (fail(reason, td_s("it has not four digits")), TD_FAIL);
}
#define ENV TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod")))
static const td_task tasks[] = {
    TD_TASK_NAMED(say, "build::[env]", TD_PARAMS(ENV), TD_TAGS(TD_STR("on_[env]"))),
    TD_TASK_NAMED(hear, "deploy::[env]::[region]", TD_PARAMS(ENV, TD_PARAM("region", .choose = regions)),
                  TD_AFTER(TD_STR("build::[env]")), TD_TAGS(TD_STR("on_[env]"))),
    TD_TASK_NAMED(say, "serve::[env]::[port]", TD_AFTER(TD_STR("build::[env]")),
                  TD_PARAMS(ENV, TD_PARAM("port", .kind = TD_PARAM_INT, .check = port, .type_name = TD_STR("a port")))),
    TD_TASK_NAMED(say, "fetch::[what]", .doc = TD_STR("Fetches it")),
    TD_TASK_NAMED(say, "page", TD_AFTER(TD_STR("fetch::docs"), TD_STR("serve::dev::8080"))),
};
TD_LIBRARY(tasks)
"#;

fn shop(args: &str) -> Outcome {
    tdrun(args).library("x", SHOP).run()
}

/// Nothing else is there from the start than what choices make, and what is named: `fetch::docs` by `page`.
#[test]
fn a_plain_run_has_all_that_choices_make_and_declarations_name() {
    let lines = [
        done("[thread_0] build::dev", "PASSED", 11),
        done("[thread_0] build::prod", "PASSED", 22),
        done("[thread_0] fetch::docs", "PASSED", 33),
        done("[thread_0] serve::dev::8080", "PASSED", 44),
        "[thread_0] deploy::dev::eu: INFO build::dev on dev\n".into(),
        done("[thread_0] deploy::dev::eu", "PASSED", 55),
        "[thread_0] deploy::dev::us: INFO build::dev on dev\n".into(),
        done("[thread_0] deploy::dev::us", "PASSED", 66),
        "[thread_0] deploy::prod::eu: INFO build::prod on prod\n".into(),
        done("[thread_0] deploy::prod::eu", "PASSED", 77),
        "[thread_0] deploy::prod::us: INFO build::prod on prod\n".into(),
        done("[thread_0] deploy::prod::us", "PASSED", 88),
        done("[thread_0] page", "PASSED", 100),
    ];
    let summary = "==== 9 passed, 0 failed, 0 skipped in N.NNs ====\n";
    let tdrun = tdrun("libx.so -j1").library("x", SHOP);
    tdrun.expect(0, summary, &lines.concat());
}

#[test]
fn selectors_name_tasks_of_templates_and_globs_choose_among_them() {
    for (args, order) in [
        ("::build::dev", "1  build::dev\n"),
        ("::build::*", "1  build::dev\n2  build::prod\n"),
        (
            "::deploy::*",
            "1  deploy::dev::eu\n2  deploy::dev::us\n3  deploy::prod::eu\n4  deploy::prod::us\n",
        ),
        (
            "::deploy::*::eu",
            "1  deploy::dev::eu\n2  deploy::prod::eu\n",
        ),
        (
            "::deploy::dev::* --with-deps",
            "1  build::dev\n2  deploy::dev::eu  (after build::dev)\n3  deploy::dev::us  (after build::dev)\n",
        ),
        (
            "::{build,deploy}::dev* --exclude=*::us",
            "1  build::dev\n2  deploy::dev::eu  (after build::dev)\n",
        ),
        // The glob chooses, the port is given.
        (
            "::serve::*::8081",
            "1  serve::dev::8081\n2  serve::prod::8081\n",
        ),
        ("::serve::[d]*::8081", "1  serve::dev::8081\n"),
        ("::fetch::x", "1  fetch::x\n"),
        // Nothing to choose from, but `page` has named one.
        ("::fetch::*", "1  fetch::docs\n"),
        // What one selector makes is there for the next one.
        ("::fetch::[wx] libx.so::fetch::w", "1  fetch::w\n"),
        (
            "::page --with-deps",
            "1  build::dev\n2  fetch::docs\n3  serve::dev::8080  (after build::dev)\n4  page  (after fetch::docs, serve::dev::8080)\n",
        ),
        (
            " --tags=on_prod",
            "1  build::prod\n2  deploy::prod::eu  (after build::prod)\n3  deploy::prod::us  (after build::prod)\n",
        ),
    ] {
        let outcome = shop(&format!("libx.so{args} --dry-run"));
        assert_eq!(
            (&*outcome.stdout, &*outcome.stderr, outcome.status),
            (order, "", 0),
            "{args}"
        );
    }
}

#[test]
fn what_a_selector_makes_runs_and_takes_a_result() {
    for (args, message) in [
        (
            "libx.so::deploy::dev::eu --result-build::dev=made-up",
            "made-up",
        ),
        (
            "libx.so::deploy::dev::eu --result-x::build::dev=made-up",
            "made-up",
        ),
        (
            "libx.so::deploy::prod::us --with-deps",
            "build::prod on prod",
        ),
    ] {
        let outcome = shop(args);
        let told = format!(": INFO {message}\n");
        assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        assert_eq!(outcome.status, 0);
    }
    let alone = shop("libx.so::deploy::dev::eu -q");
    let why = "no result of `build::dev` (it did not run, did not pass, or returned nothing); give one with \
               `--result-build::dev=VALUE`, or run it too: `--with-deps` (x.c:11)\n";
    assert!(alone.stderr.contains(why), "{}", alone.stderr);
}

#[test]
fn templates_are_listed_with_what_their_parameters_may_be() {
    let text = "\
build::dev        [on_dev]
build::prod       [on_prod]
deploy::dev::eu   [on_dev]
deploy::dev::us   [on_dev]
deploy::prod::eu  [on_prod]
deploy::prod::us  [on_prod]
page
fetch::docs       Fetches it
serve::dev::8080

Templates:
  serve::[env]::[port]
    env: dev, prod
    port: a port
  fetch::[what]  Fetches it
    what: any text
";
    let outcome = shop("libx.so --list");
    assert_eq!((&*outcome.stdout, &*outcome.stderr), (text, ""));
}

#[test]
fn names_that_templates_make_may_not_grow_for_ever() {
    let grows = r#"T("p::[n]", TD_AFTER(S("p::[n]a"))), T("t", TD_AFTER(S("p::1"))),"#;
    let last = format!("p::1{}", "a".repeat(251));
    let error = format!(
        "error[graph.limit]: `{last}` comes after `{last}a`, but a name has at most 255 bytes (x.c:1)"
    );
    let long = "x".repeat(253);
    let selected = format!("error[select.limit]: `p::{long}`: a name has at most 255 bytes");
    refused(&[
        (grows, "libx.so", 1, &error),
        (
            r#"T("p::[n]"), T("t"),"#,
            &format!("libx.so::p::{long}"),
            1,
            &selected,
        ),
    ]);
}

#[test]
fn what_does_not_fit_a_template_is_an_error_where_it_is_declared() {
    refused(&[
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_AFTER(S("build::tst"))),"#,
            "libx.so",
            1,
            "error[graph.choice]: `t` comes after `build::tst`, but `env` of `build::[env]` cannot be `tst` (x.c:2)\n  its choices are `dev`, `prod`",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_AFTER(S("build::prd"))),"#,
            "libx.so --list",
            1,
            "error[graph.choice]: `t` comes after `build::prd`, but `env` of `build::[env]` cannot be `prd` (x.c:2)\n  did you mean `prod`?",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_BEFORE(S("build::x"))),"#,
            "libx.so",
            1,
            "error[graph.choice]: `t` comes before `build::x`, but `env` of `build::[env]` cannot be `x` (x.c:2)\n  its choices are `dev`, `prod`",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_THEN(S("build::x"))),"#,
            "libx.so",
            1,
            "error[graph.choice]: `t` is followed by `build::x`, but `env` of `build::[env]` cannot be `x` (x.c:2)\n  its choices are `dev`, `prod`",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t", TD_AFTER(S("p::-1"), S("p::x"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `t` comes after `p::x`, but `n` of `p::[n]` wants a whole number, not `x`: it is no whole number (x.c:2)",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t", TD_AFTER(S("p::9223372036854775807"), S("p::9223372036854775808"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `t` comes after `p::9223372036854775808`, but `n` of `p::[n]` wants a whole number, not `9223372036854775808`: it does not fit into 64 bits (x.c:2)",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_FLOAT)),
T("t", TD_AFTER(S("p::1e3"), S("p::inf"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `t` comes after `p::inf`, but `n` of `p::[n]` wants a number, not `inf`: it is no finite number (x.c:2)",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_BOOL)),
T("t", TD_AFTER(S("p::true"), S("p::yes"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `t` comes after `p::yes`, but `n` of `p::[n]` wants `true` or `false`, not `yes`: it is neither `true` nor `false` (x.c:2)",
        ),
        (
            r#"T("p::[n]", P("n", .check = even, .type_name = S("an even number"))),
T("t", TD_AFTER(S("p::2"), S("p::3"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `t` comes after `p::3`, but `n` of `p::[n]` wants an even number, not `3`: it is odd (x.c:2)",
        ),
        (
            r#"T("p::[n]", TD_AFTER(S("q::[n]"))),
T("q::[n]", P("n", .kind = TD_PARAM_INT)),
T("t", TD_AFTER(S("p::1"), S("p::x"))),"#,
            "libx.so",
            1,
            "error[graph.value]: `p::x` comes after `q::x`, but `n` of `q::[n]` wants a whole number, not `x`: it is no whole number (x.c:1)",
        ),
    ]);
}

#[test]
fn what_cannot_be_filled_in_or_told_apart_is_an_error() {
    refused(&[
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_AFTER(S("build::[env]"))),"#,
            "libx.so",
            1,
            "error[graph.param]: `t` comes after `build::[env]`, but `env` cannot be derived: `t` has no such parameter (x.c:2)",
        ),
        (
            r#"T("p::[n]"),
T("t", TD_AFTER(S("p::*"))),"#,
            "libx.so",
            1,
            "error[graph.param]: `t` comes after `p::*`, but `n` of `p::[n]` has no choices for a glob to match (x.c:2)\n  write a value in the place of `[n]`",
        ),
        (
            r#"T("d::[env]", P("env", ENV)),
T("m::[env]::[n]", TD_BEFORE(S("d::[env]"))),"#,
            "libx.so",
            1,
            "error[graph.param]: `m::[env]::[n]` comes before `d::[env]`, but `n` cannot be derived from `d::dev` (x.c:2)\n  give it choices, or name it in the pattern",
        ),
        (
            r#"T("p::[n]"),
T("p::[m]"),
T("t", TD_AFTER(S("p::1"))),"#,
            "libx.so",
            1,
            "error[graph.ambiguous]: `t` comes after `p::1`, but two templates match: `p::[n]` (x.c:1) and `p::[m]` (x.c:2) (x.c:3)",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("build::dev"),"#,
            "libx.so",
            1,
            "error[graph.duplicate]: two tasks of `libx.so` are called `build::dev`: x.c:1 and x.c:2",
        ),
        (
            r#"T("p::[a]", P("a", ENV)),
T("[b]::dev", P("b", TD_CHOICES(S("p")))),"#,
            "libx.so --graph",
            1,
            "error[graph.duplicate]: two tasks of `libx.so` are called `p::dev`: x.c:1 and x.c:2",
        ),
        (
            r#"T("t", TD_AFTER(S("{a"))),"#,
            "libx.so",
            1,
            "error[graph.syntax]: malformed glob `{a`: a `{` without its `}`\n  {a\n  ^\n  `t` comes after `{a` (x.c:1)",
        ),
        (
            r#"T("t", TD_AFTER(S("a]"))),"#,
            "libx.so",
            1,
            "error[graph.syntax]: `t` comes after `a]`, which has a bracket without its other one (x.c:1)",
        ),
        (
            r#"T("t", TD_BEFORE(S("[a"))),"#,
            "libx.so",
            1,
            "error[graph.syntax]: `t` comes before `[a`, which has a bracket without its other one (x.c:1)",
        ),
        (
            r#"T("t", TD_THEN(S("a::[]"))),"#,
            "libx.so",
            1,
            "error[graph.syntax]: `t` is followed by `a::[]`, which has something in brackets that is no name of a parameter: letters, digits and `_` (x.c:1)",
        ),
    ]);
}

#[test]
fn a_name_of_a_template_that_leads_nowhere_is_an_error() {
    refused(&[
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_AFTER(S("bild::dev"))),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `t` comes after `bild::dev`, which is no task of `libx.so` (x.c:2)\n  did you mean `build::dev`?",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_AFTER(S("bild::*"))),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `t` comes after `bild::*`, which matches no task of `libx.so` (x.c:2)\n  its tasks are `build::dev`, `build::prod`, `t`",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t", TD_BEFORE(S("bild::[x]"))),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `t` comes before `bild::[x]`, which matches no task of `libx.so` (x.c:2)\n  its tasks are `build::dev`, `build::prod`, `t`",
        ),
        (
            r#"T("p::[n]", TD_AFTER(S("qed"))),
T("t"),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `p::[n]` comes after `qed`, which is no task of `libx.so` (x.c:1)\n  its tasks are `t`, `p::[n]`",
        ),
        (
            r#"T("p::[n]", TD_AFTER(S("q::[m]"))),
T("t"),"#,
            "libx.so",
            1,
            "error[graph.param]: `p::[n]` comes after `q::[m]`, but `m` cannot be derived: `p::[n]` has no such parameter (x.c:1)",
        ),
        (
            r#"T("p::[n]", TD_BEFORE(S("qed"))),
T("t"),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `p::[n]` comes before `qed`, which is no task of `libx.so` (x.c:1)\n  its tasks are `t`, `p::[n]`",
        ),
        (
            r#"T("p::[n]", TD_THEN(S("qed"))),
T("t"),"#,
            "libx.so",
            1,
            "error[graph.unknown]: `p::[n]` is followed by `qed`, which is no task of `libx.so` (x.c:1)\n  its tasks are `t`, `p::[n]`",
        ),
        (
            r#"T("p::[n]"),"#,
            "libx.so",
            1,
            "error[select.empty]: no tasks in `libx.so`\n  name tasks of its templates: `p::[n]`",
        ),
        (
            r#"T("p::[n]"),"#,
            "libx.so::p",
            1,
            "error[select.empty]: no task of `libx.so` matches `p`\n  `p::[n]` is a template: write values in its brackets' places",
        ),
        (
            r#"T("p::[n]"),
T("t"),"#,
            "libx.so --exclude=p::*",
            1,
            "error[select.empty]: `--exclude=p::*` matches no task\n  the tasks are `t`",
        ),
    ]);
}

#[test]
fn choices_that_cannot_be_found_or_do_not_fit_refuse_the_library() {
    refused(&[
        (
            r#"T("p::[n]", P("n", .choose = choose, .user = "!the disk is gone")),"#,
            "libx.so",
            1,
            "error[load.choices]: task 0 of `libx.so` (`p::[n]`, x.c:1): cannot find the choices of `n`: the disk is gone",
        ),
        (
            r#"T("p::[n]", P("n", .choose = choose, .user = "1", .check = even)),"#,
            "libx.so",
            1,
            "error[load.choices]: task 0 of `libx.so` (`p::[n]`, x.c:1): the choice `1` of `n` does not fit: it is odd",
        ),
        (
            r#"T("p::[n]", P("n", .choose = choose, .user = "x", .kind = TD_PARAM_INT)),"#,
            "libx.so --list",
            1,
            "error[load.choices]: task 0 of `libx.so` (`p::[n]`, x.c:1): the choice `x` of `n` does not fit: it is no whole number",
        ),
    ]);
}

#[test]
fn a_template_for_which_nothing_was_found_makes_no_task_and_a_warning() {
    let source = WORDS.replace(
        "TASKS",
        r#"T("p::[n]", P("n", .choose = choose, .user = "")), T("t"),"#,
    );
    let warning = "tdrun: warning: `libx.so`: no choices were found for `n`, so there are no tasks `p::[n]`\n";
    let summary = "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n";
    let stderr = [warning, &done("[thread_0] t", "PASSED", 100)].concat();
    let tdrun = tdrun("libx.so -j1").library("x", &source);
    tdrun.expect(0, summary, &stderr);
}

#[test]
fn what_the_user_names_has_to_fit_a_template() {
    refused(&[
        (
            r#"T("build::[env]", P("env", ENV)),
T("t"),"#,
            "libx.so::build::prd",
            1,
            "error[select.choice]: `build::prd`: `env` of `build::[env]` cannot be `prd`\n  did you mean `prod`?",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t"),"#,
            "libx.so::build::tst",
            1,
            "error[select.choice]: `build::tst`: `env` of `build::[env]` cannot be `tst`\n  its choices are `dev`, `prod`",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t"),"#,
            "libx.so::p::x",
            1,
            "error[select.value]: `p::x`: `n` of `p::[n]` wants a whole number, not `x`: it is no whole number",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t"),"#,
            "libx.so::p::*",
            1,
            "error[select.param]: `p::*`: `n` of `p::[n]` has no choices for a glob to match\n  write a value in the place of `[n]`",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t"),"#,
            "libx.so::{p",
            2,
            "error[select.syntax]: malformed glob `{p`: a `{` without its `}`\n  {p\n  ^",
        ),
        (
            r#"T("p::[n]", P("n", .kind = TD_PARAM_INT)),
T("t"),"#,
            "libx.so --result-p::x=1",
            2,
            "error[usage.result]: `--result-p::x`: `n` of `p::[n]` wants a whole number, not `x`: it is no whole number",
        ),
        (
            r#"T("build::[env]", P("env", ENV)),
T("t"),"#,
            "libx.so --result-build::x=1",
            2,
            "error[usage.result]: `--result-build::x`: `env` of `build::[env]` cannot be `x`\n  its choices are `dev`, `prod`",
        ),
        (
            r#"T("p::[n]"),
T("p::[m]"),
T("t"),"#,
            "libx.so::p::x",
            1,
            "error[select.ambiguous]: `p::x`: two templates match: `p::[n]` (x.c:1) and `p::[m]` (x.c:2)",
        ),
        (
            r#"T("p::[n]"),
T("p::[m]"),
T("t"),"#,
            "libx.so --result-p::x=1",
            2,
            "error[usage.result]: `--result-p::x`: two templates match: `p::[n]` (x.c:1) and `p::[m]` (x.c:2)",
        ),
    ]);
}

#[test]
fn circles_are_told_with_what_closes_them() {
    refused(&[
        (
            r#"T("p::[n]", TD_AFTER(S("q::[n]"))),
T("q::[n]", TD_AFTER(S("p::[n]"))),
T("t", TD_AFTER(S("p::1"))),"#,
            "libx.so",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `p::1` → `q::1` → `p::1`\n  `p::1` (x.c:1)\n  `q::1` (x.c:2)",
        ),
        (
            r#"T("p::[n]", TD_AFTER(S("q::[n]"))),
T("q::[n]", TD_AFTER(S("p::[n]"))),
T("t"),"#,
            "libx.so::p::7 --with-deps",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `p::7` → `q::7` → `p::7`\n  `p::7` (x.c:1)\n  `q::7` (x.c:2)",
        ),
        (
            r#"T("build::[env]", P("env", ENV), TD_AFTER(S("all"))),
T("all", TD_AFTER(S("build::*"))),"#,
            "libx.so",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `build::dev` → `all` → `build::dev`\n  `build::dev` (x.c:1)\n  `all` (x.c:2)",
        ),
        (
            r#"T("a", TD_BEFORE(S("b"))),
T("b", TD_BEFORE(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `a` –before→ `b` –before→ `a`\n  `a` (x.c:1)\n  `b` (x.c:2)",
        ),
        (
            r#"T("a", TD_BEFORE(S("b")), TD_AFTER(S("b"))),
T("b"),"#,
            "libx.so::b",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `a` –before→ `b` → `a`\n  `a` (x.c:1)\n  `b` (x.c:2)",
        ),
        (
            r#"T("up::[env]", P("env", ENV), TD_BEFORE(S("down::[env]"))),
T("down::[env]", P("env", ENV), TD_BEFORE(S("up::[env]"))),"#,
            "libx.so::up::prod",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `up::prod` –before→ `down::prod` –before→ `up::prod`\n  `up::prod` (x.c:1)\n  `down::prod` (x.c:2)",
        ),
        (
            r#"T("a", TD_THEN(S("b"))),
T("b", TD_THEN(S("a"))),"#,
            "libx.so --list",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `a` –then→ `b` –then→ `a`\n  `a` (x.c:1)\n  `b` (x.c:2)",
        ),
        (
            r#"T("a", TD_THEN(S("b"))),
T("b", TD_BEFORE(S("c"))),
T("c"),
T("d", TD_AFTER(S("c")), TD_BEFORE(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.cycle]: the tasks wait for each other in a circle: `a` –then→ `b` –before→ `c` → `d` –before→ `a`\n  `a` (x.c:1)\n  `b` (x.c:2)\n  `c` (x.c:3)\n  `d` (x.c:4)",
        ),
        (
            r#"T("a", TD_BEFORE(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.self]: `a` comes before itself (x.c:1)",
        ),
        (
            r#"T("a", TD_THEN(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.self]: `a` is followed by itself (x.c:1)",
        ),
        (
            r#"T("p::[n]", TD_AFTER(S("p::[n]"))),
T("t", TD_AFTER(S("p::1"))),"#,
            "libx.so",
            1,
            "error[graph.self]: `p::1` comes after itself (x.c:1)",
        ),
    ]);
}

#[test]
fn nothing_depends_on_a_higher_wave() {
    refused(&[
        (
            r#"T("a", .wave = 1),
T("b", TD_AFTER(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.wave]: `b` (wave 0) comes after `a` (wave 1), but a wave starts when all lower ones have ended (x.c:2)\n  give `b` wave 1, or `a` wave 0",
        ),
        (
            r#"T("a", .wave = 1, TD_BEFORE(S("b"))),
T("b"),"#,
            "libx.so::b",
            1,
            "error[graph.wave]: `a` (wave 1) comes before `b` (wave 0), but a wave starts when all lower ones have ended (x.c:1)\n  give `b` wave 1, or `a` wave 0",
        ),
        (
            r#"T("a", .wave = 2, TD_THEN(S("b"))),
T("b", .wave = 1),"#,
            "libx.so",
            1,
            "error[graph.wave]: `a` (wave 2) is followed by `b` (wave 1), but a wave starts when all lower ones have ended (x.c:1)\n  give `b` wave 2, or `a` wave 1",
        ),
        (
            r#"T("build::[env]", P("env", ENV), .wave = 1),
T("b", TD_AFTER(S("build::*"))),"#,
            "libx.so",
            1,
            "error[graph.wave]: `b` (wave 0) comes after `build::dev` (wave 1), but a wave starts when all lower ones have ended (x.c:2)\n  give `b` wave 1, or `build::dev` wave 0",
        ),
        (
            r#"T("a", .wave = 1, .condition = TD_NO_FAILURES),
T("b", TD_AFTER(S("a"))),"#,
            "libx.so",
            1,
            "error[graph.wave]: `b` (wave 0) comes after `a` (wave 1), but a wave starts when all lower ones have ended (x.c:2)\n  give `b` wave 1, or `a` wave 0\n  both belong to what `no_failures` puts last, which has its own waves",
        ),
    ]);
}
