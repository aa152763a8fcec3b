//! A connection's stream with its exchange, and the loop that takes the steps that the exchange wants.
//!
//! The loop is the same for both drivers. Only reading and waiting differ. The async driver returns `Poll::Pending`,
//! and its task is woken later. The blocking driver blocks its thread, so the loop never has to return `Poll::Pending`.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    thread::yield_now,
    time::{Duration, Instant},
};

use bytes::Bytes;
use degu_wire::machine::ResponseHead;
use degu_wire::{Address, BodyOf, Headers, IntoBody, LocalError, Method, Part, Source, Step};

use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase, Timeout};
use crate::exchange::{Exchange, Question, Want};
use crate::options::Base;
use crate::stream::Stream;

/// The source of a request's body; `None` without a body, and after its end.
pub(crate) type SourceOf<S> = Option<Pin<Box<S>>>;

/// A new connection: its stream, and the address to which it was made.
pub(crate) type Connected<D> = (Box<<D as Driver>::Stream>, Address);

/// The way in which a connection waits: a task that is woken, or a thread that blocks.
pub(crate) trait Driver: Default + fmt::Debug + Sized {
    /// The stream under the connection.
    type Stream: Stream + ?Sized;
    /// The runtime in which a stream can be used. The blocking client has none, so its type is `()`.
    type Home: Copy + fmt::Debug + PartialEq + Send;
    /// The source of a request's body.
    type Source: Source + ?Sized;
    /// True if this driver and its sources of bodies block the thread. Then a connection's polls are never pending.
    const BLOCKS: bool;

    /// Returns the time on the driver's clock.
    fn now() -> Instant;

    /// Returns the runtime in which the caller runs.
    fn home() -> Self::Home;

    /// Reads into the buffer of the exchange. `Pending` means that nothing has been received. The inner result is the
    /// result of the read. The outer result is an error if a timeout expired.
    fn poll_read(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<io::Result<usize>, Error>>;

    /// Waits until the stream is ready, or until the deadline of the current wait. At the deadline, returns the result
    /// of [`Exchange::end_wait`]. `Ok` means that the exchange can continue.
    fn poll_wait(line: &mut Line<'_, Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
}

/// The fields of an open link, lent to its driver.
pub(crate) struct Line<'l, D: Driver> {
    pub(crate) stream: &'l mut D::Stream,
    pub(crate) exchange: &'l mut Exchange,
    #[cfg_attr(not(feature = "async"), expect(dead_code, reason = "the blocking driver has no fields"))]
    pub(crate) driver: &'l mut D,
}

impl<D: Driver> Line<'_, D> {
    /// Takes the steps that the exchange wants, until the question is answered. `Pending` means that the driver waits,
    /// or lets other tasks run. After an error the caller closes the connection.
    #[inline(always)]
    fn poll<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
        question: Question,
    ) -> Poll<Result<(), Error>> {
        self.exchange.retry()?;
        loop {
            match self.exchange.want(D::BLOCKS) {
                Want::Source => match source.as_mut().map(|source| source.as_mut().poll_part(cx)) {
                    Some(Poll::Ready(part)) => {
                        let part = part.transpose().map_err(|error| self.exchange.error(error))?;
                        self.exchange.send_part(part)?;
                        source.take_if(|_| !self.exchange.machine.is_sending());
                    }
                    _ => self.exchange.stuck.source = true,
                },
                Want::Write => match self.poll_write(cx) {
                    Poll::Ready(Ok(())) => {}
                    failed => {
                        // A write of TLS records that fails or waits may have sent some of the records.
                        self.exchange.sent |= self.stream.has_records();
                        if failed.is_pending() {
                            self.exchange.stuck.write = true;
                        } else {
                            self.exchange.stop_sending();
                            *source = None;
                        }
                    }
                },
                Want::Answer => {
                    if let answer @ Poll::Ready(_) = self.exchange.answer(question) {
                        return answer;
                    }
                }
                Want::Read => match D::poll_read(self, cx)? {
                    Poll::Ready(Ok(0)) if self.stream.is_interrupted() => {
                        return Poll::Ready(Err(self.exchange.error(ErrorKind::Interrupted)));
                    }
                    Poll::Ready(read) => {
                        self.exchange.received(read)?;
                        if let answer @ Poll::Ready(_) = self.exchange.answer(question) {
                            return answer;
                        }
                    }
                    Poll::Pending => self.exchange.stuck.read = true,
                },
                Want::Yield => {
                    self.exchange.began = None;
                    if !D::BLOCKS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    self.exchange.retry()?;
                }
                Want::Wait => ready!(D::poll_wait(self, cx))?,
            }
        }
    }

    /// Writes pending bytes once. If no bytes are pending, flushes the stream. `Pending` means that the stream takes no
    /// bytes now.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, exchange, .. } = self;
        if exchange.machine.is_flushed() {
            ready!(stream.poll_flush(cx))?;
            exchange.flushed();
        } else {
            let pending = exchange.machine.pending();
            let bytes = ready!(pending.write_with(|pieces| stream.poll_write(cx, pieces)))?;
            exchange.transmitted(bytes);
        }
        Poll::Ready(Ok(()))
    }

    /// Busy-polls the stream. Returns the result of a read, or the step at which the spinner stops for now:
    /// [`Step::Block`] or [`Step::RunOthers`].
    pub(crate) fn spin(&mut self) -> Result<io::Result<usize>, Step> {
        let epoch = self.exchange.epoch;
        loop {
            match self.exchange.spinner.step(|| epoch.elapsed()) {
                Step::Read => {}
                Step::Yield => yield_now(),
                stop => return Err(stop),
            }
            match self.stream.read(self.exchange.machine.receive_buffer(), false) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                read => {
                    self.exchange.spinner.found(|| epoch.elapsed());
                    return Ok(read);
                }
            }
        }
    }
}

