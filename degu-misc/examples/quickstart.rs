//! Serves one app on all four kinds of address, sends requests to each, and prints requests and responses.

use degu_client::blocking::Connection;
use degu_misc::TempServer;
use degu_server::{Address, BoxError, Method, Request, Response, Session};

async fn app(_: &mut Session, request: Request<'_>) -> Response {
    match (request.method(), request.segments()) {
        (Method::Get | Method::Head, ["example"]) => "hello, world".into(),
        (Method::Get | Method::Head, _) => 404.into(),
        _ => (405, [("allow", "GET, HEAD")], ()).into(),
    }
}

fn ask(connection: &mut Connection, method: Method<'_>, target: &str) -> Result<(), BoxError> {
    println!("> {method} {target}");
    let mut response = connection.request(method, target, (), ())?;
    println!("< {} {}", response.status, response.reason);
    for (name, value) in response.headers.iter() {
        println!("< {name}: {}", value.escape_ascii());
    }
    println!("<\n{}\n", response.body.text(1024)?);
    Ok(())
}

fn run() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let mut addresses = vec![Address::IPV4_LOOPBACK, Address::IPV6_LOOPBACK];
    if cfg!(unix) {
        addresses.push(Address::unix(folder.path().join("quickstart.sock")));
    }
    if cfg!(any(target_os = "linux", target_os = "android")) {
        addresses.push(Address::ABSTRACT);
    }
    for address in addresses {
        let server = TempServer::new(address, app);
        println!("== {}\n", server.address());
        let mut connection = server.client().connect()?;
        ask(&mut connection, Method::Get, "/example")?;
        ask(&mut connection, Method::Get, "/elsewhere")?;
        ask(&mut connection, Method::Delete, "/example")?;
    }
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("quickstart: {error}");
        std::process::exit(1)
    });
}
