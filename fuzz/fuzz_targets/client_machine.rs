//! The client's machine under any sequence of calls. Degu's parser and httparse can parse the requests that the machine
//! sends. The machine returns no response without a request.

#![no_main]

use core::task::Poll;

use arbitrary::Arbitrary;
use degu_fuzz::{Head, Piece, call, read_requests, receive, send, split, transmit};
use degu_wire::machine::{Client, Connection};
use degu_wire::{Limits, Method};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Operation {
    Receive(u8),
    Eof,
    Request(u8, Head),
    Upgrade(Head),
    Response,
    Part,
    Abandon,
    Send(Piece),
    Transmit(u16),
    Close,
    Release,
}

fuzz_target!(|input: &[u8]| {
    let (mut wire, operations) = split::<Operation>(input);
    let limits = Limits { max_head: 4096, max_trailers: 4096, ..Limits::DEFAULT };
    let mut client = Connection::<Client>::new(limits);
    let (mut sent, mut requests, mut responses, mut unfinished) = (Vec::new(), 0, 0, false);
    for operation in operations {
        match operation {
            Operation::Receive(most) => receive(&mut client, &mut wire, most),
            Operation::Eof => client.receive_eof(),
            Operation::Request(pick, head) => {
                let methods = ["GET", "HEAD", "PUT", "POST", "OPTIONS", "TRACE", "CONNECT", &head.text];
                let method = Method::from(methods[usize::from(pick) % methods.len()]);
                let target = if pick & 128 == 0 { "/a?b" } else { &head.text };
                let could = client.is_reusable();
                let is_sent =
                    call(&mut client, |client| client.request(method, target, "a", &head.headers(), head.content()));
                assert!(could || !is_sent);
                requests += usize::from(is_sent);
            }
            Operation::Upgrade(head) => {
                requests += usize::from(call(&mut client, |client| {
                    client.upgrade(Method::Get, "/a", "a", &head.headers(), "tcp", head.content())
                }));
            }
            Operation::Response => match client.poll_response() {
                Ok(Poll::Ready(head)) => {
                    assert!(head.status() >= 200 || head.status() == 101 && client.has_switched());
                    responses += 1;
                    assert!(responses <= requests);
                    let _ = client.stops_sending(&head);
                }
                Ok(Poll::Pending) => {}
                Err(error) => {
                    assert!(client.is_closed() && client.is_flushed());
                    assert_eq!(client.poll_response().err(), Some(error), "a fault stays");
                    unfinished = true;
                }
            },
            Operation::Part => match client.poll_part() {
                Ok(Poll::Pending) => assert!(responses < requests || client.buffered().len() < limits.max_trailers),
                Ok(Poll::Ready(_)) => {}
                Err(error) => {
                    assert!(client.is_closed());
                    assert_eq!(client.poll_part().err(), Some(error), "a fault stays");
                    unfinished = true;
                }
            },
            Operation::Abandon => {
                client.abandon_request_body();
            }
            Operation::Send(piece) => send(&mut client, &piece),
            Operation::Transmit(most) => transmit(&mut client, most.into(), &mut sent),
            Operation::Close => {
                client.close();
                unfinished = true;
            }
            Operation::Release => client.release_buffers(),
        }
        assert!(!(client.is_closed() && client.is_reusable()));
    }
    transmit(&mut client, usize::MAX, &mut sent);
    // A machine that was closed early drops the rest of its output.
    if !unfinished {
        assert_eq!(read_requests(&sent), requests);
    }
});
