//! Chunked bodies: the corpus, and properties of decoder and encoder.

use crate::corpus::{self, escaped};
use degu_wire::chunk::{Decoder, Event, Extension, ExtensionValue, Extensions, Step};
use degu_wire::chunk::{encode_chunk_head, encode_last_chunk};
use degu_wire::{Fault, Limits, LocalError};
use proptest::prelude::*;

/// Gives the input to a decoder piece by piece, and writes down what comes out, in the manner of the corpus.
fn decoded<'a>(limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    decoded_by(Decoder::new(limits), limits, pieces)
}

fn decoded_by<'a>(mut decoder: Decoder, limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut data = Vec::new();
    let mut buffer = Vec::new();
    // Bytes given, and bytes consumed before those in the buffer.
    let (mut given, mut consumed) = (0, 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        given += piece.len();
        loop {
            let remaining = decoder.chunk_remaining();
            let Step { consumed: length, event } = match decoder.decode(&buffer) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(decoder.decode(&buffer), Err(error), "an error comes again");
                    let place = consumed + error.offset as usize;
                    if piece.len() == 1 {
                        // The offending byte is the last one, or would be the next where a limit has been reached.
                        assert!(place == given - 1 || place == given, "{error} at {place}, after {given}");
                    }
                    lines.extend(data_line(&mut data));
                    lines.push(format!("fault {:?} {}", error.fault, error.offset));
                    return lines;
                }
            };
            if !matches!(event, Some(Event::Data(_))) && decoder.chunk_remaining() != remaining {
                lines.extend(data_line(&mut data));
            }
            match event {
                Some(Event::Chunk { size, extensions }) => {
                    assert!(size > 0 && decoder.chunk_remaining() == size);
                    lines.extend(data_line(&mut data));
                    lines.push(format!("chunk {size}{}", written(extensions)));
                }
                Some(Event::Data(bytes)) => {
                    assert_eq!((length, decoder.chunk_remaining()), (bytes.len(), remaining - bytes.len() as u64));
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(bytes);
                }
                Some(Event::LastChunk { extensions }) => {
                    lines.extend(data_line(&mut data));
                    lines.push(format!("last{}", written(extensions)));
                }
                Some(Event::End { trailers }) => {
                    lines.push(format!("end {}", escaped(trailers)).trim_end().to_owned());
                    assert!(decoder.is_done());
                }
                None => assert!(!decoder.is_done() || length == 0),
            }
            let waits = event.is_none();
            buffer.drain(..length);
            consumed += length;
            if waits {
                break;
            }
        }
        let bound = limits.max_chunk_line.max(limits.max_trailers).max(18);
        assert!(decoder.is_done() || buffer.len() < bound, "{} bytes wait", buffer.len());
    }
    lines.extend(data_line(&mut data));
    match (decoder.is_done(), buffer.is_empty()) {
        (false, _) => lines.push("more".to_owned()),
        (true, false) => lines.push(format!("rest {}", escaped(&buffer))),
        (true, true) => {}
    }
    lines
}

fn data_line(data: &mut Vec<u8>) -> Option<String> {
    let data = std::mem::take(data);
    (!data.is_empty()).then(|| format!("data {}", escaped(&data)))
}

fn written(extensions: Extensions) -> String {
    let one = |extension: Extension| match extension.value {
        None => format!(" {}", extension.name),
        Some(value) => format!(" {}=\"{}\"", extension.name, escaped(&value.unescape().collect::<Vec<u8>>())),
    };
    extensions.iter().map(one).collect()
}

