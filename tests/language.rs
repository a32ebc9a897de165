//! What tasks can declare, through the binary: retries, timeouts, locks, conditions, commands, other tasks.

mod common;

use common::tool::{done, tdrun};

/// Ends only by force.
const HANGS: &str =
    "#include <unistd.h>\nTASK(hangs) { (void)host; (void)ctx; for (;;) pause(); return 0; }\n";
/// Ends when it is asked to, and says that all is well.
const HEEDS: &str = "#include <unistd.h>\nTASK(heeds) { while (!host->cancelled(ctx)) usleep(100); return TD_OK; }\n";

#[test]
fn a_task_that_passes_late_is_flaky() {
    let source = r#"
TASK(late) {
    if (host->attempt(ctx) < 3) return TD_FAILED(host, ctx, host->attempt(ctx) == 1 ? "no route" : "refused");
    return TD_OK;
}
PASS(next)
static const td_task tasks[] = {TD_TASK(late, .retries = 2), TD_TASK(next, TD_AFTER(TD_STR("late")))};
TD_LIBRARY(tasks)
"#;
    let lines = [
        &done("[thread_0] late", "RETRY", 0),
        "    attempt 1 failed: no route (x.c:3)\n",
        &done("[thread_0] late", "RETRY", 0),
        "    attempt 2 failed: refused (x.c:3)\n",
        &done("[thread_0] late", "PASSED", 50),
        "    flaky: passed on attempt 3\n",
        &done("[thread_0] next", "PASSED", 100),
    ];
    let passed = lines.concat() + "\nflaky: late (passed on attempt 3)\n";
    let summary = "==== 2 passed, 0 failed, 0 skipped; 1 of the passed flaky in N.NNs ====\n";
    let library = |args: &str| tdrun(args).library("x", source);
    library("libx.so -j1").expect(0, summary, &passed);
    let fails = "
failures:

late PASSED on attempt 3, which fails the run (--flaky=fail)
    attempt 1 failed: no route (x.c:3)
    attempt 2 failed: refused (x.c:3)
    rerun: tdrun libx.so::late
";
    library("libx.so -j1 --flaky=fail").expect(1, summary, &(lines.concat() + fails));
    let once = library("libx.so -j1 --retries=0 -q");
    let failed = "==== 0 passed, 1 failed, 1 skipped in N.NNs ====\n";
    assert_eq!(once.run().stdout, failed);
    let more = library("libx.so::late --retries=1").run();
    assert!(
        more.stderr.contains("late FAILED on attempt 2"),
        "{}",
        more.stderr
    );
}

#[test]
fn retries_of_the_command_line_are_for_every_task() {
    let source = r"
TASK(a) { return host->attempt(ctx) == 4 ? TD_OK : TD_FAIL; }
static const td_task tasks[] = {TD_TASK(a)};
TD_LIBRARY(tasks)
";
    let outcome = tdrun("libx.so -q --retries=3").library("x", source).run();
    assert_eq!(outcome.status, 0);
    let summary = "==== 1 passed, 0 failed, 0 skipped; 1 of the passed flaky in N.NNs ====\n";
    assert_eq!(outcome.stdout, summary);
}

