//! The runner's side: has processes started for tasks and hooks, and serves each until it has ended.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::fresh::Fresh;
use super::order::{Command, Order, What};
use super::session::{Ended, Ends, Judge, Session};
use super::wire::Frames;
use super::{Which, word};
use crate::process;
use crate::process::poll::Poll;
use crate::process::socket::{self, Patience};
use crate::process::{Words, tree};
use crate::task::{Caller, Cancel, Ending, Failure, Host, Launcher, LibraryId, TaskId, TaskRef};

/// How many processes may run at the same time, of those that can be told by a word that they are cancelled; and one word more,
/// for what forkers know of the memory of the system.
pub(super) const WORDS: usize = 4096;
/// Bytes that are read at once: what a pipe usually holds.
const CHUNK: usize = 64 << 10;
/// How often a process is started again that did not come to begin with its task.
const LOST_MAX: usize = 2;
/// How often who waits for others looks whether its task is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A descriptor that is none.
const BADF: i32 = nix::errno::Errno::EBADF as i32;
/// How long the server may take to end all that is left.
const LEAVE_FOR: Duration = Duration::from_secs(2);

/// What is called when the server has gone: it does not come back.
pub type OnGone = Box<dyn Fn() + Send + Sync>;

/// Has tasks run in processes of their own.
pub struct Apart {
    pub(super) which: Which,
    /// The one that is looked into under a debugger.
    pub(super) looked_into: Option<(LibraryId, Box<str>)>,
    /// By library and name.
    pub(super) suspects: HashSet<(LibraryId, Box<str>)>,
    /// All tasks are given a time.
    pub(super) has_timeout: bool,
    /// By library: a panic ends the process.
    pub(super) aborts: Vec<bool>,
    /// So many tasks are known to the server by their ids.
    pub(super) loaded: usize,
    /// Output is told line by line.
    pub(super) live: bool,
    /// How processes are started that are no copies of the server.
    pub(super) fresh: Option<Fresh>,
    pub(super) control: OwnedFd,
    pub(super) words: Words,
    pub(super) next: AtomicU32,
    pub(super) lanes: Mutex<Lanes>,
    /// A lane was given back.
    pub(super) back: Condvar,
    pub(super) on_gone: OnGone,
}

/// Lanes that nobody uses just now.
#[derive(Default)]
pub(super) struct Lanes {
    free: Vec<Lane>,
    made: u32,
    /// In use just now,
    busy: usize,
    /// and how often one was given back behind a process.
    ended: u64,
    /// So many threads wait for that.
    waiting: usize,
}

/// The way to a forker, for one process at a time.
pub(super) struct Lane {
    pub(super) socket: Arc<OwnedFd>,
    place: u32,
    pub(super) word: Option<&'static AtomicU64>,
    pub(super) buffer: Box<[u8]>,
    pub(super) frames: Frames,
    pub(super) poll: Poll,
    /// Where the next process is heard, if one has left it as it was.
    pub(super) ends: Option<Ends>,
}

impl Lane {
    /// Sends a word to the forker. Whether it is gone shows when it is listened to.
    pub(super) fn say(&self, command: &Command) {
        say(self.socket.as_fd(), command);
    }
}

fn say(socket: BorrowedFd<'_>, command: &Command) {
    let _ = socket::send(socket, &command.write(), &[], Patience::Wait);
}

fn crashed(why: String) -> Ending {
    let failure = Failure {
        message: why.into(),
        place: None,
    };
    let (crashed, result) = (true, None);
    Ending::Exited {
        crashed,
        failure,
        result,
    }
}

/// Where a process is heard, and its own ends: socket, standard output and standard error.
fn pairs() -> io::Result<(Ends, [OwnedFd; 3])> {
    let (socket, its_socket) = socket::stream()?;
    let (stdout, its_stdout) = socket::pipe()?;
    let (stderr, its_stderr) = socket::pipe()?;
    socket::never_wait(&stdout)?;
    socket::never_wait(&stderr)?;
    let ends = Ends {
        socket,
        stdout,
        stderr,
    };
    Ok((ends, [its_socket, its_stdout, its_stderr]))
}

