//! The drivers for microcontrollers next to the machines: the same input, cut the same way, has the same outcome, to the byte.

use std::task::Poll;

use degu_wire::embedded::{Client, Error, Exchange, Memory, Options, Server};
use degu_wire::machine::{self, Connection, Content};
use degu_wire::{Fault, Framing, Headers, Limits, Method, Part, RemoteError};
use proptest::prelude::*;

use super::kit::{Peer, Seconds, run};
use crate::corpus;

/// With so many bytes of input a head has at most three quarters of it, and the limits below say the same to the machine.
const INPUT: usize = 2048;
const LIMITS: Limits = Limits {
    max_head: INPUT / 4 * 3,
    max_fields: 24,
    max_chunk_line: INPUT / 4,
    max_trailers: INPUT / 4,
    // Trailers have the slots that the head left, which no limit of the machine can say.
    max_trailer_fields: 8,
    ..Limits::DEFAULT
};
const MAX_BODY: usize = 4096;

/// All that an echo of the embedded driver sends for this input, which comes in pieces of `most` bytes.
fn embedded_echo(input: &[u8], most: usize) -> String {
    let options = Options { limits: LIMITS, ..Options::DEFAULT };
    let mut peer = Peer::sending(input).at_most(most);
    let mut memory = Memory::<INPUT, 32, 8192>::new();
    let mut body = [0; MAX_BODY];
    let echo = async |exchange: &mut Exchange<'_, _, _>| {
        let body = exchange.read_all(&mut body).await?;
        exchange.reply(200, &[], body).await
    };
    run(Server::new(memory.buffers(), &options).serve(&mut peer, &Seconds, echo)).expect("it is refused or done");
    peer.text()
}

/// All that an echo of the machine sends.
fn machine_echo(input: &[u8], most: usize) -> String {
    let mut server = Connection::<machine::Server>::new(LIMITS);
    let mut pieces = input.chunks(most);
    // The body of the request that is being read.
    let mut body: Option<Vec<u8>> = None;
    let mut sent = Vec::new();
    let fault = loop {
        let step = match &body {
            None => server.poll_request().map(|polled| polled.map(|head| head.map(Step::Head))),
            Some(_) => server.poll_part().map(|polled| polled.map(|part| Some(Step::Part(part)))),
        };
        match step {
            Err(fault) => break Some(fault),
            Ok(Poll::Ready(None)) => break None,
            Ok(Poll::Ready(Some(Step::Head(head)))) => match (head.method(), head.framing()) {
                (Method::Trace | Method::Connect, _) => break Some(Fault::MethodNotImplemented.into()),
                (_, Framing::Length(length)) if length > MAX_BODY as u64 => break Some(Fault::BodyTooLarge.into()),
                _ => body = Some(Vec::new()),
            },
            Ok(Poll::Ready(Some(Step::Part(Some(part))))) => {
                if let (Some(body), Part::Data(data) | Part::Chunk { data, .. }) = (&mut body, part) {
                    body.extend_from_slice(&data);
                    if body.len() > MAX_BODY {
                        break Some(Fault::BodyTooLarge.into());
                    }
                }
            }
            Ok(Poll::Ready(Some(Step::Part(None)))) => {
                let body = body.take().filter(|body| !body.is_empty());
                let content = body.map_or(Content::None, |body| Content::Bytes(body.into()));
                server.respond(200, "OK", &Headers::new(), content, None).expect("an answer");
            }
            Ok(Poll::Pending) => {
                sent.extend(server.pending().concat());
                server.transmitted(server.pending().bytes());
                match pieces.next() {
                    Some(piece) => server.receive_buffer().extend_from_slice(piece),
                    None => server.receive_eof(),
                }
            }
        }
    };
    if let Some(fault) = fault {
        server.refuse(fault.status(), "text/plain", "");
    }
    sent.extend(server.pending().concat());
    String::from_utf8_lossy(&sent).into_owned()
}

/// What a machine gave.
enum Step {
    Head(machine::RequestHead),
    Part(Option<Part>),
}

/// A response as a client gets it: its status, its body, and whether another request can follow.
type Response = Result<(u16, Vec<u8>, bool), RemoteError>;

