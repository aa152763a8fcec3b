//! Degu's async and blocking clients with one interface, so each exchange is written only once.

use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;
use std::thread;

use degu_client::{Body, BoxError, Chunk, Client, Connection, Headers, Method, UpgradeOf, blocking};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

/// The longest body of a response, and the largest number of bytes that are read from a tunnel.
const LIMIT: usize = 4 << 20;

/// Our clients: the name in the matrix, and whether it is the blocking client.
pub(crate) const CLIENTS: [(&str, bool); 2] = [("Degu, async", false), ("Degu, blocking", true)];

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    /// Bytes with a Content-Length.
    Bytes(Vec<u8>),
    Chunks(Vec<Chunk>),
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// The chunks as the server sent them. If the body is not chunked, these are pieces of it.
    pub(crate) chunks: Vec<Chunk>,
}

impl Whole {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.data.iter().copied()).collect()
    }
}

/// The response to an offer to switch protocols.
pub(crate) struct Switch {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// The tunnel, if the server accepted the offer.
    pub(crate) tunnel: Option<Tunnel>,
}

/// One of our clients, with at most one connection.
pub(crate) enum Ours {
    Blocking(blocking::Client, Option<blocking::Connection>),
    Async(Rc<Runtime>, Client, Option<Connection>),
}

/// Evaluates to the open connection, or to a new one.
macro_rules! open {
    ($client:expr, $connection:expr, [$($wait:tt)*]) => {
        match $connection.take() {
            Some(open) if !open.is_closed() => $connection.insert(open),
            _ => $connection.insert($client.connect()$($wait)*?),
        }
    };
}

/// Reads a response to its end with either client. `$wait` is `.await` or nothing.
macro_rules! read {
    ($response:expr, [$($wait:tt)*]) => {{
        let mut response = $response;
        let is_chunked = response.headers.contains("transfer-encoding");
        let mut whole = Whole { status: response.status, headers: response.headers.clone(), chunks: Vec::new() };
        let mut length = 0;
        while let Some(chunk) = match is_chunked {
            true => response.body.next_chunk()$($wait)*?,
            false => response.body.next_data()$($wait)*?.map(Chunk::new),
        } {
            length += chunk.data.len();
            whole.chunks.push(chunk);
            if length > LIMIT {
                return Err(format!("a body of more than {LIMIT} bytes").into());
            }
        }
        Ok(whole)
    }};
}

impl Switch {
    fn of<T, B>(upgrade: UpgradeOf<T, B>, tunnel: impl FnOnce(T) -> Tunnel) -> Self {
        match upgrade {
            UpgradeOf::Switched { response, tunnel: stream } => {
                Self { status: response.status, headers: response.headers, tunnel: Some(tunnel(stream)) }
            }
            UpgradeOf::Declined(response) => Self { status: response.status, headers: response.headers, tunnel: None },
        }
    }
}

impl Ours {
    pub(crate) fn new(client: Client, blocking: bool) -> Result<Self, BoxError> {
        Ok(if blocking {
            Self::Blocking(client.into(), None)
        } else {
            Self::Async(Rc::new(Builder::new_current_thread().enable_all().build()?), client, None)
        })
    }

