//! A peer, which sends the requests of its plan, commits the planned fault, and checks the responses.

use std::collections::VecDeque;

use degu_simulation::{Dice, Far, Fault, Seen, Trouble, tell};
use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Headers, Limits, Method, Part};

use super::plan::{Answer, Caller, Leave};
use super::tunnel::TunnelEnd;

/// A request that has been begun. Its response has not arrived in full.
pub(super) struct Open {
    /// Each request has a machine of its own, because a machine cannot pipeline requests.
    pub(super) machine: Connection<Client>,
    pub(super) parts: VecDeque<Part>,
    pub(super) sent: usize,
    pub(super) head: Option<Head>,
    pub(super) seen: Seen,
}

pub(super) struct Head {
    pub(super) status: u16,
    /// True if the response is from the server itself, and not from the app.
    pub(super) is_refusal: bool,
}

impl Open {
    /// Gives the machine the next part of the body, or the end of the body.
    pub(super) fn send_part(&mut self) -> Result<(), String> {
        let sent = match self.parts.pop_front() {
            Some(part) => self.machine.send_part(part),
            None => self.machine.finish_body(),
        };
        sent.map_err(|error| format!("the plan is wrong: {error}"))
    }

    /// Takes the bytes that the machine wants to send.
    pub(super) fn take_pending(&mut self) -> Vec<u8> {
        let pending = self.machine.pending().concat();
        self.machine.transmitted(pending.len());
        pending
    }
}

/// The state of a peer.
pub(super) struct Peer<'p> {
    pub(super) far: Far,
    pub(super) number: usize,
    pub(super) caller: &'p Caller,
    /// The number of requests that have been begun.
    pub(super) begun: usize,
    /// The number of responses that have arrived in full.
    pub(super) answered: usize,
    pub(super) open: VecDeque<Open>,
    /// The tunnel that the peer has offered.
    pub(super) tunnel: Option<TunnelEnd<'p>>,
    /// Bytes to send that do not come from a machine.
    pub(super) raw: VecDeque<u8>,
    /// True until the peer ends its direction of the connection.
    pub(super) writes: bool,
    /// True until the peer stops reading.
    pub(super) reads: bool,
    /// True when the peer does nothing more.
    pub(super) over: bool,
    /// True after the planned fault has happened.
    pub(super) had_trouble: bool,
    /// The number of bytes of the current response that have been read.
    pub(super) read: usize,
    /// True if a response had `connection: close`, or the peer has abandoned a request.
    pub(super) said_close: bool,
    /// True if the peer does not send the rest of a request, because the server has responded early and closes the
    /// connection.
    pub(super) abandons: bool,
    limits: std::sync::Arc<Limits>,
}

/// Conditions of the run that make more outcomes acceptable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conditions {
    /// The server is stopping.
    pub(super) draining: bool,
    /// The server is stopping, and does not wait for exchanges.
    pub(super) aborting: bool,
    /// The server sends no response to faults.
    pub(super) silent: bool,
    /// Time has passed, so deadlines may have expired.
    pub(super) late: bool,
}

impl<'p> Peer<'p> {
    pub(super) fn new(number: usize, caller: &'p Caller, far: Far) -> Self {
        Self {
            far,
            number,
            caller,
            begun: 0,
            answered: 0,
            open: VecDeque::new(),
            tunnel: None,
            raw: VecDeque::new(),
            writes: true,
            reads: true,
            over: false,
            had_trouble: false,
            read: 0,
            said_close: false,
            abandons: false,
            limits: std::sync::Arc::new(Limits::DEFAULT),
        }
    }

    /// Returns whether both the peer and the driver have ended the connection.
    pub(super) fn is_done(&self) -> bool {
        self.over && self.far.is_dropped()
    }

    /// Takes one step. Returns `false` if no step is possible.
    pub(super) fn step(&mut self, dice: &mut Dice, conditions: Conditions) -> Result<bool, String> {
        if self.over {
            return Ok(false);
        }
        let order = dice.below(2);
        for turn in [order, 1 - order] {
            let done = if turn == 0 { self.write(dice) } else { self.read(dice, conditions) };
            if done.map_err(|error| format!("connection {}, {error}; {:?}", self.number, self.far))? {
                return Ok(true);
            }
        }
        Ok(self.leave())
    }

    /// Ends the connection as planned, if all responses have arrived. Returns whether it did.
    fn leave(&mut self) -> bool {
        let all = self.begun == self.caller.exchanges.len() && self.open.is_empty() && self.raw.is_empty();
        if !self.writes || !all {
            return false;
        }
        tell(|| format!("{}: has received all responses, {:?}", self.number, self.caller.leaves));
        self.writes = false;
        match self.caller.leaves {
            Leave::Close => self.close(),
            Leave::Finish => self.far.finish(),
            Leave::Stay => return false,
        }
        true
    }

    fn close(&mut self) {
        (self.writes, self.reads, self.over) = (false, false, true);
        self.far.close();
    }

