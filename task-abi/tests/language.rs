//! All that a task can be declared with, by attribute and by code, and what a task can ask for: seen from the host.

mod host;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use host::{Ended, Library, Program, Task};
use serde_json::json;
use task_abi::raw;

fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| host::build_example("language_fixture"))
}

fn library() -> Library {
    Library::load(path())
}

/// `language.rs:line` of the line of the fixture that contains `text`.
fn place(text: &str) -> String {
    let source = include_str!("fixtures/language.rs");
    let index = source.lines().position(|line| line.contains(text));
    format!(
        "language.rs:{}",
        index.expect("the fixture has the line") + 1
    )
}

/// The text without the directories of the fixture.
fn names_of_files(text: &str) -> String {
    let (words, path) = text.rsplit_once('(').expect("it has a place");
    let file = path.rsplit('/').next().unwrap_or(path);
    format!("{words}({file}")
}

fn choices(task: &Task, parameter: &str) -> Result<Vec<String>, String> {
    let parameter = task.parameters.iter().find(|p| p.name == parameter);
    let parameter = parameter.expect("the table has the parameter");
    parameter.choices.clone().expect("it has choices")
}

// ---- Templates ----

#[test]
fn a_template_carries_its_parameters_choices_and_types() {
    let library = library();
    let build = library.task("build::[env]::[arch]");
    assert_eq!(build.after, ["lint::[env]", "fetch", "fetch"]);
    assert_eq!(build.tags, ["build", "on_[arch]"]);
    assert_eq!(choices(build, "env").unwrap(), ["dev", "prod"]);
    assert_eq!(choices(build, "arch").unwrap(), ["32", "64"]);
    let types: Vec<_> = build
        .parameters
        .iter()
        .map(|p| (&*p.name, &*p.type_name))
        .collect();
    assert_eq!(types, [("env", "Env"), ("arch", "String")]);

    let lint = library.task("lint::[env]");
    assert!(lint.parameters.is_empty(), "{:?}", lint.parameters);
    let wait = library.task("wait_[seconds]s");
    assert_eq!(
        choices(wait, "seconds").unwrap(),
        ["-1", "2.5", "c", "true", "x"]
    );
    assert_eq!(wait.parameters[0].type_name, "Option<f64>");
}

#[test]
fn a_value_is_checked_as_it_will_be_read() {
    let library = library();
    let env = &library.task("build::[env]::[arch]").parameters[0];
    assert_eq!(env.check("dev"), Ok(()));
    assert_eq!(
        env.check("moon"),
        Err("unknown variant `moon`, expected `dev` or `prod`".to_owned())
    );
    let seconds = &library.task("wait_[seconds]s").parameters[0];
    assert_eq!(seconds.check("2.5"), Ok(()));
    assert_eq!(
        seconds.check("x"),
        Err("invalid type: string \"x\", expected f64".to_owned())
    );
}

#[test]
fn choices_that_cannot_be_found_say_why_and_where() {
    let library = library();
    let why = choices(library.task("deploy::[env]"), "env").unwrap_err();
    assert_eq!(
        names_of_files(&why),
        format!("panicked: no network ({})", place("panic!(\"no network"))
    );
    assert_eq!(
        choices(library.task("skip::[env]"), "env"),
        Err("skipped itself: not today".to_owned())
    );
}

#[test]
fn a_task_of_a_template_knows_its_name_and_its_typed_parameters() {
    let library = library();
    let said = json!("build::prod::64: Prod 64");
    assert_eq!(library.run("build::prod::64"), Ended::passed(said));
    assert_eq!(library.run("lint::7"), Ended::passed(json!(7)));
    assert_eq!(
        library.run("lint::x").message(),
        "the parameter `env` does not fit `u16`: invalid type: string \"x\", expected u16; \
         the value is \"x\""
    );
    assert_eq!(
        library.run("build::moon::64").message(),
        "the parameter `env` does not fit `Env`: unknown variant `moon`, expected `dev` or `prod`; \
         the value is \"moon\""
    );
    assert_eq!(library.run("wait_2.5s"), Ended::passed(json!(2.5)));
}

