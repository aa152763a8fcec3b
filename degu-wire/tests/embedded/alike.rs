//! The drivers for microcontrollers next to the machines: the same input, cut the same way, has the same outcome, to the byte.

use degu_wire::Method;
use proptest::prelude::*;

use super::drivers::{INPUT, embedded_echo, embedded_response, machine_echo, machine_response};
use crate::corpus;

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
