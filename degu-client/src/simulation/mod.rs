//! The drivers in a simulation: exchanges over in-memory connections, run by a seed.
//!
//! The clients are the public clients. Only the streams are [simulated](degu_simulation). The [plan](plan) of a run has
//! the requests, the responses and the faults. The [server](peer) is a machine of degu-wire that follows the plan. A
//! future of the async client is polled when its waker has been called, and may be dropped after any poll. After that
//! the connection either works, or says that it is closed. It [never](judge) returns the response to another request.

mod blocking;
mod exchange;
mod judge;
mod peer;
mod plan;
mod pool;
mod tunnel;
mod world;

use std::sync::Arc;
use std::time::Duration;

use degu_simulation::{Dice, Seeds, tell};
use degu_wire::{Address, Spin};
use tokio::runtime::Builder;

use crate::{Client, Connection};
use judge::{Before, Outcome, judge, judge_requests};
use plan::{Afterwards, Plan};
use world::World;

#[test]
fn simulation() {
    let seeds = Seeds { test: ("degu-client", "simulation"), default: 1_000 };
    seeds.run(|seed| simulate(seed, |dice| Plan::random(dice, false)).map(drop));
}

#[test]
fn simulation_of_deadlines() {
    let seeds = Seeds { test: ("degu-client", "simulation_of_deadlines"), default: 300 };
    seeds.run(|seed| simulate(seed, |dice| Plan::random(dice, true)).map(drop));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        let [first, second] = [(); 2].map(|()| simulate(seed, |dice| Plan::random(dice, false)));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs a seed. Returns a number that identifies the run.
fn simulate(seed: u64, plan: impl FnOnce(&mut Dice) -> Plan) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let plan = Arc::new(plan(&mut dice));
    tell(|| format!("{plan:?}"));
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
    // The budget of a tokio task does not apply to a future that is polled by hand.
    runtime.block_on(tokio::task::unconstrained(run(plan, dice)))
}

async fn run(plan: Arc<Plan>, dice: Dice) -> Result<u64, String> {
    let second = Some(Duration::from_secs(5));
    let options = Client::options().head_timeout(second).body_timeout(second);
    // A seed always makes the same run only if no clock is read except the clock of the simulation.
    let client = options.spin(Spin::Off).client(Address::IPV6_LOOPBACK);
    let world = World::new(plan.clone(), dice);
    let mut kept: Option<(Connection, Before)> = None;
    let mut fine = Vec::new();
    for (number, exchange) in plan.exchanges.iter().enumerate() {
        // A caller that does not ask whether the connection is closed learns it from the next request.
        let open = kept.take().filter(|(connection, _)| !exchange.asks || !connection.is_closed());
        let (connection, before) = open.unwrap_or_else(|| (connection(&world, &client), Before::begin(number)));
        tell(|| format!("the client: {number}, {before:?}"));
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
        let judged = judge(&world, &plan, (number, before), &outcome, is_closed);
        let is_fine = judged.map_err(|error| format!("exchange {number}: {error}"))?;
        fine.extend(is_fine.then_some(number));
        if exchange.afterwards == Afterwards::Talks || world.moving().dice.one_in(3) {
            // Unsolicited data that arrives later cannot be distinguished from a response, so all data arrives now.
            world.settle()?;
        }
        kept = back.map(|connection| (connection, before.then(is_fine)));
    }
    drop(kept);
    judge_requests(&world, &plan, &fine)?;
    let digest = world.moving().dice.digest();
    Ok(digest)
}

fn connection(world: &World, client: &Client) -> Connection {
    let pipe = world.connect();
    match world.moving().plan.looks {
        true => Connection::over(Box::new(pipe), Arc::clone(&client.base), client.address().clone()),
        false => Connection::new(pipe, client),
    }
}
