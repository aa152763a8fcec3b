//! What the peers share: our ends, the scripts, and addresses to listen on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::{Shell, cmd};

use super::matrix::{EXCHANGES, Matrix, Outcome, outcomes};
use crate::Result;
use crate::child::{self, Server};

/// How long all exchanges of a row may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A kind of address to listen on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    Ipv4,
    Ipv6,
    Unix,
    Abstract,
}

impl Where {
    /// All that every peer with sockets of its own can use.
    pub(super) const ALL: [Self; 4] = [Self::Ipv4, Self::Ipv6, Self::Unix, Self::Abstract];
}

/// Where a run happens.
#[derive(Debug)]
pub(super) struct Bench<'s> {
    pub(super) shell: &'s Shell,
    /// Gone after the run.
    pub(super) folder: &'s Path,
    client: PathBuf,
    server: PathBuf,
}

impl<'s> Bench<'s> {
    /// Builds our ends, and writes the files that servers of files are to serve.
    pub(super) fn new(shell: &'s Shell, folder: &'s Path) -> Result<Self> {
        let messages = cmd!(shell, "cargo build --package degu-interop --message-format json-render-diagnostics");
        let messages = messages.quiet().read()?;
        let program = |name: &str| -> Result<PathBuf> {
            messages
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .filter(|message| message["target"]["name"] == name)
                .find_map(|message| message["executable"].as_str().map(PathBuf::from))
                .ok_or_else(|| format!("cargo did not say where {name} is").into())
        };
        shell.write_file(folder.join("files/hello"), "hello, world")?;
        shell.write_file(folder.join("files/large"), large())?;
        Ok(Self { shell, folder, client: program("degu-interop-client")?, server: program("degu-interop-server")? })
    }

    /// An address of this kind that nothing listens on; `name` tells those of different peers apart.
    pub(super) fn address(&self, kind: Where, name: &str) -> String {
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
    pub(super) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Our server, on an address.
    pub(super) fn serve(&self, address: &str) -> Result<Server> {
        self.serve_with(&[], address)
    }

    pub(super) fn serve_with(&self, options: &[&str], address: &str) -> Result<Server> {
        Server::start(&self.server, &words(&[options, &[address]].concat()))
    }

    /// Performs all exchanges with both of our clients, and adds a row for each.
    pub(super) fn perform(&self, server: &str, address: &str, options: &[&str], matrix: &mut Matrix) {
        for (client, driver) in [("Degu, async", &[][..]), ("Degu, blocking", &["--blocking"])] {
            let outcomes = self.exchanges(&self.client, &[driver, options, &[address]].concat());
            matrix.add(client, server, address, outcomes);
        }
    }

    /// Runs a program that performs all exchanges and prints what came of each.
    pub(super) fn exchanges(&self, program: &Path, arguments: &[&str]) -> Vec<Outcome> {
        match child::run(program, &words(arguments), LIMIT) {
            Ok(printed) => outcomes(&printed),
            Err(error) => vec![Outcome::Failed(last_line(&error.to_string())); EXCHANGES.len()],
        }
    }
}

/// A script of `xtask/interop/peers`.
pub(super) fn script(name: &str) -> String {
    crate::root().join("xtask/interop/peers").join(name).display().to_string()
}

/// The body of `/large`: 1 MiB, in which the octet at `n` is `n % 251`.
pub(super) fn large() -> Vec<u8> {
    // Every value is below 251.
    (0..1_usize << 20).map(|n| (n % 251) as u8).collect()
}

/// Arguments as processes are started with.
pub(super) fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

/// The line that says what happened, after what is only a trace.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().into()
}

/// What `program --version` prints, of which the last word of the first line is the version.
///
/// # Errors
///
/// The program is not there, as a message.
pub(super) fn version(shell: &Shell, program: &str, option: &str) -> std::result::Result<String, String> {
    let missing = |_| format!("there is no {program} here");
    let output = cmd!(shell, "{program} {option}").quiet().ignore_status().output().map_err(missing)?;
    // nginx and some Pythons write it to stderr.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let digits = said.split([' ', '/', '\n', 'v']).find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    digits.map(str::to_owned).ok_or_else(|| format!("{program} does not run here"))
}
