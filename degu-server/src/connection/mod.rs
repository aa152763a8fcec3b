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
//! and kept as long as they keep coming: a busy connection allocates nothing for it, and an idle one holds nothing. Where
//! very many are busy at once, all but some give up what they hold as soon as they wait.

mod close;
mod deadline;
mod link;
mod pump;
mod socket;
#[cfg(feature = "tls")]
mod tls;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use degu_wire::machine::{Content, RequestHead};
use degu_wire::{Fault, Source, Spinner};
use tokio::task::yield_now;

pub(crate) use close::CloseReason;
pub(crate) use deadline::Wait;
#[cfg(feature = "hyper")]
pub(crate) use deadline::Watch;
pub(crate) use link::Link;
pub(crate) use socket::Socket;
#[cfg(all(feature = "hyper", feature = "tls"))]
pub(crate) use tls::handshake;

use crate::origin::Origin;
use crate::request::{Components, split_path};
use crate::worker::Worker;
use crate::{App, Incoming, Request, Response, Session};
use pump::{Counted, Pump};

/// How much of a request's body that nobody wants is read, to keep the connection.
const DRAIN: usize = 64 * 1024;

/// What of a response's body comes from a source.
struct Rest {
    source: Pin<Box<dyn Source>>,
    is_chunked: bool,
}

/// Serves one connection.
#[derive(Debug)]
pub(crate) struct Driver<A> {
    pump: Pump,
    session: Session,
    app: Arc<A>,
}

impl<A> Drop for Driver<A> {
    /// However the task ends.
    fn drop(&mut self) {
        self.pump.link.end_exchange();
        self.count_octets();
        if self.pump.unframed {
            // Aborted in the midst of a body that only the end of the connection ends.
            self.pump.socket.reset_on_close();
        }
    }
}

impl<A> Driver<A> {
    fn worker(&self) -> &Rc<Worker> {
        &self.pump.link.worker
    }

    /// Adds what has come and gone to what the server counts.
    fn count_octets(&mut self) {
        let (received, sent) = self.pump.take_octets();
        self.worker().counters().add_octets(received, sent);
    }
}

