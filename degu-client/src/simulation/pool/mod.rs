//! The pool against a [server](server) that fails after any byte. No request is executed more often than the pool
//! promises. Each error says correctly whether the request was sent. No response is returned to another request.

mod server;

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use degu_simulation::{Dice, Fault, patiently, seeds, tell};
use degu_wire::{Address, Method, Spin};
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{unconstrained, yield_now};
use tokio::time::timeout;

use crate::asynchronous::{Async, Pool, stream::AsyncStream};
use crate::blocking::{self, Blocking, stream::BlockingStream};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::incoming::{IncomingOf, Lent, ResponseOf};
use crate::link::Driver;
use crate::options::{Base, OptionsOf};
use crate::pool::PoolOf;
use server::{Dial, Server, Trouble};

/// The result of a request: the number in the response, and its body if the caller read it; or an error.
type Outcome = Result<(String, Option<String>), Error>;

/// The longest time until the next of some requests ends. No deadline is longer.
const LATEST: Duration = Duration::from_secs(60);

fn pool<D: Driver>(max: usize) -> PoolOf<D> {
    let limit = Some(Duration::from_secs(5));
    let options = OptionsOf::<D>::default().head_timeout(limit).body_timeout(limit).max_connections(max);
    options.idle_timeout(None).spin(Spin::Off).client(Address::IPV6_LOOPBACK).pool()
}

fn method(is_idempotent: bool) -> Method<'static> {
    if is_idempotent { Method::Put } else { Method::Post }
}

/// A driver, with the operations of its pool. The future of the blocking driver is never pending.
trait Pooled: Driver + 'static {
    async fn perform(pool: &PoolOf<Self>, server: &Server, number: usize, method: Method<'_>) -> Answer<Self>;
}

type Answer<D> = Result<ResponseOf<IncomingOf<D, Lent<'static, D>, <D as Driver>::Source>>, Error>;

impl Pooled for Async {
    async fn perform(pool: &Pool, server: &Server, number: usize, method: Method<'_>) -> Answer<Self> {
        let dial = async |base: &Base, _: Option<Deadline>| {
            yield_now().await;
            server.connect(base).map(|(wire, address)| (wire as Box<dyn AsyncStream>, address))
        };
        pool.perform(method, &format!("/{number}"), (), number.to_string(), dial).await
    }
}

impl Pooled for Blocking {
    async fn perform(pool: &blocking::Pool, server: &Server, number: usize, method: Method<'_>) -> Answer<Self> {
        let dial = |base: &Base, _: Option<Deadline>| {
            server.connect(base).map(|(wire, address)| (wire as Box<dyn BlockingStream>, address))
        };
        pool.perform(method, &format!("/{number}"), (), number.to_string(), dial)
    }
}

async fn ask<D: Pooled>(pool: &PoolOf<D>, server: &Server, number: usize, method: Method<'_>, reads: bool) -> Outcome {
    let mut response = D::perform(pool, server, number, method).await?;
    let named = response.headers.get("x-number").unwrap_or_default().to_owned();
    let mut body = None;
    if reads {
        let mut whole = Bytes::new();
        let read = poll_fn(|cx| response.body.poll_all(cx, 100, &mut whole)).await?;
        body = Some(String::from_utf8_lossy(&read).into_owned());
    }
    Ok((named, body))
}

/// Compares the outcome of a request with the requests that the server has received.
fn judge(server: &Server, number: usize, is_idempotent: bool, outcome: &Option<Outcome>) -> Result<(), String> {
    let executed = server.executed(number);
    if executed > if is_idempotent { 2 } else { 1 } {
        return Err(format!("request {number} was executed {executed} times"));
    }
    match outcome {
        Some(Ok((named, body))) => {
            let name = number.to_string();
            if *named != name || body.as_ref().is_some_and(|body| *body != name) {
                return Err(format!("request {number} got the answer of {named}: {body:?}"));
            }
        }
        Some(Err(error)) => {
            let is_unsent = error.is_connect() || error.is_retryable() && !is_idempotent;
            if is_unsent && executed > 0 {
                return Err(format!("request {number} was executed, and the error says that it was not: {error}"));
            }
        }
        None => {}
    }
    Ok(())
}

