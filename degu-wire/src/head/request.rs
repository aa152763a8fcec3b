//! `request-line = method SP request-target SP HTTP-version` (RFC 9112 §3), and the request head.

use core::fmt;

use super::{
    Stop,
    fields::{Facts, FieldSpan, Fields, HeadMeta, Section, Text, parse_fields},
    host::is_host,
    scan::{is_target_text, skip_path, skip_target, skip_token},
    start_line::{line_end, version},
    stop,
};
use crate::{Fault, Framing, Limits, Method, RemoteError};

/// The offsets of the beginning and the end of a part of a head.
type Span = (u16, u16);

/// A parsed and checked request head. If `F` is [`Fields`], the head is a view into the caller's bytes. If `F` is
/// [`Headers`](crate::Headers), the head owns its text, and clones share this text.
#[derive(Clone, Copy)]
pub struct RequestHeadOf<F> {
    pub(crate) fields: F,
    pub(crate) meta: RequestMeta,
}

/// A request head that is a view into the caller's bytes.
pub type RequestHead<'b> = RequestHeadOf<Fields<'b>>;

/// The content of a request head, as offsets and flags. The bytes are kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestMeta {
    pub(crate) common: HeadMeta,
    /// The offset of the method. The method ends one byte before the target.
    method: u16,
    /// The position of the method in [`Method::KNOWN`]; 9 for an extension method.
    known_method: u8,
    target: Span,
    /// The path in the target. The rest of the target is empty, or the query with its `?`.
    path: Span,
    pub(crate) authority: Span,
}

/// Parses a request head from the beginning of `input`.
///
/// `None` means that the bytes are the beginning of a head, and more bytes are needed.
/// [`find_head_end`](super::find_head_end) tells at low cost when to try again. A fault is reported as soon as its byte
/// has arrived. The result does not depend on the pieces in which the head arrives. Bytes after the head are not read.
///
/// The fields' offsets are written to `slots`. A head may have as many fields as `slots` has elements, and at most
/// [`Limits::max_fields`].
///
/// # Errors
///
/// The fault of the peer. The error has the status with which a server answers.
pub fn parse_request<'b>(
    input: &'b [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<RequestHead<'b>>, RemoteError> {
    let mut meta = RequestMeta::default();
    if !scan_request(input, slots, limits, &mut meta)? {
        return Ok(None);
    }
    Ok(Some(RequestHead { fields: Fields::new(input, &slots[..meta.common.fields as usize]), meta }))
}

/// Parses as [`parse_request`] does, for callers that store the bytes and the offsets themselves. Returns whether the
/// head is complete. If the head is complete, `meta` has been set. The result does not contain `meta`, because the
/// compiler would then copy it at each return.
pub(crate) fn scan_request(
    input: &[u8],
    slots: &mut [FieldSpan],
    limits: &Limits,
    meta: &mut RequestMeta,
) -> Result<bool, RemoteError> {
    let max = limits.max_head.min(Limits::MAX_HEAD);
    let room = slots.len().min(limits.max_fields);
    match scan(&input[..input.len().min(max)], &mut slots[..room], limits, meta) {
        Ok(()) => Ok(true),
        Err(Some(fault)) => Err(fault),
        Err(None) if input.len() >= max => Err(too_long(&input[..max]).into()),
        Err(None) => Ok(false),
    }
}

/// Returns the fault of a head that does not end within the limit. RFC 9112 §3 has separate statuses for a long request
/// target (414) and for a long method (501).
#[cold]
fn too_long(head: &[u8]) -> Fault {
    match head.trim_ascii_start() {
        line if line.is_empty() || line.contains(&b'\n') => Fault::HeadTooLarge,
        line if line.contains(&b' ') => Fault::TargetTooLong,
        _ => Fault::MethodNotImplemented,
    }
}

