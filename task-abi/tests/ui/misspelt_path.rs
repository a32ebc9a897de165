#![allow(unused)]

use task_abi::task;

#[task]
fn fetch_user() {}

#[task(after = [fetch_usr])]
fn email_user() {}

fn main() {}
