//! What people and reports see of tasks in processes of their own.

mod common;

use common::tool::{done, tdrun};

/// A library that aborts on a panic, with one task that asks for a process of its own.
const ABORTS: &str = r"
PASS(a) PASS(b)
static const td_task tasks[] = { TD_TASK(a), TD_TASK(b, .flags = TD_TASK_ISOLATE) };
TD_LIBRARY(tasks, .flags = TD_TABLE_PANIC_ABORT)
";

#[test]
fn panics_that_abort_are_noted_once_where_tasks_run_in_threads() {
    let note = "tdrun: note: `libx.so` was built with panic=abort: a panic in it ends the process; --isolate=auto runs its tasks in processes of their own\n";
    for (args, noted) in [
        ("libx.so -q", 1),
        ("libx.so::a -q", 1),
        ("libx.so::b -q", 0),
        ("libx.so::b -q --isolate=never", 1),
        ("libx.so -q --isolate", 0),
        ("libx.so -q --isolate=auto", 0),
        ("libx.so --list", 0),
        ("libx.so liby.so -q", 1),
        ("liby.so -q", 0),
    ] {
        let tdrun = tdrun(args).library("x", ABORTS).library(
            "y",
            "PASS(c) static const td_task tasks[] = { TD_TASK(c) }; TD_LIBRARY(tasks)",
        );
        let outcome = tdrun.run();
        assert_eq!(outcome.status, 0, "{args}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.matches(note).count(),
            noted,
            "{args}: {}",
            outcome.stderr
        );
    }
}

/// Each outcome that a run on threads may have, some twice.
const MIXED: &str = r#"
PASS(passes) FAIL(fails, "no")
TASK(skips) { return TD_SKIPPED(host, ctx, "why"); }
TASK(late) { while (host->cancelled(ctx) == 0) usleep(1000); return TD_OK; }
TASK(settles) { return host->attempt(ctx) > 1 ? TD_OK : TD_FAIL; }
static const td_task tasks[] = {
    TD_TASK(passes), TD_TASK(skips), TD_TASK(late, .timeout_ms = 20), TD_TASK(settles, .retries = 1),
    TD_COMMAND("crashes", TD_SHELL("kill -9 $$")),
    TD_TASK(fails), TD_TASK_NAMED(passes, "blocked", TD_AFTER(TD_STR("fails"))),
    TD_TASK_NAMED(passes, "never", .priority = -1),
};
TD_LIBRARY(tasks)
"#;

#[test]
fn every_report_counts_the_same() {
    let tdrun = tdrun("libx.so -j1 -q --max-fail=3 --junit=r.xml --events=e.jsonl --log");
    let tdrun = tdrun.library("x", MIXED);
    let outcome = tdrun.run();
    let counts =
        "2 passed, 1 failed, 2 skipped, 1 timed out, 1 crashed, 1 not run; 1 of the passed flaky";
    let line = format!("==== {counts} in N.NNs ====\n");
    assert_eq!(outcome.stdout, line, "{}", outcome.stderr);
    let last = tdrun.read("tdrun_main.log");
    assert!(last.contains(&format!("INFO ==== {counts} in ")), "{last}");

    let events = tdrun.read("e.jsonl");
    let lines = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = lines.collect();
    let of = |event: &'static str| events.iter().filter(move |line| line["event"] == event);
    let end = of("run_finished").next_back().expect("it ended");
    assert_eq!(end["planned"], 8);
    for (outcome, count) in [
        ("passed", 2),
        ("failed", 1),
        ("skipped", 2),
        ("timed_out", 1),
        ("crashed", 1),
        ("cancelled", 0),
        ("not_run", 1),
    ] {
        assert_eq!(end[outcome], count, "{outcome}");
        let finished = of("task_finished").filter(|line| line["outcome"] == outcome);
        assert_eq!(finished.count(), count, "{outcome}");
    }
    let xml = tdrun.read("r.xml");
    let totals = "<testsuites name=\"tdrun\" tests=\"8\" skipped=\"3\" failures=\"1\" errors=\"2\"";
    assert!(xml.contains(totals), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 8);
}

/// Tasks that write, and one that shows what a reader makes of it.
const WRITES: &str = r#"
TASK(says) { printf("said\n"); fprintf(stderr, "warned\n"); return TD_OK; }
TASK(fails) { printf("first\n\n\tlast \x1b[2J"); fprintf(stderr, "failures:\n"); return TD_FAILED(host, ctx, "no"); }
TASK(binary) {
    unsigned char all[256];
    for (int i = 0; i < 256; i++) all[i] = (unsigned char)i;
    if (write(1, all, 256) != 256 || write(2, all + 128, 128) != 128) return 5;
    return TD_FAILED(host, ctx, "binary");
}
static const td_task tasks[] = { TD_TASK(says), TD_TASK(fails), TD_TASK(binary) };
TD_LIBRARY(tasks)
"#;

