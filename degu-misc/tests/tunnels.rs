//! Connections that switch protocols, with both ends ours: the examples, and WebSocket by a library.

use std::io::Write;
use std::process::{Command, Stdio};

use degu_client::{Client, Method, Upgrade};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::common::{Serving, program};

/// Runs `attach` with this input, and returns its exit code and its output.
fn attach(arguments: &[&str], address: &str, target: &str, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = program("attach");
    command.args(arguments).args([address, target]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A server that declines reads nothing.
    let writes = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writes.join().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn echoes(terminal: &mut Command, tls: &[&str]) {
    let server = Serving::start(terminal);
    let input: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    for mode in [&[][..], &["--blocking"]] {
        let arguments = [mode, tls].concat();
        for input in [&b""[..], b"hello", &input] {
            let (code, output, error) = attach(&arguments, &server.address, "/attach", input);
            assert_eq!((code, error.as_str()), (Some(0), ""), "{}", server.address);
            assert!(output == [input, b"bye"].concat(), "{} bytes of {}", output.len(), input.len());
        }
        let arguments = [&arguments[..], &["--token", "other"]].concat();
        let (code, output, error) = attach(&arguments, &server.address, "/attach", b"");
        assert_eq!((code, output.len(), error.as_str()), (Some(2), 0, "426 Upgrade Required\n"));
    }
}

#[test]
fn terminal_echoes_to_attach_over_every_kind_of_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:{}", folder.path().join("t").display());
    for address in ["127.0.0.1:0", "[::1]:0", path.as_str(), "unix:@"] {
        if cfg!(target_os = "linux") || address != "unix:@" {
            echoes(program("terminal").arg(address), &[]);
        }
    }
}

#[cfg(all(feature = "tls", target_os = "linux"))]
#[test]
fn terminal_echoes_to_attach_over_tls() {
    use degu_misc::{Leaf, TempPki};

    let pki = TempPki::new();
    let file = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let [cert, key, ca] = [pki.certificate(Leaf::Server), pki.key(Leaf::Server), pki.server_ca()].map(file);
    let tls = ["--tls-ca", ca.as_str(), "--tls-no-name"];
    for address in ["[::1]:0", "unix:@"] {
        echoes(program("terminal").args(["--tls-cert", &cert, "--tls-key", &key, address]), &tls);
    }
}

#[tokio::test]
async fn websocket_by_a_library_over_both_tunnels() {
    let server = Serving::start(program("terminal").arg("[::1]:0"));
    let mut connection = Client::new(server.address.parse::<degu_client::Address>().unwrap()).connect().await.unwrap();
    let key = generate_key();
    let headers = [("sec-websocket-key", key.as_str()), ("sec-websocket-version", "13")];
    let upgrade = connection.upgrade(Method::Get, "/socket", "websocket", headers, ()).await.unwrap();
    let Upgrade::Switched { response, tunnel } = upgrade else { panic!("{upgrade:?}") };
    assert_eq!(response.headers.get("sec-websocket-accept"), Some(derive_accept_key(key.as_bytes()).as_str()));
    let mut socket = WebSocketStream::from_raw_socket(tunnel, Role::Client, None).await;
    for message in [Message::text("hello"), Message::binary(vec![1_u8; 100_000]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
}
