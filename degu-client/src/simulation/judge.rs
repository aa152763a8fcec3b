//! The judgement of an exchange: its outcome, and whether the plan allows it.

use degu_simulation::{Alive, Dice, Fault, Gates, Kind, Message, Seen, Slow, SlowEnd};
use degu_wire::{Body, Headers};

use super::plan::{Afterwards, Exchange, Plan, Reading};
use super::tunnel::Received;
use super::world::World;
use crate::Error;

/// The outcome of an exchange, as the caller saw it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response, whose body is whole, or was left.
    Response { number: Option<String>, status: u16, seen: Seen, whole: bool },
    /// A tunnel, and what came through it if the plan has one.
    Tunnel { number: Option<String>, received: Option<Received> },
    /// An error, and what of the body was given before.
    Error { error: Error, seen: Seen },
    /// The request was given up.
    GivenUp,
}

/// Earlier exchanges of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The exchange that it began with.
    first: usize,
    /// All has gone well in all of them.
    fine: bool,
}

impl Before {
    pub(super) const fn begin(number: usize) -> Self {
        Self { first: number, fine: true }
    }

    /// And after one more.
    pub(super) const fn then(self, fine: bool) -> Self {
        Self { fine: self.fine && fine, ..self }
    }
}

/// The fields of the request.
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

/// The body of the request.
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

/// Returns whether something may have broken in this exchange, or before it on the same connection.
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

/// Judges an exchange, and says whether all went well.
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
            // What is garbage may have a head of its own.
            if !(is_ours || garbage && !whole) {
                return Err(format!("an answer to something else: {named:?}, {status}"));
            }
            let found = match whole {
                // Where only the end of the connection is the end, nobody can tell.
                true if exchange.until_close && exchange.trouble.is_some() => seen.is_beginning_of(&body, false),
                true => seen.is(&body, exchange.reads_chunks()),
                false if garbage => Ok(()),
                false => seen.is_beginning_of(&body, exchange.reads_chunks()),
            };
            found.map_err(|error| format!("the body of the response: {error}"))?;
            let fine = *whole && exchange.persists() && !excuse(plan, number, before);
            if fine && is_closed == Some(true) {
                return Err("the connection is closed, and nothing was wrong with it".into());
            }
            return Ok(fine);
        }
        Outcome::Tunnel { number: named, received } => {
            let (Some(plan), Some(Received { bytes, ended })) = (&exchange.tunnel, received) else {
                return Err("a tunnel that the server has not opened".into());
            };
            if named.as_deref() != Some(&*number.to_string()) || !plan.down.starts_with(bytes) {
                return Err(format!("a tunnel of {named:?} with {} bytes of another", bytes.len()));
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
                return Err(format!("for no reason: {error}"));
            }
            if is_closed == Some(false) {
                return Err(format!("the connection is open after an error: {error}"));
            }
            if !garbage {
                seen.is_beginning_of(&body, exchange.reads_chunks())?;
            }
            let asked = world.moving().peers.iter().any(|peer| peer.asked.iter().any(|(asked, _)| *asked == number));
            if error.is_retryable() && asked && !exchange.method.is_idempotent() {
                return Err(format!("to be sent again, and the server has it: {error}"));
            }
        }
        Outcome::GivenUp => {}
    }
    Ok(false)
}

/// Judges in the end what the servers have got of exchanges in which all went well.
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
        return Err(format!("{} bodies are left", moving.alive.count()));
    }
    match moving.peers.iter().find(|peer| !peer.far.is_dropped()) {
        Some(left) => Err(format!("a connection is left: {left:?}")),
        None => Ok(()),
    }
}
