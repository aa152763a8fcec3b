//! What every contestant sends.

macro_rules! body {
    () => {
        r#"{"device":"boiler-3","seq":18480,"temperature":61.25,"pressure":1.73,"valves":["open","open","shut"],"ok":1}"#
    };
}

/// The body of the request, which a server sends back.
pub(crate) const BODY: &[u8] = body!().as_bytes();

/// The whole request. A contestant may order the fields as it likes, but has no others.
pub(crate) const REQUEST: &[u8] =
    concat!("POST /example HTTP/1.1\r\nhost: localhost\r\ncontent-length: 108\r\n\r\n", body!()).as_bytes();

/// The whole response.
pub(crate) const RESPONSE: &[u8] = concat!("HTTP/1.1 200 OK\r\ncontent-length: 108\r\n\r\n", body!()).as_bytes();

/// The same request and response with heads of other octets, for what gains by heads that repeat.
pub(crate) const OTHER_REQUEST: &[u8] =
    concat!("POST /example HTTP/1.1\r\nHost: localhost\r\nContent-Length: 108\r\n\r\n", body!()).as_bytes();
pub(crate) const OTHER_RESPONSE: &[u8] = concat!("HTTP/1.1 200 OK\r\nContent-Length: 108\r\n\r\n", body!()).as_bytes();

const _: () = assert!(BODY.len() == 108, "content-length above says 108");

/// What a server for many connections answers to a GET.
pub(crate) const HELLO_BODY: &[u8] = b"hello, world";

/// That request, of which several may come at once.
pub(crate) const HELLO_REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The whole response to it.
pub(crate) const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhello, world";
