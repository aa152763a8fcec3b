//! Degu's blocking client, which needs no runtime.

use degu_client::blocking;

use super::degu::{degu_address, polling};
use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::BODY;
use crate::setup::Setup;

pub(super) const CONTESTANT: Contestant =
    Contestant { client: Some(prepare), tls: true, ..Contestant::named("degu-blocking") };

fn prepare(setup: &Setup) -> Result<Dial> {
    let mut options = blocking::Client::options().host("localhost").polling(polling()?);
    if let Some(policy) = setup.degu_client_tls()? {
        options = options.tls(policy);
    }
    let client: blocking::Client = options.client(degu_address(&setup.address)?);
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
