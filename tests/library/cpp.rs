//! Libraries that tdrun.hpp declares: what arrives on this side, and what their tasks get from the host.
//!
//! Knows nothing of runs; the host is a mock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tdrun::library::Loaded;
use tdrun::task::{Arguments, Condition, Ending, Host, Lock, Options, Progress, Refused, TaskRef};

use super::common::cpp_library;
use super::mock::{Mock, act, run};
use super::{compiler, load, plain, templates_of};

const SOURCE: &str = r#"
#include "tdrun.hpp"

static std::string serve(td::context &ctx) {
    ctx.progress(1, 2, "half");
    return ctx.name() + " " + ctx.param("env") + " " + std::to_string(ctx.param<uint16_t>("port")) + " " +
           std::to_string(ctx.attempt());
}
static std::string run(td::context &ctx) {
    ctx.start("first");
    ctx.wait("second");
    const std::string first = ctx.run("first");
    return first + ctx.run("second");
}
static void fail(td::context &ctx) { ctx.wait("failed"); }
static void ask(td::context &ctx) { ctx.param("other"); }
static void miss(td::context &ctx) { ctx.result("build::[env]"); }

/* Every type takes what fits it, and nothing else. */
static void parse(td::context &) {
    int8_t small;
    uint64_t large;
    double real;
    bool truth;
    using td::detail::parse;
    TD_REQUIRE(parse("-128", small) && small == -128 && !parse("128", small) && !parse("-129", small));
    TD_REQUIRE(!parse("", small) && !parse(" 1", small) && !parse("1 ", small) && !parse("x", small));
    TD_REQUIRE(!parse(std::string("1\0002", 3), small));
    TD_REQUIRE(parse("18446744073709551615", large) && large == UINT64_MAX);
    TD_REQUIRE(!parse("18446744073709551616", large) && !parse("-1", large));
    TD_REQUIRE(parse("1.5e3", real) && real == 1500 && !parse("1e999", real) && !parse("1,5", real));
    TD_REQUIRE(parse("true", truth) && truth && parse("false", truth) && !truth && !parse("1", truth));
}

TD_CPP_LIBRARY(library) {
    library.task(TD_FN(serve))
        .name("serve::[env]::[port]")
        .choices("env", {"dev", "prod"})
        .param("port", TD_PARAM_INT)
        .check("port", "a port", [](const std::string &text) {
            if (text == "1") throw std::runtime_error("it is thrown");
            return text == "0" ? "it is 0" : "";
        });
    library.task(TD_FN(serve)).name("none::[env]").choices("env", {});
    library.task(TD_FN(run))
        .after("a").after("b").before("c").then("d").tag("e").lock("z").lock("db:r")
        .wave(1).priority(-1).no_failures().exclusive()
        .retries(2, std::chrono::seconds(1)).retry_timeouts().timeout(std::chrono::minutes(1)).isolate();
    library.task(TD_FN(fail)).always();
    library.task(TD_FN(ask));
    library.task(TD_FN(parse));
    library.command("compile", {"cc", "-c", "a.c"}).cwd("src").env("LANG=C").unchecked();
    library.shell("count", "ls | wc -l").after("compile");
    library.task(TD_FN(miss));
}
"#;

