//! Reloads: new connections use the new files, and older connections keep their policy.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::kit::pipe::{Ended, client, join, server};
use crate::kit::{Cert, Clock, DAY, NOW, pem};
use crate::log::logged;
use degu_tls::error::{Blame, Kind};
use degu_tls::rustls::pki_types::UnixTime;
use degu_tls::rustls::time_provider::TimeProvider;
use degu_tls::{CaSet, ClientTls, Identity, ServerTls, SpkiPin};
use tempfile::TempDir;

/// A server and a client whose policies come from files.
struct Site {
    folder: TempDir,
    root: Cert,
    device: Cert,
    server: ServerTls,
    client: ClientTls,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = Cert::root("Root");
        let (host, device) = (root.leaf("host", &|_| {}), root.leaf("device", &|_| {}));
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let ca = write("root.pem", pem("CERTIFICATE", &root.der));
        let crl = write("root.crl", pem("X509 CRL", &root.crl(&[], NOW + DAY)));
        let host = Identity::from_pem_files(write("host.pem", host.pem()), write("host.key", host.key.pem())).unwrap();
        let own = Identity::from_pem_files(write("dev.pem", device.pem()), write("dev.key", device.key.pem())).unwrap();
        let ca_set = CaSet::from_pem_file(ca).unwrap().with_crl_file(crl).unwrap();
        let server = ServerTls::builder(host).require_clients(ca_set.clone()).clock(Clock::now()).build().unwrap();
        let client = ClientTls::private(ca_set).identity(own).clock(Clock::now()).build().unwrap();
        Self { folder, root, device, server, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: String) {
        fs::write(self.path(name), text).unwrap();
    }

    fn join(&self) -> (Ended, Ended) {
        join(client(&self.client, Some("host.example")), server(&self.server))
    }
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let site = Site::new();
    let begun = server(&site.server);
    let clone = site.server.clone();
    let next = site.root.leaf("host", &|_| {});
    site.write("host.pem", next.pem());
    // If only one of certificate and key was replaced, the reload fails and changes nothing.
    let error = site.server.reload().unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::KeyMismatch, Blame::Caller));
    assert!(error.to_string().contains("host.key does not belong to the certificate of "), "{error}");
    assert_ne!(site.join().0.peer().0.unwrap().leaf(), &next.der);
    site.write("host.key", next.key.pem());
    clone.reload().unwrap();
    let (peer, kind) = site.join().0.peer();
    assert_eq!((peer.unwrap().leaf(), kind), (&next.der, degu_tls::rustls::HandshakeKind::Full));
    // A handshake that began before the reload keeps its policy.
    let (at_client, _) = join(client(&site.client, Some("host.example")), begun);
    assert_ne!(at_client.peer().0.unwrap().leaf(), &next.der);
}

#[test]
fn a_file_that_went_away_changes_nothing() {
    let site = Site::new();
    for name in ["root.crl", "root.pem", "host.pem", "host.key"] {
        fs::rename(site.path(name), site.path("away")).unwrap();
        let error = site.server.reload().unwrap_err();
        assert_eq!(error.kind(), Kind::Read);
        assert!(error.to_string().contains(name), "{error}");
        fs::rename(site.path("away"), site.path(name)).unwrap();
    }
    assert!(site.join().1.peer().0.is_some());
    site.server.reload().unwrap();
    site.client.reload().unwrap();
    assert!(site.join().1.peer().0.is_some());
}

#[test]
fn a_new_list_and_new_cas_on_both_sides() {
    let site = Site::new();
    assert_eq!(site.join().1.peer().0.unwrap().ca(), Some("Root"));
    site.write("root.crl", pem("X509 CRL", &site.root.crl(&[&site.device], NOW + DAY)));
    site.server.reload().unwrap();
    assert_eq!(site.join().1.error().kind(), Kind::Revoked);
    // A new CA without its own revocation list is refused at once.
    site.write("root.pem", pem("CERTIFICATE", &Cert::root("Next").der));
    assert_eq!(site.client.reload().unwrap_err().kind(), Kind::CrlMissing);
    let next = Cert::root("Next");
    site.write("root.pem", pem("CERTIFICATE", &next.der));
    site.write("root.crl", pem("X509 CRL", &next.crl(&[], NOW + DAY)));
    site.client.reload().unwrap();
    assert_eq!(site.join().0.error().kind(), Kind::UnknownIssuer);
    // A reload of the client also reads the client's certificate again.
    site.write("dev.key", next.key.pem());
    assert_eq!(site.client.reload().unwrap_err().kind(), Kind::KeyMismatch);
}

