//! The set of CAs (certificate authorities) that vouch for peers, and their revocation lists. This module reads the
//! files. `Store::new` checks the CAs and the lists when a policy is built.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::error::{Error, Kind, listed};
use crate::source::{self, Source};
use crate::x509;

/// A set of private CAs (certificate authorities) and their revocation lists. Each CA has a label, which
/// [`PeerIdentity::ca`](crate::PeerIdentity::ca) returns.
///
/// **Labels**: the label of a CA is its common name, or its whole name if it has no common name. The CA chose this name
/// itself, so use it only in logs. A program that decides by labels must set the label of every CA itself
/// ([`labelled`](Self::labelled), [`labelled_by_file`](Self::labelled_by_file), [`add`](Self::add)). Several CAs can
/// share a label, for example a file with the old and the new CA. So a label stands for a kind of peer, not for a key. If
/// different CAs from different files have the same label, there is a [warning](crate::ServerTls::warnings), unless the
/// program has set both labels.
///
/// **Bad CAs**: when a policy is built or reloaded, a CA that has expired, is not valid yet or cannot be used is left
/// out with a [warning](crate::ServerTls::warnings). If no CA is left, or if a value is not a certificate, there is an
/// error.
///
/// **Revocation**: without a list, revocation is not checked. If there is any list, the whole chain of every peer is
/// checked, and a certificate with an unknown status is refused. Every CA then needs a list, otherwise building fails.
/// If the list of a CA has expired, all peers of this CA are refused. The policy is still built, with a warning, because
/// a device must boot before it can fetch a newer list. If a CA has several lists for the same certificates, the newest
/// is used.
///
/// ```no_run
/// use degu_tls::CaSet;
///
/// // /etc/app/clients/operators.pem, /etc/app/clients/machines.pem
/// let ca_set = CaSet::from_pem_dir("/etc/app/clients")?
///     .labelled_by_file()
///     .with_crl_file("/etc/app/operators.crl")?
///     .with_crl_file("/etc/app/machines.crl")?;
/// assert_eq!(ca_set.labels().collect::<Vec<_>>(), ["machines", "operators"]);
/// # Ok::<(), degu_tls::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CaSet {
    /// The calls that filled this set, in order. A reload repeats these calls.
    steps: Vec<Step>,
    pub(crate) members: Vec<Ca>,
    /// The number of CAs in the set before the last call that added CAs. [`labelled`](Self::labelled) labels only the
    /// CAs of that call.
    before_last: usize,
    pub(crate) crls: Vec<Crl>,
    pub(crate) any_time: bool,
}

#[derive(Clone)]
enum Step {
    /// A call that read a file or a folder.
    Read(fn(CaSet, &Path) -> Result<CaSet, Error>, PathBuf),
    /// A call that was given a value in memory. A reload cannot repeat such a call.
    Memory,
    /// A call of `labelled` with this label. `None` stands for a call of `labelled_by_file`.
    Label(Option<String>),
}

#[derive(Clone)]
pub(crate) struct Ca {
    pub(crate) label: Arc<str>,
    /// True if the program gave no label, so the label is the name in the certificate.
    pub(crate) is_labelled_by_name: bool,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) source: Source,
}

#[derive(Clone)]
pub(crate) struct Crl {
    pub(crate) der: CertificateRevocationListDer<'static>,
    pub(crate) source: Source,
}

const MEMORY: Source = Source::Memory("the CA bundle in memory");
const CRL_MEMORY: Source = Source::Memory("memory");

