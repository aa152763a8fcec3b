//! A connection while it works: requests go to the app, responses come back, and at the end it has its last word.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use degu_wire::machine::{Awaits, Connection as Machine, Content, RequestHead, Server};
use degu_wire::{Fault, Method, Source, Spinner};
use tokio::task::yield_now;

use super::close::CloseReason;
use super::deadline::Wait;
use super::endpoint::{Endpoint, Moved};
use super::wire::{DRAIN, Wire};
use crate::body_channel::Supplier;
use crate::exchange::Report;
use crate::request::{Segments, split_path};
use crate::response::{Blame, Cause};
use crate::stream::Transport;
use crate::tunnel::Switch;
use crate::worker_state::WorkerState;
use crate::{App, Request, Response, Session};

/// A response's body that comes from a source.
struct Streamed {
    source: Pin<Box<dyn Source>>,
    is_chunked: bool,
}

/// The next step of a connection that has worked.
pub(super) enum Next {
    /// Requests pause.
    Rest,
    /// A request was answered with another protocol, of which these bytes have come.
    Tunnel(Box<Switch>, Bytes),
    /// The connection ends; it `lingers` where the peer may still have something to read.
    End { lingers: bool },
}

/// The end of a connection's last response.
enum Last {
    Whole,
    Cut,
    /// Nothing is to be written that the peer could lose.
    Nothing,
}

/// A connection that works, with the machine that it needs for it.
pub(super) struct Active<'c, T: Transport, A> {
    wire: Wire<'c, T>,
    session: &'c mut Session,
    app: &'c A,
    worker: Rc<WorkerState>,
}

impl<'c, T: Transport, A: App> Active<'c, T, A> {
    pub(super) fn new(endpoint: &'c mut Endpoint<T>, session: &'c mut Session, app: &'c A) -> Self {
        let worker = endpoint.place.worker.clone();
        Self { wire: Wire::new(endpoint), session, app, worker }
    }

    /// Serves requests as long as they keep coming. Where the connection ends, be it for the reason with which this
    /// `begins`, writes what the peer is still owed.
    pub(super) async fn run(mut self, begins: Moved, is_new: bool) -> Next {
        let served = match begins {
            Ok(()) => self.serve(is_new).await,
            Err(reason) => Err(reason),
        };
        let reason = match served {
            Ok(None) => return Next::Rest,
            Ok(Some(switch)) => return Next::Tunnel(switch, self.wire.machine.take_buffered()),
            Err(reason) => reason,
        };
        reason.count(self.worker.counters());
        reason.log(&self.worker.server, self.session.address(), self.session.requests);
        Next::End { lingers: self.finish(&reason).await }
    }

