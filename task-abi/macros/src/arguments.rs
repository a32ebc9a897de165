//! What stands in the parentheses of `#[task(…)]` and in the braces of `command!`, checked.
//!
//! Knows nothing of the function below it.

use std::time::Duration;

use proc_macro2::{Group, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprArray, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

use crate::literal::{choice, duration, literal, plain, text, text_of, tidy, truth};
use crate::name::{self, Kind};

/// A key, an example of it, and whether only `command!` has it.
struct Key(&'static str, &'static str, bool);

const KEYS: [Key; 23] = [
    Key("name", "name = \"…\"", false),
    Key("run", "run = [\"tar\", \"xf\", \"a.tar\"]", true),
    Key("shell", "shell = \"ls | wc -l\"", true),
    Key("cwd", "cwd = \"dist\"", true),
    Key("env", "env(LANG = \"C\")", true),
    Key("check", "check = false", true),
    Key("doc", "doc = \"…\"", true),
    Key("after", "after = [other_task]", false),
    Key("before", "before = [other_task]", false),
    Key("then", "then = [other_task]", false),
    Key("tags", "tags = [\"io\"]", false),
    Key("choices", "choices(env = [\"dev\", \"prod\"])", false),
    Key("wave", "wave = 1", false),
    Key("locks", "locks = [\"db\"]", false),
    Key("no_failures", "no_failures", false),
    Key("always", "always", false),
    Key("priority", "priority = 1", false),
    Key("exclusive", "exclusive", false),
    Key("retries", "retries = 2", false),
    Key("retry_delay", "retry_delay = \"1s\"", false),
    Key("retry_timeouts", "retry_timeouts", false),
    Key("timeout", "timeout = \"30s\"", false),
    Key("isolate", "isolate", false),
];

/// Whose arguments they are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Owner {
    Task,
    Command,
}

impl Owner {
    fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter()
            .filter(move |key| !key.2 || self == Self::Command)
    }

    fn macro_name(self) -> &'static str {
        match self {
            Self::Task => "#[task]",
            Self::Command => "command!",
        }
    }
}

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) name: Option<LitStr>,
    /// The parameters in the name.
    pub(crate) parameters: Vec<String>,
    pub(crate) after: Vec<Reference>,
    pub(crate) before: Vec<Reference>,
    pub(crate) then: Vec<Reference>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) locks: Vec<LitStr>,
    pub(crate) choices: Vec<(Ident, Choices)>,
    pub(crate) wave: Option<Expr>,
    pub(crate) priority: Option<Expr>,
    pub(crate) retries: Option<Expr>,
    pub(crate) retry_delay: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    /// The keys that stand alone.
    pub(crate) flags: Vec<Ident>,
    pub(crate) command: Command,
}

/// What only `command!` has.
#[derive(Default)]
pub(crate) struct Command {
    pub(crate) run: Option<Vec<LitStr>>,
    pub(crate) shell: Option<LitStr>,
    pub(crate) cwd: Option<LitStr>,
    pub(crate) env: Vec<(Ident, LitStr)>,
    pub(crate) unchecked: bool,
    pub(crate) doc: Option<LitStr>,
}

pub(crate) enum Reference {
    Path(Path),
    Name(LitStr),
}

pub(crate) enum Choices {
    These(Vec<String>),
    Function(Path),
}

struct Argument {
    key: Ident,
    value: Value,
}

enum Value {
    None,
    Is(Expr),
    In(Group),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() {
            Value::Is(plain(input.parse()?))
        } else if input.is_empty() || input.peek(Token![,]) {
            Value::None
        } else if let Ok(group) = input.parse::<Group>() {
            Value::In(group)
        } else {
            return Err(input.error(format!("write `{key} = …`")));
        };
        Ok(Self { key, value })
    }
}

