#![allow(unused)]

use task_abi::{setup, task, teardown};

#[task]
unsafe fn not_safe() {}

#[task]
fn generic<T>() {}

#[task]
fn generic_number<const N: usize>() {}

#[task]
struct NoFunction;

#[setup]
mod no_function {}

#[setup(name = "x")]
fn setup_with_arguments() {}

#[setup]
fn setup_with_result(load: u8) {}

#[teardown]
fn teardown_with_result(load: u8) {}

fn main() {}
