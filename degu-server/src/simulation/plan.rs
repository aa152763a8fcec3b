//! The plan of a run: which peers connect, what they request, how the app answers, and which faults happen.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use degu_simulation::{Dice, Fault, Kind, Message, Transport, Trouble};
use degu_wire::Method;

use super::tunnel::Bytestream;

/// The connections of a run, and how it ends.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) callers: Vec<Caller>,
    /// The server is stopped when so many steps have been taken, in this way.
    pub(super) stop: Option<(usize, Stop)>,
    pub(super) silent: bool,
    /// One connection in so many is asked whether it is wanted, and thought about.
    pub(super) hesitates: bool,
    /// The driver looks for requests before it waits.
    pub(super) looks: bool,
    /// Somebody is woken for nothing now and then. Not always: it may make up for a wake-up that is missing.
    pub(super) nudges: bool,
    /// Nothing moves for a while, so that the clock has to: a deadline, or the sweep that finds out who is gone.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Drain,
    Abort,
}

/// A connection, as its peer means to use it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) transport: Transport,
    /// The most bytes that a piece of a body has.
    pub(super) most: usize,
    pub(super) exchanges: Vec<Exchange>,
    /// The number of requests that are sent before the first of them has been answered.
    pub(super) depth: usize,
    /// It reads nothing before its request has gone out, as many clients do.
    pub(super) stubborn: bool,
    pub(super) leaves: Leave,
    pub(super) trouble: Option<Trouble>,
}

/// The peer's action when all has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Close,
    Finish,
    /// Nothing, even when the server has ended it.
    Stay,
}

/// A request, and what is made of it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method<'static>,
    pub(super) request: Message,
    pub(super) expects: bool,
    pub(super) client_closes: bool,
    pub(super) reading: Reading,
    /// True where the app waits for something else: before it reads, and before it answers.
    pub(super) pauses: (bool, bool),
    /// True if the app waits until the server wants to stop.
    pub(super) until_closing: bool,
    pub(super) answer: Answer,
    pub(super) server_closes: bool,
    pub(super) seed: u64,
    /// The app has seen it.
    pub(super) handled: AtomicBool,
}

/// The way in which the app reads a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    All,
    Data,
    Chunks,
    Parts,
    /// By these in turn.
    Mixed,
    /// In a task of its own, whose end is waited for.
    Task,
    /// In a task of its own, which is left alone.
    Beside,
    /// A few parts.
    Some,
    Never,
}

#[derive(Debug)]
pub(super) enum Answer {
    Message(u16, Message),
    /// The request's body, of which so much has been read ahead.
    Echo(usize),
    /// Fails when so many parts of the body are left.
    Breaks(Message, usize),
    Error,
    Panic,
    /// Accepts the offer of another protocol.
    Switch(Bytestream),
    /// Waits until it is dropped: behind these chunks, or before the response where they are no chunks.
    Waits(Message),
}

