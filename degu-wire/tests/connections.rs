//! Whole connections: the corpus of sequences, and arbitrary ones, through either machine however they are cut.

mod client;
mod server;

use crate::corpus::{self, Case, Step, escaped};
use degu_wire::chunk::Extension;
use degu_wire::machine::Connection;
use degu_wire::{ChunkExtensions, Part};
use proptest::prelude::*;

/// A machine with an application on top that does as the options of a case say.
trait End {
    fn new(case: &Case) -> Self;
    /// A phase of the case begins.
    fn begin(&mut self) {}
    /// Some bytes, maybe none, have come.
    fn receive(&mut self, bytes: &[u8]);
    /// No more will.
    fn receive_eof(&mut self);
    /// Does all that can be done.
    fn turn(&mut self);
    /// A phase ends: what has happened in it.
    fn lines(&mut self) -> Vec<String>;
}

/// The events, line by line.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    data: Vec<u8>,
    sent: Vec<u8>,
}

impl Log {
    fn line(&mut self, line: impl Into<String>) {
        let data = core::mem::take(&mut self.data);
        self.lines.extend((!data.is_empty()).then(|| format!("data {}", escaped(&data))));
        self.lines.push(line.into());
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Data(data) => {
                assert!(!data.is_empty());
                self.data.extend_from_slice(data);
            }
            Part::Chunk { size, extensions, data } => {
                self.line(format!("chunk {size}{}", written(extensions)));
                self.data.extend_from_slice(data);
            }
            Part::Last { extensions, trailers } => {
                self.line(format!("last{}", written(extensions)));
                for (name, value) in trailers.iter() {
                    self.line(format!("trailer {name}: {}", escaped(value)).trim_end());
                }
            }
        }
    }

    /// Writes what is pending.
    fn transmit<R>(&mut self, connection: &mut Connection<R>) {
        let pending = connection.pending().concat();
        connection.transmitted(pending.len());
        assert!(connection.is_flushed());
        self.sent.extend_from_slice(&pending);
    }

    /// Takes the events, with what was sent and `state` at the end.
    fn take(&mut self, state: String) -> Vec<String> {
        let sent = core::mem::take(&mut self.sent);
        if !sent.is_empty() {
            self.line(format!("sent {}", escaped(&sent)));
        }
        self.line(state);
        core::mem::take(&mut self.lines)
    }
}

fn written(extensions: &ChunkExtensions) -> String {
    let one = |extension: Extension| match extension.value {
        None => format!(" {}", extension.name),
        Some(value) => format!(" {}=\"{}\"", extension.name, escaped(&value.unescape().collect::<Vec<u8>>())),
    };
    extensions.as_extensions().iter().map(one).collect()
}

/// The lines of a case whose phases have these inputs, each given in pieces.
fn run<E: End>(case: &Case, phases: &[Vec<u8>], cut: impl Fn(&[u8]) -> Vec<&[u8]>) -> Vec<String> {
    let mut end = E::new(case);
    let mut lines = Vec::new();
    for (index, phase) in phases.iter().enumerate() {
        end.begin();
        for piece in cut(phase) {
            end.receive(piece);
            end.turn();
        }
        if index + 1 == phases.len() && case.option("eof").is_some() {
            end.receive_eof();
            end.turn();
        }
        lines.extend(end.lines());
    }
    lines
}

/// The inputs between expected lines.
fn phases(case: &Case) -> Vec<Vec<u8>> {
    let mut phases: Vec<Vec<u8>> = Vec::new();
    let mut begins = true;
    for step in &case.steps {
        match step {
            Step::Input(bytes) if begins => phases.push(bytes.clone()),
            Step::Input(bytes) => phases.last_mut().expect("one has begun").extend_from_slice(bytes),
            Step::Expect(_) => {}
        }
        begins = matches!(step, Step::Expect(_));
    }
    phases
}

fn check<E: End>(role: &str, least: usize) {
    let cases = corpus::parse(include_str!("corpus/connections.txt"));
    let cases: Vec<Case> = cases.into_iter().filter(|case| case.option("role") == Some(role)).collect();
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let (name, phases, expected) = (&case.name, phases(case), case.expected());
        let found = run::<E>(case, &phases, |phase| vec![phase]);
        if found != expected {
            failures.push(format!("line {}: {name}\n< {}\n", case.line, found.join("\n< ")));
            continue;
        }
        if case.option("whole").is_some() {
            continue;
        }
        assert_eq!(run::<E>(case, &phases, |phase| phase.chunks(1).collect()), expected, "{name}: a byte at a time");
        for at in 0..phases.iter().map(Vec::len).max().unwrap_or(0).min(600) {
            let found = run::<E>(case, &phases, |phase| {
                let (front, back) = phase.split_at(at.min(phase.len()));
                vec![front, back]
            });
            assert_eq!(found, expected, "{name}: cut at {at}");
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn servers_do_as_the_corpus_says() {
    check::<server::Server>("server", 40);
}

#[test]
fn clients_do_as_the_corpus_says() {
    check::<client::Client>("client", 40);
}

/// Bytes that are messages of both directions, or nearly, several of them.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 103 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5;a=b\r\nhello\r\n",
        "1\r\n\r\r\n",
        "0\r\n\r\n",
        "0;x\r\ny: z\r\n\r\n",
        "\r\n",
        "\r",
        "\n",
        "GET",
        " ",
        ":",
        "\0",
        "5",
        "x",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

fn same_however_cut<E: End>(script: &str, input: &[u8], cuts: &[prop::sample::Index]) {
    let case = &corpus::parse(script)[0];
    let phases = [input.to_vec()];
    let whole = run::<E>(case, &phases, |phase| vec![phase]);
    assert_eq!(run::<E>(case, &phases, |phase| phase.chunks(1).collect()), whole, "a byte at a time");
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    ends.extend([0, input.len()]);
    ends.sort_unstable();
    let found = run::<E>(case, &phases, |phase| ends.windows(2).map(|ends| &phase[ends[0]..ends[1]]).collect());
    assert_eq!(found, whole, "cut at {ends:?}");
}

proptest! {
    #[test]
    fn arbitrary_connections_are_the_same_however_they_are_cut(
        input in messages(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        answer in prop::sample::select(vec!["echo", "stream", "close", "empty 404", "chunks a b"]),
        method in prop::sample::select(vec!["GET", "HEAD", "PUT"]),
    ) {
        same_however_cut::<server::Server>(&format!("= x\n? eof\n? answer {answer}"), &input, &cuts);
        same_however_cut::<client::Client>(&format!("= x\n? eof\n? send {method} / bytes hi"), &input, &cuts);
    }
}
