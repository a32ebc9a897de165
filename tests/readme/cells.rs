//! What the table of the task language in the README shows in Rust, word by word, in a library that compiles.

#![allow(unused_variables)]

use task_abi::{Context, Result, Tasks, command, register, skip, task};

type T = u32;

#[task]
fn pay() -> T {
    7
}

#[task(after = [pay, "x", "build::*"])]
fn after_all() {}

#[task]
fn result_of(pay: T) {}

#[task(before = ["deploy::[env]"])]
fn before_all() {}

#[task(then = [announce])]
fn then_one() {}

#[task]
fn announce() {}

#[task(name = "build::[env]", choices(env = ["dev", "prod"]))]
fn build_all() -> T {
    8
}

fn environments() -> Vec<String> {
    vec!["dev".into()]
}

#[task(name = "deploy::[env]", choices(env = environments))]
fn deploy(env: String, #[result("build::[env]")] built: T) {}

mod typed {
    #[task_abi::task(name = "build::[env]::[level]")]
    fn build(env: String, level: u8) {}
}

#[task(wave = 1)]
fn late() {}

#[task(locks = ["db", "cache:r"])]
fn locked() {}

#[task(exclusive)]
fn alone() {}

#[task(isolate)]
fn apart() {}

#[task(no_failures)]
fn if_all_is_well() {}

#[task(always)]
fn in_any_case() {}

#[task(priority = 5)]
fn first() {}

#[task(retries = 2, retry_delay = "1s")]
fn again() {}

#[task(timeout = "30s", retries = 1, retry_timeouts)]
fn in_time() {}

command! { name = "list", run = ["ls", "-l"] }

command! { name = "count", shell = "ls | wc -l", cwd = "src", env(LANG = "C"), check = false }

#[task]
fn skips() {
    skip("why");
}

#[register]
fn more(tasks: &mut Tasks) { tasks.add("x", |ctx: &Context| 1).after(["y"]); }

#[task]
fn y() {}

#[task(name = "sum::[from]::[to]")]
fn sum(from: u64, to: u64) -> u64 {
    from + to
}

#[task]
fn asks(ctx: &Context) -> Result {
    ctx.progress(0, 10);
    ctx.progress_with(3, 10, "copying");
    let (name, attempt, cancelled) = (ctx.name(), ctx.attempt(), ctx.cancelled());
    let n: u64 = ctx.run("sum::0::8")?;
    let same: u64 = ctx.start("sum::0::8")?.wait()?;
    assert_eq!((n, &*name, attempt, cancelled), (same, "asks", 1, false));
    Ok(())
}

#[task]
async fn waits() {}
