//! The exchanges of HTTP that our clients perform.

use degu_client::{BoxError, Chunk, Headers, Method};

use crate::ours::{Content, Ours, Whole};
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
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// The server only serves files, and refuses POST.
    pub(crate) files: bool,
    /// The server closes the connection after each response.
    pub(crate) http10: bool,
    /// The server is a proxy in front of our server, and must reuse its connections to it.
    pub(crate) proxied: bool,
    pub(crate) unsupported: Unsupported,
}

/// The body of `/large`: 1 MiB, in which the byte at `n` is `n % 251`.
pub(crate) fn large() -> Vec<u8> {
    // Every value is below 251.
    (0..1_usize << 20).map(|n| (n % 251) as u8).collect()
}

const HELLO: &[u8] = b"hello, world";

fn get(ours: &mut Ours, _: &mut Traits) -> Result<(), BoxError> {
    let whole = ask(ours, Method::Get, "/hello", Content::Nothing)?;
    same("body", &whole.body(), HELLO)
}

fn head(ours: &mut Ours, _: &mut Traits) -> Result<(), BoxError> {
    let whole = ask(ours, Method::Head, "/hello", Content::Nothing)?;
    same("body", &whole.body(), b"")?;
    let length = whole.headers.get("content-length");
    wanted(length == Some("12"), || format!("content-length is {length:?}"))
}

fn post(ours: &mut Ours, traits: &mut Traits) -> Result<(), BoxError> {
    echo(ours, traits, Content::Bytes(b"some text".into()), b"some text")
}

fn chunked(ours: &mut Ours, traits: &mut Traits) -> Result<(), BoxError> {
    let chunks = ["some", " ", "text"].map(Chunk::new);
    echo(ours, traits, Content::Chunks(chunks.into()), b"some text")
}

/// Receives 1 MiB. If the server can echo, sends 1 MiB with a Content-Length, and in chunks.
fn large_bodies(ours: &mut Ours, traits: &mut Traits) -> Result<(), BoxError> {
    let bytes = large();
    let whole = ask(ours, Method::Get, "/large", Content::Nothing)?;
    same("body", &whole.body(), &bytes)?;
    if traits.files {
        return Ok(());
    }
    echo(ours, traits, Content::Bytes(bytes.clone()), &bytes)?;
    let chunks = bytes.chunks(60_000).map(|data| Chunk::new(data.to_vec())).collect();
    echo(ours, traits, Content::Chunks(chunks), &bytes)
}

/// Performs different exchanges on one connection.
fn keep_alive(ours: &mut Ours, traits: &mut Traits) -> Result<(), BoxError> {
    let round: [Step<Traits>; 4] = [("GET", get), ("HEAD", head), ("a 404", missing), ("POST", post)];
    for (name, exchange) in round.iter().cycle().take(12) {
        exchange(ours, traits)?;
        wanted(ours.is_open(), || format!("the connection is closed after {name}"))?;
    }
    if traits.proxied {
        let requests = String::from_utf8(ask(ours, Method::Get, "/requests", Content::Nothing)?.body())?;
        wanted(requests.parse::<u32>()? > 1, || "the proxy does not reuse its connection".into())?;
    }
    Ok(())
}

fn close(ours: &mut Ours, _: &mut Traits) -> Result<(), BoxError> {
    let headers = Headers::try_from([("connection", "close")])?;
    let whole = ours.perform(Method::Get, "/hello", &headers, Content::Nothing)?;
    same("body", &whole.body(), HELLO)?;
    wanted(!ours.is_open(), || "the connection is open".into())
}

fn missing(ours: &mut Ours, _: &mut Traits) -> Result<(), BoxError> {
    let whole = ours.perform(Method::Get, "/missing", &Headers::new(), Content::Nothing)?;
    wanted(whole.status == 404, || format!("status {}", whole.status))
}

fn chunks(ours: &mut Ours, traits: &mut Traits) -> Result<(), BoxError> {
    let whole = ask(ours, Method::Get, "/chunks", Content::Nothing)?;
    same("body", &whole.body(), b"onetwothree")?;
    wanted(whole.headers.contains("transfer-encoding"), || "the body is not chunked".into())?;
    wanted(ours.is_open() || traits.http10, || "the connection is closed".into())
}

/// Compares the boundaries and extensions of chunks in requests and responses.
fn extensions(ours: &mut Ours, _: &mut Traits) -> Result<(), BoxError> {
    let numbered = |words: &[&'static str]| -> Vec<Chunk> {
        words.iter().zip(1..).map(|(&word, n)| Chunk::new(word).with_extension("n", n)).collect()
    };
    let whole = ask(ours, Method::Get, "/chunks", Content::Nothing)?;
    same_chunks(&whole.chunks, &numbered(&["one", "two", "three"]))?;
    let sent = numbered(&["some", " ", "text"]);
    let whole = ask(ours, Method::Post, "/echo", Content::Chunks(sent.clone()))?;
    same_chunks(&whole.chunks, &sent)
}

/// Posts a body, and expects the same body in the response. A server of files must refuse the request.
fn echo(ours: &mut Ours, traits: &mut Traits, content: Content, bytes: &[u8]) -> Result<(), BoxError> {
    if traits.files {
        let whole = ours.perform(Method::Post, "/hello", &Headers::new(), content)?;
        return wanted(matches!(whole.status, 405 | 501), || format!("status {}", whole.status));
    }
    same("body", &ask(ours, Method::Post, "/echo", content)?.body(), bytes)
}

/// Performs an exchange, and expects the status 200.
fn ask(ours: &mut Ours, method: Method<'_>, target: &str, content: Content) -> Result<Whole, BoxError> {
    let whole = ours.perform(method, target, &Headers::new(), content)?;
    wanted(whole.status == 200, || format!("status {}", whole.status))?;
    Ok(whole)
}

/// Returns an error if the bytes are not the expected bytes. `what` names them in the error.
pub(crate) fn same(what: &str, is: &[u8], should: &[u8]) -> Result<(), BoxError> {
    let show = |bytes: &[u8]| match bytes.len() {
        0..=40 => bytes.escape_ascii().to_string(),
        length => format!("{length} bytes"),
    };
    wanted(is == should, || format!("{what} is {:?} instead of {:?}", show(is), show(should)))
}

fn same_chunks(are: &[Chunk], should: &[Chunk]) -> Result<(), BoxError> {
    let show = |chunks: &[Chunk]| -> Vec<String> {
        chunks.iter().map(|chunk| format!("{}{}", chunk.data.escape_ascii(), chunk.extensions)).collect()
    };
    wanted(show(are) == show(should), || format!("chunks are {:?} instead of {:?}", show(are), show(should)))
}

/// Returns an error with this text if the condition does not hold.
pub(crate) fn wanted(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