#[test]
fn what_failed_tasks_wrote_is_shown_below_their_failures() {
    let expected = [
        &done("[thread_0] says", "PASSED", 50),
        &done("[thread_0] fails", "FAILED", 100),
        "    no (x.c:3)\n",
        FAILS,
    ];
    let summary = "==== 1 passed, 1 failed, 0 skipped in N.NNs ====\n";
    tdrun("libx.so::says libx.so::fails -j1 --isolate")
        .library("x", WRITES)
        .expect(1, summary, &expected.concat());
    let expected = [
        &done("[thread_0] says", "PASSED", 50),
        "    ---- says stdout ----\n    said\n    ---- says stderr ----\n    warned\n",
        &done("[thread_0] fails", "FAILED", 100),
        "    no (x.c:3)\n",
        FAILS,
    ];
    tdrun("libx.so::says libx.so::fails -j1 --isolate --show-output=all")
        .library("x", WRITES)
        .expect(1, summary, &expected.concat());
    let failure = [
        &done("[thread_0] fails", "FAILED", 100),
        "    no (x.c:3)\n",
        FAILS,
    ];
    tdrun("libx.so::fails -q --isolate")
        .library("x", WRITES)
        .expect(
            1,
            "==== 0 passed, 1 failed, 0 skipped in N.NNs ====\n",
            &failure.concat(),
        );
    let never = tdrun("libx.so --isolate --show-output=never").library("x", WRITES);
    assert!(!never.run().stderr.contains("----"));
}

const FAILS: &str = "
failures:

fails FAILED
    no
    at x.c:3
    ---- fails stdout ----
    first

    \tlast \\u{1b}[2J
    ---- fails stderr ----
    failures:
    rerun: tdrun libx.so::fails
";

/// The bytes behind the letters of RFC 4648.
fn decoded(letters: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters = letters.trim_end_matches('=').bytes();
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in letters {
        bits = bits << 6 | u32::from(value(letter));
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("a byte"));
        }
    }
    bytes
}

#[test]
fn every_byte_is_captured_and_none_reaches_a_terminal_raw() {
    let args = "libx.so::binary --isolate --events=e.jsonl --junit=r.xml --log";
    let tdrun = tdrun(args).library("x", WRITES);
    let outcome = tdrun.run();
    let is_raw = |c: char| c.is_control() && c != '\n' && c != '\t';
    for (text, name) in [
        (&outcome.stderr, "stderr"),
        (&tdrun.read("r.xml"), "r.xml"),
        (&tdrun.read("e.jsonl"), "e.jsonl"),
        (&tdrun.read("tdrun_thread_0.log"), "the log"),
    ] {
        assert_eq!(text.find(is_raw), None, "{name}: {text:?}");
    }
    assert!(outcome.stderr.contains("\\u{1b}"), "{}", outcome.stderr);
    let all: Vec<u8> = (0..=255).collect();
    let events = tdrun.read("e.jsonl");
    let line = events.lines().find(|line| line.contains("\"task_output\""));
    let line: serde_json::Value = serde_json::from_str(line.expect("it wrote")).expect("JSON");
    let bytes = |key: &str| decoded(line[key].as_str().expect("bytes"));
    assert_eq!(bytes("stdout_base64"), all);
    assert_eq!(bytes("stderr_base64"), all[128..]);
}

#[test]
fn lines_of_many_tasks_are_never_torn() {
    let source = r#"
TASK(chatter) {
    char name[64];
    if (td_name_copy(host, ctx, name, sizeof name) != TD_OK) return 5;
    for (int i = 0; i < 20000; i++) fprintf(i % 2 ? stderr : stdout, "%s says %d\n", name, i);
    printf("no end");
    return TD_OK;
}
static const td_task tasks[] = {
    TD_TASK_NAMED(chatter, "chatter::[n]", TD_PARAMS(TD_PARAM("n",
        TD_CHOICES(TD_STR("0"), TD_STR("1"), TD_STR("2"), TD_STR("3"))))),
};
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so -j4 -q --isolate --no-capture")
        .library("x", source)
        .run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let mut next = [[0, 1]; 4];
    let mut ends = 0;
    for line in outcome.stderr.lines() {
        let (_, line) = line.split_once("] ").expect("a thread");
        let (name, said) = line.split_once(' ').expect("a name");
        let task: usize = name
            .strip_prefix("chatter::")
            .expect("a task")
            .parse()
            .expect("its number");
        let (channel, mark) = if said.starts_with('|') {
            (0, "| ")
        } else {
            (1, "! ")
        };
        let said = said.strip_prefix(mark).expect("a mark");
        if said == "no end" {
            ends += 1;
            continue;
        }
        let next = &mut next[task][channel];
        assert_eq!(said, format!("{name} says {next}"));
        *next += 2;
    }
    assert_eq!((next, ends), ([[20_000, 20_001]; 4], 4));
}

