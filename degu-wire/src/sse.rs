//! Server-sent events (the HTML Standard, §9.2): an endless body of type `text/event-stream`.
//!
//! A server sends an [`Event`], and a client receives it. A [`Decoder`] finds events in the bytes of a body. The
//! server's `sse::response` sends events; `next_event` of the clients' bodies reads them. A client that lost its
//! connection sends the request again, with the field `last-event-id`. The decoder has the value of this field:
//!
//! ```
//! use degu_wire::sse::{Decoder, Event};
//!
//! let mut events = Decoder::new(64 * 1024);
//! events.push("retry: 500\n\nid: 7\nda".into());
//! assert_eq!(events.next_event()?, None);
//! events.push("ta: one\ndata: two\n\n".into());
//! assert_eq!(events.next_event()?, Some(Event::new("one\ntwo").id(7)));
//! assert_eq!((events.last_event_id(), events.retry().map(|time| time.as_millis())), ("7", Some(500)));
//! # Ok::<(), degu_wire::Fault>(())
//! ```

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use bytes::Bytes;

use crate::{Fault, FieldError, Lines, LocalError};

/// A server-sent event.
///
/// ```
/// use degu_wire::sse::Event;
///
/// let event = Event::new("one\ntwo").id(7).name("progress");
/// assert_eq!(event.encode()?, "event: progress\nid: 7\ndata: one\ndata: two\n\n");
/// # Ok::<(), degu_wire::FieldError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The type of the event. Browsers treat `None` as `message`.
    pub name: Option<String>,
    /// The data: one or more lines, without the line end of the last line.
    pub data: String,
    /// The identifier of the event, for a client that wants to continue after this event.
    pub id: Option<String>,
    /// The time that a client should wait before it connects again, sent in milliseconds. A [`Decoder`] does not set
    /// this field: it returns the time by [`Decoder::retry`], because a server may send the time without an event.
    pub retry: Option<Duration>,
    /// True if the identifier could not be formatted.
    is_refused: bool,
}

/// Writes only the length of the data, because an event may be secret.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("data", &format_args!("{} bytes", self.data.len())).finish_non_exhaustive()
    }
}

impl Event {
    /// Returns an event with this data and nothing else.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Returns the event with `name` as its type.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Returns the event with an identifier. If `id` cannot be formatted because its [`Display`](fmt::Display) fails,
    /// [`encode`](Self::encode) refuses the event.
    #[must_use]
    pub fn id(mut self, id: impl fmt::Display) -> Self {
        let mut text = String::new();
        self.is_refused = write!(text, "{id}").is_err();
        Self { id: Some(text), ..self }
    }

    /// Returns the event with the time that a client should wait before it connects again.
    #[must_use]
    pub fn retry(self, time: Duration) -> Self {
        Self { retry: Some(time), ..self }
    }

    /// Returns the event as it is sent.
    ///
    /// # Errors
    ///
    /// The name or the identifier has a line end, or the identifier has a NUL. A client would ignore the identifier, or
    /// read a part of the text as another field. Also if the identifier could not be formatted.
    pub fn encode(&self) -> Result<Bytes, FieldError> {
        if self.is_refused {
            return Err(FieldError::new("id", LocalError::FieldValue));
        }
        let mut text = String::with_capacity(self.data.len() + 32);
        for (field, value, refused) in [("event", &self.name, "\r\n"), ("id", &self.id, "\r\n\0")] {
            let Some(value) = value else { continue };
            if value.contains(|char| refused.contains(char)) {
                return Err(FieldError::new(field, LocalError::FieldValue));
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{field}: {value}");
        }
        if let Some(time) = self.retry {
            let _ = writeln!(text, "retry: {}", time.as_millis());
        }
        // A client accepts CR, LF and CRLF as the end of a line.
        for line in self.data.split("\r\n").flat_map(|lines| lines.split(['\r', '\n'])) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
        Ok(text.into())
    }
}

/// A decoder of events that holds at most one unfinished event.
///
/// After a lost connection, continue with the same decoder, because it keeps the [identifier](Self::last_event_id) that
/// the next request sends, and the [time](Self::retry) to wait before that request.
#[derive(Clone)]
pub struct Decoder {
    lines: Lines,
    limit: usize,
    /// True if no byte of the stream has been read, so a byte order mark may follow.
    at_start: bool,
    /// The unfinished event. Each line of its data ends with LF.
    event: Event,
    last_event_id: String,
    retry: Option<Duration>,
}

/// Writes the number of buffered bytes, but not the content, because it may be secret.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("lines", &self.lines).field("event", &self.event).finish_non_exhaustive()
    }
}

impl Decoder {
    /// Returns a decoder of events. Each line, and the data of each event, may have at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            lines: Lines::of_events(limit),
            limit,
            at_start: true,
            event: Event::default(),
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Adds the next data. The caller must first call [`next_event`](Self::next_event) until it returns `None`, so no
    /// event of the previous data is left.
    pub fn push(&mut self, data: Bytes) {
        self.lines.push(data);
    }

    /// Returns the next event, or `None` if more data is needed. Bytes that are not UTF-8 are replaced by U+FFFD. An
    /// event without an identifier gets the identifier of the previous event.
    ///
    /// # Errors
    ///
    /// [`Fault::LineTooLong`] as soon as a line, or the data of an event, is longer than the limit.
    pub fn next_event(&mut self) -> Result<Option<Event>, Fault> {
        while let Some(line) = self.lines.next_line()? {
            let line = String::from_utf8_lossy(&line);
            let is_first = core::mem::take(&mut self.at_start);
            let line = line.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(&line);
            if line.is_empty() {
                let mut event = core::mem::take(&mut self.event);
                // The identifier is stored only when the event is complete. If the connection ends in the middle of an
                // event, the server must send this event again on the next connection.
                if let Some(id) = event.id.take() {
                    self.last_event_id = id;
                }
                // An event without a data field is not an event. The last LF is not part of the data.
                if event.data.pop().is_some() {
                    let id = (!self.last_event_id.is_empty()).then(|| self.last_event_id.clone());
                    return Ok(Some(Event { id, ..event }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            self.field(field, value.strip_prefix(' ').unwrap_or(value))?;
        }
        Ok(None)
    }

    fn field(&mut self, field: &str, value: &str) -> Result<(), Fault> {
        let event = &mut self.event;
        match field {
            "data" => {
                if event.data.len() + value.len() > self.limit {
                    return Err(Fault::LineTooLong);
                }
                event.data.push_str(value);
                event.data.push('\n');
            }
            "event" => event.name = (!value.is_empty()).then(|| value.into()),
            "id" if !value.contains('\0') => event.id = Some(value.into()),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // The line is a comment, or a field that the standard does not define. Such lines are ignored.
            _ => {}
        }
        Ok(())
    }

    /// Returns the identifier of the last event that had an identifier, for `last-event-id` of the next request. The
    /// result is empty if no event had an identifier.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the time that a client should wait before it connects again, if the server has sent one.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Drops an unfinished event. The decoder can then read the stream of the next connection. The clients'
    /// `next_event` calls this method at the end of a body and after an error.
    pub fn reset(&mut self) {
        self.lines.reset();
        (self.at_start, self.event) = (true, Event::default());
    }
}
