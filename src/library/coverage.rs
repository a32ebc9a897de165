//! Coverage: what a library has counted, and would write when its process ends in order. That of a task does not, nor one
//! whose threads are left to themselves, so it is written before.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs::{self, File};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::os::unix::Library;
use object::Endianness;
use object::elf::{self, FileHeader64, Sym64};
use object::read::elf::{FileHeader as _, SectionTable, Sym as _};
use object::read::{ReadCache, ReadRef};
use task_abi::raw;

use super::Stamp;

/// What writes the counts of a library.
#[derive(Clone, Copy)]
enum Writer {
    /// `__gcov_dump`, or `__gcov_exit`, which is what a destructor calls
    Gcov(unsafe extern "C" fn()),
    /// `__llvm_profile_write_file`
    Llvm(unsafe extern "C" fn() -> c_int),
}

/// A library that may keep to itself what writes its counts.
struct Noted {
    file: Stamp,
    /// Where its entry function is.
    entry: usize,
    /// It has what `gcc --coverage` adds.
    is_gcov: bool,
}

static WRITERS: Mutex<Vec<Writer>> = Mutex::new(Vec::new());
static NOTED: Mutex<Vec<Noted>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what the library offers, and where its entry function is, for what it does not.
pub(super) fn note(library: &Library, file: &Stamp, entry: raw::EntryFn) {
    // SAFETY: the types are those of the functions that compilers give these names, and the library is never unloaded. The
    // last one is only looked for.
    let (gcov, llvm, is_gcov) = unsafe {
        (
            library.get(b"__gcov_dump\0").map(|found| *found),
            library
                .get(b"__llvm_profile_write_file\0")
                .map(|found| *found),
            library.get::<*const ()>(b"__gcov_master\0").is_ok(),
        )
    };
    let found = [gcov.map(Writer::Gcov), llvm.map(Writer::Llvm)];
    let mut found = found.into_iter().flatten().peekable();
    if found.peek().is_none() {
        locked(&NOTED).push(Noted {
            file: file.clone(),
            entry: entry as usize,
            is_gcov,
        });
    }
    locked(&WRITERS).extend(found);
}

/// What writes the counts of all libraries that have been loaded; none where there are none.
pub fn coverage() -> Option<fn()> {
    let noted = std::mem::take(&mut *locked(&NOTED));
    let found = noted.iter().filter_map(Noted::find);
    locked(&WRITERS).extend(found);
    (!locked(&WRITERS).is_empty()).then_some(write as fn())
}

/// Writes the counts of all libraries that have been loaded, where no destructor of theirs will.
pub fn write_coverage() {
    if let Some(write) = coverage() {
        write();
    }
}

fn write() {
    let all = locked(&WRITERS).clone();
    for writer in all {
        match writer {
            // SAFETY: a function of a library that is never unloaded; it takes nothing.
            Writer::Gcov(write) => unsafe { write() },
            // SAFETY: the same.
            Writer::Llvm(write) => drop(unsafe { write() }),
        }
    }
}

impl Noted {
    /// What the library keeps to itself, by its table of symbols; none where it counts nothing, or the table was stripped.
    fn find(&self) -> Option<Writer> {
        // The whole file is read only where there is something to be found.
        let file = ReadCache::new(File::open(self.file.path()).ok()?);
        if !self.is_gcov && !has_llvm_counts(&file) {
            return None;
        }
        let bytes = fs::read(self.file.path()).ok()?;
        let functions = Functions::of(&bytes)?;
        let base = self.entry.checked_sub(functions.find(raw::ENTRY)?)?;
        let find = |name: &str| base.checked_add(functions.find(name)?);
        let gcov = find("__gcov_dump").or_else(|| find("__gcov_exit"));
        let llvm = find("__llvm_profile_write_file");
        if !self.file.is_current() {
            return None; // what was read is not what was loaded
        }
        // SAFETY: in the file that was loaded a function of this name is so far from its entry function; the types are those
        // that compilers give them.
        unsafe {
            match (gcov, llvm) {
                (Some(gcov), _) => Some(Writer::Gcov(std::mem::transmute::<
                    usize,
                    unsafe extern "C" fn(),
                >(gcov))),
                (None, Some(llvm)) => Some(Writer::Llvm(std::mem::transmute::<
                    usize,
                    unsafe extern "C" fn() -> c_int,
                >(llvm))),
                (None, None) => None,
            }
        }
    }
}

type Header = FileHeader64<Endianness>;

fn sections<'a, R: ReadRef<'a>>(data: R) -> Option<(Endianness, SectionTable<'a, Header, R>)> {
    let header = Header::parse(data).ok()?;
    let endian = header.endian().ok()?;
    Some((endian, header.sections(endian, data).ok()?))
}

fn has_llvm_counts<'a, R: ReadRef<'a>>(data: R) -> bool {
    let counts = sections(data)
        .and_then(|(endian, sections)| sections.section_by_name(endian, b"__llvm_prf_cnts"));
    counts.is_some()
}

/// The functions of a library, also those that it does not export.
struct Functions<'a> {
    endian: Endianness,
    symbols: object::read::elf::SymbolTable<'a, Header>,
}

impl<'a> Functions<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let (endian, sections) = sections(data)?;
        let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB).ok()?;
        Some(Self { endian, symbols })
    }

    /// How far from the beginning a function is.
    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |symbol: &&Sym64<Endianness>| {
            symbol.st_type() == elf::STT_FUNC
                && !symbol.is_undefined(self.endian)
                && symbol.name(self.endian, self.symbols.strings()) == Ok(name.as_bytes())
        };
        let symbol = self.symbols.iter().find(is_it)?;
        usize::try_from(symbol.st_value(self.endian)).ok()
    }
}
