//! The server: what it serves, and what it remembers of exchanges that ended.
//!
//! | target | answer |
//! | --- | --- |
//! | `GET /hello` | `hello` |
//! | `POST /echo` | the request's body, as it comes |
//! | `POST /upload` | nothing, once the body has come |
//! | `GET /download` | chunks without an end |
//! | `GET /last` | a line for each of these two that is over: which, and how many milliseconds after its last byte |

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use degu_server::{Address, Body, BoxError, Chunk, Method, Request, Response, Server, Session};

use crate::{PATIENCE, Result, say};

/// The ends of exchanges, a line each.
type Ends = Arc<Mutex<String>>;

/// An exchange under way; when it is dropped, it is over, for whatever reason.
struct Watch {
    what: &'static str,
    moved: Instant,
    ends: Ends,
}

impl Watch {
    fn new(what: &'static str, ends: &Ends) -> Self {
        Self { what, moved: Instant::now(), ends: ends.clone() }
    }

    fn moved(&mut self) {
        self.moved = Instant::now();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let line = format!("{} {}\n", self.what, self.moved.elapsed().as_millis());
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) += &line;
    }
}

pub(crate) fn run(address: Address) -> Result {
    let ends = Ends::default();
    let app = async move |_: &mut Session, request: Request<'_>| answer(&ends, request).await;
    let options = Server::options().workers(1).progress(1024, Some(PATIENCE)).shutdown_grace(PATIENCE);
    let server = options.bind(address, app)?.spawn()?;
    say(&format!("listening on {}", server.address()))?;
    // The parent closes it when it needs the server no more.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    server.shutdown_blocking();
    Ok(())
}

async fn answer(ends: &Ends, mut request: Request<'_>) -> std::result::Result<Response, BoxError> {
    Ok(match (request.method(), request.segments()) {
        (Method::Get, ["hello"]) => "hello".into(),
        (Method::Post, ["echo"]) => (200, request.body).into(),
        (Method::Post, ["upload"]) => {
            let mut watch = Watch::new("upload", ends);
            while request.body.next_data().await?.is_some() {
                watch.moved();
            }
            200.into()
        }
        (Method::Get, ["download"]) => (200, download(ends)).into(),
        (Method::Get, ["last"]) => (200, ends.lock().unwrap_or_else(PoisonError::into_inner).clone()).into(),
        _ => 404.into(),
    })
}

fn download(ends: &Ends) -> Body {
    Body::try_unfold(Watch::new("download", ends), |mut watch| async move {
        watch.moved();
        Ok(Some((Chunk::new(vec![b'.'; 16 * 1024]), watch)))
    })
}
