//! What the attributes write below the function: a body that finds its parameters, and an element of the linker's array.
//!
//! Knows the names in `task_abi::__private`; what is wrong with the function has been found before.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, ReturnType, Type, parse_quote};

use crate::arguments::{After, Arguments, tidy};
use crate::function::{self, Parameter};

/// What a function becomes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Task,
    Hook,
}

/// For `#[task(arguments)]`.
pub(crate) fn task(arguments: TokenStream, item: &mut ItemFn) -> TokenStream {
    let mut errors = Vec::new();
    let arguments = Arguments::read(arguments, &mut errors);
    let parameters = read(item, &mut errors);
    for parameter in &parameters {
        if let Parameter::Result { task, .. } = parameter
            && *task == item.sig.ident
            && arguments.name.is_none()
        {
            errors.push(Error::new_spanned(
                task,
                "a task cannot take its own result",
            ));
        }
    }
    if !errors.is_empty() {
        return report(&errors, item);
    }
    let name = match &arguments.name {
        Some(name) => name.value(),
        None => item.sig.ident.unraw().to_string(),
    };
    let after = after(&arguments.after, &parameters);
    let (tags, doc) = (&arguments.tags, function::doc(&item.attrs));
    let ident = &item.sig.ident;
    let site = site(ident);
    let spec = quote! {
        ::task_abi::__private::TaskSpec {
            name: #name,
            id: || ::task_abi::__private::type_id(&#ident),
            after: &[#(#after),*],
            tags: &[#(#tags),*],
            doc: #doc,
            site: #site,
            body: __tdrun_body,
        }
    };
    let ty = format_ident!("TaskSpec");
    register(item, &parameters, Kind::Task, "TASKS", &ty, &spec)
}

/// For `#[setup]` and `#[teardown]`.
pub(crate) fn hook(attribute: &str, arguments: TokenStream, item: &mut ItemFn) -> TokenStream {
    let mut errors = Vec::new();
    if !arguments.is_empty() {
        let message = format!("`#[{attribute}]` takes no arguments");
        errors.push(Error::new_spanned(arguments, message));
    }
    let parameters = read(item, &mut errors);
    for parameter in &parameters {
        if let Parameter::Result { task, .. } = parameter {
            errors.push(Error::new_spanned(
                task,
                format!(
                    "`#[{attribute}]` has no dependencies: its parameters are `&State`, \
                     `&Context` and `#[state] {task}: …`"
                ),
            ));
        }
    }
    if !errors.is_empty() {
        return report(&errors, item);
    }
    let name = item.sig.ident.unraw().to_string();
    let site = site(&item.sig.ident);
    let spec = quote! {
        ::task_abi::__private::HookSpec { name: #name, site: #site, body: __tdrun_body }
    };
    let slice = match attribute {
        "setup" => "SETUPS",
        _ => "TEARDOWNS",
    };
    let ty = format_ident!("HookSpec");
    register(item, &parameters, Kind::Hook, slice, &ty, &spec)
}

fn read(item: &mut ItemFn, errors: &mut Vec<Error>) -> Vec<Parameter> {
    function::check(&item.sig, errors);
    let parameters = function::parameters(item, errors);
    // That a task takes what it is given, and may fail, is not its choice.
    item.attrs.push(parse_quote!(
        #[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]
    ));
    parameters
}

/// The errors alone: that nothing calls the function is no fault of its author.
fn report(errors: &[Error], item: &mut ItemFn) -> TokenStream {
    item.attrs.push(parse_quote!(#[allow(unused)]));
    errors.iter().map(Error::to_compile_error).collect()
}

/// The body and the element, in a scope of their own.
fn register(
    item: &ItemFn,
    parameters: &[Parameter],
    kind: Kind,
    slice: &str,
    ty: &Ident,
    spec: &TokenStream,
) -> TokenStream {
    let conditions = function::conditions(&item.attrs);
    let slice = format_ident!("{slice}");
    let body = body(item, parameters, kind);
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
    let call = quote!(#function(#(#names),*));
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
        Parameter::Result { task, ty } => {
            let (task, wanted) = (task.unraw().to_string(), tidy(ty));
            quote_spanned! {pointing_at(ty.span())=>
                let #name = ::task_abi::__private::result::<#ty>(
                    __tdrun_context, #task, #wanted,
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

/// The declared dependencies, then those that parameters stand for.
fn after(declared: &[After], parameters: &[Parameter]) -> Vec<TokenStream> {
    let declared = declared.iter().map(|after| match after {
        After::Name(name) => quote!(::task_abi::__private::After::Name(#name)),
        After::Path(path) => {
            let last = path
                .segments
                .last()
                .map(|last| last.ident.unraw().to_string());
            quote_spanned! {pointing_at(path.span())=>
                ::task_abi::__private::After::Function(
                    || ::task_abi::__private::type_id(&#path), #last,
                )
            }
        }
    });
    let results = parameters.iter().filter_map(|parameter| match parameter {
        Parameter::Result { task, .. } => {
            let name = task.unraw().to_string();
            Some(quote!(::task_abi::__private::After::Name(#name)))
        }
        _ => None,
    });
    declared.chain(results).collect()
}

/// For what we write and the compiler may complain about there: names are still ours, also inside of a `macro_rules`.
fn pointing_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// Where the function's name stands; also inside of a `macro_rules`, whose call `line!()` would tell.
fn site(ident: &Ident) -> TokenStream {
    let start = ident.span().unwrap();
    let line = Literal::u32_unsuffixed(u32::try_from(start.line()).unwrap_or(0));
    let column = Literal::u32_unsuffixed(u32::try_from(start.column()).unwrap_or(0));
    let file = start.file();
    quote!(::task_abi::__private::Site { file: #file, line: #line, column: #column })
}
