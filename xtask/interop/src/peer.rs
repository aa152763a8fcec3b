//! Parts that the peers share: our ends, the scripts, and addresses to listen on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use degu_server::{Handle, Limits};
use xshell::{Shell, cmd};

use crate::exchanges::{self, Traits, large};
use crate::matrix::{Matrix, Outcome, outcomes};
use crate::{Result, child, root, server, target};

/// The longest time that all exchanges of a row may take.
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
    /// All that every peer with sockets of its own can use.
    pub(crate) const ALL: &[Self] = &[Self::Ipv4, Self::Ipv6, Self::Unix, Self::Abstract];
}

/// The place of a run.
#[derive(Debug)]
pub(crate) struct Bench<'s> {
    pub(crate) shell: &'s Shell,
    /// Gone after the run.
    pub(crate) folder: &'s Path,
}

impl<'s> Bench<'s> {
    /// Returns the place of a run in this folder, and writes the files there that the peers' file servers serve.
    pub(crate) fn new(shell: &'s Shell, folder: &'s Path) -> Result<Self> {
        shell.write_file(folder.join("files/hello"), "hello, world")?;
        shell.write_file(folder.join("files/large"), large())?;
        Ok(Self { shell, folder })
    }

    /// An address of this kind that nothing listens on; `name` tells those of different peers apart.
    pub(crate) fn address(&self, kind: Where, name: &str) -> String {
        match kind {
            Where::Ipv4 => "127.0.0.1:0".into(),
            Where::Ipv6 => "[::1]:0".into(),
            Where::Unix => format!("unix:{}", self.folder.join(name).display()),
            // The folder's name tells runs apart.
            Where::Abstract => {
                format!("unix:@{}-{name}", self.folder.file_name().unwrap_or_default().to_string_lossy())
            }
        }
    }

    /// The files that [`new`](Self::new) wrote.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Our server, on an address.
    pub(crate) fn serve(&self, address: &str) -> Result<Handle> {
        server::start(address, Limits::DEFAULT)
    }

    /// Performs all exchanges with both of our clients, and adds a row for each.
    pub(crate) fn perform(&self, server: &str, address: &str, traits: &Traits, matrix: &mut Matrix) -> Result {
        for (client, blocking) in [("Degu, async", false), ("Degu, blocking", true)] {
            matrix.add(client, server, address, exchanges::perform(address, blocking, traits)?);
        }
        Ok(())
    }

    /// Runs a program that performs the exchanges of these columns and prints the outcome of each.
    pub(crate) fn exchanges(&self, columns: &[&'static str], program: &Path, arguments: &[String]) -> Vec<Outcome> {
        match child::run(program, arguments, LIMIT) {
            Ok(printed) => outcomes(columns, &printed),
            Err(error) => vec![Outcome::Failed(last_line(&error.to_string())); columns.len()],
        }
    }
}

/// A configuration as the page about deployment has it: what is between the fences of its `number`th block of a language.
///
/// # Errors
///
/// There is no such block.
pub(crate) fn documented(shell: &Shell, language: &str, number: usize) -> Result<String> {
    const PAGE: &str = "docs/deployment.md";
    block(&shell.read_file(PAGE)?, language, number).ok_or_else(|| format!("{PAGE} has no {language} any more").into())
}

fn block(page: &str, language: &str, number: usize) -> Option<String> {
    let opening = format!("\n```{language}\n");
    let (_, rest) = page.split_once(&opening)?;
    let rest = (0..number).try_fold(rest, |rest, _| Some(rest.split_once(&opening)?.1))?;
    Some(rest.split_once("```")?.0.to_owned())
}

/// A configuration with another text in place of the one that stands there.
///
/// # Errors
///
/// It does not stand there: then nothing would be replaced, and something else would be tried than is meant.
pub(crate) fn put(config: &str, place: &str, text: &str) -> Result<String> {
    if !config.contains(place) {
        return Err(format!("{place:?} is not in the configuration").into());
    }
    Ok(config.replace(place, text))
}

/// An address on the loopback whose port is free: for servers that cannot say which one they got. Another process may
/// take it in between; then the run fails, and says so.
pub(crate) fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Asks a server until it answers with this status, for at most [`LIMIT`].
///
/// # Errors
///
/// It did not.
pub(crate) fn wait_for(address: &str, target: &str, status: u16) -> Result {
    let begun = Instant::now();
    loop {
        match ask(address, target) {
            Ok(answered) if answered == status => return Ok(()),
            answered if begun.elapsed() > LIMIT => {
                return Err(format!("{address}{target} is to answer {status}: {answered:?}").into());
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The status of a response, over a connection of its own.
fn ask(address: &str, target: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or("no response")?;
    Ok(status.parse()?)
}

/// Returns the path of an installed program: in the target folder, because it is not part of the tree.
pub(crate) fn installed(name: &str) -> PathBuf {
    target().join("interop").join(name)
}

/// A program that the kernel ends when this process is gone, for those that do not look at their stdin; what it says on
/// stderr is read with the rest. `line` is a line of the shell.
pub(crate) fn tied(line: &str) -> (PathBuf, Vec<String>) {
    ("/bin/sh".into(), vec!["-c".into(), format!("exec setpriv --pdeathsig KILL {line} 2>&1")])
}

/// A script of `xtask/interop/peers`.
pub(crate) fn script(name: &str) -> String {
    root().join("xtask/interop/peers").join(name).display().to_string()
}

/// The line that says what happened, after what is only a trace.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().into()
}

/// Returns the version of a program: the first word of what `program --version` prints that begins with a digit, without
/// Debian's suffix.
///
/// # Errors
///
/// The program is not there, as a message.
pub(crate) fn version(shell: &Shell, program: &str, option: &str) -> std::result::Result<String, String> {
    let missing = |_| format!("there is no {program} here");
    let output = cmd!(shell, "{program} {option}").quiet().ignore_status().output().map_err(missing)?;
    // nginx and some Pythons write it to stderr.
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
