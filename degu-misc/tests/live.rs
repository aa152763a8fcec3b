//! Server and client over real sockets of every kind: the same tests for each.

use degu_client::{Body, Chunk, Method, Part, Source, Trailers, blocking};
use degu_misc::TempServer;
use degu_server::{Address, BoxError, Request, Response, Session};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

async fn echo(_: &mut Session, request: Request<'_>) -> Response {
    let headers = [("x-method", request.method().to_string()), ("x-target", request.target().to_owned())];
    (200, headers, request.body).into()
}

/// Three chunks with and without extensions, and what is said at the end.
fn parts() -> Vec<Part> {
    let mut trailers = Trailers::new();
    trailers.append("x-checksum", "abc").unwrap();
    let mut last = Chunk::default().with_flag("done").extensions;
    last.push("total", Some(&3));
    vec![
        Chunk::new("one").with_extension("seq", 1).into(),
        Chunk::new(vec![b'x'; 100_000]).with_extension("note", "two \"words\"").with_flag("big").into(),
        Chunk::new("three").into(),
        Part::Last { extensions: last, trailers },
    ]
}

/// The content of a body without the bounds of its parts: size, extensions and data of each chunk, and then the end.
type Seen = (Vec<(String, Vec<u8>)>, String, Vec<(String, Vec<u8>)>);

fn expected() -> Seen {
    let chunks = vec![
        (";seq=1".into(), b"one".to_vec()),
        (r#";note="two \"words\"";big"#.into(), vec![b'x'; 100_000]),
        (String::new(), b"three".to_vec()),
    ];
    (chunks, ";done;total=3".into(), vec![("x-checksum".into(), b"abc".to_vec())])
}

fn fields(trailers: Option<&Trailers>) -> Vec<(String, Vec<u8>)> {
    trailers
        .into_iter()
        .flat_map(|trailers| trailers.iter())
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect()
}

/// A source of parts at hand.
struct Parts(VecDeque<Part>);

impl Source for Parts {
    fn poll_part(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn bodies_of_every_kind(server: &TempServer) -> Result<(), BoxError> {
    let mut connection = server.client().connect()?;
    let mut response = connection.get("/a/b?c=d")?;
    assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
    assert_eq!(response.headers.get("x-target"), Some("/a/b?c=d"));
    assert_eq!(response.body.read_all(0)?, "");

    let mut response = connection.head("/")?;
    assert_eq!(response.headers.get("x-method"), Some("HEAD"));
    assert_eq!(response.body.read_all(0)?, "");

    for size in [0, 1, 4096, 65_536, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|n| n as u8).collect();
        let mut response = connection.put("/", body.clone())?;
        assert_eq!(response.headers.get("content-length"), Some(size.to_string().as_str()));
        assert_eq!(response.body.read_all(size)?, body);
    }
    assert!(!connection.is_closed());
    Ok(())
}

fn chunks_keep_what_they_say(server: &TempServer) -> Result<(), BoxError> {
    let mut connection = server.client().connect()?;
    for _ in 0..2 {
        let mut response = connection.request(Method::Post, "/", (), blocking::Body::from_chunks(parts()))?;
        let mut chunks = Vec::new();
        while let Some(chunk) = response.body.next_chunk()? {
            chunks.push((chunk.extensions.to_string(), chunk.data.to_vec()));
        }
        let last = response.body.last_extensions().map(ToString::to_string).unwrap_or_default();
        assert_same((chunks, last, fields(response.body.trailers())));
    }
    Ok(())
}

async fn chunks_keep_what_they_say_async(server: &TempServer) -> Result<(), BoxError> {
    let mut connection = server.async_client().connect().await?;
    for _ in 0..2 {
        let body = Body::chunks_from_source(Box::pin(Parts(parts().into())));
        let mut response = connection.request(Method::Post, "/", (), body).await?;
        let mut chunks = Vec::new();
        while let Some(chunk) = response.body.next_chunk().await? {
            chunks.push((chunk.extensions.to_string(), chunk.data.to_vec()));
        }
        let last = response.body.last_extensions().map(ToString::to_string).unwrap_or_default();
        assert_same((chunks, last, fields(response.body.trailers())));
    }
    Ok(())
}

fn assert_same(seen: Seen) {
    let expected = expected();
    assert_eq!(seen.0.len(), expected.0.len());
    for (seen, expected) in seen.0.iter().zip(&expected.0) {
        assert_eq!(seen.0, expected.0);
        assert!(seen.1 == expected.1, "the data of chunk {:?} differs", seen.0);
    }
    assert_eq!((seen.1, seen.2), (expected.1, expected.2));
}

fn all(address: Address) -> Result<(), BoxError> {
    let server = TempServer::new(address, echo);
    bodies_of_every_kind(&server)?;
    chunks_keep_what_they_say(&server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(chunks_keep_what_they_say_async(&server))
}

#[test]
fn ipv4() -> Result<(), BoxError> {
    all(Address::IPV4_LOOPBACK)
}

#[test]
fn ipv6() -> Result<(), BoxError> {
    all(Address::IPV6_LOOPBACK)
}

#[cfg(unix)]
#[test]
fn unix_path() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("live.sock");
    all(Address::unix(&path))?;
    assert!(!path.exists(), "the file is gone with its server");
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_name() -> Result<(), BoxError> {
    all(Address::ABSTRACT)
}
