//! The lower bounds: contestants that send the bytes of the same messages without HTTP. `raw` has blocking sockets,
//! with two system calls on each side in each round trip. `raw-poll` polls its sockets without sleeping. There is no
//! parsing, because both sides know the length of each message. `raw-tokio` runs on tokio, with or without TLS.
//! `raw-tokio` shows the cost of the runtime and of TLS.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Ready, Trips, blocking_calls, calls};
use crate::Result;
use crate::blocking_socket::{connect, listen};
use crate::ends::End;
use crate::message::{POSTS, Post, response};
use crate::socket::{Stream, into_tokio, serve_each};

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

pub(super) fn serve_tokio(end: &End, ready: &mut Ready<'_>) -> Result {
    serve_each(end, ready, answer)
}

/// Distinguishes GET and POST, and finds the end of each request. Answers all requests that have arrived in one write.
async fn answer(mut stream: Stream) -> Result {
    let (mut input, mut filled, mut posts) = (vec![0; 4096], 0, POSTS.iter().cycle().peekable());
    let mut output = Vec::new();
    loop {
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return Ok(stream.shutdown().await?);
        }
        filled += count;
        let mut taken = 0;
        output.clear();
        while let rest @ [method, ..] = &input[taken..filled] {
            if *method == b'P' {
                let Some(post) = posts.next_if(|post| rest.len() >= post.request.len()) else { break };
                taken += post.request.len();
                output.extend_from_slice(&post.response);
            } else {
                let Some(at) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { break };
                let target = rest[4..].split(|byte| *byte == b' ').next().unwrap_or_default();
                output.extend_from_slice(&response(target));
                taken += at + 4;
            }
        }
        input.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&output).await?;
        // A TLS stream may hold bytes back until it is flushed. On a socket, flushing does nothing.
        stream.flush().await?;
    }
}

pub(super) fn tokio_client(end: &End) -> Result<Trips> {
    let runtime = end.runtime(false)?;
    let mut stream = runtime.block_on(async { into_tokio(connect(&end.address)?) })?;
    Ok(calls(runtime, async move |post| {
        stream.write_all(&post.request).await?;
        let mut message = [0; 1024];
        stream.read_exact(&mut message[..post.response.len()]).await?;
        Ok((200, post.body.len()))
    }))
}
