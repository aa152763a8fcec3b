//! A container engine over its Unix socket: Docker's API, in which attach and exec switch protocols.
//!
//! Podman and Docker run in folders of their own, with none of the machine's images. The image is imported from an archive of
//! BusyBox.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use degu_client::{Address, BoxError, Chunk, Client, Headers, Method};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::Result;
use crate::child::{START, Server};
use crate::ends::{Content, End, Switch, Whole};
use crate::exchanges::{large, same, wanted};
use crate::matrix::Matrix;
use crate::peer::{Bench, Where, tied, version};
use crate::steps::{Step, columns, perform};

/// A static program that is every program which the container runs.
const BUSYBOX: &str = "/bin/busybox";

/// In the container.
const UPLOADED: &str = "/uploaded";

/// Debian's Podman uses runc where it finds both versions of cgroups. Its own defaults for the bounds of processes are above
/// what a container may set if this process has lower ones.
const PODMAN_CONFIG: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"#;

pub(crate) fn find_podman(shell: &Shell) -> std::result::Result<String, String> {
    find_runtime(shell)?;
    version(shell, "podman", "--version")
}

pub(crate) fn find_docker(shell: &Shell) -> std::result::Result<String, String> {
    find_runtime(shell)?;
    version(shell, "dockerd", "--version").map(|version| version.split('+').next().unwrap_or_default().to_owned())
}

/// Finds what both engines need.
fn find_runtime(shell: &Shell) -> std::result::Result<(), String> {
    version(shell, "runc", "--version")?;
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("there is no {BUSYBOX} here"));
    }
    match cmd!(shell, "id --user").quiet().read() {
        Ok(user) if user == "0" => Ok(()),
        _ => Err("it needs root".into()),
    }
}

pub(crate) fn run_podman(bench: &Bench<'_>, podman: &str, matrix: &mut Matrix) -> Result {
    let (shell, folder) = (bench.shell, bench.folder.join("podman"));
    let config = folder.join("containers.conf");
    shell.write_file(&config, PODMAN_CONFIG)?;
    let address = bench.address(Where::Unix, "podman.sock");
    let folder = folder.display();
    let daemon = format!(
        "env CONTAINERS_CONF={} podman --root={folder}/root --runroot={folder}/run --tmpdir={folder}/tmp \
         --storage-driver=vfs --log-level=info system service --time=0 {address}",
        config.display()
    );
    let client = format!("podman --url={}", address.replacen("unix:", "unix://", 1));
    run(bench, &format!("Podman {podman}"), &address, &client, &daemon, matrix)
}

pub(crate) fn run_docker(bench: &Bench<'_>, docker: &str, matrix: &mut Matrix) -> Result {
    let (shell, folder) = (bench.shell, bench.folder.join("docker"));
    let config = folder.join("daemon.json");
    shell.write_file(&config, "{}")?;
    let address = bench.address(Where::Unix, "docker.sock");
    let (folder, host) = (folder.display(), address.replacen("unix:", "unix://", 1));
    // It leaves the network of the machine alone.
    let daemon = format!(
        "dockerd --config-file={} --data-root={folder}/data --exec-root={folder}/exec --pidfile={folder}/pid \
         --host={host} --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
         --exec-opt=native.cgroupdriver=cgroupfs",
        config.display()
    );
    run(bench, &format!("Docker {docker}"), &address, &format!("docker --host={host}"), &daemon, matrix)
}

