//! Both clients behind one interface, so that each exchange is written once.

use std::io;

use degu_client::{Body, BoxError, Chunk, Client, Connection, Headers, Method, blocking};

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

impl Blocking {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: client.into(), connection: None }
    }
}

impl End for Blocking {
    fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError> {
        let connection = match self.connection.take() {
            Some(open) if !open.is_closed() => self.connection.insert(open),
            _ => self.connection.insert(self.client.connect()?),
        };
        let body = match body {
            Content::Nothing => blocking::Body::from(()),
            Content::Octets(octets) => octets.into(),
            Content::Chunks(chunks) => blocking::Body::from_chunks(chunks),
        };
        let mut response = connection.request(method, target, headers, body)?;
        let (mut chunks, mut octets) = (Vec::new(), 0);
        while let Some(chunk) = next_blocking(&mut response)? {
            octets += chunk.data.len();
            chunks.push(chunk);
            within_limit(octets)?;
        }
        Ok(Whole { status: response.status, headers: response.headers.clone(), chunks })
    }

    fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    fn disconnect(&mut self) {
        self.connection = None;
    }
}

/// A chunk of a chunked body, a piece of any other.
fn next_blocking(response: &mut blocking::Response<'_>) -> Result<Option<Chunk>, blocking::Error> {
    if response.headers.contains("transfer-encoding") {
        response.body.next_chunk()
    } else {
        Ok(response.body.next_data()?.map(Chunk::new))
    }
}

/// The async client, on a runtime of its own.
pub(crate) struct Async {
    runtime: tokio::runtime::Runtime,
    client: Client,
    connection: Option<Connection>,
}

impl Async {
    pub(crate) fn new(client: Client) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client, connection: None })
    }

    async fn exchange(
        client: &Client,
        slot: &mut Option<Connection>,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: Content,
    ) -> Result<Whole, BoxError> {
        let connection = match slot.take() {
            Some(open) if !open.is_closed() => slot.insert(open),
            _ => slot.insert(client.connect().await?),
        };
        let body = match body {
            Content::Nothing => Body::none(),
            Content::Octets(octets) => octets.into(),
            Content::Chunks(chunks) => {
                Body::unfold(chunks.into_iter(), |mut chunks| async move { Some((chunks.next()?, chunks)) })
            }
        };
        let mut response = connection.request(method, target, headers, body).await?;
        let (mut chunks, mut octets) = (Vec::new(), 0);
        while let Some(chunk) = next(&mut response).await? {
            octets += chunk.data.len();
            chunks.push(chunk);
            within_limit(octets)?;
        }
        Ok(Whole { status: response.status, headers: response.headers.clone(), chunks })
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
        let exchange = Self::exchange(&self.client, &mut self.connection, method, target, headers, body);
        self.runtime.block_on(exchange)
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

/// A chunk of a chunked body, a piece of any other.
async fn next(response: &mut degu_client::Response<'_>) -> Result<Option<Chunk>, degu_client::Error> {
    if response.headers.contains("transfer-encoding") {
        response.body.next_chunk().await
    } else {
        Ok(response.body.next_data().await?.map(Chunk::new))
    }
}

fn within_limit(octets: usize) -> Result<(), BoxError> {
    if octets <= LIMIT { Ok(()) } else { Err(format!("a body of more than {LIMIT} octets").into()) }
}
