//! The codec's view of an input: what it reads, in the words of the [`reference`](super::reference).

use degu_wire::chunk::{Decoder, Event, Extensions, encode_chunk_head, encode_last_chunk};
use degu_wire::head::{FieldSpan, Fields, RequestHead, parse_request, parse_response, parse_trailers};
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
    fields.iter().last().map_or("no field".to_owned(), |(name, value)| format!("{name}: {}", escaped(value)))
}

pub(super) fn response_field_line(input: &[u8]) -> Verdict {
    let mut slots = [FieldSpan::EMPTY; 4];
    match parse_response(&mut input.to_vec(), &mut slots, &LIMITS) {
        Err(error) => Err(error.status()),
        Ok(Some(head)) => Ok(last_field(head.fields())),
        Ok(None) => Ok("more is needed".to_owned()),
    }
}

pub(super) fn chunk_line(input: &[u8]) -> Verdict {
    chunk(Decoder::new(&LIMITS), input)
}

pub(super) fn response_chunk_line(input: &[u8]) -> Verdict {
    chunk(Decoder::new(&LIMITS).of_response(), input)
}

/// Decodes the input and checks that its events, encoded, are decoded as the same.
fn chunk(mut decoder: Decoder, input: &[u8]) -> Verdict {
    let mut line = [0; 128];
    let (size, extensions, length) = match decoder.decode(input).map_err(|error| error.status())?.event {
        Some(Event::Chunk { size, extensions }) => (size, extensions, encode_chunk_head(&mut line, size, extensions)),
        Some(Event::LastChunk { extensions }) => (0, extensions, encode_last_chunk(&mut line, extensions)),
        event => return Ok(format!("{event:?}")),
    };
    let again =
        Decoder::new(&LIMITS).decode(&line[..length.expect("what was read can be sent")]).map(|step| step.event);
    let expected = if size == 0 { Event::LastChunk { extensions } } else { Event::Chunk { size, extensions } };
    assert_eq!(again, Ok(Some(expected)));
    Ok(format!("{size}{}", say(extensions)))
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
