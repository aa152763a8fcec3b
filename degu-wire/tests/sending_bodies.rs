//! Bodies that an application cannot make the encoders and the machines send: each try is a [`LocalError`], and nothing
//! of it is written.

use std::task::Poll;

use degu_wire::chunk::{encode_chunk_head, encode_last_chunk};
use degu_wire::head::encode_trailers;
use degu_wire::machine::{Client, Connection, Content, Server};
use degu_wire::{Chunk, ChunkExtensions, Headers, Limits, LocalError, Method, Part, Trailers};

/// Bytes that end a line, a string, or what they stand in.
const HOSTILE: [&str; 9] = ["\r\n", "\r", "\n", "\0", "\x0b", "\x1b", "\x7f", "a\r\nb: c", "a\r\n\r\nGET / HTTP/1.1"];
/// Further texts that are not tokens.
const NO_TOKENS: [&str; 12] = ["", " ", "a b", "a:", "a\t", "é", "a,b", "a/b", "(a)", "a=b", "a;b", "\"a\""];

/// A client that has sent the head of a request with this body.
fn begin(content: Content) -> Connection<Client> {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    client.request(Method::Put, "/", "a", &Headers::new(), content).unwrap();
    client.transmitted(usize::MAX);
    client
}

#[test]
fn extensions_are_tokens_with_values_without_controls() {
    for name in HOSTILE.into_iter().chain(NO_TOKENS) {
        assert_eq!(encode_chunk_head(&mut [0; 99], 1, [name]), Err(LocalError::ChunkExtension), "{name:?}");
        assert_eq!(encode_last_chunk(&mut [0; 99], [name]), Err(LocalError::ChunkExtension), "{name:?}");
        refused(Chunk::new("x").with_extension(name, "y").into());
        let mut extensions = ChunkExtensions::new();
        extensions.push(name, None);
        refused(Part::Last { extensions, trailers: Trailers::new() });
    }
    for value in HOSTILE {
        assert_eq!(encode_chunk_head(&mut [0; 99], 1, [("a", value)]), Err(LocalError::ChunkExtension), "{value:?}");
        refused(Chunk::new("x").with_extension("a", value).into());
    }
    refused(Chunk::new("x").with_extension("a", "y".repeat(4096)).into());
}

/// Sends a chunk that cannot be, and then one that can.
fn refused(part: Part) {
    let mut client = begin(Content::Chunked);
    let shown = format!("{part:?}");
    assert_eq!(client.send_part(part), Err(LocalError::ChunkExtension), "{shown}");
    assert!(client.is_flushed() && client.is_sending(), "{shown}");
    client.send_part(Chunk::new("x").into()).unwrap();
    assert_eq!(client.pending().concat(), b"1\r\nx\r\n");
}

#[test]
fn received_extensions_are_sent_on_in_canonical_form() {
    let mut from = begin(Content::None);
    from.receive_buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    from.receive_buffer().extend_from_slice(b"5 ; a =\t\"b c\" ;d\r\nhello\r\n0 ;\te=\"f\"\r\n\r\n");
    assert!(from.poll_response().unwrap().is_ready());
    let mut to = begin(Content::Chunked);
    while let Poll::Ready(Some(part)) = from.poll_part().unwrap() {
        to.send_part(part).unwrap();
    }
    assert_eq!(to.pending().concat(), b"5;a=\"b c\";d\r\nhello\r\n0;e=f\r\n\r\n");
}

#[test]
fn trailers_decide_nothing() {
    let forbidden = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    for name in forbidden {
        for name in [name.to_owned(), name.to_uppercase()] {
            assert_eq!(Trailers::new().append(&name, "x"), Err(LocalError::TrailerForbidden), "{name}");
            let encoded = encode_trailers(&mut [0; 99], [(name.as_str(), "x")]);
            assert_eq!(encoded, Err(LocalError::TrailerForbidden), "{name}");
        }
    }
}

