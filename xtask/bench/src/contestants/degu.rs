//! Degu: the server with the given number of workers, the client on tokio's current-thread runtime, and the blocking
//! client. All have their default deadlines.

use std::sync::LazyLock;
use std::thread;

use degu_client::{Headers, Method, blocking};
use degu_server::{Error, Request, Response, Server, Session};

use super::{Ready, Setup, Trips, calls, check};
use crate::Result;
use crate::message::{POSTS, Post, TRACE};

/// The largest number of connections. No suite opens more.
const CONNECTIONS: usize = 100_000;

/// The longest body of a response, in bytes. No response has more.
const LIMIT: usize = 4096;

pub(super) fn serve(setup: &Setup, ready: &mut Ready<'_>) -> Result {
    let mut options = Server::options().workers(setup.threads).spin(setup.spin).max_connections(CONNECTIONS);
    if let Some(policy) = setup.server_policy()? {
        options = options.tls(policy);
    }
    let server = options.bind(setup.address.parse::<degu_server::Address>()?, answer)?;
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

/// The fields of each message. They are made before the first message is sent.
static FIELDS: LazyLock<Vec<Headers>> = LazyLock::new(|| {
    let fields = POSTS.iter().map(|post| Headers::try_from([(TRACE, &post.trace)]));
    fields.collect::<std::result::Result<_, _>>().unwrap_or_else(|error| panic!("{error}"))
});

fn client_of(setup: &Setup) -> Result<degu_client::Client> {
    let options = degu_client::Client::options().host("localhost").spin(setup.spin);
    Ok(options.client(setup.address.parse::<degu_client::Address>()?))
}

pub(super) fn client(setup: &Setup) -> Result<Trips> {
    let (runtime, fields) = (setup.runtime(true)?, &*FIELDS);
    let mut connection = runtime.block_on(client_of(setup)?.connect())?;
    Ok(calls(runtime, async move |post| {
        let headers = &fields[post.number];
        let mut response = connection.request(Method::Post, &post.path, headers, post.body.as_slice()).await?;
        Ok((response.status, response.body.read_all(LIMIT).await?.len()))
    }))
}

pub(super) fn pool(setup: &Setup) -> Result<Trips> {
    let (pool, fields) = (client_of(setup)?.pool(), &*FIELDS);
    Ok(calls(setup.runtime(true)?, async move |post| {
        let headers = &fields[post.number];
        let mut response = pool.request(Method::Post, &post.path, headers, post.body.as_slice()).await?;
        Ok((response.status, response.body.read_all(LIMIT).await?.len()))
    }))
}

pub(super) fn blocking_client(setup: &Setup) -> Result<Trips> {
    let mut connection = blocking::Client::from(client_of(setup)?).connect()?;
    let (mut posts, fields) = (POSTS.iter().cycle(), &*FIELDS);
    Ok(Box::new(move |count| {
        posts.by_ref().take(count as usize).try_for_each(|post| {
            let headers = &fields[post.number];
            let mut response = connection.request(Method::Post, &post.path, headers, post.body.as_slice())?;
            check(response.status, response.body.read_all(LIMIT)?.len(), post)
        })
    }))
}

/// Makes a client whose threads share a pool.
pub(super) fn blocking_pool(setup: &Setup) -> Result<Trips> {
    let (pool, fields) = (blocking::Client::from(client_of(setup)?).pool(), &*FIELDS);
    let mut posts = vec![POSTS.iter().cycle(); setup.threads];
    Ok(Box::new(move |count| {
        let share = count.div_ceil(posts.len() as u64) as usize;
        let run = |posts: &mut dyn Iterator<Item = _>| {
            posts.take(share).try_for_each(|post: &Post| {
                let headers = &fields[post.number];
                let mut response = pool.request(Method::Post, &post.path, headers, post.body.as_slice())?;
                check(response.status, response.body.read_all(LIMIT)?.len(), post)
            })
        };
        thread::scope(|scope| {
            let [own, others @ ..] = &mut posts[..] else { return Ok(()) };
            let others: Vec<_> = others.iter_mut().map(|posts| scope.spawn(move || run(posts))).collect();
            run(own)?;
            others.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })
    }))
}
