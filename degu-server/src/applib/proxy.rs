//! A reverse proxy: an app that forwards requests to another server.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use degu_client::{Client, Connection, Error, ErrorKind, OwnedResponse, UpgradeOf};
use degu_wire::{BoxError, Headers, LocalBody, LocalError, Method, Source, status};

use super::forwarded::{folded, is, is_forwarded};
use crate::atomic::AtomicU64;
use crate::{App, IntoResponse, Request, Response, Session, Tunnel};

type SetHeaders = Box<dyn Fn(&Session, &mut Headers) -> Result<(), BoxError> + Send + Sync>;

/// An app that forwards requests to another server (the upstream), and returns its responses.
///
/// **Bodies** are forwarded while they are received, with their chunks, extensions and trailers. The proxy buffers only a
/// part of a body, so a slow reader slows the writer on the other side.
///
/// **Connections**: each connection of a client has one connection to the upstream, which is kept for 4 s after its last use. A
/// [pool](degu_client::PoolOf) would save connecting for clients that send only one request, but its connections would carry
/// requests of different clients. If the upstream then parsed one request as two, a client could get the response to another
/// client.
///
/// **Fields that are dropped**: fields of the connection are dropped in both directions: `connection` and the fields it lists,
/// `keep-alive`, `proxy-connection`, `te`, `transfer-encoding`, `upgrade` (RFC 9110 §7.6.1). `expect` is dropped because the
/// server has answered it. `forwarded` and `x-forwarded-*` are dropped from requests, because a client can set them to anything;
/// [`with_request_headers`](Self::with_request_headers) can set them, and
/// [`set_forwarded_for`](super::set_forwarded_for) sets `x-forwarded-for` to the client's address. Names with `_` in place of `-`
/// are dropped in the same way, `content_length` too, because programs of CGI or WSGI cannot tell the two apart. `host` is
/// forwarded as the client sent it. `content-length` in a 204, which must have none, is dropped (RFC 9110 §8.6).
///
/// **Switching protocols**: offers are forwarded only for the protocols of [`with_tunnels`](Self::with_tunnels).
///
/// **Lenient input, strict output**: the [`Client`] accepts some malformed responses, but the proxy writes all responses correctly.
/// For example, a folded field becomes one line. A field that must be unique, such as `content-type`, is forwarded once if all its
/// values are equal. If they differ, the proxy answers 502, because different readers might use different values.
///
/// **Via**: each request gets a `via` field (RFC 9110 §7.6.3) with the HTTP version in which it was received and a pseudonym:
/// `1.1 degu`, or the one that [`with_pseudonym`](Self::with_pseudonym) sets. Responses get none, because the RFC does not
/// require it of a gateway.
///
/// **Path**: the upstream gets the path of the request without its mount.
///
/// # Deadlines
///
/// | waits for | default | set by | when it expires |
/// | --- | --- | --- | --- |
/// | a connection to the upstream | 10 s | [`with_connect_timeout`](Self::with_connect_timeout) | 504 |
/// | the head of its response, from the end of the request | 60 s | [`with_head_timeout`](Self::with_head_timeout): longer for a long poll | 504 |
/// | room for the next bytes of a request, or the next bytes of a response whose length is known | 60 s | [`with_body_timeout`](Self::with_body_timeout) | 504, or the response is cut |
/// | the next bytes of a response without a length, such as events | no limit | | |
///
/// A response without a length is forwarded as long as its client reads it. The server ends it when the client has gone, or when
/// the client takes it more slowly than [`Options::progress`](crate::Options::progress) allows. The defaults are those of the
/// [`Client`] in the proxy.
///
/// The proxy reads a request only while it can write the response. If a client sends its whole request before it reads, an
/// early response must fit into the buffers of its connection (some hundred KiB). With a longer response, client and proxy wait for
/// each other until `Options::progress` ends the connection.
///
/// # Failures
///
/// The client gets 502 if the upstream cannot be reached, and 504 if it is too slow. It gets 431 if the request's head and the
/// fields that the proxy adds are over 65,535 bytes together; only limits above the default allow such a head. A request is sent
/// a second time only if its connection had been kept, the upstream cannot have acted on it, and its whole body is in memory. A
/// request whose body is streamed uses a new connection from the start.
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
    /// The key of this proxy's connection among the connections that a session keeps.
    id: u64,
}

/// The idle time after which a connection is not used again. Node, Apache and uvicorn close a connection after 5 s, and a
/// POST that is sent at that moment is lost and cannot be repeated.
const IDLE: Duration = Duration::from_secs(4);

/// The connections that a session keeps, each with the key of its proxy.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<(u64, Connection, Instant)>>>);

