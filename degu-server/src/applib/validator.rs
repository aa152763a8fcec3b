//! Checks of responses for rules of RFC 9110 that the types do not enforce.

use degu_wire::{ContentRange, Method};

use crate::{App, Request, Response, Session};

/// An app that checks whether the responses of another app have the fields that RFC 9110 requires. The check is meant
/// for tests, but cheap enough for production.
///
/// These responses break a rule:
///
/// | response | RFC 9110 |
/// | --- | --- |
/// | 206, if the method is neither GET nor HEAD, or the request has no field `range` | §14.2 |
/// | 206 without a valid `content-range`, unless its type is `multipart/byteranges` | §15.3.7 |
/// | 206 with both `content-range` and the type `multipart/byteranges` | §15.3.7 |
/// | 401 without `www-authenticate`, 407 without `proxy-authenticate` | §15.5.2, §15.5.8 |
/// | 405 without `allow` | §15.5.6 |
/// | 426 without `upgrade` | §15.5.22 |
/// | a redirection without `location` | §15.4, a SHOULD |
/// | to HEAD, with a `content-length` that is not the length of the body that the app returned | §8.6 |
///
/// In place of such a response the client gets 500. The rule is logged as the [error](Response::from_error) of a failed app.
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
        match broken_rule(method, asked_for_part, &response) {
            None => response,
            Some(rule) => Response::from_error(rule),
        }
    }
}

/// Returns the rule that the response breaks, as a sentence.
fn broken_rule(method: Method<'_>, asked_for_part: bool, response: &Response) -> Option<&'static str> {
    let Response { status, headers, body, .. } = response;
    let range = headers.get_bytes("content-range").map(ContentRange::parse);
    let multipart = headers.get("content-type").is_some_and(|media| media.starts_with("multipart/byteranges"));
    let lengths = (headers.get("content-length"), body.length());
    let has_other_length =
        method == Method::Head && matches!(lengths, (Some(said), Some(length @ 1..)) if said.parse() != Ok(length));
    let may_be_part = asked_for_part && matches!(method, Method::Get | Method::Head);
    let rule = match status {
        206 if !may_be_part => "a 206 response needs a GET or HEAD request with the field `range`",
        206 if multipart && range.is_some() || !multipart && !matches!(range, Some(Ok(_))) => {
            "a 206 response needs either a valid `content-range` or the content-type `multipart/byteranges`, not both"
        }
        401 if !headers.contains("www-authenticate") => "a 401 response needs the field `www-authenticate`",
        405 if !headers.contains("allow") => "a 405 response needs the field `allow`",
        407 if !headers.contains("proxy-authenticate") => "a 407 response needs the field `proxy-authenticate`",
        426 if !headers.contains("upgrade") => "a 426 response needs the field `upgrade`",
        301..=303 | 307 | 308 if !headers.contains("location") => "a redirection needs the field `location`",
        _ if has_other_length => {
            "the app answered HEAD with a `content-length` that differs from the length of the body that it returned"
        }
        _ => return None,
    };
    Some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_statuses_owe() {
        const UNASKED: Option<&str> = Some("a 206 response needs a GET or HEAD request with the field `range`");
        const RANGE: Option<&str> = Some(
            "a 206 response needs either a valid `content-range` or the content-type `multipart/byteranges`, not both",
        );
        const LENGTH: Option<&str> = Some(
            "the app answered HEAD with a `content-length` that differs from the length of the body that it returned",
        );
        let range = ("content-range", "bytes 0-3/10");
        let parts = ("content-type", "multipart/byteranges; boundary=x");
        for (method, part, response, expected) in [
            (Method::Get, true, (206, [range], "text").into(), None),
            (Method::Get, true, (206, "text").into(), RANGE),
            (Method::Get, true, (206, [("content-range", "x")], "").into(), RANGE),
            (Method::Get, true, (206, [parts], "text").into(), None),
            (Method::Get, true, (206, [parts, range], "text").into(), RANGE),
            (Method::Get, false, (206, [range], "text").into(), UNASKED),
            (Method::Put, true, (206, [range], "text").into(), UNASKED),
            (Method::Get, false, 405.into(), Some("a 405 response needs the field `allow`")),
            (Method::Get, false, (405, [("allow", "PUT")], ()).into(), None),
            (Method::Get, false, 401.into(), Some("a 401 response needs the field `www-authenticate`")),
            (Method::Get, false, 407.into(), Some("a 407 response needs the field `proxy-authenticate`")),
            (Method::Get, false, 426.into(), Some("a 426 response needs the field `upgrade`")),
            (Method::Get, false, 302.into(), Some("a redirection needs the field `location`")),
            (Method::Get, false, 300.into(), None),
            (Method::Get, false, 304.into(), None),
            (Method::Head, false, (200, [("content-length", "4")], ()).into(), None),
            (Method::Head, false, (200, [("content-length", "5")], "text").into(), LENGTH),
            (Method::Get, false, "text".into(), None),
        ] {
            assert_eq!(broken_rule(method, part, &response), expected, "{response:?}");
        }
    }
}
