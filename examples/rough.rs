//! What native code may do to the process that it runs in. With `--isolate` each task has one of its own, and only that one
//! suffers; in threads, all that run at that moment. Four of them do not pass, so it exits 1.
//!
//! ```text
//! cargo build --example rough
//! tdrun target/debug/examples/librough.so --isolate --grace=1s
//! tdrun target/debug/examples/librough.so --isolate --show-output=all
//! tdrun target/debug/examples/librough.so::moves             it asks for a process itself
//! tdrun target/debug/examples/librough.so -j1                one after the other; each crash costs one task
//! tdrun target/debug/examples/librough.so --broken=setup     setup crashes, and no task runs
//! ```

#![allow(
    clippy::disallowed_macros,
    reason = "what a task prints is what this is about"
)]

use std::process::{Command, abort, exit, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use task_abi::{Result, State, setup, task};

/// What is in memory is not shared with tasks in processes of their own,
static CALLS: AtomicU32 = AtomicU32::new(0);

#[setup]
fn prepare(state: &State) -> Result {
    if state.get::<String>("broken")?.as_deref() == Some("setup") {
        abort();
    }
    CALLS.store(7, Ordering::Relaxed);
    // what is in the state is.
    Ok(state.set("calls", 7)?)
}

/// Passes, and tells what it saw.
#[task]
fn looks(#[state] calls: u32) -> u32 {
    println!(
        "in memory {}, in the state {calls}",
        CALLS.load(Ordering::Relaxed)
    );
    calls
}

/// Ends its process by a signal, as a segfault does.
#[task]
fn aborts() {
    println!("giving up");
    eprintln!("no way out");
    abort();
}

/// Ends its process with status 0: that is not how a task passes.
#[task]
fn exits() {
    exit(0);
}

/// Is killed, as by a system that is out of memory: it cannot say a last word, and who runs beside it cannot either.
#[task]
fn vanishes() -> Result {
    sleep(Duration::from_millis(100));
    Command::new("kill")
        .args(["-KILL", &id().to_string()])
        .status()?;
    Ok(())
}

/// Takes a while.
#[task]
fn bakes() {
    sleep(Duration::from_millis(300));
}

/// Never ends, and does not ask whether it should: its process is ended `--grace` after its time, with all that it started.
#[task(timeout = "200ms")]
fn hangs() {
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// Passes, and leaves a program running: it is leaky.
#[task]
#[allow(clippy::zombie_processes, reason = "that is the point")]
fn leaves() -> Result {
    Command::new("sleep").arg("60").spawn()?;
    Ok(())
}

/// Changes what belongs to the whole process, so it asks for one of its own.
#[task(isolate)]
fn moves() -> Result {
    Ok(std::env::set_current_dir("/")?)
}
