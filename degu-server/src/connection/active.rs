//! A connection while it works: it passes requests to the app, sends the responses, and at the end writes the last bytes.

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
use crate::report::Report;
use crate::request::Path;
use crate::response::{Blame, Cause};
use crate::stream::Transport;
use crate::tunnel::Switch;
use crate::worker_state::WorkerState;
use crate::{App, Options, Request, Response, Session};

/// A response's body that comes from a source.
struct Streamed {
    source: Pin<Box<dyn Source>>,
    is_chunked: bool,
}

/// The next step of a connection that has worked.
pub(super) enum Next {
    /// No request has come for a while.
    Rest,
    /// The connection switches to another protocol. These bytes of it were received already.
    Tunnel(Box<Switch>, Bytes),
    /// The connection ends. It `lingers` if the peer may still have bytes to read.
    End { lingers: bool },
}

/// The end of a connection's last response.
enum Last {
    Whole,
    Cut,
    /// No byte was written that the peer could lose.
    Nothing,
}

/// A connection that works, with the machine that it needs for that.
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

    /// Serves requests as long as they keep coming. If the connection ends, writes the last bytes. `begins` may already have the
    /// reason for the end.
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

    /// Serves requests. Returns the handler of the new protocol if a response switched to one, or `None` if no request has come for
    /// a while.
    async fn serve(&mut self, is_new: bool) -> Result<Option<Box<Switch>>, CloseReason> {
        if is_new {
            if !self.is_wanted().await? {
                return Err(CloseReason::Unwanted);
            }
            // Bytes that came meanwhile were read ahead, so the socket will not report them again.
            if self.wire.machine.buffered().is_empty() && !self.wire.endpoint.is_eof {
                return Ok(None);
            }
        }
        let worker = self.worker.clone();
        let _busy = worker.make_busy();
        let mut spinner = Spinner::new(worker.options.spin);
        // There is input already, because it woke the connection.
        let mut spins = false;
        loop {
            match self.wire.machine.poll_request() {
                Ok(Poll::Ready(Some(head))) => {
                    if let Some(switch) = self.exchange(&head).await? {
                        return Ok(Some(switch));
                    }
                    spins = true;
                    if spinner.message() {
                        // A peer that sends hundreds of requests at once must not block other connections.
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

    /// Calls the app's `on_connect`, and then that of the options. Returns whether both accept the connection.
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

    /// Returns the reason for which there will be no more requests.
    fn end(&self) -> CloseReason {
        match self.wire.machine.is_persistent() {
            _ if self.worker.is_stopping() => CloseReason::Shutdown,
            true => CloseReason::Client,
            false => CloseReason::LastResponse,
        }
    }

    /// Passes one request to the app, and sends its response. If the response switches to another protocol, returns the handler of
    /// that protocol.
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
            let path = Path::of(head);
            let request = Request::new(&path, body);
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
        let end = end_after(&mut response, session, &worker.options);
        match end.as_deref() {
            Some(CloseReason::Peer(fault)) if !worker.options.answers_faults() => {
                return Err(CloseReason::Peer(*fault));
            }
            Some(_) => wire.machine.stop(),
            None => {}
        }
        // If the connection ends with this request, no more of the request is read.
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
        // Responses to pipelined requests are collected and written together, up to a limit.
        if !wire.machine.has_room() {
            wire.flush().await?;
        }
        Ok(None)
    }

    /// Writes the pending bytes of earlier responses, and a response to the reason if there must be one. Returns whether the peer
    /// may still have bytes to read.
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
        // Without a response the peer can lose no byte.
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

    /// Writes the pending bytes of earlier responses, and a response to the reason if there must be one.
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
            // No error is written into a response that has begun.
            (_, Some(status)) if !is_silent => {
                let (media_type, body) = worker.options.body_of_error(status, reason.text(status));
                if let Some(length) = wire.machine.refuse(status, media_type, &body) {
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
/// Returns the reason for which the connection ends after a response, if the response was made from an error that ends the
/// connection. Logs an error that the app answered itself.
fn end_after(response: &mut Response, session: &Session, options: &Options) -> Option<Box<CloseReason>> {
    let cause = response.take_error()?;
    response.set_error_body(&cause, options);
    let Cause { error, blame } = *cause;
    let error: &(dyn std::error::Error + 'static) = match blame {
        Blame::App => return Some(Box::new(CloseReason::App(error))),
        Blame::Peer(fault) => return Some(Box::new(CloseReason::Peer(fault))),
        Blame::Nobody => &*error,
    };
    let (peer, status) = (session.address(), response.status);
    if status < 500 {
        tracing::debug!(%peer, status, error, "the server sent an error response");
    } else {
        tracing::error!(%peer, status, error, "the server sent an error response");
    }
    None
}

/// Writes the app's response into the machine, except a body that comes from a source, which it returns.
fn answer(
    machine: &mut Machine<Server>,
    is_head: bool,
    request_body: Option<&Supplier>,
    worker: &WorkerState,
    response: Response,
) -> Result<Option<Streamed>, CloseReason> {
    let Response { status, reason, headers, body, .. } = response;
    let (content, source) = body.split();
    // A source that is not sent is dropped here, before the decision about the request's body. The source may contain that body.
    let source = source.filter(|_| !is_head && !matches!(content, Content::Length(0)));
    let is_chunked = matches!(content, Content::Chunked);
    // This is checked as late as possible, because a shutdown may have begun while the app worked.
    if worker.is_stopping() {
        machine.stop();
    }
    match request_body {
        // The bytes after a fault cannot be understood, even if the app has handled the fault.
        Some(body) if body.fault().is_some() => machine.abandon_request_body(0),
        // The body still has a reader.
        Some(body) if !body.is_abandoned() => machine.send_continue(),
        _ => machine.abandon_request_body(DRAIN as u64),
    }
    let date = worker.date();
    machine.respond(status, reason, &headers, content, date.as_deref()).map_err(CloseReason::Response)?;
    Ok(source.map(|source| Streamed { source, is_chunked }))
}
