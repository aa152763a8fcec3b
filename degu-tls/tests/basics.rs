//! The identity of the peer, on both sides.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rcgen::{DnType, SanType};
use time::OffsetDateTime;

use crate::kit::pipe::{client, join, join_slowly, raw_client, server};
use crate::kit::{Cert, Clock, Key, Version};
use degu_tls::error::Kind;
use degu_tls::rustls::SignatureScheme;
use degu_tls::rustls::client::ResolvesClientCert;
use degu_tls::rustls::sign::CertifiedKey;
use degu_tls::{ClientTls, ServerTls, SpkiPin};

#[test]
fn both_sides_know_each_other() {
    for version in Version::BOTH {
        let (operators, servers) = (Cert::root("Operators"), Cert::root("Servers"));
        let alice = operators.leaf("alice", &|params| {
            for uri in ["urn:device:alice", "spiffe://example/alice"] {
                params.subject_alt_names.push(rcgen::SanType::URI(uri.to_owned().try_into().unwrap()));
            }
        });
        let host = servers.leaf("host", &|_| {});
        let server_tls = ServerTls::builder(host.identity())
            .require_clients(operators.ca_set("operators"))
            .clock(Clock::now())
            .build_with(version.provider())
            .unwrap();
        let client_tls = ClientTls::private(servers.ca_set("servers"))
            .identity(alice.identity())
            .clock(Clock::now())
            .build_with(version.provider())
            .unwrap();
        let (at_client, at_server) = join(client(&client_tls, Some("host.example")), server(&server_tls));
        let (caller, _) = at_server.peer();
        let caller = caller.unwrap();
        assert_eq!(caller.ca(), Some("operators"));
        assert_eq!(caller.dns_names().collect::<Vec<_>>(), ["alice.example"]);
        assert_eq!(caller.chain(), alice.chain());
        assert_eq!(caller.uri_names().collect::<Vec<_>>(), ["urn:device:alice", "spiffe://example/alice"]);
        // SET { SEQUENCE { commonName, UTF8String } }
        assert_eq!(caller.subject_der(), b"\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05alice");
        let shown = format!("{caller:?}");
        assert!(shown.contains("ca: Some(\"operators\")") && shown.contains("subject: \"CN=alice\""), "{shown}");
        let (host_seen, _) = at_client.peer();
        let host_seen = host_seen.unwrap();
        assert_eq!(host_seen.ca(), Some("servers"));
        assert_eq!(host_seen.leaf(), &host.der);
        assert_ne!(host_seen.ca_pin(), caller.ca_pin());
    }
}

