/* tdrun.h: the contract between tdrun and a task library.
 *
 * A task library is a shared object that exports one function, tdrun_entry_v1. It returns a table of tasks; tdrun checks
 * the table, and runs the tasks as a dependency graph on a pool of threads. Needs C99 or newer; C++ has
 * tdrun.hpp. A whole library, beside a clone of tdrun:
 *
 *     #include "tdrun.h"
 *
 *     static int32_t greet(const td_host *host, td_ctx ctx, void *user) {
 *         (void)user;
 *         return td_result_text(host, ctx, "hello");
 *     }
 *
 *     static int32_t check(const td_host *host, td_ctx ctx, void *user) {
 *         char text[64];
 *         (void)user;
 *         TD_REQUIRE_RESULT(host, ctx, "greet", text, sizeof text);
 *         TD_CHECK(host, ctx, strcmp(text, "hello") == 0);
 *         return TD_OK;
 *     }
 *
 *     static const td_task tasks[] = {
 *         TD_TASK(greet),
 *         TD_TASK(check, TD_AFTER(TD_STR("greet")), .doc = TD_STR("greet must be polite")),
 *     };
 *
 *     TD_LIBRARY(tasks)
 *
 *     cc -shared -fPIC -I../tdrun/task-abi/include -o libgreet.so greet.c && tdrun libgreet.so
 *
 * VERSION. Magic, major and minor stand first in the table and never move. A host refuses a table of another major
 * version. Minor versions only append.
 *
 * GROWTH. Every struct starts with its size, every array of structs comes with its stride. Each side reads only what
 * the other one has: what is missing at the end reads as zero, and zero means "off" or "none" everywhere. A library may
 * therefore be older or newer than the tdrun that runs it. What a library cannot do without, it names in td_table.needs.
 * Padding and unused bytes must be zero; static objects and designated initialisers see to that.
 *
 * STRINGS are a pointer and a length in bytes, UTF-8, without a terminating NUL (there may be one behind). A null
 * pointer is allowed where the length is zero.
 *
 * LIMITS. A table with more is refused: 67,108,864 tasks, those included that choices make; 65,536 entries in one list of a
 * task; 255 bytes in a name, a tag, a lock or a choice, 4096 in `file` and `cwd`, 64 KiB in `doc`, 1 MiB in an argument of a
 * command; 2,147,483,647 retries, or as a wave.
 *
 * OWNERSHIP. Nobody frees the other side's memory. What the library passes to a host function is copied before that
 * function returns. What the host passes to a callback is valid until the callback returns. The table, and all that it
 * points to, must stay valid and unchanged until the process ends; libraries are never unloaded.
 *
 * THREADS. The entry function is called once, before anything else of the library but its constructors. setup, the tasks
 * and teardown are called on threads of the host: setup before the first task and teardown after the last, each alone;
 * tasks at the same time as other tasks, but no task at the same time as itself. Host functions may be called from any
 * thread, also from threads that the task has made, for as long as the context is live: from the call of a task (or hook)
 * until that call returns. Later calls do nothing and return TD_E_STALE; they are safe.
 *
 * ERRORS. A function of the library never lets an exception, a panic or a longjmp cross into the host: that ends the
 * process. C++ libraries wrap their tasks with tdrun.hpp; the Rust crate task-abi does it by itself.
 */
#ifndef TDRUN_H
#define TDRUN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------------------------- */

#define TD_MAGIC UINT32_C(0x4e524454) /* "TDRN" */
#define TD_MAJOR 1
#define TD_MINOR 1

/* ---- What a task returns --------------------------------------------------------------------------------------- */

/* Anything else than these three is a failure too, and the number is shown. */
#define TD_OK 0    /* passed */
#define TD_FAIL 1  /* failed; td_host.fail tells why */
#define TD_SKIP 77 /* the task skips itself, which counts as passed for its dependents; td_host.skip tells why */

/* ---- What a host function returns ------------------------------------------------------------------------------ */

/* TD_OK, or one of these. More may be added: treat every negative number as an error. */
#define TD_E_STALE (-1)    /* the context is not live: its task has ended */
#define TD_E_ARG (-2)      /* a null pointer, text that is not UTF-8, an empty name */
#define TD_E_NOTFOUND (-3) /* no such key, result, parameter or task; no such lock held */
#define TD_E_JSON (-4)     /* the value is not JSON, or nested deeper than 100 levels */
#define TD_E_TOOBIG (-5)   /* the value is larger than 64 MiB */
#define TD_E_DENIED (-6)   /* the key is reserved: `results`, or one that begins with `_`; a hook starts no tasks */
#define TD_E_CHANGED (-7)  /* compare-and-set: the value is not the expected one */
#define TD_E_DEADLOCK (-8) /* waiting for this lock, or for this task, would never end */
#define TD_E_SPACE (-9)    /* td_..._copy: the buffer is too small */
#define TD_E_CANCELLED (-10) /* the run was stopped by force while the call waited, or this task has timed out */
#define TD_E_FAILED (-11)    /* the task that was waited for did not pass */
#define TD_E_LIMIT (-12)     /* the system gives no more threads */

