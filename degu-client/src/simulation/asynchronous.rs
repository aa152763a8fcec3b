//! The async client in a simulation.

use std::future::poll_fn;
use std::io;
use std::sync::mpsc;

use degu_simulation::{Dice, Gates, Seen, SlowEnd, patiently, slow};
use degu_wire::Body;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::exchange::{Answer, PROTOCOL, Received, Simulated, named};
use super::judge::Outcome;
use super::plan::Exchange;
use super::world::Line;
use crate::asynchronous::{Async, Client, Connection, Tunnel, Upgrade};
use crate::error::Error;

impl Simulated for Async {
    fn socket(line: Line) -> Box<Self::Stream> {
        Box::new(line)
    }

    fn brought(line: Line, client: &Client) -> Connection {
        Connection::new(line.pipe, client)
    }

    fn body(exchange: &Exchange, gates: &Gates) -> Body {
        let end = exchange.fails.map_or(SlowEnd::Whole, SlowEnd::Fails);
        let source = slow(exchange.request.parts(), end, gates.clone(), Dice::new(exchange.seed ^ 1));
        exchange.request.body::<Self::Source>(source)
    }

    async fn ask<'c>(connection: &'c mut Connection, uri: &str, exchange: &Exchange, body: Body) -> Answer<'c, Self> {
        let (method, headers) = (exchange.method, exchange.headers());
        match exchange.offers {
            true => connection.upgrade(method, uri, PROTOCOL, headers, body).await,
            false => connection.request(method, uri, headers, body).await.map(Upgrade::Declined),
        }
    }

    async fn read(body: &mut Received<'_, Self>, bytes: &mut [u8]) -> io::Result<usize> {
        body.reader().read(bytes).await
    }

    fn stream(tunnel: Tunnel) -> impl AsyncRead + AsyncWrite {
        tunnel
    }

    async fn owned(
        connection: Connection,
        uri: &str,
        exchange: &Exchange,
        body: Body,
    ) -> (Outcome, Option<Connection>) {
        let (mut dice, mut seen) = (Dice::new(exchange.seed), Seen::default());
        let request = connection.exchange(exchange.method, uri, exchange.headers(), body);
        let polls = exchange.gives_up.unwrap_or(usize::MAX);
        let response = match patiently(polls, dice.one_in(2), request).await {
            None => return (Outcome::GivenUp, None),
            Some(Err(error)) => return (Outcome::Error { error, seen }, None),
            Some(Ok(response)) => response,
        };
        let (number, status) = (named(&response.headers), response.status);
        let (give_back, back) = mpsc::channel();
        let body = response.body.into_body(move |connection| drop(give_back.send(connection)));
        let (_, mut source) = body.split();
        while let Some(source) = &mut source
            && let Some(part) = poll_fn(|cx| source.as_mut().poll_part(cx)).await
        {
            match part {
                Ok(part) => seen.part(&part),
                Err(error) => {
                    let error = *error.downcast::<Error>().expect("the error of the client");
                    return (Outcome::Error { error, seen }, None);
                }
            }
        }
        seen.end(None, None);
        (Outcome::Response { number, status, seen, whole: true }, back.try_recv().ok())
    }
}
