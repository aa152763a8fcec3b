//! Our server: what it serves, which is what every server among the peers serves, and how it is started.
//!
//! | target | answer |
//! | --- | --- |
//! | `/` | nothing, with 200, whatever the method: HAProxy's default check asks `OPTIONS /` |
//! | `/hello` | `hello, world` |
//! | `/large` | 1 MiB, in which the byte at `n` is `n % 251` |
//! | `/echo` | the request's body, chunks with their boundaries and extensions |
//! | `/chunks` | `one`, `two` and `three`, a chunk each, with the extension `n` that counts them |
//! | `/requests` | how many requests came on this connection |
//! | `/health` | nothing, with 200: that it is there is all there is to know |
//! | anything else | 404 |

use std::io;
use std::os::fd::AsFd;

use degu_client::Client;
use degu_server::applib::ProxyApp;
use degu_server::{Body, BoxError, Chunk, Handle, Limits, Listener, Method, Request, Response, Server, Session};

use crate::Result;
use crate::exchanges::large;

/// So much of a body is read before its answer begins: all of it. Many clients read nothing until they have sent
/// everything, and wait forever if the answer and the rest of the request fill the buffers in between.
const READ_FIRST: usize = 4 << 20;

async fn app(session: &mut Session, mut request: Request<'_>) -> std::result::Result<Response, BoxError> {
    Ok(match (request.method(), request.segments()) {
        (_, []) => "".into(),
        (Method::Get | Method::Head, ["hello"]) => "hello, world".into(),
        (Method::Get | Method::Head, ["large"]) => (200, large()).into(),
        (Method::Get, ["chunks"]) => (200, chunks()).into(),
        (Method::Get, ["health"]) => "".into(),
        (Method::Get, ["requests"]) => (200, session.requests().to_string()).into(),
        (Method::Post, ["echo"]) => {
            request.body.read_ahead(READ_FIRST).await?;
            (200, request.body).into()
        }
        _ => (404, "there is no such thing").into(),
    })
}

fn chunks() -> Body {
    let words = ["one", "two", "three"].into_iter().zip(1..);
    Body::try_unfold(words, |mut words| async move {
        Ok(words.next().map(|(word, n)| (Chunk::new(word).with_extension("n", n), words)))
    })
}

/// Starts our server on an address, with these limits and otherwise default options. The server ends when the handle is dropped.
pub(crate) fn start(address: &str, limits: Limits) -> Result<Handle> {
    let address: degu_server::Address = address.parse()?;
    Ok(Server::options().limits(limits).bind(address, app)?.spawn()?)
}

/// Starts a proxy that passes all requests on.
pub(crate) fn start_proxy(address: &str, behind: &str) -> Result<Handle> {
    let behind: degu_client::Address = behind.parse()?;
    let address: degu_server::Address = address.parse()?;
    Ok(Server::bind(address, ProxyApp::new(Client::new(behind)))?.spawn()?)
}

/// Serves on the socket that is the standard input, until the process is killed.
pub(crate) fn serve_stdin() -> Result {
    let socket = Listener::try_from(io::stdin().as_fd().try_clone_to_owned()?)?;
    Ok(Server::options().listen([socket], app)?.serve_forever()?)
}
