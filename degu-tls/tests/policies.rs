//! Mistakes in a policy: the build reports the file and the fault.

use std::fs;
use std::path::PathBuf;

use crate::kit::pipe::{client, join, server};
use crate::kit::{Cert, Clock, DAY, Key, NOW, Version, at, crl_point, pem};
use degu_tls::error::{Blame, Kind};
use degu_tls::{CaSet, ClientTls, Error, Identity, ServerTls};
use rcgen::{ExtendedKeyUsagePurpose as Usage, IsCa};
use tempfile::TempDir;

/// A temporary folder with files. Its path is removed from texts before they are compared.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn identity(&self, cert: &Cert) -> Result<Identity, Error> {
        Identity::from_pem_files(self.write("cert.pem", cert.pem()), self.write("key.pem", cert.key.pem()))
    }

    /// Returns the kind and the text of an error, with the names of files instead of paths.
    fn said<T: std::fmt::Debug>(&self, result: Result<T, Error>) -> (Kind, String) {
        let error = result.unwrap_err();
        (error.kind(), error.to_string().replace(&format!("{}/", self.0.path().display()), ""))
    }
}

fn said(kind: Kind, text: &str) -> (Kind, String) {
    (kind, text.into())
}

fn serve(identity: Identity) -> Result<ServerTls, Error> {
    ServerTls::builder(identity).allow_unauthenticated_clients().clock(Clock::now()).build()
}

fn call(ca_set: CaSet) -> Result<ClientTls, Error> {
    ClientTls::private(ca_set).clock(Clock::now()).build()
}

#[test]
fn an_identity() {
    let folder = Folder::new();
    let root = Cert::root("Root");
    let good = root.leaf("host", &|_| {});
    let identity = folder.identity(&good).unwrap();
    assert_eq!(identity.chain(), good.chain());
    assert!(serve(identity).is_ok());

    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let missing = Identity::from_pem_files(folder.path("no.pem"), &key).unwrap_err();
    assert_eq!((missing.kind(), missing.blame()), (Kind::Read, Blame::System));
    assert!(missing.to_string().contains("/no.pem cannot be read: "), "{missing}");
    assert!(std::error::Error::source(&missing).unwrap().is::<std::io::Error>());
    assert_eq!(Identity::from_pem_files(&cert, folder.path("no.pem")).unwrap_err().kind(), Kind::Read);
    assert_eq!(
        folder.said(Identity::from_pem_files(&key, &cert)),
        said(Kind::Pem, "key.pem has no certificate, but a private key")
    );
    assert_eq!(
        folder.said(Identity::from_pem_files(&cert, folder.write("empty", ""))),
        said(Kind::Pem, "empty has no private key: it is empty")
    );
    let broken = folder.write("broken.pem", good.pem() + &pem("CERTIFICATE", &good.der[..100]));
    assert_eq!(
        folder.said(Identity::from_pem_files(broken, &key)),
        said(Kind::Malformed, "certificate 2 of broken.pem is malformed (TrailingData(SignedData))")
    );
    assert_eq!(Identity::from_der(vec![], good.key.private()).unwrap_err().kind(), Kind::NoCertificate);

    folder.write("key.pem", Key::new().pem());
    assert_eq!(
        folder.said(serve(Identity::from_pem_files(&cert, &key).unwrap())),
        said(Kind::KeyMismatch, "the private key of key.pem does not belong to the certificate of cert.pem")
    );
    folder.write("key.pem", pem("PRIVATE KEY", b"no key"));
    let (kind, text) = folder.said(serve(Identity::from_pem_files(&cert, &key).unwrap()));
    assert_eq!(kind, Kind::Key);
    assert!(text.starts_with("the private key of key.pem cannot be used ("), "{text}");
    // One file may contain the certificate and the key.
    let both = folder.write("both.pem", good.key.pem() + &good.pem());
    assert!(serve(Identity::from_pem_files(&both, &both).unwrap()).is_ok());
    assert!(serve(Identity::from_pem(good.pem(), good.key.pem()).unwrap()).is_ok());
    let mixed = Identity::from_pem(good.pem(), Key::new().pem()).unwrap();
    let wanted =
        "the private key of the identity in memory does not belong to the certificate of the identity in memory";
    assert_eq!(folder.said(serve(mixed)), said(Kind::KeyMismatch, wanted));
    assert_eq!(
        format!("{:?}", good.identity()),
        "Identity { source: the identity in memory, subject: \"CN=host\", certificates: 1, .. }"
    );
}

