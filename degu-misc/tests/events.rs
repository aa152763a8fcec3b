//! Server-sent events and lines, from the server to both clients.

use degu_client::blocking::Client;
use degu_client::sse::{Decoder, Event};
use degu_client::{Fault, Lines, Method};
use degu_misc::TempServer;
use degu_server::{Address, Body, Chunk, Request, Response, Server, Session, sse};

/// Sends the numbers after `last-event-id`, up to nine. The stream is cut after three numbers, as if the server died.
async fn app(session: &mut Session, request: Request<'_>) -> Response {
    match request.segments() {
        ["events"] => {
            let last = request.headers().get("last-event-id").and_then(|id| id.parse::<u64>().ok());
            let first = last.map_or(0, |last| last + 1);
            sse::response(session, first, move |n| async move {
                if n == first + 3 {
                    return Err("cut".into());
                }
                Ok((n < 10).then(|| (sse::Event::new(format!("n\n{n}")).id(n).name("number"), n + 1)))
            })
        }
        ["lines"] => Body::try_unfold(0, async |n| {
            // The boundaries of the chunks are not the boundaries of the lines.
            Ok((n < 6).then(|| (Chunk::new(["{\"n\"", ":1}\r\n{", "\"n\":2}", "\n", "\n{\"n\":3", "}"][n]), n + 1)))
        })
        .into(),
        ["endless"] => Body::try_unfold((), async |()| Ok(Some((Chunk::new("data: without an end "), ())))).into(),
        ["waits"] => sse::response(session, (), async |()| std::future::pending().await),
        _ => 404.into(),
    }
}

fn number(n: u64) -> Event {
    Event::new(format!("n\n{n}")).id(n).name("number")
}

#[test]
fn events_go_on_over_cut_connections() {
    let server = TempServer::new(Address::IPV6_LOOPBACK, app);
    let (mut events, mut seen, mut cuts) = (Decoder::new(1024), Vec::new(), 0);
    // The loop that every caller writes, with its own idea of how long to wait.
    loop {
        let mut connection = server.client().connect().unwrap();
        let last = events.last_event_id().to_owned();
        let headers = (!last.is_empty()).then_some(("last-event-id", &*last));
        let headers = headers.as_slice();
        let mut response = connection.request(Method::Get, "/events", headers, ()).unwrap();
        assert_eq!(response.headers.get("content-type"), Some("text/event-stream"));
        let end = loop {
            match response.body.next_event(&mut events) {
                Ok(Some(event)) => seen.push(event),
                Ok(None) => break true,
                Err(error) => {
                    assert_eq!(error.remote().unwrap().fault, Fault::TruncatedBody);
                    break false;
                }
            }
        };
        if end {
            break;
        }
        cuts += 1;
    }
    assert_eq!((seen, cuts), ((0..10).map(number).collect(), 3));
}

#[tokio::test]
async fn async_client_reads_events_and_lines() {
    let server = TempServer::new(Address::ABSTRACT, app);
    let mut connection = server.async_client().connect().await.unwrap();
    let mut response = connection.get("/lines").await.unwrap();
    let (mut lines, mut seen) = (Lines::new(64), Vec::new());
    while let Some(line) = response.body.next_line(&mut lines).await.unwrap() {
        seen.push(line);
    }
    assert_eq!(seen, ["{\"n\":1}", "{\"n\":2}", "", "{\"n\":3}"]);
    let mut events = Decoder::new(64);
    let headers = [("last-event-id", 8)];
    let mut response = connection.request(Method::Get, "/events", headers, ()).await.unwrap();
    assert_eq!(response.body.next_event(&mut events).await.unwrap(), Some(number(9)));
    assert_eq!(response.body.next_event(&mut events).await.unwrap(), None);
}

#[test]
fn a_reader_stops_at_its_bound() {
    let server = TempServer::new(Address::ABSTRACT, app);
    let mut connection = server.client().connect().unwrap();
    let mut response = connection.get("/endless").unwrap();
    let error = response.body.next_event(&mut Decoder::new(64 * 1024)).unwrap_err();
    assert_eq!(error.remote().unwrap().fault, Fault::LineTooLong);
    let mut connection = server.client().connect().unwrap();
    let mut response = connection.get("/endless").unwrap();
    let error = response.body.next_line(&mut Lines::new(64 * 1024)).unwrap_err();
    assert_eq!(error.remote().unwrap().fault, Fault::LineTooLong);
}

#[test]
fn a_waiting_stream_ends_as_a_whole_when_the_server_stops() {
    let server = Server::bind(Address::ABSTRACT, app).unwrap().spawn().unwrap();
    let mut connection = Client::new(server.address()).connect().unwrap();
    let mut response = connection.get("/waits").unwrap();
    // The shutdown waits for the stream, which ends because of it.
    let shutdown = std::thread::spawn(|| server.shutdown_blocking());
    assert_eq!(response.body.next_event(&mut Decoder::new(1024)).unwrap(), None);
    drop(response);
    shutdown.join().unwrap();
}
