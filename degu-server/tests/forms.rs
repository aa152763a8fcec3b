//! Every form of an app that the documentation shows: it compiles, and it answers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{Running, failed};
use degu_server::{Address, App, BoxError, BoxedApp, IntoResponse, Method, Request, Response, Session};

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[track_caller]
fn answers(app: impl App, expected: &str) {
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    assert_eq!(server.ask("GET /a/b HTTP/1.1\r\nhost: a\r\n\r\n"), expected);
}

fn ok(body: &str) -> String {
    format!("{OK}content-length: {}\r\n\r\n{body}", body.len())
}

async fn response(_: &mut Session, request: Request<'_>) -> Response {
    match (request.method(), request.segments()) {
        (Method::Get, ["a", name]) => (200, [("x-name", name)], "text").into(),
        _ => 404.into(),
    }
}

async fn result(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    let text = request.body.read_all(1024).await?;
    Ok((200, format!("{} bytes", text.len())).into())
}

async fn failure(_: &mut Session, request: Request<'_>) -> Result<&'static str, BoxError> {
    request.segments()[0].parse::<u8>()?;
    Ok("a number")
}

async fn text(_: &mut Session, _: Request<'_>) -> &'static str {
    "text"
}

async fn nothing(_: &mut Session, _: Request<'_>) {}

async fn tuple(_: &mut Session, _: Request<'_>) -> (u16, String) {
    (201, "made".to_owned())
}

async fn opaque(_: &mut Session, request: Request<'_>) -> impl IntoResponse + use<> {
    (200, request.segments().join(" "))
}

#[test]
fn named_functions() {
    answers(response, &format!("{OK}x-name: b\r\ncontent-length: 4\r\n\r\ntext"));
    answers(result, &ok("0 bytes"));
    answers(failure, &failed());
    answers(text, &ok("text"));
    answers(nothing, &ok(""));
    answers(tuple, "HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\nmade");
    answers(opaque, &ok("a b"));
}

/// Keeps a value across an await that is not `Send`.
async fn not_send(_: &mut Session, request: Request<'_>) -> String {
    let kept = std::rc::Rc::new(request.target());
    tokio::task::yield_now().await;
    kept.to_string()
}

#[test]
fn closures() {
    answers(async |_: &mut Session, _: Request<'_>| "text", &ok("text"));
    let greeting = "hello".to_owned();
    answers(async move |_: &mut Session, _: Request<'_>| greeting.clone(), &ok("hello"));
    let count = AtomicU64::new(6);
    let counts = async move |session: &mut Session, _: Request<'_>| {
        tokio::task::yield_now().await;
        (count.fetch_add(session.requests(), Ordering::Relaxed) + session.requests()).to_string()
    };
    answers(counts, &ok("7"));
    answers(not_send, &ok("/a/b"));
}

/// State with a method, as a closure that calls it.
struct Counter(AtomicU64);

impl Counter {
    async fn answer(&self, _: &mut Session, _: Request<'_>) -> Result<Response, BoxError> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed).to_string().into())
    }
}

/// State that is an app itself, which also says whom it wants.
struct Guarded {
    wanted: bool,
}

impl App for Guarded {
    async fn on_connect(&self, session: &mut Session) -> bool {
        session.insert("stored");
        self.wanted
    }

    async fn handle(&self, session: &mut Session, _: Request<'_>) -> Response {
        session.get::<&'static str>().copied().unwrap_or("lost").into()
    }
}

#[test]
fn types() {
    let counter = Counter(AtomicU64::new(3));
    let app = async move |session: &mut Session, request: Request<'_>| counter.answer(session, request).await;
    answers(app, &ok("3"));
    answers(Guarded { wanted: true }, &ok("stored"));
    answers(Guarded { wanted: false }, "");
}

/// Middleware as a function: it needs no name for what it makes, and answers requests only.
fn marked(inner: impl App) -> impl App {
    async move |session: &mut Session, request: Request<'_>| {
        let path = request.target();
        inner.handle(session, request).await.header("x-path", path)
    }
}

/// Middleware as a type: it passes `on_connect` on too.
struct Mark<A>(A);

impl<A: App> App for Mark<A> {
    async fn on_connect(&self, session: &mut Session) -> bool {
        self.0.on_connect(session).await
    }

    async fn handle(&self, session: &mut Session, request: Request<'_>) -> Response {
        let mut response = self.0.handle(session, request).await;
        response.status += 1;
        response
    }
}

#[test]
fn middleware() {
    answers(marked(text), &format!("{OK}x-path: /a/b\r\ncontent-length: 4\r\n\r\ntext"));
    answers(Mark(Mark(text)), "HTTP/1.1 202 OK\r\ncontent-length: 4\r\n\r\ntext");
    answers(Mark(marked(Guarded { wanted: true })), "HTTP/1.1 201 OK\r\nx-path: /a/b\r\ncontent-length: 4\r\n\r\nlost");
    answers(Mark(Guarded { wanted: false }), "");
    answers(marked(Guarded { wanted: false }), &format!("{OK}x-path: /a/b\r\ncontent-length: 4\r\n\r\nlost"));
}

#[test]
fn boxed() {
    let captured = "captured".to_owned();
    let apps = [
        (BoxedApp::new(text), ok("text")),
        (BoxedApp::new(async move |_: &mut Session, _: Request<'_>| captured.clone()), ok("captured")),
        (BoxedApp::new(Guarded { wanted: true }), ok("stored")),
        (BoxedApp::new(Guarded { wanted: false }), String::new()),
        (BoxedApp::new(BoxedApp::new(opaque)), ok("a b")),
    ];
    for (app, expected) in apps {
        answers(app, &expected);
    }
}

#[test]
fn fields_of_several_types() {
    let app = async |_: &mut Session, _: Request<'_>| (503, (("retry-after", 5), ("vary", "accept")), "later");
    let fields = "retry-after: 5\r\nvary: accept\r\ncontent-length: 5";
    answers(app, &format!("HTTP/1.1 503 Service Unavailable\r\n{fields}\r\n\r\nlater"));
}

#[test]
fn success_is_a_class_of_statuses() {
    let successes = (0..1000).filter(|status| Response::new(*status).is_success());
    assert!(successes.eq(200..300));
}

#[cfg(feature = "json")]
#[test]
fn json() {
    use degu_server::Json;
    use std::collections::BTreeMap;

    let json = |status, kind, text: &str| {
        format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
    };
    let kind = "content-type: application/json";
    answers(async |_: &mut Session, _: Request<'_>| Json(("milk", 2)), &json("200 OK", kind, r#"["milk",2]"#));
    answers(async |_: &mut Session, _: Request<'_>| (201, Json(2)), &json("201 Created", kind, "2"));
    answers(
        async |_: &mut Session, _: Request<'_>| (201, [("location", "/7")], Json("milk")),
        &json("201 Created", "location: /7\r\ncontent-type: application/json", r#""milk""#),
    );
    let problem = "content-type: application/problem+json";
    answers(
        async |_: &mut Session, _: Request<'_>| {
            Response::new(400).header("content-type", "application/problem+json").body(Json([1]))
        },
        &json("400 Bad Request", problem, "[1]"),
    );
    answers(async |_: &mut Session, _: Request<'_>| Json(BTreeMap::from([([1, 2], "a pair")])), &failed());
    answers(async |_: &mut Session, _: Request<'_>| (404, Json(BTreeMap::from([([1, 2], 3)]))), &failed());
}