impl CaSet {
    /// Returns an empty set. At least one CA must be added before a policy is built.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all certificates of a PEM file. The label of each CA is its common name, or its whole name if it has no
    /// common name. [`labelled`](Self::labelled) sets another label.
    ///
    /// # Errors
    ///
    /// The file cannot be read ([`Kind::Read`]), or has no certificate ([`Kind::Pem`]).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new().with_pem_file(path)
    }

    /// Reads the files `*.pem` and `*.crt` of a folder, in the order of their names. Other files, hidden files and
    /// subfolders are ignored.
    ///
    /// # Errors
    ///
    /// The folder or a file cannot be read ([`Kind::Read`]), a file has no certificate ([`Kind::Pem`]), or the folder
    /// has no file `*.pem` or `*.crt` ([`Kind::NoTrust`]).
    pub fn from_pem_dir(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::new().with_pem_dir(path)
    }

    /// Adds the certificates of a PEM file, as [`from_pem_file`](Self::from_pem_file) reads them.
    ///
    /// # Errors
    ///
    /// The errors of [`from_pem_file`](Self::from_pem_file).
    pub fn with_pem_file(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.before_last = self.members.len();
        self.read_file(path.as_ref())?;
        self.steps.push(Step::Read(|ca_set, path| ca_set.with_pem_file(path), path.as_ref().into()));
        Ok(self)
    }

    /// Adds the certificates of a folder, as [`from_pem_dir`](Self::from_pem_dir) reads it.
    ///
    /// # Errors
    ///
    /// The errors of [`from_pem_dir`](Self::from_pem_dir).
    pub fn with_pem_dir(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = path.as_ref();
        let unreadable = |error| source::unreadable(folder, error);
        let entries = fs::read_dir(folder).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let mut files: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(|path| is_certificate(path)).collect();
        if files.is_empty() {
            return Err(Error::caller(
                Kind::NoTrust,
                format!("the folder {} has no file `*.pem` or `*.crt`", folder.display()),
            ));
        }
        files.sort();
        self.before_last = self.members.len();
        for file in files {
            self.read_file(&file)?;
        }
        self.steps.push(Step::Read(|ca_set, path| ca_set.with_pem_dir(path), folder.into()));
        Ok(self)
    }

    /// Adds a CA from memory, in DER. A policy with this CA can be replaced, but not reloaded.
    #[must_use]
    pub fn add(mut self, label: &str, certificate: impl Into<CertificateDer<'static>>) -> Self {
        self.before_last = self.members.len();
        let (label, certificate) = (label.into(), certificate.into());
        self.members.push(Ca { label, is_labelled_by_name: false, certificate, source: MEMORY });
        self.steps.push(Step::Memory);
        self
    }

    /// Adds all CAs of a PEM text. A policy with these CAs can be replaced, but not reloaded.
    ///
    /// # Errors
    ///
    /// The text has no certificate ([`Kind::Pem`]).
    pub fn add_pem(mut self, label: &str, pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let before = self.members.len();
        for certificate in source::certificates(pem.as_ref(), &MEMORY)? {
            self = self.add(label, certificate);
        }
        self.before_last = before;
        Ok(self)
    }

    /// Gives the same label to all CAs that the last call added. A reload gives this label to every CA that the files
    /// contain at that time.
    ///
    /// ```no_run
    /// use degu_tls::CaSet;
    ///
    /// let ca_set = CaSet::from_pem_file("/etc/app/operators-2026.pem")?
    ///     .labelled("operators")
    ///     .with_pem_dir("/etc/app/machines")?
    ///     .labelled("machines");
    /// # Ok::<(), degu_tls::Error>(())
    /// ```
    #[must_use]
    pub fn labelled(self, label: &str) -> Self {
        self.label_last(Some(label))
    }

    /// Labels each CA that the last call added. The label is the name of the CA's file, without the extension. Renaming
    /// a file can therefore change the rights of peers. CAs from memory keep their label.
    #[must_use]
    pub fn labelled_by_file(self) -> Self {
        self.label_last(None)
    }

    /// Labels the CAs that the last call added: with `label`, or with the names of their files if `label` is `None`.
    fn label_last(mut self, label: Option<&str>) -> Self {
        for ca in &mut self.members[self.before_last..] {
            ca.label = match (label, &ca.source) {
                (Some(label), _) => label.into(),
                (None, Source::File(path)) => path.file_stem().unwrap_or_default().to_string_lossy().into(),
                (None, Source::Memory(_)) => continue,
            };
            ca.is_labelled_by_name = false;
        }
        self.steps.push(Step::Label(label.map(String::from)));
        self
    }

    /// Adds the revocation lists of a file: PEM (`-----BEGIN X509 CRL-----`) or DER.
    ///
    /// # Errors
    ///
    /// [`Kind::Read`] if the file cannot be read, [`Kind::Pem`] if it has no revocation list.
    pub fn with_crl_file(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let (lists, source) = source::read(path.as_ref(), source::crls)?;
        self.crls.extend(lists.into_iter().map(|der| Crl { der, source: source.clone() }));
        self.steps.push(Step::Read(|ca_set, path| ca_set.with_crl_file(path), path.as_ref().into()));
        Ok(self)
    }

    /// Adds a revocation list from memory, in DER. A policy with this list can be replaced, but not reloaded.
    #[must_use]
    pub fn with_crl(mut self, list: impl Into<CertificateRevocationListDer<'static>>) -> Self {
        self.crls.push(Crl { der: list.into(), source: CRL_MEMORY });
        self.steps.push(Step::Memory);
        self
    }

    /// Allows a policy to be built although a CA's certificate has expired or is not valid yet. Use this for devices
    /// whose clock begins at 1970. An expired CA then still vouches for peers. RFC 5280 §6.1 allows this for a trust
    /// anchor.
    #[must_use]
    pub fn allow_invalid_time(mut self) -> Self {
        self.any_time = true;
        self
    }

    /// Returns the labels in order, one for each CA certificate.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|ca| &*ca.label)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        let (certificates, source) = source::read(path, source::certificates)?;
        for certificate in certificates {
            let label = x509::subject(&certificate).map(x509::label).unwrap_or_default().into();
            self.members.push(Ca { label, is_labelled_by_name: true, certificate, source: source.clone() });
        }
        Ok(())
    }

    /// Reads the files of this set again, and returns the new set. Fails if a value came from memory.
    pub(crate) fn read_again(&self) -> Result<Self, Error> {
        let mut again = Self { any_time: self.any_time, ..Self::default() };
        for step in &self.steps {
            again = match step {
                Step::Read(read, path) => read(again, path)?,
                Step::Label(label) => again.label_last(label.as_deref()),
                Step::Memory => {
                    let what = "cannot reload: CAs or revocation lists were given in memory, not as files";
                    return Err(Error::caller(Kind::Reload, what));
                }
            };
        }
        Ok(again)
    }

    /// Returns the origin of the CAs, for error texts: `the CAs of operators.pem, machines.pem`.
    pub(crate) fn describe(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for ca in &self.members {
            let name = match &ca.source {
                Source::File(path) => path.display().to_string(),
                Source::Memory(_) => ca.label.to_string(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("the CAs of {}", listed(names))
    }
}

impl fmt::Debug for CaSet {
    /// Writes the labels and the number of revocation lists. The certificates are left out, because they would fill
    /// pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.labels().collect();
        f.debug_struct("CaSet").field("labels", &labels).field("crls", &self.crls.len()).finish_non_exhaustive()
    }
}

fn is_certificate(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().is_some_and(|extension| extension == "pem" || extension == "crt");
    // A link without a target counts as a certificate, so reading it returns an error.
    !hidden && extension && path.metadata().map_or(true, |data| data.is_file())
}
