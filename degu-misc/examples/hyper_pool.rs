//! The pooled client of hyper-util over a Unix socket. Requests at the same time have a connection each. The pool keeps
//! the connections for later requests.
//!
//! A URI has no place for the path of a socket. So the connector has the address, and the server reads the authority of
//! the URI in Host.

use degu_client::{Bytes, Connector};
use degu_misc::TempServer;
use degu_server::{Address, BoxError, Request, Session};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};

async fn app(session: &mut Session, mut request: Request<'_>) -> Result<String, BoxError> {
    let text = request.body.read_all(1024).await?;
    Ok(format!("{}: request {} of its connection", String::from_utf8_lossy(&text), session.requests()))
}

type Pool = legacy::Client<Connector, Full<Bytes>>;

async fn ask(pool: Pool, text: String) -> Result<String, BoxError> {
    let mut request = hyper::Request::post("http://localhost/").body(Full::from(text))?;
    request.headers_mut().insert("x-example", "hyper_pool".parse()?);
    let body = pool.request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let server = TempServer::new(Address::unix(folder.path().join("pool.sock")), app);
    let pool: Pool = legacy::Client::builder(TokioExecutor::new()).build(Connector::new(server.async_client()));
    for round in 1..=3 {
        let asked: Vec<_> = (1..=4).map(|count| tokio::spawn(ask(pool.clone(), format!("{round}.{count}")))).collect();
        for answer in asked {
            println!("{}", answer.await??);
        }
    }
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("hyper_pool: {error}");
        std::process::exit(1)
    });
}
