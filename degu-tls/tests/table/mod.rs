//! The table of handshakes: the result of each, the text of our error, and the alert that the peer gets.
//!
//! The table is `docs/handshakes.md`, a part of the documentation. This test makes the table again, and compares it with the
//! file. After an intended change, `DEGU_BLESS=1 cargo test -p degu-tls table` writes the file.

mod certificates;
mod protocol;
pub(crate) mod raw;
mod renegotiation;
mod servers;
mod sessions;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::kit::Version;
use crate::kit::pipe::Ended;
use degu_tls::error::{Kind, alert_name};
use degu_tls::rustls;

/// A line of the table.
struct Row {
    section: &'static str,
    name: String,
    outcome: String,
    we_say: String,
    peer_is_told: String,
}

/// The result of one handshake, for the side that verifies its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    /// The kind of the error, or `None` if the peer was accepted.
    kind: Option<Kind>,
    we_say: String,
    /// The name of the alert, or an empty text.
    peer_is_told: String,
}

impl Verdict {
    /// Returns the verdict. `ours` is the result of the side that verifies, and `theirs` that of its peer.
    fn of(ours: Ended, theirs: Ended) -> Self {
        let (kind, we_say) = match ours {
            Ended::Peer(peer, _) => (None, peer.map_or_else(String::new, |peer| accepted(&peer))),
            Ended::Error(error) => (Some(error.kind()), error.to_string()),
            other => panic!("{other:?}"),
        };
        let peer_is_told = match theirs {
            Ended::Peer(..) | Ended::Raw(Ok(())) => String::new(),
            Ended::Error(error) => error.alert().map_or_else(String::new, alert_name),
            Ended::Raw(Err(rustls::Error::AlertReceived(alert))) => alert_name(alert),
            Ended::Raw(Err(error)) => panic!("{error}"),
            Ended::Bytes(bytes) => match bytes[..] {
                [21, 3, _, 0, 2, 2, alert, ..] => alert_name(alert.into()),
                _ => panic!("{bytes:?}"),
            },
        };
        Self { kind, we_say, peer_is_told }
    }
}

fn accepted(peer: &degu_tls::PeerIdentity) -> String {
    let name = peer.dns_names().next().unwrap_or("a peer without a name");
    match peer.ca() {
        Some(ca) => format!("{name}, vouched for by {ca}"),
        None => name.into(),
    }
}

/// The rows of the table. Handshakes with the same result under both versions share a row.
#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    /// Adds a handshake, which is made under both versions.
    fn add(&mut self, section: &'static str, name: &str, wanted: Option<Kind>, run: impl Fn(Version) -> Verdict) {
        let [old, new] = Version::BOTH.map(run);
        assert_eq!((old.kind, &old.we_say), (new.kind, &new.we_say), "{section}: {name}: the versions differ");
        assert_eq!(new.kind, wanted, "{section}: {name}: {new:?}");
        let told = if old.peer_is_told == new.peer_is_told {
            new.peer_is_told.clone()
        } else {
            let [old, new] =
                [&old, &new].map(|verdict| if verdict.peer_is_told.is_empty() { "—" } else { &verdict.peer_is_told });
            format!("{old} (1.2), {new} (1.3)")
        };
        self.push(section, name, &Verdict { peer_is_told: told, ..new });
    }

    /// Adds a handshake that only one version has.
    fn add_one(&mut self, section: &'static str, name: &str, wanted: Option<Kind>, verdict: Verdict) {
        assert_eq!(verdict.kind, wanted, "{section}: {name}: {verdict:?}");
        self.push(section, name, &verdict);
    }

    fn push(&mut self, section: &'static str, name: &str, verdict: &Verdict) {
        self.0.push(Row {
            section,
            name: name.into(),
            outcome: verdict.kind.map_or_else(|| "accepted".into(), |kind| kind.to_string()),
            we_say: verdict.we_say.clone(),
            peer_is_told: verdict.peer_is_told.clone(),
        });
    }

    fn markdown(&self) -> String {
        let mut text = String::from(include_str!("intro.md"));
        let mut sections: Vec<&str> = Vec::new();
        for row in &self.0 {
            if !sections.contains(&row.section) {
                sections.push(row.section);
            }
        }
        for section in sections {
            write!(
                text,
                "\n# {section}\n\n| | outcome | what we say | what the peer is told |\n| --- | --- | --- | --- |\n"
            )
            .unwrap();
            for row in self.0.iter().filter(|row| row.section == section) {
                let told = if row.peer_is_told.is_empty() { "" } else { &format!("`{}`", row.peer_is_told) };
                writeln!(text, "| {} | {} | {} | {told} |", row.name, row.outcome, row.we_say).unwrap();
            }
        }
        text
    }
}

#[test]
fn the_table_is_what_the_documentation_says() {
    let mut table = Table::default();
    certificates::rows(&mut table);
    servers::rows(&mut table);
    protocol::rows(&mut table);
    sessions::rows(&mut table);
    renegotiation::rows(&mut table);
    assert!(table.0.len() >= 40, "{} rows", table.0.len());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/handshakes.md");
    let text = table.markdown();
    if std::env::var_os("DEGU_BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let wanted = fs::read_to_string(&file).unwrap();
    for (wanted, found) in wanted.lines().zip(text.lines()) {
        assert_eq!(wanted, found);
    }
    assert_eq!(wanted.lines().count(), text.lines().count());
}
