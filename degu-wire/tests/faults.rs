//! Machines whose peer broke the protocol: they return the same fault on every call.

use core::task::Poll;

use degu_wire::machine::{Awaits, Client, Connection, Content, Server};
use degu_wire::{Fault, Headers, Limits, Method, RemoteError};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn server(bytes: &[u8]) -> Connection<Server> {
    let mut server = Connection::<Server>::new(Limits::DEFAULT);
    server.receive_buffer().extend_from_slice(bytes);
    server
}

/// A client that has sent a GET and received this.
fn client(bytes: &[u8]) -> Connection<Client> {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    client.request(Method::Get, "/", "a", &Headers::new(), Content::None).unwrap();
    client.receive_buffer().extend_from_slice(bytes);
    client
}

#[test]
fn a_bad_head_stays_bad() {
    let mut server = server(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    let error = server.poll_request().unwrap_err();
    assert_eq!(error, RemoteError::at(Fault::FieldName, 20));
    server.receive_buffer().extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.poll_request().unwrap_err(), error);
    assert_eq!(server.refuse(error.status(), "text/plain", "a text\n", None), Some(7));
    let refusal = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 7\r\nconnection: close\r\n\r\na text\n";
    assert_eq!(server.pending().concat(), refusal.as_bytes());
    assert!(matches!(server.poll_request(), Ok(Poll::Ready(None))));
    assert_eq!(server.refuse(400, "text/plain", "", None), None, "one answer is enough");
    assert_eq!(server.awaits(), Awaits::Nothing);
}

#[test]
fn the_text_of_a_refusal_is_not_sent_to_head() {
    for request in [
        "HEA",
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut server = server(request.as_bytes());
        let _ = server.poll_request();
        assert_eq!(server.refuse(400, "text/plain", "a text\n", None), Some(0));
        assert!(server.pending().concat().ends_with(b"content-length: 7\r\nconnection: close\r\n\r\n"), "{request:?}");
    }
}

#[test]
fn media_type_of_a_refusal_breaks_no_framing() {
    let mut server = server(b"GET /\r\n\r\n");
    let _ = server.poll_request();
    assert_eq!(server.refuse(400, "text/plain\r\ncontent-length: 0", "a text\n", None), Some(7));
    let refusal = "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\nconnection: close\r\n\r\na text\n";
    assert_eq!(server.pending().concat(), refusal.as_bytes());
}

#[test]
fn a_body_that_broke_never_ends() {
    for (rest, fault) in [(&b"+5\r\n"[..], Fault::ChunkSize), (b"0\r\nHost: b\r\n\r\n", Fault::TrailerForbidden)] {
        let mut server = server(&[POST, rest].concat());
        assert!(matches!(server.poll_request(), Ok(Poll::Ready(Some(_)))));
        for _ in 0..2 {
            assert_eq!(server.poll_part().unwrap_err().fault, fault);
        }
        assert!(!server.is_persistent());
        // An app that does not care may still answer, for the last time.
        server.respond(200, "OK", &Headers::new(), Content::None, None).unwrap();
        assert!(server.pending().concat().ends_with(b"connection: close\r\n\r\n"));
        assert!(matches!(server.poll_request(), Ok(Poll::Ready(None))));
        assert_eq!(server.poll_part().unwrap_err().fault, fault);
    }
}

#[test]
fn a_body_that_was_cut_never_ends() {
    let mut server = server(POST);
    assert!(matches!(server.poll_request(), Ok(Poll::Ready(Some(_)))));
    server.cut();
    assert_eq!(server.poll_part().unwrap_err().fault, Fault::TruncatedBody);

    let mut client = client(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
    assert!(client.poll_response().unwrap().is_ready());
    assert!(client.poll_part().unwrap().is_ready());
    client.close();
    assert_eq!(client.poll_part().unwrap_err().fault, Fault::TruncatedBody);
}

#[test]
fn a_bad_response_stays_bad() {
    for (bytes, fault) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"[..], Fault::ContentLength),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Fault::UnexpectedUpgrade),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello", Fault::UnexpectedPartial),
    ] {
        let mut client = client(bytes);
        for _ in 0..2 {
            assert_eq!(client.poll_response().unwrap_err().fault, fault);
        }
        assert_eq!(client.poll_part().unwrap_err().fault, fault);
        assert!(client.is_closed() && !client.is_reusable());
    }
}

#[test]
fn a_part_that_is_not_what_it_says_stays_bad() {
    let mut client = Connection::<Client>::new(Limits::DEFAULT);
    let range = Headers::try_from([("range", "bytes=0-4")]).unwrap();
    client.request(Method::Get, "/", "a", &range, Content::None).unwrap();
    let head = b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-4/9\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.receive_buffer().extend_from_slice(&[&head[..], b"4\r\nhell\r\n0\r\n\r\n"].concat());
    assert!(client.poll_response().unwrap().is_ready());
    assert!(client.poll_part().unwrap().is_ready());
    for _ in 0..2 {
        assert_eq!(client.poll_part().unwrap_err().fault, Fault::ContentRange);
    }
}

#[test]
fn a_client_that_was_closed_waits_for_no_response() {
    let mut client = client(b"");
    client.close();
    assert_eq!(client.poll_response().unwrap_err().fault, Fault::NoResponse);
    assert!(client.is_flushed(), "what was not written never will be");
}

#[test]
fn dripped_head_with_bare_lf_is_refused_at_the_first_one() {
    let mut server = server(b"");
    for byte in b"GET / HTTP/1.1\n" {
        assert!(matches!(server.poll_request(), Ok(Poll::Pending)));
        server.receive_buffer().extend_from_slice(&[*byte]);
    }
    assert_eq!(server.poll_request().unwrap_err(), RemoteError::at(Fault::LineEnd, 14));
}

#[test]
fn a_dripped_head_that_ends_early_is_judged_by_what_came() {
    let mut server = server(b"");
    for byte in b"GET / HTTP/1.1\r\nHost : a\r\n" {
        assert!(matches!(server.poll_request(), Ok(Poll::Pending)));
        server.receive_buffer().extend_from_slice(&[*byte]);
    }
    server.receive_eof();
    assert_eq!(server.poll_request().unwrap_err(), RemoteError::at(Fault::FieldName, 20));
}