/* ---- Strings --------------------------------------------------------------------------------------------------- */

/* Frozen: 16 bytes on 64-bit systems, for good. */
typedef struct td_str {
    const char *ptr;
    size_t len;
} td_str;

/* An initialiser from a string literal, for tables. */
#define TD_STR(literal) {"" literal, sizeof(literal) - 1}

/* A td_str from a C string; null gives the empty string. */
static inline td_str td_s(const char *text) {
    td_str s;
    s.ptr = text;
    s.len = text ? strlen(text) : 0;
    return s;
}

/* ---- The host -------------------------------------------------------------------------------------------------- */

/* The handle that a task gets. Never zero for a task. Copy it freely; it cannot be used to reach another task's context. */
typedef uint64_t td_ctx;

/* Log levels. */
#define TD_LOG_OFF 0
#define TD_LOG_ERROR 1
#define TD_LOG_WARN 2
#define TD_LOG_INFO 3
#define TD_LOG_DEBUG 4
#define TD_LOG_TRACE 5

/* How a value is written. Values are JSON inside; TD_TEXT saves quoting and unquoting. */
#define TD_JSON 0 /* JSON text, both ways */
#define TD_TEXT 1 /* to the host: a string, as it is. From the host: the string itself, where the value is one; else JSON */

/* Receives a value. Called at most once (td_choose_fn: once for each choice), on the thread that asked, before the asking
 * function returns. value is valid until the callback returns. The callback may call host functions. */
typedef void (*td_visit_fn)(void *user, td_str value);

/* All that a library may ask of tdrun. Valid until the process ends, the same for all tasks of the library. A pointer
 * that lies behind `size` must not be read: check `size` where a library wants to run under an older tdrun. */
