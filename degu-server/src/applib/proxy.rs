//! A server in front of a server.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use degu_client::{Client, Connection, Error, ErrorKind, OwnedIncoming, OwnedResponse, UpgradeOf};
use degu_wire::{BoxError, Headers, LocalBody, LocalError, Method, Source};
use portable_atomic::AtomicU64;

use super::forwarded::{is, is_forwarded};
use crate::{App, IntoResponse, Request, Response, Session, Tunnel};

type SetHeaders = Box<dyn Fn(&Session, &mut Headers) -> Result<(), BoxError> + Send + Sync>;

/// An app that passes requests on to another server, and its answers back.
///
/// Bodies flow through as they come, with their chunks, extensions and trailers, and never more of them is held than a
/// buffer: a slow reader slows its writer on the other side. Every connection of a client keeps one connection to the
/// server behind, for 4 s after it was used. A [pool](degu_client::PoolOf) would save connecting for clients that send one
/// request each, and mix the requests of all clients on its connections: a fault of the server behind, which took one
/// request for two, would then give the answer of one client to another.
///
/// What belongs to a connection and not to the message is dropped in both directions: `connection` and what it lists,
/// `keep-alive`, `proxy-connection`, `te`, `transfer-encoding`, `upgrade` (RFC 9110 §7.6.1), and `expect`, which this
/// side has answered. [`with_tunnels`](Self::with_tunnels) passes on offers to switch to another protocol. `forwarded`
/// and `x-forwarded-*` are dropped from requests, because a client can write there what it likes:
/// [`with_request_headers`](Self::with_request_headers) is where they are set, and
/// [`set_forwarded_for`](super::set_forwarded_for) sets `x-forwarded-for` to the client's address. A name counts as the same
/// with `_` in place of `-`, and such a `content_length` is dropped too: to programs of CGI or WSGI both are one variable.
/// `host` stays what the client sent. A `content-length` in a 204 is dropped, which must have none (RFC 9110 §8.6).
///
/// What the client of this crate reads leniently is written strictly: a folded field as one line, a chunk size without
/// the blanks after it. A field that must be unique, `content-type` for example, is passed on once if the server
/// repeats it with the same value. With two values the response is 502, because each reader might take another one.
///
/// Each request gets a line of `via` (RFC 9110 §7.6.3) with the version in which this side received it and a pseudonym:
/// `1.1 degu`, or what [`with_pseudonym`](Self::with_pseudonym) sets. Responses get none, which the RFC leaves to a gateway.
///
/// The server behind gets the path of the request without its mount.
///
/// # Deadlines
///
/// | waits for | default | set by | then |
/// | --- | --- | --- | --- |
/// | a connection to the server behind | 10 s | [`with_connect_timeout`](Self::with_connect_timeout) | 504 |
/// | the head of its response, from the end of the request | 60 s | [`with_head_timeout`](Self::with_head_timeout): more for a long poll | 504 |
/// | room for the next bytes of a request, or the next bytes of a response whose length is known | 60 s | [`with_body_timeout`](Self::with_body_timeout) | 504, or a response that is cut |
/// | the next bytes of a response without a length, such as a feed | no limit | | |
///
/// A response without a length lives as long as its client reads it: the server ends it when the client has gone, or takes
/// nothing of it for longer than [`Options::progress`](crate::Options::progress) allows. The defaults are those of the
/// [`Client`] that the proxy is made of.
///
/// A request is passed on only while its response can be. A client that sends all of its request before it reads gets an
/// early answer all the same, if the buffers of its connection hold the answer (some hundred KiB). With a longer one, client and
/// proxy wait for each other, until `Options::progress` ends the connection.
///
/// # Failures
///
/// The response is 502 where the server behind cannot be reached, 504 where it is too slow, and 431 where a request is over
/// 65,535 bytes with the fields that the proxy adds, which limits over the default may let in. A request is sent a second
/// time only if the connection had been kept, its server cannot have acted on it, and all of its body is in memory; a body
/// that streams goes over a new connection.
///
/// ```no_run
/// use std::time::Duration;
///
/// use degu_client::Client;
/// use degu_server::{Address, Server, applib::{ProxyApp, set_forwarded_for}};
///
/// let proxy = ProxyApp::new(Client::new(Address::unix("/run/app.sock")))
///     .with_request_headers(set_forwarded_for)
///     .with_head_timeout(Duration::from_secs(120));
/// Server::bind("[::]:8080".parse::<Address>()?, proxy)?.serve_forever()?;
/// # Ok::<(), degu_server::BoxError>(())
/// ```
pub struct ProxyApp {
    client: Client,
    pseudonym: Box<str>,
    set_headers: Option<SetHeaders>,
    /// The protocols to which a connection may switch.
    tunnels: Vec<Box<str>>,
    /// The key of this proxy's connection among those that a session keeps.
    id: u64,
}

