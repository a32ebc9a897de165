//! Signals that ask something: SIGINT through ctrlc, the others through signal-hook, which tells them apart.
//!
//! Knows nothing of runs. It hands on what is asked, and sees to it that a process that does not listen ends all the same:
//! one second after the second signal to stop, and at once at the third.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGXFSZ,
};
use signal_hook::flag;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::blackbox::{self, BlackBox};
use crate::error::{Error, Result};
use crate::process::end::end_by;
use crate::process::signals::is_ignored;
use crate::process::{self, Pause, tree};
use crate::stream;

/// How long a run has to write its reports after the second signal.
const LAST_WORDS: Duration = Duration::from_millis(900);

/// How long what tasks have started may take to end, once the supervisor is gone.
const ALL_ENDED: Duration = Duration::from_millis(500);

/// How often is looked for what a signal should have told, as a library may have taken its handler away.
const LOOK_EVERY: Duration = Duration::from_millis(250);

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// What comes back from tasks counts no more, for one of the following reasons.
static OVER: AtomicBool = AtomicBool::new(false);
/// The supervisor is gone. All that tasks have started is being killed, and this process after it.
static ORPHANED: AtomicBool = AtomicBool::new(false);

/// What is asked for from outside, as it comes. Tests make their own.
#[derive(Clone)]
pub struct Requests {
    /// The signal that has asked an earlier process of the run to stop. What comes before the first task is done all the same.
    pub before: Option<i32>,
    /// To stop: the number of the signal.
    pub stop: Receiver<i32>,
    /// To stop: a program that embeds the run says so.
    pub abort: Receiver<()>,
    /// To tell what runs.
    pub tell: Receiver<()>,
}

/// The way to ask a run to stop that no signal reaches: once to stop in order, once more to give up what still runs.
#[derive(Clone)]
pub struct Abort(Sender<()>);

impl Abort {
    /// A way, and the requests that come by it.
    pub fn new() -> (Self, Requests) {
        let (abort, aborts) = channel::unbounded();
        let requests = Requests {
            before: None,
            stop: channel::never(),
            abort: aborts,
            tell: channel::never(),
        };
        (Self(abort), requests)
    }

    /// Asks. A run that is over hears nothing any more.
    pub fn ask(&self) {
        let _ = self.0.send(());
    }
}

/// The other ends.
#[derive(Clone)]
struct Senders {
    stop: Sender<i32>,
    tell: Sender<()>,
}

/// Listens from now on. Signals that the parent process has set to be ignored (`nohup`, `&` in a script) stay ignored.
/// To be called once. `asked` is a signal that has asked an earlier process of this run to stop.
pub fn listen(asked: Option<i32>) -> Result<Requests> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new("run.threads", format!("cannot listen for signals: {why}"))
            .hint("the limits on threads or open files may be too low: `ulimit -u`, `ulimit -n`")
    };
    let (stop, stops) = channel::unbounded();
    let (tell, tells) = channel::bounded(1);
    let senders = Senders { stop, tell };
    process::on_fork(|| OVER.store(true, Ordering::Release));
    COUNT.store(asked.iter().len(), Ordering::Release);
    let heeded = |signal: &i32| !is_ignored(*signal);
    if heeded(&SIGINT) {
        let senders = senders.clone();
        ctrlc::set_handler(move || on_signal(SIGINT, &senders)).map_err(|e| failed(&e))?;
    }
    let others = [SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGTSTP, SIGCONT, SIGUSR2];
    listen_to(others.into_iter().filter(heeded), senders).map_err(|e| failed(&e))?;
    Ok(Requests {
        before: asked,
        stop: stops,
        abort: channel::never(),
        tell: tells,
    })
}

/// From here on a file that grows beyond the limit is a write error like any other, and not the end. Programs that are
/// started have it as it was.
pub fn survive_full_files() {
    if !is_ignored(SIGXFSZ) {
        // Fails for no signal that a process may handle.
        let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    }
}

