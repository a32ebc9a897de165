//! The process that all task processes are forked from, or started by.
//!
//! It has one thread, the libraries that were loaded when it began, and little else. Knows the processes that it has started
//! by their nonces; nothing of what they are asked or say.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::child;
use super::order::{Command, Order, Report};
use crate::process::poll::Poll;
use crate::process::signals::{self, Signal, Signals};
use crate::process::socket::{self, Patience};
use crate::process::{self, Change, ProcessId, Side, Single, Status, Words, tree};
use crate::task::{Caller, Catalog, Left};

/// The numbers of its descriptors; those below stay taken, so that what comes along with an order can be put there.
const CONTROL: i32 = 10;
const WORDS: i32 = 11;
/// Where descriptors are put while they are sorted.
const ASIDE: i32 = 20;
/// The number of the socket in a task process,
pub(super) const SOCKET_OF_TASK: i32 = 3;
/// and of the words, where it does not have them from the start.
pub(super) const WORDS_OF_TASK: i32 = 4;
/// Bytes of an order.
const ORDER_MAX: usize = 64 << 10;
/// How long a process is tried to be started.
const FORK_FOR: Duration = Duration::from_secs(30);
/// And how often, at least and at most.
const FORK_EVERY: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];
/// How long the tree of a task may take to end when it is killed.
const KILL_FOR: Duration = Duration::from_millis(50);
/// How long those that are left at the end of the run have to end in order,
const LEAVE_FOR: Duration = Duration::from_millis(200);
/// and how long they are killed again and again.
const SWEEP_FOR: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_millis(1);

/// How task processes are made.
pub(super) enum How<'a> {
    /// As copies of this one, which has loaded these; and what gets ready for calls of them.
    Fork(&'a Catalog, fn(&Caller<'_>)),
    /// By a program and its arguments, which finds on its socket what to do.
    Start(Vec<String>),
}

/// Serves until nobody needs it any more.
pub(super) fn serve(how: How<'_>, control: OwnedFd, words: &Words, parent: ProcessId) -> ! {
    let status = match Server::new(how, control, words, parent) {
        Ok(mut server) => server.run(),
        Err(_) => 1,
    };
    process::end(status)
}

struct Server<'a> {
    how: How<'a>,
    single: Single,
    control: OwnedFd,
    words: Words,
    signals: Signals,
    me: ProcessId,
    parent: ProcessId,
    /// One for each thread of the runner that runs tasks at the same time.
    lanes: Vec<Option<OwnedFd>>,
    running: HashMap<ProcessId, Running>,
    /// Those that could not be started yet.
    waiting: Vec<Waiting>,
    /// Those that were left behind, and have been told.
    told: Vec<ProcessId>,
    /// How often the system has killed something for lack of memory.
    kills: Option<u64>,
}

/// The process of a task.
struct Running {
    nonce: u32,
    lane: usize,
    /// What it had started when it was asked to end; none where it was not.
    asked: Option<Vec<ProcessId>>,
    /// The terminal that it has, and who had it before.
    terminal: Option<(OwnedFd, ProcessId)>,
}

/// A process that the system does not let be.
struct Waiting {
    order: Order,
    lane: usize,
    descriptors: Vec<OwnedFd>,
    since: Instant,
    next: Instant,
    delay: Duration,
}

impl<'a> Server<'a> {
    fn new(how: How<'a>, control: OwnedFd, words: &Words, parent: ProcessId) -> io::Result<Self> {
        signals::reset();
        process::set_name("tdrun-server");
        process::adopt_orphans();
        // Who kills the group of the runner must not kill the one that ends all the others then.
        process::lead_group();
        let null = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let aside = [control.as_fd(), words.file(), null.as_fd()];
        let aside = aside.map(|descriptor| process::copy_from(descriptor, ASIDE));
        // All these numbers are about to be closed, or somebody else's.
        let _ = [control, null.into()].map(OwnedFd::into_raw_fd);
        let [control, words, null] = aside;
        let (control, words, null) = (control?, words?, null?);
        process::place(control.as_fd(), CONTROL, true)?;
        process::place(words.as_fd(), WORDS, true)?;
        for number in (0..2).chain(3..CONTROL) {
            process::place(null.as_fd(), number, number > 2)?;
        }
        let _ = [control, words, null].map(OwnedFd::into_raw_fd);
        process::close_from(WORDS.cast_unsigned() + 1);
        let signals = Signals::hold(&[Signal::SIGCHLD, Signal::SIGTERM])?;
        if !process::hear_of_end(parent, Signal::SIGTERM) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let server = Self {
            how,
            single: Single::check().ok_or(io::ErrorKind::ResourceBusy)?,
            control: socket::inherited(CONTROL)?,
            words: Words::of(socket::inherited(WORDS)?)?,
            signals,
            me: process::id(),
            parent,
            lanes: Vec::new(),
            running: HashMap::new(),
            waiting: Vec::new(),
            told: Vec::new(),
            kills: kills(),
        };
        if let How::Fork(_, call) = &server.how {
            child::warm_up(&server.words, *call)?;
        }
        Ok(server)
    }

