//! Versions, suites, application protocols, and peers that do not use TLS.

use std::sync::Arc;

use degu_tls::error::Kind;
use degu_tls::{ClientTls, ServerTls};

use super::raw::{client_config, server_config};
use super::servers::{ends, open};
use super::{Table, Verdict};
use crate::kit::pipe::{End, client, join, raw_client, raw_server, server};
use crate::kit::{Cert, Clock, Version};

const CLIENT: &str = "Offers of a client";
const SERVER: &str = "Selections of a server";

pub(crate) fn rows(table: &mut Table) {
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    let device = root.leaf("device", &|_| {});
    let trusting = |version: Version| {
        ClientTls::private(root.ca_set("root")).clock(Clock::now()).build_with(version.provider()).unwrap()
    };

    table.add(CLIENT, "no certificate, and none is requested", None, |version| {
        let (theirs, ours) = ends(&trusting(version), &open(version, &host));
        Verdict::of(ours, theirs)
    });
    table.add(CLIENT, "no certificate, but one is required", Some(Kind::NoCertificate), |version| {
        let tls = ServerTls::builder(host.identity()).require_clients(root.ca_set("root")).clock(Clock::now());
        let (theirs, ours) = ends(&trusting(version), &tls.build_with(version.provider()).unwrap());
        Verdict::of(ours, theirs)
    });
    table.add(CLIENT, "a certificate, and none is requested", None, |version| {
        let tls = ClientTls::private(root.ca_set("root")).identity(device.identity()).clock(Clock::now());
        let (theirs, ours) = ends(&tls.build_with(version.provider()).unwrap(), &open(version, &host));
        Verdict::of(ours, theirs)
    });

    let alpn = |version: Version, protocols: &[&[u8]], required: bool| {
        let mut config = client_config(version, None);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let builder = ServerTls::builder(host.identity()).allow_unauthenticated_clients().clock(Clock::now());
        let builder = if required { builder.require_alpn() } else { builder };
        let tls = builder.build_with(version.provider()).unwrap();
        let (theirs, ours) = join(raw_client(Arc::new(config), "host.example"), server(&tls));
        Verdict::of(ours, theirs)
    };
    table.add(CLIENT, "ALPN with `h2` and `http/1.1`", None, |version| alpn(version, &[b"h2", b"http/1.1"], true));
    table.add(CLIENT, "ALPN without `http/1.1`", Some(Kind::Alpn), |version| alpn(version, &[b"h2"], false));
    table.add(CLIENT, "no ALPN", None, |version| alpn(version, &[], false));
    table.add(CLIENT, "no ALPN, but it is required", Some(Kind::Alpn), |version| alpn(version, &[], true));

    let bytes = |version: Version, bytes: Vec<u8>| {
        let (theirs, ours) = join(End::Bytes(bytes), server(&open(version, &host)));
        Verdict::of(ours, theirs)
    };
    table.add_one(CLIENT, "TLS 1.2 only, but it is switched off", Some(Kind::Incompatible), {
        let (theirs, ours) = ends(&trusting(Version::Tls12), &open(Version::Tls13, &host));
        Verdict::of(ours, theirs)
    });
    table.add_one(CLIENT, "TLS 1.3 only, but it is switched off", Some(Kind::Incompatible), {
        let (theirs, ours) = ends(&trusting(Version::Tls13), &open(Version::Tls12, &host));
        Verdict::of(ours, theirs)
    });
    let good = [0xc0, 0x2b, 0xc0, 0x2f];
    table.add(CLIENT, "TLS 1.1 only", Some(Kind::Incompatible), |version| bytes(version, hello(0x0302, &good, EMS)));
    table.add(CLIENT, "SSL 3.0 only", Some(Kind::Incompatible), |version| bytes(version, hello(0x0300, &good, EMS)));
    let bad = [
        ("RC4 only (TLS 1.2)", [0x00, 0x05, 0xc0, 0x11]),
        ("CBC only (TLS 1.2)", [0xc0, 0x09, 0xc0, 0x13]),
        ("RSA key exchange only (TLS 1.2)", [0x00, 0x9c, 0x00, 0x9d]),
        ("DHE only (TLS 1.2)", [0x00, 0x9e, 0x00, 0x9f]),
        ("no encryption and export grade only (TLS 1.2)", [0x00, 0x02, 0x00, 0x08]),
    ];
    for (name, suites) in bad {
        table.add_one(CLIENT, name, Some(Kind::Incompatible), bytes(Version::Tls12, hello(0x0303, &suites, EMS)));
    }
    let without = bytes(Version::Tls12, hello(0x0303, &good, &[]));
    table.add_one(CLIENT, "no extended master secret (TLS 1.2)", Some(Kind::Incompatible), without);
    table.add(CLIENT, "an HTTP request in clear text", Some(Kind::Protocol), |version| {
        bytes(version, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec())
    });
    table.add(CLIENT, "an alert instead of a ClientHello", Some(Kind::Refused), |version| {
        let accept = open(version, &host).accept();
        let mut handshake = accept.handshake().unwrap();
        let mut socket = Scripted(vec![21, 3, 3, 0, 2, 2, 40], 0);
        let error = handshake.advance(&mut socket).unwrap_err();
        Verdict { kind: Some(error.kind()), we_say: error.to_string(), peer_is_told: String::new() }
    });
    table.add(CLIENT, "the end of the connection before a ClientHello", Some(Kind::Closed), |version| {
        let mut handshake = open(version, &host).accept().handshake().unwrap();
        let error = handshake.advance(&mut Scripted(Vec::new(), 0)).unwrap_err();
        Verdict { kind: Some(error.kind()), we_say: error.to_string(), peer_is_told: String::new() }
    });

    let answer = |version: Version, bytes: Vec<u8>| {
        let (ours, theirs) = join(client(&trusting(version), Some("host.example")), End::Bytes(bytes));
        match theirs {
            // The bytes begin with the ClientHello and end with the alert.
            crate::kit::pipe::Ended::Bytes(all) => {
                let alert = all[all.len() - 7..].to_vec();
                Verdict::of(ours, crate::kit::pipe::Ended::Bytes(alert))
            }
            other => panic!("{other:?}"),
        }
    };
    table.add(SERVER, "TLS 1.1", Some(Kind::Incompatible), |version| {
        answer(version, server_hello(0x0302, [0xc0, 0x2b]))
    });
    for (name, suite) in [("a suite with CBC (TLS 1.2)", [0xc0, 0x13]), ("a suite with RC4 (TLS 1.2)", [0x00, 0x05])] {
        table.add_one(SERVER, name, Some(Kind::Protocol), answer(Version::Tls12, server_hello(0x0303, suite)));
    }
    let without = answer(Version::Tls12, server_hello(0x0303, [0xc0, 0x2b]));
    table.add_one(SERVER, "no extended master secret (TLS 1.2)", Some(Kind::Incompatible), without);
    table.add(SERVER, "an HTTP response in clear text", Some(Kind::Protocol), |version| {
        answer(version, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())
    });

    let agreed = |version: Version, protocol: &[u8], required: bool| {
        let mut config = server_config(version, host.chain(), &host.key);
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        let builder = ClientTls::private(root.ca_set("root")).clock(Clock::now());
        let builder = if required { builder.require_alpn() } else { builder };
        let tls = builder.build_with(version.provider()).unwrap();
        let (ours, theirs) = join(client(&tls, Some("host.example")), raw_server(Arc::new(config)));
        (ours, theirs)
    };
    table.add(SERVER, "ALPN `http/1.1`", None, |version| {
        let (ours, theirs) = agreed(version, b"http/1.1", true);
        Verdict::of(ours, theirs)
    });
    table.add(SERVER, "no ALPN", None, |version| {
        let (ours, theirs) = agreed(version, b"", false);
        Verdict::of(ours, theirs)
    });
    table.add(SERVER, "no ALPN, but it is required", Some(Kind::Alpn), |version| {
        let (ours, _) = agreed(version, b"", true);
        let error = ours.error();
        Verdict { kind: Some(error.kind()), we_say: error.to_string(), peer_is_told: String::new() }
    });
    table.add(SERVER, "no ALPN in common, because the server supports only `h2`", Some(Kind::Refused), |version| {
        let (ours, _) = agreed(version, b"h2", false);
        let error = ours.error();
        Verdict { kind: Some(error.kind()), we_say: error.to_string(), peer_is_told: String::new() }
    });
}

