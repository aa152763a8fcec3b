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

/// An app that forwards requests to another server, the upstream, and returns the responses of that server.
///
/// **Bodies** are forwarded while they are received, with their chunks, extensions and trailers. The proxy buffers only a
/// part of a body, so a slow reader slows the writer on the other side.
///
/// **Connections**: each client connection has an upstream connection of its own. While a client connection waits for its next
/// request, the proxy keeps at most one upstream connection for it. The proxy closes the upstream connection at the latest
/// when the client connection ends. A request does not use an upstream connection that was idle for 4 s. The proxy uses no
/// [pool](degu_client::PoolOf), because a connection of a pool carries requests of different clients: if the upstream parsed
/// one request as two, a client could get a response that belongs to another client. So a client that sends only one request
/// costs a new connection to the upstream.
///
/// **Dropped fields**:
///
/// - In both directions, the fields of the connection: `connection` and the fields that it lists, `keep-alive`,
///   `proxy-connection`, `te`, `transfer-encoding`, `upgrade` (RFC 9110 §7.6.1).
/// - From requests, `expect`, because the server has already answered it.
/// - From requests, `forwarded` and `x-forwarded-*`, because a client can set them to anything.
///   [`with_request_headers`](Self::with_request_headers) can set them again. For example,
///   [`set_forwarded_for`](super::set_forwarded_for) sets `x-forwarded-for` to the client's address.
/// - All these names with `_` in place of `-`, and `content_length`, because CGI and WSGI programs cannot tell `_` from `-`.
/// - From a 204, `content-length`, because a 204 must not have it (RFC 9110 §8.6).
/// - From a 205, the body and its `content-length`, because a 205 has no content (RFC 9110 §15.3.6).
///
/// `host` is forwarded as the client sent it.
///
/// **Switching protocols**: offers are forwarded only for the protocols of [`with_tunnels`](Self::with_tunnels).
///
/// **Lenient input, strict output**: the [`Client`] accepts some malformed responses, but the proxy writes all responses
/// correctly. For example, a folded field becomes one line. A field that must be unique, such as `content-type`, may come
/// several times. If its values are equal, it is forwarded once. If they differ, the client gets 502, because different readers
/// might use different values.
///
/// **Via**: each request gets the field `via` with the HTTP version of the client and a name of the proxy, such as `1.1 degu`
/// (RFC 9110 §7.6.3). [`with_pseudonym`](Self::with_pseudonym) sets the name. Responses get no `via`, because the RFC does not
/// require it of a reverse proxy.
///
/// **Path**: the upstream gets the path of the request without its [mount](Request::mount).
///
/// # Deadlines
///
/// | the proxy waits for | default | set by | when it expires |
/// | --- | --- | --- | --- |
/// | a connection to the upstream | 10 s | [`with_connect_timeout`](Self::with_connect_timeout) | 504 |
/// | the head of the response, from the end of the request | 60 s | [`with_head_timeout`](Self::with_head_timeout) | 504 |
/// | the upstream to take the next bytes of a request | 60 s | [`with_body_timeout`](Self::with_body_timeout) | 504 |
/// | the next bytes of a response with a known length | 60 s | [`with_body_timeout`](Self::with_body_timeout) | the response is cut |
/// | the next bytes of a response without a length, such as events | no limit | | |
///
/// The defaults are those of the [`Client`] in the proxy. A response without a length is forwarded as long as the client reads
/// it. The server cuts the response when the client goes away, or reads more slowly than
/// [`Options::progress`](crate::Options::progress) allows.
///
/// An upstream may send its response before it has received the whole request. Some clients do not read before they have sent
/// their whole request. Until then the response waits in the buffers of the client connection, which have some hundred KiB. If
/// the response is longer, the proxy stops reading the request, and client and proxy wait for each other until
/// `Options::progress` ends the connection.
///
/// # Failures
///
/// The client gets 502 if the upstream cannot be reached, and 504 if the upstream is too slow. The client gets 431 if
/// the forwarded head, with the fields that the proxy adds, would have over 65,535 bytes. With the default limits no head
/// is that long.
///
/// A request is sent again only if it was sent on a kept connection, that connection ended before any byte of the
/// response, sending again is [safe](degu_client::Error::is_retryable), and the whole body is in memory. A GET, for
/// example, may reach the upstream twice, but a POST cannot. A request with a streamed body always uses a new
/// connection.
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
    /// The number that identifies the connection of this proxy among the connections that a session keeps.
    id: u64,
}

