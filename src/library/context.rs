//! The contexts behind the handles that tasks get, and what each call has said so far.
//!
//! A handle is a slot, how often that was given to somebody else, and the number of a call. Slots are never freed, and the
//! hosts of the slot know which call goes on, so a handle that outlives its call, or was never given out, is recognised from
//! any thread. A call that asks for nothing touches nothing here but what its own thread has. Knows nothing of the ABI's
//! functions.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::task::{Caller, Failure, Host, Hosts, Json};

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

/// A place for one context at a time. Aligned, so that two workers do not share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Slot {
    /// Which hosts are in `inner`, by their address: the thread that calls looks at that without the lock.
    hosts: AtomicUsize,
    /// How often they have changed.
    epoch: AtomicU16,
    /// There may be something in `said`.
    has_said: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    hosts: Option<Arc<dyn Hosts>>,
    /// By this call of theirs.
    said_by: u32,
    said: Said,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on its contexts belong to these hosts. On the thread that keeps the slot.
    fn set_hosts(&self, hosts: &Arc<dyn Hosts>) {
        // What is in there is alive, so nothing else has its address.
        let address = Arc::as_ptr(hosts).cast::<()>().addr();
        if self.hosts.load(Ordering::Relaxed) != address {
            let mut inner = self.lock();
            inner.hosts = Some(Arc::clone(hosts));
            self.hosts.store(address, Ordering::Relaxed);
            self.epoch.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// No thread keeps it any more.
    fn clear(&self) {
        self.lock().hosts = None;
        self.hosts.store(0, Ordering::Relaxed);
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
    static KEPT: Kept = const { Kept { last: Cell::new(None), more: RefCell::new(Vec::new()) } };
}

/// Slots that a thread has used before: a worker takes the same one for each of its tasks.
struct Kept {
    last: Cell<Option<Numbered>>,
    /// Where calls stand within calls.
    more: RefCell<Vec<Numbered>>,
}

/// A slot and its index.
type Numbered = (u32, &'static Slot);

impl Drop for Kept {
    fn drop(&mut self) {
        for (index, slot) in self.last.take().into_iter().chain(self.more.take()) {
            slot.clear();
            free().returned.push(index);
        }
    }
}

fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The call of a task or a hook, from its begin to its end.
pub(super) struct Call {
    slot: Numbered,
    epoch: u16,
    number: u32,
}

impl Call {
    /// Opens a context; none where there are too many.
    pub(super) fn begin(caller: &Caller<'_>) -> Option<Self> {
        let (index, slot) = take_slot()?;
        slot.set_hosts(caller.hosts());
        Some(Self {
            slot: (index, slot),
            epoch: slot.epoch.load(Ordering::Relaxed),
            number: caller.call(),
        })
    }

    /// The handle for the library.
    pub(super) fn handle(&self) -> u64 {
        let slot = u64::from(self.slot.0) << 48 | u64::from(self.epoch) << 32;
        slot | u64::from(self.number)
    }

    /// Closes the context; what the call has said, if anything.
    pub(super) fn end(self) -> Option<Said> {
        let (_, slot) = self.slot;
        let mut said = None;
        // What another thread says at this very moment comes too late; it stays, marked as what this call has said.
        if slot.has_said.load(Ordering::Relaxed) {
            let mut inner = slot.lock();
            slot.has_said.store(false, Ordering::Relaxed);
            let all = std::mem::take(&mut inner.said);
            if inner.said_by == self.number {
                said = Some(all);
            }
        }
        give_back(self.slot);
        said
    }
}

/// A handle whose context is not live, or whose call has been given up.
pub(super) struct Stale;

/// The host behind a handle. It is asked whether the call still counts, with nothing locked.
pub(super) fn host(handle: u64) -> Result<Arc<dyn Host>, Stale> {
    let (inner, call, _) = open(handle)?;
    let hosts = inner.hosts.clone().ok_or(Stale)?;
    drop(inner);
    let host = hosts.host(call).ok_or(Stale)?;
    if host.is_over() {
        return Err(Stale);
    }
    Ok(host)
}

/// Changes what the call behind a handle has said.
pub(super) fn say(handle: u64, change: impl FnOnce(&mut Said)) -> Result<(), Stale> {
    host(handle)?;
    note(handle, change)
}

/// Keeps what went wrong inside tdrun, where the call has not ended.
pub(super) fn note_bug(handle: u64, bug: Box<str>) {
    let _: Result<(), Stale> = note(handle, |said| said.bug = Some(bug));
}

fn note(handle: u64, change: impl FnOnce(&mut Said)) -> Result<(), Stale> {
    let (mut inner, call, slot) = open(handle)?;
    if inner.said_by != call {
        (inner.said_by, inner.said) = (call, Said::default());
    }
    change(&mut inner.said);
    slot.has_said.store(true, Ordering::Relaxed);
    Ok(())
}

type Open = (MutexGuard<'static, Inner>, u32, &'static Slot);

/// The slot of a handle, while it has the hosts that the handle was made for; and the number of the call.
fn open(handle: u64) -> Result<Open, Stale> {
    let [call, epoch, index] = [
        handle & 0xffff_ffff,
        handle >> 32 & 0xffff,
        handle >> 48 & 0xffff,
    ];
    let slot = find(low_half(index)).ok_or(Stale)?;
    let inner = slot.lock();
    if u64::from(slot.epoch.load(Ordering::Relaxed)) != epoch {
        return Err(Stale);
    }
    Ok((inner, low_half(call), slot))
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

fn take_slot() -> Option<Numbered> {
    let kept = |kept: &Kept| kept.last.take().or_else(|| kept.more.borrow_mut().pop());
    KEPT.try_with(kept).ok().flatten().or_else(take_shared)
}

/// None where there are too many.
fn take_shared() -> Option<Numbered> {
    let mut free = free();
    let index = free.returned.pop().unwrap_or_else(|| {
        let index = free.unused;
        free.unused = index.saturating_add(1);
        index
    });
    let chunk = SLOTS.get(index as usize / CHUNK)?;
    let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
    Some((index, &chunk[index as usize % CHUNK]))
}

fn give_back(slot: Numbered) {
    let keep = |kept: &Kept| {
        if let Some(other) = kept.last.replace(Some(slot)) {
            kept.more.borrow_mut().push(other);
        }
    };
    if KEPT.try_with(keep).is_err() {
        free().returned.push(slot.0);
    }
}