#[inline(always)]
fn scan(input: &[u8], slots: &mut [FieldSpan], limits: &Limits, meta: &mut RequestMeta) -> Result<(), Stop> {
    let offset = |rest: &[u8]| input.len() - rest.len();
    let method = if let Some(b'\r') = input.first() { skip_empty_lines(input, limits.max_leading_lines)? } else { 0 };
    let rest = skip_token(&input[method..]);
    let method_end = offset(rest);
    let rest = match rest {
        [b' ', rest @ ..] if method_end > method => rest,
        [] => return Err(None),
        _ if method_end == method => return Err(stop(Fault::LeadingBytes, method_end)),
        _ => return Err(stop(Fault::Method, method_end)),
    };

    let target = offset(rest);
    let after_path = skip_path(rest);
    let rest = if let [b'?', ..] = after_path { skip_target(after_path) } else { after_path };
    let target_end = offset(rest);
    let rest = match rest {
        [b' ', rest @ ..] if target_end > target => rest,
        [] => return Err(None),
        [b'#', ..] => return Err(stop(Fault::TargetFragment, target_end)),
        // A request line of HTTP/0.9 has no version.
        [b'\r', ..] if target_end > target => return Err(stop(Fault::Version, target_end)),
        _ => return Err(stop(Fault::Target, target_end)),
    };

    let (minor, after_version) = version(input, rest)?;
    let http10 = minor == 0;
    if http10 && !limits.allow_http10 {
        return Err(stop(Fault::VersionNotSupported, offset(rest)));
    }
    let lines = line_end(input, after_version, Fault::Version)?;

    let (authority, path) = match input[target] {
        b'/' => ((0, 0), target),
        _ => other_forms(&input[target..target_end], target, &input[method..method_end])?,
    };

    let common = &mut meta.common;
    *common = HeadMeta::new(Section::Request, http10);
    parse_fields(input, lines, slots, common, Section::Request)?;
    common.check_framing()?;
    if !common.facts.has(Facts::HOST) && !http10 && !limits.allow_missing_host {
        return Err(Some(Fault::HostMissing.into()));
    }
    meta.method = method as u16;
    meta.known_method = Method::position(&input[method..method_end]);
    meta.target = (target as u16, target_end as u16);
    meta.path = (path as u16, offset(after_path) as u16);
    meta.authority = if authority.1 > 0 { authority } else { common.host };
    Ok(())
}

/// Skips empty lines before a request line (RFC 9112 §2.2). Returns the offset of the line.
#[cold]
fn skip_empty_lines(input: &[u8], most: usize) -> Result<usize, Stop> {
    let mut at = 0;
    while let Some(b'\r') = input.get(at) {
        match input.get(at + 1) {
            Some(b'\n') if at / 2 < most => at += 2,
            Some(_) => return Err(stop(Fault::LeadingBytes, at)),
            None => return Err(None),
        }
    }
    Ok(at)
}

/// Checks a target that is not a path. Accepts absolute-form, and `*` with OPTIONS. Returns the span of the authority,
/// which is empty for `*`, and the offset of the path.
#[cold]
fn other_forms(target: &[u8], start: usize, method: &[u8]) -> Result<(Span, usize), RemoteError> {
    let refuse = |fault| Err(RemoteError::at(fault, start));
    match (target, method) {
        (b"*", b"OPTIONS") => return Ok(((0, 0), start)),
        (b"*", _) => return refuse(Fault::Target),
        // authority-form is for CONNECT, which is not implemented here (RFC 9112 §3.2.3).
        (_, b"CONNECT") => return Err(Fault::MethodNotImplemented.into()),
        _ => {}
    }
    match authority_of(target) {
        None => refuse(Fault::Target),
        Some((from, to)) if is_authority(&target[from..to]) => {
            let (from, to) = (start + from, start + to);
            Ok(((from as u16, to as u16), to))
        }
        Some(_) => refuse(Fault::TargetAuthority),
    }
}

/// Finds the authority of a target in absolute-form (RFC 9112 §3.2.2). The scheme must be `http` or `https`.
fn authority_of(target: &[u8]) -> Option<(usize, usize)> {
    let begins = |scheme: &&[u8]| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let from = [&b"http://"[..], b"https://"].into_iter().find(begins)?.len();
    let len = target[from..].iter().position(|byte| matches!(byte, b'/' | b'?'));
    Some((from, len.map_or(target.len(), |len| from + len)))
}

fn is_authority(authority: &[u8]) -> bool {
    !authority.is_empty() && is_host(authority)
}

