//! A server that shows its counters at `/metrics`, in the text format of Prometheus.
//!
//! `metrics ADDRESS`
//!
//! Everyone who can reach the app can read the counters. To separate them, serve the app on one address and the
//! counters on another; [`Handle::stats`](degu_server::Handle::stats) returns them, too. The first line of output is
//! `listening on ADDRESS`.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write as _};

use degu_server::{Address, BoxError, Method, Request, Response, Server, Session, Stats};

async fn app(session: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match (request.method(), request.segments()) {
        (Method::Get | Method::Head, ["metrics"]) => {
            let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
            (200, kind, exposition(&session.stats())?).into()
        }
        (Method::Get | Method::Head, []) => "hello\n".into(),
        (_, [] | ["metrics"]) => (405, [("allow", "GET, HEAD")], ()).into(),
        _ => 404.into(),
    })
}

fn exposition(stats: &Stats) -> Result<String, fmt::Error> {
    let mut text = String::new();
    metric(&mut text, "gauge", "degu_connections", "Connections that are open now.", stats.open)?;
    for (name, help, value) in [
        ("degu_connections_accepted_total", "Connections that were accepted.", stats.accepted),
        ("degu_connections_refused_total", "Connections that were refused at the cap.", stats.refused),
        ("degu_requests_total", "Requests that reached the app.", stats.requests),
        ("degu_received_bytes_total", "Source that were received.", stats.received),
        ("degu_sent_bytes_total", "Source that were sent.", stats.sent),
        ("degu_deadlines_total", "Connections that ended because somebody was too slow.", stats.deadlines),
        ("degu_gone_total", "Connections whose peer left in the middle of an exchange.", stats.gone),
        ("degu_failures_total", "Connections that ended because the app failed.", stats.failures),
    ] {
        metric(&mut text, "counter", name, help, value)?;
    }
    describe(&mut text, "counter", "degu_faults_total", "Connections that ended with a fault of the peer, by kind.")?;
    for (fault, count) in stats.faults() {
        writeln!(text, "degu_faults_total{{kind=\"{fault:?}\"}} {count}")?;
    }
    Ok(text)
}

fn metric(text: &mut String, kind: &str, name: &str, help: &str, value: impl Display) -> fmt::Result {
    describe(text, kind, name, help)?;
    writeln!(text, "{name} {value}")
}

fn describe(text: &mut String, kind: &str, name: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn main() -> Result<(), BoxError> {
    let address: Address = std::env::args().nth(1).ok_or("usage: metrics ADDRESS")?.parse()?;
    let server = Server::bind(address, app)?;
    writeln!(io::stdout(), "listening on {}", server.address())?;
    io::stdout().flush()?;
    Ok(server.serve_forever()?)
}
