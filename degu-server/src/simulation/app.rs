//! The app of a run. It treats each request as the plan says. It reports requests that no peer has sent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use degu_simulation::{Alive, Dice, Gates, Kind, Seen, Slow, SlowEnd, patiently};
use degu_wire::{BoxError, LocalBody};

use super::plan::{Answer, Exchange, Plan, Reading};
use super::tunnel;
use crate::{App, Error, Incoming, Request, Response, Session};

/// The state of a run that its connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) gates: Gates,
    /// The token that handlers, bodies and tasks clone, so their number is known.
    pub(super) alive: Alive,
    pub(super) requests: AtomicU64,
    complaint: Mutex<Option<String>>,
}

/// The app of a run.
pub(super) struct Simulated(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        let (gates, alive) = (Gates::default(), Alive::default());
        Self { plan, gates, alive, requests: AtomicU64::new(0), complaint: Mutex::new(None) }
    }

    /// Records a mistake of the driver. The run fails with the first mistake.
    pub(super) fn complain(&self, complaint: impl Into<String>) {
        let mut found = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_or_insert(complaint.into());
    }

    pub(super) fn complaint(&self) -> Result<(), String> {
        let mut found = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        found.take().map_or(Ok(()), Err)
    }

    /// Parses `/CONNECTION/EXCHANGE`, the target of a planned request.
    fn exchange(&self, target: &str) -> Option<(usize, usize)> {
        let (caller, number) = target.strip_prefix('/')?.split_once('/')?;
        Some((caller.parse().ok()?, number.parse().ok()?))
    }
}

impl App for Simulated {
    async fn on_connect(&self, _: &mut Session) -> bool {
        if self.0.plan.hesitates {
            self.0.gates.pause().await;
        }
        true
    }

    async fn handle(&self, session: &mut Session, mut request: Request<'_>) -> Response {
        let shared = &self.0;
        let _alive = shared.alive.clone();
        shared.requests.fetch_add(1, Relaxed);
        let Some((caller, number)) = shared.exchange(request.target()) else {
            // The head of this request is valid, although the request is garbage. So the fault is in its body.
            return match request.body.read_all(1 << 20).await {
                Ok(_) => {
                    shared.complain(format!("{} is garbage, but was accepted", request.target()));
                    Response::from_error("garbage")
                }
                Err(error) => Response::from_error(error),
            };
        };
        let exchange = &shared.plan.callers[caller].exchanges[number];
        if exchange.handled.swap(true, Relaxed) || session.requests() != number as u64 + 1 {
            shared.complain(format!("{} is request {}", request.target(), session.requests()));
        }
        if exchange.until_closing {
            let mut dice = Dice::new(exchange.seed ^ 2);
            // Dropping a future of `closing` does not affect the next one.
            let _ = patiently(dice.below(3), dice.one_in(2), session.closing()).await;
            session.closing().await;
        }
        if exchange.pauses.0 {
            shared.gates.pause().await;
        }
        let offer = request.upgrade("tcp");
        let body = match read(shared, (caller, number), request.body).await {
            Ok(body) => body,
            Err(error) => return Response::from_error(error),
        };
        if exchange.pauses.1 {
            shared.gates.pause().await;
        }
        if let (Answer::Switch(_), Some(offer)) = (&exchange.answer, offer) {
            drop(body);
            return tunnel::accept(shared, (caller, number), offer);
        }
        let mut dice = Dice::new(exchange.seed ^ 1);
        let response = match answer(shared, exchange, body, &mut dice).await {
            Ok(response) => response.header("x-number", number),
            Err(error) => return error.into(),
        };
        if exchange.server_closes { response.header("connection", "close") } else { response }
    }
}

async fn answer(
    shared: &Shared,
    exchange: &Exchange,
    body: Option<Incoming>,
    dice: &mut Dice,
) -> Result<Response, BoxError> {
    let (status, message, end) = match &exchange.answer {
        Answer::Message(status, message) => (*status, message, SlowEnd::Whole),
        Answer::Breaks(message, left) => (200, message, SlowEnd::Fails(*left)),
        Answer::Waits(message) if message.kind == Kind::Chunked => (200, message, SlowEnd::Waits),
        Answer::Echo(ahead) => {
            let Some(mut body) = body else { return Err("the body to echo has already been read".into()) };
            body.read_ahead(*ahead).await?;
            return Ok((200, LocalBody::from(body)).into());
        }
        Answer::Switch(_) => return Err("the request has no offer".into()),
        Answer::Error => return Err("this app fails".into()),
        Answer::Panic => std::panic::resume_unwind(Box::new("this app panics")),
        Answer::Waits(_) => std::future::pending().await,
    };
    let source = || Box::pin(Slow::new(message.parts(), end, &shared.gates, &shared.alive, dice.clone()));
    let body = match message.kind {
        Kind::None => LocalBody::none(),
        Kind::Bytes => LocalBody::from(message.data()),
        Kind::Length => LocalBody::from_source(message.length(), source()),
        Kind::Chunked => LocalBody::chunks_from_source(source()),
    };
    Ok((status, "Simulated", (), body).into())
}

