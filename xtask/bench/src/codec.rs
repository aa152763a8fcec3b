//! The codecs of the suite `wire`: Degu's codec and httparse. Both do the same work. Each run parses another
//! message, except in the task with a browser's request, which parses the same request in each run. Each run checks the
//! length of the parsed head.

use std::hint::black_box;
use std::mem::MaybeUninit;

use degu_wire::Limits;
use degu_wire::head::{self, FieldSpan};

use crate::Result;
use crate::contestants::Trips;
use crate::message::{POSTS, Post, get, post};

/// A function that does the work on the input with this number.
type Run = Box<dyn FnMut(usize) -> Result>;

const REQUEST: &str = "parse a request head";
const BROWSER: &str = "parse a browser's request head";
const RESPONSE: &str = "parse a response head";
pub(crate) const TASKS: [&str; 3] = [REQUEST, BROWSER, RESPONSE];

/// A browser's request with ten fields. Three of them are long.
const BROWSER_REQUEST: &[u8] = b"GET /plant/north/boiler-3/overview?range=24h&unit=celsius HTTP/1.1\r\n\
    Host: dashboard.example.net\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: de-CH,de;q=0.8,en-US;q=0.5,en;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://dashboard.example.net/plant/north/boiler-3/history?range=7d&unit=celsius\r\n\
    Cookie: session=4f1c09ab77d84e0c9b62e5d3a1807f6e; theme=dark; \
    panel=temperature%2Cpressure%2Cvalves; seen=1795340820; layout=grid-2x3; refresh=30; zoom=125\r\n\
    If-None-Match: \"b3-1795340817-48213\"\r\n\r\n";

/// Prepares the contestant for this task, and runs it once as a check.
pub(crate) fn find(task: &str, contestant: &str) -> Result<Trips> {
    let mut run = match (task, contestant) {
        (REQUEST, "degu") => degu_request(|number| &get(number).request),
        (REQUEST, "httparse") => httparse_request(|number| &get(number).request),
        (BROWSER, "degu") => degu_request(|_| BROWSER_REQUEST),
        (BROWSER, "httparse") => httparse_request(|_| BROWSER_REQUEST),
        (RESPONSE, "degu") => degu_response(),
        (RESPONSE, "httparse") => httparse_response(),
        _ => return Err(format!("no contestant {contestant} for the task {task:?}").into()),
    };
    run(0)?;
    Ok(Box::new(move |times| (0..times as usize).try_for_each(&mut run)))
}

fn check(holds: bool) -> Result {
    if holds { Ok(()) } else { Err("the parser found a head of the wrong length".into()) }
}

fn degu_request(input: fn(usize) -> &'static [u8]) -> Run {
    let (mut slots, limits) = ([FieldSpan::EMPTY; 16], Limits::DEFAULT);
    Box::new(move |number| {
        let input = black_box(input(number));
        let head = head::parse_request(input, &mut slots, &limits)?.ok_or("the head is incomplete")?;
        check(black_box(&head).head_len() == input.len())
    })
}

fn httparse_request(input: fn(usize) -> &'static [u8]) -> Run {
    Box::new(move |number| {
        let input = black_box(input(number));
        let mut headers = [MaybeUninit::uninit(); 16];
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(input, &mut headers)?;
        black_box(&request);
        check(status == httparse::Status::Complete(input.len()))
    })
}

/// Returns the length of a response's head.
fn head_len(post: &Post) -> usize {
    post.response.len() - post.body.len()
}

fn degu_response() -> Run {
    let (mut slots, limits) = ([FieldSpan::EMPTY; 16], Limits::DEFAULT);
    // The responses are copied, because the parser may change its input.
    let mut responses: Vec<_> = POSTS.iter().map(|post| post.response.clone()).collect();
    Box::new(move |number| {
        let post = black_box(post(number));
        let at = number % responses.len();
        let response = black_box(&mut responses[at]);
        let head = head::parse_response(response, &mut slots, &limits)?.ok_or("the head is incomplete")?;
        check(black_box(&head).head_len() == head_len(post))
    })
}

fn httparse_response() -> Run {
    let config = httparse::ParserConfig::default();
    Box::new(move |number| {
        let post = black_box(post(number));
        let mut headers = [MaybeUninit::uninit(); 16];
        let mut response = httparse::Response::new(&mut []);
        let status = config.parse_response_with_uninit_headers(&mut response, &post.response, &mut headers)?;
        black_box(&response);
        check(status == httparse::Status::Complete(head_len(post)))
    })
}
