//! The plan of a run: what is requested, how the server answers, how the answer is read, and which faults happen.

use degu_simulation::{Dice, Fault, Kind, Message, Transport, Trouble};
use degu_wire::Method;

use super::tunnel::Bytestream;

/// The exchanges of a run, one after the other.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) transport: Transport,
    /// The most bytes that a piece of a body has.
    pub(super) most: usize,
    /// The client can look at its stream without reading it, as it can at a socket.
    pub(super) looks: bool,
    /// The future is polled for nothing now and then. Not always: it may make up for a wake-up that is missing.
    pub(super) nudges: bool,
    /// A deadline is part of this run, so that the clock may move.
    pub(super) waits: bool,
}

/// A request, its answer, and what becomes of both.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method<'static>,
    pub(super) request: Message,
    pub(super) expects: bool,
    /// The request offers to go on in another protocol.
    pub(super) offers: bool,
    /// The bytes that follow if the server accepts that.
    pub(super) tunnel: Option<Bytestream>,
    pub(super) client_closes: bool,
    /// The body of the request fails when so many parts are left.
    pub(super) fails: Option<usize>,
    pub(super) status: u16,
    pub(super) response: Message,
    pub(super) server_closes: bool,
    /// The response has no framing, and ends with the connection.
    pub(super) until_close: bool,
    pub(super) interim: usize,
    pub(super) serving: Serving,
    /// The fault of the server instead of sending the response.
    pub(super) trouble: Option<Trouble>,
    /// The server's action after the exchange.
    pub(super) afterwards: Afterwards,
    pub(super) reading: Reading,
    /// The number of polls after which the request's future is dropped, if it is.
    pub(super) gives_up: Option<usize>,
    pub(super) gives_up_reading: bool,
    /// The caller asks whether the connection is closed, before it and after it.
    pub(super) asks: bool,
    pub(super) seed: u64,
}

/// When the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// When it has read the request.
    After,
    /// At once, and goes on reading.
    Early,
    /// At once, and reads no more.
    Instead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    GoesOn,
    /// Closes without having said so.
    Closes,
    Resets,
    /// Sends a response to nothing.
    Talks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    All,
    /// Whole, with a bound that it is over.
    TooMuch,
    Data,
    Chunks,
    Parts,
    /// By these in turn.
    Mixed,
    Reader,
    /// Some parts, and the rest is left.
    Some,
    Never,
    /// In an exchange that owns its connection, as the source of another message.
    Owned,
}

impl Reading {
    /// Returns how the next piece is read after so many: as data, as a whole chunk, or as a part.
    pub(super) fn next(self, pieces: usize, dice: &mut Dice) -> Piece {
        match self {
            Self::Data => Piece::Data,
            Self::Chunks => Piece::Chunk,
            // After a piece of a chunk there is no whole one.
            Self::Mixed if pieces == 0 => *dice.pick(&[Piece::Data, Piece::Chunk, Piece::Part]),
            Self::Mixed => *dice.pick(&[Piece::Data, Piece::Part]),
            _ => Piece::Part,
        }
    }
}

/// A way to read the next piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data,
    Chunk,
    Part,
}

const GARBAGE: &[&[u8]] = &[
    b"\x00\x01\x02\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
];

impl Plan {
    pub(super) fn random(dice: &mut Dice, waits: bool) -> Self {
        let most = *dice.pick(&[100, 3_000, 3_000, 30_000, 200_000]);
        let looks = dice.one_in(2);
        let exchanges = 0..1 + dice.below(6);
        let mut exchanges: Vec<_> =
            exchanges.map(|number| Exchange::random(dice, number, most, looks, waits)).collect();
        // A tunnel has no deadline, and nothing follows it.
        if let Some(last) = exchanges.last_mut()
            && !waits
            && dice.one_in(3)
        {
            last.switch(Bytestream::random(dice, most));
        }
        let transport = *dice.pick(&[Transport::Tcp, Transport::Unix]);
        Self { exchanges, transport, most, looks, nudges: dice.one_in(2), waits }
    }

