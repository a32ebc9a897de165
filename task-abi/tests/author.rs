//! What the safe side does for an author, seen from the host: every kind of task of a fixture library, through the C table.

mod host;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use host::{Ended, Library, Record};
use serde_json::{Value, json};
use task_abi::raw;

fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| host::build_example("author_fixture"))
}

fn library() -> Library {
    Library::load(path())
}

/// The line of the fixture that contains `text`.
fn line(text: &str) -> u32 {
    let source = include_str!("fixtures/library.rs");
    let index = source.lines().position(|line| line.contains(text));
    u32::try_from(index.expect("the fixture has the line")).unwrap() + 1
}

fn place(text: &str) -> String {
    format!("library.rs:{}", line(text))
}

// ---- The table ----

#[test]
fn tasks_of_private_modules_and_of_mentioned_crates_are_in_the_table() {
    let library = library();
    for name in [
        "fetch_user",
        "type",
        "unmentioned",
        "shared_step",
        "hidden_step",
    ] {
        library.task(name);
    }
    assert!(
        !library
            .names()
            .iter()
            .any(|name| name.starts_with("not_there"))
    );
}

#[test]
fn tasks_stand_in_the_order_of_their_declaration() {
    let library = library();
    let places: Vec<_> = library
        .tasks
        .iter()
        .map(|task| (&task.file, task.line))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    let from_macro: Vec<_> = library
        .names()
        .into_iter()
        .filter(|name| name.starts_with("from_macro"))
        .collect();
    assert_eq!(from_macro, ["from_macro_b", "from_macro_a"]);
}

#[test]
fn a_task_carries_doc_tags_and_place() {
    let library = library();
    let task = library.task("fetch_user");
    assert_eq!(task.doc, "Makes a user.\n\nOn two lines.");
    assert_eq!(task.tags, ["io", "smoke"]);
    assert_eq!(task.line, line("fn fetch_user() -> User"));
    assert!(
        task.file.ends_with("tests/fixtures/library.rs"),
        "{}",
        task.file
    );
}

#[test]
fn paths_strings_and_parameters_become_dependencies() {
    let library = library();
    assert_eq!(
        library.task("a name with spaces").after,
        ["fetch_user", "type", "shared_step", "late", "late"]
    );
    assert_eq!(
        library.task("after_everything").after,
        ["a name with spaces", "helper", "other::task"]
    );
    assert_eq!(library.task("takes_user").after, ["fetch_user"]);
    assert_eq!(library.task("hidden_step").after, ["shared_step"]);
    assert_eq!(library.task("takes_state").after, [""; 0]);
}

#[test]
fn a_library_that_unwinds_says_so() {
    assert_eq!(library().flags & raw::TABLE_PANIC_ABORT, 0);
}

// ---- Results ----

#[test]
fn what_a_task_returns_is_its_result() {
    let library = library();
    let cases = [
        ("fetch_user", json!({"id": 7, "name": "ada"})),
        ("returns_alias", json!([1, 2])),
        ("returns_none", Value::Null),
        ("returns_str", json!("text")),
        ("returns_impl", json!([1.5, 2.0])),
        ("shared_step", json!(8)),
    ];
    for (name, result) in cases {
        assert_eq!(library.run(name), Ended::passed(result), "{name}");
    }
    assert_eq!(library.run("late"), Ended::Passed(None));
    assert_eq!(library.run("returns_ok_unit"), Ended::Passed(None));
}

#[test]
fn a_result_that_the_host_cannot_take_fails_the_task() {
    let library = library();
    let ended = library.run("returns_map_of_tuples");
    assert_eq!(
        ended.message(),
        "the result cannot be written as JSON: key must be a string"
    );
    library.limit_results(4);
    let ended = library.run("returns_too_much");
    assert_eq!(ended.message(), "the result is larger than 64 MiB");
    assert_eq!(ended.place(), place("fn returns_too_much"));
}

// ---- Failures ----