typedef struct td_host {
    uint32_t size; /* sizeof(td_host) of the running tdrun */
    uint16_t major;
    uint16_t minor;

    /* The most verbose level that anybody listens to; records above it may be dropped by the library. [any thread,
     * needs no context] */
    uint32_t (*log_level)(void);

    /* Sends a record to the log of the run. target, file and line may be empty. ctx 0 is allowed: the record then
     * belongs to the library, not to a task. Text over 64 KiB is cut, with a note, and what is not UTF-8 is replaced; so
     * it is in fail and skip, where 1 MiB is the limit, and in progress, where it is 1 KiB. [any thread] */
    int32_t (*log)(td_ctx ctx, uint32_t level, td_str target, td_str message, td_str file, uint32_t line);

    /* Tells why the task is going to fail, and where; the last call counts. The task still has to return TD_FAIL.
     * file and line may be empty. [any thread] */
    int32_t (*fail)(td_ctx ctx, td_str message, td_str file, uint32_t line);

    /* Tells why the task is going to skip itself. The task still has to return TD_SKIP. [any thread] */
    int32_t (*skip)(td_ctx ctx, td_str reason);

    /* 1 where the task has been asked to stop (Ctrl-C, its timeout), 0 where not, or an error. A task that takes long should
     * ask now and then, and return soon. [any thread] */
    int32_t (*cancelled)(td_ctx ctx);

    /* Sets what the task returns to its dependents. `as` is TD_JSON or TD_TEXT. It counts only if the task passes; the
     * last valid call wins. A task that sets nothing has no result. [any thread] */
    int32_t (*result_set)(td_ctx ctx, uint32_t as, td_str value);

    /* Hands the result of a task that has passed (or was given with --result-NAME) to `visit`. `task` is a name in the
     * same library, or `library::task`; `[x]` in it stands for this task's parameter x. Only what ran before this task is
     * sure to be there: name it in td_task.after.
     * TD_E_NOTFOUND: it has no result, did not pass, or has not run. [any thread] */
    int32_t (*result_get)(td_ctx ctx, td_str task, uint32_t as, td_visit_fn visit, void *user);

    /* Hands the value of a state key to `visit`. [any thread] */
    int32_t (*state_get)(td_ctx ctx, td_str key, uint32_t as, td_visit_fn visit, void *user);

    /* Sets a state key. [any thread] */
    int32_t (*state_set)(td_ctx ctx, td_str key, uint32_t as, td_str value);

    /* Compare-and-set: stores `value` if the key holds `expected`, else returns TD_E_CHANGED. Both are JSON text and are
     * compared as values: spacing and the order of members do not matter. expected.ptr null: the key must be absent.
     * value.ptr null: the key is removed. [any thread] */
    int32_t (*state_swap)(td_ctx ctx, td_str key, td_str expected, td_str value);

    /* Waits for the named lock and takes it for the task. Re-entrant: a task may take a lock it holds again, from any of
     * its threads, and has to release it as often. Whatever is still held when the task ends is released then.
     * TD_E_DEADLOCK: the holder waits, itself or over others, for a lock of this task. TD_E_CANCELLED: the run was
     * stopped by force while waiting, as by a second Ctrl-C; the first one wakes nobody. A name that ends in `:r` takes the
     * lock shared, as in td_task.locks, with which this is one. [any thread] */
    int32_t (*lock)(td_ctx ctx, td_str name);

    /* Releases the named lock. TD_E_NOTFOUND: the task does not hold it. [any thread] */
    int32_t (*unlock)(td_ctx ctx, td_str name);

    /* ---- Since version 1.1 ---- */

    /* Hands the name of the task to `visit`: for one that is made of a template, with its parameters filled in. [any
     * thread] */
    int32_t (*task_name)(td_ctx ctx, td_visit_fn visit, void *user);

    /* Hands the text of a parameter of the task's template to `visit`. TD_E_NOTFOUND: it has no such parameter. [any
     * thread] */
    int32_t (*param)(td_ctx ctx, td_str name, td_visit_fn visit, void *user);

    /* Which attempt this is: 1, 2 … up to 1 + td_task.retries; or an error. [any thread] */
    int32_t (*attempt)(td_ctx ctx);

    /* Tells how far the task is: `done` of `total`, and in words what it does; total 0: not known, `what` may be empty.
     * Shown by the live views; cheap, and may be called as often as there is something new. [any thread] */
    int32_t (*progress)(td_ctx ctx, uint64_t done, uint64_t total, td_str what);

    /* Makes sure that a task is part of this run: it, and all that it comes after, are added where they are not there
     * yet, and run as soon as they can. `task` is a name in the same library, of a template with its parameters filled in
     * too, or `library::task`; a glob over choices (`build::*`) starts all of them. Where that is an error, `why`, if it
     * is not null, is handed one line that says so. Does not wait. TD_E_NOTFOUND: there is no such task. TD_E_ARG: a
     * parameter does not fit. TD_E_DENIED: a hook asks, or it belongs to a library whose setup has not run.
     * TD_E_CANCELLED: the run has been stopped, nothing is started any more. [any thread] */
    int32_t (*start)(td_ctx ctx, td_str task, td_visit_fn why, void *user);

    /* Starts what `start` would start, and waits until it has ended; td_host.result_get then has the result. Meanwhile the
     * task gives its place to another one. TD_OK: it passed, or skipped itself. TD_E_FAILED: it did not; `why` tells how
     * it ended. TD_E_DEADLOCK: it waits, itself or over others, for this task. TD_E_CANCELLED, TD_E_LIMIT, and what
     * `start` returns. [any thread] */
    int32_t (*wait)(td_ctx ctx, td_str task, td_visit_fn why, void *user);
} td_host;

/* ---- The table ------------------------------------------------------------------------------------------------- */

/* A task or a hook. Returns TD_OK, TD_FAIL, TD_SKIP or any other number, which is a failure. */
typedef int32_t (*td_run_fn)(const td_host *host, td_ctx ctx, void *user);

/* td_task.kind */
#define TD_KIND_FUNCTION 0 /* run is called in this process */
#define TD_KIND_COMMAND 1  /* td_task.command is run as a process; run is null */

/* td_task.condition: when the task starts, and whether it does. */
#define TD_AFTER_PASSED 0 /* all that it comes after has passed (or skipped itself) */
#define TD_NO_FAILURES 1  /* all other tasks of the run have ended that do not have this condition and do not come after one
                             that has it; it runs only if none of them failed */
#define TD_ALWAYS 2       /* all that it comes after has ended, however it ended: for cleaning up. After a stop (Ctrl-C, enough
                             failures) it still runs where something that it comes after has been started */

/* td_param.kind: what the values of a parameter have to be; checked before anything runs. */
#define TD_PARAM_TEXT 0
#define TD_PARAM_INT 1   /* fits an int64_t */
#define TD_PARAM_FLOAT 2 /* fits a double, and is finite */
#define TD_PARAM_BOOL 3  /* true or false */

/* td_task.flags and td_table.flags: bits 0 to 31 are hints, ignored by a host that does not know them; bits 32 to 63
 * must be understood: a host that does not know one refuses the library. */

/* td_task.flags: nothing else runs on the pool at the same time. Must be understood. */
#define TD_TASK_EXCLUSIVE (UINT64_C(1) << 32)
/* td_task.flags: `retries` count after a timeout too, not only after a failure. A hint. */
#define TD_TASK_RETRY_TIMEOUT (UINT64_C(1) << 0)
/* td_task.flags: runs in a process of its own, where there is nothing but what the library does while it is loaded. A hint. */
#define TD_TASK_ISOLATE (UINT64_C(1) << 1)

