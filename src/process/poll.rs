//! Waiting until one of several descriptors has something.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Descriptors to wait for, a few. It knows their numbers only: who closes one takes it out.
pub struct Poll {
    polled: [libc::pollfd; Self::MOST],
    count: usize,
}

impl Default for Poll {
    fn default() -> Self {
        let none = libc::pollfd {
            fd: -1,
            events: 0,
            revents: 0,
        };
        Self {
            polled: [none; Self::MOST],
            count: 0,
        }
    }
}

impl Poll {
    const MOST: usize = 8;

    /// Waits for none.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds one: something to read, or its end. Its place.
    pub fn add(&mut self, descriptor: impl AsFd) -> usize {
        self.push(descriptor.as_fd().as_raw_fd(), libc::POLLIN)
    }

    /// Adds one, or an empty place.
    pub fn add_if(&mut self, descriptor: Option<impl AsFd>) -> usize {
        let number = descriptor.map_or(-1, |descriptor| descriptor.as_fd().as_raw_fd());
        self.push(number, libc::POLLIN)
    }

    /// Adds one: it takes more, or nobody reads it any more.
    pub fn add_out(&mut self, descriptor: impl AsFd) -> usize {
        self.push(descriptor.as_fd().as_raw_fd(), libc::POLLOUT)
    }

    fn push(&mut self, fd: i32, events: i16) -> usize {
        let revents = 0;
        self.polled[self.count] = libc::pollfd {
            fd,
            events,
            revents,
        };
        self.count += 1;
        self.count - 1
    }

    /// Waits until one is ready, or for so long. A signal ends it, too.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<()> {
        // Not too early: a wait of less than a millisecond is one.
        let millis = patience.map_or(-1, |time| {
            i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let count = self.count as libc::nfds_t;
        // SAFETY: the array lasts as long as the call.
        if unsafe { libc::poll(self.polled.as_mut_ptr(), count, millis) } >= 0 {
            return Ok(());
        }
        for polled in &mut self.polled[..self.count] {
            polled.revents = 0;
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        }
    }

    /// The one at this place has come to its end, and has nothing more.
    pub fn is_over(&self, place: usize) -> bool {
        self.polled[place].revents & (libc::POLLIN | libc::POLLHUP) == libc::POLLHUP
    }

    /// One of them is ready: neither was the time over, nor came a signal.
    pub fn is_any_ready(&self) -> bool {
        self.polled[..self.count]
            .iter()
            .any(|polled| polled.revents != 0)
    }

    /// The one at this place has something, or has come to its end.
    pub fn is_ready(&self, place: usize) -> bool {
        self.polled[place].revents != 0
    }
}
