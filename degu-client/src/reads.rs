//! The methods that read the body of a response: whole, in pieces, as events or lines, or as the text of an error.

use crate::error::Error;
use crate::incoming::ResponseOf;

/// The largest number of bytes of the body that an error keeps.
pub(crate) const EXCERPT: usize = 4 * 1024;

impl<B> ResponseOf<B> {
    /// Returns whether the status means success: 200 to 299 (RFC 9110 §15.3).
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Returns the error for the status. `text` is the beginning of the body.
    pub(crate) fn error(&self, text: &[u8]) -> Error {
        #[cfg(feature = "json")]
        let problem = self.problem(text);
        #[cfg(not(feature = "json"))]
        let problem: Option<String> = None;
        Error::of_status(self.status, &String::from_utf8_lossy(text), problem.as_deref())
    }

    /// Returns the `detail` or the `title` of a body that describes a problem (RFC 9457).
    #[cfg(feature = "json")]
    fn problem(&self, body: &[u8]) -> Option<String> {
        let media_type = self.headers.get("content-type")?.split(';').next()?.trim();
        if !media_type.eq_ignore_ascii_case("application/problem+json") {
            return None;
        }
        let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
        ["detail", "title"].iter().find_map(|name| problem.get(name)?.as_str().map(str::to_owned))
    }
}

