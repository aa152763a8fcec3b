//! The client, against exact bytes.

use std::convert::Infallible;

use degu_wire::embedded::{Client, Error, Options};
use degu_wire::{Fault, Framing, LocalError, Method};

use super::kit::{OPTIONS, Peer, Seconds, Sizes, Step, run};

/// Runs `talk` with a client that is connected to the peer.
fn with<T>(peer: &mut Peer, talk: impl AsyncFnOnce(&mut Client<'_, Peer, Seconds>) -> T) -> T {
    let mut memory = Sizes::new();
    let mut client = Client::new(peer, &Seconds, memory.buffers(), &OPTIONS);
    run(talk(&mut client))
}

/// Gets the body of a response to GET, with its status, and whether the connection can be used again.
async fn get(client: &mut Client<'_, Peer, Seconds>) -> Result<(u16, String, bool), Error<Infallible>> {
    let mut response = client.request(Method::Get, "/a", "d", &[], Framing::None).await?.response().await?;
    let mut body = [0; 64];
    let body = response.body().read_all(&mut body).await?;
    let (status, body) = (response.head().status(), String::from_utf8_lossy(body).into_owned());
    Ok((status, body, client.is_reusable()))
}

#[test]
fn connection_is_used_again_after_body_was_read() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let request = "GET /a HTTP/1.1\r\nhost: d\r\n\r\n";
    let mut peer = Peer::new([Step::Until(request), Step::Send(response.into()), Step::Send(response.into())]);
    let outcome = with(&mut peer, async |client| [get(client).await, get(client).await]);
    assert_eq!(outcome, [Ok((200, "hello".into(), true)), Ok((200, "hello".into(), true))]);
    assert_eq!(peer.text(), request.repeat(2));
}

#[test]
fn connection_is_not_used_again_after_what_ends_it() {
    for response in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK",
    ] {
        let outcome = with(&mut Peer::sending(response), async |client| (get(client).await, get(client).await));
        assert_eq!(outcome.0, Ok((200, "hello".into(), false)), "{response}");
        assert_eq!(outcome.1, Err(Error::Local(LocalError::State)), "{response}");
    }
    // The body was not read.
    let mut peer = Peer::sending("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    with(&mut peer, async |client| {
        client.request(Method::Get, "/", "d", &[], Framing::None).await.unwrap().response().await.unwrap();
        assert!(!client.is_reusable());
    });
}

#[test]
fn request_has_its_body_in_chunks_or_a_length() {
    let response = Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let mut peer = Peer::new([response.clone(), response.clone(), response]);
    with(&mut peer, async |client| -> Result<(), Error<Infallible>> {
        let mut call = client.request(Method::Put, "/b", "d", &[("x", "y")], Framing::Length(5)).await?;
        call.body().write(b"hel").await?;
        call.body().write(b"lo").await?;
        assert_eq!(call.response().await?.head().status(), 204);
        let mut call = client.request(Method::Post, "/c", "d", &[("host", "e")], Framing::Chunked).await?;
        call.body().write_chunk(b"hello", &[("seq", "1").into()]).await?;
        call.body().flush().await?;
        call.body().finish(&[], &[("digest", "9")]).await?;
        assert_eq!(call.response().await?.head().status(), 204);
        let call = client.request(Method::Post, "/d", "", &[("connection", "close")], Framing::None).await?;
        assert_eq!(call.response().await?.head().status(), 204);
        assert!(!client.is_reusable());
        Ok(())
    })
    .unwrap();
    let expected = "PUT /b HTTP/1.1\r\nhost: d\r\nx: y\r\ncontent-length: 5\r\n\r\nhello\
        POST /c HTTP/1.1\r\nhost: e\r\ntransfer-encoding: chunked\r\n\r\n5;seq=1\r\nhello\r\n0\r\ndigest: 9\r\n\r\n\
        POST /d HTTP/1.1\r\nhost: \r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(peer.text(), expected);
}

#[test]
fn body_shorter_than_announced_is_never_a_request() {
    with(&mut Peer::sending("HTTP/1.1 200 OK\r\n\r\n"), async |client| {
        let mut call = client.request(Method::Put, "/", "d", &[], Framing::Length(5)).await.unwrap();
        call.body().write(b"hell").await.unwrap();
        assert_eq!(call.body().write(b"oo").await, Err(Error::Local(LocalError::BodyTooLong)));
        assert_eq!(call.response().await.unwrap_err(), Error::Local(LocalError::BodyTooShort));
        assert!(!client.is_reusable());
    });
}

