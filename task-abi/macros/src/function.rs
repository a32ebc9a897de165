//! The function below an attribute: what its parameters stand for, and what a task cannot be.
//!
//! Takes the `#[state]` and `#[result]` attributes out of it, since the compiler does not know them. Knows types only by their spelling.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericParam, Ident, ItemFn, Lit, LitStr, Meta, Pat,
    PatType, Result, Safety, Signature, Type, TypePath, TypeReference,
};

use crate::arguments::{Arguments, named};
use crate::literal::tidy;
use crate::name::Kind;

/// What a parameter stands for.
pub(crate) enum Parameter {
    Context,
    State,
    /// The value of a state key.
    Key {
        parameter: String,
        key: String,
        ty: Type,
    },
    /// The result of a task: the one that it is called like, or that an attribute names.
    Result {
        parameter: Ident,
        task: String,
        ty: Type,
    },
    /// What stands in the brackets of the task's name.
    Own {
        parameter: String,
        ty: Type,
    },
}

/// The keyword that says what the item is: good enough to tell `struct` from a function with a mistake in it.
pub(crate) fn keyword(item: &TokenStream) -> Option<Ident> {
    const KEYWORDS: [&str; 10] = [
        "fn", "struct", "enum", "union", "mod", "impl", "trait", "static", "type", "use",
    ];
    item.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(word) if KEYWORDS.iter().any(|keyword| word == keyword) => Some(word),
        _ => None,
    })
}

/// The parameters in their order; what is wrong is added to `errors`. `arguments` tell what the task's own name has.
pub(crate) fn parameters(
    item: &mut ItemFn,
    arguments: &Arguments,
    errors: &mut Vec<Error>,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for argument in &mut item.sig.inputs {
        let parameter = match argument {
            FnArg::Receiver(receiver) => Err(Error::new_spanned(
                receiver,
                "this has to be a free function, without `self`; \
                 share values through results or `&State`",
            )),
            FnArg::Typed(typed) => parameter(typed, arguments),
        };
        match parameter {
            Ok(parameter) => parameters.push(parameter),
            Err(error) => errors.push(error),
        }
    }
    parameters
}

/// What a function cannot be, whatever its parameters are.
pub(crate) fn check(signature: &Signature, errors: &mut Vec<Error>) {
    if let Safety::Unsafe(token) = &signature.safety {
        errors.push(Error::new_spanned(
            token,
            "a task is called by safe code: write a plain `fn` with an `unsafe` block in it",
        ));
    }
    for parameter in &signature.generics.params {
        if !matches!(parameter, GenericParam::Lifetime(_)) {
            errors.push(Error::new_spanned(
                parameter,
                "a task has no generic parameters: write the type that it works with, \
                 or call a generic function from it",
            ));
        }
    }
    if let Some(variadic) = &signature.variadic {
        errors.push(Error::new_spanned(
            variadic,
            "a task has a fixed number of parameters",
        ));
    }
}

fn parameter(typed: &mut PatType, arguments: &Arguments) -> Result<Parameter> {
    let state = take(&mut typed.attrs, "state");
    let of = take(&mut typed.attrs, "result");
    if let (Some(_), Some(second)) = (&state, &of) {
        let message = "a parameter is the value of a key or the result of a task, not both";
        return Err(Error::new_spanned(second, message));
    }
    let ty = plain(&typed.ty);
    if let Type::Reference(reference) = ty {
        let parameter = reference_parameter(reference)?;
        return match (state, of) {
            (Some(attribute), _) => Err(Error::new_spanned(
                attribute,
                "`#[state]` goes on a parameter that takes the value of a key: \
                 write `#[state] key: String`",
            )),
            (_, Some(attribute)) => Err(Error::new_spanned(
                attribute,
                "`#[result]` goes on a parameter that takes the result of a task: \
                 write `#[result(\"build::dev\")] built: String`",
            )),
            _ => Ok(parameter),
        };
    }
    if let Type::ImplTrait(ty) = ty {
        return Err(Error::new_spanned(
            ty,
            "a parameter needs a type with a name, such as `String`",
        ));
    }
    if let (Some(lent), None, None) = (lent(ty), &state, &of) {
        return Err(Error::new_spanned(
            ty,
            format!(
                "take `&{lent}`: it is lent to the task; \
                 a type of your own with that name needs its path, as `crate::{lent}`"
            ),
        ));
    }
    let ty = ty.clone();
    let name = name(&typed.pat)?;
    let own = name.unraw().to_string();
    match (state, of) {
        (Some(attribute), _) => key(&attribute, &name, ty),
        (_, Some(attribute)) => result_of(&attribute, name, ty, arguments),
        _ if arguments.parameters.contains(&own) => Ok(Parameter::Own { parameter: own, ty }),
        _ => result(name, ty),
    }
}

/// That a function takes `&mut Tasks`, and nothing else.
pub(crate) fn takes_tasks(signature: &Signature) -> Result<()> {
    let message = "`#[register]` takes the list that it adds tasks to: write `(tasks: &mut Tasks)`";
    let mut inputs = signature.inputs.iter();
    let (Some(first), None) = (inputs.next(), inputs.next()) else {
        return Err(Error::new(signature.ident.span(), message));
    };
    if let FnArg::Typed(typed) = first
        && let Type::Reference(reference) = plain(&typed.ty)
        && let Type::Path(path) = plain(&reference.elem)
        && path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Tasks")
        && reference.mutability.is_some()
    {
        return Ok(());
    }
    Err(Error::new_spanned(first, message))
}

