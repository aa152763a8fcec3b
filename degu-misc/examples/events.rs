//! A feed of server-sent events: `events ADDRESS` sends a tick each second to every client that requests `/events`.
//!
//! A client that sends `last-event-id` gets the ticks after the tick with this number. Browsers send this field when
//! they reconnect; `/` is a page for browsers. `curl -N` shows the stream. The first line of output is
//! `listening on ADDRESS`.

use std::time::Duration;

use degu_server::{Address, BoxError, Method, Request, Response, Server, Session, applib::Hosts, sse};

const PAGE: &str = "<!doctype html><title>ticks</title><ul></ul><script>
new EventSource('/events').onmessage = event => {
    document.querySelector('ul').appendChild(document.createElement('li')).textContent = event.data;
};
</script>
";

async fn app(session: &mut Session, request: Request<'_>) -> Response {
    match (request.method(), request.segments()) {
        (Method::Get | Method::Head, []) => (200, [("content-type", "text/html")], PAGE).into(),
        (Method::Get | Method::Head, ["events"]) => {
            let last = request.headers().get("last-event-id").and_then(|id| id.parse::<u64>().ok());
            sse::response(session, last.map_or(0, |last| last.saturating_add(1)), async |n| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Some((sse::Event::new(format!("tick {n}")).id(n), n.saturating_add(1))))
            })
        }
        (_, [] | ["events"]) => (405, [("allow", "GET, HEAD")], ()).into(),
        _ => 404.into(),
    }
}

fn run() -> Result<(), BoxError> {
    let address: Address = std::env::args().nth(1).ok_or("usage: events ADDRESS")?.parse()?;
    // Without the list of hosts, a web page could make its own DNS name point to this machine, and read the feed.
    let server = Server::bind(address, Hosts::only(["localhost", "127.0.0.1", "::1"], app))?;
    println!("listening on {}", server.address());
    Ok(server.serve_until_signal()?)
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("events: {error}");
        std::process::exit(1)
    });
}
