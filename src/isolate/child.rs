//! The process of a task: calls it, and asks the runner for all that it asks for.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::forker::SOCKET_OF_TASK;
use super::order::{Order, What};
use super::wire::{Answer, HEADER, Header, Reader, Writer};
use super::word;
use crate::process::socket::{self, Patience};
use crate::process::{self, ProcessId, Words};
use crate::task::{
    Arguments, Caller, Cancel, Catalog, Declined, Ending, Host, Hosts, Json, LibraryId, Observed,
    Progress, Record, Refused, TaskRef,
};

/// What a frame of a task is about.
pub(super) mod kind {
    pub(in super::super) const BEGUN: u8 = 0;
    pub(in super::super) const ENDED: u8 = 1;
    pub(in super::super) const LOG: u8 = 2;
    pub(in super::super) const PROGRESS: u8 = 3;
    pub(in super::super) const RESULT: u8 = 4;
    pub(in super::super) const STATE: u8 = 5;
    pub(in super::super) const SET: u8 = 6;
    pub(in super::super) const SWAP: u8 = 7;
    pub(in super::super) const LOCK: u8 = 8;
    pub(in super::super) const UNLOCK: u8 = 9;
    pub(in super::super) const START: u8 = 10;
    pub(in super::super) const WAIT: u8 = 11;
}

/// The number of the one call that there is.
const CALL: u32 = 1;
/// A task that says how far it is more often than this is not heard each time.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A task process before it is one: all that can be made ready in the server. Most of what a small process takes are pages
/// that it is the first to look at or to write to, so that what follows writes as little as can be; the host is made when
/// somebody asks for it.
pub(super) struct Desk {
    catalog: &'static Catalog,
    words: Words,
    /// Called when the task has ended.
    at_end: Option<fn()>,
    /// What this process is for; nothing in the server.
    job: Mutex<Option<Job>>,
    remote: OnceLock<Arc<Remote>>,
    over: AtomicBool,
}

/// What is to be done, and by which process.
#[derive(Clone)]
struct Job {
    me: ProcessId,
    order: Order,
    word: Option<&'static AtomicU64>,
}

impl Desk {
    pub(super) fn new(catalog: &'static Catalog, words: Words, at_end: Option<fn()>) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            words,
            at_end,
            job: Mutex::default(),
            remote: OnceLock::new(),
            over: AtomicBool::new(false),
        })
    }

    pub(super) fn words(&self) -> Words {
        self.words
    }

    /// Does what each task process does around its task: what is made ready by that is ready in all of them.
    pub(super) fn warm_up(hosts: &Arc<dyn Hosts>, call: fn(&Caller<'_>)) {
        let caller = Caller::new(hosts, CALL);
        let _ = panic::catch_unwind(AssertUnwindSafe(|| call(&caller)));
        process::flush_streams();
    }

    /// Runs what is ordered, and ends this process. `hosts` is the same as this.
    pub(super) fn run(&self, hosts: &Arc<dyn Hosts>, order: &Order) -> ! {
        let word = self.words.get(order.word as usize);
        let me = process::id();
        *locked(&self.job) = Some(Job {
            me,
            order: order.clone(),
            word,
        });
        let caller = Caller::new(hosts, CALL);
        let act = || match &order.what {
            What::Task(id) => self.catalog.call_here(*id, &caller),
            what => self.act(what, &caller),
        };
        let ending = panic::catch_unwind(AssertUnwindSafe(act));
        if process::id() != me {
            // The task has forked, and this is not the one that the runner knows.
            process::flush_streams();
            process::end(0);
        }
        self.over.store(true, Ordering::SeqCst);
        if let Some(remote) = self.remote.get() {
            remote.over.store(true, Ordering::SeqCst);
        }
        let Ok(ending) = ending else { process::end(1) };
        process::flush_streams();
        if let Some(at_end) = self.at_end {
            at_end();
        }
        let sent = match (ending, word) {
            (None, Some(word)) => {
                let is_open = socket::is_open(SOCKET_OF_TASK);
                if is_open {
                    word.fetch_or(word::PASSED, Ordering::AcqRel);
                }
                is_open
            }
            (ending, _) => {
                let ending = ending.unwrap_or_else(|| Box::new(Ending::Passed(None)));
                let mut out = Writer::framed();
                out.byte(kind::ENDED).ending(&ending);
                let remote = self.remote();
                remote.is_some_and(|remote| remote.send(out))
            }
        };
        if !sent && let Some(word) = word {
            word.fetch_or(word::CLOSED, Ordering::AcqRel);
        }
        process::end(i32::from(!sent))
    }

    #[cold]
    fn act(&self, what: &What, caller: &Caller<'_>) -> Option<Box<Ending>> {
        let hook = match what {
            What::Task(id) => return self.catalog.call_here(*id, caller),
            What::Named(library, name) => {
                let (call, _) = find(self.catalog, *library, name);
                return call(caller);
            }
            What::Setup(library) => &self.catalog.libraries[library.index()].setup,
            What::Teardown(library) => &self.catalog.libraries[library.index()].teardown,
        };
        hook.as_ref().map(|hook| Box::new(hook(caller)))
    }

    /// The host; none in the server, and where there is no socket.
    fn remote(&self) -> Option<&Arc<Remote>> {
        if let Some(remote) = self.remote.get() {
            return Some(remote);
        }
        let job = locked(&self.job).clone()?;
        let (name, arguments) = match &job.order.what {
            What::Task(id) => {
                let task = self.catalog.task(*id);
                (task.name_in_source().into(), task.arguments().clone())
            }
            What::Named(library, name) => (name.clone(), find(self.catalog, *library, name).1),
            What::Setup(_) => ("setup".into(), Arguments::default()),
            What::Teardown(_) => ("teardown".into(), Arguments::default()),
        };
        let make = || {
            Arc::new(Remote {
                me: job.me,
                nonce: job.order.nonce,
                attempt: job.order.attempt,
                grace: job.order.grace,
                name,
                arguments,
                word: job.word,
                over: AtomicBool::new(self.over.load(Ordering::SeqCst)),
                next: AtomicU32::new(0),
                writing: Mutex::default(),
                answers: Mutex::default(),
                came: Condvar::new(),
                last_progress: Mutex::default(),
            })
        };
        Some(self.remote.get_or_init(make))
    }
}

