//! What stands in the parentheses of `#[task(…)]`, checked.
//!
//! Knows nothing of the function below it.

use proc_macro2::{Group, TokenStream};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprArray, Ident, LitStr, Path, Result, Token};
use syn::{ExprLit, Lit};

const KEYS: [&str; 3] = ["name", "after", "tags"];

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) after: Vec<After>,
    pub(crate) tags: Vec<LitStr>,
}

pub(crate) enum After {
    Path(Path),
    Name(LitStr),
}

struct Argument {
    key: Ident,
    value: Option<Expr>,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(plain(input.parse()?)),
            None if input.is_empty() || input.peek(Token![,]) => None,
            None => return Err(without_sign(&key, input)),
        };
        Ok(Self { key, value })
    }
}

impl Arguments {
    /// Reads them; what is wrong is added to `errors` and left out.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Vec<Error>) -> Self {
        let mut arguments = Self::default();
        let parse = Punctuated::<Argument, Token![,]>::parse_terminated;
        let list = parse.parse2(tokens).unwrap_or_else(|error| {
            errors.push(error);
            Punctuated::new()
        });
        let mut seen = Vec::new();
        for Argument { key, value } in list {
            if seen.contains(&key) {
                errors.push(Error::new_spanned(&key, format!("`{key}` is given twice")));
                continue;
            }
            if let Err(error) = arguments.take(&key, value) {
                errors.push(error);
            }
            seen.push(key);
        }
        arguments
    }

    fn take(&mut self, key: &Ident, value: Option<Expr>) -> Result<()> {
        let name = key.to_string();
        if !KEYS.contains(&&*name) {
            return Err(unknown(key));
        }
        let Some(value) = value else {
            let example = match &*name {
                "name" => "name = \"…\"",
                "after" => "after = [other_task]",
                _ => "tags = [\"io\"]",
            };
            return Err(Error::new_spanned(
                key,
                format!("`{name}` needs a value: write `{example}`"),
            ));
        };
        match &*name {
            "name" => self.name = Some(label(&value, "the name of a task")?),
            "after" => self.after = each(&name, value, after)?,
            _ => self.tags = each(&name, value, |tag| label(&plain(tag), "a tag"))?,
        }
        Ok(())
    }
}

/// The error of `key(value)`, or of anything else that stands where `=` should.
fn without_sign(key: &Ident, input: ParseStream<'_>) -> Error {
    let name = key.to_string();
    if !KEYS.contains(&&*name) {
        return unknown(key);
    }
    let Ok(group) = input.parse::<Group>() else {
        return input.error(format!("write `{name} = …`"));
    };
    let written = tidy(&group.stream());
    let value = match &*name {
        "name" => written,
        _ => format!("[{written}]"),
    };
    Error::new_spanned(group, format!("write `{name} = {value}`"))
}

fn unknown(key: &Ident) -> Error {
    let name = key.to_string();
    let nearest = KEYS
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, &name), known))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let known = "`#[task]` knows `name`, `after` and `tags`";
    let message = match nearest {
        Some((_, nearest)) => format!("unknown key `{name}`, did you mean `{nearest}`? {known}"),
        None => format!("unknown key `{name}`; {known}"),
    };
    Error::new_spanned(key, message)
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

fn after(value: Expr) -> Result<After> {
    match plain(value) {
        Expr::Path(path) if path.qself.is_none() => Ok(After::Path(path.path)),
        Expr::Lit(ExprLit {
            lit: Lit::Str(name),
            ..
        }) => {
            let text = name.value();
            // `library::task` names one of another library.
            let (library, task) = text.split_once("::").unwrap_or(("library", &text));
            for part in [library, task] {
                check(part, "the name of a task")
                    .map_err(|message| Error::new_spanned(&name, message))?;
            }
            Ok(After::Name(name))
        }
        other => Err(Error::new_spanned(
            other,
            "a dependency is the path of a task's function, or its name as a string: \
             write `after = [fetch_user, \"library::task\"]`",
        )),
    }
}

/// An expression without the invisible brackets that `macro_rules` puts around it.
fn plain(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => plain(*group.expr),
        other => other,
    }
}

/// A name or a tag.
fn label(value: &Expr, what: &str) -> Result<LitStr> {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = value
    else {
        let written = tidy(value);
        let bare = written.trim_matches('\'').replace('"', "");
        let message = format!("{what} is a string: write `\"{bare}\"`");
        return Err(Error::new_spanned(value, message));
    };
    check(&text.value(), what).map_err(|message| Error::new_spanned(text, message))?;
    Ok(text.clone())
}

/// The rules of `td_task.name` in tdrun.h.
fn check(text: &str, what: &str) -> std::result::Result<(), String> {
    const FORBIDDEN: &[char] = &[',', '=', '*', '?', '[', ']', '{', '}', '\\'];
    if text.is_empty() {
        return Err(format!("{what} cannot be empty"));
    }
    if text.len() > 255 {
        return Err(format!("{what} has at most 255 bytes"));
    }
    if let Some(character) = text
        .chars()
        .find(|c| c.is_control() || FORBIDDEN.contains(c))
    {
        return Err(format!("{what} cannot contain {character:?}"));
    }
    if text.contains("::") {
        return Err(format!(
            "{what} cannot contain `::`, which follows the name of a library"
        ));
    }
    if text.starts_with(['-', '!']) {
        return Err(format!("{what} cannot begin with `{}`", &text[..1]));
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(format!("{what} cannot begin or end with a space"));
    }
    Ok(())
}

/// Tokens as a person would write them.
pub(crate) fn tidy(tokens: &impl quote::ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    let closer = [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        ("& ", "&"),
        ("( ", "("),
        (" )", ")"),
        (" ;", ";"),
    ];
    for (loose, tight) in closer {
        text = text.replace(loose, tight);
    }
    text
}