/* td_command.flags: an exit status other than 0 is no failure: look at the result. A hint. */
#define TD_COMMAND_UNCHECKED (UINT64_C(1) << 0)

/* td_table.flags: a panic or an exception in this library ends the process (Rust's panic = "abort"). A hint. */
#define TD_TABLE_PANIC_ABORT (UINT64_C(1) << 0)

/* Finds the choices of a parameter: hands each to `add`, and returns TD_OK; both visitors take `list` as their user. Or hands
 * a reason to `fail` and returns TD_FAIL: the library is then not loaded. Where it adds nothing, and the table has no choices
 * either, the template makes no task, and a warning says so. Called once, while the library is loaded, also where it is only
 * looked at. */
typedef int32_t (*td_choose_fn)(void *user, td_visit_fn add, td_visit_fn fail, void *list);

/* Checks the text of a parameter: returns TD_OK, or hands a reason to `fail`, which takes `reason` as its user, and returns
 * TD_FAIL. Called before the task is made, on any thread; for choices while the library is loaded. */
typedef int32_t (*td_check_fn)(void *user, td_str text, td_visit_fn fail, void *reason);

/* A parameter of a template: of a task with `[…]` in its name. The fields up to and including `name` must be there. */
typedef struct td_param {
    uint32_t size; /* sizeof(td_param) */
    uint32_t kind; /* TD_PARAM_… */
    td_str name;   /* as it stands in the brackets; letters, digits and _ */

    /* The values it may have, with the characters of a name, without `::` and brackets. Where all parameters of a template have
     * choices, all tasks that they can make are there from the start; else a task is there when a selector or another task
     * names it. None, and no `choose`: any text of these characters. */
    const td_str *choices;
    size_t choice_count;

    td_choose_fn choose; /* finds further choices, those that are not known when the table is written; may be null */
    td_check_fn check;   /* decides after `kind`; may be null */
    td_str type_name;    /* what `check` wants, for messages: `a port number` */
    void *user;          /* handed to both as it is */
} td_param;

/* A program to run: either argv or shell. Its stdin is empty; its stdout and stderr are kept, 16 MiB of each. It passes with
 * exit status 0 and skips itself with 77; else it has failed, or crashed where a signal ended it. Either way its result is
 * {"command": text, "shell": bool, "returncode": number (minus the signal), "stdout": text, "stderr": text, "cwd": text}.
 * When the task is cancelled, its process and all that it has started get SIGTERM, and after the grace SIGKILL.
 *
 * `[name]` in argv, shell, cwd and env stands for the task's parameter of that name. The fields up to and including `shell`
 * must be there. */
typedef struct td_command {
    uint32_t size; /* sizeof(td_command) */
    uint32_t reserved;
    uint64_t flags; /* TD_COMMAND_… */

    /* The program, looked up in PATH where it has no slash, and its arguments. */
    const td_str *argv;
    size_t argc;

    td_str shell; /* what /bin/sh -c runs instead */
    td_str cwd;   /* where it runs; relative to where tdrun was started; empty: there */

    /* `NAME=value`, added to the environment of tdrun; without `=`: NAME is taken out of it. */
    const td_str *env;
    size_t env_count;
} td_command;

