//! The blocking client in a simulation.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use degu_simulation::{Gates, seeds};
use degu_wire::BoxError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::{Answer, PROTOCOL, Received, Simulated};
use super::judge::Outcome;
use super::plan::{Exchange, Plan};
use super::simulate;
use super::world::Line;
use crate::blocking::{Blocking, Body, Client, Connection, Tunnel, Upgrade};

#[test]
fn simulation() {
    seeds(("degu-client", "simulation::blocking"), 1_000, |seed| simulate::<Blocking>(seed, Plan::blocking).map(drop));
}

impl Simulated for Blocking {
    fn socket(line: Line) -> Box<Self::Stream> {
        Box::new(line)
    }

    fn brought(line: Line, client: &Client) -> Connection {
        Connection::new(line, client)
    }

    fn body(exchange: &Exchange, _: &Gates) -> Body {
        let (mut parts, fails) = (exchange.request.parts(), exchange.fails);
        exchange.request.body::<Self::Source>(Box::pin(std::iter::from_fn(move || match fails {
            Some(left) if left == parts.len() => Some(Err(BoxError::from("this body fails"))),
            _ => parts.pop_front().map(Ok),
        })))
    }

    async fn ask<'c>(connection: &'c mut Connection, uri: &str, exchange: &Exchange, body: Body) -> Answer<'c, Self> {
        let (method, headers) = (exchange.method, exchange.headers());
        match exchange.offers {
            true => connection.upgrade(method, uri, PROTOCOL, headers, body),
            false => connection.request(method, uri, headers, body).map(Upgrade::Declined),
        }
    }

    async fn read(body: &mut Received<'_, Self>, bytes: &mut [u8]) -> io::Result<usize> {
        body.reader().read(bytes)
    }

    fn stream(tunnel: Tunnel) -> impl AsyncRead + AsyncWrite {
        Blocks(tunnel)
    }

    async fn owned(_: Connection, _: &str, _: &Exchange, _: Body) -> (Outcome, Option<Connection>) {
        unreachable!("the blocking client has no exchange that owns its connection")
    }
}

/// A blocking tunnel as a stream of tokio, which is never pending.
struct Blocks(Tunnel);

impl AsyncRead for Blocks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.0.read(buffer.initialize_unfilled());
        Poll::Ready(read.map(|read| buffer.advance(read)))
    }
}

impl AsyncWrite for Blocks {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.0.shutdown_write() {
            // A stream that the caller brought cannot be half-closed.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            done => done,
        })
    }
}