#[test]
fn an_identity_out_of_date_or_for_something_else() {
    let folder = Folder::new();
    let root = Cert::root("Root");
    let expired = folder.identity(&root.leaf("host", &|params| params.not_after = at(NOW - DAY))).unwrap();
    assert_eq!(
        folder.said(serve(expired.clone())),
        said(Kind::Expired, "the certificate of cert.pem (CN=host) expired on 2026-11-21 12:00:00 UTC")
    );
    assert!(serve(expired.allow_invalid_time()).is_ok());
    let early = folder.identity(&root.leaf("host", &|params| params.not_before = at(NOW + DAY))).unwrap();
    assert_eq!(
        folder.said(serve(early.clone())),
        said(Kind::NotYetValid, "the certificate of cert.pem (CN=host) is not valid before 2026-11-23 12:00:00 UTC")
    );
    assert!(serve(early.allow_invalid_time()).is_ok());

    // `allow_invalid_time` does not switch off the check of the extended key usage.
    for any_time in [false, true] {
        let only = |usage: Usage| {
            let leaf = root.leaf("host", &|params| {
                params.extended_key_usages = vec![usage.clone()];
                if any_time {
                    params.not_after = at(NOW - DAY);
                }
            });
            let identity = folder.identity(&leaf).unwrap();
            if any_time { identity.allow_invalid_time() } else { identity }
        };
        assert_eq!(
            folder.said(serve(only(Usage::ClientAuth))),
            said(Kind::Purpose, "the certificate of cert.pem (CN=host) is not for a server (extended key usage)")
        );
        assert!(serve(only(Usage::ServerAuth)).is_ok());
        let calls = |usage| ClientTls::private(root.ca_set("root")).identity(only(usage)).clock(Clock::now()).build();
        assert_eq!(
            folder.said(calls(Usage::ServerAuth)),
            said(Kind::Purpose, "the certificate of cert.pem (CN=host) is not for a client (extended key usage)")
        );
        assert!(calls(Usage::ClientAuth).is_ok());
    }
    let weak = root.leaf_with("host", Key::rsa(1024), &|_| {});
    let weak = Identity::from_der(weak.chain(), Key::new().private()).unwrap();
    let wanted = "the certificate of the identity in memory (CN=host) has an RSA key of 1024 bits";
    assert_eq!(folder.said(serve(weak)), said(Kind::WeakKey, wanted));
    // A self-signed identity is allowed, because peers may have pinned its key.
    assert!(serve(Cert::root("host").identity()).is_ok());
}