#[test]
fn paths_to_templates_stand_for_their_names_and_results_are_filled_in() {
    let library = library();
    let pack = library.task("pack::[env]");
    let after = ["build::[env]::[arch]", "build::[env]::x[env]", "fetch"];
    assert_eq!(pack.after, after);
    assert_eq!(pack.before, ["deploy::[env]"]);
    assert_eq!(pack.then, ["announce", "fetch"]);
    library.result("build::dev::xdev", json!("it"));
    assert_eq!(library.run("pack::dev"), Ended::passed(json!("it")));
    assert_eq!(
        library.run("pack::prod").message(),
        "no result of `build::prod::xprod` (it did not run, did not pass, or returned nothing); give \
         one with `--result-build::prod::xprod=VALUE`, or run it too: `--with-deps`"
    );
}

// ---- Options ----

#[test]
fn every_option_reaches_the_table() {
    let library = library();
    let task = library.task("everything");
    assert_eq!(task.locks, ["db", "cache:r"]);
    let raw = task.raw;
    assert_eq!(
        (raw.wave, raw.condition, raw.priority, raw.retries),
        (8, raw::NO_FAILURES, -5, 2)
    );
    assert_eq!((raw.retry_delay_ms, raw.timeout_ms), (90_000, 1500));
    let flags = raw::TASK_EXCLUSIVE | raw::TASK_RETRY_TIMEOUT | raw::TASK_ISOLATE;
    assert_eq!(raw.flags, flags);
    assert_eq!(library.task("cleans_up").raw.condition, raw::ALWAYS);
    assert_eq!(library.task("apart").raw.flags, raw::TASK_ISOLATE);

    let own = library.task("own_names::[n]");
    assert_eq!((&*own.after, own.raw.wave), (&["tasks".to_owned()][..], 1));

    let plain = library.task("fetch").raw;
    assert_eq!(
        (
            plain.wave,
            plain.condition,
            plain.priority,
            plain.retries,
            plain.flags
        ),
        (0, raw::AFTER_PASSED, 0, 0, 0)
    );
    assert_eq!((plain.retry_delay_ms, plain.timeout_ms), (0, 0));
}

#[test]
fn a_task_knows_which_attempt_it_is() {
    let library = library();
    assert_eq!(library.run("everything"), Ended::passed(json!(1)));
    library.attempt(3);
    assert_eq!(library.run("everything"), Ended::passed(json!(3)));
}

// ---- Commands ----

fn program(argv: &[&str], shell: &str) -> Program {
    Program {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        shell: shell.to_owned(),
        cwd: String::new(),
        env: Vec::new(),
        flags: 0,
    }
}

#[test]
fn commands_carry_what_they_run_and_how() {
    let library = library();
    let tar = library.task("tar::[env]");
    assert_eq!(tar.raw.kind, raw::KIND_COMMAND);
    assert!(tar.raw.run.is_none());
    assert_eq!(tar.doc, "Packs it all.\n\nWith tar.");
    assert_eq!(tar.after, ["fetch", "build::[env]::64"]);
    assert_eq!(tar.tags, ["pack"]);
    assert_eq!(choices(tar, "env").unwrap(), ["dev"]);
    assert_eq!(
        (tar.raw.flags, tar.raw.timeout_ms),
        (raw::TASK_EXCLUSIVE, 3_600_000)
    );
    assert_eq!(
        format!("language.rs:{}", tar.line),
        place("name = \"tar::[env]\"")
    );
    let expected = Program {
        cwd: "dist".to_owned(),
        env: vec!["LANG=C".to_owned(), "HOME=/[env]".to_owned()],
        flags: raw::COMMAND_UNCHECKED,
        ..program(&["tar", "czf", "[env].tgz"], "")
    };
    assert_eq!(tar.command, Some(expected));

    let count = library.task("count");
    assert_eq!(count.doc, "Counts files.");
    assert_eq!(count.command, Some(program(&[], "ls | wc -l")));
    assert!(!library.names().contains(&"not there"));
}

