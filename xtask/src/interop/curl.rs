//! curl, with a command for each exchange.

use std::path::Path;
use std::time::Duration;

use xshell::Shell;

use super::matrix::{EXCHANGES, Matrix, Outcome};
use super::peer::{Bench, Where, large, version, words};
use crate::Result;
use crate::child;

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    version(shell, "curl", "--version")
}

pub(super) fn run(bench: &Bench<'_>, curl: &str, matrix: &mut Matrix) -> Result {
    for kind in Where::ALL {
        let ours = bench.serve(&bench.address(kind, "for-curl"))?;
        let outcomes = EXCHANGES.iter().map(|exchange| {
            let tried = match *exchange {
                "extensions" => return Outcome::Skipped("curl drops them".into()),
                // It takes such a connection for one whose name is still being resolved.
                "keep-alive" if matches!(kind, Where::Abstract) => {
                    return Outcome::Skipped("curl keeps no connection to an abstract socket".into());
                }
                exchange => perform(bench, &Curl::new(ours.address()), exchange),
            };
            tried.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Ok)
        });
        matrix.add(&format!("curl {curl}"), "Degu", ours.address(), outcomes.collect());
    }
    Ok(())
}

fn perform(bench: &Bench<'_>, curl: &Curl, exchange: &str) -> Result {
    match exchange {
        "get" => same(&curl.ask(&[], "/hello")?, "hello, world"),
        "head" => has(&curl.ask(&["--head"], "/hello")?, "content-length: 12"),
        "post" => same(&curl.ask(&["--data-binary", "some text"], "/echo")?, "some text"),
        "chunked" => {
            let options = ["--include", "--header", "transfer-encoding: chunked", "--data-binary", "some text"];
            let response = curl.ask(&options, "/echo")?;
            has(&response, "transfer-encoding: chunked")?;
            has(&response, "\r\n\r\nsome text")
        }
        "large" => {
            let sent = bench.files().join("large").display().to_string();
            let received = bench.folder.join("curl-received").display().to_string();
            let body = format!("@{sent}");
            let output = ["--output", &received];
            curl.ask(&output, "/large")?;
            same_file(bench, &received)?;
            // curl asks for leave where a body is large; this one is at the bound, and asks for sure.
            let post = ["--header", "expect: 100-continue", "--data-binary", &body];
            curl.ask(&[&output[..], &post].concat(), "/echo")?;
            same_file(bench, &received)?;
            let post = ["--header", "transfer-encoding: chunked", "--data-binary", &body];
            curl.ask(&[&output[..], &post].concat(), "/echo")?;
            same_file(bench, &received)
        }
        "keep-alive" => {
            let (first, rest) = (curl.url("/hello"), curl.url("/requests"));
            same(
                &curl.ask(&["--write-out", ",%{num_connects},", &first, &rest], "/requests")?,
                "hello, world,1,2,0,3,0,",
            )
        }
        "close" => has(&curl.ask(&["--include", "--header", "connection: close"], "/hello")?, "connection: close"),
        "404" => has(&curl.ask(&["--include"], "/missing")?, "HTTP/1.1 404 "),
        "chunks" => {
            let response = curl.ask(&["--include"], "/chunks")?;
            has(&response, "transfer-encoding: chunked")?;
            has(&response, "\r\n\r\nonetwothree")
        }
        other => Err(format!("nobody knows how to {other}").into()),
    }
}

/// How to reach a server.
struct Curl {
    options: Vec<String>,
    authority: String,
}

impl Curl {
    fn new(address: &str) -> Self {
        let (options, authority) = if let Some(name) = address.strip_prefix("unix:@") {
            (words(&["--abstract-unix-socket", name]), "localhost")
        } else if let Some(path) = address.strip_prefix("unix:") {
            (words(&["--unix-socket", path]), "localhost")
        } else {
            (Vec::new(), address)
        };
        Self { options, authority: authority.into() }
    }

    fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.authority)
    }

    /// Runs it, and gives what it printed.
    fn ask(&self, options: &[&str], target: &str) -> Result<String> {
        // `--globoff`: the brackets of IPv6 are no range. `--disable`: no file of options.
        let mut arguments = words(&["--disable", "--silent", "--show-error", "--globoff", "--noproxy", "*"]);
        arguments.extend(self.options.iter().cloned());
        arguments.extend(words(options));
        arguments.push(self.url(target));
        child::run(Path::new("curl"), &arguments, Duration::from_secs(30))
    }
}

fn same(is: &str, wanted: &str) -> Result {
    if is == wanted { Ok(()) } else { Err(format!("{is:?} instead of {wanted:?}").into()) }
}

fn has(text: &str, wanted: &str) -> Result {
    if text.contains(wanted) { Ok(()) } else { Err(format!("there is no {wanted:?} in {text:?}").into()) }
}

fn same_file(bench: &Bench<'_>, received: &str) -> Result {
    let received = bench.shell.read_binary_file(received)?;
    if received == large() { Ok(()) } else { Err(format!("{} octets that are not the same", received.len()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_reach_an_address() {
        let urls = [("127.0.0.1:5", "http://127.0.0.1:5/x"), ("[::1]:5", "http://[::1]:5/x")];
        for (address, url) in urls {
            let curl = Curl::new(address);
            assert_eq!((curl.url("/x").as_str(), curl.options.len()), (url, 0));
        }
        let curl = Curl::new("unix:@x");
        assert_eq!(
            (curl.url("/"), curl.options),
            ("http://localhost/".into(), words(&["--abstract-unix-socket", "x"]))
        );
        assert_eq!(Curl::new("unix:/x").options, ["--unix-socket", "/x"]);
    }
}
