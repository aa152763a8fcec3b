//! Checks whether the plan allows a response, or the end of a connection.

use degu_simulation::{End, Fault};

use super::peer::{Conditions, Peer, TunnelEnd};
use super::plan::{Answer, Exchange};

/// Returns an error with this text if the outcome is not allowed.
pub(super) fn allow(is_allowed: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_allowed { Ok(()) } else { Err(otherwise()) }
}

impl Peer<'_> {
    fn exchange(&self, number: usize) -> Option<&Exchange> {
        self.caller.exchanges.get(number)
    }

    /// Checks that the plan allows `connection: close` in a response.
    pub(super) fn judge_close(&self, number: usize, is_refusal: bool, conditions: Conditions) -> Result<(), String> {
        let planned = self
            .exchange(number)
            .is_some_and(|exchange| exchange.client_closes || exchange.server_closes || exchange.leaves_body());
        let excused = is_refusal || conditions.draining || conditions.late || self.caller.has_trouble(number, |_| true);
        allow(planned || excused, || format!("response {number} has connection: close, which the plan does not allow"))
    }

    /// Checks that the plan allows a response with this status from the server itself, instead of from the app.
    pub(super) fn judge_refusal(&self, number: usize, status: u16, conditions: Conditions) -> Result<(), String> {
        let Some(exchange) = self.exchange(number) else { return Err(format!("response {number} has no request")) };
        let failed = matches!(exchange.answer, Answer::Error | Answer::Panic) && status == 500;
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number && self.had_trouble);
        let excused = match trouble.map(|trouble| trouble.fault) {
            Some(Fault::Garbage(_)) => matches!(status, 400..=599) && !conditions.silent,
            Some(Fault::Finish) => status == 400 && !conditions.silent,
            Some(Fault::Stall) => status == 408 && conditions.late && !conditions.silent,
            _ => false,
        };
        allow(failed || excused, || {
            format!("the server itself sent {status} as response {number}, but the plan is {:?}", exchange.answer)
        })
    }

    /// Checks that the plan allows the connection to end now.
    pub(super) fn judge_end(&mut self, end: End, conditions: Conditions) -> Result<(), String> {
        let number = self.answered;
        // A shutdown does not wait until the peer has read the last response. A peer that still sends may lose it.
        if conditions.aborting || conditions.draining && end == End::Reset {
            return Ok(());
        }
        // If the handler of a tunnel fails, it resets the connection. Responses before the tunnel may be lost.
        let is_lost = |tunnel: &&TunnelEnd<'_>| tunnel.is_open || tunnel.breaks() && end == End::Reset;
        if let Some(tunnel) = self.tunnel.as_ref().filter(is_lost) {
            return self.judge_tunnel(tunnel, end, conditions);
        }
        if let Some(open) = self.open.front_mut().filter(|open| open.head.is_some()) {
            let breaks = matches!(self.caller.exchanges[number].answer, Answer::Breaks(..) | Answer::Echo(_));
            open.machine.receive_eof();
            match open.understand_body() {
                Ok(true) => return Err(format!("response {number} is incomplete, but parses as complete")),
                Ok(false) => return Err(format!("response {number} waits for more bytes after EOF")),
                Err(_) => {}
            }
            let excused = conditions.late || self.caller.has_trouble(number, |_| true);
            if let Answer::Breaks(message, _) | Answer::Message(_, message) | Answer::Waits(message) =
                &self.caller.exchanges[number].answer
            {
                open.seen.is_beginning_of(message, true)?;
            }
            return allow(breaks || excused, || format!("response {number} is incomplete: {end:?}"));
        }
        let refused_before = number > 0
            && self.exchange(number - 1).is_some_and(|exchange| {
                exchange.client_closes || exchange.may_end_it() || exchange.expected().is_none()
            });
        let all = number == self.caller.exchanges.len() && !self.writes;
        let excused = all
            || self.said_close
            || refused_before
            || conditions.draining
            || conditions.late
            || self.caller.has_trouble(number, |fault| match fault {
                Fault::Garbage(_) => conditions.silent,
                _ => true,
            });
        allow(excused, || format!("the connection ended after {number} responses: {end:?}"))
    }
}
