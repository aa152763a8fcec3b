//! The outcome of an exchange, and the check whether the plan allows it.

use degu_simulation::{Alive, Dice, Fault, Gates, Kind, Message, Seen, Slow, SlowEnd};
use degu_wire::{Body, Headers};

use super::plan::{Afterwards, Exchange, Plan, Reading};
use super::tunnel::Received;
use super::world::World;
use crate::Error;

/// The outcome of an exchange, as the caller saw it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response. `whole` is false if the caller did not read the body to its end.
    Response { number: Option<String>, status: u16, seen: Seen, whole: bool },
    /// A tunnel, and the bytes that came through it, if the plan has a tunnel.
    Tunnel { number: Option<String>, received: Option<Received> },
    /// An error, and the part of the body that was returned before.
    Error { error: Error, seen: Seen },
    /// The caller dropped the future of the request.
    GivenUp,
}

/// The earlier exchanges of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The number of the first exchange.
    first: usize,
    /// True if all of them succeeded.
    fine: bool,
}

impl Before {
    pub(super) const fn begin(number: usize) -> Self {
        Self { first: number, fine: true }
    }

    /// Adds one more exchange.
    pub(super) const fn then(self, fine: bool) -> Self {
        Self { fine: self.fine && fine, ..self }
    }
}

/// Returns the header fields of the request.
pub(super) fn headers(exchange: &Exchange) -> Headers {
    let mut headers = Headers::new();
    let mut set = |name, value| headers.set(name, value).expect("a field of the plan");
    if exchange.expects {
        set("expect", "100-continue");
    }
    if exchange.client_closes {
        set("connection", "close");
    }
    headers
}

/// Returns the body of the request.
pub(super) fn body(exchange: &Exchange, gates: &Gates, alive: &Alive) -> Body {
    let Message { kind, .. } = exchange.request;
    let source = || {
        let dice = Dice::new(exchange.seed ^ 1);
        let end = exchange.fails.map_or(SlowEnd::Whole, SlowEnd::Fails);
        Box::pin(Slow::new(exchange.request.parts(), end, gates, alive, dice))
    };
    match kind {
        Kind::None => Body::none(),
        Kind::Bytes => Body::from(exchange.request.data()),
        Kind::Length => Body::from_source(exchange.request.length(), source()),
        Kind::Chunked => Body::chunks_from_source(source()),
    }
}

/// Returns whether the plan allows an error in this exchange, because of a fault in it or earlier on the same
/// connection.
fn excuse(plan: &Plan, number: usize, before: Before) -> bool {
    let exchange = &plan.exchanges[number];
    let earlier = &plan.exchanges[before.first..number];
    exchange.trouble.is_some()
        || exchange.fails.is_some()
        || exchange.reading == Reading::TooMuch
        || exchange.until_close
        || exchange.afterwards != Afterwards::GoesOn
        || !before.fine && !exchange.asks
        || earlier.iter().any(|earlier| earlier.afterwards != Afterwards::GoesOn || earlier.trouble.is_some())
}

/// Checks the outcome of an exchange. Returns whether the exchange succeeded.
pub(super) fn judge(
    world: &World,
    plan: &Plan,
    (number, before): (usize, Before),
    outcome: &Outcome,
    is_closed: Option<bool>,
) -> Result<bool, String> {
    let exchange = &plan.exchanges[number];
    let body = exchange.body();
    let garbage = exchange.trouble.is_some_and(|trouble| matches!(trouble.fault, Fault::Garbage(_)));
    match outcome {
        Outcome::Response { number: named, status, seen, whole } => {
            let is_ours = named.as_deref() == Some(&*number.to_string()) && *status == exchange.status;
            // Garbage may contain a head.
            if !(is_ours || garbage && !whole) {
                return Err(format!("the client returned the response to another request: {named:?}, {status}"));
            }
            let found = match whole {
                // If the end of the connection is the end of the body, the client cannot know whether the body is
                // complete.
                true if exchange.until_close && exchange.trouble.is_some() => seen.is_beginning_of(&body, false),
                true => seen.is(&body, exchange.reads_chunks()),
                false if garbage => Ok(()),
                false => seen.is_beginning_of(&body, exchange.reads_chunks()),
            };
            found.map_err(|error| format!("the body of the response: {error}"))?;
            let fine = *whole && exchange.persists() && !excuse(plan, number, before);
            if fine && is_closed == Some(true) {
                return Err("the connection is closed, although it can carry another request".into());
            }
            return Ok(fine);
        }
        Outcome::Tunnel { number: named, received } => {
            let (Some(plan), Some(Received { bytes, ended })) = (&exchange.tunnel, received) else {
                return Err("the client returned a tunnel that the server has not opened".into());
            };
            if named.as_deref() != Some(&*number.to_string()) || !plan.down.starts_with(bytes) {
                return Err(format!("the tunnel of {named:?} has {} bytes, and not those of the plan", bytes.len()));
            }
            let is_whole = bytes.len() == plan.down.len() && ended.is_ok();
            if !is_whole && exchange.trouble.is_none() {
                return Err(format!("a tunnel ends after {} bytes: {ended:?}", bytes.len()));
            }
            if is_closed == Some(false) {
                return Err("the connection is open after a switch".into());
            }
            return Ok(exchange.trouble.is_none());
        }
        Outcome::Error { error, seen } => {
            if !excuse(plan, number, before) {
                return Err(format!("an error without a fault in the plan: {error}"));
            }
            if is_closed == Some(false) {
                return Err(format!("the connection is open after an error: {error}"));
            }
            if !garbage {
                seen.is_beginning_of(&body, exchange.reads_chunks())?;
            }
            let asked = world.moving().peers.iter().any(|peer| peer.asked.iter().any(|(asked, _)| *asked == number));
            if error.is_retryable() && asked && !exchange.method.is_idempotent() {
                return Err(format!("the error is retryable, although the server has the request: {error}"));
            }
        }
        Outcome::GivenUp => {}
    }
    Ok(false)
}

/// Checks at the end which requests the servers have received from the exchanges that succeeded.
pub(super) fn judge_requests(world: &World, plan: &Plan, fine: &[usize]) -> Result<(), String> {
    world.settle()?;
    let moving = world.moving();
    for number in fine {
        let asked = moving.peers.iter().flat_map(|peer| &peer.asked).filter(|(asked, _)| asked == number);
        let asked: Vec<_> = asked.collect();
        let [(_, seen)] = &asked[..] else { return Err(format!("exchange {number} was made {} times", asked.len())) };
        let request = &plan.exchanges[*number].request;
        seen.is(request, true).map_err(|error| format!("exchange {number}: the body of the request: {error}"))?;
    }
    let tunnels =
        plan.exchanges.iter().enumerate().filter_map(|(number, exchange)| Some((number, exchange.tunnel.as_ref()?)));
    for (number, tunnel) in tunnels {
        let peer = moving.peers.iter().find(|peer| peer.asked.last().is_some_and(|(asked, _)| *asked == number));
        let up = peer.and_then(|peer| peer.tunnel.as_deref()).unwrap_or_default();
        if !tunnel.up.starts_with(up) || fine.contains(&number) && up.len() < tunnel.up.len() {
            return Err(format!("exchange {number}: {} bytes came through the tunnel", up.len()));
        }
    }
    if moving.alive.count() > 0 {
        return Err(format!("{} bodies were not dropped", moving.alive.count()));
    }
    match moving.peers.iter().find(|peer| !peer.far.is_dropped()) {
        Some(left) => Err(format!("a connection was not dropped: {left:?}")),
        None => Ok(()),
    }
}
