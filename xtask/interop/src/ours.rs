//! Degu's clients as the exchanges use them: all functions block until an exchange has ended.

use std::io::{self, Read, Write};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use degu_client::{Body, Chunk, Client, Headers, Method, UpgradeOf, blocking};
use degu_simulation::{Kind, Message, Seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::clients::{Answer, Connection};

/// The longest body of a response, and the largest number of bytes that are read from a tunnel.
const LIMIT: usize = 4 << 20;

/// Our clients: the name in the matrix, and whether it is the blocking client.
pub(crate) const CLIENTS: [(&str, bool); 2] = [("Degu, async", false), ("Degu, blocking", true)];

/// Returns the body of a request: bytes with a Content-Length.
pub(crate) fn bytes(data: impl Into<Vec<u8>>) -> Message {
    Message::new(Kind::Bytes, [Chunk::new(data.into())])
}

/// Returns the body of a request in chunks of 60,000 bytes.
pub(crate) fn in_chunks(data: &[u8]) -> Message {
    Message::new(Kind::Chunked, data.chunks(60_000).map(|data| Chunk::new(data.to_vec())))
}

/// The answer to an offer to switch protocols: the header fields and the tunnel, or the status with which the server
/// declined the offer.
pub(crate) type Switch = std::result::Result<(Headers, Box<dyn Tunnel>), u16>;

/// Describes the status of a declined offer.
pub(crate) fn declined(status: u16) -> String {
    format!("status {status}")
}

fn switch<T, B, U: Tunnel + 'static>(upgrade: UpgradeOf<T, B>, tunnel: impl FnOnce(T) -> U) -> Switch {
    match upgrade {
        UpgradeOf::Switched { response, tunnel: stream } => Ok((response.headers, Box::new(tunnel(stream)))),
        UpgradeOf::Declined(response) => Err(response.status),
    }
}

/// One of our clients, with at most one connection.
pub(crate) struct Ours {
    client: Client,
    is_blocking: bool,
    runtime: Rc<Runtime>,
    connection: Option<Connection>,
}

impl Ours {
    pub(crate) fn new(client: Client, is_blocking: bool) -> Result<Self> {
        let runtime = Rc::new(Builder::new_current_thread().enable_all().build()?);
        Ok(Self { client, is_blocking, runtime, connection: None })
    }

    /// Returns the open connection, or a new one.
    fn open(&mut self) -> Result<&mut Connection> {
        let open = match self.connection.take() {
            Some(open) if !open.is_closed() => open,
            _ => self.runtime.block_on(Connection::open(&self.client, self.is_blocking))?,
        };
        Ok(self.connection.insert(open))
    }

    /// Performs an exchange on the open connection, or on a new one.
    pub(crate) fn perform(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: &Message,
    ) -> Result<Answer> {
        let answer = self.read(method, target, headers, body, |seen| seen.data.len() <= LIMIT)?;
        answer.ok_or_else(|| format!("a body of more than {LIMIT} bytes").into())
    }

    /// Performs an exchange as [`perform`](Self::perform) does. Abandons the response, and returns `None`, if `goes_on`
    /// returns false.
    pub(crate) fn read(
        &mut self,
        method: Method<'_>,
        target: &str,
        headers: &Headers,
        body: &Message,
        goes_on: impl FnMut(&Seen) -> bool,
    ) -> Result<Option<Answer>> {
        let runtime = self.runtime.clone();
        Ok(runtime.block_on(self.open()?.perform(method, target, headers, body, Duration::ZERO, goes_on))?)
    }

    /// Offers to switch protocols, on a new connection.
    pub(crate) fn upgrade(
        &mut self,
        method: Method<'_>,
        target: &str,
        protocol: &str,
        headers: Headers,
        body: Option<Vec<u8>>,
    ) -> Result<Switch> {
        self.disconnect();
        let runtime = self.runtime.clone();
        Ok(match self.open()? {
            Connection::Blocking(connection) => {
                let body = body.map_or_else(blocking::Body::none, Into::into);
                switch(connection.upgrade(method, target, protocol, headers, body)?, |tunnel| tunnel)
            }
            Connection::Async(connection) => {
                let body = body.map_or_else(Body::none, Into::into);
                let upgrade = runtime.block_on(connection.upgrade(method, target, protocol, headers, body))?;
                switch(upgrade, |tunnel| AsyncTunnel(runtime, tunnel))
            }
        })
    }

    /// Returns whether the last connection can be used for another exchange.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    /// Closes the connection.
    pub(crate) fn disconnect(&mut self) {
        // A tokio socket must be closed within its runtime.
        let _entered = self.runtime.enter();
        self.connection = None;
    }
}

/// A tunnel of either client. Reading and writing block the thread.
pub(crate) trait Tunnel: Read + Write {
    /// Sends the input, and reads the output at the same time. With `wanted`, reads this number of bytes, and then
    /// closes the tunnel. Otherwise half-closes the tunnel after the input, and reads until EOF.
    fn exchange(self: Box<Self>, input: &[u8], wanted: Option<usize>) -> Result<Vec<u8>>;
}

impl Tunnel for blocking::Tunnel {
    fn exchange(self: Box<Self>, input: &[u8], wanted: Option<usize>) -> Result<Vec<u8>> {
        let (from, mut to) = self.split()?;
        let mut output = Vec::new();
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                to.write_all(input)?;
                if wanted.is_none() { to.shutdown_write() } else { to.flush() }
            });
            from.take(wanted.unwrap_or(LIMIT) as u64).read_to_end(&mut output)?;
            Ok(writer.join().map_err(|_| "the writing thread panicked")??)
        })
        .map(|()| output)
    }
}

/// A tunnel of the async client, with the runtime in which it is open.
struct AsyncTunnel(Rc<Runtime>, degu_client::Tunnel);

impl Tunnel for AsyncTunnel {
    fn exchange(self: Box<Self>, input: &[u8], wanted: Option<usize>) -> Result<Vec<u8>> {
        let Self(runtime, tunnel) = *self;
        let (from, mut to) = tokio::io::split(tunnel);
        let mut output = Vec::new();
        runtime.block_on(async {
            let mut from = from.take(wanted.unwrap_or(LIMIT) as u64);
            let write = async {
                to.write_all(input).await?;
                if wanted.is_none() { to.shutdown().await } else { to.flush().await }
            };
            tokio::try_join!(write, from.read_to_end(&mut output))
        })?;
        Ok(output)
    }
}

impl Read for AsyncTunnel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.block_on(self.1.read(buffer))
    }
}

impl Write for AsyncTunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.block_on(self.1.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.block_on(self.1.flush())
    }
}
