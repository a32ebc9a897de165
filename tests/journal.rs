//! The journal, and runs that are taken up: whatever ended a run, the next one goes on where it stood, and never reuses what
//! is not the same.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::tool::{Outcome, Tdrun, done, tdrun};

/// Each task says that it ran, in the file `ran`; `b` fails while there is a file `fail`.
const FIVE: &str = r#"
static void say(const char *name) {
    int fd = open("ran", O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (write(fd, name, 1) != 1) abort();
    close(fd);
}
TASK(a) { say("a"); return td_result_json(host, ctx, "{\"from\":\"a\",\"n\":1.50}"); }
TASK(b) {
    char text[64] = "";
    say("b");
    td_result_copy(host, ctx, "a", text, sizeof text);
    if (access("fail", F_OK) == 0) return TD_FAILED(host, ctx, "no disk");
    return td_result_text(host, ctx, text);
}
TASK(c) {
    char text[64] = "";
    say("c");
    td_result_copy(host, ctx, "b", text, sizeof text);
    return td_result_text(host, ctx, text);
}
TASK(d) { say("d"); return TD_SKIPPED(host, ctx, "no network"); }
TASK(e) { say("e"); return TD_OK; }
TASK(up) { say("("); return TD_OK; }
TASK(down) { say(")"); return TD_OK; }
static const td_task tasks[] = {
    TD_TASK(a),
    TD_TASK(b, TD_AFTER(TD_STR("a"))),
    TD_TASK(c, TD_AFTER(TD_STR("b"))),
    TD_TASK(d),
    TD_TASK(e),
};
TD_LIBRARY(tasks, .setup = up, .teardown = down)
"#;

/// The same directory, called in another way.
fn again(first: &Tdrun, args: &str) -> Tdrun {
    let mut next = tdrun(args);
    next.dir.clone_from(&first.dir);
    next
}

fn ran(run: &Tdrun) -> String {
    let ran = fs::read_to_string(run.dir.join("ran")).unwrap_or_default();
    let _ = fs::remove_file(run.dir.join("ran"));
    ran
}

/// A run of which `b` failed.
fn failed() -> Tdrun {
    let first = tdrun("libx.so -j1 --journal=j")
        .library("x", FIVE)
        .file("fail", "");
    assert_eq!(first.run().status, 1);
    assert_eq!(ran(&first), "(abde)");
    fs::remove_file(first.dir.join("fail")).unwrap();
    first
}

#[test]
fn passed_tasks_stay_with_their_results_and_all_others_run() {
    let first = failed();
    let next = again(&first, "libx.so -j1 --resume=j --junit=r.xml");
    let stderr = [
        "resumed j: 3 of 5 tasks stay as they are\n",
        &done("[thread_0] b", "PASSED", 80),
        &done("[thread_0] c", "PASSED", 100),
    ];
    let summary = "==== 4 passed, 0 failed, 1 skipped in N.NNs ====\n";
    next.expect(0, summary, &stderr.concat());
    assert_eq!(ran(&next), "(bc)");
    let report = next.read("r.xml");
    assert_eq!(report.matches("<testcase ").count(), 5, "{report}");

    // Everything passed: nothing is left to do, and nothing to prepare.
    let stderr = "resumed j: 5 of 5 tasks stay as they are\n";
    again(&first, "libx.so -j2 --resume=j").expect(0, summary, stderr);
    assert_eq!(ran(&first), "");
}

#[test]
fn every_line_is_json_with_its_kind_and_the_results_are_as_they_were() {
    let first = failed();
    let journal = first.read("j");
    let mut kinds = Vec::new();
    for line in journal.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let members = line.as_object().unwrap();
        assert_eq!(members.len(), 2);
        kinds.push(members.keys().find(|key| *key != "crc").unwrap().clone());
    }
    let expected = [
        "open", "plan", "hook", "end", "end", "end", "end", "ran", "hook", "fin",
    ];
    assert_eq!(kinds, expected);
    assert!(
        journal.contains(r#""result":{"from":"a","n":1.5}"#),
        "{journal}"
    );
    let result = again(&first, "libx.so --resume=j --events=e").run();
    assert_eq!(result.status, 0);
    let events = first.read("e");
    assert_eq!(
        events.matches(r#"{\"from\":\"a\",\"n\":1.5}"#).count(),
        2,
        "{events}"
    );
}

#[test]
fn another_selection_uses_what_it_can() {
    let first = tdrun("libx.so::e libx.so::a --journal=j").library("x", FIVE);
    assert_eq!(first.run().status, 0);
    ran(&first);
    let next = again(&first, "libx.so -j1 --resume=j").run();
    assert!(
        next.stderr
            .starts_with("resumed j: 2 of 5 tasks stay as they are\n"),
        "{next:?}"
    );
    assert_eq!((next.status, ran(&first).as_str()), (0, "(bcd)"));
    // And what the second did not select the third still knows.
    assert_eq!(again(&first, "libx.so::e --resume=j").run().status, 0);
    assert_eq!(again(&first, "libx.so --resume=j").run().status, 0);
    assert_eq!(ran(&first), "");
}

#[test]
fn a_changed_library_is_refused_or_its_tasks_run_again() {
    let first = failed();
    let changed = first.library(
        "x",
        &FIVE.replace("TD_TASK(e)", "TD_TASK_NAMED(e, \"new\")"),
    );
    let next = again(&changed, "libx.so --resume=j");
    next.expect_error(
        1,
        "error[resume.changed]: `DIR/libx.so` has changed since the run of `j`\n  \
         to run what has changed again, and all that comes after it: --resume-changed\n  \
         to run everything: without --resume=j",
    );
    assert_eq!(ran(&next), "");
    let next = again(&changed, "libx.so -j1 --resume=j --resume-changed").run();
    let told =
        "tdrun: warning: `e` of `x` is no longer there\nresumed j: 0 of 5 tasks stay as they are\n";
    assert!(next.stderr.starts_with(told), "{}", next.stderr);
    assert_eq!((next.status, ran(&changed).as_str()), (0, "(abcde)"));
    // Built again with the same content, it is the same.
    let copy = fs::read(changed.dir.join("libx.so")).unwrap();
    fs::remove_file(changed.dir.join("libx.so")).unwrap();
    fs::write(changed.dir.join("libx.so"), copy).unwrap();
    let next = again(&changed, "libx.so --resume=j").run();
    assert_eq!((next.status, ran(&changed).as_str()), (0, ""));
}

#[test]
fn a_table_that_is_made_otherwise_is_another_graph() {
    let source = r#"
PASS(pass)
static td_str after = TD_STR("a");
static td_task tasks[] = {TD_TASK_NAMED(pass, "a"), TD_TASK_NAMED(pass, "b"), TD_TASK_NAMED(pass, "c")};
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table,
                             .task_stride = sizeof(td_task), .task_count = 3, .tasks = tasks};
    (void)host;
    if (getenv("EDGE")) { tasks[1].after = &after; tasks[1].after_count = 1; }
    return &table;
}
"#;
    let first = tdrun("libx.so --journal=j").library("x", source);
    assert_eq!(first.run().status, 0);
    let next = again(&first, "libx.so --resume=j").env("EDGE", "1").run();
    assert_eq!(next.status, 1);
    let error = "tdrun: error[resume.changed]: `b` is declared otherwise since the run of `j`\n";
    assert!(next.stderr.starts_with(error), "{}", next.stderr);
    let next = again(&first, "libx.so --resume=j --resume-changed")
        .env("EDGE", "1")
        .run();
    assert!(
        next.stderr.starts_with("resumed j: 2 of 3 tasks stay"),
        "{}",
        next.stderr
    );
}

