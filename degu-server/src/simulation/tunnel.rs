//! A tunnel after a switch to another protocol: what both ends plan to send, the handler, and the peer.

use std::sync::Arc;

use bytes::Bytes;
use degu_simulation::{Dice, End, tell};
use degu_wire::BoxError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::Notify;

use super::app::Shared;
use super::peer::{Peer, Weather};
use super::plan::{Answer, Caller};
use crate::{Response, Session, Tunnel, upgrade::Offer};

/// The bytes of a tunnel, and who ends it.
#[derive(Debug)]
pub(super) struct Bytestream {
    /// The bytes from the peer to the handler.
    up: Bytes,
    down: Bytes,
    /// The number of bytes that the peer sends before it has been answered.
    ahead: usize,
    how: Ending,
}

/// The end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The peer half-closes first, and the handler when it has seen that.
    PeerFirst,
    /// The handler half-closes first, and the peer when it has seen that.
    HandlerFirst,
    /// The handler fails when it has sent all.
    Fails,
    /// The handler panics then.
    Panics,
}

impl Bytestream {
    /// `expects` says that the body of the request waits for `100 Continue`, so that nothing can be sent ahead.
    pub(super) fn random(dice: &mut Dice, most: usize, expects: bool) -> Self {
        let (up, down) = (dice.length(most), dice.length(most));
        let how = match dice.below(8) {
            0 => Ending::Fails,
            1 => Ending::Panics,
            2..5 => Ending::PeerFirst,
            _ => Ending::HandlerFirst,
        };
        // What comes before the answer may lie in one buffer with the request.
        let ahead = if !expects && dice.one_in(2) { dice.below(up + 1).min(1_000) } else { 0 };
        Self { up: dice.bytes(up), down: dice.bytes(down), ahead, how }
    }
}

/// Accepts the offer of an exchange whose plan has a tunnel.
pub(super) fn accept(shared: &Arc<Shared>, at: (usize, usize), offer: Offer) -> Response {
    let shared = shared.clone();
    offer.accept([("x-number", at.1)], async move |_: &mut Session, tunnel: Tunnel<'_>| {
        let _alive = shared.alive.enter();
        let caller = &shared.plan.callers[at.0];
        let exchange = &caller.exchanges[at.1];
        let Answer::Switch(plan) = &exchange.answer else { return Err("there is no tunnel in the plan".into()) };
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
                    shared.complain(format!("the tunnel of connection {} has received something else", at.0));
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

/// The peer's side of a tunnel, from the offer on.
#[derive(Debug)]
pub(super) struct TunnelEnd<'p> {
    plan: &'p Bytestream,
    sent: usize,
    received: usize,
    /// The offer has been accepted.
    pub(super) is_open: bool,
    /// The handler has ended its side.
    has_ended: bool,
}

impl<'p> TunnelEnd<'p> {
    /// Returns the end for this exchange, if its plan has a tunnel.
    pub(super) fn of(caller: &'p Caller, number: usize) -> Option<Self> {
        let Answer::Switch(plan) = &caller.exchanges.get(number)?.answer else { return None };
        Some(Self { plan, sent: 0, received: 0, is_open: false, has_ended: false })
    }

    /// Returns whether the handler may end the connection before the peer has received all.
    pub(super) fn breaks(&self) -> bool {
        matches!(self.plan.how, Ending::Fails | Ending::Panics)
    }
}

impl Peer<'_> {
    /// Sends some of a tunnel's bytes, before the answer to the offer or after it.
    pub(super) fn write_tunnel(&mut self, dice: &mut Dice) -> bool {
        let Some(tunnel) = &mut self.tunnel else { return false };
        let (plan, number) = (tunnel.plan, self.begun - 1);
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number && !trouble.is_reading);
        let trouble = trouble.filter(|_| !self.had_trouble);
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

    /// Takes what has come through the tunnel.
    pub(super) fn receive_tunnel(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(tunnel) = &mut self.tunnel else { return Ok(()) };
        let rest = &tunnel.plan.down[tunnel.received..];
        if !rest.starts_with(bytes) {
            return Err(format!("{} bytes of a tunnel are others after {}", bytes.len(), tunnel.received));
        }
        tunnel.received += bytes.len();
        Ok(())
    }

    /// Returns whether the peer goes on sending after the end of the handler's side.
    pub(super) fn goes_on(&mut self, end: End) -> bool {
        let Some(tunnel) = self.tunnel.as_mut().filter(|tunnel| tunnel.is_open && end == End::Finished) else {
            return false;
        };
        let is_whole = tunnel.received == tunnel.plan.down.len();
        let goes_on = self.writes && is_whole && tunnel.plan.how == Ending::HandlerFirst;
        tunnel.has_ended = goes_on;
        goes_on
    }

    /// The tunnel has ended: may it, here?
    pub(super) fn judge_tunnel(&self, tunnel: &TunnelEnd<'_>, end: End, weather: Weather) -> Result<(), String> {
        let is_whole = tunnel.received == tunnel.plan.down.len() && end == End::Finished;
        let excused = tunnel.breaks() || weather.late || self.caller.has_trouble(self.answered, |_| true);
        match is_whole || excused {
            true => Ok(()),
            false => Err(format!("a tunnel ends after {} bytes: {end:?}", tunnel.received)),
        }
    }
}
