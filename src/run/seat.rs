//! Where a thread calls actions, one after the other, and where their hosts are found.
//!
//! Most calls never ask for anything. So a host is made only when somebody asks for it, which may be any thread that the
//! task has made; nothing is prepared for that but a few fields, which the calling thread writes without a lock.
//!
//! The protocol: the calling thread writes the fields, then an odd number, calls, and then writes the next, even number.
//! Who asks by a number reads the fields only while that is the number, and looks at it again afterwards: if it is still
//! the same, they belong together. A host knows its number too, and does nothing more when that is over.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::crew::Crew;
use super::messages::Message;
use super::services::{Call, Services, panic_message};
use super::track::Track;
use crate::blackbox::{self, BlackBox};
use crate::event::{Event, Source};
use crate::interrupt;
use crate::pool::{self, Control};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::task::{Caller, Ending, Host, Hosts, TaskId};

/// Who is called.
#[derive(Clone, Copy)]
pub(super) struct Callee {
    pub(super) source: Source,
    pub(super) attempt: u32,
    /// When its own time is over, measured from the start of the run.
    pub(super) deadline: Option<Duration>,
    /// It stops when the run is stopped.
    pub(super) heeds_stop: bool,
}

/// A thread's own end.
pub(super) struct Seat {
    window: Arc<Window>,
    /// The same.
    hosts: Arc<dyn Hosts>,
    /// Where it is known which task is called, also when this process is gone.
    noted: Option<blackbox::Seat>,
}

/// What other threads see of it.
pub(super) struct Window {
    me: Weak<Self>,
    services: Arc<Services>,
    control: Control<Crew>,
    current: Current,
    has_host: AtomicBool,
    host: Mutex<Option<Arc<Call>>>,
}

/// The call that goes on: its number, and who is called.
#[derive(Default)]
pub(super) struct Current {
    number: AtomicU32,
    task: AtomicUsize,
    worker: AtomicUsize,
    attempt: AtomicU32,
    heeds_stop: AtomicBool,
}

impl Seat {
    pub(super) fn new(services: &Arc<Services>, control: &Control<Crew>) -> Self {
        let window = Arc::new_cyclic(|me| Window {
            me: Weak::clone(me),
            services: Arc::clone(services),
            control: control.clone(),
            current: Current::default(),
            has_host: AtomicBool::new(false),
            host: Mutex::default(),
        });
        let hosts = Arc::clone(&window) as _;
        let noted = blackbox::get().and_then(BlackBox::seat);
        Self {
            window,
            hosts,
            noted,
        }
    }

    /// Calls an action to its end; none where it passed and returned nothing.
    pub(super) fn call(
        &mut self,
        who: &Callee,
        action: impl FnOnce(&Caller<'_>) -> Option<Box<Ending>>,
    ) -> Option<Box<Ending>> {
        let window = &*self.window;
        let number = window.current.begin(who);
        if who.deadline.is_some() || !matches!(who.source, Source::Task(..)) {
            let call = self.window.make(who, number);
            *window.host() = Some(Arc::clone(&call));
            window.has_host.store(true, Ordering::Relaxed);
            if who.deadline.is_some() {
                call.enlist();
                call.end_if_given_up();
            }
        }
        let caller = Caller::new(&self.hosts, number);
        if let (Some(noted), Source::Task(task, _)) = (&self.noted, who.source)
            // What has a process of its own does not end this one.
            && !window.services.catalog.is_apart(task)
        {
            noted.begin(task);
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| action(&caller)));
        interrupt::after_call();
        if let Some(noted) = &self.noted {
            noted.end();
        }
        window.current.end(number);
        if window.has_host.load(Ordering::Relaxed) {
            window.close();
        }
        result.unwrap_or_else(|panic| {
            let ending = Ending::failed(panic_message(&*panic));
            Some(Box::new(ending))
        })
    }
}

impl Drop for Seat {
    /// A host that was asked for when the last call was just ending stays behind, and window and host keep each other.
    fn drop(&mut self) {
        self.window.close();
    }
}

impl Window {
    /// The call of this number goes on.
    pub(super) fn is_at(&self, number: u32) -> bool {
        self.current.is_at(number)
    }

    fn host(&self) -> MutexGuard<'_, Option<Arc<Call>>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(self: &Arc<Self>, callee: &Callee, number: u32) -> Arc<Call> {
        Call::new(
            Arc::clone(&self.services),
            self.control.clone(),
            callee,
            (Arc::clone(self), number),
        )
    }

    fn close(&self) {
        let mut host = self.host();
        self.has_host.store(false, Ordering::Relaxed);
        let call = host.take();
        drop(host);
        if let Some(call) = call {
            call.end();
        }
    }

    /// A task on the lane begins without a word. What it says comes after its start.
    fn tell_start(&self, callee: &Callee) {
        let Source::Task(task, worker) = callee.source else {
            return;
        };
        let tell = || {
            let running = self.services.tracks.get(worker).and_then(Track::running);
            if let Some((_, since)) = running.filter(|(running, _)| *running == task) {
                self.services.outbox.send(Message::Event(Event::Started {
                    task,
                    worker,
                    attempt: callee.attempt,
                    at: Duration::from_nanos(since),
                }));
            }
        };
        if pool::current() == Some(task) {
            tell();
        } else {
            // Another thread: the task must not pass between the look and the word.
            self.control.look(|_| tell());
        }
    }
}

impl Current {
    /// A call begins; its number. For the calling thread.
    pub(super) fn begin(&self, callee: &Callee) -> u32 {
        let number = self.number.load(Ordering::Relaxed).wrapping_add(1);
        if let Source::Task(task, worker) = callee.source {
            // Each behind the number before: who sees one of these sees that number gone.
            self.task.store(task.index(), Ordering::Release);
            self.worker.store(worker, Ordering::Release);
            self.attempt.store(callee.attempt, Ordering::Release);
            self.heeds_stop.store(callee.heeds_stop, Ordering::Release);
        }
        self.number.store(number, Ordering::Release);
        number
    }

    /// The call of this number ends. For the calling thread.
    pub(super) fn end(&self, number: u32) {
        self.number.store(number.wrapping_add(1), Ordering::Release);
    }

    fn is_at(&self, number: u32) -> bool {
        self.number.load(Ordering::Acquire) == number
    }

    /// Who is called; none where the call of this number is over.
    pub(super) fn callee(&self, number: u32) -> Option<Callee> {
        if !self.is_at(number) {
            return None;
        }
        let task = TaskId::new(self.task.load(Ordering::Acquire));
        let worker = self.worker.load(Ordering::Acquire);
        let callee = Callee {
            source: Source::Task(task, worker),
            attempt: self.attempt.load(Ordering::Acquire),
            deadline: None,
            heeds_stop: self.heeds_stop.load(Ordering::Acquire),
        };
        self.is_at(number).then_some(callee)
    }
}

impl Hosts for Window {
    fn host(&self, call: u32) -> Option<Arc<dyn Host>> {
        let mut host = self.host();
        if let Some(host) = &*host
            && host.number() == call
        {
            return Some(Arc::clone(host) as _);
        }
        let callee = self.current.callee(call)?;
        let me = self.me.upgrade()?;
        let made = me.make(&callee, call);
        *host = Some(Arc::clone(&made));
        self.has_host.store(true, Ordering::Relaxed);
        drop(host);
        self.tell_start(&callee);
        Some(made as _)
    }
}
