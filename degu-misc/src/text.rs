//! Requests and fields as bytes.

use degu_wire::head::{FieldSpan, parse_request};
use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Fault, FieldError, Headers, Limits, LocalError, Method, RemoteError};

/// Returns a request target made of path segments; `/` if there are none. The segments are not percent-encoded.
///
/// ```
/// assert_eq!(degu_misc::mkuri::<&str>([]), "/");
/// assert_eq!(degu_misc::mkuri(["foo", "bar"]), "/foo/bar");
/// assert_eq!(degu_misc::mkuri(["foo", ""]), "/foo/");
/// ```
pub fn mkuri<C: AsRef<str>>(path: impl IntoIterator<Item = C>) -> String {
    let mut uri: String =
        path.into_iter().flat_map(|component| ["/".to_owned(), component.as_ref().to_owned()]).collect();
    if uri.is_empty() {
        uri.push('/');
    }
    uri
}

/// Returns the bytes of a request. Host is `localhost` unless the headers have one. If there is a body,
/// `content-length` is added.
///
/// ```
/// use degu_misc::mkreq;
/// use degu_server::Method;
///
/// assert_eq!(mkreq(Method::Get, "/", (), None)?, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
/// let request = mkreq(Method::Put, "/a", [("x-n", 1)], Some(b"hello"))?;
/// assert!(request.ends_with(b"content-length: 5\r\n\r\nhello"));
/// # Ok::<(), degu_server::LocalError>(())
/// ```
///
/// # Errors
///
/// If the request breaks a rule of HTTP, the error names the rule. A test that needs such a request has to write the
/// bytes itself.
pub fn mkreq<H>(method: Method<'_>, uri: &str, headers: H, body: Option<&[u8]>) -> Result<Vec<u8>, LocalError>
where
    H: TryInto<Headers, Error: Into<FieldError>>,
{
    let headers = headers.try_into().map_err(Into::<FieldError>::into)?;
    let content = body.map_or(Content::None, |body| Content::Bytes(body.to_vec().into()));
    let mut connection = Connection::<Client>::new(Limits::DEFAULT);
    connection.request(method, uri, "localhost", &headers, content)?;
    Ok(connection.pending().concat())
}

/// Parses header fields: lines that each end with CRLF, without the empty line that ends a head.
///
/// ```
/// let headers = degu_misc::parse_headers(b"Accept: */*\r\nx-n: 1\r\n")?;
/// assert_eq!((headers.len(), headers.get("X-N")), (2, Some("1")));
/// # Ok::<(), degu_server::RemoteError>(())
/// ```
///
/// # Errors
///
/// The fault, with its offset from the first byte, if a field is malformed. [`Fault::LineEnd`] if the last line has no
/// CRLF or a line is empty.
pub fn parse_headers(bytes: &[u8]) -> Result<Headers, RemoteError> {
    // The fields are parsed as the fields of a request, because fields outside of a head have no parser of their own.
    const START: &[u8] = b"GET / HTTP/1.1\r\n";
    let text = [START, bytes, b"\r\n"].concat();
    let mut slots = [FieldSpan::EMPTY; 128];
    let limits = Limits { allow_missing_host: true, ..Limits::DEFAULT };
    let parsed = parse_request(&text, &mut slots, &limits)
        .map_err(|error| RemoteError::at(error.fault, (error.offset as usize).saturating_sub(START.len())))?;
    let head = match parsed {
        Some(head) if head.head_len() == text.len() => head,
        // There is an empty line among the fields, or the last line has no end.
        _ => return Err(Fault::LineEnd.into()),
    };
    let mut headers = Headers::new();
    for (name, value) in head.fields().iter() {
        // A field that was parsed can be sent, so this does not fail.
        let _ = headers.append_bytes(name, value);
    }
    Ok(headers)
}

/// Returns the bytes of header fields as they are sent: lines that each end with CRLF, without the empty line that ends
/// a head.
///
/// ```
/// use degu_server::Headers;
///
/// let headers = Headers::try_from([("accept", "*/*"), ("x-n", "1")])?;
/// assert_eq!(degu_misc::format_headers(&headers), b"accept: */*\r\nx-n: 1\r\n");
/// # Ok::<(), degu_server::LocalError>(())
/// ```
pub fn format_headers(headers: &Headers) -> Vec<u8> {
    headers.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_a_whole_or_not_at_all() {
        assert!(parse_headers(b"").unwrap().is_empty());
        for (bytes, error) in [
            (&b"a: 1"[..], Fault::LineEnd.into()),
            (b"a: 1\r\nb", RemoteError::at(Fault::FieldName, 7)),
            (b"\r\n", Fault::LineEnd.into()),
            (b"a: 1\r\n\r\nb: 2\r\n", Fault::LineEnd.into()),
            (b"a: 1\r\nb : 2\r\n", RemoteError::at(Fault::FieldName, 7)),
            (b"a: 1\n", RemoteError::at(Fault::LineEnd, 4)),
        ] {
            assert_eq!(parse_headers(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }
}
