//! A connection, from its first byte to its last byte. A connection is one value, which one task owns.
//!
//! The machine of `degu_wire` implements the rules of HTTP. This module moves bytes between the machine and the stream
//! ([`Driver`](driver::Driver)), passes requests to the app, and sends the responses. It also handles exchanges that the peer,
//! the app or the server ends early.
//!
//! ```text
//!   Connection { endpoint: { stream, deadline, place }, session, app }     plain fields, `&mut self`
//!   Active     { driver: { endpoint, machine, body }, session, app }       the same while it works, in a box
//!
//!   idle ── readable ──▶ active: read ─▶ request ─▶ app ─▶ response ─▶ (write when nothing more has arrived) ─┐
//!    ▲                     ▲                                                                                  │
//!    │                     └──────────────────────────────────────────────────────────────────────────────────┤
//!    └──────────────── no request for a second: machine, buffers and futures are dropped ─────────────────────┘
//! ```
//!
//! The task polls the handler. If the handler waits for a part of the request's body, the task takes a part from the machine,
//! puts it into the [channel](crate::body_channel), and polls the handler again. If a whole body with a Content-Length was
//! received together with its head, the handler gets it without a channel.
//!
//! The state of an exchange is in two boxes. One contains the machine, and the other the futures, such as the handler's. An
//! idle connection has no boxes. The boxes are allocated when bytes arrive. They are freed when the connection has waited for a
//! request for a second, so a busy connection keeps them. If over 384 connections of a worker are busy at once, a connection
//! drops its boxes as soon as it waits.

mod active;
mod close;
mod deadline;
mod driver;
mod endpoint;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use active::Active;
pub(crate) use close::{CloseReason, caught};
#[cfg(feature = "hyper")]
pub(crate) use deadline::Deadline;
#[cfg(any(feature = "hyper", test))]
pub(crate) use deadline::LINGER_IN_ALL;
pub(crate) use deadline::Wait;
use endpoint::{Endpoint, Moved};

#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::stats::add;
use crate::stream::Transport;
use crate::tunnel::{Switch, Traffic, Tunnel};
use crate::worker_state::Place;
use crate::{App, Session};

/// A connection whose requests an app answers.
pub(crate) struct Connection<T: Transport, A> {
    endpoint: Endpoint<T>,
    session: Session,
    app: Arc<A>,
}

