//! Decoding chunks: one line with an extension, and a long body into one `Vec`.

use std::hint::black_box;

use degu_wire::Limits;
use degu_wire::chunk::{Decoder, Event, ExtensionValue};

use super::inputs::{BODY, CHUNK_LINE, body, chunked_body};
use super::{Entry, Result, Run, check};

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        task: "chunk line, `5;foo=bar`",
        contestant: "degu",
        api: "chunk::Decoder::decode, a copy of a new decoder each time, every extension taken",
        prepare: degu_line,
    },
    Entry {
        task: "chunk line, `5;foo=bar`",
        contestant: "httparse",
        api: "parse_chunk_size, which skips the extension",
        prepare: httparse_line,
    },
    #[cfg(feature = "picohttpparser")]
    Entry {
        task: "chunk line, `5;foo=bar`",
        contestant: "picohttpparser",
        api: "phr_decode_chunked, which skips the extension",
        prepare: pico_line,
    },
    Entry {
        task: "1 MiB body in 4 KiB chunks",
        contestant: "degu",
        api: "chunk::Decoder::decode, data appended to one Vec",
        prepare: degu_body,
    },
    Entry {
        task: "1 MiB body in 4 KiB chunks",
        contestant: "httparse",
        api: "parse_chunk_size, data appended to one Vec",
        prepare: httparse_body,
    },
    Entry {
        task: "1 MiB body in 4 KiB chunks",
        contestant: "plain copy",
        api: "Vec::extend_from_slice of the data alone, in one piece",
        prepare: copied_body,
    },
];

fn degu_line() -> Result<Run> {
    let decoder = Decoder::new(&Limits::DEFAULT);
    let mut copy = decoder;
    let Some(Event::Chunk { size: 5, extensions }) = copy.decode(CHUNK_LINE)?.event else {
        return Err("no chunk".into());
    };
    check(extensions.find("foo").and_then(|extension| extension.value) == Some(ExtensionValue::Plain(b"bar")))?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            // A copy, since the decoder wants data next. In a body it is made once.
            let mut decoder = *black_box(&decoder);
            let step = decoder.decode(black_box(CHUNK_LINE))?;
            let Some(Event::Chunk { size, extensions }) = step.event else { return Err("no chunk".into()) };
            black_box((step.consumed, size));
            for extension in extensions {
                black_box(&extension);
            }
        }
        Ok(())
    }))
}

fn httparse_line() -> Result<Run> {
    check(httparse::parse_chunk_size(CHUNK_LINE) == Ok(httparse::Status::Complete((CHUNK_LINE.len(), 5))))?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            let _ = black_box(httparse::parse_chunk_size(black_box(CHUNK_LINE)));
        }
        Ok(())
    }))
}

#[cfg(feature = "picohttpparser")]
fn pico_line() -> Result<Run> {
    // It decodes in place, but has no data to move here, so the line stays as it is.
    let mut line = CHUNK_LINE.to_vec();
    check(degu_bench_picohttpparser::decode_chunked(&mut line) == Some(0) && line == CHUNK_LINE)?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            black_box(degu_bench_picohttpparser::decode_chunked(black_box(&mut line)));
        }
        Ok(())
    }))
}

/// Runs `decode`, which fills a `Vec` from a body, into one that never has to grow.
fn into_one(input: Vec<u8>, decode: fn(&[u8], &mut Vec<u8>) -> Result) -> Result<Run> {
    let mut output = Vec::with_capacity(BODY);
    decode(&input, &mut output)?;
    check(output == body())?;
    Ok(Box::new(move |times| {
        for _ in 0..times {
            output.clear();
            decode(black_box(&input), &mut output)?;
            black_box(&output);
        }
        Ok(())
    }))
}

fn degu_body() -> Result<Run> {
    into_one(chunked_body(), |mut input, output| {
        let mut decoder = Decoder::new(&Limits::DEFAULT);
        while !decoder.is_done() {
            let step = decoder.decode(input)?;
            input = &input[step.consumed..];
            match step.event {
                Some(Event::Data(data)) => output.extend_from_slice(data),
                Some(_) => {}
                None => return Err("a body that ends early".into()),
            }
        }
        Ok(())
    })
}

fn httparse_body() -> Result<Run> {
    into_one(chunked_body(), |mut input, output| {
        loop {
            let status = httparse::parse_chunk_size(input).map_err(|_| "a malformed chunk line")?;
            let httparse::Status::Complete((line, size)) = status else { return Err("a part of a line".into()) };
            let size = size as usize;
            if size == 0 {
                return Ok(());
            }
            output.extend_from_slice(&input[line..line + size]);
            input = input[line + size..].strip_prefix(b"\r\n").ok_or("no line end behind the data")?;
        }
    })
}

fn copied_body() -> Result<Run> {
    into_one(body(), |input, output| {
        output.extend_from_slice(input);
        Ok(())
    })
}
