//! Large bodies: how they are asked for, of what they are made, and how long they take.

use std::time::{Duration, Instant};

use crate::Result;
use crate::contestants::Contestant;
use crate::setup::Setup;

/// What a server sends again and again.
pub(crate) static PIECE: &[u8] = &[b'x'; 64 * 1024];

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By `content-length`.
    Length,
    /// In chunks of one [`PIECE`] each.
    Chunks,
}

/// What a client asks for: so many pieces, framed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) framing: Framing,
    pub(crate) pieces: usize,
}

impl Wanted {
    /// Reads what [`target`](Self::target) wrote.
    pub(crate) fn parse(target: &str) -> Option<Self> {
        let (framing, pieces) = target.strip_prefix('/')?.split_once('/')?;
        let framing = match framing {
            "length" => Framing::Length,
            "chunks" => Framing::Chunks,
            _ => return None,
        };
        Some(Self { framing, pieces: pieces.parse().ok()? })
    }

    /// The target of the request.
    pub(crate) fn target(self) -> String {
        match self.framing {
            Framing::Length => format!("/length/{}", self.pieces),
            Framing::Chunks => format!("/chunks/{}", self.pieces),
        }
    }

    /// How many octets the body has.
    pub(crate) fn octets(self) -> u64 {
        self.pieces as u64 * PIECE.len() as u64
    }
}

/// Fetches a body over a connection that was used before. Returns its octets, and how long it took.
///
/// # Errors
///
/// The body has another length.
pub(crate) fn fetch(contestant: &Contestant, setup: &Setup, wanted: Wanted) -> Result<(u64, Duration)> {
    let fetch = contestant.fetch.ok_or_else(|| format!("{} fetches nothing", contestant.name))?;
    let mut fetch = fetch(setup)?;
    fetch(Wanted { pieces: wanted.pieces.min(16), ..wanted })?;
    let start = Instant::now();
    let octets = fetch(wanted)?;
    let time = start.elapsed();
    if octets != wanted.octets() {
        return Err(format!("{octets} octets instead of {}", wanted.octets()).into());
    }
    Ok((octets, time))
}
