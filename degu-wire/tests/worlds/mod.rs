//! The grammar, proved on small worlds: every text up to a length, over an alphabet with a byte (or a word) of each class,
//! is read by the codec and by an independent [`reference`], and both have to read the same or refuse with the same status.
//!
//! The tests run short worlds. `cargo xtask worlds` runs long ones, which take minutes.

mod judge;
mod reference;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::{iter, thread};

use crate::corpus::escaped;

/// The meaning of a text, in words that both sides write the same way, or the status with which it is refused.
type Verdict = Result<String, u16>;

/// All texts up to a length.
struct World {
    name: &'static str,
    /// The input before and after each text, so that the codec can parse it.
    around: [&'static [u8]; 2],
    /// The pieces from which the texts are made. Neighbours in this list differ in class; the last piece and the first piece
    /// count as neighbours.
    alphabet: &'static [&'static [u8]],
    /// The codec's view of the whole input.
    judge: fn(&[u8]) -> Verdict,
    /// The reference's view of the text alone.
    reference: fn(&[u8]) -> Verdict,
    /// The longest text of the short world, and of the long one, in symbols.
    lengths: [usize; 2],
}

const CLASSES_OF_FIELDS: &[&[u8]] =
    &[b"a", b":", b"-", b" ", b"\"", b"\t", b"\x80", b"\0", b"1", b"\x7f", b"Z", b"\r", b"(", b"\n"];