impl Apart {
    /// Which tasks it runs, where nothing is looked into.
    pub(super) fn is_wanted(&self, task: TaskRef<'_>) -> bool {
        let options = || task.options();
        match self.which {
            Which::Never => false,
            Which::All => true,
            Which::Asking => options().isolate,
            Which::Auto => {
                let aborts = self.aborts.get(task.library().index());
                self.has_timeout
                    || aborts.is_some_and(|aborts| *aborts)
                    || options().isolate
                    || options().timeout.is_some()
            }
        }
    }

    fn is_suspect(&self, task: TaskRef<'_>) -> bool {
        !self.suspects.is_empty()
            && self
                .suspects
                .contains(&(task.library(), task.name().into()))
    }

    /// Runs a hook of a library.
    pub(super) fn hook(&self, what: &What, caller: &Caller<'_>) -> Ending {
        let ending = self.run(what, caller);
        ending.map_or(Ending::Passed(None), |ending| *ending)
    }

    /// No task can be run any more.
    fn vanish(&self) -> ! {
        (self.on_gone)();
        loop {
            thread::park(); // the process is about to end
        }
    }

    fn run(&self, what: &What, caller: &Caller<'_>) -> Option<Box<Ending>> {
        let host = caller.host();
        let mut losses = 0;
        loop {
            match self.once(what, host) {
                Ok(Ended::As(Ending::Passed(None))) => return None,
                Ok(Ended::As(ending)) => return Some(Box::new(ending)),
                Ok(Ended::Lost(_)) if losses < LOST_MAX && !host.cancelled() => losses += 1,
                Ok(Ended::Lost(why)) => {
                    let times = match losses {
                        0 => String::new(),
                        losses => format!(" {} times", losses + 1),
                    };
                    return Some(Box::new(crashed(format!("lost{times}: {why}"))));
                }
                // Its forker alone has ended, and all that descends from that.
                Ok(Ended::Abandoned) if !self.is_gone() => {
                    let why = "killed with the process that it was forked from";
                    return Some(Box::new(crashed(why.into())));
                }
                Ok(Ended::Abandoned) => self.vanish(),
                // A task in a thread has closed what is not its own.
                Err(error) if error.raw_os_error() == Some(BADF) => self.vanish(),
                // With fewer at the same time.
                Err(error) if process::is_shortage(&error) && self.wait_for_others(host) => {}
                Err(error) => {
                    return Some(Box::new(Ending::failed(format!("isolate.fork: {error}"))));
                }
            }
        }
    }

