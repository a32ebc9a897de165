//! What lies behind C functions: the table of the shapes, oneTBB, and what the system knows of a child.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::path::Path;
use std::process::Child;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::Context;
use libloading::{Library, Symbol};
use task_abi::raw;

use crate::contenders::Edges;

/// The library of shapes, in the shape that the environment asks for.
pub(crate) struct Shapes {
    library: &'static Library,
    table: *const raw::Table,
}

impl Shapes {
    /// Loads it and has it make its table.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        type Entry = unsafe extern "C" fn(*const c_void) -> *const raw::Table;
        // SAFETY: it is our own library. Its entry function has this type, and does not look at the host.
        let (library, table) = unsafe {
            let library = stay(Library::new(path)?);
            let entry: Symbol<Entry> = library.get(raw::ENTRY)?;
            let table = entry(ptr::null());
            (library, table)
        };
        anyhow::ensure!(!table.is_null(), "there is no such shape");
        Ok(Self { library, table })
    }

    /// What its table takes.
    pub(crate) fn bytes(&self) -> usize {
        // SAFETY: a function of this type.
        unsafe {
            let bytes: Result<Symbol<unsafe extern "C" fn() -> usize>, _> =
                self.library.get("shapes_bytes");
            bytes.expect("the library has it")()
        }
    }

    /// Its graph. Names are a letter and the number of a task; the one glob means all tasks before.
    pub(crate) fn edges(&self) -> Edges {
        // SAFETY: the table has so many tasks, which do not change, and all fields up to `after_count`.
        let tasks: Vec<(u32, &[raw::Str])> = unsafe {
            let table = &*self.table;
            let stride = table.task_stride as usize;
            let task = |number: usize| table.tasks.byte_add(number * stride);
            let after = |number| {
                let (list, count) = (
                    &raw const (*task(number)).after,
                    &raw const (*task(number)).after_count,
                );
                std::slice::from_raw_parts(*list, *count)
            };
            (0..)
                .zip(0..table.task_count)
                .map(|(id, number)| (id, after(number)))
                .collect()
        };
        let mut pairs = Vec::new();
        let mut dependencies = vec![0; tasks.len()];
        for (task, after) in &tasks {
            for name in *after {
                // SAFETY: names are text, and stay.
                let text = unsafe { std::slice::from_raw_parts(name.ptr.cast::<u8>(), name.len) };
                let digits = std::str::from_utf8(&text[1..]).expect("names are text");
                let named = match digits.parse() {
                    Ok(number) => number..number + 1,
                    Err(_) => 0..*task,
                };
                dependencies[*task as usize] += named.end - named.start;
                pairs.extend(named.map(|dependency: u32| (dependency, *task)));
            }
        }
        let mut starts = vec![0; tasks.len() + 1];
        for (dependency, _) in &pairs {
            starts[*dependency as usize + 1] += 1;
        }
        for task in 0..tasks.len() {
            starts[task + 1] += starts[task];
        }
        let (mut ends, mut dependents) = (starts.clone(), vec![0; pairs.len()]);
        for (dependency, task) in pairs {
            let end = &mut ends[dependency as usize];
            dependents[*end as usize] = task;
            *end += 1;
        }
        Edges {
            starts,
            dependents,
            dependencies,
        }
    }
}

/// A graph in oneTBB.
pub(crate) struct Flow {
    library: &'static Library,
    graph: *mut c_void,
}

impl Flow {
    /// Makes all nodes and edges.
    pub(crate) fn load(path: &Path, edges: &Edges, workers: usize) -> anyhow::Result<Self> {
        type New =
            unsafe extern "C" fn(usize, *const u32, *const u32, *const u32, usize) -> *mut c_void;
        // SAFETY: it is our own library, whose function has this type and reads the arrays only now.
        let (library, graph) = unsafe {
            let library = stay(Library::new(path)?);
            let new: Symbol<New> = library.get("flow_new")?;
            let [starts, dependents, dependencies] =
                [&edges.starts, &edges.dependents, &edges.dependencies].map(Vec::as_ptr);
            let tasks = edges.dependencies.len();
            let graph = new(tasks, starts, dependents, dependencies, workers);
            (library, graph)
        };
        Ok(Self { library, graph })
    }

    /// Runs all tasks.
    pub(crate) fn run(&mut self) -> Duration {
        let begin = Instant::now();
        // SAFETY: the graph is the library's own.
        unsafe {
            let run: Result<Symbol<unsafe extern "C" fn(*mut c_void)>, _> =
                self.library.get("flow_run");
            run.expect("the library has it")(self.graph);
        }
        begin.elapsed()
    }
}

/// oneTBB's threads end at some time after the last task, so its code has to stay; the table has to for tdrun.
fn stay(library: Library) -> &'static Library {
    Box::leak(Box::new(library))
}

/// Waits for a child that has to pass; the most memory that it ever had, in bytes.
pub(crate) fn peak_of(child: &Child) -> anyhow::Result<usize> {
    let pid = child.id().cast_signed();
    // SAFETY: all zero is a valid `rusage`.
    let (mut status, mut usage) = (0, unsafe { std::mem::zeroed::<libc::rusage>() });
    // SAFETY: both pointers are valid, and nobody else waits for this child.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    anyhow::ensure!(
        ended == pid,
        "waiting for a child: {}",
        io::Error::last_os_error()
    );
    anyhow::ensure!(status == 0, "a child ended with status {status:#x}");
    let kib = usize::try_from(usage.ru_maxrss).context("a size")?;
    Ok(kib << 10)
}
