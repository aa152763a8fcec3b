//! The report of an exchange that has ended: the argument of [`Options::on_response`](crate::Options::on_response).

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use degu_wire::{Address, Method};

use crate::Credentials;

/// The most bytes of a target, or of the reason for a cut, in a log line. `…` replaces the rest.
const SHOWN: usize = 512;
/// The most bytes of a method in a log line. A client can send any token as the method.
const SHOWN_OF_METHOD: usize = 32;

/// A report of an exchange that has ended: the request line, the status and the length of the response, and the peer.
///
/// The function of [`Options::on_response`](crate::Options::on_response) gets the report. `Display` writes a log line:
///
/// ```text
/// GET /todos?text=milk 200 38B 0.214ms unix:@ pid=4242 uid=1000
/// POST /todos 413 62B 0.090ms [::1]:41234 "CN=device 7,O=Example"
/// GET /feed 200 81920B 2514.003ms 127.0.0.1:41236 cut: the peer is gone
/// - - 400 58B 0.000ms 127.0.0.1:41238
/// ```
///
/// The line has method, target, status, bytes of the response's body, duration and address. The ids of the client's
/// process and the subject of the client's certificate follow, if they are known. The subject is in quotes, because it may
/// contain spaces. In the subject, `"` and `\` are escaped with `\`. For a response that was cut, the line ends with the
/// reason. `-` stands for an unknown value. Control characters are escaped. A target and a reason are each cut after 512 bytes,
/// and a subject after 160 characters. The target includes the query, which may contain secrets. `Debug` leaves the query out.
///
/// Metrics are collected in the same function:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use degu_server::{Address, Exchange, Request, Server, Session};
///
/// #[derive(Default)]
/// struct Metrics {
///     responses: [AtomicU64; 10],
///     cut: AtomicU64,
///     microseconds: AtomicU64,
/// }
///
/// let metrics = Arc::new(Metrics::default());
/// let count = metrics.clone();
/// let server = Server::options()
///     .on_response(move |exchange: &Exchange| {
///         count.responses[usize::from(exchange.status().unwrap_or(0) / 100)].fetch_add(1, Relaxed);
///         count.cut.fetch_add(exchange.cut().is_some().into(), Relaxed);
///         count.microseconds.fetch_add(exchange.duration().as_micros() as u64, Relaxed);
///     })
///     .bind(Address::ABSTRACT, async |_: &mut Session, _: Request<'_>| "hello")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Exchange {
    request: Option<(Box<str>, Box<str>)>,
    status: Option<u16>,
    body_bytes: u64,
    duration: Duration,
    cut: Option<Box<str>>,
    peer: Peer,
}

/// The peer of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<Arc<degu_tls::PeerIdentity>>,
}

impl Peer {
    /// Returns a peer without a certificate.
    pub(crate) const fn new(address: Address, credentials: Option<Credentials>) -> Self {
        Self {
            address,
            credentials,
            #[cfg(feature = "tls")]
            identity: None,
        }
    }
}

/// The function that is called at the end of each exchange.
pub(crate) type OnResponse = Arc<dyn Fn(&Exchange) + Send + Sync>;

impl Exchange {
    /// Returns the method, or `None` if the request was refused before its whole head was received.
    pub fn method(&self) -> Option<Method<'_>> {
        self.request.as_ref().map(|(method, _)| Method::from(&**method))
    }

    /// Returns the request target as it was sent, or `None` if the request was refused before its whole head was received.
    pub fn target(&self) -> Option<&str> {
        self.request.as_ref().map(|(_, target)| &**target)
    }

    /// Returns the status of the response, or `None` if there was no response. A response that was cut also has a status.
    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns the number of bytes of the response's body that were sent, without the framing. The number is 0 for a response
    /// to HEAD. After a 101, it is the number of bytes of the new protocol. If the response was cut, the number may include
    /// bytes that were not sent.
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Returns the time from the end of the request's head to the end of the response. The end is the moment when the kernel has
    /// taken the last byte, or when the response is cut. The time is zero if the request was refused before its whole head was
    /// received.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns the text of the reason for which the response was cut or did not begin. Returns `None` if the response is
    /// complete. A complete response may have an error status.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// Returns the address of the peer: see [`Session::address`](crate::Session::address).
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket: see
    /// [`Session::credentials`](crate::Session::credentials).
    pub const fn credentials(&self) -> Option<Credentials> {
        self.peer.credentials
    }

    /// Returns the identity that the peer proved with its certificate: see [`Session::identity`](crate::Session::identity).
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.identity.as_deref()
    }
}