impl Hosts for Desk {
    fn host(&self, call: u32) -> Option<Arc<dyn Host>> {
        let is_on = call == CALL && !self.over.load(Ordering::SeqCst);
        let remote = is_on.then(|| self.remote()).flatten()?;
        Some(Arc::clone(remote) as _)
    }
}

type Call<'a> = Box<dyn FnOnce(&Caller<'_>) -> Option<Box<Ending>> + 'a>;

/// A task by its name, among those that were loaded, or made of a template; and its arguments.
fn find<'a>(catalog: &'a Catalog, library: LibraryId, name: &str) -> (Call<'a>, Arguments) {
    if let Some(id) = catalog.find(library, name) {
        let arguments = catalog.task(id).arguments().clone();
        return (
            Box::new(move |caller| catalog.call_here(id, caller)),
            arguments,
        );
    }
    let templates = catalog.templates.iter();
    let mut own = templates.filter(|template| template.task.library == library);
    let made = own.find_map(|template| {
        let arguments = template.pattern().matches(name)?;
        template.instance(arguments).ok()
    });
    if let Some(task) = made {
        let arguments = task.arguments.clone();
        let call = move |caller: &Caller<'_>| TaskRef::from(&task).call(caller);
        return (Box::new(call), arguments);
    }
    let ending = Ending::failed(format!("there is no task `{name}` in the library any more"));
    (Box::new(|_| Some(Box::new(ending))), Arguments::default())
}

/// The host, at the other end of the socket.
struct Remote {
    me: ProcessId,
    nonce: u32,
    attempt: u32,
    grace: Duration,
    name: Box<str>,
    arguments: Arguments,
    word: Option<&'static AtomicU64>,
    over: AtomicBool,
    next: AtomicU32,
    /// Held while a frame is written, so that none stands in another.
    writing: Mutex<()>,
    answers: Mutex<Answers>,
    /// There are answers, or somebody has to read them.
    came: Condvar,
    last_progress: Mutex<Option<Instant>>,
}

/// Answers to those who wait; one of them reads for all.
#[derive(Default)]
struct Answers {
    by_request: HashMap<u32, Answer>,
    is_read: bool,
    /// Nothing more will come.
    closed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// Not for one that the task has forked: what two processes send stands within each other.
    fn send(&self, out: Writer) -> bool {
        if process::id() != self.me {
            return false;
        }
        let frame = out.frame(self.nonce);
        let _writing = locked(&self.writing);
        socket::send_all(socket::numbered(SOCKET_OF_TASK), &frame).is_ok()
    }

