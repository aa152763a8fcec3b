//! The app of a run, which treats each request as the plan says, and reports requests that no peer has sent.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use degu_simulation::{Dice, Gates, Kind, Reading, Seen, SlowEnd, patiently, slow};
use degu_wire::{BoxError, LocalBody, Source};

use super::plan::{Answer, Exchange, Plan, Reader};
use crate::Exchange as Ended;
use crate::upgrade::Offer;
use crate::{App, Error, Incoming, Request, Response, Session, Tunnel};

/// The state that the connections of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) gates: Gates,
    pub(super) requests: AtomicU64,
    pub(super) reports: Mutex<Vec<Reported>>,
    complaint: Mutex<Option<String>>,
}

/// The report of an exchange: target, status, number of bytes of the response's body, and whether the response was cut.
pub(super) type Reported = (String, Option<u16>, u64, bool);

/// The app of a run.
pub(super) struct Simulated(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(plan: Plan) -> Self {
        let (requests, reports) = (AtomicU64::new(0), Mutex::default());
        Self { plan, gates: Gates::default(), requests, reports, complaint: Mutex::new(None) }
    }

    /// Records a mistake of the driver. The run fails with the first mistake.
    pub(super) fn complain(&self, complaint: impl Into<String>) {
        let mut found = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_or_insert(complaint.into());
    }

    pub(super) fn report(&self, exchange: &Ended) {
        let target = exchange.target().unwrap_or_default().to_owned();
        let report = (target, exchange.status(), exchange.body_bytes(), exchange.cut().is_some());
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
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
        let _alive = shared.gates.clone();
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
        if let (Answer::Switch(..), Some(offer)) = (&exchange.answer, offer) {
            drop(body);
            return accept(shared, (caller, number), offer);
        }
        let response = match answer(shared, exchange, body).await {
            Ok(response) => response.header("x-number", number),
            Err(error) => return error.into(),
        };
        if exchange.server_closes { response.header("connection", "close") } else { response }
    }
}

async fn answer(shared: &Shared, exchange: &Exchange, body: Option<Incoming>) -> Result<Response, BoxError> {
    let (status, message, end) = match &exchange.answer {
        Answer::Message(status, message) => (*status, message, SlowEnd::Whole),
        Answer::Breaks(message, left) => (200, message, SlowEnd::Fails(*left)),
        Answer::Waits(message) if message.kind == Kind::Chunked => (200, message, SlowEnd::Waits),
        Answer::Echo(ahead) => {
            let Some(mut body) = body else { return Err("the body to echo has already been read".into()) };
            body.read_ahead(*ahead).await?;
            return Ok((200, LocalBody::from(body)).into());
        }
        Answer::Switch(..) => return Err("the request has no offer".into()),
        Answer::Error => return Err("this app fails".into()),
        Answer::Panic => std::panic::resume_unwind(Box::new("this app panics")),
        Answer::Waits(_) => std::future::pending().await,
    };
    let source = slow(message.parts(), end, shared.gates.clone(), Dice::new(exchange.seed ^ 1));
    let body: LocalBody = message.body::<dyn Source>(source);
    Ok((status, "Simulated", (), body).into())
}

/// Accepts the offer of an exchange whose plan has a tunnel.
fn accept(shared: &Arc<Shared>, at: (usize, usize), offer: Offer) -> Response {
    let shared = shared.clone();
    offer.accept([("x-number", at.1)], async move |_: &mut Session, tunnel: Tunnel<'_>| {
        let _alive = shared.gates.clone();
        let caller = &shared.plan.callers[at.0];
        let exchange = &caller.exchanges[at.1];
        let Answer::Switch(plan, _) = &exchange.answer else { return Err("the plan has no tunnel here".into()) };
        let mut rest = &plan.from_peer[..];
        let mut dice = Dice::new(exchange.seed ^ 3);
        let received = |bytes: &[u8]| match rest.strip_prefix(bytes) {
            Some(after) => rest = after,
            None => shared.complain(format!("the tunnel of connection {} has received wrong bytes", at.0)),
        };
        plan.talk(tunnel, Some(&shared.gates), &mut dice, received).await?;
        if !rest.is_empty() && !caller.has_trouble(at.1, |_| true) {
            shared.complain(format!("the tunnel of connection {} ends {} bytes early", at.0, rest.len()));
        }
        Ok(())
    })
}

/// Reads the body as the plan says. Returns the body if the plan does not read it.
async fn read(shared: &Arc<Shared>, at: (usize, usize), mut body: Incoming) -> Result<Option<Incoming>, Error> {
    let exchange = &shared.plan.callers[at.0].exchanges[at.1];
    if exchange.reading == Reading::Never {
        return Ok(Some(body));
    }
    if exchange.reader == Reader::Handler {
        return read_pieces(shared, exchange, &mut body).await.map(|()| None);
    }
    let inner = shared.clone();
    let task = tokio::task::spawn_local(async move {
        let _alive = inner.gates.clone();
        let exchange = &inner.plan.callers[at.0].exchanges[at.1];
        let read = read_pieces(&inner, exchange, &mut body).await;
        if exchange.reader == Reader::Beside {
            // The body may outlive its exchange.
            inner.gates.pause().await;
        }
        read
    });
    if exchange.reader == Reader::Task {
        match task.await {
            Ok(read) => read?,
            Err(_) => shared.complain("a task that reads a body has panicked"),
        }
    }
    Ok(None)
}

/// Reads a body, and compares it with the plan.
async fn read_pieces(shared: &Shared, exchange: &Exchange, body: &mut Incoming) -> Result<(), Error> {
    let (mut seen, mut dice) = (Seen::default(), Dice::new(exchange.seed));
    let (reading, sent) = (exchange.reading, &exchange.request);
    let next = async |how, most, seen: &mut Seen| next(body, how, most, seen).await;
    let read = reading.read(sent, &mut seen, reading != Reading::All, (&mut dice, &shared.gates), next).await;
    let found = match &read {
        Ok(true) => seen.is(sent, reading.keeps_chunks()),
        _ => seen.is_beginning_of(sent, reading.keeps_chunks()),
    };
    if let Err(difference) = found {
        shared.complain(format!("the body of a request is wrong: {difference}"));
    }
    read.map(drop)
}

/// Reads the next piece of the body, and records it. Returns whether there was a piece, and not the end.
async fn next(body: &mut Incoming, how: Reading, most: usize, seen: &mut Seen) -> Result<bool, Error> {
    let piece = match how {
        Reading::All | Reading::TooMuch => {
            seen.data.extend_from_slice(&body.read_all(most).await?);
            None
        }
        Reading::Data => body.next_data().await?.map(|data| seen.data.extend_from_slice(&data)),
        Reading::Chunks => body.next_chunk().await?.map(|chunk| seen.part(&chunk.into())),
        Reading::Own => Some(body.read_ahead(most).await?),
        _ => body.next_part().await?.map(|part| seen.part(&part)),
    };
    if piece.is_none() {
        seen.end(body.last_extensions(), body.trailers());
    }
    Ok(piece.is_some())
}