impl Arguments {
    /// Reads them; what is wrong is added to `errors` and left out.
    pub(crate) fn read(owner: Owner, tokens: TokenStream, errors: &mut Vec<Error>) -> Self {
        let mut arguments = Self::default();
        let parse = Punctuated::<Argument, Token![,]>::parse_terminated;
        let list = parse.parse2(tokens).unwrap_or_else(|error| {
            errors.push(error);
            Punctuated::new()
        });
        let mut seen = Vec::new();
        let before = errors.len();
        for Argument { key, value } in list {
            if seen.contains(&key) {
                errors.push(Error::new_spanned(&key, format!("`{key}` is given twice")));
                continue;
            }
            if let Err(error) = arguments.take(owner, &key, value) {
                errors.push(error);
            }
            seen.push(key);
        }
        // A name that was refused has no parameters that others could be held to.
        if errors.len() == before {
            arguments.check(errors);
        }
        arguments
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|ident| ident == flag)
    }

    fn take(&mut self, owner: Owner, ident: &Ident, value: Value) -> Result<()> {
        let key = ident.to_string();
        let Some(Key(key, example, _)) = owner.keys().find(|known| known.0 == key) else {
            return Err(unknown(owner, ident));
        };
        match *key {
            "no_failures" | "always" | "exclusive" | "retry_timeouts" | "isolate" => {
                let stray = match value {
                    Value::None => {
                        self.flags.push(ident.clone());
                        return Ok(());
                    }
                    Value::Is(value) => value.span(),
                    Value::In(group) => group.span(),
                };
                let message = format!("`{key}` stands alone: write `{key}`");
                return Err(Error::new(stray, message));
            }
            "choices" => self.choices = pairs(ident, value, example, choices)?,
            "env" => self.command.env = pairs(ident, value, example, text_of("a value"))?,
            _ => return self.assign(key, assigned(ident, value, example)?),
        }
        Ok(())
    }

    fn assign(&mut self, key: &str, value: Expr) -> Result<()> {
        let label = |kind| move |value: Expr| label(&plain(value), kind);
        let command = &mut self.command;
        match key {
            "name" => {
                let name = text(&value, "the name of a task")?;
                self.parameters = named(&name, Kind::Task)?;
                self.name = Some(name);
            }
            "after" => self.after = each(key, value, reference)?,
            "before" => self.before = each(key, value, reference)?,
            "then" => self.then = each(key, value, reference)?,
            "tags" => self.tags = each(key, value, label(Kind::Tag))?,
            "locks" => self.locks = each(key, value, label(Kind::Lock))?,
            "wave" => self.wave = Some(value),
            "priority" => self.priority = Some(value),
            "retries" => self.retries = Some(value),
            "retry_delay" => self.retry_delay = Some(duration(&value)?),
            "timeout" => {
                let timeout = duration(&value)?;
                if timeout.is_zero() {
                    let message = "a timeout of 0 leaves no time to run: leave it out for none";
                    return Err(Error::new_spanned(value, message));
                }
                self.timeout = Some(timeout);
            }
            "run" => {
                if let Some(Lit::Str(line)) = literal(&value) {
                    let line = line.value();
                    let words: Vec<String> = line
                        .split_whitespace()
                        .map(|word| format!("{word:?}"))
                        .collect();
                    let message = format!(
                        "`run` is a list, the program and its arguments: write `run = [{}]`, or \
                         `shell = {line:?}`",
                        words.join(", ")
                    );
                    return Err(Error::new_spanned(value, message));
                }
                let argv = each(key, value.clone(), |word| text(&plain(word), "an argument"))?;
                if argv.is_empty() {
                    let message = "`run` needs a program: write `run = [\"ls\", \"-l\"]`";
                    return Err(Error::new_spanned(value, message));
                }
                command.run = Some(argv);
            }
            "shell" => command.shell = Some(text(&value, "what the shell runs")?),
            "cwd" => command.cwd = Some(text(&value, "a directory")?),
            "check" => command.unchecked = !truth(&value)?,
            _ => command.doc = Some(text(&value, "a doc text")?),
        }
        Ok(())
    }

    /// What has to fit the name, and each other.
    fn check(&self, errors: &mut Vec<Error>) {
        if let (true, Some(second)) = (
            self.has("no_failures") && self.has("always"),
            self.flags
                .iter()
                .rfind(|flag| *flag == "always" || *flag == "no_failures"),
        ) {
            errors.push(Error::new_spanned(
                second,
                "a task is `no_failures`, which runs only if nothing has failed, or `always`, which runs anyway",
            ));
        }
        for (parameter, _) in &self.choices {
            if let Err(error) = self.own(&[parameter.to_string()], parameter) {
                errors.push(error);
            }
        }
        let names = self.after.iter().filter_map(|after| match after {
            Reference::Name(name) => Some((name, Kind::Reference)),
            Reference::Path(_) => None,
        });
        let tags = self.tags.iter().map(|tag| (tag, Kind::Tag));
        let locks = self.locks.iter().map(|lock| (lock, Kind::Lock));
        for (literal, kind) in names.chain(tags).chain(locks) {
            let parameters = name::check(&literal.value(), kind).unwrap_or_default();
            if let Err(error) = self.own(&parameters, literal) {
                errors.push(error);
            }
        }
    }

    /// That the parameters are those of the task's own name.
    pub(crate) fn own(&self, used: &[String], at: &impl quote::ToTokens) -> Result<()> {
        let unknown = used.iter().find(|used| !self.parameters.contains(used));
        let Some(unknown) = unknown else {
            return Ok(());
        };
        let message = match (&self.name, &*self.parameters) {
            (Some(name), []) => format!(
                "`{unknown}` is no parameter of this task: its name would have it in brackets, as \
                 `{}::[{unknown}]`",
                name.value()
            ),
            (_, []) => format!(
                "`{unknown}` is no parameter of this task: it needs a name with it in brackets, as \
                 `name = \"build::[{unknown}]\"`"
            ),
            (_, known) => format!(
                "`{unknown}` is no parameter of this task, whose name has {}",
                name::list(known)
            ),
        };
        Err(Error::new_spanned(at, message))
    }
}

