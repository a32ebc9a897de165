//! The supervisor: the process that the user started. Has the run in a process of its own, the runner, hands signals on to it,
//! and sees how it ends, so that the answer is true whatever ends it.
//!
//! One thread, no library, no handlers. Knows the black box and what a process comes to; nothing of what a runner does.
//!
//! The runner has a process group of its own, so that each signal reaches one of the two only: those of the terminal come
//! here. Where a task wants to read from the terminal, its group is given the terminal until it has ended.

mod terminal;

use std::fmt;
use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid, pipe2, setpgid};

use crate::blackbox::{BlackBox, End, Hook, LastWords, Phase};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::process::poll::Poll;
use crate::process::signals::{self, Heard, Signals};
use crate::process::{self, Change, Side, Status, tree};
use crate::record;
use crate::task::TaskId;
use terminal::Terminal;

/// How long destructors and exit handlers of libraries may take, when all is told.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a runner has to end after the third signal to stop, or to stop itself for a while.
const HASTE: Duration = Duration::from_millis(900);
/// How long what a runner has left behind may take to end.
const ALL_ENDED: Duration = Duration::from_secs(2);
/// Where the runner's descriptors start that are its own.
const HELD: i32 = 200;
/// How long a run may take to hear of a signal, before all others of its group do.
const TO_HEAR: Duration = Duration::from_millis(100);
const KILL: i32 = Signal::SIGKILL as i32;
/// Runners that die in a row with nobody to blame.
const BLAMELESS_MOST: u32 = 8;

/// So often a runner may ask for another one.
const AGAIN_MOST: u32 = 16;

/// One life of a runner.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// The signal that has asked an earlier one to stop.
    pub stopped_by: Option<i32>,
    /// How those before have crashed. The one before may have come to record none of that.
    pub crashes: &'a [Crash],
    /// Tasks that ran when one before ended, and may have brought that about.
    pub suspects: &'a [TaskId],
}

/// A runner that has ended, and not as it should.
#[derive(Debug)]
pub struct Crash {
    /// What it did then.
    pub phase: Phase,
    /// How it ended.
    pub how: How,
    /// The task that did it; known where it spoke last words, or was the only one.
    pub guilty: Option<TaskId>,
    /// The tasks that ran then, if it is not known which one did it.
    pub suspects: Vec<TaskId>,
    /// The hook that ran then.
    pub hook: Option<Hook>,
    /// The system has ended processes for lack of memory meanwhile.
    pub lacked_memory: bool,
    /// When, in nanoseconds since the start of the run.
    pub at: u64,
    /// Runners have died in a row with nobody to blame; it makes no sense to go on.
    pub is_hopeless: bool,
}

impl Crash {
    /// How it ended. SIGKILL leaves no words of who has sent it, and may be nobody's fault here.
    fn words(&self) -> String {
        let more = match self.how {
            How::Signal(KILL, _) if self.lacked_memory => {
                ", most likely by the system for lack of memory"
            }
            How::Signal(KILL, _) if self.guilty.is_some() => ", by itself or from outside",
            _ => "",
        };
        format!("{}{more}", self.how)
    }

    /// As it stands in the journal.
    pub fn record(&self) -> record::Crash {
        let (signal, status) = match self.how {
            How::Words(LastWords::Signal(signal)) | How::Signal(signal, _) => (Some(signal), None),
            How::Status(status) => (None, Some(status)),
            How::Words(LastWords::Call(_)) | How::Replaced => (None, None),
        };
        let hook = self
            .hook
            .map(|hook| if hook.is_setup { "setup" } else { "teardown" });
        record::Crash {
            signal,
            status,
            task: self.guilty,
            suspects: self.suspects.clone(),
            hook: hook.map(str::to_owned),
            library: self.hook.map(|hook| hook.library),
            words: Some(self.words()),
            worker: None,
            at: self.at,
            took: 0,
        }
    }
}

/// How a runner ended.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// It said so itself.
    Words(LastWords),
    /// By a signal, maybe with a core file.
    Signal(i32, bool),
    /// With a status.
    Status(i32),
    /// It became another program.
    Replaced,
}

