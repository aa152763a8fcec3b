//! A server's end. The option `answer`, given once a request, says what the application does; the last one goes on.

use core::task::Poll;

use degu_wire::machine::{Connection, Content, RequestHead, Server as Role};
use degu_wire::{Framing, Headers, LocalError, Part, RemoteError};

use super::{End, Log};
use crate::corpus::Case;

pub(super) struct Server {
    connection: Connection<Role>,
    answers: Vec<Vec<String>>,
    drain: u64,
    stage: Stage,
    body: Vec<u8>,
    /// The request that an answer `switch` accepts the offer of.
    head: Option<RequestHead>,
    log: Log,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Head,
    /// The body is read; then comes the answer.
    Read,
    /// The answer has begun, and is made of what is read.
    Stream,
    /// The answer is whole; the body is read and dropped.
    Drop,
    Over,
}

impl End for Server {
    fn new(case: &Case) -> Self {
        let answers = case.options.iter().filter(|(word, _)| word == "answer");
        let mut answers: Vec<Vec<String>> =
            answers.map(|(_, answer)| answer.split(' ').map(str::to_owned).collect()).collect();
        answers.reverse();
        if answers.is_empty() {
            answers.push(vec!["echo".to_owned()]);
        }
        let connection = Connection::<Role>::new(case.limits());
        let drain = case.option("drain").map_or(0, |drain| drain.parse().expect("a number"));
        Self { connection, answers, drain, stage: Stage::Head, body: Vec::new(), head: None, log: Log::default() }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive_buffer().extend_from_slice(bytes);
    }

    fn receive_eof(&mut self) {
        self.connection.receive_eof();
    }

    fn turn(&mut self) {
        while let Ok(Poll::Ready(())) = self.step().inspect_err(|&error| self.fail(error)) {}
        if self.connection.has_switched() {
            self.log.data.extend(self.connection.take_buffered());
        }
        self.log.transmit(&mut self.connection);
    }

    fn lines(&mut self) -> Vec<String> {
        let state = match self.connection.has_switched() {
            true => "switched".to_owned(),
            false => format!("awaits {:?}", self.connection.awaits()),
        };
        self.log.take(state)
    }
}

impl Server {
    fn step(&mut self) -> Result<Poll<()>, RemoteError> {
        match self.stage {
            Stage::Over => return Ok(Poll::Pending),
            Stage::Head => match self.connection.poll_request()? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(None) => {
                    self.log.line("end");
                    self.stage = Stage::Over;
                }
                Poll::Ready(Some(head)) => self.begin(&head),
            },
            Stage::Read | Stage::Stream | Stage::Drop => {
                let Poll::Ready(part) = self.connection.poll_part()? else { return Ok(Poll::Pending) };
                if let Some(part) = &part {
                    self.log.part(part);
                } else {
                    self.log.line("done");
                }
                match (self.stage, part) {
                    (Stage::Read, Some(Part::Data(data) | Part::Chunk { data, .. })) => self.body.extend(data),
                    (Stage::Read, None) => {
                        self.answer();
                        self.stage = Stage::Head;
                    }
                    (Stage::Stream, Some(part)) => self.connection.send_part(part).unwrap(),
                    (Stage::Stream, None) => {
                        self.connection.finish_body().unwrap();
                        self.stage = Stage::Head;
                    }
                    (_, None) => self.stage = Stage::Head,
                    _ => {}
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn begin(&mut self, head: &RequestHead) {
        let framing = match head.framing() {
            Framing::Length(length) => format!(" length {length}"),
            Framing::Chunked => " chunked".to_owned(),
            _ => String::new(),
        };
        self.log.line(format!("request {} {}{framing}", head.method(), head.target()));
        self.body.clear();
        self.head = Some(head.clone());
        match self.answers.last().expect("at least one")[0].as_str() {
            "early" => {
                self.connection.abandon_request_body(self.drain);
                self.answer();
                self.stage = if self.connection.is_persistent() { Stage::Drop } else { Stage::Head };
            }
            "stream" => {
                let content = match head.framing() {
                    Framing::Length(length) => Content::Length(length),
                    _ => Content::Chunked,
                };
                self.next_answer();
                self.connection.send_continue();
                self.connection.respond(200, "OK", &Headers::new(), content, None).unwrap();
                self.stage = Stage::Stream;
            }
            _ => self.stage = Stage::Read,
        }
    }

    fn next_answer(&mut self) -> Vec<String> {
        match self.answers.len() {
            1 => self.answers[0].clone(),
            _ => self.answers.pop().expect("more than one"),
        }
    }

    fn answer(&mut self) {
        let answer = self.next_answer();
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        let body = core::mem::take(&mut self.body);
        let mut headers = Headers::new();
        let (status, reason, content) = match words[..] {
            ["echo"] => (200, "OK", Content::Bytes(body.into())),
            ["switch", protocol] => {
                let head = self.head.take().expect("a request");
                match self.connection.switch(&head, protocol, &headers) {
                    Ok(()) => return,
                    Err(error) => assert_eq!(error, LocalError::NotOffered),
                }
                headers.set("upgrade", protocol).unwrap();
                (426, "x", Content::None)
            }
            ["close"] => {
                headers.set("connection", "close").unwrap();
                (200, "OK", Content::Bytes(body.into()))
            }
            ["stop"] => {
                self.connection.stop();
                (200, "OK", Content::Bytes(body.into()))
            }
            ["early" | "empty", status] => (status.parse().expect("a status"), "x", Content::None),
            ["described", length] => {
                headers.set("content-length", length).unwrap();
                (200, "OK", Content::None)
            }
            ["length", text] => (200, "OK", Content::Length(text.len() as u64)),
            ["chunks", ..] => (200, "OK", Content::Chunked),
            ref other => panic!("no such answer: {other:?}"),
        };
        self.connection.respond(status, reason, &headers, content, None).unwrap();
        assert!(self.connection.has_responded());
        if self.connection.is_sending() {
            for text in &words[1..] {
                let part = match words[0] {
                    "chunks" => degu_wire::Chunk::new((*text).to_owned()).into(),
                    _ => Part::Data((*text).to_owned().into()),
                };
                self.connection.send_part(part).unwrap();
            }
            self.connection.finish_body().unwrap();
        }
    }

    fn fail(&mut self, error: RemoteError) {
        self.log.line(format!("fault {:?} {}", error.fault, error.status()));
        let answered = self.connection.has_responded();
        let before = self.connection.pending().concat();
        assert_eq!(self.connection.refuse(error.status(), "text/plain", "", None).is_some(), !answered);
        assert_eq!(self.connection.pending().concat() == before, answered, "nothing is written into a response");
        assert!(matches!(self.connection.poll_request(), Ok(Poll::Ready(None))));
        self.stage = Stage::Over;
    }
}
