//! Connections in a process without free descriptors.

use std::{fs::File, io::Read, io::Write, process::Command, time::Duration};

use crate::common::{Kind, Server};
use degu_client::{Client, Headers, Method, blocking};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Returns `true` in a process with few descriptors. Otherwise runs the test of this name in such a process, and returns
/// `false`.
fn is_limited(name: &str) -> bool {
    if std::env::var_os("DEGU_DESCRIPTORS").is_some() {
        return true;
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""]).arg(std::env::current_exe().unwrap());
    let output = shell.arg(name).env("DEGU_DESCRIPTORS", "64").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

/// Opens files until no descriptor is free.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// An async connection needs no further descriptor when a write finds no room.
#[tokio::test]
async fn an_upload_needs_no_free_descriptor() {
    if !is_limited("descriptors::an_upload_needs_no_free_descriptor") {
        return;
    }
    const UPLOAD: usize = 8 << 20;
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.send(OK);
        wire.head();
        wire.read_exact(&mut vec![0; UPLOAD]).unwrap();
        wire.send(OK);
    });
    let pool = Client::options().head_timeout(Duration::from_secs(60)).client(&server.address).pool();
    assert_eq!(pool.get("/1").await.unwrap().body.read_all(2).await.unwrap(), "ok");
    let all = take_all();
    let response = pool.request(Method::Post, "/2", Headers::new(), vec![0; UPLOAD]).await;
    assert_eq!(response.unwrap().body.read_all(2).await.unwrap(), "ok");
    drop(all);
}

#[test]
fn splitting_a_tunnel_needs_no_free_descriptor() {
    if !is_limited("descriptors::splitting_a_tunnel_needs_no_free_descriptor") {
        return;
    }
    let server = Server::once(Kind::Path, |wire| {
        wire.head();
        wire.send("HTTP/1.1 101 UPGRADED\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n");
        wire.expect("ping");
        wire.send("pong");
    });
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    let upgrade = connection.upgrade(Method::Get, "/", "tcp", (), ()).unwrap();
    let blocking::Upgrade::Switched { tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
    let all = take_all();
    let (mut from, mut to) = tunnel.split().unwrap();
    to.write_all(b"ping").unwrap();
    let mut answer = String::new();
    from.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "pong");
    drop(all);
}
