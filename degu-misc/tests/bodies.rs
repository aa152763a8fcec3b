//! Bodies as they are received: the same calls, in the same order, give the same in the server, the async client, in an exchange
//! that owns its connection too, and the blocking client, over TCP and Unix sockets.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use degu_client::{Address, Body, ChunkExtensions, Headers, Limits, Method, Part, Trailers, blocking};
use degu_misc::TempServer;
use degu_server::{Request, Server, Session};
use tokio::io::AsyncReadExt;

/// A call for a body.
#[derive(Clone, Copy, Debug)]
enum Call {
    All(usize),
    Text(usize),
    /// Reads it as JSON, two numbers.
    Json(usize),
    Data,
    Chunk,
    Part,
    /// Reads at most so many bytes through a reader that is dropped then.
    Read(usize),
    Trailers,
    Last,
    Framing,
    Remaining,
}
use Call::{All, Chunk, Data, Framing, Json, Last, Part as NextPart, Read as Reader, Remaining, Text, Trailers as End};

const LENGTH: &str = "content-length: 11\r\n\r\nhello world";
const CHUNKS: &str = "transfer-encoding: chunked\r\n\r\n3;a=1\r\nabc\r\n5\r\ndefgh\r\n0;z=9\r\nx-sum: 8\r\n\r\n";
const LATIN1: &[u8] = b"transfer-encoding: chunked\r\n\r\n2\r\na\xe9\r\n0\r\n\r\n";
const PAIR: &str = "content-type: application/json\r\ncontent-length: 9\r\n\r\n[1,\n 234]";
const PARAMETER: &str = "content-type: Application/Problem+JSON ; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1,\r\n3\r\n23]\r\n0\r\nx-sum: 8\r\n\r\n";
const NO_JSON: &str = "content-type: application/json\r\ncontent-length: 9\r\n\r\n[1,\n 23 4";
const MARKED: &[u8] = b"content-type: application/json\r\ncontent-length: 8\r\n\r\n\xef\xbb\xbf[1,2]";
const WORDS: &str = "content-type: application/json\r\ncontent-length: 13\r\n\r\n[1, \"secret\"]";
const OTHER: &str = "content-type: text/plain; a=application/json\r\ncontent-length: 5\r\n\r\n[1,2]";
const UNTYPED: &str = "content-length: 5\r\n\r\n[1,2]";
const CUT_PAIR: &str = "content-type: application/json\r\ncontent-length: 10\r\n\r\n[1,2]";
const EMPTY: &str = "content-length: 0\r\n\r\n";
const SHORT: &str = "content-length: 10\r\n\r\nabc";
const CUT: &str = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde";

/// The message of every read of a body that was cut.
const CUT_OFF: &str = "an incomplete body, because the connection ended";

/// The message for a body with a content-type that is not JSON.
const NO_JSON_TYPE: &str = "`content-type` is neither `application/json` nor a type with the suffix `+json`";

/// No chunk may be longer.
const MAX_CHUNK: usize = 8;

