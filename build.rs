//! How the program is linked: so that it starts fast, and is cheap to fork.
#![allow(
    clippy::disallowed_macros,
    reason = "by its standard output it talks to cargo"
)]

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    // At an address of its choice fifty pages of pointers have to be written at each start, and their page tables copied at
    // each fork. It would protect little: who can get at tdrun has it run a library.
    println!("cargo::rustc-link-arg-bins=-no-pie");
    // One function of the mathematical library is called here, for which all of it would be loaded; `process` has another.
    println!("cargo::rustc-link-arg-bins=-Wl,--wrap=pow");
    // The unwinder, where it is not there as an archive, is a library that asks the processor what it can do each time it is
    // loaded; on a virtual machine that alone takes longer than all of its functions that are called.
    if is_archive("libgcc_eh.a") {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// The linker finds an archive of this name.
fn is_archive(name: &str) -> bool {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    // Where it knows none it answers with the bare name.
    let found = Command::new(linker)
        .arg(format!("-print-file-name={name}"))
        .output();
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
}