#[test]
fn what_is_no_journal_of_this_run_is_refused_before_anything_runs() {
    let run = |args: &str| {
        tdrun(args)
            .library("x", FIVE)
            .file("empty", "")
            .file("text", "hello\n")
    };
    let error = "error[resume.format]: `text` is not a journal of tdrun";
    run("libx.so --resume=text").expect_error(1, error);
    let error = "error[resume.format]: `.` is a directory, not a journal";
    run("libx.so --resume=.").expect_error(1, error);
    let error = "error[resume.notfound]: `none` does not exist\n  \
                 a run keeps its journal there with --journal=none";
    run("libx.so --resume=none").expect_error(1, error);
    let error = "error[resume.format]: `fifo` is a FIFO, not a journal";
    run("libx.so --resume=fifo")
        .fifo("fifo")
        .expect_error(1, error);

    let error = "error[journal.exists]: `text` is not empty\n  \
                 take its run up again: --resume=text\n  \
                 or name another file, or remove this one";
    run("libx.so --journal=text").expect_error(1, error);
    for (file, why) in [
        ("/dev/full", "it is a device"),
        ("fifo", "it is a FIFO"),
        (".", "it is a directory"),
        ("none/j", "No such file or directory (os error 2)"),
    ] {
        let run = run(&format!("libx.so --journal={file}")).fifo("fifo");
        let error = format!("error[io.journal]: cannot keep a journal in `{file}`: {why}");
        run.expect_error(74, &error);
        assert_eq!(ran(&run), "");
    }
    // Nothing stands there yet: it begins.
    let empty = run("libx.so -q --resume=empty");
    assert_eq!(empty.run().status, 0);
    assert_eq!(ran(&empty).len(), 7);
    assert_eq!(again(&empty, "libx.so -q --resume=empty").run().status, 0);
    assert_eq!(ran(&empty), "");
    let error = "error[usage.output]: `--journal` and `--events` both write to `new`";
    run("libx.so --journal=new --events=./new").expect_error(2, error);
    // Looking leaves nothing behind.
    let look = run("libx.so --list --journal=new");
    assert_eq!(look.run().status, 0);
    assert!(!look.dir.join("new").exists());
}

