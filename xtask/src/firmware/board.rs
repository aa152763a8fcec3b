//! A board in QEMU, and the requests to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use degu_client::blocking::Client;
use degu_client::{Address, Headers, Method};
use tempfile::TempDir;

use super::QEMU;
use crate::Result;
use crate::child::Server;

/// The longest time from the start of QEMU until it has opened its devices.
const BOOT: Duration = Duration::from_secs(20);

/// The longest body of a response, in bytes.
const LONGEST: usize = 4096;

/// A board that QEMU emulates. Its first UART is a Unix socket in a temporary folder.
pub(super) struct Board {
    folder: TempDir,
    _qemu: Server,
}

impl Board {
    /// Boots an image, with these devices in addition to the first UART. Waits until QEMU has opened the devices.
    pub(super) fn boot(image: &Path, devices: &[&str]) -> Result<Self> {
        let folder = TempDir::new()?;
        let (image, folder_path) = (image.display().to_string(), folder.path().display());
        let uart = format!("socket,id=uart,server=on,wait=off,path={folder_path}/uart");
        let machine = ["-machine", "mps2-an386", "-display", "none", "-monitor", "none", "-kernel", &image];
        let serial = ["-chardev", &uart, "-serial", "chardev:uart", "-qmp", "stdio"];
        let arguments: Vec<_> = [&machine[..], &serial, devices].concat().into_iter().map(str::to_owned).collect();
        // QEMU prints the greeting of this protocol after it has opened the devices.
        let greeting = |line: &str| line.contains("\"QMP\"").then(String::new);
        let qemu = Server::start_within(Path::new(QEMU), &arguments, BOOT, greeting)?;
        Ok(Self { folder, _qemu: qemu })
    }

    /// Returns the socket of the first UART. QEMU serves one client at a time.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("uart")
    }

    /// Sends a request to the first UART, and returns the body of the response. Returns an error if the response has
    /// another status.
    pub(super) fn expect(&self, method: &str, path: &str, body: &'static str, status: u16) -> Result<String> {
        let mut line = Client::new(Address::unix(self.socket())).connect()?;
        let response = line.request(Method::from(method), path, Headers::new(), body);
        let mut response = response.map_err(|error| format!("{method} {path}: {error}"))?;
        let text = response.body.text(LONGEST)?;
        if response.status == status {
            Ok(text)
        } else {
            Err(format!("{method} {path}: {} {text}, not {status}", response.status).into())
        }
    }
}
