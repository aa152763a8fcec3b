//! Checks of responses for rules of RFC 9110 that the types do not enforce.

use std::fmt;

use degu_wire::{ContentRange, Method};

use crate::{App, Request, Response, Session};

/// An app that checks the responses of another app: whether they have the fields that RFC 9110 requires for their status. It is
/// meant for tests, and costs little enough to stay in production.
///
/// A response that breaks a rule becomes a [failure](Response::from_error) of the app: the client gets 500, and the error is a
/// [`Violation`] that names the rule.
///
/// ```
/// use degu_server::{Request, Response, Session, applib::Validator};
///
/// async fn forgetful(_: &mut Session, _: Request<'_>) -> Response {
///     (206, "which part?").into()
/// }
/// let app = Validator::new(forgetful);
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
#[derive(Debug)]
pub struct Validator<A>(A);

impl<A: App> Validator<A> {
    /// Returns an app that checks the responses of `app`.
    pub const fn new(app: A) -> Self {
        Self(app)
    }
}

impl<A: App> App for Validator<A> {
    async fn on_connect(&self, session: &mut Session) -> bool {
        self.0.on_connect(session).await
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        let method = request.method();
        let asked_for_part = request.headers().contains("range");
        let response = self.0.handle(session, request).await;
        if response.error().is_some() {
            return response;
        }
        match check(method, asked_for_part, &response) {
            Ok(()) => response,
            Err(violation) => Response::from_error(violation),
        }
    }
}

fn check(method: Method<'_>, asked_for_part: bool, response: &Response) -> Result<(), Violation> {
    let Response { status, headers, body, .. } = response;
    let range = headers.get_bytes("content-range").map(ContentRange::parse);
    let multipart = headers.get("content-type").is_some_and(|media| media.starts_with("multipart/byteranges"));
    match status {
        206 if !asked_for_part => return Err(Violation::UnaskedPart),
        206 if method != Method::Get && method != Method::Head => return Err(Violation::UnaskedPart),
        206 if !multipart && !matches!(range, Some(Ok(_))) => return Err(Violation::ContentRange),
        206 if multipart && range.is_some() => return Err(Violation::ContentRange),
        401 if !headers.contains("www-authenticate") => return Err(Violation::Challenge),
        405 if !headers.contains("allow") => return Err(Violation::Allow),
        407 if !headers.contains("proxy-authenticate") => return Err(Violation::Challenge),
        426 if !headers.contains("upgrade") => return Err(Violation::Upgrade),
        300..=303 | 307 | 308 if *status != 300 && !headers.contains("location") => return Err(Violation::Location),
        _ => {}
    }
    if method == Method::Head
        && let (Some(said), Some(length @ 1..)) = (headers.get("content-length"), body.length())
        && said.parse() != Ok(length)
    {
        return Err(Violation::HeadLength);
    }
    Ok(())
}

/// A rule of RFC 9110 that a response broke.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// 206 for a request that is not a GET or HEAD with `range` (§14.2).
    UnaskedPart,
    /// 206 without a well-formed `content-range`, or with both `content-range` and `multipart/byteranges` (§15.3.7).
    ContentRange,
    /// 401 without `www-authenticate`, or 407 without `proxy-authenticate` (§15.5.2, §15.5.8).
    Challenge,
    /// 405 without `allow` (§15.5.6).
    Allow,
    /// 426 without `upgrade` (§15.5.22).
    Upgrade,
    /// A redirection without `location` (§15.4, a SHOULD).
    Location,
    /// A response to HEAD whose `content-length` is not the length of its body (§8.6).
    HeadLength,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnaskedPart => "the app sent 206 in response to a request that is not a GET or HEAD with range",
            Self::ContentRange => "a 206 response needs the field content-range, unless it is multipart/byteranges",
            Self::Challenge => "a 401 response needs the field www-authenticate, a 407 response proxy-authenticate",
            Self::Allow => "a 405 response needs the field allow",
            Self::Upgrade => "a 426 response needs the field upgrade",
            Self::Location => "a redirection needs the field location",
            Self::HeadLength => "the content-length of a response to HEAD differs from the length of its body",
        })
    }
}

impl std::error::Error for Violation {}

/// Writes what `Display` does.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_statuses_owe() {
        let range = ("content-range", "bytes 0-3/10");
        for (method, part, response, expected) in [
            (Method::Get, true, (206, [range], "text").into(), Ok(())),
            (Method::Get, true, (206, "text").into(), Err(Violation::ContentRange)),
            (Method::Get, true, (206, [("content-range", "x")], "").into(), Err(Violation::ContentRange)),
            (Method::Get, false, (206, [range], "text").into(), Err(Violation::UnaskedPart)),
            (Method::Put, true, (206, [range], "text").into(), Err(Violation::UnaskedPart)),
            (Method::Get, false, 405.into(), Err(Violation::Allow)),
            (Method::Get, false, (405, [("allow", "PUT")], ()).into(), Ok(())),
            (Method::Get, false, 401.into(), Err(Violation::Challenge)),
            (Method::Get, false, 302.into(), Err(Violation::Location)),
            (Method::Get, false, 304.into(), Ok(())),
            (Method::Head, false, (200, [("content-length", "4")], ()).into(), Ok(())),
            (Method::Head, false, (200, [("content-length", "5")], "text").into(), Err(Violation::HeadLength)),
            (Method::Get, false, "text".into(), Ok(())),
        ] {
            assert_eq!(check(method, part, &response), expected, "{response:?}");
        }
    }
}
