//! One exchange, as a caller of either client performs or abandons it.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use degu_simulation::{Dice, Gates, Reading, Seen, patiently};
use degu_wire::{BodyOf, Headers};
use tokio::io::{AsyncRead, AsyncWrite};

use super::judge::Outcome;
use super::plan::Exchange;
use super::world::{Line, World};
use crate::client::ClientOf;
use crate::connection::ConnectionOf;
use crate::error::Error;
use crate::incoming::{IncomingOf, Lent};
use crate::link::Driver;
use crate::tunnel::{TunnelOf, UpgradeOf};

/// The protocol that is offered.
pub(super) const PROTOCOL: &str = "tcp";

/// The body of a response.
pub(super) type Received<'c, D> = IncomingOf<D, Lent<'c, D>, <D as Driver>::Source>;

/// The response, or the tunnel.
pub(super) type Answer<'c, D> = Result<UpgradeOf<TunnelOf<D>, Received<'c, D>>, Error>;

/// A driver, with the operations that the two clients do not have in common. The futures of the blocking client are
/// never pending.
pub(super) trait Simulated: Driver + 'static {
    /// Returns the line as a stream that behaves like a socket.
    fn socket(line: Line) -> Box<Self::Stream>;

    /// Returns a connection over the line as a stream that the caller brought.
    fn brought(line: Line, client: &ClientOf<Self>) -> ConnectionOf<Self>;

    /// Returns the body of the request.
    fn body(exchange: &Exchange, gates: &Gates) -> BodyOf<Self::Source>;

    /// Sends the request, and an offer of another protocol if the plan has one.
    async fn ask<'c>(
        connection: &'c mut ConnectionOf<Self>,
        uri: &str,
        exchange: &Exchange,
        body: BodyOf<Self::Source>,
    ) -> Answer<'c, Self>;

    /// Reads bytes of the body through its reader.
    async fn read(body: &mut Received<'_, Self>, bytes: &mut [u8]) -> io::Result<usize>;

    /// Returns the tunnel as a stream of tokio.
    fn stream(tunnel: TunnelOf<Self>) -> impl AsyncRead + AsyncWrite;

    /// Performs an exchange that owns its connection, and forwards the response.
    async fn owned(
        connection: ConnectionOf<Self>,
        uri: &str,
        exchange: &Exchange,
        body: BodyOf<Self::Source>,
    ) -> (Outcome, Option<ConnectionOf<Self>>);
}

/// Performs the exchange. Returns the connection, if there still is a connection.
pub(super) async fn perform<D: Simulated>(
    mut connection: ConnectionOf<D>,
    world: &World,
    number: usize,
    exchange: &Exchange,
) -> (Outcome, Option<ConnectionOf<D>>) {
    let gates = world.moving().gates.clone();
    let (uri, body) = (format!("/{number}"), D::body(exchange, &gates));
    if exchange.is_owned {
        return D::owned(connection, &uri, exchange, body).await;
    }
    let (mut dice, mut seen) = (Dice::new(exchange.seed), Seen::default());
    let polls = exchange.gives_up.unwrap_or(usize::MAX);
    let outcome = match patiently(polls, dice.one_in(2), D::ask(&mut connection, &uri, exchange, body)).await {
        None => Outcome::GivenUp,
        Some(Err(error)) => Outcome::Error { error, seen },
        Some(Ok(UpgradeOf::Switched { response, tunnel })) => {
            let (mut bytes, mut ended) = (Vec::new(), Ok(()));
            if let Some(plan) = &exchange.tunnel {
                // A blocking client cannot pause: it would then wait for bytes that the server sends later.
                let gates = (!D::BLOCKS).then_some(&gates);
                let received = |piece: &[u8]| bytes.extend_from_slice(piece);
                ended = plan.talk(D::stream(tunnel), gates, &mut dice, received).await;
            }
            Outcome::Tunnel { number: named(&response.headers), bytes, ended }
        }
        Some(Ok(UpgradeOf::Declined(mut response))) => {
            let next = async |how, most, seen: &mut Seen| next::<D>(&mut response.body, how, most, seen).await;
            let (sent, drops) = (exchange.body(), exchange.gives_up_reading);
            match exchange.reading.read(&sent, &mut seen, drops, (&mut dice, &gates), next).await {
                Ok(whole) => {
                    Outcome::Response { number: named(&response.headers), status: response.status, seen, whole }
                }
                Err(error) => Outcome::Error { error, seen },
            }
        }
    };
    (outcome, Some(connection))
}

/// Returns the number of the exchange in the head of a response.
pub(super) fn named(headers: &Headers) -> Option<String> {
    headers.get("x-number").map(str::to_owned)
}

/// Reads the next piece of the body, and records the piece. Returns `false` at the end of the body. Calls the same
/// `poll` methods as the public methods of both clients.
async fn next<D: Simulated>(
    body: &mut Received<'_, D>,
    how: Reading,
    most: usize,
    seen: &mut Seen,
) -> Result<bool, Error> {
    let piece = match how {
        Reading::All | Reading::TooMuch => {
            let mut whole = Bytes::new();
            seen.data.extend_from_slice(&poll_fn(|cx| body.poll_all(cx, most, &mut whole)).await?);
            None
        }
        Reading::Data => poll_fn(|cx| body.poll_data(cx)).await?.map(|data| seen.data.extend_from_slice(&data)),
        Reading::Chunks => poll_fn(|cx| body.poll_chunk(cx)).await?.map(|chunk| seen.part(&chunk.into())),
        Reading::Own => {
            let mut bytes = vec![0; most];
            let read = D::read(body, &mut bytes).await.map_err(|error| {
                let error = error.into_inner().and_then(|error| error.downcast::<Error>().ok());
                *error.expect("the error of the client is inside")
            })?;
            seen.data.extend_from_slice(&bytes[..read]);
            (read > 0).then_some(())
        }
        _ => poll_fn(|cx| body.poll_part(cx)).await?.map(|part| seen.part(&part)),
    };
    if piece.is_none() {
        seen.end(body.last_extensions(), body.trailers());
    }
    Ok(piece.is_some())
}
