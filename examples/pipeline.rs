//! Programs and functions in one graph: a command makes the orders, a task reads them and writes a file, a command counts its
//! lines, a task checks the count. Whatever happens, the last command tidies up.
//!
//! ```text
//! cargo build --example pipeline
//! tdrun target/debug/examples/libpipeline.so            everything, in a folder below this one
//! tdrun target/debug/examples/libpipeline.so --graph
//! tdrun target/debug/examples/libpipeline.so::orders    a command alone
//! ```

use std::fmt::Write as _;
use std::fs;

use task_abi::{CommandResult, Result, Tasks, bail, command, register, task};

/// Below where tdrun was started, for functions and commands alike.
const FOLDER: &str = "pipeline.tmp";

command! {
    /// Arguments are handed over as they are, no shell is between.
    name = "orders",
    run = ["printf", "%s %d\n", "apples", "3", "pears", "5", "figs", "12"],
    env(LC_ALL = "C"),
    timeout = "10s",
}

command! { name = "folder", run = ["mkdir", "-p", "pipeline.tmp"] }

/// Takes the result of the command of that name, with its output, and comes after it.
#[task(after = ["folder"])]
fn invoice(orders: CommandResult) -> Result<u32> {
    let mut text = String::new();
    let mut total = 0;
    for line in orders.stdout.lines() {
        let Some((what, count)) = line.split_once(' ') else {
            bail!("`{line}` is no order");
        };
        let count: u32 = count.parse()?;
        writeln!(text, "{count:>4} {what}")?;
        total += count;
    }
    fs::write(format!("{FOLDER}/invoice.txt"), text)?;
    Ok(total)
}

command! {
    name = "count",
    shell = "wc -l < invoice.txt",
    cwd = "pipeline.tmp",
    after = [invoice],
}

#[task]
fn check(invoice: u32, count: CommandResult) -> Result {
    let lines: u32 = count.stdout.trim().parse()?;
    assert_eq!((invoice, lines), (20, 3));
    Ok(())
}

command! {
    /// Its status is an answer, not a failure: 1, since no line has plums.
    name = "plums",
    shell = "while read -r count what; do test \"$what\" = plums && exit 0; done < invoice.txt; exit 1",
    cwd = "pipeline.tmp",
    after = [invoice],
    check = false,
}

/// Nobody has ordered plums.
#[task]
fn no_plums(plums: CommandResult) {
    assert_eq!(plums.returncode, 1, "{}", plums.stderr);
}

command! {
    /// Status 77 skips the task.
    name = "print",
    shell = "test -n \"$PRINTER\" || exit 77; cat invoice.txt",
    cwd = "pipeline.tmp",
    after = [invoice],
}

/// Commands by code, where what they run has to be computed.
#[register]
fn tidy_up(tasks: &mut Tasks) {
    tasks
        .command("tidy_up", ["rm", "-r", FOLDER])
        .doc("Runs however the others have ended.")
        .after(["count", "plums", "print"])
        .always();
}
