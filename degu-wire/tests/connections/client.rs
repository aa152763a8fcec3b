//! A client's end. Each option `send` is a request, sent when a phase begins and the connection can take one: method,
//! target, and `bytes TEXT`, `length TEXT` or `chunked TEXT` for a body, `expect` and `close` for fields, and
//! `offers PROTOCOL` for an upgrade.

use core::task::Poll;

use degu_wire::machine::{Client as Role, Connection, Content};
use degu_wire::{Chunk, Headers, Method, Part, RemoteError};

use super::{End, Log};
use crate::corpus::Case;

pub(super) struct Client {
    connection: Connection<Role>,
    requests: Vec<String>,
    /// The body of the request, until it may be sent.
    body: Option<Part>,
    waits: bool,
    reads: bool,
    log: Log,
}

impl End for Client {
    fn new(case: &Case) -> Self {
        let requests = case.options.iter().rev().filter(|(word, _)| word == "send");
        Self {
            connection: Connection::<Role>::new(case.limits()),
            requests: requests.map(|(_, request)| request.clone()).collect(),
            body: None,
            waits: false,
            reads: false,
            log: Log::default(),
        }
    }

    fn begin(&mut self) {
        if self.connection.is_reusable()
            && let Some(request) = self.requests.pop()
        {
            self.send(&request);
            self.log.transmit(&mut self.connection);
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.connection.receive_buffer().extend_from_slice(bytes);
    }

    fn receive_eof(&mut self) {
        self.connection.receive_eof();
    }

    fn turn(&mut self) {
        if let Err(error) = self.step() {
            self.log.line(format!("fault {:?}", error.fault));
            assert!(self.connection.is_closed() && self.connection.is_flushed());
            (self.waits, self.reads) = (false, false);
        }
        self.log.transmit(&mut self.connection);
    }

    fn lines(&mut self) -> Vec<String> {
        let state = match (self.connection.is_reusable(), self.connection.is_closed()) {
            (false, false) if self.connection.has_switched() => "switched",
            (true, false) => "reusable",
            (false, true) => "closed",
            (false, false) => "busy",
            (true, true) => panic!("either reusable or closed"),
        };
        self.log.take(state.to_owned())
    }
}

impl Client {
    fn send(&mut self, request: &str) {
        let words: Vec<&str> = request.split(' ').collect();
        let mut headers = Headers::new();
        let mut content = Content::None;
        let mut offer = None;
        let mut rest = words[2..].iter().copied();
        while let Some(word) = rest.next() {
            let mut text = || rest.next().expect("a text").to_owned();
            match word {
                "bytes" => content = Content::Bytes(text().into()),
                "length" => {
                    let text = text();
                    content = Content::Length(text.len() as u64);
                    self.body = Some(Part::Data(text.into()));
                }
                "chunked" => {
                    content = Content::Chunked;
                    self.body = Some(Chunk::new(text()).into());
                }
                "expect" => headers.set("expect", "100-continue").unwrap(),
                "close" => headers.set("connection", "close").unwrap(),
                "offers" => offer = Some(text()),
                other => panic!("no such word: {other}"),
            }
        }
        let (method, target) = (Method::from(words[0]), words[1]);
        match offer {
            Some(protocol) => self.connection.upgrade(method, target, "a", &headers, &protocol, content).unwrap(),
            None => self.connection.request(method, target, "a", &headers, content).unwrap(),
        }
        self.waits = true;
    }

    fn step(&mut self) -> Result<(), RemoteError> {
        if self.waits
            && let Poll::Ready(head) = self.connection.poll_response()?
        {
            let version = if head.is_http10() { " http10" } else { "" };
            self.log.line(format!("response {} {}{version}", head.status(), head.reason()));
            (self.waits, self.reads) = (false, true);
            if self.connection.stops_sending(&head) {
                self.log.line("stops sending");
                self.connection.abandon_request_body();
                self.body = None;
            }
        }
        while self.reads
            && let Poll::Ready(part) = self.connection.poll_part()?
        {
            if let Some(part) = &part {
                self.log.part(part);
            } else {
                self.log.line("done");
                self.reads = false;
            }
        }
        if self.connection.has_switched() {
            self.log.data.extend(self.connection.take_buffered());
        }
        if self.connection.is_sending()
            && self.connection.may_send_body()
            && let Some(body) = self.body.take()
        {
            self.connection.send_part(body).unwrap();
            self.connection.finish_body().unwrap();
        }
        Ok(())
    }
}