#[test]
fn errors_of_every_type_fail_the_task_in_their_words() {
    let library = library();
    let chain = "cannot save\ncaused by: the disk is full";
    let cases = [
        ("fails_with_source", chain, "fn fails_with_source"),
        ("fails_in_a_box", chain, "fn fails_in_a_box"),
        ("fails_like_anyhow", chain, "fn fails_like_anyhow"),
        (
            "fails_by_question_mark",
            "invalid digit found in string",
            r#""x".parse::<u8>()?"#,
        ),
        ("fails_by_bail", "bailed 2", "bail!(\"bailed"),
        ("fails_with_text", "only text", "fn fails_with_text"),
        ("fails_with_debug", "Code(3)", "fn fails_with_debug"),
        (
            "fails_with_failure",
            "of its own",
            "Failure::new(\"of its own",
        ),
    ];
    for (name, message, at) in cases {
        let ended = library.run(name);
        assert_eq!(ended.message(), message, "{name}");
        assert_eq!(ended.place(), place(at), "{name}");
    }
}

// ---- Panics ----

#[test]
fn a_panic_is_a_failure_with_message_and_place() {
    let library = library();
    let cases = [
        ("panics_with_str", "panicked: plain", "panic!(\"plain"),
        (
            "panics_with_string",
            "panicked: formatted 5",
            "panic!(\"formatted",
        ),
        ("panics_for_good", "panicked: never", "panic!(\"never"),
        (
            "panics_with_assert",
            "panicked: assertion `left == right` failed\n  left: 2\n right: 3",
            "assert_eq!(left, 3)",
        ),
        (
            "panics_with_any",
            "panicked: with a value that is no text",
            "panic_any(Code",
        ),
        (
            "panics_with_a_bomb",
            "panicked: with a value that is no text",
            "panic_any(Bomb",
        ),
        (
            "panics_when_the_result_is_dropped",
            "panicked: in drop",
            "panic!(\"in drop",
        ),
        (
            "panics_when_the_error_is_shown",
            "panicked: no words",
            "panic!(\"no words",
        ),
    ];
    for (name, message, at) in cases {
        let ended = library.run(name);
        assert_eq!(ended.words(), message, "{name}");
        assert_eq!(ended.place(), place(at), "{name}");
    }
}

#[test]
fn a_panic_that_the_task_catches_itself_is_no_failure() {
    let library = library();
    let ended = library.run("catches_its_own_panic");
    assert_eq!(ended, Ended::passed(json!("went on")));
}

#[test]
fn a_panic_passed_on_from_a_thread_keeps_its_words_and_takes_no_others_place() {
    let library = library();
    let ended = library.run("catches_one_and_passes_on_another");
    assert_eq!(ended.words(), "panicked: from a thread");
    assert_eq!(ended.place(), place("fn catches_one_and_passes_on_another"));
}

// ---- Skips ----

#[test]
fn a_task_skips_itself_by_call_by_value_and_through_a_box() {
    let library = library();
    let skipped = |reason: &str| Ended::Skipped(reason.to_owned());
    assert_eq!(library.run("skips"), skipped("no network"));
    assert_eq!(library.run("skips_by_value"), skipped("no display"));
    assert_eq!(library.run("skips_in_a_box"), skipped("no luck"));
}

// ---- Parameters ----

#[test]
fn parameters_take_results_typed() {
    let library = library();
    library.run("fetch_user");
    let ended = library.run("takes_user");
    assert_eq!(ended, Ended::passed(json!("takes_user saw ada")));
    assert_eq!(library.get("seen"), Some(json!(7)));
}

