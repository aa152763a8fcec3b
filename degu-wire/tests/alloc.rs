//! Allocations: none in the core level, and none for a message in a machine that is warm.

use std::hint::black_box;
use std::task::Poll;

use bytes::Bytes;
use degu_wire::chunk::{self, Decoder, Event};
use degu_wire::head::{
    FieldSpan, encode_request, encode_response, encode_trailers, find_head_end, parse_request, parse_response,
    parse_trailers,
};
use degu_wire::machine::{Client, Connection, Content, Server};
use degu_wire::{ByteRange, ChunkExtensions, Framing, Headers, Limits, Method, Part, Trailers};

/// Returns the number of allocations of this thread while `run` runs, reallocations included.
fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
    let mut text = black_box(Vec::with_capacity(1));
    assert_eq!(allocations(|| text.extend_from_slice(black_box(b"grows"))), 1);
}

const REQUEST: &[u8] = b"POST /log?level=2 HTTP/1.1\r\nHost: device.example:8080\r\nConnection: keep-alive\r\n\
    Range: bytes=0-99\r\nTransfer-Encoding: chunked\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\nContent-Type: text/plain\r\n\r\n";
const BODY: &[u8] = b"5;seq=1;note=\"a \\\"b\\\"\"\r\nhello\r\n4\r\n you\r\n0;last\r\nX-Checksum: 9\r\n\r\n";

#[test]
fn the_core_parses_without_allocating() {
    let limits = Limits::DEFAULT;
    let mut slots = [FieldSpan::EMPTY; 8];
    let mut copy = RESPONSE.to_vec();
    let count = allocations(|| {
        assert_eq!(find_head_end(REQUEST, 0), Some(REQUEST.len()));
        let request = parse_request(REQUEST, &mut slots, &limits).unwrap().unwrap();
        assert_eq!((request.method(), request.path(), request.query()), (Method::Post, "/log", Some("level=2")));
        assert_eq!((request.authority(), request.framing()), ("device.example:8080", Framing::Chunked));
        let range = request.fields().get("range").and_then(|range| std::str::from_utf8(range).ok()).unwrap();
        assert!(range.parse::<ByteRange>().is_ok());
        assert_eq!(request.fields().iter().len(), 4);

        let response = parse_response(&mut copy, &mut slots, &limits).unwrap().unwrap();
        assert_eq!((response.status(), response.reason()), (404, &b"Not Found"[..]));
        assert_eq!(response.framing(Method::Get), Framing::Length(9));

        let fault = parse_request(b"GET  / HTTP/1.1\r\n\r\n", &mut slots, &limits).unwrap_err();
        assert_eq!(fault.status(), 400);
    });
    assert_eq!(count, 0);
}

#[test]
fn the_core_decodes_without_allocating() {
    let limits = Limits::DEFAULT;
    let mut slots = [FieldSpan::EMPTY; 8];
    let (mut data, mut extensions, mut fields) = (0, 0, 0);
    let count = allocations(|| {
        // Whole, and a byte at a time.
        for step in [BODY.len(), 1] {
            let mut decoder = Decoder::new(&limits);
            let (mut from, mut to) = (0, 0);
            while !decoder.is_done() {
                let found = decoder.decode(&BODY[from..to]).unwrap();
                from += found.consumed;
                match found.event {
                    None => to += step,
                    Some(Event::Data(bytes)) => data += bytes.len(),
                    Some(Event::Chunk { extensions: found, .. } | Event::LastChunk { extensions: found }) => {
                        extensions += found.iter().count();
                        extensions += found.find("note").map_or(0, |note| note.value.unwrap().unescape().count());
                    }
                    Some(Event::End { trailers }) => {
                        fields += parse_trailers(trailers, &mut slots, &limits).unwrap().len();
                    }
                }
            }
        }
    });
    assert_eq!((count, data, extensions, fields), (0, 18, 2 * (3 + 5), 2));
}

#[test]
fn the_core_encodes_without_allocating() {
    let mut out = [0; 256];
    let count = allocations(|| {
        let fields = [("host", "device"), ("accept", "*/*")];
        encode_request(&mut out, Method::Post, "/log", fields, Framing::Chunked).unwrap();
        encode_response(&mut out, 200, "OK", [("etag", "\"1\"")], Framing::Length(u64::MAX)).unwrap();
        encode_trailers(&mut out, [("x-checksum", "9")]).unwrap();
        chunk::encode_chunk_head(&mut out, 5, [("seq", "1"), ("note", "a \"b\"")]).unwrap();
        chunk::encode_last_chunk(&mut out, ["last"]).unwrap();
        encode_response(&mut out, 200, "OK", [("bad", "a\r\nb")], Framing::None).unwrap_err();
    });
    assert_eq!(count, 0);
}

/// Both ends of a connection, and what an exchange sends, made once.
struct Ends {
    client: Connection<Client>,
    server: Connection<Server>,
    headers: Headers,
    extensions: ChunkExtensions,
}

/// The kind of the bodies of an exchange.
#[derive(Clone, Copy, Debug)]
enum Body {
    None,
    Length,
    Chunked,
}

