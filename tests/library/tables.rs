//! Tables that a library returns: each way to be wrong is its own error, and other versions' tables work.
//!
//! Knows nothing of what tasks do.

use std::path::PathBuf;

use super::common::c_library;
use super::{assert_error, load, plain, refusal};

/// A library of two tasks that changes its own table before it hands it out.
fn library_that(change: &str) -> PathBuf {
    let source = r#"
#include "tdrun.h"
#include <sys/mman.h>
#include <unistd.h>

static int32_t run(const td_host *host, td_ctx ctx, void *user) {
    (void)host, (void)ctx, (void)user;
    return TD_OK;
}

static td_str list[] = {TD_STR("x"), TD_STR("y")};
static td_task tasks[] = {
    {.size = sizeof(td_task), .name = TD_STR("first"), .run = run, .file = TD_STR("a.c"), .line = 3},
    {.size = sizeof(td_task), .name = TD_STR("second"), .run = run, .file = TD_STR("a.c"), .line = 9},
};
static td_table table = {.magic = TD_MAGIC, .major = TD_MAJOR, .minor = TD_MINOR, .size = sizeof(td_table),
                         .task_stride = sizeof(td_task), .task_count = 2, .tasks = tasks};
static char large[70000];

static td_str s(const char *text) { return td_s(text); }
static td_str bytes(size_t len) { memset(large, 'x', sizeof large); return (td_str){large, len}; }

TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {
    (void)host, (void)list, (void)s, (void)bytes;
    CHANGE
    return &table;
}
"#;
    c_library("table", &source.replace("CHANGE", change), &[])
}

#[test]
fn each_way_for_a_table_to_be_wrong_is_its_own_error() {
    for &(change, id, words) in WRONG {
        assert_error(&refusal(&library_that(change)), id, words, change);
    }
}