/// The response to a request that is over 65,535 bytes with what a proxy adds to it.
const TOO_LARGE: u16 = 431;

/// The response in place of one that cannot be passed on.
const BAD_GATEWAY: u16 = 502;

/// A connection that has been idle for longer is not used: Node, Apache and uvicorn close it after 5 s, and a POST that is on
/// its way then cannot be sent again.
const IDLE: Duration = Duration::from_secs(4);

/// The connections that a session keeps, each with the proxy that it belongs to.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<(u64, Connection, Instant)>>>);

impl Kept {
    /// Takes the connection of this proxy, unless it has been idle for too long: it is closed then.
    fn take(&self, id: u64, now: Instant) -> Option<Connection> {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, ..)| *of == id)?;
        let (_, connection, since) = kept.swap_remove(at);
        (now.saturating_duration_since(since) < IDLE).then_some(connection)
    }

    fn put(&self, id: u64, connection: Connection, now: Instant) {
        self.0.borrow_mut().push((id, connection, now));
    }
}

impl ProxyApp {
    /// Returns a proxy that passes requests on to the server of this client.
    pub fn new(client: Client) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            client,
            pseudonym: "degu".into(),
            set_headers: None,
            tunnels: Vec::new(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Sets what `via` calls this proxy: a name of its own, or its host with an optional port. Default: `degu`.
    ///
    /// # Panics
    ///
    /// If it is neither: a token of RFC 9110 §5.6.2, with or without a port.
    #[must_use]
    pub fn with_pseudonym(mut self, pseudonym: &str) -> Self {
        assert!(is_received_by(pseudonym), "{pseudonym:?} cannot stand in `via`");
        self.pseudonym = pseudonym.into();
        self
    }

    /// Sets a function that changes the fields of every request last, before it is passed on. An error is the proxy's
    /// failure, 500, unless it is [`LocalError::HeadTooLarge`], 431.
    #[must_use]
    pub fn with_request_headers(
        mut self,
        set: impl Fn(&Session, &mut Headers) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.set_headers = Some(Box::new(set));
        self
    }

    /// Passes on offers to switch to these protocols, `["websocket", "tcp"]` for example, in this order where a client
    /// offers several (RFC 9110 §7.8). Default: none.
    ///
    /// The server behind decides: the client gets 101 when that server has answered with it, and no byte of the new
    /// protocol goes on before. Then both directions are passed on, half-closes too, until both have ended; a fault on
    /// one side resets the other. Every offer goes over a connection of its own.
    ///
    /// # Panics
    ///
    /// With `h2c`: a client could then send requests that this side does not check.
    #[must_use]
    pub fn with_tunnels<P: Into<Box<str>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.tunnels = protocols.into_iter().map(Into::into).collect();
        assert!(self.tunnels.iter().all(|protocol| !protocol.eq_ignore_ascii_case("h2c")), "h2c cannot be passed on");
        self
    }