    /// Performs an exchange on the open connection. If there is none, it opens one.
    pub(crate) fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        content: Content,
    ) -> Result<Whole, BoxError> {
        match self {
            Self::Blocking(client, connection) => {
                let body = match content {
                    Content::Nothing => blocking::Body::none(),
                    Content::Bytes(bytes) => bytes.into(),
                    Content::Chunks(chunks) => blocking::Body::from_chunks(chunks),
                };
                read!(open!(client, connection, []).request(method, target, headers, body)?, [])
            }
            Self::Async(runtime, client, connection) => runtime.block_on(async {
                let body = match content {
                    Content::Nothing => Body::none(),
                    Content::Bytes(bytes) => bytes.into(),
                    Content::Chunks(chunks) => Body::try_unfold(chunks.into_iter(), |mut chunks| async move {
                        Ok(chunks.next().map(|chunk| (chunk, chunks)))
                    }),
                };
                read!(open!(client, connection, [.await]).request(method, target, headers, body).await?, [.await])
            }),
        }
    }

    /// Offers to switch protocols, on a new connection.
    pub(crate) fn upgrade(
        &mut self,
        method: Method<'_>,
        target: &str,
        protocol: &str,
        headers: Headers,
        body: Option<Vec<u8>>,
    ) -> Result<Switch, BoxError> {
        self.disconnect();
        match self {
            Self::Blocking(client, connection) => {
                let body = body.map_or_else(blocking::Body::none, Into::into);
                let upgrade = open!(client, connection, []).upgrade(method, target, protocol, headers, body)?;
                Ok(Switch::of(upgrade, Tunnel::Blocking))
            }
            Self::Async(runtime, client, connection) => runtime.block_on(async {
                let body = body.map_or_else(Body::none, Into::into);
                let connection = open!(client, connection, [.await]);
                let upgrade = connection.upgrade(method, target, protocol, headers, body).await?;
                Ok(Switch::of(upgrade, |tunnel| Tunnel::Async(runtime.clone(), tunnel)))
            }),
        }
    }

    /// Reads the lines of a response's body as they arrive, until `is_last` returns true. It uses a new connection.
    pub(crate) fn lines(&mut self, target: &str, mut is_last: impl FnMut(&str) -> bool) -> Result<(), BoxError> {
        const ENDED: &str = "the body ended";
        self.disconnect();
        match self {
            Self::Blocking(client, connection) => {
                let mut response = open!(client, connection, []).get(target)?;
                let mut lines = response.body.reader().lines();
                while !is_last(&lines.next().ok_or(ENDED)??) {}
                Ok(())
            }
            Self::Async(runtime, client, connection) => runtime.block_on(async {
                let mut response = open!(client, connection, [.await]).get(target).await?;
                let mut lines = response.body.reader().lines();
                while !is_last(&lines.next_line().await?.ok_or(ENDED)?) {}
                Ok(())
            }),
        }
    }

    /// Returns whether the last connection can be used for another exchange.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Blocking(_, connection) => connection.as_ref().is_some_and(|connection| !connection.is_closed()),
            Self::Async(_, _, connection) => connection.as_ref().is_some_and(|connection| !connection.is_closed()),
        }
    }

    /// Closes the connection.
    pub(crate) fn disconnect(&mut self) {
        match self {
            Self::Blocking(_, connection) => *connection = None,
            Self::Async(runtime, _, connection) => {
                // A tokio socket must be closed within its runtime.
                let _entered = runtime.enter();
                *connection = None;
            }
        }
    }
}

/// A tunnel of either client. Reading and writing block the thread.
pub(crate) enum Tunnel {
    Blocking(blocking::Tunnel),
    Async(Rc<Runtime>, degu_client::Tunnel),
}

impl Tunnel {
    /// Sends the input, and reads the output at the same time. With `wanted`, reads this number of bytes, and then
    /// closes the tunnel. Otherwise half-closes the tunnel after the input, and reads until EOF.
    pub(crate) fn exchange(self, input: &[u8], wanted: Option<usize>) -> Result<Vec<u8>, BoxError> {
        let limit = wanted.unwrap_or(LIMIT) as u64;
        let mut output = Vec::new();
        match self {
            Self::Blocking(tunnel) => {
                let (from, mut to) = tunnel.split()?;
                thread::scope(|scope| {
                    let writer = scope.spawn(move || {
                        to.write_all(input)?;
                        if wanted.is_none() { to.shutdown_write() } else { to.flush() }
                    });
                    from.take(limit).read_to_end(&mut output)?;
                    writer.join().map_err(|_| "the writing thread panicked")?.map_err(BoxError::from)
                })?;
            }
            Self::Async(runtime, tunnel) => runtime.block_on(async {
                let (from, mut to) = tokio::io::split(tunnel);
                let mut from = from.take(limit);
                let write = async {
                    to.write_all(input).await?;
                    if wanted.is_none() { to.shutdown().await } else { to.flush().await }
                };
                tokio::try_join!(write, from.read_to_end(&mut output)).map(drop)
            })?,
        }
        Ok(output)
    }
}

impl Read for Tunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Blocking(tunnel) => tunnel.read(buffer),
            Self::Async(runtime, tunnel) => runtime.block_on(tunnel.read(buffer)),
        }
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Blocking(tunnel) => tunnel.write(bytes),
            Self::Async(runtime, tunnel) => runtime.block_on(tunnel.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Blocking(tunnel) => tunnel.flush(),
            Self::Async(runtime, tunnel) => runtime.block_on(tunnel.flush()),
        }
    }
}