#[test]
fn ca_set() {
    let folder = Folder::new();
    let root = Cert::root("Root");
    assert_eq!(folder.said(call(CaSet::new())), said(Kind::NoTrust, "no CA was given"));
    let file =
        |name: &str, cert: &Cert| CaSet::from_pem_file(folder.write(name, pem("CERTIFICATE", &cert.der))).unwrap();
    assert!(call(file("good.pem", &root)).is_ok());

    let expired = file("old.pem", &Cert::root_with("Old", Key::new(), &|params| params.not_after = at(NOW - DAY)));
    assert_eq!(
        folder.said(call(expired.clone())),
        said(Kind::Expired, "the CA of old.pem (CN=Old) expired on 2026-11-21 12:00:00 UTC")
    );
    assert!(call(expired.allow_invalid_time()).is_ok());
    let early = file("new.pem", &Cert::root_with("New", Key::new(), &|params| params.not_before = at(NOW + DAY)));
    assert_eq!(
        folder.said(call(early.clone())),
        said(Kind::NotYetValid, "the CA of new.pem (CN=New) is not valid before 2026-11-23 12:00:00 UTC")
    );
    assert!(call(early.allow_invalid_time()).is_ok());

    for (not_after, usages) in [
        (NOW + DAY, vec![]),
        (NOW + DAY, vec![Usage::ClientAuth]),
        (NOW - DAY, vec![]),
        (NOW - DAY, vec![Usage::ClientAuth]),
    ] {
        let leaf = root.leaf("leaf", &|params| {
            params.extended_key_usages = usages.clone();
            params.not_after = at(not_after);
        });
        assert_eq!(
            folder.said(call(file("leaf.pem", &leaf).allow_invalid_time())),
            said(Kind::NotCa, "the certificate of leaf.pem (CN=leaf) is not a CA certificate")
        );
    }
    let itself = Cert::root_with("itself", Key::new(), &|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(folder.said(call(file("itself.pem", &itself))).0, Kind::NotCa);
    let weak = Cert::root_with("Weak", Key::rsa(1024), &|_| {});
    assert_eq!(
        folder.said(call(file("weak.pem", &weak))),
        said(Kind::WeakKey, "the CA of weak.pem (CN=Weak) has an RSA key of 1024 bits")
    );
    assert_eq!(
        folder.said(call(CaSet::new().add("x", vec![1, 2, 3]))),
        said(Kind::Malformed, "a certificate of the CA bundle in memory is malformed (TrailingData(SignedData))")
    );
    let backwards = Cert::root_with("Backwards", Key::new(), &|params| {
        (params.not_before, params.not_after) = (at(NOW + DAY), at(NOW - DAY));
    });
    assert_eq!(folder.said(call(file("b.pem", &backwards))).0, Kind::Malformed);
    assert_eq!(ClientTls::pinned([]).build().unwrap_err().kind(), Kind::NoTrust);
}

#[test]
fn any_number_of_sessions_can_be_set() {
    let root = Cert::root("Root");
    let server = ServerTls::builder(root.leaf("host", &|_| {}).identity()).allow_unauthenticated_clients();
    let server = server.sessions(usize::MAX).clock(Clock::now()).build().unwrap();
    let tls = ClientTls::private(root.ca_set("root")).sessions(usize::MAX).clock(Clock::now()).build().unwrap();
    join(client(&tls, Some("host.example")), crate::kit::pipe::server(&server)).0.peer();
}

/// Without the rustls feature `zlib` or `brotli` this test cannot fail: run `cargo test -p degu-tls --features
/// rustls/zlib`.
#[test]
fn certificates_are_never_compressed() {
    let root = Cert::root("Root");
    let server = serve(root.leaf("host", &|_| {}).identity()).unwrap().accept().config;
    let client = call(root.ca_set("root")).unwrap().connect(Some("host.example"), "x").unwrap().config;
    assert!(server.cert_compressors.is_empty() && server.cert_decompressors.is_empty());
    assert!(client.cert_compressors.is_empty() && client.cert_decompressors.is_empty());
}

#[test]
fn a_bundle_survives_its_worst_member() {
    let folder = Folder::new();
    let root = Cert::root("New");
    let old = Cert::root_with("Old", Key::new(), &|params| params.not_after = at(NOW - DAY));
    let early = Cert::root_with("Early", Key::new(), &|params| params.not_before = at(NOW + DAY));
    let weak = Cert::root_with("Weak", Key::rsa(1024), &|_| {});
    let leaf = root.leaf("leaf", &|_| {});
    let all = [&old, &early, &weak, &leaf, &root].map(|cert| pem("CERTIFICATE", &cert.der)).concat();
    let ca_set = CaSet::from_pem_file(folder.write("roll.pem", all)).unwrap().labelled("roll");
    let tls = call(ca_set.clone()).unwrap();
    let texts = tls.warnings().into_iter().map(|warning| folder.said::<()>(Err(warning))).collect::<Vec<_>>();
    assert_eq!(
        texts,
        [
            said(Kind::Expired, "the CA of roll.pem (CN=Old) expired on 2026-11-21 12:00:00 UTC"),
            said(Kind::NotYetValid, "the CA of roll.pem (CN=Early) is not valid before 2026-11-23 12:00:00 UTC"),
            said(Kind::WeakKey, "the CA of roll.pem (CN=Weak) has an RSA key of 1024 bits"),
            said(Kind::NotCa, "the certificate of roll.pem (CN=leaf) is not a CA certificate"),
        ]
    );
    // The remaining CA still vouches. A certificate of the CA that was left out is refused, and the error says why.
    let meet = |host: &Cert| join(client(&tls, Some("host.example")), server(&serve(host.identity()).unwrap())).0;
    assert_eq!(meet(&root.leaf("host", &|_| {})).peer().0.unwrap().ca(), Some("roll"));
    assert_eq!(
        folder.said::<()>(Err(meet(&old.leaf("host", &|_| {})).error())),
        said(
            Kind::UnknownIssuer,
            "the certificate of the server (CN=host) has a chain that ends at CN=Old, which is among the CAs of roll.pem but is not \
             trusted: the CA of roll.pem (CN=Old) expired on 2026-11-21 12:00:00 UTC"
        )
    );
    // A value that is not a certificate is an error, and not only a warning.
    assert_eq!(folder.said(call(ca_set.clone().add("x", vec![1, 2, 3]))).0, Kind::Malformed);
    // A CA that was left out needs no revocation list.
    assert!(call(ca_set.with_crl(root.crl(&[], NOW + DAY))).is_ok());
}

#[test]
fn an_expired_intermediate_of_an_identity_is_warned_about() {
    let folder = Folder::new();
    let old = Cert::root("Root").intermediate("Middle", &|params| params.not_after = at(NOW - DAY));
    let tls = serve(folder.identity(&old.leaf("host", &|_| {})).unwrap()).unwrap();
    let warnings = tls.warnings().into_iter().map(|warning| folder.said::<()>(Err(warning))).collect::<Vec<_>>();
    let wanted = "the certificate of cert.pem (CN=Middle) expired on 2026-11-21 12:00:00 UTC";
    assert_eq!(warnings, [said(Kind::Expired, wanted)]);
}

/// Checks self-signed certificates in files, which are valid from 2026-11-29 for a hundred years. They were made by `openssl req
/// -x509` with `-newkey ec -pkeyopt ec_paramgen_curve:P-521`, `ed448` and `rsa-pss`, and by `openssl x509 -req` for version 1.
#[cfg(feature = "ring")]
#[test]
fn what_openssl_makes_and_the_provider_does_not_know() {
    let ring = || degu_tls::rustls::crypto::ring::default_provider().into();
    let clock = || Clock::new(NOW + 30 * DAY);
    let folder = Folder::new();
    for (kind, text) in [
        ("P-521", include_str!("files/p521.pem")),
        ("Ed448", include_str!("files/ed448.pem")),
        ("RSA-PSS", include_str!("files/pss.pem")),
    ] {
        let file = folder.write("file.pem", text);
        let own = Identity::from_pem_files(&file, &file).unwrap();
        let own = ServerTls::builder(own).allow_unauthenticated_clients().clock(clock()).build_with(ring());
        let wanted = format!("the private key of file.pem is {kind}, which the cryptography provider does not know");
        assert_eq!(folder.said(own), said(Kind::Key, &wanted));
        let ca_set = ClientTls::private(CaSet::from_pem_file(&file).unwrap()).clock(clock()).build_with(ring());
        let (found, text) = folder.said(ca_set);
        assert_eq!(found, Kind::Algorithm);
        assert!(
            text.ends_with(&format!(") has a key ({kind}) that the cryptography provider does not know")),
            "{text}"
        );
    }
    let old = folder.write("v1.pem", include_str!("files/v1.pem"));
    let wanted = "(CN=v1) is X.509 version 1 or 2, which has no extensions: issue it as version 3 \
                  (with `openssl x509 -req`, use `-extfile`)";
    let own = Identity::from_pem_files(&old, &old).unwrap_err();
    assert_eq!(own.kind(), Kind::Pem, "the key is missing, which is said first");
    let key = folder.write("key.pem", Key::new().pem());
    assert_eq!(
        folder.said(Identity::from_pem_files(&old, key)),
        said(Kind::Malformed, &format!("certificate 1 of v1.pem {wanted}"))
    );
    let ca_set = ClientTls::private(CaSet::from_pem_file(&old).unwrap()).clock(clock()).build();
    assert_eq!(folder.said(ca_set), said(Kind::Malformed, &format!("a certificate of v1.pem {wanted}")));
}

#[test]
fn a_ca_that_expired_is_an_anchor_if_that_was_asked_for() {
    let root = Cert::root_with("Old", Key::new(), &|params| params.not_after = at(NOW - DAY));
    let host = root.leaf("host", &|_| {});
    let tls = ClientTls::private(root.ca_set("old").allow_invalid_time()).clock(Clock::now()).build().unwrap();
    let (at_client, _) = join(client(&tls, Some("host.example")), server(&serve(host.identity()).unwrap()));
    assert_eq!(at_client.peer().0.unwrap().ca(), Some("old"));
}

#[test]
fn a_folder_of_cas() {
    let folder = Folder::new();
    assert_eq!(CaSet::from_pem_dir(folder.path("none")).unwrap_err().kind(), Kind::Read);
    let (kind, text) = folder.said(CaSet::from_pem_dir(folder.path("")));
    assert_eq!(kind, Kind::NoTrust);
    assert!(text.ends_with("has no file `*.pem` or `*.crt`"), "{text}");
    let cert = |name: &str| pem("CERTIFICATE", &Cert::root(name).der);
    folder.write("b.pem", cert("B1") + &cert("B2"));
    folder.write("a.crt", cert("A"));
    folder.write(".hidden.pem", "");
    folder.write("c.crl", "");
    folder.write("README", "");
    fs::create_dir(folder.path("d.pem")).unwrap();
    let ca_set = CaSet::from_pem_dir(folder.path("")).unwrap();
    assert_eq!(ca_set.labels().collect::<Vec<_>>(), ["A", "B1", "B2"]);
    assert_eq!(ca_set.labelled_by_file().labels().collect::<Vec<_>>(), ["a", "b", "b"]);
    folder.write("e.pem", "");
    assert_eq!(
        folder.said(CaSet::from_pem_dir(folder.path(""))),
        said(Kind::Pem, "e.pem has no certificate: it is empty")
    );
    fs::remove_file(folder.path("e.pem")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path("gone"), folder.path("link.pem")).unwrap();
        let (kind, text) = folder.said(CaSet::from_pem_dir(folder.path("")));
        assert_eq!(kind, Kind::Read);
        assert!(text.starts_with("link.pem cannot be read: "), "{text}");
    }
    let more = CaSet::new().add_pem("x", cert("X")).unwrap().with_pem_file(folder.path("b.pem")).unwrap();
    assert_eq!(more.labels().collect::<Vec<_>>(), ["x", "B1", "B2"]);
    let more = more.labelled_by_file().with_pem_file(folder.path("a.crt")).unwrap().labelled("mine");
    assert_eq!(more.labels().collect::<Vec<_>>(), ["x", "b", "b", "mine"]);
    let all = CaSet::new().add_pem("x", cert("X") + &cert("Y")).unwrap().labelled_by_file();
    assert_eq!(all.labels().collect::<Vec<_>>(), ["x", "x"]);
    assert_eq!(all.labelled("y").labels().collect::<Vec<_>>(), ["y", "y"]);

    // If there are many files, the message names only four of them.
    let host = Cert::root("Other").leaf("host", &|_| {});
    let heard = |count: usize| {
        let ca_set =
            (0..count).fold(CaSet::new(), |ca_set, n| ca_set.add(&format!("l{n}"), Cert::root(&format!("R{n}")).der));
        let ends = join(client(&call(ca_set).unwrap(), Some("host.example")), server(&serve(host.identity()).unwrap()));
        ends.0.error().to_string()
    };
    assert!(heard(4).contains("not among the CAs of l0, l1, l2, l3, and the server sent no"), "{}", heard(4));
    assert!(
        heard(6).contains("not among the CAs of l0, l1, l2, l3 and 2 more, and the server sent no"),
        "{}",
        heard(6)
    );
    assert_eq!(CaSet::new().add_pem("x", "").unwrap_err().kind(), Kind::Pem);
}