    /// Sets how long it may take to connect to the server behind: looking its name up, every address of it, and the
    /// handshake. Then the request is answered with 504.
    ///
    /// Default: what the client's options say, which is 10 s if they say nothing.
    #[must_use]
    pub fn with_connect_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.connect_timeout(limit))
    }

    /// Sets how long the server behind may take to answer, from the end of the request to the end of the response's
    /// head. Then the request is answered with 504. A long poll needs more than its interval, or `None`: the wait ends
    /// all the same when the client goes away.
    ///
    /// Default: what the client's options say, which is 60 s if they say nothing (nginx: 60 s for each read).
    #[must_use]
    pub fn with_head_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.head_timeout(limit))
    }

    /// Sets how long a body may stand still at the server behind: a request while that server takes nothing of it, and a
    /// response whose length is known while nothing of it arrives. A response without a length has no such limit.
    ///
    /// Default: what the client's options say, which is 60 s if they say nothing (nginx: 60 s).
    #[must_use]
    pub fn with_body_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.body_timeout(limit))
    }

    fn with_client_options(mut self, change: impl FnOnce(degu_client::Options) -> degu_client::Options) -> Self {
        self.client = change(self.client.to_options()).client(self.client.address());
        self
    }

    fn request_headers(&self, session: &Session, request: &Request<'_>) -> Result<Headers, BoxError> {
        let mut headers =
            end_to_end(request.headers(), |name| is(name, "expect") || is(name, "host") || is_forwarded(name))?;
        if !request.authority().is_empty() {
            headers.set("host", request.authority())?;
        }
        let version = if request.is_http10() { "1.0" } else { "1.1" };
        headers.append("via", format_args!("{version} {}", self.pseudonym))?;
        if let Some(set) = &self.set_headers {
            set(session, &mut headers)?;
        }
        Ok(headers)
    }

    async fn pass(&self, session: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
        let headers = self.request_headers(session, &request)?;
        let (method, uri) = (request.method(), uri_behind(&request));
        let offer = self.tunnels.iter().find_map(|protocol| request.upgrade(protocol));
        let kept = match session.get::<Kept>() {
            Some(kept) => kept.clone(),
            None => {
                let kept = Kept::default();
                session.insert(kept.clone());
                kept
            }
        };
        let body = request.body.into();
        let exchanged = match &offer {
            Some(offer) => self.offer(offer.protocol(), method, &uri, headers, body).await,
            None => self.exchange(&kept, method, &uri, headers, body).await.map(UpgradeOf::Declined),
        };
        let mut response = match (exchanged, offer) {
            (Ok(UpgradeOf::Declined(response)), _) => response,
            (Ok(UpgradeOf::Switched { response, tunnel }), Some(offer)) => {
                return Ok(match end_to_end(&response.headers, |name| is(name, "content-length")) {
                    Ok(headers) => offer.accept(headers, pass_on(tunnel)),
                    Err(error) => self.bad_response(error),
                });
            }
            // The client of this crate takes no 101 for an answer where nothing was offered.
            (Ok(UpgradeOf::Switched { .. }), None) => return Ok(self.bad_response(LocalError::NotOffered)),
            (Err(error), _) => return self.answer_for(error),
        };
        if response.body.remaining().is_none() {
            // It may be a feed, which ends with its reader.
            response.body.set_body_timeout(None);
        }
        let (id, status, reason) = (self.id, response.status, response.reason);
        // Some servers write a length into a 204, which must have none (RFC 9110 §8.6).
        let headers = match end_to_end(&response.headers, |name| status == 204 && is(name, "content-length")) {
            Ok(headers) => headers,
            Err(error) => return Ok(self.bad_response(error)),
        };
        let body = response.body.into_body(move |connection| kept.put(id, connection, Instant::now()));
        Ok((status, reason, headers, body).into())
    }

    /// Sends the request over the connection that was kept, if its body can be sent again should that have been closed.
    async fn exchange(
        &self,
        kept: &Kept,
        method: Method<'_>,
        uri: &str,
        headers: Headers,
        body: LocalBody,
    ) -> Result<OwnedResponse<dyn Source>, Error> {
        if let Some(again) = body.try_clone()
            && let Some(connection) = kept.take(self.id, Instant::now())
        {
            match connection.exchange(method, uri, headers.clone(), again).await {
                Err(error) if error.is_retryable() => {}
                result => return result,
            }
        }
        self.client.connect().await?.exchange(method, uri, headers, body).await
    }

    /// Sends a request that offers another protocol, over a connection of its own.
    async fn offer(
        &self,
        protocol: &str,
        method: Method<'_>,
        uri: &str,
        headers: Headers,
        body: LocalBody,
    ) -> Result<UpgradeOf<degu_client::Tunnel, OwnedIncoming<dyn Source>>, Error> {
        self.client.connect().await?.exchange_upgrade(method, uri, protocol, headers, body).await
    }

    /// Returns the answer in place of a response that cannot be passed on.
    fn bad_response(&self, error: LocalError) -> Response {
        tracing::warn!(behind = %self.client.address(), %error, "cannot forward the response");
        BAD_GATEWAY.into()
    }

    /// Returns the answer to a request that could not be forwarded, because the server behind or the client's body failed.
    fn answer_for(&self, error: Error) -> Result<Response, BoxError> {
        let status = match error.kind() {
            // The body of the client's request could not be read: that is the client's fault, and answered as such.
            ErrorKind::Body(_) => return Err(error.into()),
            ErrorKind::Timeout(_) => 504,
            // It came in a shorter form, and was not sent to the server behind.
            ErrorKind::Local(LocalError::HeadTooLarge) => TOO_LARGE,
            _ => BAD_GATEWAY,
        };
        tracing::warn!(behind = %self.client.address(), %error, "cannot forward the request");
        Ok(status.into())
    }
}