/* One task. The fields up to and including `user` must be there; the rest may be missing in a short struct. */
typedef struct td_task {
    uint32_t size;  /* sizeof(td_task) */
    uint32_t kind;  /* TD_KIND_… */
    uint64_t flags; /* TD_TASK_… */

    /* Unique in the library; 1 to 255 bytes; no control characters and none of , = * ? { } \ and no leading `-` or `!`, no
     * space at either end. `::` separates parts, none of which is empty. `[x]` makes it a template with a parameter x, which
     * may have one part to itself, or stand in it with text around it: `build::[env]`, `test_[n]`; one in a part. */
    td_str name;
    td_run_fn run;
    void *user; /* handed to run as it is */

    /* Names of tasks that must have passed before this one starts; in any order, declared anywhere in the library.
     * `library::task` names one of another library in the same run. `[x]` in it stands for this task's parameter x; a glob
     * (`build::*`) for all tasks that match it. */
    const td_str *after;
    size_t after_count;

    /* Labels to select by; the same characters as names, without `::`. `[x]` stands for the parameter, as in the name. */
    const td_str *tags;
    size_t tag_count;

    td_str doc;    /* what it does; the first line is shown in lists */
    td_str file;   /* where it is declared */
    uint32_t line; /* from 1; 0: not known */
    uint32_t reserved;

    /* ---- Since version 1.1 ---- */

    /* The parameters of a template, one for each `[…]` in its name; those that are not here have no choices. */
    const td_param *params;
    size_t param_count;
    uint32_t param_stride; /* sizeof(td_param) */

    /* No task of a higher wave starts before all of the lower ones have ended, however they end. */
    uint32_t wave;

    /* Names of tasks that this one comes before, as in `after`: whoever selects such a task gets this one run first. A `[x]`
     * that is no parameter of this task stands for any text. */
    const td_str *before;
    size_t before_count;

    /* The same, the other way round: where this task is selected, such a task is selected too, and runs after it. */
    const td_str *then;
    size_t then_count;

    /* Names of locks to hold while it runs, shared with other readers where the name ends in `:r`. All of them are taken
     * together, before it takes a worker's place, and released when it ends. */
    const td_str *locks;
    size_t lock_count;

    int32_t priority;   /* among tasks that are ready the greater goes first; 0 is usual */
    uint32_t condition; /* TD_AFTER_PASSED, TD_NO_FAILURES or TD_ALWAYS */

    uint32_t retries; /* how often it is tried again after a failure */
    uint32_t reserved_1;
    uint64_t retry_delay_ms; /* before the first retry; doubled for each further one */

    /* After so long it is cancelled; a grace later it is given up and has timed out. 0: --timeout decides. */
    uint64_t timeout_ms;

    const td_command *command; /* for TD_KIND_COMMAND; else null */
} td_task;

/* What tdrun_entry_v1 returns. The fields up to and including `tasks` must be there. */
typedef struct td_table {
    uint32_t magic; /* TD_MAGIC */
    uint16_t major; /* TD_MAJOR */
    uint16_t minor; /* TD_MINOR */
    uint32_t size;  /* sizeof(td_table) */

    uint32_t task_stride; /* the distance from one task to the next: sizeof(td_task) */
    size_t task_count;
    const td_task *tasks;

    uint64_t flags; /* TD_TABLE_… */

    /* The library's name in `library::task`; empty: its file name without `lib` and the ending. */
    td_str name;

    /* setup runs before the first task; where it does not return TD_OK, no task runs: TD_SKIP skips them all. teardown
     * runs after the last, also where tasks or setup failed or the run was stopped, but not after a second Ctrl-C. Either
     * may be null. */
    td_run_fn setup;
    td_run_fn teardown;
    void *user; /* handed to both as it is */

    /* Names of extensions that the host must know, or refuse the library. None are defined in version 1.0. */
    const td_str *needs;
    size_t need_count;
} td_table;

#if defined(_WIN32)
#define TD_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define TD_EXPORT __attribute__((visibility("default")))
#else
#define TD_EXPORT
#endif

/* The one function that a library exports. `host` is valid until the process ends. Called once, before anything else but
 * the constructors of the library; it should only hand out the table: looking at a library (tdrun --list) calls it too.
 * Null refuses to be loaded. */
TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host);

/* ---- Writing a table in C -------------------------------------------------------------------------------------- */

#ifndef __cplusplus /* in C++: TD_FN and TD_CPP_LIBRARY of tdrun.hpp */

/* A table is an array of these three; behind the first arguments stands what else a td_task has, in any order: fields by
 * their names (`.doc = TD_STR("…"), .wave = 1`) and the lists below.
 *
 *     TD_TASK(function, …)                          a task named as its function
 *     TD_TASK_NAMED(function, "build::[env]", …)    a task with another name, or a template
 *     TD_COMMAND("name", TD_SHELL("make"), …)       a program as a task */
#define TD_TASK(...) TD_TASK_(__VA_ARGS__, .reserved = 0)
#define TD_TASK_(function, ...) TD_TASK_NAMED_(function, #function, __VA_ARGS__)
#define TD_TASK_NAMED(...) TD_TASK_NAMED_(__VA_ARGS__, .reserved = 0)
#define TD_TASK_NAMED_(function, text, ...)                                                                            \
    {.size = sizeof(td_task),                                                                                          \
     .name = TD_STR(text),                                                                                             \
     .run = function,                                                                                                  \
     .file = TD_STR(__FILE__),                                                                                         \
     .line = __LINE__,                                                                                                 \
     __VA_ARGS__}
#define TD_COMMAND(...) TD_COMMAND_(__VA_ARGS__, .reserved = 0)
#define TD_COMMAND_(text, ...)                                                                                         \
    {.size = sizeof(td_task),                                                                                          \
     .kind = TD_KIND_COMMAND,                                                                                          \
     .name = TD_STR(text),                                                                                             \
     .file = TD_STR(__FILE__),                                                                                         \
     .line = __LINE__,                                                                                                 \
     __VA_ARGS__}

