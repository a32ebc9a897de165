//! What does not pass at once: tasks that are tried again, that take too long, or that cannot run here. Two of them fail for
//! good, so it exits 1.
//!
//! ```text
//! cargo build --example flaky
//! tdrun target/debug/examples/libflaky.so                    `settles` and `slow_start` pass late: they are flaky
//! tdrun target/debug/examples/libflaky.so --retries=0        nothing is tried again, as the author has wanted it
//! tdrun target/debug/examples/libflaky.so --flaky=fail       flaky tasks fail the run
//! ```

use std::thread::sleep;
use std::time::Duration;

use task_abi::{Context, Result, bail, skip, task};

/// Fails once, and passes when it is tried again.
#[task(retries = 2, retry_delay = "10ms")]
fn settles(ctx: &Context) -> Result<u32> {
    if ctx.attempt() < 2 {
        bail!("the cache is still cold");
    }
    Ok(ctx.attempt())
}

/// Each attempt asks another server, and keeps its own error.
#[task(retries = 1, retry_delay = "10ms")]
fn never_settles(ctx: &Context) -> Result {
    bail!("server {} refuses the connection", ctx.attempt());
}

/// Depends on what failed for good, so it does not run.
#[task(after = [never_settles])]
fn waits_in_vain() {}

/// Takes longer than it may. It asks now and then whether it should stop, so its thread is free again at once.
#[task(timeout = "50ms")]
fn hangs(ctx: &Context) {
    until_cancelled(ctx);
}

/// A timeout is tried again only where the task says so: it may have been cut off in the middle of something.
#[task(timeout = "200ms", retries = 1, retry_timeouts)]
fn slow_start(ctx: &Context) {
    if ctx.attempt() == 1 {
        until_cancelled(ctx);
    }
}

/// Cannot run here, which is no failure.
#[task]
fn opens_a_window() {
    skip("needs a display");
}

/// So what comes after it runs.
#[task(after = [opens_a_window])]
fn closes_the_window() {}

fn until_cancelled(ctx: &Context) {
    while !ctx.cancelled() {
        sleep(Duration::from_millis(1));
    }
}
