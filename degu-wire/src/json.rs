//! JSON (RFC 8259) as the body of a message.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{BodyOf, BoxError, IntoBody};
use crate::headers::Headers;

/// A value that is sent as JSON without whitespace. If the message has no content-type, the message gets
/// `application/json`.
///
/// ```
/// use degu_wire::{Body, Headers, IntoBody, Json};
///
/// let mut headers = Headers::new();
/// let body: Body = Json([("milk", 2), ("eggs", 12)]).into_body(&mut headers)?;
/// assert_eq!(body.length(), Some(24)); // [["milk",2],["eggs",12]]
/// assert_eq!(headers.get("content-type"), Some("application/json"));
///
/// // A map whose keys are not text, for example, is an error.
/// let odd = std::collections::BTreeMap::from([([1, 2], "a pair")]);
/// assert!(IntoBody::<dyn degu_wire::Source>::into_body(Json(odd), &mut headers).is_err());
/// # Ok::<(), degu_wire::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> Json<T> {
    /// Parses a value from a text that contains only JSON. A byte order mark (RFC 8259 §8.1) and more than 127 levels
    /// of nesting are refused.
    ///
    /// ```
    /// use degu_wire::Json;
    ///
    /// let Json(list): Json<Vec<u8>> = Json::parse(b"[1, 2]")?;
    /// assert_eq!(list, [1, 2]);
    /// let error = Json::<Vec<u8>>::parse(b"[1,\n 2").unwrap_err();
    /// assert_eq!(error.to_string(), "not valid JSON at line 2, column 2");
    /// let error = Json::<Vec<u8>>::parse(b"7").unwrap_err();
    /// let text = "JSON that does not have the expected fields and types at line 1, column 1: expected a sequence";
    /// assert_eq!(error.to_string(), text);
    /// # Ok::<(), degu_wire::JsonError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text is not JSON, or its value does not fit the type.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        serde_json::from_slice(text).map(Self).map_err(|error| JsonError {
            is_valid: error.is_data(),
            line: error.line(),
            column: error.column(),
            expected: error.is_data().then(|| expected(&error.to_string())).flatten(),
        })
    }
}

/// Returns the part of an error text of serde that contains only names of fields and types of the program: the whole
/// text for a missing or duplicate field, otherwise the end, from `expected` on. Returns `None` if there is no such
/// part. The rest of the text may contain values of the JSON text, so the rest is not shown.
fn expected(text: &str) -> Option<Box<str>> {
    let (text, _) = text.rsplit_once(" at line ")?;
    if text.starts_with("missing field ") || text.starts_with("duplicate field ") {
        return Some(text.into());
    }
    let kinds = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];
    let is_of_serde = kinds.iter().any(|kind| text.starts_with(kind)) && !text.contains(", there are no ");
    let begin = text.rfind(", expected ").filter(|_| is_of_serde)?;
    Some(text[begin + 2..].into())
}

/// The error for a text that is not JSON, or for JSON that does not fit the type. The error contains the place of the
/// fault, and the name of a missing field or the expected type, but no part of the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonError {
    /// True if the text is JSON, but its value does not fit the type.
    is_valid: bool,
    line: usize,
    column: usize,
    /// The name of a missing field, or the fields or types that the program expects.
    expected: Option<Box<str>>,
}

impl JsonError {
    /// Returns the number of the line in which the fault was found. The first line has the number 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// Returns the column of the last byte that was read, in bytes, counted from 1. The column is 0 if no byte of the
    /// line was read.
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what =
            if self.is_valid { "JSON that does not have the expected fields and types" } else { "not valid JSON" };
        write!(f, "{what} at line {}, column {}", self.line, self.column)?;
        self.expected.as_ref().map_or(Ok(()), |expected| write!(f, ": {expected}"))
    }
}

impl core::error::Error for JsonError {}

impl<S: ?Sized, T: Serialize> IntoBody<S> for Json<T> {
    fn into_body(self, headers: &mut Headers) -> Result<BodyOf<S>, BoxError> {
        let text = serde_json::to_vec(&self.0)?;
        if !headers.contains("content-type") {
            headers.set("content-type", "application/json")?;
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn an_error_names_expected_fields_and_no_value() {
        let cases = [
            ("missing field `text` at line 1, column 14", Some("missing field `text`")),
            ("duplicate field `text` at line 1 column 9", Some("duplicate field `text`")),
            ("invalid type: string \"a, expected b\", expected u8 at line 1 column 9", Some("expected u8")),
            ("unknown field `secret`, expected `a` or `b` at line 1 column 9", Some("expected `a` or `b`")),
            ("unknown field `a, expected secret`, there are no fields at line 1 column 9", None),
            ("secret, expected u8 at line 1 column 9", None),
            ("no unit of time: secret at line 1 column 9", None),
        ];
        for (text, expected) in cases {
            assert_eq!(super::expected(text).as_deref(), expected, "{text}");
        }
        let error = Json::<String>::parse(b" 42").map(|json| json.0).unwrap_err();
        assert!(error.to_string().ends_with("at line 1, column 3: expected a string"), "{error}");
    }
}
