//! The layer between hyper and the service, which adds the [`Caller`] to every request. If the service makes no
//! response, the connection's task sends a response without hyper.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use degu_wire::{BoxError, Fault, Method, RemoteError};
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::caller::Caller;
use super::room::Room;
use super::shared::{Hold, Shared};
use crate::connection::{CloseReason, caught};
use crate::options::Options;
use crate::report::{Peer, Report};

/// The service of one connection.
pub(super) struct Exchanges<S> {
    pub(super) service: TowerToHyperService<S>,
    pub(super) shared: Arc<Shared>,
    pub(super) room: Arc<Room>,
    pub(super) options: Arc<Options>,
    pub(super) peer: Arc<Peer>,
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
        let (server, options, peer) = (self.room.server.clone(), self.options.clone(), self.peer.clone());
        self.room.alarm.set_busy();
        let report = options.on_response.as_ref().map(|on_response| {
            let target = request.uri().to_string();
            Report::begin(on_response, request.method().as_str(), &target, Peer::clone(&peer))
        });
        let hold = self.shared.begin(request.method() == hyper::Method::HEAD, report);
        let is_http10 = request.version() == Version::HTTP_10;
        request.extensions_mut().insert(Caller { peer, server: server.clone(), requests: hold.exchange() });
        let future = match Method::from(request.method().as_str()) {
            _ if is_http10 && !options.limits.allow_http10 => Err(RemoteError::from(Fault::VersionNotSupported)),
            method if !options.allows(method) => Err(RemoteError::from(Fault::MethodNotImplemented)),
            _ => {
                let expects_continue = request.headers().contains_key(EXPECT);
                let request = request.map(|body| RequestBody::new(body, &hold, expects_continue));
                Ok(hyper::service::Service::call(&self.service, request))
            }
        };
        Box::pin(async move {
            let made = match future {
                Ok(future) => answer(future, &hold).await,
                Err(fault) => Err(CloseReason::Peer(fault)),
            };
            let response = match made {
                Ok(response) => response,
                Err(reason) => {
                    // When the earlier responses are written, the connection's task takes the reason and drops this future.
                    hold.with(|state| (state.deadline.handler, state.end) = (None, Some(reason)));
                    pending().await
                }
            };
            // In HTTP/1.0, the end of the connection marks the end of a body without a length. In this case hyper does
            // not send `connection: close`, so the field is added below.
            let is_unframed =
                response.body().size_hint().exact().is_none() && !response.headers().contains_key(CONTENT_LENGTH);
            let is_last = is_http10 && is_unframed
                || hold.exchange() >= options.max_requests
                || hold.with(|state| state.has_left_body)
                || server.is_stopping();
            hold.respond(response.status());
            let mut response = response.map(|body| ResponseBody { body, hold });
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

/// Polls the future of the service until the future returns a response, fails or panics, or until the connection's task has
/// stored a reason to refuse the request. Then drops the future.
async fn answer<B, E: Into<BoxError>>(
    future: impl Future<Output = Result<Response<B>, E>>,
    hold: &Hold,
) -> Result<Response<B>, CloseReason> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Some(late) = hold.with(|state| state.end.take()) {
            return Poll::Ready(Err(late));
        }
        match caught(|| future.as_mut().poll(cx)) {
            Ok(polled) => polled.map_err(|error| CloseReason::App(error.into())),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    })
    .await
}