#[test]
fn a_string_from_the_command_line_is_read_as_the_type_that_asks() {
    let library = library();
    library.result("number", json!("5"));
    assert_eq!(library.run("takes_number"), Ended::passed(json!(5)));
    assert_eq!(library.run("takes_text"), Ended::passed(json!("5")));
    assert_eq!(library.run("takes_optional"), Ended::passed(json!(true)));
    library.result("fetch_user", json!(r#"{"id":1,"name":"bob"}"#));
    let ended = library.run("takes_user");
    assert_eq!(ended, Ended::passed(json!("takes_user saw bob")));
}

#[test]
fn a_missing_result_is_none_or_unit_or_a_message_that_says_what_to_type() {
    let library = library();
    assert_eq!(library.run("takes_optional"), Ended::passed(json!(false)));
    assert_eq!(library.run("takes_unit"), Ended::Passed(None));
    let ended = library.run("takes_user");
    assert_eq!(
        ended.message(),
        "no result of `fetch_user` (it did not run, did not pass, or returned nothing); \
         give one with `--result-fetch_user=VALUE`, or run it too: `--with-deps`"
    );
    assert_eq!(ended.place(), place("fn takes_user"));
}

#[test]
fn a_result_that_does_not_fit_says_parameter_type_value_and_reason() {
    let library = library();
    library.result("fetch_user", json!({"id": 7}));
    library.result("number", json!("five"));
    assert_eq!(
        library.run("takes_user").message(),
        "parameter `fetch_user`: the result of `fetch_user` does not fit `User`: \
         missing field `name`; the value is {\"id\":7}"
    );
    assert_eq!(
        library.run("takes_number").message(),
        "parameter `number`: the result of `number` does not fit `u32`: \
         invalid type: string \"five\", expected u32; the value is \"five\""
    );
    let ended = library.run("takes_generic");
    let wanted = "does not fit `std::collections::BTreeMap<String, Vec<u8>>`";
    assert!(ended.message().contains(wanted), "{ended:?}");
}

#[test]
fn results_can_be_asked_for_by_name() {
    let library = library();
    library.result("fetch_user", json!({"id": 1, "name": "ada"}));
    let said = "ada: the result of `fetch_user` does not fit `Vec<User>`: \
                invalid type: map, expected a sequence; the value is {\"id\":1,\"name\":\"ada\"}";
    assert_eq!(library.run("asks_for_results"), Ended::passed(json!(said)));
}

#[test]
fn state_parameters_are_typed_and_optional_ones_may_be_missing() {
    let library = library();
    assert_eq!(
        library.run("takes_state").message(),
        "no state key `env`; give one with `--env=VALUE`"
    );
    library.set("env", json!("dev"));
    assert_eq!(library.run("takes_state"), Ended::passed(json!("dev None")));
    library.set("api-key", json!("12"));
    assert_eq!(
        library.run("takes_state"),
        Ended::passed(json!("dev Some(12)"))
    );
    library.set("api-key", json!([]));
    assert_eq!(
        library.run("takes_state").message(),
        "parameter `key`: the state key `api-key` does not fit `Option<u32>`: \
         invalid type: sequence, expected u32; the value is []"
    );
}

// ---- Context and state ----

#[test]
fn the_state_is_read_written_swapped_and_removed() {
    let library = library();
    let ended = library.run("works_the_state");
    assert_eq!(
        ended.message(),
        "the state key `list` does not fit `bool`: \
         invalid type: sequence, expected a boolean; the value is [1,2]"
    );
    assert_eq!(library.get("new"), None);
}

#[test]
fn updates_from_many_threads_lose_nothing() {
    let library = library();
    assert_eq!(
        library.run("counts_from_threads"),
        Ended::passed(json!(400))
    );
}

#[test]
fn locks_are_reentrant_and_released_by_their_guards() {
    let library = library();
    assert_eq!(library.run("locks_twice"), Ended::Passed(None));
    let calls = ["lock door", "lock door", "unlock door", "unlock door"];
    assert_eq!(library.lock_calls(), calls);
}

#[test]
fn a_context_kept_beyond_its_task_answers_with_errors() {
    let library = library();
    library.run("keeps_its_context");
    let ended = library.run("uses_a_late_context");
    let Ended::Passed(Some(Value::Array(errors))) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(errors.len(), 7);
    assert_eq!(
        errors[0],
        "the result of `fetch_user` cannot be reached: the task has ended"
    );
    assert_eq!(library.get("k"), None);
}

// ---- The log ----

#[test]
fn log_records_reach_the_host_with_their_task() {
    let library = library();
    library.run("logs");
    let record = |of_task, level, target: &str, message: &str| Record {
        of_task,
        level,
        target: target.to_owned(),
        message: message.to_owned(),
    };
    let target = "author_fixture";
    assert_eq!(
        library.take_log(),
        [
            record(true, raw::LOG_INFO, target, "plain"),
            record(true, raw::LOG_WARN, "net", "formatted 1"),
            record(true, raw::LOG_ERROR, target, "inside"),
            record(false, raw::LOG_ERROR, target, "outside"),
        ]
    );
}

// ---- Hooks ----

#[test]
fn setups_run_in_order_and_teardowns_in_reverse() {
    let library = library();
    assert_eq!(library.setup(), Ended::Passed(None));
    assert_eq!(library.teardown(), Ended::Passed(None));
    assert_eq!(
        library.get("order"),
        Some(json!([
            "setup_first",
            "setup_second",
            "setup_third",
            "teardown_third",
            "teardown_second",
            "teardown_first",
        ]))
    );
}

#[test]
fn a_failed_setup_is_the_last_and_failed_teardowns_stop_nobody() {
    let library = library();
    library.set("fail", json!("true"));
    let ended = library.setup();
    assert_eq!(ended.message(), "no database");
    assert_eq!(ended.place(), place("Failure::new(\"no database"));
    let ended = library.teardown();
    let message = ended.message();
    assert!(message.starts_with("panicked: assertion `left != right` failed"));
    assert!(message.ends_with(": cannot tidy up"), "{message}");
    assert_eq!(
        library.get("order"),
        Some(json!([
            "setup_first",
            "setup_second",
            "teardown_third",
            "teardown_second",
            "teardown_first",
        ]))
    );
}

// ---- What only another process can see ----

/// Runs tasks of the fixture in a process of their own, which then ends at once.
fn in_a_process(tasks: &str, environment: &[(&str, &str)]) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "the_other_process", "--nocapture", "--ignored"]);
    child.env_remove("RUST_BACKTRACE");
    child.env("TASKS", tasks).env("FIXTURE", path());
    child.envs(environment.iter().copied());
    child.output().unwrap()
}

