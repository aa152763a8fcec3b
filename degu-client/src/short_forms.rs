//! The short forms of a request: one function for each method of HTTP.

/// Defines the short forms of `request`, for a connection or a pool.
macro_rules! short_forms {
    ($type:ty, [$($borrow:tt)*], $response:ty, $source:ty, [$($async:tt)?], [$($await:tt)*]) => {
        /// The short forms of `request`, for requests to which the caller adds no header fields.
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
            /// such part. `content_range` of the response says which part the server sends. The client checks that the
            /// body of a 206 is as long as its Content-Range says. A 206 to a request that asks for no part is an
            /// error.
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

            /// Gets the response that [`get`](Self::get) would return, but without its body (RFC 9110 §9.3.2).
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

            /// Creates or replaces a resource. The body is the new content of the resource (RFC 9110 §9.3.4).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn put($($borrow)* self, uri: &str, body: impl crate::IntoBody<$source>) -> Result<$response, crate::Error> {
                self.request(crate::Method::Put, uri, (), body) $($await)*
            }

            /// Sends a body to a resource, which processes the body (RFC 9110 §9.3.3).
            ///
            /// # Errors
            ///
            /// The errors of [`request`](Self::request).
            pub $($async)? fn post($($borrow)* self, uri: &str, body: impl crate::IntoBody<$source>) -> Result<$response, crate::Error> {
                self.request(crate::Method::Post, uri, (), body) $($await)*
            }

            /// Changes a resource as the body describes (RFC 5789).
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