#[test]
fn a_reload_warns_about_a_list_that_locks_everybody_out() {
    let site = Site::new();
    assert!(site.server.reload().unwrap().is_empty());
    site.write("root.crl", pem("X509 CRL", &site.root.crl_issued(&[], NOW - DAY, NOW - 1)));
    let warnings = site.server.reload().unwrap();
    assert_eq!(warnings.iter().map(degu_tls::Error::kind).collect::<Vec<_>>(), [Kind::CrlExpired]);
    let text = warnings[0].explain();
    assert!(
        text.contains("root.crl (CN=Root) has expired: the next list was due on 2026-11-22 11:59:59 UTC; fetch"),
        "{text}"
    );
    assert_eq!(site.server.warnings().len(), 1);
    assert_eq!(site.join().1.error().kind(), Kind::CrlExpired);
    // If the file also has a newer list, this list is used, and there is no warning.
    let both = [site.root.crl_issued(&[], NOW - DAY, NOW - 1), site.root.crl_issued(&[], NOW - 1, NOW + DAY)];
    site.write("root.crl", both.map(|list| pem("X509 CRL", &list)).concat());
    assert!(site.server.reload().unwrap().is_empty());
    assert!(site.server.warnings().is_empty() && site.join().1.peer().0.is_some());
}

#[test]
fn accepted_peer_is_revoked_after_a_reload() {
    let site = Site::new();
    let peer = site.join().1.peer().0.unwrap();
    let before = site.server.changes();
    assert!(!site.server.revokes(&peer));
    site.write("root.crl", pem("X509 CRL", &site.root.crl(&[&site.root.leaf("other", &|_| {})], NOW + DAY)));
    site.server.reload().unwrap();
    assert!(!site.server.revokes(&peer));
    // A peer on an expired list is still revoked.
    site.write("root.crl", pem("X509 CRL", &site.root.crl(&[&site.device], NOW - 1)));
    site.server.reload().unwrap();
    assert!(site.server.revokes(&peer));
    assert_eq!(site.server.changes(), before + 2);
    // A certificate of another CA with the same serial number is another certificate.
    let others = Cert::root("Others");
    let ca_set = site.root.ca_set("root").add("others", others.der.clone());
    let ca_set = ca_set.with_crl(site.root.crl(&[], NOW + DAY)).with_crl(others.crl(&[&site.device], NOW + DAY));
    let next = ServerTls::builder(site.root.leaf("host", &|_| {}).identity()).require_clients(ca_set);
    site.server.replace(&next.clock(Clock::now()).build().unwrap()).unwrap();
    assert!(!site.server.revokes(&peer));
}

#[test]
fn a_folder_is_read_again() {
    let site = Site::new();
    let ca_set = site.path("ca_set");
    fs::create_dir(&ca_set).unwrap();
    fs::write(ca_set.join("first.pem"), pem("CERTIFICATE", &site.root.der)).unwrap();
    let host = Identity::from_pem_files(site.path("host.pem"), site.path("host.key")).unwrap();
    let builder = ServerTls::builder(host)
        .require_clients(CaSet::from_pem_dir(&ca_set).unwrap().labelled_by_file())
        .clock(Clock::now());
    let tls = builder.build().unwrap();
    let guests = Cert::root("Guests");
    let guest = ClientTls::private(site.root.ca_set("root")).identity(guests.leaf("guest", &|_| {}).identity());
    let guest = guest.clock(Clock::now()).build().unwrap();
    let meet = || join(client(&guest, Some("host.example")), server(&tls)).1;
    assert_eq!(meet().error().kind(), Kind::UnknownIssuer);
    fs::write(ca_set.join("guests.pem"), pem("CERTIFICATE", &guests.der)).unwrap();
    tls.reload().unwrap();
    assert_eq!(meet().peer().0.unwrap().ca(), Some("guests"));
}

#[test]
fn a_label_is_kept_when_the_file_holds_another_ca() {
    let site = Site::new();
    let file = site.path("clients.pem");
    fs::write(&file, pem("CERTIFICATE", &site.root.der)).unwrap();
    let host = Identity::from_pem_files(site.path("host.pem"), site.path("host.key")).unwrap();
    let ca_set = CaSet::from_pem_file(&file).unwrap().labelled("clients");
    let tls = ServerTls::builder(host).require_clients(ca_set).clock(Clock::now()).build().unwrap();
    let guests = Cert::root("Guests");
    fs::write(&file, pem("CERTIFICATE", &guests.der)).unwrap();
    tls.reload().unwrap();
    let guest = ClientTls::private(site.root.ca_set("root")).identity(guests.leaf("guest", &|_| {}).identity());
    let guest = guest.clock(Clock::now()).build().unwrap();
    assert_eq!(join(client(&guest, Some("host.example")), server(&tls)).1.peer().0.unwrap().ca(), Some("clients"));
}

#[test]
fn what_is_allowed_stays_allowed() {
    let site = Site::new();
    let old = site.root.leaf("host", &|params| params.not_after = crate::kit::at(NOW - DAY));
    site.write("host.pem", old.pem());
    site.write("host.key", old.key.pem());
    assert_eq!(site.server.reload().unwrap_err().kind(), Kind::Expired);
    let host = || Identity::from_pem_files(site.path("host.pem"), site.path("host.key")).unwrap().allow_invalid_time();
    let tls = ServerTls::builder(host()).allow_unauthenticated_clients().clock(Clock::now()).build().unwrap();
    tls.reload().unwrap();
    let expired =
        Cert::root_with("Root", crate::kit::Key::new(), &|params| params.not_after = crate::kit::at(NOW - DAY));
    site.write("root.pem", pem("CERTIFICATE", &expired.der));
    let ca_set = CaSet::from_pem_file(site.path("root.pem")).unwrap().allow_invalid_time();
    ClientTls::private(ca_set).clock(Clock::now()).build().unwrap().reload().unwrap();
}

