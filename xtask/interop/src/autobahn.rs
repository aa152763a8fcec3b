//! Autobahn's test suite for WebSocket, which finds deviations from RFC 6455. The suite tests the example `terminal`
//! and both of our clients. The cases for compression are left out, because example and clients do not support
//! compression.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use degu_client::{Address, Client};
use serde_json::{Value, json};

use crate::Result;
use crate::matrix::Outcome;
use crate::ours::{CLIENTS, Ours};
use crate::peer::{Bench, TIED, Where, free_port, wait_for};
use crate::steps::{Step, perform_one};
use crate::tunnel::terminal;
use crate::websocket::connect;

/// The longest time that all cases may take with one implementation.
const LIMIT: Duration = Duration::from_secs(300);

/// Prints the version. Libraries of the suite may print lines before it.
pub(crate) const VERSION: &str = "$AUTOBAHN 'from autobahntestsuite import version; print(version)' | tail -n 1";

/// The suite, as a shell command.
const SUITE: &str = "$AUTOBAHN 'from autobahntestsuite.wstest import run; run()'";

pub(crate) fn run(bench: &mut Bench<'_>, autobahn: &str) -> Result {
    let folder = bench.folder.join("autobahn");
    let ours = terminal(bench, Where::Ipv4)?;
    let url = format!("ws://{}/socket", ours.address());
    let spec = spec(bench, &folder, "client", json!({ "servers": [{ "agent": "terminal", "url": url }] }))?;
    bench.run(&format!("{TIED} {SUITE} --mode=fuzzingclient --spec={spec}"), LIMIT)?;
    judge(bench, &folder, "client", autobahn, "terminal")?;

    let address = free_port()?;
    let spec = self::spec(bench, &folder, "server", json!({ "url": format!("ws://{address}") }))?;
    let line = format!("{SUITE} --mode=fuzzingserver --webport=0 --spec={spec}");
    let _server = bench.start_tied(&line, |line| line.contains("Ok, will run"))?;
    // The suite prints this line before it listens. After that, the suite answers a request without an upgrade with a
    // page about itself.
    wait_for(&address, "/", 200)?;
    for (name, is_blocking) in CLIENTS {
        let client = Client::new(address.parse::<Address>()?);
        let agent = name.replace(", ", "-");
        let named = agent.clone();
        let outcomes = perform_one(CASES, LIMIT, move || Ok((Ours::new(client, is_blocking)?, named)));
        if let [Outcome::Failed(why)] = &outcomes[..] {
            return Err(why.as_str().into());
        }
        judge(bench, &folder, "server", autobahn, &agent)?;
    }
    Ok(())
}

const CASES: &[Step<String>] = &[("cases", echo_all)];

/// Writes the configuration of the suite for one of its roles, and returns the name of the file.
fn spec(bench: &Bench<'_>, folder: &Path, role: &str, mut spec: Value) -> Result<String> {
    spec["outdir"] = folder.join(role).display().to_string().into();
    spec["cases"] = json!(["*"]);
    spec["exclude-cases"] = json!(["12.*", "13.*"]);
    spec["exclude-agent-cases"] = json!({});
    let file = folder.join(format!("{role}.json"));
    bench.shell.write_file(&file, spec.to_string())?;
    Ok(file.display().to_string())
}

/// Performs each case of the suite's server with one of our clients.
fn echo_all(ours: &mut Ours, agent: &mut String) -> Result {
    let count = connect(ours, "/getCaseCount")?.read()?;
    let count: u32 = count.to_text()?.parse()?;
    for case in 1..=count {
        let mut socket = connect(ours, &format!("/runCase?case={case}&agent={agent}"))?;
        // Most cases end with an error on purpose. The suite decides whether the error is right.
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                break;
            }
        }
    }
    // The server closes this connection when it has written its report.
    let mut socket = connect(ours, &format!("/updateReports?agent={agent}"))?;
    while socket.read().is_ok() {}
    Ok(())
}

/// Adds the number of cases with each verdict to the matrix.
///
/// # Errors
///
/// A case has failed.
fn judge(bench: &mut Bench<'_>, folder: &Path, role: &str, autobahn: &str, agent: &str) -> Result {
    let report = bench.shell.read_file(folder.join(role).join("index.json"))?;
    let said = count(&report, agent)?;
    bench.matrix.note(&format!("Autobahn {autobahn} with {agent}: {said}"));
    Ok(())
}

/// Counts the verdicts on an implementation in a report.
fn count(report: &str, agent: &str) -> Result<String> {
    let report: Value = serde_json::from_str(report)?;
    let cases = report[agent].as_object().filter(|cases| !cases.is_empty()).ok_or("the report has no cases")?;
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for (case, verdict) in cases {
        let (behavior, closing) = (&verdict["behavior"], &verdict["behaviorClose"]);
        match (behavior.as_str(), closing.as_str()) {
            (Some(name @ ("OK" | "NON-STRICT" | "INFORMATIONAL")), Some("OK" | "INFORMATIONAL")) => {
                *verdicts.entry(name).or_default() += 1;
            }
            _ => return Err(format!("case {case} with {agent}: {behavior}, closing {closing}").into()),
        }
    }
    let said: Vec<_> = verdicts.iter().rev().map(|(name, count)| format!("{count} {name}")).collect();
    Ok(said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted() {
        let case = |behavior: &str, closing: &str| json!({ "behavior": behavior, "behaviorClose": closing });
        let mut report =
            json!({ "a": { "1.1": case("OK", "OK"), "6.1": case("NON-STRICT", "OK"), "7": case("OK", "OK") } });
        assert_eq!(count(&report.to_string(), "a").unwrap(), "2 OK, 1 NON-STRICT");
        assert!(count(&report.to_string(), "b").is_err());
        for (behavior, closing) in [("FAILED", "OK"), ("OK", "UNCLEAN")] {
            report["a"]["8"] = case(behavior, closing);
            assert!(count(&report.to_string(), "a").unwrap_err().to_string().starts_with("case 8 with a"));
        }
    }
}