#[test]
fn a_journal_is_used_by_one_at_a_time() {
    let source = r#"TASK(waits) { wait_for("go"); return TD_OK; } static const td_task tasks[] = {TD_TASK(waits)}; TD_LIBRARY(tasks)"#;
    let first = tdrun("libx.so -v --journal=j")
        .library("x", source)
        .fifo("go");
    let mut running = first.start();
    running.wait_for("waits started");
    let pid = first
        .read("j")
        .split("\"pid\":")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let error = format!("error[resume.locked]: `j` is in use by process {pid}");
    again(&first, "libx.so --resume=j").expect_error(1, &error);
    again(&first, "libx.so --journal=j").expect_error(1, &error);
    running.open("go");
    assert_eq!(running.end().status, 0);
    assert_eq!(again(&first, "libx.so --resume=j").run().status, 0);
}

#[test]
fn a_torn_end_is_cut_and_damage_in_the_middle_refused() {
    let first = failed();
    let journal = first.read("j");
    let end = journal.find("{\"end\"").unwrap();
    let spoilt = journal.replacen("\"attempt\":1", "\"attempt\":7", 1);
    fs::write(first.dir.join("j"), &spoilt).unwrap();
    let error = format!(
        "error[resume.corrupt]: `j` is damaged at byte {end}, with good records behind\n  \
         what stands before can be taken up: truncate --size={end} j"
    );
    again(&first, "libx.so --resume=j").expect_error(1, &error);
    assert_eq!(first.read("j"), spoilt, "as it was");

    let ran_at = journal.find("{\"ran\"").unwrap();
    fs::write(first.dir.join("j"), &journal[..ran_at + 20]).unwrap();
    let next = again(&first, "libx.so -j1 --resume=j").run();
    let told = "tdrun: warning: dropped 20 bytes at the end of `j` that are no whole record\n\
                resumed j: 2 of 5 tasks stay as they are\n";
    assert!(next.stderr.starts_with(told), "{}", next.stderr);
    assert_eq!((next.status, ran(&first).as_str()), (0, "(bce)"));
}

/// A chain and what hangs on it. Each task counts in the state; `DIE` names one that kills tdrun before that or, with a `+`,
/// after it: once.
const COUNTING: &str = r#"
#include <string.h>
static void die(const char *name, const char *when) {
    const char *who = getenv("DIE");
    char pid[32] = "";
    int fd;
    if (!who || strncmp(who, name, strlen(name)) != 0 || strcmp(who + strlen(name), when) != 0) return;
    if ((fd = open("died", O_WRONLY | O_CREAT | O_EXCL, 0666)) < 0) return;
    close(fd);
    fd = open("pid", O_RDONLY);
    if (read(fd, pid, sizeof pid - 1) < 1) abort();
    kill(atoi(pid), SIGKILL);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}