/// extended_master_secret (RFC 7627).
pub(crate) const EMS: &[u8] = &[0, 23, 0, 0];

fn record(kind: u8, message: &[u8]) -> Vec<u8> {
    let length = message.len() + 4;
    let mut bytes = vec![22, 3, 1, (length >> 8) as u8, length as u8];
    bytes.extend([kind, 0, (message.len() >> 8) as u8, message.len() as u8]);
    bytes.extend(message);
    bytes
}

/// Returns a ClientHello without supported_versions (RFC 5246 §7.4.1.2).
pub(crate) fn hello(version: u16, suites: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut message = version.to_be_bytes().to_vec();
    message.extend([9; 32]);
    message.push(0);
    message.extend([0, suites.len() as u8]);
    message.extend(suites);
    message.extend([1, 0]);
    let mut extensions = vec![
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
    ];
    extensions.extend(extra);
    message.extend((extensions.len() as u16).to_be_bytes());
    message.extend(extensions);
    record(1, &message)
}

/// Returns a ServerHello without extensions.
fn server_hello(version: u16, suite: [u8; 2]) -> Vec<u8> {
    let mut message = version.to_be_bytes().to_vec();
    message.extend([9; 32]);
    message.push(0);
    message.extend(suite);
    message.push(0);
    record(2, &message)
}

/// A socket whose reads return given bytes and then the end, and that takes all writes.
struct Scripted(Vec<u8>, usize);

impl std::io::Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = std::io::Read::read(&mut &self.0[self.1..], buffer)?;
        self.1 += read;
        Ok(read)
    }
}

impl std::io::Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
