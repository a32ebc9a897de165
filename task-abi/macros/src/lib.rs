//! The attributes of `task-abi`: what they accept is read in `arguments` and `function`, what they write is in `expand`.
//!
//! They know tokens, not types: what a return value means is decided by the compiler, in `task_abi`'s `output`.

mod arguments;
mod expand;
mod function;
mod literal;
mod name;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

/// Makes a task of a function.
///
/// ```text
/// /// Shown by `tdrun --list`.
/// #[task(name = "sends the mail", after = [audit, db::connect, "other"], tags = ["io", "smoke"])]
/// fn email_user(fetch_user: User, #[state] env: Option<String>, ctx: &Context) -> Result<String> { … }
/// ```
///
/// - `name`: the name of the task; else that of the function.
/// - `after`: tasks that must have passed before, as paths to their functions or as strings (`"task"`,
///   `"library::task"`).
/// - `tags`: labels to select by.
///
/// Parameters: `&Context`, `&State`; `#[state] key: T` or `#[state("key")] name: T` is the value of a state key, `Option<T>`
/// where it may be missing; any other parameter is the result of the task of its name, which thereby becomes a dependency.
///
/// The function may return `()`, a value that is `Serialize`, or a `Result` of one with any error type. It stays an
/// ordinary function that other code can call.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("task", item, |item| expand::task(arguments.into(), item))
}

/// Makes a task of a program.
#[proc_macro]
pub fn command(input: TokenStream) -> TokenStream {
    expand::command(input.into()).into()
}

/// Calls a function while the library is loaded, to add tasks by code.
#[proc_macro_attribute]
pub fn register(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("register", item, |item| {
        expand::register_tasks(arguments.into(), item)
    })
}

/// Runs a function before the first task; where it fails or skips itself, no task runs. Several run in the order of their declaration.
///
/// Parameters are `&State`, `&Context` and `#[state] key: T`; it returns `()` or a `Result<()>`.
#[proc_macro_attribute]
pub fn setup(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("setup", item, |item| {
        expand::hook("setup", arguments.into(), item)
    })
}

/// Runs a function after the last task, also where tasks or setup failed or the run was stopped. Several run in the
/// reverse order of their declaration, all of them even if one fails.
///
/// Parameters are `&State`, `&Context` and `#[state] key: T`; it returns `()` or a `Result<()>`.
#[proc_macro_attribute]
pub fn teardown(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("teardown", item, |item| {
        expand::hook("teardown", arguments.into(), item)
    })
}

/// Reads the function and writes it back with what `write` adds.
fn expand(
    attribute: &str,
    item: TokenStream,
    write: impl FnOnce(&mut ItemFn) -> proc_macro2::TokenStream,
) -> TokenStream {
    let keyword = function::keyword(&item.clone().into());
    if let Some(other) = keyword.filter(|keyword| keyword != "fn") {
        let message = format!("`#[{attribute}]` goes on a function");
        let error = syn::Error::new_spanned(other, message).to_compile_error();
        return TokenStream::from_iter([TokenStream::from(error), item]);
    }
    let mut item = parse_macro_input!(item as ItemFn);
    let added = write(&mut item);
    quote::quote!(#item #added).into()
}
