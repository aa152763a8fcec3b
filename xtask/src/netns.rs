//! `cargo xtask netns`: does it work between two hosts, over link-local addresses, on a bad network, and without one?
//!
//! Two network namespaces stand for the hosts, a third one for the switch between them. The client names the server by
//! `[fe80::2%veth0]`, with the zone by name and by number. Then packets are lost, late and out of order: by netem where
//! the kernel has it, otherwise by a program between the cables, which needs Python. Then the cables are pulled in the
//! middle of a body: the client must have its error within its timeout, and the server must have given the exchange up
//! within its deadline.
//!
//! Needs Linux, `ip` and `tc` of iproute2, `unshare` and `nsenter` of util-linux, and a user who may have namespaces.
//! Nothing outside of the namespaces is touched, and they are gone with this process.

mod hosts;

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use lexopt::{Arg, Parser};
use xshell::Shell;

use crate::Result;
use crate::child::{self, Server};
use hosts::{Hosts, INTERFACE, Namespace};

const USAGE: &str = "\
usage: cargo xtask netns [--skip-if-missing]

  --skip-if-missing   where this machine or this user can have no network namespaces: say so, and call it a success";

/// How long both ends wait for octets, as `xtask/soak/src/netns/main.rs` has it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much later it may be, on a machine that is busy.
const SLACK: Duration = Duration::from_millis(1500);
/// How long the server may need: what stands still is found out at the end of the first window in which too little
/// came, and that window may have begun just before. Each is late by up to a second.
const SERVER: Duration = Duration::from_millis(2 * (2000 + 1000) + 1500);
/// The bodies that are cut.
const WAYS: [&str; 2] = ["upload", "download"];
/// How long exchanges may take on a bad network.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(_: &Shell, mut arguments: Parser) -> Result {
    let mut skip = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("skip-if-missing") => skip = true,
            Arg::Short('h') | Arg::Long("help") => {
                println!("{USAGE}");
                return Ok(());
            }
            other => return Err(format!("{}\n\n{USAGE}", other.unexpected()).into()),
        }
    }
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(error) if skip => {
            println!("-- skipped: no network namespaces here: {error}");
            return Ok(());
        }
        Err(error) => return Err(format!("no network namespaces here: {error}").into()),
    };
    let bench = Bench { program: crate::build("soak")?.join("degu-netns"), hosts };
    let server = bench.serve()?;
    let port = server.address().rsplit(':').next().unwrap_or_default().to_owned();
    println!("the server listens on {}", server.address());
    let by_name = format!("[{}%{INTERFACE}]:{port}", Hosts::SERVER);
    let by_number = format!("[{}%{}]:{port}", Hosts::SERVER, bench.hosts.index()?);
    for address in [&by_name, &by_number] {
        bench.exchanges(address)?;
        println!("exchanges with {address}: as they should be");
    }
    match bench.hosts.disturb() {
        Ok(disturbance) => {
            bench.exchanges(&by_name)?;
            println!("exchanges with packets lost, late and out of order ({}): as they should be", disturbance.what());
            disturbance.end()?;
        }
        Err(error) => println!("-- skipped: loss, delay and reordering: {error}"),
    }
    bench.pull(&by_name)?;
    Ok(())
}

/// The hosts and what runs on them.
struct Bench {
    program: PathBuf,
    hosts: Hosts,
}

impl Bench {
    /// What runs the ends' program on a host: the program that is there to be started, and its arguments.
    fn words(&self, host: &Namespace, arguments: &[&str]) -> (String, Vec<String>) {
        let mut words = host.enter();
        words.push(self.program.display().to_string());
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        (words.remove(0), words)
    }

    fn serve(&self) -> Result<Server> {
        let address = format!("[{}%{INTERFACE}]:0", Hosts::SERVER);
        let (program, arguments) = self.words(&self.hosts.server, &["server", &address]);
        Server::start(Path::new(&program), &arguments)
    }

    fn client(&self, arguments: &[&str]) -> Result<String> {
        let (program, arguments) = self.words(&self.hosts.client, arguments);
        child::run(Path::new(&program), &arguments, LIMIT)
    }

    fn exchanges(&self, address: &str) -> Result {
        self.client(&["exchanges", address]).map(drop)
    }

    /// Pulls the cables in the middle of four bodies, and looks how both ends took it.
    fn pull(&self, address: &str) -> Result {
        let mut stalls = Vec::new();
        for way in WAYS {
            for client in ["async", "blocking"] {
                stalls.push(Stall::begin(self.words(&self.hosts.client, &["stall", way, client, address]))?);
            }
        }
        // They are at full speed.
        thread::sleep(Duration::from_millis(300));
        self.hosts.plug(false)?;
        for stall in &mut stalls {
            let (took, error) = stall.end()?;
            within(&stall.name, &took, PATIENCE + SLACK)?;
            println!("cables pulled: {}: after {took} ms: {error}", stall.name);
        }
        // The rest of the time that the server has.
        thread::sleep(SERVER.saturating_sub(PATIENCE));
        self.hosts.plug(true)?;

        let ends = self.client(&["last", address])?;
        for way in WAYS {
            let ends: Vec<_> = ends.lines().filter_map(|line| line.strip_prefix(way)).map(str::trim).collect();
            if ends.len() != 2 {
                return Err(format!("{way}: {} exchanges have ended for the server, not 2", ends.len()).into());
            }
            for took in ends {
                within(&format!("{way}, server"), took, SERVER)?;
                println!("cables pulled: {way}, server: after {took} ms");
            }
        }
        Ok(())
    }
}

/// A client in the middle of a body.
struct Stall {
    name: String,
    process: process::Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Stall {
    fn begin((program, arguments): (String, Vec<String>)) -> Result<Self> {
        let name = arguments.iter().rev().skip(1).take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
        let mut process = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(process.stdout.take().ok_or("a process without a pipe")?).lines();
        let mut stall = Self { name, process, said };
        match stall.said.next().transpose()?.as_deref() {
            Some("begun") => Ok(stall),
            _ => Err(format!("{}: it did not begin", stall.name).into()),
        }
    }

    /// How many milliseconds after its last octet it gave up, and why.
    fn end(&mut self) -> Result<(String, String)> {
        let line = self.said.next().transpose()?.unwrap_or_default();
        let (took, error) = line.split_once(' ').ok_or_else(|| format!("{}: no error, but {line:?}", self.name))?;
        Ok((took.to_owned(), error.to_owned()))
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Checks that it took as long as it was to wait, and not much longer.
fn within(who: &str, milliseconds: &str, most: Duration) -> Result {
    let took = Duration::from_millis(milliseconds.parse()?);
    // The last octets may have got on a little before they were waited for.
    if took < PATIENCE / 2 || took > most {
        return Err(
            format!("{who}: {took:?} after the last octet, which is not within {PATIENCE:?} and {most:?}").into()
        );
    }
    Ok(())
}