/// Fields and body, and what each call gives.
type Case = (&'static [u8], &'static [(Call, &'static str)]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    (LENGTH.as_bytes(), &[
        (Framing, "Length(11)"), (Remaining, "11"), (End, "not yet"), (All(11), "hello world"),
        (Remaining, "0"), (End, ""), (Last, ""), (All(1), ""), (Data, "end"), (Chunk, "end"), (NextPart, "end"), (Reader(1), ""),
    ]),
    (LENGTH.as_bytes(), &[(All(10), "a body longer than the limit of its reader")]),
    (LENGTH.as_bytes(), &[(Text(11), "hello world"), (Text(1), "")]),
    (LENGTH.as_bytes(), &[(Data, "hello world"), (Data, "end")]),
    (LENGTH.as_bytes(), &[(NextPart, "data hello world"), (NextPart, "end")]),
    // A body without chunks is one chunk, with the bound of a chunk; so is what is left of it.
    (LENGTH.as_bytes(), &[(Chunk, "a chunk longer than the limit (`max_chunk`)")]),
    (LENGTH.as_bytes(), &[
        (Reader(4), "hell"), (Remaining, "7"), (Chunk, "o world"), (Remaining, "0"), (Chunk, "end"), (End, ""),
    ]),
    (LENGTH.as_bytes(), &[(Reader(4), "hell"), (All(6), "a body longer than the limit of its reader")]),
    (LENGTH.as_bytes(), &[(Reader(4), "hell"), (Text(7), "o world")]),
    (CHUNKS.as_bytes(), &[
        (Framing, "Chunked"), (Remaining, "unknown"), (Chunk, "abc;a=1"), (Reader(2), "de"), (Remaining, "unknown"),
        (Chunk, "fgh"), (End, "not yet"), (Last, "not yet"), (Chunk, "end"), (End, "x-sum: 8"), (Last, ";z=9"),
        (Remaining, "0"), (All(1), ""),
    ]),
    (CHUNKS.as_bytes(), &[
        (Reader(1), "a"), (NextPart, "data bc"), (NextPart, "chunk 5 defgh"), (NextPart, "last ;z=9 x-sum: 8"), (NextPart, "end"),
        (End, "x-sum: 8"),
    ]),
    (CHUNKS.as_bytes(), &[(NextPart, "chunk 3;a=1 abc"), (Data, "defgh"), (Data, "end"), (Last, ";z=9")]),
    (CHUNKS.as_bytes(), &[(Data, "abc"), (All(4), "a body longer than the limit of its reader")]),
    (CHUNKS.as_bytes(), &[(Data, "abc"), (All(5), "defgh"), (End, "x-sum: 8"), (Chunk, "end")]),
    (CHUNKS.as_bytes(), &[(Reader(3), "abc"), (Chunk, "defgh"), (Reader(9), ""), (End, "x-sum: 8")]),
    (CHUNKS.as_bytes(), &[(Reader(2), "ab"), (Reader(9), "c"), (Reader(2), "de"), (Text(3), "fgh"), (Last, ";z=9")]),
    (LATIN1, &[(Text(1), "a body longer than the limit of its reader")]),
    (LATIN1, &[(Text(2), "not UTF-8 at byte 1")]),
    (PAIR.as_bytes(), &[(Json(9), "(1, 234)"), (Remaining, "0"), (Json(9), "not valid JSON at line 1, column 0")]),
    (PAIR.as_bytes(), &[(Json(8), "a body longer than the limit of its reader")]),
    (PARAMETER.as_bytes(), &[(Json(6), "(1, 23)"), (End, "x-sum: 8")]),
    (PARAMETER.as_bytes(), &[(Json(5), "a body longer than the limit of its reader")]),
    (PARAMETER.as_bytes(), &[(Reader(3), "[1,"), (Json(3), "JSON that does not have the expected fields and types at line 1, column 2: expected a tuple of size 2")]),
    (NO_JSON.as_bytes(), &[(Json(9), "not valid JSON at line 2, column 5")]),
    // A byte order mark is not JSON (RFC 8259 §8.1).
    (MARKED, &[(Json(8), "not valid JSON at line 1, column 1")]),
    // The message has nothing of what the peer sent.
    (WORDS.as_bytes(), &[(Json(13), "JSON that does not have the expected fields and types at line 1, column 12: expected u8")]),
    // What has another type is still there.
    (OTHER.as_bytes(), &[(Json(5), NO_JSON_TYPE), (Remaining, "5"), (Json(1), NO_JSON_TYPE), (Text(5), "[1,2]")]),
    (UNTYPED.as_bytes(), &[(Json(5), NO_JSON_TYPE), (Text(5), "[1,2]")]),
    (CUT_PAIR.as_bytes(), &[(Json(10), CUT_OFF)]),
    (EMPTY.as_bytes(), &[(Framing, "Length(0)"), (Remaining, "0"), (Chunk, "end"), (Data, "end"), (Text(1), ""), (End, "")]),
    (b"\r\n", &[(Framing, "None"), (Remaining, "0"), (Reader(1), ""), (NextPart, "end"), (End, ""), (Last, "")]),
    // A body that was cut has no end, however it is read, and however often.
    (SHORT.as_bytes(), &[(All(10), CUT_OFF), (Data, CUT_OFF)]),
    (SHORT.as_bytes(), &[
        (Data, "abc"), (Data, CUT_OFF), (NextPart, CUT_OFF),
        (End, "not yet"),
    ]),
    (SHORT.as_bytes(), &[
        (Reader(2), "ab"), (Reader(2), "c"), (Reader(2), CUT_OFF),
        (Reader(2), CUT_OFF),
    ]),
    (CUT.as_bytes(), &[(Chunk, "abc"), (Chunk, CUT_OFF), (Last, "not yet")]),
    (CUT.as_bytes(), &[(All(100), CUT_OFF)]),
];

