//! The parameters of a template: which values they may have, and who says so.
//!
//! Knows nothing of names that somebody asks for.
#![allow(unsafe_code)]

use std::collections::HashSet;
use std::sync::Arc;

use task_abi::raw;

use super::super::ask;
use super::super::fault::{Checked, Fault};
use super::reader::{self, Array, LIST_MAX, Reader};
use crate::task::{Check, Parameter, Pattern, Template, name};

/// The parameters of a name, in its order. Those that the task says nothing about take any text. None without a pattern.
pub(super) fn read(
    reader: Reader<'_>,
    task: &raw::Task,
    pattern: Option<&Pattern>,
) -> Checked<Box<[Parameter]>> {
    let parameters = || pattern.into_iter().flat_map(Pattern::parameters);
    let mut declared: Vec<Parameter> = Vec::new();
    let array = array(reader, task)?;
    for index in 0..task.param_count {
        let what = format!("the `size` of `params[{index}]`");
        // SAFETY: the array has been checked, and its elements are such structs.
        let raw: raw::Param = unsafe { array.element(index, raw::PARAM_SIZE_MIN, &what)? };
        let field = format!("params[{index}]");
        let name = reader.text(raw.name, format_args!("{field}.name"), name::NAME_MAX)?;
        if !parameters().any(|known| known == name) {
            let clause = format!("`{field}` is `{name}`, which is no parameter of the name");
            return Err(Fault::new("abi.param", clause));
        }
        if declared.iter().any(|other| *other.name == *name) {
            let clause = format!("`params` has `{name}` twice");
            return Err(Fault::new("abi.param", clause));
        }
        declared.push(parameter(reader, &raw, &field, name)?);
    }
    let of_name = |name: &str| {
        let at = declared.iter().position(|other| *other.name == *name);
        at.map_or_else(|| any(name), |at| declared.swap_remove(at))
    };
    Ok(parameters().map(of_name).collect())
}

/// One that takes all that can be part of a name.
fn any(name: &str) -> Parameter {
    Parameter {
        check: Some(Arc::new(is_part_of_name)),
        ..Parameter::text(name)
    }
}

fn array(reader: Reader<'_>, task: &raw::Task) -> Checked<Array> {
    let array = Array {
        first: task.params.cast(),
        stride: task.param_stride as usize,
        count: task.param_count,
    };
    if array.count > 0 {
        reader::check_count(array.count, "params")?;
        let least = raw::PARAM_SIZE_MIN;
        reader::check_size(array.stride, least, reader::STRUCT_MAX, "`param_stride`")?;
        reader.check_array(array, least, "params")?;
    }
    Ok(array)
}

fn parameter(reader: Reader<'_>, raw: &raw::Param, field: &str, name: &str) -> Checked<Parameter> {
    let (wants, of_kind) = kind(raw.kind)
        .ok_or_else(|| reader::unknown(format_args!("`{field}` is of kind {}", raw.kind)))?;
    let type_name = format_args!("{field}.type_name");
    let type_name = reader.text(raw.type_name, type_name, name::NAME_MAX)?;
    let own = match raw.check {
        Some(check) => {
            reader.check_function(check as usize, format_args!("{field}.check"))?;
            // SAFETY: the caller of `table::read` promises that code at this address is a check.
            Some(unsafe { ask::check(check, raw.user) })
        }
        None => None,
    };
    let check = [of_kind, own]
        .into_iter()
        .flatten()
        .fold(Arc::new(is_part_of_name) as Check, |first, second| {
            Arc::new(move |text| first(text).and_then(|()| second(text)))
        });
    Ok(Parameter {
        name: name.into(),
        choices: choices(reader, raw, field, name, &check)?,
        wants: if type_name.is_empty() {
            wants
        } else {
            type_name
        }
        .into(),
        check: Some(check),
    })
}

/// What the values of a kind are, in words, and how to tell.
fn kind(kind: u32) -> Option<(&'static str, Option<Check>)> {
    Some(match kind {
        raw::PARAM_TEXT => ("", None),
        raw::PARAM_INT => ("a whole number", Some(Arc::new(is_int))),
        raw::PARAM_FLOAT => ("a number", Some(Arc::new(is_float))),
        raw::PARAM_BOOL => ("`true` or `false`", Some(Arc::new(is_bool))),
        _ => return None,
    })
}

fn is_int(text: &str) -> Result<(), Box<str>> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    match text.parse::<i64>().map_err(|error| *error.kind()) {
        Ok(_) => Ok(()),
        Err(PosOverflow | NegOverflow) => Err("it does not fit into 64 bits".into()),
        Err(_) => Err("it is no whole number".into()),
    }
}

fn is_float(text: &str) -> Result<(), Box<str>> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        Ok(_) => Err("it is no finite number".into()),
        Err(_) => Err("it is no number".into()),
    }
}