/// The idle time after which a connection is not used again. Node, Apache and uvicorn close an idle connection after 5
/// s. A POST that is sent while the server closes the connection is lost, and cannot be repeated safely.
const IDLE: Duration = Duration::from_secs(4);

/// The idle connections to upstreams that a session keeps. Each has the number of its proxy, and the time of its last use.
#[derive(Clone, Default)]
struct Kept(Rc<RefCell<Vec<(u64, Connection, Instant)>>>);

impl Kept {
    /// Removes and returns the kept connection of the proxy with this number. If this connection has been idle for
    /// [`IDLE`] or longer, closes the connection and returns `None`.
    fn take(&self, id: u64, now: Instant) -> Option<Connection> {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, ..)| *of == id)?;
        let (_, connection, since) = kept.swap_remove(at);
        (now.saturating_duration_since(since) < IDLE).then_some(connection)
    }

    /// Keeps a connection, and closes the connection that this proxy kept before.
    fn put(&self, id: u64, connection: Connection, now: Instant) {
        drop(self.take(id, now));
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

    /// Sets the name of this proxy in the field `via`: a pseudonym, or a host with an optional port. Default: `degu`.
    ///
    /// # Panics
    ///
    /// If the name is not a token (RFC 9110 §5.6.2) with an optional port.
    #[must_use]
    pub fn with_pseudonym(mut self, pseudonym: &str) -> Self {
        assert!(
            is_received_by(pseudonym),
            "{pseudonym:?} is not a valid pseudonym for the field `via`: pass a token with an optional port"
        );
        self.pseudonym = pseudonym.into();
        self
    }

    /// Sets a function that may change the header fields of every request, as the last step before the request is forwarded. If
    /// the function returns an error, the client gets 500, or 431 for [`LocalError::HeadTooLarge`].
    #[must_use]
    pub fn with_request_headers(
        mut self,
        set: impl Fn(&Session, &mut Headers) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.set_headers = Some(Box::new(set));
        self
    }

    /// Sets the protocols whose offers are forwarded, for example `["websocket", "tcp"]` (RFC 9110 §7.8). If a client offers
    /// several of them, only the first in this list is forwarded. Default: none.
    ///
    /// The client gets 101 only after the upstream has sent 101. No byte of the new protocol is forwarded earlier. Then bytes and
    /// half-closes are forwarded in both directions, until both sides have ended. If one side fails, the other side is reset.
    /// A Unix socket without TLS has no reset, so its peer cannot tell this from an ordinary end. Each offer uses a new
    /// connection to the upstream.
    ///
    /// # Panics
    ///
    /// If `protocols` contains `h2c`, because a client could then send requests that the proxy does not check.
    #[must_use]
    pub fn with_tunnels<P: Into<Box<str>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.tunnels = protocols.into_iter().map(Into::into).collect();
        assert!(
            self.tunnels.iter().all(|protocol| !protocol.eq_ignore_ascii_case("h2c")),
            "the proxy cannot check requests in `h2c`: remove `h2c` from the protocols"
        );
        self
    }

    /// Sets the maximum time for connecting to the upstream. The time includes the lookup of the name, attempts with
    /// all addresses, and the TLS handshake. After this time the client gets 504.
    ///
    /// Default: the value in the options of the [`Client`], which is 10 s by default.
    #[must_use]
    pub fn with_connect_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.connect_timeout(limit))
    }

    /// Sets the maximum time from the end of the request to the end of the response's head. After this time the client
    /// gets 504. If the upstream delays its response until it has news (long polling), set a time that is longer than
    /// this delay, or `None`. Even with `None` the wait ends when the client goes away.
    ///
    /// Default: the value in the options of the [`Client`], which is 60 s by default (nginx: 60 s for each read).
    #[must_use]
    pub fn with_head_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.with_client_options(|options| options.head_timeout(limit))
    }

    /// Sets the maximum time without progress of a body. If the upstream takes no byte of the request's body for this time, the
    /// client gets 504. If the upstream sends no byte of a response with a known length for this time, the response is cut. A
    /// response without a length has no such limit.
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
                    Err(error) => self.bad_response(session, &error),
                });
            }
            // This case does not occur, because degu-client returns an error for a 101 without an offer.
            (Ok(UpgradeOf::Switched { .. }), None) => return Ok(self.bad_response(session, &LocalError::NotOffered)),
            (Err(error), _) => return self.answer_for(session, error),
        };
        if response.body.remaining().is_none() {
            // A response without a length may be endless, for example a stream of events. The server drops the response when
            // the client goes away.
            response.body.set_body_timeout(None);
        }
        let (id, status, reason) = (self.id, response.status, response.reason);
        // A 204 must not have a content-length (RFC 9110 §8.6), but some servers send one. A 205 has no content (RFC 9110
        // §15.3.6), but some servers mark its end by an empty chunked body or by closing. Both are forwarded without a body.
        let is_empty = matches!(status, 204 | 205);
        let headers = match end_to_end(&response.headers, |name| is_empty && is(name, "content-length")) {
            Ok(headers) => headers,
            Err(error) => return Ok(self.bad_response(session, &error)),
        };
        let body = response.body.into_body(move |connection| kept.put(id, connection, Instant::now()));
        let body = if is_empty { LocalBody::none() } else { body };
        Ok((status, reason, headers, body).into())
    }

    /// Sends the request on the kept connection, if there is one and the body can be sent again, otherwise on a new connection.
    /// If the upstream has closed the kept connection, and sending again is safe, sends the request again on a new connection.
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

    /// Logs that the response of the upstream cannot be forwarded, and returns 502 for the client.
    fn bad_response(&self, session: &Session, error: &LocalError) -> Response {
        self.log(session, "response", error);
        status::BAD_GATEWAY.into()
    }

    /// Logs that the request could not be forwarded, and returns the response for the client.
    fn answer_for(&self, session: &Session, error: Error) -> Result<Response, BoxError> {
        let status = match error.kind() {
            // The body of the client's request could not be read. The error inside determines the status.
            ErrorKind::Body(_) => return Err(error.into()),
            ErrorKind::Timeout(_) => status::GATEWAY_TIMEOUT,
            // The head that the client sent was within the limit. With the fields of the proxy, the head is too large,
            // and was not sent.
            ErrorKind::Local(LocalError::HeadTooLarge) => status::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => status::BAD_GATEWAY,
        };
        self.log(session, "request", &error);
        Ok(status.into())
    }

    /// Logs that a message cannot be forwarded. While the upstream is down, every request would cause a line, so the
    /// number of lines is limited.
    fn log(&self, session: &Session, message: &str, error: &dyn fmt::Display) {
        let upstream = self.client.address();
        match session.server.may_log() {
            Some(suppressed_lines) => {
                tracing::warn!(%upstream, %error, suppressed_lines, "cannot forward the {message}")
            }
            None => tracing::debug!(%upstream, %error, "cannot forward the {message}"),
        }
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

/// Returns a handler that copies bytes between the client and the upstream.
fn pass_on(upstream: degu_client::Tunnel) -> impl AsyncFnOnce(&mut Session, Tunnel<'_>) -> Result<(), BoxError> {
    let mut upstream = ResetOnDrop(Some(upstream));
    async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
        if let Some(upstream) = &mut upstream.0 {
            tokio::io::copy_bidirectional(&mut tunnel, upstream).await?;
        }
        drop(upstream.0.take());
        Ok(())
    }
}

