//! Graph and selection: what is planned, in which order, and what stands in the way.

mod common;

use common::tool::{done, tdrun};

const CHAIN: &str = r#"
PASS(setup_db) PASS(migrate) PASS(seed) PASS(query) PASS(other)
static const td_task tasks[] = {
    TD_TASK(query, TD_AFTER(TD_STR("seed"), TD_STR("migrate"), TD_STR("seed")), TD_TAGS(TD_STR("smoke"))),
    TD_TASK(seed, TD_AFTER(TD_STR("migrate"))),
    TD_TASK(migrate, TD_AFTER(TD_STR("setup_db"))),
    TD_TASK(setup_db, .doc = TD_STR("creates the database\nfrom nothing"), TD_TAGS(TD_STR("smoke"), TD_STR("io"))),
    TD_TASK(other),
};
TD_LIBRARY(tasks)
"#;

fn table(tasks: &str) -> String {
    format!(
        "PASS(a) PASS(b) PASS(c)\nstatic const td_task tasks[] = {{\n{tasks}\n}};\nTD_LIBRARY(tasks)"
    )
}

#[test]
fn names_that_lead_nowhere_and_circles_are_errors_before_anything_runs() {
    for (tasks, error) in [
        (
            "TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR(\"aa\"))), TD_TASK(c),",
            "error[graph.unknown]: `b` comes after `aa`, which is no task of `libx.so` (x.c:3)\n  did you mean `a`?",
        ),
        (
            "TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR(\"deploy\"))), TD_TASK(c),",
            "error[graph.unknown]: `b` comes after `deploy`, which is no task of `libx.so` (x.c:3)\n  its tasks are `a`, `b`, `c`",
        ),
        (
            "TD_TASK(a, TD_AFTER(TD_STR(\"a\"))), TD_TASK(b), TD_TASK(c),",
            "error[graph.self]: `a` comes after itself (x.c:3)",
        ),
        (
            "TD_TASK(a, TD_AFTER(TD_STR(\"c\"))),\nTD_TASK(b, TD_AFTER(TD_STR(\"a\"))),\nTD_TASK(c, TD_AFTER(TD_STR(\"b\"))),",
            "error[graph.cycle]: the tasks wait for each other in a circle: `a` → `b` → `c` → `a`\n  `a` (x.c:3)\n  `b` (x.c:4)\n  `c` (x.c:5)",
        ),
        (
            "TD_TASK(a), TD_TASK(b),\nTD_TASK(c), TD_TASK(a),",
            "error[graph.duplicate]: two tasks of `libx.so` are called `a`: x.c:3 and x.c:4",
        ),
    ] {
        for args in ["libx.so", "libx.so --graph", "libx.so --list"] {
            tdrun(args)
                .library("x", &table(tasks))
                .expect_error(1, error);
        }
    }
}

#[test]
fn forward_references_and_doubles_in_after_are_fine() {
    let order = ["setup_db", "migrate", "seed", "query", "other"];
    let expected: String = (1..)
        .zip(order)
        .map(|(number, name)| done(&format!("[thread_0] {name}"), "PASSED", number * 20))
        .collect();
    let summary = "==== 5 passed, 0 failed, 0 skipped in N.NNs ====\n";
    tdrun("libx.so -j1")
        .library("x", CHAIN)
        .expect(0, summary, &expected);
}

#[test]
fn the_order_is_the_same_whatever_looks_at_it() {
    let expected = "\
1  setup_db
2  migrate  (after setup_db)
3  seed  (after migrate)
4  query  (after seed, migrate)
5  other
";
    tdrun("libx.so --dry-run")
        .library("x", CHAIN)
        .expect(0, expected, "");
}