/// Starts an engine and performs the exchanges. `client` and `daemon` are lines of the shell.
fn run(bench: &Bench<'_>, name: &str, address: &str, client: &str, daemon: &str, matrix: &mut Matrix) -> Result {
    let (shell, files) = (bench.shell, bench.files());
    // In namespaces of its own, so that its containers, their monitors and its mounts end with it.
    let (program, line) = tied(&format!("unshare --pid --fork --kill-child --mount-proc {daemon}"));
    let (sender, lines) = mpsc::channel();
    let listens = move |line: &str| {
        // Of interest only if it ends.
        let _ = sender.send(line.to_owned());
        let begins = ["API service listening", "API listen on"].iter().any(|begin| line.contains(begin));
        begins.then(String::new)
    };
    let Ok(_daemon) = Server::start_within(&program, &line, START, listens) else {
        let last = lines.try_iter().last().unwrap_or_default();
        matrix.leave_out(name, &format!("it does not start here: {last}"));
        return Ok(());
    };
    let image = pack_image(shell, bench.folder)?;
    let run = |line: String| cmd!(shell, "/bin/sh -c {line}").quiet().ignore_status().output();
    // The engine's own client runs first. If it fails here, a failure of Degu's client means nothing.
    let imported = run(format!("{client} import {}", image.display()))?;
    let id = String::from_utf8_lossy(&imported.stdout).trim().to_owned();
    let ran = run(format!("{client} run --rm --network=none {id} true"))?;
    if !ran.status.success() {
        let said = [imported.stderr, ran.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
        matrix.leave_out(name, &format!("it cannot run a container here: {said}"));
        return Ok(());
    }
    let image = shell.read_binary_file(&image)?;
    let archive = cmd!(shell, "tar -C {files} -c large").quiet().output()?.stdout;
    for blocking in [false, true] {
        let (behind, image, archive) = (address.to_owned(), image.clone(), archive.clone());
        let outcomes = perform(STEPS, move || Engine::new(&behind, blocking, image, archive));
        let ours = if blocking { "Degu, blocking" } else { "Degu, async" };
        matrix.add_row(columns(STEPS), ours, name, address, outcomes);
    }
    Ok(())
}

/// Returns the name of the container of either client.
fn container(blocking: bool) -> &'static str {
    if blocking { "degu-blocking" } else { "degu-async" }
}

/// Writes the archive that the image is imported from, unless another engine had it.
fn pack_image(shell: &Shell, folder: &Path) -> Result<PathBuf> {
    let (root, archive) = (folder.join("image"), folder.join("image.tar"));
    if shell.path_exists(&archive) {
        return Ok(archive);
    }
    let programs = root.join("bin");
    shell.create_dir(&programs)?;
    shell.copy_file(BUSYBOX, programs.join("busybox"))?;
    for name in ["cat", "sh", "true"] {
        symlink("busybox", programs.join(name))?;
    }
    cmd!(shell, "tar -C {root} -cf {archive} .").quiet().run()?;
    Ok(archive)
}

const STEPS: &[Step<Engine>] = &[
    ("version", Engine::version),
    ("import", Engine::import),
    ("create", Engine::create),
    ("start", Engine::start),
    ("archive", Engine::upload),
    ("exec", Engine::exec),
    ("attach", Engine::attach),
    ("logs", Engine::logs),
    ("remove", Engine::remove),
    ("events", Engine::events),
];

type Done<T = ()> = std::result::Result<T, BoxError>;

/// An engine, as one of our clients uses it.
struct Engine {
    end: End,
    /// The container's.
    name: &'static str,
    image: Vec<u8>,
    archive: Vec<u8>,
    /// Returns what happened to the container, once it has been removed.
    follower: Option<JoinHandle<Done<Vec<String>>>>,
}

impl Engine {
    fn new(address: &str, blocking: bool, image: Vec<u8>, archive: Vec<u8>) -> Done<Self> {
        let client = Client::new(address.parse::<Address>()?);
        let name = container(blocking);
        let follower = {
            let client = client.clone();
            // The engine may subscribe us only after the first event.
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
            thread::spawn(move || follow(End::new(client, blocking)?, since, name))
        };
        Ok(Self { end: End::new(client, blocking)?, name, image, archive, follower: Some(follower) })
    }

    fn version(&mut self) -> Done {
        let whole = self.ask(Method::Get, "/version", 200, Content::Nothing)?;
        let version: Value = serde_json::from_slice(&whole.body())?;
        wanted(version["ApiVersion"].is_string(), || format!("{version}"))
    }