impl Kept {
    /// Takes the connection of this proxy. A connection that has been idle for too long is closed instead.
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
    /// Returns a proxy that forwards requests to the server of this client.
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

    /// Sets the name of this proxy in `via`: a pseudonym, or its host with an optional port. Default: `degu`.
    ///
    /// # Panics
    ///
    /// If the name is not a token (RFC 9110 §5.6.2) with an optional port.
    #[must_use]
    pub fn with_pseudonym(mut self, pseudonym: &str) -> Self {
        assert!(is_received_by(pseudonym), "{pseudonym:?} is not a valid pseudonym for the field `via`");
        self.pseudonym = pseudonym.into();
        self
    }

    /// Sets a function that may change the fields of every request, as the last step before it is forwarded. If the function
    /// returns an error, the client gets 500, or 431 for [`LocalError::HeadTooLarge`].
    #[must_use]
    pub fn with_request_headers(
        mut self,
        set: impl Fn(&Session, &mut Headers) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.set_headers = Some(Box::new(set));
        self
    }

    /// Forwards offers to switch to these protocols, `["websocket", "tcp"]` for example (RFC 9110 §7.8). If a client offers several,
    /// the first one in this list is forwarded. Default: none.
    ///
    /// The upstream decides: the client gets 101 only after the upstream's 101, and no byte of the new protocol is forwarded before
    /// that. Then both directions are forwarded, including half-closes, until both have ended. A fault on one side resets the
    /// other side. Each offer uses a new connection.
    ///
    /// # Panics
    ///
    /// If `h2c` is among them, because a client could then send requests that the proxy does not check.
    #[must_use]
    pub fn with_tunnels<P: Into<Box<str>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.tunnels = protocols.into_iter().map(Into::into).collect();
        assert!(
            self.tunnels.iter().all(|protocol| !protocol.eq_ignore_ascii_case("h2c")),
            "the proxy does not forward an upgrade to h2c"
        );
        self
    }

    /// Sets how long connecting to the upstream may take, including the lookup of its name, all its addresses, and the handshake.
    /// After that the client gets 504.
    ///
    /// Default: the value in the options of the [`Client`], which is 10 s by default.
    #[must_use]
    pub fn with_connect_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.connect_timeout(limit))
    }

    /// Sets how long the upstream may take to respond, from the end of the request to the end of the response's head. After
    /// that the client gets 504. A long poll needs more than its interval, or `None`. With `None` the wait still ends when the
    /// client goes away.
    ///
    /// Default: the value in the options of the [`Client`], which is 60 s by default (nginx: 60 s for each read).
    #[must_use]
    pub fn with_head_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.head_timeout(limit))
    }

    /// Sets how long the upstream may take no byte of a request's body, or send no byte of a response's body whose length is
    /// known. A response without a length has no such limit.
    ///
    /// Default: the value in the options of the [`Client`], which is 60 s by default (nginx: 60 s).
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
        let (method, uri) = (request.method(), upstream_target(&request));
        let offer = self.tunnels.iter().find_map(|protocol| request.upgrade(protocol));
        if session.get::<Kept>().is_none() {
            session.insert(Kept::default());
        }
        let kept = session.get::<Kept>().cloned().unwrap_or_default();
        let body = request.body.into();
        let exchanged = match &offer {
            Some(offer) => match self.client.connect().await {
                Ok(connection) => connection.exchange_upgrade(method, &uri, offer.protocol(), headers, body).await,
                Err(error) => Err(error),
            },
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
            // degu-client returns an error for a 101 without an offer, so this does not happen.
            (Ok(UpgradeOf::Switched { .. }), None) => return Ok(self.bad_response(LocalError::NotOffered)),
            (Err(error), _) => return self.answer_for(error),
        };
        if response.body.remaining().is_none() {
            // The response may be endless, such as events, and ends when its reader goes away.
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

    /// Sends the request. Uses the kept connection only if the body can be sent again, in case that connection was closed.
    async fn exchange(
        &self,
        kept: &Kept,
        method: Method<'_>,
        uri: &str,
        headers: Headers,
        mut body: LocalBody,
    ) -> Result<OwnedResponse<dyn Source>, Error> {
        if body.is_renewable()
            && let Some(connection) = kept.take(self.id, Instant::now())
        {
            match connection.exchange(method, uri, headers.clone(), body.start()).await {
                Err(error) if error.is_retryable() && body.renew() => {}
                result => return result,
            }
        }
        self.client.connect().await?.exchange(method, uri, headers, body).await
    }

    /// Logs that the response of the upstream cannot be forwarded, and returns a 502.
    fn bad_response(&self, error: LocalError) -> Response {
        tracing::warn!(upstream = %self.client.address(), %error, "cannot forward the response");
        status::BAD_GATEWAY.into()
    }

    /// Logs that the request could not be forwarded, and returns the response to it.
    fn answer_for(&self, error: Error) -> Result<Response, BoxError> {
        let status = match error.kind() {
            // The body of the client's request could not be read. This error has its own status.
            ErrorKind::Body(_) => return Err(error.into()),
            ErrorKind::Timeout(_) => status::GATEWAY_TIMEOUT,
            // The head was within the limit before the proxy's fields were added. It was not sent to the upstream.
            ErrorKind::Local(LocalError::HeadTooLarge) => status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => status::BAD_GATEWAY,
        };
        tracing::warn!(upstream = %self.client.address(), %error, "cannot forward the request");
        Ok(status.into())
    }
}

