//! Graph and selection: what is planned, in which order, how it is shown, and what stands in the way.

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

/// Uses all that is shown.
const RELEASE: &str = r#"
PASS(a)
static const td_task tasks[] = {
    TD_TASK_NAMED(a, "lint", TD_BEFORE(TD_STR("build::[env]")), .doc = TD_STR("Reads the sources")),
    TD_TASK_NAMED(a, "build::[env]", TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod")))),
                  TD_THEN(TD_STR("sign::[env]")), TD_TAGS(TD_STR("on_[env]")), .retries = 2, .retry_delay_ms = 500, .doc = TD_STR("Builds")),
    TD_TASK_NAMED(a, "sign::[env]", TD_LOCKS(TD_STR("key"), TD_STR("log:r"))),
    TD_TASK_NAMED(a, "deploy::[env]", TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod")))), .wave = 1, .timeout_ms = 30000,
                  TD_AFTER(TD_STR("build::[env]")), TD_LOCKS(TD_STR("tunnel"))),
    TD_TASK_NAMED(a, "clean", TD_AFTER(TD_STR("deploy::*")), .wave = 1, .condition = TD_ALWAYS),
    TD_TASK_NAMED(a, "measure", .flags = TD_TASK_EXCLUSIVE, .priority = -1),
    TD_TASK_NAMED(a, "announce", .condition = TD_NO_FAILURES),
    TD_COMMAND("count", TD_SHELL("ls | wc -l")),
    TD_TASK_NAMED(a, "serve::[port]", TD_PARAMS(TD_PARAM("port", .kind = TD_PARAM_INT)), .doc = TD_STR("Serves")),
};
TD_LIBRARY(tasks)
"#;

#[test]
fn all_that_tasks_declare_is_shown() {
    for (look, expected) in [
        ("--list", RELEASE_LIST),
        ("--graph", RELEASE_GRAPH),
        ("--graph=dot", RELEASE_DOT),
        ("--graph=mermaid", RELEASE_MERMAID),
        ("--dry-run", RELEASE_ORDER),
    ] {
        let tdrun = tdrun("libx.so").arg(look).library("x", RELEASE);
        tdrun.expect(0, expected, "");
    }
}

const RELEASE_LIST: &str = "\
lint          Reads the sources
build::dev    [on_dev]  (retries 2)  Builds
build::prod   [on_prod]  (retries 2)  Builds
deploy::dev   (wave 1; locks tunnel; timeout 30s)
deploy::prod  (wave 1; locks tunnel; timeout 30s)
clean         (wave 1; always)
measure       (exclusive; priority -1)
announce      (no_failures)
count
sign::dev     (locks key, log:r)
sign::prod    (locks key, log:r)

Templates:
  sign::[env]  (locks key, log:r)
    env: any text
  serve::[port]  Serves
    port: a whole number
";

const RELEASE_GRAPH: &str = "\
Graph: 11 nodes, 8 edges
Roots: [0], [4], [7], [8]
Leaves: [0], [3], [4], [8], [9], [10]
Levels: 4

Nodes:
  [0] announce
  [1] build::dev
  [2] build::prod
  [3] clean
  [4] count
  [5] deploy::dev
  [6] deploy::prod
  [7] lint
  [8] measure
  [9] sign::dev
  [10] sign::prod

Edges:
  [0] -> (none)
  [1] -> [5], [9]
  [2] -> [6], [10]
  [3] -> (none)
  [4] -> (none)
  [5] -> [3]
  [6] -> [3]
  [7] -> [1], [2]
  [8] -> (none)
  [9] -> (none)
  [10] -> (none)

Stats:
  Longest chain length (edges): 3
  Longest chains:
    lint -> build::dev -> deploy::dev -> clean
  High fan-in nodes (many dependencies):
    clean (indegree=2)
  High fan-out nodes (many dependents):
    build::dev (children=2)
    build::prod (children=2)
    lint (children=2)

Waves:
  0: [0], [1], [2], [4], [7], [8], [9], [10]
  1: [3], [5], [6]

Locks:
  key: [9], [10]
  log:r: [9], [10]
  tunnel: [5], [6]

Conditions:
  [0] no_failures
  [3] always

Limits:
  [1] retries 2
  [2] retries 2
  [5] timeout 30s
  [6] timeout 30s
  [8] exclusive; priority -1

Templates:
  sign::[env]  (locks key, log:r)
    env: any text
  serve::[port]  Serves
    port: a whole number
";