    /// The image as a body with its length.
    fn import(&mut self) -> Done {
        let image = Content::Bytes(self.image.clone());
        self.ask(Method::Post, "/images/create?fromSrc=-&repo=degu-interop", 200, image).map(drop)
    }

    fn create(&mut self) -> Done {
        let target = format!("/containers/create?name={}", self.name);
        let container = json!({
            "Image": "degu-interop",
            "Cmd": ["cat"],
            "OpenStdin": true,
            "StdinOnce": true,
            "HostConfig": { "NetworkMode": "none" },
        });
        self.ask_json(&target, 201, &container).map(drop)
    }

    fn start(&mut self) -> Done {
        self.ask(Method::Post, &format!("/containers/{}/start", self.name), 204, Content::Nothing).map(drop)
    }

    /// An archive whose length the engine does not know before its end.
    fn upload(&mut self) -> Done {
        self.container_exec(&["sh", "-c", &format!("mkdir {UPLOADED}")], b"", 0)?;
        let chunks = self.archive.chunks(60_000).map(|data| Chunk::new(data.to_vec())).collect();
        let target = format!("/containers/{}/archive?path={UPLOADED}", self.name);
        self.ask(Method::Put, &target, 200, Content::Chunks(chunks))?;
        same("file", &self.container_exec(&["cat", &format!("{UPLOADED}/large")], b"", 0)?, &large())
    }

    /// 1 MiB through `cat`, which ends because its input does; then a command whose exit code is not 0.
    fn exec(&mut self) -> Done {
        same("output", &self.container_exec(&["cat"], &large(), 0)?, &large())?;
        same("output", &self.container_exec(&["sh", "-c", "cat; exit 7"], b"some text", 7)?, b"some text")
    }

    /// The container's own `cat`, which ends, too, and the container with it.
    fn attach(&mut self) -> Done {
        let target = format!("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", self.name);
        let switch = self.end.switch(&target, &Headers::new(), Vec::new(), b"some text", None)?;
        same("output", &output(&switch)?, b"some text")?;
        let waited = self.ask(Method::Post, &format!("/containers/{}/wait", self.name), 200, Content::Nothing)?;
        let waited: Value = serde_json::from_slice(&waited.body())?;
        wanted(waited["StatusCode"] == 0, || format!("{waited}"))
    }

    fn logs(&mut self) -> Done {
        let target = format!("/containers/{}/logs?stdout=1&stderr=1", self.name);
        let logs = self.ask(Method::Get, &target, 200, Content::Nothing)?.body();
        same("logs", &stdout(&logs)?, b"some text")
    }

    fn remove(&mut self) -> Done {
        let target = format!("/containers/{}?force=1", self.name);
        self.ask(Method::Delete, &target, 204, Content::Nothing).map(drop)
    }

    /// The container's life as lines of JSON, which came while everything above happened.
    fn events(&mut self) -> Done {
        let follower = self.follower.take().ok_or("the events were read before")?;
        let actions = follower.join().map_err(|_| "the reader of events panicked")??;
        let mut rest = actions.iter();
        let in_order = ["create", "start", "attach", "die"].iter().all(|wanted| rest.any(|action| action == wanted));
        wanted(in_order, || format!("{actions:?}"))
    }

    /// Runs a command in the container, and returns its output.
    fn container_exec(&mut self, command: &[&str], input: &[u8], code: i64) -> Done<Vec<u8>> {
        let streams = json!({ "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": command });
        let created = self.ask_json(&format!("/containers/{}/exec", self.name), 201, &streams)?;
        let id = created["Id"].as_str().ok_or("the exec has no Id")?;
        let body = json!({ "Detach": false, "Tty": false }).to_string().into_bytes();
        let switch = self.end.switch(&format!("/exec/{id}/start"), &is_json()?, body, input, None)?;
        let output = output(&switch)?;
        // The stream may end before the engine has heard of the end of the process.
        let inspected = loop {
            let inspected = self.ask(Method::Get, &format!("/exec/{id}/json"), 200, Content::Nothing)?;
            let inspected: Value = serde_json::from_slice(&inspected.body())?;
            if inspected["Running"] == false {
                break inspected;
            }
            thread::sleep(Duration::from_millis(20));
        };
        wanted(inspected["ExitCode"] == code, || format!("{inspected}"))?;
        Ok(output)
    }

