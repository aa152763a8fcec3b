//! The contestants. Each is a client, a server, or both. Pairs of a client and a server are measured.

mod degu;
mod hyper;
#[cfg(feature = "peers")]
mod peers;
mod raw;
mod raw_tokio;

use std::path::PathBuf;
use std::time::Duration;

use degu_server::Spin;
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::message::{POSTS, Post};

/// The address and the settings of a client or server.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) address: String,
    /// The folder of the certificates. If it is set, client and server use TLS, and both show a certificate.
    pub(crate) pki: Option<PathBuf>,
    /// The number of threads of the process.
    pub(crate) threads: usize,
    /// The way in which Degu's clients and servers wait for the next message.
    pub(crate) spin: Spin,
}

/// A function that a server calls once, with the address to which its socket is bound.
pub(crate) type Ready<'r> = dyn FnMut(String) -> Result + 'r;

/// Serves every connection to an address. The response to POST has the body of the request, and the response to GET has
/// the target as its body. Returns only after an error.
pub(crate) type Server = fn(&Setup, &mut Ready<'_>) -> Result;

/// A client with an open connection. The function makes this number of round trips, with the next messages. In each
/// round trip, it sends the request, reads the response to its end, and checks the status and the length.
pub(crate) type Trips = Box<dyn FnMut(u64) -> Result>;

/// A client, a server, or both, with one name.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) client: Option<fn(&Setup) -> Result<Trips>>,
    pub(crate) server: Option<Server>,
}

/// Every contestant of this program.
pub(crate) static ALL: &[Contestant] = &[
    Contestant {
        name: "raw",
        client: Some(|setup| raw::client(setup, false)),
        server: Some(|setup, ready| raw::serve(setup, ready, false)),
    },
    Contestant {
        name: "raw-poll",
        client: Some(|setup| raw::client(setup, true)),
        server: Some(|setup, ready| raw::serve(setup, ready, true)),
    },
    Contestant { name: "raw-tokio", client: Some(raw_tokio::client), server: Some(raw_tokio::serve) },
    Contestant {
        name: "hyper",
        client: Some(hyper::client),
        server: Some(|setup, ready| hyper::serve(setup, ready, false)),
    },
    Contestant { name: "hyper-flush", client: None, server: Some(|setup, ready| hyper::serve(setup, ready, true)) },
    Contestant { name: "degu", client: Some(degu::client), server: Some(degu::serve) },
    Contestant { name: "degu-blocking", client: Some(degu::blocking_client), server: None },
    Contestant { name: "degu-pool", client: Some(degu::pool), server: None },
    Contestant { name: "degu-blocking-pool", client: Some(degu::blocking_pool), server: None },
];

/// The contestants that this program has only with the feature `peers`. They are built as a separate program, because
/// their dependencies make hyper slower.
pub(crate) const PEERS: [&str; 6] = ["axum", "hyper-util", "reqwest", "ureq", "tonic", "tarpc"];

/// The suffixes of the names of Degu's contestants, and the way of waiting that each suffix selects.
const SPINS: [(&str, Spin); 2] = [("-off", Spin::Off), ("-fixed", Spin::Fixed(Duration::from_micros(100)))];

/// Splits the name of a contestant into the name without its suffix, and the way of waiting that the suffix selects.
pub(crate) fn split(name: &str) -> (&str, Spin) {
    let ours = SPINS.iter().find_map(|(suffix, spin)| Some((name.strip_suffix(suffix)?, *spin)));
    ours.filter(|(plain, _)| plain.starts_with("degu")).unwrap_or((name, Spin::Adaptive))
}

/// Returns the contestant with this name.
pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    let all = ALL.iter();
    #[cfg(feature = "peers")]
    let all = all.chain(peers::ALL);
    let found = all.into_iter().find(|contestant| contestant.name == split(name).0);
    found.ok_or_else(|| format!("there is no contestant {name}").into())
}

impl Setup {
    /// Builds a runtime, which lives until the process ends. It has timers only if `timers` is set, because checking
    /// timers costs a little time.
    pub(crate) fn runtime(&self, timers: bool) -> Result<&'static Runtime> {
        let mut builder = if self.threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let builder = if timers { builder.enable_all() } else { builder.enable_io() };
        Ok(Box::leak(Box::new(builder.worker_threads(self.threads).build()?)))
    }
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
                let (status, length) = call(post).await?;
                check(status, length, post)?;
            }
            Ok(())
        })
    })
}

/// Checks the response to a POST request.
fn check(status: u16, length: usize, post: &Post) -> Result {
    match (status, length) {
        (200, length) if length == post.body.len() => Ok(()),
        _ => Err(format!("status {status} with {length} bytes instead of {}", post.body.len()).into()),
    }
}