fn embedded_response(method: Method<'_>, ranged: bool, input: &[u8], most: usize) -> Response {
    let options = Options { limits: LIMITS, ..Options::DEFAULT };
    let mut peer = Peer::sending(input).at_most(most);
    let mut memory = Memory::<INPUT, 32, 256>::new();
    let mut client = Client::new(&mut peer, &Seconds, memory.buffers(), &options);
    let outcome = run(async {
        let fields = if ranged { &[("range", "bytes=0-4")][..] } else { &[] };
        let mut response = client.request(method, "/", "d", fields, Framing::None).await?.response().await?;
        let mut body = vec![0; 64 * 1024];
        Ok((response.head().status(), response.read_all(&mut body).await?.to_vec()))
    });
    match outcome {
        Ok((status, body)) => Ok((status, body, client.is_reusable())),
        Err(Error::Peer(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

fn machine_response(method: Method<'_>, ranged: bool, input: &[u8], most: usize) -> Response {
    let mut client = Connection::<machine::Client>::new(LIMITS);
    let mut headers = Headers::new();
    if ranged {
        headers.set("range", "bytes=0-4").unwrap();
    }
    client.request(method, "/", "d", &headers, Content::None).unwrap();
    client.transmitted(client.pending().bytes());
    let mut pieces = input.chunks(most);
    let mut more = |client: &mut Connection<machine::Client>| match pieces.next() {
        Some(piece) => client.receive_buffer().extend_from_slice(piece),
        None => client.receive_eof(),
    };
    let status = loop {
        match client.poll_response()? {
            Poll::Ready(head) => break head.status(),
            Poll::Pending => more(&mut client),
        }
    };
    let mut body = Vec::new();
    loop {
        match client.poll_part()? {
            Poll::Ready(None) => return Ok((status, body, client.is_reusable())),
            Poll::Ready(Some(Part::Data(data) | Part::Chunk { data, .. })) => body.extend_from_slice(&data),
            Poll::Ready(Some(Part::Last { .. })) => {}
            Poll::Pending => more(&mut client),
        }
    }
}

fn inputs(text: &str) -> Vec<Vec<u8>> {
    corpus::parse(text).iter().map(corpus::Case::input).filter(|input| input.len() <= INPUT).collect()
}

fn requests() -> Vec<Vec<u8>> {
    let heads = [inputs(include_str!("../corpus/requests.txt")), inputs(include_str!("../corpus/connections.txt"))];
    let chunked = inputs(include_str!("../corpus/chunks.txt")).into_iter();
    let head = b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n";
    heads.concat().into_iter().chain(chunked.map(|body| [&head[..], &body].concat())).collect()
}

fn responses() -> Vec<Vec<u8>> {
    let heads = inputs(include_str!("../corpus/responses.txt")).into_iter();
    let chunked = inputs(include_str!("../corpus/chunks.txt")).into_iter();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    heads.chain(chunked.map(|body| [&head[..], &body].concat())).collect()
}

#[test]
fn servers_answer_alike_however_input_is_cut() {
    for input in requests() {
        for most in (1..=input.len().min(80)).chain([INPUT]) {
            let (embedded, machine) = (embedded_echo(&input, most), machine_echo(&input, most));
            assert_eq!(embedded, machine, "{most} bytes at a time: {}", corpus::escaped(&input));
        }
    }
}

#[test]
fn clients_read_alike_however_input_is_cut() {
    for input in responses() {
        for most in (1..=input.len().min(80)).chain([INPUT]) {
            for (method, ranged) in [(Method::Get, false), (Method::Get, true), (Method::Head, false)] {
                let embedded = embedded_response(method, ranged, &input, most);
                let machine = machine_response(method, ranged, &input, most);
                assert_eq!(embedded, machine, "{method} {ranged} {most}: {}", corpus::escaped(&input));
            }
        }
    }
}

/// Some inputs after each other, with a few bytes changed.
fn damaged(inputs: fn() -> Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let picked = prop::collection::vec(prop::sample::select(inputs()), 1..4);
    let changes = prop::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(&b"\r\n :;,=\t\0aA0159\xff"[..])),
        0..3,
    );
    (picked, changes).prop_map(|(picked, changes)| {
        let mut input = picked.concat();
        input.truncate(INPUT);
        for (place, byte) in changes {
            if !input.is_empty() {
                let at = place.index(input.len());
                input[at] = byte;
            }
        }
        input
    })
}

proptest! {
    #[test]
    fn servers_answer_alike_whatever_comes(input in damaged(requests), most in prop_oneof![1usize..20, Just(INPUT)]) {
        prop_assert_eq!(embedded_echo(&input, most), machine_echo(&input, most));
    }

    #[test]
    fn clients_read_alike_whatever_comes(input in damaged(responses), most in prop_oneof![1usize..20, Just(INPUT)]) {
        let read = (embedded_response(Method::Get, true, &input, most), machine_response(Method::Get, true, &input, most));
        prop_assert_eq!(read.0, read.1);
    }
}
