//! A process that runs a task, as the runner sees it: its requests, what it writes, and its end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::child::kind;
use super::launcher::Lane;
use super::order::{Command, Report};
use super::output::{Kept, Lines};
use super::wire::{Answer, Next, Reader, Writer};
use super::word;
use crate::process::Status;
use crate::process::poll::Poll;
use crate::process::signals::{self, Signal};
use crate::process::socket::{self, Patience};
use crate::task::{Channel, Ending, Failure, Host, Left, Observed, Output};

/// How long others may still hold what the task has written to, before they are looked for.
const AFTERMATH: Duration = Duration::from_millis(100);
/// How long the server may take to look around.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// A process that has been quiet for so long, or has made itself heard so often, is no short one any more: from then on it is
/// seen when it closes its socket.
const QUIET: Duration = Duration::from_millis(100);
const OFTEN: u32 = 16;
/// How long a process may take to end that has closed its socket and has not said how its task ended.
const CLOSED_FOR: Duration = Duration::from_secs(1);

const CLOSED: &str = "control channel (descriptor 3) closed by the task";
const GARBAGE: &str = "garbage in the control channel (descriptor 3) of the task";

/// What became of a process.
pub(super) enum Ended {
    /// What its task came to.
    As(Ending),
    /// It has not begun with the task; how it ended.
    Lost(String),
    /// The forker is gone, be it with the server.
    Abandoned,
}

/// Who records the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Judge {
    /// The process itself ends with status 0, and has said how the task ended.
    Both,
    /// What was said: the status may be that of somebody else, who may still be busy when the task has ended.
    Word,
    /// The same, and somebody looks into it and takes the time that takes.
    Person,
}

/// One process.
pub(super) struct Session<'a> {
    host: &'a Arc<dyn Host>,
    lane: &'a mut Lane,
    nonce: u32,
    judge: Judge,
    /// What the process was started with; empty where that is this program.
    command: &'a str,
    /// None: nothing more will come from it.
    socket: Option<OwnedFd>,
    stdout: Pipe,
    stderr: Pipe,
    /// The forker keeps the ends of the process. Where nobody else has them at its end the next process gets them; and that
    /// nobody has them any more is seen a little before the process can be reaped, and would wake this thread once more than
    /// is needed. Not so for long: see [`QUIET`].
    kept: bool,
    /// How often this thread was woken meanwhile.
    turns: u32,
    /// What both share.
    word: Option<&'static AtomicU64>,
    state: State,
    /// Answers that the process has not taken yet. While there are some it is not heard.
    unsent: Vec<u8>,
    helpers: Option<Arc<Helpers>>,
}

#[derive(Default)]
struct State {
    begun: bool,
    ending: Option<Ending>,
    /// It cannot be talked to any more.
    broken: Option<Broken>,
    /// When it is not waited for any more, as it has closed its socket, or as the command before it has ended.
    closed: Option<Instant>,
    /// It runs this program now.
    became: Option<Box<str>>,
    status: Option<Last>,
    /// The same of a command that has ended before the task that it started; that is waited for until `closed`.
    early: Option<Last>,
    /// The next process is heard where this one was: nobody has its ends any more.
    can_go_on: bool,
    /// Nothing was to be heard any more when its end was told.
    is_quiet: bool,
}

/// Why a process cannot be talked to any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// It was killed for what it said.
    Garbage,
    /// It could not say how it ended.
    Closed,
    /// It was killed, as it could not be heard and did not end.
    Silent,
}

/// The last that is known of it.
enum Last {
    Ended(Status, OutOfMemory),
    /// The same of a command, and the task that it started was waited for in vain.
    Outlived(Status),
    NotStarted(Box<str>),
    Abandoned,
}

/// The system has killed something for lack of memory.
type OutOfMemory = bool;

/// Where a process is heard.
pub(super) struct Ends {
    pub(super) socket: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Where a task writes to.
struct Pipe {
    /// None: nobody writes any more.
    open: Option<OwnedFd>,
    channel: Channel,
    kept: Keep,
}

enum Keep {
    All(Kept),
    Lines(Lines),
}

/// Requests that wait for something, each on a thread of its own.
struct Helpers {
    answers: Mutex<Vec<Vec<u8>>>,
    /// The thread of the call has its answer, and serves again.
    is_back: AtomicBool,
    wake: OwnedFd,
    woken: OwnedFd,
}

impl Helpers {
    fn new() -> io::Result<Arc<Self>> {
        let (woken, wake) = socket::messages()?;
        Ok(Arc::new(Self {
            answers: Mutex::default(),
            is_back: AtomicBool::new(false),
            wake,
            woken,
        }))
    }