#[test]
fn a_peer_as_an_operator_reads_it() {
    let root = Cert::root_with("Machines", Key::new(), &|params| {
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    });
    let device = root.leaf("device", &|params| {
        params.distinguished_name.push(DnType::OrganizationName, "a\nb");
        params.subject_alt_names = vec![
            SanType::IpAddress([192, 0, 2, 7].into()),
            SanType::Rfc822Name("ops@example.com".to_owned().try_into().unwrap()),
            SanType::Rfc822Name("a\nb@example.com".to_owned().try_into().unwrap()),
            SanType::DnsName("device.example".to_owned().try_into().unwrap()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ];
    });
    let host = root.leaf("host", &|_| {});
    let tls =
        ServerTls::builder(host.identity()).require_clients(root.ca_set("x")).clock(Clock::now()).build().unwrap();
    let caller = ClientTls::private(root.ca_set("x")).identity(device.identity()).clock(Clock::now()).build().unwrap();
    let (_, at_server) = join(client(&caller, Some("host.example")), server(&tls));
    let peer = at_server.peer().0.unwrap();
    assert_eq!(peer.subject(), r"O=a\0Ab,CN=device");
    assert_eq!(peer.issuer(), r"O=Example\, Inc.,CN=Machines");
    assert_eq!(peer.ip_names().collect::<Vec<_>>(), [IpAddr::from([192, 0, 2, 7]), Ipv6Addr::LOCALHOST.into()]);
    assert_eq!(peer.email_names().collect::<Vec<_>>(), ["ops@example.com"]);
    assert_eq!(peer.dns_names().collect::<Vec<_>>(), ["device.example"]);
    let time = |time: OffsetDateTime| Some(SystemTime::from(time));
    assert_eq!(peer.not_before(), time(device.params.not_before));
    assert_eq!(peer.not_after(), time(device.params.not_after));
    assert_eq!(peer.sha256().to_string(), sha256sum(&device.der));
}

/// Returns the output of the program `sha256sum`.
fn sha256sum(data: &[u8]) -> String {
    let mut program = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(data).unwrap();
    String::from_utf8(program.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

#[test]
fn the_label_is_of_the_ca_that_vouched() {
    let roots: Vec<_> = (0..4).map(|n| Cert::root(&format!("Root {n}"))).collect();
    let mut ca_set = degu_tls::CaSet::new();
    for (n, root) in roots.iter().enumerate() {
        ca_set = ca_set.add(&format!("label{n}"), root.der.clone());
    }
    let host = roots[0].leaf("host", &|_| {});
    let server_tls = ServerTls::builder(host.identity()).require_clients(ca_set).clock(Clock::now()).build().unwrap();
    for (n, root) in roots.iter().enumerate() {
        let caller = root.leaf("caller", &|_| {});
        let client_tls =
            ClientTls::private(roots[0].ca_set("x")).identity(caller.identity()).clock(Clock::now()).build().unwrap();
        let (_, at_server) = join(client(&client_tls, Some("host.example")), server(&server_tls));
        let peer = at_server.peer().0.unwrap();
        assert_eq!(peer.ca(), Some(&*format!("label{n}")));
        assert!(caller.params.serial_number.unwrap().to_bytes().ends_with(peer.serial()) && !peer.serial().is_empty());
    }
}

#[test]
fn a_pin_is_what_the_peer_identity_says() {
    let host = Cert::root("Anyone").leaf("host", &|_| {});
    let tls = ServerTls::builder(host.identity()).allow_unauthenticated_clients().clock(Clock::now()).build().unwrap();
    let wrong = ClientTls::pinned([SpkiPin::from_sha256([7; 32])]).build().unwrap();
    let error = join(client(&wrong, None), server(&tls)).0.error();
    assert_eq!(error.kind(), Kind::Pin);
    // The message contains the pin, which an operator can copy.
    let pin: SpkiPin = error.to_string().rsplit(' ').next().unwrap().parse().unwrap();
    let right = ClientTls::pinned([SpkiPin::from_sha256([7; 32]), pin]).build().unwrap();
    let (at_client, at_server) = join(client(&right, None), server(&tls));
    let peer = at_client.peer().0.unwrap();
    assert_eq!((peer.ca(), peer.ca_pin(), peer.pin()), (None, None, pin));
    assert_eq!(at_server.peer().0, None);
}

#[test]
fn one_byte_at_a_time() {
    // RUSTSEC-2024-0399 was a panic for a fragmented ClientHello.
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    for version in Version::BOTH {
        let tls = ServerTls::builder(host.identity())
            .require_clients(root.ca_set("root"))
            .clock(Clock::now())
            .build_with(version.provider())
            .unwrap();
        let client_tls = ClientTls::private(root.ca_set("root"))
            .identity(host.identity())
            .clock(Clock::now())
            .build_with(version.provider())
            .unwrap();
        let (at_client, at_server) = join_slowly(client(&client_tls, Some("host.example")), server(&tls), 1);
        assert!(at_client.peer().0.is_some() && at_server.peer().0.is_some());
    }
}

/// A resolver that sends no certificate, and remembers which CAs the server named.
#[derive(Debug, Default)]
struct Curious(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Curious {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_server_tells_which_cas_it_trusts() {
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    let ca_set = root.ca_set("one").add("two", Cert::root("Second").der);
    let tls = ServerTls::builder(host.identity()).require_clients(ca_set).clock(Clock::now()).build().unwrap();
    let client_tls = ClientTls::private(root.ca_set("root")).clock(Clock::now()).build().unwrap();
    let connect = client_tls.connect(Some("host.example"), "x").unwrap();
    let curious = Arc::new(Curious::default());
    let mut config = (*connect.config).clone();
    config.client_auth_cert_resolver = curious.clone();
    let (_, at_server) = join(raw_client(Arc::new(config), "host.example"), server(&tls));
    assert_eq!(at_server.error().kind(), Kind::NoCertificate);
    let hints = curious.0.lock().unwrap();
    assert_eq!(hints.len(), 2);
    assert!(hints[0].ends_with(b"Root") && hints[1].ends_with(b"Second"));
}
