//! Valid responses, cut at every byte: never a body that looks whole, in any way of reading.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use degu_client::{Address, Body, Client, Connection, Error, Fault, blocking};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server that has said everything it will, in reads of at most `step` bytes.
#[derive(Clone)]
struct Said {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Said {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.step);
        let read = (&self.bytes[self.at..]).read(&mut buffer[..len])?;
        self.at += read;
        Ok(read)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Said {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.get_mut().read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The ways of reading a body.
const WAYS: usize = 4;

fn read_blocking(client: &blocking::Client, said: &Said, way: usize) -> Result<Vec<u8>, Error> {
    let mut connection = blocking::Connection::new(said.clone(), client);
    let mut body = connection.get("/")?.body;
    let mut all = Vec::new();
    match way {
        0 => all.extend_from_slice(&body.read_all(1 << 20)?),
        1 => {
            while let Some(data) = body.next_data()? {
                all.extend_from_slice(&data);
            }
        }
        2 => {
            while let Some(chunk) = body.next_chunk()? {
                all.extend_from_slice(&chunk.data);
            }
        }
        _ => while body.next_part()?.is_some() {},
    }
    Ok(all)
}

async fn read_async(client: &Client, said: &Said, way: usize) -> Result<Vec<u8>, Error> {
    let mut connection = Connection::new(said.clone(), client);
    let mut body = connection.request("GET", "/", (), Body::none()).await?.body;
    let mut all = Vec::new();
    match way {
        0 => all.extend_from_slice(&body.read_all(1 << 20).await?),
        1 => {
            while let Some(data) = body.next_data().await? {
                all.extend_from_slice(&data);
            }
        }
        2 => {
            while let Some(chunk) = body.next_chunk().await? {
                all.extend_from_slice(&chunk.data);
            }
        }
        _ => while body.next_part().await?.is_some() {},
    }
    Ok(all)
}

/// A future that never waits, since everything has been said.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing is waited for"),
    }
}

/// A response with a body of a length or of chunks, and the body.
fn response() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let field = prop_oneof![Just(""), Just("server: x\r\n"), Just("connection: close\r\n")];
    let data = || prop::collection::vec(any::<u8>(), 1..40);
    let chunk = (data(), prop_oneof![Just(""), Just(";a"), Just(";a=1;b=\"x\\\"y\"")]);
    let trailers = prop_oneof![Just(""), Just("x-sum: 1\r\n"), Just("a: b\r\nc:\r\n")];
    let plain = (field.clone(), data()).prop_map(|(field, data)| {
        let head = format!("HTTP/1.1 200 OK\r\n{field}content-length: {}\r\n\r\n", data.len());
        ([head.as_bytes(), &data].concat(), data)
    });
    let chunked = (field, prop::collection::vec(chunk, 0..5), trailers).prop_map(|(field, chunks, trailers)| {
        let mut text = format!("HTTP/1.1 200 OK\r\n{field}transfer-encoding: chunked\r\n\r\n").into_bytes();
        let mut all = Vec::new();
        for (data, extensions) in chunks {
            text.extend_from_slice(format!("{:x}{extensions}\r\n", data.len()).as_bytes());
            text.extend_from_slice(&data);
            text.extend_from_slice(b"\r\n");
            all.extend_from_slice(&data);
        }
        text.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        (text, all)
    });
    prop_oneof![plain, chunked]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_response_is_an_error((text, body) in response(), step in prop_oneof![1..8_usize, Just(usize::MAX)]) {
        let client = Client::options().head_timeout(None).body_timeout(None).client(Address::IPV6_LOOPBACK);
        let plain = blocking::Client::from(client.clone());
        for way in 0..WAYS {
            let expected = if way < 3 { body.clone() } else { Vec::new() };
            let whole = Said { bytes: text.clone(), at: 0, step };
            prop_assert_eq!(&read_blocking(&plain, &whole, way).unwrap(), &expected);
            prop_assert_eq!(&now(read_async(&client, &whole, way)).unwrap(), &expected);
            for cut in 0..text.len() {
                let said = Said { bytes: text[..cut].to_vec(), at: 0, step };
                prop_assert!(read_blocking(&plain, &said, way).is_err(), "way {}, cut at {}", way, cut);
                prop_assert!(now(read_async(&client, &said, way)).is_err(), "way {}, cut at {}", way, cut);
            }
        }
    }
}

/// A server may announce more than it sends, and more than the machine has memory.
#[test]
fn announced_length_reserves_no_memory() {
    let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nabcdef", u64::MAX / 2).into_bytes();
    let (said, client) = (Said { bytes, at: 0, step: 3 }, Client::new(Address::IPV6_LOOPBACK));
    let plain = blocking::Client::from(client.clone());
    let error =
        blocking::Connection::new(said.clone(), &plain).get("/").unwrap().body.read_all(usize::MAX).unwrap_err();
    assert_eq!(error.remote().unwrap().fault, Fault::TruncatedBody);
    let mut connection = Connection::new(said, &client);
    let mut response = now(connection.get("/")).unwrap();
    assert_eq!(now(response.body.read_all(usize::MAX)).unwrap_err().remote().unwrap().fault, Fault::TruncatedBody);
}
