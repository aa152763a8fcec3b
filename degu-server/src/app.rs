//! The app that a server serves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::{IntoResponse, Request, Response, Session};

/// An application: it answers requests.
///
/// Most apps are functions. Every `async fn(&mut Session, Request<'_>) -> R`, and every async closure of that shape, is an
/// `App`, where `R` is anything that is [`IntoResponse`]:
///
/// ```
/// use degu_server::{App, Error, Method, Request, Response, Session};
///
/// async fn plain(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get, ["example"]) => "hello, world".into(),
///         (Method::Get, _) => 404.into(),
///         _ => (405, [("allow", "GET")], ()).into(),
///     }
/// }
///
/// async fn fallible(_: &mut Session, mut request: Request<'_>) -> Result<Response, Error> {
///     let number: u32 = request.body.text(16).await?.parse().map_err(|_| Error::new(400, "send a number"))?;
///     Ok((number / 2).to_string().into())
/// }
///
/// // A closure writes the types of both its arguments; without them the compiler calls it "not general enough".
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
/// Middleware that is a closure answers requests only: it does not call the inner app's
/// [`on_connect`](Self::on_connect). Where that must be called, middleware is a type that passes both on.
///
/// An `async fn` that returns plain `impl IntoResponse` is not: such a return type captures the lifetimes of the
/// arguments, so that there is no one type `R`.
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
/// Return [`Response`], a `Result`, or `impl IntoResponse + use<>`, which says that nothing of the arguments is in it:
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
/// One app serves all connections on all threads, so it is `Send` and `Sync`. The futures that it makes need not be: a
/// connection never leaves its thread. A handler that blocks stops every connection of its thread; blocking code
/// belongs into [`blocking`](crate::blocking) or `tokio::task::spawn_blocking`, and what is to go on after or next to
/// the request into `tokio::task::spawn_local`.
#[allow(async_fn_in_trait, reason = "the futures of an app need not be `Send`: there is no bound to express")]
pub trait App: Send + Sync + 'static {
    /// Decides whether a connection is served: called once for each, before its first request. `false` closes it without a
    /// response.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the peer goes away or the time for it is over.
    async fn on_connect(&self, session: &mut Session) -> bool {
        let _ = session;
        true
    }

    /// Answers a request.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the peer goes away, when a deadline of the connection is over, and at the end of a
    /// shutdown's grace. A peer that closes a TCP connection is noticed after
    /// [`half_close_timeout`](crate::Options::half_close_timeout), 3 s by default; one that closes a Unix socket, at once.
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

/// [`App`] as an object: its futures in boxes.
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

/// An app of any type, for those who choose one at run time or keep several in a list. It costs an allocation a request.
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
    /// Returns the app behind a pointer.
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