#[test]
fn the_corpus_decodes_as_it_says_however_it_is_cut() {
    let cases = corpus::parse(include_str!("corpus/chunks.txt"));
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        let (input, expected, limits) = (case.input(), case.expected(), case.limits());
        let decoder = match case.option("of_response") {
            Some(_) => Decoder::new(&limits).of_response(),
            None => Decoder::new(&limits),
        };
        let decoded = |pieces: &mut dyn Iterator<Item = &[u8]>| decoded_by(decoder, &limits, pieces);
        let found = decoded(&mut [input.as_slice()].into_iter());
        if found != expected {
            failures.push(format!("line {}: {}\n  expected {expected:?}\n  found    {found:?}", case.line, case.name));
            continue;
        }
        assert_eq!(decoded(&mut input.chunks(1)), expected, "{}: a byte at a time", case.name);
        for cut in 0..input.len() {
            let (front, back) = input.split_at(cut);
            assert_eq!(decoded(&mut [front, back].into_iter()), expected, "{}: cut at {cut}", case.name);
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_default_bound_on_trailers_is_met_exactly() {
    let wire = |name: usize| ["0\r\n".as_bytes(), &vec![b'n'; name], b":\r\n\r\n"].concat();
    let max = Limits::DEFAULT.max_trailers;
    assert_eq!(decoded(&Limits::DEFAULT, [wire(max - 5).as_slice()])[1], format!("end n{{{}}}:\\r\\n", max - 5));
    assert_eq!(decoded(&Limits::DEFAULT, [wire(max - 4).as_slice()])[1], format!("fault TrailersTooLarge {max}"));
    assert_eq!(decoded(&Limits::DEFAULT, wire(max - 4).chunks(1))[1], format!("fault TrailersTooLarge {max}"));
}

#[test]
fn a_body_without_trailers_ends_whatever_their_bound() {
    for max_trailers in 0..3 {
        let mut decoder = Decoder::new(&Limits { max_trailers, ..Limits::DEFAULT });
        decoder.decode(b"0\r\n").unwrap();
        let mut fielded = decoder;
        assert_eq!(decoder.decode(b"\r\n").unwrap().event, Some(Event::End { trailers: b"" }));
        assert_eq!(fielded.decode(b"a:\r\n\r\n").unwrap_err().fault, Fault::TrailersTooLarge);
    }
}

#[test]
fn a_feed_may_number_its_chunks_forever() {
    let limits = Limits { extension_budget: 0, ..Limits::DEFAULT };
    let mut decoder = Decoder::new(&limits);
    for number in 0..100_000 {
        let line = format!("1;seq={number};sha256={:064x}\r\n", number);
        assert!(matches!(decoder.decode(line.as_bytes()).unwrap().event, Some(Event::Chunk { size: 1, .. })));
        assert_eq!(decoder.decode(b"x").unwrap().event, Some(Event::Data(b"x")));
        assert_eq!(decoder.decode(b"\r\n").unwrap(), Step { consumed: 2, event: None });
    }
}

/// The meaning of a line by the grammar alone, written as the grammar is, for comparison.
mod grammar {
    pub(super) type Line = (u64, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    /// `chunk-size [ chunk-ext ]`
    pub(super) fn line(text: &[u8]) -> Option<Line> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&text[..digits]).ok().filter(|digits| digits.len() <= 16)?;
        let size = u64::from_str_radix(size, 16).ok()?;
        let mut extensions = Vec::new();
        let mut rest = &text[digits..];
        while !rest.is_empty() {
            rest = blanks(rest).strip_prefix(b";")?;
            let (name, after) = token(blanks(rest))?;
            rest = after;
            let mut value = None;
            if let Some(after) = blanks(rest).strip_prefix(b"=") {
                let (read, after) = token(blanks(after)).or_else(|| quoted(blanks(after)))?;
                (value, rest) = (Some(read), after);
            }
            extensions.push((name, value));
        }
        Some((size, extensions))
    }

    fn blanks(text: &[u8]) -> &[u8] {
        &text[text.iter().take_while(|&byte| b" \t".contains(byte)).count()..]
    }

    fn token(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let (token, rest) = text.split_at(text.iter().take_while(|byte| is_token(byte)).count());
        (!token.is_empty()).then(|| (token.to_vec(), rest))
    }

    fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut rest = text.strip_prefix(b"\"")?;
        let mut value = Vec::new();
        loop {
            let (byte, after) = match rest {
                [b'"', after @ ..] => return Some((value, after)),
                [b'\\', byte, after @ ..] | [byte, after @ ..] => (*byte, after),
                [] => return None,
            };
            if byte.is_ascii_control() && byte != b'\t' {
                return None;
            }
            value.push(byte);
            rest = after;
        }
    }
}

/// Bytes that often are chunk lines, or nearly chunk lines.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![";", "=", "\"", "\\", " ", "\t", "a", "b=", "1", "0", "\r\n"]),
        4 => prop::sample::select(vec![";a=b", ";a=\"b\"", ";a", "\r\n\r\n", "1\r\na\r\n", "2;c\r\nab\r\n", "0\r\n"]),
        1 => prop::sample::select(vec!["\r", "\n", "\0", "\u{7f}", "é", ",", "f", "x"]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

fn name() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let text = any::<u8>().prop_map(|byte| if byte.is_ascii_control() { b'\t' } else { byte });
    let some = prop_oneof![
        name().prop_map(String::into_bytes),
        prop::collection::vec(text, 0..24),
        prop::collection::vec(prop::sample::select(b"\"\\ a".to_vec()), 0..12),
    ];
    prop::option::of(some)
}