/// Bytes that are not a request.
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
    /// A run in which the clock stands still.
    pub(super) fn hasty(dice: &mut Dice) -> Self {
        let stop = dice.one_in(6).then(|| (dice.below(400), *dice.pick(&[Stop::Drain, Stop::Drain, Stop::Abort])));
        let stays = stop.is_some_and(|(_, stop)| stop == Stop::Drain);
        let mut callers: Vec<_> = (0..1 + dice.below(4)).map(|_| Caller::random(dice, false, stays)).collect();
        for exchange in callers.iter_mut().flat_map(|caller| &mut caller.exchanges) {
            exchange.until_closing = stays && dice.one_in(8);
        }
        let (silent, hesitates) = (dice.one_in(5), dice.one_in(4));
        let (looks, nudges) = (dice.one_in(4), dice.one_in(2));
        Self { callers, stop, silent, hesitates, looks, nudges, waits: false }
    }

    /// A run in which somebody has to wait.
    pub(super) fn patient(dice: &mut Dice) -> Self {
        let callers: Vec<_> = (0..1 + dice.below(3)).map(|_| Caller::random(dice, true, true)).collect();
        let (silent, looks) = (dice.one_in(5), dice.one_in(4));
        Self { callers, stop: None, silent, hesitates: false, looks, nudges: false, waits: true }
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
            last.reading = *dice.pick(&[Reading::All, Reading::Never]);
            (last.client_closes, last.server_closes) = (false, false);
            last.answer = Answer::Switch(Bytestream::random(dice, most, last.expects));
        }
        let mut trouble = None;
        if waits || dice.one_in(3) {
            let fault = match dice.below(if waits { 6 } else { 8 }) {
                0 | 1 if waits => Fault::Stall,
                2 if waits => Fault::Finish,
                3 if waits => Fault::Close,
                0 => Fault::Finish,
                1 => Fault::Reset,
                2 | 4 => Fault::Close,
                3 => Fault::Reset,
                _ if waits => *dice.pick(&[Fault::Stall, Fault::Close]),
                _ => Fault::Garbage(GARBAGE[dice.below(GARBAGE.len())]),
            };
            let mut planned = Trouble::sending(dice.below(count), fault, dice);
            planned.is_reading = matches!(fault, Fault::Close | Fault::Reset | Fault::Stall) && dice.one_in(3);
            // Time has to pass where a peer that closes shows by FIN, as one that half-closes does, and behind unread input.
            let is_noticed = match fault {
                Fault::Reset => waits || !planned.is_reading,
                Fault::Close => waits || transport == Transport::Unix && !planned.is_reading,
                Fault::Finish => waits && transport == Transport::Tcp,
                Fault::Stall | Fault::Garbage(_) => false,
            };
            if is_noticed && dice.one_in(2) {
                // The app waits for something that never comes, and is to be dropped.
                let is_fit = |message: &Message| message.kind == Kind::Chunked || !planned.is_reading;
                let message = std::iter::repeat_with(|| Message::random(dice, most)).find(is_fit);
                let exchange = &mut exchanges[planned.at];
                exchange.answer = message.map_or(Answer::Error, Answer::Waits);
                exchange.expects = false;
                if exchange.method == Method::Head {
                    // Its response would be whole with its head.
                    exchange.method = Method::Get;
                }
                // Before the end of the request's head, or of the response's.
                planned.after = dice.below(60);
            }
            trouble = Some(planned);
        }
        let leaves = match stays {
            true => *dice.pick(&[Leave::Close, Leave::Finish, Leave::Stay]),
            false => *dice.pick(&[Leave::Close, Leave::Finish]),
        };
        let depth = *dice.pick(&[1, 1, 2, 20]);
        let stubborn = depth == 1 && most <= 3_000 && dice.one_in(2);
        Self { transport, most, exchanges, depth, stubborn, leaves, trouble }
    }

    /// Returns whether the peer does this when it is at this exchange, or has done it before.
    pub(super) fn has_trouble(&self, exchange: usize, fault: impl Fn(Fault) -> bool) -> bool {
        self.trouble.is_some_and(|trouble| trouble.at <= exchange && fault(trouble.fault))
    }
}

impl Exchange {
    fn random(dice: &mut Dice, most: usize) -> Self {
        let method = *dice.pick(&[Method::Get, Method::Put, Method::Post, Method::Post, Method::Head]);
        let request = match method {
            Method::Get | Method::Head => Message::none(),
            _ => Message::random(dice, most),
        };
        let reading = *dice.pick(&[
            Reading::All,
            Reading::Data,
            Reading::Chunks,
            Reading::Parts,
            Reading::Mixed,
            Reading::Task,
            Reading::Beside,
            Reading::Some,
            Reading::Never,
        ]);
        let (mut reading, mut answer) = (reading, Answer::Message(200, Message::random(dice, most)));
        match dice.below(24) {
            0..6 => (reading, answer) = (Reading::Never, Answer::Echo(dice.below(3) * dice.below(1_000))),
            6 => {
                let message = Message::random(dice, most);
                let parts = message.parts().len();
                if matches!(message.kind, Kind::Length | Kind::Chunked) && parts > 0 && message.length() > 0 {
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
            pauses: (dice.one_in(3), dice.one_in(3)),
            until_closing: false,
            answer,
            server_closes: dice.one_in(20),
            seed: dice.digest(),
            handled: AtomicBool::new(false),
        }
    }

    /// Returns whether the app leaves some of the body unread.
    pub(super) fn leaves_body(&self) -> bool {
        let partly = matches!(self.reading, Reading::Beside | Reading::Some | Reading::Never);
        partly && !matches!(self.answer, Answer::Echo(_)) && self.request.kind != Kind::None
    }

    /// Returns whether the unread rest of the body may end the connection without an announcement. Where the body has a
    /// length, the server knows when it answers how much is still to come.
    pub(super) fn may_end_it(&self) -> bool {
        self.leaves_body() && (self.request.kind == Kind::Chunked || self.reading == Reading::Beside)
    }

    /// The body of the response, where there is one as it should be.
    pub(super) fn expected(&self) -> Option<(u16, &Message)> {
        match &self.answer {
            Answer::Message(status, message) => Some((*status, message)),
            Answer::Echo(_) => Some((200, &self.request)),
            // A response to HEAD has no body that could break.
            Answer::Breaks(message, _) if self.method == Method::Head => Some((200, message)),
            _ => None,
        }
    }

    pub(super) fn is_handled(&self) -> bool {
        self.handled.load(Relaxed)
    }
}
