//! Responses of server-sent events (HTML Standard, §9.2). Such a response continues until the app, the client or the server
//! ends it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use degu_wire::{BoxError, Chunk, LocalBody, Part, Source};
use tokio::time::{Instant, Sleep, sleep};

pub use degu_wire::sse::{Decoder, Event};

use crate::{Response, Session};

/// The time without an event after which a comment is sent. The HTML Standard recommends 15 seconds. Proxies such as nginx and
/// HAProxy close a connection after a minute without a byte.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Returns a response of server-sent events. The first call of `next` gets `seed`. Each call returns an event and the state for
/// the next call, or `None` at the end of the stream.
///
/// The content-type is `text/event-stream`, and `cache-control` is `no-cache`. After 15 seconds without an event the server
/// sends a comment, which clients ignore. When the [server shuts down](Session::closing), the response ends as a complete
/// response. A client then connects again, and sends the identifier of its last event in the field `last-event-id`. If `next`
/// returns an error, the response is cut.
///
/// ```
/// use std::time::Duration;
///
/// use degu_server::{Request, Response, Session, sse};
///
/// async fn ticks(session: &mut Session, request: Request<'_>) -> Response {
///     let last = request.headers().get("last-event-id").and_then(|id| id.parse::<u64>().ok());
///     sse::response(session, last.map_or(0, |last| last + 1), async |n| {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         Ok(Some((sse::Event::new(format!("tick {n}")).id(n), n + 1)))
///     })
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(ticks);
/// ```
///
/// # Cancel safety
///
/// The future of `next` is dropped when the client goes away.
pub fn response<T, F, Fut>(session: &Session, seed: T, mut next: F) -> Response
where
    T: 'static,
    F: FnMut(T) -> Fut + 'static,
    Fut: Future<Output = Result<Option<(Event, T)>, BoxError>> + 'static,
{
    let events = LocalBody::try_unfold(seed, move |state| {
        let event = next(state);
        async move {
            let Some((event, state)) = event.await? else { return Ok(None) };
            Ok(Some((Chunk::new(event.encode()?), state)))
        }
    });
    let headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")];
    (200, headers, LocalBody::chunks_from_source(Box::pin(Stream::new(events, session.closing())))).into()
}

/// The body of the response. The body consists of the events, and of comments while there is no event. The body ends when the
/// server shuts down.
struct Stream {
    /// `None` after the server has begun to shut down.
    events: Option<Pin<Box<dyn Source>>>,
    closing: Pin<Box<dyn Future<Output = ()>>>,
    silence: Pin<Box<Sleep>>,
}

impl Stream {
    fn new(events: LocalBody, closing: impl Future<Output = ()> + 'static) -> Self {
        Self { events: events.split().1, closing: Box::pin(closing), silence: Box::pin(sleep(KEEP_ALIVE)) }
    }
}

impl Source for Stream {
    fn poll_part(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        if this.closing.as_mut().poll(cx).is_ready() {
            this.events = None;
            return Poll::Ready(None);
        }
        let part = match events.as_mut().poll_part(cx) {
            Poll::Ready(part) => part,
            Poll::Pending if this.silence.as_mut().poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Some(Ok(Chunk::new(":\n\n").into())),
        };
        this.silence.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(part)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::rc::Rc;

    use super::*;

    async fn next(stream: &mut Stream) -> Option<String> {
        match poll_fn(|cx| Pin::new(&mut *stream).poll_part(cx)).await? {
            Ok(Part::Chunk { data, .. }) => Some(String::from_utf8(data.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_sends_comments() {
        let body = LocalBody::try_unfold(0, async |n| {
            sleep(Duration::from_secs(40)).await;
            Ok(Some((Chunk::new("event"), n + 1)))
        });
        let mut stream = Stream::new(body, pending());
        for expected in [":\n\n", ":\n\n", "event", ":\n\n"] {
            assert_eq!(next(&mut stream).await.unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_as_a_whole_when_the_server_stops() {
        let stops = Rc::new(Cell::new(false));
        let body = LocalBody::try_unfold(0, async |n| Ok(Some((Chunk::new("event"), n + 1))));
        let seen = Rc::clone(&stops);
        let closing = poll_fn(move |_| if seen.get() { Poll::Ready(()) } else { Poll::Pending });
        let mut stream = Stream::new(body, closing);
        assert_eq!(next(&mut stream).await.unwrap(), "event");
        stops.set(true);
        assert_eq!((next(&mut stream).await, next(&mut stream).await), (None, None));
    }
}
