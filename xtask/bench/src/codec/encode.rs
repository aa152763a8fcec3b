//! Encoding heads: from values that are known only at run time to octets in a buffer that is used again.

use std::hint::black_box;
use std::io::Write;

use degu_wire::head::{encode_request, encode_response};
use degu_wire::{Framing, Method};

use super::{Entry, Result, Run, check};

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        task: "encode a response head, 58 octets",
        contestant: "degu",
        api: "head::encode_response, every octet checked",
        prepare: || into_slice(RESPONSE, degu_response),
    },
    Entry {
        task: "encode a response head, 58 octets",
        contestant: "write!",
        api: "nothing checked",
        prepare: || into_vec(RESPONSE, written_response),
    },
    Entry {
        task: "encode a response head, 58 octets",
        contestant: "plain copy",
        api: "Vec::extend_from_slice, numbers ready as text, nothing checked",
        prepare: || into_vec(RESPONSE, copied_response),
    },
    Entry {
        task: "encode a request head, 99 octets",
        contestant: "degu",
        api: "head::encode_request, every octet checked",
        prepare: || into_slice(REQUEST, degu_request),
    },
    Entry {
        task: "encode a request head, 99 octets",
        contestant: "write!",
        api: "nothing checked",
        prepare: || into_vec(REQUEST, written_request),
    },
    Entry {
        task: "encode a request head, 99 octets",
        contestant: "plain copy",
        api: "Vec::extend_from_slice, numbers ready as text, nothing checked",
        prepare: || into_vec(REQUEST, copied_request),
    },
];

/// What the application gives: a start line's words, fields, and the length of the body.
struct Values {
    status: u16,
    /// The status as text.
    digits: &'static str,
    /// The target, or the reason phrase.
    text: &'static str,
    fields: &'static [(&'static str, &'static str)],
    length: u64,
    /// The length as text.
    length_digits: &'static str,
    expected: &'static [u8],
}

const RESPONSE: Values = Values {
    status: 200,
    digits: "200",
    text: "OK",
    fields: &[("etag", "\"b3-48213\"")],
    length: 108,
    length_digits: "108",
    expected: b"HTTP/1.1 200 OK\r\netag: \"b3-48213\"\r\ncontent-length: 108\r\n\r\n",
};

const REQUEST: Values = Values {
    status: 0,
    digits: "",
    text: "/plant/north",
    fields: &[("host", "device.example"), ("content-type", "text/plain")],
    length: 108,
    length_digits: "108",
    expected:
        b"POST /plant/north HTTP/1.1\r\nhost: device.example\r\ncontent-type: text/plain\r\ncontent-length: 108\r\n\r\n",
};

fn into_slice(values: Values, encode: fn(&Values, &mut [u8]) -> Result<usize>) -> Result<Run> {
    let mut output = [0; 256];
    let length = encode(&values, &mut output)?;
    check(&output[..length] == values.expected)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(encode(black_box(&values), &mut output)?);
            black_box(&output);
        }
        Ok(())
    }))
}

/// `encode` finds the `Vec` empty and with room.
fn into_vec(values: Values, encode: fn(&Values, &mut Vec<u8>) -> Result) -> Result<Run> {
    let mut output = Vec::with_capacity(256);
    encode(&values, &mut output)?;
    check(output == values.expected)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            output.clear();
            encode(black_box(&values), &mut output)?;
            black_box(&output);
        }
        Ok(())
    }))
}

fn degu_response(values: &Values, output: &mut [u8]) -> Result<usize> {
    let framing = Framing::Length(values.length);
    Ok(encode_response(output, values.status, values.text, values.fields.iter().copied(), framing)?)
}

fn degu_request(values: &Values, output: &mut [u8]) -> Result<usize> {
    let framing = Framing::Length(values.length);
    Ok(encode_request(output, Method::Post, values.text, values.fields.iter().copied(), framing)?)
}

fn written_response(values: &Values, output: &mut Vec<u8>) -> Result {
    write!(output, "HTTP/1.1 {} {}\r\n", values.status, values.text)?;
    written_fields(values, output)
}

fn written_request(values: &Values, output: &mut Vec<u8>) -> Result {
    write!(output, "{} {} HTTP/1.1\r\n", Method::Post, values.text)?;
    written_fields(values, output)
}

fn written_fields(values: &Values, output: &mut Vec<u8>) -> Result {
    for (name, value) in values.fields {
        write!(output, "{name}: {value}\r\n")?;
    }
    Ok(write!(output, "content-length: {}\r\n\r\n", values.length)?)
}

fn copied_response(values: &Values, output: &mut Vec<u8>) -> Result {
    copy(&["HTTP/1.1 ", values.digits, " ", values.text, "\r\n"], output);
    copied_fields(values, output)
}

fn copied_request(values: &Values, output: &mut Vec<u8>) -> Result {
    copy(&[Method::Post.as_str(), " ", values.text, " HTTP/1.1\r\n"], output);
    copied_fields(values, output)
}

fn copied_fields(values: &Values, output: &mut Vec<u8>) -> Result {
    for (name, value) in values.fields {
        copy(&[name, ": ", value, "\r\n"], output);
    }
    copy(&["content-length: ", values.length_digits, "\r\n\r\n"], output);
    Ok(())
}

fn copy(pieces: &[&str], output: &mut Vec<u8>) {
    for piece in pieces {
        output.extend_from_slice(piece.as_bytes());
    }
}
