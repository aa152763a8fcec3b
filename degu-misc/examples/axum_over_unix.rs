//! An application of axum, for the processes of this machine over an abstract socket, and for devices over mutual TLS.
//! A handler knows the user of a process, and the certificate of a device. On a third socket, an app of Degu answers `/`
//! and passes every other request to the application of axum.
//!
//! `axum_over_unix [LOCAL [REMOTE [BOTH]]]`
//!
//! Run it in a folder with its certificate and key (`device.pem`, `device.key`) and the CA of the devices that may
//! connect (`peers.pem`). The first lines of output are `listening on ADDRESS`, one for each address. After SIGINT the
//! program ends when every request has been answered.

use axum::body::{Body, Bytes};
use axum::{Extension, Router, routing};
use degu_server::hyper::{Caller, serve};
use degu_server::{Address, BoxError, IntoResponse, Listener, Request, Response, Server, Session, applib};
use degu_tls::{CaSet, Identity, ServerTls};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

async fn whoami(Extension(caller): Extension<Caller>) -> String {
    let name = caller.identity().and_then(|peer| peer.dns_names().next());
    format!("uid {:?}, certificate {name:?}\n", caller.credentials().map(|process| process.uid))
}

/// Passes a request on to axum. The body is read first, because axum needs bodies that are `Send`.
async fn to_axum(axum: &Router, mut request: Request<'_>) -> Result<Response, BoxError> {
    let body = request.body.read_all(1024 * 1024).await?;
    let request = request.into_http()?.map(|_| Body::from(body));
    Ok(TowerToHyperService::new(axum.clone()).call(request).await?.into_response())
}

#[tokio::main]
async fn run() -> Result<(), BoxError> {
    let app = Router::new().route("/", routing::get(whoami)).route("/echo", routing::post(async |body: Bytes| body));
    let identity = Identity::from_pem_files("device.pem", "device.key")?;
    let tls = ServerTls::builder(identity).require_clients(CaSet::from_pem_file("peers.pem")?).build()?;
    let local = serve(listen(1, "unix:@whoami")?, Server::options(), app.clone(), stop());
    let remote = serve(listen(2, "[::]:4433")?, Server::options().tls(tls), app.clone(), stop());
    let ours = async |session: &mut Session, _: Request<'_>| format!("request {}\n", session.requests());
    let axum = async move |_: &mut Session, request: Request<'_>| to_axum(&app, request).await;
    let both = applib::Router::new().index(ours).otherwise(axum);
    let both = Server::options().listen([listen(3, "unix:@both")?], both)?.spawn()?;
    tokio::try_join!(local, remote)?;
    both.shutdown().await;
    Ok(())
}

fn listen(argument: usize, default: &str) -> Result<Listener, BoxError> {
    let address = std::env::args().nth(argument);
    let listener = Server::options().listener(address.as_deref().unwrap_or(default).parse::<Address>()?)?;
    println!("listening on {}", listener.address());
    Ok(listener)
}

async fn stop() {
    // If no handler for the signal can be set, this function returns at once, and the program ends.
    let _ = tokio::signal::ctrl_c().await;
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("axum_over_unix: {error}");
        std::process::exit(1)
    });
}
