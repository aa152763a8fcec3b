//! The app of the servers, and its counters.
//!
//! | target | response |
//! | --- | --- |
//! | `POST /echo` | the request's body, with its chunks, extensions and trailers, while it arrives |
//! | `POST /take/SEED/LARGE` | nothing, if the request's body is the body that is generated from the seed; 422 otherwise |
//! | `POST /discard` | nothing, after the whole request has arrived. This target is for `netns.rs` |
//! | `GET /make/SEED/LARGE` | a body that is generated from a seed |
//! | `POST /early` | 413; the app does not read the request's body |
//! | `GET /fail`, `GET /panic` | 500, because the app fails or panics |
//! | `GET /endless` | chunks until the client closes the connection |
//! | `GET /silent` | one chunk, and then nothing until the client closes the connection. Over TCP, only the client's FIN tells this, because the server writes nothing |
//! | `GET /tasks` | the number of tasks of the worker |

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use degu_server::{App, Body, BoxError, Chunk, Method, Request, Response, Session};
use degu_simulation::Seen;

use crate::clients::body;
use crate::exchange::message;

/// The counters of the app of one server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The number of requests that reached the app.
    pub(crate) requests: AtomicU64,
    /// The number of bytes in the bodies that `/take` has received in full.
    pub(crate) bytes: AtomicU64,
    /// Handlers, sessions and endless bodies hold a clone until they are dropped.
    pub(crate) alive: Arc<()>,
}

/// The payload with which `/panic` panics. The panic hook prints nothing for it.
#[derive(Debug)]
pub(crate) struct Planned;

pub(crate) fn app(counters: Arc<Counters>) -> impl App {
    async move |session: &mut Session, request: Request<'_>| answer(&counters, session, request).await
}

async fn answer(counters: &Counters, session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    counters.requests.fetch_add(1, Relaxed);
    let _handler = counters.alive.clone();
    if session.get::<Arc<()>>().is_none() {
        session.insert(counters.alive.clone());
    }
    Ok(match (request.method(), request.segments()) {
        (Method::Post, ["echo"]) => (200, request.body).into(),
        (Method::Post, ["take", seed, large]) => {
            let (mut seen, body) = (Seen::default(), &mut request.body);
            while let Some(part) = body.next_part().await? {
                seen.part(&part);
            }
            seen.end(body.last_extensions(), body.trailers());
            counters.bytes.fetch_add(seen.data.len() as u64, Relaxed);
            match seen.is(&message(seed.parse()?, large.parse()?), true) {
                Ok(()) => 200.into(),
                Err(difference) => (422, difference).into(),
            }
        }
        (Method::Post, ["discard"]) => {
            while request.body.next_data().await?.is_some() {}
            200.into()
        }
        (Method::Get | Method::Head, ["make", seed, large]) => {
            (200, body(&message(seed.parse()?, large.parse()?), Duration::ZERO)).into()
        }
        (Method::Post, ["early"]) => 413.into(),
        (Method::Get, ["fail"]) => return Err("this handler fails as planned".into()),
        (Method::Get, ["panic"]) => panic_any(Planned),
        (Method::Get, ["endless"]) => {
            let body = Body::try_unfold(counters.alive.clone(), |alive| async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(Some((Chunk::new(vec![b'.'; 4096]), alive)))
            });
            (200, body).into()
        }
        (Method::Get, ["silent"]) => {
            let body = Body::try_unfold((counters.alive.clone(), false), |(alive, has_begun)| async move {
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
