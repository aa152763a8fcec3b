//! What is parsed. The lengths are those for which figures of other parsers are known.

/// What a small client sends.
pub(crate) const SMALL_REQUEST: &[u8] = b"GET /sensors/7/last HTTP/1.1\r\nHost: device\r\nAccept: */*\r\n\r\n";

/// What a browser sends: ten fields, three of them long.
pub(crate) const BROWSER_REQUEST: &[u8] = b"GET /plant/north/boiler-3/overview?range=24h&unit=celsius HTTP/1.1\r\n\
    Host: dashboard.example.net\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: de-CH,de;q=0.8,en-US;q=0.5,en;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://dashboard.example.net/plant/north/boiler-3/history?range=7d&unit=celsius\r\n\
    Cookie: session=4f1c09ab77d84e0c9b62e5d3a1807f6e; theme=dark; \
    panel=temperature%2Cpressure%2Cvalves; seen=1795340820; layout=grid-2x3; refresh=30; zoom=125\r\n\
    If-None-Match: \"b3-1795340817-48213\"\r\n\r\n";

/// The least that answers with a body.
pub(crate) const SMALL_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 108\r\n\r\n";

/// A chunk line with an extension.
pub(crate) const CHUNK_LINE: &[u8] = b"5;foo=bar\r\n";

/// Octets of a chunk of the long body.
pub(crate) const CHUNK: usize = 4 * 1024;

/// Octets of the long body.
pub(crate) const BODY: usize = 1024 * 1024;

/// The long body: octets of every value.
pub(crate) fn body() -> Vec<u8> {
    (0..BODY).map(|at| (at / 7) as u8).collect()
}

/// The long body in chunks.
pub(crate) fn chunked_body() -> Vec<u8> {
    let chunk = |data: &[u8]| [format!("{CHUNK:x}\r\n").as_bytes(), data, b"\r\n"].concat();
    let mut chunked: Vec<u8> = body().chunks(CHUNK).flat_map(chunk).collect();
    chunked.extend_from_slice(b"0\r\n\r\n");
    chunked
}

const _: () = {
    assert!(SMALL_REQUEST.len() == 59);
    assert!(BROWSER_REQUEST.len() == 710);
    assert!(SMALL_RESPONSE.len() == 40);
    assert!(BODY.is_multiple_of(CHUNK));
};