#[test]
fn request_that_cannot_be_sent_leaves_the_connection_as_it_was() {
    let long = "x".repeat(300);
    with(&mut Peer::sending("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), async |client| {
        for (method, target, host, fields, framing, error) in [
            (Method::Connect, "d:1", "d", [("a", "b")], Framing::None, LocalError::Method),
            (Method::Get, "a", "d", [("a", "b")], Framing::None, LocalError::Target),
            (Method::Get, "/", "d/", [("a", "b")], Framing::None, LocalError::FieldValue),
            (Method::Get, "/", "d", [("a", "b\r\n")], Framing::None, LocalError::FieldValue),
            (Method::Get, "/", "d", [("upgrade", "b")], Framing::None, LocalError::FieldNotAllowed),
            (Method::Get, "/", "d", [("a", long.as_str())], Framing::None, LocalError::BufferTooSmall),
            (Method::Get, "/", "d", [("a", "b")], Framing::UntilClose, LocalError::BodyNotAllowed),
            (Method::Trace, "/", "d", [("a", "b")], Framing::Length(1), LocalError::BodyNotAllowed),
        ] {
            let refused = client.request(method, target, host, &fields, framing).await.unwrap_err();
            assert_eq!(refused, Error::Local(error));
            assert!(client.is_reusable());
        }
        assert_eq!(get(client).await, Ok((200, String::new(), true)));
    });
}

#[test]
fn body_waits_for_continue_where_it_was_asked_for() {
    let expect = [("expect", "100-continue")];
    let steps = [
        Step::Until("expect: 100-continue\r\ncontent-length: 5\r\n\r\n"),
        Step::Send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Step::Until("hello"),
        Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
    ];
    with(&mut Peer::new(steps), async |client| {
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Length(5)).await.unwrap();
        assert_eq!(call.may_send_body().await, Ok(true));
        call.body().write(b"hello").await.unwrap();
        assert_eq!(call.response().await.unwrap().head().status(), 204);
        assert!(client.is_reusable());
    });

    let mut peer = Peer::sending("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    with(&mut peer, async |client| {
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Length(5)).await.unwrap();
        assert_eq!(call.may_send_body().await, Ok(false));
        assert_eq!(call.response().await.unwrap().head().status(), 413);
        assert!(!client.is_reusable(), "the server does not know whether the body follows");
    });
}

#[test]
fn end_of_a_body_is_sent_even_if_its_response_came_early() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let steps = [
        Step::Until("chunked\r\n\r\n"),
        Step::Send(early.into()),
        Step::Until("GET"),
        Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
    ];
    let mut peer = Peer::new(steps);
    with(&mut peer, async |client| {
        let expect = [("expect", "100-continue")];
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Chunked).await.unwrap();
        assert_eq!(call.may_send_body().await, Ok(true));
        call.body().write(b"hello").await.unwrap();
        assert_eq!(call.response().await.unwrap().head().status(), 204);
        assert_eq!(get(client).await, Ok((204, String::new(), true)));
    });
    assert!(peer.text().contains("\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /a HTTP/1.1"), "{}", peer.text());
}

#[test]
fn connection_that_lost_the_end_of_a_body_is_not_used_again() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let steps = [Step::Until("length: 5\r\n\r\n"), Step::Send(early.into()), Step::Full];
    with(&mut Peer::new(steps), async |client| {
        let expect = [("expect", "100-continue")];
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Length(5)).await.unwrap();
        assert_eq!(call.may_send_body().await, Ok(true));
        call.body().write(b"hello").await.unwrap();
        assert_eq!(call.response().await.unwrap().head().status(), 204);
        assert!(client.is_reusable());
        assert_eq!(get(client).await, Err(Error::Timeout));
        assert!(!client.is_reusable());
    });
}

#[test]
fn connection_that_lost_data_of_a_body_is_not_used_again() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let steps = [Step::Until("length: 300\r\n\r\n"), Step::Send(early.into()), Step::Busy];
    let mut peer = Peer::new(steps);
    with(&mut peer, async |client| {
        let expect = [("expect", "100-continue")];
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Length(300)).await.unwrap();
        assert_eq!(call.may_send_body().await, Ok(true));
        assert_eq!(call.body().write(&[b'x'; 300]).await, Err(Error::Timeout));
        assert_eq!(call.response().await.unwrap().head().status(), 204);
        assert!(!client.is_reusable());
    });
}

#[test]
fn server_that_takes_too_long_is_a_timeout() {
    let options = Options { progress: std::time::Duration::from_secs(3), ..OPTIONS };
    let pauses = std::iter::repeat_n(Step::Pause, 9);
    let mut peer = Peer::new(pauses);
    let mut memory = Sizes::new();
    let mut client = Client::new(&mut peer, &Seconds, memory.buffers(), &options);
    assert_eq!(run(get(&mut client)), Err(Error::Timeout));
    assert!(!client.is_reusable());
}

#[test]
fn unsolicited_switch_of_protocols_is_refused() {
    let peer = Peer::sending("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
    let refused = Error::Peer(Fault::UnexpectedUpgrade.into());
    assert_eq!(with(&mut peer.clone(), async |client| get(client).await), Err(refused));
    with(&mut peer.clone(), async |client| {
        let expect = [("expect", "100-continue")];
        let mut call = client.request(Method::Put, "/", "d", &expect, Framing::Length(5)).await.unwrap();
        assert_eq!(call.may_send_body().await, Err(refused));
    });
}
