//! Responses whose status is an error, as errors.

use std::task::{Context, Poll, ready};

use degu_wire::Source;

use crate::error::Error;
use crate::incoming::{Hold, IncomingOf, ResponseOf};
use crate::link::Driver;

/// The most bytes of the body that an error keeps.
const EXCERPT: usize = 4 * 1024;

impl<B> ResponseOf<B> {
    /// Returns whether the status means success: 200 to 299 (RFC 9110 §15.3).
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

impl<D: Driver, H: Hold<D>, S: Source + ?Sized> ResponseOf<IncomingOf<D, H, S>> {
    /// Reads the beginning of the body into `text`, and returns the error for the status. An error of the body is not
    /// reported, because the status matters more: the text then ends there, and the connection is closed.
    pub(crate) fn poll_error(&mut self, cx: &mut Context<'_>, text: &mut Vec<u8>) -> Poll<Error> {
        while text.len() < EXCERPT
            && let Ok(Some(data)) = ready!(self.body.poll_data(cx))
        {
            text.extend_from_slice(&data[..data.len().min(EXCERPT - text.len())]);
        }
        Poll::Ready(Error::of_status(self.status, &String::from_utf8_lossy(text)))
    }
}

/// Defines `success` of responses: with `async` and `.await` for the async client, without them for the blocking one.
macro_rules! success {
    ($driver:ty, $wait:path, [$($async:tt)?], [$($await:tt)*], $example:literal) => {
        impl<H: crate::incoming::Hold<$driver>, S: degu_wire::Source + ?Sized>
            crate::incoming::ResponseOf<crate::incoming::IncomingOf<$driver, H, S>>
        {
            /// Returns the response if its status is below 400. Otherwise returns an error with the status and the
            /// first 4 KiB of the body as text.
            ///
            /// After this error the connection can be used again if the body is not longer than 4 KiB.
            ///
            #[doc = $example]
            ///
            /// # Errors
            ///
            /// [`ErrorKind::Status`](crate::ErrorKind::Status), with the response's [`status`](crate::Error::status)
            /// and [`text`](crate::Error::text). The error is never [retryable](crate::Error::is_retryable).
            pub $($async)? fn success(mut self) -> Result<Self, crate::Error> {
                if self.status < 400 {
                    return Ok(self);
                }
                let mut text = Vec::new();
                Err($wait(|cx| self.poll_error(cx, &mut text)) $($await)*)
            }
        }
    };
}

pub(crate) use success;