    fn answer(&self, frame: Vec<u8>) {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(frame);
        self.ring();
    }

    fn ring(&self) {
        // Where there are too many, one of them wakes it.
        let _ = socket::send(self.wake.as_fd(), &[0], &[], Patience::Now);
    }

    fn take(&self) -> Vec<u8> {
        let _ = socket::receive(self.woken.as_fd(), &mut [0], Patience::Now);
        let answers =
            std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        answers.concat()
    }
}

impl Pipe {
    fn new(open: OwnedFd, channel: Channel, live: bool) -> Self {
        let kept = if live {
            Keep::Lines(Lines::default())
        } else {
            Keep::All(Kept::default())
        };
        let open = Some(open);
        Self {
            open,
            channel,
            kept,
        }
    }

    /// Takes what is there, at most as much as fits; false where nothing was.
    fn read(&mut self, buffer: &mut [u8], host: &dyn Host) -> bool {
        let Some(pipe) = &self.open else { return false };
        match socket::read(pipe, buffer) {
            Ok(bytes @ 1..) => match &mut self.kept {
                Keep::All(kept) => kept.push(&buffer[..bytes]),
                Keep::Lines(lines) => {
                    let channel = self.channel;
                    lines.push(&buffer[..bytes], |line| {
                        host.observed(Observed::Line(channel, line.into()));
                    });
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(0) | Err(_) => {
                self.open = None;
                return false;
            }
        }
        true
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        host: &'a Arc<dyn Host>,
        lane: &'a mut Lane,
        nonce: u32,
        (judge, command): (Judge, &'a str),
        Ends {
            socket,
            stdout,
            stderr,
        }: Ends,
        live: bool,
    ) -> Self {
        let word = lane.word;
        Self {
            host,
            lane,
            nonce,
            judge,
            command,
            socket: Some(socket),
            stdout: Pipe::new(stdout, Channel::Stdout, live),
            stderr: Pipe::new(stderr, Channel::Stderr, live),
            kept: true,
            turns: 0,
            word,
            state: State::default(),
            unsent: Vec::new(),
            helpers: None,
        }
    }

    /// Serves the process until it has ended, and tells what was seen of it.
    pub(super) fn run(mut self) -> Ended {
        self.serve();
        if let Some(Last::Abandoned) = self.state.status {
            return Ended::Abandoned;
        }
        self.drain();
        self.tell_output();
        self.conclude()
    }

    /// Until the process has ended; or, on the thread of a helper, until the one of the call is back.
    fn serve(&mut self) {
        // There may be something behind what another thread does just now.
        self.obey_all();
        let mut poll = std::mem::take(&mut self.lane.poll);
        while !self.is_over() {
            if let Some(helpers) = &self.helpers
                && helpers.is_back.swap(false, Ordering::AcqRel)
            {
                self.take_answers();
                break;
            }
            if self.wait(&mut poll).is_err() {
                self.state.status = Some(Last::Abandoned);
            }
        }
        self.lane.poll = poll;
    }

    /// The process has ended. One that a command has started and left alone has when it says so, or closes its socket.
    fn is_over(&mut self) -> bool {
        if self.state.early.is_some() {
            let has_passed = || {
                self.word.is_some_and(|word| {
                    word.load(Ordering::Acquire) & (word::PASSED | word::CLOSED) != 0
                })
            };
            if self.socket.is_none() || self.state.ending.is_some() || has_passed() {
                self.state.status = self.state.early.take();
            }
        }
        self.state.status.is_some()
    }

    fn wait(&mut self, poll: &mut Poll) -> io::Result<()> {
        poll.clear();
        let reports = poll.add(&self.lane.socket);
        let out = poll.add_if(self.stdout.open.as_ref());
        let err = poll.add_if(self.stderr.open.as_ref());
        let requests = match &self.socket {
            Some(socket) if !self.unsent.is_empty() => poll.add_out(socket),
            // One that has said how it ended says nothing more.
            socket => poll.add_if(socket.as_ref().filter(|_| self.state.ending.is_none())),
        };
        let answers = poll.add_if(self.helpers.as_ref().map(|helpers| &helpers.woken));
        poll.wait(self.patience())?;
        if self.kept {
            self.turns += 1;
            if self.turns == OFTEN || !poll.is_any_ready() {
                self.kept = false;
                self.lane.say(&Command::LetGo(self.nonce));
            }
        }
        if poll.is_ready(out) {
            self.stdout.read(&mut self.lane.buffer, &**self.host);
        }
        if poll.is_ready(err) {
            self.stderr.read(&mut self.lane.buffer, &**self.host);
        }
        if poll.is_ready(answers) {
            self.take_answers();
        }
        if poll.is_ready(requests) {
            if self.unsent.is_empty() {
                self.hear();
            } else {
                self.send(&[]);
            }
        }
        if poll.is_ready(reports) {
            // They were looked at after the report.
            self.state.is_quiet = ![out, err, requests].into_iter().any(|p| poll.is_ready(p));
            self.take_report();
        }
        Ok(())
    }

    /// How long nothing may happen.
    fn patience(&mut self) -> Option<Duration> {
        if self.kept {
            return Some(QUIET);
        }
        let left = self.state.closed?.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        self.state.closed = None;
        if let Some(last) = self.state.early.take() {
            self.state.status = Some(match last {
                Last::Ended(status, _) => Last::Outlived(status),
                last => last,
            });
            return Some(Duration::ZERO);
        }
        self.break_off(Broken::Silent);
        None
    }

    /// Nothing more will come from it, so it ought to end.
    fn hear_no_more(&mut self) {
        self.socket = None;
        let patience = match self.judge {
            Judge::Both => CLOSED_FOR,
            Judge::Word => self.host.grace(),
            Judge::Person => return,
        };
        if self.state.ending.is_none() {
            self.state.closed = Instant::now().checked_add(patience);
        }
    }

    /// What the server says.
    fn take_report(&mut self) -> Option<Vec<Left>> {
        let read = socket::receive(
            self.lane.socket.as_fd(),
            &mut self.lane.buffer,
            Patience::Now,
        );
        let length = match read {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Ok(_) | Err(_) => {
                self.state.status = Some(Last::Abandoned);
                return None;
            }
        };
        let report = Report::read(&self.lane.buffer[..length])?;
        if report.nonce() != self.nonce {
            return None; // about one that came before
        }
        match report {
            Report::Ended {
                status,
                out_of_memory,
                can_go_on,
                ..
            } => {
                self.state.can_go_on = can_go_on;
                let last = Some(Last::Ended(status, out_of_memory));
                if self.judge == Judge::Both || self.socket.is_none() {
                    self.state.status = last;
                } else {
                    // Somebody else may have the socket; who does not is seen to have closed it.
                    (self.kept, self.state.early) = (false, last);
                    self.state.closed = Instant::now().checked_add(self.host.grace());
                }
            }
            Report::NotStarted(_, why) => self.state.status = Some(Last::NotStarted(why)),
            Report::Stopped(_, signal) => self.host.observed(Observed::Stopped(signal)),
            Report::Continued(_) => self.host.observed(Observed::Continued),
            Report::Became(_, program) => self.state.became = Some(program),
            Report::Left(_, left) => return Some(left),
        }
        None
    }

    /// What the process asks for or says, as far as it is there; false where nothing is.
    fn hear(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        match socket::receive(socket.as_fd(), &mut self.lane.buffer, Patience::Now) {
            Ok(bytes @ 1..) => self.lane.frames.push(&self.lane.buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(_) | Err(_) => {
                self.hear_no_more();
                return false;
            }
        }
        self.obey_all()
    }

    /// Does what has been heard; false where that is not to be understood.
    fn obey_all(&mut self) -> bool {
        loop {
            match self.lane.frames.next(self.nonce) {
                Next::Frame(body) => {
                    if self.state.ending.is_none() && self.obey(&mut Reader(&body)).is_none() {
                        self.break_off(Broken::Garbage);
                        return false;
                    }
                }
                Next::Part => return true,
                Next::Garbage => {
                    self.break_off(Broken::Garbage);
                    return false;
                }
            }
        }
    }

    /// Ends a process that cannot be talked to any more.
    fn break_off(&mut self, why: Broken) {
        self.socket = None;
        if self.state.broken.is_none() {
            self.state.broken = Some(why);
            self.lane.say(&Command::Break(self.nonce));
        }
    }

    /// Does what a frame says; none where it says nothing.
    fn obey(&mut self, frame: &mut Reader<'_>) -> Option<()> {
        let host = &**self.host;
        let kind = frame.byte()?;
        match kind {
            kind::BEGUN => self.state.begun = true,
            kind::ENDED => self.state.ending = Some(frame.ending()?),
            kind::LOG => host.log(frame.record()?),
            kind::PROGRESS => host.progress(frame.progress()?),
            _ => {
                let request = frame.number()?;
                if self.state.status.is_some() {
                    return Some(()); // nobody waits for the answer
                }
                let answer: Answer = match kind {
                    kind::RESULT => Answer::Value(host.result(frame.text()?)),
                    kind::STATE => Answer::Value(host.state(frame.text()?)),
                    kind::SET => {
                        let key = frame.text()?;
                        host.set_state(key, frame.json()?).into()
                    }
                    kind::SWAP => {
                        let key = frame.text()?;
                        let expected = frame.json()?;
                        host.swap_state(key, expected, frame.json()?).into()
                    }
                    kind::UNLOCK => host.unlock(frame.text()?).into(),
                    kind::START => host.start(frame.text()?).into(),
                    kind::LOCK | kind::WAIT => {
                        let first = frame.byte()? != 0;
                        let name = frame.text()?.to_owned();
                        let act = move |host: &dyn Host| -> Answer {
                            match kind {
                                kind::LOCK => host.lock(&name).into(),
                                _ => host.wait(&name).into(),
                            }
                        };
                        if first {
                            self.act_here(request, act);
                        } else {
                            self.act_aside(request, act);
                        }
                        return Some(());
                    }
                    _ => return None,
                };
                self.answer(request, &answer);
            }
        }
        Some(())
    }

    fn answer(&mut self, request: u32, answer: &Answer) {
        let frame = frame_of(request, answer, self.nonce);
        self.send(&frame);
    }

    /// Sends as much as the process takes now; the rest stays.
    fn send(&mut self, frame: &[u8]) {
        self.unsent.extend_from_slice(frame);
        let Some(socket) = &self.socket else {
            return self.unsent.clear();
        };
        let mut sent = 0;
        while sent < self.unsent.len() {
            match socket::send(socket.as_fd(), &self.unsent[sent..], &[], Patience::Now) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It has ended, or is about to: that is seen by itself.
                Err(_) => sent = self.unsent.len(),
            }
        }
        self.unsent.drain(..sent);
    }

    fn take_answers(&mut self) {
        if let Some(helpers) = &self.helpers {
            let answers = helpers.take();
            self.send(&answers);
        }
    }

    fn helpers(&mut self) -> io::Result<Arc<Helpers>> {
        if let Some(helpers) = &self.helpers {
            return Ok(Arc::clone(helpers));
        }
        let helpers = Helpers::new()?;
        self.helpers = Some(Arc::clone(&helpers));
        Ok(helpers)
    }

    /// Waits for something that the thread of the task asks for, on the one of the call: so it gives up the place of its
    /// task where it would in one process. Meanwhile another thread serves the process.
    fn act_here(&mut self, request: u32, act: impl FnOnce(&dyn Host) -> Answer) {
        let (host, nonce) = (Arc::clone(self.host), self.nonce);
        let Ok(helpers) = self.helpers() else {
            let answer = act(&*host);
            return self.answer(request, &answer);
        };
        thread::scope(|scope| {
            let serving = thread::Builder::new().name("serves".into());
            // Without such a thread nothing else is served meanwhile.
            let serving = serving.spawn_scoped(scope, || {
                self.serve();
                if self.state.status.is_some() {
                    self.host.gone();
                }
            });
            let answer = frame_of(request, &act(&*host), nonce);
            if serving.is_ok() {
                helpers.is_back.store(true, Ordering::Release);
            }
            helpers.answer(answer);
        });
    }

    /// Waits for something that another thread of the process asks for.
    fn act_aside(&mut self, request: u32, act: impl FnOnce(&dyn Host) -> Answer + Send + 'static) {
        let (host, nonce) = (Arc::clone(self.host), self.nonce);
        let started = self.helpers().and_then(|helpers| {
            let wait = move || helpers.answer(frame_of(request, &act(&*host), nonce));
            thread::Builder::new().name("waits".into()).spawn(wait)
        });
        if started.is_err() {
            self.answer(request, &Err(crate::task::Refused::Limit).into());
        }
    }

    /// Takes what is still on its way. Where others hold what the task has written to, it waits a moment for their end.
    fn drain(&mut self) {
        let quiet = self.state.can_go_on && self.state.is_quiet;
        // What it has said stands before the word.
        while !quiet && self.state.broken.is_none() && self.hear() {}
        let word = self.word.map_or(0, |word| word.load(Ordering::Acquire));
        if self.state.ending.is_none() && word & word::PASSED != 0 {
            self.state.ending = Some(Ending::Passed(None));
        } else if word & word::CLOSED != 0 {
            self.state.broken.get_or_insert(Broken::Closed);
        }
        self.lane.frames.clear();
        if self.state.can_go_on {
            for pipe in [&mut self.stdout, &mut self.stderr] {
                while !quiet && pipe.read(&mut self.lane.buffer, &**self.host) {}
            }
            return;
        }
        let mut poll = std::mem::take(&mut self.lane.poll);
        let end = Instant::now() + AFTERMATH;
        while self.stdout.open.is_some() || self.stderr.open.is_some() {
            poll.clear();
            let out = poll.add_if(self.stdout.open.as_ref());
            let err = poll.add_if(self.stderr.open.as_ref());
            let patience = end.saturating_duration_since(Instant::now());
            if patience.is_zero() || poll.wait(Some(patience)).is_err() {
                self.tell_left(&mut poll);
                break;
            }
            for (place, pipe) in [(out, &mut self.stdout), (err, &mut self.stderr)] {
                if poll.is_over(place) {
                    pipe.open = None;
                } else if poll.is_ready(place) {
                    pipe.read(&mut self.lane.buffer, &**self.host);
                }
            }
        }
        self.lane.poll = poll;
    }

    fn tell_left(&mut self, poll: &mut Poll) {
        self.lane.say(&Command::WhoIsLeft(self.nonce));
        let end = Instant::now() + LOOK_FOR;
        let mut left = None;
        while left.is_none() {
            poll.clear();
            let reports = poll.add(&self.lane.socket);
            let patience = end.saturating_duration_since(Instant::now());
            if patience.is_zero() || poll.wait(Some(patience)).is_err() {
                break;
            }
            if poll.is_ready(reports) {
                left = self.take_report();
                if matches!(self.state.status, Some(Last::Abandoned)) {
                    break;
                }
            }
        }
        // Somebody is there, be it one who cannot be seen from here.
        let left = left.filter(|left| !left.is_empty()).unwrap_or_else(|| {
            vec![Left {
                pid: None,
                name: "".into(),
            }]
        });
        self.host.observed(Observed::Left(left.into()));
    }

    fn tell_output(&mut self) {
        let mut output = Output::default();
        let pipes = [
            (&mut self.stdout, &mut output.stdout),
            (&mut self.stderr, &mut output.stderr),
        ];
        for (pipe, written) in pipes {
            let channel = pipe.channel;
            match &mut pipe.kept {
                Keep::All(kept) => *written = kept.take(),
                Keep::Lines(lines) => {
                    lines.end(|line| self.host.observed(Observed::Line(channel, line.into())));
                }
            }
        }
        if !output.stdout.head.is_empty() || !output.stderr.head.is_empty() {
            self.host.observed(Observed::Output(Box::new(output)));
        }
    }

    fn conclude(self) -> Ended {
        let Self {
            state,
            judge,
            command,
            host,
            ..
        } = self;
        if state.can_go_on
            && state.broken.is_none()
            && let (Some(socket), Some(stdout), Some(stderr)) =
                (self.socket, self.stdout.open, self.stderr.open)
        {
            self.lane.ends = Some(Ends {
                socket,
                stdout,
                stderr,
            });
        }
        let crashed = |why: String| {
            let failure = Failure {
                message: why.into(),
                place: None,
            };
            Ended::As(Ending::Exited {
                crashed: true,
                failure,
                result: None,
            })
        };
        let mut outlived = None;
        let (status, out_of_memory) = match state.status {
            Some(Last::Ended(status, out_of_memory)) => (status, out_of_memory),
            Some(Last::Outlived(status)) => {
                outlived = Some(host.grace());
                (status, false)
            }
            Some(Last::NotStarted(why)) => {
                return Ended::As(Ending::failed(format!("isolate.fork: {why}")));
            }
            Some(Last::Abandoned) | None => return Ended::Abandoned,
        };
        let how = how(status, out_of_memory);
        let is_ours =
            matches!(status, Status::Killed(number, _) if number == Signal::SIGKILL as i32);
        match (state.ending, state.broken) {
            (_, Some(Broken::Garbage)) => crashed(GARBAGE.into()),
            (_, Some(Broken::Silent)) if is_ours => crashed(match state.became {
                Some(program) if judge == Judge::Both => {
                    format!("became another program before finishing: {program}")
                }
                _ => CLOSED.into(),
            }),
            (_, Some(Broken::Closed)) => crashed(CLOSED.into()),
            (Some(ending), _) if status == Status::Exited(0) || judge != Judge::Both => {
                Ended::As(ending)
            }
            (Some(_), _) => crashed(format!("{how} after it had finished")),
            (None, _) if judge == Judge::Both => match status {
                Status::Exited(_) => crashed(format!("{how} before finishing")),
                Status::Killed(..) => crashed(how),
            },
            (None, _) => {
                let between = Between {
                    command,
                    judge,
                    begun: state.begun,
                    outlived,
                };
                let words = between.words(status, &how);
                if judge == Judge::Word && !state.begun && outlived.is_none() {
                    Ended::Lost(words)
                } else {
                    crashed(words)
                }
            }
        }
    }
}

/// A command that has ended before its task, as far as can be seen.
struct Between<'a> {
    command: &'a str,
    judge: Judge,
    begun: bool,
    /// So long it was waited for the task.
    outlived: Option<Duration>,
}

impl Between<'_> {
    /// What has happened, and what can be done about it.
    fn words(&self, status: Status, how: &str) -> String {
        let Self { command, begun, .. } = self;
        let how = match status {
            // As shells tell of a signal.
            Status::Exited(status) if status > 128 && status <= 128 + 64 => {
                format!("{how} (128 + {})", signals::name(status - 128))
            }
            Status::Killed(..) if *begun && self.outlived.is_none() => return how.to_owned(),
            Status::Killed(..) => format!("was {how}"),
            Status::Exited(_) => how.to_owned(),
        };
        if let Some(grace) = self.outlived {
            return format!(
                "`{command}` {how}, and the task was not done {grace:?} later\n\
                 a command has to wait for what it starts"
            );
        }
        match (self.judge, begun) {
            (Judge::Person, true) => {
                format!("the debugger ended before the task did: `{command}` {how}")
            }
            (Judge::Person, false) => format!(
                "the debugger ended before it had started the task: `{command}` {how}\n\
                 in gdb and lldb `run` starts it"
            ),
            (_, true) => format!("`{command} …` {how} before the task had finished"),
            (_, false) => format!(
                "`{command}` {how} before it had started the task\n\
                 a command has to run the words behind it, and to leave descriptors 3 and 4 open"
            ),
        }
    }
}

fn frame_of(request: u32, answer: &Answer, nonce: u32) -> Vec<u8> {
    let mut out = Writer::framed();
    out.number(request).answer(answer);
    out.frame(nonce)
}

/// How a process has ended, in words.
fn how(status: Status, out_of_memory: bool) -> String {
    match status {
        Status::Exited(status) => format!("exited with status {status}"),
        Status::Killed(signal, core) => {
            let name = signals::name(signal);
            let core = if core { " (core dumped)" } else { "" };
            let memory = if out_of_memory {
                " (out of memory?)"
            } else {
                ""
            };
            format!("killed by {name}{core}{memory}")
        }
    }
}
