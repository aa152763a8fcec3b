//! The task of a connection under `hyper::serve`. It runs on the runtime of the program.
//!
//! The task polls the handshake, and then hyper. [`Pulse::watch`] ends both when a deadline expires.

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
use super::io::{Io, Room};
use super::pulse::Pulse;
use super::service::Exchanges;
use crate::connection::CloseReason;
use crate::listen::Accepted;
use crate::options::Options;
use crate::stream::{Socket, Stream, Transport};

/// The maximum size in bytes of hyper's buffers. They contain a head, a body that the service does not read, or a response that
/// the peer does not read.
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
    let (stream, pulse) = (Stream::new(socket), Pulse::new(room.server.clone(), options, room.alarm.clone(), client));
    #[cfg(feature = "tls")]
    let (mut stream, mut pulse) = (stream, pulse);
    #[cfg(feature = "tls")]
    let secured = secure(&mut stream, &mut pulse).await;
    let pulse = Arc::new(pulse);
    let (server, options, peer) = (&pulse.server, &pulse.options, &pulse.peer.address);
    let io = Io::new(stream, pulse.clone(), room);
    #[cfg(feature = "tls")]
    if let Err(reason) = secured {
        reason.log(server, peer, 0);
        let mut io = io;
        let _ = pulse.watch(poll_fn(|cx| io.poll_end(cx))).await;
        return;
    }

    let connection = http1::Builder::new()
        .auto_date_header(options.date)
        // With `half_close`, hyper does not end the connection when the peer ends its side. `Io` detects that the peer is gone.
        .half_close(true)
        .max_headers(options.limits.max_fields)
        .max_header_size(options.limits.max_head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(io), Exchanges::new(service, pulse.clone()))
        .with_upgrades();
    let ended = pulse.watch(connection).await;
    let requests = pulse.lock().exchanges;
    match &ended {
        Err(reason) => reason.log(server, peer, requests),
        Ok(Ok(())) => {
            tracing::debug!(%peer, requests, reason = "the connection was closed, or was not kept alive after its last response", "connection ends")
        }
        Ok(Err(error)) => match error.is_parse().then(|| server.may_log()).flatten() {
            Some(suppressed_lines) => {
                tracing::info!(%peer, requests, reason = %error, suppressed_lines, "connection ends")
            }
            None => tracing::debug!(%peer, requests, reason = %error, "connection ends"),
        },
    }
    if pulse.lock().is_upgraded() {
        // The byte stream belongs to the service now. If the service drops the byte stream, this task notices it within a
        // second.
        let is_gone = poll_fn(|_| if pulse.lock().is_gone { Poll::Ready(()) } else { Poll::Pending });
        let watched = pulse.watch(is_gone).await;
        if watched.is_err() {
            pulse.cut();
        }
        if let Some(report) = pulse.take_report() {
            match watched {
                Ok(()) => report.end(),
                Err(reason) => report.cut(&reason, 0),
            }
        }
    } else {
        report_last(&pulse, &ended);
    }
}

/// Reports the last exchange of a connection, if it was not reported yet. In that case the response was cut, the response did
/// not begin, or hyper refused the request.
fn report_last(pulse: &Pulse, ended: &Result<Result<(), hyper::Error>, CloseReason>) {
    match ended {
        Ok(Err(error)) if error.is_parse() && pulse.owes_refusal() => {
            return pulse.report_refusal(if error.is_parse_too_large() { 431 } else { 400 }, 0);
        }
        _ => {}
    }
    let Some(report) = pulse.take_report() else { return };
    match ended {
        Err(reason) => report.cut(reason, 0),
        Ok(Err(error)) if error.is_user() => report.cut(&CloseReason::Body(error.to_string().into()), 0),
        Ok(_) => report.cut(&CloseReason::Gone(None), 0),
    }
}

/// Makes the TLS handshake, if the server has TLS.
#[cfg(feature = "tls")]
async fn secure(stream: &mut Stream<Socket>, pulse: &mut Pulse) -> Result<(), CloseReason> {
    let Some(tls) = pulse.options.tls.clone() else { return Ok(()) };
    let changes = tls.changes();
    pulse.begin_handshake();
    // A shutdown does not wait for a peer that has sent nothing.
    let check = |socket: &Socket| match pulse.server.is_stopping() && !socket.has_input() {
        true => Err(CloseReason::Shutdown),
        false => Ok(()),
    };
    let identity = pulse.watch(stream.secure(&tls, check)).await??;
    pulse.end_handshake(identity, changes);
    Ok(())
}
