//! The server, against exact bytes.

use std::convert::Infallible;
use std::time::Duration;

use degu_wire::chunk::Event;
use degu_wire::embedded::{Buffers, Clock, End, Error, Line, Options, Request, Server};
use degu_wire::head::{FieldSpan, parse_trailers};
use degu_wire::{Fault, Framing, Limits, LocalError, RemoteError};
use embedded_io_async::{Read, Write};

use super::kit::{OPTIONS, Peer, Seconds, Sizes, Step, run};

type Outcome = Result<End<Infallible>, Error<Infallible>>;

/// Serves a peer in the usual buffers.
fn serve(
    peer: &mut Peer,
    handler: impl AsyncFnMut(&mut Request<'_, Peer, Seconds>) -> Result<(), Error<Infallible>>,
) -> Outcome {
    run(Server::new(Sizes::new().buffers(), &OPTIONS).serve(peer, &Seconds, handler))
}

/// Answers with the method, the target and the body.
async fn tell(request: &mut Request<'_, Peer, Seconds>) -> Result<(), Error<Infallible>> {
    let mut body = [0; 512];
    let body = request.body().read_all(&mut body).await?;
    let head = request.head();
    let text = format!("{} {} {}", head.method(), head.target(), String::from_utf8_lossy(body));
    request.reply(200, &[("x", "y")], text.as_bytes()).await
}

fn refused(fault: Fault) -> Outcome {
    Ok(End::Refused(Error::Peer(fault.into())))
}

/// The status lines that a peer got.
fn statuses(peer: &Peer) -> Vec<u16> {
    let text = peer.text();
    text.match_indices("HTTP/1.1 ").map(|(at, start)| text[at + start.len()..][..3].parse().unwrap()).collect()
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: d\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";

fn put(length: usize) -> String {
    format!("PUT / HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn requests_are_answered_one_after_the_other() {
    for most in [1, 3, usize::MAX] {
        let mut peer = Peer::sending(format!("{GET}{}hello{GET}", put(5))).at_most(most);
        assert_eq!(serve(&mut peer, tell), Ok(End::Done));
        let expected = "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 7\r\n\r\nGET /a HTTP/1.1 200 OK\r\nx: y\r\n\
            content-length: 11\r\n\r\nPUT / helloHTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 7\r\n\r\nGET /a ";
        assert_eq!(peer.text(), expected);
    }
}

#[test]
fn response_is_on_its_way_before_next_request_is_waited_for() {
    let steps =
        [Step::Send(GET.into()), Step::Until("GET /a "), Step::Send(GET.into()), Step::Until("GET /a HTTP/1.1 200")];
    let mut peer = Peer::new(steps);
    assert_eq!(serve(&mut peer, tell), Ok(End::Done));
    assert!(peer.is_done());
}

#[test]
fn nothing_is_sent_after_a_write_that_failed() {
    for framing in [Framing::Length(300), Framing::Chunked] {
        let mut peer = Peer::new([Step::Send(GET.repeat(2).into()), Step::Busy]);
        let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
            let lost = request.respond(200, &[], framing).await?.write(&[b'x'; 300]).await;
            assert_eq!(lost, Err(Error::Timeout));
            Ok(())
        });
        assert_eq!((outcome, peer.text().as_str()), (Err(Error::Local(LocalError::State)), ""));
    }
}

#[test]
fn response_longer_than_the_output_buffer_is_flushed() {
    let body = format!("{}the end", "x".repeat(5000));
    let mut peer = Peer::new([Step::Send(GET.into()), Step::Until("the end")]);
    let outcome =
        serve(&mut peer, async |request: &mut Request<'_, _, _>| request.reply(200, &[], body.as_bytes()).await);
    assert_eq!(outcome, Ok(End::Done));
    assert!(peer.is_done());
}

#[test]
fn chunks_have_their_extensions_and_trailers_both_ways() {
    let body = "5;seq=1\r\nhello\r\n3\r\nbye\r\n0;done\r\nDigest: 9\r\n\r\n";
    for most in [1, usize::MAX] {
        let mut peer = Peer::sending(format!("{CHUNKED}{body}")).at_most(most);
        let mut log = String::new();
        let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
            while let Some(event) = request.body().next_event().await? {
                log += &match event {
                    Event::Chunk { size, extensions } => {
                        format!("[{size}{}]", String::from_utf8_lossy(extensions.as_bytes()))
                    }
                    Event::Data(data) => String::from_utf8_lossy(data).into_owned(),
                    Event::LastChunk { extensions } => format!("[0{}]", String::from_utf8_lossy(extensions.as_bytes())),
                    Event::End { trailers } => {
                        let mut slots = [FieldSpan::EMPTY; 4];
                        let trailers = parse_trailers(trailers, &mut slots, &Limits::DEFAULT)?;
                        format!("[digest {:?}]", trailers.get("digest").map(String::from_utf8_lossy))
                    }
                };
            }
            let mut body = request.respond(200, &[], Framing::Chunked).await?;
            body.write_chunk(b"first", &[("seq", "1").into(), "mark".into()]).await?;
            body.write(b"second").await?;
            body.finish(&[("end", "a b").into()], &[("digest", "8")]).await
        });
        assert_eq!(outcome, Ok(End::Done));
        assert_eq!(log, "[5;seq=1]hello[3]bye[0;done][digest Some(\"9\")]");
        let expected = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;seq=1;mark\r\nfirst\r\n6\r\nsecond\r\n\
            0;end=\"a b\"\r\ndigest: 8\r\n\r\n";
        assert_eq!(peer.text(), expected);
    }
}

