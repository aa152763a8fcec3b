//! A local daemon: a counter that only processes of the same user may read and increment.
//!
//! Call it with `curl --unix-socket /run/user/$UID/counter.sock http://localhost/counter`.
use degu_server::{Address, Error, Method, Request, Response, Server, Session, own_credentials};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

async fn answer(counter: &AtomicU64, mut request: Request<'_>) -> Result<Response, Error> {
    Ok(match (request.method(), request.segments()) {
        (Method::Get | Method::Head, ["counter"]) => counter.load(Relaxed).to_string().into(),
        (Method::Post, ["counter"]) => {
            let step = request.body.text(32).await?.trim().parse::<u32>();
            let step = step.map_err(|_| Error::new(400, "send a number\n"))?.into();
            (counter.fetch_add(step, Relaxed) + step).to_string().into()
        }
        (_, ["counter"]) => (405, [("allow", "GET, HEAD, POST")], ()).into(),
        _ => 404.into(),
    })
}

fn run() -> std::io::Result<()> {
    let (counter, me) = (AtomicU64::new(0), own_credentials().uid);
    let app = async move |_: &mut Session, request: Request<'_>| answer(&counter, request).await;
    let server = Server::options()
        .socket_mode(0o600)
        .on_connect(async move |session: &mut Session| session.credentials().is_some_and(|peer| peer.uid == me))
        .on_response(|exchange| eprintln!("{exchange}"))
        .bind(Address::unix(format!("/run/user/{me}/counter.sock")), app)?;
    println!("listening on {}", server.address());
    server.serve_until_signal()
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("counter: {error}");
        std::process::exit(1)
    });
}
