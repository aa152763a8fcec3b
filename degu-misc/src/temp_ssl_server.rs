//! A server under TLS that lives as long as a test.

use degu_client::{Client, blocking};
use degu_server::{Address, App, Options, Server};
use degu_tls::{ClientTls, ServerTls};

use crate::{TempPki, TempServer};

/// A [`TempServer`] under TLS: both sides show certificates of a [`TempPki`].
///
/// ```
/// use degu_misc::{TempPki, TempSSLServer};
/// use degu_server::{Address, Request, Session};
/// use degu_tls::PeerIdentity;
///
/// async fn app(session: &mut Session, _: Request<'_>) -> String {
///     session.identity().and_then(PeerIdentity::ca).unwrap_or("nobody").to_owned()
/// }
///
/// let server = TempSSLServer::new(&TempPki::new(), Address::IPV6_LOOPBACK, app);
/// let mut connection = server.client().connect()?;
/// assert_eq!(connection.identity().and_then(PeerIdentity::ca), Some("server-ca"));
/// assert_eq!(connection.get("/")?.body.read_all(1024)?, "client-ca");
/// # Ok::<(), degu_client::blocking::Error>(())
/// ```
#[derive(Debug)]
pub struct TempSSLServer {
    server: TempServer,
    tls: ServerTls,
    client: ClientTls,
}

impl TempSSLServer {
    /// Serves `app` at an address, on one thread, for clients with a certificate of the PKI.
    ///
    /// # Panics
    ///
    /// If the server cannot be started, for example because the address is in use. The test cannot go on then.
    pub fn new(pki: &TempPki, address: impl Into<Address>, app: impl App) -> Self {
        Self::with_options(pki, Server::options().workers(1), address, app)
    }

    /// Starts a server as [`new`](Self::new) does, with these options. A TLS policy in `options` is replaced by the
    /// policy of the PKI.
    ///
    /// # Panics
    ///
    /// If the server cannot be started, for example because the address is in use.
    pub fn with_options(pki: &TempPki, options: Options, address: impl Into<Address>, app: impl App) -> Self {
        let tls = pki.server_tls();
        let server = TempServer::with_options(options.tls(tls.clone()), address, app);
        Self { server, tls, client: pki.client_tls() }
    }

    /// Returns the address, with the port or the name that the kernel chose.
    pub fn address(&self) -> &Address {
        self.server.address()
    }

    /// Returns the policy of the server. A test can reload or replace the policy.
    pub const fn tls(&self) -> &ServerTls {
        &self.tls
    }

    /// Returns a blocking client, which shows the server a valid certificate. The client needs no runtime.
    pub fn client(&self) -> blocking::Client {
        self.client_with(self.client.clone()).into()
    }

    /// Returns an async client for the server, with a valid certificate.
    pub fn async_client(&self) -> Client {
        self.client_with(self.client.clone())
    }

    /// Returns an async client with another policy. `into()` converts it into a blocking client.
    pub fn client_with(&self, tls: ClientTls) -> Client {
        // The name is set, because the address of a Unix socket has no name that could be checked.
        Client::options().tls(tls).server_name("localhost").client(self.address())
    }

    /// Shuts down as [`TempServer::shutdown`] does.
    pub fn shutdown(self) {
        self.server.shutdown();
    }
}