/// Returns the header fields of a request, including the fields of the options, and the body.
#[inline]
pub(crate) fn prepare<S: ?Sized>(
    base: &Base,
    headers: impl TryInto<Headers, Error: Into<Error>>,
    body: impl IntoBody<S>,
) -> Result<(Headers, BodyOf<S>), Error> {
    let mut headers = headers.try_into().map_err(Into::into)?;
    if !base.settings.headers.is_empty() {
        headers = add_fields(&base.settings.headers, headers)?;
    }
    let body = body.into_body(&mut headers);
    Ok((headers, body.map_err(|error| Error::new(ErrorKind::Body(error), Phase::Requesting))?))
}

/// Adds the fields of the options to the fields of a request. A field of the request replaces the options' fields with
/// the same name.
fn add_fields(options: &Headers, headers: Headers) -> Result<Headers, LocalError> {
    if headers.is_empty() {
        return Ok(options.clone());
    }
    let mut all = headers.clone();
    for (name, value) in options.iter() {
        if !headers.contains(name) {
            all.append_bytes(name, value)?;
        }
    }
    Ok(all)
}

/// The stream of a connection, and its exchange.
pub(crate) struct Link<D: Driver> {
    /// `None` after the connection was closed, or has switched to another protocol.
    pub(crate) stream: Option<Box<D::Stream>>,
    pub(crate) exchange: Exchange,
    /// The timeout of the exchanges that begin from now on.
    pub(crate) timeout: Option<Duration>,
    driver: D,
}

impl<D: Driver> Link<D> {
    pub(crate) fn new(stream: Box<D::Stream>, base: Arc<Base>) -> Self {
        Self {
            timeout: base.settings.timeout,
            exchange: Exchange::new(base, D::now, stream.is_socket()),
            stream: Some(stream),
            driver: D::default(),
        }
    }

    /// Checks that the stream is idle, and begins a request. The request offers to switch to `protocol`, if there is
    /// one. Returns the source of the request's body.
    pub(crate) fn begin<S: ?Sized>(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: impl IntoBody<S>,
        protocol: Option<&str>,
    ) -> Result<SourceOf<S>, Error> {
        let (headers, body) = prepare(&self.exchange.base, headers, body)?;
        let (content, source) = body.split();
        self.settle();
        // Without a stream there is nothing to check. The machine is then closed as well, and refuses the request.
        let checked = self.stream.as_mut().map_or(Ok(()), |stream| stream.check());
        let until = Deadline::new(Timeout::Exchange, self.timeout, D::now);
        self.exchange.prepare(until, None);
        let begun = match checked {
            Ok(()) => self.exchange.begin(method, uri, &headers, &content, protocol),
            Err(kind) => Err(self.exchange.refused(kind)),
        };
        match begun {
            // After a mistake of the caller the connection stays open, because no byte was written.
            Err(mut error) if error.local().is_none() => {
                self.close_after(&mut error);
                Err(error)
            }
            begun => begun.map(|()| source),
        }
    }

