//! The `log` crate's logger of a library: forwards records to the host, under the task of the thread.
//!
//! Knows nothing of who listens: the host says how verbose that is, and shows or stores the records.

use std::borrow::Cow;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::current::Current;
use super::host::Handle;
use crate::raw;

static LOGGER: OnceLock<Forward> = OnceLock::new();

/// `library` is the handle for records of threads that belong to no task.
struct Forward {
    library: Handle,
}

/// Makes the host's log the one of the `log` crate, unless the library has a logger already.
pub(crate) fn install(library: Handle) {
    let logger = LOGGER.get_or_init(|| Forward { library });
    if log::set_logger(logger).is_ok() {
        refresh(library);
    }
}

/// Asks the host again how verbose it listens. Does nothing where the library has a logger of its own.
pub(crate) fn refresh(handle: Handle) {
    let ours = LOGGER.get().is_some_and(|logger| {
        let installed: *const dyn Log = log::logger();
        std::ptr::addr_eq(installed, logger)
    });
    if ours {
        log::set_max_level(filter(handle.log_level()));
    }
}

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let handle = Current::get().map_or(self.library, |current| current.context.handle());
        let message = match record.args().as_str() {
            Some(message) => Cow::Borrowed(message),
            None => Cow::Owned(record.args().to_string()),
        };
        handle.log(
            number(record.level()),
            record.target(),
            &message,
            record.file().unwrap_or_default(),
            record.line().unwrap_or_default(),
        );
    }

    fn flush(&self) {}
}

fn number(level: Level) -> u32 {
    match level {
        Level::Error => raw::LOG_ERROR,
        Level::Warn => raw::LOG_WARN,
        Level::Info => raw::LOG_INFO,
        Level::Debug => raw::LOG_DEBUG,
        Level::Trace => raw::LOG_TRACE,
    }
}

fn filter(level: u32) -> LevelFilter {
    match level {
        raw::LOG_OFF => LevelFilter::Off,
        raw::LOG_ERROR => LevelFilter::Error,
        raw::LOG_WARN => LevelFilter::Warn,
        raw::LOG_INFO => LevelFilter::Info,
        raw::LOG_DEBUG => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}
