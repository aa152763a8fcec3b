//! The short forms of a request: one function for each method of HTTP.

/// Defines the short forms of `request`, for a connection or a pool.
macro_rules! short_forms {
    ($type:ty, [$($borrow:tt)*], $response:ty, $source:ty, [$($async:tt)?], [$($await:tt)*]) => {
        /// The short forms of `request`, for requests without header fields of the caller. They return the errors of
        /// `request`.
        impl $type {
            /// Gets a resource (RFC 9110 §9.3.1).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn get($($borrow)* self, uri: &str) -> Result<$response, crate::Error> {
                self.request(crate::Method::Get, uri, (), ()) $($await)*
            }

            /// Gets a part of a resource (RFC 9110 §14.2).
            ///
            /// The server may answer with the part (206), with the whole resource (200), or with 416 if there is no
            /// such part. `content_range` of the response says which part it is. The client checks that the body of a
            /// 206 is as long as its Content-Range says. For the other methods, which ask for no part, a 206 is an error.
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request), and [`Fault::ContentRange`](crate::Fault::ContentRange) if the
            /// server sends another part than the caller asked for.
            pub $($async)? fn get_range(
                $($borrow)* self,
                uri: &str,
                range: crate::ByteRange,
            ) -> Result<$response, crate::Error> {
                let mut response = self.request(crate::Method::Get, uri, [("range", range)], ()) $($await)* ?;
                if response.status == 206 && !crate::exchange::is_part_of(range, response.content_range()) {
                    return Err(response.body.fail(crate::Fault::ContentRange));
                }
                Ok(response)
            }

            /// Gets the same response as [`get`](Self::get), without the body (RFC 9110 §9.3.2).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn head($($borrow)* self, uri: &str) -> Result<$response, crate::Error> {
                self.request(crate::Method::Head, uri, (), ()) $($await)*
            }

            /// Deletes a resource (RFC 9110 §9.3.5).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn delete($($borrow)* self, uri: &str) -> Result<$response, crate::Error> {
                self.request(crate::Method::Delete, uri, (), ()) $($await)*
            }

            /// Creates a resource, or replaces it, with this body (RFC 9110 §9.3.4).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn put($($borrow)* self, uri: &str, body: impl crate::IntoBody<$source>) -> Result<$response, crate::Error> {
                self.request(crate::Method::Put, uri, (), body) $($await)*
            }

            /// Posts a body to a resource (RFC 9110 §9.3.3).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn post($($borrow)* self, uri: &str, body: impl crate::IntoBody<$source>) -> Result<$response, crate::Error> {
                self.request(crate::Method::Post, uri, (), body) $($await)*
            }

            /// Patches a resource (RFC 5789).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn patch($($borrow)* self, uri: &str, body: impl crate::IntoBody<$source>) -> Result<$response, crate::Error> {
                self.request(crate::Method::Patch, uri, (), body) $($await)*
            }
        }
    };
}

pub(crate) use short_forms;
