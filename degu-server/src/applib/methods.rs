//! An app that accepts only some methods.

use degu_wire::Method;

use crate::{App, Request, Response, Session};

/// An app that passes requests with listed methods to another app. A request with another method gets 405 with the field `allow`
/// (RFC 9110 §15.5.6).
///
/// ```
/// use degu_server::{Method, Request, Session, applib::AllowedMethods};
///
/// let read_only = async |_: &mut Session, _: Request<'_>| "text";
/// let app = AllowedMethods::new([Method::Get, Method::Head], read_only);
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
#[derive(Debug)]
pub struct AllowedMethods<A> {
    methods: Vec<Method<'static>>,
    /// The value of the field `allow`.
    allow: String,
    app: A,
}

impl<A: App> AllowedMethods<A> {
    /// Returns an app that passes only requests with these methods to `app`.
    pub fn new(methods: impl IntoIterator<Item = Method<'static>>, app: A) -> Self {
        let methods: Vec<_> = methods.into_iter().collect();
        let allow = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
        Self { methods, allow, app }
    }
}

impl<A: App> App for AllowedMethods<A> {
    async fn on_connect(&self, session: &mut Session) -> bool {
        self.app.on_connect(session).await
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        if self.methods.contains(&request.method()) {
            return self.app.handle(session, request).await;
        }
        (405, [("allow", &self.allow)], ()).into()
    }
}