#[test]
fn a_task_takes_what_became_of_a_command() {
    let library = library();
    assert_eq!(library.task("takes_a_command").after, ["tar::dev"]);
    let result = json!({
        "command": "tar czf dev.tgz", "shell": false, "returncode": 2, "stdout": "", "stderr": "no",
        "cwd": "/dist",
    });
    library.result("tar::dev", result);
    assert_eq!(library.run("takes_a_command"), Ended::passed(json!(2)));
}

// ---- By code ----

#[test]
fn tasks_by_code_stand_where_their_function_does() {
    let library = library();
    let names = library.names();
    let first = names.iter().position(|name| *name == "load_0").unwrap();
    assert_eq!(
        names[first - 1..][..9],
        [
            "takes_a_command",
            "load_0",
            "load_1",
            "made::[n]",
            "list",
            "lines",
            "stands_between",
            "unit",
            "text",
        ]
    );
}

#[test]
fn tasks_by_code_are_declared_as_those_of_attributes() {
    let library = library();
    let load = library.task("load_1");
    assert_eq!(
        (&*load.doc, &*load.after),
        ("Loads.", &["load_0".to_owned()][..])
    );
    assert_eq!(
        (&load.tags, &load.locks),
        (&vec!["load".to_owned()], &vec!["db".to_owned()])
    );
    assert_eq!(
        (load.raw.wave, load.raw.retries, load.raw.priority),
        (1, 3, 1)
    );
    assert_eq!((load.raw.retry_delay_ms, load.raw.timeout_ms), (1000, 1));
    assert_eq!(load.raw.condition, raw::NO_FAILURES);
    assert_eq!(
        format!("language.rs:{}", load.line),
        place(".add(format!(\"load_{shard}\")")
    );
    assert_eq!(library.run("load_1"), Ended::passed(json!("load_1 of 1")));

    let made = library.task("made::[n]");
    assert_eq!(choices(made, "n").unwrap(), ["1", "2", "3"]);
    assert_eq!(made.parameters[0].type_name, "Option<u32>");
    let reason = "invalid type: string \"x\", expected u32".to_owned();
    assert_eq!(made.parameters[0].check("x"), Err(reason));
    assert_eq!(
        (&*made.before, &*made.then),
        (
            &["deploy::[n]".to_owned()][..],
            &["announce".to_owned()][..]
        )
    );
    assert_eq!(library.run("made::3"), Ended::passed(json!(4)));

    let expected = Program {
        cwd: "/".to_owned(),
        env: vec!["LANG=C".to_owned()],
        flags: raw::COMMAND_UNCHECKED,
        ..program(&["ls", "-l"], "")
    };
    assert_eq!(library.task("list").command, Some(expected));
    assert_eq!(
        library.task("lines").command,
        Some(program(&[], "ls | wc -l"))
    );
}

#[test]
fn closures_return_what_functions_do() {
    let library = library();
    let result = |name| library.run(name);
    assert_eq!(result("unit"), Ended::Passed(None));
    assert_eq!(result("text"), Ended::passed(json!("text")));
    assert_eq!(result("map"), Ended::passed(json!({"a": 1})));
    assert_eq!(result("own"), Ended::passed(json!("prod")));
    assert_eq!(result("ok unit"), Ended::Passed(None));
    assert_eq!(result("ok own"), Ended::passed(json!("dev")));
    assert_eq!(result("skip"), Ended::Skipped("no display".to_owned()));
    assert_eq!(
        result("unwinding skip"),
        Ended::Skipped("no luck".to_owned())
    );
    for (name, words, at) in [
        (
            "question mark",
            "invalid digit found in string",
            "Ok(\"x\".parse()?)",
        ),
        (
            "error",
            "invalid digit found in string",
            "tasks.add(\"error\"",
        ),
        ("boxed", "boxed words", "tasks.add(\"boxed\""),
        ("words", "only words", "tasks.add(\"words\""),
        ("string", "a string", "tasks.add(\"string\""),
        ("panic", "panicked: by code", "panic!(\"by code"),
        ("failure", "of its own", "Failure::new(\"of its own"),
    ] {
        let ended = library.run(name);
        assert_eq!(ended.words(), words, "{name}");
        assert_eq!(ended.place(), place(at), "{name}");
    }
}