#[test]
fn body_longer_than_all_buffers_passes_through() {
    let body = "0123456789".repeat(1000);
    let mut peer = Peer::sending(format!("{}{body}{GET}", put(body.len()))).at_most(100);
    let mut length = 0;
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        let mut piece = [0; 64];
        request.respond(200, &[], request.head().framing()).await?;
        loop {
            match request.body().read(&mut piece).await? {
                0 => return Ok(()),
                read => request.response_body().write(&piece[..read]).await?,
            }
            length += 1;
        }
    });
    assert_eq!(outcome, Ok(End::Done));
    assert!(peer.text().contains(&body) && statuses(&peer) == [200, 200] && length >= 10_000 / 64);
}

#[test]
fn bodies_are_readers_and_writers() {
    let mut peer = Peer::sending(format!("{CHUNKED}5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n"));
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        let mut text = [0; 9];
        Read::read_exact(&mut request.body(), &mut text).await.expect("so many bytes");
        assert_eq!(Read::read(&mut request.body(), &mut [0; 4]).await, Ok(0));
        let mut body = request.respond(200, &[], Framing::Length(9)).await?;
        Write::write_all(&mut body, &text).await?;
        Write::flush(&mut body).await
    });
    assert_eq!(outcome, Ok(End::Done));
    assert_eq!(peer.text(), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello you");
}

#[test]
fn chunked_body_ends_without_finish_unless_the_handler_fails() {
    let mut peer = Peer::sending(GET);
    let feed =
        async |request: &mut Request<'_, _, _>| request.respond(200, &[], Framing::Chunked).await?.write(b"news").await;
    assert_eq!(serve(&mut peer, feed), Ok(End::Done));
    assert!(peer.text().ends_with("4\r\nnews\r\n0\r\n\r\n"));

    let mut peer = Peer::sending(GET);
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        feed(request).await?;
        Err(LocalError::State.into())
    });
    assert_eq!(outcome, Err(Error::Local(LocalError::State)));
    assert!(!peer.text().contains("0\r\n\r\n"));
}

#[test]
fn announced_length_is_kept() {
    for (length, error) in [(4, LocalError::BodyTooLong), (6, LocalError::BodyTooShort)] {
        let mut peer = Peer::sending(GET);
        let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
            request.respond(200, &[], Framing::Length(length)).await?.write(b"hello").await
        });
        assert_eq!(outcome, Err(Error::Local(error)));
    }
}

