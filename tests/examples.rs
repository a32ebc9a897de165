//! The examples are fixtures: each does through the binary what its head says.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::tool::{Outcome, done, tdrun};

/// An example library; `cargo test` has built it.
fn example(name: &str) -> PathBuf {
    let bin = Path::new(env!("CARGO_BIN_EXE_tdrun"));
    bin.with_file_name("examples").join(format!("lib{name}.so"))
}

fn run(name: &str, args: &str) -> Outcome {
    tdrun("").arg(example(name)).args(args).run()
}

#[test]
fn surgery_skips_what_depends_on_its_failure() {
    let library = example("surgery");
    let failure =
        "the autoclave reached 127 °C, and 134 °C are needed: instruments are not sterile";
    let expected = [
        &done("[thread_0] pre_op_assessment_A", "PASSED", 16),
        &done("[thread_0] prepare_operating_room_C", "PASSED", 33),
        &done("[thread_0] assign_surgical_staff_B", "PASSED", 50),
        "[thread_0] sterilize_instruments_D: INFO cycle 1 of the autoclave is done\n",
        &done("[thread_0] sterilize_instruments_D", "FAILED", 66),
        &format!("    {failure} (examples/surgery.rs:47)\n"),
        &done("perform_surgery_F", "SKIPPED", 83),
        "    skipped: `sterilize_instruments_D` did not pass\n",
        &done("[thread_0] equipment_safety_checks_E", "PASSED", 100),
        &format!(
            "\nfailures:\n\nsterilize_instruments_D FAILED\n    {failure}\n    at examples/surgery.rs:47\n"
        ),
        &format!(
            "    rerun: tdrun {}::sterilize_instruments_D --fast=1\n",
            library.display()
        ),
        "\nskipped because of `sterilize_instruments_D`: perform_surgery_F\n",
    ];
    tdrun("--fast=1 -j1").arg(&library).expect(
        1,
        "==== 4 passed, 1 failed, 1 skipped in N.NNs ====\n",
        &expected.concat(),
    );
}

/// The text is that of the Python tools for the same six tasks.
#[test]
fn the_graph_of_surgery_is_the_seeds_to_the_letter() {
    let expected = "\
Graph: 6 nodes, 6 edges
Roots: [3]
Leaves: [1], [2]
Levels: 4

Nodes:
  [0] assign_surgical_staff_B
  [1] equipment_safety_checks_E
  [2] perform_surgery_F
  [3] pre_op_assessment_A
  [4] prepare_operating_room_C
  [5] sterilize_instruments_D

Edges:
  [0] -> [2]
  [1] -> (none)
  [2] -> (none)
  [3] -> [0], [4]
  [4] -> [1], [5]
  [5] -> [2]

Stats:
  Longest chain length (edges): 3
  Longest chains:
    pre_op_assessment_A -> prepare_operating_room_C -> sterilize_instruments_D -> perform_surgery_F
  High fan-in nodes (many dependencies):
    perform_surgery_F (indegree=2)
  High fan-out nodes (many dependents):
    pre_op_assessment_A (children=2)
    prepare_operating_room_C (children=2)
";
    tdrun("--graph")
        .arg(example("surgery"))
        .expect(0, expected, "");
}

#[test]
fn shared_state_ends_with_its_results_and_a_counter_of_three() {
    let tdrun = tdrun("--fast=1 --events=events.jsonl -q").arg(example("shared_state"));
    assert_eq!(tdrun.run().status, 0);
    let results: Vec<_> = events(&tdrun.read("events.jsonl"), "task_finished")
        .map(|event| (event["task"].to_string(), event["result"].to_string()))
        .collect();
    for (task, result) in [
        ("load", "\"loaded\""),
        ("behave", "\"behaved\""),
        ("compute", "15"),
    ] {
        assert!(
            results.contains(&(format!("\"{task}\""), result.into())),
            "{results:?}"
        );
    }
    let told = run("shared_state", "--fast=1 --x=20 --verbose").stderr;
    assert!(told.contains("PASSED [100% ]"), "{told}");
}

#[test]
fn onboarding_hands_typed_results_on() {
    assert_eq!(run("onboarding", "--fast=1").status, 0);
    let made_up = r#"--result-fetch_user={"id":1,"name":"Bo","email":"nowhere"}"#;
    let settings = r#"--result-fetch_settings={"newsletter":false,"language":"sv"}"#;
    let alone = format!("{}::email_user", example("onboarding").display());
    let outcome = tdrun("").arg(alone).arg(made_up).arg(settings).run();
    assert!(
        outcome
            .stderr
            .contains("user 1 has no usable address: `nowhere`"),
        "{}",
        outcome.stderr
    );
    let unknown = run("onboarding", "--env=moon");
    assert_eq!(
        unknown.stdout,
        "==== 0 passed, 0 failed, 0 skipped, 3 not run in N.NNs ====\n"
    );
    assert!(
        unknown.stderr.contains("error[setup.failed]"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn layers_fails_three_and_selects_by_tags() {
    let outcome = run("layers", "--fast=1 -q");
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (1, "==== 29 passed, 3 failed, 3 skipped in N.NNs ====\n")
    );
    for (tags, count) in [
        ("layer1", 9),
        ("layer2", 9),
        ("layer3", 8),
        ("layer4", 5),
        ("layer5", 3),
        ("layer6", 1),
        ("capA", 3),
        ("layer4,capB", 2),
    ] {
        let listed = run("layers", &format!("--tags={tags} --list")).stdout;
        assert_eq!(listed.lines().count(), count, "{tags}");
    }
}

/// Many workers, and still: each task starts after its dependencies have ended, in one stream of events.
#[test]
fn in_parallel_every_dependency_ends_before_its_dependent_starts() {
    let tdrun =
        tdrun("--fast=1 -j8 -q --no-skip-deps --events=events.jsonl").arg(example("layers"));
    tdrun.run();
    let list = run("layers", "--list=json").stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let text = tdrun.read("events.jsonl");
    let at = |event: &str, task: &serde_json::Value| {
        let matches = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["event"] == event && line["task"] == *task
        };
        text.lines().position(matches).unwrap()
    };
    for task in list["tasks"].as_array().unwrap() {
        for before in task["after"].as_array().unwrap() {
            assert!(at("task_finished", before) < at("task_started", &task["name"]));
        }
    }
}

#[test]
fn the_example_in_c_is_built_by_one_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tdrun = tdrun("libgreet.so -j1 --name=Ada");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Itask-abi/include", "-o"])
        .arg(tdrun.dir.join("libgreet.so"))
        .arg("examples/c/greet.c")
        .current_dir(root)
        .status();
    assert!(built.unwrap().success());
    let expected = [
        "[thread_0] greet: INFO hello, Ada\n",
        &done("[thread_0] greet", "PASSED", 25),
        &done("[thread_0] be_polite", "PASSED", 50),
        &done("[thread_0] count", "PASSED", 75),
        &done("[thread_0] ring_the_bell", "SKIPPED", 100),
        "    skipped: no bell, give one with --bell=1\n",
    ];
    tdrun.expect(
        0,
        "==== 3 passed, 0 failed, 1 skipped in N.NNs ====\n",
        &expected.concat(),
    );
}

fn events<'a>(text: &'a str, event: &'a str) -> impl Iterator<Item = serde_json::Value> + 'a {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(move |line| line["event"] == event)
}