/// None where there is no compiler.
fn library() -> Option<Loaded> {
    if compiler::is_missing() {
        return None;
    }
    let loaded = load(&cpp_library("plus", SOURCE));
    Some(loaded.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn what_cpp_declares_arrives() {
    let Some(loaded) = library() else { return };
    let templates = loaded.tasks.templates().iter().map(|t| &*t.task.name);
    let expected = ["serve::[env]::[port]", "none::[env]"];
    assert_eq!(templates.collect::<Vec<_>>(), expected);
    let names = loaded.tasks.iter().map(TaskRef::name);
    let expected = ["run", "fail", "ask", "parse", "compile", "count", "miss"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert_eq!(
        loaded.warnings,
        ["`libplus.so`: no choices were found for `env`, so there are no tasks `none::[env]`"]
    );

    let tasks = plain(&loaded);
    assert_eq!(tasks[0].after(), ["a", "b"]);
    assert_eq!(tasks[0].tags(), ["e"]);
    let expected = Options {
        before: ["c".into()].into(),
        then: ["d".into()].into(),
        wave: 1,
        locks: [Lock::parse("db:r"), Lock::parse("z")].into(),
        condition: Condition::NoFailures,
        priority: -1,
        exclusive: true,
        retries: 2,
        retry_timeouts: true,
        retry_delay: Duration::from_secs(1),
        timeout: Some(Duration::from_secs(60)),
        isolate: true,
    };
    assert_eq!(*tasks[0].options(), expected);
    assert_eq!(tasks[1].options().condition, Condition::Always);
    let place = tasks[4].place().expect("the compiler tells");
    assert!(place.to_string().starts_with("plus.cpp:"), "{place}");

    let [env, port] = &*templates_of(&loaded)[0].parameters else {
        panic!("two parameters");
    };
    assert_eq!(env.choices.as_ref().map(|choices| choices.len()), Some(2));
    assert_eq!((&*port.wants, &port.choices), ("a port", &None));
    let check = port.check.as_ref().expect("there");
    let said = |text| check(text).map_err(String::from);
    assert_eq!(said("80"), Ok(()));
    for (text, why) in [
        ("x", "it is no whole number"),
        ("0", "it is 0"),
        ("1", "it is thrown"),
    ] {
        assert_eq!(said(text), Err(why.to_owned()));
    }
}

#[test]
fn a_task_in_cpp_gets_what_the_host_has() {
    let Some(loaded) = library() else { return };
    let arguments = |port: &str| {
        let values = [("env", "dev"), ("port", port)];
        Arguments::new(
            values
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        )
    };
    let mock = |port: &str| Mock {
        arguments: arguments(port),
        results: Mutex::new([("first".to_owned(), r#""one""#.into())].into()),
        declined: [("failed".to_owned(), Refused::Failed)].into(),
        ..Mock::default()
    };
    let serve = |host: Arc<Mock>| {
        let template = templates_of(&loaded)[0];
        let host: Arc<dyn Host> = host;
        act(&host, |caller| (template.task.action)(caller))
    };
    let passed = |text: &str| Ending::Passed(Some(format!("\"{text}\"").into()));
    let host = Arc::new(mock("80"));
    assert_eq!(serve(Arc::clone(&host)), passed("mock::größe dev 80 3"));
    let half = Progress {
        done: 1,
        total: 2,
        what: "half".into(),
    };
    assert_eq!(*host.progress.lock().unwrap(), [half]);
    let failure = |ending| match ending {
        Ending::Failed(failure) => failure.message.to_string(),
        other => panic!("no failure: {other:?}"),
    };
    assert_eq!(
        failure(serve(Arc::new(mock("70000")))),
        "parameter `port`: `70000` does not fit its type"
    );

    let tasks = plain(&loaded);
    let call = |index: usize, host: &Arc<Mock>| {
        let host: Arc<dyn Host> = Arc::clone(host) as _;
        run(&host, tasks[index])
    };
    let host = Arc::new(mock("1"));
    assert_eq!(call(0, &host), passed("one"));
    assert_eq!(
        *host.asked.lock().unwrap(),
        ["start first", "wait second", "wait first", "wait second"]
    );
    assert_eq!(failure(call(1, &host)), "`failed` is declined");
    assert_eq!(failure(call(2, &host)), "parameter `other`: not found");
    assert_eq!(call(3, &host), Ending::Passed(None));
    assert_eq!(
        failure(call(6, &host)),
        "no result of `build::dev` (it did not run, did not pass, or returned nothing); give one with \
         `--result-build::dev=VALUE`, or run it too: `--with-deps`"
    );
}