#[test]
fn a_selection_is_planned_without_what_it_does_not_name() {
    for (args, order) in [
        ("libx.so::query", "1  query\n"),
        (
            "libx.so::query --with-deps",
            "1  setup_db\n2  migrate  (after setup_db)\n3  seed  (after migrate)\n4  query  (after seed, migrate)\n",
        ),
        ("libx.so::s*", "1  seed\n2  setup_db\n"),
        (
            "libx.so::{seed,migrate}",
            "1  migrate\n2  seed  (after migrate)\n",
        ),
        ("libx.so --tags=smoke", "1  query\n2  setup_db\n"),
        ("libx.so --tags=smoke,io", "1  setup_db\n"),
        ("libx.so --tags=smoke --tags=io", "1  setup_db\n"),
        (
            "libx.so --tags=",
            "1  setup_db\n2  migrate  (after setup_db)\n3  seed  (after migrate)\n4  query  (after seed, migrate)\n5  other\n",
        ),
        (
            "libx.so --exclude=seed,o*",
            "1  setup_db\n2  migrate  (after setup_db)\n3  query  (after migrate)\n",
        ),
        ("libx.so::query libx.so::other", "1  query\n2  other\n"),
    ] {
        tdrun(args)
            .arg("--dry-run")
            .library("x", CHAIN)
            .expect(0, order, "");
    }
}

#[test]
fn what_matches_nothing_is_an_error_with_what_there_is() {
    for (args, status, error) in [
        (
            "libx.so::qury",
            1,
            "error[select.empty]: no task of `libx.so` matches `qury`\n  did you mean `query`?",
        ),
        (
            "libx.so::other libx.so::zzz*",
            1,
            "error[select.empty]: no task of `libx.so` matches `zzz*`\n  its tasks are `query`, `seed`, `migrate`, `setup_db`, `other`",
        ),
        (
            "libx.so --tags=smok",
            1,
            "error[select.empty]: no task carries the tag `smok`\n  did you mean `smoke`?",
        ),
        (
            "libx.so --tags=network",
            1,
            "error[select.empty]: no task carries the tag `network`\n  the tags are `io`, `smoke`",
        ),
        (
            "libx.so::other --tags=io",
            1,
            "error[select.empty]: `other` is there, but does not carry the tags asked for",
        ),
        (
            "libx.so --exclude=*",
            1,
            "error[select.empty]: `--exclude` leaves no task to run",
        ),
        (
            "libx.so::[x",
            2,
            "error[select.syntax]: malformed glob `[x`: a `[` without its `]`\n  [x\n  ^",
        ),
    ] {
        tdrun(args).library("x", CHAIN).expect_error(status, error);
    }
}

#[test]
fn a_library_without_tasks_is_an_error() {
    let source = "__attribute__((unused)) PASS(a)
        TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
            static const td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table, .task_stride = sizeof(td_task)};
            (void)host; return &table; }";
    tdrun("libx.so")
        .library("x", source)
        .expect_error(1, "error[select.empty]: no tasks in `libx.so`");
}

