//! Both clients behind one interface, so that each exchange is written once.

use std::io;

use degu_client::{Body, BoxError, Chunk, Client, Connection, Headers, Method, blocking};
use tokio::runtime::{Builder, Runtime};

/// No body of an exchange is longer.
const LIMIT: usize = 4 << 20;

/// A body to send.
#[derive(Debug)]
pub(crate) enum Content {
    /// None.
    Nothing,
    /// Octets with a content-length.
    Octets(Vec<u8>),
    /// Chunks.
    Chunks(Vec<Chunk>),
}

/// A response that came whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// As they came: one for a body that is not chunked.
    pub(crate) chunks: Vec<Chunk>,
}

impl Whole {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.data.iter().copied()).collect()
    }
}

/// A client with at most one connection.
pub(crate) trait End {
    /// Performs an exchange on the open connection, or on a new one.
    fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError>;

    /// Whether the last connection can be used for another exchange.
    fn is_open(&self) -> bool;

    /// Gives the connection up.
    fn disconnect(&mut self);
}

/// The blocking client.
pub(crate) struct Blocking {
    client: blocking::Client,
    connection: Option<blocking::Connection>,
}

/// The async client, on a runtime of its own.
pub(crate) struct Async {
    runtime: Runtime,
    client: Client,
    connection: Option<Connection>,
}

impl Blocking {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: client.into(), connection: None }
    }
}

impl Async {
    pub(crate) fn new(client: Client) -> io::Result<Self> {
        Ok(Self { runtime: Builder::new_current_thread().enable_all().build()?, client, connection: None })
    }
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
        let (mut chunks, mut octets) = (Vec::new(), 0);
        while let Some(chunk) = match is_chunked {
            true => response.body.next_chunk()$($wait)*?,
            false => response.body.next_data()$($wait)*?.map(Chunk::new),
        } {
            octets += chunk.data.len();
            chunks.push(chunk);
            if octets > LIMIT {
                return Err(format!("a body of more than {LIMIT} bytes").into());
            }
        }
        Ok(Whole { status, headers, chunks })
    }};
}

impl End for Blocking {
    fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError> {
        let body = match body {
            Content::Nothing => blocking::Body::from(()),
            Content::Octets(octets) => octets.into(),
            Content::Chunks(chunks) => blocking::Body::from_chunks(chunks),
        };
        exchange!(self.client, self.connection, [method, target, headers, body], [])
    }

    fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    fn disconnect(&mut self) {
        self.connection = None;
    }
}

impl End for Async {
    fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError> {
        let body = match body {
            Content::Nothing => Body::none(),
            Content::Octets(octets) => octets.into(),
            Content::Chunks(chunks) => {
                Body::unfold(chunks.into_iter(), |mut chunks| async move { Some((chunks.next()?, chunks)) })
            }
        };
        let Self { runtime, client, connection } = self;
        runtime.block_on(async { exchange!(client, connection, [method, target, headers, body], [.await]) })
    }

    fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    fn disconnect(&mut self) {
        // A socket of tokio is given up where its runtime is.
        let _entered = self.runtime.enter();
        self.connection = None;
    }
}
