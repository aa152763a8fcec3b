//! Tunnels after a switch to another protocol: their bytes, and the driver's side.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::Notify;

use crate::{Dice, Gates};

/// The plan of a tunnel.
#[derive(Debug)]
pub struct Bytestream {
    /// The bytes from the peer to the driver.
    pub from_peer: Bytes,
    /// The bytes from the driver to the peer.
    pub from_driver: Bytes,
    /// The way in which the tunnel ends.
    pub ending: Ending,
}

/// The way in which a tunnel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer half-closes first. The driver half-closes when it has read the end.
    PeerFirst,
    /// The driver half-closes first. The peer half-closes when it has read the end.
    DriverFirst,
    /// The driver's user fails after it has sent all bytes.
    Fails,
    /// The driver's user panics after it has sent all bytes.
    Panics,
}

impl Bytestream {
    /// Plans a tunnel. `most` is the largest number of bytes in one direction.
    pub fn random(dice: &mut Dice, most: usize, ending: Ending) -> Self {
        let [from_peer, from_driver] = [(); 2].map(|()| {
            let length = dice.length(most);
            dice.bytes(length)
        });
        Self { from_peer, from_driver, ending }
    }

    /// Acts as the driver's user: sends and receives at the same time. `received` gets the bytes from the peer. The
    /// user pauses now and then if there are `gates`.
    ///
    /// # Errors
    ///
    /// The tunnel fails, or the plan says that the user fails.
    pub async fn talk(
        &self,
        tunnel: impl AsyncRead + AsyncWrite,
        gates: Option<&Gates>,
        dice: &mut Dice,
        mut received: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let (mut from, mut to) = split(tunnel);
        let (mut writes, mut reads, has_ended) = (dice.fork(), dice.fork(), Notify::new());
        let pause = async |dice: &mut Dice| match gates {
            Some(gates) if dice.one_in(3) => gates.pause().await,
            _ => {}
        };
        let send = async {
            let mut rest = &self.from_driver[..];
            while !rest.is_empty() {
                pause(&mut writes).await;
                let sent = to.write(&rest[..writes.portion(rest.len())]).await?;
                rest = &rest[sent..];
            }
            to.flush().await?;
            match self.ending {
                Ending::PeerFirst => has_ended.notified().await,
                Ending::DriverFirst => {}
                Ending::Fails => return Err(io::Error::other("this user fails")),
                Ending::Panics => std::panic::resume_unwind(Box::new("this user panics")),
            }
            to.shutdown().await
        };
        let receive = async {
            let mut bytes = vec![0; 70_000];
            loop {
                pause(&mut reads).await;
                let most = 1 + reads.length(bytes.len() - 1);
                match from.read(&mut bytes[..most]).await? {
                    0 => break,
                    read => received(&bytes[..read]),
                }
            }
            has_ended.notify_one();
            Ok(())
        };
        // A blocking client does all of one before the other.
        match self.ending {
            Ending::PeerFirst => tokio::try_join!(receive, send),
            _ => tokio::try_join!(send, receive),
        }
        .map(drop)
    }
}
