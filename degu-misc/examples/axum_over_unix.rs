//! An application of axum, for the processes of this machine over an abstract socket, and for devices over mutual TLS.
//! A handler knows the user of a process, and the certificate of a device.
//!
//! `axum_over_unix [LOCAL [REMOTE]]`
//!
//! Run it in a folder with its certificate and key (`device.pem`, `device.key`) and the CA of the devices that may
//! connect (`peers.pem`). The first lines of output are `listening on ADDRESS`, one for each address. After SIGINT the
//! program ends when every request has been answered.

use axum::{Extension, Router, routing::get};
use degu_server::hyper::{Caller, serve};
use degu_server::{Address, BoxError, Listener, Server};
use degu_tls::{Cas, Identity, ServerTls};

async fn whoami(Extension(caller): Extension<Caller>) -> String {
    let name = caller.identity().and_then(|peer| peer.dns_names().next());
    format!("uid {:?}, certificate {name:?}\n", caller.credentials().map(|process| process.uid))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = Router::new().route("/", get(whoami));
    let identity = Identity::from_pem_files("device.pem", "device.key")?;
    let tls = ServerTls::builder(identity).require_clients(Cas::from_pem_file("peers.pem")?).build()?;
    let local = serve(listen(1, "unix:@whoami")?, Server::options(), app.clone(), stop());
    let remote = serve(listen(2, "[::]:4433")?, Server::options().tls(tls), app, stop());
    tokio::try_join!(local, remote)?;
    Ok(())
}

fn listen(argument: usize, default: &str) -> Result<Listener, BoxError> {
    let address = std::env::args().nth(argument);
    let listener = Listener::bind(address.as_deref().unwrap_or(default).parse::<Address>()?, None)?;
    println!("listening on {}", listener.address());
    Ok(listener)
}

async fn stop() {
    // Without a handler the signal ends the process, which is an end too.
    let _ = tokio::signal::ctrl_c().await;
}
