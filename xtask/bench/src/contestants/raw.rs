//! The lower bounds: contestants that send the bytes of the same messages without HTTP. `raw` has blocking sockets, with
//! two system calls on each side in each round trip. `raw-poll` polls its sockets without sleeping. There is no parsing,
//! because both sides know the length of each message.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use socket2::Socket;

use super::{Ready, Trips, blocking_calls};
use crate::Result;
use crate::blocking_socket::{connect, listen};
use crate::ends::End;
use crate::message::{POSTS, Post};

/// The name of the contestant that polls its socket without sleeping.
pub(super) const POLLING: &str = "raw-poll";

/// Serves one connection after another.
pub(super) fn serve(end: &End, ready: &mut Ready<'_>) -> Result {
    let (listener, bound) = listen(&end.address)?;
    ready(bound)?;
    loop {
        let (mut socket, _) = listener.accept()?;
        socket.set_nonblocking(end.contestant == POLLING)?;
        for post in POSTS.iter().cycle() {
            if !fill(&mut socket, post.request.len())? {
                break;
            }
            socket.write_all(&post.response)?;
        }
    }
}

pub(super) fn client(end: &End) -> Result<Trips> {
    blocking_calls(end, || {
        let mut socket = connect(&end.address)?;
        socket.set_nonblocking(end.contestant == POLLING)?;
        Ok(move |post: &'static Post| {
            // Only one small message is in flight, so the socket's buffer always has room for it.
            socket.write_all(&post.request)?;
            if !fill(&mut socket, post.response.len())? {
                return Err("the server closed the connection".into());
            }
            Ok((200, post.body.len()))
        })
    })
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
