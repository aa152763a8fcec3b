//! A connection from its first octet to its last: the driver around the machine of `degu_wire`.
//!
//! What HTTP demands is decided in the machine. Here is only what moves: octets between it and the socket
//! ([`pump`](Pump)), requests to the app, responses back, and what is done when something ends before its time.
//!
//! ```text
//!   idle ── readable ──▶ busy: read ─▶ request ─▶ app ─▶ response ─▶ (write when nothing more is here) ─┐
//!    ▲                     ▲                                                                            │
//!    │                     └────────────────────────────────────────────────────────────────────────────┤
//!    └──────────────── no request for a second: buffers and futures are given up ───────────────────────┘
//! ```
//!
//! Everything that an exchange needs on the way, the app's future included, is in one box, which is made when octets come
//! and kept as long as they keep coming: a busy connection allocates nothing for it, and an idle one holds nothing.

mod close;
mod deadline;
mod link;
mod pump;
mod socket;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use degu_wire::machine::{Content, RequestHead};
use degu_wire::{BodyKind, Fault};

pub(crate) use close::CloseReason;
pub(crate) use link::Link;
pub(crate) use socket::Socket;

use crate::request::components;
use crate::worker::Worker;
use crate::{App, Incoming, Request, Response, Session};
use deadline::Wait;
use pump::Pump;

/// How much of a request's body that nobody wants is read, to keep the connection.
const DRAIN: usize = 64 * 1024;

/// Serves a connection until it ends.
pub(crate) async fn serve<A: App>(
    socket: Socket,
    link: Rc<Link>,
    mut session: Session,
    worker: Rc<Worker>,
    app: Arc<A>,
) -> CloseReason {
    poll_fn(|cx| {
        link.set_task(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut driver = Driver { pump: Pump::new(socket, link), session: &mut session, worker: &worker, app: &*app };
    let reason = match driver.run().await {
        Ok(reason) | Err(reason) => reason,
    };
    if let Err(worse) = driver.finish(&reason).await
        && matches!(reason, CloseReason::Client | CloseReason::LastResponse)
    {
        return worse;
    }
    reason
}

struct Driver<'c, A> {
    pump: Pump,
    session: &'c mut Session,
    worker: &'c Worker,
    app: &'c A,
}

impl<A: App> Driver<'_, A> {
    async fn run(&mut self) -> Result<CloseReason, CloseReason> {
        if !self.is_wanted().await? {
            return Ok(CloseReason::Unwanted);
        }
        loop {
            self.pump.readable().await?;
            if let Some(reason) = Box::pin(self.busy()).await? {
                return Ok(reason);
            }
            self.pump.rest()?;
        }
    }

    async fn is_wanted(&mut self) -> Result<bool, CloseReason> {
        let Self { pump, session, worker, app } = self;
        if !pump.drive(pin!(app.on_connect(session))).await? {
            return Ok(false);
        }
        match &worker.options().on_connect {
            Some(on_connect) => pump.drive(on_connect(session).as_mut()).await,
            None => Ok(true),
        }
    }

    /// Serves requests as long as they keep coming; `None` when they pause.
    async fn busy(&mut self) -> Result<Option<CloseReason>, CloseReason> {
        loop {
            let polled = self.pump.link.machine().poll_request();
            match polled.map_err(CloseReason::Peer)? {
                Poll::Ready(Some(head)) => self.exchange(&head).await?,
                Poll::Ready(None) => return Ok(Some(self.end())),
                Poll::Pending => {
                    if !self.pump.more().await? && !self.pump.link.stopping.get() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Why there will be no more requests.
    fn end(&self) -> CloseReason {
        let link = &self.pump.link;
        match link.machine().is_persistent() {
            _ if link.stopping.get() => CloseReason::Shutdown,
            true => CloseReason::Client,
            false => CloseReason::LastResponse,
        }
    }

    /// One request and its response.
    async fn exchange(&mut self, head: &RequestHead) -> Result<(), CloseReason> {
        let Self { pump, session, worker, app } = self;
        if !worker.options().allows(head.method()) {
            return Err(CloseReason::Peer(Fault::MethodNotImplemented.into()));
        }
        if worker.is_stopping() {
            pump.link.stop();
        }
        session.requests += 1;
        worker.count_request();
        pump.link.watch.restart();

        let exchange = pump.link.begin_exchange();
        let path = components(head.path());
        let body = Incoming::new(pump.link.clone(), exchange, head.framing());
        let handler = app.handle(session, Request::new(head, &path, body));
        let response = pump.drive(pin!(handler)).await?;
        self.respond(response).await?;

        let Self { pump, .. } = self;
        pump.link.end_exchange();
        pump.link.watch.restart();
        let (receiving, persistent, room) = {
            let machine = pump.link.machine();
            (machine.is_receiving(), machine.is_persistent(), machine.has_room())
        };
        if receiving && persistent && !pump.drain(DRAIN).await? {
            return Err(CloseReason::LastResponse);
        }
        // Responses to pipelined requests are collected and written together, up to a bound.
        if !room { pump.flush().await } else { Ok(()) }
    }

    /// Sends what the app answered.
    async fn respond(&mut self, mut response: Response) -> Result<(), CloseReason> {
        let link = &self.pump.link;
        if let Some(error) = response.take_failure() {
            // An app that could not read its request passes on whose fault that is.
            return Err(link.fault().map_or_else(|| CloseReason::App(error), CloseReason::Peer));
        }
        let mut source = None;
        let content = match response.body.into_kind() {
            BodyKind::Bytes(bytes) => Content::Bytes(bytes),
            BodyKind::Length(length, octets) => {
                source = Some(octets);
                Content::Length(length)
            }
            BodyKind::Chunked(chunks) => {
                source = Some(chunks);
                Content::Chunked
            }
            _ => Content::None,
        };
        {
            let mut machine = link.machine();
            match link.fault() {
                // Nothing after it can be understood, whatever the app made of it.
                Some(_) => machine.abandon_request_body(0),
                None if !link.is_body_held() => machine.abandon_request_body(DRAIN as u64),
                // Somebody still means to read it.
                None => machine.request_body(),
            }
            let date = self.worker.date();
            machine
                .respond(response.status, response.reason.as_str(), &response.headers, content, date.as_deref())
                .map_err(CloseReason::Response)?;
            if !machine.is_sending() {
                return Ok(());
            }
        }
        match source {
            Some(source) => self.pump.send(source).await,
            None => Ok(()),
        }
    }

    /// The last word: an error if the peer is owed one, what is pending of earlier responses, and the end.
    async fn finish(&mut self, reason: &CloseReason) -> Result<(), CloseReason> {
        let pump = &mut self.pump;
        pump.link.end_exchange();
        match reason {
            CloseReason::Gone(_) | CloseReason::Deadline(Wait::Write) => return Ok(()),
            CloseReason::Client | CloseReason::LastResponse | CloseReason::Shutdown | CloseReason::Unwanted => {}
            reason => match reason.status() {
                Some(status) if self.worker.options().answers_faults() || reason.is_ours() => {
                    // Nothing is written into a response that has begun.
                    pump.link.machine().refuse(status);
                }
                _ => pump.link.machine().cut(),
            },
        }
        pump.linger().await
    }
}
