//! A client that asks for a part, and what it takes for one.

use std::task::Poll;

use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Fault, Headers, Limits, Method, Part, RemoteError};

/// Reads this response as a client that sent `range`, if any, and returns the number of bytes of its body.
fn read(range: Option<&str>, response: &str) -> Result<usize, Fault> {
    let mut client = Connection::<Client>::new(Limits::default());
    let mut headers = Headers::new();
    if let Some(range) = range {
        headers.set("range", range).unwrap();
    }
    client.request(Method::Get, "/", "localhost", &headers, Content::None).unwrap();
    client.receive_buffer().extend_from_slice(b"HTTP/1.1 206 Partial Content\r\n");
    client.receive_buffer().extend_from_slice(response.as_bytes());
    client.receive_eof();
    let fault = |error: RemoteError| error.fault;
    let Poll::Ready(_) = client.poll_response().map_err(fault)? else { panic!("the whole head is there") };
    let mut bytes = 0;
    loop {
        match client.poll_part().map_err(fault)? {
            Poll::Ready(Some(Part::Data(data) | Part::Chunk { data, .. })) => bytes += data.len(),
            Poll::Ready(Some(Part::Last { .. })) => {}
            Poll::Ready(None) => return Ok(bytes),
            Poll::Pending => panic!("the end is there"),
        }
    }
}

#[test]
fn a_part_that_was_asked_for() {
    let range = Some("bytes=2-3");
    for response in [
        "content-range: bytes 2-3/9\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes 2-3/*\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
        "content-range: bytes 2-3/9\r\n\r\nab",
        "content-type: Multipart/ByteRanges; boundary=x\r\ncontent-length: 2\r\n\r\nab",
    ] {
        assert_eq!(read(range, response), Ok(2), "{response}");
    }
}

#[test]
fn parts_that_contradict_themselves() {
    for response in [
        "content-length: 2\r\n\r\nab",
        "content-type: text/plain\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes 2-4/9\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes 3-2/9\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes 2-3/3\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes */9\r\ncontent-length: 2\r\n\r\nab",
        "content-range: items 2-3/9\r\ncontent-length: 2\r\n\r\nab",
        "content-range: bytes 2-2/9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "content-range: bytes 2-4/9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "content-range: bytes 2-4/9\r\n\r\nab",
    ] {
        assert_eq!(read(Some("bytes=2-3"), response), Err(Fault::ContentRange), "{response}");
    }
}

#[test]
fn a_part_that_nobody_asked_for() {
    let response = "content-range: bytes 2-3/9\r\ncontent-length: 2\r\n\r\nab";
    assert_eq!(read(None, response), Err(Fault::UnexpectedPartial));
}
