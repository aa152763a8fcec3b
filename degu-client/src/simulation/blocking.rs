//! The blocking client in a simulation. While its stream blocks, the rest of the simulation runs.

use std::io::{self, Read};
use std::sync::Arc;

use degu_simulation::{Dice, Kind, Seeds, Seen, tell};
use degu_wire::{Address, BoxError, Spin};

use super::judge::{Before, Outcome, headers, judge, judge_requests};
use super::plan::{Afterwards, Exchange, Piece, Plan, Reading};
use super::tunnel::{PROTOCOL, talk_blocking};
use super::world::{Blocking, World};
use crate::Error;
use crate::blocking::{Body, Client, Connection, Incoming, Upgrade};

#[test]
fn simulation() {
    Seeds { test: ("degu-client", "simulation::blocking"), default: 1_000 }.run(simulate);
}

fn simulate(seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    let plan = Arc::new(Plan::blocking(&mut dice));
    tell(|| format!("{plan:?}"));
    let client = Client::options().spin(Spin::Off).client(Address::IPV6_LOOPBACK);
    let world = World::new(plan.clone(), dice);
    let mut kept: Option<(Connection, Before)> = None;
    let mut fine = Vec::new();
    for (number, exchange) in plan.exchanges.iter().enumerate() {
        let open = kept.take().filter(|(connection, _)| !exchange.asks || !connection.is_closed());
        let (mut connection, before) = open.unwrap_or_else(|| (connect(&world, &client), Before::begin(number)));
        tell(|| format!("the client: {number}, {before:?}"));
        let outcome = perform(&mut connection, number, exchange);
        tell(|| format!("the client: {outcome:?}"));
        let is_closed = exchange.asks.then(|| connection.is_closed());
        let judged = judge(&world, &plan, (number, before), &outcome, is_closed);
        let is_fine = judged.map_err(|error| format!("exchange {number}: {error}"))?;
        fine.extend(is_fine.then_some(number));
        if exchange.afterwards == Afterwards::Talks || world.moving().dice.one_in(3) {
            // Unsolicited data that arrives later cannot be distinguished from a response, so all data arrives now.
            world.settle()?;
        }
        kept = Some((connection, before.then(is_fine)));
    }
    drop(kept);
    judge_requests(&world, &plan, &fine)
}

/// Connects over a stream that behaves like a socket, or over a stream that the caller brought.
fn connect(world: &World, client: &Client) -> Connection {
    let stream = Blocking { pipe: world.connect(), world: world.clone(), idle: 0 };
    let looks = world.moving().plan.looks;
    match looks {
        true => Connection::over(Box::new(stream), client.base.clone(), client.address().clone()),
        false => Connection::new(stream, client),
    }
}

/// A reader for the body of a request. Reading fails if the plan says so.
struct Source {
    bytes: io::Cursor<Vec<u8>>,
    fails: bool,
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(bytes)? {
            0 if self.fails => Err(io::Error::other("this body fails")),
            read => Ok(read),
        }
    }
}

fn body(exchange: &Exchange) -> Body {
    let parts: Vec<_> = exchange.request.parts().into();
    let fails = exchange.fails.map(|left| parts.len() - left);
    match exchange.request.kind {
        Kind::None => Body::none(),
        Kind::Bytes => Body::from(exchange.request.data()),
        Kind::Length => {
            let mut bytes = exchange.request.data();
            if fails.is_some() {
                bytes.pop();
            }
            let reader = Source { bytes: io::Cursor::new(bytes), fails: fails.is_some() };
            Body::from_reader(exchange.request.length(), reader)
        }
        Kind::Chunked => Body::from_chunks(parts.into_iter().enumerate().map(move |(at, part)| match fails {
            Some(fails) if fails == at => Err(BoxError::from("this body fails")),
            _ => Ok(part),
        })),
    }
}

fn perform(connection: &mut Connection, number: usize, exchange: &Exchange) -> Outcome {
    let mut dice = Dice::new(exchange.seed);
    let (method, uri, headers, body) = (exchange.method, format!("/{number}"), headers(exchange), body(exchange));
    let response = match exchange.offers {
        true => connection.upgrade(method, &uri, PROTOCOL, headers, body),
        false => connection.request(method, &uri, headers, body).map(Upgrade::Declined),
    };
    let mut seen = Seen::default();
    let response = match response {
        Ok(Upgrade::Declined(response)) => response,
        Ok(Upgrade::Switched { response, tunnel }) => {
            let number = response.headers.get("x-number").map(str::to_owned);
            let received = exchange.tunnel.as_ref().map(|plan| talk_blocking(tunnel, plan, &mut dice));
            return Outcome::Tunnel { number, received };
        }
        Err(error) => return Outcome::Error { error, seen },
    };
    let named = response.headers.get("x-number").map(str::to_owned);
    match read(response.body, exchange, &mut seen, &mut dice) {
        Ok(whole) => Outcome::Response { number: named, status: response.status, seen, whole },
        Err(error) => Outcome::Error { error, seen },
    }
}

/// Reads the body as the plan says. Returns whether the end has been read.
fn read(mut body: Incoming<'_>, exchange: &Exchange, seen: &mut Seen, dice: &mut Dice) -> Result<bool, Error> {
    let whole = usize::try_from(exchange.body().length()).unwrap_or(usize::MAX);
    let mut left = if exchange.reading == Reading::Some { dice.below(3) } else { usize::MAX };
    match exchange.reading {
        Reading::Never => return Ok(false),
        Reading::All | Reading::TooMuch => {
            let limit = if exchange.reading == Reading::All { whole } else { whole.saturating_sub(1 + dice.below(50)) };
            seen.data.extend_from_slice(&body.read_all(limit)?);
            seen.end(body.last_extensions(), body.trailers());
            return Ok(true);
        }
        Reading::Reader => {
            if let Err(error) = body.reader().read_to_end(&mut seen.data) {
                let error = error.into_inner().and_then(|error| error.downcast::<Error>().ok());
                return Err(*error.expect("the error of the client is inside"));
            }
            seen.end(body.last_extensions(), body.trailers());
            return Ok(true);
        }
        _ => {}
    }
    let mut pieces = 0;
    while left > 0 {
        left -= 1;
        let how = exchange.reading.next(pieces, dice);
        pieces += usize::from(how != Piece::Chunk);
        let more = match how {
            Piece::Data => body.next_data()?.map(|data| seen.data.extend_from_slice(&data)),
            Piece::Chunk => body.next_chunk()?.map(|chunk| seen.chunk(&chunk)),
            Piece::Part => body.next_part()?.map(|part| seen.part(&part)),
        };
        if more.is_none() {
            seen.end(body.last_extensions(), body.trailers());
            return Ok(true);
        }
    }
    Ok(false)
}
