#![allow(unused)]

use task_abi::task;

#[task(name = "build::[env")]
fn open_bracket() {}

#[task(name = "build::env]")]
fn close_bracket() {}

#[task(name = "build::[]")]
fn empty_brackets() {}

#[task(name = "build::[my env]")]
fn space_in_brackets() {}

#[task(name = "[os][arch]")]
fn two_in_a_part() {}

#[task(name = "[os]::[os]")]
fn one_twice() {}

#[task(name = "build::[env]", choices(arch = ["arm"]))]
fn choices_of_another() {}

#[task(choices(env = ["dev"]))]
fn choices_without_a_name() {}

#[task(name = "build", choices(env = ["dev"]))]
fn choices_without_brackets() {}

#[task(name = "build::[env]", choices = ["dev"])]
fn choices_of_nothing() {}

#[task(name = "build::[env]", choices(env))]
fn choices_without_values() {}

#[task(name = "build::[env]", choices(env = []))]
fn no_choices() {}

#[task(name = "build::[env]", choices(env = "dev"))]
fn a_single_choice() {}

#[task(name = "build::[env]", choices(env = ["dev", ""]))]
fn an_empty_choice() {}

#[task(name = "build::[n]", choices(n = [1, -2, "1"]))]
fn one_choice_twice() {}

#[task(name = "build::[env]", choices(env = ["a::b"]))]
fn a_choice_of_two_parts() {}

#[task(name = "build::[n]", choices(n = [1 + 1]))]
fn a_choice_to_compute() {}

#[task(name = "build::[env]", choices(env = ["dev"], env = ["prod"]))]
fn choices_twice() {}

#[task(name = "build::[env]", choices(env = number))]
fn choices_of_a_number() {}

fn number() -> u8 {
    3
}

#[task(name = "build::[env]", after = ["fetch::[arch]"], tags = ["[os]"], locks = ["db_[n]:r"])]
fn parameters_of_others() {}

#[task(after = ["fetch::[arch]"])]
fn a_parameter_without_a_name() {}

#[task(name = "build::[env]")]
fn a_parameter_that_is_no_value(env: Opaque) {}

struct Opaque;

#[task(name = "pack::[env]")]
fn a_result_of_another(#[result("build::[arch]")] built: String) {}

#[task]
fn results_of_several(#[result("build::*")] built: String) {}

#[task]
fn a_result_without_quotes(#[result(build)] built: String) {}

#[task]
fn a_result_and_a_key(#[state] #[result("build")] built: String) {}

#[task(name = "own::[env]")]
fn own_result_by_name(#[result("own::[env]")] own: String) {}

fn main() {}