const RELEASE_DOT: &str = "\
digraph {
    0 [ label = \"lint\" ]
    1 [ label = \"build::dev\" xlabel = \"retries 2\" ]
    2 [ label = \"build::prod\" xlabel = \"retries 2\" ]
    3 [ label = \"deploy::dev\" xlabel = \"wave 1; locks tunnel; timeout 30s\" ]
    4 [ label = \"deploy::prod\" xlabel = \"wave 1; locks tunnel; timeout 30s\" ]
    5 [ label = \"clean\" xlabel = \"wave 1; always\" ]
    6 [ label = \"measure\" xlabel = \"exclusive; priority -1\" ]
    7 [ label = \"announce\" xlabel = \"no_failures\" ]
    8 [ label = \"count\" ]
    9 [ label = \"sign::dev\" xlabel = \"locks key, log:r\" ]
    10 [ label = \"sign::prod\" xlabel = \"locks key, log:r\" ]
    0 -> 1 [ label = \"before\" style = dashed ]
    0 -> 2 [ label = \"before\" style = dashed ]
    1 -> 3 [ ]
    1 -> 9 [ label = \"then\" style = dashed ]
    2 -> 4 [ ]
    2 -> 10 [ label = \"then\" style = dashed ]
    3 -> 5 [ ]
    4 -> 5 [ ]
}
";

const RELEASE_MERMAID: &str = "\
graph TD
    t0[\"lint\"]
    t1[\"build::dev<br/>retries 2\"]
    t2[\"build::prod<br/>retries 2\"]
    t3[\"deploy::dev<br/>wave 1<br/>locks tunnel<br/>timeout 30s\"]
    t4[\"deploy::prod<br/>wave 1<br/>locks tunnel<br/>timeout 30s\"]
    t5[\"clean<br/>wave 1<br/>always\"]
    t6[\"measure<br/>exclusive<br/>priority -1\"]
    t7[\"announce<br/>no_failures\"]
    t8[\"count\"]
    t9[\"sign::dev<br/>locks key, log:r\"]
    t10[\"sign::prod<br/>locks key, log:r\"]
    t0 -. before .-> t1
    t0 -. before .-> t2
    t1 --> t3
    t1 -. then .-> t9
    t2 --> t4
    t2 -. then .-> t10
    t3 --> t5
    t4 --> t5
";

const RELEASE_ORDER: &str = " 1  lint
 2  build::dev  (after lint; retries 2)
 3  build::prod  (after lint; retries 2)
 4  count
 5  sign::dev  (after build::dev; locks key, log:r)
 6  sign::prod  (after build::prod; locks key, log:r)
 7  measure  (exclusive; priority -1)
 8  deploy::dev  (after build::dev; wave 1; locks tunnel; timeout 30s)
 9  deploy::prod  (after build::prod; wave 1; locks tunnel; timeout 30s)
10  clean  (after deploy::dev, deploy::prod; wave 1; always)
11  announce  (no_failures)
";

#[test]
fn programs_read_what_tasks_declare() {
    let json = |args: &str| -> serde_json::Value {
        let outcome = tdrun(args).library("x", RELEASE).run();
        assert_eq!(outcome.stderr, "");
        serde_json::from_str(&outcome.stdout).unwrap()
    };
    let tasks = serde_json::json!([
        {
            "name": "lint", "target": "libx.so::lint", "library": "x", "after": [], "before": ["build::[env]"],
            "tags": [], "doc": "Reads the sources", "file": "x.c", "line": 4,
        },
        {
            "name": "build::dev", "target": "libx.so::build::dev", "library": "x", "after": [], "then": ["sign::dev"],
            "retries": 2, "retry_delay_ms": 500, "parameters": {"env": "dev"}, "tags": ["on_dev"], "doc": "Builds",
            "file": "x.c", "line": 5,
        },
        {
            "name": "sign::dev", "target": "libx.so::sign::dev", "library": "x", "after": [], "locks": ["key", "log:r"],
            "parameters": {"env": "dev"}, "tags": [], "doc": "", "file": "x.c", "line": 7,
        },
    ]);
    let templates = serde_json::json!([
        {
            "name": "sign::[env]", "library": "x", "parameters": [{"name": "env"}], "after": [],
            "locks": ["key", "log:r"], "tags": [], "doc": "", "file": "x.c", "line": 7,
        },
        {
            "name": "serve::[port]", "library": "x", "parameters": [{"name": "port", "wants": "a whole number"}],
            "after": [], "tags": [], "doc": "Serves", "file": "x.c", "line": 14,
        },
    ]);
    let list = serde_json::json!({"v": 1, "tasks": tasks, "templates": templates});
    assert_eq!(json("libx.so::build::dev --list=json"), list);
    let graph = serde_json::json!({
        "v": 1, "tasks": tasks, "templates": templates,
        "edges": [["lint", "build::dev"], ["build::dev", "sign::dev"]],
        "before": [["lint", "build::dev"]],
        "then": [["build::dev", "sign::dev"]],
    });
    assert_eq!(json("libx.so::build::dev --graph=json"), graph);
    let whole = json("libx.so --graph=json");
    let of = |name: &str, key: &str| {
        let tasks = whole["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["name"] == name).unwrap();
        task[key].clone()
    };
    assert_eq!(of("clean", "after"), serde_json::json!(["deploy::*"]));
    assert_eq!(of("clean", "condition"), "always");
    assert_eq!(of("announce", "condition"), "no_failures");
    assert_eq!(of("deploy::dev", "wave"), 1);
    assert_eq!(of("deploy::dev", "timeout_ms"), 30_000);
    assert_eq!(of("measure", "exclusive"), true);
    assert_eq!(of("measure", "priority"), -1);
}

/// `lint` comes before what is built, and `sign` follows it, whichever way it came into the selection.
#[test]
fn before_and_then_come_with_what_is_selected() {
    for (args, order) in [
        (
            "::build::dev",
            "1  lint\n2  build::dev  (after lint; retries 2)\n3  sign::dev  (after build::dev; locks key, log:r)\n",
        ),
        (
            "::build::dev --with-deps",
            "1  lint\n2  build::dev  (after lint; retries 2)\n3  sign::dev  (after build::dev; locks key, log:r)\n",
        ),
        (
            "::deploy::dev --with-deps",
            "1  lint\n2  build::dev  (after lint; retries 2)\n3  sign::dev  (after build::dev; locks key, log:r)\n4  deploy::dev  (after build::dev; wave 1; locks tunnel; timeout 30s)\n",
        ),
        (
            "::deploy::dev",
            "1  deploy::dev  (wave 1; locks tunnel; timeout 30s)\n",
        ),
        (
            " --tags=on_dev",
            "1  lint\n2  build::dev  (after lint; retries 2)\n3  sign::dev  (after build::dev; locks key, log:r)\n",
        ),
        (
            "::build::* --tags=on_prod",
            "1  lint\n2  build::prod  (after lint; retries 2)\n3  sign::prod  (after build::prod; locks key, log:r)\n",
        ),
        (
            "::build::dev --exclude=lint",
            "1  build::dev  (retries 2)\n2  sign::dev  (after build::dev; locks key, log:r)\n",
        ),
        (
            "::build::dev --exclude=lint,sign::*",
            "1  build::dev  (retries 2)\n",
        ),
        ("::lint", "1  lint\n"),
        ("::sign::dev", "1  sign::dev  (locks key, log:r)\n"),
        (
            "::sign::dev --with-deps",
            "1  sign::dev  (locks key, log:r)\n",
        ),
        ("::{lint,clean}", "1  lint\n2  clean  (wave 1; always)\n"),
    ] {
        let tdrun = tdrun(&format!("libx.so{args} --dry-run"));
        tdrun.library("x", RELEASE).expect(0, order, "");
    }
}

/// Waves and conditions, declared in an order of their own.
const RELEASE_DAY: &str = r#"
PASS(a) FAIL(bad, "no") 
static const td_task tasks[] = {
    TD_TASK_NAMED(a, "late", .wave = 2),
    TD_TASK_NAMED(a, "first"),
    TD_TASK_NAMED(a, "announce", .condition = TD_NO_FAILURES),
    TD_TASK_NAMED(bad, "breaks", .wave = 1),
    TD_TASK_NAMED(a, "clean", .condition = TD_ALWAYS, .wave = 1, TD_AFTER(TD_STR("breaks"), TD_STR("first"))),
    TD_TASK_NAMED(a, "after_announce", TD_AFTER(TD_STR("announce"))),
    TD_TASK_NAMED(a, "blocked", .wave = 1, TD_AFTER(TD_STR("breaks"))),
    TD_TASK_NAMED(a, "clean_last", .condition = TD_ALWAYS, TD_AFTER(TD_STR("announce"))),
    TD_TASK_NAMED(a, "urgent", .priority = 3),
};
TD_LIBRARY(tasks)
"#;

/// Every row: the arguments, what came of each task in its order, the status and the summary.
#[test]
fn waves_and_conditions_decide_when_a_task_starts_and_whether() {
    for (args, ended, status, summary) in [
        (
            "",
            "+urgent +first !breaks -blocked +clean +late -announce -after_announce +clean_last",
            1,
            "5 passed, 1 failed, 3 skipped",
        ),
        (
            " --no-skip-deps",
            "+urgent +first !breaks +clean +blocked +late -announce +after_announce +clean_last",
            1,
            "7 passed, 1 failed, 1 skipped",
        ),
        (
            " -x",
            "+urgent +first !breaks -blocked +clean",
            1,
            "3 passed, 1 failed, 1 skipped, 4 not run",
        ),
        (
            " -x --no-skip-deps",
            "+urgent +first !breaks +clean",
            1,
            "3 passed, 1 failed, 0 skipped, 5 not run",
        ),
        (
            " --exclude=breaks",
            "+urgent +first +clean +blocked +late +announce +after_announce +clean_last",
            0,
            "8 passed, 0 failed, 0 skipped",
        ),
        (
            "::announce",
            "+announce",
            0,
            "1 passed, 0 failed, 0 skipped",
        ),
        (
            "::{announce,breaks}",
            "!breaks -announce",
            1,
            "0 passed, 1 failed, 1 skipped",
        ),
        (
            "::{clean,breaks}",
            "!breaks +clean",
            1,
            "1 passed, 1 failed, 0 skipped",
        ),
        (
            "::clean -x --with-deps",
            "+first !breaks +clean",
            1,
            "2 passed, 1 failed, 0 skipped",
        ),
        (
            "::clean_last --with-deps",
            "+announce +clean_last",
            0,
            "2 passed, 0 failed, 0 skipped",
        ),
        (
            "::after_announce --with-deps",
            "+announce +after_announce",
            0,
            "2 passed, 0 failed, 0 skipped",
        ),
    ] {
        let tdrun = tdrun(&format!("libx.so{args} -j1"));
        let outcome = tdrun.library("x", RELEASE_DAY).run();
        assert_eq!(ends(&outcome.stderr), ended, "{args}");
        assert_eq!(
            outcome.stdout,
            format!("==== {summary} in N.NNs ====\n"),
            "{args}"
        );
        assert_eq!(outcome.status, status, "{args}");
    }
}

/// The names on the done lines, in their order: `+` passed, `-` skipped, `!` anything else.
fn ends(stderr: &str) -> String {
    let done = stderr
        .lines()
        .filter(|line| line.contains(" ...") && line.ends_with("% ]"));
    let ends = done.map(|line| {
        let line = line.strip_prefix("[thread_0] ").unwrap_or(line);
        let name = line.split(' ').next().unwrap_or_default();
        let mark = match line {
            _ if line.contains(" PASSED [") => '+',
            _ if line.contains(" SKIPPED [") => '-',
            _ => '!',
        };
        format!("{mark}{name}")
    });
    ends.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_conditions_skip_is_told_with_its_cause() {
    let stderr = [
        &done("[thread_0] urgent", "PASSED", 11),
        &done("[thread_0] first", "PASSED", 22),
        &done("[thread_0] breaks", "FAILED", 33),
        "    no (x.c:2)\n",
        &done("blocked", "SKIPPED", 44),
        "    skipped: `breaks` did not pass\n",
        &done("[thread_0] clean", "PASSED", 55),
        &done("[thread_0] late", "PASSED", 66),
        &done("announce", "SKIPPED", 77),
        "    skipped: it runs only if nothing failed, and `breaks` did not pass\n",
        &done("after_announce", "SKIPPED", 88),
        "    skipped: `announce` did not pass, because of `breaks`\n",
        &done("[thread_0] clean_last", "PASSED", 100),
        "\nfailures:\n\nbreaks FAILED\n    no\n    at x.c:2\n    rerun: tdrun libx.so::breaks\n",
        "\nskipped because of `breaks`: announce, after_announce, blocked\n",
    ];
    let summary = "==== 5 passed, 1 failed, 3 skipped in N.NNs ====\n";
    let tdrun = tdrun("libx.so -j1").library("x", RELEASE_DAY);
    tdrun.expect(1, summary, &stderr.concat());
}

/// The dependency of a skipped task that is declared behind it still counts: every task has one end.
#[test]
fn a_dependency_declared_after_its_dependents_skip_is_not_lost() {
    let source = "FAIL(breaks, \"no\") PASS(fine)
        static const td_task tasks[] = {
            TD_TASK_NAMED(fine, \"both\", TD_AFTER(TD_STR(\"blocked\"), TD_STR(\"late\"))),
            TD_TASK_NAMED(fine, \"blocked\", TD_AFTER(TD_STR(\"breaks\"))),
            TD_TASK(breaks),
            TD_TASK_NAMED(fine, \"late\", TD_AFTER(TD_STR(\"first\"))),
            TD_TASK_NAMED(fine, \"first\", .wave = 0),
            TD_TASK_NAMED(fine, \"clean\", TD_AFTER(TD_STR(\"both\"), TD_STR(\"late\")), .condition = TD_ALWAYS),
        };
        TD_LIBRARY(tasks)";
    for (args, ended) in [
        ("-j1", "!breaks -blocked +first +late -both +clean"),
        (
            "-j1 --no-skip-deps",
            "!breaks +first +blocked +late +both +clean",
        ),
    ] {
        let outcome = tdrun("libx.so").args(args).library("x", source).run();
        assert_eq!(ends(&outcome.stderr), ended);
        assert_eq!(outcome.status, 1);
    }
}
