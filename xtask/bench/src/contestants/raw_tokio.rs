//! The cost of a runtime, and of TLS: the same bytes through tokio, without HTTP.

use std::iter::Cycle;
use std::rc::Rc;
use std::slice::Iter;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::{Client, Dial, Ready, Setup, client_runtime};
use crate::Result;
use crate::message::{POSTS, Post, response};
use crate::socket::{Stream, connect_tokio, serve_each};

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    serve_each(setup, ready, answer)
}

/// Distinguishes GET and POST, finds where each request ends, and answers all that have arrived in one write.
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
                let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { break };
                let target = rest[4..].split(|byte| *byte == b' ').next().unwrap_or_default();
                output.extend_from_slice(&response(target));
                taken += end + 4;
            }
        }
        input.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&output).await?;
        // A TLS stream keeps bytes back otherwise; on a socket it does nothing.
        stream.flush().await?;
    }
}

struct RawTokio {
    // Before the runtime, which has to outlive its sockets.
    stream: Stream,
    runtime: Rc<Runtime>,
    posts: Cycle<Iter<'static, Post>>,
}

pub(super) fn client(setup: &Setup) -> Result<Dial> {
    let (address, tls, runtime) = (setup.address.clone(), setup.connector()?, client_runtime(false)?);
    Ok(Box::new(move || {
        let stream = runtime.block_on(connect_tokio(&address, &tls))?;
        Ok(Box::new(RawTokio { stream, runtime: Rc::clone(&runtime), posts: POSTS.iter().cycle() }))
    }))
}

impl Client for RawTokio {
    fn trips(&mut self, count: u64) -> Result {
        let Self { stream, runtime, posts } = self;
        runtime.block_on(async {
            let mut message = [0; 1024];
            for post in posts.by_ref().take(count as usize) {
                stream.write_all(&post.request).await?;
                stream.flush().await?;
                stream.read_exact(&mut message[..post.response.len()]).await?;
            }
            Ok(())
        })
    }

    fn close(mut self: Box<Self>) -> Result {
        Ok(self.runtime.block_on(self.stream.shutdown())?)
    }
}
