//! The examples are fixtures: each does through the binary what its head says.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::tool::{Outcome, Tdrun, done, tdrun};

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

/// Builds an example in C beside this call of tdrun.
fn build_in_c(tdrun: &Tdrun, name: &str) {
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-Itask-abi/include", "-o"])
        .arg(tdrun.dir.join(format!("lib{name}.so")))
        .arg(format!("examples/c/{name}.c"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
}

#[test]
fn the_example_in_c_is_built_by_one_line() {
    let tdrun = tdrun("libgreet.so -j1 --name=Ada");
    build_in_c(&tdrun, "greet");
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

#[test]
fn shapes_makes_its_table_of_the_environment() {
    let plain = tdrun("libshapes.so -q");
    build_in_c(&plain, "shapes");
    plain.expect(0, &summary_of(16), "");
    let library = plain.dir.join("libshapes.so");
    for (shape, edges, levels) in [
        ("chain", 99, 100),
        ("wide", 197, 3),
        ("layered", 270, 10),
        ("tree", 99, 7),
    ] {
        let tdrun = |args: &str| {
            let tdrun = tdrun(args).arg(&library).env("SHAPE", shape);
            tdrun.env("SIZE", "100")
        };
        tdrun("-q").expect(0, &summary_of(100), "");
        let graph = tdrun("--graph").run().stdout;
        for line in [
            format!("Graph: 100 nodes, {edges} edges\n"),
            format!("\nLevels: {levels}\n"),
        ] {
            assert!(graph.contains(&line), "{graph}");
        }
    }
}

fn summary_of(passed: usize) -> String {
    format!("==== {passed} passed, 0 failed, 0 skipped in N.NNs ====\n")
}

/// The done lines of tasks that pass one after the other on one worker; lines of more than a word stand as they are.
fn passes(tasks: usize, lines: &[&str]) -> String {
    let mut count = 0;
    let line = |line: &&str| {
        if line.contains(' ') {
            return format!("{line}\n");
        }
        count += 1;
        done(&format!("[thread_0] {line}"), "PASSED", count * 100 / tasks)
    };
    lines.iter().map(line).collect()
}

#[test]
fn deploy_puts_every_service_everywhere_and_announces_it() {
    let expected = [
        "[thread_0] open_tunnel: INFO the tunnel is open",
        "open_tunnel",
        "build::api",
        "build::web",
        "[thread_0] migrate::staging: INFO the database of staging is up to date",
        "migrate::staging",
        "[thread_0] migrate::prod: INFO the database of prod is up to date",
        "migrate::prod",
        "deploy::staging::api",
        "deploy::staging::web",
        "deploy::prod::api",
        "deploy::prod::web",
        "try_out::staging",
        "try_out::prod",
        "[thread_0] close_tunnel: INFO the tunnel is closed",
        "close_tunnel",
        "[thread_0] announce: INFO api.tar (4096 bytes) is on staging",
        "[thread_0] announce: INFO web.tar (512 bytes) is on staging",
        "[thread_0] announce: INFO api.tar (4096 bytes) is on prod",
        "[thread_0] announce: INFO web.tar (512 bytes) is on prod",
        "announce",
    ];
    tdrun("-j1").arg(example("deploy")).expect(
        0,
        "==== 13 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &passes(13, &expected),
    );
}

#[test]
fn deploy_to_one_environment_takes_its_migration_and_its_builds_along() {
    let target = format!("{}::deploy::staging::*", example("deploy").display());
    let expected = [
        "[thread_0] open_tunnel: INFO the tunnel is open",
        "open_tunnel",
        "build::api",
        "build::web",
        "[thread_0] migrate::staging: INFO the database of staging is up to date",
        "migrate::staging",
        "deploy::staging::api",
        "deploy::staging::web",
    ];
    tdrun("-j1 --with-deps").arg(target).expect(
        0,
        "==== 6 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &passes(6, &expected),
    );
}

#[test]
fn deploy_announces_nothing_where_something_is_broken_and_closes_the_tunnel() {
    let library = example("deploy");
    let outcome = run("deploy", "-j1 --broken=prod");
    let end = [
        &done("[thread_0] try_out::staging", "PASSED", 76),
        &done("[thread_0] try_out::prod", "FAILED", 84),
        "    prod answers with status 502 (examples/deploy.rs:78)\n",
        "[thread_0] close_tunnel: INFO the tunnel is closed\n",
        &done("[thread_0] close_tunnel", "PASSED", 92),
        &done("announce", "SKIPPED", 100),
        "    skipped: it runs only if nothing failed, and `try_out::prod` did not pass\n",
        "\nfailures:\n\ntry_out::prod FAILED\n    prod answers with status 502\n    at examples/deploy.rs:78\n",
        &format!(
            "    rerun: tdrun {}::try_out::prod --broken=prod --with-deps\n",
            library.display()
        ),
        "\nskipped because of `try_out::prod`: announce\n",
    ];
    assert!(
        outcome.stderr.ends_with(&end.concat()),
        "{}",
        outcome.stderr
    );
    let summary = "==== 11 passed, 1 failed, 1 skipped in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 1));
}

#[test]
fn pipeline_mixes_commands_and_functions_and_tidies_up() {
    let expected = [
        &done("[thread_0] orders", "PASSED", 11),
        &done("[thread_0] folder", "PASSED", 22),
        &done("[thread_0] invoice", "PASSED", 33),
        &done("[thread_0] count", "PASSED", 44),
        &done("[thread_0] plums", "PASSED", 55),
        &done("[thread_0] print", "SKIPPED", 66),
        "    skipped itself\n",
        &done("[thread_0] check", "PASSED", 77),
        &done("[thread_0] no_plums", "PASSED", 88),
        &done("[thread_0] tidy_up", "PASSED", 100),
    ];
    let tdrun = tdrun("-j1").arg(example("pipeline"));
    tdrun.expect(
        0,
        "==== 8 passed, 0 failed, 1 skipped in N.NNs ====\n",
        &expected.concat(),
    );
    assert!(!tdrun.dir.join("pipeline.tmp").exists());
    let with_printer = tdrun.env("PRINTER", "lp").run();
    let summary = "==== 9 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!((&*with_printer.stdout, with_printer.status), (summary, 0));
}

#[test]
fn pipeline_shows_its_graph_and_runs_a_command_alone() {
    let graph = run("pipeline", "--graph").stdout;
    assert!(graph.starts_with("Graph: 9 nodes, 11 edges\n"), "{graph}");
    let orders = format!("{}::orders", example("pipeline").display());
    tdrun("-j1").arg(orders).expect(
        0,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &passes(1, &["orders"]),
    );
}

/// What comes when depends on how long a retry has to wait, so only what is told at the end has an order.
#[test]
fn flaky_tells_what_passed_late_and_what_never_did() {
    let library = example("flaky").display().to_string();
    let never = [
        "never_settles FAILED on attempt 2\n    server 2 refuses the connection\n    at examples/flaky.rs:28\n",
        "    attempt 1 failed: server 1 refuses the connection (examples/flaky.rs:28)\n",
        &format!("    rerun: tdrun {library}::never_settles\n\n"),
        "hangs TIMED OUT\n    took longer than 50ms\n",
        &format!("    rerun: tdrun {library}::hangs\n\n"),
    ]
    .concat();
    let skipped = "skipped because of `never_settles`: waits_in_vain\n";
    let late = "flaky: settles (passed on attempt 2), slow_start (passed on attempt 2)\n";
    let [settles, slow_start] = [
        ("settles", "failed: the cache is still cold (examples/flaky.rs:20)"),
        ("slow_start", "timed out: took longer than 200ms"),
    ]
    .map(|(task, why)| {
        format!(
            "{task} PASSED on attempt 2, which fails the run (--flaky=fail)\n    attempt 1 {why}\n    \
             rerun: tdrun {library}::{task}\n\n"
        )
    });
    let summary =
        "==== 3 passed, 1 failed, 2 skipped, 1 timed out; 2 of the passed flaky in N.NNs ====\n";
    for (args, told) in [
        ("-j1", format!("{never}{skipped}{late}")),
        (
            "-j1 --flaky=fail",
            format!("{settles}{never}{slow_start}{skipped}"),
        ),
    ] {
        let outcome = run("flaky", args);
        let (lines, end) = outcome.stderr.split_once("\nfailures:\n\n").unwrap();
        assert_eq!(end, told, "{args}");
        assert_eq!((&*outcome.stdout, outcome.status), (summary, 1));
        let mut lines: Vec<_> = lines
            .lines()
            .map(|line| line.split(" [").next().unwrap_or(line))
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, FLAKY_LINES);
    }
}

const FLAKY_LINES: &[&str] = &[
    "    attempt 1 failed: server 1 refuses the connection (examples/flaky.rs:28)",
    "    attempt 1 failed: the cache is still cold (examples/flaky.rs:20)",
    "    attempt 1 timed out: took longer than 200ms",
    "    attempt 2 failed: server 2 refuses the connection (examples/flaky.rs:28)",
    "    flaky: passed on attempt 2",
    "    flaky: passed on attempt 2",
    "    skipped: `never_settles` did not pass",
    "    skipped: needs a display",
    "    took longer than 50ms",
    "[thread_0] closes_the_window ................................. PASSED",
    "[thread_0] hangs .......................................... TIMED OUT",
    "[thread_0] never_settles ..................................... FAILED",
    "[thread_0] never_settles ...................................... RETRY",
    "[thread_0] opens_a_window ................................... SKIPPED",
    "[thread_0] settles ........................................... PASSED",
    "[thread_0] settles ............................................ RETRY",
    "[thread_0] slow_start ........................................ PASSED",
    "[thread_0] slow_start ......................................... RETRY",
    "waits_in_vain ............................................... SKIPPED",
];

#[test]
fn flaky_without_retries_fails_as_often_as_its_tasks_do() {
    let library = example("flaky").display().to_string();
    let rerun = |task: &str| format!("    rerun: tdrun {library}::{task}\n");
    let expected = [
        &done("[thread_0] never_settles", "FAILED", 14),
        "    server 1 refuses the connection (examples/flaky.rs:28)\n",
        &done("waits_in_vain", "SKIPPED", 28),
        "    skipped: `never_settles` did not pass\n",
        &done("[thread_0] opens_a_window", "SKIPPED", 42),
        "    skipped: needs a display\n",
        &done("[thread_0] settles", "FAILED", 57),
        "    the cache is still cold (examples/flaky.rs:20)\n",
        &done("[thread_0] hangs", "TIMED OUT", 71),
        "    took longer than 50ms\n",
        &done("[thread_0] slow_start", "TIMED OUT", 85),
        "    took longer than 200ms\n",
        &done("[thread_0] closes_the_window", "PASSED", 100),
        "\nfailures:\n",
        "\nsettles FAILED\n    the cache is still cold\n    at examples/flaky.rs:20\n",
        &rerun("settles"),
        "\nnever_settles FAILED\n    server 1 refuses the connection\n    at examples/flaky.rs:28\n",
        &rerun("never_settles"),
        "\nhangs TIMED OUT\n    took longer than 50ms\n",
        &rerun("hangs"),
        "\nslow_start TIMED OUT\n    took longer than 200ms\n",
        &rerun("slow_start"),
        "\nskipped because of `never_settles`: waits_in_vain\n",
    ];
    tdrun("-j1 --retries=0").arg(&library).expect(
        1,
        "==== 1 passed, 2 failed, 2 skipped, 2 timed out in N.NNs ====\n",
        &expected.concat(),
    );
}

#[test]
fn spawn_grows_its_graph_while_it_runs() {
    let outcome = run("spawn", "-j1");
    for told in [
        "[thread_0] growth: INFO no result of `shrink::1`: it skipped itself, or returned nothing\n",
        "[thread_0] total: INFO the numbers below 16 are 120 together\n",
        &done("[thread_0] growth", "PASSED", 100),
    ] {
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
    let summary = "==== 42 passed, 0 failed, 1 skipped in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 0));

    let spawn = |task: &str| format!("{}::{task}", example("spawn").display());
    let halves = [
        "sum::0::1",
        "sum::1::2",
        "sum::0::2",
        "sum::2::3",
        "sum::3::4",
        "sum::2::4",
        "sum::0::4",
    ];
    tdrun("-j1").arg(spawn("sum::0::4")).expect(
        0,
        "==== 7 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &passes(7, &halves),
    );
    for (task, passed) in [("sum::0::100", 199), ("fib::30", 31)] {
        let summary = format!("==== {passed} passed, 0 failed, 0 skipped in N.NNs ====\n");
        for args in ["-q -j1", "-q -j4"] {
            tdrun(args).arg(spawn(task)).expect(0, &summary, "");
        }
    }
    let error = "error[select.value]: `sum::0::x`: `to` of `sum::[from]::[to]` wants u64, not `x`: invalid type: string \"x\", expected u64";
    tdrun("").arg(spawn("sum::0::x")).expect_error(1, error);
}

#[test]
fn rough_tasks_hurt_nobody_but_themselves_in_processes_of_their_own() {
    let outcome = run("rough", "--isolate --grace=1s -j1");
    assert_eq!(
        outcome.stdout,
        "==== 4 passed, 0 failed, 0 skipped, 1 timed out, 3 crashed; 1 leaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 1);
    for part in [
        "aborts CRASHED\n    killed by SIGABRT\n    at examples/rough.rs:50\n    ---- aborts stdout ----\n    giving up\n    ---- aborts stderr ----\n    no way out\n    rerun: ",
        "exits CRASHED\n    exited with status 0 before finishing\n",
        "hangs TIMED OUT\n    took longer than 200ms; it ended with:\n    killed by SIGTERM\n",
        "\nleaky: leaves (left running: ",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{}", outcome.stderr);
    }
    let shown = run("rough", "--isolate --show-output=all -j1");
    let memory = "    ---- looks stdout ----\n    in memory 0, in the state 7\n";
    assert!(shown.stderr.contains(memory), "{}", shown.stderr);
}

#[test]
fn the_examples_of_the_task_language_list_what_they_declare() {
    for (name, list) in LISTS {
        tdrun("--list").arg(example(name)).expect(0, list, "");
    }
}

const LISTS: &[(&str, &str)] = &[
    ("deploy", "\
build::api            [build]  Makes `build::api` and `build::web`.
build::web            [build]  Makes `build::api` and `build::web`.
open_tunnel           Runs before the first deployment, whichever was selected.
migrate::staging      (locks db_staging)  Where only `deploy::prod::web` was selected, `migrate::prod` runs before it.
migrate::prod         (locks db_prod)  Where only `deploy::prod::web` was selected, `migrate::prod` runs before it.
deploy::staging::api  (locks db_staging:r, tunnel)  Takes what was built for its service, and comes after that. One at a time goes through the tunnel.
deploy::staging::web  (locks db_staging:r, tunnel)  Takes what was built for its service, and comes after that. One at a time goes through the tunnel.
deploy::prod::api     (locks db_prod:r, tunnel)  Takes what was built for its service, and comes after that. One at a time goes through the tunnel.
deploy::prod::web     (locks db_prod:r, tunnel)  Takes what was built for its service, and comes after that. One at a time goes through the tunnel.
try_out::staging      (wave 1)  In the second wave: not before all deployments have ended.
try_out::prod         (wave 1)  In the second wave: not before all deployments have ended.
close_tunnel          (wave 1; always)  Whatever became of the others.
announce              (no_failures)  Only where nothing has failed.
"),
    ("pipeline", "\
orders    (timeout 10s)  Arguments are handed over as they are, no shell is between.
folder
invoice   Takes the result of the command of that name, with its output, and comes after it.
count
check
plums     Its status is an answer, not a failure: 1, since no line has plums.
no_plums  Nobody has ordered plums.
print     Status 77 skips the task.
tidy_up   (always)  Runs however the others have ended.
"),
    ("flaky", "\
settles            (retries 2)  Fails once, and passes when it is tried again.
never_settles      (retries 1)  Each attempt asks another server, and keeps its own error.
waits_in_vain      Depends on what failed for good, so it does not run.
hangs              (timeout 50ms)  Takes longer than it may. It asks now and then whether it should stop, so its thread is free again at once.
slow_start         (retries 1; timeout 200ms)  A timeout is tried again only where the task says so: it may have been cut off in the middle of something.
opens_a_window     Cannot run here, which is no failure.
closes_the_window  So what comes after it runs.
"),
    ("spawn", "\
total
growth  One that skipped itself has no result: an error for the task that waits, which may go on without.

Templates:
  sum::[from]::[to]  The sum of the numbers from one to another, which is not one of them.
    from: u64
    to: u64
  fib::[n]  The same task is run once, however many ask for it: `fib::8` is waited for by `fib::9` and `fib::10`.
    n: u64
  shrink::[n]  Skips what it cannot do, so it returns nothing.
    n: any text
"),
    ("rough", "\
looks     Passes, and tells what it saw.
aborts    Ends its process by a signal, as a segfault does.
exits     Ends its process with status 0: that is not how a task passes.
vanishes  Is killed, as by a system that is out of memory: it cannot say a last word, and who runs beside it cannot either.
bakes     Takes a while.
hangs     (timeout 200ms)  Never ends, and does not ask whether it should: its process is ended `--grace` after its time, with all that it started.
leaves    Passes, and leaves a program running: it is leaky.
moves     (isolate)  Changes what belongs to the whole process, so it asks for one of its own.
"),
];

const C_LIST: &str = "\
lint           Runs before whatever is built
check::dev
check::prod
build::dev     Builds the package
build::prod    Builds the package
migrate::dev   (locks database; retries 2)  Migrates the database
migrate::prod  (locks database; retries 2)  Migrates the database
deploy::dev    (wave 1; locks database:r; timeout 30s)  Copies the package
deploy::prod   (wave 1; locks database:r; timeout 30s)  Copies the package
clean_up       (wave 1; always)
announce       (no_failures)
";

/// As its head says, in the directory of the example.
#[test]
fn the_deployment_in_c_is_built_by_one_line() {
    let build = |args: &str| {
        let tdrun = tdrun(args);
        build_in_c(&tdrun, "deploy");
        tdrun
    };
    let one = [
        "[thread_0] lint: INFO the sources are clean",
        "lint",
        "build::dev",
    ];
    build("libdeploy.so::build::dev -j1").expect(
        0,
        "==== 2 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &passes(2, &one),
    );
    for (args, passed, end) in [
        (
            "libdeploy.so -j1",
            11,
            "[thread_0] announce: INFO everything is deployed\n",
        ),
        (
            "libdeploy.so::deploy::* --with-deps -j1",
            9,
            "[thread_0] deploy::prod ...",
        ),
    ] {
        let outcome = build(args).run();
        let late =
            "\nflaky: migrate::dev (passed on attempt 2), migrate::prod (passed on attempt 2)\n";
        assert!(outcome.stderr.ends_with(late), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(end), "{}", outcome.stderr);
        let summary = format!(
            "==== {passed} passed, 0 failed, 0 skipped; 2 of the passed flaky in N.NNs ====\n"
        );
        assert_eq!((outcome.stdout, outcome.status), (summary, 0));
    }
    build("libdeploy.so --list").expect(0, C_LIST, "");
}

fn events<'a>(text: &'a str, event: &'a str) -> impl Iterator<Item = serde_json::Value> + 'a {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(move |line| line["event"] == event)
}