    /// Asks, and waits for the answer; none where nobody answers any more.
    fn ask(&self, kind: u8, write: impl FnOnce(&mut Writer)) -> Option<Answer> {
        if self.is_over() {
            return None;
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let mut out = Writer::framed();
        out.byte(kind).number(request);
        write(&mut out);
        if !self.send(out) {
            return None;
        }
        let mut answers = locked(&self.answers);
        loop {
            if let Some(answer) = answers.by_request.remove(&request) {
                return Some(answer);
            }
            if answers.closed {
                return None;
            }
            if answers.is_read {
                let waited = self.came.wait(answers);
                answers = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            answers.is_read = true;
            drop(answers);
            let read = self.read();
            answers = locked(&self.answers);
            answers.is_read = false;
            match read {
                Some((request, answer)) => drop(answers.by_request.insert(request, answer)),
                None => answers.closed = true,
            }
            self.came.notify_all();
        }
    }

    /// The next answer, and to which request.
    fn read(&self) -> Option<(u32, Answer)> {
        let mut header = [0; HEADER];
        Self::fill(&mut header)?;
        let header = Header::read(&header, self.nonce)?;
        let mut body = vec![0; header.length];
        Self::fill(&mut body)?;
        if !header.fits(&body) {
            return None;
        }
        let mut from = Reader(&body);
        Some((from.number()?, from.answer()?))
    }

    fn fill(mut buffer: &mut [u8]) -> Option<()> {
        while !buffer.is_empty() {
            match socket::receive(socket::numbered(SOCKET_OF_TASK), buffer, Patience::Wait) {
                Ok(bytes @ 1..) => buffer = &mut buffer[bytes..],
                Ok(0) | Err(_) => return None,
            }
        }
        Some(())
    }

    fn get(&self, kind: u8, name: &str) -> Option<Json> {
        match self.ask(kind, |out| {
            out.text(name);
        })? {
            Answer::Value(value) => value,
            _ => None,
        }
    }

    fn act(&self, kind: u8, write: impl FnOnce(&mut Writer)) -> Result<(), Declined> {
        match self.ask(kind, write) {
            Some(Answer::Done) => Ok(()),
            Some(Answer::Declined(declined)) => Err(declined),
            _ => Err(Refused::Stale.into()),
        }
    }
}

/// The kind of refusal alone.
fn bare(Declined { refused, .. }: Declined) -> Refused {
    refused
}

impl Host for Remote {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn log(&self, record: Record) {
        let mut out = Writer::framed();
        out.byte(kind::LOG).record(&record);
        self.send(out);
    }

    fn progress(&self, progress: Progress) {
        let mut last = locked(&self.last_progress);
        let is_done = progress.total > 0 && progress.done >= progress.total;
        if !is_done && last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let mut out = Writer::framed();
        out.byte(kind::PROGRESS).progress(&progress);
        self.send(out);
    }

    /// Who asks is not asked by a signal any more: see [`word`].
    fn cancelled(&self) -> bool {
        let word = self
            .word
            .filter(|_| process::id() == self.me)
            .map(|word| word.fetch_or(word::ASKS, Ordering::AcqRel));
        self.is_over() || word.is_some_and(|word| word & word::CANCELLED != 0)
    }

    /// For programs, which are processes of their own already and do not come here.
    fn when_cancelled(&self, _act: Box<dyn Fn(Cancel) + Send + Sync>) {}

    fn grace(&self) -> Duration {
        self.grace
    }

    fn observed(&self, _observed: Observed) {}

    fn result(&self, task: &str) -> Option<Json> {
        self.get(kind::RESULT, task)
    }

    fn state(&self, key: &str) -> Option<Json> {
        self.get(kind::STATE, key)
    }

    fn set_state(&self, key: &str, value: Option<Json>) -> Result<(), Refused> {
        self.act(kind::SET, |out| {
            out.text(key).json(value.as_ref());
        })
        .map_err(bare)
    }

    fn swap_state(
        &self,
        key: &str,
        expected: Option<Json>,
        value: Option<Json>,
    ) -> Result<(), Refused> {
        let write = |out: &mut Writer| {
            out.text(key).json(expected.as_ref()).json(value.as_ref());
        };
        self.act(kind::SWAP, write).map_err(bare)
    }

    fn lock(&self, name: &str) -> Result<(), Refused> {
        let first = u8::from(process::is_first_thread());
        self.act(kind::LOCK, |out| {
            out.byte(first).text(name);
        })
        .map_err(bare)
    }

    fn unlock(&self, name: &str) -> Result<(), Refused> {
        self.act(kind::UNLOCK, |out| {
            out.text(name);
        })
        .map_err(bare)
    }

    fn start(&self, task: &str) -> Result<(), Declined> {
        self.act(kind::START, |out| {
            out.text(task);
        })
    }

    fn wait(&self, task: &str) -> Result<(), Declined> {
        let first = u8::from(process::is_first_thread());
        self.act(kind::WAIT, |out| {
            out.byte(first).text(task);
        })
    }
}
