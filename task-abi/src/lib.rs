//! Makes tasks for tdrun of functions: put [`#[task]`](macro@task) on them, build the library, and `tdrun libmine.so` runs
//! them in parallel, each after those that it depends on. Knows nothing of how tdrun selects, orders or shows them.
//!
//! # A library
//!
//! `cargo new --lib mine`, beside a clone of tdrun. Its `Cargo.toml` needs
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! task-abi = { path = "../tdrun/task-abi" }
//! serde = { version = "1", features = ["derive"] }   # for results of your own types
//! log = "0.4"                                        # for what the tasks have to tell
//! ```
//!
//! and its `lib.rs` has functions with [`#[task]`](macro@task) on them; that is all there is to registering them:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use task_abi::{Context, Result, bail, task};
//!
//! #[derive(Serialize, Deserialize)]
//! struct User {
//!     name: String,
//!     email: String,
//! }
//!
//! /// Shown by `tdrun --list`.
//! #[task(tags = ["io"])]
//! fn fetch_user() -> User {
//!     User { name: "Ada".into(), email: "ada@example.org".into() }
//! }
//!
//! #[task]
//! fn audit() {
//!     assert_eq!(1 + 1, 2, "arithmetic is broken");
//! }
//!
//! /// Runs after `fetch_user`, whose result it takes, and after `audit`.
//! #[task(after = [audit])]
//! fn email_user(fetch_user: User, ctx: &Context) -> Result<String> {
//!     if !fetch_user.email.contains('@') {
//!         bail!("{} has no address", fetch_user.name);
//!     }
//!     log::info!("{} writes to {}", ctx.name(), fetch_user.email);
//!     Ok(format!("Hello {}!", fetch_user.name))
//! }
//! ```
//!
//! ```text
//! $ cargo build && tdrun target/debug/libmine.so
//! $ tdrun target/debug/libmine.so::email_user --result-fetch_user='{"name":"Bo","email":"bo@example.org"}'
//! ```
//!
//! Tasks may stand in any module, public or not. Those of a crate that the library depends on are in it as well, provided that
//! the library mentions the crate somewhere (`use steps as _;` is enough); the compiler leaves out crates that it does not.
//!
//! # Dependencies
//!
//! There are two ways to run after another task, and they can be mixed:
//!
//! - **A parameter with the name of the task** takes its result. Any type that is `Deserialize` will do, not only the
//!   one that the task returned.
//! - **`after = […]`** where the value is not wanted: paths to functions, which the compiler checks, or strings, which
//!   tdrun checks when it loads the library. `"library::task"` names one of another library of the same run.
//!
//! A task runs only if all tasks that it is after have passed. If it runs alone (`lib.so::email_user`) its
//! dependencies do not run: give their results with `--result-NAME=VALUE`, or run them too with `--with-deps`. Where there
//! is no result, a parameter of type `Option<T>` is `None`, one of type `()` is `()`, and any other fails the task with a
//! message that says what to type.
//!
//! ```
//! # use task_abi::task;
//! mod db {
//!     #[task_abi::task(name = "connect to the database", tags = ["db", "io"])]
//!     pub fn connect() -> u16 {
//!         5432
//!     }
//! }
//!
//! #[task(after = [db::connect, "warm_up"])]
//! fn query(cached: Option<String>) -> String {
//!     cached.unwrap_or_else(|| "fresh".to_owned())
//! }
//!
//! #[task]
//! fn warm_up() {}
//!
//! #[task]
//! fn cached() -> &'static str {
//!     "from the cache"
//! }
//! ```
//!
//! # What a task returns
//!
//! | returned | the task |
//! |---|---|
//! | `()` | passes, without a result |
//! | any `T: Serialize` | passes; the value is its result |
//! | `Ok(…)` | as the value in it |
//! | `Err(e)` of any type | fails, with the words of `e` and of its sources |
//! | a panic, `assert!` | fails, with message and place; nothing is printed |
//! | [`skip("why")`](skip), `Err(Skip::new("why"))?` | skips itself, which counts as passed for its dependents |
//!
//! [`skip`] ends the task where it stands and never returns: its type is `!`, so it needs no `return`, and fits where a
//! value is expected.
//!
//! `?` works on every error with [`Result`], which is that of [`Failure`], and the place of the failure is then the line of
//! the `?`. `anyhow::Result`, `Result<T, Box<dyn Error>>`, `Result<T, String>` and aliases of any of them do as well; their
//! errors carry no place, so the failure has that of the task.
//!
//! ```
//! use std::error::Error;
//! use task_abi::{Failure, Result, skip, task};
//!
//! #[task]
//! fn read_config() -> Result<Vec<String>> {
//!     let text = std::fs::read_to_string("app.conf")?; // fails with the place of this line
//!     let first = text.lines().next().ok_or_else(|| Failure::new("app.conf is empty"))?;
//!     Ok(vec![first.to_owned()])
//! }
//!
//! #[task]
//! fn listen() -> Result<u16, Box<dyn Error>> {
//!     let listener = std::net::TcpListener::bind("localhost:0")?; // fails with the place of `listen`
//!     Ok(listener.local_addr()?.port())
//! }
//!
//! #[task]
//! fn render() {
//!     if std::env::var_os("DISPLAY").is_none() {
//!         skip("needs a display"); // never returns
//!     }
//! }
//! ```
//!
//! # State, setup and teardown
//!
//! All tasks of a run share JSON values by key, the [`State`]. They come from the command line (`--env=dev`), from a
//! file (`--state-file`), from [`#[setup]`](macro@setup) and from tasks. A parameter with `#[state]` is the value of the key of
//! its name; `Option` makes it optional, `#[state("api-key")]` names a key that is no identifier. Values of the command line
//! are strings, and are read as what the parameter is: `--port=80` is a `u16` as well as a `String`.
//!
//! ```
//! use task_abi::{Context, Result, State, setup, task, teardown};
//!
//! #[setup]
//! fn prepare(state: &State, #[state] env: Option<String>) -> Result {
//!     let url = match env.as_deref() {
//!         Some("prod") => "https://example.org",
//!         _ => "http://localhost",
//!     };
//!     state.set("url", url)?;
//!     state.set("attempts", 3)?; // anything that is `Serialize`, by value or by reference
//!     Ok(())
//! }
//!
//! #[task]
//! fn call(#[state] url: String, state: &State, ctx: &Context) -> Result {
//!     state.update("calls", |calls: Option<Vec<String>>| {
//!         let mut calls = calls.unwrap_or_default();
//!         calls.push(url.clone());
//!         calls
//!     })?;
//!     let _guard = ctx.lock("printer")?; // no other task holds it at the same time
//!     Ok(())
//! }
//!
//! #[teardown]
//! fn clean_up(state: &State) -> Result {
//!     state.remove("url")?;
//!     Ok(())
//! }
//! ```
//!
//! A lock is held as long as the variable is there that its guard is kept in. One that is kept in none, as by
//! `let _ = ctx.lock("printer")?;`, is released at once.
//!
//! # Templates
//!
//! A `[parameter]` in the name of a task makes one declaration stand for many tasks; a parameter of the function with that
//! name is its value. Where all parameters have [`choices`](macro@task), all of the tasks are there from the start; else one
//! is there when a selector, a dependency or a running task names it: `libmine.so::fetch::7`.
//!
//! ```
//! # use task_abi::task;
//! #[derive(serde::Deserialize)]
//! #[serde(rename_all = "lowercase")]
//! enum Env {
//!     Dev,
//!     Prod,
//! }
//!
//! #[task(name = "build::[env]", choices(env = ["dev", "prod"]))]
//! fn build(env: Env) -> &'static str {
//!     match env {
//!         Env::Dev => "debug",
//!         Env::Prod => "optimised",
//!     }
//! }
//!
//! /// `test::dev::arm` comes after `build::dev`, and takes its result.
//! #[task(name = "test::[env]::[arch]", choices(env = ["dev", "prod"], arch = archs))]
//! fn test(arch: String, #[result("build::[env]")] built: String) {
//!     assert!(!arch.is_empty() && !built.is_empty());
//! }
//!
//! fn archs() -> Vec<String> {
//!     ["arm", "x86"].map(String::from).into()
//! }
//!
//! /// Whoever runs a task of `build` gets this one run first.
//! #[task(before = [build])]
//! fn fetch_sources() {}
//!
//! #[task(after = ["test::*::arm"])]
//! fn report() {}
//! ```
//!
//! A plain parameter `build: T` is still the result of a task that is called `build`; that of a template's task is named by
//! `#[result("build::dev")]`.
//!
//! # When a task runs
//!
//! ```
//! # use task_abi::{Context, Result, skip, task};
//! /// Tried three times before it has failed; one that passes late is called flaky.
//! #[task(retries = 2, retry_delay = "100ms", timeout = "30s", locks = ["port 80"])]
//! fn call_the_server(ctx: &Context) -> Result<u32> {
//!     for part in 0..10 {
//!         ctx.progress(part, 10); // shown while it runs
//!         if ctx.cancelled() {
//!             break; // its time is over, or the run was stopped
//!         }
//!     }
//!     Ok(ctx.attempt())
//! }
//!
//! /// Not before all of wave 0 has ended.
//! #[task(wave = 1, exclusive)]
//! fn measure() {}
//!
//! /// In a process of its own, which it may end, or change as it likes. What `#[setup]` left in memory is not there.
//! #[task(isolate)]
//! fn move_to_another_directory() -> Result {
//!     Ok(std::env::set_current_dir("/")?)
//! }
//!
//! /// Only if nothing has failed.
//! #[task(no_failures)]
//! fn publish() {}
//!
//! /// Whatever has become of the server.
//! #[task(after = [call_the_server], always)]
//! fn stop_the_server() {}
//! ```
//!
//! # Commands
//!
//! [`command!`] makes a task of a program; what it wrote is its result, a [`CommandResult`].
//!
//! ```
//! # use task_abi::{CommandResult, Result, command, task};
//! command! {
//!     /// What has changed since a tag.
//!     name = "changes::[tag]",
//!     run = ["git", "log", "--oneline", "[tag].."],
//!     env(LANG = "C"),
//!     timeout = "10s",
//! }
//!
//! #[task(name = "notes::[tag]")]
//! fn notes(#[result("changes::[tag]")] changes: CommandResult) -> usize {
//!     changes.stdout.lines().count()
//! }
//! ```
//!
//! # Tasks by code
//!
//! A [`#[register]`](macro@register) function adds tasks when the library is loaded. All that an attribute says is a
//! [method](NewTask) here.
//!
//! ```
//! use task_abi::{Context, Result, Tasks, register};
//!
//! #[register]
//! fn chain(tasks: &mut Tasks) {
//!     for n in 0..5_usize {
//!         let previous = n.checked_sub(1).map(|n| format!("step_{n}"));
//!         tasks
//!             .add(format!("step_{n}"), move |ctx: &Context| -> Result<usize> {
//!                 log::info!("{} of 5", ctx.name());
//!                 Ok(n)
//!             })
//!             .after(previous)
//!             .tags(["chain"]);
//!     }
//!     tasks.shell("summary", "echo done").after(["step_4"]);
//! }
//! ```
//!
//! # Tasks from inside of a task
//!
//! A task may start others, and wait for their results: those of the library, and templates with their parameters filled in.
//! While it waits it gives up its place, so that even a single worker comes to an end; its locks it keeps. What could never
//! start meanwhile is an error at once: a task of a higher wave, or one that needs such a lock.
//!
//! ```
//! # use task_abi::{Context, Result, task};
//! #[task(name = "fetch::[page]")]
//! fn fetch(page: u32) -> Result<String> {
//!     Ok(format!("text of {page}"))
//! }
//!
//! #[task]
//! fn book(ctx: &Context) -> Result<usize> {
//!     let first: String = ctx.run("fetch::1")?; // starts it, waits for it, takes its result
//!     let others: Vec<_> = (2..5)
//!         .map(|page| ctx.start(&format!("fetch::{page}")))
//!         .collect::<Result<_, _>>()?; // all at once
//!     let mut length = first.len();
//!     for page in others {
//!         length += page.wait::<String>()?.len();
//!     }
//!     Ok(length)
//! }
//! ```
//!
//! # Async
//!
//! The functions of tasks, `setup` and `teardown` may be `async`: such a one runs to its end on the thread of its task.
//! Where it wants a runtime, the feature `tokio` of this crate (`features = ["tokio"]`) runs all of them inside one that has
//! several threads, so that `tokio::spawn`, timers and sockets work. What such a task spawns does not log with its name.
//!
//! ```
//! # use task_abi::task;
//! #[task]
//! async fn answer() -> u32 {
//!     std::future::ready(42).await
//! }
//! ```
//!
//! # Threads
//!
//! Tasks run at the same time as other tasks, on threads of tdrun, but none at the same time as itself. `setup` runs before
//! the first and `teardown` after the last task, each alone.
//!
//! [`Context`] and [`State`] are small values that can be copied to threads which the task makes, and used from all of
//! them at once. They may outlive the task: calls are then errors of kind [`ErrorKind::Stale`]. A task should join its
//! threads before it returns, and call [`Context::enter`] on those that log. A task that takes long asks
//! [`Context::cancelled`] now and then.
//!
//! Thread-locals are shared by the tasks that happen to run on a thread; statics by all tasks of the library.
//!
//! # Log and output
//!
//! Records of the [`log`](https://docs.rs/log) crate reach the log of the run with the name of the task. The logger is
//! installed when the library is loaded, so a library that wants another one cannot set it any more. What a task
//! prints goes to the standard output of tdrun, and is flushed when the task ends; log what belongs to the task.
//!
//! # Panics
//!
//! The library catches the panics of its tasks; the message and the place become the failure, with a backtrace where
//! `RUST_BACKTRACE` is set. A library that is built with `panic = "abort"` cannot do that: there a panic ends tdrun.
//!
//! # Without the `author` feature
//!
//! Below all this is a C contract, [`raw`], by which a library may be older or newer than the tdrun that runs it.
//! `default-features = false` leaves only that: for hosts, and for libraries that write their table by hand and export
//! `tdrun_entry_v1` themselves.

pub mod raw;

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::command::CommandResult;
#[cfg(feature = "author")]
pub use author::context::{Context, LockGuard, Started, State};
#[cfg(feature = "author")]
pub use author::current::Entered;
#[cfg(feature = "author")]
pub use author::declare::{Function, NewTask, Process, Tasks};
#[cfg(feature = "author")]
pub use author::error::{Error, ErrorKind};
#[cfg(feature = "author")]
pub use author::failure::{Failure, Result, Skip, skip};
#[cfg(feature = "author")]
pub use author::returned::{Json, Returned, Why};
#[cfg(feature = "author")]
pub use task_abi_macros::{command, register, setup, task, teardown};

/// For what the attributes write; no part of the interface, and free to change.
#[cfg(feature = "author")]
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::author::declare::{List, choices};
    pub use crate::author::executor::block_on;
    pub use crate::author::output::{self, Wrap};
    pub use crate::author::parameter::{check, parameter, result, state};
    pub use crate::author::register::{HookSpec, SETUPS, Site, Spec, TASKS, TEARDOWNS, type_id};
    pub use crate::author::table::tdrun_entry_v1;
}
