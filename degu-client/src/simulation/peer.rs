//! The server of a run, which answers and fails as the plan says, and checks the requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use degu_simulation::{Dice, Ending, Far, Fault, Outbox, Seen, send_part, tell};
use degu_wire::machine::{Connection, Content, RequestHead, Server};
use degu_wire::{Headers, Limits, Part};

use super::exchange::PROTOCOL;
use super::plan::{Exchange, Plan, Serving};

/// The server's end of a connection.
pub(super) struct Peer {
    pub(super) far: Far,
    plan: Arc<Plan>,
    machine: Connection<Server>,
    out: Outbox,
    /// The number of the current exchange.
    number: Option<usize>,
    request: Option<RequestHead>,
    parts: VecDeque<Part>,
    answered: bool,
    reads: bool,
    writes: bool,
    /// True after the server has begun to send bytes that are not HTTP.
    broken: bool,
    /// The numbers of the requests, each with the part of its body that has been received.
    pub(super) asked: Vec<(usize, Seen)>,
    /// The bytes that have been received after a switch to another protocol.
    pub(super) tunnel: Option<Vec<u8>>,
}

impl Peer {
    pub(super) fn new(plan: Arc<Plan>, far: Far) -> Self {
        Self {
            far,
            plan,
            machine: Connection::<Server>::new(Limits::DEFAULT),
            out: Outbox::default(),
            number: None,
            request: None,
            parts: VecDeque::new(),
            answered: false,
            reads: true,
            writes: true,
            broken: false,
            asked: Vec::new(),
            tunnel: None,
        }
    }