    fn ask_json(&mut self, target: &str, status: u16, body: &Value) -> Done<Value> {
        let body = Content::Bytes(body.to_string().into_bytes());
        let whole = self.end.perform(Method::Post, target, &is_json()?, body)?;
        expect(&whole, status)?;
        Ok(serde_json::from_slice(&whole.body())?)
    }

    fn ask(&mut self, method: Method<'_>, target: &str, status: u16, body: Content) -> Done<Whole> {
        let headers = match body {
            Content::Nothing => Headers::new(),
            _ => Headers::try_from([("content-type", "application/x-tar")])?,
        };
        let whole = self.end.perform(method, target, &headers, body)?;
        expect(&whole, status)?;
        Ok(whole)
    }
}

/// Reads events until the container has been removed, and returns what happened to it.
fn follow(mut end: End, since: u64, name: &str) -> Done<Vec<String>> {
    let mut actions = Vec::new();
    end.lines(&format!("/events?since={since}"), |line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        if event["Actor"]["Attributes"]["name"] == name {
            actions.push(event["Action"].as_str().unwrap_or_default().to_owned());
        }
        // Podman's word, and Docker's.
        matches!(actions.last().map(String::as_str), Some("remove" | "destroy"))
    })?;
    Ok(actions)
}

fn is_json() -> Done<Headers> {
    Ok(Headers::try_from([("content-type", "application/json")])?)
}

fn expect(whole: &Whole, status: u16) -> Done {
    wanted(whole.status == status, || format!("status {}: {}", whole.status, whole.body().escape_ascii()))
}

/// Returns what the program wrote to its stdout.
fn output(switch: &Switch) -> Done<Vec<u8>> {
    wanted(switch.status == 101, || format!("status {}", switch.status))?;
    let upgrade = switch.headers.get("upgrade");
    wanted(upgrade == Some("tcp"), || format!("upgrade is {upgrade:?}"))?;
    stdout(&switch.output)
}

/// Joins the frames of a stream without a terminal: which stream (1 is stdout), three zeros, a length of four bytes, and data.
fn stdout(mut frames: &[u8]) -> Done<Vec<u8>> {
    let mut joined = Vec::new();
    while !frames.is_empty() {
        let (head, rest) = frames.split_first_chunk::<8>().ok_or("the head of a frame is cut")?;
        let &[kind, 0, 0, 0, length @ ..] = head else { return Err(format!("{head:?} is no head of a frame").into()) };
        let length = u32::from_be_bytes(length) as usize;
        let (data, rest) = rest.split_at_checked(length).ok_or("a frame is cut")?;
        if kind != 1 {
            return Err(format!("stream {kind}: {}", data.escape_ascii()).into());
        }
        joined.extend_from_slice(data);
        frames = rest;
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_joined() {
        let frames = b"\x01\0\0\0\0\0\0\x04some\x01\0\0\0\0\0\0\x00\x01\0\0\0\0\0\0\x05 text";
        assert_eq!(stdout(frames).unwrap(), b"some text");
        for cut in [1, 7, 11, 15, 28] {
            assert!(stdout(&frames[..cut]).unwrap_err().to_string().contains("cut"), "{cut}");
        }
    }

    #[test]
    fn other_streams_and_other_bytes_are_errors() {
        assert_eq!(stdout(b"\x02\0\0\0\0\0\0\x03why").unwrap_err().to_string(), "stream 2: why");
        assert!(stdout(b"some text").unwrap_err().to_string().ends_with("is no head of a frame"));
    }
}
