//! An exchange: its request, how the response is read, and which response is right.

use std::time::Duration;

use bytes::Bytes;
use degu_client::{Chunk, Error, ErrorKind, Fault, Headers, Method, Phase, Trailers};
use fastrand::Rng;
use rustix::io::Errno;

use crate::content::{Chunks, Sum, random};

/// The longest body with which a server gives its reason for a refusal.
const REASON: u64 = 200;

/// A request and its right response.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method<'static>,
    pub(crate) target: String,
    pub(crate) content: Content,
    pub(crate) manner: Manner,
    pub(crate) expected: Expected,
    /// The number of bytes that `/sum` is sent: 0 for all other targets.
    pub(crate) summed: u64,
}

/// The content of the request.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    /// In memory.
    Bytes(Bytes),
    /// Of known length, piece by piece.
    Streamed(Bytes),
    /// With a pause before each part.
    Chunks(Chunks, Duration),
}

/// The way in which the client waits for the response and reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// With a pause before each part.
    Slow(Duration),
    /// Not beyond so many bytes.
    Leave(u64),
    /// Not longer than this: the future is dropped, wherever it is. Of clients that have futures.
    Cancel(Duration),
}

/// The result of an exchange without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// `None`: the body is the server's own, and gives the reason of an error.
    pub(crate) sum: Option<Sum>,
}

/// The response of an exchange, as far as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    pub(crate) is_chunked: bool,
    sum: Sum,
    pub(crate) bytes: u64,
    /// It was not read to its end.
    left: bool,
}

/// The outcome of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The response is as expected.
    Right,
    /// The server refused it, with a status that says so and at most a line that names the reason.
    Refused(u16),
    /// An error that says so.
    Failed(String),
    /// The client had no descriptor left for another connection.
    Starved,
    /// The server closed the connection before the request arrived, to make room for another while the process had no
    /// descriptor.
    Stale,
    /// The client did not wait for it.
    Left,
    /// A wrong result that was reported as a success.
    Wrong(String),
}

impl Ask {
    /// Anything that a server must be able to answer.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        let seed = rng.u64(..);
        let small = rng.usize(..200);
        // Most are far below the largest.
        let large = (16 * 1024) << rng.u32(..7);
        let large = rng.usize(large / 2..=large);
        let pause = Duration::from_millis(rng.u64(1..20));
        match rng.u32(..100) {
            0..40 => Self::echo(random(seed, small)),
            40..50 => Self::sum(Content::Bytes(random(seed, small))),
            50..56 => Self::echo(random(seed, large)),
            56..62 => Self::make(Method::Get, seed, large),
            62..66 => Self::make(Method::Head, seed, small),
            66..75 => Self::echo_chunks(Chunks::of(seed), Duration::ZERO),
            75..83 => Self::chunks(seed),
            83..86 => Self::echo_chunks(Chunks::of(seed), pause),
            86..89 => Self { manner: Manner::Slow(pause), ..Self::make(Method::Get, seed, large) },
            89..91 => {
                Self { content: Content::Bytes(random(seed, large)), ..Self::status(Method::Post, "/early", 413) }
            }
            91..93 => Self::failure("/fail"),
            93..94 => Self::failure("/panic"),
            94..97 => Self::sum(Content::Chunks(Chunks::of(seed), Duration::ZERO)),
            _ => Self::sum(Content::Streamed(random(seed, large))),
        }
    }

    /// Something that the client will not wait for.
    pub(crate) fn given_up(rng: &mut Rng) -> Self {
        if rng.bool() {
            return Self { manner: Manner::Cancel(Duration::from_micros(rng.u64(..5000))), ..Self::any(rng) };
        }
        let ask = match rng.u32(..4) {
            // All that there is of it, so that the client closes with nothing unread.
            3 => return Self { manner: Manner::Leave(1), ..Self::status(Method::Get, "/silent", 200) },
            0 => Self::status(Method::Get, "/endless", 200),
            1 => Self::make(Method::Get, rng.u64(..), 512 * 1024),
            _ => Self::echo(random(rng.u64(..), 256 * 1024)),
        };
        Self { manner: Manner::Leave(rng.u64(..256 * 1024)), ..ask }
    }

    fn echo(body: Bytes) -> Self {
        let expected = Expected { status: 200, sum: Some(Sum::of(&body)) };
        Self { content: Content::Bytes(body), expected, ..Self::status(Method::Post, "/echo", 200) }
    }

    fn echo_chunks(chunks: Chunks, pause: Duration) -> Self {
        let expected = Expected { status: 200, sum: Some(chunks.sum()) };
        Self { content: Content::Chunks(chunks, pause), expected, ..Self::status(Method::Post, "/echo", 200) }
    }

    fn sum(content: Content) -> Self {
        let (sum, summed) = match &content {
            Content::Nothing => (Sum::EMPTY, 0),
            Content::Bytes(body) | Content::Streamed(body) => (Sum::of(body), body.len() as u64),
            Content::Chunks(chunks, _) => (chunks.data_sum(), chunks.length()),
        };
        let expected = Expected { status: 200, sum: Some(Sum::of(sum.to_string().as_bytes())) };
        Self { content, summed, expected, ..Self::status(Method::Post, "/sum", 200) }
    }

    fn make(method: Method<'static>, seed: u64, length: usize) -> Self {
        let sum = if method == Method::Head { Sum::EMPTY } else { Sum::of(&random(seed, length)) };
        let expected = Expected { status: 200, sum: Some(sum) };
        Self { expected, ..Self::status(method, &format!("/make/{seed}/{length}"), 200) }
    }

    fn chunks(seed: u64) -> Self {
        let expected = Expected { status: 200, sum: Some(Chunks::of(seed).sum()) };
        Self { expected, ..Self::status(Method::Get, &format!("/chunks/{seed}"), 200) }
    }

    fn failure(target: &str) -> Self {
        Self { expected: Expected { status: 500, sum: None }, ..Self::status(Method::Get, target, 500) }
    }

    fn status(method: Method<'static>, target: &str, status: u16) -> Self {
        let expected = Expected { status, sum: Some(Sum::EMPTY) };
        let (content, manner) = (Content::Nothing, Manner::Whole);
        Self { method, target: target.to_owned(), content, manner, expected, summed: 0 }
    }
}