#[test]
fn head_gets_framing_and_no_body() {
    let mut peer = Peer::sending("HEAD / HTTP/1.1\r\nHost: d\r\n\r\n".repeat(2));
    let mut is_first = true;
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        if core::mem::take(&mut is_first) {
            return request.reply(200, &[], b"hello").await;
        }
        let mut body = request.respond(200, &[], Framing::Chunked).await?;
        body.write(b"hello").await?;
        body.write_chunk(b"hello", &["a".into()]).await?;
        body.finish(&[], &[("digest", "1")]).await
    });
    assert_eq!(outcome, Ok(End::Done));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(peer.text(), expected);
}

#[test]
fn http10_gets_no_chunks_and_keeps_what_has_a_length() {
    let ask = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let mut peer = Peer::sending(format!("{ask}{ask}{ask}"));
    let mut count = 0;
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        count += 1;
        if count == 1 {
            return request.reply(200, &[], b"one").await;
        }
        let mut body = request.respond(200, &[], Framing::Chunked).await?;
        body.write_chunk(b"two", &["a".into()]).await?;
        body.finish(&[], &[("digest", "1")]).await
    });
    assert_eq!((outcome, count), (Ok(End::Done), 2));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\none\
        HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ntwo";
    assert_eq!(peer.text(), expected);
}

#[test]
fn handler_can_end_the_connection() {
    for by_field in [false, true] {
        let mut peer = Peer::sending(GET.repeat(2));
        let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
            if by_field {
                return request.reply(204, &[("connection", "close")], b"").await;
            }
            request.end_connection();
            request.reply(204, &[], b"").await
        });
        assert_eq!(outcome, Ok(End::Done));
        assert_eq!(peer.text(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    }
}

#[test]
fn continue_is_sent_when_the_body_is_asked_for() {
    let head = put(5).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let mut peer =
        Peer::new([Step::Send(head.clone().into()), Step::Until("100 Continue"), Step::Send("hello".into())]);
    assert_eq!(serve(&mut peer, tell), Ok(End::Done));
    assert_eq!(statuses(&peer), [100, 200]);

    // Not where the body comes along, nor where the response is sent without it: then the connection ends.
    let mut peer = Peer::sending(format!("{head}hello{GET}"));
    assert_eq!(serve(&mut peer, tell), Ok(End::Done));
    assert_eq!(statuses(&peer), [200, 200]);

    let mut peer = Peer::new([Step::Send(head.into()), Step::Until("close"), Step::Send(format!("hello{GET}").into())]);
    let refuse = async |request: &mut Request<'_, _, _>| request.reply(403, &[], b"").await;
    assert_eq!(serve(&mut peer, refuse), Ok(End::Done));
    assert_eq!(statuses(&peer), [403]);
    assert!(peer.is_done(), "what still came was read and dropped");
}