    fn write(&mut self, dice: &mut Dice) -> Result<bool, String> {
        if !self.writes {
            return Ok(false);
        }
        if !self.raw.is_empty() {
            let bytes: Vec<u8> = self.raw.iter().copied().take(dice.portion(self.raw.len())).collect();
            let sent = self.far.send(&bytes);
            self.raw.drain(..sent);
            return Ok(sent > 0);
        }
        let unsent = |open: &Open| open.machine.is_sending() || !open.machine.is_flushed();
        match self.open.iter().position(unsent) {
            Some(at) => self.send(at, dice),
            None if self.tunnel.is_some() => Ok(self.write_tunnel(dice)),
            None => self.begin(),
        }
    }

    /// Returns whether the peer reads nothing now, because it first sends its whole request. If the app does not read
    /// the request, the peer reads, because otherwise both would wait until a deadline.
    pub(super) fn must_write_first(&self) -> bool {
        let exchange = &self.caller.exchanges.get(self.answered);
        let is_read = exchange.is_some_and(|exchange| !exchange.leaves_body() && exchange.expected().is_some());
        let sends =
            |open: &Open| !open.machine.is_flushed() || open.machine.is_sending() && open.machine.may_send_body();
        self.caller.writes_first && self.writes && is_read && self.open.iter().any(sends) && !self.far.is_dropped()
    }

    /// Begins the next request, if the plan has one and allows it now. Returns whether it did.
    fn begin(&mut self) -> Result<bool, String> {
        let Some(exchange) = self.caller.exchanges.get(self.begun) else { return Ok(false) };
        let done = self.open.iter().all(|open| open.head.is_none() || self.caller.depth > 1);
        if self.said_close || self.open.len() >= self.caller.depth || !done {
            return Ok(false);
        }
        let mut machine = Connection::<Client>::new(self.limits.clone());
        let number = self.begun;
        self.begun += 1;
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number);
        if let Some(Fault::Garbage(bytes)) = trouble.map(|trouble| trouble.fault) {
            tell(|| format!("{}: sends garbage as {number}", self.number));
            machine.request(Method::Get, "/", "a", &Headers::new(), Content::None).map_err(|e| e.to_string())?;
            machine.transmitted(machine.pending().concat().len());
            self.raw = bytes.to_vec().into();
            self.had_trouble = true;
            self.begun = self.caller.exchanges.len();
        } else {
            let target = format!("/{}/{number}", self.number);
            let mut headers = Headers::new();
            if exchange.expects {
                headers.set("expect", "100-continue").map_err(|e| e.to_string())?;
            }
            if exchange.client_closes {
                headers.set("connection", "close").map_err(|e| e.to_string())?;
                self.begun = self.caller.exchanges.len();
            }
            let content = exchange.request.content();
            self.tunnel = TunnelEnd::of(self.caller, number);
            match &self.tunnel {
                Some(_) => machine.upgrade(exchange.method, &target, "a", &headers, "tcp", content),
                None => machine.request(exchange.method, &target, "a", &headers, content),
            }
            .map_err(|error| error.to_string())?;
            tell(|| format!("{}: begins {number}", self.number));
        }
        let parts = exchange.request.parts();
        self.open.push_back(Open { machine, parts, sent: 0, head: None, seen: Seen::default() });
        Ok(true)
    }

    /// Sends some bytes of an open request. Returns whether something happened.
    fn send(&mut self, at: usize, dice: &mut Dice) -> Result<bool, String> {
        let number = self.answered + at;
        let trouble = self.next_trouble(number, false);
        let open = &mut self.open[at];
        while open.machine.is_sending() && open.machine.may_send_body() && open.machine.has_room() {
            open.send_part()?;
        }
        let pending = open.machine.pending().concat();
        let until = trouble.map_or(usize::MAX, |trouble| trouble.after.saturating_sub(open.sent));
        let most = pending.len().min(until);
        let sent = self.far.send(&pending[..dice.portion(most)]);
        open.machine.transmitted(sent);
        open.sent += sent;
        // In an exchange with an offer, the bytes of the tunnel follow the request.
        let is_offer = matches!(self.caller.exchanges[number].answer, Answer::Switch(_));
        let at_end = !is_offer && !open.machine.is_sending() && open.machine.is_flushed();
        match trouble {
            Some(trouble) if at_end || sent == until => {
                self.make(trouble);
                Ok(true)
            }
            _ => Ok(sent > 0),
        }
    }

    /// Returns the planned fault, if it belongs to this exchange and has not happened yet. `is_reading` is true if the
    /// peer is about to read, and false if it is about to send.
    pub(super) fn next_trouble(&self, number: usize, is_reading: bool) -> Option<Trouble> {
        let is_next = |trouble: &Trouble| trouble.at == number && trouble.is_reading == is_reading;
        self.caller.trouble.filter(is_next).filter(|_| !self.had_trouble)
    }

    /// Commits the planned fault.
    pub(super) fn make(&mut self, trouble: Trouble) {
        tell(|| format!("{}: {trouble:?}", self.number));
        self.had_trouble = true;
        match trouble.fault {
            Fault::Finish => self.far.finish(),
            Fault::Close => self.close(),
            Fault::Reset => {
                (self.reads, self.over) = (false, true);
                self.far.reset();
            }
            Fault::Stall => self.reads &= !trouble.is_reading,
            Fault::Garbage(_) => {}
        }
        self.writes = false;
    }
}
