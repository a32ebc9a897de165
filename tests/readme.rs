//! The README's commands, run as they stand there. Its libraries are built from its own text.
//!
//! The table of the task language is held to libraries that have all of it: `readme/cells.rs`, `.c` and `.cpp`.
//!
//! Times, threads and percentages may differ, and so may the order of lines where tasks run at the same time.

#[path = "../task-abi/tests/host/cpp.rs"]
mod cpp;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A command of a `console` block, and what the README shows below it.
struct Step {
    command: String,
    expected: Vec<String>,
}

#[test]
fn the_examples_of_the_readme_are_real_output() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let home = newcomers_home(&readme);
    let blocks: Vec<_> = blocks(&readme, "console").into_iter().map(steps).collect();
    assert!(blocks.len() >= 8, "the blocks were not found");
    for steps in blocks {
        let text: String = steps.iter().map(|step| step.command.as_str()).collect();
        let folder = match () {
            () if text.contains("libshop") => "shop",
            () if text.contains("libdisk") => "disk",
            () => "tdrun",
        };
        if text.contains("c++ ") && cpp::is_missing() || text.contains("strace ") && cannot_trace()
        {
            continue;
        }
        for step in steps {
            check(&home.path().join(folder), &step);
        }
    }
    run_cells(home.path());
}

/// There is no strace, or it may not trace.
fn cannot_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    !traced.is_ok_and(|traced| traced.status.success())
}

/// The libraries that have all of the table; the one in Rust in the place of the shop, whose dependencies are built.
fn run_cells(home: &Path) {
    let cells = root().join("tests/readme");
    fs::copy(cells.join("cells.rs"), home.join("shop/src/lib.rs")).unwrap();
    for name in ["cells.c", "cells.cpp"] {
        fs::copy(cells.join(name), home.join("disk").join(name)).unwrap();
    }
    fs::create_dir(home.join("disk/src")).unwrap();
    let compiled = |compiler: &str, file: &str| {
        format!(
            "{compiler} -shared -fPIC -Wall -Wextra -Werror -I../tdrun/task-abi/include -o libcells.so {file}"
        )
    };
    for (folder, build, run, summary) in [
        (
            "shop",
            "cargo build".to_owned(),
            "tdrun target/debug/libshop.so -q",
            "==== 25 passed, 0 failed, 1 skipped in 0.00s ====",
        ),
        (
            "disk",
            compiled("cc", "cells.c"),
            "tdrun libcells.so -q",
            "==== 21 passed, 0 failed, 1 skipped in 0.00s ====",
        ),
        (
            "disk",
            compiled("c++", "cells.cpp"),
            "tdrun libcells.so -q",
            "==== 3 passed, 0 failed, 0 skipped in 0.00s ====",
        ),
    ] {
        if build.starts_with("c++") && cpp::is_missing() {
            continue;
        }
        for (command, expected) in [(build, None), (run.to_owned(), Some(summary))] {
            let expected = expected.into_iter().map(String::from).collect();
            check(&home.join(folder), &Step { command, expected });
        }
    }
}

#[test]
fn the_table_of_the_task_language_shows_what_compiles() {
    let read = |file: &str| words(&fs::read_to_string(root().join(file)).unwrap());
    let rust = read("tests/readme/cells.rs") + &read("task-abi/Cargo.toml");
    let c = read("tests/readme/cells.c") + &read("task-abi/include/tdrun.h");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## The task language\n").unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut shown = 0;
    for row in table.skip(2).take_while(|line| line.starts_with('|')) {
        let row = row.replace("\\|", "¦");
        let cells: Vec<_> = row.split('|').map(|cell| cell.replace('¦', "|")).collect();
        for (cell, source) in [(&cells[2], &rust), (&cells[3], &c)] {
            for code in cell.split('`').skip(1).step_by(2) {
                for piece in words(code).split('…') {
                    assert!(
                        source.contains(piece),
                        "`{piece}` of `{code}` does not compile"
                    );
                    shown += 1;
                }
            }
        }
    }
    assert!(shown > 50, "the table was not found");
    let cpp = read("tests/readme/cells.cpp");
    let (_, below) = section.split_once("\nC++ has").unwrap();
    for code in below
        .split("\n\n")
        .next()
        .unwrap()
        .split('`')
        .skip(1)
        .step_by(2)
    {
        assert!(cpp.contains(&words(code)), "`{code}` does not compile");
    }
}

