#![deny(unused_must_use)]

use task_abi::{Context, Result, task};

#[task]
fn print(ctx: &Context) -> Result {
    let _guard = ctx.lock("kept in a variable")?;
    ctx.lock("printer")?;
    Ok(())
}

fn main() {}
