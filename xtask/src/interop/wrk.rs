//! wrk, which asks for the same thing over many connections at once.

use std::path::Path;
use std::time::Duration;

use xshell::Shell;

use super::matrix::{EXCHANGES, Matrix, Outcome};
use super::peer::{Bench, Where, version, words};
use crate::Result;
use crate::child;

pub(super) fn find(shell: &Shell) -> std::result::Result<String, String> {
    version(shell, "wrk", "--version")
}

pub(super) fn run(bench: &Bench<'_>, wrk: &str, matrix: &mut Matrix) -> Result {
    for kind in [Where::Ipv4, Where::Ipv6] {
        let ours = bench.serve(&bench.address(kind, "for-wrk"))?;
        let outcome = |exchange: &&str| match *exchange {
            "get" => ask(ours.address(), "/hello"),
            "large" => ask(ours.address(), "/large"),
            "404" => Outcome::Skipped("wrk counts it as a fault".into()),
            "chunks" => ask(ours.address(), "/chunks"),
            // It asks on and on over the connections that it has.
            "keep-alive" => ask(ours.address(), "/requests"),
            _ => Outcome::Skipped("wrk asks for one thing, again and again".into()),
        };
        matrix.add(&format!("wrk {wrk}"), "Degu", ours.address(), EXCHANGES.iter().map(outcome).collect());
    }
    Ok(())
}

/// Asks for a second over 8 connections.
fn ask(address: &str, target: &str) -> Outcome {
    let url = format!("http://{address}{target}");
    let arguments = words(&["--duration", "1s", "--connections", "8", "--threads", "1", &url]);
    match child::run(Path::new("wrk"), &arguments, Duration::from_secs(30)) {
        Ok(report) => judge(&report),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// What a report of wrk says. It mentions faults where there are any.
fn judge(report: &str) -> Outcome {
    let fault = report.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx"));
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "));
    match (fault, requests) {
        (Some(fault), _) => Outcome::Failed(fault.trim().into()),
        (None, Some((requests, _))) if requests != "0" => Outcome::Ok,
        _ => Outcome::Failed("no request was answered".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports() {
        assert_eq!(judge("Running\n  500 requests in 1.00s, 5.00MB read\n"), Outcome::Ok);
        for report in [
            "",
            "  0 requests in 1.00s, 0.00B read\n",
            "  5 requests in 1s\n  Socket errors: connect 0, read 5, write 0, timeout 0\n",
            "  5 requests in 1s\n  Non-2xx or 3xx responses: 5\n",
        ] {
            assert!(matches!(judge(report), Outcome::Failed(_)), "{report}");
        }
    }
}
