//! A server that says exactly what a test tells it to, byte by byte.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use degu_client::Address;
use tempfile::TempDir;

/// The kinds of addresses that a server listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    V4,
    V6,
    Path,
    Abstract,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::V4, Kind::V6, Kind::Path, Kind::Abstract];

/// A server on a thread of its own. Dropping it waits for its script, and passes on its panic.
pub(crate) struct Server {
    pub address: Address,
    thread: Option<JoinHandle<()>>,
    _folder: Option<TempDir>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The server's end of a connection.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Accepts connections, one after the other, for a script.
pub(crate) struct Accept(Listener);

impl Server {
    /// A server whose script gets its only connection.
    pub(crate) fn once(kind: Kind, script: impl FnOnce(&mut Wire) + Send + 'static) -> Self {
        Self::new(kind, |accept| script(&mut accept.next()))
    }

    pub(crate) fn new(kind: Kind, script: impl FnOnce(&Accept) + Send + 'static) -> Self {
        let mut folder = None;
        let (listener, address) = match kind {
            Kind::V4 | Kind::V6 => {
                let host = if matches!(kind, Kind::V4) { "127.0.0.1:0" } else { "[::1]:0" };
                let listener = TcpListener::bind(host).unwrap();
                let address = listener.local_addr().unwrap().into();
                (Listener::Tcp(listener), address)
            }
            Kind::Path => {
                let path = folder.insert(tempfile::tempdir().unwrap()).path().join("socket");
                (Listener::Unix(UnixListener::bind(&path).unwrap()), Address::unix(path))
            }
            Kind::Abstract => {
                let folder = tempfile::tempdir().unwrap();
                // A name as unique as the folder.
                let address = Address::abstract_name(folder.path().as_os_str().as_encoded_bytes()).unwrap();
                let name = (&address).try_into().unwrap();
                (Listener::Unix(UnixListener::bind_addr(&name).unwrap()), address)
            }
        };
        let accept = Accept(listener);
        Self { address, thread: Some(thread::spawn(move || script(&accept))), _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If the test has failed, the script may still wait for it.
        if !thread::panicking()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Accept {
    pub(crate) fn next(&self) -> Wire {
        match &self.0 {
            Listener::Tcp(listener) => Wire::Tcp(listener.accept().unwrap().0),
            Listener::Unix(listener) => Wire::Unix(listener.accept().unwrap().0),
        }
    }
}

impl Wire {
    /// Reads exactly these bytes.
    pub(crate) fn expect(&mut self, bytes: &str) {
        let mut got = vec![0; bytes.len()];
        let mut filled = 0;
        while filled < got.len() {
            match self.read(&mut got[filled..]) {
                Ok(0) | Err(_) => break,
                Ok(more) => filled += more,
            }
        }
        assert_eq!(String::from_utf8_lossy(&got[..filled]), bytes);
    }

    /// Reads to the end of a head, which is given.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Writes these bytes.
    pub(crate) fn send(&mut self, bytes: &str) {
        self.write_all(bytes.as_bytes()).unwrap();
    }

    /// Writes these bytes, and ignores errors, because the client's timeout may have closed the connection.
    pub(crate) fn try_send(&mut self, bytes: &str) {
        let _ = self.write_all(bytes.as_bytes());
    }

    /// Waits until the client closes. Drops the bytes that the client sends before.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = [0; 4096];
        while !matches!(self.read(&mut rest), Ok(0) | Err(_)) {}
    }

    /// Waits for at most `limit` until the client closes, and returns whether it did. Use this method only if the client
    /// sends nothing more.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
        }
        self.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Sends nothing more.
    pub(crate) fn shut(&mut self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    pub(crate) fn try_clone(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().unwrap()),
            Self::Unix(stream) => Self::Unix(stream.try_clone().unwrap()),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
