#![allow(unused)]

use task_abi::task;

#[task(timeout = "30")]
fn no_unit() {}

#[task(timeout = 30)]
fn no_string() {}

#[task(timeout = "30x")]
fn no_such_unit() {}

#[task(timeout = "0s")]
fn no_time() {}

#[task(retry_delay = "1us")]
fn no_milliseconds() {}

#[task(timeout)]
fn no_value() {}

#[task(no_failures, always)]
fn two_conditions() {}

#[task(exclusive = true)]
fn a_value_for_a_flag() {}

#[task(always("x"))]
fn a_group_for_a_flag() {}

#[task(wave = "1")]
fn text_for_a_number() {}

#[task(retries = -1)]
fn negative_retries() {}

#[task(locks = "db")]
fn locks_without_list() {}

#[task(locks = ["", ":r", "a=b"])]
fn odd_locks() {}

#[task(before = deploy, then = [3])]
fn odd_lists() {}

#[task(run = ["ls"])]
fn no_command() {}

fn main() {}
