//! A client's machine and a server's, joined by a pipe that carries any number of bytes at a time in either direction:
//! whatever one side sends over several exchanges is what the other receives.

mod ends;
mod plan;

use core::task::Poll;

use degu_wire::machine::{Awaits, Connection};
use ends::{ClientEnd, ServerEnd};
use plan::{Exchange, exchanges};
use proptest::prelude::*;

/// The next event: one end acts, or some bytes travel in one direction.
#[derive(Clone, Copy, Debug)]
enum Act {
    Client,
    Server,
    Up(usize),
    Down(usize),
}

fn schedule() -> impl Strategy<Value = Vec<Act>> {
    let bytes = || prop_oneof![3 => 1..8_usize, 2 => 8..200_usize, 1 => 200..4_000_usize, 2 => 4_000..10_000_usize];
    let act =
        prop_oneof![Just(Act::Client), Just(Act::Server), bytes().prop_map(Act::Up), bytes().prop_map(Act::Down),];
    prop::collection::vec(act, 1..200)
}

/// Moves at most so many bytes, and gives how many.
fn carry<A, B>(from: &mut Connection<A>, to: &mut Connection<B>, most: usize) -> usize {
    let waiting = from.pending().concat();
    let moved = &waiting[..most.min(waiting.len())];
    to.receive_buffer().extend_from_slice(moved);
    from.transmitted(moved.len());
    assert_eq!(from.pending().concat(), waiting[moved.len()..], "what is left stays as it is");
    moved.len()
}

proptest! {
    // Which write ends where takes many tries to matter.
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn both_ends_agree(plan in exchanges(), schedule in schedule()) {
        let mut client = ClientEnd::new(&plan);
        let mut server = ServerEnd::new(&plan);
        // Once the schedule is used up everyone goes on by turns, byte by byte at most.
        let turns = [Act::Client, Act::Up(1000), Act::Server, Act::Down(1000)];
        let mut idle = 0;
        for act in schedule.into_iter().chain(turns.into_iter().cycle()) {
            let moved = match act {
                Act::Client => client.act(),
                Act::Server => server.act(),
                Act::Up(most) => carry(&mut client.connection, &mut server.connection, most) > 0,
                Act::Down(most) => carry(&mut server.connection, &mut client.connection, most) > 0,
            };
            idle = if moved { 0 } else { idle + 1 };
            if client.is_done() && server.is_done() && idle > 4 {
                break;
            }
            prop_assert!(idle < 1000, "nobody has anything to do: {client:?} {server:?}");
        }
        let requests: Vec<_> = plan.iter().map(Exchange::request).collect();
        prop_assert_eq!(&server.received, &requests);
        let responses: Vec<_> = plan.iter().map(Exchange::response).collect();
        prop_assert_eq!(&client.received, &responses);

        let closes = plan.last().is_some_and(|last| last.closes());
        prop_assert_eq!((client.connection.is_closed(), client.connection.is_reusable()), (closes, !closes));
        let next = server.connection.poll_request();
        let is_over = matches!(next, Ok(Poll::Ready(None)));
        prop_assert_eq!((is_over, matches!(next, Ok(Poll::Pending))), (closes, !closes));
        let awaits = if closes { Awaits::Nothing } else { Awaits::Request };
        prop_assert_eq!(server.connection.awaits(), awaits);
        server.connection.receive_eof();
        prop_assert!(matches!(server.connection.poll_request(), Ok(Poll::Ready(None))));
        prop_assert!(client.connection.is_flushed() && server.connection.is_flushed());
        prop_assert!(client.connection.buffered().is_empty() && server.connection.buffered().is_empty());
    }
}
