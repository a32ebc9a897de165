//! The process that all task processes are forked from, or started by.
//!
//! It has one thread, the libraries that were loaded when it began, and little else. Knows the processes that it has started
//! by their nonces; nothing of what they are asked or say.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, IntoRawFd as _, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::child::Desk;
use super::order::{Command, Order, Report};
use crate::process::poll::Poll;
use crate::process::signals::{self, Signal, Signals};
use crate::process::socket::{self, Carried, Patience};
use crate::process::{self, Change, ProcessId, Side, Single, Status, Words, tree};
use crate::task::{Caller, Catalog, Hosts, Left};

/// The numbers of its descriptors; those below stay taken, so that what comes along with an order can be put there.
const CONTROL: i32 = 10;
const WORDS: i32 = 11;
/// Where descriptors are put while they are sorted.
const ASIDE: i32 = 20;
/// The number of the socket in a task process,
pub(super) const SOCKET_OF_TASK: i32 = 3;
/// and of the words, where it does not have them from the start.
pub(super) const WORDS_OF_TASK: i32 = 4;
/// Bytes of an order, as most have them and at most.
const ORDER_USUAL: usize = 256;
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
pub(super) enum How {
    /// As copies of this one, which has loaded these; what gets ready for calls of them; and what they do at their end.
    Fork(&'static Catalog, fn(&Caller<'_>), Option<fn()>),
    /// By a program and its arguments, which finds on its socket what to do.
    Start(Vec<String>),
}

/// Serves until nobody needs it any more.
pub(super) fn serve(how: How, control: OwnedFd, words: Words, parent: ProcessId) -> ! {
    let status = match Server::new(how, control, words, parent) {
        Ok(mut server) => server.run(),
        Err(_) => 1,
    };
    process::end(status)
}

/// How a task process comes into being.
enum Start {
    /// It is a copy of this process, and begins here.
    Here(Arc<Desk>, Arc<dyn Hosts>),
    /// By these words, and with what it shares.
    Program(Vec<String>, Words),
}

struct Server {
    start: Start,
    single: Single,
    control: OwnedFd,
    signals: Signals,
    me: ProcessId,
    parent: ProcessId,
    /// One for each thread of the runner that runs tasks at the same time.
    lanes: Vec<Option<OwnedFd>>,
    running: Vec<Running>,
    /// Those that could not be started yet.
    waiting: Vec<Waiting>,
    /// Those that were left behind, and have been told.
    told: Vec<ProcessId>,
    /// How often the system has killed something for lack of memory.
    kills: Option<u64>,
    /// The bytes of the last report.
    report: Vec<u8>,
}

/// The process of a task.
struct Running {
    pid: ProcessId,
    nonce: u32,
    lane: usize,
    /// It was asked to end, and then all that it has started has to. While it runs it adopts its orphans itself; so these
    /// here, which had been adopted by the server before it ended, are those of others.
    asked: Option<Vec<ProcessId>>,
    /// The terminal that it has, and who had it before.
    terminal: Option<(OwnedFd, ProcessId)>,
}

/// A process that the system does not let be.
struct Waiting {
    order: Order,
    lane: usize,
    carried: Carried,
    since: Instant,
    next: Instant,
    delay: Duration,
}

