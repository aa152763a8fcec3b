//! An exchange: its request, the way in which the client reads the response, and the expected response.

use std::time::Duration;

use bytes::Bytes;
use degu_client::{Error, ErrorKind, Fault, Method, Part, Phase};
use fastrand::Rng;
use rustix::io::Errno;

use crate::content::{Sum, chunks, random};

/// The longest body with which a server explains an error, in bytes.
const REASON: u64 = 200;

/// The length of a piece of a body of known length, in bytes.
const PIECE: usize = 10_000;

/// A request and its expected response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method<'static>,
    pub(crate) target: String,
    pub(crate) content: Content,
    pub(crate) reading: Reading,
    pub(crate) expected: Expected,
    /// The number of bytes that are sent to `/sum`. It is 0 for all other targets.
    pub(crate) summed: u64,
}

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A body of known length, in pieces.
    Pieces(Bytes),
    /// Chunks and trailers. The client pauses before each part.
    Chunks(Vec<Part>, Duration),
}

/// The way in which the client reads the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    /// Pauses after each part.
    Slow(Duration),
    /// Abandons the response after at least this number of bytes.
    Abandon(u64),
    /// Drops the future of the exchange after this time, even in the middle of a message. The blocking client has no
    /// futures, and reads the whole response.
    Cancel(Duration),
}

/// The response that an exchange without a fault must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// The checksum of the body. `None` for the body of an error, because the server chooses its text.
    pub(crate) sum: Option<Sum>,
}

/// A response that was read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) sum: Sum,
    pub(crate) bytes: u64,
}

/// The outcome of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The response is as expected.
    Right,
    /// The server refused the request with this status. The body has at most a line that gives the reason.
    Refused(u16),
    /// The client returned this error.
    Failed(String),
    /// The client could not connect, because the process had no free descriptor.
    Starved,
    /// The server closed the idle connection before the request arrived. The process had no free descriptor, and the
    /// server needed one for another connection.
    Stale,
    /// The client abandoned the exchange on purpose.
    Abandoned,
    /// A result that is wrong, but was reported as a success.
    Wrong(String),
}

impl Exchange {
    /// Chooses an exchange that every server must be able to complete.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        let seed = rng.u64(..);
        let small = rng.usize(..200);
        // The longest body has 1 MiB. Few bodies are nearly as long.
        let large = (16 * 1024) << rng.u32(..7);
        let large = rng.usize(large / 2..=large);
        let pause = Duration::from_millis(rng.u64(1..20));
        match rng.u32(..100) {
            0..40 => Self::echo(Content::Bytes(random(seed, small))),
            40..50 => Self::sum(Content::Bytes(random(seed, small))),
            50..56 => Self::echo(Content::Bytes(random(seed, large))),
            56..62 => Self::make(Method::Get, seed, large),
            62..66 => Self::make(Method::Head, seed, small),
            66..75 => Self::echo(Content::Chunks(chunks(seed), Duration::ZERO)),
            75..83 => Self::new(Method::Get, format!("/chunks/{seed}"), 200, Some(Sum::of_parts(&chunks(seed)))),
            83..86 => Self::echo(Content::Chunks(chunks(seed), pause)),
            86..89 => Self { reading: Reading::Slow(pause), ..Self::make(Method::Get, seed, large) },
            89..91 => {
                let content = Content::Bytes(random(seed, large));
                Self { content, ..Self::new(Method::Post, "/early", 413, Some(Sum::EMPTY)) }
            }
            91..93 => Self::new(Method::Get, "/fail", 500, None),
            93..94 => Self::new(Method::Get, "/panic", 500, None),
            94..97 => Self::sum(Content::Chunks(chunks(seed), Duration::ZERO)),
            _ => Self::sum(Content::Pieces(random(seed, large))),
        }
    }

    /// Chooses an exchange that the client will abandon.
    pub(crate) fn abandoned(rng: &mut Rng) -> Self {
        if rng.bool() {
            return Self { reading: Reading::Cancel(Duration::from_micros(rng.u64(..5000))), ..Self::any(rng) };
        }
        let get = |target| Self::new(Method::Get, target, 200, Some(Sum::EMPTY));
        let exchange = match rng.u32(..4) {
            // The client reads the only byte that the server sends, so it closes a connection without unread input.
            3 => return Self { reading: Reading::Abandon(1), ..get("/silent") },
            0 => get("/endless"),
            1 => Self::make(Method::Get, rng.u64(..), 512 * 1024),
            _ => Self::echo(Content::Bytes(random(rng.u64(..), 256 * 1024))),
        };
        Self { reading: Reading::Abandon(rng.u64(..256 * 1024)), ..exchange }
    }

    /// Returns an exchange in which the server sends the request's body back.
    pub(crate) fn echo(content: Content) -> Self {
        let sum = match &content {
            Content::Chunks(parts, _) => Sum::of_parts(parts),
            content => Sum::of(&content.data()),
        };
        Self { content, ..Self::new(Method::Post, "/echo", 200, Some(sum)) }
    }

    fn sum(content: Content) -> Self {
        let data = content.data();
        let sum = Sum::of(Sum::of(&data).to_string().as_bytes());
        Self { content, summed: data.len() as u64, ..Self::new(Method::Post, "/sum", 200, Some(sum)) }
    }

    /// Returns an exchange whose response has generated bytes.
    pub(crate) fn make(method: Method<'static>, seed: u64, length: usize) -> Self {
        let sum = if method == Method::Head { Sum::EMPTY } else { Sum::of(&random(seed, length)) };
        Self::new(method, format!("/make/{seed}/{length}"), 200, Some(sum))
    }

    fn new(method: Method<'static>, target: impl Into<String>, status: u16, sum: Option<Sum>) -> Self {
        let (content, reading, expected) = (Content::Nothing, Reading::Whole, Expected { status, sum });
        Self { method, target: target.into(), content, reading, expected, summed: 0 }
    }
}

