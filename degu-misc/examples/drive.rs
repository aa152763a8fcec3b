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

use degu_client::{Address, BoxError, Bytes, Client, Connection, Headers, Method, blocking};
use lexopt::Arg;
use serde_json::{Value, json};

mod tls;

const USAGE: &str =
    "usage: drive [--blocking] [--tls-ca FILE [--tls-cert FILE --tls-key FILE] [--tls-no-name]] ADDRESS";
/// The longest body that the program reads, in bytes.
const LIMIT: usize = 64 << 20;

/// The status, the headers and the body of a complete response.
type Whole = (u16, Headers, Bytes);

fn report<E: std::fmt::Display>(result: Result<Whole, E>) -> Value {
    match result {
        Ok((status, headers, body)) => {
            let text = |value: &[u8]| value.iter().map(|&byte| byte as char).collect::<String>();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name, text(value))).collect();
            let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "ok": true, "status": status, "headers": headers, "body_hex": body })
        }
        Err(error) => json!({ "ok": false, "error": error.to_string() }),
    }
}

/// A function that performs a request. It uses the last connection if the third argument is true and the connection is
/// still open. Otherwise it makes a connection.
type Perform = Box<dyn FnMut(Method<'_>, &str, bool) -> Value>;

fn blocking(client: blocking::Client) -> Perform {
    let mut last: Option<blocking::Connection> = None;
    let mut whole = move |method: Method<'_>, target: &str, reuse| -> Result<Whole, blocking::Error> {
        let connection = match last.take().filter(|open| reuse && !open.is_closed()) {
            Some(open) => last.insert(open),
            None => last.insert(client.connect()?),
        };
        let mut response = connection.request(method, target, (), ())?;
        Ok((response.status, response.headers, response.body.read_all(LIMIT)?))
    };
    Box::new(move |method, target, reuse| report(whole(method, target, reuse)))
}

fn on_runtime(client: Client) -> io::Result<Perform> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut last: Option<Connection> = None;
    let mut whole = async move |method: Method<'_>, target: &str, reuse| -> Result<Whole, degu_client::Error> {
        let connection = match last.take().filter(|open| reuse && !open.is_closed()) {
            Some(open) => last.insert(open),
            None => last.insert(client.connect().await?),
        };
        let mut response = connection.request(method, target, (), ()).await?;
        Ok((response.status, response.headers, response.body.read_all(LIMIT).await?))
    };
    Ok(Box::new(move |method, target, reuse| report(runtime.block_on(whole(method, target, reuse)))))
}

fn run() -> Result<(), BoxError> {
    let (mut is_blocking, mut address) = (false, None);
    let mut files = tls::Files::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("blocking") => is_blocking = true,
            Arg::Value(value) if address.is_none() => address = Some(lexopt::ValueExt::parse::<Address>(&value)?),
            Arg::Long(name @ ("tls-ca" | "tls-cert" | "tls-key" | "tls-no-name")) => {
                let name = name.to_owned();
                files.take(&name, &mut arguments)?;
            }
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    let patience = Some(Duration::from_secs(4));
    let options = files.on_client(Client::options().head_timeout(patience).body_timeout(patience))?;
    let client = options.client(address.ok_or(USAGE)?);
    let mut perform = if is_blocking { blocking(client.into()) } else { on_runtime(client)? };

    let mut stdout = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err("each line needs a METHOD and a TARGET".into());
        };
        let mut result = perform(Method::from(method), target, false);
        if let (Some(method), Some(target)) = (words.next(), words.next())
            && result["ok"] == true
        {
            result["second"] = perform(Method::from(method), target, true);
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
