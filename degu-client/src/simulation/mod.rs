//! The drivers in a simulation: exchanges over in-memory connections, run by a seed.
//!
//! The clients are the real clients. Only the streams are [simulated](degu_simulation). The [plan](plan) of a run has
//! the requests, the responses and the faults. The [server](peer) is a machine of degu-wire that follows the plan. A
//! future of the async client is polled when its waker has been called, and may be dropped after any poll. After that
//! the connection either works, or says that it is closed. A client [never](judge) returns the response to another
//! request.
//!
//! The run of the blocking client is the same code, because a blocking driver is an async driver that is never pending.
//! While its stream blocks, the rest of the simulation runs.

mod asynchronous;
mod blocking;
mod exchange;
mod judge;
mod peer;
mod plan;
mod pool;
mod world;

use std::sync::Arc;
use std::time::Duration;

use degu_simulation::{Dice, Fault, seeds, tell};
use degu_wire::{Address, Spin};
use tokio::runtime::Builder;

use crate::asynchronous::Async;
use crate::client::ClientOf;
use crate::connection::ConnectionOf;
use crate::options::OptionsOf;
use exchange::Simulated;
use judge::{Outcome, judge, judge_requests};
use plan::Plan;
use world::World;

#[test]
fn simulation() {
    let plan = |dice: &mut Dice| Plan::random(dice, false);
    seeds(("degu-client", "simulation"), 1_000, |seed| simulate::<Async>(seed, plan).map(drop));
}

#[test]
fn simulation_of_deadlines() {
    let plan = |dice: &mut Dice| Plan::random(dice, true);
    seeds(("degu-client", "simulation_of_deadlines"), 300, |seed| simulate::<Async>(seed, plan).map(drop));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        let [first, second] = [(); 2].map(|()| simulate::<Async>(seed, |dice| Plan::random(dice, false)));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs a seed. Returns a number that identifies the run.
fn simulate<D: Simulated>(seed: u64, plan: impl FnOnce(&mut Dice) -> Plan) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let plan = Arc::new(plan(&mut dice));
    tell(|| format!("{plan:?}"));
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
    // With the budget of a tokio task, a future would sometimes be pending although its connection is ready.
    runtime.block_on(tokio::task::unconstrained(run::<D>(plan, dice)))
}

async fn run<D: Simulated>(plan: Arc<Plan>, dice: Dice) -> Result<u64, String> {
    let limit = Some(Duration::from_secs(5));
    let options = OptionsOf::<D>::default().head_timeout(limit).body_timeout(limit);
    // A seed always makes the same run only if no clock is read except the clock of the simulation.
    let client = options.spin(Spin::Off).client(Address::IPV6_LOOPBACK);
    let world = World::new(plan.clone(), dice);
    // The open connection, and the number of its first exchange.
    let mut kept: Option<(ConnectionOf<D>, usize)> = None;
    let mut fine = Vec::new();
    for (number, exchange) in plan.exchanges.iter().enumerate() {
        // A caller that does not ask whether the connection is closed learns it from the next request.
        let open = kept.take().filter(|(connection, _)| !exchange.asks || !connection.is_closed());
        let (connection, first) = open.unwrap_or_else(|| (connect(&world, &client), number));
        tell(|| format!("the client: {number}, over the connection of {first}"));
        let told = world.drive(exchange::perform(connection, &world, number, exchange)).await;
        let (outcome, back) = told.map_err(|error| format!("exchange {number}: {error}"))?;
        tell(|| format!("the client: {outcome:?}"));
        if let (Outcome::GivenUp, Some(connection), Some(1..)) = (&outcome, &back, exchange.gives_up)
            && !connection.is_closed()
        {
            return Err(format!("exchange {number}: the connection is open after a request was given up"));
        }
        let is_closed = match &back {
            Some(connection) => exchange.asks.then(|| connection.is_closed()),
            None => Some(true),
        };
        let judged = judge(&world, &plan, number, &fine[first..], &outcome, is_closed);
        fine.push(judged.map_err(|error| format!("exchange {number}: {error}"))?);
        if matches!(exchange.afterwards, Some(Fault::Garbage(_))) || world.moving().dice.one_in(3) {
            // Unsolicited data that arrives later cannot be distinguished from a response, so all data arrives now.
            world.settle()?;
        }
        kept = back.map(|connection| (connection, first));
    }
    drop(kept);
    judge_requests(&world, &plan, &fine)?;
    let digest = world.moving().dice.digest();
    Ok(digest)
}

/// Connects over a stream that behaves like a socket, or over a stream that the caller brought.
fn connect<D: Simulated>(world: &World, client: &ClientOf<D>) -> ConnectionOf<D> {
    let line = world.connect();
    let looks = world.moving().plan.looks;
    match looks {
        true => ConnectionOf::over(D::socket(line), Arc::clone(&client.base), client.address().clone()),
        false => D::brought(line, client),
    }
}
