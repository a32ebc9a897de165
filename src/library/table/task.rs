//! One task of a table: all its fields but the parameters and the command.
//!
//! Knows nothing of other tasks.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use task_abi::raw;

use super::super::call;
use super::super::fault::{Checked, Fault};
use super::reader::{self, Reader};
use super::{DOC_MAX, FILE_MAX, Files, Names, command, params};
use crate::task::{
    Action, Arguments, Condition, Declared, LibraryId, Lock, Options, Pattern, Task, Template, name,
};

/// Bytes of `library::task`.
const QUALIFIED_MAX: usize = 2 * name::NAME_MAX + 2;

/// What a row of the table comes to.
pub(super) enum Read<'a> {
    /// A function of that name, with its options; all else can be asked for where it stands.
    Function(&'a str, Option<Options>),
    /// Anything else; a template where the name has parameters.
    Declared(Box<Declared>),
}

/// Checks all of it, and copies what does not stay in the table.
pub(super) fn read<'a>(
    reader: Reader<'a>,
    raw: &raw::Task,
    library: LibraryId,
    files: &mut Files<'a>,
) -> Checked<Read<'a>> {
    let (name, pattern) = read_name(reader, raw)?;
    reader::check_flags(raw.flags, raw::TASK_EXCLUSIVE)?;
    let parameters = params::read(reader, raw, pattern.as_ref())?;
    let file = reader.text(raw.file, format_args!("file"), FILE_MAX)?;
    if pattern.is_none() && raw.kind == raw::KIND_FUNCTION {
        reader.check_list(raw.after, raw.after_count, "after", QUALIFIED_MAX, is_empty)?;
        reader.check_list(
            raw.tags,
            raw.tag_count,
            "tags",
            name::NAME_MAX,
            name::broken_rule,
        )?;
        reader.text(raw.doc, format_args!("doc"), DOC_MAX)?;
        check_function(reader, raw)?;
        return Ok(Read::Function(name, options(reader, raw, None)?));
    }
    let task = Task {
        name: name.into(),
        library,
        after: names(reader, raw.after, raw.after_count, "after")?,
        tags: tags(reader, raw, pattern.as_ref())?,
        doc: reader.text(raw.doc, format_args!("doc"), DOC_MAX)?.into(),
        place: files.place(file, raw.line),
        action: action(reader, raw)?,
        options: options(reader, raw, pattern.as_ref())?.map(Arc::new),
        arguments: Arguments::default(),
        is_program: raw.kind == raw::KIND_COMMAND,
    };
    Ok(Read::Declared(Box::new(match pattern {
        None => task.into(),
        Some(pattern) => Template::new(task, pattern, parameters).into(),
    })))
}

/// The name, and where it has parameters, its pattern.
fn read_name<'a>(reader: Reader<'a>, raw: &raw::Task) -> Checked<(&'a str, Option<Pattern>)> {
    let name = reader.text(raw.name, format_args!("name"), name::NAME_MAX)?;
    let broken = |rule: &str| Fault::new("abi.name", format!("`name` {rule}"));
    if let Some(rule) = name::broken_task_rule(name) {
        return Err(broken(&rule));
    }
    if !name.contains(['[', ']']) {
        return Ok((name, None));
    }
    let pattern = Pattern::parse(name).map_err(|malformed| broken(malformed.as_str()))?;
    Ok((name, Some(pattern)))
}

fn action(reader: Reader<'_>, raw: &raw::Task) -> Checked<Action> {
    match raw.kind {
        raw::KIND_FUNCTION => function(reader, raw),
        raw::KIND_COMMAND => Ok(crate::command::action(command::read(reader, raw)?)),
        kind => Err(reader::unknown(format_args!("is of kind {kind}"))),
    }
}

fn function(reader: Reader<'_>, raw: &raw::Task) -> Checked<Action> {
    let run = check_function(reader, raw)?;
    // SAFETY: the caller of `table::read` promises that code at this address is a task.
    Ok(unsafe { call::action(run, raw.user) })
}

fn check_function(reader: Reader<'_>, raw: &raw::Task) -> Checked<raw::RunFn> {
    if !raw.command.is_null() {
        return Err(command::fault("has a `command`, but is not of its kind"));
    }
    let Some(run) = raw.run else {
        return Err(Fault::new("abi.pointer", "`run` is null"));
    };
    reader.check_function(run as usize, format_args!("run"))?;
    Ok(run)
}