impl Expected {
    /// Compares a response with the right one.
    pub(crate) fn judge(self, outcome: Result<Answer, Error>) -> Verdict {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return Verdict::of(&error),
        };
        if answer.left {
            Verdict::Left
        } else if answer.status == self.status && self.sum.map_or(answer.bytes <= REASON, |sum| sum == answer.sum) {
            Verdict::Right
        } else if matches!(answer.status, 400 | 408 | 413 | 414 | 431 | 500 | 503) && answer.bytes <= REASON {
            Verdict::Refused(answer.status)
        } else {
            Verdict::Wrong(format!("{answer:?} instead of {self:?}"))
        }
    }
}

impl Verdict {
    /// An error, without an address that is another one in every run.
    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::System(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => Self::Starved,
            cause => Self::Failed(format!("{cause}, {}", error.phase())),
        }
    }
}

/// Returns whether an error of a connection that was used before may be that the server closed it between two requests.
pub(crate) fn is_stale(error: &Error) -> bool {
    let is_closed = match error.kind() {
        ErrorKind::Closed | ErrorKind::System(_) => true,
        ErrorKind::Remote(error) => error.fault == Fault::NoResponse,
        _ => false,
    };
    is_closed && matches!(error.phase(), Phase::Requesting | Phase::AwaitingResponse)
}

impl Answer {
    pub(crate) fn of(status: u16, headers: &Headers) -> Self {
        let is_chunked = headers.contains("transfer-encoding");
        Self { status, is_chunked, sum: Sum::EMPTY, bytes: 0, left: false }
    }

    /// One that was not waited for.
    pub(crate) const fn given_up() -> Self {
        Self { status: 0, is_chunked: false, sum: Sum::EMPTY, bytes: 0, left: true }
    }

    pub(crate) fn add(&mut self, data: &[u8]) {
        self.sum.add(data);
        self.bytes += data.len() as u64;
    }

    pub(crate) fn add_chunk(&mut self, chunk: &Chunk) {
        self.sum.add_chunk(chunk);
        self.bytes += chunk.data.len() as u64;
    }

    /// All has come.
    pub(crate) fn end(mut self, trailers: Option<&Trailers>) -> Self {
        if let Some(trailers) = trailers {
            self.sum.add_trailers(trailers);
        }
        self
    }

    /// The rest is not read.
    pub(crate) const fn leave(mut self) -> Self {
        self.left = true;
        self
    }
}

impl Manner {
    /// Returns whether so many bytes of the response are enough.
    pub(crate) const fn is_enough(self, bytes: u64) -> bool {
        matches!(self, Self::Leave(most) if bytes >= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, data: &[u8]) -> Answer {
        let mut answer = Answer::of(status, &Headers::new());
        answer.add(data);
        answer.end(None)
    }

    #[test]
    fn verdicts() {
        let expected = Expected { status: 200, sum: Some(Sum::of(b"abc")) };
        assert_eq!(expected.judge(Ok(answer(200, b"abc"))), Verdict::Right);
        for reason in [&b""[..], b"head-deadline"] {
            assert_eq!(expected.judge(Ok(answer(408, reason))), Verdict::Refused(408));
        }
        assert_eq!(expected.judge(Ok(answer(200, b"abd").leave())), Verdict::Left);
        let failure = Expected { status: 500, sum: None };
        assert_eq!(failure.judge(Ok(answer(500, b"the handler failed"))), Verdict::Right);
        assert!(matches!(failure.judge(Ok(answer(200, b""))), Verdict::Wrong(_)));
        for wrong in [answer(200, b"abd"), answer(200, b"ab"), answer(204, b""), answer(400, &[b'x'; 201])] {
            assert!(matches!(expected.judge(Ok(wrong)), Verdict::Wrong(_)));
        }
    }
}
