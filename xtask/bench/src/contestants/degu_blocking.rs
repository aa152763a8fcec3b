//! Degu's blocking client, which needs no runtime.

use degu_client::blocking;

use super::degu::degu_address;
use super::{Client, Contestant};
use crate::Result;
use crate::message::BODY;
use crate::socket::Address;

pub(super) const CONTESTANT: Contestant = Contestant { name: "degu-blocking", client: Some(connect), server: None };

fn connect(address: &Address) -> Result<Box<dyn Client>> {
    let client = blocking::Client::options().host("localhost").client(degu_address(address)?);
    Ok(Box::new(client.connect()?))
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
