//! The process that forks the processes of one lane, one after the other, or has them started by a program.
//!
//! All that it adopts has been left behind by a task of that lane: by which, is told by a tag that each of them has. Knows the
//! process of the task that runs by its nonce; nothing of what that one is asked or says.
//!
//! After a fork the first write to each page copies it. So what is done for each process leaves the heap alone.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::child::Desk;
use super::launcher::WORDS;
use super::order::{Command, Order, Report};
use super::server::{CONTROL, NULL, ORDER_MAX, Retry, SWEEP_EVERY, is_orphaned, leave};
use crate::process::poll::Poll;
use crate::process::signals::{self, Signal, Signals};
use crate::process::socket::{self, Carried, Patience};
use crate::process::{self, Change, ProcessId, Side, Single, Status, Words, tree};
use crate::task::{Hosts, Left};

/// The number of the socket in a task process,
pub(super) const SOCKET_OF_TASK: i32 = 3;
/// and of the words, where it does not have them from the start.
pub(super) const WORDS_OF_TASK: i32 = 4;
/// Bytes of an order, as most have them.
const ORDER_USUAL: usize = 256;
/// How long the tree of a task may take to end when it is killed.
const KILL_FOR: Duration = Duration::from_millis(50);

/// How a task process comes into being.
pub(super) enum Start {
    /// It is a copy of this process, and begins here.
    Here(Arc<Desk>, Arc<dyn Hosts>),
    /// By this command line, and with the file of what it shares.
    Program(Vec<String>, Words, OwnedFd),
}

pub(super) struct Forker<'a> {
    start: &'a Start,
    single: &'a Single,
    signals: &'a Signals,
    me: ProcessId,
    parent: ProcessId,
    lane: OwnedFd,
    running: Option<Running>,
    /// One that could not be started yet.
    waiting: Option<(Order, Retry)>,
    /// It has the descriptors that the next process is to have.
    has_ends: bool,
    /// The terminal that the next one is to have.
    terminal: Option<OwnedFd>,
}

/// The process of a task.
struct Running {
    pid: ProcessId,
    nonce: u32,
    /// It was asked to end, and then all that it has started has to.
    asked: bool,
    /// Who had the terminal before it.
    owner: Option<ProcessId>,
}

impl<'a> Forker<'a> {
    /// In a new process, which the server has forked.
    pub(super) fn new(
        start: &'a Start,
        single: &'a Single,
        signals: &'a Signals,
        parent: ProcessId,
        lane: OwnedFd,
    ) -> io::Result<Self> {
        process::set_name("tdrun-forker");
        process::adopt_orphans();
        process::lead_group();
        // In place of the socket of the server.
        process::place(lane.as_fd(), CONTROL, true)?;
        drop(lane);
        if !process::hear_of_end(parent, Signal::SIGTERM) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(Self {
            start,
            single,
            signals,
            me: process::id(),
            parent,
            lane: socket::inherited(CONTROL)?,
            running: None,
            waiting: None,
            has_ends: false,
            terminal: None,
        })
    }

    /// Its own status.
    pub(super) fn run(&mut self, first: Option<(Order, Carried)>) -> i32 {
        let mut poll = Poll::default();
        let mut buffer = vec![0; ORDER_MAX];
        if let Some((order, carried)) = first {
            self.take(order, carried);
        }
        loop {
            poll.clear();
            let signalled = poll.add(self.signals);
            let asked = poll.add(&self.lane);
            let next = self.waiting.as_ref().map(|(_, retry)| retry.next);
            let patience = next.map(|at| at.saturating_duration_since(Instant::now()));
            if poll.wait(patience).is_err() {
                leave(true);
                return 1;
            }
            if poll.is_ready(signalled) {
                if is_orphaned(self.signals, self.parent) {
                    leave(true);
                    return 0;
                }
                self.changes();
            }
            if poll.is_ready(asked)
                && let Some(at_once) = self.hear(&mut buffer)
            {
                leave(at_once);
                return 0;
            }
            if next.is_some_and(|at| at <= Instant::now())
                && let Some((order, retry)) = self.waiting.take()
            {
                self.fork(order, retry);
            }
        }
    }

    /// Does what is asked for; or tells that this is the end, and whether it is to come at once.
    fn hear(&mut self, buffer: &mut [u8]) -> Option<bool> {
        let mut came = Carried::default();
        // What is usual does not touch the memory of what is not.
        let mut usual = [0; ORDER_USUAL];
        let read = socket::receive_with(self.lane.as_fd(), [&mut usual, buffer], &mut came);
        let length = match read {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(_) | Err(_) => return Some(true),
        };
        let long;
        let command = match length.checked_sub(ORDER_USUAL) {
            None | Some(0) => &usual[..length],
            Some(more) => {
                long = [&usual, &buffer[..more]].concat();
                &long
            }
        };
        match Command::read(command)? {
            Command::Start(order) => self.take(order, came),
            Command::Ask(nonce) => self.ask(nonce),
            Command::Kill(nonce) => self.kill(nonce),
            Command::Break(nonce) => {
                self.tell_program(nonce);
                self.kill(nonce);
            }
            Command::LetGo(nonce) => {
                if self.pid_of(nonce).is_some() {
                    self.let_go();
                }
            }
            Command::WhoIsLeft(nonce) => self.tell_left(nonce),
            Command::Leave => return Some(false),
        }
        None
    }

