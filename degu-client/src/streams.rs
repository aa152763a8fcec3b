//! Bodies that are streams of lines or of server-sent events, which may have no end.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use degu_wire::sse::{Decoder, Event};
use degu_wire::{Lines, Source};

use crate::error::Error;
use crate::incoming::{Hold, IncomingOf};
use crate::link::Driver;

impl<D: Driver, H: Hold<D>, S: Source + ?Sized> IncomingOf<D, H, S> {
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        events: &mut Decoder,
    ) -> Poll<Result<Option<Event>, Error>> {
        loop {
            match events.next_event() {
                Ok(None) => {}
                Ok(event) => return Poll::Ready(Ok(event)),
                Err(fault) => {
                    events.reset();
                    return Poll::Ready(Err(self.fail(fault)));
                }
            }
            match ready!(self.poll_data(cx)) {
                Ok(Some(data)) => events.push(data),
                end => {
                    events.reset();
                    return Poll::Ready(end.map(|_| None));
                }
            }
        }
    }

    pub(crate) fn poll_line(&mut self, cx: &mut Context<'_>, lines: &mut Lines) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match lines.next_line() {
                Ok(None) => {}
                Ok(line) => return Poll::Ready(Ok(line)),
                Err(fault) => {
                    lines.reset();
                    return Poll::Ready(Err(self.fail(fault)));
                }
            }
            match ready!(self.poll_data(cx)) {
                Ok(Some(data)) => lines.push(data),
                Ok(None) => return Poll::Ready(Ok(lines.finish())),
                Err(error) => {
                    lines.reset();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// Defines the methods that read streams: with `async` and `.await` for the async client, without them for the blocking
/// one.
macro_rules! streams {
    ($driver:ty, $wait:path, [$($async:tt)?], [$($await:tt)*]) => {
        impl<H: crate::incoming::Hold<$driver>, S: degu_wire::Source + ?Sized>
            crate::incoming::IncomingOf<$driver, H, S>
        {
            /// Reads the next server-sent event; `None` at the end of the body.
            ///
            /// [`sse::Decoder`](crate::sse::Decoder) bounds the length of an event, and keeps the beginning of an event
            /// until the rest has been received. The caller keeps the decoder when a connection ends. A request with
            /// the decoder's [`last_event_id`](crate::sse::Decoder::last_event_id) in the field `last-event-id` resumes
            /// the stream.
            ///
            /// # Errors
            ///
            /// [`Fault::LineTooLong`](crate::Fault::LineTooLong) for an event that is longer than the decoder's limit.
            /// Any other error of the exchange. The unfinished event is dropped.
            pub $($async)? fn next_event(
                &mut self,
                events: &mut crate::sse::Decoder,
            ) -> Result<Option<crate::sse::Event>, crate::Error> {
                $wait(|cx| self.poll_event(cx, events)) $($await)*
            }

            /// Reads the next line without its LF or CRLF, of JSON lines for example; `None` at the end of the body.
            /// The last line need not end with a LF. [`Lines`](crate::Lines) bounds the length of a line, and keeps the
            /// beginning of a line until the rest has been received.
            ///
            /// # Errors
            ///
            /// [`Fault::LineTooLong`](crate::Fault::LineTooLong) for a line that is longer than the limit. Any other
            /// error of the exchange. The unfinished line is dropped.
            pub $($async)? fn next_line(
                &mut self,
                lines: &mut crate::Lines,
            ) -> Result<Option<crate::Bytes>, crate::Error> {
                $wait(|cx| self.poll_line(cx, lines)) $($await)*
            }
        }
    };
}

pub(crate) use streams;
