//! `cargo xtask firmware`: builds the programs of `xtask/firmware` for a Cortex-M4, and boots them in QEMU. The UART of a
//! program is a Unix socket of this host, and its network card is a TCP port of this host. Clients on this host send requests
//! to the programs.
//!
//! The command prints how much flash, RAM and stack each program uses, next to the same program with picoserve. It fails if a
//! response is wrong. If QEMU or another tool is missing, it fails too, or does nothing if `--skip-if-missing` is given.

mod board;
mod elf;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use lexopt::Parser;
use tempfile::TempDir;
use xshell::{Shell, cmd};

use crate::{Error, Result, cargo, cargo_in, root, run, skip_if_missing, target};
use board::{Board, Line, serve_peer};
use elf::Sizes;

const TARGET: &str = "thumbv7em-none-eabihf";
const QEMU: &str = "qemu-system-arm";
/// The programs that are compared: the name of the program, its name in the table, and the features of its build.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("core", "core of the codec", ""),
    ("hello", "hello", ""),
    ("picoserve_hello", "hello, picoserve", ""),
    ("device", "device", ""),
    ("picoserve_device", "device, picoserve", ""),
    ("device", "device, with client", "client"),
];
/// The requests of a round: method, path and body, and the status of the response.
const ROUND: &[(&str, &str, &str, u16)] = &[
    ("GET", "/readings", "", 200),
    ("PUT", "/switch", "on", 204),
    ("GET", "/switch", "", 200),
    ("GET", "/feed", "", 200),
    ("POST", "/upload", "0123456789012345678901234567890123456789", 200),
];
/// The number of exchanges over the UART that `talk` performs.
const EXCHANGES: usize = 1000;

pub(crate) fn run_command(shell: &Shell, arguments: Parser) -> Result {
    let skip = skip_if_missing(arguments)?;
    if let Some(missing) = missing(shell) {
        println!("-- skipped: {missing}");
        return if skip { Ok(()) } else { Err(missing.into()) };
    }
    let folder = target().join("firmware");
    fs::create_dir_all(&folder)?;
    println!("bytes:               flash   static RAM   future    stack   panics");
    for (number, (program, name, features)) in PROGRAMS.iter().enumerate() {
        let image = build(program, features, &folder.join(format!("{program}-{number}")))?;
        let Sizes { flash, ram, panics } = Sizes::of(shell, &image)?;
        let (future, stack) = if *program == "core" { Default::default() } else { figures(&image, program)? };
        println!("{name:<20} {flash:>5} {ram:>12} {future:>8} {stack:>8}   {}", panics.join(", "));
    }
    talk(shell, &build("device", "client,echo", &folder.join("device-echo"))?)?;
    talk_over_tcp(shell, &build("network", "", &folder.join("network"))?)
}

/// Returns the name of a missing tool, and the way to install it.
fn missing(shell: &Shell) -> Option<String> {
    for (tool, package) in [(QEMU, QEMU), ("size", "binutils"), ("curl", "curl"), ("python3", "python3")] {
        if cmd!(shell, "{tool} --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            return Some(format!("{tool} is not installed (Debian: apt-get install {package})"));
        }
    }
    let added = cmd!(shell, "rustup target add {TARGET}").quiet().ignore_stderr().run();
    added.is_err().then(|| format!("rustup cannot add the target {TARGET}"))
}

/// Builds a program, and copies it to `image`.
fn build(program: &str, features: &str, image: &Path) -> Result<PathBuf> {
    let options = ["--release", "--target", TARGET, "--bin", program, "--features", features];
    run(cargo_in("firmware", "build").args(options))?;
    fs::copy(target().join(TARGET).join("release").join(program), image)?;
    Ok(image.to_owned())
}