fn borrowed(extensions: &[(String, Option<Vec<u8>>)]) -> impl Iterator<Item = Extension<'_>> {
    extensions.iter().map(|(name, value)| Extension { name, value: value.as_deref().map(ExtensionValue::Plain) })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(
        size in prop_oneof![0..100_u64, any::<u64>()],
        extensions in prop::collection::vec((name(), value()), 0..8),
        spare in 0..4_usize,
    ) {
        let mut out = [b'!'; 1024];
        let encode = |out: &mut [u8]| match size {
            0 => encode_last_chunk(out, borrowed(&extensions)),
            _ => encode_chunk_head(out, size, borrowed(&extensions)),
        };
        let length = encode(&mut [0; 1024]).unwrap();
        prop_assert_eq!(encode(&mut out[..length + spare]), Ok(length));
        prop_assert!(out[length..].iter().all(|&byte| byte == b'!'), "written beyond the end");
        for short in 0..length {
            prop_assert_eq!(encode(&mut [0; 1024][..short]), Err(LocalError::BufferTooSmall));
        }

        let step = Decoder::new(&Limits::DEFAULT).decode(&out[..length]).unwrap();
        prop_assert_eq!(step.consumed, length);
        let found = match step.event {
            Some(Event::Chunk { size: found, extensions }) if found == size && size > 0 => extensions,
            Some(Event::LastChunk { extensions }) if size == 0 => extensions,
            event => panic!("{event:?}"),
        };
        let values: Vec<_> = found.iter().map(|extension| {
            let value = extension.value.map(|value| {
                let bytes: Vec<u8> = value.unescape().collect();
                assert!(value == bytes.as_slice());
                assert!(matches!(value, ExtensionValue::Escaped(_)) || value == ExtensionValue::Plain(&bytes));
                bytes
            });
            (extension.name.to_owned(), value)
        }).collect();
        prop_assert_eq!(&values, &extensions);
        prop_assert_eq!(found.is_empty(), extensions.is_empty());
        prop_assert_eq!(Extensions::parse(found.as_bytes()), Ok(found));

        // And once more from what was decoded: a proxy sends the same bytes on.
        let mut again = [0; 1024];
        let copied = if size == 0 { encode_last_chunk(&mut again, found) } else { encode_chunk_head(&mut again, size, found) };
        prop_assert_eq!(copied.map(|copied| &again[..copied]), Ok(&out[..length]));
    }

    #[test]
    fn any_input_gives_the_same_however_it_is_cut(
        wire in wire(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        free_extension in 0..8_usize,
        extension_budget in 0..8_usize,
        max_chunk_line in 18..40_usize,
        max_trailers in 2..16_usize,
    ) {
        let limits = Limits { free_extension, extension_budget, max_chunk_line, max_trailers, ..Limits::DEFAULT };
        let whole = decoded(&limits, [wire.as_slice()]);
        prop_assert_eq!(&decoded(&limits, wire.chunks(1)), &whole);
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        ends.extend([0, wire.len()]);
        ends.sort_unstable();
        let pieces = ends.windows(2).map(|ends| &wire[ends[0]..ends[1]]);
        prop_assert_eq!(decoded(&limits, pieces), whole);
    }

    #[test]
    fn a_line_is_accepted_if_and_only_if_the_grammar_has_it(line in wire(), size in "[0-9a-fA-F]{0,17}") {
        let line = [size.as_bytes(), &line].concat();
        let line = line.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let expected = grammar::line(line);
        let wire = [line, b"\r\n"].concat();
        let read = |extensions: Extensions| -> Vec<_> {
            let value = |extension: Extension| extension.value.map(|value| value.unescape().collect::<Vec<u8>>());
            extensions.iter().map(|extension| (extension.name.as_bytes().to_vec(), value(extension))).collect()
        };
        let found = match Decoder::new(&Limits::DEFAULT).decode(&wire) {
            Ok(Step { consumed, event: Some(Event::Chunk { size, extensions }) }) if consumed == wire.len() => {
                Some((size, read(extensions)))
            }
            Ok(Step { consumed, event: Some(Event::LastChunk { extensions }) }) if consumed == wire.len() => {
                Some((0, read(extensions)))
            }
            Ok(step) => panic!("{step:?}"),
            Err(_) => None,
        };
        prop_assert_eq!(&found, &expected);
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if (1..=16).contains(&digits) {
            let parsed = Extensions::parse(&line[digits..]).ok().map(read);
            prop_assert_eq!(parsed, expected.map(|(_, extensions)| extensions));
        }
    }

    #[test]
    fn a_caller_who_mixes_up_his_buffer_gets_no_panic(pieces in prop::collection::vec(wire(), 0..12)) {
        let mut decoder = Decoder::new(&Limits { free_extension: 4, extension_budget: 4, ..Limits::DEFAULT });
        for piece in pieces {
            if let Ok(Step { event: Some(Event::Chunk { extensions, .. }), .. }) = decoder.decode(&piece) {
                for extension in extensions {
                    prop_assert!(extension.value.is_none_or(|value| value.unescape().count() <= piece.len()));
                }
            }
        }
    }
}
