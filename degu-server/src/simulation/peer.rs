//! The peer: it sends the requests of the plan, does what goes wrong in it, and judges what comes back.

use std::collections::VecDeque;

use degu_simulation::{Dice, Far, Fault, Seen, Trouble, tell};
use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Headers, Limits, Method, Part};

use super::plan::{Answer, Caller, Leave};
use super::tunnel::TunnelEnd;

/// A request that has been begun, and not been answered in full.
pub(super) struct Open {
    /// Each has a machine of its own, which is what makes pipelining possible.
    pub(super) machine: Connection<Client>,
    pub(super) parts: VecDeque<Part>,
    pub(super) sent: usize,
    pub(super) head: Option<Head>,
    pub(super) seen: Seen,
}

pub(super) struct Head {
    pub(super) status: u16,
    /// It is the server's word on what went wrong, instead of what was planned.
    pub(super) is_refusal: bool,
}

/// One end of a connection, whose other end is the driver's.
pub(super) struct Peer<'p> {
    pub(super) far: Far,
    pub(super) number: usize,
    pub(super) caller: &'p Caller,
    /// The number of requests that have been begun.
    pub(super) begun: usize,
    /// The number of requests that have been answered in full.
    pub(super) answered: usize,
    pub(super) open: VecDeque<Open>,
    /// The tunnel that was offered.
    pub(super) tunnel: Option<TunnelEnd<'p>>,
    /// Bytes that are no request of a machine.
    pub(super) raw: VecDeque<u8>,
    pub(super) writes: bool,
    pub(super) reads: bool,
    pub(super) over: bool,
    pub(super) had_trouble: bool,
    /// Bytes of the response under way that have been read.
    pub(super) read: usize,
    pub(super) said_close: bool,
    /// A request is not sent to its end, because its response says that nobody reads it.
    pub(super) abandons: bool,
    limits: std::sync::Arc<Limits>,
}

/// Conditions of the whole run that excuse the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) draining: bool,
    pub(super) aborting: bool,
    pub(super) silent: bool,
    /// Time has passed, so that deadlines may be over.
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

    /// Returns whether nothing is left to do, and the driver has let go of its end.
    pub(super) fn is_done(&self) -> bool {
        self.over && self.far.is_dropped()
    }

    /// Does one thing, if there is one to do.
    pub(super) fn step(&mut self, dice: &mut Dice, weather: Weather) -> Result<bool, String> {
        if self.over {
            return Ok(false);
        }
        let order = dice.below(2);
        for turn in [order, 1 - order] {
            let done = if turn == 0 { self.write(dice) } else { self.read(dice, weather) };
            if done.map_err(|error| format!("connection {}, {error}; {:?}", self.number, self.far))? {
                return Ok(true);
            }
        }
        Ok(self.leave())
    }

    /// All that was asked has been answered, or nothing will be.
    fn leave(&mut self) -> bool {
        let all = self.begun == self.caller.exchanges.len() && self.open.is_empty() && self.raw.is_empty();
        if !self.writes || !all {
            return false;
        }
        tell(|| format!("{}: has got all, {:?}", self.number, self.caller.leaves));
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

    /// Returns whether it reads nothing now, because it has something to send first. Where the app does not read either, both
    /// would wait until a deadline ends it.
    pub(super) fn is_stubborn(&self) -> bool {
        let exchange = &self.caller.exchanges.get(self.answered);
        let is_read = exchange.is_some_and(|exchange| !exchange.leaves_body() && exchange.expected().is_some());
        let sends =
            |open: &Open| !open.machine.is_flushed() || open.machine.is_sending() && open.machine.may_send_body();
        self.caller.stubborn && self.writes && is_read && self.open.iter().any(sends) && !self.far.is_dropped()
    }

    /// Begins the next request, if there is one and it may be sent already.
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

    /// Sends some of a request.
    fn send(&mut self, at: usize, dice: &mut Dice) -> Result<bool, String> {
        let number = self.answered + at;
        let open = &mut self.open[at];
        while open.machine.is_sending() && open.machine.may_send_body() && open.machine.has_room() {
            let sent = match open.parts.pop_front() {
                Some(part) => open.machine.send_part(part),
                None => open.machine.finish_body(),
            };
            sent.map_err(|error| format!("the plan is wrong: {error}"))?;
        }
        let pending = open.machine.pending().concat();
        let trouble = self.caller.trouble.filter(|trouble| trouble.at == number && !trouble.is_reading);
        let until = trouble.map_or(usize::MAX, |trouble| trouble.after.saturating_sub(open.sent));
        let most = pending.len().min(until);
        let sent = self.far.send(&pending[..dice.portion(most)]);
        open.machine.transmitted(sent);
        open.sent += sent;
        // A request that offers a tunnel is followed by the bytes of that.
        let is_offer = matches!(self.caller.exchanges[number].answer, Answer::Switch(_));
        let at_end = !is_offer && !open.machine.is_sending() && open.machine.is_flushed();
        match trouble {
            Some(trouble) if (at_end || sent == until) && !self.had_trouble => {
                self.make(trouble);
                Ok(true)
            }
            _ => Ok(sent > 0),
        }
    }

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
