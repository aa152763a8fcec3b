//! A board in QEMU, and the line to it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::thread::sleep;
use std::time::{Duration, Instant};

use degu_wire::machine::{Client, Connection, Content};
use degu_wire::{Headers, Limits, Method, Part};

use super::QEMU;
use crate::Result;

/// The longest time for anything that a device does.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with its value.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A board that runs. Its UARTs are sockets in a folder of its own.
pub(super) struct Board {
    folder: PathBuf,
    _qemu: Running,
}

impl Board {
    /// Boots an image, with these devices in addition to its first UART.
    pub(super) fn boot(image: &Path, devices: &[&str]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("degu-firmware-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let _ = std::fs::remove_file(folder.join("uart"));
        let mut qemu = Command::new(QEMU);
        qemu.args(["-machine", "mps2-an386", "-display", "none", "-monitor", "none", "-kernel"]).arg(image);
        let uart = format!("socket,id=uart,server=on,wait=off,path={}", folder.join("uart").display());
        qemu.args(["-chardev", &uart, "-serial", "chardev:uart"]).args(devices);
        Ok(Self { folder, _qemu: Running(qemu.stdin(Stdio::null()).spawn()?) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The socket of the first UART.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("uart")
    }

    /// Connects to the first UART, as soon as QEMU has it.
    pub(super) fn line(&self) -> Result<Line> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(self.socket()) {
                Ok(stream) => break stream,
                Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error.into()),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Line { stream, client: Connection::<Client>::new(Limits::default()) })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A line to a device, and the client at this end of it.
pub(super) struct Line {
    stream: UnixStream,
    client: Connection<Client>,
}

impl Line {
    /// Asks the device for something, expects this status, and returns the body.
    pub(super) fn expect(&mut self, method: &str, path: &str, body: &str, status: u16) -> Result<String> {
        if !self.client.is_reusable() {
            // The line goes on whatever the device says about the connection.
            self.client = Connection::<Client>::new(Limits::default());
        }
        let content = if body.is_empty() { Content::None } else { Content::Bytes(body.as_bytes().to_vec().into()) };
        self.client.request(Method::from(method), path, "device", &Headers::new(), content)?;
        let request = self.client.pending().concat();
        self.stream.write_all(&request)?;
        self.client.transmitted(request.len());
        let told = loop {
            match self.client.poll_response()? {
                Poll::Ready(head) => break head.status(),
                Poll::Pending => self.read(path)?,
            }
        };
        let mut text = Vec::new();
        loop {
            match self.client.poll_part()? {
                Poll::Ready(None) => break,
                Poll::Ready(Some(Part::Data(data) | Part::Chunk { data, .. })) => text.extend_from_slice(&data),
                Poll::Ready(Some(Part::Last { .. })) => {}
                Poll::Pending => self.read(path)?,
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if told == status { Ok(text) } else { Err(format!("{method} {path}: {told} {text}, not {status}").into()) }
    }

    fn read(&mut self, path: &str) -> Result {
        let mut bytes = [0; 4096];
        let read = self.stream.read(&mut bytes).map_err(|error| format!("waiting for {path}: {error}"))?;
        if read == 0 {
            return Err(format!("waiting for {path}: QEMU has ended").into());
        }
        self.client.receive_buffer().extend_from_slice(&bytes[..read]);
        Ok(())
    }
}

/// Starts our server on a Unix socket, for the device to ask. Returns it with the socket.
pub(super) fn serve_peer(echo: &Path) -> Result<(Running, PathBuf)> {
    let socket = std::env::temp_dir().join(format!("degu-firmware-peer-{}", std::process::id()));
    let address = format!("unix:{}", socket.display());
    let mut server = Running(Command::new(echo).arg(address).stdout(Stdio::piped()).spawn()?);
    let mut first = String::new();
    if let Some(stdout) = server.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut first)?;
    }
    if first.starts_with("listening") { Ok((server, socket)) } else { Err("the example echo does not listen".into()) }
}
