//! A peer, which sends the requests of its plan, commits the planned fault, and checks the responses. A peer may also have
//! one side of a tunnel.

use std::collections::VecDeque;

use degu_simulation::{Bytestream, Dice, End, Ending, Far, Fault, Outbox, Seen, Trouble, headers, send_part, tell};
use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Headers, Limits, Method, Part};

use super::judge::allow;
use super::plan::{Answer, Caller};

/// A request that has been begun, and whose response has not arrived in full.
pub(super) struct Open {
    /// Each request has a machine of its own, because a machine cannot pipeline requests.
    pub(super) machine: Connection<Client>,
    pub(super) parts: VecDeque<Part>,
    pub(super) head: Option<Head>,
    pub(super) seen: Seen,
}

pub(super) struct Head {
    pub(super) status: u16,
    /// True if the response is from the server itself, and not from the app.
    pub(super) is_refusal: bool,
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
    pub(super) out: Outbox,
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
            out: Outbox::default(),
            writes: true,
            reads: true,
            over: false,
            had_trouble: false,
            read: 0,
            said_close: false,
            abandons: false,
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
        for turn in dice.turns(2) {
            let done = if turn == 0 { self.write(dice) } else { self.read(dice, conditions) };
            if done.map_err(|error| format!("connection {}, {error}; {:?}", self.number, self.far))? {
                return Ok(true);
            }
        }
        Ok(self.leave())
    }

    /// Ends the connection as planned, if all responses have arrived. Returns whether it did.
    fn leave(&mut self) -> bool {
        let all = self.begun == self.caller.exchanges.len() && self.open.is_empty() && self.out.bytes.is_empty();
        if !self.writes || !all {
            return false;
        }
        tell(|| format!("{}: has received all responses, {:?}", self.number, self.caller.leaves));
        self.commit(self.caller.leaves, false);
        self.caller.leaves != Fault::Stall
    }

    /// Sends some bytes of a request, or of a tunnel. Returns whether something happened.
    fn write(&mut self, dice: &mut Dice) -> Result<bool, String> {
        if !self.writes {
            return Ok(false);
        }
        let has_begun = self.out.bytes.is_empty() && self.fill(dice)?;
        let last = (self.answered + self.open.len()).checked_sub(1);
        let trouble = last.and_then(|number| self.next_trouble(number, false));
        let is_last = match &self.tunnel {
            // In an exchange with an offer, the bytes of the tunnel follow the request.
            Some(tunnel) => tunnel.is_open && tunnel.has_queued_all(),
            None => self.open.back().is_none_or(|open| !open.machine.is_sending() && open.machine.is_flushed()),
        };
        let (has_sent, due) = self.out.send(&self.far, trouble, is_last, dice);
        if let Some(trouble) = due {
            self.make(trouble);
        } else if let Some(tunnel) = &self.tunnel
            && is_last
            && self.out.bytes.is_empty()
            && (tunnel.plan.ending != Ending::DriverFirst || tunnel.has_ended)
        {
            tell(|| format!("{}: ends its side of the tunnel", self.number));
            (self.writes, self.over) = (false, tunnel.has_ended);
            self.far.finish();
            return Ok(true);
        }
        Ok(has_begun || has_sent || due.is_some())
    }

    /// Finds the next bytes to send: of the request that was begun last, of the tunnel, or of the next request. Returns
    /// whether a request was begun.
    fn fill(&mut self, dice: &mut Dice) -> Result<bool, String> {
        let unsent = |open: &&mut Open| open.machine.is_sending() || !open.machine.is_flushed();
        if let Some(open) = self.open.back_mut().filter(unsent) {
            while open.machine.is_sending() && open.machine.may_send_body() && open.machine.has_room() {
                send_part(&mut open.machine, &mut open.parts)?;
            }
            // If the peer abandons the request, it does not send the bytes that the machine still has.
            self.out.take(&mut open.machine, 1 + dice.length(100_000));
            return Ok(false);
        }
        match &mut self.tunnel {
            Some(tunnel) => self.out.bytes.extend(tunnel.queue()),
            None => return self.begin(),
        }
        Ok(false)
    }

    /// Returns whether the peer reads nothing now, because it first sends its whole request. If the app does not read
    /// the request, the peer reads, because otherwise both would wait until a deadline.
    pub(super) fn must_write_first(&self) -> bool {
        let exchange = &self.caller.exchanges.get(self.answered);
        let is_read = exchange.is_some_and(|exchange| !exchange.leaves_body() && exchange.expected().is_some());
        let sends = |open: &Open| {
            let has_bytes = !open.machine.is_flushed() || !self.out.bytes.is_empty();
            has_bytes || open.machine.is_sending() && open.machine.may_send_body()
        };
        let sends = self.open.back().is_some_and(sends);
        self.caller.writes_first && self.writes && is_read && sends && !self.far.is_dropped()
    }

    /// Begins the next request, if the plan has one and allows it now. Returns whether it did.
    fn begin(&mut self) -> Result<bool, String> {
        let Some(exchange) = self.caller.exchanges.get(self.begun) else { return Ok(false) };
        let done = self.open.iter().all(|open| open.head.is_none() || self.caller.depth > 1);
        if self.said_close || self.open.len() >= self.caller.depth || !done {
            return Ok(false);
        }
        let mut machine = Connection::<Client>::new(Limits::DEFAULT);
        let number = self.begun;
        self.begun += 1;
        self.out.sent = 0;
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number);
        if let Some(Fault::Garbage(bytes)) = trouble.map(|trouble| trouble.fault) {
            tell(|| format!("{}: sends garbage as {number}", self.number));
            machine.request(Method::Get, "/", "a", &Headers::new(), Content::None).map_err(|e| e.to_string())?;
            machine.transmitted(machine.pending().concat().len());
            self.out.bytes = bytes.to_vec().into();
            self.had_trouble = true;
            self.begun = self.caller.exchanges.len();
        } else {
            let target = format!("/{}/{number}", self.number);
            let headers = headers(exchange.expects, exchange.client_closes);
            if exchange.client_closes {
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
        self.open.push_back(Open { machine, parts, head: None, seen: Seen::default() });
        Ok(true)
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
        self.commit(trouble.fault, trouble.is_reading);
    }

    fn commit(&mut self, fault: Fault, is_reading: bool) {
        self.writes = false;
        if matches!(fault, Fault::Close | Fault::Reset) {
            (self.reads, self.over) = (false, true);
        }
        match fault {
            Fault::Finish => self.far.finish(),
            Fault::Close => self.far.close(),
            Fault::Reset => self.far.reset(),
            Fault::Stall => self.reads &= !is_reading,
            Fault::Garbage(_) => {}
        }
    }
}

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
    /// Returns the peer's side of this exchange's tunnel. Returns `None` if the plan has no tunnel for this exchange.
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
