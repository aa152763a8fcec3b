//! A load over many connections: on each, so many requests at once, and as soon as all are answered, so many more.

use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use crate::Result;
use crate::message::HELLO_REQUEST;
use crate::setup::Setup;
use crate::socket::{Address, Stream, TokioStream};

/// Loads the server for about `time` over `connections`, `depth` requests deep, from the setup's threads. Returns how
/// many requests were answered, and how long that took.
///
/// # Errors
///
/// A connection could not be made, or ended.
pub(crate) fn load(setup: &Setup, connections: usize, depth: usize, time: Duration) -> Result<(u64, Duration)> {
    let threads = setup.threads.min(connections);
    let workers: Vec<_> = (0..threads)
        .map(|number| {
            // As evenly as can be.
            let share = connections / threads + usize::from(number < connections % threads);
            let address = setup.address.clone();
            thread::spawn(move || work(&address, share, depth, time))
        })
        .collect();
    let (mut all, mut longest) = (0, Duration::ZERO);
    for worker in workers {
        let (count, time) = worker.join().map_err(|_| "a thread of the load panicked")??;
        all += count;
        longest = longest.max(time);
    }
    Ok((all, longest))
}

/// One thread of it.
fn work(address: &Address, connections: usize, depth: usize, time: Duration) -> Result<(u64, Duration)> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let TokioStream::Tcp(stream) = Stream::connect(address)?.into_tokio()? else {
                return Err("a load goes over TCP alone".into());
            };
            streams.push(stream);
        }
        let start = Instant::now();
        let tasks: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(ask(stream, depth, start + time))).collect();
        let mut all = 0;
        for task in tasks {
            all += task.await??;
        }
        Ok((all, start.elapsed()))
    })
}

/// One connection of it.
async fn ask(mut stream: tokio::net::TcpStream, depth: usize, end: Instant) -> Result<u64> {
    let requests = HELLO_REQUEST.repeat(depth);
    let mut buffer = vec![0; 64 * 1024];
    let (mut length, mut count) = (0, 0);
    // Once at least, however long the others have kept this one waiting.
    while count == 0 || Instant::now() < end {
        // The first response alone says how long all of them are.
        let first = length == 0;
        stream.write_all(if first { HELLO_REQUEST } else { &requests }).await?;
        let (mut received, mut wanted) = (0, if first { usize::MAX } else { length * depth });
        while received < wanted {
            // What came before needs not be kept once the length is known.
            let from = if first { received } else { 0 };
            let octets = stream.read(&mut buffer[from..]).await?;
            if octets == 0 {
                return Err("the server closed a connection".into());
            }
            received += octets;
            if first {
                wanted = response_length(&buffer[..received])?.unwrap_or(wanted);
            }
        }
        length = if first { wanted } else { length };
        count += if first { 1 } else { depth as u64 };
    }
    Ok(count)
}

/// The length of the response that begins here, once its head is there.
fn response_length(received: &[u8]) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else { return Ok(None) };
    if response.code != Some(200) {
        return Err("a status other than 200".into());
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("a response of unknown length")?.value;
    Ok(Some(head + std::str::from_utf8(length)?.parse::<usize>()?))
}
