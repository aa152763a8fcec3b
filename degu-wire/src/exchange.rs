//! Decides which head is written for a message of the application, and whether the connection is kept. This code needs
//! no allocator, so the machines and the drivers for microcontrollers share it.

use crate::abnf::decimal;
use crate::head::{
    Facts, RequestHeadOf, ResponseHeadOf, Text, host_of_uri, is_host, put_framing, put_line, put_request_line,
    put_status_line,
};
use crate::sink::Sink;
use crate::{ContentRange, Fault, Framing, Limits, LocalError, Method, RemoteError};

/// A field line of the application: its name and its value. Both have been checked.
pub(crate) type Line<'h> = (&'h [u8], &'h [u8]);

/// The properties of a request that determine the form of its response, and whether the connection is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// True if the method is HEAD. Then the response has no body.
    pub(crate) is_head: bool,
    pub(crate) http10: bool,
    /// True if the connection is kept after this exchange.
    pub(crate) persistent: bool,
    /// True if the client waits for `100 Continue`.
    pub(crate) continue_pending: bool,
}

impl Terms {
    pub(crate) fn of<F: Text>(head: &RequestHeadOf<F>) -> Self {
        let has_body = head.framing().of_rest() != Framing::None;
        Self {
            is_head: matches!(head.method(), Method::Head),
            http10: head.is_http10(),
            persistent: head.keep_alive(),
            continue_pending: head.expects_continue() && has_body,
        }
    }

    /// Decides whether the connection can be kept although the server reads no more of the request's body. `remaining`
    /// is the length of the unread rest of the body, or `None` if the length is unknown. `buffered` is the number of
    /// received bytes that have not been read. All sizes are in bytes.
    ///
    /// The connection can be kept if `remaining` is at most `drain`. If `remaining` is unknown, `buffered` must be at
    /// least 1 and at most `drain`. The connection is never kept if the client still waits for `100 Continue`.
    pub(crate) fn abandon_body(&mut self, remaining: Option<u64>, buffered: usize, drain: u64) {
        let buffered = buffered as u64;
        let short = match remaining {
            Some(remaining) => remaining <= drain,
            None => buffered > 0 && buffered <= drain,
        };
        // A client that waits for 100 Continue may send its body or leave it out. The server cannot know which.
        if self.continue_pending || !short {
            self.persistent = false;
        }
    }

    /// Writes the head of a final response, without the empty line. `content` is the framing of the application's body.
    /// Returns the framing of the body that follows the head. A response to HEAD has no body.
    ///
    /// Changes `self` even if writing fails. So the caller calls this method on a copy, and stores the copy when the
    /// whole head is written.
    pub(crate) fn put_reply<'h>(
        &mut self,
        out: &mut impl Sink,
        status: u16,
        reason: &[u8],
        lines: impl Iterator<Item = Line<'h>>,
        content: Framing,
        date: Option<&str>,
    ) -> Result<Framing, LocalError> {
        if !(200..=999).contains(&status) {
            return Err(LocalError::Status);
        }
        let bodiless = matches!(status, 204 | 304);
        // A response with one of these statuses has no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
        if (bodiless || status == 205) && content.of_rest() != Framing::None {
            return Err(LocalError::BodyNotAllowed);
        }
        let framing = match content {
            _ if bodiless => Framing::None,
            Framing::None if !self.is_head => Framing::Length(0),
            Framing::Chunked if self.http10 => Framing::UntilClose,
            framing => framing,
        };
        // RFC 9110 §8.6: the Content-Length of a 304 or of a response to HEAD may describe the body that a GET would
        // get.
        let describes = status == 304 || (self.is_head && content == Framing::None && status != 204);
        put_status_line(out, status, reason)?;
        let facts = put_headers(out, lines, framing, describes, self.http10)?;
        self.persistent &= !self.continue_pending && framing != Framing::UntilClose && !facts.has(Facts::CLOSE);
        self.continue_pending = false;
        if let Some(date) = date.filter(|_| !facts.has(Facts::DATE)) {
            put_line(out, b"date", date.as_bytes())?;
        }
        if !self.persistent {
            put_line(out, b"connection", b"close")?;
        } else if self.http10 {
            // A client of HTTP/1.0 that asked for a persistent connection closes it if the response does not have
            // `keep-alive`.
            put_line(out, b"connection", b"keep-alive")?;
        }
        Ok(if self.is_head { Framing::None } else { framing })
    }
}

