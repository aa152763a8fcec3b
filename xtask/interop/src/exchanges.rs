//! The exchanges, in the order of the matrix's columns, as our client performs them.

use degu_client::{BoxError, Chunk, Client, Headers, Method};

use crate::ends::{Content, End, Whole};
use crate::matrix::Outcome;

type Exchange = fn(&mut End, &Traits) -> Result<(), BoxError>;

/// Every exchange with its name.
pub(crate) const ALL: [(&str, Exchange); 10] = [
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
    /// It has only files, and refuses POST.
    pub(crate) files: bool,
    /// It closes after each response.
    pub(crate) http10: bool,
    /// It passes on to ours, and is to keep that connection.
    pub(crate) proxied: bool,
    /// Exchanges that are not tried, and why.
    pub(crate) skipped: &'static [(&'static str, &'static str)],
}

/// Performs all exchanges with the server at an address.
pub(crate) fn perform(address: &str, blocking: bool, traits: &Traits) -> Result<Vec<Outcome>, BoxError> {
    let mut end = End::new(Client::new(address.parse::<degu_client::Address>()?), blocking)?;
    let outcome = |(name, exchange): (&str, Exchange)| {
        if let Some((_, why)) = traits.skipped.iter().find(|(skipped, _)| *skipped == name) {
            return Outcome::Skipped((*why).into());
        }
        // Each exchange has its own connection, so that a failed exchange does not affect the next exchange.
        end.disconnect();
        exchange(&mut end, traits).map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Ok)
    };
    Ok(ALL.into_iter().map(outcome).collect())
}

/// The body of `/large`: 1 MiB, in which the byte at `n` is `n % 251`.
pub(crate) fn large() -> Vec<u8> {
    // Every value is below 251.
    (0..1_usize << 20).map(|n| (n % 251) as u8).collect()
}

const HELLO: &[u8] = b"hello, world";

fn get(end: &mut End, _: &Traits) -> Result<(), BoxError> {
    let whole = ask(end, Method::Get, "/hello", Content::Nothing)?;
    same("body", &whole.body(), HELLO)
}

fn head(end: &mut End, _: &Traits) -> Result<(), BoxError> {
    let whole = ask(end, Method::Head, "/hello", Content::Nothing)?;
    same("body", &whole.body(), b"")?;
    let length = whole.headers.get("content-length");
    wanted(length == Some("12"), || format!("content-length is {length:?}"))
}

fn post(end: &mut End, traits: &Traits) -> Result<(), BoxError> {
    echo(end, traits, Content::Bytes(b"some text".into()), b"some text")
}

fn chunked(end: &mut End, traits: &Traits) -> Result<(), BoxError> {
    let chunks = ["some", " ", "text"].map(Chunk::new);
    echo(end, traits, Content::Chunks(chunks.into()), b"some text")
}

/// 1 MiB in, and where the server echoes, 1 MiB out, by length and in chunks.
fn large_bodies(end: &mut End, traits: &Traits) -> Result<(), BoxError> {
    let bytes = large();
    let whole = ask(end, Method::Get, "/large", Content::Nothing)?;
    same("body", &whole.body(), &bytes)?;
    if traits.files {
        return Ok(());
    }
    echo(end, traits, Content::Bytes(bytes.clone()), &bytes)?;
    let chunks = bytes.chunks(60_000).map(|data| Chunk::new(data.to_vec())).collect();
    echo(end, traits, Content::Chunks(chunks), &bytes)
}

/// Exchanges of several kinds on one connection.
fn keep_alive(end: &mut End, traits: &Traits) -> Result<(), BoxError> {
    let round: [(_, Exchange); 4] = [("GET", get), ("HEAD", head), ("a 404", missing), ("POST", post)];
    for (name, exchange) in round.iter().cycle().take(12) {
        exchange(end, traits)?;
        wanted(end.is_open(), || format!("the connection is closed after {name}"))?;
    }
    if traits.proxied {
        let requests = String::from_utf8(ask(end, Method::Get, "/requests", Content::Nothing)?.body())?;
        wanted(requests.parse::<u32>()? > 1, || "the proxy keeps no connection".into())?;
    }
    Ok(())
}

fn close(end: &mut End, _: &Traits) -> Result<(), BoxError> {
    let headers = Headers::try_from([("connection", "close")])?;
    let whole = end.perform(Method::Get, "/hello", &headers, Content::Nothing)?;
    same("body", &whole.body(), HELLO)?;
    wanted(!end.is_open(), || "the connection is open".into())
}

fn missing(end: &mut End, _: &Traits) -> Result<(), BoxError> {
    let whole = end.perform(Method::Get, "/missing", &Headers::new(), Content::Nothing)?;
    wanted(whole.status == 404, || format!("status {}", whole.status))
}

fn chunks(end: &mut End, traits: &Traits) -> Result<(), BoxError> {
    let whole = ask(end, Method::Get, "/chunks", Content::Nothing)?;
    same("body", &whole.body(), b"onetwothree")?;
    wanted(whole.headers.contains("transfer-encoding"), || "the body is not chunked".into())?;
    wanted(end.is_open() || traits.http10, || "the connection is closed".into())
}

/// Boundaries and extensions in both directions.
fn extensions(end: &mut End, _: &Traits) -> Result<(), BoxError> {
    let numbered = |words: &[&'static str]| -> Vec<Chunk> {
        words.iter().zip(1..).map(|(&word, n)| Chunk::new(word).with_extension("n", n)).collect()
    };
    let whole = ask(end, Method::Get, "/chunks", Content::Nothing)?;
    same_chunks(&whole.chunks, &numbered(&["one", "two", "three"]))?;
    let sent = numbered(&["some", " ", "text"]);
    let whole = ask(end, Method::Post, "/echo", Content::Chunks(sent.clone()))?;
    same_chunks(&whole.chunks, &sent)
}

/// Posts a body, and expects the same body back, or a refusal from a server of files.
fn echo(end: &mut End, traits: &Traits, content: Content, bytes: &[u8]) -> Result<(), BoxError> {
    if traits.files {
        let whole = end.perform(Method::Post, "/hello", &Headers::new(), content)?;
        return wanted(matches!(whole.status, 405 | 501), || format!("status {}", whole.status));
    }
    same("body", &ask(end, Method::Post, "/echo", content)?.body(), bytes)
}

/// An exchange that succeeds.
fn ask(end: &mut End, method: Method<'_>, target: &str, content: Content) -> Result<Whole, BoxError> {
    let whole = end.perform(method, target, &Headers::new(), content)?;
    wanted(whole.status == 200, || format!("status {}", whole.status))?;
    Ok(whole)
}

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

pub(crate) fn wanted(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