/// As what follows a name: `killed by SIGSEGV`.
impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(LastWords::Call(call)) => write!(f, "called `{call}`"),
            Self::Words(LastWords::Signal(signal)) => write!(f, "killed by {}", name_of(*signal)),
            Self::Signal(signal, has_core) => {
                let core = if *has_core { " (core dumped)" } else { "" };
                write!(f, "killed by {}{core}", name_of(*signal))
            }
            Self::Status(status) => write!(f, "ended its process with status {status}"),
            Self::Replaced => f.write_str("replaced its process by another program"),
        }
    }
}

fn name_of(signal: i32) -> String {
    let known = Signal::try_from(signal).map(|signal| signal.as_str().to_owned());
    known.unwrap_or_else(|_| format!("signal {signal}"))
}

/// What is to be done after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another runner goes on.
    Again,
    /// It ends with this.
    End(Exit),
}

/// Holds back what would end this process before it listens, and asks for no end. The first thing to be called.
pub fn prepare() {
    signals::hold_back(&[Signal::SIGUSR1, Signal::SIGUSR2]);
}

/// Has `run` called in a new process, and again in another one where `after` says so; how all of it ended.
///
/// `run` notes in the black box how it ends; it does not come back. To be called while there is one thread.
pub fn supervise(
    black_box: &BlackBox,
    keys: bool,
    run: &mut dyn FnMut(Round<'_>),
    after: &mut dyn FnMut(&[Crash]) -> Next,
) -> Result<Exit> {
    // These two are how processes of ours hear of each other.
    signals::mind(Signal::SIGCHLD);
    signals::mind(Signal::SIGUSR2);
    process::adopt_orphans();
    let supervisor = process::id();
    let (mut stops, mut blameless, mut again) = (Stops::default(), 0, 0);
    let (mut crashes, mut suspects) = (Vec::new(), Vec::new());
    // For good: what comes while there is no runner, or too late, is for the next one, or for nobody.
    let queue = Signals::hold(&HEARD).map_err(|error| failed(&error))?;
    loop {
        let round = Round {
            stopped_by: stops.last,
            crashes: &crashes,
            suspects: &suspects,
        };
        black_box.enter(Phase::Starting);
        // Has an end when the runner becomes another program.
        let (alive, held) = pipe2(OFlag::O_CLOEXEC).map_err(|error| failed(&error.into()))?;
        let runner = match process::fork().map_err(|error| failed(&error))? {
            Side::Parent(runner) => runner,
            Side::Child => {
                signals::let_through();
                drop(alive);
                // Out of the way of those that a library guesses at; for as long as this process lives.
                let _ = process::copy_from(&held, HELD).map(std::os::fd::IntoRawFd::into_raw_fd);
                drop(held);
                become_runner(black_box, supervisor);
                run(round);
                process::end::leave(Exit::Bug.code(), true, None)
            }
        };
        drop(held);
        // Whoever of the two comes first.
        let _ = setpgid(runner, runner);
        // While the runner loads.
        let short_before = process::ended_for_memory();
        let mut watch = Watch {
            black_box,
            queue: &queue,
            alive: Some(alive),
            is_replaced: false,
            runner,
            stops,
            deadline: None,
            is_pausing: false,
            goes_on: false,
            terminal: Terminal::new(keys),
        };
        let status = watch.until_end();
        stops = watch.stops;
        watch.terminal.give_back();
        match black_box.ended() {
            Some(End::Exit(exit)) => return Ok(exit),
            Some(End::Again) => {
                tree::end_all(ALL_ENDED);
                again += 1;
                if again > AGAIN_MOST {
                    let message =
                        format!("the process that tasks are forked from was lost {again} times");
                    return Err(Error::new("run.lost", message));
                }
            }
            None => {
                tree::end_all(ALL_ENDED);
                if let (Some(stop), Status::Killed(signal, _)) = (stops.last, status) {
                    // Before it listens, what wakes it ends it. Where the run has begun, another one tells what came of it.
                    let is_deaf = signal == Signal::SIGUSR2 as i32;
                    if is_deaf && black_box.has_begun() && stops.count < 3 {
                        continue;
                    }
                    let is_forced = stops.count >= 3 && signal == KILL;
                    if is_deaf || is_forced || signal == stop {
                        return Ok(Exit::Signal(stop));
                    }
                }
                let mut crash = crash(black_box, (status, watch.is_replaced), &mut blameless);
                crash.lacked_memory = process::ended_for_memory() > short_before;
                suspects.extend(&crash.suspects);
                crashes.push(crash);
                if let Next::End(exit) = after(&crashes) {
                    return Ok(exit);
                }
            }
        }
    }
}

fn failed(error: &std::io::Error) -> Error {
    let message = format!("cannot start a process to run in: {error}");
    Error::new("run.process", message)
        .hint("the limits on processes or open files may be too low: `ulimit -u`, `ulimit -n`")
}

/// What is heard here. All but the first are handed on.
const HEARD: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGUSR2,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGTSTP,
    Signal::SIGCONT,
];