impl Content {
    /// Returns the bytes of the body, without the framing of chunks.
    fn data(&self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Bytes(bytes) | Self::Pieces(bytes) => bytes.clone(),
            Self::Chunks(parts, _) => {
                let data = parts.iter().map(|part| match part {
                    Part::Chunk { data, .. } | Part::Data(data) => &data[..],
                    Part::Last { .. } => &[],
                });
                data.flatten().copied().collect()
            }
        }
    }

    /// Splits the bytes of [`Content::Pieces`].
    pub(crate) fn pieces(bytes: &Bytes) -> Vec<Part> {
        bytes.chunks(PIECE).map(|piece| Part::Data(bytes.slice_ref(piece))).collect()
    }
}

impl Expected {
    /// Compares a response with the expected response. `Ok(None)` is a response that the client abandoned.
    pub(crate) fn judge(self, result: Result<Option<Answer>, Error>) -> Outcome {
        let answer = match result {
            Ok(Some(answer)) => answer,
            Ok(None) => return Outcome::Abandoned,
            Err(error) => return Outcome::of(&error),
        };
        if answer.status == self.status && self.sum.map_or(answer.bytes <= REASON, |sum| sum == answer.sum) {
            Outcome::Right
        } else if matches!(answer.status, 400 | 408 | 413 | 414 | 431 | 500 | 503) && answer.bytes <= REASON {
            Outcome::Refused(answer.status)
        } else {
            Outcome::Wrong(format!("{answer:?} instead of {self:?}"))
        }
    }
}

impl Outcome {
    /// Describes an error without its addresses, because they differ from run to run.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::System(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => Self::Starved,
            cause => Self::Failed(format!("{cause}, {}", error.phase())),
        }
    }
}

/// Returns whether this error on a reused connection can mean that the server has closed the idle connection.
pub(crate) fn is_stale(error: &Error) -> bool {
    let is_closed = match error.kind() {
        ErrorKind::Closed | ErrorKind::System(_) => true,
        ErrorKind::Remote(error) => error.fault == Fault::NoResponse,
        _ => false,
    };
    is_closed && matches!(error.phase(), Phase::Requesting | Phase::AwaitingResponse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, data: &[u8]) -> Result<Option<Answer>, Error> {
        Ok(Some(Answer { status, sum: Sum::of(data), bytes: data.len() as u64 }))
    }

    #[test]
    fn verdicts() {
        let expected = Expected { status: 200, sum: Some(Sum::of(b"abc")) };
        assert_eq!(expected.judge(answer(200, b"abc")), Outcome::Right);
        for reason in [&b""[..], b"head-deadline"] {
            assert_eq!(expected.judge(answer(408, reason)), Outcome::Refused(408));
        }
        assert_eq!(expected.judge(Ok(None)), Outcome::Abandoned);
        let failure = Expected { status: 500, sum: None };
        assert_eq!(failure.judge(answer(500, b"the handler failed")), Outcome::Right);
        assert!(matches!(failure.judge(answer(200, b"")), Outcome::Wrong(_)));
        for wrong in [answer(200, b"abd"), answer(200, b"ab"), answer(204, b""), answer(400, &[b'x'; 201])] {
            assert!(matches!(expected.judge(wrong), Outcome::Wrong(_)));
        }
    }
}
