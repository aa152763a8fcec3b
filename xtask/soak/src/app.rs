//! The app of the servers, and its counters.
//!
//! | target | response |
//! | --- | --- |
//! | `POST /echo` | the request's body, with its chunks, extensions and trailers, while it arrives |
//! | `POST /sum` | the checksum of the request's data |
//! | `POST /discard` | nothing, after the whole request has arrived. This target is for `netns.rs` |
//! | `GET /make/SEED/LENGTH` | bytes that are generated from a seed |
//! | `GET /chunks/SEED` | chunks that are generated from a seed |
//! | `POST /early` | 413; the app does not read the request's body |
//! | `GET /fail`, `GET /panic` | 500, because the app fails or panics |
//! | `GET /endless` | chunks until the client closes the connection |
//! | `GET /silent` | one chunk, and then nothing until the client closes the connection. Over TCP only its FIN shows this |
//! | `GET /tasks` | the number of tasks of the worker |

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use degu_server::{App, Body, BoxError, Chunk, Method, Request, Response, Session};

use crate::content::{Sum, chunks, random};

/// The counters of the app of one server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The number of requests that reached the app.
    pub(crate) requests: AtomicU64,
    /// The number of bytes in the bodies that `/sum` has received in full.
    pub(crate) bytes: AtomicU64,
    /// The number of handlers, sessions and endless bodies that have not been dropped.
    pub(crate) alive: Arc<AtomicI64>,
}

/// A guard that adds 1 to [`Counters::alive`] until it is dropped.
struct Alive(Arc<AtomicI64>);

impl Alive {
    fn new(counters: &Counters) -> Self {
        counters.alive.fetch_add(1, Relaxed);
        Self(counters.alive.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The payload with which `/panic` panics. The panic hook prints nothing for it.
#[derive(Debug)]
pub(crate) struct Planned;

pub(crate) fn app(counters: Arc<Counters>) -> impl App {
    async move |session: &mut Session, request: Request<'_>| answer(&counters, session, request).await
}

async fn answer(counters: &Counters, session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    counters.requests.fetch_add(1, Relaxed);
    let _handler = Alive::new(counters);
    if session.get::<Alive>().is_none() {
        session.insert(Alive::new(counters));
    }
    Ok(match (request.method(), request.segments()) {
        (Method::Post, ["echo"]) => (200, request.body).into(),
        (Method::Post, ["sum"]) => {
            let (mut sum, mut bytes) = (Sum::EMPTY, 0);
            while let Some(data) = request.body.next_data().await? {
                sum.add(&data);
                bytes += data.len() as u64;
            }
            counters.bytes.fetch_add(bytes, Relaxed);
            (200, sum.to_string()).into()
        }
        (Method::Post, ["discard"]) => {
            while request.body.next_data().await?.is_some() {}
            200.into()
        }
        (Method::Get | Method::Head, ["make", seed, length]) => (200, random(seed.parse()?, length.parse()?)).into(),
        (Method::Get, ["chunks", seed]) => {
            let mut parts = chunks(seed.parse()?).into_iter();
            let source = Box::pin(move |_: &mut Context<'_>| Poll::Ready(parts.next().map(Ok)));
            (200, Body::chunks_from_source(source)).into()
        }
        (Method::Post, ["early"]) => 413.into(),
        (Method::Get, ["fail"]) => return Err("this handler fails as planned".into()),
        (Method::Get, ["panic"]) => panic_any(Planned),
        (Method::Get, ["endless"]) => {
            let body = Body::try_unfold(Alive::new(counters), |alive| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(Some((Chunk::new(vec![b'.'; 4096]), alive)))
            });
            (200, body).into()
        }
        (Method::Get, ["silent"]) => {
            let body = Body::try_unfold((Alive::new(counters), false), |(alive, has_begun)| async move {
                if has_begun {
                    std::future::pending::<()>().await;
                }
                Ok(Some((Chunk::new("."), (alive, true))))
            });
            (200, body).into()
        }
        (Method::Get, ["tasks"]) => {
            (200, tokio::runtime::Handle::current().metrics().num_alive_tasks().to_string()).into()
        }
        _ => 404.into(),
    })
}
