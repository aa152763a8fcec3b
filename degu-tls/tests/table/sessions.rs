//! Resumption: which sessions are resumed, and which are not.

use degu_tls::error::Kind;
use degu_tls::rustls::HandshakeKind;
use degu_tls::{ClientTls, ServerTls};

use super::{Table, Verdict};
use crate::kit::pipe::{Ended, client, join, server};
use crate::kit::{Cert, Clock, DAY, NOW, Version};

const HOUR: u64 = 3_600;
const SECTION: &str = "Resumption: a client offers an earlier session";

/// Two policies that have made a handshake, so the client has a session.
struct Met {
    root: Cert,
    device: Cert,
    host: Cert,
    clock: std::sync::Arc<Clock>,
    client: ClientTls,
    server: ServerTls,
}

impl Met {
    fn new(version: Version, crl_hours: u64) -> Self {
        let root = Cert::root("Root");
        let clock = Clock::now();
        let until = |hours: u64| {
            move |params: &mut rcgen::CertificateParams| params.not_after = crate::kit::at(NOW + hours * HOUR)
        };
        let (device, host) = (root.leaf("device", &until(2)), root.leaf("host", &until(20)));
        let ca_set = root.ca_set("root").with_crl(root.crl(&[], NOW + crl_hours * HOUR));
        let server = ServerTls::builder(host.identity())
            .require_clients(ca_set)
            .clock(clock.clone())
            .build_with(version.provider())
            .unwrap();
        let client = ClientTls::private(root.ca_set("root"))
            .identity(device.identity())
            .clock(clock.clone())
            .build_with(version.provider())
            .unwrap();
        let met = Self { root, device, host, clock, client, server };
        let (at_client, at_server) = met.again();
        assert_eq!(at_client.peer().1, HandshakeKind::Full);
        assert_eq!(at_server.peer().1, HandshakeKind::Full);
        met
    }

    fn again(&self) -> (Ended, Ended) {
        join(client(&self.client, Some("host.example")), server(&self.server))
    }

    /// Connects again, and returns the verdict of the server.
    fn verdict(&self, wanted: HandshakeKind) -> Verdict {
        let (theirs, ours) = self.again();
        // If the server refuses a resumed session, the client's handshake has succeeded before.
        match (&ours, &theirs) {
            (Ended::Peer(_, kind), _) | (_, Ended::Peer(_, kind)) => assert_eq!(*kind, wanted),
            _ => assert_eq!(wanted, HandshakeKind::Full),
        }
        Verdict::of(ours, theirs)
    }
}

pub(crate) fn rows(table: &mut Table) {
    table.add(SECTION, "to the same policy: resumed, with the CA", None, |version| {
        let met = Met::new(version, 20);
        let (at_client, at_server) = met.again();
        let (peer, kind) = at_client.peer();
        assert_eq!((peer.unwrap().ca(), kind), (Some("root"), HandshakeKind::Resumed));
        let Ended::Peer(Some(peer), HandshakeKind::Resumed) = &at_server else { panic!("{at_server:?}") };
        assert_eq!(peer.chain(), met.device.chain());
        Verdict::of(at_server, Ended::Raw(Ok(())))
    });
    table.add(SECTION, "after the client's certificate has expired", Some(Kind::Expired), |version| {
        let met = Met::new(version, 20);
        met.clock.set(NOW + 3 * HOUR);
        met.verdict(HandshakeKind::Resumed)
    });
    table.add(SECTION, "after the revocation list has expired", Some(Kind::CrlExpired), |version| {
        let met = Met::new(version, 1);
        met.clock.set(NOW + HOUR);
        met.verdict(HandshakeKind::Resumed)
    });
    table.add(SECTION, "after the server's certificate has expired", Some(Kind::Expired), |version| {
        let met = Met::new(version, 30);
        // Only the client's clock changes, because with the same clock the server would refuse too.
        let client_clock = Clock::now();
        let builder =
            ClientTls::private(met.root.ca_set("root")).identity(met.device.identity()).clock(client_clock.clone());
        let patient = builder.build_with(version.provider()).unwrap();
        let meet = || join(client(&patient, Some("host.example")), server(&met.server));
        meet().0.peer();
        client_clock.set(NOW + 21 * HOUR);
        let (ours, theirs) = meet();
        assert!(matches!(theirs, Ended::Peer(_, HandshakeKind::Resumed)));
        Verdict::of(ours, Ended::Raw(Ok(())))
    });
    table.add(
        SECTION,
        "after the client was revoked and the server has the new list",
        Some(Kind::Revoked),
        |version| {
            let met = Met::new(version, 20);
            let ca_set = met.root.ca_set("root").with_crl(met.root.crl(&[&met.device], NOW + DAY));
            let builder = ServerTls::builder(met.host.identity()).require_clients(ca_set).clock(Clock::now());
            met.server.replace(&builder.build_with(version.provider()).unwrap()).unwrap();
            met.verdict(HandshakeKind::Full)
        },
    );
    table.add(SECTION, "to another policy with the same CAs: a full handshake", None, |version| {
        let met = Met::new(version, 20);
        let builder =
            ServerTls::builder(met.host.identity()).require_clients(met.root.ca_set("same")).clock(Clock::now());
        met.server.replace(&builder.build_with(version.provider()).unwrap()).unwrap();
        met.verdict(HandshakeKind::Full)
    });
    table.add(SECTION, "to another policy with other CAs", Some(Kind::UnknownIssuer), |version| {
        let met = Met::new(version, 20);
        let ca_set = Cert::root("Other").ca_set("other");
        let builder = ServerTls::builder(met.host.identity()).require_clients(ca_set).clock(Clock::now());
        met.server.replace(&builder.build_with(version.provider()).unwrap()).unwrap();
        met.verdict(HandshakeKind::Full)
    });
    table.add(SECTION, "by a client after it has replaced its policy: a full handshake", None, |version| {
        let met = Met::new(version, 20);
        let builder = ClientTls::private(met.root.ca_set("root")).identity(met.device.identity()).clock(Clock::now());
        met.client.replace(&builder.build_with(version.provider()).unwrap()).unwrap();
        met.verdict(HandshakeKind::Full)
    });
    table.add(SECTION, "with `sessions(0)` on the server: a full handshake", None, |version| {
        let met = Met::new(version, 20);
        let builder = ServerTls::builder(met.host.identity()).require_clients(met.root.ca_set("root")).sessions(0);
        met.server.replace(&builder.clock(Clock::now()).build_with(version.provider()).unwrap()).unwrap();
        met.again().0.peer();
        met.verdict(HandshakeKind::Full)
    });
    table.add(SECTION, "with `sessions(0)` on the client: a full handshake", None, |version| {
        let met = Met::new(version, 20);
        let builder = ClientTls::private(met.root.ca_set("root")).identity(met.device.identity()).sessions(0);
        met.client.replace(&builder.clock(Clock::now()).build_with(version.provider()).unwrap()).unwrap();
        met.again().0.peer();
        met.verdict(HandshakeKind::Full)
    });
}