/// The state of a request whose final response has not arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// True if the method is HEAD. Then the response has no body.
    pub(crate) is_head: bool,
    /// True if the request asks for ranges.
    pub(crate) is_ranged: bool,
    /// True if the connection can carry another request after this exchange, as far as the client knows.
    pub(crate) persistent: bool,
    /// True if the request has a body that waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    /// The framing of the request's body.
    pub(crate) framing: Framing,
    /// The number of interim responses that have arrived.
    pub(crate) interim: usize,
}

impl Asked {
    /// Counts an interim response. After a 100, the body may be sent.
    ///
    /// # Errors
    ///
    /// [`Fault::TooManyInterim`] if there are more than [`Limits::max_interim`].
    pub(crate) fn note_interim(&mut self, status: u16, limits: &Limits) -> Result<(), RemoteError> {
        self.interim += 1;
        if self.interim > limits.max_interim {
            return Err(Fault::TooManyInterim.into());
        }
        self.expects_continue &= status != 100;
        Ok(())
    }

    /// Notes the final response. Returns the framing of its body, and the length that the body must have according to
    /// Content-Range. The length is `None` if it need not be checked while the body is read, for example because the
    /// status is not 206, or the framing gives the length. `field` returns the value of a field of the head.
    pub(crate) fn note_response<'h, F>(
        &mut self,
        head: &ResponseHeadOf<F>,
        field: impl Fn(&str) -> Option<&'h [u8]>,
    ) -> Result<(Framing, Option<u64>), RemoteError> {
        let framing = head.framing(if self.is_head { Method::Head } else { Method::Get });
        self.persistent &= head.keep_alive() && framing != Framing::UntilClose;
        if head.status() != 206 {
            return Ok((framing, None));
        }
        if !self.is_ranged {
            return Err(Fault::UnexpectedPartial.into());
        }
        let Some(range) = field("content-range") else {
            // With several parts, each part has its Content-Range inside the body (RFC 9110 §15.3.7.2).
            let several = b"multipart/byteranges";
            let found = field("content-type").and_then(|media_type| media_type.get(..several.len()));
            let is_several = found.is_some_and(|found| found.eq_ignore_ascii_case(several));
            return if is_several { Ok((framing, None)) } else { Err(Fault::ContentRange.into()) };
        };
        let range = ContentRange::parse(range).map_err(|_| Fault::ContentRange)?;
        let length = range.content_length().ok_or(Fault::ContentRange)?;
        match framing {
            // The response to HEAD has no body to compare.
            Framing::None => Ok((framing, None)),
            Framing::Length(announced) if announced != length => Err(Fault::ContentRange.into()),
            Framing::Length(_) => Ok((framing, None)),
            Framing::Chunked | Framing::UntilClose => Ok((framing, Some(length))),
        }
    }
}

/// Writes the head of a request, without the empty line. If there is no Host among `lines`, this function writes one.
/// Its value is the authority of the target if the target is a URI (RFC 9112 §3.2), and `host` otherwise. `content` is
/// the framing of the application's body. Upgrade is allowed among `lines` only if `offers` is true.
pub(crate) fn put_request<'h>(
    out: &mut impl Sink,
    method: Method<'_>,
    target: &str,
    host: &[u8],
    lines: impl Iterator<Item = Line<'h>> + Clone,
    content: Framing,
    offers: bool,
) -> Result<Asked, LocalError> {
    // A HEAD that the caller wrote as an extension method is HEAD, too: its response has no body.
    let method = method.known_as();
    // A TRACE request has no body (RFC 9110 §9.3.8). The end of a connection cannot mark the end of a request.
    if content == Framing::UntilClose || method == Method::Trace && content != Framing::None {
        return Err(LocalError::BodyNotAllowed);
    }
    let framing = request_framing(method, content);
    let host_field = lines.clone().find(|(name, _)| Facts::of(name) == Facts::HOST).map(|(_, value)| value);
    let host = match (host_field, target.as_bytes()) {
        (Some(field), _) => field,
        (None, [b'/', ..]) => host,
        (None, uri) => host_of_uri(uri).unwrap_or(host),
    };
    if !is_host(host) {
        return Err(LocalError::FieldValue);
    }
    put_request_line(out, method, target)?;
    if host_field.is_none() {
        put_line(out, b"host", host)?;
    }
    let facts = put_headers(out, lines, framing, false, false)?;
    if facts.has(Facts::UPGRADE) && !offers {
        return Err(LocalError::FieldNotAllowed);
    }
    let close = facts.has(Facts::CLOSE);
    if close {
        put_line(out, b"connection", b"close")?;
    }
    Ok(Asked {
        is_head: method == Method::Head,
        is_ranged: facts.has(Facts::RANGE),
        persistent: !close,
        expects_continue: facts.has(Facts::EXPECTS_CONTINUE),
        framing,
        interim: 0,
    })
}

