//! Our server. The servers of the other peers serve the same targets.
//!
//! | target | response |
//! | --- | --- |
//! | `/` | 200 without a body, to every method. HAProxy's default check is `OPTIONS /` |
//! | `/hello` | `hello, world` |
//! | `/large` | 1 MiB, in which the byte at `n` is `n % 251` |
//! | `/echo` | the request's body, with the boundaries and extensions of its chunks |
//! | `/chunks` | the chunks `one`, `two` and `three`, each with its number in the extension `n` |
//! | `/requests` | the number of requests on this connection |
//! | `/health` | 200 without a body |
//! | anything else | 404 |

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use degu_client::Client;
use degu_server::applib::ProxyApp;
use degu_server::{Handle, Limits, Listener, Method, Request, Response, Server, Session};

use crate::Result;
use crate::clients::body;
use crate::exchanges::{large, numbered};

/// The number of bytes of a request's body that `/echo` reads before it responds. No body of the exchanges is longer.
/// Many clients read nothing before they have sent everything. If the server responded earlier, the buffers of both
/// directions could fill, and such a client would wait forever.
const READ_FIRST: usize = 4 << 20;

async fn app(session: &mut Session, mut request: Request<'_>) -> Result<Response> {
    Ok(match (request.method(), request.segments()) {
        (_, []) => "".into(),
        (Method::Get | Method::Head, ["hello"]) => "hello, world".into(),
        (Method::Get | Method::Head, ["large"]) => (200, large()).into(),
        (Method::Get, ["chunks"]) => (200, body(&numbered(["one", "two", "three"]), Duration::ZERO)).into(),
        (Method::Get, ["health"]) => "".into(),
        (Method::Get, ["requests"]) => (200, session.requests().to_string()).into(),
        (Method::Post, ["echo"]) => {
            request.body.read_ahead(READ_FIRST).await?;
            (200, request.body).into()
        }
        _ => (404, "no such target").into(),
    })
}

/// Starts our server with these limits, and with the default for all other options. The server runs until the handle is
/// dropped.
pub(crate) fn start(address: &str, limits: Limits) -> Result<Handle> {
    let address: degu_server::Address = address.parse()?;
    Ok(Server::options().limits(limits).bind(address, app)?.spawn()?)
}

/// Starts our proxy, which forwards all requests to the server at `behind`.
pub(crate) fn start_proxy(address: &str, behind: &str) -> Result<Handle> {
    let behind: degu_client::Address = behind.parse()?;
    let address: degu_server::Address = address.parse()?;
    Ok(Server::bind(address, ProxyApp::new(Client::new(behind)))?.spawn()?)
}

/// Serves requests until the process is killed. The listening socket is the standard input.
pub(crate) fn serve_stdin() -> Result {
    let socket = Listener::try_from(io::stdin().as_fd().try_clone_to_owned()?)?;
    Ok(Server::options().listen([socket], app)?.serve_forever()?)
}
