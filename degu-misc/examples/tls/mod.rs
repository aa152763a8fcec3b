//! TLS from files that the command line names. Other examples include this module.
#![allow(dead_code, reason = "each example is one side")]

use std::path::PathBuf;

use degu_client::BoxError;
#[cfg(feature = "tls")]
use degu_tls::{CaSet, ClientTls, Identity, ServerTls};

/// The files that the command line names.
#[derive(Debug, Default)]
pub(crate) struct Files {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    clients: Option<PathBuf>,
    no_name: bool,
}

impl Files {
    /// Takes an option of the command line whose name begins with `tls-`, and its value.
    pub(crate) fn take(&mut self, name: &str, arguments: &mut lexopt::Parser) -> Result<(), BoxError> {
        let file = match name {
            _ if cfg!(not(feature = "tls")) => return Err("this program was built without the feature `tls`".into()),
            "tls-ca" => &mut self.ca,
            "tls-cert" => &mut self.cert,
            "tls-key" => &mut self.key,
            "tls-clients" => &mut self.clients,
            _ => {
                self.no_name = true;
                return Ok(());
            }
        };
        *file = Some(arguments.value()?.into());
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn identity(&self) -> Result<Option<Identity>, BoxError> {
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Ok(Some(Identity::from_pem_files(cert, key)?)),
            (None, None) => Ok(None),
            _ => Err("--tls-cert and --tls-key go together".into()),
        }
    }

    /// Adds the policy of a server, if there are `--tls-cert` and `--tls-key`. With `--tls-clients`, only clients with a
    /// certificate of this CA are accepted.
    pub(crate) fn on_server(&self, options: degu_server::Options) -> Result<degu_server::Options, BoxError> {
        #[cfg(feature = "tls")]
        if let Some(identity) = self.identity()? {
            let builder = ServerTls::builder(identity);
            return Ok(options.tls(match &self.clients {
                Some(clients) => builder.require_clients(CaSet::from_pem_file(clients)?).build()?,
                None => builder.allow_unauthenticated_clients().build()?,
            }));
        }
        Ok(options)
    }

    /// Adds the policy of a client, if there is `--tls-ca`. The client shows its certificate, if it has one. With
    /// `--tls-no-name`, it does not check the name of the server.
    pub(crate) fn on_client(&self, options: degu_client::Options) -> Result<degu_client::Options, BoxError> {
        #[cfg(feature = "tls")]
        if let Some(ca) = &self.ca {
            let builder = ClientTls::private(CaSet::from_pem_file(ca)?);
            let builder = if self.no_name { builder.without_name_check() } else { builder };
            return Ok(options.tls(match self.identity()? {
                Some(identity) => builder.identity(identity).build()?,
                None => builder.build()?,
            }));
        }
        Ok(options)
    }
}
