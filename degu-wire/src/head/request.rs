//! `request-line = method SP request-target SP HTTP-version` (RFC 9112 §3), and the request head.

use super::{
    fields::{End, FieldSpan, Fields, Part, Semantics, parse_fields},
    host::is_host,
    line_end,
    scan::{skip_target, skip_token},
    version,
};
use crate::{Fault, Framing, Limits, Method, RemoteError};

/// A request head that was parsed and checked: views into the caller's octets.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    fields: Fields<'b>,
    meta: RequestMeta,
}

/// What a request head says, in offsets and flags: small enough to keep when the octets are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestMeta {
    pub(crate) len: u16,
    method: (u16, u16),
    target: (u16, u16),
    authority: (u16, u16),
    pub(crate) fields: u16,
    pub(crate) framing: Framing,
    pub(crate) http10: bool,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// Which of [`Method::KNOWN`] the method is, if it is one of those.
    known_method: Option<u8>,
}

/// Parses a request head from the front of `input`.
///
/// `None` means that the octets are the beginning of a head and more are needed; [`find_head_end`](super::find_head_end)
/// tells cheaply when to try again. A fault is reported as soon as its octet is there, and is the same whether the head
/// came whole or in pieces. Octets after the head are not looked at.
///
/// `slots` is where the fields' offsets go: as many fields are taken as it has room for, and at most
/// [`Limits::max_fields`].
///
/// # Errors
///
/// What the peer did wrong, with the status to answer.
pub fn parse_request<'b>(
    input: &'b [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<RequestHead<'b>>, RemoteError> {
    Ok(scan_request(input, slots, limits)?.map(|meta| RequestHead::new(input, slots, meta)))
}

