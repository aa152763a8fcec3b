//! JSON (RFC 8259) as a body.

use serde::Serialize;

use crate::body::{BodyOf, BoxError, IntoBody};
use crate::headers::Headers;

/// A value that is sent as JSON, without whitespace, with `content-type: application/json` where the message has none.
///
/// ```
/// use degu_wire::{Body, Headers, IntoBody, Json};
///
/// let mut headers = Headers::new();
/// let body: Body = Json([("milk", 2), ("eggs", 12)]).into_body(&mut headers)?;
/// assert_eq!(body.length(), Some(24)); // [["milk",2],["eggs",12]]
/// assert_eq!(headers.get("content-type"), Some("application/json"));
///
/// // A map whose keys are no text, for example, is an error.
/// let odd = std::collections::BTreeMap::from([([1, 2], "a pair")]);
/// assert!(IntoBody::<dyn degu_wire::Source>::into_body(Json(odd), &mut headers).is_err());
/// # Ok::<(), degu_wire::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

impl<S: ?Sized, T: Serialize> IntoBody<S> for Json<T> {
    fn into_body(self, headers: &mut Headers) -> Result<BodyOf<S>, BoxError> {
        let text = serde_json::to_vec(&self.0)?;
        if !headers.contains("content-type") {
            headers.set("content-type", "application/json")?;
        }
        Ok(text.into())
    }
}