#[test]
#[ignore = "the other side of the tests below"]
fn the_other_process() {
    let library = Library::load(&PathBuf::from(std::env::var_os("FIXTURE").unwrap()));
    for task in std::env::var("TASKS").unwrap().split(',') {
        let ended = library.run(task);
        if let Some(expected) = std::env::var_os("EXPECTED") {
            let expected = expected.into_string().unwrap();
            assert!(ended.message().contains(&expected), "{ended:?}");
        }
    }
    std::process::abort();
}

#[test]
fn what_a_task_prints_is_flushed_when_it_ends() {
    let output = in_a_process("prints", &[]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.ends_with("no newline"), "{stdout}");
}

#[test]
fn panics_of_tasks_print_nothing_and_those_of_their_threads_name_the_task() {
    let output = in_a_process("panics_with_str,panics_on_a_named_thread", &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("plain"), "{stderr}");
    assert!(
        stderr.contains("in task `panics_on_a_named_thread`:"),
        "{stderr}"
    );
    assert!(stderr.contains("beside the task"), "{stderr}");
}

#[test]
fn a_backtrace_is_part_of_the_message_where_it_is_wanted() {
    let environment = [
        ("RUST_BACKTRACE", "1"),
        ("EXPECTED", "plain\nstack backtrace:\n"),
    ];
    let output = in_a_process("panics_with_str", &environment);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_second_panic_in_a_destructor_leaves_its_words_on_stderr() {
    let output = in_a_process("panics_twice", &[]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("in task `panics_twice`:"), "{stderr}");
    assert!(
        stderr.contains("panic in a destructor during cleanup"),
        "{stderr}"
    );
}
