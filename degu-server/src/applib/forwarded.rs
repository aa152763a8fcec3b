//! The fields that say where a forwarded request came from.

use degu_wire::{BoxError, Headers};

use crate::Session;

/// Sets `x-forwarded-for` to the IP address of the client: the address alone, without a port or a zone, and an IPv4 address as
/// such even if the socket shows it as IPv6 (`::ffff:192.0.2.1`). A client on a Unix socket has no IP address, and the field
/// is not set.
///
/// All that came from outside is removed first: `forwarded` and every `x-forwarded-…` field, also with `_` in place of `-`, because
/// a client can write into them what it likes. Other fields of this kind, such as `x-forwarded-proto`, are set afterwards.
///
/// It is what `ProxyApp::with_request_headers` takes, and can be called by any app that forwards requests.
///
/// # Errors
///
/// The fields would be over 65,535 bytes together.
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

/// Returns whether a field says where a request comes from.
pub(super) fn is_forwarded(name: &str) -> bool {
    is(name, "forwarded") || name.get(..12).is_some_and(|start| is(start, "x-forwarded-"))
}

/// Returns whether a server behind may take the name for the other one, which is in lower case: to CGI, WSGI and their kin `_` and
/// `-` are the same.
pub(super) fn is(name: &str, other: &str) -> bool {
    let folded = name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() });
    folded.eq(other.bytes())
}