impl<A: App> Driver<A> {
    pub(crate) fn new(socket: Socket, link: Rc<Link>, session: Session, worker: Rc<Worker>, app: Arc<A>) -> Self {
        Self { pump: Pump::new(socket, Counted { worker, link }), session, app }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(&mut self) {
        poll_fn(|cx| {
            self.pump.link.set_task(cx.waker());
            Poll::Ready(())
        })
        .await;
        let reason = match self.run().await {
            Ok(reason) | Err(reason) => reason,
        };
        self.tell(&reason);
        // In a box for its time, as below. How it goes is of no interest any more.
        let _ = Box::pin(self.finish(&reason)).await;
        drop(reason);
    }

    async fn run(&mut self) -> Result<CloseReason, CloseReason> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.worker().clone().options().tls {
            let Pump { socket, link, .. } = &mut self.pump;
            let time = || {
                link.watch.wait(Wait::Handshake);
                link.watch.expired().map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
            };
            let handshake = tls::handshake(socket, tls, link.worker.handshakes(), time, || link.stopping.get());
            self.session.peer = Box::pin(handshake).await?;
            self.pump.link.watch.restart();
        }
        // In a box for its time, so that it costs the connection nothing later.
        if !Box::pin(self.is_wanted()).await? {
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
        let worker = self.worker().clone();
        let Self { pump, session, app } = self;
        if !pump.drive(pin!(caught(|| app.on_connect(session))?)).await? {
            return Ok(false);
        }
        match &worker.options().on_connect {
            Some(on_connect) => pump.drive(caught(|| on_connect(session))?.as_mut()).await,
            None => Ok(true),
        }
    }

    /// Serves requests as long as they keep coming; `None` when they pause.
    async fn busy(&mut self) -> Result<Option<CloseReason>, CloseReason> {
        let worker = self.worker().clone();
        let _busy = worker.make_busy();
        let mut spinner = Spinner::new(worker.options().spin);
        // The input that woke the connection is here already.
        let mut spins = false;
        loop {
            let polled = self.pump.link.machine().poll_request();
            match polled {
                Ok(Poll::Ready(Some(head))) => {
                    self.exchange(&head, &worker).await?;
                    spins = true;
                    if spinner.message() {
                        // A peer that sends hundreds of requests at once is not alone.
                        self.pump.flush().await?;
                        yield_now().await;
                        self.pump.check()?;
                    }
                }
                Ok(Poll::Ready(None)) => return Ok(Some(self.end())),
                Err(fault) => return Err(CloseReason::Peer(fault)),
                Ok(Poll::Pending) => {
                    let spins = spins && worker.may_spin() && spinner.begin();
                    let found = spins && self.pump.spin(&worker, &mut spinner).await?;
                    if !found && !self.pump.more(&worker, &mut spinner).await? {
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
    async fn exchange(&mut self, head: &RequestHead, worker: &Worker) -> Result<(), CloseReason> {
        let Self { pump, session, app } = self;
        if !worker.options().allows(head.method()) {
            return Err(CloseReason::Peer(Fault::MethodNotImplemented.into()));
        }
        session.requests += 1;
        if session.requests >= worker.options().max_requests {
            pump.link.machine().stop();
        }
        let (received, sent) = pump.take_octets();
        worker.counters().add_request(received, sent);
        pump.link.watch.restart();
        pump.link.watch.handler(true);

        let link = pump.link.clone();
        let exchange = link.begin_exchange();
        // One future, which is never moved, holds the app's and takes the response that it makes.
        let handler = pin!(async {
            let mut path = Components::new();
            split_path(head.path(), &mut path);
            let body = Incoming::new(Origin::of_exchange(link.clone(), exchange), head.framing());
            let response = app.handle(session, Request::new(head, &path, body)).await;
            answer(&link, worker, response)
        });
        let rest = pump.drive(handler).await??;
        link.watch.handler(false);
        if let Some(Rest { source, is_chunked }) = rest {
            pump.unframed = is_chunked && head.is_http10();
            pump.send(source).await?;
            if pump.unframed {
                pump.flush().await?;
                pump.unframed = false;
            }
        }

        link.end_exchange();
        link.watch.restart();
        let (receiving, persistent, room) = {
            let machine = link.machine();
            (machine.is_receiving(), machine.is_persistent(), machine.has_room())
        };
        if receiving && persistent && !pump.drain(DRAIN).await? {
            return Err(CloseReason::LastResponse);
        }
        // Responses to pipelined requests are collected and written together, up to a bound.
        if !room { pump.flush().await } else { Ok(()) }
    }

    /// For the log and the counters.
    fn tell(&self, reason: &CloseReason) {
        reason.count(self.worker().counters());
        let (peer, requests) = (self.session.address(), self.session.requests);
        if reason.is_ours() {
            tracing::error!(%peer, requests, %reason, "connection ends");
        } else if reason.is_refusal() {
            tracing::info!(%peer, requests, %reason, "connection ends");
        } else {
            tracing::debug!(%peer, requests, %reason, "connection ends");
        }
    }

    /// The last word: an error if the peer is owed one, what is pending of earlier responses, and the end.
    async fn finish(&mut self, reason: &CloseReason) -> Result<(), CloseReason> {
        let pump = &mut self.pump;
        pump.link.end_exchange();
        if pump.unframed {
            return Ok(());
        }
        let silent = !pump.link.worker.options().answers_faults() && !reason.is_ours();
        match (reason, reason.status()) {
            (CloseReason::Gone(_) | CloseReason::Deadline(Wait::Write), _) => return Ok(()),
            // Nothing is written into a response that has begun.
            (_, Some(status)) if !silent => drop(pump.link.machine().refuse(status)),
            (CloseReason::Peer(_) | CloseReason::Deadline(_), _) => pump.link.machine().cut(),
            _ => {}
        }
        pump.link.watch.forgive();
        pump.flush().await?;
        self.count_octets();
        // Where nothing was ever answered nothing can be lost.
        if silent && reason.status().is_some() && self.session.requests == 0 {
            return Ok(());
        }
        self.worker().linger(&self.pump.link);
        self.pump.linger().await
    }
}

/// Writes what the app answered into the machine: all of it, but for a body that comes from a source, which it gives.
fn answer(link: &Link, worker: &Worker, mut response: Response) -> Result<Option<Rest>, CloseReason> {
    if let Some(error) = response.take_failure() {
        // An app that could not read its request passes on whose fault that is.
        return Err(link.fault().map_or_else(|| CloseReason::App(error), CloseReason::Peer));
    }
    let Response { status, reason, headers, body, .. } = response;
    let (content, source) = body.split();
    let is_chunked = matches!(content, Content::Chunked);
    let mut machine = link.machine();
    // Asked as late as can be: a shutdown may have begun while the app worked.
    if worker.is_stopping() {
        machine.stop();
    }
    match link.fault() {
        // Nothing after it can be understood, whatever the app made of it.
        Some(_) => machine.abandon_request_body(0),
        None if !link.is_body_held() => machine.abandon_request_body(DRAIN as u64),
        // Somebody still means to read it.
        None => machine.request_body(),
    }
    let date = worker.date();
    machine.respond(status, reason.as_str(), &headers, content, date.as_deref()).map_err(CloseReason::Response)?;
    let is_sending = machine.is_sending();
    // A source that is not asked for anything may still look at the request's body when it is dropped.
    drop((date, machine));
    Ok(source.filter(|_| is_sending).map(|source| Rest { source, is_chunked }))
}

/// Calls the app, which may panic before there is a future to poll.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, CloseReason> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| CloseReason::Panic)
}

#[cfg(test)]
mod tests {
    use degu_wire::machine::{Connection, Server};

    use super::*;
    use crate::IntoResponse;

    /// What an idle connection is made of. The parts that only exchanges need are in a box, which an idle one has not.
    #[test]
    fn an_idle_connection_is_small() {
        async fn app(_: &mut Session, _: Request<'_>) -> Response {
            let large = [0_u8; 4096];
            std::future::pending::<()>().await;
            large.to_vec().into_response()
        }
        fn size_of_task<A: App>(_: A) -> usize {
            fn size<D, F: Future>(_: impl Fn(D) -> F) -> usize {
                size_of::<F>()
            }
            size(|mut driver: Driver<A>| async move { driver.serve().await })
        }
        let task = size_of_task(app);
        let link = size_of::<Link>();
        println!("the task {task}, what it shares {link}, of that the machine {}", size_of::<Connection<Server>>());
        println!("the socket {}, the session {}", size_of::<Socket>(), size_of::<Session>());
        assert!(task + link <= 1024, "{task} and {link} octets");
    }
}
