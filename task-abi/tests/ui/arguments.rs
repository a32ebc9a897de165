#![allow(unused)]

use task_abi::task;

#[task(tag = ["io"])]
fn unknown_key_with_a_near_one() {}

#[task(colour = "red")]
fn unknown_key() {}

#[task(tags = ["a"], tags = ["b"])]
fn key_twice() {}

#[task(name)]
fn key_without_value() {}

#[task(name "x")]
fn key_without_sign() {}

#[task(name = "")]
fn empty_name() {}

#[task(name = "a,b")]
fn comma_in_name() {}

#[task(name = "a::")]
fn empty_part_in_name() {}

#[task(name = "build::*")]
fn glob_as_name() {}

#[task(tags = ["a::b"])]
fn colons_in_tag() {}

#[task(name = "-a")]
fn dash_before_name() {}

#[task(name = " a")]
fn space_before_name() {}

#[task(name = 5)]
fn number_as_name() {}

#[task(tags = "io")]
fn tags_without_list() {}

#[task(tags = [io, 5, ""])]
fn tags_that_are_no_strings() {}

#[task(after = empty_name)]
fn after_without_list() {}

#[task(after(empty_name, "other"))]
fn after_in_parentheses() {}

#[task(name("x"))]
fn name_in_parentheses() {}

#[task(colour("red"))]
fn unknown_key_in_parentheses() {}

#[task(after = [5, ""])]
fn after_that_are_no_tasks() {}

fn main() {}