/// What the library does to its table, the error, and words in it.
const WRONG: &[(&str, &str, &[&str])] = &[
    ("return NULL;", "abi.null", &["libtable.so", "refuses"]),
    (
        "table.magic = 7;",
        "abi.magic",
        &["0x00000007", "0x4e524454"],
    ),
    (
        "table.major = 2;",
        "abi.major",
        &["version 2", "version 1", "newer tdrun"],
    ),
    (
        "table.major = 0;",
        "abi.major",
        &["version 0", "version 1", "rebuild"],
    ),
    ("table.size = 0;", "abi.size", &["the table is 0 bytes"]),
    ("table.size = 7;", "abi.size", &["the table is 7 bytes"]),
    ("table.size = 31;", "abi.size", &["the table is 31 bytes"]),
    ("table.size = 0x80000000u;", "abi.size", &["2147483648"]),
    (
        "table.task_stride = 0;",
        "abi.size",
        &["`task_stride` is 0 bytes"],
    ),
    (
        "table.task_stride = 47;",
        "abi.size",
        &["`task_stride` is 47 bytes"],
    ),
    (
        "table.task_stride = 1 << 20;",
        "abi.size",
        &["`task_stride`"],
    ),
    (
        "tasks[1].size = 0;",
        "abi.size",
        &["task 1 of `libtable.so`", "`size` is 0 bytes"],
    ),
    ("tasks[1].size = 47;", "abi.size", &["task 1"]),
    (
        "tasks[1].size = sizeof(td_task) + 8;",
        "abi.size",
        &["task 1", "`size` is 240 bytes, between 48 and 232"],
    ),
    (
        "table.task_count = (size_t)1 << 40;",
        "abi.limit",
        &["1099511627776", "67108864"],
    ),
    (
        "table.task_count = SIZE_MAX;",
        "abi.limit",
        &["`task_count`"],
    ),
    ("table.task_count = 1 << 25;", "abi.pointer", &["`tasks`"]),
    ("table.tasks = NULL;", "abi.pointer", &["`tasks` is null"]),
    (
        "table.tasks = (const td_task *)8;",
        "abi.pointer",
        &["`tasks`", "0x8"],
    ),
    ("return (const td_table *)8;", "abi.pointer", &["the table"]),
    (
        "return (const td_table *)(UINTPTR_MAX - 7);",
        "abi.pointer",
        &["the table"],
    ),
    (SHORT_PAGE, "abi.pointer", &["the table", "96 bytes"]),
    (
        "table.flags = UINT64_C(1) << 33;",
        "abi.flag",
        &["the table", "bit 33"],
    ),
    (
        "tasks[0].flags = UINT64_C(1) << 63;",
        "abi.flag",
        &["`first`, a.c:3", "bit 63"],
    ),
    (
        "tasks[0].kind = 9;",
        "abi.kind",
        &["`first`, a.c:3", "kind 9"],
    ),
    (
        "table.needs = list; table.need_count = 2;",
        "abi.need",
        &["`x`, `y`"],
    ),
    (
        "table.needs = list; table.need_count = 70000;",
        "abi.limit",
        &["`needs`"],
    ),
    (
        "table.name = s(\"a::b\");",
        "abi.name",
        &["the table", "`::`"],
    ),
    (
        "table.setup = (td_run_fn)(void *)list;",
        "abi.pointer",
        &["`setup`"],
    ),
    (
        "table.teardown = (td_run_fn)8;",
        "abi.pointer",
        &["`teardown`"],
    ),
    (
        "tasks[0].run = NULL;",
        "abi.pointer",
        &["`first`, a.c:3", "`run` is null"],
    ),
    (
        "tasks[0].run = (td_run_fn)(void *)list;",
        "abi.pointer",
        &["`first`", "`run`", "no code"],
    ),
    (
        "tasks[0].name.len = 0;",
        "abi.name",
        &["task 0 of `libtable.so` (a.c:3)", "`name` is empty"],
    ),
    (
        "tasks[0].name.ptr = NULL;",
        "abi.pointer",
        &["task 0", "`name` is null"],
    ),
    (
        "tasks[0].name = bytes(5 << 10);",
        "abi.limit",
        &["task 0", "`name` has 5120 bytes"],
    ),
    ("tasks[0].name = bytes(256);", "abi.limit", &["256", "255"]),
    (
        "tasks[0].name = s(\"a\\xff\");",
        "abi.utf8",
        &["`name`", "a\\xff"],
    ),
    (
        "tasks[0].name = (td_str)TD_STR(\"a\\0b\");",
        "abi.name",
        &["control", "\\u{0}"],
    ),
    (
        "tasks[0].name = s(\"a\\nb\");",
        "abi.name",
        &["(`a\\nb`, a.c:3)", "`\\n`"],
    ),
    (
        "tasks[0].name = s(\"\\x1b[31m\");",
        "abi.name",
        &["\\u{1b}"],
    ),
    (
        "tasks[0].name = s(\"a::\");",
        "abi.name",
        &["an empty part beside a `::`"],
    ),
    (
        "tasks[0].name = s(\"a::[b\");",
        "abi.name",
        &["`name` has a bracket without its other one"],
    ),
    (
        "list[0] = s(\"a::b\"); tasks[0].tags = list; tasks[0].tag_count = 1;",
        "abi.name",
        &["`tags[0]` has a `::`"],
    ),
    ("tasks[0].name = s(\"a,b\");", "abi.name", &["`,`"]),
    (
        "tasks[0].name = s(\"-a\");",
        "abi.name",
        &["begins with `-`"],
    ),
    (
        "tasks[0].tags = list; tasks[0].tag_count = 70000;",
        "abi.limit",
        &["`tags`", "70000"],
    ),
    (
        "tasks[0].tags = (td_str *)8; tasks[0].tag_count = 1;",
        "abi.pointer",
        &["`tags`"],
    ),
    (
        "list[1] = s(\"a*\"); tasks[0].tags = list; tasks[0].tag_count = 2;",
        "abi.name",
        &["`tags[1]`"],
    ),
    (
        "list[1].ptr = (char *)8; tasks[0].after = list; tasks[0].after_count = 2;",
        "abi.pointer",
        &["`after[1]`"],
    ),
    (
        "list[1].len = 0; tasks[0].after = list; tasks[0].after_count = 2;",
        "abi.name",
        &["`after[1]`"],
    ),
    (
        "tasks[0].after = list; tasks[0].after_count = SIZE_MAX;",
        "abi.limit",
        &["`after`"],
    ),
    (
        "tasks[0].doc = bytes(65537);",
        "abi.limit",
        &["`doc`", "65537"],
    ),
    ("tasks[0].doc = s(\"\\xc3\");", "abi.utf8", &["`doc`"]),
    ("tasks[0].file = bytes(5000);", "abi.limit", &["`file`"]),
    (
        "tasks[0].file.ptr = (char *)8;",
        "abi.pointer",
        &["task 0 of `libtable.so` (`first`)", "`file`"],
    ),
    (
        "tasks[1].name = s(\"first\");",
        "graph.duplicate",
        &["`first`", "a.c:3", "a.c:9"],
    ),
];

