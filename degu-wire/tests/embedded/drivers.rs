//! The drivers for microcontrollers and the machines, each with the same small application.

use std::task::Poll;

use degu_wire::embedded::{Client, Error, Memory, Options, Request, Server};
use degu_wire::machine::{self, Connection, Content};
use degu_wire::{Fault, Framing, Headers, Limits, Method, Part, RemoteError};

use super::kit::{Peer, Seconds, run};

/// With so many bytes of input a head has at most three quarters of it, and the limits below say the same to the machine.
pub(crate) const INPUT: usize = 2048;
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
pub(crate) fn embedded_echo(input: &[u8], most: usize) -> String {
    let options = Options { limits: LIMITS, ..Options::DEFAULT };
    let mut peer = Peer::sending(input).at_most(most);
    let mut memory = Memory::<INPUT, 32, 8192>::new();
    let mut body = [0; MAX_BODY];
    let echo = async |request: &mut Request<'_, _, _>| {
        let body = request.body().read_all(&mut body).await?;
        request.reply(200, &[], body).await
    };
    run(Server::new(memory.buffers(), &options).serve(&mut peer, &Seconds, echo)).expect("it is refused or done");
    peer.text()
}

/// All that an echo of the machine sends.
pub(crate) fn machine_echo(input: &[u8], most: usize) -> String {
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
        server.refuse(fault.status(), "text/plain", "", None);
    }
    sent.extend(server.pending().concat());
    String::from_utf8_lossy(&sent).into_owned()
}

/// A result of a machine.
enum Step {
    Head(machine::RequestHead),
    Part(Option<Part>),
}

/// A response as a client gets it: its status, its body, and whether another request can follow.
pub(crate) type Response = Result<(u16, Vec<u8>, bool), RemoteError>;

pub(crate) fn embedded_response(method: Method<'_>, ranged: bool, input: &[u8], most: usize) -> Response {
    let options = Options { limits: LIMITS, ..Options::DEFAULT };
    let mut peer = Peer::sending(input).at_most(most);
    let mut memory = Memory::<INPUT, 32, 256>::new();
    let mut client = Client::new(&mut peer, &Seconds, memory.buffers(), &options);
    let outcome = run(async {
        let fields = if ranged { &[("range", "bytes=0-4")][..] } else { &[] };
        let mut response = client.request(method, "/", "d", fields, Framing::None).await?.response().await?;
        let mut body = vec![0; 64 * 1024];
        Ok((response.head().status(), response.body().read_all(&mut body).await?.to_vec()))
    });
    match outcome {
        Ok((status, body)) => Ok((status, body, client.is_reusable())),
        Err(Error::Peer(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

pub(crate) fn machine_response(method: Method<'_>, ranged: bool, input: &[u8], most: usize) -> Response {
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
