//! The contestants. Each is a client, a server or both, and each pair of a client and a server is measured.

mod degu;
mod hyper;
#[cfg(feature = "peers")]
mod peers;
mod raw;
mod raw_tokio;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use degu_server::Spin;
use tokio::runtime::{Builder, Runtime};

use crate::Result;

/// The address and the settings of an end.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) address: String,
    /// The folder of the certificates. With it, the end speaks TLS, and both ends show their certificates.
    pub(crate) pki: Option<PathBuf>,
    /// The number of threads of a server or of a load.
    pub(crate) threads: usize,
    /// The way in which Degu's ends wait for the next message.
    pub(crate) spin: Spin,
}

/// A function that is called once, with the address that the kernel bound.
pub(crate) type Ready<'r> = dyn FnMut(String) -> Result + 'r;

/// Serves every connection to an address: POST gets its body back and GET its target, and `/length/N` and `/chunks/N` are
/// large bodies. Returns only with an error.
pub(crate) type Server = fn(&Setup, &mut Ready<'_>) -> Result;

/// Opens a connection.
pub(crate) type Dial = Box<dyn FnMut() -> Result<Box<dyn Client>>>;

/// A client with an open connection.
pub(crate) trait Client {
    /// Makes round trips with the next `count` messages: sends the request, reads the response to its end, and checks status
    /// and length.
    fn trips(&mut self, count: u64) -> Result;

    /// Fetches a large body and returns its number of bytes.
    fn fetch(&mut self, _target: &str) -> Result<u64> {
        Err("it fetches nothing".into())
    }

    /// Closes the connection: under TLS, not without a close_notify.
    fn close(self: Box<Self>) -> Result {
        Ok(())
    }
}

/// A client, a server, or both, under one name.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    /// Prepares what all connections of a client share.
    pub(crate) client: Option<fn(&Setup) -> Result<Dial>>,
    pub(crate) server: Option<Server>,
    /// True if the server serves one connection at a time, and no GET.
    pub(crate) simple: bool,
}

/// Every contestant of this program. The last two of `raw` never sleep, and copy large bodies.
pub(crate) static ALL: &[Contestant] = &[
    Contestant { name: "raw", client: Some(raw::client), server: Some(raw::serve), simple: true },
    Contestant { name: "raw-poll", client: Some(raw::polling_client), server: Some(raw::serve_polling), simple: true },
    Contestant { name: "raw-copy", client: Some(raw::client), server: Some(raw::serve_copies), simple: true },
    Contestant { name: "raw-tokio", client: Some(raw_tokio::client), server: Some(raw_tokio::serve), simple: false },
    Contestant { name: "hyper", client: Some(hyper::client), server: Some(hyper::serve), simple: false },
    Contestant { name: "hyper-flush", client: None, server: Some(hyper::serve_flushing), simple: false },
    Contestant { name: "degu", client: Some(degu::client), server: Some(degu::serve), simple: false },
    Contestant { name: "degu-blocking", client: Some(degu::blocking_client), server: None, simple: false },
    Contestant { name: "degu-pool", client: Some(degu::pool), server: None, simple: false },
    Contestant { name: "degu-blocking-pool", client: Some(degu::blocking_pool), server: None, simple: false },
];

/// The contestants of the same program with the feature `peers`. They are a separate program, because their
/// dependencies make hyper slower.
pub(crate) const PEERS: [&str; 6] = ["axum", "hyper-util", "reqwest", "ureq", "tonic", "tarpc"];

/// The suffixes of the names of Degu's contestants, and the way of waiting for each suffix.
const SPINS: [(&str, Spin); 2] = [("-off", Spin::Off), ("-fixed", Spin::Fixed(Duration::from_micros(100)))];

/// The name of a contestant without the way in which it waits, and that way.
pub(crate) fn split(name: &str) -> (&str, Option<Spin>) {
    let ours = SPINS.iter().find_map(|(suffix, spin)| Some((name.strip_suffix(suffix)?, Some(*spin))));
    ours.filter(|(plain, _)| plain.starts_with("degu")).unwrap_or((name, None))
}

/// The contestant of a name.
pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    let all = ALL.iter();
    #[cfg(feature = "peers")]
    let all = all.chain(peers::ALL);
    let found = all.into_iter().find(|contestant| contestant.name == split(name).0);
    found.ok_or_else(|| format!("there is no contestant {name}").into())
}

/// Prepares the connections of the client of this name.
pub(crate) fn dial(name: &str, setup: &Setup) -> Result<Dial> {
    find(name)?.client.ok_or_else(|| format!("{name} has no client"))?(setup)
}

impl Setup {
    /// A runtime for a server: without other threads if one is enough.
    pub(crate) fn runtime(&self) -> Result<Runtime> {
        Ok(match self.threads {
            1 => Builder::new_current_thread().enable_io().build()?,
            threads => Builder::new_multi_thread().worker_threads(threads).enable_io().build()?,
        })
    }
}

/// The runtime of all clients of this thread. A runtime for each connection would add to the measured cost of a
/// connection. It has timers only if `timers` is set, because checking timers costs a little.
pub(crate) fn client_runtime(timers: bool) -> Result<Rc<Runtime>> {
    thread_local! {
        static RUNTIME: OnceCell<Rc<Runtime>> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime.get() {
            return Ok(Rc::clone(runtime));
        }
        let mut builder = Builder::new_current_thread();
        let built = if timers { builder.enable_all() } else { builder.enable_io() }.build()?;
        Ok(Rc::clone(runtime.get_or_init(|| Rc::new(built))))
    })
}

/// The piece that a server writes again and again for a large body.
pub(crate) static PIECE: &[u8] = &[b'x'; 64 * 1024];

/// A large body, from the target of a request: whether it is chunked, and its number of pieces.
pub(crate) fn large(target: &str) -> Option<(bool, usize)> {
    let (framing, pieces) = target.strip_prefix('/')?.split_once('/')?;
    match framing {
        "length" => Some((false, pieces.parse().ok()?)),
        "chunks" => Some((true, pieces.parse().ok()?)),
        _ => None,
    }
}

/// Checks the response to a POST.
pub(crate) fn check(status: u16, length: usize, expected: usize) -> Result {
    match (status, length) {
        (200, length) if length == expected => Ok(()),
        _ => Err(format!("status {status} with {length} bytes instead of {expected}").into()),
    }
}