/* Lists of a task: TD_AFTER(TD_STR("a"), TD_STR("b")). */
#define TD_AFTER(...) .after = TD_LIST_(__VA_ARGS__), .after_count = TD_COUNT_(__VA_ARGS__)
#define TD_BEFORE(...) .before = TD_LIST_(__VA_ARGS__), .before_count = TD_COUNT_(__VA_ARGS__)
#define TD_THEN(...) .then = TD_LIST_(__VA_ARGS__), .then_count = TD_COUNT_(__VA_ARGS__)
#define TD_TAGS(...) .tags = TD_LIST_(__VA_ARGS__), .tag_count = TD_COUNT_(__VA_ARGS__)
#define TD_LOCKS(...) .locks = TD_LIST_(__VA_ARGS__), .lock_count = TD_COUNT_(__VA_ARGS__)
#define TD_LIST_(...) (const td_str[]){__VA_ARGS__}
#define TD_COUNT_(...) (sizeof(TD_LIST_(__VA_ARGS__)) / sizeof(td_str))

/* The parameters of a template: TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod"))), TD_PARAM("port",
 * .kind = TD_PARAM_INT)). Behind the name of each stand fields of td_param. */
#define TD_PARAMS(...)                                                                                                 \
    .params = (const td_param[]){__VA_ARGS__},                                                                         \
    .param_count = sizeof((const td_param[]){__VA_ARGS__}) / sizeof(td_param), .param_stride = sizeof(td_param)
#define TD_PARAM(...) TD_PARAM_(__VA_ARGS__, .size = sizeof(td_param))
#define TD_PARAM_(text, ...) {.name = TD_STR(text), __VA_ARGS__}
#define TD_CHOICES(...) .choices = TD_LIST_(__VA_ARGS__), .choice_count = TD_COUNT_(__VA_ARGS__)

/* What a command runs; behind it stand fields of td_command:
 *
 *     TD_SHELL("make -j4 | tee log", .cwd = TD_STR("src"))
 *     TD_EXEC(TD_ARGV(TD_STR("cc"), TD_STR("-c"), TD_STR("[file].c")), TD_ENV(TD_STR("LANG=C"))) */
#define TD_SHELL(...) TD_SHELL_(__VA_ARGS__, .size = sizeof(td_command))
#define TD_SHELL_(text, ...) .command = &(const td_command){.shell = TD_STR(text), __VA_ARGS__}
#define TD_EXEC(...) .command = &(const td_command){__VA_ARGS__, .size = sizeof(td_command)}
#define TD_ARGV(...) .argv = TD_LIST_(__VA_ARGS__), .argc = TD_COUNT_(__VA_ARGS__)
#define TD_ENV(...) .env = TD_LIST_(__VA_ARGS__), .env_count = TD_COUNT_(__VA_ARGS__)

/* TD_LIBRARY(tasks), TD_LIBRARY(tasks, .setup = f, …): exports the array `tasks` of td_task. It has to be the array,
 * whose size is known, and not a pointer to it. */
#define TD_LIBRARY(...) TD_LIBRARY_(__VA_ARGS__, .magic = TD_MAGIC)
#define TD_LIBRARY_(array, ...)                                                                                        \
    typedef char td_library_takes_an_array_of_td_task[sizeof(array) % sizeof(td_task) == 0 ? 1 : -1];                  \
    TD_EXPORT const td_table *tdrun_entry_v1(const td_host *host) {                                                    \
        static const td_table table = {.major = TD_MAJOR,                                                              \
                                       .minor = TD_MINOR,                                                              \
                                       .size = sizeof(td_table),                                                       \
                                       .task_stride = sizeof(td_task),                                                 \
                                       .task_count = sizeof(array) / sizeof(td_task),                                  \
                                       .tasks = array,                                                                 \
                                       __VA_ARGS__};                                                                   \
        (void)host;                                                                                                    \
        return &table;                                                                                                 \
    }

#endif

/* ---- Writing a task -------------------------------------------------------------------------------------------- */

/* return TD_FAILED(host, ctx, "why"); with the place of this line. */
#define TD_FAILED(host, ctx, why) ((void)(host)->fail((ctx), td_s(why), td_s(__FILE__), __LINE__), TD_FAIL)

/* return TD_SKIPPED(host, ctx, "why"); */
#define TD_SKIPPED(host, ctx, why) ((void)(host)->skip((ctx), td_s(why)), TD_SKIP)