/// Writes `run`, which makes calls and returns what each gave.
macro_rules! run {
    ($name:ident, $body:ty, [$($async:tt)?], [$($await:tt)*]) => {
        $($async)? fn $name(calls: &[(Call, &str)], body: &mut $body) -> Vec<String> {
            let mut given = Vec::new();
            for (call, _) in calls {
                given.push(match *call {
                    All(limit) => body.read_all(limit)$($await)*.map_or_else(error, |all| text(&all)),
                    Text(limit) => body.text(limit)$($await)*.unwrap_or_else(error),
                    Json(limit) => body.json::<(u8, u8)>(limit)$($await)*.map_or_else(error, |pair| format!("{pair:?}")),
                    Data => body.next_data()$($await)*.map_or_else(error, |data| data.map_or("end".into(), |data| text(&data))),
                    Chunk => match body.next_chunk()$($await)* {
                        Ok(Some(chunk)) => format!("{}{}", text(&chunk.data), chunk.extensions),
                        Ok(None) => "end".into(),
                        Err(fault) => error(fault),
                    },
                    NextPart => match body.next_part()$($await)* {
                        Ok(Some(Part::Chunk { size, extensions, data })) => {
                            format!("chunk {size}{extensions} {}", text(&data))
                        }
                        Ok(Some(Part::Data(data))) => format!("data {}", text(&data)),
                        Ok(Some(Part::Last { extensions, trailers })) => {
                            format!("last {extensions} {}", fields(Some(&trailers)))
                        }
                        Ok(None) => "end".into(),
                        Err(fault) => error(fault),
                    },
                    Reader(limit) => {
                        let mut bytes = vec![0; limit];
                        body.reader().read(&mut bytes)$($await)*.map_or_else(error, |read| text(&bytes[..read]))
                    }
                    End => fields(body.trailers()),
                    Last => body.last_extensions().map_or("not yet".into(), ChunkExtensions::to_string),
                    Framing => format!("{:?}", body.framing()),
                    Remaining => body.remaining().map_or("unknown".into(), |bytes| bytes.to_string()),
                });
            }
            given
        }
    };
}

