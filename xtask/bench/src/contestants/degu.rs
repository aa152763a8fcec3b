//! Degu: the server on as many workers as it is told, and the client on tokio's current-thread runtime, both with their
//! default deadlines.

use std::rc::Rc;
use std::time::Duration;

use degu_client::Connection;
use degu_server::{BodyError, IntoResponse, Method, Polling, Request, Response, Server, Session};
use tokio::runtime::Runtime;

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::{BODY, HELLO_BODY};
use crate::setup::{Setup, client_runtime};
use crate::socket::Address;

pub(super) const CONTESTANT: Contestant = Contestant {
    client: Some(prepare),
    server: Some(serve),
    crowd: Some(serve),
    tls: true,
    ..Contestant::named("degu")
};

/// More than any suite opens.
const CONNECTIONS: usize = 100_000;

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let mut options = Server::options().workers(setup.threads).polling(polling()?).max_connections(CONNECTIONS);
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
        return Ok((200, "OK", HELLO_BODY).into_response());
    }
    let body = request.body.read_all(4096).await?;
    Ok((200, "OK", body).into_response())
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let runtime = client_runtime(true)?;
    let mut options = degu_client::Client::options().host("localhost").polling(polling()?);
    if let Some(policy) = setup.degu_client_tls()? {
        options = options.tls(policy);
    }
    let client: degu_client::Client = options.client(degu_address(&setup.address)?);
    Ok(Box::new(move || {
        let connection = runtime.block_on(client.connect())?;
        Ok(Box::new(Degu { connection, runtime: Rc::clone(&runtime) }))
    }))
}

/// How our ends wait, by the environment variable `DEGU_POLLING`: `off`, a number of microseconds, or by default.
pub(super) fn polling() -> Result<Polling> {
    let Ok(polling) = std::env::var("DEGU_POLLING") else { return Ok(Polling::default()) };
    Ok(match polling.as_str() {
        "off" => Polling::Off,
        "adaptive" => Polling::Adaptive,
        micros => Polling::Fixed(Duration::from_micros(micros.parse()?)),
    })
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
