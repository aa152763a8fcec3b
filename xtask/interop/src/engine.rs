//! Container engines over their Unix sockets. In Docker's API, the requests attach and exec switch protocols.
//!
//! Podman and Docker run in temporary folders, and do not see the images of the machine. Their only image is imported
//! from an archive of BusyBox.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use degu_client::{BoxError, Chunk, Client, Headers, Method};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::Result;
use crate::child::{START, Server};
use crate::exchanges::{large, same, wanted};
use crate::matrix::Matrix;
use crate::ours::{Content, Ours};
use crate::peer::{Bench, Where, tied, version};
use crate::steps::{Step, perform};

/// A statically linked program. In the container, it is the program for every command.
const BUSYBOX: &str = "/bin/busybox";

/// The folder in the container into which files are uploaded.
const UPLOADED: &str = "/uploaded";

/// The configuration of Podman. Debian's Podman needs runc if the machine has both versions of cgroups. By default
/// Podman raises the limits on processes and files, which fails if the limits of this process are lower.
const PODMAN_CONFIG: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"#;

pub(crate) fn find_podman(shell: &Shell) -> std::result::Result<String, String> {
    find(shell, "podman")
}

pub(crate) fn find_docker(shell: &Shell) -> std::result::Result<String, String> {
    find(shell, "dockerd").map(|version| version.split('+').next().unwrap_or_default().to_owned())
}

/// Returns the version of a container engine, if everything that it needs is installed.
fn find(shell: &Shell, engine: &str) -> std::result::Result<String, String> {
    version(shell, "runc", "--version")?;
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("{BUSYBOX} is not installed"));
    }
    match cmd!(shell, "id --user").quiet().read() {
        Ok(user) if user == "0" => version(shell, engine, "--version"),
        _ => Err("it needs root".into()),
    }
}

pub(crate) fn run_podman(bench: &Bench<'_>, podman: &str, matrix: &mut Matrix) -> Result {
    let folder = bench.folder.join("podman");
    let config = folder.join("containers.conf");
    bench.shell.write_file(&config, PODMAN_CONFIG)?;
    let address = bench.address(Where::Unix, "podman.sock");
    let (folder, config) = (folder.display(), config.display());
    let daemon = format!(
        "env CONTAINERS_CONF={config} podman --root={folder}/root --runroot={folder}/run --tmpdir={folder}/tmp \
         --storage-driver=vfs --log-level=info system service --time=0 {address}"
    );
    let client = format!("podman --url={}", address.replacen("unix:", "unix://", 1));
    run(bench, &format!("Podman {podman}"), &address, &client, &daemon, matrix)
}

pub(crate) fn run_docker(bench: &Bench<'_>, docker: &str, matrix: &mut Matrix) -> Result {
    let folder = bench.folder.join("docker");
    let config = folder.join("daemon.json");
    bench.shell.write_file(&config, "{}")?;
    let address = bench.address(Where::Unix, "docker.sock");
    let host = address.replacen("unix:", "unix://", 1);
    let (folder, config) = (folder.display(), config.display());
    // With these options, the engine does not change the network of the machine.
    let daemon = format!(
        "dockerd --config-file={config} --data-root={folder}/data --exec-root={folder}/exec --pidfile={folder}/pid \
         --host={host} --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
         --exec-opt=native.cgroupdriver=cgroupfs"
    );
    run(bench, &format!("Docker {docker}"), &address, &format!("docker --host={host}"), &daemon, matrix)
}

