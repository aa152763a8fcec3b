//! The plan of a run: the requests, the server's responses, the way in which the client reads them, and the faults.

use degu_simulation::{Bytestream, Dice, Ending, Fault, Kind, Message, Reading, Transport, Trouble, headers};
use degu_wire::{Chunk, Headers, Method};

/// The exchanges of a run, one after the other.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) transport: Transport,
    /// The largest number of bytes in a piece of a body.
    pub(super) most: usize,
    /// True if the client can check its stream without reading, as it can check a socket.
    pub(super) looks: bool,
    /// True if the future is sometimes woken without a reason. Not every run has such wake-ups, because they could hide
    /// a lost wake-up.
    pub(super) nudges: bool,
    /// True if the run has a deadline. Then the clock may advance.
    pub(super) waits: bool,
}

/// A request, its response, and the faults of both.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method<'static>,
    pub(super) request: Message,
    pub(super) expects: bool,
    /// True if the request offers to switch to another protocol.
    pub(super) offers: bool,
    /// The bytes of the tunnel, if the server accepts the offer.
    pub(super) tunnel: Option<Bytestream>,
    pub(super) client_closes: bool,
    /// The number of parts that are left when the body of the request fails.
    pub(super) fails: Option<usize>,
    pub(super) status: u16,
    pub(super) response: Message,
    pub(super) server_closes: bool,
    /// True if the response has no framing, and ends with the connection.
    pub(super) until_close: bool,
    pub(super) interim: usize,
    pub(super) serving: Serving,
    /// True if the server reads nothing while it sends the response.
    pub(super) writes_first: bool,
    /// The server's fault while it sends the response.
    pub(super) trouble: Option<Trouble>,
    /// The server's fault after the exchange. Garbage is an unsolicited response.
    pub(super) afterwards: Option<Fault>,
    pub(super) reading: Reading,
    /// True if the exchange owns its connection, and the response is forwarded as the source of another message.
    pub(super) is_owned: bool,
    /// The number of polls after which the request's future is dropped. `None` if it is not dropped.
    pub(super) gives_up: Option<usize>,
    pub(super) gives_up_reading: bool,
    /// True if the caller asks before and after the exchange whether the connection is closed.
    pub(super) asks: bool,
    pub(super) seed: u64,
}

/// The time at which the server answers, and the treatment of the rest of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// The server answers when it has read the request.
    After,
    /// The server answers at once, and then reads the rest of the request.
    Early,
    /// The server answers at once, and does not read the rest of the request.
    Instead,
}

const UNSOLICITED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong";

const GARBAGE: &[&[u8]] = &[
    b"\x00\x01\x02\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
];

/// The length of a huge body, in bytes. The driver needs more than two turns to send it.
const HUGE: usize = 5 << 19;

impl Plan {
    pub(super) fn random(dice: &mut Dice, waits: bool) -> Self {
        let mut most = *dice.pick(&[100, 3_000, 3_000, 30_000, 200_000]);
        let looks = dice.one_in(2);
        let exchanges = 0..1 + dice.below(6);
        let mut exchanges: Vec<_> =
            exchanges.map(|number| Exchange::random(dice, number, most, looks, waits)).collect();
        // After 1 MiB of a body, the driver lets other tasks run.
        if dice.one_in(100) {
            most = HUGE;
            exchanges[0].method = Method::Put;
            exchanges[0].request = Message::new(Kind::Bytes, [Chunk::new(dice.bytes(HUGE))]);
            exchanges[0].fails = None;
        }
        // A tunnel has no deadline, and is the last exchange.
        if let Some(last) = exchanges.last_mut()
            && !waits
            && dice.one_in(3)
        {
            let ending = *dice.pick(&[Ending::PeerFirst, Ending::DriverFirst]);
            last.switch(Bytestream::random(dice, most, ending));
        }
        let transport = *dice.pick(&[Transport::Tcp, Transport::Unix]);
        Self { exchanges, transport, most, looks, nudges: dice.one_in(2), waits }
    }