impl App for ProxyApp {
    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        match self.pass(session, request).await {
            Err(error) if matches!(error.downcast_ref(), Some(LocalError::HeadTooLarge)) => TOO_LARGE.into(),
            passed => passed.into_response(),
        }
    }
}

impl fmt::Debug for ProxyApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyApp").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Returns the handler that joins a client's tunnel and that of the server behind.
fn pass_on(mut behind: degu_client::Tunnel) -> impl AsyncFnOnce(&mut Session, Tunnel<'_>) -> Result<(), BoxError> {
    async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
        tokio::io::copy_bidirectional(&mut tunnel, &mut behind).await?;
        Ok(())
    }
}

/// Returns whether `via` can hold this pseudonym: a token, and the port if it is the name of a host (RFC 9110 §7.6.3).
fn is_received_by(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && name.bytes().all(is_token) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the fields that are of the message and not of the connection, but for those that `drops` names (RFC 9110 §7.6.1).
/// A unique field is in them once; with two values it is an error.
fn end_to_end(headers: &Headers, drops: impl Fn(&str) -> bool) -> Result<Headers, LocalError> {
    const OF_THE_CONNECTION: [&str; 6] =
        ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
    // What our server sends once at most, and a client may receive several times.
    const UNIQUE: [&str; 5] = ["authorization", "content-type", "expect", "host", "range"];
    let mut kept = Headers::new();
    for (name, value) in headers.iter() {
        let of_the_connection = OF_THE_CONNECTION.iter().any(|listed| is(name, listed));
        let disguised = is(name, "content-length") && name.contains('_');
        if of_the_connection || disguised || headers.has_member("connection", name) || drops(name) {
            continue;
        }
        match kept.get_bytes(name) {
            Some(first) if UNIQUE.iter().any(|unique| unique.eq_ignore_ascii_case(name)) => {
                if first != value {
                    return Err(LocalError::FieldRepeated);
                }
            }
            _ => kept.append_bytes(name, value)?,
        }
    }
    Ok(kept)
}

/// Returns the path without the mount, and the query.
fn uri_behind(request: &Request<'_>) -> String {
    if request.target() == "*" {
        return "*".into();
    }
    let mut uri = String::with_capacity(request.target().len());
    for component in request.segments() {
        uri.push('/');
        uri.push_str(component);
    }
    if uri.is_empty() {
        uri.push('/');
    }
    if let Some(query) = request.query() {
        uri.push('?');
        uri.push_str(query);
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_idle_for_too_long_is_not_used() {
        let client = Client::new(crate::Address::unix("/run/app.sock"));
        let (kept, now) = (Kept::default(), Instant::now());
        for id in [1, 2] {
            kept.put(id, Connection::new(tokio::io::duplex(1).0, &client), now);
        }
        assert!(kept.take(2, now + IDLE - Duration::from_millis(1)).is_some());
        assert!(kept.take(1, now + IDLE).is_none());
        assert!(kept.take(1, now).is_none());
    }
}
