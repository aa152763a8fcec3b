//! The judgement of what a peer received: which answers and which ends a plan allows.

use std::task::Poll;

use degu_simulation::{End, Fault};

use super::peer::{Peer, Weather};
use super::plan::{Answer, Exchange};
use super::tunnel::TunnelEnd;

impl Peer<'_> {
    fn exchange(&self, number: usize) -> Option<&Exchange> {
        self.caller.exchanges.get(number)
    }

    /// The response says that it is the last: may it?
    pub(super) fn judge_close(&self, number: usize, is_refusal: bool, weather: Weather) -> Result<(), String> {
        let planned = self
            .exchange(number)
            .is_some_and(|exchange| exchange.client_closes || exchange.server_closes || exchange.leaves_body());
        let excused = is_refusal || weather.draining || weather.late || self.caller.has_trouble(number, |_| true);
        if planned || excused { Ok(()) } else { Err(format!("response {number} closes for no reason")) }
    }

    /// The response is not the app's: may it be?
    pub(super) fn judge_refusal(&self, number: usize, status: u16, weather: Weather) -> Result<(), String> {
        let Some(exchange) = self.exchange(number) else { return Err(format!("response {number} to nothing")) };
        let failed = matches!(exchange.answer, Answer::Error | Answer::Panic) && status == 500;
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number && self.had_trouble);
        let excused = match trouble.map(|trouble| trouble.fault) {
            Some(Fault::Garbage(_)) => matches!(status, 400..=599) && !weather.silent,
            Some(Fault::Finish) => status == 400 && !weather.silent,
            Some(Fault::Stall) => status == 408 && weather.late && !weather.silent,
            _ => false,
        };
        match failed || excused {
            true => Ok(()),
            false => Err(format!("response {number} is {status} for {:?}", exchange.answer)),
        }
    }

    /// The connection has ended: may it, here?
    pub(super) fn judge_end(&mut self, end: End, weather: Weather) -> Result<(), String> {
        let number = self.answered;
        // A shutdown does not wait until the peer of a last word has read it, so that a peer which still sends may lose it.
        if weather.aborting || weather.draining && end == End::Reset {
            return Ok(());
        }
        // A handler that fails resets the connection, with responses that are on their way.
        let is_lost = |tunnel: &&TunnelEnd<'_>| tunnel.is_open || tunnel.breaks() && end == End::Reset;
        if let Some(tunnel) = self.tunnel.as_ref().filter(is_lost) {
            return self.judge_tunnel(tunnel, end, weather);
        }
        if let Some(open) = self.open.front_mut().filter(|open| open.head.is_some()) {
            let breaks = matches!(self.caller.exchanges[number].answer, Answer::Breaks(..) | Answer::Echo(_));
            open.machine.receive_eof();
            loop {
                match open.machine.poll_part() {
                    Ok(Poll::Ready(Some(part))) => open.seen.part(&part),
                    Ok(Poll::Ready(None)) => return Err(format!("response {number}, which was cut, looks whole")),
                    Ok(Poll::Pending) => return Err(format!("response {number} hangs after its end")),
                    Err(_) => break,
                }
            }
            let excused = weather.late || self.caller.has_trouble(number, |_| true);
            if let Answer::Breaks(message, _) | Answer::Message(_, message) | Answer::Waits(message) =
                &self.caller.exchanges[number].answer
            {
                open.seen.is_beginning_of(message, true)?;
            }
            return if breaks || excused { Ok(()) } else { Err(format!("response {number} was cut: {end:?}")) };
        }
        let refused_before = number > 0
            && self.exchange(number - 1).is_some_and(|exchange| {
                exchange.client_closes || exchange.may_end_it() || exchange.expected().is_none()
            });
        let all = number == self.caller.exchanges.len() && !self.writes;
        let excused = all
            || self.said_close
            || refused_before
            || weather.draining
            || weather.late
            || self.caller.has_trouble(number, |fault| match fault {
                Fault::Garbage(_) => weather.silent,
                _ => true,
            });
        match excused {
            true => Ok(()),
            false => Err(format!("the connection ends after {number} answers: {end:?}")),
        }
    }
}