TASK(counts) {
    char name[16], old[32], new[32], result[32];
    td_str was = {0};
    td_name_copy(host, ctx, name, sizeof name);
    die(name, "");
    for (int32_t status = TD_E_CHANGED; status != TD_OK;) {
        if (td_state_copy(host, ctx, "n", old, sizeof old) == TD_OK) was = td_s(old);
        else strcpy(old, "0");
        snprintf(new, sizeof new, "%d", atoi(old) + 1);
        status = host->state_swap(ctx, td_s("n"), was, td_s(new));
    }
    td_state_set_json(host, ctx, name, "1");
    die(name, "+");
    if (getenv("SLOW")) usleep(300);
    if (name[1] % 2) return TD_OK;
    snprintf(result, sizeof result, "%d", name[1]);
    return td_result_json(host, ctx, result);
}
TASK(total) {
    char n[32] = "", why[64], key[3] = "t?", one[8], result[32];
    td_state_copy(host, ctx, "n", n, sizeof n);
    snprintf(why, sizeof why, "n is %s", n);
    if (strcmp(n, "12") != 0) return TD_FAILED(host, ctx, why);
    for (key[1] = 'a'; key[1] < 'm'; key[1]++) {
        if (td_state_copy(host, ctx, key, one, sizeof one) != TD_OK) return TD_FAILED(host, ctx, key);
        if (key[1] % 2 == 0 && (td_result_copy(host, ctx, key, result, sizeof result) != TD_OK || atoi(result) != key[1]))
            return TD_FAILED(host, ctx, "a result is gone");
    }
    return TD_OK;
}
#define COUNTS(name, ...) TD_TASK_NAMED(counts, name, __VA_ARGS__)
static const td_task tasks[] = {
    TD_TASK_NAMED(counts, "ta"),
    COUNTS("tb", TD_AFTER(TD_STR("ta"))),
    COUNTS("tc", TD_AFTER(TD_STR("tb"))),
    COUNTS("td", TD_AFTER(TD_STR("tc")), .retries = 2),
    COUNTS("te", TD_AFTER(TD_STR("td"))),
    COUNTS("tf", TD_AFTER(TD_STR("te"))),
    TD_TASK_NAMED(counts, "tg"),
    COUNTS("th", TD_AFTER(TD_STR("tg"), TD_STR("ta"))),
    COUNTS("ti", TD_AFTER(TD_STR("tg")), TD_LOCKS(TD_STR("l"))),
    COUNTS("tj", TD_LOCKS(TD_STR("l"))),
    COUNTS("tk", TD_AFTER(TD_STR("tf"))),
    COUNTS("tl", TD_AFTER(TD_STR("th"))),
    TD_TASK(total, TD_AFTER(TD_STR("tk"), TD_STR("tl"), TD_STR("ti"), TD_STR("tj"))),
};
TD_LIBRARY(tasks)
"#;

/// Runs and takes up until it comes to its end; how often it was taken up, and the end.
fn converge(
    first: &Tdrun,
    args: &str,
    mut kill: impl FnMut(usize) -> Option<Outcome>,
) -> (usize, Outcome) {
    for round in 0..100 {
        if let Some(killed) = kill(round) {
            assert_eq!(killed.signal, Some(9), "{killed:?}");
            continue;
        }
        return (round, again(first, args).run());
    }
    panic!("it does not come to its end");
}

#[test]
fn killed_at_any_task_a_run_is_taken_up_and_comes_to_the_same_end() {
    for task in ('a'..='l').map(|letter| format!("t{letter}")) {
        for when in ["", "+"] {
            for workers in [1, 2] {
                let args = format!("libx.so -j{workers} --journal=j");
                let first = tdrun(&args)
                    .library("x", COUNTING)
                    .env("DIE", format!("{task}{when}"));
                let killed = first.shell("echo $$ > pid; exec $TDRUN");
                assert_eq!(killed.signal, Some(9), "{task}{when}: {killed:?}");
                let (_, end) = converge(&first, "libx.so -j2 --resume=j", |_| None);
                let summary = "==== 13 passed, 0 failed, 0 skipped in N.NNs ====\n";
                assert_eq!(
                    (end.stdout.as_str(), end.status),
                    (summary, 0),
                    "{task}{when} -j{workers}: {end:?}"
                );
            }
        }
    }
}

