//! A client that knows nothing of HTTP: bytes in, bytes out.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use degu_server::{Address, App, Handle, Options, Server};

/// A running server, gone when dropped.
pub(crate) struct Running {
    handle: Option<Handle>,
    pub(crate) address: Address,
}

impl Running {
    pub(crate) fn new(address: Address, app: impl App) -> Self {
        Self::with(Server::options().workers(1), address, app)
    }

    pub(crate) fn with(options: Options, address: Address, app: impl App) -> Self {
        let handle = options.bind(address, app).unwrap().spawn().unwrap();
        Self { address: handle.address().clone(), handle: Some(handle) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(&self.address)
    }

    /// Sends these bytes. Returns all that comes back until the server closes, or is silent after the last of them.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut raw = self.connect();
        raw.send(bytes);
        raw.shut_down_writing();
        raw.rest()
    }

    pub(crate) fn shut_down(mut self) {
        self.handle.take().unwrap().shutdown_blocking();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.abort();
            handle.wait();
        }
    }
}

/// A response that the server makes by itself, and after which it closes: its status, and the text behind the phrase.
pub(crate) fn refusal(status: &str, why: &str) -> String {
    let (_, phrase) = status.split_once(' ').unwrap();
    let text = format!("{phrase}: {why}\n");
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

/// The same for an app that has failed.
pub(crate) fn failed() -> String {
    refusal("500 Internal Server Error", "the server failed")
}

pub(crate) enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Longer than any machine needs: a test that waits for it has failed.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

impl Raw {
    pub(crate) fn connect(address: &Address) -> Self {
        let raw = if address.is_unix() {
            let address = std::os::unix::net::SocketAddr::try_from(address).unwrap();
            Self::Unix(UnixStream::connect_addr(&address).unwrap())
        } else {
            Self::Tcp(TcpStream::connect(SocketAddr::try_from(address).unwrap()).unwrap())
        };
        match &raw {
            Self::Tcp(stream) => {
                stream.set_read_timeout(PATIENCE).unwrap();
                stream.set_write_timeout(PATIENCE).unwrap();
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(PATIENCE).unwrap();
                stream.set_write_timeout(PATIENCE).unwrap();
            }
        }
        raw
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes.as_ref()).unwrap(),
            Self::Unix(stream) => stream.write_all(bytes.as_ref()).unwrap(),
        }
    }

    /// Sends like `send`, where the peer may be gone.
    pub(crate) fn try_send(&mut self, bytes: &str) -> bool {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes.as_bytes()).is_ok(),
            Self::Unix(stream) => stream.write_all(bytes.as_bytes()).is_ok(),
        }
    }

    /// Everything up to an empty line; none where the peer closes before the first byte.
    pub(crate) fn response_head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.read_some(&mut byte) {
                Ok(1..) => head.push(byte[0]),
                _ if head.is_empty() => return None,
                end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        Some(String::from_utf8(head).unwrap())
    }

    pub(crate) fn shut_down_writing(&self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.read(buffer),
                Self::Unix(stream) => stream.read(buffer),
            };
            // If the process is stopped and continued, a read with a timeout fails with EINTR.
            if !read.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                return read;
            }
        }
    }

    /// The same connection once more, to write while somebody reads.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
        }
    }

    /// Goes away for good.
    pub(crate) fn reset(self) {
        if let Self::Tcp(stream) = &self {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Everything up to the end, which may be a reset.
    pub(crate) fn end(&mut self) -> String {
        let mut all = Vec::new();
        // What was read before an error stays read.
        let _ = match self {
            Self::Tcp(stream) => stream.read_to_end(&mut all),
            Self::Unix(stream) => stream.read_to_end(&mut all),
        };
        String::from_utf8(all).unwrap()
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> String {
        let mut all = Vec::new();
        match self {
            Self::Tcp(stream) => stream.read_to_end(&mut all).unwrap(),
            Self::Unix(stream) => stream.read_to_end(&mut all).unwrap(),
        };
        String::from_utf8(all).unwrap()
    }

    /// Reads exactly these bytes.
    pub(crate) fn expect(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut bytes).unwrap(),
            Self::Unix(stream) => stream.read_exact(&mut bytes).unwrap(),
        }
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }
}