#[test]
fn endless_output_takes_bounded_memory_and_is_said_to_be_cut() {
    let source = r#"
TASK(floods) {
    static char block[1 << 20];
    for (int i = 0; i < (int)sizeof block; i++) block[i] = (char)('a' + i % 26);
    for (int i = 0; i < 2048; i++) {
        for (size_t done = 0; done < sizeof block;) {
            ssize_t written = write(1, block + done, sizeof block - done);
            if (written < 0) return 5;
            done += (size_t)written;
        }
    }
    return TD_FAILED(host, ctx, "enough");
}
static const td_task tasks[] = { TD_TASK(floods) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -q -j1 --isolate --junit=r.xml").library("x", source);
    // A gibibyte of addresses is less than was written.
    let outcome = tdrun.shell("ulimit -v 1048576; $TDRUN");
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let said = "    ---- floods stdout ----\n    [… 2147418112 bytes not shown; --junit and --events have more …]\n    ";
    assert!(outcome.stderr.contains(said), "{:.2000}", outcome.stderr);
    assert!(outcome.stderr.len() < 70_000, "{}", outcome.stderr.len());
    let xml = tdrun.read("r.xml");
    assert!(xml.contains("[… 2146435072 bytes cut …]"));
    assert!(xml.len() < 1_100_000, "{}", xml.len());
}

#[test]
fn a_line_without_an_end_is_shown_as_it_comes_and_not_kept() {
    let source = r"
TASK(floods) {
    static char block[1 << 20];
    for (int i = 0; i < (int)sizeof block; i++) block[i] = 'x';
    for (int i = 0; i < 512; i++) if (write(1, block, sizeof block) != sizeof block) return 5;
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(floods) };
TD_LIBRARY(tasks)
";
    let tdrun = tdrun("libx.so -q -j1 --isolate --no-capture").library("x", source);
    // Less than was written, and half as much again as is needed.
    let outcome = tdrun.shell("ulimit -v 400000; $TDRUN 2>&1 | tr -cd x | wc -c");
    assert_eq!(outcome.stdout.trim(), (512 << 20).to_string());
}

#[test]
fn who_leaves_a_process_running_is_leaky_and_nobody_waits_for_it() {
    let source = r#"
TASK(leaves) {
    if (fork() == 0) { pause(); _exit(0); }
    printf("left one\n");
    return TD_OK;
}
PASS(tidy)
static const td_task tasks[] = { TD_TASK(leaves), TD_TASK(tidy, TD_AFTER(TD_STR("leaves"))) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j1 --isolate --events=e.jsonl --junit=r.xml").library("x", source);
    let outcome = tdrun.run();
    assert_eq!(
        outcome.stdout, "==== 2 passed, 0 failed, 0 skipped; 1 leaky in N.NNs ====\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 0);
    let events = tdrun.read("e.jsonl");
    let lines = events
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<serde_json::Value> = lines.collect();
    let left = lines
        .iter()
        .find(|line| line["event"] == "task_left")
        .expect("one is left");
    assert_eq!(left["task"], "leaves");
    let pid = left["processes"][0]["pid"].as_i64().expect("its number");
    assert_eq!(lines.last().expect("an end")["leaky"], 1);
    let name = left["processes"][0]["name"].as_str().expect("a name");
    let expected = [
        done("[thread_0] leaves", "PASSED", 50),
        format!("    leaky: left running: {pid} {name}\n"),
        done("[thread_0] tidy", "PASSED", 100),
    ];
    assert!(
        outcome.stderr.starts_with(&expected.concat()),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("\nleaky: leaves (left running: "),
        "{}",
        outcome.stderr
    );
    let property = format!("<property name=\"leaky\" value=\"left running: {pid} ");
    assert!(
        tdrun.read("r.xml").contains(&property),
        "{}",
        tdrun.read("r.xml")
    );
}

#[test]
fn who_is_stopped_is_shown_until_it_goes_on() {
    let source = r#"
TASK(stops) {
    FILE *file = fopen("pid", "w");
    fprintf(file, "%d", (int)getpid());
    fclose(file);
    raise(SIGSTOP);
    wait_for("gate");
    return TD_OK;
}
static const td_task tasks[] = { TD_TASK(stops) };
TD_LIBRARY(tasks)
"#;
    let tdrun = tdrun("libx.so -j1 --isolate --events=e.jsonl")
        .library("x", source)
        .fifo("gate");
    let mut running = tdrun.start();
    running.wait_for("[thread_0] stops is stopped by SIGSTOP\n");
    running.signal("USR1");
    running.wait_for("stops for ");
    let kill = std::process::Command::new("sh")
        .args(["-c", "kill -s CONT \"$(cat pid)\""])
        .current_dir(&tdrun.dir)
        .status();
    assert!(kill.expect("a shell").success());
    running.wait_for("[thread_0] stops goes on\n");
    running.open("gate");
    let outcome = running.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("s, is stopped by SIGSTOP\n"),
        "{}",
        outcome.stderr
    );
    let expected = done("[thread_0] stops", "PASSED", 100);
    assert!(outcome.stderr.ends_with(&expected), "{}", outcome.stderr);
    let events = tdrun.read("e.jsonl");
    for event in ["\"task_stopped\",", "\"task_continued\","] {
        assert_eq!(events.matches(event).count(), 1, "{events}");
    }
}
