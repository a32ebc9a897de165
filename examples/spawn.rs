//! Tasks from inside of a task: the graph grows while it runs. `total` starts the halves of a range, these start theirs, down to
//! single numbers; the results are summed on the way back. A waiting task gives up its place, so one worker is enough.
//!
//! ```text
//! cargo build --example spawn
//! tdrun target/debug/examples/libspawn.so                   `total` and `growth`, and all that they start
//! tdrun target/debug/examples/libspawn.so::sum::0::100      a template by name
//! tdrun target/debug/examples/libspawn.so::fib::30 -j1
//! tdrun target/debug/examples/libspawn.so::sum::0::x        refused: `x` is no `u64`
//! ```

use task_abi::{Context, Result, bail, task};

/// The sum of the numbers from one to another, which is not one of them.
///
/// Its parameters have no choices, so a task of it is there only for those who name it.
#[task(name = "sum::[from]::[to]")]
fn sum(from: u64, to: u64, ctx: &Context) -> Result<u64> {
    match to.checked_sub(from) {
        None => bail!("a range from {from} to {to} runs backwards"),
        Some(0) => return Ok(0),
        Some(1) => return Ok(from),
        Some(_) => {}
    }
    let middle = from.midpoint(to);
    // Both are started before one is waited for, so they run at the same time.
    let left = ctx.start(&format!("sum::{from}::{middle}"))?;
    let right = ctx.start(&format!("sum::{middle}::{to}"))?;
    Ok(left.wait::<u64>()? + right.wait::<u64>()?)
}

/// The same task is run once, however many ask for it: `fib::8` is waited for by `fib::9` and `fib::10`.
#[task(name = "fib::[n]")]
fn fib(n: u64, ctx: &Context) -> Result<u64> {
    if n < 2 {
        return Ok(n);
    }
    let before: u64 = ctx.run(&format!("fib::{}", n - 1))?;
    let before_that: u64 = ctx.run(&format!("fib::{}", n - 2))?;
    Ok(before + before_that)
}

#[task]
fn total(ctx: &Context) -> Result<u64> {
    let parts: Vec<_> = [(0, 4), (4, 8), (8, 16)]
        .map(|(from, to)| ctx.start(&format!("sum::{from}::{to}")))
        .into_iter()
        .collect::<Result<_, _>>()?;
    let mut total = 0;
    for (done, part) in parts.iter().enumerate() {
        ctx.progress_with(done as u64, parts.len() as u64, part.name());
        total += part.wait::<u64>()?;
    }
    assert_eq!(total, (0..16).sum::<u64>());
    log::info!("the numbers below 16 are {total} together");
    Ok(total)
}

/// One that skipped itself has no result: an error for the task that waits, which may go on without.
#[task]
fn growth(ctx: &Context) -> Result<u64> {
    let error = ctx.run::<u64>("shrink::1").unwrap_err();
    log::info!("{error}");
    Ok(ctx.run::<u64>("fib::10")? - ctx.run::<u64>("fib::9")?)
}

/// Skips what it cannot do, so it returns nothing.
#[task(name = "shrink::[n]")]
fn shrink() {
    task_abi::skip("nothing shrinks here");
}