/// Checks the counters of a pool. `requests` is the number of requests that got a connection.
fn judge_pool<D: Driver>(pool: &PoolOf<D>, server: &Server, max: usize, requests: Option<u64>) -> Result<(), String> {
    let (stats, state) = (pool.stats(), server.state());
    let adds_up = stats.open == stats.idle && stats.open == state.open && stats.waiting == 0 && state.most_open <= max;
    let sent = stats.dialled + stats.reused - stats.retried;
    if adds_up && requests.is_none_or(|requests| requests == sent) {
        return Ok(());
    }
    Err(format!("{stats:?} of {requests:?} requests, {} open, {} at most", state.open, state.most_open))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// The fault of a server that sends unsolicited data between two exchanges.
const UNSOLICITED: Fault = Fault::Garbage(b"HTTP/1.1 200 OK\r\n\r\n");

const FAULTS: [Fault; 3] = [Fault::Close, Fault::Reset, Fault::Stall];

/// Makes two requests, one after the other. `troubles` are the faults of the first two connections.
async fn two_exchanges<D: Pooled>(
    troubles: [Option<Trouble>; 2],
    are_idempotent: [bool; 2],
) -> Result<[bool; 2], String> {
    let (pool, server) = (pool::<D>(1), Server::new(troubles.map(Dial::Accepted), None));
    let mut is_ok = [false; 2];
    for (number, is_idempotent) in are_idempotent.into_iter().enumerate() {
        let outcome = Some(ask(&pool, &server, number, method(is_idempotent), true).await);
        judge(&server, number, is_idempotent, &outcome)?;
        is_ok[number] = matches!(outcome, Some(Ok(_)));
    }
    judge_pool(&pool, &server, 1, Some(2))?;
    Ok(is_ok)
}

/// Makes the first connection fail after every byte of its first and second exchange, and the second connection after
/// every byte of its first exchange. Runs some of the pairs of bytes. With `DEGU_PAIRS` in the environment it runs all
/// pairs.
fn exhaust<D: Pooled>() {
    let (runtime, server) = (runtime(), Server::new([], None));
    runtime.block_on(ask(&pool::<D>(1), &server, 0, method(true), true)).unwrap();
    let length = server.state().length;
    let request = length - "HTTP/1.1 200 OK\r\nx-number: 0\r\ncontent-length: 1\r\n\r\n0".len();
    let is_whole = std::env::var_os("DEGU_PAIRS").is_some();
    let mut runs = 0;
    let mut run = |troubles: [Option<Trouble>; 2], are_idempotent: [bool; 2]| {
        runs += 1;
        let ran = runtime.block_on(unconstrained(two_exchanges::<D>(troubles, are_idempotent)));
        ran.unwrap_or_else(|error| panic!("{troubles:?}, {are_idempotent:?}: {error}"))
    };
    let trouble = |exchange, after, fault, loses| Trouble { exchange, after, fault, shows: false, loses };
    for is_idempotent in [false, true] {
        for fault in FAULTS {
            for (after, loses) in (0..length).flat_map(|after| [(after, false), (after, true)]) {
                let first = trouble(0, after, fault, loses);
                assert_eq!(run([Some(first), None], [is_idempotent; 2]), [false, true], "{first:?}");

                let kept = trouble(1, after, fault, loses);
                // No byte of the response has arrived, and the connection has ended.
                let ended = after <= request && fault != Fault::Stall;
                let nothing_out = after == 0 && !loses;
                let is_retried = ended && (is_idempotent || nothing_out);
                assert_eq!(run([Some(kept), None], [is_idempotent; 2]), [true, is_retried], "{kept:?}");
                // Both attempts fail, at some or all pairs of bytes.
                let step = if !is_whole && after % 7 > 0 { 19 } else { 1 };
                for second in (0..length).step_by(step) {
                    for (again, loses) in FAULTS.into_iter().flat_map(|again| [(again, false), (again, true)]) {
                        let second = trouble(0, second, again, loses);
                        assert_eq!(
                            run([Some(kept), Some(second)], [is_idempotent; 2]),
                            [true, false],
                            "{kept:?}, {second:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(runs > 10_000, "{runs}");
    eprintln!("{runs} runs");
}

#[test]
fn tasks_and_a_server_that_fails_after_any_byte() {
    exhaust::<Async>();
}

#[test]
fn threads_and_a_server_that_fails_after_any_byte() {
    exhaust::<Blocking>();
}

/// Returns the outcomes of the next attempts to connect, at random.
fn dials(dice: &mut Dice) -> Vec<Dial> {
    let dial = |dice: &mut Dice| {
        if dice.one_in(8) {
            return Dial::Refused;
        }
        let exchange = dice.below(3);
        let fault = *dice.pick(&[Fault::Close, Fault::Close, Fault::Reset, Fault::Stall, UNSOLICITED]);
        // Data is unsolicited only between two exchanges. At any other time it would be a part of the response.
        let after = if fault == UNSOLICITED || dice.one_in(3) { 0 } else { dice.below(110) };
        let fault = if fault == UNSOLICITED && exchange == 0 { Fault::Close } else { fault };
        let trouble = Trouble { exchange, after, fault, shows: dice.one_in(2), loses: dice.one_in(2) };
        Dial::Accepted((!dice.one_in(4)).then_some(trouble))
    };
    (0..dice.below(12)).map(|_| dial(dice)).collect()
}

#[test]
fn simulation_of_threads() {
    simulate::<Blocking>("simulation::pool::simulation_of_threads");
}

#[test]
fn simulation_of_tasks() {
    simulate::<Async>("simulation::pool::simulation_of_tasks");
}

fn simulate<D: Pooled>(test: &str) {
    let runtime = runtime();
    seeds(("degu-client", test), 3_000, |seed| {
        let mut dice = Dice::new(seed);
        let most = 1 + dice.below(8);
        runtime.block_on(unconstrained(at_once::<D>(&mut dice, most)))
    });
}

/// Makes `most` requests at the same time. A third of them may be dropped at a random moment. The blocking client makes
/// the requests one after the other, and drops none of them.
async fn at_once<D: Pooled>(dice: &mut Dice, most: usize) -> Result<(), String> {
    let (max, dials) = (1 + dice.below(4), dials(dice));
    tell(|| format!("{max}: {dials:?}"));
    let (pool, server) = (pool::<D>(max), Server::new(dials, Some(dice.fork())));
    let request = |number| {
        let (is_idempotent, reads, late) = (dice.one_in(2), !dice.one_in(6), dice.one_in(2));
        let polls = if number % 3 == 2 && !D::BLOCKS { dice.below(12) } else { usize::MAX };
        let asked = patiently(polls, late, ask(&pool, &server, number, method(is_idempotent), reads));
        asked.map(move |outcome| (number, is_idempotent, outcome))
    };
    // A request is polled only after it was woken.
    let mut requests: FuturesUnordered<_> = (0..most).map(request).collect();
    let (mut sent, mut dropped) = (0, 0);
    while !requests.is_empty() {
        let next = timeout(LATEST, requests.next()).await.ok().flatten();
        let (number, is_idempotent, outcome) =
            next.ok_or_else(|| format!("{} wait forever: {:?}", requests.len(), pool.stats()))?;
        tell(|| format!("{number}, {is_idempotent}: {outcome:?}"));
        match &outcome {
            Some(outcome) => sent += u64::from(!outcome.as_ref().is_err_and(Error::is_connect)),
            None => dropped += 1,
        }
        judge(&server, number, is_idempotent, &outcome)?;
    }
    // A request that was dropped may have been sent.
    judge_pool(&pool, &server, max, (dropped == 0).then_some(sent))
}

#[test]
fn a_thousand_requests_of_which_a_third_is_dropped() {
    let runtime = runtime();
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let ran = runtime.block_on(unconstrained(at_once::<Async>(&mut dice, 1_000)));
        ran.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn waiting_requests_fail_after_max_failures_in_a_row() {
    // Runs `lone` requests one by one, then `requests` at the same time. Returns the outcomes of the latter.
    let outcomes = |max, lone, requests, refused: &[bool]| {
        let dials = refused.iter().map(|&refused| if refused { Dial::Refused } else { Dial::Accepted(None) });
        runtime().block_on(unconstrained(async {
            let (pool, server) = (pool::<Async>(max), Server::new(dials, None));
            for number in 0..lone {
                ask(&pool, &server, number, method(true), true).await.unwrap_err();
            }
            let requests = (lone..lone + requests).map(|number| ask(&pool, &server, number, method(true), true));
            join_all(requests).await.into_iter().map(|outcome| outcome.is_ok()).collect::<Vec<_>>()
        }))
    };
    assert_eq!(outcomes(2, 0, 3, &[true, false]), [false, true, true]);
    assert_eq!(outcomes(2, 0, 3, &[true, true]), [false, false, false]);
    // When the second dial has failed, the third one goes on, and no waiting request has taken a freed place yet.
    assert_eq!(outcomes(3, 0, 6, &[true, true, false]), [false, false, true, true, true, true]);
    assert_eq!(outcomes(3, 0, 6, &[true; 3]), [false; 6]);
    // Attempts that failed before requests waited do not count.
    let but_the_first = [false, true, true, true, true, true, true, true];
    assert_eq!(outcomes(4, 3, 8, &[true, true, true, true, false]), but_the_first);
    assert_eq!(outcomes(4, 3, 8, &[true; 7]), [false; 8]);
}

#[test]
fn failed_dials_do_not_count_while_a_connection_is_open() {
    runtime().block_on(unconstrained(async {
        let whole = Server::new([], None);
        ask(&pool::<Async>(1), &whole, 0, method(true), true).await.unwrap();
        let after = whole.state().length - 1;
        let stalls = Trouble { exchange: 0, after, fault: Fault::Stall, shows: false, loses: false };
        let dials = [Dial::Accepted(Some(stalls)), Dial::Refused, Dial::Refused, Dial::Refused];
        let (pool, server) = (pool::<Async>(2), Server::new(dials, None));
        let response = Async::perform(&pool, &server, 0, method(true)).await.unwrap();
        let requests = (1..7).map(|number| ask(&pool, &server, number, method(true), true));
        // Closes the first connection after two dials have failed beside it, and before the third one fails.
        let close = async {
            while server.state().dials.len() > 1 {
                yield_now().await;
            }
            drop(response);
        };
        let (outcomes, ()) = join(join_all(requests), close).await;
        let is_ok: Vec<_> = outcomes.into_iter().map(|outcome| outcome.is_ok()).collect();
        assert_eq!(is_ok, [false, false, false, true, true, true]);
    }));
}