/// Returns the authority of a target in absolute-form, if the authority may be sent as Host.
#[cold]
pub(crate) fn host_of_uri(target: &[u8]) -> Option<&[u8]> {
    let (from, to) = authority_of(target)?;
    target.get(from..to).filter(|authority| is_authority(authority))
}

/// Returns whether the encoder may send a target. The target must be a path with an optional query, an http(s) URI, or
/// `*` for OPTIONS, as in the parser.
pub(super) fn is_target(target: &[u8], method: Method<'_>) -> bool {
    is_target_text(target)
        && match target[0] {
            b'/' => true,
            b'*' => target.len() == 1 && method == Method::Options,
            _ => host_of_uri(target).is_some(),
        }
}

impl<F: Text> RequestHeadOf<F> {
    /// Returns the method.
    pub fn method(&self) -> Method<'_> {
        let known = Method::KNOWN.get(usize::from(self.meta.known_method)).copied();
        known.unwrap_or_else(|| Method::Extension(self.text((self.meta.method, self.meta.target.0 - 1))))
    }

    /// Returns the request target as it was sent: a path with an optional query, a whole URI, or `*`.
    pub fn target(&self) -> &str {
        self.text(self.meta.target)
    }

    /// Returns the path, percent-encoded as it was sent, or `*`. An empty path is returned as `/` (RFC 9112 §3.2.1).
    pub fn path(&self) -> &str {
        if self.meta.path.0 == self.meta.path.1 { "/" } else { self.text(self.meta.path) }
    }

    /// Returns the query: the text after the `?`. Returns `None` if the target has no `?`.
    pub fn query(&self) -> Option<&str> {
        let (from, to) = (self.meta.path.1, self.meta.target.1);
        (from < to).then(|| self.text((from + 1, to)))
    }

    /// Returns the authority that the request is for (RFC 9112 §3.3): from a target in absolute-form, otherwise from
    /// Host. The authority is empty if Host is empty or missing.
    ///
    /// A client may have sent the zone of an IPv6 address in Host, although the zone means nothing to other hosts.
    /// `machine::Connection`, with the feature `alloc`, removes the zone from the authority and from the field Host. In
    /// a head that is a view into the caller's bytes, the zone remains.
    pub fn authority(&self) -> &str {
        self.text(self.meta.authority)
    }

    fn text(&self, (from, to): Span) -> &str {
        // Methods, targets and authorities were checked to be ASCII, and the offsets are of this text.
        let part = self.fields.text().get(from as usize..to as usize);
        part.and_then(|part| core::str::from_utf8(part).ok()).unwrap_or_default()
    }
}

impl<F> RequestHeadOf<F> {
    /// Returns the framing of the body.
    pub const fn framing(&self) -> Framing {
        self.meta.common.framing
    }

    /// Returns the number of bytes of the head, including the empty lines before the request line. The body or the next
    /// request begins after these bytes.
    pub const fn head_len(&self) -> usize {
        self.meta.common.len as usize
    }

    /// Returns whether the request is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.common.facts.has(Facts::HTTP10)
    }

    /// Returns whether the client wants the connection to persist after this exchange (RFC 9112 §9.3). In HTTP/1.1 this
    /// is the default. A client of HTTP/1.0 has to ask for a persistent connection.
    pub const fn keep_alive(&self) -> bool {
        self.meta.common.keep_alive()
    }

    /// Returns whether the content type is JSON: `application/json` (RFC 8259 §11) or a type with the suffix `+json`
    /// (RFC 6839 §3.1), with any parameters. Returns `false` without Content-Type.
    pub const fn is_json(&self) -> bool {
        self.meta.common.facts.has(Facts::JSON)
    }

    /// Returns whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub const fn expects_continue(&self) -> bool {
        self.meta.common.facts.has(Facts::EXPECTS_CONTINUE)
    }
}

impl<'b> RequestHead<'b> {
    /// Returns the fields.
    pub const fn fields(&self) -> Fields<'b> {
        self.fields
    }
}

/// Leaves out the query and the values of the fields, because they may be secret.
impl<F: Text + fmt::Debug> fmt::Debug for RequestHeadOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.fields)
            .field("framing", &self.framing())
            .finish()
    }
}
