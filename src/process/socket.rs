//! Pairs of sockets, which carry descriptors too, and pipes.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use nix::unistd;

/// Descriptors that one message carries.
const CARRIED_MAX: usize = 4;

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
    if descriptors.is_empty() {
        return send_bytes(socket, bytes, patience);
    }
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_NOSIGNAL | patience.flags();
    loop {
        let bytes = [IoSlice::new(bytes)];
        match sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, flags, None) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], patience: Patience) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | patience.flags().bits();
    loop {
        let (start, length) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: the bytes last as long as the call.
        let sent = unsafe { libc::send(socket.as_raw_fd(), start, length, flags) };
        match usize::try_from(sent) {
            Ok(bytes) => return Ok(bytes),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
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

/// Descriptors that came along with a message.
pub type Carried = [Option<OwnedFd>; CARRIED_MAX];

/// Room for a header and so many descriptors, aligned as such headers are.
#[repr(C, align(16))]
struct Space([u8; CARRIED_SPACE]);

const CARRIED_SPACE: usize = 16 + CARRIED_MAX * size_of::<RawFd>();

/// Takes a message with the descriptors that came along; how many bytes. The bytes fill the first buffer and go on in the
/// second. Never waits, and takes no memory.
pub fn receive_with(
    socket: BorrowedFd<'_>,
    buffers: [&mut [u8]; 2],
    carried: &mut Carried,
) -> io::Result<usize> {
    let mut space = Space([0; CARRIED_SPACE]);
    let mut parts = buffers.map(IoSliceMut::new);
    let received = loop {
        // SAFETY: zero is a valid value for all fields. What they point to lasts as long as the call; a part has the layout
        // that the system wants.
        let received = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_iov = parts.as_mut_ptr().cast();
            header.msg_iovlen = parts.len() as _;
            header.msg_control = space.0.as_mut_ptr().cast();
            header.msg_controllen = space.0.len();
            let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
            let received = libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags);
            if received >= 0 {
                take_carried(&header, carried);
            }
            received
        };
        match usize::try_from(received) {
            Ok(bytes) => break bytes,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    };
    Ok(received)
}

/// # Safety
/// The system has filled in the header, just now.
unsafe fn take_carried(header: &libc::msghdr, carried: &mut Carried) {
    let mut free = carried.iter_mut();
    // SAFETY: by the caller's word there are such messages; of this kind are numbers that were made for this process.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(here) = message.as_ref() {
            if (here.cmsg_level, here.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let bytes = here.cmsg_len - libc::CMSG_LEN(0) as usize;
                let numbers: *const RawFd = libc::CMSG_DATA(message).cast();
                for place in 0..bytes / size_of::<RawFd>() {
                    let descriptor = OwnedFd::from_raw_fd(numbers.add(place).read_unaligned());
                    // One for which there is no room is closed.
                    if let Some(free) = free.next() {
                        *free = Some(descriptor);
                    }
                }
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// The socket of a number that was given to this process. Whoever has closed it meanwhile hears of that by an error.
pub fn numbered(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: this process never closes it, but a library may: then it is as with all numbers that libraries close.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// There is still a socket of that number.
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: sends nothing, from nowhere.
    let sent = unsafe {
        libc::send(
            number,
            std::ptr::null(),
            0,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    sent == 0
}

/// A socket of that number, on which nothing has come that nobody has taken, and something may still come.
pub fn is_quiet(number: RawFd) -> bool {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    let mut byte = 0_u8;
    // SAFETY: writes one byte, for which there is room.
    let read = unsafe { libc::recv(number, (&raw mut byte).cast(), 1, flags) };
    read < 0 && Errno::last() == Errno::EAGAIN
}

/// Who reads from or writes to the descriptor of that number waits, whatever somebody who had it wanted; false where there
/// is none.
pub fn let_wait(number: RawFd) -> bool {
    // SAFETY: only flags are changed.
    unsafe { libc::fcntl(number, libc::F_SETFL, 0) == 0 }
}

/// Who reads from this does not wait.
pub fn never_wait(descriptor: impl AsFd) -> io::Result<()> {
    let number = descriptor.as_fd().as_raw_fd();
    // SAFETY: only flags are changed.
    match unsafe { libc::fcntl(number, libc::F_SETFL, libc::O_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
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