/// The table ends behind the last page that can be read.
const SHORT_PAGE: &str = "
    long page = sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(memory + page, page, PROT_NONE);
    char *edge = memory + page - 40;
    memcpy(edge, &table, 40);
    return (const td_table *)(void *)edge;";

#[test]
fn what_is_harmless_is_ignored() {
    for change in [
        "",
        "table.flags = UINT64_C(1) << 31; tasks[0].flags = 1;",
        "tasks[0].doc = (td_str){(char *)8, 0};",
        "tasks[0].after = (td_str *)8;",
        "table.minor = 99;",
        "table.name = s(\"table\");",
        "tasks[0].name = bytes(255);",
        "tasks[0].name = s(\"a::b\");",
        "tasks[0].params = (td_param *)8; tasks[0].param_stride = 1;",
        "tasks[0].locks = tasks[0].before = tasks[0].then = (td_str *)8;",
    ] {
        let loaded =
            load(&library_that(change)).unwrap_or_else(|error| panic!("{change}: {error}"));
        assert_eq!(loaded.library.name, "table", "{change}");
        assert_eq!(loaded.tasks.len(), 2, "{change}");
    }
}

#[test]
fn a_library_without_tasks_is_loaded() {
    let loaded = load(&library_that(
        "table.task_count = 0; table.tasks = NULL; table.task_stride = 0;",
    ));
    assert!(loaded.expect("fine").tasks.is_empty());
}

