//! The fields in which a proxy names the client of a request.

use degu_wire::{BoxError, Headers};

use crate::Session;

/// Sets `x-forwarded-for` to the IP address of the client, without a port or a zone. If the socket shows an IPv4 address as IPv6
/// (`::ffff:192.0.2.1`), it is written as IPv4. For a client on a Unix socket, which has no IP address, the field is not set.
///
/// First it removes `forwarded` and every `x-forwarded-…` field, also with `_` in place of `-`, because a client can set
/// them to anything. An app sets other fields of this kind, such as `x-forwarded-proto`, after this call.
///
/// The function can be passed to `ProxyApp::with_request_headers`, and any app that forwards requests can call it.
///
/// # Errors
///
/// [`LocalError::HeadTooLarge`](degu_wire::LocalError::HeadTooLarge) if the fields would be over 65,535 bytes together.
///
/// ```
/// use degu_server::{BoxError, Headers, Session, applib::set_forwarded_for};
///
/// fn forwarded(session: &Session, headers: &mut Headers) -> Result<(), BoxError> {
///     set_forwarded_for(session, headers)?;
///     Ok(headers.set("x-forwarded-proto", "https")?)
/// }
/// ```
pub fn set_forwarded_for(session: &Session, headers: &mut Headers) -> Result<(), BoxError> {
    let outside: Vec<_> =
        headers.iter().map(|(name, _)| name).filter(|name| is_forwarded(name)).map(str::to_owned).collect();
    for name in outside {
        headers.remove(&name);
    }
    match session.address().ip() {
        Some(ip) => Ok(headers.set("x-forwarded-for", ip.to_canonical())?),
        None => Ok(()),
    }
}

/// Returns whether proxies name the client of a request in a field of this name.
pub(super) fn is_forwarded(name: &str) -> bool {
    is(name, "forwarded") || name.get(..12).is_some_and(|start| is(start, "x-forwarded-"))
}

/// Returns whether an upstream may treat the two names as equal. `other` is in lower case.
pub(super) fn is(name: &str, other: &str) -> bool {
    folded(name.as_bytes()).eq(other.bytes())
}

/// Returns a name in lower case, with `-` in place of `_`. CGI, WSGI and similar interfaces do not tell the two apart.
pub(super) fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
}
