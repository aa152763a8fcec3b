//! The examples that meet others: axum, the pool of hyper-util, and a front for a server behind.

use crate::common::program;

#[test]
fn a_pool_keeps_its_connections() {
    let output = program("hyper_pool").output().unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert!(lines[0].starts_with("1.1: request ") && lines[11].starts_with("3.4: request "), "{text}");
    // As many connections as there are requests at once, or fewer.
    let connections = lines.iter().filter(|line| line.ends_with(": request 1 of its connection")).count();
    assert!((1..=4).contains(&connections), "{text}");
}

#[cfg(feature = "tls")]
mod tls {
    use std::fs::copy;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::Stdio;

    use degu_client::{Address, Client, blocking};
    use degu_misc::{Leaf, TempPki, TempServer};
    use degu_server::{Request, Session, own_credentials};
    use degu_tls::ClientTls;

    use crate::common::{Serving, program};

    fn ask(client: blocking::Client) -> Result<String, degu_client::Error> {
        let body = client.connect()?.get("/")?.body.read_all(1024)?;
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    /// Starts the example with all its sockets.
    #[cfg(target_os = "linux")]
    fn axum_over_unix(pki: &TempPki) -> Serving {
        let folder = tempfile::tempdir().unwrap();
        copy(pki.certificate(Leaf::Server), folder.path().join("device.pem")).unwrap();
        copy(pki.key(Leaf::Server), folder.path().join("device.key")).unwrap();
        copy(pki.client_ca(), folder.path().join("peers.pem")).unwrap();
        let sockets = ["unix:@", "[::1]:0", "unix:@"];
        // It has read its files before it listens.
        Serving::start(program("axum_over_unix").args(sockets).current_dir(folder.path()))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn axum_knows_the_peer_of_an_abstract_socket_and_of_mutual_tls() {
        let pki = TempPki::new();
        let mut serving = axum_over_unix(&pki);
        let remote = serving.next_address();

        let local = blocking::Client::new(address(&serving.address));
        assert_eq!(ask(local).unwrap(), format!("uid Some({}), certificate None\n", own_credentials().uid));
        let with = |tls| blocking::Client::from(Client::options().tls(tls).client(address(&remote)));
        assert_eq!(ask(with(pki.client_tls())).unwrap(), "uid None, certificate Some(\"client.example\")\n");
        let nobody = ask(with(ClientTls::private(pki.servers()).build().unwrap())).unwrap_err();
        assert!(nobody.to_string().contains("certificate_required"), "{nobody}");
        serving.stop("INT");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn axum_and_an_app_of_ours_share_a_socket() {
        let mut serving = axum_over_unix(&TempPki::new());
        let (_remote, both) = (serving.next_address(), serving.next_address());
        let mut connection = blocking::Client::new(address(&both)).connect().unwrap();
        for (count, body) in [("request 1\n", "some text"), ("request 3\n", "more")] {
            assert_eq!(connection.get("/").unwrap().body.text(1024).unwrap(), count);
            let mut echoed = connection.post("/echo", body).unwrap();
            assert_eq!((echoed.status, echoed.body.text(1024).unwrap()), (200, body.to_owned()));
        }
        // The router's own answers, and the limit for bodies.
        assert_eq!(connection.get("/missing").unwrap().status, 404);
        let wrong = connection.get("/echo").unwrap();
        assert_eq!((wrong.status, wrong.headers.get("allow")), (405, Some("POST")));
        drop(wrong);
        assert_eq!(connection.post("/echo", vec![0; 1024 * 1024 + 1]).unwrap().status, 413);
        drop(connection);
        serving.stop("INT");
    }

    /// A leaf of the PKI becomes the front's certificate.
    fn install(pki: &TempPki, leaf: Leaf, folder: &Path) {
        copy(pki.certificate(leaf), folder.join("cert.pem")).unwrap();
        copy(pki.key(leaf), folder.join("key.pem")).unwrap();
    }

    #[test]
    fn a_front_forwards_and_takes_up_a_renewed_certificate() {
        async fn behind(_: &mut Session, request: Request<'_>) -> String {
            let field = |name| request.headers().get(name).unwrap_or("none").to_owned();
            format!("{} for {}", field("x-forwarded-proto"), field("x-forwarded-for"))
        }
        let (pki, folder) = (TempPki::new(), tempfile::tempdir().unwrap());
        let server = TempServer::new(Address::unix(folder.path().join("behind.sock")), behind);
        install(&pki, Leaf::Server, folder.path());
        let mut command = program("proxy");
        command.args(["127.0.0.1:0", &server.address().to_string(), "cert.pem", "key.pem"]);
        let mut front = Serving::start(command.current_dir(folder.path()).stderr(Stdio::piped()));
        let mut log = BufReader::new(front.stderr()).lines();
        let client = || {
            let tls = ClientTls::private(pki.servers()).build().unwrap();
            blocking::Client::from(Client::options().tls(tls).client(address(&front.address)))
        };
        assert_eq!(ask(client()).unwrap(), "https for 127.0.0.1");

        install(&pki, Leaf::OtherServer, folder.path());
        front.signal("HUP");
        assert_eq!(log.next().unwrap().unwrap(), "new certificate in use");
        assert!(ask(client()).is_err(), "nobody trusts the new one");
        std::fs::write(folder.path().join("cert.pem"), "").unwrap();
        front.signal("HUP");
        let line = log.next().unwrap().unwrap();
        assert!(
            line.starts_with("reloading failed, the old certificate stays in use: ") && line.contains("cert.pem"),
            "{line}"
        );
        install(&pki, Leaf::Server, folder.path());
        front.signal("HUP");
        assert_eq!(log.next().unwrap().unwrap(), "new certificate in use");
        assert_eq!(ask(client()).unwrap(), "https for 127.0.0.1");
        front.stop("TERM");
    }
}
