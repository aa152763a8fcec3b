//! TLS for all contestants. Degu's contestants use Degu's policies. All others use the rustls configurations of these
//! policies, so all have the same certificates, provider (ring) and cipher suites. Each handshake is a full handshake, with certificates on both
//! sides.

use std::net::SocketAddr;

use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Result;
use crate::ends::End;

impl End {
    /// Returns Degu's policy for a server, or `None` without TLS.
    pub(crate) fn server_policy(&self) -> Result<Option<ServerTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
        let clients = CaSet::from_pem_file(folder.join("client-ca.pem"))?;
        Ok(Some(ServerTls::builder(identity).require_clients(clients).sessions(0).build()?))
    }

    /// Returns the acceptor for another server, or `None` without TLS.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        Ok(self.server_policy()?.map(|policy| policy.accept().config.into()))
    }

    /// Returns the connector for a client, and the name that the client checks. Returns `None` without TLS.
    pub(crate) fn connector(&self) -> Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("client.pem"), folder.join("client.key"))?;
        let servers = CaSet::from_pem_file(folder.join("server-ca.pem"))?;
        let policy = ClientTls::private(servers).identity(identity).sessions(0).build()?;
        let name = self.address.parse::<SocketAddr>()?.ip().to_string();
        let connect = policy.connect(Some(&name), &self.address)?;
        Ok(Some((connect.config.into(), connect.name)))
    }
}