impl<T: Transport, A: App> Connection<T, A> {
    pub(crate) fn new(transport: T, place: Place, session: Session, app: Arc<A>) -> Self {
        Self { endpoint: Endpoint::new(transport, place), session, app }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(&mut self) {
        poll_fn(|cx| {
            self.endpoint.place.alarm.set_task(cx.waker());
            Poll::Ready(())
        })
        .await;
        // All futures are in boxes, so they take memory only while they run.
        #[cfg(feature = "tls")]
        let mut begins = Box::pin(self.secure()).await;
        #[cfg(not(feature = "tls"))]
        let mut begins = Ok(());
        let mut is_new = true;
        loop {
            let Self { endpoint, session, app } = self;
            let mut active = Box::new(Active::new(endpoint, session, &**app));
            let served = match begins {
                Ok(()) => Box::pin(active.serve(is_new)).await,
                Err(reason) => Err(reason),
            };
            is_new = false;
            begins = match served {
                Ok(None) => {
                    drop(active);
                    endpoint.readable().await
                }
                Ok(Some(switch)) => {
                    let first = active.driver.machine.take_buffered();
                    drop(active);
                    let ended = Box::pin(self.tunnel(switch, first)).await;
                    Err(ended.err().unwrap_or(CloseReason::Tunnel))
                }
                Err(reason) => {
                    let lingers = Box::pin(active.finish(reason)).await;
                    drop(active);
                    if lingers {
                        // The connection ends now, so an error has no effect.
                        let _ = Box::pin(endpoint.linger()).await;
                    }
                    return;
                }
            };
        }
    }

    /// Makes the TLS handshake, if the server has TLS.
    #[cfg(feature = "tls")]
    async fn secure(&mut self) -> Moved {
        let Endpoint { stream, deadline, place, .. } = &mut self.endpoint;
        let worker = place.worker.clone();
        let Some(policy) = &worker.options.tls else { return Ok(()) };
        let changes = policy.changes();
        deadline.set_wait(Wait::Handshake, worker.seconds());
        place.set_spare();
        let check = |transport: &T| match deadline.expired(worker.seconds(), &worker.options.deadlines) {
            Some(wait) => Err(CloseReason::Deadline(wait)),
            None if place.is_asked_for_room() => Err(CloseReason::Room),
            // A shutdown does not wait for a peer that has sent nothing.
            None if worker.is_stopping() && !transport.has_input() => Err(CloseReason::Shutdown),
            None => {
                // If the connection was asked to make room that is not needed any more, it can be asked again.
                place.alarm.set(deadline.due(&worker.options.deadlines));
                Ok(())
            }
        };
        let peer = stream.secure(policy, check).await?;
        place.alarm.set_busy();
        place.alarm.set(u32::MAX);
        deadline.restart();
        if let Some(vetted) = Vetted::new(&worker.options, peer.as_ref(), changes) {
            place.watch(vetted, self.session.address());
        }
        self.session.peer.identity = peer;
        Ok(())
    }

    /// Runs the handler of the protocol to which the connection has switched, without the buffers and the deadlines of HTTP.
    /// `first` contains the bytes that the client sent after the request.
    async fn tunnel(&mut self, switch: Box<Switch>, first: Bytes) -> Moved {
        let Self { endpoint, session, .. } = self;
        let Endpoint { stream, deadline, place, is_unframed, report, .. } = endpoint;
        let (worker, alarm) = (place.worker.clone(), &place.alarm);
        // If the handler fails or is dropped, the data that it has sent is incomplete. The connection must then be reset.
        *is_unframed = true;
        let _open = worker.counters().open_tunnel();
        let traffic = Traffic::default();
        let mut handler = caught(|| (switch.handler)(session, Tunnel::new(stream, first, &traffic)))?;
        deadline.restart();
        let done = poll_fn(|cx| {
            let done = caught(|| handler.as_mut().poll(cx));
            let (received, sent) = (traffic.received.take(), traffic.sent.take());
            if received + sent > 0 {
                add(&worker.counters().received, received);
                add(&worker.counters().sent, sent);
                deadline.restart();
            }
            if let Some(report) = report {
                report.add(sent);
            }
            deadline.set_wait(Wait::Tunnel, worker.seconds());
            let expired = deadline.expired(worker.seconds(), &worker.options.deadlines);
            alarm.set(deadline.due(&worker.options.deadlines));
            match done {
                Ok(Poll::Pending) => {
                    expired.map_or(Poll::Pending, |wait| Poll::Ready(Err(CloseReason::Deadline(wait))))
                }
                Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
                Err(panicked) => Poll::Ready(Err(panicked)),
            }
        })
        .await;
        drop(handler);
        done?
            .map_err(|error| if traffic.is_broken.get() { CloseReason::Gone(None) } else { CloseReason::App(error) })?;
        endpoint.flush_tunnel().await?;
        endpoint.is_unframed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Alarm;
    use crate::stream::{Socket, Stream};
    use crate::{Request, Response};

    /// Tests the size of an idle connection, which has no boxes with the state of an exchange.
    #[test]
    fn an_idle_connection_is_small() {
        async fn app(_: &mut Session, _: Request<'_>) -> Response {
            let large = [0_u8; 4096];
            std::future::pending::<()>().await;
            large.to_vec().into()
        }
        fn size_of_task<A: App>(_: A) -> usize {
            fn size<D, F: Future>(_: impl Fn(D) -> F) -> usize {
                size_of::<F>()
            }
            size(|mut connection: Connection<Socket, A>| async move { connection.serve().await })
        }
        let task = size_of_task(app);
        let alarm = size_of::<Alarm>();
        println!("bytes: the task {task}, the endpoint in it {}, the alarm {alarm}", size_of::<Endpoint<Socket>>());
        println!("the stream {}, the session {}", size_of::<Stream<Socket>>(), size_of::<Session>());
        // The runtime allocates tasks in steps of 128 bytes, and uses 104 bytes itself.
        assert!(task <= 512 - 104, "{task} bytes");
        assert!(alarm <= 64, "{alarm} bytes");
    }
}
