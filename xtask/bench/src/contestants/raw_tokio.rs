//! A client and a server without HTTP on tokio, with or without TLS. They show the cost of the runtime and of TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Ready, Trips, calls};
use crate::Result;
use crate::blocking_socket::connect;
use crate::ends::End;
use crate::message::{POSTS, response};
use crate::socket::{Stream, into_tokio, serve_each};

pub(super) fn serve(end: &End, ready: &mut Ready<'_>) -> Result {
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

pub(super) fn client(end: &End) -> Result<Trips> {
    let runtime = end.runtime(false)?;
    let mut stream = runtime.block_on(async { into_tokio(connect(&end.address)?) })?;
    Ok(calls(runtime, async move |post| {
        stream.write_all(&post.request).await?;
        let mut message = [0; 1024];
        stream.read_exact(&mut message[..post.response.len()]).await?;
        Ok((200, post.body.len()))
    }))
}
