//! TLS from files that the command line names. Other examples include this module.
#![allow(dead_code, reason = "each example is one side")]

use std::path::PathBuf;

use degu_client::BoxError;
use degu_tls::{CaSet, ClientTls, Identity, ServerTls};

/// The files that the command line names.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) clients: Option<PathBuf>,
    pub(crate) no_name: bool,
}

impl Files {
    fn identity(&self) -> Result<Option<Identity>, BoxError> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(Some(Identity::from_pem_files(cert, key)?)),
            (None, None) => Ok(None),
            _ => Err("--tls-cert and --tls-key go together".into()),
        }
    }

    /// Returns the policy of a server, if there are `--tls-cert` and `--tls-key`. With `--tls-clients`, only clients with a
    /// certificate of this CA are accepted.
    pub(crate) fn server(&self) -> Result<Option<ServerTls>, BoxError> {
        let Some(identity) = self.identity()? else { return Ok(None) };
        let builder = ServerTls::builder(identity);
        Ok(Some(match &self.clients {
            Some(clients) => builder.require_clients(CaSet::from_pem_file(clients)?).build()?,
            None => builder.allow_unauthenticated_clients().build()?,
        }))
    }

    /// Returns the policy of a client, if there is `--tls-ca`. The client shows its certificate, if it has one. With
    /// `--tls-no-name`, it does not check the name of the server.
    pub(crate) fn client(&self) -> Result<Option<ClientTls>, BoxError> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let builder = ClientTls::private(CaSet::from_pem_file(ca)?);
        let builder = if self.no_name { builder.without_name_check() } else { builder };
        Ok(Some(match self.identity()? {
            Some(identity) => builder.identity(identity).build()?,
            None => builder.build()?,
        }))
    }
}
