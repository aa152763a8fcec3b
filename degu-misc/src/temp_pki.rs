//! Certificates that live as long as a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// A temporary folder of PEM files for tests: a CA that issues the certificates of servers, a CA that issues the
/// certificates of clients, a third CA that no policy trusts, and the certificates and revocation lists of these CAs.
/// Degu and any other program can use the files.
///
/// The CAs have the labels `server-ca`, `client-ca` and `other-ca`, like their files. The certificates of servers are
/// for `localhost`, `127.0.0.1` and `::1`. The certificates of clients are for `client.example`. All keys are ECDSA on
/// P-256.
///
/// ```
/// use degu_misc::{Leaf, TempPki};
/// use degu_tls::{ClientTls, Error};
///
/// let pki = TempPki::new();
/// let revoked = ClientTls::private(pki.servers()).identity(pki.identity(Leaf::RevokedClient)).build()?;
/// assert!(pki.certificate(Leaf::RevokedClient).ends_with("revoked-client.pem"));
/// # Ok::<(), Error>(())
/// ```
///
/// # Panics
///
/// Every method panics if the folder cannot be written or read, because the test cannot go on.
#[derive(Debug)]
pub struct TempPki {
    folder: TempDir,
    /// The certificates in the order in which they were issued, each with `true` if it is revoked. The first
    /// certificate has the serial number 1, the second 2, and so on.
    issued: Mutex<Vec<(Leaf, bool)>>,
}

/// A certificate of a [`TempPki`], with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Leaf {
    /// A valid certificate of a server.
    Server,
    /// A valid certificate of a client.
    Client,
    /// A server's certificate, which expired in 2021.
    ExpiredServer,
    /// A client's certificate, which expired in 2021.
    ExpiredClient,
    /// A server's certificate, which its CA has revoked.
    RevokedServer,
    /// A client's certificate, which its CA has revoked.
    RevokedClient,
    /// A server's certificate from the CA that no policy trusts.
    OtherServer,
    /// A client's certificate from the CA that no policy trusts.
    OtherClient,
}

/// All certificates of a [`TempPki`], each with the name of its files without the extension.
const LEAVES: [(Leaf, &str); 8] = [
    (Leaf::Server, "server"),
    (Leaf::Client, "client"),
    (Leaf::ExpiredServer, "expired-server"),
    (Leaf::ExpiredClient, "expired-client"),
    (Leaf::RevokedServer, "revoked-server"),
    (Leaf::RevokedClient, "revoked-client"),
    (Leaf::OtherServer, "other-server"),
    (Leaf::OtherClient, "other-client"),
];

/// The labels of the CAs, which are also the names of their files without the extension.
const CAS: [&str; 3] = ["server-ca", "client-ca", "other-ca"];

impl Leaf {
    fn stem(self) -> &'static str {
        let (_, stem) = LEAVES.into_iter().find(|(leaf, _)| *leaf == self).expect("each certificate is in the table");
        stem
    }

    fn is_server(self) -> bool {
        self.stem().ends_with("server")
    }

    const fn is_expired(self) -> bool {
        matches!(self, Self::ExpiredServer | Self::ExpiredClient)
    }

    fn ca(self) -> &'static str {
        match self {
            Self::OtherServer | Self::OtherClient => "other-ca",
            _ if self.is_server() => "server-ca",
            _ => "client-ca",
        }
    }
}

