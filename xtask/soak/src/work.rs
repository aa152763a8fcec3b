//! Workers: which client asks which server for what. The seed and a worker's number decide its plan.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use degu_client::Client;
use fastrand::Rng;

use crate::ask::{Ask, Manner, Verdict, is_stale};
use crate::ends::End;
use crate::tally::{FAULTS, Tally};
use crate::target::Target;

/// The pause of a worker after a connection that could not be made.
const REST: Duration = Duration::from_millis(20);

/// State that all workers of a run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) tally: Tally,
    /// Clients of the servers themselves.
    pub(crate) near: Vec<(Target, Client)>,
    /// Clients of the relays before them, which count the connections.
    pub(crate) far: Vec<(Target, Client)>,
    /// Workers are to come to an end.
    pub(crate) stopping: AtomicBool,
}

/// The job of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Exchanges without a fault.
    Direct,
    /// Exchanges through relays.
    Relayed,
    /// Exchanges that it gives up.
    Leaver,
}

impl Role {
    /// The jobs of the async workers, with the number of workers for each.
    pub(crate) const ASYNC: [(Self, usize); 3] = [(Self::Direct, 8), (Self::Relayed, 9), (Self::Leaver, 3)];

    /// The jobs of the blocking workers.
    pub(crate) const BLOCKING: [(Self, usize); 3] = [(Self::Direct, 4), (Self::Relayed, 5), (Self::Leaver, 1)];

    /// One for each worker.
    pub(crate) fn each(roles: &[(Self, usize)]) -> impl Iterator<Item = Self> {
        roles.iter().flat_map(|(role, count)| std::iter::repeat_n(*role, *count))
    }
}

impl World {
    /// A sequence that the seed and a number decide.
    pub(crate) fn rng(&self, number: u64) -> Rng {
        Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Exchanges that came to some end.
    pub(crate) fn exchanges(&self) -> u64 {
        self.tally.sum(&["right", "refused", "failed", "left"])
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// A server for this role.
    fn choose(&self, role: Role, rng: &mut Rng) -> Option<(Target, Client)> {
        let near = |faulty| -> Vec<_> { self.near.iter().filter(|(target, _)| target.is_faulty() == faulty).collect() };
        match role {
            Role::Direct => rng.choice(near(false)).cloned(),
            Role::Leaver => rng.choice(near(true)).cloned(),
            Role::Relayed => rng.choice(&self.far).cloned(),
        }
    }
}

/// Connects and asks, over and over, until the world stops.
pub(crate) async fn work<E: End>(world: &World, role: Role, number: u64) {
    let mut rng = world.rng(number);
    while !world.is_stopping() {
        let Some((target, client)) = world.choose(role, &mut rng) else {
            E::rest(REST).await;
            continue;
        };
        match E::connect(&client).await {
            Ok(mut connection) => {
                if role != Role::Relayed {
                    world.tally.add(target.name(), "connections", 1);
                }
                let most = rng.u32(1..40);
                for used in 0..most {
                    perform(world, role, target, &mut connection, used > 0, &mut rng).await;
                    if connection.is_closed() || world.is_stopping() {
                        break;
                    }
                }
            }
            Err(error) => {
                let what = format!("connecting to {}", client.address());
                world.tally.note(target, Verdict::of(&error), &what);
                E::rest(REST).await;
            }
        }
    }
}

async fn perform<E: End>(
    world: &World,
    role: Role,
    target: Target,
    connection: &mut E,
    is_reused: bool,
    rng: &mut Rng,
) {
    let ask = if role == Role::Leaver { Ask::given_up(rng) } else { Ask::any(rng) };
    let (expected, summed, manner) = (ask.expected, ask.summed, ask.manner);
    let what = format!("{} {}", ask.method, ask.target);
    let tally = &world.tally;
    let outcome = connection.perform(ask).await;
    if is_reused && !target.is_faulty() && outcome.as_ref().is_err_and(is_stale) {
        // The server has not seen it.
        return world.tally.note(target, Verdict::Stale, &what);
    }
    tally.add(target.name(), "attempts", 1);
    let bytes = outcome.as_ref().map_or(0, |answer| answer.bytes);
    let verdict = expected.judge(outcome);
    match verdict {
        Verdict::Right => {
            tally.add(target.name(), "summed", summed);
            tally.add("all", "bytes", summed + bytes);
            tally.add(target.name(), "failures", u64::from(expected.status == 500));
        }
        Verdict::Left if matches!(manner, Manner::Cancel(_)) => tally.add(FAULTS, "exchanges cancelled", 1),
        Verdict::Left => tally.add(FAULTS, "responses left", 1),
        _ => {}
    }
    world.tally.note(target, verdict, &what);
}
