//! The messages that all contestants send. The sequence of messages is the same for each contestant.
//!
//! The path, the value of one field and the length of the body differ from request to request, and so do the responses.
//! Therefore no contestant gains from repetition. Each connection begins with the first message of the sequence.

use std::sync::LazyLock;

use degu_client::Headers;

/// A POST request. The response has the same body. On average the request has 180 bytes, and the response 150.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) path: String,
    /// The value of the field [`TRACE`].
    pub(crate) trace: String,
    /// The same field, as Degu's clients take it.
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// The whole request. A contestant may send the fields in another order, but no other fields.
    pub(crate) request: Vec<u8>,
    /// The whole response.
    pub(crate) response: Vec<u8>,
}

/// A GET request. The response has the target as its body.
#[derive(Debug)]
pub(crate) struct Get {
    pub(crate) target: String,
    pub(crate) request: Vec<u8>,
}

pub(crate) const TRACE: &str = "x-trace";

/// The number of messages before the sequence begins again. It is a prime, so it does not coincide with another period.
const COUNT: usize = 1009;

/// The POST requests, which are made at the first access, before a measurement begins.
pub(crate) static POSTS: LazyLock<Vec<Post>> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(1);
    let post = |_| {
        let bits = rng.u32(8..24);
        let path = format!("/device/{:x}", rng.u32(..1 << bits));
        let trace = format!("{:08x}", rng.u32(..));
        let headers = Headers::try_from([(TRACE, &trace)]).unwrap_or_else(|error| panic!("{error}"));
        let length = rng.usize(48..=168);
        let reading = format!(r#"{{"seq":{},"temperature":{:.2},"valves":["#, rng.u16(..), rng.f64() * 100.0);
        let body: Vec<u8> =
            reading.bytes().chain(std::iter::repeat_with(|| rng.u8(b'a'..=b'z'))).take(length).collect();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{TRACE}: {trace}\r\ncontent-length: {length}\r\n\r\n");
        let request = [head.as_bytes(), &body].concat();
        let response = response(&body);
        Post { path, trace, headers, body, request, response }
    };
    (0..COUNT).map(post).collect()
});

pub(crate) static GETS: LazyLock<Vec<Get>> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(2);
    let get = |_| {
        // The length of every target has two digits, so the heads of all responses have the same length.
        let target = format!("/hello/{:08x}{}", rng.u32(..), "x".repeat(rng.usize(..24)));
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{TRACE}: {:08x}\r\n\r\n", rng.u32(..)).into_bytes();
        Get { target, request }
    };
    (0..COUNT).map(get).collect()
});

/// Returns the POST request with this number.
pub(crate) fn post(number: usize) -> &'static Post {
    &POSTS[number % COUNT]
}

/// Returns the GET request with this number.
pub(crate) fn get(number: usize) -> &'static Get {
    &GETS[number % COUNT]
}

/// Returns a response with this body, without fields that a server might add.
pub(crate) fn response(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_vary_around_their_average() {
        let average = |length: fn(&Post) -> usize| (0..COUNT).map(|number| length(post(number))).sum::<usize>() / COUNT;
        assert!((170..200).contains(&average(|post| post.request.len())));
        assert!((140..160).contains(&average(|post| post.response.len())));
        assert!((1..COUNT).all(|number| post(number).request != post(number - 1).request));
        assert!((0..COUNT).all(|number| (10..100).contains(&get(number).target.len())));
    }
}
