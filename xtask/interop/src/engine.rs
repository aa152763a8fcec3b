//! Container engines over their Unix sockets. In Docker's API, two requests, `attach` and `exec`, switch
//! the connection to another protocol.
//!
//! Podman and Docker run in temporary folders, and do not see the images of the machine. Their only image is imported
//! from an archive of BusyBox.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use degu_client::{Client, Headers, Method};
use degu_simulation::{Kind, Message};
use serde_json::{Value, json};
use xshell::cmd;

use crate::Result;
use crate::exchanges::{large, same, wanted};
use crate::ours::{Ours, bytes, declined, in_chunks};
use crate::peer::{Bench, LIMIT, Where};
use crate::steps::{Step, perform};

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

const PODMAN: &str = "env CONTAINERS_CONF=$FOLDER/podman/containers.conf podman --root=$FOLDER/podman/root \
                      --runroot=$FOLDER/podman/run --tmpdir=$FOLDER/podman/tmp --storage-driver=vfs --log-level=info \
                      system service --time=0 unix://";

/// With these options, the engine does not change the network of the machine.
const DOCKER: &str = "dockerd --config-file=$FOLDER/docker/daemon.json --data-root=$FOLDER/docker/data \
                      --exec-root=$FOLDER/docker/exec --pidfile=$FOLDER/docker/pid --iptables=false --ip6tables=false \
                      --bridge=none --storage-driver=vfs --exec-opt=native.cgroupdriver=cgroupfs --host=unix://";

pub(crate) fn run_podman(bench: &mut Bench<'_>, podman: &str) -> Result {
    bench.shell.write_file(bench.folder.join("podman/containers.conf"), PODMAN_CONFIG)?;
    run(bench, &format!("Podman {podman}"), "podman --url=unix://", PODMAN)
}

pub(crate) fn run_docker(bench: &mut Bench<'_>, docker: &str) -> Result {
    bench.shell.write_file(bench.folder.join("docker/daemon.json"), "{}")?;
    run(bench, &format!("Docker {docker}"), "docker --host=unix://", DOCKER)
}

/// Starts a container engine and performs the exchanges. `daemon` is the shell command that starts the engine, and
/// `client` is the shell command of the engine's own client. The path of the socket is appended to both commands.
fn run(bench: &mut Bench<'_>, name: &str, client: &str, daemon: &str) -> Result {
    let (shell, files) = (bench.shell, bench.files());
    let address = bench.address(Where::Unix);
    let path = address.trim_start_matches("unix:");
    // The engine has namespaces of its own, which end the engine's containers, monitors and mounts.
    let line = format!("unshare --pid --fork --kill-child --mount-proc {daemon}{path}");
    let (sender, lines) = mpsc::channel();
    let listens = move |line: &str| {
        // If the engine does not start, the last line has the reason.
        let _ = sender.send(line.to_owned());
        ["API service listening", "API listen on"].iter().any(|begin| line.contains(begin))
    };
    let Ok(_daemon) = bench.start_tied(&line, listens) else {
        let last = lines.try_iter().last().unwrap_or_default();
        bench.matrix.leave_out(name, &format!("it does not start here: {last}"));
        return Ok(());
    };
    bench.run("bash pack_image.sh $FOLDER", LIMIT)?;
    // The engine's own client runs first. If this client fails on this machine, a failure of Degu's client says nothing
    // about Degu.
    let client = format!("{client}{path}");
    let line = format!("{client} run --rm --network=none $({client} import $FOLDER/image.tar) true");
    if let Err(error) = bench.run(&line, LIMIT) {
        let said = error.to_string().replace('\n', "; ");
        bench.matrix.leave_out(name, &format!("it cannot run a container here: {said}"));
        return Ok(());
    }
    let image = shell.read_binary_file(bench.folder.join("image.tar"))?;
    let archive = cmd!(shell, "tar -C {files} -c large").quiet().output()?.stdout;
    perform(STEPS, &[], name, &address, &mut bench.matrix, move |client, is_blocking| {
        let name = if is_blocking { "degu-blocking" } else { "degu-async" };
        // The engine may subscribe the reader of events only after the first event. Therefore the reader asks for all
        // events since now.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let events = Some(thread::spawn(move || read_events(client, is_blocking, since, name)));
        Ok(Container { name, image: image.clone(), archive: archive.clone(), events })
    })
}

