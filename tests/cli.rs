//! The command line, the streams and the environment: what the user typed, and where the output goes.

mod common;

use common::tool::{done, tdrun};

const THREE: &str = r#"
PASS(a)
TASK(b) { return td_result_text(host, ctx, "from b"); }
PASS(c)
static const td_task tasks[] = {
    TD_TASK(a, TD_TAGS(TD_STR("io")), .doc = TD_STR("the first\nand more")),
    TD_TASK(b, TD_AFTER(TD_STR("a"))),
    TD_TASK(c, TD_AFTER(TD_STR("b")), TD_TAGS(TD_STR("io"), TD_STR("slow"))),
};
TD_LIBRARY(tasks)
"#;

const USAGE: &str = "
  usage: tdrun [OPTIONS] [--KEY=VALUE]... <LIBRARY[::SELECTOR]>...
  `tdrun -h` shows the options";

#[test]
fn what_a_library_says_outside_of_tasks_is_reported() {
    let source = r#"
static void *speak(void *host) { TD_INFO((const td_host *)host, 0, "from a thread"); return NULL; }
TASK(a) {
    pthread_t thread;
    pthread_create(&thread, NULL, speak, (void *)host);
    return pthread_join(thread, NULL);
}
static const td_task tasks[] = { TD_TASK(a) };
static const td_table table = { .magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table,
                                .task_stride = sizeof(td_task), .task_count = 1, .tasks = tasks };
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) { TD_INFO(host, 0, "from the entry"); return &table; }
"#;
    let outcome = tdrun("libx.so").library("x", source).run();
    let done = done("[thread_0] a", "PASSED", 100);
    assert_eq!(
        outcome.stderr,
        format!("INFO from the entry\nINFO from a thread\n{done}")
    );
}

