//! Log records of a library that belong to no task: said by its constructors, its entry function, its own threads.
//!
//! Knows nothing of levels or of who listens; what is said before anybody does is kept, up to a limit.

use std::sync::{Arc, Mutex, PoisonError};

use crate::task::Record;

/// Takes a record, on whatever thread it is said.
pub type Sink = Arc<dyn Fn(Record) + Send + Sync>;

/// Records kept for the first listener.
const EARLY_MAX: usize = 256;

enum State {
    /// Nobody has listened so far.
    Early(Vec<Record>),
    Open(Sink),
    Closed,
}

static STATE: Mutex<State> = Mutex::new(State::Early(Vec::new()));

/// Sends records that belong to no task to `sink`, first those that were said before; `None` drops them from now on.
pub fn listen(sink: Option<Sink>) {
    let next = sink.clone().map_or(State::Closed, State::Open);
    let before = std::mem::replace(&mut *lock(), next);
    if let (State::Early(records), Some(sink)) = (before, sink) {
        for record in records {
            sink(record);
        }
    }
}

/// Hands over one record. The sink is called without the lock, so that it may log, too.
pub(super) fn send(record: Record) {
    let sink = match &mut *lock() {
        State::Early(records) if records.len() < EARLY_MAX => return records.push(record),
        State::Open(sink) => sink.clone(),
        State::Early(_) | State::Closed => return,
    };
    sink(record);
}

fn lock() -> std::sync::MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
