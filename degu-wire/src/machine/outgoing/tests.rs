use alloc::vec;

use super::*;
use crate::body::Part;
use crate::framing::Framing;
use crate::machine::sender::Sender;

fn sending(body: Framing) -> Sender {
    let mut sender = Sender::default();
    sender.body = body;
    sender
}

#[test]
fn what_is_put_stands_behind_what_waits_wherever_a_write_ended() {
    let parts = [1, 3, 2, 4].map(|more| vec![b'a' + more; if more == 3 { 3 } else { COPIED + usize::from(more) }]);
    // Sends `at_once` parts at a time, and writes at most `written` bytes after each time.
    let wire = |at_once: usize, written: usize| {
        let mut sender = sending(Framing::Chunked);
        let mut out = Vec::new();
        for parts in parts.chunks(at_once) {
            for part in parts {
                sender.send_part(Part::from(crate::Chunk::new(part.clone()))).unwrap();
            }
            let pending = sender.out.pending().concat();
            assert_eq!(
                (sender.out.pending().bytes(), sender.out.pending().any(<[u8]>::is_empty)),
                (pending.len(), false)
            );
            let written = written.min(pending.len());
            out.extend_from_slice(&pending[..written]);
            sender.out.sent(written);
            assert_eq!(sender.out.pending().concat(), pending[written..]);
            assert_eq!(sender.out.is_flushed(), written == pending.len());
        }
        out.extend_from_slice(&sender.out.pending().concat());
        out
    };
    let whole = wire(4, 0);
    assert_eq!(whole.len(), 3 * COPIED + 10 + 3 * "1001\r\n\r\n".len() + "3\r\n\r\n".len());
    for at_once in 1..=4 {
        for written in 1..3 * COPIED + 64 {
            assert!(wire(at_once, written) == whole, "{at_once} at once, after a write of {written} bytes");
        }
    }
}

#[test]
fn what_is_small_does_not_pile_up_beside_what_is_large() {
    let mut sender = sending(Framing::Chunked);
    let large = Bytes::from(vec![b'x'; COPIED + 1]);
    let small = Bytes::from(vec![b'y'; COPIED]);
    sender.send_part(Part::from(crate::Chunk::new(large.clone()))).unwrap();
    for _ in 0..1000 {
        sender.send_part(Part::from(crate::Chunk::new(small.clone()))).unwrap();
        sender.send_part(Part::from(crate::Chunk::new(large.clone()))).unwrap();
        // Writes everything except the last bytes of the large data.
        sender.out.sent(sender.out.pending().bytes() - 10);
        assert_eq!(sender.out.large.len(), 1);
        assert!(sender.out.small.capacity() < 8 * COPIED, "{}", sender.out.small.capacity());
    }
}

#[test]
fn nor_where_nothing_is_large() {
    let mut sender = sending(Framing::Length(u64::MAX));
    for _ in 0..1000 {
        while sender.out.has_room() {
            sender.send_part(Part::Data(vec![b'x'; 1024].into())).unwrap();
        }
        sender.out.sent(32 * 1024);
        assert!(sender.out.small.capacity() <= 3 * ENOUGH, "{}", sender.out.small.capacity());
    }
}

#[test]
fn what_is_given_in_spite_of_everything_goes_out_too() {
    let mut sender = sending(Framing::Chunked);
    let mut given = Vec::new();
    for number in 0..20 {
        assert_eq!(sender.out.has_room(), number < MOST_LARGE);
        sender.send_part(Part::from(crate::Chunk::new(vec![b'a' + number as u8; COPIED + 1]))).unwrap();
        given = sender.out.pending().concat();
    }
    assert_eq!(sender.out.pending().size_hint(), (20, Some(41)));
    let mut out = Vec::new();
    while !sender.out.is_flushed() {
        out.extend_from_slice(&sender.out.pending().take(5).collect::<Vec<_>>().concat());
        sender.out.sent(sender.out.pending().take(5).map(<[u8]>::len).sum());
    }
    assert!(out == given);
}

#[test]
#[cfg(feature = "std")]
fn all_that_there_was_room_for_is_written_at_once() {
    let mut sender = sending(Framing::Chunked);
    while sender.out.has_room() {
        sender.send_part(Part::from(crate::Chunk::new(vec![b'x'; COPIED + 1]))).unwrap();
    }
    let slices =
        |sender: &Sender| sender.out.pending().write_with(|slices| slices.iter().map(|slice| slice.len()).collect());
    let written: Vec<usize> = slices(&sender);
    assert_eq!((written.len(), written.iter().sum()), (17, sender.out.pending().bytes()));
    sender.out.sent(sender.out.pending().bytes());
    assert_eq!(slices(&sender), [0_usize; 0]);
}

#[test]
fn one_piece_is_known_as_such() {
    let mut sender = sending(Framing::Length(u64::MAX));
    assert_eq!(sender.out.pending().only(), None);
    let large = Bytes::from(vec![b'x'; COPIED + 1]);
    sender.send_part(Part::Data(large.clone())).unwrap();
    assert_eq!(sender.out.pending().only(), Some(&large[..]));
    sender.send_part(Part::Data(Bytes::from_static(b"y"))).unwrap();
    assert_eq!(sender.out.pending().only(), None);
    let mut pieces = sender.out.pending();
    pieces.next();
    assert_eq!(pieces.only(), Some(&b"y"[..]));
    sender.out.sent(COPIED + 1);
    assert_eq!(sender.out.pending().only(), Some(&b"y"[..]));
}