    /// Returns a plan for the blocking client, over a stream that behaves like a socket, or over a stream that can only
    /// be read and written.
    pub(super) fn blocking(dice: &mut Dice) -> Self {
        let mut plan = Self::random(dice, false);
        for exchange in &mut plan.exchanges {
            if !plan.looks {
                // Over such a stream, the client sends the whole request before it reads.
                (exchange.expects, exchange.writes_first) = (false, false);
                // The client cannot half-close such a stream.
                exchange.tunnel.iter_mut().for_each(|tunnel| tunnel.ending = Ending::PeerFirst);
            }
            (exchange.is_owned, exchange.gives_up, exchange.gives_up_reading) = (false, None, false);
        }
        plan
    }
}

impl Exchange {
    fn random(dice: &mut Dice, number: usize, most: usize, looks: bool, waits: bool) -> Self {
        let (method, request) = Message::request(dice, most);
        let parts = request.parts().len();
        let (status, response) = match dice.below(10) {
            0 => (204, Message::none()),
            1 => (404, Message::random(dice, 100)),
            _ => (200, Message::random(dice, most)),
        };
        let until_close = response.kind != Kind::None && method != Method::Head && dice.one_in(12);
        let mut trouble = None;
        if dice.one_in(if waits { 2 } else { 6 }) {
            let fault = match dice.below(3) {
                _ if waits => Fault::Stall,
                0 => Fault::Close,
                1 => Fault::Reset,
                // A response to HEAD has no body, so its body cannot be malformed.
                _ if method == Method::Head => Fault::Garbage(GARBAGE[dice.below(4)]),
                _ => Fault::Garbage(GARBAGE[dice.below(GARBAGE.len())]),
            };
            trouble = Some(Trouble::sending(number, fault, dice));
        }
        let afterwards = match dice.below(14) {
            0 => Some(Fault::Close),
            1 => Some(Fault::Reset),
            2 if looks => Some(Fault::Garbage(UNSOLICITED)),
            _ => None,
        };
        let serving = *dice.pick(&[Serving::After, Serving::After, Serving::After, Serving::Early, Serving::Instead]);
        let is_owned = dice.one_in(10);
        Self {
            method,
            expects: request.kind != Kind::None && dice.one_in(5),
            offers: dice.one_in(6),
            tunnel: None,
            fails: (parts > 0 && dice.one_in(12)).then(|| 1 + dice.below(parts)),
            request,
            client_closes: dice.one_in(20),
            status,
            response,
            // A server that does not read the request has to send `connection: close`.
            server_closes: serving == Serving::Instead || dice.one_in(20),
            until_close,
            interim: dice.below(8).saturating_sub(5),
            serving,
            writes_first: dice.one_in(4),
            trouble,
            afterwards,
            reading: if is_owned { Reading::Parts } else { Reading::random(dice) },
            is_owned,
            gives_up: dice.one_in(8).then(|| dice.below(8)),
            gives_up_reading: dice.one_in(2),
            asks: dice.one_in(2),
            seed: dice.digest(),
        }
    }

    /// Makes this the exchange in which the server switches to another protocol.
    fn switch(&mut self, tunnel: Bytestream) {
        (self.offers, self.tunnel) = (true, Some(tunnel));
        (self.status, self.response) = (101, Message::none());
        (self.serving, self.afterwards, self.is_owned) = (Serving::After, None, false);
        // The server of a tunnel sends its bytes only after it has received the bytes of the client, if the client ends first.
        self.writes_first = false;
        (self.client_closes, self.server_closes, self.until_close) = (false, false, false);
    }

    /// Returns the header fields of the request.
    pub(super) fn headers(&self) -> Headers {
        headers(self.expects, self.client_closes)
    }

    /// Returns the body that the client receives.
    pub(super) fn body(&self) -> Message {
        match self.method {
            Method::Head => Message::none(),
            _ => self.response.clone(),
        }
    }

    /// Returns whether the way of reading keeps the boundaries of chunks.
    pub(super) fn reads_chunks(&self) -> bool {
        self.reading.keeps_chunks() && !self.until_close
    }

    /// Returns whether the connection can be used again if all of this succeeds.
    pub(super) fn persists(&self) -> bool {
        let rejected = self.request.kind != Kind::None && self.serving != Serving::After;
        !(self.client_closes || self.server_closes || self.until_close || rejected || self.fails.is_some())
    }
}
