//! A local daemon: a counter that only this user's processes may read and raise. Ask it:
//! `curl --unix-socket /run/user/$UID/counter.sock http://localhost/counter`.
use degu_server::{Address, Error, Method, Request, Response, Server, Session, own_credentials};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    async fn answer(&self, session: &mut Session, mut request: Request<'_>) -> Result<Response, Error> {
        Ok(match (request.method(), request.segments()) {
            (Method::Get, ["counter"]) => (200, self.0.load(Ordering::Relaxed).to_string()).into(),
            (Method::Post, ["counter"]) => {
                let text = request.body.text(32).await?;
                let step: u64 = text.trim().parse().map_err(|_| Error::new(400, "a number, please\n"))?;
                let pid = session.credentials().map(|c| c.pid);
                eprintln!("pid {pid:?} adds {step}, its request number {}", session.requests());
                (200, (self.0.fetch_add(step, Ordering::Relaxed) + step).to_string()).into()
            }
            (_, ["counter"]) => (405, [("allow", "GET, POST")], ()).into(),
            _ => 404.into(),
        })
    }
}

fn main() -> std::io::Result<()> {
    let counter = Counter::default();
    let me = own_credentials().uid;
    let server = Server::options()
        .socket_mode(0o600)
        .on_connect(async move |session: &mut Session| session.credentials().is_some_and(|peer| peer.uid == me))
        .bind(
            Address::unix(format!("/run/user/{me}/counter.sock")),
            async move |session: &mut Session, request: Request<'_>| counter.answer(session, request).await,
        )?;
    println!("listening on {}", server.address());
    server.serve_forever()
}
