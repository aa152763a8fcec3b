//! The lower bounds: the same bytes over blocking sockets, with two system calls for each side; the same bytes over
//! sockets that are polled without sleeping; and one buffer that is copied again and again. There is no HTTP, because
//! both ends know the length of each message.

use std::io::{ErrorKind, Read, Write};
use std::iter::Cycle;
use std::slice::Iter;
use std::thread;

use socket2::Socket;

use super::{Client, Dial, PIECE, Ready, Setup, large};
use crate::Result;
use crate::message::{POSTS, Post};
use crate::socket::{connect, listen};

struct Raw {
    socket: Socket,
    posts: Cycle<Iter<'static, Post>>,
}

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    serve_with(setup, ready, false)
}

pub(super) fn serve_polling(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    serve_with(setup, ready, true)
}

fn serve_with(setup: &Setup, ready: &mut Ready<'_>, polling: bool) -> Result {
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

pub(super) fn client(setup: &Setup) -> Result<Dial> {
    client_with(setup, false)
}

pub(super) fn polling_client(setup: &Setup) -> Result<Dial> {
    client_with(setup, true)
}

fn client_with(setup: &Setup, polling: bool) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || {
        let socket = connect(&address)?;
        socket.set_nonblocking(polling)?;
        Ok(Box::new(Raw { socket, posts: POSTS.iter().cycle() }))
    }))
}

impl Client for Raw {
    fn trips(&mut self, count: u64) -> Result {
        for post in self.posts.by_ref().take(count as usize) {
            // One small message is on its way, so the socket's buffer always has room for it.
            self.socket.write_all(&post.request)?;
            if !fill(&mut self.socket, post.response.len())? {
                return Err("the server closed the connection".into());
            }
        }
        Ok(())
    }

    fn fetch(&mut self, target: &str) -> Result<u64> {
        write!(self.socket, "GET {target} HTTP/1.1\r\n\r\n")?;
        let wanted = large(target).map_or(0, |(_, pieces)| pieces * PIECE.len());
        let (mut buffer, mut received) = (vec![0; PIECE.len()], 0);
        while received < wanted {
            match self.socket.read(&mut buffer)? {
                0 => return Err("the server closed the connection".into()),
                count => received += count,
            }
        }
        Ok(received as u64)
    }
}

/// Reads this number of bytes. Returns false at EOF before the first byte.
fn fill(socket: &mut Socket, wanted: usize) -> Result<bool> {
    let (mut message, mut length) = ([0; 1024], 0);
    while length < wanted {
        match socket.read(&mut message[length..wanted]) {
            Ok(0) if length == 0 => return Ok(false),
            Ok(0) => return Err("a message that ends early".into()),
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Writes the pieces of large bodies, without heads and without framing.
pub(super) fn serve_copies(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let (listener, bound) = listen(&setup.address)?;
    ready(bound)?;
    loop {
        let (mut socket, _) = listener.accept()?;
        let mut request = [0; 1024];
        while let count @ 1.. = socket.read(&mut request)? {
            let target = std::str::from_utf8(&request[..count])?.split(' ').nth(1).unwrap_or_default();
            for _ in 0..large(target).ok_or("not asked for a body")?.1 {
                socket.write_all(PIECE)?;
            }
        }
    }
}
