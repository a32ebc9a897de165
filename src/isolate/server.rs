//! The process that all task processes descend from.
//!
//! It has one thread, the libraries that were loaded when it began, and little else. For each lane it forks a [`Forker`], a
//! copy of itself. So several processors fork at the same time, and what a task leaves behind is found with nothing else.
//! Knows lanes; nothing of what is asked or said on them, but where it cannot fork.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::child::Desk;
use super::forker::{Forker, Start};
use super::order::{Command, Order, Report};
use crate::process::poll::Poll;
use crate::process::signals::{self, Signal, Signals};
use crate::process::socket::{self, Carried, Patience};
use crate::process::{self, Change, ProcessId, Side, Single, Words, tree};
use crate::task::{Caller, Catalog, Hosts};

/// The numbers of its descriptors; those below stay taken, so that what comes along with an order can be put there.
pub(super) const CONTROL: i32 = 10;
const WORDS: i32 = 11;
/// Where descriptors are put while they are sorted.
const ASIDE: i32 = 20;
/// One of those, which leads nowhere.
pub(super) const NULL: i32 = CONTROL - 1;
/// Bytes of an order at most.
pub(super) const ORDER_MAX: usize = 64 << 10;
/// How long those that are left at the end of the run have to end in order,
const LEAVE_FOR: Duration = Duration::from_millis(200);
/// how long a forker has to end those of its lane,
const FORKER_FOR: Duration = Duration::from_millis(400);
/// and how long all are killed again and again.
const SWEEP_FOR: Duration = Duration::from_secs(5);
pub(super) const SWEEP_EVERY: Duration = Duration::from_millis(1);

/// How task processes are made.
pub(super) enum How {
    /// As copies of this one, which has loaded these; the words that they share; what gets ready for calls of them; and what
    /// they do at their end.
    Fork(&'static Catalog, Words, fn(&Caller<'_>), Option<fn()>),
    /// By a program and its arguments, which finds on its socket what to do; and the file of the words.
    Start(Vec<String>, OwnedFd),
}

/// Serves until nobody needs it any more.
pub(super) fn serve(how: How, control: OwnedFd, parent: ProcessId) -> ! {
    let status = match Server::new(how, control, parent) {
        Ok(mut server) => server.run(),
        Err(_) => 1,
    };
    process::end(status)
}

struct Server {
    start: Start,
    single: Single,
    control: OwnedFd,
    signals: Signals,
    parent: ProcessId,
    forkers: Vec<ProcessId>,
    /// Lanes whose forkers could not be started yet.
    waiting: Vec<Waiting>,
}

/// A lane without a forker.
struct Waiting {
    lane: OwnedFd,
    /// What it has been asked for meanwhile.
    order: Option<(Order, Carried)>,
    retry: Retry,
}

/// When a process is tried to be started again that the system did not let be.
pub(super) struct Retry {
    since: Instant,
    pub(super) next: Instant,
    delay: Duration,
}

impl Retry {
    /// How long a process is tried to be started.
    const FOR: Duration = Duration::from_secs(30);
    /// And how often, at least and at most.
    const EVERY: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];

    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            next: now,
            delay: Self::EVERY[0],
        }
    }

    /// Puts the next attempt off; false where there should be none.
    pub(super) fn put_off(&mut self, error: &io::Error) -> bool {
        let now = Instant::now();
        self.next = now + self.delay;
        self.delay = Self::EVERY[1].min(2 * self.delay);
        let passes = [io::ErrorKind::WouldBlock, io::ErrorKind::OutOfMemory];
        passes.contains(&error.kind()) && now.duration_since(self.since) < Self::FOR
    }
}

impl Server {
    fn new(how: How, control: OwnedFd, parent: ProcessId) -> io::Result<Self> {
        signals::reset();
        process::set_name("tdrun-server");
        process::adopt_orphans();
        // Who kills the group of the runner must not kill the one that ends all the others then.
        process::lead_group();
        let null = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let words = match &how {
            How::Fork(..) => null.as_fd(),
            How::Start(_, file) => file.as_fd(),
        };
        let aside = [control.as_fd(), words, null.as_fd()];
        let aside = aside.map(|descriptor| process::copy_from(descriptor, ASIDE));
        // All these numbers are about to be closed, or somebody else's.
        let _ = [control, null.into()].map(OwnedFd::into_raw_fd);
        let [control, file, null] = aside;
        let (control, file, null) = (control?, file?, null?);
        process::place(control.as_fd(), CONTROL, true)?;
        process::place(file.as_fd(), WORDS, true)?;
        for number in (0..2).chain(3..CONTROL) {
            process::place(null.as_fd(), number, number > 2)?;
        }
        let _ = [control, file, null].map(OwnedFd::into_raw_fd);
        process::close_from(WORDS.cast_unsigned() + 1);
        signals::hold_all();
        let signals = Signals::hold(&[Signal::SIGCHLD, Signal::SIGTERM])?;
        if !process::hear_of_end(parent, Signal::SIGTERM) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let start = match how {
            How::Fork(catalog, words, call, at_end) => {
                let desk = Desk::new(catalog, words, at_end);
                let hosts: Arc<dyn Hosts> = Arc::clone(&desk) as _;
                Desk::warm_up(&hosts, call);
                Start::Here(desk, hosts)
            }
            How::Start(program, moved) => {
                let _ = moved.into_raw_fd();
                let file = socket::inherited(WORDS)?;
                Start::Program(program, process::words_of(&file)?, file)
            }
        };
        start.note_kills();
        let server = Self {
            start,
            single: Single::check().ok_or(io::ErrorKind::ResourceBusy)?,
            control: socket::inherited(CONTROL)?,
            signals,
            parent,
            forkers: Vec::new(),
            waiting: Vec::new(),
        };
        // What was needed to read the command line and to load is not carried along by every fork.
        process::give_back_memory();
        Ok(server)
    }

