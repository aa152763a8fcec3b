//! The example `mtls` as two programs, each with the files of its device and nothing else.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Serving, program};
use degu_misc::{Leaf, TempPki};

/// A folder as the example wants it.
fn device(folder: &Path, [certificate, key, ca, crl]: [PathBuf; 4]) -> PathBuf {
    fs::create_dir(folder).unwrap();
    for (from, to) in [(certificate, "device.pem"), (key, "device.key"), (ca, "peers.pem"), (crl, "peers.crl")] {
        fs::copy(from, folder.join(to)).unwrap();
    }
    folder.to_owned()
}

/// An address of this machine that holds on one link only, if there is one: they are in the kernel's list with scope 20.
fn link_local() -> Option<String> {
    let list = fs::read_to_string("/proc/net/if_inet6").ok()?;
    list.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[address, index, _, "20", _, _] = &fields[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let index = u32::from_str_radix(index, 16).ok()?;
        // One that is not in use yet, or whose interface is down, cannot be bound.
        TcpListener::bind(SocketAddrV6::new(address, 0, 0, index)).ok()?;
        Some(format!("[{address}%{index}]:0"))
    })
}

fn serve(folder: &Path, address: &str) -> Serving {
    Serving::start(program("mtls").args(["serve", address]).current_dir(folder))
}

/// Returns the output of the other device, the error last.
fn call(folder: &Path, address: &str) -> (bool, String) {
    let output = program("mtls").args(["call", address]).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn two_devices_talk_over_a_link() {
    let pki = TempPki::new();
    let of_client = [pki.certificate(Leaf::Client), pki.key(Leaf::Client)];
    let of_server = [pki.certificate(Leaf::Server), pki.key(Leaf::Server)];
    let with = |[certificate, key]: [PathBuf; 2], ca: PathBuf, crl: PathBuf| [certificate, key, ca, crl];
    let serves = device(&pki.folder().join("a"), with(of_server, pki.client_ca(), pki.client_crl()));
    let calls = device(&pki.folder().join("b"), with(of_client.clone(), pki.server_ca(), pki.server_crl()));
    let other_crl = pki.folder().join("other-ca.crl");
    let strange = device(&pki.folder().join("c"), with(of_client, pki.other_ca(), other_crl));
    let revoked = [pki.certificate(Leaf::RevokedClient), pki.key(Leaf::RevokedClient)];
    let revoked = device(&pki.folder().join("d"), with(revoked, pki.server_ca(), pki.server_crl()));

    let link = link_local();
    if link.is_none() {
        eprintln!("skipped: this machine has no link-local address; over ::1 alone");
    }
    for address in link.as_deref().into_iter().chain(["[::1]:0"]) {
        let server = serve(&serves, address);
        let text = "talking to localhost, certified by server-ca\nhello, client.example, certified by client-ca\n";
        assert_eq!(call(&calls, &server.address), (true, text.to_owned()), "{address}");
        for (folder, why) in [(&strange, "not among the CAs of peers.pem"), (&revoked, "certificate_revoked")] {
            let (ok, text) = call(folder, &server.address);
            assert!(!ok && text.lines().last().is_some_and(|line| line.contains(why)), "{text}");
        }
    }
}

#[test]
fn the_files_can_be_made_with_openssl() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: there is no openssl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mtls.sh");
    let made = Command::new("sh").args([script.as_os_str(), OsStr::new(folder.path())]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = serve(&folder.path().join("a"), "[::1]:0");
    let text = "talking to device-a.example, certified by ca-a\nhello, device-b.example, certified by ca-b\n";
    assert_eq!(call(&folder.path().join("b"), &server.address), (true, text.to_owned()));
    let (ok, text) = call(&folder.path().join("a"), &server.address);
    assert!(
        !ok && text.contains("has a chain that ends at CN=ca-a, which is not among the CAs of peers.pem"),
        "{text}"
    );
}