#[test]
fn the_promises_name_tests_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## What tdrun promises\n").unwrap();
    let mut sources = String::new();
    let mut folders = vec![root().join("tests"), root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let table = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut named = 0;
    for row in table.skip(2).take_while(|line| line.starts_with('|')) {
        let tests = row.rsplit('|').nth(1).unwrap();
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing holds {row}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "no test `{test}`");
            named += 1;
        }
    }
    assert!(named > 15, "the table was not found");
}

/// With single spaces.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_program_that_embeds_tdrun_is_a_test() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let test = fs::read_to_string(root().join("tests/scheduler.rs")).unwrap();
    let program = blocks(&readme, "text");
    let program = program.iter().find(|block| block[0].contains("Scheduler"));
    let program = program.expect("the block is there").join("\n");
    assert!(
        test.contains(&program),
        "tests/scheduler.rs has another one"
    );
}

#[test]
fn the_readme_names_options_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_tdrun"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let options: Vec<_> = lines
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .collect();
    assert!(options.len() > 30, "the options were not found");
    for option in options {
        let end = option
            .find(|c: char| !c.is_alphanumeric() && c != '-')
            .unwrap_or(option.len());
        let option = &option[..end];
        let silent = [
            "--help",
            "--version",
            "--skip-deps",
            "--viewer",
            "--quiet",
            "--verbose",
            "--jobs",
            "--result-NAME",
        ];
        assert!(
            readme.contains(option) || silent.contains(&option),
            "README does not name {option}"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A clone of tdrun whose `target` can be written to, and beside it the two libraries that the README writes.
fn newcomers_home(readme: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let clone = home.path().join("tdrun");
    fs::create_dir_all(clone.join("target/debug")).unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" {
            symlink(entry.path(), clone.join(entry.file_name())).unwrap();
        }
    }
    let examples = Path::new(env!("CARGO_BIN_EXE_tdrun")).with_file_name("examples");
    symlink(examples, clone.join("target/debug/examples")).unwrap();
    for (language, file) in [
        ("toml", "shop/Cargo.toml"),
        ("rust", "shop/src/lib.rs"),
        ("c", "disk/disk.c"),
    ] {
        let blocks = blocks(readme, language);
        assert_eq!(blocks.len(), 1, "one block in {language}");
        fs::create_dir_all(home.path().join(file).parent().unwrap()).unwrap();
        fs::write(home.path().join(file), blocks[0].join("\n") + "\n").unwrap();
    }
    home
}

/// The lines of all blocks in a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == opening {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect());
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| *line == "```");
        }
    }
    blocks
}

fn steps(block: Vec<&str>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step {
                command: command.into(),
                expected: Vec::new(),
            }),
            (None, Some(step)) => step.expected.push(line.into()),
            (None, None) => panic!("output without a command: {line}"),
        }
    }
    steps
}

fn check(folder: &Path, step: &Step) {
    let bin = Path::new(env!("CARGO_BIN_EXE_tdrun")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {}; }} 2>&1", step.command)])
        .current_dir(folder)
        .env("PATH", path)
        // All that the library of the README needs has been fetched for tdrun's own tests.
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    if step.command.starts_with("cargo ") {
        assert!(output.status.success(), "{}\n{shown}", step.command);
        return;
    }
    let shown: Vec<_> = shown.lines().map(String::from).collect();
    assert_eq!(
        normal(&shown),
        normal(&step.expected),
        "$ {}\n{}",
        step.command,
        shown.join("\n")
    );
}

/// Without threads, times, percentages and process numbers, and sorted.
fn normal(lines: &[String]) -> Vec<String> {
    let digits_after = |line: &str, mark: &str| -> String {
        let mut pieces = line.split(mark);
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            out += mark;
            out += piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
        }
        out
    };
    let mut lines: Vec<_> = lines
        .iter()
        .map(|line| {
            [
                "[thread_",
                "ED [",
                "skipped in ",
                "flaky in ",
                "leaky in ",
                "crashed in ",
                "not run in ",
                "running: ",
                "_ms\":",
            ]
            .iter()
            .fold(line.clone(), |line, mark| digits_after(&line, mark))
        })
        .collect();
    lines.sort();
    lines
}
