//! The checks that only servers' certificates have: the name, and the pin.

use std::net::IpAddr;
use std::sync::Arc;

use degu_tls::error::Kind;
use degu_tls::{ClientTls, ServerTls, SpkiPin};
use rcgen::{CertificateParams, SanType};

use super::raw::server_config;
use super::{Table, Verdict};
use crate::kit::pipe::{client, join, raw_server, server};
use crate::kit::{Cert, Clock, DAY, Key, NOW, Version, at, leaf_params};

const NAMES: &str = "The name of a server";
const PINS: &str = "A server with a pinned key";

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.to_owned().try_into().unwrap())
}

pub(crate) fn rows(table: &mut Table) {
    let mut named = |row: &str, wanted: Option<Kind>, names: &[SanType], asked: Option<&str>| {
        let root = Cert::root("Root");
        let host = root.leaf("host", &|params: &mut CertificateParams| params.subject_alt_names = names.to_vec());
        table.add(NAMES, row, wanted, |version| {
            let builder = ClientTls::private(root.ca_set("servers")).clock(Clock::now());
            let builder = if asked.is_some() { builder } else { builder.without_name_check() };
            let tls = builder.build_with(version.provider()).unwrap();
            let config = server_config(version, host.chain(), &host.key);
            let (ours, theirs) = join(client(&tls, asked), raw_server(Arc::new(config)));
            Verdict::of(ours, theirs)
        });
    };
    let [v4, v6] = ["192.0.2.1", "2001:db8::1"].map(|text| SanType::IpAddress(text.parse::<IpAddr>().unwrap()));
    named("the only name of the certificate", None, &[dns("host.example")], Some("host.example"));
    named("in another case", None, &[dns("host.example")], Some("HOST.Example"));
    named(
        "the second name of the certificate",
        None,
        &[dns("other.example"), dns("host.example")],
        Some("host.example"),
    );
    named("not a name of the certificate", Some(Kind::Name), &[dns("host.example"), v4.clone()], Some("other.example"));
    named("only in the common name", Some(Kind::Name), &[], Some("host"));
    named("covered by a wildcard", None, &[dns("*.net.example")], Some("host.net.example"));
    named(
        "with two labels in place of a wildcard",
        Some(Kind::Name),
        &[dns("*.net.example")],
        Some("a.host.net.example"),
    );
    named("an IPv4 address of the certificate", None, std::slice::from_ref(&v4), Some("192.0.2.1"));
    named("an IPv6 address of the certificate", None, std::slice::from_ref(&v6), Some("2001:db8::1"));
    named("not an IP address of the certificate", Some(Kind::Name), &[v4], Some("192.0.2.2"));
    named(
        "an IP address that the certificate has as a DNS name",
        Some(Kind::Name),
        &[dns("192.0.2.1")],
        Some("192.0.2.1"),
    );
    named("not checked (`without_name_check`)", None, &[dns("host.example")], None);

    let root = Cert::root("Root");
    let unnamed = root.leaf("host", &|_| {});
    table.add(NAMES, "not checked, but the certificate is from another CA", Some(Kind::UnknownIssuer), |version| {
        let builder =
            ClientTls::private(Cert::root("Other").ca_set("servers")).without_name_check().clock(Clock::now());
        let tls = builder.build_with(version.provider()).unwrap();
        let config = server_config(version, unnamed.chain(), &unnamed.key);
        let (ours, theirs) = join(client(&tls, None), raw_server(Arc::new(config)));
        Verdict::of(ours, theirs)
    });

    let mut pinned =
        |row: &str, wanted: Option<Kind>, edit: &dyn Fn(&mut CertificateParams), right: bool, holds: bool| {
            let key = Key::new();
            let cert = leaf_params("host", edit).self_signed(&key).unwrap().der().clone();
            let pin = if right { pin_of(&cert) } else { SpkiPin::from_sha256([0; 32]) };
            let other = Key::new();
            let mut verdicts = Version::BOTH.map(|version| {
                let tls = ClientTls::pinned([SpkiPin::from_sha256([1; 32]), pin]).clock(Clock::now());
                let tls = tls.build_with(version.provider()).unwrap();
                let config = server_config(version, vec![cert.clone()], if holds { &key } else { &other });
                let (ours, theirs) = join(client(&tls, Some("elsewhere.example")), raw_server(Arc::new(config)));
                let mut verdict = Verdict::of(ours, theirs);
                // Every run has a new key, so its pin is removed from the text.
                verdict.we_say = verdict.we_say.replace(&pin_of(&cert).to_string(), "sha256/…");
                verdict
            });
            verdicts.reverse();
            let verdicts = std::cell::RefCell::new(verdicts.to_vec());
            table.add(PINS, row, wanted, |_| verdicts.borrow_mut().pop().unwrap());
        };
    pinned("self-signed, for another name", None, &|_| {}, true, true);
    pinned(
        "with CA:TRUE (`openssl req -x509`)",
        None,
        &|params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        },
        true,
        true,
    );
    pinned("expired", None, &|params| params.not_after = at(NOW - DAY), true, true);
    pinned("with another key", Some(Kind::Pin), &|_| {}, false, true);
    pinned("without the private key", Some(Kind::Signature), &|_| {}, true, false);
}

/// Returns the pin of the certificate's key, from the text of the error for another pin.
fn pin_of(cert: &degu_tls::rustls::pki_types::CertificateDer<'static>) -> SpkiPin {
    let tls = ClientTls::pinned([SpkiPin::from_sha256([1; 32])]).build().unwrap();
    let config = server_config(Version::Tls13, vec![cert.clone()], &Key::new());
    let (ours, _) = join(client(&tls, None), raw_server(Arc::new(config)));
    ours.error().to_string().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Returns a server that accepts every client.
pub(crate) fn open(version: Version, host: &Cert) -> ServerTls {
    ServerTls::builder(host.identity())
        .allow_unauthenticated_clients()
        .clock(Clock::now())
        .build_with(version.provider())
        .unwrap()
}

/// Makes a handshake between a client and a server.
pub(crate) fn ends(tls: &ClientTls, host: &ServerTls) -> (crate::kit::pipe::Ended, crate::kit::pipe::Ended) {
    join(client(tls, Some("host.example")), server(host))
}
