//! A board in QEMU, and the requests to it.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use degu_client::blocking::{Client, Pool};
use degu_client::{Address, Headers, Method};
use tempfile::TempDir;

use super::QEMU;
use crate::Result;

/// The longest time from the start of QEMU until its socket exists.
const BOOT: Duration = Duration::from_secs(20);

/// The longest body of a response, in bytes.
const LONGEST: usize = 4096;

/// A process that is killed when this value is dropped.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A board that QEMU emulates. Its first UART is a Unix socket in a temporary folder.
pub(super) struct Board {
    folder: TempDir,
    _qemu: Running,
}

impl Board {
    /// Boots an image, with these devices in addition to the first UART. Waits until QEMU has opened the devices.
    pub(super) fn boot(image: &Path, devices: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let socket = folder.path().join("uart");
        let mut qemu = Command::new(QEMU);
        qemu.args(["-machine", "mps2-an386", "-display", "none", "-monitor", "none", "-kernel"]).arg(image);
        let uart = format!("socket,id=uart,server=on,wait=off,path={}", socket.display());
        qemu.args(["-chardev", &uart, "-serial", "chardev:uart"]).args(devices);
        let board = Self { folder, _qemu: Running(qemu.stdin(Stdio::null()).spawn()?) };
        let start = Instant::now();
        while let Err(error) = UnixStream::connect(&socket) {
            if start.elapsed() > BOOT {
                return Err(format!("QEMU does not open {}: {error}", socket.display()).into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(board)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the socket of the first UART. QEMU serves one client at a time.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("uart")
    }

    /// Returns the line to the first UART.
    pub(super) fn line(&self) -> Line {
        Line(Client::new(Address::unix(self.socket())).pool())
    }
}

/// The line to a UART, for one request after the other.
pub(super) struct Line(Pool);

impl Line {
    /// Sends a request, and returns the body of the response. Returns an error if the response has another status.
    pub(super) fn expect(&self, method: &str, path: &str, body: &'static str, status: u16) -> Result<String> {
        let response = self.0.request(Method::from(method), path, Headers::new(), body);
        let mut response = response.map_err(|error| format!("{method} {path}: {error}"))?;
        let text = response.body.text(LONGEST)?;
        if response.status == status {
            Ok(text)
        } else {
            Err(format!("{method} {path}: {} {text}, not {status}", response.status).into())
        }
    }
}

/// Starts the example `echo` on a Unix socket, and waits until it listens.
pub(super) fn serve_peer(echo: &Path, socket: &Path) -> Result<Running> {
    let address = format!("unix:{}", socket.display());
    let mut server = Running(Command::new(echo).arg(address).stdout(Stdio::piped()).spawn()?);
    let mut first = String::new();
    if let Some(stdout) = server.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut first)?;
    }
    if first.starts_with("listening") { Ok(server) } else { Err("the example `echo` does not listen".into()) }
}
