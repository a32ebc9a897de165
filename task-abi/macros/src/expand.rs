//! What the attributes write below the function: a body that finds its parameters, and an element of the linker's array, which
//! declares the task by the same calls as a `#[register]` function would.
//!
//! Knows the names in `task_abi::__private`; what is wrong with the function has been found before.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Error, ItemFn, ReturnType, Type, parse_quote};

use crate::arguments::{Arguments, Choices, Owner, Reference};
use crate::function::{self, Parameter};
use crate::literal::tidy;

/// What a function becomes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Task,
    Hook,
}

/// For `#[task(arguments)]`.
pub(crate) fn task(arguments: TokenStream, item: &mut ItemFn) -> TokenStream {
    let mut errors = Vec::new();
    let arguments = Arguments::read(Owner::Task, arguments, &mut errors);
    let parameters = read(item, &arguments, &mut errors);
    let name = match &arguments.name {
        Some(name) => name.value(),
        None => item.sig.ident.unraw().to_string(),
    };
    for parameter in &parameters {
        if let Parameter::Result {
            parameter, task, ..
        } = parameter
            && *task == name
        {
            let message = "a task cannot take its own result";
            errors.push(Error::new_spanned(parameter, message));
        }
    }
    if !errors.is_empty() {
        return report(&errors, item);
    }
    let ident = &item.sig.ident;
    let options = options(&arguments, &parameters, &function::doc(&item.attrs));
    let body = body(item, &parameters, Kind::Task);
    let declare = quote! {
        |__tdrun_tasks| {
            __tdrun_tasks.__function(#name, __tdrun_body) #options;
            ::core::result::Result::Ok(())
        }
    };
    let id = quote!(::core::option::Option::Some(|| ::task_abi::__private::type_id(&#ident)));
    let site = site(ident.span());
    let spec = spec(&name, &id, false, &site, &declare);
    let conditions = function::conditions(&item.attrs);
    register(&conditions, "TASKS", "Spec", &body, &spec)
}

/// For `command! { … }`.
pub(crate) fn command(input: TokenStream) -> TokenStream {
    let mut errors = Vec::new();
    let (docs, rest) = match docs.parse2(input) {
        Ok(parsed) => parsed,
        Err(error) => return error.to_compile_error(),
    };
    let arguments = Arguments::read(Owner::Command, rest, &mut errors);
    let command = &arguments.command;
    if errors.is_empty() {
        if arguments.name.is_none() {
            let message = "a command needs a name: write `name = \"…\"`";
            errors.push(Error::new(Span::call_site(), message));
        }
        match (&command.run, &command.shell) {
            (Some(_), Some(shell)) => errors.push(Error::new_spanned(
                shell,
                "`run` and `shell` exclude each other: a list of arguments is run as it is, a line of \
                 the shell by `/bin/sh`",
            )),
            (None, None) => errors.push(Error::new(
                Span::call_site(),
                "a command needs what it runs: write `run = [\"ls\", \"-l\"]` or `shell = \"ls | wc -l\"`",
            )),
            _ => {}
        }
    }
    let Some(name) = arguments.name.as_ref().filter(|_| errors.is_empty()) else {
        return errors.iter().map(Error::to_compile_error).collect();
    };
    let doc = match &command.doc {
        Some(doc) => doc.value(),
        None => function::doc(&docs),
    };
    let mut options = options(&arguments, &[], &doc);
    if let Some(cwd) = &command.cwd {
        options.extend(quote!(.cwd(#cwd)));
    }
    for (variable, value) in &command.env {
        let variable = variable.unraw().to_string();
        options.extend(quote!(.env(#variable, #value)));
    }
    if command.unchecked {
        options.extend(quote!(.unchecked()));
    }
    let added = match (&command.run, &command.shell) {
        (Some(run), _) => quote!(__tdrun_tasks.command(#name, [#(#run),*])),
        (_, shell) => quote!(__tdrun_tasks.shell(#name, #shell)),
    };
    let declare = quote! {
        |__tdrun_tasks| {
            #added #options;
            ::core::result::Result::Ok(())
        }
    };
    let (id, site) = (quote!(::core::option::Option::None), site(name.span()));
    let spec = spec(&name.value(), &id, false, &site, &declare);
    register(&[], "TASKS", "Spec", &TokenStream::new(), &spec)
}

/// The doc comment that a command begins with, and what follows.
fn docs(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, TokenStream)> {
    let docs = input.call(Attribute::parse_outer)?;
    if let Some(other) = docs
        .iter()
        .find(|attribute| !attribute.path().is_ident("doc"))
    {
        let message = "this goes before `command!`; inside are a doc comment and keys";
        return Err(Error::new_spanned(other, message));
    }
    Ok((docs, input.parse()?))
}

/// For `#[register]`.
pub(crate) fn register_tasks(arguments: TokenStream, item: &mut ItemFn) -> TokenStream {
    let mut errors = Vec::new();
    if !arguments.is_empty() {
        let message = "`#[register]` takes no arguments";
        errors.push(Error::new_spanned(arguments, message));
    }
    function::check(&item.sig, &mut errors);
    if let Some(token) = &item.sig.asyncness {
        let message = "`#[register]` runs while the library is loaded: write a plain `fn`";
        errors.push(Error::new_spanned(token, message));
    }
    if let Err(error) = function::takes_tasks(&item.sig) {
        errors.push(error);
    }
    allow(item);
    if !errors.is_empty() {
        return report(&errors, item);
    }
    let ident = &item.sig.ident;
    let call = quote!(#ident(__tdrun_tasks));
    let end = ending(item, Kind::Hook, &call);
    let body = quote! {
        fn __tdrun_body(
            __tdrun_tasks: &mut ::task_abi::Tasks,
        ) -> ::core::result::Result<
            ::core::option::Option<::std::string::String>,
            ::task_abi::Failure,
        > {
            #end
        }
    };
    let declare = quote!(|__tdrun_tasks| __tdrun_body(__tdrun_tasks).map(::core::mem::drop));
    let (id, site) = (quote!(::core::option::Option::None), site(ident.span()));
    let spec = spec(&ident.unraw().to_string(), &id, true, &site, &declare);
    let conditions = function::conditions(&item.attrs);
    register(&conditions, "TASKS", "Spec", &body, &spec)
}

/// For `#[setup]` and `#[teardown]`.
pub(crate) fn hook(attribute: &str, arguments: TokenStream, item: &mut ItemFn) -> TokenStream {
    let mut errors = Vec::new();
    if !arguments.is_empty() {
        let message = format!("`#[{attribute}]` takes no arguments");
        errors.push(Error::new_spanned(arguments, message));
    }
    let parameters = read(item, &Arguments::default(), &mut errors);
    for parameter in &parameters {
        if let Parameter::Result { parameter, .. } = parameter {
            errors.push(Error::new_spanned(
                parameter,
                format!(
                    "`#[{attribute}]` has no dependencies: its parameters are `&State`, \
                     `&Context` and `#[state] {parameter}: …`"
                ),
            ));
        }
    }
    if !errors.is_empty() {
        return report(&errors, item);
    }
    let name = item.sig.ident.unraw().to_string();
    let site = site(item.sig.ident.span());
    let spec = quote! {
        ::task_abi::__private::HookSpec { name: #name, site: #site, body: __tdrun_body }
    };
    let slice = match attribute {
        "setup" => "SETUPS",
        _ => "TEARDOWNS",
    };
    let body = body(item, &parameters, Kind::Hook);
    let conditions = function::conditions(&item.attrs);
    register(&conditions, slice, "HookSpec", &body, &spec)
}

fn read(item: &mut ItemFn, arguments: &Arguments, errors: &mut Vec<Error>) -> Vec<Parameter> {
    function::check(&item.sig, errors);
    let parameters = function::parameters(item, arguments, errors);
    allow(item);
    parameters
}

/// That a task takes what it is given, and may fail, is not its choice; nor that an `async` one has nothing to wait for.
fn allow(item: &mut ItemFn) {
    item.attrs.push(parse_quote!(
        #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps, clippy::unused_async)]
    ));
}

/// The errors alone: that nothing calls the function is no fault of its author.
fn report(errors: &[Error], item: &mut ItemFn) -> TokenStream {
    item.attrs.push(parse_quote!(#[allow(unused)]));
    errors.iter().map(Error::to_compile_error).collect()
}

fn spec(
    name: &str,
    id: &TokenStream,
    by_code: bool,
    site: &TokenStream,
    declare: &TokenStream,
) -> TokenStream {
    quote! {
        ::task_abi::__private::Spec {
            name: #name,
            id: #id,
            by_code: #by_code,
            site: #site,
            declare: #declare,
        }
    }
}

/// The body and the element, in a scope of their own.
fn register(
    conditions: &[&Attribute],
    slice: &str,
    ty: &str,
    body: &TokenStream,
    spec: &TokenStream,
) -> TokenStream {
    let (slice, ty) = (format_ident!("{slice}"), format_ident!("{ty}"));
    quote! {
        #(#conditions)*
        #[allow(deprecated, unreachable_code, clippy::all, clippy::pedantic)]
        const _: () = {
            #body

            #[::task_abi::__private::linkme::distributed_slice(::task_abi::__private::#slice)]
            #[linkme(crate = ::task_abi::__private::linkme)]
            static __TDRUN_SPEC: ::task_abi::__private::#ty = #spec;
        };
    }
}

/// The calls by which a task is told what stands in the parentheses; see `NewTask`.
fn options(arguments: &Arguments, parameters: &[Parameter], doc: &str) -> TokenStream {
    let mut calls = TokenStream::new();
    if !doc.is_empty() {
        calls.extend(quote!(.doc(#doc)));
    }
    for (list, method, references) in [
        ("After", "after", &arguments.after),
        ("Before", "before", &arguments.before),
        ("Then", "then", &arguments.then),
    ] {
        let (list, method) = (format_ident!("{list}"), format_ident!("{method}"));
        for other in references {
            calls.extend(reference(&list, &method, other));
        }
    }
    for parameter in parameters {
        match parameter {
            Parameter::Result { task, .. } => calls.extend(quote!(.after([#task]))),
            Parameter::Own { parameter, ty } => {
                let wanted = tidy(ty);
                calls.extend(quote_spanned! {pointing_at(ty.span())=>
                    .__typed(#parameter, ::task_abi::__private::check::<#ty>, #wanted)
                });
            }
            _ => {}
        }
    }
    for (parameter, choices) in &arguments.choices {
        let parameter = parameter.unraw().to_string();
        calls.extend(match choices {
            Choices::These(texts) => quote!(.choices(#parameter, [#(#texts),*])),
            Choices::Function(path) => quote_spanned! {pointing_at(path.span())=>
                .__choose(#parameter, || ::task_abi::__private::choices(#path()))
            },
        });
    }
    for (method, texts) in [("tags", &arguments.tags), ("locks", &arguments.locks)] {
        if !texts.is_empty() {
            let method = format_ident!("{method}");
            calls.extend(quote!(.#method([#(#texts),*])));
        }
    }
    for (method, ty, value) in [
        ("wave", "u32", &arguments.wave),
        ("priority", "i32", &arguments.priority),
        ("retries", "u32", &arguments.retries),
    ] {
        if let Some(value) = value {
            let (method, ty) = (format_ident!("{method}"), format_ident!("{ty}"));
            let value = quote_spanned! {pointing_at(value.span())=>
                { const __TDRUN_VALUE: ::core::primitive::#ty = #value; __TDRUN_VALUE }
            };
            calls.extend(quote!(.#method(#value)));
        }
    }
    for (method, duration) in [
        ("retry_delay", arguments.retry_delay),
        ("timeout", arguments.timeout),
    ] {
        if let Some(duration) = duration {
            let method = format_ident!("{method}");
            let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
            calls.extend(quote!(.#method(::core::time::Duration::new(#seconds, #nanos))));
        }
    }
    for flag in &arguments.flags {
        calls.extend(quote!(.#flag()));
    }
    calls
}

/// A task in one of the lists.
fn reference(list: &Ident, method: &Ident, reference: &Reference) -> TokenStream {
    match reference {
        Reference::Name(name) => quote!(.#method([#name])),
        Reference::Path(path) => {
            let written = path
                .segments
                .last()
                .map(|last| last.ident.unraw().to_string());
            quote_spanned! {pointing_at(path.span())=>
                .__function(
                    ::task_abi::__private::List::#list,
                    ::task_abi::__private::type_id(&#path),
                    #written,
                )
            }
        }
    }
}

/// A function with the signature that all tasks share.
fn body(item: &ItemFn, parameters: &[Parameter], kind: Kind) -> TokenStream {
    let function = &item.sig.ident;
    let names: Vec<Ident> = (0..parameters.len())
        .map(|index| format_ident!("__tdrun_parameter_{index}"))
        .collect();
    let bindings = names
        .iter()
        .zip(parameters)
        .map(|(name, parameter)| binding(name, parameter));
    let mut call = quote!(#function(#(#names),*));
    if item.sig.asyncness.is_some() {
        call = quote!(::task_abi::__private::block_on(#call));
    }
    let end = match &item.sig.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => call,
        _ => ending(item, kind, &call),
    };
    quote! {
        fn __tdrun_body(
            __tdrun_context: &::task_abi::Context,
        ) -> ::core::result::Result<
            ::core::option::Option<::std::string::String>,
            ::task_abi::Failure,
        > {
            #(#bindings)*
            #end
        }
    }
}

/// Finds the value of one parameter. What the compiler has to say about its type, it says at the type.
fn binding(name: &Ident, parameter: &Parameter) -> TokenStream {
    match parameter {
        Parameter::Context => quote!(let #name = __tdrun_context;),
        Parameter::State => quote!(let #name = &__tdrun_context.state();),
        Parameter::Key { parameter, key, ty } => {
            let wanted = tidy(ty);
            quote_spanned! {pointing_at(ty.span())=>
                let #name = ::task_abi::__private::state::<#ty>(
                    __tdrun_context, #parameter, #key, #wanted,
                )?;
            }
        }
        Parameter::Result {
            parameter,
            task,
            ty,
        } => {
            let (parameter, wanted) = (parameter.unraw().to_string(), tidy(ty));
            quote_spanned! {pointing_at(ty.span())=>
                let #name = ::task_abi::__private::result::<#ty>(
                    __tdrun_context, #parameter, #task, #wanted,
                )?;
            }
        }
        Parameter::Own { parameter, ty } => {
            let wanted = tidy(ty);
            quote_spanned! {pointing_at(ty.span())=>
                let #name = ::task_abi::__private::parameter::<#ty>(
                    __tdrun_context, #parameter, #wanted,
                )?;
            }
        }
    }
}

/// Calls the function and asks the compiler what it returned; see `task_abi`'s `output`.
fn ending(item: &ItemFn, kind: Kind, call: &TokenStream) -> TokenStream {
    let span = pointing_at(function::output_span(&item.sig));
    let passed = match kind {
        Kind::Task => quote_spanned! {span=>
            ::core::result::Result::Ok(value) => {
                let value_kind = (&value).__td_value();
                value_kind.store(value)
            }
        },
        Kind::Hook => quote_spanned! {span=>
            ::core::result::Result::Ok(()) => ::core::result::Result::Ok(::core::option::Option::None),
        },
    };
    quote_spanned! {span=>
        #[allow(unused_imports)]
        use ::task_abi::__private::output::{
            BoxedKind as _, DebugKind as _, DisplayKind as _, ErrorKind as _, FailureKind as _,
            ResultShape as _, SomeValue as _, UnitValue as _, ValueShape as _,
        };
        let out = #call;
        let shape = (&out).__td_shape();
        match shape.split(out) {
            #passed
            ::core::result::Result::Err(error) => {
                let kind = (&&&&&::task_abi::__private::Wrap(&error)).__td_kind();
                ::core::result::Result::Err(kind.failure(error))
            }
        }
    }
}

/// For what we write and the compiler may complain about there: names are still ours, also inside of a `macro_rules`.
fn pointing_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// Where a token stands; also inside of a `macro_rules`, whose call `line!()` would tell.
fn site(span: Span) -> TokenStream {
    let start = span.unwrap();
    let line = Literal::u32_unsuffixed(u32::try_from(start.line()).unwrap_or(0));
    let column = Literal::u32_unsuffixed(u32::try_from(start.column()).unwrap_or(0));
    let file = start.file();
    quote!(::task_abi::__private::Site { file: #file, line: #line, column: #column })
}