/// Returns the framing of a request. A request without a body gets `content-length: 0` if its method usually has
/// content (RFC 9110 §8.6).
pub(crate) fn request_framing(method: Method<'_>, framing: Framing) -> Framing {
    match framing {
        Framing::None if method.expects_content() => Framing::Length(0),
        framing => framing,
    }
}

/// Returns whether a message with this framing has no content.
// If this function were inlined, the compiler would move its check before the loop over the fields, and each message
// would take longer.
#[cold]
#[inline(never)]
fn has_no_content(framing: Framing) -> bool {
    framing.of_rest() == Framing::None
}

/// Writes the fields of the application, the framing field (Content-Length or Transfer-Encoding), and `connection:
/// upgrade` if there is an Upgrade. Returns the facts that follow from the fields.
///
/// The application may set the framing field too, as in a forwarded response. The field must then match the body, and
/// is written once. If `describes` is true, the message has no body, because it is a 304 or answers HEAD. Then the
/// application's framing field describes the body that another request would get, and is not compared with `framing`.
///
/// If `http10` is true, the message answers an HTTP/1.0 client, which does not know chunks. A `transfer-encoding:
/// chunked` that would be valid is then left out (RFC 9112 §6.1).
pub(crate) fn put_headers<'h>(
    out: &mut impl Sink,
    lines: impl Iterator<Item = Line<'h>>,
    framing: Framing,
    describes: bool,
    http10: bool,
) -> Result<Facts, LocalError> {
    let mut facts = Facts::NONE;
    let mut described = false;
    for (name, value) in lines {
        let field = Facts::of(name);
        if !facts.add(field) {
            return Err(LocalError::FieldRepeated);
        }
        match field {
            Facts::EXPECT => {
                let waits = value.eq_ignore_ascii_case(b"100-continue");
                // Without a body there is nothing to wait for, so the field must not be sent (RFC 9110 §10.1.1).
                if waits && has_no_content(framing) {
                    continue;
                }
                facts.set(Facts::EXPECTS_CONTINUE, waits);
            }
            Facts::CONNECTION => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        facts.set(Facts::CLOSE, true);
                    } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"keep-alive") {
                        return Err(LocalError::FieldNotAllowed);
                    }
                }
                continue;
            }
            Facts::CONTENT_LENGTH | Facts::TRANSFER_ENCODING => {
                let length = if field == Facts::CONTENT_LENGTH {
                    Framing::Length(decimal(value).ok_or(LocalError::ContentLength)?)
                } else if value.eq_ignore_ascii_case(b"chunked") {
                    if http10 { Framing::UntilClose } else { Framing::Chunked }
                } else {
                    return Err(LocalError::FieldNotAllowed);
                };
                match describes {
                    true if described => return Err(LocalError::FieldNotAllowed),
                    true => described = true,
                    false if length == framing => continue,
                    false if field == Facts::CONTENT_LENGTH => return Err(LocalError::ContentLength),
                    false => return Err(LocalError::FieldNotAllowed),
                }
                if length == Framing::UntilClose {
                    continue;
                }
            }
            _ => {}
        }
        put_line(out, name, value)?;
    }
    if facts.has(Facts::UPGRADE) {
        // A sender of Upgrade must also name it in Connection (RFC 9110 §7.8).
        put_line(out, b"connection", b"upgrade")?;
    }
    if !described {
        put_framing(out, framing)?;
    }
    Ok(facts)
}
