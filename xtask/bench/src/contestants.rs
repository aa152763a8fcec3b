//! Who takes part: a contestant is a file in this folder, an entry in [`ALL`], and the pairs it is measured in.

mod degu;
mod degu_blocking;
mod degu_stream;
mod httparse;
mod hyper;
mod hyper_stream;
mod raw;
mod raw_copy;
mod raw_poll;
mod raw_tokio;

use crate::Result;
use crate::setup::Setup;
use crate::socket::Address;
use crate::stream::Wanted;

/// Serves every connection that comes to an address, and tells its second argument, once, what the kernel bound.
/// Returns only with an error.
pub(crate) type Server = fn(&Setup, &mut dyn FnMut(Address) -> Result) -> Result;

/// Prepares what all connections of a client have in common.
pub(crate) type Prepare = fn(&Setup) -> Result<Dial>;

/// Opens a connection.
pub(crate) type Dial = Box<dyn FnMut() -> Result<Box<dyn Client>>>;

/// Fetches a large body over an open connection, and returns how many octets it had.
pub(crate) type Fetch = Box<dyn FnMut(Wanted) -> Result<u64>>;

/// A client with an open connection.
pub(crate) trait Client {
    /// Makes `count` round trips, one after the other: sends the request, reads the response to its end, and looks at
    /// it as closely as its kind does.
    fn trips(&mut self, count: u64) -> Result;

    /// Closes the connection as its kind does: under TLS, not without a close_notify.
    fn close(self: Box<Self>) -> Result {
        Ok(())
    }
}

/// A client, a server, or both, under one name.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) client: Option<Prepare>,
    /// Serves one connection after the other.
    pub(crate) server: Option<Server>,
    /// Serves many connections at once, answers GET with a greeting too, and speaks TLS if it is to.
    pub(crate) crowd: Option<Server>,
    /// Whether its client speaks TLS if it is to.
    pub(crate) tls: bool,
    /// Serves large bodies.
    pub(crate) stream: Option<Server>,
    /// Opens a connection to fetch large bodies over.
    pub(crate) fetch: Option<fn(&Setup) -> Result<Fetch>>,
}

impl Contestant {
    /// One that can nothing yet.
    const fn named(name: &'static str) -> Self {
        Self { name, client: None, server: None, crowd: None, tls: false, stream: None, fetch: None }
    }

    /// Its client's connections.
    pub(crate) fn dial(&self, setup: &Setup) -> Result<Dial> {
        let prepare = self.client.ok_or_else(|| format!("{} has no client", self.name))?;
        if setup.pki.is_some() && !self.tls {
            return Err(format!("{} does not speak TLS", self.name).into());
        }
        prepare(setup)
    }
}

/// Every contestant.
pub(crate) static ALL: &[Contestant] = &[
    raw::CONTESTANT,
    raw::VARIED,
    raw_poll::CONTESTANT,
    raw_tokio::CONTESTANT,
    raw_copy::CONTESTANT,
    httparse::CONTESTANT,
    hyper::CONTESTANT,
    degu::CONTESTANT,
    degu_blocking::CONTESTANT,
];

/// The pairs, client first, that are measured when nobody asks for others. `raw raw` and `hyper hyper` are what the
/// others are compared with.
pub(crate) static PAIRS: &[(&str, &str)] = &[
    ("raw", "raw"),
    ("raw-poll", "raw-poll"),
    ("raw-tokio", "raw-tokio"),
    ("httparse", "httparse"),
    ("hyper", "hyper"),
    ("degu", "degu"),
    ("degu-blocking", "degu"),
    ("degu-off", "degu-off"),
    ("degu-blocking-off", "degu-off"),
    // Each of our ends beside one that is not ours.
    ("degu", "hyper"),
    ("hyper", "degu"),
    ("raw", "degu"),
    ("degu", "raw"),
    ("degu-blocking", "raw"),
    // Beside heads that change each time, where ours gain nothing by heads that repeat.
    ("raw-varied", "degu"),
    ("degu", "raw-varied"),
];

/// What stands after the name of one of ours that does not poll.
pub(crate) const OFF: &str = "-off";

/// The contestant of a name.
pub(crate) fn find(name: &str) -> Result<&'static Contestant> {
    let known = |contestant: &&Contestant| match name.strip_suffix(OFF) {
        Some(ours) => contestant.name == ours && ours.starts_with("degu"),
        None => contestant.name == name,
    };
    ALL.iter().find(known).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|contestant| contestant.name).collect();
        format!("{name} is none of {}", names.join(", ")).into()
    })
}
