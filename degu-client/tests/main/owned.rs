//! Exchanges that own their connection.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::AsyncBufReadExt;

use crate::common::{Kind, Server};
use degu_client::{
    Body, BodyOf, BoxError, Chunk, Client, Connection, Error, Headers, LocalBody, Method, OwnedResponse, Part, Source,
};
use degu_wire::machine::Content;

/// The parts of a body, as its sender would take them: after the last byte of a length it does not ask for more.
async fn parts<S: Source + ?Sized>(body: BodyOf<S>) -> Result<Vec<Part>, BoxError> {
    let (mut left, mut source) = match body.split() {
        (Content::Length(length), Some(source)) => (Some(length), source),
        (Content::Chunked, Some(source)) => (None, source),
        _ => return Ok(Vec::new()),
    };
    let mut parts = Vec::new();
    while left != Some(0) {
        let Some(part) = poll_fn(|cx| source.as_mut().poll_part(cx)).await.transpose()? else { break };
        if let (Some(left), Part::Data(data)) = (&mut left, &part) {
            *left -= data.len() as u64;
        }
        let is_last = matches!(part, Part::Last { .. });
        parts.push(part);
        if is_last {
            break;
        }
    }
    Ok(parts)
}

#[tokio::test]
async fn bodies_are_passed_on_unchanged_and_the_connection_returns() {
    let server = Server::once(Kind::Path, |wire| {
        for response in [
            "content-length: 3\r\n\r\nabc",
            "transfer-encoding: chunked\r\n\r\n2;n=1\r\nab\r\n1\r\nc\r\n0;e\r\nx: y\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "content-length: 0\r\n\r\n",
        ] {
            wire.head();
            wire.send(&format!("HTTP/1.1 200 OK\r\n{response}"));
        }
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\n\r\nabc");
    });
    let slot = Arc::new(Mutex::new(Some(Client::new(&server.address).connect().await.unwrap())));
    let exchange = async || {
        let connection = slot.lock().unwrap().take().expect("the connection has come back");
        let response = connection.exchange(Method::Get, "/", Headers::new(), Body::none()).await.unwrap();
        let slot = Arc::clone(&slot);
        response.body.into_body(move |connection| *slot.lock().unwrap() = Some(connection))
    };

    let body = exchange().await;
    assert_eq!(body.length(), Some(3));
    assert!(matches!(&parts(body).await.unwrap()[..], [Part::Data(data)] if data == "abc"));

    let body = parts(exchange().await).await.unwrap();
    let [Part::Chunk { size: 2, extensions, data }, Part::Chunk { size: 1, .. }, Part::Last { trailers, .. }] =
        &body[..]
    else {
        panic!("{body:?}")
    };
    assert_eq!((extensions.get("n").as_deref(), &data[..], trailers.get("x")), (Some("1"), &b"ab"[..], Some("y")));

    assert!(matches!(&parts(exchange().await).await.unwrap()[..], [Part::Chunk { size: 3, .. }]));
    assert!(exchange().await.is_none());

    let body = exchange().await;
    assert_eq!(body.length(), None, "sent on in chunks");
    assert!(matches!(&parts(body).await.unwrap()[..], [Part::Chunk { size: 3, .. }]));
    assert!(slot.lock().unwrap().is_none(), "the connection was the end of the body");
}

#[tokio::test]
async fn a_truncated_body_fails_where_it_is_passed_to() {
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab");
    });
    let connection = Client::new(&server.address).connect().await.unwrap();
    let response = connection.exchange(Method::Get, "/", (), Body::none()).await.unwrap();
    let error = parts(response.body.into_body(|_| panic!("it is closed"))).await.unwrap_err();
    assert!(error.downcast_ref::<Error>().is_some_and(|error| error.remote().is_some()), "{error}");
}

/// A source that must stay on its thread.
struct Local(Rc<RefCell<Vec<Chunk>>>);

impl Source for Local {
    fn poll_part(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        Poll::Ready(self.0.borrow_mut().pop().map(|chunk| Ok(chunk.into())))
    }
}

