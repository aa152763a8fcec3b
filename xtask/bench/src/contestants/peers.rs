//! The libraries that a program would use instead of Degu, each as its documentation advises. They exchange the same content, with
//! fields of their own or in a protocol of their own.

mod rpc;
mod web;

use std::iter::Cycle;
use std::rc::Rc;
use std::slice::Iter;

use tokio::runtime::{Builder, Runtime};

use super::{Client, Contestant, Setup, check};
use crate::Result;
use crate::message::{POSTS, Post};

pub(super) static ALL: &[Contestant] = &[
    Contestant { name: "axum", client: None, server: Some(web::serve_axum), simple: false },
    Contestant { name: "hyper-util", client: Some(web::hyper_util), server: None, simple: false },
    Contestant { name: "reqwest", client: Some(web::reqwest), server: None, simple: false },
    Contestant { name: "ureq", client: Some(web::ureq), server: None, simple: false },
    Contestant { name: "tonic", client: Some(rpc::tonic), server: Some(rpc::serve_tonic), simple: false },
    Contestant { name: "tarpc", client: Some(rpc::tarpc), server: Some(rpc::serve_tarpc), simple: false },
];

/// A client of which the calls share only its own state.
struct Calls<F> {
    // Before the runtime, which has to outlive its sockets.
    call: F,
    runtime: Rc<Runtime>,
    posts: Cycle<Iter<'static, Post>>,
}

/// A client that is made from a function. The function sends a message and returns the status and the length of the
/// response.
fn calls<F>(runtime: &Rc<Runtime>, call: F) -> Box<dyn Client>
where
    F: AsyncFnMut(&'static Post) -> Result<(u16, usize)> + 'static,
{
    Box::new(Calls { call, runtime: Rc::clone(runtime), posts: POSTS.iter().cycle() })
}

impl<F: AsyncFnMut(&'static Post) -> Result<(u16, usize)>> Client for Calls<F> {
    fn trips(&mut self, count: u64) -> Result {
        let Self { call, runtime, posts } = self;
        runtime.block_on(async {
            for post in posts.by_ref().take(count as usize) {
                let (status, length) = call(post).await?;
                check(status, length, post.body.len())?;
            }
            Ok(())
        })
    }
}

/// A runtime for a server, with timers.
fn runtime(setup: &Setup) -> Result<Runtime> {
    let mut builder = if setup.threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    Ok(builder.worker_threads(setup.threads).enable_all().build()?)
}

/// The path, where the address is a Unix socket.
fn socket_path(setup: &Setup) -> Option<&str> {
    setup.address.strip_prefix("unix:")
}
