//! The plan of a run: the peers that connect, their requests, the answers of the app, and the faults.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use degu_simulation::{Bytestream, Dice, Ending, Fault, Kind, Message, Reading, Transport, Trouble};
use degu_wire::Method;

/// The connections of a run, and the end of the run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) callers: Vec<Caller>,
    /// The number of steps after which the server stops, and the kind of the stop.
    pub(super) stop: Option<(usize, Stop)>,
    /// True if the server sends no response to faults.
    pub(super) silent: bool,
    /// True if `on_connect` waits.
    pub(super) hesitates: bool,
    /// True if the driver busy-polls for requests.
    pub(super) spins: bool,
    /// True if the server reports each exchange.
    pub(super) reports: bool,
    /// True if tasks are sometimes woken without a reason. Not every run has such wake-ups, because they could hide a
    /// lost wake-up.
    pub(super) nudges: bool,
    /// True if the clock advances when no step is possible. Then a deadline expires, or the worker notices that a peer
    /// is gone.
    pub(super) waits: bool,
}

/// The kind of a stop of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Exchanges may finish.
    Drain,
    /// Connections end at once.
    Abort,
}

impl Stop {
    /// Returns the number of steps before a stop, and the kind of the stop.
    fn random(dice: &mut Dice) -> (usize, Self) {
        (dice.below(400), *dice.pick(&[Self::Drain, Self::Drain, Self::Abort]))
    }
}

/// The plan of a connection and its peer.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) transport: Transport,
    /// The largest number of bytes in a piece of a body.
    pub(super) most: usize,
    pub(super) exchanges: Vec<Exchange>,
    /// The largest number of requests that are open at the same time (pipelining).
    pub(super) depth: usize,
    /// True if the peer reads nothing before its request has been sent, as many clients do.
    pub(super) writes_first: bool,
    /// The peer's action after all responses have arrived. A peer that stalls does nothing, even after the server has
    /// ended the connection.
    pub(super) leaves: Fault,
    pub(super) trouble: Option<Trouble>,
}

/// The plan of an exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method<'static>,
    pub(super) request: Message,
    pub(super) expects: bool,
    pub(super) client_closes: bool,
    pub(super) reading: Reading,
    pub(super) reader: Reader,
    /// Two flags: the app waits for something else before it reads, and before it answers.
    pub(super) pauses: (bool, bool),
    /// True if the app waits until the server stops.
    pub(super) until_closing: bool,
    pub(super) answer: Answer,
    pub(super) server_closes: bool,
    pub(super) seed: u64,
    /// True after the app has received the request.
    pub(super) handled: AtomicBool,
}

/// The task in which the app reads a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Handler,
    /// A task of its own. The handler waits for the task.
    Task,
    /// A task of its own. The handler does not wait for the task.
    Beside,
}

#[derive(Debug)]
pub(super) enum Answer {
    Message(u16, Message),
    /// The request's body. The app reads this number of bytes before it answers.
    Echo(usize),
    /// A body that fails when this number of parts are left.
    Breaks(Message, usize),
    Error,
    Panic,
    /// A tunnel. The app accepts the offer to switch to another protocol. The peer sends this number of the tunnel's
    /// bytes before it has the response to its offer.
    Switch(Bytestream, usize),
    /// The app waits until it is dropped. If the body is chunked, it first sends these chunks. Otherwise it does not
    /// respond.
    Waits(Message),
}

/// Bytes that are not a valid request.
const GARBAGE: &[&[u8]] = &[
    b"\x00\x01\x02\r\n\r\n",
    b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/3.1\r\nhost: a\r\n\r\n",
    b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
];

