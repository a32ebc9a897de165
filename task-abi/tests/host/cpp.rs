//! Whether there is a C++ compiler. The tests need only one for C; what needs C++ is skipped with a word where it is missing.

use std::io::Write as _;
use std::process::Command;

/// True, and says so, where C++ cannot be compiled.
pub(crate) fn is_missing() -> bool {
    let missing = Command::new("c++").arg("--version").output().is_err();
    if missing {
        let _ = writeln!(std::io::stderr(), "skipped: no C++ compiler here");
    }
    missing
}
