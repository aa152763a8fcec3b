//! Parts that the tests of several peers share: addresses, configurations, versions, and starting programs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use degu_server::{Handle, Limits};
use xshell::{Shell, cmd};

use crate::exchanges::{self, Traits, large};
use crate::matrix::{Matrix, Outcome, outcomes};
use crate::{Result, child, root, server, steps, target};

/// The longest time for one exchange of our clients, and the longest time for all exchanges of another client.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A kind of address to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Where {
    Ipv4,
    Ipv6,
    Unix,
    Abstract,
}

impl Where {
    pub(crate) const ALL: &[Self] = &[Self::Ipv4, Self::Ipv6, Self::Unix, Self::Abstract];
}

/// The shell and the temporary folder of a run.
#[derive(Debug)]
pub(crate) struct Bench<'s> {
    pub(crate) shell: &'s Shell,
    /// A temporary folder.
    pub(crate) folder: &'s Path,
}

impl<'s> Bench<'s> {
    /// Writes the files that the file servers serve.
    pub(crate) fn new(shell: &'s Shell, folder: &'s Path) -> Result<Self> {
        shell.write_file(folder.join("files/hello"), "hello, world")?;
        shell.write_file(folder.join("files/large"), large())?;
        Ok(Self { shell, folder })
    }

    /// Returns an address of this kind to listen on. `name` makes the addresses of different peers differ.
    pub(crate) fn address(&self, kind: Where, name: &str) -> String {
        match kind {
            Where::Ipv4 => "127.0.0.1:0".into(),
            Where::Ipv6 => "[::1]:0".into(),
            Where::Unix => format!("unix:{}", self.folder.join(name).display()),
            // The folder's name makes the addresses of different runs differ.
            Where::Abstract => {
                format!("unix:@{}-{name}", self.folder.file_name().unwrap_or_default().to_string_lossy())
            }
        }
    }

    /// Returns the folder of the files that [`new`](Self::new) wrote.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Starts our server with default options.
    pub(crate) fn serve(&self, address: &str) -> Result<Handle> {
        server::start(address, Limits::DEFAULT)
    }

    /// Performs the exchanges of HTTP with a server, with both of our clients.
    pub(crate) fn perform(&self, server: &str, address: &str, traits: &Traits, matrix: &mut Matrix) -> Result {
        let traits = *traits;
        steps::perform(exchanges::ALL, traits.unsupported, server, address, matrix, move |_, _| Ok(traits))
    }

    /// Runs a program that performs the exchanges of these columns and prints their outcomes.
    pub(crate) fn exchanges(&self, columns: &[&'static str], program: &Path, arguments: &[String]) -> Vec<Outcome> {
        match child::run(program, arguments, LIMIT) {
            Ok(printed) => outcomes(columns, &printed),
            Err(error) => vec![Outcome::Failed(last_line(&error.to_string())); columns.len()],
        }
    }
}

/// Returns a configuration from the page about deployment. It is the code block with this number among the blocks in
/// this language, counted from 0.
///
/// # Errors
///
/// The page has no such block.
pub(crate) fn documented(shell: &Shell, language: &str, number: usize) -> Result<String> {
    const PAGE: &str = "docs/deployment.md";
    block(&shell.read_file(PAGE)?, language, number)
        .ok_or_else(|| format!("{PAGE} has no {language} block {number}").into())
}

fn block(page: &str, language: &str, number: usize) -> Option<String> {
    let opening = format!("\n```{language}\n");
    let (_, rest) = page.split_once(&opening)?;
    let rest = (0..number).try_fold(rest, |rest, _| Some(rest.split_once(&opening)?.1))?;
    Some(rest.split_once("```")?.0.to_owned())
}

/// Replaces a text in a configuration.
///
/// # Errors
///
/// The configuration does not contain the text. Without the replacement, the test would run with a wrong configuration.
pub(crate) fn put(config: &str, place: &str, text: &str) -> Result<String> {
    if !config.contains(place) {
        return Err(format!("{place:?} is not in the configuration").into());
    }
    Ok(config.replace(place, text))
}

/// Returns an IPv4 loopback address with a free port. It is for servers that cannot report the port that the kernel
/// chose. If another process takes the port first, the server does not start, and the run fails.
pub(crate) fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Sends GET requests until the server answers with this status.
///
/// # Errors
///
/// The server did not answer with this status within [`LIMIT`].
pub(crate) fn wait_for(address: &str, target: &str, status: u16) -> Result {
    let begun = Instant::now();
    loop {
        match ask(address, target) {
            Ok(answered) if answered == status => return Ok(()),
            answered if begun.elapsed() > LIMIT => {
                return Err(format!("{address}{target} did not answer with {status}, but with {answered:?}").into());
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Sends a GET on a new connection, and returns the status.
fn ask(address: &str, target: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or("no response")?;
    Ok(status.parse()?)
}

/// Returns the path of a program that `--install` has installed. The program is in the target folder, because it is not
/// part of the repository.
pub(crate) fn installed(name: &str) -> PathBuf {
    target().join("interop").join(name)
}

/// Returns a program that runs a shell command, with stderr joined to stdout. The kernel kills the command when this
/// process ends. It is for servers that do not end at EOF on stdin.
pub(crate) fn tied(line: &str) -> (PathBuf, Vec<String>) {
    ("/bin/sh".into(), vec!["-c".into(), format!("exec setpriv --pdeathsig KILL {line} 2>&1")])
}

/// Returns the path of an interpreter. A name with a slash is a path in the folder of installed programs.
pub(crate) fn interpreter(name: &str) -> PathBuf {
    if name.contains('/') { installed(name) } else { name.into() }
}

/// Returns the path of a script of `xtask/interop/peers`.
pub(crate) fn script(name: &str) -> String {
    root().join("xtask/interop/peers").join(name).display().to_string()
}

/// Returns the last line of an error message. With Python, the lines before the last one are a traceback.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().into()
}

/// Returns the version of a program, without Debian's suffix. The program is called with this option. The version is
/// the first word of its output that begins with a digit.
///
/// # Errors
///
/// The program is not installed. The error is a message for the matrix.
pub(crate) fn version(shell: &Shell, program: &str, option: &str) -> std::result::Result<String, String> {
    let missing = |_| format!("{program} is not installed");
    let output = cmd!(shell, "{program} {option}").quiet().ignore_status().output().map_err(missing)?;
    // nginx and some versions of Python write the version to stderr.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let digits = said.split([' ', '/', '\n', 'v']).find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    digits
        .and_then(|word| word.split('-').next())
        .map(str::to_owned)
        .ok_or_else(|| format!("{program} does not run here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_page() {
        let page = "text\n```ini\na\n```\n\n```nginx\nb {\n}\n```\n```ini\nc\n```\n";
        assert_eq!(block(page, "ini", 0).as_deref(), Some("a\n"));
        assert_eq!(block(page, "ini", 1).as_deref(), Some("c\n"));
        assert_eq!(block(page, "nginx", 0).as_deref(), Some("b {\n}\n"));
        assert_eq!((block(page, "ini", 2), block(page, "i", 0)), (None, None));
    }

    #[test]
    fn what_is_not_there_is_not_replaced() {
        assert_eq!(put("listen 80; listen 80;", "80", "81").unwrap(), "listen 81; listen 81;");
        assert!(put("listen 80;", "listen 8080;", "x").is_err());
    }
}