/* Returns from the task as failed where the condition does not hold. */
#define TD_CHECK(host, ctx, condition)                                                                                 \
    do {                                                                                                               \
        if (!(condition)) return TD_FAILED(host, ctx, "check failed: " #condition);                                    \
    } while (0)

/* Sends a text to the log of the run with the place of this line; `level` is one of TD_LOG_ERROR to TD_LOG_TRACE. */
#define TD_LOG(host, ctx, level, text)                                                                                 \
    ((host)->log((ctx), (level), td_s(""), td_s(text), td_s(__FILE__), __LINE__))
#define TD_INFO(host, ctx, text) TD_LOG(host, ctx, TD_LOG_INFO, text)

/* Sets a result that is a string, or any JSON text. Both return TD_OK or an error, so a task can end with them. */
static inline int32_t td_result_text(const td_host *host, td_ctx ctx, const char *text) {
    return host->result_set(ctx, TD_TEXT, td_s(text));
}
static inline int32_t td_result_json(const td_host *host, td_ctx ctx, const char *json) {
    return host->result_set(ctx, TD_JSON, td_s(json));
}

static inline int32_t td_state_set_text(const td_host *host, td_ctx ctx, const char *key, const char *text) {
    return host->state_set(ctx, td_s(key), TD_TEXT, td_s(text));
}
static inline int32_t td_state_set_json(const td_host *host, td_ctx ctx, const char *key, const char *json) {
    return host->state_set(ctx, td_s(key), TD_JSON, td_s(json));
}

/* A caller's buffer, and a visitor that copies into it with a NUL behind; nothing is copied where it does not fit. */
typedef struct td_buffer {
    char *ptr;
    size_t capacity; /* with room for the NUL */
    size_t len;      /* of the value, also where it did not fit */
} td_buffer;

static inline void td_copy_to_buffer(void *user, td_str value) {
    td_buffer *buffer = (td_buffer *)user;
    buffer->len = value.len;
    if (value.len < buffer->capacity) {
        if (value.len) memcpy(buffer->ptr, value.ptr, value.len);
        buffer->ptr[value.len] = '\0';
    }
}

/* Copies a result, or a state key's value, as text into a buffer of `capacity` bytes, with a NUL behind.
 * TD_OK, TD_E_NOTFOUND, TD_E_SPACE (nothing is copied), … */
static inline int32_t td_result_copy(const td_host *host, td_ctx ctx, const char *task, char *out, size_t capacity) {
    td_buffer buffer = {out, capacity, 0};
    int32_t status = host->result_get(ctx, td_s(task), TD_TEXT, td_copy_to_buffer, &buffer);
    return status == TD_OK && buffer.len >= capacity ? TD_E_SPACE : status;
}
static inline int32_t td_state_copy(const td_host *host, td_ctx ctx, const char *key, char *out, size_t capacity) {
    td_buffer buffer = {out, capacity, 0};
    int32_t status = host->state_get(ctx, td_s(key), TD_TEXT, td_copy_to_buffer, &buffer);
    return status == TD_OK && buffer.len >= capacity ? TD_E_SPACE : status;
}

/* The same for the name of this task, and for the text of one of its parameters. */
static inline int32_t td_name_copy(const td_host *host, td_ctx ctx, char *out, size_t capacity) {
    td_buffer buffer = {out, capacity, 0};
    int32_t status = host->task_name(ctx, td_copy_to_buffer, &buffer);
    return status == TD_OK && buffer.len >= capacity ? TD_E_SPACE : status;
}
static inline int32_t td_param_copy(const td_host *host, td_ctx ctx, const char *param, char *out, size_t capacity) {
    td_buffer buffer = {out, capacity, 0};
    int32_t status = host->param(ctx, td_s(param), td_copy_to_buffer, &buffer);
    return status == TD_OK && buffer.len >= capacity ? TD_E_SPACE : status;
}

/* Copies a text with each `[x]` in it replaced by this task's parameter x. Other brackets stay; what does not fit is cut. */
static inline void td_fill(const td_host *host, td_ctx ctx, const char *text, char *out, size_t capacity) {
    size_t len = 0;
    while (*text && len + 1 < capacity) {
        const char *end = *text == '[' ? strchr(text, ']') : NULL;
        if (end) {
            td_str name = {text + 1, (size_t)(end - text - 1)};
            td_buffer value = {out + len, capacity - len, 0};
            if (host->param(ctx, name, td_copy_to_buffer, &value) == TD_OK && value.len < value.capacity) {
                len += value.len;
                text = end + 1;
                continue;
            }
        }
        out[len++] = *text++;
    }
    if (capacity) out[len] = '\0';
}

/* Writes that there is no result of a task, and what to do about it. */
static inline void td_no_result(const td_host *host, td_ctx ctx, const char *task, char *out, size_t capacity) {
    char name[256];
    td_fill(host, ctx, task, name, sizeof name);
    if (strchr(name, '['))
        snprintf(out, capacity, "no result of `%s`: what is in the brackets is no parameter of this task", name);
    else
        snprintf(out, capacity,
                 "no result of `%s` (it did not run, did not pass, or returned nothing); give one with "
                 "`--result-%s=VALUE`, or run it too: `--with-deps`",
                 name, name);
}

/* Where this task is to be told as failed, and a visitor that takes the reason. */
typedef struct td_failing {
    const td_host *host;
    td_ctx ctx;
    const char *file;
    uint32_t line;
    int32_t told; /* there was a reason */
} td_failing;

static inline void td_fail_because(void *user, td_str why) {
    td_failing *failing = (td_failing *)user;
    failing->told = 1;
    (void)failing->host->fail(failing->ctx, why, td_s(failing->file), failing->line);
}

/* What the functions below do where something cannot be read. */
static inline int32_t td_fail_unread(const td_host *host, td_ctx ctx, int32_t status, const char *what, const char *name,
                                     const char *file, uint32_t line) {
    char why[512];
    if (status == TD_E_SPACE)
        snprintf(why, sizeof why, "%s `%.128s` is longer than the buffer for it", what, name);
    else
        snprintf(why, sizeof why, "%s `%.128s` cannot be read: error %d", what, name, (int)status);
    (void)host->fail(ctx, td_s(why), td_s(file), line);
    return TD_FAIL;
}

/* As td_result_copy, but a missing result becomes the failure of this task, with what to do about it. */
static inline int32_t td_require_result(const td_host *host, td_ctx ctx, const char *task, char *out, size_t capacity,
                                        const char *file, uint32_t line) {
    char why[768];
    int32_t status = td_result_copy(host, ctx, task, out, capacity);
    if (status == TD_OK) return TD_OK;
    if (status != TD_E_NOTFOUND) return td_fail_unread(host, ctx, status, "the result of", task, file, line);
    td_no_result(host, ctx, task, why, sizeof why);
    (void)host->fail(ctx, td_s(why), td_s(file), line);
    return TD_FAIL;
}

/* As td_param_copy, but what cannot be read becomes the failure of this task. */
static inline int32_t td_require_param(const td_host *host, td_ctx ctx, const char *param, char *out, size_t capacity,
                                       const char *file, uint32_t line) {
    char why[256];
    int32_t status = td_param_copy(host, ctx, param, out, capacity);
    if (status == TD_OK) return TD_OK;
    if (status != TD_E_NOTFOUND) return td_fail_unread(host, ctx, status, "the parameter", param, file, line);
    snprintf(why, sizeof why, "the name of this task has no parameter `%.128s`", param);
    (void)host->fail(ctx, td_s(why), td_s(file), line);
    return TD_FAIL;
}

/* Starts another task, waits until it has ended, and copies its result as td_result_copy does; a task without one leaves the
 * empty string. `out` may be null where only the end is wanted. TD_OK, TD_E_SPACE, and what td_host.wait returns. */
static inline int32_t td_run(const td_host *host, td_ctx ctx, const char *task, char *out, size_t capacity) {
    int32_t status = host->wait(ctx, td_s(task), NULL, NULL);
    if (status != TD_OK || !out) return status;
    if (capacity) out[0] = '\0';
    status = td_result_copy(host, ctx, task, out, capacity);
    return status == TD_E_NOTFOUND ? TD_OK : status;
}

/* As td_host.wait, but where the other task did not pass, or cannot run, this one fails for that reason. */
static inline int32_t td_require_run(const td_host *host, td_ctx ctx, const char *task, const char *file, uint32_t line) {
    char why[256];
    td_failing failing = {host, ctx, file, line, 0};
    int32_t status = host->wait(ctx, td_s(task), td_fail_because, &failing);
    if (status == TD_OK) return TD_OK;
    if (failing.told) return TD_FAIL;
    snprintf(why, sizeof why, "cannot run `%.128s`: error %d", task, (int)status);
    (void)host->fail(ctx, td_s(why), td_s(file), line);
    return TD_FAIL;
}

/* Copies the result of a task that this one comes after, or returns from this one as failed. */
#define TD_REQUIRE_RESULT(host, ctx, task, out, capacity)                                                              \
    do {                                                                                                               \
        if (td_require_result(host, ctx, task, out, capacity, __FILE__, __LINE__) != TD_OK) return TD_FAIL;            \
    } while (0)

/* Copies the text of a parameter, or returns from the task as failed. */
#define TD_REQUIRE_PARAM(host, ctx, param, out, capacity)                                                              \
    do {                                                                                                               \
        if (td_require_param(host, ctx, param, out, capacity, __FILE__, __LINE__) != TD_OK) return TD_FAIL;            \
    } while (0)

/* Starts another task and waits until it has passed, or returns from this one as failed, for the same reason. */
#define TD_REQUIRE_RUN(host, ctx, task)                                                                                \
    do {                                                                                                               \
        if (td_require_run(host, ctx, task, __FILE__, __LINE__) != TD_OK) return TD_FAIL;                              \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
