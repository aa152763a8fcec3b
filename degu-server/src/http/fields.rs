//! Conversions of header fields and trailers from and to the map of the crate `http`.

use degu_wire::{Headers, LocalError, Trailers};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Returns the fields as a map. The names become lower case, and fields with the same name are grouped.
///
/// # Errors
///
/// There are over 32,768 names, which is the limit of a map.
pub fn headers_into_http(headers: &Headers) -> Result<HeaderMap, http::Error> {
    into_map(headers.iter())
}

/// Returns the fields of a map. Each value becomes a field line. Whitespace around a value is removed (RFC 9110 §5.5).
///
/// # Errors
///
/// [`LocalError::HeadTooLarge`] if the fields have a total of over 65,535 bytes.
pub fn headers_from_http(headers: &HeaderMap) -> Result<Headers, LocalError> {
    let mut fields = Headers::new();
    for (name, value) in headers {
        fields.append_bytes(name.as_str(), value.as_bytes().trim_ascii())?;
    }
    Ok(fields)
}

pub(super) fn into_map<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> Result<HeaderMap, http::Error> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.try_append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value)?)?;
    }
    Ok(map)
}

pub(super) fn trailers_from_http(trailers: &HeaderMap) -> Result<Trailers, LocalError> {
    let mut fields = Trailers::new();
    for (name, value) in trailers {
        fields.append_bytes(name.as_str(), value.as_bytes().trim_ascii())?;
    }
    Ok(fields)
}
