#![allow(unused)]

use task_abi::{Context, Tasks, register};

#[register]
fn no_parameter() {}

#[register]
fn by_value(tasks: Tasks) {}

#[register]
fn shared(tasks: &Tasks) {}

#[register]
fn more(tasks: &mut Tasks, ctx: &Context) {}

#[register]
async fn asynchronous(tasks: &mut Tasks) {}

#[register(name = "x")]
fn arguments(tasks: &mut Tasks) {}

#[register]
fn a_value(tasks: &mut Tasks) -> u8 {
    3
}

struct Opaque;

#[register]
fn odd_closures(tasks: &mut Tasks) {
    tasks.add("opaque", |_: &Context| Opaque);
    tasks.add("mute", |_: &Context| Err::<u8, Opaque>(Opaque));
}

fn main() {}