/// The name of a type that a task only gets as a reference, where it is written without one.
fn lent(ty: &Type) -> Option<&Ident> {
    let Type::Path(TypePath {
        qself: None, path, ..
    }) = ty
    else {
        return None;
    };
    let ours = path.segments.len() == 1 || path.segments[0].ident == "task_abi";
    let last = &path.segments.last()?.ident;
    (ours && (last == "Context" || last == "State")).then_some(last)
}

/// Only two references are known; everything else is a value that the task owns.
fn reference_parameter(reference: &TypeReference) -> Result<Parameter> {
    let elem = plain(&reference.elem);
    let last = match elem {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    let parameter = match last.as_deref() {
        Some("Context") => Parameter::Context,
        Some("State") => Parameter::State,
        _ => {
            let owned = match elem {
                Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
                Type::Slice(slice) => format!("Vec<{}>", tidy(&slice.elem)),
                other => tidy(other),
            };
            return Err(Error::new_spanned(
                reference,
                format!("a task owns its parameters: take it by value, as `{owned}`"),
            ));
        }
    };
    match &reference.mutability {
        None => Ok(parameter),
        Some(token) => Err(Error::new_spanned(
            token,
            format!(
                "write `&{}`: it is shared, and changes through `&`",
                tidy(elem)
            ),
        )),
    }
}

fn key(attribute: &Attribute, name: &Ident, ty: Type) -> Result<Parameter> {
    let parameter = name.unraw().to_string();
    let key = match &attribute.meta {
        Meta::Path(_) => parameter.clone(),
        Meta::List(list) => {
            let literal: LitStr = list.parse_args().map_err(|_| {
                Error::new_spanned(
                    &list.tokens,
                    "the key is a string: write `#[state(\"key\")]`",
                )
            })?;
            literal.value()
        }
        Meta::NameValue(pair) => {
            let message = "write the key as `#[state(\"key\")]`";
            return Err(Error::new_spanned(pair, message));
        }
    };
    let problem = if key.is_empty() {
        "a key cannot be empty"
    } else if key == "results" || key.starts_with('_') {
        "keys that begin with `_`, and `results`, are reserved; \
         a parameter that is not used can be `#[state(\"key\")] _key`"
    } else {
        return Ok(Parameter::Key { parameter, key, ty });
    };
    match &attribute.meta {
        Meta::List(list) => Err(Error::new_spanned(&list.tokens, problem)),
        _ => Err(Error::new_spanned(name, problem)),
    }
}

/// `#[result("build::[env]")]`
fn result_of(
    attribute: &Attribute,
    parameter: Ident,
    ty: Type,
    arguments: &Arguments,
) -> Result<Parameter> {
    let Ok(task) = attribute.parse_args::<LitStr>() else {
        let message = "the task is a string: write `#[result(\"build::dev\")]`";
        return Err(Error::new_spanned(attribute, message));
    };
    if task.value().contains(['*', '?']) {
        let message = "this takes the result of one task; run after several with `after = […]`, and ask \
                       for their results with `ctx.result(…)`";
        return Err(Error::new_spanned(task, message));
    }
    arguments.own(&named(&task, Kind::Reference)?, &task)?;
    let task = task.value();
    Ok(Parameter::Result {
        parameter,
        task,
        ty,
    })
}

fn result(parameter: Ident, ty: Type) -> Result<Parameter> {
    let name = parameter.to_string();
    match name.strip_prefix('_') {
        None => Ok(Parameter::Result {
            task: parameter.unraw().to_string(),
            parameter,
            ty,
        }),
        Some(rest) => Err(Error::new_spanned(
            &parameter,
            format!(
                "a parameter is the name of a task, and `{name}` looks like none; \
                 to run after `{rest}` without its result, write `after = [{rest}]`"
            ),
        )),
    }
}

fn name(pattern: &Pat) -> Result<Ident> {
    match pattern {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            Ok(pattern.ident.clone())
        }
        _ => Err(Error::new_spanned(
            pattern,
            "a parameter is a plain name, that of the task whose result it takes: \
             write `fetch_user: User` and take it apart in the body",
        )),
    }
}

fn take(attributes: &mut Vec<Attribute>, name: &str) -> Option<Attribute> {
    let index = attributes
        .iter()
        .position(|attribute| attribute.path().is_ident(name))?;
    Some(attributes.remove(index))
}

/// A type without the invisible brackets that `macro_rules` puts around it.
fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => plain(&group.elem),
        Type::Paren(paren) => plain(&paren.elem),
        _ => ty,
    }
}

/// The text of the doc comment, without the space that each line begins with.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) if pair.path.is_ident("doc") => Some(text.value()),
            _ => None,
        }
    });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// What decides whether the function is there at all; its registration has to follow.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    let is_condition = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    attributes.iter().filter(is_condition).collect()
}

/// Where the compiler points to for the return type.
pub(crate) fn output_span(signature: &Signature) -> proc_macro2::Span {
    match &signature.output {
        syn::ReturnType::Default => signature.ident.span(),
        syn::ReturnType::Type(_, ty) => ty.to_token_stream().span(),
    }
}
