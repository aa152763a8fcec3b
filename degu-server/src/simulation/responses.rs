//! The responses that a peer receives: their parsing, and the comparison with the plan.

use std::task::Poll;

use degu_simulation::{Dice, Fault, Message, send_part, tell};
use degu_wire::{Method, RemoteError};

use super::peer::{Conditions, Head, Open, Peer};
use super::plan::Answer;

impl Open {
    /// Parses the body of the response. Returns whether the whole body has arrived.
    pub(super) fn understand_body(&mut self) -> Result<bool, RemoteError> {
        loop {
            match self.machine.poll_part()? {
                Poll::Ready(Some(part)) => self.seen.part(&part),
                Poll::Ready(None) => return Ok(true),
                Poll::Pending => return Ok(false),
            }
        }
    }
}

impl Peer<'_> {
    pub(super) fn read(&mut self, dice: &mut Dice, conditions: Conditions) -> Result<bool, String> {
        if !self.reads {
            // A peer that has stopped reading still notices that the driver has dropped the connection.
            self.over |= self.far.is_dropped();
            return Ok(false);
        }
        if self.must_write_first() {
            return Ok(false);
        }
        let has_come = self.far.received() > 0 || self.read > 0;
        let reading = self.next_trouble(self.answered, true).filter(|_| has_come);
        let until = reading.map_or(usize::MAX, |trouble| trouble.after.saturating_sub(self.read));
        if let (Some(trouble), 0) = (reading, until) {
            self.make(trouble);
            return Ok(true);
        }
        if self.far.received() == 0 {
            let Some(end) = self.far.ended() else { return Ok(false) };
            tell(|| format!("{}: {end:?} after {} answers", self.number, self.answered));
            if self.goes_on(end) {
                self.reads = false;
                return Ok(true);
            }
            self.judge_end(end, conditions)?;
            (self.writes, self.reads, self.over) = (false, false, true);
            if self.caller.leaves != Fault::Stall {
                self.far.close();
            }
            return Ok(true);
        }
        let bytes = self.far.receive(dice.portion(self.far.received()).min(until));
        self.read += bytes.len();
        if self.tunnel.as_ref().is_some_and(|tunnel| tunnel.is_open) {
            self.receive_tunnel(&bytes)?;
            return Ok(true);
        }
        let Some(open) = self.open.front_mut() else {
            return Err(format!("{} unsolicited bytes: {:?}", bytes.len(), String::from_utf8_lossy(&bytes)));
        };
        open.machine.receive_buffer().extend_from_slice(&bytes);
        while !self.open.is_empty() && self.understand_head(conditions, dice)? {
            let body = self.open[0].understand_body();
            if !body.map_err(|error| format!("the body of response {}: {error}", self.answered))? {
                break;
            }
            self.finish_response()?;
        }
        Ok(true)
    }

    /// Parses and checks the head of the response. Returns whether the head has arrived.
    fn understand_head(&mut self, conditions: Conditions, dice: &mut Dice) -> Result<bool, String> {
        let number = self.answered;
        let open = &mut self.open[0];
        if open.head.is_some() {
            return Ok(true);
        }
        let polled = open.machine.poll_response().map_err(|error| format!("response {number}: {error}"))?;
        let Poll::Ready(head) = polled else { return Ok(false) };
        tell(|| format!("{}: response {number} is {}", self.number, head.status()));
        let is_refusal = head.headers().get("x-number") != Some(&number.to_string());
        // If the peer stopped sending a body that the app sends back, both would wait forever.
        let is_echo = matches!(self.caller.exchanges[number].answer, Answer::Echo(_));
        if open.machine.stops_sending(&head) && (is_refusal || !is_echo && dice.one_in(2)) {
            open.machine.abandon_request_body();
            self.out.bytes.clear();
            (self.writes, self.abandons) = (false, true);
        }
        open.head = Some(Head { status: head.status(), is_refusal });
        if let Some(tunnel) = self.tunnel.as_mut().filter(|_| open.machine.has_switched()) {
            tunnel.is_open = true;
            let first = open.machine.take_buffered();
            self.receive_tunnel(&first)?;
            return Ok(false);
        }
        if head.headers().get("connection") == Some("close") {
            self.said_close = true;
            self.judge_close(number, is_refusal, conditions)?;
        }
        if is_refusal {
            self.judge_refusal(number, head.status(), conditions)?;
        }
        Ok(true)
    }

    /// Checks that the response, which has arrived in full, is the planned response.
    fn finish_response(&mut self) -> Result<(), String> {
        let number = self.answered;
        let Some(mut open) = self.open.pop_front() else { return Ok(()) };
        let rest = open.machine.buffered().to_vec();
        if self.writes {
            // If the response has arrived before the whole request was sent, the rest of the request is sent now.
            open.machine.send_body_anyway();
            while open.machine.is_sending() {
                send_part(&mut open.machine, &mut open.parts)?;
                self.out.take(&mut open.machine, usize::MAX);
            }
            self.out.take(&mut open.machine, usize::MAX);
        }
        let head = open.head.as_ref();
        let exchange = &self.caller.exchanges[number];
        if let Some(Head { status, is_refusal: false }) = head {
            let Some((planned, message)) = exchange.expected() else {
                return Err(format!("response {number} is complete, although the plan is {:?}", exchange.answer));
            };
            if *status != planned {
                return Err(format!("the status of response {number} is {status} instead of {planned}"));
            }
            if !exchange.is_handled() {
                return Err(format!("response {number} arrived, but the app has not seen its request"));
            }
            open.seen.end(None, None);
            let empty = Message::none();
            let message = if exchange.method == Method::Head || planned == 204 { &empty } else { message };
            open.seen.is(message, true).map_err(|error| format!("the body of response {number}: {error}"))?;
        }
        self.answered += 1;
        self.read = rest.len();
        if self.abandons {
            self.said_close = true;
            self.far.finish();
        }
        if rest.is_empty() {
            return Ok(());
        }
        match self.open.front_mut() {
            Some(next) => next.machine.receive_buffer().extend_from_slice(&rest),
            None => return Err(format!("{} bytes after the last response", rest.len())),
        }
        if self.said_close {
            return Err(format!("{} bytes after a response with connection: close", rest.len()));
        }
        Ok(())
    }
}