#[test]
fn who_heeds_a_timeout_has_timed_out_although_it_says_that_all_is_well() {
    let source = format!(
        "{HEEDS}PASS(next)
static const td_task tasks[] = {{TD_TASK(heeds, .timeout_ms = 20), TD_TASK(next, TD_AFTER(TD_STR(\"heeds\")))}};
TD_LIBRARY(tasks)"
    );
    let stderr = [
        &done("[thread_0] heeds", "TIMED OUT", 50),
        "    took longer than 20ms\n",
        &done("next", "SKIPPED", 100),
        "    skipped: `heeds` did not pass\n",
        "\nfailures:\n\nheeds TIMED OUT\n    took longer than 20ms\n    rerun: tdrun libx.so::heeds\n",
        "\nskipped because of `heeds`: next\n",
    ];
    let summary = "==== 0 passed, 0 failed, 1 skipped, 1 timed out in N.NNs ====\n";
    let tdrun = tdrun("libx.so -j1").library("x", &source);
    tdrun.expect(1, summary, &stderr.concat());
}

#[test]
fn who_never_ends_is_given_up_and_keeps_its_locks() {
    let source = format!(
        "{HANGS}PASS(needs) PASS(after) PASS(other)
static const td_task tasks[] = {{
    TD_TASK(hangs, .priority = 1, .timeout_ms = 20, TD_LOCKS(TD_STR(\"db\"))),
    TD_TASK(needs, TD_LOCKS(TD_STR(\"db:r\"))),
    TD_TASK(after, TD_AFTER(TD_STR(\"needs\"))),
    TD_TASK(other),
}};
TD_LIBRARY(tasks)"
    );
    let stderr = [
        &done("[thread_0] hangs", "TIMED OUT", 25),
        "    took longer than 20ms and is still running\n",
        &done("after", "SKIPPED", 75),
        "    skipped: `needs` did not pass\n",
        &done("[thread_0] other", "PASSED", 100),
        "\nfailures:\n\nhangs TIMED OUT\n    took longer than 20ms and is still running\n    rerun: tdrun libx.so::hangs\n",
        "\nskipped because of `needs`: after\n",
        "not run, the lock `db` is held by `hangs`, which timed out and is still running: needs\n",
        "1 task did not come back and may still be running\n",
    ];
    let summary = "==== 1 passed, 0 failed, 1 skipped, 1 timed out, 1 not run in N.NNs ====\n";
    let tdrun = tdrun("libx.so -j1 --grace=10ms").library("x", &source);
    tdrun.expect(1, summary, &stderr.concat());
}

#[test]
fn the_whole_run_may_have_a_time() {
    let source = format!(
        "{HANGS}PASS(next)
static const td_task tasks[] = {{TD_TASK(hangs), TD_TASK(next, TD_AFTER(TD_STR(\"hangs\")))}};
TD_LIBRARY(tasks)"
    );
    let tdrun = tdrun("libx.so -j1 -q --run-timeout=30ms --grace=10ms").library("x", &source);
    let outcome = tdrun.run();
    assert_eq!(outcome.status, 1);
    let summary = "==== 0 passed, 0 failed, 0 skipped, 1 cancelled, 1 not run in N.NNs ====\n";
    assert_eq!(outcome.stdout, summary);
    let error = "tdrun: error[run.timeout]: the run was not done after 30ms\n";
    assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
}

#[test]
fn a_slow_task_is_named_while_it_runs() {
    let source =
        format!("{HEEDS}static const td_task tasks[] = {{TD_TASK(heeds)}};\nTD_LIBRARY(tasks)");
    let mut running = tdrun("libx.so --slow=10ms").library("x", &source).start();
    running.wait_for("[thread_0] heeds: still running after 10ms");
    running.wait_for("[thread_0] heeds: still running after ");
    running.signal("INT");
    assert_eq!(running.end().status, 130);
}

#[test]
fn locks_are_respected_in_whatever_order_they_are_named() {
    let source = r#"
#include <stdatomic.h>
static atomic_int inside;
TASK(alone) {
    TD_CHECK(host, ctx, atomic_fetch_add(&inside, 1) == 0);
    for (volatile int i = 0; i < 10000; i++) {}
    TD_CHECK(host, ctx, atomic_fetch_sub(&inside, 1) == 1);
    return TD_OK;
}
enum { COUNT = 10000 };
static td_task tasks[COUNT];
static char names[COUNT][8];
static const td_str ab[] = {TD_STR("a"), TD_STR("b")}, ba[] = {TD_STR("b"), TD_STR("a")};
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .size = sizeof table,
                             .task_stride = sizeof(td_task), .task_count = COUNT, .tasks = tasks};
    (void)host;
    for (int i = 0; i < COUNT; i++) {
        int len = sprintf(names[i], "t%d", i);
        tasks[i].size = sizeof(td_task);
        tasks[i].name.ptr = names[i];
        tasks[i].name.len = (size_t)len;
        tasks[i].run = alone;
        tasks[i].locks = i % 2 ? ab : ba;
        tasks[i].lock_count = 2;
    }
    return &table;
}
"#;
    let outcome = tdrun("libx.so -q -j4").library("x", source).run();
    let summary = "==== 10000 passed, 0 failed, 0 skipped in N.NNs ====\n";
    assert_eq!(
        (&*outcome.stdout, outcome.status),
        (summary, 0),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_always_runs_cleans_up_after_failures_and_after_ctrl_c() {
    let source = format!(
        "{HEEDS}FAIL(breaks, \"no\") PASS(clean) PASS(clean_more)
static const td_task tasks[] = {{
    TD_TASK(breaks),
    TD_TASK(clean, .condition = TD_ALWAYS, TD_AFTER(TD_STR(\"breaks\"))),
    TD_TASK(heeds, TD_AFTER(TD_STR(\"clean\"))),
    TD_TASK(clean_more, .condition = TD_ALWAYS, TD_AFTER(TD_STR(\"heeds\"))),
}};
TD_LIBRARY(tasks)"
    );
    let mut running = tdrun("libx.so -v -j1").library("x", &source).start();
    running.wait_for("[thread_0] clean started");
    running.wait_for("[thread_0] heeds started");
    running.signal("INT");
    running.wait_for("[thread_0] clean_more started");
    let outcome = running.end();
    let summary = "==== 3 passed, 1 failed, 0 skipped in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 130));
}

#[test]
fn commands_are_tasks() {
    let source = r#"
TASK(lines) {
    char text[512];
    TD_REQUIRE_RESULT(host, ctx, "list", text, sizeof text);
    TD_CHECK(host, ctx, strstr(text, "\"stdout\":\"2\\n\"") && strstr(text, "\"returncode\":0"));
    return TD_OK;
}
static const td_task tasks[] = {
    TD_COMMAND("list", TD_SHELL("printf 'a\nb\n' | wc -l | tr -d ' '")),
    TD_TASK(lines, TD_AFTER(TD_STR("list"))),
    TD_COMMAND("env", TD_EXEC(TD_ARGV(TD_STR("sh"), TD_STR("-c"), TD_STR("test \"$A\" = b")), TD_ENV(TD_STR("A=b")))),
    TD_COMMAND("broken", TD_SHELL("echo some words; echo the reason >&2; exit 3")),
    TD_COMMAND("unchecked", TD_SHELL("exit 4", .flags = TD_COMMAND_UNCHECKED)),
    TD_COMMAND("skips", TD_SHELL("echo nothing to do; exit 77")),
    TD_COMMAND("crashes", TD_SHELL("kill -KILL $$")),
    TD_COMMAND("missing", TD_EXEC(TD_ARGV(TD_STR("no-such-program")))),
};
TD_LIBRARY(tasks)
"#;
    let stderr = [
        &done("[thread_0] list", "PASSED", 12),
        &done("[thread_0] lines", "PASSED", 25),
        &done("[thread_0] env", "PASSED", 37),
        &done("[thread_0] broken", "FAILED", 50),
        "    exited with status 3 (x.c:12)\n",
        &done("[thread_0] unchecked", "PASSED", 62),
        &done("[thread_0] skips", "SKIPPED", 75),
        "    skipped: nothing to do\n",
        &done("[thread_0] crashes", "CRASHED", 87),
        "    killed by SIGKILL (x.c:15)\n",
        &done("[thread_0] missing", "FAILED", 100),
        "    task.spawn: No such file or directory: `no-such-program` (x.c:16)\n",
        "\nfailures:\n",
        "\nbroken FAILED\n    exited with status 3\n    the reason\n    at x.c:12\n    rerun: tdrun libx.so::broken\n",
        "\ncrashes CRASHED\n    killed by SIGKILL\n    at x.c:15\n    rerun: tdrun libx.so::crashes\n",
        "\nmissing FAILED\n    task.spawn: No such file or directory: `no-such-program`\n    at x.c:16\n    rerun: tdrun libx.so::missing\n",
    ];
    let summary = "==== 4 passed, 2 failed, 1 skipped, 1 crashed in N.NNs ====\n";
    let tdrun = tdrun("libx.so -j1").library("x", source);
    tdrun.expect(1, summary, &stderr.concat());
}

/// The command writes the pid of its grandchild and then waits at a FIFO; both are gone when tdrun is.
#[test]
fn a_command_is_ended_with_all_that_it_has_started() {
    let source = r#"
static const td_task tasks[] = {
    TD_COMMAND("serve", TD_SHELL("trap '' TERM; sleep 1000 & echo $! >pid; echo up >up; wait; wait")),
};
TD_LIBRARY(tasks)
"#;
    let gone = |tdrun: &common::tool::Tdrun| {
        let pid = tdrun.read("pid");
        let stat = format!("/proc/{}/stat", pid.trim());
        // It has been killed; the system may need a moment, and nobody may have reaped it yet.
        let lives = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        let began = std::time::Instant::now();
        while lives() {
            assert!(began.elapsed().as_secs() < 10, "{stat} is there");
            std::thread::yield_now();
        }
    };
    let timed_out = tdrun("libx.so --timeout=2s --grace=50ms -q")
        .library("x", source)
        .fifo("up");
    let running = timed_out.start();
    assert_eq!(timed_out.read("up"), "up\n");
    let outcome = running.end();
    assert_eq!(outcome.status, 1);
    let summary = "==== 0 passed, 0 failed, 0 skipped, 1 timed out in N.NNs ====\n";
    assert_eq!(outcome.stdout, summary);
    gone(&timed_out);

    for signals in [1, 2] {
        let grace = if signals == 1 { "50ms" } else { "1h" };
        let interrupted = tdrun("libx.so")
            .arg(format!("--grace={grace}"))
            .library("x", source)
            .fifo("up");
        let mut running = interrupted.start();
        assert_eq!(interrupted.read("up"), "up\n");
        running.signal("INT");
        if signals == 2 {
            // Two that come at the same time are one.
            running.wait_for("stopping");
            running.signal("INT");
        }
        let outcome = running.end();
        assert_eq!(outcome.status, 130);
        let summary = "==== 0 passed, 0 failed, 0 skipped, 1 cancelled in N.NNs ====\n";
        assert_eq!(outcome.stdout, summary);
        gone(&interrupted);
    }
}

/// Waits until the thread that has put its id there sleeps.
const ASLEEP: &str = r#"
#include <stdatomic.h>
static atomic_int tid;
static void until_it_sleeps(void) {
    char path[64], stat[256] = "";
    while (!tid) {}
    sprintf(path, "/proc/self/task/%d/stat", tid);
    while (!strstr(stat, ") S ")) {
        int fd = open(path, O_RDONLY);
        ssize_t len = read(fd, stat, sizeof stat - 1);
        stat[len > 0 ? len : 0] = 0;
        close(fd);
    }
}
"#;

/// `holder` waits for what cannot go on beside `wants_lock`, which waits for the lock of `holder`.
#[test]
fn who_waits_for_a_lock_is_not_in_the_way_of_one_that_runs_alone() {
    let holder = |waits_for: &str| {
        format!(
            r#"
#include <stdatomic.h>
static atomic_int holds;
TASK(holder) {{
    if (host->lock(ctx, td_s("db"))) return TD_FAIL;
    holds = 1;
    TD_REQUIRE_RUN(host, ctx, "{waits_for}");
    return host->unlock(ctx, td_s("db"));
}}
{ASLEEP}
TASK(wants_lock) {{
    while (!holds) {{}}
    tid = gettid();
    return host->lock(ctx, td_s("db"));
}}
TASK(sees_it_wait) {{
    until_it_sleeps();
    return TD_OK;
}}
"#
        )
    };
    // The one that waits is to go on alone.
    let tasks = "static const td_task tasks[] = {
    TD_TASK(holder, .flags = TD_TASK_EXCLUSIVE, .priority = 1), TD_TASK(wants_lock), TD_TASK(sees_it_wait)};
TD_LIBRARY(tasks)";
    let itself = holder("sees_it_wait") + tasks;
    let outcome = tdrun("libx.so -j2 -q").library("x", &itself).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);

    // The one that is waited for is to run alone.
    let tasks = "static const td_task tasks[] = {
    TD_TASK(holder), TD_TASK(wants_lock), TD_TASK(sees_it_wait), TD_TASK(alone, .flags = TD_TASK_EXCLUSIVE, .priority = -1)};
TD_LIBRARY(tasks)";
    let another = holder("alone") + "PASS(alone)\n" + tasks;
    let outcome = tdrun("libx.so -j3 -q").library("x", &another).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

/// No further thread fits into the address space; what would clean up needs one too.
#[test]
fn a_run_ends_where_no_thread_takes_the_place_of_one_that_is_given_up() {
    let source = format!(
        r#"{HANGS}
#include <sys/resource.h>
TASK(limit) {{
    long pages;
    FILE *statm = fopen("/proc/self/statm", "r");
    TD_CHECK(host, ctx, statm && fscanf(statm, "%ld", &pages) == 1);
    fclose(statm);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (4 << 20);
    struct rlimit limit = {{most, most}};
    TD_CHECK(host, ctx, setrlimit(RLIMIT_AS, &limit) == 0);
    return TD_OK;
}}
TASK(waits) {{
    TD_REQUIRE_RUN(host, ctx, "next");
    return TD_OK;
}}
PASS(next) PASS(clean)
static const td_task tasks[] = {{
    TD_TASK(limit, .priority = 3),
    TD_TASK(waits, .priority = 2),
    TD_TASK(hangs, .priority = 1, .timeout_ms = 20),
    TD_TASK(next),
    TD_TASK(clean, .condition = TD_ALWAYS, TD_AFTER(TD_STR("hangs"))),
}};
TD_LIBRARY(tasks)"#
    );
    let outcome = tdrun("libx.so -j1 --grace=10ms")
        .library("x", &source)
        .run();
    let summary = "==== 1 passed, 1 failed, 0 skipped, 1 timed out, 2 not run in N.NNs ====\n";
    assert_eq!((&*outcome.stdout, outcome.status), (summary, 1));
    for line in [
        "    the system gives no thread to run `next` on (x.c:16)\n",
        "stopping: the system gave no thread to run tasks on\n",
        "not run, stopped because the system gave no thread: next, clean\n",
    ] {
        assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
    }
}

/// It waits for what Ctrl-C keeps from being run, and fails by that and by nothing else: however fast it is, so it is tried
/// some times.
#[test]
fn who_waits_when_ctrl_c_comes_is_cancelled() {
    let source = format!(
        r#"{HEEDS}
TASK(waits) {{ return host->wait(ctx, td_s("late"), NULL, NULL); }}
PASS(late)
static const td_task tasks[] = {{TD_TASK(waits), TD_TASK(heeds), TD_TASK(late, TD_AFTER(TD_STR("heeds")))}};
TD_LIBRARY(tasks)"#
    );
    let tdrun = tdrun("libx.so::waits -v -j2").library("x", &source);
    for _ in 0..25 {
        let mut running = tdrun.start();
        running.wait_for("heeds started");
        running.signal("INT");
        let outcome = running.end();
        let summary = "==== 1 passed, 0 failed, 0 skipped, 1 cancelled, 1 not run in N.NNs ====\n";
        assert_eq!((&*outcome.stdout, outcome.status), (summary, 130));
    }
}

#[test]
fn a_lock_without_a_name_is_refused() {
    let source = r#"
TASK(t) {
    TD_CHECK(host, ctx, host->lock(ctx, td_s("")) == TD_E_ARG);
    TD_CHECK(host, ctx, host->lock(ctx, td_s(":r")) == TD_E_ARG);
    return TD_OK;
}
static const td_task tasks[] = {TD_TASK(t)};
TD_LIBRARY(tasks)
"#;
    let outcome = tdrun("libx.so -q").library("x", source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

/// The task itself goes on while a thread of it still waits, and then waits for that thread.
#[test]
fn one_worker_is_enough_for_a_task_with_several_threads_that_wait() {
    let source = format!(
        r#"
#include <stdatomic.h>
static atomic_int holds;
{ASLEEP}
typedef struct {{ const td_host *host; td_ctx ctx; int32_t status; }} call;
static void *helps(void *user) {{
    call *mine = user;
    while (!holds) {{}}
    tid = gettid();
    mine->status = mine->host->wait(mine->ctx, td_s("second"), NULL, NULL);
    return NULL;
}}
TASK(both) {{
    call help = {{host, ctx, TD_FAIL}};
    pthread_t helper;
    TD_CHECK(host, ctx, pthread_create(&helper, NULL, helps, &help) == 0);
    TD_CHECK(host, ctx, host->wait(ctx, td_s("first"), NULL, NULL) == TD_OK);
    pthread_join(helper, NULL);
    return help.status;
}}
TASK(first) {{
    holds = 1;
    until_it_sleeps();
    return TD_OK;
}}
PASS(second)
static const td_task tasks[] = {{
    TD_TASK(both, .priority = 2), TD_TASK(first, .priority = 1), TD_TASK(second)}};
TD_LIBRARY(tasks)"#
    );
    let outcome = tdrun("libx.so -j1 -q").library("x", &source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

/// The thread belongs to the first attempt; the second one is waited for, and that is no circle.
#[test]
fn what_a_left_over_thread_waits_for_ends_with_the_attempt() {
    let source = format!(
        r#"
#include <stdatomic.h>
static atomic_int status;
{ASLEEP}
static const td_host *its_host;
static td_ctx its_ctx;
static void *waits(void *user) {{
    tid = gettid();
    status = its_host->wait(its_ctx, td_s("asks"), NULL, NULL);
    return user;
}}
TASK(leaves) {{
    pthread_t thread;
    if (host->attempt(ctx) == 2) return TD_OK;
    its_host = host;
    its_ctx = ctx;
    TD_CHECK(host, ctx, pthread_create(&thread, NULL, waits, NULL) == 0);
    until_it_sleeps();
    return TD_FAIL;
}}
TASK(asks) {{
    while (!status) {{}}
    TD_CHECK(host, ctx, status == TD_E_STALE);
    TD_REQUIRE_RUN(host, ctx, "leaves");
    return TD_OK;
}}
static const td_task tasks[] = {{
    TD_TASK(leaves, .retries = 1), TD_TASK(asks)}};
TD_LIBRARY(tasks)"#
    );
    let outcome = tdrun("libx.so -j2 -q").library("x", &source).run();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}
