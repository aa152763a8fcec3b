//! Parsing heads: from the octets to whatever the contestant calls a parsed head. Each has room for 16 fields, and sets it
//! up as its documentation recommends for speed.

use std::hint::black_box;
use std::mem::MaybeUninit;

use degu_wire::head::{self, FieldSpan};
use degu_wire::{Framing, Limits, Method};

use super::inputs::{BROWSER_REQUEST, SMALL_REQUEST, SMALL_RESPONSE};
use super::{Entry, Result, Run, check};

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        task: "small request, 59 octets",
        contestant: "degu",
        api: "head::parse_request, slots reused",
        prepare: || degu_request(SMALL_REQUEST, 2),
    },
    Entry {
        task: "small request, 59 octets",
        contestant: "httparse",
        api: "Request::parse_with_uninit_headers",
        prepare: || httparse_request(SMALL_REQUEST, 2),
    },
    #[cfg(feature = "picohttpparser")]
    Entry {
        task: "small request, 59 octets",
        contestant: "picohttpparser",
        api: "phr_parse_request",
        prepare: || pico_request(SMALL_REQUEST, 2),
    },
    Entry {
        task: "browser-like request, 710 octets",
        contestant: "degu",
        api: "head::parse_request, slots reused",
        prepare: || degu_request(BROWSER_REQUEST, 10),
    },
    Entry {
        task: "browser-like request, 710 octets",
        contestant: "httparse",
        api: "Request::parse_with_uninit_headers",
        prepare: || httparse_request(BROWSER_REQUEST, 10),
    },
    #[cfg(feature = "picohttpparser")]
    Entry {
        task: "browser-like request, 710 octets",
        contestant: "picohttpparser",
        api: "phr_parse_request",
        prepare: || pico_request(BROWSER_REQUEST, 10),
    },
    Entry {
        task: "small response, 40 octets",
        contestant: "degu",
        api: "head::parse_response, slots reused",
        prepare: degu_response,
    },
    Entry {
        task: "small response, 40 octets",
        contestant: "httparse",
        api: "ParserConfig::parse_response_with_uninit_headers",
        prepare: httparse_response,
    },
    #[cfg(feature = "picohttpparser")]
    Entry {
        task: "small response, 40 octets",
        contestant: "picohttpparser",
        api: "phr_parse_response",
        prepare: pico_response,
    },
];

fn degu_request(input: &'static [u8], fields: usize) -> Result<Run> {
    let limits = Limits::DEFAULT;
    let mut slots = [FieldSpan::EMPTY; 16];
    let head = head::parse_request(input, &mut slots, &limits)?.ok_or("a part of a head")?;
    check(head.head_len() == input.len() && head.method() == Method::Get && head.fields().len() == fields)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(&head::parse_request(black_box(input), &mut slots, &limits));
        }
        Ok(())
    }))
}

fn degu_response() -> Result<Run> {
    let limits = Limits::DEFAULT;
    let mut slots = [FieldSpan::EMPTY; 16];
    let head = head::parse_response(SMALL_RESPONSE, &mut slots, &limits)?.ok_or("a part of a head")?;
    check(head.head_len() == SMALL_RESPONSE.len() && head.framing(Method::Get) == Framing::Length(108))?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(&head::parse_response(black_box(SMALL_RESPONSE), &mut slots, &limits));
        }
        Ok(())
    }))
}

fn httparse_request(input: &'static [u8], fields: usize) -> Result<Run> {
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(input, &mut headers)?;
    check(status == httparse::Status::Complete(input.len()) && request.headers.len() == fields)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            let mut headers = [MaybeUninit::uninit(); 16];
            let mut request = httparse::Request::new(&mut []);
            let _ = black_box(request.parse_with_uninit_headers(black_box(input), &mut headers));
            black_box(&request);
        }
        Ok(())
    }))
}

fn httparse_response() -> Result<Run> {
    let config = httparse::ParserConfig::default();
    let mut headers = [MaybeUninit::uninit(); 16];
    let mut response = httparse::Response::new(&mut []);
    let status = config.parse_response_with_uninit_headers(&mut response, SMALL_RESPONSE, &mut headers)?;
    check(status == httparse::Status::Complete(SMALL_RESPONSE.len()) && response.headers.len() == 1)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            let mut headers = [MaybeUninit::uninit(); 16];
            let mut response = httparse::Response::new(&mut []);
            let input = black_box(SMALL_RESPONSE);
            let _ = black_box(config.parse_response_with_uninit_headers(&mut response, input, &mut headers));
            black_box(&response);
        }
        Ok(())
    }))
}

#[cfg(feature = "picohttpparser")]
fn pico_request(input: &'static [u8], fields: usize) -> Result<Run> {
    let mut slots = degu_bench_picohttpparser::Fields::default();
    let head = degu_bench_picohttpparser::parse_request(input, &mut slots);
    check(usize::try_from(head.length) == Ok(input.len()) && head.fields == fields)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(&degu_bench_picohttpparser::parse_request(black_box(input), &mut slots));
        }
        Ok(())
    }))
}

#[cfg(feature = "picohttpparser")]
fn pico_response() -> Result<Run> {
    let mut slots = degu_bench_picohttpparser::Fields::default();
    let head = degu_bench_picohttpparser::parse_response(SMALL_RESPONSE, &mut slots);
    check(usize::try_from(head.length) == Ok(SMALL_RESPONSE.len()) && head.fields == 1)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(&degu_bench_picohttpparser::parse_response(black_box(SMALL_RESPONSE), &mut slots));
        }
        Ok(())
    }))
}
