//! A client for test programs.
//!
//! `drive [--blocking] [--tls-ca FILE [--tls-cert FILE --tls-key FILE] [--tls-no-name]] ADDRESS`
//!
//! It reads lines `METHOD TARGET[ METHOD TARGET2]` from stdin, and prints one JSON object for each line: `ok`, and
//! either `status`, `headers` and `body_hex` of the complete response, or `error`. If the first request succeeded, the
//! second is sent, and its result is the member `second`. The second request goes over the same connection if the
//! connection is still open, and over a new connection otherwise.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use degu_client::{Address, BoxError, Client, Connection, Headers, Method, blocking};
use lexopt::Arg;
use serde_json::{Value, json};

#[cfg(feature = "tls")]
mod tls;

const USAGE: &str =
    "usage: drive [--blocking] [--tls-ca FILE [--tls-cert FILE --tls-key FILE] [--tls-no-name]] ADDRESS";
/// The longest body that the program reads, in bytes.
const LIMIT: usize = 64 << 20;

/// A complete response.
struct Whole {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Whole {
    fn new(status: u16, headers: &Headers, body: &[u8]) -> Self {
        let text = |bytes: &[u8]| bytes.iter().map(|&byte| byte as char).collect();
        let headers = headers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
        Self { status, headers, body: body.to_vec() }
    }
}

fn report<E: std::fmt::Display>(result: Result<Whole, E>) -> Value {
    match result {
        Ok(Whole { status, headers, body }) => {
            let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "ok": true, "status": status, "headers": headers, "body_hex": body })
        }
        Err(error) => json!({ "ok": false, "error": error.to_string() }),
    }
}

/// A client that performs requests, over one connection at a time.
trait Drive {
    /// Performs a request. Uses the last connection if `reuse` is true and the connection is still open. Otherwise
    /// makes a connection.
    fn perform(&mut self, method: Method<'_>, target: &str, reuse: bool) -> Value;
}

struct Blocking {
    client: blocking::Client,
    connection: Option<blocking::Connection>,
}

impl Blocking {
    fn whole(&mut self, method: Method<'_>, target: &str) -> Result<Whole, blocking::Error> {
        let connection = match self.connection.take() {
            Some(open) => self.connection.insert(open),
            None => self.connection.insert(self.client.connect()?),
        };
        let mut response = connection.request(method, target, (), ())?;
        let (status, headers) = (response.status, response.headers);
        Ok(Whole::new(status, &headers, &response.body.read_all(LIMIT)?))
    }
}

impl Drive for Blocking {
    fn perform(&mut self, method: Method<'_>, target: &str, reuse: bool) -> Value {
        self.connection = self.connection.take().filter(|connection| reuse && !connection.is_closed());
        report(self.whole(method, target))
    }
}

struct Async {
    runtime: tokio::runtime::Runtime,
    client: Client,
    connection: Option<Connection>,
}

impl Async {
    async fn whole(
        client: &Client,
        slot: &mut Option<Connection>,
        method: Method<'_>,
        target: &str,
    ) -> Result<Whole, degu_client::Error> {
        let connection = match slot.take() {
            Some(open) => slot.insert(open),
            None => slot.insert(client.connect().await?),
        };
        let mut response = connection.request(method, target, (), ()).await?;
        let (status, headers) = (response.status, response.headers);
        Ok(Whole::new(status, &headers, &response.body.read_all(LIMIT).await?))
    }
}

impl Drive for Async {
    fn perform(&mut self, method: Method<'_>, target: &str, reuse: bool) -> Value {
        self.connection = self.connection.take().filter(|connection| reuse && !connection.is_closed());
        report(self.runtime.block_on(Self::whole(&self.client, &mut self.connection, method, target)))
    }
}

fn run() -> Result<(), BoxError> {
    let (mut blocking, mut address) = (false, None);
    #[cfg(feature = "tls")]
    let mut files = tls::Files::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("blocking") => blocking = true,
            Arg::Value(value) if address.is_none() => address = Some(lexopt::ValueExt::parse::<Address>(&value)?),
            #[cfg(feature = "tls")]
            Arg::Long("tls-ca") => files.ca = Some(arguments.value()?.into()),
            #[cfg(feature = "tls")]
            Arg::Long("tls-cert") => files.cert = Some(arguments.value()?.into()),
            #[cfg(feature = "tls")]
            Arg::Long("tls-key") => files.key = Some(arguments.value()?.into()),
            #[cfg(feature = "tls")]
            Arg::Long("tls-no-name") => files.no_name = true,
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    let patience = Some(Duration::from_secs(4));
    let options = Client::options().head_timeout(patience).body_timeout(patience);
    #[cfg(feature = "tls")]
    let options = match files.client()? {
        Some(policy) => options.tls(policy),
        None => options,
    };
    let client = options.client(address.ok_or(USAGE)?);
    let mut driver: Box<dyn Drive> = match blocking {
        true => Box::new(Blocking { client: client.into(), connection: None }),
        false => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Box::new(Async { runtime, client, connection: None })
        }
    };

    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err("each line needs a METHOD and a TARGET".into());
        };
        let mut result = driver.perform(Method::from(method), target, false);
        if let (Some(method), Some(target)) = (words.next(), words.next())
            && result["ok"] == true
        {
            result["second"] = driver.perform(Method::from(method), target, true);
        }
        writeln!(stdout, "{result}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("drive: {error}");
        std::process::exit(1)
    });
}