#[test]
fn killed_at_random_moments_again_and_again_a_run_comes_to_the_same_end() {
    let mut seed = 7_u64;
    let mut taken_up = 0;
    for _ in 0..15 {
        let first = tdrun("").library("x", COUNTING);
        let (rounds, end) = converge(&first, "libx.so -j2 --resume=j", |round| {
            if round == 5 {
                return None;
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let after = Duration::from_micros(1000 + (seed >> 33) % 12_000);
            let journal = if first.dir.join("j").exists() {
                "--resume=j"
            } else {
                "--journal=j"
            };
            let run = again(&first, "libx.so -j2").arg(journal).env("SLOW", "1");
            let mut child = run
                .command()
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // However busy the machine is, there is something to take up.
            let start = Instant::now();
            while !first.dir.join("j").exists() && start.elapsed() < Duration::from_secs(60) {
                thread::yield_now();
            }
            thread::sleep(after);
            child.kill().unwrap();
            child.wait().unwrap();
            let killed = Outcome {
                status: 137,
                signal: Some(9),
                stdout: String::new(),
                stderr: String::new(),
            };
            Some(killed)
        });
        taken_up += rounds;
        let summary = "==== 13 passed, 0 failed, 0 skipped in N.NNs ====\n";
        assert_eq!(
            (end.stdout.as_str(), end.status),
            (summary, 0),
            "{end:?}\n{}",
            first.read("j")
        );
    }
    assert_eq!(taken_up, 75);
}

#[test]
fn tasks_that_were_added_are_added_again() {
    let source = r#"
TASK(item) {
    char n[8];
    td_param_copy(host, ctx, "n", n, sizeof n);
    if (n[0] == '1' && access("fail", F_OK) == 0) return TD_FAILED(host, ctx, "no");
    return td_result_text(host, ctx, n);
}
TASK(adds) {
    const char *names[] = {"item::2", "item::1", "late"};
    for (int i = 0; i < 3; i++)
        if (host->start(ctx, td_s(names[i]), 0, 0) != TD_OK) return TD_FAILED(host, ctx, names[i]);
    return TD_OK;
}
PASS(late)
static const td_task tasks[] = {
    TD_TASK(adds),
    TD_TASK(late),
    TD_TASK_NAMED(item, "item::[n]", TD_PARAMS(TD_PARAM("n"))),
};
TD_LIBRARY(tasks)
"#;
    let first = tdrun("libx.so::adds -j1 --journal=j")
        .library("x", source)
        .file("fail", "");
    let ended = first.run();
    assert_eq!(
        ended.stdout, "==== 3 passed, 1 failed, 0 skipped in N.NNs ====\n",
        "{ended:?}"
    );
    // Another one has that number now; and who added them is not asked again.
    let targets = "libx.so::item::9 libx.so::adds";
    let next = again(&first, &format!("{targets} -j1 --resume=j")).run();
    assert_eq!(
        next.stdout, "==== 4 passed, 1 failed, 0 skipped in N.NNs ====\n",
        "{next:?}"
    );
    assert!(
        next.stderr.starts_with("resumed j: 3 of 5 tasks"),
        "{next:?}"
    );
    fs::remove_file(first.dir.join("fail")).unwrap();
    for stays in [4, 5] {
        let next = again(&first, &format!("{targets} --resume=j")).run();
        assert_eq!(
            next.stdout, "==== 5 passed, 0 failed, 0 skipped in N.NNs ====\n",
            "{next:?}"
        );
        let told = format!("resumed j: {stays} of 5 tasks stay");
        assert!(next.stderr.starts_with(&told), "{next:?}");
    }
}

#[test]
fn a_task_that_closes_what_is_not_its_own_does_not_end_the_journal() {
    let source = r#"
TASK(closes) { for (int fd = 3; fd < 9000; fd++) close(fd); return td_result_text(host, ctx, "closed"); }
TASK(next) { return td_result_text(host, ctx, "next"); }
static const td_task tasks[] = {TD_TASK(closes), TD_TASK(next, TD_AFTER(TD_STR("closes")))};
TD_LIBRARY(tasks)
"#;
    let first = tdrun("libx.so -j1 --journal=j").library("x", source);
    let ended = first.run();
    assert_eq!(first.read("j").matches("{\"end\"").count(), 2, "{ended:?}");
    let next = again(&first, "libx.so --resume=j").run();
    assert!(
        next.stderr.starts_with("resumed j: 2 of 2 tasks"),
        "{next:?}"
    );
}

/// Says why a test cannot do its work here.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// As many tasks, each with a result, so with a record of its own.
fn many(count: usize) -> String {
    let mut tasks = String::new();
    for at in 0..count {
        let _ = write!(tasks, "TD_TASK_NAMED(one, \"task_{at}\"),");
    }
    format!(
        "TASK(one) {{ return td_result_text(host, ctx, \"a result of some length\"); }}
         static const td_task tasks[] = {{ {tasks} }}; TD_LIBRARY(tasks)"
    )
}

/// The run passed, but for its journal; what stands there can be taken up, and nothing of it is made up.
fn expect_cut_short(first: &Tdrun, ended: &Outcome, count: usize, why: &str) {
    let summary = format!("==== {count} passed, 0 failed, 0 skipped in N.NNs ====\n");
    assert_eq!(
        (ended.stdout.as_str(), ended.status),
        (summary.as_str(), 74),
        "{ended:?}"
    );
    let error = format!("tdrun: error[io.journal]: cannot write the journal `j`: {why}");
    assert_eq!(ended.stderr.matches(&error).count(), 1, "{ended:?}");
    let next = again(first, "libx.so --resume=j").run();
    assert_eq!(
        (next.stdout.as_str(), next.status),
        (summary.as_str(), 0),
        "{next:?}"
    );
    assert!(!next.stderr.contains("dropped"), "{next:?}");
}

#[test]
fn a_file_that_may_not_grow_ends_the_journal_and_not_the_run() {
    let first = tdrun("libx.so --journal=j").library("x", &many(200));
    // Blocks of 512 bytes, as the shell counts.
    let ended = first.shell("ulimit -f 32; exec $TDRUN");
    expect_cut_short(&first, &ended, 200, "File too large (os error 27)");
    let length = first.read("j").len();
    assert!(length > 10_000, "{length}");
}

#[test]
fn a_full_disk_ends_the_journal_and_not_the_run() {
    let first = tdrun("libx.so --journal=d/j").library("x", &many(200));
    let dir = first.dir.join("d");
    fs::create_dir(&dir).unwrap();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(&dir)
        .stderr(Stdio::null());
    if !mount.status().is_ok_and(|status| status.success()) {
        skip("no permission to mount a tmpfs");
        return;
    }
    let ended = first.run();
    fs::copy(dir.join("j"), first.dir.join("j")).unwrap();
    let unmounted = Command::new("umount").arg(&dir).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    let ended = Outcome {
        stderr: ended.stderr.replace("`d/j`", "`j`"),
        ..ended
    };
    expect_cut_short(&first, &ended, 200, "No space left on device (os error 28)");
}

/// Calls tdrun with some of its writes to the journal failing; none where that cannot be done here.
fn injected(run: &Tdrun, what: &str) -> Option<Outcome> {
    let there = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        skip("strace is not there, or may not trace");
        return None;
    }
    let strace = format!(
        "exec strace -f -qq -o /dev/null -P \"$PWD/j\" -e trace=write,ftruncate -e inject={what} $TDRUN"
    );
    Some(run.shell(&strace))
}