impl Plan {
    /// Plans a run in which the clock stands still.
    pub(super) fn without_clock(dice: &mut Dice) -> Self {
        let stop = dice.one_in(6).then(|| Stop::random(dice));
        let stays = stop.is_some_and(|(_, stop)| stop == Stop::Drain);
        let mut callers: Vec<_> = (0..1 + dice.below(4)).map(|_| Caller::random(dice, false, stays)).collect();
        for exchange in callers.iter_mut().flat_map(|caller| &mut caller.exchanges) {
            exchange.until_closing = stays && dice.one_in(8);
        }
        let (silent, hesitates) = (dice.one_in(5), dice.one_in(4));
        let (spins, reports, nudges) = (dice.one_in(4), dice.one_in(3), dice.one_in(2));
        Self { callers, stop, silent, hesitates, spins, reports, nudges, waits: false }
    }

    /// Plans a run in which deadlines expire.
    pub(super) fn of_deadlines(dice: &mut Dice) -> Self {
        let callers: Vec<_> = (0..1 + dice.below(3)).map(|_| Caller::random(dice, true, true)).collect();
        let stop = dice.one_in(4).then(|| Stop::random(dice));
        let (silent, spins, reports) = (dice.one_in(5), dice.one_in(4), dice.one_in(3));
        Self { callers, stop, silent, hesitates: false, spins, reports, nudges: false, waits: true }
    }
}

impl Caller {
    fn random(dice: &mut Dice, waits: bool, stays: bool) -> Self {
        let transport = *dice.pick(&[Transport::Tcp, Transport::Unix]);
        let most = *dice.pick(&[100, 3_000, 3_000, 30_000, 200_000]);
        let count = 1 + dice.below(6);
        let mut exchanges: Vec<_> = (0..count).map(|_| Exchange::random(dice, most)).collect();
        if dice.one_in(4)
            && let Some(last) = exchanges.last_mut()
        {
            last.method = *dice.pick(&[Method::Get, Method::Post]);
            last.request = if last.method == Method::Get { Message::none() } else { Message::random(dice, 100) };
            last.expects &= last.request.kind != Kind::None;
            (last.reading, last.reader) = (*dice.pick(&[Reading::All, Reading::Never]), Reader::Handler);
            (last.client_closes, last.server_closes) = (false, false);
            last.answer = Answer::switch(dice, most, last.expects);
        }
        let mut trouble = None;
        if waits || dice.one_in(3) {
            let fault = match dice.below(if waits { 6 } else { 8 }) {
                0 => Fault::Finish,
                1 | 2 => Fault::Close,
                _ if waits => Fault::Stall,
                3 | 4 => Fault::Reset,
                _ => Fault::Garbage(GARBAGE[dice.below(GARBAGE.len())]),
            };
            let mut planned = Trouble::sending(dice.below(count), fault, dice);
            planned.is_reading = matches!(fault, Fault::Close | Fault::Reset | Fault::Stall) && dice.one_in(3);
            // If the clock stands still, the driver does not notice two things: a FIN over TCP, because it could be a
            // half-close, and an end after unread input.
            let is_noticed = match fault {
                Fault::Reset => waits || !planned.is_reading,
                Fault::Close => waits || transport == Transport::Unix && !planned.is_reading,
                Fault::Finish => waits && transport == Transport::Tcp,
                Fault::Stall | Fault::Garbage(_) => false,
            };
            if is_noticed && dice.one_in(2) {
                // The app waits forever, so the driver must drop it.
                let is_fit = |message: &Message| message.kind == Kind::Chunked || !planned.is_reading;
                let message = std::iter::repeat_with(|| Message::random(dice, most)).find(is_fit);
                let exchange = &mut exchanges[planned.at];
                exchange.answer = message.map_or(Answer::Error, Answer::Waits);
                exchange.expects = false;
                if exchange.method == Method::Head {
                    // A response to HEAD would be complete after its head.
                    exchange.method = Method::Get;
                }
                // The fault happens before the end of a head.
                planned.after = dice.below(60);
            }
            trouble = Some(planned);
        }
        let leaves = [Fault::Close, Fault::Finish, Fault::Stall][dice.below(if stays { 3 } else { 2 })];
        let depth = *dice.pick(&[1, 1, 2, 20]);
        let writes_first = depth == 1 && most <= 3_000 && dice.one_in(2);
        Self { transport, most, exchanges, depth, writes_first, leaves, trouble }
    }

