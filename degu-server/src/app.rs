//! The trait [`App`], which an application implements.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{IntoResponse, Request, Response, Session};

/// An application that answers requests.
///
/// Most apps are functions. Every `async fn(&mut Session, Request<'_>) -> R` is an `App` if `R` implements
/// [`IntoResponse`]. An async closure with these arguments is an `App` too:
///
/// ```
/// use degu_server::{App, Error, Method, Request, Response, Session};
///
/// async fn plain(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get | Method::Head, ["example"]) => "hello, world".into(),
///         (Method::Get | Method::Head, _) => 404.into(),
///         _ => (405, [("allow", "GET, HEAD")], ()).into(),
///     }
/// }
///
/// async fn fallible(_: &mut Session, mut request: Request<'_>) -> Result<Response, Error> {
///     let number: u32 = request.body.text(16).await?.parse().map_err(|_| Error::new(400, "send a number"))?;
///     Ok((number / 2).to_string().into())
/// }
///
/// // A closure needs the types of both arguments. Without them the compiler calls it "not general enough".
/// let greeting = String::from("hello");
/// let closure = async move |_: &mut Session, _: Request<'_>| greeting.clone();
///
/// // Middleware is an app around an app.
/// fn logged(inner: impl App) -> impl App {
///     async move |session: &mut Session, request: Request<'_>| {
///         let line = format!("{} {}", request.method(), request.target());
///         let response = inner.handle(session, request).await;
///         println!("{line}: {}", response.status);
///         response
///     }
/// }
///
/// fn is_an_app(_: impl App) {}
/// is_an_app(plain);
/// is_an_app(fallible);
/// is_an_app(logged(closure));
/// ```
///
/// An `async fn` that returns plain `impl IntoResponse` is not an `App`. Such a return type captures the lifetimes of
/// the arguments, so each call returns another type, and there is no single type `R`.
///
/// ```compile_fail,E0308
/// # use degu_server::{App, IntoResponse, Request, Session};
/// async fn refused(_: &mut Session, _: Request<'_>) -> impl IntoResponse {
///     "hello"
/// }
/// # fn is_an_app(_: impl App) {}
/// is_an_app(refused);
/// ```
///
/// Return [`Response`], a `Result`, or `impl IntoResponse + use<>`, which does not capture the arguments:
///
/// ```
/// # use degu_server::{App, IntoResponse, Request, Session};
/// async fn fine(_: &mut Session, _: Request<'_>) -> impl IntoResponse + use<> {
///     "hello"
/// }
/// # fn is_an_app(_: impl App) {}
/// is_an_app(fine);
/// ```
///
/// All threads of a server share the app, so it is `Send` and `Sync`. Its futures need not be `Send`, because a connection stays
/// on its thread. A handler that blocks stops all connections of its thread. Use [`blocking`](crate::blocking()) or
/// `tokio::task::spawn_blocking` for code that blocks. Use `tokio::task::spawn_local` for work that continues after the request.
#[allow(async_fn_in_trait, reason = "the futures of an app need not be `Send`, so no bound is missing")]
pub trait App: Send + Sync + 'static {
    /// Returns whether a connection is accepted. If the method returns `false`, the server closes the connection
    /// without a response. The server calls this method once for each connection, before the first request. By default
    /// every connection is accepted. An app around an app must forward this call, as the apps of
    /// [`applib`](crate::applib) do. Middleware that is a closure accepts every connection, and does not call
    /// `on_connect` of the inner app. If the inner app needs this call, write the middleware as a type that forwards
    /// both methods.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the peer goes away, as for [`handle`](Self::handle), and when the grace period of a
    /// shutdown ends. The future has no deadline: [`handler_timeout`](crate::Options::handler_timeout) applies only to
    /// requests.
    async fn on_connect(&self, session: &mut Session) -> bool {
        let _ = session;
        true
    }

    /// Answers a request.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the peer goes away, when a deadline of the connection expires, and when the grace period of a
    /// shutdown ends. If the peer closes a Unix socket, the future is dropped at once. If the peer closes a TCP connection, the
    /// future is dropped after [`half_close_timeout`](crate::Options::half_close_timeout), 3 s by default.
    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response;
}

impl<F, R> App for F
where
    F: AsyncFn(&mut Session, Request<'_>) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        self(session, request).await.into_response()
    }
}

type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// The object-safe form of [`App`], whose futures are boxed.
trait DynApp: Send + Sync {
    fn on_connect<'f>(&'f self, session: &'f mut Session) -> Boxed<'f, bool>;
    fn handle<'f>(&'f self, session: &'f mut Session, request: Request<'f>) -> Boxed<'f, Response>;
}

impl<A: App> DynApp for A {
    fn on_connect<'f>(&'f self, session: &'f mut Session) -> Boxed<'f, bool> {
        Box::pin(App::on_connect(self, session))
    }

    fn handle<'f>(&'f self, session: &'f mut Session, request: Request<'f>) -> Boxed<'f, Response> {
        Box::pin(App::handle(self, session, request))
    }
}

/// An app whose type is hidden. A program can choose such an app at run time, or put different apps into one list. Each request
/// costs an additional allocation.
///
/// ```
/// use degu_server::{BoxedApp, Request, Session};
///
/// let verbose = true;
/// let app = match verbose {
///     true => BoxedApp::new(async |_: &mut Session, _: Request<'_>| "a long answer"),
///     false => BoxedApp::new(async |_: &mut Session, _: Request<'_>| "no"),
/// };
/// # let _ = app;
/// ```
pub struct BoxedApp(Box<dyn DynApp>);

impl BoxedApp {
    /// Returns the app in a box.
    pub fn new(app: impl App) -> Self {
        Self(Box::new(app))
    }
}

impl App for BoxedApp {
    async fn on_connect(&self, session: &mut Session) -> bool {
        self.0.on_connect(session).await
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        self.0.handle(session, request).await
    }
}

impl fmt::Debug for BoxedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedApp")
    }
}