#[test]
fn a_wrong_command_line_is_one_error_and_status_2() {
    for (args, error) in [
        ("", format!("error[usage.target]: no library to run{USAGE}")),
        (
            "libx.so --nonsense",
            "error[usage.option]: there is no option `--nonsense`\n  to set the state key `nonsense` write `--nonsense=VALUE`".into(),
        ),
        (
            "libx.so --wokers 3",
            "error[usage.option]: there is no option `--wokers`\n  did you mean `--workers`?\n  to set the state key `wokers` write `--wokers=VALUE`".into(),
        ),
        ("libx.so -Z", format!("error[usage.option]: unexpected argument `-Z` found{USAGE}")),
        ("libx.so --workers=0", "error[usage.workers]: `--workers` takes a number from 1 to 1024, not `0`".into()),
        ("libx.so --workers -1", "error[usage.workers]: `--workers` takes a number from 1 to 1024, not `-1`".into()),
        ("libx.so -j x", "error[usage.workers]: `--workers` takes a number from 1 to 1024, not `x`".into()),
        ("libx.so --jobs=99999999", "error[usage.workers]: `--workers` takes a number from 1 to 1024, not `99999999`".into()),
        ("libx.so --max-fail=0", "error[usage.max-fail]: `--max-fail` takes a number from 1 on, not `0`".into()),
        ("libx.so --retries=-1", "error[usage.retries]: `--retries` takes a number from 0 on, not `-1`".into()),
        ("libx.so --retries x", "error[usage.retries]: `--retries` takes a number from 0 on, not `x`".into()),
        (
            "libx.so --flaky=maybe",
            format!("error[usage.value]: invalid value `maybe` for `--flaky <pass|fail>`\n  it takes pass, fail{USAGE}"),
        ),
        (
            "libx.so --timeout=30",
            "error[usage.duration]: `--timeout` takes a time with a unit, not `30`\n  write `--timeout=30s`".into(),
        ),
        (
            "libx.so --run-timeout 0s",
            "error[usage.duration]: `--run-timeout` takes a time above zero, not `0s`\n  without it there is no limit".into(),
        ),
        ("libx.so --grace=soon", "error[usage.duration]: `--grace` takes a time such as `200ms`, `30s` or `1h30m`, not `soon`".into()),
        ("libx.so --slow -1s", "error[usage.duration]: `--slow` takes a time such as `200ms`, `30s` or `1h30m`, not `-1s`".into()),
        (
            "libx.so --retry=2 --timeout",
            format!("error[usage.value]: a value is required for `--timeout <DUR>` but none was supplied{USAGE}"),
        ),
        (
            "libx.so --isolate auto",
            "error[usage.value]: `auto` stands where a library is expected\n  write `--isolate=auto`, or `./auto` for a library".into(),
        ),
        (
            "libx.so --graph dot",
            "error[usage.value]: `dot` stands where a library is expected\n  write `--graph=dot`, or `./dot` for a library".into(),
        ),
        (
            "libx.so --run-under=no-such-program",
            "error[usage.program]: there is no program `no-such-program` for `--run-under`\n  is it installed, and in PATH?".into(),
        ),
        (
            "libx.so --debugger=./libx.so",
            "error[usage.program]: there is no program `./libx.so` for `--debugger`\n  is it installed, and in PATH?".into(),
        ),
        (
            "libx.so --_x=1",
            "error[state.reserved]: the state key `_x` is reserved\n  keys that begin with `_`, and `results`, belong to tdrun".into(),
        ),
        (
            "libx.so --results=1",
            "error[state.reserved]: the state key `results` is reserved\n  to give the result of one task write `--result-NAME=VALUE`".into(),
        ),
        (
            "libx.so --set results=1",
            "error[state.reserved]: the state key `results` is reserved\n  to give the result of one task write `--result-NAME=VALUE`".into(),
        ),
        ("libx.so --set env", "error[usage.set]: `--set env` has no value\n  write `--set KEY=VALUE`".into()),
        (
            "libx.so --progress --verbose",
            format!("error[usage.conflict]: the argument `--progress` cannot be used with `--verbose`{USAGE}"),
        ),
        (
            "libx.so --viewer --verbose",
            format!("error[usage.conflict]: the argument `--viewer` cannot be used with `--verbose`{USAGE}"),
        ),
        (
            "libx.so --progress --viewer",
            format!("error[usage.conflict]: the argument `--progress` cannot be used with `--viewer`{USAGE}"),
        ),
        (
            "libx.so --isolate=never --run-under=env",
            "error[usage.conflict]: the argument `--isolate=never` cannot be used with `--run-under`\n  a command can only stand before tasks that have processes of their own".into(),
        ),
        (
            "libx.so --graph=svg",
            format!("error[usage.value]: invalid value `svg` for `--graph[=<FORMAT>]`\n  it takes text, dot, mermaid, json{USAGE}"),
        ),
        (
            "libx.so::",
            "error[usage.target]: an empty selector: `libx.so::`\n  `libx.so` alone runs all of its tasks".into(),
        ),
    ] {
        tdrun(args).expect_error(2, &error);
    }
}

#[test]
fn an_empty_target_is_never_opened() {
    let error = "error[usage.target]: an empty target: ``\n  name a library: `tdrun libname.so` or `tdrun libname.so::task`";
    tdrun("").arg("").expect_error(2, error);
}

#[test]
fn bytes_that_are_no_text_are_a_path_but_no_value() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let value = OsStr::from_bytes(b"--env=\xff");
    tdrun("libx.so")
        .arg(value)
        .expect_error(2, "error[usage.utf8]: `--env=\u{fffd}` is not UTF-8");

    let tdrun = tdrun("")
        .library("x", THREE)
        .arg(OsStr::from_bytes(b"\xff.so"));
    std::fs::rename(
        tdrun.dir.join("libx.so"),
        tdrun.dir.join(OsStr::from_bytes(b"\xff.so")),
    )
    .unwrap();
    assert_eq!(tdrun.run().status, 0);
}