#[tokio::test]
async fn a_local_body_goes_out_in_an_exchange_of_its_own() {
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.expect("3\r\nabc\r\n0\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nABC");
        wire.expect_end();
    });
    let connection = Client::new(&server.address).connect().await.unwrap();
    let chunks = Rc::new(RefCell::new(vec![Chunk::new("abc")]));
    let body = LocalBody::chunks_from_source(Box::pin(Local(Rc::clone(&chunks))));
    let response: OwnedResponse<dyn Source> = connection.exchange("POST", "/", (), body).await.unwrap();
    let back = Rc::new(RefCell::new(None::<Connection>));
    let slot = Rc::clone(&back);
    let body = response.body.into_body(move |connection| *slot.borrow_mut() = Some(connection));
    assert!(matches!(&parts(body).await.unwrap()[..], [Part::Data(data)] if data == "ABC"));
    assert!(back.borrow().is_some());
}

#[tokio::test]
async fn rest_of_a_body_that_was_read_in_part_is_passed_on() {
    let server = Server::once(Kind::Path, |wire| {
        for response in [
            "content-length: 6\r\n\r\nab\ncde",
            "transfer-encoding: chunked\r\n\r\n5;n=1\r\nab\ncd\r\n1;n=2\r\ne\r\n0\r\nx: y\r\n\r\n",
        ] {
            wire.head();
            wire.send(&format!("HTTP/1.1 200 OK\r\n{response}"));
        }
    });
    let mut connection = Client::new(&server.address).connect().await.unwrap();
    for (framing, length, count) in [("a length", Some(3), 1), ("chunks", None, 3)] {
        let mut response = connection.exchange(Method::Get, "/", Headers::new(), Body::none()).await.unwrap();
        let mut line = String::new();
        response.body.reader().read_line(&mut line).await.unwrap();
        assert_eq!((line.as_str(), response.body.remaining()), ("ab\n", length), "{framing}");
        let slot = Arc::new(Mutex::new(None));
        let returned = Arc::clone(&slot);
        let body = response.body.into_body(move |connection| *returned.lock().unwrap() = Some(connection));
        assert_eq!(body.length(), length, "{framing}");
        let parts = parts(body).await.unwrap();
        assert_eq!(parts.len(), count, "{parts:?}");
        match &parts[..] {
            [Part::Data(data)] => assert_eq!(data, "cde"),
            [Part::Chunk { size: 2, extensions, data }, Part::Chunk { extensions: second, .. }, Part::Last { .. }] => {
                assert_eq!((&data[..], extensions.get("n")), (&b"cd"[..], None));
                assert_eq!(second.get("n").as_deref(), Some("2"));
            }
            _ => panic!("{parts:?}"),
        }
        connection = slot.lock().unwrap().take().expect("the connection has come back");
    }
}

#[tokio::test]
async fn connection_of_a_body_without_unread_bytes_is_given_back() {
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
    });
    let connection = Client::new(&server.address).connect().await.unwrap();
    let mut response = connection.exchange(Method::Get, "/", Headers::new(), Body::none()).await.unwrap();
    assert_eq!(response.body.next_data().await.unwrap().unwrap(), "abc");
    let slot = Arc::new(Mutex::new(None));
    let returned = Arc::clone(&slot);
    assert!(response.body.into_body(move |connection| *returned.lock().unwrap() = Some(connection)).is_none());
    assert!(!slot.lock().unwrap().take().expect("the connection has come back").is_closed());
}

#[tokio::test]
async fn success_of_an_owned_response_keeps_status_and_text() {
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine");
        wire.head();
        wire.send("HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno note");
    });
    let connection = Client::new(&server.address).connect().await.unwrap();
    let response = connection.exchange(Method::Get, "/", Headers::new(), Body::none()).await.unwrap();
    let mut response = response.success().await.unwrap();
    assert_eq!(response.body.text(4).await.unwrap(), "fine");
    let connection = response.body.into_connection();
    let local = LocalBody::none();
    let error =
        connection.exchange(Method::Get, "/", Headers::new(), local).await.unwrap().success().await.unwrap_err();
    assert_eq!((error.status(), error.text()), (Some(404), Some("no note")));
}
