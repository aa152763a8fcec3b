//! A tunnel after a switch to another protocol: the bytes that both ends send, and the client's side of it.

use std::io::{self, Read, Write};

use bytes::Bytes;
use degu_simulation::Dice;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::sync::Notify;

use crate::{Tunnel, blocking};

/// The protocol that is offered.
pub(super) const PROTOCOL: &str = "tcp";

/// The bytes of a tunnel, and the side that half-closes first. The other side half-closes after it has read EOF.
#[derive(Debug)]
pub(super) struct Bytestream {
    /// The bytes from the client to the server.
    pub(super) up: Bytes,
    /// The bytes from the server to the client. The first bytes may arrive with the 101.
    pub(super) down: Bytes,
    pub(super) server_first: bool,
}

impl Bytestream {
    pub(super) fn random(dice: &mut Dice, most: usize) -> Self {
        let (up, down) = (dice.length(most), dice.length(most));
        Self { up: dice.bytes(up), down: dice.bytes(down), server_first: dice.one_in(2) }
    }
}

/// The bytes that the client has received from a tunnel, and the result.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) ended: io::Result<()>,
}

/// Sends and receives at the same time.
pub(super) async fn talk(tunnel: Tunnel, plan: &Bytestream, dice: &mut Dice) -> Received {
    let (mut from, mut to) = split(tunnel);
    let (mut reads, mut bytes, server_ended) = (dice.fork(), Vec::new(), Notify::new());
    let send = async {
        let mut rest = &plan.up[..];
        while !rest.is_empty() {
            let sent = to.write(&rest[..dice.portion(rest.len())]).await?;
            rest = &rest[sent..];
        }
        to.flush().await?;
        if plan.server_first {
            server_ended.notified().await;
        }
        to.shutdown().await
    };
    let receive = async {
        let mut room = vec![0; 70_000];
        loop {
            let most = 1 + reads.length(room.len() - 1);
            match from.read(&mut room[..most]).await? {
                0 => break server_ended.notify_one(),
                read => bytes.extend_from_slice(&room[..read]),
            }
        }
        Ok::<_, io::Error>(())
    };
    let ended = tokio::try_join!(send, receive).map(drop);
    Received { bytes, ended }
}

/// Sends and receives one after the other.
pub(super) fn talk_blocking(mut tunnel: blocking::Tunnel, plan: &Bytestream, dice: &mut Dice) -> Received {
    let mut bytes = Vec::new();
    let mut ended = Ok(());
    if plan.server_first {
        ended = receive(&mut tunnel, &mut bytes, dice);
    }
    ended = ended.and_then(|()| {
        let mut rest = &plan.up[..];
        while !rest.is_empty() {
            let sent = tunnel.write(&rest[..dice.portion(rest.len())])?;
            rest = &rest[sent..];
        }
        tunnel.flush()
    });
    if !plan.server_first {
        ended = ended.and_then(|()| tunnel.shutdown_write());
        ended = ended.and_then(|()| receive(&mut tunnel, &mut bytes, dice));
    }
    Received { bytes, ended }
}

fn receive(tunnel: &mut blocking::Tunnel, bytes: &mut Vec<u8>, dice: &mut Dice) -> io::Result<()> {
    let mut room = vec![0; 70_000];
    loop {
        let most = 1 + dice.length(room.len() - 1);
        match tunnel.read(&mut room[..most])? {
            0 => return Ok(()),
            read => bytes.extend_from_slice(&room[..read]),
        }
    }
}
