//! tdrun runs tasks as a dependency graph, in parallel: those of a native shared library, with the program of that name; and
//! closures of a Rust program, with [`Scheduler`].
//!
//! # Embedding
//!
//! Tasks are closures with names. Each one starts when all that it comes `after` have passed; order of registration does not
//! matter. What a closure returns is its result, which others read by name and type.
//!
//! ```
//! use tdrun::Scheduler;
//!
//! let mut scheduler = Scheduler::new();
//! scheduler.workers(2);
//! scheduler.task("report", |ctx| {
//!     let (orders, stock): (Vec<u32>, u32) = (ctx.result("orders")?, ctx.result("stock")?);
//!     Ok::<_, tdrun::Declined>(orders.iter().sum::<u32>() <= stock)
//! }).after(["orders", "stock"]);
//! scheduler.task("orders", |_| vec![3, 4]).tags(["io"]);
//! scheduler.task("stock", |_| "9".parse::<u32>()).retries(2);
//! let summary = scheduler.run()?;
//! assert!(summary.passed());
//! assert!(summary.result::<bool>("report")?);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Shared state
//!
//! What is no result of one task, but a value of all of them, is state: JSON values by key. [`update`](State::update) loses no
//! change; for several keys that belong together there are named [locks](TaskContext::lock).
//!
//! ```
//! use tdrun::{Declined, Scheduler, TaskContext};
//!
//! fn count(ctx: &TaskContext) -> Result<u32, Declined> {
//!     ctx.state().update("counter", |n: Option<u32>| n.unwrap_or(0) + 1)
//! }
//!
//! let mut scheduler = Scheduler::new();
//! scheduler.state("counter", 0);
//! scheduler.task("load", |ctx| {
//!     count(ctx)?;
//!     ctx.state().set("x", 5)?;
//!     Ok::<_, Declined>("loaded")
//! });
//! scheduler.task("compute", |ctx| {
//!     count(ctx)?;
//!     ctx.state().update("x", |x: Option<u32>| x.unwrap_or(0) + 10)
//! }).after(["load"]);
//! scheduler.task("behave", |ctx| count(ctx).map(|_| "behaved")).after(["compute"]);
//! let summary = scheduler.run()?;
//! assert_eq!(summary.result::<String>("behave")?, "behaved");
//! assert_eq!(summary.result::<u32>("compute")?, 15);
//! assert_eq!(summary.state::<u32>("counter")?, Some(3));
//! assert_eq!(summary.state::<u32>("x")?, Some(15));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Callbacks
//!
//! Callbacks come one at a time, all on one thread: that of [`Scheduler::run`], or the one that [`Scheduler::start`] makes. First
//! `on_scheduler_start`; then, for each task, `on_task_start` once, `on_task_run` for each attempt, `on_task_done` once; last of all
//! `on_scheduler_done`. A task that never starts has its `on_task_done` only. What a task comes after is done before it starts, in
//! the callbacks too. They tell what has happened: when they are called, the closure of the task may have begun, or ended. Tasks do
//! not wait for them.
//!
//! Several closures may be registered for one event, and are called in that order. Where one panics, no callback is called any
//! more, the run is aborted, and the panic goes on where the run is waited for.
//!
//! A progress bar:
//!
//! ```
//! use std::sync::mpsc;
//! use tdrun::Scheduler;
//!
//! let (bar, drawn) = mpsc::channel();
//! let mut scheduler = Scheduler::new();
//! scheduler.on_task_done(move |done| {
//!     let _ = bar.send(format!("{}/{} {} {}", done.count(), done.total(), done.name(), done.outcome()));
//! });
//! scheduler.task("one", |_| ());
//! scheduler.task("two", |_| ()).after(["one"]);
//! assert!(scheduler.run()?.passed());
//! assert_eq!(drawn.iter().collect::<Vec<_>>(), ["1/2 one passed", "2/2 two passed"]);
//! # Ok::<_, tdrun::SchedulerError>(())
//! ```
//!
//! ## In the background
//!
//! [`Scheduler::start`] gives a [`Handle`]: it tells whether the run [goes on](Handle::is_running), [aborts](Handle::abort) it, and
//! [waits](Handle::wait) for the summary. Dropping it aborts and waits.
//!
//! ```
//! use tdrun::Scheduler;
//!
//! let mut scheduler = Scheduler::new();
//! scheduler.task("extract", |_| ());
//! scheduler.task("transform", |_| ()).after(["extract"]);
//! scheduler.task("load", |_| ()).after(["transform"]);
//! let run = scheduler.start()?;
//! // … other work …
//! assert!(run.wait().passed());
//! # Ok::<_, tdrun::SchedulerError>(())
//! ```
//!
//! ## Templates
//!
//! One closure, many tasks: names with `[parameters]`.
//!
//! ```
//! use tdrun::Scheduler;
//!
//! let mut scheduler = Scheduler::new();
//! scheduler.task("build::[env]", |ctx| ctx.param::<String>("env")).choices("env", ["dev", "prod"]);
//! scheduler.task("deploy", |_| ()).after(["build::dev", "build::prod"]);
//! let summary = scheduler.run()?;
//! assert_eq!(summary.planned(), 3);
//! assert_eq!(summary.result::<String>("build::prod")?, "prod");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! ## What a run does not do
//!
//! It installs no signal handler and no panic hook, prints nothing, and keeps nothing global: any number of schedulers may run at
//! the same time, also inside of each other's tasks. A closure that panics fails its task; the panic hook of the program says so on
//! standard error, as it does for any thread. With `panic = "abort"` a panic ends the program.
//!
//! # The rooms
//!
//! The rooms, from the ground up; each may use what stands before it, and `tests/rooms.rs` holds them to it:
//!
//! - [`exit`], [`process`], [`stream`], `sync`, [`task`]: the exit statuses, processes, checked streams, atomics and locks, the
//!   nouns
//! - [`error`], [`interrupt`], [`target`], [`event`]: what goes wrong, signals, what the user names, what a run tells
//! - [`state`], [`glob`], [`graph`], [`command`]: the shared values; globs; the checked dependencies and their views; programs
//! - [`isolate`], [`record`], [`plan`], [`select`], [`library`], [`report`]: processes for tasks; the journal; the graph in
//!   motion; the choice; shared objects; who listens
//! - [`pool`], [`run`]: worker threads; a run from setup to summary
//! - [`scheduler`]: the embedding face
//! - [`cli`], [`start`], [`look`]: the command line, and what it leads to

pub mod blackbox;
pub mod cli;
pub mod command;
pub mod error;
pub mod event;
pub mod exit;
pub mod glob;
pub mod graph;
pub mod interrupt;
pub mod isolate;
pub mod library;
pub mod look;
pub mod plan;
pub mod pool;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
pub mod scheduler;
pub mod select;
pub mod start;
pub mod state;
pub mod stream;
pub mod supervise;
mod sync;
pub mod target;
pub mod task;

pub use error::Error;
pub use event::Stop;
pub use exit::Exit;
pub use scheduler::{
    Handle, Json, LockGuard, Scheduler, SchedulerError, SchedulerStart, Skip, State, Summary,
    TaskBuilder, TaskContext, TaskDone, TaskReturn, skip,
};
pub use task::{Declined, Level, Outcome, Refused};
