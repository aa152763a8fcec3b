//! Both clients: exchanges that must succeed, and exchanges that must fail within their time.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use degu_client::{Address, Body, BoxError, Chunk, Client, Error, Method, Part, blocking};
use tokio::runtime::{Builder, Runtime};

use crate::{PATIENCE, Result, say};

/// The bytes of the large exchange: many packets, so that loss and reordering get hold of some.
const LARGE: usize = 256 * 1024;

/// Exchanges of each kind with either client, with `.await` or without.
macro_rules! exchanges {
    ($connection:expr, $large:expr, $chunks:expr, $body:expr, [$($wait:tt)*]) => {{
        same(&$connection.get("/hello")$($wait)*?.body.read_all(100)$($wait)*?, b"hello")?;
        same(&$connection.post("/echo", $large.clone())$($wait)*?.body.read_all(LARGE)$($wait)*?, &$large)?;
        let mut response = $connection.post("/echo", $body)$($wait)*?;
        for chunk in &$chunks {
            same_chunk(response.body.next_chunk()$($wait)*?, chunk)?;
        }
        Result::Ok(())
    }};
}

/// Exchanges of each kind, with both clients.
pub(crate) fn exchanges(address: Address) -> Result {
    let large: Vec<u8> = (0..LARGE).map(|n| (n % 251) as u8).collect();
    let chunks: Vec<_> = (0..3).map(|n| Chunk::new("some text").with_extension("n", n)).collect();
    let client = Client::new(address);
    let body = Body::try_unfold(chunks.clone().into_iter(), |mut chunks| async move {
        Ok(chunks.next().map(|chunk| (chunk, chunks)))
    });
    runtime()?.block_on(async {
        let mut connection = client.connect().await?;
        exchanges!(connection, large, chunks, body, [.await])
    })?;
    let mut connection = blocking::Client::from(client).connect()?;
    exchanges!(connection, large, chunks, blocking::Body::from_chunks(chunks.clone()), [])
}

/// An exchange without an end of either client, with `.await` or without.
macro_rules! endless {
    ($connection:expr, $way:expr, $moved:expr, $upload:expr, [$($wait:tt)*]) => {{
        if $way == "upload" {
            $connection.request(Method::Post, "/upload", (), $upload)$($wait)*?;
        } else {
            let mut body = $connection.get("/download")$($wait)*?.body;
            while body.next_data()$($wait)*?.is_some() {
                $moved.note();
            }
        }
        Ok(())
    }};
}

/// Begins an exchange without an end, and waits for its error.
pub(crate) fn stall(way: &str, address: Address) -> Result {
    let (client, moved) = (Client::options().body_timeout(PATIENCE).client(address), Moved::default());
    let mut parts = moved.clone().parts();
    let source = move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok::<_, BoxError>));
    let result = runtime()?.block_on(async {
        let mut connection = client.connect().await?;
        endless!(connection, way, moved, Body::chunks_from_source(Box::pin(source)), [.await])
    });
    moved.conclude(result)
}

/// Does the same as [`stall`], with the blocking client.
pub(crate) fn stall_blocking(way: &str, address: Address) -> Result {
    let (client, moved) = (Client::options().body_timeout(PATIENCE).client(address), Moved::default());
    let exchange = || {
        let mut connection = blocking::Client::from(client).connect()?;
        endless!(connection, way, moved, blocking::Body::from_chunks(moved.clone().parts()), [])
    };
    let result = exchange();
    moved.conclude(result)
}

/// Prints what the server says of the exchanges that ended.
pub(crate) fn last(address: Address) -> Result {
    let text = blocking::Client::new(address).connect()?.get("/last")?.body.read_all(1000)?;
    say(std::str::from_utf8(&text)?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// When bytes got on for the last time.
#[derive(Clone, Default)]
struct Moved(Arc<Mutex<Option<Instant>>>);

impl Moved {
    /// Notes that bytes have moved, and the first time says so on stdout.
    fn note(&self) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now());
        if before.is_none() {
            // A parent that has closed the pipe is not waiting for it.
            let _ = say("begun");
        }
    }

    /// Chunks without an end. One is asked for when the one before has gone to the socket, or to the buffer before it.
    fn parts(self) -> impl Iterator<Item = Part> {
        std::iter::repeat_with(move || {
            self.note();
            Chunk::new(vec![b'.'; 16 * 1024]).into()
        })
    }

    fn conclude(&self, result: std::result::Result<(), Error>) -> Result {
        let Err(error) = result else { return Err("a body without an end has ended".into()) };
        let moved = self.0.lock().unwrap_or_else(PoisonError::into_inner).ok_or_else(|| error.to_string())?;
        say(&format!("{} {error}", moved.elapsed().as_millis()))
    }
}

fn same(is: &[u8], should: &[u8]) -> Result {
    if is == should { Ok(()) } else { Err(format!("{} bytes came, not those that were meant", is.len()).into()) }
}

fn same_chunk(is: Option<Chunk>, should: &Chunk) -> Result {
    match is {
        Some(chunk) if chunk.data == should.data && chunk.extensions.to_string() == should.extensions.to_string() => {
            Ok(())
        }
        other => Err(format!("{other:?} instead of {should:?}").into()),
    }
}
