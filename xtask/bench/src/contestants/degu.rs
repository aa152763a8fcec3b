//! Degu: the server with the given number of workers, the client on tokio's current-thread runtime, and the blocking
//! client. All have their default deadlines.

use degu_client::{Method, blocking};
use degu_server::{Error, Request, Response, Server, Session};

use super::{Ready, Trips, blocking_calls, calls, split};
use crate::Result;
use crate::ends::End;
use crate::message::Post;

/// The largest number of connections. No suite opens more.
const CONNECTIONS: usize = 100_000;

/// The longest body of a response, in bytes. No response has more.
const LIMIT: usize = 4096;

pub(super) fn serve(end: &End, ready: &mut Ready<'_>) -> Result {
    let spin = split(&end.contestant).1;
    let mut options = Server::options().workers(end.threads).spin(spin).max_connections(CONNECTIONS);
    if let Some(policy) = end.server_policy()? {
        options = options.tls(policy);
    }
    let server = options.bind(end.address.parse::<degu_server::Address>()?, answer)?;
    ready(server.address().to_string())?;
    server.serve_forever()?;
    Err("the server ended".into())
}

async fn answer(_: &mut Session, mut request: Request<'_>) -> std::result::Result<Response, Error> {
    if request.method() == Method::Get {
        return Ok((200, request.target().to_owned()).into());
    }
    Ok((200, request.body.read_all(LIMIT).await?).into())
}

fn client_of(end: &End) -> Result<degu_client::Client> {
    let options = degu_client::Client::options().host("localhost").spin(split(&end.contestant).1);
    Ok(options.client(end.address.parse::<degu_client::Address>()?))
}

pub(super) fn client(end: &End) -> Result<Trips> {
    let runtime = end.runtime(true)?;
    let mut connection = runtime.block_on(client_of(end)?.connect())?;
    Ok(calls(runtime, async move |post| {
        let mut response = connection.request(Method::Post, &post.path, &post.headers, post.body.as_slice()).await?;
        Ok((response.status, response.body.read_all(LIMIT).await?.len()))
    }))
}

pub(super) fn pool(end: &End) -> Result<Trips> {
    let pool = client_of(end)?.pool();
    Ok(calls(end.runtime(true)?, async move |post| {
        let mut response = pool.request(Method::Post, &post.path, &post.headers, post.body.as_slice()).await?;
        Ok((response.status, response.body.read_all(LIMIT).await?.len()))
    }))
}

pub(super) fn blocking_client(end: &End) -> Result<Trips> {
    let client = blocking::Client::from(client_of(end)?);
    blocking_calls(end, || {
        let mut connection = client.connect()?;
        Ok(move |post: &'static Post| {
            let mut response = connection.request(Method::Post, &post.path, &post.headers, post.body.as_slice())?;
            Ok((response.status, response.body.read_all(LIMIT)?.len()))
        })
    })
}

/// Makes a client whose threads share a pool.
pub(super) fn blocking_pool(end: &End) -> Result<Trips> {
    let pool = blocking::Client::from(client_of(end)?).pool();
    blocking_calls(end, || {
        let pool = pool.clone();
        Ok(move |post: &'static Post| {
            let mut response = pool.request(Method::Post, &post.path, &post.headers, post.body.as_slice())?;
            Ok((response.status, response.body.read_all(LIMIT)?.len()))
        })
    })
}
