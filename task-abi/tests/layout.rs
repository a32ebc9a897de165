//! tdrun.h and raw.rs are one contract: a C compiler and rustc must see the same structs, fields and constants.
//!
//! Names are read out of both sources, so that neither side can have one that the other lacks; numbers come from the
//! compilers.

#[path = "host/cpp.rs"]
mod cpp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use task_abi::raw;

const HEADER: &str = include_str!("../include/tdrun.h");
const RAW: &str = include_str!("../src/raw.rs");

/// What raw.rs has beyond the header: the limits that a host checks with, and what C writes another way.
const ONLY_IN_RUST: [&str; 6] = [
    "ENTRY",
    "FLAGS_REQUIRED",
    "TASK_SIZE_MIN",
    "PARAM_SIZE_MIN",
    "COMMAND_SIZE_MIN",
    "TABLE_SIZE_MIN",
];
/// Helpers of the header, not part of the contract.
const ONLY_IN_C: [&str; 2] = ["td_buffer", "td_failing"];

/// The size of the type of a field.
fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// `name → number`, as the C program prints it: `sizeof td_str`, `td_str.len at`, `td_str.len size`, `TD_OK`.
type Numbers = BTreeMap<String, i128>;

macro_rules! structs {
    ($numbers:ident; $($rust:ident = $c:literal { $($field:ident),* $(,)? })*) => {$(
        $numbers.insert(format!("sizeof {}", $c), size_of::<raw::$rust>() as i128);
        $(
            let name = format!("{}.{}", $c, stringify!($field));
            $numbers.insert(format!("{name} at"), std::mem::offset_of!(raw::$rust, $field) as i128);
            let size = size_of_field(|value: &raw::$rust| &value.$field);
            $numbers.insert(format!("{name} size"), size as i128);
        )*
    )*};
}

macro_rules! constants {
    ($numbers:ident; $($name:ident)*) => {$(
        $numbers.insert(concat!("TD_", stringify!($name)).to_owned(), i128::from(raw::$name));
    )*};
}

fn numbers_of_rust() -> Numbers {
    let mut numbers = Numbers::new();
    structs! { numbers;
        Str = "td_str" { ptr, len }
        Host = "td_host" {
            size, major, minor, log_level, log, fail, skip, cancelled, result_set, result_get,
            state_get, state_set, state_swap, lock, unlock, task_name, param, attempt, progress,
            start, wait,
        }
        Param = "td_param" {
            size, kind, name, choices, choice_count, choose, check, type_name, user,
        }
        Command = "td_command" { size, reserved, flags, argv, argc, shell, cwd, env, env_count }
        Task = "td_task" {
            size, kind, flags, name, run, user, after, after_count, tags, tag_count, doc, file,
            line, reserved, params, param_count, param_stride, wave, before, before_count, then,
            then_count, locks, lock_count, priority, condition, retries, reserved_1,
            retry_delay_ms, timeout_ms, command,
        }
        Table = "td_table" {
            magic, major, minor, size, task_stride, task_count, tasks, flags, name, setup,
            teardown, user, needs, need_count,
        }
    }
    constants! { numbers;
        MAGIC MAJOR MINOR OK FAIL SKIP E_STALE E_ARG E_NOTFOUND E_JSON E_TOOBIG E_DENIED E_CHANGED
        E_DEADLOCK E_SPACE E_CANCELLED E_FAILED E_LIMIT LOG_OFF LOG_ERROR LOG_WARN LOG_INFO LOG_DEBUG LOG_TRACE
        JSON TEXT KIND_FUNCTION KIND_COMMAND AFTER_PASSED NO_FAILURES ALWAYS PARAM_TEXT PARAM_INT
        PARAM_FLOAT PARAM_BOOL TASK_EXCLUSIVE TASK_RETRY_TIMEOUT TASK_ISOLATE COMMAND_UNCHECKED TABLE_PANIC_ABORT
    }
    numbers
}