    fn report(&self, report: &Report) {
        self.say(&report.write());
    }

    fn say(&self, report: &[u8]) {
        // Who does not listen any more has closed it, which is seen by itself.
        let _ = socket::send(self.lane.as_fd(), report, &[], Patience::Now);
    }

    fn take(&mut self, order: Order, carried: Carried) {
        if let Err(error) = self.arrange(carried) {
            return self.refuse(&order, &error.to_string());
        }
        self.fork(order, Retry::new());
    }

    /// Puts descriptors in the places where a process looks for them. Where none come, those of the one before are used
    /// again, of which nobody has them any more.
    fn arrange(&mut self, carried: Carried) -> io::Result<()> {
        if let [None, ..] = carried {
            return if self.has_ends {
                Ok(())
            } else {
                Err(io::ErrorKind::NotFound.into())
            };
        }
        let is_copy = matches!(self.start, Start::Here(..));
        for (descriptor, number) in carried.iter().zip([SOCKET_OF_TASK, 1, 2, 0]) {
            if let Some(descriptor) = descriptor {
                let private = is_copy && number == SOCKET_OF_TASK;
                process::place(descriptor.as_fd(), number, private)?;
            }
        }
        let [.., terminal] = carried;
        (self.has_ends, self.terminal) = (true, terminal);
        Ok(())
    }

    /// Keeps none of the descriptors of the process that runs, or ran: that nobody has them any more can be seen from then on.
    fn let_go(&mut self) {
        if !std::mem::take(&mut self.has_ends) {
            return;
        }
        for number in [0, 1, 2, SOCKET_OF_TASK] {
            let _ = process::place(socket::numbered(NULL), number, number == SOCKET_OF_TASK);
        }
    }

    fn fork(&mut self, order: Order, mut retry: Retry) {
        let owner = self.terminal.as_ref().and_then(process::owner_of_terminal);
        let error = match self.single.fork() {
            Ok(Side::Child) => self.become_task(&order),
            Ok(Side::Parent(pid)) => {
                self.running = Some(Running {
                    pid,
                    nonce: order.nonce,
                    asked: false,
                    owner,
                });
                return;
            }
            Err(error) => error,
        };
        if retry.put_off(&error) {
            self.waiting = Some((order, retry));
        } else {
            self.refuse(&order, &error.to_string());
        }
    }

    fn refuse(&mut self, order: &Order, why: &str) {
        self.let_go();
        self.report(&Report::NotStarted(order.nonce, why.into()));
    }

    /// In the new process.
    fn become_task(&self, order: &Order) -> ! {
        // Killed by the end of its parent, also where that came just now.
        if !process::hear_of_end(self.me, Signal::SIGKILL) {
            process::end(1);
        }
        process::lead_group();
        process::set_tag(self.tag(order.nonce));
        match self.start {
            Start::Here(desk, hosts) => {
                process::close_from(SOCKET_OF_TASK.cast_unsigned() + 1);
                signals::let_through();
                desk.run(hosts, order)
            }
            Start::Program(program, _, file) => {
                if process::place(file.as_fd(), WORDS_OF_TASK, false).is_err() {
                    process::end(1);
                }
                process::close_from(WORDS_OF_TASK.cast_unsigned() + 1);
                if self.terminal.is_some() {
                    // Signals are still held back, also the one that forbids this.
                    process::give_terminal(io::stdin(), process::id());
                }
                signals::let_through();
                let error = process::become_program(program);
                let why = format!("tdrun: error[isolate.start]: {error}: `{}`\n", program[0]);
                let _ = io::Write::write_all(&mut io::stderr(), why.as_bytes());
                process::end(127)
            }
        }
    }

    /// The process of that nonce, where it still runs.
    fn pid_of(&self, nonce: u32) -> Option<ProcessId> {
        let running = self.running.as_ref()?;
        (running.nonce == nonce).then_some(running.pid)
    }

    /// The same, which is asked to end.
    fn note_asked(&mut self, nonce: u32) -> Option<ProcessId> {
        let running = self.running.as_mut()?;
        if running.nonce != nonce {
            return None;
        }
        running.asked = true;
        Some(running.pid)
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
        if let Some((order, _)) = self.waiting.take_if(|(order, _)| order.nonce == nonce) {
            return self.refuse(&order, "stopped before it was started");
        }
        let Some(pid) = self.note_asked(nonce) else {
            return;
        };
        tree::kill(pid, KILL_FOR);
        signal(pid, Signal::SIGKILL);
    }

