//! Single values between the keys: strings, numbers, durations, and what to write where they are something else.
//!
//! Knows nothing of keys.

use std::time::Duration;

use syn::{Error, Expr, ExprLit, ExprUnary, Lit, LitBool, LitStr, Result, UnOp};

/// An expression without the invisible brackets that `macro_rules` puts around it.
pub(crate) fn plain(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => plain(*group.expr),
        other => other,
    }
}

pub(crate) fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

pub(crate) fn text_of(what: &str) -> impl Fn(Expr) -> Result<LitStr> {
    move |value| text(&value, what)
}

/// A string; `what` it is, for the message.
pub(crate) fn text(value: &Expr, what: &str) -> Result<LitStr> {
    let Some(Lit::Str(text)) = literal(value) else {
        let written = tidy(value);
        let bare = written.trim_matches('\'').replace('"', "");
        let message = format!("{what} is a string: write `\"{bare}\"`");
        return Err(Error::new_spanned(value, message));
    };
    Ok(text.clone())
}

/// A literal as it displays.
pub(crate) fn choice(value: &Expr) -> Result<String> {
    let negative = match value {
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => literal(expr),
        _ => None,
    };
    let (sign, literal) = match negative {
        Some(literal) => ("-", Some(literal)),
        None => ("", literal(value)),
    };
    let text = match literal {
        Some(Lit::Str(text)) if sign.is_empty() => text.value(),
        Some(Lit::Char(text)) if sign.is_empty() => text.value().to_string(),
        Some(Lit::Bool(value)) if sign.is_empty() => value.value.to_string(),
        Some(Lit::Int(number)) => number.base10_digits().to_owned(),
        Some(Lit::Float(number)) => number.base10_digits().to_owned(),
        _ => {
            let message = "a choice is a literal: a string, a number, a character or a bool";
            return Err(Error::new_spanned(value, message));
        }
    };
    Ok(format!("{sign}{text}"))
}

/// As the command line writes it.
pub(crate) fn duration(value: &Expr) -> Result<Duration> {
    let Some(Lit::Str(literal)) = literal(value) else {
        let bare = tidy(value).replace('"', "");
        let message =
            format!("a duration is a string with a unit, ms, s, m or h: write `\"{bare}s\"`");
        return Err(Error::new_spanned(value, message));
    };
    match humantime::parse_duration(&literal.value()) {
        Ok(duration) if duration.subsec_nanos() % 1_000_000 == 0 => Ok(duration),
        _ => Err(Error::new_spanned(
            literal,
            "this is no duration in ms, s, m and h, such as `\"500ms\"` or `\"1m 30s\"`",
        )),
    }
}

/// `true` or `false`, which only `check` has.
pub(crate) fn truth(value: &Expr) -> Result<bool> {
    if let Some(Lit::Bool(LitBool { value, .. })) = literal(value) {
        return Ok(*value);
    }
    let message = "write `check = false`: an exit status other than 0 is no failure";
    Err(Error::new_spanned(value, message))
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
