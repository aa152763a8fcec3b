//! An exchange: its request, the way in which the client reads the response, and the expected response.

use std::time::Duration;

use degu_client::{Chunk, Error, ErrorKind, Fault, Method, Phase};
use degu_simulation::{Dice, Kind, Message};
use fastrand::Rng;
use rustix::io::Errno;

use crate::clients::Answer;

/// The longest body with which a server explains an error, in bytes.
const REASON: usize = 200;

/// The longest piece of a generated body, in bytes. Most pieces have only a few bytes.
const LONGEST: usize = 64 * 1024;

/// A request and its expected response.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method<'static>,
    pub(crate) target: String,
    /// The body of the request.
    pub(crate) message: Message,
    /// The pause of the client before each part that it sends or reads.
    pub(crate) pause: Duration,
    pub(crate) reading: Reading,
    /// The status of the response, if there is no fault.
    pub(crate) status: u16,
    /// The body of the response. `None` for the body of an error, because the server chooses its text.
    expected: Option<Message>,
    /// The number of bytes that are sent to `/take`, and 0 for all other targets.
    pub(crate) taken: u64,
}

/// The way in which the client reads the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Whole,
    /// Abandons the response after at least this number of bytes.
    Abandon(usize),
    /// Drops the future of the exchange after this time, even in the middle of a message. The blocking client has no
    /// futures, and reads the whole response.
    Cancel(Duration),
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
        // The largest piece has 1 MiB. Few pieces are nearly as large.
        let large = (16 * 1024) << rng.u32(..7);
        let large = rng.usize(large / 2..=large);
        let pause = Duration::from_millis(rng.u64(1..20));
        match rng.u32(..100) {
            0..48 => Self::echo(message(seed, 0)),
            48..56 => Self::echo(message(seed, large)),
            56..67 => Self::make(Method::Get, seed, 0),
            67..75 => Self::make(Method::Get, seed, large),
            75..79 => Self::make(Method::Head, seed, 0),
            79..82 => Self { pause, ..Self::echo(message(seed, 0)) },
            82..85 => Self { pause, ..Self::make(Method::Get, seed, large) },
            85..87 => {
                let early = Self::new(Method::Post, "/early", 413, Some(Message::none()));
                Self { message: message(seed, large), ..early }
            }
            87..89 => Self::new(Method::Get, "/fail", 500, None),
            89..90 => Self::new(Method::Get, "/panic", 500, None),
            90..96 => Self::take(seed, 0),
            _ => Self::take(seed, large),
        }
    }

    /// Chooses an exchange that the client will abandon.
    pub(crate) fn abandoned(rng: &mut Rng) -> Self {
        if rng.bool() {
            return Self { reading: Reading::Cancel(Duration::from_micros(rng.u64(..5000))), ..Self::any(rng) };
        }
        let get = |target| Self::new(Method::Get, target, 200, Some(Message::none()));
        let exchange = match rng.u32(..4) {
            // The client reads the only byte that the server sends, so it closes a connection without unread input.
            3 => return Self { reading: Reading::Abandon(1), ..get("/silent") },
            0 => get("/endless"),
            1 => Self::make(Method::Get, rng.u64(..), 512 * 1024),
            _ => Self::echo(message(rng.u64(..), 256 * 1024)),
        };
        Self { reading: Reading::Abandon(rng.usize(..256 * 1024)), ..exchange }
    }

    /// Returns an exchange in which the server sends the request's body back.
    pub(crate) fn echo(message: Message) -> Self {
        Self { message: message.clone(), ..Self::new(Method::Post, "/echo", 200, Some(message)) }
    }

    /// Returns an exchange in which the server compares the request's body with the body that it generates.
    fn take(seed: u64, large: usize) -> Self {
        let message = message(seed, large);
        let exchange = Self::new(Method::Post, format!("/take/{seed}/{large}"), 200, Some(Message::none()));
        Self { taken: message.length(), message, ..exchange }
    }

    /// Returns an exchange in which the server generates the response's body.
    pub(crate) fn make(method: Method<'static>, seed: u64, large: usize) -> Self {
        let expected = if method == Method::Head { Message::none() } else { message(seed, large) };
        Self::new(method, format!("/make/{seed}/{large}"), 200, Some(expected))
    }

    fn new(method: Method<'static>, target: impl Into<String>, status: u16, expected: Option<Message>) -> Self {
        let (message, pause, reading) = (Message::none(), Duration::ZERO, Reading::Whole);
        Self { method, target: target.into(), message, pause, reading, status, expected, taken: 0 }
    }

    /// Compares a response with the expected response. `Ok(None)` is a response that the client abandoned.
    pub(crate) fn judge(&self, result: &Result<Option<Answer>, Error>) -> Outcome {
        let answer = match result {
            Ok(Some(answer)) => answer,
            Ok(None) => return Outcome::Abandoned,
            Err(error) => return Outcome::of(error),
        };
        let (status, data) = (answer.status, &answer.seen.data);
        let (expected, is_short) = (&self.expected, data.len() <= REASON);
        let result = match expected {
            Some(expected) => answer.seen.is(expected, true),
            None if is_short => Ok(()),
            None => Err("the body is too long for the text of an error".into()),
        };
        match result {
            Ok(()) if status == self.status => Outcome::Right,
            _ if matches!(status, 400 | 408 | 413 | 414 | 431 | 500 | 503) && is_short => Outcome::Refused(status),
            result => {
                let text = data[..data.len().min(REASON)].escape_ascii();
                Outcome::Wrong(format!("status {status} instead of {}, {result:?}: {text}", self.status))
            }
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

/// Generates a body of any form from a seed. If `large` is not 0, there is a body, and its last piece has this number
/// of bytes.
pub(crate) fn message(seed: u64, large: usize) -> Message {
    let mut dice = Dice::new(seed);
    let mut message = Message::random(&mut dice, LONGEST);
    if large > 0 {
        if message.kind == Kind::None {
            message.kind = Kind::Bytes;
        }
        message.push(Chunk::new(dice.bytes(large)));
    }
    message
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
    use degu_client::Headers;
    use degu_simulation::Seen;

    use super::*;

    fn answer(status: u16, data: &[u8]) -> Result<Option<Answer>, Error> {
        let mut seen = Seen::default();
        seen.data.extend_from_slice(data);
        seen.end(None, None);
        Ok(Some(Answer { status, headers: Headers::new(), seen }))
    }

    #[test]
    fn verdicts() {
        let exchange = Exchange::echo(Message::new(Kind::Bytes, [Chunk::new("abc")]));
        assert_eq!(exchange.judge(&answer(200, b"abc")), Outcome::Right);
        for reason in [&b""[..], b"head-deadline"] {
            assert_eq!(exchange.judge(&answer(408, reason)), Outcome::Refused(408));
        }
        assert_eq!(exchange.judge(&Ok(None)), Outcome::Abandoned);
        let failure = Exchange::new(Method::Get, "/fail", 500, None);
        assert_eq!(failure.judge(&answer(500, b"the handler failed")), Outcome::Right);
        assert!(matches!(failure.judge(&answer(200, b"")), Outcome::Wrong(_)));
        for wrong in [answer(200, b"abd"), answer(200, b"ab"), answer(204, b""), answer(400, &[b'x'; 201])] {
            assert!(matches!(exchange.judge(&wrong), Outcome::Wrong(_)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_body() {
        assert_eq!(message(7, 100).data(), message(7, 100).data());
        assert_ne!(message(7, 100).data(), message(8, 100).data());
    }

    #[test]
    fn a_large_body_has_a_large_piece() {
        for seed in 0..100 {
            let message = message(seed, 1000);
            assert_ne!(message.kind, Kind::None);
            assert!(message.length() >= 1000);
        }
    }
}
