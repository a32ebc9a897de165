//! A failure stops only what depends on it: `sterilize_instruments_D` fails on purpose, so `perform_surgery_F` is skipped
//! with the chain of causes, while `equipment_safety_checks_E`, which needs only the room, still runs.
//!
//! ```text
//! cargo build --example surgery
//! tdrun target/debug/examples/libsurgery.so            six tasks, in parallel where they can; exits 1
//! tdrun target/debug/examples/libsurgery.so --graph    who waits for whom
//! tdrun target/debug/examples/libsurgery.so --fast=1   without the waiting
//! ```
#![allow(
    non_snake_case,
    reason = "the letters are those of the plan on the wall"
)]

use std::thread::sleep;
use std::time::Duration;

use task_abi::{Result, State, bail, task};

/// Reads the patient's history and takes the vital signs.
#[task(tags = ["patient"])]
fn pre_op_assessment_A(state: &State) -> Result<&'static str> {
    take(1.0, state)?;
    Ok("fit for surgery")
}

/// Finds a surgeon, an anaesthetist and two nurses.
#[task(after = [pre_op_assessment_A], tags = ["staff"])]
fn assign_surgical_staff_B(state: &State) -> Result<[&'static str; 2]> {
    take(0.5, state)?;
    Ok(["Dr. Okafor", "Dr. Lindqvist"])
}

/// Cleans the room and sets up the table.
#[task(after = [pre_op_assessment_A], tags = ["room"])]
fn prepare_operating_room_C(state: &State) -> Result {
    take(1.5, state)
}

/// Runs the autoclave; it does not reach its temperature today.
#[task(after = [prepare_operating_room_C], tags = ["room"])]
fn sterilize_instruments_D(state: &State) -> Result {
    take(2.0, state)?;
    log::info!("cycle 1 of the autoclave is done");
    let (reached, wanted) = (127, 134);
    if reached < wanted {
        bail!(
            "the autoclave reached {reached} °C, and {wanted} °C are needed: instruments are not sterile"
        );
    }
    Ok(())
}

/// Tests monitors, ventilator and lights.
#[task(after = [prepare_operating_room_C], tags = ["room"])]
fn equipment_safety_checks_E(state: &State) -> Result {
    take(1.0, state)
}

/// Needs its staff and sterile instruments, so it never begins.
#[task(after = [assign_surgical_staff_B, sterilize_instruments_D], tags = ["patient"])]
fn perform_surgery_F(state: &State) -> Result {
    take(2.5, state)
}

/// Takes its time, unless `--fast=1` is given.
fn take(seconds: f64, state: &State) -> Result {
    if state.get::<String>("fast")?.is_none() {
        sleep(Duration::from_secs_f64(seconds));
    }
    Ok(())
}
