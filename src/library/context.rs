//! The contexts behind the handles that tasks get, and what each call has said so far.
//!
//! A handle is a slot and its generation. Slots are never freed and every use takes a new generation, so a handle that
//! outlives its call, or was never given out, is recognised from any thread. Knows nothing of the ABI's functions.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::task::{Failure, Host, Json};

/// What a call has told the host about its own end.
#[derive(Default)]
pub(super) struct Said {
    /// Why it is going to fail; the last word counts.
    pub(super) failure: Option<Failure>,
    /// Why it is going to skip itself.
    pub(super) skip: Option<Box<str>>,
    /// What it returns, if it passes.
    pub(super) result: Option<Json>,
    /// What went wrong inside tdrun.
    pub(super) bug: Option<Box<str>>,
}

/// A context that is live.
struct Live {
    host: Arc<dyn Host>,
    said: Said,
}

#[derive(Default)]
struct Inner {
    /// Counts the uses of the slot; zero is never used, so no handle is zero.
    generation: u32,
    live: Option<Live>,
}

/// A place for one context at a time. Aligned, so that two workers do not share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Slot(Mutex<Inner>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CHUNK: usize = 64;
const CHUNKS: usize = 1024;

/// All slots. Chunks appear when they are first needed and stay where they are, so a look-up takes no lock.
static SLOTS: [OnceLock<Box<[Slot]>>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];

/// Slots that no thread keeps.
static FREE: Mutex<Free> = Mutex::new(Free {
    returned: Vec::new(),
    unused: 0,
});

struct Free {
    returned: Vec<u32>,
    unused: u32,
}

thread_local! {
    /// Slots that this thread has used before: a worker takes the same one for each of its tasks.
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept(Vec::new())) };
}

struct Kept(Vec<u32>);

impl Drop for Kept {
    fn drop(&mut self) {
        free().returned.append(&mut self.0);
    }
}

fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call of a task or a hook, from its begin to its end.
pub(super) struct Call {
    slot: &'static Slot,
    index: u32,
    generation: u32,
}

impl Call {
    /// Opens a context; none where there are too many.
    pub(super) fn begin(host: &Arc<dyn Host>) -> Option<Self> {
        let index = take_index();
        let slot = find(index)?;
        let mut inner = slot.lock();
        inner.generation = inner.generation.wrapping_add(1).max(1);
        inner.live = Some(Live {
            host: Arc::clone(host),
            said: Said::default(),
        });
        Some(Self {
            slot,
            index,
            generation: inner.generation,
        })
    }

    /// The handle for the library.
    pub(super) fn handle(&self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// Closes the context. From here on its handle is stale.
    pub(super) fn end(self) -> Said {
        let live = self.slot.lock().live.take();
        give_back(self.index);
        live.map(|live| live.said).unwrap_or_default()
    }
}

/// A handle whose context is not live, or whose call has been given up.
pub(super) struct Stale;

/// The host behind a handle. It is asked whether the call still counts, with nothing locked.
pub(super) fn host(handle: u64) -> Result<Arc<dyn Host>, Stale> {
    let host = with(handle, |live| Arc::clone(&live.host))?;
    if host.is_over() {
        return Err(Stale);
    }
    Ok(host)
}

/// Changes what the call behind a handle has said.
pub(super) fn say(handle: u64, change: impl FnOnce(&mut Said)) -> Result<(), Stale> {
    host(handle)?;
    with(handle, |live| change(&mut live.said))
}

/// Keeps what went wrong inside tdrun, where the call has not ended.
pub(super) fn note_bug(handle: u64, bug: Box<str>) {
    let _: Result<(), Stale> = with(handle, |live| live.said.bug = Some(bug));
}

fn with<T>(handle: u64, act: impl FnOnce(&mut Live) -> T) -> Result<T, Stale> {
    let [index, generation] = [handle, handle >> 32].map(low_half);
    let slot = find(index).ok_or(Stale)?;
    let mut inner = slot.lock();
    if inner.generation != generation {
        return Err(Stale);
    }
    inner.live.as_mut().map(act).ok_or(Stale)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the half is what is wanted"
)]
fn low_half(word: u64) -> u32 {
    word as u32
}

/// The slot of an index; also of one that nobody has used so far, where that costs nothing to tell.
fn find(index: u32) -> Option<&'static Slot> {
    let index = index as usize;
    let chunk = SLOTS.get(index / CHUNK)?.get()?;
    chunk.get(index % CHUNK)
}

fn take_index() -> u32 {
    let kept = KEPT.try_with(|kept| kept.borrow_mut().0.pop());
    kept.ok().flatten().unwrap_or_else(take_shared)
}

fn take_shared() -> u32 {
    let mut free = free();
    if let Some(index) = free.returned.pop() {
        return index;
    }
    let index = free.unused;
    free.unused = index.saturating_add(1);
    if let Some(chunk) = SLOTS.get(index as usize / CHUNK) {
        chunk.get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
    }
    index
}

fn give_back(index: u32) {
    if KEPT
        .try_with(|kept| kept.borrow_mut().0.push(index))
        .is_err()
    {
        free().returned.push(index);
    }
}