/// The value behind `=`; the error of anything else says what to write.
fn assigned(ident: &Ident, value: Value, example: &str) -> Result<Expr> {
    match value {
        Value::Is(value) => Ok(value),
        Value::None => Err(Error::new_spanned(
            ident,
            format!("`{ident}` needs a value: write `{example}`"),
        )),
        Value::In(group) => {
            let written = tidy(&group.stream());
            let value = if example.contains('[') {
                format!("[{written}]")
            } else {
                written
            };
            let message = format!("write `{ident} = {value}`");
            Err(Error::new_spanned(group, message))
        }
    }
}

/// `key = value` in parentheses.
fn pairs<T>(
    ident: &Ident,
    value: Value,
    example: &str,
    read: impl Fn(Expr) -> Result<T>,
) -> Result<Vec<(Ident, T)>> {
    let message = format!("write `{example}`");
    let group = match value {
        Value::In(group) => group,
        Value::Is(value) => return Err(Error::new_spanned(value, message)),
        Value::None => return Err(Error::new_spanned(ident, message)),
    };
    let parse = Punctuated::<Argument, Token![,]>::parse_terminated;
    let mut pairs: Vec<(Ident, T)> = Vec::new();
    for Argument { key, value } in parse.parse2(group.stream())? {
        let Value::Is(value) = value else {
            return Err(Error::new_spanned(key, message));
        };
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(Error::new_spanned(&key, format!("`{key}` is given twice")));
        }
        pairs.push((key, read(value)?));
    }
    Ok(pairs)
}

fn unknown(owner: Owner, ident: &Ident) -> Error {
    let name = ident.to_string();
    if KEYS.iter().any(|key| key.0 == name) {
        let message = format!("`{name}` is for `command!`, which makes a task of a program");
        return Error::new_spanned(ident, message);
    }
    let nearest = owner
        .keys()
        .map(|known| (strsim::damerau_levenshtein(known.0, &name), known.0))
        .min()
        .filter(|(distance, _)| *distance <= 2 && 2 * *distance <= name.len());
    let message = nearest.map_or_else(
        || {
            let known: Vec<&str> = owner.keys().map(|key| key.0).collect();
            let (owner, known) = (owner.macro_name(), known.join("`, `"));
            format!("unknown key `{name}`; `{owner}` knows `{known}`")
        },
        |(_, nearest)| format!("unknown key `{name}`, did you mean `{nearest}`?"),
    );
    Error::new_spanned(ident, message)
}

/// The elements of a list, all their errors at once.
fn each<T>(key: &str, value: Expr, read: impl Fn(Expr) -> Result<T>) -> Result<Vec<T>> {
    let Expr::Array(ExprArray { elems, .. }) = value else {
        let written = tidy(&value);
        let message = format!("`{key}` is a list: write `{key} = [{written}]`");
        return Err(Error::new_spanned(value, message));
    };
    let mut values = Vec::new();
    let mut errors: Option<Error> = None;
    for element in elems {
        match (read(element), &mut errors) {
            (Ok(value), _) => values.push(value),
            (Err(error), Some(errors)) => errors.combine(error),
            (Err(error), None) => errors = Some(error),
        }
    }
    errors.map_or(Ok(values), Err)
}

fn reference(value: Expr) -> Result<Reference> {
    match plain(value) {
        Expr::Path(path) if path.qself.is_none() => Ok(Reference::Path(path.path)),
        Expr::Lit(ExprLit {
            lit: Lit::Str(name),
            ..
        }) => {
            named(&name, Kind::Reference)?;
            Ok(Reference::Name(name))
        }
        other => Err(Error::new_spanned(
            other,
            "a task is given by the path of its function, or by its name as a string: \
             write `[fetch_user, \"library::task\"]`",
        )),
    }
}

fn choices(value: Expr) -> Result<Choices> {
    match value {
        Expr::Path(path) if path.qself.is_none() => Ok(Choices::Function(path.path)),
        Expr::Array(array) if array.elems.is_empty() => Err(Error::new_spanned(
            array,
            "without choices there is no task: leave it out where any value will do",
        )),
        Expr::Array(array) => {
            let mut texts: Vec<String> = Vec::new();
            for element in array.elems {
                let text = choice(&plain(element.clone()))?;
                let problem = match &*text {
                    "" => "a choice cannot be empty",
                    text if text.contains("::") => "a choice cannot contain `::`",
                    _ if texts.contains(&text) => "this choice is given twice",
                    _ => {
                        texts.push(text);
                        continue;
                    }
                };
                return Err(Error::new_spanned(element, problem));
            }
            Ok(Choices::These(texts))
        }
        other => Err(Error::new_spanned(
            other,
            "choices are a list of literals, or the path of a function that returns some: \
             write `env = [\"dev\", \"prod\"]` or `env = environments`",
        )),
    }
}

/// A tag, or the name of a lock.
fn label(value: &Expr, kind: Kind) -> Result<LitStr> {
    let what = match kind {
        Kind::Lock => "the name of a lock",
        _ => "a tag",
    };
    let text = text(value, what)?;
    named(&text, kind)?;
    Ok(text)
}

/// The parameters in a name.
pub(crate) fn named(literal: &LitStr, kind: Kind) -> Result<Vec<String>> {
    name::check(&literal.value(), kind).map_err(|message| Error::new_spanned(literal, message))
}
