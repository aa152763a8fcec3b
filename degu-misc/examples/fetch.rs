//! A client for the command line.
//!
//! `fetch [--blocking] [-X METHOD] [-H 'name: value'] [--data TEXT | --chunk 'TEXT[;ext=value]'...] [--chunks]
//! [--tls-ca FILE [--tls-cert FILE --tls-key FILE] [--tls-no-name]] ADDRESS TARGET`
//!
//! It prints the status line, the fields and the body. With `--chunks` it prints each chunk with its extensions, and
//! then the trailers. After an error the exit code is 1, and one line says what went wrong and whose fault it is.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use degu_client::{
    Address, Body, BoxError, Chunk, ChunkExtensions, Client, Headers, Method, Reason, Trailers, blocking,
};
use lexopt::{Arg, ValueExt};

mod tls;

const USAGE: &str = "usage: fetch [--blocking] [-X METHOD] [-H 'name: value'] [--data TEXT | --chunk 'TEXT[;ext=value]'...] \
                     [--chunks] [--tls-ca FILE [--tls-cert FILE --tls-key FILE] [--tls-no-name]] ADDRESS TARGET";

#[derive(Default)]
struct Options {
    blocking: bool,
    method: Option<String>,
    headers: Headers,
    data: Option<String>,
    chunks_out: Vec<Chunk>,
    show_chunks: bool,
    address: Option<Address>,
    target: Option<String>,
    files: tls::Files,
}

impl Options {
    fn from_arguments() -> Result<Self, BoxError> {
        let mut options = Self::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("blocking") => options.blocking = true,
                Arg::Short('X') => options.method = Some(arguments.value()?.string()?),
                Arg::Short('H') => {
                    let field = arguments.value()?.string()?;
                    let (name, value) = field.split_once(':').ok_or("-H wants 'name: value'")?;
                    options.headers.append(name, value.trim())?;
                }
                Arg::Long("data") => options.data = Some(arguments.value()?.string()?),
                Arg::Long("chunk") => options.chunks_out.push(chunk(&arguments.value()?.string()?)),
                Arg::Long("chunks") => options.show_chunks = true,
                Arg::Value(value) if options.address.is_none() => options.address = Some(value.parse()?),
                Arg::Value(value) if options.target.is_none() => options.target = Some(value.string()?),
                Arg::Long(name @ ("tls-ca" | "tls-cert" | "tls-key" | "tls-no-name")) => {
                    let name = name.to_owned();
                    options.files.take(&name, &mut arguments)?;
                }
                other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
            }
        }
        if options.data.is_some() && !options.chunks_out.is_empty() {
            return Err("--data or --chunk, not both".into());
        }
        Ok(options)
    }

    fn client(&self) -> Result<Client, BoxError> {
        Ok(self.files.on_client(Client::options())?.client(self.address.as_ref().ok_or(USAGE)?))
    }

    fn method(&self) -> Method<'_> {
        match &self.method {
            Some(method) => Method::from(method.as_str()),
            None if self.data.is_some() || !self.chunks_out.is_empty() => Method::Post,
            None => Method::Get,
        }
    }
}

/// Parses `TEXT[;ext=value]`. The last semicolon begins the extension.
fn chunk(argument: &str) -> Chunk {
    match argument.rsplit_once(';') {
        None => Chunk::new(argument.to_owned()),
        Some((text, extension)) => {
            let chunk = Chunk::new(text.to_owned());
            match extension.split_once('=') {
                Some((name, value)) => chunk.with_extension(name, value),
                None => chunk.with_flag(extension),
            }
        }
    }
}

/// The standard output, to which the program prints the response.
struct Output {
    out: io::StdoutLock<'static>,
    show_chunks: bool,
}

impl Output {
    fn head(&mut self, status: u16, reason: &Reason, headers: &Headers) -> io::Result<()> {
        writeln!(self.out, "{status} {reason}")?;
        self.fields(headers.iter())?;
        writeln!(self.out)
    }

    fn fields<'f>(&mut self, mut fields: impl Iterator<Item = (&'f str, &'f [u8])>) -> io::Result<()> {
        fields.try_for_each(|(name, value)| writeln!(self.out, "{name}: {}", value.escape_ascii()))
    }

    fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        writeln!(self.out, "{}{}: {}", chunk.data.len(), chunk.extensions, chunk.data.escape_ascii())
    }

    fn end(&mut self, extensions: Option<&ChunkExtensions>, trailers: Option<&Trailers>) -> io::Result<()> {
        if let Some(extensions) = extensions.filter(|extensions| !extensions.is_empty()) {
            writeln!(self.out, "0{extensions}")?;
        }
        self.fields(trailers.into_iter().flat_map(|trailers| trailers.iter()))
    }
}

fn fetch_blocking(options: Options, output: &mut Output) -> Result<(), BoxError> {
    let mut connection = blocking::Client::from(options.client()?).connect()?;
    let body = match (options.data.clone(), options.chunks_out.is_empty()) {
        (Some(data), _) => blocking::Body::from(data),
        (None, true) => blocking::Body::from(()),
        (None, false) => blocking::Body::from_chunks(options.chunks_out.clone()),
    };
    let target = options.target.as_deref().ok_or(USAGE)?;
    let mut response = connection.request(options.method(), target, &options.headers, body)?;
    output.head(response.status, &response.reason, &response.headers)?;
    if !output.show_chunks {
        while let Some(data) = response.body.next_data()? {
            output.out.write_all(&data)?;
        }
        return Ok(());
    }
    while let Some(chunk) = response.body.next_chunk()? {
        output.chunk(&chunk)?;
    }
    Ok(output.end(response.body.last_extensions(), response.body.trailers())?)
}

async fn fetch(options: Options, output: &mut Output) -> Result<(), BoxError> {
    let mut connection = options.client()?.connect().await?;
    let body = match (options.data.clone(), options.chunks_out.is_empty()) {
        (Some(data), _) => Body::from(data),
        (None, true) => Body::from(()),
        (None, false) => Body::try_unfold(options.chunks_out.clone().into_iter(), |mut chunks| async move {
            Ok(chunks.next().map(|chunk| (chunk, chunks)))
        }),
    };
    let target = options.target.as_deref().ok_or(USAGE)?;
    let mut response = connection.request(options.method(), target, &options.headers, body).await?;
    output.head(response.status, &response.reason, &response.headers)?;
    if !output.show_chunks {
        while let Some(data) = response.body.next_data().await? {
            output.out.write_all(&data)?;
        }
        return Ok(());
    }
    while let Some(chunk) = response.body.next_chunk().await? {
        output.chunk(&chunk)?;
    }
    Ok(output.end(response.body.last_extensions(), response.body.trailers())?)
}

fn run() -> Result<(), BoxError> {
    let options = Options::from_arguments()?;
    let mut output = Output { out: io::stdout().lock(), show_chunks: options.show_chunks };
    if options.blocking {
        fetch_blocking(options, &mut output)?;
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(fetch(options, &mut output))?;
    }
    output.out.flush()?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}