    /// Tells what a process has become, where it is not what it was started as.
    fn tell_program(&mut self, nonce: u32) {
        let program = self.pid_of(nonce).and_then(tree::program);
        if let Some(program) = program
            && tree::program(self.me).is_some_and(|mine| mine != program)
        {
            let program = program.to_string_lossy().into();
            self.report(&Report::Became(nonce, program));
        }
    }

    /// Looks what has become of children.
    fn changes(&mut self) {
        while let Some(change) = process::next_change() {
            match change {
                // Where the next one may have the same descriptors, there are no other children.
                Change::Ended(pid) => {
                    if self.ended(pid) {
                        return;
                    }
                }
                Change::Stopped(pid, signal) => {
                    self.tell_of(pid, |nonce| Report::Stopped(nonce, signal));
                }
                Change::Continued(pid) => self.tell_of(pid, Report::Continued),
            }
        }
    }

    fn tell_of(&mut self, pid: ProcessId, report: impl FnOnce(u32) -> Report) {
        let running = self.running.as_ref();
        if let Some(running) = running.filter(|running| running.pid == pid) {
            let report = report(running.nonce);
            self.report(&report);
        }
    }

    /// Whether the next process may have the descriptors of this one.
    fn ended(&mut self, pid: ProcessId) -> bool {
        let Some(running) = self.running.take_if(|running| running.pid == pid) else {
            // Somebody who was left behind, or is an orphan of the one that runs.
            process::reap(pid);
            return false;
        };
        if running.asked {
            // Before it is reaped: from then on its number may be somebody else's.
            signals::send_group(pid, Signal::SIGKILL);
            self.kill_left(&running);
        }
        if let Some(terminal) = self.terminal.take()
            && let Some(owner) = running.owner
        {
            process::give_terminal(terminal, owner);
        }
        let Some(status) = process::reap(pid) else {
            return false;
        };
        let is_kill =
            matches!(status, Status::Killed(signal, _) if signal == Signal::SIGKILL as i32);
        let out_of_memory = is_kill && !running.asked && self.start.note_kills();
        let can_go_on = status == Status::Exited(0) && self.can_go_on();
        if !can_go_on {
            self.let_go();
        }
        self.say(&Report::ended(
            running.nonce,
            status,
            out_of_memory,
            can_go_on,
        ));
        can_go_on
    }

    /// The next process may have the same descriptors: nobody else has them, and they are as they were.
    fn can_go_on(&self) -> bool {
        let is_copy = matches!(self.start, Start::Here(..));
        is_copy
            && self.has_ends
            && !process::has_children()
            && socket::is_quiet(SOCKET_OF_TASK)
            && [SOCKET_OF_TASK, 1, 2].into_iter().all(socket::let_wait)
    }

    /// Kills all that a task which has ended has left behind. What those start meanwhile is adopted too.
    fn kill_left(&self, by: &Running) {
        let start = Instant::now();
        loop {
            let mut left = self.left(by.nonce);
            left.retain(|other| *other != by.pid);
            for other in &left {
                tree::kill(*other, Duration::ZERO);
            }
            if left.is_empty() || start.elapsed() >= KILL_FOR {
                return;
            }
            thread::sleep(SWEEP_EVERY);
        }
    }

    /// What a process and all that it starts are known by.
    fn tag(&self, nonce: u32) -> u64 {
        u64::from(self.me.as_raw().cast_unsigned()) << 32 | u64::from(nonce)
    }

    /// What a task has started that has lost its own parents and has not ended; also those of which that is not known.
    fn left(&self, nonce: u32) -> Vec<ProcessId> {
        let mine = self.tag(nonce);
        let is_another = |tag| tag != mine && tag >> 32 == mine >> 32;
        let mut left = tree::children(self.me);
        left.retain(|pid| !tree::has_ended(*pid) && !tree::tag(*pid).is_some_and(is_another));
        left
    }

    /// The task has ended, and somebody still holds what it wrote to.
    fn tell_left(&mut self, nonce: u32) {
        let left = self.left(nonce);
        let left = left.into_iter().map(|pid| Left {
            pid: Some(pid.as_raw()),
            name: tree::name(pid).into(),
        });
        self.report(&Report::Left(nonce, left.collect()));
    }
}

impl Start {
    /// Looks how often the system has killed something for lack of memory; true where it has done so since somebody looked.
    pub(super) fn note_kills(&self) -> bool {
        let words = match self {
            Self::Here(desk, _) => desk.words(),
            Self::Program(_, words, _) => *words,
        };
        let before = words.get(WORDS - 1);
        before
            .zip(process::ended_for_memory())
            .is_some_and(|(before, now)| before.swap(now, Ordering::AcqRel) < now)
    }
}

/// Sends a signal to the group of a task, or where it has none yet, to itself.
fn signal(pid: ProcessId, signal: Signal) {
    if !signals::send_group(pid, signal) {
        signals::send(pid, signal);
    }
}
