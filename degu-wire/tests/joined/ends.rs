//! The two ends, each with an application that does one thing at a time.

use core::task::Poll;

use degu_wire::machine::{Client, Connection, Server};
use degu_wire::{Headers, Limits, Part};

use super::plan::{Exchange, Message};

#[derive(Debug)]
pub(crate) struct ClientEnd {
    pub(crate) connection: Connection<Client>,
    pub(crate) received: Vec<Message>,
    plan: Vec<Exchange>,
    parts: Vec<Part>,
    waits: bool,
    reads: bool,
}

impl ClientEnd {
    pub(crate) fn new(plan: &[Exchange]) -> Self {
        Self {
            connection: Connection::<Client>::new(Limits::DEFAULT),
            received: Vec::new(),
            plan: plan.iter().rev().cloned().collect(),
            parts: Vec::new(),
            waits: false,
            reads: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.plan.is_empty() && !self.waits && !self.reads && !self.connection.is_sending()
    }

    /// Does one thing, if there is one to do.
    pub(crate) fn act(&mut self) -> bool {
        if self.connection.is_reusable()
            && let Some(next) = self.plan.pop()
        {
            let (headers, content) = (next.request_headers(), next.body.content());
            self.connection.request(next.method(), &next.target, "a", &headers, content).unwrap();
            self.parts = next.body.parts();
            self.waits = true;
            return true;
        }
        if self.connection.is_sending() && self.connection.may_send_body() && self.connection.has_room() {
            send(&mut self.connection, &mut self.parts);
            return true;
        }
        if self.waits
            && let Poll::Ready(head) = self.connection.poll_response().unwrap()
        {
            let start = vec![head.status().to_string(), head.reason().as_str().to_owned()];
            let fields = fields(head.headers(), "y");
            self.received.push(Message { start, fields, ..Message::default() });
            (self.waits, self.reads) = (false, true);
            return true;
        }
        if self.reads
            && let Poll::Ready(part) = self.connection.poll_part().unwrap()
        {
            match part {
                Some(part) => self.received.last_mut().expect("a head came").push(part),
                None => self.reads = false,
            }
            return true;
        }
        false
    }
}

#[derive(Debug)]
pub(crate) struct ServerEnd {
    pub(crate) connection: Connection<Server>,
    pub(crate) received: Vec<Message>,
    plan: Vec<Exchange>,
    parts: Vec<Part>,
    reads: bool,
    answers: bool,
}

impl ServerEnd {
    pub(crate) fn new(plan: &[Exchange]) -> Self {
        Self {
            connection: Connection::<Server>::new(Limits::DEFAULT),
            received: Vec::new(),
            plan: plan.iter().rev().cloned().collect(),
            parts: Vec::new(),
            reads: false,
            answers: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.plan.is_empty() && !self.reads && !self.connection.is_sending()
    }

    /// Does one thing, if there is one to do.
    pub(crate) fn act(&mut self) -> bool {
        if self.connection.is_sending() && self.connection.has_room() {
            send(&mut self.connection, &mut self.parts);
            return true;
        }
        if self.answers && (!self.reads || self.plan.last().is_some_and(|exchange| exchange.early)) {
            let exchange = self.plan.pop().expect("it was received");
            let (headers, content) = (exchange.response_headers(), exchange.answer.content());
            self.connection.respond(exchange.status, &exchange.reason, &headers, content, None).unwrap();
            self.parts = exchange.answer.parts();
            self.answers = false;
            return true;
        }
        if self.reads {
            let Poll::Ready(part) = self.connection.poll_part().unwrap() else { return false };
            match part {
                Some(part) => self.received.last_mut().expect("a head came").push(part),
                None => self.reads = false,
            }
            return true;
        }
        if self.plan.is_empty() {
            return false;
        }
        let Poll::Ready(Some(head)) = self.connection.poll_request().unwrap() else { return false };
        assert_eq!(head.authority(), "a");
        let start = vec![head.method().as_str().to_owned(), head.target().to_owned()];
        self.received.push(Message { start, fields: fields(head.headers(), "x"), ..Message::default() });
        (self.reads, self.answers) = (true, true);
        true
    }
}

/// Gives the machine the next part, or says that there is none.
fn send<R>(connection: &mut Connection<R>, parts: &mut Vec<Part>) {
    match parts.pop() {
        Some(part) => connection.send_part(part).unwrap(),
        None => connection.finish_body().unwrap(),
    }
}

/// The application's fields, which begin with this letter.
fn fields(headers: &Headers, letter: &str) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("it was sent as text");
    let own = headers.iter().filter(|(name, _)| name.starts_with(letter));
    own.map(|(name, value)| (name.to_owned(), text(value))).collect()
}