#[test]
fn bodies_are_as_long_as_they_were_announced() {
    let data = |text: &'static str| Part::Data(text.into());
    let chunk = |size, text: &'static str| Part::Chunk { size, extensions: ChunkExtensions::new(), data: text.into() };
    let last = || Part::from(Trailers::new());
    let mut length = begin(Content::Length(5));
    assert_eq!(length.send_part(data("hello!")), Err(LocalError::BodyTooLong));
    assert_eq!(length.send_part(chunk(1, "a")), Err(LocalError::State));
    assert_eq!(length.send_part(last()), Err(LocalError::State));
    length.send_part(data("hell")).unwrap();
    assert_eq!(length.finish_body(), Err(LocalError::BodyTooShort));
    length.send_part(data("o")).unwrap();
    assert!(!length.is_sending());
    assert_eq!(length.finish_body(), Ok(()));
    assert_eq!(length.send_part(data("")), Ok(()));
    assert_eq!(length.send_part(data("!")), Err(LocalError::BodyTooLong));
    assert_eq!(length.send_part(last()), Err(LocalError::State));
    assert_eq!(length.pending().concat(), b"hello");

    let mut chunked = begin(Content::Chunked);
    assert_eq!(chunked.send_part(data("a")), Err(LocalError::ChunkLength), "data without a chunk");
    assert_eq!(chunked.send_part(data("")), Ok(()));
    let before = chunked.pending().concat();
    assert_eq!(chunked.send_part(chunk(0, "")), Ok(()), "on the wire it would end the body");
    assert_eq!(chunked.pending().concat(), before);
    let said = Chunk::new("").with_extension("a", "b").into();
    assert_eq!(chunked.send_part(said), Err(LocalError::ChunkLength), "that would end the body, and must not be lost");
    assert_eq!(chunked.send_part(chunk(1, "ab")), Err(LocalError::ChunkLength));
    chunked.send_part(chunk(3, "a")).unwrap();
    assert_eq!(chunked.send_part(chunk(1, "b")), Err(LocalError::ChunkLength), "the chunk before is not whole");
    assert_eq!(chunked.send_part(last()), Err(LocalError::ChunkLength));
    assert_eq!(chunked.finish_body(), Err(LocalError::ChunkLength));
    assert_eq!(chunked.send_part(data("bcd")), Err(LocalError::ChunkLength));
    chunked.send_part(data("")).unwrap();
    chunked.send_part(data("bc")).unwrap();
    chunked.finish_body().unwrap();
    assert!(!chunked.is_sending());
    assert_eq!(chunked.send_part(chunk(1, "a")), Err(LocalError::State));
    assert_eq!(chunked.pending().concat(), b"3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn chunks_of_a_response_of_http10_are_whole() {
    let chunk = |size, text: &'static str| Part::Chunk { size, extensions: ChunkExtensions::new(), data: text.into() };
    let mut server = Connection::<Server>::new(Limits::DEFAULT);
    server.receive_buffer().extend_from_slice(b"GET / HTTP/1.0\r\n\r\n");
    assert!(server.poll_request().unwrap().is_ready());
    server.respond(200, "OK", &Headers::new(), Content::Chunked, None).unwrap();
    server.transmitted(usize::MAX);
    assert_eq!(server.send_part(chunk(1, "ab")), Err(LocalError::ChunkLength));
    server.send_part(chunk(3, "a")).unwrap();
    assert_eq!(server.send_part(chunk(1, "b")), Err(LocalError::ChunkLength));
    assert_eq!(server.send_part(Trailers::new().into()), Err(LocalError::ChunkLength));
    assert_eq!(server.finish_body(), Err(LocalError::ChunkLength));
    server.send_part(Part::Data("bc".into())).unwrap();
    server.send_part(chunk(1, "d")).unwrap();
    server.finish_body().unwrap();
    assert!(!server.is_sending());
    assert_eq!(server.pending().concat(), b"abcd");
}
