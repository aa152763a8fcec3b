//! A worker, which connects and performs exchanges in a loop. The seed of the run and the number of the worker
//! determine the exchanges.

use std::time::Duration;

use degu_client::Client;
use fastrand::Rng;

use crate::clients::Connection;
use crate::exchange::{Exchange, Outcome, Reading, is_stale};
use crate::run::Run;
use crate::tally::FAULTS;
use crate::target::Target;

/// The pause of a worker after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// The job of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Performs exchanges directly with the server, without faults.
    Direct,
    /// Performs exchanges through relays that inject faults.
    Relayed,
    /// Performs exchanges and abandons them.
    Abandoning,
}

/// The clients, each with the server that it connects to.
pub(crate) type Clients = Vec<(&'static Target, Client)>;

/// Connects and performs exchanges until the workers are stopped.
pub(crate) async fn work<C: Connection>(run: &Run, clients: &Clients, role: Role, number: u64) {
    let mut rng = run.rng(number);
    while !run.is_stopping() {
        let Some((target, client)) = rng.choice(clients) else { return };
        match C::connect(client).await {
            Ok(mut connection) => {
                if role != Role::Relayed {
                    // A relay counts its connections to the server itself.
                    run.tally.add(target.name, "connections", 1);
                }
                let most = rng.u32(1..40);
                for used in 0..most {
                    perform(run, role, target, &mut connection, used > 0, &mut rng).await;
                    if connection.is_closed() || run.is_stopping() {
                        break;
                    }
                }
            }
            Err(error) => {
                run.tally.note(target, Outcome::of(&error), &format!("connecting to {}", client.address()));
                C::pause(PAUSE).await;
            }
        }
    }
}

async fn perform<C: Connection>(
    run: &Run,
    role: Role,
    target: &Target,
    connection: &mut C,
    is_reused: bool,
    rng: &mut Rng,
) {
    let exchange = if role == Role::Abandoning { Exchange::abandoned(rng) } else { Exchange::any(rng) };
    let (expected, summed, reading) = (exchange.expected, exchange.summed, exchange.reading);
    let what = format!("{} {}", exchange.method, exchange.target);
    let tally = &run.tally;
    let result = connection.perform(exchange).await;
    if is_reused && !target.is_faulty && result.as_ref().is_err_and(is_stale) {
        // The server has not received the request, so this is not counted as an attempt.
        return tally.note(target, Outcome::Stale, &what);
    }
    tally.add(target.name, "attempts", 1);
    let received = result.as_ref().map_or(0, |answer| answer.as_ref().map_or(0, |answer| answer.bytes));
    let outcome = expected.judge(result);
    match outcome {
        Outcome::Right => {
            tally.add(target.name, "summed", summed);
            tally.add("all", "bytes", summed + received);
            tally.add(target.name, "failures", u64::from(expected.status == 500));
        }
        Outcome::Abandoned if matches!(reading, Reading::Cancel(_)) => tally.add(FAULTS, "exchanges cancelled", 1),
        Outcome::Abandoned => tally.add(FAULTS, "responses abandoned", 1),
        _ => {}
    }
    tally.note(target, outcome, &what);
}
