//! The test suite x509-limbo. Compares the verdicts of degu-tls, of webpki alone, and of the suite for each certificate.
//!
//! `DEGU_LIMBO=limbo.json cargo test -p degu-tls limbo -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::kit::pipe::{Ended, client, join, raw_client, raw_server, server};
use crate::kit::{Cert, Clock, Key, Version};
use crate::table::raw;
use degu_tls::rustls::pki_types::pem::PemObject;
use degu_tls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use degu_tls::{CaSet, ClientTls, ServerTls};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webpki::{EndEntityCert, KeyUsage, RevocationOptionsBuilder};

/// The part of a case of the suite that the verifiers need.
struct Case {
    id: String,
    expected: bool,
    server: bool,
    roots: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    name: Option<String>,
    time: u64,
}

fn pem<T: PemObject>(value: &Value) -> Option<Vec<T>> {
    value.as_array()?.iter().map(|pem| T::from_pem_slice(pem.as_str()?.as_bytes()).ok()).collect()
}

impl Case {
    /// Returns `None` if rustls cannot be given the case.
    fn read(value: &Value) -> Option<Self> {
        let leaf = CertificateDer::from_pem_slice(value["peer_certificate"].as_str()?.as_bytes()).ok()?;
        let mut chain = vec![leaf];
        chain.extend(pem(&value["untrusted_intermediates"])?);
        let name = &value["expected_peer_name"];
        let time = value["validation_time"].as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
        Some(Self {
            id: value["id"].as_str()?.into(),
            expected: value["expected_result"] == "SUCCESS",
            server: value["validation_kind"] == "SERVER",
            roots: pem(&value["trusted_certs"])?,
            chain,
            crls: pem(&value["crls"])?,
            name: (name["kind"] == "DNS" || name["kind"] == "IP").then(|| name["value"].as_str().unwrap().into()),
            time: time.unwrap_or_else(OffsetDateTime::now_utc).unix_timestamp() as u64,
        })
    }

    /// Returns the verdict of degu-tls. The suite has no private keys. A chain is accepted if only the proof of the key fails.
    fn ours(&self) -> Result<(), String> {
        let clock = Clock::new(self.time);
        let ca_set = self.roots.iter().fold(CaSet::new(), |ca_set, root| ca_set.add("root", root.clone()));
        let ca_set = self.crls.iter().fold(ca_set, |ca_set, crl| ca_set.with_crl(crl.clone()));
        let (version, key) = (Version::Tls13, Key::new());
        let ours = if self.server {
            let builder = ClientTls::private(ca_set);
            let builder = if self.name.is_some() { builder } else { builder.without_name_check() };
            let tls = builder.clock(clock).build().map_err(|error| error.to_string())?;
            // A name that is not valid is already refused here.
            tls.connect(self.name.as_deref(), "x").map_err(|error| error.to_string())?;
            let config = raw::server_config(version, self.chain.clone(), &key);
            join(client(&tls, self.name.as_deref()), raw_server(Arc::new(config))).0
        } else {
            let host = Cert::root("Host CA").leaf("host", &|_| {}).identity().allow_invalid_time();
            let tls = ServerTls::builder(host)
                .require_clients(ca_set)
                .clock(clock)
                .build()
                .map_err(|error| error.to_string())?;
            let config = raw::client_config(version, Some((self.chain.clone(), &key)));
            join(raw_client(Arc::new(config), "host.example"), server(&tls)).1
        };
        match ours {
            Ended::Error(error)
                if error.to_string().contains("did not prove that it has the private key of its certificate") =>
            {
                Ok(())
            }
            Ended::Error(error) => Err(error.to_string()),
            other => panic!("{}: nobody has the key: {other:?}", self.id),
        }
    }

    /// Returns the verdict of webpki alone.
    fn webpki(&self) -> Result<(), String> {
        let said = |error: webpki::Error| format!("{error:?}");
        let anchors =
            self.roots.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(said)?;
        let crls = self.crls.iter().map(|crl| webpki::OwnedCertRevocationList::from_der(crl).map(Into::into));
        let crls: Vec<webpki::CertRevocationList<'_>> = crls.collect::<Result<_, _>>().map_err(said)?;
        let crls: Vec<_> = crls.iter().collect();
        let options = RevocationOptionsBuilder::new(&crls)
            .ok()
            .map(|builder| builder.with_expiration_policy(webpki::ExpirationPolicy::Enforce).build());
        let usage = if self.server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
        let leaf = EndEntityCert::try_from(&self.chain[0]).map_err(said)?;
        let algorithms = crate::kit::cryptography::default_provider().signature_verification_algorithms.all;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(self.time));
        leaf.verify_for_usage(algorithms, &anchors, &self.chain[1..], time, usage, options, None).map_err(said)?;
        if let (true, Some(name)) = (self.server, &self.name) {
            let name = ServerName::try_from(name.as_str()).map_err(|error| error.to_string())?;
            leaf.verify_is_valid_for_subject_name(&name).map_err(said)?;
        }
        Ok(())
    }
}

#[test]
#[ignore = "needs x509-limbo's limbo.json, whose path stands in DEGU_LIMBO"]
fn we_accept_nothing_that_webpki_refuses() {
    let path = std::env::var_os("DEGU_LIMBO").expect("DEGU_LIMBO names the suite's file");
    let suite: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut counts = BTreeMap::<_, Vec<String>>::new();
    for value in suite["testcases"].as_array().unwrap() {
        let id = value["id"].as_str().unwrap();
        let Some(case) = Case::read(value) else {
            counts.entry("could not be run".to_owned()).or_default().push(id.into());
            continue;
        };
        let (ours, webpki) = (case.ours(), case.webpki());
        assert!(!(ours.is_ok() && webpki.is_err()), "{id}: accepted, though webpki says {webpki:?}");
        let word = |accepted: bool| if accepted { "accept" } else { "refuse" };
        let row = format!("suite {}, webpki {}, we {}", word(case.expected), word(webpki.is_ok()), word(ours.is_ok()));
        counts.entry(row).or_default().push(format!("{id}: {}", ours.err().unwrap_or_default()));
    }
    assert!(!counts.is_empty(), "the suite is empty");
    for (row, cases) in &counts {
        println!("{:4} {row}", cases.len());
    }
    for (row, cases) in &counts {
        println!("\n{row}\n  {}", cases.join("\n  "));
    }
}
