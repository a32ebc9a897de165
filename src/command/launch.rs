//! A command with its parameters filled in, ready to be started; and why it could not be.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::{Command, Program};
use crate::task::Arguments;

/// What is started.
pub(super) struct Launch {
    /// Not empty.
    argv: Vec<String>,
    shell: bool,
    /// As the author wrote it.
    cwd: Option<String>,
    /// Absolute, where it is known where tdrun was started.
    folder: Option<PathBuf>,
    env: Vec<(Box<str>, Option<String>)>,
}

impl Launch {
    /// Fills in the parameters, and finds what no system would take.
    pub(super) fn new(
        command: &Command,
        here: Option<&Path>,
        arguments: &Arguments,
    ) -> Result<Self, String> {
        let fill = |text: &str| arguments.fill(text);
        let (argv, shell) = match &command.program {
            Program::Exec(words) => (words.iter().map(|word| fill(word)).collect(), false),
            Program::Shell(text) => {
                // Without `--` a text with a leading `-` would be an option.
                let words = ["/bin/sh", "-c", "--"].map(str::to_owned);
                (words.into_iter().chain([fill(text)]).collect(), true)
            }
        };
        let cwd = command.cwd.as_deref().map(fill);
        let variables = command.env.iter();
        let launch = Self {
            argv,
            shell,
            folder: folder(here, cwd.as_deref()),
            cwd,
            env: variables
                .map(|(name, value)| (name.clone(), value.as_deref().map(fill)))
                .collect(),
        };
        launch.check()?;
        Ok(launch)
    }

    fn check(&self) -> Result<(), String> {
        if self.argv.is_empty() {
            return Err("task.spawn: no program is named".to_owned());
        }
        let bad_name = |name: &str| name.is_empty() || name.contains('=');
        if let Some((name, _)) = self.env.iter().find(|(name, _)| bad_name(name)) {
            return Err(format!("task.spawn: no name of a variable: `{name}`"));
        }
        let variables = self.env.iter();
        let texts = variables.flat_map(|(name, value)| [Some(&**name), value.as_deref()]);
        let mut texts = texts
            .flatten()
            .chain(self.argv.iter().map(String::as_str))
            .chain(self.cwd.as_deref());
        match texts.find(|text| text.contains('\0')) {
            Some(text) => Err(format!("task.spawn: a NUL character in `{text}`")),
            None => Ok(()),
        }
    }

    /// As std starts it: with SIGPIPE as it is by default, and without our descriptors, which all close on exec. Handlers of
    /// ours are gone by then too; the mask of blocked signals is that of this thread. `mark` is a variable that all have that
    /// it starts.
    pub(super) fn command(&self, (name, value): (&str, &str)) -> process::Command {
        let mut command = process::Command::new(&self.argv[0]);
        command
            .args(&self.argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C on the terminal is ours to hand on, and all that it starts can be signalled at once.
            .process_group(0);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        for (variable, value) in &self.env {
            match value {
                Some(value) => command.env(&**variable, value),
                None => command.env_remove(&**variable),
            };
        }
        command.env(name, value);
        command
    }

    /// What a user would type in a shell.
    pub(super) fn text(&self) -> String {
        match self.argv.as_slice() {
            [_, _, _, text] if self.shell => text.clone(),
            words => shlex::try_join(words.iter().map(String::as_str)).expect("no NUL is left"),
        }
    }

    /// Whether a shell takes the text apart.
    pub(super) fn is_shell(&self) -> bool {
        self.shell
    }

    /// Where it runs; empty where tdrun was started in a folder that is not there.
    pub(super) fn cwd(&self) -> Cow<'_, str> {
        let folder = self.folder.as_ref();
        folder.map_or("".into(), |folder| folder.to_string_lossy())
    }

    /// Why it could not be started: the system does not say whether the program is to blame.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        if let Some(Err(error)) = self.folder.as_deref().map(enter) {
            let shown = self.cwd.as_deref().map_or_else(|| self.cwd(), Cow::from);
            return format!(
                "task.spawn: {}: working directory `{shown}`",
                reason(&error)
            );
        }
        let program = &self.argv[0];
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        let file = program.contains('/').then(|| folder.join(program));
        let directory = io::Error::from(Errno::ISDIR);
        let error = match file.and_then(|file| fs::metadata(file).ok()) {
            Some(file) if file.is_dir() => &directory,
            Some(_) if error.kind() == io::ErrorKind::NotFound => {
                return format!("task.spawn: {}: interpreter of `{program}`", reason(error));
            }
            _ => error,
        };
        let hint = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::AGAIN) => "\nthe limit on processes may be too low: `ulimit -u`",
            Some(Errno::MFILE) => "\nthe limit on open files may be too low: `ulimit -n`",
            Some(Errno::NOENT) if self.argv.len() == 1 && program.contains(' ') => {
                "\na program and its arguments are a text each; a line of words is for the shell"
            }
            _ => "",
        };
        format!("task.spawn: {}: `{program}`{hint}", reason(error))
    }
}

/// What the operating system says, without the number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

fn folder(here: Option<&Path>, cwd: Option<&str>) -> Option<PathBuf> {
    let folder = match (here, cwd.filter(|cwd| !cwd.is_empty())) {
        (here, None) => return here.map(Path::to_owned),
        (Some(here), Some(cwd)) => here.join(cwd),
        (None, Some(cwd)) => cwd.into(),
    };
    // Without `.` and doubled slashes; `..` stays, as it may follow a link.
    Some(std::path::absolute(&folder).unwrap_or(folder))
}

fn enter(folder: &Path) -> io::Result<()> {
    if !fs::metadata(folder)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    Ok(access(folder, Access::EXEC_OK)?)
}