#[test]
fn shared_label_warns_unless_both_labels_are_set() {
    let folder = Folder::new();
    let root = || pem("CERTIFICATE", &Cert::root("Operators").der);
    let mine = root();
    let file = |name: &str, text: String| folder.write(name, text);
    let (ours, theirs) = (file("ours.pem", mine.clone()), file("theirs.pem", root()));
    let warnings = |ca_set: CaSet| {
        let tls = call(ca_set).unwrap();
        tls.warnings().into_iter().map(|warning| folder.said::<()>(Err(warning))).collect::<Vec<_>>()
    };
    let both = |label: fn(CaSet) -> CaSet| label(CaSet::from_pem_file(&ours).unwrap()).with_pem_file(&theirs).unwrap();
    assert_eq!(both(|ca_set| ca_set).labels().collect::<Vec<_>>(), ["Operators", "Operators"]);
    let warning = [said(Kind::Label, "ours.pem and theirs.pem have different CAs with the same label (Operators)")];
    assert_eq!(warnings(both(|ca_set| ca_set)), warning);
    // The other CA has chosen the name that the program uses as a label.
    assert_eq!(warnings(both(|ca_set| ca_set.labelled("Operators"))), warning);
    assert_eq!(
        warnings(CaSet::from_pem_file(&theirs).unwrap().with_pem_file(&ours).unwrap().labelled("Operators")).len(),
        1
    );
    assert_eq!(warnings(both(|ca_set| ca_set.labelled("Operators")).labelled("Operators")), []);
    assert_eq!(warnings(both(|ca_set| ca_set.labelled("operators"))), []);
    assert_eq!(warnings(both(|ca_set| ca_set).labelled_by_file()), []);
    // There is no warning for two keys of one CA in one file, or for the same certificate in two files.
    assert_eq!(warnings(CaSet::from_pem_file(file("rolled.pem", mine.clone() + &root())).unwrap()), []);
    let copy = file("copy.pem", mine);
    assert_eq!(warnings(CaSet::from_pem_file(&ours).unwrap().with_pem_file(copy).unwrap()), []);
}

