//! A connection from its first byte to its last: a task of the caller's runtime.
//!
//! The task polls the handshake, and then hyper. [`Pulse::watch`] ends either when a deadline expires.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use degu_wire::BoxError;
use http_body::Body;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::body::RequestBody;
use super::caller::Origin;
use super::io::Io;
use super::pulse::Pulse;
use super::room::Room;
use super::service::Exchanges;
use crate::connection::CloseReason;
use crate::listen::Accepted;
use crate::options::Options;
use crate::report::Report;
#[cfg(feature = "tls")]
use crate::revocation::Vetted;
use crate::state::ServerState;
use crate::stream::{Socket, Stream, Transport};

/// The most bytes in hyper's buffers: of a head, of a body that the service does not read, and of a response that the peer does
/// not take.
const BUFFER: usize = 64 * 1024;

/// Serves a connection until it ends.
pub(super) async fn serve<S, B>(accepted: Accepted, room: Room, options: Arc<Options>, service: S)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (socket, client) = match Socket::register(accepted) {
        Ok(registered) => registered,
        Err(error) => return tracing::warn!(%error, "cannot serve an accepted connection"),
    };
    tracing::debug!(peer = %client.address, "connection opened");
    let (server, alarm) = (room.server.clone(), room.alarm.clone());
    let pulse = Arc::new(Pulse::new(server.clone(), options.clone(), alarm));
    let mut io = Io::new(Stream::new(socket), pulse.clone(), room);
    let secured = pulse.watch(secure(&mut io.stream, &pulse, &server, &options), || false).await;
    let origin = Arc::new(match secured.unwrap_or_else(Err) {
        #[cfg(feature = "tls")]
        Ok((identity, vetted)) => Origin {
            peer: crate::report::Peer { identity, ..client },
            vetted,
            server: server.clone(),
            options: options.clone(),
        },
        #[cfg(not(feature = "tls"))]
        Ok(()) => Origin { peer: client, server: server.clone(), options: options.clone() },
        Err(reason) => {
            reason.log(&server, &client.address, 0);
            let _ = pulse.watch(poll_fn(|cx| io.poll_end(|_| Default::default(), cx)), || false).await;
            return;
        }
    });

    let connection = http1::Builder::new()
        .auto_date_header(options.date)
        // `Io` detects that the peer is gone.
        .half_close(true)
        .max_headers(options.limits.max_fields)
        .max_header_size(options.limits.max_head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), Exchanges::new(service, pulse.clone(), origin.clone()))
        .with_upgrades();
    let ended = pulse.watch(connection, || origin.is_revoked()).await;
    let (peer, requests) = (&origin.peer.address, pulse.requests());
    match &ended {
        Err(reason) => reason.log(&server, peer, requests),
        Ok(Ok(())) => {
            tracing::debug!(%peer, requests, reason = "the connection was closed, or was not kept alive after its last response", "connection ends")
        }
        Ok(Err(error)) => match error.is_parse().then(|| server.may_log()).flatten() {
            Some(held_back) => tracing::info!(%peer, requests, reason = %error, held_back, "connection ends"),
            None => tracing::debug!(%peer, requests, reason = %error, "connection ends"),
        },
    }
    if pulse.is_upgraded() {
        // The bytes are not HTTP any more, and belong to the service. Within a second it is noticed that the service has dropped
        // them.
        let is_gone = poll_fn(|_| if pulse.is_gone() { Poll::Ready(()) } else { Poll::Pending });
        let watched = pulse.watch(is_gone, || origin.is_revoked()).await;
        if watched.is_err() {
            pulse.cut();
        }
        if let Some(report) = pulse.take_report().0 {
            match watched {
                Ok(()) => report.end(),
                Err(reason) => report.cut(&reason, 0),
            }
        }
    } else if options.on_response.is_some() {
        report_last(&pulse, &origin, &ended);
    }
}

/// Reports the last exchange of a connection: a response that was cut or did not begin, or a request that was refused before the
/// service got it.
fn report_last(pulse: &Pulse, origin: &Origin, ended: &Result<Result<(), hyper::Error>, CloseReason>) {
    let (report, late) = pulse.take_report();
    let refused = match ended {
        _ if late.is_some() => late.map(|body_bytes| (408, body_bytes)),
        Ok(Err(error)) if error.is_parse_too_large() => Some((431, 0)),
        Ok(Err(error)) if error.is_parse() && report.is_none() => Some((400, 0)),
        _ => None,
    };
    let report = report.or_else(|| {
        let on_response = origin.options.on_response.as_ref().filter(|_| refused.is_some())?;
        Some(Report::without_head(on_response, origin.peer.clone()))
    });
    match (report, refused, ended) {
        (Some(mut report), Some((status, body_bytes)), _) => {
            report.respond(status);
            report.add(body_bytes);
            report.end();
        }
        (Some(report), None, Err(reason)) => report.cut(reason, 0),
        (Some(report), None, Ok(Err(error))) if error.is_user() => {
            report.cut(&CloseReason::Body(error.to_string().into()), 0);
        }
        (Some(report), None, Ok(_)) => report.cut(&CloseReason::Gone(None), 0),
        (None, ..) => {}
    }
}

/// The identity of the peer, and the check whether its certificate was revoked.
#[cfg(feature = "tls")]
type Secured = (Option<Arc<degu_tls::PeerIdentity>>, Option<Vetted>);

/// Makes the TLS handshake, and returns the identity of the peer.
#[cfg(feature = "tls")]
async fn secure(
    stream: &mut Stream<Socket>,
    pulse: &Pulse,
    server: &ServerState,
    options: &Options,
) -> Result<Secured, CloseReason> {
    let Some(tls) = &options.tls else { return Ok((None, None)) };
    let changes = tls.changes();
    pulse.begin_handshake();
    let peer = stream.secure(tls, &server.handshakes, || server.is_stopping()).await?;
    pulse.end_handshake();
    let vetted = Vetted::new(options, peer.as_ref(), changes);
    Ok((peer, vetted))
}

#[cfg(not(feature = "tls"))]
async fn secure(_: &mut Stream<Socket>, _: &Pulse, _: &ServerState, _: &Options) -> Result<(), CloseReason> {
    Ok(())
}
