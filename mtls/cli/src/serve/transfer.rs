//! Passes listening sockets to another process over a Unix socket.
//!
//! For each socket there is one message: the length of its name in one byte, with the socket attached,
//! and the name. A zero byte ends the list.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::sockets::Passed;

/// The most sockets that a router takes over. A router has one for each listener and worker.
const SOCKETS_MAX: usize = 4096;

/// Sends sockets with their names.
///
/// # Errors
/// The other process is gone, or a name is empty or longer than 255 bytes.
pub(super) fn send(mut to: &UnixStream, sockets: &[(String, OwnedFd)]) -> io::Result<()> {
    for (name, socket) in sockets {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| invalid("a listener's name is too long"))?;
        let attached = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&attached));
        let byte = [length];
        let sent = sendmsg(to, &[IoSlice::new(&byte)], &mut control, SendFlags::empty())?;
        if sent != byte.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        to.write_all(name.as_bytes())?;
    }
    to.write_all(&[0])
}

/// Receives what [`send`] sent.
///
/// # Errors
/// The other process is gone or sends something else.
pub(super) fn receive(mut from: &UnixStream) -> io::Result<Vec<Passed>> {
    let mut passed = Vec::new();
    loop {
        let (length, socket) = receive_one(from)?;
        if length == 0 {
            return Ok(passed);
        }
        let mut name = vec![0; usize::from(length)];
        from.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| invalid("a name is not UTF-8 text"))?;
        let socket = socket.ok_or_else(|| invalid("a name without a socket"))?;
        if passed.len() == SOCKETS_MAX {
            return Err(invalid("too many sockets"));
        }
        let socket = TcpListener::from(socket);
        passed.push(Passed { name, socket });
    }
}

/// Receives one byte, and the socket that is attached to it.
fn receive_one(from: &UnixStream) -> io::Result<(u8, Option<OwnedFd>)> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut byte)];
    let received = recvmsg(from, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(attached) = message {
            socket = attached.last().or(socket);
        }
    }
    Ok((byte[0], socket))
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