#[test]
fn what_a_selection_does_not_wait_for_is_noted_where_more_is_shown() {
    let source = "PASS(a) PASS(b) PASS(c)
        static const td_task tasks[] = {
            TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR(\"a\"))), TD_TASK(c, TD_AFTER(TD_STR(\"a\"), TD_STR(\"b\"))) };
        TD_LIBRARY(tasks)";
    let note = "tdrun: note: `c` does not wait for `a`, which is not selected\n\
                tdrun: note: `c` does not wait for `b`, which is not selected\n";
    tdrun("libx.so::c --dry-run -v")
        .library("x", source)
        .expect(0, "1  c\n", note);
    tdrun("libx.so::c --dry-run")
        .library("x", source)
        .expect(0, "1  c\n", "");
}

#[test]
fn a_copy_is_a_library_of_its_own_and_gets_a_name_of_its_own() {
    let source = "PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let tdrun = tdrun("libx.so copy/libx.so --list").library("x", source);
    std::fs::create_dir(tdrun.dir.join("copy")).unwrap();
    std::fs::copy(tdrun.dir.join("libx.so"), tdrun.dir.join("copy/libx.so")).unwrap();
    tdrun.expect(0, "x::a\nx-2::a\n", "");
}

#[test]
fn the_graph_is_drawn_for_people_and_for_programs() {
    let tdrun_with = |args: &str| tdrun(args).library("x", CHAIN);
    let dot = "digraph {
    0 [ label = \"seed\" ]
    1 [ label = \"migrate\" ]
    0 -> 1 [ ]
}
";
    let mermaid = "graph TD
    t1[\"seed\"]
    t2[\"migrate\"]
    t2 --> t1
";
    tdrun_with("libx.so::{seed,migrate} --graph=mermaid").expect(0, mermaid, "");
    let drawn = tdrun_with("libx.so::{seed,migrate} --graph=dot")
        .run()
        .stdout;
    assert_eq!(drawn, dot.replace("0 -> 1", "1 -> 0"));
    let json = r#"{
  "v": 1,
  "tasks": [
    {
      "name": "setup_db",
      "target": "libx.so::setup_db",
      "library": "x",
      "after": [],
      "tags": [
        "smoke",
        "io"
      ],
      "doc": "creates the database\nfrom nothing",
      "file": "x.c",
      "line": 7
    }
  ],
  "edges": []
}
"#;
    tdrun_with("libx.so::setup_db --graph=json").expect(0, json, "");
}

#[test]
fn the_list_has_names_tags_and_the_first_line_of_the_doc() {
    let text = "\
query     [smoke]
seed
migrate
setup_db  [smoke, io]  creates the database
other
";
    tdrun("libx.so --list")
        .library("x", CHAIN)
        .expect(0, text, "");
    let json: serde_json::Value = serde_json::from_str(
        &tdrun("libx.so --list=json")
            .library("x", CHAIN)
            .run()
            .stdout,
    )
    .unwrap();
    assert_eq!(
        json["tasks"][0]["after"],
        serde_json::json!(["seed", "migrate", "seed"])
    );
    assert_eq!(json["tasks"].as_array().unwrap().len(), 5);
}

#[test]
fn looking_runs_no_setup_and_no_task() {
    let source = r#"
static int32_t touch(void) { fclose(fopen("ran", "w")); return TD_OK; }
TASK(setup) { return touch(); }
TASK(a) { return touch(); }
static const td_task tasks[] = { TD_TASK(a) };
TD_LIBRARY(tasks, .setup = setup, .teardown = setup)
"#;
    for look in [
        "--graph",
        "--graph=dot",
        "--list",
        "--list=json",
        "--dry-run",
    ] {
        let tdrun = tdrun("libx.so").arg(look).library("x", source);
        assert_eq!(tdrun.run().status, 0);
        assert!(!tdrun.dir.join("ran").exists(), "{look}");
    }
}

#[test]
fn several_libraries_qualify_the_names_that_clash() {
    let other = "PASS(a) TASK(z) { char text[8]; return td_result_copy(host, ctx, \"x::b\", text, 8); }
        static const td_task tasks[] = { TD_TASK(a), TD_TASK(z, TD_AFTER(TD_STR(\"x::b\"))) }; TD_LIBRARY(tasks)";
    let first = "PASS(a) TASK(b) { return td_result_text(host, ctx, \"hi\"); }
        static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR(\"a\"))) }; TD_LIBRARY(tasks)";
    let order = "1  x::a\n2  b  (after x::a)\n3  y::a\n4  z  (after b)\n";
    let both = |args: &str| tdrun(args).library("x", first).library("y", other);
    both("libx.so liby.so --dry-run").expect(0, order, "");
    assert_eq!(both("libx.so liby.so").run().status, 0);
    both("libx.so::a liby.so::a --graph=mermaid").expect(
        0,
        "graph TD\n    t0[\"x::a\"]\n    t2[\"y::a\"]\n",
        "",
    );
    let ambiguous = "error[usage.result]: `--result-a` names a task of several libraries\n  write `--result-x::a=VALUE`";
    both("libx.so liby.so --result-a=1").expect_error(2, ambiguous);
}

#[test]
fn a_library_named_twice_is_loaded_once() {
    let tdrun = tdrun("libx.so ./link.so").library("x", CHAIN);
    std::os::unix::fs::symlink("libx.so", tdrun.dir.join("link.so")).unwrap();
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout,
        "==== 5 passed, 0 failed, 0 skipped in N.NNs ====\n"
    );
    let warning = "tdrun: warning: `libx.so` and `./link.so` are one library; it is loaded once\n";
    assert!(outcome.stderr.starts_with(warning), "{}", outcome.stderr);
}

#[test]
fn a_result_can_be_made_up() {
    let source = r#"
TASK(a) { return td_result_text(host, ctx, "real"); }
TASK(b) {
    char text[8];
    TD_REQUIRE_RESULT(host, ctx, "a", text, sizeof text);
    return TD_FAILED(host, ctx, text);
}
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, TD_AFTER(TD_STR("a"))) };
TD_LIBRARY(tasks)
"#;
    for (args, message) in [
        (
            "libx.so::b",
            "no result of `a` (it did not run, did not pass, or returned nothing); give one with `--result-a=VALUE`, or run it too: `--with-deps` (x.c:5)",
        ),
        (
            "libx.so::b --result-a=12345678",
            "the result of `a` is longer than the buffer for it (x.c:5)",
        ),
        ("libx.so::b --result-a=x", "x (x.c:6)"),
        ("libx.so --result-a=x", "real (x.c:6)"),
        ("libx.so --result-x::a=y --tags=", "real (x.c:6)"),
    ] {
        let outcome = tdrun(args).library("x", source).run();
        assert_eq!(outcome.status, 1);
        assert!(
            outcome.stderr.contains(&format!("\n    {message}\n")),
            "{}",
            outcome.stderr
        );
    }
    let replaced = tdrun("libx.so --result-a=x")
        .library("x", source)
        .run()
        .stderr;
    let warning = "tdrun: warning: `a` runs itself: its result replaces that of `--result-a`\n";
    assert!(replaced.starts_with(warning), "{replaced}");
    let unknown = "error[usage.result]: `--result-aa` names no task\n  did you mean `a`?";
    tdrun("libx.so --result-aa=1")
        .library("x", source)
        .expect_error(2, unknown);
}

#[test]
fn a_list_of_100_000_tasks_into_head_ends_quietly() {
    let tdrun = tdrun("libbig.so").library("big", common::BIG);
    let outcome = tdrun.shell("{ $TDRUN --list; echo $? >&2; } | head -1");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("t0\n", "0\n")
    );
}

#[test]
fn a_library_of_100_000_tasks_loads_and_runs() {
    let outcome = tdrun("libbig.so --quiet").library("big", common::BIG).run();
    assert_eq!(
        outcome.stdout,
        "==== 100000 passed, 0 failed, 0 skipped in N.NNs ====\n"
    );
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn teardowns_run_in_the_opposite_order_of_setups() {
    let source = |name: &str| {
        format!(
            "TASK(up) {{ TD_INFO(host, ctx, \"up {name}\"); return TD_OK; }}
             TASK(down) {{ TD_INFO(host, ctx, \"down {name}\"); return TD_OK; }}
             PASS({name}_task)
             static const td_task tasks[] = {{ TD_TASK({name}_task) }};
             TD_LIBRARY(tasks, .setup = up, .teardown = down)"
        )
    };
    let outcome = tdrun("libx.so liby.so")
        .library("x", &source("x"))
        .library("y", &source("y"))
        .run();
    let told = outcome
        .stderr
        .lines()
        .filter_map(|line| line.split("INFO ").nth(1));
    let told: Vec<_> = told.collect();
    assert_eq!(told, ["up x", "up y", "down y", "down x"]);
}

#[test]
fn two_libraries_of_one_name_stay_apart() {
    let source = "PASS(a) static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let tdrun = tdrun("libx.so copy/libx.so --dry-run").library("x", source);
    std::fs::create_dir(tdrun.dir.join("copy")).unwrap();
    std::fs::copy(tdrun.dir.join("libx.so"), tdrun.dir.join("copy/libx.so")).unwrap();
    tdrun.expect(0, "1  x::a\n2  x-2::a\n", "");
}
