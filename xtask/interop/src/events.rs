//! Readers of server-sent events: the EventSource of Chromium, Python's sseclient, and curl. The server ends each
//! response early, after three events, as if it had died. The reader connects again, and asks for the events after the
//! last event that it has received. If there are no more events, the server answers with 204.

use std::time::Duration;

use degu_server::{Address, Handle, Method, Request, Response, Server, Session, sse};

use crate::Result;
use crate::matrix::Outcome;

pub(crate) const COLUMNS: &[&str] = &["events", "resume", "end"];
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

/// Starts the server.
pub(crate) fn serve(address: &str) -> Result<Handle> {
    Ok(Server::bind(address.parse::<Address>()?, app)?.spawn()?)
}

/// Returns the outcomes of a reader, from the lines that it has printed: one for each event, and one for the end.
pub(crate) fn outcomes(_: &[&'static str], printed: &str) -> Vec<Outcome> {
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
        assert_eq!(outcomes(COLUMNS, &(printed.clone() + "end\n")), [Outcome::Ok, Outcome::Ok, Outcome::Ok]);
        assert_eq!(outcomes(COLUMNS, &(printed.clone() + "skipped why\n"))[2], Outcome::Skipped("why".into()));
        printed.truncate("0 event 0\n1 event 1\n2 event 2\n".len());
        let said = Outcome::Failed(r#"["0 event 0", "1 event 1", "2 event 2", "end"]"#.into());
        assert_eq!(outcomes(COLUMNS, &(printed + "end\n")), [Outcome::Ok, said.clone(), said]);
    }
}
