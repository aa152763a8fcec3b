//! The codec's view of an input: what it reads, in the words of the [`reference`](super::reference).

use degu_wire::chunk::{Decoder, Event, Extensions, encode_chunk_head, encode_last_chunk};
use degu_wire::head::{FieldSpan, Fields, RequestHead, parse_request, parse_trailers};
use degu_wire::{Framing, Limits};

use super::Verdict;
use crate::corpus::escaped;

/// The grammar at its widest.
const LIMITS: Limits = Limits { allow_http10: true, ..Limits::DEFAULT };

/// Reads the head that is the whole input.
fn head(input: &[u8], say: impl FnOnce(RequestHead) -> String) -> Verdict {
    let mut slots = [FieldSpan::EMPTY; 4];
    match parse_request(input, &mut slots, &LIMITS) {
        Err(error) => Err(error.status()),
        Ok(Some(head)) => Ok(say(head)),
        Ok(None) => Ok("more is needed".to_owned()),
    }
}

pub(super) fn request_line(input: &[u8]) -> Verdict {
    head(input, |head| {
        let version = if head.is_http10() { "1.0" } else { "1.1" };
        let (path, query) = (head.path(), head.query());
        format!("{} {} {path:?} {query:?} {} {version}", head.method(), head.target(), head.authority())
    })
}

pub(super) fn field_line(input: &[u8]) -> Verdict {
    head(input, |head| last_field(head.fields()))
}

pub(super) fn trailer_line(input: &[u8]) -> Verdict {
    let mut decoder = Decoder::new(&LIMITS);
    let last = decoder.decode(input).expect("the last chunk is there").consumed;
    match decoder.decode(&input[last..]) {
        Ok(step) => {
            let Some(Event::End { trailers }) = step.event else { return Ok("more is needed".to_owned()) };
            let mut slots = [FieldSpan::EMPTY; 4];
            parse_trailers(trailers, &mut slots, &LIMITS).map(last_field).map_err(|error| error.status())
        }
        Err(error) => Err(error.status()),
    }
}

fn last_field(fields: Fields) -> String {
    let (name, value) = fields.iter().last().expect("there is a field");
    format!("{name}: {}", escaped(value))
}

/// What is read is also written, and read again as the same.
pub(super) fn chunk_line(input: &[u8]) -> Verdict {
    let event = |line: &[u8]| -> Result<_, u16> {
        match Decoder::new(&LIMITS).decode(line).map_err(|error| error.status())?.event {
            Some(Event::Chunk { size, extensions }) => Ok((size, say(extensions))),
            Some(Event::LastChunk { extensions }) => Ok((0, say(extensions))),
            event => Ok((u64::MAX, format!("{event:?}"))),
        }
    };
    let found = event(input)?;
    let end = input.iter().position(|byte| !byte.is_ascii_hexdigit()).expect("the size ends");
    let extensions = Extensions::parse(&input[end..input.len() - 2]).expect("the decoder has taken them");
    let mut line = [0; 128];
    let length = match found.0 {
        0 => encode_last_chunk(&mut line, extensions),
        size => encode_chunk_head(&mut line, size, extensions),
    };
    assert_eq!(event(&line[..length.expect("what was read can be sent")]), Ok(found.clone()));
    Ok(format!("{}{}", found.0, found.1))
}

fn say(extensions: Extensions) -> String {
    let mut text = String::new();
    for extension in extensions {
        text += &format!(" {}", extension.name);
        if let Some(value) = extension.value {
            text += &format!("={}", escaped(&value.unescape().collect::<Vec<u8>>()));
        }
    }
    text
}

pub(super) fn transfer_encoding(input: &[u8]) -> Verdict {
    head(input, |head| match head.framing() {
        Framing::Chunked => "chunked".to_owned(),
        other => format!("{other:?}"),
    })
}

pub(super) fn host(input: &[u8]) -> Verdict {
    head(input, |head| format!("host {}", head.authority()))
}