const STEPS: &[Step<Container>] = &[
    ("version", version_of_api),
    ("import", import),
    ("create", create),
    ("start", |ours, it| ask(ours, Method::Post, &it.target("/start"), 204, JSON, &Message::none()).map(drop)),
    ("archive", upload),
    ("exec", exec),
    ("attach", attach),
    ("logs", logs),
    ("remove", |ours, it| ask(ours, Method::Delete, &it.target("?force=1"), 204, JSON, &Message::none()).map(drop)),
    ("events", events),
];

/// The container of one of our clients.
struct Container {
    name: &'static str,
    /// The archive of the image.
    image: Vec<u8>,
    /// An archive to upload.
    archive: Vec<u8>,
    /// The thread that reads events until the container has been removed, and then returns the actions of the
    /// container.
    events: Option<JoinHandle<Result<Vec<String>>>>,
}

impl Container {
    fn target(&self, rest: &str) -> String {
        format!("/containers/{}{rest}", self.name)
    }
}

fn version_of_api(ours: &mut Ours, _: &mut Container) -> Result {
    let version = ask_json(ours, Method::Get, "/version", 200, &Message::none())?;
    wanted(version["ApiVersion"].is_string(), || format!("{version}"))
}

/// Sends the image as a body with a Content-Length.
fn import(ours: &mut Ours, container: &mut Container) -> Result {
    let image = bytes(&container.image[..]);
    ask(ours, Method::Post, "/images/create?fromSrc=-&repo=degu-interop", 200, TAR, &image).map(drop)
}

fn create(ours: &mut Ours, container: &mut Container) -> Result {
    let target = format!("/containers/create?name={}", container.name);
    let container = json!({
        "Image": "degu-interop",
        "Cmd": ["cat"],
        "OpenStdin": true,
        "StdinOnce": true,
        "HostConfig": { "NetworkMode": "none" },
    });
    ask_json(ours, Method::Post, &target, 201, &bytes(container.to_string())).map(drop)
}

/// Sends an archive in chunks, so the engine does not know its length before its end.
fn upload(ours: &mut Ours, container: &mut Container) -> Result {
    run_in(ours, container, &["sh", "-c", &format!("mkdir {UPLOADED}")], b"", 0)?;
    let target = container.target(&format!("/archive?path={UPLOADED}"));
    ask(ours, Method::Put, &target, 200, TAR, &in_chunks(&container.archive))?;
    same("file", &run_in(ours, container, &["cat", &format!("{UPLOADED}/large")], b"", 0)?, &large())
}

/// Sends 1 MiB through `cat`, which ends at the end of its input. Then runs a command that fails.
fn exec(ours: &mut Ours, container: &mut Container) -> Result {
    same("output", &run_in(ours, container, &["cat"], &large(), 0)?, &large())?;
    same("output", &run_in(ours, container, &["sh", "-c", "cat; exit 7"], b"some text", 7)?, b"some text")
}

/// Attaches to the `cat` of the container. `cat` ends at the end of its input, and the container ends with `cat`.
fn attach(ours: &mut Ours, container: &mut Container) -> Result {
    let target = container.target("/attach?stream=1&stdin=1&stdout=1&stderr=1");
    same("output", &switch(ours, &target, Headers::new(), Vec::new(), b"some text")?, b"some text")?;
    let waited = ask_json(ours, Method::Post, &container.target("/wait"), 200, &Message::none())?;
    wanted(waited["StatusCode"] == 0, || format!("{waited}"))
}

fn logs(ours: &mut Ours, container: &mut Container) -> Result {
    let logs = ask(ours, Method::Get, &container.target("/logs?stdout=1&stderr=1"), 200, JSON, &Message::none())?;
    same("logs", &stdout(&logs)?, b"some text")
}

/// Checks the actions of the container. The events arrived as lines of JSON during the earlier steps.
fn events(_: &mut Ours, container: &mut Container) -> Result {
    let events = container.events.take().ok_or("the events have already been read")?;
    let actions = events.join().map_err(|_| "the reader of events panicked")??;
    let mut rest = actions.iter();
    let in_order = ["create", "start", "attach", "die"].iter().all(|wanted| rest.any(|action| action == wanted));
    wanted(in_order, || format!("{actions:?}"))
}