#[test]
fn memory_can_not_be_read_again() {
    let site = Site::new();
    let files = || CaSet::from_pem_file(site.path("root.pem")).unwrap();
    let host = || Identity::from_pem_files(site.path("host.pem"), site.path("host.key")).unwrap();
    let crl = site.root.crl(&[], NOW + DAY);
    let serve = |identity: Identity, ca_set: CaSet| {
        ServerTls::builder(identity).require_clients(ca_set).clock(Clock::now()).build().unwrap().reload()
    };
    serve(host(), files()).unwrap();
    for result in [
        serve(site.device.identity(), files()),
        serve(host(), site.root.ca_set("root")),
        serve(host(), files().with_crl(crl)),
        ClientTls::private(site.root.ca_set("root")).clock(Clock::now()).build().unwrap().reload(),
        ClientTls::private(files()).identity(site.device.identity()).clock(Clock::now()).build().unwrap().reload(),
        ClientTls::pinned([SpkiPin::from_sha256([0; 32])]).build().unwrap().reload(),
    ] {
        assert_eq!(result.unwrap_err().kind(), Kind::Reload);
    }
    ClientTls::pinned([SpkiPin::from_sha256([0; 32])])
        .identity(host())
        .clock(Clock::now())
        .build()
        .unwrap()
        .reload()
        .unwrap();
}

#[test]
fn a_replacement_never_changes_who_may_call() {
    let site = Site::new();
    let root = Cert::root("Root");
    let host = || root.leaf("host", &|_| {}).identity();
    let open = ServerTls::builder(host()).allow_unauthenticated_clients().clock(Clock::now()).build().unwrap();
    let closed = ServerTls::builder(host()).require_clients(root.ca_set("root")).clock(Clock::now()).build().unwrap();
    assert!(!open.requires_clients() && closed.requires_clients());
    for error in [site.server.replace(&open).unwrap_err(), open.replace(&closed).unwrap_err()] {
        assert_eq!((error.kind(), error.blame()), (Kind::Replace, Blame::Caller));
    }
    assert!(site.server.requires_clients());
    site.server.replace(&closed).unwrap();
    assert_eq!(site.join().0.error().kind(), Kind::Signature);

    let pins = || ClientTls::pinned([SpkiPin::from_sha256([0; 32])]).build().unwrap();
    let checked = || ClientTls::private(root.ca_set("root")).clock(Clock::now()).build().unwrap();
    let unchecked =
        || ClientTls::private(root.ca_set("root")).without_name_check().clock(Clock::now()).build().unwrap();
    for (n, (present, next)) in [
        (pins(), checked()),
        (pins(), unchecked()),
        (checked(), pins()),
        (checked(), unchecked()),
        (unchecked(), checked()),
        (unchecked(), pins()),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(present.replace(next).unwrap_err().kind(), Kind::Replace, "{n}");
    }
    pins().replace(&pins()).unwrap();
    checked().replace(&checked()).unwrap();
    unchecked().replace(&unchecked()).unwrap();
}

/// A clock that calls a function when it is asked for the time. It is asked after a reload has read its files.
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl TimeProvider for Meanwhile {
    fn current_time(&self) -> Option<UnixTime> {
        let call = self.0.lock().unwrap().take();
        if let Some(call) = call {
            call();
        }
        Clock::now().current_time()
    }
}

#[test]
fn a_reload_does_not_undo_a_later_change() {
    let site = Site::new();
    let ca_set = CaSet::from_pem_file(site.path("root.pem")).unwrap();
    let host = Identity::from_pem_files(site.path("host.pem"), site.path("host.key")).unwrap();
    let clock = Arc::new(Meanwhile(Mutex::default()));
    let builder = ServerTls::builder(host).require_clients(ca_set.with_crl_file(site.path("root.crl")).unwrap());
    let server = builder.clock(clock.clone()).build().unwrap();
    let expired = pem("X509 CRL", &site.root.crl(&[], NOW - 1));
    let revoked = pem("X509 CRL", &site.root.crl(&[&site.device], NOW + DAY));
    let (path, other) = (site.path("root.crl"), server.clone());
    *clock.0.lock().unwrap() = Some(Box::new(move || {
        fs::write(path, revoked).unwrap();
        other.reload().unwrap();
    }));
    site.write("root.crl", expired);
    // The first attempt of this reload read an expired list. No policy has this list, so there is no warning.
    assert_eq!(logged(|| assert!(server.reload().unwrap().is_empty())), "");
    assert_eq!(server.changes(), 2);
    let (_, at_server) = join(client(&site.client, Some("host.example")), crate::kit::pipe::server(&server));
    assert_eq!(at_server.error().kind(), Kind::Revoked);
}