    /// Closes the connection after this error. After an interruption the error becomes [`ErrorKind::Interrupted`],
    /// because the interruption may have caused the error.
    #[cold]
    fn close_after(&mut self, error: &mut Error) {
        if self.stream.as_deref().is_some_and(D::Stream::is_interrupted) {
            *error = self.exchange.error(ErrorKind::Interrupted);
        }
        self.close();
    }

    /// Returns `true` if the stream is open and idle, so a request can be sent. Returns `false` if the link has no
    /// stream, or if data, EOF or an error has arrived.
    pub(crate) fn check(&mut self) -> bool {
        self.stream.as_mut().is_some_and(|stream| stream.check().is_ok())
    }

    /// Polls until the head of the response has been received. [`take_head`](Self::take_head) then returns the head.
    pub(crate) fn poll_head<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        self.poll(cx, source, Exchange::poll_head)
    }

    /// Takes the head of the response. Returns an error if no head has been received.
    #[inline]
    pub(crate) fn take_head(&mut self) -> Result<ResponseHead, Error> {
        self.exchange.head.take().ok_or_else(|| self.exchange.error(ErrorKind::Closed))
    }

    /// Polls for the next part of the response's body. `None` means that the response has been received and the request
    /// has been sent.
    pub(crate) fn poll_part<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<Option<Part>, Error>> {
        if self.exchange.has_ended() {
            return Poll::Ready(Ok(None));
        }
        self.poll(cx, source, Exchange::poll_part).map_ok(|()| self.exchange.part.take())
    }

    fn poll<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
        question: Question,
    ) -> Poll<Result<(), Error>> {
        let Self { stream: Some(stream), exchange, driver, .. } = self else {
            return Poll::Ready(Err(self.exchange.error(ErrorKind::Closed)));
        };
        let mut polled = Line { stream: &mut **stream, exchange, driver }.poll(cx, source, question);
        if let Poll::Ready(Err(error)) = &mut polled {
            self.close_after(error);
        } else if self.exchange.has_ended() {
            self.close_unless_reusable();
        }
        polled
    }

    /// Returns the rest of a body of known length. Returns `None` if a part of the rest has not been received, or a
    /// part of the request has not been sent.
    pub(crate) fn take_rest(&mut self) -> Option<Bytes> {
        let rest = self.exchange.take_rest()?;
        self.close_unless_reusable();
        Some(rest)
    }

    /// Ends an exchange that the caller has abandoned. The connection stays open if the rest of the response has been
    /// received, and is closed otherwise.
    #[inline(always)]
    pub(crate) fn settle(&mut self) {
        if self.exchange.is_open() {
            self.exchange.abandon();
            self.close_unless_reusable();
        }
    }

    /// Frees large buffers, for a connection that may be idle for a long time.
    #[inline]
    pub(crate) fn release_buffers(&mut self) {
        if self.exchange.machine.has_large_buffers() {
            self.exchange.machine.release_buffers();
            if let Some(stream) = &mut self.stream {
                stream.release_buffers();
            }
        }
    }

    /// Takes the stream of a connection that has switched to another protocol, and the bytes that have been received
    /// since the switch. The link has no stream after this. `None` if the connection has not switched.
    pub(crate) fn take_switched(&mut self) -> Option<(Box<D::Stream>, Bytes)> {
        if !self.exchange.machine.has_switched() {
            return None;
        }
        let first = self.exchange.machine.take_buffered();
        let stream = self.stream.take()?;
        self.close();
        Some((stream, first))
    }

    /// Closes the connection after the end of an exchange, if no other request can follow.
    #[inline]
    fn close_unless_reusable(&mut self) {
        if !self.exchange.is_reusable() && !self.exchange.machine.has_switched() {
            self.close();
        }
    }

    pub(crate) fn close(&mut self) {
        self.exchange.machine.close();
        self.stream = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stream.is_none()
    }

    /// Closes the connection because of a fault in the response. Returns the error.
    pub(crate) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        self.close();
        self.exchange.error(kind)
    }
}