/// The struct fields that the header declares: `td_str → {ptr, len}`.
fn structs_of_header() -> BTreeMap<String, BTreeSet<String>> {
    let code = without_comments(HEADER);
    let mut structs = BTreeMap::new();
    for part in code.split("typedef struct ").skip(1) {
        let (name, rest) = part.split_once('{').expect("a body");
        let (body, _) = rest.split_once('}').expect("its end");
        structs.insert(name.trim().to_owned(), fields_of_c(body));
    }
    for name in ONLY_IN_C {
        structs.remove(name).expect("the header has it");
    }
    structs
}

/// `int32_t (*fail)(td_ctx ctx)` is `fail`, `const td_str *after` is `after`.
fn fields_of_c(body: &str) -> BTreeSet<String> {
    let declarations = body
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let name = |text: &str| {
        let name = match text.split_once("(*") {
            Some((_, rest)) => rest.split(')').next(),
            None => text.rsplit([' ', '*']).next(),
        };
        name.expect("a name").to_owned()
    };
    declarations.map(name).collect()
}

fn without_comments(code: &str) -> String {
    let mut parts = code.split("/*");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += part.split_once("*/").expect("the comment ends").1;
    }
    text
}

/// The constants of the header: macros without parameters that begin with a number.
fn constants_of_header() -> BTreeSet<String> {
    let code = without_comments(HEADER);
    let defines = code
        .lines()
        .filter_map(|line| line.strip_prefix("#define "));
    let numbers = defines.filter_map(|define| {
        let (name, value) = define.split_once(' ')?;
        let value = value.trim_start().trim_start_matches(['(', '-']);
        let is_number = value.starts_with(|c: char| c.is_ascii_digit())
            || value.starts_with("UINT32_C(")
            || value.starts_with("UINT64_C(");
        (!name.contains('(') && is_number).then(|| name.to_owned())
    });
    numbers.collect()
}

/// The struct fields and constants that raw.rs declares, under their names in C.
fn names_of_raw() -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let mut structs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut constants = BTreeSet::new();
    let mut current = String::new();
    for line in RAW.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            current = format!("td_{}", rest.trim_end_matches(" {").to_lowercase());
        } else if let Some(rest) = line.strip_prefix("    pub ") {
            if let Some((field, _)) = rest.split_once(": ")
                && !rest.starts_with("const ")
            {
                structs
                    .entry(current.clone())
                    .or_default()
                    .insert(field.to_owned());
            }
        } else if let Some(rest) = line.strip_prefix("pub const ") {
            let (name, _) = rest.split_once(':').expect("a type");
            if !ONLY_IN_RUST.contains(&name) {
                constants.insert(format!("TD_{name}"));
            }
        }
    }
    (structs, constants)
}