impl Ends {
    fn new() -> Self {
        let mut extensions = ChunkExtensions::new();
        extensions.push("seq", Some(&7));
        Self {
            client: Connection::<Client>::new(Limits::DEFAULT),
            server: Connection::<Server>::new(Limits::DEFAULT),
            headers: Headers::try_from([("content-type", "text/plain"), ("x-device", "boiler-3")]).unwrap(),
            extensions,
        }
    }

    /// One exchange in which the server sends back what it receives. Gives how many bytes of data the client got, and
    /// how many chunks with extensions.
    fn exchange(&mut self, body: Body) -> (usize, usize) {
        let Self { client, server, headers, extensions } = self;
        let content = || match body {
            Body::None => Content::None,
            Body::Length => Content::Bytes(Bytes::from_static(b"temperature=61")),
            Body::Chunked => Content::Chunked,
        };
        let method = if matches!(body, Body::None) { Method::Get } else { Method::Post };
        client.request(method, "/log?level=2", "device.example", headers, content()).unwrap();
        if matches!(body, Body::Chunked) {
            for _ in 0..2 {
                let data = Bytes::from_static(b"hello");
                client.send_part(Part::Chunk { size: 5, extensions: extensions.clone(), data }).unwrap();
            }
            client.send_part(Part::Last { extensions: extensions.clone(), trailers: Trailers::default() }).unwrap();
        }
        carry(client, server);

        let Ok(Poll::Ready(Some(request))) = server.poll_request() else { panic!("no request") };
        assert_eq!((request.path(), request.headers().get("x-device")), ("/log", Some("boiler-3")));
        match body {
            Body::Chunked => {
                server.respond(200, "OK", headers, Content::Chunked, None).unwrap();
                while let Poll::Ready(Some(part)) = server.poll_part().unwrap() {
                    server.send_part(part).unwrap();
                }
                server.finish_body().unwrap();
            }
            Body::Length => {
                let Poll::Ready(Some(Part::Data(data))) = server.poll_part().unwrap() else { panic!("no body") };
                server.respond(200, "OK", headers, Content::Bytes(data), None).unwrap();
            }
            Body::None => server.respond(404, "Not Found", headers, Content::None, None).unwrap(),
        }
        drop(request);
        carry(server, client);

        let Ok(Poll::Ready(response)) = client.poll_response() else { panic!("no response") };
        assert_eq!(response.headers().get("x-device"), Some("boiler-3"));
        black_box(response.reason());
        let (mut bytes, mut chunks) = (0, 0);
        while let Poll::Ready(Some(part)) = client.poll_part().unwrap() {
            match part {
                Part::Data(data) => bytes += data.len(),
                Part::Chunk { data, extensions, .. } => {
                    bytes += data.len();
                    chunks += extensions.as_extensions().iter().count();
                }
                Part::Last { extensions, .. } => chunks += extensions.as_extensions().iter().count(),
            }
        }
        assert!(client.is_reusable());
        (bytes, chunks)
    }
}

/// Moves what waits to be written by one end into the other.
fn carry<A, B>(from: &mut Connection<A>, to: &mut Connection<B>) {
    let mut carried = 0;
    for piece in from.pending() {
        to.receive_buffer().extend_from_slice(piece);
        carried += piece.len();
    }
    from.transmitted(carried);
}

#[test]
fn a_warm_machine_does_not_allocate() {
    for (body, got) in [(Body::None, (0, 0)), (Body::Length, (14, 0)), (Body::Chunked, (10, 3))] {
        let mut ends = Ends::new();
        let cold = allocations(|| assert_eq!(ends.exchange(body), got));
        assert!(cold > 0, "{body:?}: its buffers come from somewhere");
        // More than once through the whole receive buffer.
        let warm = |ends: &mut Ends| allocations(|| (0..500).for_each(|_| assert_eq!(ends.exchange(body), got)));
        warm(&mut ends);
        assert_eq!(warm(&mut ends), 0, "{body:?}");
    }
}

#[test]
fn heads_that_are_kept_are_paid_for() {
    let mut ends = Ends::new();
    for _ in 0..500 {
        ends.exchange(Body::Length);
    }
    let targets: Vec<_> = (0..500).map(|n| format!("/{n}")).collect();
    let mut kept = Vec::with_capacity(500);
    let count = allocations(|| {
        for target in &targets {
            let content = Content::Bytes(Bytes::from_static(b"1"));
            ends.client.request(Method::Post, target, "a", &ends.headers, content).unwrap();
            carry(&mut ends.client, &mut ends.server);
            let Ok(Poll::Ready(Some(request))) = ends.server.poll_request() else { panic!("no request") };
            assert!(ends.server.poll_part().unwrap().is_ready());
            kept.push(request);
            ends.server.respond(204, "No Content", &ends.headers, Content::None, None).unwrap();
            carry(&mut ends.server, &mut ends.client);
            let Ok(Poll::Ready(_)) = ends.client.poll_response() else { panic!("no response") };
        }
    });
    // The text, the places of the fields, and the count of those who have them.
    assert!((500..=3 * 500).contains(&count), "{count}");
    assert!(kept.iter().zip(&targets).all(|(head, target)| head.target() == target));
}