#[test]
fn body_that_was_not_read_is_read_over_if_it_is_short() {
    let ignore = async |request: &mut Request<'_, _, _>| request.reply(200, &[], b"").await;
    for (input, answered) in [
        (format!("{}{}{GET}", put(600), "x".repeat(600)), 2),
        (format!("{}{}{GET}", put(20_000), "x".repeat(20_000)), 1),
        (format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n{GET}"), 2),
        (format!("{CHUNKED}4e20\r\n{}\r\n0\r\n\r\n{GET}", "x".repeat(20_000)), 1),
        (format!("{CHUNKED}nonsense{GET}"), 1),
    ] {
        let mut peer = Peer::sending(&input);
        assert_eq!(serve(&mut peer, ignore), Ok(End::Done), "{}", &input[..80]);
        assert_eq!(statuses(&peer).len(), answered, "{}", &input[..80]);
        assert!(peer.is_done());
    }
}

#[test]
fn sizes_of_the_buffers_are_limits() {
    let long = "x".repeat(2000);
    for (input, fault, status) in [
        (format!("GET /{long} HTTP/1.1\r\n"), Fault::TargetTooLong, 414),
        (format!("GET / HTTP/1.1\r\na: {long}\r\n"), Fault::HeadTooLarge, 431),
        (format!("GET / HTTP/1.1\r\nHost: d\r\n{}\r\n", "a: b\r\n".repeat(16)), Fault::TooManyFields, 431),
        (format!("{}{long}", put(2000)), Fault::BodyTooLarge, 413),
        (format!("{CHUNKED}7d0\r\n{long}\r\n0\r\n\r\n"), Fault::BodyTooLarge, 413),
        (format!("{CHUNKED}1;{long}\r\n"), Fault::ChunkLineTooLong, 400),
        (format!("{CHUNKED}0\r\na: {long}\r\n\r\n"), Fault::TrailersTooLarge, 431),
        (format!("{CHUNKED}0\r\n{}\r\n", "a: b\r\n".repeat(15)), Fault::TooManyFields, 431),
    ] {
        for most in [1, 50, usize::MAX] {
            let mut peer = Peer::sending(&input).at_most(most);
            let outcome = serve(&mut peer, tell);
            assert!(matches!(outcome, Ok(End::Refused(Error::Peer(error))) if error.fault == fault), "{outcome:?}");
            assert_eq!(statuses(&peer), [status]);
            assert!(peer.text().ends_with("content-length: 0\r\nconnection: close\r\n\r\n"));
            assert!(peer.is_done());
        }
    }
}

#[test]
fn methods_that_are_not_served_are_501() {
    for method in ["TRACE", "CONNECT"] {
        let mut peer = Peer::sending(format!("{method} / HTTP/1.1\r\nHost: d\r\n\r\n"));
        assert_eq!(serve(&mut peer, tell), refused(Fault::MethodNotImplemented));
        assert_eq!(statuses(&peer), [501]);
    }
}

#[test]
fn input_that_ends_within_a_message_is_refused() {
    for (input, fault) in [
        (&GET[..GET.len() - 1], Fault::TruncatedHead),
        (&format!("{}hell", put(5)), Fault::TruncatedBody),
        (&format!("{CHUNKED}5\r\nhello\r\n0\r\n"), Fault::TruncatedBody),
    ] {
        let mut peer = Peer::sending(input);
        assert_eq!(serve(&mut peer, tell), refused(fault));
        assert_eq!(statuses(&peer), [400]);
    }
    for nothing in ["", "\r\n", "\r\n\r\n\r"] {
        let mut peer = Peer::sending(nothing);
        assert_eq!((serve(&mut peer, tell), peer.text().as_str()), (Ok(End::Done), ""));
    }
}

#[test]
fn handler_that_reads_after_a_fault_gets_it_again() {
    let mut peer = Peer::sending(format!("{CHUNKED}5\r\nhello?"));
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        let mut buffer = [0; 16];
        assert!(request.body().read_all(&mut buffer).await.is_err());
        assert_eq!(request.body().read(&mut buffer).await, Err(Error::Peer(RemoteError::at(Fault::ChunkEnd, 0))));
        request.reply(400, &[], b"as you like").await
    });
    assert_eq!(outcome, Ok(End::Done));
    assert!(peer.text().ends_with("as you like"));
}

#[test]
fn slow_head_gets_408_and_idle_client_gets_no_response() {
    let pauses = |count| std::iter::repeat_n(Step::Pause, count);
    let mut peer =
        Peer::new([Step::Send(GET[..9].into())].into_iter().chain(pauses(11)).chain([Step::Send(GET[9..].into())]));
    assert_eq!(serve(&mut peer, tell), Ok(End::Refused(Error::Timeout)));
    assert_eq!(statuses(&peer), [408]);

    let mut peer = Peer::new(pauses(16).chain([Step::Send(GET.into())]));
    assert_eq!((serve(&mut peer, tell), peer.text().as_str()), (Ok(End::Done), ""));

    // A byte a second has eleven seconds, however many there are of them.
    let drip = GET.bytes().flat_map(|byte| [Step::Send(vec![byte]), Step::Pause]);
    let mut peer = Peer::new(drip);
    assert_eq!(serve(&mut peer, tell), Ok(End::Refused(Error::Timeout)));
}