/// A tunnel to the upstream, or `None` after the client and the upstream have both sent EOF. Dropping a tunnel resets the
/// connection to the upstream. An ordinary close would tell the upstream that it has received all data of the client.
struct ResetOnDrop(Option<degu_client::Tunnel>);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(tunnel) = self.0.take() {
            tunnel.reset();
        }
    }
}

/// Returns whether the text is a valid name for `via`: a token with an optional port (RFC 9110 §7.6.3).
fn is_received_by(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.is_empty() && name.bytes().all(is_token) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the fields that a proxy forwards. Leaves out the fields of the connection (RFC 9110 §7.6.1), and the fields for
/// which `drops` returns true. The result has at most one field of each name that must be unique.
///
/// # Errors
///
/// [`LocalError::FieldRepeated`] if a field that must be unique has different values.
fn end_to_end(headers: &Headers, drops: impl Fn(&str) -> bool) -> Result<Headers, LocalError> {
    const OF_THE_CONNECTION: [&str; 6] =
        ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
    // Fields that must be unique, but that degu-client accepts more than once in a response.
    const UNIQUE: [&str; 5] = ["authorization", "content-type", "expect", "host", "range"];
    let mut listed: Vec<&[u8]> = headers
        .get_all("connection")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    // The list is sorted, because searching a long list once for each field would take quadratic time.
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
