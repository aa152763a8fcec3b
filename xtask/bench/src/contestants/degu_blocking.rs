//! Degu's blocking client, which needs no runtime.

use degu_client::blocking;

use super::degu::degu_address;
use super::{Client, Contestant, Dial, Fetch};
use crate::Result;
use crate::message::BODY;
use crate::setup::Setup;

pub(super) const CONTESTANT: Contestant =
    Contestant { client: Some(prepare), tls: true, fetch: Some(prepare_fetch), ..Contestant::named("degu-blocking") };

fn client(setup: &Setup) -> Result<blocking::Client> {
    let mut options = blocking::Client::options().host("localhost").spin(setup.polling);
    if let Some(policy) = setup.degu_client_tls()? {
        options = options.tls(policy);
    }
    Ok(options.client(degu_address(&setup.address)?))
}

fn prepare_fetch(setup: &Setup) -> Result<Fetch> {
    let mut connection = client(setup)?.connect()?;
    Ok(Box::new(move |wanted| {
        let mut body = connection.get(&wanted.target())?.body;
        let mut octets = 0;
        while let Some(piece) = body.next_data()? {
            octets += piece.len() as u64;
        }
        Ok(octets)
    }))
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let client = client(setup)?;
    Ok(Box::new(move || Ok(Box::new(client.connect()?))))
}

impl Client for blocking::Connection {
    fn trips(&mut self, count: u64) -> Result {
        for _ in 0..count {
            let response = self.post("/example", BODY)?;
            if response.status != 200 {
                return Err("a status other than 200".into());
            }
            if response.body.read_all(4096)?.len() != BODY.len() {
                return Err("a body of another length".into());
            }
        }
        Ok(())
    }
}
