//! A task that is a program: what it runs, where, and in which environment.
//!
//! Whether there is such a program, and whether it can take such arguments, shows when it runs.
#![allow(unsafe_code)]

use task_abi::raw;

use super::super::fault::{Checked, Fault};
use super::FILE_MAX;
use super::reader::{self, Reader};
use crate::command::{Command, Program};

/// Bytes that an argument, a shell's text or a variable may have.
const ARGUMENT_MAX: usize = 1 << 20;

/// The name of a variable, and its value; none: it is taken away.
type Variable = (Box<str>, Option<Box<str>>);

/// The command of a task of that kind.
pub(super) fn read(reader: Reader<'_>, task: &raw::Task) -> Checked<Command> {
    if task.run.is_some() {
        return Err(fault("has a `run`, and a command has none"));
    }
    if task.command.is_null() {
        return Err(fault("has no `command`"));
    }
    // SAFETY: it is a struct of the ABI that begins with its size.
    let raw = unsafe { reader.one(task.command, raw::COMMAND_SIZE_MIN, "command")? };
    reader::check_flags(raw.flags, 0)?;
    let cwd = reader.text(raw.cwd, format_args!("command.cwd"), FILE_MAX)?;
    Ok(Command {
        program: program(reader, &raw)?,
        cwd: (!cwd.is_empty()).then(|| cwd.into()),
        env: env(reader, &raw)?,
        check: raw.flags & raw::COMMAND_UNCHECKED == 0,
    })
}

fn program(reader: Reader<'_>, raw: &raw::Command) -> Checked<Program> {
    let shell = reader.text(raw.shell, format_args!("command.shell"), ARGUMENT_MAX)?;
    match (raw.argc, shell) {
        (0, "") if raw.argv.is_null() => {
            Err(fault("has neither `command.argv` nor `command.shell`"))
        }
        (1.., shell) if !shell.is_empty() => {
            Err(fault("has both `command.argv` and `command.shell`"))
        }
        (_, "") => {
            let (list, count) = (raw.argv, raw.argc);
            let words = reader.list(list, count, "command.argv", ARGUMENT_MAX, |_| None)?;
            Ok(Program::Exec(words.into()))
        }
        (_, shell) => Ok(Program::Shell(shell.into())),
    }
}

/// `NAME=value` sets a variable, `NAME` takes it away.
fn env(reader: Reader<'_>, raw: &raw::Command) -> Checked<Vec<Variable>> {
    let mut variables = Vec::with_capacity(raw.env_count.min(reader::LIST_MAX));
    let (list, count) = (raw.env, raw.env_count);
    reader.each(list, count, "command.env", ARGUMENT_MAX, |index, text| {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (text, None),
        };
        if name.is_empty() {
            let clause = format!("`command.env[{index}]` names no variable");
            return Err(fault(&clause));
        }
        variables.push((name.into(), value));
        Ok(())
    })?;
    Ok(variables)
}

pub(super) fn fault(clause: &str) -> Fault {
    let fault = Fault::new("abi.command", clause);
    fault.hint("in C, TD_COMMAND writes it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::memory::Memory;

    fn read_raw(command: &raw::Command) -> Result<Command, String> {
        let task = raw::Task {
            kind: raw::KIND_COMMAND,
            command,
            ..raw::Task::EMPTY
        };
        let memory = Memory::now();
        let reader = Reader { memory: &memory };
        read(reader, &task).map_err(|fault| fault.of("task").to_string())
    }

    fn raw() -> raw::Command {
        raw::Command {
            size: u32::try_from(size_of::<raw::Command>()).expect("small"),
            reserved: 0,
            flags: 0,
            argv: std::ptr::null(),
            argc: 0,
            shell: raw::Str::EMPTY,
            cwd: raw::Str::EMPTY,
            env: std::ptr::null(),
            env_count: 0,
        }
    }

    #[test]
    fn a_program_is_read_with_all_that_belongs_to_it() {
        let argv = ["cc", "", "[file].c", "a\0b"].map(raw::Str::new);
        let env = ["A=1=2", "B=", "C"].map(raw::Str::new);
        let command = read_raw(&raw::Command {
            flags: raw::COMMAND_UNCHECKED,
            argv: argv.as_ptr(),
            argc: 4,
            cwd: raw::Str::new("src"),
            env: env.as_ptr(),
            env_count: 3,
            ..raw()
        })
        .expect("fine");
        let Program::Exec(words) = command.program else {
            panic!("a list is no shell");
        };
        assert_eq!(words, ["cc", "", "[file].c", "a\0b"].map(Box::from));
        assert_eq!(command.cwd.as_deref(), Some("src"));
        let variable = |name: &str, value: Option<&str>| (name.into(), value.map(Into::into));
        assert_eq!(
            command.env,
            [
                variable("A", Some("1=2")),
                variable("B", Some("")),
                variable("C", None)
            ]
        );
        assert!(!command.check);
    }

    #[test]
    fn a_shell_runs_instead_of_a_list() {
        let command = read_raw(&raw::Command {
            shell: raw::Str::new("ls | wc -l"),
            // As an empty slice of Rust is.
            argv: std::ptr::dangling(),
            ..raw()
        });
        let command = command.expect("fine");
        assert!(matches!(command.program, Program::Shell(text) if &*text == "ls | wc -l"));
        assert!(command.check && command.cwd.is_none() && command.env.is_empty());
    }

    #[test]
    fn an_empty_list_is_left_to_the_run() {
        let command = read_raw(&raw::Command {
            argv: std::ptr::dangling(),
            ..raw()
        });
        let program = command.expect("fine").program;
        assert!(matches!(program, Program::Exec(words) if words.is_empty()));
    }

    #[test]
    fn an_older_command_ends_before_its_environment() {
        let command = read_raw(&raw::Command {
            size: 48,
            shell: raw::Str::new("true"),
            env: std::ptr::dangling(),
            env_count: 7,
            ..raw()
        });
        assert!(command.expect("fine").env.is_empty());
    }
}