/// Defines the methods that read a body: with `async` and `.await` for the async client, without them for the blocking
/// client.
macro_rules! reads {
    ($driver:ty, $wait:path, [$($async:tt)?], [$($await:tt)*]) => {
        impl<H: crate::incoming::Hold<$driver>, S: degu_wire::Source + ?Sized>
            crate::incoming::IncomingOf<$driver, H, S>
        {
            /// Reads the rest of the body into memory, at most `limit` bytes.
            ///
            /// # Errors
            ///
            /// [`Fault::BodyTooLarge`](crate::Fault::BodyTooLarge) if the rest is longer than `limit`. If the length
            /// was announced, no data is read before this error. Any other error of the exchange.
            pub $($async)? fn read_all(&mut self, limit: usize) -> Result<crate::Bytes, crate::Error> {
                if let Some(rest) = self.take_rest(limit) {
                    return Ok(rest);
                }
                let mut whole = crate::Bytes::new();
                $wait(|cx| self.poll_all(cx, limit, &mut whole)) $($await)*
            }

            /// Reads the rest of the body as text, at most `limit` bytes. A byte order mark stays in the text.
            ///
            /// # Errors
            ///
            /// The errors of [`read_all`](Self::read_all), and [`ErrorKind::Content`](crate::ErrorKind::Content) if the
            /// text is not UTF-8. The whole body has then been read, so this error does not close the connection.
            pub $($async)? fn text(&mut self, limit: usize) -> Result<String, crate::Error> {
                crate::incoming::parse_text(self.read_all(limit) $($await)* ?)
            }

            /// Reads the rest of the body as JSON, at most `limit` bytes, and parses it.
            ///
            /// The content-type of the response must be `application/json`, or have the suffix `+json`, with any
            /// parameters. A byte order mark is not JSON (RFC 8259 §8.1).
            ///
            /// # Errors
            ///
            /// The errors of [`read_all`](Self::read_all), and [`ErrorKind::Content`](crate::ErrorKind::Content). An
            /// error of this kind does not close the connection, and has one of these reasons:
            ///
            /// - The response has no body: a 204, for example.
            /// - The content-type is not JSON. The body has not been read, and the caller can read it in another way.
            ///   If the caller drops the body instead, and not all of it has been received, the connection is closed.
            /// - The body is not JSON or does not fit `T`. The whole body has been read. A
            ///   [`JsonError`](crate::JsonError) has the line and the column, and the missing field or the expected
            ///   type.
            /// - No data is left to parse: the body is empty, or an earlier call has read it.
            #[cfg(feature = "json")]
            pub $($async)? fn json<T: serde::de::DeserializeOwned>(&mut self, limit: usize) -> Result<T, crate::Error> {
                self.check_json()?;
                let rest = self.read_all(limit) $($await)* ?;
                self.parse_json(&rest)
            }

            /// Reads the next piece of data; `None` at the end of the body. A piece is never empty. Pieces do not show
            /// the boundaries of chunks.
            ///
            /// # Errors
            ///
            /// Any error of the exchange. The data before the error is only a part of the body.
            pub $($async)? fn next_data(&mut self) -> Result<Option<crate::Bytes>, crate::Error> {
                $wait(|cx| self.poll_data(cx)) $($await)*
            }

            /// Reads the next whole chunk with its extensions; `None` at the end. If an earlier call returned a part of
            /// the chunk as data, this method returns the rest of the chunk, without the extensions. If the body is not
            /// chunked, this method returns the rest of the body as one chunk.
            ///
            /// # Errors
            ///
            /// [`Fault::ChunkTooLarge`](crate::Fault::ChunkTooLarge) if the chunk is longer than
            /// [`Limits::max_chunk`](crate::Limits), 16 MiB by default. Any other error of the exchange. A chunk that
            /// was received only in part is never returned.
            pub $($async)? fn next_chunk(&mut self) -> Result<Option<crate::Chunk>, crate::Error> {
                $wait(|cx| self.poll_chunk(cx)) $($await)*
            }

            /// Reads the next part as it is received; `None` at the end of the body. A proxy that forwards the body
            /// uses this method. A part is a whole chunk, the beginning of a chunk, data, or the extensions and
            /// trailers after the last chunk. The rest of a chunk follows as data.
            ///
            /// # Errors
            ///
            /// Any error of the exchange. The data before the error is only a part of the body.
            pub $($async)? fn next_part(&mut self) -> Result<Option<crate::Part>, crate::Error> {
                $wait(|cx| self.poll_part(cx)) $($await)*
            }

            /// Reads the next server-sent event; `None` at the end of the body.
            ///
            /// [`sse::Decoder`](crate::sse::Decoder) bounds the length of an event, and keeps the beginning of an event
            /// until the rest has been received. When a connection ends, keep the decoder. A new request resumes the
            /// stream if its field `last-event-id` has the value of the decoder's
            /// [`last_event_id`](crate::sse::Decoder::last_event_id).
            ///
            /// A caller that drops the response before the end of the body calls
            /// [`reset`](crate::sse::Decoder::reset) before it uses the decoder for another response. Otherwise the
            /// beginning of an event of the old stream is joined with the new stream.
            ///
            /// # Errors
            ///
            /// [`Fault::LineTooLong`](crate::Fault::LineTooLong) if an event is longer than the decoder's limit. Any
            /// other error of the exchange. After an error the unfinished event is dropped.
            pub $($async)? fn next_event(
                &mut self,
                events: &mut crate::sse::Decoder,
            ) -> Result<Option<crate::sse::Event>, crate::Error> {
                loop {
                    match events.next_event().map_err(|fault| self.fail(fault)) {
                        Ok(None) => {}
                        event => return event.inspect_err(|_| events.reset()),
                    }
                    match self.next_data() $($await)* {
                        Ok(Some(data)) => events.push(data),
                        end => {
                            events.reset();
                            return end.map(|_| None);
                        }
                    }
                }
            }

            /// Reads the next line, for example of JSON lines; `None` at the end of the body. The line is returned
            /// without its LF or CRLF. The last line may end without a LF. [`Lines`](crate::Lines) bounds the length of
            /// a line, and keeps the beginning of a line until the rest has been received.
            ///
            /// A caller that drops the response before the end of the body calls [`reset`](crate::Lines::reset) before
            /// it uses the decoder for another response.
            ///
            /// # Errors
            ///
            /// [`Fault::LineTooLong`](crate::Fault::LineTooLong) if a line is longer than the limit. Any other error of
            /// the exchange. After an error the unfinished line is dropped.
            pub $($async)? fn next_line(
                &mut self,
                lines: &mut crate::Lines,
            ) -> Result<Option<crate::Bytes>, crate::Error> {
                loop {
                    match lines.next_line().map_err(|fault| self.fail(fault)) {
                        Ok(None) => {}
                        line => return line.inspect_err(|_| lines.reset()),
                    }
                    match self.next_data() $($await)* {
                        Ok(Some(data)) => lines.push(data),
                        end => {
                            let last = lines.finish();
                            return end.map(|_| last);
                        }
                    }
                }
            }
        }

        impl<H: crate::incoming::Hold<$driver>, S: degu_wire::Source + ?Sized>
            crate::incoming::ResponseOf<crate::incoming::IncomingOf<$driver, H, S>>
        {
            /// Returns the response if [`is_success`](crate::ResponseOf::is_success) is true, that is, if the status is
            /// 2xx. Otherwise returns an error with the status and the first 4 KiB of the body as text. A redirect (3xx)
            /// is also an error, because the client does not follow redirects. To follow a redirect, read `status` and
            /// the field `location` before this call, because the error has no headers. After a conditional request,
            /// compare `status` with 304 before this call.
            ///
            /// A body of less than 4 KiB is read to its end, so the connection stays open. If the body is longer, and
            /// not all of it has been received, the connection is closed. If reading the body fails, the text has the
            /// bytes before the failure, and the connection is closed. The failure is not reported, because the status
            /// matters more.
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Status`](crate::ErrorKind::Status), with the response's [`status`](crate::Error::status)
            /// and [`text`](crate::Error::text). The error is never [retryable](crate::Error::is_retryable).
            pub $($async)? fn success(mut self) -> Result<Self, crate::Error> {
                if self.is_success() {
                    return Ok(self);
                }
                let mut text = Vec::new();
                while text.len() < crate::reads::EXCERPT
                    && let Ok(Some(data)) = self.body.next_data() $($await)*
                {
                    text.extend_from_slice(&data[..data.len().min(crate::reads::EXCERPT - text.len())]);
                }
                Err(self.error(&text))
            }
        }
    };
}

pub(crate) use reads;
