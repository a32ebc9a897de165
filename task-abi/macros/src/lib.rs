//! The macros of `task-abi`: what they accept is read in `arguments` and `function`, what they write is in `expand`.
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
/// #[task(name = "mail::[user]", after = [audit, db::connect, "other"], tags = ["io"], timeout = "30s")]
/// fn email_user(user: String, fetch_text: Text, #[state] env: Option<String>, ctx: &Context) -> Result<String> { … }
/// ```
///
/// | argument | |
/// |---|---|
/// | `name = "build::[env]"` | the name of the task, else that of the function. `::` separates its parts; `[env]` makes it a template with the parameter `env`, one in a part at most |
/// | `choices(env = ["dev", "prod"], arch = archs)` | the values of parameters: literals, or the path of a function that returns something to iterate over whose items are `ToString`. It is called when the library is loaded, also for `--list`; a panic in it refuses the library |
/// | `after = [audit, "lint::[env]", "other::task"]` | tasks that must have passed before: paths to their functions or names. `[env]` in a name stands for this task's parameter, the path of a template for its name; `"build::*"` for all tasks that match |
/// | `before = [deploy]` | tasks that this one comes before: whoever selects one gets this one run first. A `[x]` that is no parameter of this task stands for any text |
/// | `then = [announce]` | tasks that come after this one, and that are selected where this one is |
/// | `tags = ["io", "smoke"]` | labels to select by; `[env]` is filled in |
/// | `wave = 1` | starts after all tasks of lower waves have ended; 0 is usual |
/// | `locks = ["db", "cache:r"]` | locks to hold while it runs, all taken together before it starts; `:r`: shared with other readers; `[env]` is filled in |
/// | `no_failures` | starts when all others have ended, and runs only if none has failed |
/// | `always` | runs when all that it comes after has ended, however it ended: for cleaning up. Excludes `no_failures` |
/// | `priority = 5` | of the tasks that are ready the greater goes first; 0 is usual, negative is last |
/// | `exclusive` | nothing else runs at the same time |
/// | `retries = 2` | how often it is tried again after a failure |
/// | `retry_delay = "1s"` | before the first retry; twice as long before each further one |
/// | `retry_timeouts` | it is tried again after a timeout, too |
/// | `timeout = "1m 30s"` | how long an attempt may take, in `h`, `m`, `s` and `ms`: then `Context::cancelled` is true, and a grace later the task is given up |
/// | `isolate` | it runs in a process of its own, where nothing is but what the library does while it is loaded: what setup or other tasks left in memory is not there, state and results are |
///
/// The numbers may be constants: `retries = RETRIES`.
///
/// Parameters of the function:
///
/// | parameter | |
/// |---|---|
/// | `ctx: &Context`, `state: &State` | what it may ask of tdrun |
/// | `env: T`, with `[env]` in the name | that part of the name: the text itself where it fits the type, else the JSON inside it. What does not fit is told before anything runs |
/// | `#[state] key: T`, `#[state("key")] name: T` | the value of a state key; `Option<T>` where it may be missing |
/// | `#[result("build::[env]")] built: T` | the result of that task, which becomes a dependency |
/// | any other `fetch_user: T` | the result of the task of its name, which becomes a dependency |
///
/// The function may return `()`, a value that is `Serialize`, or a `Result` of one with any error type. It may be `async`. It
/// stays an ordinary function that other code can call.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("task", item, |item| expand::task(arguments.into(), item))
}

/// Makes a task of a program. It stands where functions stand.
///
/// ```text
/// command! {
///     /// Shown by `tdrun --list`.
///     name = "pack::[env]",
///     run = ["tar", "czf", "[env].tgz", "."],
///     cwd = "dist",
///     env(LANG = "C"),
///     after = ["build::[env]"],
/// }
/// ```
///
/// | key | |
/// |---|---|
/// | `name = "…"` | needed; as for [`#[task]`](macro@task) |
/// | `run = ["tar", "czf", "[env].tgz"]` | a program, looked up in `PATH`, and its arguments: no shell is between |
/// | `shell = "ls \| wc -l"` | a line of `/bin/sh`; one of the two |
/// | `cwd = "dist"` | where it runs, relative to where tdrun was started |
/// | `env(LANG = "C")` | added to the environment of tdrun |
/// | `check = false` | an exit status other than 0 is no failure: look at the result |
/// | `doc = "…"` | instead of a doc comment |
///
/// and all keys of [`#[task]`](macro@task). `[env]` in `run`, `shell`, `cwd` and `env` stands for the parameter; other brackets
/// stay.
///
/// It passes with exit status 0, skips itself with 77, and fails with any other. Its result is a `CommandResult`.
#[proc_macro]
pub fn command(input: TokenStream) -> TokenStream {
    expand::command(input.into()).into()
}

/// Calls a function when the library is loaded, to add tasks by code: in a loop, or from what a file says.
///
/// ```text
/// #[register]
/// fn shards(tasks: &mut Tasks) {
///     for shard in 0..3 {
///         tasks.add(format!("load_{shard}"), move |ctx: &Context| load(shard, ctx)).tags(["load"]);
///     }
/// }
/// ```
///
/// It takes `&mut Tasks` and returns `()` or a `Result<()>`. Its tasks stand in the order of the library where the function
/// stands. It is called also where the library is only looked at (`--list`), so it should do no more than that. Where it fails
/// or panics, the library is not loaded, and tdrun says why.
#[proc_macro_attribute]
pub fn register(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("register", item, |item| {
        expand::register_tasks(arguments.into(), item)
    })
}

/// Runs a function before the first task; where it fails or skips itself, no task runs. Several run in the order of their declaration.
///
/// Parameters are `&State`, `&Context` and `#[state] key: T`; it returns `()` or a `Result<()>`, and may be `async`.
#[proc_macro_attribute]
pub fn setup(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand("setup", item, |item| {
        expand::hook("setup", arguments.into(), item)
    })
}

/// Runs a function after the last task, also where tasks or setup failed or the run was stopped. Several run in the
/// reverse order of their declaration, all of them even if one fails.
///
/// Parameters are `&State`, `&Context` and `#[state] key: T`; it returns `()` or a `Result<()>`, and may be `async`.
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