    /// Waits until another process has ended; false where there is none, or nobody wants this one any more.
    fn wait_for_others(&self, host: &Arc<dyn Host>) -> bool {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lanes.ended;
        lanes.waiting += 1;
        while lanes.ended == before && lanes.busy > 0 && !host.cancelled() {
            let waited = self.back.wait_timeout(lanes, LOOK_EVERY);
            (lanes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        lanes.waiting -= 1;
        lanes.ended != before && !host.cancelled()
    }

    fn once(&self, what: &What, host: &Arc<dyn Host>) -> io::Result<Ended> {
        let mut lane = self.lane()?;
        let ended = self.start(&mut lane, what, host);
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(ended, Ok(Ended::Abandoned)) {
            lanes.free.push(lane);
        }
        lanes.busy -= 1;
        lanes.ended += u64::from(ended.is_ok());
        if lanes.waiting > 0 {
            self.back.notify_all();
        }
        drop(lanes);
        ended
    }

    fn start(&self, lane: &mut Lane, what: &What, host: &Arc<dyn Host>) -> io::Result<Ended> {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        let order = Order {
            nonce,
            word: lane.word.map_or(u32::MAX, |_| lane.place),
            attempt: host.attempt(),
            grace: host.grace(),
            what: what.clone(),
        };
        let shared = lane.word;
        if let Some(shared) = shared {
            shared.store(0, Ordering::Release);
        }
        let mut judge = (Judge::Both, "");
        // Those of the process before, or new ones.
        let (ends, its) = match lane.ends.take() {
            Some(ends) => (ends, None),
            None => pairs().map(|(ends, its)| (ends, Some(its)))?,
        };
        let mut terminal = None;
        if let Some(fresh) = &self.fresh {
            fresh.greet(&ends.socket, &order)?;
            judge = (fresh.judge, &*fresh.command);
            terminal = fresh.terminal.as_ref();
        }
        let start = Command::Start(order).write();
        let descriptors = match (&its, terminal) {
            (None, _) => Vec::new(),
            (Some(its), None) => its.iter().map(AsFd::as_fd).collect(),
            (Some([its_socket, ..]), Some([stdin, stdout, stderr])) => {
                [its_socket, stdout, stderr, stdin].map(AsFd::as_fd).into()
            }
        };
        if socket::send(lane.socket.as_fd(), &start, &descriptors, Patience::Wait).is_err() {
            return Ok(Ended::Abandoned);
        }
        let its_lane = Arc::clone(&lane.socket);
        host.when_cancelled(Box::new(move |cancel| match cancel {
            Cancel::Asked => {
                let before = shared.map(|word| word.fetch_or(word::CANCELLED, Ordering::AcqRel));
                if before.is_none_or(|before| before & word::ASKS == 0) {
                    say(its_lane.as_fd(), &Command::Ask(nonce));
                }
            }
            Cancel::GivenUp => say(its_lane.as_fd(), &Command::Kill(nonce)),
        }));
        // The forker has them.
        drop(its);
        Ok(Session::new(host, lane, nonce, judge, ends, self.live).run())
    }

    /// The server has ended, and so have all forkers.
    fn is_gone(&self) -> bool {
        let mut poll = Poll::default();
        poll.add(&self.control);
        poll.wait(Some(Duration::ZERO)).is_err() || poll.is_ready(0)
    }

    /// A lane that nobody uses.
    fn lane(&self) -> io::Result<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.free.pop() {
            lanes.busy += 1;
            return Ok(lane);
        }
        drop(lanes);
        let (ours, its) = socket::messages()?;
        socket::send(
            self.control.as_fd(),
            &[u8::MAX],
            &[its.as_fd()],
            Patience::Wait,
        )?;
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let place = lanes.made;
        (lanes.made, lanes.busy) = (lanes.made + 1, lanes.busy + 1);
        drop(lanes);
        Ok(Lane {
            socket: Arc::new(ours),
            place,
            word: self
                .words
                .get(place as usize)
                .filter(|_| place as usize + 1 < WORDS),
            buffer: vec![0; CHUNK].into(),
            frames: Frames::default(),
            poll: Poll::default(),
            ends: None,
        })
    }

    /// Ends all that tasks have left behind, and the server. To be called when nothing runs any more.
    pub fn leave(&self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in lanes.free.drain(..) {
            lane.say(&Command::Leave);
        }
        drop(lanes);
        say(self.control.as_fd(), &Command::Leave);
        let (mut poll, end) = (Poll::default(), Instant::now() + LEAVE_FOR);
        let mut is_swept = false;
        loop {
            poll.clear();
            poll.add(&self.control);
            let patience = end.saturating_duration_since(Instant::now());
            if patience.is_zero() || poll.wait(Some(patience)).is_err() {
                return;
            }
            if poll.is_ready(0) {
                let said = socket::receive(self.control.as_fd(), &mut [0], Patience::Now);
                if said.is_ok_and(|bytes| bytes > 0) {
                    is_swept = true;
                    continue;
                }
                if !is_swept {
                    // It was killed, and what it had not ended yet has been adopted here.
                    tree::end_all(LEAVE_FOR);
                }
                return;
            }
        }
    }
}

impl Launcher for Apart {
    fn takes(&self, task: TaskRef<'_>) -> bool {
        if task.is_program() {
            return false;
        }
        match &self.looked_into {
            Some((library, name)) => task.library() == *library && task.name() == &**name,
            None => self.is_wanted(task) || self.is_suspect(task),
        }
    }

    fn call(&self, id: TaskId, task: TaskRef<'_>, caller: &Caller<'_>) -> Option<Box<Ending>> {
        let what = if id.index() < self.loaded {
            What::Task(id)
        } else {
            What::Named(task.library(), task.name().into())
        };
        self.run(&what, caller)
    }
}