run!(run_in_server, degu_server::Incoming, [async], [.await]);
run!(run_in_async_client, degu_client::Incoming<'_>, [async], [.await]);
run!(run_owned, degu_client::OwnedIncoming, [async], [.await]);
run!(run_in_blocking_client, blocking::Incoming<'_>, [], []);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the words that both sides have for a fault, without those around them.
fn error(error: impl Display) -> String {
    // After a fault the client says that its connection is closed; what matters is that no end follows.
    let error = error.to_string().replace("the connection was already closed", CUT_OFF);
    let known = [
        "a body longer than the limit of its reader",
        "a chunk longer than the limit (`max_chunk`)",
        "not UTF-8 at byte 1",
        CUT_OFF,
        NO_JSON_TYPE,
    ];
    if let Some(at) = error.find("not valid JSON").or_else(|| error.find("JSON that does not")) {
        let end = error[at..].find(", while").map_or(error.len(), |end| at + end);
        return error[at..end].into();
    }
    known.into_iter().find(|known| error.contains(known)).map_or(error.clone(), Into::into)
}

fn fields(trailers: Option<&Trailers>) -> String {
    let Some(trailers) = trailers else { return "not yet".into() };
    trailers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
}

fn expected(calls: &[(Call, &str)]) -> Vec<String> {
    calls.iter().map(|(_, given)| (*given).to_owned()).collect()
}

fn limits() -> Limits {
    Limits { max_chunk: MAX_CHUNK, ..Limits::default() }
}

/// A socket of either kind.
trait Socket: Read + Write + Send {
    fn end(&self);
}

impl Socket for TcpStream {
    fn end(&self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }
}

impl Socket for UnixStream {
    fn end(&self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }
}

fn addresses() -> (tempfile::TempDir, [Address; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let path = Address::unix(folder.path().join("socket"));
    (folder, [Address::IPV6_LOOPBACK, path])
}

/// Serves one response of this head and body, and ends.
fn respond(address: &Address, rest: &'static [u8]) -> (Address, thread::JoinHandle<()>) {
    let (address, accept): (_, Box<dyn FnOnce() -> Box<dyn Socket> + Send>) = match address.as_path() {
        Some(path) => {
            let _ = std::fs::remove_file(path);
            let listener = UnixListener::bind(path).unwrap();
            (address.clone(), Box::new(move || Box::new(listener.accept().unwrap().0)))
        }
        None => {
            let listener = TcpListener::bind(SocketAddr::try_from(address).unwrap()).unwrap();
            let address = listener.local_addr().unwrap().into();
            (address, Box::new(move || Box::new(listener.accept().unwrap().0)))
        }
    };
    let serving = thread::spawn(move || {
        let mut socket = accept();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let status = if rest == b"\r\n" { "204 No Content" } else { "200 OK" };
        socket.write_all(&[format!("HTTP/1.1 {status}\r\n").as_bytes(), rest].concat()).unwrap();
        socket.end();
    });
    (address, serving)
}

#[test]
fn the_blocking_client() {
    let (_folder, addresses) = addresses();
    for address in &addresses {
        for (rest, calls) in CASES {
            let (address, serving) = respond(address, rest);
            let client = blocking::Client::options().limits(limits()).client(address);
            let mut connection = client.connect().unwrap();
            let mut response = connection.get("/").unwrap();
            assert_eq!(run_in_blocking_client(calls, &mut response.body), expected(calls), "{calls:?}");
            serving.join().unwrap();
        }
    }
}

#[tokio::test]
async fn the_async_client() {
    let (_folder, addresses) = addresses();
    for address in &addresses {
        for (rest, calls) in CASES {
            let (bound, serving) = respond(address, rest);
            let client = degu_client::Client::options().limits(limits()).client(bound);
            let mut connection = client.connect().await.unwrap();
            let mut response = connection.get("/").await.unwrap();
            assert_eq!(run_in_async_client(calls, &mut response.body).await, expected(calls), "{calls:?}");
            serving.join().unwrap();

            let (bound, serving) = respond(address, rest);
            let connection = degu_client::Client::options().limits(limits()).client(bound).connect().await.unwrap();
            let mut response = connection.exchange(Method::Get, "/", Headers::new(), Body::none()).await.unwrap();
            assert_eq!(run_owned(calls, &mut response.body).await, expected(calls), "{calls:?}, owned");
            serving.join().unwrap();
        }
    }
}

fn connect(address: &Address) -> Box<dyn Socket> {
    match address.as_path() {
        Some(path) => Box::new(UnixStream::connect(path).unwrap()),
        None => Box::new(TcpStream::connect(SocketAddr::try_from(address).unwrap()).unwrap()),
    }
}

/// With bodies that come with their heads, and with such as come when they are asked for.
#[test]
fn the_server() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let (_folder, addresses) = addresses();
    for address in &addresses {
        let (gives, given) = mpsc::channel();
        let app = async move |_: &mut Session, mut request: Request<'_>| {
            let case: usize = request.segments()[0].parse().unwrap();
            gives.send(run_in_server(CASES[case].1, &mut request.body).await).unwrap();
        };
        let options = Server::options().workers(1).limits(limits());
        let server = TempServer::with_options(options, address.clone(), app);
        for (number, (rest, calls)) in CASES.iter().enumerate() {
            let head = format!("POST /{number} HTTP/1.1\r\nhost: a\r\n");
            let mut socket = connect(server.address());
            socket.write_all(&[head.as_bytes(), rest].concat()).unwrap();
            socket.end();
            assert_eq!(given.recv_timeout(PATIENCE).unwrap(), expected(calls), "{calls:?}");

            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").map_or(rest.len(), |at| at + 4);
            let (fields, body) = rest.split_at(end);
            if body.is_empty() {
                continue;
            }
            let head = format!("{head}expect: 100-continue\r\n");
            let mut socket = connect(server.address());
            socket.write_all(&[head.as_bytes(), fields].concat()).unwrap();
            let mut go_on = [0; 25];
            // One that is refused by its length alone is not asked for.
            socket.read_exact(&mut go_on).unwrap();
            if go_on == *b"HTTP/1.1 100 Continue\r\n\r\n" {
                socket.write_all(body).unwrap();
            }
            socket.end();
            assert_eq!(given.recv_timeout(PATIENCE).unwrap(), expected(calls), "{calls:?}, after 100 Continue");
        }
    }
}
