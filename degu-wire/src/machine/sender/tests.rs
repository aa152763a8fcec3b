use alloc::vec;

use super::*;

#[test]
fn what_is_put_stands_behind_what_waits_wherever_a_write_ended() {
    let parts = [1, 3, 2, 4].map(|more| vec![b'a' + more; if more == 3 { 3 } else { COPIED + usize::from(more) }]);
    // Parts are put by so many at once, and so much is written in between.
    let wire = |at_once: usize, written: usize| {
        let mut sender = Sender { body: BodyState::Chunked(0), ..Sender::default() };
        let mut out = Vec::new();
        for parts in parts.chunks(at_once) {
            for part in parts {
                sender.send_part(Part::from(crate::Chunk::new(part.clone()))).unwrap();
            }
            let pending = sender.pending().concat();
            assert_eq!((sender.pending().octets(), sender.pending().any(<[u8]>::is_empty)), (pending.len(), false));
            let written = written.min(pending.len());
            out.extend_from_slice(&pending[..written]);
            sender.sent(written);
            assert_eq!(sender.pending().concat(), pending[written..]);
            assert_eq!(sender.is_flushed(), written == pending.len());
        }
        out.extend_from_slice(&sender.pending().concat());
        out
    };
    let whole = wire(4, 0);
    assert_eq!(whole.len(), 3 * COPIED + 10 + 3 * "1001\r\n\r\n".len() + "3\r\n\r\n".len());
    for at_once in 1..=4 {
        for written in 1..3 * COPIED + 64 {
            assert!(wire(at_once, written) == whole, "{at_once} at once, after a write of {written} octets");
        }
    }
}

#[test]
fn what_is_small_does_not_pile_up_beside_what_is_large() {
    let mut sender = Sender { body: BodyState::Chunked(0), ..Sender::default() };
    let large = Bytes::from(vec![b'x'; COPIED + 1]);
    let small = Bytes::from(vec![b'y'; COPIED]);
    sender.send_part(Part::from(crate::Chunk::new(large.clone()))).unwrap();
    for _ in 0..1000 {
        sender.send_part(Part::from(crate::Chunk::new(small.clone()))).unwrap();
        sender.send_part(Part::from(crate::Chunk::new(large.clone()))).unwrap();
        // All but the last octets of the large one.
        sender.sent(sender.pending().octets() - 10);
        assert_eq!(sender.large.len(), 1);
        assert!(sender.small.capacity() < 8 * COPIED, "{}", sender.small.capacity());
    }
}

#[test]
fn nor_where_nothing_is_large() {
    let mut sender = Sender { body: BodyState::Length(u64::MAX), ..Sender::default() };
    for _ in 0..1000 {
        while sender.has_room() {
            sender.send_part(Part::Data(vec![b'x'; 1024].into())).unwrap();
        }
        sender.sent(32 * 1024);
        assert!(sender.small.capacity() <= 3 * ENOUGH, "{}", sender.small.capacity());
    }
}

#[test]
fn what_is_given_in_spite_of_everything_goes_out_too() {
    let mut sender = Sender { body: BodyState::Chunked(0), ..Sender::default() };
    let mut given = Vec::new();
    for number in 0..20 {
        assert_eq!(sender.has_room(), number < MOST_LARGE);
        sender.send_part(Part::from(crate::Chunk::new(vec![b'a' + number as u8; COPIED + 1]))).unwrap();
        given = sender.pending().concat();
    }
    assert_eq!(sender.pending().size_hint(), (20, Some(41)));
    let mut out = Vec::new();
    while !sender.is_flushed() {
        out.extend_from_slice(&sender.pending().take(5).collect::<Vec<_>>().concat());
        sender.sent(sender.pending().take(5).map(<[u8]>::len).sum());
    }
    assert!(out == given);
}

#[test]
#[cfg(feature = "std")]
fn all_that_there_was_room_for_is_written_at_once() {
    let mut sender = Sender { body: BodyState::Chunked(0), ..Sender::default() };
    while sender.has_room() {
        sender.send_part(Part::from(crate::Chunk::new(vec![b'x'; COPIED + 1]))).unwrap();
    }
    let slices =
        |sender: &Sender| sender.pending().write_with(|slices| slices.iter().map(|slice| slice.len()).collect());
    let written: Vec<usize> = slices(&sender);
    assert_eq!((written.len(), written.iter().sum()), (17, sender.pending().octets()));
    sender.sent(sender.pending().octets());
    assert_eq!(slices(&sender), []);
}

#[test]
fn one_piece_is_known_as_such() {
    let mut sender = Sender { body: BodyState::Length(u64::MAX), ..Sender::default() };
    assert_eq!(sender.pending().only(), None);
    let large = Bytes::from(vec![b'x'; COPIED + 1]);
    sender.send_part(Part::Data(large.clone())).unwrap();
    assert_eq!(sender.pending().only(), Some(&large[..]));
    sender.send_part(Part::Data(Bytes::from_static(b"y"))).unwrap();
    assert_eq!(sender.pending().only(), None);
    let mut pieces = sender.pending();
    pieces.next();
    assert_eq!(pieces.only(), Some(&b"y"[..]));
    sender.sent(COPIED + 1);
    assert_eq!(sender.pending().only(), Some(&b"y"[..]));
}

#[test]
fn hexadecimal() {
    for (value, text) in [(0, "0"), (1, "1"), (15, "f"), (16, "10"), (0x1000, "1000"), (u64::MAX, "ffffffffffffffff")] {
        let mut out = Vec::new();
        put_hex(&mut out, value);
        assert_eq!(out, text.as_bytes());
    }
}
