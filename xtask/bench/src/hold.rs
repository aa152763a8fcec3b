//! Connections that were used for one request and then wait.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, StreamOwned};

use crate::Result;
use crate::message::{HELLO_BODY, HELLO_REQUEST};
use crate::setup::Setup;
use crate::socket::{Address, Stream};
use crate::tls;

/// The open connections. They close when this is dropped.
pub(crate) type Held = Vec<Box<dyn ReadWrite>>;

/// What the connections have in common.
pub(crate) trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

/// Opens this many connections and gets one response over each.
///
/// # Errors
///
/// One could not be made, or was not answered as it should.
pub(crate) fn hold(setup: &Setup, connections: usize) -> Result<Held> {
    let config = setup.pki.as_deref().map(tls::client_config).transpose()?;
    let mut held = Held::new();
    for _ in 0..connections {
        let mut stream: Box<dyn ReadWrite> = match (&config, &setup.address) {
            (Some(config), Address::Tcp(address)) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                let tls = ClientConnection::new(config.clone(), tls::server_name(&setup.address)?)?;
                Box::new(StreamOwned::new(tls, stream))
            }
            _ => Box::new(Stream::connect(&setup.address)?),
        };
        stream.write_all(HELLO_REQUEST)?;
        let (mut response, mut length) = ([0; 1024], 0);
        while !response[..length].ends_with(HELLO_BODY) {
            match stream.read(&mut response[length..])? {
                0 => return Err(format!("no end of {:?}", String::from_utf8_lossy(&response[..length])).into()),
                count => length += count,
            }
        }
        held.push(stream);
    }
    Ok(held)
}