    /// Its own status.
    fn run(&mut self) -> i32 {
        let mut poll = Poll::default();
        let mut buffer = vec![0; ORDER_MAX];
        loop {
            poll.clear();
            let signalled = poll.add(&self.signals);
            let controlled = poll.add(&self.control);
            for lane in &self.lanes {
                poll.add_if(lane.as_ref());
            }
            let next = self.waiting.iter().map(|waiting| waiting.next).min();
            let patience = next.map(|at| at.saturating_duration_since(Instant::now()));
            if poll.wait(patience).is_err() {
                self.leave(true);
                return 1;
            }
            if poll.is_ready(signalled) && self.is_orphaned() {
                self.leave(true);
                return 0;
            }
            self.changes();
            for lane in 0..self.lanes.len() {
                if poll.is_ready(controlled + 1 + lane) {
                    self.hear(lane, &mut buffer);
                }
            }
            if poll.is_ready(controlled)
                && let Some(at_once) = self.control(&mut buffer)
            {
                self.leave(at_once);
                return 0;
            }
            self.try_again();
        }
    }

    /// Takes the signals that have come; whether the runner has ended.
    fn is_orphaned(&self) -> bool {
        let mut orphaned = false;
        while let Some(signal) = self.signals.next() {
            orphaned |= signal == Signal::SIGTERM as i32 && process::parent() != self.parent;
        }
        orphaned
    }

