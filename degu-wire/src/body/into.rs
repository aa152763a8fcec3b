//! The values that a body is made from.

use super::{BodyOf, BoxError};
use crate::headers::Headers;

/// A value that the body of a message is made from: all that converts into a body with `into()`, such as text and
/// bytes, and values that can fail to be encoded or that bring header fields of their own, such as `Json` of the
/// feature `json`.
///
/// Responses of the server and requests of both clients take such a value as their body.
///
/// ```
/// use degu_wire::{Body, BodyOf, BoxError, Headers, IntoBody, Source};
///
/// /// A table as text/csv (RFC 4180).
/// struct Csv(Vec<[&'static str; 2]>);
///
/// impl<S: Source + ?Sized> IntoBody<S> for Csv {
///     fn into_body(self, headers: &mut Headers) -> Result<BodyOf<S>, BoxError> {
///         if self.0.iter().flatten().any(|cell| cell.contains([',', '"', '\n'])) {
///             return Err("a cell of the table has to be quoted".into());
///         }
///         if !headers.contains("content-type") {
///             headers.set("content-type", "text/csv")?;
///         }
///         Ok(self.0.iter().map(|row| row.join(",") + "\r\n").collect::<String>().into())
///     }
/// }
///
/// let mut headers = Headers::new();
/// let body: Body = Csv(vec![["name", "age"], ["Ann", "7"]]).into_body(&mut headers)?;
/// assert_eq!((body.length(), headers.get("content-type")), (Some(17), Some("text/csv")));
/// # Ok::<(), BoxError>(())
/// ```
pub trait IntoBody<S: ?Sized> {
    /// Returns the body. Fields that it brings, such as content-type, are added to the message's `headers` only where the
    /// message has no field of that name.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded. A request is not sent then, and a server's answer is a failure of the app.
    fn into_body(self, headers: &mut Headers) -> Result<BodyOf<S>, BoxError>;
}

impl<S: ?Sized, T: Into<BodyOf<S>>> IntoBody<S> for T {
    fn into_body(self, _: &mut Headers) -> Result<BodyOf<S>, BoxError> {
        Ok(self.into())
    }
}
