//! The parser of the responses that a peer receives.

use std::task::Poll;

use degu_simulation::{Dice, Fault, Trouble, tell};
use degu_wire::Method;

use super::peer::{Head, Peer, Weather};
use super::plan::{Answer, Leave};

impl Peer<'_> {
    pub(super) fn read(&mut self, dice: &mut Dice, weather: Weather) -> Result<bool, String> {
        if !self.reads {
            // Who does not read sees the end of the connection all the same, in the end.
            self.over |= self.far.is_dropped();
            return Ok(false);
        }
        if self.is_stubborn() {
            return Ok(false);
        }
        let has_come = self.far.received() > 0 || self.read > 0;
        let reading = self.caller.trouble.filter(|trouble| trouble.is_reading && !self.had_trouble);
        let reading = reading.filter(|trouble| trouble.at == self.answered && has_come);
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
            self.judge_end(end, weather)?;
            (self.writes, self.reads, self.over) = (false, false, true);
            if self.caller.leaves != Leave::Stay {
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
        self.understand(weather, dice)?;
        Ok(true)
    }

    /// Looks at what has come.
    fn understand(&mut self, weather: Weather, dice: &mut Dice) -> Result<(), String> {
        loop {
            if !self.open.is_empty() && self.understand_head(weather, dice)? && self.understand_body()? {
                self.finish_response()?;
                if self.open.front().is_some_and(|open| !open.machine.buffered().is_empty()) {
                    continue;
                }
            }
            return Ok(());
        }
    }

    /// Checks the head of the response. Returns whether it has come.
    fn understand_head(&mut self, weather: Weather, dice: &mut Dice) -> Result<bool, String> {
        let number = self.answered;
        let open = &mut self.open[0];
        if open.head.is_some() {
            return Ok(true);
        }
        let polled = open.machine.poll_response().map_err(|error| format!("response {number}: {error}"))?;
        let Poll::Ready(head) = polled else { return Ok(false) };
        tell(|| format!("{}: response {number} is {}", self.number, head.status()));
        let is_refusal = head.headers().get("x-number") != Some(&number.to_string());
        // Who stops sending what is to be echoed would wait for ever.
        let is_echo = matches!(self.caller.exchanges[number].answer, Answer::Echo(_));
        if open.machine.stops_sending(&head) && (is_refusal || !is_echo && dice.one_in(2)) {
            open.machine.abandon_request_body();
            open.machine.transmitted(open.machine.pending().concat().len());
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
            self.judge_close(number, is_refusal, weather)?;
        }
        if is_refusal {
            self.judge_refusal(number, head.status(), weather)?;
        }
        Ok(true)
    }

    /// Checks the body of the response. Returns whether all of it has come.
    fn understand_body(&mut self) -> Result<bool, String> {
        let open = &mut self.open[0];
        loop {
            match open.machine.poll_part() {
                Ok(Poll::Ready(Some(part))) => open.seen.part(&part),
                Ok(Poll::Ready(None)) => return Ok(true),
                Ok(Poll::Pending) => return Ok(false),
                Err(error) => return Err(format!("the body of response {}: {error}", self.answered)),
            }
        }
    }

    /// A response has come in full: is it the one that was planned?
    fn finish_response(&mut self) -> Result<(), String> {
        let number = self.answered;
        let Some(mut open) = self.open.pop_front() else { return Ok(()) };
        let rest = open.machine.buffered().to_vec();
        if open.machine.is_sending() || !open.machine.is_flushed() {
            // It came before its request had gone out: what is left goes on behind it.
            if self.writes {
                let mut bytes = Vec::new();
                open.machine.send_body_anyway();
                while open.machine.is_sending() {
                    let sent = match open.parts.pop_front() {
                        Some(part) => open.machine.send_part(part),
                        None => open.machine.finish_body(),
                    };
                    sent.map_err(|error| format!("the plan is wrong: {error}"))?;
                    bytes.extend(open.machine.pending().concat());
                    open.machine.transmitted(open.machine.pending().concat().len());
                }
                bytes.extend(open.machine.pending().concat());
                let trouble = self.caller.trouble.filter(|trouble| trouble.at == number && !trouble.is_reading);
                if let Some(trouble) = trouble.filter(|_| !self.had_trouble) {
                    // What goes wrong with it goes wrong now.
                    self.make(Trouble { fault: Fault::Finish, ..trouble });
                } else {
                    self.raw.extend(bytes);
                }
            }
        }
        let head = open.head.as_ref();
        let exchange = &self.caller.exchanges[number];
        if let Some(Head { status, is_refusal: false }) = head {
            let Some((planned, message)) = exchange.expected() else {
                return Err(format!("response {number} came whole, for {:?}", exchange.answer));
            };
            if *status != planned {
                return Err(format!("the status of response {number} is {status} for {planned}"));
            }
            if !exchange.is_handled() {
                return Err(format!("response {number} was made by nobody"));
            }
            open.seen.end(None, None);
            let empty = degu_simulation::Message::none();
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
            return Err(format!("{} bytes after a response that closes", rest.len()));
        }
        Ok(())
    }
}
