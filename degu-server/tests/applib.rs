//! Apps made of apps.

use crate::common::{Running, failed};
use degu_server::applib::{AllowedMethods, Hosts, Router, Validator};
use degu_server::{Address, App, Method, Request, Response, Server, Session};

async fn show(_: &mut Session, request: Request<'_>) -> String {
    format!("{:?} {:?} {:?}", request.mount(), request.segments(), request.query())
}

async fn partial(_: &mut Session, _: Request<'_>) -> Response {
    (206, "which?").into()
}

#[test]
fn routers_shift_the_path_and_nest() {
    let api = Router::new().mount("notes", show).otherwise(async |_: &mut Session, _: Request<'_>| "api?");
    let app = Router::new()
        .index(async |_: &mut Session, _: Request<'_>| "index")
        .mount("v1", partial)
        .mount("v1", api)
        .mount("read", AllowedMethods::new([Method::Get, Method::Head], show))
        .mount("checked", Validator::new(partial));
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    for (request, end) in [
        ("GET /", "\r\n\r\nindex"),
        ("OPTIONS *", "\r\n\r\nindex"),
        ("GET /v1/notes/7/x?a=b", "\r\n\r\n[\"v1\", \"notes\"] [\"7\", \"x\"] Some(\"a=b\")"),
        ("GET /v1/notes", "\r\n\r\n[\"v1\", \"notes\"] [] None"),
        ("GET /v1/", "\r\n\r\napi?"),
        ("GET /v1", "\r\n\r\napi?"),
        ("GET /nothing", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        ("GET /read/x", "\r\n\r\n[\"read\"] [\"x\"] None"),
        ("PUT /read/x", "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD\r\ncontent-length: 0\r\n\r\n"),
        ("GET /checked", &failed()),
    ] {
        let answer = server.ask(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.ends_with(end), "{request}: {answer:?}");
    }
}

/// Notes in the session that it was asked about the connection.
struct Gate(&'static str, bool);

impl App for Gate {
    async fn on_connect(&self, session: &mut Session) -> bool {
        let asked = session.remove::<String>().unwrap_or_default() + self.0;
        session.insert(asked);
        self.1
    }

    async fn handle(&self, session: &mut Session, _: Request<'_>) -> Response {
        session.get::<String>().cloned().unwrap_or_default().into()
    }
}

#[test]
fn router_asks_all_its_apps_about_a_connection() {
    let router = |second| {
        let inner = Router::new().mount("x", AllowedMethods::new([Method::Get], Gate("b", second)));
        Router::new()
            .otherwise(Gate("d", true))
            .index(Hosts::only(["a"], Gate("c", true)))
            .mount("first", Validator::new(Gate("a", true)))
            .mount("second", inner)
    };
    let ask = |app| Running::new(Address::ABSTRACT, app).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(ask(router(true)).ends_with("\r\n\r\nabcd"));
    assert_eq!(ask(router(false)), "", "the connection is closed without a response");
}

#[test]
fn dropped_handle_lets_an_exchange_end() {
    let server = Server::bind(Address::ABSTRACT, show).unwrap().spawn().unwrap();
    let mut raw = crate::common::Raw::connect(server.address());
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    raw.expect("HTTP/1.1 200 OK\r\n");
    drop(server);
    assert!(raw.rest().ends_with("[] [] None"));
}

#[test]
fn hosts_refuse_what_a_browser_sends_after_dns_rebinding() {
    let folder = tempfile::tempdir().unwrap();
    for address in [Address::IPV4_LOOPBACK, Address::unix(folder.path().join("socket"))] {
        let app = async |_: &mut Session, _: Request<'_>| "secret";
        let server = Running::new(address, Hosts::only(["localhost", "127.0.0.1", "[::1]"], app));
        for (fields, status) in [
            ("Host: localhost", 200),
            ("Host: 127.0.0.1:8080", 200),
            ("Host: LOCALHOST.:8080", 200),
            ("Host: attacker.example:8080", 421),
            ("Host: localhost.attacker.example", 421),
            ("Host:", 421),
            ("Host: localhost\r\nOrigin: http://localhost:3000", 200),
            ("Host: localhost\r\nOrigin: http://attacker.example", 403),
            ("Host: localhost\r\nOrigin: null", 403),
            ("Host: localhost\r\nOrigin:", 403),
            ("Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://attacker.example", 403),
        ] {
            let answer = server.ask(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {answer}");
            assert_eq!(answer.contains("secret"), status == 200, "{fields}");
        }
        assert!(server.ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 421 "));
        assert!(server.ask("GET http://attacker.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n").contains(" 421 "));
    }
}

#[test]
fn a_mount_is_one_segment_of_a_path() {
    let mount =
        |component: &'static str| std::panic::catch_unwind(|| drop(Router::new().mount(component, Router::new())));
    for component in ["api", "a%2Fb", "%C3%A9", "@:a;b=c", ""] {
        assert!(mount(component).is_ok(), "{component:?}");
    }
    for component in ["a/b", "/api", "api/", "a?b", "a#b", "a b", "\u{e9}", "a\n"] {
        assert!(mount(component).is_err(), "{component:?}");
    }
}

#[test]
fn hosts_take_a_missing_port_from_the_scheme() {
    let app = async |_: &mut Session, _: Request<'_>| "secret";
    let server = Running::new(Address::IPV4_LOOPBACK, Hosts::only(["localhost:80"], app));
    for (fields, status) in [
        ("Host: localhost", 200),
        ("Host: localhost:80", 200),
        ("Host: localhost:8080", 421),
        ("Host: localhost\r\nOrigin: http://localhost", 200),
        ("Host: localhost\r\nOrigin: http://localhost:80", 200),
        ("Host: localhost\r\nOrigin: https://localhost", 403),
        ("Host: localhost\r\nOrigin: app://localhost", 403),
    ] {
        let answer = server.ask(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {answer}");
    }
}
