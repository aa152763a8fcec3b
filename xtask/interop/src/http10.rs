//! Clients that use HTTP/1.0: `ab -k`, and requests as MicroPython writes them. A server with default options must
//! answer each request with 200.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use xshell::cmd;

use crate::Result;
use crate::matrix::Matrix;
use crate::peer::{Bench, Where};

/// The number of requests of ab. It sends all of them over one connection.
const REQUESTS: &str = "100";

pub(crate) fn run_ab(bench: &Bench<'_>, ab: &str, matrix: &mut Matrix) -> Result {
    let ours = bench.serve(&bench.address(Where::Ipv4, "ab"))?;
    let url = format!("http://{}/hello", ours.address());
    let said = cmd!(bench.shell, "ab -k -n {REQUESTS} {url}").quiet().ignore_stderr().read()?;
    for (name, wanted) in [("Complete", REQUESTS), ("Failed", "0"), ("Keep-Alive", REQUESTS), ("Non-2xx", "0")] {
        let found = count(&said, name).unwrap_or("0");
        if found != wanted {
            return Err(format!("{name} requests: {found} instead of {wanted}").into());
        }
    }
    matrix.note(&format!("ab {ab} -k: {REQUESTS} requests of HTTP/1.0 over one connection, each answered with 200"));
    Ok(())
}

/// Returns the count that ab printed under a name.
fn count<'s>(said: &'s str, name: &str) -> Option<&'s str> {
    said.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, count)| count.trim()))
}

/// Requests of MicroPython's example `http_client.py`, and of old versions of its module `requests`, which used
/// HTTP/1.0.
const MICROPYTHON: &[&str] = &[
    "GET / HTTP/1.0\r\n\r\n",
    "GET /hello HTTP/1.0\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n",
    "POST /echo HTTP/1.0\r\nHost: 192.0.2.1\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\
     Connection: close\r\n\r\n{\"t\": 4}",
];

/// Sends the requests of MicroPython, and checks the responses. MicroPython cannot read chunks, so each body must have a
/// Content-Length or end with the connection.
pub(crate) fn run_micropython(bench: &Bench<'_>, _: &str, matrix: &mut Matrix) -> Result {
    let ours = bench.serve(&bench.address(Where::Ipv4, "micropython"))?;
    for request in MICROPYTHON {
        let mut stream = TcpStream::connect(ours.address().to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let is_right = response.starts_with("HTTP/1.1 200 ") && response.ends_with(body);
        if !is_right || response.to_ascii_lowercase().contains("transfer-encoding") {
            return Err(format!("{request:?} is answered with {response:?}").into());
        }
    }
    matrix.note("MicroPython's requests of HTTP/1.0, with and without Host, are answered with 200");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_ab() {
        let said = "Complete requests:      100\nFailed requests:        0\nKeep-Alive requests:    97\n";
        assert_eq!(
            ["Complete", "Keep-Alive", "Non-2xx"].map(|name| count(said, name)),
            [Some("100"), Some("97"), None]
        );
    }
}