/// To be called when something of a library has come back. Comes back itself where that counts.
#[inline]
pub fn after_call() {
    if is_over() {
        end_of_call();
    }
}

/// What happens here counts no more: this process is a copy that a task has forked, or about to be killed.
pub fn is_over() -> bool {
    OVER.load(Ordering::Acquire)
}

#[cold]
fn end_of_call() -> ! {
    // What a task makes of the death of its children is no outcome of it.
    while ORPHANED.load(Ordering::Relaxed) {
        thread::park();
    }
    // A task has forked, and this is not the process that the run is in.
    process::flush_streams();
    process::end(0)
}

/// Ask to stop.
const STOPS: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Hands the signals on, from a thread of its own. Once a library has closed the pipe that wakes that thread, each of them
/// ends the process at once.
fn listen_to(signals: impl Iterator<Item = i32> + Clone, senders: Senders) -> io::Result<()> {
    let deaf = Arc::new(AtomicBool::new(false));
    let ends = |signal: &i32| STOPS.contains(signal) || *signal == SIGUSR2;
    for signal in signals.clone().filter(ends) {
        flag::register_conditional_default(signal, Arc::clone(&deaf))?;
    }
    let (read, write) = UnixStream::pair()?;
    let (read, write) = (stream::lift(read), stream::lift(write));
    read.set_read_timeout(Some(LOOK_EVERY))?;
    let mut delivery = SignalDelivery::with_pipe(read, write, SignalOnly, signals)?;
    let supervisor = process::parent();
    let asked_before = blackbox::get().map_or((0, 0), BlackBox::asked_to_stop);
    let listen = move || {
        let mut pause = Pause::default();
        let black_box = blackbox::get();
        let asked = || black_box.map_or((0, 0), BlackBox::asked_to_stop);
        let heard = Cell::new(asked_before.0);
        let look = || {
            if process::parent() != supervisor {
                // Nobody else would see to what tasks have started.
                ORPHANED.store(true, Ordering::Relaxed);
                OVER.store(true, Ordering::Release);
                tree::end_all(ALL_ENDED);
                process::vanish();
            }
            let (count, signal) = asked();
            (heard.replace(count)..count).for_each(|_| on_signal(signal, &senders));
        };
        let mut wait = |read: &mut UnixStream| {
            loop {
                match read.read(&mut [0]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => look(),
                    read => return read.map(|bytes| bytes > 0),
                }
            }
        };
        loop {
            match delivery.poll_pending(&mut wait) {
                Ok(Some(pending)) => pending.for_each(|signal| match signal {
                    SIGTSTP => pause.begin(),
                    SIGCONT => pause.end(),
                    // The supervisor has heard something, or is gone. That way nothing is lost where a library has other
                    // handlers, as `system` of the C library has while it runs.
                    SIGUSR2 => look(),
                    signal => on_signal(signal, &senders),
                }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => break,
            }
        }
        deaf.store(true, Ordering::Release);
        // Its descriptor is somebody else's by now, or nobody's: not ours to close.
        std::mem::forget(delivery);
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map(drop)
}

/// On the thread of ctrlc or on ours, so not restricted as a handler is.
fn on_signal(signal: i32, senders: &Senders) {
    if signal == SIGUSR1 {
        // One that is not answered yet is answered with this one.
        let _ = senders.tell.try_send(());
        return;
    }
    match COUNT.fetch_add(1, Ordering::AcqRel) {
        0 => drop(senders.stop.send(signal)),
        1 => {
            let _ = senders.stop.send(signal);
            let wait = move || {
                thread::sleep(LAST_WORDS);
                end_by(signal);
            };
            // Where there is no thread to be had, nothing is waited for.
            if thread::Builder::new().spawn(wait).is_err() {
                end_by(signal);
            }
        }
        _ => end_by(signal),
    }
}