impl App for ProxyApp {
    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        match self.pass(session, request).await {
            Err(error) if matches!(error.downcast_ref(), Some(LocalError::HeadTooLarge)) => {
                status::REQUEST_HEADER_FIELDS_TOO_LARGE.into()
            }
            passed => passed.into_response(),
        }
    }
}

impl fmt::Debug for ProxyApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyApp").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Returns the handler that copies bytes between the client's tunnel and the upstream's.
fn pass_on(mut upstream: degu_client::Tunnel) -> impl AsyncFnOnce(&mut Session, Tunnel<'_>) -> Result<(), BoxError> {
    async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
        tokio::io::copy_bidirectional(&mut tunnel, &mut upstream).await?;
        Ok(())
    }
}

/// Returns whether `via` can contain this name: a token with an optional port (RFC 9110 §7.6.3).
fn is_received_by(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && name.bytes().all(is_token) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the fields that belong to the message and not to the connection (RFC 9110 §7.6.1), without those for which `drops`
/// is true. A field that must be unique is in the result once; it is an error if it has different values.
fn end_to_end(headers: &Headers, drops: impl Fn(&str) -> bool) -> Result<Headers, LocalError> {
    const OF_THE_CONNECTION: [&str; 6] =
        ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
    // Fields that the server sends at most once, and that degu-client may receive several times.
    const UNIQUE: [&str; 5] = ["authorization", "content-type", "expect", "host", "range"];
    let mut listed: Vec<&[u8]> = headers
        .get_all("connection")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    // Sorted, because a scan of a long list for each field would take quadratic time.
    listed.sort_unstable_by(|one, other| folded(one).cmp(folded(other)));
    let is_listed = |name: &str| listed.binary_search_by(|one| folded(one).cmp(folded(name.as_bytes()))).is_ok();
    let mut unique = [None; UNIQUE.len()];
    let mut kept = Headers::new();
    for (name, value) in headers.iter() {
        let of_the_connection = OF_THE_CONNECTION.iter().any(|field| is(name, field)) || is_listed(name);
        let disguised = is(name, "content-length") && name.contains('_');
        if of_the_connection || disguised || drops(name) {
            continue;
        }
        let at = UNIQUE.iter().position(|field| field.eq_ignore_ascii_case(name));
        match at.and_then(|at| unique[at].replace(value)) {
            Some(first) if first != value => return Err(LocalError::FieldRepeated),
            Some(_) => {}
            None => kept.append_bytes(name, value)?,
        }
    }
    Ok(kept)
}

/// Returns the target for the upstream: the path without the mount, and the query.
fn upstream_target(request: &Request<'_>) -> String {
    if request.target() == "*" {
        return "*".into();
    }
    let mut uri = String::with_capacity(request.target().len());
    uri.extend(request.segments().iter().flat_map(|segment| ["/", segment]));
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
    fn fields_that_a_long_connection_field_lists_are_dropped() {
        let mut headers = Headers::new();
        for start in [0, 1000] {
            let listed: Vec<_> = (start..start + 1000).map(|n| format!("x-{n}")).collect();
            headers.append("connection", listed.join(" , ,")).unwrap();
        }
        for name in ["X-0", "x-999", "x-1000", "X-1999", "x_7", "x-2000", "x-20", "x-", "y"] {
            headers.append(name, 1).unwrap();
        }
        let kept = end_to_end(&headers, |name| name == "y").unwrap();
        assert_eq!(kept.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-2000", "x-"]);
    }

    #[test]
    fn a_unique_field_is_kept_once_if_its_values_are_equal() {
        let mut headers = Headers::try_from([("Range", "bytes=0-"), ("x", "1")]).unwrap();
        headers.append("range", "bytes=0-").unwrap();
        assert_eq!(end_to_end(&headers, |_| false).unwrap().len(), 2);
        headers.append("range", "bytes=1-").unwrap();
        assert_eq!(end_to_end(&headers, |_| false), Err(LocalError::FieldRepeated));
    }

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