/// Reads the body as the plan says. Returns the body if the plan does not read it.
async fn read(shared: &Arc<Shared>, at: (usize, usize), body: Incoming) -> Result<Option<Incoming>, Error> {
    let exchange = &shared.plan.callers[at.0].exchanges[at.1];
    let mut dice = Dice::new(exchange.seed);
    match exchange.reading {
        Reading::Never => return Ok(Some(body)),
        Reading::Task | Reading::Beside => {
            let (inner, mut body) = (shared.clone(), body);
            let task = tokio::task::spawn_local(async move {
                let _alive = inner.alive.clone();
                let exchange = &inner.plan.callers[at.0].exchanges[at.1];
                let read = read_to_end(&inner, exchange, &mut body, &mut dice).await;
                if exchange.reading == Reading::Beside {
                    // The body may outlive its exchange.
                    inner.gates.pause().await;
                }
                read
            });
            if exchange.reading == Reading::Task {
                match task.await {
                    Ok(read) => read?,
                    Err(_) => shared.complain("a task that reads a body has panicked"),
                }
            }
        }
        Reading::All => {
            let mut body = body;
            let length = usize::try_from(exchange.request.length()).unwrap_or(usize::MAX);
            let mut seen = Seen::default();
            seen.data.extend_from_slice(&body.read_all(length).await?);
            seen.end(body.last_extensions(), body.trailers());
            check(shared, seen.is(&exchange.request, false));
        }
        _ => read_to_end(shared, exchange, &mut { body }, &mut dice).await?,
    }
    Ok(None)
}

/// Reads a body piece by piece. The dice choose which futures are dropped, and when.
async fn read_to_end(shared: &Shared, exchange: &Exchange, body: &mut Incoming, dice: &mut Dice) -> Result<(), Error> {
    let mut seen = Seen::default();
    let mut left = if exchange.reading == Reading::Some { dice.below(3) } else { usize::MAX };
    let whole_chunks = matches!(exchange.reading, Reading::Parts | Reading::Chunks);
    while left > 0 {
        left -= 1;
        let polls = if dice.one_in(3) { dice.below(3) } else { usize::MAX };
        let late = dice.one_in(2);
        let how = match exchange.reading {
            Reading::Data => 0,
            Reading::Chunks => 1,
            Reading::Parts => 2,
            _ => dice.below(4),
        };
        let more = match how {
            0 => patiently(polls, late, body.next_data())
                .await
                .map(|data| Ok(data?.map(|data| seen.data.extend_from_slice(&data)))),
            1 => {
                patiently(polls, late, body.next_chunk()).await.map(|chunk| Ok(chunk?.map(|chunk| seen.chunk(&chunk))))
            }
            2 => patiently(polls, late, body.next_part()).await.map(|part| Ok(part?.map(|part| seen.part(&part)))),
            _ => patiently(polls, late, body.read_ahead(dice.below(100))).await.map(|read| read.map(Some)),
        };
        match more {
            Some(Ok(Some(()))) => {}
            Some(Ok(None)) => {
                seen.end(body.last_extensions(), body.trailers());
                break;
            }
            Some(Err(error)) => {
                check(shared, seen.is_beginning_of(&exchange.request, whole_chunks));
                return Err(error);
            }
            // The future was dropped. The next attempt follows at once, or after a pause.
            None if dice.one_in(2) => shared.gates.pause().await,
            None => {}
        }
    }
    let read = match left {
        0 => seen.is_beginning_of(&exchange.request, whole_chunks),
        _ => seen.is(&exchange.request, whole_chunks),
    };
    check(shared, read);
    Ok(())
}

fn check(shared: &Shared, found: Result<(), String>) {
    if let Err(difference) = found {
        shared.complain(format!("the body of a request is wrong: {difference}"));
    }
}
