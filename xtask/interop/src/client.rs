//! Our client of `cargo xtask interop`: `degu-interop-client [OPTIONS] ADDRESS`.
//!
//! Performs the exchanges one after the other and prints a line for each: its name, and `ok`, `failed` with what was
//! wrong, or `skipped` with why. What is asked for is in the documentation of `degu-interop-server`.
//!
//! - `--blocking`: with the blocking client.
//! - `--files`: the server has only files, so that it refuses POST.
//! - `--http10`: the server closes after each response.
//! - `--proxied`: the server passes on to ours, and is to keep that connection.
//! - `--skip NAME=WHY`: not this exchange; may be repeated.

mod ends;
mod exchanges;

use std::io::{self, Write};

use degu_client::{Address, BoxError, Client};
use lexopt::{Arg, ValueExt};

use ends::{Async, Blocking, End};

const USAGE: &str =
    "usage: degu-interop-client [--blocking] [--files] [--http10] [--proxied] [--skip NAME=WHY]... ADDRESS";

/// What is known of the server.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    files: bool,
    http10: bool,
    proxied: bool,
}

fn main() -> Result<(), BoxError> {
    let (mut address, mut blocking, mut traits, mut skipped) = (None, false, Traits::default(), Vec::new());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Value(value) if address.is_none() => address = Some(value.parse::<Address>()?),
            Arg::Long("blocking") => blocking = true,
            Arg::Long("files") => traits.files = true,
            Arg::Long("http10") => traits.http10 = true,
            Arg::Long("proxied") => traits.proxied = true,
            Arg::Long("skip") => {
                let skip = arguments.value()?.string()?;
                let (name, why) = skip.split_once('=').ok_or(USAGE)?;
                skipped.push((name.to_owned(), why.to_owned()));
            }
            other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
        }
    }
    let client = Client::new(address.ok_or(USAGE)?);
    let mut end: Box<dyn End> = if blocking { Box::new(Blocking::new(client)) } else { Box::new(Async::new(client)?) };
    let mut stdout = io::stdout().lock();
    for (name, exchange) in exchanges::ALL {
        // A connection of its own for each: what one leaves behind is not to spoil the next.
        end.disconnect();
        if let Some((_, why)) = skipped.iter().find(|(skipped, _)| skipped == name) {
            writeln!(stdout, "{name} skipped {why}")?;
            continue;
        }
        match exchange(end.as_mut(), traits) {
            Ok(()) => writeln!(stdout, "{name} ok")?,
            Err(error) => writeln!(stdout, "{name} failed {}", error.to_string().escape_debug())?,
        }
    }
    Ok(())
}
