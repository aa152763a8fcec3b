//! Verdicts of other projects' programs on Degu's TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use degu_misc::{Leaf, TempPki, TempSSLServer};
use degu_server::Address;
use degu_tls::ServerTls;

use super::kit::{one_thread, serve, who};

/// The output of another program, if this machine has it.
fn program(command: &mut Command, input: &str) -> Option<String> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no {}", command.get_program().display());
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // One that refuses the server does not read.
    let _ = stdin.write_all(input.as_bytes());
    let mut text = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while stdout.read_line(&mut text).unwrap() > 0 {}
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    drop(stdin);
    child.wait().unwrap();
    Some(text)
}

/// Each certificate of a client, and what others say of the alert that it gets.
const OTHERS: [(Leaf, &str); 4] = [
    (Leaf::Client, "client.example of client-ca"),
    (Leaf::OtherClient, "unknown ca"),
    (Leaf::ExpiredClient, "certificate expired"),
    (Leaf::RevokedClient, "certificate revoked"),
];

#[test]
fn openssl_agrees() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV4_LOOPBACK, who);
    for (version, (leaf, expected)) in ["-tls1_2", "-tls1_3"].into_iter().flat_map(|v| OTHERS.map(|other| (v, other))) {
        let mut command = Command::new("openssl");
        command.args(["s_client", version, "-quiet", "-verify_return_error", "-verify_hostname", "localhost"]);
        command.arg("-connect").arg(server.address().to_string()).arg("-CAfile").arg(pki.server_ca());
        command.arg("-cert").arg(pki.certificate(leaf)).arg("-key").arg(pki.key(leaf));
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let Some(text) = program(&mut command, request) else { return };
        assert!(text.contains(expected), "{version}, {leaf:?}: {text}");
    }
}

#[test]
fn openssl_gets_no_second_handshake() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV4_LOOPBACK, who);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-tls1_2", "-connect"]).arg(server.address().to_string());
    command.arg("-cert").arg(pki.certificate(Leaf::Client)).arg("-key").arg(pki.key(Leaf::Client));
    // The letter on a line of its own asks for it.
    let Some(text) = program(&mut command, "R\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n") else { return };
    assert!(text.contains("RENEGOTIATING") && text.contains("no renegotiation"), "{text}");
    assert!(!text.contains("HTTP/1.1 200"), "{text}");
}

#[test]
fn curl_agrees() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV4_LOOPBACK, who);
    let url = format!("https://localhost:{}/", server.address().port().unwrap());
    let curl = |leaf: Leaf, ca: std::path::PathBuf| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "-4"]).arg("--cacert").arg(ca);
        command.arg("--cert").arg(pki.certificate(leaf)).arg("--key").arg(pki.key(leaf)).arg(&url);
        program(&mut command, "")
    };
    for (leaf, expected) in OTHERS {
        let Some(text) = curl(leaf, pki.server_ca()) else { return };
        assert!(text.contains(expected), "{leaf:?}: {text}");
    }
    let refused = curl(Leaf::Client, pki.other_ca()).unwrap_or_default();
    assert!(refused.contains("curl: (60)"), "a server of another CA: {refused}");
}

/// Returns the findings of sslyze by the recommendations of Mozilla. Lines about certificates are left out, because ours
/// are for tests and live for centuries.
fn sslyze(tls: &ServerTls, recommendation: &str) -> Option<String> {
    let server = serve(one_thread(), tls, who);
    let mut command = Command::new("sslyze");
    command.args(["--mozilla_config", recommendation]).arg(format!("[::1]:{}", server.address().port().unwrap()));
    program(&mut command, "")
}

#[test]
fn sslyze_finds_nothing() {
    let pki = TempPki::new();
    let builder = || ServerTls::builder(pki.identity(Leaf::Server)).allow_unauthenticated_clients();
    for (tls, recommendation) in [(builder(), "intermediate"), (builder().tls13_only(), "modern")] {
        let Some(text) = sslyze(&tls.build().unwrap(), recommendation) else { return };
        let (_, verdict) = text.split_once("COMPLIANCE").unwrap_or_else(|| panic!("{text}"));
        assert!(verdict.contains("Checking results"), "{verdict}");
        for found in verdict.lines().filter_map(|line| line.trim().strip_prefix("* ")) {
            assert!(found.contains("certificate"), "{recommendation}: {found}");
        }
    }
}