#[test]
fn a_function_that_fails_refuses_the_library_instead_of_losing_tasks() {
    let library = library();
    let fails = library.task("fails::[tasks]");
    let why = choices(fails, "tasks").unwrap_err();
    assert_eq!(
        names_of_files(&why),
        format!("no list of shards ({})", place("bail!(\"no list"))
    );
    assert_eq!(format!("language.rs:{}", fails.line), place("fn fails("));
    let why = choices(library.task("panics::[tasks]"), "tasks").unwrap_err();
    assert_eq!(
        names_of_files(&why),
        format!("panicked: no shards ({})", place("panic!(\"no shards"))
    );
    assert!(
        !library
            .names()
            .iter()
            .any(|name| name.starts_with("never seen"))
    );
}

// ---- From inside of a task ----

#[test]
fn a_task_starts_others_and_sums_their_results() {
    let library = library();
    assert_eq!(library.run("sum::0::4"), Ended::passed(json!(6)));
    let started = library.started();
    assert!(
        started.starts_with(&["sum::0::2".to_owned(), "sum::2::4".to_owned()]),
        "{started:?}"
    );
}

#[test]
fn waiting_in_vain_is_an_error_that_says_why() {
    let library = library();
    let ended = library.run("waits_for_others");
    assert_eq!(
        ended,
        Ended::passed(json!([
            "no task `nobody`",
            format!("`panic` failed: {}", library.run("panic").message()),
            "the task `waits_for_others` cannot be waited for: it waits for this one",
            "no result of `fetch`: it skipped itself, or returned nothing",
            "the result of `text` does not fit `u8`: invalid type: string \"text\", expected u8; \
             the value is \"text\"",
        ]))
    );
}

#[test]
fn a_task_tells_how_far_it_is() {
    let library = library();
    assert_eq!(library.run("progresses"), Ended::Passed(None));
    let expected = [(1, 3, String::new()), (2, 0, "mixing".to_owned())];
    assert_eq!(library.progress(), expected);
}

/// A library asks its host once what it has, so this takes a process of its own.
#[test]
fn an_older_host_is_told_apart_instead_of_called() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "under_an_older_host", "--nocapture", "--ignored"]);
    let output = child.env("FIXTURE", path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "the other side of the test above"]
fn under_an_older_host() {
    let path = PathBuf::from(std::env::var_os("FIXTURE").unwrap());
    let library = Library::load_under(&path, &host::FIRST_HOST);
    let too_old = "needs a newer tdrun than the one that runs this";
    assert_eq!(
        library.run("under_an_old_host"),
        Ended::passed(json!([
            format!("the task `fetch` {too_old}"),
            format!("the task `fetch` {too_old}"),
            format!("the parameter `n` {too_old}"),
        ]))
    );
}

// ---- Async ----

#[test]
fn async_tasks_run_to_their_end_on_the_thread_of_the_task() {
    let library = library();
    assert_eq!(library.setup(), Ended::Passed(None));
    assert_eq!(library.get("seven"), Some(json!(7)));
    library.result("fetch", json!(null));
    assert_eq!(library.run("awaits"), Ended::passed(json!("awaits 7")));
    let log: Vec<_> = library
        .take_log()
        .into_iter()
        .map(|r| (r.of_task, r.message))
        .collect();
    assert_eq!(log, [(true, "there".to_owned())]);
    let ended = library.run("awaits_in_vain");
    assert_eq!(ended.words(), "panicked: async");
    assert_eq!(ended.place(), place("panic!(\"async"));
}
