//! Degu: the server on one worker, and the client on tokio's current-thread runtime, both with their default deadlines.

use degu_client::Connection;
use degu_server::{BodyError, IntoResponse, Request, Response, Server, Session};
use tokio::runtime::{Builder, Runtime};

use super::{Client, Contestant};
use crate::Result;
use crate::message::BODY;
use crate::socket::Address;

pub(super) const CONTESTANT: Contestant = Contestant { name: "degu", client: Some(connect), server: Some(serve) };

fn serve(address: &Address, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let server = Server::options().workers(1).bind(degu_address(address)?, echo)?;
    ready(server.address().to_string().parse()?)?;
    server.serve_forever()?;
    Err("the server ended".into())
}

async fn echo(_: &mut Session, mut request: Request<'_>) -> std::result::Result<Response, BodyError> {
    let body = request.body.read_all(4096).await?;
    Ok((200, "OK", body).into_response())
}

fn connect(address: &Address) -> Result<Box<dyn Client>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = degu_client::Client::options().host("localhost").client(degu_address(address)?);
    let connection = runtime.block_on(client.connect())?;
    Ok(Box::new(Degu { connection, runtime }))
}

/// The same address as a value of Degu.
pub(super) fn degu_address(address: &Address) -> Result<degu_client::Address> {
    Ok(address.to_string().parse()?)
}

struct Degu {
    // Before the runtime, which has to outlive its sockets.
    connection: Connection,
    runtime: Runtime,
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