const WORLDS: [World; 12] = [
    World {
        name: "request lines",
        around: [b"", b"\r\nHost: a\r\n\r\n"],
        #[rustfmt::skip]
        alphabet: &[
            b"G", b" ", b"/", b" HTTP/1.1", b"G /", b"?", b"\"", b"#", b"OPTIONS", b"*", b"CONNECT", b"http://", b":", b"1", b"%",
            b" HTTP/1.0", b"\x80", b" HTTP/2.0", b"\t", b"a", b"\0", b" HTTP/1.", b"\r", b"[::1]", b"\n",
        ],
        judge: judge::request_line,
        reference: reference::request_line,
        lengths: [4, 6],
    },
    World {
        name: "request targets",
        around: [b"G ", b" HTTP/1.1\r\nHost: a\r\n\r\n"],
        #[rustfmt::skip]
        alphabet: &[
            b"/", b"a", b"?", b":", b"http://", b"#", b"1", b"*", b"hTTpS://", b"%", b"[::1]", b"@", b",", b"\"", b"\x80", b"!",
            b"\x7f",
        ],
        judge: judge::request_line,
        reference: |target| reference::request_line(&[b"G ", target, b" HTTP/1.1"].concat()),
        lengths: [4, 6],
    },
    World {
        name: "field lines",
        around: [b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n\r\n"],
        alphabet: CLASSES_OF_FIELDS,
        judge: judge::field_line,
        reference: reference::field_line,
        lengths: [4, 7],
    },
    World {
        // As long as the blocks and words in which the codec looks at bytes.
        name: "field lines behind a long beginning",
        around: [b"GET / HTTP/1.1\r\nHost: a\r\nabcdefghijklmnopqrstuvwxyz", b"\r\n\r\n"],
        alphabet: CLASSES_OF_FIELDS,
        judge: judge::field_line,
        reference: |rest| reference::field_line(&[b"abcdefghijklmnopqrstuvwxyz", rest].concat()),
        lengths: [4, 6],
    },
    World {
        name: "trailer lines",
        around: [b"0\r\n", b"\r\n\r\n"],
        alphabet: CLASSES_OF_FIELDS,
        judge: judge::trailer_line,
        reference: reference::field_line,
        lengths: [4, 7],
    },
    World {
        name: "field lines of responses",
        around: [b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n"],
        alphabet: &[
            b"a", b":", b" ", b"\r\n ", b"upgrade", b"\t", b"\"", b"\x80", b"\0", b"(", b"\r", b"Upgrade", b"\n",
        ],
        judge: judge::response_field_line,
        reference: reference::response_field_line,
        lengths: [4, 7],
    },
    World {
        name: "chunk lines of responses",
        around: [b"", b"\r\n"],
        alphabet: &[b"0", b" ", b";", b"a", b"\t", b"g", b"=", b"\"", b"\0", b";g=\""],
        judge: judge::response_chunk_line,
        reference: reference::response_chunk_line,
        lengths: [5, 8],
    },
    World {
        name: "chunk lines",
        around: [b"", b"\r\n"],
        #[rustfmt::skip]
        alphabet: &[
            b"0", b"\0", b";", b"\r", b"g", b"\x7f", b"=", b"\n", b"a", b"\"", b"\\", b" ", b"(", b"\t", b"\x80", b"F",
            b";g=\"",
        ],
        judge: judge::chunk_line,
        reference: reference::chunk_line,
        lengths: [4, 7],
    },
    World {
        name: "chunk extensions",
        around: [b"1;a", b"\r\n"],
        alphabet: &[b";", b"a", b"=", b"\"", b"\\", b" ", b"("],
        judge: judge::chunk_line,
        reference: |rest| reference::chunk_line(&[b"1;a", rest].concat()),
        lengths: [5, 9],
    },
    World {
        name: "values of Transfer-Encoding",
        around: [b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:", b"\r\n\r\n"],
        alphabet: &[b"chunked", b"=", b",", b"\"", b"g", b"\x80", b" ", b"\0", b"CHUNKED", b";", b"\t"],
        judge: judge::transfer_encoding,
        reference: reference::transfer_encoding,
        lengths: [4, 7],
    },
    World {
        name: "values of Host",
        around: [b"GET / HTTP/1.1\r\nHost:", b"\r\n\r\n"],
        #[rustfmt::skip]
        alphabet: &[
            b"a", b":", b"1", b"[", b"::1", b"]", b"%", b"@", b".", b"/", b"!", b",", b" ", b"\"", b"\t", b"\x80", b"-", b"\0",
        ],
        judge: judge::host,
        reference: reference::host,
        lengths: [4, 6],
    },
    World {
        name: "IPv6 addresses in Host",
        around: [b"GET / HTTP/1.1\r\nHost:[", b"]\r\n\r\n"],
        alphabet: &[b"1", b":", b"1:1:", b"1.2.3.4", b"fff", b".", b"0", b"255", b"%"],
        judge: judge::host,
        reference: |ip| reference::host(&[b"[", ip, b"]"].concat()),
        lengths: [5, 8],
    },
];

impl World {
    /// Compares all texts up to a length, and returns the first on which the two disagree, and how many there are. Where a
    /// symbol is `planted`, the reference reads another one in its place.
    fn compare(&self, length: usize, planted: Option<[usize; 2]>) -> Result<u64, String> {
        let (first, texts) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = || {
            // What begins with one symbol is a piece of work.
            while let symbol = first.fetch_add(1, Relaxed)
                && symbol < self.alphabet.len()
            {
                let mut walk =
                    Walk { world: self, planted, texts: 0, input: self.around[0].to_vec(), text: Vec::new() };
                walk.step(symbol, length)?;
                texts.fetch_add(walk.texts, Relaxed);
            }
            Ok::<_, String>(())
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = iter::repeat_with(|| scope.spawn(work)).take(threads).collect();
            threads.into_iter().map(|thread| thread.join().expect("no comparison panics")).collect()
        });
        outcomes.into_iter().collect::<Result<(), _>>()?;
        Ok(texts.into_inner())
    }
}

/// A walk through the texts that begin with one symbol.
struct Walk<'w> {
    world: &'w World,
    planted: Option<[usize; 2]>,
    texts: u64,
    /// The input for the codec, without its end, and the text for the reference.
    input: Vec<u8>,
    text: Vec<u8>,
}

impl Walk<'_> {
    /// Adds a symbol, compares the two, and goes on with every text that begins so.
    fn step(&mut self, symbol: usize, left: usize) -> Result<(), String> {
        let World { alphabet, around, .. } = self.world;
        let read = self.planted.filter(|[from, _]| *from == symbol).map_or(symbol, |[_, to]| to);
        let (input, text) = (self.input.len(), self.text.len());
        self.input.extend_from_slice(alphabet[symbol]);
        self.text.extend_from_slice(alphabet[read]);
        // A CRLF ends the line: what stands before it is a text of its own.
        if !self.input.ends_with(b"\r\n") {
            let end = self.input.len();
            self.input.extend_from_slice(around[1]);
            let (found, expected) = ((self.world.judge)(&self.input), (self.world.reference)(&self.text));
            if found != expected {
                let input = escaped(&self.input);
                return Err(format!("{}: {input}\n  codec     {found:?}\n  reference {expected:?}", self.world.name));
            }
            self.input.truncate(end);
            self.texts += 1;
            if left > 1 {
                (0..alphabet.len()).try_for_each(|symbol| self.step(symbol, left - 1))?;
            }
        }
        self.input.truncate(input);
        self.text.truncate(text);
        Ok(())
    }
}

#[test]
fn the_codec_reads_what_the_reference_reads() {
    for world in &WORLDS {
        let texts = world.compare(world.lengths[0], None).unwrap_or_else(|difference| panic!("{difference}"));
        assert!(texts > 10_000, "{}: only {texts} texts", world.name);
    }
}

#[test]
#[ignore = "takes minutes: `cargo xtask worlds` runs it"]
fn the_codec_reads_what_the_reference_reads_in_long_worlds() {
    for world in &WORLDS {
        match world.compare(world.lengths[1], None) {
            Ok(texts) => println!("{}: {texts} texts agree", world.name),
            Err(difference) => panic!("{difference}"),
        }
    }
}

#[test]
fn a_reference_that_takes_one_class_for_another_is_found_out() {
    let mut unnoticed = Vec::new();
    for world in &WORLDS {
        for from in 0..world.alphabet.len() {
            let to = (from + 1) % world.alphabet.len();
            if world.compare(world.lengths[0], Some([from, to])).is_ok() {
                let [from, to] = [from, to].map(|symbol| escaped(world.alphabet[symbol]));
                unnoticed.push(format!("{}: {from} is taken for {to}", world.name));
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