fn is_bool(text: &str) -> Result<(), Box<str>> {
    match text {
        "true" | "false" => Ok(()),
        _ => Err("it is neither `true` nor `false`".into()),
    }
}

/// A task whose name breaks the rules is not made, wherever somebody names it.
fn is_part_of_name(text: &str) -> Result<(), Box<str>> {
    let limit = name::NAME_MAX;
    match name::broken_value_rule(text) {
        Some(rule) => Err(format!("it {rule}").into()),
        None if text.len() > limit => {
            Err(format!("it has {} bytes, the limit is {limit}", text.len()).into())
        }
        None => Ok(()),
    }
}

/// All choices, each fit to be part of a name.
fn choices(
    reader: Reader<'_>,
    raw: &raw::Param,
    field: &str,
    parameter: &str,
    check: &Check,
) -> Checked<Option<Box<[Box<str>]>>> {
    if raw.choice_count == 0 && raw.choose.is_none() {
        return Ok(None);
    }
    let mut choices: Vec<Box<str>> = Vec::new();
    let list = format!("{field}.choices");
    let (first, count) = (raw.choices, raw.choice_count);
    reader.each(first, count, &list, name::NAME_MAX, |_, choice| {
        choices.push(choice.into());
        Ok(())
    })?;
    if let Some(choose) = raw.choose {
        reader.check_function(choose as usize, format_args!("{field}.choose"))?;
        // SAFETY: the caller of `table::read` promises that code at this address is such a function.
        let chosen = unsafe { ask::choices(choose, raw.user, LIST_MAX) };
        choices
            .extend(chosen.map_err(|why| {
                fault(format!("cannot find the choices of `{parameter}`: {why}"))
            })?);
    }
    let mut seen = HashSet::with_capacity(choices.len());
    for choice in &choices {
        check_choice(parameter, choice, check).map_err(fault)?;
        if !seen.insert(choice) {
            return Err(fault(format!(
                "`{parameter}` has the choice `{choice}` twice"
            )));
        }
    }
    Ok(Some(choices.into()))
}

fn check_choice(parameter: &str, choice: &str, check: &Check) -> Result<(), String> {
    if choice.is_empty() {
        return Err(format!("`{parameter}` has an empty choice"));
    }
    check(choice)
        .map_err(|why| format!("the choice `{choice}` of `{parameter}` does not fit: {why}"))
}

fn fault(clause: String) -> Fault {
    Fault::new("load.choices", clause)
}

/// How many tasks the choices of a template make, at most `usize::MAX`; none where a parameter has no choices. The names
/// of all of them are as names have to be.
pub(super) fn count_instances(template: &Template) -> Checked<usize> {
    check_begin(template)?;
    let mut count = 1_usize;
    let mut longest = template.task.name.len();
    for parameter in &template.parameters {
        let Some(choices) = &parameter.choices else {
            return Ok(0);
        };
        count = count.saturating_mul(choices.len());
        let value = choices.iter().map(|choice| choice.len()).max().unwrap_or(0);
        // The brackets go.
        longest = longest + value - (parameter.name.len() + 2);
    }
    if count > 0 && longest > name::NAME_MAX {
        let limit = name::NAME_MAX;
        let clause = format!("its choices make a name of {longest} bytes, the limit is {limit}");
        return Err(Fault::new("abi.limit", clause));
    }
    Ok(count)
}

/// A choice at the begin of the name must not make it look like an option.
fn check_begin(template: &Template) -> Checked<()> {
    if !template.task.name.starts_with('[') {
        return Ok(());
    }
    let first = &template.parameters[0];
    let mut choices = first.choices.iter().flatten();
    match choices.find(|choice| choice.starts_with(['-', '!'])) {
        Some(choice) => Err(fault(format!(
            "the choice `{choice}` of `{}` makes a name that begins with `{}`",
            first.name,
            &choice[..1]
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_takes_its_values_and_no_others() {
        for (number, text, why) in [
            (raw::PARAM_INT, "-12", ""),
            (raw::PARAM_INT, "9223372036854775807", ""),
            (
                raw::PARAM_INT,
                "9223372036854775808",
                "it does not fit into 64 bits",
            ),
            (raw::PARAM_INT, "1.5", "it is no whole number"),
            (raw::PARAM_INT, " 1", "it is no whole number"),
            (raw::PARAM_FLOAT, "1e3", ""),
            (raw::PARAM_FLOAT, "1e999", "it is no finite number"),
            (raw::PARAM_FLOAT, "nan", "it is no finite number"),
            (raw::PARAM_FLOAT, "x", "it is no number"),
            (raw::PARAM_BOOL, "true", ""),
            (raw::PARAM_BOOL, "True", "it is neither `true` nor `false`"),
        ] {
            let (_, check) = kind(number).expect("known");
            let said = check.expect("one")(text);
            assert_eq!(said.err().as_deref().unwrap_or(""), why, "{text}");
        }
    }
}