/// Compiles and runs a program that prints every number of the header.
fn numbers_of_c(
    structs: &BTreeMap<String, BTreeSet<String>>,
    constants: &BTreeSet<String>,
) -> Numbers {
    let mut program = String::from("#include \"tdrun.h\"\n#include <stdio.h>\nint main(void) {\n");
    let mut print = |name: &str, value: &str| {
        writeln!(
            program,
            "    printf(\"{name}=%lld\\n\", (long long)({value}));"
        )
        .unwrap();
    };
    for (name, fields) in structs {
        print(&format!("sizeof {name}"), &format!("sizeof({name})"));
        for field in fields {
            print(
                &format!("{name}.{field} at"),
                &format!("offsetof({name}, {field})"),
            );
            print(
                &format!("{name}.{field} size"),
                &format!("sizeof((({name} *)0)->{field})"),
            );
        }
    }
    for name in constants {
        print(name, name);
    }
    program += "    return 0;\n}\n";

    let dir = tempfile::tempdir().unwrap();
    let (source, binary) = (dir.path().join("layout.c"), dir.path().join("layout"));
    fs::write(&source, program).unwrap();
    compile("cc", &["-std=c11"], &source, &binary);
    let output = Command::new(binary).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let (name, number) = line.split_once('=').expect("name=number");
            (name.to_owned(), number.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn the_header_and_raw_have_the_same_structs_fields_and_constants() {
    let (structs, constants) = names_of_raw();
    assert_eq!(structs, structs_of_header());
    assert_eq!(constants, constants_of_header());
}

#[test]
fn a_c_compiler_and_rustc_see_the_same_layout_and_values() {
    let numbers = numbers_of_c(&structs_of_header(), &constants_of_header());
    assert_eq!(numbers, numbers_of_rust());
}

// ---- Libraries in C and C++ compile without a warning ----

const C_LIBRARY: &str = r#"
#include "tdrun.h"

static int32_t first(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    return td_result_text(host, ctx, "one");
}

static int32_t second(const td_host *host, td_ctx ctx, void *user) {
    char text[8];
    (void)user;
    TD_CHECK(host, ctx, td_result_copy(host, ctx, "first", text, sizeof text) == TD_OK);
    if (host->cancelled(ctx)) return TD_SKIPPED(host, ctx, "no time");
    return td_state_set_json(host, ctx, "n", "1");
}

static int32_t build(const td_host *host, td_ctx ctx, void *user) {
    char env[16], port[8], text[8];
    (void)user;
    TD_REQUIRE_PARAM(host, ctx, "env", env, sizeof env);
    TD_REQUIRE_RUN(host, ctx, "first");
    TD_CHECK(host, ctx, td_param_copy(host, ctx, "port", port, sizeof port) == TD_E_NOTFOUND);
    TD_CHECK(host, ctx, td_name_copy(host, ctx, text, sizeof text) == TD_E_SPACE);
    TD_CHECK(host, ctx, host->progress(ctx, 1, 2, td_s(env)) == TD_OK && host->attempt(ctx) == 1);
    return td_run(host, ctx, "first", text, sizeof text);
}

static int32_t choose(void *user, td_visit_fn add, td_visit_fn fail, void *list) {
    (void)user, (void)fail;
    add(list, td_s("80"));
    return TD_OK;
}

static int32_t setup(const td_host *host, td_ctx ctx, void *user) {
    (void)user;
    TD_INFO(host, ctx, "ready");
    return TD_OK;
}

static const td_task tasks[] = {
    TD_TASK(first),
    TD_TASK(second, TD_AFTER(TD_STR("first")), TD_TAGS(TD_STR("a"), TD_STR("b")), .doc = TD_STR("Second")),
    TD_TASK_NAMED(first, "alone", .flags = TD_TASK_EXCLUSIVE | TD_TASK_ISOLATE, .retries = 2, .timeout_ms = 30000),
    TD_TASK_NAMED(build, "build::[env]", TD_PARAMS(TD_PARAM("env", TD_CHOICES(TD_STR("dev"), TD_STR("prod")))),
                  TD_BEFORE(TD_STR("deploy::[env]")), TD_LOCKS(TD_STR("db"), TD_STR("disk:r")), .wave = 1),
    TD_TASK_NAMED(build, "serve::[env]::[port]",
                  TD_PARAMS(TD_PARAM("env"), TD_PARAM("port", .kind = TD_PARAM_INT, .choose = choose))),
    TD_COMMAND("plain", TD_SHELL("ls")),
    TD_COMMAND("count", TD_SHELL("ls | wc -l", .cwd = TD_STR("src")), TD_THEN(TD_STR("plain"))),
    TD_COMMAND("compile::[file]",
               TD_EXEC(TD_ARGV(TD_STR("cc"), TD_STR("-c"), TD_STR("[file].c")), TD_ENV(TD_STR("LANG=C"), TD_STR("CC")),
                       .flags = TD_COMMAND_UNCHECKED),
               TD_AFTER(TD_STR("count")), .condition = TD_ALWAYS),
};

TD_LIBRARY(tasks, .name = TD_STR("page"), .setup = setup)
"#;

const CPP_LIBRARY: &str = r#"
#include "tdrun.hpp"

namespace steps {
static std::string first(td::context &) { return "one"; }
static void second(td::context &ctx) {
    td::lock held = ctx.lock("door");
    if (ctx.cancelled()) throw td::skipped("no time");
    TD_REQUIRE(ctx.result("first") == "one");
    const std::string zero = "0", one = "1";
    if (!ctx.swap_state_json("n", &zero, &one)) ctx.warn("changed");
}
static int32_t third(td::context &ctx) {
    return td_result_json(ctx.host(), ctx.id(), "3");
}
static void serve(td::context &ctx) {
    TD_REQUIRE(ctx.name() == "serve::" + ctx.param("env") + "::" + ctx.param<std::string>("port"));
    TD_REQUIRE(ctx.param<uint16_t>("port") == ctx.param<int>("port") && ctx.param<double>("port") > 0);
    TD_REQUIRE(!ctx.param<bool>("env"));
    ctx.progress(static_cast<uint64_t>(ctx.attempt()), 2, "half");
    ctx.progress(2, 2);
    ctx.start("first");
    ctx.wait("last");
    ctx.info(ctx.run("first"));
}
}

static int32_t by_hand(const td_host *host, td_ctx ctx, void *) {
    return td::guard(host, ctx, [](td::context &c) { c.set_result("x"); });
}

TD_CPP_LIBRARY(library) {
    library.name("page");
    library.setup(TD_FN(steps::second));
    library.task(TD_FN(steps::first));
    library.task(TD_FN(steps::second)).after("first").tag("a").tag("b").doc("Second");
    library.task(TD_FN(steps::third)).name("last");
    library.task(TD_FN(steps::serve))
        .name("serve::[env]::[port]")
        .choices("env", {"dev", "prod"})
        .param("port", TD_PARAM_INT)
        .check("port", "a port", [](const std::string &text) { return text == "0" ? "it is 0" : ""; })
        .before("last")
        .then("second")
        .lock("db:r")
        .wave(1)
        .priority(-1)
        .exclusive()
        .retries(2, std::chrono::seconds(1))
        .retry_timeouts()
        .timeout(std::chrono::seconds(30))
        .isolate()
        .no_failures();
    library.command("compile", {"cc", "-c", "a.c"}).cwd("src").env("LANG=C").unchecked().always();
    library.shell("count", "ls | wc -l").after("compile");
    td::function plain = {"by_hand", by_hand, __FILE__, __LINE__};
    library.task(plain);
}
"#;

#[test]
fn a_c_library_compiles_without_a_warning() {
    let strict = [
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-shared",
        "-fPIC",
    ];
    for standard in ["-std=c99", "-std=c11", "-std=gnu17"] {
        compile_text(
            "cc",
            "page.c",
            C_LIBRARY,
            &[&[standard][..], &strict].concat(),
        );
    }
}

#[test]
fn a_pointer_where_td_library_takes_an_array_does_not_compile() {
    let array = r#"
        #include "tdrun.h"
        static int32_t run(const td_host *host, td_ctx ctx, void *user) {
            (void)user;
            TD_LOG(host, ctx, TD_LOG_WARN, "a pointer has no size");
            return TD_OK;
        }
        static const td_task array[] = {TD_TASK(run)};
        #define TASKS array
        TD_LIBRARY(TASKS)
    "#;
    let arguments = ["-std=c99", "-shared", "-fPIC"];
    compile_text("cc", "array.c", array, &arguments);
    let pointer = array.replace("#define TASKS array", "#define TASKS (&array[0])");
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("pointer.c");
    fs::write(&source, pointer).unwrap();
    let Output { status, stderr, .. } = run("cc", &arguments, &source, &dir.path().join("out"));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(!status.success());
    assert!(
        stderr.contains("td_library_takes_an_array_of_td_task"),
        "{stderr}"
    );
}

#[test]
fn what_a_table_cannot_take_does_not_compile() {
    let table = |task: &str| {
        format!(
            "#include \"tdrun.h\"
             static int32_t run(const td_host *host, td_ctx ctx, void *user);
             static const char *name = \"variable\";
             static const td_task tasks[] = {{{task}}};
             TD_LIBRARY(tasks)
             static int32_t run(const td_host *host, td_ctx ctx, void *user) {{
                 (void)host, (void)ctx, (void)user, (void)name;
                 return TD_OK;
             }}"
        )
    };
    let arguments = [
        "-std=c99",
        "-shared",
        "-fPIC",
        "-pedantic-errors",
        "-Werror",
    ];
    compile_text("cc", "fine.c", &table("TD_TASK(run)"), &arguments);
    for wrong in [
        "TD_TASK_NAMED(run, name)",
        "TD_TASK_NAMED(\"run\", \"name\")",
        "TD_TASK(run, TD_AFTER(\"a\", \"b\"))",
        "TD_TASK(run, TD_PARAMS(\"env\"))",
        "TD_TASK(run, TD_CHOICES(TD_STR(\"a\")))",
        "TD_COMMAND(\"ls\", TD_ARGV(TD_STR(\"ls\")))",
        "TD_COMMAND(\"ls\", TD_EXEC(TD_AFTER(TD_STR(\"a\"))))",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("wrong.c");
        fs::write(&source, table(wrong)).unwrap();
        let output = run("cc", &arguments, &source, &dir.path().join("out"));
        assert!(!output.status.success(), "{wrong} compiles");
    }
}

#[test]
fn a_cpp_library_compiles_without_a_warning() {
    if cpp::is_missing() {
        return;
    }
    let strict = [
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-shared",
        "-fPIC",
    ];
    for standard in ["-std=c++11", "-std=c++14", "-std=c++17", "-std=c++20"] {
        compile_text(
            "c++",
            "page.cpp",
            CPP_LIBRARY,
            &[&[standard][..], &strict].concat(),
        );
    }
}

#[test]
fn the_examples_in_the_comments_of_the_headers_compile() {
    let strict = [
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        "-shared",
        "-fPIC",
    ];
    let cpp = include_str!("../include/tdrun.hpp");
    compile_text(
        "cc",
        "comment.c",
        &comment(HEADER),
        &[&["-std=c99"][..], &strict].concat(),
    );
    if cpp::is_missing() {
        return;
    }
    compile_text(
        "c++",
        "comment.cpp",
        &comment(cpp),
        &[&["-std=c++11"][..], &strict].concat(),
    );
}

/// The indented lines from the first `#include` to the command that compiles them.
fn comment(header: &str) -> String {
    let lines = header
        .lines()
        .map_while(|line| match line.strip_prefix(" *") {
            Some(line)
                if line.trim_start().starts_with("cc ")
                    || line.trim_start().starts_with("c++ ") =>
            {
                None
            }
            Some(line) => Some(line),
            None => Some(""),
        });
    let code: String = lines
        .skip_while(|line| !line.trim_start().starts_with("#include"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(
        code.contains("#include"),
        "the header begins with a library"
    );
    code
}

fn compile_text(compiler: &str, name: &str, text: &str, arguments: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join(name);
    fs::write(&source, text).unwrap();
    compile(compiler, arguments, &source, &dir.path().join("out"));
}

fn compile(compiler: &str, arguments: &[&str], source: &Path, out: &Path) {
    let Output { status, stderr, .. } = run(compiler, arguments, source, out);
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{compiler} {arguments:?}:\n{stderr}");
}

fn run(compiler: &str, arguments: &[&str], source: &Path, out: &Path) -> Output {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut command = Command::new(compiler);
    command.args(arguments).arg("-I").arg(include);
    command.arg("-o").args([out, source]).output().unwrap()
}