    /// Takes one step, if a step is possible. Returns whether it took a step.
    pub(super) fn step(&mut self, dice: &mut Dice) -> Result<bool, String> {
        for turn in dice.turns(3) {
            let done = match turn {
                0 => self.receive(dice),
                1 => self.send(dice),
                _ => self.serve()?,
            };
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn receive(&mut self, dice: &mut Dice) -> bool {
        let exchange = self.number.map(|number| &self.plan.exchanges[number]);
        let writes_first = exchange.is_some_and(|exchange| exchange.writes_first) && !self.out.bytes.is_empty();
        if !self.reads || writes_first && !self.far.is_dropped() {
            return false;
        }
        let bytes = self.far.receive(dice.portion(self.far.received()));
        match &mut self.tunnel {
            Some(received) => received.extend_from_slice(&bytes),
            None => self.machine.receive_buffer().extend_from_slice(&bytes),
        }
        if bytes.is_empty() && self.far.ended().is_some() {
            match self.tunnel {
                Some(_) => self.reads = false,
                None => self.close(),
            }
            self.machine.receive_eof();
            return true;
        }
        !bytes.is_empty()
    }

    /// Records the end of the request if the machine has received the whole request.
    fn note_end(&mut self) {
        if !self.machine.is_receiving() {
            self.see(|seen| seen.end(None, None));
        }
    }

    fn close(&mut self) {
        self.end_with(Far::close);
    }

    /// Ends the connection, by closing or resetting it.
    fn end_with(&mut self, end: fn(&Far)) {
        self.note_end();
        (self.reads, self.writes) = (false, false);
        end(&self.far);
    }

    fn send(&mut self, dice: &mut Dice) -> bool {
        if !self.writes {
            return false;
        }
        if !self.broken {
            self.out.take(&mut self.machine, usize::MAX);
        }
        let trouble = self.number.and_then(|number| self.plan.exchanges[number].trouble);
        let trouble = trouble.filter(|_| self.answered && !self.broken);
        let is_last = self.answered && !self.machine.is_sending();
        let (sent, due) = self.out.send(&self.far, trouble, is_last, dice);
        if let Some(trouble) = due {
            self.commit(trouble.fault);
        }
        sent || due.is_some()
    }

    fn commit(&mut self, fault: Fault) {
        tell(|| format!("the server: {fault:?}"));
        self.broken = true;
        match fault {
            Fault::Close => self.close(),
            Fault::Reset => self.end_with(Far::reset),
            Fault::Garbage(bytes) => self.out.bytes = bytes.to_vec().into(),
            Fault::Finish | Fault::Stall => self.writes = false,
        }
    }

    /// Takes the next step of an exchange: reads the request, or makes the response.
    fn serve(&mut self) -> Result<bool, String> {
        if self.broken || !self.reads && !self.writes {
            return Ok(false);
        }
        let Some(number) = self.number else { return self.begin() };
        let plan = self.plan.clone();
        let exchange = &plan.exchanges[number];
        if let (Some(_), Some(tunnel)) = (&self.tunnel, &exchange.tunnel) {
            // If the server is not first, it waits until the client has half-closed the tunnel.
            let ends = self.out.bytes.is_empty() && self.writes;
            let ends = ends && (tunnel.ending == Ending::PeerFirst || !self.reads);
            if ends {
                tell(|| "the server: ends its side of the tunnel".into());
                self.writes = false;
                self.far.finish();
            }
            return Ok(ends);
        }
        if !self.answered && (exchange.serving != Serving::After || !self.machine.is_receiving()) {
            return self.answer(number, exchange).map(|()| true);
        }
        if self.answered && self.machine.is_sending() && self.machine.has_room() {
            return send_part(&mut self.machine, &mut self.parts).map(|()| true);
        }
        // Some answers do not wait for the end of the request.
        let reads = exchange.serving != Serving::Instead && !(exchange.until_close && self.answered);
        if self.machine.is_receiving() && reads {
            match self.machine.poll_part() {
                Ok(Poll::Ready(Some(part))) => self.see(|seen| seen.part(&part)),
                Ok(Poll::Ready(None)) => self.see(|seen| seen.end(None, None)),
                // The machine may have a `100 Continue` to send.
                Ok(Poll::Pending) => return Ok(self.writes && !self.machine.is_flushed()),
                // The client has abandoned the request. The received part is checked at the end.
                Err(_) => self.close(),
            }
            return Ok(true);
        }
        let flushed = self.machine.is_flushed() && self.out.bytes.is_empty();
        let received = !self.machine.is_receiving() || !reads;
        if self.answered && !self.machine.is_sending() && received && flushed {
            return Ok(self.end(exchange));
        }
        Ok(false)
    }

    fn see(&mut self, see: impl FnOnce(&mut Seen)) {
        if let Some((_, seen)) = self.asked.last_mut() {
            see(seen);
        }
    }

    /// Begins the next exchange, if its request has been received.
    fn begin(&mut self) -> Result<bool, String> {
        let head = match self.machine.poll_request() {
            Ok(Poll::Ready(Some(head))) => head,
            Ok(Poll::Ready(None)) => {
                self.close();
                return Ok(true);
            }
            Ok(Poll::Pending) => return Ok(false),
            Err(error) => {
                // A client that has closed the connection may have sent a part of a head.
                self.close();
                return if self.far.is_dropped() { Ok(true) } else { Err(format!("the client sent {error}")) };
            }
        };
        let number = head.target().strip_prefix('/').and_then(|number| number.parse::<usize>().ok());
        let number =
            number.filter(|number| *number < self.plan.exchanges.len()).ok_or("the target is not in the plan")?;
        if self.asked.last().is_some_and(|(last, _)| *last >= number) {
            return Err(format!("request {number} came after {:?}", self.asked.last().map(|(last, _)| last)));
        }
        tell(|| format!("the server: request {number}"));
        self.asked.push((number, Seen::default()));
        self.note_end();
        (self.number, self.answered) = (Some(number), false);
        self.request = Some(head);
        Ok(true)
    }

    fn answer(&mut self, number: usize, exchange: &Exchange) -> Result<(), String> {
        let wrong = |error| format!("the plan is wrong: {error}");
        // The bytes before this point belong to no response.
        self.out.take(&mut self.machine, usize::MAX);
        (self.answered, self.out.sent) = (true, 0);
        for _ in 0..exchange.interim {
            self.out.bytes.extend(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n");
        }
        let mut headers = Headers::new();
        headers.set("x-number", number).map_err(wrong)?;
        if exchange.server_closes {
            headers.set("connection", "close").map_err(wrong)?;
        }
        if let (Some(tunnel), Some(request)) = (&exchange.tunnel, &self.request) {
            self.machine.switch(request, PROTOCOL, &headers).map_err(wrong)?;
            self.out.take(&mut self.machine, usize::MAX);
            self.out.bytes.extend(&tunnel.from_peer);
            self.note_end();
            self.tunnel = Some(self.machine.take_buffered().into());
            return Ok(());
        }
        let content = if exchange.until_close { Content::None } else { exchange.response.content() };
        self.machine.respond(exchange.status, "Simulated", &headers, content, None).map_err(wrong)?;
        if exchange.until_close {
            self.machine.transmitted(self.machine.pending().concat().len());
            let head = format!("HTTP/1.1 {} Simulated\r\nx-number: {number}\r\n\r\n", exchange.status);
            self.out.bytes.extend(head.into_bytes());
            self.out.bytes.extend(exchange.response.data());
        } else {
            self.parts = exchange.response.parts();
        }
        Ok(())
    }

    /// Ends the exchange at the server, and does what the plan says next.
    fn end(&mut self, exchange: &Exchange) -> bool {
        self.number = None;
        self.note_end();
        match exchange.afterwards {
            // The server reads until the client has closed the connection. Otherwise the client might lose data that
            // was sent to it.
            _ if exchange.until_close => {
                self.broken = true;
                self.far.finish();
            }
            _ if self.machine.is_receiving() => self.broken = true,
            Some(fault) => self.commit(fault),
            None => {}
        }
        true
    }
}
