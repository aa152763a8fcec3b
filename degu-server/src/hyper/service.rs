//! The layer between hyper and the service, which adds the [`Caller`] to every request. If the service makes no
//! response, the connection's task sends a response without hyper.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use degu_wire::{BoxError, Fault, LocalError, Method, RemoteError};
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::caller::Caller;
use super::shared::{Access, Stage, Task};
use crate::connection::{CloseReason, Wait, caught};
use crate::report::{Peer, Report};
use crate::stream::Stream;

/// The service of one connection.
pub(super) struct Exchanges<S> {
    pub(super) service: TowerToHyperService<S>,
    pub(super) task: Arc<Task>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Exchanges<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let task = self.task.clone();
        let Task { shared, room, peer, .. } = &*task;
        room.alarm.set_busy();
        let report = room.options.on_response.as_ref().map(|on_response| {
            let target = request.uri().to_string();
            Report::begin(on_response, request.method().as_str(), &target, Peer::clone(peer))
        });
        let is_head = request.method() == hyper::Method::HEAD;
        let mut reply = shared.begin(is_head, report);
        let is_http10 = request.version() == Version::HTTP_10;
        let number = reply.access.number;
        request.extensions_mut().insert(Caller { peer: peer.clone(), server: room.server.clone(), requests: number });
        let fault = match Method::from(request.method().as_str()) {
            _ if is_http10 && !room.options.limits.allow_http10 => Some(Fault::VersionNotSupported),
            method if !room.options.allows(method) => Some(Fault::MethodNotImplemented),
            _ => None,
        };
        let expects_continue = request.headers().contains_key(EXPECT);
        let request = request.map(|body| RequestBody::new(body, &reply.access, expects_continue));
        let future = hyper::service::Service::call(&self.service, request);
        Box::pin(async move {
            let made = match fault {
                Some(fault) => Err(CloseReason::Peer(RemoteError::from(fault))),
                None => answer(future, &reply.access, is_head).await,
            };
            let access = &reply.access;
            access.with(|state| state.deadline.handler = None);
            let response = match made {
                Ok(response) => response,
                Err(reason) => {
                    // When the earlier responses are written, the connection's task takes the reason and drops this future.
                    access.shared.refusal.put(reason);
                    pending().await
                }
            };
            // In HTTP/1.0, the end of the connection marks the end of a body without a length. In this case hyper does
            // not send `connection: close`, so the field is added below.
            let is_unframed =
                response.body().size_hint().exact().is_none() && !response.headers().contains_key(CONTENT_LENGTH);
            let room = &task.room;
            let is_last = is_http10 && is_unframed
                || number >= room.options.max_requests
                || access.with(|state| state.has_left_body || state.stream.as_ref().is_some_and(Stream::is_worn))
                || room.server.is_stopping();
            let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            access.with(|state| state.stage = if is_switch { Stage::Switching } else { Stage::Begun });
            reply.report.iter_mut().for_each(|report| report.respond(response.status().as_u16()));
            let mut response = response.map(|body| ResponseBody { body, reply });
            // A service may return the response of another server with its version. hyper panics for HTTP/3.
            *response.version_mut() = Version::HTTP_11;
            if is_last && !is_switch {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                if is_http10 {
                    // To a response of version 1.1, hyper would add `keep-alive` if the client asked for it.
                    *response.version_mut() = Version::HTTP_10;
                }
            }
            Ok(response)
        })
    }
}

/// Polls the future of the service until the future returns a response, fails or panics, or is late. Then drops the future.
async fn answer<B: Body, E: Into<BoxError>>(
    future: impl Future<Output = Result<Response<B>, E>>,
    access: &Access,
    is_head: bool,
) -> Result<Response<B>, CloseReason> {
    // The time of the service begins with the first poll, because hyper may have to write earlier responses before.
    access.with(|state| state.deadline.handler = Some(state.seconds));
    let mut future = pin!(future);
    poll_fn(|cx| {
        if access.with(|state| state.stage == Stage::Late) {
            return Poll::Ready(Err(CloseReason::Deadline(Wait::Handler)));
        }
        caught(|| future.as_mut().poll(cx))?.map(|made| {
            let mut response = made.map_err(|error| CloseReason::App(error.into()))?;
            check(&mut response, is_head).map_err(CloseReason::Response)?;
            Ok(response)
        })
    })
    .await
}

/// Returns an error if hyper would change the status of the response, would not send the response, or would send a
/// `content-length` that differs from the length of the body. Removes a `content-length` that must not be sent.
fn check<B: Body>(response: &mut Response<B>, is_head: bool) -> Result<(), LocalError> {
    let status = response.status();
    if matches!(status.as_u16(), 100 | 102..200) {
        return Err(LocalError::Status);
    }
    let body = response.body();
    let exact = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let headers = response.headers_mut();
    // axum adds the length of the body. The field must not be sent with `transfer-encoding` (RFC 9112 §6.2), and not in a 101 or
    // 204 (RFC 9110 §8.6). A 304 has no body, so the added length would be wrong.
    if headers.contains_key(TRANSFER_ENCODING) || matches!(status.as_u16(), 101 | 204 | 304) {
        headers.remove(CONTENT_LENGTH);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|digits| digits.parse::<u64>().ok());
    // A response to HEAD usually comes without the body whose length it has.
    let is_of_body = is_head && exact == Some(0) || exact.is_none_or(|exact| Some(exact) == length);
    if length.is_none() || !is_of_body || lengths.any(|other| other != first) {
        return Err(LocalError::ContentLength);
    }
    if is_head {
        // hyper would not send a response to HEAD that has the field twice.
        let first = first.clone();
        headers.insert(CONTENT_LENGTH, first);
    }
    Ok(())
}