    /// Returns whether the peer commits a fault of this kind in this exchange or in an earlier one.
    pub(super) fn has_trouble(&self, exchange: usize, fault: impl Fn(Fault) -> bool) -> bool {
        self.trouble.is_some_and(|trouble| trouble.at <= exchange && fault(trouble.fault))
    }
}

impl Answer {
    /// Plans a tunnel. If `expects` is true, the body of the request waits for `100 Continue`, so no byte of the tunnel
    /// can be sent before the response.
    fn switch(dice: &mut Dice, most: usize, expects: bool) -> Self {
        let ending = match dice.below(8) {
            0 => Ending::Fails,
            1 => Ending::Panics,
            2..5 => Ending::PeerFirst,
            _ => Ending::DriverFirst,
        };
        let stream = Bytestream::random(dice, most, ending);
        // Bytes that arrive before the response may be in the same buffer as the request.
        let ahead = dice.below(stream.from_peer.len() + 1).min(1_000);
        let ahead = if !expects && dice.one_in(2) { ahead } else { 0 };
        Self::Switch(stream, ahead)
    }
}

impl Exchange {
    fn random(dice: &mut Dice, most: usize) -> Self {
        let (method, request) = Message::request(dice, most);
        let mut reading = match Reading::random(dice) {
            Reading::TooMuch | Reading::Own => Reading::Mixed,
            reading => reading,
        };
        let mut reader = *dice.pick(&[Reader::Handler, Reader::Handler, Reader::Handler, Reader::Task, Reader::Beside]);
        let mut answer = Answer::Message(200, Message::random(dice, most));
        match dice.below(24) {
            0..6 => {
                (reading, reader) = (Reading::Never, Reader::Handler);
                answer = Answer::Echo(dice.below(3) * dice.below(1_000));
            }
            6 => {
                let message = Message::random(dice, most);
                let parts = message.parts().len();
                if parts > 0 && message.length() > 0 {
                    let left = 1 + dice.below(parts);
                    answer = Answer::Breaks(message, left);
                }
            }
            7 => answer = Answer::Error,
            8 => answer = Answer::Panic,
            9 => answer = Answer::Message(204, Message::none()),
            10 => answer = Answer::Message(404, Message::random(dice, 100)),
            _ => {}
        }
        Self {
            method,
            expects: request.kind != Kind::None && dice.one_in(6),
            request,
            client_closes: dice.one_in(20),
            reading,
            reader,
            pauses: (dice.one_in(3), dice.one_in(3)),
            until_closing: false,
            answer,
            server_closes: dice.one_in(20),
            seed: dice.digest(),
            handled: AtomicBool::new(false),
        }
    }

    /// Returns whether the app may leave a part of the body unread.
    pub(super) fn leaves_body(&self) -> bool {
        let partly = self.reader == Reader::Beside || matches!(self.reading, Reading::Some | Reading::Never);
        partly && !matches!(self.answer, Answer::Echo(_)) && self.request.kind != Kind::None
    }

    /// Returns whether the connection may end because of the unread rest of the body, although the response has no
    /// `connection: close`. If the body has a length, the server knows the length of the rest when it responds, and can
    /// announce the end.
    pub(super) fn may_end_it(&self) -> bool {
        self.leaves_body() && (self.request.kind == Kind::Chunked || self.reader == Reader::Beside)
    }

    /// Returns the status and the body of the response. Returns `None` if the response need not arrive in full.
    pub(super) fn expected(&self) -> Option<(u16, &Message)> {
        match &self.answer {
            Answer::Message(status, message) => Some((*status, message)),
            Answer::Echo(_) => Some((200, &self.request)),
            // A response to HEAD has no body, so its body cannot fail.
            Answer::Breaks(message, _) if self.method == Method::Head => Some((200, message)),
            _ => None,
        }
    }

    pub(super) fn is_handled(&self) -> bool {
        self.handled.load(Relaxed)
    }
}