fn names(reader: Reader<'_>, list: *const raw::Str, count: usize, field: &str) -> Checked<Names> {
    reader.list(list, count, field, QUALIFIED_MAX, is_empty)
}

fn is_empty(name: &str) -> Option<String> {
    name.is_empty().then(|| "is empty".to_owned())
}

/// Tags of a template may have its parameters, as its name has.
fn tags(reader: Reader<'_>, raw: &raw::Task, pattern: Option<&Pattern>) -> Checked<Names> {
    let parameters = pattern.into_iter().flat_map(Pattern::parameters);
    let values = parameters.map(|name| (name.into(), "x".into()));
    let arguments = Arguments::new(values.collect());
    let rule = |tag: &str| name::broken_rule(&arguments.fill(tag));
    reader.list(raw.tags, raw.tag_count, "tags", name::NAME_MAX, rule)
}

/// It has none of what stands in [`Options`], as nearly all tasks.
fn has_no_options(raw: &raw::Task) -> bool {
    raw.flags & (raw::TASK_EXCLUSIVE | raw::TASK_RETRY_TIMEOUT | raw::TASK_ISOLATE) == 0
        && [raw.before_count, raw.then_count, raw.lock_count] == [0; 3]
        && [raw.wave, raw.condition, raw.retries] == [0, raw::AFTER_PASSED, 0]
        && raw.priority == 0
        && [raw.retry_delay_ms, raw.timeout_ms] == [0; 2]
}

/// None where nothing is declared.
fn options(
    reader: Reader<'_>,
    raw: &raw::Task,
    pattern: Option<&Pattern>,
) -> Checked<Option<Options>> {
    if has_no_options(raw) {
        return Ok(None);
    }
    let timeout = Duration::from_millis(raw.timeout_ms);
    let options = Options {
        before: names(reader, raw.before, raw.before_count, "before")?,
        then: names(reader, raw.then, raw.then_count, "then")?,
        wave: not_negative(raw.wave, "wave")?,
        locks: locks(reader, raw, pattern)?,
        condition: condition(raw.condition)?,
        priority: raw.priority,
        exclusive: raw.flags & raw::TASK_EXCLUSIVE != 0,
        retries: not_negative(raw.retries, "retries")?,
        retry_timeouts: raw.flags & raw::TASK_RETRY_TIMEOUT != 0,
        retry_delay: Duration::from_millis(raw.retry_delay_ms),
        timeout: (!timeout.is_zero()).then_some(timeout),
        isolate: raw.flags & raw::TASK_ISOLATE != 0,
    };
    Ok((options != Options::default()).then_some(options))
}

/// What was meant to be below zero is not taken for a large number.
fn not_negative(number: u32, field: &str) -> Checked<u32> {
    const MOST: u32 = i32::MAX.cast_unsigned();
    if number <= MOST {
        return Ok(number);
    }
    let clause = format!("`{field}` is {number}, the limit is {MOST}");
    Err(Fault::new("abi.limit", clause).hint("it cannot be below zero"))
}

/// Locks of a template may have its parameters. Other brackets would make one lock of what was meant to be many.
fn locks(reader: Reader<'_>, raw: &raw::Task, pattern: Option<&Pattern>) -> Checked<Box<[Lock]>> {
    let is_own = |name: &str| {
        let mut parameters = pattern.into_iter().flat_map(Pattern::parameters);
        parameters.any(|parameter| parameter == name)
    };
    let rule = |text: &str| {
        let mut brackets = text.split('[').skip(1).filter_map(|t| t.split_once(']'));
        if let Some((unknown, _)) = brackets.find(|(name, _)| !is_own(name)) {
            return Some(format!(
                "has `[{unknown}]`, which is no parameter of the name"
            ));
        }
        let lock = Lock::parse(text);
        lock.name.is_empty().then(|| "names no lock".to_owned())
    };
    let names = reader.list(raw.locks, raw.lock_count, "locks", name::NAME_MAX, rule)?;
    Ok(Lock::set(
        names.iter().map(|name| Lock::parse(name)).collect(),
    ))
}

fn condition(condition: u32) -> Checked<Condition> {
    match condition {
        raw::AFTER_PASSED => Ok(Condition::AfterPassed),
        raw::NO_FAILURES => Ok(Condition::NoFailures),
        raw::ALWAYS => Ok(Condition::Always),
        other => Err(reader::unknown(format_args!("has condition {other}"))),
    }
}
