//! Certificates of clients and servers, which the other side verifies with a private CA.

use std::sync::Arc;

use degu_tls::error::Kind;
use degu_tls::rustls::pki_types::CertificateDer;
use degu_tls::{CaSet, ClientTls, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, ExtendedKeyUsagePurpose as Usage, GeneralSubtree,
    IsCa, NameConstraints,
};

use super::raw::{client_config, server_config};
use super::{Table, Verdict};
use crate::kit::pipe::{client, join, raw_client, raw_server, server};
use crate::kit::{Cert, Clock, DAY, Key, NOW, Version, at, leaf_params};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Side {
    fn usage(self) -> Usage {
        match self {
            Self::Client => Usage::ClientAuth,
            Self::Server => Usage::ServerAuth,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A certificate that one side sends, and the CAs of the other side.
struct Case {
    chain: Vec<CertificateDer<'static>>,
    key: Key,
    ca_set: CaSet,
}

impl Case {
    fn new(cert: Cert, ca_set: CaSet) -> Self {
        Self { chain: cert.chain(), key: cert.key, ca_set }
    }
}

/// Makes a handshake in which `side` sends the certificate of the case.
fn run(version: Version, side: Side, case: &Case) -> Verdict {
    let ca_set = case.ca_set.clone();
    match side {
        Side::Client => {
            let host = Cert::root("Host CA").leaf("host", &|_| {});
            let tls = ServerTls::builder(host.identity())
                .require_clients(ca_set)
                .clock(Clock::now())
                .build_with(version.provider())
                .unwrap();
            let caller = client_config(version, Some((case.chain.clone(), &case.key)));
            let (theirs, ours) = join(raw_client(Arc::new(caller), "host.example"), server(&tls));
            Verdict::of(ours, theirs)
        }
        Side::Server => {
            let tls = ClientTls::private(ca_set).clock(Clock::now()).build_with(version.provider()).unwrap();
            let host = server_config(version, case.chain.clone(), &case.key);
            let (ours, theirs) = join(client(&tls, Some("device.example")), raw_server(Arc::new(host)));
            Verdict::of(ours, theirs)
        }
    }
}

type Make<'a> = &'a dyn Fn(Side) -> Case;

pub(crate) fn rows(table: &mut Table) {
    let root = || Cert::root("Root");
    let none = &|_: &mut CertificateParams| {};
    let mut both = |name: &str, wanted: Option<Kind>, make: Make<'_>| {
        for (section, side) in
            [("Certificates that a client sends", Side::Client), ("Certificates that a server sends", Side::Server)]
        {
            let case = make(side);
            rows_of(table, section, name, wanted, side, &case);
        }
    };

    both("from the right CA", None, &|_| {
        let root = root();
        Case::new(root.leaf("device", none), root.ca_set("devices"))
    });
    both("with an intermediate", None, &|_| {
        let root = root();
        Case::new(root.intermediate("Sub", none).leaf("device", none), root.ca_set("devices"))
    });
    both("with six intermediates in the wrong order, the root, and an unrelated certificate", None, &|_| {
        let root = root();
        let mut last = root.intermediate("Sub 1", none);
        for n in 2..=6 {
            last = last.intermediate(&format!("Sub {n}"), none);
        }
        let leaf = last.leaf("device", none);
        let mut case = Case::new(leaf, root.ca_set("devices"));
        case.chain[1..].reverse();
        case.chain.insert(1, Cert::root("Stranger").der);
        case.chain.insert(1, root.der);
        case
    });
    both("with seven intermediates", Some(Kind::Constraint), &|_| {
        let root = root();
        let mut last = root.intermediate("Sub 1", none);
        for n in 2..=7 {
            last = last.intermediate(&format!("Sub {n}"), none);
        }
        Case::new(last.leaf("device", none), root.ca_set("devices"))
    });
    both("without extended key usage", None, &|_| {
        let root = root();
        Case::new(root.leaf("device", &|params| params.extended_key_usages.clear()), root.ca_set("devices"))
    });
    both("from another CA", Some(Kind::UnknownIssuer), &|_| {
        Case::new(Cert::root("Other").leaf("device", none), root().ca_set("devices"))
    });
    both("from another CA, whose certificate is sent too", Some(Kind::UnknownIssuer), &|_| {
        let other = Cert::root("Other");
        let mut case = Case::new(other.leaf("device", none), root().ca_set("devices"));
        case.chain.push(other.der);
        case
    });
    both("from another CA with the same name", Some(Kind::Signature), &|_| {
        Case::new(root().leaf("device", none), root().ca_set("devices"))
    });
    both("without its intermediate", Some(Kind::UnknownIssuer), &|_| {
        let root = root();
        let mut case = Case::new(root.intermediate("Sub", none).leaf("device", none), root.ca_set("devices"));
        case.chain.truncate(1);
        case
    });
    both("self-signed", Some(Kind::SelfSigned), &|_| {
        let key = Key::new();
        let cert = leaf_params("device", none).self_signed(&key).unwrap();
        Case { chain: vec![cert.der().clone()], key, ca_set: root().ca_set("devices") }
    });
    both("with CA:TRUE", Some(Kind::CaAsLeaf), &|_| {
        let root = root();
        let leaf = root.leaf("device", &|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        Case::new(leaf, root.ca_set("devices"))
    });
    both("expired", Some(Kind::Expired), &|_| {
        let root = root();
        Case::new(root.leaf("device", &|params| params.not_after = at(NOW - DAY)), root.ca_set("devices"))
    });
    both("not yet valid", Some(Kind::NotYetValid), &|_| {
        let root = root();
        Case::new(root.leaf("device", &|params| params.not_before = at(NOW + DAY)), root.ca_set("devices"))
    });
    both("from an intermediate that has expired", Some(Kind::Expired), &|_| {
        let root = root();
        let sub = root.intermediate("Sub", &|params| params.not_after = at(NOW - DAY));
        Case::new(sub.leaf("device", none), root.ca_set("devices"))
    });
    both("from an intermediate that is not yet valid", Some(Kind::NotYetValid), &|_| {
        let root = root();
        let sub = root.intermediate("Sub", &|params| params.not_before = at(NOW + DAY));
        Case::new(sub.leaf("device", none), root.ca_set("devices"))
    });
    both("whose validity ends before it begins", Some(Kind::Malformed), &|_| {
        let root = root();
        let edit = |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (at(NOW + DAY), at(NOW - DAY));
        };
        Case::new(root.leaf("device", &edit), root.ca_set("devices"))
    });
    both("not on the revocation list", None, &|_| {
        let root = root();
        let ca_set = root.ca_set("devices").with_crl(root.crl(&[&root.leaf("lost", none)], NOW + DAY));
        Case::new(root.leaf("device", none), ca_set)
    });
    both("revoked", Some(Kind::Revoked), &|_| {
        let root = root();
        let leaf = root.leaf("device", none);
        let ca_set = root.ca_set("devices").with_crl(root.crl(&[&leaf], NOW + DAY));
        Case::new(leaf, ca_set)
    });
    both("from an intermediate that was revoked", Some(Kind::Revoked), &|_| {
        let root = root();
        let sub = root.intermediate("Sub", &|params| params.serial_number = Some(77.into()));
        let ca_set = root.ca_set("devices").with_crl(root.crl(&[&sub], NOW + DAY)).with_crl(sub.crl(&[], NOW + DAY));
        Case::new(sub.leaf("device", none), ca_set)
    });
    both(
        "from an intermediate without a revocation list, although its CA has one",
        Some(Kind::RevocationUnknown),
        &|_| {
            let root = root();
            let sub = root.intermediate("Sub", none);
            let ca_set = root.ca_set("devices").with_crl(root.crl(&[], NOW + DAY));
            Case::new(sub.leaf("device", none), ca_set)
        },
    );
    both("with a revocation list that has expired", Some(Kind::CrlExpired), &|_| {
        let root = root();
        let ca_set = root.ca_set("devices").with_crl(root.crl(&[], NOW - DAY));
        Case::new(root.leaf("device", none), ca_set)
    });
    both("with a revocation list with a forged signature", Some(Kind::Crl), &|_| {
        let real = root();
        let ca_set = real.ca_set("devices").with_crl(root().crl(&[], NOW + DAY));
        Case::new(real.leaf("device", none), ca_set)
    });
    both("with a revocation list of an intermediate that may not sign lists", Some(Kind::Crl), &|_| {
        let root = root();
        let mut sub = root.intermediate("Sub", &|params| {
            params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        });
        let leaf = sub.leaf("device", none);
        // With its key usages, rcgen would refuse to sign the list.
        sub.params.key_usages.clear();
        let ca_set = root.ca_set("devices").with_crl(root.crl(&[], NOW + DAY)).with_crl(sub.crl(&[], NOW + DAY));
        Case::new(leaf, ca_set)
    });
    both("only for the other side of a connection", Some(Kind::Purpose), &|side| {
        let root = root();
        let edit = |params: &mut CertificateParams| params.extended_key_usages = vec![side.other().usage()];
        Case::new(root.leaf("device", &edit), root.ca_set("devices"))
    });
    both("for any usage (anyExtendedKeyUsage)", Some(Kind::Purpose), &|_| {
        let root = root();
        let edit = |params: &mut CertificateParams| params.extended_key_usages = vec![Usage::Any];
        Case::new(root.leaf("device", &edit), root.ca_set("devices"))
    });
    both("from an intermediate that is only for the other side of a connection", Some(Kind::Purpose), &|side| {
        let root = root();
        let edit = |params: &mut CertificateParams| params.extended_key_usages = vec![side.other().usage()];
        Case::new(root.intermediate("Sub", &edit).leaf("device", none), root.ca_set("devices"))
    });
    both("with RSA of 1024 bits", Some(Kind::WeakKey), &|_| {
        let root = root();
        Case::new(root.leaf_with("device", Key::rsa(1024), none), root.ca_set("devices"))
    });
    both("with RSA of 2047 bits", Some(Kind::WeakKey), &|_| {
        let root = root();
        Case::new(root.leaf_with("device", Key::rsa(2047), none), root.ca_set("devices"))
    });
    both("with RSA of 2048 bits, without its key", Some(Kind::Signature), &|_| {
        let root = root();
        Case::new(root.leaf_with("device", Key::rsa(2048), none), root.ca_set("devices"))
    });
    both("from an intermediate with RSA of 1024 bits", Some(Kind::WeakKey), &|_| {
        let root = root();
        let sub = root.intermediate_with("Sub", Key::rsa(1024), none);
        Case::new(sub.leaf("device", none), root.ca_set("devices"))
    });
    both("signed with an algorithm that is not supported (ECDSA with SHA-224)", Some(Kind::Algorithm), &|_| {
        let root = root();
        let mut case = Case::new(root.leaf("device", none), root.ca_set("devices"));
        case.chain[0] =
            patched(&case.chain[0], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1]);
        case
    });
    both("changed after it was signed", Some(Kind::Signature), &|_| {
        let root = root();
        let mut case = Case::new(root.leaf("device", none), root.ca_set("devices"));
        case.chain[0] = patched(
            &case.chain[0],
            b"device.example",
            b"device.example".map(|c| if c == b'v' { b'w' } else { c }).as_slice(),
        );
        case
    });
    both("truncated", Some(Kind::Malformed), &|_| {
        let root = root();
        let mut case = Case::new(root.leaf("device", none), root.ca_set("devices"));
        let der = &case.chain[0];
        case.chain[0] = der[..der.len() - 1].to_vec().into();
        case
    });
    both("with an unknown critical extension", Some(Kind::Malformed), &|_| {
        let root = root();
        let leaf = root.leaf("device", &|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        });
        Case::new(leaf, root.ca_set("devices"))
    });
    both("beyond the path length of a CA", Some(Kind::Constraint), &|_| {
        let root = root();
        let sub = root.intermediate("Sub", &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
        Case::new(sub.intermediate("Sub sub", none).leaf("device", none), root.ca_set("devices"))
    });
    both("with a name that the constraints of its CA forbid", Some(Kind::Constraint), &|_| {
        let permitted = vec![GeneralSubtree::DnsName("elsewhere.example".into())];
        let root = constrained(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: vec![] });
        Case::new(root.leaf("device", none), root.ca_set("devices"))
    });
    both("with a name that the constraints of its CA allow", None, &|_| {
        let permitted = vec![GeneralSubtree::DnsName("example".into())];
        let excluded = vec![GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8))];
        let root = constrained(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        Case::new(root.leaf("device", none), root.ca_set("devices"))
    });
    both("issued with the certificate of another device", Some(Kind::UnknownIssuer), &|_| {
        let root = root();
        let thief = root.leaf("thief", none);
        Case::new(thief.leaf("device", none), root.ca_set("devices"))
    });
    both("of another device, without its key", Some(Kind::Signature), &|_| {
        let root = root();
        Case { key: Key::new(), ..Case::new(root.leaf("device", none), root.ca_set("devices")) }
    });
}

fn rows_of(table: &mut Table, section: &'static str, name: &str, wanted: Option<Kind>, side: Side, case: &Case) {
    table.add(section, name, wanted, |version| run(version, side, case));
}

fn constrained(constraints: NameConstraints) -> Cert {
    Cert::root_with("Root", Key::new(), &|params| params.name_constraints = Some(constraints.clone()))
}

/// Returns the certificate with every occurrence of `from` replaced by `to`, which has the same length.
fn patched(der: &CertificateDer<'_>, from: &[u8], to: &[u8]) -> CertificateDer<'static> {
    assert_eq!(from.len(), to.len());
    let mut der = der.to_vec();
    let mut found = 0;
    for start in 0..=der.len() - from.len() {
        if der[start..].starts_with(from) {
            der[start..start + to.len()].copy_from_slice(to);
            found += 1;
        }
    }
    assert!(found > 0, "nothing to replace");
    der.into()
}