    /// A new lane, or the end: whether it is to come at once.
    fn control(&mut self, buffer: &mut [u8]) -> Option<bool> {
        let mut came = Vec::new();
        match socket::receive_with(self.control.as_fd(), buffer, &mut came) {
            Ok(0) => Some(true),
            Ok(length) => {
                match Command::read(&buffer[..length]) {
                    Some(Command::Leave) => return Some(false),
                    Some(Command::Pause(pause)) => self.pause(pause),
                    _ => {}
                }
                for lane in came {
                    match self.lanes.iter_mut().find(|lane| lane.is_none()) {
                        Some(free) => *free = Some(lane),
                        None => self.lanes.push(Some(lane)),
                    }
                }
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(true),
        }
    }

    fn hear(&mut self, lane: usize, buffer: &mut [u8]) {
        let Some(socket) = &self.lanes[lane] else {
            return;
        };
        let mut came = Vec::new();
        let length = match socket::receive_with(socket.as_fd(), buffer, &mut came) {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => return self.drop_lane(lane),
        };
        match Command::read(&buffer[..length]) {
            Some(Command::Start(order)) => self.start(order, lane, came),
            Some(Command::Ask(nonce)) => self.ask(nonce),
            Some(Command::Kill(nonce)) => self.kill(nonce),
            Some(Command::WhoIsLeft(nonce)) => self.tell_left(nonce, lane),
            _ => {}
        }
    }

    /// Nobody waits for its task any more.
    fn drop_lane(&mut self, lane: usize) {
        self.lanes[lane] = None;
        self.waiting.retain(|waiting| waiting.lane != lane);
        let running = self.running.values();
        let running = running.filter(|running| running.lane == lane);
        let nonces: Vec<_> = running.map(|running| running.nonce).collect();
        for nonce in nonces {
            self.kill(nonce);
        }
    }

    fn report(&self, lane: usize, report: &Report) {
        if let Some(lane) = &self.lanes[lane] {
            // Who does not listen any more has closed it, which is seen by itself.
            let _ = socket::send(lane.as_fd(), &report.write(), &[], Patience::Now);
        }
    }

    fn start(&mut self, order: Order, lane: usize, descriptors: Vec<OwnedFd>) {
        let now = Instant::now();
        let [delay, _] = FORK_EVERY;
        let waiting = Waiting {
            order,
            lane,
            descriptors,
            since: now,
            next: now,
            delay,
        };
        self.fork(waiting);
    }

    fn try_again(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (due, waiting): (Vec<_>, _) = all.partition(|waiting| waiting.next <= now);
        self.waiting = waiting;
        for waiting in due {
            self.fork(waiting);
        }
    }

    fn fork(&mut self, mut waiting: Waiting) {
        let error = match self.single.fork() {
            Ok(Side::Child) => self.become_task(&waiting.order, &waiting.descriptors),
            Ok(Side::Parent(child)) => {
                let terminal = waiting.descriptors.into_iter().nth(3);
                let terminal = terminal.and_then(|terminal| {
                    let owner = process::owner_of_terminal(&terminal)?;
                    Some((terminal, owner))
                });
                let running = Running {
                    nonce: waiting.order.nonce,
                    lane: waiting.lane,
                    asked: None,
                    terminal,
                };
                self.running.insert(child, running);
                return;
            }
            Err(error) => error,
        };
        let now = Instant::now();
        let passes = [io::ErrorKind::WouldBlock, io::ErrorKind::OutOfMemory];
        if passes.contains(&error.kind()) && now.duration_since(waiting.since) < FORK_FOR {
            waiting.next = now + waiting.delay;
            waiting.delay = FORK_EVERY[1].min(2 * waiting.delay);
            self.waiting.push(waiting);
            return;
        }
        let why = error.to_string().into();
        self.report(waiting.lane, &Report::NotStarted(waiting.order.nonce, why));
    }

    /// In the new process.
    fn become_task(&self, order: &Order, descriptors: &[OwnedFd]) -> ! {
        // Killed by the end of its parent, also where that came just now.
        if !process::hear_of_end(self.me, Signal::SIGKILL) {
            process::end(1);
        }
        process::lead_group();
        process::adopt_orphans();
        match self.arrange(descriptors) {
            Ok(()) => {}
            Err(_) => process::end(1),
        }
        match &self.how {
            How::Fork(catalog, _) => {
                process::close_from(SOCKET_OF_TASK.cast_unsigned() + 1);
                signals::let_through();
                child::run(catalog, order, &self.words)
            }
            How::Start(words) => {
                process::close_from(WORDS_OF_TASK.cast_unsigned() + 1);
                if descriptors.len() > 3 {
                    // Signals are still held back, also the one that forbids this.
                    process::give_terminal(io::stdin(), process::id());
                }
                signals::let_through();
                let error = process::become_program(words);
                let why = format!("tdrun: error[isolate.start]: {error}: `{}`\n", words[0]);
                let _ = io::Write::write_all(&mut io::stderr(), why.as_bytes());
                process::end(127)
            }
        }
    }

    /// Puts the descriptors in the places where a task looks for them.
    fn arrange(&self, descriptors: &[OwnedFd]) -> io::Result<()> {
        let forked = matches!(self.how, How::Fork(..));
        let places = [SOCKET_OF_TASK, 1, 2, 0];
        for (descriptor, number) in descriptors.iter().zip(places) {
            let private = forked && number == SOCKET_OF_TASK;
            process::place(descriptor.as_fd(), number, private)?;
        }
        if !forked {
            process::place(self.words.file(), WORDS_OF_TASK, false)?;
        }
        Ok(())
    }

    fn find(&self, nonce: u32) -> Option<ProcessId> {
        let mut running = self.running.iter();
        running.find_map(|(pid, running)| (running.nonce == nonce).then_some(*pid))
    }

    fn ask(&mut self, nonce: u32) {
        let Some(pid) = self.find(nonce) else { return };
        if let Some(running) = self.running.get_mut(&pid) {
            running.asked.get_or_insert_with(|| tree::descendants(pid));
        }
        signal(pid, Signal::SIGTERM);
        // Who is stopped cannot act upon the one without the other.
        signal(pid, Signal::SIGCONT);
    }

    fn kill(&mut self, nonce: u32) {
        // One that has not been started is not started any more.
        if let Some(place) = self.waiting.iter().position(|w| w.order.nonce == nonce) {
            let waiting = self.waiting.swap_remove(place);
            let why = "stopped before it was started".into();
            return self.report(waiting.lane, &Report::NotStarted(nonce, why));
        }
        let Some(pid) = self.find(nonce) else { return };
        if let Some(running) = self.running.get_mut(&pid) {
            running.asked.get_or_insert_default();
        }
        tree::kill(pid, KILL_FOR);
        signal(pid, Signal::SIGKILL);
    }

    /// All that runs stands still, or goes on.
    fn pause(&self, pause: bool) {
        let what = if pause {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        for pid in self.running.keys() {
            signal(*pid, what);
        }
    }

    /// Looks what has become of children.
    fn changes(&mut self) {
        while let Some(change) = process::next_change() {
            match change {
                Change::Ended(pid) => self.ended(pid),
                Change::Stopped(pid, signal) => {
                    self.tell_of(pid, |nonce| Report::Stopped(nonce, signal));
                }
                Change::Continued(pid) => self.tell_of(pid, Report::Continued),
            }
        }
    }

    fn tell_of(&self, pid: ProcessId, report: impl FnOnce(u32) -> Report) {
        if let Some(running) = self.running.get(&pid) {
            self.report(running.lane, &report(running.nonce));
        }
    }

    fn ended(&mut self, pid: ProcessId) {
        let Some(running) = self.running.remove(&pid) else {
            // Somebody who was left behind.
            self.told.retain(|told| *told != pid);
            process::reap(pid);
            return;
        };
        if let Some(tree) = &running.asked {
            // Before it is reaped: from then on its number may be somebody else's.
            signals::send_group(pid, Signal::SIGKILL);
            for other in self.adopted() {
                if tree.contains(&other) || tree::group(other) == Some(pid) {
                    tree::kill(other, Duration::ZERO);
                }
            }
        }
        if let Some((terminal, owner)) = &running.terminal {
            process::give_terminal(terminal, *owner);
        }
        let Some(status) = process::reap(pid) else {
            return;
        };
        let is_kill =
            matches!(status, Status::Killed(signal, _) if signal == Signal::SIGKILL as i32);
        let out_of_memory = is_kill && running.asked.is_none() && {
            let before = std::mem::replace(&mut self.kills, kills());
            before < self.kills
        };
        let nonce = running.nonce;
        self.report(
            running.lane,
            &Report::Ended {
                nonce,
                status,
                out_of_memory,
            },
        );
    }

    /// Those whose own parents have ended.
    fn adopted(&self) -> Vec<ProcessId> {
        let mut children = tree::children(self.me);
        children.retain(|child| !self.running.contains_key(child));
        children
    }

    /// The task has ended, and somebody still holds what it wrote to: all that nobody has told of are its own.
    fn tell_left(&mut self, nonce: u32, lane: usize) {
        let mut left = self.adopted();
        left.retain(|pid| !self.told.contains(pid) && !tree::has_ended(*pid));
        self.told.extend(&left);
        let left = left.into_iter().map(|pid| Left {
            pid: Some(pid.as_raw()),
            name: tree::name(pid).into(),
        });
        self.report(lane, &Report::Left(nonce, left.collect()));
    }

    /// Ends all that is left: in order where there is time for that.
    fn leave(&mut self, at_once: bool) {
        self.waiting.clear();
        let start = Instant::now();
        let mut asked = at_once;
        loop {
            if !process::has_children() || start.elapsed() > SWEEP_FOR {
                return;
            }
            let left = tree::children(self.me);
            if !asked {
                let all = tree::descendants(self.me).into_iter();
                all.for_each(|pid| {
                    signals::send(pid, Signal::SIGTERM);
                });
                asked = true;
            } else if at_once || start.elapsed() > LEAVE_FOR {
                for pid in left {
                    signals::send_group(pid, Signal::SIGKILL);
                    tree::kill(pid, Duration::ZERO);
                }
            }
            while let Some(change) = process::next_change() {
                if let Change::Ended(pid) = change {
                    process::reap(pid);
                }
            }
            thread::sleep(SWEEP_EVERY);
        }
    }
}

/// Sends a signal to the group of a task, or where it has none yet, to itself.
fn signal(pid: ProcessId, signal: Signal) {
    if !signals::send_group(pid, signal) {
        signals::send(pid, signal);
    }
}

/// How often the system has killed something here for lack of memory; none where it does not tell.
fn kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let events = fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.events")).ok()?;
    let count = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}
