//! `cargo xtask firmware`: builds the programs of `xtask/firmware` for a Cortex-M4, and boots them in QEMU. The UART of a program
//! is a Unix socket of this host, or its network card is reached through a TCP port of this host. Clients on this host then
//! talk to the programs.
//!
//! It prints how much flash, RAM and stack each program uses, next to the same program on picoserve, and fails if a device
//! answers anything wrongly. Without QEMU or rustc's target for the board, nothing can be booted. That is an error, unless
//! `--skip-if-missing` is given.

mod elf;
mod line;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lexopt::{Arg, Parser};

use crate::{Error, Result, cargo, cargo_in, no_more, root, run, target};
use elf::Sizes;
use line::{Board, Line, serve_peer};

const TARGET: &str = "thumbv7em-none-eabihf";
const QEMU: &str = "qemu-system-arm";
/// The programs that are compared: a name, how it is called, and the features that it is built with.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("core", "core of the codec", ""),
    ("hello", "hello", ""),
    ("picoserve_hello", "hello, picoserve", ""),
    ("device", "device", ""),
    ("picoserve_device", "device, picoserve", ""),
    ("device", "device, with client", "client"),
];
/// The requests of a round, with the statuses that answer them.
const ROUND: &[(&str, &str, &str, u16)] = &[
    ("GET", "/readings", "", 200),
    ("PUT", "/switch", "on", 204),
    ("GET", "/switch", "", 200),
    ("GET", "/feed", "", 200),
    ("POST", "/upload", "0123456789012345678901234567890123456789", 200),
];
/// The number of exchanges with the device.
const EXCHANGES: usize = 1000;

pub(crate) fn run_command(mut arguments: Parser) -> Result {
    let skip = match arguments.next()? {
        None => false,
        Some(Arg::Long("skip-if-missing")) => true,
        Some(other) => return Err(other.unexpected().into()),
    };
    no_more(arguments)?;
    if let Some(missing) = missing() {
        println!("-- skipped: {missing}");
        return if skip { Ok(()) } else { Err(missing.into()) };
    }
    let folder = target().join("firmware");
    fs::create_dir_all(&folder)?;
    println!("bytes:               flash   static RAM   future    stack   panics");
    for (number, (program, name, features)) in PROGRAMS.iter().enumerate() {
        let image = build(program, features, &folder.join(format!("{program}-{number}")))?;
        let Sizes { flash, ram, panics } = Sizes::of(&image)?;
        let (future, stack) = if *program == "core" { Default::default() } else { figures(&image, program)? };
        println!("{name:<20} {flash:>5} {ram:>12} {future:>8} {stack:>8}   {}", panics.join(", "));
    }
    talk(&build("device", "client,echo", &folder.join("device-echo"))?)?;
    talk_over_tcp(&build("network", "", &folder.join("network"))?)
}

/// Returns what is not there, and what to do about it.
fn missing() -> Option<String> {
    let runs = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !runs(QEMU, &["--version"]) {
        return Some(format!("there is no {QEMU}: install QEMU for Arm (Debian: qemu-system-arm)"));
    }
    if !runs("rustup", &["target", "add", TARGET]) {
        return Some(format!("rustup cannot add the target {TARGET}"));
    }
    None
}

/// Builds a program and returns its image, which is moved to `image`.
fn build(program: &str, features: &str, image: &Path) -> Result<PathBuf> {
    let options = ["--release", "--target", TARGET, "--bin", program, "--features", features];
    run(cargo_in("firmware", "build").args(options))?;
    fs::copy(target().join(TARGET).join("release").join(program), image)?;
    Ok(image.to_owned())
}

/// Boots a program, lets it serve a hundred requests, and returns the sizes of its future and of its stack.
fn figures(image: &Path, program: &str) -> Result<(String, String)> {
    let board = Board::boot(image, &[])?;
    let mut line = board.line()?;
    for _ in 0..20 {
        if program.ends_with("hello") {
            line.expect("GET", "/", "", 200)?;
        } else {
            round(&mut line)?;
        }
    }
    let text = line.expect("GET", "/figures", "", 200)?;
    let figure = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(str::to_owned).ok_or_else(|| Error::from(format!("the device does not tell its {name}: {text}")))
    };
    Ok((figure("future")?, figure("stack")?))
}

