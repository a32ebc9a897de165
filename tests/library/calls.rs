//! Calls in both directions: tasks of a C library, and the host functions that they call.
//!
//! The C side checks what it gets and fails with the line; the Rust side checks what arrives.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tdrun::library::{self, Loaded};
use tdrun::task::{
    Arguments, Cancel, Declined, Ending, Host, Json, Level, Progress, Record, Refused,
};

use super::common::c_library;
use super::mock::{Mock, act, run};
use super::{load, plain};

/// Calls the task of that name.
fn call(loaded: &Loaded, name: &str, host: &Arc<Mock>) -> Ending {
    let host: Arc<dyn Host> = Arc::clone(host) as _;
    call_with(loaded, name, &host)
}

fn call_with(loaded: &Loaded, name: &str, host: &Arc<dyn Host>) -> Ending {
    let task = plain(loaded).into_iter().find(|task| task.name() == name);
    run(host, task.expect("a task of that name"))
}

/// A library of tasks, given as `name { body }` with `host`, `ctx` and `user` in scope.
fn tasks(name: &str, before: &str, bodies: &[(&str, &str)]) -> Loaded {
    let function = |(task, body): &(&str, &str)| {
        format!(
            "static int32_t {task}(const td_host *host, td_ctx ctx, void *user) {{
             (void)host, (void)ctx, (void)user;\n{body}\n}}\n"
        )
    };
    let functions: String = bodies.iter().map(function).collect();
    let names: Vec<String> = bodies
        .iter()
        .map(|(task, _)| format!("TD_TASK({task})"))
        .collect();
    let source = format!(
        "#include \"tdrun.h\"\n#include <stdlib.h>\n{before}\n{functions}
         static const td_task tasks[] = {{{}}};\nTD_LIBRARY(tasks)\n",
        names.join(", ")
    );
    load(&c_library(name, &source, &["-pthread"])).unwrap_or_else(|error| panic!("{error}"))
}

/// Calls every task with a new mock; each must pass.
fn all_pass(loaded: &Loaded) {
    for task in plain(loaded) {
        let ending = call(loaded, task.name(), &Arc::default());
        assert!(
            matches!(ending, Ending::Passed(_)),
            "{}: {ending:?}",
            task.name()
        );
    }
}

