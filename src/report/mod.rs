//! Reporters: who listens to a run. One small file each; all are called on one thread, in the order of the events.

use std::io;
use std::time::Duration;

use crate::event::{Briefing, Event, Summary};

/// Listens to a run. An error means that its output could not be written; it is then not called again, and the run goes on.
pub trait Reporter {
    /// The run is about to begin; nothing has happened yet.
    fn begin(&mut self, briefing: &Briefing) -> io::Result<()> {
        let _ = briefing;
        Ok(())
    }

    /// Something happened.
    fn event(&mut self, briefing: &Briefing, event: &Event) -> io::Result<()>;

    /// Called every so often while nothing happens, for displays that show elapsed time; see [`Reporter::tick_every`].
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// How often [`Reporter::tick`] wants to be called; never by default, so that an idle run sleeps.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// The run is over. What is written now is all that will ever be written.
    fn finish(&mut self, briefing: &Briefing, summary: &Summary) -> io::Result<()>;
}
