//! Header fields by which a proxy tells the next server the address of the client.

use degu_wire::{BoxError, Headers};

use crate::Session;

/// Sets `x-forwarded-for` to the IP address of the client, without a port or a zone. An IPv4 address in the form of IPv6, such
/// as `::ffff:192.0.2.1`, is written as IPv4. A client on a Unix socket has no IP address, so the field is then not set.
///
/// First the function removes `forwarded` and all `x-forwarded-…` fields, also with `_` in place of `-`, because a
/// client can set these fields to anything. After this call, an app may set further fields of this kind, for example
/// `x-forwarded-proto`.
///
/// Pass this function to `ProxyApp::with_request_headers`, or call it in any app that forwards requests.
///
/// # Errors
///
/// [`LocalError::HeadTooLarge`](degu_wire::LocalError::HeadTooLarge) if the fields would have a total of over 65,535 bytes.
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

/// Returns whether `name` is the name of a field by which proxies tell the address of the client.
pub(super) fn is_forwarded(name: &str) -> bool {
    is(name, "forwarded") || name.get(..12).is_some_and(|start| is(start, "x-forwarded-"))
}

/// Returns whether an upstream server may treat two field names as equal. `other` must be in lower case.
pub(super) fn is(name: &str, other: &str) -> bool {
    folded(name.as_bytes()).eq(other.bytes())
}

/// Returns a name in lower case, with `-` in place of `_`. In CGI, WSGI and similar interfaces `-` and `_` are the same.
pub(super) fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
}