#[test]
fn the_status_and_the_words_make_the_ending() {
    let loaded = tasks(
        "endings",
        "",
        &[
            ("passes", "return TD_OK;"),
            ("returns_text", "return td_result_text(host, ctx, \"h\\303\\251 \\\"q\\\"\");"),
            (
                "last_valid_wins",
                "host->result_set(ctx, TD_JSON, td_s(\"1\"));
                 TD_CHECK(host, ctx, td_result_json(host, ctx, \" { \\\"b\\\": 2, \\\"a\\\": 1 } \") == TD_OK);
                 TD_CHECK(host, ctx, td_result_json(host, ctx, \"{bad\") == TD_E_JSON);
                 return TD_OK;",
            ),
            ("fails", "return TD_FAILED(host, ctx, \"no\\nway\");"),
            ("fails_silently", "td_result_text(host, ctx, \"x\"); return TD_FAIL;"),
            ("fails_with_bytes", "host->fail(ctx, td_s(\"a\\xff\"), td_s(\"\"), 7); return TD_FAIL;"),
            ("last_word_counts", "host->fail(ctx, td_s(\"one\"), td_s(\"\"), 0); host->fail(ctx, td_s(\"two\"), td_s(\"f\"), 0); return 5;"),
            ("skips", "return TD_SKIPPED(host, ctx, \"rain\");"),
            ("skips_silently", "return TD_SKIP;"),
            ("recovers", "host->fail(ctx, td_s(\"no\"), td_s(\"\"), 0); return TD_OK;"),
            ("returns_17", "return 17;"),
            ("returns_a_code", "return TD_E_NOTFOUND;"),
            ("asks_with_a_bug", "host->state_get(ctx, td_s(\"bug\"), TD_JSON, td_copy_to_buffer, NULL); return TD_OK;"),
        ],
    );
    let passed = |json: &str| Ending::Passed(Some(json.into()));
    for (name, expected) in [
        ("passes", Ending::Passed(None)),
        ("returns_text", passed(r#""hé \"q\"""#)),
        ("last_valid_wins", passed(r#"{"a":1,"b":2}"#)),
        (
            "fails_silently",
            Ending::failed("returned TD_FAIL without saying why"),
        ),
        ("fails_with_bytes", Ending::failed("a\u{fffd}")),
        ("skips", Ending::Skipped("rain".into())),
        ("skips_silently", Ending::Skipped("".into())),
        ("recovers", Ending::Passed(None)),
        ("returns_17", Ending::failed("returned 17")),
        (
            "returns_a_code",
            Ending::failed("returned -3 (TD_E_NOTFOUND)"),
        ),
    ] {
        assert_eq!(call(&loaded, name, &Arc::default()), expected, "{name}");
    }
    for (name, message, place) in [
        ("fails", "no\nway", "endings.c:"),
        ("last_word_counts", "two", "f"),
    ] {
        let Ending::Failed(failure) = call(&loaded, name, &Arc::default()) else {
            panic!("{name} passed");
        };
        assert_eq!(&*failure.message, message);
        assert!(failure.place.expect("known").to_string().starts_with(place));
    }
    let Ending::Failed(failure) = call(&loaded, "asks_with_a_bug", &Arc::default()) else {
        panic!("a bug passed");
    };
    assert!(
        failure.message.starts_with("a bug in tdrun: "),
        "{failure:?}"
    );
}

#[test]
fn hooks_and_user_pointers_are_called_as_declared() {
    let source = r#"
#include "tdrun.h"
static int numbers[] = {1, 2, 3};
static int32_t number(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx;
    return 100 + *(int *)user;
}
static const td_task tasks[] = {TD_TASK(number, .user = &numbers[0])};
TD_LIBRARY(tasks, .setup = number, .teardown = number, .user = &numbers[2])
"#;
    let loaded = load(&c_library("hooks", source, &[])).expect("fine");
    let host: Arc<dyn Host> = Arc::new(Mock::default());
    let setup = loaded.library.setup.as_ref().expect("there");
    let teardown = loaded.library.teardown.as_ref().expect("there");
    assert_eq!(
        run(&host, plain(&loaded)[0]),
        Ending::failed("returned 101")
    );
    assert_eq!(
        act(&host, |caller| setup(caller)),
        Ending::failed("returned 103")
    );
    assert_eq!(
        act(&host, |caller| teardown(caller)),
        Ending::failed("returned 103")
    );
}

#[test]
fn the_host_table_tells_its_size_and_version() {
    all_pass(&tasks(
        "version",
        "",
        &[(
            "table",
            "TD_CHECK(host, ctx, host->size == sizeof(td_host));
             TD_CHECK(host, ctx, host->major == TD_MAJOR && host->minor == TD_MINOR);
             TD_CHECK(host, ctx, ctx != 0);
             return TD_OK;",
        )],
    ));
}

#[test]
fn malformed_arguments_are_errors_with_their_own_codes() {
    all_pass(&tasks(
        "arguments",
        "static void visit(void *user, td_str value) { (void)user, (void)value; }
         static const td_str null_text = {NULL, 3};
         static td_str deep(size_t levels) {
             char *text = malloc(2 * levels);
             memset(text, '[', levels);
             memset(text + levels, ']', levels);
             return (td_str){text, 2 * levels};
         }
         #define IS(code, call) TD_CHECK(host, ctx, host->call == (code))",
        &[
            (
                "values",
                "IS(TD_E_ARG, result_set(ctx, 2, td_s(\"1\")));
                 IS(TD_E_ARG, result_set(ctx, TD_JSON, null_text));
                 IS(TD_E_ARG, result_set(ctx, TD_TEXT, td_s(\"\\xff\")));
                 IS(TD_E_JSON, result_set(ctx, TD_JSON, td_s(\"\")));
                 IS(TD_E_JSON, result_set(ctx, TD_JSON, td_s(\"nope\")));
                 IS(TD_E_JSON, result_set(ctx, TD_JSON, deep(101)));
                 IS(TD_E_JSON, result_set(ctx, TD_JSON, deep(1000000)));
                 IS(TD_OK, result_set(ctx, TD_JSON, deep(100)));
                 IS(TD_E_TOOBIG, result_set(ctx, TD_TEXT, ((td_str){\"x\", (64 << 20) + 1})));
                 IS(TD_E_TOOBIG, result_set(ctx, TD_TEXT, ((td_str){\"x\", SIZE_MAX})));
                 IS(TD_OK, result_set(ctx, TD_TEXT, ((td_str){NULL, 0})));
                 return TD_OK;",
            ),
            (
                "names",
                "IS(TD_E_ARG, state_set(ctx, td_s(\"\"), TD_TEXT, td_s(\"x\")));
                 IS(TD_E_ARG, state_set(ctx, null_text, TD_TEXT, td_s(\"x\")));
                 IS(TD_E_ARG, state_set(ctx, td_s(\"\\xc3\"), TD_TEXT, td_s(\"x\")));
                 IS(TD_E_DENIED, state_set(ctx, td_s(\"_x\"), TD_TEXT, td_s(\"x\")));
                 IS(TD_E_ARG, state_get(ctx, td_s(\"\"), TD_TEXT, visit, NULL));
                 IS(TD_E_ARG, result_get(ctx, td_s(\"\"), TD_TEXT, visit, NULL));
                 IS(TD_E_ARG, lock(ctx, td_s(\"\")));
                 IS(TD_E_ARG, unlock(ctx, null_text));
                 IS(TD_E_ARG, state_swap(ctx, td_s(\"\"), td_s(\"1\"), td_s(\"2\")));
                 IS(TD_E_ARG, fail(ctx, null_text, td_s(\"\"), 0));
                 IS(TD_E_ARG, skip(ctx, null_text));
                 IS(TD_E_ARG, log(ctx, TD_LOG_ERROR, null_text, td_s(\"\"), td_s(\"\"), 0));
                 return TD_OK;",
            ),
            (
                "visitors",
                "IS(TD_OK, state_set(ctx, td_s(\"key\"), TD_TEXT, td_s(\"x\")));
                 IS(TD_E_ARG, state_get(ctx, td_s(\"key\"), TD_TEXT, NULL, NULL));
                 IS(TD_E_ARG, state_get(ctx, td_s(\"key\"), 9, visit, NULL));
                 IS(TD_E_NOTFOUND, state_get(ctx, td_s(\"other\"), TD_TEXT, visit, NULL));
                 IS(TD_E_NOTFOUND, result_get(ctx, td_s(\"other\"), TD_TEXT, visit, NULL));
                 IS(TD_OK, state_get(ctx, td_s(\"key\"), TD_TEXT, visit, NULL));
                 return TD_OK;",
            ),
        ],
    ));
}

#[test]
fn state_and_results_travel_in_both_forms() {
    let loaded = tasks(
        "forms",
        "#define IS(code, call) TD_CHECK(host, ctx, (call) == (code))
         static char text[64];
         static td_buffer buffer(void) { return (td_buffer){text, sizeof text, 0}; }",
        &[
            (
                "state",
                "td_buffer out = buffer();
                 td_str key = td_s(\"key\"), none = {NULL, 0};
                 IS(TD_OK, td_state_set_text(host, ctx, \"key\", \"a \\\"b\\\"\"));
                 IS(TD_OK, host->state_get(ctx, key, TD_JSON, td_copy_to_buffer, &out));
                 IS(0, strcmp(text, \"\\\"a \\\\\\\"b\\\\\\\"\\\"\"));
                 IS(TD_OK, td_state_copy(host, ctx, \"key\", text, sizeof text));
                 IS(0, strcmp(text, \"a \\\"b\\\"\"));
                 IS(TD_E_SPACE, td_state_copy(host, ctx, \"key\", text, 3));
                 IS(TD_OK, td_state_set_json(host, ctx, \"key\", \"{ \\\"y\\\":1, \\\"x\\\":[ 2 ] }\"));
                 IS(TD_E_CHANGED, host->state_swap(ctx, key, td_s(\"{}\"), td_s(\"1\")));
                 IS(TD_E_CHANGED, host->state_swap(ctx, key, none, td_s(\"1\")));
                 IS(TD_E_JSON, host->state_swap(ctx, key, td_s(\"\"), td_s(\"1\")));
                 IS(TD_OK, host->state_swap(ctx, key, td_s(\"{\\\"x\\\":[2],\\\"y\\\":1}\"), td_s(\" 1 \")));
                 IS(TD_OK, td_state_copy(host, ctx, \"key\", text, sizeof text));
                 IS(0, strcmp(text, \"1\"));
                 IS(TD_OK, host->state_swap(ctx, key, td_s(\"1\"), none));
                 IS(TD_E_NOTFOUND, td_state_copy(host, ctx, \"key\", text, sizeof text));
                 IS(TD_OK, host->state_swap(ctx, key, none, td_s(\"null\")));
                 return TD_OK;",
            ),
            (
                "results",
                "IS(TD_OK, td_result_copy(host, ctx, \"before\", text, sizeof text));
                 return td_result_text(host, ctx, text);",
            ),
            (
                "locks",
                "IS(TD_OK, host->lock(ctx, td_s(\"a\")));
                 IS(TD_OK, host->unlock(ctx, td_s(\"a\")));
                 IS(TD_E_NOTFOUND, host->unlock(ctx, td_s(\"a\")));
                 IS(TD_E_DEADLOCK, host->lock(ctx, td_s(\"deadlock\")));
                 IS(TD_E_CANCELLED, host->lock(ctx, td_s(\"cancelled\")));
                 return TD_OK;",
            ),
            ("asks", "return 20 + host->cancelled(ctx);"),
        ],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(call(&loaded, "state", &mock), Ending::Passed(None));
    assert_eq!(
        mock.state.lock().unwrap().get("key").map(|json| &**json),
        Some("null")
    );
    mock.results
        .lock()
        .unwrap()
        .insert("before".into(), "{\"n\":1.5}".into());
    let expected = Ending::Passed(Some(r#""{\"n\":1.5}""#.into()));
    assert_eq!(call(&loaded, "results", &mock), expected);
    assert_eq!(call(&loaded, "locks", &mock), Ending::Passed(None));
    assert_eq!(call(&loaded, "asks", &mock), Ending::failed("returned 20"));
    mock.cancelled.store(true, Ordering::Relaxed);
    assert_eq!(call(&loaded, "asks", &mock), Ending::failed("returned 21"));
}

#[test]
fn a_visitor_may_call_the_host() {
    let loaded = tasks(
        "visitor",
        "struct both { const td_host *host; td_ctx ctx; };
         static void again(void *user, td_str value) {
             struct both *both = user;
             both->host->state_set(both->ctx, td_s(\"copy\"), TD_JSON, value);
             both->host->result_set(both->ctx, TD_JSON, value);
         }",
        &[(
            "nested",
            "struct both both = {host, ctx};
             host->state_set(ctx, td_s(\"key\"), TD_JSON, td_s(\"[1]\"));
             return host->state_get(ctx, td_s(\"key\"), TD_JSON, again, &both);",
        )],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(
        call(&loaded, "nested", &mock),
        Ending::Passed(Some("[1]".into()))
    );
    assert_eq!(mock.state.lock().unwrap()["copy"], "[1]".into());
}

#[test]
fn records_arrive_checked_and_cut() {
    let loaded = tasks(
        "records",
        "#define LOG(level, text) host->log(ctx, level, td_s(\"part\"), text, td_s(\"f.c\"), 7)",
        &[(
            "logs",
            "static char large[100 << 10];
             memset(large, 'x', sizeof large);
             memcpy(large + (64 << 10) - 1, \"\\303\\251\", 2);
             LOG(TD_LOG_ERROR, td_s(\"a\\xff\\x1b\"));
             LOG(TD_LOG_OFF, td_s(\"clamped\"));
             LOG(TD_LOG_DEBUG, td_s(\"nobody listens\"));
             LOG(4000000000u, td_s(\"nor here\"));
             LOG(TD_LOG_INFO, ((td_str){large, sizeof large}));
             return 100 + (int32_t)host->log_level();",
        )],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(call(&loaded, "logs", &mock), Ending::failed("returned 103"));
    let records = mock.records.lock().unwrap();
    let [bytes, clamped, large] = &records[..] else {
        panic!("{} records", records.len());
    };
    assert_eq!((bytes.level, &*bytes.target), (Level::Error, "part"));
    assert_eq!(&*bytes.message, "a\u{fffd}\x1b");
    assert_eq!(bytes.place.as_ref().expect("known").to_string(), "f.c:7");
    assert_eq!(
        (clamped.level, &*clamped.message),
        (Level::Error, "clamped")
    );
    let (text, note) = large.message.split_once('…').expect("a note");
    assert_eq!(text.len(), (64 << 10) - 1);
    assert!(text.bytes().all(|byte| byte == b'x'));
    assert_eq!(note, " (cut: it has 102400 bytes)");
}

#[test]
fn what_a_library_says_before_anybody_listens_is_kept() {
    let source = r#"
#include "tdrun.h"
static const td_task tasks[] = {{.size = 0}};
static const td_table table = {.magic = TD_MAGIC, .major = 1, .size = sizeof(td_table), .tasks = tasks};
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    host->log(0, TD_LOG_WARN, td_s("entry"), td_s("hello"), td_s(""), 0);
    if (host->cancelled(0) != TD_E_STALE || host->skip(0, td_s("x")) != TD_E_STALE) return NULL;
    return &table;
}
"#;
    load(&c_library("early", source, &[])).expect("fine");
    let heard: Arc<Mutex<Vec<Record>>> = Arc::default();
    let ear = Arc::clone(&heard);
    library::listen(Some(Arc::new(move |record| {
        ear.lock().unwrap().push(record);
    })));
    let heard = heard.lock().unwrap();
    assert!(
        heard
            .iter()
            .any(|record| &*record.target == "entry" && &*record.message == "hello")
    );
}

#[test]
fn threads_of_a_task_may_call_the_host() {
    let loaded = tasks(
        "threads",
        r#"
#include <pthread.h>
#include <stdio.h>
struct caller { const td_host *host; td_ctx ctx; int number; };
static void *work(void *user) {
    struct caller *caller = user;
    char text[16], next[16], key[16];
    snprintf(key, sizeof key, "key%d", caller->number);
    caller->host->state_set(caller->ctx, td_s(key), TD_TEXT, td_s("x"));
    for (int i = 0; i < 20;) {
        if (td_state_copy(caller->host, caller->ctx, "sum", text, sizeof text) != TD_OK) return NULL;
        snprintf(next, sizeof next, "%d", atoi(text) + 1);
        i += caller->host->state_swap(caller->ctx, td_s("sum"), td_s(text), td_s(next)) == TD_OK;
    }
    caller->host->log(caller->ctx, TD_LOG_INFO, td_s(""), td_s("done"), td_s(""), 0);
    return NULL;
}"#,
        &[(
            "many",
            "static struct caller callers[64];
             static pthread_t threads[64];
             td_state_set_json(host, ctx, \"sum\", \"0\");
             for (int i = 0; i < 64; i++) {
                 callers[i] = (struct caller){host, ctx, i};
                 if (pthread_create(&threads[i], NULL, work, &callers[i])) abort();
             }
             for (int i = 0; i < 64; i++) pthread_join(threads[i], NULL);
             return TD_OK;",
        )],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(call(&loaded, "many", &mock), Ending::Passed(None));
    let state = mock.state.lock().unwrap();
    assert_eq!(&*state["sum"], "1280");
    assert_eq!(state.len(), 65);
    assert_eq!(mock.records.lock().unwrap().len(), 64);
}

#[test]
fn a_thread_that_outlives_its_task_reaches_nothing() {
    let loaded = tasks(
        "late",
        r#"
#include <pthread.h>
static const td_host *the_host;
static td_ctx old;
static pthread_t thread;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int32_t codes[8];
static void visit(void *user, td_str value) { (void)user, (void)value; abort(); }
static void *wait_and_call(void *user) {
    (void)user;
    pthread_mutex_lock(&gate);
    td_str x = td_s("x");
    codes[0] = the_host->state_set(old, x, TD_TEXT, x);
    codes[1] = the_host->result_set(old, TD_TEXT, x);
    codes[2] = the_host->fail(old, x, x, 1);
    codes[3] = the_host->log(old, TD_LOG_ERROR, x, x, x, 1);
    codes[4] = the_host->lock(old, x);
    codes[5] = the_host->state_get(old, td_s("y"), TD_JSON, visit, NULL);
    codes[6] = the_host->cancelled(old);
    codes[7] = the_host->state_swap(old, x, x, x);
    return NULL;
}"#,
        &[
            (
                "leaves_a_thread",
                "the_host = host;
                 old = ctx;
                 pthread_mutex_lock(&gate);
                 return pthread_create(&thread, NULL, wait_and_call, NULL);",
            ),
            (
                "is_not_reached",
                "td_state_set_text(host, ctx, \"y\", \"here\");
                 TD_CHECK(host, ctx, (uint32_t)ctx == (uint32_t)old && ctx != old);
                 pthread_mutex_unlock(&gate);
                 pthread_join(thread, NULL);
                 for (int i = 0; i < 8; i++) TD_CHECK(host, ctx, codes[i] == TD_E_STALE);
                 return TD_OK;",
            ),
        ],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(
        call(&loaded, "leaves_a_thread", &mock),
        Ending::Passed(None)
    );
    // The same thread calls, so the same slot is in use again.
    assert_eq!(call(&loaded, "is_not_reached", &mock), Ending::Passed(None));
    assert_eq!(mock.state.lock().unwrap().len(), 1);
    assert!(mock.records.lock().unwrap().is_empty());
}

#[test]
fn a_task_knows_its_name_its_parameters_and_its_attempt() {
    let loaded = tasks(
        "identity",
        "#define IS(code, call) TD_CHECK(host, ctx, (call) == (code))
         static char text[64];",
        &[
            (
                "reads",
                "IS(TD_OK, td_name_copy(host, ctx, text, sizeof text));
                 IS(0, strcmp(text, \"mock::größe\"));
                 IS(TD_OK, td_param_copy(host, ctx, \"env\", text, sizeof text));
                 IS(0, strcmp(text, \"dev\"));
                 IS(TD_E_SPACE, td_name_copy(host, ctx, text, 4));
                 IS(TD_E_SPACE, td_param_copy(host, ctx, \"env\", text, 3));
                 IS(TD_E_NOTFOUND, td_param_copy(host, ctx, \"other\", text, sizeof text));
                 IS(TD_E_ARG, td_param_copy(host, ctx, \"\", text, sizeof text));
                 IS(TD_E_ARG, host->task_name(ctx, NULL, NULL));
                 IS(TD_E_ARG, host->param(ctx, td_s(\"env\"), NULL, NULL));
                 IS(3, host->attempt(ctx));
                 return TD_OK;",
            ),
            (
                "requires",
                "TD_REQUIRE_PARAM(host, ctx, \"env\", text, sizeof text);
                 TD_REQUIRE_PARAM(host, ctx, \"port\", text, sizeof text);
                 return TD_OK;",
            ),
            (
                "takes",
                "TD_REQUIRE_RESULT(host, ctx, \"build::[env]::x_[port]\", text, sizeof text);
                 return TD_OK;",
            ),
            (
                "takes_its_own",
                "TD_REQUIRE_RESULT(host, ctx, \"build::[env]::x\", text, sizeof text);
                 return TD_OK;",
            ),
            (
                "has_no_room",
                "TD_REQUIRE_PARAM(host, ctx, \"env\", text, 2);
                 return TD_OK;",
            ),
        ],
    );
    let mock = Arc::new(Mock {
        arguments: Arguments::new(vec![("env".into(), "dev".into())]),
        ..Mock::default()
    });
    assert_eq!(call(&loaded, "reads", &mock), Ending::Passed(None));
    for (name, expected) in [
        ("requires", "the name of this task has no parameter `port`"),
        (
            "takes",
            "no result of `build::dev::x_[port]`: what is in the brackets is no parameter of this task",
        ),
        (
            "takes_its_own",
            "no result of `build::dev::x` (it did not run, did not pass, or returned nothing); give one with \
             `--result-build::dev::x=VALUE`, or run it too: `--with-deps`",
        ),
        (
            "has_no_room",
            "the parameter `env` is longer than the buffer for it",
        ),
    ] {
        assert_eq!(message(call(&loaded, name, &mock)), expected);
    }
}

/// Why it failed.
fn message(ending: Ending) -> String {
    match ending {
        Ending::Failed(failure) => failure.message.into(),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn progress_arrives_checked_and_cut() {
    let loaded = tasks(
        "progress",
        "",
        &[(
            "tells",
            "static char large[2000];
             memset(large, 'x', sizeof large);
             TD_CHECK(host, ctx, host->progress(ctx, 1, 2, td_s(\"half \\xff\")) == TD_OK);
             TD_CHECK(host, ctx, host->progress(ctx, UINT64_MAX, 0, td_s(NULL)) == TD_OK);
             TD_CHECK(host, ctx, host->progress(ctx, 0, 0, ((td_str){NULL, 3})) == TD_E_ARG);
             return host->progress(ctx, 2, 2, ((td_str){large, sizeof large}));",
        )],
    );
    let mock: Arc<Mock> = Arc::default();
    assert_eq!(call(&loaded, "tells", &mock), Ending::Passed(None));
    let told = mock.progress.lock().unwrap();
    let progress = |done, total, what: &str| Progress {
        done,
        total,
        what: what.into(),
    };
    let cut = "x".repeat(1024) + "… (cut: it has 2000 bytes)";
    assert_eq!(
        *told,
        [
            progress(1, 2, "half \u{fffd}"),
            progress(u64::MAX, 0, ""),
            progress(2, 2, &cut),
        ]
    );
}

#[test]
fn other_tasks_are_started_and_waited_for() {
    let loaded = tasks(
        "others",
        "#define IS(code, call) TD_CHECK(host, ctx, (call) == (code))
         static char text[64];
         static td_buffer buffer;
         static td_buffer *empty(void) {
             text[0] = 0;
             buffer = (td_buffer){text, sizeof text, 0};
             return &buffer;
         }",
        &[
            (
                "asks",
                "IS(TD_OK, host->start(ctx, td_s(\"fine\"), td_copy_to_buffer, empty()));
                 IS(0, text[0]);
                 IS(TD_OK, host->wait(ctx, td_s(\"build::*\"), NULL, NULL));
                 IS(TD_E_ARG, host->start(ctx, td_s(\"\"), td_copy_to_buffer, empty()));
                 IS(TD_E_ARG, host->wait(ctx, td_s(\"\\xff\"), NULL, NULL));
                 return TD_OK;",
            ),
            (
                "is_declined",
                "static const struct { const char *task; int32_t code; } cases[] = {
                     {\"unknown\", TD_E_NOTFOUND}, {\"unfit\", TD_E_ARG}, {\"failed\", TD_E_FAILED},
                     {\"circle\", TD_E_DEADLOCK}, {\"stopped\", TD_E_CANCELLED}, {\"many\", TD_E_LIMIT},
                 };
                 for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                     char expected[64];
                     td_str task = td_s(cases[i].task);
                     IS(cases[i].code, host->start(ctx, task, NULL, NULL));
                     IS(cases[i].code, host->wait(ctx, task, td_copy_to_buffer, empty()));
                     snprintf(expected, sizeof expected, \"`%s` is declined\", cases[i].task);
                     IS(0, strcmp(text, expected));
                 }
                 return TD_OK;",
            ),
            (
                "runs",
                "IS(TD_OK, td_run(host, ctx, \"fine\", text, sizeof text));
                 IS(0, strcmp(text, \"done\"));
                 IS(TD_OK, td_run(host, ctx, \"silent\", text, sizeof text));
                 IS(0, text[0]);
                 IS(TD_OK, td_run(host, ctx, \"fine\", NULL, 0));
                 IS(TD_E_SPACE, td_run(host, ctx, \"fine\", text, 4));
                 IS(TD_E_FAILED, td_run(host, ctx, \"failed\", text, sizeof text));
                 TD_REQUIRE_RUN(host, ctx, \"fine\");
                 TD_REQUIRE_RUN(host, ctx, \"failed\");
                 return TD_OK;",
            ),
            ("runs_nothing", "TD_REQUIRE_RUN(host, ctx, \"\"); return TD_OK;"),
        ],
    );
    let mock = || {
        let declined = [
            ("unknown", Refused::NotFound),
            ("unfit", Refused::Argument),
            ("failed", Refused::Failed),
            ("circle", Refused::Deadlock),
            ("stopped", Refused::Cancelled),
            ("many", Refused::Limit),
        ];
        let results = [("fine".to_owned(), r#""done""#.into())];
        Arc::new(Mock {
            declined: declined.map(|(task, why)| (task.to_owned(), why)).into(),
            results: Mutex::new(results.into()),
            ..Mock::default()
        })
    };
    let host = mock();
    assert_eq!(call(&loaded, "asks", &host), Ending::Passed(None));
    assert_eq!(*host.asked.lock().unwrap(), ["start fine", "wait build::*"]);
    assert_eq!(call(&loaded, "is_declined", &mock()), Ending::Passed(None));
    let failed = message(call(&loaded, "runs", &mock()));
    assert_eq!(failed, "`failed` is declined");
    let failed = message(call(&loaded, "runs_nothing", &mock()));
    assert_eq!(failed, "cannot run ``: error -2");
}

#[test]
fn a_call_that_is_given_up_reaches_nothing_any_more() {
    let loaded = tasks(
        "given_up",
        "static void visit(void *user, td_str value) { (void)user, (void)value; abort(); }",
        &[(
            "goes_on",
            "td_str x = td_s(\"x\");
             int32_t codes[] = {
                 host->log(ctx, TD_LOG_ERROR, x, x, x, 1),
                 host->fail(ctx, x, x, 1),
                 host->skip(ctx, x),
                 host->cancelled(ctx),
                 host->result_set(ctx, TD_TEXT, x),
                 host->result_get(ctx, x, TD_TEXT, visit, NULL),
                 host->state_get(ctx, x, TD_TEXT, visit, NULL),
                 host->state_set(ctx, x, TD_TEXT, x),
                 host->state_swap(ctx, x, (td_str){NULL, 0}, x),
                 host->lock(ctx, x),
                 host->unlock(ctx, x),
                 host->task_name(ctx, visit, NULL),
                 host->param(ctx, x, visit, NULL),
                 host->attempt(ctx),
                 host->progress(ctx, 1, 2, x),
                 host->start(ctx, x, visit, NULL),
                 host->wait(ctx, x, visit, NULL),
             };
             for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
                 if (codes[i] != TD_E_STALE) return 100 + (int32_t)i;
             return TD_FAIL;",
        )],
    );
    let mock: Arc<Mock> = Arc::default();
    mock.over.store(true, Ordering::Relaxed);
    assert_eq!(
        call(&loaded, "goes_on", &mock),
        Ending::failed("returned TD_FAIL without saying why")
    );
    assert!(mock.asked.lock().unwrap().is_empty() && mock.state.lock().unwrap().is_empty());
    assert!(mock.records.lock().unwrap().is_empty() && mock.locks.lock().unwrap().is_empty());
}

#[test]
fn who_waits_beyond_the_end_of_the_task_is_told_so() {
    waits_too_long("late_lock", "lock(old, td_s(\"slow\"))");
    waits_too_long("late_wait", "wait(old, td_s(\"other\"), visit, NULL)");
}

/// A thread of a task is still waiting when the task ends and another one takes its slot.
fn waits_too_long(name: &str, wait: &str) {
    let before = "#include <pthread.h>
         static const td_host *the_host;
         static td_ctx old;
         static pthread_t thread;
         static int32_t code;
         __attribute__((unused)) static void visit(void *user, td_str why) { (void)user, (void)why; abort(); }
         static void *wait_for_it(void *user) {
             (void)user;
             code = the_host->WAIT;
             return NULL;
         }";
    let loaded = tasks(
        name,
        &before.replace("WAIT", wait),
        &[
            (
                "asks",
                "the_host = host;
                 old = ctx;
                 if (pthread_create(&thread, NULL, wait_for_it, NULL)) return TD_FAIL;
                 return host->lock(ctx, td_s(\"asked\"));",
            ),
            (
                "hears",
                "host->unlock(ctx, td_s(\"let go\"));
                 pthread_join(thread, NULL);
                 return code;",
            ),
        ],
    );
    let host = Arc::new(SlowLock::default());
    let run = |name: &str| {
        let host: Arc<dyn Host> = Arc::clone(&host) as _;
        call_with(&loaded, name, &host)
    };
    assert_eq!(run("asks"), Ending::Passed(None));
    assert_eq!(run("hears"), Ending::failed("returned -1 (TD_E_STALE)"));
    assert_eq!(*host.unlocked.lock().unwrap(), ["let go"]);
}

/// A host whose lock `slow` is granted only after `let go`, and whose lock `asked` waits until `slow` is waited for. Tasks
/// are waited for as that lock is.
#[derive(Default)]
struct SlowLock {
    mock: Mock,
    unlocked: Mutex<Vec<String>>,
    step: Mutex<u32>,
    changed: std::sync::Condvar,
}

impl SlowLock {
    fn set(&self, step: u32) {
        *self.step.lock().unwrap() = step;
        self.changed.notify_all();
    }

    fn wait_until(&self, step: u32) {
        let now = self.step.lock().unwrap();
        drop(self.changed.wait_while(now, |now| *now < step).unwrap());
    }
}

impl Host for SlowLock {
    fn observed(&self, _: tdrun::task::Observed) {}
    fn is_over(&self) -> bool {
        false
    }
    fn name(&self) -> &'static str {
        "mock"
    }
    fn arguments(&self) -> &Arguments {
        self.mock.arguments()
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn progress(&self, progress: Progress) {
        self.mock.progress(progress);
    }
    fn when_cancelled(&self, act: Box<dyn Fn(Cancel) + Send + Sync>) {
        self.mock.when_cancelled(act);
    }
    fn grace(&self) -> std::time::Duration {
        self.mock.grace()
    }
    fn start(&self, task: &str) -> Result<(), Declined> {
        self.mock.start(task)
    }
    /// Waits as for the lock; and does not find what it waited for.
    fn wait(&self, task: &str) -> Result<(), Declined> {
        self.set(1);
        self.wait_until(2);
        let why = format!("there is no `{task}`");
        let refused = Refused::NotFound;
        Err(Declined { refused, why })
    }
    fn log(&self, record: Record) {
        self.mock.log(record);
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn result(&self, task: &str) -> Option<Json> {
        self.mock.result(task)
    }
    fn state(&self, key: &str) -> Option<Json> {
        self.mock.state(key)
    }
    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        self.mock.set_state(key, value)
    }
    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        self.mock.swap_state(key, expected, value)
    }
    fn lock(&self, name: &str) -> Result<(), Refused> {
        if name == "slow" {
            self.set(1);
            self.wait_until(2);
        } else {
            self.wait_until(1);
        }
        Ok(())
    }
    fn unlock(&self, name: &str) -> Result<(), Refused> {
        self.unlocked.lock().unwrap().push(name.to_owned());
        if name == "let go" {
            self.set(2);
        }
        Ok(())
    }
}

#[test]
fn handles_that_were_never_given_out_are_stale() {
    all_pass(&tasks(
        "garbage",
        "",
        &[(
            "guesses",
            "uint64_t seed = 88172645463325252u;
             td_ctx known[] = {0, 1, ~UINT64_C(0), ctx ^ (UINT64_C(1) << 32), ctx ^ (UINT64_C(1) << 63), ctx + 1000, (uint32_t)ctx};
             for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                 TD_CHECK(host, ctx, host->cancelled(known[i]) == TD_E_STALE);
             for (int i = 0; i < 100000; i++) {
                 seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
                 TD_CHECK(host, ctx, seed == ctx || host->cancelled(seed) == TD_E_STALE);
             }
             TD_CHECK(host, ctx, host->cancelled(ctx) == 0);
             return TD_OK;",
        )],
    ));
}

#[test]
fn calls_at_the_same_time_have_contexts_of_their_own() {
    let loaded = tasks(
        "parallel",
        "",
        &[(
            "echo",
            "char text[32];
             for (int i = 0; i < 100; i++) {
                 if (td_state_copy(host, ctx, \"me\", text, sizeof text) != TD_OK) return 3;
                 if (td_result_text(host, ctx, text) != TD_OK) return 4;
             }
             return TD_OK;",
        )],
    );
    std::thread::scope(|scope| {
        for number in 0..16 {
            let loaded = &loaded;
            scope.spawn(move || {
                let mock: Arc<Mock> = Arc::default();
                let me: Arc<str> = format!("\"thread {number}\"").into();
                mock.state
                    .lock()
                    .unwrap()
                    .insert("me".into(), Arc::clone(&me));
                for _ in 0..100 {
                    assert_eq!(
                        call(loaded, "echo", &mock),
                        Ending::Passed(Some(Arc::clone(&me)))
                    );
                }
            });
        }
    });
}
