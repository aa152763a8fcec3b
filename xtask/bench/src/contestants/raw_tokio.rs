//! What a runtime costs: the same bytes through tokio's current-thread runtime, and no HTTP.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use super::{Client, Contestant};
use crate::Result;
use crate::message::{REQUEST, RESPONSE};
use crate::socket::{Address, Listener, Stream, TokioStream};

pub(super) const CONTESTANT: Contestant = Contestant { name: "raw-tokio", client: Some(connect), server: Some(serve) };

trait Socket: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

fn serve(address: &Address, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(address)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    ready(bound)?;
    loop {
        let stream = listener.accept()?;
        runtime.block_on(async {
            match stream.into_tokio()? {
                TokioStream::Tcp(stream) => answer(stream).await,
                TokioStream::Unix(stream) => answer(stream).await,
            }
        })?;
    }
}

async fn answer(mut stream: impl Socket) -> Result {
    while fill::<{ REQUEST.len() }>(&mut stream).await? {
        stream.write_all(RESPONSE).await?;
    }
    Ok(())
}

fn connect(address: &Address) -> Result<Box<dyn Client>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let inside = runtime.enter();
    let stream = Stream::connect(address)?.into_tokio()?;
    drop(inside);
    Ok(match stream {
        TokioStream::Tcp(stream) => Box::new(RawTokio { stream, runtime }),
        TokioStream::Unix(stream) => Box::new(RawTokio { stream, runtime }),
    })
}

struct RawTokio<S> {
    // Before the runtime, which has to outlive its sockets.
    stream: S,
    runtime: Runtime,
}

impl<S: Socket> Client for RawTokio<S> {
    fn trips(&mut self, count: u64) -> Result {
        let Self { stream, runtime } = self;
        runtime.block_on(async {
            for _ in 0..count {
                stream.write_all(REQUEST).await?;
                if !fill::<{ RESPONSE.len() }>(stream).await? {
                    return Err("the server closed the connection".into());
                }
            }
            Ok(())
        })
    }
}

/// Reads `N` octets; false at an end of the stream before the first.
async fn fill<const N: usize>(stream: &mut impl Socket) -> Result<bool> {
    let mut message = [0; N];
    let mut length = 0;
    while length < N {
        match stream.read(&mut message[length..]).await? {
            0 if length == 0 => return Ok(false),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => length += count,
        }
    }
    Ok(true)
}
