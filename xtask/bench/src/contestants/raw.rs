//! The lower bounds: the same bytes over blocking sockets, with two system calls on each side, and over sockets that
//! are polled without sleeping. There is no parsing, because both sides know the length of each message.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use socket2::Socket;

use super::{Ready, Setup, Trips};
use crate::Result;
use crate::message::POSTS;
use crate::socket::{connect, listen};

/// Serves one connection after another. With `polling`, the socket is polled without sleeping.
pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>, polling: bool) -> Result {
    let (listener, bound) = listen(&setup.address)?;
    ready(bound)?;
    loop {
        let (mut socket, _) = listener.accept()?;
        socket.set_nonblocking(polling)?;
        for post in POSTS.iter().cycle() {
            if !fill(&mut socket, post.request.len())? {
                break;
            }
            socket.write_all(&post.response)?;
        }
    }
}

pub(super) fn client(setup: &Setup, polling: bool) -> Result<Trips> {
    let (mut socket, mut posts) = (connect(&setup.address)?, POSTS.iter().cycle());
    socket.set_nonblocking(polling)?;
    Ok(Box::new(move |count| {
        for post in posts.by_ref().take(count as usize) {
            // Only one small message is in flight, so the socket's buffer always has room for it.
            socket.write_all(&post.request)?;
            if !fill(&mut socket, post.response.len())? {
                return Err("the server closed the connection".into());
            }
        }
        Ok(())
    }))
}

/// Reads this number of bytes. Returns false if the connection ends before the first byte.
fn fill(socket: &mut Socket, wanted: usize) -> Result<bool> {
    let (mut message, mut length) = ([0; 1024], 0);
    while length < wanted {
        match socket.read(&mut message[length..wanted]) {
            Ok(0) if length == 0 => return Ok(false),
            Ok(0) => return Err("the connection ended in the middle of a message".into()),
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