    /// Its own status.
    fn run(&mut self) -> i32 {
        let mut poll = Poll::default();
        loop {
            poll.clear();
            let signalled = poll.add(&self.signals);
            let controlled = poll.add(&self.control);
            let next = self.waiting.iter().map(|waiting| waiting.retry.next).min();
            let patience = next.map(|at| at.saturating_duration_since(Instant::now()));
            if poll.wait(patience).is_err() {
                leave(true);
                return 1;
            }
            if poll.is_ready(signalled) {
                if is_orphaned(&self.signals, self.parent) {
                    leave(true);
                    return 0;
                }
                self.reap();
            }
            if poll.is_ready(controlled)
                && let Some(at_once) = self.control()
            {
                if !at_once {
                    self.await_forkers();
                }
                leave(true);
                // All that was left has ended.
                let _ = socket::send(self.control.as_fd(), &[0], &[], Patience::Now);
                return 0;
            }
            self.try_again();
        }
    }

    /// A new lane, or the end: whether it is to come at once.
    fn control(&mut self) -> Option<bool> {
        let mut came = Carried::default();
        let mut buffer = [0; 64];
        match socket::receive_with(self.control.as_fd(), [&mut buffer, &mut []], &mut came) {
            Ok(0) => Some(true),
            Ok(length) => {
                if let Some(Command::Leave) = Command::read(&buffer[..length]) {
                    return Some(false);
                }
                for lane in came.into_iter().flatten() {
                    self.fork(Waiting {
                        lane,
                        order: None,
                        retry: Retry::new(),
                    });
                }
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(true),
        }
    }

    fn fork(&mut self, mut waiting: Waiting) {
        let me = process::id();
        match self.single.fork() {
            Ok(Side::Child) => {
                let Waiting { lane, order, .. } = waiting;
                let forker = Forker::new(&self.start, &self.single, &self.signals, me, lane);
                let status = forker.map_or(1, |mut forker| forker.run(order));
                process::end(status);
            }
            Ok(Side::Parent(forker)) => self.forkers.push(forker),
            Err(error) => {
                let goes_on = waiting.retry.put_off(&error);
                waiting.hear();
                if !goes_on {
                    waiting.refuse(&error.to_string());
                    waiting.retry = Retry::new();
                }
                self.waiting.push(waiting);
            }
        }
    }

    /// A forker that has ended has ended its lane. Its task ends by itself, and what that has started is then a child of this
    /// process.
    fn reap(&mut self) {
        let mut some = false;
        while let Some(change) = process::next_change() {
            if let Change::Ended(pid) = change {
                self.forkers.retain(|forker| *forker != pid);
                process::reap(pid);
                some = true;
            }
        }
        if some {
            let mut others = tree::children(process::id());
            others.retain(|pid| !self.forkers.contains(pid));
            for pid in others {
                signals::send_group(pid, Signal::SIGKILL);
                tree::kill(pid, Duration::ZERO);
            }
        }
    }

    /// Each ends by itself when all that it was to do is done, with what is left of that.
    fn await_forkers(&self) {
        let (mut poll, end) = (Poll::default(), Instant::now() + FORKER_FOR);
        while process::has_children() {
            poll.clear();
            poll.add(&self.signals);
            let patience = end.saturating_duration_since(Instant::now());
            if patience.is_zero() || poll.wait(Some(patience)).is_err() {
                return;
            }
            self.signals.next();
            reap_all();
        }
    }

    fn try_again(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (due, waiting): (Vec<_>, _) = all.partition(|waiting| waiting.retry.next <= now);
        self.waiting = waiting;
        for waiting in due {
            self.fork(waiting);
        }
    }
}

impl Waiting {
    /// What is asked for while there is nobody else to hear it.
    fn hear(&mut self) {
        let mut buffer = vec![0; ORDER_MAX];
        loop {
            let mut came = Carried::default();
            let heard = socket::receive_with(self.lane.as_fd(), [&mut buffer, &mut []], &mut came);
            let Ok(length @ 1..) = heard else { return };
            match Command::read(&buffer[..length]) {
                Some(Command::Start(order)) => self.order = Some((order, came)),
                Some(Command::Kill(_)) => self.refuse("stopped before it was started"),
                _ => {}
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        if let Some((order, _)) = self.order.take() {
            let report = Report::NotStarted(order.nonce, why.into());
            let _ = socket::send(self.lane.as_fd(), &report.write(), &[], Patience::Now);
        }
    }
}

/// Takes a signal that has come; whether it says that the parent has ended. The next one is as good as the first when it is
/// waited for again.
pub(super) fn is_orphaned(signals: &Signals, parent: ProcessId) -> bool {
    let heard = signals.next();
    heard.is_some_and(|heard| heard.number == Signal::SIGTERM as i32) && process::parent() != parent
}

fn reap_all() {
    while let Some(change) = process::next_change() {
        if let Change::Ended(pid) = change {
            process::reap(pid);
        }
    }
}

/// Ends all that is left: in order where there is time for that.
pub(super) fn leave(at_once: bool) {
    let (me, start) = (process::id(), Instant::now());
    let mut asked = at_once;
    while process::has_children() && start.elapsed() <= SWEEP_FOR {
        if !asked {
            for pid in tree::descendants(me) {
                signals::send(pid, Signal::SIGTERM);
            }
            asked = true;
        } else if at_once || start.elapsed() > LEAVE_FOR {
            for pid in tree::children(me) {
                signals::send_group(pid, Signal::SIGKILL);
                tree::kill(pid, Duration::ZERO);
            }
        }
        reap_all();
        thread::sleep(SWEEP_EVERY);
    }
}
