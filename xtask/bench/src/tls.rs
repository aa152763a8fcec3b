//! TLS for every contestant alike: the same certificates, the provider of ring with all its suites, full handshakes only,
//! certificates on both sides, `http/1.1` agreed on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use degu_tls::{Cas, ClientTls, Identity, ServerTls};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Result;
use crate::contestants::Setup;

/// The files of a [`degu_misc::TempPki`], which `degu-bench pki` has made.
const SERVERS: &str = "server-ca.pem";
const CLIENTS: &str = "client-ca.pem";

impl Setup {
    /// What a server accepts connections with, if it is to speak TLS.
    pub(crate) fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        self.pki.as_deref().map(|folder| Ok(TlsAcceptor::from(Arc::new(server_config(folder)?)))).transpose()
    }

    /// What a client makes connections with, if it is to speak TLS, and the name that it checks.
    pub(crate) fn connector(&self) -> Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        Ok(Some((TlsConnector::from(client_config(folder)?), server_name(&self.address)?)))
    }

    /// Degu's policy for a server, if it is to speak TLS.
    pub(crate) fn degu_server_tls(&self) -> Result<Option<ServerTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("server.pem"), folder.join("server.key"))?;
        let policy = ServerTls::builder(identity).require_clients(Cas::from_pem_file(folder.join(CLIENTS))?);
        Ok(Some(policy.sessions(0).build_with(provider())?))
    }

    /// Degu's policy for a client, if it is to speak TLS.
    pub(crate) fn degu_client_tls(&self) -> Result<Option<ClientTls>> {
        let Some(folder) = self.pki.as_deref() else { return Ok(None) };
        let identity = Identity::from_pem_files(folder.join("client.pem"), folder.join("client.key"))?;
        let policy = ClientTls::private(Cas::from_pem_file(folder.join(SERVERS))?).identity(identity);
        Ok(Some(policy.sessions(0).build_with(provider())?))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(folder: &Path) -> Result<ServerConfig> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(&folder.join(CLIENTS))?, provider()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain(&folder.join("server.pem"))?, key(&folder.join("server.key"))?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(folder: &Path) -> Result<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&folder.join(SERVERS))?)
        .with_client_auth_cert(chain(&folder.join("client.pem"))?, key(&folder.join("client.key"))?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The name of the server: its IP address, as Degu takes it too.
fn server_name(address: &str) -> Result<ServerName<'static>> {
    let address: SocketAddr = address.parse().map_err(|_| "over a Unix socket there is no name to check")?;
    Ok(address.ip().into())
}

fn roots(file: &Path) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(file)?.collect::<std::result::Result<_, _>>()?)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    Ok(PrivateKeyDer::from_pem_file(file)?)
}
