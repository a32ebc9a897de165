//! Signals that ask to stop: SIGINT through ctrlc, SIGTERM, SIGHUP and SIGQUIT through signal-hook, which tells them apart.
//!
//! Knows nothing of runs. It hands on the numbers, and sees to it that a process that does not listen ends all the same:
//! one second after the second signal, and at once at the third.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::error::{Error, Result};

/// How long a run has to write its reports after the second signal.
const LAST_WORDS: Duration = Duration::from_millis(900);

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Listens from now on. Signals that the parent process has set to be ignored (`nohup`, `&` in a script) stay ignored.
/// To be called once.
pub fn listen() -> Result<Receiver<i32>> {
    let failed = |why: String| Error::new("internal", format!("cannot listen for signals: {why}"));
    let (sender, receiver) = channel::unbounded();
    let ignored = ignored();
    let heeded = |signal: &i32| ignored & (1 << (signal - 1)) == 0;
    if heeded(&SIGINT) {
        let sender = sender.clone();
        ctrlc::set_handler(move || on_signal(SIGINT, &sender))
            .map_err(|e| failed(e.to_string()))?;
    }
    let others = [SIGTERM, SIGHUP, SIGQUIT].into_iter().filter(heeded);
    let mut signals = Signals::new(others).map_err(|e| failed(e.to_string()))?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            signals
                .forever()
                .for_each(|signal| on_signal(signal, &sender));
        })
        .map_err(|e| failed(e.to_string()))?;
    Ok(receiver)
}

/// On the thread of ctrlc or of signal-hook, so not restricted as a handler is.
fn on_signal(signal: i32, sender: &Sender<i32>) {
    match COUNT.fetch_add(1, Ordering::AcqRel) {
        0 => drop(sender.send(signal)),
        1 => {
            let _ = sender.send(signal);
            thread::spawn(move || {
                thread::sleep(LAST_WORDS);
                end(signal);
            });
        }
        _ => end(signal),
    }
}

/// Ends the process by the signal, so that the parent sees why.
fn end(signal: i32) -> ! {
    let _ = emulate_default_handler(signal);
    std::process::abort()
}

/// The signals that were ignored when the process started, a bit each. Nothing was changed by then but SIGPIPE.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