#[test]
fn revocation_lists() {
    let folder = Folder::new();
    let (one, two) = (Cert::root("One"), Cert::root("Two"));
    let ca_set = || {
        CaSet::from_pem_file(folder.write("one.pem", pem("CERTIFICATE", &one.der)))
            .and_then(|ca_set| ca_set.with_pem_file(folder.write("two.pem", pem("CERTIFICATE", &two.der))))
            .unwrap()
    };
    let of_one = folder.write("one.crl", one.crl(&[], NOW + DAY));
    let of_two = folder.write("two.crl", pem("X509 CRL", &two.crl(&[], NOW + DAY)));
    assert!(call(ca_set()).is_ok());
    assert_eq!(
        folder.said(call(ca_set().with_crl_file(&of_one).unwrap())),
        said(Kind::CrlMissing, "the CA of two.pem (CN=Two) has no revocation list, although lists were given")
    );
    assert!(call(ca_set().with_crl_file(&of_one).unwrap().with_crl_file(&of_two).unwrap()).is_ok());
    // With an expired list, a policy can still be built.
    let old = folder.write("old.crl", two.crl(&[], NOW - DAY));
    assert!(call(ca_set().with_crl_file(&of_one).unwrap().with_crl_file(old).unwrap()).is_ok());

    assert_eq!(ca_set().with_crl_file(folder.path("no.crl")).unwrap_err().kind(), Kind::Read);
    let wrong = folder.write("wrong.crl", pem("CERTIFICATE", &one.der));
    assert_eq!(
        folder.said(ca_set().with_crl_file(wrong)),
        said(Kind::Pem, "wrong.crl has no revocation list, but a certificate")
    );
    let broken = folder.write("broken.crl", pem("X509 CRL", b"\x30\x01\x02"));
    let (kind, text) = folder.said(call(ca_set().with_crl_file(broken).unwrap()));
    assert_eq!(kind, Kind::Crl);
    assert!(text.starts_with("the revocation list in broken.crl cannot be used ("), "{text}");

    let twin = Cert::root("One");
    let twins = CaSet::new().add("a", one.der.clone()).add("b", twin.der.clone());
    assert!(call(twins.clone()).is_ok());
    assert_eq!(
        folder.said(call(twins.with_crl(one.crl(&[], NOW + DAY)).with_crl(twin.crl(&[], NOW + DAY)))),
        said(
            Kind::Crl,
            "two of the CAs of a, b have the same subject (CN=One), so their revocation lists cannot be distinguished"
        )
    );
    // Two copies of the same certificate are allowed.
    let same = CaSet::new().add("a", one.der.clone()).add("b", one.der.clone());
    assert!(call(same.with_crl(one.crl(&[], NOW + DAY))).is_ok());
}