    /// Serves requests. Returns what follows a response that switched to another protocol, or `None` where requests pause.
    async fn serve(&mut self, is_new: bool) -> Result<Option<Box<Switch>>, CloseReason> {
        if is_new {
            if !self.is_wanted().await? {
                return Err(CloseReason::Unwanted);
            }
            // What came meanwhile was read ahead, and the socket will not announce it again.
            if self.wire.machine.buffered().is_empty() && !self.wire.endpoint.is_eof {
                return Ok(None);
            }
        }
        let worker = self.worker.clone();
        let _busy = worker.make_busy();
        let mut spinner = Spinner::new(worker.options.spin);
        // The input that woke the connection has arrived already.
        let mut spins = false;
        loop {
            match self.wire.machine.poll_request() {
                Ok(Poll::Ready(Some(head))) => {
                    if let Some(switch) = self.exchange(&head).await? {
                        return Ok(Some(switch));
                    }
                    spins = true;
                    if spinner.message() {
                        // A peer that sends hundreds of requests at once is not alone.
                        self.wire.flush().await?;
                        yield_now().await;
                        self.wire.endpoint.check()?;
                    }
                }
                Ok(Poll::Ready(None)) => return Err(self.end()),
                Err(fault) => return Err(CloseReason::Peer(fault)),
                Ok(Poll::Pending) => {
                    let found = spins && self.wire.spin(&worker, &mut spinner).await?;
                    if !found
                        && !self.wire.more(&worker, &mut spinner).await?
                        && self.wire.machine.awaits() == Awaits::Request
                    {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Asks the app, and then the `on_connect` of the options, whether the peer is accepted.
    async fn is_wanted(&mut self) -> Result<bool, CloseReason> {
        let Self { wire, session, app, worker } = self;
        if !wire.drive(None, pin!(async { app.on_connect(session).await })).await? {
            return Ok(false);
        }
        match &worker.options.on_connect {
            Some(on_connect) => wire.drive(None, pin!(async { on_connect(session).await })).await,
            None => Ok(true),
        }
    }

    /// Returns why there will be no more requests.
    fn end(&self) -> CloseReason {
        match self.wire.machine.is_persistent() {
            _ if self.worker.is_stopping() => CloseReason::Shutdown,
            true => CloseReason::Client,
            false => CloseReason::LastResponse,
        }
    }

    /// Passes one request to the app, and sends its response. Returns what is to follow a response that switches to another
    /// protocol.
    async fn exchange(&mut self, head: &RequestHead) -> Result<Option<Box<Switch>>, CloseReason> {
        let Self { wire, session, app, worker } = self;
        let reports = worker.options.on_response.is_some();
        if let Some(on_response) = &worker.options.on_response {
            let peer = session.reported_peer();
            session.set_report(Some(Report::begin(on_response, head.method().as_str(), head.target(), peer)));
        }
        if !worker.options.allows(head.method()) {
            return Err(CloseReason::Peer(Fault::MethodNotImplemented.into()));
        }
        session.requests += 1;
        wire.endpoint.place.begin_request();
        if session.requests >= worker.options.max_requests {
            wire.machine.stop();
        }
        let (received, sent) = wire.endpoint.take_counts();
        worker.counters().add_request(received, sent);
        wire.endpoint.deadline.restart();
        wire.endpoint.deadline.begin_handler(worker.seconds());

        let (body, supplier) = wire.incoming(head);
        let mut response = {
            let mut path = Segments::new();
            split_path(head.path(), &mut path);
            let request = Request::new(head, &path, body);
            wire.drive(supplier.as_ref(), pin!(async { app.handle(session, request).await })).await?
        };
        if let Some(switch) = response.switch.take().filter(|_| response.status == 101) {
            drop(supplier);
            Box::pin(wire.switch(head, &switch.protocol, &response.headers)).await?;
            if let Some(report) = session.report() {
                report.respond(101);
            }
            return Ok(Some(switch));
        }
        let end = end_after(&mut response, session);
        match end.as_deref() {
            Some(CloseReason::Peer(fault)) if !worker.options.answers_faults() => {
                return Err(CloseReason::Peer(*fault));
            }
            Some(_) => wire.machine.stop(),
            None => {}
        }
        // Of a request that ends its connection no more is read.
        let reads = end.is_none();
        let is_head = head.method() == Method::Head;
        let (status, length) = (response.status, response.body.length().filter(|_| !is_head));
        let streamed = answer(&mut wire.machine, is_head, supplier.as_ref().filter(|_| reads), worker, response)?;
        wire.endpoint.deadline.end_handler();
        if let Some(report) = if reports { session.report() } else { None } {
            report.respond(status);
            report.add(length.filter(|_| streamed.is_none()).unwrap_or(0));
        }
        if let Some(Streamed { source, is_chunked }) = streamed {
            wire.endpoint.is_unframed = is_chunked && head.is_http10();
            wire.send(supplier.as_ref(), source, session.report()).await?;
            if wire.endpoint.is_unframed {
                wire.flush().await?;
                wire.endpoint.is_unframed = false;
            }
        }
        drop(supplier);
        if reports {
            wire.flush().await?;
            session.take_report().into_iter().for_each(Report::end);
        }
        if let Some(end) = end {
            return Err(*end);
        }
        wire.endpoint.deadline.restart();
        if wire.machine.is_receiving() && wire.machine.is_persistent() && !wire.drain(DRAIN).await? {
            return Err(CloseReason::LastResponse);
        }
        // Responses to pipelined requests are collected and written together, up to a bound.
        if !wire.machine.has_room() {
            wire.flush().await?;
        }
        Ok(None)
    }

    /// Writes the error that the peer is owed, if it is, and what is pending of earlier responses. Returns whether the peer may
    /// still have something to read.
    async fn finish(&mut self, reason: &CloseReason) -> bool {
        let mut report = self.last_report(reason);
        let ended = self.send_last(reason, report.as_mut()).await;
        if let Some(report) = report {
            let unsent = self.wire.machine.pending().bytes();
            match &ended {
                Ok(Last::Whole) => report.end(),
                Ok(_) => report.cut(reason, unsent),
                Err(reason) => report.cut(reason, unsent),
            }
        }
        // Where nothing was ever answered nothing can be lost.
        matches!(ended, Ok(Last::Whole | Last::Cut))
    }

    /// Returns the report of the exchange that has not ended, or of a request that is refused without a head.
    fn last_report(&mut self, reason: &CloseReason) -> Option<Report> {
        let on_response = self.worker.options.on_response.as_ref();
        let is_refusal = reason.status().is_some() && !self.wire.machine.has_responded();
        self.session.take_report().or_else(|| {
            let on_response = on_response.filter(|_| is_refusal)?;
            Some(Report::without_head(on_response, self.session.reported_peer()))
        })
    }

    /// Writes the error that the peer is owed, if it is, and what is pending of earlier responses.
    async fn send_last(&mut self, reason: &CloseReason, report: Option<&mut Report>) -> Result<Last, CloseReason> {
        let Self { wire, worker, .. } = self;
        if wire.endpoint.is_unframed {
            return Ok(Last::Nothing);
        }
        let is_silent = !worker.options.answers_faults() && !reason.is_ours();
        let mut last = Last::Cut;
        match (reason, reason.status()) {
            (CloseReason::Gone(_) | CloseReason::Deadline(Wait::Write | Wait::HalfClosed), _) => {
                return Ok(Last::Nothing);
            }
            // Nothing is written into a response that has begun.
            (_, Some(status)) if !is_silent => {
                if let Some(length) = wire.machine.refuse(status, "text/plain", &reason.text(status)) {
                    last = Last::Whole;
                    if let Some(report) = report {
                        report.respond(status);
                        report.add(length as u64);
                    }
                }
            }
            _ => wire.machine.cut(),
        }
        if matches!(reason, CloseReason::Tunnel) {
            last = Last::Whole;
        }
        wire.endpoint.deadline.end_handler();
        wire.endpoint.deadline.restart();
        wire.endpoint.work();
        wire.flush().await?;
        wire.endpoint.count_bytes();
        let is_unanswered = is_silent && reason.status().is_some() && self.session.requests == 0;
        Ok(if is_unanswered { Last::Nothing } else { last })
    }
}
/// Returns the reason for which the connection ends after a response, if the response was made from an error that ends it.
/// An error that the app answered itself is logged.
fn end_after(response: &mut Response, session: &Session) -> Option<Box<CloseReason>> {
    let Cause { error, blame } = *response.take_error()?;
    let error: &(dyn std::error::Error + 'static) = match blame {
        Blame::App => return Some(Box::new(CloseReason::App(error))),
        Blame::Peer(fault) => return Some(Box::new(CloseReason::Peer(fault))),
        Blame::Nobody => &*error,
    };
    let (peer, status) = (session.address(), response.status);
    if status < 500 {
        tracing::debug!(%peer, status, error, "answered with an error");
    } else {
        tracing::error!(%peer, status, error, "answered with an error");
    }
    None
}

/// Writes the app's response into the machine: all of it but a body that comes from a source, which it returns.
fn answer(
    machine: &mut Machine<Server>,
    is_head: bool,
    request_body: Option<&Supplier>,
    worker: &WorkerState,
    response: Response,
) -> Result<Option<Streamed>, CloseReason> {
    let Response { status, reason, headers, body, .. } = response;
    let (content, source) = body.split();
    // A source that is not sent is dropped before it is decided what becomes of the request's body, which it may be.
    let source = source.filter(|_| !is_head && !matches!(content, Content::Length(0)));
    let is_chunked = matches!(content, Content::Chunked);
    // Asked as late as possible: a shutdown may have begun while the app worked.
    if worker.is_stopping() {
        machine.stop();
    }
    match request_body {
        // Nothing after it can be understood, whatever the app made of it.
        Some(body) if body.fault().is_some() => machine.abandon_request_body(0),
        // The body is still to be read.
        Some(body) if !body.is_abandoned() => machine.request_body(),
        _ => machine.abandon_request_body(DRAIN as u64),
    }
    let date = worker.date();
    machine.respond(status, reason, &headers, content, date.as_deref()).map_err(CloseReason::Response)?;
    Ok(source.map(|source| Streamed { source, is_chunked }))
}
