//! `cargo xtask firmware`: builds the programs of `xtask/firmware` for a Cortex-M4, and boots them in QEMU. The UART of a
//! program is a Unix socket of this host, and its network card is a TCP port of this host. Clients on this host send requests
//! to the programs.
//!
//! The command prints how much flash, RAM and stack each program uses, next to the same program with picoserve. The
//! command fails if a response is wrong, or if QEMU or another tool is missing. With `--skip-if-missing`, it does
//! nothing if a tool is missing.

mod board;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use lexopt::Parser;
use xshell::{Shell, cmd};

use crate::child::Server;
use crate::{FEATURES, Result, cargo, cargo_in, root, run, skip_if_missing, skip_or_fail, target};
use board::Board;

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

/// The number of boards that share the conformance cases.
const BOARDS: usize = 4;

/// Parts of the names of the functions in `core` that panic.
const PANICS: &[&str] =
    &["core::panicking::panic", "slice_index_fail", "len_mismatch_fail", "expect_failed", "unwrap_failed"];

pub(crate) fn run_command(shell: &Shell, arguments: Parser) -> Result {
    let skip = skip_if_missing(arguments)?;
    if let Some(missing) = missing(shell) {
        return skip_or_fail(skip, &missing);
    }
    println!("bytes:               flash   static RAM   future    stack   panics");
    for (program, name, features) in PROGRAMS {
        let image = build(program, features)?;
        let (flash, ram) = memory(shell, &image)?;
        let (future, stack) = if *program == "core" { Default::default() } else { figures(&image, program)? };
        println!("{name:<20} {flash:>5} {ram:>12} {future:>8} {stack:>8}   {}", panics(shell, &image)?);
    }
    talk(shell, &build("device", "client")?)?;
    talk_over_tcp(shell, &build("network", "")?)
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

/// Builds a program, and returns its path. The next build may replace the program.
fn build(program: &str, features: &str) -> Result<PathBuf> {
    let options = ["--release", "--target", TARGET, "--bin", program, "--features", features];
    run(cargo_in("firmware", "build").args(options))?;
    Ok(target().join(TARGET).join("release").join(program))
}

/// Returns the bytes of an image in flash and in RAM. The data is in both.
fn memory(shell: &Shell, image: &Path) -> Result<(u64, u64)> {
    let table = cmd!(shell, "size {image}").quiet().read()?;
    // The first line has the names of the columns.
    let words = table.lines().skip(1).flat_map(str::split_whitespace);
    match words.map_while(|size| size.parse::<u64>().ok()).collect::<Vec<_>>()[..] {
        [text, data, bss, ..] => Ok((text + data, data + bss)),
        _ => Err(format!("`size` printed no sizes: {table}").into()),
    }
}

/// Returns the names of the functions in an image that panic.
fn panics(shell: &Shell, image: &Path) -> Result<String> {
    let symbols = cmd!(shell, "nm --demangle {image}").quiet().read()?;
    let names = symbols.lines().filter_map(|line| line.splitn(3, ' ').nth(2));
    let panics: BTreeSet<_> = names.filter(|name| PANICS.iter().any(|panic| name.contains(panic))).collect();
    Ok(panics.into_iter().filter_map(|name| name.rsplit("::").next()).collect::<Vec<_>>().join(", "))
}

/// Boots a program, sends it 20 rounds of requests (to `hello`, 20 requests), and returns the sizes of its future and
/// its stack.
fn figures(image: &Path, program: &str) -> Result<(String, String)> {
    let board = Board::boot(image, &[])?;
    for _ in 0..20 {
        if program.ends_with("hello") {
            board.expect("GET", "/", "", 200)?;
        } else {
            round(&board)?;
        }
    }
    let text = board.expect("GET", "/figures", "", 200)?;
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["future", future, "stack", stack] => Ok((future.into(), stack.into())),
        _ => Err(format!("the device did not report the sizes of its future and its stack: {text}").into()),
    }
}

fn round(board: &Board) -> Result {
    ROUND.iter().try_for_each(|(method, path, body, status)| board.expect(method, path, body, *status).map(drop))
}

/// Tests a device over its UART with curl, Degu's client and the conformance probes. The device also sends a request to
/// Degu's server.
fn talk(shell: &Shell, image: &Path) -> Result {
    // With these features, `cargo xtask test` has built all dependencies of the examples.
    run(cargo("build")
        .args(["--quiet", "--features", FEATURES, "--example", "fetch", "--example", "echo"])
        .current_dir(root()))?;
    let examples = target().join("debug/examples");
    let peer = Server::start(&examples.join("echo"), &["127.0.0.1:0".into()])?;
    let board = Board::boot(image, &["-serial", &format!("tcp:{},reconnect=1", peer.address())])?;
    let uart = format!("unix:{}", board.socket().display());

    curl(shell, &["--unix-socket", &board.socket().to_string_lossy(), "http://device/readings"])?;
    println!("fetch:");
    run(Command::new(examples.join("fetch")).args([&uart, "/feed"]))?;
    println!();

    for _ in 0..EXCHANGES / ROUND.len() {
        round(&board)?;
    }
    println!("{EXCHANGES} exchanges: all answered");
    let told = board.expect("GET", "/peer", "", 200)?;
    if told != "hello" {
        return Err(format!("our server answered the device with {told:?}, not with hello").into());
    }
    println!("our server answered the device: {told}");
    drop(board);
    probe(shell, "line", || {
        let board = Board::boot(image, &[])?;
        let uart = format!("unix:{}", board.socket().display());
        Ok((board, uart))
    })
}

/// Tests a device with curl and the conformance probes over TCP, through the network that QEMU emulates.
fn talk_over_tcp(shell: &Shell, image: &Path) -> Result {
    let boot = || {
        // If another process takes this port before QEMU does, the run fails.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
        let network = format!("user,model=lan9118,hostfwd=tcp:{address}-10.0.2.15:80");
        Ok((Board::boot(image, &["-nic", &network])?, address))
    };
    println!("over TCP:");
    let (board, address) = boot()?;
    curl(shell, &["--data", "hello", &format!("http://{address}/")])?;
    curl(shell, &[&format!("http://{address}/figures")])?;
    drop(board);
    probe(shell, "tcp", boot)
}

/// Sends a request with curl, and prints the body of the response.
fn curl(shell: &Shell, arguments: &[&str]) -> Result {
    let body = cmd!(shell, "curl --silent --show-error --fail --max-time 10 {arguments...}").quiet().read()?;
    println!("curl: {body}");
    Ok(())
}

/// Runs the conformance probes on several boards, if their folder exists. `boot` boots a board, and returns its address.
fn probe(shell: &Shell, way: &str, boot: impl Fn() -> Result<(Board, String)>) -> Result {
    let probes = root().join("../shared/conformance");
    if !probes.exists() {
        println!("conformance: skipped, because {} does not exist", probes.display());
        return Ok(());
    }
    let boards = (0..BOARDS).map(|_| boot()).collect::<Result<Vec<_>>>()?;
    let addresses = boards.iter().map(|(_, address)| address);
    Ok(cmd!(shell, "python3 xtask/firmware/cases.py {way} {probes} {addresses...}").quiet().run()?)
}
