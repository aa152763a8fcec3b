//! Our server of `cargo xtask interop`: `degu-interop-server [--allow-missing-host] [--proxy ADDRESS] ADDRESS`, or
//! `degu-interop-server --activated`, whose socket is its stdin.
//!
//! The first line of output is `listening on ADDRESS`; it ends when its stdin does, unless that is its socket. With
//! `--proxy` it passes all requests on. What it serves else is what every server among the peers serves:
//!
//! | target | answer |
//! | --- | --- |
//! | `/hello` | `hello, world` |
//! | `/large` | 1 MiB, in which the octet at `n` is `n % 251` |
//! | `/echo` | the request's body, chunks with their boundaries and extensions |
//! | `/chunks` | `one`, `two` and `three`, a chunk each, with the extension `n` that counts them |
//! | `/requests` | how many requests came on this connection |
//! | `/health` | nothing, with 200: that it is there is all there is to know |
//! | anything else | 404 |

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use degu_client::Client;
use degu_server::applib::ProxyApp;
use degu_server::{
    Address, Body, BoxError, BoxedApp, Chunk, IntoResponse, Limits, Listener, Method, Request, Response, Server,
    Session,
};
use lexopt::{Arg, ValueExt};

const USAGE: &str = "usage: degu-interop-server [--allow-missing-host] [--proxy ADDRESS] ADDRESS | --activated";

/// So much of a body is read before its answer begins: all of it. Many clients read nothing until they have sent
/// everything, and wait for ever if the answer and the rest of the request fill the buffers in between.
const READ_FIRST: usize = 4 << 20;

async fn app(session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match (request.method(), request.path()) {
        (Method::Get | Method::Head, ["hello"]) => (200, "OK", "hello, world").into_response(),
        (Method::Get | Method::Head, ["large"]) => (200, "OK", large()).into_response(),
        (Method::Get, ["chunks"]) => (200, "OK", chunks()).into_response(),
        (Method::Get, ["health"]) => (200, "OK", "").into_response(),
        (Method::Get, ["requests"]) => (200, "OK", session.requests().to_string()).into_response(),
        (Method::Post, ["echo"]) => {
            request.body.read_ahead(READ_FIRST).await?;
            (200, "OK", request.body).into_response()
        }
        _ => (404, "Not Found", "there is no such thing").into_response(),
    })
}

fn large() -> Vec<u8> {
    // Every value is below 251.
    (0..1_usize << 20).map(|n| (n % 251) as u8).collect()
}

fn chunks() -> Body {
    let words = ["one", "two", "three"].into_iter().zip(1..);
    Body::unfold(words, |mut words| async move {
        let (word, n) = words.next()?;
        Some((Chunk::new(word).with_extension("n", n), words))
    })
}

fn main() -> Result<(), BoxError> {
    let (mut address, mut limits, mut behind, mut activated) = (None, Limits::DEFAULT, None, false);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(value) if address.is_none() => address = Some(value.parse::<Address>()?),
            Arg::Long("allow-missing-host") => limits.allow_missing_host = true,
            Arg::Long("proxy") => behind = Some(arguments.value()?.parse::<Address>()?),
            Arg::Long("activated") => activated = true,
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    let app = match behind {
        Some(behind) => BoxedApp::new(ProxyApp::new(Client::new(behind))),
        None => BoxedApp::new(app),
    };
    let options = Server::options().limits(limits);
    if activated {
        let socket = Listener::try_from(io::stdin().as_fd().try_clone_to_owned()?)?;
        return Ok(options.listen([socket], app)?.serve_forever()?);
    }
    let server = options.bind(address.ok_or(USAGE)?, app)?.spawn()?;
    writeln!(io::stdout(), "listening on {}", server.address())?;
    io::stdout().flush()?;
    // What is written to it means nothing; its end means that nobody needs the server any more.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    server.shutdown_blocking();
    Ok(())
}
