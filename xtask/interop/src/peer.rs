//! Parts that the tests of several peers share: addresses, configurations, versions, and starting programs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use degu_client::{Address, blocking};
use xshell::{Shell, cmd};

use crate::child::{self, START, Server};
use crate::exchanges::{self, Traits, large};
use crate::matrix::{Matrix, Outcome};
use crate::{Result, root, steps, target};

/// The longest time for one exchange of our clients, and the longest time for all exchanges of another client.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A program that starts another program. The kernel kills that program when this process ends.
pub(crate) const TIED: &str = "setpriv --pdeathsig KILL";

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

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Bench<'s> {
    pub(crate) shell: &'s Shell,
    /// A temporary folder.
    pub(crate) folder: &'s Path,
    pub(crate) matrix: Matrix,
    /// The number of addresses that [`address`](Self::address) has returned.
    addresses: usize,
}

impl<'s> Bench<'s> {
    /// Writes the files that the file servers serve.
    pub(crate) fn new(shell: &'s Shell, folder: &'s Path) -> Result<Self> {
        shell.write_file(folder.join("files/hello"), "hello, world")?;
        shell.write_file(folder.join("files/large"), large())?;
        Ok(Self { shell, folder, matrix: Matrix::default(), addresses: 0 })
    }

    /// Returns an address of this kind to listen on. Each Unix socket has another name.
    pub(crate) fn address(&mut self, kind: Where) -> String {
        self.addresses += 1;
        let name = self.addresses;
        match kind {
            Where::Ipv4 => "127.0.0.1:0".into(),
            Where::Ipv6 => "[::1]:0".into(),
            Where::Unix => format!("unix:{}/{name}.sock", self.folder.display()),
            // The folder's name makes the addresses of different runs differ.
            Where::Abstract => {
                format!("unix:@{}-{name}", self.folder.file_name().unwrap_or_default().to_string_lossy())
            }
        }
    }

    /// Returns two addresses for a server that cannot report the port that the kernel chose: IPv4 with a free port, and
    /// a Unix socket.
    pub(crate) fn fixed_addresses(&mut self) -> Result<[String; 2]> {
        Ok([free_port()?, self.address(Where::Unix)])
    }

    /// Returns the folder of the files that [`new`](Self::new) wrote.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Performs the exchanges of HTTP with a server, with both of our clients.
    pub(crate) fn perform(&mut self, server: &str, address: &str, traits: &Traits) -> Result {
        let traits = *traits;
        steps::perform(exchanges::ALL, traits.unsupported, server, address, &mut self.matrix, move |_, _| Ok(traits))
    }

    /// Starts a server that ends at EOF on its stdin, and prints `listening on ADDRESS` first.
    pub(crate) fn start(&self, line: &str) -> Result<Server> {
        let (program, line) = self.line(line);
        Server::start(&program, &line)
    }

    /// Starts a server that does not end at EOF on its stdin. The kernel kills the server when this process ends.
    /// `listens` returns true for the line of output that shows that the server listens.
    pub(crate) fn start_tied(&self, line: &str, listens: impl Fn(&str) -> bool + Send + 'static) -> Result<Server> {
        let (program, line) = self.line(&format!("{TIED} {line} 2>&1"));
        Server::start_within(&program, &line, START, move |line| listens(line).then(String::new))
    }

    /// Runs a program that performs exchanges with a server of ours. `outcomes` parses its output. Adds a row.
    pub(crate) fn run_client(
        &mut self,
        line: &str,
        (client, server): (&str, &str),
        address: &str,
        columns: &[&'static str],
        outcomes: impl Fn(&[&'static str], &str) -> Vec<Outcome>,
    ) {
        let outcomes = match self.run(&format!("{line} {address}"), LIMIT) {
            Ok(printed) => outcomes(columns, &printed),
            Err(error) => vec![Outcome::Failed(last_line(&error.to_string())); columns.len()],
        };
        self.matrix.add_row(columns.to_vec(), client, server, address, outcomes);
    }

    /// Runs a shell command to its end, and returns its stdout.
    pub(crate) fn run(&self, line: &str, limit: Duration) -> Result<String> {
        let (program, line) = self.line(line);
        child::run(&program, &line, limit)
    }

    /// Returns a program that runs a shell command in the folder of the peers' scripts.
    fn line(&self, line: &str) -> (PathBuf, Vec<String>) {
        ("/bin/bash".into(), vec!["-c".into(), with_prelude(self.folder, &format!("exec {line}"))])
    }
}

/// Returns a shell command that runs `line` in the folder of the peers' scripts, with the variables and functions of
/// `prelude.sh`.
fn with_prelude(folder: &Path, line: &str) -> String {
    let (folder, installed, root) = (folder.display(), installed(), root());
    let (installed, root) = (installed.display(), root.display());
    format!("FOLDER='{folder}' INSTALLED='{installed}'; cd '{root}/xtask/interop/peers'; . ./prelude.sh; {line}")
}

/// Returns a configuration from the page about deployment: the code block with this number among the blocks in this
/// language, counted from 0.
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
        return Err(format!("the configuration does not contain {place:?}, which the test replaces").into());
    }
    Ok(config.replace(place, text))
}

/// Returns an IPv4 loopback address with a free port. If another process takes the port first, the server does not
/// start, and the run fails.
pub(crate) fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Sends GET requests, each on a new connection, until the server answers with this status.
///
/// # Errors
///
/// The server did not answer with this status within [`LIMIT`].
pub(crate) fn wait_for(address: &str, target: &str, status: u16) -> Result {
    let (begun, client) = (Instant::now(), blocking::Client::new(address.parse::<Address>()?));
    loop {
        match client.connect().and_then(|mut connection| Ok(connection.get(target)?.status)) {
            Ok(answered) if answered == status => return Ok(()),
            answered if begun.elapsed() > LIMIT => {
                return Err(format!("{address}{target} did not answer with {status}, but with {answered:?}").into());
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Returns the folder of the programs that `--install` installs.
pub(crate) fn installed() -> PathBuf {
    target().join("interop")
}

/// Returns the last line of a text. With Python, the lines before the last one are a traceback.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().into()
}

/// Returns the version of a program, without Debian's suffix: the first word that begins with a digit in the output of
/// a shell command.
///
/// # Errors
///
/// The command fails, because the program is not installed. The error is the last line of the output.
pub(crate) fn version(bench: &Bench<'_>, command: &str) -> std::result::Result<String, String> {
    let line = with_prelude(bench.folder, command);
    let output = cmd!(bench.shell, "/bin/bash -c {line}").quiet().ignore_status().output();
    let output = output.map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut words = said.split([' ', '/', '\n', 'v', '"']);
    let version = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.filter(|_| output.status.success()).and_then(|version| version.split(['-', '+', ',']).next());
    version.map(str::to_owned).ok_or_else(|| last_line(&said))
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
