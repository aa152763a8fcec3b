//! TLS for every contestant alike: Degu's policies, whose rustls configurations the others use too.
//!
//! So all have the same certificates, provider (ring) and suites. Handshakes are full ones, with certificates on both sides.

use std::net::SocketAddr;

use degu_tls::{Cas, ClientTls, Identity, ServerTls};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Result;
use crate::contestants::Setup;

impl Setup {
    /// Degu's policy for a server, if it is to speak TLS. `degu-bench end pki` has made the files.
    pub(crate) fn degu_server_tls(&self) -> Result<Option<ServerTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
        let clients = Cas::from_pem_file(folder.join("client-ca.pem"))?;
        Ok(Some(ServerTls::builder(identity).require_clients(clients).sessions(0).build()?))
    }

    /// Degu's policy for a client, if it is to speak TLS.
    pub(crate) fn degu_client_tls(&self) -> Result<Option<ClientTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("client.pem"), folder.join("client.key"))?;
        let servers = Cas::from_pem_file(folder.join("server-ca.pem"))?;
        Ok(Some(ClientTls::private(servers).identity(identity).sessions(0).build()?))
    }

    /// Accepts the connections of another server.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        Ok(self.degu_server_tls()?.map(|policy| policy.accept().config.into()))
    }

    /// Makes the connections of another client, and the name that it checks.
    pub(crate) fn connector(&self) -> Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(policy) = self.degu_client_tls()? else { return Ok(None) };
        let name = self.address.parse::<SocketAddr>()?.ip().to_string();
        let connect = policy.connect(Some(&name), &self.address)?;
        Ok(Some((connect.config.into(), connect.name)))
    }
}
