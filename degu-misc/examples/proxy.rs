//! A TLS proxy for a server on a Unix socket or any other address: `proxy LISTEN UPSTREAM CERT KEY`, for example `proxy
//! '[::]:443' unix:/run/app.sock cert.pem key.pem`.
//!
//! The fields `x-forwarded-for` and `x-forwarded-proto` tell the upstream server who sent a request, and over which
//! protocol. On SIGHUP the proxy loads a renewed certificate without dropping a connection. After SIGTERM or SIGINT it
//! ends when every request has been answered. The first line of output is `listening on ADDRESS`.
use degu_client::Client;
use degu_server::applib::{ProxyApp, set_forwarded_for};
use degu_server::{Address, BoxError, Headers, Server, Session};
use degu_tls::{Identity, ServerTls};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn forwarded(session: &Session, headers: &mut Headers) -> Result<(), BoxError> {
    set_forwarded_for(session, headers)?;
    Ok(headers.set("x-forwarded-proto", "https")?)
}

/// Reads the certificate and its key again whenever SIGHUP arrives.
async fn reload_on_hangup(tls: ServerTls, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        match tls.reload() {
            Ok(warnings) if warnings.is_empty() => eprintln!("new certificate in use"),
            Ok(warnings) => eprintln!("new certificate in use, with warnings: {warnings:?}"),
            Err(error) => eprintln!("reloading failed, the old certificate stays in use: {error}"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, behind, cert, key] = &arguments[..] else {
        return Err("usage: proxy LISTEN UPSTREAM CERT KEY".into());
    };
    let tls = ServerTls::builder(Identity::from_pem_files(cert, key)?).allow_unauthenticated_clients().build()?;
    let proxy = ProxyApp::new(Client::new(behind.parse::<Address>()?)).with_request_headers(forwarded);
    let server = Server::options().tls(tls.clone()).bind(listen.parse::<Address>()?, proxy)?;
    tokio::spawn(reload_on_hangup(tls, signal(SignalKind::hangup())?));
    println!("listening on {}", server.address());
    Ok(tokio::task::spawn_blocking(|| server.serve_until_signal()).await??)
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("proxy: {error}");
        std::process::exit(1)
    });
}
