//! A busy connection: passes requests to the app, and sends the responses. When the connection ends, writes the bytes that
//! are still pending.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use degu_wire::machine::RequestHead;
use degu_wire::{BoxError, Fault};
use tokio::task::yield_now;

use super::close::CloseReason;
use super::deadline::Wait;
use super::driver::{Driver, Next};
use super::endpoint::{Endpoint, Moved};
use crate::alarm::Spare;
use crate::report::Report;
use crate::request::Path;
use crate::stats::add;
use crate::stream::Transport;
use crate::tunnel::Switch;
use crate::worker_state::WorkerState;
use crate::{App, Error, Request, Response, Session};

/// A busy connection. It has a state machine of `degu_wire`, which an idle connection does not need.
pub(super) struct Active<'c, T: Transport, A> {
    pub(super) driver: Driver<'c, T>,
    session: &'c mut Session,
    app: &'c A,
    worker: Rc<WorkerState>,
}

impl<'c, T: Transport, A: App> Active<'c, T, A> {
    pub(super) fn new(endpoint: &'c mut Endpoint<T>, session: &'c mut Session, app: &'c A) -> Self {
        let worker = endpoint.place.worker.clone();
        Self { driver: Driver::new(endpoint), session, app, worker }
    }

    /// Serves requests until the connection is idle, and then returns `None`. `is_new` is true for the first call on a
    /// connection, which also calls `on_connect`. If a response switches to another protocol, returns the handler of that
    /// protocol.
    pub(super) async fn serve(&mut self, is_new: bool) -> Result<Option<Box<Switch>>, CloseReason> {
        if is_new {
            if !self.is_accepted().await? {
                return Err(CloseReason::Unwanted);
            }
            // The connection must not become idle if bytes or the end of the input arrived during `on_connect`, because the
            // socket does not report them again.
            if self.driver.machine.buffered().is_empty() && !self.driver.endpoint.is_eof {
                return Ok(None);
            }
        }
        let worker = self.worker.clone();
        let _busy = worker.make_busy();
        // The connection was woken by input, so it need not spin for the first request.
        let mut has_answered = false;
        loop {
            match &self.driver.machine.poll_request() {
                Ok(Poll::Ready(Some(head))) => {
                    if let Some(switch) = self.exchange(head).await? {
                        return Ok(Some(switch));
                    }
                    has_answered = true;
                    if self.driver.spinner.message() {
                        // A peer may send hundreds of requests at once. After some of them, the task writes the responses and
                        // lets the other tasks run.
                        self.driver.flush().await?;
                        yield_now().await;
                        self.driver.endpoint.check_alarm()?;
                    }
                }
                Ok(Poll::Ready(None)) => return Err(self.end()),
                Err(fault) => return Err(CloseReason::Peer(*fault)),
                Ok(Poll::Pending) => {
                    let spins = has_answered && self.driver.begin_spin();
                    let has_read = spins && self.driver.spin().await?;
                    if !has_read && !self.driver.more().await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Calls `on_connect` of the app, and then of the options. Returns whether both accept the connection.
    async fn is_accepted(&mut self) -> Result<bool, CloseReason> {
        let Self { driver, session, app, worker, .. } = self;
        let asked = async {
            app.on_connect(session).await
                && match &worker.options.on_connect {
                    Some(on_connect) => on_connect(session).await,
                    None => true,
                }
        };
        driver.run(pin!(Some(asked)), |_, is_accepted| Ok(is_accepted)).await
    }

    /// Returns the reason for the end of a connection whose machine accepts no more requests.
    fn end(&self) -> CloseReason {
        match self.driver.machine.is_persistent() {
            _ if self.worker.is_stopping() => CloseReason::Shutdown,
            true => CloseReason::Client,
            false => CloseReason::LastResponse,
        }
    }

    /// Passes one request to the app, and sends its response. If the response switches to another protocol, returns the handler
    /// of that protocol.
    async fn exchange(&mut self, head: &RequestHead) -> Result<Option<Box<Switch>>, CloseReason> {
        self.begin(head)?;
        let Self { driver, session, app, .. } = self;
        let body = driver.incoming(head);
        let path = Path::of(head);
        let answer = |driver: &mut Driver<'_, T>, response| driver.answer(head, response, false);
        let next = driver.run(pin!(Some(app.handle(session, Request::new(&path, body)))), answer).await?;
        match next {
            Next::Request => {}
            Next::Send(source) => self.driver.send(source).await?,
            Next::Special(response) => {
                if let Some(switch) = Box::pin(self.special(head, response)).await? {
                    return Ok(Some(switch));
                }
            }
        }
        let driver = &mut self.driver;
        driver.body = None;
        if driver.endpoint.observes_end() {
            driver.end_exchange().await?;
        }
        if driver.machine.is_receiving() && driver.machine.is_persistent() {
            driver.endpoint.deadline.restart();
            if !driver.drain().await? {
                return Err(CloseReason::LastResponse);
            }
        }
        // Responses to pipelined requests are collected up to a limit, and then written at once.
        if !driver.machine.has_room() {
            driver.flush().await?;
        }
        Ok(None)
    }

    /// Sends a response that was made from an error, or that switches to another protocol. Returns the handler of that protocol.
    /// If the error must end the connection, sends the response first, and then returns the reason.
    async fn special(
        &mut self,
        head: &RequestHead,
        mut response: Box<Response>,
    ) -> Result<Option<Box<Switch>>, CloseReason> {
        if let Some(switch) = response.switch.take().filter(|_| response.status == 101) {
            self.driver.switch(head, &switch.protocol, &response.headers).await?;
            return Ok(Some(switch));
        }
        let end = match response.take_error() {
            Some(error) => end_after(error, &mut response, self.session, &self.worker)?,
            None => None,
        };
        if let Next::Send(source) = self.driver.answer(head, *response, end.is_some())? {
            self.driver.send(source).await?;
        }
        if let Some(end) = end {
            if self.driver.endpoint.observes_end() {
                self.driver.end_exchange().await?;
            }
            return Err(end);
        }
        Ok(None)
    }

    /// Begins an exchange: counts the request, and begins the report and the deadline of the handler.
    fn begin(&mut self, head: &RequestHead) -> Moved {
        let Self { driver: Driver { endpoint, machine, .. }, session, worker, .. } = self;
        if let Some(on_response) = &worker.options.on_response {
            let report = Report::begin(on_response, head.method().as_str(), head.target(), session.peer.clone());
            endpoint.report = Some(Box::new(report));
        }
        if !worker.options.allows(head.method()) {
            return Err(CloseReason::Peer(Fault::MethodNotImplemented.into()));
        }
        session.requests += 1;
        endpoint.place.spare = Spare::Idle;
        if session.requests >= worker.options.max_requests {
            machine.stop();
        }
        add(&worker.counters().requests, 1);
        endpoint.place.alarm.set_busy();
        endpoint.deadline.restart();
        endpoint.deadline.handler = Some(worker.seconds());
        Ok(())
    }

    /// Counts and logs the reason for the end of the connection, and writes the last bytes. Returns whether the connection must
    /// [linger](Endpoint::linger), because the peer may not have read all bytes yet.
    pub(super) async fn finish(&mut self, reason: CloseReason) -> bool {
        reason.count(self.worker.counters());
        reason.log(&self.worker.server, self.session.address(), self.session.requests);
        let mut report = self.last_report(&reason);
        let is_silent = !self.worker.options.answers_faults() && !reason.is_ours();
        let peer_reads =
            !matches!(reason, CloseReason::Gone(_) | CloseReason::Deadline(Wait::Write | Wait::HalfClosed));
        // If `is_unframed` is true, the data is incomplete. A reset shows this to the peer, and no more bytes are written.
        let writes = peer_reads && !self.driver.endpoint.is_unframed;
        let is_refused = writes && self.refuse(&reason, is_silent, report.as_deref_mut());
        let Self { driver, session, .. } = self;
        driver.body = None;
        driver.endpoint.deadline.restart();
        driver.endpoint.work();
        let written = if writes { driver.flush().await } else { Ok(()) };
        if let Some(report) = report {
            let unsent = driver.machine.pending().bytes();
            match &written {
                Ok(()) if is_refused || matches!(reason, CloseReason::Tunnel) => report.end(),
                Ok(()) => report.cut(&reason, unsent),
                Err(reason) => report.cut(reason, unsent),
            }
        }
        // A client that gets no answer to its first request has nothing to read.
        let is_unanswered = is_silent && reason.status().is_some() && session.requests == 0;
        writes && written.is_ok() && !is_unanswered
    }

    /// Stops the machine. If the reason has a status and no response has begun, gives an error response to the machine, unless
    /// `is_silent` is true. Returns whether there is an error response.
    fn refuse(&mut self, reason: &CloseReason, is_silent: bool, report: Option<&mut Report>) -> bool {
        let machine = &mut self.driver.machine;
        let Some(status) = reason.status().filter(|_| !is_silent) else {
            machine.cut();
            return false;
        };
        let (media_type, body) = self.worker.options.body_of_error(status, reason.text(status));
        let date = self.worker.date();
        let Some(length) = machine.refuse(status, media_type, &body, date.as_deref()) else { return false };
        if let Some(report) = report {
            report.respond(status);
            report.add(length as u64);
        }
        true
    }

    /// Returns the report of the exchange in progress. If no exchange is in progress, but the reason has a status,
    /// returns a new report, of the request that the server refuses. Otherwise, and without `on_response`, returns
    /// `None`.
    fn last_report(&mut self, reason: &CloseReason) -> Option<Box<Report>> {
        let on_response = self.worker.options.on_response.as_ref();
        let is_refusal = reason.status().is_some() && !self.driver.machine.has_responded();
        self.driver.endpoint.report.take().or_else(|| {
            let on_response = on_response.filter(|_| is_refusal)?;
            Some(Box::new(Report::without_head(on_response, self.session.peer.clone())))
        })
    }
}

/// Returns the reason for which the connection ends after a response that was made from this error. If the connection
/// is kept, logs the error and returns `None`. Fails if the options forbid a response to a fault of the peer.
fn end_after(
    error: BoxError,
    response: &mut Response,
    session: &Session,
    worker: &WorkerState,
) -> Result<Option<CloseReason>, CloseReason> {
    response.set_error_body(&error, &worker.options);
    let Some(known) = Error::within(&error) else { return Ok(Some(CloseReason::App(error))) };
    if let Some(fault) = known.fault() {
        let end = CloseReason::Peer(fault);
        return if worker.options.answers_faults() { Ok(Some(end)) } else { Err(end) };
    }
    let (peer, status, error) = (session.address(), response.status, &*error as &(dyn std::error::Error + 'static));
    let suppressed_lines = match status {
        // Clients can overload an app on purpose. The app's responses with 503 must not fill the log.
        503 => worker.server.may_log(),
        500.. => Some(None),
        _ => None,
    };
    match suppressed_lines {
        Some(suppressed_lines) => {
            tracing::error!(%peer, status, error, suppressed_lines, "the server sent an error response")
        }
        None => tracing::debug!(%peer, status, error, "the server sent an error response"),
    }
    Ok(None)
}
