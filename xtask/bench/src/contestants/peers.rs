//! The libraries that a program would use instead of Degu, used as their documentation advises. These libraries
//! exchange the same content, but add their own fields or use their own protocol.

mod rpc;
mod web;

use super::Contestant;
use crate::ends::End;

pub(super) static ALL: &[Contestant] = &[
    Contestant { name: "axum", client: None, server: Some(web::serve_axum) },
    Contestant { name: "hyper-util", client: Some(web::hyper_util), server: None },
    Contestant { name: "reqwest", client: Some(web::reqwest), server: None },
    Contestant { name: "ureq", client: Some(web::ureq), server: None },
    Contestant { name: "tonic", client: Some(rpc::tonic), server: Some(rpc::serve_tonic) },
    Contestant { name: "tarpc", client: Some(rpc::tarpc), server: Some(rpc::serve_tarpc) },
];

/// Returns the path of a Unix socket, or `None` if the address is not such a path.
fn socket_path(end: &End) -> Option<&str> {
    end.address.strip_prefix("unix:")
}
