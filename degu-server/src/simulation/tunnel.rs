//! Tunnels after a switch to another protocol: their plan, their handler, and the peer's side of them.

use std::sync::Arc;

use bytes::Bytes;
use degu_simulation::{Dice, End, tell};
use degu_wire::BoxError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::Notify;

use super::app::Shared;
use super::judge::allow;
use super::peer::{Conditions, Peer};
use super::plan::{Answer, Caller};
use crate::{Response, Session, Tunnel, upgrade::Offer};

/// The plan of a tunnel.
#[derive(Debug)]
pub(super) struct Bytestream {
    /// The bytes from the peer to the handler.
    up: Bytes,
    /// The bytes from the handler to the peer.
    down: Bytes,
    /// The number of bytes that the peer sends before it has the response to its offer.
    ahead: usize,
    how: Ending,
}

/// The way in which a tunnel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The peer half-closes first. The handler half-closes when it has read the end.
    PeerFirst,
    /// The handler half-closes first. The peer half-closes when it has read the end.
    HandlerFirst,
    /// The handler fails after it has sent all bytes.
    Fails,
    /// The handler panics after it has sent all bytes.
    Panics,
}

impl Bytestream {
    /// Plans a tunnel. If `expects` is true, the body of the request waits for `100 Continue`, so no byte of the tunnel
    /// can be sent before the response.
    pub(super) fn random(dice: &mut Dice, most: usize, expects: bool) -> Self {
        let (up, down) = (dice.length(most), dice.length(most));
        let how = match dice.below(8) {
            0 => Ending::Fails,
            1 => Ending::Panics,
            2..5 => Ending::PeerFirst,
            _ => Ending::HandlerFirst,
        };
        // Bytes that arrive before the response may be in the same buffer as the request.
        let ahead = if !expects && dice.one_in(2) { dice.below(up + 1).min(1_000) } else { 0 };
        Self { up: dice.bytes(up), down: dice.bytes(down), ahead, how }
    }
}

/// Accepts the offer of an exchange whose plan has a tunnel.
pub(super) fn accept(shared: &Arc<Shared>, at: (usize, usize), offer: Offer) -> Response {
    let shared = shared.clone();
    offer.accept([("x-number", at.1)], async move |_: &mut Session, tunnel: Tunnel<'_>| {
        let _alive = shared.alive.clone();
        let caller = &shared.plan.callers[at.0];
        let exchange = &caller.exchanges[at.1];
        let Answer::Switch(plan) = &exchange.answer else { return Err("the plan has no tunnel here".into()) };
        let mut dice = Dice::new(exchange.seed ^ 3);
        let (mut writes, mut reads) = (dice.fork(), dice.fork());
        let (mut from, mut to) = split(tunnel);
        let (has_ended, most) = (Notify::new(), caller.most);
        let send = async {
            let mut rest = &plan.down[..];
            while !rest.is_empty() {
                if writes.one_in(3) {
                    shared.gates.pause().await;
                }
                let sent = to.write(&rest[..writes.portion(rest.len())]).await?;
                rest = &rest[sent..];
            }
            to.flush().await?;
            match plan.how {
                Ending::PeerFirst => has_ended.notified().await,
                Ending::HandlerFirst => {}
                Ending::Fails => return Err(BoxError::from("this handler fails")),
                Ending::Panics => std::panic::resume_unwind(Box::new("this handler panics")),
            }
            Ok::<_, BoxError>(to.shutdown().await?)
        };
        let receive = async {
            let mut seen = Vec::new();
            loop {
                if reads.one_in(3) {
                    shared.gates.pause().await;
                }
                let mut bytes = vec![0; 1 + reads.below(most)];
                let read = from.read(&mut bytes).await?;
                if read == 0 {
                    has_ended.notify_one();
                    break;
                }
                seen.extend_from_slice(&bytes[..read]);
                if !plan.up.starts_with(&seen) {
                    shared.complain(format!("the tunnel of connection {} has received wrong bytes", at.0));
                }
            }
            if seen.len() < plan.up.len() && !caller.has_trouble(at.1, |_| true) {
                shared.complain(format!("the tunnel of connection {} ends after {} bytes", at.0, seen.len()));
            }
            Ok(())
        };
        tokio::try_join!(send, receive).map(|_| ())
    })
}

