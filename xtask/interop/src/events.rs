//! Readers of server-sent events: the EventSource of Chromium, Python's sseclient, and curl. The server ends each
//! response early, after three events, as if it had died. The reader connects again, and asks for the events after the
//! last event that it has received. If there are no more events, the server answers with 204.

use std::time::Duration;

use degu_server::{Address, Method, Request, Response, Server, Session, sse};

use crate::matrix::{Matrix, Outcome};
use crate::peer::{Bench, LIMIT, Where, interpreter, script};
use crate::scripted::VENV;
use crate::{Result, child};

const COLUMNS: &[&str] = &["events", "resume", "end"];
/// The number of events.
const ALL: usize = 9;
/// The number of events after which the server ends a response.
const CUT: usize = 3;

async fn app(session: &mut Session, request: Request<'_>) -> Response {
    let last = request.headers().get("last-event-id").and_then(|id| id.parse::<usize>().ok());
    match (request.method(), request.segments(), last.map_or(0, |last| last.saturating_add(1))) {
        (Method::Get, [], _) => (200, [("content-type", "text/html")], include_str!("../peers/events.html")).into(),
        (Method::Get, ["events"], ALL..) => 204.into(),
        (Method::Get, ["events"], first) => sse::response(session, first, move |n| async move {
            if n == first + CUT {
                return Err("cut".into());
            }
            let event = sse::Event::new(format!("event\n{n}")).id(n).retry(Duration::from_millis(100));
            Ok(Some((event, n + 1)))
        }),
        _ => 404.into(),
    }
}

pub(crate) fn run_chromium(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, "bash", "events_chromium.sh", &format!("Chromium {version}"), matrix)
}

pub(crate) fn run_python(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, VENV, "events_client.py", &format!("sseclient {version}"), matrix)
}

pub(crate) fn run_curl(bench: &Bench<'_>, version: &str, matrix: &mut Matrix) -> Result {
    run(bench, "bash", "events_curl.sh", &format!("curl {version} -N"), matrix)
}

fn run(bench: &Bench<'_>, program: &str, client: &str, name: &str, matrix: &mut Matrix) -> Result {
    let ours = Server::bind(bench.address(Where::Ipv4, client).parse::<Address>()?, app)?.spawn()?;
    let address = ours.address().to_string();
    let profile = bench.folder.join("chromium").display().to_string();
    let printed = child::run(&interpreter(program), &[script(client), format!("http://{address}"), profile], LIMIT)?;
    matrix.add_row(COLUMNS.to_vec(), name, "Degu", &address, judge(&printed));
    Ok(())
}

/// Returns the outcomes of a reader, from the lines that it has printed: one for each event, and one for the end.
fn judge(printed: &str) -> Vec<Outcome> {
    let events: Vec<_> = (0..ALL).map(|n| format!("{n} event {n}")).collect();
    let lines: Vec<_> = printed.lines().collect();
    let outcome = |is_right| if is_right { Outcome::Ok } else { Outcome::Failed(format!("{lines:?}")) };
    let end = match lines.get(ALL).and_then(|line| line.strip_prefix("skipped ")) {
        Some(why) => Outcome::Skipped(why.to_owned()),
        None => outcome(lines.get(ALL..) == Some(&["end"])),
    };
    let are = |count| outcome(lines.get(..count).is_some_and(|lines| lines == &events[..count]));
    vec![are(CUT), are(ALL), end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_reader() {
        let mut printed: String = (0..ALL).map(|n| format!("{n} event {n}\n")).collect();
        assert_eq!(judge(&(printed.clone() + "end\n")), [Outcome::Ok, Outcome::Ok, Outcome::Ok]);
        assert_eq!(judge(&(printed.clone() + "skipped why\n"))[2], Outcome::Skipped("why".into()));
        printed.truncate("0 event 0\n1 event 1\n2 event 2\n".len());
        let said = Outcome::Failed(r#"["0 event 0", "1 event 1", "2 event 2", "end"]"#.into());
        assert_eq!(judge(&(printed + "end\n")), [Outcome::Ok, said.clone(), said]);
    }
}
