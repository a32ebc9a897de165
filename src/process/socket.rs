//! Pairs of sockets, which carry descriptors too, and pipes.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use nix::unistd;

/// Descriptors that one message carries.
const CARRIED_MAX: usize = 8;

/// A pair that keeps messages apart.
pub fn messages() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SockType::SeqPacket)
}

/// A pair for a stream of bytes.
pub fn stream() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SockType::Stream)
}

fn pair(kind: SockType) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socketpair(AddressFamily::Unix, kind, None, flags)?)
}

/// The end to read from, and the one to write to.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Whether a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It may.
    Wait,
    /// It fails instead.
    Now,
}

impl Patience {
    fn flags(self) -> MsgFlags {
        match self {
            Self::Wait => MsgFlags::empty(),
            Self::Now => MsgFlags::MSG_DONTWAIT,
        }
    }
}

/// Sends bytes, and descriptors with them; how many of the bytes.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    patience: Patience,
) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights = if numbers.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL | patience.flags();
    loop {
        let bytes = [IoSlice::new(bytes)];
        match sendmsg::<()>(socket.as_raw_fd(), &bytes, rights, flags, None) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Sends all of the bytes of a stream.
pub fn send_all(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = send(socket, bytes, &[], Patience::Wait)?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Takes what is there, at most a message; how many bytes. None at the end; an error where nothing is there and it is not
/// to wait.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], patience: Patience) -> io::Result<usize> {
    let flags = match patience {
        Patience::Wait => 0,
        Patience::Now => libc::MSG_DONTWAIT,
    };
    loop {
        let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: the buffer lasts as long as the call.
        let read = unsafe { libc::recv(socket.as_raw_fd(), start, length, flags) };
        match usize::try_from(read) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// The same, with the descriptors that came along. Never waits.
pub fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; CARRIED_MAX]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags);
        let received = match received {
            Err(Errno::EINTR) => continue,
            received => received?,
        };
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the system has just made them for this process.
                let owned = numbers
                    .into_iter()
                    .map(|n| unsafe { OwnedFd::from_raw_fd(n) });
                descriptors.extend(owned);
            }
        }
        return Ok(received.bytes);
    }
}

/// Takes what a pipe has, at most as much as fits; none at its end.
pub fn read(pipe: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match unistd::read(&pipe, buffer) {
            Err(Errno::EINTR) => {}
            read => return Ok(read?),
        }
    }
}

/// The descriptor of that number, which was given to this process when it was started.
pub fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: only the number is looked at.
    if number < 3 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: it is open, and by the word of who started this process it is for the caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