/// The peer's side of a tunnel. It exists as soon as the peer sends the offer.
#[derive(Debug)]
pub(super) struct TunnelEnd<'p> {
    plan: &'p Bytestream,
    sent: usize,
    received: usize,
    /// True after the server has accepted the offer.
    pub(super) is_open: bool,
    /// True after the handler has ended its side.
    has_ended: bool,
}

impl<'p> TunnelEnd<'p> {
    /// Returns the peer's side of this exchange's tunnel. Returns `None` if the plan has no tunnel for it.
    pub(super) fn of(caller: &'p Caller, number: usize) -> Option<Self> {
        let Answer::Switch(plan) = &caller.exchanges.get(number)?.answer else { return None };
        Some(Self { plan, sent: 0, received: 0, is_open: false, has_ended: false })
    }

    /// Returns whether the handler fails or panics. The peer may then lose bytes.
    pub(super) fn breaks(&self) -> bool {
        matches!(self.plan.how, Ending::Fails | Ending::Panics)
    }
}

impl Peer<'_> {
    /// Sends some bytes of a tunnel, before or after the response to the offer. Returns whether something happened.
    pub(super) fn write_tunnel(&mut self, dice: &mut Dice) -> bool {
        let trouble = self.next_trouble(self.begun.saturating_sub(1), false);
        let Some(tunnel) = &mut self.tunnel else { return false };
        let plan = tunnel.plan;
        let of_request = self.open.back().map_or(0, |open| open.sent);
        let until = trouble.map_or(usize::MAX, |trouble| trouble.after.saturating_sub(of_request)).max(tunnel.sent);
        let most = if tunnel.is_open { plan.up.len() } else { plan.ahead };
        let rest = &plan.up[tunnel.sent.min(most)..most.min(until)];
        let sent = self.far.send(&rest[..dice.portion(rest.len())]);
        tunnel.sent += sent;
        let is_all = tunnel.sent == plan.up.len();
        if let Some(trouble) = trouble.filter(|_| tunnel.sent == until || tunnel.is_open && is_all) {
            self.make(trouble);
            return true;
        }
        if tunnel.is_open && is_all && (plan.how != Ending::HandlerFirst || tunnel.has_ended) {
            tell(|| format!("{}: ends its side of the tunnel", self.number));
            (self.writes, self.over) = (false, tunnel.has_ended);
            self.far.finish();
            return true;
        }
        sent > 0
    }

    /// Compares bytes that have arrived through the tunnel with the plan.
    pub(super) fn receive_tunnel(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(tunnel) = &mut self.tunnel else { return Ok(()) };
        let rest = &tunnel.plan.down[tunnel.received..];
        if !rest.starts_with(bytes) {
            return Err(format!("{} wrong bytes in a tunnel, after {} right ones", bytes.len(), tunnel.received));
        }
        tunnel.received += bytes.len();
        Ok(())
    }

    /// Returns whether the peer continues to send, because the handler has only half-closed the tunnel.
    pub(super) fn goes_on(&mut self, end: End) -> bool {
        let Some(tunnel) = self.tunnel.as_mut().filter(|tunnel| tunnel.is_open && end == End::Finished) else {
            return false;
        };
        let is_whole = tunnel.received == tunnel.plan.down.len();
        let goes_on = self.writes && is_whole && tunnel.plan.how == Ending::HandlerFirst;
        tunnel.has_ended = goes_on;
        goes_on
    }

    /// Checks that the plan allows the tunnel to end now.
    pub(super) fn judge_tunnel(&self, tunnel: &TunnelEnd<'_>, end: End, conditions: Conditions) -> Result<(), String> {
        let is_whole = tunnel.received == tunnel.plan.down.len() && end == End::Finished;
        let excused = tunnel.breaks() || conditions.late || self.caller.has_trouble(self.answered, |_| true);
        allow(is_whole || excused, || format!("a tunnel ends after {} bytes: {end:?}", tunnel.received))
    }
}