impl Server {
    fn new(how: How, control: OwnedFd, words: Words, parent: ProcessId) -> io::Result<Self> {
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
        let [control, file, null] = aside;
        let (control, file, null) = (control?, file?, null?);
        process::place(control.as_fd(), CONTROL, true)?;
        process::place(file.as_fd(), WORDS, true)?;
        for number in (0..2).chain(3..CONTROL) {
            process::place(null.as_fd(), number, number > 2)?;
        }
        let _ = [control, file, null].map(OwnedFd::into_raw_fd);
        process::close_from(WORDS.cast_unsigned() + 1);
        let signals = Signals::hold(&[Signal::SIGCHLD, Signal::SIGTERM])?;
        if !process::hear_of_end(parent, Signal::SIGTERM) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let words = words.moved_to(socket::inherited(WORDS)?);
        let start = match how {
            How::Fork(catalog, call, at_end) => {
                let desk = Desk::new(catalog, words, at_end);
                let hosts: Arc<dyn Hosts> = Arc::clone(&desk) as _;
                Desk::warm_up(&hosts, call);
                Start::Here(desk, hosts)
            }
            How::Start(program) => Start::Program(program, words),
        };
        let server = Self {
            start,
            single: Single::check().ok_or(io::ErrorKind::ResourceBusy)?,
            control: socket::inherited(CONTROL)?,
            signals,
            me: process::id(),
            parent,
            lanes: Vec::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            told: Vec::new(),
            kills: kills(),
            report: Vec::new(),
        };
        // What was needed to read the command line and to load is not carried along by every fork.
        process::give_back_memory();
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
            if poll.is_ready(signalled) {
                if self.is_orphaned() {
                    self.leave(true);
                    return 0;
                }
                self.changes();
            }
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

    /// Takes a signal that has come; whether it says that the runner has ended. The next one is as good as the first when
    /// it is waited for again.
    fn is_orphaned(&self) -> bool {
        self.signals.next() == Some(Signal::SIGTERM as i32) && process::parent() != self.parent
    }

    /// A new lane, or the end: whether it is to come at once.
    fn control(&mut self, buffer: &mut [u8]) -> Option<bool> {
        let mut came = Carried::default();
        match socket::receive_with(self.control.as_fd(), [buffer, &mut []], &mut came) {
            Ok(0) => Some(true),
            Ok(length) => {
                if let Some(Command::Leave) = Command::read(&buffer[..length]) {
                    return Some(false);
                }
                for lane in came.into_iter().flatten() {
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
        let mut came = Carried::default();
        // What is usual does not touch the memory of what is not.
        let mut usual = [0; ORDER_USUAL];
        let read = socket::receive_with(socket.as_fd(), [&mut usual, buffer], &mut came);
        let length = match read {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => return self.drop_lane(lane),
        };
        let long;
        let command = match length.checked_sub(ORDER_USUAL) {
            None | Some(0) => &usual[..length],
            Some(more) => {
                long = [&usual, &buffer[..more]].concat();
                &long
            }
        };
        match Command::read(command) {
            Some(Command::Start(order)) => self.start(order, lane, came),
            Some(Command::Ask(nonce)) => self.ask(nonce),
            Some(Command::Kill(nonce)) => self.kill(nonce),
            Some(Command::Break(nonce)) => {
                self.tell_program(nonce, lane);
                self.kill(nonce);
            }
            Some(Command::WhoIsLeft(nonce)) => self.tell_left(nonce, lane),
            _ => {}
        }
    }

    /// Nobody waits for its task any more.
    fn drop_lane(&mut self, lane: usize) {
        self.lanes[lane] = None;
        self.waiting.retain(|waiting| waiting.lane != lane);
        let running = self.running.iter();
        let running = running.filter(|running| running.lane == lane);
        let nonces: Vec<_> = running.map(|running| running.nonce).collect();
        for nonce in nonces {
            self.kill(nonce);
        }
    }

    fn report(&mut self, lane: usize, report: &Report) {
        if let Some(lane) = &self.lanes[lane] {
            report.write_to(&mut self.report);
            // Who does not listen any more has closed it, which is seen by itself.
            let _ = socket::send(lane.as_fd(), &self.report, &[], Patience::Now);
        }
    }

    fn start(&mut self, order: Order, lane: usize, carried: Carried) {
        let now = Instant::now();
        let [delay, _] = FORK_EVERY;
        let waiting = Waiting {
            order,
            lane,
            carried,
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
            Ok(Side::Child) => self.become_task(&waiting.order, &waiting.carried),
            Ok(Side::Parent(child)) => {
                let [.., terminal] = waiting.carried;
                let terminal = terminal.and_then(|terminal| {
                    let owner = process::owner_of_terminal(&terminal)?;
                    Some((terminal, owner))
                });
                let running = Running {
                    pid: child,
                    nonce: waiting.order.nonce,
                    lane: waiting.lane,
                    asked: None,
                    terminal,
                };
                self.running.push(running);
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
    fn become_task(&self, order: &Order, carried: &Carried) -> ! {
        // Killed by the end of its parent, also where that came just now.
        if !process::hear_of_end(self.me, Signal::SIGKILL) {
            process::end(1);
        }
        process::lead_group();
        process::adopt_orphans();
        match self.arrange(carried) {
            Ok(()) => {}
            Err(_) => process::end(1),
        }
        match &self.start {
            Start::Here(desk, hosts) => {
                process::close_from(SOCKET_OF_TASK.cast_unsigned() + 1);
                signals::let_through();
                desk.run(hosts, order)
            }
            Start::Program(words, _) => {
                process::close_from(WORDS_OF_TASK.cast_unsigned() + 1);
                if let [.., Some(_)] = carried {
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
    fn arrange(&self, carried: &Carried) -> io::Result<()> {
        let is_copy = matches!(self.start, Start::Here(..));
        for (descriptor, number) in carried.iter().zip([SOCKET_OF_TASK, 1, 2, 0]) {
            if let Some(descriptor) = descriptor {
                let private = is_copy && number == SOCKET_OF_TASK;
                process::place(descriptor.as_fd(), number, private)?;
            }
        }
        if let Start::Program(_, words) = &self.start {
            process::place(words.file(), WORDS_OF_TASK, false)?;
        }
        Ok(())
    }

    /// The process of that nonce, which is asked to end.
    fn note_asked(&mut self, nonce: u32) -> Option<ProcessId> {
        let place = self
            .running
            .iter()
            .position(|running| running.nonce == nonce)?;
        if self.running[place].asked.is_none() {
            self.running[place].asked = Some(self.adopted());
        }
        Some(self.running[place].pid)
    }

    fn by_pid(&self, pid: ProcessId) -> Option<usize> {
        self.running.iter().position(|running| running.pid == pid)
    }

    fn ask(&mut self, nonce: u32) {
        let Some(pid) = self.note_asked(nonce) else {
            return;
        };
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
        let Some(pid) = self.note_asked(nonce) else {
            return;
        };
        tree::kill(pid, KILL_FOR);
        signal(pid, Signal::SIGKILL);
    }

    /// Tells what a process has become, where it is not what it was started as.
    fn tell_program(&mut self, nonce: u32, lane: usize) {
        let running = self.running.iter().find(|running| running.nonce == nonce);
        let program = running.and_then(|running| tree::program(running.pid));
        if let Some(program) = program
            && tree::program(self.me).is_some_and(|mine| mine != program)
        {
            let program = program.to_string_lossy().into();
            self.report(lane, &Report::Became(nonce, program));
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

    fn tell_of(&mut self, pid: ProcessId, report: impl FnOnce(u32) -> Report) {
        if let Some(place) = self.by_pid(pid) {
            let Running { lane, nonce, .. } = self.running[place];
            self.report(lane, &report(nonce));
        }
    }

    fn ended(&mut self, pid: ProcessId) {
        let Some(place) = self.by_pid(pid) else {
            // Somebody who was left behind.
            self.told.retain(|told| *told != pid);
            process::reap(pid);
            return;
        };
        let running = self.running.swap_remove(place);
        if let Some(others) = &running.asked {
            // Before it is reaped: from then on its number may be somebody else's.
            signals::send_group(pid, Signal::SIGKILL);
            self.kill_adopted(pid, others);
        }
        if self.running.iter().any(|running| running.asked.is_some()) {
            // What has come by this end is not of those who were asked.
            let adopted = self.adopted();
            for running in &mut self.running {
                if let Some(others) = &mut running.asked {
                    others.clone_from(&adopted);
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

    /// Kills all that a task which has ended has left behind. What those start meanwhile is adopted too.
    fn kill_adopted(&self, pid: ProcessId, others: &[ProcessId]) {
        let start = Instant::now();
        loop {
            let mut left = self.adopted();
            left.retain(|other| {
                *other != pid && !others.contains(other) && !tree::has_ended(*other)
            });
            for other in &left {
                tree::kill(*other, Duration::ZERO);
            }
            if left.is_empty() || start.elapsed() >= KILL_FOR {
                return;
            }
            thread::sleep(SWEEP_EVERY);
        }
    }

    /// Those whose own parents have ended.
    fn adopted(&self) -> Vec<ProcessId> {
        let mut children = tree::children(self.me);
        children.retain(|child| self.by_pid(*child).is_none());
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
