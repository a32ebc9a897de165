#![allow(unused)]

use task_abi::{Context, State, task};

#[task]
fn borrowed_str(name: &str) {}

#[task]
fn borrowed_slice(names: &[String]) {}

#[task]
fn borrowed_value(user: &Vec<u8>) {}

#[task]
fn mutable_context(ctx: &mut Context) {}

#[task]
fn owned_context(ctx: Context) {}

#[task]
fn owned_state(state: task_abi::State) {}

#[task]
fn pattern((a, b): (u8, u8)) {}

#[task]
fn nameless(_: u8) {}

#[task]
fn unused(_load: u8) {}

#[task]
fn opaque(user: impl Sized) {}

#[task]
fn own_result(own_result: u8) {}

#[task]
fn state_of_state(#[state] state: &State) {}

#[task]
fn reserved_key(#[state] _env: String) {}

#[task]
fn reserved_results(#[state("results")] all: String) {}

#[task]
fn key_without_quotes(#[state(env)] env: String) {}

#[task]
fn key_after_sign(#[state = "env"] env: String) {}

fn main() {}
