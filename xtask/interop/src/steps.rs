//! Performs exchanges with time limits. A tunnel, for example, has no deadline, and could wait forever.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use degu_client::{Address, Client};

use crate::Result;
use crate::matrix::{Matrix, Outcome};
use crate::ours::{CLIENTS, Ours};
use crate::peer::LIMIT;

/// The name of an exchange, which is a column of the matrix, and its function. All steps of a run share a state of type
/// `S`.
pub(crate) type Step<S> = (&'static str, fn(&mut Ours, &mut S) -> Result);

/// The names of the exchanges that a peer is known not to support, each with the reason.
pub(crate) type Unsupported = &'static [(&'static str, &'static str)];

/// Returns the names of the steps.
pub(crate) fn columns<S>(steps: &[Step<S>]) -> Vec<&'static str> {
    steps.iter().map(|(name, _)| *name).collect()
}

/// Performs the steps with a server and both of our clients, and adds a row for each client. `begin` makes the state
/// that the steps share. Unsupported steps are performed, too. If such a step succeeds, the list is out of date, and
/// the step counts as failed.
pub(crate) fn perform<S: 'static>(
    steps: &'static [Step<S>],
    unsupported: Unsupported,
    server: &str,
    address: &str,
    matrix: &mut Matrix,
    begin: impl Fn(Client, bool) -> Result<S> + Clone + Send + 'static,
) -> Result {
    let client = Client::new(address.parse::<Address>()?);
    for (name, blocking) in CLIENTS {
        let (client, begin) = (client.clone(), begin.clone());
        let begin = move || Ok((Ours::new(client.clone(), blocking)?, begin(client, blocking)?));
        let mut outcomes = perform_one(steps, LIMIT, begin);
        for ((step, _), outcome) in steps.iter().zip(&mut outcomes) {
            if let Some((_, why)) = unsupported.iter().find(|(known, _)| known == step) {
                *outcome = match outcome {
                    Outcome::Ok => Outcome::Failed(format!("it succeeded, but is listed as unsupported: {why}")),
                    _ => Outcome::Skipped((*why).into()),
                };
            }
        }
        matrix.add_row(columns(steps), name, server, address, outcomes);
    }
    Ok(())
}

/// The outcome of a step that follows one of these failures. After other failures, the next step is performed.
const NOT_PERFORMED: &str =
    "not performed, because the preparation failed, or an earlier step panicked or took too long";

/// Performs the steps one after another on a thread. Each step begins with a new connection. If a step takes longer
/// than `limit`, this step and all later steps fail.
pub(crate) fn perform_one<S: 'static>(
    steps: &'static [Step<S>],
    limit: Duration,
    begin: impl FnOnce() -> Result<(Ours, S)> + Send + 'static,
) -> Vec<Outcome> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (mut ours, mut state) = match begin() {
            Ok(begun) => begun,
            Err(error) => return drop(sender.send(Outcome::Failed(error.to_string()))),
        };
        for (_, step) in steps {
            ours.disconnect();
            let done = step(&mut ours, &mut state);
            let outcome = done.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Ok);
            if sender.send(outcome).is_err() {
                return;
            }
        }
    });
    let mut outcomes = Vec::new();
    for _ in steps {
        match receiver.recv_timeout(limit) {
            Ok(outcome) => outcomes.push(outcome),
            // If the step ends later, its outcome must not become the outcome of the next step.
            Err(RecvTimeoutError::Timeout) => {
                outcomes.push(Outcome::Failed(format!("took longer than {} s", limit.as_secs())));
                break;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    outcomes.resize(steps.len(), Outcome::Failed(NOT_PERFORMED.into()));
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step<u8>] = &[
        ("counts", |_, state| {
            *state += 1;
            Ok(())
        }),
        ("fails", |_, state| Err(format!("state {state}").into())),
    ];

    fn begin(state: u8) -> Result<(Ours, u8)> {
        Ok((Ours::new(Client::new(Address::IPV6_LOOPBACK), true)?, state))
    }

    #[test]
    fn steps_share_a_state() {
        assert_eq!(perform_one(STEPS, LIMIT, || begin(4)), [Outcome::Ok, Outcome::Failed("state 5".into())]);
    }

    #[test]
    fn an_unsupported_step_must_fail() {
        let mut matrix = Matrix::default();
        let unsupported = &[("fails", "why")];
        perform(STEPS, unsupported, "a", "[::1]:5", &mut matrix, |_, _| Ok(4)).unwrap();
        assert_eq!(matrix.failed(), 0);
        assert!(matrix.to_string().ends_with("\n- a, fails: why\n"));
        perform(STEPS, &[("counts", "why")], "a", "[::1]:5", &mut matrix, |_, _| Ok(4)).unwrap();
        assert_eq!(matrix.failed(), 4);
    }

    #[test]
    fn a_long_exchange_is_bounded() {
        const FOREVER: &[Step<mpsc::Receiver<()>>] = &[("waits", |_, forever| Ok(forever.recv()?))];
        let (_held, forever) = mpsc::channel();
        let begin = move || Ok((Ours::new(Client::new(Address::IPV6_LOOPBACK), true)?, forever));
        assert_eq!(perform_one(FOREVER, Duration::ZERO, begin), [Outcome::Failed("took longer than 0 s".into())]);
    }

    #[test]
    fn steps_without_a_state_fail() {
        let failed = perform_one(STEPS, LIMIT, || Err("no state".into()));
        assert_eq!(failed, ["no state", NOT_PERFORMED].map(|why| Outcome::Failed(why.into())));
    }
}
