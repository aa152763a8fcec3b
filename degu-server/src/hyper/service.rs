//! The layer between hyper and the service. It adds the [`Caller`] to every request. If the service
//! makes no response, this layer makes a response.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use degu_wire::{Address, BoxError, Fault, Method, RemoteError};
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::caller::Caller;
use super::pulse::{Hold, Pulse};
use crate::connection::{CloseReason, Wait};
use crate::report::{Peer, Report};

/// The service of one connection.
pub(super) struct Exchanges<S> {
    service: TowerToHyperService<S>,
    pulse: Arc<Pulse>,
}

impl<S> Exchanges<S> {
    pub(super) fn new(service: S, pulse: Arc<Pulse>) -> Self {
        Self { service: TowerToHyperService::new(service), pulse }
    }
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
        let pulse = self.pulse.clone();
        let report = pulse.options.on_response.as_ref().map(|on_response| {
            let target = request.uri().to_string();
            Report::begin(on_response, request.method().as_str(), &target, Peer::clone(&pulse.peer))
        });
        let hold = pulse.begin(request.method() == hyper::Method::HEAD, report);
        let is_http10 = request.version() == Version::HTTP_10;
        let (peer, server) = (pulse.peer.clone(), pulse.server.clone());
        request.extensions_mut().insert(Caller { peer, server, requests: hold.exchange() });
        let future = match Method::from(request.method().as_str()) {
            _ if is_http10 && !pulse.options.limits.allow_http10 => Err(RemoteError::from(Fault::VersionNotSupported)),
            method if !pulse.options.allows(method) => Err(RemoteError::from(Fault::MethodNotImplemented)),
            _ => {
                let expects_continue = request.headers().contains_key(EXPECT);
                let request = request.map(|body| RequestBody::new(body, &hold, expects_continue));
                Ok(hyper::service::Service::call(&self.service, request))
            }
        };
        Box::pin(async move {
            let made = match future {
                Ok(future) => answer(future, &hold, &pulse.peer.address).await,
                Err(fault) if !pulse.options.answers_faults() => {
                    // `Io` notices the fault, and ends the connection.
                    hold.with(|state| state.end = Some(CloseReason::Peer(fault)));
                    pending().await
                }
                Err(fault) => Err(CloseReason::Peer(fault)),
            };
            // In HTTP/1.0, the end of the connection marks the end of a body without a length. hyper does not say so in the
            // field `connection`.
            let is_unframed = |response: &Response<B>| {
                response.body().size_hint().exact().is_none() && !response.headers().contains_key(CONTENT_LENGTH)
            };
            let is_last = made.as_ref().map_or(true, |response| is_http10 && is_unframed(response))
                || hold.exchange() >= pulse.options.max_requests
                || hold.with(|state| state.has_left_body)
                || pulse.server.is_stopping();
            let mut response = match made {
                Ok(response) => {
                    hold.respond(response.status());
                    response.map(|body| ResponseBody::new(body, hold))
                }
                Err(reason) => {
                    let status = reason.status().unwrap_or(500);
                    let (media_type, body) = pulse.options.body_of_error(status, reason.text(status));
                    let status = StatusCode::from_u16(status).unwrap_or_default();
                    hold.respond(status);
                    let mut response = Response::new(ResponseBody::of_text(body, hold));
                    *response.status_mut() = status;
                    if let Ok(media_type) = HeaderValue::from_str(media_type) {
                        response.headers_mut().insert(CONTENT_TYPE, media_type);
                    }
                    response
                }
            };
            if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
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

/// Polls the future of the service until the future returns a response, fails, panics or is late. If the result is a reason and
/// not a response, the caller makes a response from the reason.
async fn answer<B, E: Into<BoxError>>(
    future: impl Future<Output = Result<Response<B>, E>>,
    hold: &Hold,
    peer: &Address,
) -> Result<Response<B>, CloseReason> {
    let mut future = pin!(Some(future));
    poll_fn(|cx| {
        let is_ours = |end: &CloseReason| matches!(end, CloseReason::Deadline(Wait::Handler));
        let ends = hold.with(|state| state.end.as_ref().map(is_ours));
        if ends.is_some() {
            future.set(None);
        }
        let Some(future) = future.as_mut().as_pin_mut() else {
            // If the client is late, and not the service, `Io` sends the response without hyper.
            let is_late = ends == Some(true);
            return if is_late { Err(CloseReason::Deadline(Wait::Handler)).into() } else { Poll::Pending };
        };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map_err(|error| {
                let error = error.into();
                tracing::error!(%peer, %error, "the service failed");
                CloseReason::App(error)
            }),
            Err(_) => {
                tracing::error!(%peer, "the service panicked");
                Err(CloseReason::Panic).into()
            }
        }
    })
    .await
}
