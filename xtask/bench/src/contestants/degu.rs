//! Degu: the server on as many workers as it is told, and the client on tokio's current-thread runtime, both with their
//! default deadlines.

use std::rc::Rc;

use degu_client::Connection;
use degu_server::{BodyError, IntoResponse, Method, Request, Response, Server, Session};
use tokio::runtime::Runtime;

use super::{Client, Contestant, Dial, degu_stream};
use crate::Result;
use crate::message::{BODY, HELLO_BODY};
use crate::setup::{Setup, client_runtime};
use crate::socket::Address;

pub(super) const CONTESTANT: Contestant = Contestant {
    client: Some(prepare),
    server: Some(serve),
    crowd: Some(serve),
    tls: true,
    stream: Some(serve),
    fetch: Some(degu_stream::prepare),
    ..Contestant::named("degu")
};

/// More than any suite opens.
const CONNECTIONS: usize = 100_000;

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let mut options = Server::options().workers(setup.threads).spin(setup.polling).max_connections(CONNECTIONS);
    if let Some(policy) = setup.degu_server_tls()? {
        options = options.tls(policy);
    }
    let server = options.bind(degu_address(&setup.address)?, answer)?;
    ready(server.address().to_string().parse()?)?;
    server.serve_forever()?;
    Err("the server ended".into())
}

async fn answer(_: &mut Session, mut request: Request<'_>) -> std::result::Result<Response, BodyError> {
    if request.method() == Method::Get {
        return Ok(match *request.path() {
            [framing @ ("length" | "chunks"), pieces] => degu_stream::large(framing, pieces),
            _ => (200, "OK", HELLO_BODY).into_response(),
        });
    }
    let body = request.body.read_all(4096).await?;
    Ok((200, "OK", body).into_response())
}

pub(super) fn client(setup: &Setup) -> Result<degu_client::Client> {
    let mut options = degu_client::Client::options().host("localhost").spin(setup.polling);
    if let Some(policy) = setup.degu_client_tls()? {
        options = options.tls(policy);
    }
    Ok(options.client(degu_address(&setup.address)?))
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let (client, runtime) = (client(setup)?, client_runtime(true)?);
    Ok(Box::new(move || {
        let connection = runtime.block_on(client.connect())?;
        Ok(Box::new(Degu { connection, runtime: Rc::clone(&runtime) }))
    }))
}

/// The same address as a value of Degu.
pub(super) fn degu_address(address: &Address) -> Result<degu_client::Address> {
    Ok(address.to_string().parse()?)
}

struct Degu {
    // Before the runtime, which has to outlive its sockets.
    connection: Connection,
    runtime: Rc<Runtime>,
}

impl Client for Degu {
    fn trips(&mut self, count: u64) -> Result {
        let Self { connection, runtime } = self;
        runtime.block_on(async {
            for _ in 0..count {
                let response = connection.post("/example", BODY).await?;
                if response.status != 200 {
                    return Err("a status other than 200".into());
                }
                if response.body.read_all(4096).await?.len() != BODY.len() {
                    return Err("a body of another length".into());
                }
            }
            Ok(())
        })
    }
}