fn round(line: &mut Line) -> Result {
    ROUND.iter().try_for_each(|(method, path, body, status)| line.expect(method, path, body, *status).map(drop))
}

/// Lets curl, our client and the conformance probes talk to a device, which asks our server as its peer.
fn talk(image: &Path) -> Result {
    run(cargo("build")
        .args(["--quiet", "--package", "degu-misc", "--example", "fetch", "--example", "echo"])
        .current_dir(root()))?;
    let examples = target().join("debug/examples");
    let (peer, peer_socket) = serve_peer(&examples.join("echo"))?;
    let second_uart = format!("socket,id=peer,server=off,reconnect=1,path={}", peer_socket.display());
    let board = Board::boot(image, &["-chardev", &second_uart, "-serial", "chardev:peer"])?;
    // QEMU has made the socket by then.
    drop(board.line()?);

    curl(&["--unix-socket", &board.socket().to_string_lossy(), "http://device/readings"])?;
    let mut fetch = Command::new(examples.join("fetch"));
    println!("fetch:");
    run(fetch.arg(format!("unix:{}", board.socket().display())).arg("/feed"))?;
    println!();

    let mut line = board.line()?;
    for _ in 0..EXCHANGES / ROUND.len() {
        round(&mut line)?;
    }
    println!("{EXCHANGES} exchanges: all answered");
    let told = line.expect("GET", "/peer", "", 200)?;
    if told != "hello" {
        return Err(format!("the device's peer answered {told:?}").into());
    }
    println!("the device asked our server: {told}");
    drop(line);
    // One after the other, each of which leaves the pause behind it after which the device is in step.
    let options = ["--jobs", "1", "--settle", "0.6", "--close-window", "0.6", "--wait-timeout", "1"];
    probe(&board, &format!("unix:{}", board.socket().display()), "line", &options)?;
    println!("{}", board.line()?.expect("GET", "/figures", "", 200)?.replace('\n', "  "));
    drop(peer);
    Ok(())
}

/// Lets curl and the conformance probes talk to a device over TCP, through the network that QEMU emulates.
fn talk_over_tcp(image: &Path) -> Result {
    // The port is free until QEMU takes it.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let network = format!("user,model=lan9118,hostfwd=tcp:{address}-10.0.2.15:80");
    let board = Board::boot(image, &["-nic", &network])?;
    // QEMU has the port by then.
    drop(board.line()?);
    println!("over TCP:");
    curl(&["--data", "hello", &format!("http://{address}/")])?;
    probe(&board, &address.to_string(), "tcp", &["--jobs", "1"])?;
    curl(&[&format!("http://{address}/figures")])
}

/// Lets curl ask a device, where there is one.
fn curl(arguments: &[&str]) -> Result {
    let mut curl = Command::new("curl");
    match curl.args(["--silent", "--show-error", "--fail", "--max-time", "10"]).args(arguments).output() {
        Ok(output) if output.status.success() => println!("curl: {}", String::from_utf8_lossy(&output.stdout)),
        Ok(output) => return Err(format!("curl: {}", String::from_utf8_lossy(&output.stderr)).into()),
        Err(_) => println!("curl: skipped, there is none"),
    }
    Ok(())
}

/// Runs the conformance probes, where they are, over a line or TCP.
fn probe(board: &Board, address: &str, way: &str, options: &[&str]) -> Result {
    let probes = root().join("../shared/conformance");
    if !probes.join("probe_server.py").exists() {
        println!("conformance: skipped, {} does not stand beside the project", probes.display());
        return Ok(());
    }
    let cases = board.folder().join("cases.json");
    let adapt = root().join("xtask/firmware/cases.py");
    run(Command::new("python3").arg(adapt).arg(way).arg(probes.join("server_cases.json")).arg(&cases))?;
    let mut probe = Command::new("python3");
    probe.arg(probes.join("probe_server.py")).args(["--addr", address]).args(options);
    run(probe.arg("--cases").arg(cases))
}
