//! A decoder of lines, JSON lines for example, in a stream that is received in pieces of any length.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::Fault;

/// A decoder of lines that holds at most one unfinished line.
///
/// A line ends with LF or CRLF, which is not part of the line. The last line needs no line end. The bodies of both
/// clients use the decoder: `response.body.next_line(&mut lines)`.
///
/// ```
/// use degu_wire::Lines;
///
/// let mut lines = Lines::new(1024);
/// lines.push("{\"n\":1}\r\n{\"n\"".into());
/// assert_eq!(lines.next_line()?.as_deref(), Some(&b"{\"n\":1}"[..]));
/// assert_eq!(lines.next_line()?, None);
/// lines.push(":2}".into());
/// assert_eq!(lines.next_line()?, None);
/// assert_eq!(lines.finish().as_deref(), Some(&b"{\"n\":2}"[..]));
/// # Ok::<(), degu_wire::Fault>(())
/// ```
#[derive(Clone)]
pub struct Lines {
    limit: usize,
    /// True if CR also ends a line, as in event streams.
    cr_ends: bool,
    /// True if the previous line ended with a CR. An LF directly after this CR belongs to the same line end.
    after_cr: bool,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    input: Bytes,
}

/// Writes the number of buffered bytes, but not the content, because it may be secret.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buffered = self.partial.len() + self.input.len();
        f.debug_struct("Lines").field("limit", &self.limit).field("buffered", &buffered).finish_non_exhaustive()
    }
}

impl Lines {
    /// Returns a decoder of lines of at most `limit` bytes each.
    pub const fn new(limit: usize) -> Self {
        Self { limit, cr_ends: false, after_cr: false, partial: Vec::new(), input: Bytes::new() }
    }

    pub(crate) fn of_events(limit: usize) -> Self {
        Self { cr_ends: true, ..Self::new(limit) }
    }

    /// Adds the next data. The caller must first call [`next_line`](Self::next_line) until it returns `None`, so no
    /// line of the previous data is left.
    pub fn push(&mut self, data: Bytes) {
        debug_assert!(self.input.is_empty(), "lines of the previous data are unread: read until `None` before `push`");
        self.input = data;
    }

    /// Returns the next line, or `None` if more data is needed.
    ///
    /// # Errors
    ///
    /// [`Fault::LineTooLong`] as soon as a line is longer than the limit.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, Fault> {
        if let Some(&first) = self.input.first()
            && core::mem::take(&mut self.after_cr)
            && first == b'\n'
        {
            let _ = self.input.split_to(1);
        }
        let ends = |&byte: &u8| byte == b'\n' || (self.cr_ends && byte == b'\r');
        let end = self.input.iter().position(ends);
        let piece = &self.input[..end.unwrap_or(self.input.len())];
        // The CR of a CRLF is not part of the line. A CR at the end of the data may be the CR of a CRLF, so it is not
        // counted either.
        let is_cr = !self.cr_ends && piece.last().or(self.partial.last()) == Some(&b'\r');
        if self.partial.len() + piece.len() - usize::from(is_cr) > self.limit {
            return Err(Fault::LineTooLong);
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(&core::mem::take(&mut self.input));
            return Ok(None);
        };
        let rest = self.input.split_off(end + 1);
        let mut line = core::mem::replace(&mut self.input, rest);
        self.after_cr = line[end] == b'\r';
        line.truncate(end);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = core::mem::take(&mut self.partial).into();
        }
        if !self.cr_ends && line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// Ends the data. Returns the last line if the data did not end with a line end. Resets the decoder.
    pub fn finish(&mut self) -> Option<Bytes> {
        let line = core::mem::take(&mut self.partial);
        self.reset();
        (!line.is_empty()).then(|| line.into())
    }

    /// Drops an unfinished line. The decoder can then read another stream.
    pub fn reset(&mut self) {
        *self = Self { cr_ends: self.cr_ends, ..Self::new(self.limit) };
    }
}
