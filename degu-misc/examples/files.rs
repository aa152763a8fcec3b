//! A server for a directory. It has ranges, conditional requests, `index.html` or a list for a folder, and serves
//! nothing outside of the directory.
//!
//! `files ADDRESS FOLDER`
//!
//! **Which files can be reached?** The program opens the folder once, and walks each path from there, component by
//! component, after percent-decoding. A component may not be empty, begin with a dot, or contain a slash or NUL. So
//! there is no `..`, and also no `.git` or `.env`. The program never follows a symbolic link. Each step opens a name
//! relative to the folder of the step before. Therefore no folder can be exchanged between a check and the use of the
//! folder. A path that is refused gets 404, as if it did not exist. Hard links and mounts are served like ordinary
//! files.
//!
//! **When is a copy still valid?** The entity-tag is made from the inode, the length, and the time of modification in
//! nanoseconds. The entity-tag is a strong validator as far as the clock of the file system distinguishes two writes. A
//! date in `If-Range` never matches, because two versions may have been written in the same second (RFC 9110 §13.1.5);
//! the client then gets the whole file.
//!
//! The first line of output is `listening on ADDRESS`.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::SystemTime;

use degu_server::{Address, Body, BoxError, Headers, Method, Request, Response, Server, Session};
use degu_wire::ByteRange;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

fn run() -> Result<(), BoxError> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(address), Some(root), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: files ADDRESS FOLDER".into());
    };
    let address: Address = address.to_str().ok_or("the address is not UTF-8")?.parse()?;
    let root = openat(CWD, &root, FOLDER, Mode::empty()).map_err(|error| format!("{}: {error}", root.display()))?;
    let root = Arc::new(root);
    // Caches compute the age of a response from its field `date`.
    let server = Server::options()
        .date(true)
        .bind(address, async move |_: &mut Session, request: Request<'_>| answer(root.clone(), request).await)?;
    writeln!(io::stdout(), "listening on {}", server.address())?;
    io::stdout().flush()?;
    Ok(server.serve_forever()?)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

async fn answer(root: Arc<OwnedFd>, request: Request<'_>) -> Result<Response, BoxError> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Ok((405, [("allow", "GET, HEAD")], ()).into());
    }
    let not_found = || Ok((404, "file not found\n").into());
    let Some(path) = Path::of(request.segments()) else { return not_found() };
    // The search runs on a thread for blocking work, because calls of the file system block.
    let found = tokio::task::spawn_blocking(move || path.find(&root)).await?;
    match found {
        Ok(Found::File { file, about, kind }) => file_response(&request, file, &about, kind),
        Ok(Found::List(html)) => Ok((200, [("content-type", HTML)], html).into()),
        Ok(Found::NeedsSlash) => {
            // A relative location stays correct if a proxy forwards the request. After `./` no name is parsed as a
            // scheme.
            let place = format!("./{}/", request.segments().last().unwrap_or(&""));
            Ok((301, [("location", place)], ()).into())
        }
        Err(error) if is_not_found(error) => not_found(),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the error means that there is no file that may be served. This includes an error because of a
/// symbolic link.
fn is_not_found(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::MLINK | Errno::ACCESS | Errno::NAMETOOLONG | Errno::NXIO
    )
}

/// A decoded path of a request, as names that are safe to open. Each name is opened in the folder that the name before
/// it opened.
struct Path {
    names: Vec<Vec<u8>>,
    /// True if the path ends with a slash, and therefore means a folder.
    folder: bool,
}

impl Path {
    fn of(components: &[&str]) -> Option<Self> {
        let (folder, components) = match components {
            [] => (true, components),
            [names @ .., ""] => (true, names),
            names => (false, names),
        };
        let names = components.iter().map(|component| name(component)).collect::<Option<_>>()?;
        Some(Self { names, folder })
    }

    fn find(&self, root: &OwnedFd) -> Result<Found, Errno> {
        let mut folder = openat(root, ".", FOLDER, Mode::empty())?;
        let (folders, last) = match self.names.split_last() {
            Some((last, folders)) if !self.folder => (folders, Some(last)),
            _ => (&self.names[..], None),
        };
        for name in folders {
            folder = openat(&folder, &name[..], FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        match last {
            Some(name) => open(&folder, name),
            None => match open(&folder, b"index.html") {
                Ok(Found::File { file, about, kind }) => Ok(Found::File { file, about, kind }),
                Ok(_) => list(&folder),
                Err(error) if is_not_found(error) => list(&folder),
                Err(error) => Err(error),
            },
        }
    }
}

/// Decodes a component once (RFC 3986 §2.1). A component that was encoded twice becomes a name with a percent sign.
fn name(component: &str) -> Option<Vec<u8>> {
    let mut bytes = component.bytes();
    let mut name = Vec::with_capacity(component.len());
    while let Some(byte) = bytes.next() {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        name.push(match byte {
            b'%' => u8::try_from(digit(bytes.next()?)? << 4 | digit(bytes.next()?)?).ok()?,
            byte => byte,
        });
    }
    let plain = !name.is_empty() && name[0] != b'.' && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    plain.then_some(name)
}

enum Found {
    File {
        file: File,
        about: Metadata,
        kind: &'static str,
    },
    List(String),
    /// A folder, but the path of the request has no slash at its end. Relative links in the list of the folder would
    /// then be wrong.
    NeedsSlash,
}

fn open(folder: &OwnedFd, name: &[u8]) -> Result<Found, Errno> {
    // Opening a fifo would wait for a writer, and a terminal would become the terminal of this process.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let about = file.metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    match about.file_type() {
        kind if kind.is_file() => Ok(Found::File { file, about, kind: content_type(name) }),
        kind if kind.is_dir() => Ok(Found::NeedsSlash),
        _ => Err(Errno::NOENT),
    }
}

const HTML: &str = "text/html; charset=utf-8";

fn content_type(name: &[u8]) -> &'static str {
    let extension = std::path::Path::new(std::ffi::OsStr::from_bytes(name)).extension();
    match extension.and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" | "htm" => HTML,
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        _ => "application/octet-stream",
    }
}

