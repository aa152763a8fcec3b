//! The app of a soak's servers, and its counters.
//!
//! | target | answer |
//! | --- | --- |
//! | `POST /echo` | the request's body as it comes, with its chunks, extensions and trailers |
//! | `POST /sum` | the sum of the request's bytes |
//! | `GET /make/SEED/LENGTH` | the bytes of a number |
//! | `GET /chunks/SEED` | the chunks of a number |
//! | `POST /early` | 413, without a look at the body |
//! | `GET /fail`, `GET /panic` | nothing: the app fails, or panics |
//! | `GET /endless` | chunks until the client goes away |
//! | `GET /silent` | one chunk, and then nothing until the client goes away, which over TCP shows by FIN alone |
//! | `GET /tasks` | how many tasks the worker has |

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use degu_server::{App, Body, BoxError, Chunk, Method, Request, Response, Session};

use crate::content::{Chunks, Sum, random};

/// Counters of the app of one server.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests that reached it.
    pub(crate) requests: AtomicU64,
    /// Bytes that `/sum` was sent, in bodies that came whole.
    pub(crate) bytes: AtomicU64,
    /// Handlers, connections and bodies without an end that are alive.
    pub(crate) alive: Arc<AtomicI64>,
}

/// Something that is alive until it is dropped.
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn new(seen: &Seen) -> Self {
        seen.alive.fetch_add(1, Relaxed);
        Self(seen.alive.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The payload with which `/panic` panics, so that nothing is printed about it.
#[derive(Debug)]
pub(crate) struct AsAsked;

pub(crate) fn app(seen: Arc<Seen>) -> impl App {
    async move |session: &mut Session, request: Request<'_>| answer(&seen, session, request).await
}

async fn answer(seen: &Seen, session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    seen.requests.fetch_add(1, Relaxed);
    let _handler = Alive::new(seen);
    if session.get::<Alive>().is_none() {
        session.insert(Alive::new(seen));
    }
    Ok(match (request.method(), request.segments()) {
        (Method::Post, ["echo"]) => (200, request.body).into(),
        (Method::Post, ["sum"]) => {
            let (mut sum, mut bytes) = (Sum::EMPTY, 0);
            while let Some(data) = request.body.next_data().await? {
                sum.add(&data);
                bytes += data.len() as u64;
            }
            seen.bytes.fetch_add(bytes, Relaxed);
            (200, sum.to_string()).into()
        }
        (Method::Get | Method::Head, ["make", seed, length]) => (200, random(seed.parse()?, length.parse()?)).into(),
        (Method::Get, ["chunks", seed]) => (200, chunks(seed.parse()?)).into(),
        (Method::Post, ["early"]) => 413.into(),
        (Method::Get, ["fail"]) => return Err("as asked".into()),
        (Method::Get, ["panic"]) => panic_any(AsAsked),
        (Method::Get, ["endless"]) => (200, endless(seen)).into(),
        (Method::Get, ["silent"]) => (200, silent(seen)).into(),
        (Method::Get, ["tasks"]) => {
            (200, tokio::runtime::Handle::current().metrics().num_alive_tasks().to_string()).into()
        }
        _ => 404.into(),
    })
}

fn chunks(seed: u64) -> Body {
    let mut parts = Chunks::of(seed).into_parts().into_iter();
    Body::chunks_from_source(Box::pin(move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok))))
}

fn endless(seen: &Seen) -> Body {
    Body::try_unfold(Alive::new(seen), |alive| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(Some((Chunk::new(vec![b'.'; 4096]), alive)))
    })
}

fn silent(seen: &Seen) -> Body {
    Body::try_unfold((Alive::new(seen), false), |(alive, has_begun)| async move {
        if has_begun {
            std::future::pending::<()>().await;
        }
        Ok(Some((Chunk::new("."), (alive, true))))
    })
}
