//! A server with an access log and metrics: `metrics ADDRESS`.
//!
//! A line on stderr says how each exchange ended. `/metrics` returns counters in Prometheus' text format: exchanges by
//! their status and by whether the response is incomplete, and the counters of the server. If a handler is cancelled
//! because its client went away, the exchange has no status. `/late` waits long enough to show this. `/cut` fails in
//! the middle of its body.
//!
//! Everyone who can reach the app can read the metrics. To separate them, serve the app on one address and the metrics on another;
//! [`Handle::stats`](degu_server::Handle::stats) returns the counters, too. The first line of output is `listening on ADDRESS`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use degu_server::{Address, Body, BoxError, Chunk, Exchange, Method, Request, Response, Server, Session, Stats};

/// The status of an exchange (`None` if there was no response), and whether the response is incomplete: it was cut
/// short, or did not begin.
type Outcome = (Option<u16>, bool);

/// The number of exchanges that have ended, and their total duration in seconds, by outcome.
#[derive(Default)]
struct Ended(Mutex<BTreeMap<Outcome, (u64, f64)>>);

impl Ended {
    fn add(&self, exchange: &Exchange) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, seconds) = ended.entry((exchange.status(), exchange.cut().is_some())).or_default();
        (*count, *seconds) = (*count + 1, *seconds + exchange.duration().as_secs_f64());
    }
}

fn exposition(ended: &Ended, stats: &Stats) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for (kind, name, help, value) in [
        ("gauge", "degu_connections", "Connections that are open now.", stats.open as u64),
        ("counter", "degu_connections_accepted_total", "Connections that were accepted.", stats.accepted),
        (
            "counter",
            "degu_connections_refused_total",
            "Connections that were refused because max_connections were open.",
            stats.refused,
        ),
        ("counter", "degu_requests_total", "Requests that reached the app.", stats.requests),
        ("counter", "degu_received_bytes_total", "Bytes that were received.", stats.received),
        ("counter", "degu_sent_bytes_total", "Bytes that were sent.", stats.sent),
        (
            "counter",
            "degu_deadlines_total",
            "Connections that ended because the peer or the app was too slow.",
            stats.deadlines,
        ),
        ("counter", "degu_gone_total", "Connections whose peer left in the middle of an exchange.", stats.gone),
        ("counter", "degu_failures_total", "Connections that ended because the app failed.", stats.failures),
    ] {
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")?;
    }
    text += "# HELP degu_faults_total Connections that ended with a fault of the peer, by kind.\n";
    text += "# TYPE degu_faults_total counter\n";
    for (fault, count) in stats.faults() {
        writeln!(text, "degu_faults_total{{kind=\"{fault:?}\"}} {count}")?;
    }
    text += "# HELP degu_exchange_seconds Ended exchanges, by status and by whether the response is incomplete.\n";
    text += "# TYPE degu_exchange_seconds summary\n";
    for ((status, is_cut), (count, seconds)) in ended.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let status = status.map_or("none".to_owned(), |status| status.to_string());
        writeln!(text, "degu_exchange_seconds_count{{status=\"{status}\",cut=\"{is_cut}\"}} {count}")?;
        writeln!(text, "degu_exchange_seconds_sum{{status=\"{status}\",cut=\"{is_cut}\"}} {seconds}")?;
    }
    Ok(text)
}

async fn app(ended: &Ended, session: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match (request.method(), request.segments()) {
        (Method::Get | Method::Head, ["metrics"]) => {
            let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
            (200, kind, exposition(ended, &session.stats())?).into()
        }
        (Method::Get | Method::Head, []) => "hello\n".into(),
        (Method::Get | Method::Head, ["late"]) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            "at last\n".into()
        }
        (Method::Get | Method::Head, ["cut"]) => Body::try_unfold(false, async |is_second| match is_second {
            false => Ok(Some((Chunk::new("half\n"), true))),
            true => Err("the other half is lost".into()),
        })
        .into(),
        (_, [] | ["metrics" | "late" | "cut"]) => (405, [("allow", "GET, HEAD")], ()).into(),
        _ => 404.into(),
    })
}

fn run() -> Result<(), BoxError> {
    let address: Address = std::env::args().nth(1).ok_or("usage: metrics ADDRESS")?.parse()?;
    let ended = Arc::new(Ended::default());
    let counted = ended.clone();
    let report = move |exchange: &Exchange| {
        eprintln!("{exchange}");
        counted.add(exchange);
    };
    let app = async move |session: &mut Session, request: Request<'_>| app(&ended, session, request).await;
    let server = Server::options().on_response(report).bind(address, app)?;
    println!("listening on {}", server.address());
    Ok(server.serve_until_signal()?)
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("metrics: {error}");
        std::process::exit(1)
    });
}
