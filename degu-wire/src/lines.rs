//! Lines of a stream, JSON lines for example, which is received in pieces of any length.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::Fault;

/// A decoder of lines that holds at most one unfinished line.
///
/// A line ends with LF or CRLF, which is not part of it. The last line needs no end. Both clients' bodies read with it:
/// `response.body.next_line(&mut lines)`.
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
    /// Ends a line at a CR too, as event streams do.
    cr_ends: bool,
    /// The line before ended with a CR, so that a LF that follows is part of its end.
    after_cr: bool,
    /// The beginning of a line whose end is still to come.
    partial: Vec<u8>,
    input: Bytes,
}

/// Writes how much is buffered, and nothing of its content, which may be secret.
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

    /// Adds the next data. To be called only when [`next_line`](Self::next_line) has returned `None`: then all lines of
    /// the data before have been taken out.
    pub fn push(&mut self, data: Bytes) {
        debug_assert!(self.input.is_empty(), "lines are left of the data before");
        self.input = data;
    }

    /// Returns the next line, or `None` where more data is needed.
    ///
    /// # Errors
    ///
    /// [`Fault::LineTooLong`] for a line over the limit, as soon as it is over it.
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
        // The CR of a CRLF is not part of the line, nor is one that may be that.
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

    /// Ends the data: returns a last line that has no line end, if there is one, and resets the decoder.
    pub fn finish(&mut self) -> Option<Bytes> {
        let line = core::mem::take(&mut self.partial);
        self.reset();
        (!line.is_empty()).then(|| line.into())
    }

    /// Drops an unfinished line, so that the decoder can read another stream.
    pub fn reset(&mut self) {
        *self = Self { cr_ends: self.cr_ends, ..Self::new(self.limit) };
    }
}
