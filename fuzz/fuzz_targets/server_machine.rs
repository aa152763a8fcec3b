//! The server's machine under any sequence of calls. The bytes that it sends can be parsed. Each request has at most
//! one final response. Nothing is written after the machine has cut the connection, refused a request or switched
//! protocols.

#![no_main]

use core::task::Poll;

use arbitrary::Arbitrary;
use degu_fuzz::{Head, Piece, call, read_responses, receive, send, split, transmit};
use degu_wire::Limits;
use degu_wire::machine::{Connection, Server};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    Receive(u8),
    Eof,
    Request,
    Part,
    Continue,
    Abandon(u16),
    Respond(Head),
    Switch(Head),
    Send(Piece),
    Transmit(u16),
    Refuse(u16),
    Cut,
    Stop,
    Release,
}

fuzz_target!(|input: &[u8]| {
    let (mut wire, operations) = split::<Operation>(input);
    let limits = Limits { max_head: 4096, max_trailers: 4096, allow_http10: true, ..Limits::DEFAULT };
    let mut server = Connection::<Server>::new(limits);
    let (mut sent, mut methods, mut finals, mut cut, mut last) = (Vec::new(), Vec::new(), 0, None, None);
    for operation in operations {
        match operation {
            Operation::Receive(most) => receive(&mut server, &mut wire, most),
            Operation::Eof => server.receive_eof(),
            Operation::Request => match server.poll_request() {
                Ok(Poll::Ready(Some(head))) => {
                    methods.push(head.method().as_str().to_owned());
                    last = Some(head);
                }
                Ok(Poll::Ready(None)) => {}
                Ok(Poll::Pending) if !server.has_responded() && !server.is_receiving() => {
                    assert!(server.buffered().len() < limits.max_head || methods.len() > finals);
                }
                _ => {}
            },
            Operation::Part => {
                if let Ok(Poll::Pending) = server.poll_part() {
                    assert!(server.buffered().len() < limits.max_trailers);
                }
            }
            Operation::Continue => server.send_continue(),
            Operation::Abandon(drain) => server.abandon_request_body(drain.into()),
            Operation::Respond(head) => {
                finals += usize::from(call(&mut server, |server| {
                    server.respond(head.status, &head.text, &head.headers(), head.content(), Some("now"))
                }));
            }
            Operation::Switch(head) => {
                let Some(request) = &last else { continue };
                if call(&mut server, |server| server.switch(request, "tcp", &head.headers())) {
                    assert!(request.offers("tcp") && server.has_switched());
                    finals += 1;
                    cut = Some(server.pending().concat());
                }
            }
            Operation::Send(piece) => send(&mut server, &piece),
            Operation::Transmit(most) => {
                transmit(&mut server, most.into(), &mut sent);
                cut = cut.map(|_| server.pending().concat());
            }
            Operation::Refuse(status) => {
                finals += usize::from(server.refuse(status, "text/plain", "", Some("now")).is_some());
                cut = Some(server.pending().concat());
            }
            Operation::Cut => {
                server.cut();
                cut = Some(server.pending().concat());
            }
            Operation::Stop => server.stop(),
            Operation::Release => server.release_buffers(),
        }
        assert!(cut.as_ref().is_none_or(|cut| *cut == server.pending().concat()), "nothing is written after a cut");
        // If input cannot be parsed, there is a response but no request.
        assert!(finals <= methods.len() + 1);
    }
    transmit(&mut server, usize::MAX, &mut sent);
    assert!(read_responses(&sent, &methods) <= finals);
});