/// Boots a program, sends it 20 rounds of requests (to `hello`, 20 requests), and returns the sizes of its future and
/// its stack.
fn figures(image: &Path, program: &str) -> Result<(String, String)> {
    let board = Board::boot(image, &[])?;
    let line = board.line();
    for _ in 0..20 {
        if program.ends_with("hello") {
            line.expect("GET", "/", "", 200)?;
        } else {
            round(&line)?;
        }
    }
    let text = line.expect("GET", "/figures", "", 200)?;
    let figure = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(str::to_owned).ok_or_else(|| Error::from(format!("the device does not report its {name}: {text}")))
    };
    Ok((figure("future")?, figure("stack")?))
}

fn round(line: &Line) -> Result {
    ROUND.iter().try_for_each(|(method, path, body, status)| line.expect(method, path, body, *status).map(drop))
}

/// Tests a device over its UART with curl, Degu's client and the conformance probes. The device also sends a request to
/// Degu's server.
fn talk(shell: &Shell, image: &Path) -> Result {
    run(cargo("build")
        .args(["--quiet", "--package", "degu-misc", "--example", "fetch", "--example", "echo"])
        .current_dir(root()))?;
    let examples = target().join("debug/examples");
    let folder = TempDir::new()?;
    let peer_socket = folder.path().join("peer");
    let _peer = serve_peer(&examples.join("echo"), &peer_socket)?;
    let second_uart = format!("socket,id=peer,server=off,reconnect=1,path={}", peer_socket.display());
    let board = Board::boot(image, &["-chardev", &second_uart, "-serial", "chardev:peer"])?;

    curl(shell, &["--unix-socket", &board.socket().to_string_lossy(), "http://device/readings"])?;
    let mut fetch = Command::new(examples.join("fetch"));
    println!("fetch:");
    run(fetch.arg(format!("unix:{}", board.socket().display())).arg("/feed"))?;
    println!();

    let line = board.line();
    for _ in 0..EXCHANGES / ROUND.len() {
        round(&line)?;
    }
    println!("{EXCHANGES} exchanges: all answered");
    let told = line.expect("GET", "/peer", "", 200)?;
    if told != "hello" {
        return Err(format!("our server answered the device with {told:?}, not with hello").into());
    }
    println!("our server answered the device: {told}");
    drop(line);
    // The cases run one after another. Each ends with a pause, after which the device expects a new request.
    let options = ["--jobs", "1", "--settle", "0.6", "--close-window", "0.6", "--wait-timeout", "1"];
    probe(shell, &board, &format!("unix:{}", board.socket().display()), "line", &options)?;
    println!("{}", board.line().expect("GET", "/figures", "", 200)?.replace('\n', "  "));
    Ok(())
}

/// Tests a device with curl and the conformance probes over TCP, through the network that QEMU emulates.
fn talk_over_tcp(shell: &Shell, image: &Path) -> Result {
    // If another process takes this port before QEMU does, the run fails.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let network = format!("user,model=lan9118,hostfwd=tcp:{address}-10.0.2.15:80");
    let board = Board::boot(image, &["-nic", &network])?;
    println!("over TCP:");
    curl(shell, &["--data", "hello", &format!("http://{address}/")])?;
    probe(shell, &board, &address.to_string(), "tcp", &["--jobs", "1"])?;
    curl(shell, &[&format!("http://{address}/figures")])
}

/// Sends a request with curl, and prints the body of the response.
fn curl(shell: &Shell, arguments: &[&str]) -> Result {
    let body = cmd!(shell, "curl --silent --show-error --fail --max-time 10 {arguments...}").quiet().read()?;
    println!("curl: {body}");
    Ok(())
}

/// Runs the conformance probes over a line or TCP, if their folder exists.
fn probe(shell: &Shell, board: &Board, address: &str, way: &str, options: &[&str]) -> Result {
    let probes = root().join("../shared/conformance");
    let (probe, source) = (probes.join("probe_server.py"), probes.join("server_cases.json"));
    if !probe.exists() {
        println!("conformance: skipped, because {} does not exist", probes.display());
        return Ok(());
    }
    let cases = board.folder().join("cases.json");
    cmd!(shell, "python3 xtask/firmware/cases.py {way} {source} {cases}").quiet().run()?;
    Ok(cmd!(shell, "python3 {probe} --addr {address} {options...} --cases {cases}").quiet().run()?)
}