#[test]
fn body_that_drips_is_408_and_one_that_makes_progress_is_not() {
    let drip = |bytes: usize| {
        let pieces = (0..512 / bytes).flat_map(move |_| [Step::Pause, Step::Send(vec![b'x'; bytes])]);
        Peer::new([Step::Send(put(512).into())].into_iter().chain(pieces))
    };
    let mut peer = drip(4);
    assert_eq!(serve(&mut peer, tell), Ok(End::Refused(Error::Timeout)));
    assert_eq!(statuses(&peer), [408]);
    let mut peer = drip(128);
    assert_eq!(serve(&mut peer, tell), Ok(End::Done));
    assert_eq!(statuses(&peer), [200]);
}

#[test]
fn peer_that_never_stops_sending_is_read_for_a_limited_time() {
    let endless = (0..100).flat_map(|_| [Step::Send(b"x".to_vec()), Step::Pause]);
    let mut peer = Peer::new([Step::Send(b"\0".to_vec())].into_iter().chain(endless));
    assert_eq!(serve(&mut peer, tell), refused(Fault::LeadingBytes));
    assert!(!peer.is_done());
}

#[test]
fn peer_whose_bytes_are_always_there_is_read_for_a_limited_time() {
    /// A clock on which each wait takes a second, even if the bytes are already there.
    struct Busy;

    impl Clock for Busy {
        async fn limit<F: Future>(&self, left: &mut Duration, future: F) -> Option<F::Output> {
            let output = Seconds.limit(left, future).await;
            *left = left.saturating_sub(Duration::from_secs(1));
            output
        }
    }

    let mut peer = Peer::sending([0; 100]).at_most(1);
    let handler = async |_: &mut Request<'_, _, _>| Ok(());
    let outcome = run(Server::new(Sizes::new().buffers(), &OPTIONS).serve(&mut peer, &Busy, handler));
    assert_eq!(outcome, refused(Fault::LeadingBytes));
    assert!(!peer.is_done());
}