#[test]
fn the_newest_list_counts() {
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    let old = root.crl_issued(&[], NOW - 20 * DAY, NOW + 20 * DAY);
    let new = root.crl_issued(&[&host], NOW - 10 * DAY, NOW + DAY);
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let ca_set = lists.into_iter().fold(root.ca_set("root"), |ca_set, list| ca_set.with_crl(list));
        let (at_client, _) =
            join(client(&call(ca_set).unwrap(), Some("host.example")), server(&serve(host.identity()).unwrap()));
        assert_eq!(at_client.error().kind(), Kind::Revoked);
    }
}

#[test]
fn lists_of_one_ca_for_different_certificates_all_count() {
    let root = Cert::root("Root");
    let (a, b) = ("http://ca.example/a.crl", "http://ca.example/b.crl");
    let host = root.leaf("host", &|params| params.crl_distribution_points = vec![crl_point(b)]);
    let meet = |revoked: &[&Cert]| {
        let newer = root.crl_for(Some(a), &[], NOW - DAY, NOW + DAY);
        let older = root.crl_for(Some(b), revoked, NOW - 2 * DAY, NOW + DAY);
        let tls = call(root.ca_set("root").with_crl(newer).with_crl(older)).unwrap();
        join(client(&tls, Some("host.example")), server(&serve(host.identity()).unwrap())).0
    };
    assert_eq!(meet(&[]).peer().0.unwrap().leaf(), &host.der);
    assert_eq!(meet(&[&host]).error().kind(), Kind::Revoked);
}

