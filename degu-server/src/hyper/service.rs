//! Between hyper and the service: what every request gets, and what is answered for a service that does not answer.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use degu_wire::{BoxError, Method};
use http_body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{RequestBody, ResponseBody};
use super::caller::{Caller, Origin};
use super::pulse::{Hold, Pulse};

/// The service of one connection.
pub(super) struct Exchanges<S> {
    service: TowerToHyperService<S>,
    pulse: Arc<Pulse>,
    origin: Arc<Origin>,
}

impl<S> Exchanges<S> {
    pub(super) fn new(service: S, pulse: Arc<Pulse>, origin: Arc<Origin>) -> Self {
        Self { service: TowerToHyperService::new(service), pulse, origin }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Exchanges<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Responding<TowerToHyperServiceFuture<S, Request<RequestBody>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let hold = self.pulse.begin();
        let options = &self.origin.options;
        let refused = match Method::from(request.method().as_str()) {
            _ if request.version() == Version::HTTP_10 && !options.limits.allow_http10 => {
                Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED)
            }
            method if !options.allows(method) => Some(StatusCode::NOT_IMPLEMENTED),
            _ => None,
        };
        request.extensions_mut().insert(Caller::new(self.origin.clone(), hold.exchange()));
        let future = refused.is_none().then(|| {
            let request = request.map(|body| RequestBody::new(body, &hold));
            hyper::service::Service::call(&self.service, request)
        });
        Responding { future, refused, hold: Some(hold), origin: self.origin.clone() }
    }
}

pin_project! {
    /// A response on its way: the service's, or one in its place.
    pub(super) struct Responding<F> {
        // Dropped where it has failed or is late.
        #[pin]
        future: Option<F>,
        refused: Option<StatusCode>,
        // There until the response is.
        hold: Option<Hold>,
        origin: Arc<Origin>,
    }
}

impl<F, B, E> Future for Responding<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(hold) = this.hold.as_ref() else { return Poll::Pending };
        let peer = &this.origin.address;
        let late = hold.is_late().then_some(StatusCode::SERVICE_UNAVAILABLE);
        let made = match (this.refused.or(late), this.future.as_mut().as_pin_mut()) {
            (None, Some(future)) => match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Ok(response))) => Ok(response),
                Ok(Poll::Ready(Err(error))) => {
                    tracing::error!(%peer, error = %error.into(), "the service failed");
                    Err(StatusCode::INTERNAL_SERVER_ERROR)
                }
                Err(_) => {
                    tracing::error!(%peer, "the service panicked");
                    Err(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
            (status, _) => {
                if late.is_some() {
                    tracing::error!(%peer, "the service took too long");
                }
                Err(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
        };
        this.future.set(None);
        let stopping = hold.respond();
        let last = stopping || made.is_err() || hold.exchange() >= this.origin.options.max_requests;
        let mut response = match made {
            Ok(response) => response.map(Some),
            Err(status) => {
                let mut response = Response::new(None);
                *response.status_mut() = status;
                response
            }
        };
        if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Taken a few lines above, too.
        let Some(hold) = this.hold.take() else { return Poll::Pending };
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, hold))))
    }
}