impl TempPki {
    /// Makes the CAs, the certificates and the revocation lists.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("cannot create a temporary folder: {error}"));
        let pki = Self { folder, issued: Mutex::default() };
        CAS.into_iter().for_each(|name| pki.make_ca(name));
        LEAVES.into_iter().for_each(|(leaf, _)| pki.issue(leaf));
        CAS.into_iter().for_each(|name| pki.make_crl(name));
        pki
    }

    /// Returns the folder with all files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a certificate's file.
    pub fn certificate(&self, leaf: Leaf) -> PathBuf {
        self.file(leaf.stem(), "pem")
    }

    /// Returns the path of the file with the certificate's key.
    pub fn key(&self, leaf: Leaf) -> PathBuf {
        self.file(leaf.stem(), "key")
    }

    /// Returns a certificate with its key, even if the certificate is expired or revoked.
    pub fn identity(&self, leaf: Leaf) -> Identity {
        let identity = sure("read an identity", Identity::from_pem_files(self.certificate(leaf), self.key(leaf)));
        if leaf.is_expired() { identity.allow_invalid_time() } else { identity }
    }

    /// Returns the path of the certificate of the CA that issues the certificates of servers.
    pub fn server_ca(&self) -> PathBuf {
        self.file("server-ca", "pem")
    }

    /// Returns the path of the certificate of the CA that issues the certificates of clients.
    pub fn client_ca(&self) -> PathBuf {
        self.file("client-ca", "pem")
    }

    /// Returns the path of the certificate of the CA that no policy trusts.
    pub fn other_ca(&self) -> PathBuf {
        self.file("other-ca", "pem")
    }

    /// Returns the path of the revocation list for the certificates of servers.
    pub fn server_crl(&self) -> PathBuf {
        self.file("server-ca", "crl")
    }

    /// Returns the path of the revocation list for the certificates of clients.
    pub fn client_crl(&self) -> PathBuf {
        self.file("client-ca", "crl")
    }

    /// Returns the CA that issues the certificates of servers, with its revocation list. The policies of clients trust
    /// this CA.
    pub fn servers(&self) -> CaSet {
        self.ca_set("server-ca")
    }

    /// Returns the CA that issues the certificates of clients, with its revocation list. The policies of servers trust
    /// this CA.
    pub fn clients(&self) -> CaSet {
        self.ca_set("client-ca")
    }

    /// Returns the CA that no policy trusts.
    pub fn others(&self) -> CaSet {
        self.ca_set("other-ca")
    }

    /// Returns the policy of a server with a valid certificate. The server requires valid certificates of clients.
    pub fn server_tls(&self) -> ServerTls {
        let identity = self.identity(Leaf::Server);
        sure("build the server's policy", ServerTls::builder(identity).require_clients(self.clients()).build())
    }

    /// Returns the policy of a client with a valid certificate. The client checks the name of the server.
    pub fn client_tls(&self) -> ClientTls {
        self.client_tls_as(Leaf::Client)
    }

    /// Returns a policy as [`client_tls`](Self::client_tls) does, but with this certificate.
    pub fn client_tls_as(&self, leaf: Leaf) -> ClientTls {
        sure("build the client's policy", ClientTls::private(self.servers()).identity(self.identity(leaf)).build())
    }

    /// Issues a certificate again, for a new key, and replaces the old files. The new version of
    /// [`RevokedServer`](Leaf::RevokedServer) and [`RevokedClient`](Leaf::RevokedClient) is revoked, too.
    pub fn renew(&self, leaf: Leaf) {
        self.issue(leaf);
        self.make_crl(leaf.ca());
    }

    /// Revokes the last issued version of a certificate: adds the certificate to the revocation list of its CA, and
    /// writes the file of the list. A policy reads the new list when it is reloaded.
    pub fn revoke(&self, leaf: Leaf) {
        if let Some((_, revoked)) = self.issued().iter_mut().rfind(|(issued, _)| *issued == leaf) {
            *revoked = true;
        }
        self.make_crl(leaf.ca());
    }

    fn issued(&self) -> MutexGuard<'_, Vec<(Leaf, bool)>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, stem: &str, kind: &str) -> PathBuf {
        self.folder.path().join(format!("{stem}.{kind}"))
    }

    fn write(&self, stem: &str, kind: &str, pem: &str) {
        sure("write a file", fs::write(self.file(stem, kind), pem));
    }

    fn ca_set(&self, name: &str) -> CaSet {
        let ca_set = CaSet::from_pem_file(self.file(name, "pem"));
        sure("read a CA", ca_set.and_then(|ca_set| ca_set.with_crl_file(self.file(name, "crl"))))
    }

    fn make_ca(&self, name: &str) {
        let key = sure("make a key", KeyPair::generate());
        self.write(name, "pem", &sure("make a CA", ca_params(name).self_signed(&key)).pem());
        self.write(name, "key", &key.serialize_pem());
    }

    /// Returns the CA with this name as an issuer of certificates. Reads the key of the CA from its file.
    fn issuer(&self, name: &str) -> Issuer<'static, KeyPair> {
        let key = sure("read the key of a CA", fs::read_to_string(self.file(name, "key")));
        Issuer::new(ca_params(name), sure("read the key of a CA", KeyPair::from_pem(&key)))
    }

    fn issue(&self, leaf: Leaf) {
        let serial = {
            let mut issued = self.issued();
            issued.push((leaf, matches!(leaf, Leaf::RevokedServer | Leaf::RevokedClient)));
            issued.len()
        };
        let key = sure("make a key", KeyPair::generate());
        let (names, purpose) = match leaf.is_server() {
            true => (vec!["localhost", "127.0.0.1", "::1"], ExtendedKeyUsagePurpose::ServerAuth),
            false => (vec!["client.example"], ExtendedKeyUsagePurpose::ClientAuth),
        };
        let mut params = named(leaf.stem(), names);
        params.serial_number = Some((serial as u64).into());
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        if leaf.is_expired() {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        self.write(
            leaf.stem(),
            "pem",
            &sure("make a certificate", params.signed_by(&key, &self.issuer(leaf.ca()))).pem(),
        );
        self.write(leaf.stem(), "key", &key.serialize_pem());
    }

    fn make_crl(&self, name: &str) {
        let issued = self.issued();
        let revoked = (1_u64..).zip(&*issued).filter(|(_, (leaf, revoked))| *revoked && leaf.ca() == name);
        let revoked_certs = revoked.map(|(serial, _)| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(3000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = sure("make a revocation list", list.signed_by(&self.issuer(name)).and_then(|list| list.pem()));
        self.write(name, "crl", &list);
    }
}

impl Default for TempPki {
    fn default() -> Self {
        Self::new()
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = named(name, Vec::new());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str, names: Vec<&str>) -> CertificateParams {
    let names: Vec<String> = names.into_iter().map(String::from).collect();
    let mut params = sure("make a certificate", CertificateParams::new(names));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(3000, 1, 1));
    params
}

/// Returns the value in `made`. If `made` is an error, panics with the text `cannot {what} of a temporary PKI`.
fn sure<T, E: std::fmt::Display>(what: &str, made: Result<T, E>) -> T {
    made.unwrap_or_else(|error| panic!("cannot {what} of a temporary PKI: {error}"))
}
