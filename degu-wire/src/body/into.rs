//! Values from which bodies are made.

use super::{BodyOf, BoxError};
use crate::headers::Headers;

/// A value from which the body of a message can be made. Every type that converts into a body with `into()` implements
/// this trait, for example text and bytes. Other types implement the trait if making the body can fail, or if the body
/// needs header fields, as `Json` of the feature `json` does.
///
/// Responses of the server and requests of both clients accept a value of any type with this trait as their body.
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
    /// Returns the body. The value may add fields to the message's `headers`, such as content-type, if the message has
    /// no field of that name.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded. Then the client does not send the request, and the server answers with 500.
    fn into_body(self, headers: &mut Headers) -> Result<BodyOf<S>, BoxError>;
}

impl<S: ?Sized, T: Into<BodyOf<S>>> IntoBody<S> for T {
    fn into_body(self, _: &mut Headers) -> Result<BodyOf<S>, BoxError> {
        Ok(self.into())
    }
}