/// The child's first steps.
fn become_runner(black_box: &BlackBox, supervisor: Pid) {
    process::lead_group();
    // From here on this process hears when the supervisor is gone.
    if !process::hear_of_end(supervisor, Signal::SIGUSR2) {
        process::vanish();
    }
    process::adopt_orphans();
    process::write_from_background();
    black_box.begin();
}

/// Tells the supervisor that the runner is about to end: from here on it has not for ever.
pub fn announce_end() {
    let _ = kill(getppid(), Signal::SIGUSR2);
}

/// Signals to stop that were handed on.
#[derive(Clone, Copy, Default)]
struct Stops {
    count: u32,
    last: Option<i32>,
}

/// One runner, and what there is to see and hear.
struct Watch<'a> {
    black_box: &'a BlackBox,
    queue: &'a Signals,
    /// The end of a pipe that the runner holds.
    alive: Option<OwnedFd>,
    is_replaced: bool,
    runner: Pid,
    stops: Stops,
    /// When it is ended by force; or where it pauses, stopped by force.
    deadline: Option<Instant>,
    /// It was asked to stop for a while,
    is_pausing: bool,
    /// and to go on before it had.
    goes_on: bool,
    terminal: Terminal,
}

impl Watch<'_> {
    /// Hands signals on until the runner has ended; how.
    fn until_end(&mut self) -> Status {
        let mut poll = Poll::default();
        loop {
            let left = self
                .deadline
                .map(|at| at.saturating_duration_since(Instant::now()));
            poll.clear();
            poll.add(self.queue);
            let keys = poll.add_if(self.terminal.keys());
            let alive = poll.add_if(self.alive.as_ref());
            let _ = poll.wait(left);
            if poll.is_ready(alive) {
                self.on_let_go();
            }
            if left.is_some_and(|left| left.is_zero()) {
                self.on_deadline();
            }
            if poll.is_ready(keys) && self.terminal.asks_what_runs() {
                self.ask_what_runs();
            }
            while let Some(signal) = self.queue.next() {
                self.hear(signal);
            }
            while let Some(change) = process::next_change() {
                match change {
                    Change::Ended(pid) => {
                        let status = process::reap(pid);
                        if let (Some(status), true) = (status, pid == self.runner) {
                            self.black_box.stop_clock(false);
                            return status;
                        }
                    }
                    Change::Stopped(pid, signal) if pid == self.runner => self.on_stopped(signal),
                    Change::Continued(pid) if pid == self.runner => {
                        self.black_box.stop_clock(false);
                    }
                    Change::Stopped(..) | Change::Continued(_) => {} // adopted
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let Ok(signal) = Signal::try_from(heard.number) else {
            return;
        };
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGUSR2 => {
                if self.black_box.ended().is_some() {
                    self.deadline = Some(Instant::now() + PATIENCE);
                }
            }
            Signal::SIGTSTP => {
                (self.is_pausing, self.goes_on) = (true, false);
                self.deadline = Some(Instant::now() + HASTE);
                let _ = kill(self.runner, signal);
            }
            Signal::SIGCONT => {
                if self.is_pausing {
                    (self.is_pausing, self.goes_on) = (false, true);
                    self.deadline = None;
                }
                let _ = killpg(self.runner, signal);
            }
            Signal::SIGUSR1 => self.ask_what_runs(),
            stop => {
                self.stops.count += 1;
                self.stops.last = Some(stop as i32);
                if self.stops.count == 3 {
                    self.deadline = Some(Instant::now() + HASTE);
                }
                self.black_box.ask_to_stop(stop as i32);
                let _ = kill(self.runner, Signal::SIGUSR2);
                if heard.is_from_system {
                    self.hand_to_group(stop);
                }
            }
        }
    }

    /// What tasks have started in threads belongs to the group of the runner, and would have heard the terminal too.
    fn hand_to_group(&self, signal: Signal) {
        // First the run: what ends by this is to count as stopped.
        let patience = Instant::now() + TO_HEAR;
        while !self.black_box.has_heard() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
        let all = tree::descendants(self.runner);
        for pid in all {
            if tree::group(pid) == Some(self.runner) {
                let _ = kill(pid, signal);
            }
        }
    }

    /// Before it runs anything, the runner does not listen, and would end by this.
    fn ask_what_runs(&self) {
        if self.black_box.phase() == Phase::Running {
            let _ = kill(self.runner, Signal::SIGUSR1);
        }
    }

    /// The runner holds the pipe no more: it has ended, or a task has closed what it could, or it is another program by now,
    /// which knows nothing of us.
    fn on_let_go(&mut self) {
        self.alive = None;
        if self.black_box.ended().is_some() {
            return;
        }
        let program = |pid: Pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
        let (other, ours) = (program(self.runner), program(process::id()));
        if other.is_some() && other != ours {
            self.is_replaced = true;
            let _ = kill(self.runner, Signal::SIGKILL);
        }
    }

    fn on_deadline(&mut self) {
        self.deadline = None;
        let signal = if self.is_pausing {
            Signal::SIGSTOP
        } else {
            Signal::SIGKILL
        };
        let _ = kill(self.runner, signal);
    }

    /// The runner was stopped for a while: because it was told to; by the terminal, which it may not use; or by somebody.
    fn on_stopped(&mut self, signal: i32) {
        self.black_box.stop_clock(true);
        // What came meanwhile may be that all is to go on.
        while let Some(signal) = self.queue.next() {
            self.hear(signal);
        }
        let by_terminal = [Signal::SIGTTIN, Signal::SIGTTOU].map(|signal| signal as i32);
        if by_terminal.contains(&signal) && self.terminal.lend(self.runner) {
            let _ = killpg(self.runner, Signal::SIGCONT);
        } else if self.goes_on {
            self.goes_on = false;
            let _ = killpg(self.runner, Signal::SIGCONT);
        } else if self.is_pausing || self.terminal.is_lent() && signal == Signal::SIGTSTP as i32 {
            if self.is_pausing {
                self.deadline = None;
            }
            self.is_pausing = false;
            self.terminal.give_back();
            process::stop_here();
            // Somebody wants us to go on.
            self.terminal.take();
            let _ = killpg(self.runner, Signal::SIGCONT);
        }
    }
}

/// Nanoseconds since the start of the run, without those for which it was stopped.
fn elapsed(black_box: &BlackBox) -> u64 {
    let now = process::monotonic();
    let running = now - black_box.paused(now);
    running.saturating_sub(black_box.start())
}

/// Who did it, as far as that can be known.
fn crash(
    black_box: &BlackBox,
    (status, is_replaced): (Status, bool),
    blameless: &mut u32,
) -> Crash {
    let last = black_box.last();
    let how = match (last, status) {
        _ if is_replaced => How::Replaced,
        // A call of `exit` ends it with a status of ours; after a noted signal, it may still end in some other way.
        (Some((words @ LastWords::Call(_), _)), _) => How::Words(words),
        (_, Status::Killed(signal, has_core)) => How::Signal(signal, has_core),
        (_, Status::Exited(status)) => How::Status(status),
    };
    let (running, hook) = (black_box.running(), black_box.hook());
    let speaker = last.and_then(|(_, task)| task);
    let guilty = speaker.or(match (&*running, hook) {
        ([one], None) => Some(*one),
        _ => None,
    });
    let suspects = if guilty.is_some() || hook.is_some() {
        Vec::new()
    } else {
        running
    };
    if guilty.is_none() && suspects.is_empty() && hook.is_none() {
        *blameless += 1;
    } else {
        *blameless = 0;
    }
    Crash {
        phase: black_box.phase(),
        at: elapsed(black_box),
        how,
        guilty,
        suspects,
        hook,
        lacked_memory: false,
        is_hopeless: *blameless >= BLAMELESS_MOST,
    }
}