#[test]
fn handler_without_response_is_500() {
    let mut peer = Peer::sending(GET);
    let outcome = serve(&mut peer, async |_: &mut Request<'_, _, _>| Ok(()));
    assert_eq!(outcome, Ok(End::Refused(Error::Local(LocalError::State))));
    assert_eq!(statuses(&peer), [500]);
}

#[test]
fn response_that_cannot_be_sent_leaves_room_for_another() {
    let mut peer = Peer::sending(GET);
    let outcome = serve(&mut peer, async |request: &mut Request<'_, _, _>| {
        let long = "x".repeat(300);
        for (status, fields, framing, error) in [
            (200, [("a", long.as_str())], Framing::None, LocalError::BufferTooSmall),
            (200, [("a", "b\r\nc: d")], Framing::None, LocalError::FieldValue),
            (200, [("a b", "c")], Framing::None, LocalError::FieldName),
            (200, [("content-length", "7")], Framing::Length(5), LocalError::ContentLength),
            (200, [("connection", "upgrade")], Framing::None, LocalError::FieldNotAllowed),
            (204, [("a", "b")], Framing::Length(5), LocalError::BodyNotAllowed),
            (100, [("a", "b")], Framing::None, LocalError::Status),
        ] {
            assert_eq!(request.respond(status, &fields, framing).await.unwrap_err(), Error::Local(error));
        }
        let mut body = request.respond(200, &[], Framing::Chunked).await?;
        let extensions = [("a", "\0").into()];
        assert_eq!(body.write_chunk(b"x", &extensions).await, Err(Error::Local(LocalError::ChunkExtension)));
        assert_eq!(body.write_chunk(b"", &[]).await, Err(Error::Local(LocalError::ChunkLength)));
        assert_eq!(body.finish(&[], &[("host", "d")]).await, Err(Error::Local(LocalError::TrailerForbidden)));
        assert_eq!(request.respond(200, &[], Framing::None).await.unwrap_err(), Error::Local(LocalError::State));
        request.response_body().write(b"x").await
    });
    assert_eq!(outcome, Ok(End::Done));
    assert_eq!(peer.text(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
}

#[test]
fn no_size_of_a_buffer_is_too_small_to_end() {
    let input = format!("{}hello{CHUNKED}5;a=b\r\nhello\r\n0\r\nc: d\r\n\r\n{GET}", put(5));
    let (mut bytes, mut output, mut fields) = ([0; 200], [0; 200], [FieldSpan::EMPTY; 4]);
    let mut answered = 0;
    for (size, out, slots) in (0..200).flat_map(|size| [(size, 200, 4), (200, size, 4), (200, 200, size % 5)]) {
        let buffers = Buffers { input: &mut bytes[..size], fields: &mut fields[..slots], output: &mut output[..out] };
        let mut peer = Peer::sending(&input).at_most(7);
        let outcome = run(Server::new(buffers, &OPTIONS).serve(&mut peer, &Seconds, tell));
        answered += usize::from(statuses(&peer) == [200, 200, 200]);
        assert!(outcome.is_err() || peer.is_done() || outcome == Ok(End::Done), "{size}: {outcome:?}");
    }
    assert!(answered > 200, "{answered} were served in full");
}

#[test]
fn line_is_in_step_again_after_a_pause() {
    let options = Options { linger: Duration::from_secs(9), ..OPTIONS };
    let garbage = [
        (&b"\0\x01\xff noise"[..], 400),
        (&GET.as_bytes()[..12], 400),
        (b"PUT / HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nhe", 400),
        (b"GET / HTTP/9.9\r\nHost: d\r\n\r\nGET /more HTTP/1.1\r\nHost: d\r\n\r\n", 505),
    ];
    for (garbage, status) in garbage {
        let steps =
            [Step::Send(GET.into()), Step::Send(garbage.into()), Step::Pause, Step::Pause, Step::Send(GET.into())];
        let mut peer = Peer::new(steps);
        let mut line = Line::new(&mut peer, &Seconds, Duration::from_millis(500));
        let mut memory = Sizes::new();
        let mut server = Server::new(memory.buffers(), &options);
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            outcomes.push(run(server.serve(&mut line, &Seconds, tell_line)).unwrap());
        }
        assert!(matches!(outcomes[..], [End::Refused(_), End::Done]), "{outcomes:?}");
        assert_eq!(statuses(&peer), [200, status, 200], "{}", peer.text());
    }
}

#[test]
fn line_drops_what_follows_the_last_request_of_a_connection() {
    let last = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let steps = [Step::Send(last.into()), Step::Send(GET.into()), Step::Pause, Step::Pause, Step::Send(GET.into())];
    let mut peer = Peer::new(steps);
    let mut line = Line::new(&mut peer, &Seconds, Duration::from_millis(500));
    let mut memory = Sizes::new();
    let mut server = Server::new(memory.buffers(), &OPTIONS);
    assert_eq!(run(server.serve(&mut line, &Seconds, tell_line)), Ok(End::Done));
    assert_eq!(run(line.wait_for_pause()), Ok(()));
    assert_eq!(run(server.serve(&mut line, &Seconds, tell_line)), Ok(End::Done));
    assert_eq!(statuses(&peer), [200, 200]);
}

async fn tell_line(request: &mut Request<'_, Line<'_, Peer, Seconds>, Seconds>) -> Result<(), Error<Infallible>> {
    let mut body = [0; 512];
    request.body().read_all(&mut body).await?;
    request.reply(200, &[], b"").await
}

#[test]
fn errors_say_what_happened() {
    let errors = [Error::Local(LocalError::State), Error::Timeout, Error::Peer(Fault::Host.into())];
    assert_eq!(errors.map(|error: Error<Infallible>| error.status()), [Some(500), Some(408), Some(400)]);
    assert_eq!(Error::<std::io::ErrorKind>::Io(std::io::ErrorKind::Other).status(), None);
    assert_eq!(
        Error::<Infallible>::Timeout.to_string(),
        "the peer took longer than the options allow (`head` or `progress`)"
    );
}
