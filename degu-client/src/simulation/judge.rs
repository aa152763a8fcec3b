//! The outcome of an exchange, and the check whether the plan allows it.

use std::io;

use degu_simulation::{Fault, Reading, Seen};

use super::plan::Plan;
use super::world::World;
use crate::Error;

/// The outcome of an exchange, as the caller saw it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response. `whole` is false if the caller did not read the body to its end.
    Response { number: Option<String>, status: u16, seen: Seen, whole: bool },
    /// A tunnel, the bytes that came through it, and the result.
    Tunnel { number: Option<String>, bytes: Vec<u8>, ended: io::Result<()> },
    /// An error, and the part of the body that was returned before.
    Error { error: Error, seen: Seen },
    /// The caller dropped the future of the request.
    GivenUp,
}

/// Returns whether the plan allows an error in this exchange, because of a fault in this exchange or in an earlier
/// exchange of the same connection. `fine` is true for each earlier exchange of the connection that succeeded.
fn excuse(plan: &Plan, number: usize, fine: &[bool]) -> bool {
    let exchange = &plan.exchanges[number];
    let earlier = &plan.exchanges[number - fine.len()..number];
    exchange.trouble.is_some()
        || exchange.fails.is_some()
        || exchange.reading == Reading::TooMuch
        || exchange.until_close
        || exchange.afterwards.is_some()
        || fine.contains(&false) && !exchange.asks
        || earlier.iter().any(|earlier| earlier.afterwards.is_some() || earlier.trouble.is_some())
}

/// Checks the outcome of an exchange. Returns whether the exchange succeeded. `fine` is the same as for [`excuse`].
pub(super) fn judge(
    world: &World,
    plan: &Plan,
    number: usize,
    fine: &[bool],
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
            let is_fine = *whole && exchange.persists() && !excuse(plan, number, fine);
            if is_fine && is_closed == Some(true) {
                return Err("the connection is closed, although it can carry another request".into());
            }
            return Ok(is_fine);
        }
        Outcome::Tunnel { number: named, bytes, ended } => {
            let Some(plan) = &exchange.tunnel else {
                return Err("the client returned a tunnel that the server has not opened".into());
            };
            if named.as_deref() != Some(&*number.to_string()) || !plan.from_peer.starts_with(bytes) {
                return Err(format!("the tunnel of {named:?} has {} bytes, and not those of the plan", bytes.len()));
            }
            let is_whole = bytes.len() == plan.from_peer.len() && ended.is_ok();
            if !is_whole && exchange.trouble.is_none() {
                return Err(format!("a tunnel ends after {} bytes: {ended:?}", bytes.len()));
            }
            if is_closed == Some(false) {
                return Err("the connection is open after a switch".into());
            }
            return Ok(exchange.trouble.is_none());
        }
        Outcome::Error { error, seen } => {
            if !excuse(plan, number, fine) {
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

/// Checks at the end which requests the servers have received. `fine` is true for the exchanges that succeeded.
pub(super) fn judge_requests(world: &World, plan: &Plan, fine: &[bool]) -> Result<(), String> {
    world.settle()?;
    let moving = world.moving();
    for (number, (exchange, &is_fine)) in plan.exchanges.iter().zip(fine).enumerate() {
        let asked =
            moving.peers.iter().flat_map(|peer| peer.asked.iter().map(move |(asked, seen)| (asked, seen, peer)));
        let asked: Vec<_> = asked.filter(|(asked, ..)| **asked == number).collect();
        match &asked[..] {
            [(_, seen, _)] if is_fine => seen
                .is(&exchange.request, true)
                .map_err(|error| format!("exchange {number}: the body of the request: {error}"))?,
            _ if is_fine => return Err(format!("exchange {number} was made {} times", asked.len())),
            _ => {}
        }
        if let (Some(tunnel), Some((_, _, peer))) = (&exchange.tunnel, asked.first()) {
            let received = peer.tunnel.as_deref().unwrap_or_default();
            let is_whole = received.len() == tunnel.from_driver.len();
            if !tunnel.from_driver.starts_with(received) || is_fine && !is_whole {
                return Err(format!("exchange {number}: {} bytes came through the tunnel", received.len()));
            }
        }
    }
    if moving.gates.clones() > 0 {
        return Err(format!("{} bodies were not dropped", moving.gates.clones()));
    }
    match moving.peers.iter().find(|peer| !peer.far.is_dropped()) {
        Some(left) => Err(format!("a connection was not dropped: {:?}", left.far)),
        None => Ok(()),
    }
}
