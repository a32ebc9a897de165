//! The examples do what their first lines promise, in Rust, C and C++; and what C++ throws becomes a failure.

mod host;

#[path = "host/cpp.rs"]
mod cpp;

use std::path::{Path, PathBuf};
use std::process::Command;

use host::{Ended, Library};
use serde_json::json;

fn load(name: &str) -> Library {
    let library = Library::load(&host::build_example(name));
    library.set("fast", json!("1"));
    library
}

/// Builds a C or C++ source of the repository as the first lines of the examples say.
fn build_c(compiler: &str, source: &str) -> (tempfile::TempDir, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the root");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("library.so");
    let mut command = Command::new(compiler);
    command.current_dir(root);
    command
        .args(["-shared", "-fPIC", "-Itask-abi/include", "-o"])
        .arg(&out)
        .arg(source);
    assert!(command.status().unwrap().success());
    (dir, out)
}

fn failed(ended: &std::collections::BTreeMap<&str, Ended>) -> Vec<String> {
    let failed = ended
        .iter()
        .filter(|(_, ended)| matches!(ended, Ended::Failed { .. }));
    failed.map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn surgery_fails_at_the_instruments_and_nowhere_else() {
    let library = load("surgery");
    let edges: Vec<_> = library
        .tasks
        .iter()
        .flat_map(|task| {
            task.after
                .iter()
                .map(|after| format!("{after} -> {}", task.name))
        })
        .collect();
    assert_eq!(
        edges,
        [
            "pre_op_assessment_A -> assign_surgical_staff_B",
            "pre_op_assessment_A -> prepare_operating_room_C",
            "prepare_operating_room_C -> sterilize_instruments_D",
            "prepare_operating_room_C -> equipment_safety_checks_E",
            "assign_surgical_staff_B -> perform_surgery_F",
            "sterilize_instruments_D -> perform_surgery_F",
        ]
    );
    let ended = library.run_all();
    assert_eq!(failed(&ended), ["sterilize_instruments_D"]);
    let message = ended["sterilize_instruments_D"].message();
    assert!(message.contains("autoclave"), "{message}");
}

#[test]
fn shared_state_ends_with_its_results_and_a_counter_of_three() {
    let library = load("shared_state");
    assert_eq!(library.setup(), Ended::Passed(None));
    let ended = library.run_all();
    assert_eq!(ended["load"], Ended::passed(json!("loaded")));
    assert_eq!(ended["behave"], Ended::passed(json!("behaved")));
    assert_eq!(ended["compute"], Ended::passed(json!(15)));
    assert_eq!(ended["check"], Ended::Passed(None));
    assert_eq!(library.get("counter"), Some(json!(3)));
}

#[test]
fn shared_state_takes_its_x_from_the_command_line() {
    let library = load("shared_state");
    library.set("x", json!("20"));
    library.setup();
    let ended = library.run_all();
    assert_eq!(ended["compute"], Ended::passed(json!(20)));
    assert_eq!(ended["check"], Ended::Passed(None));
}

#[test]
fn onboarding_mails_the_user_it_fetched_or_was_given() {
    let library = load("onboarding");
    assert_eq!(library.setup(), Ended::Passed(None));
    let ended = library.run_all();
    let mail = json!("Hello Ada! (newsletter follows)");
    assert_eq!(ended["email_user"], Ended::passed(mail));

    library.result(
        "fetch_user",
        json!(r#"{"id":1,"name":"Bo","email":"bo@example.org"}"#),
    );
    library.result(
        "fetch_settings",
        json!(r#"{"newsletter":false,"language":"sv"}"#),
    );
    assert_eq!(library.run("email_user"), Ended::passed(json!("Hej Bo!")));
}

#[test]
fn onboarding_refuses_an_environment_that_nobody_knows() {
    let library = load("onboarding");
    library.set("env", json!("moon"));
    let ended = library.setup();
    assert_eq!(
        ended.message(),
        "unknown environment `moon`, write --env=dev or --env=prod"
    );
}

#[test]
fn layers_has_35_tasks_in_six_layers_and_three_failures() {
    let library = load("layers");
    let tagged = |tag: &str| {
        let tags = |task: &&host::Task| task.tags.iter().any(|t| t == tag);
        library.tasks.iter().filter(tags).count()
    };
    let layers: Vec<_> = (1..=6)
        .map(|layer| tagged(&format!("layer{layer}")))
        .collect();
    assert_eq!(layers, [9, 9, 8, 5, 3, 1]);
    assert_eq!((tagged("capA"), tagged("capB")), (3, 2));
    assert_eq!(library.tasks.len(), 35);
    assert!(library.names().is_sorted());
    for task in &library.tasks {
        let layer: u32 = task.name[6..7].parse().unwrap();
        let before: Vec<u32> = task
            .after
            .iter()
            .map(|name| name[6..7].parse().unwrap())
            .collect();
        let expected = if layer == 1 { vec![] } else { vec![layer - 1] };
        assert_eq!(before, expected, "{}", task.name);
    }
    let ended = library.run_all();
    assert_eq!(failed(&ended), ["test_01_05", "test_02_03", "test_04_02"]);
}

#[test]
fn greet_passes_and_skips_its_bell() {
    let (_dir, path) = build_c("cc", "examples/c/greet.c");
    let library = Library::load(&path);
    library.set("name", json!("Ada"));
    let ended = library.run_all();
    assert_eq!(ended["greet"], Ended::passed(json!("hello, Ada")));
    assert_eq!(ended["be_polite"], Ended::Passed(None));
    assert_eq!(ended["count"], Ended::Passed(None));
    assert_eq!(library.get("greetings"), Some(json!(1)));
    let reason = "no bell, give one with --bell=1".to_owned();
    assert_eq!(ended["ring_the_bell"], Ended::Skipped(reason));
    assert_eq!(library.task("be_polite").after, ["greet"]);
    assert_eq!(library.task("greet").tags, ["talk"]);
}

#[test]
fn ledger_passes_and_its_failures_say_what_and_where() {
    if cpp::is_missing() {
        return;
    }
    let (_dir, path) = build_c("c++", "examples/c/ledger.cpp");
    let library = Library::load(&path);
    assert_eq!(library.setup(), Ended::Passed(None));
    let ended = library.run_all();
    assert_eq!(ended["open_ledger"], Ended::passed(json!("100")));
    assert_eq!(ended["balance"], Ended::passed(json!("230")));
    assert_eq!(
        library.task("balance").after,
        ["open_ledger", "book_income", "book_rent"]
    );

    library.result("open_ledger", json!("-500"));
    let ended = library.run("balance");
    assert_eq!(ended.message(), "check failed: balance >= 0");
    assert!(ended.place().starts_with("ledger.cpp:"), "{ended:?}");
    library.result("open_ledger", json!("much"));
    assert_eq!(
        library.run("balance").message(),
        "the opening balance `much` is no number\ncaused by: stoi"
    );
}

#[test]
fn whatever_a_cpp_task_throws_stops_at_the_guard() {
    if cpp::is_missing() {
        return;
    }
    let (_dir, path) = build_c("c++", "task-abi/tests/fixtures/throws.cpp");
    let library = Library::load(&path);
    library.run("keeps");
    let cases = [
        ("a_standard_exception", "out of paper"),
        ("an_int", "unknown exception"),
        (
            "a_chain",
            "outer\ncaused by: middle\ncaused by: unknown exception",
        ),
        (
            "a_missing_result",
            "no result of `nobody` (it did not run, did not pass, or returned nothing); give one with `--result-nobody=VALUE`, or run it too: `--with-deps`",
        ),
        ("a_late_context", "state key `k`: the task has ended"),
        ("a_lambda", "from the lambda"),
    ];
    for (name, message) in cases {
        assert_eq!(library.run(name).message(), message, "{name}");
    }
    assert_eq!(library.run("a_skip"), Ended::Skipped("no paper".to_owned()));
    assert_eq!(library.run("a_status"), Ended::Odd(17));
    assert_eq!(library.run("renamed"), Ended::passed(json!("null or none")));

    library.limit_results(4);
    let refused = library.run("a_result");
    assert_eq!(refused.message(), "the result: larger than 64 MiB");
}

#[test]
fn a_cpp_task_logs_with_the_place_of_the_line() {
    if cpp::is_missing() {
        return;
    }
    let (_dir, path) = build_c("c++", "task-abi/tests/fixtures/throws.cpp");
    let library = Library::load(&path);
    assert_eq!(library.run("a_record"), Ended::Passed(None));
    let source = include_str!("fixtures/throws.cpp");
    let index = source.lines().position(|line| line.contains("TD_LOG_HERE"));
    let line = index.expect("the fixture has the line") + 1;
    assert_eq!(library.log_place(), format!("throws.cpp:{line}"));
    let log: Vec<_> = library.take_log().into_iter().map(|r| r.message).collect();
    assert_eq!(log, ["low on paper"]);
}

#[test]
fn deploy_declares_its_order_and_passes_task_by_task() {
    let library = load("deploy");
    assert_eq!(
        library.task("open_tunnel").before,
        ["deploy::[env]::[service]"]
    );
    let deploy = library.task("deploy::[env]::[service]");
    assert_eq!(deploy.after, ["build::[service]"]);
    assert_eq!(deploy.locks, ["tunnel", "db_[env]:r"]);
    let service = library.task("build::[service]").parameters[0].check("moon");
    assert_eq!(
        service.unwrap_err(),
        "unknown variant `moon`, expected `api` or `web`"
    );
    library.run("build::web");
    let deployed = library.run("deploy::prod::web");
    assert_eq!(
        deployed,
        Ended::passed(json!("web.tar (512 bytes) is on prod"))
    );
    library.set("broken", json!("prod"));
    assert_eq!(library.run("try_out::staging"), Ended::Passed(None));
    assert_eq!(
        library.run("try_out::prod").message(),
        "prod answers with status 502"
    );
    assert_eq!(library.run("announce"), Ended::Passed(None));
    let said: Vec<_> = library.take_log().into_iter().map(|r| r.message).collect();
    let nothing = "nothing new";
    assert_eq!(
        said,
        [nothing, nothing, nothing, "web.tar (512 bytes) is on prod"]
    );
}

#[test]
fn flaky_passes_late_or_never() {
    let library = load("flaky");
    assert_eq!(library.run("settles").message(), "the cache is still cold");
    library.attempt(2);
    assert_eq!(library.run("settles"), Ended::passed(json!(2)));
    assert_eq!(
        library.run("never_settles").message(),
        "server 2 refuses the connection"
    );
    assert_eq!(library.run("slow_start"), Ended::Passed(None));
    let skipped = library.run("opens_a_window");
    assert_eq!(skipped, Ended::Skipped("needs a display".to_owned()));
}

#[test]
fn spawn_sums_what_its_tasks_return() {
    let library = load("spawn");
    assert_eq!(library.run("total"), Ended::passed(json!(120)));
    assert_eq!(library.run("growth"), Ended::passed(json!(21)));
    let backwards = library.run("sum::3::1");
    assert_eq!(backwards.message(), "a range from 3 to 1 runs backwards");
}

/// The commands are the host's to run; here they have run already.
#[test]
fn pipeline_hands_the_output_of_commands_to_functions() {
    let library = load("pipeline");
    let ran = |status: i32, stdout: &str| {
        json!({
            "command": "", "shell": false, "returncode": status, "stdout": stdout, "stderr": "",
            "cwd": "",
        })
    };
    assert_eq!(library.task("invoice").after, ["folder", "orders"]);
    assert_eq!(library.task("check").after, ["invoice", "count"]);
    library.result("orders", ran(0, "apples\n"));
    assert_eq!(library.run("invoice").message(), "`apples` is no order");
    library.result("invoice", json!(20));
    library.result("count", ran(0, "       3\n"));
    assert_eq!(library.run("check"), Ended::Passed(None));
    library.result("plums", ran(1, ""));
    assert_eq!(library.run("no_plums"), Ended::Passed(None));
}
