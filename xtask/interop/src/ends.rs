//! Both of our clients, with one interface, so that each exchange is written once.

use std::io::{BufRead, Read, Write};
use std::thread;

use degu_client::{Body, BoxError, Chunk, Client, Connection, Headers, Method, Upgrade, blocking};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

/// The longest body of an exchange.
const LIMIT: usize = 4 << 20;

/// A body to send.
#[derive(Debug)]
pub(crate) enum Content {
    /// None.
    Nothing,
    /// Bytes with a content-length.
    Bytes(Vec<u8>),
    /// Chunks.
    Chunks(Vec<Chunk>),
}

/// A response that came whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// The chunks as they came: one for a body that is not chunked.
    pub(crate) chunks: Vec<Chunk>,
}

impl Whole {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.data.iter().copied()).collect()
    }
}

/// The answer to an offer to switch protocols.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// The bytes that came through the tunnel.
    pub(crate) output: Vec<u8>,
}

/// An exchange of either client, with `.await` or without. A response that is not chunked has pieces for chunks.
macro_rules! exchange {
    ($client:expr, $slot:expr, [$method:expr, $target:expr, $headers:expr, $body:expr], [$($wait:tt)*]) => {{
        let connection = match $slot.take() {
            Some(open) if !open.is_closed() => $slot.insert(open),
            _ => $slot.insert($client.connect()$($wait)*?),
        };
        let mut response = connection.request($method, $target, $headers, $body)$($wait)*?;
        let (status, headers) = (response.status, response.headers.clone());
        let is_chunked = headers.contains("transfer-encoding");
        let (mut chunks, mut length) = (Vec::new(), 0);
        while let Some(chunk) = match is_chunked {
            true => response.body.next_chunk()$($wait)*?,
            false => response.body.next_data()$($wait)*?.map(Chunk::new),
        } {
            length += chunk.data.len();
            chunks.push(chunk);
            if length > LIMIT {
                return Err(format!("a body of more than {LIMIT} bytes").into());
            }
        }
        Ok(Whole { status, headers, chunks })
    }};
}

/// A client with at most one connection.
pub(crate) enum End {
    Blocking(blocking::Client, Option<blocking::Connection>),
    /// On a runtime of its own.
    Async(Runtime, Client, Option<Connection>),
}

impl End {
    pub(crate) fn new(client: Client, blocking: bool) -> Result<Self, BoxError> {
        Ok(if blocking {
            Self::Blocking(client.into(), None)
        } else {
            Self::Async(Builder::new_current_thread().enable_all().build()?, client, None)
        })
    }

    /// Performs an exchange on the open connection, or on a new one.
    pub(crate) fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError> {
        match self {
            Self::Blocking(client, connection) => {
                let body = match body {
                    Content::Nothing => blocking::Body::from(()),
                    Content::Bytes(bytes) => bytes.into(),
                    Content::Chunks(chunks) => blocking::Body::from_chunks(chunks),
                };
                exchange!(client, connection, [method, target, headers, body], [])
            }
            Self::Async(runtime, client, connection) => {
                let body = match body {
                    Content::Nothing => Body::none(),
                    Content::Bytes(bytes) => bytes.into(),
                    Content::Chunks(chunks) => Body::try_unfold(chunks.into_iter(), |mut chunks| async move {
                        Ok(chunks.next().map(|chunk| (chunk, chunks)))
                    }),
                };
                runtime.block_on(async { exchange!(client, connection, [method, target, headers, body], [.await]) })
            }
        }
    }

    /// Posts an offer of `tcp` on a new connection, and if it is accepted sends the input and reads the output
    /// meanwhile. With `wanted`, this number of bytes is read, and the tunnel is closed. Without it, the tunnel is
    /// half-closed after the input, and read to its end.
    pub(crate) fn switch(
        &mut self,
        target: &str,
        headers: &Headers,
        body: Vec<u8>,
        input: &[u8],
        wanted: Option<usize>,
    ) -> Result<Switch, BoxError> {
        self.disconnect();
        let limit = wanted.unwrap_or(LIMIT) as u64;
        let mut output = Vec::new();
        match self {
            Self::Blocking(client, connection) => {
                let connection = connection.insert(client.connect()?);
                match connection.upgrade(Method::Post, target, "tcp", headers.clone(), body)? {
                    blocking::Upgrade::Switched { response, tunnel } => {
                        let (from, mut to) = tunnel.split()?;
                        thread::scope(|scope| {
                            let writer = scope.spawn(move || {
                                to.write_all(input)?;
                                if wanted.is_none() { to.shutdown_write() } else { to.flush() }
                            });
                            from.take(limit).read_to_end(&mut output)?;
                            writer.join().map_err(|_| "the writing thread panicked")?.map_err(BoxError::from)
                        })?;
                        Ok(Switch { status: response.status, headers: response.headers, output })
                    }
                    blocking::Upgrade::Declined(response) => {
                        Ok(Switch { status: response.status, headers: response.headers.clone(), output })
                    }
                }
            }
            Self::Async(runtime, client, connection) => runtime.block_on(async {
                let connection = connection.insert(client.connect().await?);
                match connection.upgrade(Method::Post, target, "tcp", headers.clone(), body).await? {
                    Upgrade::Switched { response, tunnel } => {
                        let (from, mut to) = tokio::io::split(tunnel);
                        let mut from = from.take(limit);
                        let write = async {
                            to.write_all(input).await?;
                            if wanted.is_none() { to.shutdown().await } else { to.flush().await }
                        };
                        tokio::try_join!(write, from.read_to_end(&mut output))?;
                        Ok(Switch { status: response.status, headers: response.headers, output })
                    }
                    Upgrade::Declined(response) => {
                        Ok(Switch { status: response.status, headers: response.headers.clone(), output })
                    }
                }
            }),
        }
    }

    /// Reads the lines of a body as they arrive, on a new connection, until one is the last.
    pub(crate) fn lines(&mut self, target: &str, mut is_last: impl FnMut(&str) -> bool) -> Result<(), BoxError> {
        const CUT: &str = "the body ended";
        self.disconnect();
        match self {
            Self::Blocking(client, connection) => {
                let connection = connection.insert(client.connect()?);
                for line in connection.get(target)?.body.reader().lines() {
                    if is_last(&line?) {
                        return Ok(());
                    }
                }
                Err(CUT.into())
            }
            Self::Async(runtime, client, connection) => runtime.block_on(async {
                let connection = connection.insert(client.connect().await?);
                let mut response = connection.get(target).await?;
                let mut lines = response.body.reader().lines();
                while !is_last(&lines.next_line().await?.ok_or(CUT)?) {}
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
                // A socket of tokio is closed where its runtime is.
                let _entered = runtime.enter();
                *connection = None;
            }
        }
    }
}
