//! The libraries that a program would use instead of Degu, each as its documentation advises. They exchange the same
//! content, with fields of their own or in a protocol of their own.

mod rpc;
mod web;

use super::{Contestant, Setup};

pub(super) static ALL: &[Contestant] = &[
    Contestant { name: "axum", client: None, server: Some(web::serve_axum) },
    Contestant { name: "hyper-util", client: Some(web::hyper_util), server: None },
    Contestant { name: "reqwest", client: Some(web::reqwest), server: None },
    Contestant { name: "ureq", client: Some(web::ureq), server: None },
    Contestant { name: "tonic", client: Some(rpc::tonic), server: Some(rpc::serve_tonic) },
    Contestant { name: "tarpc", client: Some(rpc::tarpc), server: Some(rpc::serve_tarpc) },
];

/// Returns the path of a Unix socket. `None`: the address is not a Unix socket.
fn socket_path(setup: &Setup) -> Option<&str> {
    setup.address.strip_prefix("unix:")
}