/// Writes the target without the query, which may contain secrets.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.method())
            .field("path", &self.target().and_then(|target| target.split('?').next()))
            .field("status", &self.status)
            .field("body_bytes", &self.body_bytes)
            .field("duration", &self.duration)
            .field("cut", &self.cut)
            .field("peer", &self.peer)
            .finish()
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, target) = self.request.as_ref().map_or(("-", "-"), |(method, target)| (&**method, &**target));
        write_start(f, method, SHOWN_OF_METHOD)?;
        f.write_char(' ')?;
        write_start(f, target, SHOWN)?;
        match self.status {
            Some(status) => write!(f, " {status}")?,
            None => f.write_str(" -")?,
        }
        write!(f, " {}B {:.3}ms {}", self.body_bytes, self.duration.as_secs_f64() * 1000.0, self.address())?;
        if let Some(Credentials { pid, uid, .. }) = self.credentials() {
            write!(f, " pid={pid} uid={uid}")?;
        }
        #[cfg(feature = "tls")]
        if let Some(identity) = self.identity() {
            write!(f, " {:?}", identity.subject())?;
        }
        if let Some(why) = self.cut() {
            f.write_str(" cut: ")?;
            write_start(f, why, SHOWN)?;
        }
        Ok(())
    }
}

/// Writes at most this many bytes of a text. Escapes control characters, so the text stays one line.
fn write_start(f: &mut fmt::Formatter<'_>, text: &str, most: usize) -> fmt::Result {
    let start = &text[..text.floor_char_boundary(most)];
    for c in start.chars() {
        if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
    }
    if start.len() < text.len() { f.write_char('…') } else { Ok(()) }
}

/// The report of an exchange that has not ended. Dropping the report calls `on_response`, so every exchange is reported once,
/// even if its task is aborted.
pub(crate) struct Report {
    on_response: OnResponse,
    began: Option<Instant>,
    exchange: Exchange,
}

impl Report {
    /// Returns the report of a request whose head has been read.
    pub(crate) fn begin(on_response: &OnResponse, method: &str, target: &str, peer: Peer) -> Self {
        let mut report = Self::without_head(on_response, peer);
        report.began = Some(Instant::now());
        report.exchange.request = Some((method.into(), target.into()));
        report
    }

    /// Returns the report of a request that is refused before its whole head has been received.
    pub(crate) fn without_head(on_response: &OnResponse, peer: Peer) -> Self {
        let exchange = Exchange {
            request: None,
            status: None,
            body_bytes: 0,
            duration: Duration::ZERO,
            cut: Some("the server closed the connection".into()),
            peer,
        };
        Self { on_response: Arc::clone(on_response), began: None, exchange }
    }

    /// Reports that the server refused the request, and sent the whole response: this status, and a body of `body_bytes` bytes.
    pub(crate) fn refuse(mut self, status: u16, body_bytes: usize) {
        self.respond(status);
        self.add(body_bytes as u64);
        self.end();
    }

    /// Records that a response with this status has begun.
    pub(crate) const fn respond(&mut self, status: u16) {
        self.exchange.status = Some(status);
    }

    /// Adds to the number of bytes of the response's body.
    pub(crate) const fn add(&mut self, bytes: u64) {
        self.exchange.body_bytes += bytes;
    }

    /// Reports that the response is complete.
    pub(crate) fn end(mut self) {
        self.exchange.cut = None;
    }

    /// Reports that the response was cut, or did not begin. `unsent` is the number of bytes that the kernel has not taken.
    pub(crate) fn cut(mut self, reason: &dyn fmt::Display, unsent: usize) {
        self.exchange.body_bytes = self.exchange.body_bytes.saturating_sub(unsent as u64);
        self.exchange.cut = Some(reason.to_string().into());
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Self { on_response, began, exchange } = self;
        exchange.duration = began.map_or(Duration::ZERO, |began| began.elapsed());
        // If the function panics, the panic hook has already printed the message. The connection continues.
        let _ = catch_unwind(AssertUnwindSafe(|| on_response(exchange)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(method: &str, target: &str, cut: Option<&str>) -> Exchange {
        Exchange {
            request: Some((method.into(), target.into())),
            status: Some(200),
            body_bytes: 38,
            duration: Duration::from_micros(1214),
            cut: cut.map(Into::into),
            peer: Peer::new(Address::unix("/run/a\nb"), Some(Credentials { pid: 7, uid: 1000, gid: 8 })),
        }
    }

    #[test]
    fn log_line_is_one_line_and_bounded() {
        let line = exchange("GET", "/todos?text=milk", None).to_string();
        assert_eq!(line, "GET /todos?text=milk 200 38B 1.214ms unix:/run/a%0Ab pid=7 uid=1000");
        let shown = format!("{:?}", exchange("GET", "/todos?text=milk", None));
        assert!(shown.contains(r#"path: Some("/todos"), status: Some(200)"#) && !shown.contains("milk"), "{shown}");
        let line = exchange("GET", "/", Some("the app failed: no\r\nroom\u{85}")).to_string();
        assert!(line.ends_with(r" uid=1000 cut: the app failed: no\r\nroom\u{85}"), "{line}");
        let line = exchange(&"M".repeat(9000), &"/ä".repeat(9000), Some(&"x".repeat(9000))).to_string();
        assert!(line.len() < 1200 && line.starts_with(&format!("{}… /ä", "M".repeat(32))), "{line}");
    }
}
