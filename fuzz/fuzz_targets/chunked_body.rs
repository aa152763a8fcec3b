//! Chunked bodies. The decoder returns the same events and faults for pieces of any length. Decoded events can be
//! encoded, and the encoded body decodes to the same events.

#![no_main]

use degu_wire::chunk::{Decoder, Event, Step, encode_chunk_head, encode_last_chunk};
use degu_wire::{Limits, RemoteError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The first byte determines the length of the pieces, and selects narrow or wide limits.
    let Some((&first, wire)) = input.split_first() else { return };
    let narrow =
        Limits { max_chunk_line: 40, free_extension: 4, extension_budget: 9, max_trailers: 30, ..Limits::DEFAULT };
    let limits = if first & 1 == 1 { narrow } else { Limits::DEFAULT };
    let whole = events(wire, wire.len().max(1), &limits);
    assert_eq!(events(wire, 1, &limits), whole);
    assert_eq!(events(wire, usize::from(first / 2).max(1), &limits), whole);
});

/// Decodes the wire in pieces of this length. Returns three values:
///
/// - the events, each with a checksum over the data before it;
/// - the length of the body on the wire or, if the body has not ended, the number of bytes of its data;
/// - the fault.
fn events(wire: &[u8], piece: usize, limits: &Limits) -> (Vec<String>, usize, Option<RemoteError>) {
    let mut decoder = Decoder::new(limits);
    let (mut events, mut data, mut begin) = (Vec::new(), (0, 0_u64), 0);
    for end in (0..wire.len()).step_by(piece).map(|start| (start + piece).min(wire.len())) {
        loop {
            let Step { consumed, event } = match decoder.decode(&wire[begin..end]) {
                Ok(step) => step,
                Err(error) => return (events, data.0, Some(error)),
            };
            let mut line = [0; 8192];
            let line = match event {
                Some(Event::Chunk { size, extensions }) => {
                    assert!(size > 0);
                    let length = encode_chunk_head(&mut line, size, extensions).expect("decoded events can be encoded");
                    let again =
                        Decoder::new(&Limits { free_extension: 4096, ..Limits::DEFAULT }).decode(&line[..length]);
                    let expected = Some(Event::Chunk { size, extensions });
                    assert_eq!(again, Ok(Step { consumed: length, event: expected }));
                    &line[..length]
                }
                Some(Event::LastChunk { extensions }) => {
                    let length = encode_last_chunk(&mut line, extensions).expect("decoded events can be encoded");
                    &line[..length]
                }
                Some(Event::Data(bytes)) => {
                    data.0 += bytes.len();
                    data.1 = bytes.iter().fold(data.1, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
                    &[]
                }
                Some(Event::End { trailers }) => trailers,
                None => &[],
            };
            begin += consumed;
            if event.is_none() {
                break;
            }
            if !matches!(event, Some(Event::Data(_))) {
                events.push(format!("{data:?} {:?}", line.escape_ascii().to_string()));
            }
        }
        assert!(decoder.is_done() || end - begin < limits.max_chunk_line.max(limits.max_trailers));
    }
    (events, if decoder.is_done() { begin } else { data.0 }, None)
}
