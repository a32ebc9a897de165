//! What tasks share: results along the dependencies, and a state that all of them may change.
//!
//! `load`, `behave` and `compute` run at the same time; each counts itself in the state, under a lock. `check` runs after
//! all of them and looks at what they left: the results `loaded`, `behaved` and `15`, and a counter of 3.
//!
//! ```text
//! cargo build --example shared_state
//! tdrun target/debug/examples/libshared_state.so
//! tdrun target/debug/examples/libshared_state.so --x=20     compute says 20, and check is told
//! ```

use std::thread::sleep;
use std::time::Duration;

use task_abi::{Context, Result, State, setup, task};

/// Values of the command line are there already; what is missing gets its default here.
#[setup]
fn defaults(state: &State) -> Result {
    state.set("counter", 0)?;
    state.swap("x", None, Some(&15))?;
    Ok(())
}

/// Pretends to load something.
#[task]
fn load(ctx: &Context) -> Result<&'static str> {
    count(ctx)?;
    Ok("loaded")
}

/// Pretends to do something with it.
#[task]
fn behave(ctx: &Context) -> Result<&'static str> {
    count(ctx)?;
    Ok("behaved")
}

/// Hands out the `x` of the state.
#[task]
fn compute(ctx: &Context, #[state] x: u32) -> Result<u32> {
    count(ctx)?;
    Ok(x)
}

/// Reads the results of the three by name, and the state by key.
#[task]
fn check(load: String, behave: String, compute: u32, #[state] x: u32, #[state] counter: u32) {
    assert_eq!((load.as_str(), behave.as_str()), ("loaded", "behaved"));
    assert_eq!(compute, x);
    assert_eq!(counter, 3);
}

/// Adds one to the counter. The lock makes one step of reading and writing; without it, two tasks could read the same
/// number. (For a single key, `state.update` does the same without a lock.)
fn count(ctx: &Context) -> Result {
    let state = ctx.state();
    let _held = ctx.lock("counter")?;
    let counter: u32 = state.get("counter")?.unwrap_or(0);
    if state.get::<String>("fast")?.is_none() {
        sleep(Duration::from_millis(100));
    }
    state.set("counter", counter + 1)?;
    Ok(())
}
