//! The contestants. Each is a client, a server, or both. Pairs of a client and a server are measured.

mod degu;
mod hyper;
#[cfg(feature = "peers")]
mod peers;
mod raw;

use std::thread;
use std::time::Duration;

use degu_server::Spin;
use tokio::runtime::Runtime;

use crate::Result;
use crate::ends::End;
use crate::message::{POSTS, Post};

/// A function that a server calls once, with the address to which its socket is bound.
pub(crate) type Ready<'r> = dyn FnMut(String) -> Result + 'r;

/// Serves every connection to an address. The response to POST has the body of the request, and the response to GET has
/// the target as its body. Returns only after an error.
pub(crate) type Server = fn(&End, &mut Ready<'_>) -> Result;

/// A client with an open connection. The function makes this number of round trips, with the next messages. In each
/// round trip, it sends the request, reads the response to its end, and checks the status and the length.
pub(crate) type Trips = Box<dyn FnMut(u64) -> Result>;

/// A client, a server, or both, with one name.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) client: Option<fn(&End) -> Result<Trips>>,
    pub(crate) server: Option<Server>,
}

/// Every contestant of this program.
pub(crate) static ALL: &[Contestant] = &[
    Contestant { name: "raw", client: Some(raw::client), server: Some(raw::serve) },
    Contestant { name: raw::POLLING, client: Some(raw::client), server: Some(raw::serve) },
    Contestant { name: "raw-tokio", client: Some(raw::tokio_client), server: Some(raw::serve_tokio) },
    Contestant { name: "hyper", client: Some(hyper::client), server: Some(hyper::serve) },
    Contestant { name: hyper::FLUSHING, client: None, server: Some(hyper::serve) },
    Contestant { name: "degu", client: Some(degu::client), server: Some(degu::serve) },
    Contestant { name: "degu-blocking", client: Some(degu::blocking_client), server: None },
    Contestant { name: "degu-pool", client: Some(degu::pool), server: None },
    Contestant { name: "degu-blocking-pool", client: Some(degu::blocking_pool), server: None },
];

/// The contestants that this program has only with the feature `peers`. A separate program has these contestants,
/// because their dependencies make hyper slower.
pub(crate) const PEERS: [&str; 6] = ["axum", "hyper-util", "reqwest", "ureq", "tonic", "tarpc"];

/// Splits the name of a contestant into the name without its suffix, and the way of spinning that the suffix selects.
pub(crate) fn split(name: &str) -> (&str, Spin) {
    let spins = [("-off", Spin::Off), ("-fixed", Spin::Fixed(Duration::from_micros(100)))];
    let found = spins.into_iter().find_map(|(suffix, spin)| Some((name.strip_suffix(suffix)?, spin)));
    found.unwrap_or((name, Spin::Adaptive))
}

/// Returns the contestant with this name.
pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    let all = ALL.iter();
    #[cfg(feature = "peers")]
    let all = all.chain(peers::ALL);
    let found = all.into_iter().find(|contestant| contestant.name == split(name).0);
    found.ok_or_else(|| format!("there is no contestant {name}").into())
}

/// Makes a client from a function that sends one request and returns the status of the response and the length of its
/// body.
fn calls<F>(runtime: &'static Runtime, mut call: F) -> Trips
where
    F: AsyncFnMut(&'static Post) -> Result<(u16, usize)> + 'static,
{
    let mut posts = POSTS.iter().cycle();
    Box::new(move |count| {
        runtime.block_on(async {
            for post in posts.by_ref().take(count as usize) {
                check(call(post).await?, post)?;
            }
            Ok(())
        })
    })
}

/// Makes a client from functions like that of [`calls`], which block. Each of `--threads` calls a function of its own.
fn blocking_calls<F>(end: &End, mut open: impl FnMut() -> Result<F>) -> Result<Trips>
where
    F: FnMut(&'static Post) -> Result<(u16, usize)> + Send + 'static,
{
    let client = |mut call: F| {
        let mut posts = POSTS.iter().cycle();
        move |count| posts.by_ref().take(count).try_for_each(|post| check(call(post)?, post))
    };
    let mut clients = (0..end.threads).map(|_| Ok(client(open()?))).collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move |count| {
        let share = count.div_ceil(clients.len() as u64) as usize;
        thread::scope(|scope| {
            let [own, others @ ..] = &mut clients[..] else { return Ok(()) };
            let others: Vec<_> = others.iter_mut().map(|trips| scope.spawn(move || trips(share))).collect();
            own(share)?;
            others.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })
    }))
}

/// Checks the status and the length of the response to a POST request.
fn check((status, length): (u16, usize), post: &Post) -> Result {
    if (status, length) == (200, post.body.len()) {
        return Ok(());
    }
    Err(format!("response with status {status} and {length} bytes instead of 200 and {} bytes", post.body.len()).into())
}
