//! Exchanges that could wait forever, because a tunnel has no deadline: performed on a thread, with a bound for each.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use degu_client::BoxError;

use crate::matrix::Outcome;
use crate::peer::LIMIT;

/// An exchange with its name, which is a column of the matrix.
pub(crate) type Step<S> = (&'static str, fn(&mut S) -> Result<(), BoxError>);

/// Returns the names of the steps.
pub(crate) fn columns<S>(steps: &[Step<S>]) -> Vec<&'static str> {
    steps.iter().map(|(name, _)| *name).collect()
}

/// Performs the steps one after the other, on the state that `begin` makes. If a step takes longer than [`LIMIT`], this
/// step and all later steps are given up.
pub(crate) fn perform<S: 'static>(
    steps: &'static [Step<S>],
    begin: impl FnOnce() -> Result<S, BoxError> + Send + 'static,
) -> Vec<Outcome> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut state = match begin() {
            Ok(state) => state,
            Err(error) => return drop(sender.send(Outcome::Failed(error.to_string()))),
        };
        for (_, step) in steps {
            let outcome = step(&mut state).map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Ok);
            if sender.send(outcome).is_err() {
                return;
            }
        }
    });
    let outcome = |_: &Step<S>| {
        receiver.recv_timeout(LIMIT).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => Outcome::Failed(format!("took longer than {} s", LIMIT.as_secs())),
            RecvTimeoutError::Disconnected => Outcome::Failed("not tried after a failure".into()),
        })
    };
    steps.iter().map(outcome).collect()
}

/// Performs one long exchange on a thread.
///
/// # Errors
///
/// It fails or takes longer than `limit`.
pub(crate) fn within(
    limit: Duration,
    exchange: impl FnOnce() -> Result<(), BoxError> + Send + 'static,
) -> Result<(), BoxError> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(exchange()));
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => format!("took longer than {} s", limit.as_secs()),
        RecvTimeoutError::Disconnected => "the thread panicked".into(),
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step<u8>] = &[
        ("counts", |state| {
            *state += 1;
            Ok(())
        }),
        ("fails", |state| Err(format!("state {state}").into())),
    ];

    #[test]
    fn steps_share_a_state() {
        assert_eq!(perform(STEPS, || Ok(4)), [Outcome::Ok, Outcome::Failed("state 5".into())]);
    }

    #[test]
    fn a_long_exchange_is_bounded() {
        assert!(within(LIMIT, || Ok(())).is_ok());
        assert_eq!(within(LIMIT, || Err("why".into())).unwrap_err().to_string(), "why");
        let (_held, forever) = mpsc::channel::<()>();
        let failed = within(Duration::ZERO, move || Ok(forever.recv()?)).unwrap_err();
        assert_eq!(failed.to_string(), "took longer than 0 s");
    }

    #[test]
    fn steps_without_a_state_fail() {
        let failed = perform(STEPS, || Err("no state".into()));
        assert_eq!(failed, ["no state", "not tried after a failure"].map(|why| Outcome::Failed(why.into())));
    }
}
