//! The peer's side of a tunnel after a switch to another protocol.

use degu_simulation::{Bytestream, End, Ending};

use super::judge::allow;
use super::peer::{Conditions, Peer};
use super::plan::{Answer, Caller};

/// The peer's side of a tunnel. It exists as soon as the peer sends the offer.
#[derive(Debug)]
pub(super) struct TunnelEnd<'p> {
    pub(super) plan: &'p Bytestream,
    /// The number of bytes that the peer sends before it has the response to its offer.
    ahead: usize,
    queued: usize,
    received: usize,
    /// True after the server has accepted the offer.
    pub(super) is_open: bool,
    /// True after the handler has ended its side.
    pub(super) has_ended: bool,
}

impl<'p> TunnelEnd<'p> {
    /// Returns the peer's side of this exchange's tunnel. Returns `None` if the plan has no tunnel for it.
    pub(super) fn of(caller: &'p Caller, number: usize) -> Option<Self> {
        let Answer::Switch(plan, ahead) = &caller.exchanges.get(number)?.answer else { return None };
        Some(Self { plan, ahead: *ahead, queued: 0, received: 0, is_open: false, has_ended: false })
    }

    /// Returns whether the handler fails or panics. The peer may then lose bytes.
    pub(super) fn breaks(&self) -> bool {
        matches!(self.plan.ending, Ending::Fails | Ending::Panics)
    }

    /// Returns the bytes that the peer may send now and has not queued yet.
    pub(super) fn queue(&mut self) -> &'p [u8] {
        let until = if self.is_open { self.plan.from_peer.len() } else { self.ahead };
        let bytes = &self.plan.from_peer[self.queued..until];
        self.queued = until;
        bytes
    }

    pub(super) fn has_queued_all(&self) -> bool {
        self.queued == self.plan.from_peer.len()
    }

    fn has_received_all(&self) -> bool {
        self.received == self.plan.from_driver.len()
    }
}

impl Peer<'_> {
    /// Compares bytes that have arrived through the tunnel with the plan.
    pub(super) fn receive_tunnel(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(tunnel) = &mut self.tunnel else { return Ok(()) };
        let rest = &tunnel.plan.from_driver[tunnel.received..];
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
        tunnel.has_ended = self.writes && tunnel.has_received_all() && tunnel.plan.ending == Ending::DriverFirst;
        tunnel.has_ended
    }

    /// Checks that the plan allows the tunnel to end now.
    pub(super) fn judge_tunnel(&self, tunnel: &TunnelEnd<'_>, end: End, conditions: Conditions) -> Result<(), String> {
        let is_whole = tunnel.has_received_all() && end == End::Finished;
        let excused = tunnel.breaks() || conditions.late || self.caller.has_trouble(self.answered, |_| true);
        allow(is_whole || excused, || format!("a tunnel ends after {} bytes: {end:?}", tunnel.received))
    }
}
