//! A worker, which connects and performs exchanges in a loop. The seed of the run and the number of the worker
//! determine the exchanges.

use std::sync::Arc;
use std::time::Duration;

use degu_client::{Client, Error, Headers};
use degu_simulation::Seen;
use fastrand::Rng;
use tokio::time::{sleep, timeout};

use crate::clients::{Answer, Connection};
use crate::exchange::{Exchange, Outcome, Reading, is_stale};
use crate::run::Run;
use crate::servers::Target;
use crate::tally::FAULTS;

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
pub(crate) async fn work(run: Arc<Run>, clients: Arc<[Clients; 3]>, role: Role, number: u64, is_blocking: bool) {
    let mut rng = run.rng(number);
    while !run.is_stopping() {
        let Some((target, client)) = rng.choice(&clients[role as usize]) else { return };
        match Connection::open(client, is_blocking).await {
            Ok(mut connection) => {
                if role != Role::Relayed {
                    // A relay counts its connections to the server itself.
                    run.tally.add(target.name, "connections", 1);
                }
                let most = rng.u32(1..40);
                for used in 0..most {
                    perform(&run, role, target, &mut connection, used > 0, &mut rng).await;
                    if connection.is_closed() || run.is_stopping() {
                        break;
                    }
                }
            }
            Err(error) => {
                run.tally.note(target, Outcome::of(&error), &format!("connecting to {}", client.address()));
                sleep(PAUSE).await;
            }
        }
    }
}

async fn perform(run: &Run, role: Role, target: &Target, connection: &mut Connection, is_reused: bool, rng: &mut Rng) {
    let exchange = if role == Role::Abandoning { Exchange::abandoned(rng) } else { Exchange::any(rng) };
    let what = format!("{} {}", exchange.method, exchange.target);
    let tally = &run.tally;
    let result = send(connection, &exchange).await;
    if is_reused && !target.is_faulty && result.as_ref().is_err_and(is_stale) {
        // The server has not received the request, so this is not counted as an attempt.
        return tally.note(target, Outcome::Stale, &what);
    }
    tally.add(target.name, "attempts", 1);
    let outcome = exchange.judge(&result);
    match (&outcome, result) {
        (Outcome::Right, Ok(Some(answer))) => {
            tally.add(target.name, "taken", exchange.taken);
            tally.add("all", "bytes", exchange.taken + answer.seen.data.len() as u64);
            tally.add(target.name, "failures", u64::from(exchange.status == 500));
        }
        (Outcome::Abandoned, _) if matches!(exchange.reading, Reading::Cancel(_)) => {
            tally.add(FAULTS, "exchanges cancelled", 1);
        }
        (Outcome::Abandoned, _) => tally.add(FAULTS, "responses abandoned", 1),
        _ => {}
    }
    tally.note(target, outcome, &what);
}

/// Performs an exchange. Returns `None` if the client abandoned it.
pub(crate) async fn send(connection: &mut Connection, exchange: &Exchange) -> Result<Option<Answer>, Error> {
    let Exchange { method, target, message, pause, reading, .. } = exchange;
    let is_blocking = matches!(connection, Connection::Blocking(_));
    let goes_on = |seen: &Seen| !matches!(reading, Reading::Abandon(bytes) if seen.data.len() >= *bytes);
    let headers = Headers::new();
    let performed = connection.perform(*method, target, &headers, message, *pause, goes_on);
    match reading {
        Reading::Cancel(time) if !is_blocking => timeout(*time, performed).await.unwrap_or(Ok(None)),
        _ => performed.await,
    }
}