#[test]
fn help_is_a_screen_and_the_manual_is_longer() {
    let (short, long) = (tdrun("-h").run(), tdrun("--help").run());
    assert_eq!(
        (short.status, long.status, short.stderr.as_str()),
        (0, 0, "")
    );
    assert!(
        short.stdout.lines().count() <= 55,
        "{}",
        short.stdout.lines().count()
    );
    assert!(long.stdout.lines().count() > 80);
    for word in [
        "--workers",
        "--KEY=<VALUE>",
        "--result-NAME=<VALUE>",
        "--graph",
        "Exit status",
    ] {
        assert!(
            short.stdout.contains(word) && long.stdout.contains(word),
            "{word}"
        );
    }
    let version = tdrun("--version").run();
    assert_eq!(
        version.stdout,
        concat!("tdrun ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_key_like_an_option_is_state_with_a_warning_and_unread_keys_are_named() {
    let expected = format!(
        "tdrun: warning: `--tag=…` sets a state key; did you mean the option `--tags`?\n{}{}",
        done("[thread_0] a", "PASSED", 100),
        "tdrun: warning: `--tag=…` was given, but no task asked for it\n"
    );
    let tdrun = tdrun("libx.so::a --tag=io --state-file=s.json").library("x", THREE);
    tdrun.file("s.json", r#"{"nobody": "asks"}"#).expect(
        0,
        "==== 1 passed, 0 failed, 0 skipped in N.NNs ====\n",
        &expected,
    );
}

#[test]
fn the_limits_are_options_and_their_neighbours_are_state_with_a_warning() {
    let limits = "--retries=2 --flaky=fail --timeout=1h30m --run-timeout=2h --grace=0 --slow=0";
    let tdrun = tdrun("libx.so::a -q").args(limits).library("x", THREE);
    assert_eq!(tdrun.run().stderr, "");
    let tdrun = tdrun.args("--timeouts=5 --set timeout=5");
    let stderr = tdrun.run().stderr;
    let warning =
        "tdrun: warning: `--timeouts=…` sets a state key; did you mean the option `--timeout`?\n";
    assert_eq!(stderr, warning);
}

#[test]
fn a_broken_pipe_does_not_disturb_the_run() {
    let tdrun = tdrun("libx.so --workers=1 --junit=out.xml").library("x", THREE);
    let outcome = tdrun.shell("{ $TDRUN 2>&1; echo status $? >&3; } 3>status | head -1");
    assert_eq!(outcome.stdout, done("[thread_0] a", "PASSED", 33));
    assert_eq!(tdrun.read("status"), "status 0\n");
    assert!(tdrun.read("out.xml").ends_with("</testsuites>\n"));
}

#[test]
fn an_output_that_cannot_be_written_is_status_74() {
    let tdrun = tdrun("libx.so --quiet").library("x", THREE);
    for redirection in [">/dev/full", "1</dev/null"] {
        let outcome = tdrun.shell(&format!("$TDRUN {redirection}"));
        assert_eq!(outcome.status, 74, "{redirection}");
        assert!(
            outcome.stderr.starts_with("tdrun: error[io.output]: "),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn closed_and_full_streams_for_people_do_not_matter() {
    let tdrun = tdrun("libx.so").library("x", THREE);
    for redirection in [">&-", "2>&-", "2>/dev/full", "<&-", ">&- 2>&- <&-"] {
        assert_eq!(
            tdrun.shell(&format!("$TDRUN {redirection}")).status,
            0,
            "{redirection}"
        );
    }
}

#[test]
fn no_escape_reaches_what_is_no_terminal_unless_asked_for() {
    let plain = tdrun("libx.so").library("x", THREE);
    assert!(!plain.run().stderr.contains('\x1b'));
    for (tdrun, colored) in [
        (tdrun("libx.so --color=always"), true),
        (tdrun("libx.so").env("CLICOLOR_FORCE", "1"), true),
        (
            tdrun("libx.so")
                .env("CLICOLOR_FORCE", "1")
                .env("NO_COLOR", "1"),
            false,
        ),
        (
            tdrun("libx.so --color=never").env("CLICOLOR_FORCE", "1"),
            false,
        ),
        (tdrun("libx.so --progress").env("COLUMNS", "0"), false),
        (tdrun("libx.so --viewer").env("COLUMNS", "100000"), false),
    ] {
        let outcome = tdrun.library("x", THREE).run();
        assert_eq!(
            outcome.stderr.contains("\x1b["),
            colored,
            "{}",
            outcome.stderr
        );
        assert_eq!(
            outcome.stdout.contains("\x1b["),
            colored,
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn report_files_are_opened_before_anything_runs() {
    let touches = "TASK(a) { fclose(fopen(\"ran\", \"w\")); return TD_OK; }
        static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    for option in ["--junit=none/out.xml", "--events=none/out.jsonl"] {
        let tdrun = tdrun("libx.so").arg(option).library("x", touches);
        let outcome = tdrun.run();
        assert_eq!(outcome.status, 74, "{}", outcome.stderr);
        assert!(
            outcome.stderr.starts_with("tdrun: error[io.output]: "),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains("none/out"), "{}", outcome.stderr);
        assert!(!tdrun.dir.join("ran").exists());
    }
}

#[test]
fn a_wrong_state_file_is_an_error_with_its_place_and_nothing_runs() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
    for (content, error) in [
        (
            "",
            "error[state.file]: cannot read the state file `s.json`: it is empty",
        ),
        (
            "[1]",
            "error[state.file]: the state file `s.json` holds an array, not an object\n  write `{\"key\": value, …}`",
        ),
        (
            "{\"a\": 1,}",
            "error[state.json]: in the state file `s.json`: trailing comma at line 1 column 9",
        ),
        (
            "{\n\"a\": 1\n\"b\": 2}",
            "error[state.json]: in the state file `s.json`: expected `,` or `}` at line 3 column 1",
        ),
        (
            "\u{feff}{}",
            "error[state.file]: cannot read the state file `s.json`: it begins with a byte order mark; save it as plain UTF-8",
        ),
        (
            "{\"_a\": 1}",
            "error[state.file]: the key `_a` in the state file `s.json` is reserved\n  `results` and keys that begin with `_` belong to tdrun",
        ),
        (
            "{\"results\": {}}",
            "error[state.file]: the key `results` in the state file `s.json` is reserved\n  `results` and keys that begin with `_` belong to tdrun",
        ),
        (
            "{\"a\": 1,\n \"a\": 2}",
            "error[state.json]: in the state file `s.json`: the key `a` stands twice at line 2 column 8",
        ),
        (
            &deep,
            "error[state.json]: in the state file `s.json`: recursion limit exceeded at line 1 column 133",
        ),
    ] {
        let tdrun = tdrun("libx.so --state-file=s.json")
            .library("x", THREE)
            .file("s.json", content);
        tdrun.expect_error(1, error);
    }
    let missing = "error[state.file]: cannot read the state file `none.json`: No such file or directory (os error 2)";
    tdrun("libx.so --state-file=none.json")
        .library("x", THREE)
        .expect_error(1, missing);
    let folder = "error[state.file]: cannot read the state file `.`: Is a directory (os error 21)";
    tdrun("libx.so --state-file=.")
        .library("x", THREE)
        .expect_error(1, folder);
}

#[test]
fn a_state_file_may_be_a_pipe_but_is_not_waited_for_for_ever() {
    let tdrun = tdrun("libx.so -q --state-file=pipe")
        .library("x", THREE)
        .fifo("pipe");
    for writer in [
        "echo '{}' > pipe",
        "{ sleep 0.1; echo '{}'; } > pipe",
        "{ printf '{'; sleep 0.1; echo '}'; } > pipe",
        "{ sleep 3; echo '{}'; } > pipe",
    ] {
        let outcome = tdrun.shell(&format!("{writer} & $TDRUN"));
        assert_eq!(outcome.status, 0, "{writer}: {}", outcome.stderr);
    }
    let error = "error[state.file]: cannot read the state file `pipe`: nobody writes to this pipe";
    tdrun.expect_error(1, error);
}

#[test]
fn a_library_that_closes_streams_while_it_is_loaded_hides_nothing() {
    let source = "__attribute__((constructor)) static void quiet(void) { close(1); close(2); }
        FAIL(a, \"no\") static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    tdrun("libx.so --list")
        .library("x", source)
        .expect(0, "a\n", "");
    let outcome = tdrun("libx.so").library("x", source).run();
    assert_eq!(
        outcome.stdout,
        "==== 0 passed, 1 failed, 0 skipped in N.NNs ====\n"
    );
    assert!(outcome.stderr.contains("a FAILED\n"), "{}", outcome.stderr);
    tdrun("libx.so::b").library("x", source).expect_error(
        1,
        "error[select.empty]: no task of `libx.so` matches `b`\n  its tasks are `a`",
    );
}

#[test]
fn a_hundred_libraries_need_few_descriptors() {
    let mut tdrun = tdrun("-q").library("x", THREE);
    for i in 0..100 {
        let name = format!("lib{i}.so");
        std::fs::copy(tdrun.dir.join("libx.so"), tdrun.dir.join(&name)).unwrap();
        tdrun = tdrun.arg(name);
    }
    let outcome = tdrun.shell("ulimit -n 32; $TDRUN --junit=out.xml --events=out.jsonl");
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (0, "==== 300 passed, 0 failed, 0 skipped in N.NNs ====\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn later_sources_of_state_win() {
    let source = r#"
TASK(setup) { return td_state_set_text(host, ctx, "c", "setup"); }
TASK(show) {
    char text[64];
    for (const char *key = "abcd"; *key; key++) {
        char name[2] = {*key, 0};
        if (td_state_copy(host, ctx, name, text, sizeof text) != TD_OK) strcpy(text, "-");
        printf("%s=%s ", name, text);
    }
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(show) };
TD_LIBRARY(tasks, .setup = setup)
"#;
    let outcome = tdrun("libx.so -q --state-file=s.json --b=line --c=line --set b=set")
        .library("x", source)
        .file(
            "s.json",
            r#"{"a": {"k": [1, 2.5]}, "b": "file", "c": "file"}"#,
        )
        .run();
    let expected = "a={\"k\":[1,2.5]} b=set c=setup d=- ";
    assert!(outcome.stdout.contains(expected), "{outcome:?}");
}

#[test]
fn the_command_that_repeats_a_failure_has_all_that_gave_state() {
    let source = "FAIL(a, \"no\") static const td_task tasks[] = { TD_TASK(a) }; TD_LIBRARY(tasks)";
    let outcome = tdrun("libx.so -j1 --set log=1 --state-file=s.json --who=me")
        .arg("--name=two words")
        .library("x", source)
        .file("s.json", "{}")
        .run();
    let rerun =
        "    rerun: tdrun libx.so::a --who=me '--name=two words' --set=log=1 --state-file=s.json\n";
    assert!(outcome.stderr.contains(rerun), "{}", outcome.stderr);
}

#[test]
fn there_are_as_many_workers_as_asked_for_but_not_more_than_are_useful() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    for (library, args, workers) in [
        ("libx.so", "-j2", 2),
        ("libx.so", "--jobs=1000", 3),
        ("libx.so", "", cpus.min(3)),
        ("libx.so::a", "", 1),
        ("libbig.so", "", cpus.min(8)),
    ] {
        let tdrun = tdrun(args)
            .arg(library)
            .args("--quiet --events=events.jsonl");
        let tdrun = tdrun.library("x", THREE).library("big", common::BIG);
        assert_eq!(tdrun.run().status, 0);
        let events = tdrun.read("events.jsonl");
        let first = events.lines().next().unwrap();
        assert!(first.contains(&format!("\"workers\":{workers},")), "{args}");
    }
}

#[test]
fn standard_input_is_empty_for_tasks() {
    let source = "TASK(reads) { return getchar() == EOF ? TD_OK : TD_FAIL; }
        static const td_task tasks[] = { TD_TASK(reads) }; TD_LIBRARY(tasks)";
    let tdrun = tdrun("libx.so -q").library("x", source);
    assert_eq!(tdrun.shell("echo text | $TDRUN").status, 0);
}

#[test]
fn a_deleted_directory_and_a_bare_environment_do_not_matter() {
    let tdrun = tdrun("").library("x", THREE);
    let library = tdrun.dir.join("libx.so");
    let tdrun = tdrun.arg(&library);
    let outcome = tdrun.shell(
        "mkdir gone && cd gone && rmdir ../gone && env -i HOME=/none TMPDIR=/none $TDRUN -q",
    );
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (0, ""),
        "{outcome:?}"
    );
}