/// As [`parse_request`], for those who keep octets and spans apart.
#[inline]
pub(crate) fn scan_request(
    input: &[u8],
    slots: &mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<RequestMeta>, RemoteError> {
    let max = limits.max_head.min(Limits::MAX_HEAD);
    let room = slots.len().min(limits.max_fields);
    let slots = &mut slots[..room];
    match scan(&input[..input.len().min(max)], slots, limits)? {
        None if input.len() >= max => Err(Fault::HeadTooLarge.into()),
        parsed => Ok(parsed),
    }
}

#[inline(always)]
fn scan(input: &[u8], slots: &mut [FieldSpan], limits: &Limits) -> Result<Option<RequestMeta>, RemoteError> {
    let mut at = 0;
    if let Some(b'\r') = input.first() {
        match skip_empty_lines(input, limits.max_leading_lines)? {
            Some(after) => at = after,
            None => return Ok(None),
        }
    }

    let offset = |rest: &[u8]| input.len() - rest.len();
    let method = at;
    let line = &input[at..];
    let rest = match line.first_chunk() {
        // Two methods make nearly all requests; for them it is known where the target begins before anything is scanned.
        Some(b"GET ") => &line[3..],
        Some(b"POST") if line.get(4) == Some(&b' ') => &line[4..],
        _ => skip_token(line),
    };
    let method_end = offset(rest);
    let rest = match rest {
        [b' ', rest @ ..] if method_end > method => rest,
        [] => return Ok(None),
        _ if method_end == method => return Err(RemoteError::at(Fault::LeadingOctets, method_end)),
        _ => return Err(RemoteError::at(Fault::Method, method_end)),
    };

    let target = offset(rest);
    let rest = skip_target(rest);
    let target_end = offset(rest);
    at = match rest {
        [b' ', rest @ ..] if target_end > target => offset(rest),
        [] => return Ok(None),
        [b'#', ..] => return Err(RemoteError::at(Fault::TargetFragment, target_end)),
        // A line of two words is HTTP/0.9.
        [b'\r', ..] if target_end > target => return Err(RemoteError::at(Fault::Version, target_end)),
        _ => return Err(RemoteError::at(Fault::Target, target_end)),
    };

    let Some(minor) = version(input, at)? else { return Ok(None) };
    let http10 = minor == 0;
    if http10 && !limits.allow_http10 {
        return Err(RemoteError::at(Fault::VersionNotSupported, at));
    }
    let Some(after) = line_end(input, at + 8, Fault::Version)? else { return Ok(None) };
    at = after;

    let authority = match input[target] {
        b'/' => (0, 0),
        _ => other_forms(input, target, target_end, &input[method..method_end])?,
    };

    let mut semantics = Semantics::default();
    let (end, fields) = match parse_fields(input, at, slots, &mut semantics, Part::Request { http10 })? {
        End::Partial => return Ok(None),
        End::At { end, fields } => (end, fields),
    };

    let framing = match (semantics.has(Semantics::CONTENT_LENGTH), semantics.has(Semantics::CHUNKED)) {
        (false, false) => Framing::None,
        (true, false) => Framing::Length(semantics.content_length),
        (false, true) => Framing::Chunked,
        // RFC 9112 §6.3: a proxy before us may have taken the other one.
        (true, true) => return Err(Fault::LengthAndCoding.into()),
    };
    if !semantics.has(Semantics::HOST) && !http10 && !limits.allow_missing_host {
        return Err(Fault::HostMissing.into());
    }
    Ok(Some(RequestMeta {
        len: end as u16,
        method: (method as u16, method_end as u16),
        target: (target as u16, target_end as u16),
        authority: if authority.1 > 0 { authority } else { semantics.host },
        fields: fields as u16,
        framing,
        http10,
        keep_alive: !http10 && !semantics.close,
        expects_continue: semantics.expects_continue,
        known_method: Method::known(&input[method..method_end]),
    }))
}

/// Empty lines before a request line (RFC 9112 §2.2): where the line begins, or `None` for more octets.
#[cold]
fn skip_empty_lines(input: &[u8], most: usize) -> Result<Option<usize>, RemoteError> {
    let mut at = 0;
    while let Some(b'\r') = input.get(at) {
        match input.get(at + 1) {
            Some(b'\n') if at / 2 < most => at += 2,
            Some(_) => return Err(RemoteError::at(Fault::LeadingOctets, at)),
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// A target that is no path: absolute-form, `*`, or something that is refused. Gives the authority of absolute-form.
#[cold]
fn other_forms(input: &[u8], start: usize, end: usize, method: &[u8]) -> Result<(u16, u16), RemoteError> {
    let target = &input[start..end];
    if target == b"*" {
        return match method {
            b"OPTIONS" => Ok((0, 0)),
            _ => Err(RemoteError::at(Fault::Target, start)),
        };
    }
    // authority-form is for tunnels, which nobody builds here (RFC 9112 §3.2.3).
    if method == b"CONNECT" {
        return Err(RemoteError::at(Fault::MethodNotImplemented, 0));
    }
    let Some(authority) = authority_of(target) else { return Err(RemoteError::at(Fault::Target, start)) };
    if authority.is_empty() || !is_host(authority) {
        return Err(RemoteError::at(Fault::TargetAuthority, start));
    }
    let from = start + target.len() - rest_after_scheme(target).map_or(0, <[u8]>::len);
    Ok((from as u16, (from + authority.len()) as u16))
}

fn rest_after_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find_map(|scheme| target.split_at_checked(scheme.len()).filter(|(head, _)| head.eq_ignore_ascii_case(scheme)))
        .map(|(_, rest)| rest)
}

/// The authority of a target in absolute-form (RFC 9112 §3.2.2), with the schemes of HTTP only.
fn authority_of(target: &[u8]) -> Option<&[u8]> {
    let rest = rest_after_scheme(target)?;
    let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether a target may be sent, for the encoder: the three forms that are parsed.
pub(super) fn is_target(target: &[u8], method: Method<'_>) -> bool {
    super::scan::is_target_text(target)
        && match target[0] {
            b'/' => true,
            b'*' => target.len() == 1 && method == Method::Options,
            _ => authority_of(target).is_some_and(|authority| !authority.is_empty() && is_host(authority)),
        }
}

impl RequestMeta {
    pub(crate) fn method(self, text: &[u8]) -> Method<'_> {
        match self.known_method {
            Some(known) => Method::KNOWN[known as usize],
            None => Method::Extension(ascii(text, self.method)),
        }
    }

    /// Whether the method is HEAD, which is one of the known ones: that needs no text.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_head(self) -> bool {
        self.method(&[]) == Method::Head
    }

    pub(crate) fn target(self, text: &[u8]) -> &str {
        ascii(text, self.target)
    }

    pub(crate) fn authority(self, text: &[u8]) -> &str {
        ascii(text, self.authority)
    }
}

/// Where in a target the path begins and ends. Behind it is the query, with its `?`, or nothing.
pub(crate) fn find_path(target: &str) -> (usize, usize) {
    let absolute = if target.starts_with('/') { None } else { authority_of(target.as_bytes()) };
    // The authority ends where the path begins, or the query, or the target.
    let start = absolute.map_or(0, |authority| {
        let scheme = rest_after_scheme(target.as_bytes()).map_or(0, |rest| target.len() - rest.len());
        scheme + authority.len()
    });
    // A search for an octet: targets are too short for the machinery of a search for a character.
    let len = target[start..].bytes().position(|octet| octet == b'?');
    (start, len.map_or(target.len(), |len| start + len))
}

/// The path that was [found](find_path). RFC 9112 §3.2.1: an empty one in absolute-form is `/`.
pub(crate) fn path_of(target: &str, (start, end): (usize, usize)) -> &str {
    target.get(start..end).filter(|path| !path.is_empty()).unwrap_or("/")
}

/// The query behind the path that was [found](find_path).
pub(crate) fn query_of(target: &str, (_, end): (usize, usize)) -> Option<&str> {
    target.get(end + 1..)
}

fn ascii(text: &[u8], (from, to): (u16, u16)) -> &str {
    // Methods, targets and authorities were checked to be ASCII, and the offsets are of this text.
    text.get(from as usize..to as usize).and_then(|part| core::str::from_utf8(part).ok()).unwrap_or_default()
}

impl<'b> RequestHead<'b> {
    fn new(input: &'b [u8], slots: &'b [FieldSpan], meta: RequestMeta) -> Self {
        Self { fields: Fields::new(input, &slots[..meta.fields as usize]), meta }
    }

    /// The method.
    pub fn method(&self) -> Method<'b> {
        self.meta.method(self.fields.text())
    }

    /// The request target as it was sent: a path with an optional query, a whole URI, or `*`.
    pub fn target(&self) -> &'b str {
        self.meta.target(self.fields.text())
    }

    /// The path, percent-encoded as it was sent: `/` at least, or `*`.
    pub fn path(&self) -> &'b str {
        path_of(self.target(), find_path(self.target()))
    }

    /// What follows the `?`, if there is one.
    pub fn query(&self) -> Option<&'b str> {
        query_of(self.target(), find_path(self.target()))
    }

    /// The authority that the request is for: of the target in absolute-form, otherwise of Host (RFC 9112 §3.3). Empty if
    /// Host is, or where it may be missing.
    pub fn authority(&self) -> &'b str {
        self.meta.authority(self.fields.text())
    }

    /// The fields.
    pub const fn fields(&self) -> Fields<'b> {
        self.fields
    }

    /// Where the body ends.
    pub const fn framing(&self) -> Framing {
        self.meta.framing
    }

    /// Octets of the head, empty lines before it included: the body, or the next request, begins here.
    pub const fn head_len(&self) -> usize {
        self.meta.len as usize
    }

    /// Whether the request is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.http10
    }

    /// Whether the client wants the connection to persist after this exchange (RFC 9112 §9.3). Never with HTTP/1.0.
    pub const fn keep_alive(&self) -> bool {
        self.meta.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub const fn expects_continue(&self) -> bool {
        self.meta.expects_continue
    }
}