/// Lists the files of a folder in the order of their names.
fn list(folder: &OwnedFd) -> Result<Found, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let slash = match entry.file_type() {
            FileType::Directory => "/",
            FileType::RegularFile | FileType::Unknown => "",
            _ => continue,
        };
        let name = entry.file_name().to_bytes().to_vec();
        if !name.starts_with(b".") {
            names.push((name, slash));
        }
    }
    names.sort();
    let mut html = String::from("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Index</title>\n<ul>\n");
    for (name, slash) in names {
        html.push_str("<li><a href=\"./");
        for byte in &name {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => html.push(char::from(*byte)),
                // Writing to a string does not fail.
                byte => drop(write!(html, "%{byte:02X}")),
            }
        }
        let text = String::from_utf8_lossy(&name).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(html, "{slash}\">{text}{slash}</a>");
    }
    html.push_str("</ul>\n");
    Ok(Found::List(html))
}

fn file_response(request: &Request<'_>, file: File, about: &Metadata, kind: &str) -> Result<Response, BoxError> {
    let length = about.len();
    let tag = format!("\"{:x}-{length:x}-{:x}.{:x}\"", about.ino(), about.mtime(), about.mtime_nsec());
    // `last-modified` must not be later than `date` (RFC 9110 §8.8.2.1), so a time in the future is not sent.
    let modified = about.modified()?.min(SystemTime::now());
    let mut headers = Headers::new();
    headers.set("etag", &tag)?;
    headers.set("last-modified", httpdate::fmt_http_date(modified))?;
    match condition(request.headers(), &tag, modified) {
        Some(304) => return Ok((304, headers, ()).into()),
        Some(status) => return Ok(status.into()),
        None => {}
    }
    headers.set("accept-ranges", "bytes")?;
    headers.set("content-type", kind)?;
    headers.set("x-content-type-options", "nosniff")?;
    let Some(range) = range(request, &tag) else {
        return Ok((200, headers, part(file, 0, length)?).into());
    };
    let content_range = range.content_range(length);
    headers.set("content-range", content_range)?;
    match content_range.range() {
        Some(bytes) => {
            let body = part(file, bytes.start, bytes.end - bytes.start)?;
            Ok((206, headers, body).into())
        }
        None => {
            let headers = [("content-range", content_range)];
            Ok((416, headers, "the file has no such range\n").into())
        }
    }
}

/// Returns a part of a file as a body. If the file becomes shorter while it is sent, the response is cut short, and the
/// client gets an error.
fn part(mut file: File, start: u64, length: u64) -> io::Result<Body> {
    file.seek(SeekFrom::Start(start))?;
    Ok(Body::from_reader(length, tokio::fs::File::from_std(file)))
}

/// Returns the status if a condition of the request says not to send the file: 304 or 412 (in the order of RFC 9110 §13.2.2).
fn condition(headers: &Headers, tag: &str, modified: SystemTime) -> Option<u16> {
    let lists = |name| headers.get_all(name).flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let date = |name| headers.get(name).and_then(|date| httpdate::parse_http_date(date).ok());
    // A date in a field has no fractions of a second.
    let changed_since = |then| date(then).is_some_and(|then| seconds(modified) > seconds(then));
    // The tags of this program contain no comma, so the list can be split at commas.
    let is_ours = |listed: &[u8]| listed == b"*" || listed == tag.as_bytes();
    if headers.contains("if-match") {
        if !lists("if-match").any(is_ours) {
            return Some(412);
        }
    } else if changed_since("if-unmodified-since") {
        return Some(412);
    }
    let is_known = match headers.contains("if-none-match") {
        true => lists("if-none-match").any(|listed| is_ours(listed.strip_prefix(b"W/").unwrap_or(listed))),
        false => date("if-modified-since").is_some() && !changed_since("if-modified-since"),
    };
    is_known.then_some(304)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns the requested range. A range that this program does not support, such as several ranges, is ignored (RFC 9110 §14.2).
fn range(request: &Request<'_>, tag: &str) -> Option<ByteRange> {
    let headers = request.headers();
    let is_current = headers.get_bytes("if-range").is_none_or(|known| known == tag.as_bytes());
    let wanted = is_current && request.method() == Method::Get;
    headers.get_bytes("range").filter(|_| wanted).and_then(|range| ByteRange::parse(range).ok())
}

fn main() {
    run().unwrap_or_else(|error| {
        eprintln!("files: {error}");
        std::process::exit(1)
    });
}
