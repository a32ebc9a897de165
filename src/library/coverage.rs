//! Coverage: what a library has counted, and would write when its process ends in order. That of a task does not, so it is
//! written before.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::os::unix::Library;

/// What writes the counts of a library.
#[derive(Clone, Copy)]
enum Writer {
    /// `__gcov_dump`
    Gcov(unsafe extern "C" fn()),
    /// `__llvm_profile_write_file`
    Llvm(unsafe extern "C" fn() -> c_int),
}

static WRITERS: Mutex<Vec<Writer>> = Mutex::new(Vec::new());

fn writers() -> MutexGuard<'static, Vec<Writer>> {
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what the library offers; those that keep it to themselves cannot be found.
pub(super) fn note(library: &Library) {
    // SAFETY: the types are those of the functions that compilers give these names, and the library is never unloaded.
    let (gcov, llvm) = unsafe {
        (
            library.get(b"__gcov_dump\0").map(|found| *found),
            library
                .get(b"__llvm_profile_write_file\0")
                .map(|found| *found),
        )
    };
    let found = [gcov.map(Writer::Gcov), llvm.map(Writer::Llvm)];
    writers().extend(found.into_iter().flatten());
}

/// What writes the counts of all libraries that have been loaded; none where there are none.
pub fn coverage() -> Option<fn()> {
    (!writers().is_empty()).then_some(write as fn())
}

fn write() {
    let all = writers().clone();
    for writer in all {
        match writer {
            // SAFETY: a function of a library that is never unloaded; it takes nothing.
            Writer::Gcov(write) => unsafe { write() },
            // SAFETY: the same.
            Writer::Llvm(write) => drop(unsafe { write() }),
        }
    }
}
