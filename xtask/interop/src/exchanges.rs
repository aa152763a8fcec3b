//! The exchanges of HTTP that our clients perform.

use degu_client::{Chunk, Headers, Method};
use degu_simulation::{Kind, Message};

use crate::Result;
use crate::clients::Answer;
use crate::ours::{Ours, bytes, in_chunks};
use crate::steps::{Step, Unsupported};

/// The exchanges, in the order of the columns of the matrix.
pub(crate) const ALL: &[Step<Traits>] = &[
    ("get", get),
    ("head", head),
    ("post", post),
    ("chunked", chunked),
    ("large", large_bodies),
    ("keep-alive", keep_alive),
    ("close", close),
    ("404", missing),
    ("chunks", chunks),
    ("extensions", extensions),
];

/// The known properties of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// The server only serves files, and refuses POST.
    pub(crate) files: bool,
    /// The server is a proxy in front of our server, and must reuse its connections to our server.
    pub(crate) proxied: bool,
    pub(crate) unsupported: Unsupported,
}

impl Traits {
    /// A server that supports everything.
    pub(crate) const ALL: Self = Self { files: false, proxied: false, unsupported: &[] };
}

/// The body of `/large`: 1 MiB, in which the byte at `n` is `n % 251`.
pub(crate) fn large() -> Vec<u8> {
    // Every value is below 251.
    (0..1_usize << 20).map(|n| (n % 251) as u8).collect()
}

const HELLO: &[u8] = b"hello, world";

fn get(ours: &mut Ours, _: &mut Traits) -> Result {
    let answer = ask(ours, Method::Get, "/hello", &Message::none())?;
    same("body", &answer.seen.data, HELLO)
}

fn head(ours: &mut Ours, _: &mut Traits) -> Result {
    let answer = ask(ours, Method::Head, "/hello", &Message::none())?;
    same("body", &answer.seen.data, b"")?;
    let length = answer.headers.get("content-length");
    wanted(length == Some("12"), || format!("content-length is {length:?}"))
}

fn post(ours: &mut Ours, traits: &mut Traits) -> Result {
    echo(ours, traits, &bytes(b"some text"))
}

fn chunked(ours: &mut Ours, traits: &mut Traits) -> Result {
    echo(ours, traits, &Message::new(Kind::Chunked, ["some", " ", "text"].map(Chunk::new)))
}

/// Receives 1 MiB. If the server can echo, sends 1 MiB with a Content-Length, and in chunks.
fn large_bodies(ours: &mut Ours, traits: &mut Traits) -> Result {
    let large = large();
    let answer = ask(ours, Method::Get, "/large", &Message::none())?;
    same("body", &answer.seen.data, &large)?;
    if traits.files {
        return Ok(());
    }
    echo(ours, traits, &in_chunks(&large))?;
    echo(ours, traits, &bytes(large))
}

/// Performs different exchanges on one connection.
fn keep_alive(ours: &mut Ours, traits: &mut Traits) -> Result {
    let round: [Step<Traits>; 4] = [("GET", get), ("HEAD", head), ("a 404", missing), ("POST", post)];
    for (name, exchange) in round.iter().cycle().take(12) {
        exchange(ours, traits)?;
        wanted(ours.is_open(), || format!("the connection is closed after {name}"))?;
    }
    if traits.proxied {
        let requests = String::from_utf8(ask(ours, Method::Get, "/requests", &Message::none())?.seen.data)?;
        wanted(requests.parse::<u32>()? > 1, || "the proxy does not reuse its connection".into())?;
    }
    Ok(())
}

fn close(ours: &mut Ours, _: &mut Traits) -> Result {
    let headers = Headers::try_from([("connection", "close")])?;
    let answer = ours.perform(Method::Get, "/hello", &headers, &Message::none())?;
    same("body", &answer.seen.data, HELLO)?;
    wanted(!ours.is_open(), || "the connection is open".into())
}

fn missing(ours: &mut Ours, _: &mut Traits) -> Result {
    let answer = ours.perform(Method::Get, "/missing", &Headers::new(), &Message::none())?;
    wanted(answer.status == 404, || format!("status {}", answer.status))
}

fn chunks(ours: &mut Ours, _: &mut Traits) -> Result {
    let answer = ask(ours, Method::Get, "/chunks", &Message::none())?;
    same("body", &answer.seen.data, b"onetwothree")?;
    wanted(answer.headers.contains("transfer-encoding"), || "the body is not chunked".into())?;
    wanted(ours.is_open(), || "the connection is closed".into())
}

/// Compares the boundaries and extensions of chunks in requests and responses.
fn extensions(ours: &mut Ours, _: &mut Traits) -> Result {
    let answer = ask(ours, Method::Get, "/chunks", &Message::none())?;
    answer.seen.is(&numbered(["one", "two", "three"]), true)?;
    let sent = numbered(["some", " ", "text"]);
    Ok(ask(ours, Method::Post, "/echo", &sent)?.seen.is(&sent, true)?)
}

/// Returns a body of these chunks. Each has its number in the extension `n`.
pub(crate) fn numbered(words: [&'static str; 3]) -> Message {
    let chunks = words.into_iter().zip(1..).map(|(word, n)| Chunk::new(word).with_extension("n", n));
    Message::new(Kind::Chunked, chunks)
}

/// Posts a body, and expects the same body in the response. A server of files must refuse the request.
fn echo(ours: &mut Ours, traits: &mut Traits, body: &Message) -> Result {
    if traits.files {
        let answer = ours.perform(Method::Post, "/hello", &Headers::new(), body)?;
        return wanted(matches!(answer.status, 405 | 501), || format!("status {}", answer.status));
    }
    same("body", &ask(ours, Method::Post, "/echo", body)?.seen.data, &body.data())
}

/// Performs an exchange, and expects the status 200.
fn ask(ours: &mut Ours, method: Method<'_>, target: &str, body: &Message) -> Result<Answer> {
    let answer = ours.perform(method, target, &Headers::new(), body)?;
    wanted(answer.status == 200, || format!("status {}", answer.status))?;
    Ok(answer)
}

/// Returns an error if the bytes are not the expected bytes. `what` names them in the error.
pub(crate) fn same(what: &str, is: &[u8], should: &[u8]) -> Result {
    let show = |bytes: &[u8]| match bytes.len() {
        0..=40 => bytes.escape_ascii().to_string(),
        length => format!("{length} bytes"),
    };
    wanted(is == should, || format!("{what} is {:?} instead of {:?}", show(is), show(should)))
}

/// Returns an error with this text if the condition does not hold.
pub(crate) fn wanted(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
