//! What comes into a run from outside of its tasks and hooks: a library speaks.
//!
//! Knows nothing of how that is noticed.

use std::sync::Arc;

use super::services::Services;
use crate::event::{Event, Source};
use crate::task::Record;

/// A way into the run, from any thread.
pub struct Ear {
    pub(super) services: Arc<Services>,
}

impl Ear {
    /// Tells the reporters what a library says outside of tasks and hooks. Waits where that is more than they can write.
    pub fn hear(&self, record: Record) {
        let source = Source::Library;
        let outbox = &self.services.outbox;
        outbox.send_log(Event::Logged { source, record });
    }
}