/// Starts a container engine and performs the exchanges. `daemon` is the shell command that starts the engine, and
/// `client` is the shell command of the engine's own client.
fn run(bench: &Bench<'_>, name: &str, address: &str, client: &str, daemon: &str, matrix: &mut Matrix) -> Result {
    let (shell, files) = (bench.shell, bench.files());
    // The engine has namespaces of its own. Its containers, their monitors and its mounts end with them.
    let (program, line) = tied(&format!("unshare --pid --fork --kill-child --mount-proc {daemon}"));
    let (sender, lines) = mpsc::channel();
    let listens = move |line: &str| {
        // If the engine does not start, the last line has the reason.
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
    // The engine's own client runs first. If it fails on this machine, a failure of Degu's client says nothing about
    // Degu.
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
    perform(STEPS, &[], name, address, matrix, move |client, blocking| {
        let name = if blocking { "degu-blocking" } else { "degu-async" };
        // The engine may subscribe the reader of events only after the first event. Therefore the reader asks for all
        // events since now.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let events = Some(thread::spawn(move || read_events(client, blocking, since, name)));
        Ok(Container { name, image: image.clone(), archive: archive.clone(), events })
    })
}

/// Writes the archive from which the image is imported. The second engine uses the archive that was written for the
/// first.
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

const STEPS: &[Step<Container>] = &[
    ("version", version_of_api),
    ("import", import),
    ("create", create),
    ("start", start),
    ("archive", upload),
    ("exec", exec),
    ("attach", attach),
    ("logs", logs),
    ("remove", remove),
    ("events", events),
];

type Done<T = ()> = std::result::Result<T, BoxError>;

/// The container of one of our clients.
struct Container {
    name: &'static str,
    /// The archive of the image.
    image: Vec<u8>,
    /// An archive to upload.
    archive: Vec<u8>,
    /// The thread that reads events until the container has been removed. It returns the actions of the container.
    events: Option<JoinHandle<Done<Vec<String>>>>,
}

impl Container {
    fn target(&self, rest: &str) -> String {
        format!("/containers/{}{rest}", self.name)
    }
}

fn version_of_api(ours: &mut Ours, _: &mut Container) -> Done {
    let version = ask_json(ours, Method::Get, "/version", 200, Content::Nothing)?;
    wanted(version["ApiVersion"].is_string(), || format!("{version}"))
}

/// Sends the image as a body with a Content-Length.
fn import(ours: &mut Ours, container: &mut Container) -> Done {
    let image = Content::Bytes(container.image.clone());
    ask(ours, Method::Post, "/images/create?fromSrc=-&repo=degu-interop", 200, TAR, image).map(drop)
}

fn create(ours: &mut Ours, container: &mut Container) -> Done {
    let target = format!("/containers/create?name={}", container.name);
    let container = json!({
        "Image": "degu-interop",
        "Cmd": ["cat"],
        "OpenStdin": true,
        "StdinOnce": true,
        "HostConfig": { "NetworkMode": "none" },
    });
    ask_json(ours, Method::Post, &target, 201, json_body(&container)).map(drop)
}

fn start(ours: &mut Ours, container: &mut Container) -> Done {
    ask(ours, Method::Post, &container.target("/start"), 204, JSON, Content::Nothing).map(drop)
}

/// Sends an archive in chunks, so the engine does not know its length before its end.
fn upload(ours: &mut Ours, container: &mut Container) -> Done {
    run_in(ours, container, &["sh", "-c", &format!("mkdir {UPLOADED}")], b"", 0)?;
    let chunks = container.archive.chunks(60_000).map(|data| Chunk::new(data.to_vec())).collect();
    let target = container.target(&format!("/archive?path={UPLOADED}"));
    ask(ours, Method::Put, &target, 200, TAR, Content::Chunks(chunks))?;
    same("file", &run_in(ours, container, &["cat", &format!("{UPLOADED}/large")], b"", 0)?, &large())
}

/// Sends 1 MiB through `cat`, which ends at the end of its input. Then runs a command that fails.
fn exec(ours: &mut Ours, container: &mut Container) -> Done {
    same("output", &run_in(ours, container, &["cat"], &large(), 0)?, &large())?;
    same("output", &run_in(ours, container, &["sh", "-c", "cat; exit 7"], b"some text", 7)?, b"some text")
}

/// Attaches to the `cat` of the container. `cat` ends at the end of its input, and the container ends with `cat`.
fn attach(ours: &mut Ours, container: &mut Container) -> Done {
    let target = container.target("/attach?stream=1&stdin=1&stdout=1&stderr=1");
    same("output", &switch(ours, &target, Headers::new(), Vec::new(), b"some text")?, b"some text")?;
    let waited = ask_json(ours, Method::Post, &container.target("/wait"), 200, Content::Nothing)?;
    wanted(waited["StatusCode"] == 0, || format!("{waited}"))
}

fn logs(ours: &mut Ours, container: &mut Container) -> Done {
    let logs = ask(ours, Method::Get, &container.target("/logs?stdout=1&stderr=1"), 200, JSON, Content::Nothing)?;
    same("logs", &stdout(&logs)?, b"some text")
}

fn remove(ours: &mut Ours, container: &mut Container) -> Done {
    ask(ours, Method::Delete, &container.target("?force=1"), 204, JSON, Content::Nothing).map(drop)
}

/// Checks the actions of the container. The events arrived as lines of JSON during the earlier steps.
fn events(_: &mut Ours, container: &mut Container) -> Done {
    let events = container.events.take().ok_or("the events have already been read")?;
    let actions = events.join().map_err(|_| "the reader of events panicked")??;
    let mut rest = actions.iter();
    let in_order = ["create", "start", "attach", "die"].iter().all(|wanted| rest.any(|action| action == wanted));
    wanted(in_order, || format!("{actions:?}"))
}

/// Runs a command in the container, checks its exit code, and returns its output.
fn run_in(ours: &mut Ours, container: &Container, command: &[&str], input: &[u8], code: i64) -> Done<Vec<u8>> {
    let streams = json!({ "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": command });
    let created = ask_json(ours, Method::Post, &container.target("/exec"), 201, json_body(&streams))?;
    let id = created["Id"].as_str().ok_or("the exec has no Id")?;
    let body = json!({ "Detach": false, "Tty": false }).to_string().into_bytes();
    let output = switch(ours, &format!("/exec/{id}/start"), content_type(JSON)?, body, input)?;
    // The stream may end before the engine has noticed the end of the process.
    let inspected = loop {
        let inspected = ask_json(ours, Method::Get, &format!("/exec/{id}/json"), 200, Content::Nothing)?;
        if inspected["Running"] == false {
            break inspected;
        }
        thread::sleep(Duration::from_millis(20));
    };
    wanted(inspected["ExitCode"] == code, || format!("{inspected}"))?;
    Ok(output)
}

/// Switches to a tunnel and sends the input. Returns the output of the program on stdout.
fn switch(ours: &mut Ours, target: &str, headers: Headers, body: Vec<u8>, input: &[u8]) -> Done<Vec<u8>> {
    let switch = ours.upgrade(Method::Post, target, "tcp", headers, Some(body))?;
    let tunnel = switch.tunnel.ok_or_else(|| format!("status {}", switch.status))?;
    let upgrade = switch.headers.get("upgrade");
    wanted(upgrade == Some("tcp"), || format!("upgrade is {upgrade:?}"))?;
    stdout(&tunnel.exchange(input, None)?)
}

const JSON: &str = "application/json";
const TAR: &str = "application/x-tar";

fn content_type(kind: &str) -> Done<Headers> {
    Ok(Headers::try_from([("content-type", kind)])?)
}

fn json_body(value: &Value) -> Content {
    Content::Bytes(value.to_string().into_bytes())
}

fn ask_json(ours: &mut Ours, method: Method<'_>, target: &str, status: u16, body: Content) -> Done<Value> {
    Ok(serde_json::from_slice(&ask(ours, method, target, status, JSON, body)?)?)
}

/// Performs an exchange, checks the status, and returns the body. `kind` is the content type of the request's body.
fn ask(ours: &mut Ours, method: Method<'_>, target: &str, status: u16, kind: &str, body: Content) -> Done<Vec<u8>> {
    let headers = if matches!(body, Content::Nothing) { Headers::new() } else { content_type(kind)? };
    let whole = ours.perform(method, target, &headers, body)?;
    let body = whole.body();
    wanted(whole.status == status, || format!("status {}: {}", whole.status, body.escape_ascii()))?;
    Ok(body)
}

/// Reads events until the container has been removed. Returns the actions of the container.
fn read_events(client: Client, blocking: bool, since: u64, name: &str) -> Done<Vec<String>> {
    let mut actions = Vec::new();
    Ours::new(client, blocking)?.lines(&format!("/events?since={since}"), |line| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        if event["Actor"]["Attributes"]["name"] == name {
            actions.push(event["Action"].as_str().unwrap_or_default().to_owned());
        }
        // The last action is "remove" with Podman, and "destroy" with Docker.
        matches!(actions.last().map(String::as_str), Some("remove" | "destroy"))
    })?;
    Ok(actions)
}

/// Returns the data for stdout from a stream without a terminal. Each frame of the stream has a byte that is 1 for
/// stdout, three zeros, a length of four bytes, and data.
fn stdout(mut frames: &[u8]) -> Done<Vec<u8>> {
    let mut joined = Vec::new();
    while !frames.is_empty() {
        let (head, rest) = frames.split_first_chunk::<8>().ok_or("the stream ends within the head of a frame")?;
        let &[kind, 0, 0, 0, length @ ..] = head else { return Err(format!("{head:?} is not a frame's head").into()) };
        let length = u32::from_be_bytes(length) as usize;
        let (data, rest) = rest.split_at_checked(length).ok_or("the stream ends within a frame")?;
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
        assert!(stdout(b"some text").unwrap_err().to_string().ends_with("is not a frame's head"));
    }
}
