//! picohttpparser behind safe functions that add nothing to its time: offsets are not taken, octets are not copied.

use std::ffi::{c_char, c_int};
use std::ptr;

use picohttpparser_sys::{phr_chunked_decoder, phr_decode_chunked, phr_header, phr_parse_request, phr_parse_response};

/// Storage for the fields of a head.
#[derive(Debug, Default)]
pub struct Fields([phr_header; 16]);

/// What a head says, as far as the measurement looks at it.
#[derive(Debug)]
pub struct Head {
    /// Octets of the head, or a negative number: malformed, or not whole.
    pub length: c_int,
    /// The minor version.
    pub minor_version: c_int,
    /// The status of a response.
    pub status: c_int,
    /// The start of the method or of the reason phrase, and its length.
    pub word: (*const c_char, usize),
    /// The start of the target, and its length.
    pub target: (*const c_char, usize),
    /// How many fields there are.
    pub fields: usize,
}

impl Head {
    const NONE: Self =
        Self { length: -1, minor_version: 0, status: 0, word: (ptr::null(), 0), target: (ptr::null(), 0), fields: 16 };
}

/// `phr_parse_request`.
pub fn parse_request(input: &[u8], fields: &mut Fields) -> Head {
    let mut head = Head::NONE;
    // SAFETY: the input is initialised for its length, `fields` has room for the number given, and every other pointer
    // is to a local variable. picohttpparser keeps none of them.
    head.length = unsafe {
        phr_parse_request(
            input.as_ptr().cast(),
            input.len(),
            &mut head.word.0,
            &mut head.word.1,
            &mut head.target.0,
            &mut head.target.1,
            &mut head.minor_version,
            fields.0.as_mut_ptr(),
            &mut head.fields,
            0,
        )
    };
    head
}

/// `phr_parse_response`.
pub fn parse_response(input: &[u8], fields: &mut Fields) -> Head {
    let mut head = Head::NONE;
    // SAFETY: as in `parse_request`.
    head.length = unsafe {
        phr_parse_response(
            input.as_ptr().cast(),
            input.len(),
            &mut head.minor_version,
            &mut head.status,
            &mut head.word.0,
            &mut head.word.1,
            fields.0.as_mut_ptr(),
            &mut head.fields,
            0,
        )
    };
    head
}

/// `phr_decode_chunked` with a new decoder: the octets of data, which are moved to the front of `input`, or `None` if it
/// is malformed.
pub fn decode_chunked(input: &mut [u8]) -> Option<usize> {
    // SAFETY: a structure of integers, which is to be zeroed before its first use, as picohttpparser's header says.
    let mut decoder: phr_chunked_decoder = unsafe { std::mem::zeroed() };
    let mut length = input.len();
    // SAFETY: the input is initialised and writable for its length.
    let result = unsafe { phr_decode_chunked(&mut decoder, input.as_mut_ptr().cast(), &mut length) };
    // -2 is a body that goes on.
    (result >= -2 && result != -1).then_some(length)
}
