//! Degu's large bodies.

use std::task::{Context, Poll};

use degu_server::{Body, BoxError, Bytes, Chunk, IntoResponse, Part, Response};

use super::Fetch;
use super::degu::client;
use crate::Result;
use crate::setup::{Setup, client_runtime};
use crate::stream::{Framing, PIECE, Wanted};

/// A large body, of pieces that are copied nowhere.
pub(super) fn large(framing: &str, pieces: &str) -> Response {
    let Some(wanted) = Wanted::parse(&format!("/{framing}/{pieces}")) else {
        return (404, "Not Found", ()).into_response();
    };
    let mut left = wanted.pieces;
    let next = move |_: &mut Context<'_>| {
        let Some(rest) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = rest;
        let piece = Bytes::from_static(PIECE);
        let part = match wanted.framing {
            Framing::Length => Part::Data(piece),
            Framing::Chunks => Part::from(Chunk::new(piece)),
        };
        Poll::Ready(Some(Ok::<_, BoxError>(part)))
    };
    let body = match wanted.framing {
        Framing::Length => Body::from_source(wanted.octets(), Box::pin(next)),
        Framing::Chunks => Body::from_chunks(Box::pin(next)),
    };
    (200, "OK", body).into_response()
}

pub(super) fn prepare(setup: &Setup) -> Result<Fetch> {
    let (client, runtime) = (client(setup)?, client_runtime(true)?);
    let mut connection = runtime.block_on(client.connect())?;
    Ok(Box::new(move |wanted| {
        runtime.block_on(async {
            let mut body = connection.get(&wanted.target()).await?.body;
            let mut octets = 0;
            while let Some(piece) = body.next_data().await? {
                octets += piece.len() as u64;
            }
            Ok(octets)
        })
    }))
}