/// Runs a command in the container, checks its exit code, and returns its output.
fn run_in(ours: &mut Ours, container: &Container, command: &[&str], input: &[u8], code: i64) -> Result<Vec<u8>> {
    let streams = json!({ "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": command });
    let created = ask_json(ours, Method::Post, &container.target("/exec"), 201, &bytes(streams.to_string()))?;
    let id = created["Id"].as_str().ok_or("the exec has no Id")?;
    let body = json!({ "Detach": false, "Tty": false }).to_string().into_bytes();
    let output = switch(ours, &format!("/exec/{id}/start"), content_type(JSON)?, body, input)?;
    // The stream may end before the engine has noticed the end of the process.
    let inspected = loop {
        let inspected = ask_json(ours, Method::Get, &format!("/exec/{id}/json"), 200, &Message::none())?;
        if inspected["Running"] == false {
            break inspected;
        }
        thread::sleep(Duration::from_millis(20));
    };
    wanted(inspected["ExitCode"] == code, || format!("{inspected}"))?;
    Ok(output)
}

/// Switches to a tunnel and sends the input. Returns the output of the program on stdout.
fn switch(ours: &mut Ours, target: &str, headers: Headers, body: Vec<u8>, input: &[u8]) -> Result<Vec<u8>> {
    let (headers, tunnel) = ours.upgrade(Method::Post, target, "tcp", headers, Some(body))?.map_err(declined)?;
    let upgrade = headers.get("upgrade");
    wanted(upgrade == Some("tcp"), || format!("upgrade is {upgrade:?}"))?;
    stdout(&tunnel.exchange(input, None)?)
}

const JSON: &str = "application/json";
const TAR: &str = "application/x-tar";

fn content_type(kind: &str) -> Result<Headers> {
    Ok(Headers::try_from([("content-type", kind)])?)
}

fn ask_json(ours: &mut Ours, method: Method<'_>, target: &str, status: u16, body: &Message) -> Result<Value> {
    Ok(serde_json::from_slice(&ask(ours, method, target, status, JSON, body)?)?)
}

/// Performs an exchange, checks the status, and returns the body. `kind` is the content type of the request's body.
fn ask(ours: &mut Ours, method: Method<'_>, target: &str, status: u16, kind: &str, body: &Message) -> Result<Vec<u8>> {
    let headers = if body.kind == Kind::None { Headers::new() } else { content_type(kind)? };
    let answer = ours.perform(method, target, &headers, body)?;
    let body = answer.seen.data;
    wanted(answer.status == status, || format!("status {}: {}", answer.status, body.escape_ascii()))?;
    Ok(body)
}

/// Reads events until the container has been removed. Returns the actions of the container.
fn read_events(client: Client, is_blocking: bool, since: u64, name: &str) -> Result<Vec<String>> {
    let mut actions = Vec::new();
    let (target, headers) = (format!("/events?since={since}"), Headers::new());
    let ended = Ours::new(client, is_blocking)?.read(Method::Get, &target, &headers, &Message::none(), |seen| {
        let events =
            seen.data.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap_or_default());
        let ours = events.filter(|event: &Value| event["Actor"]["Attributes"]["name"] == name);
        actions = ours.map(|event| event["Action"].as_str().unwrap_or_default().to_owned()).collect();
        // The last action is "remove" with Podman, and "destroy" with Docker.
        !matches!(actions.last().map(String::as_str), Some("remove" | "destroy"))
    })?;
    wanted(ended.is_none(), || "the body ended".into())?;
    Ok(actions)
}

/// Returns the data for stdout from a stream without a terminal. Each frame of the stream has a byte that is 1 for
/// stdout, three zeros, a length of four bytes, and data.
fn stdout(mut frames: &[u8]) -> Result<Vec<u8>> {
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
            assert!(stdout(&frames[..cut]).unwrap_err().to_string().contains("the stream ends within"), "{cut}");
        }
    }

    #[test]
    fn other_streams_and_other_bytes_are_errors() {
        assert_eq!(stdout(b"\x02\0\0\0\0\0\0\x03why").unwrap_err().to_string(), "stream 2: why");
        assert!(stdout(b"some text").unwrap_err().to_string().ends_with("is not a frame's head"));
    }
}