#[test]
fn a_clock_that_is_broken() {
    let root = Cert::root("Root");
    let clock = Clock::new(u64::MAX);
    let error = ClientTls::private(root.ca_set("root")).clock(clock.clone()).build().unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::System, Blame::System));
    clock.set(NOW);
    let tls = ClientTls::private(root.ca_set("root")).clock(clock.clone()).build().unwrap();
    clock.set(u64::MAX);
    let host = serve(root.leaf("host", &|_| {}).identity()).unwrap();
    assert_eq!(join(client(&tls, Some("host.example")), server(&host)).0.error().kind(), Kind::System);
}

#[test]
fn a_provider_that_lacks_the_only_version() {
    let root = Cert::root("Root");
    let old = Version::Tls12.provider();
    assert_eq!(
        ClientTls::private(root.ca_set("root")).tls13_only().build_with(old.clone()).unwrap_err().kind(),
        Kind::Provider
    );
    let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).tls13_only().clock(Clock::now());
    assert_eq!(builder.allow_unauthenticated_clients().build_with(old).unwrap_err().kind(), Kind::Provider);
}

#[test]
fn names() {
    let root = Cert::root("Root");
    let checked = call(root.ca_set("root")).unwrap();
    let error = checked.connect(None, "unix:/run/a.sock").unwrap_err();
    assert_eq!(error.kind(), Kind::NameMissing);
    assert_eq!(
        error.explain(),
        "the policy checks the name of the server, but the address unix:/run/a.sock has no name; set `server_name`, or build \
         the policy with `ClientTls::private(ca_set).without_name_check()`"
    );
    for bad in ["", "a b", "fe80::1%eth0", "-", "a\nb"] {
        let error = checked.connect(Some(bad), "somewhere").unwrap_err();
        assert_eq!(error.kind(), Kind::Name, "{bad}");
        assert!(!error.to_string().contains('\n'));
    }
    assert!(checked.checks_name());

    // If the name is not checked, it is not sent. The address then keeps the sessions of two peers apart.
    let unchecked = ClientTls::private(root.ca_set("root")).without_name_check().clock(Clock::now()).build().unwrap();
    assert!(!unchecked.checks_name() && !unchecked.connect(Some("a.example"), "x").unwrap().config.enable_sni);
    let [a, b] = ["unix:/a", "unix:/b"].map(|peer| unchecked.connect(Some("a.example"), peer).unwrap().name);
    assert_ne!(a, b);
    assert_eq!(a, unchecked.connect(None, "unix:/a").unwrap().name);
    assert!(matches!(a, degu_tls::rustls::pki_types::ServerName::IpAddress(_)));
    let pinned = ClientTls::pinned([degu_tls::SpkiPin::from_sha256([0; 32])]).build().unwrap();
    assert!(!pinned.checks_name());
    assert_eq!(pinned.connect(Some("a.example"), "x").unwrap().name.to_str(), "a.example");
    assert_ne!(pinned.connect(Some("192.0.2.1"), "x").unwrap().name.to_str(), "192.0.2.1");
    assert!(pinned.connect(Some("not a name"), "x").is_ok());
}
