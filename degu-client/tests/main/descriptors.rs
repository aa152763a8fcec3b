//! An async connection in a process without free descriptors.

use std::{fs::File, io::Read, process::Command, time::Duration};

use crate::common::{Kind, Server};
use degu_client::{Client, Headers, Method};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// An async connection needs no further descriptor when a write finds no room. The test limits the descriptors of a
/// process of its own.
#[tokio::test]
async fn an_upload_needs_no_free_descriptor() {
    const NAME: &str = "descriptors::an_upload_needs_no_free_descriptor";
    if std::env::var_os("DEGU_DESCRIPTORS").is_none() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\""]).arg(std::env::current_exe().unwrap());
        let output = shell.arg(NAME).env("DEGU_DESCRIPTORS", "64").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
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
    let pool = Client::options().head_timeout(Duration::from_secs(20)).client(&server.address).pool();
    assert_eq!(pool.get("/1").await.unwrap().body.read_all(2).await.unwrap(), "ok");
    let all: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let response = pool.request(Method::Post, "/2", Headers::new(), vec![0; UPLOAD]).await;
    assert_eq!(response.unwrap().body.read_all(2).await.unwrap(), "ok");
    drop(all);
}
