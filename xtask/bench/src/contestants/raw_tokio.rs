//! What a runtime costs, and TLS: the same bytes through tokio, and no HTTP.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::{HELLO, REQUEST, RESPONSE};
use crate::setup::{Setup, client_runtime};
use crate::socket::{Address, Listener, Stream, TokioStream};

pub(super) const CONTESTANT: Contestant = Contestant {
    client: Some(prepare),
    server: Some(serve),
    crowd: Some(serve_crowd),
    tls: true,
    ..Contestant::named("raw-tokio")
};

trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    let runtime = setup.runtime()?;
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

fn serve_crowd(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let tls = setup.acceptor()?;
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    setup.runtime()?.block_on(async {
        let listener = listener.into_tokio()?;
        loop {
            // How a connection ends is of no interest to the others. Each kind is a task of its own, so that none is as
            // large as the largest.
            match (listener.accept().await?, tls.clone()) {
                (TokioStream::Tcp(stream), Some(tls)) => {
                    tokio::spawn(async move { answer_all(tls.accept(stream).await?).await })
                }
                (TokioStream::Tcp(stream), None) => tokio::spawn(answer_all(stream)),
                (TokioStream::Unix(stream), _) => tokio::spawn(answer_all(stream)),
            };
        }
    })
}

/// Tells the two requests apart, finds where each ends, and answers all that have come in one write.
async fn answer_all(mut stream: impl Socket) -> io::Result<()> {
    let (mut input, mut filled) = (vec![0; 4096], 0);
    loop {
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        filled += count;
        let (mut taken, mut output) = (0, Cow::Borrowed(&b""[..]));
        while let Some((length, response)) = request(&input[taken..filled]) {
            if output.is_empty() {
                output = Cow::Borrowed(response);
            } else {
                output.to_mut().extend_from_slice(response);
            }
            taken += length;
        }
        input.copy_within(taken..filled, 0);
        filled -= taken;
        stream.write_all(&output).await?;
        stream.flush().await?;
    }
}

/// The length of the first request, if it is there, and the response to it.
fn request(input: &[u8]) -> Option<(usize, &'static [u8])> {
    if input.first() == Some(&b'P') {
        return (input.len() >= REQUEST.len()).then_some((REQUEST.len(), RESPONSE));
    }
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((end + 4, HELLO))
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let (address, tls) = (setup.address.clone(), setup.connector()?);
    let runtime = client_runtime(false)?;
    Ok(Box::new(move || {
        let runtime = Rc::clone(&runtime);
        let stream = Stream::connect(&address)?;
        let stream = {
            let _inside = runtime.enter();
            stream.into_tokio()?
        };
        Ok(match (stream, &tls) {
            (TokioStream::Tcp(stream), Some((connector, name))) => {
                let stream = runtime.block_on(connector.connect(name.clone(), stream))?;
                Box::new(RawTokio { stream, runtime })
            }
            (TokioStream::Tcp(stream), None) => Box::new(RawTokio { stream, runtime }),
            (TokioStream::Unix(stream), _) => Box::new(RawTokio { stream, runtime }),
        })
    }))
}

struct RawTokio<S> {
    // Before the runtime, which has to outlive its sockets.
    stream: S,
    runtime: Rc<Runtime>,
}

impl<S: Socket> Client for RawTokio<S> {
    fn trips(&mut self, count: u64) -> Result {
        let Self { stream, runtime } = self;
        runtime.block_on(async {
            for _ in 0..count {
                stream.write_all(REQUEST).await?;
                // A TLS stream keeps octets back otherwise; on a socket it does nothing.
                stream.flush().await?;
                if !fill::<{ RESPONSE.len() }>(stream).await? {
                    return Err("the server closed the connection".into());
                }
            }
            Ok(())
        })
    }

    fn close(mut self: Box<Self>) -> Result {
        Ok(self.runtime.block_on(self.stream.shutdown())?)
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
