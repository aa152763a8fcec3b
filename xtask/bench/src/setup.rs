//! What a contestant is told on the command line, and the runtime that it runs in.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

use degu_server::Spin;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::Result;
use crate::socket::Address;

/// Where and how an end runs.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) address: Address,
    /// The folder of the certificates; with it, the end speaks TLS and both ends show their certificates.
    pub(crate) pki: Option<PathBuf>,
    /// How many threads a server for many connections has.
    pub(crate) threads: usize,
    /// Whether hyper keeps the responses to pipelined requests back until the last one.
    pub(crate) flush: bool,
    /// How our ends wait for the next message.
    pub(crate) polling: Spin,
}

impl Setup {
    /// One thread, without TLS.
    pub(crate) fn plain(address: Address) -> Self {
        Self { address, pki: None, threads: 1, flush: false, polling: Spin::default() }
    }

    /// A runtime for a server for many connections: without other threads if one is enough.
    pub(crate) fn runtime(&self) -> Result<Runtime> {
        Ok(if self.threads == 1 {
            Builder::new_current_thread().enable_io().build()?
        } else {
            Builder::new_multi_thread().worker_threads(self.threads).enable_io().build()?
        })
    }
}

/// The runtime of all clients of this thread: one for each connection would be a part of what a connection costs.
///
/// Without timers unless `timers`, since looking for them costs a little.
pub(crate) fn client_runtime(timers: bool) -> Result<Rc<Runtime>> {
    thread_local! {
        static RUNTIME: OnceCell<Rc<Runtime>> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        if let Some(runtime) = runtime.get() {
            return Ok(Rc::clone(runtime));
        }
        let mut builder = Builder::new_current_thread();
        builder.enable_io();
        if timers {
            builder.enable_time();
        }
        let built = Rc::new(builder.build()?);
        Ok(Rc::clone(runtime.get_or_init(|| built)))
    })
}

/// Allows this process as many descriptors as it can be allowed.
pub(crate) fn raise_descriptors() -> Result {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
