//! State that the machines report beside the data: buffers, deadlines, the last exchange.

use core::task::Poll;

use degu_wire::machine::{Awaits, Client, Connection, Content, Reason, RequestHead, ResponseHead, Server};
use degu_wire::{Chunk, Headers, Limits, Lines, Method, Part, Trailers, chunk, sse};

fn server(bytes: &[u8]) -> Connection<Server> {
    let mut server = Connection::<Server>::new(Limits { allow_http10: true, ..Limits::DEFAULT });
    server.receive_buffer().extend_from_slice(bytes);
    server
}

fn request(server: &mut Connection<Server>) -> RequestHead {
    match server.poll_request() {
        Ok(Poll::Ready(Some(head))) => head,
        other => panic!("{other:?}"),
    }
}

fn client(bytes: &[u8]) -> (Connection<Client>, ResponseHead) {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    client.request(Method::Get, "/", "a", &Headers::new(), Content::None).unwrap();
    client.receive_buffer().extend_from_slice(bytes);
    let Ok(Poll::Ready(head)) = client.poll_response() else { panic!("no response") };
    (client, head)
}

const GET: &[u8] = b"GET /secret?token HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n";

#[test]
fn machines_and_heads_show_no_secrets() {
    let head = request(&mut server(GET));
    let shown = format!("{head:?}");
    assert!(shown.contains("Cookie") && !shown.contains(": secret"), "{shown}");
    let (_, head) = client(b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\nContent-Length: 0\r\n\r\n");
    let shown = format!("{head:?}");
    assert!(shown.contains("200") && shown.contains("Set-Cookie") && !shown.contains("secret"), "{shown}");
    assert_eq!(head.clone().into_headers(), *head.headers());

    let head = request(&mut server(b"GET /a?token=secret HTTP/1.1\r\nHost: a\r\n\r\n"));
    let shown = format!("{head:?}");
    assert!(shown.contains("/a") && !shown.contains("secret"), "{shown}");
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    let headers = Headers::try_from([("authorization", "Bearer secret")]).unwrap();
    client.request(Method::Get, "/", "a", &headers, Content::Bytes("a secret".into())).unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\nSet-Cookie: secret");
    let shown = format!("{client:?}");
    let sent: usize = client.pending().bytes();
    assert_eq!(format!("{:?}", client.pending()), format!("Pending {{ bytes: {sent}, .. }}"));
    assert!(shown.contains(&format!("buffered: 35, pending: {sent}")), "{shown}");
}

#[test]
fn debug_of_bodies_shows_lengths_only() {
    let chunk = Chunk::new("a secret").with_extension("note", "secret");
    let (mut lines, mut events) = (Lines::new(100), sse::Decoder::new(100));
    lines.push("a secret".into());
    events.push("id: 1\ndata: a secret\ndata: se".into());
    assert_eq!((lines.next_line(), events.next_event()), (Ok(None), Ok(None)));
    let note = r#"[Extension { name: "note", value: Some(6 bytes) }]"#;
    for (shown, expected) in [
        (format!("{chunk:?}"), format!("Chunk {{ data: 8 bytes, extensions: {note} }}")),
        (format!("{:?}", Part::from(chunk)), format!("Chunk {{ size: 8, extensions: {note}, data: 8 bytes }}")),
        (format!("{:?}", Part::Data("a secret".into())), "Data(8 bytes)".into()),
        (format!("{:?}", chunk::Event::Data(b"a secret")), "Data(8 bytes)".into()),
        (format!("{:?}", chunk::Event::End { trailers: b"a: secret\r\n" }), "End(11 bytes of trailers)".into()),
        (format!("{:?}", sse::Event::new("a secret").id("secret")), "Event { data: 8 bytes, .. }".into()),
        (format!("{lines:?}"), "Lines { limit: 100, buffered: 8, .. }".into()),
        (
            format!("{events:?}"),
            // The data of the unfinished event ends with LF.
            "Decoder { lines: Lines { limit: 100, buffered: 8, .. }, event: Event { data: 9 bytes, .. }, .. }".into(),
        ),
    ] {
        assert_eq!(shown, expected);
    }
}

#[test]
fn reasons_are_text_where_they_can_be() {
    let (_, head) = client(b"HTTP/1.1 200 Fine \xc3\xa9\r\n\r\n");
    let reason = head.reason();
    assert!(reason == "Fine é" && reason != "Fine");
    assert_eq!((format!("{reason}"), format!("{reason:?}")), ("Fine é".to_owned(), "\"Fine é\"".to_owned()));
    assert_eq!(reason, Reason::from(String::from("Fine é")));
    let (_, head) = client(b"HTTP/1.1 200 \xff\r\n\r\n");
    assert_eq!((head.reason().as_str(), head.reason().as_bytes()), ("", &b"\xff"[..]));
    let (_, head) = client(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(head.reason(), Reason::from("OK"));
}

#[test]
fn a_date_is_written_unless_there_is_one() {
    for (own, expected) in [(None, "date: now\r\n"), (Some("then"), "Date: then\r\n")] {
        let mut server = server(GET);
        request(&mut server);
        let mut headers = Headers::new();
        if let Some(own) = own {
            headers.set("Date", own).unwrap();
        }
        server.respond(200, "OK", &headers, Content::None, Some("now")).unwrap();
        let sent = String::from_utf8(server.pending().concat()).unwrap();
        assert_eq!(sent.to_lowercase().matches("date: ").count(), 1);
        assert!(sent.contains(expected), "{sent}");
    }
}

#[test]
fn an_exchange_that_is_under_way_lets_none_begin() {
    let mut server = server(&[GET, GET].concat());
    request(&mut server);
    assert!(matches!(server.poll_request(), Ok(Poll::Pending)));
    assert_eq!(server.awaits(), Awaits::Nothing);
    server.respond(200, "OK", &Headers::new(), Content::Length(1), None).unwrap();
    assert!(server.has_responded() && server.is_sending());
    assert!(matches!(server.poll_request(), Ok(Poll::Pending)));
    server.send_part(Part::Data("x".into())).unwrap();
    request(&mut server);

    let (mut client, _) = client(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    assert!(matches!(client.poll_response(), Ok(Poll::Pending)), "it was given already");
    assert_eq!((client.body_remaining(), client.is_receiving()), (Some(5), true));
    assert!(matches!(client.poll_part(), Ok(Poll::Ready(Some(_)))));
    assert!(matches!(client.poll_part(), Ok(Poll::Pending)));
    assert_eq!((client.body_remaining(), client.buffered().len()), (Some(2), 0));
    client.receive_buffer().extend_from_slice(b"lo");
    assert!(matches!(client.poll_part(), Ok(Poll::Ready(Some(_)))));
    assert_eq!((client.body_remaining(), client.is_receiving()), (Some(0), false));
}

#[test]
fn the_rest_of_a_body_is_known_where_its_framing_tells() {
    let (client, _) = client(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!((client.body_remaining(), client.is_receiving()), (None, true));
    let (client, _) = self::client(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!((client.body_remaining(), client.is_receiving()), (None, true));
}

#[test]
fn a_server_that_stops_takes_no_more_than_has_begun() {
    let mut idle = server(b"\r\n");
    idle.stop();
    assert!(matches!(idle.poll_request(), Ok(Poll::Ready(None))));
    assert!(!idle.is_persistent());

    let mut begun = server(b"GET /");
    begun.stop();
    assert!(matches!(begun.poll_request(), Ok(Poll::Pending)));
    assert_eq!(begun.awaits(), Awaits::Head);
    begun.receive_buffer().extend_from_slice(b" HTTP/1.1\r\nHost: a\r\n\r\n");
    request(&mut begun);
    begun.respond(200, "OK", &Headers::new(), Content::None, None).unwrap();
    assert!(begun.pending().concat().ends_with(b"connection: close\r\n\r\n"));
    assert!(matches!(begun.poll_request(), Ok(Poll::Ready(None))));

    // Between two requests, before anybody has asked for the second.
    let mut between = server(GET);
    request(&mut between);
    between.respond(200, "OK", &Headers::new(), Content::None, None).unwrap();
    assert!(between.is_persistent());
    between.stop();
    assert!(matches!(between.poll_request(), Ok(Poll::Ready(None))));
}

#[test]
fn a_chunked_body_to_http10_ends_without_its_trailers() {
    let mut server = server(b"GET / HTTP/1.0\r\n\r\n");
    request(&mut server);
    server.respond(200, "OK", &Headers::new(), Content::Chunked, None).unwrap();
    server.send_part(Chunk::new("a").into()).unwrap();
    server.send_part(Trailers::try_from([("x", "y")]).unwrap().into()).unwrap();
    assert!(!server.is_sending());
    assert!(server.pending().concat().ends_with(b"\r\n\r\na"));
}

#[test]
fn an_abandoned_request_body_ends_the_connection() {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    client.request(Method::Put, "/", "a", &Headers::new(), Content::Length(5)).unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let Ok(Poll::Ready(head)) = client.poll_response() else { panic!("no response") };
    assert!(!client.stops_sending(&head), "a good response may come early");
    assert!(!client.is_reusable() && !client.is_closed(), "the body is still to be sent");
    client.abandon_request_body();
    assert!(!client.is_sending() && client.is_closed() && !client.is_reusable());
    client.abandon_request_body();
}

#[test]
fn a_final_response_stops_a_request_that_nobody_reads() {
    for (head, stops) in [
        (&b"HTTP/1.1 399 x\r\n\r\n"[..], false),
        (b"HTTP/1.1 400 x\r\n\r\n", true),
        (b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n", true),
        (b"HTTP/1.0 200 x\r\n\r\n", true),
    ] {
        let mut client = Connection::<Client>::new(Limits::DEFAULT);
        client.request(Method::Put, "/", "a", &Headers::new(), Content::Chunked).unwrap();
        client.receive_buffer().extend_from_slice(head);
        let Ok(Poll::Ready(response)) = client.poll_response() else { panic!("no response") };
        assert_eq!(client.stops_sending(&response), stops, "{response:?}");
        client.finish_body().unwrap();
        assert_eq!(client.stops_sending(&response), stops, "the last bytes wait, {response:?}");
        client.transmitted(client.pending().bytes());
        assert!(!client.stops_sending(&response), "there is nothing to stop");
    }
}

#[test]
fn a_limit_that_is_none_makes_no_room_for_what_can_not_come() {
    let limits = Limits { max_fields: usize::MAX, max_trailer_fields: usize::MAX, ..Limits::DEFAULT };
    let mut server = Connection::<Server>::new(limits);
    let fields = "a:\r\n".repeat(1_000);
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{fields}\r\n0\r\n{fields}\r\n");
    server.receive_buffer().extend_from_slice(head.as_bytes());
    let head = request(&mut server);
    assert_eq!(head.headers().len(), 1_002);
    let Ok(Poll::Ready(Some(Part::Last { trailers, .. }))) = server.poll_part() else {
        panic!("the trailers are there")
    };
    assert_eq!(trailers.iter().len(), 1_000);
}

#[test]
fn there_is_room_to_read_into_and_more_for_large_bodies() {
    let mut server = server(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    request(&mut server);
    let mut reads = Vec::new();
    for _ in 0..40 {
        let buffer = server.receive_buffer();
        let room = buffer.capacity() - buffer.len();
        assert!(room >= 2 * 1024);
        buffer.extend_from_slice(&vec![b'x'; room]);
        reads.push(room);
        assert!(matches!(server.poll_part(), Ok(Poll::Ready(Some(Part::Data(_))))));
    }
    assert!(server.has_large_buffers());
    let most = *reads.iter().max().unwrap();
    assert!((128 * 1024..=512 * 1024).contains(&most), "{reads:?}");
}

#[test]
fn buffers_are_given_up_where_they_are_empty() {
    let mut server = server(GET);
    server.release_buffers();
    request(&mut server);
    server.respond(200, "OK", &Headers::new(), Content::Bytes("hello".into()), None).unwrap();
    let pending = server.pending().concat();
    server.release_buffers();
    assert_eq!(server.pending().concat(), pending, "what waits is kept");
    server.transmitted(pending.len());
    server.receive_buffer();
    assert!(!server.has_large_buffers(), "a short message leaves no large buffer");
    server.release_buffers();
    assert!(server.is_flushed() && server.buffered().is_empty());
    server.receive_buffer().extend_from_slice(GET);
    request(&mut server);
}

#[test]
fn what_waits_is_bounded_for_those_who_ask() {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    client.request(Method::Put, "/", "a", &Headers::new(), Content::Length(1 << 20)).unwrap();
    let mut given = 0;
    while client.has_room() {
        client.send_part(Part::Data(vec![b'x'; 4096].into())).unwrap();
        given += 4096;
    }
    assert!((64 * 1024..72 * 1024).contains(&given), "{given}");
    client.transmitted(client.pending().bytes());
    let mut give = |bytes: usize| {
        let mut pieces = 0;
        while client.has_room() {
            client.send_part(Part::Data(vec![b'x'; bytes].into())).unwrap();
            pieces += 1;
        }
        assert_eq!(client.pending().count(), pieces, "large data is referred to");
        client.transmitted(client.pending().bytes());
        pieces
    };
    assert_eq!((give(4097), give(64 * 1024), give(448 * 1024)), (8, 7, 1));
}

#[test]
fn a_refusal_has_a_final_status() {
    for (status, answers) in [(199, false), (200, true), (408, true), (999, true), (1000, false)] {
        let mut server = server(GET);
        request(&mut server);
        assert_eq!(server.refuse(status, "text/plain", "", None).is_some(), answers, "{status}");
        assert_eq!(server.is_flushed(), !answers);
        assert!(!server.is_persistent());
        assert_eq!(server.awaits(), Awaits::Nothing);
    }
}
