//! Responses out of readers, streams and files, byte by byte: whole ones, and those that are shorter or longer than
//! their length.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::common::Running;
use degu_server::{Address, Body, BodyDropped, BoxError, Chunk, Part, Request, Response, Session, Trailers};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, ReadBuf};

/// A source that is pending once before each item, and whose count of polls is not `Send`.
struct Slow<T> {
    items: std::vec::IntoIter<T>,
    polls: Rc<Cell<usize>>,
}

fn slow<T>(items: impl Into<Vec<T>>) -> Slow<T> {
    Slow { items: items.into().into_iter(), polls: Rc::default() }
}

impl<T> Slow<T> {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.polls.set(self.polls.get() + 1);
        if self.polls.get() % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.items.next())
    }
}

impl<T: Unpin> futures_core::Stream for Slow<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().next(cx)
    }
}

impl AsyncRead for Slow<u8> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().next(cx).map(|byte| {
            buffer.put_slice(byte.as_slice());
            Ok(())
        })
    }
}

fn pieces(end: Option<&str>) -> Body {
    let pieces = [Ok("seven ".into()), Ok("eleven".into())].into_iter().chain(end.map(|end| Err(end.to_owned())));
    Body::from_stream(12, slow(pieces.collect::<Vec<_>>()))
}

async fn file(bytes: usize, position: u64) -> io::Result<tokio::fs::File> {
    let mut file = tempfile::tempfile()?;
    io::Write::write_all(&mut file, &vec![b'x'; bytes])?;
    let mut file = tokio::fs::File::from_std(file);
    file.seek(io::SeekFrom::Start(position)).await?;
    Ok(file)
}

async fn app(_: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
    let path: &[&str] = request.segments();
    let body = match path {
        ["reader"] => Body::from_reader(5, slow("hello")),
        ["reader", "short"] => Body::from_reader(6, slow("hello")),
        ["reader", "long"] => Body::from_reader(4, slow("hello")),
        ["reader", "empty"] => Body::from_reader(0, slow("hello")),
        ["reader", "large"] => Body::from_reader(300_000, tokio::io::repeat(b'x')),
        ["reader", "fails"] => Body::from_reader(9, slow("hello").chain(Fails)),
        ["reader", "unknown"] => Body::chunks_from_reader(slow("hi")),
        ["reader", "unknown", "large"] => Body::chunks_from_reader(tokio::io::repeat(b'x').take(300_000)),
        ["reader", "unknown", "fails"] => Body::chunks_from_reader(slow("hi").chain(Fails)),
        ["channel", how @ ..] => {
            let (mut sender, body) = Body::channel();
            let sends = async move {
                for n in 0..9 {
                    sender.send(Chunk::new("tick").with_extension("n", n)).await?;
                }
                Ok::<_, BodyDropped>(sender)
            };
            match how {
                ["dropped"] => drop(tokio::task::spawn_local(sends)),
                _ => drop(std::thread::spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let sender = runtime.block_on(sends).unwrap();
                    sender.finish_with(Trailers::try_from([("x-count", 9)]).unwrap());
                })),
            }
            body
        }
        ["stream"] => pieces(None),
        ["stream", "short"] => Body::from_stream(7, slow([Ok::<_, BoxError>("seven ".into())])),
        ["stream", "long"] => {
            Body::from_stream(9, slow(["seven ", "eleven"].map(|text| Ok::<_, BoxError>(text.into()))))
        }
        ["stream", "fails"] => pieces(Some("the disk is on fire")),
        ["stream", "early"] => Body::from_stream(9, slow([Ok("seven ".into()), Err("the disk is on fire")])),
        ["chunks"] => {
            let mut trailers = Trailers::new();
            trailers.append("x-sum", 2)?;
            // An empty chunk is none.
            let parts: [Part; 5] = [
                Chunk::new("").into(),
                Chunk::new("one").with_extension("seq", 1).into(),
                Chunk::new("").into(),
                Chunk::new("two").into(),
                trailers.into(),
            ];
            Body::from_chunks(slow(parts.into_iter().map(Ok::<_, BoxError>).collect::<Vec<_>>()))
        }
        ["chunks", "fails"] => Body::from_chunks(slow([Ok(Chunk::new("one")), Err("the disk is on fire")])),
        ["file"] => Body::from_file(file(200_000, 0).await?).await?,
        ["file", "rest"] => Body::from_file(file(10, 7).await?).await?,
        ["file", "behind"] => Body::from_file(file(10, 20).await?).await?,
        _ => Body::none(),
    };
    Ok((200, body).into())
}

/// A reader that fails.
struct Fails;

impl AsyncRead for Fails {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::other("the disk is on fire")))
    }
}

fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

fn ticks(count: usize) -> String {
    (0..count).map(|n| format!("4;n={n}\r\ntick\r\n")).collect()
}

#[test]
fn source_of_the_announced_length_arrives_and_connection_stays() {
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    for (path, length, expected) in [
        ("reader", 5, "hello".to_owned()),
        ("reader/empty", 0, String::new()),
        ("reader/long", 4, "hell".to_owned()),
        ("reader/large", 300_000, "x".repeat(300_000)),
        ("stream", 12, "seven eleven".to_owned()),
        // All of it is sent before the stream could be asked whether there is more.
        ("stream/fails", 12, "seven eleven".to_owned()),
        ("file", 200_000, "x".repeat(200_000)),
        ("file/rest", 3, "xxx".to_owned()),
        ("file/behind", 0, String::new()),
    ] {
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{expected}");
        assert!(server.ask(get(path).repeat(2)) == whole.repeat(2), "{path}");
    }
    let whole =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;seq=1\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 2\r\n\r\n";
    assert_eq!(server.ask(get("chunks").repeat(2)), whole.repeat(2));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let whole = format!("{chunked}1\r\nh\r\n1\r\ni\r\n0\r\n\r\n");
    assert_eq!(server.ask(get("reader/unknown").repeat(2)), whole.repeat(2));
    let large = server.ask(get("reader/unknown/large"));
    assert_eq!(large.matches('x').count(), 300_000);
    assert!(large.ends_with("x\r\n0\r\n\r\n"));
    let whole = format!("{chunked}{}0\r\nx-count: 9\r\n\r\n", ticks(9));
    assert_eq!(server.ask(get("channel").repeat(2)), whole.repeat(2));
}

#[test]
fn what_is_not_is_cut_and_so_is_the_connection() {
    let server = Running::new(Address::IPV6_LOOPBACK, app);
    for (path, length, expected) in [
        ("reader/short", 6, "hello"),
        ("reader/fails", 9, "hello"),
        ("stream/short", 7, "seven "),
        ("stream/long", 9, "seven "),
        ("stream/early", 9, "seven "),
    ] {
        let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{expected}");
        assert_eq!(server.ask(get(path).repeat(2)), cut, "{path}");
    }
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    assert_eq!(server.ask(get("chunks/fails").repeat(2)), cut);
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n";
    assert_eq!(server.ask(get("reader/unknown/fails").repeat(2)), cut);
    let cut = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", ticks(9));
    assert_eq!(server.ask(get("channel/dropped").repeat(2)), cut);
}
