//! One exchange, as a caller of the async client performs or abandons it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use degu_simulation::{Dice, Seen, patiently};
use degu_wire::Body;
use tokio::io::AsyncReadExt;

use super::judge::{Outcome, body, headers};
use super::plan::{Exchange, Piece, Reading};
use super::tunnel::{PROTOCOL, talk};
use super::world::World;
use crate::{Connection, Error, Incoming, Upgrade};

/// Performs the exchange. Returns the connection, if there still is a connection.
pub(super) async fn perform(
    mut connection: Connection,
    world: &World,
    number: usize,
    exchange: &Exchange,
) -> (Outcome, Option<Connection>) {
    let (gates, alive) = {
        let moving = world.moving();
        (moving.gates.clone(), moving.alive.clone())
    };
    let body = body(exchange, &gates, &alive);
    if exchange.reading == Reading::Owned {
        return owned(connection, number, exchange, body).await;
    }
    let mut dice = Dice::new(exchange.seed);
    let uri = format!("/{number}");
    let request = async {
        let (method, headers) = (exchange.method, headers(exchange));
        match exchange.offers {
            true => connection.upgrade(method, &uri, PROTOCOL, headers, body).await,
            false => connection.request(method, &uri, headers, body).await.map(Upgrade::Declined),
        }
    };
    let polls = exchange.gives_up.unwrap_or(usize::MAX);
    let outcome = match patiently(polls, dice.one_in(2), request).await {
        None => Outcome::GivenUp,
        Some(Err(error)) => Outcome::Error { error, seen: Seen::default() },
        Some(Ok(Upgrade::Switched { response, tunnel })) => {
            let number = response.headers.get("x-number").map(str::to_owned);
            let received = match &exchange.tunnel {
                Some(plan) => Some(talk(tunnel, plan, &mut dice).await),
                None => None,
            };
            Outcome::Tunnel { number, received }
        }
        Some(Ok(Upgrade::Declined(response))) => {
            let named = response.headers.get("x-number").map(str::to_owned);
            let mut seen = Seen::default();
            match read(response.body, exchange, &mut seen, &mut dice, world).await {
                Ok(whole) => Outcome::Response { number: named, status: response.status, seen, whole },
                Err(error) => Outcome::Error { error, seen },
            }
        }
    };
    (outcome, Some(connection))
}

/// Reads the body as the plan says. Returns whether the end has been read.
async fn read(
    mut body: Incoming<'_>,
    exchange: &Exchange,
    seen: &mut Seen,
    dice: &mut Dice,
    world: &World,
) -> Result<bool, Error> {
    let gates = world.moving().gates.clone();
    let whole = usize::try_from(exchange.body().length()).unwrap_or(usize::MAX);
    let mut left = usize::MAX;
    match exchange.reading {
        Reading::Never => return Ok(false),
        Reading::All | Reading::TooMuch => {
            let limit = if exchange.reading == Reading::All { whole } else { whole.saturating_sub(1 + dice.below(50)) };
            let polls = if exchange.gives_up_reading && dice.one_in(2) { dice.below(5) } else { usize::MAX };
            return match patiently(polls, dice.one_in(2), body.read_all(limit)).await {
                Some(all) => {
                    seen.data.extend_from_slice(&all?);
                    seen.end(None, None);
                    Ok(true)
                }
                None => Ok(false),
            };
        }
        Reading::Reader => return read_as_reader(body, exchange, seen, dice).await,
        Reading::Some => left = dice.below(3),
        _ => {}
    }
    let mut pieces = 0;
    while left > 0 {
        left -= 1;
        let polls = if exchange.gives_up_reading && dice.one_in(2) { dice.below(3) } else { usize::MAX };
        let late = dice.one_in(2);
        let how = exchange.reading.next(pieces, dice);
        pieces += usize::from(how != Piece::Chunk);
        let more = match how {
            Piece::Data => patiently(polls, late, body.next_data())
                .await
                .map(|data| Ok(data?.map(|data| seen.data.extend_from_slice(&data)))),
            Piece::Chunk => {
                patiently(polls, late, body.next_chunk()).await.map(|chunk| Ok(chunk?.map(|chunk| seen.chunk(&chunk))))
            }
            Piece::Part => {
                patiently(polls, late, body.next_part()).await.map(|part| Ok(part?.map(|part| seen.part(&part))))
            }
        };
        match more {
            Some(Ok(Some(()))) => {}
            Some(Ok(None)) => {
                seen.end(body.last_extensions(), body.trailers());
                return Ok(true);
            }
            Some(Err(error)) => return Err(error),
            // The future was dropped. The next attempt follows at once, or after a pause.
            None if dice.one_in(2) => gates.pause().await,
            None => {}
        }
    }
    Ok(false)
}

async fn read_as_reader(
    mut body: Incoming<'_>,
    exchange: &Exchange,
    seen: &mut Seen,
    dice: &mut Dice,
) -> Result<bool, Error> {
    loop {
        let polls = if exchange.gives_up_reading && dice.one_in(2) { dice.below(3) } else { usize::MAX };
        let mut bytes = vec![0; 1 + dice.length(10_000)];
        match patiently(polls, dice.one_in(2), body.reader().read(&mut bytes)).await {
            None => {}
            Some(Ok(0)) => {
                seen.end(body.last_extensions(), body.trailers());
                return Ok(true);
            }
            Some(Ok(read)) => seen.data.extend_from_slice(&bytes[..read]),
            Some(Err(error)) => {
                let error = error.into_inner().and_then(|error| error.downcast::<Error>().ok());
                return Err(*error.expect("the error of the client is inside"));
            }
        }
    }
}

/// Performs an exchange that owns its connection, and forwards the response.
async fn owned(
    connection: Connection,
    number: usize,
    exchange: &Exchange,
    body: Body,
) -> (Outcome, Option<Connection>) {
    let mut dice = Dice::new(exchange.seed);
    let uri = format!("/{number}");
    let request = connection.exchange(exchange.method, &uri, headers(exchange), body);
    let polls = exchange.gives_up.unwrap_or(usize::MAX);
    let mut seen = Seen::default();
    let response = match patiently(polls, dice.one_in(2), request).await {
        None => return (Outcome::GivenUp, None),
        Some(Err(error)) => return (Outcome::Error { error, seen }, None),
        Some(Ok(response)) => response,
    };
    let (named, status) = (response.headers.get("x-number").map(str::to_owned), response.status);
    let back = Arc::new(Mutex::new(None));
    let give_back = back.clone();
    let body = response.body.into_body(move |connection| {
        *give_back.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    });
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
    let connection = back.lock().unwrap_or_else(PoisonError::into_inner).take();
    (Outcome::Response { number: named, status, seen, whole: true }, connection)
}
