//! What both benchmarks run: the binary, and the library of shapes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// The shapes, as `SHAPE` takes them.
pub(crate) const SHAPES: [&str; 4] = ["chain", "wide", "layered", "tree"];

/// The binary, built as it is released.
pub(crate) const TDRUN: &str = env!("CARGO_BIN_EXE_tdrun");

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds `examples/c/shapes.c`.
pub(crate) fn shapes_library() -> anyhow::Result<PathBuf> {
    let flags = ["-shared", "-fPIC", "-Itask-abi/include"];
    compile("cc", &flags, "examples/c/shapes.c", "libshapes.so", &[])
}

/// Compiles a source of this repository; an error is what the compiler says.
pub(crate) fn compile(
    compiler: &str,
    flags: &[&str],
    source: &str,
    output: &str,
    libraries: &[&str],
) -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(output);
    let ended = Command::new(compiler)
        .current_dir(ROOT)
        .args(["-O3", "-Wall", "-Wextra", "-o"])
        .arg(&path)
        .args(flags)
        .arg(source)
        .args(libraries)
        .output()
        .with_context(|| format!("cannot start {compiler}"))?;
    let messages = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{compiler} {source}: {messages}");
    Ok(path)
}

/// A program that runs a shape, without input and output.
pub(crate) fn shaped(program: impl AsRef<OsStr>, shape: &str, size: usize) -> Command {
    let mut command = Command::new(program);
    command.env("SHAPE", shape).env("SIZE", size.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