#[test]
fn all_fields_are_copied() {
    let loaded = load(&library_that(
        "tasks[0].after = list; tasks[0].after_count = 2; tasks[0].doc = s(\"Says hi.\");
         tasks[1].tags = list; tasks[1].tag_count = 1; tasks[1].file.len = 0;
         table.name = s(\"other\"); table.setup = run;",
    ))
    .expect("fine");
    assert_eq!(loaded.library.name, "other");
    assert_eq!(loaded.library.path, "libtable.so");
    assert!(loaded.library.setup.is_some() && loaded.library.teardown.is_none());
    let [first, second] = plain(&loaded)[..] else {
        panic!("two tasks");
    };
    assert_eq!((first.name(), first.doc()), ("first", "Says hi."));
    assert_eq!(first.after(), ["x", "y"]);
    assert_eq!(first.place().expect("known").to_string(), "a.c:3");
    assert_eq!(second.name(), "second");
    assert_eq!(second.tags(), ["x"]);
    assert_eq!(second.place(), None);
}

#[test]
fn a_larger_stride_of_a_future_library_works() {
    let change = "
        static struct { td_task task; uint64_t future[3]; } longer[2];
        longer[0].task = tasks[0];
        longer[1].task = tasks[1];
        longer[0].task.size = longer[1].task.size = sizeof longer[0];
        longer[0].future[0] = longer[1].future[2] = ~UINT64_C(0);
        table.tasks = &longer[0].task;
        table.task_stride = sizeof longer[0];";
    let loaded = load(&library_that(change)).expect("fine");
    let names: Vec<&str> = plain(&loaded).iter().map(|task| task.name()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(plain(&loaded)[1].place().expect("known").line, 9);
}

#[test]
fn a_smaller_stride_of_an_old_library_reads_as_zero_behind_its_end() {
    let change = "
        static char shorter[2 * 48];
        memcpy(shorter, &tasks[0], 48);
        memcpy(shorter + 48, &tasks[1], 48);
        ((td_task *)(void *)shorter)->size = 48;
        ((td_task *)(void *)(shorter + 48))->size = 48;
        table.tasks = (td_task *)(void *)shorter;
        table.task_stride = 48;
        table.size = 32;
        table.flags = ~UINT64_C(0);
        table.setup = (td_run_fn)8;";
    let loaded = load(&library_that(change)).expect("fine");
    let names: Vec<&str> = plain(&loaded).iter().map(|task| task.name()).collect();
    assert_eq!(names, ["first", "second"]);
    assert!(loaded.library.setup.is_none());
    assert_eq!(plain(&loaded)[0].place(), None);
}

#[test]
fn a_task_of_version_1_0_declares_nothing_that_came_later() {
    let change = "
        static char old[2 * 120];
        tasks[0].wave = 3;
        tasks[0].command = (td_command *)8;
        for (int i = 0; i < 2; i++) {
            memcpy(old + 120 * i, &tasks[i], 120);
            ((td_task *)(void *)(old + 120 * i))->size = 120;
        }
        table.tasks = (td_task *)(void *)old;
        table.task_stride = 120;
        table.minor = 0;";
    let loaded = load(&library_that(change)).expect("fine");
    let names: Vec<&str> = plain(&loaded).iter().map(|task| task.name()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(plain(&loaded)[1].place().expect("known").line, 9);
    assert!(plain(&loaded).iter().all(|task| task.declared().is_none()));
}

#[test]
fn a_size_below_the_stride_hides_the_fields_behind_it() {
    let change = "tasks[0].size = 48; tasks[0].doc = (td_str){(char *)8, 5};";
    let loaded = load(&library_that(change)).expect("fine");
    assert_eq!(plain(&loaded)[0].doc(), "");
    assert_eq!(plain(&loaded)[0].place(), None);
    assert!(plain(&loaded)[1].place().is_some());
}

#[test]
fn a_panic_that_aborts_is_known() {
    let aborts = |change: &str| load(&library_that(change)).expect("fine").library.aborts;
    assert!(aborts("table.flags = TD_TABLE_PANIC_ABORT;"));
    assert!(!aborts(""));
}

#[test]
fn a_table_may_be_built_in_code_and_be_long() {
    let change = "
        static td_task many[100000];
        static char names[100000][16];
        for (int i = 0; i < 100000; i++) {
            int digits = 100000 + i;
            for (int at = 5; at >= 0; at--, digits /= 10) names[i][at] = (char)('0' + digits % 10);
            many[i] = tasks[0];
            many[i].name = td_s(names[i]);
        }
        table.tasks = many;
        table.task_count = 100000;";
    let loaded = load(&library_that(change)).expect("fine");
    assert_eq!(loaded.tasks.len(), 100_000);
    assert_eq!(plain(&loaded)[99_999].name(), "199999");
}

#[test]
fn pointers_are_checked_whatever_the_path_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"lib\xff: \xfe.so");
    let path = super::common::scratch("bytes").join(name);
    std::fs::copy(
        library_that("tasks[0].doc = (td_str){(char *)8, 5};"),
        &path,
    )
    .expect("copied");
    assert_error(
        &refusal(&path),
        "abi.pointer",
        &["`doc`"],
        "a path of bytes",
    );
}