#[test]
fn writes_that_fail_once_or_for_good_never_change_an_outcome() {
    for (error, why) in [
        ("ENOSPC", "No space left on device (os error 28)"),
        ("EIO", "Input/output error (os error 5)"),
        ("EDQUOT", "Disk quota exceeded (os error 122)"),
    ] {
        // Of each thread: the journal begins and ends on another one.
        for nth in [1, 2, 3, 6] {
            let run = || tdrun("libx.so -j1 --journal=j").library("x", &many(6));
            // Once: it is tried again.
            let once = run();
            let Some(ended) = injected(&once, &format!("write:error={error}:when={nth}")) else {
                return;
            };
            assert_eq!(ended.status, 0, "{error} {nth}: {ended:?}");
            assert!(
                again(&once, "libx.so --resume=j")
                    .run()
                    .stderr
                    .starts_with("resumed j: 6 of 6 ")
            );
            let ever = run();
            let ended = injected(&ever, &format!("write:error={error}:when={nth}+")).unwrap();
            expect_cut_short(&ever, &ended, 6, why);
        }
    }
    for nth in 1..=6 {
        let run = tdrun("libx.so -j1 --journal=j").library("x", &many(6));
        let Some(ended) = injected(&run, &format!("write:error=EINTR:when={nth}")) else {
            return;
        };
        assert_eq!(ended.status, 0, "{ended:?}");
        let next = again(&run, "libx.so --resume=j").run();
        assert!(next.stderr.starts_with("resumed j: 6 of 6 "), "{next:?}");
    }
}

#[test]
fn killed_at_any_write_to_the_journal_a_run_is_taken_up() {
    for nth in 1..=6 {
        let first = tdrun("libx.so -j1 --journal=j").library("x", &many(6));
        let Some(killed) = injected(&first, &format!("write:signal=SIGKILL:when={nth}")) else {
            return;
        };
        // It is the runner that was killed: another one goes on, where it had begun to run.
        assert_eq!(killed.status, 1, "{nth}: {killed:?}");
        let next = again(&first, "libx.so --resume=j").run();
        let summary = "==== 6 passed, 0 failed, 0 skipped in N.NNs ====\n";
        assert_eq!(
            (next.stdout.as_str(), next.status),
            (summary, 0),
            "{nth}: {next:?}"
        );
    }
}
