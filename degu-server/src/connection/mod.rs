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
//! The state of an exchange is in one box: the machine, and the futures, such as the handler's. An idle connection has no box.
//! The box is allocated when bytes arrive. The box is freed when the connection has waited for a request for a second, so a busy
//! connection keeps it. If over 384 connections of a worker are busy at once, a connection drops its box as soon as it waits.

mod active;
mod close;
mod deadline;
mod driver;
mod endpoint;

use std::future::poll_fn;
use std::mem::replace;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use active::Active;
pub(crate) use close::{CloseReason, caught};
#[cfg(feature = "hyper")]
pub(crate) use deadline::Deadline;
#[cfg(any(feature = "hyper", test))]
pub(crate) use deadline::LINGER_IN_ALL;
#[cfg(test)]
pub(crate) use deadline::LINGER_WINDOW;
pub(crate) use deadline::Wait;
use endpoint::{Endpoint, Moved};

#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::stats::add;
use crate::stream::Transport;
use crate::tunnel::{Switch, Traffic, Tunnel};
use crate::worker_state::Place;
use crate::{App, Session};

/// The next action of a connection.
enum Action {
    /// Serve requests.
    Work,
    /// Wait for input without buffers.
    Rest,
    /// Run the handler of another protocol. The client has sent these bytes after the request.
    Tunnel(Box<Switch>, Bytes),
    /// Write the last bytes.
    End(CloseReason),
    /// Read and drop input until the peer has read the last bytes.
    Linger,
    /// Close the stream.
    Close,
}

impl Action {
    /// Returns the action after the last bytes were written. `lingers` is true if the peer may not have read all bytes yet.
    const fn after(lingers: bool) -> Self {
        if lingers { Self::Linger } else { Self::Close }
    }
}

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

    /// Serves the connection until it ends. The futures of all actions are in boxes, so they take memory only while they run.
    #[allow(clippy::manual_async_fn, reason = "the future of an `async fn` would contain the connection twice")]
    pub(crate) fn serve(mut self) -> impl Future<Output = ()> {
        async move {
            poll_fn(|cx| {
                self.endpoint.place.alarm.set_task(cx.waker());
                Poll::Ready(())
            })
            .await;
            let mut is_new = true;
            let mut action = Box::pin(self.secure()).await.map_or_else(Action::End, |()| Action::Work);
            loop {
                action = match action {
                    Action::Work => Box::pin(self.work(replace(&mut is_new, false))).await,
                    Action::Rest => self.endpoint.readable().await.map_or_else(Action::End, |()| Action::Work),
                    Action::Tunnel(switch, first) => {
                        let ended = Box::pin(self.tunnel(switch, first)).await;
                        Action::End(ended.err().unwrap_or(CloseReason::Tunnel))
                    }
                    Action::End(reason) => Box::pin(self.finish(reason)).await,
                    Action::Linger => {
                        // The connection ends now, so an error has no effect.
                        let _ = Box::pin(self.endpoint.linger()).await;
                        return;
                    }
                    Action::Close => return,
                };
            }
        }
    }

    /// Serves requests until the connection is idle, switches to another protocol, or has written its last bytes. A panic of the
    /// app is caught, and becomes the reason for the end of the connection.
    async fn work(&mut self, is_new: bool) -> Action {
        let mut active = Active::new(&mut self.endpoint, &mut self.session, &*self.app);
        let served = {
            let mut serving = pin!(active.serve(is_new));
            poll_fn(|cx| caught(|| serving.as_mut().poll(cx)).unwrap_or_else(|panicked| Poll::Ready(Err(panicked))))
                .await
        };
        match served {
            Ok(None) => Action::Rest,
            Ok(Some(switch)) => Action::Tunnel(switch, active.driver.machine.take_buffered()),
            Err(reason) => Action::after(active.finish(reason).await),
        }
    }

    /// Writes the last bytes of a connection that serves no request now.
    async fn finish(&mut self, reason: CloseReason) -> Action {
        let mut active = Active::new(&mut self.endpoint, &mut self.session, &*self.app);
        Action::after(active.finish(reason).await)
    }

    /// Does nothing, because the server has no TLS.
    #[cfg(not(feature = "tls"))]
    async fn secure(&mut self) -> Moved {
        Ok(())
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
                // This also withdraws a request to make room, if the room is not needed any more. The connection can be asked
                // again later.
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

    /// Tests the size of an idle connection, which has no box with the state of an exchange.
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
            size(Connection::<Socket, A>::serve)
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