    /// A plan for the blocking client, over a stream like a socket or over one that can only be read and written.
    pub(super) fn blocking(dice: &mut Dice) -> Self {
        let mut plan = Self::random(dice, false);
        for exchange in &mut plan.exchanges {
            if !plan.looks {
                // It sends all of a request before it reads.
                exchange.expects = false;
                // Nor can it half-close the stream.
                exchange.tunnel.iter_mut().for_each(|tunnel| tunnel.server_first = true);
            }
            if exchange.reading == Reading::Owned {
                exchange.reading = Reading::Reader;
            }
            (exchange.gives_up, exchange.gives_up_reading) = (None, false);
        }
        plan
    }
}

impl Exchange {
    fn random(dice: &mut Dice, number: usize, most: usize, looks: bool, waits: bool) -> Self {
        let method = *dice.pick(&[Method::Get, Method::Put, Method::Post, Method::Post, Method::Head]);
        let request = match method {
            Method::Get | Method::Head => Message::none(),
            _ => Message::random(dice, most),
        };
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
                // What follows the head of a response to HEAD is none of its body.
                _ if method == Method::Head => Fault::Garbage(GARBAGE[dice.below(4)]),
                _ => Fault::Garbage(GARBAGE[dice.below(GARBAGE.len())]),
            };
            let planned = Trouble::sending(number, fault, dice);
            let after = if matches!(fault, Fault::Garbage(_)) { 0 } else { planned.after };
            trouble = Some(Trouble { after, ..planned });
        }
        let afterwards = match dice.below(14) {
            0 => Afterwards::Closes,
            1 => Afterwards::Resets,
            2 if looks => Afterwards::Talks,
            _ => Afterwards::GoesOn,
        };
        let serving = *dice.pick(&[Serving::After, Serving::After, Serving::After, Serving::Early, Serving::Instead]);
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
            // Who does not read has to say so.
            server_closes: serving == Serving::Instead || dice.one_in(20),
            until_close,
            interim: dice.below(8).saturating_sub(5),
            serving,
            trouble,
            afterwards,
            reading: *dice.pick(&[
                Reading::All,
                Reading::TooMuch,
                Reading::Data,
                Reading::Chunks,
                Reading::Parts,
                Reading::Mixed,
                Reading::Mixed,
                Reading::Reader,
                Reading::Some,
                Reading::Never,
                Reading::Owned,
            ]),
            gives_up: dice.one_in(8).then(|| dice.below(8)),
            gives_up_reading: dice.one_in(2),
            asks: dice.one_in(2),
            seed: dice.digest(),
        }
    }

    /// Makes this the exchange in which the server accepts another protocol.
    fn switch(&mut self, tunnel: Bytestream) {
        (self.offers, self.tunnel) = (true, Some(tunnel));
        (self.status, self.response) = (101, Message::none());
        (self.serving, self.afterwards) = (Serving::After, Afterwards::GoesOn);
        (self.client_closes, self.server_closes, self.until_close) = (false, false, false);
        if self.reading == Reading::Owned {
            self.reading = Reading::Never;
        }
    }

    /// The body that comes back.
    pub(super) fn body(&self) -> Message {
        match self.method {
            Method::Head => Message::none(),
            _ => self.response.clone(),
        }
    }

    /// Returns whether it is read in such a way that chunks keep their bounds.
    pub(super) fn reads_chunks(&self) -> bool {
        let keeps = matches!(self.reading, Reading::Chunks | Reading::Parts | Reading::Some | Reading::Owned);
        keeps && !self.until_close
    }

    /// Returns whether the connection can be used again if all of this succeeds.
    pub(super) fn persists(&self) -> bool {
        let rejected = self.request.kind != Kind::None && self.serving != Serving::After;
        !(self.client_closes || self.server_closes || self.until_close || rejected || self.fails.is_some())
    }
}
